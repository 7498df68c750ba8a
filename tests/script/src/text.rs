//! Names of files as text, whatever bytes they have.
//!
//! Paths are `str` throughout, and a file system's names are bytes. A byte that is
//! no part of UTF-8 is written as a character of a private range, U+F700 and the
//! byte, which nobody uses for anything else here.

/// Where the characters that stand for bytes begin: U+F780 stands for 0x80.
const RAW: u32 = 0xf700;

/// The text that stands for these bytes.
pub fn of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        text.extend(part.invalid().iter().map(|&byte| raw(byte)));
    }
    text
}

fn raw(byte: u8) -> char {
    char::from_u32(RAW + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes that a text stands for.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(RAW) {
            Some(byte @ 0x80..=0xff) => bytes.push(byte as u8),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// How many bytes a text stands for.
pub fn len(text: &str) -> usize {
    bytes(text).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for shift in 0..4 {
            let part = &all[shift..];
            assert_eq!(bytes(&of(part)), part);
        }
        for byte in all {
            assert_eq!(bytes(&of(&[byte])), [byte]);
        }
    }

    #[test]
    fn utf_8_stays_as_it_is() {
        let some = "a/é€𐀀\u{10ffff}";
        assert_eq!(of(some.as_bytes()), some);
        assert_eq!(bytes(some), some.as_bytes());
    }
}
