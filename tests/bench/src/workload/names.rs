//! Names that come and go.

use super::{begin, each_caller, mount, must, open, Ended};
use crate::{
    measure::Measured,
    server::{Kind, Server, BIG},
    sys::{Sys, O_RDONLY},
    Place, Plan, Role,
};
use puffs_netbsd::{Gate, O_CREAT, O_RDWR};
use puffs_rs::abi::{KFLAG_NOCACHE_NAME, KFLAG_NOCACHE_PAGE};
use puffs_script::{ENOENT, MNT};
use std::{ffi::CString, sync::Arc};

/// A file is created, closed and removed.
pub(super) fn create(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    each_caller(place, plan, KFLAG_NOCACHE_PAGE, |caller| {
        let path = Kind::New.path(caller.number);
        caller.repeat(|| {
            let file = open(caller.sys, &path, O_RDWR | O_CREAT);
            must(caller.sys.close(file), "close");
            must(caller.sys.unlink(&path), "unlink");
        });
    })
}

/// A name is looked up that is not there, nor in a cache.
pub(super) fn absent(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    let flags = KFLAG_NOCACHE_PAGE | KFLAG_NOCACHE_NAME;
    each_caller(place, plan, flags, |caller| {
        let path = Kind::Absent.path(caller.number);
        caller.repeat(|| {
            let errno = caller.sys.stat(&path).err().map(|error| error.get());
            assert_eq!(errno, Some(ENOENT), "stat of nothing");
        });
    })
}

/// A directory of 10,000 entries is listed, as `opendir(3)` does it.
pub(super) fn readdir(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    /// What NetBSD's C library asks for.
    const ROOM: usize = 4096;
    each_caller(place, plan, KFLAG_NOCACHE_PAGE, |caller| {
        let path = CString::new(MNT).unwrap_or_default();
        let directory = open(caller.sys, &path, O_RDONLY);
        let mut room = [0; ROOM];
        caller.repeat(|| {
            must(caller.sys.rewind(directory), "lseek");
            while must(caller.sys.getdents(directory, &mut room), "getdents") > 0 {}
        });
    })
}

/// Reads of a file, while somebody else looks at one file after another that the
/// kernel forgets at once, and says so to the server. Only the reads count.
pub(super) fn reclaim(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    const LEN: usize = 4096;
    let server = Server::default();
    let counts = mount(place, plan.callers, KFLAG_NOCACHE_PAGE, server)?;
    let of_other = Arc::clone(&counts);
    let look = move |gate: &dyn Gate| {
        let numbers = 0..1_usize << 27;
        for number in numbers.take_while(|_| of_other.goes_on()) {
            must(Sys(gate).stat(&Kind::Brief.path(number)), "stat");
        }
    };
    place.spawn(Role::Caller, Box::new(look));
    begin(place, plan, &counts, |caller| {
        let file = open(caller.sys, &Kind::Big.path(caller.number), O_RDONLY);
        let mut room = [0; LEN];
        let mut offset = 0;
        caller.repeat(|| {
            let len = must(caller.sys.pread(file, &mut room, offset as i64), "pread");
            assert_eq!(len, LEN);
            offset = (offset + LEN as u64) % BIG;
        });
    });
    Ok(counts.measure(plan.warmup, plan.time))
}
