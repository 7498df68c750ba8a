//! The scripted cases, each a test of its own.

use libtest_mimic::{Arguments, Trial};
use puffs_hosted::world::Hosted;
use puffs_script::cases;

fn main() {
    let trials = cases::all().into_iter().map(|case| {
        Trial::test(case.name(), move || {
            case.play(Hosted::boot());
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
