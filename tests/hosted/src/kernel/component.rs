//! Path components and credentials.

use super::{
    fatal::kassert,
    registry::{raw, Registry},
};
use puffs_rs::{
    abi::Uucred,
    kern::sys::{componentname, kauth_cred},
};
use std::{
    ffi::{c_char, c_void, CString},
    ptr,
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
};
use zerocopy::FromZeros;

/// `NOCRED`.
const NOCRED: usize = usize::MAX;

/// The same as a credential.
pub(crate) fn nocred() -> *mut kauth_cred {
    ptr::without_provenance_mut(NOCRED)
}

/// `FSCRED`.
pub(crate) const FSCRED: usize = usize::MAX - 1;

/// Credentials of a process.
#[derive(Debug)]
pub(crate) struct Cred {
    handle: usize,
    /// The effective user.
    pub(crate) uid: u32,
    /// The effective group.
    pub(crate) gid: u32,
    /// The supplementary groups.
    pub(crate) groups: Vec<u32>,
}

static CREDS: Registry<Cred> = Registry::new("credential");

/// A credential that lives as long as this.
pub(crate) struct CredHold(Arc<Cred>);

impl CredHold {
    pub(crate) fn new(uid: u32, gid: u32, groups: &[u32]) -> CredHold {
        CredHold(CREDS.add(|handle| Cred {
            handle,
            uid,
            gid,
            groups: groups.to_vec(),
        }))
    }

    pub(crate) fn raw(&self) -> *mut kauth_cred {
        raw(self.0.handle)
    }

    /// Is it the superuser's?
    pub(crate) fn is_root(&self) -> bool {
        self.0.uid == 0
    }
}

impl Drop for CredHold {
    fn drop(&mut self) {
        CREDS.remove(self.0.handle);
    }
}

/// A component of a path that is being walked.
pub(crate) struct Component {
    handle: usize,
    /// The component and what follows.
    path: CString,
    len: usize,
    nameiop: u32,
    flags: AtomicU32,
    cred: *mut kauth_cred,
}

// SAFETY: the credential is a number.
unsafe impl Send for Component {}
// SAFETY: only the flags change, and those are atomic.
unsafe impl Sync for Component {}

static COMPONENTS: Registry<Component> = Registry::new("componentname");

pub(crate) fn of(name: *const componentname) -> Arc<Component> {
    COMPONENTS.get(name)
}

impl Component {
    pub(crate) fn component(&self) -> &[u8] {
        &self.path.as_bytes()[..self.len]
    }

    /// What the path walk is for.
    pub(crate) fn nameiop(&self) -> u32 {
        self.nameiop
    }

    /// The flags of the path walk.
    pub(crate) fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }
}

/// A component that lives as long as this.
pub(crate) struct ComponentHold(Arc<Component>);

impl ComponentHold {
    /// The first `len` bytes of `path`.
    pub(crate) fn new(
        path: &[u8],
        len: usize,
        nameiop: u32,
        flags: u32,
        cred: *mut kauth_cred,
    ) -> ComponentHold {
        ComponentHold(COMPONENTS.add(|handle| Component {
            handle,
            path: CString::new(path).unwrap_or_default(),
            len,
            nameiop,
            flags: AtomicU32::new(flags),
            cred,
        }))
    }

    pub(crate) fn raw(&self) -> *mut componentname {
        raw(self.0.handle)
    }
}

impl Drop for ComponentHold {
    fn drop(&mut self) {
        COMPONENTS.remove(self.0.handle);
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cred_kind(cred: *mut kauth_cred) -> i32 {
    match cred.addr() {
        NOCRED => 1,
        FSCRED => 2,
        _ => {
            CREDS.get(cred);
            0
        }
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cred_to_uucred(cred: *mut kauth_cred, uuc: *mut c_void) {
    let cred = CREDS.get(cred);
    let mut wire = Uucred::new_zeroed();
    wire.uid = cred.uid;
    wire.gid = cred.gid;
    wire.ngroups = cred.groups.len().min(wire.groups.len()) as i16;
    for (to, from) in wire.groups.iter_mut().zip(&cred.groups) {
        *to = *from;
    }
    // SAFETY: the core passes a place for it.
    unsafe { ptr::write(uuc.cast(), wire) };
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_nameiop(name: *const componentname) -> u32 {
    of(name).nameiop
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_flags(name: *const componentname) -> u32 {
    of(name).flags()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_nameptr(name: *const componentname) -> *const c_char {
    of(name).path.as_ptr()
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_namelen(name: *const componentname) -> usize {
    of(name).len
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_cred(name: *const componentname) -> *mut kauth_cred {
    of(name).cred
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_set_flags(name: *mut componentname, set: u32, clear: u32) {
    let name = of(name);
    let flags = (name.flags() & !clear) | set;
    name.flags.store(flags, Ordering::Relaxed);
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cn_consume(name: *mut componentname, len: usize) {
    // As the newest kernels, which look no further into a path than at one
    // component.
    let name = of(name);
    let left = name.path.as_bytes().len() - name.len;
    kassert!(len <= left, "{len} bytes of a path consumed, of {left}");
}
