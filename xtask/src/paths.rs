//! Where things are in the project.

use std::path::{Path, PathBuf};

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the driver lies in a directory of the project")
        .to_owned()
}

/// Where everything that is built goes.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The linker script of the module and the descriptions of the Rust targets.
pub fn etc(name: &str) -> PathBuf {
    root().join("etc").join(name)
}

/// The declarations of what NetBSD does not install.
pub fn sys_headers() -> PathBuf {
    root().join("sys_headers")
}

/// The C sources of the shim.
pub fn c_shim() -> PathBuf {
    root().join("c_shim")
}
