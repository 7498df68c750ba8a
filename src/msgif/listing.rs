//! Directory listings.
//!
//! The kernel walks the entries of a listing itself: getcwd(3), nfsd(8), union
//! mounts and the system calls of older releases do, and believe what they
//! find. An entry without a length has them walk for ever, one that is not
//! aligned panics the kernel (`netbsd30_getdents`), and a name that reaches
//! beyond the data, or has no NUL, shows what lies there.

use crate::abi::{consts::MAXNAMLEN, vn::DirentHead};
use zerocopy::FromBytes;

/// What the length of an entry is a multiple of (`_DIRENT_ALIGN`); as many bytes are
/// looked at at once.
const WORD: usize = size_of::<u64>();

/// Where the name of an entry begins, within its second word.
const NAME: usize = size_of::<DirentHead>();
const _: () = assert!(NAME > WORD && NAME < 2 * WORD);

/// How many entries there are, from the first byte to the last. `None` if one
/// of them cannot be a `struct dirent`.
pub(super) fn count(mut entries: &[u8]) -> Option<usize> {
    let mut count = 0;
    while !entries.is_empty() {
        let (head, _) = DirentHead::ref_from_prefix(entries).ok()?;
        let len = usize::from(head.reclen.get());
        let end = NAME + usize::from(head.namlen.get());
        if len % WORD != 0 || end > NAME + MAXNAMLEN {
            return None;
        }
        let (entry, rest) = entries.split_at_checked(len)?;
        let ends = if head.fileno.get() == 0 {
            // It is not there, and needs no name.
            entry.get(end) == Some(&0)
        } else {
            is_named(entry, end)
        };
        if !ends {
            return None;
        }
        entries = rest;
        count += 1;
    }
    Some(count)
}

/// Does this entry have a name that a file in a directory can have, with a NUL
/// there? Whoever lists a directory makes paths from the names.
fn is_named(entry: &[u8], end: usize) -> bool {
    let mut start = WORD;
    // What precedes the name in its first word.
    let mut ignored = u64::MAX >> (8 * (2 * WORD - NAME));
    for word in entry.chunks_exact(WORD).skip(1) {
        let mut bytes = [0; WORD];
        bytes.copy_from_slice(word);
        let word = u64::from_le_bytes(bytes) | ignored;
        let (nul, slash) = (zeroes(word), zeroes(word ^ repeat(b'/')));
        if nul | slash != 0 {
            let at = nul.trailing_zeros();
            let found = start + (at / 8) as usize;
            return at < slash.trailing_zeros() && found == end && end > NAME;
        }
        start += WORD;
        ignored = 0;
    }
    false
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; WORD])
}

/// A bit in each byte of the word that is 0, and maybe in some above the first of
/// these.
fn zeroes(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}
