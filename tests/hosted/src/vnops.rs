//! The vnode operations: the part that C code plays in the module.
//!
//! What `puffs_vnops.c` does for the protocol is done here: which message an
//! operation sends, which nodes it is about, what is referenced and unlocked
//! while it waits, what a node caches. They call the core by its exported C
//! functions, as C does. What NetBSD does besides for files of its own is left
//! out: what goes through devices and fifos, memory that is mapped, locks and
//! parents that the kernel keeps (`world::Hosted::can`).

use crate::kernel::{
    big::KernelLock,
    buf::{BufHold, STALE},
    cache, clock,
    component::{self, ComponentHold},
    fatal::kassert,
    lwp::{self, Limits},
    node::{self, Node, Pmp},
    vfs::MNT_WAIT,
    vnode::{Page, Vnode, VnodeRef, PAGE},
};
use puffs_rs::{
    abi::{
        self,
        consts::{MAXPATHLEN, MSGSTRUCT_MAX, VNOVAL},
        vn, Cookie, ErrorOp, Frame, Message, Payload, Req, Timespec, Vattr, VnOp, Vtype,
    },
    entry,
    kern::{
        sys::{
            self, kauth_cred, puffs_mount, puffs_msgpark, puffs_node, puffs_req, PK_PNODE_DOINACT,
            PK_PNODE_DYING, PK_PNODE_FAF, PK_PNODE_METACACHE_ATIME, PK_PNODE_METACACHE_CTIME,
            PK_PNODE_METACACHE_MTIME, PK_PNODE_METACACHE_SIZE, PK_PNODE_NOREFS, PK_PNODE_SOPEXP,
        },
        Errno, Result,
    },
};
use puffs_script::text;
use std::{
    ffi::{c_void, CStr},
    marker::PhantomData,
    ops::Range,
    ptr,
    sync::Arc,
};
use zerocopy::FromZeros;

const METACACHE: u32 = PK_PNODE_METACACHE_ATIME
    | PK_PNODE_METACACHE_CTIME
    | PK_PNODE_METACACHE_MTIME
    | PK_PNODE_METACACHE_SIZE;

/// A time to live, in ticks.
fn ticks(ttl: Timespec) -> i64 {
    ttl.sec * clock::HZ + ttl.nsec as i64 * clock::HZ / 1_000_000_000
}

/// A message of type `T`, as C code has it: a park and the memory that came
/// with it.
struct Msg<T> {
    park: *mut puffs_msgpark,
    memory: *mut u8,
    len: usize,
    holds: PhantomData<T>,
}

impl<T: Message> Msg<T> {
    /// A message with `more` bytes behind it, about the file `cookie`.
    fn new(more: usize, cookie: usize) -> Msg<T> {
        match Msg::try_new(more, cookie, true) {
            Some(msg) => msg,
            None => crate::kernel::fatal::fatal!("no message from a call that may sleep"),
        }
    }

    fn try_new(more: usize, cookie: usize, cansleep: bool) -> Option<Msg<T>> {
        Msg::of(
            (T::CLASS.into(), T::OP),
            size_of::<T>() + more,
            cookie,
            cansleep,
        )
    }
}

impl<T: Frame> Msg<T> {
    /// A message of `len` bytes of that class and operation.
    fn of((class, op): (u16, u16), len: usize, cookie: usize, cansleep: bool) -> Option<Msg<T>> {
        let (mut park, mut memory) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: places for the results.
        let error =
            unsafe { entry::puffs_msgmem_alloc(len, &mut park, &mut memory, i32::from(cansleep)) };
        if error != 0 {
            return None;
        }
        let key = ptr::without_provenance_mut(cookie);
        // SAFETY: a fresh park.
        unsafe { entry::puffs_msg_setinfo(park, class.into(), op.into(), key) };
        Some(Msg {
            park,
            memory: memory.cast(),
            len,
            holds: PhantomData,
        })
    }

    /// The message, before it is enqueued or after its reply came.
    fn body(&mut self) -> &mut T {
        // SAFETY: memory of at least that size, aligned for it; any bytes make
        // a `T`; nobody else touches it at this time.
        unsafe { &mut *self.memory.cast() }
    }

    /// The same as bytes.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: memory of that size, initialised, as in `body`.
        unsafe { std::slice::from_raw_parts_mut(self.memory, self.len) }
    }

    fn set_faf(&mut self) {
        // SAFETY: ours and not enqueued.
        unsafe { entry::puffs_msg_setfaf(self.park) };
    }

    fn set_delta(&mut self, delta: usize) {
        // SAFETY: ours and not enqueued.
        unsafe { entry::puffs_msg_setdelta(self.park, delta) };
    }

    fn set_call(
        &mut self,
        done: unsafe extern "C" fn(*mut puffs_mount, *mut puffs_req, *mut c_void),
        arg: *mut c_void,
    ) {
        // SAFETY: ours and not enqueued; the functions here take their
        // arguments.
        unsafe { entry::puffs_msg_setcall(self.park, Some(done), arg) };
    }

    fn enqueue(&mut self, pmp: &Pmp) {
        // SAFETY: a live mount; ours and not enqueued.
        unsafe { entry::puffs_msg_enqueue(pmp.raw(), self.park) };
    }

    /// Waits for the outcome.
    fn wait(&mut self, pmp: &Pmp, nodes: [*mut puffs_node; 2]) -> Result<()> {
        // SAFETY: a live mount, an enqueued park, referenced nodes or none.
        let error = unsafe { entry::puffs_msg_wait2(pmp.raw(), self.park, nodes[0], nodes[1]) };
        kassert!(
            (0..=96).contains(&error),
            "the core let errno {error} through"
        );
        Errno::check(error)
    }

    fn ask(&mut self, pmp: &Pmp, nodes: [*mut puffs_node; 2]) -> Result<()> {
        self.enqueue(pmp);
        self.wait(pmp, nodes)
    }
}

impl<T: Message + Payload> Msg<T> {
    /// The bytes behind the message.
    fn payload(&mut self, start: usize, len: usize) -> Result<&mut [u8]> {
        let start = T::DATA + start;
        self.bytes()
            .get_mut(start..start + len)
            .ok_or(Errno::EPROTO)
    }
}

impl<T> Drop for Msg<T> {
    fn drop(&mut self) {
        // SAFETY: ours, and given up.
        unsafe { entry::puffs_msgmem_release(self.park) };
    }
}

/// Functions for requests that nobody waits for. Such a function is given the
/// mount, may use it until it returns, and may sleep, which gives the kernel
/// lock up.
macro_rules! completions {
    ($($done:ident: $core:ident;)+) => {
        $(unsafe extern "C" fn $done(
            pmp: *mut puffs_mount,
            reply: *mut puffs_req,
            arg: *mut c_void,
        ) {
            lwp::pause_until(|| true);
            node::assert_pmp(pmp);
            // SAFETY: called as the core calls its own.
            unsafe { entry::$core(pmp, reply, arg) };
        })+
    };
}

completions! {
    read_done: puffs_parkdone_asyncbioread;
    write_done: puffs_parkdone_asyncbiowrite;
    poll_done: puffs_parkdone_poll;
}

const NONE: *mut puffs_node = ptr::null_mut();

/// The mount of a vnode; ENXIO if that is dead.
fn pmp_of(vnode: &Vnode) -> Result<Arc<Pmp>> {
    vnode.mount().puffs().ok_or(Errno::ENXIO)
}

fn node_of(vnode: &Vnode) -> Result<Arc<Node>> {
    vnode.node().ok_or(Errno::ENXIO)
}

/// Does the server handle the operation?
fn exists(pmp: &Pmp, op: VnOp) -> bool {
    let args = pmp.args();
    args.flags & abi::KFLAG_ALLOPS != 0 || args.vnopmask[usize::from(u16::from(op))] != 0
}

fn uses_namecache(pmp: &Pmp) -> bool {
    pmp.args().flags & abi::KFLAG_NOCACHE_NAME == 0
}

fn uses_pagecache(pmp: &Pmp) -> bool {
    pmp.args().flags & abi::KFLAG_NOCACHE_PAGE == 0
}

/// Is the server told what metadata the kernel noted down?
fn uses_metaflush(pmp: &Pmp) -> bool {
    pmp.args().flags & abi::KFLAG_NOFLUSH_META == 0
}

fn uses_ttl(pmp: &Pmp) -> bool {
    pmp.args().flags & abi::KFLAG_CACHE_FS_TTL != 0
}

/// How much data fits one message.
fn move_max(pmp: &Pmp) -> usize {
    pmp.args().maxmsglen - MSGSTRUCT_MAX
}

fn updatenode(node: *mut puffs_node, what: u32, size: i64) {
    // SAFETY: the caller has it referenced.
    unsafe { entry::puffs_updatenode(node, what as i32, size) };
}

fn touch(vnode: &Vnode, what: u32) {
    let node = vnode.node_raw();
    if !node.is_null() {
        updatenode(node, what, 0);
    }
}

const CHANGED: u32 = sys::PK_UPDATE_CTIME | sys::PK_UPDATE_MTIME;

/// Keeps a node while its vnode is unlocked.
struct NodeHold(*mut puffs_node);

impl NodeHold {
    fn new(vnode: &Vnode) -> Result<NodeHold> {
        let node = node_of(vnode)?;
        // SAFETY: referenced by its vnode, and inside its lock.
        node.with_mtx(|| unsafe { entry::puffs_referencenode(node.raw()) });
        Ok(NodeHold(node.raw()))
    }
}

impl Drop for NodeHold {
    fn drop(&mut self) {
        // SAFETY: referenced by `new`.
        unsafe { entry::puffs_releasenode(self.0) };
    }
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
        let mut flags = abi::NAMEI_MAKEENTRY;
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

/// Fills `cn` and `cn_cred` of a message.
macro_rules! name_of {
    ($pmp:expr, $msg:expr, $cn:ident, $cred:ident, $name:expr) => {{
        let body = $msg.body();
        makecn($pmp, &mut body.$cn, &mut body.$cred, $name);
    }};
}

fn makecn(pmp: &Pmp, kcn: &mut abi::Kcn, kcred: &mut abi::Kcred, name: &ComponentHold) {
    let full = pmp.args().flags & abi::KFLAG_LOOKUP_FULLPNBUF != 0;
    let (kcn, kcred) = (ptr::from_mut(kcn).cast(), ptr::from_mut(kcred).cast());
    // SAFETY: two parts of a message, and a component.
    unsafe { entry::puffs_makecn(kcn, kcred, name.raw(), i32::from(full)) };
}

pub(crate) fn credcvt(kcred: &mut abi::Kcred, cred: *mut kauth_cred) {
    // SAFETY: a part of a message, and a credential.
    unsafe { entry::puffs_credcvt(ptr::from_mut(kcred).cast(), cred) };
}

fn getvnode(vnode: &Vnode, cookie: Cookie, vtype: u32, size: i64, rdev: u64) -> Result<VnodeRef> {
    let mut vp = ptr::null_mut();
    let key = ptr::without_provenance_mut(cookie.0);
    let mp = vnode.mount().raw();
    // SAFETY: a live mount and a place for the vnode.
    Errno::check(unsafe { entry::puffs_getvnode(mp, key, vtype, size, rdev, &mut vp) })?;
    Ok(VnodeRef::adopt(vp))
}

fn newnode(
    dir: &Vnode,
    name: &ComponentHold,
    cookie: Cookie,
    vtype: Vtype,
    rdev: u64,
) -> Result<VnodeRef> {
    let mut vp = ptr::null_mut();
    let key = ptr::without_provenance_mut(cookie.0);
    let (mp, dvp) = (dir.mount().raw(), dir.raw());
    // SAFETY: all live; a place for the vnode.
    let error =
        unsafe { entry::puffs_newnode(mp, dvp, &mut vp, key, name.raw(), vtype.into(), rdev) };
    Errno::check(error)?;
    Ok(VnodeRef::adopt(vp))
}

/// Tells the server of nonsense.
fn senderr(pmp: &Pmp, kind: ErrorOp, error: Errno, text: &CStr, cookie: Cookie) {
    let key = ptr::without_provenance_mut(cookie.0);
    let kind = i32::from(u16::from(kind));
    // SAFETY: a live mount and a C string.
    unsafe { entry::puffs_senderr(pmp.raw(), kind, error.get(), text.as_ptr(), key) };
}

/// The kernel could not use a file of the server's: undoes what the server did
/// for it (C: `puffs_abortbutton`).
fn abort(pmp: &Pmp, remove: Option<(VnOp, &Vnode, &ComponentHold)>, cookie: Cookie) {
    match remove {
        Some((VnOp::Mkdir, dir, name)) => {
            let mut msg = Msg::<vn::Rmdir>::new(0, dir.cookie());
            name_of!(pmp, msg, cn, cn_cred, name);
            msg.body().cookie_targ = cookie;
            // Nobody is interested.
            let _ = msg.ask(pmp, [NONE; 2]);
        }
        Some((_, dir, name)) => {
            let mut msg = Msg::<vn::Remove>::new(0, dir.cookie());
            name_of!(pmp, msg, cn, cn_cred, name);
            msg.body().cookie_targ = cookie;
            // Nobody is interested.
            let _ = msg.ask(pmp, [NONE; 2]);
        }
        None => {}
    }
    if exists(pmp, VnOp::Inactive) && pmp.args().flags & abi::KFLAG_IAONDEMAND == 0 {
        // Nobody is interested.
        let _ = Msg::<vn::Inactive>::new(0, cookie.0).ask(pmp, [NONE; 2]);
    }
    send_reclaim(pmp, cookie.0, 1);
}

fn send_reclaim(pmp: &Pmp, cookie: usize, nlookup: i32) {
    if exists(pmp, VnOp::Reclaim) {
        let mut msg = Msg::<vn::Reclaim>::new(0, cookie);
        msg.body().nlookup = nlookup;
        msg.set_faf();
        msg.enqueue(pmp);
    }
}

/// VOP_LOOKUP: `dir` is locked, the result is not.
pub(crate) fn lookup(dir: &VnodeRef, name: &Name<'_>) -> Result<VnodeRef> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(dir)?;
    let held = name.hold();
    if held.component() == b"." {
        return Ok(dir.again());
    }
    if uses_namecache(&pmp) {
        match cache::lookup(dir.handle(), held.component()) {
            Some(Some(found)) => {
                let over = uses_ttl(&pmp)
                    && found
                        .node()
                        .is_some_and(|node| node.with(|state| state.named <= clock::now_ticks()));
                if !over {
                    return Ok(found);
                }
                cache::purge(found.handle());
            }
            Some(None) if !uses_ttl(&pmp) => return Err(Errno::ENOENT),
            _ => {}
        }
    }
    let dotdot = held.flags() & abi::NAMEI_ISDOTDOT != 0;
    let mut msg = Msg::<vn::Lookup>::new(0, dir.cookie());
    name_of!(&pmp, msg, cn, cn_cred, &held);
    let node = dir.node_raw();
    if dotdot {
        dir.lock_away();
    }
    let found = msg
        .ask(&pmp, [node, NONE])
        .and_then(|()| found_by(&pmp, dir, &mut msg));
    if dotdot {
        dir.lock_back();
    }
    let error = match found {
        Ok(found) => {
            if uses_namecache(&pmp) {
                cache::enter(dir.handle(), held.component(), Some(found.handle()));
            }
            if let Some(node) = found.node() {
                let ticks = ticks(msg.body().cn_ttl);
                node.with(|state| {
                    state.nlookup += 1;
                    state.named = clock::now_ticks() + ticks;
                    state.expires = state.named;
                });
            }
            return Ok(found);
        }
        Err(error) => error,
    };
    let creates = matches!(name.op, abi::NameiOp::Create | abi::NameiOp::Rename) && name.last;
    if error == Errno::ENOENT && !creates && uses_namecache(&pmp) && !uses_ttl(&pmp) {
        cache::enter(dir.handle(), held.component(), None);
    }
    Err(error)
}

fn found_by(pmp: &Pmp, dir: &VnodeRef, msg: &mut Msg<vn::Lookup>) -> Result<VnodeRef> {
    let (cookie, vtype) = (msg.body().newnode, msg.body().vtype);
    let (size, rdev) = (msg.body().size, msg.body().rdev);
    if cookie.0 == dir.cookie() {
        let text = c"lookup produced parent cookie";
        senderr(pmp, ErrorOp::Lookup, Errno::EINVAL, text, cookie);
        return Err(Errno::EPROTO);
    }
    getvnode(dir, cookie, vtype, size, rdev).inspect_err(|_| abort(pmp, None, cookie))
}

/// VOP_CREATE, VOP_MKDIR and VOP_MKNOD: `dir` is locked, the result is not.
pub(crate) fn create(dir: &VnodeRef, name: &Name<'_>, va: &Vattr) -> Result<VnodeRef> {
    match Vtype::try_from(va.vtype) {
        Ok(Vtype::Reg) => make::<vn::Create>(
            dir,
            name,
            va,
            |msg| {
                let body = msg.body();
                (&mut body.cn, &mut body.cn_cred, &mut body.va)
            },
            |msg| (msg.body().newnode, msg.body().cn_ttl),
        ),
        Ok(Vtype::Dir) => make::<vn::Mkdir>(
            dir,
            name,
            va,
            |msg| {
                let body = msg.body();
                (&mut body.cn, &mut body.cn_cred, &mut body.va)
            },
            |msg| (msg.body().newnode, msg.body().cn_ttl),
        ),
        _ => make::<vn::Mknod>(
            dir,
            name,
            va,
            |msg| {
                let body = msg.body();
                (&mut body.cn, &mut body.cn_cred, &mut body.va)
            },
            |msg| (msg.body().newnode, msg.body().cn_ttl),
        ),
    }
}

fn make<T: Message>(
    dir: &VnodeRef,
    name: &Name<'_>,
    va: &Vattr,
    parts: impl Fn(&mut Msg<T>) -> (&mut abi::Kcn, &mut abi::Kcred, &mut Vattr),
    made: impl Fn(&mut Msg<T>) -> (Cookie, Timespec),
) -> Result<VnodeRef> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(dir)?;
    let held = name.hold();
    let mut msg = Msg::<T>::new(0, dir.cookie());
    let (kcn, kcred, attributes) = parts(&mut msg);
    makecn(&pmp, kcn, kcred, &held);
    *attributes = *va;
    msg.ask(&pmp, [dir.node_raw(), NONE])?;
    let (cookie, ttl) = made(&mut msg);
    let vtype = Vtype::try_from(va.vtype).unwrap_or(Vtype::Bad);
    named(&pmp, dir, &held, (cookie, ttl), vtype, va.rdev)
}

fn named(
    pmp: &Pmp,
    dir: &VnodeRef,
    name: &ComponentHold,
    (cookie, ttl): (Cookie, Timespec),
    vtype: Vtype,
    rdev: u64,
) -> Result<VnodeRef> {
    let op = if vtype == Vtype::Dir {
        VnOp::Mkdir
    } else {
        VnOp::Create
    };
    let made = newnode(dir, name, cookie, vtype, rdev)
        .inspect_err(|_| abort(pmp, Some((op, dir, name)), cookie))?;
    if let Some(node) = made.node() {
        node.with(|state| {
            state.nlookup += 1;
            state.named = clock::now_ticks() + ticks(ttl);
            state.expires = state.named;
        });
    }
    Ok(made)
}

/// VOP_SYMLINK: `dir` is locked, the result is not.
pub(crate) fn symlink(
    dir: &VnodeRef,
    name: &Name<'_>,
    va: &Vattr,
    target: &str,
) -> Result<VnodeRef> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(dir)?;
    let held = name.hold();
    let mut msg = Msg::<vn::Symlink>::new(0, dir.cookie());
    name_of!(&pmp, msg, cn, cn_cred, &held);
    let body = msg.body();
    body.va = *va;
    let room = body.link.len() - 1;
    for (to, from) in body.link[..room].iter_mut().zip(text::bytes(target)) {
        *to = from;
    }
    msg.ask(&pmp, [dir.node_raw(), NONE])?;
    let made = (msg.body().newnode, msg.body().cn_ttl);
    named(&pmp, dir, &held, made, Vtype::Lnk, 0)
}

/// VOP_READLINK.
pub(crate) fn readlink(vnode: &VnodeRef, cred: *mut kauth_cred) -> Result<Vec<u8>> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    let mut msg = Msg::<vn::Readlink>::new(0, vnode.cookie());
    credcvt(&mut msg.body().cred, cred);
    msg.body().linklen = MAXPATHLEN;
    msg.set_delta(MAXPATHLEN);
    msg.ask(&pmp, [vnode.node_raw(), NONE])?;
    let len = msg.body().linklen;
    msg.body()
        .link
        .get(..len)
        .map(<[u8]>::to_vec)
        .ok_or(Errno::EPROTO)
}

/// VOP_REMOVE and VOP_RMDIR: both locked; `vnode` comes back unlocked and
/// released, `dir` locked.
pub(crate) fn remove(dir: &VnodeRef, vnode: VnodeRef, name: &Name<'_>, op: VnOp) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let held = name.hold();
    let done = if op == VnOp::Rmdir {
        forget::<vn::Rmdir>(dir, &vnode, &held, |msg| {
            let body = msg.body();
            (&mut body.cn, &mut body.cn_cred, &mut body.cookie_targ)
        })
    } else {
        forget::<vn::Remove>(dir, &vnode, &held, |msg| {
            let body = msg.body();
            (&mut body.cn, &mut body.cn_cred, &mut body.cookie_targ)
        })
    };
    touch(dir, CHANGED);
    if done.is_ok() {
        cache::purge_name(dir.handle(), held.component());
        touch(&vnode, sys::PK_UPDATE_CTIME);
    }
    drop(vnode);
    done
}

fn forget<T: Message>(
    dir: &VnodeRef,
    vnode: &VnodeRef,
    name: &ComponentHold,
    parts: impl Fn(&mut Msg<T>) -> (&mut abi::Kcn, &mut abi::Kcred, &mut Cookie),
) -> Result<()> {
    let started = pmp_of(dir).and_then(|pmp| {
        let nodes = (NodeHold::new(dir)?, NodeHold::new(vnode)?);
        Ok((pmp, nodes))
    });
    let (pmp, nodes) = match started {
        Ok(started) => started,
        Err(error) => {
            Vnode::unlock(vnode);
            return Err(error);
        }
    };
    let mut msg = Msg::<T>::new(0, dir.cookie());
    let (kcn, kcred, target) = parts(&mut msg);
    makecn(&pmp, kcn, kcred, name);
    *target = Cookie(vnode.cookie());
    msg.enqueue(&pmp);
    // The server may want to know something of either.
    Vnode::unlock(vnode);
    Vnode::unlock(dir);
    let done = msg.wait(&pmp, [nodes.0 .0, nodes.1 .0]);
    // It waits and takes a dead one too, so it does not fail.
    let _ = dir.lock(true, true);
    done
}

/// VOP_LINK: `dir` is locked.
pub(crate) fn link(dir: &VnodeRef, vnode: &VnodeRef, name: &Name<'_>) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(dir)?;
    let held = name.hold();
    let mut msg = Msg::<vn::Link>::new(0, dir.cookie());
    name_of!(&pmp, msg, cn, cn_cred, &held);
    msg.body().cookie_targ = Cookie(vnode.cookie());
    msg.ask(&pmp, [dir.node_raw(), vnode.node_raw()])?;
    cache::purge_name(dir.handle(), held.component());
    touch(vnode, sys::PK_UPDATE_CTIME);
    touch(dir, CHANGED);
    Ok(())
}

/// VOP_RENAME: nothing is locked here but `to_dir`, which comes back locked.
pub(crate) fn rename(
    from_dir: &VnodeRef,
    vnode: &VnodeRef,
    from: &Name<'_>,
    to_dir: &VnodeRef,
    over: Option<&VnodeRef>,
    to: &Name<'_>,
) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(from_dir)?;
    let (held_from, held_to) = (from.hold(), to.hold());
    let mut msg = Msg::<vn::Rename>::new(0, from_dir.cookie());
    msg.body().cookie_src = Cookie(vnode.cookie());
    msg.body().cookie_targdir = Cookie(to_dir.cookie());
    msg.body().cookie_targ = over.map_or(Cookie::NULL, |over| Cookie(over.cookie()));
    name_of!(&pmp, msg, cn_src, cn_src_cred, &held_from);
    name_of!(&pmp, msg, cn_targ, cn_targ_cred, &held_to);
    msg.ask(&pmp, [from_dir.node_raw(), NONE])?;
    cache::purge_name(from_dir.handle(), held_from.component());
    cache::purge_name(to_dir.handle(), held_to.component());
    touch(vnode, sys::PK_UPDATE_CTIME);
    touch(from_dir, CHANGED);
    touch(to_dir, CHANGED);
    Ok(())
}

/// VOP_OPEN.
pub(crate) fn open(vnode: &VnodeRef, mode: i32, cred: *mut kauth_cred) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    if !exists(&pmp, VnOp::Open) {
        return Ok(());
    }
    let mut msg = Msg::<vn::Open>::new(0, vnode.cookie());
    msg.body().mode = mode;
    credcvt(&mut msg.body().cred, cred);
    msg.ask(&pmp, [vnode.node_raw(), NONE])
}

/// VOP_CLOSE: nobody waits.
pub(crate) fn close(vnode: &VnodeRef, mode: i32, cred: *mut kauth_cred) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    if !exists(&pmp, VnOp::Close) {
        return Ok(());
    }
    let mut msg = Msg::<vn::Close>::new(0, vnode.cookie());
    msg.set_faf();
    msg.body().fflag = mode;
    credcvt(&mut msg.body().cred, cred);
    msg.enqueue(&pmp);
    Ok(())
}

/// VOP_ACCESS.
pub(crate) fn access(vnode: &VnodeRef, mode: i32, cred: *mut kauth_cred) -> Result<()> {
    const VWRITE: i32 = 0o200;
    const EROFS: i32 = 30;

    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    let holds_data = [Vtype::Dir, Vtype::Lnk, Vtype::Reg].map(|vtype| vtype as u32);
    if mode & VWRITE != 0 && holds_data.contains(&vnode.vtype()) && !exists(&pmp, VnOp::Write) {
        return Errno::check(EROFS);
    }
    if !exists(&pmp, VnOp::Access) {
        return Ok(());
    }
    let mut msg = Msg::<vn::Access>::new(0, vnode.cookie());
    msg.body().mode = mode;
    credcvt(&mut msg.body().cred, cred);
    msg.ask(&pmp, [vnode.node_raw(), NONE])
}

/// VOP_SEEK.
pub(crate) fn seek(vnode: &VnodeRef, from: i64, to: i64, cred: *mut kauth_cred) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    if !exists(&pmp, VnOp::Seek) {
        return Ok(());
    }
    // The vnode is not locked: it may be reclaimed meanwhile.
    let node = NodeHold::new(vnode)?;
    let mut msg = Msg::<vn::Seek>::new(0, vnode.cookie());
    msg.body().oldoff = from;
    msg.body().newoff = to;
    credcvt(&mut msg.body().cred, cred);
    msg.ask(&pmp, [node.0, NONE])
}

/// Attributes that say nothing.
pub fn vattr_null() -> Vattr {
    let time = Timespec {
        sec: i64::from(VNOVAL),
        nsec: VNOVAL as isize,
    };
    let mut va = Vattr::new_zeroed();
    va.vtype = Vtype::Non.into();
    va.mode = VNOVAL as u32;
    va.nlink = VNOVAL as u32;
    va.uid = VNOVAL as u32;
    va.gid = VNOVAL as u32;
    va.fsid = VNOVAL as u64;
    va.fileid = VNOVAL as u64;
    va.size = VNOVAL as u64;
    va.blocksize = VNOVAL as isize;
    va.atime = time;
    va.mtime = time;
    va.ctime = time;
    va.birthtime = time;
    va.gen = VNOVAL as usize;
    va.flags = VNOVAL as usize;
    va.rdev = VNOVAL as u64;
    va.bytes = VNOVAL as u64;
    va.filerev = VNOVAL as u64;
    va
}

/// VOP_GETATTR.
pub(crate) fn getattr(vnode: &VnodeRef, cred: *mut kauth_cred) -> Result<Vattr> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    let node = node_of(vnode)?;
    let mut msg = Msg::<vn::Getattr>::new(0, vnode.cookie());
    msg.body().va = vattr_null();
    credcvt(&mut msg.body().cred, cred);
    msg.ask(&pmp, [vnode.node_raw(), NONE])?;
    let mut va = msg.body().va;
    // What the server does not know yet.
    let flushes = uses_metaflush(&pmp);
    node.with(|state| {
        let cached = |bit| flushes && state.stat & bit != 0;
        let time = |i: usize| Timespec {
            sec: state.mctimes[i].0,
            nsec: state.mctimes[i].1 as isize,
        };
        if cached(PK_PNODE_METACACHE_ATIME) {
            va.atime = time(0);
        }
        if cached(PK_PNODE_METACACHE_CTIME) {
            va.ctime = time(1);
        }
        if cached(PK_PNODE_METACACHE_MTIME) {
            va.mtime = time(2);
        }
        if cached(PK_PNODE_METACACHE_SIZE) {
            va.size = state.mcsize as u64;
        }
    });
    let cached = flushes && node.stat() & PK_PNODE_METACACHE_SIZE != 0;
    if va.size != VNOVAL as u64 && !cached {
        vnode.set_size(va.size as i64);
        node.with(|state| state.serversize = va.size as i64);
    }
    Ok(va)
}

/// VOP_SETATTR.
pub(crate) fn setattr(vnode: &VnodeRef, va: &Vattr, cred: *mut kauth_cred) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    dosetattr(vnode, va, cred, false)?;
    if va.size != VNOVAL as u64 {
        vnode.set_size(va.size as i64);
    }
    Ok(())
}

fn dosetattr(vnode: &Arc<Vnode>, va: &Vattr, cred: *mut kauth_cred, faf: bool) -> Result<()> {
    let pmp = pmp_of(vnode)?;
    let node = node_of(vnode)?;
    let mut va = *va;
    // What is cached goes to the server with the rest.
    let flushes = uses_metaflush(&pmp);
    node.with(|state| {
        if !flushes {
            return;
        }
        let stat = state.stat;
        let time = |i: usize| Timespec {
            sec: state.mctimes[i].0,
            nsec: state.mctimes[i].1 as isize,
        };
        let unset = |time: Timespec| time.sec == i64::from(VNOVAL);
        if stat & PK_PNODE_METACACHE_ATIME != 0 && unset(va.atime) {
            va.atime = time(0);
        }
        if stat & PK_PNODE_METACACHE_CTIME != 0 && unset(va.ctime) {
            va.ctime = time(1);
        }
        if stat & PK_PNODE_METACACHE_MTIME != 0 && unset(va.mtime) {
            va.mtime = time(2);
        }
        if stat & PK_PNODE_METACACHE_SIZE != 0 && va.size == VNOVAL as u64 {
            va.size = state.mcsize as u64;
        }
        state.stat &= !METACACHE;
    });
    let mut msg = Msg::<vn::Setattr>::new(0, vnode.cookie());
    msg.body().va = va;
    credcvt(&mut msg.body().cred, cred);
    if faf {
        msg.set_faf();
    }
    msg.enqueue(&pmp);
    if !faf {
        msg.wait(&pmp, [vnode.node_raw(), NONE])?;
    }
    if va.size != VNOVAL as u64 {
        node.with(|state| state.serversize = va.size as i64);
    }
    Ok(())
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
    const DIRENT_MIN: usize = 16;

    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    let mut resid = room.min(move_max(&pmp));
    let mut cookies_max = 0;
    if cookies {
        resid /= 2;
        cookies_max = resid / DIRENT_MIN;
    }
    let dentoff = (cookies_max * 8).next_multiple_of(16);
    let mut msg = Msg::<vn::Readdir>::new(resid + dentoff, vnode.cookie());
    credcvt(&mut msg.body().cred, cred);
    msg.body().offset = offset;
    msg.body().resid = resid;
    msg.body().ncookies = cookies_max;
    msg.body().dentoff = dentoff;
    msg.set_delta(resid + dentoff);
    msg.ask(&pmp, [vnode.node_raw(), NONE])?;
    let (left, ncookies) = (msg.body().resid, msg.body().ncookies);
    let moved = resid.checked_sub(left).ok_or(Errno::EPROTO)?;
    kassert!(
        ncookies <= cookies_max,
        "the core let {ncookies} cookies through"
    );
    let entries = msg.payload(dentoff, moved)?.to_vec();
    let offsets = msg.payload(0, ncookies * 8)?;
    let cookies = offsets.chunks_exact(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        u64::from_ne_bytes(bytes)
    });
    let cookies = cookies.collect();
    Ok(Listing {
        eof: msg.body().eofflag != 0 || moved == 0,
        offset: msg.body().offset,
        entries,
        cookies,
    })
}

/// VOP_READ past the page cache.
fn read_direct(
    vnode: &VnodeRef,
    mut offset: i64,
    len: usize,
    cred: *mut kauth_cred,
) -> Result<Vec<u8>> {
    let pmp = pmp_of(vnode)?;
    let mut data = Vec::new();
    while data.len() < len {
        let want = (len - data.len()).min(move_max(&pmp));
        let mut msg = Msg::<vn::Read>::new(want, vnode.cookie());
        msg.body().offset = offset;
        msg.body().resid = want;
        credcvt(&mut msg.body().cred, cred);
        msg.set_delta(want);
        msg.ask(&pmp, [vnode.node_raw(), NONE])?;
        let left = msg.body().resid;
        let moved = want.checked_sub(left).ok_or(Errno::EPROTO)?;
        data.extend_from_slice(msg.payload(0, moved)?);
        offset += moved as i64;
        if left != 0 {
            break;
        }
    }
    Ok(data)
}

/// VOP_READ, by way of the page cache where the server allows it.
pub(crate) fn read(
    vnode: &VnodeRef,
    offset: i64,
    len: usize,
    cred: *mut kauth_cred,
) -> Result<Vec<u8>> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    if len == 0 {
        return Ok(Vec::new());
    }
    if !uses_pagecache(&pmp) || vnode.vtype() != Vtype::Reg as u32 {
        return read_direct(vnode, offset, len, cred);
    }
    let end = (offset + len as i64).min(vnode.size());
    let mut data = Vec::new();
    let mut at = offset;
    while at < end {
        let page = at as u64 / PAGE as u64;
        let last = (end as u64).div_ceil(PAGE as u64);
        getpages(vnode, page..last)?;
        let start = (at as u64 % PAGE as u64) as usize;
        let more = (PAGE - start).min((end - at) as usize);
        vnode.pages(|pages| {
            if let Some(page) = pages.get(&page) {
                data.extend_from_slice(&page.data[start..start + more]);
            }
        });
        at += more as i64;
    }
    touch(vnode, sys::PK_UPDATE_ATIME);
    Ok(data)
}

fn write_direct(
    vnode: &VnodeRef,
    mut offset: i64,
    data: &[u8],
    cred: *mut kauth_cred,
) -> Result<usize> {
    let pmp = pmp_of(vnode)?;
    let mut done = 0;
    while done < data.len() {
        let part = &data[done..data.len().min(done + move_max(&pmp))];
        let mut msg = Msg::<vn::Write>::new(part.len(), vnode.cookie());
        msg.body().offset = offset;
        msg.body().resid = part.len();
        credcvt(&mut msg.body().cred, cred);
        msg.payload(0, part.len())?.copy_from_slice(part);
        msg.ask(&pmp, [vnode.node_raw(), NONE])?;
        let left = msg.body().resid;
        let moved = part.len().checked_sub(left).ok_or(Errno::EPROTO)?;
        done += moved;
        offset += moved as i64;
        if left != 0 {
            return Err(Errno::EIO);
        }
    }
    let mut what = CHANGED;
    if offset > vnode.size() {
        vnode.set_size(offset);
        what |= sys::PK_UPDATE_SIZE;
    }
    let node = node_of(vnode)?;
    updatenode(node.raw(), what, vnode.size());
    tell_size(&pmp, vnode, what)?;
    Ok(done)
}

/// VOP_WRITE, by way of the page cache where the server allows it.
pub(crate) fn write(
    vnode: &VnodeRef,
    offset: i64,
    data: &[u8],
    cred: *mut kauth_cred,
) -> Result<usize> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    if data.is_empty() {
        return Ok(0);
    }
    if !uses_pagecache(&pmp) || vnode.vtype() != Vtype::Reg as u32 {
        return write_direct(vnode, offset, data, cred);
    }
    let node = node_of(vnode)?;
    node.sizemtx.enter();
    let written = write_pages(&pmp, vnode, &node, offset, data);
    node.sizemtx.exit();
    written
}

fn write_pages(
    pmp: &Pmp,
    vnode: &VnodeRef,
    node: &Node,
    offset: i64,
    data: &[u8],
) -> Result<usize> {
    let size = vnode.size();
    let end = offset + data.len() as i64;
    let mut done = 0;
    while done < data.len() {
        let at = offset as u64 + done as u64;
        let page = at / PAGE as u64;
        let start = (at % PAGE as u64) as usize;
        let more = (PAGE - start).min(data.len() - done);
        let known = (page * PAGE as u64) < size as u64;
        if known && more < PAGE {
            getpages(vnode, page..page + 1)?;
        }
        vnode.pages(|pages| {
            let page = pages.entry(page).or_insert_with(|| Page {
                data: vec![0; PAGE].into_boxed_slice(),
                dirty: false,
            });
            page.data[start..start + more].copy_from_slice(&data[done..done + more]);
            page.dirty = true;
        });
        done += more;
    }
    let mut what = CHANGED;
    if end > size {
        vnode.set_size(end);
        what |= sys::PK_UPDATE_SIZE;
    }
    updatenode(node.raw(), what, vnode.size());
    tell_size(pmp, vnode, what)?;
    if pmp.args().flags & abi::KFLAG_WTCACHE != 0 {
        let first = offset as u64 / PAGE as u64;
        putpages(vnode, first..(end as u64).div_ceil(PAGE as u64), Put::Sync)?;
    }
    Ok(done)
}

/// A server that is not told what the kernel noted down is told of a size at
/// once.
fn tell_size(pmp: &Pmp, vnode: &VnodeRef, what: u32) -> Result<()> {
    if uses_metaflush(pmp) || what & sys::PK_UPDATE_SIZE == 0 {
        return Ok(());
    }
    let mut va = vattr_null();
    va.size = vnode.size() as u64;
    dosetattr(vnode, &va, component::fscred(), false)
}

/// VOP_GETPAGES: sees to it that the first of the pages is there, and some
/// more. What the server has not goes over what another file left in memory.
fn getpages(vnode: &VnodeRef, pages: Range<u64>) -> Result<()> {
    let pmp = pmp_of(vnode)?;
    let max = (move_max(&pmp) / PAGE).clamp(1, 16) as u64;
    let missing = vnode.pages(|there| {
        let run = pages.clone().take_while(|page| !there.contains_key(page));
        run.take(max as usize).count() as u64
    });
    if missing == 0 {
        return Ok(());
    }
    let size = vnode.size() as u64;
    let start = pages.start * PAGE as u64;
    let len = (missing as usize * PAGE).min(size.saturating_sub(start) as usize);
    let buf = BufHold::new(vec![STALE; len.max(1)]);
    strategy(vnode, &buf, Transfer::Read, start as i64, true);
    let (error, resid) = buf.wait();
    Errno::check(error)?;
    // The rest is what the server does not have: a hole, or not written yet.
    let mut bytes = buf.bytes()[..len.max(1) - resid].to_vec();
    bytes.resize(missing as usize * PAGE, 0);
    vnode.pages(|there| {
        for (i, chunk) in bytes.chunks(PAGE).enumerate() {
            let data = chunk.to_vec();
            there.entry(pages.start + i as u64).or_insert(Page {
                data: data.into_boxed_slice(),
                dirty: false,
            });
        }
    });
    Ok(())
}

/// What becomes of pages that are written back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// They stay, and nobody waits for the writing... but the buffers, so that
    /// they can be freed.
    Clean,
    /// They stay.
    Sync,
    /// They go.
    Free,
}

/// VOP_PUTPAGES: writes the dirty pages of a range back.
pub(crate) fn putpages(vnode: &Arc<Vnode>, range: Range<u64>, how: Put) -> Result<()> {
    let max = pmp_of(vnode).map_or(1, |pmp| (move_max(&pmp) / PAGE).clamp(1, 16));
    let mut result = Ok(());
    let mut bufs = Vec::new();
    let mut next = range.start;
    loop {
        // A run of dirty pages, as long as a buffer may be.
        let run: Vec<(u64, Vec<u8>)> = vnode.pages(|pages| {
            let mut run: Vec<(u64, Vec<u8>)> = Vec::new();
            for (&number, page) in pages.range_mut(next..range.end) {
                let fits = run.last().is_none_or(|(last, _)| last + 1 == number);
                if !fits || run.len() == max {
                    break;
                }
                if page.dirty {
                    page.dirty = false;
                    run.push((number, page.data.to_vec()));
                } else if !run.is_empty() {
                    break;
                }
            }
            run
        });
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else {
            break;
        };
        let (first, last) = (*first, *last);
        next = last + 1;
        let start = first * PAGE as u64;
        let end = (next * PAGE as u64).min(vnode.size().max(0) as u64);
        if end <= start {
            continue;
        }
        let mut data: Vec<u8> = run.into_iter().flat_map(|(_, data)| data).collect();
        data.truncate((end - start) as usize);
        let buf = BufHold::new(data);
        strategy(vnode, &buf, Transfer::Write, start as i64, true);
        bufs.push((first..next, buf));
    }
    for (pages, buf) in bufs {
        let (error, _) = buf.wait();
        if let Err(error) = Errno::check(error) {
            result = Err(error);
            // As `uvm_aio_aiodone_pages`: another error is taken to be there
            // for good, and the data is lost.
            if error == Errno::ENOMEM {
                vnode.pages(|there| {
                    for (_, page) in there.range_mut(pages) {
                        page.dirty = true;
                    }
                });
            }
        }
    }
    if how == Put::Free && result.is_ok() {
        vnode.pages(|pages| pages.retain(|page, _| !range.contains(page)));
    }
    result
}

/// Which way the data goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transfer {
    /// From the server.
    Read,
    /// To the server.
    Write,
}

/// VOP_STRATEGY: moves a buffer; with `background` by a completion that the
/// core runs.
pub(crate) fn strategy(
    vnode: &Arc<Vnode>,
    buf: &BufHold,
    transfer: Transfer,
    offset: i64,
    background: bool,
) {
    let _kernel = KernelLock::enter_for_fs();
    let (pmp, node) = match (pmp_of(vnode), node_of(vnode)) {
        (Ok(pmp), Ok(node)) => (pmp, node),
        _ => return buf.fail(Errno::ENXIO.get()),
    };
    if node.stat() & PK_PNODE_DYING != 0 && transfer == Transfer::Write {
        return buf.succeed(0);
    }
    let faf = transfer == Transfer::Write && (vnode.is_dying() || node.stat() & PK_PNODE_FAF != 0);
    let count = buf.bytes().len();
    kassert!(count <= move_max(&pmp), "strategy of {count} bytes");
    match transfer {
        Transfer::Read => {
            let Some(mut msg) = Msg::<vn::Read>::try_new(count, vnode.cookie(), !faf) else {
                return buf.fail(Errno::ENOMEM.get());
            };
            msg.body().offset = offset;
            msg.body().resid = count;
            credcvt(&mut msg.body().cred, component::fscred());
            msg.set_delta(count);
            kassert!(background, "reads of this kernel run in the background");
            msg.set_call(read_done, buf.raw().cast());
            msg.enqueue(&pmp);
        }
        Transfer::Write => {
            let Some(mut msg) = Msg::<vn::Write>::try_new(count, vnode.cookie(), !faf) else {
                return buf.fail(Errno::ENOMEM.get());
            };
            msg.body().offset = offset;
            msg.body().resid = count;
            credcvt(&mut msg.body().cred, component::fscred());
            if let Ok(room) = msg.payload(0, count) {
                room.copy_from_slice(buf.bytes());
            }
            if faf {
                msg.set_faf();
            } else if background {
                msg.set_call(write_done, buf.raw().cast());
            }
            let outcome = msg.ask(&pmp, [node.raw(), NONE]);
            if background && !faf {
                return;
            }
            match outcome {
                Err(error) => buf.fail(error.get()),
                Ok(()) if faf => buf.succeed(0),
                Ok(()) => {
                    let left = msg.body().resid;
                    if left == 0 {
                        buf.succeed(0);
                    } else {
                        buf.fail(Errno::EIO.get());
                    }
                }
            }
        }
    }
}

/// Writes back what is cached of a vnode (C: `flushvncache`).
fn flush(vnode: &Arc<Vnode>, wait: bool) -> Result<()> {
    let node = node_of(vnode)?;
    let stat = node.stat();
    if stat & METACACHE != 0 && stat & PK_PNODE_DYING == 0 {
        dosetattr(vnode, &vattr_null(), component::fscred(), !wait)?;
    }
    putpages(
        vnode,
        0..u64::MAX,
        if wait { Put::Sync } else { Put::Clean },
    )
}

/// VOP_FSYNC: the vnode is locked.
pub(crate) fn fsync(vnode: &Arc<Vnode>, cred: *mut kauth_cred, wait: bool) -> Result<()> {
    let _kernel = KernelLock::enter_for_fs();
    let pmp = pmp_of(vnode)?;
    let node = node_of(vnode)?;
    if wait {
        node.sizemtx.enter();
    } else if !node.sizemtx.try_enter() {
        return Err(Errno::EBUSY);
    }
    let synced = flush(vnode, wait).and_then(|()| {
        if !exists(&pmp, VnOp::Fsync) || node.stat() & PK_PNODE_DYING != 0 {
            return Ok(());
        }
        let mut msg = Msg::<vn::Fsync>::new(0, vnode.cookie());
        credcvt(&mut msg.body().cred, cred);
        msg.body().flags = if wait { MNT_WAIT } else { 0 };
        if !wait || vnode.is_dying() {
            msg.set_faf();
        }
        msg.ask(&pmp, [node.raw(), NONE])
    });
    node.sizemtx.exit();
    synced
}

/// VOP_INACTIVE: the vnode is locked. True if it is to be reclaimed.
pub(crate) fn inactive(vnode: &Arc<Vnode>) -> bool {
    if vnode.vtype() == Vtype::Non as u32 {
        return false;
    }
    let (Ok(pmp), Ok(node)) = (pmp_of(vnode), node_of(vnode)) else {
        return false;
    };
    node.sizemtx.enter();
    let on_demand = pmp.args().flags & abi::KFLAG_IAONDEMAND != 0;
    let all = pmp.args().flags & abi::KFLAG_ALLOPS != 0;
    let wanted = !on_demand || all || node.stat() & PK_PNODE_DOINACT != 0;
    if exists(&pmp, VnOp::Inactive) && wanted {
        // Nobody is interested in what goes wrong.
        let _ = flush(vnode, false);
        let mut msg = Msg::<vn::Inactive>::new(0, vnode.cookie());
        let _ = msg.ask(&pmp, [node.raw(), NONE]);
    }
    let recycle = node.with(|state| {
        state.stat &= !PK_PNODE_DOINACT;
        let gone = state.stat & PK_PNODE_NOREFS != 0;
        if gone {
            state.stat |= PK_PNODE_DYING;
        }
        gone
    });
    let recycle = recycle || expire(&pmp, vnode, &node);
    node.sizemtx.exit();
    recycle
}

/// A node whose time to live is over goes at once, another one later.
fn expire(pmp: &Pmp, vnode: &Vnode, node: &Node) -> bool {
    if !uses_ttl(pmp) || vnode.is_root() {
        return false;
    }
    let now = clock::now_ticks();
    let (expires, queued) = node.with(|state| (state.expires, state.stat & PK_PNODE_SOPEXP != 0));
    if queued {
        return false;
    }
    if expires <= now {
        node.with(|state| state.stat |= PK_PNODE_DYING);
        return true;
    }
    if pmp.queue_expiry(expires, node.cookie()) {
        node.with(|state| state.stat |= PK_PNODE_SOPEXP);
    }
    false
}

/// Writes back before a reclaim; what cannot be written is lost.
pub(crate) fn flush_for_reclaim(vnode: &Arc<Vnode>) {
    // Twice, as vinvalbuf(9) is called: the second time gives up.
    let _ = putpages(vnode, 0..u64::MAX, Put::Free);
    vnode.pages(|pages| pages.clear());
}

/// VOP_RECLAIM: the vnode is locked and comes back unlocked.
pub(crate) fn reclaim(vnode: &Arc<Vnode>) {
    let pmp = pmp_of(vnode);
    let nlookup = vnode
        .node()
        .map_or(0, |node| node.with(|state| state.nlookup));
    Vnode::unlock(vnode);
    cache::purge(vnode.handle());
    if let Ok(pmp) = pmp {
        if vnode.is_root() {
            pmp.forget_root();
        } else if vnode.vtype() != Vtype::Non as u32 {
            send_reclaim(&pmp, vnode.cookie(), nlookup);
        }
    }
    // SAFETY: it is being reclaimed.
    unsafe { entry::puffs_putvnode(vnode.raw()) };
}

/// `poll(2)` adds these to what its caller wants.
const POLL_ALWAYS: i32 = (sys::PK_POLLERR | sys::PK_POLLHUP) as i32;

/// VOP_POLL, as `poll(2)` uses it: which of `events` are there, waiting for
/// the server's answer if `wait`.
pub(crate) fn poll(vnode: &VnodeRef, events: i32, wait: bool) -> Result<i32> {
    // As `dead_poll`: whoever polls a vnode that is gone is told of everything.
    let all = events | POLL_ALWAYS;
    let Ok(node) = node_of(vnode) else {
        return Ok(all);
    };
    loop {
        // Inside, and with a vnode that is alive there, the node stays.
        let there = vnode.mount().with_trans_for_fs(|| {
            let _kernel = KernelLock::enter_for_fs();
            node_of(vnode).map_or(all, |node| take_events(&node, events))
        });
        if there != 0 {
            return Ok(there);
        }
        let recorded = match ask_events(vnode, events) {
            Err(Errno::ENXIO) => return Ok(all),
            other => other?,
        };
        if !wait {
            return Ok(0);
        }
        let limits = Limits {
            interruptible: true,
            ticks: Some(1),
        };
        while node.with(|state| state.notified) == recorded {
            let error = lwp::sleep(node.channel(), "select", limits, || {});
            if error != 0 && error != Errno::EWOULDBLOCK.get() {
                return Err(Errno::EINTR);
            }
        }
    }
}

/// The first half of VOP_POLL: takes those of `events` that are there.
fn take_events(node: &Node, events: i32) -> i32 {
    node.with_mtx(|| {
        node.with(|state| {
            let there = state.revents & (events | POLL_ALWAYS);
            state.revents &= !there;
            there
        })
    })
}

/// The second half of VOP_POLL, when nothing was there: records the poller
/// (selrecord(9)) and asks the server. Who sees [`notified`] return something
/// else than this does was woken.
///
/// # Errors
/// ENXIO if the vnode is dead.
pub fn ask_events(vnode: &VnodeRef, events: i32) -> Result<u64> {
    vnode.mount().with_trans_for_fs(|| {
        let _kernel = KernelLock::enter();
        let node = node_of(vnode)?;
        let pmp = pmp_of(vnode)?;
        // SAFETY: referenced by its vnode, and inside its lock.
        node.with_mtx(|| unsafe { entry::puffs_referencenode(node.raw()) });
        let mut msg = Msg::<vn::Poll>::new(0, vnode.cookie());
        msg.body().events = events | POLL_ALWAYS;
        msg.set_call(poll_done, node.raw().cast());
        let recorded = node.with(|state| state.notified);
        // The outcome is the completion's, and C looks at none.
        let _ = msg.ask(&pmp, [node.raw(), NONE]);
        Ok(recorded)
    })
}

/// How often those who poll a file were woken.
///
/// # Errors
/// ENXIO if the vnode is dead.
pub fn notified(vnode: &VnodeRef) -> Result<u64> {
    Ok(node_of(vnode)?.with(|state| state.notified))
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
    vnode.mount().with_trans_for_fs(|| {
        let _kernel = KernelLock::enter_for_fs();
        let pmp = pmp_of(vnode)?;
        // The vnode is not locked: it may be reclaimed meanwhile.
        let node = NodeHold::new(vnode)?;
        let mut msg = message(vnode, more, delta, fill);
        msg.ask(&pmp, [node.0, NONE])?;
        let bytes = msg.bytes().to_vec();
        Ok(read(msg.body(), &bytes))
    })
}

/// A request that was sent, and that its caller has not waited for yet: for
/// harnesses that do between the two what other threads would do.
pub struct Call {
    msg: Msg<Req>,
    pmp: Arc<Pmp>,
    node: NodeHold,
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
        let _kernel = KernelLock::enter();
        let pmp = pmp_of(vnode)?;
        let node = NodeHold::new(vnode)?;
        let Some(mut msg) = Msg::<Req>::of(operation, message.len(), vnode.cookie(), true) else {
            panic!("a message of {} bytes", message.len());
        };
        let start = size_of::<Req>();
        msg.bytes()[start..].copy_from_slice(&message[start..]);
        if delta != 0 {
            msg.set_delta(delta);
        }
        if forget {
            msg.set_faf();
        }
        msg.enqueue(&pmp);
        Ok(Call { msg, pmp, node })
    }

    /// The number that the server knows it by; 0 if it is not to reply, or
    /// was not sent.
    pub fn id(&mut self) -> u64 {
        self.msg.body().id
    }

    /// Waits for the outcome: that, and the message as it is then.
    pub fn finish(mut self) -> (Result<()>, Vec<u8>) {
        let _kernel = KernelLock::enter();
        let outcome = self.msg.wait(&self.pmp, [self.node.0, NONE]);
        (outcome, self.msg.bytes().to_vec())
    }
}

/// I/O on a buffer in the background, as the page cache does it: from its
/// start to its end.
pub struct Transferring(BufHold);

impl Transferring {
    /// Starts to read into memory that holds what another file left there.
    pub fn read(vnode: &VnodeRef, offset: i64, len: usize) -> Transferring {
        let buf = BufHold::new(vec![STALE; len]);
        strategy(vnode, &buf, Transfer::Read, offset, true);
        Transferring(buf)
    }

    /// Starts to write.
    pub fn write(vnode: &VnodeRef, offset: i64, data: &[u8]) -> Transferring {
        let buf = BufHold::new(data.to_vec());
        strategy(vnode, &buf, Transfer::Write, offset, true);
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

/// Asks for any operation on a file as [`request`] does, fire and forget.
///
/// # Errors
/// ENXIO if the vnode is dead.
pub fn forget_request<T: Message>(
    vnode: &VnodeRef,
    fill: impl FnOnce(&mut T, &mut [u8]),
) -> Result<()> {
    let _kernel = KernelLock::enter();
    let pmp = pmp_of(vnode)?;
    let mut msg = message(vnode, 0, 0, fill);
    msg.set_faf();
    msg.enqueue(&pmp);
    Ok(())
}

fn message<T: Message>(
    vnode: &VnodeRef,
    more: usize,
    delta: usize,
    fill: impl FnOnce(&mut T, &mut [u8]),
) -> Msg<T> {
    let mut msg = Msg::<T>::new(more, vnode.cookie());
    let mut payload = vec![0; more];
    fill(msg.body(), &mut payload);
    let start = size_of::<T>();
    msg.bytes()[start..].copy_from_slice(&payload);
    if delta != 0 {
        msg.set_delta(delta);
    }
    msg
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

/// VFS_VPTOFH with so much room: the handle, or the errno and the room that it
/// needs.
pub(crate) fn vptofh(
    vnode: &VnodeRef,
    room: usize,
) -> std::result::Result<Vec<u8>, (Errno, usize)> {
    let _kernel = KernelLock::enter();
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

/// `poll(2)` of one vnode: which of `events` are there, waiting if `wait`.
///
/// # Errors
/// EINTR.
pub fn poll_file(vnode: &VnodeRef, events: i32, wait: bool) -> Result<i32> {
    poll(vnode, events, wait)
}
