//! Files in memory: `mmap(2)` and the page cache see the same.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_script::world::{Ability, How};

const FAMILY: &str = "mappings";

const PAGE: usize = 4096;

/// Where there is a page cache.
const CACHED: &[Flags] = &[
    Flags::DEFAULT,
    Flags::WTCACHE,
    Flags::IAONDEMAND,
    Flags::CACHE_FS_TTL,
    Flags::NOFLUSH_META,
];

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| {
        Check::new(FAMILY, title, body)
            .needs(Ability::Mmap)
            .under(CACHED)
    };
    vec![
        check("what is in a file is in its mapping", |b| {
            b.make("f", b"hello");
            let file = b.open("f", How::READ).done();
            file.map(PAGE, false, &mut |map| {
                assert_eq!(map.get(0, 5), b"hello");
                // The rest of the page is zeroes.
                assert!(map.get(5, PAGE - 5).iter().all(|&byte| byte == 0));
            })
            .done();
        }),
        check("what is written to a file is in its mapping", |b| {
            b.make("f", &[1; 2 * PAGE]);
            let file = b.open("f", How::WRITE).done();
            file.map(2 * PAGE, false, &mut |map| {
                assert_eq!(map.get(PAGE - 1, 2), [1, 1]);
                file.write(PAGE as i64 - 1, &[2, 3]).done();
                assert_eq!(map.get(PAGE - 2, 4), [1, 2, 3, 1]);
                b.elsewhere(|b| {
                    b.open("f", How::WRITE).done().write(0, b"xyz").done();
                });
                assert_eq!(map.get(0, 4), b"xyz\x01");
            })
            .done();
        }),
        check("what is written to a mapping is in its file", |b| {
            b.make("f", &[1; 2 * PAGE]);
            let file = b.open("f", How::WRITE).done();
            file.map(2 * PAGE, true, &mut |map| {
                map.put(PAGE - 1, b"ab");
                assert_eq!(file.read(PAGE as i64 - 2, 4).done(), b"\x01ab\x01");
            })
            .done();
            file.fsync().done();
            drop(file);
            assert_eq!(b.content("f")[PAGE - 2..PAGE + 2], *b"\x01ab\x01");
        }),
        check("msync stores a mapping", |b| {
            b.make("f", &[1; PAGE]);
            let ino = b.ino("f");
            let file = b.open("f", How::WRITE).done();
            file.map(PAGE, true, &mut |map| {
                map.put(100, b"stored");
                let asked = b.asked::<puffs_rs::abi::vn::Write>(Some(ino), || map.sync().done());
                assert!(asked > 0, "no write");
            })
            .done();
        }),
        check("a mapping outlives its descriptor", |b| {
            b.make("f", b"hello");
            let calls = b.calls();
            let fd = calls.open("/mnt/f", How::WRITE).done();
            calls
                .map(fd, PAGE, true, &mut |map| {
                    calls.close(fd).done();
                    b.unlink("f").done();
                    assert_eq!(map.get(0, 5), b"hello");
                    map.put(0, b"J");
                    assert_eq!(map.get(0, 5), b"Jello");
                })
                .done();
            assert_eq!(b.files(), 1);
        }),
        check("two mappings of a file are one memory", |b| {
            b.make("f", &[0; PAGE]);
            let (one, two) = (
                b.open("f", How::WRITE).done(),
                b.open("f", How::WRITE).done(),
            );
            one.map(PAGE, true, &mut |first| {
                two.map(PAGE, true, &mut |second| {
                    first.put(10, b"first");
                    second.put(20, b"second");
                    assert_eq!(second.get(10, 5), b"first");
                    assert_eq!(first.get(20, 6), b"second");
                })
                .done();
            })
            .done();
        }),
        check("a hole is mapped as zeroes and can be filled", |b| {
            b.make("f", b"");
            b.truncate("f", 4 * PAGE as i64).done();
            let file = b.open("f", How::WRITE).done();
            file.map(4 * PAGE, true, &mut |map| {
                assert!(map.get(0, 4 * PAGE).iter().all(|&byte| byte == 0));
                map.put(2 * PAGE, b"filled");
            })
            .done();
            file.fsync().done();
            assert_eq!(file.read(2 * PAGE as i64, 6).done(), b"filled");
            assert_eq!(file.stat().done().size, 4 * PAGE as i64);
        }),
        check(
            "a mapping of a file that gets longer has the new part",
            |b| {
                b.make("f", &[1; PAGE]);
                let file = b.open("f", How::WRITE).done();
                file.map(2 * PAGE, false, &mut |map| {
                    assert_eq!(map.get(0, 1), [1]);
                    file.write(PAGE as i64, &[2; PAGE]).done();
                    assert_eq!(map.get(PAGE, 2), [2, 2]);
                })
                .done();
            },
        ),
        check("without a page cache nothing is mapped", |b| {
            b.make("f", b"x");
            let file = b.open("f", How::READ).done();
            file.map(PAGE, false, &mut |_| {}).fails(EOPNOTSUPP);
        })
        .under(&[Flags::NOCACHE_PAGE]),
    ]
}
