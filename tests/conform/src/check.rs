//! What a check is, and how it is played.

use crate::{bed::Bed, memfs::MemFs};
use puffs_rs::{
    abi::{
        KArgs, Timespec, VnOp, KFLAG_CACHE_DOTDOT, KFLAG_CACHE_FS_TTL, KFLAG_IAONDEMAND,
        KFLAG_LOOKUP_FULLPNBUF, KFLAG_NOCACHE_NAME, KFLAG_NOCACHE_PAGE, KFLAG_NOFLUSH_META,
        KFLAG_WTCACHE,
    },
    kern::{Errno, Result},
};
use puffs_script::{
    ask_for, mount_args,
    world::{Ability, Calls, Device},
    World, MNT,
};
use std::{
    fmt,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// A way to mount: the flags that say what the kernel caches and tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags {
    /// What it is called.
    pub name: &'static str,
    /// `KFLAG_*`.
    pub bits: u32,
}

impl Flags {
    const fn new(name: &'static str, bits: u32) -> Flags {
        Flags { name, bits }
    }

    /// None: the kernel caches names, pages and metadata.
    pub const DEFAULT: Flags = Flags::new("default", 0);
    /// It caches no names.
    pub const NOCACHE_NAME: Flags = Flags::new("nocache_name", KFLAG_NOCACHE_NAME);
    /// It caches no pages.
    pub const NOCACHE_PAGE: Flags = Flags::new("nocache_page", KFLAG_NOCACHE_PAGE);
    /// It writes through its page cache.
    pub const WTCACHE: Flags = Flags::new("wtcache", KFLAG_WTCACHE);
    /// It says that a file is not in use any more when it was asked to.
    pub const IAONDEMAND: Flags = Flags::new("iaondemand", KFLAG_IAONDEMAND);
    /// Lookups come with the rest of the path.
    pub const LOOKUP_FULLPNBUF: Flags = Flags::new("lookup_fullpnbuf", KFLAG_LOOKUP_FULLPNBUF);
    /// The server says how long names and attributes hold.
    pub const CACHE_FS_TTL: Flags = Flags::new("cache_fs_ttl", KFLAG_CACHE_FS_TTL);
    /// It remembers what `..` stands for.
    pub const CACHE_DOTDOT: Flags = Flags::new("cache_dotdot", KFLAG_CACHE_DOTDOT);
    /// It does not tell which times and sizes it noted down.
    pub const NOFLUSH_META: Flags = Flags::new("noflush_meta", KFLAG_NOFLUSH_META);

    /// Each of them.
    pub const ALL: &'static [Flags] = &[
        Flags::DEFAULT,
        Flags::NOCACHE_NAME,
        Flags::NOCACHE_PAGE,
        Flags::WTCACHE,
        Flags::IAONDEMAND,
        Flags::LOOKUP_FULLPNBUF,
        Flags::CACHE_FS_TTL,
        Flags::CACHE_DOTDOT,
        Flags::NOFLUSH_META,
    ];

    /// Those that change how data comes and goes.
    pub const OF_DATA: &'static [Flags] = &[
        Flags::DEFAULT,
        Flags::NOCACHE_PAGE,
        Flags::WTCACHE,
        Flags::NOFLUSH_META,
    ];

    /// Those that change how files are found and forgotten.
    pub const OF_NAMES: &'static [Flags] = &[
        Flags::DEFAULT,
        Flags::NOCACHE_NAME,
        Flags::IAONDEMAND,
        Flags::LOOKUP_FULLPNBUF,
        Flags::CACHE_FS_TTL,
        Flags::CACHE_DOTDOT,
    ];

    /// No flags, for what flags have nothing to do with.
    pub const ONE: &'static [Flags] = &[Flags::DEFAULT];

    /// Does this have that flag?
    pub fn has(self, other: Flags) -> bool {
        self.bits & other.bits != 0
    }

    fn needs(self) -> Option<Ability> {
        self.has(Flags::CACHE_DOTDOT)
            .then_some(Ability::DotdotCache)
    }
}

/// What the server is asked to do: all that it can.
const OPS: [VnOp; 32] = [
    VnOp::Lookup,
    VnOp::Create,
    VnOp::Mknod,
    VnOp::Open,
    VnOp::Close,
    VnOp::Access,
    VnOp::Getattr,
    VnOp::Setattr,
    VnOp::Read,
    VnOp::Write,
    VnOp::Poll,
    VnOp::Mmap,
    VnOp::Fsync,
    VnOp::Seek,
    VnOp::Remove,
    VnOp::Link,
    VnOp::Rename,
    VnOp::Mkdir,
    VnOp::Rmdir,
    VnOp::Symlink,
    VnOp::Readdir,
    VnOp::Readlink,
    VnOp::Inactive,
    VnOp::Reclaim,
    VnOp::Pathconf,
    VnOp::Advlock,
    VnOp::Getextattr,
    VnOp::Listextattr,
    VnOp::Deleteextattr,
    VnOp::Setextattr,
    VnOp::Fallocate,
    VnOp::Fdiscard,
];

type Body = Arc<dyn Fn(&Bed<'_>) + Send + Sync>;

/// One thing that has to be true of a mount.
#[derive(Clone)]
pub struct Check {
    /// The family that it is of.
    pub family: &'static str,
    /// What is true, as a sentence.
    pub title: &'static str,
    /// Which of many alike it is.
    pub variant: Option<String>,
    /// What it is mounted with.
    pub flags: &'static [Flags],
    /// What the world must be able to.
    pub needs: Vec<Ability>,
    /// What the server is not asked to do.
    without: Vec<VnOp>,
    ttl: Timespec,
    body: Body,
}

impl Check {
    /// A check of a family, under all flags.
    pub fn new(
        family: &'static str,
        title: &'static str,
        body: impl Fn(&Bed<'_>) + Send + Sync + 'static,
    ) -> Check {
        Check {
            family,
            title,
            variant: None,
            flags: Flags::ALL,
            needs: Vec::new(),
            without: Vec::new(),
            ttl: Timespec::default(),
            body: Arc::new(body),
        }
    }

    /// Only under these flags.
    #[must_use]
    pub fn under(mut self, flags: &'static [Flags]) -> Check {
        self.flags = flags;
        self
    }

    /// Says which of many alike it is.
    #[must_use]
    pub fn variant(mut self, variant: impl Into<String>) -> Check {
        self.variant = Some(variant.into());
        self
    }

    /// Says what the world must be able to.
    #[must_use]
    pub fn needs(mut self, ability: Ability) -> Check {
        self.needs.push(ability);
        self
    }

    /// The server is not asked to do this.
    #[must_use]
    pub fn without(mut self, op: VnOp) -> Check {
        self.without.push(op);
        self
    }

    /// The server lets names and attributes be cached for so long; nothing is
    /// said of the time otherwise.
    #[must_use]
    pub fn ttl(mut self, seconds: i64) -> Check {
        self.ttl.sec = seconds;
        self
    }

    /// This check under each of its flags.
    pub(crate) fn each(&self) -> Vec<Check> {
        let with = |flags: &'static Flags| {
            let mut check = self.clone();
            check.flags = std::slice::from_ref(flags);
            check.needs.extend(flags.needs());
            check
        };
        self.flags.iter().map(with).collect()
    }

    /// The name of the test, of letters, digits, `_` and `:`.
    pub fn name(&self) -> String {
        let mut name = format!("conform::{}::{}", self.family, self.title);
        for part in self
            .variant
            .as_deref()
            .into_iter()
            .chain(self.flags.iter().map(|flags| flags.name))
        {
            name = format!("{name}::{part}");
        }
        let plain = |c: char| match c {
            '\'' | ',' => None,
            c if c.is_alphanumeric() || c == ':' => Some(c.to_ascii_lowercase()),
            _ => Some('_'),
        };
        name.chars().filter_map(plain).collect()
    }

    /// Can this world play it?
    pub fn fits(&self, world: &dyn World) -> bool {
        self.needs.iter().all(|&ability| world.can(ability))
    }

    fn args(&self, flags: Flags) -> KArgs {
        let mut args = mount_args();
        args.flags = flags.bits;
        ask_for(&mut args, &OPS);
        for &op in &self.without {
            args.vnopmask[usize::from(u16::from(op))] = 0;
        }
        args
    }

    /// Plays it, under the first of its flags.
    ///
    /// # Panics
    /// If it is not true, or something is left.
    pub fn play(&self, world: &Rc<dyn World>) {
        let flags = self.flags.first().copied().unwrap_or(Flags::DEFAULT);
        let server = world.process("memfs");
        let device = must("the device", server.open_device());
        must("mount", device.mount(MNT, &self.args(flags)));
        let mut fs = MemFs::new(now).with_ttl(self.ttl);
        if flags.has(Flags::NOFLUSH_META) {
            fs = fs.keeping_times();
        }
        let fs = Arc::new(Mutex::new(fs));
        let (of_thread, served) = (device.clone(), fs.clone());
        let serve = move |_: &dyn Calls| serve(&*of_thread, &served);
        let thread = server.spawn("serve", Box::new(serve));

        let user = world.process("user");
        user.enter(&mut |calls| {
            (self.body)(&Bed::new(&**world, calls, &fs, flags));
        });
        drop(user);
        let umount = world.process("umount");
        umount.enter(&mut |calls| must("unmount", unmount(calls, flags)));
        drop(umount);
        thread.join();
        device.die();
        drop((device, server));

        let fs = fs.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(fs.counts().complaints(), 0, "the kernel complained");
        let known = fs.known();
        assert!(known.is_empty(), "told of, and not given back: {known:x?}");
        if let Err(left) = world.finish() {
            panic!("left behind: {left}");
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[track_caller]
fn must<T>(what: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// A directory keeps its parent busy if that is remembered, and vflush(9) takes
/// those that nobody uses once: each try gets rid of another level.
fn unmount(calls: &dyn Calls, flags: Flags) -> Result<()> {
    let mut tries = if flags.has(Flags::CACHE_DOTDOT) {
        100
    } else {
        1
    };
    loop {
        tries -= 1;
        match calls.unmount(MNT, false) {
            Err(Errno::EBUSY) if tries > 0 => {}
            other => return other,
        }
    }
}

fn now() -> Timespec {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    Timespec {
        sec: now.as_secs() as i64,
        nsec: now.subsec_nanos() as isize,
    }
}

/// The server's loop, until the mount is gone.
fn serve(device: &dyn Device, fs: &Mutex<MemFs>) {
    while let Ok(request) = device.read() {
        let mut fs = fs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = fs.serve(&request);
        while let Some(reply) = next.take().or_else(|| fs.late()) {
            // A mount that goes away meanwhile shows at the next read.
            let _ = device.write(reply.bytes());
        }
    }
}
