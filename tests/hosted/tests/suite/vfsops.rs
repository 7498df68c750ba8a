//! The operations of the file system that no system call of the other tests
//! reaches, and file handles of every form.

use puffs_hosted::{
    bench::{quiet_args, until, Bench, MNT},
    kernel::{MNT_NOWAIT, MNT_WAIT},
    server::{mount_args, Client, ROOT},
    user::{Task, User},
    vnops,
};
use puffs_rs::{
    abi::{
        vfs,
        vfs::{EXTATTRCTL_HASATTRNAME, EXTATTRCTL_HASNODE},
        vn, Cookie, Vtype, FHFLAG_DYNAMIC, FHFLAG_PASSTHROUGH,
    },
    entry,
    kern::Errno,
};
use std::ptr;

const FILE: Cookie = Cookie(0x5000);

#[test]
fn there_are_no_snapshots() {
    let error = entry::puffs_vfsop_snapshot(ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    assert_eq!(error, Errno::EOPNOTSUPP.get());
}

#[test]
fn extattrctl_says_what_it_is_about() {
    let bench = Bench::new();
    let file = bench.file("f", FILE, Vtype::Reg, 0);
    for (with_file, with_name) in [(false, false), (true, false), (false, true), (true, true)] {
        let mount = bench.mount.clone();
        let call = bench.call(move |user| {
            let (file, name) = (
                with_file.then_some("/mnt/f"),
                with_name.then_some(c"attribute"),
            );
            user.extattrctl(&mount, 7, file, 2, name)
        });
        let request = bench.next::<vfs::ExtattrCtl>();
        let asked = request.get::<vfs::ExtattrCtl>();
        assert_eq!((asked.cmd, asked.attrnamespace), (7, 2));
        assert_eq!(asked.flags & EXTATTRCTL_HASNODE != 0, with_file);
        assert_eq!(asked.flags & EXTATTRCTL_HASATTRNAME != 0, with_name);
        assert_eq!(
            request.req().cookie,
            if with_file { FILE } else { Cookie::NULL }
        );
        assert!(!with_name || asked.attrname.starts_with(b"attribute\0"));
        // Who waits has nothing locked.
        until("the lock", || !file.is_locked());
        bench.send(&request.reply_error(if with_name { 0 } else { 5 }));
        assert_eq!(
            call.join(),
            if with_name { Ok(()) } else { Err(Errno::EIO) }
        );
    }
    drop(file);
    bench.finish();
}

#[test]
fn extattrctl_of_a_file_elsewhere_is_refused() {
    let bench = Bench::new();
    let server = User::new("other");
    let client = server.run(|_| Client::open());
    let other = server
        .run(|_| client.mount("/other", &mount_args("other")))
        .unwrap();
    let outcome = bench.user.extattrctl(&other, 1, Some(MNT), 2, None);
    assert_eq!(outcome, Err(Errno::EXDEV));
    server.run(|_| drop(client));
    drop((other, server));
    bench.finish();
}

// File handles: with a fixed size, of any size up to one, and the server's own.

fn getfh(bench: &Bench, room: usize) -> Task<Result<Vec<u8>, (Errno, usize)>> {
    bench.call(move |user| user.getfh(MNT, room))
}

#[test]
fn without_file_handles_there_are_none() {
    let mut args = quiet_args();
    args.fhsize = 0;
    let bench = Bench::with(&args);
    assert_eq!(getfh(&bench, 100).join(), Err((Errno::EOPNOTSUPP, 100)));
    let mount = bench.mount.clone();
    let outcome = bench.user.fhstat(&mount, &[4, 0, 0, 0]);
    assert_eq!(outcome.map(drop), Err(Errno::EOPNOTSUPP));
    drop(mount);
    bench.finish();
}

#[test]
fn a_dynamic_handle_is_as_long_as_the_server_makes_it() {
    let mut args = quiet_args();
    (args.fhflags, args.fhsize) = (FHFLAG_DYNAMIC, 100);
    let bench = Bench::with(&args);
    for len in [1_usize, 5, 60] {
        let call = getfh(&bench, 64);
        let request = bench.next::<vfs::NodeToFh>();
        assert_eq!(request.get::<vfs::NodeToFh>().dsize, 60);
        let data = vec![3; len];
        bench.send(&request.reply_data::<vfs::NodeToFh>(&data, |reply| reply.dsize = len));
        let handle = call.join().unwrap();
        assert_eq!(handle.len(), len + 4);
        assert_eq!(handle[..4], [len as u8 + 4, 0, 0, 0]);
        assert_eq!(handle[4..], data);
        // And back.
        let mount = bench.mount.clone();
        let call = bench.call(move |user| user.fhstat(&mount, &handle).map(|(cookie, _)| cookie));
        let request = bench.next::<vfs::FhToNode>();
        assert_eq!(request.get::<vfs::FhToNode>().dsize, len);
        assert_eq!(request.payload::<vfs::FhToNode>(0)[..len], data);
        bench.send(&request.reply_with::<vfs::FhToNode>(|reply| {
            reply.fhcookie = ROOT;
            reply.vtype = Vtype::Dir.into();
        }));
        let request = bench.next::<vn::Getattr>();
        bench.send(&request.reply_with::<vn::Getattr>(|reply| {
            reply.va = vnops::vattr_null();
            reply.va.vtype = Vtype::Dir.into();
        }));
        assert_eq!(call.join(), Ok(ROOT.0));
    }
    bench.finish();
}

#[test]
fn a_dynamic_handle_that_does_not_fit_says_how_much_it_takes() {
    let mut args = quiet_args();
    (args.fhflags, args.fhsize) = (FHFLAG_DYNAMIC, 100);
    let bench = Bench::with(&args);
    let call = getfh(&bench, 20);
    let request = bench.next::<vfs::NodeToFh>();
    let mut reply = request.reply_with::<vfs::NodeToFh>(|reply| reply.dsize = 60);
    reply.req_mut().rv = Errno::E2BIG.get();
    bench.send(&reply);
    assert_eq!(call.join(), Err((Errno::E2BIG, 64)));
    // Less than there is room for is no reason, and neither is more than can be.
    for dsize in [1, 2000, usize::MAX] {
        let call = getfh(&bench, 20);
        let request = bench.next::<vfs::NodeToFh>();
        let mut reply = request.reply_with::<vfs::NodeToFh>(|reply| reply.dsize = dsize);
        reply.req_mut().rv = Errno::E2BIG.get();
        bench.send(&reply);
        assert_eq!(
            call.join().map_err(|(error, _)| error),
            Err(Errno::EPROTO),
            "{dsize}"
        );
        bench.complaint();
    }
    bench.finish();
}

#[test]
fn a_dynamic_handle_longer_than_any_is_refused_when_it_comes_back() {
    let mut args = quiet_args();
    (args.fhflags, args.fhsize) = (FHFLAG_DYNAMIC, 10);
    let bench = Bench::with(&args);
    let mut handle = vec![15, 0, 0, 0];
    handle.extend([0; 11]);
    let outcome = bench.user.fhstat(&bench.mount, &handle);
    assert_eq!(outcome.map(drop), Err(Errno::EINVAL));
    bench.assert_quiet();
    bench.finish();
}

#[test]
fn a_handle_that_passes_through_is_the_servers_from_its_first_byte() {
    let mut args = quiet_args();
    args.fhflags = FHFLAG_PASSTHROUGH;
    let bench = Bench::with(&args);
    let call = getfh(&bench, 64);
    let request = bench.next::<vfs::NodeToFh>();
    assert_eq!(request.get::<vfs::NodeToFh>().dsize, 64);
    let mut data = vec![20, 0, 9, 9];
    data.extend([7; 16]);
    bench.send(&request.reply_data::<vfs::NodeToFh>(&data, |reply| reply.dsize = 20));
    assert_eq!(call.join(), Ok(data.clone()));
    let mount = bench.mount.clone();
    let sent = data.clone();
    let call = bench.call(move |user| user.fhstat(&mount, &sent).map(drop));
    let request = bench.next::<vfs::FhToNode>();
    assert_eq!(request.payload::<vfs::FhToNode>(0)[..20], data);
    bench.send(&request.reply_error(2));
    assert_eq!(call.join(), Err(Errno::ENOENT));
    bench.finish();
}

#[test]
fn sync_tells_the_server_how() {
    let bench = Bench::new();
    for waitfor in [MNT_WAIT, MNT_NOWAIT] {
        let call = bench.call(move |user| user.sync(MNT, waitfor));
        let request = bench.next::<vfs::Sync>();
        let asked = request.get::<vfs::Sync>();
        assert_eq!(asked.waitfor, waitfor);
        assert_eq!((asked.cred.kind, asked.cred.uuc.uid), (1, 1000));
        bench.send(&request.reply_error(5));
        assert_eq!(call.join(), Err(Errno::EIO));
    }
    bench.finish();
}

#[test]
fn a_node_is_made_once_however_often_it_is_found() {
    let bench = Bench::new();
    let one = bench.file("a", FILE, Vtype::Reg, 10);
    let two = bench.file("b", FILE, Vtype::Reg, 20);
    assert!(std::sync::Arc::ptr_eq(&one, &two));
    assert_eq!(one.size(), 10);
    drop((one, two));
    bench.finish();
}
