//! A mount, as the Rust code knows it.

use crate::{
    abi::{self, Cookie, KArgs},
    kern::{Arc, Errno, MountPtr, PmpRef, Result, Sleep, SopGate},
    msgif::{MsgIf, SopQueue},
};
use core::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The Rust part of a mount; `struct puffs_mount` is the part that C code
/// sees.
///
/// It is counted: by the C part until the mount is taken down, by the service
/// thread, by each request that a reader of the device has, and by calls of
/// the device while they run. What is left after the mount is gone touches
/// [`msgif`](Self::msgif) only.
pub struct Mount {
    /// The kernel's mount.
    pub mp: MountPtr,
    /// The C part.
    pub pmp: PmpRef,
    /// The messages.
    pub msgif: MsgIf,
    /// The service thread.
    pub sop: SopGate<SopQueue>,
    /// What the server asked for.
    pub config: Config,
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
}

impl Mount {
    /// Makes both parts of a mount, and ties them.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn create(mp: MountPtr, args: &KArgs) -> Result<Arc<Mount>> {
        let pmp = PmpRef::create(mp, args).ok_or(Errno::ENOMEM)?;
        let made = MsgIf::new()
            .zip(pmp.sop_gate(SopQueue::default()))
            .and_then(|(msgif, sop)| {
                let config = Config::from(args);
                let mount = Mount {
                    mp,
                    pmp,
                    msgif,
                    sop,
                    config,
                    _counted: Counted::new(),
                };
                Arc::new(mount, Sleep::Yes)
            });
        match made {
            Some(mount) => {
                Mount::tie(&mount);
                Ok(mount)
            }
            None => {
                pmp.destroy();
                Err(Errno::ENOMEM)
            }
        }
    }

    /// Has anybody a reference to any mount? For who is inside the kernel lock:
    /// calls of the device and the service thread give theirs up inside it, and
    /// leave it when they run no code of ours any more.
    pub(crate) fn any() -> bool {
        MOUNTS.load(Ordering::Relaxed) != 0
    }

    /// Takes both parts apart and frees the C part, which no thread uses any
    /// more.
    pub(crate) fn dissolve(mount: &Mount) {
        let pmp = mount.pmp;
        Mount::untie(pmp);
        pmp.destroy();
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
