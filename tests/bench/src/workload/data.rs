//! Data of files, past the page cache (*direct*) and through it.
//!
//! What goes through the cache goes to a file that is in no cache yet: it is
//! worked on once, is written back, and is removed, so that the kernel forgets
//! its pages. All of that is part of what is measured; the server sees each byte.

use super::{each_caller, must, open, Caller, Ended};
use crate::{
    measure::Measured,
    server::{Kind, BIG},
    Place, Plan,
};
use puffs_netbsd::O_RDWR;
use puffs_rs::abi::KFLAG_NOCACHE_PAGE;

/// What is read or written at once, one after another.
const LONG: usize = 64 * 1024;
/// And at random places.
const SHORT: usize = 4096;

/// Whether it is read or written.
#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

/// One transfer.
fn transfer(caller: &Caller<'_>, way: Way, file: i32, bytes: &mut [u8], offset: u64) {
    let done = match way {
        Way::Read => caller.sys.pread(file, bytes, offset as i64),
        Way::Write => caller.sys.pwrite(file, bytes, offset as i64),
    };
    assert_eq!(must(done, "a transfer"), bytes.len(), "a short transfer");
}

/// Transfers of so many bytes at places that follow each other.
fn direct(
    place: &dyn Place,
    plan: &Plan,
    way: Way,
    len: usize,
    next: fn(u64) -> u64,
) -> Ended<Measured> {
    each_caller(place, plan, KFLAG_NOCACHE_PAGE, move |caller| {
        let file = open(caller.sys, &Kind::Big.path(caller.number), O_RDWR);
        let mut bytes = vec![0; len];
        let mut place = 0;
        caller.repeat(|| {
            transfer(caller, way, file, &mut bytes, place * len as u64);
            place = next(place) % (BIG / len as u64);
        });
    })
}

/// A linear congruential generator with a full period, modulo any power of two.
fn anywhere(place: u64) -> u64 {
    place
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

/// 64 KiB after 64 KiB.
pub(super) fn read_direct(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    direct(place, plan, Way::Read, LONG, |place| place + 1)
}

/// 64 KiB after 64 KiB.
pub(super) fn write_direct(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    direct(place, plan, Way::Write, LONG, |place| place + 1)
}

/// 4 KiB here and there.
pub(super) fn read_random_direct(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    direct(place, plan, Way::Read, SHORT, anywhere)
}

/// 4 KiB here and there.
pub(super) fn write_random_direct(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    direct(place, plan, Way::Write, SHORT, anywhere)
}

/// One pass over each of many files: all transfers in order or at random.
fn cached(
    place: &dyn Place,
    plan: &Plan,
    way: Way,
    len: usize,
    next: fn(u64) -> u64,
) -> Ended<Measured> {
    each_caller(place, plan, 0, move |caller| {
        let mut bytes = vec![0; len];
        let transfers = BIG / len as u64;
        for number in caller.numbers() {
            let path = Kind::Big.path(number);
            let file = open(caller.sys, &path, O_RDWR);
            let mut place = 0;
            for _ in 0..transfers {
                transfer(caller, way, file, &mut bytes, place * len as u64);
                place = next(place) % transfers;
                caller.count();
            }
            if let Way::Write = way {
                must(caller.sys.fsync(file), "fsync");
            }
            must(caller.sys.close(file), "close");
            must(caller.sys.unlink(&path), "unlink");
        }
    })
}

/// 64 KiB after 64 KiB.
pub(super) fn read(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    cached(place, plan, Way::Read, LONG, |place| place + 1)
}

/// 64 KiB after 64 KiB.
pub(super) fn write(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    cached(place, plan, Way::Write, LONG, |place| place + 1)
}

/// 4 KiB here and there.
pub(super) fn read_random(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    cached(place, plan, Way::Read, SHORT, anywhere)
}

/// 4 KiB here and there.
pub(super) fn write_random(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    cached(place, plan, Way::Write, SHORT, anywhere)
}

/// 4 KiB into the page cache, and `fsync(2)`: each caller in its own file.
pub(super) fn fsync(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    each_caller(place, plan, 0, |caller| {
        let file = open(caller.sys, &Kind::Big.path(caller.number), O_RDWR);
        let mut bytes = vec![0; SHORT];
        let mut place = 0;
        caller.repeat(|| {
            transfer(caller, Way::Write, file, &mut bytes, place * SHORT as u64);
            must(caller.sys.fsync(file), "fsync");
            place = anywhere(place) % (BIG / SHORT as u64);
        });
    })
}
