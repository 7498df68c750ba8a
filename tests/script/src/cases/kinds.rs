//! Requests that wait for a reply, and the system calls that make them.

use crate::{
    script::{ask_for, found, Answer, Call, Script, MNT},
    world::{Calls, Fd, How, Lock, Whence},
    Frame,
};
use puffs_rs::{
    abi::{vfs, vn, Cookie, KArgs, Message, OpClass, VnOp, Vtype, KFLAG_NOCACHE_PAGE},
    kern::Result,
};

/// A regular file, `f`.
pub(super) const FILE: Cookie = Cookie(0x5000);
/// A directory, `d`.
pub(super) const DIR: Cookie = Cookie(0x6000);
/// A symbolic link, `l`.
pub(super) const LINK: Cookie = Cookie(0x7000);
/// What is made.
pub(super) const NEW: Cookie = Cookie(0x8000);

/// How much is read and written.
pub(super) const ROOM: usize = 512;

/// A kind of request.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Its name, as the server knows it.
    pub(super) name: &'static str,
    class: OpClass,
    op: u16,
    /// What the server has to be asked to do, beside looking names up: nothing
    /// is open for writing where it does not write.
    ops: &'static [VnOp],
    args: fn(&mut KArgs),
    /// What is done before, with everything answered well.
    before: fn(&dyn Calls) -> Result<Fd>,
    /// The call that makes the request.
    ask: fn(&dyn Calls, Fd) -> Result<()>,
    /// A good reply.
    pub(super) good: fn(&Frame) -> Frame,
    /// A success needs more than a header.
    pub(super) reads_back: bool,
}

impl Kind {
    fn of<T: Message>(name: &'static str) -> Kind {
        Kind {
            name,
            class: T::CLASS,
            op: T::OP,
            ops: &[],
            args: |_| {},
            before: |_| Ok(0),
            ask: |_, _| Ok(()),
            good: |request| request.reply_with::<T>(|_| {}),
            reads_back: false,
        }
    }

    /// The mount arguments that it needs.
    pub(super) fn set_args(&self, args: &mut KArgs) {
        ask_for(args, self.ops);
        if self.class == OpClass::Vn {
            args.vnopmask[usize::from(self.op)] = 1;
        }
        (self.args)(args);
    }

    /// Has the user make the call, up to where the server has the request.
    pub(super) fn start(&self, script: &Script) -> (Call<Result<()>>, Frame) {
        script.file("f", FILE, Vtype::Reg, 4096);
        script.file("d", DIR, Vtype::Dir, 512);
        script.file("l", LINK, Vtype::Lnk, 6);
        // What a good reply makes is looked at.
        script.attributes(NEW, Vtype::Reg, 0);
        let (before, ask) = (self.before, self.ask);
        let file = match script.run(move |calls| before(calls)) {
            Ok(file) => file,
            Err(error) => panic!("before {}: {error:?}", self.name),
        };
        let call = script.call(move |calls| ask(calls, file));
        let request = script.next_of(self.class, self.op, self.name);
        (call, request)
    }

    /// The same, and has the request answered; returns how the call ended.
    pub(super) fn ask_and(&self, script: &Script, answer: impl Fn(&Frame) -> Frame) -> Result<()> {
        let (call, request) = self.start(script);
        script.send(&answer(&request));
        script.join(call)
    }
}

fn open(calls: &dyn Calls) -> Result<Fd> {
    calls.open(&path("f"), How::default())
}

fn open_to_write(calls: &dyn Calls) -> Result<Fd> {
    calls.open(&path("f"), How::WRITE)
}

/// Success, if the kernel waits for it.
pub(super) fn done(request: &Frame) -> Answer {
    if request.is_faf() {
        Answer::Nothing
    } else {
        Answer::Reply(request.reply_header())
    }
}

/// The path of a file in the root.
pub(super) fn path(name: &str) -> String {
    format!("{MNT}/{name}")
}

/// The kind of that name.
pub(super) fn kind(name: &str) -> Kind {
    match kinds().into_iter().find(|kind| kind.name == name) {
        Some(kind) => kind,
        None => unreachable!("no kind {name}"),
    }
}

/// Every kind of request that a system call makes and waits for.
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            ask: |calls, _| calls.stat(&path("new")).map(drop),
            good: |request| found(request, NEW, Vtype::Reg, 0),
            reads_back: true,
            ..Kind::of::<vn::Lookup>("LOOKUP")
        },
        Kind {
            ask: |calls, _| {
                calls
                    .open(&path("new"), How::CREATE)
                    .and_then(|file| calls.close(file))
            },
            good: |request| request.reply_with::<vn::Create>(|reply| reply.newnode = NEW),
            reads_back: true,
            ops: &[VnOp::Write],
            ..Kind::of::<vn::Create>("CREATE")
        },
        Kind {
            ask: |calls, _| calls.mkfifo(&path("new")),
            good: |request| request.reply_with::<vn::Mknod>(|reply| reply.newnode = NEW),
            reads_back: true,
            ..Kind::of::<vn::Mknod>("MKNOD")
        },
        Kind {
            ask: |calls, _| calls.mkdir(&path("new")),
            good: |request| request.reply_with::<vn::Mkdir>(|reply| reply.newnode = NEW),
            reads_back: true,
            ..Kind::of::<vn::Mkdir>("MKDIR")
        },
        Kind {
            ask: |calls, _| calls.symlink("target", &path("new")),
            good: |request| request.reply_with::<vn::Symlink>(|reply| reply.newnode = NEW),
            reads_back: true,
            ..Kind::of::<vn::Symlink>("SYMLINK")
        },
        Kind {
            ask: |calls, _| open(calls).and_then(|file| calls.close(file)),
            reads_back: true,
            ..Kind::of::<vn::Open>("OPEN")
        },
        Kind {
            ask: |calls, _| calls.access(&path("f"), 4),
            ..Kind::of::<vn::Access>("ACCESS")
        },
        Kind {
            ask: |calls, _| calls.stat(&path("f")).map(drop),
            good: |request| crate::attributes(request, Vtype::Reg, 4096),
            reads_back: true,
            ..Kind::of::<vn::Getattr>("GETATTR")
        },
        Kind {
            ask: |calls, _| calls.chmod(&path("f"), 0o600),
            ..Kind::of::<vn::Setattr>("SETATTR")
        },
        Kind {
            args: |args| args.flags |= KFLAG_NOCACHE_PAGE,
            before: open,
            ask: |calls, file| {
                let read = calls.read(file, 0, ROOM);
                calls.close(file)?;
                read.map(|data| assert_eq!(data, [7; 100]))
            },
            good: |request| {
                request.reply_data::<vn::Read>(&[7; 100], |reply| reply.resid = ROOM - 100)
            },
            reads_back: true,
            ..Kind::of::<vn::Read>("READ")
        },
        Kind {
            args: |args| args.flags |= KFLAG_NOCACHE_PAGE,
            before: open_to_write,
            ask: |calls, file| {
                let written = calls.write(file, 0, &[7; ROOM]);
                calls.close(file)?;
                written.map(|len| assert_eq!(len, ROOM))
            },
            good: |request| request.reply_with::<vn::Write>(|reply| reply.resid = 0),
            reads_back: true,
            ..Kind::of::<vn::Write>("WRITE")
        },
        Kind {
            before: open_to_write,
            ask: |calls, file| {
                let synced = calls.fsync(file);
                calls.close(file)?;
                synced
            },
            ops: &[VnOp::Write],
            ..Kind::of::<vn::Fsync>("FSYNC")
        },
        Kind {
            before: open,
            ask: |calls, file| {
                let moved = calls.seek(file, 17, Whence::Start);
                calls.close(file)?;
                moved.map(drop)
            },
            ..Kind::of::<vn::Seek>("SEEK")
        },
        Kind {
            ask: |calls, _| calls.unlink(&path("f")),
            ..Kind::of::<vn::Remove>("REMOVE")
        },
        Kind {
            ask: |calls, _| calls.link(&path("f"), &path("new")),
            ..Kind::of::<vn::Link>("LINK")
        },
        Kind {
            ask: |calls, _| calls.rename(&path("f"), &path("new")),
            ..Kind::of::<vn::Rename>("RENAME")
        },
        Kind {
            ask: |calls, _| calls.rmdir(&path("d")),
            ..Kind::of::<vn::Rmdir>("RMDIR")
        },
        Kind {
            before: |calls| calls.open(MNT, How::default()),
            ask: |calls, file| {
                let listed = calls.getdents(file, ROOM);
                calls.close(file)?;
                listed.map(drop)
            },
            good: |request| {
                request.reply_with::<vn::Readdir>(|reply| {
                    reply.eofflag = 1;
                })
            },
            reads_back: true,
            ..Kind::of::<vn::Readdir>("READDIR")
        },
        Kind {
            ask: |calls, _| {
                calls
                    .readlink(&path("l"))
                    .map(|target| assert_eq!(target, b"target"))
            },
            good: |request| {
                request.reply_with::<vn::Readlink>(|reply| {
                    reply.link[..6].copy_from_slice(b"target");
                    reply.linklen = 6;
                })
            },
            reads_back: true,
            ..Kind::of::<vn::Readlink>("READLINK")
        },
        Kind {
            ask: |calls, _| calls.pathconf(MNT, PC_LINK_MAX).map(drop),
            reads_back: true,
            ..Kind::of::<vn::Pathconf>("PATHCONF")
        },
        Kind {
            before: open_to_write,
            ask: |calls, file| {
                let locked = calls.lock(file, Lock::WRITE, false);
                calls.close(file)?;
                locked
            },
            ops: &[VnOp::Write],
            ..Kind::of::<vn::Advlock>("ADVLOCK")
        },
        Kind {
            ask: |calls, _| {
                let value = calls.extattr_get(&path("f"), "colour", ROOM)?;
                assert_eq!(value, [7; 100]);
                Ok(())
            },
            good: |request| {
                request.reply_data::<vn::Getextattr>(&[7; 100], |reply| reply.resid = ROOM - 100)
            },
            reads_back: true,
            ..Kind::of::<vn::Getextattr>("GETEXTATTR")
        },
        Kind {
            ask: |calls, _| calls.extattr_list(&path("f"), ROOM).map(drop),
            good: |request| {
                request.reply_data::<vn::Listextattr>(b"\x06colour", |reply| reply.resid = ROOM - 7)
            },
            reads_back: true,
            ..Kind::of::<vn::Listextattr>("LISTEXTATTR")
        },
        Kind {
            ask: |calls, _| calls.extattr_set(&path("f"), "colour", &[7; 100]).map(drop),
            good: |request| request.reply_with::<vn::Setextattr>(|reply| reply.resid = 0),
            reads_back: true,
            ..Kind::of::<vn::Setextattr>("SETEXTATTR")
        },
        Kind {
            ask: |calls, _| calls.extattr_delete(&path("f"), "colour"),
            ..Kind::of::<vn::Deleteextattr>("DELETEEXTATTR")
        },
        Kind {
            ask: |calls, _| calls.statvfs(MNT).map(|room| assert_eq!(room.bfree, 77)),
            good: |request| crate::statvfs(request, 77),
            reads_back: true,
            ..Kind::of::<vfs::Statvfs>("STATVFS")
        },
        Kind {
            ask: |calls, _| calls.getfh(MNT, 64).map(drop),
            good: |request| request.reply_data::<vfs::NodeToFh>(&[1; 8], |reply| reply.dsize = 8),
            reads_back: true,
            ..Kind::of::<vfs::NodeToFh>("VPTOFH")
        },
    ]
}

/// `_PC_LINK_MAX`.
const PC_LINK_MAX: i32 = 1;
