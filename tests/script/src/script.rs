//! The scripted server.
//!
//! A test plays the server by hand: its thread reads the frames, and what it
//! does about each is written down before or on the spot.
//!
//! ```text
//! script.file("f", FILE, Vtype::Reg, 100);       // what lookups find
//! let call = script.call(|calls| calls.stat("/mnt/f"));
//! let request = script.next::<vn::Getattr>();    // lookups are answered meanwhile
//! script.send(&request.reply_error(EIO));
//! assert_eq!(script.join(call), Err(Errno::EIO));
//! ```
//!
//! or, in advance,
//!
//! ```text
//! script.expect(Rule::on::<vn::Open>().of(FILE).answer(|request| Answer::Die));
//! ```
//!
//! A frame that nothing was said about fails the test, and so does an
//! expectation that nothing met.

use crate::{
    describe,
    world::{Calls, Device, Process, Thread, World},
    Frame,
};
use puffs_rs::{
    abi::{
        consts, notify, time32, vfs, vn, Cookie, KArgs, Message, NameiOp, OpClass, Req, Vattr,
        VfsOp, VnOp, Vtype, OPCLASS_MASK,
    },
    kern::{Errno, Result},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use zerocopy::FromZeros;

/// Where the file system is mounted.
pub const MNT: &str = "/mnt";

/// What the scripted server calls its root.
pub const ROOT: Cookie = Cookie(0x1000);

/// How many blocks the file system has: by this a case knows that what is
/// mounted is its own.
pub const BLOCKS: u64 = 4711;

/// How long anything may take that is said to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device is asked this often for what is new.
const TICK: Duration = Duration::from_millis(1);

/// No such file or directory.
pub const ENOENT: i32 = 2;

/// What the server does about a request.
pub enum Answer {
    /// Writes this.
    Reply(Frame),
    /// Writes all of these.
    Replies(Vec<Frame>),
    /// Nothing, for ever.
    Nothing,
    /// Nothing now: [`Script::held`] hands the request out.
    Later,
    /// Dies.
    Die,
}

/// What the script says about requests of one kind.
pub struct Rule {
    class: OpClass,
    op: u16,
    name: &'static str,
    cookie: Option<Cookie>,
    left: Option<usize>,
    answer: Box<dyn FnMut(&Frame) -> Answer>,
}

impl Rule {
    /// About requests of type `T`; they get no answer unless one is given.
    pub fn on<T: Message>() -> Rule {
        Rule {
            class: T::CLASS,
            op: T::OP,
            name: std::any::type_name::<T>(),
            cookie: None,
            left: None,
            answer: Box::new(|_| Answer::Nothing),
        }
    }

    /// Only about those of this file.
    #[must_use]
    pub fn of(mut self, cookie: Cookie) -> Rule {
        self.cookie = Some(cookie);
        self
    }

    /// About so many of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Rule {
        self.left = Some(times);
        self
    }

    /// What the server does about them.
    #[must_use]
    pub fn answer(mut self, answer: impl FnMut(&Frame) -> Answer + 'static) -> Rule {
        self.answer = Box::new(answer);
        self
    }

    /// They are answered with what `reply` makes of them.
    #[must_use]
    pub fn reply(self, mut reply: impl FnMut(&Frame) -> Frame + 'static) -> Rule {
        self.answer(move |request| Answer::Reply(reply(request)))
    }

    fn fits(&self, frame: &Frame) -> bool {
        let req = frame.req();
        self.left != Some(0)
            && frame.class() == Some(self.class)
            && req.optype == self.op
            && self.cookie.is_none_or(|cookie| cookie == req.cookie)
    }

    fn apply(&mut self, frame: &Frame) -> Answer {
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        (self.answer)(frame)
    }
}

/// What the kernel told the server beside its requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A complaint (`PUFFSOP_ERROR`): the errno, and the words.
    Complaint(i32, String),
    /// The answer to a request of the server's: its id and its outcome.
    Response(u64, i32),
}

/// A file that lookups find.
#[derive(Clone, Copy)]
struct File {
    cookie: Cookie,
    vtype: Vtype,
    size: i64,
}

struct State {
    dead: bool,
    files: BTreeMap<Vec<u8>, File>,
    attributes: BTreeMap<usize, (Vtype, i64)>,
    expected: VecDeque<Rule>,
    rules: Vec<Rule>,
    notices: VecDeque<(Notice, Frame)>,
    told: Vec<Notice>,
    held: VecDeque<Frame>,
    seen: BTreeMap<(u16, u16), usize>,
    log: Vec<String>,
}

/// A world with a server that a test plays, and a user whose calls it answers.
pub struct Script {
    /// The kernel.
    pub world: Rc<dyn World>,
    /// The process of the server.
    pub server: Arc<dyn Process>,
    /// The process of the user.
    pub user: Arc<dyn Process>,
    /// The server's descriptor.
    pub device: Arc<dyn Device>,
    state: RefCell<State>,
}

/// A call that a thread of the user's makes.
pub struct Call<T> {
    thread: Box<dyn Thread>,
    value: Arc<Mutex<Option<T>>>,
}

impl<T> Call<T> {
    /// Sends its thread a signal.
    pub fn signal(&self, signal: i32) {
        self.thread.signal(signal);
    }

    /// Did it return?
    pub fn is_done(&self) -> bool {
        self.thread.is_done()
    }

    fn value(self) -> T {
        self.thread.join();
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let mut value = value;
        match value.take() {
            Some(value) => value,
            None => panic!("a call without a result"),
        }
    }
}

/// Mount arguments for a scripted server: it has one directory, which is
/// empty, and is asked for names and attributes only. What more it wants to be
/// asked, [`ask_for`] says.
pub fn mount_args() -> KArgs {
    let mut args = KArgs::new_zeroed();
    args.vers = consts::VERSION;
    args.fd = 3;
    args.fhsize = 8;
    args.root_cookie = ROOT;
    args.root_vtype = Vtype::Dir.into();
    put_name(&mut args.typename, "script");
    put_name(&mut args.mntfromname, "script");
    args.svfsb.bsize = 4096;
    args.svfsb.frsize = 4096;
    args.svfsb.blocks = BLOCKS;
    args.svfsb.bfree = 900;
    args.svfsb.bavail = 900;
    args.svfsb.namemax = 255;
    ask_for(&mut args, &[VnOp::Lookup, VnOp::Getattr]);
    args
}

/// Has the server asked to do these as well.
pub fn ask_for(args: &mut KArgs, ops: &[VnOp]) {
    for &op in ops {
        args.vnopmask[usize::from(u16::from(op))] = 1;
    }
}

fn put_name(to: &mut [u8], name: &str) {
    for (to, from) in to.iter_mut().zip(name.bytes()) {
        *to = from;
    }
}

impl Script {
    /// A server and a user in a world. Nothing is mounted yet.
    ///
    /// # Panics
    /// If the device cannot be opened.
    pub fn new(world: Rc<dyn World>) -> Script {
        let (server, user) = (world.process("server"), world.process("user"));
        let device = match server.open_device() {
            Ok(device) => device,
            Err(error) => panic!("the device: {error:?}"),
        };
        let state = State {
            dead: false,
            files: BTreeMap::new(),
            attributes: BTreeMap::from([(ROOT.0, (Vtype::Dir, 512))]),
            expected: VecDeque::new(),
            rules: Vec::new(),
            notices: VecDeque::new(),
            told: Vec::new(),
            held: VecDeque::new(),
            seen: BTreeMap::new(),
            log: Vec::new(),
        };
        Script {
            world,
            server,
            user,
            device,
            state: RefCell::new(state),
        }
    }

    /// Mounts at [`MNT`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mount(&self, args: &KArgs) -> Result<()> {
        self.device.mount(MNT, args)
    }

    // What the server does.

    /// From now on lookups find this file in the root, and it has these
    /// attributes. Names that nobody made known are not there.
    pub fn file(&self, name: &str, cookie: Cookie, vtype: Vtype, size: i64) {
        let mut state = self.state.borrow_mut();
        let file = File {
            cookie,
            vtype,
            size,
        };
        state.files.insert(name.as_bytes().to_vec(), file);
        state.attributes.insert(cookie.0, (vtype, size));
    }

    /// From now on the file has these attributes, whatever finds it.
    pub fn attributes(&self, cookie: Cookie, vtype: Vtype, size: i64) {
        let mut state = self.state.borrow_mut();
        state.attributes.insert(cookie.0, (vtype, size));
    }

    /// The next requests are these, in this order. Beside them only such come
    /// as [`allow`](Self::allow) and [`file`](Self::file) provided for.
    pub fn expect(&self, rule: Rule) {
        let rule = if rule.left.is_none() {
            rule.times(1)
        } else {
            rule
        };
        self.state.borrow_mut().expected.push_back(rule);
    }

    /// From now on such requests may come, at any time, as often as the rule
    /// says. Later rules come before earlier ones.
    pub fn allow(&self, rule: Rule) {
        self.state.borrow_mut().rules.insert(0, rule);
    }

    /// The next request that has no answer yet, waiting for it: a `T`.
    ///
    /// # Panics
    /// If it is another, or none comes.
    pub fn next<T: Message>(&self) -> Frame {
        self.next_of(T::CLASS, T::OP, std::any::type_name::<T>())
    }

    pub(crate) fn next_of(&self, class: OpClass, op: u16, name: &str) -> Frame {
        let mut found = None;
        self.serve_until(name, &mut |frame| {
            let fits = frame.class() == Some(class) && frame.req().optype == op;
            if fits && found.is_none() {
                found = Some(frame.clone());
                return true;
            }
            false
        });
        match found {
            Some(frame) => frame,
            None => unreachable!("serve_until returns when it was found"),
        }
    }

    /// The oldest request that was answered with [`Answer::Later`].
    pub fn held(&self) -> Option<Frame> {
        self.state.borrow_mut().held.pop_front()
    }

    /// Waits for such a request.
    ///
    /// # Panics
    /// If none comes.
    pub fn wait_held(&self, count: usize) {
        self.until("requests to be held", || {
            self.state.borrow().held.len() >= count
        });
    }

    /// Writes a frame.
    ///
    /// # Panics
    /// If the device does not take it.
    pub fn send(&self, frame: &Frame) {
        assert_eq!(self.try_send(frame), Ok(()), "write of {frame:?}");
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// What the device says.
    pub fn try_send(&self, frame: &Frame) -> Result<()> {
        self.log('<', frame);
        self.device.write(frame.bytes())
    }

    /// The server dies.
    pub fn die(&self) {
        let dead = std::mem::replace(&mut self.state.borrow_mut().dead, true);
        if !dead {
            self.state.borrow_mut().log.push("the server dies".into());
            self.device.die();
        }
    }

    /// Is the server dead?
    pub fn is_dead(&self) -> bool {
        self.state.borrow().dead
    }

    /// The next thing that the kernel tells the server, waiting for it.
    ///
    /// # Panics
    /// If nothing comes.
    pub fn notice(&self) -> Notice {
        self.notice_frame().0
    }

    /// The same, and its bytes.
    ///
    /// # Panics
    /// If nothing comes.
    pub fn notice_frame(&self) -> (Notice, Frame) {
        self.until("a notice", || !self.state.borrow().notices.is_empty());
        match self.state.borrow_mut().notices.pop_front() {
            Some(notice) => notice,
            None => unreachable!("there is one"),
        }
    }

    /// Everything that the kernel told the server so far.
    pub fn told(&self) -> Vec<Notice> {
        self.settle();
        self.state.borrow().told.clone()
    }

    /// How many requests of type `T` came so far.
    pub fn count<T: Message>(&self) -> usize {
        let key = (u16::from(T::CLASS), T::OP);
        self.state.borrow().seen.get(&key).copied().unwrap_or(0)
    }

    // What the user does.

    /// Starts a thread of the user's that makes a call.
    pub fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Calls) -> T + Send + 'static,
    ) -> Call<T> {
        self.call_as(&self.user, call)
    }

    /// Starts a thread of a process that makes a call.
    pub fn call_as<T: Send + 'static>(
        &self,
        process: &Arc<dyn Process>,
        call: impl FnOnce(&dyn Calls) -> T + Send + 'static,
    ) -> Call<T> {
        let value = Arc::new(Mutex::new(None));
        let place = value.clone();
        let work = move |calls: &dyn Calls| {
            let done = call(calls);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        };
        let thread = process.spawn("call", Box::new(work));
        Call { thread, value }
    }

    /// Waits for the end of a call, and serves requests meanwhile.
    ///
    /// # Panics
    /// If it does not end, or panics.
    pub fn join<T>(&self, call: Call<T>) -> T {
        self.until("a call to return", || call.is_done());
        call.value()
    }

    /// Waits for the end of a call, and serves nothing meanwhile.
    ///
    /// # Panics
    /// If it does not end, or panics.
    pub fn join_aside<T>(&self, call: Call<T>) -> T {
        self.wait_aside("a call to return", || call.is_done());
        call.value()
    }

    /// Waits until so many frames are there to be read, and reads none.
    ///
    /// # Panics
    /// If they do not come.
    pub fn wait_queued(&self, count: usize) {
        self.wait_aside("requests to be queued", || {
            self.device.kevent(TICK).is_ok_and(|there| there >= count)
        });
    }

    /// Waits until `done`, and serves nothing meanwhile.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_aside(&self, what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            if start.elapsed() > PATIENCE {
                self.fail(&format!("waited too long for {what}"));
            }
            std::thread::sleep(TICK / 10);
        }
    }

    /// Makes a call and serves requests meanwhile.
    pub fn run<T: Send + 'static>(&self, call: impl FnOnce(&dyn Calls) -> T + Send + 'static) -> T {
        let call = self.call(call);
        self.join(call)
    }

    /// Unmounts, and serves requests meanwhile.
    ///
    /// # Errors
    /// What `unmount(2)` says.
    pub fn unmount(&self, force: bool) -> Result<()> {
        let process = self.world.process("umount");
        let call = self.call_as(&process, move |calls| calls.unmount(MNT, force));
        self.join(call)
    }

    /// Is the file system mounted? Requests are served meanwhile: whoever looks
    /// at a mount waits for an unmount that has begun, and that for the server.
    pub fn is_mounted(&self) -> bool {
        let room = self.run(|calls| calls.statvfs_nowait(MNT));
        room.is_ok_and(|room| room.blocks == BLOCKS)
    }

    /// The mount works: a request gets its answer.
    ///
    /// # Panics
    /// If it does not.
    pub fn assert_alive(&self) {
        let size = 0x7700 + self.count::<vn::Getattr>() as i64;
        let call = self.call(|calls| calls.stat(MNT).map(|stat| stat.size));
        let request = self.next::<vn::Getattr>();
        self.send(&attributes(&request, Vtype::Dir, size));
        assert_eq!(self.join(call), Ok(size));
    }

    // The loop.

    /// Serves requests until `done`.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        while !done() {
            if start.elapsed() > PATIENCE {
                self.fail(&format!("waited too long for {what}"));
            }
            self.serve(&mut |_| false);
        }
    }

    fn serve_until(&self, what: &str, wanted: &mut dyn FnMut(&Frame) -> bool) {
        let start = Instant::now();
        let mut found = false;
        while !found {
            if start.elapsed() > PATIENCE {
                self.fail(&format!("waited too long for {what}"));
            }
            self.serve(&mut |frame| {
                found = wanted(frame);
                found
            });
        }
    }

    /// Serves what there is and waits for nothing.
    pub fn settle(&self) {
        while self.serve(&mut |_| false) {}
    }

    /// Serves one frame, waiting for it a little; `false` if there is none.
    /// What is `wanted` the test sees to.
    fn serve(&self, wanted: &mut dyn FnMut(&Frame) -> bool) -> bool {
        if self.is_dead() {
            std::thread::sleep(TICK / 10);
            return false;
        }
        if self.device.poll(TICK) == Ok(false) {
            return false;
        }
        match self.device.try_read() {
            Ok(Some(frame)) => {
                self.take(&frame, wanted);
                true
            }
            Ok(None) => false,
            Err(_) => {
                // The mount is gone.
                std::thread::sleep(TICK);
                false
            }
        }
    }

    fn take(&self, frame: &Frame, wanted: &mut dyn FnMut(&Frame) -> bool) {
        self.log('>', frame);
        {
            let mut state = self.state.borrow_mut();
            let req = frame.req();
            let key = (req.opclass & OPCLASS_MASK, req.optype);
            *state.seen.entry(key).or_default() += 1;
        }
        if let Some(notice) = notice_of(frame) {
            let mut state = self.state.borrow_mut();
            state.told.push(notice.clone());
            state.notices.push_back((notice, frame.clone()));
            return;
        }
        if wanted(frame) {
            return;
        }
        let answer = self.find_answer(frame);
        match answer {
            Some(Answer::Reply(reply)) => self.reply(&reply),
            Some(Answer::Replies(replies)) => replies.iter().for_each(|reply| self.reply(reply)),
            Some(Answer::Nothing) => {}
            Some(Answer::Later) => self.state.borrow_mut().held.push_back(frame.clone()),
            Some(Answer::Die) => self.die(),
            None => self.fail(&format!("{frame:?} was not expected")),
        }
    }

    /// A mount that goes away meanwhile shows at the next read.
    fn reply(&self, reply: &Frame) {
        let _ = self.try_send(reply);
    }

    fn find_answer(&self, frame: &Frame) -> Option<Answer> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Some(rule) = state.expected.front_mut() {
            if rule.fits(frame) {
                let answer = rule.apply(frame);
                if rule.left == Some(0) {
                    state.expected.pop_front();
                }
                return Some(answer);
            }
        }
        if let Some(rule) = state.rules.iter_mut().find(|rule| rule.fits(frame)) {
            return Some(rule.apply(frame));
        }
        routine(state, frame)
    }

    fn log(&self, way: char, frame: &Frame) {
        let line = match frame.header() {
            Some(req) => format!(
                "{way} {} id {} cookie {:#x} rv {} ({} bytes)",
                describe(frame),
                req.id,
                req.cookie.0,
                req.rv,
                frame.len()
            ),
            None => format!("{way} {} bytes", frame.len()),
        };
        self.state.borrow_mut().log.push(line);
    }

    /// Everything that was expected came.
    ///
    /// # Panics
    /// If something did not.
    pub fn assert_met(&self) {
        let left: Vec<_> = {
            let state = self.state.borrow();
            let bounded = state.rules.iter().filter(|rule| rule.left.unwrap_or(0) > 0);
            let expected = state.expected.iter().chain(bounded);
            expected.map(|rule| rule.name).collect()
        };
        if !left.is_empty() {
            self.fail(&format!("never came: {}", left.join(", ")));
        }
    }

    /// Fails the test, and says what crossed the wire.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&self, why: &str) -> ! {
        let mut text = format!("{why}\n");
        let state = self.state.borrow();
        let log = &state.log;
        for line in &log[log.len().saturating_sub(60)..] {
            // Writing to a `String` does not fail.
            let _ = writeln!(text, "    {line}");
        }
        drop(state);
        panic!("{text}");
    }
}

/// What a server does that has the files of the script, is always there, and
/// lets everybody do everything, and forgets files without regret.
fn routine(state: &State, frame: &Frame) -> Option<Answer> {
    let req = frame.req();
    let class = frame.class()?;
    let reply = match class {
        OpClass::Vfs => match VfsOp::try_from(req.optype).ok()? {
            VfsOp::Unmount | VfsOp::Sync => frame.reply_header(),
            _ => return None,
        },
        _ => match VnOp::try_from(req.optype).ok()? {
            VnOp::Lookup => match state.files.get(&name_of(frame)) {
                Some(file) => found(frame, file.cookie, file.vtype, file.size),
                None => frame.reply_error(ENOENT),
            },
            VnOp::Getattr => {
                let (vtype, size) = state.attributes.get(&req.cookie.0)?;
                attributes(frame, *vtype, *size)
            }
            // Sooner or later a kernel tells the times of what was done, has
            // what was written stored, and gives locks back.
            VnOp::Setattr | VnOp::Fsync | VnOp::Advlock => frame.reply_header(),
            VnOp::Inactive => frame.reply_header(),
            VnOp::Reclaim if frame.is_faf() => return Some(Answer::Nothing),
            _ => return None,
        },
    };
    Some(if frame.is_faf() {
        Answer::Nothing
    } else {
        Answer::Reply(reply)
    })
}

fn notice_of(frame: &Frame) -> Option<Notice> {
    if frame.is_response() {
        return Some(Notice::Response(frame.req().id, frame.req().rv));
    }
    if frame.class() != Some(OpClass::Error) {
        return None;
    }
    let report = frame.get::<notify::Error>();
    let text = report.str.split(|&byte| byte == 0).next();
    let text = String::from_utf8_lossy(text.unwrap_or_default());
    Some(Notice::Complaint(report.error, text.into_owned()))
}

/// The name that a lookup is for.
pub fn name_of(lookup: &Frame) -> Vec<u8> {
    // Up to here all forms are alike.
    let name = &lookup.get::<time32::Lookup>().cn;
    name.name[..name.namelen.min(name.name.len())].to_vec()
}

/// Is a lookup part of a creation?
pub fn is_for_creation(lookup: &Frame) -> bool {
    lookup.get::<time32::Lookup>().cn.nameiop == u32::from(NameiOp::Create)
}

/// Is a request in the form of servers with a 32-bit `time_t`, which is a `T`?
fn is_time32<T>(request: &Frame) -> bool {
    request.req().buflen == size_of::<T>()
}

/// A good reply to a lookup.
pub fn found(request: &Frame, cookie: Cookie, vtype: Vtype, size: i64) -> Frame {
    if is_time32::<time32::Lookup>(request) {
        return request.reply_with::<time32::Lookup>(|reply| {
            reply.newnode = cookie;
            reply.vtype = vtype.into();
            reply.size = size;
        });
    }
    request.reply_with::<vn::Lookup>(|reply| {
        reply.newnode = cookie;
        reply.vtype = vtype.into();
        reply.size = size;
    })
}

/// A good reply to a question for attributes.
pub fn attributes(request: &Frame, vtype: Vtype, size: i64) -> Frame {
    if is_time32::<time32::Attributes>(request) {
        return request.reply_with::<time32::Attributes>(|reply| {
            let (va, wanted) = (&mut reply.va, file_attributes(vtype, size));
            (va.vtype, va.mode, va.nlink) = (wanted.vtype, wanted.mode, wanted.nlink);
            (va.uid, va.gid, va.fileid) = (wanted.uid, wanted.gid, wanted.fileid);
            (va.size, va.bytes, va.blocksize) = (wanted.size, wanted.bytes, wanted.blocksize);
        });
    }
    request.reply_with::<vn::Getattr>(|reply| {
        reply.va = file_attributes(vtype, size);
    })
}

/// The attributes of an ordinary file of a type.
pub fn file_attributes(vtype: Vtype, size: i64) -> Vattr {
    let mut va = Vattr::new_zeroed();
    va.vtype = vtype.into();
    va.mode = 0o777;
    va.nlink = 1;
    va.fileid = 7;
    va.size = size as u64;
    va.bytes = size as u64;
    va.blocksize = 4096;
    va
}

/// A request of the server's for a flush.
pub fn flush(op: i32, cookie: Cookie, start: i64, end: i64) -> Frame {
    let mut flush = notify::Flush::new_zeroed();
    flush.req.id = 4711;
    flush.req.opclass = OpClass::Flush.into();
    flush.req.cookie = cookie;
    flush.op = op;
    flush.cookie = cookie;
    flush.start = start;
    flush.end = end;
    Frame::of(&flush)
}

/// A frame of the server's that is only a header.
pub fn header(class: u16, op: u16, id: u64) -> Frame {
    let mut header = Req::new_zeroed();
    header.opclass = class;
    header.optype = op;
    header.id = id;
    header.cookie = ROOT;
    Frame::of(&header)
}

/// A good answer to a request for the numbers of the file system.
pub fn statvfs(request: &Frame, bfree: u64) -> Frame {
    request.reply_with::<vfs::Statvfs>(|reply| {
        let args = mount_args();
        reply.sb = args.svfsb;
        reply.sb.bfree = bfree;
    })
}

/// The errno of a result; success is no error.
pub fn errno<T>(result: &Result<T>) -> Option<Errno> {
    result.as_ref().err().copied()
}
