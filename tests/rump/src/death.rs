//! Servers that die, round after round: a mount, many callers, and a death at
//! a request or a moment that chance picks. Everybody must get out, and in the
//! end nothing may be left.

use puffs_rs::abi::{
    consts, vfs, vn, Cookie, OpClass, VfsOp, VnOp, Vtype, KFLAG_NOCACHE_NAME, KFLAG_NOCACHE_PAGE,
};
use puffs_script::{
    attributes, found, mount_args, name_of,
    world::{Calls, Device, How, Process, Thread},
    Frame, World, BLOCKS, ENOENT, MNT, ROOT,
};
use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

const EIO: i32 = 5;
const SIGINT: i32 = 2;
const PC_LINK_MAX: i32 = 1;

/// The size of the files, in bytes.
const SIZE: usize = 16384;

/// What is being stressed.
pub(crate) struct Plan {
    /// How many servers die.
    pub(crate) rounds: u64,
    /// How many threads call.
    pub(crate) callers: usize,
    /// What chance begins with.
    pub(crate) seed: u64,
    /// How long a round may take.
    pub(crate) limit: Duration,
}

/// Numbers of chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// When a server dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// At a request, without an answer to it.
    At(u64),
    /// After so much time, wherever it is.
    After(Duration),
    /// At the request for the unmount.
    AtUnmount(Duration),
    /// While somebody unmounts by force.
    WhileUnmounted(Duration),
}

impl Death {
    fn pick(chance: &mut Chance, callers: usize) -> Death {
        let moment = Duration::from_micros(chance.below(20_000));
        match chance.below(4) {
            0 => Death::After(moment),
            1 => Death::AtUnmount(moment),
            2 => Death::WhileUnmounted(moment),
            _ => Death::At(1 + chance.below(20 * callers as u64)),
        }
    }
}

/// What all threads of a round share.
struct Shared {
    device: Arc<dyn Device>,
    dying: AtomicBool,
    requests: AtomicU64,
    calls: AtomicU64,
    /// What each caller does: one of [`CALLS`].
    doing: Vec<AtomicUsize>,
    /// How the calls ended.
    ends: Mutex<BTreeMap<i32, u64>>,
}

impl Shared {
    fn die(&self) {
        self.dying.store(true, Ordering::SeqCst);
        self.device.die();
    }

    fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    fn describe(&self) -> String {
        let doing = self.doing.iter().map(|doing| doing.load(Ordering::Relaxed));
        let doing: Vec<_> = doing.filter_map(|call| CALLS.get(call).copied()).collect();
        format!(
            "the server is {}; {} requests, {} calls; callers are in {}",
            if self.is_dying() { "dead" } else { "alive" },
            self.requests.load(Ordering::SeqCst),
            self.calls.load(Ordering::SeqCst),
            doing.join(", ")
        )
    }
}

/// What the rounds have come to, for the thread that watches them.
struct Now {
    began: Instant,
    what: String,
    shared: Option<Arc<Shared>>,
}

#[derive(Clone)]
struct Watch(Arc<Mutex<Now>>);

impl Watch {
    /// Ends the process when something takes longer than the limit.
    fn start(limit: Duration) -> Watch {
        let watch = Watch(Arc::new(Mutex::new(Now {
            began: Instant::now(),
            what: String::new(),
            shared: None,
        })));
        let seen = watch.clone();
        std::thread::spawn(move || loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = seen.now();
            if now.began.elapsed() < limit {
                continue;
            }
            println!("hang: {} is not over after {limit:?}", now.what);
            if let Some(shared) = &now.shared {
                println!("{}", shared.describe());
            }
            std::process::exit(3);
        });
        watch
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, what: String) {
        let mut now = self.now();
        now.began = Instant::now();
        now.what = what;
        now.shared = None;
    }
}

/// Has so many servers die.
pub(crate) fn run(world: &Rc<dyn World>, plan: &Plan) -> Result<(), String> {
    let watch = Watch::start(plan.limit);
    let users: Vec<_> = (0..8).map(|_| world.process("user")).collect();
    let (mut requests, mut calls) = (0, 0);
    let mut ends = BTreeMap::new();
    let start = Instant::now();
    for round in 0..plan.rounds {
        let mut chance = Chance(plan.seed.wrapping_mul(1 << 32).wrapping_add(round));
        let death = Death::pick(&mut chance, plan.callers);
        watch.begin(format!("round {round}, a death {death:?}"));
        let shared = one_round(world, &users, plan, death, &mut chance, &watch);
        requests += shared.requests.load(Ordering::SeqCst);
        calls += shared.calls.load(Ordering::SeqCst);
        let of_round = shared.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (&errno, &count) in of_round.iter() {
            *ends.entry(errno).or_insert(0) += count;
        }
        if (round + 1) % 500 == 0 {
            let seconds = start.elapsed().as_secs();
            println!("{} rounds, {seconds} s", round + 1);
        }
    }
    watch.begin("the unloading".into());
    drop(users);
    world.finish()?;
    let ends: Vec<_> = ends
        .iter()
        .map(|(errno, count)| format!("{errno}: {count}"))
        .collect();
    println!(
        "{} of {} rounds, {requests} requests, {calls} calls; errnos {}",
        plan.rounds,
        plan.rounds,
        ends.join(", ")
    );
    Ok(())
}

fn one_round(
    world: &Rc<dyn World>,
    users: &[Arc<dyn Process>],
    plan: &Plan,
    death: Death,
    chance: &mut Chance,
    watch: &Watch,
) -> Arc<Shared> {
    let server = world.process("server");
    let device = match server.open_device() {
        Ok(device) => device,
        Err(error) => panic!("the device: {error:?}"),
    };
    let shared = Arc::new(Shared {
        device,
        dying: AtomicBool::new(false),
        requests: AtomicU64::new(0),
        calls: AtomicU64::new(0),
        doing: (0..plan.callers)
            .map(|_| AtomicUsize::new(CALLS.len()))
            .collect(),
        ends: Mutex::default(),
    });
    watch.now().shared = Some(shared.clone());
    let mut args = mount_args();
    // All there are.
    args.vnopmask.fill(1);
    args.maxmsglen = consts::MSG_MAXSIZE;
    if chance.once_in(2) {
        args.flags |= KFLAG_NOCACHE_PAGE;
    }
    if chance.once_in(2) {
        args.flags |= KFLAG_NOCACHE_NAME;
    }
    if let Err(error) = shared.device.mount(MNT, &args) {
        panic!("mount: {error:?}");
    }
    let of_server = (shared.clone(), chance.next());
    let server_thread = std::thread::spawn(move || serve(&of_server.0, death, of_server.1));
    let callers: Vec<_> = (0..plan.callers)
        .map(|number| {
            let (shared, seed) = (shared.clone(), chance.next());
            let work = move |calls: &dyn Calls| call(&shared, number, calls, seed);
            users[number % users.len()].spawn("caller", Box::new(work))
        })
        .collect();
    kill(world, &shared, death, &callers, chance);
    for caller in callers {
        caller.join();
    }
    if server_thread.join().is_err() {
        panic!("the server panicked");
    }
    while is_mounted(&users[0]) {
        std::thread::sleep(Duration::from_millis(1));
    }
    shared
}

/// Has the server die when it is time, and meanwhile some callers leave.
fn kill(
    world: &Rc<dyn World>,
    shared: &Shared,
    death: Death,
    callers: &[Box<dyn Thread>],
    chance: &mut Chance,
) {
    let unmount = |force: bool| {
        let process = world.process("umount");
        process.spawn(
            "umount",
            Box::new(move |calls: &dyn Calls| {
                let _ = calls.unmount(MNT, force);
            }),
        )
    };
    let unmounter = match death {
        Death::At(_) => None,
        Death::After(moment) => {
            std::thread::sleep(moment);
            shared.die();
            None
        }
        Death::AtUnmount(moment) => {
            std::thread::sleep(moment);
            Some(unmount(true))
        }
        Death::WhileUnmounted(moment) => {
            let unmounter = unmount(true);
            std::thread::sleep(moment);
            shared.die();
            Some(unmounter)
        }
    };
    let leave = chance.once_in(2);
    while !shared.is_dying() {
        std::thread::sleep(Duration::from_micros(200));
        if leave {
            callers[chance.below(callers.len() as u64) as usize].signal(SIGINT);
        }
        // Nothing that would bring a death by count comes if all wait for
        // answers that are held back, or were sent away by the unmount.
        let unmounted = unmounter.as_ref().is_some_and(|thread| thread.is_done());
        if unmounted || chance.once_in(500) {
            shared.die();
        }
    }
    if let Some(unmounter) = unmounter {
        unmounter.join();
    }
}

fn is_mounted(user: &Arc<dyn Process>) -> bool {
    let mut mounted = false;
    user.enter(&mut |calls| {
        let room = calls.statvfs_nowait(MNT);
        mounted = room.is_ok_and(|room| room.blocks == BLOCKS);
    });
    mounted
}

/// What the server does until its end.
fn serve(shared: &Shared, death: Death, seed: u64) {
    let mut chance = Chance(seed);
    while let Ok(frame) = shared.device.read() {
        let count = shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let is_unmount = frame.is::<vfs::Unmount>();
        let dies = match death {
            Death::At(number) => count >= number,
            Death::AtUnmount(_) => is_unmount,
            Death::After(_) | Death::WhileUnmounted(_) => false,
        };
        if dies {
            break;
        }
        // Now and then nothing, for ever.
        if !is_unmount && chance.once_in(64) {
            continue;
        }
        if let Some(reply) = answer(&frame, count, &mut chance) {
            // The mount may be gone: the next read says so.
            let _ = shared.device.write(reply.bytes());
        }
    }
    shared.die();
}

/// What a file is, by what the server calls it.
fn type_of(cookie: Cookie) -> (Vtype, i64) {
    match cookie.0 % 2 {
        0 => (Vtype::Dir, 512),
        _ => (Vtype::Reg, SIZE as i64),
    }
}

/// A good answer, or now and then an error.
fn answer(request: &Frame, count: u64, chance: &mut Chance) -> Option<Frame> {
    let class = request.class()?;
    if request.is_faf() || request.is_response() {
        return None;
    }
    let op = request.req().optype;
    if class == OpClass::Vfs {
        return Some(match VfsOp::try_from(op).ok()? {
            VfsOp::Statvfs => puffs_script::statvfs(request, 1),
            _ => request.reply_header(),
        });
    }
    if class != OpClass::Vn {
        return None;
    }
    if chance.once_in(32) {
        return Some(request.reply_error(EIO));
    }
    // What is made gets a name that nothing else has.
    let new = |vtype: Vtype| {
        let number = 0x10_0000 + 2 * count as usize;
        Cookie(number + usize::from(vtype == Vtype::Reg))
    };
    Some(match VnOp::try_from(op).ok()? {
        VnOp::Lookup => match name_of(request).as_slice() {
            [b'f', digit] => found(
                request,
                Cookie(0x5001 + 2 * usize::from(*digit)),
                Vtype::Reg,
                SIZE as i64,
            ),
            [b'd', digit] => found(
                request,
                Cookie(0x6000 + 2 * usize::from(*digit)),
                Vtype::Dir,
                512,
            ),
            _ => request.reply_error(ENOENT),
        },
        VnOp::Getattr => {
            let (vtype, size) = if request.req().cookie == ROOT {
                (Vtype::Dir, 512)
            } else {
                type_of(request.req().cookie)
            };
            attributes(request, vtype, size)
        }
        VnOp::Create => request.reply_with::<vn::Create>(|reply| reply.newnode = new(Vtype::Reg)),
        VnOp::Mkdir => request.reply_with::<vn::Mkdir>(|reply| reply.newnode = new(Vtype::Dir)),
        VnOp::Open => request.reply_with::<vn::Open>(|_| {}),
        VnOp::Read => {
            let data = vec![7; request.get::<vn::Read>().resid];
            request.reply_data::<vn::Read>(&data, |reply| reply.resid = 0)
        }
        VnOp::Write => request.reply_with::<vn::Write>(|reply| reply.resid = 0),
        VnOp::Readdir => request.reply_with::<vn::Readdir>(|reply| reply.eofflag = 1),
        VnOp::Poll => request.reply_with::<vn::Poll>(|_| {}),
        VnOp::Pathconf => request.reply_with::<vn::Pathconf>(|_| {}),
        _ => request.reply_header(),
    })
}

/// What callers do. Not `statvfs(2)`: NetBSD 8.99.5 asks the file system of a
/// vnode without regard to whether it is dead by then, and panics.
const CALLS: [&str; 12] = [
    "stat of the root",
    "stat",
    "stat of nothing",
    "creat",
    "read",
    "write",
    "getdents",
    "pathconf",
    "chmod",
    "mkdir",
    "rename",
    "unlink",
];

/// What a caller does until the server is dead.
fn call(shared: &Shared, number: usize, calls: &dyn Calls, seed: u64) {
    let mut chance = Chance(seed);
    let mut ends = BTreeMap::<i32, u64>::new();
    while !shared.is_dying() {
        let what = chance.below(CALLS.len() as u64) as usize;
        shared.doing[number].store(what, Ordering::Relaxed);
        let file = format!("{MNT}/f{}", chance.below(8));
        let other = format!("{MNT}/n{}", chance.below(8));
        let open = |path: &str, create: bool, work: &dyn Fn(usize) -> _| {
            let how = How {
                write: true,
                create,
                ..How::READ
            };
            let opened = calls.open(path, how);
            opened.and_then(|open| {
                let done = work(open);
                calls.close(open).and(done)
            })
        };
        let offset = (chance.below(4) * 4096) as i64;
        let end = match CALLS[what] {
            "stat of the root" => calls.stat(MNT).map(drop),
            "stat" => calls.stat(&file).map(drop),
            "stat of nothing" => calls.stat(&other).map(drop),
            "creat" => open(&other, true, &|_| Ok(())),
            "read" => open(&file, false, &|open| {
                calls.read(open, offset, 6000).map(drop)
            }),
            "write" => open(&file, false, &|open| {
                calls.write(open, offset, &[9; 5000]).map(drop)
            }),
            "getdents" => calls.open(MNT, How::default()).and_then(|open| {
                let listed = calls.getdents(open, 1024);
                calls.close(open).and(listed).map(drop)
            }),
            "pathconf" => calls.pathconf(&file, PC_LINK_MAX).map(drop),
            "chmod" => calls.chmod(&file, 0o600),
            "mkdir" => calls.mkdir(&other),
            "rename" => calls.rename(&file, &other),
            _ => calls.unlink(&file),
        };
        shared.calls.fetch_add(1, Ordering::Relaxed);
        *ends
            .entry(end.err().map_or(0, |error| error.get()))
            .or_default() += 1;
    }
    shared.doing[number].store(CALLS.len(), Ordering::Relaxed);
    let mut all = shared.ends.lock().unwrap_or_else(PoisonError::into_inner);
    for (errno, count) in ends {
        *all.entry(errno).or_default() += count;
    }
}
