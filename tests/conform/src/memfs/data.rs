//! What is in files.

use super::{Kind, MemFs, Outcome, Who, BLOCK, BLOCKS, EFBIG, EINVAL, EISDIR, ENOSPC, EOPNOTSUPP};
use puffs_rs::abi::{vn, Cookie, Payload};
use puffs_script::Frame;
use std::collections::BTreeMap;

/// The largest size that a file may have.
pub(super) const SIZE_MAX: u64 = i64::MAX as u64 / 2;

/// The set-user-id and set-group-id bits.
const SET_IDS: u32 = 0o6000;

/// The contents of a file: the blocks that were written, between holes.
#[derive(Default)]
pub(super) struct Data {
    blocks: BTreeMap<u64, Box<[u8]>>,
    size: u64,
}

fn block() -> Box<[u8]> {
    vec![0; BLOCK as usize].into_boxed_slice()
}

impl Data {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many blocks it takes up.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// Makes it longer, with a hole, or shorter.
    pub(super) fn resize(&mut self, size: u64) {
        self.size = size;
        self.blocks.split_off(&size.div_ceil(BLOCK));
        let (last, tail) = (size / BLOCK, (size % BLOCK) as usize);
        if let Some(block) = self.blocks.get_mut(&last) {
            block[tail..].fill(0);
        }
    }

    /// At most `len` bytes from `offset` on.
    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.size.min(offset.saturating_add(len as u64));
        let mut part = vec![0; end.saturating_sub(offset) as usize];
        let mut done = 0;
        while done < part.len() {
            let at = offset + done as u64;
            let (number, start) = (at / BLOCK, (at % BLOCK) as usize);
            let more = (BLOCK as usize - start).min(part.len() - done);
            if let Some(block) = self.blocks.get(&number) {
                part[done..done + more].copy_from_slice(&block[start..start + more]);
            }
            done += more;
        }
        part
    }

    /// How many blocks it would take up in addition to hold this range.
    fn missing(&self, offset: u64, len: usize) -> u64 {
        if len == 0 {
            return 0;
        }
        let (first, last) = (offset / BLOCK, (offset + len as u64 - 1) / BLOCK);
        last - first + 1 - self.blocks.range(first..=last).count() as u64
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (number, start) = (at / BLOCK, (at % BLOCK) as usize);
            let more = (BLOCK as usize - start).min(data.len() - done);
            let block = self.blocks.entry(number).or_insert_with(block);
            block[start..start + more].copy_from_slice(&data[done..done + more]);
            done += more;
        }
        self.size = self.size.max(offset + data.len() as u64);
    }

    /// Sees to it that there are blocks for a range.
    fn reserve(&mut self, offset: u64, len: u64) {
        for number in offset / BLOCK..(offset + len).div_ceil(BLOCK) {
            self.blocks.entry(number).or_insert_with(block);
        }
        self.size = self.size.max(offset + len);
    }

    /// Makes a hole of a range, as far as it is in the file.
    fn discard(&mut self, offset: u64, len: u64) {
        let end = self.size.min(offset.saturating_add(len));
        let mut at = offset;
        while at < end {
            let (number, start) = (at / BLOCK, at % BLOCK);
            let more = (BLOCK - start).min(end - at);
            if more == BLOCK {
                self.blocks.remove(&number);
            } else if let Some(block) = self.blocks.get_mut(&number) {
                block[start as usize..(start + more) as usize].fill(0);
            }
            at += more;
        }
    }
}

/// The offset and the length of a read or a write, and who asks.
fn range(request: &Frame) -> Result<(u64, usize, Who), i32> {
    // The trailing padding of the struct may be cut off.
    let mut whole = request.clone();
    whole.resize(whole.len().max(size_of::<vn::Read>()));
    let asked = whole.get::<vn::Read>();
    let offset = u64::try_from(asked.offset).map_err(|_| EINVAL)?;
    Ok((offset, asked.resid, Who::of(&asked.cred)))
}

impl MemFs {
    /// What is in a file; `None` if it is none, or not there.
    pub fn content(&self, file: Cookie) -> Option<Vec<u8>> {
        match &self.inodes.get(&file.0)?.kind {
            Kind::File(data) => Some(data.read(0, data.size() as usize)),
            _ => None,
        }
    }

    /// How many blocks are in use.
    pub(super) fn used(&self) -> u64 {
        let of = |kind: &Kind| match kind {
            Kind::File(data) => data.blocks(),
            _ => 1,
        };
        self.inodes.values().map(|inode| of(&inode.kind)).sum()
    }

    /// Are the times of what this one does the server's to keep? Of what the
    /// kernel does for its page cache it tells them itself.
    fn keeps_times_of(&self, who: &Who) -> bool {
        self.keeps_times || !matches!(who, Who::Kernel)
    }

    pub(super) fn read(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let (offset, resid, who) = range(request)?;
        let (touch, now) = (self.keeps_times_of(&who), self.now());
        let inode = self.inode(cookie)?;
        let part = match &inode.kind {
            Kind::File(data) => data.read(offset, resid),
            Kind::Dir(_) => return Err(EISDIR),
            _ => return Err(EOPNOTSUPP),
        };
        if touch {
            inode.va.atime = now;
        }
        let mut reply =
            request.reply_data::<vn::Read>(&part, |reply| reply.resid = resid - part.len());
        // libpuffs counts the data from the end of what C calls the struct, and
        // sends what lies behind it as well.
        let len = size_of::<vn::Read>() + part.len();
        reply.resize(len);
        reply.bytes_mut()[vn::Read::DATA + part.len()..].fill(0xee);
        Ok(reply)
    }

    pub(super) fn write(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let (offset, resid, who) = range(request)?;
        let (touch, now) = (self.keeps_times_of(&who), self.now());
        let used = self.used();
        let from = request.payload::<vn::Write>(0).get(..resid).ok_or(EINVAL)?;
        if offset.saturating_add(resid as u64) > SIZE_MAX {
            return Err(EFBIG);
        }
        let inode = self.inode(cookie)?;
        let data = match &mut inode.kind {
            Kind::File(data) => data,
            Kind::Dir(_) => return Err(EISDIR),
            _ => return Err(EOPNOTSUPP),
        };
        if used + data.missing(offset, resid) > BLOCKS {
            return Err(ENOSPC);
        }
        data.write(offset, from);
        if touch {
            (inode.va.mtime, inode.va.ctime) = (now, now);
        }
        if !who.is_root() {
            inode.va.mode &= !SET_IDS;
        }
        Ok(request.reply_with::<vn::Write>(|reply| reply.resid = 0))
    }

    pub(super) fn fallocate(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Fallocate>();
        let offset = u64::try_from(asked.off).map_err(|_| EINVAL)?;
        let len = u64::try_from(asked.len).map_err(|_| EINVAL)?;
        let free = BLOCKS.saturating_sub(self.used());
        if len > free * BLOCK {
            return Err(ENOSPC);
        }
        match &mut self.inode(cookie)?.kind {
            Kind::File(data) => data.reserve(offset, len),
            _ => return Err(EINVAL),
        }
        Ok(request.reply_header())
    }

    pub(super) fn fdiscard(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Fdiscard>();
        let offset = u64::try_from(asked.off).map_err(|_| EINVAL)?;
        let len = u64::try_from(asked.len).map_err(|_| EINVAL)?;
        match &mut self.inode(cookie)?.kind {
            Kind::File(data) => data.discard(offset, len),
            _ => return Err(EINVAL),
        }
        Ok(request.reply_header())
    }
}
