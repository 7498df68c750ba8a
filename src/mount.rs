//! A mount, as the Rust code knows it.

use crate::{
    abi::{self, consts, Cookie, KArgs, VnOp},
    kern::{Arc, Errno, KBytes, MountHold, MountPtr, Result, Sleep},
    msgif::{MsgIf, Sop},
};
use core::{
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
use zerocopy::IntoBytes;

/// A mount (C: `struct puffs_mount`).
///
/// It is counted: by the kernel's mount until that is taken down, by its nodes, by the
/// service thread, and by calls of the device and of the file system while they
/// run. Who is left when the mount is gone finds that in [`msgif`](Self::msgif).
pub struct Mount {
    /// The kernel's mount. Its structure stays, whatever becomes of the file system:
    /// who waits for the server outside of a transaction may come back late.
    pub mp: MountPtr,
    /// The messages.
    pub msgif: MsgIf,
    /// The service thread.
    pub(crate) sop: Sop,
    /// The server has a SYNC that nobody waits for.
    pub(crate) syncing: AtomicBool,
    /// What the server asked for.
    pub config: Config,
    /// The same as it was accepted, for who asks: a [`KArgs`].
    args: KBytes,
    _held: MountHold,
    /// Goes last.
    _counted: Counted,
}

/// How many there are.
static MOUNTS: AtomicUsize = AtomicUsize::new(0);

/// One of [`MOUNTS`], while this lives.
struct Counted;

impl Counted {
    fn new() -> Counted {
        MOUNTS.fetch_add(1, Ordering::Relaxed);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        MOUNTS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is needed of the mount arguments while the mount lives. They were
/// checked.
#[derive(Clone, Copy)]
pub struct Config {
    /// `PUFFS_KFLAG_*`.
    pub flags: u32,
    /// `PUFFS_FHFLAG_*`.
    pub fhflags: i32,
    /// The size of a file handle, or its limit; 0: there are none.
    pub fhsize: usize,
    /// The longest message, in bytes.
    pub maxmsglen: usize,
    /// Does the server want requests with a 32-bit time_t?
    pub time32: bool,
    /// What the server calls its root.
    pub root_cookie: Cookie,
    /// The type of the root.
    pub root_vtype: u32,
    /// The size of the root.
    pub root_size: i64,
    /// The device, if the root is one.
    pub root_rdev: u64,
    /// Not 0 for each operation that the server handles.
    pub vnopmask: [u8; consts::VN_MAX + consts::VN_SPARE],
    /// What the server calls its file system.
    pub typename: [u8; abi::consts::VFS_NAMELEN],
}

impl From<&KArgs> for Config {
    fn from(args: &KArgs) -> Config {
        Config {
            flags: args.flags,
            fhflags: args.fhflags,
            fhsize: args.fhsize,
            maxmsglen: args.maxmsglen,
            time32: args.time32 != 0,
            root_cookie: args.root_cookie,
            root_vtype: args.root_vtype,
            root_size: args.root_vsize,
            root_rdev: args.root_rdev,
            vnopmask: args.vnopmask,
            typename: args.typename,
        }
    }
}

impl Config {
    /// Does the server time its attributes and names
    /// (`PUFFS_KFLAG_CACHE_FS_TTL`)?
    pub fn uses_ttl(&self) -> bool {
        self.flags & abi::KFLAG_CACHE_FS_TTL != 0
    }

    /// May names be cached?
    pub fn uses_namecache(&self) -> bool {
        self.flags & abi::KFLAG_NOCACHE_NAME == 0
    }

    /// May pages be cached?
    pub fn uses_pagecache(&self) -> bool {
        self.flags & abi::KFLAG_NOCACHE_PAGE == 0
    }

    /// Does a write go through the page cache at once?
    pub fn writes_through(&self) -> bool {
        self.flags & abi::KFLAG_WTCACHE != 0
    }

    /// Is a lookup told the rest of the path?
    pub fn wants_full_paths(&self) -> bool {
        self.flags & abi::KFLAG_LOOKUP_FULLPNBUF != 0
    }

    /// Does the kernel remember parent directories?
    pub fn remembers_parents(&self) -> bool {
        self.flags & abi::KFLAG_CACHE_DOTDOT != 0
    }

    /// Is the server told the times and sizes that the kernel noted?
    pub fn flushes_notes(&self) -> bool {
        self.flags & abi::KFLAG_NOFLUSH_META == 0
    }

    /// Does the server want to know of every node that becomes inactive, and
    /// not only of those that it asked for?
    pub fn always_inactive(&self) -> bool {
        self.flags & abi::KFLAG_IAONDEMAND == 0 || self.flags & abi::KFLAG_ALLOPS != 0
    }

    /// Does the server handle the operation (C: `EXISTSOP`)?
    pub fn handles(&self, op: VnOp) -> bool {
        self.flags & abi::KFLAG_ALLOPS != 0 || self.vnopmask[usize::from(u16::from(op))] != 0
    }

    /// How many bytes of data fit a message (C: `PUFFS_TOMOVE`).
    pub fn move_max(&self) -> usize {
        self.maxmsglen - consts::MSGSTRUCT_MAX
    }
}

impl Mount {
    /// Makes a mount that the kernel's does not know yet.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn create(mp: MountPtr, args: &KArgs) -> Result<Arc<Mount>> {
        let mut kept = KBytes::zeroed(size_of::<KArgs>(), Sleep::Yes).ok_or(Errno::ENOMEM)?;
        kept.bytes_mut().copy_from_slice(args.as_bytes());
        let mount = Mount {
            mp,
            msgif: MsgIf::new().ok_or(Errno::ENOMEM)?,
            sop: Sop::new(),
            syncing: AtomicBool::new(false),
            config: Config::from(args),
            args: kept,
            _held: mp.hold(),
            _counted: Counted::new(),
        };
        Arc::new(mount, Sleep::Yes).ok_or(Errno::ENOMEM)
    }

    /// The mount arguments as they were accepted: a [`KArgs`].
    pub fn args(&self) -> &[u8] {
        self.args.bytes()
    }

    /// Has anybody a reference to any mount, or to a node of one? For who is inside
    /// the kernel lock: calls of the device and the service thread give theirs up inside
    /// it, and leave it when they run no code of ours any more.
    pub(crate) fn any() -> bool {
        MOUNTS.load(Ordering::Relaxed) != 0
    }
}

impl fmt::Display for Mount {
    /// The name that the server gave its file system.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.config.typename;
        for &byte in name.iter().take_while(|&&byte| byte != 0) {
            fmt::Write::write_char(f, char::from(byte))?;
        }
        Ok(())
    }
}
