//! A kernel, a mount and a scripted server in one.
