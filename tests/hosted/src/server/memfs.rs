//! A file system in the memory of its server.

use super::{Answer, Frame, ROOT};
use crate::kernel::HZ;
use puffs_rs::abi::{
    self,
    consts::{MAXPATHLEN, VNOVAL},
    vfs, vn, Cookie, Kcn, OpClass, Timespec, Vattr, VfsOp, VnOp, Vtype, SETBACK_NOREF_N1,
    SETBACK_NOREF_N2,
};
use std::collections::{BTreeMap, HashMap};
use zerocopy::FromZeros;

const POLLERR: i32 = puffs_rs::kern::sys::PK_POLLERR as i32;
const POLLHUP: i32 = puffs_rs::kern::sys::PK_POLLHUP as i32;

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 45;
const ESTALE: i32 = 70;
const ENOTEMPTY: i32 = 66;
const ENOATTR: i32 = 93;
const EBUSY: i32 = 16;

/// The longest answer to pathconf(2)'s `_PC_NAME_MAX`.
const NAME_MAX: isize = 255;

/// How many blocks of 4096 bytes there are.
const BLOCKS: u64 = 4096;
const BLOCK: u64 = 4096;

type Outcome = Result<Frame, i32>;

/// What a file is.
enum Kind {
    File(Vec<u8>),
    Dir {
        entries: BTreeMap<Vec<u8>, usize>,
        parent: usize,
    },
    Link(Vec<u8>),
    Special,
}

struct Inode {
    kind: Kind,
    va: Vattr,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How often the kernel was told of it.
    known: usize,
}

/// The file system; its method [`serve`](Self::serve) is a server's loop body.
pub struct MemFs {
    inodes: HashMap<usize, Inode>,
    next: usize,
    refuse_unmount: bool,
    ttl: Option<Timespec>,
}

impl Default for MemFs {
    fn default() -> Self {
        MemFs::new()
    }
}

fn now() -> Timespec {
    let now = crate::rt::wall_clock();
    Timespec {
        sec: now.as_secs() as i64,
        nsec: now.subsec_nanos() as isize,
    }
}

fn name_of(cn: &Kcn) -> Result<Vec<u8>, i32> {
    cn.name.get(..cn.namelen).map(<[u8]>::to_vec).ok_or(EINVAL)
}

impl MemFs {
    /// A file system with an empty root.
    pub fn new() -> MemFs {
        let mut fs = MemFs {
            inodes: HashMap::new(),
            next: ROOT.0,
            refuse_unmount: false,
            ttl: None,
        };
        let kind = Kind::Dir {
            entries: BTreeMap::new(),
            parent: ROOT.0,
        };
        fs.add(kind, Vtype::Dir, 0o755);
        fs
    }

    /// Refuses to be unmounted.
    #[must_use]
    pub fn refusing_unmount(mut self) -> MemFs {
        self.refuse_unmount = true;
        self
    }

    /// Lets names and attributes be cached for so many ticks.
    #[must_use]
    pub fn with_ttl(mut self, ticks: i64) -> MemFs {
        self.ttl = Some(Timespec {
            sec: ticks / HZ,
            nsec: (ticks % HZ * (1_000_000_000 / HZ)) as isize,
        });
        self
    }

    /// How many files there are, the root among them.
    pub fn files(&self) -> usize {
        self.inodes.len()
    }

    /// Answers one request.
    pub fn serve(&mut self, request: &Frame) -> Answer {
        if request.is_response() {
            return Answer::Nothing;
        }
        let outcome = match request.class() {
            Some(OpClass::Vfs) => self.vfs(request),
            Some(OpClass::Vn) => self.vn(request),
            // What the kernel tells needs no answer.
            _ => return Answer::Nothing,
        };
        if request.is_faf() {
            return Answer::Nothing;
        }
        Answer::Reply(outcome.unwrap_or_else(|errno| request.reply_error(errno)))
    }

    fn add(&mut self, kind: Kind, vtype: Vtype, mode: u32) -> usize {
        let cookie = self.next;
        self.next += 0x100;
        let mut va = Vattr::new_zeroed();
        va.vtype = vtype.into();
        va.mode = mode;
        va.nlink = if vtype == Vtype::Dir { 2 } else { 1 };
        va.fileid = cookie as u64;
        va.blocksize = BLOCK as isize;
        (va.atime, va.mtime, va.ctime, va.birthtime) = (now(), now(), now(), now());
        let inode = Inode {
            kind,
            va,
            attributes: BTreeMap::new(),
            known: 0,
        };
        self.inodes.insert(cookie, inode);
        cookie
    }

    fn inode(&mut self, cookie: Cookie) -> Result<&mut Inode, i32> {
        self.inodes.get_mut(&cookie.0).ok_or(ESTALE)
    }

    fn dir(&mut self, cookie: Cookie) -> Result<(&mut BTreeMap<Vec<u8>, usize>, usize), i32> {
        match &mut self.inode(cookie)?.kind {
            Kind::Dir { entries, parent } => Ok((entries, *parent)),
            _ => Err(ENOTDIR),
        }
    }

    fn attributes(&mut self, cookie: usize) -> Result<Vattr, i32> {
        let inode = self.inode(Cookie(cookie))?;
        let mut va = inode.va;
        va.size = match &inode.kind {
            Kind::File(data) => data.len() as u64,
            Kind::Dir { entries, .. } => entries.len() as u64 * 32,
            Kind::Link(target) => target.len() as u64,
            Kind::Special => 0,
        };
        va.bytes = va.size;
        Ok(va)
    }

    // The file system.

    fn vfs(&mut self, request: &Frame) -> Outcome {
        match VfsOp::try_from(request.req().optype) {
            Ok(VfsOp::Unmount) => {
                let force = crate::kernel::MNT_FORCE;
                let forced = request.get::<vfs::Unmount>().flags & force != 0;
                if self.refuse_unmount && !forced {
                    Err(EBUSY)
                } else {
                    Ok(request.reply_header())
                }
            }
            Ok(VfsOp::Statvfs) => {
                let used: u64 = self
                    .inodes
                    .values()
                    .map(|inode| match &inode.kind {
                        Kind::File(data) => (data.len() as u64).div_ceil(BLOCK),
                        _ => 1,
                    })
                    .sum();
                let files = self.inodes.len() as u64;
                Ok(request.reply_with::<vfs::Statvfs>(|reply| {
                    reply.sb.bsize = BLOCK as usize;
                    reply.sb.frsize = BLOCK as usize;
                    reply.sb.blocks = BLOCKS;
                    reply.sb.bfree = BLOCKS - used.min(BLOCKS);
                    reply.sb.bavail = reply.sb.bfree;
                    reply.sb.files = files;
                    reply.sb.namemax = NAME_MAX as usize;
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
                let cookie = u64::from_ne_bytes(handle) as usize;
                let va = self.attributes(cookie)?;
                self.inode(Cookie(cookie))?.known += 1;
                Ok(request.reply_with::<vfs::FhToNode>(|reply| {
                    reply.fhcookie = Cookie(cookie);
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

    // Files.

    fn vn(&mut self, request: &Frame) -> Outcome {
        let cookie = request.req().cookie;
        match VnOp::try_from(request.req().optype) {
            Ok(VnOp::Lookup) => self.lookup(request, cookie),
            Ok(VnOp::Create) => {
                let asked = request.get::<vn::Create>();
                let (name, va) = (name_of(&asked.cn)?, asked.va);
                let made = self.make(cookie, name, &va, Kind::File(Vec::new()))?;
                Ok(request.reply_with::<vn::Create>(|reply| reply.newnode = made))
            }
            Ok(VnOp::Mknod) => {
                let asked = request.get::<vn::Mknod>();
                let (name, va) = (name_of(&asked.cn)?, asked.va);
                let made = self.make(cookie, name, &va, Kind::Special)?;
                Ok(request.reply_with::<vn::Mknod>(|reply| reply.newnode = made))
            }
            Ok(VnOp::Mkdir) => {
                let asked = request.get::<vn::Mkdir>();
                let (name, va) = (name_of(&asked.cn)?, asked.va);
                let kind = Kind::Dir {
                    entries: BTreeMap::new(),
                    parent: cookie.0,
                };
                let made = self.make(cookie, name, &va, kind)?;
                Ok(request.reply_with::<vn::Mkdir>(|reply| reply.newnode = made))
            }
            Ok(VnOp::Symlink) => {
                let asked = request.get::<vn::Symlink>();
                let (name, va) = (name_of(&asked.cn)?, asked.va);
                let len = asked
                    .link
                    .iter()
                    .position(|&byte| byte == 0)
                    .ok_or(EINVAL)?;
                let target = asked.link[..len].to_vec();
                let made = self.make(cookie, name, &va, Kind::Link(target))?;
                Ok(request.reply_with::<vn::Symlink>(|reply| reply.newnode = made))
            }
            Ok(VnOp::Readlink) => {
                let Kind::Link(target) = &self.inode(cookie)?.kind else {
                    return Err(EINVAL);
                };
                Ok(request.reply_with::<vn::Readlink>(|reply| {
                    reply.linklen = target.len();
                    reply.link[..target.len()].copy_from_slice(target);
                }))
            }
            Ok(VnOp::Remove) => {
                let asked = request.get::<vn::Remove>();
                self.remove(
                    request,
                    cookie,
                    name_of(&asked.cn)?,
                    asked.cookie_targ,
                    false,
                )
            }
            Ok(VnOp::Rmdir) => {
                let asked = request.get::<vn::Rmdir>();
                self.remove(
                    request,
                    cookie,
                    name_of(&asked.cn)?,
                    asked.cookie_targ,
                    true,
                )
            }
            Ok(VnOp::Link) => {
                let asked = request.get::<vn::Link>();
                let (name, target) = (name_of(&asked.cn)?, asked.cookie_targ);
                if self.dir(cookie)?.0.contains_key(&name) {
                    return Err(EEXIST);
                }
                self.inode(target)?.va.nlink += 1;
                self.dir(cookie)?.0.insert(name, target.0);
                Ok(request.reply_header())
            }
            Ok(VnOp::Rename) => self.rename(request, cookie),
            Ok(VnOp::Open) => Ok(request.reply_with::<vn::Open>(|reply| reply.oflags = 0)),
            Ok(VnOp::Getattr) => {
                let va = self.attributes(cookie.0)?;
                let ttl = self.ttl.unwrap_or_default();
                Ok(request.reply_with::<vn::Getattr>(|reply| {
                    reply.va = va;
                    reply.va_ttl = ttl;
                }))
            }
            Ok(VnOp::Setattr) => self.setattr(request, cookie),
            Ok(VnOp::Read) => self.read(request, cookie),
            Ok(VnOp::Write) => self.write(request, cookie),
            Ok(VnOp::Readdir) => self.readdir(request, cookie),
            Ok(VnOp::Poll) => {
                // All that is asked for is there, and no error is.
                Ok(request.reply_with::<vn::Poll>(|reply| reply.events &= !(POLLERR | POLLHUP)))
            }
            Ok(VnOp::Pathconf) => {
                Ok(request.reply_with::<vn::Pathconf>(|reply| reply.retval = NAME_MAX))
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
                if self.inode(cookie)?.va.nlink == 0 {
                    self.inodes.remove(&cookie.0);
                }
                Ok(request.reply_header())
            }
            Ok(VnOp::Getextattr) => {
                let asked = request.get::<vn::Getextattr>();
                let (name, room, wants_size) = (text(&asked.attrname), asked.resid, asked.datasize);
                let value = self.inode(cookie)?.attributes.get(&name).ok_or(ENOATTR)?;
                let part = &value[..value.len().min(room)];
                Ok(request.reply_data::<vn::Getextattr>(part, |reply| {
                    reply.resid = room - part.len();
                    reply.datasize = if wants_size != 0 { value.len() } else { 0 };
                }))
            }
            Ok(VnOp::Setextattr) => {
                let asked = request.get::<vn::Setextattr>();
                let (name, len) = (text(&asked.attrname), asked.resid);
                let value = request
                    .payload::<vn::Setextattr>(0)
                    .get(..len)
                    .ok_or(EINVAL)?;
                self.inode(cookie)?.attributes.insert(name, value.to_vec());
                Ok(request.reply_with::<vn::Setextattr>(|reply| reply.resid = 0))
            }
            Ok(VnOp::Deleteextattr) => {
                let name = text(&request.get::<vn::Deleteextattr>().attrname);
                self.inode(cookie)?
                    .attributes
                    .remove(&name)
                    .ok_or(ENOATTR)?;
                Ok(request.reply_header())
            }
            Ok(VnOp::Listextattr) => {
                let asked = request.get::<vn::Listextattr>();
                let (room, wants_size) = (asked.resid, asked.datasize);
                let list: Vec<u8> = self
                    .inode(cookie)?
                    .attributes
                    .keys()
                    .flat_map(|name| name.iter().copied().chain([0]))
                    .collect();
                let part = &list[..list.len().min(room)];
                Ok(request.reply_data::<vn::Listextattr>(part, |reply| {
                    reply.resid = room - part.len();
                    reply.datasize = if wants_size != 0 { list.len() } else { 0 };
                }))
            }
            Ok(
                VnOp::Close
                | VnOp::Access
                | VnOp::Mmap
                | VnOp::Fsync
                | VnOp::Seek
                | VnOp::Print
                | VnOp::Advlock
                | VnOp::Abortop
                | VnOp::Fallocate
                | VnOp::Fdiscard,
            ) => {
                self.inode(cookie)?;
                Ok(request.reply_header())
            }
            _ => Err(EOPNOTSUPP),
        }
    }

    fn lookup(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let name = name_of(&request.get::<vn::Lookup>().cn)?;
        let (entries, parent) = self.dir(cookie)?;
        let found = if name == b".." {
            parent
        } else {
            *entries.get(&name).ok_or(ENOENT)?
        };
        let va = self.attributes(found)?;
        self.inode(Cookie(found))?.known += 1;
        let ttl = self.ttl.unwrap_or_default();
        Ok(request.reply_with::<vn::Lookup>(|reply| {
            reply.newnode = Cookie(found);
            reply.vtype = va.vtype;
            reply.size = va.size as i64;
            reply.rdev = va.rdev;
            reply.va = va;
            reply.va_ttl = ttl;
            reply.cn_ttl = ttl;
        }))
    }

    fn make(&mut self, dir: Cookie, name: Vec<u8>, va: &Vattr, kind: Kind) -> Result<Cookie, i32> {
        if name.len() >= MAXPATHLEN || self.dir(dir)?.0.contains_key(&name) {
            return Err(EEXIST);
        }
        let vtype = Vtype::try_from(va.vtype).map_err(|_| EINVAL)?;
        let made = self.add(kind, vtype, va.mode);
        self.inode(Cookie(made))?.va.rdev = va.rdev;
        self.inode(Cookie(made))?.known = 1;
        self.dir(dir)?.0.insert(name, made);
        if vtype == Vtype::Dir {
            self.inode(dir)?.va.nlink += 1;
        }
        Ok(Cookie(made))
    }

    /// Takes a name away; the file stays for as long as the kernel knows it.
    fn unlink(&mut self, dir: Cookie, name: &[u8]) -> Result<bool, i32> {
        let target = *self.dir(dir)?.0.get(name).ok_or(ENOENT)?;
        let is_dir = match &self.inode(Cookie(target))?.kind {
            Kind::Dir { entries, .. } if !entries.is_empty() => return Err(ENOTEMPTY),
            Kind::Dir { .. } => true,
            _ => false,
        };
        self.dir(dir)?.0.remove(name);
        if is_dir {
            // Two may remove at once what was found by both.
            let inode = self.inode(dir)?;
            inode.va.nlink = inode.va.nlink.saturating_sub(1);
        }
        let inode = self.inode(Cookie(target))?;
        inode.va.nlink = if is_dir {
            0
        } else {
            inode.va.nlink.saturating_sub(1)
        };
        let gone = inode.va.nlink == 0;
        if gone && inode.known == 0 {
            self.inodes.remove(&target);
        }
        Ok(gone)
    }

    fn remove(
        &mut self,
        request: &Frame,
        dir: Cookie,
        name: Vec<u8>,
        target: Cookie,
        rmdir: bool,
    ) -> Outcome {
        let is_dir = matches!(self.inode(target)?.kind, Kind::Dir { .. });
        if is_dir != rmdir {
            return Err(if rmdir { ENOTDIR } else { EISDIR });
        }
        let gone = self.unlink(dir, &name)?;
        let mut reply = request.reply_header();
        if gone {
            reply.req_mut().setbacks |= SETBACK_NOREF_N2;
        }
        Ok(reply)
    }

    fn rename(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Rename>();
        let (from, to) = (name_of(&asked.cn_src)?, name_of(&asked.cn_targ)?);
        let (source, to_dir) = (asked.cookie_src, asked.cookie_targdir);
        self.dir(dir)?.0.get(&from).ok_or(ENOENT)?;
        if self.dir(to_dir)?.0.contains_key(&to) {
            self.unlink(to_dir, &to)?;
        }
        self.dir(dir)?.0.remove(&from);
        self.dir(to_dir)?.0.insert(to, source.0);
        if let Kind::Dir { parent, .. } = &mut self.inode(source)?.kind {
            *parent = to_dir.0;
            self.inode(dir)?.va.nlink -= 1;
            self.inode(to_dir)?.va.nlink += 1;
        }
        Ok(request.reply_header())
    }

    fn setattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        const UNSET: u32 = VNOVAL as u32;
        const NO_TIME: i64 = VNOVAL as i64;

        let asked = request.get::<vn::Setattr>().va;
        let inode = self.inode(cookie)?;
        let set = |to: &mut u32, from: u32| {
            if from != UNSET {
                *to = from;
            }
        };
        set(&mut inode.va.mode, asked.mode);
        set(&mut inode.va.uid, asked.uid);
        set(&mut inode.va.gid, asked.gid);
        for (to, from) in [
            (&mut inode.va.atime, asked.atime),
            (&mut inode.va.mtime, asked.mtime),
            (&mut inode.va.ctime, asked.ctime),
        ] {
            if from.sec != NO_TIME {
                *to = from;
            }
        }
        if asked.size != VNOVAL as u64 {
            match &mut inode.kind {
                Kind::File(data) if asked.size <= BLOCKS * BLOCK => {
                    data.resize(asked.size as usize, 0);
                }
                Kind::Dir { .. } => {}
                _ => return Err(EINVAL),
            }
        }
        let va = self.attributes(cookie.0)?;
        let ttl = self.ttl.unwrap_or_default();
        Ok(request.reply_with::<vn::Setattr>(|reply| {
            reply.va = va;
            reply.va_ttl = ttl;
        }))
    }

    fn read(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let (offset, resid) = range(request)?;
        let Kind::File(data) = &self.inode(cookie)?.kind else {
            return Err(EISDIR);
        };
        let start = offset.min(data.len());
        let part = &data[start..data.len().min(start + resid)];
        Ok(request.reply_data::<vn::Read>(part, |reply| reply.resid = resid - part.len()))
    }

    fn write(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let (offset, resid) = range(request)?;
        let from = request.payload::<vn::Write>(0).get(..resid).ok_or(EINVAL)?;
        let Kind::File(data) = &mut self.inode(cookie)?.kind else {
            return Err(EISDIR);
        };
        let end = offset + resid;
        if end as u64 > BLOCKS * BLOCK {
            // ENOSPC
            return Err(28);
        }
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset..end].copy_from_slice(from);
        Ok(request.reply_with::<vn::Write>(|reply| reply.resid = 0))
    }

    fn readdir(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Readdir>();
        let (room, max, dentoff) = (asked.resid, asked.ncookies, asked.dentoff);
        let start = usize::try_from(asked.offset).map_err(|_| EINVAL)?;
        let (entries, parent) = self.dir(cookie)?;
        let mut all = vec![(b".".to_vec(), cookie.0), (b"..".to_vec(), parent)];
        all.extend(entries.iter().map(|(name, cookie)| (name.clone(), *cookie)));
        let mut out = Vec::new();
        let mut cookies: Vec<u8> = Vec::new();
        let mut next = start;
        for (name, file) in all.iter().skip(start) {
            let vtype = self
                .inodes
                .get(file)
                .map_or(Vtype::Non.into(), |inode| inode.va.vtype);
            let entry = dirent(name, *file as u64, vtype);
            if out.len() + entry.len() > room {
                break;
            }
            out.extend(entry);
            next += 1;
            if cookies.len() / 8 < max {
                cookies.extend((next as u64).to_ne_bytes());
            }
        }
        let eof = next >= all.len();
        let ncookies = cookies.len() / 8;
        let mut data = cookies;
        data.resize(dentoff, 0);
        data.extend(&out);
        Ok(request.reply_data::<vn::Readdir>(&data, |reply| {
            reply.offset = next as i64;
            reply.resid = room - out.len();
            reply.ncookies = ncookies;
            reply.eofflag = i32::from(eof);
        }))
    }
}

/// The offset and the length of a read or a write.
fn range(request: &Frame) -> Result<(usize, usize), i32> {
    // The trailing padding of the struct may be cut off.
    let mut whole = request.clone();
    whole.resize(whole.len().max(size_of::<vn::Read>()));
    let asked = whole.get::<vn::Read>();
    let offset = usize::try_from(asked.offset).map_err(|_| EINVAL)?;
    Ok((offset, asked.resid))
}

fn text(name: &[u8]) -> Vec<u8> {
    name.iter().copied().take_while(|&byte| byte != 0).collect()
}

/// One entry of a directory.
pub fn dirent(name: &[u8], fileno: u64, vtype: u32) -> Vec<u8> {
    // DT_DIR, DT_REG, DT_LNK, and DT_UNKNOWN for the rest.
    let kind = match Vtype::try_from(vtype) {
        Ok(Vtype::Dir) => 4,
        Ok(Vtype::Reg) => 8,
        Ok(Vtype::Lnk) => 10,
        _ => 0,
    };
    let head = size_of::<vn::DirentHead>();
    let len = (head + name.len() + 1).next_multiple_of(8);
    let mut entry = Vec::with_capacity(len);
    entry.extend(fileno.to_ne_bytes());
    entry.extend((len as u16).to_ne_bytes());
    entry.extend((name.len() as u16).to_ne_bytes());
    entry.push(kind);
    entry.extend(name);
    entry.resize(len, 0);
    entry
}

const _: () = assert!(abi::SETBACK_MASK & SETBACK_NOREF_N1 != 0);
