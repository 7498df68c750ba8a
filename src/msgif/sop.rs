//! The service thread: what the server asks of the kernel.
//!
//! A flush or an unmount may need a lock that is held by somebody who waits
//! for the server, so it must not be done in the context of the server, who
//! calls. One thread a mount does it instead. It also expires nodes whose
//! time to live is over, which `puffs_vnop_inactive` queues.

use crate::{
    abi::{
        notify::{Flush, FlushOp},
        Req, Vtype,
    },
    kern::{self, Arc, Errno, Guard, List, MountPtr, Pool, Result, Sleep, VnodeRef},
    mount::Mount,
    msgif::Status,
    node,
};
/// The pool of requests to the service threads.
pub static SOP_REQUESTS: Pool<SopRequest> = Pool::new();

/// How often expired nodes are looked for, in ticks (C:
/// `puffs_sopreq_expire_timeout`).
const EXPIRE_TICKS: i32 = 1000;

/// What a service thread is asked to do (C: `struct puffs_sopreq`).
pub enum SopRequest {
    /// Flush or invalidate a cache.
    Flush(Flush),
    /// Unmount the file system.
    Unmount(Req),
}

impl SopRequest {
    fn header(&self) -> &Req {
        match self {
            SopRequest::Flush(flush) => &flush.req,
            SopRequest::Unmount(request) => request,
        }
    }
}

/// The queue of a service thread; its lock is `pmp_sopmtx`.
#[derive(Default)]
pub struct SopQueue {
    requests: List<SopRequest>,
    /// The thread takes requests.
    running: bool,
    /// The thread is to end.
    stop: bool,
    /// The thread has not ended.
    alive: bool,
}

/// How the service thread ends.
enum End {
    /// Because the mount is taken down.
    Stopped,
    /// Because the server asked for the unmount, which the thread does now.
    Unmount(kern::MountHold),
}

impl Mount {
    /// Starts the service thread.
    ///
    /// # Errors
    /// What `kthread_create(9)` says.
    pub(crate) fn sop_start(this: &Arc<Mount>) -> Result<()> {
        let mut queue = this.sop.state.lock();
        queue.running = true;
        queue.alive = true;
        this.sop.set_running(true);
        drop(queue);
        kern::thread_spawn(this.clone(), c"puffsop").inspect_err(|_| {
            let mut queue = this.sop.state.lock();
            this.sop.set_running(false);
            queue.running = false;
            queue.alive = false;
        })
    }

    /// Ends the service thread and waits until it is gone.
    pub(crate) fn sop_stop(&self) {
        let mut queue = self.sop.state.lock();
        queue.stop = true;
        self.sop.cv.broadcast();
        while queue.alive {
            self.sop.cv.wait(&mut queue);
        }
    }

    /// Queues a flush (C: the PUFFSOP_FLUSH part of `puffs_msgif_dispatch`).
    pub(super) fn sop_flush(&self, flush: Flush) {
        self.sop_queue(SopRequest::Flush(flush));
    }

    /// Queues an unmount (C: the PUFFSOP_UNMOUNT part).
    pub(super) fn sop_unmount(&self, request: Req) {
        self.sop_queue(SopRequest::Unmount(request));
    }

    fn sop_queue(&self, request: SopRequest) {
        let header = *request.header();
        let Some(request) = SOP_REQUESTS.get(request, Sleep::Yes) else {
            self.answer(&header, Errno::ENOMEM);
            return;
        };
        let mut queue = self.sop.state.lock();
        if queue.running {
            let linked = queue.requests.push_back(request);
            debug_assert!(linked.is_ok());
            self.sop.cv.broadcast();
        } else {
            drop(queue);
            self.answer(&header, Errno::ENXIO);
        }
    }

    /// The work loop; returns when there is no more to do.
    ///
    /// Unmounting suspends the file system and then waits for this thread. So
    /// what is done here for a vnode is done inside the file system, and put
    /// off while it is suspended: a thread that waited for it to be resumed
    /// would wait for ever.
    fn sop_work(&self) -> End {
        let idle = if self.config.uses_ttl() {
            EXPIRE_TICKS
        } else {
            0
        };
        let retry = kern::hz() / 10 + 1;
        let mut queue = self.sop.state.lock();
        let end = loop {
            if queue.stop {
                break End::Stopped;
            }
            if queue.requests.is_empty() && idle == 0 {
                self.sop.cv.wait(&mut queue);
                continue;
            }
            drop(queue);
            let inside = self.mp.enter();
            queue = self.sop.state.lock();
            if inside.is_none() {
                self.sop.cv.wait_ticks(&mut queue, retry);
            } else if let Some(request) = queue.requests.pop_front() {
                drop(queue);
                match &*request {
                    SopRequest::Flush(flush) => self.flush_request(flush),
                    SopRequest::Unmount(request) => {
                        self.msgif.sendresp(self.pmp, request, 0);
                        queue = self.sop.state.lock();
                        // The mount cannot go before this thread has.
                        break End::Unmount(self.mp.hold());
                    }
                }
                drop(request);
                drop(inside);
                queue = self.sop.state.lock();
            } else if let Some(cookie) = self.sop.take_expiry(false) {
                drop(queue);
                node::expire(self, cookie);
                drop(inside);
                queue = self.sop.state.lock();
            } else {
                drop(queue);
                drop(inside);
                queue = self.sop.state.lock();
                if queue.requests.is_empty() && !queue.stop {
                    self.sop.cv.wait_ticks(&mut queue, idle);
                }
            }
        };
        self.sop_purge(queue);
        end
    }

    /// Lets no request in any more and drops those that are left.
    fn sop_purge(&self, mut queue: Guard<'_, SopQueue>) {
        queue.running = false;
        self.sop.set_running(false);
        while self.sop.take_expiry(true).is_some() {}
        let mut left = core::mem::take(&mut queue.requests);
        drop(queue);
        while let Some(request) = left.pop_front() {
            self.answer(request.header(), Errno::ENXIO);
        }
    }

    /// Says that the thread touches the mount no more.
    fn sop_leave(&self) {
        let mut queue = self.sop.state.lock();
        queue.alive = false;
        self.sop.cv.broadcast();
    }

    /// Does a flush and answers it (C: `puffsop_flush`).
    fn flush_request(&self, flush: &Flush) {
        let result = self.flush(flush);
        self.msgif
            .sendresp(self.pmp, &flush.req, Errno::code(result));
    }

    fn flush(&self, flush: &Flush) -> Result<()> {
        if self.msgif.status() != Status::Running {
            // While mount(2) runs, the mount has no vnodes yet.
            return Err(Errno::ENXIO);
        }
        let op = FlushOp::try_from(flush.op).map_err(|_| Errno::EINVAL)?;
        if op == FlushOp::InvalNamecacheAll {
            self.mp.purge_names();
            return Ok(());
        }
        // The vnode is not locked: who has it locked may wait for the server,
        // and the server for us. The reference keeps it.
        let vnode = node::find(self, flush.cookie)?.ok_or(Errno::ENOENT)?;
        match op {
            FlushOp::InvalNamecacheDir => {
                if vnode.vtype() != Vtype::Dir as u32 {
                    return Err(Errno::EINVAL);
                }
                vnode.purge_children();
                Ok(())
            }
            FlushOp::InvalPagecacheNodeRange => flush_pages(&vnode, flush, true),
            FlushOp::FlushPagecacheNodeRange => flush_pages(&vnode, flush, false),
            // One name: no kernel ever did that.
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Writes back or drops the pages that a flush names: whole pages, and up to
/// the end of the file if the range ends at 0.
fn flush_pages(vnode: &VnodeRef, flush: &Flush, free: bool) -> Result<()> {
    if vnode.vtype() != Vtype::Reg as u32 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = page_range(flush.start, flush.end, vnode.size()).ok_or(Errno::EINVAL)?;
    vnode.put_pages(start, end, free)
}

/// The pages of a range of bytes of a file of `size` bytes. `None` for a range
/// that is empty, reversed, negative, or ends behind the file.
fn page_range(start: i64, end: i64, size: i64) -> Option<(i64, i64)> {
    let page = kern::page_size() as i64;
    if start < 0 || end < 0 || end > size {
        return None;
    }
    let first = start - start % page;
    let last = end.checked_add(page - 1)? / page * page;
    (end == 0 || (start <= end && first < last)).then_some((first, last))
}

/// The service thread (C: `puffs_sop_thread`).
impl kern::Thread for Mount {
    fn run(mount: &Arc<Mount>) {
        let end = mount.sop_work();
        // From here on the mount may be taken down, and we are just a thread.
        mount.sop_leave();
        if let End::Unmount(hold) = end {
            // Nobody to tell: the server has its answer.
            let _ = MountPtr::unmount(hold);
        }
    }
}
