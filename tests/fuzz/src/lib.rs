//! Fuzz targets over the hosted kernel.
//!
//! What libFuzzer calls is in `targets/`, a line each; what a target does with
//! its bytes is here, in a module of the same name, so that anything else can
//! do it too: the example `puffs-fuzz` runs files through a target without
//! libFuzzer, for coverage and for debugging.
//!
//! A target boots the kernel once and keeps it; what one input leaves there is
//! what [`oracle`] looks for. Besides that and its own checks, each has those
//! of the hosted kernel, which ends the process at every broken rule.

pub mod dispatch;
pub mod mount_args;
pub mod ops;
pub mod oracle;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod script;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<(String, Vec<u8>)>);

/// The targets of this build: the name, what runs an input, and what makes the
/// seeds, each with a name.
#[cfg(not(feature = "schedule"))]
pub const TARGETS: &[Target] = &[
    ("dispatch", dispatch::run, dispatch::seeds),
    ("mount_args", mount_args::run, mount_args::seeds),
];

/// The targets of this build: the name, what runs an input, and what makes the
/// seeds, each with a name.
#[cfg(feature = "schedule")]
pub const TARGETS: &[Target] = &[("schedule", schedule::run, schedule::seeds)];
