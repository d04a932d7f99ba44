// SPDX-License-Identifier: GPL-2.0
//! Applying a state to a socket that exists.

use std::fmt;

use bitflags::Flags;

use crate::attr::RawAttr;
use crate::client::{Client, Target};
use crate::error::{DecodeError, Error, KernelError};
use crate::record::{Report, refusal};
use crate::snapshot::Snapshot;
use crate::state::{REPORT, State};
use crate::table::{AttributePath, Command, Kind, SOCKET};
use crate::types::{IpFlags, SockoptFlags, UdpFlags};
use crate::value::Value as _;

/// An amended socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amended {
    /// Its inode number.
    pub inode: u64,
    /// Its cookie.
    pub cookie: u64,
    /// What of the state could not be applied. All that is not named here was.
    pub failed: Vec<Failure>,
}

/// A part of a state that could not be applied.
///
/// ```
/// use inetcr::table::AttributePath;
/// use inetcr::{Failure, KernelError};
///
/// let mut error = KernelError::new("amend", 1);
/// error.message = Some("SO_LOCK_FILTER cannot be set".into());
/// error.attribute = Some(AttributePath::new(&[35]));
/// let failure = Failure { error, index: None, bit: Some(64) };
/// assert_eq!(
///     failure.to_string(),
///     "sockopt-flags.lock-filter: EPERM: SO_LOCK_FILTER cannot be set"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why. Without an attribute it is about the socket.
    pub error: KernelError,
    /// Which of the attributes of that number it is, from 0, if there may be several.
    pub index: Option<u32>,
    /// The bit of the attribute, if each bit is an option.
    pub bit: Option<u32>,
}

impl Failure {
    /// What could not be applied, by its name: `sockopt-filter`, `ip.flags.recverr`,
    /// `membership[1]`.
    pub fn place(&self) -> String {
        let Some(attribute) = &self.error.attribute else {
            return "the socket".to_owned();
        };
        let index = self.index.map(|index| format!("[{index}]"));
        let bit = self.bit.map(|bit| match flag_name(attribute, bit) {
            Some(name) => format!(".{name}"),
            None => format!(".{bit:#x}"),
        });
        let (index, bit) = (index.unwrap_or_default(), bit.unwrap_or_default());
        format!("{attribute}{index}{bit}")
    }

    /// Reads a report.
    fn from_attr(attr: &RawAttr) -> Result<Self, DecodeError> {
        let report = Report::decode(&attr.payload).and_then(|report| {
            let error = refusal(Command::Amend, &report)?;
            Ok(Self {
                error,
                index: report.index,
                bit: report.bit,
            })
        });
        report.map_err(|reason| DecodeError::attribute(SOCKET, REPORT, reason))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.error.reason();
        write!(f, "{}: {}: {why}", self.place(), self.error.errno_name())
    }
}

/// Name of a bit of an attribute.
fn flag_name(attribute: &AttributePath, bit: u32) -> Option<String> {
    fn name<F: Flags<Bits = u32> + Copy>(bit: u32) -> Option<String> {
        crate::flags::names(F::from_bits(bit)?).into_iter().next()
    }

    match attribute.kind()? {
        Kind::Flags("sockopt-flag") => name::<SockoptFlags>(bit),
        Kind::Flags("ip-flag") => name::<IpFlags>(bit),
        Kind::Flags("udp-flag") => name::<UdpFlags>(bit),
        _ => None,
    }
}

impl Client {
    /// Applies a state, all of it or a part, to a socket that exists.
    ///
    /// It has to be selected by a descriptor, of this process or of another one. What the state
    /// says about which socket it was (inode number, cookie, descriptor) is left out; the rest is
    /// checked before anything is done, and an error says that nothing was done. But then it is
    /// applied piece by piece: what fails is in [`Amended::failed`], and all else was applied. The
    /// owner of the socket should be frozen.
    ///
    /// ```no_run
    /// use inetcr::{Client, Selector, State};
    /// use std::net::UdpSocket;
    /// use std::os::fd::AsRawFd as _;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let state = State { sockopt_rcvbuf: Some(212_993), ..State::default() };
    /// let amended = Client::new()?.amend(Selector::Fd(socket.as_raw_fd()), &state)?;
    /// assert!(amended.failed.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn amend<'a>(
        &mut self,
        target: impl Into<Target<'a>>,
        state: &State,
    ) -> Result<Amended, Error> {
        let mut attrs = target.into().to_attrs();
        attrs.extend(state.without_identity().to_attrs());
        self.amend_attrs(&self.allowing(attrs))
    }

    /// Applies a state, and puts the datagrams and errors that waited in the original behind those
    /// that wait in the socket.
    ///
    /// As [`amend`](Self::amend), but for three things. If there are datagrams, it takes several
    /// messages, and the requester needs `CAP_NET_RAW`. An error then says that nothing was queued,
    /// but the state may be applied: the same can be tried again. A datagram that cannot be queued
    /// is in [`Amended::failed`] as `datagram[N]`, by its place in [`Snapshot::queue`], and neither
    /// it nor anything behind it is in the socket.
    ///
    /// A corked datagram is left out. That there is one is in [`Amended::failed`].
    ///
    /// ```no_run
    /// use inetcr::{Client, Image, Selector};
    ///
    /// let image = Image::read(std::fs::File::open("socket.image")?)?;
    /// let amended = Client::new()?.amend_snapshot(Selector::Fd(3), &image.sockets[0])?;
    /// for failure in &amended.failed {
    ///     eprintln!("not applied: {failure}");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn amend_snapshot<'a>(
        &mut self,
        target: impl Into<Target<'a>>,
        snapshot: &Snapshot,
    ) -> Result<Amended, Error> {
        let target = target.into();
        if snapshot.queue.is_empty() {
            return self.amend(target, &snapshot.state);
        }
        let mut begin = target.to_attrs();
        begin.extend(snapshot.state.without_identity().to_attrs());
        let begin = self.allowing(begin);
        let [first, last] = self.transact(Command::Amend, begin, &snapshot.queue, None)?;
        let mut amended = Amended::from_attrs(&first)?;
        amended.failed.extend(Amended::from_attrs(&last)?.failed);
        Ok(amended)
    }

    /// Applies any attributes, those that select the socket among them.
    pub fn amend_attrs(&mut self, attrs: &[RawAttr]) -> Result<Amended, Error> {
        let answer = self.raw(Command::Amend.number(), attrs)?;
        Amended::from_attrs(&answer)
    }
}

impl Amended {
    /// Reads the answer.
    pub fn from_attrs(attrs: &[RawAttr]) -> Result<Self, Error> {
        let is_report = |attr: &&RawAttr| attr.number() == REPORT;
        let (reports, rest): (Vec<_>, Vec<_>) = attrs.iter().partition(is_report);
        let rest: Vec<_> = rest.into_iter().cloned().collect();
        let state = State::from_attrs(&rest)?;
        let missing = |what| Error::Incomplete {
            command: Command::Amend.name(),
            what,
        };
        Ok(Self {
            inode: state.inode.ok_or_else(|| missing("inode number"))?,
            cookie: state.cookie.ok_or_else(|| missing("cookie"))?,
            failed: reports
                .into_iter()
                .map(Failure::from_attr)
                .collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reports: &[&[RawAttr]]) -> Vec<RawAttr> {
        let mut attrs = vec![RawAttr::uint(1, 77), RawAttr::uint(24, 5)];
        let reports = reports.iter();
        attrs.extend(reports.map(|report| RawAttr::nested(REPORT, report)));
        attrs
    }

    #[test]
    fn an_answer_names_what_has_failed() {
        let report = |attr, errno| [RawAttr::u32(1, attr), RawAttr::u32(2, errno)];
        let in_ip = [
            &report(1, 1)[..],
            &[RawAttr::u32(4, 58), RawAttr::u32(6, 8)],
        ]
        .concat();
        let second = [&report(60, 105)[..], &[RawAttr::u32(5, 1)]].concat();
        let words = [&report(45, 1)[..], &[RawAttr::string(3, c"no")]].concat();
        let amended =
            Amended::from_attrs(&answer(&[&in_ip, &second, &words, &[RawAttr::u32(2, 16)]]));
        let amended = amended.unwrap();
        assert_eq!((amended.inode, amended.cookie), (77, 5));
        let failed: Vec<_> = amended.failed.iter().map(ToString::to_string).collect();
        assert_eq!(
            failed,
            [
                "ip.flags.recverr: EPERM: Operation not permitted",
                "membership[1]: ENOBUFS: No buffer space available",
                "sockopt-filter: EPERM: no",
                "the socket: EBUSY: Device or resource busy",
            ]
        );
        assert_eq!(Amended::from_attrs(&answer(&[])).unwrap().failed, []);
    }

    #[test]
    fn an_answer_without_a_socket_or_an_error_number_is_refused() {
        let error = Amended::from_attrs(&[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the answer of the kernel to amend has no inode number"
        );
        let error = Amended::from_attrs(&answer(&[&[RawAttr::u32(1, 45)]]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("has no error number"), "{error}");
    }
}
