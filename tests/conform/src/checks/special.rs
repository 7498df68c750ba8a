//! Devices, fifos and sockets: the file system keeps them, others do what they are
//! for.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_rs::abi::{vn, Vtype};
use puffs_script::world::{Ability, How};
use std::time::Duration;

const FAMILY: &str = "special";

/// Device not configured.
const ENXIO: i32 = 6;

const POLLIN: i32 = 1;
const POLLOUT: i32 = 4;

/// In an entry of a directory.
const DT_SOCK: u8 = 12;

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
        check("a socket is one", |b| {
            let socket = b.listen("s").done();
            let stat = b.stat("s").done();
            assert_eq!((stat.vtype, stat.mode, stat.size), (Vtype::Sock, 0o755, 0));
            assert_eq!(stat.nlink, 1);
            let entries = b.entries("", 4096);
            let kind = entries.iter().find(|entry| entry.name == "s");
            assert_eq!(kind.map(|entry| entry.kind), Some(DT_SOCK));
            drop(socket);
            assert_eq!(b.stat("s").done().vtype, Vtype::Sock);
            b.unlink("s").done();
            b.stat("s").fails(ENOENT);
            assert_eq!(b.files(), 1);
        })
        .needs(Ability::Sockets),
        check("data goes through a socket, not to the server", |b| {
            let socket = b.listen("s").done();
            let ino = b.ino("s");
            let far = b.connect("s").done();
            let near = b.accept(&socket).done();
            assert_eq!(far.write_on(b"to").done(), 2);
            assert_eq!(near.read_on(100).done(), b"to");
            assert_eq!(near.write_on(b"from").done(), 4);
            assert_eq!(far.read_on(100).done(), b"from");
            near.close().done();
            assert_eq!(far.read_on(100).done(), b"");
            let counts = b.counts();
            assert_eq!(
                (counts.of::<vn::Read>(ino), counts.of::<vn::Write>(ino)),
                (0, 0)
            );
            assert_eq!(b.stat("s").done().size, 0);
        })
        .needs(Ability::Sockets),
        check("another process connects to a socket", |b| {
            let socket = b.listen("s").done();
            b.elsewhere(|b| {
                let far = b.connect("s").done();
                assert_eq!(far.write_on(b"hello").done(), 5);
            });
            let near = b.accept(&socket).done();
            assert_eq!(near.read_on(100).done(), b"hello");
            assert_eq!(near.read_on(100).done(), b"");
        })
        .needs(Ability::Sockets),
        check("a socket takes a name that is free", |b| {
            b.make("f", b"x");
            b.listen("f").map(drop).fails(EADDRINUSE);
            let socket = b.listen("s").done();
            b.listen("s").map(drop).fails(EADDRINUSE);
            drop(socket);
            b.listen("s").map(drop).fails(EADDRINUSE);
            b.listen("none/s").map(drop).fails(ENOENT);
            assert_eq!(b.content("f"), b"x");
        })
        .needs(Ability::Sockets),
        check("a socket has names as others, and outlives them", |b| {
            let socket = b.listen("s").done();
            b.mkdir("d").done();
            b.rename("s", "d/moved").done();
            b.connect("s").map(drop).fails(ENOENT);
            b.link("d/moved", "second").done();
            let mut ends = Vec::new();
            for name in ["d/moved", "second"] {
                let far = b.connect(name).done();
                ends.push((far, b.accept(&socket).done()));
            }
            b.unlink("d/moved").done();
            b.unlink("second").done();
            b.connect("second").map(drop).fails(ENOENT);
            for (far, near) in ends {
                far.write_on(b"still").done();
                assert_eq!(near.read_on(100).done(), b"still");
            }
            drop(socket);
            assert_eq!(b.files(), 2);
        })
        .needs(Ability::Sockets),
        check("nobody connects to a socket that nobody listens to", |b| {
            drop(b.listen("s").done());
            b.connect("s").map(drop).fails(ECONNREFUSED);
            b.open("s", How::READ).map(drop).fails(EOPNOTSUPP);
        })
        .needs(Ability::Sockets),
        check("who may not write to a socket does not connect", |b| {
            let socket = b.listen("s").done();
            let connects = |mode| {
                b.chmod("s", mode).done();
                b.as_user((7, 7), &[7], |b| b.connect("s").map(drop))
            };
            connects(0o755).fails(EACCES);
            connects(0o702).done();
            b.accept(&socket).done();
        })
        .needs(Ability::Sockets),
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
