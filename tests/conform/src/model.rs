//! What a POSIX file system does, as a model: small, without permissions, times
//! or anything that is stored. Random sequences of operations are compared with
//! it.

use crate::{errno::*, sequence::Dice, Bed};
use puffs_rs::{abi::Vtype, kern::Result};
use puffs_script::world::{How, Whence};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Debug, Formatter},
};

/// The names that operations use: few, so that they meet.
const NAMES: [&str; 10] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "l", "l/b"];

/// Sizes and places, on both sides of the edges of pages.
const PLACES: [usize; 10] = [0, 1, 100, 4000, 4095, 4096, 4097, 8192, 10_000, 20_000];

/// How many files are open at most.
const SLOTS: usize = 4;

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Make(&'static str),
    MakeAlone(&'static str),
    Empty(&'static str),
    Mkdir(&'static str),
    Symlink(&'static str, &'static str),
    Fifo(&'static str),
    Link(&'static str, &'static str),
    Unlink(&'static str),
    Rmdir(&'static str),
    Rename(&'static str, &'static str),
    Truncate(&'static str, usize),
    Chmod(&'static str, u32),
    Look(&'static str),
    LookAtLink(&'static str),
    List(&'static str),
    Content(&'static str),
    Open(usize, &'static str),
    OpenToAppend(usize, &'static str),
    Close(usize),
    Read(usize, usize, usize),
    Write(usize, usize, usize, u8),
    WriteOn(usize, usize, u8),
    Seek(usize, usize),
    Resize(usize, usize),
    Sync(usize),
    Size(usize),
}

impl Op {
    fn random(dice: &mut Dice) -> Op {
        let name = dice.of(&NAMES);
        let other = dice.of(&NAMES);
        let (slot, place, len) = (dice.roll(SLOTS), dice.of(&PLACES), dice.of(&PLACES));
        let byte = 1 + dice.roll(250) as u8;
        match dice.roll(40) {
            0..=3 => Op::Make(name),
            4 => Op::MakeAlone(name),
            5 => Op::Empty(name),
            6 | 7 => Op::Mkdir(name),
            8 => Op::Symlink(dice.of(&["a", "d", "b", "e", "nowhere", "l"]), name),
            9 => Op::Fifo(name),
            10 => Op::Link(name, other),
            11 | 12 => Op::Unlink(name),
            13 => Op::Rmdir(name),
            14..=16 => Op::Rename(name, other),
            17 | 18 => Op::Truncate(name, place),
            19 => Op::Chmod(name, dice.of(&[0o600, 0o644, 0o755])),
            20 | 21 => Op::Look(name),
            22 => Op::LookAtLink(name),
            23 => Op::List(dice.of(&["", "d", "d/e", "l"])),
            24 | 25 => Op::Content(name),
            26..=28 => Op::Open(slot, name),
            29 => Op::OpenToAppend(slot, name),
            30 => Op::Close(slot),
            31 | 32 => Op::Read(slot, place, len),
            33 | 34 => Op::Write(slot, place, len, byte),
            35 => Op::WriteOn(slot, len, byte),
            36 => Op::Seek(slot, place),
            37 => Op::Resize(slot, place),
            38 => Op::Sync(slot),
            _ => Op::Size(slot),
        }
    }
}

/// So many operations.
pub(crate) fn program(seed: u64, len: usize) -> Vec<Op> {
    let mut dice = Dice::new(seed);
    (0..len).map(|_| Op::random(&mut dice)).collect()
}

/// What an operation returns, as far as it is compared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Got {
    Nothing,
    Failed(i32),
    Bytes(Vec<u8>),
    Names(BTreeSet<String>),
    Number(i64),
    /// Type, permissions, size of a file or a link, and names.
    Attributes(Vtype, u32, i64, u32),
}

impl Debug for Got {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Got::Nothing => write!(f, "success"),
            Got::Failed(errno) => write!(f, "errno {errno}"),
            Got::Bytes(bytes) => {
                // Runs of the same byte.
                write!(f, "bytes")?;
                for run in bytes.chunk_by(|a, b| a == b) {
                    write!(f, " {}*{}", run.len(), run[0])?;
                }
                Ok(())
            }
            Got::Names(names) => write!(f, "{names:?}"),
            Got::Number(number) => write!(f, "{number}"),
            Got::Attributes(vtype, mode, size, nlink) => {
                write!(f, "{vtype:?} {mode:o} of {size} bytes, {nlink} names")
            }
        }
    }
}

#[derive(Clone)]
enum Kind {
    File(Vec<u8>),
    Dir(BTreeMap<String, usize>, usize),
    Link(String),
    Fifo,
}

struct Inode {
    kind: Kind,
    mode: u32,
    nlink: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    inode: usize,
    offset: usize,
    append: bool,
}

/// The model.
pub(crate) struct Model {
    inodes: Vec<Inode>,
    slots: [Option<Slot>; SLOTS],
}

type Outcome<T> = std::result::Result<T, i32>;

const ROOT: usize = 0;

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            inodes: vec![Inode {
                kind: Kind::Dir(BTreeMap::new(), ROOT),
                mode: 0o755,
                nlink: 2,
            }],
            slots: [None; SLOTS],
        }
    }

    fn add(&mut self, kind: Kind, mode: u32) -> usize {
        let nlink = if matches!(kind, Kind::Dir(..)) { 2 } else { 1 };
        self.inodes.push(Inode { kind, mode, nlink });
        self.inodes.len() - 1
    }

    fn names(&mut self, dir: usize) -> Outcome<&mut BTreeMap<String, usize>> {
        match &mut self.inodes[dir].kind {
            Kind::Dir(names, _) => Ok(names),
            _ => Err(ENOTDIR),
        }
    }

    fn is_dir(&self, inode: usize) -> bool {
        matches!(self.inodes[inode].kind, Kind::Dir(..))
    }

    /// What a path stands for, from a directory on.
    fn walk(&mut self, from: usize, path: &str, follow: bool, links: usize) -> Outcome<usize> {
        let mut at = from;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for (nth, part) in parts.iter().enumerate() {
            let found = *self.names(at)?.get(*part).ok_or(ENOENT)?;
            let last = nth + 1 == parts.len();
            at = match &self.inodes[found].kind {
                Kind::Link(target) if follow || !last => {
                    if links >= 32 {
                        return Err(ELOOP);
                    }
                    let target = target.clone();
                    self.walk(at, &target, true, links + 1)?
                }
                _ => found,
            };
        }
        Ok(at)
    }

    fn find(&mut self, path: &str, follow: bool) -> Outcome<usize> {
        self.walk(ROOT, path, follow, 0)
    }

    /// The directory that a path's last name is in, and the name.
    fn parent<'a>(&mut self, path: &'a str) -> Outcome<(usize, &'a str)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.find(dir, true)?;
        self.names(dir)?;
        Ok((dir, name))
    }

    fn make(&mut self, path: &str, kind: Kind, mode: u32) -> Outcome<usize> {
        let (dir, name) = self.parent(path)?;
        if self.names(dir)?.contains_key(name) {
            return Err(EEXIST);
        }
        let kind = match kind {
            Kind::Dir(names, _) => {
                self.inodes[dir].nlink += 1;
                Kind::Dir(names, dir)
            }
            other => other,
        };
        let made = self.add(kind, mode);
        self.names(dir)?.insert(name.to_owned(), made);
        Ok(made)
    }

    /// What is opened, and made for that at the end of a link if need be.
    fn create(&mut self, path: &str, alone: bool, links: usize, from: usize) -> Outcome<usize> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.walk(from, dir, true, links)?;
        match self.names(dir)?.get(name).copied() {
            Some(_) if alone => Err(EEXIST),
            Some(found) => match &self.inodes[found].kind {
                Kind::Link(_) if links >= 32 => Err(ELOOP),
                Kind::Link(target) => {
                    let target = target.clone();
                    self.create(&target, false, links + 1, dir)
                }
                _ => Ok(found),
            },
            None => {
                let made = self.add(Kind::File(Vec::new()), 0o644);
                self.names(dir)?.insert(name.to_owned(), made);
                Ok(made)
            }
        }
    }

    fn lose(&mut self, dir: usize, inode: usize) {
        if self.is_dir(inode) {
            self.inodes[inode].nlink = 0;
            self.inodes[dir].nlink -= 1;
        } else {
            self.inodes[inode].nlink -= 1;
        }
    }

    fn remove(&mut self, path: &str, rmdir: bool) -> Outcome<()> {
        let (dir, name) = self.parent(path)?;
        let found = *self.names(dir)?.get(name).ok_or(ENOENT)?;
        match (&self.inodes[found].kind, rmdir) {
            (Kind::Dir(names, _), true) if !names.is_empty() => return Err(ENOTEMPTY),
            (Kind::Dir(..), true) => {}
            (Kind::Dir(..), false) => return Err(EPERM),
            (_, true) => return Err(ENOTDIR),
            (_, false) => {}
        }
        self.names(dir)?.remove(name);
        self.lose(dir, found);
        Ok(())
    }

    fn is_within(&self, dir: usize, other: usize) -> bool {
        let mut at = dir;
        loop {
            if at == other {
                return true;
            }
            match &self.inodes[at].kind {
                Kind::Dir(_, parent) if *parent != at => at = *parent,
                _ => return false,
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) -> Outcome<()> {
        let (dir, name) = self.parent(from)?;
        let source = *self.names(dir)?.get(name).ok_or(ENOENT)?;
        let (to_dir, to_name) = self.parent(to)?;
        let over = self.names(to_dir)?.get(to_name).copied();
        let is_dir = self.is_dir(source);
        if let Some(over) = over {
            match (is_dir, self.is_dir(over)) {
                (true, false) => return Err(ENOTDIR),
                (false, true) => return Err(EISDIR),
                _ => {}
            }
        }
        if over == Some(source) && (dir, name) == (to_dir, to_name) {
            return Ok(());
        }
        if is_dir && self.is_within(to_dir, source) {
            return Err(EINVAL);
        }
        match over {
            Some(over) if over == source => {
                // NetBSD's rename(2): one of the two names goes.
                self.names(dir)?.remove(name);
                self.lose(dir, source);
                return Ok(());
            }
            Some(over) => {
                if !is_dir || self.names(over)?.is_empty() {
                    self.lose(to_dir, over);
                } else {
                    return Err(ENOTEMPTY);
                }
            }
            None => {}
        }
        self.names(dir)?.remove(name);
        self.names(to_dir)?.insert(to_name.to_owned(), source);
        if let Kind::Dir(_, parent) = &mut self.inodes[source].kind {
            *parent = to_dir;
            self.inodes[dir].nlink -= 1;
            self.inodes[to_dir].nlink += 1;
        }
        Ok(())
    }

    fn data(&mut self, inode: usize) -> Outcome<&mut Vec<u8>> {
        match &mut self.inodes[inode].kind {
            Kind::File(data) => Ok(data),
            Kind::Dir(..) => Err(EISDIR),
            _ => Err(EINVAL),
        }
    }

    fn slot(&mut self, slot: usize) -> Outcome<&mut Slot> {
        self.slots[slot].as_mut().ok_or(EBADF)
    }

    fn write(&mut self, inode: usize, at: usize, part: &[u8]) -> Outcome<()> {
        let data = self.data(inode)?;
        if part.is_empty() {
            return Ok(());
        }
        if data.len() < at + part.len() {
            data.resize(at + part.len(), 0);
        }
        data[at..at + part.len()].copy_from_slice(part);
        Ok(())
    }

    fn attributes(&self, inode: usize) -> Got {
        let file = &self.inodes[inode];
        let (vtype, size) = match &file.kind {
            Kind::File(data) => (Vtype::Reg, data.len()),
            // How large a directory is is its own business.
            Kind::Dir(..) => (Vtype::Dir, 0),
            Kind::Link(target) => (Vtype::Lnk, target.len()),
            Kind::Fifo => (Vtype::Fifo, 0),
        };
        Got::Attributes(vtype, file.mode, size as i64, file.nlink)
    }

    /// Opens a file in a slot. What is no file is not opened: that is another
    /// matter.
    fn open(&mut self, slot: usize, path: &str, append: bool) -> Outcome<Got> {
        self.slots[slot] = None;
        let inode = self.find(path, true)?;
        if self.is_dir(inode) {
            return Err(EISDIR);
        }
        if matches!(self.inodes[inode].kind, Kind::Fifo) {
            return Ok(Got::Nothing);
        }
        self.slots[slot] = Some(Slot {
            inode,
            offset: 0,
            append,
        });
        Ok(Got::Nothing)
    }

    fn try_run(&mut self, op: Op) -> Outcome<Got> {
        match op {
            Op::Make(name) | Op::MakeAlone(name) | Op::Empty(name) => {
                if self.is_fifo(name) && !matches!(op, Op::MakeAlone(_)) {
                    return Ok(Got::Nothing);
                }
                let alone = matches!(op, Op::MakeAlone(_));
                let inode = self.create(name, alone, 0, ROOT)?;
                let data = self.data(inode)?;
                if matches!(op, Op::Empty(_)) {
                    data.clear();
                }
            }
            Op::Mkdir(name) => {
                self.make(name, Kind::Dir(BTreeMap::new(), 0), 0o755)?;
            }
            Op::Symlink(target, name) => {
                self.make(name, Kind::Link(target.to_owned()), 0o755)?;
            }
            Op::Fifo(name) => {
                self.make(name, Kind::Fifo, 0o644)?;
            }
            Op::Link(from, to) => {
                let inode = self.find(from, true)?;
                let (dir, name) = self.parent(to)?;
                if self.names(dir)?.contains_key(name) {
                    return Err(EEXIST);
                }
                if self.is_dir(inode) {
                    return Err(EPERM);
                }
                self.names(dir)?.insert(name.to_owned(), inode);
                self.inodes[inode].nlink += 1;
            }
            Op::Unlink(name) => self.remove(name, false)?,
            Op::Rmdir(name) => self.remove(name, true)?,
            Op::Rename(from, to) => {
                let found = self.find(from, false)?;
                let is_link = matches!(self.inodes[found].kind, Kind::Link(_));
                if !(is_link && to.contains('/')) {
                    self.rename(from, to)?;
                }
            }
            Op::Truncate(name, size) => {
                let inode = self.find(name, true)?;
                if !matches!(self.inodes[inode].kind, Kind::Fifo) {
                    self.data(inode)?.resize(size, 0);
                }
            }
            Op::Chmod(name, mode) => {
                let inode = self.find(name, true)?;
                self.inodes[inode].mode = mode;
            }
            Op::Look(name) => {
                let inode = self.find(name, true)?;
                return Ok(self.attributes(inode));
            }
            Op::LookAtLink(name) => {
                let inode = self.find(name, false)?;
                return Ok(self.attributes(inode));
            }
            Op::List(name) => {
                let inode = self.find(name, true)?;
                if !self.is_dir(inode) {
                    return Ok(Got::Nothing);
                }
                return Ok(Got::Names(self.names(inode)?.keys().cloned().collect()));
            }
            Op::Content(name) => {
                let inode = self.find(name, true)?;
                return Ok(match &self.inodes[inode].kind {
                    Kind::File(data) => Got::Bytes(data.clone()),
                    _ => Got::Nothing,
                });
            }
            Op::Open(slot, name) => return self.open(slot, name, false),
            Op::OpenToAppend(slot, name) => return self.open(slot, name, true),
            Op::Close(slot) => self.slots[slot] = None,
            Op::Read(slot, at, len) => {
                let inode = self.slot(slot)?.inode;
                let data = self.data(inode)?;
                let start = at.min(data.len());
                return Ok(Got::Bytes(data[start..data.len().min(at + len)].to_vec()));
            }
            Op::Write(slot, at, len, byte) => {
                let Slot { inode, append, .. } = *self.slot(slot)?;
                let at = if append { self.data(inode)?.len() } else { at };
                self.write(inode, at, &vec![byte; len])?;
            }
            Op::WriteOn(slot, len, byte) => {
                let Slot {
                    inode,
                    append,
                    offset,
                } = *self.slot(slot)?;
                let at = if append && len > 0 {
                    self.data(inode)?.len()
                } else {
                    offset
                };
                self.write(inode, at, &vec![byte; len])?;
                self.slot(slot)?.offset = at + len;
            }
            Op::Seek(slot, place) => {
                self.slot(slot)?.offset = place;
                return Ok(Got::Number(place as i64));
            }
            Op::Resize(slot, size) => {
                let inode = self.slot(slot)?.inode;
                self.data(inode)?.resize(size, 0);
            }
            Op::Sync(slot) => drop(self.slot(slot)?),
            Op::Size(slot) => {
                let inode = self.slot(slot)?.inode;
                return Ok(self.attributes(inode));
            }
        }
        Ok(Got::Nothing)
    }

    /// Is what a name leads to a fifo? Who opens one may have to wait.
    fn is_fifo(&mut self, name: &str) -> bool {
        let found = self.find(name, true);
        found.is_ok_and(|inode| matches!(self.inodes[inode].kind, Kind::Fifo))
    }

    /// Does it.
    pub(crate) fn run(&mut self, op: Op) -> Got {
        self.try_run(op).unwrap_or_else(Got::Failed)
    }
}

/// The same on a mount, below a directory.
pub(crate) struct Real<'a> {
    bed: &'a Bed<'a>,
    dir: String,
    slots: [Option<crate::File<'a>>; SLOTS],
}

impl<'a> Real<'a> {
    pub(crate) fn new(bed: &'a Bed<'a>, dir: &str) -> Real<'a> {
        Real {
            bed,
            dir: dir.to_owned(),
            slots: [const { None }; SLOTS],
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn slot(&self, slot: usize) -> Outcome<&crate::File<'a>> {
        self.slots[slot].as_ref().ok_or(EBADF)
    }

    fn vtype(&self, name: &str) -> Outcome<Vtype> {
        code(self.bed.stat(&self.path(name)).map(|stat| stat.vtype))
    }

    fn open(&mut self, slot: usize, name: &str, append: bool) -> Outcome<Got> {
        self.slots[slot] = None;
        if self.vtype(name)? == Vtype::Fifo {
            return Ok(Got::Nothing);
        }
        let how = How {
            append,
            ..How::WRITE
        };
        let file = code(self.bed.open(&self.path(name), how))?;
        self.slots[slot] = Some(file);
        Ok(Got::Nothing)
    }

    fn try_run(&mut self, op: Op) -> Outcome<Got> {
        let bed = self.bed;
        match op {
            Op::Make(name) | Op::MakeAlone(name) | Op::Empty(name) => {
                let how = How {
                    exclusive: matches!(op, Op::MakeAlone(_)),
                    truncate: matches!(op, Op::Empty(_)),
                    ..How::CREATE
                };
                if !how.exclusive && self.vtype(name) == Ok(Vtype::Fifo) {
                    return Ok(Got::Nothing);
                }
                code(bed.open(&self.path(name), how))?;
            }
            Op::Mkdir(name) => code(bed.mkdir(&self.path(name)))?,
            Op::Symlink(target, name) => code(bed.symlink(target, &self.path(name)))?,
            Op::Fifo(name) => code(bed.mkfifo(&self.path(name)))?,
            Op::Link(from, to) => code(bed.link(&self.path(from), &self.path(to)))?,
            Op::Unlink(name) => code(bed.unlink(&self.path(name)))?,
            Op::Rmdir(name) => code(bed.rmdir(&self.path(name)))?,
            Op::Rename(from, to) => {
                let from = self.path(from);
                let is_link = code(bed.lstat(&from))?.vtype == Vtype::Lnk;
                // A path that leads by way of it has the link in the name cache
                // again: see where names are moved.
                if !(is_link && to.contains('/')) {
                    code(bed.rename(&from, &self.path(to)))?;
                }
            }
            Op::Truncate(name, size) => {
                if self.vtype(name)? != Vtype::Fifo {
                    let file = code(bed.open(&self.path(name), How::WRITE))?;
                    resize(&file, size)?;
                }
            }
            Op::Chmod(name, mode) => code(bed.chmod(&self.path(name), mode))?,
            Op::Look(name) => return attributes(bed.stat(&self.path(name))),
            Op::LookAtLink(name) => return attributes(bed.lstat(&self.path(name))),
            Op::List(name) => {
                if self.vtype(name)? != Vtype::Dir {
                    return Ok(Got::Nothing);
                }
                let names = bed.list(&self.path(name));
                return Ok(Got::Names(names.into_iter().collect()));
            }
            Op::Content(name) => {
                if self.vtype(name)? != Vtype::Reg {
                    return Ok(Got::Nothing);
                }
                return Ok(Got::Bytes(bed.content(&self.path(name))));
            }
            Op::Open(slot, name) => return self.open(slot, name, false),
            Op::OpenToAppend(slot, name) => return self.open(slot, name, true),
            Op::Close(slot) => self.slots[slot] = None,
            Op::Read(slot, at, len) => {
                return code(self.slot(slot)?.read(at as i64, len)).map(Got::Bytes);
            }
            Op::Write(slot, at, len, byte) => {
                code(self.slot(slot)?.write(at as i64, &vec![byte; len]))?;
            }
            Op::WriteOn(slot, len, byte) => {
                code(self.slot(slot)?.write_on(&vec![byte; len]))?;
            }
            Op::Seek(slot, place) => {
                let moved = self.slot(slot)?.seek(place as i64, Whence::Start);
                return code(moved).map(Got::Number);
            }
            Op::Resize(slot, size) => resize(self.slot(slot)?, size)?,
            Op::Sync(slot) => code(self.slot(slot)?.fsync())?,
            Op::Size(slot) => return attributes(self.slot(slot)?.stat()),
        }
        Ok(Got::Nothing)
    }

    /// Does it.
    pub(crate) fn run(&mut self, op: Op) -> Got {
        self.try_run(op).unwrap_or_else(Got::Failed)
    }
}

/// By a descriptor to write, and with everything stored: what else may go wrong
/// there is said where sizes are checked.
fn resize(file: &crate::File<'_>, size: usize) -> Outcome<()> {
    code(file.fsync())?;
    code(file.truncate(size as i64))
}

fn code<T>(result: Result<T>) -> Outcome<T> {
    result.map_err(|error| error.get())
}

fn attributes(stat: Result<puffs_script::world::Stat>) -> Outcome<Got> {
    let stat = code(stat)?;
    let size = match stat.vtype {
        Vtype::Dir => 0,
        _ => stat.size,
    };
    Ok(Got::Attributes(stat.vtype, stat.mode, size, stat.nlink))
}
