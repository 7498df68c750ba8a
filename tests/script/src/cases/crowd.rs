//! Callers who all wait for the server at once.

use super::kinds::ROOM;
use crate::{
    script::{ask_for, mount_args, Answer, Call, Rule, Script, MNT},
    world::{Calls, Fd, How, Lock},
    Frame,
};
use puffs_rs::{
    abi::{vn, Cookie, KArgs, Message, VnOp, Vtype, KFLAG_NOCACHE_PAGE},
    kern::{Errno, Result},
};
use std::time::Duration;

/// How many of the callers have a file of their own; the others make calls
/// that lock no file.
const FILES: usize = 56;

/// What a crowd must be able to ask for.
pub(super) fn set_args(args: &mut KArgs) {
    args.flags |= KFLAG_NOCACHE_PAGE;
    let ops = [
        VnOp::Fsync,
        VnOp::Read,
        // For files that are open for writing, as locks want it.
        VnOp::Write,
        VnOp::Readdir,
        VnOp::Advlock,
    ];
    ask_for(args, &ops);
}

type Ask = fn(&dyn Calls, Fd) -> Result<()>;

/// Calls that ask for one thing each, and lock their file at most. (A read at a
/// place asks for a SEEK as well, where the server has it. A write that is
/// interrupted is a success for NetBSD once its bytes are in the request.)
const ASKS: [Ask; 4] = [
    |calls, file| calls.fsync(file),
    |calls, file| calls.read(file, 0, ROOM).map(drop),
    |calls, file| calls.getdents(file, ROOM).map(drop),
    |calls, file| calls.lock(file, Lock::WRITE, false),
];

/// Which of them wants a directory.
const LISTING: usize = 2;

/// From which one on they lock no file.
const FREE: usize = 3;

fn ask_of(nth: usize) -> usize {
    if nth < FILES {
        // The last first, so that a crowd of one locks nothing.
        ASKS.len() - 1 - nth % ASKS.len()
    } else {
        FREE + nth % (ASKS.len() - FREE)
    }
}

/// Callers of all sorts who have made their requests.
pub(super) struct Crowd {
    calls: Vec<Call<Result<()>>>,
    files: Vec<Fd>,
}

impl Crowd {
    /// Has `count` callers make a request each. All are on the queue when it
    /// returns, and none was read.
    pub(super) fn gather(script: &Script, count: usize) -> Crowd {
        let own = count.min(FILES);
        for nth in 0..own {
            let cookie = Cookie(0x10_0000 + nth * 0x100);
            let vtype = if ask_of(nth) == LISTING {
                Vtype::Dir
            } else {
                Vtype::Reg
            };
            script.file(&format!("f{nth}"), cookie, vtype, 4096);
        }
        let opened = script.run(move |calls| {
            let open = |nth| {
                let how = How {
                    write: ask_of(nth) != LISTING,
                    ..How::READ
                };
                calls.open(&format!("{MNT}/f{nth}"), how)
            };
            (0..own).map(open).collect::<Result<Vec<_>>>()
        });
        let files = match opened {
            Ok(files) => files,
            Err(error) => panic!("open: {error:?}"),
        };
        let mut calls = Vec::new();
        for nth in 0..count {
            // Who has no file of its own locks one that others lock.
            let shared = || nth * ASKS.len() % (FILES - FILES % ASKS.len());
            let file = files[if nth < own { nth } else { shared() }];
            let ask = ASKS[ask_of(nth)];
            calls.push(script.call(move |calls| ask(calls, file)));
        }
        script.wait_queued(count);
        Crowd { calls, files }
    }

    /// Has the server read `count` of the requests and keep them:
    /// [`Script::held`] hands them out.
    pub(super) fn read(script: &Script, count: usize) {
        keep::<vn::Fsync>(script);
        keep::<vn::Read>(script);
        keep::<vn::Readdir>(script);
        keep::<vn::Advlock>(script);
        script.wait_held(count);
    }

    /// Sends everybody a signal.
    pub(super) fn signal(&self, signal: i32) {
        self.calls.iter().for_each(|call| call.signal(signal));
    }

    /// Waits for everybody, and closes the files; returns how the calls ended.
    pub(super) fn end(self, script: &Script) -> Vec<Result<()>> {
        self.end_as(script, Script::join)
    }

    /// The same, and nothing is served before everybody has returned.
    pub(super) fn end_aside(self, script: &Script) -> Vec<Result<()>> {
        self.end_as(script, Script::join_aside)
    }

    fn end_as(
        self,
        script: &Script,
        join: impl Fn(&Script, Call<Result<()>>) -> Result<()>,
    ) -> Vec<Result<()>> {
        let ends = self.calls.into_iter().map(|call| join(script, call));
        let ends: Vec<_> = ends.collect();
        // Who closes a file gives its locks back.
        script.allow(Rule::on::<vn::Advlock>().reply(Frame::reply_header));
        let files = self.files;
        let closed = script.run(move |calls| {
            let closed = files.into_iter().map(|file| calls.close(file));
            closed.collect::<Result<Vec<_>>>()
        });
        if let Err(error) = closed {
            panic!("close: {error:?}");
        }
        ends
    }
}

/// From now on such requests are read and kept.
pub(super) fn keep<T: Message>(script: &Script) {
    script.allow(Rule::on::<T>().answer(|_| Answer::Later));
}

/// The size of a crowd in words.
pub(super) fn size(count: usize) -> String {
    match count {
        1 => "1 caller".into(),
        _ => format!("{count} callers"),
    }
}

/// How all calls ended, if all ended alike.
pub(super) fn all_alike(ends: &[Result<()>]) -> Result<()> {
    match ends.split_first() {
        Some((first, rest)) => {
            let other = rest.iter().find(|&end| end != first);
            assert_eq!(other, None, "most ended with {first:?}");
            *first
        }
        None => panic!("nobody called"),
    }
}

/// How many ended well, if all others ended with this error.
pub(super) fn well_or(error: Errno, ends: &[Result<()>]) -> usize {
    let well = ends.iter().filter(|end| end.is_ok()).count();
    let failed = ends.iter().filter(|&&end| end == Err(error)).count();
    assert_eq!(well + failed, ends.len(), "{ends:?}");
    well
}

/// A good answer to a request of a crowd.
pub(super) fn good(request: &Frame) -> Frame {
    if request.is::<vn::Read>() {
        request.reply_data::<vn::Read>(&[7; 100], |reply| reply.resid = ROOM - 100)
    } else if request.is::<vn::Readdir>() {
        request.reply_with::<vn::Readdir>(|reply| reply.eofflag = 1)
    } else {
        request.reply_header()
    }
}

/// The mount is gone, and another one works at once.
pub(super) fn another_mount_works(script: &Script) {
    script.until("the mount to go", || !script.is_mounted());
    let another = Script::new(script.world.clone());
    // Who unmounts may yet have to uncover the directory.
    script.wait_aside("the mount to be made", || {
        let mounted = another.mount(&mount_args());
        let known = [Ok(()), Err(Errno::ENOENT), Err(Errno::EBUSY)];
        assert!(known.contains(&mounted), "mount again: {mounted:?}");
        mounted.is_ok()
    });
    another.assert_alive();
    assert_eq!(another.unmount(false), Ok(()), "unmount again");
    another.die();
}

/// How long a call may wait that is not to wait to the end.
pub(super) const LONG: Duration = Duration::from_secs(15);
