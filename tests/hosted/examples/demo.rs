//! puffs-rs at work, on a machine without NetBSD.
//!
//! ```sh
//! cargo run --release -p puffs-hosted --example demo
//! ```
//!
//! A file system in the memory of a server is mounted on the hosted kernel
//! and used; every frame that crosses the putter device is shown. Then the
//! server dies with 64 callers waiting, another one takes its place, and in
//! the end the module is unloaded, which needs every pool back at its count.
//! The exit code is not 0 if anything was not as it should be.

use puffs_hosted::{
    kernel::{self, Kernel, Lwp},
    server::{
        self, describe,
        memfs::{self, MemFs},
        Answer, Client, Frame, Tap, Way,
    },
    user::{Open, Task, User},
};
use puffs_rs::{
    abi::{self, OPCLASS_RESPONSE},
    kern::{Errno, Result},
};
use std::{
    collections::{BTreeMap, HashMap},
    io::IsTerminal,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// One frame that crossed the device.
struct Event {
    at: Instant,
    way: Way,
    name: String,
    id: u64,
    faf: bool,
    len: usize,
    rv: i32,
}

/// What is known of one kind of request.
#[derive(Default)]
struct Stats {
    bytes_out: usize,
    bytes_in: usize,
    count: usize,
    errors: usize,
    times: Vec<Duration>,
}

/// Everything that crossed.
#[derive(Default)]
struct Wire {
    events: Mutex<Vec<Event>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    fn tap(self: &Arc<Self>) -> Tap {
        let wire = self.clone();
        Arc::new(move |way, frame: &Frame| {
            let req = frame.req();
            let event = Event {
                at: Instant::now(),
                way,
                name: describe(frame),
                id: req.id,
                faf: frame.is_faf() || req.opclass & OPCLASS_RESPONSE != 0,
                len: frame.len(),
                rv: req.rv,
            };
            lock(&wire.events).push(event);
        })
    }

    fn len(&self) -> usize {
        lock(&self.events).len()
    }
}

/// Prints the demonstration and counts what went wrong.
struct Show {
    wire: Arc<Wire>,
    shown: usize,
    failures: usize,
    colour: bool,
}

impl Show {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// Shows what crossed since the last time, a line for a request and its
    /// reply.
    fn frames(&mut self) {
        let events = lock(&self.wire.events);
        let new = &events[self.shown..];
        for event in new.iter().filter(|event| event.way == Way::Out) {
            let mut answers = new.iter().filter(|answer| answer.way == Way::In);
            let answer = answers.find(|answer| !event.faf && answer.id == event.id);
            let back = match answer {
                Some(answer) => {
                    let took = answer.at.duration_since(event.at).as_secs_f64() * 1e6;
                    format!(
                        "<- {:>5} bytes  rv {:>2} {took:>9.1} us",
                        answer.len, answer.rv
                    )
                }
                None => String::from("   nobody waits"),
            };
            let id = if event.faf {
                String::from("-")
            } else {
                event.id.to_string()
            };
            println!(
                "    id {id:>3}  {:<13} -> {:>5} bytes  {back}",
                event.name, event.len
            );
        }
        self.shown = events.len();
    }

    /// Frames that are not shown.
    fn skip(&mut self) -> usize {
        let new = self.wire.len() - self.shown;
        self.shown += new;
        new
    }

    fn check(&mut self, what: &str, good: bool) {
        let word = if good {
            self.paint("32", "ok")
        } else {
            self.paint("31", "FAILED")
        };
        println!("  {what}: {word}");
        self.failures += usize::from(!good);
    }

    fn step<T>(&mut self, what: &str, outcome: Result<T>) -> Option<T> {
        self.frames();
        match outcome {
            Ok(value) => {
                self.check(what, true);
                Some(value)
            }
            Err(error) => {
                self.check(&format!("{what} says {error:?}"), false);
                None
            }
        }
    }

    fn table(&self) {
        let mut all: BTreeMap<String, Stats> = BTreeMap::new();
        let mut asked: HashMap<u64, (String, Instant)> = HashMap::new();
        for event in lock(&self.wire.events).iter() {
            let stats = all.entry(event.name.clone()).or_default();
            match event.way {
                Way::Out => {
                    stats.count += 1;
                    stats.bytes_out += event.len;
                    if !event.faf {
                        asked.insert(event.id, (event.name.clone(), event.at));
                    }
                }
                Way::In => {
                    stats.bytes_in += event.len;
                    stats.errors += usize::from(event.rv != 0);
                    if let Some((name, at)) = asked.remove(&event.id) {
                        if name == event.name {
                            stats.times.push(event.at.duration_since(at));
                        }
                    }
                }
            }
        }
        println!(
            "  {:<14} {:>7} {:>7} {:>10} {:>10} {:>9} {:>9}",
            "operation", "count", "errors", "bytes out", "bytes in", "mean us", "p99 us"
        );
        for (name, stats) in &mut all {
            stats.times.sort_unstable();
            let us = |time: &Duration| time.as_secs_f64() * 1e6;
            let sum: f64 = stats.times.iter().map(us).sum();
            let (mean, p99) = match stats.times.get(stats.times.len() * 99 / 100) {
                Some(p99) => {
                    let mean = sum / stats.times.len() as f64;
                    (format!("{mean:.1}"), format!("{:.1}", us(p99)))
                }
                None => (String::from("-"), String::from("-")),
            };
            println!(
                "  {name:<14} {:>7} {:>7} {:>10} {:>10} {mean:>9} {p99:>9}",
                stats.count, stats.errors, stats.bytes_out, stats.bytes_in
            );
        }
    }
}

/// The server asks for INACTIVE only where it says so.
fn args() -> abi::KArgs {
    let mut args = server::mount_args("memfs");
    args.flags |= abi::KFLAG_IAONDEMAND;
    args
}

fn start(wire: &Arc<Wire>, user: &User) -> Result<(Task<()>, Arc<kernel::Mount>)> {
    let client = user.run(|_| Client::open()).with_tap(wire.tap());
    let mount = user.run(|_| client.mount("/mnt", &args()))?;
    let mut fs = MemFs::new();
    Ok((
        server::spawn(user, client, move |frame| fs.serve(frame)),
        mount,
    ))
}

/// What an ordinary program does.
fn workload(show: &mut Show, user: &User, mount: &kernel::Mount) -> Option<()> {
    show.title("A directory, and a file in it");
    show.step("mkdir /mnt/docs", user.mkdir("/mnt/docs"))?;
    let file = show.step(
        "create /mnt/docs/letter",
        user.open("/mnt/docs/letter", Open::CREATE),
    )?;
    let text: Vec<u8> = (0..10_000_u32).map(|i| b'a' + (i % 26) as u8).collect();
    let wrote = show.step(
        "write 10000 bytes, which stay in the page cache",
        file.write(&text),
    )?;
    show.check("all were taken", wrote == text.len());
    show.step(
        "fsync, which sends them with the times and the size",
        file.fsync(),
    )?;
    let read = show.step(
        "read from the page cache, without the server",
        file.read_at(0, 10_000),
    )?;
    show.check("what comes back is what went in", read == text);
    drop(file);
    std::thread::sleep(Duration::from_millis(2));
    show.frames();

    show.title("Names");
    show.step("link(2)", user.link("/mnt/docs/letter", "/mnt/docs/copy"))?;
    show.step(
        "rename(2)",
        user.rename("/mnt/docs/copy", "/mnt/docs/second"),
    )?;
    show.step("symlink(2)", user.symlink("docs/second", "/mnt/latest"))?;
    let target = show.step("readlink(2)", user.readlink("/mnt/latest"))?;
    show.check("leads to docs/second", target == "docs/second");
    let list = show.step("list /mnt/docs", user.readdir("/mnt/docs", 4096))?;
    let names: Vec<_> = list.iter().map(|entry| entry.name.as_str()).collect();
    show.check(
        &format!("it has {names:?}"),
        names == [".", "..", "letter", "second"],
    );
    show.step("unlink /mnt/docs/second", user.unlink("/mnt/docs/second"))?;
    show.check(
        "it is gone",
        user.stat("/mnt/docs/second").err() == Some(Errno::ENOENT),
    );
    show.frames();

    show.title("The file system, and a file handle");
    let stat = show.step("statvfs(2)", user.statvfs("/mnt"))?;
    let name = String::from_utf8_lossy(&stat.fstypename)
        .trim_end_matches('\0')
        .to_owned();
    show.check(
        &format!("{} of {} blocks free on {name}", stat.bfree, stat.blocks),
        stat.blocks == memfs::BLOCKS && name == "puffs|memfs",
    );
    let handle = user
        .getfh("/mnt/docs/letter", 64)
        .map_err(|(error, _)| error);
    let handle = show.step("getfh(2)", handle)?;
    let (_, va) = show.step("fhstat(2) with that handle", user.fhstat(mount, &handle))?;
    show.check("is the same file, of 10000 bytes", va.size == 10_000);
    Some(())
}

/// Many calls at once, to have something to measure.
fn load(show: &mut Show, user: &User) -> Option<()> {
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;

    show.title("Load: 4 threads create, write, stat, read, list and unlink 500 files each");
    let begin = Instant::now();
    let work = |thread: usize| {
        user.spawn("load", move |user| -> Result<()> {
            let dir = format!("/mnt/d{thread}");
            user.mkdir(&dir)?;
            for round in 0..ROUNDS {
                let path = format!("{dir}/f{round}");
                let file = user.open(&path, Open::CREATE)?;
                file.write(&[round as u8; 6000])?;
                file.fsync()?;
                user.stat(&path)?;
                file.read_at(0, 6000)?;
                drop(file);
                if round % 10 == 0 {
                    user.readdir(&dir, 8192)?;
                }
                user.unlink(&path)?;
            }
            user.rmdir(&dir)
        })
    };
    let tasks: Vec<_> = (0..THREADS).map(work).collect();
    let failed = tasks
        .into_iter()
        .map(Task::join)
        .filter(|done| done.is_err())
        .count();
    show.check("every call succeeded", failed == 0);
    let frames = show.skip();
    let took = begin.elapsed();
    let rate = frames as f64 / took.as_secs_f64();
    println!(
        "  {frames} frames in {:.2} s, {rate:.0} a second",
        took.as_secs_f64()
    );
    Some(())
}

/// The server exits while 64 callers wait.
fn death(show: &mut Show, wire: &Arc<Wire>) -> Option<()> {
    const CALLERS: usize = 64;

    show.title("The server dies under 64 callers");
    let server = User::new("mute");
    let client = server.run(|_| Client::open()).with_tap(wire.tap());
    let mounted = server.run(|_| client.mount("/mnt", &args()));
    let mount = show.step(
        "mount(2) by a server that reads 32 requests, then exits",
        mounted,
    )?;
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let user = User::new("caller");
            user.spawn("statvfs", move |user| user.statvfs("/mnt").err())
        })
        .collect();
    let waits = |lwp: &Lwp| lwp.asleep().is_some();
    while !callers.iter().all(|caller| waits(caller.lwp())) {
        std::thread::yield_now();
    }
    let mut seen = 0;
    let task = server::spawn(&server, client, move |_| {
        seen += 1;
        if seen == 32 {
            Answer::Exit
        } else {
            Answer::Nothing
        }
    });
    let begin = Instant::now();
    task.join();
    let answers: Vec<_> = callers.into_iter().map(Task::join).collect();
    let took = begin.elapsed();
    show.skip();
    let sent_off = answers
        .iter()
        .filter(|answer| **answer == Some(Errno::ENXIO))
        .count();
    println!(
        "  {sent_off} of {CALLERS} callers have ENXIO after {:.1} ms",
        took.as_secs_f64() * 1e3
    );
    show.check("everybody was sent off", sent_off == CALLERS);
    while !mount.is_gone() {
        std::thread::yield_now();
    }
    show.check("the mount went with its server", true);
    Some(())
}

fn main() -> ExitCode {
    let kernel = Kernel::boot();
    let wire = Arc::new(Wire::default());
    let mut show = Show {
        wire: wire.clone(),
        shown: 0,
        failures: 0,
        colour: std::io::stdout().is_terminal(),
    };
    println!(
        "puffs-rs on the hosted kernel, protocol version {}",
        abi::consts::VERSION
    );
    let done = run(&kernel, &wire, &mut show);
    if done.is_none() {
        show.failures += 1;
    }
    if show.failures == 0 {
        show.title("Unloading the module");
        for (pool, gets) in kernel.pool_gets() {
            println!("  pool {pool}: {gets} taken and given back");
        }
        println!("  at most {} blocks of memory at once", kernel.peak());
        // Panics if anything leaked.
        kernel.shutdown();
        show.check(
            "every pool is back at its count, no lock, vnode or thread is left",
            true,
        );
        println!("\nAll is as it should be.");
        ExitCode::SUCCESS
    } else {
        println!("\n{} things were not as they should be.", show.failures);
        // What is left would keep the kernel from shutting down.
        std::process::exit(1)
    }
}

fn run(kernel: &Kernel, wire: &Arc<Wire>, show: &mut Show) -> Option<()> {
    let user = User::new("sh");
    show.title("Mounting");
    let server = User::new("memfs");
    let (task, mount) = show.step("mount(2) of memfs at /mnt", start(wire, &server))?;
    workload(show, &user, &mount)?;

    show.title("Unmounting");
    show.step("unmount(2)", user.run(|_| kernel::unmount("/mnt", 0)))?;
    task.join();
    drop(mount);
    show.check("nothing is left of the mount", kernel.mounted() == 0);

    death(show, wire)?;

    show.title("Another server takes its place");
    let (task, mount) = show.step("mount(2) of a fresh memfs", start(wire, &server))?;
    load(show, &user)?;
    show.step("unmount(2)", user.run(|_| kernel::unmount("/mnt", 0)))?;
    task.join();
    drop(mount);

    show.title("What crossed the device");
    show.table();
    Some(())
}
