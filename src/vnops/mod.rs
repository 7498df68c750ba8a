//! What the kernel calls on a file (`puffs_vnops.c`): one file for each family
//! of operations.
//!
//! | module | operations |
//! |---|---|
//! | [`lookup`] | LOOKUP, ABORTOP |
//! | [`create`] | CREATE, MKNOD, MKDIR, SYMLINK |
//! | [`remove`] | REMOVE, RMDIR, LINK, RENAME |
//! | [`dir`] | READDIR, READLINK |
//! | [`open`] | OPEN, CLOSE, ACCESS, SEEK, MMAP, PATHCONF, ADVLOCK, PRINT |
//! | [`attr`] | GETATTR, SETATTR |
//! | [`io`] | READ, WRITE, FALLOCATE, FDISCARD |
//! | [`pages`] | GETPAGES, STRATEGY |
//! | [`sync`] | FSYNC |
//! | [`poll`] | POLL |
//! | [`extattr`] | GET-, SET-, LIST- and DELETEEXTATTR |
//! | [`life`] | INACTIVE, RECLAIM |
//!
//! An operation that the server does not handle is not sent (C:
//! `puffs_vnop_checkop`). Most then fail with EOPNOTSUPP; those that only ask
//! whether something may be done succeed.
//!
//! A word about locks. The kernel has a vnode locked in most operations, and it
//! stays so while the server is asked; only who removes a file gives its lock
//! up, for the server may look at the file meanwhile.

pub mod attr;
pub mod create;
pub mod dir;
pub mod extattr;
pub mod io;
pub mod life;
pub mod lookup;
pub mod open;
pub mod pages;
pub mod poll;
pub mod remove;
pub mod sync;

use crate::{
    abi::{Kcn, Kcred, Message, Payload, VnOp},
    kern::{self, ComponentName, Errno, Result, Sleep, Vnode},
    mount::Mount,
    msgif::Request,
    node::{self, Node, NodeRef},
    subr,
};

/// A file that the kernel works on: its vnode, which the caller of the
/// operation keeps, and its node, which keeps the mount.
pub struct File {
    /// Its vnode.
    pub vnode: Vnode,
    /// Its node.
    pub node: NodeRef,
}

impl File {
    /// The file of a vnode that is locked, or whose pages are.
    ///
    /// # Errors
    /// ENXIO if the vnode was reclaimed.
    pub fn of(vnode: Vnode) -> Result<File> {
        let node = Node::of(vnode).ok_or(Errno::ENXIO)?;
        Ok(File { vnode, node })
    }

    /// The file of a vnode that is only referenced. Enters the interlock.
    ///
    /// # Errors
    /// ENXIO if the vnode was reclaimed.
    pub fn of_unlocked(vnode: Vnode) -> Result<File> {
        let node = node::node_of(vnode).ok_or(Errno::ENXIO)?;
        Ok(File { vnode, node })
    }

    /// The mount that it is in.
    fn mount(&self) -> &Mount {
        &self.node.mount
    }

    /// Does the caller work for all file systems, as the syncer does and the thread that
    /// makes room for vnodes? They wait for no server: one that does not answer would
    /// have the others' files not written back, and vnodes not freed.
    fn is_for_all(&self) -> bool {
        kern::is_kernel_thread() && !self.mount().is_service_thread()
    }

    /// Does the server handle the operation?
    fn handles(&self, op: VnOp) -> bool {
        self.mount().config.handles(op)
    }

    /// The operation has to be handled.
    fn needs(&self, op: VnOp) -> Result<()> {
        self.handles(op).then_some(()).ok_or(Errno::EOPNOTSUPP)
    }

    /// A request about this file. May sleep.
    fn request<T: Message>(&self) -> Result<Request<T>> {
        Request::new(self.node.cookie, 0, Sleep::Yes)
    }

    /// The same with a payload of `room` bytes ([`Request::with_room`]). May
    /// sleep.
    fn request_with<T: Message + Payload>(&self, room: usize) -> Result<Request<T>> {
        Request::with_room(self.node.cookie, room, Sleep::Yes)
    }

    /// Writes a name in this directory for the server, and who asks for it.
    fn name(&self, kcn: &mut Kcn, kcred: &mut Kcred, name: &ComponentName<'_>) {
        let full = self.mount().config.wants_full_paths();
        subr::makecn(kcn, kcred, name, full);
    }

    /// Sends a request about this file and waits for the outcome.
    fn ask<T: Message>(&self, request: &mut Request<T>) -> Result<()> {
        request.ask(self.mount(), [Some(&self.node), None])
    }
}

/// The page that a byte is in: where it begins.
fn page_start(offset: i64) -> i64 {
    offset - offset % kern::page_size() as i64
}

/// Where the page ends that the byte before is in (C: `round_page`).
fn page_end(offset: i64) -> i64 {
    let page = kern::page_size() as i64;
    page_start(offset.saturating_add(page - 1))
}
