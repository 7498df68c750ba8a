//! System calls by the instruction, and what lives below them: processes that
//! share this one's memory, their threads, handlers of signals. Nothing here
//! needs a C library, or a thread that one knows.
//!
//! All of it is NetBSD's and amd64's. The program is compiled on other systems
//! to be looked at by the compiler, and does nothing there.

use puffs_netbsd::WORDS;
use puffs_rs::kern::{Errno, Result};
use std::{arch::asm, ffi::c_void};

pub(crate) const EXIT: i32 = 1;
const FORK: i32 = 2;
pub(crate) const READ: i32 = 3;
pub(crate) const WRITE: i32 = 4;
pub(crate) const CLOSE: i32 = 6;
pub(crate) const RECVMSG: i32 = 27;
pub(crate) const SENDMSG: i32 = 28;
pub(crate) const KILL: i32 = 37;
pub(crate) const UMASK: i32 = 60;
pub(crate) const DUP2: i32 = 90;
pub(crate) const FCNTL: i32 = 92;
pub(crate) const SYSCTL: i32 = 202;
pub(crate) const SIGPROCMASK: i32 = 293;
pub(crate) const LWP_CREATE: i32 = 309;
pub(crate) const LWP_KILL: i32 = 318;
pub(crate) const WAIT: i32 = 449;
const CLONE: i64 = 287;
const GETCONTEXT: i32 = 307;
const SETCONTEXT: i32 = 308;
const SIGACTION: i32 = 340;

const SIGCHLD: i64 = 20;
const CLONE_VM: i64 = 0x100;

/// The numbers of signals.
const SIGNALS: std::ops::Range<i32> = 1..64;
pub(crate) const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 17;

/// Makes a system call.
///
/// # Safety
/// The words are arguments that this call may have. The caller need not be a
/// thread that Rust or C know.
pub(crate) unsafe fn syscall(number: i32, words: &[i64; WORDS]) -> Result<i64> {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = *words;
    let returned: i64;
    let failed: u8;
    // SAFETY: as the caller's. What does not fit into registers lies where it
    // would if the instruction was in a function of its own: above a return
    // address.
    unsafe {
        asm!(
            "push {eighth}",
            "push {seventh}",
            "push 0",
            "syscall",
            "setc {failed}",
            "add rsp, 24",
            seventh = in(reg) seventh,
            eighth = in(reg) eighth,
            failed = lateout(reg_byte) failed,
            inlateout("rax") i64::from(number) => returned,
            in("rdi") first,
            in("rsi") second,
            inlateout("rdx") third => _,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if failed == 0 {
        return Ok(returned);
    }
    Errno::check(returned as i32).map(|()| 0)
}

/// The same with fewer words.
///
/// # Safety
/// The same.
pub(crate) unsafe fn call<const N: usize>(number: i32, words: [i64; N]) -> Result<i64> {
    let mut all = [0; WORDS];
    for (place, word) in all.iter_mut().zip(words) {
        *place = word;
    }
    // SAFETY: as the caller's.
    unsafe { syscall(number, &all) }
}

/// The end of the process that the caller is a thread of.
pub(crate) fn exit() -> ! {
    exit_with(0)
}

fn exit_with(status: i64) -> ! {
    loop {
        // SAFETY: it has one argument, and does not return.
        let _ = unsafe { call(EXIT, [status]) };
    }
}

/// Makes a system call in a process that has a copy of this one's memory, and
/// waits for its end. What the call returns, other than an errno, is lost.
///
/// It is for what keeps an address space from being changed while it waits for
/// a file server, whose threads may have to change theirs: that is the same here.
///
/// # Safety
/// As for [`syscall`].
pub(crate) unsafe fn syscall_apart(number: i32, words: &[i64; WORDS]) -> Result<i64> {
    // SAFETY: it has no arguments, and the new process goes no further than below.
    let child = unsafe { call(FORK, []) }?;
    if child == 0 {
        // SAFETY: as the caller's.
        let done = unsafe { syscall(number, words) };
        exit_with(Errno::code(done.map(drop)).into());
    }
    let mut status = 0_i32;
    let wait = [child, &raw mut status as i64, 0, 0];
    // SAFETY: the status is there.
    while unsafe { call(WAIT, wait) } == Err(Errno::EINTR) {}
    if status & 0x7f != 0 {
        return Err(Errno::EINTR);
    }
    Errno::check(status >> 8 & 0xff).map(|()| 0)
}

/// What a thread of such a process does: it gets its argument, and never
/// returns.
pub(crate) type Entry = extern "C" fn(*mut c_void) -> !;

/// A new process that shares this one's memory, and nothing else; returns its
/// number. Its first thread runs `entry` on a stack that ends at `stack`.
///
/// # Safety
/// The stack is a stack, and nobody else's until the process is gone. What
/// `entry` does needs no thread that Rust or C know: it has no memory of a
/// thread's own, and must not wake one of this process.
pub(crate) unsafe fn clone(stack: *mut u8, entry: Entry, argument: *mut c_void) -> Result<i32> {
    let returned: i64;
    let failed: u8;
    // SAFETY: as the caller's. The new process goes on behind the instruction,
    // with 0, on its stack, and never leaves `entry`.
    unsafe {
        asm!(
            "syscall",
            "setc {failed}",
            "jc 2f",
            "test eax, eax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            failed = lateout(reg_byte) failed,
            inlateout("rax") CLONE => returned,
            in("rdi") CLONE_VM | SIGCHLD,
            in("rsi") stack,
            in("r12") entry,
            in("r13") argument,
            lateout("rdx") _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if failed == 0 {
        return Ok(returned as i32);
    }
    Errno::check(returned as i32).map(|()| 0)
}

/// A `ucontext_t`, as far as it is looked at: what registers a thread has.
#[repr(C, align(16))]
pub(crate) struct Context {
    flags: u32,
    before_registers: [u64; 6],
    registers: [u64; 26],
    rest: [u64; 65],
}

const _: () = assert!(size_of::<Context>() == 784);
const _: () = assert!(std::mem::offset_of!(Context, registers) == 56);

const RDI: usize = 0;
const RBP: usize = 12;
const RIP: usize = 21;
const RSP: usize = 24;

impl Context {
    /// That of a thread which is to run `entry` on a stack that ends at `stack`.
    pub(crate) fn of(stack: *mut u8, entry: Entry, argument: *mut c_void) -> Result<Box<Context>> {
        let mut context = Box::new(Context {
            flags: 0,
            before_registers: [0; 6],
            registers: [0; 26],
            rest: [0; 65],
        });
        // SAFETY: it is as large as the call thinks.
        unsafe { call(GETCONTEXT, [&raw mut *context as i64]) }?;
        context.registers[RDI] = argument as u64;
        context.registers[RBP] = 0;
        context.registers[RIP] = entry as usize as u64;
        // As if somebody had called it.
        context.registers[RSP] = stack as u64 - 8;
        Ok(context)
    }
}

/// A `struct sigaction`.
#[repr(C)]
struct Action {
    handler: extern "C" fn(i32),
    mask: [u32; 4],
    flags: i32,
}

/// All that a signal is to do is to end a system call.
extern "C" fn nothing(_: i32) {}

/// Where a handler returns to: `r15` has the context to go on with.
#[unsafe(naked)]
extern "C" fn return_from_handler() {
    std::arch::naked_asm!(
        "mov rdi, r15",
        "mov eax, {setcontext}",
        "syscall",
        "ud2",
        setcontext = const SETCONTEXT,
    )
}

/// From now on no signal ends the process that the caller is a thread of, but
/// for KILL, and none restarts a system call.
pub(crate) fn survive_signals() {
    const SA_SIGINFO: i32 = 0x40;
    /// Of the trampoline.
    const VERSION: i64 = 2;
    let action = Action {
        handler: nothing,
        mask: [0; 4],
        flags: SA_SIGINFO,
    };
    let trampoline: extern "C" fn() = return_from_handler;
    for signal in SIGNALS {
        if signal == SIGKILL || signal == SIGSTOP {
            continue;
        }
        let words = [
            i64::from(signal),
            &raw const action as i64,
            0,
            trampoline as usize as i64,
            VERSION,
        ];
        // SAFETY: the action is one, and what it names stays for ever.
        let _ = unsafe { call(SIGACTION, words) };
    }
}
