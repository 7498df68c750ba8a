//! What a case needs of a kernel: processes, the system calls they make, and
//! the putter device.
//!
//! A kernel is a [`World`]. The cases know nothing else of it, so the same
//! source is played against the hosted kernel, against a rump kernel with
//! NetBSD's own putter and VFS, and wherever else somebody implements these
//! traits. Numbers are NetBSD's throughout, whatever the host is. Paths are text
//! that stands for any bytes, see [`text`](crate::text).

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
    /// Fifos can be opened.
    Fifos,
    /// `posix_fallocate(2)` and `fdiscard(2)` reach the file system.
    Fallocate,
    /// Sockets can be bound to names (`AF_LOCAL`).
    Sockets,
    /// `kqueue(2)` watches files.
    Kqueue,
    /// There is another file system beside the one that is mounted, and files
    /// could be moved there if they could be moved at all.
    Elsewhere,
    /// The kernel keeps advisory locks of a file system whose server does not.
    KernelLocks,
    /// And it sees who would wait for himself: it looks at what threads sleep for.
    Deadlocks,
    /// Attributes are cached for as long as they hold (`PUFFS_KFLAG_CACHE_FS_TTL`).
    AttributeCache,
    /// Parents of directories are remembered (`PUFFS_KFLAG_CACHE_DOTDOT`).
    DotdotCache,
    /// Several threads may read one descriptor of the device at once
    /// (NetBSD's loses its place when a copy to one of them sleeps).
    SharedReaders,
    /// `statvfs(2)` of a file system that goes away meanwhile (NetBSD's asks
    /// the mount of a vnode without regard to whether it is dead by then, and
    /// panics).
    DyingStatvfs,
    /// A process that was killed tells how its system call ended (NetBSD's is
    /// gone before it can).
    LastWords,
}

/// A kernel with puffs in it.
pub trait World {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Can it do this?
    fn can(&self, ability: Ability) -> bool;

    /// A new process of the superuser's, with the umask 022.
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

/// A point in time: nanoseconds since 1970.
pub type Time = i64;

/// What `stat(2)` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// The type.
    pub vtype: Vtype,
    /// The permissions.
    pub mode: u32,
    /// The size, in bytes.
    pub size: i64,
    /// The number of the file within its file system.
    pub ino: u64,
    /// How many names it has.
    pub nlink: u32,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// The device that it stands for, if it does.
    pub rdev: u64,
    /// When it was last read.
    pub atime: Time,
    /// When it was last written.
    pub mtime: Time,
    /// When its attributes were last changed.
    pub ctime: Time,
    /// How much it takes up, in blocks of 512 bytes.
    pub blocks: u64,
    /// What `chflags(2)` set.
    pub flags: u32,
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
    /// How long a name may be.
    pub namemax: u64,
}

/// How a file is opened: to read, unless more is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct How {
    /// To write as well: `O_RDWR`.
    pub write: bool,
    /// Not to read, if it is to write: `O_WRONLY`.
    pub not_read: bool,
    /// `O_CREAT`.
    pub create: bool,
    /// `O_EXCL`.
    pub exclusive: bool,
    /// `O_TRUNC`.
    pub truncate: bool,
    /// `O_APPEND`.
    pub append: bool,
    /// `O_NOFOLLOW`.
    pub nofollow: bool,
    /// `O_NONBLOCK`.
    pub nonblock: bool,
    /// `O_DIRECTORY`.
    pub directory: bool,
    /// The permissions of what is created.
    pub mode: u32,
}

impl How {
    /// To read.
    pub const READ: How = How {
        write: false,
        not_read: false,
        create: false,
        exclusive: false,
        truncate: false,
        append: false,
        nofollow: false,
        nonblock: false,
        directory: false,
        mode: 0o644,
    };
    /// To read and write.
    pub const WRITE: How = How {
        write: true,
        ..How::READ
    };
    /// To read and write, made if it is not there.
    pub const CREATE: How = How {
        create: true,
        ..How::WRITE
    };
}

impl Default for How {
    fn default() -> How {
        How::READ
    }
}

/// What [`Calls::seek`] counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The start of the file: `SEEK_SET`.
    Start,
    /// Where the descriptor is: `SEEK_CUR`.
    Here,
    /// The end of the file: `SEEK_END`.
    End,
}

/// What an advisory lock keeps others from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockKind {
    /// From writing: it is shared with other readers.
    Read,
    /// From reading and writing.
    Write,
    /// From nothing: it is given back.
    Free,
}

/// An advisory lock on a range of a file (`struct flock`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    /// What it keeps others from.
    pub kind: LockKind,
    /// Where it begins.
    pub start: i64,
    /// How long it is; 0 stands for all the rest.
    pub len: i64,
}

impl Lock {
    /// A lock of the whole file for writing.
    pub const WRITE: Lock = Lock::on(LockKind::Write, 0, 0);
    /// A lock of the whole file for reading.
    pub const READ: Lock = Lock::on(LockKind::Read, 0, 0);
    /// No lock on any part of the file.
    pub const FREE: Lock = Lock::on(LockKind::Free, 0, 0);

    /// A lock of a range.
    pub const fn on(kind: LockKind, start: i64, len: i64) -> Lock {
        Lock { kind, start, len }
    }
}

/// What `kevent(2)` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Of which file.
    pub file: Fd,
    /// Which filter, an `EVFILT_*`.
    pub filter: u32,
    /// What happened, as the filter has it.
    pub what: u32,
    /// How much, as the filter has it.
    pub data: i64,
}

/// A part of a file in memory, see [`Calls::map`].
pub trait Mapping {
    /// What is there, from `offset` on.
    fn get(&self, offset: usize, len: usize) -> Vec<u8>;
    /// Writes there.
    fn put(&self, offset: usize, data: &[u8]);
    /// `msync(2)` of all of it, waiting.
    ///
    /// # Errors
    /// What the kernel says.
    fn sync(&self) -> Result<()>;
}

/// System calls of a thread. Each returns to user mode in the end, with all
/// that this brings.
#[allow(clippy::missing_errors_doc)] // Each fails with what the kernel says.
pub trait Calls {
    /// `stat(2)`.
    fn stat(&self, path: &str) -> Result<Stat>;
    /// `lstat(2)`.
    fn lstat(&self, path: &str) -> Result<Stat>;
    /// `fstat(2)`.
    fn fstat(&self, file: Fd) -> Result<Stat>;
    /// `access(2)`; the mode is made of 4, 2 and 1.
    fn access(&self, path: &str, mode: i32) -> Result<()>;
    /// `chmod(2)`.
    fn chmod(&self, path: &str, mode: u32) -> Result<()>;
    /// `fchmod(2)`.
    fn fchmod(&self, file: Fd, mode: u32) -> Result<()>;
    /// `chown(2)`; `None` leaves a number as it is.
    fn chown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()>;
    /// `lchown(2)`.
    fn lchown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()>;
    /// `chflags(2)`.
    fn chflags(&self, path: &str, flags: u32) -> Result<()>;
    /// `utimensat(2)`: sets the times of the last read and the last write; to
    /// the time of day, if none are given. `follow`: of what a symbolic link
    /// leads to, instead of its own.
    fn utimes(&self, path: &str, times: Option<[Time; 2]>, follow: bool) -> Result<()>;
    /// `truncate(2)`.
    fn truncate(&self, path: &str, size: i64) -> Result<()>;
    /// `ftruncate(2)`.
    fn ftruncate(&self, file: Fd, size: i64) -> Result<()>;
    /// `umask(2)`; returns what it was.
    fn umask(&self, mask: u32) -> Result<u32>;
    /// `mkdir(2)` with the permissions 755.
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
    /// `read(2)`, from where the descriptor is.
    fn read_on(&self, file: Fd, len: usize) -> Result<Vec<u8>>;
    /// `write(2)`, to where the descriptor is; returns how much was written.
    fn write_on(&self, file: Fd, data: &[u8]) -> Result<usize>;
    /// `lseek(2)`; the file system is asked whether that can be. Returns the
    /// place.
    fn seek(&self, file: Fd, offset: i64, whence: Whence) -> Result<i64>;
    /// `fsync(2)`.
    fn fsync(&self, file: Fd) -> Result<()>;
    /// `posix_fallocate(2)`: sees to it that there is room for a range, and makes
    /// the file as long.
    fn fallocate(&self, file: Fd, offset: i64, len: i64) -> Result<()>;
    /// `fdiscard(2)`: makes a hole of a range.
    fn fdiscard(&self, file: Fd, offset: i64, len: i64) -> Result<()>;
    /// `getdents(2)` with so much room, from where the descriptor is: the bytes
    /// that came.
    fn getdents(&self, file: Fd, room: usize) -> Result<Vec<u8>>;
    /// `poll(2)` of one file, for these events; 0 if the time is over.
    fn poll(&self, file: Fd, events: i32, limit: Duration) -> Result<i32>;
    /// `socket(2)`, `bind(2)` and `listen(2)`: a stream socket that is bound to a
    /// path, and to which others connect.
    fn listen(&self, path: &str) -> Result<Fd>;
    /// `socket(2)` and `connect(2)` to such a path.
    fn connect(&self, path: &str) -> Result<Fd>;
    /// `accept(2)`: the other end of who has connected, waiting for it.
    fn accept(&self, socket: Fd) -> Result<Fd>;
    /// `kqueue(2)`.
    fn kqueue(&self) -> Result<Fd>;
    /// `kevent(2)`: has the queue tell of these events of a file from now on,
    /// and of each once (`EV_ADD | EV_CLEAR`).
    fn watch(&self, queue: Fd, file: Fd, filter: u32, what: u32) -> Result<()>;
    /// `kevent(2)`: the next event, if there is one within that time.
    fn event(&self, queue: Fd, limit: Duration) -> Result<Option<Event>>;
    /// `fcntl(2)`'s `F_SETLK`, or `F_SETLKW` if it is to wait.
    fn lock(&self, file: Fd, lock: Lock, wait: bool) -> Result<()>;
    /// `fcntl(2)`'s `F_GETLK`: the lock of another that is in the way of this
    /// one, and the process that has it.
    fn lock_of(&self, file: Fd, lock: Lock) -> Result<Option<(Lock, i32)>>;
    /// `flock(2)`; it does not wait.
    fn flock(&self, file: Fd, kind: LockKind) -> Result<()>;
    /// `mmap(2)` of a file from its start, `MAP_SHARED`, to read, or to write as
    /// well, while something is done with it; then `munmap(2)`.
    fn map(
        &self,
        file: Fd,
        len: usize,
        write: bool,
        work: &mut dyn FnMut(&dyn Mapping),
    ) -> Result<()>;
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
    /// `fhopen(2)`.
    fn fhopen(&self, handle: &[u8], how: How) -> Result<Fd>;
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
    /// `setgroups(2)`, `setgid(2)` and `setuid(2)`: the process is this user's
    /// from now on.
    fn become_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Result<()>;
    /// `getpid(2)`.
    fn pid(&self) -> i32;
    /// `sysctl(3)`: sets a number that has this name.
    fn sysctl_set(&self, name: &str, number: i64) -> Result<()>;
    /// `sigprocmask(2)`: blocks a signal for the calling thread.
    fn block(&self, signal: i32) -> Result<()>;
    /// `unmount(2)`, by force or not.
    fn unmount(&self, path: &str, force: bool) -> Result<()>;
}
