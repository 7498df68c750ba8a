//! Directory listings: what servers may put into them, and what the kernel,
//! which walks them, never gets to see.

use puffs_hosted::{
    bench::{quiet_args, Bench, MNT},
    server::{memfs::dirent, Frame},
    user::DirEntry,
};
use puffs_rs::{
    abi::{vn, Vtype},
    kern::{Errno, Result},
};

const ROOM: usize = 4096;

fn entry(name: &str) -> Vec<u8> {
    dirent(name.as_bytes(), 7, Vtype::Reg.into())
}

/// A listing of these entries, that goes on elsewhere.
fn listing(request: &Frame, entries: &[u8]) -> Frame {
    let dentoff = request.get::<vn::Readdir>().dentoff;
    let mut data = vec![0xee; dentoff];
    data.extend(entries);
    request.reply_data::<vn::Readdir>(&data, |reply| {
        reply.resid -= entries.len();
        reply.offset += 1;
        reply.ncookies = 0;
    })
}

/// A listing of these entries, that is all.
fn last(request: &Frame, entries: &[u8]) -> Frame {
    let mut reply = listing(request, entries);
    reply.get_mut::<vn::Readdir>().eofflag = 1;
    reply
}

fn names(entries: &[DirEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.name.clone()).collect()
}

/// A listing of the root that is answered so.
fn listed(reply: impl Fn(&Frame) -> Frame) -> Result<Vec<String>> {
    let bench = Bench::new();
    let call = bench.call(|user| user.readdir(MNT, ROOM));
    let request = bench.next::<vn::Readdir>();
    bench.send(&reply(&request));
    let outcome = call.join();
    if outcome.is_err() {
        bench.complaint();
    }
    bench.assert_quiet();
    bench.assert_alive();
    bench.finish();
    outcome.map(|entries| names(&entries))
}

/// A listing with a good entry and one that `spoil` made bad.
fn spoiled(spoil: impl Fn(&mut Vec<u8>)) -> Result<Vec<String>> {
    listed(|request| {
        let mut bad = entry("bad");
        spoil(&mut bad);
        last(request, &[entry("good"), bad].concat())
    })
}

/// What makes an entry a bad one.
type Spoil = fn(&mut Vec<u8>);

const RECLEN: usize = 8;
const NAMLEN: usize = 10;
const NAME: usize = 13;

fn set(entry: &mut [u8], at: usize, value: u16) {
    entry[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

#[test]
fn entries_as_libpuffs_makes_them_are_listed() {
    let longest = "n".repeat(511);
    let all = [".", "..", "a", "ab", "abc", "abcd", &longest];
    let entries: Vec<u8> = all.iter().flat_map(|name| entry(name)).collect();
    assert_eq!(listed(|request| last(request, &entries)).unwrap(), all);
}

#[test]
fn entries_with_more_room_than_they_need_are_listed() {
    // Some file systems make them all as long as the longest.
    let roomy = |entry: &mut Vec<u8>| {
        entry.resize(528, 0xee);
        set(entry, RECLEN, 528);
    };
    assert_eq!(spoiled(roomy).unwrap(), ["good", "bad"]);
}

#[test]
fn an_entry_without_a_file_needs_no_name() {
    let nobody = |entry: &mut Vec<u8>| {
        entry[..8].fill(0);
        entry[NAME..].fill(0);
        set(entry, NAMLEN, 0);
    };
    assert_eq!(spoiled(nobody).unwrap().len(), 2);
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let cases: &[(&str, Spoil)] = &[
        ("no length", |entry| set(entry, RECLEN, 0)),
        ("a length that is not aligned", |entry| {
            entry.extend([0; 4]);
            set(entry, RECLEN, 28);
        }),
        ("no room for a name", |entry| set(entry, RECLEN, 8)),
        ("a length beyond the data", |entry| set(entry, RECLEN, 32)),
        ("the longest length", |entry| set(entry, RECLEN, 65528)),
        ("a name beyond the entry", |entry| set(entry, NAMLEN, 11)),
        ("the longest name", |entry| set(entry, NAMLEN, 65535)),
        ("a name too long for a directory", |entry| {
            *entry = dirent(&[b'n'; 512], 7, Vtype::Reg.into());
        }),
        ("a name without a NUL", |entry| entry[NAME + 3..].fill(b'x')),
        ("a name with a NUL inside", |entry| entry[NAME + 1] = 0),
        ("a name that is a path", |entry| entry[NAME + 1] = b'/'),
        ("no name", |entry| {
            entry[NAME..].fill(0);
            set(entry, NAMLEN, 0);
        }),
        ("a part of an entry", |entry| entry.extend([0; 5])),
    ];
    for (what, spoil) in cases {
        assert_eq!(spoiled(spoil), Err(Errno::EPROTO), "{what}");
    }
}

#[test]
fn a_listing_without_entries_is_the_end() {
    let none = |request: &Frame| listing(request, &[]);
    assert_eq!(listed(none), Ok(Vec::new()));
    // Also for who looks at nothing but the flag.
    let bench = Bench::new();
    let root = bench.root();
    let call = bench.call(move |_| {
        let fill = |msg: &mut vn::Readdir, _: &mut [u8]| msg.resid = ROOM;
        puffs_hosted::vnops::request(&root, ROOM, ROOM, fill, |msg, _| msg.eofflag)
    });
    bench.send(&none(&bench.next::<vn::Readdir>()));
    assert_eq!(call.join(), Ok(1));
    bench.finish();
}

#[test]
fn a_listing_that_goes_on_where_it_began_is_refused() {
    for eof in [0, 1] {
        let stuck = |request: &Frame| {
            let mut reply = listing(request, &entry("again"));
            reply.get_mut::<vn::Readdir>().offset = 0;
            reply.get_mut::<vn::Readdir>().eofflag = eof;
            reply
        };
        assert_eq!(listed(stuck), Err(Errno::EPROTO));
    }
}

/// The cookies that the kernel gets for three entries, of which the server
/// gives these.
fn cookies(given: &[u64]) -> Vec<u64> {
    let bench = Bench::with(&quiet_args());
    let call = bench.call(|user| user.readdir_cookies(MNT, ROOM));
    let request = bench.next::<vn::Readdir>();
    let entries = ["a", "b", "c"].map(entry).concat();
    let mut reply = last(&request, &entries);
    reply.get_mut::<vn::Readdir>().offset = 99;
    reply.get_mut::<vn::Readdir>().ncookies = given.len();
    for (i, cookie) in given.iter().enumerate() {
        let at = size_of::<vn::Readdir>() + i * 8;
        reply.bytes_mut()[at..at + 8].copy_from_slice(&cookie.to_ne_bytes());
    }
    bench.send(&reply);
    let (entries, cookies) = call.join().unwrap();
    assert_eq!(names(&entries), ["a", "b", "c"]);
    bench.assert_quiet();
    bench.finish();
    cookies
}

#[test]
fn every_entry_has_a_cookie_if_they_are_wanted() {
    assert_eq!(cookies(&[5, 6, 7]), [5, 6, 7]);
    // The last one of psshfs, and those of servers that give none.
    assert_eq!(cookies(&[5, 6]), [5, 6, 99]);
    assert_eq!(cookies(&[]), [99, 99, 99]);
    // One more does no harm.
    assert_eq!(cookies(&[5, 6, 7, 8]), [5, 6, 7, 8]);
}
