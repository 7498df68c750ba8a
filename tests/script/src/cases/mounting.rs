//! Mounting: arguments that are refused leave nothing, and good ones work
//! afterwards.

use crate::{
    case::{After, Case, Ends},
    script::{mount_args, Script, MNT},
    world::Device,
};
use puffs_rs::{
    abi::{
        KArgs, Vtype, FHFLAG_DYNAMIC, FHFLAG_NFSV2, FHFLAG_NFSV3, FHFLAG_PASSTHROUGH,
        KFLAG_CACHE_DOTDOT, KFLAG_CACHE_FS_TTL, KFLAG_IAONDEMAND, KFLAG_LOOKUP_FULLPNBUF,
        KFLAG_NOCACHE, KFLAG_NOFLUSH_META, KFLAG_WTCACHE,
    },
    kern::Errno,
};
use std::sync::Arc;

const FAMILY: &str = "mounting";

const ENAMETOOLONG: i32 = 63;

/// How often a race is run.
const ROUNDS: usize = 20;

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [refused(), accepted(), servers()].concat()
}

/// Mounts well and unmounts again.
fn works(script: &Script) {
    assert_eq!(script.mount(&mount_args()), Ok(()), "good arguments");
    script.assert_alive();
    assert_eq!(script.unmount(false), Ok(()));
}

fn refused() -> Vec<Case> {
    let case = |variant: &'static str, change: fn(&mut KArgs)| {
        Case::new(FAMILY, "a mount with arguments that cannot be")
            .variant(variant)
            .rows(&[9])
            .caller(Ends::With(Errno::EINVAL))
            .after(After::NeverWas)
            .body(move |script| {
                let mut args = mount_args();
                change(&mut args);
                let ends = script.mount(&args).into();
                assert!(!script.is_mounted(), "it is mounted");
                works(script);
                ends
            })
    };
    vec![
        case("version 0", |args| args.vers = 0),
        case("version 29", |args| args.vers = 29),
        case("version 31", |args| args.vers = 31),
        case("flag 0x40", |args| args.flags |= 0x40),
        case("flag 0x400", |args| args.flags |= 0x400),
        case("every flag", |args| args.flags = !0),
        case("handle flag 0x10", |args| args.fhflags |= 0x10),
        case("every handle flag", |args| args.fhflags = !0),
        case("handles of 1,021 bytes", |args| args.fhsize = 1021),
        case("handles of -4 bytes", |args| args.fhsize = usize::MAX - 3),
        case("handles of -1 bytes", |args| args.fhsize = usize::MAX),
        case("handles too large for NFS 2", |args| {
            (args.fhflags, args.fhsize) = (FHFLAG_NFSV2, 29);
        }),
        case("handles too large for NFS 3", |args| {
            (args.fhflags, args.fhsize) = (FHFLAG_NFSV3, 61);
        }),
        case("a root without a type", |args| {
            args.root_vtype = Vtype::Non.into();
        }),
        case("a root of a bad type", |args| {
            args.root_vtype = Vtype::Bad.into();
        }),
        case("a root of an unknown type", |args| args.root_vtype = 1000),
        case("a root of size -1", |args| args.root_vsize = -1),
        case("a root of the least size", |args| {
            args.root_vsize = i64::MIN;
        }),
        case("a root of size 1<<62", |args| args.root_vsize = 1 << 62),
        case("the first spare word", |args| args.spare[0] = 1),
        case("the last spare word", |args| args.spare[126] = 1),
        case("a name without a NUL", |args| args.mntfromname.fill(b'x'))
            .caller(Errno::check(ENAMETOOLONG).into()),
    ]
}

fn accepted() -> Vec<Case> {
    let case = |variant: &'static str, change: fn(&mut KArgs)| {
        Case::new(FAMILY, "a mount with arguments out of the ordinary")
            .variant(variant)
            .args(change)
    };
    vec![
        case("no descriptor", |args| args.fd = -1),
        case("another descriptor", |args| args.fd = 4711),
        case("messages of a byte", |args| args.maxmsglen = 1),
        case("messages without a limit", |args| {
            args.maxmsglen = usize::MAX;
        }),
        case("a type without a NUL", |args| args.typename.fill(b'x')),
        case("a type that is no text", |args| args.typename.fill(0xff)),
        case("no names", |args| {
            args.typename.fill(0);
            args.mntfromname.fill(0);
        }),
        case("no handles", |args| args.fhsize = 0),
        case("handles of 1,020 bytes", |args| args.fhsize = 1020),
        case("dynamic handles", |args| {
            (args.fhflags, args.fhsize) = (FHFLAG_DYNAMIC, 500);
        }),
        case("passthrough handles of -1 bytes", |args| {
            (args.fhflags, args.fhsize) = (FHFLAG_PASSTHROUGH, usize::MAX);
        }),
        case("no caches", |args| args.flags |= KFLAG_NOCACHE),
        case("a cache that is written through", |args| {
            args.flags |= KFLAG_WTCACHE;
        }),
        case("INACTIVE on demand", |args| args.flags |= KFLAG_IAONDEMAND),
        case("whole paths in lookups", |args| {
            args.flags |= KFLAG_LOOKUP_FULLPNBUF;
        }),
        case("times to live", |args| args.flags |= KFLAG_CACHE_FS_TTL),
        case("parents that are remembered", |args| {
            args.flags |= KFLAG_CACHE_DOTDOT;
        }),
        case("a server that keeps times", |args| {
            args.flags |= KFLAG_NOFLUSH_META;
        }),
    ]
}

// Servers.

fn servers() -> Vec<Case> {
    vec![
        Case::new(
            FAMILY,
            "a mount by a process that has not opened the device",
        )
        .rows(&[9])
        .caller(Ends::With(Errno::ENOENT))
        .after(After::NeverWas)
        .body(|script| {
            let ends = script.run(|calls| calls.mount(MNT, &mount_args())).into();
            works(script);
            ends
        }),
        Case::new(FAMILY, "a mount after the device was closed")
            .rows(&[9])
            .caller(Ends::With(Errno::ENOENT))
            .after(After::NeverWas)
            .body(|script| {
                let device = open_device(script);
                device.die();
                drop(device);
                let call = script.call_as(&script.user, |calls| calls.mount(MNT, &mount_args()));
                let ends = script.join(call).into();
                works(script);
                ends
            }),
        Case::new(FAMILY, "a server closes the device while it mounts")
            .rows(&[9])
            .caller(Ends::As("ENOENT, or success and then no mount"))
            .after(After::NeverWas)
            .body(|script| {
                for _ in 0..ROUNDS {
                    close_while_mounting(script);
                }
                works(script);
                Ends::As("ENOENT, or success and then no mount")
            }),
    ]
}

/// The device, opened once more by the user's process.
fn open_device(script: &Script) -> Arc<dyn Device> {
    match script.user.open_device() {
        Ok(device) => device,
        Err(error) => panic!("the device: {error:?}"),
    }
}

fn close_while_mounting(script: &Script) {
    let device = open_device(script);
    let call = script.call(|calls| calls.mount(MNT, &mount_args()));
    device.die();
    match script.join(call) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => panic!("mount: {error:?}"),
    }
    script.until("the mount to go", || !script.is_mounted());
}
