//! Failures on request: each service that may fail, and each wait that a
//! signal may end, does so where a plan says.
//!
//! Every call of such a service is a *point* of its [`Kind`]. The points of a
//! kind are numbered from 1 as they come, and a [`Fault`] fails the one that
//! has its number. So a test can run something once to see how many points
//! there are, and then once for each of them.

use super::{
    lwp::{self, Lwp, IMPORTANT, SIGINT},
    registry::lock,
    vfs::errno,
};
use crate::rt;
use puffs_rs::kern::{Errno, Result};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        atomic::{AtomicBool, Ordering},
        Mutex,
    },
};

/// What can fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// An allocation that may not sleep, of memory or from a pool.
    Memory,
    /// The creation of a kernel thread.
    Thread,
    /// The look for the device that the mounting process opened.
    Attach,
    /// The copy of the mount point's name from mount(2).
    Path,
    /// Entering the file system (`vfs_trybusy(9)`): somebody suspended it.
    Enter,
    /// A vnode from the vnode cache.
    Vnode,
    /// A vnode's lock: the vnode is dead.
    Lock,
    /// A vnode's lock, not waited for: somebody else has it.
    Trylock,
    /// The write-back of a vnode's pages.
    Putpages,
    /// The write-back of a vnode.
    Fsync,
    /// Getting rid of all vnodes, unless by force: one is in use.
    Vflush,
    /// An unmount that the core asks for.
    Unmount,
    /// A copy from the server.
    Copyin,
    /// A copy to the server.
    Copyout,
    /// A caller's wait for its reply gets a signal before the server sees the
    /// request.
    Reply,
    /// The same when the server has it. The server of a test makes that point.
    Served,
    /// A wait of a reader of the device gets a signal.
    Reader,
    /// A wait in poll(2) gets a signal.
    Select,
    /// The wait of an unmount for others to leave gets a signal.
    Suspend,
    /// The server dies. The server of a test makes that point.
    Death,
}

impl Kind {
    fn wait_name(self) -> &'static str {
        match self {
            Kind::Reply => "puffsrpl",
            Kind::Reader => "puffsget",
            Kind::Select => "select",
            Kind::Suspend => "suspend",
            _ => "",
        }
    }

    fn of_wait(why: &str) -> Option<Kind> {
        let waits = [Kind::Reply, Kind::Reader, Kind::Select, Kind::Suspend];
        waits.into_iter().find(|kind| kind.wait_name() == why)
    }

    /// What the service says when it fails.
    pub fn errno(self) -> Errno {
        errno::other(match self {
            // EAGAIN
            Kind::Thread => 35,
            // ENOENT
            Kind::Attach | Kind::Lock => 2,
            // EFAULT
            Kind::Path | Kind::Copyin | Kind::Copyout => 14,
            // EBUSY
            Kind::Enter | Kind::Trylock | Kind::Vflush | Kind::Unmount => 16,
            // ENFILE, which getnewvnode(9) said: no name lookup takes it for
            // an answer.
            Kind::Vnode => 23,
            // EIO
            Kind::Putpages | Kind::Fsync => 5,
            // ENOMEM
            Kind::Memory => 12,
            // ENXIO
            Kind::Death => 6,
            // EINTR
            Kind::Reply | Kind::Served | Kind::Reader | Kind::Select | Kind::Suspend => 4,
        })
    }
}

/// One failure: of the point of this kind that has this number, from 1 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What fails.
    pub kind: Kind,
    /// When.
    pub number: usize,
}

/// Which points fail, and by what signal waits end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The failures.
    pub faults: Vec<Fault>,
    /// The signal.
    pub signal: i32,
    /// Does its handler want system calls to be restarted?
    pub restarts: bool,
}

impl Plan {
    /// These failures, and SIGINT.
    pub fn new(faults: &[Fault]) -> Plan {
        Plan {
            faults: faults.to_vec(),
            signal: SIGINT,
            restarts: false,
        }
    }

    /// May the signal end a request?
    pub fn is_important(&self) -> bool {
        IMPORTANT.contains(&self.signal)
    }
}

/// The plan, and how far it is.
struct Active {
    plan: Plan,
    seen: BTreeMap<Kind, usize>,
    hit: Vec<Kind>,
}

/// Is there a plan? Without one, points cost nothing and order nothing.
static ARMED: AtomicBool = AtomicBool::new(false);
static ACTIVE: Mutex<Option<Active>> = Mutex::new(None);

/// Follows a plan from now on, and counts points from 1; `None`: no more.
pub(crate) fn set(plan: Option<Plan>) {
    let mut active = lock(&ACTIVE);
    ARMED.store(plan.is_some(), Ordering::Release);
    *active = plan.map(|plan| Active {
        plan,
        seen: BTreeMap::new(),
        hit: Vec::new(),
    });
}

fn with<R: Default>(f: impl FnOnce(&mut Active) -> R) -> R {
    if !ARMED.load(Ordering::Acquire) {
        return R::default();
    }
    lock(&ACTIVE).as_mut().map(f).unwrap_or_default()
}

/// How many points of each kind there were since the plan was made.
pub(crate) fn seen() -> BTreeMap<Kind, usize> {
    with(|active| active.seen.clone())
}

/// Which failures there were since then.
pub(crate) fn hit() -> Vec<Kind> {
    with(|active| active.hit.clone())
}

/// The plan for a report; never waits.
pub(crate) fn describe() -> String {
    let mut out = String::new();
    if let Ok(Some(active)) = ACTIVE.try_lock().as_deref() {
        // Writing to a `String` does not fail.
        let _ = write!(out, "{:?}, of which {:?}", active.plan, active.hit);
    }
    out
}

/// A point: is it the one to fail?
pub fn fails(kind: Kind) -> bool {
    with(|active| {
        let seen = active.seen.entry(kind).or_default();
        *seen += 1;
        let number = *seen;
        let fails = active.plan.faults.contains(&Fault { kind, number });
        if fails {
            active.hit.push(kind);
        }
        fails
    })
}

/// A point: what the service says if it is the one to fail.
pub(crate) fn check(kind: Kind) -> Result<()> {
    if fails(kind) {
        Err(kind.errno())
    } else {
        Ok(())
    }
}

/// The calling lwp is about to sleep, and lets signals end that.
pub(crate) fn interrupt(me: &Lwp, why: &str) {
    // Kernel threads get no signals.
    let kind = Kind::of_wait(why).filter(|_| me.pid() != 0);
    if kind.is_some_and(fails) {
        signal(me);
    }
}

/// The server has a request of lwp `lid`. If that one sleeps for the reply,
/// this is a point ([`Kind::Served`]), and if that fails, the lwp is gone when
/// this returns, unless the signal does not end requests.
pub fn served(lid: i32) {
    let waits = |lwp: &Lwp| lwp.asleep().as_deref() == Some(Kind::Reply.wait_name());
    let Some(caller) = lwp::find(lid).filter(|lwp| waits(lwp)) else {
        return;
    };
    if fails(Kind::Served) {
        signal(&caller);
        while with(|active| active.plan.is_important()) && waits(&caller) {
            rt::pause();
        }
    }
}

fn signal(to: &Lwp) {
    let (signal, restarts) = with(|active| (active.plan.signal, active.plan.restarts));
    if restarts {
        to.restarts_after(signal);
    }
    to.signal(signal);
}
