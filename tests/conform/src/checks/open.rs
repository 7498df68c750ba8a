//! Ways to open a file, and files that are open.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_script::world::How;

const FAMILY: &str = "open";

const EXCLUSIVE: How = How {
    exclusive: true,
    ..How::CREATE
};
const TRUNCATE: How = How {
    truncate: true,
    ..How::CREATE
};
const APPEND: How = How {
    append: true,
    ..How::CREATE
};

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("a file is made if it is not there", |b| {
            b.open("f", How::WRITE).fails(ENOENT);
            b.open("f", How::CREATE).done().write(0, b"x").done();
            b.open("f", How::CREATE).done();
            assert_eq!(b.content("f"), b"x");
        }),
        check("a file is made by one only", |b| {
            b.open("f", EXCLUSIVE).done();
            b.open("f", EXCLUSIVE).fails(EEXIST);
            b.elsewhere(|b| b.open("f", EXCLUSIVE).fails(EEXIST));
            b.unlink("f").done();
            b.elsewhere(|b| drop(b.open("f", EXCLUSIVE).done()));
            b.open("f", EXCLUSIVE).fails(EEXIST);
        }),
        check("a file is emptied", |b| {
            b.make("f", b"12345");
            let other = b.open("f", How::READ).done();
            let file = b.open("f", TRUNCATE).done();
            assert_eq!(file.stat().done().size, 0);
            assert_eq!(other.read(0, 10).done(), b"");
            file.write(3, b"x").done();
            assert_eq!(other.read(0, 10).done(), b"\0\0\0x");
        }),
        check("writes go to the end", |b| {
            b.make("f", b"start ");
            let file = b.open("f", APPEND).done();
            file.write_on(b"one ").done();
            file.write(0, b"two ").done();
            assert_eq!(b.content("f"), b"start one two ");
            assert_eq!(file.read(6, 3).done(), b"one");
        }),
        check("writes of two go to the end", |b| {
            let (one, two) = (b.open("f", APPEND).done(), b.open("f", APPEND).done());
            for _ in 0..10 {
                one.write_on(b"1").done();
                two.write_on(b"22").done();
            }
            assert_eq!(b.content("f"), b"122".repeat(10));
        }),
        check("writes go to the end that there is", |b| {
            let file = b.open("f", APPEND).done();
            file.write_on(b"12345").done();
            file.truncate(2).done();
            file.write_on(b"x").done();
            b.truncate("f", 5).done();
            file.write_on(b"y").done();
            assert_eq!(b.content("f"), b"12x\0\0y");
        }),
        check("a file is read or written as it was opened", |b| {
            b.make("f", b"x");
            let file = b.open("f", How::READ).done();
            file.write(0, b"y").fails(EBADF);
            file.write_on(b"y").fails(EBADF);
            let how = How {
                not_read: true,
                ..How::WRITE
            };
            let file = b.open("f", how).done();
            file.read(0, 1).fails(EBADF);
            file.read_on(1).fails(EBADF);
            file.write(0, b"z").done();
            assert_eq!(b.content("f"), b"z");
        }),
        check("a directory is read only as one", |b| {
            b.mkdir("d").done();
            b.open("d", How::WRITE).fails(EISDIR);
            b.open("d", How::CREATE).fails(EISDIR);
            let how = How {
                truncate: true,
                ..How::READ
            };
            b.open("d", how).fails(EISDIR);
            let dir = b.open("d", How::READ).done();
            dir.read(0, 10).fails(EISDIR);
            dir.write(0, b"x").fails(EBADF);
        }),
        check("a directory can be asked for", |b| {
            let how = How {
                directory: true,
                ..How::READ
            };
            b.make("f", b"");
            b.mkdir("d").done();
            b.symlink("d", "l").done();
            b.open("f", how).fails(ENOTDIR);
            b.open("d", how).done();
            b.open("l", how).done();
        })
        .under(Flags::OF_NAMES),
        check("a removed file lives while it is open", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(0, b"still here").done();
            b.unlink("f").done();
            b.stat("f").fails(ENOENT);
            assert_eq!(b.files(), 2);
            assert_eq!(file.read(0, 100).done(), b"still here");
            assert_eq!(file.stat().done().nlink, 0);
            file.write(6, b"there").done();
            file.truncate(8).done();
            file.chmod(0o600).done();
            file.fsync().done();
            assert_eq!(file.read(0, 100).done(), b"still th");
            assert_eq!(file.stat().done().size, 8);
            drop(file);
            assert_eq!(b.files(), 1, "the server keeps it");
        }),
        check("a removed file that is open is not the new one", |b| {
            b.make("f", b"old");
            let old = b.open("f", How::WRITE).done();
            b.unlink("f").done();
            b.make("f", b"new");
            old.write(0, b"OLD").done();
            assert_eq!(b.content("f"), b"new");
            assert_eq!(old.read(0, 10).done(), b"OLD");
            assert_ne!(b.ino("f").0 as u64, old.stat().done().ino);
        }),
        check(
            "a removed file that many have open goes with the last",
            |b| {
                b.make("f", b"x");
                let files: Vec<_> = (0..5).map(|_| b.open("f", How::READ).done()).collect();
                b.unlink("f").done();
                for file in files {
                    assert_eq!(b.files(), 2);
                    assert_eq!(file.read(0, 1).done(), b"x");
                }
                assert_eq!(b.files(), 1);
            },
        ),
        check("a removed directory that is open is empty", |b| {
            b.mkdir("d").done();
            let dir = b.open("d", How::READ).done();
            b.rmdir("d").done();
            let names = dir.getdents(4096).done();
            assert!(names.iter().all(|entry| entry.name.starts_with('.')));
            assert_eq!(dir.stat().done().nlink, 0);
            drop(dir);
            assert_eq!(b.files(), 1);
        }),
        check("many files are open at once", |b| {
            let open = |nth: usize| b.open(&format!("f{nth}"), How::CREATE).done();
            let files: Vec<_> = (0..50).map(open).collect();
            for (nth, file) in files.iter().enumerate() {
                file.write(0, &[nth as u8; 100]).done();
            }
            for (nth, file) in files.iter().enumerate() {
                assert_eq!(file.read(0, 200).done(), [nth as u8; 100]);
            }
        })
        .under(Flags::OF_DATA),
        check("what another process wrote is there", |b| {
            b.elsewhere(|b| b.make("f", b"from elsewhere"));
            assert_eq!(b.content("f"), b"from elsewhere");
            let file = b.open("f", How::READ).done();
            b.elsewhere(|b| b.make("f", b"again"));
            assert_eq!(file.read(0, 100).done(), b"again");
        }),
        check("many write and read at once", |b| {
            let writers: Vec<_> = (0..4_u8)
                .map(|who| {
                    b.meanwhile(move |calls| {
                        let path = format!("/mnt/f{who}");
                        let file = calls.open(&path, How::CREATE)?;
                        for nth in 0..20 {
                            calls.write(file, nth * 1000, &[who; 1000])?;
                        }
                        let data = calls.read(file, 0, 30_000);
                        calls.close(file)?;
                        data
                    })
                })
                .collect();
            for (who, writer) in writers.into_iter().enumerate() {
                assert!(writer.join().done() == vec![who as u8; 20_000]);
            }
            assert_eq!(b.list(""), ["f0", "f1", "f2", "f3"]);
        }),
    ]
}
