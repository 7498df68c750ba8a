//! The hosted kernel itself: that it has every service, and that it enforces
//! the rules.

use puffs_hosted::{
    bench::{Bench, MNT, WAITS},
    kernel::{self, Kernel, Kind, SERVICES},
    user::User,
};
use puffs_rs::kern::{self, sys};
use std::{collections::BTreeSet, process::Command, ptr};

#[test]
fn every_service_of_the_header_is_there() {
    let header = include_str!("../../../../c_shim/puffs_kern.h");
    let mut declared = BTreeSet::new();
    for (at, _) in header.match_indices("pk_") {
        let name: String = header[at..]
            .chars()
            .take_while(|char| char.is_ascii_alphanumeric() || *char == '_')
            .collect();
        let before = header[..at].chars().next_back();
        let starts = before.is_some_and(|char| char.is_whitespace() || char == '*');
        if starts && header[at + name.len()..].starts_with('(') {
            declared.insert(name);
        }
    }
    let here: BTreeSet<_> = SERVICES.iter().map(|name| name.to_string()).collect();
    assert!(declared.len() > 80, "{declared:?}");
    assert_eq!(declared, here);
}

/// Runs one of the tests below in a process of its own, which has to die with
/// `message`.
fn dies(test: &str, message: &str) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--ignored", "--nocapture", "--exact"])
        .arg(format!("rules::{test}"))
        .env("PUFFS_HOSTED_DIES", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{test} did not die");
    assert!(text.contains(message), "{test} died with {text}");
}

/// Is this the process that is to die?
fn is_victim() -> bool {
    std::env::var_os("PUFFS_HOSTED_DIES").is_some()
}

macro_rules! rules {
    ($($name:ident, $victim:ident: $message:literal, $body:expr;)+) => { $(
        #[test]
        fn $name() {
            dies(stringify!($victim), $message);
        }

        #[test]
        #[ignore = "dies, in a process of its own"]
        fn $victim() {
            if is_victim() {
                let body: fn() = $body;
                body();
            }
        }
    )+ };
}

rules! {
    a_mutex_is_not_recursive, recursion: "entered by who is inside", || {
        let _kernel = Kernel::boot();
        let mutex = kern::Mutex::new(());
        let _first = mutex.lock();
        let _second = mutex.lock();
    };
    a_mutex_is_not_destroyed_while_held, destruction: "destroyed while held", || {
        let _kernel = Kernel::boot();
        let mutex = kern::Mutex::new(());
        std::mem::forget(mutex.lock());
        drop(mutex);
    };
    nothing_is_freed_twice, double_free: "pk_free of what is not allocated", || {
        let _kernel = Kernel::boot();
        // SAFETY: the size is not 0.
        let memory = unsafe { sys::pk_alloc(10, true) };
        // SAFETY: allocated with this size.
        unsafe { sys::pk_free(memory, 10) };
        // SAFETY: not at all, which is what is tested; the kernel dies first.
        unsafe { sys::pk_free(memory, 10) };
    };
    memory_is_freed_with_its_size, wrong_size: "11 bytes of a block of 10", || {
        let _kernel = Kernel::boot();
        // SAFETY: the size is not 0.
        let memory = unsafe { sys::pk_alloc(10, true) };
        // SAFETY: not at all, which is what is tested; the kernel dies first.
        unsafe { sys::pk_free(memory, 11) };
    };
    memory_ends_where_it_ends, overflow: "written behind its 10 bytes", || {
        let _kernel = Kernel::boot();
        // SAFETY: the size is not 0.
        let memory = unsafe { sys::pk_alloc(10, true) };
        // SAFETY: the fence behind the block, which is ours as well.
        let behind = unsafe { memory.cast::<u8>().add(10) };
        // SAFETY: the fence behind the block, which is ours as well.
        unsafe { behind.write(1) };
        // SAFETY: allocated with this size.
        unsafe { sys::pk_free(memory, 10) };
    };
    what_is_gone_is_not_used, gone: "use of a vnode that is not there", || {
        let _kernel = Kernel::boot();
        // SAFETY: not at all, which is what is tested; the kernel dies first.
        unsafe { sys::pk_vnode_rele(ptr::without_provenance_mut(0x10)) };
    };
    a_leak_is_found, leak: "leaked", || {
        let kernel = Kernel::boot();
        // SAFETY: the size is not 0.
        let _memory = unsafe { sys::pk_alloc(10, true) };
        kernel.shutdown();
    };
    who_holds_a_lock_does_not_sleep, sleep: "may sleep, inside a Core mutex", || {
        let _kernel = Kernel::boot();
        let mutex = kern::Mutex::new(());
        let _guard = mutex.lock();
        // SAFETY: the size is not 0.
        let _memory = unsafe { sys::pk_alloc(10, true) };
    };
    the_core_can_panic, panic: "the end is near", || {
        let _kernel = Kernel::boot();
        kern::panic(format_args!("the end is near"));
    };
    a_test_has_a_time_limit, limit: "not done after", || {
        let _kernel = Kernel::boot_for(std::time::Duration::from_millis(50));
        std::thread::sleep(std::time::Duration::from_secs(60));
    };
    a_hang_tells_what_everybody_waits_for, hang: "user/call            puffsrpl", || {
        let bench = Bench::on(
            Kernel::boot_for(std::time::Duration::from_millis(500)),
            &puffs_hosted::bench::quiet_args(),
        );
        let call = bench.call(|user| user.statvfs(MNT).map(drop)).until_asleep(WAITS);
        let _ = call.join();
    };
}

#[test]
fn memory_is_aligned_and_zeroed() {
    let kernel = Kernel::boot();
    for size in (1..200).chain([4096, 1 << 20]) {
        // SAFETY: the size is not 0.
        let memory = unsafe { sys::pk_zalloc(size, true) };
        assert_eq!(memory.addr() % 16, 0);
        // SAFETY: a block of that size.
        let bytes = unsafe { std::slice::from_raw_parts(memory.cast::<u8>(), size) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        // SAFETY: allocated with this size.
        unsafe { sys::pk_free(memory, size) };
    }
    kernel.shutdown();
}

#[test]
fn memory_that_may_not_be_waited_for_can_be_short() {
    let kernel = Kernel::boot();
    kernel.fail_next(Kind::Memory);
    // SAFETY: the size is not 0.
    assert!(unsafe { sys::pk_alloc(10, false) }.is_null());
    // SAFETY: the size is not 0.
    let memory = unsafe { sys::pk_alloc(10, false) };
    assert!(!memory.is_null());
    // SAFETY: allocated with this size.
    unsafe { sys::pk_free(memory, 10) };
    kernel.shutdown();
}

#[test]
fn outstanding_names_what_is_out() {
    let bench = Bench::new();
    let out = bench.kernel.outstanding();
    for kind in [
        "kmem",
        "mutex",
        "condvar",
        "mount",
        "putter",
        "kernel thread",
    ] {
        assert!(out.contains_key(kind), "{kind} is not in {out:?}");
    }
    assert!(!out.contains_key("vnode"));
    let root = bench.root();
    assert_eq!(bench.kernel.outstanding()["vnode"].objects, 1);
    assert_eq!(bench.kernel.outstanding()["puffs_node"].objects, 1);
    drop(root);
    bench.finish();
}

#[test]
fn the_module_can_be_loaded_and_unloaded_again() {
    for _ in 0..20 {
        let kernel = Kernel::boot();
        assert!(kernel.outstanding().is_empty());
        kernel.shutdown();
    }
}

#[test]
fn unmounting_what_is_not_mounted_fails() {
    let kernel = Kernel::boot();
    let user = User::new("user");
    assert!(user.run(|_| kernel::unmount("/nowhere", 0)).is_err());
    drop(user);
    kernel.shutdown();
}
