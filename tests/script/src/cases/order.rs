//! In what order requests come, if the kernel has just forgotten many files.

use super::kinds::{path, FILE, NEW, ROOM};
use crate::{
    case::{After, Case, Ends},
    script::{ask_for, attributes, found, Rule, Script, MNT},
    world::{Calls, Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{
        vfs, vn, Cookie, Message, VnOp, Vtype, KFLAG_CACHE_FS_TTL, KFLAG_NOCACHE_PAGE,
        SETBACK_NOREF_N1,
    },
    kern::Result,
};

const FAMILY: &str = "order";

/// How many files are forgotten.
const MANY: usize = 50;

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [overtakers(), in_order()].concat()
}

/// A mount whose server is told of files that the kernel forgets.
fn case(title: &'static str, variant: &'static str) -> Case {
    Case::new(FAMILY, title).variant(variant).args(|args| {
        args.flags |= KFLAG_NOCACHE_PAGE | KFLAG_CACHE_FS_TTL;
        ask_for(args, &[VnOp::Read, VnOp::Reclaim]);
    })
}

/// Has the kernel forget many files while the server reads nothing: each has a
/// RECLAIM on the queue. One file stays open.
///
/// Their names hold no time, so that nobody keeps them who does not use them.
fn forget(script: &Script, setbacks: u32) -> Fd {
    script.file("f", FILE, Vtype::Reg, ROOM as i64);
    script.attributes(FILE, Vtype::Reg, ROOM as i64);
    for nth in 0..MANY {
        let cookie = Cookie(NEW.0 + nth);
        script.file(&nth.to_string(), cookie, Vtype::Reg, 0);
        script.allow(Rule::on::<vn::Getattr>().of(cookie).reply(move |request| {
            let mut reply = attributes(request, Vtype::Reg, 0);
            reply.req_mut().setbacks = setbacks;
            reply
        }));
    }
    script.allow(Rule::on::<vn::Reclaim>());
    let opened: Result<_> = script.run(|calls| {
        let open = |nth: usize| {
            let file = calls.open(&path(&nth.to_string()), How::READ)?;
            calls.fstat(file).map(|_| file)
        };
        let kept = calls.open(&path("f"), How::READ)?;
        let files: Result<Vec<_>> = (0..MANY).map(open).collect();
        Ok((kept, files?))
    });
    let (kept, files) = match opened {
        Ok(opened) => opened,
        Err(error) => panic!("open: {error:?}"),
    };
    assert_eq!(script.count::<vn::Reclaim>(), 0);
    let close = move |calls: &dyn Calls| files.into_iter().try_for_each(|file| calls.close(file));
    let closing = script.call(close);
    assert_eq!(script.join_aside(closing), Ok(()));
    script.wait_queued(MANY);
    kept
}

/// Has somebody make a call, which a request of type `T` is for, after the kernel forgot
/// many files. Returns how many RECLAIMs came before it.
fn before<T: Message>(
    script: &Script,
    setbacks: u32,
    call: fn(&dyn Calls, Fd) -> Result<()>,
    reply: fn(&Frame) -> Frame,
) -> (usize, Ends) {
    let file = forget(script, setbacks);
    let asking = script.call(move |calls| call(calls, file));
    script.wait_queued(MANY + 1);
    let request = script.next::<T>();
    let before = script.count::<vn::Reclaim>();
    script.send(&reply(&request));
    let ended = script.join(asking);
    script.until("the rest to come", || script.count::<vn::Reclaim>() >= MANY);
    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
    (before, ended.into())
}

fn overtakers() -> Vec<Case> {
    const TITLE: &str = "a request comes before the RECLAIMs of files that were forgotten";
    vec![
        case(TITLE, "GETATTR").body(|script| {
            let (before, ends) = before::<vn::Getattr>(
                script,
                0,
                |calls, file| calls.fstat(file).map(drop),
                |request| attributes(request, Vtype::Reg, ROOM as i64),
            );
            assert_eq!(before, 0);
            ends
        }),
        case(TITLE, "READ").body(|script| {
            let (before, ends) = before::<vn::Read>(
                script,
                0,
                |calls, file| {
                    let data = calls.read(file, 0, ROOM)?;
                    assert_eq!(data, [7; ROOM]);
                    Ok(())
                },
                |request| request.reply_data::<vn::Read>(&[7; ROOM], |reply| reply.resid = 0),
            );
            assert_eq!(before, 0);
            ends
        }),
        case(TITLE, "STATVFS").body(|script| {
            let (before, ends) = before::<vfs::Statvfs>(
                script,
                0,
                |calls, _| calls.statvfs(MNT).map(drop),
                |request| crate::statvfs(request, 5),
            );
            assert_eq!(before, 0);
            ends
        }),
    ]
}

fn in_order() -> Vec<Case> {
    vec![
        case(
            "a request whose reply may name a file again comes after its RECLAIM",
            "LOOKUP",
        )
        .body(|script| {
            let (before, ends) = before::<vn::Lookup>(
                script,
                0,
                |calls, _| calls.stat(&path("again")).map(drop),
                |request| found(request, NEW, Vtype::Reg, 0),
            );
            assert_eq!(before, MANY);
            ends
        }),
        case(
            "a request comes after the RECLAIMs of files that had no links",
            "STATVFS",
        )
        .body(|script| {
            let (before, ends) = before::<vfs::Statvfs>(
                script,
                SETBACK_NOREF_N1,
                |calls, _| calls.statvfs(MNT).map(drop),
                |request| crate::statvfs(request, 5),
            );
            assert_eq!(before, MANY);
            ends
        }),
        case("an unmount comes after the RECLAIMs", "UNMOUNT")
            .after(After::ComesDown)
            .body(|script| {
                let file = forget(script, 0);
                let closing = script.call(move |calls| calls.close(file));
                assert_eq!(script.join_aside(closing), Ok(()));
                let umount = script.call(|calls| calls.unmount(MNT, false));
                let request = script.next::<vfs::Unmount>();
                // That of the file which was open is among them.
                assert_eq!(script.count::<vn::Reclaim>(), MANY + 1);
                script.send(&request.reply_header());
                script.join(umount).into()
            }),
    ]
}
