//! A file system in the memory of its server.
//!
//! It behaves as a good server does: it judges every request by the
//! credentials that come with it, keeps the times that are its to keep, and
//! never takes the kernel's word for what a name stands for. Beside that it
//! counts what it is asked, by file, so that a check can say what a flag of the
//! mount changes on the wire.

mod attributes;
mod counts;
mod data;
mod directory;
mod locks;
mod names;
mod permission;

pub use counts::Counts;
pub use directory::dirent;

use data::Data;
use directory::Directory;
use locks::Locks;
use permission::{Who, EXECUTE, READ, WRITE};
use puffs_rs::abi::{
    vfs, vn, Cookie, Kcn, OpClass, Timespec, Vattr, VfsOp, VnOp, Vtype, SETBACK_NOREF_N1,
};
use puffs_script::Frame;
use std::collections::{BTreeMap, HashMap, VecDeque};
use zerocopy::FromZeros;

/// What this server calls its root.
pub const ROOT: Cookie = puffs_script::ROOT;

/// The size of a block, in bytes.
pub const BLOCK: u64 = 4096;

/// How many blocks there are.
pub const BLOCKS: u64 = puffs_script::BLOCKS;

/// How long a name may be.
pub const NAME_MAX: usize = 255;

/// How many names a file may have.
pub const LINK_MAX: u32 = 32767;

const POLLERR: i32 = puffs_rs::kern::sys::PK_POLLERR as i32;
const POLLHUP: i32 = puffs_rs::kern::sys::PK_POLLHUP as i32;
const MNT_FORCE: i32 = 0x80000;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EDEADLK: i32 = 11;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EMLINK: i32 = 31;
const EAGAIN: i32 = 35;
const EOPNOTSUPP: i32 = 45;
const ENAMETOOLONG: i32 = 63;
const ENOTEMPTY: i32 = 66;
const ESTALE: i32 = 70;
const EFTYPE: i32 = 79;
const ENOATTR: i32 = 93;

/// `EXTATTR_LIST_LENPREFIX`: each name has its length in front, instead of a
/// NUL behind.
const LIST_LENPREFIX: i32 = 1;

/// The names of `pathconf(2)` that are answered.
const PC_LINK_MAX: i32 = 1;
const PC_NAME_MAX: i32 = 4;
const PC_PATH_MAX: i32 = 5;
const PC_CHOWN_RESTRICTED: i32 = 7;
const PC_NO_TRUNC: i32 = 8;

type Outcome = Result<Frame, i32>;

/// What a file is.
enum Kind {
    File(Data),
    Dir(Directory),
    Link(Vec<u8>),
    Special,
}

struct Inode {
    kind: Kind,
    va: Vattr,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    locks: Locks,
    /// How often the kernel was told of it, and did not say that it forgot.
    known: i64,
}

impl Inode {
    fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir(_))
    }
}

/// The file system; its method [`serve`](Self::serve) is the body of a server's
/// loop.
pub struct MemFs {
    inodes: HashMap<usize, Inode>,
    next: usize,
    clock: fn() -> Timespec,
    refuse_unmount: bool,
    ttl: Timespec,
    keeps_times: bool,
    counts: Counts,
    /// Who waits for a lock of which file, and the request.
    waiting: Vec<(Cookie, Frame)>,
    late: VecDeque<Frame>,
}

/// The name in a request.
fn name_of(cn: &Kcn) -> Result<Vec<u8>, i32> {
    let name = cn.name.get(..cn.namelen).ok_or(EINVAL)?;
    if name.len() > NAME_MAX {
        return Err(ENAMETOOLONG);
    }
    Ok(name.to_vec())
}

/// A C string.
fn text(name: &[u8]) -> Vec<u8> {
    name.iter().copied().take_while(|&byte| byte != 0).collect()
}

impl MemFs {
    /// A file system with an empty root, which is everybody's to write to. The
    /// times in it are this clock's.
    pub fn new(clock: fn() -> Timespec) -> MemFs {
        let mut fs = MemFs {
            inodes: HashMap::new(),
            next: ROOT.0,
            clock,
            refuse_unmount: false,
            ttl: Timespec::default(),
            keeps_times: false,
            counts: Counts::default(),
            waiting: Vec::new(),
            late: VecDeque::new(),
        };
        let root = Kind::Dir(Directory::new(ROOT));
        let root = fs.add(root, Vtype::Dir, 0o777);
        debug_assert_eq!(root, ROOT);
        fs
    }

    /// Refuses to be unmounted.
    #[must_use]
    pub fn refusing_unmount(mut self) -> MemFs {
        self.refuse_unmount = true;
        self
    }

    /// Lets names and attributes be cached for so long.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Timespec) -> MemFs {
        self.ttl = ttl;
        self
    }

    /// Keeps the times of what the kernel reads and writes for its page cache
    /// too: under `KFLAG_NOFLUSH_META` nobody else does.
    #[must_use]
    pub fn keeping_times(mut self) -> MemFs {
        self.keeps_times = true;
        self
    }

    /// How many files there are, the root among them.
    pub fn files(&self) -> usize {
        self.inodes.len()
    }

    /// Puts so many empty files into a directory: `file-0` and so on.
    ///
    /// # Panics
    /// If it is no directory.
    pub fn fill(&mut self, dir: Cookie, count: usize) {
        for nth in 0..count {
            let file = self.add(Kind::File(Data::default()), Vtype::Reg, 0o644);
            match self.dir(dir) {
                Ok(directory) => directory.insert(format!("file-{nth}").into_bytes(), file),
                Err(errno) => panic!("{dir:?} is no directory: errno {errno}"),
            }
        }
    }

    /// How often it was asked what.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The files that the kernel was told of, and did not give back as often.
    pub fn known(&self) -> Vec<(Cookie, i64)> {
        let known = self.inodes.iter().map(|(&file, inode)| (file, inode.known));
        let known = known.filter(|&(file, known)| known != 0 && file != ROOT.0);
        known.map(|(file, known)| (Cookie(file), known)).collect()
    }

    /// Answers one request; `None` if nobody waits for an answer, or it comes
    /// [`late`](Self::late).
    pub fn serve(&mut self, request: &Frame) -> Option<Frame> {
        if request.is_response() {
            return None;
        }
        self.counts.count(request);
        let outcome = match request.class() {
            Some(OpClass::Vfs) => self.vfs(request),
            Some(OpClass::Vn) if request.is::<vn::Advlock>() => return self.advlock(request),
            Some(OpClass::Vn) => self.vn(request),
            // What the kernel tells needs no answer.
            _ => return None,
        };
        if request.is_faf() {
            return None;
        }
        Some(outcome.unwrap_or_else(|errno| request.reply_error(errno)))
    }

    /// The answer to an earlier request that was due now, if there is one.
    pub fn late(&mut self) -> Option<Frame> {
        self.late.pop_front()
    }

    fn now(&self) -> Timespec {
        (self.clock)()
    }

    fn add(&mut self, kind: Kind, vtype: Vtype, mode: u32) -> Cookie {
        let cookie = self.next;
        self.next += 0x100;
        let now = self.now();
        let mut va = Vattr::new_zeroed();
        va.vtype = vtype.into();
        va.mode = mode;
        va.nlink = if vtype == Vtype::Dir { 2 } else { 1 };
        va.fileid = cookie as u64;
        va.blocksize = BLOCK as isize;
        (va.atime, va.mtime, va.ctime, va.birthtime) = (now, now, now, now);
        let inode = Inode {
            kind,
            va,
            attributes: BTreeMap::new(),
            locks: Locks::default(),
            known: 0,
        };
        self.inodes.insert(cookie, inode);
        Cookie(cookie)
    }

    fn inode(&mut self, cookie: Cookie) -> Result<&mut Inode, i32> {
        self.inodes.get_mut(&cookie.0).ok_or(ESTALE)
    }

    fn dir(&mut self, cookie: Cookie) -> Result<&mut Directory, i32> {
        match &mut self.inode(cookie)?.kind {
            Kind::Dir(directory) => Ok(directory),
            _ => Err(ENOTDIR),
        }
    }

    fn vfs(&mut self, request: &Frame) -> Outcome {
        match VfsOp::try_from(request.req().optype) {
            Ok(VfsOp::Unmount) => {
                let forced = request.get::<vfs::Unmount>().flags & MNT_FORCE != 0;
                if self.refuse_unmount && !forced {
                    Err(EBUSY)
                } else {
                    Ok(request.reply_header())
                }
            }
            Ok(VfsOp::Statvfs) => {
                let used = self.used();
                let files = self.inodes.len() as u64;
                Ok(request.reply_with::<vfs::Statvfs>(|reply| {
                    reply.sb.bsize = BLOCK as usize;
                    reply.sb.frsize = BLOCK as usize;
                    reply.sb.blocks = BLOCKS;
                    reply.sb.bfree = BLOCKS - used.min(BLOCKS);
                    reply.sb.bavail = reply.sb.bfree;
                    reply.sb.files = files;
                    reply.sb.namemax = NAME_MAX;
                }))
            }
            Ok(VfsOp::Sync | VfsOp::Extattrctl) => Ok(request.reply_header()),
            Ok(VfsOp::Fhtovp) => {
                let asked = request.get::<vfs::FhToNode>();
                let handle = request.payload::<vfs::FhToNode>(0);
                let handle: [u8; 8] = handle
                    .get(..8)
                    .and_then(|handle| handle.try_into().ok())
                    .filter(|_| asked.dsize == 8)
                    .ok_or(EINVAL)?;
                let cookie = Cookie(u64::from_ne_bytes(handle) as usize);
                let va = self.attributes(cookie)?;
                if va.nlink == 0 {
                    return Err(ESTALE);
                }
                // The kernel does not count this among the times it was told.
                Ok(request.reply_with::<vfs::FhToNode>(|reply| {
                    reply.fhcookie = cookie;
                    reply.vtype = va.vtype;
                    reply.size = va.size as i64;
                    reply.rdev = va.rdev;
                }))
            }
            Ok(VfsOp::Vptofh) => {
                let cookie = request.get::<vfs::NodeToFh>().fhcookie;
                self.inode(cookie)?;
                let handle = (cookie.0 as u64).to_ne_bytes();
                Ok(request.reply_data::<vfs::NodeToFh>(&handle, |reply| reply.dsize = 8))
            }
            _ => Err(EOPNOTSUPP),
        }
    }

    fn vn(&mut self, request: &Frame) -> Outcome {
        let cookie = request.req().cookie;
        match VnOp::try_from(request.req().optype) {
            Ok(VnOp::Lookup) => self.lookup(request, cookie),
            Ok(VnOp::Create) => self.create(request, cookie),
            Ok(VnOp::Mknod) => self.mknod(request, cookie),
            Ok(VnOp::Mkdir) => self.mkdir(request, cookie),
            Ok(VnOp::Symlink) => self.symlink(request, cookie),
            Ok(VnOp::Readlink) => self.readlink(request, cookie),
            Ok(VnOp::Remove) => {
                let asked = request.get::<vn::Remove>();
                let (name, who) = (name_of(&asked.cn)?, Who::of(&asked.cn_cred));
                let target = asked.cookie_targ;
                self.remove(request, cookie, &name, target, &who, false)
            }
            Ok(VnOp::Rmdir) => {
                let asked = request.get::<vn::Rmdir>();
                let (name, who) = (name_of(&asked.cn)?, Who::of(&asked.cn_cred));
                let target = asked.cookie_targ;
                self.remove(request, cookie, &name, target, &who, true)
            }
            Ok(VnOp::Link) => self.link(request, cookie),
            Ok(VnOp::Rename) => self.rename(request, cookie),
            Ok(VnOp::Open) => {
                self.inode(cookie)?;
                Ok(request.reply_with::<vn::Open>(|reply| reply.oflags = 0))
            }
            Ok(VnOp::Access) => {
                let asked = request.get::<vn::Access>();
                let (who, mode) = (Who::of(&asked.cred), asked.mode as u32);
                // VREAD, VWRITE and VEXEC are the owner's permission bits in
                // NetBSD 10, and those of the others before.
                self.may(cookie, &who, (mode >> 6 | mode) & 7)?;
                Ok(request.reply_header())
            }
            Ok(VnOp::Getattr) => self.getattr(request, cookie),
            Ok(VnOp::Setattr) => self.setattr(request, cookie),
            Ok(VnOp::Read) => self.read(request, cookie),
            Ok(VnOp::Write) => self.write(request, cookie),
            Ok(VnOp::Fallocate) => self.fallocate(request, cookie),
            Ok(VnOp::Fdiscard) => self.fdiscard(request, cookie),
            Ok(VnOp::Readdir) => self.readdir(request, cookie),
            Ok(VnOp::Poll) => {
                // All that is asked for is there, and no error is.
                Ok(request.reply_with::<vn::Poll>(|reply| reply.events &= !(POLLERR | POLLHUP)))
            }
            Ok(VnOp::Pathconf) => {
                let value = match request.get::<vn::Pathconf>().name {
                    PC_LINK_MAX => LINK_MAX as isize,
                    PC_NAME_MAX => NAME_MAX as isize,
                    PC_PATH_MAX => puffs_rs::abi::consts::MAXPATHLEN as isize,
                    PC_CHOWN_RESTRICTED | PC_NO_TRUNC => 1,
                    _ => return Err(EINVAL),
                };
                Ok(request.reply_with::<vn::Pathconf>(|reply| reply.retval = value))
            }
            Ok(VnOp::Inactive) => {
                let unlinked = self.inode(cookie)?.va.nlink == 0;
                let mut reply = request.reply_header();
                if unlinked {
                    reply.req_mut().setbacks |= SETBACK_NOREF_N1;
                }
                Ok(reply)
            }
            Ok(VnOp::Reclaim) => {
                let times = request.get::<vn::Reclaim>().nlookup;
                let inode = self.inode(cookie)?;
                inode.known -= i64::from(times);
                if inode.va.nlink == 0 {
                    self.inodes.remove(&cookie.0);
                }
                Ok(request.reply_header())
            }
            Ok(VnOp::Seek) => {
                // lseek(2) leaves that to the file system.
                if request.get::<vn::Seek>().newoff < 0 {
                    return Err(EINVAL);
                }
                Ok(request.reply_header())
            }
            Ok(VnOp::Getextattr) => self.getextattr(request, cookie),
            Ok(VnOp::Setextattr) => self.setextattr(request, cookie),
            Ok(VnOp::Deleteextattr) => self.deleteextattr(request, cookie),
            Ok(VnOp::Listextattr) => self.listextattr(request, cookie),
            Ok(VnOp::Close | VnOp::Mmap | VnOp::Fsync | VnOp::Print | VnOp::Abortop) => {
                self.inode(cookie)?;
                Ok(request.reply_header())
            }
            _ => Err(EOPNOTSUPP),
        }
    }
}
