//! The workloads.

use crate::{
    measure::{Counts, Measured},
    server::{self, Manner},
    sys::Sys,
    Place, Plan, Role,
};
use puffs_netbsd::{Gate, Kernel, O_RDWR};
use puffs_rs::{
    abi::{consts, KArgs, KFLAG_NOCACHE_PAGE},
    kern::{Errno, Result},
};
use puffs_script::{mount_args, MNT};
use std::{
    ffi::CString,
    sync::{mpsc, Arc},
    thread::JoinHandle,
};

type Ended<T> = std::result::Result<T, String>;

const O_RDONLY: i32 = 0;

/// Runs one. The threads are still there when it returns, and the mount is.
///
/// # Errors
/// What failed.
pub fn run(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    match plan.workload.as_str() {
        "floor" => floor(place, plan),
        "stat" | "fstat" | "stat-shared" => stat(place, plan),
        other => Err(format!("there is no workload {other}")),
    }
}

/// The message of an error of the kernel's.
fn why(what: &str) -> impl FnOnce(Errno) -> String + '_ {
    move |error| format!("{what}: {error:?}")
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
            of_caller.repeat(0, 1, || {
                let done = sys
                    .write(there[1], &byte)
                    .and_then(|_| sys.read(back[0], &mut byte));
                must(done, "ping");
            });
        }),
    );
    Ok(counts.measure(plan.warmup, plan.time))
}

/// # Panics
/// If the call failed: what fails is not measured.
fn must<T>(done: Result<T>, what: &str) -> T {
    match done {
        Ok(done) => done,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// A mount and its server.
struct Mounted {
    counts: Arc<Counts>,
    _server: JoinHandle<()>,
}

fn mount(place: &dyn Place, callers: usize, args: KArgs, manner: Manner) -> Ended<Mounted> {
    let device = enter(place, Role::Server, move |gate| {
        let kernel = Kernel::new(gate);
        let device = kernel.open_file("/dev/puffs", O_RDWR)?;
        kernel.mount_puffs(MNT, &args, device).map(|()| device)
    })?;
    let device = device.map_err(why("mount"))?;
    let counts = Counts::new(callers);
    let of_server = counts.clone();
    let server = place.spawn(
        Role::Server,
        Box::new(move |gate| server::serve(Sys(gate), device, &of_server, &manner)),
    );
    Ok(Mounted {
        counts,
        _server: server,
    })
}

/// Names are cached, attributes and pages are not, and the server is not told
/// of what is forgotten.
fn args() -> KArgs {
    let mut args = mount_args();
    args.flags |= KFLAG_NOCACHE_PAGE;
    args.maxmsglen = consts::MSG_MAXSIZE;
    args
}

/// How a caller asks for attributes.
enum Target {
    /// `stat(2)` of a path.
    Path(CString),
    /// `fstat(2)` of an open file.
    Open(i32),
}

impl Target {
    /// What the `number`th caller asks about, which calls [`Target::ask`] then.
    fn of(workload: &str, number: usize, sys: &dyn Gate) -> Target {
        let file = if workload == "stat-shared" { 0 } else { number };
        let path = format!("{MNT}/{}", server::name(file));
        if workload == "fstat" {
            let open = Kernel::new(sys).open_file(&path, O_RDONLY);
            return Target::Open(must(open, "open"));
        }
        match CString::new(path) {
            Ok(path) => Target::Path(path),
            Err(_) => unreachable!("there is no NUL in it"),
        }
    }

    fn ask(&self, sys: Sys<'_>) {
        let done = match self {
            Target::Path(path) => sys.stat(path),
            Target::Open(file) => sys.fstat(*file),
        };
        must(done, "stat");
    }
}

/// The attributes of a file, which is one request: they are not cached, and the
/// name is. Each caller has a file of its own, but in `stat-shared`: there only
/// one of them is asked about at a time, as NetBSD's puffs keeps a lock of the
/// file's meanwhile.
fn stat(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    let manner = Manner { hold: plan.callers };
    let mounted = mount(place, plan.callers, args(), manner)?;
    let counts = &mounted.counts;
    for number in 0..plan.outstanding {
        let file = plan.callers + number;
        // It waits until the end of the program.
        let wait = move |gate: &dyn Gate| Target::of("stat", file, gate).ask(Sys(gate));
        place.spawn(Role::Caller, Box::new(wait));
    }
    counts.wait_for_held(plan.outstanding)?;
    for caller in 0..plan.callers {
        let (counts, workload) = (counts.clone(), plan.workload.clone());
        let work = move |gate: &dyn Gate| {
            let target = Target::of(&workload, caller, gate);
            counts.repeat(caller, 1, || target.ask(Sys(gate)));
        };
        place.spawn(Role::Caller, Box::new(work));
    }
    Ok(counts.measure(plan.warmup, plan.time))
}
