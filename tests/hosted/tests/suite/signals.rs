//! Signals: which of them end a request, at which stage, and what is left.

use puffs_hosted::{
    bench::{attributes, until, written, Bench, MNT, READS, WAITS},
    kernel::{IMPORTANT, SIGALRM, SIGINT, SIGUSR1},
    server::Frame,
    user::Task,
    vnops::{self, request},
};
use puffs_rs::{
    abi::{vn, Cookie, Message, Vtype},
    kern::{Errno, Result},
};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

fn getattr(bench: &Bench) -> Task<Result<u64>> {
    bench
        .call(|user| user.stat(MNT).map(|va| va.size))
        .until_asleep(WAITS)
}

/// A read of the device that stops in the copy to the server until it is told
/// to go on.
struct Stopped {
    go: Arc<AtomicBool>,
    reader: Task<Result<Frame>>,
}

fn stop_in_copyout(bench: &Bench) -> Stopped {
    let (inside, go) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let client = bench.client();
    let (hook_inside, hook_go) = (inside.clone(), go.clone());
    client.set_copyout(Some(Arc::new(move |_| {
        hook_inside.store(true, Ordering::SeqCst);
        puffs_hosted::kernel::pause_until(|| hook_go.load(Ordering::SeqCst));
        0
    })));
    let reader = bench.server.spawn("reader", move |_| {
        let read = client.read();
        client.set_copyout(None);
        read
    });
    until("the reader to copy", || inside.load(Ordering::SeqCst));
    Stopped { go, reader }
}

impl Stopped {
    fn go_on(self) -> Result<Frame> {
        self.go.store(true, Ordering::SeqCst);
        self.reader.join()
    }
}

#[test]
fn each_important_signal_ends_a_request_that_is_being_copied_out() {
    for signal in IMPORTANT {
        let bench = Bench::new();
        let call = getattr(&bench);
        let stopped = stop_in_copyout(&bench);
        call.signal(signal);
        assert_eq!(call.join(), Err(Errno::EINTR), "signal {signal}");
        let request = stopped.go_on().unwrap();
        assert!(request.is::<vn::Getattr>());
        bench.send(&attributes(&request, Vtype::Dir, 9));
        bench.assert_quiet();
        bench.assert_alive();
        bench.finish();
    }
}

#[test]
fn the_signal_mask_is_as_it_was() {
    let bench = Bench::new();
    let (before, after) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let flags = (before.clone(), after.clone());
    let call = bench.call(move |user| {
        let done = user.stat(MNT).map(drop);
        flags.0.store(true, Ordering::SeqCst);
        while !flags.1.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        done
    });
    let call = call.until_asleep(WAITS);
    call.lwp().block(SIGALRM);
    let mask = call.lwp().mask();
    call.signal(SIGUSR1);
    let request = bench.next::<vn::Getattr>();
    until("the mask to change", || call.lwp().mask() != mask);
    bench.send(&attributes(&request, Vtype::Dir, 0));
    until("the call to return", || before.load(Ordering::SeqCst));
    assert_eq!(call.lwp().mask(), mask);
    after.store(true, Ordering::SeqCst);
    assert_eq!(call.join(), Ok(()));
    bench.finish();
}

/// Makes a call with an important signal pending from the start.
fn under_a_signal<T: Send + 'static>(
    bench: &Bench,
    work: impl FnOnce() -> T + Send + 'static,
) -> Task<T> {
    let ready = Arc::new(AtomicBool::new(false));
    let go = ready.clone();
    let call = bench.call(move |_| {
        while !go.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        work()
    });
    call.signal(SIGINT);
    ready.store(true, Ordering::SeqCst);
    call
}

/// Asks for an operation so.
fn pending<T: Message>(bench: &Bench) -> Result<()> {
    let root = bench.root();
    let call = under_a_signal(bench, move || {
        let done = request::<T, _>(&root, 0, 0, |_, _| {}, |_, _| ());
        drop(root);
        done
    });
    call.join()
}

#[test]
fn a_request_is_not_sent_under_a_pending_signal() {
    let bench = Bench::new();
    assert_eq!(pending::<vn::Access>(&bench), Err(Errno::EINTR));
    bench.assert_quiet();
    bench.assert_alive();
    bench.finish();
}

#[test]
fn inactive_and_reclaim_become_fire_and_forget_under_a_pending_signal() {
    let bench = Bench::new();
    assert_eq!(pending::<vn::Inactive>(&bench), Err(Errno::EINTR));
    let frame = bench.next::<vn::Inactive>();
    assert!(frame.is_faf());
    assert_eq!(pending::<vn::Reclaim>(&bench), Err(Errno::EINTR));
    let frame = bench.next::<vn::Reclaim>();
    assert!(frame.is_faf());
    bench.assert_quiet();
    bench.assert_alive();
    bench.finish();
}

#[test]
fn a_pending_signal_does_not_hinder_fire_and_forget_or_completions() {
    let bench = Bench::new();
    let file = bench.file("f", Cookie(0x5000), Vtype::Reg, 4096);
    let call = under_a_signal(&bench, move || {
        vnops::forget_request::<vn::Print>(&file, |_, _| {})?;
        let (error, ..) = vnops::read_buffer(&file, 0, 4096);
        Errno::check(error)
    });
    assert!(bench.next::<vn::Print>().is_faf());
    let request = bench.next::<vn::Read>();
    bench.send(&request.reply_data::<vn::Read>(&[1; 4096], |reply| reply.resid = 0));
    assert_eq!(call.join(), Ok(()));
    bench.finish();
}

#[test]
fn a_reply_and_a_signal_at_once_are_one_or_the_other() {
    let bench = Bench::new();
    let (mut replied, mut interrupted) = (0, 0);
    for round in 0..2000 {
        let call = getattr(&bench);
        let request = bench.next::<vn::Getattr>();
        let reply = attributes(&request, Vtype::Dir, round);
        if round % 2 == 0 {
            call.signal(SIGINT);
            bench.send(&reply);
        } else {
            let client = bench.client();
            let sender = bench.server.spawn("sender", move |_| client.write(&reply));
            call.signal(SIGINT);
            assert_eq!(sender.join(), Ok(()));
        }
        match call.join() {
            Ok(size) => {
                assert_eq!(size, round);
                replied += 1;
            }
            Err(error) => {
                assert_eq!(error, Errno::EINTR);
                interrupted += 1;
            }
        }
    }
    bench.assert_quiet();
    bench.assert_alive();
    bench.finish();
    assert!(
        interrupted > 0,
        "{replied} replied, {interrupted} interrupted"
    );
}

#[test]
fn a_reader_of_the_device_is_restarted_if_it_wants() {
    let bench = Bench::new();
    let client = bench.client();
    let reader = bench.server.spawn("reader", move |_| client.read());
    let reader = reader.until_asleep(READS);
    reader.lwp().restarts_after(SIGUSR1);
    reader.signal(SIGUSR1);
    let reader = reader.until_asleep(READS);
    let call = bench.call(|user| user.stat(MNT).map(|va| va.size));
    let request = reader.join().unwrap();
    bench.send(&attributes(&request, Vtype::Dir, 3));
    assert_eq!(call.join(), Ok(3));
    bench.finish();
}

#[test]
fn interrupted_callers_leave_nothing_when_the_server_never_answers() {
    let bench = Bench::new();
    for _ in 0..200 {
        let call = getattr(&bench);
        bench.next::<vn::Getattr>();
        call.signal(SIGINT);
        assert_eq!(call.join(), Err(Errno::EINTR));
    }
    assert!(bench.kernel.outstanding()["puffprkl"].objects >= 200);
    bench.finish();
}

#[test]
fn little_is_kept_of_a_request_whose_caller_left() {
    const READS: usize = 20;
    const LEN: usize = 64 << 10;
    let bench = Bench::new();
    let root = Arc::new(bench.root());
    let kept = || {
        let out = bench.kernel.outstanding();
        ["kmem", "puffprkl"]
            .map(|kind| out.get(kind).map_or(0, |count| count.bytes))
            .iter()
            .sum::<usize>()
    };
    let before = kept();
    let mut requests = Vec::new();
    for _ in 0..READS {
        let root = root.clone();
        let fill = |asked: &mut vn::Read, _: &mut [u8]| asked.resid = LEN;
        let call = bench.call(move |_| request::<vn::Read, _>(&root, LEN, LEN, fill, |_, _| ()));
        requests.push(bench.next::<vn::Read>());
        call.signal(SIGINT);
        assert_eq!(call.join(), Err(Errno::EINTR));
    }
    let grown = kept() - before;
    assert!(grown < READS * 4096, "{grown} bytes of {READS} requests");
    // Late replies are judged all the same.
    let good = |request: &Frame| request.reply_data::<vn::Read>(&[1; LEN], |reply| reply.resid = 0);
    for request in &requests[1..] {
        bench.send(&good(request));
    }
    bench.assert_quiet();
    bench.send(&requests[0].reply_data::<vn::Read>(&[1; LEN + 16], |reply| reply.resid = 0));
    assert_eq!(bench.complaint().0, Errno::E2BIG.get());
    assert_eq!(kept(), before);
    drop(root);
    bench.finish();
}

#[test]
fn what_was_noted_is_told_later_if_a_signal_came_first() {
    const SIZE: usize = 4096;
    let bench = Bench::new();
    let file = Arc::new(bench.open("f", Cookie(0x5000)));
    assert_eq!(file.write_at(0, &[1; SIZE]), Ok(SIZE));

    let noted = file.clone();
    let call = under_a_signal(&bench, move || noted.fsync());
    assert_eq!(call.join(), Err(Errno::EINTR));
    bench.assert_quiet();

    let noted = file.clone();
    let call = bench.call(move |_| noted.fsync());
    let told = bench.next::<vn::Setattr>();
    assert_eq!(told.get::<vn::Setattr>().va.size, SIZE as u64);
    bench.send(&told.reply_header());
    let write = bench.next::<vn::Write>();
    bench.send(&written(&write));
    let fsync = bench.next::<vn::Fsync>();
    bench.send(&fsync.reply_header());
    assert_eq!(call.join(), Ok(()));
    bench.close(file);
    bench.finish();
}
