//! The hosted kernel as a world for scripted cases.

use crate::{
    kernel::{self, lwp, Kernel, Lwp, HZ, MNT_FORCE, MNT_NOWAIT, SIGKILL},
    rt,
    server::{self, Client},
    user::{self, Task, User},
    vnops::{self, vattr_null},
};
use puffs_rs::{
    abi::{consts::EXTNAMELEN, KArgs, StatvfsBuf, Timespec, Vattr, Vtype},
    kern::{Errno, Result},
};
use puffs_script::{
    text,
    world::{
        Ability, Calls, Device, Event, Fd, How, Lock, LockKind, Mapping, Process, Room, Stat,
        Thread, Time, Whence, Work,
    },
    Frame, World,
};
use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Bad file descriptor.
const EBADF: i32 = 9;
/// No such system call.
const ENOSYS: i32 = 78;
/// File name too long.
const ENAMETOOLONG: i32 = 63;

/// `EXTATTR_NAMESPACE_USER`.
const NAMESPACE_USER: i32 = 1;
/// `EXTATTR_LIST_LENPREFIX`.
const LIST_LENPREFIX: i32 = 1;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno(number: i32) -> Errno {
    kernel::vfs::errno::other(number)
}

/// A booted hosted kernel.
pub struct Hosted {
    kernel: Mutex<Option<Kernel>>,
}

impl Hosted {
    /// Boots it.
    pub fn boot() -> Rc<dyn World> {
        Rc::new(Hosted {
            kernel: Mutex::new(Some(Kernel::boot())),
        })
    }

    /// What a hosted kernel can do.
    pub fn can(ability: Ability) -> bool {
        !matches!(
            ability,
            Ability::Mmap
                | Ability::Fifos
                | Ability::Sockets
                | Ability::Kqueue
                | Ability::KernelLocks
                | Ability::Deadlocks
        )
    }
}

impl World for Hosted {
    fn name(&self) -> &'static str {
        "hosted"
    }

    fn can(&self, ability: Ability) -> bool {
        Hosted::can(ability)
    }

    fn process(&self, name: &str) -> Arc<dyn Process> {
        Arc::new(HostedProcess(Arc::new(Descriptors {
            user: User::superuser(name),
            files: Mutex::default(),
        })))
    }

    fn finish(&self) -> std::result::Result<(), String> {
        // It panics if something is left, and says what.
        if let Some(kernel) = lock(&self.kernel).take() {
            kernel.shutdown();
        }
        Ok(())
    }
}

/// What a process has open. It is closed when the test and the last of its threads
/// have no use for the process any more.
struct Descriptors {
    user: User,
    files: Mutex<BTreeMap<Fd, Arc<user::File>>>,
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        let files = std::mem::take(&mut *lock(&self.files));
        self.user.run(|_| drop(files));
    }
}

struct HostedProcess(Arc<Descriptors>);

impl Process for HostedProcess {
    fn spawn(&self, name: &str, work: Work) -> Box<dyn Thread> {
        let open = self.0.clone();
        Box::new(HostedThread(self.0.user.spawn(name, move |user| {
            work(&HostedCalls { user, open });
        })))
    }

    fn enter(&self, work: &mut dyn FnMut(&dyn Calls)) {
        self.0.user.run(|user| {
            work(&HostedCalls {
                user,
                open: self.0.clone(),
            });
        });
    }

    fn open_device(&self) -> Result<Arc<dyn Device>> {
        let client = self.0.user.run(|_| Client::open());
        Ok(Arc::new(HostedDevice {
            user: self.0.user.clone(),
            state: Mutex::new(State {
                client: Some(client),
                inside: Vec::new(),
            }),
        }))
    }
}

struct HostedThread(Task<()>);

impl Thread for HostedThread {
    fn signal(&self, signal: i32) {
        self.0.signal(signal);
    }

    fn is_done(&self) -> bool {
        self.0.is_done()
    }

    fn join(self: Box<Self>) {
        self.0.join();
    }
}

struct HostedDevice {
    user: User,
    state: Mutex<State>,
}

struct State {
    client: Option<Client>,
    /// Who is inside a call.
    inside: Vec<Arc<Lwp>>,
}

impl HostedDevice {
    fn call<T>(&self, call: impl FnOnce(&Client) -> Result<T>) -> Result<T> {
        self.user.run(|_| {
            let me = lwp::current();
            let client = {
                let mut state = lock(&self.state);
                let client = state.client.clone().ok_or(errno(EBADF))?;
                state.inside.push(me.clone());
                client
            };
            let done = call(&client);
            drop(client);
            let mut state = lock(&self.state);
            state.inside.retain(|lwp| lwp.lid() != me.lid());
            done
        })
    }
}

impl Device for HostedDevice {
    fn mount(&self, path: &str, args: &KArgs) -> Result<()> {
        self.call(|client| client.mount(path, args).map(drop))
    }

    fn read(&self) -> Result<Frame> {
        self.call(Client::read)
    }

    fn read_part(&self, room: usize) -> Result<Vec<u8>> {
        self.call(|client| {
            let mut bytes = vec![0; room];
            let len = client.file().read(&mut bytes)?;
            bytes.truncate(len);
            Ok(bytes)
        })
    }

    fn try_read(&self) -> Result<Option<Frame>> {
        self.call(Client::try_read)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        self.call(|client| client.write(&Frame::from_bytes(bytes)))
    }

    fn poll(&self, limit: Duration) -> Result<bool> {
        self.call(|client| client.file().poll(Some(ticks(limit))))
    }

    fn kevent(&self, limit: Duration) -> Result<usize> {
        self.call(|client| client.file().kevent(ticks(limit)))
    }

    fn die(&self) {
        let client = lock(&self.state).client.take();
        loop {
            let state = lock(&self.state);
            if state.inside.is_empty() {
                break;
            }
            state.inside.iter().for_each(|lwp| lwp.signal(SIGKILL));
            drop(state);
            rt::pause();
        }
        self.user.run(|_| drop(client));
    }
}

fn ticks(limit: Duration) -> i32 {
    let ticks = limit.as_micros() * HZ as u128 / 1_000_000;
    i32::try_from(ticks).unwrap_or(i32::MAX).max(1)
}

struct HostedCalls<'a> {
    user: &'a User,
    open: Arc<Descriptors>,
}

impl HostedCalls<'_> {
    fn file(&self, file: Fd) -> Result<Arc<user::File>> {
        lock(&self.open.files)
            .get(&file)
            .cloned()
            .ok_or(errno(EBADF))
    }

    /// A descriptor of an open file.
    fn keep(&self, file: user::File) -> Fd {
        let mut files = lock(&self.open.files);
        let number = files.keys().next_back().map_or(3, |last| last + 1);
        files.insert(number, Arc::new(file));
        number
    }
}

fn stat(va: &Vattr) -> Stat {
    Stat {
        vtype: Vtype::try_from(va.vtype).unwrap_or(Vtype::Bad),
        mode: va.mode,
        size: va.size as i64,
        ino: va.fileid,
        nlink: va.nlink,
        uid: va.uid,
        gid: va.gid,
        rdev: va.rdev,
        atime: time(va.atime),
        mtime: time(va.mtime),
        ctime: time(va.ctime),
        blocks: va.bytes / 512,
        flags: va.flags as u32,
    }
}

fn time(time: Timespec) -> Time {
    let seconds = time.sec.saturating_mul(1_000_000_000);
    seconds.saturating_add(time.nsec as i64)
}

fn room(stat: &StatvfsBuf) -> Room {
    Room {
        bsize: stat.bsize as u64,
        blocks: stat.blocks,
        bfree: stat.bfree,
        namemax: stat.namemax as u64,
    }
}

impl Calls for HostedCalls<'_> {
    fn stat(&self, path: &str) -> Result<Stat> {
        self.user.stat(path).map(|va| stat(&va))
    }

    fn lstat(&self, path: &str) -> Result<Stat> {
        self.user.lstat(path).map(|va| stat(&va))
    }

    fn fstat(&self, file: Fd) -> Result<Stat> {
        self.file(file)?.stat().map(|va| stat(&va))
    }

    fn access(&self, path: &str, mode: i32) -> Result<()> {
        self.user.access(path, mode)
    }

    fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        let mut va = vattr_null();
        va.mode = mode;
        self.user.setattr(path, &va)
    }

    fn fchmod(&self, file: Fd, mode: u32) -> Result<()> {
        let mut va = vattr_null();
        va.mode = mode;
        self.file(file)?.setattr(&va)
    }

    fn chown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.user.chown(path, uid, gid, true)
    }

    fn lchown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.user.chown(path, uid, gid, false)
    }

    fn chflags(&self, path: &str, flags: u32) -> Result<()> {
        let mut va = vattr_null();
        va.flags = flags as usize;
        self.user.setattr(path, &va)
    }

    fn utimes(&self, path: &str, times: Option<[Time; 2]>, follow: bool) -> Result<()> {
        self.user.utimes(path, times, follow)
    }

    fn truncate(&self, path: &str, size: i64) -> Result<()> {
        self.user.truncate(path, size)
    }

    fn ftruncate(&self, file: Fd, size: i64) -> Result<()> {
        if size < 0 {
            return Err(Errno::EINVAL);
        }
        let mut va = vattr_null();
        va.size = size as u64;
        self.file(file)?.setattr(&va)
    }

    fn umask(&self, mask: u32) -> Result<u32> {
        Ok(self.user.umask(mask))
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        self.user.mkdir(path)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        self.user.rmdir(path)
    }

    fn mkfifo(&self, path: &str) -> Result<()> {
        self.user.mknod(path, Vtype::Fifo, 0)
    }

    fn mknod(&self, path: &str, device: u32) -> Result<()> {
        self.user.mknod(path, Vtype::Chr, u64::from(device))
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.user.unlink(path)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.user.symlink(target, path)
    }

    fn readlink(&self, path: &str) -> Result<Vec<u8>> {
        self.user.readlink(path).map(|target| text::bytes(&target))
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        self.user.link(from, to)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.user.rename(from, to)
    }

    fn open(&self, path: &str, how: How) -> Result<Fd> {
        let file = self.user.open_how(path, how)?;
        Ok(self.keep(file))
    }

    fn close(&self, file: Fd) -> Result<()> {
        let file = lock(&self.open.files).remove(&file);
        file.map(drop).ok_or(errno(EBADF))
    }

    fn read(&self, file: Fd, offset: i64, len: usize) -> Result<Vec<u8>> {
        self.file(file)?.read_at(offset, len)
    }

    fn write(&self, file: Fd, offset: i64, data: &[u8]) -> Result<usize> {
        self.file(file)?.write_at(offset, data)
    }

    fn read_on(&self, file: Fd, len: usize) -> Result<Vec<u8>> {
        self.file(file)?.read(len)
    }

    fn write_on(&self, file: Fd, data: &[u8]) -> Result<usize> {
        self.file(file)?.write(data)
    }

    fn seek(&self, file: Fd, offset: i64, whence: Whence) -> Result<i64> {
        self.file(file)?.seek(offset, whence)
    }

    fn fsync(&self, file: Fd) -> Result<()> {
        self.file(file)?.fsync()
    }

    fn fallocate(&self, file: Fd, offset: i64, len: i64) -> Result<()> {
        self.file(file)?.fallocate(offset, len)
    }

    fn fdiscard(&self, file: Fd, offset: i64, len: i64) -> Result<()> {
        self.file(file)?.fdiscard(offset, len)
    }

    fn getdents(&self, file: Fd, room: usize) -> Result<Vec<u8>> {
        self.file(file)?.getdents(room)
    }

    fn poll(&self, file: Fd, events: i32, limit: Duration) -> Result<i32> {
        let file = self.file(file)?;
        let limit = if limit.is_zero() { 0 } else { ticks(limit) };
        let deadline = kernel::clock::now_ticks() + i64::from(limit);
        loop {
            let ready = match file.poll(events, false) {
                // The vnode may have died: deadfs says that all is there.
                Err(_) if file.vnode().is_dead() => return Ok(events),
                ready => ready?,
            };
            if ready != 0 || kernel::clock::now_ticks() >= deadline {
                return Ok(ready);
            }
            rt::pause();
        }
    }

    // No kqueue of vnodes and no memory of processes: `Ability` says so.

    fn listen(&self, _path: &str) -> Result<Fd> {
        Err(errno(ENOSYS))
    }

    fn connect(&self, _path: &str) -> Result<Fd> {
        Err(errno(ENOSYS))
    }

    fn accept(&self, _socket: Fd) -> Result<Fd> {
        Err(errno(ENOSYS))
    }

    fn kqueue(&self) -> Result<Fd> {
        Err(errno(ENOSYS))
    }

    fn watch(&self, _queue: Fd, _file: Fd, _filter: u32, _what: u32) -> Result<()> {
        Err(errno(ENOSYS))
    }

    fn event(&self, _queue: Fd, _limit: Duration) -> Result<Option<Event>> {
        Err(errno(ENOSYS))
    }

    fn map(
        &self,
        _file: Fd,
        _len: usize,
        _write: bool,
        _work: &mut dyn FnMut(&dyn Mapping),
    ) -> Result<()> {
        Err(errno(ENOSYS))
    }

    fn lock(&self, file: Fd, lock: Lock, wait: bool) -> Result<()> {
        self.file(file)?.lock(lock, wait)
    }

    fn lock_of(&self, file: Fd, lock: Lock) -> Result<Option<(Lock, i32)>> {
        self.file(file)?.lock_of(lock)
    }

    fn flock(&self, file: Fd, kind: LockKind) -> Result<()> {
        self.file(file)?.flock(kind)
    }

    fn pathconf(&self, path: &str, name: i32) -> Result<i64> {
        let answer = self.user.on(path, |vnode| vnops::pathconf(vnode, name))?;
        Ok(answer as i64)
    }

    fn statvfs(&self, path: &str) -> Result<Room> {
        self.user.statvfs(path).map(|stat| room(&stat))
    }

    fn statvfs_nowait(&self, path: &str) -> Result<Room> {
        self.user.statvfs_nowait(path).map(|stat| room(&stat))
    }

    fn sync(&self) -> Result<()> {
        // The outcome is nobody's business.
        let _ = self.user.sync(puffs_script::MNT, MNT_NOWAIT);
        Ok(())
    }

    fn getfh(&self, path: &str, room: usize) -> Result<Vec<u8>> {
        self.user.getfh(path, room).map_err(|(error, _)| error)
    }

    fn fhstat(&self, handle: &[u8]) -> Result<Stat> {
        let (mount, _) = kernel::vfs::find(puffs_script::MNT).ok_or(Errno::ENOENT)?;
        self.user.fhstat(&mount, handle).map(|(_, va)| stat(&va))
    }

    fn fhopen(&self, handle: &[u8], how: How) -> Result<Fd> {
        let (mount, _) = kernel::vfs::find(puffs_script::MNT).ok_or(Errno::ENOENT)?;
        let file = self.user.fhopen(&mount, handle, how)?;
        Ok(self.keep(file))
    }

    fn extattr_get(&self, path: &str, name: &str, room: usize) -> Result<Vec<u8>> {
        self.user.on(path, |vnode| {
            let cred = self.user.cred();
            let (data, _) = vnops::getextattr(vnode, NAMESPACE_USER, name, Some(room), cred)?;
            Ok(data)
        })
    }

    fn extattr_size(&self, path: &str, name: &str) -> Result<usize> {
        self.user.on(path, |vnode| {
            let cred = self.user.cred();
            let (_, size) = vnops::getextattr(vnode, NAMESPACE_USER, name, None, cred)?;
            Ok(size)
        })
    }

    fn extattr_list(&self, path: &str, room: usize) -> Result<Vec<u8>> {
        self.user.on(path, |vnode| {
            let (cred, room) = (self.user.cred(), Some(room));
            let (data, _) = vnops::listextattr(vnode, NAMESPACE_USER, LIST_LENPREFIX, room, cred)?;
            Ok(data)
        })
    }

    fn extattr_list_size(&self, path: &str) -> Result<usize> {
        self.user.on(path, |vnode| {
            let cred = self.user.cred();
            let (_, size) = vnops::listextattr(vnode, NAMESPACE_USER, LIST_LENPREFIX, None, cred)?;
            Ok(size)
        })
    }

    fn extattr_set(&self, path: &str, name: &str, data: &[u8]) -> Result<usize> {
        if name.len() >= EXTNAMELEN {
            return Err(errno(ENAMETOOLONG));
        }
        self.user.on(path, |vnode| {
            vnops::setextattr(vnode, NAMESPACE_USER, name, data, self.user.cred())
        })
    }

    fn extattr_delete(&self, path: &str, name: &str) -> Result<()> {
        self.user.on(path, |vnode| {
            vnops::deleteextattr(vnode, NAMESPACE_USER, name, self.user.cred())
        })
    }

    fn become_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
        self.user.become_user(uid, gid, groups);
        Ok(())
    }

    fn pid(&self) -> i32 {
        self.user.pid()
    }

    fn sysctl_set(&self, name: &str, number: i64) -> Result<()> {
        if name != "vfs.puffs.queuelimit" {
            return Err(Errno::ENOENT);
        }
        lwp::set_queue_limit(number);
        Ok(())
    }

    fn block(&self, signal: i32) -> Result<()> {
        lwp::current().block(signal);
        Ok(())
    }

    fn mount(&self, path: &str, args: &KArgs) -> Result<()> {
        self.user.run(|_| {
            let done = server::mount(Some(path), args).map(drop);
            lwp::user_return();
            done
        })
    }

    fn unmount(&self, path: &str, force: bool) -> Result<()> {
        let flags = if force { MNT_FORCE } else { 0 };
        self.user.run(|_| {
            let done = kernel::unmount(path, flags);
            lwp::user_return();
            done
        })
    }
}
