//! Polls.

use super::File;
use crate::{
    abi::{vn, VnOp},
    kern::sys,
    msgif::{Completion, Poll},
};

/// Which of `events` are there (VOP_POLL)? The vnode is not locked.
///
/// If none are, the caller is recorded and the server asked; its answer adds
/// events to the node and wakes who was recorded to look again.
pub fn poll(file: &File, events: i32) -> i32 {
    if !file.handles(VnOp::Poll) {
        return events & sys::PK_POLL_ALWAYS as i32;
    }
    {
        let mut state = file.node.state();
        let there = state.revents & events;
        if there != 0 {
            state.revents &= !there;
            return there;
        }
        file.node.record_poller(&state);
    }
    if let Ok(mut request) = file.request::<vn::Poll>() {
        if let Ok(message) = request.body() {
            message.events = events;
        }
        let poll = Poll::new(file.node.clone(), events);
        request.complete(file.mount(), Completion::Poll(poll));
    }
    0
}
