//! Attributes, those of `stat(2)` and the extended ones.

use super::{
    data::SIZE_MAX, text, Kind, MemFs, Outcome, Who, BLOCK, EFBIG, EFTYPE, EINVAL, EISDIR, ENOATTR,
    EPERM, LIST_LENPREFIX, READ, WRITE,
};
use puffs_rs::abi::{consts::VNOVAL, vn, Cookie, Timespec, Vattr, VA_UTIMES_NULL};
use puffs_script::Frame;

const UNSET: u32 = VNOVAL as u32;
const NO_TIME: i64 = VNOVAL as i64;
const NO_SIZE: u64 = VNOVAL as u64;

const STICKY: u32 = 0o1000;
const SET_GID: u32 = 0o2000;

/// All bits of a mode that are permissions.
const MODE: u32 = 0o7777;

fn is_set(time: Timespec) -> bool {
    time.sec != NO_TIME
}

impl MemFs {
    pub(super) fn attributes(&mut self, cookie: Cookie) -> Result<Vattr, i32> {
        let inode = self.inode(cookie)?;
        let mut va = inode.va;
        (va.size, va.bytes) = match &inode.kind {
            Kind::File(data) => (data.size(), data.blocks() * BLOCK),
            Kind::Dir(directory) => (directory.len() as u64 * 32, BLOCK),
            Kind::Link(target) => (target.len() as u64, 0),
            Kind::Special => (0, 0),
        };
        Ok(va)
    }

    pub(super) fn getattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let va = self.attributes(cookie)?;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Getattr>(|reply| {
            reply.va = va;
            reply.va_ttl = ttl;
        }))
    }

    pub(super) fn setattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Setattr>();
        let (va, who) = (asked.va, Who::of(&asked.cred));
        self.may_change(cookie, &va, &who)?;
        if va.size != NO_SIZE {
            self.resize(cookie, va.size)?;
        }
        let now = self.now();
        let own = &mut self.inode(cookie)?.va;
        let mut changed = false;
        for (to, from) in [
            (&mut own.mode, va.mode & MODE),
            (&mut own.uid, va.uid),
            (&mut own.gid, va.gid),
        ]
        .into_iter()
        .zip([va.mode, va.uid, va.gid])
        .filter_map(|(pair, asked)| (asked != UNSET).then_some(pair))
        {
            *to = from;
            changed = true;
        }
        if va.flags != VNOVAL as usize {
            own.flags = va.flags;
            changed = true;
        }
        if changed {
            own.ctime = now;
        }
        for (to, from) in [
            (&mut own.atime, va.atime),
            (&mut own.mtime, va.mtime),
            (&mut own.birthtime, va.birthtime),
        ] {
            if is_set(from) {
                *to = from;
                own.ctime = now;
            }
        }
        if is_set(va.ctime) {
            own.ctime = va.ctime;
        }
        let va = self.attributes(cookie)?;
        let ttl = self.ttl;
        Ok(request.reply_with::<vn::Setattr>(|reply| {
            reply.va = va;
            reply.va_ttl = ttl;
        }))
    }

    /// May these attributes be set?
    fn may_change(&mut self, cookie: Cookie, va: &Vattr, who: &Who) -> Result<(), i32> {
        let inode = self.inode(cookie)?;
        let sets_flags = va.flags != VNOVAL as usize;
        if inode.is_immutable() && !sets_flags && !matches!(who, Who::Kernel) {
            return Err(EPERM);
        }
        if who.is_root() {
            return Ok(());
        }
        let owns = who.owns(inode);
        let sets_ids = va.uid != UNSET || va.gid != UNSET;
        if (va.mode != UNSET || sets_ids || sets_flags) && !owns {
            return Err(EPERM);
        }
        if va.mode != UNSET {
            if va.mode & STICKY != 0 && !inode.is_dir() {
                return Err(EFTYPE);
            }
            if va.mode & SET_GID != 0 && !who.is_member(inode.va.gid) {
                return Err(EPERM);
            }
        }
        let other_user = va.uid != UNSET && va.uid != inode.va.uid;
        let other_group = va.gid != UNSET && va.gid != inode.va.gid;
        if other_user || other_group && !who.is_member(va.gid) {
            return Err(EPERM);
        }
        // With a size come the times that the kernel noted down, under the name
        // of whoever sets the size.
        let sets_times = is_set(va.atime) || is_set(va.mtime);
        if sets_times && va.size == NO_SIZE && !owns {
            if va.vaflags & VA_UTIMES_NULL == 0 {
                return Err(EPERM);
            }
            inode.allows(who, WRITE)?;
        }
        Ok(())
    }

    fn resize(&mut self, cookie: Cookie, size: u64) -> Result<(), i32> {
        let now = self.now();
        let inode = self.inode(cookie)?;
        match &mut inode.kind {
            Kind::Dir(_) => Err(EISDIR),
            Kind::File(_) if size > SIZE_MAX => Err(EFBIG),
            Kind::File(data) => {
                if data.size() != size {
                    data.resize(size);
                    (inode.va.mtime, inode.va.ctime) = (now, now);
                }
                Ok(())
            }
            Kind::Link(_) | Kind::Special => Ok(()),
        }
    }

    pub(super) fn getextattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Getextattr>();
        let (name, room, wants_size) = (text(&asked.attrname), asked.resid, asked.datasize);
        let who = Who::of(&asked.cred);
        let inode = self.inode(cookie)?;
        inode.allows(&who, READ)?;
        let value = inode.attributes.get(&name).ok_or(ENOATTR)?;
        let part = &value[..value.len().min(room)];
        Ok(request.reply_data::<vn::Getextattr>(part, |reply| {
            reply.resid = room - part.len();
            reply.datasize = if wants_size != 0 { value.len() } else { 0 };
        }))
    }

    pub(super) fn setextattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Setextattr>();
        let (name, len) = (text(&asked.attrname), asked.resid);
        let who = Who::of(&asked.cred);
        let value = request.payload::<vn::Setextattr>(0);
        let value = value.get(..len).ok_or(EINVAL)?.to_vec();
        let now = self.now();
        let inode = self.inode(cookie)?;
        inode.allows(&who, WRITE)?;
        inode.attributes.insert(name, value);
        inode.va.ctime = now;
        Ok(request.reply_with::<vn::Setextattr>(|reply| reply.resid = 0))
    }

    pub(super) fn deleteextattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Deleteextattr>();
        let (name, who) = (text(&asked.attrname), Who::of(&asked.cred));
        let now = self.now();
        let inode = self.inode(cookie)?;
        inode.allows(&who, WRITE)?;
        inode.attributes.remove(&name).ok_or(ENOATTR)?;
        inode.va.ctime = now;
        Ok(request.reply_header())
    }

    pub(super) fn listextattr(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Listextattr>();
        let (room, wants_size, who) = (asked.resid, asked.datasize, Who::of(&asked.cred));
        let prefixed = asked.flag & LIST_LENPREFIX != 0;
        let inode = self.inode(cookie)?;
        inode.allows(&who, READ)?;
        let mut list = Vec::new();
        for name in inode.attributes.keys() {
            if prefixed {
                list.push(name.len() as u8);
                list.extend(name);
            } else {
                list.extend(name);
                list.push(0);
            }
        }
        let part = &list[..list.len().min(room)];
        Ok(request.reply_data::<vn::Listextattr>(part, |reply| {
            reply.resid = room - part.len();
            reply.datasize = if wants_size != 0 { list.len() } else { 0 };
        }))
    }
}
