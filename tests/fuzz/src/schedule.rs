//! Callers, a server and what happens to them, and who goes on when.
//!
//! An input is a program and its schedule, which [`puffs_hosted::schedule`]
//! reads and runs on a kernel of its own. This target needs the kernel that
//! runs on coroutines, and the others the one that runs on threads; so it is
//! there with the feature `schedule`, and they are without.

use crate::script::Writer;

/// Runs one input.
///
/// # Panics
/// If it finds something.
pub fn run(input: &[u8]) {
    puffs_hosted::schedule::run(input);
}

/// How many calls there are, things that a server does about a frame, kinds of
/// events, and services that an event can fail.
const CALLS: u8 = 16;
const MANNERS: u8 = 15;
const EVENTS: u8 = 8;
const FAILURES: u8 = 13;

/// Opens a file and writes to it.
const WRITE: u8 = 1;
/// The event that something fails.
const FAIL: u8 = 4;

/// A program: how many callers and threads of a server, and the bits of the
/// mount; the calls of each caller, what each thread does, what happens.
fn program(mount: u8, callers: &[&[u8]], servers: &[&[u8]], events: &[u8]) -> Writer {
    let shape = (callers.len() as u8 - 1) | (servers.len() as u8 - 1) << 2 | mount << 3;
    let mut program = Writer::default();
    program.bytes(&[shape, 1]);
    for list in callers.iter().chain(servers).chain(&[events]) {
        program.u8(list.len() as u8).bytes(list);
    }
    program
}

/// The seeds: each call, each of a server's manners, each event, each service
/// that fails, each kind of mount, with a schedule that changes over often.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let mut add = |name: String, mut program: Writer| {
        // Whose turn it is, and in the high half for how long.
        let schedule = (0..48).map(|turn| (turn % 5) | ((turn % 4) << 5));
        let schedule: Vec<_> = schedule.collect();
        seeds.push((name, program.bytes(&schedule).finish()));
    };
    for call in 0..CALLS {
        let again = [call, call | 0x30];
        add(format!("call-{call}"), program(0, &[&again], &[&[]], &[]));
    }
    for manner in 1..MANNERS {
        let manners = [0, 0, manner, 0, manner | 0x20];
        let callers: [&[u8]; 2] = [&[WRITE, 2], &[0, 6]];
        let name = format!("manner-{manner}");
        add(name, program(0, &callers, &[&manners], &[]));
    }
    for event in 0..EVENTS {
        let events = [event, event | 0x18];
        let callers: [&[u8]; 2] = [&[WRITE, 5], &[8, 9]];
        let name = format!("event-{event}");
        add(name, program(0, &callers, &[&[], &[]], &events));
    }
    for failure in 0..FAILURES {
        let events = [FAIL | failure << 3];
        let callers: [&[u8]; 1] = [&[WRITE, 8, 10]];
        let name = format!("failure-{failure}");
        add(name, program(0, &callers, &[&[]], &events));
    }
    for mount in 1..32 {
        let callers: [&[u8]; 2] = [&[WRITE, 2], &[0, 4, 7]];
        let name = format!("mount-{mount}");
        add(name, program(mount, &callers, &[&[]], &[]));
    }
    seeds
}
