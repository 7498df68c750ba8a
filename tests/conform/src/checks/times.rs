//! When files were read, written and changed.
//!
//! A time is set to long ago, and either stays there or moves to the time of
//! day, so that no clocks are compared: the kernel's and the server's are two.

use crate::{Bed, Check, Flags, Outcome};
use puffs_script::world::{How, Stat, Time};

const FAMILY: &str = "times";

/// Long ago: these times were set.
const READ_THEN: Time = 1_000_000_000_123_456_789;
const WRITTEN_THEN: Time = 1_100_000_000_987_654_321;

/// Not so long ago: what comes from a clock is later.
const SINCE: Time = 1_500_000_000_000_000_000;

/// Where what is read from the page cache is noted down.
const NOTED: &[Flags] = &[
    Flags::DEFAULT,
    Flags::NOCACHE_NAME,
    Flags::NOCACHE_PAGE,
    Flags::WTCACHE,
    Flags::IAONDEMAND,
    Flags::CACHE_FS_TTL,
];

/// Sets both times of a file to long ago. The time of its last change cannot be
/// set: that is now.
fn age(b: &Bed<'_>, name: &str) -> Stat {
    b.utimes(name, Some([READ_THEN, WRITTEN_THEN]), false)
        .done();
    let stat = b.lstat(name).done();
    assert_eq!(
        (stat.atime, stat.mtime),
        (READ_THEN, WRITTEN_THEN),
        "{name}"
    );
    stat
}

/// Which of the times, of the last read and of the last write, have moved.
fn moved(b: &Bed<'_>, name: &str) -> (bool, bool) {
    let stat = b.lstat(name).done();
    let is_now = |time: Time, then: Time| {
        assert!(time == then || time > SINCE, "{name}: {time}");
        time != then
    };
    (
        is_now(stat.atime, READ_THEN),
        is_now(stat.mtime, WRITTEN_THEN),
    )
}

/// Does this change a file, by the time of its last change?
///
/// What was noted down goes to the server before, or it hides what the server
/// notes: that a name of a file went, `puffs_vnops.c` does not note.
fn changes(b: &Bed<'_>, name: &str, work: impl FnOnce()) -> bool {
    b.open(name, How::READ).done().fsync().done();
    let before = b.lstat(name).done().ctime;
    // A tick of the kernel's clock, and some.
    std::thread::sleep(std::time::Duration::from_millis(25));
    work();
    b.lstat(name).done().ctime != before
}

const NEITHER: (bool, bool) = (false, false);
const READ: (bool, bool) = (true, false);
const WRITTEN: (bool, bool) = (false, true);

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("times can be set to the nanosecond", |b| {
            b.make("f", b"");
            b.mkdir("d").done();
            b.symlink("f", "l").done();
            b.mkfifo("p").done();
            for name in ["f", "d", "l", "p"] {
                age(b, name);
            }
            b.utimes("l", Some([5, 7]), true).done();
            let stat = b.stat("f").done();
            assert_eq!((stat.atime, stat.mtime), (5, 7));
            assert_eq!(moved(b, "l"), NEITHER);
        }),
        check("times may be before 1970", |b| {
            b.make("f", b"");
            let then = -1_000_000_000_000_000_000;
            b.utimes("f", Some([then, then + 1]), true).done();
            let stat = b.stat("f").done();
            assert_eq!((stat.atime, stat.mtime), (then, then + 1));
        }),
        check("times can be set to the time of day", |b| {
            b.make("f", b"");
            age(b, "f");
            b.utimes("f", None, true).done();
            assert_eq!(moved(b, "f"), (true, true));
        }),
        check("what is made has the time of day", |b| {
            b.make("f", b"");
            b.mkdir("d").done();
            b.symlink("f", "l").done();
            b.mkfifo("p").done();
            for name in ["f", "d", "l", "p"] {
                let stat = b.lstat(name).done();
                for time in [stat.atime, stat.mtime, stat.ctime] {
                    assert!(time > SINCE, "{name}: {time}");
                }
            }
        }),
        check("a look moves no time", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            age(b, "f");
            age(b, "d");
            let changed = changes(b, "f", || {
                b.stat("f").done();
                b.access("f", 4).done();
                b.open("f", How::READ).done();
                b.open("f", How::WRITE).done();
                b.stat("d").done();
                b.pathconf("f", 4).done();
            });
            assert!(!changed);
            assert_eq!(moved(b, "f"), NEITHER);
            assert_eq!(moved(b, "d"), NEITHER);
        }),
        check("a read moves the time of the last read", |b| {
            b.make("f", b"x");
            age(b, "f");
            assert_eq!(b.content("f"), b"x");
            assert_eq!(moved(b, "f"), READ);
        })
        .under(NOTED),
        check("a listing moves the time of the last read", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"");
            age(b, "d");
            b.list("d");
            assert_eq!(moved(b, "d"), READ);
        }),
        check("a write moves the time of the last write", |b| {
            b.make("f", b"x");
            age(b, "f");
            let changed = changes(b, "f", || {
                b.open("f", How::WRITE).done().write(0, b"y").done();
            });
            assert!(changed);
            assert_eq!(moved(b, "f"), WRITTEN);
        }),
        check("a write of nothing moves no time", |b| {
            b.make("f", b"x");
            age(b, "f");
            b.open("f", How::WRITE).done().write(0, b"").done();
            assert_eq!(moved(b, "f"), NEITHER);
        }),
        check("another size moves the time of the last write", |b| {
            b.make("f", b"12345");
            age(b, "f");
            b.truncate("f", 3).done();
            assert_eq!(moved(b, "f"), WRITTEN);
            age(b, "f");
            b.truncate("f", 30).done();
            assert_eq!(moved(b, "f"), WRITTEN);
            age(b, "f");
            let file = b.open("f", How::WRITE).done();
            assert!(changes(b, "f", || file.truncate(1).done()));
            assert_eq!(moved(b, "f"), WRITTEN);
            drop(file);
            age(b, "f");
            let how = How {
                truncate: true,
                ..How::WRITE
            };
            b.open("f", how).done();
            assert_eq!(moved(b, "f"), WRITTEN);
        }),
        check(
            "other attributes move the time of the last change only",
            |b| {
                b.make("f", b"x");
                age(b, "f");
                assert!(changes(b, "f", || b.chmod("f", 0o600).done()), "chmod");
                assert!(
                    changes(b, "f", || b.chown("f", Some(7), None).done()),
                    "chown"
                );
                assert!(changes(b, "f", || b.link("f", "g").done()), "link");
                assert!(changes(b, "f", || b.unlink("g").done()), "unlink");
                let moves = || {
                    b.rename("f", "h").done();
                    b.rename("h", "f").done();
                };
                assert!(changes(b, "f", moves), "rename");
                assert_eq!(moved(b, "f"), NEITHER);
            },
        )
        .under(Flags::OF_NAMES),
        check("what is made and removed moves its directory's time", |b| {
            b.mkdir("d").done();
            b.make("f", b"");
            let written = |what: &str, work: &dyn Fn()| {
                age(b, "d");
                work();
                assert_eq!(moved(b, "d"), WRITTEN, "{what}");
            };
            written("create", &|| drop(b.open("d/f", How::CREATE).done()));
            written("mkdir", &|| b.mkdir("d/e").done());
            written("symlink", &|| b.symlink("x", "d/l").done());
            written("mknod", &|| b.mkfifo("d/p").done());
            written("link", &|| b.link("f", "d/g").done());
            written("unlink", &|| b.unlink("d/f").done());
            written("rmdir", &|| b.rmdir("d/e").done());
            written("rename within", &|| b.rename("d/g", "d/h").done());
            written("rename into", &|| b.rename("f", "d/i").done());
            written("rename out of", &|| b.rename("d/i", "f").done());
            age(b, "d");
            b.open("d/h", How::WRITE).done().write(0, b"x").done();
            assert_eq!(moved(b, "d"), NEITHER, "a write to a file in it");
        }),
        check("times that are set stay when the file is stored", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(0, b"data").done();
            age(b, "f");
            file.fsync().done();
            assert_eq!(moved(b, "f"), NEITHER, "after fsync");
            drop(file);
            assert_eq!(moved(b, "f"), NEITHER, "after close");
            b.open("f", How::READ).done();
            assert_eq!(moved(b, "f"), NEITHER, "after open");
        })
        // Where the server keeps the times, a page that comes after they were
        // set moves them.
        .under(NOTED),
        check(
            "times that were noted down stay when the file is stored",
            |b| {
                b.make("f", b"x");
                age(b, "f");
                let file = b.open("f", How::WRITE).done();
                file.write(0, b"y").done();
                let times = || {
                    let stat = b.stat("f").done();
                    [stat.atime, stat.mtime, stat.ctime]
                };
                let before = times();
                file.fsync().done();
                assert_eq!(times(), before, "after fsync");
                drop(file);
                assert_eq!(times(), before, "after close");
                assert_eq!(moved(b, "f"), WRITTEN);
            },
        )
        .under(NOTED),
        check("a file that moves takes its times along", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            age(b, "f");
            b.rename("f", "d/g").done();
            assert_eq!(moved(b, "d/g"), NEITHER);
        }),
    ]
}
