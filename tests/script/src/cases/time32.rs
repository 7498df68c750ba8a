//! Servers whose `time_t` and `dev_t` have 32 bits: what has a time or a device
//! comes to them, and from them, in a form of its own.

use super::kinds::{kind, path, FILE, NEW, ROOM};
use crate::{
    case::{Case, Ends, Told},
    script::{name_of, Rule, Script, MNT, ROOT},
    world::Calls,
    Frame,
};
use puffs_rs::{
    abi::{consts::VNOVAL, time32, vfs, vn, Cookie, Vtype, VA_UTIMES_NULL},
    kern::{Errno, Result},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const FAMILY: &str = "time32";

fn case(title: &'static str) -> Case {
    Case::new(FAMILY, title).args(|args| args.time32 = 1)
}

/// A request in its form for such a server: a `T`, and room for no more in the
/// reply.
fn form<T: FromBytes + KnownLayout + Immutable>(request: &Frame) -> &T {
    assert_eq!(request.req().buflen, size_of::<T>());
    request.get()
}

/// Asks for something that makes a file, and has it answered; `made` sees the
/// request.
fn make<T>(script: &Script, name: &str, made: fn(&T), vtype: Vtype) -> Ends
where
    T: FromBytes + IntoBytes + KnownLayout + Immutable + Made,
{
    let ended = kind(name).ask_and(script, |request| {
        let asked: &T = form(request);
        assert_eq!(asked.vtype(), u32::from(vtype));
        made(asked);
        script.attributes(NEW, vtype, 0);
        request.reply_with::<T>(|reply| *reply.newnode() = NEW)
    });
    // The kernel knows it by the cookie that came back.
    script.file("new", NEW, vtype, 77);
    let stat = script.run(|calls| calls.lstat(&path("new")));
    assert_eq!(stat.map(|stat| (stat.vtype, stat.size)), Ok((vtype, 77)));
    ended.into()
}

/// What requests that make a file have in common.
trait Made {
    fn vtype(&self) -> u32;
    fn newnode(&mut self) -> &mut Cookie;
}

impl Made for time32::Create {
    fn vtype(&self) -> u32 {
        self.va.vtype
    }

    fn newnode(&mut self) -> &mut Cookie {
        &mut self.newnode
    }
}

impl Made for time32::Symlink {
    fn vtype(&self) -> u32 {
        self.va.vtype
    }

    fn newnode(&mut self) -> &mut Cookie {
        &mut self.newnode
    }
}

/// Changes attributes; returns what the server is asked to change them to.
fn set(
    script: &Script,
    change: impl FnOnce(&dyn Calls) -> Result<()> + Send + 'static,
) -> (time32::Vattr, Result<()>) {
    script.file("f", FILE, Vtype::Reg, 4096);
    let call = script.call(change);
    let request = script.next::<vn::Setattr>();
    let va = form::<time32::Attributes>(&request).va;
    script.send(&request.reply_header());
    (va, script.join(call))
}

/// Says nothing.
const UNSET: u32 = VNOVAL as u32;

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    let made = |title, name: &'static str| case(title).args(move |args| kind(name).set_args(args));
    vec![
        case("the attributes of a file").body(|script| {
            script.file("f", FILE, Vtype::Reg, 4096);
            script.allow(Rule::on::<vn::Getattr>().of(FILE).reply(|request| {
                form::<time32::Attributes>(&{ request.clone() });
                let mut reply = crate::attributes(request, Vtype::Reg, 4096);
                let va = &mut reply.get_mut::<time32::Attributes>().va;
                (va.uid, va.gid, va.nlink, va.mode) = (11, 12, 13, 0o641);
                (va.atime.sec, va.atime.nsec) = (-2, 5);
                (va.mtime.sec, va.mtime.nsec) = (i32::MAX, 6);
                (va.ctime.sec, va.ctime.nsec) = (i32::MIN, 7);
                (va.fileid, va.bytes, va.flags) = (1 << 40, 8192, 2);
                reply
            }));
            let stat = match script.run(|calls| calls.stat(&path("f"))) {
                Ok(stat) => stat,
                Err(error) => panic!("stat: {error:?}"),
            };
            assert_eq!((stat.uid, stat.gid, stat.nlink), (11, 12, 13));
            assert_eq!((stat.mode, stat.size, stat.ino), (0o641, 4096, 1 << 40));
            let time = |sec: i32, nsec: i64| i64::from(sec) * 1_000_000_000 + nsec;
            let times = [time(-2, 5), time(i32::MAX, 6), time(i32::MIN, 7)];
            assert_eq!([stat.atime, stat.mtime, stat.ctime], times);
            assert_eq!((stat.blocks, stat.flags), (16, 2));
            Ends::Well
        }),
        case("a name stands for a device").body(|script| {
            script.expect(Rule::on::<vn::Lookup>().reply(|request| {
                let asked: &time32::Lookup = form(request);
                assert_eq!(asked.cn.namelen, 3);
                request.reply_with::<time32::Lookup>(|reply| {
                    reply.newnode = NEW;
                    reply.vtype = Vtype::Chr.into();
                    reply.rdev = 0xfff0_0102;
                })
            }));
            script.attributes(NEW, Vtype::Chr, 0);
            let stat = script.run(|calls| calls.stat(&path("dev")));
            assert_eq!(stat.map(|stat| stat.vtype), Ok(Vtype::Chr));
            Ends::Well
        }),
        made("a file is made", "CREATE").body(|script| {
            let asked = |asked: &time32::Create| assert_eq!(asked.va.mode, 0o644);
            make(script, "CREATE", asked, Vtype::Reg)
        }),
        made("a fifo is made", "MKNOD").body(|script| {
            let asked = |asked: &time32::Create| assert_eq!(asked.cn.namelen, 3);
            make(script, "MKNOD", asked, Vtype::Fifo)
        }),
        made("a device is made", "MKNOD").body(|script| {
            let call = script.call(|calls| calls.mknod(&path("dev"), 0x0102));
            let request = script.next::<vn::Mknod>();
            let va = form::<time32::Create>(&request).va;
            assert_eq!((va.vtype, va.rdev), (Vtype::Chr.into(), 0x0102));
            script.send(&request.reply_error(Errno::EIO.get()));
            assert_eq!(script.join(call), Err(Errno::EIO));
            Ends::Well
        }),
        made("a directory is made", "MKDIR").body(|script| {
            let asked = |asked: &time32::Create| assert_eq!(asked.va.mode, 0o755);
            make(script, "MKDIR", asked, Vtype::Dir)
        }),
        made("a link is made", "SYMLINK").body(|script| {
            let asked = |asked: &time32::Symlink| assert_eq!(&asked.link[..7], b"target\0");
            make(script, "SYMLINK", asked, Vtype::Lnk)
        }),
        made("permissions are changed", "SETATTR").body(|script| {
            let (va, ended) = set(script, |calls| calls.chmod(&path("f"), 0o600));
            assert_eq!((va.mode, va.uid, va.size), (0o600, UNSET, u64::MAX));
            assert_eq!(
                (va.mtime.sec, va.flags, va.rdev),
                (VNOVAL, usize::MAX, UNSET)
            );
            assert_eq!(va.vaflags, 0);
            ended.into()
        }),
        made("times are changed", "SETATTR").body(|script| {
            let (va, ended) = set(script, |calls| {
                let times = [-7, i64::from(i32::MAX)].map(|sec| sec * 1_000_000_000);
                calls.utimes(&path("f"), Some(times), true)
            });
            let times = [va.atime, va.mtime].map(|time| (time.sec, time.nsec));
            assert_eq!(times, [(-7, 0), (i32::MAX, 0)]);
            assert_eq!((va.mode, va.vaflags), (UNSET, 0));
            ended.into()
        }),
        made("times are changed to now", "SETATTR").body(|script| {
            let (va, ended) = set(script, |calls| calls.utimes(&path("f"), None, true));
            assert_eq!(va.vaflags, VA_UTIMES_NULL);
            ended.into()
        }),
        case("a file handle stands for a file").body(|script| {
            let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
            script.allow(Rule::on::<vfs::NodeToFh>().reply(move |request| {
                request.reply_data::<vfs::NodeToFh>(&bytes, |reply| reply.dsize = bytes.len())
            }));
            script.expect(Rule::on::<vfs::FhToNode>().reply(move |request| {
                let asked = request.get::<time32::FhToNode>();
                assert_eq!(asked.dsize, bytes.len());
                let start = size_of::<time32::FhToNode>();
                assert_eq!(request.bytes()[start..], bytes);
                request.reply_with::<time32::FhToNode>(|reply| {
                    reply.fhcookie = FILE;
                    reply.vtype = Vtype::Reg.into();
                    reply.size = 99;
                })
            }));
            script.attributes(FILE, Vtype::Reg, 99);
            let stat = script.run(|calls| {
                let handle = calls.getfh(MNT, 64)?;
                calls.fhstat(&handle)
            });
            assert_eq!(
                stat.map(|stat| (stat.vtype, stat.size)),
                Ok((Vtype::Reg, 99))
            );
            Ends::Well
        }),
        case("a reply in the form of other servers")
            .caller(Ends::With(Errno::EPROTO))
            .told(Told::Complaint(Errno::E2BIG.get()))
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                script.expect(Rule::on::<vn::Lookup>().reply(|request| {
                    assert_eq!(name_of(request), b"f");
                    request.reply_with::<vn::Lookup>(|reply| {
                        reply.newnode = FILE;
                        reply.vtype = Vtype::Reg.into();
                    })
                }));
                script.run(|calls| calls.stat(&path("f"))).into()
            }),
        case("a reply shorter than its form")
            .caller(Ends::With(Errno::EPROTO))
            .told(Told::Complaint(Errno::EPROTO.get()))
            .body(|script| {
                script.expect(
                    Rule::on::<vn::Getattr>()
                        .of(ROOT)
                        .reply(|request| request.reply(size_of::<time32::Attributes>() - 1)),
                );
                script.run(|calls| calls.stat(MNT)).into()
            }),
        case("data has one form")
            .args(|args| kind("READ").set_args(args))
            .body(|script| {
                let kind = kind("READ");
                kind.ask_and(script, |request| {
                    assert_eq!(request.get::<vn::Read>().resid, ROOM);
                    (kind.good)(request)
                })
                .into()
            }),
    ]
}
