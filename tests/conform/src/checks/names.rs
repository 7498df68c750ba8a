//! Names, and the paths that they make up.

use crate::{errno::*, memfs::NAME_MAX, Check, Flags, Outcome};
use puffs_script::{text, world::How};

const FAMILY: &str = "names";

/// A name for each byte beyond ASCII, which it begins and ends with, in order.
fn beyond_ascii() -> Vec<String> {
    let mut names: Vec<_> = (0x80..=0xff)
        .map(|byte| text::of(&[byte, b'x', byte]))
        .collect();
    names.sort();
    names
}

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&crate::Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("a name of 255 bytes is a name", |b| {
            let name = "n".repeat(NAME_MAX);
            b.make(&name, b"long");
            assert_eq!(b.content(&name), b"long");
            assert_eq!(b.list(""), [name.as_str()]);
            let other = "o".repeat(NAME_MAX);
            b.rename(&name, &other).done();
            assert_eq!(b.list(""), [other.as_str()]);
            b.unlink(&other).done();
            assert!(b.list("").is_empty());
        }),
        check("a name of 256 bytes is too long", |b| {
            let name = "n".repeat(NAME_MAX + 1);
            b.make("f", b"");
            b.stat(&name).fails(ENAMETOOLONG);
            b.open(&name, How::CREATE).fails(ENAMETOOLONG);
            b.mkdir(&name).fails(ENAMETOOLONG);
            b.symlink("f", &name).fails(ENAMETOOLONG);
            b.link("f", &name).fails(ENAMETOOLONG);
            b.rename("f", &name).fails(ENAMETOOLONG);
            b.unlink(&name).fails(ENAMETOOLONG);
            b.stat(&format!("{name}/f")).fails(ENAMETOOLONG);
            assert_eq!(b.list(""), ["f"]);
        }),
        check("a path of 1024 bytes is too long", |b| {
            b.make("f", b"");
            // "/mnt/", the name, and "./" before it.
            let room = 1023 - "/mnt/f".len();
            let fits = format!("{}{}f", "./".repeat(room / 2), "/".repeat(room % 2));
            b.stat(&fits).done();
            let too_long = format!("./{fits}");
            b.stat(&too_long).fails(ENAMETOOLONG);
            b.open(&too_long, How::READ).fails(ENAMETOOLONG);
        }),
        check("a name may have any byte but NUL and slash", |b| {
            let bytes = (1..128_u8).filter(|&byte| byte != b'/').map(char::from);
            let mut names: Vec<String> =
                bytes.filter(|&c| c != '.').map(|c| c.to_string()).collect();
            // Each byte that there is in UTF-8, at the start and at the end.
            names.extend(
                "éß¿\u{7ff}€\u{fffd}𐀀\u{10ffff}"
                    .chars()
                    .map(|c| format!("{c}x{c}")),
            );
            for name in &names {
                b.make(name, name.as_bytes());
            }
            names.sort();
            assert_eq!(b.list(""), names);
            for name in &names {
                assert_eq!(b.content(name), name.as_bytes());
                b.unlink(name).done();
            }
            assert!(b.list("").is_empty());
        }),
        check("names need not be UTF-8", |b| {
            let names = beyond_ascii();
            for name in &names {
                b.make(name, name.as_bytes());
            }
            assert_eq!(b.list(""), names);
            let inos: Vec<_> = names.iter().map(|name| b.ino(name)).collect();
            b.mkdir("d").done();
            for name in &names {
                assert_eq!(b.content(name), name.as_bytes());
                b.open(
                    name,
                    How {
                        exclusive: true,
                        ..How::CREATE
                    },
                )
                .fails(EEXIST);
                b.rename(name, &format!("d/{name}")).done();
                b.stat(name).fails(ENOENT);
            }
            assert_eq!(b.list("d"), names);
            for (name, ino) in names.iter().zip(inos) {
                let moved = format!("d/{name}");
                assert_eq!(b.ino(&moved), ino);
                b.link(&moved, name).done();
                assert_eq!(b.ino(name), ino);
                b.unlink(name).done();
                b.unlink(&moved).done();
                b.stat(&moved).fails(ENOENT);
            }
            assert!(b.list("d").is_empty());
        })
        .under(Flags::OF_NAMES),
        check("names of directories need not be UTF-8", |b| {
            for name in beyond_ascii() {
                b.mkdir(&name).done();
                let inside = format!("{name}/f");
                b.make(&inside, b"inside");
                assert_eq!(b.content(&inside), b"inside");
                assert_eq!(b.ino(&format!("{name}/..")), b.ino(""));
                b.unlink(&inside).done();
                b.rmdir(&name).done();
            }
            assert!(b.list("").is_empty());
        })
        .under(Flags::OF_NAMES),
        check("255 bytes that are no UTF-8 are a name", |b| {
            let name = text::of(&[0xff; NAME_MAX]);
            b.make(&name, b"long");
            assert_eq!(b.list(""), [name.as_str()]);
            assert_eq!(b.content(&name), b"long");
            b.stat(&text::of(&[0xff; NAME_MAX + 1])).fails(ENAMETOOLONG);
        }),
        check("names that begin with dots are names", |b| {
            for name in ["...", "..f", ".f", "f.", ". "] {
                b.make(name, name.as_bytes());
                assert_eq!(b.content(name), name.as_bytes());
            }
            assert_eq!(b.list("").len(), 5);
        }),
        check("names differ by the case of a letter", |b| {
            b.make("a", b"small");
            b.make("A", b"large");
            assert_eq!(b.content("a"), b"small");
            assert_eq!(b.content("A"), b"large");
        }),
        check("a dot stands for the directory itself", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"in d");
            assert_eq!(b.ino("d/."), b.ino("d"));
            assert_eq!(b.ino("."), b.ino(""));
            assert_eq!(b.content("./d/././f"), b"in d");
        }),
        check("two dots stand for the parent", |b| {
            b.mkdir("a").done();
            b.mkdir("a/b").done();
            b.make("f", b"up");
            b.make("a/f", b"up");
            assert_eq!(b.ino("a/b/.."), b.ino("a"));
            assert_eq!(b.ino("a/b/../.."), b.ino(""));
            assert_eq!(b.content("a/b/../f"), b"up");
            assert_eq!(b.content("a/b/../../a/../f"), b"up");
            assert_eq!(b.ino("a/../a/b/../b"), b.ino("a/b"));
        }),
        check("two dots follow a directory that moves", |b| {
            b.mkdir("a").done();
            b.mkdir("b").done();
            b.mkdir("a/d").done();
            assert_eq!(b.ino("a/d/.."), b.ino("a"));
            b.rename("a/d", "b/d").done();
            assert_eq!(b.ino("b/d/.."), b.ino("b"));
            b.rmdir("a").done();
            assert_eq!(b.ino("b/d/.."), b.ino("b"));
        })
        // With cached names puffs_vnop_rename leaves the old one in the cache.
        .under(&[
            Flags::NOCACHE_NAME,
            Flags::CACHE_FS_TTL,
            Flags::CACHE_DOTDOT,
        ]),
        check("slashes count once", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"x");
            assert_eq!(b.content("d//f"), b"x");
            assert_eq!(b.content("//d///f"), b"x");
        }),
        check("a slash at the end wants a directory", |b| {
            b.mkdir("d").done();
            b.make("f", b"");
            b.symlink("f", "to_f").done();
            b.symlink("d", "to_d").done();
            assert_eq!(b.ino("d/"), b.ino("d"));
            assert_eq!(b.lstat("to_d/").done().ino, b.lstat("d").done().ino);
            b.stat("f/").fails(ENOTDIR);
            b.stat("to_f/").fails(ENOTDIR);
            b.open("f/", How::READ).fails(ENOTDIR);
            b.mkdir("new/").done();
            assert!(b.has("new"));
            b.rmdir("new/").done();
            assert!(!b.has("new"));
        }),
        check("what is not there is not found", |b| {
            b.mkdir("d").done();
            b.stat("f").fails(ENOENT);
            b.stat("d/f").fails(ENOENT);
            b.stat("e/f").fails(ENOENT);
            b.open("f", How::READ).fails(ENOENT);
            b.open("e/f", How::CREATE).fails(ENOENT);
            b.mkdir("e/f").fails(ENOENT);
            b.unlink("f").fails(ENOENT);
            b.rmdir("f").fails(ENOENT);
            b.readlink("f").fails(ENOENT);
            b.chmod("f", 0o600).fails(ENOENT);
            b.truncate("f", 0).fails(ENOENT);
            b.link("f", "g").fails(ENOENT);
            b.symlink("f", "e/f").fails(ENOENT);
            b.calls().stat("").fails(ENOENT);
        }),
        check("a file is no directory", |b| {
            b.make("f", b"");
            b.stat("f/x").fails(ENOTDIR);
            b.stat("f/..").fails(ENOTDIR);
            b.open("f/x", How::CREATE).fails(ENOTDIR);
            b.mkdir("f/x").fails(ENOTDIR);
            b.unlink("f/x").fails(ENOTDIR);
            b.rename("f/x", "y").fails(ENOTDIR);
            b.rename("f", "f/x").fails(ENOTDIR);
            b.link("f", "f/x").fails(ENOTDIR);
            b.rmdir("f").fails(ENOTDIR);
        }),
        check("a name that was missed is found once it is made", |b| {
            for round in 0..3 {
                assert!(!b.has("f"));
                b.make("f", b"x");
                assert!(b.has("f"));
                b.unlink("f").done();
                assert!(!b.has("d"), "in round {round}");
                b.mkdir("d").done();
                assert!(b.has("d"));
                b.rmdir("d").done();
                assert!(!b.has("l"));
                b.symlink("x", "l").done();
                assert!(b.has("l"));
                b.unlink("l").done();
            }
        }),
        check(
            "a name that was missed is found once another process made it",
            |b| {
                assert!(!b.has("f"));
                b.elsewhere(|b| b.make("f", b"x"));
                assert_eq!(b.content("f"), b"x");
                b.elsewhere(|b| b.unlink("f").done());
                assert!(!b.has("f"));
            },
        ),
        check("a name is taken", |b| {
            b.make("f", b"kept");
            b.mkdir("d").done();
            b.symlink("nowhere", "l").done();
            b.mkfifo("p").done();
            for name in ["f", "d", "l", "p"] {
                b.mkdir(name).fails(EEXIST);
                b.mkfifo(name).fails(EEXIST);
                b.symlink("x", name).fails(EEXIST);
                b.link("f", name).fails(EEXIST);
                let how = How {
                    exclusive: true,
                    ..How::CREATE
                };
                b.open(name, how).fails(EEXIST);
            }
            b.mkdir("").fails(EEXIST);
            assert_eq!(b.content("f"), b"kept");
            assert_eq!(b.list(""), ["d", "f", "l", "p"]);
        }),
        check("a directory with something in it is not removed", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"");
            b.rmdir("d").fails(ENOTEMPTY);
            b.unlink("d/f").done();
            b.mkdir("d/e").done();
            b.rmdir("d").fails(ENOTEMPTY);
            b.rmdir("d/e").done();
            b.rmdir("d").done();
            assert!(!b.has("d"));
        }),
        check("unlink does not remove a directory", |b| {
            b.mkdir("d").done();
            b.unlink("d").fails(EPERM);
            assert!(b.has("d"));
        }),
        check("a dot is not removed", |b| {
            b.mkdir("d").done();
            b.rmdir("d/.").fails(EINVAL);
            assert!(b.has("d"));
        }),
        check("a mount point is not removed", |b| {
            b.rmdir("").fails(EBUSY);
            b.unlink("").fails(EBUSY);
        }),
        check("a deep path leads to its end", |b| {
            let mut path = String::from("d");
            for _ in 0..40 {
                b.mkdir(&path).done();
                path += "/d";
            }
            b.make(&path, b"deep");
            assert_eq!(b.content(&path), b"deep");
            let up = format!("{}{}", "d/".repeat(40), "../".repeat(39));
            assert_eq!(b.ino(up.trim_end_matches('/')), b.ino("d"));
        }),
        check("removed and made again it is another file", |b| {
            b.make("f", b"first");
            let first = b.ino("f");
            b.unlink("f").done();
            b.make("f", b"second");
            assert_ne!(b.ino("f"), first);
            assert_eq!(b.content("f"), b"second");
            b.unlink("f").done();
            b.mkdir("f").done();
            assert!(b.list("f").is_empty());
        }),
        check("a tree is made and removed", |b| {
            for outer in 0..5 {
                b.mkdir(&format!("d{outer}")).done();
                for inner in 0..20 {
                    b.make(&format!("d{outer}/f{inner}"), &[inner; 10]);
                }
            }
            assert_eq!(b.files(), 1 + 5 + 5 * 20);
            for outer in 0..5 {
                for inner in 0..20 {
                    b.unlink(&format!("d{outer}/f{inner}")).done();
                }
                b.rmdir(&format!("d{outer}")).done();
            }
            assert_eq!(b.files(), 1, "the server still has files");
        }),
        check("pathconf says how long names and paths may be", |b| {
            const PC_NAME_MAX: i32 = 4;
            const PC_PATH_MAX: i32 = 5;
            const PC_NO_TRUNC: i32 = 8;
            b.make("f", b"");
            assert_eq!(b.pathconf("", PC_NAME_MAX).done(), 255);
            assert_eq!(b.pathconf("", PC_PATH_MAX).done(), 1024);
            assert_eq!(b.pathconf("f", PC_NO_TRUNC).done(), 1);
            b.pathconf("f", 12345).fails(EINVAL);
        })
        .under(Flags::ONE),
    ]
}
