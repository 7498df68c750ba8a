//! A kernel, a mount and a scripted server in one: what most tests need.
//!
//! ```text
//! let bench = Bench::new();
//! let call = bench.call(|user| user.stat("/mnt"));
//! let request = bench.next::<vn::Getattr>();
//! bench.send(&request.reply_error(5));
//! assert_eq!(call.join(), Err(Errno::EIO));
//! bench.finish();
//! ```

use crate::{
    kernel::{self, Kernel, Mount, VnodeRef, MNT_FORCE},
    rt,
    server::{self, Client, Frame},
    user::{File, Open, Task, User},
    vnops::vattr_null,
};
use puffs_rs::{
    abi::{
        notify::{self, FlushOp},
        vn, Cookie, KArgs, Message, OpClass, VnOp, Vtype,
    },
    kern::{Errno, Result},
};
pub use puffs_script::{flush as flush_frame, header as header_frame};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Where the file system is mounted.
pub const MNT: &str = "/mnt";

/// What the caller of a request sleeps for.
pub const WAITS: &str = "puffsrpl";

/// What a reader of the device sleeps for.
pub const READS: &str = "puffsget";

/// A cookie that no file of a test has.
pub const NOBODY: Cookie = Cookie(0xdead_0000);

/// A kernel with one mount whose server a test plays by hand.
pub struct Bench {
    /// The kernel.
    pub kernel: Kernel,
    /// The process of the server.
    pub server: User,
    /// The process whose calls are answered.
    pub user: User,
    /// The mount.
    pub mount: Arc<Mount>,
    client: Mutex<Option<Client>>,
}

/// Mount arguments for a scripted server: no message comes unasked.
pub fn quiet_args() -> KArgs {
    let mut args = server::mount_args("script");
    args.flags = 0;
    args.vnopmask.fill(1);
    for op in [VnOp::Inactive, VnOp::Reclaim] {
        args.vnopmask[usize::from(u16::from(op))] = 0;
    }
    args
}

impl Default for Bench {
    fn default() -> Self {
        Bench::new()
    }
}

impl Bench {
    /// Boots and mounts.
    pub fn new() -> Bench {
        Bench::with(&quiet_args())
    }

    /// Boots and mounts with these arguments.
    pub fn with(args: &KArgs) -> Bench {
        Bench::on(Kernel::boot(), args)
    }

    /// Mounts with these arguments.
    ///
    /// # Panics
    /// If that fails.
    pub fn on(kernel: Kernel, args: &KArgs) -> Bench {
        let server = User::new("server");
        let (client, mount) = server.run(|_| {
            let client = Client::open();
            let mount = client.mount(MNT, args);
            (client, mount)
        });
        match mount {
            Ok(mount) => Bench {
                kernel,
                user: User::new("user"),
                server,
                mount,
                client: Mutex::new(Some(client)),
            },
            Err(error) => panic!("mount: {error:?}"),
        }
    }

    /// The server's descriptor.
    ///
    /// # Panics
    /// If the server died.
    pub fn client(&self) -> Client {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*client {
            Some(client) => client.clone(),
            None => panic!("the server died"),
        }
    }

    /// The server dies: its descriptor is closed, unless another thread of it
    /// is still inside a call.
    pub fn die(&self) {
        let client = self
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.server.run(|_| drop(client));
    }

    /// Starts a thread of the user that makes a call.
    pub fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&User) -> T + Send + 'static,
    ) -> Task<T> {
        self.user.spawn("call", call)
    }

    /// The next frame for the server, whatever it is, waiting for it.
    ///
    /// # Panics
    /// If there is none.
    pub fn frame(&self) -> Frame {
        let client = self.client();
        match self.server.run(|_| client.read()) {
            Ok(frame) => frame,
            Err(error) => panic!("read: {error:?}"),
        }
    }

    /// The next frame for the server, which is a request of type `T`.
    ///
    /// # Panics
    /// If it is another.
    pub fn next<T: Message>(&self) -> Frame {
        let frame = self.frame();
        let wanted = std::any::type_name::<T>();
        assert!(frame.is::<T>(), "{frame:?} came instead of {wanted}");
        frame
    }

    /// Is there nothing for the server?
    ///
    /// # Panics
    /// If reading fails otherwise.
    pub fn assert_quiet(&self) {
        let client = self.client();
        match self.server.run(|_| client.try_read()) {
            Ok(None) => {}
            Ok(Some(frame)) => panic!("{frame:?} came"),
            Err(error) => panic!("read: {error:?}"),
        }
    }

    /// Writes a frame, as the server.
    ///
    /// # Panics
    /// If the device does not take it.
    pub fn send(&self, frame: &Frame) {
        assert_eq!(self.try_send(frame), Ok(()), "write of {frame:?}");
    }

    /// Writes a frame, as the server.
    ///
    /// # Errors
    /// What the device says.
    pub fn try_send(&self, frame: &Frame) -> Result<()> {
        let client = self.client();
        self.server.run(|_| client.write(frame))
    }

    /// The next frame, which tells the server that it sent nonsense; returns
    /// the errno and the words.
    ///
    /// # Panics
    /// If it is another.
    pub fn complaint(&self) -> (i32, String) {
        let frame = self.frame();
        assert_eq!(
            frame.class(),
            Some(OpClass::Error),
            "{frame:?} is no complaint"
        );
        let report = frame.get::<notify::Error>();
        let text = report
            .str
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        (report.error, String::from_utf8_lossy(text).into_owned())
    }

    /// The next frame, which answers a request of the server's; returns its
    /// id and its outcome.
    ///
    /// # Panics
    /// If it is another.
    pub fn response(&self) -> (u64, i32) {
        let frame = self.frame();
        assert!(frame.is_response(), "{frame:?} is no response");
        (frame.req().id, frame.req().rv)
    }

    /// Asks for a flush as the server, and returns the outcome.
    pub fn flush(&self, op: FlushOp, cookie: Cookie, start: i64, end: i64) -> i32 {
        let frame = flush_frame(op.into(), cookie, start, end);
        self.send(&frame);
        let (id, rv) = self.response();
        assert_eq!(id, frame.req().id);
        rv
    }

    /// Answers the next lookup with a file.
    pub fn answer_lookup(&self, cookie: Cookie, vtype: Vtype, size: i64) {
        let request = self.next::<vn::Lookup>();
        self.send(&found(&request, cookie, vtype, size));
    }

    /// The vnode of a file, which the server finds under a name.
    ///
    /// # Panics
    /// If the lookup fails.
    pub fn file(&self, name: &str, cookie: Cookie, vtype: Vtype, size: i64) -> VnodeRef {
        let path = format!("{MNT}/{name}");
        let call = self.call(move |user| user.vnode(&path));
        self.answer_lookup(cookie, vtype, size);
        match call.join() {
            Ok(vnode) => vnode,
            Err(error) => panic!("lookup of {name}: {error:?}"),
        }
    }

    /// An empty file under a name, open to write.
    ///
    /// # Panics
    /// If that fails.
    pub fn open(&self, name: &str, cookie: Cookie) -> File {
        let path = format!("{MNT}/{name}");
        let call = self.call(move |user| user.open(&path, Open::WRITE));
        self.answer_lookup(cookie, Vtype::Reg, 0);
        let open = self.next::<vn::Open>();
        self.send(&open.reply_with::<vn::Open>(|_| {}));
        match call.join() {
            Ok(file) => file,
            Err(error) => panic!("open of {name}: {error:?}"),
        }
    }

    /// Gives a reference to such a file up, which is the last.
    ///
    /// # Panics
    /// If the server is not told, or is to answer.
    pub fn close(&self, file: impl Send + 'static) {
        let call = self.call(move |_| drop(file));
        assert!(self.next::<vn::Close>().is_faf());
        call.join();
    }

    /// The root's vnode.
    ///
    /// # Panics
    /// If there is none.
    pub fn root(&self) -> VnodeRef {
        match self.user.vnode(MNT) {
            Ok(root) => root,
            Err(error) => panic!("root: {error:?}"),
        }
    }

    /// The mount works: a request gets its answer.
    ///
    /// # Panics
    /// If it does not.
    pub fn assert_alive(&self) {
        let call = self.call(|user| user.stat(MNT).map(|va| va.size));
        let request = self.next::<vn::Getattr>();
        self.send(&attributes(&request, Vtype::Dir, 77));
        assert_eq!(call.join(), Ok(77));
    }

    /// The server dies, and nothing is left; ends the kernel.
    ///
    /// # Panics
    /// If something is left.
    pub fn finish(self) {
        self.die();
        let Bench {
            kernel,
            server,
            user,
            mount,
            client: _,
        } = self;
        drop((server, user));
        until("the mount to go", || mount.is_gone());
        drop(mount);
        until("the mount point to be free", || kernel.mounted() == 0);
        kernel.shutdown();
    }

    /// Unmounts by force, as the user.
    ///
    /// # Errors
    /// What unmount(2) says.
    pub fn unmount_by_force(&self) -> Result<()> {
        self.user
            .run(|_| kernel::unmount_mount(&self.mount, MNT_FORCE))
    }
}

/// Waits until `done`. On a model's schedule that has no limit but the one that
/// all has: the clock may leap there.
///
/// # Panics
/// If that takes long.
pub fn until(what: &str, done: impl Fn() -> bool) {
    let start = rt::uptime();
    while !done() {
        assert!(
            rt::MODEL || rt::uptime() - start < Duration::from_secs(20),
            "waited too long for {what}\n{}",
            kernel::table()
        );
        rt::pause();
    }
}

/// A good reply to a lookup.
pub fn found(request: &Frame, cookie: Cookie, vtype: Vtype, size: i64) -> Frame {
    request.reply_with::<vn::Lookup>(|reply| {
        reply.newnode = cookie;
        reply.vtype = vtype.into();
        reply.size = size;
    })
}

/// A good reply to a write: all of it was.
pub fn written(request: &Frame) -> Frame {
    request.reply_with::<vn::Write>(|reply| reply.resid = 0)
}

/// A good reply to a question for attributes.
pub fn attributes(request: &Frame, vtype: Vtype, size: u64) -> Frame {
    request.reply_with::<vn::Getattr>(|reply| {
        reply.va = vattr_null();
        reply.va.vtype = vtype.into();
        reply.va.size = size;
        reply.va.nlink = 1;
    })
}

/// The errno of a result, 0 for success.
pub fn errno<T>(result: &Result<T>) -> i32 {
    result.as_ref().err().map_or(0, |error: &Errno| error.get())
}
