//! The Rust half: the static library for a target, and the C header of what
//! it exports.

use crate::{paths, setup, sh, source};
use anyhow::{ensure, Context, Result};
use object::read::archive::ArchiveFile;
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

/// The package of the library.
const PACKAGE: &str = "puffs-rs";

/// Compiles the library for a target of `etc/targets` and returns the archive.
///
/// The archive has two members or few more: the library with the parts of
/// `core` that it uses, as one object, and `compiler_builtins`, of which a
/// linker takes what is referred to. There is no `memcpy` and no `memset` in
/// it: those are the kernel's own.
///
/// `flags` are for rustc, and for the library alone.
pub fn build(target: &str, flags: &[&str]) -> Result<PathBuf> {
    setup::bindgen()?;
    let rust = setup::kernel_rust()?;
    let spec = paths::etc("targets").join(format!("{target}.json"));
    // A target directory of its own: a toolchain of its own fills it.
    let out = paths::target().join("kernel");
    sh::say(format!("compiling core and {PACKAGE} for {target}"));
    sh::run(
        rust.cargo("rustc")
            .current_dir(paths::root())
            // bindgen must not look at the host's C library.
            .env("BINDGEN_EXTRA_CLANG_ARGS", "-ffreestanding")
            .args(["--release", "--quiet", "--lib", "--package", PACKAGE])
            // With an rlib beside it there would be no link-time optimization.
            .args(["--crate-type", "staticlib"])
            .arg("--target")
            .arg(&spec)
            .arg("--target-dir")
            .arg(&out)
            .arg("--")
            .args(flags),
    )?;
    let archive = out.join(target).join("release/libpuffs_rs.a");
    ensure!(
        archive.is_file(),
        "cargo did not make {}",
        archive.display()
    );
    Ok(archive)
}

/// Writes `puffs_rs.h` into `dir`: the prototypes of what the module `entry`
/// exports, for the shim to include.
pub fn write_header(dir: &Path) -> Result<()> {
    let entry = entry_sources()?;
    let names = structures(&entry)?;
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        include_guard: Some("_PUFFS_RS_H_".into()),
        header: Some("/* Written by cbindgen from src/entry.rs: do not edit. */".into()),
        no_includes: true,
        cpp_compat: false,
        usize_is_size_t: true,
        documentation: false,
        style: cbindgen::Style::Tag,
        export: cbindgen::ExportConfig {
            rename: names.foreign,
            exclude: names.own,
            ..Default::default()
        },
        ..Default::default()
    };
    let builder = entry
        .iter()
        .fold(cbindgen::Builder::new(), |builder, file| {
            builder.with_src(file)
        });
    let bindings = builder
        .with_config(config)
        .generate()
        .context("cbindgen cannot make the header of src/entry.rs")?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    sh::write(&dir.join("puffs_rs.h"), text)
}

/// The files of the module `entry`: one file, or a directory.
fn entry_sources() -> Result<Vec<PathBuf>> {
    let src = paths::root().join("src");
    let mut files = vec![src.join("entry.rs")];
    if let Ok(entries) = std::fs::read_dir(src.join("entry")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.retain(|file| file.is_file() && file.extension().is_some_and(|suffix| suffix == "rs"));
    files.sort();
    ensure!(!files.is_empty(), "there is no src/entry.rs");
    Ok(files)
}

/// The structures that the prototypes speak of. C's headers define them all.
struct Structures {
    /// Those that Rust knows from elsewhere, with their spelling in C.
    foreign: HashMap<String, String>,
    /// Those that the module `entry` declares as opaque types of its own.
    own: Vec<String>,
}

/// Wire structures, which have Rust names in the module `abi`.
const WIRE: [(&str, &str); 5] = [
    ("KArgs", "puffs_kargs"),
    ("Kcn", "puffs_kcn"),
    ("Kcred", "puffs_kcred"),
    ("PutterHdr", "putter_hdr"),
    ("Req", "puffs_req"),
];

/// Finds the structures by their use: what a pointer points to and is neither
/// a type of the language nor one of the module's own.
fn structures(sources: &[PathBuf]) -> Result<Structures> {
    const LANGUAGE: [&str; 14] = [
        "bool", "i8", "i16", "i32", "i64", "isize", "u8", "u16", "u32", "u64", "usize", "mut",
        "const", "dyn",
    ];
    let mut own = Vec::new();
    let mut used = BTreeSet::new();
    for file in sources {
        let text = source::code(&String::from_utf8(sh::read(file)?)?);
        let of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let words = text.split(|c| !of_path(c)).filter(|word| !word.is_empty());
        let mut before = "";
        for word in words {
            let name = word.rsplit(':').next().unwrap_or(word);
            if before == "struct" {
                own.push(name.to_owned());
            } else if ["mut", "const"].contains(&before) {
                used.insert(name.to_owned());
            }
            before = word;
        }
    }
    let foreign = used
        .into_iter()
        .filter(|name| {
            !own.contains(name) && !LANGUAGE.contains(&name.as_str()) && !name.starts_with("c_")
        })
        .filter_map(|name| {
            let wire = WIRE.iter().find(|(rust, _)| *rust == name).map(|(_, c)| *c);
            let c_name = name
                .starts_with(|c: char| c.is_ascii_lowercase())
                .then_some(name.as_str());
            let tag = wire.or(c_name)?;
            Some((name.clone(), format!("struct {tag}")))
        })
        .collect();
    Ok(Structures { foreign, own })
}

/// The members of an archive.
pub fn members(archive: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let file = sh::read(archive)?;
    let parsed = ArchiveFile::parse(&*file).with_context(|| archive.display().to_string())?;
    let mut members = Vec::new();
    for member in parsed.members() {
        let member = member?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        if name.ends_with(".o") {
            members.push((name, member.data(&*file)?.to_vec()));
        }
    }
    ensure!(!members.is_empty(), "{} has no objects", archive.display());
    Ok(members)
}
