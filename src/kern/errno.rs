//! Error numbers.

use core::num::NonZeroI32;

/// An error of `errno(2)`, in NetBSD's numbers. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(NonZeroI32);

/// What a fallible operation returns.
pub type Result<T> = core::result::Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident = $number:literal, $doc:literal;)*) => {
        #[allow(missing_docs)]
        impl Errno {
            $(#[doc = $doc] pub const $name: Errno = Errno::constant($number);)*
        }
    };
}

errnos! {
    ENOENT = 2, "No such file or directory.";
    EINTR = 4, "Interrupted by a signal.";
    EIO = 5, "Input/output error.";
    ENXIO = 6, "The server is gone.";
    E2BIG = 7, "Does not fit.";
    EDEADLK = 11, "Would wait for who waits for us.";
    ENOMEM = 12, "Cannot allocate memory.";
    EBUSY = 16, "In use.";
    EEXIST = 17, "Exists already.";
    EXDEV = 18, "Another file system.";
    EISDIR = 21, "Is a directory.";
    EINVAL = 22, "Invalid argument.";
    EFBIG = 27, "Beyond what a file can be.";
    EROFS = 30, "Read-only file system.";
    EWOULDBLOCK = 35, "Would have to wait.";
    EINPROGRESS = 36, "Being mounted.";
    EOPNOTSUPP = 45, "Not supported.";
    ESTALE = 70, "The file is not there any more.";
    EPROTO = 96, "The server broke the protocol.";
    EJUSTRETURN = -2, "Kernel only: there is no such file, and it may be made.";
    ERESTART = -3, "Kernel only: do it again.";
}

impl Errno {
    /// The largest error number that user code may see (`ELAST`).
    pub const LAST: i32 = 96;

    const fn constant(number: i32) -> Errno {
        match NonZeroI32::new(number) {
            Some(number) => Errno(number),
            None => panic!("an errno is not 0"),
        }
    }

    /// Turns the result of a C function into a `Result`.
    ///
    /// # Errors
    /// Any number but 0.
    pub fn check(number: i32) -> Result<()> {
        NonZeroI32::new(number).map_or(Ok(()), |number| Err(Errno(number)))
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0.get()
    }

    /// Turns a `Result` into what a C function returns.
    pub fn code(result: Result<()>) -> i32 {
        result.map_or_else(Errno::get, |()| 0)
    }
}
