//! The vnode operations, as the system calls of this kernel call them
//! (`vnode_if.c`): each calls the core's. What is
//! behind the table for devices and fifos is left out (`world::Hosted::can`).
//!
//! Below that are requests that no system call makes, for tests.

use crate::kernel::{
    buf::BufHold,
    component::ComponentHold,
    fatal::kassert,
    pages,
    uio::{self, UioHold},
    vnode::{Vnode, VnodeRef},
};
use puffs_rs::{
    abi::{self, consts::MAXPATHLEN, vn, Message, Req, Vattr, VnOp, Vtype},
    entry,
    kern::{
        sys::{self, kauth_cred, vattr, vnode},
        Errno, Ref, Result, Sleep,
    },
    msgif::{Outcome, Park, Sent},
    vnops::File,
};
use puffs_script::text;
use std::{
    ffi::{c_char, CString},
    mem::offset_of,
    ptr,
    sync::Arc,
};

/// `IO_APPEND`.
pub(crate) const IO_APPEND: i32 = sys::PK_IO_APPEND as i32;
/// `FSYNC_WAIT`.
const FSYNC_WAIT: i32 = sys::PK_FSYNC_WAIT as i32;

/// Device not configured: no device of this kernel has a driver.
const ENXIO: Errno = Errno::ENXIO;

/// One operation: what the core's function says.
fn op(call: impl FnOnce() -> i32) -> Result<()> {
    let error = call();
    let known = (0..=Errno::LAST).contains(&error) || error == Errno::EJUSTRETURN.get();
    kassert!(known, "the core let errno {error} through");
    Errno::check(error)
}

/// One that the vnode is not locked in: inside its file system.
fn op_unlocked(vnode: &Vnode, call: impl FnOnce() -> i32) -> Result<()> {
    vnode.mount().with_trans(|| op(call))
}

/// One that has a vnode as its result, with a reference.
fn vnode_of(call: impl FnOnce(*mut *mut vnode) -> i32) -> Result<VnodeRef> {
    let mut vp = ptr::null_mut();
    op(|| call(&mut vp))?;
    Ok(VnodeRef::adopt(vp))
}

/// Attributes as the core takes them.
fn raw(va: &mut Vattr) -> *mut vattr {
    ptr::from_mut(va).cast()
}

/// A C string; the names that come here have no NUL in them.
fn c_string(text: &str) -> CString {
    CString::new(text::bytes(text)).unwrap_or_default()
}

/// One component of a path, as an operation gets it.
pub(crate) struct Name<'a> {
    /// The component and the rest of the path.
    pub(crate) path: &'a str,
    /// How long the component is.
    pub(crate) len: usize,
    /// What it is looked up for.
    pub(crate) op: abi::NameiOp,
    /// Is it the last?
    pub(crate) last: bool,
    /// Who walks.
    pub(crate) cred: *mut kauth_cred,
}

impl<'a> Name<'a> {
    /// A last component.
    pub(crate) fn last(name: &'a str, op: abi::NameiOp, cred: *mut kauth_cred) -> Name<'a> {
        Name {
            path: name,
            len: name.len(),
            op,
            last: true,
            cred,
        }
    }

    fn hold(&self) -> ComponentHold {
        let name = text::bytes(&self.path[..self.len]);
        let mut flags = 0;
        // What is about to change is not cached.
        if !self.last || !matches!(self.op, abi::NameiOp::Delete | abi::NameiOp::Rename) {
            flags |= abi::NAMEI_MAKEENTRY;
        }
        if name == b".." {
            flags |= abi::NAMEI_ISDOTDOT;
        }
        if self.last {
            flags |= abi::NAMEI_ISLASTCN;
        }
        ComponentHold::new(
            &text::bytes(self.path),
            name.len(),
            self.op.into(),
            flags,
            self.cred,
        )
    }
}

/// VOP_LOOKUP: `dir` is locked, the result is not. EJUSTRETURN if there is no
/// such file and it is to be made.
pub(crate) fn lookup(dir: &VnodeRef, name: &Name<'_>) -> Result<VnodeRef> {
    let name = name.hold();
    // SAFETY: a live vnode, a component, and a place for the result.
    vnode_of(|vpp| unsafe { entry::puffs_rs_lookup(dir.raw(), vpp, name.raw()) })
}

/// VOP_CREATE, VOP_MKDIR and VOP_MKNOD: `dir` is locked, the result is not.
pub(crate) fn create(dir: &VnodeRef, name: &Name<'_>, va: &Vattr) -> Result<VnodeRef> {
    let make = match Vtype::try_from(va.vtype) {
        Ok(Vtype::Reg | Vtype::Sock) => entry::puffs_rs_create,
        Ok(Vtype::Dir) => entry::puffs_rs_mkdir,
        _ => entry::puffs_rs_mknod,
    };
    let (name, mut va) = (name.hold(), *va);
    // SAFETY: a live vnode, a component, attributes, and a place for the result.
    vnode_of(|vpp| unsafe { make(dir.raw(), vpp, name.raw(), raw(&mut va)) })
}

/// VOP_SYMLINK: `dir` is locked, the result is not.
pub(crate) fn symlink(
    dir: &VnodeRef,
    name: &Name<'_>,
    va: &Vattr,
    target: &str,
) -> Result<VnodeRef> {
    let (name, mut va, target) = (name.hold(), *va, c_string(target));
    let (dvp, cnp, vap) = (dir.raw(), name.raw(), raw(&mut va));
    // SAFETY: a live vnode, a component, attributes, a C string, and a place for
    // the result.
    vnode_of(|vpp| unsafe { entry::puffs_rs_symlink(dvp, vpp, cnp, vap, target.as_ptr()) })
}

/// VOP_READLINK, which has the vnode locked.
pub(crate) fn readlink(vnode: &VnodeRef, cred: *mut kauth_cred) -> Result<Vec<u8>> {
    let uio = UioHold::read(0, MAXPATHLEN);
    vnode.lock(true, true)?;
    // SAFETY: a live vnode, a uio and a credential.
    let done = op(|| unsafe { entry::puffs_rs_readlink(vnode.raw(), uio.raw(), cred) });
    Vnode::unlock(vnode);
    done?;
    Ok(uio.take())
}

/// VOP_REMOVE and VOP_RMDIR: both are locked; `vnode` is unlocked and released,
/// `dir` stays locked.
pub(crate) fn remove(dir: &VnodeRef, vnode: VnodeRef, name: &Name<'_>, what: VnOp) -> Result<()> {
    let remove = if what == VnOp::Rmdir {
        entry::puffs_rs_rmdir
    } else {
        entry::puffs_rs_remove
    };
    let name = name.hold();
    // SAFETY: live vnodes, the second with a reference to give up, and a
    // component.
    op(|| unsafe { remove(dir.raw(), vnode.into_raw(), name.raw()) })
}

/// VOP_LINK: `dir` is locked.
pub(crate) fn link(dir: &VnodeRef, vnode: &VnodeRef, name: &Name<'_>) -> Result<()> {
    let name = name.hold();
    // SAFETY: live vnodes and a component.
    op(|| unsafe { entry::puffs_rs_link(dir.raw(), vnode.raw(), name.raw()) })
}

/// VOP_RENAME: `to_dir` and `over` are locked; all are unlocked and released.
pub(crate) fn rename(
    (from_dir, vnode, from): (VnodeRef, VnodeRef, &Name<'_>),
    (to_dir, over, to): (VnodeRef, Option<VnodeRef>, &Name<'_>),
) -> Result<()> {
    let (from, to) = (from.hold(), to.hold());
    let (fdvp, fvp, tdvp) = (from_dir.into_raw(), vnode.into_raw(), to_dir.into_raw());
    let tvp = over.map_or(ptr::null_mut(), VnodeRef::into_raw);
    // SAFETY: vnodes with references to give up, and components.
    op(|| unsafe { entry::puffs_rs_rename(fdvp, fvp, from.raw(), tdvp, tvp, to.raw()) })
}

/// VOP_OPEN.
pub(crate) fn open(vnode: &VnodeRef, mode: i32, cred: *mut kauth_cred) -> Result<()> {
    // SAFETY: a live vnode and a credential.
    op(|| unsafe { entry::puffs_rs_open(vnode.raw(), mode, cred) })
}

/// VOP_CLOSE: nobody waits.
pub(crate) fn close(vnode: &VnodeRef, mode: i32, cred: *mut kauth_cred) -> Result<()> {
    // SAFETY: a live vnode and a credential.
    op(|| unsafe { entry::puffs_rs_close(vnode.raw(), mode, cred) })
}

/// VOP_ACCESS; `mode` has the bits of access(2).
pub(crate) fn access(vnode: &VnodeRef, mode: i32, cred: *mut kauth_cred) -> Result<()> {
    // SAFETY: a live vnode and a credential.
    op(|| unsafe { entry::puffs_rs_access(vnode.raw(), mode, cred) })
}

/// VOP_SEEK: the vnode is not locked.
pub(crate) fn seek(vnode: &VnodeRef, from: i64, to: i64, cred: *mut kauth_cred) -> Result<()> {
    // SAFETY: a live vnode and a credential.
    op_unlocked(vnode, || unsafe {
        entry::puffs_rs_seek(vnode.raw(), from, to, cred)
    })
}

/// VOP_PATHCONF.
pub(crate) fn pathconf(vnode: &VnodeRef, name: i32) -> Result<isize> {
    let mut answer = 0;
    // SAFETY: a live vnode and a place for the answer.
    op(|| unsafe { entry::puffs_rs_pathconf(vnode.raw(), name, &mut answer) })?;
    Ok(answer)
}

/// VOP_ADVLOCK: the vnode is not locked. The answer of `F_GETLK` is in `lock`.
pub(crate) fn advlock(
    vnode: &VnodeRef,
    id: usize,
    what: i32,
    lock: &mut vn::Flock,
    flags: i32,
) -> Result<()> {
    let id = ptr::without_provenance_mut(id);
    let fl = ptr::from_mut(lock).cast();
    // SAFETY: a live vnode and a lock; of the last argument this kernel takes no
    // notice.
    op_unlocked(vnode, || unsafe {
        entry::puffs_rs_advlock(vnode.raw(), id, what, fl, flags, ptr::null_mut())
    })
}

/// Attributes that say nothing.
pub fn vattr_null() -> Vattr {
    Vattr::unset()
}

/// VOP_GETATTR.
pub(crate) fn getattr(vnode: &VnodeRef, cred: *mut kauth_cred) -> Result<Vattr> {
    let mut va = vattr_null();
    // SAFETY: a live vnode, a place for attributes, and a credential.
    op(|| unsafe { entry::puffs_rs_getattr(vnode.raw(), raw(&mut va), cred) })?;
    Ok(va)
}

/// VOP_SETATTR.
pub(crate) fn setattr(vnode: &VnodeRef, va: &Vattr, cred: *mut kauth_cred) -> Result<()> {
    let mut va = *va;
    // SAFETY: a live vnode, attributes, and a credential.
    op(|| unsafe { entry::puffs_rs_setattr(vnode.raw(), raw(&mut va), cred) })
}

/// What a reader gets, and whether that is the end.
pub(crate) struct Listing {
    /// The entries, as the server sent them.
    pub(crate) entries: Vec<u8>,
    /// Where to go on.
    pub(crate) offset: i64,
    /// That was the last.
    pub(crate) eof: bool,
    /// Where to go on after each entry.
    pub(crate) cookies: Vec<u64>,
}

/// VOP_READDIR of at most `room` bytes, with an offset for each entry if
/// `cookies`.
pub(crate) fn readdir(
    vnode: &VnodeRef,
    offset: i64,
    room: usize,
    cookies: bool,
    cred: *mut kauth_cred,
) -> Result<Listing> {
    let uio = UioHold::read(offset, room);
    let (mut eof, mut start, mut count) = (0, ptr::null_mut(), 0);
    let (startp, countp) = if cookies {
        (ptr::from_mut(&mut start), ptr::from_mut(&mut count))
    } else {
        (ptr::null_mut(), ptr::null_mut())
    };
    // SAFETY: a live vnode, a uio, a credential, and places for the results.
    op(|| unsafe {
        entry::puffs_rs_readdir(vnode.raw(), uio.raw(), cred, &mut eof, startp, countp)
    })?;
    // SAFETY: what the operation left there, or nothing.
    let cookies = unsafe { uio::take_cookies(start, count as usize) };
    let offset = uio.offset();
    let entries = uio.take();
    Ok(Listing {
        eof: eof != 0 || entries.is_empty(),
        offset,
        entries,
        cookies,
    })
}

/// A device or a fifo: its times are noted, and there is nothing behind it.
fn special(vnode: &VnodeRef, accessed: bool, modified: bool) -> Result<()> {
    if vnode.rdev().is_none() && !vnode.is_fifo() {
        return Ok(());
    }
    // SAFETY: a live vnode.
    unsafe { entry::puffs_rs_markupdate(vnode.raw(), accessed, modified) };
    Err(ENXIO)
}

/// VOP_READ.
pub(crate) fn read(
    vnode: &VnodeRef,
    offset: i64,
    len: usize,
    cred: *mut kauth_cred,
) -> Result<Vec<u8>> {
    special(vnode, true, false)?;
    let uio = UioHold::read(offset, len);
    // SAFETY: a live vnode, a uio and a credential.
    op(|| unsafe { entry::puffs_rs_read(vnode.raw(), uio.raw(), 0, cred) })?;
    Ok(uio.take())
}

/// VOP_WRITE: how much was written, and where that ends.
pub(crate) fn write(
    vnode: &VnodeRef,
    offset: i64,
    data: &[u8],
    ioflag: i32,
    cred: *mut kauth_cred,
) -> Result<(usize, i64)> {
    special(vnode, false, true)?;
    let uio = UioHold::write(offset, data);
    // SAFETY: a live vnode, a uio and a credential.
    op(|| unsafe { entry::puffs_rs_write(vnode.raw(), uio.raw(), ioflag, cred) })?;
    Ok((data.len() - uio.resid(), uio.offset()))
}

/// VOP_FALLOCATE.
pub(crate) fn fallocate(vnode: &VnodeRef, offset: i64, len: i64) -> Result<()> {
    // SAFETY: a live vnode.
    op(|| unsafe { entry::puffs_rs_fallocate(vnode.raw(), offset, len) })
}

/// VOP_FDISCARD.
pub(crate) fn fdiscard(vnode: &VnodeRef, offset: i64, len: i64) -> Result<()> {
    // SAFETY: a live vnode.
    op(|| unsafe { entry::puffs_rs_fdiscard(vnode.raw(), offset, len) })
}

/// VOP_FSYNC: the vnode is locked.
pub(crate) fn fsync(vnode: &Arc<Vnode>, cred: *mut kauth_cred, wait: bool) -> Result<()> {
    let flags = if wait { FSYNC_WAIT } else { 0 };
    // SAFETY: a live vnode and a credential.
    op(|| unsafe { entry::puffs_rs_fsync(vnode.raw(), cred, flags, 0, 0) })
}

/// VOP_INACTIVE: the vnode is locked. True if it is to be reclaimed.
pub(crate) fn inactive(vnode: &Arc<Vnode>) -> bool {
    let mut recycle = false;
    // SAFETY: a live vnode and a place for the answer.
    let done = op(|| unsafe { entry::puffs_rs_inactive(vnode.raw(), &mut recycle) });
    kassert!(done.is_ok(), "VOP_INACTIVE failed");
    recycle
}

/// VOP_RECLAIM: the vnode is locked and comes back unlocked.
pub(crate) fn reclaim(vnode: &Arc<Vnode>) {
    // SAFETY: a live vnode.
    let done = op(|| unsafe { entry::puffs_rs_reclaim(vnode.raw()) });
    kassert!(done.is_ok(), "VOP_RECLAIM failed");
}

/// VOP_GETEXTATTR of at most `room` bytes; without any, only the size is asked
/// for. Returns what was read, and the size.
pub(crate) fn getextattr(
    vnode: &VnodeRef,
    namespace: i32,
    name: &str,
    room: Option<usize>,
    cred: *mut kauth_cred,
) -> Result<(Vec<u8>, usize)> {
    let name = c_string(name);
    extattr(room, |uio, size| {
        // SAFETY: a live vnode, a C string, a uio or none, a place for the size
        // or none, and a credential.
        unsafe {
            entry::puffs_rs_getextattr(vnode.raw(), namespace, name.as_ptr(), uio, size, cred)
        }
    })
}

/// VOP_LISTEXTATTR; as [`getextattr`].
pub(crate) fn listextattr(
    vnode: &VnodeRef,
    namespace: i32,
    flag: i32,
    room: Option<usize>,
    cred: *mut kauth_cred,
) -> Result<(Vec<u8>, usize)> {
    extattr(room, |uio, size| {
        // SAFETY: a live vnode, a uio or none, a place for the size or none, and
        // a credential.
        unsafe { entry::puffs_rs_listextattr(vnode.raw(), namespace, uio, size, flag, cred) }
    })
}

/// As `extattr_get_vp`: with room the size is not asked for.
fn extattr(
    room: Option<usize>,
    call: impl FnOnce(*mut sys::uio, *mut usize) -> i32,
) -> Result<(Vec<u8>, usize)> {
    let mut size = 0;
    let Some(room) = room else {
        op(|| call(ptr::null_mut(), &mut size))?;
        return Ok((Vec::new(), size));
    };
    let uio = UioHold::read(0, room);
    op(|| call(uio.raw(), ptr::null_mut()))?;
    Ok((uio.take(), size))
}

/// VOP_SETEXTATTR: how much was written.
pub(crate) fn setextattr(
    vnode: &VnodeRef,
    namespace: i32,
    name: &str,
    data: &[u8],
    cred: *mut kauth_cred,
) -> Result<usize> {
    let (name, uio) = (c_string(name), UioHold::write(0, data));
    let name: *const c_char = name.as_ptr();
    // SAFETY: a live vnode, a C string, a uio and a credential.
    op(|| unsafe { entry::puffs_rs_setextattr(vnode.raw(), namespace, name, uio.raw(), cred) })?;
    Ok(data.len() - uio.resid())
}

/// VOP_DELETEEXTATTR.
pub(crate) fn deleteextattr(
    vnode: &VnodeRef,
    namespace: i32,
    name: &str,
    cred: *mut kauth_cred,
) -> Result<()> {
    let name = c_string(name);
    // SAFETY: a live vnode, a C string and a credential.
    op(|| unsafe { entry::puffs_rs_deleteextattr(vnode.raw(), namespace, name.as_ptr(), cred) })
}

/// VFS_VPTOFH with so much room: the handle, or the errno and the room that it
/// needs.
pub(crate) fn vptofh(
    vnode: &VnodeRef,
    room: usize,
) -> std::result::Result<Vec<u8>, (Errno, usize)> {
    let mut handle = crate::kernel::Fenced::new(room);
    let mut size = room;
    // SAFETY: a live vnode, and as much room as `size` says.
    let error =
        unsafe { entry::puffs_vfsop_vptofh(vnode.raw(), handle.as_mut_ptr().cast(), &mut size) };
    match Errno::check(error) {
        Ok(()) => Ok(handle.take(size)),
        Err(error) => Err((error, size)),
    }
}

/// `poll(2)` adds these to what its caller wants.
const POLL_ALWAYS: i32 = (sys::PK_POLLERR | sys::PK_POLLHUP) as i32;

/// `poll(2)` of one vnode: which of `events` are there, waiting if `wait`.
///
/// # Errors
/// EINTR.
pub fn poll_file(vnode: &VnodeRef, events: i32, wait: bool) -> Result<i32> {
    loop {
        let node = vnode.node();
        let there = vnode.mount().with_trans(|| {
            // SAFETY: a live vnode.
            unsafe { entry::puffs_rs_poll(vnode.raw(), events | POLL_ALWAYS) }
        });
        match node {
            Some(node) if there == 0 && wait => node.wait()?,
            _ => return Ok(there),
        }
    }
}

/// What an operation works on.
fn file(vnode: &VnodeRef) -> Result<File> {
    // SAFETY: referenced for as long as the file is used.
    let vnode = unsafe { puffs_rs::kern::Vnode::new(vnode.raw()) };
    File::of_unlocked(vnode.ok_or(Errno::EINVAL)?)
}

/// A request of a test's.
struct Asking {
    park: Ref<Park>,
    sent: Sent,
    file: File,
}

impl Asking {
    /// One of that class and operation: a message of `len` bytes, the last
    /// `delta` of which only the reply fills.
    fn new(
        vnode: &VnodeRef,
        (class, op): (u16, u16),
        len: usize,
        delta: usize,
        forget: bool,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Asking> {
        let file = file(vnode)?;
        let mut park = Park::alloc(len, Sleep::Yes)?;
        let Some(fresh) = park.get_mut() else {
            panic!("a fresh park is shared");
        };
        fill(fresh.message().bytes_mut());
        fresh.set_info(class, op, file.node.cookie);
        if delta != 0 {
            fresh.set_delta(delta);
        }
        if forget {
            fresh.set_faf();
        }
        let sent = Sent::Over(Outcome::default());
        Ok(Asking { park, sent, file })
    }

    /// One of type `T`, with `more` bytes behind it.
    fn of<T: Message>(
        vnode: &VnodeRef,
        more: usize,
        delta: usize,
        forget: bool,
        fill: impl FnOnce(&mut T, &mut [u8]),
    ) -> Result<Asking> {
        let len = size_of::<T>() + more;
        let operation = (T::CLASS.into(), T::OP);
        Asking::new(vnode, operation, len, delta, forget, |bytes| {
            let (message, payload) = bytes.split_at_mut(size_of::<T>());
            match T::mut_from_bytes(message) {
                Ok(message) => fill(message, payload),
                Err(_) => panic!("a message of another size"),
            }
        })
    }

    fn send(&mut self) {
        self.sent = self.file.node.mount.send(&mut self.park);
    }

    fn wait(&mut self) -> Result<()> {
        let nodes = [Some(&*self.file.node), None];
        let mount = &self.file.node.mount;
        mount.receive(&mut self.park, self.sent, nodes)
    }
}

/// Asks for any operation on a file, with `more` bytes behind the message, the
/// last `delta` of which only the reply fills: for messages that no system call
/// here sends, and for tests of replies. `fill` writes the request and `read`
/// reads the reply.
///
/// # Errors
/// What the core says.
pub fn request<T: Message, R>(
    vnode: &VnodeRef,
    more: usize,
    delta: usize,
    fill: impl FnOnce(&mut T, &mut [u8]),
    read: impl FnOnce(&T, &[u8]) -> R,
) -> Result<R> {
    vnode.mount().with_trans(|| {
        let mut asking = Asking::of(vnode, more, delta, false, fill)?;
        asking.send();
        asking.wait()?;
        let park = asking.park.get_mut().ok_or(Errno::EPROTO)?;
        let bytes = park.message().bytes().to_vec();
        Ok(read(park.body::<T>().ok_or(Errno::EPROTO)?, &bytes))
    })
}

/// Asks for any operation on a file as [`request`] does, fire and forget.
///
/// # Errors
/// ENXIO if the vnode is dead.
pub fn forget_request<T: Message>(
    vnode: &VnodeRef,
    fill: impl FnOnce(&mut T, &mut [u8]),
) -> Result<()> {
    Asking::of(vnode, 0, 0, true, fill)?.send();
    Ok(())
}

/// A request that was sent, and that its caller has not waited for yet: for
/// harnesses that do between the two what other threads would do.
pub struct Call {
    asking: Asking,
    /// The message, whoever has it.
    memory: *mut u8,
    len: usize,
}

impl Call {
    /// Sends a request of any class and operation about a file. `message` is
    /// the whole of it, header included; the server does not get the last
    /// `delta` bytes. With `forget` nobody is to wait for it, but
    /// [`finish`](Self::finish) is called all the same.
    ///
    /// # Errors
    /// ENXIO if the vnode is dead.
    ///
    /// # Panics
    /// If the message has no room for a header.
    pub fn send(
        vnode: &VnodeRef,
        operation: (u16, u16),
        message: &[u8],
        delta: usize,
        forget: bool,
    ) -> Result<Call> {
        let start = size_of::<Req>();
        let len = message.len();
        assert!(len >= start, "a message of {len} bytes");
        let mut asking = Asking::new(vnode, operation, len, delta, forget, |bytes| {
            bytes[start..].copy_from_slice(&message[start..]);
        })?;
        let memory = match asking.park.get_mut() {
            Some(park) => park.message().as_ptr(),
            None => panic!("a fresh park is shared"),
        };
        asking.send();
        Ok(Call {
            asking,
            memory,
            len,
        })
    }

    /// The number that the server knows it by; 0 if it is not to reply, or
    /// was not sent.
    pub fn id(&mut self) -> u64 {
        // SAFETY: the memory of the request, which is initialised; nobody
        // writes to it meanwhile, on the one thread of such a harness.
        let id = unsafe { self.memory.byte_add(offset_of!(Req, id)) };
        // SAFETY: as just said.
        unsafe { id.cast::<u64>().read_unaligned() }
    }

    /// Waits for the outcome: that, and the message as it is then. Where others have
    /// that still, and may cut it off, as it was before.
    pub fn finish(mut self) -> (Result<()>, Vec<u8>) {
        // SAFETY: as in `id`, and nobody else has it now but to read it.
        let before = unsafe { std::slice::from_raw_parts(self.memory, self.len) }.to_vec();
        let outcome = self.asking.wait();
        let park = self.asking.park.get_mut();
        let after = park.map(|park| park.message().bytes().to_vec());
        (outcome, after.unwrap_or(before))
    }
}

/// I/O on a buffer in the background, as the page cache does it: from its
/// start to its end.
pub struct Transferring(BufHold);

impl Transferring {
    /// Starts to read into memory that holds what another file left there.
    pub fn read(vnode: &VnodeRef, offset: i64, len: usize) -> Transferring {
        Transferring::start(vnode, BufHold::read(offset, len, true))
    }

    /// Starts to write.
    pub fn write(vnode: &VnodeRef, offset: i64, data: &[u8]) -> Transferring {
        Transferring::start(vnode, BufHold::write(offset, data.to_vec(), true))
    }

    fn start(vnode: &VnodeRef, buf: BufHold) -> Transferring {
        pages::strategy(vnode, buf.raw());
        Transferring(buf)
    }

    /// Is it through?
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Waits for its end: the errno, how much was not moved, and the memory.
    pub fn finish(self) -> (i32, usize, Vec<u8>) {
        let (error, resid) = self.0.wait();
        (error, resid, self.0.bytes().to_vec())
    }
}

/// Reads a page of a file in the background, into memory that holds what
/// another file left there; returns the errno, how much was not moved, and
/// the memory.
pub fn read_buffer(vnode: &VnodeRef, offset: i64, len: usize) -> (i32, usize, Vec<u8>) {
    let mount = vnode.mount();
    mount.with_trans(|| Transferring::read(vnode, offset, len).finish())
}

/// Writes a buffer in the background; returns the errno and how much was not
/// moved.
pub fn write_buffer(vnode: &VnodeRef, offset: i64, data: &[u8]) -> (i32, usize) {
    let mount = vnode.mount();
    let write = || Transferring::write(vnode, offset, data).finish();
    let (error, resid, _) = mount.with_trans(write);
    (error, resid)
}
