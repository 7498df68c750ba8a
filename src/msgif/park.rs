//! A park: one request on its way to the server and back.

use super::{poll::Poll, room::Share};
use crate::{
    abi::{self, vn, Cookie, Req},
    kern::{self, Arc, Buf, Errno, Guarded, KBytes, Pool, Ref, Result, Sleep, Vnode},
    mount::Mount,
    subr,
};
use core::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// The pool of parks; `vmstat -m` shows it under the name that C gave it.
pub static PARKS: Pool<Park> = Pool::with_room(SMALL);

/// The size of messages that need no memory beside the park's: lookups, and all that
/// have no name, link or data in them.
const SMALL: usize = size_of::<vn::Lookup>();

/// One request, from its making to its release: the kernel's side of a
/// `struct puffs_req` (C: `struct puffs_msgpark`).
///
/// Whoever makes it has the only reference, fills it, and enqueues it. From
/// then on it is shared with the mount and guarded by the mount's message
/// lock, until it is done and the references of the mount are
/// gone. A reference count frees it, so no path has to know who is last.
pub struct Park {
    pub(super) core: Guarded<Core>,
    /// The process that the device read it for.
    reader: AtomicI32,
    /// The address of the vnode whose pages its completion is for; 0: none.
    pages_of: AtomicUsize,
}

/// Where a park is. It is in exactly one place, and every change of place is
/// made inside the mount's message lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// With its maker, who has the only reference.
    Filling,
    /// On the queue to the server.
    Queued,
    /// Being copied out by a reader of the device, who uses the buffer.
    Sending,
    /// Known to the server; in the table of pending replies.
    Pending,
    /// Finished, with the outcome in place. Nothing changes any more.
    Done,
}

/// Who waits for the outcome.
pub(super) enum Waiter {
    /// The thread that made the request.
    Caller,
    /// The thread that made the request left, for a signal.
    Left,
    /// A completion (C: `PARKFLAG_CALL`).
    Callback(Completion),
    /// Nobody: fire and forget.
    Nobody,
}

/// What is to be done when a request is done that nobody waits for (C:
/// `parkdone_fn`).
pub(crate) enum Completion {
    /// Pages were to be read.
    Read(Buf),
    /// Pages were to be written.
    Write(Buf),
    /// A file was polled.
    Poll(Poll),
    /// The file system was to be synced.
    Sync(Syncing),
}

/// The one SYNC of a mount that nobody waits for. There is none any more when this is
/// gone.
pub(crate) struct Syncing(Arc<Mount>);

impl Syncing {
    /// It is about to be sent. `None` if there is one already.
    pub(crate) fn begin(mount: &Arc<Mount>) -> Option<Syncing> {
        let before = mount.syncing.swap(true, Ordering::AcqRel);
        (!before).then(|| Syncing(mount.clone()))
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.0.syncing.store(false, Ordering::Release);
    }
}

impl Completion {
    /// Does it, on a reply that was judged to hold what its operation needs, or
    /// whose header says error. Not for inside the message lock.
    pub(super) fn run(self, reply: &[u8]) {
        match self {
            Completion::Read(buf) => subr::bio_read_done(reply, buf),
            Completion::Write(buf) => subr::bio_write_done(reply, buf),
            Completion::Poll(poll) => {
                // Before anyone is woken, who may ask for the same again at once.
                let node = poll.end();
                subr::poll_done(reply, &node);
            }
            // Nobody asks how it went.
            Completion::Sync(syncing) => drop(syncing),
        }
    }
}

impl Completion {
    /// Nobody waits for the server: pages that were to be written are as good as
    /// written, for the server has them, and others were not read.
    pub(super) fn forsake(self) {
        match self {
            Completion::Read(buf) => {
                let resid = buf.count();
                buf.done(Errno::EIO.get(), resid);
            }
            Completion::Write(buf) => buf.done(0, 0),
            Completion::Poll(_) | Completion::Sync(_) => {}
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    /// 0 or an errno; a server's was checked to be one.
    pub rv: i32,
    /// What the server said of the nodes of the request, beside its reply
    /// (`PUFFS_SETBACK_*`).
    pub setbacks: u32,
}

impl Outcome {
    /// The request failed without a word from the server.
    pub(super) fn of(error: Errno) -> Outcome {
        Outcome {
            rv: error.get(),
            setbacks: 0,
        }
    }
}

/// What the message lock guards of a park.
pub(super) struct Core {
    pub(super) state: State,
    pub(super) waiter: Waiter,
    /// The message as the kernel knows it: the request, then the reply. Its
    /// length is the longest reply (C: `park_maxlen`).
    pub(super) msg: KBytes,
    /// The room beside the park, if the message does not lie in it.
    spare: Option<KBytes>,
    /// The message as a server with a 32-bit time_t knows it, if it differs.
    pub(super) wire: Option<KBytes>,
    /// How many bytes the server gets (C: `park_copylen`).
    pub(super) copylen: usize,
    /// How much longer than the message a reply may be: that much is received
    /// elsewhere.
    pub(super) beyond: usize,
    /// Where a caller who waits has that put.
    pub(super) pages: Option<Buf>,
    /// 0: it has none (yet), or the server never saw it and never will.
    pub(super) id: u64,
    pub(super) outcome: Outcome,
    /// Something that the server made us say: how many of those may wait.
    pub(super) notice: Option<usize>,
    /// A RECLAIM that may be overtaken.
    pub(super) may_wait: bool,
    /// What it counts while it is under way.
    pub(super) share: Share,
}

impl Core {
    /// The bytes that the server sees.
    pub(super) fn wire_mut(&mut self) -> &mut KBytes {
        self.wire.as_mut().unwrap_or(&mut self.msg)
    }

    /// How long a reply may be.
    pub(super) fn longest(&mut self) -> usize {
        self.wire_mut().len() + self.beyond
    }

    /// The header of the message as the server sees it.
    pub(super) fn header(&mut self) -> Option<&mut Req> {
        Req::mut_from_prefix(self.wire_mut().bytes_mut())
            .ok()
            .map(|(header, _)| header)
    }

    /// The server has it, and nobody will look at the reply: keeps as much of the
    /// message as the reply is judged by, and hands out the memory of a longer one, to
    /// be freed outside the lock.
    #[must_use]
    pub(super) fn shrink(&mut self) -> Option<KBytes> {
        if self.state != State::Pending || self.wire.is_some() {
            return None;
        }
        let mut kept = self.spare.take()?;
        let (head, rest) = self.msg.bytes().split_at_checked(kept.len())?;
        kept.bytes_mut().copy_from_slice(head);
        self.beyond += rest.len();
        Some(core::mem::replace(&mut self.msg, kept))
    }

    /// Hands out the completion of a request that goes on: what becomes of that, nobody
    /// will look at.
    pub(super) fn forsake(&mut self) -> Option<Completion> {
        let completion = self.take_completion()?;
        self.waiter = Waiter::Left;
        Some(completion)
    }

    /// Does a caller wait for it, or will?
    pub(super) fn is_waited_for(&self) -> bool {
        matches!(self.waiter, Waiter::Caller)
    }

    /// Ends the request with an error, and hands out the completion that is to
    /// be run outside the lock.
    pub(super) fn fail(&mut self, error: Errno) -> Option<Completion> {
        // What is done is on no list any more.
        debug_assert_ne!(self.state, State::Done);
        self.state = State::Done;
        self.outcome = Outcome::of(error);
        self.take_completion()
    }

    /// Hands out the completion of a request that is done. From now on nobody
    /// waits, and who asks is told that all is well: the completion has the
    /// outcome.
    pub(super) fn take_completion(&mut self) -> Option<Completion> {
        match core::mem::replace(&mut self.waiter, Waiter::Nobody) {
            Waiter::Callback(completion) => {
                self.outcome = Outcome::default();
                Some(completion)
            }
            other => {
                self.waiter = other;
                None
            }
        }
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiter = match self.waiter {
            Waiter::Caller => "caller",
            Waiter::Left => "caller who left",
            Waiter::Callback(_) => "callback",
            Waiter::Nobody => "nobody",
        };
        let (class, op) = Req::ref_from_prefix(self.msg.bytes())
            .map_or((0, 0), |(header, _)| (header.opclass, header.optype));
        let (id, state, rv) = (self.id, self.state, self.outcome.rv);
        let (copy, max) = (self.copylen, self.msg.len());
        write!(
            f,
            "id {id}, class {class:#x}, op {op}, {state:?}, {waiter}, rv {rv}, {copy}/{max}"
        )
    }
}

impl Park {
    /// Makes a park with a zeroed message of `len` bytes (C:
    /// `puffs_msgmem_alloc`).
    ///
    /// # Errors
    /// ENOMEM, only if it may not sleep; EINVAL if the message has no room for
    /// a header.
    pub fn alloc(len: usize, sleep: Sleep) -> Result<Ref<Park>> {
        Park::alloc_but(0..0, len, sleep)
    }

    /// The same, but the message is not zeroed where its `hole` is: that the
    /// caller fills, or keeps back from the server.
    ///
    /// # Errors
    /// As for [`alloc`](Self::alloc).
    pub(super) fn alloc_but(hole: Range<usize>, len: usize, sleep: Sleep) -> Result<Ref<Park>> {
        if len < size_of::<Req>() {
            return Err(Errno::EINVAL);
        }
        let park = PARKS.get_with(sleep, |room| {
            let (msg, spare) = room.bytes(hole, len, sleep)?;
            let core = Core {
                state: State::Filling,
                waiter: Waiter::Caller,
                msg,
                spare,
                wire: None,
                copylen: len,
                beyond: 0,
                pages: None,
                id: 0,
                outcome: Outcome::default(),
                notice: None,
                may_wait: false,
                share: Share::default(),
            };
            Some(Park {
                core: Guarded::new(core),
                reader: AtomicI32::new(0),
                pages_of: AtomicUsize::new(0),
            })
        });
        park.ok_or(Errno::ENOMEM)
    }

    /// Notes that the device has the buffer, to copy it to the caller.
    pub(super) fn lend(&self) {
        let (pid, _) = kern::caller_ids();
        self.reader.store(pid, Ordering::Relaxed);
    }

    /// The process that the device last read it for.
    pub(super) fn reader(&self) -> i32 {
        self.reader.load(Ordering::Relaxed)
    }

    /// Says that its completion is for pages of a vnode.
    pub(super) fn set_pages_of(&mut self, vnode: Vnode) {
        *self.pages_of.get_mut() = vnode.as_ptr().addr();
    }

    /// Is it for pages of that vnode?
    pub(super) fn is_for_pages_of(&self, vnode: Vnode) -> bool {
        self.pages_of.load(Ordering::Relaxed) == vnode.as_ptr().addr()
    }

    /// It is not any more.
    pub(super) fn clear_pages_of(&self) {
        self.pages_of.store(0, Ordering::Relaxed);
    }

    /// The message, to fill or to read; its address stays the same, unless its caller
    /// leaves.
    pub fn message(&mut self) -> &mut KBytes {
        &mut self.core.get_mut().msg
    }

    /// The message as a `T`; `None` if it is shorter.
    pub fn body<T>(&mut self) -> Option<&mut T>
    where
        T: FromBytes + IntoBytes + KnownLayout,
    {
        T::mut_from_prefix(self.message().bytes_mut())
            .ok()
            .map(|(body, _)| body)
    }

    /// Wants no reply (C: `puffs_msg_setfaf`).
    pub fn set_faf(&mut self) {
        let core = self.core.get_mut();
        debug_assert!(!matches!(core.waiter, Waiter::Callback(_)));
        core.waiter = Waiter::Nobody;
    }

    /// Wants no reply, and has others go first.
    pub(super) fn set_background(&mut self) {
        self.set_faf();
        self.core.get_mut().may_wait = true;
    }

    /// Did the server see it, or may it yet? Of one that was sent to be waited for.
    pub(super) fn was_seen(&mut self) -> bool {
        self.core.get_mut().id != 0
    }

    /// Keeps the last `delta` bytes of the message from the server; only a
    /// reply uses them (C: `puffs_msg_setdelta`).
    pub fn set_delta(&mut self, delta: usize) {
        let core = self.core.get_mut();
        debug_assert!(delta < core.msg.len());
        core.copylen = core.msg.len().saturating_sub(delta).max(size_of::<Req>());
    }

    /// Says that the last `len` bytes of a reply are received elsewhere.
    pub(super) fn set_beyond(&mut self, len: usize) {
        self.core.get_mut().beyond = len;
    }

    /// Says where, and takes back what was said before.
    pub(super) fn swap_pages(&mut self, pages: Option<Buf>) -> Option<Buf> {
        core::mem::replace(&mut self.core.get_mut().pages, pages)
    }

    /// Says what is asked, of which file (C: `puffs_msg_setinfo`).
    pub fn set_info(&mut self, class: u16, op: u16, cookie: Cookie) {
        if let Some(header) = self.body::<Req>() {
            header.opclass = class & abi::OPCLASS_MASK;
            header.optype = op;
            header.cookie = cookie;
        }
    }

    /// Wants `completion` to be run on the reply, instead of waiting for it
    /// (C: `puffs_msg_setcall`).
    pub(crate) fn set_call(&mut self, completion: Completion) {
        self.core.get_mut().waiter = Waiter::Callback(completion);
    }
}
