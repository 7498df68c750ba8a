//! Hard and symbolic links.

use crate::{errno::*, Check, Flags, Outcome};
use puffs_rs::abi::Vtype;
use puffs_script::{text, world::How};

const FAMILY: &str = "links";

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&crate::Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("two names of a file are one file", |b| {
            b.make("f", b"one");
            b.link("f", "g").done();
            assert_eq!(b.ino("f"), b.ino("g"));
            assert_eq!(b.stat("f").done().nlink, 2);
            assert_eq!(b.stat("g").done().nlink, 2);
            b.make("g", b"other");
            assert_eq!(b.content("f"), b"other");
            b.chmod("f", 0o640).done();
            assert_eq!(b.stat("g").done().mode, 0o640);
        }),
        check("a file goes with its last name", |b| {
            b.make("f", b"here");
            b.mkdir("d").done();
            b.link("f", "d/g").done();
            b.link("d/g", "h").done();
            assert_eq!(b.stat("h").done().nlink, 3);
            b.unlink("f").done();
            assert_eq!(b.stat("h").done().nlink, 2);
            b.unlink("h").done();
            assert_eq!(b.stat("d/g").done().nlink, 1);
            assert_eq!(b.content("d/g"), b"here");
            b.unlink("d/g").done();
            assert_eq!(b.files(), 2);
        }),
        check("an open file counts its names", |b| {
            b.make("f", b"x");
            let file = b.open("f", How::READ).done();
            b.link("f", "g").done();
            assert_eq!(file.stat().done().nlink, 2);
            b.unlink("f").done();
            assert_eq!(file.stat().done().nlink, 1);
            b.unlink("g").done();
            assert_eq!(file.stat().done().nlink, 0);
            assert_eq!(file.read(0, 10).done(), b"x");
        }),
        check("a symbolic link has any bytes but NUL in it", |b| {
            let all: Vec<u8> = (1..=255).collect();
            b.symlink(&text::of(&all), "all").done();
            assert_eq!(b.readlink("all").done(), all);
            assert_eq!(b.lstat("all").done().size, 255);
            for byte in (128..=255).chain([1, 9, 10, 32, 92, 127]) {
                let name = text::of(&[byte]);
                b.make(&name, &[byte]);
                b.symlink(&name, "l").done();
                assert_eq!(b.readlink("l").done(), [byte]);
                assert_eq!(b.content("l"), [byte]);
                b.unlink("l").done();
            }
        }),
        check("a directory gets no second name", |b| {
            b.mkdir("d").done();
            b.link("d", "e").fails(EPERM);
            b.link("", "e").fails(EPERM);
            assert_eq!(b.list(""), ["d"]);
        }),
        check("a hard link follows a symbolic one", |b| {
            // So it is in NetBSD, where linkat(2) lets one choose.
            b.make("f", b"x");
            b.symlink("f", "l").done();
            b.link("l", "g").done();
            assert_eq!(b.ino("g"), b.ino("f"));
            assert_eq!(b.lstat("g").done().vtype, Vtype::Reg);
        }),
        check("a symbolic link says where it leads", |b| {
            for target in ["f", "/mnt/f", "../x/./y//z", "ä€", "no where"] {
                b.symlink(target, "l").done();
                assert_eq!(b.readlink("l").done(), target.as_bytes());
                let stat = b.lstat("l").done();
                assert_eq!((stat.vtype, stat.size), (Vtype::Lnk, target.len() as i64));
                b.unlink("l").done();
            }
        }),
        check("a target may have 1023 bytes", |b| {
            let target = "t".repeat(1023);
            b.symlink(&target, "l").done();
            assert_eq!(b.readlink("l").done(), target.as_bytes());
            assert_eq!(b.lstat("l").done().size, 1023);
            b.symlink(&"t".repeat(1024), "m").fails(ENAMETOOLONG);
        }),
        check("a symbolic link is followed", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"there");
            b.symlink("d/f", "relative").done();
            b.symlink("/mnt/d/f", "absolute").done();
            b.symlink("d", "dir").done();
            b.symlink("../d/f", "d/up").done();
            for name in ["relative", "absolute", "dir/f", "d/up", "dir/up"] {
                assert_eq!(b.content(name), b"there", "by way of {name}");
                assert_eq!(b.stat(name).done().ino, b.stat("d/f").done().ino);
            }
            assert_eq!(b.list("dir"), ["f", "up"]);
        }),
        check("a symbolic link may lead nowhere", |b| {
            b.symlink("nowhere", "l").done();
            b.stat("l").fails(ENOENT);
            b.open("l", How::READ).fails(ENOENT);
            b.chmod("l", 0o600).fails(ENOENT);
            b.stat("l/f").fails(ENOENT);
            assert_eq!(b.lstat("l").done().vtype, Vtype::Lnk);
            b.unlink("l").done();
            assert!(b.list("").is_empty());
        }),
        check("symbolic links in a circle lead nowhere", |b| {
            b.symlink("b", "a").done();
            b.symlink("a", "b").done();
            b.symlink("c", "c").done();
            b.stat("a").fails(ELOOP);
            b.stat("c").fails(ELOOP);
            b.stat("c/f").fails(ELOOP);
            b.open("a", How::CREATE).fails(ELOOP);
            b.unlink("a").done();
            b.unlink("c").done();
        }),
        check("a path leads through 32 symbolic links", |b| {
            b.make("l0", b"end");
            for nth in 1..=33 {
                b.symlink(&format!("l{}", nth - 1), &format!("l{nth}"))
                    .done();
            }
            assert_eq!(b.content("l32"), b"end");
            b.stat("l33").fails(ELOOP);
        }),
        check("only a symbolic link can be read as one", |b| {
            b.make("f", b"");
            b.mkdir("d").done();
            b.readlink("f").fails(EINVAL);
            b.readlink("d").fails(EINVAL);
        }),
        check("what is removed or moved is the link", |b| {
            b.make("f", b"stays");
            b.symlink("f", "l").done();
            b.rename("l", "m").done();
            assert_eq!(b.readlink("m").done(), b"f");
            b.unlink("m").done();
            assert_eq!(b.content("f"), b"stays");
            b.mkdir("d").done();
            b.symlink("d", "to_d").done();
            b.rmdir("to_d").fails(ENOTDIR);
            b.unlink("to_d").done();
            assert_eq!(b.list(""), ["d", "f"]);
        }),
        check("what is changed is what the link leads to", |b| {
            b.make("f", b"12345");
            b.symlink("f", "l").done();
            b.chmod("l", 0o600).done();
            b.chown("l", Some(7), Some(8)).done();
            b.truncate("l", 2).done();
            let stat = b.stat("f").done();
            assert_eq!((stat.mode, stat.uid, stat.gid, stat.size), (0o600, 7, 8, 2));
            let link = b.lstat("l").done();
            assert_eq!((link.uid, link.size), (0, 1));
            b.lchown("l", Some(9), None).done();
            assert_eq!(b.lstat("l").done().uid, 9);
            assert_eq!(b.stat("f").done().uid, 7);
        }),
        check(
            "a file is made at the end of a link, but not exclusively",
            |b| {
                b.mkdir("d").done();
                b.symlink("d/f", "l").done();
                let how = How {
                    exclusive: true,
                    ..How::CREATE
                };
                b.open("l", how).fails(EEXIST);
                assert!(!b.has("d/f"));
                b.make("l", b"at the end");
                assert_eq!(b.content("d/f"), b"at the end");
                assert_eq!(b.lstat("l").done().vtype, Vtype::Lnk);
            },
        ),
        check("a link can be refused", |b| {
            // POSIX says ELOOP, NetBSD EFTYPE.
            b.make("f", b"");
            b.symlink("f", "l").done();
            let how = How {
                nofollow: true,
                ..How::READ
            };
            b.open("l", how).fails(EFTYPE);
            b.open("f", how).done();
        })
        .under(Flags::ONE),
        check("many names of a file are counted", |b| {
            b.make("f", b"x");
            for nth in 0..100 {
                b.link("f", &format!("g{nth}")).done();
            }
            assert_eq!(b.stat("f").done().nlink, 101);
            for nth in 0..100 {
                b.unlink(&format!("g{nth}")).done();
            }
            assert_eq!(b.stat("f").done().nlink, 1);
        })
        .under(Flags::OF_NAMES),
    ]
}
