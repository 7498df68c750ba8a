//! How often a server was asked what.

use puffs_rs::abi::{vn, Cookie, Message, OpClass};
use puffs_script::Frame;
use std::collections::HashMap;

/// How often a server was asked what, and of which file.
#[derive(Clone, Default)]
pub struct Counts {
    asked: HashMap<(u16, u16, usize), usize>,
    complaints: usize,
    paths: Vec<String>,
}

impl Counts {
    pub(super) fn count(&mut self, request: &Frame) {
        let Some(class) = request.class() else { return };
        if class == OpClass::Error {
            self.complaints += 1;
        }
        let req = request.req();
        let key = (class.into(), req.optype, req.cookie.0);
        *self.asked.entry(key).or_default() += 1;
        if request.is::<vn::Lookup>() {
            let name = super::text(&request.get::<vn::Lookup>().cn.name);
            self.paths.push(String::from_utf8_lossy(&name).into_owned());
        }
    }

    /// How often it was asked for this, of any file.
    pub fn all<T: Message>(&self) -> usize {
        let of_type =
            |(class, op, _): &(u16, u16, usize)| (*class, *op) == (T::CLASS.into(), T::OP);
        let asked = self.asked.iter().filter(|(key, _)| of_type(key));
        asked.map(|(_, count)| count).sum()
    }

    /// How often it was asked for this, of one file.
    pub fn of<T: Message>(&self, file: Cookie) -> usize {
        let key = (T::CLASS.into(), T::OP, file.0);
        self.asked.get(&key).copied().unwrap_or(0)
    }

    /// What the last lookups came with: the name, and what of the path follows.
    pub fn paths(&self, last: usize) -> &[String] {
        &self.paths[self.paths.len().saturating_sub(last)..]
    }

    /// How often the kernel complained.
    pub fn complaints(&self) -> usize {
        self.complaints
    }
}
