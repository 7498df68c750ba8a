//! What holds on every schedule, as far as a search gets; see docs/TESTING.md.

use puffs_hosted::{
    bench::{
        attributes, errno, flush_frame, header_frame, quiet_args, until, Bench, MNT, READS, WAITS,
    },
    kernel::{self, pause_until, Kernel, Kind, MountKind, VnodeRef, MNT_FORCE, SIGINT},
    model::{explore, search, Search},
    server::{self, Client, Frame},
    user::{File, Open, Task, User},
    vnops::{self, read_buffer, write_buffer},
};
use puffs_rs::{
    abi::{notify::FlushOp, vfs, vn, Cookie, OpClass, Vtype, KFLAG_WTCACHE},
    kern::{Errno, Result},
};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc,
    },
    time::Instant,
};
use zerocopy::IntoBytes;

/// How many schedules each search of a model takes; `PUFFS_MODEL_RUNS` is
/// another number.
const RUNS: usize = 10_000;

/// Searches in each way that there is, and says how far that was.
fn model(program: fn()) {
    let runs = std::env::var("PUFFS_MODEL_RUNS");
    let runs = runs.ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let searches = [
        Search::Bounded {
            runs,
            preemptions: 2,
        },
        Search::Random { runs, seed: 1 },
        Search::Priorities {
            runs,
            depth: 3,
            seed: 2,
        },
    ];
    for how in searches {
        let begun = Instant::now();
        let ran = search(how, program);
        let each = begun.elapsed() / ran.max(1) as u32;
        println!("{how:?}: {ran} schedules, {each:?} each");
    }
}

/// A file of the server's.
const FILE: Cookie = Cookie(0x5000);

const ENXIO: i32 = Errno::ENXIO.get();
const EINTR: i32 = Errno::EINTR.get();

/// A request that waits for the server and locks nothing.
fn seek(bench: &Bench, root: &VnodeRef) -> Task<Result<()>> {
    let root = root.again();
    bench.call(move |_| vnops::request::<vn::Seek, _>(&root, 0, 0, |_, _| {}, |_, _| ()))
}

const POLLIN: i32 = 1;
const POLLERR: i32 = 8;
const POLLHUP: i32 = 0x10;

/// Sends a signal to a caller at some time, and has its outcome.
fn interrupt<T: Send + 'static>(bench: &Bench, call: Task<T>) -> Task<T> {
    bench.call(move |_| {
        call.signal(SIGINT);
        call.join()
    })
}

/// A poll that waits for input, which keeps nobody from unmounting; returns
/// the events.
fn poll(bench: &Bench, root: &VnodeRef) -> Task<i32> {
    let root = root.again();
    bench.call(move |_| match vnops::poll_file(&root, POLLIN, true) {
        Ok(events) => events,
        Err(error) => panic!("poll: {error:?}"),
    })
}

/// From now on what is copied to the server is looked at, then again when it
/// is `time`, and must be the same.
fn copies_slowly(bench: &Bench, time: impl Fn() -> bool + Send + Sync + 'static) {
    bench
        .client()
        .set_copyout(Some(Arc::new(move |bytes: &[u8]| {
            let before = bytes.to_vec();
            pause_until(&time);
            assert_eq!(bytes, before);
            0
        })));
}

/// The good reply to what the models ask.
fn good(request: &Frame) -> Frame {
    if request.is::<vn::Getattr>() {
        return attributes(request, Vtype::Dir, 77);
    }
    if request.is::<vn::Read>() {
        let len = request.get::<vn::Read>().resid;
        return request.reply_data::<vn::Read>(&vec![7; len], |reply| reply.resid = 0);
    }
    let mut reply = request.clone();
    reply.req_mut().rv = 0;
    if request.is::<vn::Write>() {
        return request.reply_with::<vn::Write>(|reply| reply.resid = 0);
    }
    if request.is::<vn::Poll>() {
        return request.reply_with::<vn::Poll>(|reply| reply.events = 1);
    }
    reply
}

/// Answers `count` requests and exits, or when there are no more to come.
fn serve(client: &Client, count: usize) {
    for _ in 0..count {
        let Ok(request) = client.read() else { return };
        if !request.is_faf() && !request.is_response() {
            // The mount may go away meanwhile.
            let _ = client.write(&good(&request));
        }
    }
}

/// The server polls the device, which is told of every request from then on.
fn polls_once(bench: &Bench) {
    let client = bench.client();
    let there = bench.server.run(|_| client.file().poll(None));
    assert_eq!(there, Ok(false));
}

/// A thread of the server's that does `work` with the descriptor.
fn server<T: Send + 'static>(
    bench: &Bench,
    work: impl FnOnce(Client) -> T + Send + 'static,
) -> Task<T> {
    let client = bench.client();
    bench.server.spawn("thread", move |_| work(client))
}

/// Two callers and a server that answers one of them and exits: each caller
/// ends, one with the answer at most, the others with ENXIO.
#[test]
fn a_caller_has_its_reply_or_the_servers_death() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let thread = server(&bench, |client| serve(&client, 1));
            bench.die();
            let calls = [seek(&bench, &root), seek(&bench, &root)];
            thread.join();
            let ends = calls.map(|call| errno(&call.join()));
            let answered = ends.iter().filter(|&&end| end == 0).count();
            let sent_off = ends.iter().filter(|&&end| end == ENXIO).count();
            assert!(answered <= 1 && answered + sent_off == 2, "{ends:?}");
        });
        drop(root);
        bench.finish();
    });
}

/// A caller who gets a signal, and a server that answers whoever asks. What
/// was taken back before the server wanted to read is not sent, a late reply
/// is nobody's, and the next caller is served.
#[test]
fn a_caller_who_leaves_hinders_nobody() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let left = Arc::new(AtomicBool::new(false));
            let gone = left.clone();
            let thread = server(&bench, move |client| loop {
                let gone = gone.load(Ordering::SeqCst);
                let Ok(request) = client.read() else { return };
                assert!(!gone || !request.is::<vn::Seek>(), "sent for nobody");
                assert_eq!(client.write(&good(&request)), Ok(()));
            });
            let call = interrupt(&bench, seek(&bench, &root));
            let end = errno(&call.join());
            assert!(end == 0 || end == EINTR, "{end}");
            left.store(true, Ordering::SeqCst);
            let next = bench.call(|user| user.stat(MNT).map(|va| va.size));
            assert_eq!(next.join(), Ok(77));
            thread.terminate();
            bench.assert_quiet();
        });
        drop(root);
        bench.finish();
    });
}

/// A caller who gets a signal while its request is queued, and a server that
/// starts to read: what was taken back before that is not sent.
#[test]
fn a_request_that_was_taken_back_is_not_sent() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        let call = seek(&bench, &root).until_asleep(WAITS);
        explore(|| {
            let left = Arc::new(AtomicBool::new(false));
            let gone = left.clone();
            let thread = server(&bench, move |client| {
                let gone = gone.load(Ordering::SeqCst);
                let read = client.read();
                assert!(!gone || read.is_err(), "sent for nobody");
                read.map(|request| client.write(&good(&request)))
            });
            call.signal(SIGINT);
            let end = errno(&call.join());
            assert!(end == 0 || end == EINTR, "{end}");
            left.store(true, Ordering::SeqCst);
            let sent = thread.terminate().is_ok();
            assert!(sent || end == EINTR);
        });
        drop(root);
        bench.finish();
    });
}

/// A caller who gets a signal after the server replied: the reply is what it
/// gets.
#[test]
fn a_reply_is_not_lost_to_a_signal() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let thread = server(&bench, |client| serve(&client, 1));
            let call = seek(&bench, &root);
            thread.join();
            call.signal(SIGINT);
            assert_eq!(call.join(), Ok(()));
        });
        drop(root);
        bench.finish();
    });
}

/// A caller who leaves while the device copies its request, which gives the
/// kernel lock up: the bytes are there until the copy ends.
#[test]
fn a_request_that_is_copied_out_stays() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let left = Arc::new(AtomicBool::new(false));
            let gone = left.clone();
            copies_slowly(&bench, move || gone.load(Ordering::SeqCst));
            let thread = server(&bench, |client| serve(&client, 1));
            let call = interrupt(&bench, seek(&bench, &root));
            assert_eq!(call.join(), Err(Errno::EINTR));
            left.store(true, Ordering::SeqCst);
            thread.terminate();
            bench.client().set_copyout(None);
        });
        drop(root);
        bench.finish();
    });
}

/// A poll and a caller, and a mount that goes while the device copies one of
/// their requests: both end, and the bytes are there until the copy ends.
#[test]
fn a_request_that_is_copied_out_outlives_its_mount() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let mount = bench.mount.clone();
            copies_slowly(&bench, move || mount.is_gone());
            let thread = server(&bench, |client| serve(&client, 1));
            let poll = poll(&bench, &root);
            let call = bench.call(|user| user.statvfs(MNT).is_ok());
            let unmount = bench.call({
                let mount = bench.mount.clone();
                move |_| kernel::unmount_mount(&mount, MNT_FORCE)
            });
            // The server, which copies, does not answer.
            let unmount = unmount.until_asleep(WAITS);
            unmount.signal(SIGINT);
            assert_eq!(unmount.join(), Ok(()));
            assert_ne!(poll.join() & (POLLHUP | POLLERR), 0);
            assert!(!call.join());
            thread.terminate();
        });
        drop(root);
        bench.finish();
    });
}

/// A caller, and two threads of the server that wait for a request, of which
/// one gets a signal: the other serves it.
#[test]
fn a_reader_who_leaves_takes_no_wakeup_along() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        let leaves = server(&bench, |client| serve(&client, usize::MAX)).until_asleep(READS);
        let stays = server(&bench, |client| serve(&client, usize::MAX)).until_asleep(READS);
        explore(|| {
            let call = seek(&bench, &root);
            bench.call(|_| leaves.terminate());
            assert_eq!(call.join(), Ok(()));
            stays.terminate();
        });
        drop(root);
        bench.finish();
    });
}

/// A server that polled the device and reads it all the same, and two requests,
/// one of which is waited for: both are served.
#[test]
fn a_reader_of_a_device_that_was_polled_serves_everybody() {
    model(|| {
        let bench = Bench::new();
        let file = bench.file("f", FILE, Vtype::Reg, 8192);
        polls_once(&bench);
        let reader = server(&bench, |client| serve(&client, usize::MAX)).until_asleep(READS);
        explore(|| {
            let call = bench.call(|user| user.statvfs(MNT).is_ok());
            let read = file.again();
            let read = bench.call(move |_| read_buffer(&read, 0, 4096).0);
            assert!(call.join());
            assert_eq!(read.join(), 0);
            reader.terminate();
        });
        drop(file);
        bench.finish();
    });
}

/// A server that reads when a kqueue says so, which it made before, while or
/// after it mounts: its caller is served.
#[test]
fn who_watches_the_device_is_told_of_a_request() {
    model(|| {
        let kernel = Kernel::boot();
        let server = User::new("server");
        let user = User::new("user");
        let client = server.run(|_| Client::open());
        explore(|| {
            let watches = client.clone();
            let thread = server.spawn("watch", move |_| {
                let watch = watches.file().watch();
                while watch.wait(None).is_ok() {
                    while let Ok(Some(request)) = watches.try_read() {
                        assert_eq!(watches.write(&good(&request)), Ok(()));
                    }
                }
            });
            let mounted = server.run(|_| client.mount(MNT, &quiet_args()));
            assert!(mounted.is_ok());
            let call = user.spawn("statvfs", |user| user.statvfs(MNT).is_ok());
            assert!(call.join());
            thread.terminate();
        });
        server.run(|_| drop(client));
        drop((server, user));
        kernel.shutdown();
    });
}

/// A read and a write in the background, and a server that answers one of them
/// and exits: each buffer is completed once. Twice breaks a rule of the kernel.
#[test]
fn a_completion_runs_once() {
    model(|| {
        let bench = Bench::new();
        let file = bench.file("f", FILE, Vtype::Reg, 8192);
        explore(|| {
            let thread = server(&bench, |client| serve(&client, 1));
            bench.die();
            let read = file.again();
            let read = bench.call(move |_| read_buffer(&read, 0, 4096).0);
            let write = file.again();
            let write = bench.call(move |_| write_buffer(&write, 4096, &[1; 4096]).0);
            thread.join();
            let ends = [read.join(), write.join()];
            assert!(matches!(ends, [0 | ENXIO, 0 | ENXIO]), "{ends:?}");
            assert_ne!(ends, [0, 0]);
        });
        drop(file);
        bench.finish();
    });
}

/// Two files whose pages are written as soon as they are dirty, on a mount that may
/// have one write under way that nobody waits for.
fn narrow() -> (Bench, [Arc<File>; 2]) {
    let mut args = quiet_args();
    args.flags |= KFLAG_WTCACHE;
    let bench = Bench::with(&args);
    let files = [("f", 0x5000), ("g", 0x6000)].map(|(name, cookie)| {
        let call = bench.call(move |user| user.open(&format!("{MNT}/{name}"), Open::WRITE));
        bench.answer_lookup(Cookie(cookie), Vtype::Reg, 0);
        bench.send(&good(&bench.next::<vn::Open>()));
        Arc::new(call.join().unwrap_or_else(|error| panic!("{error:?}")))
    });
    bench.kernel.set_queue_limit(1);
    (bench, files)
}

/// Writes a page of a file, and nobody waits for the server.
fn write_page(bench: &Bench, file: &Arc<File>) -> Task<Result<usize>> {
    let file = file.clone();
    bench.call(move |_| file.write_at(0, &[1; kernel::PAGE]))
}

/// Two who write, where there is room for one, and a server that answers one of
/// them and exits: nobody waits for room after that.
#[test]
fn who_waits_for_room_has_it_or_the_servers_death() {
    model(|| {
        let (bench, files) = narrow();
        explore(|| {
            let thread = server(&bench, |client| serve(&client, 1));
            bench.die();
            let calls = files.each_ref().map(|file| write_page(&bench, file));
            thread.join();
            for call in calls {
                let end = call.join();
                let ends = [Ok(kernel::PAGE), Err(Errno::ENXIO), Err(Errno::ENOENT)];
                assert!(ends.contains(&end), "{end:?}");
            }
        });
        drop(files);
        bench.finish();
    });
}

/// Two who write, where there is room for one, of whom one gets a signal, and a server that
/// reads one write at most before it answers the one before: each has room in the end
/// or was interrupted, and both writes are never under way at once.
#[test]
fn who_leaves_while_he_waits_for_room_keeps_nobody_from_it() {
    model(|| {
        let (bench, files) = narrow();
        explore(|| {
            let thread = server(&bench, |client| loop {
                let Ok(request) = client.read() else { return };
                assert!(matches!(client.try_read(), Ok(None) | Err(_)), "no room");
                // The mount may go away meanwhile.
                let _ = client.write(&good(&request));
            });
            let first = interrupt(&bench, write_page(&bench, &files[0]));
            let second = write_page(&bench, &files[1]);
            assert_eq!(second.join(), Ok(kernel::PAGE));
            let end = first.join();
            assert!(
                [Ok(kernel::PAGE), Err(Errno::EINTR)].contains(&end),
                "{end:?}"
            );
            thread.terminate();
        });
        drop(files);
        bench.finish();
    });
}

/// Two who poll a file, of whom one may do without a request of its own, and a
/// server of two threads, on a mount that is taken away: any answer and the end
/// of the mount wake both, and the mount is there until a completion is run.
#[test]
fn a_poller_is_woken_by_any_answer_and_by_the_end() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let threads = [0; 2].map(|_| server(&bench, |client| serve(&client, usize::MAX)));
            let polls = [poll(&bench, &root), poll(&bench, &root)];
            let unmount = bench.call({
                let mount = bench.mount.clone();
                move |_| kernel::unmount_mount(&mount, MNT_FORCE)
            });
            for events in polls.map(Task::join) {
                assert_ne!(events & (POLLIN | POLLERR | POLLHUP), 0);
            }
            assert_eq!(unmount.join(), Ok(()));
            for thread in threads {
                thread.join();
            }
        });
        drop(root);
        bench.finish();
    });
}

/// A poll and a caller, and a server that reads a part of a request and exits
/// while somebody unmounts, who may get a signal: poll and caller fail, and the
/// mount is there until a completion is run.
#[test]
fn a_request_that_is_read_in_part_fails_with_the_server() {
    model(|| {
        let bench = Bench::new();
        let root = bench.root();
        explore(|| {
            let thread = server(&bench, |client| client.file().read(&mut [0; 8]).is_ok());
            bench.die();
            let poll = poll(&bench, &root);
            let call = seek(&bench, &root);
            let unmount = bench.call({
                let mount = bench.mount.clone();
                move |_| errno(&kernel::unmount_mount(&mount, MNT_FORCE))
            });
            let unmount = interrupt(&bench, unmount);
            thread.join();
            assert_ne!(poll.join() & (POLLERR | POLLHUP), 0);
            assert_eq!(call.join(), Err(Errno::ENXIO));
            let end = unmount.join();
            let gone = Errno::ENOENT.get();
            assert!([0, gone, EINTR].contains(&end), "{end}");
        });
        drop(root);
        bench.finish();
    });
}

/// Two flushes and an unmount that the server asks for, while somebody
/// unmounts as well: no request has two answers, and everything ends.
#[test]
fn the_service_thread_answers_once_and_ends() {
    model(|| {
        let bench = Bench::new();
        explore(|| {
            let answers = Arc::new([const { AtomicUsize::new(0) }; 3]);
            let counted = answers.clone();
            let thread = server(&bench, move |client| {
                while let Ok(frame) = client.read() {
                    if frame.is_response() {
                        let nth = frame.req().id as usize;
                        counted[nth].fetch_add(1, Ordering::SeqCst);
                    } else if !frame.is_faf() {
                        // The mount may go away meanwhile.
                        let _ = client.write(&good(&frame));
                    }
                }
            });
            let asks = server(&bench, |client| {
                for id in 0..2 {
                    let op = FlushOp::InvalNamecacheAll.into();
                    let mut flush = flush_frame(op, Cookie::NULL, 0, 0);
                    flush.req_mut().id = id;
                    let _ = client.write(&flush);
                }
                let _ = client.write(&header_frame(OpClass::Unmount.into(), 0, 2));
            });
            bench.die();
            let end = errno(&kernel::unmount_mount(&bench.mount, 0));
            assert!(end == 0 || end == Errno::ENOENT.get(), "{end}");
            asks.join();
            thread.join();
            let answers = answers.each_ref().map(|count| count.load(Ordering::SeqCst));
            assert!(answers.iter().all(|&count| count <= 1), "{answers:?}");
        });
        bench.finish();
    });
}

/// The server asks for an unmount, which comes to nothing, and for flushes
/// meanwhile: each is answered, by the service thread or because there is none
/// any more.
#[test]
fn a_flush_is_answered_when_the_unmount_fails() {
    model(|| {
        let bench = Bench::new();
        explore(|| {
            bench.kernel.fail_next(Kind::Unmount);
            let asks = server(&bench, |client| {
                let unmount = header_frame(OpClass::Unmount.into(), 0, 2);
                assert_eq!(client.write(&unmount), Ok(()));
            });
            let flushes = server(&bench, |client| {
                for id in 0..2 {
                    let op = FlushOp::InvalNamecacheAll.into();
                    let mut flush = flush_frame(op, Cookie::NULL, 0, 0);
                    flush.req_mut().id = id;
                    assert_eq!(client.write(&flush), Ok(()));
                }
            });
            let mut answers = [0; 3];
            while answers != [1; 3] {
                let (id, rv) = bench.response();
                assert!(matches!(rv, 0 | ENXIO), "{rv}");
                answers[id as usize] += 1;
            }
            asks.join();
            flushes.join();
            bench.assert_quiet();
        });
        bench.finish();
    });
}

/// The server exits on the request to unmount: the unmount succeeds, and the
/// close ends.
#[test]
fn an_unmount_ends_that_the_server_exits_on() {
    model(|| {
        let bench = Bench::new();
        explore(|| {
            let thread = server(&bench, |client| loop {
                let Ok(request) = client.read() else { return };
                if request.is::<vfs::Unmount>() {
                    return;
                }
                let _ = client.write(&good(&request));
            });
            bench.die();
            let mount = bench.mount.clone();
            let unmount = bench.call(move |_| errno(&kernel::unmount_mount(&mount, 0)));
            assert_eq!(unmount.join(), 0);
            thread.join();
        });
        bench.finish();
    });
}

/// The server exits, the kernel keeps the mount, and somebody unmounts it: who
/// sends meanwhile, and waits or does not, does not touch the device that is
/// gone.
#[test]
fn a_mount_that_stays_forgets_the_device() {
    model(|| {
        let bench = Bench::new();
        let file = bench.file("f", FILE, Vtype::Reg, 8192);
        bench.kernel.fail_next(Kind::Unmount);
        polls_once(&bench);
        explore(|| {
            let thread = server(&bench, |client| serve(&client, 1));
            bench.die();
            let call = seek(&bench, &file);
            let read = file.again();
            let read = bench.call(move |_| read_buffer(&read, 0, 4096).0);
            thread.join();
            let ends = [errno(&call.join()), read.join()];
            assert!(ends.iter().all(|&end| matches!(end, 0 | ENXIO)), "{ends:?}");
            assert_eq!(bench.unmount_by_force(), Ok(()));
        });
        drop(file);
        bench.finish();
    });
}

/// Callers and a reader of the device, on a mount that is unmounted by force:
/// all of them end, and what they use is there for as long.
#[test]
fn an_unmount_with_somebody_inside_ends() {
    model(|| {
        let bench = Bench::new();
        explore(|| {
            let thread = server(&bench, |client| serve(&client, usize::MAX));
            let calls = [0; 2].map(|_| bench.call(|user| user.statvfs(MNT).is_ok()));
            assert_eq!(bench.unmount_by_force(), Ok(()));
            for call in calls {
                call.join();
            }
            thread.join();
        });
        bench.finish();
    });
}

/// A thread of the server closes the descriptor while another is in mount(2),
/// and somebody unmounts what is hardly there: all of them end, and the mount
/// goes.
#[test]
fn a_mount_whose_device_is_closed_goes() {
    model(|| {
        let kernel = Kernel::boot();
        let server = User::new("server");
        let user = User::new("user");
        let client = server.run(|_| Client::open());
        explore(|| {
            let mounts = server.spawn("mount", |_| server::mount(Some(MNT), &quiet_args()));
            let closes = server.spawn("close", |_| drop(client));
            let asks = user.spawn("statvfs", |user| user.statvfs(MNT).is_ok());
            let unmounts = user.spawn("unmount", |_| kernel::unmount(MNT, MNT_FORCE).is_ok());
            let mounted = mounts.join();
            closes.join();
            assert!(!asks.join());
            unmounts.join();
            match mounted {
                Ok(mount) => until("the mount to go", || mount.is_gone()),
                Err(error) => assert_eq!(error, Errno::ENOENT),
            }
        });
        drop((server, user));
        kernel.shutdown();
    });
}

/// A thread of the server closes the descriptor while another is in a mount(2)
/// that fails when the file system is there already: only the mount(2) takes it
/// down.
#[test]
fn a_mount_that_fails_late_is_not_unmounted_twice() {
    model(|| {
        let kernel = Kernel::boot();
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        explore(|| {
            let mounts = server.spawn("mount", |_| {
                let args = quiet_args();
                let fails = || Err(Errno::ENOMEM);
                let mounted = kernel::mount(Some(MNT), args.as_bytes(), MountKind::New, fails);
                mounted.map(drop)
            });
            let closes = server.spawn("close", |_| drop(client));
            let end = errno(&mounts.join());
            assert!(
                [Errno::ENOMEM, Errno::ENOENT]
                    .map(Errno::get)
                    .contains(&end),
                "{end}"
            );
            closes.join();
        });
        drop(server);
        kernel.shutdown();
    });
}
