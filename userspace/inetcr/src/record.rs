// SPDX-License-Identifier: GPL-2.0
//! What a dump of many sockets has of each of them.

use std::fmt;

use crate::attr::RawAttr;
use crate::attributes::{attributes, nest};
use crate::error::{DecodeError, KernelError};
use crate::state::{REPORT as REPORT_NUMBER, State};
use crate::table::{AttributePath, Command, SOCKET};
use crate::value::Value as _;

attributes! {
    /// What the kernel reports about an attribute, or about a socket that it does not dump.
    pub struct Report, REPORT;
    fields {
        /// Number of the attribute. Absent if it is about the socket.
        1 attr "attr" Place: u32;
        /// Error number.
        2 errno "errno" State: u32;
        /// What went wrong, in words.
        3 msg "msg" Place: String;
        /// Number of the attribute that `attr` is in. Absent if it is in none.
        4 nest "nest" Place: u32;
        /// Which of those that may come several times it is, from 0.
        5 index "index" Place: u32;
        /// Bit of the attribute, where each bit is an option.
        6 bit "bit" Place: u32 as hex;
    }
    kept {}
}
nest!(Report "report" REPORT);

/// What a dump of many sockets has of one: its state, or a [`Snapshot`](crate::Snapshot), or why
/// there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<T = State> {
    /// The socket was dumped.
    Dumped(T),
    /// The socket was refused.
    Refused(Box<Refused>),
}

/// A socket that was refused.
///
/// ```
/// use inetcr::{KernelError, Refused, State};
///
/// let socket = State { sock_fd: Some(5), inode: Some(77), ..State::default() };
/// let mut error = KernelError::new("dump", 95);
/// error.message = Some("type SOCK_STREAM (TCP) is not carried yet".into());
/// let refused = Refused { socket, error };
/// assert_eq!(
///     refused.to_string(),
///     "fd:5 ino:77: dump: EOPNOTSUPP: type SOCK_STREAM (TCP) is not carried yet"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is known of it: inode number and cookie, family, type and protocol, and its descriptor
    /// if a process was asked for. Of a socket of another network namespace there is less.
    pub socket: State,
    /// Why. Its command is the one that was refused.
    pub error: KernelError,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.socket.identity(), self.error)
    }
}

impl Record {
    /// Reads a message of the answer. It has the state of a socket, or which one it is with a
    /// report.
    pub(crate) fn from_attrs(attrs: Vec<RawAttr>) -> Result<Self, DecodeError> {
        let is_report = |attr: &RawAttr| attr.number() == REPORT_NUMBER;
        let (reports, rest): (Vec<_>, Vec<_>) = attrs.into_iter().partition(is_report);
        let socket = State::from_attrs(&rest)?;
        let error = match reports.as_slice() {
            [] => return Ok(Self::Dumped(socket)),
            [report] => {
                Report::decode(&report.payload).and_then(|report| refusal(Command::Dump, &report))
            }
            [..] => Err("comes twice".to_owned()),
        };
        let error =
            error.map_err(|reason| DecodeError::attribute(SOCKET, REPORT_NUMBER, reason))?;
        Ok(Self::Refused(Box::new(Refused { socket, error })))
    }
}

/// The refusal that a report tells of.
pub(crate) fn refusal(command: Command, report: &Report) -> Result<KernelError, String> {
    let errno = report.errno.and_then(|errno| i32::try_from(errno).ok());
    let errno = errno.filter(|errno| *errno > 0);
    let errno = errno.ok_or_else(|| "has no error number".to_owned())?;
    let mut error = KernelError::new(command.name(), errno);
    error.message.clone_from(&report.msg);
    let path: Vec<_> = report.nest.into_iter().chain(report.attr).collect();
    let path: Result<Vec<_>, _> = path.into_iter().map(u16::try_from).collect();
    let path = path.map_err(|_| "names no attribute".to_owned())?;
    error.attribute = (!path.is_empty()).then(|| AttributePath::new(&path));
    Ok(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 TCP socket that is refused with this report.
    fn message(report: &[RawAttr]) -> Vec<RawAttr> {
        vec![
            RawAttr::u32(4, 9),
            RawAttr::uint(1, 77),
            RawAttr::uint(24, 5),
            RawAttr::u32(25, 2),
            RawAttr::u32(3, 1),
            RawAttr::u32(26, 6),
            RawAttr::nested(REPORT_NUMBER, report),
        ]
    }

    #[test]
    fn a_message_is_a_state_or_a_refusal() {
        let state = State {
            inode: Some(77),
            sock_fd: Some(9),
            sock_type: Some(2),
            ..State::default()
        };
        let record = Record::from_attrs(state.to_attrs()).unwrap();
        assert_eq!(record, Record::Dumped(state));

        let words = c"type SOCK_STREAM (TCP) is not carried yet";
        let report = [RawAttr::u32(2, 95), RawAttr::string(3, words)];
        let Record::Refused(refused) = Record::from_attrs(message(&report)).unwrap() else {
            panic!("not refused");
        };
        assert_eq!(refused.socket.sock_protocol, Some(6));
        assert_eq!(
            refused.to_string(),
            "fd:9 ino:77 cookie:5: dump: EOPNOTSUPP: type SOCK_STREAM (TCP) is not carried yet"
        );

        // Without words, and about an attribute.
        let report = [RawAttr::u32(1, 70), RawAttr::u32(2, 2)];
        let Record::Refused(refused) = Record::from_attrs(message(&report)).unwrap() else {
            panic!("not refused");
        };
        let text = "dump: ENOENT: No such file or directory (attribute queue-len)";
        assert_eq!(refused.error.to_string(), text);
    }

    #[test]
    fn a_report_that_says_nothing_is_refused() {
        let errno = |number| RawAttr::u32(2, number);
        for (report, word) in [
            (vec![], "has no error number"),
            (vec![errno(0)], "has no error number"),
            (vec![errno(u32::MAX)], "has no error number"),
            (vec![errno(1), errno(1)], "comes twice"),
            (vec![errno(1), RawAttr::u32(40, 1)], "is not carried"),
            (
                vec![errno(1), RawAttr::u32(1, 1 << 16)],
                "names no attribute",
            ),
            (vec![errno(1), RawAttr::new(3, [0xff, 0])], "is no text"),
        ] {
            let error = Record::from_attrs(message(&report)).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("attribute 67 (report) "), "{text}");
            assert!(text.contains(word), "{text}");
        }
        let mut twice = message(&[errno(1)]);
        twice.extend(message(&[errno(1)]).pop());
        let error = Record::from_attrs(twice).unwrap_err().to_string();
        assert_eq!(error, "attribute 67 (report) comes twice");
    }

    #[test]
    fn what_is_not_known_is_no_state() {
        let error = Record::from_attrs(vec![RawAttr::u32(4000, 1)]).unwrap_err();
        let text = "attribute 4000 is not carried by this version";
        assert_eq!(error.to_string(), text);
    }
}
