//! Polls: the kernel asks the server for events and goes on; the answer wakes
//! whoever waits for them.

use super::kinds::{path, FILE};
use crate::{
    case::{After, Case, Ends, Told},
    script::{ask_for, Rule, Script},
    world::{Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{vn, VnOp, Vtype},
    kern::Errno,
};
use std::time::Duration;

const FAMILY: &str = "polls";

/// `POLLIN`.
const POLLIN: i32 = 1;
/// `POLLOUT`.
const POLLOUT: i32 = 4;
/// `POLLERR`.
const POLLERR: i32 = 8;
/// `POLLHUP`.
const POLLHUP: i32 = 0x10;

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(15);

/// How many polls of a node may be unanswered: one for each event.
const MOST: usize = 16;

fn case(title: &'static str, rows: &'static [u8]) -> Case {
    Case::new(FAMILY, title)
        .rows(rows)
        .args(|args| ask_for(args, &[VnOp::Poll]))
}

fn open(script: &Script) -> Fd {
    script.file("f", FILE, Vtype::Reg, 0);
    match script.run(|calls| calls.open(&path("f"), How::default())) {
        Ok(file) => file,
        Err(error) => panic!("open: {error:?}"),
    }
}

fn close(script: &Script, file: Fd) {
    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
}

/// A poll for reading and writing that is answered so: its events.
fn polled(script: &Script, reply: fn(&Frame) -> Frame) -> i32 {
    script.allow(Rule::on::<vn::Poll>().of(FILE).reply(reply));
    let file = open(script);
    let events = script.run(move |calls| calls.poll(file, POLLIN | POLLOUT, LONG));
    close(script, file);
    match events {
        Ok(events) => events,
        Err(error) => panic!("poll: {error:?}"),
    }
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [answers(), silence()].concat()
}

fn answers() -> Vec<Case> {
    let passed = |variant: &'static str, events: i32, reply: fn(&Frame) -> Frame| {
        case("a poll is answered with events", &[17])
            .variant(variant)
            .body(move |script| {
                assert_eq!(polled(script, reply), events);
                Ends::Well
            })
    };
    let failed = |title, told, reply: fn(&Frame) -> Frame| {
        case(title, &[17])
            .caller(Ends::As("POLLERR"))
            .told(told)
            .body(move |script| {
                assert_eq!(polled(script, reply), POLLERR);
                Ends::As("POLLERR")
            })
    };
    vec![
        passed("POLLIN", POLLIN, |request| events(request, POLLIN)),
        passed("POLLOUT", POLLOUT, |request| events(request, POLLOUT)),
        passed("both", POLLIN | POLLOUT, |request| {
            events(request, POLLIN | POLLOUT)
        }),
        passed("more than was asked for", POLLIN, |request| {
            events(request, POLLIN | 0x2 | 0x40)
        }),
        failed("a poll fails", Told::Nothing, |request| {
            request.reply_error(Errno::EIO.get())
        }),
        failed(
            "a poll is answered with a header",
            Told::Complaint(Errno::EPROTO.get()),
            Frame::reply_header,
        ),
        failed(
            "a poll fails with an errno that is none",
            Told::Complaint(1000),
            |request| request.reply_error(1000),
        ),
        case("the server dies with a poll outstanding", &[17])
            .caller(Ends::As("POLLHUP"))
            .after(After::ComesDown)
            .body(|script| {
                script.allow(Rule::on::<vn::Poll>());
                let file = open(script);
                let call = script.call(move |calls| calls.poll(file, POLLIN, LONG));
                script.until("the poll", || script.count::<vn::Poll>() > 0);
                script.die();
                // A file that is gone has every event.
                let events = script.join(call);
                assert!(
                    events.is_ok_and(|events| events & POLLHUP != 0),
                    "{events:?}"
                );
                close(script, file);
                Ends::As("POLLHUP")
            }),
    ]
}

/// These events are there.
fn events(request: &Frame, events: i32) -> Frame {
    request.reply_with::<vn::Poll>(|reply| reply.events = events)
}

/// Polls so many times, without waiting, and the server says nothing.
fn poll_often(script: &Script, times: usize) {
    script.allow(Rule::on::<vn::Poll>());
    let file = open(script);
    let outcome = script.run(move |calls| {
        for nth in 0..times {
            let event = if nth % 2 == 0 { POLLIN } else { POLLOUT };
            let events = calls.poll(file, event, Duration::ZERO)?;
            assert_eq!(events, 0);
        }
        Ok::<_, Errno>(())
    });
    assert_eq!(outcome, Ok(()));
    // Who does not wait is faster than the server reads.
    script.settle();
    let sent = script.count::<vn::Poll>();
    assert!(
        (1..=MOST).contains(&sent),
        "the server was sent {sent} polls"
    );
    close(script, file);
}

fn silence() -> Vec<Case> {
    let counts: [(&str, usize); 2] = [("600", 600), ("10,000", 10_000)];
    let stays = |(variant, times): (&'static str, usize)| {
        case("polls of one file are never answered", &[15])
            .variant(variant)
            .caller(Ends::As("no event, and at most 16 requests"))
            .body(move |script| {
                poll_often(script, times);
                Ends::As("no event, and at most 16 requests")
            })
    };
    let dies = |(variant, times): (&'static str, usize)| {
        case("the server dies with polls of one file unanswered", &[15])
            .variant(variant)
            .caller(Ends::As("no event, and at most 16 requests"))
            .after(After::ComesDown)
            .body(move |script| {
                poll_often(script, times);
                script.die();
                Ends::As("no event, and at most 16 requests")
            })
    };
    [counts.map(stays), counts.map(dies)].concat()
}
