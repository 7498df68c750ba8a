//! The calls that cases make.

use crate::{
    filled, int,
    structs::{Flock, Kevent, RawStat, Statvfs, SysctlNode, Timespec},
    Arg, Gate, Kernel, O_CREAT, O_NONBLOCK, O_RDWR,
};
use puffs_rs::{
    abi::KArgs,
    kern::{Errno, Result},
};
use puffs_script::{
    text,
    world::{Calls, Event, Fd, How, Lock, LockKind, Mapping, Room, Stat, Time, Whence},
};
use std::time::Duration;
use zerocopy::{FromZeros, IntoBytes};

const READ: i32 = 3;
const WRITE: i32 = 4;
/// There is no such call.
const ENOSYS: i32 = 78;

const OPEN: i32 = 5;
const LINK: i32 = 9;
const UNLINK: i32 = 10;
const CHMOD: i32 = 15;
const CHOWN: i32 = 16;
const UNMOUNT: i32 = 22;
const SETUID: i32 = 23;
const ACCESS: i32 = 33;
const CHFLAGS: i32 = 34;
const ACCEPT: i32 = 30;
const SYNC: i32 = 36;
const SYMLINK: i32 = 57;
const READLINK: i32 = 58;
const UMASK: i32 = 60;
const MUNMAP: i32 = 73;
const SETGROUPS: i32 = 80;
const FCNTL: i32 = 92;
const FSYNC: i32 = 95;
const CONNECT: i32 = 98;
const BIND: i32 = 104;
const LISTEN: i32 = 106;
const FCHMOD: i32 = 124;
const RENAME: i32 = 128;
const FLOCK: i32 = 131;
const MKFIFO: i32 = 132;
const MKDIR: i32 = 136;
const RMDIR: i32 = 137;
const PREAD: i32 = 173;
const PWRITE: i32 = 174;
const SETGID: i32 = 181;
const PATHCONF: i32 = 191;
const MMAP: i32 = 197;
const LSEEK: i32 = 199;
const TRUNCATE: i32 = 200;
const FTRUNCATE: i32 = 201;
const SYSCTL: i32 = 202;
const POLL: i32 = 209;
const LCHOWN: i32 = 275;
/// `msync(2)`.
pub const MSYNC: i32 = 277;
const KQUEUE: i32 = 344;
/// As NetBSD 8 numbers it, and NetBSD 10, with the larger struct.
const STATVFS: [i32; 2] = [357, 484];
const EXTATTR_SET_FILE: i32 = 361;
const EXTATTR_GET_FILE: i32 = 362;
const EXTATTR_DELETE_FILE: i32 = 363;
const EXTATTR_LIST_FILE: i32 = 371;
const GETDENTS: i32 = 390;
const SOCKET: i32 = 394;
const GETFH: i32 = 395;
const FHOPEN: i32 = 396;
/// As NetBSD 8 numbers it, and NetBSD 10.99, with the larger struct.
const KEVENT: [i32; 2] = [435, 501];
const STAT: i32 = 439;
const FSTAT: i32 = 440;
const LSTAT: i32 = 441;
const MKNOD: i32 = 450;
const FHSTAT: i32 = 451;
const UTIMENSAT: i32 = 467;
const POSIX_FALLOCATE: i32 = 479;
const FDISCARD: i32 = 480;

const MNT_FORCE: i64 = 0x80000;
const ST_WAIT: i64 = 1;
const ST_NOWAIT: i64 = 2;
const O_RDONLY: i32 = 0;
const O_WRONLY: i32 = 1;
const O_APPEND: i32 = 8;
const O_NOFOLLOW: i32 = 0x100;
const O_TRUNC: i32 = 0x400;
const O_EXCL: i32 = 0x800;
const O_DIRECTORY: i32 = 0x20_0000;
const F_GETLK: i64 = 7;
const F_SETLK: i64 = 8;
const F_SETLKW: i64 = 9;
const LOCK_SH: i64 = 1;
const LOCK_EX: i64 = 2;
const LOCK_NB: i64 = 4;
const LOCK_UN: i64 = 8;
const AT_FDCWD: i64 = -100;
const AT_SYMLINK_NOFOLLOW: i64 = 0x200;
const AF_LOCAL: u8 = 1;
const SOCK_STREAM: i64 = 1;
/// How many may wait to be accepted.
const BACKLOG: i64 = 8;
const PROT_READ: i64 = 1;
const PROT_WRITE: i64 = 2;
const MAP_SHARED: i64 = 1;
const MS_SYNC: i64 = 4;
const EV_ADD: u32 = 1;
const EV_CLEAR: u32 = 0x20;
const EXTATTR_NAMESPACE_USER: i64 = 1;
/// Asks for the nodes below one.
const CTL_QUERY: i32 = -2;
/// So many nodes of `sysctl(3)` there may be below another.
const NODES: usize = 256;
const S_IFCHR: i64 = 0o020_000;

/// Of a `struct pollfd`.
#[derive(IntoBytes, zerocopy::FromBytes, zerocopy::KnownLayout)]
#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

/// A descriptor as an argument.
fn fd(file: Fd) -> Arg<'static> {
    Arg::Int(file as i64)
}

/// For a `long` that keeps the argument after it in place.
const PAD: Arg<'static> = Arg::Int(0);

impl<G: Gate> Kernel<G> {
    fn ask_statvfs(&self, path: &str, flag: i64) -> Result<Room> {
        let mut statvfs = Statvfs::new_zeroed();
        self.old_or_new(STATVFS, |number| {
            let buffer = Arg::OutAs(statvfs.as_mut_bytes());
            self.call(number, [Arg::Text(path), buffer, Arg::Int(flag)])
        })?;
        let numbers = &statvfs.begin;
        Ok(Room {
            bsize: numbers.bsize as u64,
            blocks: numbers.blocks,
            bfree: numbers.bfree,
            namemax: numbers.namemax as u64,
        })
    }

    /// The number of a node of `sysctl(3)` below that of these numbers.
    fn sysctl_node(&self, above: &[i32], name: &str) -> Result<i32> {
        let mut query = above.to_vec();
        query.push(CTL_QUERY);
        let mut nodes: Vec<_> = (0..NODES).map(|_| SysctlNode::new_zeroed()).collect();
        let mut len = size_of_val(&nodes[..]);
        let wanted = SysctlNode::query();
        let arguments = [
            Arg::InAs(query.as_bytes()),
            Arg::Int(query.len() as i64),
            Arg::OutAs(nodes.as_mut_bytes()),
            Arg::OutAs(len.as_mut_bytes()),
            Arg::In(wanted.as_bytes()),
        ];
        self.call(SYSCTL, arguments)?;
        let mut found = nodes.iter().take(len / size_of::<SysctlNode>());
        let node = found.find(|node| node.is_named(name));
        node.map(SysctlNode::number).ok_or(Errno::ENOENT)
    }

    /// Makes a call by its old number, and where that is not known any more (in
    /// kernels without the compatibility code), by the new one.
    fn old_or_new<T>(
        &self,
        [old, new]: [i32; 2],
        mut call: impl FnMut(i32) -> Result<T>,
    ) -> Result<T> {
        match call(old) {
            Err(error) if error.get() == ENOSYS => call(new),
            done => done,
        }
    }

    /// A socket that is bound or connected to a path by such a call.
    fn socket_at(&self, path: &str, number: i32) -> Result<Fd> {
        // A `struct sockaddr_un`: its length, which the kernel fills in, the
        // family, and the path.
        let address = [&[0, AF_LOCAL], text::bytes(path).as_slice(), &[0]].concat();
        let kind = [int(AF_LOCAL), Arg::Int(SOCK_STREAM), int(0)];
        let socket = self.call(SOCKET, kind)? as Fd;
        match self.call(number, [fd(socket), Arg::In(&address)]) {
            Ok(_) => Ok(socket),
            Err(error) => self.close(socket).and(Err(error)),
        }
    }

    fn ask_stat(&self, number: i32, first: Arg<'_>) -> Result<Stat> {
        let mut stat = RawStat::new_zeroed();
        self.call(number, [first, Arg::OutAs(stat.as_mut_bytes())])?;
        Ok(stat.stat())
    }
}

/// The flags of `open(2)`.
fn flags(how: How) -> i32 {
    let access = match (how.write, how.not_read) {
        (false, _) => O_RDONLY,
        (true, false) => O_RDWR,
        (true, true) => O_WRONLY,
    };
    let more = [
        (how.create, O_CREAT),
        (how.exclusive, O_EXCL),
        (how.truncate, O_TRUNC),
        (how.append, O_APPEND),
        (how.nofollow, O_NOFOLLOW),
        (how.nonblock, O_NONBLOCK),
        (how.directory, O_DIRECTORY),
    ];
    let wanted = more.into_iter().filter(|(wanted, _)| *wanted);
    wanted.fold(access, |flags, (_, flag)| flags | flag)
}

/// The owner or the group that `chown(2)` is to set; -1 leaves it.
fn id(id: Option<u32>) -> Arg<'static> {
    id.map_or(int(-1), int)
}

/// A part of a file in the memory of the process.
struct Mapped<'a, G: Gate> {
    kernel: &'a Kernel<G>,
    start: *mut u8,
    len: usize,
}

impl<G: Gate> Mapped<'_, G> {
    fn place(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset + len <= self.len, "beyond what is mapped");
        // SAFETY: it stays within the mapping.
        unsafe { self.start.add(offset) }
    }

    fn range(&self) -> (Arg<'static>, Arg<'static>) {
        let start = self.start.expose_provenance();
        (Arg::Int(start as i64), Arg::Int(self.len as i64))
    }
}

impl<G: Gate> Mapping for Mapped<'_, G> {
    fn get(&self, offset: usize, len: usize) -> Vec<u8> {
        let place = self.place(offset, len);
        let byte = |nth| {
            // SAFETY: within the mapping.
            let place = unsafe { place.add(nth) };
            // SAFETY: mapped to be read; others may write there meanwhile.
            unsafe { place.read_volatile() }
        };
        (0..len).map(byte).collect()
    }

    fn put(&self, offset: usize, data: &[u8]) {
        let place = self.place(offset, data.len());
        for (nth, byte) in data.iter().enumerate() {
            // SAFETY: within the mapping.
            let place = unsafe { place.add(nth) };
            // SAFETY: mapped to be written; nothing refers to it.
            unsafe { place.write_volatile(*byte) };
        }
    }

    fn sync(&self) -> Result<()> {
        let (start, len) = self.range();
        let done = self.kernel.call(MSYNC, [start, len, Arg::Int(MS_SYNC)]);
        done.map(drop)
    }
}

impl<G: Gate> Drop for Mapped<'_, G> {
    fn drop(&mut self) {
        let (start, len) = self.range();
        // It was mapped, so it does not fail.
        let _ = self.kernel.call(MUNMAP, [start, len]);
    }
}

impl<G: Gate> Calls for Kernel<G> {
    fn stat(&self, path: &str) -> Result<Stat> {
        self.ask_stat(STAT, Arg::Text(path))
    }

    fn lstat(&self, path: &str) -> Result<Stat> {
        self.ask_stat(LSTAT, Arg::Text(path))
    }

    fn fstat(&self, file: Fd) -> Result<Stat> {
        self.ask_stat(FSTAT, fd(file))
    }

    fn access(&self, path: &str, mode: i32) -> Result<()> {
        self.call(ACCESS, [Arg::Text(path), int(mode)]).map(drop)
    }

    fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        self.call(CHMOD, [Arg::Text(path), int(mode)]).map(drop)
    }

    fn truncate(&self, path: &str, size: i64) -> Result<()> {
        self.call(TRUNCATE, [Arg::Text(path), PAD, int(size)])
            .map(drop)
    }

    fn fchmod(&self, file: Fd, mode: u32) -> Result<()> {
        self.call(FCHMOD, [fd(file), int(mode)]).map(drop)
    }

    fn chown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.call(CHOWN, [Arg::Text(path), id(uid), id(gid)])
            .map(drop)
    }

    fn lchown(&self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.call(LCHOWN, [Arg::Text(path), id(uid), id(gid)])
            .map(drop)
    }

    fn chflags(&self, path: &str, flags: u32) -> Result<()> {
        self.call(CHFLAGS, [Arg::Text(path), int(flags)]).map(drop)
    }

    fn utimes(&self, path: &str, times: Option<[Time; 2]>, follow: bool) -> Result<()> {
        let times = times.map(|times| times.map(Timespec::of));
        let buffer = match &times {
            Some(times) => Arg::InAs(times.as_bytes()),
            None => int(0),
        };
        let flag = Arg::Int(if follow { 0 } else { AT_SYMLINK_NOFOLLOW });
        let arguments = [Arg::Int(AT_FDCWD), Arg::Text(path), buffer, flag];
        self.call(UTIMENSAT, arguments).map(drop)
    }

    fn ftruncate(&self, file: Fd, size: i64) -> Result<()> {
        self.call(FTRUNCATE, [fd(file), PAD, int(size)]).map(drop)
    }

    fn umask(&self, mask: u32) -> Result<u32> {
        self.call(UMASK, [int(mask)]).map(|mask| mask as u32)
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        self.call(MKDIR, [Arg::Text(path), int(0o755)]).map(drop)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        self.call(RMDIR, [Arg::Text(path)]).map(drop)
    }

    fn mkfifo(&self, path: &str) -> Result<()> {
        self.call(MKFIFO, [Arg::Text(path), int(0o644)]).map(drop)
    }

    fn mknod(&self, path: &str, device: u32) -> Result<()> {
        let mode = Arg::Int(S_IFCHR | 0o644);
        self.call(MKNOD, [Arg::Text(path), mode, int(device)])
            .map(drop)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.call(UNLINK, [Arg::Text(path)]).map(drop)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.call(SYMLINK, [Arg::Text(target), Arg::Text(path)])
            .map(drop)
    }

    fn readlink(&self, path: &str) -> Result<Vec<u8>> {
        let mut target = vec![0; 1024];
        let len = self.call(READLINK, [Arg::Text(path), Arg::Out(&mut target)])?;
        Ok(filled(target, len))
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        self.call(LINK, [Arg::Text(from), Arg::Text(to)]).map(drop)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.call(RENAME, [Arg::Text(from), Arg::Text(to)])
            .map(drop)
    }

    fn open(&self, path: &str, how: How) -> Result<Fd> {
        let arguments = [Arg::Text(path), int(flags(how)), int(how.mode)];
        self.call(OPEN, arguments).map(|fd| fd as Fd)
    }

    fn close(&self, file: Fd) -> Result<()> {
        self.close_file(file as i32)
    }

    fn read(&self, file: Fd, offset: i64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let arguments = [fd(file), Arg::Out(&mut bytes), PAD, int(offset)];
        let len = self.call(PREAD, arguments)?;
        Ok(filled(bytes, len))
    }

    fn write(&self, file: Fd, offset: i64, data: &[u8]) -> Result<usize> {
        self.call(PWRITE, [fd(file), Arg::In(data), PAD, int(offset)])
            .map(|len| len as usize)
    }

    fn read_on(&self, file: Fd, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let len = self.call(READ, [fd(file), Arg::Out(&mut bytes)])?;
        Ok(filled(bytes, len))
    }

    fn write_on(&self, file: Fd, data: &[u8]) -> Result<usize> {
        self.call(WRITE, [fd(file), Arg::In(data)])
            .map(|len| len as usize)
    }

    fn seek(&self, file: Fd, offset: i64, whence: Whence) -> Result<i64> {
        let whence = match whence {
            Whence::Start => 0,
            Whence::Here => 1,
            Whence::End => 2,
        };
        self.call(LSEEK, [fd(file), PAD, int(offset), int(whence)])
    }

    fn fsync(&self, file: Fd) -> Result<()> {
        self.call(FSYNC, [fd(file)]).map(drop)
    }

    /// It returns its errno, and never fails.
    fn fallocate(&self, file: Fd, offset: i64, len: i64) -> Result<()> {
        let range = [fd(file), PAD, int(offset), int(len)];
        let errno = self.call(POSIX_FALLOCATE, range)?;
        Errno::check(errno as i32)
    }

    fn fdiscard(&self, file: Fd, offset: i64, len: i64) -> Result<()> {
        let range = [fd(file), PAD, int(offset), int(len)];
        self.call(FDISCARD, range).map(drop)
    }

    fn getdents(&self, file: Fd, room: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; room];
        let len = self.call(GETDENTS, [fd(file), Arg::Out(&mut bytes)])?;
        Ok(filled(bytes, len))
    }

    fn poll(&self, file: Fd, events: i32, limit: Duration) -> Result<i32> {
        let mut poll = PollFd {
            fd: file as i32,
            events: events as i16,
            revents: 0,
        };
        let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let files = Arg::OutAs(poll.as_mut_bytes());
        self.call(POLL, [files, int(1), int(limit)])?;
        Ok(poll.revents.into())
    }

    fn listen(&self, path: &str) -> Result<Fd> {
        let socket = self.socket_at(path, BIND)?;
        self.call(LISTEN, [fd(socket), Arg::Int(BACKLOG)])?;
        Ok(socket)
    }

    fn connect(&self, path: &str) -> Result<Fd> {
        self.socket_at(path, CONNECT)
    }

    fn accept(&self, socket: Fd) -> Result<Fd> {
        let (nowhere, no_room) = (int(0), int(0));
        self.call(ACCEPT, [fd(socket), nowhere, no_room])
            .map(|fd| fd as Fd)
    }

    fn kqueue(&self) -> Result<Fd> {
        self.call(KQUEUE, []).map(|fd| fd as Fd)
    }

    fn watch(&self, queue: Fd, file: Fd, filter: u32, what: u32) -> Result<()> {
        let change = Kevent {
            ident: file as u64,
            filter,
            flags: EV_ADD | EV_CLEAR,
            fflags: what,
            pad: 0,
            data: 0,
            udata: 0,
            extension: [0; 4],
        };
        self.old_or_new(KEVENT, |number| {
            let (nowhere, none, for_ever) = (int(0), int(0), int(0));
            let changes = Arg::InAs(change.as_bytes());
            let arguments = [fd(queue), changes, int(1), nowhere, none, for_ever];
            self.call(number, arguments).map(drop)
        })
    }

    fn event(&self, queue: Fd, limit: Duration) -> Result<Option<Event>> {
        let mut event = Kevent::new_zeroed();
        let limit = [limit.as_secs() as i64, i64::from(limit.subsec_nanos())];
        let found = self.old_or_new(KEVENT, |number| {
            let (nowhere, none) = (int(0), int(0));
            let events = Arg::OutAs(event.as_mut_bytes());
            let limit = Arg::InAs(limit.as_bytes());
            self.call(number, [fd(queue), nowhere, none, events, int(1), limit])
        })? != 0;
        Ok(found.then(|| event.event()))
    }

    fn lock(&self, file: Fd, lock: Lock, wait: bool) -> Result<()> {
        let flock = Flock::of(lock);
        let command = Arg::Int(if wait { F_SETLKW } else { F_SETLK });
        self.call(FCNTL, [fd(file), command, Arg::InAs(flock.as_bytes())])
            .map(drop)
    }

    fn lock_of(&self, file: Fd, lock: Lock) -> Result<Option<(Lock, i32)>> {
        let mut flock = Flock::of(lock);
        let (command, argument) = (Arg::Int(F_GETLK), Arg::OutAs(flock.as_mut_bytes()));
        self.call(FCNTL, [fd(file), command, argument])?;
        let found = flock.lock();
        Ok((found.kind != LockKind::Free).then_some((found, flock.pid)))
    }

    fn flock(&self, file: Fd, kind: LockKind) -> Result<()> {
        let how = match kind {
            LockKind::Read => LOCK_SH,
            LockKind::Write => LOCK_EX,
            LockKind::Free => LOCK_UN,
        };
        self.call(FLOCK, [fd(file), Arg::Int(how | LOCK_NB)])
            .map(drop)
    }

    fn map(
        &self,
        file: Fd,
        len: usize,
        write: bool,
        work: &mut dyn FnMut(&dyn Mapping),
    ) -> Result<()> {
        let protection = PROT_READ | if write { PROT_WRITE } else { 0 };
        let (anywhere, from_start) = (int(0), int(0));
        let start = self.call(
            MMAP,
            [
                anywhere,
                Arg::Int(len as i64),
                Arg::Int(protection),
                Arg::Int(MAP_SHARED),
                fd(file),
                PAD,
                from_start,
            ],
        )?;
        let start = std::ptr::with_exposed_provenance_mut(start as usize);
        work(&Mapped {
            kernel: self,
            start,
            len,
        });
        Ok(())
    }

    fn pathconf(&self, path: &str, name: i32) -> Result<i64> {
        self.call(PATHCONF, [Arg::Text(path), int(name)])
    }

    fn statvfs(&self, path: &str) -> Result<Room> {
        self.ask_statvfs(path, ST_WAIT)
    }

    fn statvfs_nowait(&self, path: &str) -> Result<Room> {
        self.ask_statvfs(path, ST_NOWAIT)
    }

    fn sync(&self) -> Result<()> {
        self.call(SYNC, []).map(drop)
    }

    /// With too little room for it, the error says so.
    fn getfh(&self, path: &str, room: usize) -> Result<Vec<u8>> {
        let mut handle = vec![0; room];
        let mut len = room as u64;
        let arguments = [
            Arg::Text(path),
            Arg::OutAs(&mut handle),
            Arg::OutAs(len.as_mut_bytes()),
        ];
        self.call(GETFH, arguments)?;
        Ok(filled(handle, len as i64))
    }

    fn fhstat(&self, handle: &[u8]) -> Result<Stat> {
        let mut stat = RawStat::new_zeroed();
        let arguments = [Arg::In(handle), Arg::OutAs(stat.as_mut_bytes())];
        self.call(FHSTAT, arguments)?;
        Ok(stat.stat())
    }

    fn fhopen(&self, handle: &[u8], how: How) -> Result<Fd> {
        self.call(FHOPEN, [Arg::In(handle), int(flags(how))])
            .map(|fd| fd as Fd)
    }

    fn extattr_get(&self, path: &str, name: &str, room: usize) -> Result<Vec<u8>> {
        let mut value = vec![0; room];
        let space = Arg::Int(EXTATTR_NAMESPACE_USER);
        let (path, name) = (Arg::Text(path), Arg::Text(name));
        let arguments = [path, space, name, Arg::Out(&mut value)];
        let len = self.call(EXTATTR_GET_FILE, arguments)?;
        Ok(filled(value, len))
    }

    fn extattr_size(&self, path: &str, name: &str) -> Result<usize> {
        let space = Arg::Int(EXTATTR_NAMESPACE_USER);
        let (path, name) = (Arg::Text(path), Arg::Text(name));
        let (nowhere, no_room) = (int(0), int(0));
        self.call(EXTATTR_GET_FILE, [path, space, name, nowhere, no_room])
            .map(|len| len as usize)
    }

    fn extattr_list(&self, path: &str, room: usize) -> Result<Vec<u8>> {
        let mut names = vec![0; room];
        let space = Arg::Int(EXTATTR_NAMESPACE_USER);
        let arguments = [Arg::Text(path), space, Arg::Out(&mut names)];
        let len = self.call(EXTATTR_LIST_FILE, arguments)?;
        Ok(filled(names, len))
    }

    fn extattr_list_size(&self, path: &str) -> Result<usize> {
        let space = Arg::Int(EXTATTR_NAMESPACE_USER);
        let (nowhere, no_room) = (int(0), int(0));
        self.call(
            EXTATTR_LIST_FILE,
            [Arg::Text(path), space, nowhere, no_room],
        )
        .map(|len| len as usize)
    }

    fn extattr_set(&self, path: &str, name: &str, data: &[u8]) -> Result<usize> {
        let space = Arg::Int(EXTATTR_NAMESPACE_USER);
        let (path, name) = (Arg::Text(path), Arg::Text(name));
        self.call(EXTATTR_SET_FILE, [path, space, name, Arg::In(data)])
            .map(|len| len as usize)
    }

    fn extattr_delete(&self, path: &str, name: &str) -> Result<()> {
        let space = Arg::Int(EXTATTR_NAMESPACE_USER);
        let arguments = [Arg::Text(path), space, Arg::Text(name)];
        self.call(EXTATTR_DELETE_FILE, arguments).map(drop)
    }

    fn mount(&self, path: &str, args: &KArgs) -> Result<()> {
        self.mount_puffs(path, args, args.fd)
    }

    fn become_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
        let count = Arg::Int(groups.len() as i64);
        self.call(SETGROUPS, [count, Arg::InAs(groups.as_bytes())])?;
        self.call(SETGID, [int(gid)])?;
        self.call(SETUID, [int(uid)]).map(drop)
    }

    fn pid(&self) -> i32 {
        self.getpid().unwrap_or(-1)
    }

    fn sysctl_set(&self, name: &str, number: i64) -> Result<()> {
        let mut path = Vec::new();
        for part in name.split('.') {
            let next = self.sysctl_node(&path, part)?;
            path.push(next);
        }
        let nowhere = Arg::Int(0);
        let arguments = [
            Arg::InAs(path.as_bytes()),
            Arg::Int(path.len() as i64),
            nowhere,
            Arg::Int(0),
            Arg::In(number.as_bytes()),
        ];
        self.call(SYSCTL, arguments).map(drop)
    }

    fn block(&self, signal: i32) -> Result<()> {
        self.gate().block(signal)
    }

    fn unmount(&self, path: &str, force: bool) -> Result<()> {
        let flags = Arg::Int(if force { MNT_FORCE } else { 0 });
        self.call(UNMOUNT, [Arg::Text(path), flags]).map(drop)
    }
}
