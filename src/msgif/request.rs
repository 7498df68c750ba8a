//! A request of a known type, for the operations that make one.

use super::{Completion, Outcome, Park, Sent};
use crate::{
    abi::{vn, Cookie, Message, Payload},
    kern::{Buf, Errno, Ref, Result, Sleep, Vnode},
    mount::Mount,
    node::{self, Node},
};
use core::{marker::PhantomData, ops::Range};

/// A park whose message is a `T` (C: `PUFFS_MSG_VARS`, `PUFFS_MSG_ALLOC`).
///
/// It is filled, sent in one of four ways, and after a wait that ended well
/// holds the reply, which was judged.
pub(crate) struct Request<T> {
    park: Ref<Park>,
    sent: Sent,
    message: PhantomData<fn() -> T>,
}

impl<T: Message> Request<T> {
    /// A zeroed message with `more` bytes behind it, about the file `cookie`.
    ///
    /// # Errors
    /// ENOMEM, only if it may not sleep.
    pub(crate) fn new(cookie: Cookie, more: usize, sleep: Sleep) -> Result<Request<T>> {
        let len = size_of::<T>().checked_add(more).ok_or(Errno::EINVAL)?;
        Ok(Request::of(Park::alloc(len, sleep)?, cookie))
    }

    fn of(mut park: Ref<Park>, cookie: Cookie) -> Request<T> {
        if let Some(fresh) = park.get_mut() {
            fresh.set_info(T::CLASS.into(), T::OP, cookie);
        }
        Request {
            park,
            sent: Sent::Over(Outcome::default()),
            message: PhantomData,
        }
    }

    /// The message.
    ///
    /// # Errors
    /// EPROTO if somebody else has it: between sending and a wait that ended
    /// well, it is the server's.
    pub(crate) fn body(&mut self) -> Result<&mut T> {
        let park = self.park.get_mut().ok_or(Errno::EPROTO)?;
        park.body().ok_or(Errno::EPROTO)
    }

    /// Keeps the last `len` bytes from the server; only a reply uses them (C:
    /// `puffs_msg_setdelta`).
    pub(crate) fn keep_back(&mut self, len: usize) {
        if let Some(park) = self.park.get_mut().filter(|_| len != 0) {
            park.set_delta(len);
        }
    }

    /// Sends it, to be waited for (C: `puffs_msg_enqueue`).
    pub(crate) fn send(&mut self, mount: &Mount) {
        self.sent = mount.send(&mut self.park);
    }

    /// Waits for the outcome, and does what the server said of the nodes that
    /// it is about (C: `puffs_msg_wait2`).
    ///
    /// # Errors
    /// What the server or the kernel says, EPROTO for an answer that does not
    /// fit the node.
    pub(crate) fn wait(&mut self, mount: &Mount, nodes: [Option<&Node>; 2]) -> Result<()> {
        mount.receive(&mut self.park, self.sent, nodes)
    }

    /// Sends it and waits for the outcome.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(crate) fn ask(&mut self, mount: &Mount, nodes: [Option<&Node>; 2]) -> Result<()> {
        let outcome = mount.msgif.call(mount.config.time32, &mut self.park);
        mount.learn(outcome, &mut self.park, nodes)
    }

    /// After an error: did the server see it, or may it yet? Else it is as if nothing was
    /// asked.
    pub(crate) fn was_seen(&mut self) -> bool {
        self.park.get_mut().is_none_or(Park::was_seen)
    }

    /// Sends it, and wants no reply (C: `puffs_msg_setfaf`).
    pub(crate) fn forget(mut self, mount: &Mount) {
        if let Some(park) = self.park.get_mut() {
            park.set_faf();
        }
        self.send(mount);
    }

    /// The same, where the completion is for pages of a vnode.
    pub(crate) fn complete_pages(mut self, mount: &Mount, vnode: Vnode, completion: Completion) {
        if let Some(park) = self.park.get_mut() {
            park.set_pages_of(vnode);
        }
        self.complete(mount, completion);
    }

    /// Sends it, and has `completion` run on the reply (C:
    /// `puffs_msg_setcall`).
    pub(crate) fn complete(mut self, mount: &Mount, completion: Completion) {
        if let Some(park) = self.park.get_mut() {
            park.set_call(completion);
        }
        self.send(mount);
    }
}

impl Request<vn::Reclaim> {
    /// Sends it when there is time: other requests may overtake it.
    pub(crate) fn forget_some_time(mut self, mount: &Mount) {
        if let Some(park) = self.park.get_mut() {
            park.set_background();
        }
        self.send(mount);
    }
}

impl Request<vn::Read> {
    /// A request for `len` bytes that are received elsewhere than behind the
    /// message: by a [completion](Self::complete), or [into
    /// pages](Self::ask_into).
    ///
    /// # Errors
    /// ENOMEM, only if it may not sleep.
    pub(crate) fn elsewhere(cookie: Cookie, len: usize, sleep: Sleep) -> Result<Self> {
        let mut request = Request::new(cookie, 0, sleep)?;
        if let Some(park) = request.park.get_mut() {
            park.set_beyond(len);
        }
        Ok(request)
    }

    /// Sends it and waits for the outcome, which is in the buffer if all went
    /// well; what the server had no data for became zeroes. The buffer comes
    /// back in any case, and nobody else has it any more.
    pub(crate) fn ask_into(
        mut self,
        mount: &Mount,
        node: &Node,
        buf: Buf,
    ) -> (Option<Buf>, Result<()>) {
        if let Some(park) = self.park.get_mut() {
            park.swap_pages(Some(buf));
        }
        let result = self.ask(mount, [Some(node), None]);
        (mount.msgif.take_pages(&mut self.park), result)
    }
}

impl<T: Message + Payload> Request<T> {
    /// A message with a payload of `room` bytes, which are not zeroed: they are
    /// all written before it is sent, or [kept back](Self::keep_back).
    ///
    /// # Errors
    /// ENOMEM, only if it may not sleep.
    pub(crate) fn with_room(cookie: Cookie, room: usize, sleep: Sleep) -> Result<Request<T>> {
        let len = size_of::<T>().checked_add(room).ok_or(Errno::EINVAL)?;
        // The payload may begin inside what C calls the struct, and ends before
        // the message does then.
        let payload = size_of::<T>()..T::DATA.saturating_add(room);
        Ok(Request::of(Park::alloc_but(payload, len, sleep)?, cookie))
    }

    /// Bytes behind the message.
    ///
    /// # Errors
    /// EPROTO if there are not so many, or as for [`body`](Self::body).
    pub(crate) fn payload(&mut self, range: Range<usize>) -> Result<&mut [u8]> {
        let message = self.park.get_mut().ok_or(Errno::EPROTO)?.message();
        let start = T::DATA.checked_add(range.start).ok_or(Errno::EPROTO)?;
        let end = T::DATA.checked_add(range.end).ok_or(Errno::EPROTO)?;
        message.bytes_mut().get_mut(start..end).ok_or(Errno::EPROTO)
    }
}

impl Mount {
    /// Sends a request.
    pub fn send(&self, park: &mut Ref<Park>) -> Sent {
        self.msgif.enqueue(self.config.time32, park)
    }

    /// Waits for the outcome of a request that was `sent`, and does what the
    /// server said of the nodes that it is about (C: `puffs_msg_wait2`).
    ///
    /// # Errors
    /// What the server or the kernel says, EPROTO for an answer that does not
    /// fit the node.
    pub fn receive(
        &self,
        park: &mut Ref<Park>,
        sent: Sent,
        nodes: [Option<&Node>; 2],
    ) -> Result<()> {
        self.learn(self.msgif.wait(park, sent), park, nodes)
    }

    fn learn(
        &self,
        outcome: Outcome,
        park: &mut Ref<Park>,
        nodes: [Option<&Node>; 2],
    ) -> Result<()> {
        node::apply_setbacks(outcome.setbacks, nodes);
        Errno::check(outcome.rv)?;
        match (park.get_mut(), nodes[0]) {
            (Some(park), Some(node)) => node::check_attributes(self, node, park),
            _ => Ok(()),
        }
    }
}
