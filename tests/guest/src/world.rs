//! A running NetBSD as a world for scripted cases.

use crate::remote::{self, errno, lock, Life, Remote, RemoteGate};
use puffs_netbsd::{Kernel, O_RDWR};
use puffs_rs::{
    abi::KArgs,
    kern::{Errno, Result},
};
use puffs_script::{
    world::{Ability, Calls, Device, Process, Thread, Work},
    Frame, World,
};
use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

const EBADF: i32 = 9;
const SIGTERM: i32 = 15;

/// The NetBSD that this program runs on.
pub(crate) struct Guest;

impl Guest {
    /// What it can do. Who would wait for himself it sees in processes of one
    /// thread only, and those here have one more, which starts the others.
    pub(crate) fn can(ability: Ability) -> bool {
        matches!(
            ability,
            Ability::Signals
                | Ability::Mmap
                | Ability::Fifos
                | Ability::Kqueue
                | Ability::Fallocate
                | Ability::Sockets
                | Ability::Elsewhere
                | Ability::KernelLocks
                | Ability::AttributeCache
                | Ability::DotdotCache
        )
    }
}

impl World for Guest {
    fn name(&self) -> &'static str {
        "guest"
    }

    fn can(&self, ability: Ability) -> bool {
        Guest::can(ability)
    }

    fn process(&self, _name: &str) -> Arc<dyn Process> {
        Arc::new(GuestProcess(Arc::default()))
    }

    /// The module stays for the next case; the runner unloads it after the last.
    fn finish(&self) -> std::result::Result<(), String> {
        Ok(())
    }
}

/// A process that begins anew when it is wanted after its death.
#[derive(Default)]
struct Lives(Mutex<Vec<Arc<Life>>>);

impl Lives {
    /// The process as it is now.
    fn now(&self) -> Arc<Life> {
        let mut lives = lock(&self.0);
        match lives.last() {
            Some(life) if !life.is_over() => life.clone(),
            _ => match Life::begin() {
                Ok(life) => {
                    lives.push(life.clone());
                    life
                }
                Err(error) => panic!("a process: {error}"),
            },
        }
    }

    fn thread(&self) -> Arc<Remote> {
        match self.now().thread() {
            Ok(thread) => thread,
            Err(error) => panic!("a thread of a process: {error:?}"),
        }
    }
}

fn kernel_of(thread: &Arc<Remote>) -> Kernel<RemoteGate> {
    Kernel::new(RemoteGate(thread.clone()))
}

struct GuestProcess(Arc<Lives>);

impl Process for GuestProcess {
    fn spawn(&self, name: &str, work: Work) -> Box<dyn Thread> {
        let thread = self.0.thread();
        let me = thread.clone();
        let body = move || remote::be(&me, || work(&kernel_of(&me)));
        match std::thread::Builder::new().name(name.into()).spawn(body) {
            Ok(handle) => Box::new(GuestThread { thread, handle }),
            Err(error) => panic!("a thread: {error}"),
        }
    }

    fn enter(&self, work: &mut dyn FnMut(&dyn Calls)) {
        let thread = self.0.thread();
        remote::be(&thread, || work(&kernel_of(&thread)));
    }

    fn open_device(&self) -> Result<Arc<dyn Device>> {
        let thread = self.0.thread();
        let kernel = kernel_of(&thread);
        let fd = remote::be(&thread, || kernel.open_file("/dev/puffs", O_RDWR))?;
        thread.life().add_device();
        Ok(Arc::new(GuestDevice {
            life: thread.life().clone(),
            state: Mutex::new(State {
                fd: Some(fd),
                inside: Vec::new(),
            }),
        }))
    }
}

struct GuestThread {
    thread: Arc<Remote>,
    handle: JoinHandle<()>,
}

impl Thread for GuestThread {
    fn signal(&self, signal: i32) {
        self.thread.signal(signal);
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

struct GuestDevice {
    life: Arc<Life>,
    state: Mutex<State>,
}

struct State {
    fd: Option<i32>,
    /// Who is inside a call.
    inside: Vec<Arc<Remote>>,
}

impl GuestDevice {
    fn call<T>(&self, call: impl FnOnce(&Kernel<RemoteGate>, i32) -> Result<T>) -> Result<T> {
        // A thread of the process may be in the call, whose signals end it.
        let of_caller = remote::current(&self.life);
        let (me, borrowed) = match of_caller {
            Some(thread) => (thread, false),
            None => (self.life.thread()?, true),
        };
        let entered = {
            let mut state = lock(&self.state);
            let fd = state.fd.ok_or(errno(EBADF));
            fd.inspect(|_| state.inside.push(me.clone()))
        };
        let done = entered.and_then(|fd| call(&kernel_of(&me), fd));
        let mut state = lock(&self.state);
        if let Some(place) = state.inside.iter().position(|one| Arc::ptr_eq(one, &me)) {
            state.inside.swap_remove(place);
        }
        drop(state);
        if borrowed {
            me.end();
        }
        done
    }
}

impl Drop for GuestDevice {
    fn drop(&mut self) {
        self.die();
    }
}

impl Device for GuestDevice {
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

    /// The process is killed, unless it has something to do beside this
    /// descriptor: then that is closed.
    fn die(&self) {
        let mut state = lock(&self.state);
        let Some(fd) = state.fd.take() else {
            return;
        };
        let others = self.life.remove_device();
        let is_inside =
            |thread: &Arc<Remote>| state.inside.iter().any(|one| Arc::ptr_eq(one, thread));
        if others == 0 && self.life.threads().iter().all(is_inside) {
            drop(state);
            self.life.kill();
            return self.life.reap();
        }
        while !state.inside.is_empty() {
            state.inside.iter().for_each(|one| one.signal(SIGTERM));
            drop(state);
            std::thread::sleep(Duration::from_millis(1));
            state = lock(&self.state);
        }
        drop(state);
        if let Ok(thread) = self.life.thread() {
            let kernel = kernel_of(&thread);
            let _: std::result::Result<(), Errno> = remote::be(&thread, || kernel.close_file(fd));
        }
    }
}
