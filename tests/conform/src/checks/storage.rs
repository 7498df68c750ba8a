//! What is stored when, and how much room there is.

use crate::{errno::*, memfs::BLOCKS, Bed, Check, Flags, Outcome};
use puffs_rs::abi::vn;
use puffs_script::world::{Ability, How};

const FAMILY: &str = "storage";

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("fsync tells the server once", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(0, b"data").done();
            let ino = b.ino("f");
            assert_eq!(b.asked::<vn::Fsync>(Some(ino), || file.fsync().done()), 1);
            assert_eq!(b.asked::<vn::Fsync>(Some(ino), || file.fsync().done()), 1);
        }),
        check("what was synced is with the server", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(0, &[7; 10_000]).done();
            file.fsync().done();
            let ino = b.ino("f");
            assert!(b.counts().of::<vn::Write>(ino) > 0);
            let blocks = file.stat().done().blocks;
            assert_eq!(blocks, 3 * 4096 / 512);
            let again = b.asked::<vn::Write>(Some(ino), || file.fsync().done());
            assert_eq!(again, 0, "it is clean");
        }),
        check("a file that was only read can be synced", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            b.open("f", How::READ).done().fsync().done();
            b.open("d", How::READ).done().fsync().done();
        }),
        check("what is closed is with the server in the end", |b| {
            b.make("f", &[7; 5000]);
            b.settle();
            let ino = b.ino("f");
            assert!(b.counts().of::<vn::Write>(ino) > 0);
        })
        // With inactivity on demand it may stay in the cache for long.
        .under(&[
            Flags::DEFAULT,
            Flags::NOCACHE_NAME,
            Flags::NOCACHE_PAGE,
            Flags::WTCACHE,
            Flags::NOFLUSH_META,
        ]),
        check("statvfs says what the server says", |b| {
            let room = b.statvfs("").done();
            assert_eq!((room.bsize, room.blocks, room.namemax), (4096, BLOCKS, 255));
            let before = room.bfree;
            let file = b.open("f", How::CREATE).done();
            file.write(0, &[7; 10 * 4096]).done();
            file.fsync().done();
            assert_eq!(b.statvfs("f").done().bfree, before - 10);
            drop(file);
            b.unlink("f").done();
            assert_eq!(b.statvfs("").done().bfree, before);
        }),
        check("room that is asked for is there", |b| {
            b.make("f", b"data");
            let file = b.open("f", How::WRITE).done();
            file.fsync().done();
            let before = b.statvfs("").done().bfree;
            file.fallocate(2, 10 * 4096).done();
            assert_eq!(file.stat().done().size, 10 * 4096 + 2);
            assert_eq!(b.statvfs("").done().bfree, before - 10);
            let mut expected = b"data".to_vec();
            expected.resize(10 * 4096 + 2, 0);
            assert!(file.read(0, 20 * 4096).done() == expected);
            // What is there already is as it was.
            file.fallocate(0, 4096).done();
            assert_eq!(file.stat().done().size, 10 * 4096 + 2);
            assert!(b.content("f") == expected);
        })
        .needs(Ability::Fallocate)
        .under(Flags::OF_DATA),
        check("room that there is not, or not for who reads", |b| {
            b.make("f", b"data");
            let file = b.open("f", How::WRITE).done();
            file.fallocate(0, (BLOCKS as i64 + 1) * 4096).fails(ENOSPC);
            file.fallocate(-1, 1).fails(EINVAL);
            let reader = b.open("f", How::READ).done();
            reader.fallocate(0, 100).fails(EBADF);
            assert_eq!(b.content("f"), b"data");
        })
        .needs(Ability::Fallocate)
        .under(Flags::OF_DATA),
        check("sync succeeds", |b| {
            let file = b.open("f", How::CREATE).done();
            file.write(0, b"x").done();
            b.calls().sync().done();
            file.write(1, b"y").done();
            b.calls().sync().done();
            assert_eq!(file.read(0, 10).done(), b"xy");
        }),
    ]
}
