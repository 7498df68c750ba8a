//! Replies that are none, to every kind of request.

use super::kinds::{kinds, Kind};
use crate::{
    case::{Case, Ends, Told},
    Frame,
};
use puffs_rs::{
    abi::{OpClass, Req, OPCLASS_MASK},
    kern::Errno,
};

const FAMILY: &str = "replies";

/// A case for each kind of request that `select` wants: it is answered with
/// what `spoil` makes of a good reply.
fn each(
    title: &'static str,
    rows: &'static [u8],
    select: fn(&Kind) -> bool,
    spoil: fn(&Frame, Frame) -> Frame,
    expect: (Ends, Told),
) -> Vec<Case> {
    let case = |kind: Kind| {
        Case::new(FAMILY, title)
            .variant(kind.name)
            .rows(rows)
            .args(move |args| kind.set_args(args))
            .caller(expect.0)
            .told(expect.1)
            .body(move |script| {
                let answer = |request: &Frame| spoil(request, (kind.good)(request));
                kind.ask_and(script, answer).into()
            })
    };
    kinds().into_iter().filter(select).map(case).collect()
}

const WELL: (Ends, Told) = (Ends::Well, Told::Nothing);

/// The caller gets EPROTO, and this is what the server is told.
const fn broken(complaint: i32) -> (Ends, Told) {
    (Ends::With(Errno::EPROTO), Told::Complaint(complaint))
}

fn all(_: &Kind) -> bool {
    true
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [
        each("a good reply", &[], all, |_, good| good, WELL),
        each(
            "an errno in a header",
            &[],
            all,
            |request, _| request.reply_error(Errno::EIO.get()),
            (Ends::With(Errno::EIO), Told::Nothing),
        ),
        each(
            "success in a header where nothing is read back",
            &[],
            |kind| !kind.reads_back,
            |request, _| request.reply_header(),
            WELL,
        ),
        each(
            "success in a header where more is read back",
            &[16],
            |kind| kind.reads_back,
            |request, _| request.reply_header(),
            broken(Errno::EPROTO.get()),
        ),
        each(
            "a reply that is longer by a byte than may be",
            &[1],
            all,
            |request, mut good| {
                good.resize(request.req().buflen + 1);
                good
            },
            broken(Errno::E2BIG.get()),
        ),
        each(
            "a reply that is as long as 200,000 bytes",
            &[1],
            all,
            |_, mut good| {
                good.resize(200_000);
                good
            },
            broken(Errno::E2BIG.get()),
        ),
        each(
            "a reply of another class",
            &[21],
            all,
            |_, mut good| {
                let vn = u16::from(OpClass::Vn);
                let class = if good.req().opclass & OPCLASS_MASK == vn {
                    OpClass::Vfs
                } else {
                    OpClass::Vn
                };
                good.req_mut().opclass = class.into();
                good
            },
            broken(Errno::EINVAL.get()),
        ),
        each(
            "a reply of another operation",
            &[21],
            all,
            |_, mut good| {
                good.req_mut().optype ^= 1;
                good
            },
            broken(Errno::EINVAL.get()),
        ),
        each(
            "an errno that is negative",
            &[],
            all,
            |request, _| request.reply_error(-3),
            broken(-3),
        ),
        each(
            "an errno beyond the last",
            &[],
            all,
            |request, _| request.reply_error(97),
            broken(97),
        ),
        cut_short(),
    ]
    .concat()
}

/// A frame that is no whole header is no reply: the server is told, and the
/// request still waits.
fn cut_short() -> Vec<Case> {
    let case = |kind: Kind| {
        Case::new(FAMILY, "a good reply after one that ends inside the header")
            .variant(kind.name)
            .rows(&[2])
            .args(move |args| kind.set_args(args))
            .told(Told::Response(Errno::EINVAL.get()))
            .body(move |script| {
                let (call, request) = kind.start(script);
                let good = (kind.good)(&request);
                let mut short = good.clone();
                short.resize(size_of::<Req>() - 1);
                script.send(&short);
                script.notice();
                script.send(&good);
                script.join(call).into()
            })
    };
    kinds().into_iter().map(case).collect()
}
