//! Directory listings.
//!
//! The kernel walks the entries of a listing itself: getcwd(3), nfsd(8), union
//! mounts and the system calls of older releases do, and believe what they
//! find. An entry without a length has them walk for ever, one that is not
//! aligned panics the kernel (`netbsd30_getdents`), and a name that reaches
//! beyond the data, or has no NUL, shows what lies there.

use crate::abi::{consts::MAXNAMLEN, vn::DirentHead};
use zerocopy::FromBytes;

/// What the length of an entry is a multiple of (`_DIRENT_ALIGN`).
const ALIGN: usize = size_of::<u64>();

/// How many entries there are, from the first byte to the last. `None` if one
/// of them cannot be a `struct dirent`.
pub(super) fn count(mut entries: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !entries.is_empty() {
        let (head, _) = DirentHead::ref_from_prefix(entries).ok()?;
        let (entry, rest) = entries.split_at_checked(head.reclen.get().into())?;
        let (name, after) = entry
            .get(size_of::<DirentHead>()..)?
            .split_at_checked(head.namlen.get().into())?;
        let ends = name.len() <= MAXNAMLEN && after.first() == Some(&0);
        // An entry without a file is not there, and needs no name.
        let named = head.fileno.get() == 0 || is_name(name);
        if entry.len() % ALIGN != 0 || !ends || !named {
            return None;
        }
        entries = rest;
        count += 1;
    }
    Some(count)
}

/// Can a file in a directory have this name? Whoever lists a directory makes
/// paths from the names.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}
