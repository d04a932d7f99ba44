// SPDX-License-Identifier: GPL-2.0

//! Why a request is refused.

#![forbid(unsafe_code)]

use crate::attr;

use kernel::{
    alloc::AllocError,
    fmt,
    net::netlink::{
        AttrWriter,
        ExtAck,
        Policy,
        Request, //
    },
    prelude::*,
    str::CString, //
};

/// A request that is refused: the error number, and what the requester is told beside it.
///
/// What decides about a request returns one; a plain error number becomes one without words. It is
/// turned into an extended acknowledgment in one place, [`Refusal::tell`].
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    /// The error number of the reply.
    errno: Error,
    /// What the reason is about, as users know it (`SO_PRIORITY`), or nothing.
    subject: &'static str,
    /// The reason, or nothing where the error number says all.
    reason: &'static str,
    /// Which attribute of the request it is about.
    blame: Blame,
    /// Which of the attributes of that type, where there may be several.
    nth: Option<usize>,
    /// Which bit of the attribute, where each of them is an option; or 0.
    bit: u32,
}

/// Which attribute is to blame for a refusal.
#[derive(Clone, Copy)]
enum Blame {
    /// None.
    Nothing,
    /// This attribute of the request.
    Attribute(u16),
    /// The second attribute, in the first, a nest with this policy.
    Inside(u16, u16, &'static [Policy]),
    /// This attribute, which the request has not.
    Missing(u16),
    /// The second attribute, which the first, a nest, has not.
    MissingInside(u16, u16),
}

impl Refusal {
    /// Refuses with an error number for a reason.
    pub(crate) const fn new(errno: Error, reason: &'static str) -> Refusal {
        Refusal {
            errno,
            subject: "",
            reason,
            blame: Blame::Nothing,
            nth: None,
            bit: 0,
        }
    }

    /// Refuses because an attribute is not there.
    pub(crate) const fn missing(attr: u16, reason: &'static str) -> Refusal {
        Refusal {
            errno: EINVAL,
            subject: "",
            reason,
            blame: Blame::Missing(attr),
            nth: None,
            bit: 0,
        }
    }

    /// Says what the reason is about, in front of it.
    pub(crate) const fn about(mut self, subject: &'static str) -> Refusal {
        self.subject = subject;
        self
    }

    /// Says which attribute is to blame, if the request has it.
    pub(crate) const fn at(mut self, attr: u16) -> Refusal {
        self.blame = Blame::Attribute(attr);
        self
    }

    /// Says which attribute in a nest is to blame.
    pub(crate) const fn inside(
        mut self,
        nest: u16,
        attr: u16,
        policies: &'static [Policy],
    ) -> Refusal {
        self.blame = Blame::Inside(nest, attr, policies);
        self
    }

    /// Says which attribute is not in a nest.
    pub(crate) const fn missing_inside(mut self, nest: u16, attr: u16) -> Refusal {
        self.blame = Blame::MissingInside(nest, attr);
        self
    }

    /// Says which of several attributes of one type is to blame, or has the one to blame inside.
    pub(crate) const fn of_list(mut self, nth: usize) -> Refusal {
        self.nth = Some(nth);
        self
    }

    /// Says which bit of the attribute it is about.
    pub(crate) const fn of_bit(mut self, bit: u32) -> Refusal {
        self.bit = bit;
        self
    }

    /// Returns the error number.
    pub(crate) const fn errno(&self) -> Error {
        self.errno
    }

    /// Says why.
    pub(crate) fn say(&self, extack: &ExtAck<'_>) {
        if !self.reason.is_empty() {
            extack.message_fmt(fmt!("{self}"));
        }
    }

    /// Writes it into a message, as what is inside `AF_INET_CR_ATTR_REPORT`.
    pub(crate) fn put(&self, msg: &AttrWriter) -> Result {
        self.put_errno(msg)?;
        if !self.reason.is_empty() {
            msg.put_string(attr::report::MSG, &CString::try_from_fmt(fmt!("{self}"))?)?;
        }
        Ok(())
    }

    /// How long the words of a report may be.
    pub(crate) const WORDS: usize = 108;

    /// How much room in a message [`Self::report`] takes at the most: its header, five numbers, the
    /// header of the words, the words, the NUL behind them, and what they are padded with.
    pub(crate) const ROOM: usize = 4 + 5 * 8 + 4 + Self::WORDS + 1 + 3;

    /// Writes it into a message, with the attribute that it is about, as an
    /// `AF_INET_CR_ATTR_REPORT`.
    ///
    /// Where there is no memory for the words, it has none.
    pub(crate) fn report(&self, msg: &AttrWriter) -> Result {
        let place = |nest: &AttrWriter| {
            match self.blame {
                Blame::Nothing => {}
                Blame::Attribute(attr) | Blame::Missing(attr) => {
                    nest.put_u32(attr::report::ATTR, attr.into())?;
                }
                Blame::Inside(outer, attr, _) | Blame::MissingInside(outer, attr) => {
                    nest.put_u32(attr::report::ATTR, attr.into())?;
                    nest.put_u32(attr::report::NEST, outer.into())?;
                }
            }
            if let Some(nth) = self.nth {
                nest.put_u32(attr::report::INDEX, nth.try_into().map_err(|_| EOVERFLOW)?)?;
            }
            match self.bit {
                0 => Ok(()),
                bit => nest.put_u32(attr::report::BIT, bit),
            }
        };
        let with_words = msg.nest(attr::REPORT, |nest| {
            place(nest)?;
            self.put(nest)
        });
        match with_words {
            Err(ENOMEM) => msg.nest(attr::REPORT, |nest| {
                place(nest)?;
                self.put_errno(nest)
            }),
            result => result,
        }
    }

    /// Writes the error number into a message.
    fn put_errno(&self, msg: &AttrWriter) -> Result {
        msg.put_u32(attr::report::ERRNO, self.errno.to_errno().unsigned_abs())
    }

    /// Tells the requester, and returns the error number for the reply.
    pub(crate) fn tell(self, request: &Request<'_>) -> Error {
        let extack = request.extack();
        self.say(&extack);

        let find = |ty| match self.nth {
            None => request.attr(ty),
            Some(nth) => request.attrs().filter(|attr| attr.type_() == ty).nth(nth),
        };

        match self.blame {
            Blame::Nothing => {}
            Blame::Attribute(attr) => {
                if let Some(attr) = find(attr) {
                    extack.bad_attr(&attr);
                }
            }
            Blame::Inside(nest, attr, policies) => {
                let attr = find(nest).and_then(|nest| nest.nested(policies).ok()?.get(attr));
                if let Some(attr) = attr {
                    extack.bad_attr(&attr);
                }
            }
            Blame::Missing(attr) => extack.missing(attr),
            Blame::MissingInside(nest, attr) => {
                if let Some(nest) = find(nest) {
                    extack.missing_in(&nest, attr);
                }
            }
        }

        self.errno
    }
}

/// The words.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            "" => f.write_str(self.reason),
            subject => write!(f, "{subject} {}", self.reason),
        }
    }
}

impl From<Error> for Refusal {
    fn from(errno: Error) -> Refusal {
        Refusal::new(errno, "")
    }
}

impl From<AllocError> for Refusal {
    fn from(error: AllocError) -> Refusal {
        Refusal::from(Error::from(error))
    }
}

/// The attributes that a request may have several times.
const LISTS: [u16; 5] = [
    attr::MEMBERSHIP,
    attr::DATAGRAM,
    attr::PAYLOAD,
    attr::FILTER_INODE,
    attr::MAP,
];

/// Refuses a request of somebody who may do more than who opened the netlink socket, and one that
/// has an attribute more than once.
///
/// Options are set and files are found with the rights of the sender. Who has got somebody else to
/// write to a netlink socket must not have them.
pub(crate) fn admit(request: &Request<'_>) -> Result<(), Refusal> {
    match request.opener_has_rights_of_sender() {
        true => repeated(request),
        false => Err(Refusal::new(
            EPERM,
            "the sender has rights that who opened the netlink socket had not",
        )),
    }
}

/// Refuses a request that has an attribute more than once.
///
/// The parser of netlink keeps the last of them without a word.
fn repeated(request: &Request<'_>) -> Result<(), Refusal> {
    match request.attributes().first_repeated(&LISTS) {
        Some(attr) => Err(Refusal::new(EINVAL, "an attribute is repeated").at(attr.type_())),
        None => Ok(()),
    }
}
