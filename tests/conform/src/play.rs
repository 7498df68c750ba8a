//! Everything that is played on a world: the scripted cases and the checks.

use crate::{checks, Check};
use puffs_script::{cases, world::Ability, Case, World};
use std::rc::Rc;

/// A case or a check.
#[derive(Clone)]
pub enum Play {
    /// What a server may do to a kernel.
    Case(Box<Case>),
    /// What a mount has to do as a file system.
    Check(Box<Check>),
}

impl Play {
    /// All of them.
    pub fn all() -> Vec<Play> {
        let cases = cases::all().into_iter().map(Box::new).map(Play::Case);
        let checks = checks::all().into_iter().map(Box::new).map(Play::Check);
        cases.chain(checks).collect()
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Play> {
        Play::all().into_iter().find(|play| play.name() == name)
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Play::Case(case) => case.name(),
            Play::Check(check) => check.name(),
        }
    }

    /// The rows of the list of known defects of the C code that it guards
    /// against.
    pub fn rows(&self) -> &[u8] {
        match self {
            Play::Case(case) => case.rows,
            Play::Check(_) => &[],
        }
    }

    /// What the world must be able to.
    pub fn needs(&self) -> &[Ability] {
        match self {
            Play::Case(case) => &case.needs,
            Play::Check(check) => &check.needs,
        }
    }

    /// Plays it.
    ///
    /// # Panics
    /// If anything comes otherwise than it says, or something is left.
    pub fn play(&self, world: Rc<dyn World>) {
        match self {
            Play::Case(case) => case.play(world),
            Play::Check(check) => check.play(&world),
        }
    }
}
