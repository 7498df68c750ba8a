//! System calls, with NetBSD's numbers and structs (amd64 and other ports with
//! pointers of 64 bits).

use crate::kernel::functions;
use puffs_rs::{
    abi::{KArgs, StatvfsBuf, Vtype},
    kern::{Errno, Result},
};
use puffs_script::world::{Room, Stat};
use std::{
    ffi::{c_int, CString},
    time::Duration,
};
use zerocopy::{FromZeros, IntoBytes};

const READ: i32 = 3;
const WRITE: i32 = 4;
const OPEN: i32 = 5;
const CLOSE: i32 = 6;
const LINK: i32 = 9;
const UNLINK: i32 = 10;
const CHMOD: i32 = 15;
const GETPID: i32 = 20;
const UNMOUNT: i32 = 22;
const ACCESS: i32 = 33;
const SYNC: i32 = 36;
const SYMLINK: i32 = 57;
const READLINK: i32 = 58;
const FCNTL: i32 = 92;
const FSYNC: i32 = 95;
const RENAME: i32 = 128;
const MKFIFO: i32 = 132;
const MKDIR: i32 = 136;
const RMDIR: i32 = 137;
const PREAD: i32 = 173;
const PWRITE: i32 = 174;
const PATHCONF: i32 = 191;
const LSEEK: i32 = 199;
const TRUNCATE: i32 = 200;
const POLL: i32 = 209;
const MODCTL: i32 = 246;
const KQUEUE: i32 = 344;
const STATVFS: i32 = 357;
const EXTATTR_SET_FILE: i32 = 361;
const EXTATTR_GET_FILE: i32 = 362;
const EXTATTR_DELETE_FILE: i32 = 363;
const EXTATTR_LIST_FILE: i32 = 371;
const GETDENTS: i32 = 390;
const GETFH: i32 = 395;
const MOUNT: i32 = 410;
const KEVENT: i32 = 435;
const STAT: i32 = 439;
const MKNOD: i32 = 450;
const FHSTAT: i32 = 451;

/// `O_RDWR`.
pub(crate) const O_RDWR: i32 = 2;
/// `O_NONBLOCK`.
pub(crate) const O_NONBLOCK: i32 = 4;
/// `O_CREAT`.
pub(crate) const O_CREAT: i32 = 0x200;

const MNT_FORCE: i64 = 0x80000;
const ST_WAIT: i64 = 1;
const ST_NOWAIT: i64 = 2;
const F_SETFL: i64 = 4;
const F_SETLK: i64 = 8;
const F_WRLCK: i16 = 3;
const EXTATTR_NAMESPACE_USER: i64 = 1;
const MODCTL_UNLOAD: i64 = 1;
const S_IFMT: u32 = 0o170_000;
const S_IFCHR: i64 = 0o020_000;

/// The first two fields that are looked at of a `struct kevent`.
const EVFILT_READ: u32 = 0;
const EV_ADD: u32 = 1;

/// An argument.
enum Arg<'a> {
    /// A number.
    Int(i64),
    /// A path or another string.
    Text(&'a str),
    /// A buffer that is read, and its length: two arguments.
    In(&'a [u8]),
    /// A buffer that is written, and its length: two arguments.
    Out(&'a mut [u8]),
    /// A buffer that is written, and that is as long as the call knows.
    OutAs(&'a mut [u8]),
    /// A buffer that is read, and that is as long as the call knows.
    InAs(&'a [u8]),
}

/// The most arguments, in words, that a system call has.
const WORDS: usize = 8;

/// Makes a system call. All callers are in this module, and give every buffer
/// as large as the call's documentation has it.
fn call<const N: usize>(number: c_int, arguments: [Arg<'_>; N]) -> Result<i64> {
    let mut words = [0_i64; WORDS];
    let mut texts = Vec::new();
    let mut used = 0;
    let mut put = |word: i64| {
        words[used] = word;
        used += 1;
    };
    for argument in arguments {
        match argument {
            Arg::Int(number) => put(number),
            Arg::Text(text) => {
                let text = CString::new(text).unwrap_or_default();
                put(text.as_ptr() as i64);
                texts.push(text);
            }
            Arg::In(bytes) => {
                put(bytes.as_ptr() as i64);
                put(bytes.len() as i64);
            }
            Arg::Out(bytes) => {
                put(bytes.as_mut_ptr() as i64);
                put(bytes.len() as i64);
            }
            Arg::OutAs(bytes) => put(bytes.as_mut_ptr() as i64),
            Arg::InAs(bytes) => put(bytes.as_ptr() as i64),
        }
    }
    let mut returned = [0; 2];
    // SAFETY: a word for each argument, as NetBSD wants it; the buffers and
    // strings live until the call is over, and are as large as it thinks.
    let error = unsafe {
        (functions().rump_syscall)(
            number,
            words.as_mut_ptr().cast(),
            size_of_val(&words),
            returned.as_mut_ptr(),
        )
    };
    match Errno::check(error) {
        Ok(()) => Ok(returned[0]),
        // No handler of a signal here asks for that.
        Err(Errno::ERESTART) => Err(Errno::EINTR),
        Err(error) => Err(error),
    }
}

fn int(number: impl Into<i64>) -> Arg<'static> {
    Arg::Int(number.into())
}

/// The first `len` bytes, which a call says it has filled.
fn filled(mut bytes: Vec<u8>, len: i64) -> Vec<u8> {
    bytes.truncate(len as usize);
    bytes
}

pub(crate) fn getpid() -> Result<i32> {
    call(GETPID, []).map(|pid| pid as i32)
}

pub(crate) fn open(path: &str, flags: i32) -> Result<i32> {
    call(OPEN, [Arg::Text(path), int(flags), int(0o644)]).map(|fd| fd as i32)
}

pub(crate) fn close(fd: i32) -> Result<()> {
    call(CLOSE, [int(fd)]).map(drop)
}

pub(crate) fn read(fd: i32, room: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; room];
    let len = call(READ, [int(fd), Arg::Out(&mut bytes)])?;
    Ok(filled(bytes, len))
}

pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<usize> {
    call(WRITE, [int(fd), Arg::In(bytes)]).map(|len| len as usize)
}

pub(crate) fn pread(fd: i32, offset: i64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let pad = int(0);
    let len = call(PREAD, [int(fd), Arg::Out(&mut bytes), pad, int(offset)])?;
    Ok(filled(bytes, len))
}

pub(crate) fn pwrite(fd: i32, offset: i64, bytes: &[u8]) -> Result<usize> {
    let pad = int(0);
    call(PWRITE, [int(fd), Arg::In(bytes), pad, int(offset)]).map(|len| len as usize)
}

pub(crate) fn lseek(fd: i32, offset: i64) -> Result<()> {
    let (pad, from_start) = (int(0), int(0));
    call(LSEEK, [int(fd), pad, int(offset), from_start]).map(drop)
}

pub(crate) fn fsync(fd: i32) -> Result<()> {
    call(FSYNC, [int(fd)]).map(drop)
}

pub(crate) fn getdents(fd: i32, room: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; room];
    let len = call(GETDENTS, [int(fd), Arg::Out(&mut bytes)])?;
    Ok(filled(bytes, len))
}

/// Has a descriptor's calls wait or not.
pub(crate) fn set_nonblocking(fd: i32, nonblocking: bool) -> Result<()> {
    let flags = if nonblocking { O_NONBLOCK } else { 0 };
    call(FCNTL, [int(fd), Arg::Int(F_SETFL), int(flags)]).map(drop)
}

/// A lock on the whole file for writing.
pub(crate) fn lock(fd: i32) -> Result<()> {
    #[derive(IntoBytes, zerocopy::Immutable)]
    #[repr(C)]
    struct Flock {
        start: i64,
        len: i64,
        pid: i32,
        kind: i16,
        whence: i16,
    }
    let flock = Flock {
        start: 0,
        len: 0,
        pid: 0,
        kind: F_WRLCK,
        whence: 0,
    };
    let setlk = Arg::Int(F_SETLK);
    call(FCNTL, [int(fd), setlk, Arg::InAs(flock.as_bytes())]).map(drop)
}

/// Waits at most that long for these events; 0 if the time is over.
pub(crate) fn poll(fd: i32, events: i32, limit: Duration) -> Result<i32> {
    #[derive(IntoBytes, zerocopy::FromBytes, zerocopy::KnownLayout)]
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        revents: i16,
    }
    let mut poll = PollFd {
        fd,
        events: events as i16,
        revents: 0,
    };
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let one = int(1);
    call(POLL, [Arg::OutAs(poll.as_mut_bytes()), one, int(limit)])?;
    Ok(poll.revents.into())
}

/// Waits at most that long until there is something to read, by `kevent(2)`.
pub(crate) fn kevent(fd: i32, limit: Duration) -> Result<usize> {
    #[derive(IntoBytes, zerocopy::FromBytes, zerocopy::KnownLayout, zerocopy::Immutable)]
    #[repr(C)]
    struct Kevent {
        ident: u64,
        filter: u32,
        flags: u32,
        fflags: u32,
        pad: u32,
        data: i64,
        udata: u64,
    }
    let change = Kevent {
        ident: fd as u64,
        filter: EVFILT_READ,
        flags: EV_ADD,
        fflags: 0,
        pad: 0,
        data: 0,
        udata: 0,
    };
    let mut event = Kevent::new_zeroed();
    let limit = [limit.as_secs() as i64, i64::from(limit.subsec_nanos())];
    let queue = call(KQUEUE, [])?;
    let events = call(
        KEVENT,
        [
            int(queue),
            Arg::InAs(change.as_bytes()),
            int(1),
            Arg::OutAs(event.as_mut_bytes()),
            int(1),
            Arg::InAs(limit.as_bytes()),
        ],
    );
    close(queue as i32)?;
    Ok(if events? == 0 { 0 } else { event.data as usize })
}

/// The fields of a `struct stat` that are looked at.
#[derive(IntoBytes, zerocopy::FromBytes, zerocopy::KnownLayout)]
#[repr(C)]
struct RawStat {
    dev: u64,
    mode: u32,
    pad: u32,
    before_size: [u64; 12],
    size: i64,
    rest: [u64; 4],
}

const _: () = assert!(size_of::<RawStat>() == 152);
const _: () = assert!(std::mem::offset_of!(RawStat, size) == 112);

impl RawStat {
    fn stat(&self) -> Stat {
        let vtype = match self.mode & S_IFMT {
            0o010_000 => Vtype::Fifo,
            0o020_000 => Vtype::Chr,
            0o040_000 => Vtype::Dir,
            0o060_000 => Vtype::Blk,
            0o100_000 => Vtype::Reg,
            0o120_000 => Vtype::Lnk,
            0o140_000 => Vtype::Sock,
            _ => Vtype::Bad,
        };
        Stat {
            vtype,
            mode: self.mode & !S_IFMT,
            size: self.size,
        }
    }
}

pub(crate) fn stat(path: &str) -> Result<Stat> {
    let mut stat = RawStat::new_zeroed();
    call(STAT, [Arg::Text(path), Arg::OutAs(stat.as_mut_bytes())])?;
    Ok(stat.stat())
}

pub(crate) fn fhstat(handle: &[u8]) -> Result<Stat> {
    let mut stat = RawStat::new_zeroed();
    call(FHSTAT, [Arg::In(handle), Arg::OutAs(stat.as_mut_bytes())])?;
    Ok(stat.stat())
}

/// A file handle. With too little room for it, the error says so.
pub(crate) fn getfh(path: &str, room: usize) -> Result<Vec<u8>> {
    let mut handle = vec![0; room];
    let mut len = room as u64;
    call(
        GETFH,
        [
            Arg::Text(path),
            Arg::OutAs(&mut handle),
            Arg::OutAs(len.as_mut_bytes()),
        ],
    )?;
    Ok(filled(handle, len as i64))
}

pub(crate) fn statvfs(path: &str, ask: bool) -> Result<Room> {
    let mut numbers = StatvfsBuf::new_zeroed();
    let flag = Arg::Int(if ask { ST_WAIT } else { ST_NOWAIT });
    let buffer = Arg::OutAs(numbers.as_mut_bytes());
    call(STATVFS, [Arg::Text(path), buffer, flag])?;
    Ok(Room {
        bsize: numbers.bsize as u64,
        blocks: numbers.blocks,
        bfree: numbers.bfree,
    })
}

pub(crate) fn access(path: &str, mode: i32) -> Result<()> {
    call(ACCESS, [Arg::Text(path), int(mode)]).map(drop)
}

pub(crate) fn chmod(path: &str, mode: u32) -> Result<()> {
    call(CHMOD, [Arg::Text(path), int(mode)]).map(drop)
}

pub(crate) fn truncate(path: &str, size: i64) -> Result<()> {
    let pad = int(0);
    call(TRUNCATE, [Arg::Text(path), pad, int(size)]).map(drop)
}

pub(crate) fn mkdir(path: &str) -> Result<()> {
    call(MKDIR, [Arg::Text(path), int(0o755)]).map(drop)
}

pub(crate) fn rmdir(path: &str) -> Result<()> {
    call(RMDIR, [Arg::Text(path)]).map(drop)
}

pub(crate) fn mkfifo(path: &str) -> Result<()> {
    call(MKFIFO, [Arg::Text(path), int(0o644)]).map(drop)
}

/// A character device.
pub(crate) fn mknod(path: &str, device: u32) -> Result<()> {
    let mode = Arg::Int(S_IFCHR | 0o644);
    call(MKNOD, [Arg::Text(path), mode, int(device)]).map(drop)
}

pub(crate) fn unlink(path: &str) -> Result<()> {
    call(UNLINK, [Arg::Text(path)]).map(drop)
}

pub(crate) fn symlink(target: &str, path: &str) -> Result<()> {
    call(SYMLINK, [Arg::Text(target), Arg::Text(path)]).map(drop)
}

pub(crate) fn readlink(path: &str) -> Result<Vec<u8>> {
    let mut target = vec![0; 1024];
    let len = call(READLINK, [Arg::Text(path), Arg::Out(&mut target)])?;
    Ok(filled(target, len))
}

pub(crate) fn link(from: &str, to: &str) -> Result<()> {
    call(LINK, [Arg::Text(from), Arg::Text(to)]).map(drop)
}

pub(crate) fn rename(from: &str, to: &str) -> Result<()> {
    call(RENAME, [Arg::Text(from), Arg::Text(to)]).map(drop)
}

pub(crate) fn pathconf(path: &str, name: i32) -> Result<i64> {
    call(PATHCONF, [Arg::Text(path), int(name)])
}

pub(crate) fn sync() -> Result<()> {
    call(SYNC, []).map(drop)
}

pub(crate) fn extattr_get(path: &str, name: &str, room: usize) -> Result<Vec<u8>> {
    let mut value = vec![0; room];
    let space = Arg::Int(EXTATTR_NAMESPACE_USER);
    let arguments = [
        Arg::Text(path),
        space,
        Arg::Text(name),
        Arg::Out(&mut value),
    ];
    let len = call(EXTATTR_GET_FILE, arguments)?;
    Ok(filled(value, len))
}

pub(crate) fn extattr_list(path: &str, room: usize) -> Result<Vec<u8>> {
    let mut names = vec![0; room];
    let space = Arg::Int(EXTATTR_NAMESPACE_USER);
    let len = call(
        EXTATTR_LIST_FILE,
        [Arg::Text(path), space, Arg::Out(&mut names)],
    )?;
    Ok(filled(names, len))
}

/// The size of the value.
pub(crate) fn extattr_size(path: &str, name: &str) -> Result<usize> {
    let space = Arg::Int(EXTATTR_NAMESPACE_USER);
    let (nowhere, no_room) = (int(0), int(0));
    let arguments = [Arg::Text(path), space, Arg::Text(name), nowhere, no_room];
    call(EXTATTR_GET_FILE, arguments).map(|len| len as usize)
}

/// The size of the list.
pub(crate) fn extattr_list_size(path: &str) -> Result<usize> {
    let space = Arg::Int(EXTATTR_NAMESPACE_USER);
    let (nowhere, no_room) = (int(0), int(0));
    let arguments = [Arg::Text(path), space, nowhere, no_room];
    call(EXTATTR_LIST_FILE, arguments).map(|len| len as usize)
}

pub(crate) fn extattr_set(path: &str, name: &str, value: &[u8]) -> Result<usize> {
    let space = Arg::Int(EXTATTR_NAMESPACE_USER);
    let arguments = [Arg::Text(path), space, Arg::Text(name), Arg::In(value)];
    call(EXTATTR_SET_FILE, arguments).map(|len| len as usize)
}

pub(crate) fn extattr_delete(path: &str, name: &str) -> Result<()> {
    let space = Arg::Int(EXTATTR_NAMESPACE_USER);
    call(
        EXTATTR_DELETE_FILE,
        [Arg::Text(path), space, Arg::Text(name)],
    )
    .map(drop)
}

/// Mounts puffs, served by this descriptor of the device.
pub(crate) fn mount(path: &str, args: &KArgs, device: i32) -> Result<()> {
    let mut bytes = args.as_bytes().to_vec();
    let place = std::mem::offset_of!(KArgs, fd);
    bytes[place..place + size_of::<i32>()].copy_from_slice(&device.to_ne_bytes());
    let (name, flags) = (Arg::Text("puffs"), int(0));
    call(MOUNT, [name, Arg::Text(path), flags, Arg::In(&bytes)]).map(drop)
}

pub(crate) fn unmount(path: &str, force: bool) -> Result<()> {
    let flags = Arg::Int(if force { MNT_FORCE } else { 0 });
    call(UNMOUNT, [Arg::Text(path), flags]).map(drop)
}

/// Unloads a module, also one that is part of the kernel.
pub(crate) fn unload_module(name: &str) -> Result<()> {
    call(MODCTL, [Arg::Int(MODCTL_UNLOAD), Arg::Text(name)]).map(drop)
}
