//! Frames of the server's that are no replies.

use super::kinds::{path, FILE};
use crate::{
    case::{Case, Ends, Told},
    script::{ask_for, attributes, header, Answer, Call, Notice, Rule, Script, MNT},
    world::{Ability, How, Stat},
    Frame,
};
use puffs_rs::{
    abi::{
        vn, OpClass, PutterHdr, Req, VnOp, Vtype, KFLAG_IAONDEMAND, OPCLASS_FAF, OPCLASS_RESPONSE,
        SETBACK_INACT_N1, SETBACK_NOREF_N2,
    },
    kern::{Errno, Result},
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

const FAMILY: &str = "dispatch";

/// `SIGINT`.
const SIGINT: i32 = 2;

/// What a server is told of a reply to no request.
const NO_REQUEST: Told = Told::Complaint(Errno::EINVAL.get());

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [
        unknown_ids(),
        stale_replies(),
        replies_to_nobody(),
        classes(),
        short_frames(),
        lengths(),
    ]
    .concat()
}

/// Starts a `stat(2)` of the root, up to where the server has the request.
fn ask(script: &Script) -> (Call<Result<Stat>>, Frame) {
    let call = script.call(|calls| calls.stat(MNT));
    (call, script.next::<vn::Getattr>())
}

fn good(request: &Frame) -> Frame {
    attributes(request, Vtype::Dir, 5)
}

// Ids.

/// A reply to no request, while another one waits: that goes on waiting.
fn unknown_ids() -> Vec<Case> {
    let case = |variant: &'static str, change: fn(u64) -> u64| {
        Case::new(FAMILY, "a reply with an id that no request has")
            .variant(variant)
            .rows(&[21])
            .told(NO_REQUEST)
            .body(move |script| {
                let (call, request) = ask(script);
                let mut reply = good(&request);
                reply.req_mut().id = change(request.req().id);
                script.send(&reply);
                script.notice();
                assert!(!call.is_done(), "the caller has a reply to another request");
                script.send(&good(&request));
                script.join(call).into()
            })
    };
    vec![
        case("0", |_| 0),
        case("the next", |id| id + 1),
        case("the one before", |id| id.wrapping_sub(1)),
        case("the last", |_| u64::MAX),
    ]
}

fn stale_replies() -> Vec<Case> {
    vec![
        Case::new(FAMILY, "a reply comes twice")
            .rows(&[21])
            .told(NO_REQUEST)
            .body(|script| {
                let (call, request) = ask(script);
                script.send(&good(&request));
                let ends = script.join(call).into();
                script.send(&good(&request));
                script.notice();
                ends
            }),
        Case::new(FAMILY, "a reply comes twice before its caller is back")
            .rows(&[21])
            .told(NO_REQUEST)
            .body(|script| {
                let (call, request) = ask(script);
                script.send(&good(&request));
                script.send(&attributes(&request, Vtype::Dir, 6));
                script.notice();
                assert_eq!(script.join(call).map(|stat| stat.size), Ok(5));
                Ends::Well
            }),
        Case::new(FAMILY, "a reply comes again a hundred requests later")
            .rows(&[21])
            .told(NO_REQUEST)
            .body(|script| {
                let (call, request) = ask(script);
                script.send(&good(&request));
                assert!(script.join(call).is_ok());
                for _ in 0..100 {
                    assert!(script.run(|calls| calls.stat(MNT)).is_ok());
                }
                let (call, other) = ask(script);
                script.send(&attributes(&request, Vtype::Dir, 6));
                script.notice();
                script.send(&good(&other));
                assert_eq!(script.join(call).map(|stat| stat.size), Ok(5));
                Ends::Well
            }),
        Case::new(FAMILY, "a reply whose caller left")
            .needs(Ability::Signals)
            .caller(Ends::With(Errno::EINTR))
            .body(|script| {
                let (call, request) = ask(script);
                call.signal(SIGINT);
                let ends = script.join(call).into();
                script.send(&good(&request));
                ends
            }),
        Case::new(FAMILY, "a reply whose caller left comes twice")
            .rows(&[21])
            .needs(Ability::Signals)
            .caller(Ends::With(Errno::EINTR))
            .told(NO_REQUEST)
            .body(|script| {
                let (call, request) = ask(script);
                call.signal(SIGINT);
                let ends = script.join(call).into();
                script.send(&good(&request));
                assert!(script.told().is_empty(), "the first one is dropped");
                script.send(&good(&request));
                script.notice();
                ends
            }),
    ]
}

// Requests that nobody waits for, or whose outcome nobody wants.

fn replies_to_nobody() -> Vec<Case> {
    vec![
        Case::new(FAMILY, "a reply to what is fire and forget")
            .variant("CLOSE")
            .rows(&[21])
            .told(NO_REQUEST)
            .args(|args| ask_for(args, &[VnOp::Close]))
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                script.expect(Rule::on::<vn::Close>().of(FILE).reply(Frame::reply_header));
                let open_and_close = |calls: &dyn crate::world::Calls| {
                    let file = calls.open(&path("f"), How::default())?;
                    calls.close(file)
                };
                let ends = script.run(open_and_close).into();
                script.notice();
                ends
            }),
        Case::new(FAMILY, "a reply to what is fire and forget")
            .variant("RECLAIM")
            .rows(&[21])
            .told(NO_REQUEST)
            .args(|args| ask_for(args, &[VnOp::Remove, VnOp::Reclaim]))
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                script.expect(Rule::on::<vn::Remove>().reply(|request| {
                    let mut reply = request.reply_header();
                    reply.req_mut().setbacks = SETBACK_NOREF_N2;
                    reply
                }));
                script.expect(
                    Rule::on::<vn::Reclaim>()
                        .of(FILE)
                        .reply(Frame::reply_header),
                );
                let ends = script.run(|calls| calls.unlink(&path("f"))).into();
                script.notice();
                ends
            }),
        inactive("well", Told::Nothing, |request| {
            Answer::Reply(request.reply_header())
        }),
        inactive("with an errno", Told::Nothing, |request| {
            Answer::Reply(request.reply_error(Errno::EIO.get()))
        }),
        inactive(
            "with an errno that is none",
            Told::Complaint(1000),
            |request| Answer::Reply(request.reply_error(1000)),
        ),
        inactive("twice", NO_REQUEST, |request| {
            Answer::Replies(vec![request.reply_header(), request.reply_header()])
        }),
    ]
}

/// The kernel waits for the answer to INACTIVE, and does not look at it.
fn inactive(variant: &'static str, told: Told, answer: fn(&Frame) -> Answer) -> Case {
    Case::new(FAMILY, "INACTIVE is answered")
        .variant(variant)
        .rows(&[21])
        .told(told)
        .args(|args| {
            args.flags |= KFLAG_IAONDEMAND;
            ask_for(args, &[VnOp::Inactive]);
        })
        .body(move |script| {
            script.file("f", FILE, Vtype::Reg, 0);
            script.allow(
                Rule::on::<vn::Getattr>()
                    .of(FILE)
                    .times(1)
                    .reply(|request| {
                        let mut reply = attributes(request, Vtype::Reg, 0);
                        reply.req_mut().setbacks = SETBACK_INACT_N1;
                        reply
                    }),
            );
            script.allow(Rule::on::<vn::Inactive>().of(FILE).times(1).answer(answer));
            let ends = script.run(|calls| calls.stat(&path("f"))).into();
            script.until("INACTIVE", || script.count::<vn::Inactive>() == 1);
            ends
        })
}

// Classes.

fn classes() -> Vec<Case> {
    let classes: [(&str, u16); 5] = [
        ("none", 0),
        ("CACHE", OpClass::Cache as u16),
        ("ERROR", OpClass::Error as u16),
        ("SUSPEND", OpClass::Suspend as u16),
        ("none, with every flag", !7),
    ];
    let case = |(variant, class): (&'static str, u16)| {
        Case::new(FAMILY, "a frame of a class that servers do not send")
            .variant(variant)
            .rows(&[21])
            .told(Told::Response(Errno::EOPNOTSUPP.get()))
            .body(move |script| {
                let (call, request) = ask(script);
                script.send(&header(class, 0, 9));
                let refused = Notice::Response(9, Errno::EOPNOTSUPP.get());
                assert_eq!(script.notice(), refused);
                script.send(&good(&request));
                script.join(call).into()
            })
    };
    classes.into_iter().map(case).collect()
}

// Frames that are no frames.

/// A frame that ends inside its header is answered with what was sent of it
/// and zeroes, and no byte of the kernel's memory.
fn short_frames() -> Vec<Case> {
    let case = |(variant, byte): (&'static str, u8)| {
        Case::new(FAMILY, "frames of every length below that of a header")
            .variant(variant)
            .rows(&[2])
            .told(Told::Response(Errno::EINVAL.get()))
            .body(move |script| {
                for len in size_of::<PutterHdr>()..size_of::<Req>() {
                    let mut frame = Frame::from_bytes(&vec![byte; len]);
                    frame.set_framelen(len);
                    script.send(&frame);
                    let (_, answer) = script.notice_frame();
                    assert_eq!(answer.bytes(), refusal(&frame, answer.req()), "{len} bytes");
                }
                Ends::Well
            })
    };
    [("of zeroes", 0), ("of ones", 0xff), ("of 0xa5", 0xa5)]
        .map(case)
        .into()
}

/// The answer to a frame that is no whole header. Who made the answer, it
/// says itself.
fn refusal(frame: &Frame, answer: &Req) -> Vec<u8> {
    let mut bytes = [0; size_of::<Req>()];
    bytes[..frame.len()].copy_from_slice(frame.bytes());
    let mut refusal = Req::new_zeroed();
    if let Ok(sent) = Req::read_from_bytes(&bytes) {
        refusal.id = sent.id;
        refusal.cookie = sent.cookie;
        refusal.opclass = sent.opclass;
        refusal.optype = sent.optype;
        refusal.setbacks = sent.setbacks;
    }
    refusal.pth.framelen = size_of::<Req>() as u64;
    refusal.opclass |= OPCLASS_FAF | OPCLASS_RESPONSE;
    refusal.rv = Errno::EINVAL.get();
    refusal.buflen = size_of::<Req>();
    (refusal.pid, refusal.lid) = (answer.pid, answer.lid);
    refusal.as_bytes().to_vec()
}

fn lengths() -> Vec<Case> {
    let case = |variant: &'static str, framelen: usize, written: usize| {
        Case::new(FAMILY, "a frame is not as long as it says")
            .variant(variant)
            .body(move |script| {
                let (call, request) = ask(script);
                let mut frame = good(&request);
                frame.resize(written);
                frame.set_framelen(framelen);
                assert_eq!(script.try_send(&frame), Err(Errno::EINVAL));
                script.send(&good(&request));
                script.join(call).into()
            })
    };
    let long = |variant: &'static str, len: usize| {
        Case::new(FAMILY, "a frame is longer than any message")
            .variant(variant)
            .rows(&[10])
            .needs(Ability::BoundedFrames)
            .body(move |script| {
                let (call, request) = ask(script);
                let mut frame = good(&request);
                frame.resize(len);
                assert_eq!(script.try_send(&frame), Err(Errno::EINVAL));
                script.send(&good(&request));
                script.join(call).into()
            })
    };
    vec![
        case("0 bytes", 0, 64),
        case("a byte less than its length takes", 7, 64),
        case("a byte more than was written", 65, 64),
        case("a gigabyte", 1 << 30, 64),
        case("as long as can be", u64::MAX as usize, 64),
        long("a megabyte", 1 << 20),
        long("64 megabytes", 64 << 20),
    ]
}
