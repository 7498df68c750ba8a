//! The message interface: requests to the server, and their replies.
//!
//! A request is a [`Park`]. Its way is
//!
//! ```text
//!  made ── enqueue ──> Queued ── getout ──> Sending ── releaseout ──> Pending
//!                        │                     │                        │
//!                        └──── server dies, ───┴── or dispatch finds ───┴──> Done
//!                              caller leaves       its reply
//! ```
//!
//! and every arrow is one function inside one lock, the mount's *message
//! lock*. A caller who is interrupted takes a queued request back; one that
//! the server has seen it leaves behind, and nobody looks at the reply. What is left
//! of such a request is small, and `room` says how many there may be.
//!
//! Requests go in the order in which they came, but for those that overtake RECLAIMs:
//! `queue` says which. How much may be under way that nobody waits for, `room` says.
//!
//! # What a call costs
//!
//! The caller enters the message lock once, to send and to wait; the server's
//! thread three times: it fetches the request, gives the buffer back, and
//! answers. One reader is woken for a request, and one caller for a reply, by
//! who is about to give the lock up or did: who is woken finds it free. A reply
//! is found by its id, and copied once; what belongs in pages goes there
//! straight from the server's frame. Signals cost nothing before one comes, and
//! those that poll the device nothing before somebody does.
//!
//! # Lock order
//!
//! ```text
//! vnode lock > pn_sizemtx > v_interlock > pn_mtx
//! pmp_sopmtx   message lock
//! ```
//!
//! Nothing is entered inside the message lock but the kernel's own queues of
//! sleepers and the list of stranded requests, and nothing sleeps in it but waits on its own condition
//! variables. In particular completions, the device's wakeups and allocations
//! run outside it. The same is true of `pmp_sopmtx`; neither is entered inside
//! the other.
//!
//! Operations run outside the kernel lock (`IMNT_MPSAFE`). It guards three things:
//! the device's instance, so that calls of the device are made inside it and pollers
//! of the device are told inside it; the tie of a `struct mount` to ours; and
//! the unloading of the module. Who is inside a mutex may enter it, for it is given up
//! by whoever has to wait for a mutex.

mod amend;
mod dispatch;
mod listing;
mod park;
mod poll;
mod queue;
mod reply;
mod request;
mod room;
mod sop;
mod stranded;
mod time32;

pub(crate) use park::{Completion, Syncing};
pub use park::{Outcome, Park, PARKS};
pub(crate) use poll::{Poll, Polls};
pub use queue::{Queue, Rank, PATIENCE};
pub(crate) use request::Request;
pub use stranded::sweep as sweep_stranded;

pub(crate) use sop::{Sop, SopRequest, SOP_REQUESTS};

use crate::{
    abi::{self, notify, Cookie, ErrorOp, OpClass, Req, VnOp},
    kern::{
        self, Buf, CondVar, Errno, Guard, KBytes, List, Mutex, Putter, Ref, Result, SignalMask,
        Sleep, Table, Vnode,
    },
    mount::Mount,
};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use park::{Core, State, Waiter};
use room::Share;
use zerocopy::{FromZeros, IntoBytes};

/// Buckets of the table of pending replies.
const BUCKETS: usize = 1024;

/// How many error reports may wait for the server to read them, and how many
/// answers to its own requests. Beyond that they are dropped: a server that
/// writes and never reads must not fill the kernel's memory. No server has as
/// many requests of its own under way.
const REPORTS_MAX: usize = 1024;
const ANSWERS_MAX: usize = 4096;

/// The life of a mount, as far as messages go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// mount(2) has not returned yet; the server cannot be asked.
    Mounting,
    /// The server can be asked.
    Running,
    /// The server is gone or the mount is being taken down.
    Dying,
}

/// The message state of a mount (the parts of `struct puffs_mount` that
/// `puffs_msgif.c` uses).
pub struct MsgIf {
    queues: Mutex<Queues>,
    /// Where readers of the device wait for requests.
    readers: CondVar,
    /// Where closing waits for mounting and unmounting.
    changes: CondVar,
    /// Where those wait who would have more under way than may be.
    room: CondVar,
    /// The length of the queue to the server, for poll without the lock.
    queued: AtomicUsize,
    /// Somebody polled the device: from then on, those that poll are told of
    /// requests. A server that only reads it costs nobody that.
    polled: AtomicBool,
    /// The device that the server reads and writes.
    pub putter: Putter,
}

/// What the message lock guards.
pub(crate) struct Queues {
    pub(crate) status: Status,
    /// An unmount is asking the server, or taking the mount down.
    unmounting: bool,
    /// The mount was taken down; the kernel's has nothing of ours any more.
    gone: bool,
    /// To the server.
    touser: Queue<Park>,
    /// Lent to readers of the device.
    sending: List<Park>,
    /// At the server, by id.
    pending: Table<Park>,
    next_id: u64,
    notices: usize,
    /// What is under way that nobody waits for.
    load: room::Load,
}

/// A request handed to a reader of the device, until it is released.
pub struct Outgoing {
    /// What it is to be released by; not to be looked at.
    pub name: *const Park,
    /// The bytes to copy out, which are there until then.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
}

/// How a request that was sent is waited for.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// Its sender has to [wait](MsgIf::wait).
    Waiting,
    /// Not at all: nobody wants to know, or it failed at once.
    Over(Outcome),
}

/// A request that failed before it was sent.
struct Failed {
    outcome: Outcome,
    /// To be run on the error, outside the lock.
    completion: Option<(Completion, Errno)>,
}

impl Failed {
    fn of(core: &mut Core, error: Errno) -> Failed {
        let completion = core.fail(error).map(|completion| (completion, error));
        Failed {
            outcome: core.outcome,
            completion,
        }
    }
}

impl MsgIf {
    /// The message state of a mount that is being made. `None` if memory is
    /// short.
    pub fn new() -> Option<MsgIf> {
        Some(MsgIf {
            queues: Mutex::new(Queues {
                status: Status::Mounting,
                unmounting: false,
                gone: false,
                touser: Queue::new(),
                sending: List::new(),
                pending: Table::new(BUCKETS, Sleep::Yes)?,
                next_id: 1,
                notices: 0,
                load: room::Load::default(),
            }),
            readers: CondVar::new(c"puffsget"),
            changes: CondVar::new(c"puffsref"),
            room: CondVar::new(c"puffsroom"),
            queued: AtomicUsize::new(0),
            polled: AtomicBool::new(false),
            putter: Putter::new(),
        })
    }

    /// What state the mount is in.
    pub fn status(&self) -> Status {
        self.queues.lock().status
    }

    /// Says that mount(2) is through and the server can be asked, unless it
    /// died meanwhile.
    pub fn start(&self) {
        // A kqueue that watches the device since before it was tied to the
        // mount has asked for nothing yet, and would never be told. Now it asks.
        self.putter.notify();
        let mut queues = self.queues.lock();
        if queues.status == Status::Mounting {
            queues.status = Status::Running;
        }
        self.changes.broadcast();
    }

    /// Sends a request on its way (C: `puffs_msg_enqueue`). The completion of one
    /// that fails is run at once.
    pub fn enqueue(&self, time32: bool, park: &mut Ref<Park>) -> Sent {
        let submitted = match self.prepare(time32, park) {
            Ok(()) => self.submit(&mut self.queues.lock(), park),
            Err(failed) => Err(failed),
        };
        match submitted {
            Ok((sent, notify)) => {
                self.announce(notify);
                sent
            }
            Err(Failed {
                outcome,
                completion,
            }) => {
                if let Some((completion, error)) = completion {
                    run_failed(completion, error);
                }
                Sent::Over(outcome)
            }
        }
    }

    /// Sends a request and waits for its outcome: [`enqueue`](Self::enqueue) and
    /// [`wait`](Self::wait) inside one lock, which a reader who is woken gets
    /// when the wait gives it up.
    pub fn call(&self, time32: bool, park: &mut Ref<Park>) -> Outcome {
        if let Err(failed) = self.prepare(time32, park) {
            debug_assert!(failed.completion.is_none(), "a call with a completion");
            return failed.outcome;
        }
        let mut queues = self.queues.lock();
        match self.submit(&mut queues, park) {
            Ok((Sent::Waiting, false)) => {
                self.readers.signal();
                self.outcome(queues, park)
            }
            Ok((sent, notify)) => {
                drop(queues);
                self.announce(notify);
                self.wait(park, sent)
            }
            Err(failed) => {
                debug_assert!(failed.completion.is_none(), "a call with a completion");
                failed.outcome
            }
        }
    }

    /// Says that a request is on the queue, outside the message lock: a reader who
    /// is woken finds that free, and who polls is told nowhere else.
    fn announce(&self, notify: bool) {
        self.readers.signal();
        if notify {
            self.putter.notify();
        }
    }

    /// Makes a park ready to be sent.
    fn prepare(&self, time32: bool, park: &mut Ref<Park>) -> core::result::Result<(), Failed> {
        let Some(fresh) = park.get_mut() else {
            // Our caller reuses a request that the server still has.
            debug_assert!(false, "enqueue of a park in flight");
            return Err(Failed {
                outcome: Outcome::of(Errno::EINVAL),
                completion: None,
            });
        };
        fresh.core.bind(&self.queues);
        let core = fresh.core.get_mut();
        core.state = State::Filling;
        core.outcome = Outcome::default();
        core.id = 0;
        core.wire = None;
        if let Waiter::Callback(Completion::Poll(poll)) = &mut core.waiter {
            if !poll.begin() {
                core.state = State::Done;
                core.waiter = Waiter::Nobody;
                return Err(Failed {
                    outcome: Outcome::default(),
                    completion: None,
                });
            }
        }
        prepare(core, time32).map_err(|error| Failed::of(core, error))
    }

    /// Puts a prepared park on the queue, or fails it. True: those that poll the
    /// device are to be told.
    fn submit(
        &self,
        queues: &mut Guard<'_, Queues>,
        park: &Ref<Park>,
    ) -> core::result::Result<(Sent, bool), Failed> {
        let (waiting, deserted) = (queues.notices, queues.load.is_deserted());
        let refused = match queues.status {
            Status::Running => None,
            _ => Some(Errno::ENXIO),
        };
        let id = queues.next_id;
        let Some(core) = park.core.get(queues) else {
            return Err(Failed {
                outcome: Outcome::of(Errno::ENXIO),
                completion: None,
            });
        };
        let full =
            core.notice.is_some_and(|limit| waiting >= limit) || deserted && core.is_waited_for();
        let refused = refused.or(full.then_some(Errno::EBUSY));
        if let Some(error) = refused {
            return Err(Failed::of(core, error));
        }
        core.state = State::Queued;
        core.share = core.burden();
        let share = core.share;
        let notice = core.notice.is_some();
        let rank = Rank::of(core);
        let sent = match core.waiter {
            Waiter::Caller => Sent::Waiting,
            _ => Sent::Over(core.outcome),
        };
        let numbered = !matches!(core.waiter, Waiter::Nobody);
        if numbered {
            core.id = id;
            if let Some(header) = core.header() {
                header.id = id;
            }
        }
        if numbered {
            queues.next_id += 1;
        }
        if notice {
            queues.notices += 1;
        }
        queues.load.add(share);
        // The park is on no list: it was its maker's alone.
        let linked = queues.touser.push(park.clone(), rank);
        debug_assert!(linked.is_ok());
        trace(queues, "enqueued", park);
        // Who polls says so before it looks at the length.
        self.queued.store(queues.touser.len(), Ordering::SeqCst);
        let notify = self.polled.load(Ordering::SeqCst);
        Ok((sent, notify))
    }

    /// Waits for the outcome of a request that was `sent` (C: `puffs_msg_wait`).
    ///
    /// INT, TERM, KILL, HUP and QUIT end the wait, other signals do not.
    pub fn wait(&self, park: &Ref<Park>, sent: Sent) -> Outcome {
        match sent {
            Sent::Waiting => self.outcome(self.queues.lock(), park),
            Sent::Over(outcome) => outcome,
        }
    }

    /// The outcome of a request that the caller is to wait for.
    fn outcome<'a>(&'a self, mut queues: Guard<'a, Queues>, park: &Ref<Park>) -> Outcome {
        let mut mask = None;
        let mut unused = None;
        let outcome = loop {
            if let Some(outcome) = done(&mut queues, park) {
                break outcome;
            }
            if park.cv().wait_sig(&mut queues).is_ok() {
                continue;
            }
            // Some signal. The outcome may have come in the same moment.
            if done(&mut queues, park).is_some() {
                continue;
            }
            let heeded;
            (queues, heeded) = self.heed(queues, &mut mask);
            if !heeded {
                continue;
            }
            unused = self.abandon(&mut queues, park);
            trace(&mut queues, "left by its caller", park);
            break Outcome::of(Errno::EINTR);
        };
        drop(queues);
        drop(unused);
        drop(mask);
        outcome
    }

    /// A signal woke a sleeper: does it end the sleep? INT, TERM, KILL, HUP and QUIT
    /// do. Others are blocked from then on, until the mask is dropped, which is
    /// not for inside the lock.
    #[cold]
    fn heed<'a>(
        &'a self,
        queues: Guard<'a, Queues>,
        mask: &mut Option<SignalMask>,
    ) -> (Guard<'a, Queues>, bool) {
        if mask.is_some() || kern::important_signal_pending() {
            return (queues, true);
        }
        drop(queues);
        *mask = Some(SignalMask::important_only());
        (self.queues.lock(), false)
    }

    /// An interrupted caller leaves: what the server has not seen is taken
    /// back. What it has seen stays with the mount until it is done, and nobody
    /// looks at the outcome. What it does not need meanwhile is handed out, to be
    /// freed outside the lock.
    fn abandon(&self, queues: &mut Guard<'_, Queues>, park: &Ref<Park>) -> Option<KBytes> {
        let taken_back = queues.touser.remove(park);
        self.queued.store(queues.touser.len(), Ordering::Release);
        let core = park.core.get(queues)?;
        core.waiter = Waiter::Left;
        if taken_back.is_some() {
            core.state = State::Done;
            core.id = 0;
            return None;
        }
        let unused = core.shrink();
        let share = Share::abandoned();
        core.share = share;
        queues.load.add(share);
        unused
    }

    /// Completes what is under way of pages of a vnode that is being reclaimed, without
    /// the server.
    pub(crate) fn forsake(&self, vnode: Vnode) {
        let wanted = |park: &Park| park.is_for_pages_of(vnode);
        loop {
            let mut queues = self.queues.lock();
            let all = &mut *queues;
            let found = all.pending.find(wanted);
            let found = found.or_else(|| all.touser.find(wanted));
            let Some(park) = found.or_else(|| all.sending.find(wanted)) else {
                return;
            };
            park.clear_pages_of();
            let core = park.core.get(&mut queues);
            let (completion, unused) =
                core.map_or((None, None), |core| (core.forsake(), core.shrink()));
            drop(queues);
            drop((park, unused));
            if let Some(completion) = completion {
                completion.forsake();
            }
        }
    }

    /// Takes back from a request where its caller wanted pages: from now on
    /// nobody puts anything there.
    pub(crate) fn take_pages(&self, park: &mut Ref<Park>) -> Option<Buf> {
        if let Some(park) = park.get_mut() {
            return park.swap_pages(None);
        }
        let mut queues = self.queues.lock();
        park.core.get(&mut queues)?.pages.take()
    }

    /// Hands the next request to a reader of the device (C:
    /// `puffs_msgif_getout`).
    ///
    /// # Errors
    /// ENXIO when the mount is not running, EWOULDBLOCK if there is none and
    /// the reader does not want to wait, EINTR or ERESTART for a signal.
    pub fn getout(&self, nonblock: bool) -> Result<Outgoing> {
        let mut queues = self.queues.lock();
        let park = self.next_request(&mut queues, nonblock)?;

        self.queued.store(queues.touser.len(), Ordering::Release);
        park.lend();
        trace(&mut queues, "handed out", &park);
        let Some(core) = park.core.get(&mut queues) else {
            return Err(Errno::ENXIO);
        };
        core.state = State::Sending;
        let len = match core.wire {
            // The server's form of the message is as much longer.
            Some(ref wire) => (core.copylen + wire.len()).saturating_sub(core.msg.len()),
            None => core.copylen,
        };
        if let Some(header) = core.header() {
            header.pth.framelen = len as u64;
        }
        let data = core.wire_mut().as_ptr();
        if core.notice.is_some() {
            queues.notices -= 1;
        }
        let name = park.as_ptr();
        let linked = queues.sending.push_back(park);
        debug_assert!(linked.is_ok());
        Ok(Outgoing { name, data, len })
    }

    fn next_request(&self, queues: &mut Guard<'_, Queues>, nonblock: bool) -> Result<Ref<Park>> {
        loop {
            if queues.status != Status::Running {
                return Err(Errno::ENXIO);
            }
            if let Some(park) = queues.touser.pop() {
                return Ok(park);
            }
            if nonblock {
                return Err(Errno::EWOULDBLOCK);
            }
            let woken = self.readers.wait_sig(queues);
            if let Err(error) = woken {
                // Whoever woke us may have meant one reader: pass it on.
                if !queues.touser.is_empty() {
                    self.readers.signal();
                }
                return Err(error);
            }
        }
    }

    /// Takes a request back from a reader of the device (C:
    /// `puffs_msgif_releaseout`): the server has it now, or `error` says why
    /// not.
    ///
    /// `name` is what the device got with the request. It is not trusted: where
    /// several threads read one descriptor, the device gives a request back
    /// more than once. `mount` is `None` when the instance was detached
    /// meanwhile.
    pub fn releaseout(mount: Option<&Mount>, name: *const Park, error: Result<()>) {
        let Some(mount) = mount else {
            return stranded::remove(name);
        };
        let msgif = &mount.msgif;
        let mut queues = msgif.queues.lock();
        let Some(park) = queues.sending.take(name) else {
            drop(queues);
            return stranded::remove(name);
        };
        let Some(core) = park.core.get(&mut queues) else {
            return;
        };
        let mut failed = None;
        let mut waker = None;
        let share = core.share;
        match error {
            Ok(()) if matches!(core.waiter, Waiter::Nobody) => core.state = State::Done,
            Ok(()) => {
                core.state = State::Pending;
                let id = core.id;
                let unused = match core.waiter {
                    Waiter::Left => core.shrink(),
                    _ => None,
                };
                let linked = queues.pending.insert(id, park);
                debug_assert!(linked.is_ok());
                drop(queues);
                drop(unused);
                return;
            }
            Err(error) => {
                failed = core.fail(error).map(|completion| (completion, error));
                waker = core.is_waited_for().then(|| park.waker());
            }
        }
        msgif.lighten(&mut queues, share);
        // Freeing the park is not for inside the lock.
        drop(queues);
        drop(park);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some((completion, error)) = failed {
            run_failed(completion, error);
        }
    }

    /// How many requests wait for the server (C: `puffs_msgif_waitcount`); asked
    /// by who polls the device.
    pub fn waitcount(&self) -> usize {
        self.polled.store(true, Ordering::SeqCst);
        self.queued.load(Ordering::SeqCst)
    }

    /// Lets no new request in, and gives a reader that has a part of one the
    /// time to fetch the rest.
    pub fn quiesce(&self) {
        let mut queues = self.queues.lock();
        queues.status = Status::Dying;
        let patience = kern::hz() / 2;
        let start = kern::ticks();
        while !queues.sending.is_empty() && kern::ticks().wrapping_sub(start) < patience {
            self.changes.wait_ticks(&mut queues, patience / 8 + 1);
        }
    }

    /// Ends every request with ENXIO and lets no new one in (C:
    /// `puffs_userdead`). Safe to call at any time and more than once.
    pub fn userdead(&self) {
        let mut queues = self.queues.lock();
        queues.status = Status::Dying;
        let mut bucket = 0;
        loop {
            // What a reader has is failed as well: its caller goes on, and the
            // buffer stays until the reader is through with it.
            let lent = queues.sending.pop_front();
            let stranded = lent.is_some();
            let next = lent
                .or_else(|| queues.touser.pop())
                .or_else(|| queues.pending.take_any(&mut bucket));
            let Some(park) = next else { break };
            let mut completion = None;
            let mut waker = None;
            let mut share = Share::default();
            if let Some(core) = park.core.get(&mut queues) {
                completion = core.fail(Errno::ENXIO);
                waker = core.is_waited_for().then(|| park.waker());
                share = core.share;
            }
            self.lighten(&mut queues, share);
            let park = if stranded {
                stranded::add(park);
                None
            } else {
                Some(park)
            };
            // The rest is not for inside the lock.
            drop(queues);
            drop(park);
            if let Some(waker) = waker {
                waker.wake();
            }
            if let Some(completion) = completion {
                run_failed(completion, Errno::ENXIO);
            }
            queues = self.queues.lock();
        }
        self.queued.store(0, Ordering::Release);
        self.readers.broadcast();
        self.room.broadcast();
    }

    /// An unmount starts to ask the server; `false` if there is no server to
    /// ask.
    pub fn begin_unmount(&self) -> bool {
        let mut queues = self.queues.lock();
        queues.unmounting = true;
        queues.status == Status::Running
    }

    /// The server refused: the unmount is over, the mount goes on.
    pub fn cancel_unmount(&self) {
        self.queues.lock().unmounting = false;
        self.changes.broadcast();
    }

    /// The mount is taken down: who waits for that goes on.
    pub fn finish_unmount(&self) {
        let mut queues = self.queues.lock();
        queues.gone = true;
        queues.unmounting = false;
        self.changes.broadcast();
    }

    /// The server's descriptor was closed (C: `puffs_msgif_close`).
    ///
    /// Everybody who waits for the server is sent off with ENXIO, and the file
    /// system is unmounted by force, once no unmount is under way that waits
    /// for the server.
    ///
    /// # Errors
    /// ERESTART when the device is to look again, because it may have been
    /// detached meanwhile.
    pub fn close(&self, mount: &Mount) -> Result<()> {
        let mut queues = self.queues.lock();
        // mount(2) does not wait for the server; what it makes of the mount
        // decides whether there is something to unmount.
        while queues.status == Status::Mounting && !queues.gone {
            self.changes.wait(&mut queues);
        }
        drop(queues);
        self.userdead();

        queues = self.queues.lock();
        if queues.unmounting || queues.gone {
            while queues.unmounting && !queues.gone {
                self.changes.wait(&mut queues);
            }
            return Err(Errno::ERESTART);
        }
        drop(queues);
        if mount.mp.unmount().is_err() {
            // Somebody else was faster, or the kernel keeps the mount: another
            // file system lies on it, or a signal came. It is dead until
            // somebody unmounts it, and must not know the instance any more,
            // which the device frees now.
            self.putter.detach();
            return Err(Errno::ERESTART);
        }
        Ok(())
    }

    /// Answers a request of the server's own (C: `puffs_msg_sendresp`).
    pub fn sendresp(&self, request: &Req, rv: i32) {
        self.respond(request, rv, ANSWERS_MAX);
    }

    /// Answers something that is no request.
    fn refuse(&self, request: &Req, error: Errno) {
        self.respond(request, error.get(), REPORTS_MAX);
    }

    fn respond(&self, request: &Req, rv: i32, limit: usize) {
        let Ok(mut park) = Park::alloc(size_of::<Req>(), Sleep::Yes) else {
            return;
        };
        let mut answer = Req::new_zeroed();
        answer.id = request.id;
        answer.cookie = request.cookie;
        answer.opclass = request.opclass | abi::OPCLASS_RESPONSE;
        answer.optype = request.optype;
        answer.setbacks = request.setbacks;
        answer.rv = rv;
        self.notify_server(&mut park, answer.as_bytes(), limit);
    }

    /// Tells the server that it broke the protocol (C: `puffs_senderr`).
    pub fn senderr(&self, kind: ErrorOp, error: i32, text: &str, cookie: Cookie) {
        let Ok(mut park) = Park::alloc(size_of::<notify::Error>(), Sleep::Yes) else {
            return;
        };
        let mut report = notify::Error::new_zeroed();
        report.req.opclass = OpClass::Error.into();
        report.req.optype = kind.into();
        report.req.cookie = cookie;
        report.error = error;
        // One byte stays 0 to end the string.
        let room = report.str.len() - 1;
        for (to, from) in report.str[..room].iter_mut().zip(text.bytes()) {
            *to = from;
        }
        self.notify_server(&mut park, report.as_bytes(), REPORTS_MAX);
    }

    /// Sends a message that no reply is wanted to, unless as many as `limit`
    /// wait already.
    fn notify_server(&self, park: &mut Ref<Park>, message: &[u8], limit: usize) {
        if let Some(fresh) = park.get_mut() {
            fresh.set_faf();
            let core = fresh.core.get_mut();
            core.notice = Some(limit);
            if let Some(room) = core.msg.bytes_mut().get_mut(..message.len()) {
                room.copy_from_slice(message);
            }
        }
        let sent = self.enqueue(false, park);
        debug_assert_ne!(sent, Sent::Waiting);
    }
}

/// The outcome of a request, once it is there.
fn done(queues: &mut Guard<'_, Queues>, park: &Ref<Park>) -> Option<Outcome> {
    match park.core.get(queues) {
        Some(core) => (core.state == State::Done).then_some(core.outcome),
        None => Some(Outcome::of(Errno::ENXIO)),
    }
}

/// Says what became of a park, and from level 2 on how long the queues are
/// (C: `parkdump`, `parkqdump`).
#[inline]
fn trace(queues: &mut Guard<'_, Queues>, what: &str, park: &Ref<Park>) {
    let level = kern::debug_level();
    if level != 0 {
        trace_at(level, queues, what, park);
    }
}

#[cold]
fn trace_at(level: i32, queues: &mut Guard<'_, Queues>, what: &str, park: &Ref<Park>) {
    let at = park.as_ptr();
    if let Some(core) = park.core.get(queues) {
        kern::debug(format_args!("park {at:p} {what}: {core}"));
    }
    if level > 1 {
        kern::debug(format_args!(
            "to the server {}, being read {}, at the server {}",
            queues.touser.len(),
            queues.sending.len(),
            queues.pending.len(),
        ));
    }
}

/// Gives a request the server's form and what every request carries, and looks for
/// signals.
///
/// # Errors
/// EINTR when the caller is to leave without asking the server; ENOMEM.
fn prepare(core: &mut Core, time32: bool) -> Result<()> {
    if time32 {
        core.wire = time32::outgoing(core.msg.bytes())?;
    }
    let (pid, lid) = kern::caller_ids();
    let buflen = core.longest();
    let waits = matches!(core.waiter, Waiter::Caller);
    let forgets = matches!(core.waiter, Waiter::Nobody);
    let header = core.header().ok_or(Errno::EINVAL)?;
    header.buflen = buflen;
    header.pid = pid;
    header.lid = lid;
    if forgets {
        header.opclass |= abi::OPCLASS_FAF;
    } else {
        header.rv = 0;
    }
    if waits && kern::important_signal_pending() {
        // The node's last words must reach the server all the same, so they
        // are sent without waiting; the caller leaves in any case.
        let is_vn = header.opclass & abi::OPCLASS_MASK == OpClass::Vn as u16;
        let last_words = [VnOp::Inactive as u16, VnOp::Reclaim as u16];
        if !is_vn || !last_words.contains(&header.optype) {
            return Err(Errno::EINTR);
        }
        header.opclass |= abi::OPCLASS_FAF;
        core.waiter = Waiter::Nobody;
        core.outcome = Outcome::of(Errno::EINTR);
    }
    Ok(())
}

/// Runs a completion on a failure that the kernel found: it sees a header
/// with the errno and nothing else.
fn run_failed(completion: Completion, error: Errno) {
    let mut header = Req::new_zeroed();
    header.pth.framelen = size_of::<Req>() as u64;
    header.rv = error.get();
    completion.run(header.as_bytes());
}
