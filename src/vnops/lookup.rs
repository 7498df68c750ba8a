//! Names: finding the file of one, and taking back what could not be used.

use super::{attr, File};
use crate::{
    abi::{
        self, vn, Cookie, ErrorOp, NameiOp, VnOp, NAMEI_ISDOTDOT, NAMEI_ISLASTCN, NAMEI_REQUIREDIR,
    },
    kern::{ComponentName, Errno, Result, Sleep, VnodeRef},
    mount::Mount,
    msgif::Request,
    node::{self, Deadline, FileInfo, NodeRef},
};

/// How long a file is kept that was asked for again although its name was over,
/// in ticks: ten times what the service thread sleeps.
const GRACE_TICKS: i32 = 10_000;

/// Finds the file of a name in a directory (VOP_LOOKUP). `dir` is locked, and
/// unlocked in between if the name is `..`; the result is not locked.
///
/// # Errors
/// EJUSTRETURN if there is none and the caller wants to make it; EROFS; EISDIR
/// for the move of `.`; else what the server says.
pub fn lookup(dir: &File, name: &mut ComponentName<'_>) -> Result<VnodeRef> {
    let config = dir.mount().config;
    let flags = name.flags();
    let (last, dotdot) = (flags & NAMEI_ISLASTCN != 0, flags & NAMEI_ISDOTDOT != 0);
    let op = NameiOp::try_from(name.nameiop()).unwrap_or(NameiOp::Lookup);
    let readonly = dir.mount().mp.is_readonly();
    if last && readonly && matches!(op, NameiOp::Delete | NameiOp::Rename) {
        return Err(Errno::EROFS);
    }
    if name.name() == b"." {
        if last && op == NameiOp::Rename {
            return Err(Errno::EISDIR);
        }
        return Ok(dir.vnode.reference());
    }
    if dotdot && config.remembers_parents() {
        if let Some(parent) = dir.node.state().parent.as_ref() {
            return Ok(parent.reference());
        }
    }
    let expired = match cached(dir, name) {
        Cached::File(found) => return Ok(found),
        Cached::Absent => return Err(Errno::ENOENT),
        Cached::Expired(vnode, node) => Some((vnode, node)),
        Cached::Unknown => None,
    };

    let mut request = dir.request::<vn::Lookup>()?;
    let message = request.body()?;
    dir.name(&mut message.cn, &mut message.cn_cred, name);
    if dotdot {
        dir.vnode.unlock();
    }
    let found = dir
        .ask(&mut request)
        .and_then(|()| found(dir, name, request.body()?, expired));
    if dotdot {
        dir.vnode.lock_retry();
    }
    match found {
        Err(Errno::ENOENT) if op == NameiOp::Create && readonly => Err(Errno::EROFS),
        Err(Errno::ENOENT) if last && matches!(op, NameiOp::Create | NameiOp::Rename) => {
            Err(Errno::EJUSTRETURN)
        }
        Err(Errno::ENOENT) => {
            // Nobody says for how long there is no such file.
            if config.uses_namecache() && !config.uses_ttl() {
                dir.vnode.cache_name(None, name);
            }
            Err(Errno::ENOENT)
        }
        other => other,
    }
}

/// What the kernel knows of a name.
enum Cached {
    /// Its file.
    File(VnodeRef),
    /// That there is none.
    Absent,
    /// What was its file, until its time was over.
    Expired(VnodeRef, NodeRef),
    /// Nothing.
    Unknown,
}

fn cached(dir: &File, name: &mut ComponentName<'_>) -> Cached {
    let config = dir.mount().config;
    if !config.uses_namecache() {
        return Cached::Unknown;
    }
    match dir.vnode.cached(name) {
        Some(Some(found)) if !config.uses_ttl() => Cached::File(found),
        Some(Some(found)) => match node::node_of(*found) {
            Some(node) if !node.state().name_until.is_over() => Cached::File(found),
            Some(node) => {
                found.purge_names();
                Cached::Expired(found, node)
            }
            None => Cached::Unknown,
        },
        Some(None) if !config.uses_ttl() => Cached::Absent,
        _ => Cached::Unknown,
    }
}

/// The file that a reply is about. `expired` is what it was before.
fn found(
    dir: &File,
    name: &mut ComponentName<'_>,
    answer: &mut vn::Lookup,
    expired: Option<(VnodeRef, NodeRef)>,
) -> Result<VnodeRef> {
    let mount = dir.mount();
    let config = &mount.config;
    // It would be locked twice.
    if answer.newnode == dir.node.cookie {
        let text = "lookup produced parent cookie";
        mount.senderr(ErrorOp::Lookup, Errno::EINVAL.get(), text, answer.newnode);
        return Err(Errno::EPROTO);
    }
    let again = expired.filter(|(vnode, node)| {
        node.cookie == answer.newnode && node.vtype() == answer.vtype && vnode.lock().is_ok()
    });
    let (vnode, node) = match again {
        Some((vnode, node)) => {
            node.state().grace_until = Deadline::in_ticks(GRACE_TICKS);
            (vnode, node)
        }
        None => {
            let file = FileInfo {
                cookie: answer.newnode,
                vtype: answer.vtype,
                size: answer.size,
                rdev: answer.rdev,
            };
            let (vnode, node) =
                node::getvnode(mount, file).inspect_err(|_| forget(mount, answer.newnode))?;
            vnode.lock_retry();
            (vnode, node)
        }
    };
    if config.uses_ttl() {
        attr::learn_all(*vnode, &node, &mut answer.va, answer.va_ttl, answer.cn_ttl);
    }
    if config.uses_namecache() {
        dir.vnode.cache_name(Some(*vnode), name);
    }
    if answer.cn.flags & NAMEI_REQUIREDIR == 0 {
        name.change_flags(0, NAMEI_REQUIREDIR);
    }
    if answer.cn.consume != 0 {
        name.consume(answer.cn.consume);
    }
    told(dir, &node);
    vnode.unlock();
    Ok(vnode)
}

/// The server told of a file in a directory.
pub(super) fn told(dir: &File, node: &NodeRef) {
    node.state().nlookup += 1;
    if dir.mount().config.remembers_parents() {
        remember_parent(node, dir);
    }
}

/// A file is in that directory (C: `update_parent`).
pub(super) fn remember_parent(node: &NodeRef, dir: &File) {
    let known = node.state().parent.as_ref().map(|parent| **parent);
    if known != Some(dir.vnode) {
        let parent = Some(dir.vnode.reference());
        let before = core::mem::replace(&mut node.state().parent, parent);
        // Giving it back may sleep.
        drop(before);
    }
}

/// The kernel cannot use a file that the server told it of: the server is told
/// that it forgot it (C: `puffs_abortbutton`).
pub(super) fn forget(mount: &Mount, cookie: Cookie) {
    if mount.config.handles(VnOp::Inactive) && mount.config.always_inactive() {
        if let Ok(mut request) = Request::<vn::Inactive>::new(cookie, 0, Sleep::Yes) {
            // The server's opinion does not matter.
            let _ = request.ask(mount, [None; 2]);
        }
    }
    send_reclaim(mount, cookie, 1, false);
}

/// Tells the server that the kernel forgot a file of which it was told so often
/// (C: `callreclaim`). `soon`: it is the end of the file.
pub(super) fn send_reclaim(mount: &Mount, cookie: Cookie, nlookup: i32, soon: bool) {
    if !mount.config.handles(VnOp::Reclaim) {
        return;
    }
    if let Ok(mut request) = Request::<vn::Reclaim>::new(cookie, 0, Sleep::Yes) {
        if let Ok(message) = request.body() {
            message.nlookup = nlookup;
        }
        if soon {
            request.forget(mount);
        } else {
            request.forget_some_time(mount);
        }
    }
}

/// What a lookup prepared will not happen (VOP_ABORTOP).
pub fn abortop(dir: &File, name: &ComponentName<'_>) {
    if !dir.handles(VnOp::Abortop) {
        return;
    }
    if let Ok(mut request) = dir.request::<vn::Abortop>() {
        if let Ok(message) = request.body() {
            dir.name(&mut message.cn, &mut message.cn_cred, name);
        }
        request.forget(dir.mount());
    }
}

/// An operation that makes or removes a name has to be handled; else what the
/// lookup of that name prepared is called off.
pub(super) fn needs(dir: &File, op: abi::VnOp, name: &ComponentName<'_>) -> Result<()> {
    dir.needs(op).inspect_err(|_| abortop(dir, name))
}
