//! Mounting: what is accepted, what is refused, and what a refusal leaves.

use proptest::prelude::*;
use puffs_hosted::{
    bench::{quiet_args, until, Bench, MNT},
    kernel::{self, Kernel, MountKind},
    server::{self, memfs::MemFs, mount_args, Client, Frame, ROOT},
    user::User,
};
use puffs_rs::{
    abi::{
        consts::{MSGSTRUCT_MAX, MSG_MAXSIZE},
        vfs, Cookie, KArgs, Vtype, FHFLAG_DYNAMIC, FHFLAG_MASK, FHFLAG_NFSV2, FHFLAG_NFSV3,
        KFLAG_MASK,
    },
    kern::{Errno, Result},
};
use zerocopy::{FromBytes, IntoBytes};

/// Mounts with arguments that were changed, and unmounts again if it works.
/// The outcome, and what the console says.
fn try_mount(change: impl FnOnce(&mut KArgs)) -> (Result<()>, Vec<String>) {
    let kernel = Kernel::boot();
    let mut args = mount_args("test");
    change(&mut args);
    let server = User::new("server");
    let outcome = server.run(|_| {
        let client = Client::open();
        let outcome = client.mount(MNT, &args).map(drop);
        drop(client);
        outcome
    });
    let console = kernel.console();
    kernel.assert_clean();
    drop(server);
    kernel.shutdown();
    (outcome, console)
}

/// Mounting fails with EINVAL, and the console names the field.
fn refused(field: &str, change: impl FnOnce(&mut KArgs)) {
    let (outcome, console) = try_mount(change);
    assert_eq!(outcome, Err(Errno::EINVAL), "{field}");
    assert!(
        console.iter().any(|line| line.contains(field)),
        "{field} is not in {console:?}"
    );
}

fn accepted(change: impl FnOnce(&mut KArgs)) {
    let (outcome, console) = try_mount(change);
    assert_eq!(outcome, Ok(()), "{console:?}");
}

#[test]
fn good_arguments_are_accepted() {
    accepted(|_| {});
}

#[test]
fn another_version_is_refused() {
    refused("pa_vers", |args| args.vers = 29);
    refused("pa_vers", |args| args.vers = 31);
    refused("pa_vers", |args| args.vers = 0);
}

#[test]
fn unknown_flags_are_refused() {
    for bit in (0..32)
        .map(|bit| 1 << bit)
        .filter(|bit| KFLAG_MASK & bit == 0)
    {
        refused("pa_flags", |args| args.flags |= bit);
    }
}

#[test]
fn every_known_flag_is_accepted() {
    for bit in (0..32)
        .map(|bit| 1 << bit)
        .filter(|bit| KFLAG_MASK & bit != 0)
    {
        accepted(|args| args.flags |= bit);
    }
}

#[test]
fn unknown_file_handle_flags_are_refused() {
    for bit in (0..32)
        .map(|bit| 1 << bit)
        .filter(|bit| FHFLAG_MASK & bit == 0)
    {
        refused("pa_fhflags", |args| args.fhflags |= bit);
    }
}

#[test]
fn a_spare_word_in_use_is_refused() {
    for i in [0, 1, 63, 126] {
        refused(&format!("pa_spare[{i}]"), |args| args.spare[i] = 1);
    }
}

#[test]
fn a_file_handle_that_is_too_large_is_refused() {
    refused("pa_fhsize", |args| args.fhsize = 1021);
    refused("pa_fhsize", |args| args.fhsize = usize::MAX);
    refused("pa_fhsize", |args| args.fhsize = usize::MAX - 3);
    accepted(|args| args.fhsize = 1020);
    accepted(|args| args.fhsize = 0);
}

#[test]
fn a_file_handle_that_does_not_fit_nfs_is_refused() {
    refused("NFSv2", |args| {
        (args.fhflags, args.fhsize) = (FHFLAG_NFSV2, 29)
    });
    accepted(|args| (args.fhflags, args.fhsize) = (FHFLAG_NFSV2, 28));
    refused("NFSv3", |args| {
        (args.fhflags, args.fhsize) = (FHFLAG_NFSV3, 61)
    });
    accepted(|args| (args.fhflags, args.fhsize) = (FHFLAG_NFSV3, 60));
    accepted(|args| (args.fhflags, args.fhsize) = (FHFLAG_DYNAMIC, 500));
}

#[test]
fn a_root_of_no_type_is_refused() {
    refused("pa_root_vtype", |args| args.root_vtype = Vtype::Non.into());
    refused("pa_root_vtype", |args| args.root_vtype = Vtype::Bad.into());
    refused("pa_root_vtype", |args| args.root_vtype = 9);
    refused("pa_root_vtype", |args| args.root_vtype = u32::MAX);
}

#[test]
fn a_root_of_a_negative_size_is_refused() {
    refused("pa_root_vsize", |args| args.root_vsize = -1);
    refused("pa_root_vsize", |args| args.root_vsize = i64::MIN);
}

#[test]
fn a_caller_without_the_device_is_refused() {
    let kernel = Kernel::boot();
    let user = User::new("user");
    let args = mount_args("test");
    let outcome = user.run(|_| server::mount(Some(MNT), &args)).map(drop);
    assert_eq!(outcome, Err(Errno::ENOENT));
    assert!(kernel.console().iter().any(|line| line.contains("pa_fd")));
    kernel.assert_clean();
    // The descriptor of another process is no good.
    let other = User::new("other");
    let client = other.run(|_| Client::open());
    let outcome = user.run(|_| server::mount(Some(MNT), &args)).map(drop);
    assert_eq!(outcome, Err(Errno::ENOENT));
    drop(client);
    drop((user, other));
    kernel.shutdown();
}

#[test]
fn a_path_that_cannot_be_read_is_refused() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let client = server.run(|_| Client::open());
    let outcome = server
        .run(|_| server::mount(None, &mount_args("test")))
        .map(drop);
    assert_eq!(outcome.map_err(Errno::get), Err(14));
    // The descriptor is as good as before.
    let mount = server
        .run(|_| client.mount(MNT, &mount_args("test")))
        .unwrap();
    drop(client);
    drop((mount, server));
    kernel.shutdown();
}

#[test]
fn arguments_that_are_too_short_are_refused() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let client = server.run(|_| Client::open());
    let args = mount_args("test");
    for len in [0, 1, 100, size_of::<KArgs>() - 1] {
        let bytes = &args.as_bytes()[..len];
        let outcome = server.run(|_| kernel::mount(Some(MNT), bytes, MountKind::New, || Ok(())));
        assert_eq!(outcome.map(drop), Err(Errno::EINVAL), "{len}");
        assert_eq!(kernel.mounted(), 0);
    }
    drop((client, server));
    kernel.shutdown();
}

#[test]
fn a_mount_point_that_is_not_there_undoes_the_mount() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let client = server.run(|_| Client::open());
    let args = mount_args("test");
    let outcome = server.run(|_| {
        kernel::mount(Some(MNT), args.as_bytes(), MountKind::New, || {
            Err(Errno::ENOENT)
        })
    });
    assert_eq!(outcome.map(drop), Err(Errno::ENOENT));
    drop((client, server));
    kernel.shutdown();
}

#[test]
fn a_server_that_dies_while_it_mounts_leaves_nothing() {
    let kernel = Kernel::boot();
    for round in 0..50 {
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let args = mount_args("test");
        let mut exit = None;
        let outcome = server.run(|_| {
            kernel::mount(Some(MNT), args.as_bytes(), MountKind::New, || {
                // Another thread of the process exits with the descriptor. It
                // waits for mount(2), which does not know of it.
                let exiting = server.spawn("exit", move |_| drop(client));
                exit = Some(exiting.until_asleep("puffsref"));
                if round % 2 == 0 {
                    Ok(())
                } else {
                    Err(Errno::ENOENT)
                }
            })
        });
        assert_eq!(outcome.is_ok(), round % 2 == 0);
        if let Some(exit) = exit {
            exit.join();
        }
        drop((outcome, server));
        until("the mount to go", || kernel.mounted() == 0);
        kernel.assert_clean();
    }
    kernel.shutdown();
}

#[test]
fn an_update_is_not_supported() {
    let bench = Bench::new();
    let args = quiet_args();
    let update = || kernel::mount(Some(MNT), args.as_bytes(), MountKind::Update, || Ok(()));
    assert_eq!(
        bench.server.run(|_| update()).map(drop),
        Err(Errno::EOPNOTSUPP)
    );
    bench.assert_alive();
    bench.finish();
}

#[test]
fn the_arguments_come_back_as_they_were_accepted() {
    let mut args = quiet_args();
    args.maxmsglen = 1;
    args.typename[..4].copy_from_slice(b"a\x01\xffb");
    let bench = Bench::with(&args);
    let room = vec![0xee; size_of::<KArgs>()];
    let get = || kernel::mount(Some(MNT), &room, MountKind::GetArgs, || Ok(()));
    let (mount, bytes) = bench.user.run(|_| get()).unwrap();
    drop(mount);
    let back = KArgs::read_from_bytes(&bytes).unwrap();
    assert_eq!(back.vers, 30);
    assert_eq!(back.maxmsglen, 2 * MSGSTRUCT_MAX);
    assert_eq!(&back.typename[..11], b"puffs|a..bp");
    assert_eq!(back.root_cookie, ROOT);
    bench.assert_alive();
    bench.finish();
}

#[test]
fn the_message_size_is_bounded() {
    for (asked, got) in [
        (0, MSG_MAXSIZE),
        (1, 2 * MSGSTRUCT_MAX),
        (2 * MSGSTRUCT_MAX + 7, 2 * MSGSTRUCT_MAX + 7),
        (usize::MAX, MSG_MAXSIZE),
    ] {
        let mut args = quiet_args();
        args.maxmsglen = asked;
        let bench = Bench::with(&args);
        let room = vec![0; size_of::<KArgs>()];
        let get = || kernel::mount(Some(MNT), &room, MountKind::GetArgs, || Ok(()));
        let (mount, bytes) = bench.user.run(|_| get()).unwrap();
        drop(mount);
        assert_eq!(KArgs::read_from_bytes(&bytes).unwrap().maxmsglen, got);
        bench.finish();
    }
}

#[test]
fn the_servers_numbers_are_there_from_the_mount_on() {
    let mut args = quiet_args();
    (args.svfsb.blocks, args.svfsb.bfree, args.svfsb.files) = (123_456, 777, 99);
    let bench = Bench::with(&args);
    let stat = bench.user.statvfs_nowait(MNT).unwrap();
    assert_eq!((stat.blocks, stat.bfree, stat.files), (123_456, 777, 99));
    assert_eq!(&stat.fstypename[..13], b"puffs|script\0");
    assert_eq!(&stat.mntonname[..5], b"/mnt\0");
    assert_eq!(&stat.mntfromname[..7], b"script\0");
    assert_eq!(stat.namemax, 255);
    assert_ne!(stat.fsid, 0);
    bench.finish();
}

#[test]
fn statistics_are_the_servers_with_the_kernels_names() {
    let bench = Bench::new();
    let call = bench.call(|user| user.statvfs(MNT));
    let request = bench.next::<vfs::Statvfs>();
    bench.send(&request.reply_with::<vfs::Statvfs>(|reply| {
        reply.sb.blocks = 4242;
        reply.sb.fstypename.fill(b'!');
        reply.sb.fsid = 1;
    }));
    let stat = call.join().unwrap();
    assert_eq!(stat.blocks, 4242);
    assert_eq!(&stat.fstypename[..13], b"puffs|script\0");
    assert_eq!(stat.fsid, bench.mount.stat().fsid);
    bench.finish();
}

#[test]
fn many_mounts_live_side_by_side() {
    let kernel = Kernel::boot();
    let servers: Vec<_> = (0..8)
        .map(|i| {
            let server = User::new("server");
            let client = server.run(|_| Client::open());
            let path = format!("/mnt{i}");
            let mount = server
                .run(|_| client.mount(&path, &mount_args("memfs")))
                .unwrap();
            let mut fs = MemFs::new();
            (
                server::spawn(&server, client, move |frame: &Frame| fs.serve(frame)),
                mount,
                path,
            )
        })
        .collect();
    let user = User::new("user");
    for (_, _, path) in &servers {
        user.mkdir(&format!("{path}/{}", &path[1..])).unwrap();
    }
    for (_, _, path) in &servers {
        assert!(user.stat(&format!("{path}/{}", &path[1..])).is_ok());
        assert_eq!(user.readdir(path, 4096).unwrap().len(), 3);
    }
    for (i, (task, mount, path)) in servers.into_iter().enumerate() {
        if i % 2 == 0 {
            user.run(|_| kernel::unmount(&path, 0)).unwrap();
            task.join();
        } else {
            task.terminate();
        }
        drop(mount);
    }
    drop(user);
    kernel.shutdown();
}

#[test]
fn one_process_can_serve_two_mounts() {
    let kernel = Kernel::boot();
    let server = User::new("server");
    let (one, two) = server.run(|_| (Client::open(), Client::open()));
    let first = server
        .run(|_| one.mount("/one", &mount_args("one")))
        .unwrap();
    let second = server
        .run(|_| two.mount("/two", &mount_args("two")))
        .unwrap();
    let third = server.run(|_| server::mount(Some("/three"), &mount_args("three")));
    assert_eq!(third.map(drop), Err(Errno::ENOENT));
    drop(one);
    drop(two);
    assert!(first.is_gone() && second.is_gone());
    drop((first, second, server));
    kernel.shutdown();
}

#[test]
fn a_cookie_of_zero_may_be_the_root() {
    let mut args = quiet_args();
    args.root_cookie = Cookie::NULL;
    let bench = Bench::with(&args);
    bench.assert_alive();
    bench.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// Whatever the arguments are, a mount works or fails, and leaves nothing.
    #[test]
    fn random_arguments_do_no_harm(
        vers in prop_oneof![4 => Just(30_u32), 1 => any::<u32>()],
        flags in prop_oneof![4 => 0..0x400_u32, 1 => any::<u32>()],
        fhflags in prop_oneof![4 => 0..0x10_i32, 1 => any::<i32>()],
        fhsize in prop_oneof![4 => 0..1100_usize, 1 => any::<usize>()],
        maxmsglen in any::<usize>(),
        root_cookie in any::<usize>(),
        root_vtype in prop_oneof![4 => 0..9_u32, 1 => any::<u32>()],
        root_vsize in any::<i64>(),
        root_rdev in any::<u64>(),
        vnopmask in any::<[u8; 32]>(),
        typename in any::<[u8; 32]>(),
        spare in prop_oneof![9 => Just(0_u32), 1 => any::<u32>()],
    ) {
        let (outcome, _) = try_mount(|args| {
            args.vers = vers;
            args.flags = flags;
            args.fhflags = fhflags;
            args.fhsize = fhsize;
            args.maxmsglen = maxmsglen;
            args.root_cookie = Cookie(root_cookie);
            args.root_vtype = root_vtype;
            args.root_vsize = root_vsize;
            args.root_rdev = root_rdev;
            args.vnopmask[..32].copy_from_slice(&vnopmask);
            args.typename = typename;
            args.spare[100] = spare;
        });
        prop_assert!(matches!(outcome, Ok(()) | Err(Errno::EINVAL)));
    }

    /// The same with nothing but random bytes.
    #[test]
    fn random_bytes_are_no_arguments(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let kernel = Kernel::boot();
        let server = User::new("server");
        let client = server.run(|_| Client::open());
        let outcome = server.run(|_| {
            kernel::mount(Some(MNT), &bytes, MountKind::New, || Ok(()))
        });
        prop_assert_eq!(outcome.map(drop), Err(Errno::EINVAL));
        drop((client, server));
        kernel.shutdown();
    }
}
