//! What the kernel calls on a puffs file system (`puffs_vfsops.c`).

pub mod args;

use crate::{
    abi::{vfs, Cookie, ErrorOp, KArgs, Message, FHFLAG_DYNAMIC, FHFLAG_PASSTHROUGH},
    kern::{
        self, sys, Arc, Cred, Errno, Fid, MountPtr, Result, Sleep, StatvfsOut, UserPath, Vnode,
        VnodeRef,
    },
    mount::Mount,
    msgif::{self, Completion, Request, Status, Syncing, PARKS, SOP_REQUESTS},
    node::{self, FileInfo, Node, NodeRef},
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
    if started.is_ok() {
        Mount::tie(&mount);
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
    forget_parents(&mount);
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
    let mut request = request::<vfs::Unmount>()?;
    request.body()?.flags = flags;
    request.ask(mount, [None; 2])
}

/// Gives the references up by which directories keep their parents: those are
/// no users of the file system. Who asks for `..` after that asks the server.
fn forget_parents(mount: &Mount) {
    if !mount.config.remembers_parents() {
        return;
    }
    for vnode in mount.mp.vnodes(false) {
        let parent = node::node_of(*vnode).and_then(|node| node.state().parent.take());
        // Giving it back may sleep.
        drop(parent);
    }
}

/// Takes a mount down that has no vnodes any more.
fn take_down(mount: &Mount) {
    mount.msgif.quiesce();
    // Sends everybody off who waits for the server, and lets nobody in.
    mount.msgif.userdead();
    // After this the device makes no call any more.
    mount.msgif.putter.detach();
    // The thread may have been at work for a node; it is not after this.
    mount.sop_stop();
    mount.msgif.finish_unmount();
    Mount::untie(mount.mp);
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
    let mut request = request::<vfs::Statvfs>()?;
    request
        .ask(mount, [None; 2])
        .inspect_err(|_| out.fill_known(mount.mp))?;
    let answer = request.body()?;
    mount.mp.complete_statvfs(&mut answer.sb);
    out.fill(&answer.sb);
    Ok(())
}

/// Writes back (C: `puffs_vfsop_sync`): the pages of regular files, then what
/// the server keeps. `waitfor` is `MNT_WAIT`, `MNT_NOWAIT` or `MNT_LAZY`.
///
/// The last is the syncer's, which works for all file systems: it waits neither for the
/// server nor for vnodes that others have, and writes dirty files back by itself, one
/// by one. (C has it wait: no file of any file system is written back as long as a server
/// is stopped.)
///
/// # Errors
/// The last that came up; what the server says only if that was waited for. A file that
/// is not there any more is none.
pub fn sync(mount: &Arc<Mount>, waitfor: i32, cred: &Cred<'_>) -> Result<()> {
    let mut request = request::<vfs::Sync>()?;
    let message = request.body()?;
    message.waitfor = waitfor;
    subr::credcvt(&mut message.cred, cred);
    if waitfor == MNT_LAZY {
        if let Some(syncing) = Syncing::begin(mount) {
            request.complete(mount, Completion::Sync(syncing));
        }
        return Ok(());
    }
    let pages = flush_pages(mount, waitfor == MNT_WAIT, cred);
    request.ask(mount, [None; 2]).and(pages)
}

fn flush_pages(mount: &Mount, wait: bool, cred: &Cred<'_>) -> Result<()> {
    let mut result = Ok(());
    for vnode in mount.mp.vnodes(true) {
        // A vnode that somebody has locked is skipped: unmounting, which must
        // not skip any, flushes vnodes by itself.
        if vnode.try_lock().is_err() {
            continue;
        }
        let written = vnode.fsync(cred, wait);
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

    let mut request = Request::<vfs::FhToNode>::new(Cookie::NULL, handle.len(), Sleep::Yes)?;
    request.body()?.dsize = handle.len();
    request.payload(0..handle.len())?.copy_from_slice(handle);
    request.ask(mount, [None; 2])?;

    let answer = request.body()?;
    let file = FileInfo {
        cookie: answer.fhcookie,
        vtype: answer.vtype,
        size: answer.size,
        rdev: answer.rdev,
    };
    let (vnode, _) = node::getvnode(mount, file)?;
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
pub fn vptofh(node: &Node, fid: Option<Fid<'_>>, size: &mut usize) -> Result<()> {
    let mount = &node.mount;
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

    let cookie = node.cookie;
    let mut request = Request::<vfs::NodeToFh>::new(Cookie::NULL, room, Sleep::Yes)?;
    let message = request.body()?;
    message.fhcookie = cookie;
    message.dsize = room;
    let asked = request.ask(mount, [None; 2]);
    if !matches!(asked, Ok(()) | Err(Errno::E2BIG)) {
        return asked;
    }

    let answer = request.body()?;
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
    let data = request.payload(0..len)?;
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
    let node: Option<NodeRef> = vnode.and_then(Node::of);
    let cookie = node.as_ref().map_or(Cookie::NULL, |node| node.cookie);
    let sent = Request::<vfs::ExtattrCtl>::new(cookie, 0, Sleep::Yes).and_then(|mut request| {
        let message = request.body()?;
        message.cmd = cmd;
        message.attrnamespace = namespace;
        if node.is_some() {
            message.flags |= vfs::EXTATTRCTL_HASNODE;
        }
        if let Some(name) = name {
            message.flags |= vfs::EXTATTRCTL_HASATTRNAME;
            subr::copy_str(&mut message.attrname, name);
        }
        request.send(mount);
        Ok(request)
    });
    if let Some(vnode) = vnode {
        vnode.unlock();
    }
    sent?.wait(mount, [node.as_deref(), None])
}

/// Makes the node of a new vnode (C: `puffs_vfsop_loadvnode`); returns where
/// the node keeps its cookie, which is the vnode cache's key.
///
/// # Errors
/// ENOMEM, while the module is not set up.
pub fn loadvnode(
    mount: Arc<Mount>,
    vnode: Vnode,
    cookie: Cookie,
) -> Result<*const core::ffi::c_void> {
    node::loadvnode(mount, vnode, cookie).ok_or(Errno::ENOMEM)
}

/// Sets the file system up when the module is loaded (C: `puffs_vfsop_init`,
/// `puffs_msgif_init`).
pub fn init() {
    NodeRef::init_pool();
    PARKS.init(c"puffprkl");
    SOP_REQUESTS.init(c"puffsopl");
}

/// Could the module go? Mounts keep it by themselves; this is about what outlives
/// its mount: calls of the device, operations that an unmount by force did not wait
/// for and the service thread on their way out, and requests that the device may
/// yet give back ([`msgif::sweep_stranded`]).
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
        let quiet = is_quiet();
        // Even then: who gave the last reference up at the end of an operation is a few
        // instructions from being out of the module.
        kern::pause(1);
        if quiet {
            return Ok(());
        }
    }
    Err(Errno::EBUSY)
}

/// Takes it down when the module is unloaded (C: `puffs_vfsop_done`).
pub fn done() {
    SOP_REQUESTS.destroy();
    PARKS.destroy();
    NodeRef::destroy_pool();
}

/// A request that is about no file.
fn request<T: Message>() -> Result<Request<T>> {
    Request::new(Cookie::NULL, 0, Sleep::Yes)
}
