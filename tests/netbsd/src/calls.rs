//! The calls that cases make.

use crate::{filled, int, Arg, Gate, Kernel, O_CREAT, O_RDWR};
use puffs_rs::{
    abi::{KArgs, StatvfsBuf, Vtype},
    kern::Result,
};
use puffs_script::world::{Calls, Fd, How, Room, Stat};
use std::time::Duration;
use zerocopy::{FromZeros, IntoBytes};

const LINK: i32 = 9;
const UNLINK: i32 = 10;
const CHMOD: i32 = 15;
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
const STATVFS: i32 = 357;
const EXTATTR_SET_FILE: i32 = 361;
const EXTATTR_GET_FILE: i32 = 362;
const EXTATTR_DELETE_FILE: i32 = 363;
const EXTATTR_LIST_FILE: i32 = 371;
const GETDENTS: i32 = 390;
const GETFH: i32 = 395;
const STAT: i32 = 439;
const MKNOD: i32 = 450;
const FHSTAT: i32 = 451;

const MNT_FORCE: i64 = 0x80000;
const ST_WAIT: i64 = 1;
const ST_NOWAIT: i64 = 2;
const F_SETLK: i64 = 8;
const F_WRLCK: i16 = 3;
const EXTATTR_NAMESPACE_USER: i64 = 1;
const S_IFMT: u32 = 0o170_000;
const S_IFCHR: i64 = 0o020_000;

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

/// Of a `struct pollfd`.
#[derive(IntoBytes, zerocopy::FromBytes, zerocopy::KnownLayout)]
#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

/// Of a `struct flock`.
#[derive(IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct Flock {
    start: i64,
    len: i64,
    pid: i32,
    kind: i16,
    whence: i16,
}

/// A descriptor as an argument.
fn fd(file: Fd) -> Arg<'static> {
    Arg::Int(file as i64)
}

/// For a `long` that keeps the argument after it in place.
const PAD: Arg<'static> = Arg::Int(0);

impl<G: Gate> Kernel<G> {
    fn ask_statvfs(&self, path: &str, flag: i64) -> Result<Room> {
        let mut numbers = StatvfsBuf::new_zeroed();
        let buffer = Arg::OutAs(numbers.as_mut_bytes());
        self.call(STATVFS, [Arg::Text(path), buffer, Arg::Int(flag)])?;
        Ok(Room {
            bsize: numbers.bsize as u64,
            blocks: numbers.blocks,
            bfree: numbers.bfree,
        })
    }
}

impl<G: Gate> Calls for Kernel<G> {
    fn stat(&self, path: &str) -> Result<Stat> {
        let mut stat = RawStat::new_zeroed();
        self.call(STAT, [Arg::Text(path), Arg::OutAs(stat.as_mut_bytes())])?;
        Ok(stat.stat())
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
        let mut flags = 0;
        if how.write {
            flags |= O_RDWR;
        }
        if how.create {
            flags |= O_CREAT;
        }
        self.open_file(path, flags).map(|fd| fd as Fd)
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

    fn seek(&self, file: Fd, offset: i64) -> Result<()> {
        let from_start = int(0);
        self.call(LSEEK, [fd(file), PAD, int(offset), from_start])
            .map(drop)
    }

    fn fsync(&self, file: Fd) -> Result<()> {
        self.call(FSYNC, [fd(file)]).map(drop)
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

    fn lock(&self, file: Fd) -> Result<()> {
        let flock = Flock {
            start: 0,
            len: 0,
            pid: 0,
            kind: F_WRLCK,
            whence: 0,
        };
        let setlk = Arg::Int(F_SETLK);
        self.call(FCNTL, [fd(file), setlk, Arg::InAs(flock.as_bytes())])
            .map(drop)
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

    fn block(&self, signal: i32) -> Result<()> {
        self.gate().block(signal)
    }

    fn unmount(&self, path: &str, force: bool) -> Result<()> {
        let flags = Arg::Int(if force { MNT_FORCE } else { 0 });
        self.call(UNMOUNT, [Arg::Text(path), flags]).map(drop)
    }
}
