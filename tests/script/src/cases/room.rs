//! A server that is behind, where the administrator has limited what may be under
//! way to it that nobody waits for (`vfs.puffs.queuelimit`).

use super::kinds::{done, path, FILE};
use crate::{
    case::{After, Case, Ends},
    script::{ask_for, Answer, Call, Rule, Script},
    world::{Ability, Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{vn, VnOp, Vtype, KFLAG_WTCACHE},
    kern::{Errno, Result},
};
use std::{cell::Cell, rc::Rc, time::Duration};

const FAMILY: &str = "room";

/// The size of a page.
const PAGE: usize = 4096;

/// A writer waits for the server after the last page of so many.
const BLOCK: usize = 16;

/// How much is written: it cannot all be under way.
const MANY: usize = 64 << 20;

const SIGINT: i32 = 2;

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    let case = |title| {
        Case::new(FAMILY, title).args(|args| {
            ask_for(args, &[VnOp::Read, VnOp::Write, VnOp::Setattr]);
            args.flags |= KFLAG_WTCACHE;
        })
    };
    vec![
        case("a writer waits until the server has answered").body(wait),
        case("a signal ends the wait of a writer")
            .needs(Ability::Signals)
            .caller(Ends::With(Errno::EINTR))
            .body(leave),
        case("the server dies while a writer waits")
            .after(After::ComesDown)
            .body(die),
        case("no more is under way to a server that stopped than may be")
            .after(After::ComesDown)
            .body(stop),
    ]
}

/// Sets the limit.
fn set_limit(script: &Script, bytes: usize) {
    let set = script.run(move |calls| calls.sysctl_set("vfs.puffs.queuelimit", bytes as i64));
    assert_eq!(set, Ok(()));
}

/// An empty file whose pages are written through.
fn open(script: &Script) -> Fd {
    script.file("f", FILE, Vtype::Reg, 0);
    script.allow(Rule::on::<vn::Setattr>().answer(done));
    script.allow(Rule::on::<vn::Read>().of(FILE).reply(|request| {
        let len = request.get::<vn::Read>().resid;
        request.reply_data::<vn::Read>(&vec![0; len], |reply| reply.resid = 0)
    }));
    let name = path("f");
    match script.run(move |calls| calls.open(&name, How::WRITE)) {
        Ok(file) => file,
        Err(error) => panic!("open: {error:?}"),
    }
}

/// Writes the first page, to a server that does not answer, and no more has room; then the
/// second.
fn fill(script: &Script, file: Fd) -> Call<Result<usize>> {
    let writes = Rule::on::<vn::Write>().of(FILE);
    script.allow(writes.answer(|_| Answer::Later));
    set_limit(script, 1);
    let written = script.run(move |calls| calls.write(file, 0, &[3; PAGE]));
    assert_eq!(written, Ok(PAGE));
    script.wait_held(1);
    let writer = script.call(move |calls| calls.write(file, PAGE as i64, &[3; PAGE]));
    some_time(script);
    assert!(!writer.is_done(), "it found room");
    assert_eq!(script.count::<vn::Write>(), 1);
    writer
}

/// The writer has had time to do more.
fn some_time(script: &Script) {
    std::thread::sleep(Duration::from_millis(100));
    script.settle();
}

/// Answers the oldest write, which is there.
fn answer(script: &Script) {
    script.wait_held(1);
    let request: Frame = script.held().expect("a write that is held");
    script.send(&request.reply_with::<vn::Write>(|reply| reply.resid = 0));
}

fn close(script: &Script, file: Fd) {
    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
    set_limit(script, 0);
}

fn wait(script: &Script) -> Ends {
    let file = open(script);
    let writer = fill(script, file);
    answer(script);
    assert_eq!(script.join(writer), Ok(PAGE));
    answer(script);
    close(script, file);
    Ends::Well
}

fn leave(script: &Script) -> Ends {
    let file = open(script);
    let writer = fill(script, file);
    writer.signal(SIGINT);
    let end = script.join(writer);
    answer(script);
    some_time(script);
    assert_eq!(script.count::<vn::Write>(), 1);
    close(script, file);
    end.into()
}

fn die(script: &Script) -> Ends {
    let file = open(script);
    let writer = fill(script, file);
    script.die();
    // Of pages that cannot be written nobody is told.
    let end = script.join(writer);
    assert!(
        matches!(end, Ok(PAGE) | Err(Errno::ENXIO | Errno::ENOENT)),
        "{end:?}"
    );
    close(script, file);
    Ends::Well
}

fn stop(script: &Script) -> Ends {
    const LIMIT: usize = 1 << 18;
    let file = open(script);
    let under_way = Rc::new(Cell::new(0));
    let sum = under_way.clone();
    let writes = Rule::on::<vn::Write>().of(FILE);
    script.allow(writes.answer(move |request| {
        sum.set(sum.get() + request.len());
        Answer::Nothing
    }));
    set_limit(script, LIMIT);
    let writer = script.call(move |calls| {
        (0..MANY / PAGE)
            .filter(|page| page % BLOCK != BLOCK - 1)
            .try_for_each(|page| {
                calls
                    .write(file, (page * PAGE) as i64, &[3; PAGE])
                    .map(drop)
            })
    });
    script.until("as much as may be", || under_way.get() >= LIMIT);
    some_time(script);
    let most = LIMIT + BLOCK * PAGE;
    assert!(under_way.get() < most, "{} bytes", under_way.get());
    assert!(!writer.is_done());
    script.die();
    // It goes on, and finds out.
    let _ = script.join(writer);
    close(script, file);
    Ends::Well
}
