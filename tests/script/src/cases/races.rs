//! Everything at once: callers of all sorts, a server that does what it likes,
//! signals, and an end that comes in the midst of it. Whatever happens,
//! everybody returns, the mount comes down, and nothing is left.

use super::{crowd, kinds::ROOM};
use crate::{
    case::{After, Case, Ends, Told},
    script::{ask_for, flush, header, Call, Script, MNT, ROOT},
    world::{Ability, Calls, How, Lock, Whence},
    Frame,
};
use puffs_rs::{
    abi::{vn, Cookie, KArgs, OpClass, Req, VnOp, Vtype, SETBACK_NOREF_N1},
    kern::{Errno, Result},
};
use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

const FAMILY: &str = "races";

const SIGNALS: [i32; 4] = [1, 2, 15, 30];

/// Something may come within this time.
const TICK: Duration = Duration::from_micros(200);

/// A generator of numbers (xorshift64*), always the same for a seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// Less than `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server dies.
    Death,
    /// Somebody unmounts by force.
    Forced,
    /// Somebody unmounts until it works.
    Unforced,
    /// All of these.
    All,
}

const ENDS: [(&str, End); 4] = [
    ("the server dies", End::Death),
    ("somebody unmounts by force", End::Forced),
    ("somebody unmounts until it works", End::Unforced),
    ("all that at once", End::All),
];

/// How many callers there are, for each seed.
const CALLERS: [usize; 6] = [8, 8, 16, 16, 32, 64];

/// After how many frames it ends.
const FRAMES: usize = 400;

/// Files and directories that callers work on; half of each.
const FILES: usize = 8;

fn cookie(nth: usize) -> Cookie {
    Cookie(0x30_0000 + nth * 0x100)
}

fn vtype(nth: usize) -> Vtype {
    if nth.is_multiple_of(4) {
        Vtype::Dir
    } else {
        Vtype::Reg
    }
}

fn args(args: &mut KArgs) {
    let ops = [
        VnOp::Create,
        VnOp::Open,
        VnOp::Close,
        VnOp::Access,
        VnOp::Setattr,
        VnOp::Read,
        VnOp::Write,
        VnOp::Poll,
        VnOp::Fsync,
        VnOp::Seek,
        VnOp::Remove,
        VnOp::Mkdir,
        VnOp::Rmdir,
        VnOp::Rename,
        VnOp::Readdir,
        VnOp::Inactive,
        VnOp::Reclaim,
        VnOp::Pathconf,
        VnOp::Advlock,
        VnOp::Getextattr,
    ];
    ask_for(args, &ops);
}

/// One call, or a few that belong together. What comes of it is nobody's
/// business.
fn something(calls: &dyn Calls, dice: &mut Dice) -> Result<()> {
    let name = format!("{MNT}/r{}", dice.roll(FILES));
    let how = How {
        write: dice.roll(2) == 0,
        create: dice.roll(4) == 0,
        ..How::READ
    };
    match dice.roll(12) {
        0 => calls.stat(&name).map(drop),
        1 => calls.truncate(&name, 100),
        2 => calls.chmod(&name, 0o600),
        3 => calls.access(&name, 4),
        4 => calls.unlink(&name),
        5 => calls.mkdir(&name),
        6 => calls.rename(&name, &format!("{MNT}/r{}", dice.roll(FILES))),
        7 => calls.pathconf(&name, 1).map(drop),
        8 => calls.extattr_get(&name, "colour", ROOM).map(drop),
        _ => {
            let file = calls.open(&name, how)?;
            let done = match dice.roll(7) {
                0 => calls.read(file, 0, 3 * ROOM).map(drop),
                1 => calls.write(file, 100, &[7; ROOM]).map(drop),
                2 => calls.fsync(file),
                3 => calls.getdents(file, ROOM).map(drop),
                4 => calls.seek(file, 17, Whence::Start).map(drop),
                5 => calls.lock(file, Lock::WRITE, false),
                _ => calls.poll(file, 1, Duration::from_millis(3)).map(drop),
            };
            calls.close(file)?;
            done
        }
    }
}

/// A good reply.
fn good(request: &Frame) -> Frame {
    if request.is::<vn::Lookup>() {
        let nth = request.req().id as usize % (FILES + 2);
        if nth >= FILES {
            return request.reply_error(2);
        }
        return crate::found(request, cookie(nth), vtype(nth), 4096);
    }
    if request.is::<vn::Getattr>() {
        let nth = request.req().cookie.0.wrapping_sub(cookie(0).0) / 0x100;
        let vtype = if request.req().cookie == ROOT {
            Vtype::Dir
        } else {
            vtype(nth)
        };
        return crate::attributes(request, vtype, 4096);
    }
    if request.is::<vn::Read>() {
        let asked = request.get::<vn::Read>().resid;
        return request.reply_data::<vn::Read>(&vec![7; asked], |reply| reply.resid = 0);
    }
    if request.is::<vn::Create>() {
        // The server has no idea of names: a new file each time.
        let new = Cookie(0x100_0000 + request.req().id as usize * 0x10);
        return request.reply_with::<vn::Create>(|reply| reply.newnode = new);
    }
    if request.is::<vn::Mkdir>() {
        let new = Cookie(0x800_0000 + request.req().id as usize * 0x10);
        return request.reply_with::<vn::Mkdir>(|reply| reply.newnode = new);
    }
    if request.is::<vn::Write>() {
        return request.reply_with::<vn::Write>(|reply| reply.resid = 0);
    }
    let reply = crowd::good(request);
    if reply.len() > size_of::<Req>() {
        return reply;
    }
    // Nothing that anybody reads.
    request.reply(request.len())
}

/// What the server does with its frames.
struct Whims<'a> {
    script: &'a Script,
    dice: Dice,
    /// It owes these an answer, and will give one.
    late: Vec<Frame>,
    /// It owes these one, and will not.
    never: Vec<Frame>,
    frames: usize,
}

impl Whims<'_> {
    /// It takes a frame, if there is one, and does something. False: there is
    /// none, or no mount.
    fn serve(&mut self) -> bool {
        let Ok(Some(request)) = self.script.device.try_read() else {
            return false;
        };
        self.frames += 1;
        let class = request.class();
        let asks = matches!(class, Some(OpClass::Vfs | OpClass::Vn)) && !request.is_response();
        if !asks || request.is_faf() {
            return true;
        }
        let mut reply = good(&request);
        match self.dice.roll(16) {
            0 => reply = request.reply_error(self.dice.roll(97) as i32),
            1 => {
                // Any byte of it is another.
                let at = self.dice.roll(reply.len());
                reply.bytes_mut()[at] ^= 1 << self.dice.roll(8);
                let len = reply.len();
                reply.set_framelen(len);
                // It may have been the id.
                self.late.push(request);
            }
            2 => {
                reply.resize(8 + self.dice.roll(request.len()));
                // It may have no whole header.
                self.late.push(request);
            }
            3 => reply.req_mut().setbacks = SETBACK_NOREF_N1,
            4 => self.send(&reply.clone()),
            5 | 6 => {
                self.late.push(request);
                return true;
            }
            7 if self.never.len() < 3 => {
                self.never.push(request);
                return true;
            }
            _ => {}
        }
        self.send(&reply);
        self.remember();
        self.bother();
        true
    }

    /// One that it owes an answer gets it.
    fn remember(&mut self) {
        if self.late.len() > 4 || (!self.late.is_empty() && self.dice.roll(4) == 0) {
            let request = self.late.swap_remove(self.dice.roll(self.late.len()));
            self.send(&good(&request));
        }
    }

    /// It asks for something itself.
    fn bother(&mut self) {
        let cookie = match self.dice.roll(4) {
            0 => ROOT,
            _ => cookie(self.dice.roll(FILES)),
        };
        match self.dice.roll(40) {
            op @ 0..=5 => self.send(&flush(op as i32, cookie, 0, 0)),
            6 => {
                let (class, id) = (self.dice.roll(9) as u16, self.dice.next());
                self.send(&header(class, 0, id));
            }
            _ => {}
        }
    }

    /// Everybody gets an answer who waits for one.
    fn make_good(&mut self) {
        let owed: Vec<_> = self.late.drain(..).chain(self.never.drain(..)).collect();
        for request in owed {
            self.send(&request.reply_error(5));
        }
    }

    /// Serves well until `done`.
    fn serve_well(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        self.make_good();
        self.script.wait_aside(what, || {
            while let Ok(Some(request)) = self.script.device.try_read() {
                let asks = matches!(request.class(), Some(OpClass::Vfs | OpClass::Vn));
                if asks && !request.is_faf() && !request.is_response() {
                    self.send(&good(&request));
                }
            }
            done()
        });
    }

    /// The mount may be gone, and the frame may be none.
    fn send(&self, frame: &Frame) {
        let _ = self.script.device.write(frame.bytes());
    }
}

/// Callers who do something until they are told to stop.
fn callers(
    script: &Script,
    count: usize,
    dice: &mut Dice,
    stop: &Arc<AtomicBool>,
) -> Vec<Call<()>> {
    let caller = |_| {
        let (mut dice, stop) = (Dice::new(dice.next()), stop.clone());
        script.call(move |calls| {
            while !stop.load(Ordering::Relaxed) {
                // Any errno is right.
                let _ = something(calls, &mut dice);
            }
        })
    };
    (0..count).map(caller).collect()
}

/// Somebody who unmounts until there is nothing to unmount.
fn unmounter(script: &Script, force: bool) -> Call<()> {
    script.call(move |calls| loop {
        match calls.unmount(MNT, force) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => break,
            // Busy, refused, or the server does not know its protocol.
            Err(_) => std::thread::sleep(TICK),
        }
    })
}

fn play(script: &Script, seed: u64, count: usize, end: End) -> Ends {
    let mut dice = Dice::new(seed);
    let stop = Arc::new(AtomicBool::new(false));
    let calls = callers(script, count, &mut dice, &stop);
    let signals = script.world.can(Ability::Signals);
    let mut server = Whims {
        script,
        dice: dice.clone(),
        late: Vec::new(),
        never: Vec::new(),
        frames: 0,
    };
    // All callers may wait for what will never come.
    let mut idle = 0;
    while server.frames < FRAMES && idle < 50 {
        if server.serve() {
            idle = 0;
        } else {
            idle += 1;
            server.remember();
            std::thread::sleep(TICK);
        }
        if signals && dice.roll(20) == 0 {
            calls[dice.roll(count)].signal(SIGNALS[dice.roll(SIGNALS.len())]);
        }
    }

    let mut umounts = Vec::new();
    if matches!(end, End::Forced | End::All) {
        umounts.push(unmounter(script, true));
    }
    if matches!(end, End::Unforced | End::All) {
        umounts.push(unmounter(script, false));
    }
    match end {
        End::Death => {}
        End::All => {
            for _ in 0..dice.roll(30) {
                server.serve();
            }
        }
        End::Unforced | End::Forced => {
            // The callers have their files open again and again.
            stop.store(true, Ordering::Relaxed);
            server.serve_well("the unmount", || umounts.iter().all(Call::is_done));
        }
    }
    if matches!(end, End::Death | End::All) {
        script.die();
    }
    stop.store(true, Ordering::Relaxed);
    for call in calls {
        script.join_aside(call);
    }
    for umount in umounts {
        script.join_aside(umount);
    }
    crowd::another_mount_works(script);
    Ends::As(ANYHOW)
}

const ANYHOW: &str = "anyhow";

/// The cases of the family.
pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (words, end) in ENDS {
        for (seed, &count) in CALLERS.iter().enumerate() {
            let seed = seed as u64 + 1;
            all.push(
                Case::new(FAMILY, words)
                    .variant(format!("{count} callers, seed {seed}"))
                    .rows(&[1, 6, 8, 11, 12, 13, 21])
                    .args(args)
                    .caller(Ends::As(ANYHOW))
                    .told(Told::As("what it deserves"))
                    .after(After::ComesDown)
                    .body(move |script| play(script, seed, count, end)),
            );
        }
    }
    all
}
