//! The code of aarch64: no floating-point or vector registers, nothing below
//! the stack pointer.
//!
//! A64 instructions fall into classes by a few bits (Arm ARM, C4.1), so that
//! no disassembler is needed to tell those which touch the FP and SIMD
//! registers.

use super::{place, Report};
use crate::elf::{Elf, Place};

pub(super) fn rules(elf: &Elf, report: &mut Report) {
    let (mut fpu, mut below) = (vec![], vec![]);
    let mut count = 0_usize;
    for (index, section) in elf
        .sections
        .iter()
        .enumerate()
        .filter(|(_, section)| section.is_text())
    {
        let data = data_ranges(elf, index);
        for (number, word) in section.data.chunks_exact(4).enumerate() {
            let offset = number as u64 * 4;
            if data(offset) {
                continue;
            }
            count += 1;
            let word = u32::from_le_bytes(word.try_into().expect("four bytes"));
            let what = || format!("{}: {word:08x}", place(elf, index, offset));
            if is_fp_or_simd(word) {
                fpu.push(what());
            }
            if is_below_sp(word) {
                below.push(what());
            }
        }
    }
    report.add("code", format!("{count} instructions"), vec![]);
    report.add("fpu", "no FP, SIMD, SVE or SME", fpu);
    report.add("red-zone", "no access below the stack pointer", below);
}

/// The mapping symbols `$x` (code) and `$d` (data) of a section, as a test of
/// whether an offset is data.
fn data_ranges(elf: &Elf, section: usize) -> impl Fn(u64) -> bool {
    let mut marks: Vec<_> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.place == Place::Section(section))
        .filter(|symbol| symbol.name.starts_with("$x") || symbol.name.starts_with("$d"))
        .map(|symbol| (symbol.value, symbol.name.starts_with("$d")))
        .collect();
    marks.sort_unstable();
    move |offset| {
        let before = marks.partition_point(|(start, _)| *start <= offset);
        before > 0 && marks[before - 1].1
    }
}

/// Does it touch the FP and SIMD registers?
fn is_fp_or_simd(word: u32) -> bool {
    let class = word >> 25 & 0b1111;
    match class {
        // Scalar floating point and Advanced SIMD.
        0b0111 | 0b1111 => true,
        // SVE; SME, in what was unallocated before.
        0b0010 => true,
        0b0000 => word >> 31 == 1,
        // Loads and stores: bit V.
        0b0100 | 0b0110 | 0b1100 | 0b1110 => word >> 26 & 1 == 1,
        _ => false,
    }
}

/// Is it a load or store at a negative offset from `sp` that leaves `sp` alone?
fn is_below_sp(word: u32) -> bool {
    const SP: u32 = 31;
    let base_is_sp = word >> 5 & 0b11111 == SP;
    // LDUR, STUR and their like: signed 9-bit offset, no write back.
    let unscaled = word & 0x3b20_0c00 == 0x3800_0000 && word >> 20 & 1 == 1;
    // LDP, STP and LDNP, STNP: signed 7-bit offset, no write back.
    let pair = word & 0x3a80_0000 == 0x2800_0000 && (word >> 21) & 1 == 1;
    base_is_sp && (unscaled || pair)
}
