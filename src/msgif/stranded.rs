//! Requests that the device keeps when their mount is gone.
//!
//! The device hands a request to its reader in as many pieces as the reader
//! asks for, and gives it back after the last one. An instance that is
//! detached between two pieces never gives it back: it only forgets it, when
//! its descriptor is closed, without a word to us. So such a request stays
//! here until the process that read the first piece is gone, which nobody else
//! can be in the midst of copying.

use super::Park;
use crate::kern::{self, List, Ref};
use spin::Mutex;

/// A static that needs no making when the module is loaded, and no memory.
/// It is entered when a mount is taken down while its server is in the midst
/// of a request, and when the module is to be unloaded, for the time that
/// linking takes.
static STRANDED: Mutex<Option<List<Park>>> = Mutex::new(None);

/// Keeps a request that the device has, of a mount that is taken down.
pub(super) fn add(park: Ref<Park>) {
    // It is on no list: its mount just took it off the last one.
    let linked = STRANDED.lock().get_or_insert_default().push_back(park);
    debug_assert!(linked.is_ok());
}

/// The device gave a request back after all.
pub(super) fn remove(name: *const Park) {
    let found = STRANDED.lock().as_mut().and_then(|list| list.take(name));
    // Outside the lock, for it may be freed.
    drop(found);
}

/// Frees the requests whose readers are gone. False if there are others: then
/// the module must stay, for the device may yet call it.
pub fn sweep() -> bool {
    let mut all = STRANDED.lock().take().unwrap_or_default();
    let mut clear = true;
    while let Some(park) = all.pop_front() {
        if kern::process_exists(park.reader()) {
            clear = false;
            add(park);
        }
    }
    clear
}
