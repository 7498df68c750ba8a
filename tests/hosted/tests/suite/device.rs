//! The device between the server and the mount: partial reads, non-blocking
//! reads, poll, several readers, and what happens when the mount goes while
//! one of them is inside.

use puffs_hosted::{
    bench::{attributes, flush_frame, header_frame, until, Bench, MNT, READS, WAITS},
    kernel::{pause_until, unmount_mount, unmount_within, Kernel, VnodeRef, MNT_FORCE, SIGINT},
    server::{mount_args, Client},
    user::{Task, User},
    vnops::{self, Call},
};
use puffs_rs::{
    abi::{notify::FlushOp, vn, Cookie, Message, Vtype},
    kern::{Errno, Result},
    vfsops,
};
use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use zerocopy::{FromZeros, IntoBytes};

fn getattr(bench: &Bench) -> Task<Result<u64>> {
    bench.call(|user| user.stat(MNT).map(|va| va.size))
}

#[test]
fn a_request_of_which_the_server_read_a_part_is_kept_until_the_server_is_gone() {
    let bench = Bench::new();
    let call = bench
        .call(|user| user.statvfs(MNT).map(drop))
        .until_asleep(WAITS);
    let client = bench.client();
    bench
        .server
        .run(|_| client.file().read(&mut [0; 10]))
        .unwrap();
    // Nobody will answer the unmount.
    let mount = bench.mount.clone();
    let umount = bench
        .user
        .spawn("umount", move |_| unmount_mount(&mount, MNT_FORCE));
    let umount = umount.until_asleep(WAITS);
    umount.signal(SIGINT);
    assert_eq!(umount.join(), Ok(()));
    assert_eq!(call.join(), Err(Errno::ENXIO));
    // The device forgets what it has; the process could still be copying it.
    drop(client);
    bench.die();
    assert_eq!(bench.kernel.outstanding()["puffprkl"].objects, 1);
    assert!(!vfsops::is_quiet());
    bench.finish();
}

#[test]
fn the_module_stays_while_the_close_of_a_descriptor_waits_for_an_unmount() {
    let bench = Bench::new();
    let mount = bench.mount.clone();
    let umount = bench.user.spawn("umount", move |_| {
        // Whoever sleeps in the device cannot go on before this is over.
        puffs_rs::kern::with_kernel_lock(|| {
            let ended = unmount_within(&mount, MNT_FORCE);
            (ended, mount.is_gone(), vfsops::is_quiet())
        })
    });
    let umount = umount.until_asleep(WAITS);
    bench.die();
    assert_eq!(umount.join(), (Ok(()), true, false));
    assert_eq!(bench.user.run(|_| vfsops::quiesce()), Ok(()));
    bench.finish();
}

/// Six threads read, six call, for long; with `flushes` the service thread,
/// which is outside the kernel lock, answers flushes meanwhile.
fn many_readers(flushes: bool) {
    let bench = Bench::on(
        Kernel::boot_for(Duration::from_secs(120)),
        &puffs_hosted::bench::quiet_args(),
    );
    bench.kernel.set_chaos(7);
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let client = bench.client();
            bench.server.spawn("reader", move |_| {
                while let Ok(request) = client.read() {
                    if request.is_empty() {
                        // Two readers met, and the other got it all.
                        continue;
                    }
                    if request.is::<vn::Seek>() {
                        let _ = client.write(&request.reply_header());
                    }
                    // Not for the answers to flushes, or they would never end.
                    if flushes && !request.is_response() {
                        let op = FlushOp::InvalNamecacheAll.into();
                        let _ = client.write(&flush_frame(op, Cookie::NULL, 0, 0));
                    }
                }
            })
        })
        .collect();
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let root = bench.root();
            bench.call(move |_| {
                for _ in 0..2000 {
                    let done = vnops::request::<vn::Seek, _>(&root, 0, 0, |_, _| {}, |_, _| ());
                    assert_eq!(done, Ok(()));
                }
            })
        })
        .collect();
    callers.into_iter().for_each(Task::join);
    for reader in readers {
        reader.terminate();
    }
    bench.finish();
}

#[test]
fn several_threads_can_read_one_descriptor_for_long() {
    many_readers(false);
}

#[test]
fn several_threads_can_read_one_descriptor_while_flushes_are_answered() {
    many_readers(true);
}

#[test]
fn a_request_that_the_device_gives_back_twice_is_given_back_once() {
    let bench = Bench::new();
    bench.client().file().set_releases_twice(true);
    let call = getattr(&bench);
    let request = bench.next::<vn::Getattr>();
    bench.send(&attributes(&request, Vtype::Dir, 5));
    assert_eq!(call.join(), Ok(5));
    let root = bench.root();
    for _ in 0..10 {
        vnops::forget_request::<vn::Print>(&root, |_, _| {}).unwrap();
        bench.next::<vn::Print>();
    }
    drop(root);
    bench.finish();
}

#[test]
fn one_reader_is_woken_for_one_request() {
    let bench = Bench::new();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let client = bench.client();
            bench
                .server
                .spawn("reader", move |_| client.read())
                .until_asleep(READS)
        })
        .collect();
    let call = getattr(&bench);
    until("a reader", || readers.iter().any(Task::is_done));
    std::thread::sleep(Duration::from_millis(5));
    let (done, asleep): (Vec<_>, Vec<_>) = readers.into_iter().partition(Task::is_done);
    assert_eq!((done.len(), asleep.len()), (1, 7));
    // Nobody looked in vain and fell asleep again.
    assert!(asleep.iter().all(|task| task.lwp().sleeps() == 1));
    for task in done {
        bench.send(&attributes(&task.join().unwrap(), Vtype::Dir, 0));
    }
    assert_eq!(call.join(), Ok(0));
    for task in asleep {
        task.signal(puffs_hosted::kernel::SIGTERM);
        assert_eq!(task.join().map(drop), Err(Errno::EINTR));
    }
    bench.finish();
}

/// Stops whatever copies to or from the server until told to go on.
struct Gate {
    inside: Arc<AtomicBool>,
    go: Arc<AtomicBool>,
}

impl Gate {
    fn new() -> Gate {
        Gate {
            inside: Arc::default(),
            go: Arc::default(),
        }
    }

    fn hook(&self) -> puffs_hosted::kernel::CopyHook {
        let (inside, go) = (self.inside.clone(), self.go.clone());
        Arc::new(move |_| {
            inside.store(true, Ordering::SeqCst);
            pause_until(|| go.load(Ordering::SeqCst));
            0
        })
    }

    fn until_inside(&self) {
        until("a copy to start", || self.inside.load(Ordering::SeqCst));
    }

    fn open(&self) {
        self.go.store(true, Ordering::SeqCst);
    }
}

/// Unmounts by force while the server is inside a copy: its answer to the
/// unmount cannot come, so the unmounter is interrupted.
fn unmount_under(bench: &Bench) {
    let mount = bench.mount.clone();
    let umount = bench
        .user
        .spawn("umount", move |_| unmount_mount(&mount, MNT_FORCE));
    let umount = umount.until_asleep(WAITS);
    umount.signal(SIGINT);
    assert_eq!(umount.join(), Ok(()));
    assert!(bench.mount.is_gone());
}

#[test]
fn a_forced_unmount_while_a_reader_copies_out() {
    let bench = Bench::new();
    let root = bench.root();
    vnops::forget_request::<vn::Print>(&root, |_, _| {}).unwrap();
    drop(root);
    let gate = Gate::new();
    let client = bench.client();
    client.set_copyout(Some(gate.hook()));
    let reader = bench.server.spawn("reader", move |_| client.read());
    gate.until_inside();
    unmount_under(&bench);
    // The request is given back to a mount that is gone.
    gate.open();
    let frame = reader.join().unwrap();
    assert!(frame.is::<vn::Print>());
    bench.finish();
}

#[test]
fn a_forced_unmount_while_a_reader_copies_out_what_somebody_waits_for() {
    let bench = Bench::new();
    let call = bench
        .call(|user| user.statvfs(MNT).map(drop))
        .until_asleep(WAITS);
    let gate = Gate::new();
    let client = bench.client();
    client.set_copyout(Some(gate.hook()));
    let reader = bench.server.spawn("reader", move |_| client.read());
    gate.until_inside();
    unmount_under(&bench);
    assert_eq!(call.join(), Err(Errno::ENXIO));
    gate.open();
    reader.join().unwrap();
    bench.finish();
}

#[test]
fn a_forced_unmount_while_a_writer_copies_in() {
    let bench = Bench::new();
    let gate = Gate::new();
    let client = bench.client();
    client.set_copyin(Some(gate.hook()));
    let writer = bench
        .server
        .spawn("writer", move |_| client.write(&header_frame(0, 0, 1)));
    gate.until_inside();
    unmount_under(&bench);
    gate.open();
    assert_eq!(writer.join(), Ok(()));
    bench.finish();
}

#[test]
fn a_copy_from_the_server_that_fails_does_nothing() {
    let bench = Bench::new();
    let call = getattr(&bench);
    let request = bench.next::<vn::Getattr>();
    let reply = attributes(&request, Vtype::Dir, 4);
    bench.client().set_copyin(Some(Arc::new(|_| 14)));
    assert_eq!(bench.try_send(&reply).map_err(Errno::get), Err(14));
    bench.client().set_copyin(None);
    bench.send(&reply);
    assert_eq!(call.join(), Ok(4));
    bench.finish();
}

#[test]
fn a_mount_finds_the_descriptor_again_after_another_failed() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let client = server.run(|_| Client::open());
    let mut bad = mount_args("bad");
    bad.vers = 1;
    assert_eq!(
        server.run(|_| client.mount(MNT, &bad)).map(drop),
        Err(Errno::EINVAL)
    );
    let mount = server
        .run(|_| client.mount(MNT, &mount_args("good")))
        .unwrap();
    drop((client, mount, server));
    kernel.shutdown();
}

/// Sends `count` requests, a power of two, has them answered in no order, and
/// returns how long the kernel takes for an answer while half of them or more
/// are at the server: the least of several batches.
fn time_of_an_answer(bench: &Bench, root: &VnodeRef, count: usize) -> Duration {
    const BATCH: usize = 64;
    let operation = (vn::Seek::CLASS.into(), vn::Seek::OP);
    let message = vn::Seek::new_zeroed();
    let send = || Call::send(root, operation, message.as_bytes(), 0, false);
    let (calls, replies): (Vec<_>, Vec<_>) = (0..count)
        .map(|_| {
            let call = bench.user.run(|_| send());
            (call.unwrap(), bench.next::<vn::Seek>().reply_header())
        })
        .unzip();
    let order: Vec<_> = (0..count).map(|nth| nth * 7919 % count).collect();
    let times = order.chunks(BATCH).map(|batch| {
        let begun = Instant::now();
        batch.iter().for_each(|&nth| bench.send(&replies[nth]));
        begun.elapsed() / BATCH as u32
    });
    let times: Vec<_> = times.collect();
    for call in calls {
        assert_eq!(bench.user.run(|_| call.finish().0), Ok(()));
    }
    times[..times.len().div_ceil(2)]
        .iter()
        .min()
        .copied()
        .unwrap()
}

#[test]
fn an_answer_takes_no_longer_while_thousands_of_requests_are_at_the_server() {
    let bench = Bench::new();
    let root = bench.root();
    let few = time_of_an_answer(&bench, &root, 64);
    let many = time_of_an_answer(&bench, &root, 8192);
    // A walk along all of them takes twenty times as long.
    assert!(many < 6 * few, "{many:?} with many, {few:?} with few");
    drop(root);
    bench.finish();
}
