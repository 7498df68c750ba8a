//! Who may do what.

use super::{Inode, MemFs, EACCES, EPERM};
use puffs_rs::abi::{Cookie, CredKind, Kcred};

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const EXECUTE: u32 = 1;

/// In a directory with this bit only the owners remove and move names.
const STICKY: u32 = 0o1000;

/// `UF_IMMUTABLE | SF_IMMUTABLE`.
const IMMUTABLE: usize = 0x0002_0002;

/// On whose behalf a request is made.
pub(super) enum Who {
    /// The kernel's own.
    Kernel,
    /// A process'.
    User { uid: u32, groups: Vec<u32> },
}

impl Who {
    pub(super) fn of(cred: &Kcred) -> Who {
        if cred.kind != u8::from(CredKind::Process) {
            return Who::Kernel;
        }
        let user = &cred.uuc;
        let count = usize::try_from(user.ngroups).unwrap_or(0);
        let supplementary = user.groups.iter().take(count).copied();
        Who::User {
            uid: user.uid,
            groups: [user.gid].into_iter().chain(supplementary).collect(),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        match self {
            Who::Kernel => true,
            Who::User { uid, .. } => *uid == 0,
        }
    }

    pub(super) fn uid(&self) -> u32 {
        match self {
            Who::Kernel => 0,
            Who::User { uid, .. } => *uid,
        }
    }

    pub(super) fn is_member(&self, gid: u32) -> bool {
        match self {
            Who::Kernel => true,
            Who::User { groups, .. } => groups.contains(&gid),
        }
    }

    pub(super) fn owns(&self, inode: &Inode) -> bool {
        self.is_root() || self.uid() == inode.va.uid
    }
}

impl Inode {
    /// Do its permissions allow all of that?
    pub(super) fn allows(&self, who: &Who, bits: u32) -> Result<(), i32> {
        if bits & WRITE != 0 && self.va.flags & IMMUTABLE != 0 && !matches!(who, Who::Kernel) {
            return Err(EPERM);
        }
        let mode = self.va.mode;
        if who.is_root() {
            // Nobody executes what nobody may execute.
            let no_program = !self.is_dir() && mode & 0o111 == 0;
            return if bits & EXECUTE != 0 && no_program {
                Err(EACCES)
            } else {
                Ok(())
            };
        }
        // Only the first that fits counts.
        let granted = if who.uid() == self.va.uid {
            mode >> 6
        } else if who.is_member(self.va.gid) {
            mode >> 3
        } else {
            mode
        };
        if granted & bits == bits {
            Ok(())
        } else {
            Err(EACCES)
        }
    }

    /// May it be changed at all?
    pub(super) fn is_immutable(&self) -> bool {
        self.va.flags & IMMUTABLE != 0
    }
}

impl MemFs {
    pub(super) fn may(&mut self, file: Cookie, who: &Who, bits: u32) -> Result<(), i32> {
        self.inode(file)?.allows(who, bits)
    }

    /// May the name of a file be taken out of a directory?
    pub(super) fn may_remove(&mut self, dir: Cookie, file: Cookie, who: &Who) -> Result<(), i32> {
        self.may(dir, who, WRITE | EXECUTE)?;
        let sticky = {
            let dir = self.inode(dir)?;
            dir.va.mode & STICKY != 0 && !who.owns(dir)
        };
        let file = self.inode(file)?;
        if file.is_immutable() || sticky && !who.owns(file) {
            return Err(EPERM);
        }
        Ok(())
    }
}
