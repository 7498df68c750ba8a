//! Attributes, and what the kernel keeps of them.
//!
//! The kernel notes what it knows better than the server: times of reads and
//! writes that went through the page cache, and the size of a file that they
//! made longer (`Notes`). What is asked for is overlaid with that, and the
//! server learns it with the next change, or when the file is synchronized.
//! Apart from that, attributes are kept as long as the server says that they
//! hold.

use super::{page_start, pages, File};
use crate::{
    abi::{consts::VNOVAL, vn, Timespec, Vattr, VnOp, Vtype},
    kern::{self, Cred, Errno, Result, Vnode},
    node::{is_file_size, Deadline, Node, Notes, Touch},
    subr,
};

/// The best size of I/O on devices (`BLKDEV_IOSIZE`, `MAXBSIZE`).
const BLOCK_DEVICE_IO: isize = 2048;
const CHARACTER_DEVICE_IO: isize = 64 * 1024;

const NO_SIZE: u64 = VNOVAL as u64;

/// Is a time said?
fn is_set(time: Timespec) -> bool {
    time.sec != i64::from(VNOVAL)
}

/// Reads the attributes of a file (VOP_GETATTR).
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, else what the server says.
pub fn getattr(file: &File, cred: &Cred<'_>, out: &mut Vattr) -> Result<()> {
    file.needs(VnOp::Getattr)?;
    let (mount, node) = (file.mount(), &file.node);
    // Pages may be asked for meanwhile, which makes the file longer at the
    // server; a size of before must not cut it off.
    let _sizing = node.sizing();
    let known = || {
        node.state()
            .attributes
            .filter(|(_, until)| !until.is_over())
    };
    let until = match mount.config.uses_ttl().then(known).flatten() {
        Some((va, _)) => {
            *out = va;
            Deadline::default()
        }
        None => ask(file, cred, out)?,
    };
    learn(file.vnode, node, out, until);
    out.fsid = mount.mp.fsid();
    Ok(())
}

/// Asks the server for the attributes of a file. Returns until when they hold.
fn ask(file: &File, cred: &Cred<'_>, out: &mut Vattr) -> Result<Deadline> {
    let mut request = file.request::<vn::Getattr>()?;
    let message = request.body()?;
    message.va = Vattr::unset();
    subr::credcvt(&mut message.cred, cred);
    file.ask(&mut request)?;
    let answer = request.body()?;
    *out = answer.va;
    Ok(Deadline::after(answer.va_ttl))
}

/// Takes in what a reply says of a file (C: `update_va`), for whoever is inside
/// `pn_sizemtx`: its size, unless the kernel knows it better. If the
/// attributes hold until some time, they are kept. What is noted is put over them,
/// for stat(2).
fn learn(vnode: Vnode, node: &Node, va: &mut Vattr, until: Deadline) {
    // The server does not know about the device behind a special file.
    let is_device = node.is_device();
    if is_device {
        va.size = vnode.size() as u64;
        va.blocksize = if node.is(Vtype::Blk) {
            BLOCK_DEVICE_IO
        } else {
            CHARACTER_DEVICE_IO
        };
    }
    let size = va.size as i64;
    let mut state = node.state();
    if node.mount.config.uses_ttl() && until.is_set() {
        state.attributes = Some((*va, until));
    }
    let flushes = node.mount.config.flushes_notes();
    let knows_better = flushes && state.notes.size.is_some();
    let is_sized = !is_device && va.size != NO_SIZE && !knows_better;
    if is_sized {
        state.server_size = size;
    }
    if flushes {
        state.notes.show(va);
    }
    // It is entered inside the lock of the pages.
    drop(state);
    if is_sized && vnode.size() != size {
        vnode.set_size(size);
    }
}

/// Takes in a reply that tells of a file, with the times that its attributes and
/// its name hold.
pub(super) fn learn_all(
    vnode: Vnode,
    node: &Node,
    va: &mut Vattr,
    va_ttl: Timespec,
    cn_ttl: Timespec,
) {
    let _sizing = node.sizing();
    let until = Deadline::after(cn_ttl);
    if until.is_set() {
        let mut state = node.state();
        state.name_until = until;
        state.grace_until = until.max(state.grace_until);
    }
    learn(vnode, node, va, Deadline::after(va_ttl));
}

/// Changes the attributes of a file that `va` sets (VOP_SETATTR); it is locked.
///
/// # Errors
/// EROFS, EOPNOTSUPP if the server does not handle it, else what the server
/// says.
pub fn setattr(file: &File, va: &Vattr, cred: &Cred<'_>) -> Result<()> {
    file.needs(VnOp::Setattr)?;
    if file.mount().mp.is_readonly() {
        let changes = va.uid != VNOVAL as u32
            || va.gid != VNOVAL as u32
            || va.mode != VNOVAL as u32
            || is_set(va.atime)
            || is_set(va.mtime);
        if changes || (file.node.is(Vtype::Reg) && va.size != NO_SIZE) {
            return Err(Errno::EROFS);
        }
    }
    let _sizing = file.node.sizing();
    let sets_size = va.size != NO_SIZE && file.node.is(Vtype::Reg);
    if sets_size {
        if !is_file_size(va.size as i64) {
            return Err(Errno::EFBIG);
        }
        cut(file, va.size as i64)?;
    }
    let by = By::Caller(cred);
    change(file, *va, by, Then::Resize)
}

/// Who changes attributes.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// The caller of an operation.
    Caller(&'a Cred<'a>),
    /// The kernel, to tell the server what it noted.
    Kernel,
    /// The same, and it does not wait for the server.
    KernelForgets,
}

/// What becomes of a size that is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The kernel's becomes the same.
    Resize,
    /// It is the kernel's already.
    Keep,
}

/// The page that a file is cut off within is written back and goes: what was
/// behind the cut must not be there again when the file grows, and the server
/// zeroes it.
fn cut(file: &File, size: i64) -> Result<()> {
    let start = page_start(size);
    if size < file.vnode.size() && start != size && file.mount().config.uses_pagecache() {
        let end = start.saturating_add(kern::page_size() as i64);
        return pages::empty(file, start, end);
    }
    Ok(())
}

/// Has the server change attributes, and tells it what was noted with that (C:
/// `dosetattr`). The caller is inside `pn_sizemtx` if sizes are to be resized.
pub(super) fn change(file: &File, mut va: Vattr, by: By<'_>, then: Then) -> Result<()> {
    let (mount, node) = (file.mount(), &file.node);
    let explicit = va.size;
    let notes = {
        let mut state = node.state();
        // Nobody shall see what was before.
        state.attributes = None;
        if mount.config.flushes_notes() {
            core::mem::take(&mut state.notes)
        } else {
            Notes::default()
        }
    };
    add_notes(&mut va, notes);
    let mut request = file.request::<vn::Setattr>()?;
    let message = request.body()?;
    message.va = va;
    match by {
        By::Caller(cred) => subr::credcvt(&mut message.cred, cred),
        By::Kernel | By::KernelForgets => subr::fscred(&mut message.cred),
    }
    if matches!(by, By::KernelForgets) {
        request.forget(mount);
    } else {
        let asked = file.ask(&mut request);
        if asked.is_err() && !request.was_seen() {
            node.state().notes.put_back(notes);
        }
        asked?;
        if mount.config.uses_ttl() && then == Then::Resize {
            let answer = request.body()?;
            let until = Deadline::after(answer.va_ttl);
            learn(file.vnode, node, &mut answer.va, until);
        }
    }
    if va.size != NO_SIZE {
        node.state().server_size = va.size as i64;
    }
    if explicit != NO_SIZE {
        if then == Then::Resize && !node.is_device() {
            file.vnode.set_size(explicit as i64);
        }
        node.touch(Touch::CTIME | Touch::MTIME);
    }
    Ok(())
}

/// Tells the server how long a file has become, if it can be told.
pub(super) fn tell_size(file: &File) -> Result<()> {
    if !file.handles(VnOp::Setattr) {
        return Ok(());
    }
    let mut va = Vattr::unset();
    va.size = file.vnode.size() as u64;
    change(file, va, By::Kernel, Then::Keep)
}

/// What the caller sets is newer than what was noted.
fn add_notes(va: &mut Vattr, notes: Notes) {
    let add = |time: &mut Timespec, note: Option<Timespec>| {
        if let Some(note) = note.filter(|_| !is_set(*time)) {
            *time = note;
        }
    };
    add(&mut va.atime, notes.atime);
    add(&mut va.mtime, notes.mtime);
    add(&mut va.ctime, notes.ctime);
    if let Some(size) = notes.size.filter(|_| va.size == NO_SIZE) {
        va.size = size;
    }
}
