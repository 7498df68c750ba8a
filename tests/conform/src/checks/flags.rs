//! What each flag of a mount changes: the requests that the server gets.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_rs::abi::{vn, Cookie, KFLAG_LOOKUP_FULLPNBUF, KFLAG_NOCACHE_NAME};
use puffs_script::world::{Ability, How};

const FAMILY: &str = "flags";

/// Whole paths, in lookups that names in the cache do not spare.
const FULL_PATHS: &[Flags] = &[Flags {
    name: "lookup_fullpnbuf nocache_name",
    bits: KFLAG_LOOKUP_FULLPNBUF | KFLAG_NOCACHE_NAME,
}];

/// Flags under which the server hears of each file that is not in use any more.
const TOLD: &[Flags] = &[
    Flags::DEFAULT,
    Flags::NOCACHE_NAME,
    Flags::NOCACHE_PAGE,
    Flags::WTCACHE,
    Flags::LOOKUP_FULLPNBUF,
    Flags::CACHE_DOTDOT,
    Flags::NOFLUSH_META,
];

/// Flags under which a file that nobody uses is kept, though.
const KEPT: &[Flags] = &[
    Flags::DEFAULT,
    Flags::NOCACHE_NAME,
    Flags::NOCACHE_PAGE,
    Flags::WTCACHE,
    Flags::IAONDEMAND,
    Flags::LOOKUP_FULLPNBUF,
    Flags::CACHE_DOTDOT,
    Flags::NOFLUSH_META,
];

/// Long enough for names and attributes to hold while a check is played.
const LONG: i64 = 1000;

fn lookups(b: &Bed<'_>, work: impl FnOnce()) -> usize {
    b.asked::<vn::Lookup>(None, work)
}

/// How many writes the server is asked for by ten of a caller's, and how many by
/// the fsync(2) after them.
fn writes(b: &Bed<'_>) -> (usize, usize) {
    let file = b.open("f", How::CREATE).done();
    let ino = b.ino("f");
    let at_once = b.asked::<vn::Write>(Some(ino), || {
        for nth in 0..10 {
            file.write(nth * 100, &[7; 100]).done();
        }
    });
    let stored = b.asked::<vn::Write>(Some(ino), || file.fsync().done());
    (at_once, stored)
}

fn stats(b: &Bed<'_>, name: &str, times: usize) -> usize {
    lookups(b, || {
        for _ in 0..times {
            // It may not be there.
            let _ = b.stat(name);
        }
    })
}

/// How often a file goes out of use while this is done.
fn inactive(b: &Bed<'_>, file: Cookie, work: impl FnOnce()) -> usize {
    b.asked::<vn::Inactive>(Some(file), work)
}

/// How often a file goes out of use while it is looked at so often.
fn looks(b: &Bed<'_>, file: Cookie, times: usize) -> usize {
    inactive(b, file, || {
        for _ in 0..times {
            b.stat("f").done();
        }
    })
}

pub(super) fn checks() -> Vec<Check> {
    let check = |flags, title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body).under(flags);
    vec![
        // Names.
        check(
            &[
                Flags::DEFAULT,
                Flags::NOCACHE_PAGE,
                Flags::IAONDEMAND,
                Flags::LOOKUP_FULLPNBUF,
                Flags::CACHE_DOTDOT,
            ],
            "a name that was made is not looked up",
            |b| {
                b.make("f", b"");
                b.mkdir("d").done();
                b.make("d/f", b"");
                assert_eq!(stats(b, "f", 5), 0);
                assert_eq!(stats(b, "d/f", 5), 0);
            },
        ),
        check(
            &[Flags::NOCACHE_NAME],
            "each name in a path costs a lookup each time",
            |b| {
                b.make("f", b"");
                b.mkdir("d").done();
                b.mkdir("d/e").done();
                b.make("d/e/f", b"");
                assert_eq!(stats(b, "f", 5), 5);
                assert_eq!(stats(b, "d/e/f", 5), 15);
                assert_eq!(stats(b, "d/e/..", 5), 15);
                assert_eq!(stats(b, ".", 5), 0);
            },
        ),
        check(
            &[Flags::DEFAULT, Flags::IAONDEMAND],
            "a name that is not there is looked up once",
            |b| {
                assert_eq!(stats(b, "none", 5), 1);
                b.make("none", b"");
                assert_eq!(stats(b, "none", 5), 0);
                b.unlink("none").done();
                assert_eq!(stats(b, "none", 5), 1);
            },
        ),
        check(
            &[Flags::NOCACHE_NAME, Flags::CACHE_FS_TTL],
            "a name that is not there is looked up each time",
            |b| assert_eq!(stats(b, "none", 5), 5),
        ),
        check(
            &[Flags::DEFAULT],
            "a name that was moved is looked up once",
            |b| {
                b.make("f", b"");
                b.rename("f", "g").done();
                let count = stats(b, "g", 5);
                assert!(count <= 1, "{count} lookups");
                b.link("g", "h").done();
                let count = stats(b, "h", 5);
                assert!(count <= 1, "{count} lookups");
            },
        ),
        check(
            FULL_PATHS,
            "a lookup comes with the rest of the path",
            |b| {
                b.mkdir("d").done();
                b.mkdir("d/e").done();
                b.make("d/e/f", b"");
                b.stat("d/e/f").done();
                assert_eq!(b.counts().paths(3), ["d/e/f", "e/f", "f"]);
                b.stat("d//e/").done();
                assert_eq!(b.counts().paths(2), ["d//e/", "e/"]);
            },
        ),
        check(
            &[Flags::NOCACHE_NAME],
            "a lookup comes with the name alone",
            |b| {
                b.mkdir("d").done();
                b.mkdir("d/e").done();
                b.stat("d/e").done();
                assert_eq!(b.counts().paths(2), ["d", "e"]);
            },
        ),
        check(
            &[Flags::CACHE_DOTDOT],
            "what two dots stand for is not looked up",
            |b| {
                b.mkdir("d").done();
                b.mkdir("d/e").done();
                assert_eq!(stats(b, "d/e/..", 5), 0);
                assert_eq!(stats(b, "d/e/../..", 5), 0);
                b.mkdir("f").done();
                b.rename("d/e", "f/e").done();
                b.stat("f/e").done();
                assert_eq!(stats(b, "f/e/..", 5), 0);
                assert_eq!(b.ino("f/e/.."), b.ino("f"));
            },
        ),
        check(
            &[Flags::DEFAULT],
            "what two dots stand for is looked up once",
            |b| {
                b.mkdir("d").done();
                b.mkdir("d/e").done();
                assert_eq!(stats(b, "d/e/..", 5), 1);
            },
        ),
        check(
            &[Flags::CACHE_FS_TTL],
            "names that hold are not looked up",
            |b| {
                b.make("f", b"12345");
                assert_eq!(stats(b, "f", 5), 0);
                assert_eq!(b.stat("f").done().size, 5);
            },
        )
        .ttl(LONG),
        check(
            &[Flags::CACHE_FS_TTL],
            "attributes that hold are not asked for",
            |b| {
                b.make("f", b"12345");
                let ino = b.ino("f");
                // What was noted down is told, which ends their time.
                b.stat("f").done();
                b.stat("f").done();
                let asked = b.asked::<vn::Getattr>(Some(ino), || {
                    for _ in 0..5 {
                        assert_eq!(b.stat("f").done().size, 5);
                    }
                });
                assert_eq!(asked, 0);
            },
        )
        .needs(Ability::AttributeCache)
        .ttl(LONG),
        check(
            &[Flags::CACHE_FS_TTL],
            "names and attributes without a time are asked for",
            |b| {
                b.make("f", b"");
                b.stat("f").done();
                let ino = b.ino("f");
                let asked = b.asked::<vn::Getattr>(Some(ino), || {
                    assert_eq!(stats(b, "f", 5), 5);
                });
                assert_eq!(asked, 5);
            },
        ),
        check(
            &[Flags::CACHE_FS_TTL],
            "a name is looked up again when its time is over",
            |b| {
                b.make("f", b"");
                assert_eq!(stats(b, "f", 3), 0);
                std::thread::sleep(std::time::Duration::from_millis(1300));
                assert_eq!(stats(b, "f", 3), 1);
            },
        )
        .ttl(1),
        check(
            &[Flags::CACHE_FS_TTL],
            "a change makes attributes that hold be asked for",
            |b| {
                b.make("f", b"");
                b.stat("f").done();
                b.chmod("f", 0o600).done();
                b.truncate("f", 10).done();
                let stat = b.stat("f").done();
                assert_eq!((stat.mode, stat.size), (0o600, 10));
            },
        )
        .ttl(LONG),
        // Data.
        check(
            &[Flags::DEFAULT, Flags::NOFLUSH_META],
            "what is written is kept until it is stored",
            |b| assert_eq!(writes(b), (0, 1)),
        ),
        check(
            &[Flags::NOCACHE_PAGE, Flags::WTCACHE],
            "what is written goes to the server at once",
            |b| assert_eq!(writes(b), (10, 0)),
        ),
        check(
            &[Flags::DEFAULT, Flags::WTCACHE, Flags::NOFLUSH_META],
            "what is in the page cache is not read again",
            |b| {
                b.make("f", &[7; 10_000]);
                let file = b.open("f", How::READ).done();
                let ino = b.ino("f");
                let read = b.asked::<vn::Read>(Some(ino), || {
                    for _ in 0..5 {
                        assert_eq!(file.read(0, 10_000).done(), [7; 10_000]);
                    }
                });
                assert_eq!(read, 0);
            },
        ),
        check(
            &[Flags::NOCACHE_PAGE],
            "without a page cache each read is one of the server's",
            |b| {
                b.make("f", &[7; 10_000]);
                let file = b.open("f", How::READ).done();
                let ino = b.ino("f");
                let read = b.asked::<vn::Read>(Some(ino), || {
                    for nth in 0..5 {
                        assert_eq!(file.read(nth * 10, 10).done(), [7; 10]);
                    }
                });
                assert_eq!(read, 5);
            },
        ),
        check(
            &[Flags::DEFAULT, Flags::WTCACHE],
            "a size that was noted down is told with what is stored",
            |b| {
                let file = b.open("f", How::CREATE).done();
                let ino = b.ino("f");
                let told = b.asked::<vn::Setattr>(Some(ino), || {
                    file.write(0, &[7; 100]).done();
                });
                assert_eq!(told, 0);
                assert_eq!(b.asked::<vn::Setattr>(Some(ino), || file.fsync().done()), 1);
            },
        ),
        check(
            &[Flags::NOFLUSH_META],
            "a size that nobody notes down is told at once",
            |b| {
                let file = b.open("f", How::CREATE).done();
                let ino = b.ino("f");
                let told = b.asked::<vn::Setattr>(Some(ino), || {
                    file.write(0, &[7; 100]).done();
                    file.write(100, &[7; 100]).done();
                    file.write(0, &[8; 100]).done();
                });
                assert_eq!(told, 2);
            },
        ),
        // In use, and not any more.
        check(TOLD, "each look at a file makes it inactive once", |b| {
            b.make("f", b"");
            let ino = b.ino("f");
            assert_eq!(looks(b, ino, 1), 1);
            assert_eq!(inactive(b, ino, || b.chmod("f", 0o600).done()), 1);
            assert_eq!(looks(b, ino, 5), 5);
            assert_eq!(b.counts().of::<vn::Reclaim>(ino), 0);
        }),
        check(
            TOLD,
            "a file is inactive when the last one closes it",
            |b| {
                b.make("f", b"x");
                let ino = b.ino("f");
                let mut files = Vec::new();
                let opened = inactive(b, ino, || {
                    files.extend((0..3).map(|_| b.open("f", How::WRITE).done()));
                    b.stat("f").done();
                });
                assert_eq!(opened, 0);
                assert_eq!(inactive(b, ino, || files.truncate(1)), 0);
                assert_eq!(inactive(b, ino, || files.clear()), 1);
            },
        ),
        check(
            &[Flags::IAONDEMAND],
            "no file is said to be inactive if nobody asked for it",
            |b| {
                b.make("f", b"x");
                b.mkdir("d").done();
                b.stat("f").done();
                b.content("f");
                b.rename("f", "d/f").done();
                b.unlink("d/f").done();
                b.rmdir("d").done();
                assert_eq!(b.counts().all::<vn::Inactive>(), 0);
            },
        ),
        check(
            KEPT,
            "a removed file is given back once, with all it was told of",
            |b| {
                b.make("f", b"x");
                b.stat("f").done();
                let ino = b.ino("f");
                b.unlink("f").done();
                assert_eq!(b.counts().of::<vn::Reclaim>(ino), 1);
                assert_eq!(b.files(), 1);
                b.mkdir("d").done();
                let ino = b.ino("d");
                b.rmdir("d").done();
                assert_eq!(b.counts().of::<vn::Reclaim>(ino), 1);
                assert_eq!(b.files(), 1);
            },
        ),
        check(
            KEPT,
            "a removed file that is open is given back when it is closed",
            |b| {
                b.make("f", b"x");
                let ino = b.ino("f");
                let (one, two) = (b.open("f", How::READ).done(), b.open("f", How::READ).done());
                b.unlink("f").done();
                drop(one);
                assert_eq!(b.counts().of::<vn::Reclaim>(ino), 0);
                drop(two);
                assert_eq!(b.counts().of::<vn::Reclaim>(ino), 1);
            },
        ),
        check(KEPT, "a file that is not removed is not given back", |b| {
            for nth in 0..20 {
                b.make(&format!("f{nth}"), b"x");
            }
            assert_eq!(b.counts().all::<vn::Reclaim>(), 0);
        }),
        check(
            &[Flags::CACHE_FS_TTL],
            "a name whose time is over takes its file along",
            |b| {
                b.make("f", b"x");
                b.stat("f").done();
                let ino = b.ino("f");
                assert!(b.counts().of::<vn::Reclaim>(ino) > 0);
                assert_eq!(b.content("f"), b"x");
            },
        ),
        check(Flags::ONE, "a failed look is nothing to give back", |b| {
            for _ in 0..5 {
                b.stat("none").fails(ENOENT);
                b.open("none", How::READ).fails(ENOENT);
            }
            let counts = b.counts();
            assert_eq!(counts.all::<vn::Reclaim>(), 0);
        }),
    ]
}
