//! Who asks: credentials on the wire.

use super::consts::NGROUPS_MAX;
use super::{numbers, Pad};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The credentials of a process (`struct uucred`). All OUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Uucred {
    /// OUT: always 0.
    pub unused: u16,
    _pad0: Pad<2, 2, 2>,
    /// OUT: the effective user.
    pub uid: u32,
    /// OUT: the effective group.
    pub gid: u32,
    /// OUT: how many of `groups` are in use.
    pub ngroups: i16,
    _pad1: Pad<2, 2, 2>,
    /// OUT: the supplementary groups.
    pub groups: [u32; NGROUPS_MAX],
}

/// On whose behalf a request is made: a process or the kernel itself
/// (`struct puffs_kcred`). All OUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Kcred {
    /// OUT: the process, if `kind` is [`CredKind::Process`]; else zeroes.
    pub uuc: Uucred,
    /// OUT: a [`CredKind`].
    pub kind: u8,
    /// OUT: a [`KernelCred`], if `kind` is [`CredKind::Kernel`]; else 0.
    pub internal: u8,
    _pad0: Pad<2, 2, 2>,
}

numbers! {
    /// What a [`Kcred`] holds (`PUFFCRED_TYPE_*`).
    pub enum CredKind: u8 {
        /// The credentials of a process.
        Process = 1,
        /// The kernel acts on its own.
        Kernel = 2,
    }
}

numbers! {
    /// In which role the kernel acts on its own (`PUFFCRED_CRED_*`).
    pub enum KernelCred: u8 {
        /// There are no credentials.
        NoCred = 1,
        /// Those of the file system.
        FsCred = 2,
    }
}
