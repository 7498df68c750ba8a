//! The structs of system calls, as NetBSD has them since 6.

use puffs_rs::abi::{StatvfsBuf, Vtype};
use puffs_script::world::{Event, Lock, LockKind, Stat, Time};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

const F_RDLCK: i16 = 1;
const F_UNLCK: i16 = 2;
const F_WRLCK: i16 = 3;

const S_IFMT: u32 = 0o170_000;

/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// A `struct timespec`.
#[derive(Clone, Copy, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Timespec {
    sec: i64,
    nsec: i64,
}

impl Timespec {
    pub(crate) fn of(time: Time) -> Timespec {
        Timespec {
            sec: time.div_euclid(SECOND),
            nsec: time.rem_euclid(SECOND),
        }
    }

    fn time(self) -> Time {
        self.sec.saturating_mul(SECOND).saturating_add(self.nsec)
    }
}

/// A `struct stat`.
#[derive(IntoBytes, FromBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct RawStat {
    dev: u64,
    mode: u32,
    pad0: u32,
    ino: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    pad1: u32,
    rdev: u64,
    atime: Timespec,
    mtime: Timespec,
    ctime: Timespec,
    birthtime: Timespec,
    size: i64,
    blocks: i64,
    blksize: u32,
    flags: u32,
    rest: [u64; 2],
}

const _: () = assert!(size_of::<RawStat>() == 152);
const _: () = assert!(std::mem::offset_of!(RawStat, size) == 112);

impl RawStat {
    pub(crate) fn stat(&self) -> Stat {
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
            ino: self.ino,
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: self.rdev,
            atime: self.atime.time(),
            mtime: self.mtime.time(),
            ctime: self.ctime.time(),
            blocks: self.blocks as u64,
            flags: self.flags,
        }
    }
}

/// A `struct flock`.
#[derive(IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Flock {
    start: i64,
    len: i64,
    pub(crate) pid: i32,
    kind: i16,
    whence: i16,
}

impl Flock {
    pub(crate) fn of(lock: Lock) -> Flock {
        Flock {
            start: lock.start,
            len: lock.len,
            pid: 0,
            kind: match lock.kind {
                LockKind::Read => F_RDLCK,
                LockKind::Write => F_WRLCK,
                LockKind::Free => F_UNLCK,
            },
            whence: 0,
        }
    }

    pub(crate) fn lock(&self) -> Lock {
        let kind = match self.kind {
            F_RDLCK => LockKind::Read,
            F_WRLCK => LockKind::Write,
            _ => LockKind::Free,
        };
        Lock::on(kind, self.start, self.len)
    }
}

/// A `struct statvfs`, with room for that of NetBSD 10, which has the same
/// numbers and longer names behind them.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct Statvfs {
    pub(crate) begin: StatvfsBuf,
    more: [u8; 1040],
}

/// A `struct kevent`, of NetBSD 10.99; those before end before the extension,
/// which is the same for one event.
#[derive(IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Kevent {
    pub(crate) ident: u64,
    pub(crate) filter: u32,
    pub(crate) flags: u32,
    pub(crate) fflags: u32,
    pub(crate) pad: u32,
    pub(crate) data: i64,
    pub(crate) udata: u64,
    pub(crate) extension: [u64; 4],
}

impl Kevent {
    pub(crate) fn event(&self) -> Event {
        Event {
            file: self.ident as usize,
            filter: self.filter,
            what: self.fflags,
            data: self.data,
        }
    }
}

/// A `struct sysctlnode`.
#[derive(IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct SysctlNode {
    flags: u32,
    number: i32,
    name: [u8; 32],
    version: u32,
    pad: u32,
    rest: [u64; 6],
}

const _: () = assert!(size_of::<SysctlNode>() == 96);

impl SysctlNode {
    /// What says that nodes are wanted as they are here.
    pub(crate) fn query() -> SysctlNode {
        /// `SYSCTL_VERSION`.
        const VERSION: u32 = 0x0100_0000;
        let mut query = SysctlNode::new_zeroed();
        query.flags = VERSION;
        query
    }

    /// Its name of one component, which a NUL ends.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.split(|&byte| byte == 0).next() == Some(name.as_bytes())
    }

    pub(crate) fn number(&self) -> i32 {
        self.number
    }
}
