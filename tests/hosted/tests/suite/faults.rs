//! Everything that can fail fails, one by one.
//!
//! A script mounts, works, unmounts, and lets a server die. It runs once to
//! count the points where something can fail (see [`Kind`]), and then once for
//! each of them. What a fault may do is fail one call, with the errno that it
//! stands for: made again, the call succeeds, and the script goes on as if
//! nothing had been. In the end nothing is left.

use puffs_hosted::{
    bench::{flush_frame, header_frame, until, MNT, WAITS},
    kernel::{
        self, fails, served, Fault, Kernel, Kind, Mount, Plan, MNT_FORCE, MNT_LAZY, MNT_WAIT, PAGE,
        SIGINT, SIGTERM, SIGUSR1,
    },
    server::{
        memfs::{self, MemFs},
        mount_args, Client, Frame,
    },
    user::{Open, Task, User},
    vnops::vattr_null,
};
use puffs_rs::{
    abi::{notify::FlushOp, vfs, vn, Cookie, OpClass, VnOp, KFLAG_CACHE_FS_TTL, KFLAG_NOCACHE},
    kern::{Errno, Result},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

const POLLIN: i32 = 1;
const POLLHUP: i32 = 0x10;

/// What the calls are named that unmount.
const UNMOUNT: &str = "unmount";
const UNMOUNT_BY_FORCE: &str = "unmount by force";

/// The flags of the two mounts that the script is run with: one that caches
/// everything, one that caches nothing for long.
const FLAVOURS: [u32; 2] = [0, KFLAG_NOCACHE | KFLAG_CACHE_FS_TTL];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server died, because the plan says so; what is left of a part of the
/// script makes no sense.
struct Dead;

type Step<T = ()> = std::result::Result<T, Dead>;

/// One run of the script.
struct Script {
    kernel: Kernel,
    plan: Plan,
    flags: u32,
    server: User,
    user: User,
    /// What a call that failed was put down to.
    charged: RefCell<Vec<Kind>>,
}

/// A mounted file system and its server.
struct Mounted {
    mount: Arc<Mount>,
    task: Task<()>,
    shared: Arc<Shared>,
    answers: mpsc::Receiver<i32>,
}

/// What the server's thread and the script have in common.
struct Shared {
    client: Mutex<Option<Client>>,
    fs: Mutex<MemFs>,
    /// The server answers statvfs no more, keeps its answers to writes, and
    /// exits on an access.
    tired: AtomicBool,
    /// Those answers.
    kept: Mutex<Vec<Frame>>,
    /// What the kernel should not have said or asked.
    wrong: Mutex<Vec<String>>,
}

impl Shared {
    fn client(&self) -> Option<Client> {
        lock(&self.client).clone()
    }

    /// The server's loop: a careful one, which reads and writes again what
    /// failed.
    fn serve(&self, answers: &mpsc::Sender<i32>) {
        while let Some(client) = self.client() {
            let request = match client.read() {
                Ok(request) => request,
                Err(error) if [Kind::Reader.errno(), Kind::Copyout.errno()].contains(&error) => {
                    continue;
                }
                Err(_) => break,
            };
            if request.is_response() {
                // Nobody listens any more if the script is through.
                let _ = answers.send(request.req().rv);
                continue;
            }
            if fails(Kind::Death) {
                break;
            }
            if !self.answer(&client, &request) {
                break;
            }
        }
        // The descriptor goes before the thread does.
        drop(lock(&self.client).take());
    }

    fn answer(&self, client: &Client, request: &Frame) -> bool {
        use puffs_hosted::server::Answer;

        if request.class() == Some(OpClass::Error) {
            lock(&self.wrong).push(format!("{request:?}"));
        }
        let reply = match lock(&self.fs).serve(request) {
            Answer::Reply(reply) => reply,
            Answer::Nothing => return true,
            Answer::Exit => return false,
        };
        if !is_expected(request, reply.req().rv) {
            lock(&self.wrong).push(format!("{reply:?}"));
        }
        served(request.req().lid);
        if self.tired.load(Ordering::SeqCst) {
            if request.is::<vfs::Statvfs>() {
                return true;
            }
            if request.is::<vn::Access>() {
                return false;
            }
            if request.is::<vn::Write>() {
                lock(&self.kept).push(reply);
                return true;
            }
        }
        // A mount that goes away meanwhile shows at the next read.
        while client.write(&reply) == Err(Kind::Copyin.errno()) {}
        true
    }
}

/// Should the file system say this to a request of the script's? What was done
/// may be asked for again. Nothing is asked of a file that is not there.
fn is_expected(request: &Frame, rv: i32) -> bool {
    let (enoent, eexist) = (Errno::ENOENT.get(), Errno::EEXIST.get());
    let op = VnOp::try_from(request.req().optype);
    let errno = match (request.class(), op) {
        (Some(OpClass::Vn), Ok(VnOp::Lookup | VnOp::Remove | VnOp::Rmdir | VnOp::Rename)) => enoent,
        (Some(OpClass::Vn), Ok(VnOp::Create | VnOp::Mkdir | VnOp::Symlink | VnOp::Link)) => eexist,
        _ => 0,
    };
    rv == 0 || rv == errno
}

impl Script {
    /// Does the fault explain that a call failed with this errno?
    fn explains(&self, kind: Kind, what: &str, error: Errno) -> bool {
        let interrupted = [Errno::EINTR, Errno::ERESTART].contains(&error);
        match kind {
            // Everything fails from then on.
            Kind::Death => false,
            // A signal stays until the call is over, and an unmount may wait
            // for more than a reply: any signal ends that, and what restarts
            // the system call is not here.
            Kind::Reply | Kind::Served | Kind::Suspend if what.starts_with(UNMOUNT) => interrupted,
            Kind::Reply | Kind::Served if !self.plan.is_important() => false,
            kind => error == kind.errno(),
        }
    }

    /// Puts a failure down to one of the faults, each of which has one. False
    /// if none explains it.
    fn is_charged(&self, what: &str, error: Errno) -> bool {
        let mut charged = self.charged.borrow_mut();
        let mut left = self.kernel.hits();
        for kind in &*charged {
            if let Some(at) = left.iter().position(|hit| hit == kind) {
                left.remove(at);
            }
        }
        let kind = left
            .into_iter()
            .find(|kind| self.explains(*kind, what, error));
        charged.extend(kind);
        kind.is_some()
    }

    /// The same of a failure that one of them has to explain.
    fn charge(&self, what: &str, error: Errno) {
        assert!(
            self.is_charged(what, error),
            "{what}: {error:?} under {:?}, of which {:?} happened, and {:?} explained a failure",
            self.plan,
            self.kernel.hits(),
            self.charged,
        );
    }

    fn server_died(&self) -> bool {
        self.kernel.hits().contains(&Kind::Death)
    }

    /// Makes a call until it succeeds. One that failed may have been done all
    /// the same, and fail again with `done`.
    fn call<T>(
        &self,
        what: &str,
        done: Option<Errno>,
        call: impl Fn() -> Result<T>,
    ) -> Step<Option<T>> {
        let mut again = false;
        loop {
            let error = match call() {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            // A fault may say the same as who finds it done; asked once more, only the
            // latter does.
            if !self.is_charged(what, error) {
                if again && done == Some(error) {
                    return Ok(None);
                }
                // Asked in vain; not mounted any more.
                let dead = [Errno::ENXIO, Errno::ENOENT, Errno::EINVAL];
                if self.server_died() && dead.contains(&error) {
                    return Err(Dead);
                }
                self.charge(what, error);
            }
            again = true;
        }
    }

    /// Makes a call that can be made again.
    fn get<T>(&self, what: &str, call: impl Fn() -> Result<T>) -> Step<T> {
        match self.call(what, None, call)? {
            Some(value) => Ok(value),
            None => Err(Dead),
        }
    }

    /// Makes a call that makes something.
    fn make(&self, what: &str, call: impl Fn() -> Result<()>) -> Step {
        self.call(what, Some(Errno::EEXIST), call).map(drop)
    }

    /// Makes a call that takes something away.
    fn take(&self, what: &str, call: impl Fn() -> Result<()>) -> Step {
        self.call(what, Some(Errno::ENOENT), call).map(drop)
    }

    fn mount(&self) -> Mounted {
        let mut args = mount_args("script");
        args.flags |= self.flags;
        let client = self.server.run(|_| Client::open());
        let mount = self.get("mount", || self.server.run(|_| client.mount(MNT, &args)));
        let Ok(mount) = mount else {
            panic!("the server died before it was asked for anything");
        };
        let shared = Arc::new(Shared {
            client: Mutex::new(Some(client)),
            fs: Mutex::new(MemFs::new().with_ttl(100)),
            tired: AtomicBool::new(false),
            kept: Mutex::default(),
            wrong: Mutex::default(),
        });
        let (sender, answers) = mpsc::channel();
        let mine = shared.clone();
        let task = self.server.spawn("server", move |_| mine.serve(&sender));
        Mounted {
            mount,
            task,
            shared,
            answers,
        }
    }

    /// Writes a frame as the server.
    fn write(&self, fs: &Mounted, frame: &Frame) -> Result<()> {
        self.server.run(|_| {
            let client = fs.shared.client().ok_or(Errno::ENXIO)?;
            client.write(frame)
        })
    }

    fn send(&self, fs: &Mounted, what: &str, frame: &Frame) -> Step {
        self.get(what, || self.write(fs, frame))
    }

    /// Writes a frame as the server, and waits for the answer.
    fn ask(&self, fs: &Mounted, what: &str, frame: &Frame) -> Step {
        self.get(what, || {
            self.write(fs, frame)?;
            let answer = fs.answers.recv().unwrap_or(Errno::ENXIO.get());
            Errno::check(answer)
        })
    }

    fn flush(&self, fs: &Mounted, op: FlushOp, file: usize) -> Step {
        let frame = flush_frame(op.into(), Cookie(file), 0, 0);
        self.ask(fs, &format!("{op:?}"), &frame)
    }

    /// Everything that users do.
    fn work(&self, fs: &Mounted) -> Step {
        let user = &self.user;
        let blocks = self.get("statvfs", || user.statvfs(MNT))?.blocks;
        assert_eq!(blocks, memfs::BLOCKS);
        self.make("mkdir", || user.mkdir("/mnt/d"))?;
        let file = self.get("open", || user.open("/mnt/d/f", Open::CREATE))?;
        let cookie = file.vnode().cookie();

        let mut data: Vec<u8> = (0..3 * PAGE + 100).map(|i| (i % 251) as u8).collect();
        let written = self.get("write", || file.write_at(0, &data))?;
        assert_eq!(written, data.len());
        self.get("fsync", || file.fsync())?;
        self.flush(fs, FlushOp::InvalPagecacheNodeRange, cookie)?;
        let read = self.get("read", || file.read_at(0, data.len()))?;
        assert!(read == data, "what was read is not what was written");
        for (at, byte) in [(0, 1), (2 * PAGE, 2), (PAGE, 3)] {
            data[at] = byte;
            self.get("write", || file.write_at(at as i64, &[byte]))?;
            match byte {
                1 => self.get("sync", || user.sync(MNT, MNT_LAZY))?,
                2 => self.flush(fs, FlushOp::FlushPagecacheNodeRange, cookie)?,
                _ => self.get("sync", || user.sync(MNT, MNT_WAIT))?,
            }
        }
        let mut va = vattr_null();
        (va.mode, va.size) = (0o600, PAGE as u64 + 10);
        self.get("setattr", || user.setattr("/mnt/d/f", &va))?;
        data.truncate(PAGE + 10);
        let va = self.get("stat", || user.stat("/mnt/d/f"))?;
        assert_eq!((va.mode, va.size), (0o600, data.len() as u64));
        let events = self.get("poll", || file.poll(POLLIN, true))?;
        if events & POLLHUP != 0 && self.server_died() {
            return Err(Dead);
        }
        assert_eq!(events, POLLIN);

        let handle = self.get("getfh", || {
            user.getfh("/mnt/d/f", 64).map_err(|(error, _)| error)
        })?;
        let (found, _) = self.get("fhstat", || user.fhstat(&fs.mount, &handle))?;
        assert_eq!(found, cookie);
        self.get("access", || user.access("/mnt/d/f", 4))?;
        self.make("symlink", || user.symlink("d/f", "/mnt/s"))?;
        let target = self.get("readlink", || user.readlink("/mnt/s"))?;
        assert_eq!(target, "d/f");
        self.make("link", || user.link("/mnt/d/f", "/mnt/l"))?;
        self.take("rename", || user.rename("/mnt/l", "/mnt/d/l"))?;
        let names = self.get("readdir", || user.readdir("/mnt/d", 128))?;
        let names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [".", "..", "f", "l"]);

        drop(file);
        self.flush(fs, FlushOp::InvalNamecacheAll, 0)?;
        user.run(|_| self.kernel.shrink());
        let dir = self.get("stat", || user.stat("/mnt/d"))?.fileid as usize;
        self.flush(fs, FlushOp::InvalNamecacheDir, dir)?;
        let file = self.get("open", || user.open("/mnt/s", Open::READ))?;
        let read = self.get("read", || file.read_at(0, 2 * PAGE))?;
        assert!(read == data, "what is read later is not what was written");
        drop(file);
        for name in ["/mnt/d/f", "/mnt/d/l", "/mnt/s"] {
            self.take("unlink", || user.unlink(name))?;
        }
        self.take("rmdir", || user.rmdir("/mnt/d"))?;
        self.get(UNMOUNT, || user.run(|_| kernel::unmount(MNT, 0)))?;
        Ok(())
    }

    /// A file that is open and not written back, and somebody who waits for an
    /// answer that does not come.
    fn burden(&self, fs: &Mounted) -> Step<(puffs_hosted::user::File, Task<Result<()>>)> {
        let file = self.get("open", || self.user.open("/mnt/f", Open::CREATE))?;
        self.get("write", || file.write_at(0, &[7; 2 * PAGE]))?;
        fs.shared.tired.store(true, Ordering::SeqCst);
        let waiting = self
            .user
            .spawn("statvfs", |user| user.statvfs(MNT).map(drop))
            .until_asleep(WAITS);
        Ok((file, waiting))
    }

    /// Who waited was sent off.
    fn sent_off(&self, waiting: Task<Result<()>>) {
        match waiting.join() {
            Err(Errno::ENXIO) => {}
            Err(error) => self.charge("statvfs", error),
            Ok(()) => panic!("an answer that nobody gave"),
        }
    }

    /// The server dies in the midst of work.
    fn desert(&self, fs: &Mounted) -> Step {
        let (file, waiting) = self.burden(fs)?;
        loop {
            match self.user.access("/mnt/f", 4) {
                Err(Errno::ENXIO) => break,
                Err(Errno::ENOENT) if fs.mount.is_gone() => break,
                Err(error) => self.charge("access", error),
                Ok(()) => panic!("an answer that nobody gave"),
            }
        }
        self.sent_off(waiting);
        drop(file);
        Ok(())
    }

    /// An unmount by force in the midst of work, while the kernel writes a file
    /// back because the server wants it.
    fn force(&self, fs: &Mounted) -> Step {
        let (file, waiting) = self.burden(fs)?;
        let cookie = Cookie(file.vnode().cookie());
        let frame = flush_frame(FlushOp::FlushPagecacheNodeRange.into(), cookie, 0, 0);
        loop {
            self.send(fs, "a flush", &frame)?;
            let answer = loop {
                let answer = fs.answers.recv_timeout(Duration::from_micros(100));
                match answer {
                    Err(mpsc::RecvTimeoutError::Timeout) if lock(&fs.shared.kept).is_empty() => {}
                    other => break other,
                }
            };
            match answer {
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Dead),
                // It writes, or had nothing to write.
                Err(mpsc::RecvTimeoutError::Timeout) | Ok(0) => break,
                Ok(rv) => {
                    let error = Errno::check(rv).err();
                    self.charge("a flush", error.unwrap_or(Errno::EINVAL));
                }
            }
        }
        self.get(UNMOUNT_BY_FORCE, || {
            let unmount = |user: &User| user.run(|_| kernel::unmount(MNT, MNT_FORCE));
            let task = self.user.spawn("unmount", unmount);
            // For others to leave, or for pages that are being written.
            until("the unmount to wait", || {
                let why = task.lwp().asleep();
                task.is_done() || matches!(why.as_deref(), Some("suspend" | "genput"))
            });
            let kept = std::mem::take(&mut *lock(&fs.shared.kept));
            if !task.is_done() {
                for answer in kept {
                    // If the server is dead, nobody waits for it.
                    let _ = self.send(fs, "an answer", &answer);
                }
            } else {
                *lock(&fs.shared.kept) = kept;
            }
            task.join()
        })?;
        self.sent_off(waiting);
        drop(file);
        Ok(())
    }

    /// The server asks to be unmounted.
    fn retire(&self, fs: &Mounted) -> Step {
        let failed = || {
            let hits = self.kernel.hits();
            hits.into_iter().filter(|&hit| hit == Kind::Unmount).count()
        };
        let before = failed();
        self.get("stat", || self.user.stat(MNT))?;
        let frame = header_frame(OpClass::Unmount.into(), 0, 4711);
        self.ask(fs, "a request to be unmounted", &frame)?;
        until("the server to be unmounted", || {
            fs.mount.is_gone() || failed() != before
        });
        if !fs.mount.is_gone() {
            self.unmount_rest(&fs.mount);
        }
        Ok(())
    }

    /// Unmounts what somebody else failed to unmount.
    fn unmount_rest(&self, mount: &Arc<Mount>) {
        let done = self.call(UNMOUNT_BY_FORCE, Some(Errno::ENOENT), || {
            self.user.run(|_| kernel::unmount_mount(mount, MNT_FORCE))
        });
        assert!(done.is_ok() || mount.is_gone());
    }

    /// The end of a part of the script, and of its mount and its server.
    fn end(&self, fs: Mounted, part: Step) {
        fs.task.join();
        if !fs.mount.is_gone() {
            let hits = self.kernel.hits();
            let failed = |kind| hits.contains(&kind);
            assert!(
                failed(Kind::Unmount) || failed(Kind::Suspend),
                "nobody unmounted what the server left"
            );
            self.unmount_rest(&fs.mount);
        }
        until("the mount to go", || self.kernel.mounted() == 0);
        let wrong = std::mem::take(&mut *lock(&fs.shared.wrong));
        assert!(wrong.is_empty(), "{:?}: {wrong:#?}", self.plan);
        assert!(part.is_ok() || self.server_died());
    }

    /// Runs it to the end.
    fn run(&self) {
        let fs = self.mount();
        let files = fs.shared.clone();
        let done = self.work(&fs);
        self.end(fs, done);
        if !self.server_died() {
            let files = lock(&files.fs).files();
            assert_eq!(files, 1, "{:?}: the server keeps files", self.plan);
        }
        for part in [Script::desert, Script::force, Script::retire] {
            let fs = self.mount();
            let done = part(self, &fs);
            self.end(fs, done);
        }
    }
}

/// How a run went.
struct Ran {
    points: BTreeMap<Kind, usize>,
    hits: usize,
}

/// Runs the script with these faults, and the kernel around it.
fn run(flags: u32, plan: Plan) -> Ran {
    let kernel = Kernel::boot_for(Duration::from_secs(20));
    kernel.plan(plan.clone());
    let script = Script {
        kernel,
        plan,
        flags,
        server: User::new("server"),
        user: User::new("user"),
        charged: RefCell::default(),
    };
    script.run();
    let (points, hits) = (script.kernel.points(), script.kernel.hits().len());
    let Script {
        kernel,
        server,
        user,
        ..
    } = script;
    drop((server, user));
    kernel.shutdown();
    Ran { points, hits }
}

/// Runs the script once for each point of these kinds, with each of the mounts.
fn walk(flavours: &[u32], kinds: &[Kind], change: impl Fn(&mut Plan)) {
    let planned = |faults: &[Fault]| {
        let mut plan = Plan::new(faults);
        change(&mut plan);
        plan
    };
    let mut walked: BTreeMap<Kind, usize> = BTreeMap::new();
    let (mut runs, begun) = (0, Instant::now());
    for &flags in flavours {
        let dry = run(flags, planned(&[]));
        for &kind in kinds {
            let expected = dry.points.get(&kind).copied().unwrap_or(0).max(1);
            for number in 1.. {
                // How often somebody sleeps differs a bit from run to run.
                let tries = if number <= expected { 20 } else { 1 };
                let reached = (0..tries).any(|_| {
                    runs += 1;
                    run(flags, planned(&[Fault { kind, number }])).hits == 1
                });
                *walked.entry(kind).or_default() += usize::from(reached);
                if !reached && number > expected {
                    break;
                }
            }
        }
    }
    println!("{runs} runs in {:?}: {walked:?}", begun.elapsed());
    for kind in kinds {
        assert!(walked[kind] > 0, "the script never comes to {kind:?}");
    }
}

#[test]
fn each_service_that_may_fail_fails_once() {
    walk(
        &FLAVOURS,
        &[
            Kind::Memory,
            Kind::Thread,
            Kind::Attach,
            Kind::Path,
            Kind::Enter,
            Kind::Vnode,
            Kind::Lock,
            Kind::Trylock,
            Kind::Putpages,
            Kind::Fsync,
            Kind::Vflush,
            Kind::Unmount,
        ],
        |_| {},
    );
}

#[test]
fn each_copy_from_and_to_the_server_fails_once() {
    walk(&FLAVOURS[..1], &[Kind::Copyin, Kind::Copyout], |_| {});
}

const WAIT_KINDS: [Kind; 5] = [
    Kind::Reply,
    Kind::Served,
    Kind::Reader,
    Kind::Select,
    Kind::Suspend,
];

#[test]
fn each_wait_is_interrupted_once() {
    walk(&FLAVOURS, &WAIT_KINDS, |plan| plan.signal = SIGINT);
}

#[test]
fn each_wait_is_interrupted_once_and_the_system_call_restarted() {
    walk(&FLAVOURS[..1], &WAIT_KINDS, |plan| {
        (plan.signal, plan.restarts) = (SIGTERM, true);
    });
}

#[test]
fn each_wait_gets_a_signal_once_that_does_not_end_requests() {
    walk(&FLAVOURS[..1], &WAIT_KINDS, |plan| plan.signal = SIGUSR1);
}

#[test]
fn the_server_dies_once_at_each_request() {
    walk(&FLAVOURS, &[Kind::Death], |_| {});
}

#[test]
fn two_things_fail() {
    const PAIRS: usize = 400;
    let begun = Instant::now();
    let mut hits = 0;
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut roll = |sides: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) as usize % sides
    };
    for flags in FLAVOURS {
        let points: Vec<_> = run(flags, Plan::new(&[])).points.into_iter().collect();
        for _ in 0..PAIRS / FLAVOURS.len() {
            let faults = [(); 2].map(|()| {
                let (kind, count) = points[roll(points.len())];
                let number = 1 + roll(count);
                Fault { kind, number }
            });
            hits += run(flags, Plan::new(&faults)).hits;
        }
    }
    println!("{PAIRS} pairs, {hits} failures in {:?}", begun.elapsed());
    assert!(hits > PAIRS);
}
