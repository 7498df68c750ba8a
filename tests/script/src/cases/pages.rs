//! Pages: reads and writes of the page cache.
//!
//! The kernel reads and writes whole pages, and may read more of them than
//! were asked for, whenever it likes. So what the server does about a page it
//! does as often as it comes.

use super::kinds::{done, path, FILE};
use crate::{
    case::{After, Case, Ends, Told},
    script::{ask_for, Answer, Rule, Script},
    world::{Fd, How},
    Frame,
};
use puffs_rs::{
    abi::{vn, Cookie, Payload, VnOp, Vtype, KFLAG_WTCACHE},
    kern::{Errno, Result},
};
use std::time::Duration;

const FAMILY: &str = "pages";

/// The size of a page.
const PAGE: usize = 4096;
/// More than one message holds.
const MANY: usize = 1 << 18;
/// Stale NFS file handle.
const ESTALE: i32 = 70;
/// How many files are in use when the server dies.
const FILES: usize = 4;

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [reads(), writes(), unmounts(), deaths()].concat()
}

fn case(title: &'static str, rows: &'static [u8], ends: Ends, told: Told) -> Case {
    Case::new(FAMILY, title)
        .rows(rows)
        .caller(ends)
        .told(told)
        .args(|args| ask_for(args, &[VnOp::Read, VnOp::Write]))
}

fn refused(complaint: Errno) -> (Ends, Told) {
    (
        Ends::With(Errno::EPROTO),
        Told::Complaint(Errno::get(complaint)),
    )
}

/// What there is beside the pages in question: reads succeed, and so do
/// changes of what the kernel knows better than the server.
fn serve(script: &Script, cookie: Cookie) {
    script.allow(Rule::on::<vn::Setattr>().answer(done));
    script.allow(Rule::on::<vn::Read>().of(cookie).reply(all));
}

fn open(script: &Script, name: &str, write: bool) -> Fd {
    let name = path(name);
    let how = How { write, ..How::READ };
    match script.run(move |calls| calls.open(&name, how)) {
        Ok(file) => file,
        Err(error) => panic!("open: {error:?}"),
    }
}

fn close(script: &Script, file: Fd) {
    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
}

/// How much a read wants, or a write has.
fn asked(request: &Frame) -> usize {
    if request.is::<vn::Write>() {
        request.get::<vn::Write>().resid
    } else {
        request.get::<vn::Read>().resid
    }
}

/// Success: so much data, and so much is said to be missing.
fn data(request: &Frame, has: usize, missing: usize) -> Frame {
    let mut reply = request.reply_data::<vn::Read>(&vec![7; has], |reply| reply.resid = missing);
    reply.resize(vn::Read::DATA + has);
    reply
}

/// All that a read wants.
fn all(request: &Frame) -> Frame {
    data(request, asked(request), 0)
}

// Reads.

fn reads() -> Vec<Case> {
    let refused_read = |variant: &'static str, complaint: Errno, reply: fn(&Frame) -> Frame| {
        let (ends, told) = refused(complaint);
        case("a page is read, and what comes is none", &[3], ends, told)
            .variant(variant)
            .body(move |script| read_badly(script, reply))
    };
    let short = |variant: &'static str, has: usize, behind: usize| {
        case(
            "a page is read, and the server has only the start of it",
            &[3],
            Ends::As("the start, then zeroes"),
            Told::Nothing,
        )
        .variant(variant)
        .body(move |script| {
            let reply = move |request: &Frame| data(request, has + behind, asked(request) - has);
            let mut expected = vec![7; has];
            expected.resize(PAGE, 0);
            assert_eq!(read_once(script, reply), Ok(expected));
            Ends::As("the start, then zeroes")
        })
    };
    vec![
        case("a page is read", &[], Ends::Well, Told::Nothing).body(|script| {
            assert_eq!(read_once(script, all), Ok(vec![7; PAGE]));
            Ends::Well
        }),
        refused_read("a header", Errno::EPROTO, Frame::reply_header),
        refused_read("less than it says", Errno::EPROTO, |request| {
            data(request, 10, 0)
        }),
        refused_read("nothing, and it says all", Errno::EPROTO, |request| {
            data(request, 0, 0)
        }),
        refused_read("more than was asked for", Errno::E2BIG, |request| {
            data(request, request.req().buflen, 0)
        }),
        refused_read("more left than was asked for", Errno::E2BIG, |request| {
            data(request, 10, asked(request) + 1)
        }),
        short("100 bytes", 100, 0),
        short("all but a byte", PAGE - 1, 0),
        short("nothing", 0, 0),
        // libpuffs counts the data from the end of what C calls the struct, and
        // sends what lies behind it.
        short("100 bytes in a longer frame", 100, 4),
        short("nothing in a longer frame", 0, 4),
        case(
            "a page is read, and that fails",
            &[],
            Ends::With(Errno::EIO),
            Told::Nothing,
        )
        .body(|script| read_badly(script, |request| request.reply_error(Errno::EIO.get()))),
        case(
            "a page is read, and that fails with an errno that is none",
            &[],
            Ends::With(Errno::EPROTO),
            Told::Complaint(1000),
        )
        .body(|script| read_badly(script, |request| request.reply_error(1000))),
    ]
}

/// Reads a page that is answered so.
fn read_once(script: &Script, reply: impl FnMut(&Frame) -> Frame + 'static) -> Result<Vec<u8>> {
    script.file("f", FILE, Vtype::Reg, PAGE as i64);
    serve(script, FILE);
    script.allow(Rule::on::<vn::Read>().of(FILE).reply(reply));
    let file = open(script, "f", false);
    let read = script.run(move |calls| calls.read(file, 0, PAGE));
    close(script, file);
    read
}

/// The same, and reads it again when the server is back to its senses: of
/// what came first nothing was kept.
fn read_badly(script: &Script, reply: fn(&Frame) -> Frame) -> Ends {
    let ends = read_once(script, reply).into();
    script.allow(Rule::on::<vn::Read>().of(FILE).reply(all));
    let file = open(script, "f", false);
    let again = script.run(move |calls| calls.read(file, 0, PAGE));
    assert_eq!(again, Ok(vec![7; PAGE]));
    close(script, file);
    ends
}

// Writes.

fn writes() -> Vec<Case> {
    let written = |title, variant: &'static str, (ends, told), reply: fn(&Frame) -> Frame| {
        case(title, &[6], ends, told)
            .variant(variant)
            .body(move |script| write(script, reply).into())
    };
    let failed = "a page is written back, and that fails";
    let broken = "a page is written back, and the answer is none";
    let io_error = (Ends::With(Errno::EIO), Told::Nothing);
    let through = |title| {
        case(title, &[], Ends::Well, Told::Nothing).args(|args| {
            let more = [VnOp::Read, VnOp::Write, VnOp::Setattr, VnOp::Fsync];
            ask_for(args, &more);
            args.flags |= KFLAG_WTCACHE;
        })
    };
    vec![
        case("a page is written back", &[], Ends::Well, Told::Nothing).body(|script| {
            write(script, |request| {
                assert_eq!(request.get::<vn::Write>().offset, 0);
                assert_eq!(request.payload::<vn::Write>(0)[..PAGE], [3; PAGE]);
                taken(request)
            })
            .into()
        }),
        through("a file is cut off within a page that is being written through").body(cut),
        through("a file is stored while it is written through").body(store),
        written(failed, "with EIO", io_error, |request| {
            request.reply_error(Errno::EIO.get())
        }),
        written(failed, "in part", io_error, |request| {
            request.reply_with::<vn::Write>(|reply| reply.resid = 96)
        }),
        written(failed, "wholly", io_error, |request| {
            request.reply_with::<vn::Write>(|reply| reply.resid = PAGE)
        }),
        written(
            broken,
            "a header",
            refused(Errno::EPROTO),
            Frame::reply_header,
        ),
        written(
            broken,
            "more left than there was",
            refused(Errno::E2BIG),
            |request| request.reply_with::<vn::Write>(|reply| reply.resid = PAGE + 1),
        ),
        written(
            broken,
            "longer than the request",
            refused(Errno::E2BIG),
            |request| request.reply(request.req().buflen + 8),
        ),
        written(
            broken,
            "an errno that is none",
            (Ends::With(Errno::EPROTO), Told::Complaint(200)),
            |request| request.reply_error(200),
        ),
    ]
}

/// Writes a page.
fn write_page(script: &Script, file: Fd) {
    let written = script.run(move |calls| calls.write(file, 0, &[3; PAGE]));
    assert_eq!(written, Ok(PAGE));
}

/// Success: all of the page is written.
fn taken(request: &Frame) -> Frame {
    request.reply_with::<vn::Write>(|reply| reply.resid = 0)
}

/// A file whose pages are written through, to a server that takes its time.
fn open_slow(script: &Script) -> Fd {
    script.file("f", FILE, Vtype::Reg, PAGE as i64);
    serve(script, FILE);
    let writes = Rule::on::<vn::Write>().of(FILE);
    script.allow(writes.answer(|_| Answer::Later));
    open(script, "f", true)
}

/// Writes a page, which the server has then and does not answer. Returns its answer.
fn begin_write(script: &Script, file: Fd) -> Frame {
    write_page(script, file);
    script.wait_held(1);
    taken(&script.held().expect("a request that is held"))
}

/// Cuts a file off within a page that is just being written, and makes it longer
/// again: what was behind the cut is asked for, again and again.
fn cut(script: &Script) -> Ends {
    const ROUNDS: usize = 50;
    let file = open_slow(script);
    for nth in 0..ROUNDS {
        let reply = begin_write(script, file);
        let cut = script.call(move |calls| {
            calls.ftruncate(file, 100)?;
            calls.ftruncate(file, PAGE as i64)
        });
        script.settle();
        script.send(&reply);
        assert_eq!(script.join(cut), Ok(()));
        let read = script.run(move |calls| calls.read(file, 100, PAGE));
        assert!(read == Ok(vec![7; PAGE - 100]), "the {nth}th time");
    }
    close(script, file);
    Ends::Well
}

/// Has a file stored while a page is being written: the server is told when it has
/// the page.
fn store(script: &Script) -> Ends {
    let file = open_slow(script);
    let reply = begin_write(script, file);
    let synced = script.call(move |calls| calls.fsync(file));
    std::thread::sleep(Duration::from_millis(100));
    script.settle();
    assert_eq!(script.count::<vn::Fsync>(), 0);
    script.expect(Rule::on::<vn::Fsync>().of(FILE).answer(done));
    script.send(&reply);
    assert_eq!(script.join(synced), Ok(()));
    close(script, file);
    Ends::Well
}

/// Writes a page and has it written back.
fn write(script: &Script, reply: fn(&Frame) -> Frame) -> Result<()> {
    script.file("f", FILE, Vtype::Reg, PAGE as i64);
    serve(script, FILE);
    script.allow(Rule::on::<vn::Write>().of(FILE).reply(reply));
    let file = open(script, "f", true);
    write_page(script, file);
    let synced = script.run(move |calls| calls.fsync(file));
    close(script, file);
    synced
}

/// A dirty file is written back by an unmount, and what the server says of it
/// then.
fn unmounts() -> Vec<Case> {
    let unmount = |variant: &'static str, errno: i32, caller: Ends, after: After| {
        case(
            "an unmount has a dirty file stored",
            &[],
            caller,
            Told::Nothing,
        )
        .variant(variant)
        .args(|args| ask_for(args, &[VnOp::Write, VnOp::Fsync]))
        .after(after)
        .body(move |script| {
            script.file("f", FILE, Vtype::Reg, PAGE as i64);
            serve(script, FILE);
            script.allow(Rule::on::<vn::Write>().of(FILE).reply(taken));
            let file = open(script, "f", true);
            write_page(script, file);
            close(script, file);
            script.expect(
                Rule::on::<vn::Fsync>()
                    .of(FILE)
                    .reply(move |request| request.reply_error(errno)),
            );
            script.unmount(false).into()
        })
    };
    let eio = Errno::EIO.get();
    vec![
        unmount("well", 0, Ends::Well, After::ComesDown),
        unmount("and that fails", eio, Ends::With(Errno::EIO), After::GoesOn),
        // It was removed, or something was renamed over it, and the server
        // knows files by their names.
        unmount(
            "and it is not there any more",
            Errno::ENOENT.get(),
            Ends::Well,
            After::ComesDown,
        ),
        unmount(
            "and its handle is stale",
            ESTALE,
            Ends::Well,
            After::ComesDown,
        ),
    ]
}

// The end of the server.

fn deaths() -> Vec<Case> {
    vec![
        case(
            "the server dies with reads of pages outstanding",
            &[13],
            Ends::With(Errno::ENXIO),
            Told::Nothing,
        )
        .after(After::ComesDown)
        .body(|script| die_under(script, false)),
        case(
            "the server dies with writes of pages outstanding",
            &[13],
            Ends::With(Errno::ENXIO),
            Told::Nothing,
        )
        .after(After::ComesDown)
        .body(|script| die_under(script, true)),
    ]
}

/// Has much of each of some files read, or written, and the server dies when it
/// has the first requests for each.
fn die_under(script: &Script, write: bool) -> Ends {
    let names: Vec<String> = (0..FILES).map(|nth| format!("f{nth}")).collect();
    for (nth, name) in names.iter().enumerate() {
        let cookie = Cookie(FILE.0 + 16 * nth);
        script.file(name, cookie, Vtype::Reg, MANY as i64);
        serve(script, cookie);
        let mut first = true;
        let mut hold = move |_: &Frame| {
            if std::mem::take(&mut first) {
                Answer::Later
            } else {
                Answer::Nothing
            }
        };
        if write {
            script.allow(Rule::on::<vn::Write>().of(cookie).answer(hold));
        } else {
            script.allow(
                Rule::on::<vn::Read>()
                    .of(cookie)
                    .answer(move |frame| hold(frame)),
            );
        }
    }
    let files: Vec<Fd> = names.iter().map(|name| open(script, name, write)).collect();
    let start = |&file: &Fd| {
        script.call(move |calls| {
            if write {
                calls.write(file, 0, &vec![3; MANY])?;
                calls.fsync(file)
            } else {
                calls.read(file, 0, MANY).map(drop)
            }
        })
    };
    let calls: Vec<_> = files.iter().map(start).collect();
    script.wait_held(FILES);
    script.die();
    let outcomes: Vec<_> = calls.into_iter().map(|call| script.join(call)).collect();
    assert_eq!(outcomes, [Err(Errno::ENXIO); FILES]);
    for file in files {
        close(script, file);
    }
    Ends::With(Errno::ENXIO)
}
