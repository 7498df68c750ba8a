//! The queue to the server: who goes next.
//!
//! The kernel forgets vnodes by the thousand when it wants their memory back, and
//! sends a RECLAIM for each, that nobody waits for. Callers do not stand behind
//! those: a request may overtake the RECLAIMs that were queued before it. In no
//! other respect do requests change their order.
//!
//! # What may be overtaken
//!
//! The RECLAIM of a file that the server has a name for. One without (the setback
//! `NOREF`) ends with it: who removes a file and then writes another may need the room,
//! so that RECLAIM keeps its place.
//!
//! # What may overtake
//!
//! A RECLAIM that comes late looks to the server as if the kernel had kept the
//! vnode for a while longer, as it may at any time, whatever is asked meanwhile.
//! That is not so for a request whose reply may name the same cookie: a kernel that has
//! the vnode would find it, but this one makes another, and the RECLAIM then has the
//! server forget the file under it. A server is safe from that only if it
//! compares the counts in RECLAIM, and not all do: libpuffs does it for cookies that are
//! its own nodes, and not for what it found by a file handle.
//!
//! | request | overtakes? | why |
//! |---|---|---|
//! | LOOKUP, CREATE, MKNOD, MKDIR, SYMLINK, FHTONODE | no | the reply names a cookie: maybe that of a file that the server is to forget before |
//! | RECLAIM | no | they stay in order among themselves |
//! | UNMOUNT | no | the kernel has no vnodes then, and the server reads nothing after it |
//! | SYNC, SUSPEND | no | a point in time of the whole file system |
//! | answers and complaints to the server | no | no caller waits for them |
//! | STATVFS, NODETOFH, EXTATTRCTL | yes | about the file system or a file that the kernel has; the reply names none |
//! | all other operations on a file | yes | the same |
//!
//! A RECLAIM overtakes nothing, so that it is the last word about its file, behind
//! writes that nobody waits for.

use super::park::Core;
use crate::{
    abi::{OpClass, VfsOp, VnOp, OPCLASS_FAF},
    kern::{List, Ref},
};

/// After so many requests that overtook it a RECLAIM goes: one in 65 costs callers
/// less than can be measured, and the server has its memory back some time even if
/// they never pause.
pub const PATIENCE: u32 = 64;

/// How a request stands in the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// It may overtake what is in the background.
    Ahead,
    /// It overtakes nothing.
    InOrder,
    /// It may be overtaken, and overtakes nothing.
    Background,
}

impl Rank {
    /// The rank of a request.
    pub(super) fn of(core: &mut Core) -> Rank {
        let may_wait = core.may_wait;
        let Some(header) = core.header() else {
            return Rank::InOrder;
        };
        // A response has a bit of its own beside the class.
        match OpClass::try_from(header.opclass & !OPCLASS_FAF) {
            Ok(OpClass::Vn) => match VnOp::try_from(header.optype) {
                Ok(VnOp::Reclaim) if may_wait => Rank::Background,
                Ok(
                    VnOp::Lookup
                    | VnOp::Create
                    | VnOp::Mknod
                    | VnOp::Mkdir
                    | VnOp::Symlink
                    | VnOp::Reclaim,
                )
                | Err(_) => Rank::InOrder,
                Ok(_) => Rank::Ahead,
            },
            Ok(OpClass::Vfs) => match VfsOp::try_from(header.optype) {
                Ok(VfsOp::Statvfs | VfsOp::Vptofh | VfsOp::Extattrctl) => Rank::Ahead,
                _ => Rank::InOrder,
            },
            _ => Rank::InOrder,
        }
    }
}

/// Requests in the order in which they go.
///
/// Only what is in the background can go later than if none could overtake another: what
/// is ahead of any other was queued before it.
pub struct Queue<T> {
    /// All but the background, in order. A key is a [`place`].
    foreground: List<T>,
    /// The background, in order. A key is a number.
    background: List<T>,
    /// The number of the next one: who came earlier has a lower one.
    next: u64,
    /// How many have overtaken the first of the background.
    overtaken: u32,
}

/// The key of one that is not in the background: its number, and whether it
/// overtakes nothing.
fn place(number: u64, in_order: bool) -> u64 {
    number << 1 | u64::from(in_order)
}

impl<T> Queue<T> {
    /// An empty queue.
    pub fn new() -> Queue<T> {
        Queue {
            foreground: List::new(),
            background: List::new(),
            next: 0,
            overtaken: 0,
        }
    }

    /// Is nothing in the queue?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are in the queue?
    pub fn len(&self) -> usize {
        self.foreground.len() + self.background.len()
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// Gives it back if it is on a list or in a table already.
    pub fn push(&mut self, item: Ref<T>, rank: Rank) -> Result<(), Ref<T>> {
        let number = self.next;
        match rank {
            Rank::Background => self.background.push_back_keyed(item, number)?,
            Rank::InOrder => self.foreground.push_back_keyed(item, place(number, true))?,
            Rank::Ahead => self
                .foreground
                .push_back_keyed(item, place(number, false))?,
        }
        self.next += 1;
        Ok(())
    }

    /// Takes the next one off.
    pub fn pop(&mut self) -> Option<Ref<T>> {
        let goes = match (self.foreground.front_key(), self.background.front_key()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(first), Some(waiting)) if place(waiting, false) < first => {
                let in_order = first & 1 != 0;
                self.overtaken += u32::from(!in_order);
                in_order || self.overtaken > PATIENCE
            }
            // The first of the background came last.
            _ => false,
        };
        if !goes {
            return self.foreground.pop_front();
        }
        self.overtaken = 0;
        self.background.pop_front()
    }

    /// The first that is `wanted` and not in the background; it stays there.
    pub fn find(&mut self, wanted: impl Fn(&T) -> bool) -> Option<Ref<T>> {
        self.foreground.find(wanted)
    }

    /// Takes `item` off, if it is in the queue.
    pub fn remove(&mut self, item: &Ref<T>) -> Option<Ref<T>> {
        let removed = self.foreground.remove(item);
        removed.or_else(|| self.background.remove(item))
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue::new()
    }
}
