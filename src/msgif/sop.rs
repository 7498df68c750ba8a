//! The service thread: what the server asks of the kernel.
//!
//! A flush or an unmount may need a lock that is held by somebody who waits
//! for the server, so it must not be done in the context of the server, who
//! calls. One thread a mount does it instead. It also expires nodes whose
//! time to live is over, which VOP_INACTIVE queues.

use crate::{
    abi::{
        notify::{Flush, FlushOp},
        Cookie, Req, Vtype,
    },
    kern::{
        self, Arc, CondVar, Errno, Guard, List, Mutex, Pool, Put, Ref, Result, Sleep, VnodeRef,
    },
    mount::Mount,
    msgif::Status,
    node::{self, Deadline, Node},
};
use core::sync::atomic::{AtomicI32, Ordering};

/// The pool of requests to the service threads.
pub(crate) static SOP_REQUESTS: Pool<SopRequest> = Pool::new();

/// How often expired nodes are looked for, in ticks (C:
/// `puffs_sopreq_expire_timeout`).
const EXPIRE_TICKS: i32 = 1000;

/// What a service thread is asked to do (C: `struct puffs_sopreq`).
pub(crate) enum SopRequest {
    /// Flush or invalidate a cache.
    Flush(Flush),
    /// Unmount the file system.
    Unmount(Req),
    /// Give the node of that cookie up, then.
    Expire(Cookie, Deadline),
}

impl SopRequest {
    /// The server's request, if it made one.
    fn header(&self) -> Option<&Req> {
        match self {
            SopRequest::Flush(flush) => Some(&flush.req),
            SopRequest::Unmount(request) => Some(request),
            SopRequest::Expire(..) => None,
        }
    }
}

/// A service thread, and what it has to do.
pub(crate) struct Sop {
    /// C: `pmp_sopmtx`.
    queue: Mutex<SopQueue>,
    /// Signalled when there is something to do and when the thread is gone.
    cv: CondVar,
    /// The lwp of the thread, once it runs.
    lid: AtomicI32,
}

impl Sop {
    /// A service thread that does not run yet. May sleep.
    pub(crate) fn new() -> Sop {
        Sop {
            queue: Mutex::new(SopQueue::default()),
            cv: CondVar::new(c"puffsop"),
            lid: AtomicI32::new(0),
        }
    }
}

/// The queue of a service thread.
#[derive(Default)]
struct SopQueue {
    requests: List<SopRequest>,
    /// Nodes that nobody uses, for when their time is over: one for each at most.
    expiries: List<SopRequest>,
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
    Unmount,
}

impl SopQueue {
    /// Takes the first of the nodes, if its time is over.
    fn take_expiry(&mut self) -> Option<Ref<SopRequest>> {
        match self.expiries.front()? {
            SopRequest::Expire(_, at) if at.is_over() => self.expiries.pop_front(),
            _ => None,
        }
    }
}

impl Mount {
    /// Starts the service thread.
    ///
    /// # Errors
    /// What `kthread_create(9)` says.
    pub(crate) fn sop_start(this: &Arc<Mount>) -> Result<()> {
        let mut queue = this.sop.queue.lock();
        queue.running = true;
        queue.alive = true;
        drop(queue);
        kern::thread_spawn(this.clone(), c"puffsop").inspect_err(|_| {
            let mut queue = this.sop.queue.lock();
            queue.running = false;
            queue.alive = false;
        })
    }

    /// Ends the service thread and waits until it is gone.
    pub(crate) fn sop_stop(&self) {
        let mut queue = self.sop.queue.lock();
        queue.stop = true;
        self.sop.cv.broadcast();
        while queue.alive {
            self.sop.cv.wait(&mut queue);
        }
    }

    /// Is that the caller, which is a thread of the kernel's?
    pub(crate) fn is_service_thread(&self) -> bool {
        let (_, lid) = kern::caller_ids();
        lid == self.sop.lid.load(Ordering::Relaxed)
    }

    /// Queues a flush (C: the PUFFSOP_FLUSH part of `puffs_msgif_dispatch`).
    pub(super) fn sop_flush(&self, flush: Flush) {
        self.sop_queue(SopRequest::Flush(flush));
    }

    /// Queues an unmount (C: the PUFFSOP_UNMOUNT part).
    pub(super) fn sop_unmount(&self, request: Req) {
        self.sop_queue(SopRequest::Unmount(request));
    }

    /// Queues the expiry of a node that nobody uses, unless the thread takes
    /// none any more: the mount goes, and with it the node. May sleep.
    pub(crate) fn sop_expire(&self, node: &Node, at: Deadline) {
        let request = SopRequest::Expire(node.cookie, at);
        let Some(request) = SOP_REQUESTS.get(request, Sleep::Yes) else {
            return;
        };
        // The node knows of it before the thread may take it.
        node.state().expiry = Some(request.clone());
        let mut queue = self.sop.queue.lock();
        if queue.running {
            // The thread is not woken: the time is not over yet.
            let linked = queue.expiries.push_back(request);
            debug_assert!(linked.is_ok());
        }
    }

    /// Takes an expiry back, of a node that goes before its time is over.
    pub(crate) fn sop_cancel(&self, expiry: &Ref<SopRequest>) {
        let taken_back = self.sop.queue.lock().expiries.remove(expiry);
        drop(taken_back);
    }

    fn sop_queue(&self, request: SopRequest) {
        let Some(header) = request.header().copied() else {
            return;
        };
        let Some(request) = SOP_REQUESTS.get(request, Sleep::Yes) else {
            self.answer(&header, Errno::ENOMEM);
            return;
        };
        let mut queue = self.sop.queue.lock();
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
        let mut queue = self.sop.queue.lock();
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
            queue = self.sop.queue.lock();
            if inside.is_none() {
                self.sop.cv.wait_ticks(&mut queue, retry);
            } else if let Some(request) = queue.requests.pop_front() {
                drop(queue);
                match &*request {
                    SopRequest::Flush(flush) => self.flush_request(flush),
                    SopRequest::Unmount(request) => {
                        self.msgif.sendresp(request, 0);
                        queue = self.sop.queue.lock();
                        break End::Unmount;
                    }
                    SopRequest::Expire(..) => {}
                }
                drop(request);
                drop(inside);
                queue = self.sop.queue.lock();
            } else if let Some(request) = queue.take_expiry() {
                drop(queue);
                if let SopRequest::Expire(cookie, _) = *request {
                    node::expire(self, cookie, &request);
                }
                drop(request);
                drop(inside);
                queue = self.sop.queue.lock();
            } else {
                drop(queue);
                drop(inside);
                queue = self.sop.queue.lock();
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
        let expiries = core::mem::take(&mut queue.expiries);
        let mut left = core::mem::take(&mut queue.requests);
        drop(queue);
        drop(expiries);
        while let Some(request) = left.pop_front() {
            if let Some(header) = request.header() {
                self.answer(header, Errno::ENXIO);
            }
        }
    }

    /// Says that the thread does nothing for the mount any more.
    fn sop_leave(&self) {
        let mut queue = self.sop.queue.lock();
        queue.alive = false;
        self.sop.cv.broadcast();
    }

    /// Does a flush and answers it (C: `puffsop_flush`).
    fn flush_request(&self, flush: &Flush) {
        let result = self.flush(flush);
        self.msgif.sendresp(&flush.req, Errno::code(result));
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
            FlushOp::InvalPagecacheNodeRange => flush_pages(&vnode, flush, Put::Drop),
            FlushOp::FlushPagecacheNodeRange => flush_pages(&vnode, flush, Put::Clean),
            // One name: no kernel ever did that.
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Writes back or drops the pages that a flush names: whole pages, and up to
/// the end of the file if the range ends at 0.
fn flush_pages(vnode: &VnodeRef, flush: &Flush, put: Put) -> Result<()> {
    if vnode.vtype() != Vtype::Reg as u32 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = page_range(flush.start, flush.end, vnode.size()).ok_or(Errno::EINVAL)?;
    vnode.put_pages(start, end, put)
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
        let (_, lid) = kern::caller_ids();
        mount.sop.lid.store(lid, Ordering::Relaxed);
        let end = mount.sop_work();
        // From here on the mount may be taken down, and we are just a thread that has
        // a reference to it.
        mount.sop_leave();
        if let End::Unmount = end {
            // Nobody to tell: the server has its answer.
            let _ = mount.mp.unmount();
        }
    }
}
