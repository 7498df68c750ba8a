//! Threads as coroutines on one thread of the host, for a harness that runs
//! everything else there as well: see [`gather`].
//!
//! A fiber goes on when whoever is not one would block or lets time pass, and
//! until it does so itself. When none can, time passes, as much as somebody
//! waits for. So what happens is the same each time, and nothing waits for the
//! host.

use crate::kernel::{actor::Context, fatal::fatal};
use corosensei::{stack::DefaultStack, Coroutine, CoroutineResult, Yielder};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io, ptr,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

/// What an unoptimised build needs, with room.
const STACK: usize = 1 << 19;

thread_local! {
    /// Never freed: what would unwind the fibers that are left ends with the
    /// process.
    static FIBERS: Cell<Option<&'static Fibers>> = const { Cell::new(None) };

    static RUNNING: RefCell<Option<Rc<Shared>>> = const { RefCell::new(None) };
}

/// The fibers of a thread of the host.
#[derive(Default)]
struct Fibers {
    /// What the caller that is not one is unparked by.
    token: Token,
    /// Those that do not run.
    waiting: RefCell<VecDeque<Fiber>>,
    /// Stacks of those that ended.
    stacks: RefCell<Vec<DefaultStack>>,
    /// The time since they were gathered.
    now: Cell<Duration>,
}

/// What a fiber is unparked by.
pub(crate) type Token = Arc<AtomicBool>;

/// What a fiber and its thread of the host both know.
struct Shared {
    token: Token,
    /// It goes on at this time, if nobody unparks it before.
    until: Cell<Option<Duration>>,
    yielder: Cell<*const Yielder<(), ()>>,
    name: String,
}

struct Fiber {
    shared: Rc<Shared>,
    coroutine: Coroutine<(), (), ()>,
    context: Context,
}

/// From here on the threads that are started from the calling thread of the
/// host are fibers of it.
pub(crate) fn gather() {
    if FIBERS.get().is_none() {
        FIBERS.set(Some(Box::leak(Box::default())));
    }
}

/// The time since then, if that is so.
pub(crate) fn uptime() -> Option<Duration> {
    FIBERS.get().map(|fibers| fibers.now.get())
}

/// Is the caller a fiber?
pub(crate) fn is_fiber() -> bool {
    RUNNING.with_borrow(Option::is_some)
}

/// What unparks the caller, if there are fibers here.
pub(crate) fn current() -> Option<Token> {
    let running = RUNNING.with_borrow(|running| running.as_ref().map(|me| me.token.clone()));
    running.or_else(|| FIBERS.get().map(|fibers| fibers.token.clone()))
}

/// The name of the caller, if it is a fiber.
pub(crate) fn name() -> Option<String> {
    RUNNING.with_borrow(|running| running.as_ref().map(|me| me.name.clone()))
}

/// Makes a fiber.
pub(crate) fn spawn(name: String, run: impl FnOnce() + 'static) -> io::Result<()> {
    let Some(fibers) = FIBERS.get() else {
        return Err(io::Error::other("no fibers here"));
    };
    let stack = match fibers.stacks.borrow_mut().pop() {
        Some(stack) => stack,
        None => DefaultStack::new(STACK)?,
    };
    let shared = Rc::new(Shared {
        token: Arc::new(AtomicBool::new(true)),
        until: Cell::new(None),
        yielder: Cell::new(ptr::null()),
        name,
    });
    let mine = shared.clone();
    let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
        mine.yielder.set(yielder);
        run();
    });
    fibers.waiting.borrow_mut().push_back(Fiber {
        shared,
        coroutine,
        context: Context::default(),
    });
    Ok(())
}

/// Waits in the calling thread, which may be a fiber, for at most `limit`. It
/// may return for no reason. False if there are no fibers here.
pub(crate) fn park(limit: Option<Duration>) -> bool {
    let Some(fibers) = FIBERS.get() else {
        return false;
    };
    let until = limit.map(|limit| fibers.now.get() + limit);
    match RUNNING.with_borrow(Option::clone) {
        Some(me) => me.park(until),
        None => fibers.go_on(until),
    }
    true
}

impl Shared {
    fn park(&self, until: Option<Duration>) {
        if self.token.swap(false, Ordering::Acquire) {
            return;
        }
        self.until.set(until);
        // SAFETY: set when the fiber started, and it is this fiber's, which
        // runs.
        let yielder = unsafe { &*self.yielder.get() };
        yielder.suspend(());
        self.token.store(false, Ordering::Relaxed);
        self.until.set(None);
    }
}

impl Fibers {
    /// Has every fiber go on that can. If there is none, time passes, until one
    /// can or until the caller waited long enough.
    fn go_on(&self, until: Option<Duration>) {
        if self.run() || self.token.swap(false, Ordering::Acquire) {
            return;
        }
        let waiting = self.waiting.borrow();
        let times = waiting.iter().filter_map(|fiber| fiber.shared.until.get());
        let Some(next) = times.chain(until).min() else {
            fatal!("deadlock: nobody can go on");
        };
        self.now.set(next.max(self.now.get()));
    }

    /// Has every fiber go on that can; false if there was none.
    fn run(&self) -> bool {
        let mut some = false;
        let count = self.waiting.borrow().len();
        for _ in 0..count {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(mut fiber) = next else { break };
            if !fiber.can_run(self.now.get()) {
                self.waiting.borrow_mut().push_back(fiber);
                continue;
            }
            some = true;
            if fiber.resume() {
                let stack = fiber.coroutine.into_stack();
                self.stacks.borrow_mut().push(stack);
            } else {
                self.waiting.borrow_mut().push_back(fiber);
            }
        }
        some
    }
}

impl Fiber {
    fn can_run(&self, now: Duration) -> bool {
        let over = |until: Duration| until <= now;
        self.shared.token.load(Ordering::Acquire) || self.shared.until.get().is_some_and(over)
    }

    /// Goes on until it waits or ends; true if it ended.
    fn resume(&mut self) -> bool {
        self.context.swap();
        RUNNING.set(Some(self.shared.clone()));
        let result = self.coroutine.resume(());
        RUNNING.set(None);
        self.context.swap();
        matches!(result, CoroutineResult::Return(()))
    }
}
