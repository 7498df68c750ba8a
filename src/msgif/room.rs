//! How much may be under way to the server that nobody waits for.
//!
//! A caller who waits for a reply makes no more than one request at a time. Requests
//! that nobody waits for have no such bound: who writes through the page cache to
//! a server that does not read, or that reads and does not answer, would fill the
//! kernel's memory. The sysctl `vfs.puffs.queuelimit` is a bound for these, for each mount,
//! in bytes of messages. It is 0 unless the administrator sets it, and that is none.
//!
//! Callers who leave, for a signal, do not wait either. What is kept of such a request is
//! small, and once there are [so many](ABANDONED_MAX) no new request is made that is to
//! be waited for. That bound is always there: a server that has as many and answers none
//! is of no use to anybody else. Who waits already may still leave.
//!
//! # What counts
//!
//! Messages that nobody waits for, from the queue on until the kernel lets go of them:
//! writes and reads of pages until they are answered, what wants no answer until the
//! server has it. What is not counted has bounds of its own: RECLAIMs the number of
//! vnodes, polls the same, SYNCs of the syncer one for each mount, what the server made
//! the kernel say the numbers in [`super`].
//!
//! # Who is held up
//!
//! | who | while the limit is reached |
//! |---|---|
//! | write(2) that writes through | [waits](MsgIf::make_room), and an important signal ends that with EINTR: nothing was written then |
//! | open(2), if there will be a CLOSE | the same: close(2) and exit(2) never wait, and no file is closed more often than it was opened |
//! | fsync of who does not wait: sync(2), the syncer | fails with EDEADLK for this file, and comes again |
//! | the pagedaemon | its writes fail with ENOMEM, so that the page stays dirty |
//! | all others | nothing |
//!
//! A caller who waits holds the vnode's lock as with every request that it waits for,
//! and nothing else: no busy pages, and not `pn_sizemtx`. The requests of the server that
//! need the vnode wait in the service thread and not in the server. So the server's next
//! read or answer ends the wait, its death, and the end of the mount. A server that
//! makes such calls on its own mount waits for itself, as with any other call that
//! it does not serve by another thread.
//!
//! # By how much the limit is passed
//!
//! Who waits looks and counts its share inside one message lock: of two writers the
//! second finds what the first is about to write. So writers pass the limit by the
//! messages of one of them, 64 KiB of pages and their headers, however many they
//! are. The others look once, before they begin, and pass it by what comes then:
//!
//! * a CLOSE for each open file,
//! * the syncer by the dirty pages of one file, the pagedaemon by one write,
//! * msync(2) with `MS_ASYNC`, and the end of a file's use, by the dirty pages of the
//!   file. A page is dirty in memory before that, and is not written again before it
//!   was answered: so all of this is less than the memory that has pages.
//!
//! A new limit counts for who comes next; those who wait see it when they are woken, by the
//! server's next step.

use super::{
    park::{Completion, Core, Waiter},
    MsgIf, Queues, Status,
};
use crate::{
    abi::{self, OpClass, Req, VnOp},
    kern::{self, Errno, Guard, Result},
};
use zerocopy::FromBytes;

/// How many requests the server may have whose callers left. From there on what is to be
/// waited for fails with EBUSY, until it answers one of them.
pub(super) const ABANDONED_MAX: usize = 4096;

/// What is under way that nobody waits for, and who waits for less.
#[derive(Default)]
pub(super) struct Load {
    /// Bytes, of what counts for the limit.
    bytes: usize,
    /// Requests whose callers left.
    abandoned: usize,
    /// Threads.
    held_up: usize,
}

/// What a message counts.
#[derive(Clone, Copy, Default)]
pub(super) struct Share {
    bytes: usize,
    abandoned: bool,
}

impl Share {
    fn of(bytes: usize) -> Share {
        Share {
            bytes,
            abandoned: false,
        }
    }

    /// That of a request whose caller left.
    pub(super) fn abandoned() -> Share {
        Share {
            bytes: 0,
            abandoned: true,
        }
    }
}

impl Load {
    /// A message is under way that counts so much.
    pub(super) fn add(&mut self, share: Share) {
        self.bytes += share.bytes;
        self.abandoned += usize::from(share.abandoned);
    }

    fn sub(&mut self, share: Share) {
        self.bytes -= share.bytes;
        self.abandoned -= usize::from(share.abandoned);
    }

    /// Have as many callers left as may?
    pub(super) fn is_deserted(&self) -> bool {
        self.abandoned >= ABANDONED_MAX
    }
}

impl Queues {
    /// Does who would have more under way have to wait? Not for a server that
    /// cannot be asked any more: what is sent to that fails.
    fn is_full(&self) -> bool {
        let limit = kern::queue_limit();
        limit != 0 && self.load.bytes >= limit && self.status == Status::Running
    }
}

impl Core {
    /// What the message counts once it is on the queue.
    pub(super) fn burden(&self) -> Share {
        Share::of(match self.waiter {
            Waiter::Caller | Waiter::Left => 0,
            Waiter::Callback(Completion::Poll(_) | Completion::Sync(_)) => 0,
            Waiter::Nobody if self.notice.is_some() || self.is_reclaim() => 0,
            Waiter::Nobody | Waiter::Callback(_) => self.msg.len(),
        })
    }

    fn is_reclaim(&self) -> bool {
        Req::ref_from_prefix(self.msg.bytes()).is_ok_and(|(header, _)| {
            header.opclass & abi::OPCLASS_MASK == OpClass::Vn as u16
                && header.optype == VnOp::Reclaim as u16
        })
    }
}

/// So much may come to be under way: it counts as if it were, until this is
/// dropped.
pub(crate) struct Room<'a> {
    msgif: &'a MsgIf,
    share: Share,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.share.bytes != 0 {
            let mut queues = self.msgif.queues.lock();
            self.msgif.lighten(&mut queues, self.share);
        }
    }
}

impl MsgIf {
    /// Is as much under way as may be? Who may not wait, and can put off what would
    /// make it more, asks this.
    pub(crate) fn is_full(&self) -> bool {
        kern::queue_limit() != 0 && self.queues.lock().is_full()
    }

    /// Waits until less is under way than may be, for who is about to make it more by
    /// about so many bytes. They count from the same moment on, so that nobody else
    /// finds room because they are not sent yet. The caller may hold the vnode's lock and
    /// nothing else of this file system. It is inside an operation on the vnode, which
    /// keeps the mount from being taken down.
    ///
    /// # Errors
    /// EINTR for a signal that would end the wait for a reply.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<Room<'_>> {
        let mut room = Room {
            msgif: self,
            share: Share::default(),
        };
        if kern::queue_limit() == 0 {
            return Ok(room);
        }
        // Given back outside the lock.
        let mut mask = None;
        let mut queues = self.queues.lock();
        while queues.is_full() {
            queues.load.held_up += 1;
            let woken = self.room.wait_sig(&mut queues);
            queues.load.held_up -= 1;
            if woken.is_err() && queues.is_full() {
                let heeded;
                (queues, heeded) = self.heed(queues, &mut mask);
                if heeded {
                    return Err(Errno::EINTR);
                }
            }
        }
        room.share = Share::of(bytes);
        queues.load.add(room.share);
        drop(queues);
        Ok(room)
    }

    /// What counted so much is under way no more.
    pub(super) fn lighten(&self, queues: &mut Guard<'_, Queues>, share: Share) {
        queues.load.sub(share);
        if share.bytes != 0 && queues.load.held_up != 0 && !queues.is_full() {
            self.room.broadcast();
        }
    }
}
