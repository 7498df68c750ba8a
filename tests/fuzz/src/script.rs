//! Inputs as scripts: bytes that are read as numbers, one after the other.
//!
//! Behind its end an input goes on with zeroes, so that every byte string is a
//! script. [`Writer`] writes what [`Script`] reads; the seeds are made with
//! it.

/// An input that is read from its start to its end.
#[derive(Default)]
pub struct Script {
    bytes: Vec<u8>,
    at: usize,
}

impl Script {
    /// The input as a script.
    pub fn new(bytes: &[u8]) -> Script {
        Script {
            bytes: bytes.to_vec(),
            at: 0,
        }
    }

    /// Was all of it read?
    pub fn is_over(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// One of so many things, of which there is at least one.
    pub fn pick(&mut self, of: usize) -> usize {
        usize::from(self.u8()) % of
    }

    /// At most so many bytes, fewer at the end.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let start = self.at.min(self.bytes.len());
        let end = start.saturating_add(len).min(self.bytes.len());
        self.at = end;
        self.bytes[start..end].to_vec()
    }
}

/// Writes an input.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A byte.
    pub fn u8(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// Two bytes.
    pub fn u16(&mut self, word: u16) -> &mut Self {
        self.bytes(&word.to_le_bytes())
    }

    /// These bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The input.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}
