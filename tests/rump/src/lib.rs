//! A rump kernel in this process: its libraries, and the functions of theirs.

pub mod kernel;
