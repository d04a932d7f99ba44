// SPDX-License-Identifier: GPL-2.0
//! What can go wrong, with all that the kernel says about it.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::table::{self, AttributeInfo, AttributePath, FAMILY};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not have the family.
    #[error("this kernel has no netlink family {FAMILY:?}: it was built without CONFIG_AF_INET_CR")]
    NoFamily,
    /// The kernel refused the request.
    #[error(transparent)]
    Kernel(Box<KernelError>),
    /// A system call failed before the kernel saw the request, or before its answer was read.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The error of the system call.
        error: io::Error,
    },
    /// The answer of the kernel does not have the form that it should have.
    #[error("the answer of the kernel: {0}")]
    Decode(DecodeError),
    /// The answer of the kernel lacks something.
    #[error("the answer of the kernel to {command} has no {what}")]
    Incomplete {
        /// The command.
        command: &'static str,
        /// What is not there.
        what: &'static str,
    },
    /// What the answer is about has become something else while it was read: the process that was
    /// asked for has become another program (execve(2)). Asking again helps.
    #[error("{command}: interrupted: the process has become another program meanwhile")]
    Interrupted {
        /// The command.
        command: &'static str,
    },
}

impl Error {
    /// For `map_err` of a system call.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }

    /// Error number of the kernel's refusal or of the failed system call.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel(error) => Some(error.errno),
            Self::Io { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }

    /// What the kernel said, if it is the kernel that refused.
    pub fn kernel(&self) -> Option<&KernelError> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}

// An error that is part of another's words is not its source: whoever prints the chain would
// print it twice.
impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        Self::Kernel(Box::new(error))
    }
}

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is no whole attribute where one should begin.
    #[error("no whole attribute at byte {offset}")]
    Malformed {
        /// Where, counted from the first attribute.
        offset: usize,
    },
    /// There is something wrong with an attribute.
    #[error("attribute {} {reason}", describe(*.number, *.name))]
    Attribute {
        /// Number of the attribute.
        number: u16,
        /// Name of the attribute, if its number is known.
        name: Option<&'static str>,
        /// What is wrong, to be read after the name.
        reason: String,
    },
    /// There is something wrong with a message.
    #[error("message: {0}")]
    Message(String),
}

fn describe(number: u16, name: Option<&'static str>) -> String {
    match name {
        Some(name) => format!("{number} ({name})"),
        None => number.to_string(),
    }
}

impl DecodeError {
    pub(crate) fn attribute(set: &'static [AttributeInfo], number: u16, reason: String) -> Self {
        let name = table::lookup(set, number).map(|row| row.name);
        Self::Attribute {
            number,
            name,
            reason,
        }
    }
}

/// The kernel's refusal of a request, with its extended acknowledgement.
///
/// ```
/// use inetcr::KernelError;
/// use inetcr::table::AttributePath;
///
/// let mut error = KernelError::new("restore", 19);
/// error.message = Some("no such device".into());
/// error.attribute = Some(AttributePath::new(&[5]));
/// assert_eq!(
///     error.to_string(),
///     "restore: ENODEV: no such device (attribute sockopt-bindtodevice)"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    /// Name of the command that was refused.
    pub command: &'static str,
    /// Error number, positive.
    pub errno: i32,
    /// `NLMSGERR_ATTR_MSG`: what the kernel says in words.
    pub message: Option<String>,
    /// `NLMSGERR_ATTR_OFFS`: the attribute of the request that is wrong.
    pub attribute: Option<AttributePath>,
    /// `NLMSGERR_ATTR_OFFS` as it came, counted from the header of the message.
    pub offset: Option<u32>,
    /// `NLMSGERR_ATTR_MISS_TYPE`, in the nest `NLMSGERR_ATTR_MISS_NEST`: the attribute that the
    /// request lacks.
    pub missing: Option<AttributePath>,
    /// `NLMSGERR_ATTR_POLICY`: what the kernel takes there.
    pub policy: Option<Policy>,
}

/// What the kernel takes as the value of an attribute, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Least and greatest value.
    pub range: Option<(i128, i128)>,
    /// Shortest and longest length in bytes.
    pub length: Option<(u32, u32)>,
    /// Valid bits.
    pub mask: Option<u64>,
}

impl KernelError {
    /// A refusal of which nothing but the error number is known.
    pub fn new(command: &'static str, errno: i32) -> Self {
        Self {
            command,
            errno,
            message: None,
            attribute: None,
            offset: None,
            missing: None,
            policy: None,
        }
    }

    /// What the kernel says in words, or what the error number means.
    pub fn reason(&self) -> &str {
        let desc = Errno::from_raw(self.errno).desc();
        self.message.as_deref().unwrap_or(desc)
    }

    /// Name of the error number, as in `errno.h`.
    pub fn errno_name(&self) -> String {
        match Errno::from_raw(self.errno) {
            Errno::UnknownErrno => format!("error {}", self.errno),
            known => format!("{known:?}"),
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (errno, reason) = (self.errno_name(), self.reason());
        write!(f, "{}: {errno}: {reason}", self.command)?;
        let mut notes = Vec::new();
        match (&self.attribute, self.offset) {
            (Some(attribute), _) => notes.push(format!("attribute {attribute}")),
            (None, Some(offset)) => notes.push(format!("at byte {offset}")),
            (None, None) => {}
        }
        if let Some(missing) = &self.missing {
            notes.push(format!("missing {missing}"));
        }
        notes.extend(self.policy.as_ref().and_then(Policy::describe));
        if !notes.is_empty() {
            write!(f, " ({})", notes.join(", "))?;
        }
        Ok(())
    }
}

impl Policy {
    fn describe(&self) -> Option<String> {
        if let Some((least, greatest)) = self.range {
            return Some(format!("valid: {least} to {greatest}"));
        }
        if let Some(mask) = self.mask {
            return Some(format!("valid bits: {mask:#x}"));
        }
        match self.length {
            Some((least, greatest)) if least == greatest => Some(format!("valid: {least} bytes")),
            Some((least, greatest)) => Some(format!("valid: {least} to {greatest} bytes")),
            None => None,
        }
    }
}

impl std::error::Error for KernelError {}
