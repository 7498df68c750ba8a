use super::*;
use crate::report::Kind;

const LIMIT: Duration = Duration::from_secs(60);

fn answer(end: End, console: &str) -> Answer {
    Answer {
        end,
        qemu: Some("exit status 0".into()),
        console: console.into(),
    }
}

fn of(end: End, console: &str) -> Outcome {
    outcome(&answer(end, console), LIMIT).unwrap()
}

/// A kernel that prints a trace and reboots, or that ddb makes do so.
const PANIC: &str = "sh steps/x.sh </dev/null; s=$?; echo ==end-3==$s==
about to
panic: kernel diagnostic assertion \"pp->pr_nout == 0\" failed: file \"/usr/src/sys/kern/subr_pool.c\", line 735 puffprkl
cpu1: Begin traceback...
vpanic() at netbsd:vpanic+0x1c1
pool_destroy() at netbsd:pool_destroy+0x9e
cpu1: End traceback...
rebooting...
";

/// One of a kernel that says when.
const PANIC_WITH_TIME: &str = "[ 101.5821077] panic: trap
[ 101.5821077] cpu0: Begin traceback...
[ 101.6000001] dumping to dev 0,1 (offset=8, size=131040):
[ 101.6000001] dump 
";

/// One that stops in ddb.
const PANIC_IN_DDB: &str = "panic: crash test
fatal breakpoint trap in supervisor mode
trap type 1 code 0 rip 0xffffffff8021cfe5 cs 0x8 rflags 0x246
Stopped in pid 7.1 (modload) at netbsd:breakpoint+0x5:  leave
db{0}> bt
breakpoint() at netbsd:breakpoint+0x5
vpanic() at netbsd:vpanic+0x1c1
db{0}> 
";

/// A trap that brings a kernel into ddb without a panic.
const TRAP_IN_DDB: &str = "uvm_fault(0xffffe4000229dc10, 0x0, 1) -> e
fatal page fault in supervisor mode
trap type 6 code 0 rip 0xffffffff80b04100 cs 0x8 rflags 0x10246 cr2 0x18
kernel: page fault trap, code=0
Stopped in pid 41.1 (cat) at    puffs:puffs_msg_enqueue+0x1c:   movq 18(%rax),%rdx
db{1}> 
";

/// A step that says nothing more, and what ddb says when it is sent a break.
const HANG: &str = "sh steps/hang.sh </dev/null; s=$?; echo ==end-4==$s==
server is up
umount of a server that does not answer

echo ==end-4==$s==
fatal breakpoint trap in supervisor mode
trap type 1 code 0 rip 0xffffffff8021cfe5 cs 0x8 rflags 0x202
Stopped in pid 0.2 (system) at  netbsd:breakpoint+0x5:  leave
breakpoint() at netbsd:breakpoint+0x5
comintr() at netbsd:comintr+0x276
db{0}> ps/w
 PID   LID          COMMAND   EMUL  PRI WAIT-MSG   WAIT-CHANNEL
";

#[test]
fn a_command_that_ends_has_no_outcome_here() {
    let status = End::Status { status: 1 };
    assert_eq!(outcome(&answer(status, "panic: in a book\n"), LIMIT), None);
}

#[test]
fn a_panic_is_one_wherever_the_kernel_gets_to() {
    for end in [End::Gone, End::Ddb, End::Limit] {
        for (console, message) in [
            (PANIC_WITH_TIME, "trap"),
            (PANIC_IN_DDB, "crash test"),
            (
                PANIC,
                "kernel diagnostic assertion \"pp->pr_nout == 0\" failed: \
                 file \"sys/kern/subr_pool.c\", line 735 puffprkl",
            ),
        ] {
            assert_eq!(of(end, console), Outcome::Panic(message.into()), "{end:?}");
        }
    }
}

#[test]
fn the_debugger_without_a_panic_tells_the_trap_and_the_place() {
    let Outcome::Panic(why) = of(End::Ddb, TRAP_IN_DDB) else {
        panic!("no panic");
    };
    assert!(why.contains("uvm_fault("), "{why}");
    assert!(why.contains("puffs:puffs_msg_enqueue+0x1c"), "{why}");
    let why = "the kernel stopped in its debugger".to_owned();
    assert_eq!(of(End::Ddb, "db{0}> \n"), Outcome::Panic(why));
}

#[test]
fn a_hang_tells_what_came_last_and_not_what_the_debugger_said() {
    let why = "no end within 60 s, after: umount of a server that does not answer";
    assert_eq!(of(End::Limit, HANG), Outcome::Hang(why.into()));
    let silent = "sleep 1000; s=$?; echo ==end-4==$s==\n";
    assert_eq!(
        of(End::Limit, silent),
        Outcome::Hang("no end within 60 s".into())
    );
}

#[test]
fn a_qemu_that_dies_is_told_from_a_panic() {
    let Outcome::Panic(why) = of(End::Gone, "working\n") else {
        panic!("no panic");
    };
    assert_eq!(why, "QEMU ended, exit status 0, without a panic");
}

#[test]
fn a_program_that_prints_panic_in_a_line_is_no_panic() {
    let console = "run\nnot ok 3 - a kernel that says panic: x\nlog: panic: y\n";
    assert_eq!(of(End::Limit, console).kind(), Kind::Hang);
}
