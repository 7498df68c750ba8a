//! The workloads.

mod attributes;
mod data;
mod dtfs;
mod mounts;
mod names;

use crate::{
    measure::{Counts, Measured},
    server::Server,
    sys::Sys,
    Place, Plan, Role,
};
use puffs_netbsd::{Gate, Kernel, O_RDWR};
use puffs_rs::{
    abi::{consts, KArgs, VnOp},
    kern::{Errno, Result},
};
use puffs_script::{ask_for, mount_args, MNT};
use std::{
    ffi::CStr,
    sync::{mpsc, Arc},
    thread::JoinHandle,
};

type Ended<T> = std::result::Result<T, String>;

/// Each with what it does to be measured.
type Workload = (&'static str, fn(&dyn Place, &Plan) -> Ended<Measured>);

const WORKLOADS: [Workload; 19] = [
    ("floor", floor),
    ("stat", attributes::stat),
    ("stat-shared", attributes::stat_shared),
    ("fstat", attributes::fstat),
    ("create", names::create),
    ("absent", names::absent),
    ("readdir", names::readdir),
    ("reclaim", names::reclaim),
    ("read-direct", data::read_direct),
    ("write-direct", data::write_direct),
    ("read-random-direct", data::read_random_direct),
    ("write-random-direct", data::write_random_direct),
    ("read", data::read),
    ("write", data::write),
    ("read-random", data::read_random),
    ("write-random", data::write_random),
    ("fsync", data::fsync),
    ("dtfs", dtfs::stat),
    ("mount", mounts::mount_and_unmount),
];

/// Runs one. The threads are still there when it returns, and the mount is.
///
/// # Errors
/// What failed.
pub fn run(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    let of_name = |(name, _): &&Workload| *name == plan.workload;
    match WORKLOADS.iter().find(of_name) {
        Some((_, workload)) => workload(place, plan),
        None => {
            let names: Vec<_> = WORKLOADS.iter().map(|(name, _)| *name).collect();
            Err(format!("the workloads are {}", names.join(", ")))
        }
    }
}

/// The message of an error of the kernel's.
fn why(what: &str) -> impl FnOnce(Errno) -> String + '_ {
    move |error| format!("{what}: {error:?}")
}

/// # Panics
/// If the call failed: what fails is not measured.
fn must<T>(done: Result<T>, what: &str) -> T {
    match done {
        Ok(done) => done,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// Opens a file.
fn open(sys: Sys<'_>, path: &CStr, flags: i32) -> i32 {
    must(sys.open(path, flags), "open")
}

/// Runs something as a thread of a process.
fn enter<T: Send + 'static>(
    place: &dyn Place,
    role: Role,
    work: impl FnOnce(&dyn Gate) -> T + Send + 'static,
) -> Ended<T> {
    let (send, receive) = mpsc::channel();
    let work = move |gate: &dyn Gate| {
        let _ = send.send(work(gate));
    };
    let thread = place.spawn(role, Box::new(work));
    thread.join().map_err(|_| "a thread panicked".to_owned())?;
    receive.recv().map_err(|_| "a thread panicked".to_owned())
}

/// A byte goes to another thread of the same process and comes back, through
/// two pipes: two wakeups and two switches, and next to nothing else. No call
/// that a server answers can take less.
fn floor(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    let pipes = enter(place, Role::Caller, |gate| {
        Ok([Sys(gate).pipe()?, Sys(gate).pipe()?])
    })?;
    let [there, back] = pipes.map_err(why("pipe"))?;
    let counts = Counts::new(1);
    place.spawn(
        Role::Caller,
        Box::new(move |gate| {
            let (sys, mut byte) = (Sys(gate), [0]);
            while matches!(sys.read(there[0], &mut byte), Ok(1)) {
                if sys.write(back[1], &byte).is_err() {
                    break;
                }
            }
        }),
    );
    let of_caller = counts.clone();
    place.spawn(
        Role::Caller,
        Box::new(move |gate| {
            let (sys, mut byte) = (Sys(gate), [0]);
            of_caller.repeat(0, || {
                let done = sys
                    .write(there[1], &byte)
                    .and_then(|_| sys.read(back[0], &mut byte));
                must(done, "ping");
            });
        }),
    );
    Ok(counts.measure(plan.warmup, plan.time))
}

/// What a server of file data is asked for. The server is not told when a file
/// becomes inactive.
fn args(flags: u32) -> KArgs {
    let mut args = mount_args();
    args.flags |= flags;
    args.maxmsglen = consts::MSG_MAXSIZE;
    ask_for(
        &mut args,
        &[
            VnOp::Create,
            VnOp::Remove,
            VnOp::Readdir,
            VnOp::Read,
            VnOp::Write,
            VnOp::Fsync,
            VnOp::Setattr,
            VnOp::Reclaim,
        ],
    );
    args
}

/// Opens the device and mounts, as the server; returns the descriptor.
fn mount_here(gate: &dyn Gate, args: &KArgs) -> Result<i32> {
    let kernel = Kernel::new(gate);
    let device = kernel.open_file("/dev/puffs", O_RDWR)?;
    kernel.mount_puffs(MNT, args, device).map(|()| device)
}

/// Mounts with these flags, and has the server serve.
fn mount(place: &dyn Place, callers: usize, flags: u32, mut server: Server) -> Ended<Arc<Counts>> {
    let args = args(flags);
    let device = enter(place, Role::Server, move |gate| mount_here(gate, &args))?;
    let device = device.map_err(why("mount"))?;
    let counts = Counts::new(callers);
    let of_server = counts.clone();
    let serve = move |gate: &dyn Gate| server.serve(Sys(gate), device, &of_server);
    place.spawn(Role::Server, Box::new(serve));
    Ok(counts)
}

/// Mounts with these flags, and has each caller do something again and again that
/// counts for itself what it did, until the time is over.
fn each_caller(
    place: &dyn Place,
    plan: &Plan,
    flags: u32,
    work: impl Fn(&Caller<'_>) + Send + Sync + 'static,
) -> Ended<Measured> {
    let counts = mount(place, plan.callers, flags, Server::default())?;
    begin(place, plan, &counts, work);
    Ok(counts.measure(plan.warmup, plan.time))
}

/// A thread that makes calls.
struct Caller<'a> {
    number: usize,
    sys: Sys<'a>,
    counts: &'a Counts,
}

impl Caller<'_> {
    /// Does one thing until it is over.
    fn repeat(&self, call: impl FnMut()) {
        self.counts.repeat(self.number, call);
    }

    /// Another number for each time, and none that another caller has.
    fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        let (first, callers) = (self.number, self.counts.callers());
        let goes_on = |_: &usize| self.counts.goes_on();
        (first..).step_by(callers).take_while(goes_on)
    }

    /// A call was made.
    fn count(&self) {
        self.counts.add(self.number);
    }
}

/// Starts the callers.
fn begin(
    place: &dyn Place,
    plan: &Plan,
    counts: &Arc<Counts>,
    work: impl Fn(&Caller<'_>) + Send + Sync + 'static,
) -> Vec<JoinHandle<()>> {
    let work = Arc::new(work);
    let start = |number| {
        let (work, counts) = (work.clone(), counts.clone());
        let body = move |gate: &dyn Gate| {
            work(&Caller {
                number,
                sys: Sys(gate),
                counts: &counts,
            });
        };
        place.spawn(Role::Caller, Box::new(body))
    };
    (0..plan.callers).map(start).collect()
}
