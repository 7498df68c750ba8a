//! The name cache: names of directories, without references.

use super::{
    registry::lock,
    vnode::{self, VnodeRef},
};
use puffs_rs::kern::sys::{componentname, mount, vnode as vnode_t};
use std::{collections::HashMap, sync::Mutex};

/// Of a directory and a name: the file, or none.
type Names = HashMap<(usize, Vec<u8>), Option<usize>>;

static NAMES: Mutex<Option<Names>> = Mutex::new(None);

fn with<R>(f: impl FnOnce(&mut Names) -> R) -> R {
    f(lock(&NAMES).get_or_insert_default())
}

/// What the cache knows of a name: `None` nothing, `Some(None)` that there is
/// no such file.
pub(crate) fn lookup(dir: usize, name: &[u8]) -> Option<Option<VnodeRef>> {
    let known = with(|names| names.get(&(dir, name.to_vec())).copied())?;
    match known {
        None => Some(None),
        Some(handle) => vnode::try_get(handle).map(Some),
    }
}

/// Enters a name, or that there is none.
pub(crate) fn enter(dir: usize, name: &[u8], file: Option<usize>) {
    with(|names| names.insert((dir, name.to_vec()), file));
}

/// Forgets one name.
pub(crate) fn purge_name(dir: usize, name: &[u8]) {
    with(|names| names.remove(&(dir, name.to_vec())));
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
pub(crate) unsafe extern "C" fn pk_cache_enter(
    dvp: *mut vnode_t,
    vp: *mut vnode_t,
    name: *const componentname,
) {
    let name = super::component::of(name);
    let file = (!vp.is_null()).then(|| vnode::of(vp).handle());
    enter(vnode::of(dvp).handle(), name.component(), file);
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
