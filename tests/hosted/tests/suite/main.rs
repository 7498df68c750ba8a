//! The tests of the core on the hosted kernel. They are one program, for that
//! is linked once, not for each file, and again for each sanitizer.

mod attributes;
mod death;
mod device;
mod faults;
mod fuzz;
mod listings;
mod memfs;
mod mount;
mod others;
mod poll;
mod queue;
mod replies;
mod room;
mod rules;
mod service;
mod signals;
mod vfsops;
