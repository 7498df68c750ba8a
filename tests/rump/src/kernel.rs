//! The libraries of a rump kernel, and the functions of theirs that are called.

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};
use puffs_rs::kern::Errno;
use std::{
    ffi::{c_char, c_int, c_void},
    os::unix::process::CommandExt,
    sync::OnceLock,
    time::Duration,
};

/// What a rump kernel with puffs consists of, in the order in which it is
/// loaded, and whether it must be there. All names are global, and the first
/// library that has one counts: the first here brings `librump.so.0` with it,
/// which has substitutes for what others may lack, and comes before it.
const LIBRARIES: [(&str, bool); 8] = [
    ("librumpvfs.so.0", true),
    ("librumpvfs_fifofs.so.0", false),
    ("librumpnet.so.0", false),
    ("librumpnet_local.so.0", false),
    ("librumpdev.so.0", true),
    ("librumpdev_putter.so.0", true),
    ("librumpfs_syspuffs.so.0", true),
    ("librump.so.0", true),
];

/// Do with signals nothing (`RUMP_SIGMODEL_IGNORE`): they are the program's own
/// business.
const SIGNALS_IGNORED: c_int = 1;

/// A kernel thread, as its kernel has it.
#[repr(C)]
pub struct RawLwp {
    _opaque: [u8; 0],
}

/// A `kmutex_t`.
#[repr(C)]
pub struct RawMutex {
    _opaque: [u8; 0],
}

/// A `kcondvar_t`. A rump kernel uses its first word only.
#[repr(C)]
pub struct RawCondVar {
    used: *mut c_void,
    free: usize,
}

impl RawCondVar {
    /// A word that nobody uses; it need not have been initialized.
    pub fn free_word(this: *mut RawCondVar) -> *mut usize {
        this.wrapping_byte_add(std::mem::offset_of!(RawCondVar, free))
            .cast()
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// Functions of the kernel's. Those with `rumpns_` in their names are
        /// for code that is inside.
        pub struct Functions {
            $($(#[$doc])* pub $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Functions {
            /// Finds each in the library that has it, not in this program.
            fn find(libraries: &[Library]) -> Result<Functions, String> {
                Ok(Functions {
                    $($name: {
                        let name = stringify!($name);
                        libraries
                            .iter()
                            .find_map(|library| {
                                // SAFETY: the type is that of the function of this name.
                                unsafe { library.get(name.as_bytes()) }.ok()
                            })
                            .map(|symbol| *symbol)
                            .ok_or_else(|| format!("no library has {name}"))?
                    },)*
                })
            }
        }
    };
}

functions! {
    /// Boots.
    rump_init: fn() -> c_int;
    /// Says what is done about signals.
    rump_boot_setsigmodel: fn(c_int);
    /// The caller gets a processor of the kernel's, and may call what has
    /// `rumpns_` in its name.
    rump_schedule: fn();
    /// And gives it back.
    rump_unschedule: fn();
    /// Has the thread `vdrain` forget vnodes.
    rumpns_vfs_drainvnodes: fn() -> c_int;
    /// A system call, by number and arguments.
    rump_syscall: fn(c_int, *mut c_void, usize, *mut i64) -> c_int;
    /// A new process, whose first thread the caller becomes.
    rump_pub_lwproc_rfork: fn(c_int) -> c_int;
    /// A new thread of a process, which the caller becomes.
    rump_pub_lwproc_newlwp: fn(i32) -> c_int;
    /// Ends the thread that the caller is.
    rump_pub_lwproc_releaselwp: fn();
    /// The caller becomes this thread, or none.
    rump_pub_lwproc_switch: fn(*mut RawLwp);
    /// The thread that the caller is.
    rump_pub_lwproc_curlwp: fn() -> *mut RawLwp;
    /// `cv_timedwait(9)`.
    rumpns_cv_timedwait: fn(*mut RawCondVar, *mut RawMutex, c_int) -> c_int;
    /// `cv_wait_sig(9)`.
    rumpns_cv_wait_sig: fn(*mut RawCondVar, *mut RawMutex) -> c_int;
    /// `cv_signal(9)`.
    rumpns_cv_signal: fn(*mut RawCondVar);
    /// `cv_broadcast(9)`.
    rumpns_cv_broadcast: fn(*mut RawCondVar);
    /// The sleep under `select(2)` and `poll(2)`.
    rumpns_sleepq_block: fn(c_int, bool, usize, c_int) -> c_int;
}

/// How many vnodes the kernel wants to keep: its variable `desiredvnodes`.
pub struct DesiredVnodes(*mut u32);

// SAFETY: the kernel reads it at any time, too, and does not mind what it is.
unsafe impl Send for DesiredVnodes {}
// SAFETY: the same.
unsafe impl Sync for DesiredVnodes {}

static DESIRED_VNODES: OnceLock<DesiredVnodes> = OnceLock::new();

/// Has the kernel forget all vnodes that nobody uses.
pub fn drain_vnodes() {
    let Some(&DesiredVnodes(desired)) = DESIRED_VNODES.get() else {
        return;
    };
    // SAFETY: it is the kernel's variable, and there is no other writer.
    let before = unsafe { desired.read_volatile() };
    // SAFETY: the same.
    unsafe { desired.write_volatile(1) };
    // SAFETY: the caller holds nothing of the kernel's.
    unsafe { (functions().rump_schedule)() };
    // That it does not get rid of all is no error here.
    // SAFETY: called from inside, as it has to be.
    unsafe { (functions().rumpns_vfs_drainvnodes)() };
    // SAFETY: it was scheduled above.
    unsafe { (functions().rump_unschedule)() };
    // SAFETY: as above.
    unsafe { desired.write_volatile(before) };
}

/// Has the kernel keep so many vnodes that nobody uses, or more.
pub fn keep_vnodes(count: u32) {
    if let Some(&DesiredVnodes(desired)) = DESIRED_VNODES.get() {
        // SAFETY: it is the kernel's variable, and there is no other writer.
        unsafe { desired.write_volatile(count) };
    }
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// The functions of the kernel, which was loaded before anything else was done.
///
/// # Panics
/// If it was not.
pub fn functions() -> &'static Functions {
    match FUNCTIONS.get() {
        Some(functions) => functions,
        None => panic!("no kernel is loaded"),
    }
}

/// Loads the kernel and boots it. The libraries are found as those of any
/// program are, by `LD_LIBRARY_PATH` for example.
pub fn boot() -> Result<(), String> {
    console_by_lines();
    let together = std::env::var_os(PRELOAD)
        .is_some_and(|preload| preload.to_string_lossy().contains(LIBRARIES[0].0));
    let mut libraries = Vec::new();
    for (name, needed) in LIBRARIES {
        match load(name) {
            Ok(library) => libraries.push(library),
            Err(error) if needed && together => return Err(format!("{name}: {error}")),
            Err(_) if needed => return Err(start_again()),
            Err(_) => {}
        }
    }
    let functions = Functions::find(&libraries)?;
    let variable = b"rumpns_desiredvnodes";
    let desired = libraries.iter().find_map(|library| {
        // SAFETY: the type is that of the variable of this name.
        unsafe { library.get::<*mut u32>(variable) }.ok()
    });
    if let Some(desired) = desired {
        DESIRED_VNODES.get_or_init(|| DesiredVnodes(*desired));
    }
    let variable = b"rumpns_hardclock_ticks";
    let ticks = libraries.iter().find_map(|library| {
        // SAFETY: the type is that of the variable of this name.
        unsafe { library.get::<*const c_int>(variable) }.ok()
    });
    let ticks = ticks.map(|ticks| *ticks);
    // NetBSD 10 has a function instead.
    let function = b"rumpns_getticks";
    let get_ticks = libraries.iter().find_map(|library| {
        // SAFETY: the type is that of the function of this name.
        unsafe { library.get::<unsafe extern "C" fn() -> c_int>(function) }.ok()
    });
    let get_ticks = get_ticks.map(|get_ticks| *get_ticks);
    // For good: threads of the kernel run in it until the process ends.
    std::mem::forget(libraries);
    let functions = FUNCTIONS.get_or_init(|| functions);
    // SAFETY: before the boot is when this may be called.
    unsafe { (functions.rump_boot_setsigmodel)(SIGNALS_IGNORED) };
    // SAFETY: everything that the kernel consists of is loaded.
    let error = unsafe { (functions.rump_init)() };
    if error != 0 {
        return Err(format!("rump_init: {error}"));
    }
    wait_for_a_tick(|| match (ticks, get_ticks) {
        // SAFETY: it is the kernel's variable, which is only read.
        (Some(ticks), _) => unsafe { ticks.read_volatile() },
        // SAFETY: it only reads, from wherever it is called.
        (None, Some(get_ticks)) => unsafe { get_ticks() },
        (None, None) => 1,
    });
    Ok(())
}

/// `puffs_vnop_getattr` takes a time of 0 for one that is over, and attributes
/// that were never cached for cached ones where it is not: before the first
/// tick of the clock (and when the count of ticks, an `int`, is negative).
fn wait_for_a_tick(ticks: impl Fn() -> c_int) {
    while ticks() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Names the libraries that the loader loads before this one's own libraries.
const PRELOAD: &str = "LD_PRELOAD";

/// Starts this program again, with the libraries. From NetBSD 10 on, those of
/// the VFS and of FIFOs want variables of each other, so that neither can be
/// loaded first; those that come with a program are there all at once.
fn start_again() -> String {
    let mut preload = std::env::var(PRELOAD).unwrap_or_default();
    for (name, _) in LIBRARIES {
        preload += " ";
        preload += name;
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return format!("who am I? {error}"),
    };
    let mut again = std::process::Command::new(program);
    again
        .args(std::env::args_os().skip(1))
        .env(PRELOAD, preload);
    format!("cannot start again: {}", again.exec())
}

fn load(name: &str) -> Result<Library, libloading::Error> {
    // SAFETY: the libraries' constructors announce components to each other and
    // do nothing else.
    unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_GLOBAL) }
}

/// The console of the kernel is C's standard output. A panic ends the process
/// at once, and what it said must be out by then.
fn console_by_lines() {
    /// `_IOLBF`.
    const BY_LINES: c_int = 1;
    extern "C" {
        static stdout: *mut c_void;
        fn setvbuf(stream: *mut c_void, buffer: *mut c_char, mode: c_int, size: usize) -> c_int;
    }
    // SAFETY: nobody changes it.
    let stream = unsafe { stdout };
    // SAFETY: nothing was printed yet.
    unsafe { setvbuf(stream, std::ptr::null_mut(), BY_LINES, 0) };
}

/// Makes a system call; returns what it returns, or its errno.
///
/// # Errors
/// What the kernel says.
///
/// # Safety
/// The words are arguments that this call may have, with addresses of memory that
/// it may use until it is over.
pub unsafe fn system_call(number: c_int, words: &mut [i64]) -> Result<i64, Errno> {
    let mut returned = [0; 2];
    // SAFETY: the words are what the caller says that they are.
    let error = unsafe {
        (functions().rump_syscall)(
            number,
            words.as_mut_ptr().cast(),
            size_of_val(words),
            returned.as_mut_ptr(),
        )
    };
    Errno::check(error).map(|()| returned[0])
}
