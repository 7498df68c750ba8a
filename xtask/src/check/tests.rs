//! For every rule, an object that breaks it and nothing else.

use super::{inspect, Release, Rules};
use crate::{arch::Arch, elf::Elf};
use object::{
    elf,
    write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection},
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use std::collections::BTreeSet;

/// 8.99.5
const VERSION: u32 = 899_000_500;

/// `push rbp; mov rbp, rsp; sub rsp, 16; mov [rbp-16], rax; leave; ret`
const CODE: &[u8] = &[
    0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x10, 0x48, 0x89, 0x45, 0xf0, 0xc9, 0xc3,
];
/// The same for i386.
const CODE_I386: &[u8] = &[
    0x55, 0x89, 0xe5, 0x83, 0xec, 0x10, 0x89, 0x45, 0xf0, 0xc9, 0xc3,
];
/// `stp x29, x30, [sp, #-16]!; mov x29, sp; ldp x29, x30, [sp], #16; ret`
const CODE_AARCH64: &[u32] = &[0xa9bf_7bfd, 0x9100_03fd, 0xa8c1_7bfd, 0xd65f_03c0];

/// A module that is in order, to be spoiled.
struct Module {
    object: Object<'static>,
    text: SectionId,
    rodata: SectionId,
    link_set: SectionId,
    /// `struct modinfo`
    info: SymbolId,
    pointer: u32,
}

impl Module {
    fn new(arch: Arch, code: &[u8]) -> Self {
        let (architecture, pointer, size) = match arch {
            Arch::Amd64 => (Architecture::X86_64, elf::R_X86_64_64, 8),
            Arch::I386 => (Architecture::I386, elf::R_386_32, 4),
            Arch::Aarch64 => (Architecture::Aarch64, elf::R_AARCH64_ABS64, 8),
        };
        let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
        let text = object.add_section(vec![], b".text".to_vec(), SectionKind::Text);
        let rodata = object.add_section(vec![], b".rodata".to_vec(), SectionKind::ReadOnlyData);
        let link_set = object.add_section(
            vec![],
            b"link_set_modules".to_vec(),
            SectionKind::ReadOnlyData,
        );
        object.append_section_data(text, code, 16);
        let names = object.append_section_data(rodata, b"puffs\0putter\0", 1);
        let mut bytes = VERSION.to_le_bytes().to_vec();
        bytes.resize(8 + 3 * size, 0);
        let at = object.append_section_data(rodata, &bytes, 8);
        object.append_section_data(link_set, &vec![0; size], size as u64);
        let info = symbol(
            &mut object,
            "modinfo",
            SymbolSection::Section(rodata),
            at,
            SymbolKind::Data,
            false,
        );
        let mut module = Self {
            object,
            text,
            rodata,
            link_set,
            info,
            pointer,
        };
        module.symbol(
            "puffs_function",
            SymbolSection::Section(text),
            0,
            SymbolKind::Text,
            false,
        );
        let strings = module.symbol(
            "strings",
            SymbolSection::Section(rodata),
            names,
            SymbolKind::Data,
            false,
        );
        let word = size as u64;
        module.relocation(rodata, at + 8 + word, pointer, strings, 0);
        module.relocation(rodata, at + 8 + 2 * word, pointer, strings, 6);
        module.relocation(link_set, 0, pointer, module.info, 0);
        module
    }

    fn amd64() -> Self {
        Self::new(Arch::Amd64, CODE)
    }

    fn symbol(
        &mut self,
        name: &str,
        section: SymbolSection,
        value: u64,
        kind: SymbolKind,
        global: bool,
    ) -> SymbolId {
        symbol(&mut self.object, name, section, value, kind, global)
    }

    fn undefined(&mut self, name: &str) -> SymbolId {
        self.symbol(name, SymbolSection::Undefined, 0, SymbolKind::Text, true)
    }

    fn relocation(
        &mut self,
        section: SectionId,
        offset: u64,
        kind: u32,
        symbol: SymbolId,
        addend: i64,
    ) {
        let flags = RelocationFlags::Elf { r_type: kind };
        self.object
            .add_relocation(
                section,
                Relocation {
                    offset,
                    symbol,
                    addend,
                    flags,
                },
            )
            .expect("a relocation");
    }

    /// A section of its own, with something in it.
    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        let section = self.object.add_section(vec![], name.into(), kind);
        self.object.append_section_data(section, &[0; 16], 8);
        section
    }

    fn bytes(&self) -> Vec<u8> {
        self.object.write().expect("an object")
    }

    fn broken(&self) -> Vec<&'static str> {
        broken(&self.bytes(), &rules())
    }
}

fn symbol(
    object: &mut Object,
    name: &str,
    section: SymbolSection,
    value: u64,
    kind: SymbolKind,
    global: bool,
) -> SymbolId {
    object.add_symbol(Symbol {
        name: name.into(),
        value,
        size: 0,
        kind,
        scope: if global {
            SymbolScope::Dynamic
        } else {
            SymbolScope::Compilation
        },
        weak: false,
        section,
        flags: SymbolFlags::None,
    })
}

fn rules() -> Rules {
    Rules {
        whole: true,
        release: Some(Release(VERSION)),
        kernel: None,
    }
}

fn broken(file: &[u8], rules: &Rules) -> Vec<&'static str> {
    inspect(file, rules).expect("an ELF file").broken()
}

/// The rules that amd64 code breaks.
fn code(code: &[u8]) -> Vec<&'static str> {
    Module::new(Arch::Amd64, code).broken()
}

fn aarch64(code: &[u32]) -> Vec<&'static str> {
    let bytes: Vec<_> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    Module::new(Arch::Aarch64, &bytes).broken()
}

#[test]
fn good_modules_pass() {
    assert_eq!(Module::amd64().broken(), [""; 0]);
    assert_eq!(Module::new(Arch::I386, CODE_I386).broken(), [""; 0]);
    assert_eq!(aarch64(CODE_AARCH64), [""; 0]);
    let report = inspect(&Module::amd64().bytes(), &rules())
        .expect("an ELF file")
        .to_string();
    assert!(report.contains("module puffs, needs putter"), "{report}");
    assert!(report.contains("made for NetBSD 8.99.5"), "{report}");
}

#[test]
fn what_is_no_elf_file_is_an_error() {
    assert!(inspect(b"#!/bin/sh\n", &rules()).is_err());
}

#[test]
fn a_program_is_no_module() {
    let mut file = Module::amd64().bytes();
    file[16] = elf::ET_EXEC as u8;
    assert_eq!(broken(&file, &rules()), ["type"]);
}

#[test]
fn the_port_must_be_known() {
    let mut file = Module::amd64().bytes();
    file[18..20].copy_from_slice(&elf::EM_SPARCV9.to_le_bytes());
    assert_eq!(broken(&file, &rules()), ["machine"]);
}

#[test]
fn there_is_a_symbol_table() {
    let mut file = Module::amd64().bytes();
    let table = u64::from_le_bytes(file[40..48].try_into().expect("e_shoff")) as usize;
    for header in file[table..].chunks_exact_mut(64) {
        if header[4] == elf::SHT_SYMTAB as u8 {
            header[4] = elf::SHT_NULL as u8;
        }
    }
    assert!(broken(&file, &rules()).contains(&"symtab"));
}

#[test]
fn there_is_code() {
    assert_eq!(code(&[]), ["text"]);
}

#[test]
fn alignments_are_within_a_page() {
    let mut module = Module::amd64();
    let data = module
        .object
        .add_section(vec![], b".data".to_vec(), SectionKind::Data);
    module.object.append_section_data(data, &[0; 8], 8192);
    assert_eq!(module.broken(), ["alignment"]);
}

#[test]
fn debug_sections_are_ballast() {
    let mut module = Module::amd64();
    module.section(".debug_info", SectionKind::Debug);
    assert_eq!(module.broken(), ["ballast"]);
}

#[test]
fn plt32_depends_on_the_release() {
    let mut module = Module::amd64();
    let callee = module.undefined("kmem_alloc");
    module.relocation(module.text, 4, elf::R_X86_64_PLT32, callee, -4);
    assert_eq!(module.broken(), ["relocations"]);

    let newer = Rules {
        release: Some(Release::WITH_PLT32),
        ..rules()
    };
    assert_eq!(broken(&module.bytes(), &newer), ["version"]);

    let mut file = module.bytes();
    let changed = Elf::parse(&file)
        .expect("an ELF file")
        .turn_plt32_into_pc32(&mut file);
    assert_eq!(changed, 1);
    assert_eq!(broken(&file, &rules()), [""; 0]);
}

#[test]
fn plt32_of_i386_is_turned_too() {
    // call, ret
    let mut module = Module::new(Arch::I386, &[0xe8, 0, 0, 0, 0, 0xc3]);
    let callee = module.undefined("__udivdi3");
    module.relocation(module.text, 1, elf::R_386_PLT32, callee, -4);
    let mut file = module.bytes();
    assert_eq!(broken(&file, &rules()), ["relocations"]);
    assert_eq!(
        Elf::parse(&file)
            .expect("an ELF file")
            .turn_plt32_into_pc32(&mut file),
        1
    );
    assert_eq!(broken(&file, &rules()), [""; 0]);
}

#[test]
fn there_is_no_got() {
    let cases = [
        (Arch::Amd64, elf::R_X86_64_REX_GOTPCRELX),
        (Arch::I386, elf::R_386_GOTPC),
        (Arch::Aarch64, elf::R_AARCH64_ADR_GOT_PAGE),
    ];
    for (arch, kind) in cases {
        let bytes: Vec<_> = CODE_AARCH64
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let mut module = match arch {
            Arch::Amd64 => Module::amd64(),
            Arch::I386 => Module::new(arch, CODE_I386),
            Arch::Aarch64 => Module::new(arch, &bytes),
        };
        let symbol = module.undefined("hz");
        module.relocation(module.text, 0, kind, symbol, 0);
        assert_eq!(module.broken(), ["got"], "{arch}");
    }
}

#[test]
fn relocations_stay_within_what_is_loaded() {
    let mut module = Module::amd64();
    module.relocation(module.text, 4096, module.pointer, module.info, 0);
    assert_eq!(module.broken(), ["targets"]);

    let mut module = Module::amd64();
    let note = module.section(".note.test", SectionKind::Note);
    let symbol = module.symbol(
        "note",
        SymbolSection::Section(note),
        0,
        SymbolKind::Data,
        false,
    );
    module.relocation(module.rodata, 16, module.pointer, symbol, 0);
    assert_eq!(module.broken(), ["targets"]);
}

#[test]
fn constructors_are_not_run() {
    let mut module = Module::amd64();
    module.section(".ctors", SectionKind::Data);
    assert_eq!(module.broken(), ["constructors"]);

    let mut module = Module::amd64();
    module.section(".init_array", SectionKind::Elf(elf::SHT_INIT_ARRAY));
    assert_eq!(module.broken(), ["constructors"]);
}

#[test]
fn common_symbols_have_no_place() {
    let mut module = Module::amd64();
    let symbol = Symbol {
        name: b"puffs_common".to_vec(),
        value: 0,
        size: 0,
        kind: SymbolKind::Data,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Undefined,
        flags: SymbolFlags::None,
    };
    module.object.add_common_symbol(symbol, 8, 8);
    // It is a global as well.
    assert_eq!(module.broken(), ["common", "globals"]);
}

#[test]
fn undefined_symbols_are_not_weak() {
    let mut module = Module::amd64();
    let symbol = module.undefined("maybe");
    module.object.symbol_mut(symbol).weak = true;
    assert_eq!(module.broken(), ["weak"]);
}

#[test]
fn the_kernel_has_what_is_undefined() {
    let mut module = Module::amd64();
    module.undefined("kmem_alloc");
    assert_eq!(module.broken(), [""; 0]);
    let kernel = |names: &[&str]| Rules {
        kernel: Some(
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>(),
        ),
        ..rules()
    };
    assert_eq!(broken(&module.bytes(), &kernel(&["kmem_alloc"])), [""; 0]);
    assert_eq!(
        broken(&module.bytes(), &kernel(&["kmem_free"])),
        ["undefined"]
    );
}

#[test]
fn globals_do_not_clash() {
    let mut module = Module::amd64();
    module.symbol(
        "puffs_vnodeop_p",
        SymbolSection::Section(module.rodata),
        0,
        SymbolKind::Data,
        true,
    );
    assert_eq!(module.broken(), ["globals"]);
    let kernel = |name: &str| Rules {
        kernel: Some([name.to_owned()].into()),
        ..rules()
    };
    assert_eq!(broken(&module.bytes(), &kernel("hz")), [""; 0]);
    assert_eq!(
        broken(&module.bytes(), &kernel("puffs_vnodeop_p")),
        ["globals"]
    );

    let mut module = Module::amd64();
    module.symbol(
        "__start_link_set_modules",
        SymbolSection::Section(module.link_set),
        0,
        SymbolKind::Data,
        true,
    );
    assert_eq!(module.broken(), [""; 0]);
}

#[test]
fn there_is_one_modinfo() {
    let mut two = Module::amd64();
    let second = two.object.append_section_data(two.link_set, &[0; 8], 8);
    two.relocation(two.link_set, second, two.pointer, two.info, 0);
    assert_eq!(two.broken(), ["modinfo"]);

    let mut file = Module::amd64().bytes();
    let at = file
        .windows(16)
        .rposition(|bytes| bytes == b"link_set_modules")
        .expect("its name");
    file[at] = b'k';
    assert_eq!(broken(&file, &rules()), ["modinfo"]);
}

#[test]
fn the_modinfo_is_local() {
    let mut module = Module::amd64();
    module.object.symbol_mut(module.info).scope = SymbolScope::Dynamic;
    assert_eq!(module.broken(), ["globals", "modinfo"]);
}

#[test]
fn the_version_is_the_kernels() {
    let module = Module::amd64();
    let other = Rules {
        release: Some("10.99.12".parse().expect("a release")),
        ..rules()
    };
    assert_eq!(broken(&module.bytes(), &other), ["version"]);
}

#[test]
fn releases_are_read_and_compared_as_the_kernel_does() {
    let release = |text: &str| text.parse::<Release>().expect("a release");
    assert_eq!(release("8.99.5").0, VERSION);
    assert_eq!(release("10.99.12").0, 1_099_001_200);
    assert_eq!(release("9.3").0, 903_000_000);
    assert_eq!(release("6.1.5").0, 601_000_500);
    for text in ["8.99.5", "10.99.12", "9.3", "11.0", "6.1.5"] {
        assert_eq!(release(text).to_string(), text);
    }
    assert!("8".parse::<Release>().is_err() && "current".parse::<Release>().is_err());
    assert!(!release("8.99.5").takes_module(899_000_600));
    assert!(release("6.1.5").takes_module(601_000_000));
    assert!(!release("9.3").takes_module(900_000_000));
    assert!(!release("10.1").takes_module(1_000_000_000));
}

#[test]
fn code_is_code() {
    // push es, which amd64 has not.
    assert_eq!(code(&[0x06, 0xc3]), ["code"]);
}

#[test]
fn amd64_leaves_the_fpu_alone() {
    let cases: [(&str, &[u8]); 8] = [
        ("movsd xmm0, [rdi]", &[0xf2, 0x0f, 0x10, 0x07]),
        ("pxor xmm1, xmm1", &[0x66, 0x0f, 0xef, 0xc9]),
        ("vxorps ymm0, ymm0, ymm0", &[0xc5, 0xfc, 0x57, 0xc0]),
        ("movq mm0, rax", &[0x48, 0x0f, 0x6e, 0xc0]),
        ("fld1", &[0xd9, 0xe8]),
        ("fnstcw [rdi]", &[0xd9, 0x3f]),
        ("ldmxcsr [rdi]", &[0x0f, 0xae, 0x17]),
        ("fxsave [rdi]", &[0x0f, 0xae, 0x07]),
    ];
    for (name, bytes) in cases {
        assert_eq!(code(bytes), ["fpu"], "{name}");
    }
    // pause, mfence, prefetcht0 [rdi]: of SSE, but no use of its registers.
    assert_eq!(
        code(&[0xf3, 0x90, 0x0f, 0xae, 0xf0, 0x0f, 0x18, 0x0f]),
        [""; 0]
    );
}

#[test]
fn i386_leaves_the_fpu_alone() {
    let fild = [0xdf, 0x6c, 0x24, 0x04, 0xc3];
    assert_eq!(Module::new(Arch::I386, &fild).broken(), ["fpu"]);
}

#[test]
fn aarch64_leaves_the_fpu_alone() {
    let cases = [
        ("fmov d0, x0", 0x9e67_0000),
        ("movi v0.2d, #0", 0x6f00_e400),
        ("ldr q0, [x0]", 0x3dc0_0000),
        ("stp d8, d9, [sp, #-16]!", 0x6dbf_27e8),
        ("ptrue p0.b", 0x2518_e3e0),
    ];
    for (name, word) in cases {
        assert_eq!(aarch64(&[word]), ["fpu"], "{name}");
    }
}

#[test]
fn nothing_is_below_rsp() {
    // mov [rsp-8], rax
    assert_eq!(code(&[0x48, 0x89, 0x44, 0x24, 0xf8, 0xc3]), ["red-zone"]);
    // mov eax, [rsp-0x100]
    assert_eq!(
        code(&[0x8b, 0x84, 0x24, 0x00, 0xff, 0xff, 0xff, 0xc3]),
        ["red-zone"]
    );
    // lea rax, [rsp-8]: an address, no access.
    assert_eq!(code(&[0x48, 0x8d, 0x44, 0x24, 0xf8, 0xc3]), [""; 0]);
    // mov [rsp+8], rax
    assert_eq!(code(&[0x48, 0x89, 0x44, 0x24, 0x08, 0xc3]), [""; 0]);
}

#[test]
fn nothing_is_below_the_frame() {
    // push rbp; mov rbp, rsp; mov [rbp-8], rax; pop rbp; ret
    let leaf = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0x45, 0xf8, 0x5d, 0xc3];
    assert_eq!(code(&leaf), ["red-zone"]);
    // push rbp; mov rbp, rsp; push rbx; mov [rbp-8], rax; pop rbx; pop rbp; ret
    let pushed = [
        0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x89, 0x45, 0xf8, 0x5b, 0x5d, 0xc3,
    ];
    assert_eq!(code(&pushed), [""; 0]);
    // push rbp; mov rbp, rsp; add rsp, -128; mov [rbp-128], rax; leave; ret
    let added = [
        0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xc4, 0x80, 0x48, 0x89, 0x45, 0x80, 0xc9, 0xc3,
    ];
    assert_eq!(code(&added), [""; 0]);
    // push rbp; mov rbp, rsp; and rsp, -32; mov [rbp-64], rax: not judged.
    let aligned = [
        0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xe0, 0x48, 0x89, 0x45, 0xc0, 0xc9, 0xc3,
    ];
    assert_eq!(code(&aligned), [""; 0]);
    // mov rax, [rbp-8] where rbp is an ordinary register.
    assert_eq!(code(&[0x48, 0x8b, 0x45, 0xf8, 0xc3]), [""; 0]);
}

#[test]
fn frames_are_small() {
    // sub rsp, 0x800
    assert_eq!(
        code(&[0x48, 0x81, 0xec, 0x00, 0x08, 0x00, 0x00, 0xc3]),
        [""; 0]
    );
    // sub rsp, 0x1000
    assert_eq!(
        code(&[0x48, 0x81, 0xec, 0x00, 0x10, 0x00, 0x00, 0xc3]),
        ["stack"]
    );
    // sub esp, 0x1000
    let i386 = [0x81, 0xec, 0x00, 0x10, 0x00, 0x00, 0xc3];
    assert_eq!(Module::new(Arch::I386, &i386).broken(), ["stack"]);
}

#[test]
fn nothing_is_below_sp() {
    let cases = [
        ("stur x0, [sp, #-8]", 0xf81f_83e0),
        ("ldp x0, x1, [sp, #-16]", 0xa97f_07e0),
    ];
    for (name, word) in cases {
        assert_eq!(aarch64(&[word]), ["red-zone"], "{name}");
    }
    // str x0, [sp, #-16]!; stur x0, [x1, #-8]; ldp x0, x1, [sp, #16]
    assert_eq!(aarch64(&[0xf81f_0fe0, 0xf81f_8020, 0xa941_07e0]), [""; 0]);
}

#[test]
fn an_object_before_the_link_may_have_what_the_link_removes() {
    let mut module = Module::amd64();
    module.section(".debug_info", SectionKind::Debug);
    let callee = module.undefined("kmem_alloc");
    module.relocation(module.text, 4, elf::R_X86_64_PLT32, callee, -4);
    assert_eq!(broken(&module.bytes(), &Rules::object()), [""; 0]);
    module.relocation(module.text, 4, elf::R_X86_64_GOTPCREL, callee, -4);
    assert_eq!(broken(&module.bytes(), &Rules::object()), ["got"]);
}
