//! Listing directories.

use crate::{errno::*, Bed, Check, Entry, Flags, Outcome};
use puffs_script::world::{How, Whence};
use std::collections::BTreeSet;

const FAMILY: &str = "directories";

/// So many files are many.
const MANY: usize = 10_000;

/// The ways to list many: how much room there is at a time.
const ROOMS: [usize; 4] = [512, 1000, 4096, 65_536];

/// The names of entries, each of which is there once.
fn names(entries: &[Entry]) -> BTreeSet<String> {
    let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(names.len(), entries.len(), "a name is there twice");
    names
}

/// What a directory with that many files has in it.
fn expected(count: usize) -> BTreeSet<String> {
    let files = (0..count).map(|nth| format!("file-{nth}"));
    files.chain([".".into(), "..".into()]).collect()
}

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    let mut checks = vec![
        check("an empty directory has two entries", |b| {
            b.mkdir("d").done();
            let entries = b.entries("d", 4096);
            let of = |name: &str| entries.iter().find(|entry| entry.name == name).cloned();
            assert_eq!(entries.len(), 2);
            assert_eq!(of(".").map(|entry| entry.ino), Some(b.ino("d").0 as u64));
            assert_eq!(of("..").map(|entry| entry.ino), Some(b.ino("").0 as u64));
        }),
        check("entries say what they are", |b| {
            const KINDS: [(&str, u8); 5] = [("p", 1), ("c", 2), ("d", 4), ("f", 8), ("l", 10)];
            b.make("f", b"");
            b.mkdir("d").done();
            b.symlink("f", "l").done();
            b.mkfifo("p").done();
            b.mknod("c", 0x0203).done();
            let entries = b.entries("", 4096);
            for (name, kind) in KINDS {
                let found = entries.iter().find(|entry| entry.name == name);
                let found = found.map(|entry| (entry.ino, entry.kind));
                assert_eq!(found, Some((b.ino(name).0 as u64, kind)), "{name}");
            }
        }),
        check("a listing has what is there", |b| {
            b.mkdir("d").done();
            assert!(b.list("d").is_empty());
            b.make("d/b", b"");
            b.make("d/a", b"");
            assert_eq!(b.list("d"), ["a", "b"]);
            b.rename("d/a", "d/c").done();
            assert_eq!(b.list("d"), ["b", "c"]);
            b.unlink("d/b").done();
            assert_eq!(b.list("d"), ["c"]);
            b.unlink("d/c").done();
            assert!(b.list("d").is_empty());
        }),
        check("a listing starts again", |b| {
            for name in ["a", "b", "c"] {
                b.make(name, b"");
            }
            let dir = b.open("", How::READ).done();
            let first = dir.getdents(4096).done();
            assert!(dir.getdents(4096).done().is_empty());
            b.make("d", b"");
            dir.seek(0, Whence::Start).done();
            let second = dir.getdents(4096).done();
            assert_eq!((first.len(), second.len()), (5, 6));
        }),
        check("a listing wants room for an entry", |b| {
            b.make(&"n".repeat(200), b"");
            let dir = b.open("", How::READ).done();
            dir.getdents(10).fails(EINVAL);
            assert_eq!(dir.getdents(100).done().len(), 2);
            dir.getdents(100).fails(EINVAL);
            assert_eq!(dir.getdents(1000).done().len(), 1);
            assert!(dir.getdents(1000).done().is_empty());
        }),
        check("only a directory is listed", |b| {
            b.make("f", b"");
            b.open("f", How::READ).done().getdents(4096).fails(EINVAL);
        }),
        check("a directory counts its directories", |b| {
            assert_eq!(b.stat("").done().nlink, 2);
            b.mkdir("d").done();
            assert_eq!(b.stat("").done().nlink, 3);
            assert_eq!(b.stat("d").done().nlink, 2);
            for nth in 0..5 {
                b.mkdir(&format!("d/{nth}")).done();
            }
            b.make("d/f", b"");
            assert_eq!(b.stat("d").done().nlink, 7);
            b.rmdir("d/0").done();
            assert_eq!(b.stat("d").done().nlink, 6);
        }),
        check("any place of a listing is found again", |b| {
            b.fill("", 100);
            let dir = b.open("", How::READ).done();
            let mut places = Vec::new();
            loop {
                let place = dir.seek(0, Whence::Here).done();
                let part = dir.getdents(100).done();
                let Some(first) = part.first().cloned() else {
                    break;
                };
                places.push((place, first));
            }
            assert!(places.len() > 20);
            for (place, first) in places.into_iter().rev() {
                dir.seek(place, Whence::Start).done();
                assert_eq!(dir.getdents(100).done().first(), Some(&first), "at {place}");
            }
        }),
        check("entries that go do not hide others", |b| {
            b.fill("", 100);
            let dir = b.open("", How::READ).done();
            let mut seen = Vec::new();
            loop {
                let part = dir.getdents(200).done();
                if part.is_empty() {
                    break;
                }
                for entry in part {
                    if entry.name.starts_with("file-") {
                        b.unlink(&entry.name).done();
                    }
                    seen.push(entry);
                }
            }
            assert_eq!(names(&seen), expected(100));
            assert!(b.list("").is_empty());
        }),
        check("entries that come do not hide others", |b| {
            b.fill("", 50);
            let dir = b.open("", How::READ).done();
            let mut seen = Vec::new();
            for nth in 0..1000 {
                let part = dir.getdents(200).done();
                if part.is_empty() {
                    break;
                }
                if nth < 20 {
                    b.make(&format!("new-{nth}"), b"");
                }
                seen.extend(part);
            }
            assert!(names(&seen).is_superset(&expected(50)));
        }),
        check("a name among ten thousand is found", |b| {
            b.mkdir("d").done();
            b.fill("d", MANY);
            for nth in [0, 1, 4711, MANY - 1] {
                let name = format!("d/file-{nth}");
                b.make(&name, b"found");
                assert_eq!(b.content(&name), b"found");
            }
            b.stat("d/file-none").fails(ENOENT);
            b.rmdir("d").fails(ENOTEMPTY);
            assert_eq!(b.stat("d").done().nlink, 2);
        })
        .under(Flags::OF_NAMES),
        check(
            "every tenth of ten thousand is removed while they are listed",
            |b| {
                b.mkdir("d").done();
                b.fill("d", MANY);
                let dir = b.open("d", How::READ).done();
                let mut seen = Vec::new();
                loop {
                    let part = dir.getdents(4096).done();
                    if part.is_empty() {
                        break;
                    }
                    for (nth, entry) in part.iter().enumerate() {
                        if nth % 10 == 9 {
                            b.unlink(&format!("d/{}", entry.name)).done();
                        }
                    }
                    seen.extend(part);
                }
                assert_eq!(names(&seen), expected(MANY));
                assert!(b.list("d").len() < MANY * 92 / 100);
            },
        )
        .under(Flags::ONE),
    ];
    for room in ROOMS {
        let body = move |b: &Bed<'_>| {
            b.mkdir("d").done();
            b.fill("d", MANY);
            assert_eq!(names(&b.entries("d", room)), expected(MANY));
        };
        let check = Check::new(FAMILY, "ten thousand entries are listed", body);
        let flags = &[Flags::DEFAULT, Flags::NOCACHE_NAME];
        checks.push(
            check
                .variant(format!("{room} bytes at a time"))
                .under(flags),
        );
    }
    checks
}
