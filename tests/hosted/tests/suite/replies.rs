//! What a server may answer, and what becomes of answers that cannot be true:
//! the caller gets EPROTO, the server is told, the mount goes on, and nothing
//! is left.

use puffs_hosted::{
    bench::{attributes, found, header_frame, Bench, MNT},
    kernel::VnodeRef,
    server::{Frame, ROOT},
    user::{Task, User},
    vnops::request,
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, Frame as _, Message, OpClass, Payload, Req, Vtype},
    kern::{Errno, Result},
};

const FILE: Cookie = Cookie(0x5000);

/// A kind of request: how it is made, and a good reply to it.
struct Kind {
    name: &'static str,
    ask: fn(&User, &VnodeRef) -> Result<()>,
    good: fn(&Frame) -> Frame,
    /// A success needs more than a header.
    reads_back: bool,
}

fn plain<T: Message>(vnode: &VnodeRef) -> Result<()> {
    request::<T, _>(vnode, 0, 0, |_, _| {}, |_, _| ())
}

fn whole<T: Message>(frame: &Frame) -> Frame {
    frame.reply_with::<T>(|_| {})
}

const ROOM: usize = 512;

macro_rules! kind {
    ($message:ident, $reads_back:expr) => {
        Kind {
            name: stringify!($message),
            ask: |_, vnode| plain::<vn::$message>(vnode),
            good: whole::<vn::$message>,
            reads_back: $reads_back,
        }
    };
    ($message:ident, resid: $data:expr) => {
        Kind {
            name: stringify!($message),
            ask: |_, vnode| {
                request::<vn::$message, _>(vnode, ROOM, 0, |msg, _| msg.resid = ROOM, |_, _| ())
            },
            good: |frame| {
                frame.reply_data::<vn::$message>(&$data, |reply| reply.resid = ROOM - $data.len())
            },
            reads_back: true,
        }
    };
}

/// Every kind of request that has a reply.
fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            good: |frame| found(frame, FILE, Vtype::Reg, 1),
            ..kind!(Lookup, true)
        },
        kind!(Create, true),
        kind!(Mknod, true),
        kind!(Mkdir, true),
        kind!(Symlink, true),
        kind!(Open, true),
        kind!(Access, false),
        Kind {
            good: |frame| attributes(frame, Vtype::Dir, 1),
            ..kind!(Getattr, true)
        },
        kind!(Setattr, false),
        kind!(Read, resid: [7; 100]),
        Kind {
            good: |frame| frame.reply_with::<vn::Write>(|reply| reply.resid = 0),
            ..kind!(Write, resid: [0; 0])
        },
        kind!(Poll, true),
        kind!(Mmap, false),
        kind!(Fsync, false),
        kind!(Seek, false),
        kind!(Remove, false),
        kind!(Link, false),
        kind!(Rename, false),
        kind!(Rmdir, false),
        kind!(Readdir, resid: [0; 0]),
        kind!(Readlink, true),
        kind!(Inactive, false),
        kind!(Print, false),
        kind!(Pathconf, true),
        kind!(Advlock, false),
        kind!(Getextattr, resid: [7; 100]),
        kind!(Listextattr, resid: [7; 100]),
        Kind {
            good: |frame| frame.reply_with::<vn::Setextattr>(|reply| reply.resid = 0),
            ..kind!(Setextattr, resid: [0; 0])
        },
        kind!(Deleteextattr, false),
        kind!(Fallocate, false),
        kind!(Fdiscard, false),
        Kind {
            name: "Statvfs",
            ask: |user, _| user.statvfs(MNT).map(drop),
            good: whole::<vfs::Statvfs>,
            reads_back: true,
        },
        Kind {
            name: "Sync",
            ask: |user, _| user.sync(MNT, 1),
            good: whole::<vfs::Sync>,
            reads_back: false,
        },
        Kind {
            name: "Vptofh",
            ask: |user, _| user.getfh(MNT, 12).map(drop).map_err(|(error, _)| error),
            good: |frame| frame.reply_data::<vfs::NodeToFh>(&[1; 8], |reply| reply.dsize = 8),
            reads_back: true,
        },
    ]
}

/// Has each kind of request answered by what `answer` makes of a good reply,
/// and expects this of the caller, and whether the server is told of it.
fn each(
    answer: impl Fn(&Kind, &Frame, Frame) -> Frame,
    expect: impl Fn(&Kind) -> (Result<()>, bool),
) {
    let bench = Bench::new();
    let root = bench.root();
    for kind in kinds() {
        let (ask, vnode) = (kind.ask, root.again());
        let call = bench.call(move |user| ask(user, &vnode));
        let request = bench.frame();
        let good = (kind.good)(&request);
        bench.send(&answer(&kind, &request, good));
        let (outcome, told) = expect(&kind);
        assert_eq!(call.join(), outcome, "{}", kind.name);
        if told {
            bench.complaint();
        }
        bench.assert_quiet();
        bench.assert_alive();
    }
    drop(root);
    bench.finish();
}

const PROTO: (Result<()>, bool) = (Err(Errno::EPROTO), true);

#[test]
fn a_good_reply_to_every_request_is_a_success() {
    each(|_, _, good| good, |_| (Ok(()), false));
}

#[test]
fn an_errno_needs_only_a_header() {
    each(
        |_, request, _| request.reply_error(5),
        |_| (Err(Errno::EIO), false),
    );
}

#[test]
fn a_header_is_no_success_where_more_is_read_back() {
    let expect = |kind: &Kind| {
        if kind.reads_back {
            PROTO
        } else {
            (Ok(()), false)
        }
    };
    each(|_, request, _| request.reply_header(), expect);
}

#[test]
fn a_reply_that_ends_early_is_no_success_where_more_is_read_back() {
    let expect = |kind: &Kind| {
        if kind.reads_back {
            PROTO
        } else {
            (Ok(()), false)
        }
    };
    let short = |_: &Kind, request: &Frame, _: Frame| {
        request.reply(request.req().buflen.min(size_of::<Req>() + 4))
    };
    each(short, expect);
}

#[test]
fn a_reply_longer_than_its_request_allows_is_refused() {
    let longer = |_: &Kind, request: &Frame, mut good: Frame| {
        good.resize(request.req().buflen + 1);
        good
    };
    each(longer, |_| PROTO);
    let much_longer = |_: &Kind, _: &Frame, mut good: Frame| {
        good.resize(200_000);
        good
    };
    each(much_longer, |_| PROTO);
}

#[test]
fn a_reply_of_another_class_is_refused() {
    let other = |_: &Kind, request: &Frame, mut good: Frame| {
        let vn = u16::from(OpClass::Vn);
        let class = if request.req().opclass == vn {
            OpClass::Vfs
        } else {
            OpClass::Vn
        };
        good.req_mut().opclass = class.into();
        good
    };
    each(other, |_| PROTO);
}

#[test]
fn a_reply_of_another_operation_is_refused() {
    let other = |_: &Kind, _: &Frame, mut good: Frame| {
        good.req_mut().optype ^= 1;
        good
    };
    each(other, |_| PROTO);
}

#[test]
fn an_errno_that_does_not_exist_is_refused() {
    for rv in [-1, -3, 97, 1000, i32::MIN, i32::MAX] {
        let bad = |_: &Kind, request: &Frame, _: Frame| request.reply_error(rv);
        each(bad, |_| PROTO);
    }
}

#[test]
fn the_largest_errno_is_passed_on() {
    each(
        |_, request, _| request.reply_error(96),
        |_| (Err(Errno::EPROTO), false),
    );
}

#[test]
fn a_write_that_is_no_frame_is_refused_by_the_device() {
    let bench = Bench::new();
    for (framelen, len) in [
        (0, 64),
        (7, 64),
        (65, 64),
        (u64::MAX as usize, 64),
        (1 << 30, 64),
    ] {
        let mut frame = Frame::new(len);
        frame.set_framelen(framelen);
        assert_eq!(
            bench.try_send(&frame),
            Err(Errno::EINVAL),
            "{framelen} of {len}"
        );
    }
    for len in 0..8 {
        assert_eq!(
            bench.try_send(&Frame::from_bytes(&vec![0; len])),
            Err(Errno::EINVAL)
        );
    }
    bench.assert_alive();
    bench.finish();
}

/// How many blocks of memory `frames` cost that are never answered by a read.
fn unread(frames: usize, frame: &Frame) -> usize {
    let bench = Bench::new();
    for _ in 0..frames {
        bench.send(frame);
    }
    let left = bench.kernel.outstanding()["kmem"].objects;
    bench.finish();
    left
}

#[test]
fn a_server_that_sends_rubbish_and_never_reads_does_not_fill_the_memory() {
    let left = unread(5000, &header_frame(OpClass::Vn.into(), 0, 999));
    assert!(left < 1200, "{left} blocks");
}

#[test]
fn a_server_that_asks_and_never_reads_does_not_fill_the_memory() {
    let left = unread(70_000, &header_frame(0, 0, 1));
    assert!(left < 66_000, "{left} blocks");
}

// What replies say.

fn ask<T: Send + 'static>(
    bench: &Bench,
    ask: impl FnOnce(&User, &VnodeRef) -> T + Send + 'static,
) -> Task<T> {
    let root = bench.root();
    bench.call(move |user| ask(user, &root))
}

/// One reply with a fault: the caller gets EPROTO and the server is told.
fn refused(ask: fn(&User, &VnodeRef) -> Result<()>, reply: fn(&Frame) -> Frame) {
    let bench = Bench::new();
    let root = bench.root();
    let call = bench.call(move |user| ask(user, &root));
    let request = bench.frame();
    bench.send(&reply(&request));
    assert_eq!(call.join(), Err(Errno::EPROTO));
    bench.complaint();
    bench.assert_alive();
    bench.finish();
}

fn read_100(_: &User, root: &VnodeRef) -> Result<()> {
    request::<vn::Read, _>(root, 100, 0, |msg, _| msg.resid = 100, |_, _| ())
}

#[test]
fn a_reply_may_end_inside_the_padding_before_its_payload() {
    let write_100 = |_: &User, root: &VnodeRef| {
        request::<vn::Write, _>(root, 100, 0, |msg, _| msg.resid = 100, |_, _| ())
    };
    let bench = Bench::new();
    for (ask, data) in [(read_100 as fn(&User, &VnodeRef) -> _, 2), (write_100, 0)] {
        let root = bench.root();
        let call = bench.call(move |user| ask(user, &root));
        let mut reply = bench
            .frame()
            .reply_data::<vn::Read>(&[1; 2], |reply| reply.resid = 98);
        reply.resize(vn::Read::DATA + data);
        bench.send(&reply);
        assert_eq!(call.join(), Ok(()));
    }
    bench.assert_alive();
    bench.finish();
}

#[test]
fn a_listing_with_too_many_cookies_is_refused() {
    refused(
        |user, _| user.readdir_cookies(MNT, 4096).map(drop),
        |request| request.reply_data::<vn::Readdir>(&[], |reply| reply.ncookies += 1),
    );
    refused(
        |user, _| user.readdir(MNT, 4096).map(drop),
        |request| request.reply_data::<vn::Readdir>(&[], |reply| reply.ncookies = 1),
    );
}

#[test]
fn credentials_names_and_ids_are_the_callers() {
    let bench = Bench::new();
    let pid = bench.user.pid();
    let call = bench.call(|user| user.vnode("/mnt/some name").map(drop));
    let request = bench.next::<vn::Lookup>();
    assert_eq!(request.req().pid, pid);
    assert_eq!(request.req().lid, call.lwp().lid());
    assert_eq!(request.req().cookie, ROOT);
    let body = request.get::<vn::Lookup>();
    assert_eq!(&body.cn.name[..10], b"some name\0");
    assert_eq!(body.cn.namelen, 9);
    assert_eq!(body.cn_cred.uuc.uid, 1000);
    assert_eq!(body.cn_cred.uuc.groups[..2], [100, 200]);
    assert_eq!(request.req().pth.framelen as usize, request.len());
    bench.send(&request.reply_error(2));
    assert_eq!(call.join(), Err(Errno::ENOENT));
    bench.finish();
}

#[test]
fn the_part_that_only_a_reply_fills_is_kept_back() {
    let bench = Bench::new();
    let call = ask(&bench, |_, root| {
        request::<vn::Read, _>(
            root,
            5000,
            5000,
            |msg, _| msg.resid = 5000,
            |msg, bytes| {
                (
                    msg.resid,
                    bytes[vn::Read::DATA..vn::Read::DATA + 5000].to_vec(),
                )
            },
        )
    });
    let request = bench.next::<vn::Read>();
    assert_eq!(request.len(), size_of::<vn::Read>());
    assert_eq!(request.req().buflen, size_of::<vn::Read>() + 5000);
    let data: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
    bench.send(&request.reply_data::<vn::Read>(&data, |reply| reply.resid = 0));
    assert_eq!(call.join(), Ok((0, data)));
    assert_eq!(request.get::<vn::Read>().req().cookie, ROOT);
    bench.finish();
}
