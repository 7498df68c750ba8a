//! What the server asks of the kernel beside its replies: flushes, an unmount,
//! and what it says of nodes (setbacks, times to live).

use super::kinds::{done, path, FILE, NEW};
use crate::{
    case::{After, Case, Ends, Told},
    script::{
        ask_for, attributes, errno, flush, found, header, statvfs, Answer, Notice, Rule, Script,
        MNT, ROOT,
    },
    world::{Ability, Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{
        notify::FlushOp, vfs, vn, Cookie, OpClass, Timespec, VnOp, Vtype, KFLAG_CACHE_FS_TTL,
        KFLAG_IAONDEMAND, SETBACK_INACT_N1, SETBACK_INACT_N2, SETBACK_MASK, SETBACK_NOREF_N1,
        SETBACK_NOREF_N2,
    },
    kern::{Errno, Result},
};

const FAMILY: &str = "service";

/// A cookie that no file has.
const NOBODY: Cookie = Cookie(0xdead_0000);
/// The size of a page.
const PAGE: i64 = 4096;
/// The size of `f`.
const SIZE: i64 = 4 * PAGE;
/// The id of every flush here.
const FLUSH: u64 = 4711;
/// `MNT_FORCE`.
const MNT_FORCE: i32 = 0x0008_0000;
/// `SIGINT`.
const SIGINT: i32 = 2;

const NAMES_OF_DIR: FlushOp = FlushOp::InvalNamecacheDir;
const ALL_NAMES: FlushOp = FlushOp::InvalNamecacheAll;
const ONE_NAME: FlushOp = FlushOp::InvalNamecacheNode;
const FORGET_PAGES: FlushOp = FlushOp::InvalPagecacheNodeRange;
const WRITE_PAGES: FlushOp = FlushOp::FlushPagecacheNodeRange;

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [
        refused_flushes(),
        flushes(),
        unmounts(),
        user_unmounts(),
        setbacks(),
        expiries(),
    ]
    .concat()
}

/// Sends a flush and waits for its answer.
fn ask(script: &Script, frame: &Frame) -> i32 {
    let id = frame.req().id;
    script.send(frame);
    match script.notice() {
        Notice::Response(answered, rv) if answered == id => rv,
        other => panic!("{other:?} is no answer to {id}"),
    }
}

fn open(script: &Script) -> Fd {
    script.file("f", FILE, Vtype::Reg, SIZE);
    match script.run(|calls| calls.open(&path("f"), How::default())) {
        Ok(file) => file,
        Err(error) => panic!("open: {error:?}"),
    }
}

fn close(script: &Script, file: Fd) {
    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
}

fn stat(script: &Script, name: &str) -> Result<()> {
    let name = path(name);
    script.run(move |calls| calls.stat(&name)).map(drop)
}

// Flushes.

/// What a server asks to be flushed: a kind of flush, a file, and a range.
type Asked = (FlushOp, Cookie, i64, i64);

fn refused_flushes() -> Vec<Case> {
    let case = |title, variant: &'static str, error: Errno, (op, cookie, start, end): Asked| {
        Case::new(FAMILY, title)
            .variant(variant)
            .told(Told::Response(error.get()))
            .body(move |script| {
                let file = open(script);
                let rv = ask(script, &flush(op.into(), cookie, start, end));
                assert_eq!(rv, error.get());
                close(script, file);
                Ends::Well
            })
    };
    let unknown = |variant, op, cookie| {
        let title = "a flush of a file that the kernel does not know";
        case(title, variant, Errno::ENOENT, (op, cookie, 0, 0))
    };
    let impossible = |variant, op, cookie| {
        let title = "a flush of what the file does not have";
        case(title, variant, Errno::EINVAL, (op, cookie, 0, 0))
    };
    let range = |variant, op, start, end| {
        let title = "a flush of pages that are no range of the file";
        case(title, variant, Errno::EINVAL, (op, FILE, start, end))
    };
    [
        vec![
            unknown("one name", ONE_NAME, NOBODY),
            unknown("the names of a directory", NAMES_OF_DIR, NOBODY),
            unknown("pages to forget", FORGET_PAGES, NOBODY),
            unknown("pages to write back", WRITE_PAGES, NOBODY),
            unknown("the names of no cookie", NAMES_OF_DIR, Cookie::NULL),
            unknown("pages of no cookie", WRITE_PAGES, Cookie::NULL),
            unknown("pages of the last cookie", WRITE_PAGES, Cookie(usize::MAX)),
            impossible("one name", ONE_NAME, FILE),
            impossible("the names of a file", NAMES_OF_DIR, FILE),
            impossible("pages of a directory to forget", FORGET_PAGES, ROOT),
            impossible("pages of a directory to write back", WRITE_PAGES, ROOT),
            range("reversed, to write back", WRITE_PAGES, 2 * PAGE, PAGE),
            range("reversed, to forget", FORGET_PAGES, 2 * PAGE, PAGE),
            range("longer than the file", WRITE_PAGES, 0, SIZE + 1),
            range("as long as can be", WRITE_PAGES, 0, i64::MAX),
            range("as long as can be, to forget", FORGET_PAGES, 0, i64::MAX),
            range("from before the file", WRITE_PAGES, -1, 0),
            range("from the least offset", FORGET_PAGES, i64::MIN, 0),
            range("to before the file", WRITE_PAGES, 0, -1),
            range("empty", WRITE_PAGES, PAGE, PAGE),
        ],
        no_flushes(),
    ]
    .concat()
}

/// Frames of the class of flushes that are none.
fn no_flushes() -> Vec<Case> {
    let case = |title, variant: &'static str, make: fn() -> Frame| {
        Case::new(FAMILY, title)
            .variant(variant)
            .told(Told::Response(Errno::EINVAL.get()))
            .body(move |script| {
                assert_eq!(ask(script, &make()), Errno::EINVAL.get());
                Ends::Well
            })
    };
    let (kind, length) = (
        "a flush of an unknown kind",
        "a flush is not as long as one",
    );
    let whole = || flush(ALL_NAMES.into(), ROOT, 0, 0);
    fn resized(change: isize) -> Frame {
        let mut frame = flush(ALL_NAMES.into(), ROOT, 0, 0);
        frame.resize(frame.len().saturating_add_signed(change));
        frame
    }
    debug_assert_eq!(resized(0).bytes(), whole().bytes());
    vec![
        case(kind, "-1", || flush(-1, ROOT, 0, 0)),
        case(kind, "5", || flush(5, ROOT, 0, 0)),
        case(kind, "the last", || flush(i32::MAX, ROOT, 0, 0)),
        case(length, "a byte less", || resized(-1)),
        case(length, "a byte more", || resized(1)),
        case(length, "a header", || {
            header(OpClass::Flush.into(), 0, FLUSH)
        }),
    ]
}

fn flushes() -> Vec<Case> {
    let names = |variant: &'static str, op: FlushOp| {
        Case::new(FAMILY, "names are forgotten")
            .variant(variant)
            .told(Told::Response(0))
            .body(move |script| {
                script.file("f", FILE, Vtype::Reg, SIZE);
                for _ in 0..2 {
                    assert_eq!(stat(script, "f"), Ok(()));
                }
                assert_eq!(script.count::<vn::Lookup>(), 1, "the name is kept");
                assert_eq!(ask(script, &flush(op.into(), ROOT, 0, 0)), 0);
                let ends = stat(script, "f").into();
                assert_eq!(script.count::<vn::Lookup>(), 2, "the name is forgotten");
                ends
            })
    };
    let pages = |variant: &'static str, op: FlushOp, is_open: bool| {
        Case::new(FAMILY, "pages are flushed that are clean")
            .variant(variant)
            .told(Told::Response(0))
            .body(move |script| {
                let file = open(script);
                if !is_open {
                    close(script, file);
                }
                for (start, end) in [(0, 0), (0, SIZE), (PAGE, 0), (1, 2)] {
                    assert_eq!(ask(script, &flush(op.into(), FILE, start, end)), 0);
                }
                if is_open {
                    close(script, file);
                }
                Ends::Well
            })
    };
    vec![
        names("of a directory", NAMES_OF_DIR),
        names("all", ALL_NAMES),
        pages("of an open file, written back", WRITE_PAGES, true),
        pages("of an open file, forgotten", FORGET_PAGES, true),
        pages("of a closed file, written back", WRITE_PAGES, false),
        pages("of a closed file, forgotten", FORGET_PAGES, false),
        forgotten_pages(),
        Case::new(FAMILY, "dirty pages are written back")
            .told(Told::Response(0))
            .args(|args| ask_for(args, &[VnOp::Read, VnOp::Write]))
            .body(|script| {
                serve_pages(script);
                script.file("f", FILE, Vtype::Reg, PAGE);
                let how = How::WRITE;
                let file = match script.run(move |calls| calls.open(&path("f"), how)) {
                    Ok(file) => file,
                    Err(error) => panic!("open: {error:?}"),
                };
                let data = [3; PAGE as usize];
                let written = script.run(move |calls| calls.write(file, 0, &data));
                assert_eq!(written, Ok(data.len()));
                assert_eq!(ask(script, &flush(WRITE_PAGES.into(), FILE, 0, 0)), 0);
                script.until("the page", || script.count::<vn::Write>() == 1);
                close(script, file);
                Ends::Well
            }),
        Case::new(FAMILY, "a hundred flushes are answered in their order")
            .told(Told::Response(0))
            .body(|script| {
                for id in 0..100 {
                    let mut flush = flush(ALL_NAMES.into(), ROOT, 0, 0);
                    flush.req_mut().id = id;
                    script.send(&flush);
                }
                for id in 0..100 {
                    assert_eq!(script.notice(), Notice::Response(id, 0));
                }
                Ends::Well
            }),
        Case::new(FAMILY, "a flush of a directory that a caller has locked")
            .told(Told::Response(0))
            .body(|script| {
                let call = script.call(|calls| calls.stat(MNT));
                let request = script.next::<vn::Getattr>();
                assert_eq!(ask(script, &flush(NAMES_OF_DIR.into(), ROOT, 0, 0)), 0);
                script.send(&attributes(&request, Vtype::Dir, 5));
                script.join(call).into()
            }),
    ]
}

/// A server that reads and writes pages well.
fn serve_pages(script: &Script) {
    script.allow(Rule::on::<vn::Setattr>().answer(done));
    script.allow(Rule::on::<vn::Read>().reply(|request| {
        let asked = request.get::<vn::Read>().resid;
        request.reply_data::<vn::Read>(&vec![7; asked], |reply| reply.resid = 0)
    }));
    script.allow(
        Rule::on::<vn::Write>()
            .reply(|request| request.reply_with::<vn::Write>(|reply| reply.resid = 0)),
    );
}

fn forgotten_pages() -> Case {
    Case::new(FAMILY, "pages are forgotten and read again")
        .told(Told::Response(0))
        .args(|args| ask_for(args, &[VnOp::Read]))
        .body(|script| {
            serve_pages(script);
            script.file("f", FILE, Vtype::Reg, PAGE);
            script.attributes(FILE, Vtype::Reg, PAGE);
            let file = match script.run(|calls| calls.open(&path("f"), How::default())) {
                Ok(file) => file,
                Err(error) => panic!("open: {error:?}"),
            };
            let read = || script.run(move |calls| calls.read(file, 0, 100)).map(drop);
            assert_eq!((read(), read()), (Ok(()), Ok(())));
            assert_eq!(script.count::<vn::Read>(), 1, "the page is kept");
            assert_eq!(ask(script, &flush(FORGET_PAGES.into(), FILE, 0, 0)), 0);
            let ends = read().into();
            assert_eq!(script.count::<vn::Read>(), 2, "the page is forgotten");
            close(script, file);
            ends
        })
}

// Unmounts.

fn unmount_request(id: u64) -> Frame {
    header(OpClass::Unmount.into(), 0, id)
}

fn unmounts() -> Vec<Case> {
    let gone = |script: &Script| script.until("the mount to go", || !script.is_mounted());
    vec![
        Case::new(FAMILY, "the server asks to be unmounted")
            .told(Told::Response(0))
            .after(After::ComesDown)
            .body(move |script| {
                // It is asked in turn.
                script.expect(Rule::on::<vfs::Unmount>().reply(|request| {
                    let flags = request.get::<vfs::Unmount>().flags;
                    assert_ne!(flags & MNT_FORCE, 0, "by force");
                    request.reply_header()
                }));
                assert_eq!(ask(script, &unmount_request(12)), 0);
                gone(script);
                Ends::Well
            }),
        Case::new(FAMILY, "the server asks to be unmounted, and refuses")
            .told(Told::Response(0))
            .after(After::ComesDown)
            .body(move |script| {
                script.allow(
                    Rule::on::<vfs::Unmount>()
                        .reply(|request| request.reply_error(Errno::EBUSY.get())),
                );
                assert_eq!(ask(script, &unmount_request(12)), 0);
                gone(script);
                Ends::Well
            }),
        Case::new(
            FAMILY,
            "the server asks to be unmounted while a file is open",
        )
        .told(Told::Response(0))
        .after(After::ComesDown)
        .body(move |script| {
            let file = open(script);
            assert_eq!(ask(script, &unmount_request(12)), 0);
            gone(script);
            close(script, file);
            Ends::Well
        }),
        Case::new(FAMILY, "the server asks to be unmounted twice")
            .told(Told::As("success, then at most ENXIO"))
            .after(After::ComesDown)
            .body(move |script| {
                script.send(&unmount_request(12));
                // The first one may have done its work by now.
                let _ = script.try_send(&unmount_request(13));
                gone(script);
                assert_eq!(script.count::<vfs::Unmount>(), 1);
                let told = script.told();
                let (first, second) = (
                    Notice::Response(12, 0),
                    Notice::Response(13, Errno::ENXIO.get()),
                );
                assert!(told.contains(&first), "{told:?}");
                assert!(
                    told.iter()
                        .all(|notice| *notice == first || *notice == second),
                    "{told:?}"
                );
                Ends::Well
            }),
        Case::new(
            FAMILY,
            "the server asks to be unmounted while a user unmounts",
        )
        .told(Told::As("success, or ENXIO, or nothing"))
        .after(After::ComesDown)
        .body(|script| {
            script.allow(Rule::on::<vfs::Unmount>().answer(|_| Answer::Later));
            let user = script.world.process("umount");
            let call = script.call_as(&user, |calls| calls.unmount(MNT, false));
            script.wait_held(1);
            script.send(&unmount_request(12));
            while let Some(request) = script.held() {
                script.send(&request.reply_header());
            }
            let ends = script.join(call).into();
            for notice in script.told() {
                let fits = [0, Errno::ENXIO.get()].map(|rv| Notice::Response(12, rv));
                assert!(fits.contains(&notice), "{notice:?}");
            }
            ends
        }),
        Case::new(FAMILY, "the server asks to be unmounted and dies")
            .told(Told::As("success, or nothing"))
            .after(After::ComesDown)
            .body(|script| {
                script.send(&unmount_request(12));
                script.die();
                Ends::Well
            }),
        Case::new(FAMILY, "the server dies with flushes on the queue")
            .told(Told::As("nothing, for it is dead"))
            .after(After::ComesDown)
            .body(|script| {
                for nth in 0..20 {
                    let op = FlushOp::ALL[nth % FlushOp::ALL.len()];
                    script.send(&flush(op.into(), ROOT, 0, 0));
                }
                script.die();
                Ends::Well
            }),
    ]
}

/// A user unmounts.
fn user_unmounts() -> Vec<Case> {
    let refused = |variant: &'static str, error: Errno| {
        Case::new(FAMILY, "a user unmounts, and the server refuses")
            .variant(variant)
            .caller(Ends::With(error))
            .body(move |script| {
                script.allow(
                    Rule::on::<vfs::Unmount>()
                        .times(1)
                        .reply(move |request| request.reply_error(error.get())),
                );
                script.unmount(false).into()
            })
    };
    vec![
        refused("with EBUSY", Errno::EBUSY),
        refused("with EIO", Errno::EIO),
        Case::new(FAMILY, "a user unmounts by force, and the server refuses")
            .after(After::ComesDown)
            .body(|script| {
                script.expect(
                    Rule::on::<vfs::Unmount>()
                        .reply(|request| request.reply_error(Errno::EBUSY.get())),
                );
                script.unmount(true).into()
            }),
        Case::new(FAMILY, "a user unmounts while a file is open")
            .caller(Ends::With(Errno::EBUSY))
            .body(|script| {
                let file = open(script);
                let ends = script.unmount(false).into();
                assert_eq!(script.count::<vfs::Unmount>(), 0, "the server is not asked");
                close(script, file);
                ends
            }),
        Case::new(FAMILY, "a user unmounts by force while a file is open")
            .after(After::ComesDown)
            .body(|script| {
                let file = open(script);
                let ends = script.unmount(true).into();
                close(script, file);
                ends
            }),
    ]
}

// Setbacks.

fn with_setbacks(mut reply: Frame, setbacks: u32) -> Frame {
    reply.req_mut().setbacks = setbacks;
    reply
}

/// Mounts on which the kernel tells of nodes that nobody uses, where the
/// server wants it.
fn tells(case: Case) -> Case {
    case.args(|args| {
        args.flags |= KFLAG_IAONDEMAND;
        ask_for(args, &[VnOp::Inactive, VnOp::Reclaim, VnOp::Remove]);
    })
}

fn setbacks() -> Vec<Case> {
    let on_stat = |title, setbacks: u32, inactive: usize, reclaim: usize| {
        tells(Case::new(FAMILY, title)).body(move |script| {
            script.file("f", FILE, Vtype::Reg, 0);
            script.allow(
                Rule::on::<vn::Getattr>()
                    .of(FILE)
                    .times(1)
                    .reply(move |request| {
                        with_setbacks(attributes(request, Vtype::Reg, 0), setbacks)
                    }),
            );
            told_of_end(script, FILE, inactive, reclaim);
            let ends = stat(script, "f").into();
            ended(script, inactive, reclaim);
            ends
        })
    };
    let on_unlink = |title, setbacks: u32, inactive: usize, reclaim: usize| {
        tells(Case::new(FAMILY, title)).body(move |script| {
            script.file("f", FILE, Vtype::Reg, 0);
            script.allow(
                Rule::on::<vn::Remove>()
                    .times(1)
                    .reply(move |request| with_setbacks(request.reply_header(), setbacks)),
            );
            told_of_end(script, FILE, inactive, reclaim);
            let ends = script.run(|calls| calls.unlink(&path("f"))).into();
            ended(script, inactive, reclaim);
            ends
        })
    };
    vec![
        on_stat("no setback: nothing is told of the node", 0, 0, 0),
        on_stat(
            "the server wants to know when the node is not used",
            SETBACK_INACT_N1,
            1,
            0,
        ),
        on_stat("the node has no links", SETBACK_NOREF_N1, 0, 1),
        on_stat(
            "the node has no links, and the server wants to know when it is not used",
            SETBACK_INACT_N1 | SETBACK_NOREF_N1,
            1,
            1,
        ),
        on_stat(
            "setbacks of a second node where there is none",
            SETBACK_INACT_N2 | SETBACK_NOREF_N2,
            0,
            0,
        ),
        on_stat("setbacks that are none", !SETBACK_MASK, 0, 0),
        on_stat("every setback, and some that are none", !0, 1, 1),
        on_unlink(
            "the server wants to know when the second node is not used",
            SETBACK_INACT_N2,
            1,
            0,
        ),
        on_unlink("the second node has no links", SETBACK_NOREF_N2, 0, 1),
        Case::new(FAMILY, "setbacks where there is no node").body(|script| {
            let call = script.call(|calls| calls.statvfs(MNT));
            let request = script.next::<vfs::Statvfs>();
            script.send(&with_setbacks(statvfs(&request, 5), !0));
            assert_eq!(script.join(call).map(|room| room.bfree), Ok(5));
            Ends::Well
        }),
        Case::new(FAMILY, "the root has no links").body(|script| {
            script.allow(
                Rule::on::<vn::Getattr>()
                    .of(ROOT)
                    .times(1)
                    .reply(|request| {
                        with_setbacks(attributes(request, Vtype::Dir, 5), SETBACK_NOREF_N1)
                    }),
            );
            script.run(|calls| calls.stat(MNT)).into()
        }),
        tells(Case::new(FAMILY, "setbacks with an errno"))
            .caller(Ends::With(Errno::EIO))
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                script.allow(
                    Rule::on::<vn::Getattr>()
                        .of(FILE)
                        .times(1)
                        .reply(|request| {
                            with_setbacks(request.reply_error(Errno::EIO.get()), SETBACK_NOREF_N1)
                        }),
                );
                told_of_end(script, FILE, 0, 1);
                let ends = stat(script, "f").into();
                ended(script, 0, 1);
                ends
            }),
        tells(Case::new(FAMILY, "setbacks in a reply whose caller left"))
            .needs(Ability::Signals)
            .caller(Ends::With(Errno::EINTR))
            .body(|script| {
                script.file("f", FILE, Vtype::Reg, 0);
                let call = script.call(|calls| calls.stat(&path("f")));
                let request = script.next::<vn::Getattr>();
                call.signal(SIGINT);
                let ends = script.join(call).into();
                let reply = attributes(&request, Vtype::Reg, 0);
                script.send(&with_setbacks(reply, !0));
                ended(script, 0, 0);
                ends
            }),
    ]
}

/// The kernel will tell so often that a node is not used, and that it is gone;
/// what it knows of its times goes to the server before.
fn told_of_end(script: &Script, cookie: Cookie, inactive: usize, reclaim: usize) {
    script.allow(
        Rule::on::<vn::Inactive>()
            .of(cookie)
            .times(inactive)
            .reply(Frame::reply_header),
    );
    script.allow(Rule::on::<vn::Reclaim>().of(cookie).times(reclaim));
    script.allow(Rule::on::<vn::Setattr>().answer(done));
}

/// The kernel told so often. What comes later is of the unmount.
fn ended(script: &Script, inactive: usize, reclaim: usize) {
    script.until("the end of the node", || {
        script.count::<vn::Inactive>() >= inactive && script.count::<vn::Reclaim>() >= reclaim
    });
    script.settle();
    let count = (
        script.count::<vn::Inactive>(),
        script.count::<vn::Reclaim>(),
    );
    assert_eq!(count, (inactive, reclaim), "INACTIVE and RECLAIM");
    script.allow(Rule::on::<vn::Reclaim>());
    script.allow(Rule::on::<vn::Inactive>().reply(Frame::reply_header));
}

// Times to live.

fn expiries() -> Vec<Case> {
    let ttl = |case: Case| {
        case.args(|args| {
            args.flags |= KFLAG_CACHE_FS_TTL;
            ask_for(args, &[VnOp::Reclaim]);
        })
    };
    vec![
        ttl(Case::new(FAMILY, "a name that holds no time")).body(|script| {
            script.file("f", FILE, Vtype::Reg, 0);
            script.allow(Rule::on::<vn::Reclaim>());
            let ends = stat(script, "f").into();
            script.until("the node to go", || script.count::<vn::Reclaim>() == 1);
            ends
        }),
        ttl(Case::new(FAMILY, "fifty names that hold for ever")).body(|script| {
            script.allow(Rule::on::<vn::Reclaim>());
            script.allow(Rule::on::<vn::Lookup>().of(ROOT).reply(|request| {
                let name = crate::name_of(request);
                let nth = name
                    .iter()
                    .fold(0, |nth, digit| nth * 16 + usize::from(digit & 15));
                let mut reply = found(request, Cookie(NEW.0 + nth), Vtype::Fifo, 0);
                reply.get_mut::<vn::Lookup>().cn_ttl = Timespec {
                    sec: i64::MAX,
                    nsec: 0,
                };
                reply
            }));
            script.allow(
                Rule::on::<vn::Getattr>().reply(|request| attributes(request, Vtype::Fifo, 0)),
            );
            script.attributes(ROOT, Vtype::Dir, 512);
            let outcome = script.run(|calls| {
                (10..60).try_for_each(|nth| calls.stat(&path(&nth.to_string())).map(drop))
            });
            assert_eq!(errno(&outcome), None);
            assert_eq!(script.count::<vn::Reclaim>(), 0, "they are kept");
            Ends::Well
        }),
    ]
}
