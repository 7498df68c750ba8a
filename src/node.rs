//! Vnodes, nodes, and the cookies that tie them to the server's files
//! (`puffs_node.c`).
//!
//! The kernel's vnode cache is keyed by the cookie, so there is one vnode for
//! a cookie and the kernel's own code sees to it. (`puffs_subr.c` of 2007 had
//! a hash table for that; `docs/ORIGINS.md` says where its parts went.)

use crate::{
    abi::{self, consts::VSIZENOTSET, vn, Cookie, OpClass, Timespec, Vattr, VnOp, Vtype},
    kern::{self, Arc, ComponentName, Errno, Guard, Mutex, Ref, Result, Vnode, VnodeRef},
    mount::Mount,
    msgif::{Park, Polls, SopRequest},
};
use core::{
    ops::BitOr,
    sync::atomic::{AtomicU32, Ordering},
};

/// A counted reference to a node.
pub type NodeRef = kern::NodeRef<Node>;

/// What the kernel keeps of a file of the server's (C: `struct puffs_node`).
pub struct Node {
    /// The mount that it is in: who has the node needs not ask the vnode, which may
    /// be reclaimed by now.
    pub mount: Arc<Mount>,
    /// What the server calls the file. The vnode cache's key is this very
    /// field.
    pub cookie: Cookie,
    /// The number of its type; that of [`Vtype::Non`] until it is known.
    vtype: AtomicU32,
    /// Held by who changes the size of the file, or relies on it, and may be
    /// held while the server is asked (C: `pn_sizemtx`).
    sizing: Mutex<()>,
    /// C: `pn_mtx`, and what it ought to guard.
    state: Mutex<State>,
}

/// What changes of a node.
#[derive(Default)]
pub(crate) struct State {
    /// The server has no reference to the node any more (`PNODE_NOREFS`).
    pub(crate) no_refs: bool,
    /// The node goes with its vnode, which nobody uses (`PNODE_DYING`): what is
    /// dirty need not be written.
    pub(crate) dying: bool,
    /// The server is to be told when the node becomes inactive
    /// (`PNODE_DOINACT`).
    pub(crate) tell_inactive: bool,
    /// The expiry that is queued (`PNODE_SOPEXP`); it goes with the node.
    pub(crate) expiry: Option<Ref<SopRequest>>,
    /// Reads go past the page cache (`PNODE_RDIRECT`).
    pub(crate) reads_direct: bool,
    /// Writes go past the page cache (`PNODE_WDIRECT`).
    pub(crate) writes_direct: bool,
    /// What the kernel knows better than the server.
    pub(crate) notes: Notes,
    /// The size that the server knows.
    pub(crate) server_size: i64,
    /// How often the server has told of the file.
    pub(crate) nlookup: i32,
    /// Until when its name holds.
    pub(crate) name_until: Deadline,
    /// Until when it is kept although nobody uses it.
    pub(crate) grace_until: Deadline,
    /// Attributes that the server said, and until when they hold.
    pub(crate) attributes: Option<(Vattr, Deadline)>,
    /// The directory that it was last found in, if that is remembered.
    pub(crate) parent: Option<VnodeRef>,
    /// Events that are there for whoever polls next.
    pub(crate) revents: i32,
    /// Polls that have no answer yet.
    pub(crate) polls: Polls,
}

/// Attributes that changed in the kernel, and that the server is to learn (C:
/// the metacache).
#[derive(Clone, Copy, Default)]
pub(crate) struct Notes {
    pub(crate) atime: Option<Timespec>,
    pub(crate) mtime: Option<Timespec>,
    pub(crate) ctime: Option<Timespec>,
    pub(crate) size: Option<u64>,
}

impl Notes {
    /// Is nothing noted?
    pub(crate) fn is_empty(&self) -> bool {
        self.atime.is_none() && self.mtime.is_none() && self.ctime.is_none() && self.size.is_none()
    }

    /// Notes again what the server was not told after all, but for what is noted since.
    pub(crate) fn put_back(&mut self, untold: Notes) {
        self.atime = self.atime.or(untold.atime);
        self.mtime = self.mtime.or(untold.mtime);
        self.ctime = self.ctime.or(untold.ctime);
        self.size = self.size.or(untold.size);
    }

    /// Puts what is noted over the server's word.
    pub(crate) fn show(&self, va: &mut Vattr) {
        let over = |time: &mut Timespec, noted: Option<Timespec>| {
            if let Some(noted) = noted {
                *time = noted;
            }
        };
        over(&mut va.atime, self.atime);
        over(&mut va.mtime, self.mtime);
        over(&mut va.ctime, self.ctime);
        if let Some(size) = self.size {
            va.size = size;
        }
    }
}

/// A tick of the kernel's clock, which wraps, or none.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Deadline(Option<i32>);

impl Deadline {
    /// So long from now on: an accepted reply's time to live, which fits. Zero
    /// is no time.
    pub(crate) fn after(ttl: Timespec) -> Deadline {
        if ttl.sec == 0 && ttl.nsec == 0 {
            return Deadline(None);
        }
        let hz = i64::from(kern::hz());
        let ticks = ttl.sec * hz + ttl.nsec as i64 * hz / 1_000_000_000;
        Deadline::in_ticks(ticks as i32)
    }

    /// So many ticks from now on.
    pub(crate) fn in_ticks(ticks: i32) -> Deadline {
        Deadline(Some(kern::ticks().wrapping_add(ticks)))
    }

    /// Is there one?
    pub(crate) fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Has it passed? One that is not set has.
    pub(crate) fn is_over(self) -> bool {
        self.0
            .is_none_or(|tick| kern::ticks().wrapping_sub(tick) > 0)
    }

    /// The later of the two.
    pub(crate) fn max(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(a), Some(b)) if b.wrapping_sub(a) > 0 => other,
            (None, _) => other,
            _ => self,
        }
    }
}

/// Times of a file (`PUFFS_UPDATE*`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Touch(u8);

impl Touch {
    /// None.
    pub const NONE: Touch = Touch(0);
    /// The access time.
    pub const ATIME: Touch = Touch(1);
    /// The change time.
    pub const CTIME: Touch = Touch(2);
    /// The modification time.
    pub const MTIME: Touch = Touch(4);

    fn has(self, other: Touch) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Touch {
    type Output = Touch;

    fn bitor(self, other: Touch) -> Touch {
        Touch(self.0 | other.0)
    }
}

impl Node {
    fn new(mount: Arc<Mount>, cookie: Cookie) -> Node {
        Node {
            mount,
            cookie,
            vtype: AtomicU32::new(Vtype::Non.into()),
            sizing: Mutex::new(()),
            state: Mutex::new(State::default()),
        }
    }

    /// The number of the type of the file.
    pub fn vtype(&self) -> u32 {
        self.vtype.load(Ordering::Relaxed)
    }

    /// Did the cache just make its vnode? Else all of that is set up.
    fn is_new(&self) -> bool {
        self.vtype.load(Ordering::Acquire) == u32::from(Vtype::Non)
    }

    /// Is it of that type?
    pub(crate) fn is(&self, vtype: Vtype) -> bool {
        self.vtype() == u32::from(vtype)
    }

    /// Is it a device?
    pub(crate) fn is_device(&self) -> bool {
        self.is(Vtype::Blk) || self.is(Vtype::Chr)
    }

    /// What changes of it, inside `pn_mtx`. Nothing sleeps in there.
    pub(crate) fn state(&self) -> Guard<'_, State> {
        self.state.lock()
    }

    /// Enters `pn_sizemtx`.
    pub(crate) fn sizing(&self) -> Guard<'_, ()> {
        self.sizing.lock()
    }

    /// Enters `pn_sizemtx`, unless somebody is inside.
    pub(crate) fn try_sizing(&self) -> Option<Guard<'_, ()>> {
        self.sizing.try_lock()
    }

    /// Notes that times of the file are now (C: `puffs_updatenode`), for the
    /// server to learn; a server that keeps times itself is not told.
    pub(crate) fn touch(&self, what: Touch) {
        if what == Touch::NONE || !self.mount.config.flushes_notes() {
            return;
        }
        let now = kern::now();
        let now = Timespec {
            sec: now.ts_sec,
            nsec: now.ts_nsec as isize,
        };
        let notes = &mut self.state().notes;
        for (one, note) in [
            (Touch::ATIME, &mut notes.atime),
            (Touch::CTIME, &mut notes.ctime),
            (Touch::MTIME, &mut notes.mtime),
        ] {
            if what.has(one) {
                *note = Some(now);
            }
        }
    }

    /// Notes the size of the file, for the server to learn.
    pub(crate) fn note_size(&self, size: i64) {
        if self.mount.config.flushes_notes() {
            self.state().notes.size = Some(size as u64);
        }
    }
}

/// Is this a size that the page cache can believe in? It rounds sizes up, so
/// that the largest of all would overflow; nobody has half of that.
pub fn is_file_size(size: i64) -> bool {
    (0..=i64::MAX / 2).contains(&size)
}

/// A file as the server describes it.
#[derive(Clone, Copy, Debug)]
pub struct FileInfo {
    /// What the server calls it.
    pub cookie: Cookie,
    /// The number of its type, unchecked.
    pub vtype: u32,
    /// Its size in bytes, unchecked.
    pub size: i64,
    /// The device, if it is a special file.
    pub rdev: u64,
}

/// May a vnode for the cookie be there already?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Welcome,
    Refused,
}

/// The vnode of a file, found or made, referenced and not locked (C:
/// `puffs_getvnode`), and its node. May sleep.
///
/// # Errors
/// EPROTO if the description cannot be true: a type or size that does not
/// exist, no cookie, or another type than the node of that cookie has. The
/// server is told. Else what the vnode cache says.
pub fn getvnode(mount: &Mount, file: FileInfo) -> Result<(VnodeRef, NodeRef)> {
    get(mount, file, Existing::Welcome)
}

fn get(mount: &Mount, file: FileInfo, existing: Existing) -> Result<(VnodeRef, NodeRef)> {
    let vtype = match Vtype::try_from(file.vtype) {
        Ok(Vtype::Non | Vtype::Bad) | Err(_) => {
            return Err(mount.bad_node(Errno::EINVAL, "bad node type", file.cookie));
        }
        Ok(vtype) => vtype,
    };
    if file.size == VSIZENOTSET {
        let text = "VSIZENOTSET is not a valid size";
        return Err(mount.bad_node(Errno::EINVAL, text, file.cookie));
    }
    // Of other files the size means nothing to the kernel.
    if vtype == Vtype::Reg && !is_file_size(file.size) {
        return Err(mount.bad_node(Errno::EINVAL, "impossible file size", file.cookie));
    }
    if file.cookie == Cookie(0) && mount.config.root_cookie != Cookie(0) {
        return Err(mount.bad_node(Errno::EINVAL, "no cookie", file.cookie));
    }
    // The root's vnode may not be there, so the cache does not tell its type.
    if file.cookie == mount.config.root_cookie && file.vtype != mount.config.root_vtype {
        return Err(mount.bad_node(Errno::EINVAL, "a file changed its type", file.cookie));
    }

    let (vnode, node) = loop {
        let vnode = mount.mp.vnode(file.cookie.0)?;
        // A node that reclaim took already means that the cache must make a new
        // vnode.
        if let Some(node) = node_of(*vnode) {
            break (vnode, node);
        }
    };
    if node.is_new() {
        let sizing = node.sizing();
        if node.is_new() {
            initialise(*vnode, &node, vtype, file);
            drop(sizing);
            return Ok((vnode, node));
        }
    }
    let known = node.vtype();
    if existing == Existing::Refused {
        drop(vnode);
        return Err(mount.bad_node(Errno::EEXIST, "cookie exists", file.cookie));
    }
    if known != file.vtype {
        drop(vnode);
        let text = "a file changed its type";
        return Err(mount.bad_node(Errno::EINVAL, text, file.cookie));
    }
    Ok((vnode, node))
}

/// The node of a vnode that is only referenced: the interlock keeps reclaim
/// from taking it away.
pub(crate) fn node_of(vnode: Vnode) -> Option<NodeRef> {
    vnode.with_interlock(|| Node::of(vnode))
}

/// Gives a vnode that the cache just made its type. The caller is inside
/// `pn_sizemtx`.
fn initialise(vnode: Vnode, node: &Node, vtype: Vtype, file: FileInfo) {
    // Not inside `pn_mtx`, which is entered inside the lock of the pages.
    if vtype == Vtype::Reg {
        vnode.set_size(file.size);
    }
    let mut state = node.state();
    state.server_size = file.size;
    vnode.set_vtype(vtype as u32);
    match vtype {
        Vtype::Blk | Vtype::Chr => vnode.become_special(file.rdev),
        Vtype::Fifo => vnode.become_fifo(),
        _ => {}
    }
    drop(state);
    // The last: who sees it relies on the rest.
    node.vtype.store(vtype as u32, Ordering::Release);
}

/// The vnode of a file that the server just made in directory `dir` (C:
/// `puffs_newnode`), entered in the name cache.
///
/// # Errors
/// EOPNOTSUPP if the server made none, EPROTO if the cookie is in use.
pub fn newnode(
    mount: &Mount,
    dir: Vnode,
    name: &ComponentName<'_>,
    file: FileInfo,
) -> Result<(VnodeRef, NodeRef)> {
    if file.cookie == Cookie(0) {
        return Err(Errno::EOPNOTSUPP);
    }
    // The root's vnode may be reclaimed, so the cache does not tell.
    if file.cookie == mount.config.root_cookie {
        return Err(mount.bad_node(Errno::EEXIST, "cookie exists", file.cookie));
    }
    let (vnode, node) = get(mount, file, Existing::Refused)?;
    if mount.config.uses_namecache() {
        dir.cache_name(Some(*vnode), name);
    }
    Ok((vnode, node))
}

/// Makes the node of a new vnode; returns where it keeps the cookie. May
/// sleep.
pub(crate) fn loadvnode(
    mount: Arc<Mount>,
    vnode: Vnode,
    cookie: Cookie,
) -> Option<*const core::ffi::c_void> {
    let is_root = cookie == mount.config.root_cookie;
    let node = NodeRef::new(Node::new(mount, cookie))?;
    // The vnode's reference keeps it where it is.
    let kept = core::ptr::from_ref(&node.cookie).cast();
    node.attach(vnode, is_root);
    Some(kept)
}

/// The vnode of a cookie, referenced and not locked (C: `puffs_cookie2vnode`).
/// `None` if the kernel knows no such file. The root is made if it is not
/// there. May sleep.
///
/// # Errors
/// What the vnode cache says.
pub fn find(mount: &Mount, cookie: Cookie) -> Result<Option<VnodeRef>> {
    if cookie == mount.config.root_cookie {
        return root(mount).map(Some);
    }
    if cookie == Cookie(0) {
        return Ok(None);
    }
    let vnode = mount.mp.vnode(cookie.0)?;
    let vtype = vnode.with_interlock(|| vnode.vtype());
    // A vnode without a type was made by the question itself.
    Ok((vtype != Vtype::Non as u32).then_some(vnode))
}

/// The root vnode, referenced and not locked (C: `puffs_makeroot`). The server
/// is not asked.
///
/// # Errors
/// What the vnode cache says.
pub fn root(mount: &Mount) -> Result<VnodeRef> {
    let config = &mount.config;
    let (vnode, _) = getvnode(
        mount,
        FileInfo {
            cookie: mount.config.root_cookie,
            vtype: config.root_vtype,
            size: config.root_size,
            rdev: config.root_rdev,
        },
    )?;
    Ok(vnode)
}

/// A node's time to live is over (C: `puffsop_expire`): if nobody uses its
/// vnode, giving a reference back reclaims it.
pub(crate) fn expire(mount: &Mount, cookie: Cookie, request: &Ref<SopRequest>) {
    if let Ok(Some(vnode)) = find(mount, cookie) {
        if let Some(node) = node_of(*vnode) {
            // The node may be another by now, with an expiry of its own.
            let is_this = |own: &mut Ref<SopRequest>| own.as_ptr() == request.as_ptr();
            node.state().expiry.take_if(is_this);
        }
    }
}

/// Attributes that cannot be those of the file: of another type than it has
/// (none is said by [`Vtype::Non`]), or of an impossible size. `node` is what
/// the request was about.
///
/// What else than getattr answers attributes has them cached, if they have a
/// time to live.
pub(crate) fn check_attributes(mount: &Mount, node: &Node, park: &mut Park) -> Result<()> {
    let ttl = mount.config.uses_ttl();
    let Some((vtype, va)) = answered_attributes(node, park, ttl) else {
        return Ok(());
    };
    if va.vtype != u32::from(Vtype::Non) && vtype.is_some_and(|vtype| vtype != va.vtype) {
        return Err(mount.bad_node(Errno::EINVAL, "a file changed its type", node.cookie));
    }
    let size = va.size as i64;
    if size != VSIZENOTSET && !is_file_size(size) {
        return Err(mount.bad_node(Errno::EINVAL, "impossible file size", node.cookie));
    }
    Ok(())
}

/// The attributes in a reply that the kernel will use, and the type that they
/// must be of if it is known. `ttl`: may they be cached?
fn answered_attributes(node: &Node, park: &mut Park, ttl: bool) -> Option<(Option<u32>, Vattr)> {
    let header = park.body::<abi::Req>()?;
    if header.opclass & abi::OPCLASS_MASK != u16::from(OpClass::Vn) {
        return None;
    }
    match VnOp::try_from(header.optype).ok()? {
        VnOp::Getattr => Some((Some(node.vtype()), park.body::<vn::Getattr>()?.va)),
        _ if !ttl => None,
        VnOp::Setattr => Some((Some(node.vtype()), park.body::<vn::Setattr>()?.va)),
        VnOp::Lookup => {
            let answer = park.body::<vn::Lookup>()?;
            Some((Some(answer.vtype), answer.va))
        }
        // The judgement of the reply looked at the type of these.
        VnOp::Create => Some((None, park.body::<vn::Create>()?.va)),
        VnOp::Mkdir => Some((None, park.body::<vn::Mkdir>()?.va)),
        VnOp::Symlink => Some((None, park.body::<vn::Symlink>()?.va)),
        VnOp::Mknod => Some((None, park.body::<vn::Mknod>()?.va)),
        _ => None,
    }
}

/// Acts on what the server said of the nodes of its request, beside its reply
/// (`PUFFS_SETBACK_*`).
pub(crate) fn apply_setbacks(setbacks: u32, nodes: [Option<&Node>; 2]) {
    let bits = [
        (abi::SETBACK_INACT_N1, abi::SETBACK_NOREF_N1),
        (abi::SETBACK_INACT_N2, abi::SETBACK_NOREF_N2),
    ];
    for (node, (inactive, no_refs)) in nodes.into_iter().zip(bits) {
        let Some(node) = node else { continue };
        if setbacks & (inactive | no_refs) != 0 {
            let mut state = node.state();
            state.tell_inactive |= setbacks & inactive != 0;
            state.no_refs |= setbacks & no_refs != 0;
        }
    }
}
