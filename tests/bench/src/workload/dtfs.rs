//! A server with libpuffs, NetBSD's `h_dtfs` for example, in a process of its own.
//!
//! It mounts on the kernel that it runs on. For any other kernel libpuffs talks to a socket instead of the device if `PUFFS_COMFD` says so: it
//! sends what it wants to mount, and frames go both ways then. Two threads carry
//! them between the socket and the device, as NetBSD's tests do it.

use super::{begin, enter, must, open, why, Ended};
use crate::{
    measure::{Counts, Measured},
    sys::Sys,
    Place, Plan, Role,
};
use puffs_netbsd::{Gate, Kernel, O_CREAT, O_RDWR};
use puffs_rs::abi::KArgs;
use puffs_script::MNT;
use std::{
    ffi::CString,
    fs,
    io::{self, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::{atomic::Ordering::Relaxed, Arc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use zerocopy::{FromZeros, IntoBytes};

/// Longer than any frame.
const ROOM: usize = 256 * 1024;

/// The server: a process that is ended when nobody needs it any more.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program; returns what it wants to mount, and the socket.
fn start(program: &Path) -> io::Result<(Server, KArgs, UnixStream)> {
    let (mut ours, its) = UnixStream::pair()?;
    // It stays in the foreground, and the socket is its standard input.
    let child = Command::new(program)
        .args(["-s", "dtfs", "fictional"])
        .env("PUFFS_COMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(its)))
        .spawn()?;
    let server = Server(child);
    // Where it is mounted, and from what, each with its length; the flags of the
    // mount; the arguments with their length; libpuffs' flags.
    for _ in 0..2 {
        let mut len = 0_u64;
        ours.read_exact(len.as_mut_bytes())?;
        io::copy(&mut (&mut ours).take(len), &mut io::sink())?;
    }
    ours.read_exact(&mut [0; 4])?;
    let (mut len, mut args) = (0_u64, KArgs::new_zeroed());
    ours.read_exact(len.as_mut_bytes())?;
    if len != size_of::<KArgs>() as u64 {
        return Err(io::Error::other("its libpuffs is another kernel's"));
    }
    ours.read_exact(args.as_mut_bytes())?;
    ours.read_exact(&mut [0; 4])?;
    Ok((server, args, ours))
}

/// `stat(2)` of files that each caller creates before.
pub(super) fn stat(place: &dyn Place, plan: &Plan) -> Ended<Measured> {
    let program = plan.server.as_deref().ok_or("--server says which")?;
    if place.is_own() {
        mounted_by_itself(place, plan, program)
    } else {
        carried(place, plan, program)
    }
}

/// Asks again and again.
fn ask(place: &dyn Place, plan: &Plan, counts: &Arc<Counts>) -> Vec<JoinHandle<()>> {
    begin(place, plan, counts, |caller| {
        let path = CString::new(format!("{MNT}/file{}", caller.number)).unwrap_or_default();
        let file = open(caller.sys, &path, O_RDWR | O_CREAT);
        must(caller.sys.close(file), "close");
        caller.repeat(|| must(caller.sys.stat(&path), "stat"));
    })
}

/// For so long a server may take to mount.
const PATIENCE: Duration = Duration::from_secs(20);

fn mounted_by_itself(place: &dyn Place, plan: &Plan, program: &Path) -> Ended<Measured> {
    let failed = |error: io::Error| format!("{}: {error}", program.display());
    let device = || fs::metadata(MNT).map(|root| root.dev()).map_err(failed);
    let before = device()?;
    let child = Command::new(program).args(["-s", "dtfs", MNT]).spawn();
    let _server = Server(child.map_err(failed)?);
    let began = Instant::now();
    while device()? == before {
        if began.elapsed() > PATIENCE {
            return Err(format!("{} mounts nothing", program.display()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let counts = Counts::new(plan.callers);
    let callers = ask(place, plan, &counts);
    let measured = counts.measure(plan.warmup, plan.time);
    // The server is needed for the last calls.
    for caller in callers {
        caller.join().map_err(|_| "a caller panicked")?;
    }
    Ok(measured)
}

fn carried(place: &dyn Place, plan: &Plan, program: &Path) -> Ended<Measured> {
    let started = start(program).map_err(|error| format!("{}: {error}", program.display()));
    let (server, args, socket) = started?;
    let device = enter(place, Role::Server, move |gate| {
        let kernel = Kernel::new(gate);
        let device = kernel.open_file("/dev/puffs", O_RDWR)?;
        kernel.mount_puffs(MNT, &args, device).map(|()| device)
    })?;
    let device = device.map_err(why("mount"))?;
    let counts = Counts::new(plan.callers);
    counts.other.store(server.0.id(), Relaxed);
    let (of_reader, mut to_server) = (counts.clone(), socket);
    let from_server = to_server.try_clone().map_err(|error| error.to_string())?;
    let requests = move |gate: &dyn Gate| {
        let mut room = vec![0; ROOM];
        while let Ok(len) = Sys(gate).read(device, &mut room) {
            of_reader.requests.add(1);
            if to_server.write_all(&room[..len]).is_err() {
                break;
            }
        }
    };
    place.spawn(Role::Server, Box::new(requests));
    let replies = move |gate: &dyn Gate| {
        let (mut from, mut room) = (BufReader::new(from_server), vec![0; ROOM]);
        while let Ok(len) = read_frame(&mut from, &mut room) {
            if Sys(gate).write(device, &room[..len]).is_err() {
                break;
            }
        }
    };
    place.spawn(Role::Server, Box::new(replies));
    ask(place, plan, &counts);
    Ok(counts.measure(plan.warmup, plan.time))
}

/// Reads a whole frame, whose length it starts with; returns that.
fn read_frame(from: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut len = 0_u64;
    from.read_exact(len.as_mut_bytes())?;
    let (head, bytes) = (len.to_ne_bytes(), len as usize);
    let Some(rest) = room.get_mut(head.len()..bytes) else {
        return Err(io::Error::other("a frame of no possible length"));
    };
    from.read_exact(rest)?;
    room[..head.len()].copy_from_slice(&head);
    Ok(bytes)
}
