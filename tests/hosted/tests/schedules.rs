//! Programs and schedules that are drawn at random, as a fuzzer makes them.

use puffs_hosted::schedule::run;
use std::time::Instant;

/// Bytes that follow from a seed.
fn bytes(seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        // Xorshift.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8
    };
    let len = 8 + usize::from(next());
    (0..len).map(|_| next()).collect()
}

fn runs(or: u64) -> u64 {
    let runs = std::env::var("PUFFS_MODEL_RUNS");
    runs.ok().and_then(|runs| runs.parse().ok()).unwrap_or(or)
}

#[test]
fn the_same_bytes_are_the_same_run() {
    for seed in 0..runs(1000) {
        let bytes = bytes(seed);
        assert_eq!(run(&bytes), run(&bytes), "seed {seed}");
    }
}

#[test]
fn no_bytes_are_a_run() {
    assert_eq!(run(&[]).outcomes, [[]; 1]);
}

#[test]
fn any_bytes_end_and_leave_nothing() {
    if let Ok(seed) = std::env::var("PUFFS_SEED") {
        run(&bytes(1 << 32 | seed.parse::<u64>().expect("a number")));
        return;
    }
    let begun = Instant::now();
    let runs = runs(10_000);
    let mut decisions = 0;
    for seed in 0..runs {
        if std::env::var_os("PUFFS_VERBOSE").is_some() {
            println!("{seed}");
        }
        decisions += run(&bytes(1 << 32 | seed)).decisions;
    }
    let each = begun.elapsed() / runs as u32;
    println!(
        "{runs} runs, {each:?} each, {} decisions each",
        decisions as u64 / runs
    );
}
