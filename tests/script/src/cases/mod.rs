//! The cases, a file for each family.

mod dispatch;
mod kinds;
mod replies;
mod values;

use crate::case::Case;

/// Every case, in the order of the table.
pub fn all() -> Vec<Case> {
    [replies::cases(), values::cases(), dispatch::cases()].concat()
}
