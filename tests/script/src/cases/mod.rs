//! The cases, a file for each family.

mod crowd;
mod death;
mod dispatch;
mod kinds;
mod mounting;
mod order;
mod pages;
mod polls;
mod races;
mod readers;
mod replies;
mod room;
mod service;
mod signals;
mod time32;
mod unmounting;
mod values;

use crate::case::Case;

/// Every case, in the order of the table.
pub fn all() -> Vec<Case> {
    [
        replies::cases(),
        values::cases(),
        time32::cases(),
        dispatch::cases(),
        pages::cases(),
        room::cases(),
        polls::cases(),
        service::cases(),
        mounting::cases(),
        signals::cases(),
        readers::cases(),
        order::cases(),
        death::cases(),
        unmounting::cases(),
        races::cases(),
    ]
    .concat()
}
