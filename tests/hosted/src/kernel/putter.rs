//! The putter device: an instance for each open, and the state machine of
//! `putter(4)` between the server's `read(2)`, `write(2)` and `close(2)` and
//! the file system behind it.
//!
//! As on NetBSD the device works inside the kernel lock, its fields are
//! guarded by nothing else, and copying to or from the server may sleep and
//! give the lock up. [`PutterFile::set_copyout`] and
//! [`PutterFile::set_copyin`] let a test do that, or fail it.

use super::{
    big::KernelLock,
    chaos,
    fatal::kassert,
    faults::{self, Kind},
    lwp::{self, Limits},
    registry::{lock, raw, Registry},
    sync::{Class, KMutex},
};
use puffs_rs::{
    abi::PutterHdr,
    entry,
    kern::{sys::putter_instance, Errno, Result},
};
use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, LazyLock, Mutex},
};
use zerocopy::FromBytes;

/// Nothing is attached yet.
const EMBRYO: usize = usize::MAX;
/// The file system is gone.
const DEAD: usize = usize::MAX - 1;

const ENOENT: i32 = 2;
const ERESTART: i32 = -3;

/// How much a frame may be longer than the longest message: more is refused
/// without being looked at, so that a server cannot make the kernel allocate
/// what it likes.
pub const FRAME_MAX: usize = 2 * puffs_rs::abi::consts::MSG_MAXSIZE;

/// What is called with the bytes to copy, before they are; an errno fails the
/// copy.
pub type CopyHook = Arc<dyn Fn(&[u8]) -> i32 + Send + Sync>;

struct Instance {
    handle: usize,
    pid: i32,
    state: Mutex<State>,
}

struct State {
    private: usize,
    current: Option<Current>,
    nonblock: bool,
    copyout: Option<CopyHook>,
    copyin: Option<CopyHook>,
    releases_twice: bool,
    knotes: Vec<Arc<Knote>>,
}

/// What a queue of `kqueue(2)` knows of the descriptor that it watches.
struct Knote {
    handle: usize,
    /// There is, or was, something to read.
    active: Mutex<bool>,
}

/// A request that is being read.
#[derive(Clone, Copy)]
struct Current {
    data: *mut u8,
    left: usize,
    opaque: *mut c_void,
}

// SAFETY: the request's memory stays until it is released, whichever thread
// reads it.
unsafe impl Send for Current {}

static KNOTES: Registry<Knote> = Registry::new("knote");
static INSTANCES: Registry<Instance> = Registry::new("putter instance");

/// The instances that a mount can still find.
static LISTED: Mutex<Vec<Arc<Instance>>> = Mutex::new(Vec::new());

/// `pi_mtx`.
static PI_MTX: LazyLock<Arc<KMutex>> = LazyLock::new(|| KMutex::new(Class::Putter));

pub(crate) fn count() -> usize {
    INSTANCES.count()
}

/// How many mutexes the device keeps for itself.
pub(crate) fn own_mutexes() -> usize {
    LazyLock::force(&PI_MTX);
    1
}

/// An open descriptor of `/dev/putter`. Dropping it is `close(2)`.
pub struct PutterFile {
    instance: Arc<Instance>,
}

impl Instance {
    fn private(&self) -> usize {
        lock(&self.state).private
    }

    fn attached(&self) -> Result<*mut c_void> {
        match self.private() {
            EMBRYO | DEAD => Err(Errno::ENOENT),
            private => Ok(ptr::with_exposed_provenance_mut(private)),
        }
    }

    /// Looks for a queue that watches how much there is to read, which is what
    /// it is told; where there is no mount, nothing.
    fn filter(&self, knote: &Knote) -> usize {
        let _kernel = KernelLock::enter();
        let there = self.attached().map_or(0, |transport| {
            // SAFETY: attached, looked up inside the kernel lock.
            unsafe { entry::puffs_msgif_waitcount(transport) }
        });
        *lock(&knote.active) = there != 0;
        if there != 0 {
            lwp::wakeup_all(knote.handle);
        }
        there
    }

    fn unlist(&self) {
        lock(&LISTED).retain(|listed| listed.handle != self.handle);
    }
}

fn copy(hook: Option<CopyHook>, bytes: &[u8]) -> i32 {
    hook.map_or(0, |hook| hook(bytes))
}

impl PutterFile {
    /// Opens the device for the process of the calling thread.
    pub fn open() -> PutterFile {
        let pid = lwp::current().pid();
        let instance = INSTANCES.add(|handle| Instance {
            handle,
            pid,
            state: Mutex::new(State {
                private: EMBRYO,
                current: None,
                nonblock: false,
                copyout: None,
                copyin: None,
                releases_twice: false,
                knotes: Vec::new(),
            }),
        });
        PI_MTX.with(|| lock(&LISTED).push(instance.clone()));
        PutterFile { instance }
    }

    /// Sets or clears `O_NONBLOCK`.
    pub fn set_nonblock(&self, nonblock: bool) {
        lock(&self.instance.state).nonblock = nonblock;
    }

    /// Has `hook` called whenever bytes are copied to the server.
    pub fn set_copyout(&self, hook: Option<CopyHook>) {
        lock(&self.instance.state).copyout = hook;
    }

    /// Has `hook` called whenever bytes are copied from the server.
    pub fn set_copyin(&self, hook: Option<CopyHook>) {
        lock(&self.instance.state).copyin = hook;
    }

    /// Has the device give every request back twice, as it does by itself when
    /// the first reader has to wait for a lock in the file system: the kernel
    /// lock is free then, and the next one finds the request still there, with
    /// nothing left to copy.
    pub fn set_releases_twice(&self, twice: bool) {
        lock(&self.instance.state).releases_twice = twice;
    }

    /// One `read(2)`: a frame, or as much of it as there is room for.
    ///
    /// # Errors
    /// ENOENT without a mount; ENXIO when that is going away; EWOULDBLOCK;
    /// EINTR, ERESTART; what a copy hook says.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize> {
        loop {
            let done = self.read_once(buf);
            lwp::user_return();
            if done != Err(Errno::ERESTART) {
                return done;
            }
        }
    }

    fn read_once(&self, buf: &mut [u8]) -> Result<usize> {
        let _kernel = KernelLock::enter();
        let instance = &self.instance;
        let transport = instance.attached()?;
        let (waiting, nonblock) = {
            let state = lock(&instance.state);
            (state.current.is_some(), state.nonblock)
        };
        if !waiting {
            let (mut data, mut left, mut opaque) = (ptr::null_mut(), 0, ptr::null_mut());
            // SAFETY: attached, looked up inside the kernel lock; places for
            // the results.
            let error = unsafe {
                entry::puffs_msgif_getout(
                    transport,
                    buf.len(),
                    i32::from(nonblock),
                    &mut data,
                    &mut left,
                    &mut opaque,
                )
            };
            Errno::check(error)?;
            // Where several threads read, the last one wins, as in C.
            lock(&instance.state).current = Some(Current { data, left, opaque });
        }

        let (current, hook) = {
            let state = lock(&instance.state);
            (state.current, state.copyout.clone())
        };
        let Some(mut current) = current else {
            return Ok(0);
        };
        let len = current.left.min(buf.len());
        // SAFETY: the request is lent to the device until it is released, and
        // `left` bytes of it are.
        let bytes = unsafe { std::slice::from_raw_parts(current.data, len) };
        let error = match faults::check(Kind::Copyout) {
            Ok(()) => copy(hook, bytes),
            Err(error) => error.get(),
        };
        let moved = if error == 0 { len } else { 0 };
        buf[..moved].copy_from_slice(&bytes[..moved]);

        // Another thread may have read meanwhile.
        let mut state = lock(&instance.state);
        if let Some(now) = state.current {
            current = now;
        }
        kassert!(current.left >= moved, "putter: more was read than there is");
        current.left -= moved;
        // SAFETY: within the request, or just behind it.
        current.data = unsafe { current.data.add(moved) };
        state.current = Some(current);
        let private = state.private;
        let times = if state.releases_twice { 2 } else { 1 };
        drop(state);
        for _ in 0..if current.left == 0 { times } else { 0 } {
            // SAFETY: what getout stored; the device promises no more.
            unsafe {
                entry::puffs_msgif_releaseout(
                    ptr::with_exposed_provenance_mut(private),
                    current.opaque,
                    error,
                )
            };
            lock(&instance.state).current = None;
        }
        Errno::check(error).map(|()| moved)
    }

    /// One `write(2)`: one frame, as long as its header says. What follows it
    /// is not looked at.
    ///
    /// # Errors
    /// ENOENT without a mount; EINVAL if the header is not whole or the frame
    /// not as long as it says; what a copy hook says.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        let done = self.write_once(bytes);
        lwp::user_return();
        done
    }

    fn write_once(&self, bytes: &[u8]) -> Result<usize> {
        let _kernel = KernelLock::enter();
        let instance = &self.instance;
        instance.attached()?;
        let hook = lock(&instance.state).copyin.clone();
        let (header, _) = PutterHdr::read_from_prefix(bytes).map_err(|_| Errno::EINVAL)?;
        let len = usize::try_from(header.framelen).unwrap_or(usize::MAX);
        if len < size_of::<PutterHdr>() || len > bytes.len() || len > FRAME_MAX {
            return Err(Errno::EINVAL);
        }
        // Kernel memory, aligned as `kmem_alloc(9)` has it and no longer than
        // the frame, so that who reads behind it is found out.
        let mut frame = Frame::new(&bytes[..len]);
        faults::check(Kind::Copyin)?;
        Errno::check(copy(hook, &bytes[..len]))?;
        // The device reads its pointer again after the copy.
        let private = ptr::with_exposed_provenance_mut(instance.private());
        // SAFETY: the pointer of the instance, read inside the kernel lock and
        // without a sleep since; a frame as long as it says.
        unsafe { entry::puffs_msgif_dispatch(private, frame.as_mut_ptr().cast()) };
        Ok(len)
    }

    /// `poll(2)` for reading: is there something, waiting if `wait` for at
    /// most so many ticks?
    ///
    /// # Errors
    /// ENOENT without a mount, EINTR.
    pub fn poll(&self, wait: Option<i32>) -> Result<bool> {
        let deadline = wait.map(|ticks| super::clock::now_ticks() + i64::from(ticks));
        loop {
            let _kernel = KernelLock::enter();
            let transport = self.instance.attached()?;
            // SAFETY: attached, looked up inside the kernel lock.
            if unsafe { entry::puffs_msgif_waitcount(transport) } != 0 {
                return Ok(true);
            }
            let left = deadline.map_or(0, |deadline| deadline - super::clock::now_ticks());
            if left <= 0 {
                return Ok(false);
            }
            // A notification in between comes at the latest with the next
            // tick, when the device is asked again.
            let limits = Limits {
                interruptible: true,
                ticks: Some(1),
            };
            let error = lwp::sleep(self.instance.handle, "poll", limits, || {});
            if error == Errno::EINTR.get() {
                return Err(Errno::EINTR);
            }
        }
    }

    /// A queue of `kqueue(2)` that watches the descriptor for what there is to
    /// read from now on, also one that has no mount yet.
    pub fn watch(&self) -> Watch {
        let _kernel = KernelLock::enter();
        let knote = KNOTES.add(|handle| Knote {
            handle,
            active: Mutex::new(false),
        });
        lock(&self.instance.state).knotes.push(knote.clone());
        let instance = self.instance.clone();
        let watch = Watch { instance, knote };
        watch.instance.filter(&watch.knote);
        watch
    }

    /// `kevent(2)` for `EVFILT_READ`: how many frames there are to read,
    /// waiting for one for at most so many ticks. Where there is no mount
    /// there are none.
    ///
    /// # Errors
    /// EINTR.
    pub fn kevent(&self, ticks: i32) -> Result<usize> {
        self.watch().wait(Some(ticks))
    }

    /// The bytes of the current request that were not read yet.
    pub fn unread(&self) -> usize {
        lock(&self.instance.state)
            .current
            .map_or(0, |current| current.left)
    }

    fn close(&self) {
        let instance = &self.instance;
        {
            let _kernel = KernelLock::enter();
            loop {
                let private = PI_MTX.with(|| {
                    let private = instance.private();
                    if private == EMBRYO {
                        instance.unlist();
                    }
                    private
                });
                if private == EMBRYO || private == DEAD {
                    break;
                }
                let current = lock(&instance.state).current.take();
                if let Some(current) = current {
                    // SAFETY: what getout stored, given back once.
                    unsafe {
                        entry::puffs_msgif_releaseout(
                            ptr::with_exposed_provenance_mut(private),
                            current.opaque,
                            Errno::ENXIO.get(),
                        )
                    };
                }
                // The device reads its pointer again.
                let private = ptr::with_exposed_provenance_mut(instance.private());
                // SAFETY: the pointer of the instance, inside the kernel lock
                // and without a sleep since.
                if unsafe { entry::puffs_msgif_close(private) } != ERESTART {
                    break;
                }
            }
        }
        INSTANCES.remove(instance.handle);
    }
}

/// A queue of `kqueue(2)` that watches a descriptor. Unlike who polls, it
/// looks when it is told only.
pub struct Watch {
    instance: Arc<Instance>,
    knote: Arc<Knote>,
}

impl Watch {
    /// `kevent(2)`: how many frames there are to read, once there is one; 0
    /// after so many ticks.
    ///
    /// # Errors
    /// EINTR.
    pub fn wait(&self, ticks: Option<i32>) -> Result<usize> {
        let deadline = ticks.map(|ticks| super::clock::now_ticks() + i64::from(ticks));
        loop {
            if *lock(&self.knote.active) {
                let there = self.instance.filter(&self.knote);
                if there != 0 {
                    return Ok(there);
                }
            }
            let left = deadline.map(|deadline| deadline - super::clock::now_ticks());
            if left.is_some_and(|left| left <= 0) {
                return Ok(0);
            }
            let active = lock(&self.knote.active);
            if *active {
                continue;
            }
            let limits = Limits {
                interruptible: true,
                ticks: left.map(|left| left as i32),
            };
            let error = lwp::sleep(self.knote.handle, "kqueue", limits, || drop(active));
            if error == Errno::EINTR.get() {
                return Err(Errno::EINTR);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _kernel = KernelLock::enter();
        let handle = self.knote.handle;
        lock(&self.instance.state)
            .knotes
            .retain(|knote| knote.handle != handle);
        KNOTES.remove(handle);
    }
}

impl Drop for PutterFile {
    fn drop(&mut self) {
        self.close();
    }
}

/// A frame in kernel memory.
struct Frame {
    start: *mut c_void,
    len: usize,
}

impl Frame {
    fn new(bytes: &[u8]) -> Frame {
        // SAFETY: a frame has at least a header.
        let start = unsafe { super::mem::pk_alloc(bytes.len(), true) };
        // SAFETY: fresh memory of that size.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), bytes.len()) };
        Frame {
            start,
            len: bytes.len(),
        }
    }

    fn as_mut_ptr(&mut self) -> *mut c_void {
        self.start
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: allocated with this size, and the core is done with it.
        unsafe { super::mem::pk_free(self.start, self.len) };
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_putter_attach(
    pid: i32,
    _fd: i32,
    transport: *mut c_void,
) -> *mut putter_instance {
    if faults::fails(Kind::Attach) {
        return ptr::null_mut();
    }
    PI_MTX.with(|| {
        let listed = lock(&LISTED);
        let embryo = listed
            .iter()
            .find(|pi| pi.pid == pid && pi.private() == EMBRYO);
        match embryo {
            Some(instance) => {
                lock(&instance.state).private = transport.expose_provenance();
                raw(instance.handle)
            }
            None => ptr::null_mut(),
        }
    })
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_putter_detach(pi: *mut putter_instance) {
    let instance = INSTANCES.get(pi);
    kassert!(
        super::big::held(),
        "putter detached without the kernel lock"
    );
    PI_MTX.with(|| {
        instance.unlist();
        lock(&instance.state).private = DEAD;
    });
    lwp::wakeup_all(instance.handle);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_putter_notify(pi: *mut putter_instance) {
    chaos::point();
    kassert!(
        super::big::held(),
        "pollers of the device told without the kernel lock"
    );
    // The core must not use an instance that was detached and closed.
    let instance = INSTANCES.get(pi);
    lwp::wakeup_all(instance.handle);
    let knotes = lock(&instance.state).knotes.clone();
    for knote in knotes {
        instance.filter(&knote);
    }
}

const _: () = assert!(ENOENT == Errno::ENOENT.get() && ERESTART == Errno::ERESTART.get());
