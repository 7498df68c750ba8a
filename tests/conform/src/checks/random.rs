//! Random sequences of operations, compared with models: of a POSIX file system,
//! and of what is in a file.
//!
//! A sequence that shows a difference is made shorter, on the same mount, as
//! long as it still shows one; what is left is printed. `PUFFS_CONFORM_SEED` and
//! `PUFFS_CONFORM_STEPS` have each of these checks play another one.

use crate::{
    fsx::play_on,
    model::{program, Model, Op, Real},
    sequence::{hunt, wanted, Difference},
    Bed, Check, Flags, Outcome,
};
use std::cell::Cell;

const FAMILY: &str = "random";

/// How many operations there are in a sequence.
const STEPS: usize = 300;

/// The sequences that are played.
const SEEDS: std::ops::Range<u64> = 1..7;

/// How many operations there are in a sequence about what is in a file, and
/// which of these are played.
const CONTENT_STEPS: usize = 1000;
const CONTENT_SEEDS: std::ops::Range<u64> = 1..4;

/// Those that are about whether and how it is in the page cache.
const OF_PAGES: &[Flags] = &[Flags::DEFAULT, Flags::NOCACHE_PAGE, Flags::WTCACHE];

fn difference(b: &Bed<'_>, dir: &str, program: &[Op]) -> Option<Difference> {
    b.mkdir(dir).done();
    let (mut model, mut real) = (Model::new(), Real::new(b, dir));
    for (nth, &op) in program.iter().enumerate() {
        let (expected, got) = (model.run(op), real.run(op));
        if expected != got {
            return Some((nth, format!("{op:?}: {got:?}, not {expected:?}")));
        }
    }
    None
}

fn play(b: &Bed<'_>, seed: u64) {
    let (seed, steps) = wanted(seed, STEPS);
    let runs = Cell::new(0);
    let fresh = |program: &[Op]| {
        runs.set(runs.get() + 1);
        difference(b, &format!("run{}", runs.get()), program)
    };
    if let Err(found) = hunt(seed, &program(seed, steps), fresh) {
        panic!("{found}");
    }
}

fn play_content(b: &Bed<'_>, seed: u64) {
    let (seed, steps) = wanted(seed, CONTENT_STEPS);
    if let Err(found) = play_on(b, seed, steps, &mut |_, _| {}) {
        panic!("{found}");
    }
}

pub(super) fn checks() -> Vec<Check> {
    let check = |seed: u64| {
        let title = "a sequence does what the model does";
        Check::new(FAMILY, title, move |b| play(b, seed))
            .variant(format!("seed {seed}"))
            .under(Flags::ALL)
    };
    let of_content = |seed: u64| {
        let title = "a file has in it what the model has";
        Check::new(FAMILY, title, move |b| play_content(b, seed))
            .variant(format!("seed {seed}"))
            .under(OF_PAGES)
    };
    let contents = CONTENT_SEEDS.map(of_content);
    SEEDS.map(check).chain(contents).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        assert_eq!(program(7, 100), program(7, 100));
        assert_ne!(program(7, 100), program(8, 100));
    }
}
