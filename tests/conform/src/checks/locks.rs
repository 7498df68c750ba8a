//! Advisory locks, which the server keeps, or the kernel if the server does not.

use crate::{errno::*, Bed, Check, File, Flags, Outcome};
use puffs_rs::abi::VnOp;
use puffs_script::world::{Ability, How, Lock, LockKind};
use std::time::Duration;

const FAMILY: &str = "locks";

fn open<'a>(b: &Bed<'a>) -> File<'a> {
    b.open("f", How::CREATE).done()
}

fn on(kind: LockKind, start: i64, len: i64) -> Lock {
    Lock::on(kind, start, len)
}

/// May another process have that lock now?
fn other_may(b: &Bed<'_>, lock: Lock) -> bool {
    b.elsewhere(|b| match open(b).lock(lock, false) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.get(), EAGAIN, "the errno");
            false
        }
    })
}

use LockKind::{Free, Read, Write};

/// The one that takes a look at others.
const HIMSELF: &str = "who would wait for himself is told";

type Body = fn(&Bed<'_>);

const CHECKS: [(&str, Body); 10] = [
    ("a lock to write keeps others out", |b| {
        let file = open(b);
        file.lock(Lock::WRITE, false).done();
        assert!(!other_may(b, Lock::WRITE));
        assert!(!other_may(b, Lock::READ));
        file.lock(Lock::FREE, false).done();
        assert!(other_may(b, Lock::WRITE));
    }),
    ("a lock to read is shared", |b| {
        let file = open(b);
        file.lock(Lock::READ, false).done();
        assert!(other_may(b, Lock::READ));
        assert!(!other_may(b, Lock::WRITE));
    }),
    ("locks of other ranges are in nobody's way", |b| {
        let file = open(b);
        file.lock(on(Write, 100, 100), false).done();
        for (start, len, may) in [
            (0, 100, true),
            (0, 101, false),
            (150, 1, false),
            (199, 1, false),
            (200, 1, true),
            (200, 0, true),
            (0, 0, false),
            (50, 1000, false),
        ] {
            assert_eq!(
                other_may(b, on(Write, start, len)),
                may,
                "{len} from {start}"
            );
        }
    }),
    ("a part of a lock is given back", |b| {
        let file = open(b);
        file.lock(on(Write, 0, 300), false).done();
        file.lock(on(Free, 100, 100), false).done();
        assert!(!other_may(b, on(Write, 0, 100)));
        assert!(other_may(b, on(Write, 100, 100)));
        assert!(!other_may(b, on(Write, 200, 100)));
        file.lock(Lock::FREE, false).done();
        assert!(other_may(b, Lock::WRITE));
    }),
    ("one's own locks are in nobody's way", |b| {
        let (one, two) = (open(b), open(b));
        one.lock(Lock::WRITE, false).done();
        two.lock(Lock::WRITE, false).done();
        one.lock(Lock::READ, false).done();
        assert!(other_may(b, Lock::READ));
        assert!(!other_may(b, Lock::WRITE));
        one.lock(on(Write, 10, 10), false).done();
        assert!(!other_may(b, on(Read, 15, 1)));
        assert!(other_may(b, on(Read, 20, 1)));
    }),
    ("a close gives the locks of the process back", |b| {
        let (one, two) = (open(b), open(b));
        one.lock(Lock::WRITE, false).done();
        assert!(!other_may(b, Lock::READ));
        drop(two);
        assert!(other_may(b, Lock::WRITE));
    }),
    ("the end of a process gives its locks back", |b| {
        b.make("f", b"");
        b.elsewhere(|b| {
            let calls = b.calls();
            let file = calls.open("/mnt/f", How::WRITE).done();
            // It stays open.
            calls.lock(file, Lock::WRITE, false).done();
        });
        open(b).lock(Lock::WRITE, false).done();
    }),
    ("who waits for a lock gets it", |b| {
        let file = open(b);
        file.lock(Lock::WRITE, false).done();
        let waiter = b.meanwhile(|calls| {
            let file = calls.open("/mnt/f", How::WRITE)?;
            let done = calls.lock(file, Lock::WRITE, true);
            calls.close(file)?;
            done
        });
        std::thread::sleep(Duration::from_millis(30));
        assert!(!waiter.is_done(), "it did not wait");
        file.lock(Lock::FREE, false).done();
        waiter.join().done();
        assert!(other_may(b, Lock::WRITE));
    }),
    (HIMSELF, |b| {
        let file = open(b);
        file.lock(on(Write, 0, 1), false).done();
        let waiter = b.meanwhile(|calls| {
            let file = calls.open("/mnt/f", How::WRITE)?;
            // Who looks whether it has it may have it at that moment.
            calls.lock(file, on(Write, 1, 1), true)?;
            let done = calls.lock(file, on(Write, 0, 1), true);
            calls.close(file)?;
            done
        });
        let start = std::time::Instant::now();
        while other_may(b, on(Write, 1, 1)) {
            assert!(start.elapsed() < Duration::from_secs(10), "it has no lock");
        }
        std::thread::sleep(Duration::from_millis(30));
        file.lock(on(Write, 1, 1), true).fails(EDEADLK);
        file.lock(Lock::FREE, false).done();
        waiter.join().done();
    }),
    ("flock is about open files", |b| {
        let (one, two) = (open(b), open(b));
        one.flock(Write).done();
        two.flock(Write).fails(EAGAIN);
        two.flock(Read).fails(EAGAIN);
        one.flock(Read).done();
        two.flock(Read).done();
        one.flock(Write).fails(EAGAIN);
        drop(two);
        one.flock(Write).done();
        b.elsewhere(|b| open(b).flock(Read).fails(EAGAIN));
        one.flock(Free).done();
        b.elsewhere(|b| open(b).flock(Write).done());
    }),
];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (title, body) in CHECKS {
        let flags = &[Flags::DEFAULT, Flags::NOCACHE_NAME, Flags::IAONDEMAND];
        let check = Check::new(FAMILY, title, body);
        checks.push(check.clone().variant("of the server").under(flags));
        let mut kernel = check.without(VnOp::Advlock).needs(Ability::KernelLocks);
        if title == HIMSELF {
            kernel = kernel.needs(Ability::Deadlocks);
        }
        checks.push(kernel.variant("of the kernel").under(Flags::ONE));
    }
    // puffs_vnop_advlock does not copy the server's answer back.
    let who = Check::new(FAMILY, "who has a lock is told", |b| {
        let file = open(b);
        let lock = on(Write, 10, 20);
        file.lock(lock, false).done();
        let me = b.calls().pid();
        b.elsewhere(|b| {
            let found = open(b).lock_of(Lock::WRITE).done();
            assert_eq!(found, Some((lock, me)));
            assert_eq!(open(b).lock_of(on(Write, 30, 0)).done(), None);
        });
        assert_eq!(file.lock_of(Lock::WRITE).done(), None);
    });
    checks.push(
        who.without(VnOp::Advlock)
            .needs(Ability::KernelLocks)
            .variant("of the kernel")
            .under(Flags::ONE),
    );
    checks
}
