//! The code of amd64 and i386: no floating-point or vector registers, no red
//! zone.
//!
//! Every code section is disassembled from its beginning to its end; compilers
//! put jump tables into read-only data. An instruction is
//!
//! - a use of the FPU if it names one of its registers (x87, MMX, SSE and what
//!   came after), or is an x87 instruction, or saves or loads such state;
//! - a use of the red zone if it reads or writes memory below the stack
//!   pointer: at a negative constant offset from `rsp`, or from `rbp` beyond
//!   everything that the function took from the stack.
//!
//! The second half of that is a rule of thumb. Within a function (a symbol of
//! type `FUNC`) the sizes of all pushes and subtractions from `rsp` are added
//! up in the order in which they stand, from where `rbp` gets the value of
//! `rsp`; an access further below `rbp` than their sum cannot be in the frame.
//! What is given back is not subtracted, for a function has many exits, so
//! that a red zone of a function that pushes arguments may go unseen. A
//! function that computes its stack pointer (`alloca`) is not judged, nor is an
//! access with an index, whose offset may make up for a negative constant. Stack
//! probes and the address arithmetic of `lea` are no accesses.
//!
//! While at it, the frame that takes the most of the kernel's small stack is
//! looked for.

use super::{place, Report};
use crate::{
    arch::Arch,
    elf::{Elf, Place},
};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, InstructionInfoFactory, Mnemonic,
    NasmFormatter, OpAccess, Register,
};
use object::elf::STT_FUNC;
use std::collections::BTreeSet;

/// The largest frame that passes. A kernel stack has 8 or 12 kB, for everything
/// between the system call and the disk.
const FRAME_LIMIT: u64 = 2048;

pub(super) fn rules(elf: &Elf, arch: Arch, report: &mut Report) {
    let mut scan = Scan {
        elf,
        arch,
        count: 0,
        largest: (0, String::new()),
        fpu: vec![],
        red_zone: vec![],
        undecodable: vec![],
    };
    for (index, section) in elf.sections.iter().enumerate() {
        if section.is_text() {
            scan.section(index, &section.data);
        }
    }
    let Scan {
        count,
        largest,
        fpu,
        red_zone,
        undecodable,
        ..
    } = scan;
    report.add("code", format!("{count} instructions"), undecodable);
    report.add("fpu", "no x87, MMX, SSE or AVX", fpu);
    let (bytes, function) = largest;
    let failures = if bytes > FRAME_LIMIT {
        vec![format!("{function}: a frame of {bytes} bytes")]
    } else {
        vec![]
    };
    report.add(
        "stack",
        format!("largest frame {bytes} bytes ({function})"),
        failures,
    );
    report.add("red-zone", "no access below the stack pointer", red_zone);
}

struct Scan<'a> {
    elf: &'a Elf,
    arch: Arch,
    count: usize,
    /// The most that one instruction takes from the stack, and where.
    largest: (u64, String),
    fpu: Vec<String>,
    red_zone: Vec<String>,
    undecodable: Vec<String>,
}

/// What is known of a function's frame.
#[derive(Clone, Copy)]
enum Frame {
    /// `rbp` does not point to it.
    Unknown,
    /// It has this many bytes below `rbp`, or less.
    Below(u64),
}

impl Scan<'_> {
    fn section(&mut self, index: usize, code: &[u8]) {
        let functions: BTreeSet<u64> = self
            .elf
            .symbols
            .iter()
            .filter(|symbol| symbol.place == Place::Section(index) && symbol.kind == STT_FUNC)
            .map(|symbol| symbol.value)
            .collect();
        let bits = if self.arch == Arch::Amd64 { 64 } else { 32 };
        let mut decoder = Decoder::with_ip(bits, code, 0, DecoderOptions::NONE);
        let mut factory = InstructionInfoFactory::new();
        let mut instruction = Instruction::default();
        let mut frame = Frame::Unknown;
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            self.count += 1;
            if functions.contains(&instruction.ip()) {
                frame = Frame::Unknown;
            }
            if instruction.is_invalid() {
                self.undecodable.push(format!(
                    "{}: not an instruction",
                    place(self.elf, index, instruction.ip())
                ));
                continue;
            }
            let info = factory.info(&instruction);
            if touches_fpu(
                &instruction,
                info.used_registers().iter().map(|used| used.register()),
            ) {
                self.fpu.push(self.show(index, &instruction));
            }
            let below = info.used_memory().iter().any(|memory| {
                memory.access() != OpAccess::NoMemAccess
                    && memory.index() == Register::None
                    && is_below(memory.base(), memory.displacement(), frame)
            });
            // A push, or a call, goes below the stack pointer and moves it.
            if below && !instruction.is_stack_instruction() {
                self.red_zone.push(self.show(index, &instruction));
            }
            if let Some(bytes) = taken(&instruction).filter(|bytes| *bytes > self.largest.0) {
                self.largest = (bytes, place(self.elf, index, instruction.ip()));
            }
            frame = next_frame(&instruction, frame);
        }
    }

    fn show(&self, section: usize, instruction: &Instruction) -> String {
        let mut text = String::new();
        NasmFormatter::new().format(instruction, &mut text);
        format!("{}: {text}", place(self.elf, section, instruction.ip()))
    }
}

fn touches_fpu(instruction: &Instruction, mut registers: impl Iterator<Item = Register>) -> bool {
    let by_register = registers.any(|register| {
        register.is_vector_register()
            || register.is_st()
            || register.is_mm()
            || register.is_k()
            || register.is_bnd()
            || register.is_tmm()
    });
    let mnemonic = format!("{:?}", instruction.mnemonic());
    by_register
        || is_x87(instruction)
        || mnemonic.starts_with("Xsave")
        || mnemonic.starts_with("Xrstor")
        || mnemonic.starts_with("Fxsave")
        || mnemonic.starts_with("Fxrstor")
        || matches!(
            instruction.mnemonic(),
            Mnemonic::Ldmxcsr
                | Mnemonic::Stmxcsr
                | Mnemonic::Vldmxcsr
                | Mnemonic::Vstmxcsr
                | Mnemonic::Emms
        )
}

/// x87 instructions, many of which name no register.
fn is_x87(instruction: &Instruction) -> bool {
    use iced_x86::CpuidFeature::{FPU, FPU287, FPU387};
    instruction
        .cpuid_features()
        .iter()
        .any(|feature| matches!(feature, FPU | FPU287 | FPU387))
}

/// Does that address lie below the stack pointer?
fn is_below(base: Register, displacement: u64, frame: Frame) -> bool {
    // Of 32 bits or of 64, a negative one is so in the lower 32 already.
    let displacement = i64::from(displacement as u32 as i32);
    match (base, frame) {
        (Register::RSP | Register::ESP, _) => displacement < 0,
        (Register::RBP | Register::EBP, Frame::Below(size)) => {
            displacement < 0 && displacement.unsigned_abs() > size
        }
        _ => false,
    }
}

/// What an instruction takes from the stack by a constant subtraction, if it
/// does.
fn taken(instruction: &Instruction) -> Option<u64> {
    if !matches!(instruction.op0_register(), Register::RSP | Register::ESP) {
        return None;
    }
    // Of 32 bits or sign-extended to 64: the lower 32 tell.
    let amount = i64::from(instruction.try_immediate(1).ok()? as u32 as i32);
    match instruction.mnemonic() {
        Mnemonic::Sub => u64::try_from(amount).ok(),
        // add rsp, -128: what a compiler makes of sub rsp, 128.
        Mnemonic::Add => u64::try_from(-amount).ok(),
        _ => None,
    }
}

/// The frame after an instruction.
fn next_frame(instruction: &Instruction, frame: Frame) -> Frame {
    let is_sp = |register| matches!(register, Register::RSP | Register::ESP);
    let is_bp = |register| matches!(register, Register::RBP | Register::EBP);
    let first = instruction.op0_register();
    let second = instruction.op1_register();
    match (instruction.mnemonic(), frame) {
        (Mnemonic::Mov, _) if is_bp(first) && is_sp(second) => Frame::Below(0),
        // rbp is something else from here on, unless the function returns.
        (Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Xor, _) if is_bp(first) => Frame::Unknown,
        (Mnemonic::Push, Frame::Below(size)) => {
            Frame::Below(size + instruction.stack_pointer_increment().unsigned_abs() as u64)
        }
        (Mnemonic::Sub, Frame::Below(size)) if is_sp(first) => {
            taken(instruction).map_or(Frame::Unknown, |bytes| Frame::Below(size + bytes))
        }
        (Mnemonic::Add, Frame::Below(size)) if is_sp(first) => {
            Frame::Below(size + taken(instruction).unwrap_or(0))
        }
        (Mnemonic::And | Mnemonic::Mov | Mnemonic::Xchg, Frame::Below(_)) if is_sp(first) => {
            Frame::Unknown
        }
        // lea rsp, [rbp - 40] of an epilogue gives back; anything else takes.
        (Mnemonic::Lea, Frame::Below(_)) if is_sp(first) && !is_bp(instruction.memory_base()) => {
            Frame::Unknown
        }
        _ if instruction.flow_control() == FlowControl::Return => frame,
        _ => frame,
    }
}
