//! The checks, a file for each family.

mod directories;
mod events;
mod extattrs;
mod flags;
mod handles;
mod links;
mod locks;
mod mappings;
mod names;
mod open;
mod permissions;
mod random;
mod rename;
mod sizes;
mod special;
mod storage;
mod times;

use crate::Check;

/// Every check, under each of its flags.
pub fn all() -> Vec<Check> {
    let families = [
        names::checks(),
        links::checks(),
        rename::checks(),
        permissions::checks(),
        times::checks(),
        sizes::checks(),
        open::checks(),
        directories::checks(),
        special::checks(),
        storage::checks(),
        handles::checks(),
        extattrs::checks(),
        locks::checks(),
        events::checks(),
        mappings::checks(),
        flags::checks(),
        random::checks(),
    ];
    families.iter().flatten().flat_map(Check::each).collect()
}
