//! What a server writes to the device; see [`puffs_fuzz::dispatch`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| puffs_fuzz::dispatch::run(input));
