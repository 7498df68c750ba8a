//! The name cache: names of directories, without references.

use super::{component, registry::lock, vnode};
use puffs_rs::{
    abi::{NameiOp, NAMEI_ISLASTCN, NAMEI_MAKEENTRY},
    kern::sys::{componentname, mount, vnode as vnode_t},
};
use std::{collections::HashMap, ptr, sync::Mutex};

/// Of a directory and a name: the file, or none.
type Names = HashMap<(usize, Vec<u8>), Option<usize>>;

static NAMES: Mutex<Option<Names>> = Mutex::new(None);

fn with<R>(f: impl FnOnce(&mut Names) -> R) -> R {
    f(lock(&NAMES).get_or_insert_default())
}

/// Forgets a vnode, as a file and as a directory.
pub(crate) fn purge(vnode: usize) {
    with(|names| names.retain(|(dir, _), file| *dir != vnode && *file != Some(vnode)));
}

/// Forgets all names of a mount.
pub(crate) fn purge_mount(mount: usize) {
    let of_mount = vnode::handles_of(mount);
    with(|names| names.retain(|(dir, _), _| !of_mount.contains(dir)));
}

/// How many names are cached.
pub(crate) fn count() -> usize {
    with(|names| names.len())
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cache_lookup(
    dvp: *mut vnode_t,
    name: *mut componentname,
    vpp: *mut *mut vnode_t,
) -> bool {
    // SAFETY: the core passes a place for the vnode.
    unsafe { vpp.write(ptr::null_mut()) };
    let key = key(dvp, name);
    let name = component::of(name);
    let flags = name.flags();
    let makes = name.nameiop() == NameiOp::Create.into() && flags & NAMEI_ISLASTCN != 0;
    match with(|names| names.get(&key).copied()) {
        None => false,
        // What is about to change is not to be found any more.
        Some(_) if flags & NAMEI_MAKEENTRY == 0 => {
            with(|names| names.remove(&key));
            false
        }
        Some(None) if makes => {
            with(|names| names.remove(&key));
            false
        }
        Some(None) => true,
        Some(Some(handle)) => {
            let Some(found) = vnode::try_get(handle) else {
                return false;
            };
            // SAFETY: as above.
            unsafe { vpp.write(found.into_raw()) };
            true
        }
    }
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cache_enter(
    dvp: *mut vnode_t,
    vp: *mut vnode_t,
    name: *const componentname,
) {
    if component::of(name).flags() & NAMEI_MAKEENTRY == 0 {
        return;
    }
    // Who asked for `..` had the directory unlocked meanwhile.
    if vnode::of(dvp).is_dead() {
        return;
    }
    let file = (!vp.is_null()).then(|| vnode::of(vp).handle());
    with(|names| names.insert(key(dvp, name), file));
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cache_purge(vp: *mut vnode_t) {
    purge(vnode::of(vp).handle());
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cache_purge_name(dvp: *mut vnode_t, name: *const componentname) {
    with(|names| names.remove(&key(dvp, name)));
}

/// Where a name is in the cache.
fn key(dvp: *const vnode_t, name: *const componentname) -> (usize, Vec<u8>) {
    let name = component::of(name).component().to_vec();
    (vnode::of(dvp).handle(), name)
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cache_purge_children(vp: *mut vnode_t) {
    let directory = vnode::of(vp).handle();
    with(|names| names.retain(|(dir, _), _| *dir != directory));
}

#[no_mangle]
pub(crate) unsafe extern "C" fn pk_cache_purge_mount(mp: *mut mount) {
    purge_mount(super::vfs::of(mp).handle());
}
