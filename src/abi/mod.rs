//! The wire: what the kernel and a puffs server say to each other.
//!
//! This is the protocol of `PUFFSVERSION` 30, byte for byte as C compilers lay
//! it out on the three ports that puffs-rs supports. The module is data only:
//! it decides nothing and calls nobody.
//!
//! # How a frame travels
//!
//! Everything that crosses `/dev/putter` is a *frame*. It starts with a
//! [`PutterHdr`], which is all that putter itself looks at: the length of the
//! whole frame. puffs extends that header to a [`Req`], and every operation
//! extends the `Req` to a struct of its own, its *message*. Some messages are
//! followed by as many payload bytes as the operation needs; they implement
//! [`Payload`], which says where those bytes begin.
//!
//! 1. The kernel fills in a message, gives it an id, notes in
//!    [`Req::buflen`] how large the reply may be, and queues it.
//! 2. The server reads one frame. Bytes of the message that only the reply
//!    fills are often held back at its end, so [`PutterHdr::framelen`] may be
//!    less than `buflen`.
//! 3. The server answers by writing a frame with the same class, operation
//!    and id. [`Req::rv`] is zero or an errno; the fields marked IN below are
//!    the rest of the answer. The id alone ties a reply to its request.
//!
//! A request whose class carries [`OPCLASS_FAF`] is fire-and-forget: steps 1
//! and 2 happen and nobody waits. The server may also ask: it writes a
//! [`notify::Flush`] or a bare `Req` of class [`OpClass::Unmount`], and reads
//! a `Req` back that carries its own id and [`OPCLASS_RESPONSE`].
//!
//! Before any of that there is `mount(2)`, whose argument is a [`KArgs`].
//!
//! # Reading the structs
//!
//! Fields keep the names of the C ones, without the prefix (`preq_id` is
//! [`Req::id`]); a name that Rust reserves became `kind`. A field's
//! documentation starts with its direction: **OUT** from the kernel to the
//! server, **IN** from the server to the kernel. What is IN is a claim of an
//! ordinary process, so it is never a Rust enum, `bool` or reference, only an
//! integer: `TryFrom` makes the enum.
//!
//! Padding is spelled out as [`Pad`] fields, so each struct consists of its
//! fields and nothing else. zerocopy's `IntoBytes` refuses to compile
//! otherwise, and [`layout`] asserts every size and offset. No byte reaches
//! the server that was not written, and since the padding fields are private
//! a message can only start out as zeroes (`FromZeros`) or as bytes received.
//!
//! | C | Rust |
//! |---|---|
//! | `putter_hdr`, `puffs_req` | [`PutterHdr`], [`Req`] |
//! | `PUFFSOP_*`, `PUFFS_VFS_*`, `PUFFS_VN_*` | [`OpClass`], [`VfsOp`], [`VnOp`] |
//! | `puffs_cookie_t`, `void *` | [`Cookie`] |
//! | `puffs_kargs`, `statvfs` (`puffs_statvfs` since NetBSD 10) | [`KArgs`], [`StatvfsBuf`] |
//! | `puffs_kcred`, `uucred` | [`Kcred`], [`Uucred`] |
//! | `puffs_kcn` | [`Kcn`] |
//! | `vattr`, `timespec`, `enum vtype` | [`Vattr`], [`Timespec`], [`Vtype`] |
//! | `puffs_vfsmsg_*` | [`vfs`] |
//! | `puffs_vnmsg_*`, `flock`, the head of `dirent` | [`vn`] |
//! | `puffs50_*` | [`time32`] |
//! | `puffs_flush`, `puffs_error`, `puffs_cacheinfo`, `puffs_cacherun` | [`notify`] |
//! | the limits | [`consts`] |

mod attr;
pub mod consts;
mod cred;
mod kargs;
pub mod layout;
mod name;
pub mod notify;
mod req;
pub mod time32;
pub mod vfs;
pub mod vn;

pub use attr::*;
pub use cred::*;
pub use kargs::*;
pub use name::*;
pub use notify::ErrorOp;
pub use req::*;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A pointer of the server's, as it travels: the kernel stores and compares
/// it, and never follows it.
///
/// It names a file of the server's, and answers to `puffs_cookie_t`. The
/// other `void *` of the protocol are cookies just as well.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct Cookie(pub usize);

impl Cookie {
    /// The null pointer: no file.
    pub const NULL: Self = Self(0);
}

/// As many bytes as the C compiler leaves unused at this place: so many on
/// amd64, on i386 and on aarch64.
#[cfg(target_arch = "x86_64")]
pub type Pad<const AMD64: usize, const I386: usize, const AARCH64: usize> = [u8; AMD64];

/// As many bytes as the C compiler leaves unused at this place: so many on
/// amd64, on i386 and on aarch64.
#[cfg(target_arch = "x86")]
pub type Pad<const AMD64: usize, const I386: usize, const AARCH64: usize> = [u8; I386];

/// As many bytes as the C compiler leaves unused at this place: so many on
/// amd64, on i386 and on aarch64.
#[cfg(target_arch = "aarch64")]
pub type Pad<const AMD64: usize, const I386: usize, const AARCH64: usize> = [u8; AARCH64];

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
compile_error!("the layout of the puffs protocol is not known for this architecture");

/// A struct that starts a frame, whose own first field is a [`Req`].
pub trait Frame: FromBytes + IntoBytes + Immutable + KnownLayout {
    /// The header of the frame.
    fn req(&self) -> &Req;

    /// The header of the frame, to be changed.
    fn req_mut(&mut self) -> &mut Req;
}

/// The [`Frame`] of one operation on a file or a file system.
pub trait Message: Frame {
    /// The class that stands in [`Req::opclass`].
    const CLASS: OpClass;

    /// The number of the operation within its class, in [`Req::optype`].
    const OP: u16;
}

/// A [`Frame`] that a variable number of bytes may follow.
pub trait Payload: Frame {
    /// Where those bytes begin, counted from the start of the frame.
    ///
    /// That is not always the size of the struct: C lets the payload of a
    /// [`vn::Read`] or [`vn::Write`] start within its trailing padding.
    const DATA: usize;
}

/// Lets structs whose field `req` is their header start a frame.
macro_rules! frames {
    ($($frame:ty),+ $(,)?) => { $(
        impl $crate::abi::Frame for $frame {
            fn req(&self) -> &$crate::abi::Req {
                &self.req
            }

            fn req_mut(&mut self) -> &mut $crate::abi::Req {
                &mut self.req
            }
        }
    )+ };
}
use frames;

/// Gives the messages of one class their operation numbers.
macro_rules! messages {
    ($class:ident, $op:ident: $($message:ident = $number:ident),+ $(,)?) => {
        $crate::abi::frames!($($message),+);
        $(
            impl $crate::abi::Message for $message {
                const CLASS: $crate::abi::OpClass = $crate::abi::OpClass::$class;
                const OP: u16 = $op::$number as u16;
            }
        )+
    };
}
use messages;

/// Says that the payload of these frames begins at their field `data`.
macro_rules! payloads {
    ($($frame:ident),+ $(,)?) => { $(
        impl $crate::abi::Payload for $frame {
            const DATA: usize = core::mem::offset_of!($frame, data);
        }
    )+ };
}
use payloads;

/// An integer from the wire that names none of the alternatives it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNumber;

/// Defines an enum whose variants are numbers of the protocol, and the
/// conversions between the two.
macro_rules! numbers {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $repr:ty {
            $( $(#[$doc:meta])* $variant:ident = $number:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr($repr)]
        pub enum $name {
            $( $(#[$doc])* $variant = $number, )+
        }

        impl $name {
            /// Every alternative, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl From<$name> for $repr {
            fn from(value: $name) -> Self {
                value as Self
            }
        }

        impl TryFrom<$repr> for $name {
            type Error = $crate::abi::UnknownNumber;

            fn try_from(number: $repr) -> Result<Self, $crate::abi::UnknownNumber> {
                match number {
                    $( $number => Ok(Self::$variant), )+
                    _ => Err($crate::abi::UnknownNumber),
                }
            }
        }
    };
}
use numbers;
