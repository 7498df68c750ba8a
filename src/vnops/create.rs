//! Making files.

use super::{attr, lookup, remove, File};
use crate::{
    abi::{vn, Cookie, Kcn, Kcred, Message, Timespec, Vattr, VnOp, Vtype},
    kern::{ComponentName, Errno, Result, VnodeRef},
    msgif::Request,
    node::{self, FileInfo, Touch},
    subr,
};

/// What the messages that make files have in common.
trait Creation: Message {
    fn parts(&mut self) -> Parts<'_>;
}

struct Parts<'a> {
    cn: &'a mut Kcn,
    cred: &'a mut Kcred,
    va: &'a mut Vattr,
    newnode: Cookie,
    va_ttl: Timespec,
    cn_ttl: Timespec,
}

macro_rules! creations {
    ($($message:ident)+) => { $(
        impl Creation for vn::$message {
            fn parts(&mut self) -> Parts<'_> {
                Parts {
                    cn: &mut self.cn,
                    cred: &mut self.cn_cred,
                    va: &mut self.va,
                    newnode: self.newnode,
                    va_ttl: self.va_ttl,
                    cn_ttl: self.cn_ttl,
                }
            }
        }
    )+ };
}

creations! { Create Mknod Mkdir Symlink }

/// Makes a regular file, or a socket, with attributes `va` (VOP_CREATE). `dir`
/// is locked, the result is not.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, EPROTO for a file that cannot
/// be, else what the server says.
pub fn create(dir: &File, name: &ComponentName<'_>, va: &Vattr) -> Result<VnodeRef> {
    make::<vn::Create>(dir, name, va, (va.vtype, 0), |_| Ok(()))
}

/// Makes a device, a fifo, or a socket (VOP_MKNOD); as [`create`].
///
/// # Errors
/// As for [`create`].
pub fn mknod(dir: &File, name: &ComponentName<'_>, va: &Vattr) -> Result<VnodeRef> {
    make::<vn::Mknod>(dir, name, va, (va.vtype, va.rdev), |_| Ok(()))
}

/// Makes a directory (VOP_MKDIR); as [`create`].
///
/// # Errors
/// As for [`create`].
pub fn mkdir(dir: &File, name: &ComponentName<'_>, va: &Vattr) -> Result<VnodeRef> {
    make::<vn::Mkdir>(dir, name, va, (Vtype::Dir.into(), 0), |_| Ok(()))
}

/// Makes a symbolic link that leads to `target` (VOP_SYMLINK); as [`create`].
///
/// # Errors
/// As for [`create`].
pub fn symlink(
    dir: &File,
    name: &ComponentName<'_>,
    va: &Vattr,
    target: &[u8],
) -> Result<VnodeRef> {
    make::<vn::Symlink>(dir, name, va, (Vtype::Lnk.into(), 0), |request| {
        subr::copy_str(&mut request.body()?.link, target);
        Ok(())
    })
}

fn make<T: Creation>(
    dir: &File,
    name: &ComponentName<'_>,
    va: &Vattr,
    (vtype, rdev): (u32, u64),
    fill: impl FnOnce(&mut Request<T>) -> Result<()>,
) -> Result<VnodeRef> {
    let mount = dir.mount();
    let op = VnOp::try_from(T::OP).map_err(|_| Errno::EINVAL)?;
    lookup::needs(dir, op, name)?;
    let mut request = dir.request::<T>()?;
    let parts = request.body()?.parts();
    dir.name(parts.cn, parts.cred, name);
    *parts.va = *va;
    fill(&mut request)?;
    dir.ask(&mut request)?;

    let answer = request.body()?.parts();
    let file = FileInfo {
        cookie: answer.newnode,
        vtype,
        size: 0,
        rdev,
    };
    let (vnode, node) = node::newnode(mount, dir.vnode, name, file)
        .inspect_err(|_| undo(dir, name, op, answer.newnode))?;
    dir.node.touch(Touch::CTIME | Touch::MTIME);
    if mount.config.uses_ttl() {
        attr::learn_all(*vnode, &node, answer.va, answer.va_ttl, answer.cn_ttl);
    }
    lookup::told(dir, &node);
    Ok(vnode)
}

/// The kernel has no vnode for a file that the server made: the server removes
/// it again (C: `puffs_abortbutton`).
fn undo(dir: &File, name: &ComponentName<'_>, op: VnOp, cookie: Cookie) {
    // A server that cannot undo it keeps it.
    let _ = if op == VnOp::Mkdir {
        remove::undo::<vn::Rmdir>(dir, cookie, name)
    } else {
        remove::undo::<vn::Remove>(dir, cookie, name)
    };
    lookup::forget(dir.mount(), cookie);
}
