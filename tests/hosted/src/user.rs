//! Processes, and the system calls that they make.

use crate::{
    kernel::{
        component::CredHold,
        lwp::{self, Bound, Lwp, Process, SIGTERM},
        vfs::{self, Mount},
        vnode::{Vnode, VnodeRef},
        Actor,
    },
    rt,
    vnops::{self, vattr_null, Name},
};
use puffs_rs::{
    abi::{
        consts::{MAXPATHLEN, VNOVAL},
        vn::{DirentHead, Flock},
        NameiOp, StatvfsBuf, Timespec, Vattr, VnOp, Vtype, VA_UTIMES_NULL,
    },
    kern::{Errno, Result},
};
use puffs_script::{
    text,
    world::{How, Lock, LockKind, Time, Whence},
};
use std::sync::{
    atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    Arc, Mutex, PoisonError,
};
use zerocopy::{FromBytes, FromZeros};

const EPERM: i32 = 1;
const EBADF: i32 = 9;
const ENODEV: i32 = 19;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const ELOOP: i32 = 62;
const ENAMETOOLONG: i32 = 63;
const EFTYPE: i32 = 79;
const FREAD: i32 = 1;
const FWRITE: i32 = 2;

/// What VOP_ACCESS is asked: `R_OK`, `W_OK`.
const VREAD: i32 = 0o4;
const VWRITE: i32 = 0o2;

/// How long a name may be (`KERNEL_NAME_MAX`).
const NAME_MAX: usize = 255;

/// How many symbolic links a path may lead through (`MAXSYMLINKS`).
const LINKS_MAX: usize = 32;

const F_GETLK: i32 = 7;
const F_SETLK: i32 = 8;
const F_RDLCK: i16 = 1;
const F_UNLCK: i16 = 2;
const F_WRLCK: i16 = 3;
const F_WAIT: i32 = 0x10;
const F_FLOCK: i32 = 0x20;
const F_POSIX: i32 = 0x40;

fn errno(number: i32) -> Errno {
    vfs::errno::other(number)
}

/// A process, which exists until the last clone is dropped.
#[derive(Clone)]
pub struct User {
    process: Arc<Process>,
    name: String,
    shared: Arc<Shared>,
}

/// What the threads of a process share.
struct Shared {
    /// Whose it is, and whose it was before: requests that are under way may
    /// still say so.
    creds: Mutex<Vec<CredHold>>,
    umask: AtomicU32,
    /// The file system is asked for permission, as a kernel does.
    asks: bool,
    /// It has had advisory locks, and gives them back when it closes a file.
    locks: AtomicBool,
}

/// A thread of a process. Dropping it does not wait for it.
pub struct Task<T> {
    lwp: Arc<Lwp>,
    thread: rt::Handle<T>,
}

impl<T> Task<T> {
    /// The thread as the kernel knows it.
    pub fn lwp(&self) -> &Lwp {
        &self.lwp
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        self.lwp.signal(signal);
    }

    /// Did it end?
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it sleeps for a reply, and returns it.
    #[must_use]
    pub fn until_asleep(self, why: &str) -> Self {
        while !self.thread.is_finished() && self.lwp.asleep().as_deref() != Some(why) {
            rt::pause();
        }
        self
    }

    /// Sends it a signal until it ends: one that comes just before a system
    /// call returns does not end the next.
    ///
    /// # Panics
    /// If it panicked.
    pub fn terminate(self) -> T {
        while !self.is_done() {
            self.signal(SIGTERM);
            rt::pause();
        }
        self.join()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it panicked.
    pub fn join(self) -> T {
        match self.thread.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Open {
    /// `O_CREAT`: make it if it is not there.
    pub create: bool,
    /// `O_EXCL`: fail if it is.
    pub exclusive: bool,
    /// `O_TRUNC`: empty it.
    pub truncate: bool,
    /// Write as well.
    pub write: bool,
}

impl Open {
    /// To read.
    pub const READ: Open = Open {
        create: false,
        exclusive: false,
        truncate: false,
        write: false,
    };
    /// To read and write.
    pub const WRITE: Open = Open {
        create: false,
        exclusive: false,
        truncate: false,
        write: true,
    };
    /// To make, empty and write.
    pub const CREATE: Open = Open {
        create: true,
        exclusive: false,
        truncate: true,
        write: true,
    };
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// The number of the file.
    pub fileno: u64,
    /// The name.
    pub name: String,
    /// `DT_*`.
    pub kind: u8,
}

impl From<Open> for How {
    fn from(open: Open) -> How {
        How {
            create: open.create,
            exclusive: open.exclusive,
            truncate: open.truncate,
            write: open.write,
            ..How::READ
        }
    }
}

/// An open file. Dropping it is `close(2)`.
pub struct File {
    vnode: VnodeRef,
    user: User,
    offset: AtomicI64,
    mode: i32,
    append: bool,
    /// It has had a lock of `flock(2)`.
    locks: AtomicBool,
}

impl User {
    /// A new process of an ordinary user's. What it does is not checked for
    /// permission.
    pub fn new(name: &str) -> User {
        User::with(
            Process::new(),
            name,
            CredHold::new(1000, 100, &[100, 200]),
            false,
        )
    }

    /// The kernel, in a thread of its own with that name.
    pub fn kernel(name: &str) -> User {
        User::with(Process::kernel(), name, CredHold::new(0, 0, &[0]), false)
    }

    /// A new process of the superuser's. The file system is asked whether what
    /// it does is permitted.
    pub fn superuser(name: &str) -> User {
        User::with(Process::new(), name, CredHold::new(0, 0, &[0]), true)
    }

    fn with(process: Process, name: &str, cred: CredHold, asks: bool) -> User {
        let shared = Shared {
            creds: Mutex::new(vec![cred]),
            umask: AtomicU32::new(0o022),
            asks,
            locks: AtomicBool::new(false),
        };
        User {
            process: Arc::new(process),
            name: name.to_owned(),
            shared: Arc::new(shared),
        }
    }

    fn creds(&self) -> std::sync::MutexGuard<'_, Vec<CredHold>> {
        let creds = self.shared.creds.lock();
        creds.unwrap_or_else(PoisonError::into_inner)
    }

    /// `setuid(2)` and its like: the process is this user's from now on.
    pub fn become_user(&self, uid: u32, gid: u32, groups: &[u32]) {
        self.creds().push(CredHold::new(uid, gid, groups));
    }

    /// `umask(2)`; returns what it was.
    pub fn umask(&self, mask: u32) -> u32 {
        self.shared.umask.swap(mask & 0o777, Ordering::Relaxed)
    }

    /// The permissions of what is made.
    fn masked(&self, mode: u32) -> u32 {
        mode & !self.shared.umask.load(Ordering::Relaxed)
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Starts a thread of it.
    ///
    /// # Panics
    /// If the host has no threads left.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&User) -> T + Send + 'static,
    ) -> Task<T> {
        let lwp = Lwp::new(self.pid(), &format!("{}/{name}", self.name));
        let (user, mine) = (self.clone(), lwp.clone());
        let name = format!("{}/{name}", self.name);
        let spawned = rt::spawn(name, move || {
            let _bound = Bound::new(mine);
            work(&user)
        });
        match spawned {
            Ok(thread) => Task { lwp, thread },
            Err(error) => panic!("no thread: {error}"),
        }
    }

    /// A thread of it that runs on the host's threads which tell it to.
    pub fn actor(&self, name: &str) -> Actor {
        Actor::new(self.pid(), &format!("{}/{name}", self.name))
    }

    /// Runs `f` as a thread of this process.
    pub fn run<T>(&self, f: impl FnOnce(&User) -> T) -> T {
        if lwp::is_of(self.pid()) {
            return f(self);
        }
        let _bound = Bound::new(Lwp::new(self.pid(), &self.name));
        f(self)
    }

    /// One system call.
    fn call<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        self.run(|_| {
            let done = f();
            lwp::user_return();
            done
        })
    }

    pub(crate) fn cred(&self) -> *mut puffs_rs::kern::sys::kauth_cred {
        match self.creds().last() {
            Some(cred) => cred.raw(),
            None => unreachable!("a process is somebody's"),
        }
    }

    /// Asks the file system whether these (`VREAD`, `VWRITE`) are permitted, if
    /// the process asks at all.
    fn may(&self, vnode: &VnodeRef, bits: i32) -> Result<()> {
        if !self.shared.asks || bits == 0 {
            return Ok(());
        }
        vnode.lock(true, false)?;
        let done = vnops::access(vnode, bits, self.cred());
        Vnode::unlock(vnode);
        done
    }

    // Path walks.

    /// The directory and the last component of a path; the directory locked.
    fn parent(&self, path: &str) -> Result<(VnodeRef, String)> {
        let trimmed = path.trim_end_matches('/');
        if vfs::find(trimmed).is_some_and(|(_, rest)| rest.is_empty()) {
            // The mount point itself.
            return Err(Errno::EBUSY);
        }
        let (dir, name) = trimmed.rsplit_once('/').ok_or(Errno::ENOENT)?;
        if text::len(name) > NAME_MAX || text::len(path) >= MAXPATHLEN {
            return Err(errno(ENAMETOOLONG));
        }
        let dir = self.walk(dir, true, 0)?;
        if !dir.is_dir() {
            return Err(errno(ENOTDIR));
        }
        dir.lock(true, false)?;
        Ok((dir, name.to_owned()))
    }

    /// The vnode of a path, not locked.
    fn walk(&self, path: &str, follow: bool, depth: usize) -> Result<VnodeRef> {
        if text::len(path) >= MAXPATHLEN {
            return Err(errno(ENAMETOOLONG));
        }
        let (mount, rest) = vfs::find(path).ok_or(Errno::ENOENT)?;
        let slash = if rest.ends_with('/') { "/" } else { "" };
        let mut at = mount.walk_in().map(VnodeRef::unlock)?;
        drop(mount);
        let mut walked = path[..path.len() - rest.len()].to_owned();
        let mut rest = rest.trim_start_matches('/');
        while !rest.is_empty() {
            let (component, more) = rest.split_once('/').unwrap_or((rest, ""));
            let more = more.trim_start_matches('/');
            if !at.is_dir() {
                return Err(errno(ENOTDIR));
            }
            if text::len(component) > NAME_MAX {
                return Err(errno(ENAMETOOLONG));
            }
            at.lock(true, false)?;
            let name = Name {
                path: rest,
                len: component.len(),
                op: NameiOp::Lookup,
                last: more.is_empty(),
                cred: self.cred(),
            };
            let found = vnops::lookup(&at, &name);
            let dir = at.unlock();
            let found = found?;
            drop(dir);
            let is_link = found.vtype() == Vtype::Lnk as u32;
            if is_link && (follow || !more.is_empty() || !slash.is_empty()) {
                if depth >= LINKS_MAX {
                    return Err(errno(ELOOP));
                }
                // A path is a C string, whatever the file system says.
                let mut target = vnops::readlink(&found, self.cred())?;
                let end = target.iter().position(|&byte| byte == 0);
                target.truncate(end.unwrap_or(target.len()));
                let target = text::of(&target);
                let base = if target.starts_with('/') {
                    String::new()
                } else {
                    walked + "/"
                };
                let more = if more.is_empty() {
                    slash.to_owned()
                } else {
                    format!("/{more}")
                };
                return self.walk(&format!("{base}{target}{more}"), follow, depth + 1);
            }
            walked = format!("{walked}/{component}");
            at = found;
            rest = more;
        }
        if !slash.is_empty() && !at.is_dir() {
            return Err(errno(ENOTDIR));
        }
        Ok(at)
    }

    /// The vnode of a path, for tests that go on below system calls.
    ///
    /// # Errors
    /// What the walk says.
    pub fn vnode(&self, path: &str) -> Result<VnodeRef> {
        self.call(|| self.walk(path, true, 0))
    }

    fn last<'a>(&self, name: &'a str, op: NameiOp) -> Name<'a> {
        Name::last(name, op, self.cred())
    }

    // System calls.

    /// `open(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn open(&self, path: &str, how: Open) -> Result<File> {
        self.open_how(path, how.into())
    }

    /// `open(2)`, with all that can be said of how.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn open_how(&self, path: &str, how: How) -> Result<File> {
        self.call(|| {
            let (vnode, made) = if how.create {
                self.create(path, how, 0)?
            } else {
                (self.walk(path, !how.nofollow, 0)?, false)
            };
            self.open_vnode(vnode, how, made)
        })
    }

    fn open_vnode(&self, vnode: VnodeRef, how: How, made: bool) -> Result<File> {
        if vnode.vtype() == Vtype::Lnk as u32 {
            return Err(errno(EFTYPE));
        }
        if how.directory && !vnode.is_dir() {
            return Err(errno(ENOTDIR));
        }
        if (how.write || how.truncate) && vnode.is_dir() {
            return Err(errno(EISDIR));
        }
        let mode = match (how.write, how.not_read) {
            (false, _) => FREAD,
            (true, false) => FREAD | FWRITE,
            (true, true) => FWRITE,
        };
        if !made {
            let read = if mode & FREAD != 0 { VREAD } else { 0 };
            let write = if how.write || how.truncate { VWRITE } else { 0 };
            self.may(&vnode, read)?;
            self.may(&vnode, write)?;
        }
        vnode.lock(true, false)?;
        let opened = vnops::open(&vnode, mode, self.cred()).and_then(|()| {
            if how.truncate && (self.shared.asks || vnode.size() != 0) {
                let mut va = vattr_null();
                va.size = 0;
                vnops::setattr(&vnode, &va, self.cred())?;
            }
            Ok(())
        });
        let vnode = vnode.unlock();
        opened?;
        Ok(File {
            vnode,
            user: self.clone(),
            offset: AtomicI64::new(0),
            mode,
            append: how.append,
            locks: AtomicBool::new(false),
        })
    }

    /// What is to be opened, and whether it was made for that.
    fn create(&self, path: &str, how: How, depth: usize) -> Result<(VnodeRef, bool)> {
        let (dir, name) = match self.parent(path) {
            Err(Errno::EBUSY) if !how.exclusive => return Ok((self.walk(path, true, 0)?, false)),
            Err(Errno::EBUSY) => return Err(Errno::EEXIST),
            other => other?,
        };
        if name == "." || name == ".." {
            drop(dir.unlock());
            return Err(if how.exclusive {
                Errno::EEXIST
            } else {
                errno(EISDIR)
            });
        }
        let found = vnops::lookup(&dir, &self.last(&name, NameiOp::Create));
        let done = match found {
            Ok(_) if how.exclusive => Err(Errno::EEXIST),
            Ok(found) => Ok((found, false)),
            Err(Errno::EJUSTRETURN) => {
                let va = new_vattr(Vtype::Reg, self.masked(how.mode));
                vnops::create(&dir, &self.last(&name, NameiOp::Create), &va)
                    .map(|made| (made, true))
            }
            Err(error) => Err(error),
        };
        drop(dir.unlock());
        match done {
            // What it leads to is opened, or made.
            Ok((link, false)) if link.vtype() == Vtype::Lnk as u32 && !how.nofollow => {
                if depth >= LINKS_MAX {
                    return Err(errno(ELOOP));
                }
                let mut target = vnops::readlink(&link, self.cred())?;
                let end = target.iter().position(|&byte| byte == 0);
                target.truncate(end.unwrap_or(target.len()));
                let target = text::of(&target);
                drop(link);
                let target = match path.trim_end_matches('/').rsplit_once('/') {
                    Some((dir, _)) if !target.starts_with('/') => format!("{dir}/{target}"),
                    _ => target,
                };
                self.create(&target, how, depth + 1)
            }
            other => other,
        }
    }

    /// [`parent`](Self::parent) of what is to be made.
    fn new_name(&self, path: &str) -> Result<(VnodeRef, String)> {
        let (dir, name) = match self.parent(path) {
            Err(Errno::EBUSY) => return Err(Errno::EEXIST),
            other => other?,
        };
        if name == "." || name == ".." {
            drop(dir.unlock());
            return Err(Errno::EEXIST);
        }
        Ok((dir, name))
    }

    fn make(&self, path: &str, va: &Vattr) -> Result<()> {
        self.call(|| {
            let (dir, name) = self.new_name(path)?;
            let done = match vnops::lookup(&dir, &self.last(&name, NameiOp::Create)) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::EJUSTRETURN) => {
                    vnops::create(&dir, &self.last(&name, NameiOp::Create), va)
                }
                Err(error) => Err(error),
            };
            drop(dir.unlock());
            done.map(drop)
        })
    }

    /// `mkdir(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn mkdir(&self, path: &str) -> Result<()> {
        self.make(path, &new_vattr(Vtype::Dir, self.masked(0o755)))
    }

    /// `mknod(2)` of a device, or of a fifo.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn mknod(&self, path: &str, vtype: Vtype, rdev: u64) -> Result<()> {
        let is_root = self.creds().last().is_some_and(CredHold::is_root);
        if self.shared.asks && vtype != Vtype::Fifo && !is_root {
            return Err(errno(EPERM));
        }
        let mut va = new_vattr(vtype, self.masked(0o644));
        va.rdev = rdev;
        self.make(path, &va)
    }

    /// `symlink(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.call(|| {
            if text::len(target) >= MAXPATHLEN {
                return Err(errno(ENAMETOOLONG));
            }
            let (dir, name) = self.new_name(path)?;
            let va = new_vattr(Vtype::Lnk, self.masked(0o777));
            let name = self.last(&name, NameiOp::Create);
            let done = match vnops::lookup(&dir, &name) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::EJUSTRETURN) => vnops::symlink(&dir, &name, &va, target),
                Err(error) => Err(error),
            };
            drop(dir.unlock());
            done.map(drop)
        })
    }

    /// `readlink(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn readlink(&self, path: &str) -> Result<String> {
        self.call(|| {
            let vnode = self.walk(path, false, 0)?;
            if vnode.vtype() != Vtype::Lnk as u32 {
                return Err(Errno::EINVAL);
            }
            let target = vnops::readlink(&vnode, self.cred())?;
            Ok(text::of(&target))
        })
    }

    /// `link(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn link(&self, from: &str, to: &str) -> Result<()> {
        self.call(|| {
            let vnode = self.walk(from, true, 0)?;
            elsewhere(to)?;
            let (dir, name) = self.new_name(to)?;
            let done = match vnops::lookup(&dir, &self.last(&name, NameiOp::Create)) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::EJUSTRETURN) if vnode.is_dir() => Err(errno(EPERM)),
                Err(Errno::EJUSTRETURN) => {
                    vnops::link(&dir, &vnode, &self.last(&name, NameiOp::Create))
                }
                Err(error) => Err(error),
            };
            drop(dir.unlock());
            done
        })
    }

    fn remove(&self, path: &str, op: VnOp) -> Result<()> {
        self.call(|| {
            let (dir, name) = self.parent(path)?;
            if name == "." {
                // The parent is the directory itself, which is locked already.
                drop(dir.unlock());
                let rmdir = op == VnOp::Rmdir;
                return Err(if rmdir { Errno::EINVAL } else { errno(EPERM) });
            }
            let name = self.last(&name, NameiOp::Delete);
            let done = vnops::lookup(&dir, &name).and_then(|vnode| {
                if op == VnOp::Rmdir && !vnode.is_dir() {
                    return Err(errno(ENOTDIR));
                }
                if path.ends_with('/') && !vnode.is_dir() {
                    return Err(errno(ENOTDIR));
                }
                vnode.lock(true, false)?;
                vnops::remove(&dir, vnode, &name, op)
            });
            drop(dir.unlock());
            done
        })
    }

    /// `unlink(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn unlink(&self, path: &str) -> Result<()> {
        self.remove(path, VnOp::Remove)
    }

    /// `rmdir(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn rmdir(&self, path: &str) -> Result<()> {
        self.remove(path, VnOp::Rmdir)
    }

    /// `rename(2)`.
    ///
    /// # Errors
    /// What the walks and the file system say.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.call(|| {
            let (from_dir, from_name) = self.parent(from)?;
            if from_name == "." || from_name == ".." {
                drop(from_dir.unlock());
                return Err(Errno::EINVAL);
            }
            let from_name = self.last(&from_name, NameiOp::Delete);
            let vnode = vnops::lookup(&from_dir, &from_name);
            let from_dir = from_dir.unlock();
            let vnode = vnode?;
            elsewhere(to)?;
            let (to_dir, to_name) = self.parent(to)?;
            if to_name == "." || to_name == ".." {
                drop(to_dir.unlock());
                return Err(if to_name == "." {
                    errno(EISDIR)
                } else {
                    Errno::EINVAL
                });
            }
            let same_name = to_name == from_name.path;
            let to_name = self.last(&to_name, NameiOp::Rename);
            let over = match vnops::lookup(&to_dir, &to_name) {
                Ok(over) => Ok(Some(over)),
                Err(Errno::EJUSTRETURN) => Ok(None),
                Err(error) => Err(error),
            };
            let allowed = over.and_then(|over| {
                if let Some(over) = &over {
                    match (vnode.is_dir(), over.is_dir()) {
                        (true, false) => return Err(errno(ENOTDIR)),
                        (false, true) => return Err(errno(EISDIR)),
                        _ => {}
                    }
                }
                if vnode.handle() == to_dir.handle() {
                    return Err(Errno::EINVAL);
                }
                let same_dir = from_dir.handle() == to_dir.handle();
                let same = over
                    .as_ref()
                    .is_some_and(|over| over.handle() == vnode.handle());
                if same && same_dir && same_name {
                    return Ok(None);
                }
                if let Some(over) = &over {
                    over.lock(true, false)?;
                }
                Ok(Some(over))
            });
            match allowed {
                Ok(Some(over)) => {
                    vnops::rename((from_dir, vnode, &from_name), (to_dir, over, &to_name))
                }
                other => {
                    drop(to_dir.unlock());
                    other.map(drop)
                }
            }
        })
    }

    /// `stat(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn stat(&self, path: &str) -> Result<Vattr> {
        self.call(|| self.attributes(self.walk(path, true, 0)?))
    }

    /// `lstat(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn lstat(&self, path: &str) -> Result<Vattr> {
        self.call(|| self.attributes(self.walk(path, false, 0)?))
    }

    fn attributes(&self, vnode: VnodeRef) -> Result<Vattr> {
        vnode.lock(true, false)?;
        let done = vnops::getattr(&vnode, self.cred());
        drop(vnode.unlock());
        done
    }

    /// `chmod(2)`, `truncate(2)` and the like: what of `va` is set.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn setattr(&self, path: &str, va: &Vattr) -> Result<()> {
        self.call(|| self.change(self.walk(path, true, 0)?, va))
    }

    fn change(&self, vnode: VnodeRef, va: &Vattr) -> Result<()> {
        vnode.lock(true, false)?;
        let done = vnops::setattr(&vnode, va, self.cred());
        drop(vnode.unlock());
        done
    }

    /// `truncate(2)`, with the checks that it brings.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn truncate(&self, path: &str, size: i64) -> Result<()> {
        self.call(|| {
            if size < 0 {
                return Err(Errno::EINVAL);
            }
            let vnode = self.walk(path, true, 0)?;
            if vnode.is_dir() {
                return Err(errno(EISDIR));
            }
            self.may(&vnode, VWRITE)?;
            let mut va = vattr_null();
            va.size = size as u64;
            self.change(vnode, &va)
        })
    }

    /// `chown(2)`, or `lchown(2)`: the set-id bits go with what they are about.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn chown(
        &self,
        path: &str,
        uid: Option<u32>,
        gid: Option<u32>,
        follow: bool,
    ) -> Result<()> {
        self.call(|| {
            let vnode = self.walk(path, follow, 0)?;
            let now = self.attributes(vnode.again())?;
            let mut mode = now.mode;
            if uid.is_some_and(|uid| uid != now.uid) {
                mode &= !0o4000;
            }
            if gid.is_some_and(|gid| gid != now.gid) {
                mode &= !0o2000;
            }
            let mut va = vattr_null();
            va.uid = uid.unwrap_or(va.uid);
            va.gid = gid.unwrap_or(va.gid);
            if mode != now.mode {
                va.mode = mode;
            }
            self.change(vnode, &va)
        })
    }

    /// `utimensat(2)`: to the time of day, if no times are given.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn utimes(&self, path: &str, times: Option<[Time; 2]>, follow: bool) -> Result<()> {
        self.call(|| {
            let vnode = self.walk(path, follow, 0)?;
            let mut va = vattr_null();
            let [atime, mtime] = times.unwrap_or_else(|| [rt::wall_clock().as_nanos() as i64; 2]);
            va.atime = timespec(atime);
            va.mtime = timespec(mtime);
            if times.is_none() {
                va.vaflags |= VA_UTIMES_NULL;
            }
            self.change(vnode, &va)
        })
    }

    /// `access(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn access(&self, path: &str, mode: i32) -> Result<()> {
        self.on(path, |vnode| vnops::access(vnode, mode, self.cred()))
    }

    /// All entries of a directory, in pieces of `room` bytes.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn readdir(&self, path: &str, room: usize) -> Result<Vec<DirEntry>> {
        self.call(|| {
            let vnode = self.walk(path, true, 0)?;
            vnode.lock(true, false)?;
            let mut all = Vec::new();
            let mut offset = 0;
            let done = loop {
                match vnops::readdir(&vnode, offset, room, false, self.cred()) {
                    Ok(listing) => {
                        all.extend(parse_entries(&listing.entries));
                        offset = listing.offset;
                        if listing.eof {
                            break Ok(());
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            drop(vnode.unlock());
            done.map(|()| all)
        })
    }

    /// The offsets after each entry, as nfsd(8) wants them.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn readdir_cookies(&self, path: &str, room: usize) -> Result<(Vec<DirEntry>, Vec<u64>)> {
        self.on(path, |vnode| {
            let listing = vnops::readdir(vnode, 0, room, true, self.cred())?;
            Ok((parse_entries(&listing.entries), listing.cookies))
        })
    }

    /// `statvfs(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn statvfs(&self, path: &str) -> Result<StatvfsBuf> {
        self.call(|| {
            // The file keeps the mount busy meanwhile; a mount that is taken
            // down by force does not care, and NetBSD may use it after that.
            let (mount, _) = vfs::find(path).ok_or(Errno::ENOENT)?;
            let vnode = self.walk(path, true, 0)?;
            let mut stat = StatvfsBuf::new_zeroed();
            let done = mount.vfs_statvfs(&mut stat);
            drop(vnode);
            done.map(|()| stat)
        })
    }

    /// The statistics that the kernel keeps (`ST_NOWAIT`).
    ///
    /// # Errors
    /// ENOENT if nothing is mounted there.
    pub fn statvfs_nowait(&self, path: &str) -> Result<StatvfsBuf> {
        vfs::find(path)
            .map(|(mount, _)| mount.stat())
            .ok_or(Errno::ENOENT)
    }

    /// `sync(2)` of one file system; `waitfor` is `MNT_*`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self, path: &str, waitfor: i32) -> Result<()> {
        self.call(|| {
            let (mount, _) = vfs::find(path).ok_or(Errno::ENOENT)?;
            mount.vfs_sync(waitfor, self.cred())
        })
    }

    /// `getfh(2)`: the handle of a file, of at most `room` bytes. A size of
    /// `None` asks for the length only.
    ///
    /// # Errors
    /// E2BIG with the room that it needs, else what the file system says.
    pub fn getfh(&self, path: &str, room: usize) -> std::result::Result<Vec<u8>, (Errno, usize)> {
        self.run(|_| {
            let done = self
                .walk(path, true, 0)
                .map_err(|error| (error, 0))
                .and_then(|vnode| vnops::vptofh(&vnode, room));
            lwp::user_return();
            done
        })
    }

    /// `fhstat(2)`: the attributes of the file that a handle stands for, and
    /// its cookie.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fhstat(&self, mount: &Mount, handle: &[u8]) -> Result<(usize, Vattr)> {
        self.call(|| {
            let mount = vfs::hold(mount).ok_or(Errno::ENOENT)?;
            let mut fid = handle.to_vec();
            let vnode = mount.vfs_fhtovp(&mut fid)?;
            let done = vnops::getattr(&vnode, self.cred());
            let cookie = vnode.cookie();
            drop(vnode.unlock());
            done.map(|va| (cookie, va))
        })
    }

    /// `fhopen(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fhopen(&self, mount: &Mount, handle: &[u8], how: How) -> Result<File> {
        self.call(|| {
            let mount = vfs::hold(mount).ok_or(Errno::ENOENT)?;
            let mut fid = handle.to_vec();
            let vnode = mount.vfs_fhtovp(&mut fid)?.unlock();
            self.open_vnode(vnode, how, false)
        })
    }

    /// A system call on the file of a path, locked.
    pub(crate) fn on<T>(&self, path: &str, call: impl FnOnce(&VnodeRef) -> Result<T>) -> Result<T> {
        self.call(|| {
            let vnode = self.walk(path, true, 0)?;
            vnode.lock(true, false)?;
            let done = call(&vnode);
            drop(vnode.unlock());
            done
        })
    }

    /// `extattrctl(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn extattrctl(
        &self,
        mount: &Mount,
        cmd: i32,
        file: Option<&str>,
        namespace: i32,
        name: Option<&std::ffi::CStr>,
    ) -> Result<()> {
        self.call(|| {
            let mount = vfs::hold(mount).ok_or(Errno::ENOENT)?;
            let vnode = file.map(|file| self.walk(file, true, 0)).transpose()?;
            if let Some(vnode) = &vnode {
                vnode.lock(true, false)?;
            }
            let raw = vnode
                .as_ref()
                .map_or(std::ptr::null_mut(), |vnode| vnode.raw());

            mount.vfs_extattrctl(cmd, raw, namespace, name)
        })
    }
}

/// What is not in a file system that is mounted is in another one.
fn elsewhere(path: &str) -> Result<()> {
    match vfs::find(path) {
        Some(_) => Ok(()),
        None => Err(Errno::EXDEV),
    }
}

fn timespec(time: Time) -> Timespec {
    const SECOND: i64 = 1_000_000_000;
    Timespec {
        sec: time.div_euclid(SECOND),
        nsec: time.rem_euclid(SECOND) as isize,
    }
}

fn new_vattr(vtype: Vtype, mode: u32) -> Vattr {
    let mut va = vattr_null();
    va.vtype = vtype.into();
    va.mode = mode;
    va.rdev = VNOVAL as u64;
    va
}

/// The entries of a directory that a server sent.
fn parse_entries(mut bytes: &[u8]) -> Vec<DirEntry> {
    let mut all = Vec::new();
    while let Ok((head, rest)) = DirentHead::read_from_prefix(bytes) {
        let len = usize::from(head.namlen.get());
        let Some(name) = rest.get(..len) else { break };
        all.push(DirEntry {
            fileno: head.fileno.get(),
            name: text::of(name),
            kind: head.kind,
        });
        match bytes.get(usize::from(head.reclen.get()).max(1)..) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    all
}

impl File {
    /// The vnode.
    pub fn vnode(&self) -> &VnodeRef {
        &self.vnode
    }

    fn locked<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        self.user.call(|| {
            self.vnode.lock(true, false)?;
            let done = f();
            Vnode::unlock(&self.vnode);
            done
        })
    }

    /// `pread(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_at(&self, offset: i64, len: usize) -> Result<Vec<u8>> {
        if self.mode & FREAD == 0 {
            return Err(errno(EBADF));
        }
        if offset < 0 {
            return Err(Errno::EINVAL);
        }
        self.locked(|| vnops::read(&self.vnode, offset, len, self.user.cred()))
    }

    /// `pwrite(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_at(&self, offset: i64, data: &[u8]) -> Result<usize> {
        self.write_from(offset, data).map(|(done, _)| done)
    }

    /// Returns how much was written, and where that ends.
    fn write_from(&self, offset: i64, data: &[u8]) -> Result<(usize, i64)> {
        if self.mode & FWRITE == 0 {
            return Err(errno(EBADF));
        }
        if offset < 0 {
            return Err(Errno::EINVAL);
        }
        self.locked(|| {
            let ioflag = if self.append { vnops::IO_APPEND } else { 0 };
            vnops::write(&self.vnode, offset, data, ioflag, self.user.cred())
        })
    }

    /// `read(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, len: usize) -> Result<Vec<u8>> {
        let data = self.read_at(self.offset.load(Ordering::Relaxed), len)?;
        self.offset.fetch_add(data.len() as i64, Ordering::Relaxed);
        Ok(data)
    }

    /// `write(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        let (done, end) = self.write_from(self.offset.load(Ordering::Relaxed), data)?;
        self.offset.store(end, Ordering::Relaxed);
        Ok(done)
    }

    /// `lseek(2)`: returns the place, which the file system is asked about.
    ///
    /// # Errors
    /// What the file system says.
    pub fn seek(&self, offset: i64, whence: Whence) -> Result<i64> {
        let before = self.offset.load(Ordering::Relaxed);
        let from = match whence {
            Whence::Start => 0,
            Whence::Here => before,
            Whence::End => self.stat()?.size as i64,
        };
        let place = from + offset;
        if place < 0 {
            return Err(Errno::EINVAL);
        }
        self.user
            .call(|| vnops::seek(&self.vnode, before, place, self.user.cred()))?;
        self.offset.store(place, Ordering::Relaxed);
        Ok(place)
    }

    /// `fstat(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stat(&self) -> Result<Vattr> {
        self.locked(|| vnops::getattr(&self.vnode, self.user.cred()))
    }

    /// `fchmod(2)`, `ftruncate(2)` and the like: what of `va` is set.
    ///
    /// # Errors
    /// What the file system says.
    pub fn setattr(&self, va: &Vattr) -> Result<()> {
        if va.size != VNOVAL as u64 && self.mode & FWRITE == 0 {
            return Err(Errno::EINVAL);
        }
        self.locked(|| vnops::setattr(&self.vnode, va, self.user.cred()))
    }

    /// `getdents(2)`, from where the descriptor is: what came, at most so many
    /// bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn getdents(&self, room: usize) -> Result<Vec<u8>> {
        if !self.vnode.is_dir() {
            return Err(Errno::EINVAL);
        }
        self.locked(|| {
            let offset = self.offset.load(Ordering::Relaxed);
            let listing = vnops::readdir(&self.vnode, offset, room, false, self.user.cred())?;
            if !listing.entries.is_empty() {
                self.offset.store(listing.offset, Ordering::Relaxed);
            }
            Ok(listing.entries)
        })
    }

    /// Asks for a lock; the flags are `F_POSIX` or `F_FLOCK`, and `F_WAIT`.
    fn advlock(&self, op: i32, lock: Lock, flags: i32) -> Result<Flock> {
        let (owner, locks) = if flags & F_FLOCK != 0 {
            (std::ptr::from_ref(self).addr(), &self.locks)
        } else {
            (self.user.pid() as usize, &self.user.shared.locks)
        };
        if lock.kind != LockKind::Free {
            locks.store(true, Ordering::Relaxed);
        }
        let mut flock = Flock {
            start: lock.start,
            len: lock.len,
            pid: self.user.pid(),
            kind: match lock.kind {
                LockKind::Read => F_RDLCK,
                LockKind::Write => F_WRLCK,
                LockKind::Free => F_UNLCK,
            },
            whence: 0,
        };
        self.user
            .call(|| vnops::advlock(&self.vnode, owner, op, &mut flock, flags))?;
        Ok(flock)
    }

    /// `fcntl(2)`'s `F_SETLK`, or `F_SETLKW` if it is to wait.
    ///
    /// # Errors
    /// What the file system says.
    pub fn lock(&self, lock: Lock, wait: bool) -> Result<()> {
        let op = if lock.kind == LockKind::Free {
            i32::from(F_UNLCK)
        } else {
            F_SETLK
        };
        let wait = if wait { F_WAIT } else { 0 };
        self.advlock(op, lock, F_POSIX | wait).map(drop)
    }

    /// `fcntl(2)`'s `F_GETLK`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn lock_of(&self, lock: Lock) -> Result<Option<(Lock, i32)>> {
        let found = self.advlock(F_GETLK, lock, F_POSIX)?;
        let kind = match found.kind {
            F_UNLCK => return Ok(None),
            F_RDLCK => LockKind::Read,
            _ => LockKind::Write,
        };
        let lock = Lock::on(kind, found.start, found.len);
        Ok(Some((lock, found.pid)))
    }

    /// `flock(2)`; it does not wait.
    ///
    /// # Errors
    /// What the file system says.
    pub fn flock(&self, kind: LockKind) -> Result<()> {
        let op = if kind == LockKind::Free {
            i32::from(F_UNLCK)
        } else {
            F_SETLK
        };
        self.advlock(op, Lock::on(kind, 0, 0), F_FLOCK).map(drop)
    }

    /// `fsync(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fsync(&self) -> Result<()> {
        self.locked(|| vnops::fsync(&self.vnode, self.user.cred(), true))
    }

    /// `posix_fallocate(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fallocate(&self, offset: i64, len: i64) -> Result<()> {
        self.change_space(offset, len, vnops::fallocate)
    }

    /// `fdiscard(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fdiscard(&self, offset: i64, len: i64) -> Result<()> {
        self.change_space(offset, len, vnops::fdiscard)
    }

    fn change_space(
        &self,
        offset: i64,
        len: i64,
        vop: impl FnOnce(&VnodeRef, i64, i64) -> Result<()>,
    ) -> Result<()> {
        if self.mode & FWRITE == 0 {
            return Err(errno(EBADF));
        }
        if offset < 0 || len <= 0 {
            return Err(Errno::EINVAL);
        }
        if offset.checked_add(len).is_none() {
            return Err(Errno::EFBIG);
        }
        match Vtype::try_from(self.vnode.vtype()) {
            Ok(Vtype::Reg) => self.locked(|| vop(&self.vnode, offset, len)),
            Ok(Vtype::Dir) => Err(errno(EISDIR)),
            _ => Err(errno(ENODEV)),
        }
    }

    /// `poll(2)` of this one file.
    ///
    /// # Errors
    /// EINTR.
    pub fn poll(&self, events: i32, wait: bool) -> Result<i32> {
        self.user
            .call(|| vnops::poll_file(&self.vnode, events, wait))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let free = i32::from(F_UNLCK);
        for (locks, flag) in [(&self.user.shared.locks, F_POSIX), (&self.locks, F_FLOCK)] {
            if locks.load(Ordering::Relaxed) {
                // There may be none on this file.
                let _ = self.advlock(free, Lock::FREE, flag);
            }
        }
        let close = || {
            if self.vnode.lock(true, false).is_ok() {
                // Nobody waits for the answer.
                let _ = vnops::close(&self.vnode, self.mode, self.user.cred());
                Vnode::unlock(&self.vnode);
            }
            Ok(())
        };
        // It does not fail.
        let _ = self.user.call(close);
    }
}
