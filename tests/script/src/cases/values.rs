//! Replies that are whole, and say what cannot be true.

use super::kinds::{kind, path, Kind, DIR, FILE, NEW, ROOM};
use crate::{
    case::{Case, Ends, Told},
    script::{
        ask_for, attributes, file_attributes, found, statvfs, Rule, Script, BLOCKS, MNT, ROOT,
    },
    world::{Calls, How},
    Frame,
};
use puffs_rs::{
    abi::{
        vfs, vn, Cookie, Payload, Timespec, Vattr, VnOp, Vtype, FHFLAG_DYNAMIC, FHFLAG_PASSTHROUGH,
        KFLAG_CACHE_FS_TTL,
    },
    kern::{Errno, Result},
};
use std::mem::offset_of;

const FAMILY: &str = "values";

/// What a reply may be spoilt by.
type Spoil = fn(&Frame) -> Frame;

/// The caller gets EPROTO, and the server is told of it with this errno.
const fn refused(complaint: Errno) -> (Ends, Told) {
    (
        Ends::With(Errno::EPROTO),
        Told::Complaint(Errno::get(complaint)),
    )
}

/// The reply is believed.
const WELL: (Ends, Told) = (Ends::Well, Told::Nothing);

/// The caller gets an errno, and the server is not told: it knows.
const fn only(error: Errno) -> (Ends, Told) {
    (Ends::With(error), Told::Nothing)
}

/// Several cases under one title.
struct Group {
    title: &'static str,
    rows: &'static [u8],
    expect: (Ends, Told),
}

impl Group {
    fn case(&self) -> Case {
        Case::new(FAMILY, self.title)
            .rows(self.rows)
            .caller(self.expect.0)
            .told(self.expect.1)
    }

    /// A case for each of these requests: it is answered so.
    fn of(&self, replies: &[(&'static str, Spoil)]) -> Vec<Case> {
        let case = |&(name, reply): &(&'static str, Spoil)| {
            let kind = kind(name);
            self.case()
                .variant(name)
                .args(move |args| kind.set_args(args))
                .body(move |script| ask(script, kind, reply))
        };
        replies.iter().map(case).collect()
    }

    /// A case for each of these replies to one kind of request.
    fn to(&self, name: &'static str, replies: &[(&'static str, Spoil)]) -> Vec<Case> {
        let kind = kind(name);
        let case = |&(variant, reply): &(&'static str, Spoil)| {
            self.case()
                .variant(format!("{name}, {variant}"))
                .args(move |args| kind.set_args(args))
                .body(move |script| ask(script, kind, reply))
        };
        replies.iter().map(case).collect()
    }
}

fn ask(script: &Script, kind: Kind, reply: Spoil) -> Ends {
    undo(script);
    kind.ask_and(script, reply).into()
}

/// What the server made and the kernel cannot use is taken back.
fn undo(script: &Script) {
    script.allow(Rule::on::<vn::Remove>().reply(Frame::reply_header));
    script.allow(Rule::on::<vn::Rmdir>().reply(Frame::reply_header));
}

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    [
        counts(),
        listings(),
        links(),
        extended_attributes(),
        lookups(),
        creations(),
        file_attributes_of(),
        times_to_live(),
        cached_attributes(),
        opens(),
        handles(),
        files_of_handles(),
        statistics(),
    ]
    .concat()
}

// How much was moved.

fn counts() -> Vec<Case> {
    [
        Group {
            title: "more is left to move than was asked for",
            rows: &[],
            expect: refused(Errno::E2BIG),
        }
        .of(&[
            ("READ", |request| left::<vn::Read>(request, ROOM + 1)),
            ("WRITE", |request| left::<vn::Write>(request, ROOM + 1)),
            ("READDIR", |request| left::<vn::Readdir>(request, ROOM + 1)),
            ("GETEXTATTR", |request| {
                left::<vn::Getextattr>(request, ROOM + 1)
            }),
            ("LISTEXTATTR", |request| {
                left::<vn::Listextattr>(request, ROOM + 1)
            }),
            ("SETEXTATTR", |request| {
                left::<vn::Setextattr>(request, ROOM + 1)
            }),
        ]),
        Group {
            title: "as much is left to move as can be counted",
            rows: &[],
            expect: refused(Errno::E2BIG),
        }
        .of(&[
            ("READ", |request| left::<vn::Read>(request, usize::MAX)),
            ("WRITE", |request| left::<vn::Write>(request, usize::MAX)),
            ("READDIR", |request| {
                left::<vn::Readdir>(request, usize::MAX)
            }),
            ("GETEXTATTR", |request| {
                left::<vn::Getextattr>(request, usize::MAX)
            }),
            ("LISTEXTATTR", |request| {
                left::<vn::Listextattr>(request, usize::MAX)
            }),
            ("SETEXTATTR", |request| {
                left::<vn::Setextattr>(request, usize::MAX)
            }),
        ]),
        Group {
            title: "a byte less came than the reply says",
            rows: &[3],
            expect: refused(Errno::EPROTO),
        }
        .of(&[
            ("READ", |request| with_data::<vn::Read>(request, 100, 99)),
            ("READDIR", |request| {
                with_data::<vn::Readdir>(request, 96, 95)
            }),
            ("GETEXTATTR", |request| {
                with_data::<vn::Getextattr>(request, 100, 99)
            }),
            ("LISTEXTATTR", |request| {
                with_data::<vn::Listextattr>(request, 100, 99)
            }),
        ]),
        Group {
            title: "nothing came and the reply says that all did",
            rows: &[3],
            expect: refused(Errno::EPROTO),
        }
        .of(&[
            ("READ", |request| with_data::<vn::Read>(request, ROOM, 0)),
            ("READDIR", |request| {
                with_data::<vn::Readdir>(request, ROOM, 0)
            }),
            ("GETEXTATTR", |request| {
                with_data::<vn::Getextattr>(request, ROOM, 0)
            }),
            ("LISTEXTATTR", |request| {
                with_data::<vn::Listextattr>(request, ROOM, 0)
            }),
        ]),
        Group {
            title: "only a part is written",
            rows: &[],
            expect: only(Errno::EIO),
        }
        .of(&[
            ("WRITE", |request| left::<vn::Write>(request, 1)),
            ("SETEXTATTR", |request| {
                request.reply_with::<vn::Setextattr>(|reply| reply.resid = 1)
            }),
        ]),
    ]
    .concat()
}

/// A reply with a count of what is left.
trait Counts: Payload {
    /// The count.
    fn resid(&mut self) -> &mut usize;
}

macro_rules! counts {
    ($($message:ident)+) => { $(
        impl Counts for vn::$message {
            fn resid(&mut self) -> &mut usize {
                &mut self.resid
            }
        }
    )+ };
}
counts!(Read Write Readdir Getextattr Listextattr Setextattr);

/// Success, and so much is left.
fn left<T: Counts>(request: &Frame, left: usize) -> Frame {
    request.reply_data::<T>(&[], |reply| *reply.resid() = left)
}

/// Success that says that so much came, and has so much.
fn with_data<T: Counts>(request: &Frame, says: usize, has: usize) -> Frame {
    let mut reply = request.reply_data::<T>(&vec![7; has], |reply| *reply.resid() = ROOM - says);
    // No longer than that, even where the data starts inside the struct.
    reply.resize(T::DATA + has);
    reply
}

// Directories.

/// Bytes from one entry of a directory to the next, for a name of one byte.
const ENTRY: usize = 16;

/// An entry whose head says this of its lengths, and whose name is one byte.
fn entry(reclen: usize, namlen: usize) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[0] = 7;
    entry[8..10].copy_from_slice(&(reclen as u16).to_ne_bytes());
    entry[10..12].copy_from_slice(&(namlen as u16).to_ne_bytes());
    entry[13] = b'x';
    entry
}

/// An entry of this name, with something behind its end.
fn named(name: &[u8]) -> Vec<u8> {
    let end = 13 + name.len();
    let mut entry = entry((end + 1).next_multiple_of(8), name.len()).to_vec();
    entry.resize(end + 1, 0);
    entry[13..end].copy_from_slice(name);
    entry[end] = 0;
    entry.resize((end + 1).next_multiple_of(8), b'/');
    entry
}

/// A listing of these bytes, that goes on elsewhere.
fn listing(request: &Frame, entries: &[u8]) -> Frame {
    request.reply_data::<vn::Readdir>(entries, |reply| {
        reply.resid = ROOM - entries.len();
        reply.offset += 1;
    })
}

/// A good entry and then this one.
fn after_a_good_one(request: &Frame, entry: [u8; ENTRY]) -> Frame {
    listing(request, &[self::entry(ENTRY, 1), entry].concat())
}

fn listings() -> Vec<Case> {
    [
        Group {
            title: "a directory has entries",
            rows: &[],
            expect: WELL,
        }
        .to(
            "READDIR",
            &[
                ("of two files", |request| {
                    after_a_good_one(request, entry(ENTRY, 1))
                }),
                ("of names of many lengths", |request| {
                    let lens = [1, 2, 3, 9, 10, 11, 12, 17, 18, 19, 26, 27];
                    let names = lens.map(|len| named(&vec![b'x'; len]));
                    listing(request, &names.concat())
                }),
            ],
        ),
        Group {
            title: "a directory has an entry that cannot be",
            rows: &[22],
            expect: refused(Errno::EINVAL),
        }
        .to(
            "READDIR",
            &[
                ("without a length", |request| {
                    after_a_good_one(request, entry(0, 1))
                }),
                ("shorter than its head", |request| {
                    after_a_good_one(request, entry(8, 1))
                }),
                ("beyond the data", |request| {
                    after_a_good_one(request, entry(2 * ENTRY, 1))
                }),
                ("beyond everything", |request| {
                    after_a_good_one(request, entry(0xfff8, 1))
                }),
                ("not aligned", |request| {
                    listing(request, &entry(15, 1)[..15])
                }),
                ("cut off", |request| {
                    let entries = [entry(ENTRY, 1), entry(ENTRY, 1)].concat();
                    listing(request, &entries[..ENTRY + 7])
                }),
                ("without a name", |request| {
                    after_a_good_one(request, entry(ENTRY, 0))
                }),
                ("with a name as long as the entry", |request| {
                    after_a_good_one(request, entry(ENTRY, ENTRY))
                }),
                ("with a name of 65,535 bytes", |request| {
                    after_a_good_one(request, entry(ENTRY, 0xffff))
                }),
                ("with a NUL in its name", |request| {
                    after_a_good_one(request, entry(ENTRY, 2))
                }),
                ("with a slash in its name", |request| {
                    let mut slash = entry(ENTRY, 1);
                    slash[13] = b'/';
                    after_a_good_one(request, slash)
                }),
                ("with a slash at the end of a long name", |request| {
                    listing(request, &named(b"a name of several words/"))
                }),
                ("with a NUL in a long name", |request| {
                    listing(request, &named(b"a name of several\0words"))
                }),
            ],
        ),
        Group {
            title: "a directory goes on where it began",
            rows: &[22],
            expect: refused(Errno::EINVAL),
        }
        .of(&[("READDIR", |request| {
            let mut reply = listing(request, &entry(ENTRY, 1));
            reply.get_mut::<vn::Readdir>().offset = request.get::<vn::Readdir>().offset;
            reply
        })]),
        Group {
            title: "a directory has nothing more, and no end",
            rows: &[22],
            expect: WELL,
        }
        .of(&[("READDIR", |request| listing(request, &[]))]),
        Group {
            title: "a directory has cookies that nobody wants",
            rows: &[],
            expect: refused(Errno::E2BIG),
        }
        .of(&[("READDIR", |request| {
            request.reply_data::<vn::Readdir>(&[], |reply| reply.ncookies = 1)
        })]),
    ]
    .concat()
}

// Where a symbolic link leads.

fn links() -> Vec<Case> {
    [
        Group {
            title: "a link is longer than a path",
            rows: &[],
            expect: refused(Errno::E2BIG),
        }
        .to(
            "READLINK",
            &[
                ("1,025 bytes", |request| link(request, b"", 1025)),
                ("as long as can be", |request| {
                    link(request, b"", usize::MAX)
                }),
            ],
        ),
        Group {
            title: "a link ends before its end",
            rows: &[],
            expect: refused(Errno::EPROTO),
        }
        .to(
            "READLINK",
            &[("99 of 100 bytes", |request| {
                let mut reply = link(request, &[b'x'; 100], 100);
                reply.resize(offset_of!(vn::Readlink, link) + 99);
                reply
            })],
        ),
        Group {
            title: "a link has a NUL in it",
            rows: &[],
            expect: refused(Errno::EINVAL),
        }
        .to(
            "READLINK",
            &[
                ("in the middle", |request| link(request, b"tar\0et", 6)),
                ("twice at the end", |request| link(request, b"target", 8)),
            ],
        ),
    ]
    .concat()
}

fn link(request: &Frame, text: &[u8], len: usize) -> Frame {
    request.reply_with::<vn::Readlink>(|reply| {
        reply.link[..text.len()].copy_from_slice(text);
        reply.linklen = len;
    })
}

// Extended attributes.

fn extended_attributes() -> Vec<Case> {
    let group = |title, expect| Group {
        title,
        rows: &[20],
        expect,
    };
    let sizes = |group: &Group, size: usize| {
        let case = |name: &'static str, op: VnOp, ask: fn(&dyn Calls) -> Result<usize>| {
            group
                .case()
                .variant(name)
                .args(move |args| ask_for(args, &[op]))
                .body(move |script| {
                    script.file("f", FILE, Vtype::Reg, 4096);
                    script.allow(Rule::on::<vn::Getextattr>().reply(move |request| {
                        request.reply_with::<vn::Getextattr>(|reply| reply.datasize = size)
                    }));
                    script.allow(Rule::on::<vn::Listextattr>().reply(move |request| {
                        request.reply_with::<vn::Listextattr>(|reply| reply.datasize = size)
                    }));
                    let answer = script.run(ask);
                    if let Ok(answer) = answer {
                        assert_eq!(answer, size);
                    }
                    answer.into()
                })
        };
        vec![
            case("GETEXTATTR", VnOp::Getextattr, |calls| {
                calls.extattr_size(&path("f"), "colour")
            }),
            case("LISTEXTATTR", VnOp::Listextattr, |calls| {
                calls.extattr_list_size(&path("f"))
            }),
        ]
    };
    [
        sizes(&group("an extended attribute has a size", WELL), 1000),
        sizes(
            &group(
                "an extended attribute is larger than a message",
                refused(Errno::E2BIG),
            ),
            1 << 40,
        ),
        sizes(
            &group(
                "an extended attribute is as large as can be counted",
                refused(Errno::E2BIG),
            ),
            usize::MAX,
        ),
    ]
    .concat()
}

// What a lookup finds.

fn lookups() -> Vec<Case> {
    [
        Group {
            title: "a lookup finds what cannot be",
            rows: &[5, 20],
            expect: refused(Errno::EINVAL),
        }
        .to(
            "LOOKUP",
            &[
                ("no cookie", |request| {
                    found(request, Cookie::NULL, Vtype::Reg, 0)
                }),
                ("the root", |request| found(request, ROOT, Vtype::Dir, 0)),
                ("the root as a file", |request| {
                    found(request, ROOT, Vtype::Reg, 0)
                }),
                ("no type", |request| found(request, NEW, Vtype::Non, 0)),
                ("a bad type", |request| found(request, NEW, Vtype::Bad, 0)),
                ("an unknown type", |request| {
                    let mut reply = found(request, NEW, Vtype::Reg, 0);
                    reply.get_mut::<vn::Lookup>().vtype = 1000;
                    reply
                }),
                ("size -5", |request| found(request, NEW, Vtype::Reg, -5)),
                ("size not set", |request| {
                    found(request, NEW, Vtype::Reg, -1)
                }),
                ("the least size", |request| {
                    found(request, NEW, Vtype::Reg, i64::MIN)
                }),
                ("size 1<<62", |request| {
                    found(request, NEW, Vtype::Reg, 1 << 62)
                }),
            ],
        ),
        ["d/x", "d/.."].map(parent).into(),
        [(Vtype::Dir, "a directory"), (Vtype::Fifo, "a fifo")]
            .map(other_type)
            .into(),
        [(4, "read"), (2, "write"), (1, "execute"), (7, "all")]
            .map(access)
            .into(),
        ["WRITE", "SETEXTATTR"].map(leftovers).into(),
    ]
    .concat()
}

/// In a directory, the directory itself is found.
fn parent(name: &'static str) -> Case {
    Case::new(FAMILY, "a lookup finds the directory that it is in")
        .variant(name)
        .rows(&[20])
        .caller(Ends::With(Errno::EPROTO))
        .told(Told::Complaint(Errno::EINVAL.get()))
        .body(move |script| {
            script.file("d", DIR, Vtype::Dir, 512);
            script.allow(
                Rule::on::<vn::Lookup>()
                    .of(DIR)
                    .reply(|request| found(request, DIR, Vtype::Dir, 512)),
            );
            let name = path(name);
            script.run(move |calls| calls.stat(&name)).into()
        })
}

/// The server is asked for access by the bits of access(2), whatever the kernel
/// has for them.
fn access((mode, variant): (i32, &'static str)) -> Case {
    Case::new(FAMILY, "access is asked for by the bits of access(2)")
        .variant(variant)
        .rows(&[19])
        .args(|args| ask_for(args, &[VnOp::Access, VnOp::Write]))
        .body(move |script| {
            script.file("f", FILE, Vtype::Reg, 4096);
            script.expect(
                Rule::on::<vn::Access>()
                    .of(FILE)
                    .times(1)
                    .reply(move |request| {
                        assert_eq!(request.get::<vn::Access>().mode, mode);
                        request.reply_with::<vn::Access>(|_| {})
                    }),
            );
            script.allow(
                Rule::on::<vn::Access>().reply(|request| request.reply_with::<vn::Access>(|_| {})),
            );
            script
                .run(move |calls| calls.access(&path("f"), mode))
                .into()
        })
}

/// What is written is all that the server gets: around it, a message is zero, and
/// not what the kernel's memory had in it before.
fn leftovers(name: &'static str) -> Case {
    let kind = kind(name);
    Case::new(
        FAMILY,
        "nothing of the kernel's memory comes along with what is written",
    )
    .variant(name)
    .args(move |args| kind.set_args(args))
    .body(move |script| {
        let ended = kind.ask_and(script, |request| {
            let (start, len) = match name {
                "WRITE" => (vn::Write::DATA, request.get::<vn::Write>().resid),
                _ => (vn::Setextattr::DATA, request.get::<vn::Setextattr>().resid),
            };
            let (before, data) = request.bytes().split_at(start);
            let (data, after) = data.split_at(len);
            assert!(data.iter().all(|&byte| byte == 7), "{data:?}");
            assert!(after.iter().all(|&byte| byte == 0), "{after:?}");
            // As the hosted kernel has memory that is not zeroed.
            let leftovers = before.windows(4).any(|run| run == [0xd7; 4]);
            assert!(!leftovers, "{before:?}");
            (kind.good)(request)
        });
        ended.into()
    })
}

/// A cookie that is a regular file is found as something else.
fn other_type((vtype, variant): (Vtype, &'static str)) -> Case {
    Case::new(FAMILY, "a lookup finds an open file as something else")
        .variant(variant)
        .rows(&[20])
        .caller(Ends::With(Errno::EPROTO))
        .told(Told::Complaint(Errno::EINVAL.get()))
        .body(move |script| {
            let file = known(script);
            script.file("g", FILE, vtype, 0);
            script.attributes(FILE, Vtype::Reg, 4096);
            let ends = script.run(|calls| calls.stat(&path("g"))).into();
            // The node keeps its type.
            let stat = script.run(|calls| calls.stat(&path("f")));
            assert_eq!(stat.map(|stat| stat.vtype), Ok(Vtype::Reg));
            assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
            ends
        })
}

/// Opens `f`, so that the kernel knows its cookie as a regular file.
fn known(script: &Script) -> usize {
    script.file("f", FILE, Vtype::Reg, 4096);
    match script.run(|calls| calls.open(&path("f"), How::default())) {
        Ok(file) => file,
        Err(error) => panic!("open: {error:?}"),
    }
}

// What is made.

fn creations() -> Vec<Case> {
    let made = |title, rows, expect, cookie| {
        let group = Group {
            title,
            rows,
            expect,
        };
        let case = move |name: &'static str| {
            let kind = kind(name);
            group
                .case()
                .variant(name)
                .args(move |args| kind.set_args(args))
                .body(move |script| {
                    undo(script);
                    let file = known(script);
                    let ends = kind
                        .ask_and(script, |request| new_node(request, cookie))
                        .into();
                    // The server is asked to take it back.
                    let undone = script.count::<vn::Remove>() + script.count::<vn::Rmdir>();
                    assert_eq!(undone, 1, "what was made stays");
                    assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
                    ends
                })
        };
        ["CREATE", "MKNOD", "MKDIR", "SYMLINK"].map(case).to_vec()
    };
    [
        made(
            "what is made has no cookie",
            &[],
            only(Errno::EOPNOTSUPP),
            Cookie::NULL,
        ),
        made(
            "what is made is the root",
            &[20],
            refused(Errno::EEXIST),
            ROOT,
        ),
        made(
            "what is made is an open file",
            &[20],
            refused(Errno::EEXIST),
            FILE,
        ),
    ]
    .concat()
}

/// A good reply to a creation, but for the cookie.
fn new_node(request: &Frame, cookie: Cookie) -> Frame {
    if request.is::<vn::Symlink>() {
        request.reply_with::<vn::Symlink>(|reply| reply.newnode = cookie)
    } else if request.is::<vn::Create>() {
        request.reply_with::<vn::Create>(|reply| reply.newnode = cookie)
    } else if request.is::<vn::Mkdir>() {
        request.reply_with::<vn::Mkdir>(|reply| reply.newnode = cookie)
    } else {
        request.reply_with::<vn::Mknod>(|reply| reply.newnode = cookie)
    }
}

// Attributes.

fn file_attributes_of() -> Vec<Case> {
    Group {
        title: "a file has attributes that it cannot have",
        rows: &[5, 20],
        expect: refused(Errno::EINVAL),
    }
    .to(
        "GETATTR",
        &[
            ("size -2", |request| attributes(request, Vtype::Reg, -2)),
            ("the least size", |request| {
                attributes(request, Vtype::Reg, i64::MIN)
            }),
            ("size 1<<62", |request| {
                attributes(request, Vtype::Reg, 1 << 62)
            }),
            ("another type", |request| {
                attributes(request, Vtype::Dir, 4096)
            }),
            ("a bad type", |request| {
                attributes(request, Vtype::Bad, 4096)
            }),
            ("an unknown type", |request| {
                let mut reply = attributes(request, Vtype::Reg, 4096);
                reply.get_mut::<vn::Getattr>().va.vtype = 1000;
                reply
            }),
        ],
    )
}

// Times to live.

/// Times to live that make no sense.
const TIMES: [(&str, Timespec); 6] = [
    ("a second", time(1, 0)),
    ("a second ago", time(-1, 0)),
    ("the most seconds", time(i64::MAX, 0)),
    ("the least seconds", time(i64::MIN, 0)),
    ("the most nanoseconds", time(0, isize::MAX)),
    ("-1 nanoseconds", time(0, -1)),
];

const fn time(sec: i64, nsec: isize) -> Timespec {
    Timespec { sec, nsec }
}

/// The server of these mounts says how long its answers hold.
fn with_ttl(case: Case) -> Case {
    case.args(|args| args.flags |= KFLAG_CACHE_FS_TTL)
}

fn times_to_live() -> Vec<Case> {
    let case = |name: &'static str, variant: &'static str, ttl: Timespec| {
        let kind = kind(name);
        with_ttl(
            Case::new(FAMILY, "an answer holds for a time that makes no sense")
                .variant(format!("{name}, {variant}"))
                .args(move |args| kind.set_args(args)),
        )
        .body(move |script| {
            kind.ask_and(script, |request| holds_for((kind.good)(request), ttl))
                .into()
        })
    };
    let names = ["LOOKUP", "CREATE", "MKNOD", "MKDIR", "SYMLINK", "GETATTR"];
    let each = |name| TIMES.map(move |(variant, ttl)| case(name, variant, ttl));
    names.into_iter().flat_map(each).collect()
}

fn holds_for(mut reply: Frame, ttl: Timespec) -> Frame {
    macro_rules! both {
        ($($message:ident: $vtype:ident)+) => { $(
            if reply.is::<vn::$message>() {
                let reply = reply.get_mut::<vn::$message>();
                (reply.va_ttl, reply.cn_ttl) = (ttl, ttl);
                reply.va = file_attributes(Vtype::$vtype, 0);
            }
        )+ };
    }
    both!(Lookup: Reg Create: Reg Mknod: Fifo Mkdir: Dir Symlink: Lnk);
    if reply.is::<vn::Getattr>() {
        reply.get_mut::<vn::Getattr>().va_ttl = ttl;
    }
    reply
}

/// What a reply says of the attributes of what it finds or makes.
fn cached_attributes() -> Vec<Case> {
    let case = |name: &'static str, variant: &'static str, change: fn(&mut Vattr)| {
        let kind = kind(name);
        with_ttl(
            Case::new(FAMILY, "attributes to be cached that cannot be")
                .variant(format!("{name}, {variant}"))
                .rows(&[5, 20])
                .caller(Ends::With(Errno::EPROTO))
                .told(Told::Complaint(Errno::EINVAL.get()))
                .args(move |args| kind.set_args(args)),
        )
        .body(move |script| {
            undo(script);
            let spoil = |request: &Frame| {
                let mut reply = holds_for(good_with_attributes(kind, request), time(1, 0));
                change(vattr_of(&mut reply));
                reply
            };
            kind.ask_and(script, spoil).into()
        })
    };
    let names = [
        "LOOKUP", "CREATE", "MKNOD", "MKDIR", "SYMLINK", "GETATTR", "SETATTR",
    ];
    let each = |name| {
        [
            case(name, "size -5", |va| va.size = -5_i64 as u64),
            case(name, "size 1<<62", |va| va.size = 1 << 62),
            case(name, "another type", |va| {
                va.vtype = if va.vtype == u32::from(Vtype::Blk) {
                    Vtype::Chr.into()
                } else {
                    Vtype::Blk.into()
                };
            }),
        ]
    };
    names.into_iter().flat_map(each).collect()
}

fn good_with_attributes(kind: Kind, request: &Frame) -> Frame {
    if request.is::<vn::Setattr>() {
        return request.reply_with::<vn::Setattr>(|reply| {
            reply.va = file_attributes(Vtype::Reg, 4096);
        });
    }
    (kind.good)(request)
}

/// The attributes in a reply that has some.
fn vattr_of(reply: &mut Frame) -> &mut Vattr {
    macro_rules! of {
        ($($message:ident)+) => { $(
            if reply.is::<vn::$message>() {
                return &mut reply.get_mut::<vn::$message>().va;
            }
        )+ };
    }
    of!(Lookup Create Mknod Mkdir Symlink Getattr);
    &mut reply.get_mut::<vn::Setattr>().va
}

// Flags and numbers that are only passed on.

fn opens() -> Vec<Case> {
    [
        Group {
            title: "an open has unknown flags",
            rows: &[],
            expect: WELL,
        }
        .to(
            "OPEN",
            &[
                ("all but direct I/O", |request| {
                    request.reply_with::<vn::Open>(|reply| reply.oflags = !vn::OPEN_IO_DIRECT)
                }),
                ("all", |request| {
                    request.reply_with::<vn::Open>(|reply| reply.oflags = !0)
                }),
            ],
        ),
        Group {
            title: "a limit of a file system makes no sense",
            rows: &[],
            expect: WELL,
        }
        .to(
            "PATHCONF",
            &[
                ("-1", |request| {
                    request.reply_with::<vn::Pathconf>(|reply| reply.retval = -1)
                }),
                ("the least", |request| {
                    request.reply_with::<vn::Pathconf>(|reply| reply.retval = isize::MIN)
                }),
                ("the most", |request| {
                    request.reply_with::<vn::Pathconf>(|reply| reply.retval = isize::MAX)
                }),
            ],
        ),
    ]
    .concat()
}

// File handles.

/// How a mount has file handles.
#[derive(Clone, Copy)]
struct Handles {
    name: &'static str,
    flags: i32,
    size: usize,
}

const FIXED: Handles = Handles {
    name: "fixed",
    flags: 0,
    size: 8,
};
const DYNAMIC: Handles = Handles {
    name: "dynamic",
    flags: FHFLAG_DYNAMIC,
    size: 100,
};
const PASSTHROUGH: Handles = Handles {
    name: "passthrough",
    flags: FHFLAG_PASSTHROUGH,
    size: 0,
};

/// A handle as the server makes it, of so many bytes; one that passes through
/// counts itself in its first two.
fn handle(request: &Frame, has: usize, says: usize) -> Frame {
    let mut data = vec![1; has];
    for (to, from) in data.iter_mut().zip((has as u16).to_ne_bytes()) {
        *to = from;
    }
    request.reply_data::<vfs::NodeToFh>(&data, |reply| reply.dsize = says)
}

fn handles() -> Vec<Case> {
    let group = |title, rows| Group {
        title,
        rows,
        expect: refused(Errno::E2BIG),
    };
    let of = |group: &Group, handles: Handles, replies: &[(&'static str, Spoil)]| {
        let case = |&(variant, reply): &(&'static str, Spoil)| {
            group
                .case()
                .variant(format!("{}, {variant}", handles.name))
                .args(move |args| {
                    args.fhflags = handles.flags;
                    args.fhsize = handles.size;
                })
                .body(move |script| {
                    // A kernel that is told a size asks again with room for it.
                    script.allow(Rule::on::<vfs::NodeToFh>().reply(reply));
                    ask(script, kind("VPTOFH"), reply)
                })
        };
        replies.iter().map(case).collect::<Vec<_>>()
    };
    let too_large: [(&'static str, Spoil); 3] = [
        ("64 bytes more", |request| {
            let room = request.get::<vfs::NodeToFh>().dsize;
            handle(request, 8, room + 64)
        }),
        ("a megabyte", |request| handle(request, 8, 1 << 20)),
        ("-3 bytes", |request| handle(request, 8, usize::MAX - 2)),
    ];
    let large = group("a file handle is larger than its room", &[4]);
    let small = group("a file handle is too small for one", &[5]);
    let missing = Group {
        title: "a file handle is not all there",
        rows: &[16],
        expect: refused(Errno::EPROTO),
    };
    let elsewhere = group("a file handle is said not to fit, and does", &[4]);
    let impossible = group("a file handle is said to need more than any has", &[4]);
    [
        of(&large, FIXED, &too_large),
        of(&large, DYNAMIC, &too_large),
        of(&large, PASSTHROUGH, &too_large),
        of(
            &small,
            FIXED,
            &[
                ("no byte", |request| handle(request, 0, 0)),
                ("a byte less", |request| handle(request, 7, 7)),
            ],
        ),
        of(
            &small,
            DYNAMIC,
            &[("no byte", |request| handle(request, 0, 0))],
        ),
        of(
            &small,
            PASSTHROUGH,
            &[
                ("no byte", |request| handle(request, 0, 0)),
                ("two bytes", |request| handle(request, 2, 2)),
            ],
        ),
        of(
            &group("a file handle counts itself wrongly", &[4]),
            PASSTHROUGH,
            &[
                ("a byte more", |request| {
                    let mut reply = handle(request, 20, 20);
                    reply.bytes_mut()[vfs::NodeToFh::DATA] = 21;
                    reply
                }),
                ("nothing", |request| {
                    let mut reply = handle(request, 20, 20);
                    reply.bytes_mut()[vfs::NodeToFh::DATA] = 0;
                    reply
                }),
            ],
        ),
        of(
            &missing,
            FIXED,
            &[("a byte is missing", |request| handle(request, 7, 8))],
        ),
        of(
            &elsewhere,
            DYNAMIC,
            &[("a byte", |request| needs(request, 1))],
        ),
        of(
            &elsewhere,
            PASSTHROUGH,
            &[("20 bytes", |request| needs(request, 20))],
        ),
        of(
            &impossible,
            DYNAMIC,
            &[
                ("2,000 bytes", |request| needs(request, 2000)),
                ("-1 bytes", |request| needs(request, usize::MAX)),
            ],
        ),
        of(
            &impossible,
            PASSTHROUGH,
            &[("2,000 bytes", |request| needs(request, 2000))],
        ),
    ]
    .concat()
}

/// E2BIG: the handle would need so much room.
fn needs(request: &Frame, dsize: usize) -> Frame {
    let mut reply = request.reply_with::<vfs::NodeToFh>(|reply| reply.dsize = dsize);
    reply.req_mut().rv = Errno::E2BIG.get();
    reply
}

/// What a file handle stands for.
fn files_of_handles() -> Vec<Case> {
    let case = |variant: &'static str, cookie: Cookie, vtype: u32, size: i64| {
        Case::new(FAMILY, "a file handle stands for what cannot be")
            .variant(variant)
            .rows(&[20])
            .caller(Ends::With(Errno::EPROTO))
            .told(Told::Complaint(Errno::EINVAL.get()))
            .body(move |script| {
                let file = known(script);
                let ends = of_handle(script, cookie, vtype, size).into();
                assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
                ends
            })
    };
    let (reg, dir) = (Vtype::Reg.into(), Vtype::Dir.into());
    vec![
        Case::new(FAMILY, "a file handle stands for a file").body(|script| {
            let file = known(script);
            let stat = of_handle(script, FILE, Vtype::Reg.into(), 4096);
            assert_eq!(stat, Ok((Vtype::Reg, 4096)));
            assert_eq!(script.run(move |calls| calls.close(file)), Ok(()));
            Ends::Well
        }),
        case("no cookie", Cookie::NULL, reg, 0),
        case("the root as a file", ROOT, reg, 0),
        case("an open file as a directory", FILE, dir, 0),
        case("no type", NEW, Vtype::Non.into(), 0),
        case("a bad type", NEW, Vtype::Bad.into(), 0),
        case("an unknown type", NEW, 1000, 0),
        case("size not set", NEW, reg, -1),
        case("size -5", NEW, reg, -5),
        case("the least size", NEW, reg, i64::MIN),
    ]
}

/// Makes a handle of the root, and has it stand for something else.
fn of_handle(script: &Script, cookie: Cookie, vtype: u32, size: i64) -> Result<(Vtype, i64)> {
    script.allow(Rule::on::<vfs::NodeToFh>().reply(|request| handle(request, 8, 8)));
    let handle = match script.run(|calls| calls.getfh(MNT, 64)) {
        Ok(handle) => handle,
        Err(error) => panic!("getfh: {error:?}"),
    };
    let call = script.call(move |calls| calls.fhstat(&handle));
    let request = script.next::<vfs::FhToNode>();
    script.send(&request.reply_with::<vfs::FhToNode>(|reply| {
        reply.fhcookie = cookie;
        reply.vtype = vtype;
        reply.size = size;
    }));
    script.join(call).map(|stat| (stat.vtype, stat.size))
}

// Statistics.

fn statistics() -> Vec<Case> {
    vec![
        Case::new(FAMILY, "the server's numbers are known from the mount on")
            .rows(&[18])
            .body(|script| {
                let room = script.run(|calls| calls.statvfs_nowait(MNT));
                let numbers = room.map(|room| (room.bsize, room.blocks, room.bfree));
                assert_eq!(numbers, Ok((4096, BLOCKS, 900)));
                Ends::Well
            }),
        Case::new(FAMILY, "the numbers of a file system make no sense").body(|script| {
            let call = script.call(|calls| calls.statvfs(MNT));
            let request = script.next::<vfs::Statvfs>();
            let mut reply = statvfs(&request, u64::MAX);
            reply.get_mut::<vfs::Statvfs>().sb.bsize = 0;
            script.send(&reply);
            let room = script.join(call);
            assert_eq!(room.map(|room| (room.bsize, room.bfree)), Ok((0, u64::MAX)));
            Ends::Well
        }),
    ]
}
