//! Threads of the kernel that work for all file systems: they wait for no server.

use puffs_hosted::{
    bench::{found, quiet_args, written, Bench, MNT},
    kernel::{self, MNT_LAZY, MNT_NOWAIT},
    server::Frame,
    user::User,
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, VnOp, Vtype},
    kern::Errno,
};

const FILE: Cookie = Cookie(0x5000);
const PAGE: usize = 4096;

/// A mount whose server is told what nobody uses.
fn told() -> Bench {
    let mut args = quiet_args();
    for op in [VnOp::Inactive, VnOp::Reclaim] {
        args.vnopmask[usize::from(u16::from(op))] = 1;
    }
    Bench::with(&args)
}

fn syncer() -> User {
    User::kernel("ioflush")
}

/// Has the user do something, and answers what that asks for: the file is there, and is
/// not used any more.
fn serve<T: Send + 'static>(bench: &Bench, work: impl FnOnce(&User) -> T + Send + 'static) -> T {
    let call = bench.call(work);
    while !call.is_done() {
        let Some(request) = next(bench) else { continue };
        bench.send(&if request.is::<vn::Lookup>() {
            found(&request, FILE, Vtype::Reg, 0)
        } else {
            assert!(
                request.is::<vn::Inactive>() && !request.is_faf(),
                "{request:?}"
            );
            request.reply_header()
        });
    }
    call.join()
}

/// The next frame, if there is one.
fn next(bench: &Bench) -> Option<Frame> {
    let client = bench.client();
    bench.server.run(|_| client.try_read()).unwrap()
}

/// All that there is about the file, where nobody waits for the server: the root's
/// vnode may be freed as well.
fn of_file(bench: &Bench) -> Vec<Frame> {
    let all = std::iter::from_fn(|| next(bench));
    all.filter(|frame| frame.req().cookie == FILE).collect()
}

#[test]
fn the_syncer_does_not_wait_and_asks_once() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(syncer().sync(MNT, MNT_LAZY), Ok(()));
        assert_eq!(syncer().sync(MNT, MNT_LAZY), Ok(()));
        let request = bench.next::<vfs::Sync>();
        assert_eq!(request.get::<vfs::Sync>().waitfor, MNT_LAZY);
        assert!(!request.is_faf());
        assert_eq!(syncer().sync(MNT, MNT_LAZY), Ok(()));
        bench.assert_quiet();
        // Whatever the server says.
        bench.send(&request.reply_error(5));
    }
    assert_eq!(syncer().sync(MNT, MNT_LAZY), Ok(()));
    bench.die();
    bench.finish();
}

#[test]
fn who_syncs_for_himself_waits_beside_the_syncer() {
    let bench = Bench::new();
    assert_eq!(syncer().sync(MNT, MNT_LAZY), Ok(()));
    bench.next::<vfs::Sync>();
    let call = bench.call(|user| user.sync(MNT, MNT_NOWAIT));
    let request = bench.next::<vfs::Sync>();
    bench.send(&request.reply_error(5));
    assert_eq!(call.join(), Err(Errno::EIO));
    bench.finish();
}

#[test]
fn the_syncer_leaves_a_file_that_is_being_written() {
    let bench = Bench::new();
    let file = bench.open("f", FILE);
    assert_eq!(file.write_at(0, &[1; PAGE]), Ok(PAGE));
    let call = bench.call(|user| user.sync(MNT, MNT_NOWAIT));
    // The size, and the page.
    assert!(bench.next::<vn::Setattr>().is_faf());
    let write = bench.next::<vn::Write>();
    assert!(bench.next::<vn::Fsync>().is_faf());
    let sync = bench.next::<vfs::Sync>();
    bench.send(&sync.reply_header());
    assert_eq!(call.join(), Ok(()));

    assert_eq!(file.write_at(PAGE as i64, &[2; PAGE]), Ok(PAGE));
    let sync = || syncer().run(|_| kernel::sync_lazily(file.vnode()));
    assert_eq!(sync(), Err(Errno::EDEADLK));
    assert!(bench.next::<vn::Setattr>().is_faf());
    bench.assert_quiet();
    bench.send(&written(&write));
    assert_eq!(sync(), Ok(()));
    let write = bench.next::<vn::Write>();
    assert_eq!(write.get::<vn::Write>().offset, PAGE as i64);
    assert!(bench.next::<vn::Fsync>().is_faf());
    bench.send(&written(&write));
    bench.close(file);
    bench.finish();
}

#[test]
fn who_lets_go_last_does_not_wait() {
    let bench = told();
    let file = serve(&bench, |user| user.vnode(&format!("{MNT}/f"))).unwrap();
    syncer().run(|_| drop(file));
    assert!(bench.next::<vn::Inactive>().is_faf());
    bench.assert_quiet();
    bench.finish();
}

#[test]
fn who_makes_room_does_not_wait_for_what_was_noted() {
    let bench = Bench::new();
    let file = bench.open("f", FILE);
    assert_eq!(file.write_at(0, &[1; PAGE]), Ok(PAGE));
    bench.close(file);
    let freed = User::kernel("vdrain").run(|_| bench.kernel.shrink());
    assert!(freed > 0);
    let told = of_file(&bench);
    assert!(told.iter().all(Frame::is_faf), "{told:?}");
    let [write, setattr, fsync] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(write.is::<vn::Write>() && fsync.is::<vn::Fsync>());
    assert_eq!(setattr.get::<vn::Setattr>().va.size, PAGE as u64);
    bench.finish();
}

#[test]
fn who_makes_room_does_not_wait_for_pages_that_are_being_written() {
    // Has the server read it yet? Is it the kernel, or who wants fewer vnodes?
    for (read, is_kernel) in [(true, true), (false, true), (true, false)] {
        let bench = Bench::new();
        let file = bench.open("f", FILE);
        assert_eq!(file.write_at(0, &[1; PAGE]), Ok(PAGE));
        assert_eq!(syncer().run(|_| kernel::sync_lazily(file.vnode())), Ok(()));
        assert!(bench.next::<vn::Setattr>().is_faf());
        let early = read.then(|| bench.next::<vn::Write>());
        // The server is behind by these: FSYNC, and CLOSE.
        let call = bench.call(move |_| drop(file));
        call.join();
        let drains = if is_kernel {
            User::kernel("vdrain")
        } else {
            User::new("sysctl")
        };
        let freed = drains.run(|_| bench.kernel.shrink());
        assert!(freed > 0);
        let write = early.unwrap_or_else(|| bench.next::<vn::Write>());
        assert!(!write.is_faf());
        assert!(of_file(&bench).iter().all(Frame::is_faf));
        // Nobody looks at what becomes of it, but nonsense is nonsense.
        bench.send(&write.reply_error(28));
        bench.assert_quiet();
        bench.send(&write.reply_error(28));
        assert_eq!(bench.complaint().0, Errno::EINVAL.get());
        bench.assert_alive();
        bench.finish();
    }
}

#[test]
fn who_makes_room_does_not_say_twice_that_nobody_uses_a_file() {
    let bench = told();
    let file = serve(&bench, |user| user.vnode(&format!("{MNT}/f"))).unwrap();
    serve(&bench, move |_| drop(file));
    let freed = User::kernel("vdrain").run(|_| bench.kernel.shrink());
    assert!(freed > 0);
    let told = of_file(&bench);
    assert!(told.iter().all(Frame::is_faf), "{told:?}");
    let [fsync, reclaim] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(fsync.is::<vn::Fsync>() && reclaim.is::<vn::Reclaim>());
    bench.finish();
}
