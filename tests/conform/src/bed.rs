//! A fresh mount, and how checks work on it.

use crate::{check::Flags, errno, memfs::Counts, MemFs};
use puffs_rs::{
    abi::{vn::DirentHead, Cookie, Message},
    kern::Result,
};
use puffs_script::{
    text,
    world::{Ability, Calls, Fd, How, Lock, LockKind, Mapping, Room, Stat, Thread, Time, Whence},
    World, MNT,
};
use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use zerocopy::FromBytes;

/// How long anything may take that is said to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a call ends, as a check has it.
pub trait Outcome<T> {
    /// It has to succeed: what it returned.
    ///
    /// # Panics
    /// If it fails.
    fn done(self) -> T;

    /// It has to fail with this errno.
    ///
    /// # Panics
    /// If it succeeds, or fails with another.
    fn fails(self, errno: i32);
}

impl<T: Debug> Outcome<T> for Result<T> {
    #[track_caller]
    fn done(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("it failed with errno {}", error.get()),
        }
    }

    #[track_caller]
    fn fails(self, errno: i32) {
        match self {
            Ok(value) => panic!("it succeeded with {value:?}, not with errno {errno}"),
            Err(error) => assert_eq!(error.get(), errno, "the errno"),
        }
    }
}

/// A fresh mount of a [`MemFs`], and a thread of a process that uses it. Names
/// are those below the mount point; `""` is its root.
pub struct Bed<'a> {
    world: &'a dyn World,
    calls: &'a dyn Calls,
    fs: &'a Arc<Mutex<MemFs>>,
    /// What it is mounted with.
    pub flags: Flags,
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The number of the file.
    pub ino: u64,
    /// The name.
    pub name: String,
    /// `DT_*`.
    pub kind: u8,
}

/// A call that another thread makes.
pub struct Meanwhile<T> {
    thread: Box<dyn Thread>,
    value: Arc<Mutex<Option<T>>>,
}

impl<T> Meanwhile<T> {
    /// Did it return?
    pub fn is_done(&self) -> bool {
        self.thread.is_done()
    }

    /// Waits for it.
    ///
    /// # Panics
    /// If it does not return, or panics.
    pub fn join(self) -> T {
        let start = Instant::now();
        while !self.is_done() {
            assert!(start.elapsed() < PATIENCE, "a call does not return");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.thread.join();
        let value = self
            .value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match value {
            Some(value) => value,
            None => unreachable!("it ended"),
        }
    }
}

/// The path of a name.
pub(crate) fn path(name: &str) -> String {
    if name.is_empty() {
        MNT.to_owned()
    } else {
        format!("{MNT}/{name}")
    }
}

macro_rules! by_name {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// What the kernel says.
        pub fn $name(&self, name: &str $(, $arg: $ty)*) -> Result<$ret> {
            self.calls.$name(&path(name) $(, $arg)*)
        })*
    };
}

impl<'a> Bed<'a> {
    pub(crate) fn new(
        world: &'a dyn World,
        calls: &'a dyn Calls,
        fs: &'a Arc<Mutex<MemFs>>,
        flags: Flags,
    ) -> Bed<'a> {
        Bed {
            world,
            calls,
            fs,
            flags,
        }
    }

    by_name! {
        /// `stat(2)`.
        stat() -> Stat;
        /// `lstat(2)`.
        lstat() -> Stat;
        /// `access(2)`.
        access(mode: i32) -> ();
        /// `chmod(2)`.
        chmod(mode: u32) -> ();
        /// `chown(2)`.
        chown(uid: Option<u32>, gid: Option<u32>) -> ();
        /// `lchown(2)`.
        lchown(uid: Option<u32>, gid: Option<u32>) -> ();
        /// `chflags(2)`.
        chflags(flags: u32) -> ();
        /// `utimensat(2)`.
        utimes(times: Option<[Time; 2]>, follow: bool) -> ();
        /// `truncate(2)`.
        truncate(size: i64) -> ();
        /// `mkdir(2)`.
        mkdir() -> ();
        /// `rmdir(2)`.
        rmdir() -> ();
        /// `mknod(2)` of a fifo.
        mkfifo() -> ();
        /// `mknod(2)` of a character device.
        mknod(device: u32) -> ();
        /// `unlink(2)`.
        unlink() -> ();
        /// `readlink(2)`.
        readlink() -> Vec<u8>;
        /// `pathconf(2)`.
        pathconf(what: i32) -> i64;
        /// `statvfs(2)`, asking the server.
        statvfs() -> Room;
        /// `getfh(2)`.
        getfh(room: usize) -> Vec<u8>;
        /// `extattr_get_file(2)`.
        extattr_get(attribute: &str, room: usize) -> Vec<u8>;
        /// The size of an extended attribute.
        extattr_size(attribute: &str) -> usize;
        /// `extattr_list_file(2)`.
        extattr_list(room: usize) -> Vec<u8>;
        /// `extattr_set_file(2)`.
        extattr_set(attribute: &str, value: &[u8]) -> usize;
        /// `extattr_delete_file(2)`.
        extattr_delete(attribute: &str) -> ();
    }

    /// `symlink(2)`: `target` is taken as it is.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn symlink(&self, target: &str, name: &str) -> Result<()> {
        self.calls.symlink(target, &path(name))
    }

    /// `link(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn link(&self, from: &str, to: &str) -> Result<()> {
        self.calls.link(&path(from), &path(to))
    }

    /// `rename(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.calls.rename(&path(from), &path(to))
    }

    /// `open(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(&self, name: &str, how: How) -> Result<File<'a>> {
        let fd = self.calls.open(&path(name), how)?;
        Ok(self.of_fd(fd))
    }

    /// `fhopen(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn fhopen(&self, handle: &[u8], how: How) -> Result<File<'a>> {
        let fd = self.calls.fhopen(handle, how)?;
        Ok(self.of_fd(fd))
    }

    fn of_fd(&self, fd: Fd) -> File<'a> {
        File {
            calls: self.calls,
            fd: Some(fd),
        }
    }

    /// A stream socket that is bound to a name, and to which others connect.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen(&self, name: &str) -> Result<File<'a>> {
        let fd = self.calls.listen(&path(name))?;
        Ok(self.of_fd(fd))
    }

    /// A stream socket that is connected to a name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn connect(&self, name: &str) -> Result<File<'a>> {
        let fd = self.calls.connect(&path(name))?;
        Ok(self.of_fd(fd))
    }

    /// `accept(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn accept(&self, socket: &File<'_>) -> Result<File<'a>> {
        let fd = self.calls.accept(socket.fd())?;
        Ok(self.of_fd(fd))
    }

    /// The thread's system calls.
    pub fn calls(&self) -> &'a dyn Calls {
        self.calls
    }

    /// Can the world do this?
    pub fn can(&self, ability: Ability) -> bool {
        self.world.can(ability)
    }

    /// Makes a file with this in it, or puts it in place of what was there.
    ///
    /// # Panics
    /// If it cannot be made.
    #[track_caller]
    pub fn make(&self, name: &str, data: &[u8]) {
        let how = How {
            truncate: true,
            ..How::CREATE
        };
        let file = self.open(name, how).done();
        if !data.is_empty() {
            assert_eq!(file.write(0, data).done(), data.len(), "bytes written");
        }
    }

    /// All that is in a file.
    ///
    /// # Panics
    /// If it cannot be read.
    #[track_caller]
    pub fn content(&self, name: &str) -> Vec<u8> {
        let file = self.open(name, How::READ).done();
        let size = file.stat().done().size as usize;
        file.read(0, size + 1).done()
    }

    /// Is there such a file?
    ///
    /// # Panics
    /// If that cannot be said.
    #[track_caller]
    pub fn has(&self, name: &str) -> bool {
        match self.lstat(name) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.get(), errno::ENOENT, "the errno");
                false
            }
        }
    }

    /// The number of a file.
    ///
    /// # Panics
    /// If it is not there.
    #[track_caller]
    pub fn ino(&self, name: &str) -> Cookie {
        Cookie(self.lstat(name).done().ino as usize)
    }

    /// All entries of a directory, read with so much room at a time.
    ///
    /// # Panics
    /// If it cannot be listed.
    #[track_caller]
    pub fn entries(&self, name: &str, room: usize) -> Vec<Entry> {
        let file = self.open(name, How::READ).done();
        let mut all = Vec::new();
        loop {
            let part = file.getdents(room).done();
            if part.is_empty() {
                return all;
            }
            all.extend(part);
        }
    }

    /// The names in a directory, in order, without `.` and `..`.
    ///
    /// # Panics
    /// If it cannot be listed.
    #[track_caller]
    pub fn list(&self, name: &str) -> Vec<String> {
        let entries = self.entries(name, 4096);
        let names = entries.into_iter().map(|entry| entry.name);
        let mut names: Vec<_> = names.filter(|name| name != "." && name != "..").collect();
        names.sort();
        names
    }

    /// Does something as another user, in a process of its own.
    pub fn as_user<T>(
        &self,
        (uid, gid): (u32, u32),
        groups: &[u32],
        work: impl FnOnce(&Bed<'_>) -> T,
    ) -> T {
        let (mut work, mut done) = (Some(work), None);
        self.world.process("other").enter(&mut |calls| {
            calls.become_user(uid, gid, groups).done();
            let bed = Bed { calls, ..*self };
            done = work.take().map(|work| work(&bed));
        });
        match done {
            Some(done) => done,
            None => unreachable!("it was done"),
        }
    }

    /// Does something in another process.
    pub fn elsewhere<T>(&self, work: impl FnOnce(&Bed<'_>) -> T) -> T {
        self.as_user((0, 0), &[0], work)
    }

    /// Has a thread of another process make calls meanwhile.
    pub fn meanwhile<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Calls) -> T + Send + 'static,
    ) -> Meanwhile<T> {
        let value = Arc::new(Mutex::new(None));
        let place = value.clone();
        let work = move |calls: &dyn Calls| {
            let done = work(calls);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        };
        let process = self.world.process("meanwhile");
        let thread = process.spawn("call", Box::new(work));
        Meanwhile { thread, value }
    }

    /// Waits until the server has seen all that was sent to it so far.
    ///
    /// # Panics
    /// If the file system is not there.
    #[track_caller]
    pub fn settle(&self) {
        // It takes one request after another, and answers this one.
        self.statvfs("").done();
    }

    /// What the server was asked so far.
    #[track_caller]
    pub fn counts(&self) -> Counts {
        self.settle();
        let fs = self.fs.lock().unwrap_or_else(PoisonError::into_inner);
        fs.counts().clone()
    }

    /// How often the server is asked for a `T`, of one file or of any, while
    /// this is done.
    #[track_caller]
    pub fn asked<T: Message>(&self, file: Option<Cookie>, work: impl FnOnce()) -> usize {
        let count = |counts: Counts| match file {
            Some(file) => counts.of::<T>(file),
            None => counts.all::<T>(),
        };
        let before = count(self.counts());
        work();
        count(self.counts()) - before
    }

    /// Puts so many empty files into a directory behind the kernel's back, as a
    /// server may that others use as well: `file-0` and so on.
    ///
    /// # Panics
    /// If it is no directory.
    #[track_caller]
    pub fn fill(&self, name: &str, count: usize) {
        let dir = self.ino(name);
        let mut fs = self.fs.lock().unwrap_or_else(PoisonError::into_inner);
        fs.fill(dir, count);
    }

    /// What the server has in a file.
    ///
    /// # Panics
    /// If it has no such file.
    #[track_caller]
    pub fn stored(&self, file: Cookie) -> Vec<u8> {
        self.settle();
        let fs = self.fs.lock().unwrap_or_else(PoisonError::into_inner);
        match fs.content(file) {
            Some(content) => content,
            None => panic!("the server has no file {file:?}"),
        }
    }

    /// How many files the server has.
    #[track_caller]
    pub fn files(&self) -> usize {
        self.settle();
        self.fs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .files()
    }
}

/// An open file. Dropping it is `close(2)`.
pub struct File<'a> {
    calls: &'a dyn Calls,
    fd: Option<Fd>,
}

impl Debug for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "file {:?}", self.fd)
    }
}

macro_rules! by_file {
    ($($(#[$doc:meta])* $name:ident = $call:ident($($arg:ident: $ty:ty),*) -> $ret:ty;)*) => {
        $($(#[$doc])*
        ///
        /// # Errors
        /// What the kernel says.
        pub fn $name(&self $(, $arg: $ty)*) -> Result<$ret> {
            self.calls.$call(self.fd() $(, $arg)*)
        })*
    };
}

impl File<'_> {
    /// The descriptor.
    pub fn fd(&self) -> Fd {
        match self.fd {
            Some(fd) => fd,
            None => unreachable!("it is open until it is gone"),
        }
    }

    by_file! {
        /// `pread(2)`.
        read = read(offset: i64, len: usize) -> Vec<u8>;
        /// `pwrite(2)`.
        write = write(offset: i64, data: &[u8]) -> usize;
        /// `read(2)`.
        read_on = read_on(len: usize) -> Vec<u8>;
        /// `write(2)`.
        write_on = write_on(data: &[u8]) -> usize;
        /// `lseek(2)`.
        seek = seek(offset: i64, whence: Whence) -> i64;
        /// `fstat(2)`.
        stat = fstat() -> Stat;
        /// `fchmod(2)`.
        chmod = fchmod(mode: u32) -> ();
        /// `ftruncate(2)`.
        truncate = ftruncate(size: i64) -> ();
        /// `fsync(2)`.
        fsync = fsync() -> ();
        /// `posix_fallocate(2)`.
        fallocate = fallocate(offset: i64, len: i64) -> ();
        /// `fdiscard(2)`.
        fdiscard = fdiscard(offset: i64, len: i64) -> ();
        /// `poll(2)`.
        poll = poll(events: i32, limit: Duration) -> i32;
        /// `fcntl(2)`'s `F_SETLK` and `F_SETLKW`.
        lock = lock(lock: Lock, wait: bool) -> ();
        /// `fcntl(2)`'s `F_GETLK`.
        lock_of = lock_of(lock: Lock) -> Option<(Lock, i32)>;
        /// `flock(2)`.
        flock = flock(kind: LockKind) -> ();
        /// `mmap(2)`.
        map = map(len: usize, write: bool, work: &mut dyn FnMut(&dyn Mapping)) -> ();
    }

    /// `getdents(2)`: the entries that came.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn getdents(&self, room: usize) -> Result<Vec<Entry>> {
        self.calls
            .getdents(self.fd(), room)
            .map(|bytes| entries(&bytes))
    }

    /// `close(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn close(mut self) -> Result<()> {
        match self.fd.take() {
            Some(fd) => self.calls.close(fd),
            None => Ok(()),
        }
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            // Who wants to know closes it himself.
            let _ = self.calls.close(fd);
        }
    }
}

/// The entries that `getdents(2)` returned.
///
/// # Panics
/// If they are none.
fn entries(mut bytes: &[u8]) -> Vec<Entry> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let Ok((head, rest)) = DirentHead::read_from_prefix(bytes) else {
            panic!("half an entry");
        };
        let (len, next) = (
            usize::from(head.namlen.get()),
            usize::from(head.reclen.get()),
        );
        assert!(
            next > len && next <= bytes.len(),
            "an entry of {next} bytes"
        );
        all.push(Entry {
            ino: head.fileno.get(),
            name: text::of(&rest[..len]),
            kind: head.kind,
        });
        bytes = &bytes[next..];
    }
    all
}
