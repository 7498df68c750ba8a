//! The translation for servers whose `time_t` and `dev_t` have 32 bits (C:
//! `puffs_compat.c`).
//!
//! A request goes out in the server's form, and its reply comes back into the
//! form that the kernel made. The two differ in one place: in the attributes,
//! which have times, or in the number of a device. What comes before it is the
//! same, and so is what follows it, as far as the server's form goes.

use crate::{
    abi::{self, consts::VNOVAL, time32, vfs, vn, OpClass, Req, Timespec, Vattr, VfsOp, VnOp},
    kern::{Errno, KBytes, Result, Sleep},
};
use core::mem::offset_of;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// What differs.
enum Part {
    Attributes,
    Device,
}

/// Where things are in one form of a message.
struct Side {
    /// What follows the part that differs.
    tail: usize,
    /// Its end, but for a payload.
    end: usize,
}

/// Both forms of a message.
struct Forms {
    part: Part,
    /// Where the part that differs is, in both.
    start: usize,
    native: Side,
    wire: Side,
}

/// The forms of a message, from its two structs, the field that differs, and
/// the one that follows it in both.
macro_rules! forms {
    ($native:ty, $wire:ty, $part:ident = $field:ident $(, $tail:ident)?) => {{
        const FORMS: &Forms = &Forms {
            part: Part::$part,
            start: offset_of!($native, $field),
            native: forms!(@side $native $(, $tail)?),
            wire: forms!(@side $wire $(, $tail)?),
        };
        const { assert!(FORMS.start == offset_of!($wire, $field)) };
        FORMS
    }};

    (@side $struct:ty $(, $tail:ident)?) => {{
        let end = size_of::<$struct>();
        // Without a tail, there is nothing behind the end.
        let tail = end;
        $( let tail = tail - end + offset_of!($struct, $tail); )?
        Side { tail, end }
    }};
}

/// The forms of a request, if there are two.
fn forms_of(request: &[u8]) -> Option<&'static Forms> {
    let (header, _) = Req::ref_from_prefix(request).ok()?;
    match OpClass::try_from(header.opclass & abi::OPCLASS_MASK).ok()? {
        OpClass::Vfs => match VfsOp::try_from(header.optype).ok()? {
            VfsOp::Fhtovp => Some(forms!(
                vfs::FhToNode,
                time32::FhToNode,
                Device = rdev,
                dsize
            )),
            _ => None,
        },
        OpClass::Vn => match VnOp::try_from(header.optype).ok()? {
            VnOp::Lookup => Some(forms!(vn::Lookup, time32::Lookup, Device = rdev)),
            VnOp::Create => Some(forms!(vn::Create, time32::Create, Attributes = va, newnode)),
            VnOp::Mknod => Some(forms!(vn::Mknod, time32::Create, Attributes = va, newnode)),
            VnOp::Mkdir => Some(forms!(vn::Mkdir, time32::Create, Attributes = va, newnode)),
            VnOp::Symlink => Some(forms!(
                vn::Symlink,
                time32::Symlink,
                Attributes = va,
                newnode
            )),
            VnOp::Getattr => Some(forms!(vn::Getattr, time32::Attributes, Attributes = va)),
            VnOp::Setattr => Some(forms!(vn::Setattr, time32::Attributes, Attributes = va)),
            _ => None,
        },
        _ => None,
    }
}

/// The form of `request` for such a server, if it differs (C:
/// `puffs_compat_outgoing`). May sleep.
///
/// # Errors
/// ENOMEM.
pub(super) fn outgoing(request: &[u8]) -> Result<Option<KBytes>> {
    let Some(forms) = forms_of(request) else {
        return Ok(None);
    };
    let payload = request.len().checked_sub(forms.native.end);
    let len = forms.wire.end + payload.ok_or(Errno::EINVAL)?;
    let mut wire = KBytes::zeroed(len, Sleep::Yes).ok_or(Errno::ENOMEM)?;
    let to = wire.bytes_mut();
    copy(to, 0, request, 0, forms.start);
    copy(
        to,
        forms.wire.tail,
        request,
        forms.native.tail,
        len - forms.wire.tail,
    );
    match forms.part {
        Part::Attributes => {
            let native: Vattr = read(request, forms.start);
            write(to, forms.start, &to_time32(&native));
        }
        Part::Device => {
            let native: u64 = read(request, forms.start);
            write(to, forms.start, &(native as u32));
        }
    }
    Ok(Some(wire))
}

/// Copies a reply, in the server's form, over the request (C:
/// `puffs_compat_incoming`).
///
/// The reply was judged: it is an answer to that request and as long as its
/// form of it needs. What it has not, it has from [`outgoing`].
pub(super) fn incoming(reply: &[u8], request: &mut [u8]) {
    let Some(forms) = forms_of(request) else {
        return;
    };
    let tail = reply.len().saturating_sub(forms.wire.tail);
    copy(request, 0, reply, 0, forms.start);
    copy(request, forms.native.tail, reply, forms.wire.tail, tail);
    match forms.part {
        Part::Attributes => write(request, forms.start, &to_native(&read(reply, forms.start))),
        Part::Device => {
            let device = device_to_native(read(reply, forms.start));
            write(request, forms.start, &device);
        }
    }
}

/// Copies bytes, if both have them.
fn copy(to: &mut [u8], to_start: usize, from: &[u8], from_start: usize, len: usize) {
    let to = to.get_mut(to_start..).and_then(|to| to.get_mut(..len));
    let from = from.get(from_start..).and_then(|from| from.get(..len));
    debug_assert!(to.is_some() && from.is_some());
    if let Some((to, from)) = to.zip(from) {
        to.copy_from_slice(from);
    }
}

/// The value at `start`, in a message that has one.
fn read<T: FromBytes>(message: &[u8], start: usize) -> T {
    let value = message.get(start..).map(T::read_from_prefix);
    debug_assert!(matches!(value, Some(Ok(_))));
    match value {
        Some(Ok((value, _))) => value,
        _ => T::new_zeroed(),
    }
}

/// Stores the value at `start`, in a message that has room for one.
fn write<T: IntoBytes + zerocopy::Immutable>(message: &mut [u8], start: usize, value: &T) {
    let bytes = value.as_bytes();
    copy(message, start, bytes, 0, bytes.len());
}

/// C: `timespec_to_timespec50`.
fn time_to_time32(native: Timespec) -> time32::Timespec {
    let mut time = time32::Timespec::new_zeroed();
    // What does not fit is cut off, as wherever such programs are told a time.
    time.sec = native.sec as i32;
    time.nsec = native.nsec;
    time
}

/// C: `timespec50_to_timespec`.
fn time_to_native(time: time32::Timespec) -> Timespec {
    Timespec {
        sec: time.sec.into(),
        nsec: time.nsec,
    }
}

/// Copies the attributes that have the same type in both forms.
macro_rules! copy_alike {
    ($from:ident to $to:ident) => {
        copy_alike!($from to $to: vtype mode nlink uid gid fileid size blocksize gen flags bytes filerev vaflags)
    };
    ($from:ident to $to:ident: $($field:ident)+) => { $( $to.$field = $from.$field; )+ };
}

/// C: `vattr_to_50`, which has the flags of the file in `vaflags`.
fn to_time32(native: &Vattr) -> time32::Vattr {
    let mut va = time32::Vattr::new_zeroed();
    copy_alike!(native to va);
    va.fsid = native.fsid as u32;
    va.atime = time_to_time32(native.atime);
    va.mtime = time_to_time32(native.mtime);
    va.ctime = time_to_time32(native.ctime);
    va.birthtime = time_to_time32(native.birthtime);
    va.rdev = native.rdev as u32;
    va
}

/// C: `vattr_from_50`, which has the flags of the file in `vaflags`.
fn to_native(va: &time32::Vattr) -> Vattr {
    let mut native = Vattr::new_zeroed();
    copy_alike!(va to native);
    native.fsid = va.fsid.into();
    native.atime = time_to_native(va.atime);
    native.mtime = time_to_native(va.mtime);
    native.ctime = time_to_native(va.ctime);
    native.birthtime = time_to_native(va.birthtime);
    native.rdev = device_to_native(va.rdev);
    native
}

/// No device is no device in both.
fn device_to_native(device: u32) -> u64 {
    match device {
        u32::MAX => VNOVAL as u64,
        device => device.into(),
    }
}
