//! What a server mounts with.
//!
//! An input is a few bytes that say how it is used, and the bytes of the
//! mount arguments (`struct puffs_kargs`), or of what they are to differ in
//! from good ones. They go through the whole of mount(2). Where that works,
//! which is rare with bytes that nobody chose, the mount is used a little and
//! goes again.

use crate::{
    oracle::{self, Baseline},
    script::{Script, Writer},
};
use puffs_hosted::{
    kernel::{self, on_sleep, Actor, Kernel, Kind, Mount, MountKind, Plan, MNT_FORCE},
    server::{mount_args, Client},
    user::User,
};
use puffs_rs::{
    abi::{
        consts::{MSGSTRUCT_MAX, MSG_MAXSIZE, TYPEPREFIX},
        vfs, KArgs, OpClass, VfsOp, Vtype, FHFLAG_MASK, KFLAG_MASK, OPCLASS_MASK,
    },
    kern::Errno,
};
use std::{
    cell::{Cell, RefCell},
    mem::offset_of,
    sync::Arc,
    time::Duration,
};
use zerocopy::{FromBytes, IntoBytes};

/// Where it is mounted.
const PATH: &str = "/mnt";

/// After so many inputs the kernel is shut down, which finds what only shows
/// then, and booted again.
const LIFETIME: usize = 50_000;

/// The fields that decide, with their length.
const FIELDS: [(usize, usize); 14] = [
    (offset_of!(KArgs, vers), 4),
    (offset_of!(KArgs, fd), 4),
    (offset_of!(KArgs, flags), 4),
    (offset_of!(KArgs, maxmsglen), 8),
    (offset_of!(KArgs, nhashbuckets), 4),
    (offset_of!(KArgs, fhsize), 8),
    (offset_of!(KArgs, fhflags), 4),
    (offset_of!(KArgs, root_cookie), 8),
    (offset_of!(KArgs, root_vtype), 4),
    (offset_of!(KArgs, root_vsize), 8),
    (offset_of!(KArgs, root_rdev), 8),
    (offset_of!(KArgs, typename), 8),
    (offset_of!(KArgs, mntfromname), 8),
    (offset_of!(KArgs, time32), 4),
];

/// How much room getfh(2) is given.
const ROOM: [usize; 8] = [0, 1, 3, 4, 12, 32, 64, 1028];

/// The flags in the first byte of an input.
mod how {
    /// The arguments are these bytes, and not good ones that differ.
    pub(super) const RAW: u8 = 0x01;
    /// MNT_UPDATE.
    pub(super) const UPDATE: u8 = 0x02;
    /// MNT_GETARGS.
    pub(super) const GETARGS: u8 = 0x04;
    /// Another mount is there, which these are about.
    pub(super) const EXISTING: u8 = 0x08;
    /// No path.
    pub(super) const NO_PATH: u8 = 0x10;
    /// The device is not open.
    pub(super) const NO_DEVICE: u8 = 0x20;
    /// No thread can be made.
    pub(super) const NO_THREAD: u8 = 0x40;
    /// What looks at the mount point fails.
    pub(super) const NO_PLACE: u8 = 0x80;
}

thread_local! {
    /// Never freed: the process ends with it.
    static WORLD: Cell<Option<&'static RefCell<Option<World>>>> = const { Cell::new(None) };

    /// The server of the mount, while there is one.
    static SERVER: RefCell<Option<(Client, std::rc::Rc<Actor>)>> = const { RefCell::new(None) };
}

/// The kernel.
struct World {
    kernel: Kernel,
    user: User,
    caller: Actor,
    baseline: Baseline,
    runs: usize,
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
        let World {
            kernel,
            user,
            caller,
            ..
        } = world;
        drop((caller, user));
        kernel.shutdown();
    } else {
        cell.replace(Some(world));
    }
}

/// The arguments that an input says, and their bytes.
fn arguments(script: &mut Script, raw: bool) -> Vec<u8> {
    if raw {
        return script.bytes(2 * size_of::<KArgs>());
    }
    let mut bytes = mount_args("fuzz").as_bytes().to_vec();
    for _ in 0..script.pick(4) {
        let (at, len) = match script.u8() {
            field if field < 0xe0 => FIELDS[usize::from(field) % FIELDS.len()],
            _ => (usize::from(script.u16()) % size_of::<KArgs>(), 1),
        };
        let value = script.bytes(len);
        let room = &mut bytes[at..];
        let len = value.len().min(room.len());
        room[..len].copy_from_slice(&value[..len]);
    }
    // Too few, or more than are read.
    if script.u8() >= 0xf0 {
        let len = usize::from(script.u16()) % (size_of::<KArgs>() + 64);
        bytes.resize(len, 0);
    }
    bytes
}

impl World {
    fn boot() -> World {
        const YEAR: Duration = Duration::from_secs(365 * 86400);

        on_sleep(|why| {
            let server = SERVER.with_borrow(Option::clone);
            match server.filter(|_| why == "puffsrpl") {
                Some((client, actor)) => actor.run(|| answer(&client)),
                None => false,
            }
        });
        let kernel = Kernel::boot_for(YEAR);
        let user = User::new("user");
        let caller = user.actor("call");
        let baseline = Baseline::take(&kernel);
        World {
            kernel,
            user,
            caller,
            baseline,
            runs: 0,
        }
    }

    fn run(&mut self, input: &[u8]) {
        self.runs += 1;
        let mut script = Script::new(input);
        let flags = script.u8();
        let is = |flag| flags & flag != 0;
        let room = ROOM[script.pick(ROOM.len())];
        let bytes = arguments(&mut script, is(how::RAW));
        let kind = match (is(how::UPDATE), is(how::GETARGS)) {
            (false, false) => MountKind::New,
            (true, false) => MountKind::Update,
            (_, true) => MountKind::GetArgs,
        };
        let process = User::new("server");
        let actor = std::rc::Rc::new(process.actor("thread"));
        let existing = (kind != MountKind::New && is(how::EXISTING)).then(|| {
            let good = mount_args("good");
            let (client, mounted) =
                mount(&actor, Some(PATH), good.as_bytes(), MountKind::New, true);
            SERVER.replace(Some((client, actor.clone())));
            match mounted {
                Ok((mount, _)) => mount,
                Err(error) => panic!("mount: {error:?}"),
            }
        });
        if is(how::NO_THREAD) {
            self.kernel.fail_next(Kind::Thread);
        }
        let path = (!is(how::NO_PATH)).then_some(PATH);
        let (client, outcome) = if is(how::NO_DEVICE) || existing.is_some() {
            let outcome = actor.run(|| kernel::mount(path, &bytes, kind, || Ok(())));
            (None, outcome)
        } else {
            let (client, outcome) = mount(&actor, path, &bytes, kind, !is(how::NO_PLACE));
            (Some(client), outcome)
        };
        if is(how::NO_THREAD) {
            // It may not have come to that.
            self.kernel.plan(Plan::new(&[]));
        }
        oracle::legal("mount", &outcome);
        match outcome {
            Ok((mount, kept)) => {
                if let Some(client) = client {
                    SERVER.replace(Some((client, actor.clone())));
                }
                check(&kept);
                if kind == MountKind::New {
                    self.use_it(&mount, room);
                }
            }
            Err(_) => drop(client.map(|client| actor.run(|| drop(client)))),
        }
        if let Some(mount) = existing {
            self.unmount(&mount);
        }
        drop(actor);
        drop(process);
        oracle::console(&self.kernel, 16);
        self.baseline.check(&self.kernel);
    }

    fn use_it(&self, mount: &Arc<Mount>, room: usize) {
        let path = mount_path(mount);
        self.caller.run(|| {
            oracle::legal("statvfs", &self.user.statvfs(&path));
            let root = self.user.vnode(&path);
            oracle::legal("root", &root);
            drop(root);
            match self.user.getfh(&path, room) {
                Ok(handle) => {
                    assert!(handle.len() <= room, "a handle of {}", handle.len());
                    let mut padded = handle.clone();
                    padded.resize(padded.len().max(4), 0);
                    oracle::legal("fhstat", &self.user.fhstat(mount, &padded).map(drop));
                }
                Err((error, _)) => oracle::legal::<()>("getfh", &Err(error)),
            }
        });
        self.unmount(mount);
    }

    fn unmount(&self, mount: &Arc<Mount>) {
        let unmounted = self.caller.run(|| kernel::unmount_mount(mount, MNT_FORCE));
        assert_eq!(unmounted, Ok(()), "unmount");
        if let Some((client, actor)) = SERVER.take() {
            actor.run(|| drop(client));
        }
    }
}

fn mount_path(mount: &Mount) -> String {
    let name = mount.stat().mntonname;
    let len = name.iter().position(|&byte| byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&name[..len]).into_owned()
}

type Mounted = puffs_rs::kern::Result<(Arc<Mount>, Vec<u8>)>;

/// Opens the device and mounts.
fn mount(
    actor: &Actor,
    path: Option<&str>,
    bytes: &[u8],
    kind: MountKind,
    place: bool,
) -> (Client, Mounted) {
    actor.run(|| {
        let client = Client::open();
        client.file().set_nonblock(true);
        let between = || place.then_some(()).ok_or(Errno::EBUSY);
        let outcome = kernel::mount(path, bytes, kind, between);
        (client, outcome)
    })
}

/// What was accepted is what the core promises to everybody else.
fn check(kept: &[u8]) {
    let Ok((args, _)) = KArgs::read_from_prefix(kept) else {
        panic!("{} bytes of arguments", kept.len());
    };
    assert_eq!(args.flags & !KFLAG_MASK, 0);
    assert_eq!(args.fhflags & !FHFLAG_MASK, 0);
    assert!((2 * MSGSTRUCT_MAX..=MSG_MAXSIZE).contains(&args.maxmsglen));
    assert!(args.fhsize <= 1020, "fhsize {}", args.fhsize);
    assert!(Vtype::try_from(args.root_vtype).is_ok());
    assert!((0..=i64::MAX / 2).contains(&args.root_vsize));
    assert!(args.typename.starts_with(TYPEPREFIX));
    for name in [&args.typename[..], &args.mntfromname[..]] {
        let Some(end) = name.iter().position(|&byte| byte == 0) else {
            panic!("a name without an end");
        };
        let printable = name[..end].iter().all(|byte| (b' '..=b'~').contains(byte));
        assert!(printable, "a name that cannot be printed");
    }
}

/// Answers what there is, as a server that wants no trouble. False if there
/// was nothing.
fn answer(client: &Client) -> bool {
    let mut some = false;
    while let Ok(Some(request)) = client.try_read() {
        let header = *request.req();
        some = true;
        if header.id == 0 {
            // Nobody waits.
            continue;
        }
        let is_vfs = header.opclass & OPCLASS_MASK == u16::from(OpClass::Vfs);
        let reply = match VfsOp::try_from(header.optype) {
            Ok(VfsOp::Statvfs) if is_vfs => request.reply_with(|reply: &mut vfs::Statvfs| {
                reply.sb.bsize = 512;
            }),
            Ok(VfsOp::Vptofh) if is_vfs => {
                let mut reply = request.reply(header.buflen);
                let asked = request.get::<vfs::NodeToFh>().dsize;
                let rest = &mut reply.bytes_mut()[size_of::<vfs::NodeToFh>()..];
                // A handle that passes through starts with its length.
                if let Some(start) = rest.get_mut(..2) {
                    start.copy_from_slice(&(asked as u16).to_ne_bytes());
                }
                reply
            }
            _ if is_vfs && header.optype == VfsOp::Unmount as u16 => request.reply_header(),
            _ => request.reply_error(Errno::EOPNOTSUPP.get()),
        };
        // A mount that goes away meanwhile takes it no more.
        let _ = client.write(&reply);
    }
    client.file().set_nonblock(true);
    some
}

/// The seeds: good arguments, each field with a value that is accepted and
/// with one that is refused, and each way to mount.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    let good = mount_args("seed");
    let mut add = |name: &str, flags: u8, body: &[u8]| {
        let mut bytes = vec![flags, 6];
        bytes.extend_from_slice(body);
        seeds.push((name.to_owned(), bytes));
    };
    add("good", 0, &[]);
    add("whole", how::RAW, good.as_bytes());
    add("short", how::RAW, &good.as_bytes()[..100]);
    add("empty", how::RAW, &[]);
    add("update", how::UPDATE, &[]);
    add("update-existing", how::UPDATE | how::EXISTING, &[]);
    add("getargs", how::GETARGS, &[]);
    add("getargs-existing", how::GETARGS | how::EXISTING, &[]);
    add("no-path", how::NO_PATH, &[]);
    add("no-device", how::NO_DEVICE, &[]);
    add("no-thread", how::NO_THREAD, &[]);
    add("no-place", how::NO_PLACE, &[]);
    let values: [(&str, usize, &[u64]); 9] = [
        ("vers", 0, &[29]),
        ("flags", 2, &[0x80, 0x40]),
        ("maxmsglen", 3, &[1, 1 << 40]),
        ("fhsize", 5, &[0, 1020, 1021, u64::MAX]),
        ("fhflags", 6, &[1, 2, 4, 8, 16]),
        ("root", 7, &[0]),
        ("vtype", 8, &[0, 1, 3, 8, 9]),
        ("vsize", 9, &[1 << 40, u64::MAX]),
        ("name", 11, &[0x0102_0304_0506_0708]),
    ];
    for (name, field, values) in values {
        for (i, value) in values.iter().enumerate() {
            let len = FIELDS[field].1;
            let mut body = Writer::default();
            body.bytes(&[1, field as u8])
                .bytes(&value.to_le_bytes()[..len]);
            add(&format!("{name}-{i}"), 0, &body.finish());
        }
    }
    let mut body = Writer::default();
    body.bytes(&[2, 6]).bytes(&2_u32.to_le_bytes());
    body.u8(5).bytes(&100_u64.to_le_bytes());
    add("nfs", 0, &body.finish());
    let mut body = Writer::default();
    body.bytes(&[1, 0xff])
        .u16(offset_of!(KArgs, spare) as u16 + 8)
        .u8(1);
    add("spare", 0, &body.finish());
    seeds
}
