//! What a server writes to the device, while requests of every kind are
//! outstanding.
//!
//! An input is a [`Script`]: which of the [mounts](World) it is about, how
//! what is left is ended, and then steps. A step makes a request, or lets the
//! server read, reply (well or badly), write something else, or lets a caller
//! leave. All of it runs on one thread: a request is sent by one step, and
//! waited for when its outcome is there. Operations that wait by themselves
//! run too, from the file handle to the check of the reply's last number:
//! while they sleep, the hook of [`on_sleep`](kernel::on_sleep) goes on with
//! the script as the server.

use crate::{
    ops::{self, Op, Want, OPS},
    oracle::{self, Baseline},
    script::{Script, Writer},
};
use puffs_hosted::{
    bench::quiet_args,
    kernel::{self, Actor, Kernel, Mount, VnodeRef, MNT_FORCE, STALE},
    server::{Client, ROOT},
    user::{Open, User},
    vnops::{self, Call, Transferring},
};
use puffs_rs::{
    abi::{
        self,
        consts::{MSGSTRUCT_MAX, MSG_MAXSIZE},
        notify::Flush,
        vn, Cookie, KArgs, OpClass, Req, VfsOp, VnOp, FHFLAG_DYNAMIC, FHFLAG_PASSTHROUGH,
        KFLAG_CACHE_FS_TTL, KFLAG_LOOKUP_FULLPNBUF, KFLAG_NOCACHE_NAME,
    },
    kern::{Errno, Result},
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// The file that is always there.
const FILE: Cookie = Cookie(0x5000);

/// What replies call files that they name.
const COOKIES: [Cookie; 6] = [
    Cookie(0x6000),
    FILE,
    ROOT,
    Cookie::NULL,
    Cookie(0x6010),
    Cookie(usize::MAX),
];

/// Numbers that something may trip over.
const WORDS: [u64; 20] = [
    0,
    1,
    2,
    3,
    8,
    64,
    255,
    1024,
    1025,
    4096,
    0x1_0000,
    1 << 31,
    1 << 40,
    1 << 62,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
    u64::MAX - 1,
    u64::MAX - 7,
    0x1000,
];

/// How much payload requests have.
const ROOM: [usize; 8] = [0, 1, 8, 64, 512, 1020, 4096, 5000];

/// How much one `read(2)` of the server's takes; 0 is a whole frame.
const PIECES: [usize; 4] = [0, 8, 100, 4096];

/// After so many inputs the kernel is shut down, which finds what only shows
/// then, and booted again.
const LIFETIME: usize = 20_000;

/// The longest time to live, and the time until the service thread looks, in ticks.
const FOR_EVER: i64 = i32::MAX as i64 / 2 + 1001;

/// What an unmount sleeps for.
const DRAINED: &str = "puffsref";

/// How often a frame may be repeated: more reports than the kernel keeps. That
/// takes a while, so few inputs may.
const REPEATS: usize = 1100;

/// The first byte of an input whose mount is its own, or larger.
const OWN: u8 = 0xfc;

/// The first byte of an input that may repeat a frame that often.
const FLOOD: u8 = 0xfb;

/// The bit in the id of a flush that is answered when it is done.
const FLUSH: u64 = 1 << 63;

/// How many steps an input has at most.
const STEPS: usize = 400;

/// The steps. New ones go to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// A request that somebody waits for, or nobody.
    Call,
    /// The page cache reads.
    PageRead,
    /// The page cache writes.
    PageWrite,
    /// A poll.
    Poll,
    /// The server reads.
    Read,
    /// The server replies.
    Reply,
    /// The server writes some bytes.
    Raw,
    /// The server asks for a flush.
    Flush,
    /// A caller gets a signal and leaves.
    Leave,
    /// A system call.
    Operation,
    /// How much the core says of what it does.
    Debug,
    /// Whether the device gives requests back twice.
    Twice,
    /// The server writes its last frame many times more.
    Repeat,
    /// The mount ends, if it is one for this input only.
    End,
    /// Time passes, and the threads of the kernel go on.
    Wait,
}

const STEP: [Step; 15] = [
    Step::Call,
    Step::PageRead,
    Step::PageWrite,
    Step::Poll,
    Step::Read,
    Step::Reply,
    Step::Raw,
    Step::Flush,
    Step::Leave,
    Step::Operation,
    Step::Debug,
    Step::Twice,
    Step::Repeat,
    Step::End,
    Step::Wait,
];

thread_local! {
    /// Never freed: the process ends with it.
    static WORLD: Cell<Option<&'static RefCell<Option<World>>>> = const { Cell::new(None) };

    /// Who goes on while somebody sleeps.
    static OTHERS: RefCell<Option<Others>> = const { RefCell::new(None) };
}

/// Runs one input.
///
/// # Panics
/// If it finds something.
pub fn run(input: &[u8]) {
    let cell = WORLD.get().unwrap_or_else(|| {
        let cell: &'static RefCell<Option<World>> = Box::leak(Box::default());
        WORLD.set(Some(cell));
        cell
    });
    let mut world = cell.take().unwrap_or_else(World::boot);
    world.run(input);
    if world.runs == LIFETIME {
        world.shutdown();
    } else {
        cell.replace(Some(world));
    }
}

/// The mounts that are there all the time.
fn kinds() -> [KArgs; 4] {
    let plain = || {
        let mut args = quiet_args();
        args.flags = KFLAG_NOCACHE_NAME;
        args
    };
    let mut timed = plain();
    timed.flags |= KFLAG_CACHE_FS_TTL | KFLAG_LOOKUP_FULLPNBUF;
    timed.fhflags = FHFLAG_DYNAMIC;
    timed.fhsize = 64;
    let mut passing = plain();
    passing.fhflags = FHFLAG_PASSTHROUGH;
    passing.maxmsglen = 2 * MSGSTRUCT_MAX;
    let mut old = plain();
    old.time32 = 1;
    [plain(), timed, passing, old]
}

/// The kernel with a mount of each kind.
struct World {
    kernel: Kernel,
    caller: User,
    stations: Vec<Station>,
    baseline: Baseline,
    /// How many vnodes there are between inputs.
    vnodes: usize,
    runs: usize,
}

/// A mount, its server, and a caller.
struct Station {
    path: String,
    mount: Arc<Mount>,
    server: Rc<RefCell<Server>>,
    waiters: Rc<RefCell<Waiters>>,
    caller: Rc<Actor>,
    root: VnodeRef,
    file: VnodeRef,
    ttl: bool,
    time32: bool,
    /// It ends with its input.
    is_temporary: bool,
}

impl World {
    fn boot() -> World {
        const YEAR: Duration = Duration::from_secs(365 * 86400);

        kernel::on_sleep(|why| {
            let others = OTHERS.with_borrow(Option::clone);
            others.is_some_and(|others| others.go_on(why))
        });
        let kernel = Kernel::boot_for(YEAR);
        let caller = User::new("caller");
        let stations = kinds()
            .iter()
            .enumerate()
            .map(|(i, args)| Station::mount(&caller, &format!("/{i}"), args, false))
            .collect();
        let baseline = Baseline::take(&kernel);
        World {
            vnodes: kernel.vnodes(),
            kernel,
            caller,
            stations,
            baseline,
            runs: 0,
        }
    }

    fn run(&mut self, input: &[u8]) {
        self.runs += 1;
        let mut script = Script::new(input);
        let which = script.u8();
        let ending = Ending::of(script.u8());
        let kind = usize::from(which) % self.stations.len();
        // A mount of its own is a lot of work.
        let own = (which >= OWN).then(|| {
            let station = Station::mount(&self.caller, "/own", &kinds()[kind], true);
            station.server.borrow_mut().frames = 0;
            station
        });
        let floods = which == FLOOD;
        let station = own.as_ref().unwrap_or(&self.stations[kind]);
        let mut run = Run::new(&self.kernel, &self.caller, station, script, ending);
        station.serve(|server| server.repeats = if floods { REPEATS } else { 16 });
        run.steps();
        run.finish();
        let (frames, lines) = (station.server.borrow().frames, run.lines);
        if let Some(station) = own {
            station.end();
        }
        if self.kernel.vnodes() != self.vnodes {
            self.kernel.shrink();
            if self.stations[kind].ttl {
                // The service thread remembers a node until its time is over.
                self.kernel.advance(FOR_EVER);
            }
        }
        self.stations[kind].serve(Server::settle);
        oracle::console(&self.kernel, lines + 2 * frames + 64);
        self.kernel.set_debug(0);
        self.baseline.check(&self.kernel);
    }

    fn shutdown(self) {
        for station in self.stations {
            station.end();
        }
        drop(self.caller);
        self.kernel.shutdown();
    }
}

impl Station {
    fn mount(user: &User, path: &str, args: &KArgs, is_temporary: bool) -> Station {
        let process = User::new("server");
        let actor = process.actor("thread");
        let mounted = actor.run(|| {
            let client = Client::open();
            client.file().set_nonblock(true);
            client.mount(path, args).map(|mount| (client, mount))
        });
        let (client, mount) = match mounted {
            Ok(mounted) => mounted,
            Err(error) => panic!("mount: {error:?}"),
        };
        let server = Rc::new(RefCell::new(Server::new(path, process, actor, client)));
        let waiters = Rc::new(RefCell::new(Waiters {
            actor: user.actor("waiter"),
            waiting: Vec::new(),
            through: Vec::new(),
        }));
        OTHERS.replace(Some(Others {
            server: server.clone(),
            waiters: waiters.clone(),
        }));
        let caller = Rc::new(user.actor("call"));
        server.borrow_mut().caller = Some(caller.clone());
        let found = caller.run(|| {
            let root = user.vnode(path)?;
            let file = user.vnode(&format!("{path}/file"))?;
            Ok((root, file))
        });
        OTHERS.take();
        let (root, file) = match found {
            Ok(found) => found,
            Err::<_, Errno>(error) => panic!("lookup: {error:?}"),
        };
        assert_eq!(file.cookie(), FILE.0);
        Station {
            path: path.to_owned(),
            mount,
            server,
            waiters,
            caller,
            root,
            file,
            ttl: args.flags & KFLAG_CACHE_FS_TTL != 0,
            time32: args.time32 != 0,
            is_temporary,
        }
    }

    /// Runs something as the server.
    fn serve<T>(&self, f: impl FnOnce(&mut Server) -> T) -> T {
        f(&mut self.server.borrow_mut())
    }

    /// The server dies, and the mount goes.
    fn end(self) {
        let Station {
            mount,
            server,
            caller,
            root,
            file,
            ..
        } = self;
        caller.run(|| drop((root, file)));
        let start = Instant::now();
        if server.borrow().unmounts {
            server.borrow_mut().unmount();
        } else {
            server.borrow_mut().die();
        }
        while !mount.is_gone() {
            server.borrow_mut().drain();
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "the mount does not go"
            );
            kernel::pause();
        }
        server.borrow_mut().die();
        OTHERS.take();
    }
}

/// Those who do something while somebody sleeps.
#[derive(Clone)]
struct Others {
    server: Rc<RefCell<Server>>,
    waiters: Rc<RefCell<Waiters>>,
}

/// Callers that wait for a reply, or are through with that.
struct Waiters {
    actor: Actor,
    waiting: Vec<Waiting>,
    through: Vec<Through>,
}

impl Others {
    /// Does something; false if there was nothing to do.
    fn go_on(&self, why: &str) -> bool {
        if why == DRAINED {
            // An unmount waits for everybody whom it just sent off. It may also
            // be about to do that, so that they must not wait for it.
            let waiters = self.waiters.try_borrow_mut();
            return waiters.is_ok_and(|mut waiters| waiters.finish_one(true));
        }
        // The server's own sleep is not for the server to end.
        let server = self.server.try_borrow_mut();
        server.is_ok_and(|mut server| server.turn())
    }
}

impl Waiters {
    fn finish_one(&mut self, leaves: bool) -> bool {
        let next = self.waiting.pop();
        next.map(|waiting| self.finish(waiting, leaves)).is_some()
    }

    /// A caller waits for an outcome that is there, or leaves before it is.
    fn finish(&mut self, waiting: Waiting, leaves: bool) {
        let Waiting {
            op,
            call,
            id,
            asked,
            forget,
        } = waiting;
        let (outcome, got) = self.actor.run(|| {
            if leaves {
                self.actor.lwp().signal(kernel::SIGINT);
            }
            call.finish()
        });
        self.through.push(Through {
            op,
            id,
            asked,
            forget,
            leaves,
            outcome,
            got,
        });
    }
}

/// How what is left is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// By good replies.
    Good,
    /// By an errno.
    Bad,
    /// The callers leave, and then the replies come.
    Late,
}

impl Ending {
    fn of(byte: u8) -> Ending {
        match byte % 4 {
            2 => Ending::Bad,
            3 => Ending::Late,
            _ => Ending::Good,
        }
    }
}

/// The server's half of a run.
struct Server {
    name: String,
    client: Option<Client>,
    actor: Actor,
    _process: User,
    room: Vec<u8>,
    /// What was read of a frame so far.
    partial: Vec<u8>,
    /// The requests that it has and did not answer.
    requests: Vec<Vec<u8>>,
    /// The ids of those.
    known: BTreeSet<u64>,
    /// The replies that it wrote, by the id of their request.
    settled: BTreeMap<u64, Vec<u8>>,
    /// The frame that it wrote last.
    last: Vec<u8>,
    repeats: usize,
    /// How many frames it wrote.
    frames: usize,
    /// How many flushes it asked for, and how many answers came.
    flushes: usize,
    answers: usize,
    /// No poll is answered with an event any more.
    no_events: bool,
    may_unmount: bool,
    /// In the end it asks for the unmount.
    unmounts: bool,
    script: Script,
    ending: Ending,
    steps: usize,
    /// Who makes system calls.
    caller: Option<Rc<Actor>>,
}

impl Server {
    fn new(path: &str, process: User, actor: Actor, client: Client) -> Server {
        Server {
            name: path.to_owned(),
            client: Some(client),
            actor,
            _process: process,
            room: vec![0; MSG_MAXSIZE + MSGSTRUCT_MAX],
            partial: Vec::new(),
            requests: Vec::new(),
            known: BTreeSet::new(),
            settled: BTreeMap::new(),
            last: Vec::new(),
            repeats: 0,
            frames: 0,
            flushes: 0,
            answers: 0,
            no_events: false,
            may_unmount: false,
            unmounts: false,
            script: Script::default(),
            ending: Ending::Good,
            steps: 0,
            caller: None,
        }
    }

    /// Starts with a script of its own.
    fn start(&mut self, script: Script, ending: Ending) {
        self.script = script;
        self.ending = ending;
        self.requests.clear();
        self.known.clear();
        self.settled.clear();
        self.last.clear();
        (self.frames, self.flushes, self.answers) = (0, 0, 0);
        self.no_events = false;
        self.unmounts = false;
        self.steps = STEPS;
    }

    /// The next step; `None` at the end.
    fn next(&mut self) -> Option<Step> {
        if self.script.is_over() || self.steps == 0 {
            return None;
        }
        self.steps -= 1;
        Some(STEP[self.script.pick(STEP.len())])
    }

    /// Somebody sleeps: does a step of the server's, or ends what is left.
    /// False if nothing is.
    fn turn(&mut self) -> bool {
        match self.next() {
            Some(Step::Leave) => {
                // One that ends system calls, or one that must not end these.
                let signal = match self.script.u8() % 2 {
                    0 => kernel::SIGINT,
                    _ => kernel::SIGALRM,
                };
                if let Some(caller) = &self.caller {
                    caller.lwp().signal(signal);
                }
            }
            Some(step) => self.step(step),
            None => return self.drain(),
        }
        true
    }

    /// Does a step, if it is one of the server's.
    fn step(&mut self, step: Step) {
        match step {
            Step::Read => {
                let piece = PIECES[self.script.pick(PIECES.len())];
                self.read(piece);
            }
            Step::Reply => self.reply(),
            Step::Raw => {
                let len = usize::from(self.script.u8());
                let lie = self.script.u8();
                let mut frame = self.script.bytes(len);
                if frame.len() < 8 {
                    frame.resize(8, 0);
                }
                let framelen = match lie {
                    0..=0xef => frame.len() as u64,
                    lie => WORDS[usize::from(lie - 0xf0)],
                };
                frame[..8].copy_from_slice(&framelen.to_ne_bytes());
                self.write(&frame);
            }
            Step::Flush => {
                let (op, cookie) = (self.script.u8(), self.script.u8());
                let (start, end) = (self.script.u8(), self.script.u8());
                let mut flush = Flush::new_zeroed();
                flush.req.pth.framelen = size_of::<Flush>() as u64;
                flush.req.opclass = OpClass::Flush.into();
                flush.req.id = self.flushes as u64;
                flush.op = i32::from(op as i8 % 8);
                flush.cookie = COOKIES[usize::from(cookie) % COOKIES.len()];
                flush.start = i64::from(start as i8) * 512;
                flush.end = i64::from(end as i8) * 512;
                self.write(flush.as_bytes());
            }
            Step::Twice => {
                let twice = self.script.u8() & 1 != 0;
                if let Some(client) = &self.client {
                    client.file().set_releases_twice(twice);
                }
            }
            Step::Repeat => {
                let many = self.script.u8();
                let times = if many == 0xff {
                    REPEATS
                } else {
                    usize::from(many) % 16
                };
                let times = times.min(self.repeats);
                self.repeats -= times;
                let frame = self.last.clone();
                for _ in 0..times {
                    self.write(&frame);
                }
            }
            // Nobody moves the clock on while somebody sleeps.
            Step::Wait => kernel::pause(),
            _ => {}
        }
    }

    /// Reads at most `piece` bytes, or a whole frame.
    fn read(&mut self, piece: usize) -> bool {
        let Some(client) = self.client.clone() else {
            return false;
        };
        let len = if piece == 0 { self.room.len() } else { piece };
        let room = &mut self.room[..len];
        let Ok(len) = self.actor.run(|| client.file().read(room)) else {
            return false;
        };
        self.partial.extend_from_slice(&self.room[..len]);
        if client.file().unread() != 0 {
            return true;
        }
        let frame = std::mem::take(&mut self.partial);
        let Ok((req, _)) = Req::read_from_prefix(&frame) else {
            panic!("a request of {} bytes", frame.len());
        };
        assert_eq!(req.pth.framelen, frame.len() as u64, "framelen");
        if req.opclass & abi::OPCLASS_RESPONSE != 0 {
            let class = req.opclass & abi::OPCLASS_MASK;
            let is_flush = class == u16::from(OpClass::Flush) && req.id & FLUSH != 0;
            self.answers += usize::from(is_flush);
        } else if req.opclass & abi::OPCLASS_MASK != u16::from(OpClass::Error) {
            assert!(req.buflen >= frame.len(), "no room for a reply");
            if req.id != 0 {
                self.known.insert(req.id);
            }
            self.requests.push(frame);
        }
        true
    }

    fn write(&mut self, frame: &[u8]) {
        let Some(client) = self.client.clone() else {
            return;
        };
        let mut frame = frame.to_vec();
        let framelen = u64::read_from_prefix(&frame).map_or(0, |(len, _)| len as usize);
        let taken = (8..=frame.len()).contains(&framelen);
        let mut header = Req::new_zeroed();
        let len = framelen.min(size_of::<Req>()).min(frame.len());
        header.as_mut_bytes()[..len].copy_from_slice(&frame[..len]);
        let class = header.opclass & abi::OPCLASS_MASK;
        if taken && class == u16::from(OpClass::Unmount) {
            // A thread of the kernel's would do it at the same time as the
            // rest; so it comes last, and only where nobody needs the mount.
            self.unmounts |= framelen >= size_of::<Req>();
            header.opclass = OpClass::Suspend.into();
            frame[..len].copy_from_slice(&header.as_bytes()[..len]);
        }
        let whole = taken && framelen >= size_of::<Req>();
        if taken && class == u16::from(OpClass::Flush) {
            // Those that the service thread answers are known by their ids.
            header.id &= FLUSH - 1;
            if framelen == size_of::<Flush>() {
                header.id |= FLUSH;
                self.flushes += 1;
            }
            frame[..len].copy_from_slice(&header.as_bytes()[..len]);
        }
        let is_reply = whole && [OpClass::Vfs.into(), OpClass::Vn.into()].contains(&class);
        if is_reply && self.known.remove(&header.id) {
            self.settled.insert(header.id, frame[..framelen].to_vec());
        }
        self.frames += 1;
        let outcome = self.actor.run(|| client.file().write(&frame));
        oracle::legal("write", &outcome);
        // The device does not take anything from a mount that went.
        let gone = self.may_unmount && outcome == Err(Errno::ENOENT);
        assert!(
            gone || outcome.is_ok() == taken,
            "write of {framelen} of {} bytes to {}: {outcome:?}",
            frame.len(),
            self.name
        );
        self.last = frame;
    }

    /// A reply, good or bent.
    fn reply(&mut self) {
        let which = usize::from(self.script.u8());
        let bend = self.script.u8();
        let cookie = COOKIES[self.script.pick(COOKIES.len())];
        let (request, mine) = match self.requests.len() {
            0 => (Req::new_zeroed().as_bytes().to_vec(), None),
            len => (self.requests[which % len].clone(), Some(which % len)),
        };
        let fields = ops::of(&request).map_or(&[][..], |op| op.fields);
        let mut reply = ops::reply(&request, cookie);
        if bend & 0x01 != 0 {
            // Many fields are at least as interesting as the others.
            for _ in 0..=self.script.pick(3) {
                let (at, word) = (self.script.u8(), self.script.u8());
                let word = match word {
                    0..=0x7f => u64::from(word),
                    _ => WORDS[usize::from(word) % WORDS.len()],
                };
                let at = match fields.len() {
                    len if at < 0x80 && len != 0 => fields[usize::from(at) % len],
                    _ => usize::from(self.script.u16()),
                };
                let len = reply.len();
                let room = reply.get_mut(at..len.min(at.saturating_add(8)));
                if let Some(room) = room {
                    let len = room.len();
                    room.copy_from_slice(&word.to_ne_bytes()[..len]);
                }
            }
        }
        if bend & 0x02 != 0 {
            let len = usize::from(self.script.u16()) % (3 * MSGSTRUCT_MAX);
            reply.resize(len.max(8), 0x5a);
        }
        if bend & 0x80 != 0 {
            reply.truncate(size_of::<Req>());
        }
        let mut header = Req::new_zeroed();
        let len = reply.len().min(size_of::<Req>());
        header.as_mut_bytes()[..len].copy_from_slice(&reply[..len]);
        if bend & 0x04 != 0 {
            let rv = self.script.u8();
            header.rv = match rv {
                0..=100 => i32::from(rv),
                _ => WORDS[usize::from(rv) % WORDS.len()] as i32,
            };
        }
        if bend & 0x08 != 0 {
            header.setbacks = u32::from(self.script.u8());
        }
        if bend & 0x10 != 0 {
            header.id = header.id.wrapping_add(u64::from(self.script.u8()));
        }
        if bend & 0x20 != 0 {
            header.opclass = u16::from(self.script.u8());
        }
        if bend & 0x40 != 0 {
            header.optype = u16::from(self.script.u8());
        }
        header.pth.framelen = reply.len() as u64;
        reply[..len].copy_from_slice(&header.as_bytes()[..len]);
        self.write(&reply);
        let id = Req::read_from_prefix(&request).map_or(0, |(asked, _)| asked.id);
        if let Some(mine) = mine.filter(|_| !self.known.contains(&id)) {
            self.requests.swap_remove(mine);
        }
    }

    /// Reads all there is and ends it. False if there was nothing.
    fn drain(&mut self) -> bool {
        let mut some = !self.requests.is_empty();
        while self.read(0) {
            some = true;
        }
        // What is left of a frame goes with its mount.
        let whole = self.partial.is_empty() || self.may_unmount;
        assert!(whole, "half of a frame is left");
        for request in std::mem::take(&mut self.requests) {
            self.answer(&request);
        }
        some
    }

    /// The same, and waits for what the service thread is at.
    fn settle(&mut self) {
        let start = Instant::now();
        self.drain();
        while self.answers < self.flushes && !self.may_unmount {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{} answers to {} flushes",
                self.answers,
                self.flushes
            );
            kernel::pause();
            self.drain();
        }
    }

    /// Ends one request.
    fn answer(&mut self, request: &[u8]) {
        let Ok((mut header, _)) = Req::read_from_prefix(request) else {
            return;
        };
        if !self.known.contains(&header.id) {
            return;
        }
        if self.ending == Ending::Bad {
            header.rv = Errno::EIO.get();
            header.pth.framelen = size_of::<Req>() as u64;
            return self.write(header.as_bytes());
        }
        let mut reply = ops::reply(request, FILE);
        let is_poll = header.opclass & abi::OPCLASS_MASK == u16::from(OpClass::Vn)
            && header.optype == VnOp::Poll as u16;
        if self.no_events && is_poll {
            if let Ok((poll, _)) = vn::Poll::mut_from_prefix(&mut reply) {
                poll.events = 0;
            }
        }
        let len = reply.len() as u64;
        reply[..8].copy_from_slice(&len.to_ne_bytes());
        self.write(&reply);
    }

    /// Asks for the unmount.
    fn unmount(&mut self) {
        let Some(client) = self.client.clone() else {
            return;
        };
        let mut header = Req::new_zeroed();
        header.pth.framelen = size_of::<Req>() as u64;
        header.opclass = OpClass::Unmount.into();
        let outcome = self.actor.run(|| client.file().write(header.as_bytes()));
        oracle::legal("the wish for an unmount", &outcome);
    }

    /// The descriptor is closed.
    fn die(&mut self) {
        let client = self.client.take();
        self.partial.clear();
        self.actor.run(|| drop(client));
    }
}

/// A request that its caller waits for.
struct Waiting {
    op: &'static Op,
    call: Call,
    id: u64,
    asked: Vec<u8>,
    forget: bool,
}

/// A request whose caller knows the outcome.
struct Through {
    op: &'static Op,
    id: u64,
    asked: Vec<u8>,
    forget: bool,
    leaves: bool,
    outcome: Result<()>,
    got: Vec<u8>,
}

/// One input at work.
struct Run<'a> {
    kernel: &'a Kernel,
    user: &'a User,
    station: &'a Station,
    reads: Vec<Transferring>,
    writes: Vec<Transferring>,
    polls: usize,
    /// How many lines on the console are all right, beside those for frames.
    lines: usize,
    ended: bool,
}

impl<'a> Run<'a> {
    fn new(
        kernel: &'a Kernel,
        user: &'a User,
        station: &'a Station,
        script: Script,
        ending: Ending,
    ) -> Run<'a> {
        station.serve(|server| {
            server.start(script, ending);
            server.may_unmount = station.is_temporary;
        });
        OTHERS.replace(Some(Others {
            server: station.server.clone(),
            waiters: station.waiters.clone(),
        }));
        Run {
            kernel,
            user,
            station,
            reads: Vec::new(),
            writes: Vec::new(),
            polls: 0,
            lines: 0,
            ended: false,
        }
    }

    fn u8(&self) -> u8 {
        self.station.serve(|server| server.script.u8())
    }

    fn steps(&mut self) {
        while let Some(step) = self.station.serve(Server::next) {
            match step {
                Step::Call => self.call(),
                Step::PageRead => {
                    let len = ROOM[usize::from(self.u8()) % 7].max(1);
                    let file = &self.station.file;
                    let read = || Transferring::read(file, 0, len);
                    self.reads.push(self.station.caller.run(read));
                }
                Step::PageWrite => {
                    let len = ROOM[usize::from(self.u8()) % 7].max(1);
                    let file = &self.station.file;
                    let write = || Transferring::write(file, 0, &vec![0xaa; len]);
                    self.writes.push(self.station.caller.run(write));
                }
                Step::Poll => {
                    self.polls += 1;
                    let file = &self.station.file;
                    let events = i32::from(self.u8());
                    let poll = || vnops::poll_file(file, events, false);
                    oracle::legal("poll", &self.station.caller.run(poll));
                }
                Step::Leave => {
                    let which = usize::from(self.u8());
                    let mut waiters = self.station.waiters.borrow_mut();
                    if !waiters.waiting.is_empty() {
                        let which = which % waiters.waiting.len();
                        let waiting = waiters.waiting.swap_remove(which);
                        waiters.finish(waiting, true);
                    }
                }
                Step::Operation => self.operation(),
                Step::Debug => {
                    let level = i32::from(self.u8() % 3);
                    self.lines += 1000 * STEPS;
                    self.kernel.set_debug(level);
                }
                Step::End => {
                    let how = self.u8();
                    if self.station.is_temporary && !self.ended {
                        self.end(how);
                    }
                }
                Step::Wait => {
                    self.kernel.advance(1 << (self.u8() % 12));
                    kernel::pause();
                }
                step => self.station.serve(|server| server.step(step)),
            }
        }
    }

    fn call(&mut self) {
        let op = &OPS[usize::from(self.u8()) % OPS.len()];
        let how = self.u8();
        let want = Want {
            more: ROOM[usize::from(how & 7)],
            other: how & 0x10 != 0,
        };
        let (asked, delta) = ops::request(op, want);
        let forget = how & 0x20 != 0;
        let interrupted = how & 0x40 != 0;
        let vnode = if how & 0x08 != 0 {
            &self.station.file
        } else {
            &self.station.root
        };
        let mut waiters = self.station.waiters.borrow_mut();
        let sent = waiters.actor.run(|| {
            if interrupted {
                waiters.actor.lwp().signal(kernel::SIGINT);
            }
            Call::send(vnode, (op.class, op.op), &asked, delta, forget)
        });
        let Ok(mut call) = sent else { return };
        let id = call.id();
        let waiting = Waiting {
            op,
            id,
            call,
            asked,
            forget,
        };
        if id == 0 {
            // Nobody waits, or it was not sent: who is not counted as a user
            // of the mount must not come back later.
            waiters.finish(waiting, interrupted);
        } else {
            waiters.waiting.push(waiting);
        }
    }

    /// Checks the outcome of a request against what the server did.
    fn check(&self, through: Through) {
        let Through {
            op,
            id,
            asked,
            forget,
            leaves,
            outcome,
            got,
        } = through;
        let name = op.name;
        oracle::legal(name, &outcome);
        if self.station.time32 && ops::time32_size(op).is_some() {
            // Its id is in the server's form alone, so that we do not know which
            // reply was the one.
            return;
        }
        let reply = self
            .station
            .serve(|server| server.settled.get(&id).cloned());
        let start = size_of::<Req>();
        let unchanged = got[start..] == asked[start..];
        let Some(reply) = reply else {
            assert!(unchanged, "{name}: changed without a reply");
            let right = match outcome {
                Ok(()) => forget,
                Err(Errno::EINTR) => leaves,
                Err(Errno::ENXIO) => self.ended,
                Err(_) => false,
            };
            assert!(right, "{name} without a reply: {outcome:?}");
            return;
        };
        let header: Req = match Req::read_from_prefix(&reply) {
            Ok((header, _)) => header,
            Err(_) => panic!("a reply without a header"),
        };
        if outcome == Err(Errno::EINTR) && leaves && unchanged {
            // It was gone when the reply came.
            return;
        }
        if outcome == Err(Errno::ENXIO) && self.ended && unchanged {
            // The mount was.
            return;
        }
        let code = Errno::code(outcome);
        let accepted = reply.len() <= got.len() && {
            let mut wanted = asked.clone();
            wanted[..reply.len()].copy_from_slice(&reply);
            if header.rv == 0 {
                ops::amend(op, &asked, &mut wanted, &got);
            }
            wanted == got
        };
        // The attributes in it are looked at once more, with the node.
        let disputed = op.class == OpClass::Vn as u16
            && match VnOp::try_from(op.op) {
                Ok(VnOp::Getattr) => true,
                Ok(
                    VnOp::Setattr
                    | VnOp::Lookup
                    | VnOp::Create
                    | VnOp::Mknod
                    | VnOp::Mkdir
                    | VnOp::Symlink,
                ) => self.station.ttl,
                _ => false,
            };
        if code == header.rv && accepted {
            if code == 0 {
                let root = ROOT;
                ops::check(op, &asked, &got, reply.len(), root, self.station.ttl);
            }
        } else {
            assert_eq!(
                code,
                Errno::EPROTO.get(),
                "{name}: rv {} of a reply of {} bytes",
                header.rv,
                reply.len()
            );
            assert!(
                unchanged || (disputed && accepted),
                "{name}: a bad reply came through"
            );
        }
    }

    /// A system call: it sleeps, and the server goes on meanwhile.
    fn operation(&mut self) {
        let (which, how) = (self.u8(), self.u8());
        let Station {
            path,
            mount,
            caller,
            ..
        } = self.station;
        let user = self.user;
        let name = format!("{path}/f");
        // One operation asks for several things, each of which may be refused.
        self.lines += 16;
        let room = ROOM[usize::from(how) % ROOM.len()];
        let outcome = caller.run(|| match which % 20 {
            0 => user.statvfs(path).map(drop),
            1 => {
                let got = user.getfh(path, room);
                got.map(drop).map_err(|(error, _)| error)
            }
            2 => {
                let mut handle = vec![0; room.max(4)];
                let len = handle.len() as u16;
                handle[..2].copy_from_slice(&len.to_ne_bytes());
                user.fhstat(mount, &handle).map(drop)
            }
            3 => user.sync(path, i32::from(how % 4)),
            4 => {
                let file = (how & 1 != 0).then_some(&*name);
                let attribute = (how & 2 != 0).then_some(c"attribute");
                user.extattrctl(mount, 1, file, 1, attribute)
            }
            5 => user.stat(path).map(drop),
            6 => user.stat(&name).map(drop),
            7 => user.readlink(&name).map(drop),
            8 => user.open(&name, Open::CREATE).map(drop),
            9 => user.mkdir(&name),
            10 => user.mknod(&name, abi::Vtype::Fifo, 0),
            11 => user.symlink("target", &name),
            12 => user.link(&name, &format!("{path}/g")),
            13 => user.rename(&name, &format!("{path}/g")),
            14 => user.unlink(&name),
            15 => user.rmdir(&name),
            16 => user
                .open(&name, Open::READ)
                .and_then(|file| file.read_at(0, room).map(drop)),
            17 => user.open(&name, Open::WRITE).and_then(|file| {
                file.write_at(0, &vec![0xaa; room])?;
                file.fsync()
            }),
            18 => user.readdir(path, room.max(64)).map(drop),
            _ => user.stat(&format!("{path}/..")).map(drop),
        });
        oracle::legal("operation", &outcome);
    }

    /// The end of a mount that is there for this input only.
    fn end(&mut self, how: u8) {
        self.ended = true;
        match how % 3 {
            0 => self.station.serve(Server::die),
            1 => {
                let mount = &self.station.mount;
                let unmount = || kernel::unmount_mount(mount, MNT_FORCE);
                oracle::legal("unmount", &self.station.caller.run(unmount));
            }
            _ => {}
        }
    }

    /// Ends what is left of it, and looks at the outcomes.
    fn finish(&mut self) {
        let ending = self.station.serve(|server| server.ending);
        if ending == Ending::Late {
            let mut waiters = self.station.waiters.borrow_mut();
            for waiting in std::mem::take(&mut waiters.waiting) {
                waiters.finish(waiting, true);
            }
        }
        self.station.serve(Server::settle);
        while self.station.waiters.borrow_mut().finish_one(false) {}
        let through = std::mem::take(&mut self.station.waiters.borrow_mut().through);
        for through in through {
            self.check(through);
        }
        for read in std::mem::take(&mut self.reads) {
            assert!(read.is_done(), "a read of pages is not through");
            let (error, resid, data) = self.station.caller.run(|| read.finish());
            assert!((0..=Errno::LAST).contains(&error), "a read: errno {error}");
            if error == 0 {
                assert_eq!(resid, 0, "a read of a part of the pages");
                assert!(!data.contains(&STALE), "what another file left is read");
            } else {
                let untouched = data.iter().all(|&byte| byte == STALE);
                assert!(untouched, "a read that failed changed pages");
            }
        }
        for write in std::mem::take(&mut self.writes) {
            assert!(write.is_done(), "a write of pages is not through");
            let (error, resid, _) = self.station.caller.run(|| write.finish());
            assert!((0..=Errno::LAST).contains(&error), "a write: errno {error}");
            assert!(error != 0 || resid == 0, "a write of a part");
        }
        if self.polls != 0 && !self.station.is_temporary {
            self.take_events();
        }
        self.station.serve(|server| {
            if let Some(client) = &server.client {
                client.file().set_releases_twice(false);
            }
        });
    }

    /// Leaves no event of the file for the next input.
    fn take_events(&mut self) {
        // One poll takes what the last one asked for, and asks again itself.
        for _ in 0..4 {
            self.station.serve(|server| server.no_events = true);
            let file = &self.station.file;
            let poll = || vnops::poll_file(file, 0x7fff, false);
            let there = self.station.caller.run(poll);
            self.station.serve(Server::settle);
            if there.unwrap_or(0) == 0 {
                break;
            }
        }
    }
}

/// The seeds: for each operation a request with a good reply, with an errno,
/// with a header only, and with none; the page cache and polls; each system
/// call; and what the server asks for by itself.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let step = |step: Step| STEP.iter().position(|&other| other == step).unwrap_or(0) as u8;
    let mut add = |name: String, kind: u8, ending: u8, body: &[u8]| {
        let mut bytes = vec![kind, ending];
        bytes.extend_from_slice(body);
        seeds.push((name, bytes));
    };
    let (call, read, reply) = (step(Step::Call), step(Step::Read), step(Step::Reply));
    for (i, op) in OPS.iter().enumerate() {
        let mut body = Writer::default();
        // Good; header only; an errno; a word that is too large.
        for (how, bend) in [(0x04, 0x00), (0x14, 0x80), (0x04, 0x84), (0x14, 0x01)] {
            body.bytes(&[call, i as u8, how, read, 0, reply, 0, bend, 0]);
            match bend {
                0x84 => body.u8(2),
                0x01 => body.bytes(&[0, 0, 0xc0]),
                _ => &mut body,
            };
        }
        // One that nobody answers in time.
        body.bytes(&[call, i as u8, 0x24, call, i as u8, 0x02]);
        let ending = (i % 4) as u8;
        add(op.name.to_lowercase(), ending, ending, &body.finish());
    }
    let (inactive, readdir) = (25, 22);
    let body = [call, inactive, 0x40, call, readdir, 0x44, read, 0];
    add("interrupted".into(), 0, 0, &body);
    let operation = step(Step::Operation);
    let leave = step(Step::Leave);
    add("alarm".into(), 0, 0, &[operation, 0, 0, leave, 1, read, 0]);
    for word in [0x80, 0x8d, 0x8e, 0x90] {
        let mut body = Writer::default();
        for (op, field) in [
            (6, 2),
            (6, 3),
            (0, 4),
            (1, 1),
            (1, 2),
            (22, 5),
            (22, 4),
            (22, 1),
        ] {
            body.bytes(&[call, op, 0x14, read, 0, reply, 0, 1, 0, 0, field, word]);
        }
        add(format!("bounds-{word:x}"), 1, 0, &body.finish());
    }
    for which in 0..20 {
        let body = [operation, which, 3, read, 0, reply, 0, 0, 0];
        add(format!("call-{which}"), which % 4, 0, &body);
    }
    let pages = [step(Step::PageRead), step(Step::PageWrite)];
    let poll = step(Step::Poll);
    let mut body = Writer::default();
    for (bend, word) in [
        (0x00, &[][..]),
        (0x80, &[]),
        (0x84, &[5]),
        (0x01, &[0, 0, 4]),
    ] {
        body.bytes(&[pages[0], 3, pages[1], 3, poll, 1]);
        for _ in 0..3 {
            body.bytes(&[read, 0, reply, 0, bend, 0]).bytes(word);
        }
    }
    add("pages".into(), 0, 0, &body.finish());
    let (raw, flush) = (step(Step::Raw), step(Step::Flush));
    // A symbolic link whose target has a NUL in it.
    let body = [
        operation, 0x88, 0, read, 0, reply, 0xbd, 1, 1, 2, 0, 0, 7, 5, 0, 8, read, 0, reply, 0xbd,
        1, 0, 0, 0, 5,
    ];
    add("link-nul".into(), 0x2a, 0, &body);
    let wait = step(Step::Wait);
    // The system call that looks a file up leaves it to the clock.
    let body = [operation, 6, 0, reply, 0, 0, 0, wait, 11, read, 0, wait, 11];
    add("expiry".into(), 1, 0, &body);
    // A directory that is made, and whose name holds for long.
    let (none, ttl) = ([0x84, 0, 2], [0x01, 0, 0, 2, 101]);
    let mut body = Writer::default();
    body.bytes(&[operation, 9, 0, read, 0, reply, 0])
        .bytes(&none);
    body.bytes(&[read, 0, reply, 0]).bytes(&ttl);
    add("long-lived".into(), 1, 0, &body.finish());
    for op in 0..6 {
        let body = [flush, op, op % 3, 0, 0, wait, 0, flush, op, 1, 1, 4];
        add(format!("flush-{op}"), op % 4, 0, &body);
    }
    let mut body = Writer::default();
    for class in 0..8 {
        let mut header = Req::new_zeroed();
        header.opclass = class;
        body.bytes(&[raw, size_of::<Req>() as u8, 0])
            .bytes(header.as_bytes());
    }
    body.bytes(&[raw, 8, 0]).bytes(&[0; 8]);
    body.bytes(&[step(Step::Repeat), 0xff]);
    add("raw".into(), FLOOD, 0, &body.finish());
    let seek = 15;
    let mut body = Writer::default();
    body.bytes(&[call, seek, 0, call, seek, 0, call, seek, 0, leave, 0]);
    body.bytes(&[read, 1, leave, 0, read, 0, read, 0, leave, 0]);
    body.bytes(&[reply, 0, 0, 0, reply, 0, 0, 0]);
    add("leave".into(), 0, 3, &body.finish());
    let mut body = Writer::default();
    body.bytes(&[step(Step::Debug), 2, step(Step::Twice), 1, call, seek, 0]);
    body.bytes(&[read, 0, reply, 0, 0, 0, call, seek, 0, leave, 0]);
    add("debug".into(), 0, 0, &body.finish());
    for how in 0..3 {
        let mut body = Writer::default();
        body.bytes(&[call, seek, 0, pages[0], 3, pages[1], 3, poll, 1, read, 0]);
        body.bytes(&[call, seek, 0, read, 1, step(Step::End), how]);
        add(format!("end-{how}"), OWN + how, 0, &body.finish());
    }
    let statvfs = OPS
        .iter()
        .position(|op| op.op == VfsOp::Statvfs as u16 && op.class == OpClass::Vfs as u16)
        .unwrap_or(0);
    let mut header = Req::new_zeroed();
    header.opclass = OpClass::Unmount.into();
    let mut body = Writer::default();
    body.bytes(&[call, statvfs as u8, 0, raw, size_of::<Req>() as u8, 0])
        .bytes(header.as_bytes());
    add("unmount".into(), OWN, 0, &body.finish());
    seeds
}
