//! File handles, by which NFS knows files.

use crate::{errno::*, Bed, Check, Flags, Outcome};
use puffs_rs::abi::Vtype;
use puffs_script::world::How;

const FAMILY: &str = "handles";

/// Does not fit.
const E2BIG: i32 = 7;

/// More than a handle takes.
const ROOM: usize = 64;

/// A file that is known by its handle alone has no parent: with
/// `KFLAG_CACHE_DOTDOT` `puffs_vnops.c` has the kernel stop when such a vnode
/// goes. Here handles are of files that were looked up.
pub(super) fn checks() -> Vec<Check> {
    let check = |title, body: fn(&Bed<'_>)| Check::new(FAMILY, title, body);
    vec![
        check("a handle stands for its file", |b| {
            b.make("f", b"12345");
            b.mkdir("d").done();
            for name in ["", "f", "d"] {
                let handle = b.getfh(name, ROOM).done();
                let stat = b.calls().fhstat(&handle).done();
                assert_eq!(stat.ino, b.ino(name).0 as u64, "{name}");
                assert_eq!(b.getfh(name, ROOM).done(), handle);
            }
            let handle = b.getfh("f", ROOM).done();
            let stat = b.calls().fhstat(&handle).done();
            assert_eq!((stat.vtype, stat.size), (Vtype::Reg, 5));
        }),
        check("a file is opened by its handle", |b| {
            b.make("f", b"12345");
            let handle = b.getfh("f", ROOM).done();
            let file = b.fhopen(&handle, How::WRITE).done();
            assert_eq!(file.read(0, 10).done(), b"12345");
            file.write(5, b"6").done();
            drop(file);
            assert_eq!(b.content("f"), b"123456");
        }),
        check("a handle outlives the name", |b| {
            b.make("f", b"x");
            b.mkdir("d").done();
            let handle = b.getfh("f", ROOM).done();
            let ino = b.ino("f").0 as u64;
            b.rename("f", "d/g").done();
            assert_eq!(b.calls().fhstat(&handle).done().ino, ino);
            b.make("f", b"other");
            assert_eq!(b.calls().fhstat(&handle).done().ino, ino);
        }),
        check("a handle of a file that is gone is stale", |b| {
            b.make("f", b"x");
            let handle = b.getfh("f", ROOM).done();
            b.unlink("f").done();
            b.calls().fhstat(&handle).fails(ESTALE);
            b.fhopen(&handle, How::READ).fails(ESTALE);
            b.make("f", b"new");
            b.calls().fhstat(&handle).fails(ESTALE);
        }),
        check("a handle wants room", |b| {
            b.make("f", b"");
            let handle = b.getfh("f", ROOM).done();
            b.getfh("f", handle.len() - 1).fails(E2BIG);
            assert_eq!(b.getfh("f", handle.len()).done(), handle);
        })
        .under(Flags::ONE),
        check("two files have two handles", |b| {
            b.make("f", b"");
            b.make("g", b"");
            b.link("f", "h").done();
            let handle = |name| b.getfh(name, ROOM).done();
            assert_ne!(handle("f"), handle("g"));
            assert_eq!(handle("f"), handle("h"));
        })
        .under(Flags::OF_NAMES),
    ]
}
