//! Advisory locks.
//!
//! The kernel leaves them to the server: who holds one is an opaque number, a
//! process for `fcntl(2)` and an open file for `flock(2)`. Who has to wait is
//! answered when the lock is there.

use super::{MemFs, Outcome, EAGAIN, EDEADLK, EINVAL};
use puffs_rs::abi::{
    vn::{self, Flock},
    Cookie,
};
use puffs_script::Frame;

const F_RDLCK: i16 = 1;
const F_UNLCK: i16 = 2;
const F_WRLCK: i16 = 3;

const F_GETLK: i32 = 7;
const F_SETLK: i32 = 8;

/// In the flags: wait for it; it is one of `fcntl(2)`.
const F_WAIT: i32 = 0x10;
const F_POSIX: i32 = 0x40;

const SEEK_SET: i16 = 0;
const SEEK_END: i16 = 2;

/// One lock.
#[derive(Clone, Copy)]
struct Held {
    owner: Cookie,
    pid: i32,
    write: bool,
    start: i64,
    /// The first byte behind it.
    end: i64,
}

impl Held {
    fn overlaps(&self, other: &Held) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn conflicts(&self, other: &Held) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.write || other.write)
    }
}

/// The locks of a file.
#[derive(Default)]
pub(super) struct Locks(Vec<Held>);

impl Locks {
    fn in_the_way(&self, wanted: &Held) -> Option<&Held> {
        self.0.iter().find(|held| held.conflicts(wanted))
    }

    /// Takes a range from its owner: what is left of locks that reach beyond it
    /// stays.
    fn free(&mut self, range: &Held) {
        let mut kept = Vec::new();
        for held in &self.0 {
            if held.owner != range.owner || !held.overlaps(range) {
                kept.push(*held);
                continue;
            }
            if held.start < range.start {
                let end = range.start;
                kept.push(Held { end, ..*held });
            }
            if held.end > range.end {
                let start = range.end;
                kept.push(Held { start, ..*held });
            }
        }
        self.0 = kept;
    }

    fn grant(&mut self, lock: Held) {
        self.free(&lock);
        self.0.push(lock);
    }
}

/// The range of a lock.
fn range(fl: &Flock, owner: Cookie, size: i64) -> Result<Held, i32> {
    let from = match fl.whence {
        SEEK_SET => 0,
        SEEK_END => size,
        _ => return Err(EINVAL),
    };
    let start = fl.start.checked_add(from).ok_or(EINVAL)?;
    let other = start.checked_add(fl.len).ok_or(EINVAL)?;
    let (start, end) = match fl.len {
        0 => (start, i64::MAX),
        1.. => (start, other),
        _ => (other, start),
    };
    if start < 0 {
        return Err(EINVAL);
    }
    Ok(Held {
        owner,
        pid: fl.pid,
        write: fl.kind == F_WRLCK,
        start,
        end,
    })
}

/// What an answer is to say, or that it has to wait.
enum Verdict {
    Now(Outcome),
    Later,
}

impl MemFs {
    /// Answers a request for a lock, unless it has to wait for it.
    pub(super) fn advlock(&mut self, request: &Frame) -> Option<Frame> {
        let cookie = request.req().cookie;
        match self.try_advlock(request, cookie) {
            Ok(Verdict::Now(Ok(reply))) => {
                self.look_after_waiting();
                Some(reply)
            }
            Ok(Verdict::Now(Err(errno))) | Err(errno) => Some(request.reply_error(errno)),
            Ok(Verdict::Later) => {
                self.waiting.push((cookie, request.clone()));
                None
            }
        }
    }

    fn try_advlock(&mut self, request: &Frame, cookie: Cookie) -> Result<Verdict, i32> {
        let asked = request.get::<vn::Advlock>();
        let (owner, flags) = (asked.id, asked.flags);
        let size = self.attributes(cookie)?.size as i64;
        let wanted = range(&asked.fl, owner, size)?;
        let locks = &mut self.inode(cookie)?.locks;
        let found = locks.in_the_way(&wanted).copied();
        match asked.op {
            F_GETLK => {
                let fl = found.map_or(
                    Flock {
                        kind: F_UNLCK,
                        ..asked.fl
                    },
                    |held| Flock {
                        start: held.start,
                        len: if held.end == i64::MAX {
                            0
                        } else {
                            held.end - held.start
                        },
                        pid: held.pid,
                        kind: if held.write { F_WRLCK } else { F_RDLCK },
                        whence: SEEK_SET,
                    },
                );
                let reply = request.reply_with::<vn::Advlock>(|reply| reply.fl = fl);
                Ok(Verdict::Now(Ok(reply)))
            }
            F_SETLK => match found {
                None => {
                    locks.grant(wanted);
                    Ok(Verdict::Now(Ok(request.reply_header())))
                }
                Some(_) if flags & F_WAIT == 0 => Err(EAGAIN),
                Some(held) if flags & F_POSIX != 0 && self.waits_for(held.owner, owner) => {
                    Err(EDEADLK)
                }
                Some(_) => Ok(Verdict::Later),
            },
            op if op == i32::from(F_UNLCK) => {
                locks.free(&wanted);
                Ok(Verdict::Now(Ok(request.reply_header())))
            }
            _ => Err(EINVAL),
        }
    }

    /// Does an owner wait for another, if need be by way of others?
    fn waits_for(&self, owner: Cookie, other: Cookie) -> bool {
        let (mut asked, mut seen) = (vec![owner], Vec::new());
        while let Some(owner) = asked.pop() {
            if owner == other {
                return true;
            }
            if seen.contains(&owner) {
                continue;
            }
            seen.push(owner);
            for (file, request) in &self.waiting {
                let request = request.get::<vn::Advlock>();
                let inode = self.inodes.get(&file.0);
                let (Some(inode), true) = (inode, request.id == owner) else {
                    continue;
                };
                // Where the file ends matters little to who waits.
                if let Ok(wanted) = range(&request.fl, owner, 0) {
                    let held = inode.locks.0.iter();
                    asked.extend(
                        held.filter(|held| held.conflicts(&wanted))
                            .map(|held| held.owner),
                    );
                }
            }
        }
        false
    }

    /// Locks were given back: who waits may have them now.
    fn look_after_waiting(&mut self) {
        for (file, request) in std::mem::take(&mut self.waiting) {
            match self.try_advlock(&request, file) {
                Ok(Verdict::Now(Ok(reply))) => self.late.push_back(reply),
                Ok(Verdict::Later) => self.waiting.push((file, request)),
                Ok(Verdict::Now(Err(errno))) | Err(errno) => {
                    self.late.push_back(request.reply_error(errno));
                }
            }
        }
    }
}
