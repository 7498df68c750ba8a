//! The puffs protocol as NetBSD's installed headers have it.
//!
//! [`Headers::read`] has libclang compile the headers for one of NetBSD's
//! ports, on whatever machine this runs, and notes down what the compiler
//! makes of them. It knows nothing of puffs-rs; the tests compare.

use clang::diagnostic::Severity;
use clang::{Clang, Entity, EntityKind, EntityVisitResult, Index, TypeKind, Unsaved};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The environment variable that names the directory of the headers.
pub const HEADERS_VAR: &str = "PUFFS_NETBSD_HEADERS";

/// The headers that define the protocol, by the ends of their paths.
const PROTOCOL: [&str; 2] = ["fs/puffs/puffs_msgif.h", "dev/putter/putter.h"];

/// A port of NetBSD.
#[derive(Debug)]
pub struct Port {
    /// What Rust calls its architecture.
    pub arch: &'static str,
    /// What clang calls it.
    pub triple: &'static str,
    /// The directory of the headers that are its own, next to that of the
    /// headers that all ports share.
    pub include: &'static str,
}

/// The ports that puffs-rs supports.
pub const PORTS: [Port; 3] = [
    Port {
        arch: "x86_64",
        triple: "x86_64--netbsd",
        include: "x86_64-netbsd-none",
    },
    Port {
        arch: "x86",
        triple: "i386--netbsdelf",
        include: "x86-netbsd-none",
    },
    Port {
        arch: "aarch64",
        triple: "aarch64--netbsd",
        include: "aarch64-netbsd-none",
    },
];

/// The directory of the headers that all ports share.
const SHARED: &str = "generic-netbsd";

/// The layout of a struct.
#[derive(Debug)]
pub struct Struct {
    /// Its size in bytes.
    pub size: usize,
    /// Its alignment in bytes.
    pub align: usize,
    /// The name of each field, and the bytes that it occupies.
    pub fields: Vec<(String, Range<usize>)>,
}

/// What a C compiler makes of the headers on one port.
#[derive(Debug)]
pub struct Headers {
    /// Every struct with a tag, of these headers or those they include.
    pub structs: BTreeMap<String, Struct>,
    /// The values of the expressions that [`read`](Self::read) was given.
    pub values: BTreeMap<String, i64>,
    /// The tags of the structs that belong to the protocol itself.
    pub own_structs: BTreeSet<String>,
    /// The enumerators and the macros without parameters that belong to the
    /// protocol itself.
    pub own_constants: BTreeSet<String>,
}

/// The directory that [`HEADERS_VAR`] names.
///
/// # Panics
///
/// If it is not set, or not such a directory: a comparison with nothing would
/// be no test.
pub fn directory() -> PathBuf {
    let Some(dir) = std::env::var_os(HEADERS_VAR).map(PathBuf::from) else {
        panic!(
            "{HEADERS_VAR} is not set, so there are no C headers to compare with. \
             `cargo xtask test` sets it; by hand, `pip install ziglang` and set it \
             to lib/libc/include in the directory of that package."
        );
    };
    for header in PROTOCOL {
        let path = dir.join(SHARED).join(header);
        assert!(
            path.is_file(),
            "{HEADERS_VAR} should hold NetBSD's headers, but there is no {}",
            path.display()
        );
    }
    dir
}

impl Headers {
    /// Compiles the headers in `dir` for `port`, and has C evaluate
    /// `expressions`.
    ///
    /// # Panics
    ///
    /// If libclang cannot be loaded, or finds fault with a header or an
    /// expression.
    pub fn read<'e>(
        dir: &Path,
        port: &Port,
        expressions: impl IntoIterator<Item = &'e str>,
    ) -> Self {
        /// libclang is loaded once at a time.
        static LIBCLANG: Mutex<()> = Mutex::new(());
        let _turn = LIBCLANG.lock().unwrap_or_else(PoisonError::into_inner);

        let expressions: Vec<_> = expressions.into_iter().collect();
        let clang = Clang::new().expect("libclang");
        let index = Index::new(&clang, false, false);
        let source = Path::new("protocol.c");
        let unit = index
            .parser(source)
            .unsaved(&[Unsaved::new(source, program(&expressions))])
            .arguments(&[
                &format!("--target={}", port.triple),
                "-nostdinc",
                &format!("-isystem{}", dir.join(port.include).display()),
                &format!("-isystem{}", dir.join(SHARED).display()),
            ])
            .detailed_preprocessing_record(true)
            .parse()
            .expect("a translation unit");
        let errors: Vec<_> = unit
            .get_diagnostics()
            .iter()
            .filter(|diagnostic| diagnostic.get_severity() >= Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", port.arch);

        let mut headers = Self {
            structs: BTreeMap::new(),
            values: BTreeMap::new(),
            own_structs: BTreeSet::new(),
            own_constants: BTreeSet::new(),
        };
        unit.get_entity().visit_children(|entity, _| {
            headers.note(&entity, &expressions);
            if entity.get_kind() == EntityKind::EnumDecl {
                EntityVisitResult::Recurse
            } else {
                EntityVisitResult::Continue
            }
        });
        headers
    }

    /// Notes down what a declaration or macro says.
    fn note(&mut self, entity: &Entity<'_>, expressions: &[&str]) {
        let Some(name) = entity.get_name() else {
            return;
        };
        match entity.get_kind() {
            EntityKind::StructDecl if entity.is_definition() => {
                if let Some(layout) = layout(entity) {
                    if of_protocol(entity) {
                        self.own_structs.insert(name.clone());
                    }
                    self.structs.insert(name, layout);
                }
            }
            EntityKind::EnumConstantDecl => {
                let Some((value, _)) = entity.get_enum_constant_value() else {
                    return;
                };
                if let Some(number) = name.strip_prefix(VALUE) {
                    let number: usize = number.parse().expect("the number of an expression");
                    self.values.insert(expressions[number].to_owned(), value);
                } else if of_protocol(entity) {
                    self.own_constants.insert(name);
                }
            }
            EntityKind::MacroDefinition
                if of_protocol(entity) && !entity.is_function_like_macro() =>
            {
                self.own_constants.insert(name);
            }
            _ => {}
        }
    }
}

/// What the names of the enumerators start with that hold the values of the
/// expressions.
const VALUE: &str = "value_of_expression_";

/// A C program that knows the protocol and evaluates `expressions`.
fn program(expressions: &[&str]) -> String {
    let values: String = expressions
        .iter()
        .enumerate()
        .map(|(number, expression)| format!("\t{VALUE}{number} = ({expression}),\n"))
        .collect();
    format!(
        "#include <sys/param.h>\n\
         #include <sys/errno.h>\n\
         #include <sys/namei.h>\n\
         #include <fs/puffs/puffs_msgif.h>\n\
         enum {{\n{values}}};\n"
    )
}

/// Does this belong to the protocol itself?
fn of_protocol(entity: &Entity<'_>) -> bool {
    entity
        .get_location()
        .and_then(|location| location.get_file_location().file)
        .is_some_and(|file| {
            PROTOCOL
                .iter()
                .any(|header| file.get_path().ends_with(header))
        })
}

/// The layout of a struct; `None` if it has none of a constant size.
fn layout(entity: &Entity<'_>) -> Option<Struct> {
    let ty = entity
        .get_type()
        .filter(|ty| ty.get_kind() == TypeKind::Record)?;
    let fields = ty
        .get_fields()?
        .iter()
        .filter_map(|field| {
            let start = field.get_offset_of_field().ok()? / 8;
            let end = start + field.get_type()?.get_sizeof().ok()?;
            Some((field.get_name()?, start..end))
        })
        .collect();
    Some(Struct {
        size: ty.get_sizeof().ok()?,
        align: ty.get_alignof().ok()?,
        fields,
    })
}
