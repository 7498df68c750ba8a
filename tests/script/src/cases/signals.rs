//! Signals to callers: which of them end a request, at which stage, and what
//! comes of the request.

use super::{
    crowd::{self, all_alike, Crowd},
    kinds::{path, DIR, FILE},
};
use crate::{
    case::{Case, Ends, Told},
    script::{ask_for, attributes, Answer, Call, Notice, Rule, Script, MNT},
    world::{Ability, Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{vfs, vn, KArgs, VnOp, Vtype, SETBACK_NOREF_N1},
    kern::{Errno, Result},
};

const FAMILY: &str = "signals";

const EBADF: i32 = 9;

const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;
const SIGUSR1: i32 = 30;

/// Those that end a request.
const IMPORTANT: [(&str, i32); 5] = [
    ("HUP", 1),
    ("INT", SIGINT),
    ("QUIT", 3),
    ("KILL", SIGKILL),
    ("TERM", SIGTERM),
];

/// Some that do not.
const OTHERS: [(&str, i32); 2] = [("ALRM", 14), ("USR1", SIGUSR1)];

/// Those that can be blocked.
const BLOCKABLE: [(&str, i32); 4] = [("HUP", 1), ("INT", SIGINT), ("QUIT", 3), ("TERM", SIGTERM)];

fn case(title: &'static str) -> Case {
    Case::new(FAMILY, title).needs(Ability::Signals)
}

/// A case for each of these signals.
fn each(
    title: &'static str,
    signals: &[(&str, i32)],
    caller: Ends,
    body: fn(&Script, i32) -> Ends,
) -> Vec<Case> {
    let of_signal = |&(name, signal): &(&str, i32)| {
        case(title)
            .variant(name)
            .caller(caller)
            .args(|args| ask_for(args, &[VnOp::Read, VnOp::Write, VnOp::Fsync, VnOp::Setattr]))
            .body(move |script| body(script, signal))
    };
    signals.iter().map(of_signal).collect()
}

const LEAVES: Ends = Ends::With(Errno::EINTR);

/// A caller who makes one request and locks nothing.
fn ask(script: &Script) -> Call<Result<()>> {
    script.call(|calls| calls.statvfs(MNT).map(|room| assert_eq!(room.bfree, FREE)))
}

const FREE: u64 = 47;

/// What it wants to hear.
fn answer(request: &Frame) -> Frame {
    crate::statvfs(request, FREE)
}

/// The caller has had time for what it does about a signal: somebody else got
/// the answer to a question.
fn some_time(script: &Script) {
    assert_eq!(script.run(|calls| calls.stat(MNT).map(drop)), Ok(()));
}

/// A reply to somebody who left is dropped without a word; the next is a
/// mistake.
fn too_late(script: &Script, request: &Frame) {
    script.send(&answer(request));
    assert_eq!(script.told(), []);
    script.send(&answer(request));
    match script.notice() {
        Notice::Complaint(22, _) => {}
        other => panic!("{other:?}"),
    }
}

fn ends_before_it_is_read(script: &Script, signal: i32) -> Ends {
    let call = ask(script);
    script.wait_queued(1);
    call.signal(signal);
    let ended = script.join_aside(call);
    // It was taken back.
    script.settle();
    assert_eq!(script.count::<vfs::Statvfs>(), 0);
    ended.into()
}

fn ends_at_the_server(script: &Script, signal: i32) -> Ends {
    let call = ask(script);
    let request = script.next::<vfs::Statvfs>();
    call.signal(signal);
    let ended = script.join(call);
    too_late(script, &request);
    ended.into()
}

/// The first part of a frame of a caller's.
fn first_part(script: &Script) -> (Call<Result<()>>, Vec<u8>) {
    let call = ask(script);
    let part = match script.device.read_part(60) {
        Ok(part) => part,
        Err(error) => panic!("read: {error:?}"),
    };
    (call, part)
}

/// The whole frame.
fn rest(script: &Script, mut part: Vec<u8>) -> Frame {
    match script.device.read_part(4096) {
        Ok(more) => part.extend(more),
        Err(error) => panic!("read: {error:?}"),
    }
    let frame = Frame::from_bytes(&part);
    assert!(frame.is::<vfs::Statvfs>());
    assert_eq!(frame.len(), size_of::<vfs::Statvfs>());
    frame
}

fn ends_while_it_is_read(script: &Script, signal: i32) -> Ends {
    let (call, part) = first_part(script);
    call.signal(signal);
    let ended = script.join_aside(call);
    let request = rest(script, part);
    too_late(script, &request);
    ended.into()
}

fn waits_while_it_is_queued(script: &Script, signal: i32) -> Ends {
    let call = ask(script);
    script.wait_queued(1);
    call.signal(signal);
    let request = script.next::<vfs::Statvfs>();
    call.signal(signal);
    script.send(&answer(&request));
    script.join(call).into()
}

fn waits_at_the_server(script: &Script, signal: i32) -> Ends {
    let call = ask(script);
    let request = script.next::<vfs::Statvfs>();
    for _ in 0..3 {
        call.signal(signal);
    }
    // Whatever time it takes to get an answer to something else.
    some_time(script);
    assert!(!call.is_done());
    script.send(&answer(&request));
    script.join(call).into()
}

fn waits_while_it_is_read(script: &Script, signal: i32) -> Ends {
    let (call, part) = first_part(script);
    call.signal(signal);
    let request = rest(script, part);
    call.signal(signal);
    script.send(&answer(&request));
    script.join(call).into()
}

fn reply_first(script: &Script, signal: i32) -> Ends {
    let call = ask(script);
    let request = script.next::<vfs::Statvfs>();
    script.send(&answer(&request));
    call.signal(signal);
    script.join(call).into()
}

/// A file whose pages are not written back.
fn dirty(script: &Script) -> Fd {
    script.file("f", FILE, Vtype::Reg, 4096);
    script.allow(Rule::on::<vn::Setattr>().reply(|request| request.reply_with(setattr)));
    script.allow(Rule::on::<vn::Read>().reply(|request| {
        let asked = request.get::<vn::Read>().resid;
        request.reply_data::<vn::Read>(&vec![0; asked], |reply| reply.resid = 0)
    }));
    let file = script.run(|calls| {
        let how = How::WRITE;
        let file = calls.open(&path("f"), how)?;
        calls.write(file, 0, &[7; 4096]).map(|_| file)
    });
    match file {
        Ok(file) => file,
        Err(error) => panic!("a dirty file: {error:?}"),
    }
}

fn setattr(_: &mut vn::Setattr) {}

fn written(request: &Frame) -> Frame {
    request.reply_with::<vn::Write>(|reply| reply.resid = 0)
}

/// A signal comes while the caller waits for its pages, which it cannot leave;
/// then it asks for something.
fn while_pages_are_written(script: &Script, signal: i32) -> (Call<Result<()>>, Fd) {
    let file = dirty(script);
    let call = script.call(move |calls| calls.fsync(file));
    let write = script.next::<vn::Write>();
    call.signal(signal);
    script.send(&written(&write));
    (call, file)
}

fn close(script: &Script, file: Fd, signal: i32) {
    script.allow(Rule::on::<vn::Fsync>().reply(Frame::reply_header));
    script.allow(Rule::on::<vn::Write>().reply(written));
    match script.run(move |calls| calls.close(file)) {
        Ok(()) => {}
        // KILL may have ended the process, and its files with it.
        Err(error) if signal == SIGKILL => assert_eq!(error.get(), EBADF),
        Err(error) => panic!("close: {error:?}"),
    }
}

fn ends_before_it_is_made(script: &Script, signal: i32) -> Ends {
    let (call, file) = while_pages_are_written(script, signal);
    let ended = script.join(call);
    assert_eq!(script.count::<vn::Fsync>(), 0);
    close(script, file, signal);
    ended.into()
}

fn is_made_all_the_same(script: &Script, signal: i32) -> Ends {
    let (call, file) = while_pages_are_written(script, signal);
    let request = script.next::<vn::Fsync>();
    script.send(&request.reply_header());
    let ended = script.join(call);
    close(script, file, signal);
    ended.into()
}

fn blocked(script: &Script, signal: i32) -> Ends {
    let call = script.call(move |calls| {
        calls.block(signal)?;
        calls.statvfs(MNT).map(drop)
    });
    let request = script.next::<vfs::Statvfs>();
    call.signal(signal);
    some_time(script);
    assert!(!call.is_done());
    script.send(&answer(&request));
    script.join(call).into()
}

/// How many requests a server may have whose callers left.
const DESERTED: usize = 4096;

fn deserted(script: &Script) -> Ends {
    const AT_ONCE: usize = 64;
    script.allow(Rule::on::<vfs::Statvfs>().answer(|_| Answer::Later));
    for left in (0..DESERTED).step_by(AT_ONCE) {
        let calls: Vec<_> = (0..AT_ONCE).map(|_| ask(script)).collect();
        script.wait_held(left + AT_ONCE);
        calls.iter().for_each(|call| call.signal(SIGTERM));
        for call in calls {
            assert_eq!(script.join_aside(call), Err(Errno::EINTR));
        }
    }
    let ended = script.run(|calls| calls.statvfs(MNT).map(drop));
    assert_eq!(script.count::<vfs::Statvfs>(), DESERTED);
    // Where it answers one, it gets another.
    if let Some(request) = script.held() {
        script.send(&answer(&request));
    }
    let call = ask(script);
    script.wait_held(DESERTED);
    while let Some(request) = script.held() {
        script.send(&answer(&request));
    }
    assert_eq!(script.join(call), Ok(()));
    ended.into()
}

fn too_late_to_leave(signals: &[(&str, i32)]) -> Vec<Case> {
    each(
        "a signal that comes after the reply is too late",
        signals,
        Ends::Well,
        reply_first,
    )
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    let late = |cases: Vec<Case>| {
        let told = |case: Case| case.told(Told::Complaint(Errno::EINVAL.get()));
        cases.into_iter().map(told).collect::<Vec<_>>()
    };
    [
        each(
            "a request is not made under a pending signal",
            &IMPORTANT,
            LEAVES,
            ends_before_it_is_made,
        ),
        each(
            "a request is taken back that the server has not read",
            &IMPORTANT,
            LEAVES,
            ends_before_it_is_read,
        ),
        late(each(
            "a caller leaves whose request the server has, and two replies come",
            &IMPORTANT,
            LEAVES,
            ends_at_the_server,
        )),
        late(each(
            "a caller leaves whose request is read by half, and two replies come",
            &IMPORTANT,
            LEAVES,
            ends_while_it_is_read,
        )),
        too_late_to_leave(&BLOCKABLE),
        too_late_to_leave(&[("KILL", SIGKILL)])
            .into_iter()
            .map(|case| case.needs(Ability::LastWords))
            .collect(),
        each(
            "a request is made under another pending signal",
            &OTHERS,
            Ends::Well,
            is_made_all_the_same,
        ),
        each(
            "another signal does not end a request on the queue",
            &OTHERS,
            Ends::Well,
            waits_while_it_is_queued,
        ),
        each(
            "another signal does not end a request at the server",
            &OTHERS,
            Ends::Well,
            waits_at_the_server,
        ),
        each(
            "another signal does not end a request that is read by half",
            &OTHERS,
            Ends::Well,
            waits_while_it_is_read,
        ),
        each(
            "a blocked signal does not end a request",
            &BLOCKABLE,
            Ends::Well,
            blocked,
        ),
        crowds(),
        single(),
    ]
    .concat()
}

/// 64 callers get a signal when the server has read so many requests.
fn crowds() -> Vec<Case> {
    const SIZE: usize = 64;
    let stage = |(words, read): (&'static str, usize)| {
        case("64 callers leave")
            .variant(words)
            .rows(&[8, 14])
            .caller(LEAVES)
            .args(crowd::set_args)
            .body(move |script| {
                let crowd = Crowd::gather(script, SIZE);
                if read != 0 {
                    Crowd::read(script, read);
                }
                crowd.signal(SIGTERM);
                let ends = crowd.end_aside(script);
                // Their replies are late, those of whom it has read.
                while let Some(request) = script.held() {
                    script.send(&crowd::good(&request));
                }
                all_alike(&ends).into()
            })
    };
    [
        ("none of their requests was read", 0),
        ("half of their requests were read", SIZE / 2),
        ("all of their requests were read", SIZE),
    ]
    .into_iter()
    .map(stage)
    .collect()
}

/// The nodes' last words are asked for.
fn inactive(args: &mut KArgs) {
    ask_for(args, &[VnOp::Inactive, VnOp::Reclaim, VnOp::Remove]);
}

fn single() -> Vec<Case> {
    vec![
        case("callers leave a server that never answers, until no more may")
            .caller(Ends::With(Errno::EBUSY))
            .body(deserted),
        case("an important signal ends a request after another did not")
            .caller(LEAVES)
            .body(|script| {
                let call = ask(script);
                script.next::<vfs::Statvfs>();
                call.signal(SIGUSR1);
                some_time(script);
                call.signal(SIGINT);
                script.join(call).into()
            }),
        case("a blocked KILL ends a request")
            .caller(LEAVES)
            .body(|script| {
                let call = script.call(|calls| {
                    calls.block(9)?;
                    calls.statvfs(MNT).map(drop)
                });
                script.next::<vfs::Statvfs>();
                call.signal(9);
                script.join(call).into()
            }),
        case("a reply and a signal at once are one or the other")
            .caller(Ends::As("success or EINTR"))
            .body(|script| {
                for round in 0..200 {
                    let call = ask(script);
                    let request = script.next::<vfs::Statvfs>();
                    // Whoever of the two is woken first decides.
                    if round % 2 == 0 {
                        call.signal(SIGINT);
                        script.send(&answer(&request));
                    } else {
                        script.send(&answer(&request));
                        call.signal(SIGINT);
                    }
                    let ended = script.join(call);
                    let known = [Ok(()), Err(Errno::EINTR)];
                    assert!(known.contains(&ended), "{ended:?}");
                }
                Ends::As("success or EINTR")
            }),
        case("a caller who leaves in a LOOKUP lets the next one in")
            .caller(LEAVES)
            .body(|script| {
                script.file("d", DIR, Vtype::Dir, 512);
                let first = script.call(|calls| calls.stat(&path("f")).map(drop));
                let request = script.next::<vn::Lookup>();
                let second = script.call(|calls| calls.stat(&path("d")).map(drop));
                first.signal(SIGINT);
                let ended = script.join(first);
                assert_eq!(script.join(second), Ok(()));
                script.send(&request.reply_error(2));
                ended.into()
            }),
        case("an INACTIVE under a pending signal wants no answer")
            .args(inactive)
            .caller(LEAVES)
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                let call = script.call(|calls| calls.stat(&path("f")).map(drop));
                script.next::<vn::Getattr>();
                // Not that of the root, which the walk let go.
                call.signal(SIGINT);
                let ended = script.join_aside(call);
                let last = script.next::<vn::Inactive>();
                assert_eq!(last.req().cookie, FILE);
                assert!(last.is_faf());
                ended.into()
            }),
        case("a node that the server gave up goes under a pending signal")
            .args(inactive)
            .caller(LEAVES)
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                let file = script.run(|calls| calls.open(&path("f"), How::default()));
                // The server gives it up while it is in use.
                let call = script.call(|calls| calls.stat(&path("f")).map(drop));
                let request = script.next::<vn::Getattr>();
                let mut reply = attributes(&request, Vtype::Reg, 0);
                reply.req_mut().setbacks = SETBACK_NOREF_N1;
                script.send(&reply);
                assert_eq!(script.join(call), Ok(()));
                // It is not locked while the server removes it.
                let call = script.call(|calls| calls.unlink(&path("f")));
                script.next::<vn::Remove>();
                let closed = script.run(move |calls| file.and_then(|file| calls.close(file)));
                assert_eq!(closed, Ok(()));
                let before = script.count::<vn::Inactive>();
                call.signal(SIGINT);
                let ended = script.join_aside(call);
                let reclaim = script.next::<vn::Reclaim>();
                assert_eq!(reclaim.req().cookie, FILE);
                assert!(reclaim.is_faf());
                assert!(script.count::<vn::Inactive>() > before);
                ended.into()
            }),
        case("an unmounter leaves, and the mount goes on")
            .variant("not by force")
            .caller(LEAVES)
            .body(|script| {
                let umount = script.call(|calls| calls.unmount(MNT, false));
                let sync = script.next::<vfs::Sync>();
                script.send(&sync.reply_header());
                let request = script.next::<vfs::Unmount>();
                umount.signal(SIGINT);
                let ended = script.join(umount);
                script.send(&request.reply_header());
                ended.into()
            }),
        case("an unmounter by force leaves the server's answer")
            .after(crate::After::ComesDown)
            .body(|script| {
                let umount = script.call(|calls| calls.unmount(MNT, true));
                script.next::<vfs::Unmount>();
                umount.signal(SIGINT);
                script.join(umount).into()
            }),
    ]
}
