//! How much may be under way to the server that nobody waits for.

use puffs_hosted::{
    bench::{quiet_args, until, written, Bench, MNT},
    kernel::{self, IMPORTANT, MNT_FORCE, MNT_NOWAIT, SIGALRM, SIGINT},
    server::Frame,
    user::{File, Open, Task, User},
    vnops,
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, VnOp, KFLAG_WTCACHE},
    kern::{Errno, Result},
};
use std::sync::Arc;

const FILE: Cookie = Cookie(0x5000);
const OTHER: Cookie = Cookie(0x6000);
const PAGE: usize = 4096;

/// What who is held up sleeps for.
const ROOM: &str = "puffsroom";
/// What who suspends a file system sleeps for while callers are inside.
const SUSPENDS: &str = "suspend";

/// A mount whose files have their pages written as soon as they are dirty, and
/// nobody waits for that.
fn bench() -> Bench {
    let mut args = quiet_args();
    args.flags |= KFLAG_WTCACHE;
    Bench::with(&args)
}

/// Opens a file that the server finds under a name.
fn open(bench: &Bench, name: &'static str, cookie: Cookie) -> Arc<File> {
    Arc::new(bench.open(name, cookie))
}

/// Where a page begins that is none of those after which a writer waits for the server: the
/// last of every 64 KiB.
fn place(nth: usize) -> i64 {
    ((nth / 15 * 16 + nth % 15) * PAGE) as i64
}

/// Writes one of the pages of a file.
fn write(bench: &Bench, file: &Arc<File>, nth: usize) -> Task<Result<usize>> {
    let file = file.clone();
    bench.call(move |_| file.write_at(place(nth), &[7; PAGE]))
}

/// The server takes what was written.
fn serve(bench: &Bench) {
    let request = bench.next::<vn::Write>();
    bench.send(&written(&request));
}

/// All that there is to read, and how long that is.
fn read_all(bench: &Bench) -> (Vec<Frame>, usize) {
    let client = bench.client();
    let read = || bench.server.run(|_| client.try_read());
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = read() {
        frames.push(frame);
    }
    let bytes = frames.iter().map(|frame| frame.bytes().len()).sum();
    (frames, bytes)
}

/// A file with a page on the queue, which is as much as may be there.
fn full() -> (Bench, Arc<File>) {
    let bench = bench();
    let file = open(&bench, "f", FILE);
    bench.kernel.set_queue_limit(1);
    assert_eq!(write(&bench, &file, 0).join(), Ok(PAGE));
    (bench, file)
}

/// A writer of another page, who is held up.
fn held_up(bench: &Bench, file: &Arc<File>) -> Task<Result<usize>> {
    let writer = write(bench, file, 1).until_asleep(ROOM);
    assert!(!writer.is_done());
    writer
}

fn close(bench: Bench, file: Arc<File>) {
    drop(file);
    bench.finish();
}

#[test]
fn without_a_limit_no_writer_waits() {
    for limit in [0, -1, i64::MIN] {
        let bench = bench();
        bench.kernel.set_queue_limit(limit);
        let file = open(&bench, "f", FILE);
        for nth in 0..100 {
            assert_eq!(write(&bench, &file, nth).join(), Ok(PAGE));
        }
        for _ in 0..100 {
            serve(&bench);
        }
        close(bench, file);
    }
}

#[test]
fn a_writer_waits_until_the_server_has_answered_enough() {
    let bench = bench();
    let file = open(&bench, "f", FILE);
    bench.kernel.set_queue_limit(2 * PAGE as i64);
    assert_eq!(write(&bench, &file, 0).join(), Ok(PAGE));
    assert_eq!(write(&bench, &file, 1).join(), Ok(PAGE));
    let third = write(&bench, &file, 2).until_asleep(ROOM);
    assert!(!third.is_done());
    serve(&bench);
    assert_eq!(third.join(), Ok(PAGE));
    let fourth = write(&bench, &file, 3).until_asleep(ROOM);
    assert!(!fourth.is_done());
    (0..2).for_each(|_| serve(&bench));
    assert_eq!(fourth.join(), Ok(PAGE));
    serve(&bench);
    bench.assert_quiet();
    close(bench, file);
}

#[test]
fn what_the_server_read_and_did_not_answer_counts() {
    let (bench, file) = full();
    let request = bench.next::<vn::Write>();
    let writer = held_up(&bench, &file);
    bench.assert_quiet();
    bench.send(&written(&request));
    assert_eq!(writer.join(), Ok(PAGE));
    serve(&bench);
    close(bench, file);
}

#[test]
fn of_two_writers_one_finds_room() {
    for _ in 0..100 {
        let bench = bench();
        let files = [open(&bench, "f", FILE), open(&bench, "g", OTHER)];
        bench.kernel.set_queue_limit(1);
        let writers = files.each_ref().map(|file| write(&bench, file, 0));
        until("one to be held up", || {
            let asleep = |writer: &&Task<_>| writer.lwp().asleep().as_deref() == Some(ROOM);
            let ended = writers.iter().filter(|writer| writer.is_done()).count();
            ended == 2 || (ended, writers.iter().filter(asleep).count()) == (1, 1)
        });
        let (first, _) = read_all(&bench);
        assert_eq!(first.len(), 1, "they wrote both");
        bench.send(&written(&first[0]));
        for writer in writers {
            assert_eq!(writer.join(), Ok(PAGE));
        }
        serve(&bench);
        drop(files);
        bench.finish();
    }
}

/// Writes all the pages that there are to 64 MiB, to a server that stopped.
fn writes_64_mib(bench: &Bench, file: &Arc<File>) -> Task<Result<usize>> {
    let file = file.clone();
    bench.call(move |_| {
        let mut done = 0;
        for nth in 0.. {
            if place(nth) >= 64 << 20 {
                break;
            }
            done += file.write_at(place(nth), &[7; PAGE])?;
        }
        Ok(done)
    })
}

#[test]
fn a_stopped_server_has_no_more_under_way_than_the_limit_and_a_write() {
    const LIMIT: usize = 1 << 20;
    let bench = bench();
    let file = open(&bench, "f", FILE);
    bench.kernel.set_queue_limit(LIMIT as i64);
    let writer = writes_64_mib(&bench, &file).until_asleep(ROOM);
    let (frames, bytes) = read_all(&bench);
    let longest = frames.iter().map(|frame| frame.bytes().len()).max();
    let most = LIMIT + longest.unwrap_or_default();
    assert!((LIMIT..most).contains(&bytes), "{bytes} bytes");
    // It has read them, and does not answer: that makes no room.
    assert!(!writer.is_done());
    bench.assert_quiet();
    writer.signal(SIGINT);
    assert_eq!(writer.join(), Err(Errno::EINTR));
    close(bench, file);
}

#[test]
fn each_important_signal_ends_the_wait() {
    for signal in IMPORTANT {
        let (bench, file) = full();
        let writer = held_up(&bench, &file);
        writer.signal(signal);
        assert_eq!(writer.join(), Err(Errno::EINTR), "signal {signal}");
        serve(&bench);
        bench.assert_quiet();
        close(bench, file);
    }
}

#[test]
fn another_signal_does_not_end_the_wait() {
    let (bench, file) = full();
    let writer = held_up(&bench, &file);
    let mask = writer.lwp().mask();
    writer.signal(SIGALRM);
    until("the mask to change", || writer.lwp().mask() != mask);
    let writer = writer.until_asleep(ROOM);
    serve(&bench);
    assert_eq!(writer.join(), Ok(PAGE));
    serve(&bench);
    close(bench, file);
}

#[test]
fn the_servers_death_ends_the_wait() {
    let (bench, file) = full();
    let writer = held_up(&bench, &file);
    bench.die();
    // Of pages that cannot be written nobody is told.
    let end = writer.join();
    assert!(matches!(end, Ok(PAGE) | Err(Errno::ENXIO)), "{end:?}");
    close(bench, file);
}

/// The kernel waits for callers who are inside before it asks the file system to
/// unmount: for who is held up as for who waits for a reply.
#[test]
fn an_unmount_by_force_goes_on_when_the_server_makes_room() {
    let (bench, file) = full();
    let writer = held_up(&bench, &file);
    let mount = bench.mount.clone();
    let umount = bench
        .user
        .spawn("umount", move |_| kernel::unmount_mount(&mount, MNT_FORCE))
        .until_asleep(SUSPENDS);
    assert!(!umount.is_done());
    serve(&bench);
    assert_eq!(writer.join(), Ok(PAGE));
    bench.die();
    assert_eq!(umount.join(), Ok(()));
    close(bench, file);
}

#[test]
fn nobody_waits_on_a_mount_that_is_dead() {
    let (bench, file) = full();
    bench.die();
    let end = write(&bench, &file, 1).join();
    assert!(
        matches!(end, Ok(PAGE) | Err(Errno::ENXIO | Errno::ENOENT)),
        "{end:?}"
    );
    close(bench, file);
}

#[test]
fn who_opens_a_file_waits_and_who_closes_one_does_not() {
    let bench = bench();
    let [file, other] = [open(&bench, "f", FILE), open(&bench, "g", OTHER)];
    bench.kernel.set_queue_limit(1);
    assert_eq!(write(&bench, &file, 0).join(), Ok(PAGE));
    let opener = bench
        .call(|user| user.open(&format!("{MNT}/f"), Open::WRITE))
        .until_asleep(ROOM);
    assert!(!opener.is_done());
    bench.call(move |_| drop(other)).join();
    let (frames, _) = read_all(&bench);
    assert_eq!(frames.len(), 2, "{frames:?}");
    assert!(frames[0].is::<vn::Write>() && frames[1].is::<vn::Close>());
    bench.send(&written(&frames[0]));
    let request = bench.next::<vn::Open>();
    bench.send(&request.reply_with::<vn::Open>(|_| {}));
    drop(opener.join());
    bench.next::<vn::Close>();
    close(bench, file);
}

#[test]
fn a_server_that_is_told_of_no_close_does_not_hold_up_who_opens() {
    let mut args = quiet_args();
    args.flags |= KFLAG_WTCACHE;
    args.vnopmask[usize::from(u16::from(VnOp::Close))] = 0;
    let bench = Bench::with(&args);
    let file = open(&bench, "f", FILE);
    bench.kernel.set_queue_limit(1);
    assert_eq!(write(&bench, &file, 0).join(), Ok(PAGE));
    let opener = bench.call(move |user| user.open(&format!("{MNT}/f"), Open::WRITE));
    serve(&bench);
    let request = bench.next::<vn::Open>();
    bench.send(&request.reply_with::<vn::Open>(|_| {}));
    drop(opener.join());
    close(bench, file);
}

/// Has all files stored without a wait for their pages, and returns what the server was
/// told.
fn sync(bench: &Bench) -> (Vec<Frame>, Result<()>) {
    let call = bench.call(|user| user.sync(MNT, MNT_NOWAIT));
    let mut told = Vec::new();
    loop {
        let frame = bench.frame();
        if frame.is::<vfs::Sync>() {
            bench.send(&frame.reply_with::<vfs::Sync>(|_| {}));
            return (told, call.join());
        }
        told.push(frame);
    }
}

#[test]
fn files_whose_turn_comes_when_there_is_no_room_stay_as_they_are() {
    let bench = Bench::new();
    let files = [open(&bench, "f", FILE), open(&bench, "g", OTHER)];
    bench.kernel.set_queue_limit(1);
    for file in &files {
        for nth in 0..2 {
            assert_eq!(write(&bench, file, nth).join(), Ok(PAGE));
        }
    }
    let writes = |told: &[Frame]| told.iter().filter(|frame| frame.is::<vn::Write>()).count();
    let (first, end) = sync(&bench);
    assert_eq!((writes(&first), end), (1, Err(Errno::EDEADLK)), "{first:?}");
    let (none, end) = sync(&bench);
    assert_eq!((none.len(), end), (0, Err(Errno::EDEADLK)), "{none:?}");
    for frame in first.iter().filter(|frame| frame.is::<vn::Write>()) {
        bench.send(&written(frame));
    }
    let (second, end) = sync(&bench);
    assert_eq!((writes(&second), end), (1, Ok(())), "{second:?}");
    drop(files);
    bench.finish();
}

#[test]
fn the_pagedaemon_neither_waits_nor_queues_more() {
    let (bench, file) = full();
    let daemon = User::kernel("pgdaemon");
    let end = daemon.run(|_| vnops::write_buffer(file.vnode(), 0, &[1; PAGE]));
    assert_eq!(end, (Errno::ENOMEM.get(), PAGE));
    serve(&bench);
    bench.assert_quiet();
    close(bench, file);
}

#[test]
fn last_words_and_polls_do_not_count() {
    let bench = bench();
    let file = open(&bench, "f", FILE);
    bench.kernel.set_queue_limit(1);
    let polled = file.clone();
    let poll = bench.call(move |_| vnops::poll_file(polled.vnode(), 1, false));
    bench.next::<vn::Poll>();
    vnops::forget_request::<vn::Reclaim>(file.vnode(), |_, _| {}).unwrap();
    assert_eq!(write(&bench, &file, 0).join(), Ok(PAGE));
    bench.next::<vn::Reclaim>();
    serve(&bench);
    poll.join().unwrap();
    vnops::forget_request::<vn::Print>(file.vnode(), |_, _| {}).unwrap();
    let writer = held_up(&bench, &file);
    bench.next::<vn::Print>();
    assert_eq!(writer.join(), Ok(PAGE));
    serve(&bench);
    close(bench, file);
}
