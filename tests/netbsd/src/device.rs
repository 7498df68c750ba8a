//! The putter device, on a descriptor of the process that the gate enters.

use crate::{filled, int, Arg, Gate, Kernel, O_NONBLOCK};
use puffs_rs::{
    abi::KArgs,
    kern::{Errno, Result},
};
use puffs_script::{world::Calls, Frame};
use std::{cell::Cell, time::Duration};
use zerocopy::IntoBytes;

const READ: i32 = 3;
const WRITE: i32 = 4;
const FCNTL: i32 = 92;
const MOUNT: i32 = 410;

const F_SETFL: i64 = 4;
const POLLIN: i32 = 1;

const EVFILT_READ: u32 = 0;

/// Longer than any frame.
const FRAME_ROOM: usize = 512 * 1024;

thread_local! {
    /// Where a thread reads its frames to: to make that much room for each of
    /// them would cost more than what it is read for.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[allow(clippy::missing_errors_doc)] // Each fails with what the kernel says.
impl<G: Gate> Kernel<G> {
    /// `mount(2)` of puffs, served by this descriptor; the mount point is made
    /// if it is not there.
    pub fn mount_puffs(&self, path: &str, args: &KArgs, device: i32) -> Result<()> {
        match self.mkdir(path) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error),
        }
        let mut bytes = args.as_bytes().to_vec();
        let place = std::mem::offset_of!(KArgs, fd);
        bytes[place..place + size_of::<i32>()].copy_from_slice(&device.to_ne_bytes());
        let (name, flags) = (Arg::Text("puffs"), int(0));
        self.call(MOUNT, [name, Arg::Text(path), flags, Arg::In(&bytes)])
            .map(drop)
    }

    /// The next frame, waiting for it.
    pub fn read_frame(&self, fd: i32) -> Result<Frame> {
        loop {
            match self.read_whole(fd) {
                // Somebody else is in `try_read_frame`.
                Err(Errno::EWOULDBLOCK) => std::thread::yield_now(),
                read => return read,
            }
        }
    }

    /// The next frame, if there is one.
    pub fn try_read_frame(&self, fd: i32) -> Result<Option<Frame>> {
        self.set_nonblocking(fd, true)?;
        let read = self.read_whole(fd);
        self.set_nonblocking(fd, false)?;
        match read {
            Ok(frame) => Ok(Some(frame)),
            Err(Errno::EWOULDBLOCK) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_whole(&self, fd: i32) -> Result<Frame> {
        let mut room = ROOM.take();
        room.resize(FRAME_ROOM, 0);
        let read = self.call(READ, [int(fd), Arg::Out(&mut room)]);
        let frame = read.map(|len| Frame::from_bytes(&room[..len as usize]));
        ROOM.set(room);
        frame
    }

    /// `read(2)` with so much room.
    pub fn read_part(&self, fd: i32, room: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; room];
        let len = self.call(READ, [int(fd), Arg::Out(&mut bytes)])?;
        Ok(filled(bytes, len))
    }

    /// `write(2)`.
    pub fn write_frame(&self, fd: i32, bytes: &[u8]) -> Result<()> {
        self.call(WRITE, [int(fd), Arg::In(bytes)]).map(drop)
    }

    /// Waits at most that long until there is something to read, by `poll(2)`.
    pub fn poll_frame(&self, fd: i32, limit: Duration) -> Result<bool> {
        self.poll(fd as usize, POLLIN, limit)
            .map(|events| events != 0)
    }

    /// Waits at most that long until there is something to read, by
    /// `kevent(2)`, and says how much.
    pub fn kevent(&self, fd: i32, limit: Duration) -> Result<usize> {
        let queue = self.kqueue()?;
        let event = self
            .watch(queue, fd as usize, EVFILT_READ, 0)
            .and_then(|()| self.event(queue, limit));
        self.close(queue)?;
        Ok(event?.map_or(0, |event| event.data as usize))
    }

    /// Has a descriptor's calls wait or not.
    fn set_nonblocking(&self, fd: i32, nonblocking: bool) -> Result<()> {
        let flags = if nonblocking { O_NONBLOCK } else { 0 };
        self.call(FCNTL, [int(fd), Arg::Int(F_SETFL), int(flags)])
            .map(drop)
    }
}
