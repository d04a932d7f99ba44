// SPDX-License-Identifier: GPL-2.0
//! The client of the family.

use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use crate::attr::RawAttr;
use crate::error::Error;
use crate::state::{ALLOW_LOST, PIDFD, State};
use crate::table::{Command, FAMILY, FAMILY_VERSION};
use crate::transport::{Answer, Request, Transport};
use crate::types::Losses;
use crate::value::Value as _;

/// Number of an attribute of a request, as in the table.
const INODE: u16 = 1;
const SOCK_FD: u16 = 4;
const COOKIE: u16 = 24;

/// Says which socket is meant.
#[derive(Clone, Copy, Debug)]
pub enum Selector<'a> {
    /// The socket with this inode number: a bound one, or one that a process has open whose files
    /// the requester may see.
    Inode(u64),
    /// The socket behind a file descriptor of the requester.
    Fd(RawFd),
    /// The socket behind a file descriptor of another process, which the requester may attach to.
    Pidfd {
        /// Pidfd of the process.
        pidfd: BorrowedFd<'a>,
        /// Number of the descriptor there.
        fd: RawFd,
    },
}

impl<'a> Selector<'a> {
    /// The same socket, but only if it has this cookie (`SO_COOKIE`).
    pub fn with_cookie(self, cookie: u64) -> Target<'a> {
        Target {
            selector: self,
            cookie: Some(cookie),
        }
    }

    fn to_attrs(self) -> Vec<RawAttr> {
        use std::os::fd::AsRawFd as _;

        let number = |fd: RawFd| fd.cast_unsigned();
        match self {
            Self::Inode(inode) => vec![RawAttr::uint(INODE, inode)],
            Self::Fd(fd) => vec![RawAttr::u32(SOCK_FD, number(fd))],
            Self::Pidfd { pidfd, fd } => vec![
                RawAttr::u32(SOCK_FD, number(fd)),
                RawAttr::u32(PIDFD, number(pidfd.as_raw_fd())),
            ],
        }
    }
}

/// A [`Selector`] with an optional check of the socket's identity.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Finds the socket.
    pub selector: Selector<'a>,
    /// The cookie that the socket must have.
    pub cookie: Option<u64>,
}

impl<'a> From<Selector<'a>> for Target<'a> {
    fn from(selector: Selector<'a>) -> Self {
        Self {
            selector,
            cookie: None,
        }
    }
}

impl Target<'_> {
    /// The attributes of a request to dump this socket.
    pub fn to_attrs(&self) -> Vec<RawAttr> {
        let mut attrs = self.selector.to_attrs();
        attrs.extend(self.cookie.map(|cookie| RawAttr::uint(COOKIE, cookie)));
        attrs
    }
}

/// A restored socket.
#[derive(Debug)]
pub struct Restored {
    /// The socket. Close-on-exec.
    pub fd: OwnedFd,
    /// Its inode number.
    pub inode: u64,
    /// Its cookie.
    pub cookie: u64,
}

/// A connection to the family, in the network namespace that the thread was in when it was made.
///
/// ```no_run
/// use inetcr::{Client, Selector};
/// use std::net::UdpSocket;
/// use std::os::fd::AsRawFd as _;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// let mut client = Client::new()?;
/// let state = client.dump(Selector::Fd(socket.as_raw_fd()))?;
/// drop(socket);
/// let copy = UdpSocket::from(client.restore(&state)?.fd);
/// assert_eq!(copy.local_addr().ok(), state.local());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    family_id: u16,
    version: u32,
    pub(crate) allowed: Losses,
    pub(crate) warning: Option<String>,
}

impl Client {
    /// Opens a netlink socket and asks the kernel for the family.
    ///
    /// # Errors
    /// [`Error::NoFamily`] if the kernel was built without `CONFIG_AF_INET_CR`.
    pub fn new() -> Result<Self, Error> {
        let mut transport = Transport::new()?;
        let (family_id, version) = resolve(&mut transport, FAMILY)?;
        Ok(Self {
            transport,
            family_id,
            version,
            allowed: Losses::empty(),
            warning: None,
        })
    }

    /// From now on, sockets may lose these parts: dumps leave out what they cannot carry of them,
    /// and say so by [`State::lost`], and restores and amendments take what has lost them.
    ///
    /// ```no_run
    /// use inetcr::{Client, Losses, Selector};
    ///
    /// let mut client = Client::new()?;
    /// client.allow_lost(Losses::EBPF_FILTER | Losses::XATTR);
    /// let state = client.dump(Selector::Fd(3))?;
    /// println!("lost: {:?}", state.lost);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_lost(&mut self, losses: Losses) {
        self.allowed = losses;
    }

    /// These attributes, and what may be lost.
    pub(crate) fn allowing(&self, mut attrs: Vec<RawAttr>) -> Vec<RawAttr> {
        if !self.allowed.is_empty() {
            attrs.push(self.allowed.encode(ALLOW_LOST));
        }
        attrs
    }

    /// Version of the family in this kernel.
    pub fn family_version(&self) -> u32 {
        self.version
    }

    /// Number of the family in this kernel, which is a message's type.
    pub fn family_id(&self) -> u16 {
        self.family_id
    }

    /// Dumps a socket.
    pub fn dump<'a>(&mut self, target: impl Into<Target<'a>>) -> Result<State, Error> {
        let request = self.allowing(target.into().to_attrs());
        let attrs = self.raw(Command::Dump.number(), &request)?;
        Ok(State::from_attrs(&attrs)?)
    }

    /// Makes a new socket of a dumped state.
    pub fn restore(&mut self, state: &State) -> Result<Restored, Error> {
        self.restore_attrs(&self.allowing(state.to_attrs()))
    }

    /// Makes a new socket of any attributes.
    pub fn restore_attrs(&mut self, attrs: &[RawAttr]) -> Result<Restored, Error> {
        let answer = self.raw(Command::Restore.number(), attrs)?;
        restored(&answer)
    }

    /// Sends a request of any attributes, and returns those of the answer. A successful
    /// `restore` leaves a descriptor behind, whose number is in the answer:
    /// [`restore_attrs`](Self::restore_attrs) takes care of that.
    pub fn raw(&mut self, command: u8, attrs: &[RawAttr]) -> Result<Vec<RawAttr>, Error> {
        self.raw_bytes(command, &RawAttr::encode_all(attrs))
    }

    /// Sends a request of any bytes in the place of attributes.
    pub fn raw_bytes(&mut self, command: u8, bytes: &[u8]) -> Result<Vec<RawAttr>, Error> {
        let messages = self.send(command, bytes, false)?;
        Ok(messages.into_iter().next().unwrap_or_default())
    }

    /// Sends a request of any attributes that is answered by any number of messages, and returns
    /// the attributes of each. It is an error if what they are about has become something else
    /// before the last one.
    pub fn raw_multipart(
        &mut self,
        command: u8,
        attrs: &[RawAttr],
    ) -> Result<Vec<Vec<RawAttr>>, Error> {
        self.send(command, &RawAttr::encode_all(attrs), true)
    }

    /// The same, but hands over the attributes of each message as it comes.
    pub(crate) fn send_each(
        &mut self,
        command: Command,
        attrs: &[RawAttr],
        each: impl FnMut(Vec<RawAttr>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let bytes = RawAttr::encode_all(attrs);
        let request = self.request(command.number(), &bytes, true);
        self.warning = None;
        self.warning = self.transport.exchange_each(&request, each)?;
        Ok(())
    }

    fn send(
        &mut self,
        command: u8,
        bytes: &[u8],
        multipart: bool,
    ) -> Result<Vec<Vec<RawAttr>>, Error> {
        let request = self.request(command, bytes, multipart);
        self.warning = None;
        let Answer { messages, warning } = self.transport.exchange(&request)?;
        self.warning = warning;
        Ok(messages)
    }

    fn request<'a>(&self, command: u8, attributes: &'a [u8], multipart: bool) -> Request<'a> {
        let known = Command::ALL.into_iter().find(|one| one.number() == command);
        Request {
            family_id: self.family_id,
            version: FAMILY_VERSION,
            command,
            name: known.map_or("unknown command", Command::name),
            multipart,
            attributes,
        }
    }

    /// What the kernel remarked on the last request although it did what was asked.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

/// Asks generic netlink's own family for the number and the version of a family.
fn resolve(transport: &mut Transport, family: &str) -> Result<(u16, u32), Error> {
    const ID_CTRL: u16 = 16;
    const CTRL_VERSION: u8 = 2;
    const CTRL_CMD_GETFAMILY: u8 = 3;
    const CTRL_ATTR_FAMILY_ID: u16 = 1;
    const CTRL_ATTR_FAMILY_NAME: u16 = 2;
    const CTRL_ATTR_VERSION: u16 = 3;
    const ENOENT: i32 = nix::errno::Errno::ENOENT as i32;

    let name = RawAttr::new(CTRL_ATTR_FAMILY_NAME, [family.as_bytes(), &[0]].concat());
    let request = Request {
        family_id: ID_CTRL,
        version: CTRL_VERSION,
        command: CTRL_CMD_GETFAMILY,
        name: "getfamily",
        multipart: false,
        attributes: &RawAttr::encode_all(&[name]),
    };
    let answer = transport.exchange(&request).map_err(|error| match error {
        Error::Kernel(kernel) if kernel.errno == ENOENT => Error::NoFamily,
        other => other,
    })?;
    let attrs = answer.messages.first().map_or(&[][..], Vec::as_slice);
    let find = |number| attrs.iter().find(|attr| attr.number() == number);
    let id = find(CTRL_ATTR_FAMILY_ID)
        .and_then(|attr| attr.payload.as_slice().try_into().ok())
        .map(u16::from_ne_bytes);
    let version = find(CTRL_ATTR_VERSION)
        .and_then(|attr| attr.payload.as_slice().try_into().ok())
        .map(u32::from_ne_bytes);
    let missing = |what| Error::Incomplete {
        command: "getfamily",
        what,
    };
    Ok((
        id.ok_or_else(|| missing("number"))?,
        version.ok_or_else(|| missing("version"))?,
    ))
}

/// Reads the answer that has the restored socket. The descriptor is owned first, so that no error
/// leaks it.
pub(crate) fn restored(attrs: &[RawAttr]) -> Result<Restored, Error> {
    let missing = |what| Error::Incomplete {
        command: "restore",
        what,
    };
    let fd = attrs
        .iter()
        .find(|attr| attr.number() == SOCK_FD)
        .and_then(|attr| attr.payload.as_slice().try_into().ok())
        .map(RawFd::from_ne_bytes)
        .filter(|fd| *fd >= 0)
        .map(own)
        .ok_or_else(|| missing("descriptor"))?;
    let state = State::from_attrs(attrs)?;
    Ok(Restored {
        fd,
        inode: state.inode.ok_or_else(|| missing("inode number"))?,
        cookie: state.cookie.ok_or_else(|| missing("cookie"))?,
    })
}

/// Takes the descriptor that the kernel has just made.
#[expect(
    unsafe_code,
    reason = "a descriptor comes out of a message as a number"
)]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: The kernel has installed this descriptor for the request of this client, and told
    // nobody else its number. It is not negative.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Generic netlink's own family is in every kernel, and shows that requests, answers and
    /// errors arrive.
    #[test]
    fn the_family_of_families_answers() {
        let mut transport = Transport::new().unwrap();
        for _ in 0..3 {
            assert_eq!(resolve(&mut transport, "nlctrl").unwrap(), (16, 2));
        }
        let unknown = resolve(&mut transport, "no-such-family");
        assert!(matches!(unknown, Err(Error::NoFamily)));
        assert!(resolve(&mut transport, "nlctrl").is_ok());
    }

    /// All families, of which there are more than fit into one message.
    #[test]
    fn an_answer_of_many_messages_is_whole() {
        let mut transport = Transport::new().unwrap();
        let request = Request {
            family_id: 16,
            version: 2,
            command: 3,
            name: "getfamily",
            multipart: true,
            attributes: &[],
        };
        for _ in 0..2 {
            let messages = transport.exchange(&request).unwrap().messages;
            let is_nlctrl = |attrs: &Vec<RawAttr>| attrs.contains(&RawAttr::string(2, c"nlctrl"));
            assert!(messages.len() > 1 && messages.iter().any(is_nlctrl));
        }
        assert_eq!(resolve(&mut transport, "nlctrl").unwrap(), (16, 2));
    }

    #[test]
    fn the_kernels_words_arrive_with_the_attribute() {
        let mut transport = Transport::new().unwrap();
        let attrs = [RawAttr::string(2, c"nlctrl"), RawAttr::new(1, [0])];
        let request = Request {
            family_id: 16,
            version: 2,
            command: 3,
            name: "getfamily",
            multipart: false,
            attributes: &RawAttr::encode_all(&attrs),
        };
        let error = transport.exchange(&request).unwrap_err();
        let error = error.kernel().unwrap();
        assert!(error.message.is_some(), "{error}");
        // The header of two, then the name with its padding.
        assert_eq!(error.offset, Some(20 + 12));
        assert_eq!(error.attribute.as_ref().unwrap().number(), 1);
    }
}
