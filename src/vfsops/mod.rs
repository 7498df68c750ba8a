//! What the kernel calls on a puffs file system (`puffs_vfsops.c`).

pub mod args;

use crate::{
    abi::{vfs, Cookie, ErrorOp, KArgs, Message, Payload, FHFLAG_DYNAMIC, FHFLAG_PASSTHROUGH},
    kern::{
        self, sys, Cred, Errno, Fid, MountPtr, NodeRef, Ref, Result, Sleep, StatvfsOut, UserPath,
        Vnode, VnodeRef,
    },
    mount::Mount,
    msgif::{self, Park, Status, PARKS, SOP_REQUESTS},
    node::{self, status, FileInfo},
    subr,
};
use args::{as_cstr, from_kernel_size, to_kernel_size, FHANDLE_MAX};

/// How sync(2) wants it, and how the syncer does.
const MNT_WAIT: i32 = sys::PK_MNT_WAIT as i32;
const MNT_LAZY: i32 = sys::PK_MNT_LAZY as i32;

/// Mounts (C: `puffs_vfsop_mount`).
///
/// The caller is the server, so nothing here may wait for it.
///
/// # Errors
/// EINVAL for invalid arguments, with a line on the console that names the
/// field; ENOENT if the caller has not opened the device; what the kernel says
/// of the path. Nothing is left behind then.
pub fn mount(mp: MountPtr, path: UserPath, args: &mut KArgs) -> Result<()> {
    args::accept(args).map_err(|invalid| {
        kern::console(format_args!("mount: {invalid}"));
        Errno::from(invalid)
    })?;
    mp.set_statvfs(
        path,
        as_cstr(&args.mntfromname),
        as_cstr(&args.typename),
        &mut args.svfsb,
    )?;
    msgif::sweep_stranded();
    let mount = Mount::create(mp, args)?;
    let started = Mount::sop_start(&mount).and_then(|()| {
        let (pid, _) = kern::caller_ids();
        if Mount::attach(&mount, pid, args.fd) {
            return Ok(());
        }
        kern::console(format_args!(
            "mount: pa_fd: the caller has not opened the device"
        ));
        mount.sop_stop();
        Err(Errno::ENOENT)
    });
    match started {
        Ok(()) => mp.commit(mount.pmp),
        Err(_) => Mount::dissolve(&mount),
    }
    started
}

/// The mount is in place: the server can be asked from now on (C:
/// `puffs_vfsop_start`).
pub fn start(mount: &Mount) {
    mount.msgif.start();
}

/// Unmounts (C: `puffs_vfsop_unmount`). `flags` are those of unmount(2); by
/// force, neither files in use nor the server's refusal prevent it.
///
/// # Errors
/// EBUSY or what else the server says; never by force.
pub fn unmount(mp: MountPtr, flags: i32, force: bool) -> Result<()> {
    let Some(mount) = Mount::of(mp) else {
        // Somebody was faster.
        return Ok(());
    };
    // The root's vnode goes too. It can always be made again from what the
    // mount knows, should the server refuse.
    mp.flush_vnodes(force)?;
    if mount.msgif.begin_unmount() {
        let answer = ask_to_unmount(&mount, flags);
        // A server that died meanwhile does not refuse any more.
        let refused = answer.is_err() && mount.msgif.status() != Status::Dying;
        if refused && !force {
            mount.msgif.cancel_unmount();
            return answer;
        }
    }
    take_down(&mount);
    Ok(())
}

fn ask_to_unmount(mount: &Mount, flags: i32) -> Result<()> {
    let mut park = request::<vfs::Unmount>(0, Cookie::NULL)?;
    if let Some(message) = body::<vfs::Unmount>(&mut park) {
        message.flags = flags;
    }
    mount.ask(&mut park)
}

/// Takes a mount down that has no vnodes any more.
fn take_down(mount: &Mount) {
    mount.msgif.quiesce();
    // Sends everybody off who waits for the server, and lets nobody in.
    mount.msgif.userdead(mount.pmp);
    mount.msgif.drain();
    // After this the device makes no call any more.
    mount.msgif.putter.detach();
    // The thread may have been at work for a node; it is not after this.
    mount.sop_stop();
    mount.msgif.finish_unmount();
    Mount::dissolve(mount);
}

/// The root vnode, referenced and locked (C: `puffs_vfsop_root`). The server
/// is not asked.
///
/// # Errors
/// What the vnode cache and the lock say.
pub fn root(mount: &Mount) -> Result<VnodeRef> {
    let vnode = node::find(mount, mount.config.root_cookie)?.ok_or(Errno::ENOENT)?;
    vnode.lock()?;
    Ok(vnode)
}

/// The statistics of the file system, from the server (C:
/// `puffs_vfsop_statvfs`).
///
/// # Errors
/// EINPROGRESS while mount(2) runs, which is the server's own call; else what
/// the server says. The result has what the kernel knows then.
pub fn statvfs(mount: &Mount, mut out: StatvfsOut<'_>) -> Result<()> {
    if mount.msgif.status() == Status::Mounting {
        return Err(Errno::EINPROGRESS);
    }
    let mut park = request::<vfs::Statvfs>(0, Cookie::NULL)?;
    mount
        .ask(&mut park)
        .inspect_err(|_| out.fill_known(mount.mp))?;
    let answer = body::<vfs::Statvfs>(&mut park).ok_or(Errno::EPROTO)?;
    mount.mp.complete_statvfs(&mut answer.sb);
    out.fill(&answer.sb);
    Ok(())
}

/// Writes back (C: `puffs_vfsop_sync`): the pages of regular files, then what
/// the server keeps. `waitfor` is `MNT_WAIT`, `MNT_NOWAIT` or `MNT_LAZY`.
///
/// # Errors
/// The last that came up. A file that is not there any more is none.
pub fn sync(mount: &Mount, waitfor: i32, cred: &Cred<'_>) -> Result<()> {
    let pages = flush_pages(mount, waitfor, cred);
    let mut park = request::<vfs::Sync>(0, Cookie::NULL)?;
    if let Some(message) = body::<vfs::Sync>(&mut park) {
        message.waitfor = waitfor;
        subr::credcvt(&mut message.cred, cred);
    }
    mount.ask(&mut park).and(pages)
}

fn flush_pages(mount: &Mount, waitfor: i32, cred: &Cred<'_>) -> Result<()> {
    let mut result = Ok(());
    for vnode in mount.mp.dirty_vnodes() {
        // A vnode that somebody has locked is skipped: unmounting, which must
        // not skip any, flushes vnodes by itself.
        if vnode.try_lock().is_err() {
            continue;
        }
        let lazy = vnode.node().filter(|_| waitfor == MNT_LAZY);
        let mark = |set, clear| {
            if let Some(node) = lazy {
                vnode.with_interlock(|| node.change_status(set, clear));
            }
        };
        // The syncer does not wait for the server.
        mark(status::FAF, 0);
        let written = vnode.fsync(cred, waitfor == MNT_WAIT);
        mark(0, status::FAF);
        vnode.unlock();
        // A file that the server does not have any more has nowhere to be
        // written to. It may have been removed under the vnode, by a server
        // that knows files by their names; unmounting must not fail for that.
        let gone = [Err(Errno::ENOENT), Err(Errno::ESTALE)].contains(&written);
        if !gone {
            result = written.and(result);
        }
    }
    result
}

/// The vnode of a file handle, referenced and locked (C:
/// `puffs_vfsop_fhtovp`).
///
/// # Errors
/// EOPNOTSUPP if the server has no file handles, EINVAL for a handle of
/// another length than the server's, else what the server says.
pub fn fhtovp(mount: &Mount, fid: &Fid<'_>) -> Result<VnodeRef> {
    let config = &mount.config;
    if config.fhsize == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let passthrough = config.fhflags & FHFLAG_PASSTHROUGH != 0;
    let skip = if passthrough { 0 } else { Fid::HEADER };
    let handle = fid.bytes().get(skip..).ok_or(Errno::EINVAL)?;
    let fits = match config.fhflags & FHFLAG_DYNAMIC != 0 {
        _ if passthrough => true,
        true => handle.len() <= config.fhsize,
        false => handle.len() == config.fhsize,
    };
    if !fits {
        return Err(Errno::EINVAL);
    }

    let mut park = request::<vfs::FhToNode>(handle.len(), Cookie::NULL)?;
    if let Some(message) = body::<vfs::FhToNode>(&mut park) {
        message.dsize = handle.len();
    }
    payload::<vfs::FhToNode>(&mut park, handle.len())?.copy_from_slice(handle);
    mount.ask(&mut park)?;

    let answer = body::<vfs::FhToNode>(&mut park).ok_or(Errno::EPROTO)?;
    let file = FileInfo {
        cookie: answer.fhcookie,
        vtype: answer.vtype,
        size: answer.size,
        rdev: answer.rdev,
    };
    let vnode = node::getvnode(mount, file)?;
    vnode.lock_retry();
    Ok(vnode)
}

/// Makes the file handle of a vnode (C: `puffs_vfsop_vptofh`). `size` is the
/// room, and becomes the length of the handle or, with E2BIG, the room that it
/// needs. Without `fid` only the length is wanted.
///
/// # Errors
/// EOPNOTSUPP if the server has no file handles, E2BIG, else what the server
/// says; EPROTO for a handle that cannot be one.
pub fn vptofh(mount: &Mount, node: NodeRef, fid: Option<Fid<'_>>, size: &mut usize) -> Result<()> {
    let config = &mount.config;
    if config.fhsize == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let passthrough = config.fhflags & FHFLAG_PASSTHROUGH != 0;
    let fixed = !passthrough && config.fhflags & FHFLAG_DYNAMIC == 0;
    if fixed && from_kernel_size(*size) < config.fhsize {
        *size = to_kernel_size(config.fhsize);
        return Err(Errno::E2BIG);
    }
    let room = if passthrough {
        *size
    } else {
        from_kernel_size(*size)
    };

    let cookie = Cookie(node.cookie());
    let mut park = request::<vfs::NodeToFh>(room, Cookie::NULL)?;
    if let Some(message) = body::<vfs::NodeToFh>(&mut park) {
        message.fhcookie = cookie;
        message.dsize = room;
    }
    let asked = mount.ask(&mut park);
    if !matches!(asked, Ok(()) | Err(Errno::E2BIG)) {
        return asked;
    }

    let answer = body::<vfs::NodeToFh>(&mut park).ok_or(Errno::EPROTO)?;
    let len = if fixed { config.fhsize } else { answer.dsize };
    let whole = if passthrough {
        len
    } else {
        to_kernel_size(len)
    };
    let refuse = |text| {
        mount.senderr(ErrorOp::Vptofh, Errno::E2BIG.get(), text, cookie);
        Err(Errno::EPROTO)
    };
    if whole > FHANDLE_MAX {
        return refuse("file handle too big");
    }
    if asked.is_err() && whole <= *size {
        return refuse("file handle does not fit where it fits");
    }
    if whole > *size {
        *size = whole;
        return Err(Errno::E2BIG);
    }
    if whole < Fid::HEADER || answer.dsize < len {
        return refuse("file handle too small");
    }
    let data = payload::<vfs::NodeToFh>(&mut park, len)?;
    // A handle that passes through counts itself.
    if passthrough && data.get(..2) != Some(&(len as u16).to_ne_bytes()) {
        return refuse("file handle of another length than it says");
    }
    *size = whole;
    let written = fid.is_none_or(|mut fid| fid.write(data, passthrough));
    written.then_some(()).ok_or(Errno::E2BIG)
}

/// Controls extended attributes (C: `puffs_vfsop_extattrctl`). `vnode` is
/// locked and comes back unlocked.
///
/// # Errors
/// EXDEV for a file of another file system, else what the server says.
pub fn extattrctl(
    mount: &Mount,
    cmd: i32,
    vnode: Option<Vnode>,
    namespace: i32,
    name: Option<&[u8]>,
) -> Result<()> {
    if let Some(foreign) = vnode.filter(|vnode| vnode.mount() != Some(mount.mp)) {
        foreign.unlock();
        return Err(Errno::EXDEV);
    }
    let node = vnode.and_then(Vnode::node);
    let cookie = node.map_or(Cookie::NULL, |node| Cookie(node.cookie()));
    let mut park = request::<vfs::ExtattrCtl>(0, cookie)?;
    if let Some(message) = body::<vfs::ExtattrCtl>(&mut park) {
        message.cmd = cmd;
        message.attrnamespace = namespace;
        if node.is_some() {
            message.flags |= vfs::EXTATTRCTL_HASNODE;
        }
        if let Some(name) = name {
            message.flags |= vfs::EXTATTRCTL_HASATTRNAME;
            // One byte stays 0 to end the string.
            let room = message.attrname.len() - 1;
            for (to, from) in message.attrname[..room].iter_mut().zip(name) {
                *to = *from;
            }
        }
    }
    mount.send(&mut park);
    if let Some(node) = node {
        node.with_lock(|| node.reference_locked());
    }
    if let Some(vnode) = vnode {
        vnode.unlock();
    }
    let answer = mount.receive(&mut park, [node, None]);
    if let Some(node) = node {
        node.release();
    }
    answer
}

/// Makes the node of a new vnode (C: `puffs_vfsop_loadvnode`); returns where
/// the node keeps its cookie, which is the vnode cache's key.
pub fn loadvnode(mount: &Mount, vnode: Vnode, cookie: Cookie) -> *const core::ffi::c_void {
    vnode.attach_node(cookie.0, cookie == mount.config.root_cookie)
}

/// Sets the file system up when the module is loaded (C: `puffs_vfsop_init`,
/// `puffs_msgif_init`).
pub fn init() {
    NodeRef::init_pools();
    PARKS.init(c"puffprkl");
    SOP_REQUESTS.init(c"puffsopl");
}

/// Could the module go? Mounts keep it by themselves; this is about what outlives
/// its mount: calls of the device and the service thread on their way out, and requests
/// that the device may yet give back ([`msgif::sweep_stranded`]).
pub fn is_quiet() -> bool {
    kern::with_kernel_lock(|| msgif::sweep_stranded() && !Mount::any())
}

/// Waits a moment for what is on its way out, before the module is unloaded; inside
/// no lock but the kernel's. (C unloads without a look.)
///
/// # Errors
/// EBUSY if something stays: a server is in the midst of reading a request, or sleeps
/// in the device.
pub fn quiesce() -> Result<()> {
    for _ in 0..=kern::hz() / 10 {
        if is_quiet() {
            return Ok(());
        }
        kern::pause(1);
    }
    Err(Errno::EBUSY)
}

/// Takes it down when the module is unloaded (C: `puffs_vfsop_done`).
pub fn done() {
    SOP_REQUESTS.destroy();
    PARKS.destroy();
    NodeRef::destroy_pools();
}

/// A request of type `T` with `more` bytes behind it, about the file `cookie`.
fn request<T: Message>(more: usize, cookie: Cookie) -> Result<Ref<Park>> {
    let len = size_of::<T>().checked_add(more).ok_or(Errno::EINVAL)?;
    let mut park = Park::alloc(len, Sleep::Yes)?;
    if let Some(fresh) = park.get_mut() {
        fresh.set_info(T::CLASS.into(), T::OP, cookie);
    }
    Ok(park)
}

/// The message of a request that nobody else has, or has any more.
fn body<T: Message>(park: &mut Ref<Park>) -> Option<&mut T> {
    park.get_mut()?.body()
}

/// The first `len` bytes behind the message.
fn payload<T: Message + Payload>(park: &mut Ref<Park>, len: usize) -> Result<&mut [u8]> {
    let message = park.get_mut().ok_or(Errno::EPROTO)?.message();
    let end = T::DATA.checked_add(len).ok_or(Errno::EPROTO)?;
    message
        .bytes_mut()
        .get_mut(T::DATA..end)
        .ok_or(Errno::EPROTO)
}

impl Mount {
    /// Sends a request and waits for the outcome.
    fn ask(&self, park: &mut Ref<Park>) -> Result<()> {
        self.send(park);
        self.receive(park, [None, None])
    }

    /// Sends a request.
    pub fn send(&self, park: &mut Ref<Park>) {
        self.msgif.enqueue(self.pmp, self.config.time32, park);
    }

    /// Waits for the outcome of a request, and does what the server said of
    /// the nodes that it is about (C: `puffs_msg_wait2`).
    ///
    /// # Errors
    /// What the server or the kernel says, EPROTO for an answer that does not
    /// fit the node.
    pub fn receive(&self, park: &mut Ref<Park>, nodes: [Option<NodeRef>; 2]) -> Result<()> {
        let outcome = self.msgif.wait(park);
        node::apply_setbacks(outcome.setbacks, nodes);
        Errno::check(outcome.rv)?;
        match (park.get_mut(), nodes[0]) {
            (Some(park), Some(node)) => node::check_attributes(self, node, park),
            _ => Ok(()),
        }
    }
}
