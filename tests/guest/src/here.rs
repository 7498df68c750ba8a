//! A world of one process, which is this program: each process of it is some more
//! threads here.
//!
//! It is for long sequences, which need no process that a signal finds or that
//! dies. A system call is one, and not also the messages by which a
//! [remote](crate::remote) process is asked for it.

use crate::{
    raw,
    remote::{errno, lock},
};
use puffs_netbsd::{Gate, Kernel, MSYNC, O_RDWR, WORDS};
use puffs_rs::{abi::KArgs, kern::Result};
use puffs_script::{
    world::{Ability, Calls, Device, Process, Thread, Work},
    Frame, World,
};
use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

/// The threads of this program, one of which is a file server.
struct HereGate;

impl Gate for HereGate {
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64> {
        if number == MSYNC {
            // SAFETY: as the caller's.
            unsafe { raw::syscall_apart(number, words) }
        } else {
            // SAFETY: as the caller's.
            unsafe { raw::syscall(number, words) }
        }
    }

    fn block(&self, _signal: i32) -> Result<()> {
        // Nobody sends these threads signals.
        Ok(())
    }
}

fn kernel() -> Kernel<HereGate> {
    Kernel::new(HereGate)
}

/// The NetBSD that this program runs on.
pub(crate) struct Here;

impl World for Here {
    fn name(&self) -> &'static str {
        "guest"
    }

    fn can(&self, ability: Ability) -> bool {
        ability == Ability::Mmap
    }

    fn process(&self, _name: &str) -> Arc<dyn Process> {
        Arc::new(HereProcess)
    }

    fn finish(&self) -> std::result::Result<(), String> {
        Ok(())
    }
}

struct HereProcess;

impl Process for HereProcess {
    fn spawn(&self, name: &str, work: Work) -> Box<dyn Thread> {
        let body = move || work(&kernel());
        match std::thread::Builder::new().name(name.into()).spawn(body) {
            Ok(handle) => Box::new(HereThread(handle)),
            Err(error) => panic!("a thread: {error}"),
        }
    }

    fn enter(&self, work: &mut dyn FnMut(&dyn Calls)) {
        work(&kernel());
    }

    fn open_device(&self) -> Result<Arc<dyn Device>> {
        let fd = kernel().open_file("/dev/puffs", O_RDWR)?;
        Ok(Arc::new(HereDevice(Mutex::new(Some(fd)))))
    }
}

struct HereThread(JoinHandle<()>);

impl Thread for HereThread {
    fn signal(&self, _signal: i32) {
        unreachable!("this world has no signals");
    }

    fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    fn join(self: Box<Self>) {
        if let Err(panic) = self.0.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

struct HereDevice(Mutex<Option<i32>>);

impl HereDevice {
    fn fd(&self) -> Result<i32> {
        const EBADF: i32 = 9;
        lock(&self.0).ok_or(errno(EBADF))
    }
}

impl Drop for HereDevice {
    fn drop(&mut self) {
        self.die();
    }
}

impl Device for HereDevice {
    fn mount(&self, path: &str, args: &KArgs) -> Result<()> {
        kernel().mount_puffs(path, args, self.fd()?)
    }

    fn read(&self) -> Result<Frame> {
        kernel().read_frame(self.fd()?)
    }

    fn read_part(&self, room: usize) -> Result<Vec<u8>> {
        kernel().read_part(self.fd()?, room)
    }

    fn try_read(&self) -> Result<Option<Frame>> {
        kernel().try_read_frame(self.fd()?)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        kernel().write_frame(self.fd()?, bytes)
    }

    fn poll(&self, limit: Duration) -> Result<bool> {
        kernel().poll_frame(self.fd()?, limit)
    }

    fn kevent(&self, limit: Duration) -> Result<usize> {
        kernel().kevent(self.fd()?, limit)
    }

    /// Nobody is inside a call: who reads has seen the end of the mount.
    fn die(&self) {
        if let Some(fd) = lock(&self.0).take() {
            // It was open, so it does not fail.
            let _ = kernel().close_file(fd);
        }
    }
}
