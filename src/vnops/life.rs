//! What becomes of vnodes that nobody uses.

use super::{lookup, sync, File};
use crate::{
    abi::{vn, VnOp, Vtype},
    kern::Vnode,
    node::Node,
};

/// Nobody uses the vnode any more (VOP_INACTIVE); it is locked. True if it is to
/// be reclaimed at once.
pub fn inactive(file: &File) -> bool {
    let (mount, node) = (file.mount(), &file.node);
    // One that was made by a question for its cookie.
    if node.is(Vtype::Non) {
        return false;
    }
    let _sizing = node.sizing();
    let wanted = mount.config.always_inactive() || node.state().tell_inactive;
    if wanted && file.handles(VnOp::Inactive) {
        tell_inactive(file);
    }
    let mut state = node.state();
    state.tell_inactive = false;
    state.reads_direct = false;
    state.writes_direct = false;
    // A file that the server has no reference to either was all that it could
    // ever be.
    if state.no_refs {
        state.dying = true;
        return true;
    }
    if !mount.config.uses_ttl() || file.vnode.is_root() || state.expiry.is_some() {
        return false;
    }
    // It would only be looked up again: so that it does not take up the memory
    // of the server for ages, it goes when its time is over.
    let until = state.name_until.max(state.grace_until);
    if until.is_over() {
        state.dying = true;
        return true;
    }
    drop(state);
    mount.sop_expire(node, until);
    false
}

/// Writes the file back and tells the server that nobody uses it. Whatever goes wrong,
/// nobody does.
fn tell_inactive(file: &File) {
    let for_all = file.is_for_all();
    // That makes room, by vnodes that nobody uses: the server was told of those.
    if for_all && file.vnode.is_dying() {
        return;
    }
    let _ = sync::flush(file, 0, 0, false);
    let Ok(mut request) = file.request::<vn::Inactive>() else {
        return;
    };
    if for_all {
        request.forget(file.mount());
    } else {
        let _ = file.ask(&mut request);
    }
}

/// The vnode is being reclaimed (VOP_RECLAIM): it is locked, and comes back
/// unlocked. Nobody waits for the server.
pub fn reclaim(vnode: Vnode) {
    vnode.unlock();
    // Before the server may use the cookie for another file.
    vnode.purge_names();
    let Some(node) = Node::of(vnode) else { return };
    let (nlookup, no_refs, parent, expiry) = {
        let mut state = node.state();
        let (parent, expiry) = (state.parent.take(), state.expiry.take());
        (state.nlookup, state.no_refs, parent, expiry)
    };
    if let Some(expiry) = &expiry {
        node.mount.sop_cancel(expiry);
    }
    // Freeing it is not for inside the node's lock.
    drop(expiry);
    // The server was not told of the root, nor of what it did not tell us.
    if !vnode.is_root() && !node.is(Vtype::Non) {
        lookup::send_reclaim(&node.mount, node.cookie, nlookup, no_refs);
    }
    drop(parent);
    Node::detach(vnode);
}
