//! What an accepted reply gets from us before anyone reads it.
//!
//! The judgement refuses what cannot be true. Where a server merely says less
//! than the code that reads the reply takes for granted, or more than it can
//! hold, the reply is completed here.

use super::{listing, reply::Terms};
use crate::{
    abi::{self, vn, Message, OpClass, Payload, Req, Timespec, Vattr, VnOp},
    kern,
};
use zerocopy::{FromBytes, FromZeros};

/// How the reply to a request is to be completed.
pub(super) enum Amends {
    /// A listing of so many bytes, and at most so many cookies.
    ///
    /// Without entries it is at its end. Who asks for cookies takes one from
    /// each entry without counting them (the system calls of older releases),
    /// but servers give less: psshfs none for the last entry, and some none at
    /// all. What is missing is the offset at which the listing goes on.
    Listing(usize, usize),
    /// Attributes, which are cached if they have a time to live.
    ///
    /// getcwd(3) allocates as much memory as it takes to read a block, and a
    /// time is computed in ticks, in an `int`.
    Attributes(VnOp),
}

impl Amends {
    /// How the reply to `request` is to be completed, if at all.
    pub(super) fn of(request: &[u8]) -> Option<Amends> {
        let (header, _) = Req::ref_from_prefix(request).ok()?;
        if header.opclass & abi::OPCLASS_MASK != u16::from(OpClass::Vn) {
            return None;
        }
        match VnOp::try_from(header.optype).ok()? {
            VnOp::Readdir => {
                let (asked, _) = vn::Readdir::ref_from_prefix(request).ok()?;
                Some(Amends::Listing(asked.resid, asked.ncookies))
            }
            op @ (VnOp::Getattr
            | VnOp::Setattr
            | VnOp::Lookup
            | VnOp::Create
            | VnOp::Mknod
            | VnOp::Mkdir
            | VnOp::Symlink) => Some(Amends::Attributes(op)),
            _ => None,
        }
    }

    /// Completes an accepted success, in the form that the kernel knows.
    pub(super) fn make(self, terms: Terms, message: &mut [u8]) {
        match self {
            Amends::Listing(asked, cookies) => entries(asked, cookies, message),
            Amends::Attributes(op) => attributes(op, terms, message),
        }
    }
}

fn body<T: Message>(message: &mut [u8]) -> Option<&mut T> {
    T::mut_from_prefix(message).ok().map(|(body, _)| body)
}

fn entries(asked: usize, cookies: usize, message: &mut [u8]) {
    let Some(answer) = body::<vn::Readdir>(message) else {
        return;
    };
    let moved = asked.saturating_sub(answer.resid);
    if moved == 0 {
        answer.eofflag = 1;
        return;
    }
    if cookies == 0 {
        return;
    }
    let (start, next, given) = (answer.dentoff, answer.offset, answer.ncookies);
    let Some(data) = message.get_mut(vn::Readdir::DATA..) else {
        return;
    };
    let Some((room, data)) = data.split_at_mut_checked(start) else {
        return;
    };
    let count = data.get(..moved).and_then(listing::count);
    let count = count.unwrap_or(0).min(cookies);
    let missing = room.chunks_exact_mut(size_of::<i64>()).take(count);
    for cookie in missing.skip(given) {
        cookie.copy_from_slice(&next.to_ne_bytes());
    }
    if let Some(answer) = body::<vn::Readdir>(message) {
        answer.ncookies = given.max(count);
    }
}

fn attributes(op: VnOp, terms: Terms, message: &mut [u8]) {
    macro_rules! parts {
        ($($message:ident: $($ttl:ident)+;)+) => {
            match op {
                $(VnOp::$message => {
                    if let Some(answer) = body::<vn::$message>(message) {
                        limit_block(&mut answer.va, terms);
                        $(limit_time(&mut answer.$ttl);)+
                    }
                })+
                _ => {}
            }
        };
    }
    parts! {
        Getattr: va_ttl;
        Setattr: va_ttl;
        Lookup: va_ttl cn_ttl;
        Create: va_ttl cn_ttl;
        Mknod: va_ttl cn_ttl;
        Mkdir: va_ttl cn_ttl;
        Symlink: va_ttl cn_ttl;
    }
}

/// No more is read at once than a message holds.
fn limit_block(va: &mut Vattr, terms: Terms) {
    let most = isize::try_from(terms.maxmsglen).unwrap_or(isize::MAX);
    va.blocksize = va.blocksize.min(most);
}

/// For ever is half of what the clock can count. A time before now is none.
fn limit_time(ttl: &mut Timespec) {
    if ttl.sec == 0 && ttl.nsec == 0 {
        return;
    }
    if ttl.sec < 0 || ttl.nsec < 0 {
        *ttl = Timespec::new_zeroed();
    }
    ttl.sec = ttl.sec.min(i64::from(i32::MAX / 2 / kern::hz().max(1)));
    ttl.nsec = ttl.nsec.min(999_999_999);
}
