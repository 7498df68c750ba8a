//! Processes that make system calls by request.
//!
//! A case wants processes: with descriptors of their own, that signals find,
//! that die. And it is a program, with values that its threads share. Both are
//! had with processes that share the memory of this one
//! ([`raw::clone`]) and do nothing but make the system calls that they are asked
//! for: so the addresses in these are good there, and what is mapped there can
//! be looked at here. Each thread of such a process (an *LWP*, as NetBSD calls
//! it) has a socket: a byte asks for the call that is written down in its
//! [`Slot`], a byte says that it was made, and an end of the file that the
//! process is gone.

use crate::raw::{self, Context, SIGKILL};
use puffs_netbsd::{Gate, MSYNC, WORDS};
use puffs_rs::kern::{Errno, Result};
use std::{
    cell::{RefCell, UnsafeCell},
    ffi::c_void,
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

/// The stack of a thread that makes system calls and runs handlers that do
/// nothing.
const STACK: usize = 32 * 1024;

/// From here on are the descriptors of a process that are not the case's.
const OWN_FILES: i32 = 256;

/// How long it may take a thread to get from the byte that it waits for to the
/// system call.
const PATIENCE: Duration = Duration::from_secs(5);

const F_DUPFD: i64 = 0;
const F_CLOSEM: i64 = 10;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a [`Slot`]'s thread is at.
mod stage {
    /// It waits to be asked, or was asked and does not know it.
    pub(super) const ASKED: u32 = 0;
    /// It is in the system call, or about to be.
    pub(super) const INSIDE: u32 = 1;
    /// It made it.
    pub(super) const DONE: u32 = 2;
}

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK]>);

/// What an LWP and those who ask it have in common.
struct Slot {
    /// Its descriptor of its socket.
    socket: AtomicI32,
    request: UnsafeCell<Request>,
    stage: AtomicU32,
    stack: Stack,
}

struct Request {
    number: i32,
    words: [i64; WORDS],
    result: Result<i64>,
}

// SAFETY: whose turn it is with the request, the bytes on the socket say.
unsafe impl Sync for Slot {}
// SAFETY: the same.
unsafe impl Send for Slot {}

impl Slot {
    fn new(socket: i32) -> Box<Slot> {
        Box::new(Slot {
            socket: AtomicI32::new(socket),
            request: UnsafeCell::new(Request {
                number: 0,
                words: [0; WORDS],
                result: Ok(0),
            }),
            stage: AtomicU32::new(stage::DONE),
            stack: Stack(UnsafeCell::new([0; STACK])),
        })
    }

    /// Where the stack ends, which grows downwards.
    fn stack(&self) -> *mut u8 {
        self.stack.0.get().cast::<u8>().wrapping_add(STACK)
    }

    /// The LWP: it makes system calls as it is asked for them. No memory of a
    /// thread's own is used here, none is allocated, nobody is woken but by the
    /// kernel.
    fn serve(&self) -> ! {
        let mut byte = 0_u8;
        let socket = i64::from(self.socket.load(Ordering::Relaxed));
        loop {
            let words = [socket, &raw mut byte as i64, 1];
            // SAFETY: there is room for the byte.
            match unsafe { raw::call(raw::READ, words) } {
                Ok(1) => {}
                Err(Errno::EINTR) => continue,
                // Nobody will ask any more.
                _ => raw::exit(),
            }
            let request = self.request.get();
            // SAFETY: it is this thread's turn, to the byte below.
            let request = unsafe { &mut *request };
            self.stage.store(stage::INSIDE, Ordering::Release);
            let call: unsafe fn(i32, &[i64; WORDS]) -> Result<i64> = if request.number == MSYNC {
                raw::syscall_apart
            } else {
                raw::syscall
            };
            // SAFETY: whoever asks knows what they ask for.
            request.result = unsafe { call(request.number, &request.words) };
            self.stage.store(stage::DONE, Ordering::Release);
            let words = [socket, &raw const byte as i64, 1];
            // SAFETY: the byte is there.
            while unsafe { raw::call(raw::WRITE, words) } == Err(Errno::EINTR) {}
        }
    }
}

/// A first thread begins by getting rid of what its process has inherited, but
/// for standard input, output and error, and has the usual umask.
extern "C" fn first(slot: *mut c_void) -> ! {
    const FREE: i64 = 3;
    // SAFETY: it is the slot that was given to the process.
    let slot = unsafe { &*slot.cast::<Slot>() };
    raw::survive_signals();
    let inherited = i64::from(slot.socket.load(Ordering::Relaxed));
    const MASK: i64 = 0o022;
    let renumber = [
        (raw::UMASK, [MASK, 0, 0]),
        (raw::DUP2, [inherited, FREE, 0]),
        (raw::FCNTL, [FREE + 1, F_CLOSEM, 0]),
        (raw::FCNTL, [FREE, F_DUPFD, OWN_FILES.into()]),
        (raw::CLOSE, [FREE, 0, 0]),
    ];
    for (number, words) in renumber {
        // SAFETY: numbers.
        if unsafe { raw::call(number, words) }.is_err() {
            raw::exit();
        }
    }
    slot.socket.store(OWN_FILES, Ordering::Relaxed);
    slot.serve()
}

extern "C" fn another(slot: *mut c_void) -> ! {
    // SAFETY: it is the slot that was given to the thread.
    let slot = unsafe { &*slot.cast::<Slot>() };
    slot.serve()
}

/// An LWP, for those who ask it for system calls.
struct Lwp {
    id: i32,
    socket: UnixStream,
    slot: Box<Slot>,
}

impl Lwp {
    /// Asks for a system call. Fails if the process is gone.
    ///
    /// # Safety
    /// As of [`raw::syscall`], until the call was made; and no other was asked
    /// for that was not made.
    unsafe fn ask(&self, number: i32, words: &[i64; WORDS]) -> bool {
        // SAFETY: nobody else touches it, as the LWP waits for the byte below.
        let request = unsafe { &mut *self.slot.request.get() };
        (request.number, request.words) = (number, *words);
        self.slot.stage.store(stage::ASKED, Ordering::Release);
        (&self.socket).write_all(&[0]).is_ok()
    }

    /// Waits for the result; EINTR, if the process is gone.
    fn result(&self) -> Result<i64> {
        match (&self.socket).read_exact(&mut [0]) {
            // SAFETY: the LWP has made the call, and waits to be asked.
            Ok(()) => unsafe { (*self.slot.request.get()).result },
            Err(_) => Err(Errno::EINTR),
        }
    }

    /// Makes a system call.
    ///
    /// # Safety
    /// As of [`Lwp::ask`].
    unsafe fn call<const N: usize>(&self, number: i32, words: [i64; N]) -> Result<i64> {
        let mut all = [0; WORDS];
        all[..N].copy_from_slice(&words);
        // SAFETY: as the caller's.
        let asked = unsafe { self.ask(number, &all) };
        if asked {
            self.result()
        } else {
            Err(Errno::EINTR)
        }
    }
}

/// A process, from its beginning to its end.
pub(crate) struct Life {
    pid: i32,
    /// It makes the system calls that are nobody's.
    control: Mutex<Lwp>,
    idle: Mutex<Vec<Arc<Lwp>>>,
    /// All but the one above: their stacks are there as long as the process.
    lwps: Mutex<Vec<Arc<Lwp>>>,
    /// The threads that somebody is.
    threads: Mutex<Vec<Arc<Remote>>>,
    /// How many descriptors of the device it has.
    devices: AtomicUsize,
    killed: AtomicBool,
    reaped: Mutex<bool>,
}

/// Whoever makes a socket that a new process must not keep holds this.
static CLONING: Mutex<()> = Mutex::new(());

impl Life {
    /// A new process.
    pub(crate) fn begin() -> std::io::Result<Arc<Life>> {
        let cloning = lock(&CLONING);
        let (socket, theirs) = UnixStream::pair()?;
        let slot = Slot::new(theirs.as_raw_fd());
        let argument = (&raw const *slot).cast_mut().cast();
        // SAFETY: the stack is the slot's, which is there as long as the
        // process, and `first` only makes system calls.
        let pid = unsafe { raw::clone(slot.stack(), first, argument) };
        let pid = pid.map_err(|error| std::io::Error::from_raw_os_error(error.get()))?;
        drop(theirs);
        drop(cloning);
        Ok(Arc::new(Life {
            pid,
            control: Mutex::new(Lwp {
                id: 1,
                socket,
                slot,
            }),
            idle: Mutex::default(),
            lwps: Mutex::default(),
            threads: Mutex::default(),
            devices: AtomicUsize::new(0),
            killed: AtomicBool::new(false),
            reaped: Mutex::new(false),
        }))
    }

    /// Was it killed?
    pub(crate) fn is_over(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// It opened the device.
    pub(crate) fn add_device(&self) {
        self.devices.fetch_add(1, Ordering::Relaxed);
    }

    /// It is to close a descriptor of the device; how many it has left.
    pub(crate) fn remove_device(&self) -> usize {
        self.devices.fetch_sub(1, Ordering::Relaxed) - 1
    }

    /// Kills it, and waits for nothing.
    pub(crate) fn kill(&self) {
        let reaped = lock(&self.reaped);
        self.killed.store(true, Ordering::Relaxed);
        if !*reaped {
            // SAFETY: numbers.
            let _ = unsafe { raw::call(raw::KILL, [self.pid.into(), SIGKILL.into()]) };
        }
    }

    /// Waits for its end.
    pub(crate) fn reap(&self) {
        let mut reaped = lock(&self.reaped);
        while !*reaped {
            let mut status = 0_i32;
            let words = [self.pid.into(), &raw mut status as i64, 0, 0];
            // SAFETY: there is room for the status.
            let waited = unsafe { raw::call(raw::WAIT, words) };
            *reaped = waited != Err(Errno::EINTR);
        }
    }

    /// Somebody becomes a thread of it.
    pub(crate) fn thread(self: &Arc<Life>) -> Result<Arc<Remote>> {
        let idle = lock(&self.idle).pop();
        let lwp = match idle {
            Some(lwp) => lwp,
            None => self.new_lwp()?,
        };
        let thread = Arc::new(Remote {
            life: self.clone(),
            lwp,
            state: Mutex::default(),
        });
        lock(&self.threads).push(thread.clone());
        Ok(thread)
    }

    /// Those that somebody is.
    pub(crate) fn threads(&self) -> Vec<Arc<Remote>> {
        lock(&self.threads).clone()
    }

    fn new_lwp(&self) -> Result<Arc<Lwp>> {
        const LWP_DETACHED: i64 = 0x40;
        let control = lock(&self.control);
        let (socket, fd) = hand_socket_over(&control)?;
        let slot = Slot::new(fd);
        let argument = (&raw const *slot).cast_mut().cast();
        let context = Context::of(slot.stack(), another, argument)?;
        let mut id = 0_i32;
        let words = [&raw const *context as i64, LWP_DETACHED, &raw mut id as i64];
        // SAFETY: the context is one, for a stack that is there as long as the
        // process, and for a function that only makes system calls.
        unsafe { control.call(raw::LWP_CREATE, words) }?;
        let lwp = Arc::new(Lwp { id, socket, slot });
        lock(&self.lwps).push(lwp.clone());
        Ok(lwp)
    }

    /// Sends an LWP a signal once it is inside the system call that it was
    /// asked for.
    fn send(&self, lwp: &Lwp, signal: i32) {
        let start = Instant::now();
        while lwp.slot.stage.load(Ordering::Acquire) == stage::ASKED {
            if self.is_over() || start.elapsed() > PATIENCE {
                return;
            }
            std::thread::yield_now();
        }
        let words = [lwp.id.into(), signal.into()];
        // SAFETY: numbers.
        let _ = unsafe { lock(&self.control).call(raw::LWP_KILL, words) };
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.kill();
        self.reap();
    }
}

/// Gives a process one end of a new socket; returns the other, and the number
/// of the descriptor there.
fn hand_socket_over(control: &Lwp) -> Result<(UnixStream, i32)> {
    const SOL_SOCKET: i32 = 0xffff;
    const SCM_RIGHTS: i32 = 1;

    /// A `struct msghdr`.
    #[repr(C)]
    struct Header {
        name: usize,
        name_len: u32,
        iov: *mut [usize; 2],
        iov_len: i32,
        control: *mut Rights,
        control_len: u32,
        flags: i32,
    }
    /// A `struct cmsghdr` and a descriptor.
    #[repr(C)]
    struct Rights {
        len: u32,
        level: i32,
        kind: i32,
        pad: i32,
        fd: i32,
        end: i32,
    }
    /// Without what stands behind it.
    const LEN: u32 = 20;

    let cloning = lock(&CLONING);
    let pair = UnixStream::pair();
    let (mine, theirs) = pair.map_err(|error| errno(error.raw_os_error().unwrap_or(0)))?;
    let message = |fd: i32, work: &mut dyn FnMut(i64) -> Result<i64>| {
        let mut byte = 0_u8;
        let mut iov = [&raw mut byte as usize, 1];
        let mut rights = Rights {
            len: LEN,
            level: SOL_SOCKET,
            kind: SCM_RIGHTS,
            pad: 0,
            fd,
            end: 0,
        };
        let header = Header {
            name: 0,
            name_len: 0,
            iov: &raw mut iov,
            iov_len: 1,
            control: &raw mut rights,
            control_len: size_of::<Rights>() as u32,
            flags: 0,
        };
        work(&raw const header as i64)?;
        Ok::<i32, Errno>(rights.fd)
    };
    let received = message(-1, &mut |receive| {
        let mut words = [0; WORDS];
        words[..2].copy_from_slice(&[OWN_FILES.into(), receive]);
        // SAFETY: the message has room for a byte and a descriptor, and is there
        // until it came.
        if !unsafe { control.ask(raw::RECVMSG, &words) } {
            return Err(Errno::EINTR);
        }
        message(theirs.as_raw_fd(), &mut |send| {
            // SAFETY: the message has a byte and a descriptor.
            unsafe { raw::call(raw::SENDMSG, [control.socket.as_raw_fd().into(), send, 0]) }
        })?;
        control.result()
    })?;
    drop(theirs);
    drop(cloning);
    let dup = [received.into(), F_DUPFD, OWN_FILES.into()];
    // SAFETY: numbers.
    let fd = unsafe { control.call(raw::FCNTL, dup) }?;
    // SAFETY: a number.
    unsafe { control.call(raw::CLOSE, [received.into()]) }?;
    Ok((mine, fd as i32))
}

pub(crate) fn errno(number: i32) -> Errno {
    match Errno::check(number) {
        Err(error) => error,
        Ok(()) => Errno::EINTR,
    }
}

/// A thread of a process, as long as somebody is it.
pub(crate) struct Remote {
    life: Arc<Life>,
    lwp: Arc<Lwp>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A system call was asked for, and its result was not looked at.
    asked: bool,
    /// Signals that it was sent between system calls: they are for the next
    /// one.
    pending: u64,
    /// It has blocked signals.
    blocks: bool,
    /// Nobody is it any more.
    over: bool,
}

impl Remote {
    /// The process.
    pub(crate) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Sends it a signal. KILL kills the process.
    pub(crate) fn signal(&self, signal: i32) {
        if signal == SIGKILL {
            return self.life.kill();
        }
        let mut state = lock(&self.state);
        let done = || self.lwp.slot.stage.load(Ordering::Acquire) == stage::DONE;
        if state.over {
        } else if state.asked && !done() {
            self.life.send(&self.lwp, signal);
        } else {
            state.pending |= 1 << signal;
        }
    }

    /// Nobody is it any more.
    pub(crate) fn end(&self) {
        const SIG_SETMASK: i64 = 3;
        let blocks = {
            let mut state = lock(&self.state);
            state.over = true;
            state.blocks
        };
        lock(&self.life.threads).retain(|thread| !std::ptr::eq(&**thread, self));
        if self.life.is_over() {
            return;
        }
        if blocks {
            let none = [0_u32; 4];
            let words = [SIG_SETMASK, &raw const none as i64, 0];
            // SAFETY: the set is one.
            let _ = unsafe { self.lwp.call(raw::SIGPROCMASK, words) };
        }
        lock(&self.life.idle).push(self.lwp.clone());
    }
}

/// The way into the kernel for who is a thread of a process.
#[derive(Clone)]
pub(crate) struct RemoteGate(pub(crate) Arc<Remote>);

impl Gate for RemoteGate {
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64> {
        let Remote { life, lwp, state } = &*self.0;
        {
            let mut state = lock(state);
            // SAFETY: as the caller's; and who is the thread is one caller.
            if !unsafe { lwp.ask(number, words) } {
                return Err(Errno::EINTR);
            }
            state.asked = true;
            let pending = std::mem::take(&mut state.pending);
            for signal in (0..64).filter(|signal| pending >> signal & 1 != 0) {
                life.send(lwp, signal);
            }
        }
        let result = lwp.result();
        lock(state).asked = false;
        result
    }

    fn block(&self, signal: i32) -> Result<()> {
        const SIG_BLOCK: i64 = 1;
        let mut set = [0_u32; 4];
        let bit = signal as usize - 1;
        set[bit / 32] |= 1 << (bit % 32);
        lock(&self.0.state).blocks = true;
        let mut words = [0; WORDS];
        words[..2].copy_from_slice(&[SIG_BLOCK, &raw const set as i64]);
        // SAFETY: the set is one.
        unsafe { self.enter(raw::SIGPROCMASK, &mut words) }.map(drop)
    }
}

thread_local! {
    /// The threads that the calling one is, the last first.
    static CURRENT: RefCell<Vec<Arc<Remote>>> = const { RefCell::new(Vec::new()) };
}

/// Has the caller be this thread meanwhile, to the end of the thread.
pub(crate) fn be<T>(thread: &Arc<Remote>, work: impl FnOnce() -> T) -> T {
    CURRENT.with_borrow_mut(|current| current.push(thread.clone()));
    let done = work();
    CURRENT.with_borrow_mut(Vec::pop);
    thread.end();
    done
}

/// The thread of that process that the caller is, if it is one.
pub(crate) fn current(life: &Arc<Life>) -> Option<Arc<Remote>> {
    CURRENT.with_borrow(|current| {
        let of_life = |thread: &&Arc<Remote>| Arc::ptr_eq(&thread.life, life);
        current.iter().rev().find(of_life).cloned()
    })
}
