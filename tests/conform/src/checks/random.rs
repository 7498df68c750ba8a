//! Random sequences of operations, compared with a model of a POSIX file system.
//!
//! A sequence that shows a difference is made shorter, on the same mount, as
//! long as it still shows one; what is left is printed. `PUFFS_CONFORM_SEED` and
//! `PUFFS_CONFORM_STEPS` have each of these checks play another one.

use crate::{
    model::{program, Model, Op, Real},
    Bed, Check, Flags, Outcome,
};
use std::cell::Cell;

const FAMILY: &str = "random";

/// How many operations there are in a sequence.
const STEPS: usize = 300;

/// The sequences that are played.
const SEEDS: std::ops::Range<u64> = 1..7;

/// What a sequence shows of a difference: where, and what it is.
fn difference(b: &Bed<'_>, dir: &str, program: &[Op]) -> Option<(usize, String)> {
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

/// Leaves out what is not needed to show a difference.
fn shrink(program: Vec<Op>, differs: impl Fn(&[Op]) -> Option<usize>) -> Vec<Op> {
    let mut program = program;
    let mut part = program.len() / 2;
    while part > 0 {
        let mut start = 0;
        while start < program.len() {
            let mut shorter = program.clone();
            shorter.drain(start..program.len().min(start + part));
            match differs(&shorter) {
                Some(nth) => {
                    shorter.truncate(nth + 1);
                    program = shorter;
                }
                None => start += part,
            }
        }
        part /= 2;
    }
    program
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn play(b: &Bed<'_>, seed: u64) {
    let seed = number("PUFFS_CONFORM_SEED").unwrap_or(seed);
    let steps = number("PUFFS_CONFORM_STEPS").map_or(STEPS, |steps| steps as usize);
    let program = program(seed, steps);
    let runs = Cell::new(0);
    let fresh = |program: &[Op]| {
        runs.set(runs.get() + 1);
        difference(b, &format!("run{}", runs.get()), program)
    };
    let Some((nth, _)) = fresh(&program) else {
        return;
    };
    let failing = program[..=nth].to_vec();
    let shrunk = shrink(failing, |program| fresh(program).map(|(nth, _)| nth));
    let why = fresh(&shrunk).map_or_else(|| "not this time".to_owned(), |(_, why)| why);
    panic!("seed {seed}: {why}, after {shrunk:?}");
}

pub(super) fn checks() -> Vec<Check> {
    let check = |seed: u64| {
        let title = "a sequence does what the model does";
        Check::new(FAMILY, title, move |b| play(b, seed))
            .variant(format!("seed {seed}"))
            .under(Flags::ALL)
    };
    SEEDS.map(check).collect()
}

/// A sequence that a file system with a fault shows.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_made_as_short_as_it_can_be() {
        // A fault that shows at the second Sync after a Mkdir.
        let differs = |program: &[Op]| {
            let mkdir = program.iter().position(|op| matches!(op, Op::Mkdir(_)))?;
            let syncs = program.iter().enumerate().skip(mkdir);
            let mut syncs = syncs.filter(|(_, op)| matches!(op, Op::Sync(_)));
            syncs.nth(1).map(|(nth, _)| nth)
        };
        let long = program(3, 2000);
        assert!(differs(&long).is_some());
        let short = shrink(long, differs);
        assert_eq!(short.len(), 3, "{short:?}");
    }

    #[test]
    fn a_seed_is_a_sequence() {
        assert_eq!(program(7, 100), program(7, 100));
        assert_ne!(program(7, 100), program(8, 100));
    }
}
