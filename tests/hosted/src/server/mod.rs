//! Servers: the other end of the putter device.

pub mod memfs;

pub use puffs_script::{describe, Frame};

use crate::{
    kernel::{self, CopyHook, Mount, MountKind, PutterFile},
    user::{Task, User},
};
use puffs_rs::{
    abi::{consts, Cookie, KArgs, Vtype, KFLAG_ALLOPS},
    kern::{Errno, Result},
};
use std::sync::Arc;
use zerocopy::{FromZeros, IntoBytes};

/// Which way a frame went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the kernel.
    Out,
    /// To the kernel.
    In,
}

/// Sees every frame that crosses the device.
pub type Tap = Arc<dyn Fn(Way, &Frame) + Send + Sync>;

/// A descriptor of the device, and frames instead of bytes.
#[derive(Clone)]
pub struct Client {
    file: Arc<PutterFile>,
    tap: Option<Tap>,
}

impl Client {
    /// Opens the device for the process of the calling thread.
    pub fn open() -> Client {
        Client {
            file: Arc::new(PutterFile::open()),
            tap: None,
        }
    }

    /// Shows every frame to `tap`.
    pub fn with_tap(mut self, tap: Tap) -> Client {
        self.tap = Some(tap);
        self
    }

    /// The descriptor.
    pub fn file(&self) -> &PutterFile {
        &self.file
    }

    /// Reads one frame, waiting for it.
    ///
    /// # Errors
    /// What `read(2)` says: ENXIO or ENOENT when the mount is gone.
    pub fn read(&self) -> Result<Frame> {
        let mut room = vec![0; consts::MSG_MAXSIZE + consts::MSGSTRUCT_MAX];
        let mut len = 0;
        while len == 0 {
            // Another thread may have read all of what this one was to get, and
            // not have given it back yet.
            len = self.file.read(&mut room)?;
        }
        let frame = Frame::from_bytes(&room[..len]);
        if let Some(tap) = &self.tap {
            tap(Way::Out, &frame);
        }
        Ok(frame)
    }

    /// Reads a frame that is there; `None` if there is none.
    ///
    /// # Errors
    /// What `read(2)` says.
    pub fn try_read(&self) -> Result<Option<Frame>> {
        self.file.set_nonblock(true);
        let read = self.read();
        self.file.set_nonblock(false);
        match read {
            Err(Errno::EWOULDBLOCK) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// What `write(2)` says.
    pub fn write(&self, frame: &Frame) -> Result<()> {
        if let Some(tap) = &self.tap {
            tap(Way::In, frame);
        }
        self.file.write(frame.bytes()).map(drop)
    }

    /// Has `hook` called at every copy to this process.
    pub fn set_copyout(&self, hook: Option<CopyHook>) {
        self.file.set_copyout(hook);
    }

    /// Has `hook` called at every copy from this process.
    pub fn set_copyin(&self, hook: Option<CopyHook>) {
        self.file.set_copyin(hook);
    }

    /// Mounts at `path`; the caller's process is the server.
    ///
    /// # Errors
    /// What mount(2) says.
    pub fn mount(&self, path: &str, args: &KArgs) -> Result<Arc<Mount>> {
        mount(Some(path), args)
    }
}

/// mount(2) by the process of the calling thread.
///
/// # Errors
/// What mount(2) says.
pub fn mount(path: Option<&str>, args: &KArgs) -> Result<Arc<Mount>> {
    kernel::mount(path, args.as_bytes(), MountKind::New, || Ok(())).map(|(mount, _)| mount)
}

/// What the servers here call their root.
pub const ROOT: Cookie = Cookie(0x1000);

/// Mount arguments that are all right: a directory as the root, every
/// operation wanted, file handles of eight bytes.
pub fn mount_args(name: &str) -> KArgs {
    let mut args = KArgs::new_zeroed();
    args.vers = consts::VERSION;
    args.fd = 3;
    args.flags = KFLAG_ALLOPS;
    args.fhsize = 8;
    args.root_cookie = ROOT;
    args.root_vtype = Vtype::Dir.into();
    put_name(&mut args.typename, name);
    put_name(&mut args.mntfromname, name);
    args.svfsb.bsize = 4096;
    args.svfsb.frsize = 4096;
    args.svfsb.blocks = 1000;
    args.svfsb.bfree = 900;
    args.svfsb.bavail = 900;
    args.svfsb.namemax = 255;
    args
}

fn put_name(to: &mut [u8], name: &str) {
    for (to, from) in to.iter_mut().zip(name.bytes()) {
        *to = from;
    }
}

/// What a server does about a frame.
pub enum Answer {
    /// It replies.
    Reply(Frame),
    /// It says nothing.
    Nothing,
    /// It exits.
    Exit,
}

/// Starts a server: a thread of `user`'s that reads frames and does what
/// `serve` says, until the mount is gone, it gets a signal, or it exits. It
/// has the descriptor, unless somebody else has it too, and its end is that of
/// the process.
pub fn spawn(
    user: &User,
    client: Client,
    mut serve: impl FnMut(&Frame) -> Answer + Send + 'static,
) -> Task<()> {
    user.spawn("server", move |_| loop {
        let Ok(request) = client.read() else { return };
        match serve(&request) {
            Answer::Reply(reply) => {
                // A mount that goes away meanwhile shows at the next read.
                let _ = client.write(&reply);
            }
            Answer::Nothing => {}
            Answer::Exit => return,
        }
    })
}
