//! The mount arguments, checked one by one.

use crate::{
    abi::{self, consts, KArgs, Vtype},
    kern::{sys, Errno},
    node::is_file_size,
};
use core::{ffi::CStr, fmt};

/// What is wrong with the mount arguments; the words are for the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// Made for another version of the protocol.
    Version(u32),
    /// Unknown `PUFFS_KFLAG_*`.
    Flags(u32),
    /// Unknown `PUFFS_FHFLAG_*`.
    FhFlags(i32),
    /// A spare word is in use.
    Spare(usize, u32),
    /// File handles too large for the kernel.
    FhSize(usize),
    /// File handles too large for NFS of that version; the limit.
    FhSizeNfs(u8, usize),
    /// No vnode type that a root can have.
    RootType(u32),
    /// A size that no file can have.
    RootSize(i64),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = consts::VERSION;
        match *self {
            Invalid::Version(theirs) => {
                write!(
                    f,
                    "pa_vers: version mismatch: kernel {ours}, server {theirs}"
                )
            }
            Invalid::Flags(flags) => write!(f, "pa_flags: invalid KFLAGs {flags:#x}"),
            Invalid::FhFlags(flags) => write!(f, "pa_fhflags: invalid FHFLAGs {flags:#x}"),
            Invalid::Spare(i, word) => write!(f, "pa_spare[{i}] = {word:#x}"),
            Invalid::FhSize(size) => write!(f, "pa_fhsize: handle size {size} too large"),
            Invalid::FhSizeNfs(version, max) => {
                write!(f, "pa_fhsize: larger than NFSv{version} max {max}")
            }
            Invalid::RootType(vtype) => write!(f, "pa_root_vtype: no such type {vtype}"),
            Invalid::RootSize(size) => write!(f, "pa_root_vsize: impossible size {size}"),
        }
    }
}

impl From<Invalid> for Errno {
    fn from(_: Invalid) -> Errno {
        Errno::EINVAL
    }
}

/// `sizeof(struct fid)`, the dummy handle size of passthrough.
const FID_SIZE: usize = 4;
/// The longest file handle of the kernel (`FHANDLE_SIZE_MAX`).
pub(super) const FHANDLE_MAX: usize = sys::PK_FHANDLE_SIZE_MAX as usize;
/// The longest file handles of NFS.
const NFS_LIMITS: [(i32, u8, usize); 2] = [(abi::FHFLAG_NFSV2, 2, 32), (abi::FHFLAG_NFSV3, 3, 64)];

/// The size of a kernel handle around `size` bytes of the server's (C:
/// `PUFFS_TOFHSIZE`).
pub(super) fn to_kernel_size(size: usize) -> usize {
    if size == 0 {
        0
    } else {
        size.saturating_add(FID_SIZE)
    }
}

/// How much of a kernel handle of `size` bytes is the server's (C:
/// `PUFFS_FROMFHSIZE`).
pub(super) fn from_kernel_size(size: usize) -> usize {
    size.saturating_sub(FID_SIZE)
}

/// Checks the arguments and makes them what the mount will go by: names
/// printable and prefixed, message size within the limits.
///
/// # Errors
/// The first field that is invalid. The arguments may have been changed then.
pub fn accept(args: &mut KArgs) -> Result<(), Invalid> {
    if args.vers != consts::VERSION {
        return Err(Invalid::Version(args.vers));
    }
    if args.flags & !abi::KFLAG_MASK != 0 {
        return Err(Invalid::Flags(args.flags));
    }
    if args.fhflags & !abi::FHFLAG_MASK != 0 {
        return Err(Invalid::FhFlags(args.fhflags));
    }
    if let Some(i) = args.spare.iter().position(|&word| word != 0) {
        return Err(Invalid::Spare(i, args.spare[i]));
    }
    accept_handles(args)?;
    if matches!(
        Vtype::try_from(args.root_vtype),
        Ok(Vtype::Non | Vtype::Bad) | Err(_)
    ) {
        return Err(Invalid::RootType(args.root_vtype));
    }
    if !is_file_size(args.root_vsize) {
        return Err(Invalid::RootSize(args.root_vsize));
    }
    accept_names(args);
    args.maxmsglen = match args.maxmsglen {
        0 => consts::MSG_MAXSIZE,
        len => len.clamp(2 * consts::MSGSTRUCT_MAX, consts::MSG_MAXSIZE),
    };
    Ok(())
}

fn accept_handles(args: &mut KArgs) -> Result<(), Invalid> {
    // Passthrough handles have the size that the server gives them; this only
    // says that there are some.
    if args.fhflags & abi::FHFLAG_PASSTHROUGH != 0 {
        args.fhsize = FID_SIZE;
    }
    let size = to_kernel_size(args.fhsize);
    if size > FHANDLE_MAX {
        return Err(Invalid::FhSize(args.fhsize));
    }
    for (flag, version, limit) in NFS_LIMITS {
        if args.fhflags & flag != 0 && size > limit {
            return Err(Invalid::FhSizeNfs(version, from_kernel_size(limit)));
        }
    }
    Ok(())
}

/// Ends both names in a NUL, makes what cannot be printed a dot, and puts
/// `puffs|` in front of the type.
fn accept_names(args: &mut KArgs) {
    make_printable(&mut args.typename);
    make_printable(&mut args.mntfromname);
    let prefix = consts::TYPEPREFIX.len();
    let len = args.typename.len();
    args.typename.copy_within(..len - prefix, prefix);
    args.typename[..prefix].copy_from_slice(consts::TYPEPREFIX);
    args.typename[len - 1] = 0;
}

fn make_printable(name: &mut [u8]) {
    if let Some(last) = name.last_mut() {
        *last = 0;
    }
    for byte in name.iter_mut().take_while(|byte| **byte != 0) {
        if !(b' '..=b'~').contains(byte) {
            *byte = b'.';
        }
    }
}

/// A name that [`accept`] ended in a NUL.
pub(super) fn as_cstr(name: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(name).unwrap_or_default()
}
