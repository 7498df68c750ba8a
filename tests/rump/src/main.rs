//! Plays scripted cases and conformance checks on a rump kernel: NetBSD's own VFS, putter device and
//! vnode operations, in this process. See `docs/TESTING.md`; the driver's verb
//! `rump-test` calls this.
//!
//! ```text
//! puffs-rump list                    each case: its name, its rows, and whether it is played
//! puffs-rump play CASE               plays one, with the libraries of LD_LIBRARY_PATH
//! puffs-rump death ROUNDS CALLERS SEED SECONDS
//!                                    has so many servers die, each within so many seconds
//! ```

mod death;
mod signals;
mod world;

use puffs_conform::Play;
use std::{process::ExitCode, time::Duration};
use world::Rump;

fn main() -> ExitCode {
    puffs_netbsd::end_on_panic();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["list"] => {
            list();
            Ok(())
        }
        ["play", case] => play(case),
        ["death", rounds, callers, seed, seconds] => deaths([rounds, callers, seed, seconds]),
        _ => Err("puffs-rump list | play CASE | death ROUNDS CALLERS SEED SECONDS".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for play in Play::all() {
        let rows: Vec<_> = play.rows().iter().map(u8::to_string).collect();
        let fits = play.needs().iter().all(|&ability| Rump::can(ability));
        let played = if fits { "played" } else { "left out" };
        println!("{}\t{}\t{played}", play.name(), rows.join(","));
    }
}

fn play(name: &str) -> Result<(), String> {
    let play = Play::of(name).ok_or_else(|| format!("there is no case {name}"))?;
    play.play(Rump::boot()?);
    Ok(())
}

fn deaths(numbers: [&str; 4]) -> Result<(), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("{text} is no number"));
    let [rounds, callers, seed, seconds] = numbers;
    let plan = death::Plan {
        rounds: number(rounds)?,
        callers: number(callers)?.max(1) as usize,
        seed: number(seed)?,
        limit: Duration::from_secs(number(seconds)?),
    };
    death::run(&Rump::boot()?, &plan)
}
