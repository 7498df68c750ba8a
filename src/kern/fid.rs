//! File handles (`struct fid`).

use core::{marker::PhantomData, ptr::NonNull};

/// A file handle that the caller keeps: a length, which counts the whole
/// handle, a reserved word, and data.
pub struct Fid<'a> {
    raw: NonNull<u8>,
    room: usize,
    kept: PhantomData<&'a mut ()>,
}

impl Fid<'_> {
    /// The bytes in front of the data.
    pub const HEADER: usize = 4;

    /// A handle that is to be written, with room for `room` bytes.
    ///
    /// # Safety
    /// `raw` is NULL or has that room for as long as the handle lives.
    pub unsafe fn with_room(raw: *mut u8, room: usize) -> Option<Self> {
        Some(Fid {
            raw: NonNull::new(raw)?,
            room,
            kept: PhantomData,
        })
    }

    /// A handle that is to be read.
    ///
    /// # Safety
    /// `raw` is NULL or a handle that is as long as it says, for as long as
    /// this one lives.
    pub unsafe fn existing(raw: *mut u8) -> Option<Self> {
        let raw = NonNull::new(raw)?;
        // SAFETY: a handle has at least its header, which starts with the
        // length.
        let room = unsafe { raw.cast::<u16>().read_unaligned() };
        Some(Fid {
            raw,
            room: usize::from(room).max(Self::HEADER),
            kept: PhantomData,
        })
    }

    /// The whole handle.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: there is that room, and it is initialised in a handle that
        // is read.
        unsafe { core::slice::from_raw_parts(self.raw.as_ptr(), self.room) }
    }

    /// Writes a handle: `data` behind a header, or as the whole handle.
    /// False if there is not enough room.
    pub fn write(&mut self, data: &[u8], whole: bool) -> bool {
        let header = if whole { 0 } else { Self::HEADER };
        let len = header + data.len();
        let Ok(short) = u16::try_from(len) else {
            return false;
        };
        if len > self.room {
            return false;
        }
        // SAFETY: there is that room.
        let room = unsafe { core::slice::from_raw_parts_mut(self.raw.as_ptr(), len) };
        room[header..].copy_from_slice(data);
        if !whole {
            room[..2].copy_from_slice(&short.to_ne_bytes());
            room[2..4].fill(0);
        }
        true
    }
}
