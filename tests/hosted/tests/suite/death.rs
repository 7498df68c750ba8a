//! The server may die at any moment: everybody who waits for it is sent off
//! with ENXIO, what was started is completed once, the mount goes, and nothing
//! is left.

use puffs_hosted::{
    bench::{quiet_args, until, Bench, MNT, WAITS},
    kernel::{self, Kernel, Kind, MNT_FORCE},
    server::{self, memfs::MemFs, mount_args, Answer, Client, Frame},
    user::{Open, Task, User},
    vnops::{self, read_buffer, write_buffer},
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, Vtype},
    kern::{Errno, Result},
};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};

const FILE: Cookie = Cookie(0x5000);

/// A request that waits for the server and locks nothing.
fn seek(bench: &Bench) -> Task<Result<()>> {
    let root = bench.root();
    bench.call(move |_| vnops::request::<vn::Seek, _>(&root, 0, 0, |_, _| {}, |_, _| ()))
}

#[test]
fn while_a_request_is_being_copied_out() {
    for callers in [1, 64] {
        let bench = Bench::new();
        let calls: Vec<_> = (0..callers)
            .map(|_| seek(&bench).until_asleep(WAITS))
            .collect();
        let (inside, go) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let flags = (inside.clone(), go.clone());
        let client = bench.client();
        client.set_copyout(Some(Arc::new(move |_| {
            flags.0.store(true, Ordering::SeqCst);
            kernel::pause_until(|| flags.1.load(Ordering::SeqCst));
            0
        })));
        let reader = bench
            .server
            .spawn("reader", move |_| client.read().map(drop));
        until("the copy", || inside.load(Ordering::SeqCst));
        // The process cannot exit while a thread of it is in a system call,
        // but the mount can go.
        let mount = bench.mount.clone();
        let umount = bench
            .user
            .spawn("umount", move |_| kernel::unmount_mount(&mount, MNT_FORCE));
        // It waits for those who are inside the file system.
        let umount = umount.until_asleep("suspend");
        let error = if callers == 1 {
            // Interrupted both, as nobody answers.
            calls[0].signal(kernel::SIGTERM);
            let umount = umount.until_asleep(WAITS);
            umount.signal(kernel::SIGTERM);
            assert_eq!(umount.join(), Ok(()));
            go.store(true, Ordering::SeqCst);
            Errno::EINTR
        } else {
            go.store(true, Ordering::SeqCst);
            bench.die();
            assert_eq!(umount.join(), Ok(()));
            Errno::ENXIO
        };
        // It may have been the last thing that the server did.
        let _ = reader.join();
        for call in calls {
            assert_eq!(call.join(), Err(error));
        }
        bench.finish();
    }
}

#[test]
fn with_fire_and_forget_on_the_queue() {
    let bench = Bench::new();
    let root = bench.root();
    for _ in 0..100 {
        vnops::forget_request::<vn::Print>(&root, |_, _| {}).unwrap();
    }
    for _ in 0..10 {
        bench.next::<vn::Print>();
    }
    drop(root);
    bench.finish();
}

/// What becomes of buffers whose server dies at a stage.
fn buffers(read: bool) {
    let bench = Bench::new();
    let file = bench.file("f", FILE, Vtype::Reg, 1 << 20);
    let start = |nth: i64| {
        let file = file.again();
        let io = move |_: &User| {
            (
                read_buffer(&file, nth * 4096, 4096).0,
                write_buffer(&file, nth * 4096, &[1; 4096]).0,
            )
        };
        bench.call(io).until_asleep("biowait")
    };
    let calls: Vec<_> = (0..16).map(start).collect();
    if read {
        for _ in 0..8 {
            bench.next::<vn::Read>();
        }
    }
    drop(file);
    bench.die();
    for call in calls {
        // The second is enqueued on a mount that is gone.
        assert_eq!(call.join(), (Errno::ENXIO.get(), Errno::ENXIO.get()));
    }
    bench.finish();
}

#[test]
fn with_buffers_on_the_queue() {
    buffers(false);
}

#[test]
fn with_buffers_at_the_server() {
    buffers(true);
}

#[test]
fn while_a_reader_of_pages_waits() {
    let kernel = Kernel::boot();
    for nth in 0..40 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server
            .run(|_| client.mount(MNT, &mount_args("memfs")))
            .unwrap();
        let mut fs = MemFs::new();
        let mut reads = 0;
        let task = server::spawn(&server, client, move |frame| {
            if frame.is::<vn::Read>() {
                reads += 1;
                if reads > nth % 5 {
                    return Answer::Exit;
                }
            }
            fs.serve(frame)
        });
        let user = User::new("user");
        let file = user.open("/mnt/f", Open::CREATE).unwrap();
        file.write(&vec![7; 1 << 20]).unwrap();
        file.fsync().unwrap();
        drop(file);
        kernel.shrink();
        let outcome = user
            .open("/mnt/f", Open::READ)
            .and_then(|file| file.read(1 << 20));
        assert_eq!(outcome.map(drop), Err(Errno::ENXIO));
        task.join();
        until("the mount to go", || mount.is_gone());
        drop((mount, user, server));
        kernel.assert_clean();
    }
    kernel.shutdown();
}

#[test]
fn on_the_request_to_unmount() {
    let kernel = Kernel::boot();
    for round in 0..200 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server
            .run(|_| client.mount(MNT, &mount_args("memfs")))
            .unwrap();
        let mut fs = MemFs::new();
        let task = server::spawn(&server, client, move |frame| {
            if frame.is::<vfs::Unmount>() {
                Answer::Exit
            } else {
                fs.serve(frame)
            }
        });
        let user = User::new("user");
        let flags = if round % 2 == 0 { 0 } else { MNT_FORCE };
        assert_eq!(user.run(|_| kernel::unmount(MNT, flags)), Ok(()));
        task.join();
        assert!(mount.is_gone());
        drop((mount, user, server));
        kernel.assert_clean();
    }
    kernel.shutdown();
}

#[test]
fn on_the_first_request() {
    let kernel = Kernel::boot();
    for _ in 0..300 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server
            .run(|_| client.mount(MNT, &mount_args("exit")))
            .unwrap();
        let task = server::spawn(&server, client, |_| Answer::Exit);
        let user = User::new("user");
        let outcome = user.stat(MNT).map(drop);
        assert_eq!(outcome, Err(Errno::ENXIO));
        task.join();
        until("the mount to go", || mount.is_gone());
        drop((mount, user, server));
    }
    kernel.shutdown();
}

/// Callers start requests while the server dies, again and again.
fn race(rounds: usize, callers: usize, seed: u64) {
    let kernel = Kernel::boot_for(Duration::from_secs(120));
    kernel.set_chaos(seed);
    let user = User::new("user");
    for round in 0..rounds {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server.run(|_| client.mount(MNT, &quiet_args())).unwrap();
        let root = user.vnode(MNT).unwrap();
        let started = Arc::new(AtomicUsize::new(0));
        let calls: Vec<_> = (0..callers)
            .map(|_| {
                let (root, started) = (root.again(), started.clone());
                user.spawn("call", move |_| {
                    started.fetch_add(1, Ordering::SeqCst);
                    vnops::request::<vn::Seek, _>(&root, 0, 0, |_, _| {}, |_, _| ())
                })
            })
            .collect();
        drop(root);
        while started.load(Ordering::SeqCst) < callers {
            std::hint::spin_loop();
        }
        for _ in 0..round % 50 {
            std::hint::spin_loop();
        }
        server.run(|_| drop(client));
        for call in calls {
            assert_eq!(call.join(), Err(Errno::ENXIO));
        }
        assert!(mount.is_gone());
        drop((mount, server));
    }
    drop(user);
    kernel.shutdown();
}

#[test]
fn while_a_request_is_enqueued() {
    race(4000, 1, 0);
}

#[test]
fn while_requests_of_four_callers_are_enqueued() {
    race(800, 4, 0);
}

#[test]
fn while_requests_are_enqueued_in_disorder() {
    race(600, 3, 0x5eed);
}

#[test]
fn while_a_caller_waits_just_after_the_server_read_its_request() {
    let kernel = Kernel::boot_for(Duration::from_secs(120));
    let user = User::new("user");
    for _ in 0..500 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server.run(|_| client.mount(MNT, &quiet_args())).unwrap();
        let call = user.spawn("call", |user| user.statvfs(MNT).map(drop));
        server.run(|_| {
            client.read().unwrap();
            drop(client);
        });
        assert_eq!(call.join(), Err(Errno::ENXIO));
        drop((mount, server));
    }
    drop(user);
    kernel.shutdown();
}

#[test]
fn while_somebody_unmounts() {
    let kernel = Kernel::boot_for(Duration::from_secs(120));
    let user = User::new("user");
    for round in 0..300 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server.run(|_| client.mount(MNT, &quiet_args())).unwrap();
        let umounts: Vec<_> = (0..2)
            .map(|_| {
                let flags = if round % 2 == 0 { 0 } else { MNT_FORCE };
                user.spawn("umount", move |_| kernel::unmount(MNT, flags))
            })
            .collect();
        if round % 3 != 0 {
            std::thread::yield_now();
        }
        server.run(|_| drop(client));
        for umount in umounts {
            // Whoever is late finds nothing.
            let outcome = umount.join();
            let late = [Errno::EINVAL, Errno::ENOENT, Errno::ENXIO];
            assert!(
                outcome.is_ok() || outcome.is_err_and(|error| late.contains(&error)),
                "{outcome:?}"
            );
        }
        until("the mount to go", || mount.is_gone());
        drop((mount, server));
        kernel.assert_clean_of("mount");
    }
    drop(user);
    kernel.shutdown();
}

#[test]
fn under_a_load_of_everything() {
    let kernel = Kernel::boot_for(Duration::from_secs(120));
    for round in 0..30_usize {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let mount = server
            .run(|_| client.mount(MNT, &mount_args("memfs")))
            .unwrap();
        let mut fs = MemFs::new();
        let mut left = 20 + round * 13;
        let task = server::spawn(&server, client, move |frame: &Frame| {
            left -= 1;
            if left == 0 {
                Answer::Exit
            } else {
                fs.serve(frame)
            }
        });
        let user = User::new("user");
        let tasks: Vec<_> = (0..4)
            .map(|nth| {
                user.spawn("work", move |user| -> Result<()> {
                    for i in 0.. {
                        let path = format!("/mnt/d{nth}");
                        match user.mkdir(&path) {
                            Ok(()) | Err(Errno::EEXIST) => {}
                            Err(error) => return Err(error),
                        }
                        let path = format!("{path}/f{}", i % 3);
                        let file = user.open(&path, Open::CREATE)?;
                        file.write(&[i as u8; 9000])?;
                        file.fsync()?;
                        file.read_at(0, 9000)?;
                        user.readdir(MNT, 512)?;
                        user.unlink(&path)?;
                    }
                    Ok(())
                })
            })
            .collect();
        for work in tasks {
            let outcome = work.join();
            assert!(
                matches!(outcome, Err(Errno::ENXIO | Errno::ENOENT)),
                "{outcome:?}"
            );
        }
        task.join();
        until("the mount to go", || mount.is_gone());
        drop((mount, user, server));
        kernel.assert_clean();
    }
    kernel.shutdown();
}

#[test]
fn and_the_kernel_does_not_let_the_mount_go() {
    let bench = Bench::new();
    // As it does when another file system is mounted on it.
    bench.kernel.fail_next(Kind::Unmount);
    bench.die();
    assert_eq!(bench.kernel.hits(), [Kind::Unmount]);
    assert!(!bench.mount.is_gone());
    assert_eq!(
        bench.user.statvfs(MNT).map(drop),
        Err(Errno::ENXIO),
        "there is nobody to ask"
    );
    // The device has forgotten the mount, and the mount the device.
    bench.kernel.assert_clean_of("putter");
    assert_eq!(bench.unmount_by_force(), Ok(()));
    bench.finish();
}

#[test]
fn every_kind_of_waiter_is_sent_off() {
    type Ask = Box<dyn FnOnce(&User) -> Result<()> + Send>;

    let bench = Bench::new();
    let root = bench.root();
    let mount = bench.mount.clone();
    let asks: Vec<Ask> = vec![
        Box::new(|user| user.statvfs(MNT).map(drop)),
        Box::new(|user| user.sync(MNT, 1)),
        Box::new(|user| user.getfh(MNT, 12).map(drop).map_err(|(error, _)| error)),
        Box::new(move |user| {
            let mut handle = vec![12, 0, 0, 0];
            handle.extend([1; 8]);
            user.fhstat(&mount, &handle).map(drop)
        }),
        Box::new(move |_| {
            vnops::request::<vn::Read, _>(&root, 64, 64, |msg, _| msg.resid = 64, |_, _| ())
        }),
        // Last, for it has the root locked while it waits.
        Box::new(|user| user.vnode("/mnt/name").map(drop)),
    ];
    let calls: Vec<_> = asks
        .into_iter()
        .map(|ask| bench.call(ask).until_asleep(WAITS))
        .collect();
    for _ in 0..3 {
        bench.frame();
    }
    bench.die();
    for call in calls {
        assert_eq!(call.join(), Err(Errno::ENXIO));
    }
    bench.finish();
}
