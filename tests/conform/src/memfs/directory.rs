//! Directories, and the listing of them.

use super::{Kind, MemFs, Outcome, EINVAL};
use puffs_rs::abi::{vn, Cookie, Vtype};
use puffs_script::Frame;
use std::collections::BTreeMap;

/// The place of the first name behind `.` and `..`.
const FIRST: u64 = 2;

/// The names in a directory. Each has a place in the listing that it keeps for
/// as long as it is there, whatever comes and goes meanwhile.
pub(super) struct Directory {
    names: BTreeMap<Vec<u8>, (Cookie, u64)>,
    places: BTreeMap<u64, Vec<u8>>,
    next: u64,
    pub(super) parent: Cookie,
}

impl Directory {
    pub(super) fn new(parent: Cookie) -> Directory {
        Directory {
            names: BTreeMap::new(),
            places: BTreeMap::new(),
            next: FIRST,
            parent,
        }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Cookie> {
        self.names.get(name).map(|&(file, _)| file)
    }

    pub(super) fn insert(&mut self, name: Vec<u8>, file: Cookie) {
        let place = match self.names.get(&name) {
            // Another file takes the name, and the place.
            Some(&(_, place)) => place,
            None => {
                let place = self.next;
                self.next += 1;
                self.places.insert(place, name.clone());
                place
            }
        };
        self.names.insert(name, (file, place));
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        if let Some((_, place)) = self.names.remove(name) {
            self.places.remove(&place);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The entries from a place on: each with the place behind it.
    fn from(&self, place: u64, own: Cookie) -> impl Iterator<Item = (&[u8], Cookie, u64)> {
        let dots = [(&b"."[..], own, 1), (b"..", self.parent, FIRST)];
        let dots = dots.into_iter().filter(move |&(.., next)| next > place);
        let rest = self.places.range(place.max(FIRST)..).map(|(&at, name)| {
            let file = self.get(name).unwrap_or(Cookie::NULL);
            (name.as_slice(), file, at + 1)
        });
        dots.chain(rest)
    }
}

impl MemFs {
    pub(super) fn readdir(&mut self, request: &Frame, cookie: Cookie) -> Outcome {
        let asked = request.get::<vn::Readdir>();
        let (room, max, dentoff) = (asked.resid, asked.ncookies, asked.dentoff);
        let start = u64::try_from(asked.offset).map_err(|_| EINVAL)?;
        let now = self.now();
        self.dir(cookie)?;
        let mut out = Vec::new();
        let mut cookies: Vec<u8> = Vec::new();
        let (mut next, mut eof) = (start, true);
        let inode = self.inodes.get(&cookie.0);
        let Some(Kind::Dir(directory)) = inode.map(|inode| &inode.kind) else {
            unreachable!("it was looked at");
        };
        for (name, file, behind) in directory.from(start, cookie) {
            let vtype = self.inodes.get(&file.0).map(|inode| inode.va.vtype);
            let entry = dirent(name, file.0 as u64, vtype.unwrap_or(Vtype::Non.into()));
            if out.len() + entry.len() > room {
                if out.is_empty() {
                    // No room for one: that is not the end.
                    return Err(EINVAL);
                }
                eof = false;
                break;
            }
            out.extend(entry);
            next = behind;
            if cookies.len() / 8 < max {
                cookies.extend(next.to_ne_bytes());
            }
        }
        self.inode(cookie)?.va.atime = now;
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

/// One entry of a directory (`struct dirent`).
pub fn dirent(name: &[u8], fileno: u64, vtype: u32) -> Vec<u8> {
    // `DT_*`; 0 is `DT_UNKNOWN`.
    let kind = match Vtype::try_from(vtype) {
        Ok(Vtype::Fifo) => 1,
        Ok(Vtype::Chr) => 2,
        Ok(Vtype::Dir) => 4,
        Ok(Vtype::Blk) => 6,
        Ok(Vtype::Reg) => 8,
        Ok(Vtype::Lnk) => 10,
        Ok(Vtype::Sock) => 12,
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
