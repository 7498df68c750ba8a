//! Devices and fifos: the file system keeps them, others do what they are for.

use crate::{Bed, Check, Flags, Outcome};
use puffs_rs::abi::{vn, Vtype};
use puffs_script::world::{Ability, How};
use std::time::Duration;

const FAMILY: &str = "special";

/// Device not configured.
const ENXIO: i32 = 6;

const POLLIN: i32 = 1;
const POLLOUT: i32 = 4;

const EVFILT_READ: u32 = 0;

/// To read without waiting for a writer.
const TO_READ: How = How {
    nonblock: true,
    ..How::READ
};
/// To write, if there is a reader.
const TO_WRITE: How = How {
    nonblock: true,
    not_read: true,
    ..How::WRITE
};

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("a fifo is one", |b| {
            b.mkfifo("p").done();
            let stat = b.stat("p").done();
            assert_eq!((stat.vtype, stat.mode, stat.size), (Vtype::Fifo, 0o644, 0));
            assert_eq!(stat.nlink, 1);
        }),
        check("a device has its number", |b| {
            for number in [0x0203, 1, 0x1234] {
                b.mknod("dev", number).done();
                let stat = b.stat("dev").done();
                assert_eq!((stat.vtype, stat.rdev), (Vtype::Chr, u64::from(number)));
                b.unlink("dev").done();
            }
        }),
        check("a special file has names and attributes as others", |b| {
            b.mkfifo("p").done();
            b.mknod("c", 0x0203).done();
            b.mkdir("d").done();
            for name in ["p", "c"] {
                let ino = b.ino(name);
                b.chmod(name, 0o600).done();
                b.chown(name, Some(7), Some(8)).done();
                b.link(name, "d/second").done();
                b.rename(name, "d/moved").done();
                let stat = b.stat("d/moved").done();
                assert_eq!((stat.mode, stat.uid, stat.gid), (0o600, 7, 8));
                assert_eq!((stat.nlink, b.ino("d/second")), (2, ino));
                b.unlink("d/moved").done();
                b.unlink("d/second").done();
            }
            assert_eq!(b.files(), 2);
        }),
        check("two devices of a number are two files", |b| {
            b.mknod("a", 0x0203).done();
            b.mknod("b", 0x0203).done();
            assert_ne!(b.ino("a"), b.ino("b"));
            b.unlink("a").done();
            assert_eq!(b.stat("b").done().rdev, 0x0203);
        }),
        check("data goes through a fifo, not to the server", |b| {
            b.mkfifo("p").done();
            let ino = b.ino("p");
            let asked = b.asked::<vn::Write>(Some(ino), || {
                let reader = b.open("p", TO_READ).done();
                let writer = b.open("p", TO_WRITE).done();
                assert_eq!(writer.write_on(b"through").done(), 7);
                assert_eq!(reader.read_on(100).done(), b"through");
                writer.close().done();
                assert_eq!(reader.read_on(100).done(), b"");
            });
            assert_eq!(asked, 0);
            assert_eq!(b.counts().of::<vn::Read>(ino), 0);
            assert_eq!(b.stat("p").done().size, 0);
        })
        .needs(Ability::Fifos),
        check(
            "a fifo that nobody reads takes no writer that will not wait",
            |b| {
                b.mkfifo("p").done();
                b.open("p", TO_WRITE).fails(ENXIO);
            },
        )
        .needs(Ability::Fifos),
        check("a writer waits for a reader", |b| {
            b.mkfifo("p").done();
            let writer = b.meanwhile(|calls| {
                let how = How {
                    not_read: true,
                    ..How::WRITE
                };
                let file = calls.open("/mnt/p", how)?;
                let done = calls.write_on(file, b"at last");
                calls.close(file)?;
                done
            });
            std::thread::sleep(Duration::from_millis(20));
            assert!(!writer.is_done());
            let reader = b.open("p", How::READ).done();
            assert_eq!(reader.read_on(100).done(), b"at last");
            assert_eq!(writer.join().done(), 7);
        })
        .needs(Ability::Fifos)
        .under(Flags::OF_NAMES),
        check("a fifo can be polled", |b| {
            b.mkfifo("p").done();
            let reader = b.open("p", TO_READ).done();
            let writer = b.open("p", TO_WRITE).done();
            assert_eq!(reader.poll(POLLIN, Duration::ZERO).done(), 0);
            assert_eq!(writer.poll(POLLOUT, Duration::ZERO).done(), POLLOUT);
            writer.write_on(b"x").done();
            assert_eq!(reader.poll(POLLIN, Duration::ZERO).done(), POLLIN);
        })
        .needs(Ability::Fifos)
        .under(Flags::OF_NAMES),
        check("a fifo tells kqueue what there is to read", |b| {
            b.mkfifo("p").done();
            let reader = b.open("p", TO_READ).done();
            let writer = b.open("p", TO_WRITE).done();
            let calls = b.calls();
            let queue = calls.kqueue().done();
            calls.watch(queue, reader.fd(), EVFILT_READ, 0).done();
            assert_eq!(calls.event(queue, Duration::ZERO).done(), None);
            writer.write_on(b"12345").done();
            let event = calls.event(queue, Duration::from_secs(5)).done();
            let event = event.map(|event| (event.file, event.data));
            assert_eq!(event, Some((reader.fd(), 5)));
            calls.close(queue).done();
        })
        .needs(Ability::Fifos)
        .needs(Ability::Kqueue)
        .under(Flags::OF_NAMES),
    ]
}
