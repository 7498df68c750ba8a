//! The cases, a file for each family.

mod kinds;
mod replies;

use crate::case::Case;

/// Every case, in the order of the table.
pub fn all() -> Vec<Case> {
    [replies::cases()].concat()
}
