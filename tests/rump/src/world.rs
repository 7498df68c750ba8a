//! The rump kernel as a world for scripted cases.

use crate::{
    kernel::{self, functions, RawLwp},
    signals::{self, Signals, SIGKILL},
    syscall,
};
use puffs_rs::{
    abi::KArgs,
    kern::{Errno, Result},
};
use puffs_script::{
    world::{Ability, Calls, Device, Fd, How, Process, Room, Stat, Thread, Work},
    Frame, World,
};
use std::{
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A new process starts without open files (`RUMP_RFCFDG`).
const NO_FILES: i32 = 2;

/// Longer than any frame.
const FRAME_ROOM: usize = 512 * 1024;

/// For so long puffs may be in use after its last unmount.
const UNLOAD_PATIENCE: Duration = Duration::from_secs(10);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno(number: i32) -> Errno {
    match Errno::check(number) {
        Err(error) => error,
        Ok(()) => unreachable!("0 is no error"),
    }
}

/// A booted rump kernel. There is one in a program.
pub(crate) struct Rump;

impl Rump {
    /// Boots it.
    pub(crate) fn boot() -> std::result::Result<Rc<dyn World>, String> {
        kernel::boot()?;
        Ok(Rc::new(Rump))
    }

    /// What a rump kernel can do.
    pub(crate) fn can(ability: Ability) -> bool {
        matches!(ability, Ability::Signals | Ability::SharedReaders)
    }
}

impl World for Rump {
    fn name(&self) -> &'static str {
        "rump"
    }

    fn can(&self, ability: Ability) -> bool {
        Rump::can(ability)
    }

    fn process(&self, _name: &str) -> Arc<dyn Process> {
        Arc::new(RumpProcess(Arc::new(Inner::fork())))
    }

    fn finish(&self) -> std::result::Result<(), String> {
        // What is left in its pools makes the kernel panic (DIAGNOSTIC).
        let start = Instant::now();
        loop {
            match syscall::unload_module("puffs") {
                Ok(()) => return Ok(()),
                Err(Errno::EBUSY) if start.elapsed() < UNLOAD_PATIENCE => {
                    distract_vdrain();
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(format!("modunload: {error:?}")),
            }
        }
    }
}

/// The thread `vdrain` keeps each mount that it worked on until it has worked on
/// another one: here are vnodes of the root for it to work on.
fn distract_vdrain() {
    for number in 0..4 {
        let flags = syscall::O_RDWR | syscall::O_CREAT;
        if let Ok(file) = syscall::open(&format!("/for-vdrain-{number}"), flags) {
            let _ = syscall::close(file);
        }
    }
    kernel::drain_vnodes();
}

/// A process of the kernel's.
struct Inner {
    pid: i32,
    /// Its first thread, which nobody is: as long as it is there, the process
    /// is.
    first: *mut RawLwp,
}

// SAFETY: the pointer is only handed back to the kernel, by which thread does
// not matter.
unsafe impl Send for Inner {}
// SAFETY: the same.
unsafe impl Sync for Inner {}

fn current_lwp() -> *mut RawLwp {
    // SAFETY: it only looks.
    unsafe { (functions().rump_pub_lwproc_curlwp)() }
}

fn switch(lwp: *mut RawLwp) {
    // SAFETY: the thread is there, and nobody else is it: callers keep what they
    // were, and a process' first thread is nobody but its creator and its end.
    unsafe { (functions().rump_pub_lwproc_switch)(lwp) };
}

/// Ends the thread that the caller is, and has it become the one it was before.
fn release(before: *mut RawLwp) {
    // SAFETY: the caller is a thread that is its own.
    unsafe { (functions().rump_pub_lwproc_releaselwp)() };
    if !before.is_null() {
        switch(before);
    }
}

impl Inner {
    fn fork() -> Inner {
        let before = current_lwp();
        // SAFETY: the caller becomes the first thread; what it was is kept.
        let error = unsafe { (functions().rump_pub_lwproc_rfork)(NO_FILES) };
        assert_eq!(error, 0, "rfork");
        let inner = Inner {
            pid: syscall::getpid().unwrap_or(-1),
            first: current_lwp(),
        };
        switch(before);
        inner
    }

    /// Has the caller be a thread of the process meanwhile.
    fn run<T>(&self, signals: &Arc<Signals>, work: impl FnOnce() -> T) -> T {
        let before = current_lwp();
        // SAFETY: the caller becomes the new thread; what it was is kept.
        let error = unsafe { (functions().rump_pub_lwproc_newlwp)(self.pid) };
        assert_eq!(error, 0, "newlwp");
        let signals_before = signals::become_thread(Some(signals.clone()));
        let done = work();
        release(before);
        signals::become_thread(signals_before);
        done
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let before = current_lwp();
        switch(self.first);
        release(before);
    }
}

struct RumpProcess(Arc<Inner>);

impl Process for RumpProcess {
    fn spawn(&self, name: &str, work: Work) -> Box<dyn Thread> {
        let signals = Arc::new(Signals::default());
        let (process, of_thread) = (self.0.clone(), signals.clone());
        let body = move || {
            let calls = RumpCalls(of_thread.clone());
            process.run(&of_thread, || work(&calls));
        };
        let handle = std::thread::Builder::new().name(name.into()).spawn(body);
        match handle {
            Ok(handle) => Box::new(RumpThread { signals, handle }),
            Err(error) => panic!("a thread: {error}"),
        }
    }

    fn enter(&self, work: &mut dyn FnMut(&dyn Calls)) {
        let signals = Arc::new(Signals::default());
        let calls = RumpCalls(signals.clone());
        self.0.run(&signals, || work(&calls));
    }

    fn open_device(&self) -> Result<Arc<dyn Device>> {
        let signals = Arc::new(Signals::default());
        let fd = self
            .0
            .run(&signals, || syscall::open("/dev/puffs", syscall::O_RDWR))?;
        Ok(Arc::new(RumpDevice {
            process: self.0.clone(),
            state: Mutex::new(State {
                fd: Some(fd),
                inside: Vec::new(),
            }),
        }))
    }
}

struct RumpThread {
    signals: Arc<Signals>,
    handle: JoinHandle<()>,
}

impl Thread for RumpThread {
    fn signal(&self, signal: i32) {
        self.signals.send(signal);
    }

    fn is_done(&self) -> bool {
        self.handle.is_finished()
    }

    fn join(self: Box<Self>) {
        if let Err(panic) = self.handle.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

struct RumpDevice {
    process: Arc<Inner>,
    state: Mutex<State>,
}

struct State {
    fd: Option<i32>,
    /// Who is inside a call.
    inside: Vec<Arc<Signals>>,
}

impl RumpDevice {
    fn call<T>(&self, call: impl FnOnce(i32) -> Result<T>) -> Result<T> {
        // A thread of the process may be in the call, whose signals end it.
        let me = signals::current().unwrap_or_default();
        let fd = {
            let mut state = lock(&self.state);
            let fd = state.fd.ok_or(errno(9 /* EBADF */))?;
            state.inside.push(me.clone());
            fd
        };
        let done = self.process.run(&me, || call(fd));
        me.deliver();
        let mut state = lock(&self.state);
        state.inside.retain(|inside| !Arc::ptr_eq(inside, &me));
        done
    }
}

impl Drop for RumpDevice {
    fn drop(&mut self) {
        self.die();
    }
}

impl Device for RumpDevice {
    fn mount(&self, path: &str, args: &KArgs) -> Result<()> {
        self.call(|fd| mount(path, args, fd))
    }

    fn read(&self) -> Result<Frame> {
        loop {
            match self.call(|fd| syscall::read(fd, FRAME_ROOM)) {
                Ok(bytes) => return Ok(Frame::from_bytes(&bytes)),
                // Somebody else is in `try_read`.
                Err(Errno::EWOULDBLOCK) => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
    }

    fn read_part(&self, room: usize) -> Result<Vec<u8>> {
        self.call(|fd| syscall::read(fd, room))
    }

    fn try_read(&self) -> Result<Option<Frame>> {
        let read = self.call(|fd| {
            syscall::set_nonblocking(fd, true)?;
            let read = syscall::read(fd, FRAME_ROOM);
            syscall::set_nonblocking(fd, false)?;
            read
        });
        match read {
            Ok(bytes) => Ok(Some(Frame::from_bytes(&bytes))),
            Err(Errno::EWOULDBLOCK) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        self.call(|fd| syscall::write(fd, bytes)).map(drop)
    }

    fn poll(&self, limit: Duration) -> Result<bool> {
        const POLLIN: i32 = 1;
        self.call(|fd| syscall::poll(fd, POLLIN, limit))
            .map(|events| events != 0)
    }

    fn kevent(&self, limit: Duration) -> Result<usize> {
        self.call(|fd| syscall::kevent(fd, limit))
    }

    fn die(&self) {
        let Some(fd) = lock(&self.state).fd.take() else {
            return;
        };
        loop {
            let state = lock(&self.state);
            if state.inside.is_empty() {
                break;
            }
            state.inside.iter().for_each(|inside| inside.send(SIGKILL));
            drop(state);
            std::thread::sleep(Duration::from_micros(50));
        }
        let signals = Arc::new(Signals::default());
        let _ = self.process.run(&signals, || syscall::close(fd));
    }
}

/// Mounts what is served by this descriptor of the calling process.
fn mount(path: &str, args: &KArgs, fd: i32) -> Result<()> {
    match syscall::mkdir(path) {
        Ok(()) | Err(Errno::EEXIST) => syscall::mount(path, args, fd),
        Err(error) => Err(error),
    }
}

/// System calls of the thread that has these signals.
struct RumpCalls(Arc<Signals>);

impl RumpCalls {
    /// Makes one, to the return to user mode.
    fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = call();
        self.0.deliver();
        done
    }
}

impl Calls for RumpCalls {
    fn stat(&self, path: &str) -> Result<Stat> {
        self.call(|| syscall::stat(path))
    }

    fn access(&self, path: &str, mode: i32) -> Result<()> {
        self.call(|| syscall::access(path, mode))
    }

    fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        self.call(|| syscall::chmod(path, mode))
    }

    fn truncate(&self, path: &str, size: i64) -> Result<()> {
        self.call(|| syscall::truncate(path, size))
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        self.call(|| syscall::mkdir(path))
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        self.call(|| syscall::rmdir(path))
    }

    fn mkfifo(&self, path: &str) -> Result<()> {
        self.call(|| syscall::mkfifo(path))
    }

    fn mknod(&self, path: &str, device: u32) -> Result<()> {
        self.call(|| syscall::mknod(path, device))
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.call(|| syscall::unlink(path))
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.call(|| syscall::symlink(target, path))
    }

    fn readlink(&self, path: &str) -> Result<Vec<u8>> {
        self.call(|| syscall::readlink(path))
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        self.call(|| syscall::link(from, to))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.call(|| syscall::rename(from, to))
    }

    fn open(&self, path: &str, how: How) -> Result<Fd> {
        let mut flags = 0;
        if how.write {
            flags |= syscall::O_RDWR;
        }
        if how.create {
            flags |= syscall::O_CREAT;
        }
        self.call(|| syscall::open(path, flags))
            .map(|fd| fd as usize)
    }

    fn close(&self, file: Fd) -> Result<()> {
        self.call(|| syscall::close(file as i32))
    }

    fn read(&self, file: Fd, offset: i64, len: usize) -> Result<Vec<u8>> {
        self.call(|| syscall::pread(file as i32, offset, len))
    }

    fn write(&self, file: Fd, offset: i64, data: &[u8]) -> Result<usize> {
        self.call(|| syscall::pwrite(file as i32, offset, data))
    }

    fn seek(&self, file: Fd, offset: i64) -> Result<()> {
        self.call(|| syscall::lseek(file as i32, offset))
    }

    fn fsync(&self, file: Fd) -> Result<()> {
        self.call(|| syscall::fsync(file as i32))
    }

    fn getdents(&self, file: Fd, room: usize) -> Result<Vec<u8>> {
        self.call(|| syscall::getdents(file as i32, room))
    }

    fn poll(&self, file: Fd, events: i32, limit: Duration) -> Result<i32> {
        self.call(|| syscall::poll(file as i32, events, limit))
    }

    fn lock(&self, file: Fd) -> Result<()> {
        self.call(|| syscall::lock(file as i32))
    }

    fn pathconf(&self, path: &str, name: i32) -> Result<i64> {
        self.call(|| syscall::pathconf(path, name))
    }

    fn statvfs(&self, path: &str) -> Result<Room> {
        self.call(|| syscall::statvfs(path, true))
    }

    fn statvfs_nowait(&self, path: &str) -> Result<Room> {
        self.call(|| syscall::statvfs(path, false))
    }

    fn sync(&self) -> Result<()> {
        self.call(syscall::sync)
    }

    fn getfh(&self, path: &str, room: usize) -> Result<Vec<u8>> {
        self.call(|| syscall::getfh(path, room))
    }

    fn fhstat(&self, handle: &[u8]) -> Result<Stat> {
        self.call(|| syscall::fhstat(handle))
    }

    fn extattr_get(&self, path: &str, name: &str, room: usize) -> Result<Vec<u8>> {
        self.call(|| syscall::extattr_get(path, name, room))
    }

    fn extattr_list(&self, path: &str, room: usize) -> Result<Vec<u8>> {
        self.call(|| syscall::extattr_list(path, room))
    }

    fn extattr_size(&self, path: &str, name: &str) -> Result<usize> {
        self.call(|| syscall::extattr_size(path, name))
    }

    fn extattr_list_size(&self, path: &str) -> Result<usize> {
        self.call(|| syscall::extattr_list_size(path))
    }

    fn extattr_set(&self, path: &str, name: &str, data: &[u8]) -> Result<usize> {
        self.call(|| syscall::extattr_set(path, name, data))
    }

    fn extattr_delete(&self, path: &str, name: &str) -> Result<()> {
        self.call(|| syscall::extattr_delete(path, name))
    }

    fn mount(&self, path: &str, args: &KArgs) -> Result<()> {
        self.call(|| mount(path, args, args.fd))
    }

    fn block(&self, signal: i32) -> Result<()> {
        self.0.block(signal);
        Ok(())
    }

    fn unmount(&self, path: &str, force: bool) -> Result<()> {
        self.call(|| syscall::unmount(path, force))
    }
}
