//! Mutexes and condition variables, with the rules of the kernel's checked:
//! who is inside, in what order, and that nothing in use is destroyed.

use super::{
    big, chaos,
    fatal::{fatal, kassert},
    lwp::{self, Limits},
    registry::{lock, raw, Registry},
};
use crate::rt::{self, wait_for, Waiters};
use puffs_rs::kern::sys::{pk_cv, pk_mutex};
use std::{
    cell::RefCell,
    collections::VecDeque,
    ffi::{c_char, CStr},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
};

/// What a mutex is for: the order in which mutexes are entered is one of
/// classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Made by the core, and of no class of its own.
    Core,
    /// The message lock of a mount.
    Message,
    /// `pmp_sopmtx`.
    Sop,
    /// `pn_mtx`.
    Node,
    /// `pn_sizemtx`.
    Size,
    /// `v_interlock`.
    Interlock,
    /// `vmobjlock`.
    Pages,
    /// `vfs_suspend_lock`.
    Suspend,
    /// `mnt_updating`.
    Updating,
    /// `pi_mtx` of the device.
    Putter,
}

impl Class {
    /// May who is inside sleep?
    fn sleepable(self) -> bool {
        matches!(self, Class::Suspend | Class::Updating | Class::Size)
    }
}

const CLASSES: usize = Class::Putter as usize + 1;

/// `ORDER[a][b]`: a mutex of class `b` was entered inside one of class `a`.
static ORDER: [[AtomicBool; CLASSES]; CLASSES] =
    [const { [const { AtomicBool::new(false) }; CLASSES] }; CLASSES];

/// The mutexes that a thread is inside, in the order in which it entered them.
pub(crate) type Held = Vec<(usize, Class)>;

rt::thread_local! {
    static EXPECTED: RefCell<VecDeque<Class>> = const { RefCell::new(VecDeque::new()) };
    static HELD: RefCell<Held> = const { RefCell::new(Vec::new()) };
}

/// Takes away what the calling thread is inside of, for another lwp on it.
pub(crate) fn take_held() -> Held {
    HELD.with_borrow_mut(std::mem::take)
}

/// Gives it back.
pub(crate) fn give_held(held: Held) {
    HELD.with_borrow_mut(|now| *now = held);
}

/// An adaptive mutex.
pub(crate) struct KMutex {
    handle: usize,
    class: Class,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who is inside.
    owner: Option<i32>,
    waiters: Waiters,
}

static MUTEXES: Registry<KMutex> = Registry::new("mutex");

impl KMutex {
    pub(crate) fn new(class: Class) -> Arc<KMutex> {
        MUTEXES.add(|handle| KMutex {
            handle,
            class,
            state: Mutex::default(),
        })
    }

    pub(crate) fn raw(&self) -> *mut pk_mutex {
        raw(self.handle)
    }

    pub(crate) fn enter(&self) {
        chaos::point();
        let me = lwp::current().lid();
        kassert!(
            lock(&self.state).owner != Some(me),
            "{:?} mutex entered by who is inside",
            self.class
        );
        self.check_order();
        while !self.take(me) {
            // Who has to wait for a mutex gives the kernel lock up.
            let kernel_lock = big::give_up();
            let free = |state: &mut State| state.owner.is_none().then_some(());
            wait_for(&self.state, |state| &mut state.waiters, free);
            big::take_back(kernel_lock);
        }
        HELD.with_borrow_mut(|held| held.push((self.handle, self.class)));
        // Whoever wants to enter now gives the kernel lock up for it.
        chaos::point();
    }

    /// Enters it if nobody is inside.
    pub(crate) fn try_enter(&self) -> bool {
        let entered = self.take(lwp::current().lid());
        if entered {
            HELD.with_borrow_mut(|held| held.push((self.handle, self.class)));
        }
        entered
    }

    fn take(&self, me: i32) -> bool {
        let mut state = lock(&self.state);
        let free = state.owner.is_none();
        if free {
            state.owner = Some(me);
        }
        free
    }

    pub(crate) fn exit(&self) {
        let me = lwp::current().lid();
        let mut state = lock(&self.state);
        kassert!(
            state.owner == Some(me),
            "{:?} mutex left by who is not inside",
            self.class
        );
        state.owner = None;
        HELD.with_borrow_mut(|held| held.retain(|&(handle, _)| handle != self.handle));
        state.waiters.wake_one();
        drop(state);
        chaos::point();
    }

    /// Runs `f` inside.
    pub(crate) fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        self.enter();
        let result = f();
        self.exit();
        result
    }

    /// Is the calling thread inside?
    pub(crate) fn is_mine(&self) -> bool {
        lock(&self.state).owner == Some(lwp::current().lid())
    }

    pub(crate) fn assert_mine(&self) {
        kassert!(self.is_mine(), "{:?} mutex is not held", self.class);
    }

    pub(crate) fn destroy(&self) {
        kassert!(
            lock(&self.state).owner.is_none(),
            "{:?} mutex destroyed while held",
            self.class
        );
        MUTEXES.remove(self.handle);
    }

    fn check_order(&self) {
        HELD.with_borrow(|held| {
            for &(_, outer) in held {
                ORDER[outer as usize][self.class as usize].store(true, Ordering::Relaxed);
                if ORDER[self.class as usize][outer as usize].load(Ordering::Relaxed) {
                    fatal!(
                        "lock order: {:?} inside {outer:?}, and the other way",
                        self.class
                    );
                }
            }
        });
    }
}

pub(crate) fn mutex_count() -> usize {
    MUTEXES.count()
}

pub(crate) fn cv_count() -> usize {
    CVS.count()
}

/// Panics if the calling thread is inside any mutex.
pub(crate) fn assert_none_held(when: &str) {
    HELD.with_borrow(|held| {
        if let Some((_, class)) = held.first() {
            fatal!("{when} inside a {class:?} mutex");
        }
    });
}

/// A sleep may come now: only mutexes that other threads do not wait for in
/// their sleep may be held.
pub(crate) fn assert_sleepable(what: &str) {
    HELD.with_borrow(|held| {
        for &(_, class) in held {
            kassert!(
                class.sleepable(),
                "{what} may sleep, inside a {class:?} mutex"
            );
        }
    });
}

/// A condition variable. The core's storage holds its handle.
pub(crate) struct Cv {
    handle: usize,
    name: String,
}

static CVS: Registry<Cv> = Registry::new("condition variable");

/// The condition variable in the core's storage.
///
/// # Safety
/// `cv` is such storage.
unsafe fn cv_at(cv: *mut pk_cv) -> Arc<Cv> {
    // SAFETY: the caller says so.
    let storage = unsafe { cv.read() };
    CVS.get(storage.cv_opaque[0])
}

fn wait(cv: &Cv, mutex: &KMutex, limits: Limits) -> i32 {
    mutex.assert_mine();
    HELD.with_borrow(|held| {
        for &(handle, class) in held {
            let sleepable = handle == mutex.handle || class.sleepable();
            kassert!(sleepable, "a wait for {} inside a {class:?} mutex", cv.name);
        }
    });
    let error = lwp::sleep(cv.handle, &cv.name, limits, || mutex.exit());
    mutex.enter();
    error
}

/// Runs `f`, which has the core make mutexes: of these classes, in this order.
pub(crate) fn making<R>(classes: &[Class], f: impl FnOnce() -> R) -> R {
    EXPECTED.with_borrow_mut(|expected| expected.extend(classes));
    let made = f();
    EXPECTED.with_borrow_mut(VecDeque::clear);
    made
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mutex_create() -> *mut pk_mutex {
    assert_sleepable("pk_mutex_create");
    let class = EXPECTED.with_borrow_mut(VecDeque::pop_front);
    KMutex::new(class.unwrap_or(Class::Core)).raw()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mutex_destroy(m: *mut pk_mutex) {
    MUTEXES.get(m).destroy();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mutex_enter(m: *mut pk_mutex) {
    MUTEXES.get(m).enter();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mutex_tryenter(m: *mut pk_mutex) -> bool {
    MUTEXES.get(m).try_enter()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_mutex_exit(m: *mut pk_mutex) {
    MUTEXES.get(m).exit();
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_init(cv: *mut pk_cv, name: *const c_char) {
    // SAFETY: the core passes a C string.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    let made = CVS.add(|handle| Cv { handle, name });
    let mut storage = pk_cv::default();
    storage.cv_opaque[0] = raw(made.handle);
    // SAFETY: the core passes storage for a condition variable.
    unsafe { cv.write(storage) };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_destroy(cv: *mut pk_cv) {
    // SAFETY: the core passes an initialised condition variable.
    let gone = unsafe { cv_at(cv) };
    kassert!(
        lwp::sleepers(gone.handle) == 0,
        "{} destroyed with a waiter",
        gone.name
    );
    CVS.remove(gone.handle);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_wait(cv: *mut pk_cv, m: *mut pk_mutex) {
    // SAFETY: the core passes an initialised condition variable.
    let cv = unsafe { cv_at(cv) };
    wait(&cv, &MUTEXES.get(m), Limits::default());
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_wait_sig(cv: *mut pk_cv, m: *mut pk_mutex) -> i32 {
    // SAFETY: the core passes an initialised condition variable.
    let cv = unsafe { cv_at(cv) };
    let limits = Limits {
        interruptible: true,
        ticks: None,
    };
    wait(&cv, &MUTEXES.get(m), limits)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_timedwait(
    cv: *mut pk_cv,
    m: *mut pk_mutex,
    ticks: i32,
) -> i32 {
    // SAFETY: the core passes an initialised condition variable.
    let cv = unsafe { cv_at(cv) };
    let limits = Limits {
        interruptible: false,
        ticks: (ticks != 0).then_some(ticks),
    };
    wait(&cv, &MUTEXES.get(m), limits)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_signal(cv: *mut pk_cv) {
    // SAFETY: the core passes an initialised condition variable.
    let cv = unsafe { cv_at(cv) };
    lwp::wakeup_one(cv.handle);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cv_broadcast(cv: *mut pk_cv) {
    // SAFETY: the core passes an initialised condition variable.
    let cv = unsafe { cv_at(cv) };
    lwp::wakeup_all(cv.handle);
}
