//! Random operations on a file by this process itself: in some directory, for a
//! file system whose server is a program that has nothing to do with this one,
//! and to see what other file systems of the kernel make of them; or on a mount of
//! its own.

use crate::{
    here::Here,
    run::{kernel, USAGE},
};
use puffs_conform::{
    fsx::{play_on, Ground},
    Bed, Check, Flags,
};
use puffs_script::World;
use std::{rc::Rc, slice, time::Instant};

/// How many operations there are, unless something else is said.
const STEPS: usize = 10_000;

/// Plays what the options say.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let (mut dir, mut flags, mut seed, mut steps, mut maps) = (None, None, 1, STEPS, true);
    let mut words = options.iter().copied();
    while let Some(option) = words.next() {
        if option == "--no-mmap" {
            maps = false;
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        match option {
            "--dir" => dir = Some(value),
            "--mount" => flags = Some(flags_of(value)?),
            "--seed" => seed = value.parse().map_err(|_| USAGE)?,
            "--steps" => steps = value.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.into()),
        }
    }
    match (dir, flags) {
        (Some(dir), None) => in_directory(dir, seed, steps, maps),
        (None, Some(flags)) if maps => {
            on_mount(flags, seed, steps);
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn flags_of(name: &str) -> Result<&'static Flags, String> {
    let flags = Flags::ALL.iter().find(|flags| flags.name == name);
    flags.ok_or_else(|| format!("there are no flags {name}"))
}

/// Says which sequences were played, of so many operations.
fn progress(steps: usize) -> impl FnMut(u64, usize) {
    let (start, mut done) = (Instant::now(), 0);
    move |seed, len| {
        done += len;
        let seconds = start.elapsed().as_secs();
        println!("seed {seed}: {len} operations, {done} of {steps} in {seconds} s");
    }
}

fn in_directory(dir: &str, seed: u64, steps: usize, maps: bool) -> Result<(), String> {
    let ground = Ground {
        calls: &kernel(),
        path: format!("{dir}/fsx.{}", std::process::id()),
        maps,
        cached: true,
        stored: None,
    };
    ground.play(seed, steps, &mut progress(steps))
}

/// What the checks do, with these flags; ends the program at a difference.
fn on_mount(flags: &'static Flags, seed: u64, steps: usize) {
    let body = move |b: &Bed<'_>| {
        if let Err(found) = play_on(b, seed, steps, &mut progress(steps)) {
            panic!("{found}");
        }
    };
    let check = Check::new("fsx", "a file has in it what the model has", body);
    let world: Rc<dyn World> = Rc::new(Here);
    check.under(slice::from_ref(flags)).play(&world);
}
