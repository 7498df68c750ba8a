//! Has the linker export the functions that stand in for the rump kernel's: the
//! libraries that are loaded at run time find them before the kernel's own.

const STAND_INS: [&str; 9] = [
    "rumpns_cv_broadcast",
    "rumpns_cv_signal",
    "rumpns_cv_timedwait",
    "rumpns_cv_timedwait_sig",
    "rumpns_cv_wait_sig",
    "rumpns_sigispending",
    "rumpns_sigpending1",
    "rumpns_sigprocmask1",
    "rumpns_sleepq_block",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in STAND_INS {
        println!("cargo::rustc-link-arg-bin=puffs-rump=-Wl,--export-dynamic-symbol={name}");
    }
}
