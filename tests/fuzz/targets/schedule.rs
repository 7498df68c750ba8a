//! Callers, a server and what happens to them, in an order that the bytes say;
//! see [`puffs_fuzz::schedule`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| puffs_fuzz::schedule::run(input));
