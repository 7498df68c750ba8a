//! Polls: which of them the server is asked.
//!
//! VOP_POLL asks the server whenever what is wanted is not there, and
//! returns: the poller sleeps in poll(2), where any answer to a poll of the
//! node wakes it to look again. The request has a reference to the node until
//! it is answered, so that a process that polls over and over, or is woken for
//! events of others, and a server that does not answer, would make any number
//! of requests and pin the node as often.
//!
//! A poll is therefore not sent if, for each event that it wants, the server
//! has an unanswered poll of the node that wants it too. Whichever is answered
//! wakes this poller as well. A poll that is sent wants an event that no other
//! unanswered one wants, so that a node has at most as many as there are
//! events (16).
//!
//! No wakeup is lost. The poller was recorded (selrecord(9)) before it gets
//! here, and both the decision here and the end of a poll are made inside
//! `pn_mtx`:
//! either the poll that stands for this one ends after the decision, and
//! then wakes the poller; or it ended before, and does not stand for anything.
//! What another poll's answer brought after the poller looked and before it was
//! recorded is seen here.
//!
//! The count is in the node and not by cookie: a server may use a cookie again
//! while polls of the old node stand, and they do not wake who polls the new
//! one.

use crate::{kern::sys, node::NodeRef};

/// What every poller is told of, wanted or not.
const ALWAYS: u16 = (sys::PK_POLLERR | sys::PK_POLLHUP) as u16;

/// For each event, how many polls of a node that ask for it have no answer yet.
#[derive(Default)]
pub(crate) struct Polls([u8; 16]);

impl Polls {
    /// The counts of `events`.
    fn of(&mut self, events: u16) -> impl Iterator<Item = &mut u8> {
        let counts = self.0.iter_mut().enumerate();
        counts.filter_map(move |(bit, count)| (events >> bit & 1 != 0).then_some(count))
    }
}

/// A poll that nobody waits for. It is unanswered from [`begin`](Self::begin)
/// to [`end`](Self::end).
pub(crate) struct Poll {
    node: NodeRef,
    /// `POLL*`.
    events: u16,
    /// It was counted by [`begin`](Self::begin).
    counted: bool,
}

impl Poll {
    /// A poll of `node` for `events`, which have 16 bits.
    pub(crate) fn new(node: NodeRef, events: i32) -> Poll {
        Poll {
            node,
            events: events as u16 | ALWAYS,
            counted: false,
        }
    }

    /// Is the server to be asked? If not, other polls stand for this one, or
    /// its events are there and the poller was woken to take them; the poll is
    /// over then.
    ///
    /// Enters `pn_mtx`.
    pub(super) fn begin(&mut self) -> bool {
        let events = self.events;
        let mut state = self.node.state();
        let there = state.revents & i32::from(events);
        if there != 0 {
            self.node.wake_pollers(there, &state);
        } else if state.polls.of(events).any(|count| *count == 0) {
            state.polls.of(events).for_each(|count| *count += 1);
            self.counted = true;
        }
        self.counted
    }

    /// It is answered, or will not be. Hands the node out.
    ///
    /// Enters `pn_mtx`.
    pub(super) fn end(self) -> NodeRef {
        if self.counted {
            let mut state = self.node.state();
            state.polls.of(self.events).for_each(|count| *count -= 1);
        }
        self.node
    }
}
