//! The kernel services as bindgen reads them from `c_shim/puffs_kern.h`.
//!
//! The header is the documentation of every item.

#![allow(missing_docs, non_camel_case_types, unreachable_pub)]
#![allow(clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::multiple_unsafe_ops_per_block)]

include!(concat!(env!("OUT_DIR"), "/kern_sys.rs"));
