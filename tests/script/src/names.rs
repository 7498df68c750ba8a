//! Frames in words.

use crate::Frame;
use puffs_rs::abi::{notify::FlushOp, ErrorOp, OpClass, Req, VfsOp, VnOp, OPCLASS_MASK};
use zerocopy::FromBytes;

/// The class and the operation of a frame, as `vn/lookup`.
pub fn describe(frame: &Frame) -> String {
    let Ok((req, _)) = Req::read_from_prefix(frame.bytes()) else {
        return format!("{} bytes", frame.len());
    };
    let known = |name: Option<String>| {
        name.map_or_else(|| format!("op {}", req.optype), |name| name.to_lowercase())
    };
    let op = req.optype;
    match OpClass::try_from(req.opclass & OPCLASS_MASK) {
        Ok(OpClass::Vfs) => {
            format!(
                "vfs/{}",
                known(VfsOp::try_from(op).ok().map(|op| format!("{op:?}")))
            )
        }
        Ok(OpClass::Vn) => {
            format!(
                "vn/{}",
                known(VnOp::try_from(op).ok().map(|op| format!("{op:?}")))
            )
        }
        Ok(OpClass::Error) => {
            format!(
                "error/{}",
                known(ErrorOp::try_from(op).ok().map(|op| format!("{op:?}")))
            )
        }
        Ok(OpClass::Flush) => {
            let op = i32::from(op);
            let name = FlushOp::try_from(op).ok().map(|op| format!("{op:?}"));
            format!(
                "flush/{}",
                if frame.is_response() {
                    "response".into()
                } else {
                    known(name)
                }
            )
        }
        Ok(class) => format!("{class:?}").to_lowercase(),
        Err(_) => format!("class {}", req.opclass & OPCLASS_MASK),
    }
}
