//! The conformance checks, each a test of its own.

use libtest_mimic::{Arguments, Trial};
use puffs_conform::checks;
use puffs_hosted::world::Hosted;

fn main() {
    let fitting = checks::all().into_iter().filter(|check| {
        let mut needs = check.needs.iter();
        needs.all(|&ability| Hosted::can(ability))
    });
    let trials = fitting.map(|check| {
        Trial::test(check.name(), move || {
            check.play(&Hosted::boot());
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
