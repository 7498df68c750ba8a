//! Bytes as a program and its schedule: what a fuzzer makes, and no model
//! thought of.
//!
//! The first bytes are a program: up to four callers with up to three calls
//! each, one or two threads of a server with what they do about each frame,
//! and what happens from outside, which is signals, memory that runs short, the
//! clock, unmounts. The rest decides who goes on where there is a choice; when
//! it is used up, nobody is stopped who can go on. In the end the server dies
//! and everybody has to end, which is what is checked, beside the rules of the
//! kernel: nobody waits for ever, nothing runs for ever, nothing is left,
//! nothing is completed twice.
//!
//! The same bytes are the same run: see [`Trace`].

use crate::{
    bench::{errno, flush_frame, header_frame, MNT},
    kernel::{
        self, vnode, Kernel, Kind, Mount, MNT_FORCE, MNT_NOWAIT, MNT_WAIT, SIGALRM, SIGHUP, SIGINT,
        SIGKILL,
    },
    rt::{
        self,
        model::{interesting, run_once, seen},
    },
    server::{memfs::MemFs, mount_args, Answer, Client, Frame},
    user::{Open, Task, User},
    vnops::{self, read_buffer, write_buffer},
};
use puffs_rs::{
    abi::{notify::FlushOp, vn, KArgs, OpClass, VnOp, KFLAG_CACHE_FS_TTL, KFLAG_NOCACHE_PAGE},
    kern::Errno,
};
use shuttle::scheduler::{Schedule, Scheduler, Task as ShuttleTask, TaskId};
use std::sync::{Arc, Mutex};

/// What a run was, to compare it with another.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Trace {
    /// How many decisions there were.
    pub decisions: usize,
    /// A hash of who was chosen at each.
    pub hash: u64,
    /// The errno of each call of each caller.
    pub outcomes: Vec<Vec<i32>>,
}

/// Runs the program and the schedule that the bytes stand for.
///
/// # Panics
/// If something is wrong with the core, or the process is aborted.
pub fn run(input: &[u8]) -> Trace {
    let mut bytes = Bytes { left: input };
    let program = Arc::new(Program::read(&mut bytes));
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let scheduler = Reader {
        bytes: bytes.left.to_vec(),
        at: 0,
        stay: 0,
        seed: u64::from(program.seed),
    };
    let results = outcomes.clone();
    run_once(scheduler, move || {
        let ends = User::new("program").run(|_| program.run());
        *rt::host_lock(&results) = ends;
    });
    let (decisions, hash) = seen();
    let outcomes = std::mem::take(&mut *rt::host_lock(&outcomes));
    Trace {
        decisions,
        hash,
        outcomes,
    }
}

/// Decides as the bytes say: one is whose turn it is, and for how long.
struct Reader {
    bytes: Vec<u8>,
    at: usize,
    stay: u32,
    seed: u64,
}

/// How many points the one who was chosen may pass, by the high half of a byte.
const STAY: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64];

impl Scheduler for Reader {
    fn new_execution(&mut self) -> Option<Schedule> {
        Some(Schedule::new(self.seed))
    }

    fn next_task(
        &mut self,
        tasks: &[&ShuttleTask],
        current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let goes_on = tasks.iter().position(|task| Some(task.id()) == current);
        if let (Some(at), Some(left)) = (goes_on, self.stay.checked_sub(1)) {
            self.stay = left;
            return Some(tasks[at].id());
        }
        let chosen = match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                self.stay = STAY[usize::from(byte >> 4)];
                usize::from(byte & 15) % tasks.len()
            }
            // One after the other, so that all come to an end.
            None => goes_on.unwrap_or_else(|| {
                let later = |task: &&ShuttleTask| current.is_some_and(|now| task.id() > now);
                tasks.iter().position(later).unwrap_or(0)
            }),
        };
        Some(tasks[chosen].id())
    }

    fn next_u64(&mut self) -> u64 {
        self.seed
    }
}

struct Bytes<'a> {
    left: &'a [u8],
}

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        match self.left.split_first() {
            Some((&first, rest)) => {
                self.left = rest;
                first
            }
            None => 0,
        }
    }

    /// Up to `most` bytes; how many is one as well.
    fn some(&mut self, most: usize) -> Vec<u8> {
        let count = usize::from(self.next()) % (most + 1);
        (0..count).map(|_| self.next()).collect()
    }
}

/// What runs.
struct Program {
    /// Bits of how it is mounted.
    mount: u8,
    /// What the clock's whims are drawn from, and the chaos.
    seed: u8,
    /// The calls of each caller.
    callers: Vec<Vec<u8>>,
    /// What each thread of the server does about each frame.
    servers: Vec<Vec<u8>>,
    /// What happens from outside.
    events: Vec<u8>,
}

impl Program {
    fn read(bytes: &mut Bytes<'_>) -> Program {
        let shape = bytes.next();
        let callers = 1 + usize::from(shape & 3);
        let servers = 1 + usize::from(shape >> 2 & 1);
        Program {
            mount: shape >> 3,
            seed: bytes.next(),
            callers: (0..callers).map(|_| bytes.some(3)).collect(),
            servers: (0..servers).map(|_| bytes.some(7)).collect(),
            events: bytes.some(4),
        }
    }

    fn args(&self) -> KArgs {
        let mut args = mount_args("fuzz");
        if self.mount & 1 != 0 {
            // Without INACTIVE and RECLAIM.
            args.flags = 0;
            args.vnopmask.fill(1);
            for op in [VnOp::Inactive, VnOp::Reclaim] {
                args.vnopmask[usize::from(u16::from(op))] = 0;
            }
        }
        if self.mount & 2 != 0 {
            args.flags |= KFLAG_NOCACHE_PAGE;
        }
        if self.mount & 4 != 0 {
            args.flags |= KFLAG_CACHE_FS_TTL;
        }
        args
    }

    /// Runs it on a fresh kernel, and returns how the calls ended.
    fn run(&self) -> Vec<Vec<i32>> {
        let kernel = Kernel::boot();
        let owner = User::new("server");
        let client = owner.run(|_| Client::open());
        let mounted = owner.run(|_| client.mount(MNT, &self.args()));
        let Ok(mount) = mounted else {
            unreachable!("a mount with good arguments failed");
        };
        let mut fs = MemFs::new();
        if self.mount & 4 != 0 {
            fs = fs.with_ttl(20);
        }
        let fs = Arc::new(Mutex::new(fs));
        if self.mount & 8 != 0 {
            kernel.set_chaos(1 + u64::from(self.seed));
        }

        interesting(true);
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|manners| {
                let server = Server {
                    client: client.clone(),
                    fs: fs.clone(),
                    manners: manners.clone(),
                    kept: Vec::new(),
                };
                owner.spawn("thread", move |_| server.run())
            })
            .collect();
        let user = User::new("user");
        let callers: Vec<_> = self
            .callers
            .iter()
            .map(|calls| {
                let (calls, mount) = (calls.clone(), mount.clone());
                user.spawn("caller", move |user| {
                    let call = |&call| make_call(user, &mount, call);
                    calls.iter().map(call).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut others = Vec::new();
        let mut client = Some(client);
        for &event in &self.events {
            let which = usize::from(event >> 3);
            match event & 7 {
                0 => callers[which % callers.len()].signal(SIGINT),
                1 => callers[which % callers.len()].signal(SIGALRM),
                2 => servers[which % servers.len()].signal(SIGHUP),
                3 => kernel.advance(1 << (which % 12)),
                4 => kernel.fail_next(FAILURES[which % FAILURES.len()]),
                // Somebody who wants memory: it may have to wait for the server.
                5 => others.push(user.spawn("shrink", |_| {
                    vnode::shrink();
                })),
                6 => {
                    let mount = mount.clone();
                    let flags = if which & 1 == 0 { 0 } else { MNT_FORCE };
                    others.push(user.spawn("unmount", move |_| {
                        // It may fail: somebody may be faster.
                        let _ = kernel::unmount_mount(&mount, flags);
                    }));
                }
                _ => drop(owner.run(|_| client.take())),
            }
        }
        // The server is killed, and closes when its last thread is out.
        owner.run(|_| drop(client));
        for server in servers {
            end_by_signal(&server);
            server.join();
        }
        // Those who wait for no answer of the server's may wait for a signal.
        for caller in &callers {
            end_by_signal(caller);
        }
        let ends = callers.into_iter().map(Task::join).collect();
        for other in others {
            end_by_signal(&other);
            other.join();
        }
        interesting(false);
        // A signal may have kept the server's end from unmounting.
        let last = errno(&kernel::unmount_mount(&mount, MNT_FORCE));
        assert!(mount.is_gone(), "the last unmount: {last}");
        drop((mount, user, owner));
        kernel.shutdown();
        ends
    }
}

/// Kills until it ends: a signal that comes just before a call returns does not
/// end the next.
fn end_by_signal<T>(task: &Task<T>) {
    crate::bench::until("somebody who was killed", || {
        task.signal(SIGKILL);
        task.is_done()
    });
}

/// What may fail next.
const FAILURES: [Kind; 13] = [
    Kind::Memory,
    Kind::Enter,
    Kind::Vnode,
    Kind::Lock,
    Kind::Trylock,
    Kind::Putpages,
    Kind::Fsync,
    Kind::Vflush,
    Kind::Unmount,
    Kind::Copyin,
    Kind::Copyout,
    Kind::Reply,
    Kind::Suspend,
];

/// Makes a call that a byte stands for; returns its errno.
fn make_call(user: &User, mount: &Arc<Mount>, call: u8) -> i32 {
    const FILES: [&str; 4] = ["/mnt/a", "/mnt/b", "/mnt/d/c", "/mnt"];
    let path = FILES[usize::from(call >> 4 & 3)];
    match call & 15 {
        0 => errno(&user.stat(path)),
        1 => errno(&user.open(path, Open::CREATE).and_then(|file| {
            file.write(&[1; 5000])?;
            file.fsync()
        })),
        2 => errno(&user.open(path, Open::READ).and_then(|file| file.read(5000))),
        3 => errno(
            &user
                .open(path, Open::WRITE)
                .and_then(|file| file.write(&[2; 100])),
        ),
        4 => errno(
            &user
                .open(path, Open::READ)
                .and_then(|file| file.poll(1, false)),
        ),
        5 => errno(
            &user
                .open(path, Open::READ)
                .and_then(|file| file.poll(1, true)),
        ),
        6 => errno(&user.statvfs(MNT)),
        7 => user
            .getfh(path, 64)
            .err()
            .map_or(0, |(error, _)| error.get()),
        8 => errno(&user.sync(MNT, if call & 64 == 0 { MNT_WAIT } else { MNT_NOWAIT })),
        9 => errno(&user.mkdir("/mnt/d")),
        10 => errno(&user.unlink(path)),
        11 => errno(&user.rename(path, "/mnt/b")),
        12 => errno(&user.readdir(MNT, 512)),
        13 => user.vnode(path).map_or_else(Errno::get, |vnode| {
            if vnode.is_dir() {
                return 0;
            }
            user.run(|_| read_buffer(&vnode, 0, 4096).0)
        }),
        14 => user.vnode(path).map_or_else(Errno::get, |vnode| {
            if vnode.is_dir() {
                return 0;
            }
            user.run(|_| write_buffer(&vnode, 0, &[3; 4096]).0)
        }),
        _ => {
            let seek = |vnode| vnops::request::<vn::Seek, _>(&vnode, 0, 0, |_, _| {}, |_, _| ());
            if mount.is_gone() {
                return Errno::ENXIO.get();
            }
            errno(&user.run(|user| user.vnode(path).and_then(seek)))
        }
    }
}

/// A thread of a server with bad manners.
struct Server {
    client: Client,
    fs: Arc<Mutex<MemFs>>,
    /// One for each frame; after that it is good.
    manners: Vec<u8>,
    /// Replies that are late.
    kept: Vec<Frame>,
}

impl Server {
    fn run(mut self) {
        let mut manners = std::mem::take(&mut self.manners).into_iter();
        loop {
            let manner = manners.next().unwrap_or_default();
            let how = manner >> 4;
            if manner & 15 == 13 {
                // In two pieces, the second of which comes with the next read.
                let mut part = [0; 40];
                // What is wrong shows with the next read.
                let _ = self.client.file().read(&mut part);
            }
            let Ok(frame) = self.client.read() else {
                return;
            };
            if frame.len() < size_of::<puffs_rs::abi::Req>() || frame.is_response() {
                continue;
            }
            let answer = rt::host_lock(&self.fs).serve(&frame);
            let Answer::Reply(reply) = answer else {
                continue;
            };
            if self.answer(&frame, reply, manner & 15, how).is_none() {
                return;
            }
        }
    }

    /// Sends a frame. What the device says of it shows at the next read.
    fn send(&self, frame: &Frame) {
        let _ = self.client.write(frame);
    }

    /// `None`: it exits.
    fn answer(&mut self, asked: &Frame, mut reply: Frame, manner: u8, how: u8) -> Option<()> {
        let len = reply.len();
        match manner {
            1 => reply = asked.reply_error([1, 5, 14, 28, 96, 1000, -1, -3][usize::from(how) % 8]),
            2 => reply = asked.reply_header(),
            3 => reply.resize(len.saturating_sub(1 + usize::from(how) * 8).max(16)),
            4 => reply.resize(len + 1 + usize::from(how) * 100),
            5 => {
                self.kept.push(reply);
                return Some(());
            }
            6 => self.send(&reply),
            7 => return Some(()),
            8 => reply.req_mut().optype ^= 1 + u16::from(how),
            9 => reply.req_mut().id += 1 + u64::from(how),
            10 => {
                let op = [
                    FlushOp::InvalNamecacheAll,
                    FlushOp::InvalNamecacheDir,
                    FlushOp::InvalPagecacheNodeRange,
                    FlushOp::FlushPagecacheNodeRange,
                ][usize::from(how) % 4];
                self.send(&flush_frame(op.into(), asked.req().cookie, 0, 0));
            }
            11 => self.send(&header_frame(OpClass::Unmount.into(), 0, 7)),
            12 => return None,
            14 => {
                let at = usize::from(how) * 16 % len;
                reply.bytes_mut()[at] ^= 0x80;
            }
            _ => {}
        }
        self.send(&reply);
        for late in std::mem::take(&mut self.kept) {
            self.send(&late);
        }
        Some(())
    }
}
