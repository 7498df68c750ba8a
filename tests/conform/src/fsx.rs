//! Random sequences of everything that reads and changes what is in a file,
//! compared with a model: the idea is that of Apple's `fsx`.
//!
//! There is one file, of a quarter of a megabyte at most. It is read and written
//! by descriptors and by mappings, made longer and shorter, given room and holes,
//! stored, closed and opened again. Each byte that is read is compared with what
//! the model has there, and so is what the server has after `fsync(2)`, where it
//! can be asked. What is written is noise without a zero, other noise at each
//! write, so that it shows what is old, in another place, or missing.
//!
//! A long sequence is one of many, each of [`SEQUENCE`] operations with a seed of
//! its own on a file of its own. One that shows a difference is made short and
//! is played again by its seed alone.

use crate::{
    bed::path,
    sequence::{hunt, Dice, Difference},
    Bed, Flags,
};
use puffs_rs::{abi::Cookie, kern::Result};
use puffs_script::world::{Ability, Calls, Fd, How, Mapping};
use std::{cell::Cell, ops::Range, sync::OnceLock};

/// How many operations there are in a sequence at most.
pub const SEQUENCE: usize = 5000;

/// How long the file gets.
const MAX: usize = 256 * 1024;

/// A page, which is a block of most servers, too.
const PAGE: usize = 4096;

/// What a kernel says of a call, or of a file system, that it does not have.
const UNSUPPORTED: [i32; 2] = [45, 78];

/// What the C code gets wrong, and sequences can do without, to be played on it.
///
/// `PUFFS_CONFORM_SPARE` says what is spared, by names and commas between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spared {
    /// With a page cache `puffs_vnops.c` tells the server of a size that it noted
    /// down once more while it sets another one (`zerofill_lastpage` in
    /// `dosetattr`), and that is the size of the file then: sizes are set after
    /// an `fsync(2)`.
    noted_size: bool,
    /// With a page cache `puffs_vnops.c` keeps the rest of the last page of a file
    /// that gets shorter and that nobody has open to write (`zerofill_lastpage`
    /// again), and it comes back when the file gets longer: one has it open to
    /// write.
    last_page: bool,
    /// `puffs_vnop_fdiscard` asks the server to allocate the range: none is
    /// discarded.
    discard: bool,
    /// `puffs_parkdone_asyncbioread` of `puffs_subr.c`, which ours does without,
    /// fails with EIO where the server has less than the kernel noted down as the
    /// size (row 3 of the known defects): a hole is stored as soon as it is made.
    short_read: bool,
}

impl Spared {
    const NONE: Spared = Spared {
        noted_size: false,
        last_page: false,
        discard: false,
        short_read: false,
    };

    fn wanted() -> Outcome<Spared> {
        let Ok(names) = std::env::var("PUFFS_CONFORM_SPARE") else {
            return Ok(Spared::NONE);
        };
        let mut spared = Spared::NONE;
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let what = match name {
                "noted_size" => &mut spared.noted_size,
                "last_page" => &mut spared.last_page,
                "discard" => &mut spared.discard,
                "short_read" => &mut spared.short_read,
                _ => return Err(format!("there is no {name} to spare")),
            };
            *what = true;
        }
        Ok(spared)
    }
}

/// How the file is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Read,
    Write,
    Append,
}

/// One operation. Two numbers are an offset and a length; `u8` is which noise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Open(Mode),
    Close,
    Read(usize, usize),
    Write(usize, usize, u8),
    /// By a descriptor, and by name.
    Resize(usize),
    Truncate(usize),
    Allocate(usize, usize),
    Discard(usize, usize),
    Sync,
    Size,
    /// All of it.
    Compare,
    /// To read only, or to write as well, until `Unmap`.
    Map(bool),
    Unmap,
    ReadMap(usize, usize),
    WriteMap(usize, usize, u8),
    SyncMap,
}

/// A place: often one beside the edge of a page.
fn place(dice: &mut Dice) -> usize {
    let anywhere = dice.roll(MAX);
    match dice.roll(3) {
        0 => anywhere,
        1 => anywhere / PAGE * PAGE,
        _ => (anywhere / PAGE * PAGE + dice.roll(8)).saturating_sub(4),
    }
}

/// A part of the file: often a small one, sometimes of whole pages.
fn part(dice: &mut Dice) -> (usize, usize) {
    let at = place(dice);
    let len = match dice.roll(8) {
        0..=2 => 1 + dice.roll(300),
        3..=5 => 1 + dice.roll(3 * PAGE),
        6 => PAGE * (1 + dice.roll(16)),
        _ => 1 + dice.roll(18 * PAGE),
    };
    (at, len.min(MAX - at))
}

impl Op {
    fn random(dice: &mut Dice, maps: bool) -> Op {
        let ((at, len), size, noise) = (part(dice), place(dice), dice.roll(256) as u8);
        match dice.roll(if maps { 40 } else { 28 }) {
            0 => Op::Open(dice.of(&[Mode::Read, Mode::Write, Mode::Write, Mode::Append])),
            1 => Op::Close,
            2..=8 => Op::Read(at, len),
            9..=17 => Op::Write(at, len, noise),
            18 | 19 => Op::Resize(size),
            20 => Op::Truncate(size),
            21 | 22 => Op::Allocate(at, len),
            23 | 24 => Op::Discard(at, len),
            25 => Op::Sync,
            26 => Op::Size,
            27 => Op::Compare,
            28 | 29 => Op::Map(dice.roll(4) > 0),
            30 => Op::Unmap,
            31..=34 => Op::ReadMap(at, len),
            35..=38 => Op::WriteMap(at, len, noise),
            _ => Op::SyncMap,
        }
    }
}

/// So many operations.
fn program(seed: u64, len: usize, maps: bool) -> Vec<Op> {
    let mut dice = Dice::new(seed);
    (0..len).map(|_| Op::random(&mut dice, maps)).collect()
}

/// Bytes to write, none of them zero.
fn noise(which: u8, len: usize) -> &'static [u8] {
    const STEP: usize = 1009;
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let all = NOISE.get_or_init(|| {
        let mut dice = Dice::new(0);
        let len = STEP * usize::from(u8::MAX) + MAX;
        (0..len).map(|_| 1 + dice.roll(255) as u8).collect()
    });
    &all[STEP * usize::from(which)..][..len]
}

type Outcome<T> = std::result::Result<T, String>;

fn must<T>(what: &str, result: Result<T>) -> Outcome<T> {
    result.map_err(|error| format!("{what} fails with errno {}", error.get()))
}

/// Are these the bytes that have to be at `at`?
fn same(whose: &str, at: usize, got: &[u8], expected: &[u8]) -> Outcome<()> {
    if got == expected {
        return Ok(());
    }
    let mut both = got.iter().zip(expected);
    let Some(first) = both.position(|(a, b)| a != b) else {
        let (got, expected) = (got.len(), expected.len());
        return Err(format!("{whose}: {got} bytes, not {expected}"));
    };
    let unlike = 1 + both.filter(|(a, b)| a != b).count();
    let some = |bytes: &[u8]| bytes[first..bytes.len().min(first + 4)].to_vec();
    Err(format!(
        "{whose}: {unlike} of {} bytes are others, from {} on: {:?}, not {:?}",
        expected.len(),
        at + first,
        some(got),
        some(expected)
    ))
}

/// Where sequences are played.
pub struct Ground<'a> {
    /// Whose calls are made.
    pub calls: &'a dyn Calls,
    /// How the paths of the files begin, each of which gets a number: there are
    /// servers that go by the path, and mix up files that had it one after another.
    pub path: String,
    /// Can it be mapped?
    pub maps: bool,
    /// Is it perhaps one that `puffs_vnops.c` keeps in the page cache?
    pub cached: bool,
    /// What the server has in the file of this number, where it can be asked.
    pub stored: Option<&'a dyn Fn(u64) -> Vec<u8>>,
}

/// Plays so many operations on a file of a fresh mount, see [`Ground::play`].
///
/// # Errors
/// The same.
pub fn play_on(
    b: &Bed<'_>,
    seed: u64,
    steps: usize,
    say: &mut dyn FnMut(u64, usize),
) -> Outcome<()> {
    let cached = !b.flags.has(Flags::NOCACHE_PAGE);
    let stored = |number| b.stored(Cookie(number as usize));
    let ground = Ground {
        calls: b.calls(),
        path: path("f"),
        maps: cached && b.can(Ability::Mmap),
        cached,
        stored: Some(&stored),
    };
    ground.play(seed, steps, say)
}

impl Ground<'_> {
    /// Plays so many operations. `say` is told of each sequence that was played:
    /// its seed, and how long it was.
    ///
    /// # Errors
    /// The shortest sequence that shows a difference, and which.
    pub fn play(&self, seed: u64, steps: usize, say: &mut dyn FnMut(u64, usize)) -> Outcome<()> {
        let (spared, files) = (Spared::wanted()?, Cell::new(0));
        let starts = (0..steps).step_by(SEQUENCE);
        for (seed, start) in (seed..).zip(starts) {
            let len = SEQUENCE.min(steps - start);
            let program = program(seed, len, self.maps);
            let fresh = |program: &[Op]| {
                files.set(files.get() + 1);
                let path = format!("{}.{}", self.path, files.get());
                self.difference(path, program, spared)
            };
            hunt(seed, &program, fresh)?;
            say(seed, len);
        }
        Ok(())
    }

    fn difference(&self, path: String, program: &[Op], spared: Spared) -> Option<Difference> {
        let mut run = Run {
            ground: self,
            path,
            spared,
            program,
            next: 0,
            model: Vec::new(),
            file: None,
            number: 0,
            found: None,
        };
        if let Err(why) = run.create() {
            return Some((0, why));
        }
        run.go(None);
        let removed = run.remove();
        let last = program.len().saturating_sub(1);
        run.found.or(removed.err().map(|why| (last, why)))
    }
}

/// A sequence that is being played.
struct Run<'a> {
    ground: &'a Ground<'a>,
    path: String,
    spared: Spared,
    program: &'a [Op],
    next: usize,
    /// What has to be in the file.
    model: Vec<u8>,
    file: Option<(Fd, Mode)>,
    /// Its number.
    number: u64,
    found: Option<Difference>,
}

impl Run<'_> {
    fn create(&mut self) -> Outcome<()> {
        let (calls, path) = (self.ground.calls, &self.path);
        let how = How {
            exclusive: true,
            ..How::CREATE
        };
        let fd = must("open", calls.open(path, how))?;
        self.file = Some((fd, Mode::Write));
        self.number = must("stat", calls.fstat(fd))?.ino;
        Ok(())
    }

    fn remove(&mut self) -> Outcome<()> {
        let closed = self.close();
        must("unlink", self.ground.calls.unlink(&self.path))?;
        closed
    }

    fn close(&mut self) -> Outcome<()> {
        match self.file.take() {
            Some((fd, _)) => must("close", self.ground.calls.close(fd)),
            None => Ok(()),
        }
    }

    fn open(&mut self, mode: Mode) -> Outcome<Fd> {
        self.close()?;
        let how = How {
            write: mode != Mode::Read,
            append: mode == Mode::Append,
            ..How::READ
        };
        let fd = must("open", self.ground.calls.open(&self.path, how))?;
        self.file = Some((fd, mode));
        Ok(fd)
    }

    /// The descriptor, opened if it is not.
    fn fd_to_read(&mut self) -> Outcome<Fd> {
        match self.file {
            Some((fd, _)) => Ok(fd),
            None => self.open(Mode::Write),
        }
    }

    /// The descriptor, opened to write if it is not.
    fn fd_to_write(&mut self) -> Outcome<Fd> {
        match self.file {
            Some((fd, Mode::Write | Mode::Append)) => Ok(fd),
            _ => self.open(Mode::Write),
        }
    }

    /// Plays on, to the end of the sequence, or of the mapping if there is one.
    fn go(&mut self, map: Option<(&dyn Mapping, bool)>) {
        while self.found.is_none() {
            let Some(&op) = self.program.get(self.next) else {
                return;
            };
            let nth = self.next;
            self.next += 1;
            let done = match (op, map) {
                (Op::Map(write), None) => self.map(write),
                (Op::Unmap, Some(_)) => return,
                (Op::ReadMap(at, len), Some((map, _))) => self.read_map(map, at, len),
                (Op::WriteMap(at, len, which), Some((map, true))) => {
                    self.write_map(map, at, noise(which, len))
                }
                (Op::SyncMap, Some((map, _))) => {
                    must("msync", map.sync()).and_then(|()| self.is_stored())
                }
                _ => self.step(op),
            };
            if let Err(why) = done {
                self.found.get_or_insert((nth, format!("{op:?}: {why}")));
            }
        }
    }

    fn map(&mut self, write: bool) -> Outcome<()> {
        let fd = if write {
            self.fd_to_write()
        } else {
            self.fd_to_read()
        }?;
        let calls = self.ground.calls;
        let mapped = calls.map(fd, MAX, write, &mut |map| self.go(Some((map, write))));
        must("mmap", mapped)
    }

    /// What of a part is in the file. Nobody may touch a page behind its end, so
    /// that has to be where it is thought to be.
    fn mapped(&mut self, at: usize, len: usize) -> Outcome<Range<usize>> {
        self.size()?;
        let end = self.model.len().min(at + len);
        Ok(at.min(end)..end)
    }

    fn read_map(&mut self, map: &dyn Mapping, at: usize, len: usize) -> Outcome<()> {
        let part = self.mapped(at, len)?;
        let got = map.get(part.start, part.len());
        same("the mapping", part.start, &got, &self.model[part])
    }

    fn write_map(&mut self, map: &dyn Mapping, at: usize, data: &[u8]) -> Outcome<()> {
        let part = self.mapped(at, data.len())?;
        let data = &data[..part.len()];
        map.put(part.start, data);
        self.model[part].copy_from_slice(data);
        Ok(())
    }

    fn size(&mut self) -> Outcome<()> {
        let size = match self.file {
            Some((fd, _)) => self.ground.calls.fstat(fd),
            None => self.ground.calls.stat(&self.path),
        };
        let (size, expected) = (must("stat", size)?.size, self.model.len());
        if size == expected as i64 {
            return Ok(());
        }
        Err(format!("a size of {size}, not {expected}"))
    }

    fn compare(&mut self) -> Outcome<()> {
        self.size()?;
        let fd = self.fd_to_read()?;
        let got = must("read", self.ground.calls.read(fd, 0, MAX + 1))?;
        same("the file", 0, &got, &self.model)
    }

    fn sync(&mut self) -> Outcome<()> {
        let fd = self.fd_to_read()?;
        must("fsync", self.ground.calls.fsync(fd))
    }

    /// Has the server what the file has?
    fn is_stored(&self) -> Outcome<()> {
        match self.ground.stored {
            Some(stored) => same("the server", 0, &stored(self.number), &self.model),
            None => Ok(()),
        }
    }

    /// Before another size is set.
    fn prepare_size(&mut self) -> Outcome<()> {
        if self.spared.last_page && self.ground.cached {
            self.fd_to_write()?;
        }
        if self.spared.noted_size && self.ground.cached {
            self.sync()?;
        }
        Ok(())
    }

    /// Does what is not done to a mapping.
    fn step(&mut self, op: Op) -> Outcome<()> {
        let calls = self.ground.calls;
        match op {
            Op::Open(mode) => self.open(mode).map(drop),
            Op::Close => self.close(),
            Op::Read(at, len) => {
                let fd = self.fd_to_read()?;
                let got = must("read", calls.read(fd, at as i64, len))?;
                let end = self.model.len().min(at + len);
                same("the file", at, &got, &self.model[at.min(end)..end])
            }
            Op::Write(at, len, which) => self.write(at, noise(which, len)),
            Op::Resize(size) => {
                self.prepare_size()?;
                let fd = self.fd_to_write()?;
                must("ftruncate", calls.ftruncate(fd, size as i64))?;
                self.model.resize(size, 0);
                Ok(())
            }
            Op::Truncate(size) => {
                self.prepare_size()?;
                must("truncate", calls.truncate(&self.path, size as i64))?;
                self.model.resize(size, 0);
                Ok(())
            }
            Op::Allocate(at, len) => {
                let fd = self.fd_to_write()?;
                let done = calls.fallocate(fd, at as i64, len as i64);
                if supported("fallocate", done)? {
                    let size = self.model.len().max(at + len);
                    self.model.resize(size, 0);
                }
                Ok(())
            }
            Op::Discard(..) if self.spared.discard => Ok(()),
            Op::Discard(at, len) => {
                let fd = self.fd_to_write()?;
                let done = calls.fdiscard(fd, at as i64, len as i64);
                if supported("fdiscard", done)? {
                    let end = self.model.len().min(at + len);
                    self.model[at.min(end)..end].fill(0);
                }
                Ok(())
            }
            Op::Sync => {
                self.sync()?;
                self.is_stored()
            }
            Op::Size => self.size(),
            Op::Compare => self.compare(),
            // There is no mapping, or there is one.
            Op::Map(_) | Op::Unmap | Op::ReadMap(..) | Op::WriteMap(..) | Op::SyncMap => Ok(()),
        }
    }

    fn write(&mut self, at: usize, data: &[u8]) -> Outcome<()> {
        let fd = self.fd_to_write()?;
        let appends = self.file.is_some_and(|(_, mode)| mode == Mode::Append);
        let at = if appends { self.model.len() } else { at };
        let data = &data[..data.len().min(MAX - at)];
        let written = must("write", self.ground.calls.write(fd, at as i64, data))?;
        if written != data.len() {
            return Err(format!("{written} bytes written, not {}", data.len()));
        }
        // A write of nothing makes no file longer.
        if data.is_empty() {
            return Ok(());
        }
        let (size, end) = (self.model.len(), at + data.len());
        self.model.resize(size.max(end), 0);
        self.model[at..end].copy_from_slice(data);
        if self.spared.short_read && self.ground.cached && at > size {
            self.sync()?;
        }
        Ok(())
    }
}

/// Did it succeed? What a file system does not do, it need not.
fn supported(what: &str, done: Result<()>) -> Outcome<bool> {
    match done {
        Err(error) if UNSUPPORTED.contains(&error.get()) => Ok(false),
        done => must(what, done).map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        assert_eq!(program(7, 100, true), program(7, 100, true));
        assert_ne!(program(7, 100, true), program(8, 100, true));
    }

    #[test]
    fn operations_stay_within_the_file() {
        for op in program(1, 100_000, true) {
            if let Op::Read(at, len) | Op::Write(at, len, _) | Op::WriteMap(at, len, _) = op {
                assert!(len > 0 && at + len <= MAX, "{op:?}");
            }
        }
    }

    #[test]
    fn a_difference_says_where_it_is() {
        assert_eq!(same("it", 100, b"abc", b"abc"), Ok(()));
        let found = same("it", 100, b"abxdy", b"abcde");
        let said = "it: 2 of 5 bytes are others, from 102 on: [120, 100, 121], not [99, 100, 101]";
        assert_eq!(found, Err(said.into()));
        assert_eq!(
            same("it", 0, b"ab", b"abc"),
            Err("it: 2 bytes, not 3".into())
        );
    }
}
