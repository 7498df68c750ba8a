//! What the server writes to the device.

use super::{
    amend::Amends,
    park::{Completion, Core, Outcome, State},
    reply::{judge, Fault, Lengths, Terms},
    room::Share,
    time32, MsgIf, Status,
};
use crate::{
    abi::{self, notify::Flush, Cookie, ErrorOp, OpClass, Req},
    kern::{self, Errno, Guard, Ref},
    mount::Mount,
    msgif::{Park, Queues},
    subr,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

impl Mount {
    /// Takes one frame from the server (C: `puffs_msgif_dispatch`): a reply,
    /// or a request of the server's own.
    ///
    /// Nothing in it is trusted, not even that it is a whole header. It is aligned as
    /// memory of the kernel's is; one that is not has no whole header.
    pub fn dispatch(&self, frame: &[u8]) {
        let part;
        let (header, whole) = match Req::ref_from_prefix(frame) {
            Ok((header, _)) => (header, true),
            Err(_) => {
                part = what_there_is(frame);
                (&part, false)
            }
        };
        let class = OpClass::try_from(header.opclass & abi::OPCLASS_MASK).ok();
        if whole && matches!(class, Some(OpClass::Vfs | OpClass::Vn)) {
            return self.msgif.reply(self, header, frame);
        }
        match class {
            _ if !whole => self.refuse(header, Errno::EINVAL),
            Some(OpClass::Flush) => match Flush::read_from_bytes(frame) {
                Ok(flush) => self.sop_flush(flush),
                Err(_) => self.refuse(header, Errno::EINVAL),
            },
            Some(OpClass::Unmount) => self.sop_unmount(*header),
            _ => self.refuse(header, Errno::EOPNOTSUPP),
        }
    }

    /// Answers a frame that is no request.
    fn refuse(&self, frame: &Req, error: Errno) {
        self.msgif.refuse(frame, error);
    }

    /// Answers a request of the server's that came to nothing.
    pub(super) fn answer(&self, request: &Req, error: Errno) {
        self.msgif.sendresp(request, error.get());
    }

    fn terms(&self) -> Terms {
        Terms {
            root: self.config.root_cookie,
            ttl: self.config.uses_ttl(),
            maxmsglen: self.config.maxmsglen,
        }
    }
}

/// What there is of a header, and zeroes.
#[cold]
fn what_there_is(frame: &[u8]) -> Req {
    let mut header = Req::new_zeroed();
    let sent = frame.len().min(size_of::<Req>());
    header.as_mut_bytes()[..sent].copy_from_slice(&frame[..sent]);
    header
}

impl MsgIf {
    /// Completes a request from a reply (C: `puffsop_msg`).
    fn reply(&self, mount: &Mount, header: &Req, frame: &[u8]) {
        let terms = mount.terms();
        let mut queues = self.queues.lock();
        if queues.status == Status::Dying {
            return;
        }
        let Some(park) = queues.pending.take(header.id) else {
            drop(queues);
            let text = "reply to no request";
            let kind = ErrorOp::Error;
            self.senderr(kind, Errno::EINVAL.get(), text, header.cookie);
            return;
        };
        let Some(end) = finish(&park, &mut queues, terms, header, frame) else {
            return;
        };
        self.lighten(&mut queues, end.share);
        // A caller who is woken must have the only reference, and finds the lock
        // free. Of a caller who left, ours may be the last; that is not for
        // inside the lock.
        let waker = end.wake.then(|| park.waker());
        let park = (!end.wake).then_some(park);
        drop(queues);
        drop(park);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(fault) = end.fault {
            self.senderr(fault.kind, fault.error, fault.text, end.cookie);
            kern::console(format_args!("server of {mount}: {}", fault.text));
        }
        match (end.completion, end.fault) {
            (Some(completion), None) => completion.run(frame),
            (Some(completion), Some(_)) => {
                super::run_failed(completion, Errno::EPROTO);
            }
            (None, _) => {}
        }
    }
}

/// How a reply ended its request, for what is done outside the lock.
struct End {
    /// A caller waits for it.
    wake: bool,
    completion: Option<Completion>,
    fault: Option<Fault>,
    cookie: Cookie,
    /// What it counted while it was under way.
    share: Share,
}

/// Judges a reply and puts the outcome in place, also of a request whose caller
/// left: a server's nonsense is nonsense then too.
fn finish(
    park: &Ref<Park>,
    queues: &mut Guard<'_, Queues>,
    terms: Terms,
    header: &Req,
    frame: &[u8],
) -> Option<End> {
    let core = park.core.get(queues)?;
    debug_assert_eq!(core.state, State::Pending);
    core.state = State::Done;
    let cookie = core.header().map_or(header.cookie, |asked| asked.cookie);
    let lengths = Lengths {
        native: core.msg.len() + core.beyond,
        wire: core.longest(),
    };
    let verdict = judge(terms, core.msg.bytes(), lengths, header, frame);
    let wake = core.is_waited_for();
    let completion = core.take_completion();
    match verdict {
        // A completion is run on the frame itself, and who left looks at nothing.
        _ if !wake => {}
        Ok(verdict) => accept(core, terms, verdict, frame),
        Err(_) => core.outcome = Outcome::of(Errno::EPROTO),
    }
    Some(End {
        wake,
        completion,
        fault: verdict.err(),
        cookie,
        share: core.share,
    })
}

/// Copies an accepted reply over the request.
fn accept(core: &mut Core, terms: Terms, verdict: Outcome, frame: &[u8]) {
    core.outcome = verdict;
    let amends = Amends::of(core.msg.bytes());
    // The judgement saw to it that the frame is not longer than this and what
    // is received elsewhere.
    let whole = core.wire_mut().bytes_mut();
    let fits = frame.len().min(whole.len());
    whole[..fits].copy_from_slice(&frame[..fits]);
    if let Some(pages) = core.pages.as_mut().filter(|_| verdict.rv == 0) {
        subr::fill(pages, frame);
    }
    if let Some(wire) = core.wire.as_mut() {
        time32::incoming(wire.bytes(), core.msg.bytes_mut());
    }
    if let Some(amends) = amends.filter(|_| verdict.rv == 0) {
        amends.make(terms, core.msg.bytes_mut());
    }
}
