//! Random sequences of operations, and what is found by them made short.
//!
//! `PUFFS_CONFORM_SEED` and `PUFFS_CONFORM_STEPS` say which sequence is played
//! instead of the one that a check has, and how many operations it has.

use std::{cell::Cell, fmt::Debug};

/// A random number generator: the same numbers for the same seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.roll(some.len())]
    }
}

/// The seed and the number of operations that are wanted, if others are not
/// asked for.
pub(crate) fn wanted(seed: u64, steps: usize) -> (u64, usize) {
    let number = |variable| std::env::var(variable).ok()?.parse().ok();
    (
        number("PUFFS_CONFORM_SEED").unwrap_or(seed),
        number("PUFFS_CONFORM_STEPS").map_or(steps, |steps| steps as usize),
    )
}

/// What a sequence shows of a difference: at which operation, and what it is.
pub(crate) type Difference = (usize, String);

/// Plays a sequence, and makes one that shows a difference as short as it can
/// be. `play` begins anew each time.
///
/// # Errors
/// The shortest that was found, and what it shows.
pub(crate) fn hunt<O: Copy + Debug>(
    seed: u64,
    program: &[O],
    play: impl Fn(&[O]) -> Option<Difference>,
) -> Result<(), String> {
    let Some((nth, first)) = play(program) else {
        return Ok(());
    };
    let shown = Cell::new(first);
    let differs = |shorter: &[O]| {
        let (nth, why) = play(shorter)?;
        shown.set(why);
        Some(nth)
    };
    let shrunk = shrink(program[..=nth].to_vec(), differs);
    Err(format!(
        "seed {seed}: {}, after {shrunk:?}",
        shown.into_inner()
    ))
}

/// Leaves out what is not needed to show a difference.
fn shrink<O: Copy>(program: Vec<O>, differs: impl Fn(&[O]) -> Option<usize>) -> Vec<O> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault that shows at the second 7 after a 3.
    fn fault(program: &[usize]) -> Option<Difference> {
        let three = program.iter().position(|&op| op == 3)?;
        let sevens = program.iter().enumerate().skip(three);
        let second = sevens.filter(|(_, &op)| op == 7).nth(1);
        second.map(|(nth, _)| (nth, format!("seven at {nth}")))
    }

    #[test]
    fn a_sequence_is_made_as_short_as_it_can_be() {
        let mut dice = Dice::new(3);
        let long: Vec<_> = (0..2000).map(|_| dice.roll(40)).collect();
        assert!(fault(&long).is_some());
        let found = hunt(3, &long, fault);
        assert_eq!(found, Err("seed 3: seven at 2, after [3, 7, 7]".into()));
    }

    #[test]
    fn what_shows_nothing_is_left_alone() {
        assert_eq!(hunt(1, &[3, 7, 4], fault), Ok(()));
    }
}
