//! System calls of a NetBSD kernel by number, with its structs (those of amd64
//! and the other ports with pointers of 64 bits).
//!
//! How a call gets into the kernel is a [`Gate`]'s business: a rump kernel has
//! a function for it, a process of NetBSD's an instruction. What it needs there
//! is the same, and is made by a [`Kernel`]: the [`Calls`] of a world, and what
//! of a [`Device`](puffs_script::world::Device) is only system calls.
//!
//! [`Calls`]: puffs_script::world::Calls

mod calls;
mod device;
mod structs;

pub use calls::MSYNC;

use puffs_rs::kern::Result;
use puffs_script::text;
use std::{ffi::CString, panic, process};
use zerocopy::IntoBytes;

/// Has a panic end the process: whoever else is in the kernel would wait for a
/// thread that unwinds.
pub fn end_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}

/// The most arguments, in words, that a system call has.
pub const WORDS: usize = 8;

/// The way into a kernel, for one thread.
pub trait Gate {
    /// Makes a system call; returns what it returns, or its errno. The call is
    /// over, with all that a return to user mode brings.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Safety
    /// The words are arguments that this call may have, with addresses of
    /// memory that it may use until it is over.
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64>;

    /// Blocks a signal for the thread that the caller is.
    ///
    /// # Errors
    /// What the kernel says.
    fn block(&self, signal: i32) -> Result<()>;
}

impl<G: Gate + ?Sized> Gate for &G {
    unsafe fn enter(&self, number: i32, words: &mut [i64; WORDS]) -> Result<i64> {
        // SAFETY: as the caller's.
        unsafe { (**self).enter(number, words) }
    }

    fn block(&self, signal: i32) -> Result<()> {
        (**self).block(signal)
    }
}

/// A kernel, as a thread of it sees it.
pub struct Kernel<G>(G);

const GETPID: i32 = 20;
const OPEN: i32 = 5;
const CLOSE: i32 = 6;
const FCNTL: i32 = 92;
const MODCTL: i32 = 246;

/// `O_RDWR`.
pub const O_RDWR: i32 = 2;
/// `O_NONBLOCK`.
pub const O_NONBLOCK: i32 = 4;
/// `O_CREAT`.
pub const O_CREAT: i32 = 0x200;

const MODCTL_LOAD: i64 = 0;
const MODCTL_UNLOAD: i64 = 1;
const F_CLOSEM: i64 = 10;

/// An argument.
enum Arg<'a> {
    /// A number.
    Int(i64),
    /// A path or another string.
    Text(&'a str),
    /// A buffer that is read, and its length: two arguments.
    In(&'a [u8]),
    /// A buffer that is written, and its length: two arguments.
    Out(&'a mut [u8]),
    /// A buffer that is written, and that is as long as the call knows.
    OutAs(&'a mut [u8]),
    /// A buffer that is read, and that is as long as the call knows.
    InAs(&'a [u8]),
}

fn int(number: impl Into<i64>) -> Arg<'static> {
    Arg::Int(number.into())
}

/// The first `len` bytes, which a call says it has filled.
fn filled(mut bytes: Vec<u8>, len: i64) -> Vec<u8> {
    bytes.truncate(len as usize);
    bytes
}

impl<G: Gate> Kernel<G> {
    /// The kernel behind a gate.
    pub fn new(gate: G) -> Kernel<G> {
        Kernel(gate)
    }

    /// Its gate.
    pub fn gate(&self) -> &G {
        &self.0
    }

    /// Makes a system call. All callers are in this crate, and give every buffer
    /// as large as the call's documentation has it.
    fn call<const N: usize>(&self, number: i32, arguments: [Arg<'_>; N]) -> Result<i64> {
        let mut words = [0_i64; WORDS];
        let mut texts = Vec::new();
        let mut used = 0;
        let mut put = |word: i64| {
            words[used] = word;
            used += 1;
        };
        for argument in arguments {
            match argument {
                Arg::Int(number) => put(number),
                Arg::Text(path) => {
                    let path = CString::new(text::bytes(path)).unwrap_or_default();
                    put(path.as_ptr() as i64);
                    texts.push(path);
                }
                Arg::In(bytes) => {
                    put(bytes.as_ptr() as i64);
                    put(bytes.len() as i64);
                }
                Arg::Out(bytes) => {
                    put(bytes.as_mut_ptr() as i64);
                    put(bytes.len() as i64);
                }
                Arg::OutAs(bytes) => put(bytes.as_mut_ptr() as i64),
                Arg::InAs(bytes) => put(bytes.as_ptr() as i64),
            }
        }
        // SAFETY: a word for each argument, as NetBSD wants it; the buffers and
        // strings live until the call is over, and are as large as it thinks.
        unsafe { self.0.enter(number, &mut words) }
    }

    /// `getpid(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn getpid(&self) -> Result<i32> {
        self.call(GETPID, []).map(|pid| pid as i32)
    }

    /// `open(2)` with these flags.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open_file(&self, path: &str, flags: i32) -> Result<i32> {
        let mode = int(0o644);
        self.call(OPEN, [Arg::Text(path), int(flags), mode])
            .map(|fd| fd as i32)
    }

    /// `close(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn close_file(&self, fd: i32) -> Result<()> {
        self.call(CLOSE, [int(fd)]).map(drop)
    }

    /// Loads a module from a file, by `modctl(2)`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn load_module(&self, file: &str) -> Result<()> {
        let file = CString::new(file).unwrap_or_default();
        // A `modctl_load_t`: the file, flags, properties and their length.
        let load = [file.as_ptr() as u64, 0, 0, 0];
        let arguments = [Arg::Int(MODCTL_LOAD), Arg::InAs(load.as_bytes())];
        self.call(MODCTL, arguments).map(drop)
    }

    /// Closes all files of the process (`F_CLOSEM`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn close_files(&self) -> Result<()> {
        let from = int(0);
        self.call(FCNTL, [from, Arg::Int(F_CLOSEM)]).map(drop)
    }

    /// Unloads a module by `modctl(2)`, also one that is part of the kernel.
    ///
    /// # Errors
    /// What the kernel says: EBUSY while it is in use.
    pub fn unload_module(&self, name: &str) -> Result<()> {
        let arguments = [Arg::Int(MODCTL_UNLOAD), Arg::Text(name)];
        self.call(MODCTL, arguments).map(drop)
    }
}
