//! Attributes: those that are answered, and those that are cached.

use puffs_hosted::{
    bench::{attributes, found, quiet_args, Bench, MNT},
    server::Frame,
    vnops::{request, vattr_null},
};
use puffs_rs::{
    abi::{consts::MSG_MAXSIZE, vn, Cookie, KArgs, Timespec, Vattr, Vtype, KFLAG_CACHE_FS_TTL},
    kern::{Errno, Result},
};

const FILE: Cookie = Cookie(0x5000);

fn ttl_args() -> KArgs {
    let mut args = quiet_args();
    args.flags |= KFLAG_CACHE_FS_TTL;
    args
}

fn va(vtype: Vtype, size: u64) -> Vattr {
    let mut va = vattr_null();
    va.vtype = vtype.into();
    va.size = size;
    va
}

/// A lookup of a regular file whose reply has these attributes too.
fn looked_up(args: &KArgs, va: Vattr) -> Result<()> {
    let bench = Bench::with(args);
    let call = bench.call(|user| user.vnode("/mnt/f").map(drop));
    let mut reply = found(&bench.next::<vn::Lookup>(), FILE, Vtype::Reg, 1);
    reply.get_mut::<vn::Lookup>().va = va;
    reply.get_mut::<vn::Lookup>().va_ttl.sec = 1;
    bench.send(&reply);
    let outcome = call.join();
    if outcome.is_err() {
        bench.complaint();
    }
    bench.assert_quiet();
    bench.finish();
    outcome
}

const IMPOSSIBLE: [u64; 3] = [1 << 62, u64::MAX - 1, 1 << 63];

#[test]
fn attributes_that_a_lookup_would_have_cached_are_looked_at() {
    let args = ttl_args();
    assert_eq!(looked_up(&args, va(Vtype::Reg, 5)), Ok(()));
    assert_eq!(looked_up(&args, va(Vtype::Non, u64::MAX)), Ok(()));
    assert_eq!(looked_up(&args, va(Vtype::Dir, 5)), Err(Errno::EPROTO));
    for size in IMPOSSIBLE {
        let outcome = looked_up(&args, va(Vtype::Reg, size));
        assert_eq!(outcome, Err(Errno::EPROTO), "{size:#x}");
    }
}

#[test]
fn attributes_that_nobody_uses_are_not_looked_at() {
    assert_eq!(looked_up(&quiet_args(), va(Vtype::Dir, 1 << 62)), Ok(()));
}

#[test]
fn attributes_of_a_new_file_that_would_be_cached_are_looked_at() {
    macro_rules! refused {
        ($message:ident, $other:expr) => {
            for va in [va(Vtype::Non, 1 << 62), va($other, 5)] {
                let bench = Bench::with(&ttl_args());
                let root = bench.root();
                let call = bench
                    .call(move |_| request::<vn::$message, _>(&root, 0, 0, |_, _| {}, |_, _| ()));
                let reply = bench
                    .next::<vn::$message>()
                    .reply_with(|reply: &mut vn::$message| {
                        reply.newnode = FILE;
                        reply.va = va;
                    });
                bench.send(&reply);
                assert_eq!(call.join(), Err(Errno::EPROTO));
                bench.complaint();
                bench.finish();
            }
        };
    }
    refused!(Create, Vtype::Dir);
    refused!(Mkdir, Vtype::Reg);
    refused!(Symlink, Vtype::Reg);
}

#[test]
fn a_socket_that_bind_makes_has_attributes_of_a_socket() {
    let bench = Bench::with(&ttl_args());
    let root = bench.root();
    let asked = va(Vtype::Sock, u64::MAX);
    let call = bench
        .call(move |_| request::<vn::Create, _>(&root, 0, 0, |msg, _| msg.va = asked, |_, _| ()));
    let request = bench.next::<vn::Create>();
    bench.send(&request.reply_with::<vn::Create>(|reply| {
        reply.newnode = FILE;
        reply.va = va(Vtype::Sock, 0);
    }));
    assert_eq!(call.join(), Ok(()));
    bench.assert_quiet();
    bench.finish();
}

#[test]
fn attributes_after_a_change_are_of_the_files_type() {
    for (vtype, outcome) in [(Vtype::Dir, Ok(())), (Vtype::Reg, Err(Errno::EPROTO))] {
        let bench = Bench::with(&ttl_args());
        let root = bench.root();
        let call =
            bench.call(move |_| request::<vn::Setattr, _>(&root, 0, 0, |_, _| {}, |_, _| ()));
        let reply = bench
            .next::<vn::Setattr>()
            .reply_with::<vn::Setattr>(|reply| reply.va = va(vtype, 5));
        bench.send(&reply);
        assert_eq!(call.join(), outcome);
        if outcome.is_err() {
            bench.complaint();
        }
        bench.finish();
    }
}

/// What the kernel gets of the attributes of the root.
fn answered(change: impl Fn(&mut vn::Getattr)) -> (Vattr, Timespec) {
    let bench = Bench::with(&ttl_args());
    let root = bench.root();
    let read = |msg: &vn::Getattr, _: &[u8]| (msg.va, msg.va_ttl);
    let call = bench.call(move |_| request::<vn::Getattr, _>(&root, 0, 0, |_, _| {}, read));
    let mut reply: Frame = attributes(&bench.next::<vn::Getattr>(), Vtype::Dir, 5);
    change(reply.get_mut());
    bench.send(&reply);
    let got = call.join().unwrap();
    bench.assert_quiet();
    bench.finish();
    got
}

#[test]
fn a_block_is_no_larger_than_a_message() {
    let most = MSG_MAXSIZE as isize;
    for (said, kept) in [
        (-1, -1),
        (0, 0),
        (4096, 4096),
        (most + 1, most),
        (isize::MAX, most),
    ] {
        let (va, _) = answered(|reply| reply.va.blocksize = said);
        assert_eq!(va.blocksize, kept);
    }
}

#[test]
fn a_time_to_live_is_one_that_the_clock_can_count() {
    let ttl = |sec, nsec| answered(|reply| reply.va_ttl = Timespec { sec, nsec }).1;
    assert_eq!(
        ttl(3, 999_999_999),
        Timespec {
            sec: 3,
            nsec: 999_999_999
        }
    );
    assert_eq!(ttl(-1, 0), Timespec::default());
    assert_eq!(ttl(3, -1), Timespec::default());
    assert_eq!(ttl(3, isize::MAX).nsec, 999_999_999);
    // Half of an int, in ticks of at most a thousand a second.
    let forever = ttl(i64::MAX, 0).sec;
    assert!((1_000_000..i64::from(i32::MAX)).contains(&forever));
}

#[test]
fn an_enormous_time_to_live_is_a_long_one() {
    let bench = Bench::with(&ttl_args());
    let call = bench.call(|user| user.vnode("/mnt/f"));
    let mut reply = found(&bench.next::<vn::Lookup>(), FILE, Vtype::Reg, 1);
    reply.get_mut::<vn::Lookup>().cn_ttl.sec = i64::MAX;
    bench.send(&reply);
    let file = call.join().unwrap();
    // The name is cached.
    assert!(bench.user.vnode("/mnt/f").is_ok());
    bench.assert_quiet();
    drop(file);
    bench.finish();
}

#[test]
fn a_link_has_no_nul_inside() {
    for (text, outcome) in [
        (&b"target"[..], Ok(())),
        (b"", Ok(())),
        (b"target\0", Ok(())),
        (b"tar\0get", Err(Errno::EPROTO)),
        (b"target\0\0", Err(Errno::EPROTO)),
    ] {
        let bench = Bench::new();
        let root = bench.root();
        let call =
            bench.call(move |_| request::<vn::Readlink, _>(&root, 0, 0, |_, _| {}, |_, _| ()));
        let reply = bench
            .next::<vn::Readlink>()
            .reply_with::<vn::Readlink>(|reply| {
                reply.linklen = text.len();
                reply.link[..text.len()].copy_from_slice(text);
            });
        bench.send(&reply);
        assert_eq!(call.join(), outcome, "{text:?} in {MNT}");
        if outcome.is_err() {
            bench.complaint();
        }
        bench.finish();
    }
}
