//! Prints the table of the cases.

fn main() {
    print!("{}", puffs_script::table::markdown());
}
