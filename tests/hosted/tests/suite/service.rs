//! What the server asks of the kernel: flushes, an unmount; and the expiry of
//! nodes whose time to live is over.

use puffs_hosted::{
    bench::{flush_frame, header_frame, quiet_args, until, Bench, MNT, NOBODY},
    kernel::{self, Kernel, Mount, HZ, MNT_FORCE},
    server::{self, memfs::MemFs, mount_args, Client, ROOT},
    user::{Open, Task, User},
};
use puffs_rs::{
    abi::{
        consts::MSGSTRUCT_MAX, notify::FlushOp, vfs, vn, Cookie, KArgs, OpClass, Vtype,
        KFLAG_CACHE_FS_TTL,
    },
    kern::Errno,
};
use std::{sync::Arc, time::Duration};

const FILE: Cookie = Cookie(0x5000);
const OTHER: Cookie = Cookie(0x6000);
const PAGE: i64 = 4096;

#[test]
fn the_names_of_a_directory_can_be_forgotten() {
    let bench = Bench::new();
    let dir = bench.file("d", FILE, Vtype::Dir, 0);
    let call = bench.call(|user| user.vnode("/mnt/d/f").map(drop));
    bench.answer_lookup(OTHER, Vtype::Reg, 0);
    assert_eq!(call.join(), Ok(()));
    assert_eq!(bench.kernel.cached_names(), 2);
    assert_eq!(bench.flush(FlushOp::InvalNamecacheDir, FILE, 0, 0), 0);
    assert_eq!(bench.kernel.cached_names(), 1);
    assert_eq!(bench.flush(FlushOp::InvalNamecacheDir, ROOT, 0, 0), 0);
    assert_eq!(bench.kernel.cached_names(), 0);
    drop(dir);
    bench.finish();
}

/// A file with four dirty pages, of whose changes the server knows none.
fn dirty(bench: &Bench) -> Arc<puffs_hosted::user::File> {
    let call = bench.call(|user| user.open("/mnt/f", Open::WRITE));
    bench.answer_lookup(FILE, Vtype::Reg, 4 * PAGE);
    let open = bench.next::<vn::Open>();
    bench.send(&open.reply_with::<vn::Open>(|_| {}));
    let file = Arc::new(call.join().unwrap());
    let (mine, len) = (file.clone(), 4 * PAGE as usize);
    let call = bench.call(move |_| mine.write_at(0, &vec![9; len]));
    let read = bench.next::<vn::Read>();
    assert_eq!(read.get::<vn::Read>().resid, len);
    bench.send(&read.reply_data::<vn::Read>(&vec![0; len], |reply| reply.resid = 0));
    assert_eq!(call.join(), Ok(len));
    file
}

/// Answers writes until the response to a flush comes.
fn writes_until_response(bench: &Bench) -> (Vec<(i64, usize)>, i32) {
    let mut writes = Vec::new();
    loop {
        let frame = bench.frame();
        if frame.is_response() {
            return (writes, frame.req().rv);
        }
        assert!(frame.is::<vn::Write>(), "{frame:?}");
        let asked = frame.get::<vn::Write>();
        writes.push((asked.offset, asked.resid));
        bench.send(&frame.reply_with::<vn::Write>(|reply| reply.resid = 0));
    }
}

#[test]
fn a_range_of_pages_can_be_written_back() {
    let bench = Bench::new();
    let file = dirty(&bench);
    bench.send(&flush_frame(
        FlushOp::FlushPagecacheNodeRange.into(),
        FILE,
        PAGE,
        2 * PAGE,
    ));
    assert_eq!(
        writes_until_response(&bench),
        (vec![(PAGE, PAGE as usize)], 0)
    );
    // From the middle of a page to the middle of another: whole pages.
    bench.send(&flush_frame(
        FlushOp::FlushPagecacheNodeRange.into(),
        FILE,
        10,
        20,
    ));
    assert_eq!(writes_until_response(&bench), (vec![(0, PAGE as usize)], 0));
    // The rest, and nothing twice.
    bench.send(&flush_frame(
        FlushOp::FlushPagecacheNodeRange.into(),
        FILE,
        0,
        0,
    ));
    assert_eq!(
        writes_until_response(&bench),
        (vec![(2 * PAGE, 2 * PAGE as usize)], 0)
    );
    bench.send(&flush_frame(
        FlushOp::FlushPagecacheNodeRange.into(),
        FILE,
        0,
        0,
    ));
    assert_eq!(writes_until_response(&bench), (vec![], 0));
    drop(file);
    bench.next::<vn::Close>();
    bench.finish();
}

#[test]
fn nobody_waits_for_what_a_flush_writes_back() {
    let bench = Bench::new();
    let file = dirty(&bench);
    bench.send(&flush_frame(
        FlushOp::FlushPagecacheNodeRange.into(),
        FILE,
        0,
        0,
    ));
    let write = bench.next::<vn::Write>();
    assert_eq!(bench.response(), (4711, 0));
    bench.send(&write.reply_error(28));
    drop(file);
    bench.next::<vn::Close>();
    bench.finish();
}

#[test]
fn pages_can_be_forgotten() {
    let bench = Bench::new();
    let file = dirty(&bench);
    bench.send(&flush_frame(
        FlushOp::InvalPagecacheNodeRange.into(),
        FILE,
        0,
        0,
    ));
    assert_eq!(writes_until_response(&bench), (vec![], 0));
    // They come from the server now.
    let vnode = file.vnode().again();
    let call = bench.call(move |_| {
        let data = puffs_hosted::vnops::read_buffer(&vnode, 0, 4);
        drop(vnode);
        data
    });
    let read = bench.next::<vn::Read>();
    bench.send(&read.reply_data::<vn::Read>(b"data", |reply| reply.resid = 0));
    assert_eq!(call.join(), (0, 0, b"data".to_vec()));
    drop(file);
    bench.next::<vn::Close>();
    bench.finish();
}

#[test]
fn a_server_may_die_with_flushes_on_the_queue() {
    let kernel = Kernel::boot();
    for _ in 0..100 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server.run(|_| client.mount(MNT, &quiet_args())).unwrap();
        server.run(|_| {
            for nth in 0..20 {
                let op = FlushOp::ALL[nth % FlushOp::ALL.len()];
                client.write(&flush_frame(op.into(), ROOT, 0, 0)).unwrap();
            }
            drop(client);
        });
        assert!(mount.is_gone());
        drop((mount, server));
        kernel.assert_clean();
    }
    kernel.shutdown();
}

#[test]
fn a_flush_of_an_unknown_file_while_somebody_unmounts() {
    let kernel = Kernel::boot_for(Duration::from_secs(30));
    for _ in 0..200 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server.run(|_| client.mount(MNT, &quiet_args())).unwrap();
        let user = User::new("user");
        let umount = user.spawn("umount", |_| kernel::unmount(MNT, MNT_FORCE));
        server.run(|_| loop {
            // Whatever comes after the mount is gone is refused.
            let op = FlushOp::InvalNamecacheDir;
            let _ = client.write(&flush_frame(op.into(), NOBODY, 0, 0));
            match client.try_read() {
                Ok(Some(frame)) if frame.is::<vfs::Unmount>() => {
                    for _ in 0..3 {
                        let _ = client.write(&flush_frame(op.into(), NOBODY, 0, 0));
                    }
                    let _ = client.write(&frame.reply_header());
                }
                Ok(_) => {}
                Err(_) => break,
            }
        });
        assert_eq!(umount.join(), Ok(()));
        server.run(|_| drop(client));
        drop((mount, user, server));
    }
    kernel.shutdown();
}

// Unmounting.

#[test]
fn the_server_can_ask_to_be_unmounted_and_die() {
    let kernel = Kernel::boot();
    for _ in 0..300 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server.run(|_| client.mount(MNT, &quiet_args())).unwrap();
        server.run(|_| {
            client
                .write(&header_frame(OpClass::Unmount.into(), 0, 12))
                .unwrap();
            drop(client);
        });
        until("the mount to go", || mount.is_gone());
        drop((mount, server));
        kernel.assert_clean();
    }
    kernel.shutdown();
}

#[test]
fn two_unmounts_at_once_are_one() {
    let bench = Bench::new();
    let mount = bench.mount.clone();
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let mount = mount.clone();
            bench.call(move |_| kernel::unmount_mount(&mount, MNT_FORCE))
        })
        .collect();
    bench.send(&bench.next::<vfs::Unmount>().reply_header());
    let outcomes: Vec<_> = calls.into_iter().map(|call| call.join()).collect();
    assert!(
        outcomes.contains(&Ok(())) && outcomes.contains(&Err(Errno::ENOENT)),
        "{outcomes:?}"
    );
    drop(mount);
    bench.finish();
}

#[test]
fn an_unmount_writes_back_first() {
    let bench = Bench::new();
    let file = dirty(&bench);
    drop(file);
    bench.next::<vn::Close>();
    let call = bench.call(|_| kernel::unmount(MNT, 0));
    let mut seen = Vec::new();
    loop {
        let frame = bench.frame();
        let name = server::describe(&frame);
        let reply = if frame.is::<vn::Write>() {
            frame.reply_with::<vn::Write>(|reply| reply.resid = 0)
        } else if frame.is::<vn::Setattr>() {
            frame.reply_with::<vn::Setattr>(|_| {})
        } else {
            frame.reply_header()
        };
        let last = frame.is::<vfs::Unmount>();
        if !frame.is_faf() {
            bench.send(&reply);
        }
        seen.push(name);
        if last {
            break;
        }
    }
    assert_eq!(call.join(), Ok(()));
    let at = |name: &str| seen.iter().position(|seen| seen == name);
    assert!(
        at("vn/write") < at("vfs/sync") && at("vfs/sync") < at("vfs/unmount"),
        "{seen:?}"
    );
    bench.finish();
}

// Time to live.

/// Mounts a file system whose names and attributes hold for so many ticks. Returns the
/// mount, and the server at work.
fn mount_with_ttl(server: &User, mut args: KArgs, ttl: i64) -> (Arc<Mount>, Task<()>) {
    let client = server.run(|_| Client::open());
    args.flags |= KFLAG_CACHE_FS_TTL;
    let mount = server.run(|_| client.mount(MNT, &args)).unwrap();
    let mut fs = MemFs::new().with_ttl(ttl);
    (
        mount,
        server::spawn(server, client, move |frame| fs.serve(frame)),
    )
}

#[test]
fn a_node_whose_time_is_over_is_reclaimed() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let (mount, task) = mount_with_ttl(&server, mount_args("ttl"), 10 * HZ);
    let user = User::new("user");
    drop(user.open("/mnt/f", Open::CREATE).unwrap());
    let vnodes = || kernel.outstanding()["vnode"].objects;
    assert_eq!(vnodes(), 2);
    kernel.advance(5 * HZ);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(vnodes(), 2, "its time is not over");
    // The thread looks every ten seconds.
    until("the node to expire", || {
        kernel.advance(11 * HZ);
        std::thread::sleep(Duration::from_millis(5));
        vnodes() == 1
    });
    assert_eq!(user.run(|_| kernel::unmount(MNT, 0)), Ok(()));
    task.join();
    drop((mount, user, server));
    kernel.shutdown();
}

#[test]
fn expiries_that_are_queued_do_not_hinder_an_unmount() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    for force in [0, MNT_FORCE] {
        let mut args = mount_args("ttl");
        args.maxmsglen = 2 * MSGSTRUCT_MAX;
        let (mount, task) = mount_with_ttl(&server, args, 1000 * HZ);
        let user = User::new("user");
        for nth in 0..50 {
            drop(user.open(&format!("/mnt/f{nth}"), Open::CREATE).unwrap());
        }
        assert_eq!(user.run(|_| kernel::unmount(MNT, force)), Ok(()));
        task.join();
        drop((mount, user));
    }
    drop(server);
    kernel.shutdown();
}

#[test]
fn an_expiry_goes_with_its_node() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let (mount, task) = mount_with_ttl(&server, mount_args("ttl"), 1000 * HZ);
    let user = User::new("user");
    let queued = || {
        kernel
            .outstanding()
            .get("puffsopl")
            .map_or(0, |pool| pool.objects)
    };
    for _ in 0..3 {
        drop(user.open("/mnt/f", Open::CREATE).unwrap());
        assert_eq!(queued(), 1, "nobody uses the file, whose time is not over");
        drop(user.open("/mnt/f", Open::WRITE).unwrap());
        assert_eq!(queued(), 1, "one is enough");
        assert_eq!(user.unlink("/mnt/f"), Ok(()));
        assert_eq!(queued(), 0);
    }
    assert_eq!(user.run(|_| kernel::unmount(MNT, 0)), Ok(()));
    task.join();
    drop((mount, user, server));
    kernel.shutdown();
}
