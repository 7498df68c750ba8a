//! Polls: what is asked of the server, how often, and who is woken.

use puffs_hosted::{
    bench::{quiet_args, until, Bench},
    kernel::VnodeRef,
    server::Frame,
    user::Task,
    vnops::poll_file,
};
use puffs_rs::{
    abi::{vn, Cookie, VnOp, Vtype, SETBACK_NOREF_N2},
    kern::Result,
};

const FILE: Cookie = Cookie(0x5000);

const IN: i32 = 0x01;
const PRI: i32 = 0x02;
const OUT: i32 = 0x04;
const ERR: i32 = 0x08;
const HUP: i32 = 0x10;

/// How many requests there are, wherever they are.
fn parks(bench: &Bench) -> usize {
    let outstanding = bench.kernel.outstanding();
    outstanding.get("puffprkl").map_or(0, |count| count.objects)
}

fn answer(request: &Frame, events: i32) -> Frame {
    request.reply_with::<vn::Poll>(|reply| reply.events = events)
}

/// The next request, which is a poll for these events.
fn asked(bench: &Bench, events: i32) -> Frame {
    let request = bench.next::<vn::Poll>();
    assert_eq!(request.get::<vn::Poll>().events, events | ERR | HUP);
    request
}

/// A poll that does not wait, and is told of no event.
fn glance(bench: &Bench, vnode: &VnodeRef, events: i32) {
    assert_eq!(bench.user.run(|_| poll_file(vnode, events, false)), Ok(0));
}

/// A poll that waits, and does so already.
fn waiting(bench: &Bench, vnode: &VnodeRef, events: i32) -> Task<Result<i32>> {
    let vnode = vnode.again();
    bench
        .call(move |_| poll_file(&vnode, events, true))
        .until_asleep("select")
}

#[test]
fn polls_that_nobody_answers_are_one_request() {
    let bench = Bench::new();
    let root = bench.root();
    for _ in 0..10_000 {
        glance(&bench, &root, IN);
    }
    assert_eq!(parks(&bench), 1);
    let request = asked(&bench, IN);
    bench.assert_quiet();
    bench.send(&answer(&request, IN));
    assert_eq!(bench.user.run(|_| poll_file(&root, IN, false)), Ok(IN));
    // What was there is taken, so the server is asked again.
    glance(&bench, &root, IN);
    asked(&bench, IN);
    drop(root);
    bench.finish();
}

#[test]
fn polls_for_all_kinds_of_events_are_as_many_requests_as_there_are_events() {
    let bench = Bench::new();
    let root = bench.root();
    // Every set of the events, small ones first, as that makes the most.
    for size in 0..=8 {
        for events in (0..=0xff_i32).filter(|events| events.count_ones() == size) {
            glance(&bench, &root, events << 5);
        }
    }
    let most = 1 + 8;
    assert_eq!(parks(&bench), most);
    for _ in 0..most {
        bench.next::<vn::Poll>();
    }
    bench.assert_quiet();
    drop(root);
    bench.finish();
}

#[test]
fn an_event_that_was_not_asked_for_is_asked_for() {
    let bench = Bench::new();
    let root = bench.root();
    glance(&bench, &root, IN);
    let first = asked(&bench, IN);
    glance(&bench, &root, OUT);
    let second = asked(&bench, OUT);
    glance(&bench, &root, IN | OUT);
    bench.assert_quiet();
    glance(&bench, &root, IN | PRI);
    let third = asked(&bench, IN | PRI);
    // The first one ends; the third one asks for the same event.
    bench.send(&answer(&first, 0));
    glance(&bench, &root, IN);
    bench.assert_quiet();
    bench.send(&answer(&third, 0));
    glance(&bench, &root, IN);
    asked(&bench, IN);
    bench.send(&second.reply_error(5));
    assert_eq!(bench.user.run(|_| poll_file(&root, OUT, false)), Ok(ERR));
    glance(&bench, &root, OUT);
    asked(&bench, OUT);
    drop(root);
    bench.finish();
}

#[test]
fn one_answer_wakes_all_who_wait() {
    let bench = Bench::new();
    let root = bench.root();
    let mut calls: Vec<_> = (0..8).map(|_| waiting(&bench, &root, IN)).collect();
    let mut request = asked(&bench, IN);
    bench.assert_quiet();
    // Each answer is an event that one of them takes; the others ask again.
    while !calls.is_empty() {
        bench.send(&answer(&request, IN));
        let left = calls.len() - 1;
        until("one to return", || {
            calls.iter().filter(|call| !call.is_done()).count() == left
        });
        let (done, rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.is_done());
        for call in done {
            assert_eq!(call.join(), Ok(IN));
        }
        calls = rest;
        if !calls.is_empty() {
            request = asked(&bench, IN);
        }
    }
    bench.assert_quiet();
    drop(root);
    bench.finish();
}

#[test]
fn an_answer_for_others_has_a_poller_ask_no_more_than_before() {
    let bench = Bench::new();
    let root = bench.root();
    let reader = waiting(&bench, &root, IN);
    let for_reader = asked(&bench, IN);
    for _ in 0..100 {
        let writer = waiting(&bench, &root, OUT);
        bench.send(&answer(&asked(&bench, OUT), OUT));
        assert_eq!(writer.join(), Ok(OUT));
    }
    // The reader was woken each time, and its request stands.
    let reader = reader.until_asleep("select");
    assert_eq!(parks(&bench), 1);
    bench.assert_quiet();
    bench.send(&answer(&for_reader, IN));
    assert_eq!(reader.join(), Ok(IN));
    drop(root);
    bench.finish();
}

#[test]
fn an_answer_of_no_event_has_the_pollers_ask_again() {
    let bench = Bench::new();
    let root = bench.root();
    let call = waiting(&bench, &root, IN);
    let first = asked(&bench, IN);
    bench.send(&answer(&first, 0));
    let second = asked(&bench, IN);
    bench.send(&answer(&second, IN));
    assert_eq!(call.join(), Ok(IN));
    drop(root);
    bench.finish();
}

#[test]
fn an_error_and_a_wrong_answer_wake_those_who_were_not_asked_for() {
    for wrong in [
        |request: &Frame| request.reply_error(5),
        |request: &Frame| request.reply_header(),
    ] {
        let bench = Bench::new();
        let root = bench.root();
        glance(&bench, &root, IN);
        let request = asked(&bench, IN);
        let call = waiting(&bench, &root, IN);
        bench.assert_quiet();
        bench.send(&wrong(&request));
        assert_eq!(call.join(), Ok(ERR));
        drop(root);
        bench.finish();
    }
}

#[test]
fn a_server_that_dies_wakes_all_pollers_and_releases_their_node() {
    let bench = Bench::new();
    let root = bench.root();
    let mut calls = Vec::new();
    for events in [IN, OUT, IN | OUT, IN] {
        calls.push(waiting(&bench, &root, events));
    }
    asked(&bench, IN);
    // One is at the server and one is on its way.
    assert_eq!(parks(&bench), 2);
    bench.die();
    for call in calls {
        // One takes the event. The others ask a server that is dead, or find
        // no vnode any more, which has every event.
        assert!(matches!(call.join(), Ok(events) if events & HUP != 0));
    }
    drop(root);
    bench.finish();
}

#[test]
fn a_poll_does_not_stand_for_polls_of_another_node_with_the_same_cookie() {
    let mut args = quiet_args();
    args.vnopmask[usize::from(u16::from(VnOp::Reclaim))] = 1;
    let bench = Bench::with(&args);
    let nodes = || bench.kernel.outstanding()["puffs_node"].objects;
    let old = bench.file("f", FILE, Vtype::Reg, 0);
    let before = nodes();
    for _ in 0..100 {
        glance(&bench, &old, IN);
    }
    let first = asked(&bench, IN);
    // The file is removed, and its vnode is reclaimed although the poll stands.
    let call = bench.call(|user| user.unlink("/mnt/f"));
    bench.answer_lookup(FILE, Vtype::Reg, 0);
    let mut reply = bench.next::<vn::Remove>().reply_header();
    reply.req_mut().setbacks = SETBACK_NOREF_N2;
    bench.send(&reply);
    assert_eq!(call.join(), Ok(()));
    bench.user.run(|_| drop(old));
    assert_eq!(bench.next::<vn::Reclaim>().req().cookie, FILE);
    assert_eq!(nodes(), before);
    // The server uses the cookie again.
    let new = bench.file("g", FILE, Vtype::Reg, 0);
    assert_eq!(nodes(), before + 1);
    let call = waiting(&bench, &new, IN);
    let second = asked(&bench, IN);
    // The old node goes with its one poll.
    bench.send(&answer(&first, IN));
    until("the old node to go", || nodes() == before);
    bench.send(&answer(&second, IN));
    assert_eq!(call.join(), Ok(IN));
    drop(new);
    bench.finish();
}
