//! Vnodes, nodes, and the cookies that tie them to the server's files
//! (`puffs_node.c`).
//!
//! The kernel's vnode cache is keyed by the cookie, so there is one vnode for
//! a cookie and the kernel's own code sees to it. (`puffs_subr.c` of 2007 had
//! a hash table for that; `docs/ORIGINS.md` says where its parts went.)

use crate::{
    abi::{self, consts::VSIZENOTSET, vn, Cookie, OpClass, Vattr, VnOp, Vtype},
    kern::{self, ComponentName, Errno, NodeRef, Result, Vnode, VnodeRef},
    mount::Mount,
    msgif::Park,
};

/// Bits of a node's status (`PNODE_*` of `puffs_sys.h`).
pub mod status {
    use crate::kern::sys;

    /// The server has no reference to the node.
    pub const NOREFS: u32 = sys::PK_PNODE_NOREFS;
    /// Requests for the node are fire and forget.
    pub const FAF: u32 = sys::PK_PNODE_FAF;
    /// Tell the server when the node becomes inactive.
    pub const DOINACT: u32 = sys::PK_PNODE_DOINACT;
    /// The access time is cached.
    pub const METACACHE_ATIME: u32 = sys::PK_PNODE_METACACHE_ATIME;
    /// The change time is cached.
    pub const METACACHE_CTIME: u32 = sys::PK_PNODE_METACACHE_CTIME;
    /// The modification time is cached.
    pub const METACACHE_MTIME: u32 = sys::PK_PNODE_METACACHE_MTIME;
    /// The size is cached.
    pub const METACACHE_SIZE: u32 = sys::PK_PNODE_METACACHE_SIZE;
    /// An expiry is queued for the node.
    pub const SOPEXP: u32 = sys::PK_PNODE_SOPEXP;
}

/// Bits that say what to cache of a node's metadata (`PUFFS_UPDATE*`).
pub mod update {
    use crate::kern::sys;

    /// The access time.
    pub const ATIME: u32 = sys::PK_UPDATE_ATIME;
    /// The change time.
    pub const CTIME: u32 = sys::PK_UPDATE_CTIME;
    /// The modification time.
    pub const MTIME: u32 = sys::PK_UPDATE_MTIME;
    /// The size.
    pub const SIZE: u32 = sys::PK_UPDATE_SIZE;
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
/// `puffs_getvnode`). May sleep.
///
/// # Errors
/// EPROTO if the description cannot be true: a type or size that does not
/// exist, no cookie, or another type than the node of that cookie has. The
/// server is told. Else what the vnode cache says.
pub fn getvnode(mount: &Mount, file: FileInfo) -> Result<VnodeRef> {
    get(mount, file, Existing::Welcome)
}

fn get(mount: &Mount, file: FileInfo, existing: Existing) -> Result<VnodeRef> {
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
        // The interlock keeps reclaim from taking the node away; a node that
        // it took already means that the cache must make a new vnode.
        let locked = vnode.with_interlock(|| {
            let node = vnode.node()?;
            node.with_lock(|| node.reference_locked());
            Some(node)
        });
        if let Some(node) = locked {
            break (vnode, node);
        }
    };
    let known = node.with_lock(|| {
        let known = vnode.vtype();
        if known == Vtype::Non as u32 {
            initialise(*vnode, node, vtype, file);
        }
        known
    });
    node.release();
    if known == Vtype::Non as u32 {
        return Ok(vnode);
    }
    if existing == Existing::Refused {
        drop(vnode);
        return Err(mount.bad_node(Errno::EEXIST, "cookie exists", file.cookie));
    }
    if known != file.vtype {
        drop(vnode);
        let text = "a file changed its type";
        return Err(mount.bad_node(Errno::EINVAL, text, file.cookie));
    }
    Ok(vnode)
}

/// Gives a vnode that the cache just made its type; inside `pn_mtx`.
fn initialise(vnode: Vnode, node: NodeRef, vtype: Vtype, file: FileInfo) {
    vnode.set_vtype(vtype as u32);
    match vtype {
        Vtype::Blk | Vtype::Chr => vnode.become_special(file.rdev),
        Vtype::Fifo => vnode.become_fifo(),
        Vtype::Reg => vnode.set_size(file.size),
        _ => {}
    }
    node.set_server_size(file.size);
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
) -> Result<VnodeRef> {
    if file.cookie == Cookie(0) {
        return Err(Errno::EOPNOTSUPP);
    }
    // The root's vnode may be reclaimed, so the cache does not tell.
    if file.cookie == mount.config.root_cookie {
        return Err(mount.bad_node(Errno::EEXIST, "cookie exists", file.cookie));
    }
    let vnode = get(mount, file, Existing::Refused)?;
    if mount.config.uses_namecache() {
        dir.cache_name(*vnode, name);
    }
    if let Some(node) = dir.node() {
        updatenode(node, update::CTIME | update::MTIME, 0);
    }
    Ok(vnode)
}

/// Takes a vnode that is being reclaimed and its node apart (C:
/// `puffs_putvnode`).
pub fn putvnode(vnode: Vnode) {
    if let Some(node) = vnode.detach_node() {
        node.release();
    }
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

/// The root vnode, referenced and not locked (C: `puffs_makeroot`).
fn root(mount: &Mount) -> Result<VnodeRef> {
    let config = &mount.config;
    let vnode = getvnode(
        mount,
        FileInfo {
            cookie: mount.config.root_cookie,
            vtype: config.root_vtype,
            size: config.root_size,
            rdev: config.root_rdev,
        },
    )?;
    mount.pmp.remember_root(*vnode);
    Ok(vnode)
}

/// A node's time to live is over (C: `puffsop_expire`): if nobody uses its
/// vnode, giving a reference back reclaims it.
pub(crate) fn expire(mount: &Mount, cookie: usize) {
    if let Ok(Some(vnode)) = find(mount, Cookie(cookie)) {
        if let Some(node) = vnode.node() {
            node.change_status(0, status::SOPEXP);
        }
    }
}

/// Caches metadata until the server is told (C: `puffs_updatenode`): the time
/// of day for the times that `what` names, and `size`.
pub fn updatenode(node: NodeRef, what: u32, size: i64) {
    if what == 0 {
        return;
    }
    let now = kern::now();
    for (wanted, cached) in [
        (update::ATIME, status::METACACHE_ATIME),
        (update::CTIME, status::METACACHE_CTIME),
        (update::MTIME, status::METACACHE_MTIME),
    ] {
        if what & wanted != 0 {
            node.cache_time(cached, &now);
            node.change_status(cached, 0);
        }
    }
    if what & update::SIZE != 0 {
        node.cache_size(size);
        node.change_status(status::METACACHE_SIZE, 0);
    }
}

/// Attributes that cannot be those of the file: of another type than it has
/// (none is said by [`Vtype::Non`]), or of an impossible size. `node` is what
/// the request was about.
///
/// What else than getattr answers attributes has them cached, if they have a
/// time to live.
pub(crate) fn check_attributes(mount: &Mount, node: NodeRef, park: &mut Park) -> Result<()> {
    let ttl = mount.config.uses_ttl();
    let Some((vtype, va)) = answered_attributes(node, park, ttl) else {
        return Ok(());
    };
    let cookie = Cookie(node.cookie());
    if va.vtype != u32::from(Vtype::Non) && vtype.is_some_and(|vtype| vtype != va.vtype) {
        return Err(mount.bad_node(Errno::EINVAL, "a file changed its type", cookie));
    }
    let size = va.size as i64;
    if size != VSIZENOTSET && !is_file_size(size) {
        return Err(mount.bad_node(Errno::EINVAL, "impossible file size", cookie));
    }
    Ok(())
}

/// The attributes in a reply that the kernel will use, and the type that they
/// must be of if it is known. `ttl`: may they be cached?
fn answered_attributes(node: NodeRef, park: &mut Park, ttl: bool) -> Option<(Option<u32>, Vattr)> {
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
pub fn apply_setbacks(setbacks: u32, nodes: [Option<NodeRef>; 2]) {
    let bits = [
        (abi::SETBACK_INACT_N1, abi::SETBACK_NOREF_N1),
        (abi::SETBACK_INACT_N2, abi::SETBACK_NOREF_N2),
    ];
    for (node, (inactive, no_refs)) in nodes.into_iter().zip(bits) {
        let Some(node) = node else { continue };
        if setbacks & inactive != 0 {
            node.change_status(status::DOINACT, 0);
        }
        if setbacks & no_refs != 0 {
            node.change_status(status::NOREFS, 0);
        }
    }
}
