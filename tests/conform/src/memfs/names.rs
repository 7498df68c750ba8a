//! Names: finding, making, moving and removing them.

use super::{
    data::Data, name_of, Directory, Kind, MemFs, Outcome, Who, EEXIST, EINVAL, EISDIR, EMLINK,
    ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXECUTE, LINK_MAX, WRITE,
};
use puffs_rs::abi::{consts::MAXPATHLEN, vn, Cookie, Kcn, Kcred, Vattr, Vtype, SETBACK_NOREF_N2};
use puffs_script::Frame;

/// The set-group-id bit.
const SET_GID: u32 = 0o2000;

impl MemFs {
    pub(super) fn lookup(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Lookup>();
        let (name, who) = (name_of(&asked.cn)?, Who::of(&asked.cn_cred));
        self.dir(dir)?;
        self.may(dir, &who, EXECUTE)?;
        let directory = self.dir(dir)?;
        let found = if name == b".." {
            directory.parent
        } else {
            directory.get(&name).ok_or(ENOENT)?
        };
        let va = self.attributes(found)?;
        self.inode(found)?.known += 1;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Lookup>(|reply| {
            reply.newnode = found;
            reply.vtype = va.vtype;
            reply.size = va.size as i64;
            reply.rdev = va.rdev;
            reply.va = va;
            reply.va_ttl = ttl;
            reply.cn_ttl = ttl;
        }))
    }

    /// Makes a file, and tells the kernel of it.
    fn make(
        &mut self,
        dir: Cookie,
        (cn, cred): (&Kcn, &Kcred),
        va: &Vattr,
        kind: Kind,
    ) -> Result<(Cookie, Vattr), i32> {
        let (name, who) = (name_of(cn)?, Who::of(cred));
        self.may_add(dir, &name, &who)?;
        let vtype = Vtype::try_from(va.vtype).map_err(|_| EINVAL)?;
        let is_dir = vtype == Vtype::Dir;
        if is_dir && self.inode(dir)?.va.nlink >= LINK_MAX {
            return Err(EMLINK);
        }
        let made = self.add(kind, vtype, va.mode);
        // The group is the directory's, as everywhere in BSD.
        let gid = self.inode(dir)?.va.gid;
        let inode = self.inode(made)?;
        inode.va.uid = who.uid();
        inode.va.gid = gid;
        if matches!(vtype, Vtype::Blk | Vtype::Chr) {
            inode.va.rdev = va.rdev;
        }
        if !who.is_root() && !who.is_member(gid) && !is_dir {
            inode.va.mode &= !SET_GID;
        }
        inode.known = 1;
        self.dir(dir)?.insert(name, made);
        if is_dir {
            self.inode(dir)?.va.nlink += 1;
        }
        self.changed(dir)?;
        let va = self.attributes(made)?;
        Ok((made, va))
    }

    /// May a name be made in a directory?
    fn may_add(&mut self, dir: Cookie, name: &[u8], who: &Who) -> Result<(), i32> {
        self.dir(dir)?;
        self.may(dir, who, WRITE | EXECUTE)?;
        if self.inode(dir)?.va.nlink == 0 {
            // It was removed.
            return Err(ENOENT);
        }
        match self.dir(dir)?.get(name) {
            Some(_) => Err(EEXIST),
            None => Ok(()),
        }
    }

    /// A directory has another content.
    fn changed(&mut self, dir: Cookie) -> Result<(), i32> {
        let now = self.now();
        let va = &mut self.inode(dir)?.va;
        (va.mtime, va.ctime) = (now, now);
        Ok(())
    }

    pub(super) fn create(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Create>();
        let (name, va) = ((&asked.cn, &asked.cn_cred), asked.va);
        // A file, or a socket.
        let kind = if va.vtype == u32::from(Vtype::Sock) {
            Kind::Special
        } else {
            Kind::File(Data::default())
        };
        let (made, va) = self.make(dir, name, &va, kind)?;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Create>(|reply| {
            (reply.newnode, reply.va, reply.va_ttl, reply.cn_ttl) = (made, va, ttl, ttl);
        }))
    }

    pub(super) fn mknod(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Mknod>();
        let (name, va) = ((&asked.cn, &asked.cn_cred), asked.va);
        let (made, va) = self.make(dir, name, &va, Kind::Special)?;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Mknod>(|reply| {
            (reply.newnode, reply.va, reply.va_ttl, reply.cn_ttl) = (made, va, ttl, ttl);
        }))
    }

    pub(super) fn mkdir(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Mkdir>();
        let (name, va) = ((&asked.cn, &asked.cn_cred), asked.va);
        let (made, va) = self.make(dir, name, &va, Kind::Dir(Directory::new(dir)))?;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Mkdir>(|reply| {
            (reply.newnode, reply.va, reply.va_ttl, reply.cn_ttl) = (made, va, ttl, ttl);
        }))
    }

    pub(super) fn symlink(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Symlink>();
        let (name, va) = ((&asked.cn, &asked.cn_cred), asked.va);
        let end = asked.link.iter().position(|&byte| byte == 0);
        let target = asked.link[..end.ok_or(EINVAL)?].to_vec();
        let (made, va) = self.make(dir, name, &va, Kind::Link(target))?;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Symlink>(|reply| {
            (reply.newnode, reply.va, reply.va_ttl, reply.cn_ttl) = (made, va, ttl, ttl);
        }))
    }

    pub(super) fn readlink(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let Kind::Link(target) = &self.inode(cookie)?.kind else {
            return Err(EINVAL);
        };
        let len = target.len().min(MAXPATHLEN);
        Ok(request.reply_with::<vn::Readlink>(|reply| {
            reply.linklen = len;
            reply.link[..len].copy_from_slice(&target[..len]);
        }))
    }

    pub(super) fn link(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Link>();
        let (name, who) = (name_of(&asked.cn)?, Who::of(&asked.cn_cred));
        let target = asked.cookie_targ;
        self.may_add(dir, &name, &who)?;
        let now = self.now();
        let inode = self.inode(target)?;
        if inode.is_dir() || inode.is_immutable() {
            return Err(EPERM);
        }
        match inode.va.nlink {
            // Its last name went while this one was under way.
            0 => return Err(ENOENT),
            LINK_MAX.. => return Err(EMLINK),
            _ => inode.va.nlink += 1,
        }
        inode.va.ctime = now;
        self.dir(dir)?.insert(name, target);
        self.changed(dir)?;
        Ok(request.reply_header())
    }

    /// A file has lost a name; it stays for as long as the kernel knows it. Is
    /// it without any now?
    fn lose(&mut self, dir: Cookie, file: Cookie) -> Result<bool, i32> {
        let now = self.now();
        let inode = self.inode(file)?;
        let is_dir = inode.is_dir();
        inode.va.nlink = if is_dir { 0 } else { inode.va.nlink - 1 };
        inode.va.ctime = now;
        let gone = inode.va.nlink == 0;
        if gone && inode.known <= 0 {
            self.inodes.remove(&file.0);
        }
        if is_dir {
            self.inode(dir)?.va.nlink -= 1;
        }
        Ok(gone)
    }

    pub(super) fn remove(
        &mut self,
        request: &Frame,
        dir: Cookie,
        name: &[u8],
        target: Cookie,
        who: &Who,
        rmdir: bool,
    ) -> Outcome {
        let found = self.dir(dir)?.get(name);
        // Two may remove at once what both have found.
        if found != Some(target) && name != b".." {
            return Err(ENOENT);
        }
        match (&self.inode(target)?.kind, rmdir) {
            (Kind::Dir(directory), true) if !directory.is_empty() => return Err(ENOTEMPTY),
            (Kind::Dir(_), false) => return Err(EPERM),
            (Kind::Dir(_), true) | (_, false) => {}
            (_, true) => return Err(ENOTDIR),
        }
        self.may_remove(dir, target, who)?;
        self.dir(dir)?.remove(name);
        self.changed(dir)?;
        let gone = self.lose(dir, target)?;
        let mut reply = request.reply_header();
        if gone {
            reply.req_mut().setbacks |= SETBACK_NOREF_N2;
        }
        Ok(reply)
    }

    pub(super) fn rename(&mut self, request: &Frame, dir: Cookie) -> Outcome {
        let asked = request.get::<vn::Rename>();
        let (from, to) = (name_of(&asked.cn_src)?, name_of(&asked.cn_targ)?);
        let who = Who::of(&asked.cn_src_cred);
        let (source, to_dir) = (asked.cookie_src, asked.cookie_targdir);
        // What the names stand for now, not when the kernel looked them up.
        if self.dir(dir)?.get(&from) != Some(source) {
            return Err(ENOENT);
        }
        let over = self.dir(to_dir)?.get(&to);
        self.may_remove(dir, source, &who)?;
        self.may(to_dir, &who, WRITE | EXECUTE)?;
        if self.inode(to_dir)?.va.nlink == 0 {
            return Err(ENOENT);
        }
        let is_dir = self.inode(source)?.is_dir();
        if is_dir {
            if self.is_within(to_dir, source)? {
                return Err(EINVAL);
            }
            if dir != to_dir {
                // What `..` in it stands for changes.
                self.may(source, &who, WRITE)?;
            }
        }
        if let Some(over) = over {
            self.may_remove(to_dir, over, &who)?;
            if over == source {
                if dir == to_dir && from == to {
                    return Ok(request.reply_header());
                }
                // Of two names of a file one goes: so rename(2) of NetBSD has it.
                self.dir(dir)?.remove(&from);
                self.changed(dir)?;
                self.lose(dir, source)?;
                return Ok(request.reply_header());
            }
            match (&self.inode(over)?.kind, is_dir) {
                (Kind::Dir(_), false) => return Err(EISDIR),
                (Kind::Dir(directory), true) if !directory.is_empty() => return Err(ENOTEMPTY),
                (Kind::Dir(_), true) | (_, false) => {}
                (_, true) => return Err(ENOTDIR),
            }
        } else if is_dir && dir != to_dir && self.inode(to_dir)?.va.nlink >= LINK_MAX {
            return Err(EMLINK);
        }
        self.dir(dir)?.remove(&from);
        self.dir(to_dir)?.insert(to, source);
        if let Some(over) = over {
            self.lose(to_dir, over)?;
        }
        if let Kind::Dir(directory) = &mut self.inode(source)?.kind {
            directory.parent = to_dir;
            self.inode(dir)?.va.nlink -= 1;
            self.inode(to_dir)?.va.nlink += 1;
        }
        self.changed(dir)?;
        self.changed(to_dir)?;
        let now = self.now();
        self.inode(source)?.va.ctime = now;
        Ok(request.reply_header())
    }

    /// Is a directory the other one, or somewhere below it?
    fn is_within(&mut self, dir: Cookie, other: Cookie) -> Result<bool, i32> {
        let mut at = dir;
        loop {
            if at == other {
                return Ok(true);
            }
            let parent = self.dir(at)?.parent;
            if parent == at {
                return Ok(false);
            }
            at = parent;
        }
    }
}
