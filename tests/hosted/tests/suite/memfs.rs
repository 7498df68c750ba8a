//! A real file system, by paths: what an ordinary program sees, as far as it
//! takes a look into this kernel. The rest is `puffs-conform`'s.

use puffs_hosted::{
    kernel::{self, Kernel, PAGE},
    server::{
        self,
        memfs::{MemFs, BLOCKS},
        mount_args, Client,
    },
    user::{Open, Task, User},
    vnops::request,
};
use puffs_rs::{
    abi::{vn, KArgs, Vtype, KFLAG_NOCACHE},
    kern::Errno,
};
use std::sync::Arc;

const MNT: &str = "/mnt";

/// A mounted memfs; dropping it unmounts.
struct Mounted {
    kernel: Option<Kernel>,
    user: User,
    mount: Option<Arc<kernel::Mount>>,
    task: Option<Task<()>>,
}

fn mounted(change: impl FnOnce(&mut KArgs)) -> Mounted {
    let kernel = Kernel::boot();
    let server = User::new("memfs");
    let client = server.run(|_| Client::open());
    let mut args = mount_args("memfs");
    change(&mut args);
    let mount = server.run(|_| client.mount(MNT, &args)).unwrap();
    let mut fs = MemFs::new();
    let task = server::spawn(&server, client, move |frame| fs.serve(frame));
    Mounted {
        kernel: Some(kernel),
        user: User::new("user"),
        mount: Some(mount),
        task: Some(task),
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert_eq!(self.user.run(|_| kernel::unmount(MNT, 0)), Ok(()));
        if let Some(task) = self.task.take() {
            task.join();
        }
        self.mount = None;
        if let Some(kernel) = self.kernel.take() {
            kernel.shutdown();
        }
    }
}

/// What every mount has to get right.
fn exercise(fs: &Mounted) {
    let user = &fs.user;
    user.mkdir("/mnt/dir").unwrap();
    let file = user.open("/mnt/dir/file", Open::CREATE).unwrap();
    assert_eq!(file.write(b"hello, "), Ok(7));
    assert_eq!(file.write(b"world"), Ok(5));
    assert_eq!(file.read_at(0, 100).unwrap(), b"hello, world");
    assert_eq!(file.read_at(7, 3).unwrap(), b"wor");
    assert_eq!(file.read_at(100, 3).unwrap(), b"");
    file.fsync().unwrap();
    drop(file);
    assert_eq!(user.stat("/mnt/dir/file").unwrap().size, 12);
    assert_eq!(user.stat("/mnt/dir/none").err(), Some(Errno::ENOENT));
    assert_eq!(user.mkdir("/mnt/dir"), Err(Errno::EEXIST));
    user.link("/mnt/dir/file", "/mnt/dir/link").unwrap();
    user.symlink("dir/file", "/mnt/sym").unwrap();
    assert_eq!(user.readlink("/mnt/sym").unwrap(), "dir/file");
    let by_link = user.open("/mnt/sym", Open::READ).unwrap();
    assert_eq!(by_link.read(100).unwrap(), b"hello, world");
    drop(by_link);
    user.rename("/mnt/dir/link", "/mnt/moved").unwrap();
    assert_eq!(user.stat("/mnt/moved").unwrap().size, 12);
    assert_eq!(user.stat("/mnt/dir/link").err(), Some(Errno::ENOENT));
    let names = |path: &str| -> Vec<String> {
        user.readdir(path, 512)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    };
    assert_eq!(names("/mnt"), [".", "..", "dir", "sym", "moved"]);
    assert_eq!(names("/mnt/dir"), [".", "..", "file"]);
    assert_eq!(user.rmdir("/mnt/dir").map_err(Errno::get), Err(66));
    assert_eq!(user.unlink("/mnt/dir").map_err(Errno::get), Err(1));
    user.unlink("/mnt/dir/file").unwrap();
    user.rmdir("/mnt/dir").unwrap();
    user.unlink("/mnt/moved").unwrap();
    user.unlink("/mnt/sym").unwrap();
    assert_eq!(names("/mnt"), [".", ".."]);
    assert_eq!(user.statvfs(MNT).unwrap().blocks, BLOCKS);
    user.sync(MNT, kernel::MNT_WAIT).unwrap();
    user.sync(MNT, kernel::MNT_LAZY).unwrap();
}

#[test]
fn without_caches() {
    exercise(&mounted(|args| args.flags |= KFLAG_NOCACHE));
}

#[test]
fn with_the_smallest_messages() {
    exercise(&mounted(|args| args.maxmsglen = 1));
}

#[test]
fn a_large_file_survives_the_loss_of_its_vnode() {
    let fs = mounted(|_| {});
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 7) as u8).collect();
    let file = fs.user.open("/mnt/large", Open::CREATE).unwrap();
    assert_eq!(file.write(&data), Ok(data.len()));
    file.fsync().unwrap();
    drop(file);
    if let Some(kernel) = &fs.kernel {
        assert!(kernel.shrink() >= 1);
    }
    let file = fs.user.open("/mnt/large", Open::READ).unwrap();
    assert!(file.read(data.len()).unwrap() == data);
}

#[test]
fn a_file_with_holes_reads_as_zeroes() {
    let fs = mounted(|_| {});
    let file = fs.user.open("/mnt/holes", Open::CREATE).unwrap();
    file.write_at(10 * PAGE as i64, b"end").unwrap();
    file.fsync().unwrap();
    drop(file);
    if let Some(kernel) = &fs.kernel {
        kernel.shrink();
    }
    let file = fs.user.open("/mnt/holes", Open::READ).unwrap();
    let data = file.read(20 * PAGE).unwrap();
    assert_eq!(data.len(), 10 * PAGE + 3);
    assert!(data[..10 * PAGE].iter().all(|&byte| byte == 0));
}

#[test]
fn special_files_are_special() {
    let fs = mounted(|_| {});
    fs.user.mknod("/mnt/null", Vtype::Chr, 0x0203).unwrap();
    fs.user.mknod("/mnt/pipe", Vtype::Fifo, 0).unwrap();
    assert_eq!(fs.user.vnode("/mnt/null").unwrap().rdev(), Some(0x0203));
    assert!(fs.user.vnode("/mnt/pipe").unwrap().is_fifo());
    assert_eq!(fs.user.stat("/mnt/null").unwrap().vtype, Vtype::Chr as u32);
}

#[test]
fn file_handles_go_round() {
    let fs = mounted(|_| {});
    let file = fs.user.open("/mnt/f", Open::CREATE).unwrap();
    file.write(b"12345").unwrap();
    file.fsync().unwrap();
    drop(file);
    let handle = fs.user.getfh("/mnt/f", 12).unwrap();
    assert_eq!(handle.len(), 12);
    // Too little room: how much it takes.
    assert_eq!(fs.user.getfh("/mnt/f", 11), Err((Errno::E2BIG, 12)));
    assert_eq!(fs.user.getfh("/mnt/f", 0), Err((Errno::E2BIG, 12)));
    if let (Some(kernel), Some(mount)) = (&fs.kernel, &fs.mount) {
        kernel.shrink();
        let (_, va) = fs.user.fhstat(mount, &handle).unwrap();
        assert_eq!(va.size, 5);
        // One of another length is none.
        assert_eq!(
            fs.user
                .fhstat(mount, &[11, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
                .err(),
            Some(Errno::EINVAL)
        );
        // One of a file that is gone.
        let mut stale = handle.clone();
        stale[4..].fill(0xee);
        assert_eq!(
            fs.user.fhstat(mount, &stale).err().map(Errno::get),
            Some(70)
        );
    }
}

#[test]
fn listings_come_with_offsets_for_nfs() {
    let fs = mounted(|_| {});
    for nth in 0..20 {
        drop(
            fs.user
                .open(&format!("/mnt/file{nth}"), Open::CREATE)
                .unwrap(),
        );
    }
    let (entries, cookies) = fs.user.readdir_cookies(MNT, 4096).unwrap();
    assert_eq!(entries.len(), 22);
    assert_eq!(cookies, (1..=22).collect::<Vec<u64>>());
}

#[test]
fn attributes_of_any_name_can_be_kept() {
    let fs = mounted(|_| {});
    drop(fs.user.open("/mnt/f", Open::CREATE).unwrap());
    let vnode = fs.user.vnode("/mnt/f").unwrap();
    let name = |to: &mut [u8]| to[..4].copy_from_slice(b"user");
    // The payload of these messages starts where their struct ends.
    request::<vn::Setextattr, _>(
        &vnode,
        5,
        0,
        |msg, data| {
            name(&mut msg.attrname);
            msg.resid = 5;
            data.copy_from_slice(b"value");
        },
        |_, _| (),
    )
    .unwrap();
    let got = request::<vn::Getextattr, _>(
        &vnode,
        100,
        100,
        |msg, _| {
            name(&mut msg.attrname);
            msg.resid = 100;
            msg.datasize = 1;
        },
        |msg, _| (msg.resid, msg.datasize),
    );
    assert_eq!(got, Ok((95, 5)));
    let list = request::<vn::Listextattr, _>(
        &vnode,
        100,
        100,
        |msg, _| msg.resid = 100,
        |msg, _| msg.resid,
    );
    assert_eq!(list, Ok(95));
    request::<vn::Deleteextattr, _>(&vnode, 0, 0, |msg, _| name(&mut msg.attrname), |_, _| ())
        .unwrap();
    let gone =
        request::<vn::Deleteextattr, _>(&vnode, 0, 0, |msg, _| name(&mut msg.attrname), |_, _| ());
    assert_eq!(gone.map_err(Errno::get), Err(93));
}

#[test]
fn extended_attributes_can_be_controlled() {
    let fs = mounted(|_| {});
    drop(fs.user.open("/mnt/f", Open::CREATE).unwrap());
    if let Some(mount) = &fs.mount {
        fs.user
            .extattrctl(mount, 1, None, 2, Some(c"name"))
            .unwrap();
        fs.user
            .extattrctl(mount, 1, Some("/mnt/f"), 2, None)
            .unwrap();
        assert!(!fs.user.vnode("/mnt/f").unwrap().is_locked());
    }
}

#[test]
fn many_threads_share_a_file_system() {
    let fs = mounted(|_| {});
    if let Some(kernel) = &fs.kernel {
        kernel.set_chaos(42);
    }
    let tasks: Vec<_> = (0..6)
        .map(|nth| {
            fs.user.spawn("work", move |user| {
                for round in 0..40 {
                    let path = format!("/mnt/f{}", (nth + round) % 3);
                    match user.open(&path, Open::CREATE) {
                        Ok(file) => {
                            let _ = file.write(&[round as u8; 5000]);
                            let _ = file.read_at(0, 5000);
                        }
                        Err(error) => {
                            assert!(matches!(error, Errno::ENOENT | Errno::EEXIST), "{error:?}")
                        }
                    }
                    if round % 3 == 0 {
                        let _ = user.unlink(&path);
                    }
                    if round % 5 == 0 {
                        let _ = user.rename(&path, &format!("/mnt/g{nth}"));
                    }
                    user.readdir(MNT, 300).unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(Task::join);
}
