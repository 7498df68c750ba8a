//! Mounts: mount(2) and unmount(2) as `vfs_mount.c` has them, and the
//! transactions (`fstrans(9)`) by which an unmount keeps everybody else out.

use super::{
    cache,
    fatal::{fatal, kassert},
    faults::{self, Kind},
    lwp::{self, Limits},
    registry::{lock, raw, Registry},
    sync::{self, Class, KMutex},
    vnode::{self, VnodeRef},
};
use puffs_rs::{
    abi::StatvfsBuf,
    entry,
    kern::{sys, Errno, Result},
};
use std::{
    collections::BTreeMap,
    ffi::{c_char, c_void, CStr, CString},
    ptr,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc, LazyLock, Mutex,
    },
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// `MNT_FORCE`.
pub const MNT_FORCE: i32 = sys::PK_MNT_FORCE as i32;
/// `MNT_WAIT`.
pub const MNT_WAIT: i32 = sys::PK_MNT_WAIT as i32;
/// `MNT_NOWAIT`.
pub const MNT_NOWAIT: i32 = 2;
/// `MNT_LAZY`.
pub const MNT_LAZY: i32 = sys::PK_MNT_LAZY as i32;

/// `ELAST` and more of what only the kernel says.
pub(crate) mod errno {
    use puffs_rs::kern::Errno;

    /// An errno that the core has no name for.
    pub(crate) fn other(number: i32) -> Errno {
        Errno::check(number).err().unwrap_or(Errno::EINVAL)
    }
}

/// A file system that is, or was, mounted.
pub struct Mount {
    handle: usize,
    refs: AtomicUsize,
    /// mount(2) only asks (MNT_GETARGS).
    getargs: AtomicBool,
    /// mount(2) changes (MNT_UPDATE).
    update: AtomicBool,
    /// `IMNT_GONE`.
    gone: AtomicBool,
    /// `mnt_data`.
    data: AtomicUsize,
    updating: Arc<KMutex>,
    trans: Mutex<Trans>,
    stat: Mutex<StatvfsBuf>,
    path: Mutex<String>,
}

#[derive(Default)]
struct Trans {
    /// Who suspended the file system.
    suspended: Option<i32>,
    /// Who is inside, how deep.
    inside: BTreeMap<i32, usize>,
}

static MOUNTS: Registry<Mount> = Registry::new("mount");
static MOUNTED: Mutex<Vec<(String, usize)>> = Mutex::new(Vec::new());

/// `dead_rootmount`: where reclaimed vnodes go.
static DEAD: LazyLock<Arc<Mount>> = LazyLock::new(|| Mount::new("dead"));

/// `vfs_suspend_lock`.
static SUSPEND: LazyLock<Arc<KMutex>> = LazyLock::new(|| KMutex::new(Class::Suspend));

/// How many mutexes exist whatever is mounted: that of suspension, and that
/// of the mount of dead vnodes.
pub(crate) fn own_mutexes() -> usize {
    LazyLock::force(&SUSPEND);
    LazyLock::force(&DEAD);
    2
}

/// How many mounts there are, the dead one aside.
pub(crate) fn count() -> usize {
    LazyLock::force(&DEAD);
    MOUNTS.count() - 1
}

/// Is anything mounted?
pub(crate) fn mounted() -> usize {
    lock(&MOUNTED).len()
}

pub(crate) fn of(mp: *const sys::mount) -> Arc<Mount> {
    MOUNTS.get(mp)
}

pub(crate) fn dead() -> Arc<Mount> {
    DEAD.clone()
}

/// A reference to a mount's structure, given back on drop.
pub(crate) struct MountHold(Arc<Mount>);

impl std::ops::Deref for MountHold {
    type Target = Arc<Mount>;

    fn deref(&self) -> &Arc<Mount> {
        &self.0
    }
}

impl Drop for MountHold {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Holds a mount's structure; `None` if the last reference is gone.
pub(crate) fn hold(mount: &Mount) -> Option<MountHold> {
    if !mount.try_reference() {
        return None;
    }
    Some(MountHold(of(mount.raw())))
}

/// The mount at the longest prefix of `path`, and the rest of the path.
pub(crate) fn find(path: &str) -> Option<(MountHold, String)> {
    let mounted = lock(&MOUNTED);
    let fits = |at: &str| {
        let rest = path.strip_prefix(at)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let found = mounted
        .iter()
        .filter_map(|(at, handle)| Some((at.len(), *handle, fits(at)?)))
        .max_by_key(|(len, ..)| *len);
    let (_, handle, rest) = found?;
    let mount = MOUNTS.find(handle)?;
    // Inside the lock of the list: what is on it is not freed.
    mount.reference();
    Some((MountHold(mount), rest))
}

/// What mount(2) is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MountKind {
    /// To mount.
    New,
    /// To change a mount (MNT_UPDATE).
    Update,
    /// To get the arguments of a mount (MNT_GETARGS).
    GetArgs,
}

impl Mount {
    fn new(path: &str) -> Arc<Mount> {
        MOUNTS.add(|handle| Mount {
            handle,
            refs: AtomicUsize::new(1),
            getargs: AtomicBool::new(false),
            update: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            data: AtomicUsize::new(0),
            updating: KMutex::new(Class::Updating),
            trans: Mutex::default(),
            stat: Mutex::new(StatvfsBuf::new_zeroed()),
            path: Mutex::new(path.to_owned()),
        })
    }

    pub(crate) fn raw(&self) -> *mut sys::mount {
        raw(self.handle)
    }

    pub(crate) fn handle(&self) -> usize {
        self.handle
    }

    /// `mnt_stat`: the statistics that the kernel keeps.
    pub fn stat(&self) -> StatvfsBuf {
        let stat = lock(&self.stat);
        StatvfsBuf::read_from_bytes(stat.as_bytes()).unwrap_or_else(|_| StatvfsBuf::new_zeroed())
    }

    /// Was it unmounted?
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn reference(&self) {
        self.refs.fetch_add(1, Ordering::AcqRel);
    }

    /// The same, unless the last reference is gone.
    fn try_reference(&self) -> bool {
        let more = |refs: usize| (refs != 0).then(|| refs + 1);
        let order = Ordering::AcqRel;
        self.refs
            .fetch_update(order, Ordering::Acquire, more)
            .is_ok()
    }

    pub(crate) fn release(&self) {
        let before = self.refs.fetch_sub(1, Ordering::AcqRel);
        kassert!(before != 0, "a mount was released too often");
        if before == 1 {
            kassert!(
                self.data.load(Ordering::Acquire) == 0,
                "a freed mount has data"
            );
            self.updating.destroy();
            MOUNTS.remove(self.handle);
        }
    }

    // Transactions.

    fn channel(&self) -> usize {
        // Nothing else sleeps on a mount's handle but one.
        self.handle + 1
    }

    /// Enters the file system (`fstrans_start`), unless it is suspended and
    /// the caller may not wait.
    pub(crate) fn trans_start(&self, wait: bool) -> Result<()> {
        let me = lwp::current().lid();
        loop {
            let mut trans = lock(&self.trans);
            let deep = trans.inside.contains_key(&me);
            if deep || trans.suspended.is_none() || trans.suspended == Some(me) {
                *trans.inside.entry(me).or_default() += 1;
                return Ok(());
            }
            if !wait {
                return Err(Errno::EBUSY);
            }
            sync::assert_sleepable("fstrans_start");
            lwp::sleep(self.channel(), "fstrans", Limits::default(), || drop(trans));
        }
    }

    /// Leaves it (`fstrans_done`).
    pub(crate) fn trans_done(&self) {
        let me = lwp::current().lid();
        let mut trans = lock(&self.trans);
        let Some(depth) = trans.inside.get_mut(&me) else {
            fatal!("fstrans_done without fstrans_start");
        };
        *depth -= 1;
        if *depth == 0 {
            trans.inside.remove(&me);
        }
        drop(trans);
        lwp::wakeup_all(self.channel());
    }

    /// Runs `f` inside the file system.
    pub(crate) fn with_trans<R>(&self, f: impl FnOnce() -> R) -> R {
        // It waits, so it does not fail.
        let _ = self.trans_start(true);
        let result = f();
        self.trans_done();
        result
    }

    /// The root, as a path walk comes to it (`vfs_busy(9)` around `VFS_ROOT`):
    /// locked, and not before the file system is resumed.
    pub(crate) fn walk_in(&self) -> Result<VnodeRef> {
        self.trans_start(true)?;
        let root = if self.is_gone() {
            Err(Errno::ENOENT)
        } else {
            self.vfs_root()
        };
        self.trans_done();
        root
    }

    /// Keeps everybody else out (`vfs_suspend`). One mount is suspended at a
    /// time.
    fn suspend(&self) -> Result<()> {
        SUSPEND.enter();
        let me = lwp::current().lid();
        lock(&self.trans).suspended = Some(me);
        loop {
            let trans = lock(&self.trans);
            if trans.inside.keys().all(|&lid| lid == me) {
                break;
            }
            let limits = Limits {
                interruptible: true,
                ticks: None,
            };
            let error = lwp::sleep(self.channel(), "suspend", limits, || drop(trans));
            if error != 0 {
                self.resume();
                return Err(errno::other(error));
            }
        }
        if self.is_gone() {
            self.resume();
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    fn resume(&self) {
        lock(&self.trans).suspended = None;
        lwp::wakeup_all(self.channel());
        SUSPEND.exit();
    }

    // The operations of the file system.

    /// `VFS_STATVFS`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn vfs_statvfs(&self, out: &mut StatvfsBuf) -> Result<()> {
        // SAFETY: a live mount, and room for the answer.
        Errno::check(unsafe { entry::puffs_vfsop_statvfs(self.raw(), ptr::from_mut(out).cast()) })
    }

    /// `VFS_SYNC`.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn vfs_sync(&self, waitfor: i32, cred: *mut sys::kauth_cred) -> Result<()> {
        // SAFETY: a live mount and a credential.
        Errno::check(unsafe { entry::puffs_vfsop_sync(self.raw(), waitfor, cred) })
    }

    /// `VFS_ROOT`: locked.
    pub(crate) fn vfs_root(&self) -> Result<VnodeRef> {
        let mut vp = ptr::null_mut();
        // SAFETY: a live mount and a place for the vnode.
        Errno::check(unsafe { entry::puffs_vfsop_root(self.raw(), &mut vp) })?;
        Ok(VnodeRef::adopt(vp))
    }

    /// `VFS_FHTOVP`: locked. `fid` is a whole handle.
    pub(crate) fn vfs_fhtovp(&self, fid: &mut [u8]) -> Result<VnodeRef> {
        let mut vp = ptr::null_mut();
        // SAFETY: a live mount, a whole handle, a place for the vnode.
        Errno::check(unsafe {
            entry::puffs_vfsop_fhtovp(self.raw(), fid.as_mut_ptr().cast(), &mut vp)
        })?;
        Ok(VnodeRef::adopt(vp))
    }

    /// `VFS_EXTATTRCTL`. `vp` is locked and comes back unlocked.
    pub(crate) fn vfs_extattrctl(
        &self,
        cmd: i32,
        vp: *mut sys::vnode,
        namespace: i32,
        name: Option<&CStr>,
    ) -> Result<()> {
        let name = name.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: a live mount, a vnode or none, a C string or none.
        Errno::check(unsafe { entry::puffs_vfsop_extattrctl(self.raw(), cmd, vp, namespace, name) })
    }
}

/// The arguments of mount(2), in kernel memory.
struct Args {
    start: *mut c_void,
    room: usize,
}

impl Args {
    fn new(bytes: &[u8]) -> Args {
        let room = bytes.len().max(1);
        // SAFETY: the size is not 0.
        let start = unsafe { super::mem::pk_alloc(room, true) };
        // SAFETY: fresh memory of at least that size.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), bytes.len()) };
        Args { start, room }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size and initialised.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.room) }
    }
}

impl Drop for Args {
    fn drop(&mut self) {
        // SAFETY: allocated with this size, and the call is over.
        unsafe { super::mem::pk_free(self.start, self.room) };
    }
}

/// mount(2) on the directory `path`, with the bytes of the arguments, which
/// may be too few. `between` is run when the file system has been mounted and
/// the mount point is looked at; what it returns is the outcome of that.
/// Returns the mount, and the arguments as the kernel has them then.
///
/// # Errors
/// What the file system or `between` says.
pub fn mount(
    path: Option<&str>,
    args: &[u8],
    kind: MountKind,
    between: impl FnOnce() -> Result<()>,
) -> Result<(Arc<Mount>, Vec<u8>)> {
    let name = path.unwrap_or_default();
    let existing = (kind != MountKind::New).then(|| find(name)).flatten();
    let mp = match existing {
        Some((held, _)) => {
            held.reference();
            Arc::clone(&held)
        }
        None => Mount::new(name),
    };
    mp.getargs
        .store(kind == MountKind::GetArgs, Ordering::Release);
    mp.update
        .store(kind == MountKind::Update, Ordering::Release);

    let text = path.map(|path| CString::new(path).unwrap_or_default());
    let user_path = text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    let kargs = Args::new(args);
    let mut len = args.len();
    mp.updating.enter();
    // SAFETY: a live mount, a C string or NULL, kernel memory of `len` bytes.
    let mounted = Errno::check(sync::making(&[Class::Message, Class::Sop], || unsafe {
        entry::puffs_vfsop_mount(mp.raw(), user_path, kargs.start, &mut len)
    }));
    mp.getargs.store(false, Ordering::Release);
    mp.update.store(false, Ordering::Release);
    let answer = kargs.bytes()[..len.min(kargs.room)].to_vec();
    drop(kargs);
    if kind != MountKind::New {
        mp.updating.exit();
        mp.release();
        lwp::user_return();
        return mounted.map(|()| (mp, answer));
    }
    let ready = mounted.and_then(|()| {
        between().inspect_err(|_| {
            let error = vfs_unmount(&mp, MNT_FORCE);
            kassert!(error.is_ok(), "unmounting a fresh file system failed");
        })
    });
    if let Err(error) = ready {
        mp.updating.exit();
        mp.release();
        lwp::user_return();
        return Err(error);
    }
    // Before anyone finds and unmounts it: NetBSD takes this one a moment late.
    mp.reference();
    lock(&MOUNTED).push((name.to_owned(), mp.handle));
    mp.updating.exit();
    let mut stat = mp.stat();
    if mp.vfs_statvfs(&mut stat).is_ok() {
        *lock(&mp.stat) = stat;
    }
    // SAFETY: a live mount.
    unsafe { entry::puffs_vfsop_start(mp.raw(), 0) };
    mp.release();
    lwp::user_return();
    Ok((mp, answer))
}

fn vfs_unmount(mp: &Mount, flags: i32) -> Result<()> {
    // SAFETY: a live mount.
    Errno::check(unsafe { entry::puffs_vfsop_unmount(mp.raw(), flags) })
}

/// `dounmount(9)`. The caller holds the structure.
pub(crate) fn dounmount(mp: &Mount, flags: i32) -> Result<()> {
    mp.suspend()?;
    mp.updating.enter();
    cache::purge_mount(mp.handle);
    let force = flags & MNT_FORCE != 0;
    let synced = if force {
        Ok(())
    } else {
        mp.vfs_sync(MNT_WAIT, vnode::proc_cred())
    };
    let unmounted = match synced {
        Err(error) if !force => Err(error),
        _ => vfs_unmount(mp, flags),
    };
    mp.updating.exit();
    if unmounted.is_ok() {
        mp.gone.store(true, Ordering::Release);
    }
    mp.resume();
    unmounted?;
    lock(&MOUNTED).retain(|&(_, handle)| handle != mp.handle);
    let dangling = vnode::count_of(mp.handle);
    kassert!(dangling == 0, "unmount: {dangling} dangling vnodes");
    // The reference of mount(2).
    mp.release();
    Ok(())
}

/// unmount(2).
///
/// # Errors
/// ENOENT if nothing is mounted there; what the file system says.
pub fn unmount(path: &str, flags: i32) -> Result<()> {
    let Some((mp, _)) = find(path) else {
        return Err(Errno::EINVAL);
    };
    // The path walk ends at the root.
    let walked = mp.walk_in().map(|root| root.unlock());
    let done = walked.map(drop).and_then(|()| dounmount(&mp, flags));
    drop(mp);
    lwp::user_return();
    done
}

/// unmount(2) of what a test has in hand, without a walk.
///
/// # Errors
/// ENOENT if it was unmounted meanwhile; what the file system says.
pub fn unmount_mount(mp: &Arc<Mount>, flags: i32) -> Result<()> {
    let done = unmount_within(mp, flags);
    lwp::user_return();
    done
}

/// The part of [`unmount_mount`] up to the return to user mode.
///
/// # Errors
/// The same.
pub fn unmount_within(mp: &Arc<Mount>, flags: i32) -> Result<()> {
    if !mp.try_reference() {
        return Err(Errno::ENOENT);
    }
    let done = dounmount(mp, flags);
    mp.release();
    done
}

// What the core asks of mounts.

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_ref(mp: *mut sys::mount) {
    of(mp).reference();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_rele(mp: *mut sys::mount) {
    of(mp).release();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_unmount(mp: *mut sys::mount) -> i32 {
    sync::assert_sleepable("pk_mount_unmount");
    Errno::code(faults::check(Kind::Unmount).and_then(|()| dounmount(&of(mp), MNT_FORCE)))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_enter(mp: *mut sys::mount) -> i32 {
    let mp = of(mp);
    let entered = faults::check(Kind::Enter).and_then(|()| {
        mp.trans_start(false)?;
        if !mp.is_gone() {
            return Ok(());
        }
        mp.trans_done();
        Err(Errno::ENOENT)
    });
    Errno::code(entered)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_leave(mp: *mut sys::mount) {
    of(mp).trans_done();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_data(mp: *mut sys::mount) -> *mut c_void {
    ptr::with_exposed_provenance_mut(of(mp).data.load(Ordering::Acquire))
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_clear_data(mp: *mut sys::mount) {
    of(mp).data.store(0, Ordering::Release);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_flags(_mp: *mut sys::mount) -> u32 {
    // mount(2) takes none here.
    0
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_fsid(mp: *mut sys::mount) -> u64 {
    lock(&of(mp).stat).fsidx[0] as u64
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_is_getargs(mp: *mut sys::mount) -> bool {
    of(mp).getargs.load(Ordering::Acquire)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_is_update(mp: *mut sys::mount) -> bool {
    of(mp).update.load(Ordering::Acquire)
}

fn copy_name(to: &mut [u8], from: &[u8]) {
    to.fill(0);
    let room = to.len() - 1;
    for (to, from) in to[..room].iter_mut().zip(from) {
        *to = *from;
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_set_statvfs(
    mp: *mut sys::mount,
    path: *const c_char,
    from: *const c_char,
    fstype: *const c_char,
    wire: *mut c_void,
) -> i32 {
    sync::assert_sleepable("pk_mount_set_statvfs");
    if path.is_null() {
        // EFAULT
        return 14;
    }
    if let Err(error) = faults::check(Kind::Path) {
        return error.get();
    }
    let mount = of(mp);
    // SAFETY: the path of mount(2).
    let path = unsafe { CStr::from_ptr(path) };
    // SAFETY: the core passes a C string.
    let from = unsafe { CStr::from_ptr(from) };
    // SAFETY: the core passes a C string.
    let fstype = unsafe { CStr::from_ptr(fstype) };
    {
        let mut stat = lock(&mount.stat);
        // copystr(9) stops a byte early here, and wants the NUL by then.
        if from.count_bytes() + 1 >= stat.mntfromname.len() {
            // ENAMETOOLONG
            return 63;
        }
        copy_name(&mut stat.mntonname, path.to_bytes());
        copy_name(&mut stat.mntfromname, from.to_bytes());
        copy_name(&mut stat.fstypename, fstype.to_bytes());
        stat.iosize = 512;
        stat.owner = 0;
    }
    *lock(&mount.path) = path.to_string_lossy().into_owned();
    // SAFETY: the same arguments.
    unsafe { pk_mount_copy_statvfs(mp, wire) };
    // SAFETY: the core passes a whole structure.
    let wire = unsafe { &*wire.cast::<StatvfsBuf>() };
    lock(&mount.stat)
        .as_mut_bytes()
        .copy_from_slice(wire.as_bytes());
    0
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_commit(mp: *mut sys::mount, data: *mut c_void) {
    static FSIDS: AtomicUsize = AtomicUsize::new(1);
    let mount = of(mp);
    mount
        .data
        .store(data.expose_provenance(), Ordering::Release);
    let fsid = FSIDS.fetch_add(1, Ordering::Relaxed);
    let mut stat = lock(&mount.stat);
    stat.fsid = fsid;
    stat.fsidx = [fsid as i32, 0x7066];
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_copy_statvfs(mp: *mut sys::mount, wire: *mut c_void) {
    // SAFETY: the core passes a whole structure.
    let wire = unsafe { &mut *wire.cast::<StatvfsBuf>() };
    known(&of(mp), wire);
    wire.iosize = 512;
}

/// What the kernel knows by itself (`copy_statvfs_info`).
fn known(mount: &Mount, to: &mut StatvfsBuf) {
    let stat = lock(&mount.stat);
    to.flag = stat.flag;
    to.fsid = stat.fsid;
    to.fsidx = stat.fsidx;
    to.owner = stat.owner;
    to.fstypename = stat.fstypename;
    to.mntonname = stat.mntonname;
    to.mntfromname = stat.mntfromname;
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_known_statvfs(mp: *mut sys::mount, sb: *mut c_void) {
    // SAFETY: the core passes a whole structure.
    let sb = unsafe { &mut *sb.cast::<StatvfsBuf>() };
    known(&of(mp), sb);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_statvfs_from_wire(sb: *mut c_void, wire: *const c_void) {
    // SAFETY: two whole structures, of one layout in this kernel.
    unsafe { ptr::copy(wire.cast::<u8>(), sb.cast::<u8>(), size_of::<StatvfsBuf>()) };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mount_vflush(mp: *mut sys::mount, force: bool) -> i32 {
    sync::assert_sleepable("pk_mount_vflush");
    if !force {
        if let Err(error) = faults::check(Kind::Vflush) {
            return error.get();
        }
    }
    Errno::code(vnode::vflush(&of(mp), force))
}
