//! One frame, aligned for any message.

use puffs_rs::abi::{Message, OpClass, Payload, Req, OPCLASS_FAF, OPCLASS_MASK, OPCLASS_RESPONSE};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The bytes of one frame.
#[derive(Clone)]
pub struct Frame {
    words: Vec<u128>,
    len: usize,
}

impl Frame {
    /// A frame of zeroes whose header says its length, if it has room for one.
    pub fn new(len: usize) -> Frame {
        let mut frame = Frame {
            words: vec![0; len.div_ceil(size_of::<u128>())],
            len,
        };
        frame.set_framelen(len);
        frame
    }

    /// These bytes, whatever they are.
    pub fn from_bytes(bytes: &[u8]) -> Frame {
        let mut frame = Frame {
            words: vec![0; bytes.len().div_ceil(size_of::<u128>())],
            len: bytes.len(),
        };
        frame.bytes_mut().copy_from_slice(bytes);
        frame
    }

    /// A frame that is a message and nothing more.
    pub fn of<T: IntoBytes + Immutable>(message: &T) -> Frame {
        let mut frame = Frame::from_bytes(message.as_bytes());
        frame.set_framelen(frame.len);
        frame
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[..self.len]
    }

    /// The bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.words.as_mut_bytes()[..self.len]
    }

    /// How long it is.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Has it no bytes?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes a length to the header, true or not.
    pub fn set_framelen(&mut self, framelen: usize) {
        let bytes = (framelen as u64).to_ne_bytes();
        if let Some(room) = self.bytes_mut().get_mut(..bytes.len()) {
            room.copy_from_slice(&bytes);
        }
    }

    /// Makes it longer or shorter, and says so in the header.
    pub fn resize(&mut self, len: usize) {
        self.words.resize(len.div_ceil(size_of::<u128>()), 0);
        let shorter = len < self.len;
        self.len = len;
        if shorter {
            let keep = len;
            self.words.as_mut_bytes()[keep..].fill(0);
        }
        self.set_framelen(len);
    }

    /// The frame as a `T`.
    ///
    /// # Panics
    /// If it is shorter.
    pub fn get<T: FromBytes + KnownLayout + Immutable>(&self) -> &T {
        match T::ref_from_prefix(self.bytes()) {
            Ok((value, _)) => value,
            Err(_) => panic!("a frame of {} bytes is not that long", self.len),
        }
    }

    /// The frame as a `T`, to change.
    ///
    /// # Panics
    /// If it is shorter.
    pub fn get_mut<T: FromBytes + IntoBytes + KnownLayout>(&mut self) -> &mut T {
        let len = self.len;
        match T::mut_from_prefix(self.bytes_mut()) {
            Ok((value, _)) => value,
            Err(_) => panic!("a frame of {len} bytes is not that long"),
        }
    }

    /// The header.
    ///
    /// # Panics
    /// If it has none.
    pub fn req(&self) -> &Req {
        self.get()
    }

    /// The header, to change.
    ///
    /// # Panics
    /// If it has none.
    pub fn req_mut(&mut self) -> &mut Req {
        self.get_mut()
    }

    /// The header, if the frame has a whole one.
    pub fn header(&self) -> Option<&Req> {
        Req::ref_from_prefix(self.bytes()).ok().map(|(req, _)| req)
    }

    /// The class, without its flags; `None` for a number that is none.
    pub fn class(&self) -> Option<OpClass> {
        OpClass::try_from(self.req().opclass & OPCLASS_MASK).ok()
    }

    /// Is it a request of type `T`?
    pub fn is<T: Message>(&self) -> bool {
        self.class() == Some(T::CLASS) && self.req().optype == T::OP
    }

    /// Does nobody wait for a reply?
    pub fn is_faf(&self) -> bool {
        self.req().opclass & OPCLASS_FAF != 0
    }

    /// Does it answer a request of the server's?
    pub fn is_response(&self) -> bool {
        self.req().opclass & OPCLASS_RESPONSE != 0
    }

    /// The payload from `start` on, as much as there is.
    pub fn payload<T: Payload>(&self, start: usize) -> &[u8] {
        self.bytes().get(T::DATA + start..).unwrap_or_default()
    }

    /// A reply of `len` bytes that starts as this request does and says
    /// success.
    pub fn reply(&self, len: usize) -> Frame {
        let mut reply = self.clone();
        reply.resize(len);
        reply.req_mut().rv = 0;
        reply
    }

    /// A reply that is a `T`, filled by `fill`.
    pub fn reply_with<T>(&self, fill: impl FnOnce(&mut T)) -> Frame
    where
        T: FromBytes + IntoBytes + KnownLayout,
    {
        let mut reply = self.reply(size_of::<T>());
        fill(reply.get_mut());
        reply
    }

    /// A reply that is a `T` with a payload, which may start inside the struct.
    pub fn reply_data<T: Payload>(&self, data: &[u8], fill: impl FnOnce(&mut T)) -> Frame {
        let mut reply = self.reply(size_of::<T>().max(T::DATA + data.len()));
        fill(reply.get_mut());
        reply.bytes_mut()[T::DATA..T::DATA + data.len()].copy_from_slice(data);
        reply
    }

    /// A reply that is only a header and says success.
    pub fn reply_header(&self) -> Frame {
        self.reply(size_of::<Req>())
    }

    /// A reply that is only a header and says `errno`.
    pub fn reply_error(&self, errno: i32) -> Frame {
        let mut reply = self.reply_header();
        reply.req_mut().rv = errno;
        reply
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", crate::describe(self))
    }
}
