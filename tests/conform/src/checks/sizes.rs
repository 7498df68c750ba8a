//! What is in files, and how much.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_script::world::{How, Whence};

const FAMILY: &str = "sizes";

/// A page, which is a block of the server's too.
const PAGE: usize = 4096;

/// Sizes around the edges of blocks, pages, messages and clusters.
const EDGES: [usize; 14] = [
    1, 511, 512, 513, 4095, 4096, 4097, 8192, 61_439, 61_440, 61_441, 65_535, 65_537, 200_000,
];

/// Bytes that are not the same at any two places that are close.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|nth| ((nth * 7 + nth / 251 + seed) % 251) as u8)
        .collect()
}

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("what is written is read", |b| {
            for (nth, len) in EDGES.into_iter().enumerate() {
                let data = pattern(len, nth);
                b.make("f", &data);
                assert_eq!(b.stat("f").done().size, len as i64);
                assert!(b.content("f") == data, "{len} bytes");
            }
        }),
        check(
            "what is written to a file of another process is read",
            |b| {
                let data = pattern(10_000, 1);
                let file = b.open("f", How::CREATE).done();
                b.elsewhere(|b| b.open("f", How::WRITE).done().write(0, &data).done());
                assert!(file.read(0, 20_000).done() == data);
                assert_eq!(file.stat().done().size, 10_000);
            },
        ),
        check("a file ends where it ends", |b| {
            b.make("f", b"12345");
            let file = b.open("f", How::READ).done();
            assert_eq!(file.read(0, 100).done(), b"12345");
            assert_eq!(file.read(3, 100).done(), b"45");
            assert_eq!(file.read(5, 100).done(), b"");
            assert_eq!(file.read(1 << 30, 100).done(), b"");
            assert_eq!(file.read(0, 0).done(), b"");
            file.read(-1, 10).fails(EINVAL);
            b.make("empty", b"");
            assert_eq!(b.content("empty"), b"");
        }),
        check("parts are written over", |b| {
            let mut data = pattern(3 * PAGE, 3);
            b.make("f", &data);
            let file = b.open("f", How::WRITE).done();
            for (at, len) in [
                (0, 10),
                (100, 1),
                (4090, 12),
                (4096, 4096),
                (8191, 2),
                (12_000, 288),
            ] {
                let part = pattern(len, at);
                data[at..at + len].copy_from_slice(&part);
                assert_eq!(file.write(at as i64, &part).done(), len);
                assert!(file.read(0, 4 * PAGE).done() == data, "{len} bytes at {at}");
            }
            file.fsync().done();
            drop(file);
            assert!(b.content("f") == data);
        }),
        check("many small writes make a large file", |b| {
            let data = pattern(30_000, 5);
            let file = b.open("f", How::CREATE).done();
            for (nth, part) in data.chunks(777).enumerate() {
                assert_eq!(file.write((nth * 777) as i64, part).done(), part.len());
            }
            assert_eq!(file.stat().done().size, 30_000);
            assert!(file.read(0, 40_000).done() == data);
        })
        .under(Flags::OF_DATA),
        check("a file is written backwards", |b| {
            let data = pattern(20_000, 6);
            let file = b.open("f", How::CREATE).done();
            for start in (0..20_000).step_by(1000).rev() {
                file.write(start as i64, &data[start..start + 1000]).done();
            }
            drop(file);
            assert!(b.content("f") == data);
        }),
        check("three megabytes go round", |b| {
            let data = pattern(3_000_000, 7);
            b.make("f", &data);
            assert!(b.content("f") == data);
            let file = b.open("f", How::READ).done();
            assert_eq!(file.read(2_999_990, 100).done(), data[2_999_990..]);
        })
        .under(Flags::OF_DATA),
        check("a hole reads as zeroes", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(100_000, b"end").done();
            file.write(50_000, b"middle").done();
            assert_eq!(file.stat().done().size, 100_003);
            let mut expected = vec![0; 100_003];
            expected[50_000..50_006].copy_from_slice(b"middle");
            expected[100_000..].copy_from_slice(b"end");
            assert!(file.read(0, 200_000).done() == expected);
            file.fsync().done();
            drop(file);
            assert!(b.content("f") == expected);
        }),
        check("a hole takes no room", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(1 << 30, b"far").done();
            file.fsync().done();
            let stat = file.stat().done();
            assert_eq!(stat.size, (1 << 30) + 3);
            assert!(stat.blocks < 1000, "{} blocks", stat.blocks);
            assert_eq!(file.read((1 << 30) - 2, 100).done(), b"\0\0far");
            assert_eq!(file.read(1 << 20, 3).done(), [0; 3]);
        }),
        check("a file may be larger than four gigabytes", |b| {
            let file = b.open("f", How::CREATE).done();
            let far = (5 << 30) + 17;
            file.write(far, b"far").done();
            file.write(far & 0xffff_ffff, b"near").done();
            assert_eq!(file.stat().done().size, far + 3);
            assert_eq!(file.read(far, 10).done(), b"far");
            assert_eq!(file.read(far & 0xffff_ffff, 4).done(), b"near");
            drop(file);
            b.truncate("f", 1 << 40).done();
            assert_eq!(b.stat("f").done().size, 1 << 40);
        }),
        check("what is cut off does not come back", |b| {
            for len in [1, 100, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 1] {
                let data = pattern(3 * PAGE, len);
                b.make("f", &data);
                b.truncate("f", len as i64).done();
                assert_eq!(b.stat("f").done().size, len as i64);
                assert!(b.content("f") == data[..len], "cut to {len}");
                b.truncate("f", 3 * PAGE as i64).done();
                let mut expected = data[..len].to_vec();
                expected.resize(3 * PAGE, 0);
                assert!(b.content("f") == expected, "cut to {len} and made longer");
            }
        }),
        check(
            "what is cut off by who has it open does not come back",
            |b| {
                let data = pattern(2 * PAGE, 9);
                let file = b.open("f", How::CREATE).done();
                for len in [0, 10, PAGE - 10, PAGE, PAGE + 10] {
                    file.write(0, &data).done();
                    file.truncate(len as i64).done();
                    assert!(file.read(0, 3 * PAGE).done() == data[..len], "cut to {len}");
                    file.truncate(2 * PAGE as i64).done();
                    let mut expected = data[..len].to_vec();
                    expected.resize(2 * PAGE, 0);
                    assert!(
                        file.read(0, 3 * PAGE).done() == expected,
                        "cut to {len}, longer"
                    );
                }
            },
        ),
        check("a file that was cut off is written behind its end", |b| {
            let data = pattern(2 * PAGE, 10);
            let file = b.open("f", How::CREATE).done();
            file.write(0, &data).done();
            file.truncate(100).done();
            file.write(5000, b"x").done();
            let mut expected = data[..100].to_vec();
            expected.resize(5000, 0);
            expected.push(b'x');
            assert!(file.read(0, 9000).done() == expected);
            drop(file);
            assert!(b.content("f") == expected);
        }),
        check("who has a file open sees it get shorter", |b| {
            b.make("f", &pattern(10_000, 11));
            let file = b.open("f", How::READ).done();
            assert_eq!(file.read(9990, 100).done().len(), 10);
            b.truncate("f", 5000).done();
            assert_eq!(file.stat().done().size, 5000);
            assert_eq!(file.read(4990, 100).done().len(), 10);
            assert_eq!(file.read(9990, 100).done(), b"");
            b.elsewhere(|b| b.truncate("f", 100).done());
            assert_eq!(file.read(0, 10_000).done().len(), 100);
        }),
        check("a size that is set is the size", |b| {
            for len in [0, 10, PAGE, PAGE + 10] {
                let file = b.open("f", How::CREATE).done();
                file.write(0, &pattern(2 * PAGE, len)).done();
                file.truncate(len as i64).done();
                assert_eq!(file.stat().done().size, len as i64);
                drop(file);
                assert_eq!(b.content("f").len(), len);
            }
        }),
        check("the same size changes nothing", |b| {
            b.make("f", b"12345");
            b.truncate("f", 5).done();
            assert_eq!(b.content("f"), b"12345");
            b.truncate("f", 0).done();
            b.truncate("f", 0).done();
            assert_eq!(b.content("f"), b"");
        }),
        check("sizes that a file cannot have", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            b.truncate("f", -1).fails(EINVAL);
            b.truncate("d", 0).fails(EISDIR);
            let file = b.open("f", How::READ).done();
            file.truncate(0).fails(EINVAL);
            let file = b.open("f", How::WRITE).done();
            file.truncate(-1).fails(EINVAL);
            assert_eq!(b.content("f"), b"x");
        }),
        check("a full file system says so", |b| {
            let file = b.open("f", How::CREATE).done();
            let part = vec![7; 256 * 1024];
            let mut written = 0;
            let end = loop {
                match file.write(written, &part) {
                    Ok(len) => written += len as i64,
                    Err(error) => break error.get(),
                }
                assert!(written < 64 << 20, "it does not fill up");
            };
            assert_eq!(end, ENOSPC);
            drop(file);
            b.truncate("f", 0).done();
            b.make("g", &part);
            assert!(b.content("g") == part);
        })
        .under(&[Flags::NOCACHE_PAGE]),
        check("reads and writes go on where the last one ended", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write_on(b"one ").done();
            file.write_on(b"two ").done();
            assert_eq!(file.seek(0, Whence::Here).done(), 8);
            file.write(4, b"TWO").done();
            assert_eq!(file.seek(0, Whence::Here).done(), 8);
            file.write_on(b"three").done();
            assert_eq!(file.seek(0, Whence::Start).done(), 0);
            assert_eq!(file.read_on(4).done(), b"one ");
            assert_eq!(file.read(0, 3).done(), b"one");
            assert_eq!(file.read_on(100).done(), b"TWO three");
            assert_eq!(file.read_on(100).done(), b"");
        }),
        check("a descriptor is moved", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(0, b"0123456789").done();
            assert_eq!(file.seek(4, Whence::Start).done(), 4);
            assert_eq!(file.seek(2, Whence::Here).done(), 6);
            assert_eq!(file.read_on(1).done(), b"6");
            assert_eq!(file.seek(-3, Whence::End).done(), 7);
            assert_eq!(file.read_on(10).done(), b"789");
            assert_eq!(file.seek(-5, Whence::Here).done(), 5);
            file.seek(-1, Whence::Start).fails(EINVAL);
            file.seek(-6, Whence::Here).fails(EINVAL);
            file.seek(-11, Whence::End).fails(EINVAL);
            assert_eq!(file.read_on(1).done(), b"5");
            assert_eq!(file.seek(5, Whence::End).done(), 15);
            assert_eq!(file.read_on(10).done(), b"");
            file.write_on(b"x").done();
            assert_eq!(b.content("f"), b"0123456789\0\0\0\0\0x");
        }),
        check("two descriptors of a file move by themselves", |b| {
            b.make("f", b"abcdef");
            let (one, two) = (b.open("f", How::READ).done(), b.open("f", How::READ).done());
            assert_eq!(one.read_on(2).done(), b"ab");
            assert_eq!(two.read_on(3).done(), b"abc");
            assert_eq!(one.read_on(2).done(), b"cd");
            assert_eq!(two.read_on(3).done(), b"def");
        })
        .under(Flags::OF_DATA),
    ]
}
