//! What a case is, and how it is played.

use crate::{
    script::{mount_args, Notice, Script},
    world::{Ability, World},
};
use puffs_rs::{
    abi::KArgs,
    kern::{Errno, Result},
};
use std::{fmt, rc::Rc, sync::Arc};

/// How the caller's calls end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// Without an error, and with what the server said.
    Well,
    /// With this errno.
    With(Errno),
    /// In a way that the case itself checks, and these are the words for it.
    As(&'static str),
}

impl<T> From<Result<T>> for Ends {
    fn from(result: Result<T>) -> Ends {
        match result {
            Ok(_) => Ends::Well,
            Err(error) => Ends::With(error),
        }
    }
}

/// What the server is told beside its requests, in the whole of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// That it broke the protocol: PUFFSOP_ERROR, with this number each time
    /// (an errno, or what the server gave for one).
    Complaint(i32),
    /// The outcome of its own request: 0, or this errno each time.
    Response(i32),
    /// What the case itself checks, and these are the words for it.
    As(&'static str),
}

/// What becomes of the mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// It goes on: the next request gets its answer, and it can be unmounted.
    GoesOn,
    /// It comes down.
    ComesDown,
    /// It never was one.
    NeverWas,
}

type Body = Arc<dyn Fn(&Script) -> Ends + Send + Sync>;

/// One thing that a server may do to a kernel.
#[derive(Clone)]
pub struct Case {
    /// The family that it is of: a heading of the table.
    pub family: &'static str,
    /// What happens, as a sentence.
    pub title: &'static str,
    /// What it happens to, where it happens to many alike.
    pub variant: Option<String>,
    /// The rows of the list of known defects of the C code that it guards
    /// against.
    pub rows: &'static [u8],
    /// What the world must be able to.
    pub needs: Vec<Ability>,
    /// How the caller's calls end.
    pub caller: Ends,
    /// What the server is told.
    pub told: Told,
    /// What becomes of the mount.
    pub after: After,
    args: KArgsBox,
    body: Body,
}

/// Mount arguments that can be cloned with the case.
#[derive(Clone)]
struct KArgsBox(Arc<dyn Fn(&mut KArgs) + Send + Sync>);

impl Case {
    /// A case of a family. Unless more is said, nothing goes wrong in it.
    pub fn new(family: &'static str, title: &'static str) -> Case {
        Case {
            family,
            title,
            variant: None,
            rows: &[],
            needs: Vec::new(),
            caller: Ends::Well,
            told: Told::Nothing,
            after: After::GoesOn,
            args: KArgsBox(Arc::new(|_| {})),
            body: Arc::new(|_| Ends::Well),
        }
    }

    /// Says what it happens to.
    #[must_use]
    pub fn variant(mut self, variant: impl Into<String>) -> Case {
        self.variant = Some(variant.into());
        self
    }

    /// Says which known defects of the C code it guards against.
    #[must_use]
    pub fn rows(mut self, rows: &'static [u8]) -> Case {
        self.rows = rows;
        self
    }

    /// Says what the world must be able to.
    #[must_use]
    pub fn needs(mut self, ability: Ability) -> Case {
        self.needs.push(ability);
        self
    }

    /// Says how the caller's calls end.
    #[must_use]
    pub fn caller(mut self, caller: Ends) -> Case {
        self.caller = caller;
        self
    }

    /// Says what the server is told.
    #[must_use]
    pub fn told(mut self, told: Told) -> Case {
        self.told = told;
        self
    }

    /// Says what becomes of the mount.
    #[must_use]
    pub fn after(mut self, after: After) -> Case {
        self.after = after;
        self
    }

    /// Changes the mount arguments.
    #[must_use]
    pub fn args(mut self, change: impl Fn(&mut KArgs) + Send + Sync + 'static) -> Case {
        let before = self.args.0;
        self.args = KArgsBox(Arc::new(move |args| {
            before(args);
            change(args);
        }));
        self
    }

    /// Says what happens: the body returns how the caller's calls ended.
    ///
    /// It starts with a mount, unless the case is about mounting
    /// ([`After::NeverWas`]).
    #[must_use]
    pub fn body(mut self, body: impl Fn(&Script) -> Ends + Send + Sync + 'static) -> Case {
        self.body = Arc::new(body);
        self
    }

    /// The name of the test, of letters, digits, `_` and `:`.
    pub fn name(&self) -> String {
        let variant = self.variant.as_deref().unwrap_or_default();
        let name = match variant {
            "" => format!("{}::{}", self.family, self.title),
            _ => format!("{}::{}::{variant}", self.family, self.title),
        };
        let plain = |c: char| match c {
            '\'' => None,
            c if c.is_alphanumeric() || c == ':' => Some(c.to_ascii_lowercase()),
            _ => Some('_'),
        };
        name.chars().filter_map(plain).collect()
    }

    /// Can this world play it?
    pub fn fits(&self, world: &dyn World) -> bool {
        self.needs.iter().all(|&ability| world.can(ability))
    }

    /// Plays it.
    ///
    /// # Panics
    /// If anything comes otherwise than the case says, or something is left.
    pub fn play(&self, world: Rc<dyn World>) {
        let script = Script::new(world.clone());
        if self.after != After::NeverWas {
            let mut args = mount_args();
            (self.args.0)(&mut args);
            if let Err(error) = script.mount(&args) {
                panic!("mount: {error:?}");
            }
        }
        let caller = (self.body)(&script);
        script.assert_met();
        let told = script.told();
        assert!(
            self.told_as_said(&told),
            "the server was told {told:?}, not {:?}",
            self.told
        );
        assert_eq!(caller, self.caller, "how the calls ended");
        match self.after {
            After::GoesOn => {
                script.assert_alive();
                assert_eq!(script.unmount(false), Ok(()), "unmount");
            }
            After::ComesDown => script.until("the mount to go", || !script.is_mounted()),
            After::NeverWas => assert!(!script.is_mounted(), "it is mounted"),
        }
        script.die();
        assert!(!script.is_mounted(), "it is still mounted");
        drop(script);
        if let Err(left) = world.finish() {
            panic!("left behind: {left}");
        }
    }

    fn told_as_said(&self, told: &[Notice]) -> bool {
        match self.told {
            Told::Nothing => told.is_empty(),
            Told::As(_) => true,
            Told::Complaint(error) => {
                let fits = |notice: &Notice| match notice {
                    Notice::Complaint(errno, _) => *errno == error,
                    Notice::Response(..) => false,
                };
                !told.is_empty() && told.iter().all(fits)
            }
            Told::Response(rv) => {
                let fits = |notice: &Notice| match notice {
                    Notice::Response(_, outcome) => *outcome == rv,
                    Notice::Complaint(..) => false,
                };
                !told.is_empty() && told.iter().all(fits)
            }
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
