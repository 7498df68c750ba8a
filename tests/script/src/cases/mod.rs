//! The cases, a file for each family.

mod dispatch;
mod kinds;
mod mounting;
mod pages;
mod polls;
mod replies;
mod service;
mod values;

use crate::case::Case;

/// Every case, in the order of the table.
pub fn all() -> Vec<Case> {
    [
        replies::cases(),
        values::cases(),
        dispatch::cases(),
        pages::cases(),
        polls::cases(),
        service::cases(),
        mounting::cases(),
    ]
    .concat()
}
