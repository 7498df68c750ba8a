//! Attributes of files: a request that is small both ways.

use super::{begin, mount, must, open, Ended};
use crate::{
    measure::Measured,
    server::{Kind, Server},
    sys::{Sys, O_RDONLY},
    Place, Plan, Role,
};
use puffs_netbsd::Gate;
use puffs_rs::abi::KFLAG_NOCACHE_PAGE;
use std::ffi::CStr;

/// `stat(2)`, which is one request: attributes are not cached, and the name is.
/// Each caller has a file of its own.
pub(super) fn stat(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    ask(place, plan, |number| number, by_path)
}

/// All callers have the same file. Of that only one is asked about at a time, as
/// NetBSD's puffs keeps a lock of the file's meanwhile.
pub(super) fn stat_shared(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    ask(place, plan, |_| 0, by_path)
}

/// `fstat(2)`: nothing has to be found.
pub(super) fn fstat(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    ask(place, plan, |number| number, by_descriptor)
}

/// So many callers are started at a time whose requests are not answered.
const CROWD: usize = 16;

/// Asks again and again, by the function that is called for each time.
type Ask = fn(Sys<'_>, &CStr, &mut dyn FnMut(&dyn Fn()));

fn by_path(sys: Sys<'_>, path: &CStr, repeat: &mut dyn FnMut(&dyn Fn())) {
    repeat(&|| must(sys.stat(path), "stat"));
}

fn by_descriptor(sys: Sys<'_>, path: &CStr, repeat: &mut dyn FnMut(&dyn Fn())) {
    let file = open(sys, path, O_RDONLY);
    repeat(&|| must(sys.fstat(file), "fstat"));
}

fn ask(place: &dyn Place, plan: &Plan, file: fn(usize) -> usize, ask: Ask) -> Ended<Measured> {
    let server = Server::holding(plan.callers);
    let counts = mount(place, plan.callers, KFLAG_NOCACHE_PAGE, server)?;
    for number in 0..plan.outstanding {
        let path = Kind::Small.path(plan.callers + number);
        // It waits until the end of the program.
        let wait = move |gate: &dyn Gate| must(Sys(gate).stat(&path), "stat without an answer");
        place.spawn(Role::Caller, Box::new(wait));
        // Thousands that look for their file at once wake each other for long.
        counts.wait_for_held((number + 1) / CROWD * CROWD)?;
    }
    counts.wait_for_held(plan.outstanding)?;
    begin(place, plan, &counts, move |caller| {
        let path = Kind::Small.path(file(caller.number));
        ask(caller.sys, &path, &mut |call| caller.repeat(call));
    });
    Ok(counts.measure(plan.warmup, plan.time))
}
