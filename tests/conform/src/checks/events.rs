//! `poll(2)` and `kqueue(2)` of files.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_rs::abi::{vn, VnOp};
use puffs_script::world::{Ability, How};
use std::time::Duration;

const FAMILY: &str = "events";

const POLLIN: i32 = 1;
const POLLOUT: i32 = 4;
const POLLRDNORM: i32 = 0x40;

const EVFILT_READ: u32 = 0;
const EVFILT_VNODE: u32 = 3;
/// `NOTE_DELETE | NOTE_WRITE`.
const NOTES: u32 = 3;

const LONG: Duration = Duration::from_secs(5);

pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("the server says what a poller may do", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            let file = b.open("f", How::WRITE).done();
            for events in [POLLIN, POLLOUT, POLLIN | POLLOUT, POLLIN | POLLRDNORM] {
                assert_eq!(file.poll(events, LONG).done(), events);
            }
            let dir = b.open("d", How::READ).done();
            assert_eq!(dir.poll(POLLIN, LONG).done(), POLLIN);
        }),
        check("a poll asks the server once", |b| {
            b.make("f", b"x");
            let file = b.open("f", How::READ).done();
            let ino = b.ino("f");
            for _ in 0..3 {
                let asked = b.asked::<vn::Poll>(Some(ino), || {
                    assert_eq!(file.poll(POLLIN, LONG).done(), POLLIN);
                });
                assert_eq!(asked, 1);
            }
        })
        .under(Flags::ONE),
        check("many poll at once", |b| {
            b.make("f", b"x");
            let pollers: Vec<_> = (0..5)
                .map(|_| {
                    b.meanwhile(|calls| {
                        let file = calls.open("/mnt/f", How::READ)?;
                        let done = (0..10).try_for_each(|_| {
                            calls
                                .poll(file, POLLIN, LONG)
                                .map(|there| assert_eq!(there, POLLIN))
                        });
                        calls.close(file)?;
                        done
                    })
                })
                .collect();
            for poller in pollers {
                poller.join().done();
            }
        })
        .under(Flags::ONE),
        check("a file whose server does not poll is always ready", |b| {
            b.make("f", b"x");
            let file = b.open("f", How::WRITE).done();
            assert_eq!(file.poll(POLLIN | POLLOUT, LONG).done(), POLLIN | POLLOUT);
            assert_eq!(b.counts().all::<vn::Poll>(), 0);
        })
        .without(VnOp::Poll)
        .needs(Ability::Kqueue)
        .under(Flags::ONE),
        check("kqueue does not watch files of puffs", |b| {
            // puffs_vnops.c has genfs_eopnotsupp for that.
            b.make("f", b"x");
            let file = b.open("f", How::READ).done();
            let calls = b.calls();
            let queue = calls.kqueue().done();
            for filter in [EVFILT_READ, EVFILT_VNODE] {
                let watched = calls.watch(queue, file.fd(), filter, NOTES);
                watched.fails(EOPNOTSUPP);
            }
            calls.close(queue).done();
        })
        .needs(Ability::Kqueue)
        .under(Flags::ONE),
    ]
}
