//! Moving names, over everything.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_script::world::{Ability, How};

const FAMILY: &str = "rename";

/// What there is to move, and to move over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Thing {
    File,
    Link,
    Fifo,
    EmptyDir,
    FullDir,
    Nothing,
}

use Thing::{EmptyDir, Fifo, File, FullDir, Link, Nothing};

impl Thing {
    fn name(self) -> &'static str {
        match self {
            File => "a file",
            Link => "a symbolic link",
            Fifo => "a fifo",
            EmptyDir => "an empty directory",
            FullDir => "a full directory",
            Nothing => "nothing",
        }
    }

    fn make(self, b: &Bed<'_>, name: &str) {
        match self {
            File => b.make(name, name.as_bytes()),
            Link => b.symlink(name, name).done(),
            Fifo => b.mkfifo(name).done(),
            EmptyDir => b.mkdir(name).done(),
            FullDir => {
                b.mkdir(name).done();
                b.make(&format!("{name}/inside"), b"");
            }
            Nothing => {}
        }
    }

    fn is_dir(self) -> bool {
        matches!(self, EmptyDir | FullDir)
    }

    /// What moving it over another ends with.
    fn over(self, other: Thing) -> Option<i32> {
        match (self.is_dir(), other) {
            (_, Nothing) | (true, EmptyDir) => None,
            (true, FullDir) => Some(ENOTEMPTY),
            (true, _) => Some(ENOTDIR),
            (false, EmptyDir | FullDir) => Some(EISDIR),
            (false, _) => None,
        }
    }
}

/// Moves one thing over another, in the directories with these names.
fn over(b: &Bed<'_>, [from, to]: [Thing; 2], [from_dir, to_dir]: [&str; 2]) {
    let (source, target) = (format!("{from_dir}source"), format!("{to_dir}target"));
    from.make(b, &source);
    to.make(b, &target);
    let before = b.ino(&source);
    match from.over(to) {
        Some(errno) => {
            let after = b.ino(&target);
            b.rename(&source, &target).fails(errno);
            assert_eq!((b.ino(&source), b.ino(&target)), (before, after));
        }
        None => {
            let files = b.files();
            b.rename(&source, &target).done();
            assert!(!b.has(&source), "the old name");
            assert_eq!(b.ino(&target), before, "the new name");
            let replaced = usize::from(to != Nothing);
            if !b.flags.has(Flags::IAONDEMAND) {
                // With it nobody tells the kernel that what was there is gone.
                assert_eq!(b.files(), files - replaced, "files of the server");
            }
            match from {
                File => assert_eq!(b.content(&target), source.as_bytes()),
                Link => assert_eq!(b.readlink(&target).done(), source.as_bytes()),
                FullDir => assert_eq!(b.list(&target).len(), 1),
                EmptyDir => assert!(b.list(&target).is_empty()),
                Fifo | Nothing => {}
            }
        }
    }
}

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    let mut checks = vec![
        check("a file moves within its directory", |b| {
            b.make("f", b"x");
            let ino = b.ino("f");
            b.rename("f", "g").done();
            assert_eq!(b.list(""), ["g"]);
            assert_eq!(b.ino("g"), ino);
            assert_eq!(b.content("g"), b"x");
            b.stat("f").fails(ENOENT);
        }),
        check("a directory moves with all that is in it", |b| {
            b.mkdir("a").done();
            b.mkdir("a/d").done();
            b.mkdir("a/d/e").done();
            b.make("a/d/e/f", b"inside");
            b.mkdir("b").done();
            b.rename("a/d", "b/moved").done();
            assert_eq!(b.content("b/moved/e/f"), b"inside");
            b.stat("a/d").fails(ENOENT);
            b.stat("a/d/e/f").fails(ENOENT);
            assert_eq!(b.ino("b/moved/e/../.."), b.ino("b"));
        }),
        check("parents count their directories", |b| {
            b.mkdir("a").done();
            b.mkdir("b").done();
            b.mkdir("a/d").done();
            assert_eq!((b.stat("a").done().nlink, b.stat("b").done().nlink), (3, 2));
            b.rename("a/d", "b/d").done();
            assert_eq!((b.stat("a").done().nlink, b.stat("b").done().nlink), (2, 3));
            b.mkdir("a/d").done();
            b.rename("a/d", "b/d").done();
            assert_eq!((b.stat("a").done().nlink, b.stat("b").done().nlink), (2, 3));
        }),
        check("a directory does not move into itself", |b| {
            b.mkdir("d").done();
            b.mkdir("d/e").done();
            b.rename("d", "d/x").fails(EINVAL);
            b.rename("d", "d/e/x").fails(EINVAL);
            b.rename("d", "d/e").fails(EINVAL);
            b.rename("d/e", "d").fails(ENOTEMPTY);
            assert_eq!(b.list("d"), ["e"]);
        }),
        check("dots do not move", |b| {
            b.mkdir("d").done();
            b.mkdir("e").done();
            b.rename("d/.", "x").fails(EINVAL);
            b.rename("d/..", "x").fails(EINVAL);
            b.rename("e", "d/..").fails(EINVAL);
            b.rename("e", "d/.").fails(EISDIR);
            assert_eq!(b.list(""), ["d", "e"]);
        }),
        check("what is not there does not move", |b| {
            b.make("f", b"");
            b.rename("g", "h").fails(ENOENT);
            b.rename("f", "d/h").fails(ENOENT);
            b.rename("d/g", "h").fails(ENOENT);
            assert_eq!(b.list(""), ["f"]);
        }),
        check("a name moves onto itself", |b| {
            b.make("f", b"x");
            b.rename("f", "f").done();
            assert_eq!(b.content("f"), b"x");
            assert_eq!(b.stat("f").done().nlink, 1);
            b.mkdir("d").done();
            b.rename("d", "d").done();
            assert_eq!(b.list(""), ["d", "f"]);
        }),
        check("of two names of a file one is left", |b| {
            // POSIX wants both to stay; that is another system call of NetBSD's.
            b.make("f", b"x");
            b.link("f", "g").done();
            b.rename("f", "g").done();
            assert_eq!(b.list(""), ["g"]);
            assert_eq!(b.stat("g").done().nlink, 1);
            assert_eq!(b.content("g"), b"x");
        }),
        check("nothing moves to another file system", |b| {
            b.make("f", b"");
            b.mkdir("d").done();
            let calls = b.calls();
            calls.rename("/mnt/f", "/elsewhere").fails(EXDEV);
            calls.rename("/mnt/d", "/elsewhere").fails(EXDEV);
            assert_eq!(b.list(""), ["d", "f"]);
        })
        .needs(Ability::Elsewhere),
        check("an open file that is replaced stays", |b| {
            b.make("f", b"old");
            b.make("g", b"new");
            let old = b.open("f", How::WRITE).done();
            b.rename("g", "f").done();
            assert_eq!(b.content("f"), b"new");
            assert_eq!(old.read(0, 10).done(), b"old");
            assert_eq!(old.stat().done().nlink, 0);
            assert_eq!(old.write(0, b"OLD").done(), 3);
            assert_eq!(old.read(0, 10).done(), b"OLD");
            assert_eq!(b.content("f"), b"new");
        }),
        check("an open file that moves stays the same", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            let file = b.open("f", How::WRITE).done();
            b.rename("f", "d/g").done();
            file.write(1, b"y").done();
            assert_eq!(b.content("d/g"), b"xy");
            assert_eq!(b.ino("d/g").0 as u64, file.stat().done().ino);
        }),
        check("a symbolic link moves to where it leads", |b| {
            b.mkdir("d").done();
            b.symlink("d", "l").done();
            b.rename("l", "l/m").done();
            assert_eq!(b.list(""), ["d"]);
            assert_eq!(b.readlink("d/m").done(), b"d");
            b.stat("l").fails(ENOENT);
        })
        // puffs_vnop_rename takes no name out of the cache, and the walk to the
        // new one has put the old one in.
        .under(&[Flags::NOCACHE_NAME, Flags::CACHE_FS_TTL]),
        check("names change places", |b| {
            b.make("a", b"first");
            b.make("b", b"second");
            for _ in 0..5 {
                b.rename("a", "t").done();
                b.rename("b", "a").done();
                b.rename("t", "b").done();
            }
            assert_eq!(b.content("a"), b"second");
            assert_eq!(b.content("b"), b"first");
            assert_eq!(b.list(""), ["a", "b"]);
        }),
        check("a file moves over others again and again", |b| {
            for nth in 0..30_u8 {
                b.make("new", &[nth; 100]);
                b.rename("new", "f").done();
                assert_eq!(b.content("f"), [nth; 100]);
            }
            assert_eq!(b.list(""), ["f"]);
        }),
        check("everything over everything", |b| {
            let things = [File, Link, Fifo, EmptyDir, FullDir];
            let mut nth = 0;
            for from in things {
                for to in [File, Link, Fifo, EmptyDir, FullDir, Nothing] {
                    let (a, c) = (format!("a{nth}"), format!("b{nth}"));
                    nth += 1;
                    b.mkdir(&a).done();
                    b.mkdir(&c).done();
                    over(b, [from, to], [&format!("{a}/"), &format!("{c}/")]);
                }
            }
        }),
    ];
    for from in [File, Link, Fifo, EmptyDir, FullDir] {
        for to in [File, Link, Fifo, EmptyDir, FullDir, Nothing] {
            let name = format!("{} over {}", from.name(), to.name());
            let body = move |b: &Bed<'_>| over(b, [from, to], ["", ""]);
            let check = Check::new(FAMILY, "one thing moves over another", body);
            checks.push(check.variant(name).under(Flags::ONE));
        }
    }
    checks
}
