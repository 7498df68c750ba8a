//! Removing names, and giving files others.

use super::{lookup, File};
use crate::{
    abi::{vn, Cookie, Kcn, Kcred, Message, VnOp},
    kern::{ComponentName, Errno, Result, VnodeRef},
    msgif::Request,
    node::{Node, Touch},
};

/// What the messages about one name of a known file have in common.
pub(super) trait Named: Message {
    fn parts(&mut self) -> (&mut Kcn, &mut Kcred, &mut Cookie);
}

macro_rules! named {
    ($($message:ident)+) => { $(
        impl Named for vn::$message {
            fn parts(&mut self) -> (&mut Kcn, &mut Kcred, &mut Cookie) {
                (&mut self.cn, &mut self.cn_cred, &mut self.cookie_targ)
            }
        }
    )+ };
}

named! { Remove Rmdir Link }

/// A request about one name in `dir` of the file `cookie`.
fn named<T: Named>(dir: &File, cookie: Cookie, name: &ComponentName<'_>) -> Result<Request<T>> {
    let mut request = dir.request::<T>()?;
    let (cn, cred, target) = request.body()?.parts();
    *target = cookie;
    dir.name(cn, cred, name);
    Ok(request)
}

/// Has the server take back what it made for the kernel, which could not use it.
pub(super) fn undo<T: Named>(dir: &File, cookie: Cookie, name: &ComponentName<'_>) -> Result<()> {
    named::<T>(dir, cookie, name)?.ask(dir.mount(), [None; 2])
}

/// Removes a name of a file that is no directory (VOP_REMOVE). `dir` is locked,
/// and so is `file` unless it is the same; that lock is given up.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, else what the server says.
pub fn remove(dir: &File, file: VnodeRef, name: &ComponentName<'_>) -> Result<()> {
    unlink::<vn::Remove>(dir, file, name)
}

/// Removes a directory (VOP_RMDIR); as [`remove`].
///
/// # Errors
/// As for [`remove`].
pub fn rmdir(dir: &File, file: VnodeRef, name: &ComponentName<'_>) -> Result<()> {
    unlink::<vn::Rmdir>(dir, file, name)
}

fn unlink<T: Named>(dir: &File, file: VnodeRef, name: &ComponentName<'_>) -> Result<()> {
    let node = Node::of(*file);
    let sent = VnOp::try_from(T::OP)
        .map_err(|_| Errno::EINVAL)
        .and_then(|op| lookup::needs(dir, op, name))
        .and_then(|()| {
            let cookie = node.as_ref().ok_or(Errno::ENXIO)?.cookie;
            let mut request = named::<T>(dir, cookie, name)?;
            request.send(dir.mount());
            Ok(request)
        });
    if *file != dir.vnode {
        file.unlock();
    }
    sent?.wait(dir.mount(), [Some(&dir.node), node.as_deref()])?;
    dir.node.touch(Touch::CTIME | Touch::MTIME);
    Ok(())
}

/// Gives a file another name (VOP_LINK). `dir` is locked, `file` is not.
///
/// # Errors
/// EOPNOTSUPP if the server does not handle it, else what the server says.
pub fn link(dir: &File, file: &File, name: &ComponentName<'_>) -> Result<()> {
    let mount = dir.mount();
    lookup::needs(dir, VnOp::Link, name)?;
    let mut request = named::<vn::Link>(dir, file.node.cookie, name)?;
    request.ask(mount, [Some(&dir.node), Some(&file.node)])?;
    file.node.touch(Touch::CTIME);
    dir.node.touch(Touch::CTIME | Touch::MTIME);
    Ok(())
}

/// What VOP_RENAME is called with.
pub struct Rename<'a> {
    /// The directory that the name is in.
    pub from_dir: VnodeRef,
    /// The file.
    pub file: VnodeRef,
    /// The name.
    pub from: ComponentName<'a>,
    /// The directory that the name will be in; locked.
    pub to_dir: VnodeRef,
    /// The file that has the name to be; locked. It may be `to_dir`.
    pub over: Option<VnodeRef>,
    /// The name to be.
    pub to: ComponentName<'a>,
}

/// Moves a name (VOP_RENAME). Gives all locks and references up.
///
/// # Errors
/// EXDEV if the two names are in different file systems, EOPNOTSUPP if the
/// server does not handle it, else what the server says.
pub fn rename(rename: Rename<'_>) -> Result<()> {
    let result = rename_locked(&rename);
    let Rename { to_dir, over, .. } = rename;
    if over.as_ref().is_none_or(|over| **over != *to_dir) {
        to_dir.unlock();
    }
    if let Some(over) = over {
        over.unlock();
    }
    result
}

fn rename_locked(rename: &Rename<'_>) -> Result<()> {
    let from_dir = File::of_unlocked(*rename.from_dir)?;
    let to_dir = File::of(*rename.to_dir)?;
    let mount = from_dir.mount();
    let mp = rename.file.mount();
    let elsewhere = |vnode: &VnodeRef| vnode.mount() != mp;
    if elsewhere(&rename.to_dir) || rename.over.as_ref().is_some_and(elsewhere) {
        lookup::abortop(&to_dir, &rename.to);
        lookup::abortop(&from_dir, &rename.from);
        return Err(Errno::EXDEV);
    }
    from_dir.needs(VnOp::Rename)?;
    let file = File::of_unlocked(*rename.file)?;
    let over = rename.over.as_ref().map(|over| File::of(**over));
    let over = over.transpose()?;

    let mut request = from_dir.request::<vn::Rename>()?;
    let message = request.body()?;
    message.cookie_src = file.node.cookie;
    message.cookie_targdir = to_dir.node.cookie;
    message.cookie_targ = over.as_ref().map_or(Cookie::NULL, |over| over.node.cookie);
    from_dir.name(&mut message.cn_src, &mut message.cn_src_cred, &rename.from);
    to_dir.name(&mut message.cn_targ, &mut message.cn_targ_cred, &rename.to);
    from_dir.ask(&mut request)?;

    // Somebody may have looked either name up since they were looked up for
    // this, and a directory has another parent now.
    if mount.config.uses_namecache() {
        rename.file.purge_names();
        if let Some(over) = &rename.over {
            over.purge_names();
        }
        rename.to_dir.purge_name(&rename.to);
    }
    file.node.touch(Touch::CTIME);
    from_dir.node.touch(Touch::CTIME | Touch::MTIME);
    if from_dir.vnode != to_dir.vnode {
        to_dir.node.touch(Touch::CTIME | Touch::MTIME);
    }
    if mount.config.remembers_parents() {
        lookup::remember_parent(&file.node, &to_dir);
    }
    Ok(())
}
