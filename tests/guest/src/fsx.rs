//! Random operations on a file in some directory, by this process itself: for a
//! file system whose server is a program that has nothing to do with this one,
//! and to see what other file systems of the kernel make of them.

use crate::run::{kernel, USAGE};
use puffs_conform::fsx::Ground;
use std::time::Instant;

/// How many operations there are, unless something else is said.
const STEPS: usize = 10_000;

/// Plays what the options say.
pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let (mut dir, mut seed, mut steps, mut maps) = (None, 1, STEPS, true);
    let mut words = options.iter().copied();
    while let Some(option) = words.next() {
        if option == "--no-mmap" {
            maps = false;
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        match option {
            "--dir" => dir = Some(value),
            "--seed" => seed = value.parse().map_err(|_| USAGE)?,
            "--steps" => steps = value.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.into()),
        }
    }
    let dir = dir.ok_or(USAGE)?;
    let ground = Ground {
        calls: &kernel(),
        path: format!("{dir}/fsx.{}", std::process::id()),
        maps,
        cached: true,
        stored: None,
    };
    let (start, mut done) = (Instant::now(), 0);
    ground.play(seed, steps, &mut |seed, len| {
        done += len;
        let seconds = start.elapsed().as_secs();
        println!("seed {seed}: {len} operations, {done} of {steps} in {seconds} s");
    })
}
