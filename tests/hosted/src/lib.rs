//! The hosted kernel.
