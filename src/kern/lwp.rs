//! The calling thread.

use super::sys;

/// The process and lwp ids of the caller.
pub fn caller_ids() -> (i32, i32) {
    let (mut pid, mut lid) = (0, 0);
    // SAFETY: two places for the ids.
    unsafe { sys::pk_curlwp_ids(&mut pid, &mut lid) };
    (pid, lid)
}

/// Is the caller a thread of the kernel's own? No signal ends what it does.
pub fn is_kernel_thread() -> bool {
    caller_ids().0 == 0
}

/// Is there a process with this id?
pub fn process_exists(pid: i32) -> bool {
    // SAFETY: takes any number.
    unsafe { sys::pk_process_exists(pid) }
}

/// Is the caller the pagedaemon, which must not wait for memory?
pub fn is_pagedaemon() -> bool {
    // SAFETY: looks at the calling lwp only.
    unsafe { sys::pk_curlwp_is_pagedaemon() }
}

/// Has the caller one of the signals that may end a request (INT, TERM, KILL,
/// HUP, QUIT) pending and not blocked?
pub fn important_signal_pending() -> bool {
    // SAFETY: looks at the calling lwp only.
    unsafe { sys::pk_sig_pending() }
}

/// All signals but the important ones are blocked for the caller while this
/// exists.
pub struct SignalMask {
    old: sys::pk_sigset,
    /// The mask belongs to the thread.
    not_send: core::marker::PhantomData<*mut ()>,
}

impl SignalMask {
    /// Blocks them.
    pub fn important_only() -> SignalMask {
        let mut old = sys::pk_sigset::default();
        // SAFETY: a place for the old mask.
        unsafe { sys::pk_sig_block(&mut old) };
        SignalMask {
            old,
            not_send: core::marker::PhantomData,
        }
    }
}

impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: the mask that `pk_sig_block` stored.
        unsafe { sys::pk_sig_restore(&self.old) };
    }
}

/// How many bytes that nobody waits for a mount may have under way to its server; 0 is any
/// number. The administrator changes it at any time (`vfs.puffs.queuelimit`).
pub fn queue_limit() -> usize {
    // SAFETY: no preconditions.
    let bytes = unsafe { sys::pk_queue_limit() };
    // A negative number says no more than 0.
    usize::try_from(bytes).unwrap_or(0)
}
