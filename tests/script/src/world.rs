//! What a case needs of a kernel: processes, the system calls they make, and
//! the putter device.
//!
//! A kernel is a [`World`]. The cases know nothing else of it, so the same
//! source is played against the hosted kernel, against a rump kernel with
//! NetBSD's own putter and VFS, and wherever else somebody implements these
//! traits. Numbers are NetBSD's throughout, whatever the host is.

use crate::Frame;
use puffs_rs::{
    abi::{KArgs, Vtype},
    kern::Result,
};
use std::{sync::Arc, time::Duration};

/// What not every world can do; a case that needs it is left out there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ability {
    /// Signals end system calls.
    Signals,
    /// The device refuses frames longer than any message, however long its
    /// writer says they are (NetBSD's does not).
    BoundedFrames,
    /// `mmap(2)`, `exec(3)` and the like: the page cache as a process sees it.
    Mmap,
    /// Several threads may read one descriptor of the device at once
    /// (NetBSD's loses its place when a copy to one of them sleeps).
    SharedReaders,
    /// `statvfs(2)` of a file system that goes away meanwhile (NetBSD's asks
    /// the mount of a vnode without regard to whether it is dead by then, and
    /// panics).
    DyingStatvfs,
}

/// A kernel with puffs in it.
pub trait World {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Can it do this?
    fn can(&self, ability: Ability) -> bool;

    /// A new process, with the rights to mount.
    fn process(&self, name: &str) -> Arc<dyn Process>;

    /// Unloads puffs, as `modunload(8)`, after the last unmount.
    ///
    /// # Errors
    /// What is still there, in words: it is a leak.
    fn finish(&self) -> std::result::Result<(), String>;
}

/// What a thread of a process does.
pub type Work = Box<dyn FnOnce(&dyn Calls) + Send>;

/// A process.
pub trait Process: Send + Sync {
    /// Starts a thread of it.
    fn spawn(&self, name: &str, work: Work) -> Box<dyn Thread>;

    /// Has the calling thread be a thread of it meanwhile.
    fn enter(&self, work: &mut dyn FnMut(&dyn Calls));

    /// Opens the putter device.
    ///
    /// # Errors
    /// What `open(2)` says.
    fn open_device(&self) -> Result<Arc<dyn Device>>;
}

/// A thread of a process. It panics where its work does.
pub trait Thread: Send {
    /// Sends it a signal, by its number.
    fn signal(&self, signal: i32);

    /// Did its work end?
    fn is_done(&self) -> bool;

    /// Waits for that.
    fn join(self: Box<Self>);
}

/// A descriptor of the putter device. Every call is one by the process that
/// opened it.
pub trait Device: Send + Sync {
    /// `mount(2)` of a puffs file system that this descriptor serves.
    ///
    /// # Errors
    /// What the kernel says.
    fn mount(&self, path: &str, args: &KArgs) -> Result<()>;

    /// `read(2)`: the next frame, waiting for it.
    ///
    /// # Errors
    /// What the kernel says: ENXIO or ENOENT when the mount is gone.
    fn read(&self) -> Result<Frame>;

    /// `read(2)` with so much room, waiting for a frame: the next bytes of it,
    /// as many as fit. The rest is for the next read, however it is made.
    ///
    /// # Errors
    /// What the kernel says.
    fn read_part(&self, room: usize) -> Result<Vec<u8>>;

    /// `read(2)` under `O_NONBLOCK`; `None` if there is nothing.
    ///
    /// # Errors
    /// What the kernel says.
    fn try_read(&self) -> Result<Option<Frame>>;

    /// `write(2)` of these bytes, whatever they are.
    ///
    /// # Errors
    /// What the kernel says.
    fn write(&self, bytes: &[u8]) -> Result<()>;

    /// `poll(2)`: is there a frame to read, or an end to be seen, within that
    /// time?
    ///
    /// # Errors
    /// What the kernel says.
    fn poll(&self, limit: Duration) -> Result<bool>;

    /// `kevent(2)` for `EVFILT_READ`: how many frames there are to read, once
    /// there is one; 0 if none comes within that time. A descriptor without a
    /// mount has none.
    ///
    /// # Errors
    /// What the kernel says.
    fn kevent(&self, limit: Duration) -> Result<usize>;

    /// The process dies: whoever is inside a call of this descriptor is sent
    /// out of it, and the descriptor is closed. Returns when it is.
    fn die(&self);
}

/// An open file.
pub type Fd = usize;

/// What `stat(2)` says, as far as cases look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// The type.
    pub vtype: Vtype,
    /// The permissions.
    pub mode: u32,
    /// The size, in bytes.
    pub size: i64,
}

/// What `statvfs(2)` says, as far as cases look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// The size of a block, in bytes.
    pub bsize: u64,
    /// All blocks.
    pub blocks: u64,
    /// The free ones.
    pub bfree: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct How {
    /// `O_RDWR` instead of `O_RDONLY`.
    pub write: bool,
    /// `O_CREAT`.
    pub create: bool,
}

/// System calls of a thread. Each returns to user mode in the end, with all
/// that this brings.
#[allow(clippy::missing_errors_doc)] // Each fails with what the kernel says.
pub trait Calls {
    /// `stat(2)`.
    fn stat(&self, path: &str) -> Result<Stat>;
    /// `access(2)`; the mode is made of 4, 2 and 1.
    fn access(&self, path: &str, mode: i32) -> Result<()>;
    /// `chmod(2)`.
    fn chmod(&self, path: &str, mode: u32) -> Result<()>;
    /// `truncate(2)`.
    fn truncate(&self, path: &str, size: i64) -> Result<()>;
    /// `mkdir(2)`.
    fn mkdir(&self, path: &str) -> Result<()>;
    /// `rmdir(2)`.
    fn rmdir(&self, path: &str) -> Result<()>;
    /// `mknod(2)` of a fifo.
    fn mkfifo(&self, path: &str) -> Result<()>;
    /// `mknod(2)` of a character device.
    fn mknod(&self, path: &str, device: u32) -> Result<()>;
    /// `unlink(2)`.
    fn unlink(&self, path: &str) -> Result<()>;
    /// `symlink(2)`.
    fn symlink(&self, target: &str, path: &str) -> Result<()>;
    /// `readlink(2)`.
    fn readlink(&self, path: &str) -> Result<Vec<u8>>;
    /// `link(2)`.
    fn link(&self, from: &str, to: &str) -> Result<()>;
    /// `rename(2)`.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// `open(2)`.
    fn open(&self, path: &str, how: How) -> Result<Fd>;
    /// `close(2)`.
    fn close(&self, file: Fd) -> Result<()>;
    /// `pread(2)` of at most `len` bytes.
    fn read(&self, file: Fd, offset: i64, len: usize) -> Result<Vec<u8>>;
    /// `pwrite(2)`; returns how much was written.
    fn write(&self, file: Fd, offset: i64, data: &[u8]) -> Result<usize>;
    /// `lseek(2)` to a place; the file system is asked whether that can be.
    fn seek(&self, file: Fd, offset: i64) -> Result<()>;
    /// `fsync(2)`.
    fn fsync(&self, file: Fd) -> Result<()>;
    /// `getdents(2)` with so much room: the bytes that came.
    fn getdents(&self, file: Fd, room: usize) -> Result<Vec<u8>>;
    /// `poll(2)` of one file, for these events; 0 if the time is over.
    fn poll(&self, file: Fd, events: i32, limit: Duration) -> Result<i32>;
    /// `fcntl(2)`'s `F_SETLK`: a lock on the whole file for writing.
    fn lock(&self, file: Fd) -> Result<()>;
    /// `pathconf(2)`.
    fn pathconf(&self, path: &str, name: i32) -> Result<i64>;
    /// `statvfs(2)`, asking the server.
    fn statvfs(&self, path: &str) -> Result<Room>;
    /// `statvfs(2)` with `ST_NOWAIT`, from what the kernel remembers.
    fn statvfs_nowait(&self, path: &str) -> Result<Room>;
    /// `sync(2)` of everything, which succeeds whatever comes of it.
    fn sync(&self) -> Result<()>;
    /// `getfh(2)` with so much room for the whole handle.
    fn getfh(&self, path: &str, room: usize) -> Result<Vec<u8>>;
    /// `fhstat(2)`.
    fn fhstat(&self, handle: &[u8]) -> Result<Stat>;
    /// `extattr_get_file(2)` in the user's name space.
    fn extattr_get(&self, path: &str, name: &str, room: usize) -> Result<Vec<u8>>;
    /// The same without room: the size of the value.
    fn extattr_size(&self, path: &str, name: &str) -> Result<usize>;
    /// `extattr_list_file(2)` in the user's name space.
    fn extattr_list(&self, path: &str, room: usize) -> Result<Vec<u8>>;
    /// The same without room: the size of the list.
    fn extattr_list_size(&self, path: &str) -> Result<usize>;
    /// `extattr_set_file(2)` in the user's name space.
    fn extattr_set(&self, path: &str, name: &str, data: &[u8]) -> Result<usize>;
    /// `extattr_delete_file(2)` in the user's name space.
    fn extattr_delete(&self, path: &str, name: &str) -> Result<()>;
    /// `mount(2)` of a puffs file system, by a process that need not have
    /// opened the device.
    fn mount(&self, path: &str, args: &KArgs) -> Result<()>;
    /// `sigprocmask(2)`: blocks a signal for the calling thread.
    fn block(&self, signal: i32) -> Result<()>;
    /// `unmount(2)`, by force or not.
    fn unmount(&self, path: &str, force: bool) -> Result<()>;
}
