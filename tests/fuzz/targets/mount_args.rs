//! What a server mounts with; see [`puffs_fuzz::mount_args`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| puffs_fuzz::mount_args::run(input));
