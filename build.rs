//! Reads the kernel-service ABI (`c_shim/puffs_kern.h`) with bindgen, so that
//! the Rust side of it cannot drift from the C side.

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let header = "c_shim/puffs_kern.h";
    println!("cargo:rerun-if-changed={header}");

    let mut builder = bindgen::Builder::default()
        .header(header)
        .use_core()
        // The compiler's own headers are all that it needs.
        .clang_arg("-ffreestanding")
        .allowlist_function("pk_.*")
        .allowlist_type("pk_.*|putter_hdr|fid|flock|statvfs|timespec|vattr")
        .allowlist_var("PK_.*")
        .derive_default(true)
        .size_t_is_usize(true)
        .layout_tests(true)
        .generate_comments(false)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    // The kernel targets are described by JSON files whose names mean nothing
    // to clang: it parses for the processor, and the header has nothing that
    // depends on the system.
    if env::var("CARGO_CFG_TARGET_OS")? == "none" {
        let triple = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
            "x86" => "i386-unknown-netbsdelf",
            "aarch64" => "aarch64-unknown-netbsd",
            _ => "x86_64-unknown-netbsd",
        };
        builder = builder.clang_arg(format!("--target={triple}"));
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("kern_sys.rs");
    builder.generate()?.write_to_file(out)?;
    Ok(())
}
