//! Prints the table of the checks.

fn main() {
    print!("{}", puffs_conform::table::markdown());
}
