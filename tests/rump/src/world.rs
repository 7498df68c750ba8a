//! The rump kernel as a world for scripted cases.

use crate::signals::{self, Signals, SIGKILL};
use puffs_netbsd::{Gate, Kernel, O_CREAT, O_RDWR, WORDS};
use puffs_rs::{
    abi::KArgs,
    kern::{Errno, Result},
};
use puffs_script::{
    world::{Ability, Calls, Device, Process, Thread, Work},
    Frame, World,
};
use rump_kernel::kernel::{self, functions, RawLwp};
use std::{
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A new process starts without open files (`RUMP_RFCFDG`).
const NO_FILES: i32 = 2;

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

/// The kernel as the thread sees it that has these signals, and that the caller
/// is.
struct RumpGate(Arc<Signals>);

fn kernel_of(signals: &Arc<Signals>) -> Kernel<RumpGate> {
    Kernel::new(RumpGate(signals.clone()))
}

/// The kernel as a thread sees it that nobody sends signals.
fn kernel_alone() -> Kernel<RumpGate> {
    kernel_of(&Arc::default())
}

impl Gate for RumpGate {
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64> {
        // SAFETY: as the caller's.
        let returned = unsafe { kernel::system_call(number, words) };
        self.0.deliver();
        // No handler of a signal here asks for that.
        returned.map_err(|error| match error {
            Errno::ERESTART => Errno::EINTR,
            error => error,
        })
    }

    fn block(&self, signal: i32) -> Result<()> {
        self.0.block(signal);
        Ok(())
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
        matches!(
            ability,
            Ability::Signals
                | Ability::SharedReaders
                | Ability::Kqueue
                | Ability::Fallocate
                | Ability::Sockets
                | Ability::KernelLocks
                | Ability::DotdotCache
                | Ability::AttributeCache
                | Ability::LastWords
        )
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
            match kernel_alone().unload_module("puffs") {
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
        let path = format!("/for-vdrain-{number}");
        if let Ok(file) = kernel_alone().open_file(&path, O_RDWR | O_CREAT) {
            let _ = kernel_alone().close_file(file);
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
        // Not the child of a process that the caller may be a thread of: whose
        // that is matters.
        if !before.is_null() {
            switch(std::ptr::null_mut());
        }
        // SAFETY: the caller becomes the first thread; what it was is kept.
        let error = unsafe { (functions().rump_pub_lwproc_rfork)(NO_FILES) };
        assert_eq!(error, 0, "rfork");
        let inner = Inner {
            pid: kernel_alone().getpid().unwrap_or(-1),
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
        // A thread of the server may not come or go while a process ends in a
        // rump kernel, and files are closed with its help: before that.
        let _ = kernel_alone().close_files();
        release(before);
    }
}

struct RumpProcess(Arc<Inner>);

impl Process for RumpProcess {
    fn spawn(&self, name: &str, work: Work) -> Box<dyn Thread> {
        let signals = Arc::new(Signals::default());
        let (process, of_thread) = (self.0.clone(), signals.clone());
        let body = move || {
            let calls = kernel_of(&of_thread);
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
        let calls = kernel_of(&signals);
        self.0.run(&signals, || work(&calls));
    }

    fn open_device(&self) -> Result<Arc<dyn Device>> {
        let signals = Arc::new(Signals::default());
        let kernel = kernel_of(&signals);
        let open = || kernel.open_file("/dev/puffs", O_RDWR);
        let fd = self.0.run(&signals, open)?;
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
    fn call<T>(&self, call: impl FnOnce(&Kernel<RumpGate>, i32) -> Result<T>) -> Result<T> {
        // A thread of the process may be in the call, whose signals end it.
        let me = signals::current().unwrap_or_default();
        let fd = {
            let mut state = lock(&self.state);
            let fd = state.fd.ok_or(errno(9 /* EBADF */))?;
            state.inside.push(me.clone());
            fd
        };
        let kernel = kernel_of(&me);
        let done = self.process.run(&me, || call(&kernel, fd));
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
        self.call(|kernel, fd| kernel.mount_puffs(path, args, fd))
    }

    fn read(&self) -> Result<Frame> {
        self.call(Kernel::read_frame)
    }

    fn read_part(&self, room: usize) -> Result<Vec<u8>> {
        self.call(|kernel, fd| kernel.read_part(fd, room))
    }

    fn try_read(&self) -> Result<Option<Frame>> {
        self.call(Kernel::try_read_frame)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        self.call(|kernel, fd| kernel.write_frame(fd, bytes))
    }

    fn poll(&self, limit: Duration) -> Result<bool> {
        self.call(|kernel, fd| kernel.poll_frame(fd, limit))
    }

    fn kevent(&self, limit: Duration) -> Result<usize> {
        self.call(|kernel, fd| kernel.kevent(fd, limit))
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
        let kernel = kernel_of(&signals);
        let _ = self.process.run(&signals, || kernel.close_file(fd));
    }
}
