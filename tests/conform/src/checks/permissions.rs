//! Who may do what.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_script::world::How;

const FAMILY: &str = "permissions";

/// Two ordinary users, and a group that only the second is in.
const ANN: (u32, u32) = (1001, 100);
const BOB: (u32, u32) = (1002, 200);
const CLUB: u32 = 300;

/// Lookups that ask the server each time. What is in the name cache,
/// `puffs_vnop_lookup` hands out to everybody.
const ASKING: &[Flags] = &[Flags::NOCACHE_NAME, Flags::CACHE_FS_TTL];

fn ann<T>(b: &Bed<'_>, work: impl FnOnce(&Bed<'_>) -> T) -> T {
    b.as_user(ANN, &[ANN.1], work)
}

fn bob<T>(b: &Bed<'_>, work: impl FnOnce(&Bed<'_>) -> T) -> T {
    b.as_user(BOB, &[BOB.1, CLUB], work)
}

fn to_write() -> How {
    How {
        not_read: true,
        ..How::WRITE
    }
}

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("what one makes is one's own", |b| {
            b.chown("", None, Some(CLUB)).done();
            ann(b, |b| {
                b.make("f", b"");
                b.mkdir("d").done();
                b.symlink("f", "l").done();
                b.mkfifo("p").done();
            });
            for name in ["f", "d", "l", "p"] {
                let stat = b.lstat(name).done();
                // The group is the directory's.
                assert_eq!((stat.uid, stat.gid), (ANN.0, CLUB), "{name}");
            }
        }),
        check("the owner's permissions are the owner's", |b| {
            ann(b, |b| b.make("f", b"secret"));
            b.chmod("f", 0o600).done();
            ann(b, |b| assert_eq!(b.content("f"), b"secret"));
            bob(b, |b| b.open("f", How::READ).fails(EACCES));
            b.chmod("f", 0o066).done();
            ann(b, |b| b.open("f", How::READ).fails(EACCES));
            ann(b, |b| b.open("f", to_write()).fails(EACCES));
            bob(b, |b| assert_eq!(b.content("f"), b"secret"));
        }),
        check("the group's permissions are its members'", |b| {
            b.make("f", b"club");
            b.chown("f", None, Some(CLUB)).done();
            b.chmod("f", 0o640).done();
            ann(b, |b| b.open("f", How::READ).fails(EACCES));
            bob(b, |b| assert_eq!(b.content("f"), b"club"));
            bob(b, |b| b.open("f", How::WRITE).fails(EACCES));
            b.chmod("f", 0o604).done();
            ann(b, |b| assert_eq!(b.content("f"), b"club"));
            bob(b, |b| b.open("f", How::READ).fails(EACCES));
        }),
        check("who may read may not write", |b| {
            b.make("f", b"x");
            b.chmod("f", 0o644).done();
            ann(b, |b| {
                b.open("f", How::READ).done();
                b.open("f", How::WRITE).fails(EACCES);
                b.open("f", to_write()).fails(EACCES);
                b.truncate("f", 0).fails(EACCES);
                let how = How {
                    truncate: true,
                    ..How::READ
                };
                b.open("f", how).fails(EACCES);
            });
            b.chmod("f", 0o622).done();
            ann(b, |b| {
                b.open("f", How::READ).fails(EACCES);
                b.open("f", to_write()).done().write(0, b"y").done();
            });
            assert_eq!(b.content("f"), b"y");
        }),
        check("the superuser may read and write what nobody may", |b| {
            ann(b, |b| b.make("f", b"x"));
            b.chmod("f", 0).done();
            b.make("f", b"y");
            assert_eq!(b.content("f"), b"y");
            b.mkdir("d").done();
            b.chmod("d", 0).done();
            b.make("d/f", b"z");
            assert_eq!(b.content("d/f"), b"z");
            // But it executes no file that nobody executes.
            b.access("f", 6).done();
            b.access("f", 1).fails(EACCES);
            b.access("d", 7).done();
        }),
        check("access says what is permitted", |b| {
            b.make("f", b"");
            for mode in 0..8 {
                b.chmod("f", mode as u32).done();
                ann(b, |b| {
                    for asked in 0..8 {
                        match mode & asked == asked {
                            true => b.access("f", asked).done(),
                            false => b.access("f", asked).fails(EACCES),
                        }
                    }
                });
            }
        }),
        check("a directory wants permission to be searched", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"x");
            b.chmod("d", 0o644).done();
            ann(b, |b| {
                b.stat("d/f").fails(EACCES);
                b.open("d/f", How::READ).fails(EACCES);
                b.stat("d/none").fails(EACCES);
                assert_eq!(b.list("d"), ["f"]);
            });
            b.chmod("d", 0o711).done();
            ann(b, |b| {
                assert_eq!(b.content("d/f"), b"x");
                b.open("d", How::READ).fails(EACCES);
            });
        })
        .under(ASKING),
        check("a directory wants permission to be written to", |b| {
            b.mkdir("d").done();
            b.make("d/f", b"");
            b.make("d/g", b"");
            b.mkdir("d/e").done();
            b.make("mine", b"");
            b.chmod("d", 0o755).done();
            ann(b, |b| {
                b.open("d/new", How::CREATE).fails(EACCES);
                b.mkdir("d/new").fails(EACCES);
                b.mkfifo("d/new").fails(EACCES);
                b.symlink("f", "d/new").fails(EACCES);
                b.link("mine", "d/new").fails(EACCES);
                b.unlink("d/f").fails(EACCES);
                b.rmdir("d/e").fails(EACCES);
                b.rename("d/f", "d/new").fails(EACCES);
                b.rename("d/f", "new").fails(EACCES);
                b.rename("mine", "d/new").fails(EACCES);
                b.rename("d/f", "d/g").fails(EACCES);
            });
            assert_eq!(b.list("d"), ["e", "f", "g"]);
            assert_eq!(b.list(""), ["d", "mine"]);
        }),
        check("only owners remove from a sticky directory", |b| {
            b.mkdir("d").done();
            b.chmod("d", 0o1777).done();
            ann(b, |b| {
                b.make("d/ann's", b"");
                b.mkdir("d/dir").done();
            });
            bob(b, |b| {
                b.make("d/bob's", b"");
                b.unlink("d/ann's").fails(EPERM);
                b.rmdir("d/dir").fails(EPERM);
                b.rename("d/ann's", "d/x").fails(EPERM);
                b.rename("d/bob's", "d/ann's").fails(EPERM);
                b.rename("d/bob's", "d/x").done();
                b.unlink("d/x").done();
            });
            ann(b, |b| {
                b.unlink("d/ann's").done();
                b.rmdir("d/dir").done();
            });
            b.chown("d", Some(BOB.0), None).done();
            ann(b, |b| b.make("d/ann's", b""));
            bob(b, |b| b.unlink("d/ann's").done());
        }),
        check(
            "a directory that gets another parent has to be writable",
            |b| {
                b.mkdir("a").done();
                b.mkdir("b").done();
                b.mkdir("a/d").done();
                b.chmod("a", 0o777).done();
                b.chmod("b", 0o777).done();
                ann(b, |b| {
                    b.rename("a/d", "b/d").fails(EACCES);
                    b.rename("a/d", "a/e").done();
                });
                b.chmod("a/e", 0o777).done();
                ann(b, |b| b.rename("a/e", "b/d").done());
                assert_eq!(b.list("b"), ["d"]);
            },
        ),
        check("only the owner changes permissions", |b| {
            ann(b, |b| b.make("f", b""));
            b.chmod("f", 0o666).done();
            bob(b, |b| b.chmod("f", 0o777).fails(EPERM));
            ann(b, |b| b.chmod("f", 0o640).done());
            assert_eq!(b.stat("f").done().mode, 0o640);
            b.chmod("f", 0o4755).done();
            assert_eq!(b.stat("f").done().mode, 0o4755);
            ann(b, |b| {
                let file = b.open("f", How::READ).done();
                file.chmod(0o600).done();
                assert_eq!(file.stat().done().mode, 0o600);
            });
            b.chmod("f", 0o644).done();
            bob(b, |b| {
                let file = b.open("f", How::READ).done();
                file.chmod(0o777).fails(EPERM);
            });
        }),
        check("bits that a user may not set", |b| {
            ann(b, |b| {
                b.make("f", b"");
                b.mkdir("d").done();
            });
            b.chown("f", None, Some(CLUB)).done();
            ann(b, |b| {
                b.chmod("f", 0o1644).fails(EFTYPE);
                b.chmod("f", 0o2755).fails(EPERM);
                b.chmod("f", 0o4755).done();
                b.chmod("d", 0o1777).done();
            });
            b.chmod("f", 0o1644).done();
        }),
        check("only the superuser gives files away", |b| {
            ann(b, |b| {
                b.make("f", b"");
                b.chown("f", Some(BOB.0), None).fails(EPERM);
                b.chown("f", None, Some(CLUB)).fails(EPERM);
                b.chown("f", Some(ANN.0), Some(ANN.1)).done();
            });
            bob(b, |b| {
                b.chown("f", Some(BOB.0), None).fails(EPERM);
                b.chown("f", None, Some(CLUB)).fails(EPERM);
                b.make("g", b"");
                b.chown("g", None, Some(CLUB)).done();
            });
            b.chown("f", Some(BOB.0), Some(CLUB)).done();
            let stat = b.stat("f").done();
            assert_eq!((stat.uid, stat.gid), (BOB.0, CLUB));
            assert_eq!(b.stat("g").done().gid, CLUB);
            b.chown("f", None, None).done();
            assert_eq!(b.stat("f").done().uid, BOB.0);
        }),
        check("another owner takes the set-id bits away", |b| {
            b.make("f", b"");
            b.chmod("f", 0o6755).done();
            b.chown("f", Some(ANN.0), None).done();
            assert_eq!(b.stat("f").done().mode, 0o2755);
            b.chown("f", None, Some(CLUB)).done();
            assert_eq!(b.stat("f").done().mode, 0o755);
        }),
        check("a write by another takes the set-id bits away", |b| {
            b.make("f", b"program");
            b.chmod("f", 0o6777).done();
            ann(b, |b| {
                b.open("f", How::WRITE).done().write(0, b"x").done();
            });
            assert_eq!(b.stat("f").done().mode, 0o777);
        })
        // What comes from the page cache comes from the kernel.
        .under(&[Flags::NOCACHE_PAGE]),
        check("only the owner sets times", |b| {
            ann(b, |b| b.make("f", b""));
            b.chmod("f", 0o644).done();
            let some = Some([1_000_000_000, 2_000_000_000]);
            bob(b, |b| {
                b.utimes("f", some, true).fails(EPERM);
                b.utimes("f", None, true).fails(EACCES);
            });
            ann(b, |b| b.utimes("f", some, true).done());
            b.chmod("f", 0o666).done();
            bob(b, |b| {
                b.utimes("f", some, true).fails(EPERM);
                // To the time of day may who may write.
                b.utimes("f", None, true).done();
            });
            assert!(b.stat("f").done().mtime > 2_000_000_000);
        }),
        check("who may write may truncate after another wrote", |b| {
            // The times that the kernel noted down come along under his name.
            ann(b, |b| b.make("f", b"123456"));
            b.chmod("f", 0o666).done();
            ann(b, |b| {
                let file = b.open("f", How::WRITE).done();
                file.write(0, b"abc").done();
                bob(b, |b| b.truncate("f", 4).done());
                assert_eq!(file.read(0, 10).done(), b"abc4");
            });
        }),
        check("what is open stays open to who opened it", |b| {
            ann(b, |b| {
                b.make("f", b"x");
                let file = b.open("f", How::WRITE).done();
                b.chmod("f", 0).done();
                b.open("f", How::READ).fails(EACCES);
                assert_eq!(file.read(0, 10).done(), b"x");
                file.write(0, b"y").done();
                file.truncate(1).done();
                file.fsync().done();
            });
            b.chown("f", Some(0), None).done();
            assert_eq!(b.content("f"), b"y");
        }),
        check("the umask takes permissions away", |b| {
            let calls = b.calls();
            assert_eq!(calls.umask(0o077).done(), 0o022);
            b.mkdir("d").done();
            let make = |name: &str, mode| {
                let how = How {
                    mode,
                    ..How::CREATE
                };
                b.open(name, how).done();
            };
            make("f", 0o666);
            make("g", 0o444);
            assert_eq!(calls.umask(0).done(), 0o077);
            make("h", 0o666);
            assert_eq!(calls.umask(0o022).done(), 0);
            let mode = |name| b.stat(name).done().mode;
            assert_eq!((mode("d"), mode("f"), mode("g")), (0o700, 0o600, 0o400));
            assert_eq!(mode("h"), 0o666);
        }),
        check(
            "who makes a file may write to it whatever its permissions",
            |b| {
                ann(b, |b| {
                    let how = How {
                        mode: 0o400,
                        ..How::CREATE
                    };
                    let file = b.open("f", how).done();
                    assert_eq!(file.write(0, b"once").done(), 4);
                    b.open("f", How::WRITE).fails(EACCES);
                    assert_eq!(b.content("f"), b"once");
                });
            },
        ),
        check("special files are the superuser's to make", |b| {
            ann(b, |b| {
                b.mknod("dev", 0x0203).fails(EPERM);
                b.mkfifo("p").done();
            });
            b.mknod("dev", 0x0203).done();
        })
        .under(Flags::OF_NAMES),
        check("attributes want the permissions of their file", |b| {
            ann(b, |b| {
                b.make("f", b"");
                b.extattr_set("f", "colour", b"blue").done();
            });
            b.chmod("f", 0o600).done();
            bob(b, |b| {
                b.extattr_get("f", "colour", 10).fails(EACCES);
                b.extattr_set("f", "colour", b"red").fails(EACCES);
                b.extattr_list("f", 100).fails(EACCES);
                b.extattr_delete("f", "colour").fails(EACCES);
            });
            b.chmod("f", 0o644).done();
            bob(b, |b| {
                assert_eq!(b.extattr_get("f", "colour", 10).done(), b"blue");
                b.extattr_set("f", "colour", b"red").fails(EACCES);
            });
        })
        .under(Flags::ONE),
        check("a file that is immutable does not change", |b| {
            const UF_IMMUTABLE: u32 = 2;
            b.make("f", b"kept");
            b.chflags("f", UF_IMMUTABLE).done();
            assert_eq!(b.stat("f").done().flags, UF_IMMUTABLE);
            b.open("f", How::WRITE).fails(EPERM);
            b.truncate("f", 0).fails(EPERM);
            b.unlink("f").fails(EPERM);
            b.rename("f", "g").fails(EPERM);
            b.link("f", "g").fails(EPERM);
            b.chmod("f", 0o777).fails(EPERM);
            assert_eq!(b.content("f"), b"kept");
            b.chflags("f", 0).done();
            b.make("f", b"changed");
            b.unlink("f").done();
        }),
    ]
}
