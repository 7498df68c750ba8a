//! Processes, and the system calls that they make.

use crate::{
    kernel::{
        component::CredHold,
        lwp::{self, Bound, Lwp, Process, SIGTERM},
        vfs::{self, Mount},
        vnode::VnodeRef,
        Actor,
    },
    rt,
    vnops::{self, vattr_null, Name},
};
use puffs_rs::{
    abi::{consts::VNOVAL, vn::DirentHead, NameiOp, StatvfsBuf, Vattr, VnOp, Vtype},
    kern::{Errno, Result},
};
use std::sync::{
    atomic::{AtomicI64, Ordering},
    Arc,
};
use zerocopy::{FromBytes, FromZeros};

const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const ELOOP: i32 = 62;
const FREAD: i32 = 1;
const FWRITE: i32 = 2;

fn errno(number: i32) -> Errno {
    vfs::errno::other(number)
}

/// A process, which exists until the last clone is dropped.
#[derive(Clone)]
pub struct User {
    process: Arc<Process>,
    name: String,
    cred: Arc<CredHold>,
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

/// An open file. Dropping it is `close(2)`.
pub struct File {
    vnode: VnodeRef,
    user: User,
    offset: AtomicI64,
    mode: i32,
}

impl User {
    /// A new process.
    pub fn new(name: &str) -> User {
        User {
            process: Arc::new(Process::new()),
            name: name.to_owned(),
            cred: Arc::new(CredHold::new(1000, 100, &[100, 200])),
        }
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

    fn cred(&self) -> *mut puffs_rs::kern::sys::kauth_cred {
        self.cred.raw()
    }

    // Path walks.

    /// The directory and the last component of a path; the directory locked.
    fn parent(&self, path: &str) -> Result<(VnodeRef, String)> {
        let (dir, name) = path.rsplit_once('/').ok_or(Errno::ENOENT)?;
        let dir = self.walk(dir, true, 0)?;
        if !dir.is_dir() {
            return Err(errno(ENOTDIR));
        }
        dir.lock(true, false)?;
        Ok((dir, name.to_owned()))
    }

    /// The vnode of a path, not locked.
    fn walk(&self, path: &str, follow: bool, depth: usize) -> Result<VnodeRef> {
        let (mount, rest) = vfs::find(path).ok_or(Errno::ENOENT)?;
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
            if is_link && (follow || !more.is_empty()) {
                if depth >= 8 {
                    return Err(errno(ELOOP));
                }
                // A path is a C string, whatever the file system says.
                let mut target = vnops::readlink(&found, self.cred())?;
                let end = target.iter().position(|&byte| byte == 0);
                target.truncate(end.unwrap_or(target.len()));
                let target = String::from_utf8_lossy(&target).into_owned();
                let base = if target.starts_with('/') {
                    String::new()
                } else {
                    walked + "/"
                };
                let more = if more.is_empty() {
                    String::new()
                } else {
                    format!("/{more}")
                };
                return self.walk(&format!("{base}{target}{more}"), follow, depth + 1);
            }
            walked = format!("{walked}/{component}");
            at = found;
            rest = more;
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
        self.call(|| {
            let vnode = if how.create {
                self.create(path, how)?
            } else {
                self.walk(path, true, 0)?
            };
            if how.write && vnode.is_dir() {
                return Err(errno(EISDIR));
            }
            let mode = if how.write { FREAD | FWRITE } else { FREAD };
            vnode.lock(true, false)?;
            let opened = vnops::open(&vnode, mode, self.cred()).and_then(|()| {
                if how.truncate && vnode.size() != 0 {
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
            })
        })
    }

    fn create(&self, path: &str, how: Open) -> Result<VnodeRef> {
        let (dir, name) = self.parent(path)?;
        let found = vnops::lookup(&dir, &self.last(&name, NameiOp::Create));
        let done = match found {
            Ok(_) if how.exclusive => Err(Errno::EEXIST),
            Ok(found) => Ok(found),
            Err(Errno::ENOENT) => {
                let va = new_vattr(Vtype::Reg, 0o644);
                vnops::create(&dir, &self.last(&name, NameiOp::Create), &va)
            }
            Err(error) => Err(error),
        };
        drop(dir.unlock());
        done
    }

    fn make(&self, path: &str, va: &Vattr) -> Result<()> {
        self.call(|| {
            let (dir, name) = self.parent(path)?;
            let done = match vnops::lookup(&dir, &self.last(&name, NameiOp::Create)) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => vnops::create(&dir, &self.last(&name, NameiOp::Create), va),
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
        self.make(path, &new_vattr(Vtype::Dir, 0o755))
    }

    /// `mknod(2)` of a device, or of a fifo.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn mknod(&self, path: &str, vtype: Vtype, rdev: u64) -> Result<()> {
        let mut va = new_vattr(vtype, 0o600);
        va.rdev = rdev;
        self.make(path, &va)
    }

    /// `symlink(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.call(|| {
            let (dir, name) = self.parent(path)?;
            let va = new_vattr(Vtype::Lnk, 0o777);
            let name = self.last(&name, NameiOp::Create);
            let done = match vnops::lookup(&dir, &name) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => vnops::symlink(&dir, &name, &va, target),
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
            Ok(String::from_utf8_lossy(&target).into_owned())
        })
    }

    /// `link(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn link(&self, from: &str, to: &str) -> Result<()> {
        self.call(|| {
            let vnode = self.walk(from, true, 0)?;
            let (dir, name) = self.parent(to)?;
            let done = match vnops::lookup(&dir, &self.last(&name, NameiOp::Create)) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => vnops::link(&dir, &vnode, &self.last(&name, NameiOp::Create)),
                Err(error) => Err(error),
            };
            drop(dir.unlock());
            done
        })
    }

    fn remove(&self, path: &str, op: VnOp) -> Result<()> {
        self.call(|| {
            let (dir, name) = self.parent(path)?;
            let name = self.last(&name, NameiOp::Delete);
            let done = vnops::lookup(&dir, &name).and_then(|vnode| {
                vnode.lock(true, false)?;
                // It unlocks both while it waits, and stays inside.
                dir.mount()
                    .with_trans(|| vnops::remove(&dir, vnode, &name, op))
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
            let from_name = self.last(&from_name, NameiOp::Delete);
            let vnode = vnops::lookup(&from_dir, &from_name);
            let from_dir = from_dir.unlock();
            let vnode = vnode?;
            let (to_dir, to_name) = self.parent(to)?;
            let to_name = self.last(&to_name, NameiOp::Rename);
            let over = match vnops::lookup(&to_dir, &to_name) {
                Ok(over) => Ok(Some(over)),
                Err(Errno::ENOENT) => Ok(None),
                Err(error) => Err(error),
            };
            let done = over.and_then(|over| {
                let over = over.as_ref();
                vnops::rename(&from_dir, &vnode, &from_name, &to_dir, over, &to_name)
            });
            drop(to_dir.unlock());
            done
        })
    }

    /// `stat(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn stat(&self, path: &str) -> Result<Vattr> {
        self.call(|| {
            let vnode = self.walk(path, true, 0)?;
            vnode.lock(true, false)?;
            let done = vnops::getattr(&vnode, self.cred());
            drop(vnode.unlock());
            done
        })
    }

    /// `chmod(2)`, `truncate(2)` and the like: what of `va` is set.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn setattr(&self, path: &str, va: &Vattr) -> Result<()> {
        self.call(|| {
            let vnode = self.walk(path, true, 0)?;
            vnode.lock(true, false)?;
            let done = vnops::setattr(&vnode, va, self.cred());
            drop(vnode.unlock());
            done
        })
    }

    /// `access(2)`.
    ///
    /// # Errors
    /// What the walk and the file system say.
    pub fn access(&self, path: &str, mode: i32) -> Result<()> {
        self.call(|| {
            let vnode = self.walk(path, true, 0)?;
            vnode.lock(true, false)?;
            let done = vnops::access(&vnode, mode, self.cred());
            drop(vnode.unlock());
            done
        })
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
        self.call(|| {
            let vnode = self.walk(path, true, 0)?;
            vnode.lock(true, false)?;
            let done = vnops::readdir(&vnode, 0, room, true, self.cred());
            drop(vnode.unlock());
            done.map(|listing| (parse_entries(&listing.entries), listing.cookies))
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
            name: String::from_utf8_lossy(name).into_owned(),
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
            crate::kernel::Vnode::unlock(&self.vnode);
            done
        })
    }

    /// `pread(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_at(&self, offset: i64, len: usize) -> Result<Vec<u8>> {
        self.locked(|| vnops::read(&self.vnode, offset, len, self.user.cred()))
    }

    /// `pwrite(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_at(&self, offset: i64, data: &[u8]) -> Result<usize> {
        self.locked(|| vnops::write(&self.vnode, offset, data, self.user.cred()))
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
        let done = self.write_at(self.offset.load(Ordering::Relaxed), data)?;
        self.offset.fetch_add(done as i64, Ordering::Relaxed);
        Ok(done)
    }

    /// `getdents(2)` from the start: what came, at most so many bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn getdents(&self, room: usize) -> Result<Vec<u8>> {
        self.locked(|| {
            vnops::readdir(&self.vnode, 0, room, false, self.user.cred())
                .map(|listing| listing.entries)
        })
    }

    /// `fsync(2)`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fsync(&self) -> Result<()> {
        self.locked(|| vnops::fsync(&self.vnode, self.user.cred(), true))
    }

    /// `poll(2)` of this one file.
    ///
    /// # Errors
    /// EINTR.
    pub fn poll(&self, events: i32, wait: bool) -> Result<i32> {
        self.user.call(|| vnops::poll(&self.vnode, events, wait))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let close = || {
            if self.vnode.lock(true, false).is_ok() {
                // Nobody waits for the answer.
                let _ = vnops::close(&self.vnode, self.mode, self.user.cred());
                crate::kernel::Vnode::unlock(&self.vnode);
            }
            Ok(())
        };
        // It does not fail.
        let _ = self.user.call(close);
    }
}
