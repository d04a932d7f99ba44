// SPDX-License-Identifier: GPL-2.0
//! Dumps of many sockets at once.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::vec;

use nix::errno::Errno;

use crate::attr::RawAttr;
use crate::client::{Client, Selector, Target};
use crate::error::{Error, KernelError};
use crate::filter::Filter;
use crate::queue::Contents;
use crate::record::{Record, Refused};
use crate::snapshot::Snapshot;
use crate::state::{FILTER_INODE, LOCAL_PORT, PIDFD, State};
use crate::table::Command;

/// Whose sockets a dump of many is about.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// The bound IPv4 UDP sockets of the network namespace that the client is in, each once.
    Namespace,
    /// All sockets that a process has open, bound or not, of whatever kind: those that are not
    /// carried are refused. There is one record for each descriptor, in their order, so that a
    /// socket that is open twice is there twice.
    ///
    /// It takes a pidfd of the process and the right to attach to it. Sockets of another network
    /// namespace than the client's are refused.
    Process(BorrowedFd<'a>),
}

impl<'a> Scope<'a> {
    /// Finds a socket that was met here, and no other.
    fn find(self, socket: &State) -> Option<Target<'a>> {
        let selector = match self {
            Self::Namespace => Selector::Inode(socket.inode?),
            Self::Process(pidfd) => Selector::Pidfd {
                pidfd,
                fd: RawFd::try_from(socket.sock_fd?).ok()?,
            },
        };
        Some(selector.with_cookie(socket.cookie?))
    }
}

/// Which sockets a dump of many is about.
///
/// ```
/// use inetcr::{Scope, Selection};
///
/// let on_a_port = Selection { local_port: Some(53), ..Scope::Namespace.into() };
/// assert_eq!(on_a_port.to_attrs().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// Whose.
    pub scope: Scope<'a>,
    /// Only those on this local port.
    pub local_port: Option<u16>,
    /// Only those with one of these inode numbers; all if there is none.
    pub inodes: Vec<u64>,
    /// Only those that have this. It is not the kernel that sees to it, but for the local port.
    /// Those that are refused are there nevertheless, as nobody can tell what they have.
    pub filter: Filter,
}

impl<'a> From<Scope<'a>> for Selection<'a> {
    fn from(scope: Scope<'a>) -> Self {
        Self {
            scope,
            local_port: None,
            inodes: Vec::new(),
            filter: Filter::default(),
        }
    }
}

impl Selection<'_> {
    /// The attributes of a request to dump these sockets.
    pub fn to_attrs(&self) -> Vec<RawAttr> {
        let mut attrs = Vec::new();
        if let Scope::Process(pidfd) = self.scope {
            let number = pidfd.as_raw_fd().cast_unsigned();
            attrs.push(RawAttr::u32(PIDFD, number));
        }
        let port = self.filter.local.and_then(|local| local.port());
        let port = self.local_port.or(port);
        attrs.extend(port.map(|port| RawAttr::be16(LOCAL_PORT, port)));
        let inodes = self.inodes.iter();
        attrs.extend(inodes.map(|inode| RawAttr::uint(FILTER_INODE, *inode)));
        attrs
    }
}

impl Client {
    /// Dumps many sockets at once. One that cannot be dumped has its [`Refused`] among the records
    /// and does not keep the others from being dumped.
    ///
    /// Each socket is of its own moment. One that is bound to one port from the beginning to the
    /// end is there, whatever others come and go meanwhile.
    ///
    /// ```no_run
    /// use inetcr::{Client, Record, Scope};
    ///
    /// for record in Client::new()?.dump_many(Scope::Namespace)? {
    ///     match record {
    ///         Record::Dumped(state) => println!("{:?}", state.local()),
    ///         Record::Refused(refused) => println!("{refused}"),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the process has become another program meanwhile, `ESRCH` if it
    /// has come to its end.
    pub fn dump_many<'a>(
        &mut self,
        selection: impl Into<Selection<'a>>,
    ) -> Result<Vec<Record>, Error> {
        let selection = selection.into();
        let mut records = Vec::new();
        let request = self.allowing(selection.to_attrs());
        self.send_each(Command::Dump, &request, |attrs| {
            records.push(Record::from_attrs(attrs)?);
            Ok(())
        })?;
        let warning = self.warning.take();
        for record in &mut records {
            if let Some(whole) = self.too_large(selection.scope, record)? {
                *record = whole;
            }
        }
        self.warning = warning.or(self.warning.take());
        records.retain(|record| match record {
            Record::Dumped(state) => selection.filter.matches(state),
            Record::Refused(_) => true,
        });
        Ok(records)
    }

    /// Dumps many sockets with the datagrams that wait in them. One that is closed before its
    /// datagrams were dumped is refused, as any that cannot be dumped.
    ///
    /// A socket that a process has open twice has one and the same snapshot, but for the descriptor.
    ///
    /// # Errors
    /// As [`dump_many`](Self::dump_many), and `EPERM` without `CAP_NET_RAW` if datagrams wait.
    pub fn snapshot_many<'a>(
        &mut self,
        selection: impl Into<Selection<'a>>,
    ) -> Result<Vec<Record<Snapshot>>, Error> {
        let selection: Selection<'_> = selection.into();
        self.snapshots(selection)?.collect()
    }

    /// The same, one after the other: what waits in a socket is dumped when it is its turn, so that
    /// no more than one has to be kept. The states are dumped at once.
    ///
    /// ```no_run
    /// use inetcr::{Client, Compression, ImageWriter, Record, Scope};
    ///
    /// let mut client = Client::new()?;
    /// let file = std::fs::File::create("sockets.image")?;
    /// let mut image = ImageWriter::new(file, Compression::Zstd)?;
    /// let sockets = client.snapshots(Scope::Namespace)?;
    /// println!("{} sockets", sockets.len());
    /// for record in sockets {
    ///     match record? {
    ///         Record::Dumped(snapshot) => image.add(&snapshot)?,
    ///         Record::Refused(refused) => eprintln!("{refused}"),
    ///     }
    /// }
    /// image.finish()?.sync_all()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshots<'a>(
        &'a mut self,
        selection: impl Into<Selection<'a>>,
    ) -> Result<Snapshots<'a>, Error> {
        let selection = selection.into();
        let scope = selection.scope;
        let states = self.dump_many(selection)?;
        let mut times = HashMap::<_, u32>::new();
        for record in &states {
            if let Some(which) = which(record) {
                *times.entry(which).or_default() += 1;
            }
        }
        times.retain(|_, times| *times > 1);
        Ok(Snapshots {
            client: self,
            scope,
            states: states.into_iter(),
            several: times.into_keys().collect(),
            earlier: HashMap::new(),
        })
    }

    /// The record of a socket that is too large for the answer about many: it is dumped by itself.
    fn too_large(&mut self, scope: Scope<'_>, record: &Record) -> Result<Option<Record>, Error> {
        let Record::Refused(refused) = record else {
            return Ok(None);
        };
        let target = scope.find(&refused.socket);
        let Some(target) = target.filter(|_| refused.error.errno == Errno::EMSGSIZE as i32) else {
            return Ok(None);
        };
        let sock_fd = refused.socket.sock_fd;
        let record = or_refused(&refused.socket, self.dump(target))?;
        Ok(Some(match record {
            Record::Dumped(state) => Record::Dumped(State { sock_fd, ..state }),
            refused @ Record::Refused(_) => refused,
        }))
    }

    /// Adds what a socket holds beside its state.
    fn with_contents(&mut self, scope: Scope<'_>, state: State) -> Result<Record<Snapshot>, Error> {
        let target = scope.find(&state).filter(|_| state.has_contents());
        let Some(target) = target else {
            return Ok(Record::Dumped(state.into()));
        };
        Ok(match or_refused(&state, self.contents(target))? {
            Record::Dumped(Contents { queue, corked }) => {
                Record::Dumped(Snapshot::new(state, queue, corked))
            }
            Record::Refused(refused) => Record::Refused(refused),
        })
    }
}

/// Many sockets, one after the other: see [`Client::snapshots`].
pub struct Snapshots<'a> {
    client: &'a mut Client,
    scope: Scope<'a>,
    states: vec::IntoIter<Record>,
    /// Those that come more than once, and what they were when they came first.
    several: HashSet<Which>,
    earlier: HashMap<Which, Snapshot>,
}

impl Snapshots<'_> {
    /// Leaves out sockets by their states, before what waits in them is dumped.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&Record) -> bool) {
        let states = std::mem::take(&mut self.states);
        let states: Vec<_> = states.filter(|record| is_wanted(record)).collect();
        self.states = states.into_iter();
    }
}

impl Iterator for Snapshots<'_> {
    type Item = Result<Record<Snapshot>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.states.next()?;
        let which = which(&record).filter(|which| self.several.contains(which));
        let state = match record {
            Record::Refused(refused) => return Some(Ok(Record::Refused(refused))),
            Record::Dumped(state) => state,
        };
        if let Some(same) = which.and_then(|which| self.earlier.get(&which)) {
            return Some(Ok(Record::Dumped(with_fd(same, state.sock_fd))));
        }
        let warning = self.client.warning.take();
        let record = self.client.with_contents(self.scope, state);
        self.client.warning = warning.or(self.client.warning.take());
        if let (Some(which), Ok(Record::Dumped(snapshot))) = (which, &record) {
            self.earlier.insert(which, snapshot.clone());
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.states.size_hint()
    }
}

impl ExactSizeIterator for Snapshots<'_> {}

/// Inode number and cookie.
type Which = (u64, u64);

fn which(record: &Record) -> Option<Which> {
    match record {
        Record::Dumped(state) => state.inode.zip(state.cookie),
        Record::Refused(_) => None,
    }
}

/// The same snapshot by another descriptor.
fn with_fd(snapshot: &Snapshot, sock_fd: Option<u32>) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.state.sock_fd = sock_fd;
    snapshot
}

/// What a request about one of the sockets has brought. A refusal that is about the socket is
/// recorded as such.
fn or_refused<T>(socket: &State, result: Result<T, Error>) -> Result<Record<T>, Error> {
    match result {
        Ok(value) => Ok(Record::Dumped(value)),
        Err(Error::Kernel(error)) if !is_about_all(&error) => {
            let socket = socket.which();
            let error = *error;
            Ok(Record::Refused(Box::new(Refused { socket, error })))
        }
        Err(other) => Err(other),
    }
}

/// Whether the kernel would refuse the other sockets as well: for want of a right or of memory, or
/// because the process is gone.
fn is_about_all(error: &KernelError) -> bool {
    let errno = Errno::from_raw(error.errno);
    matches!(
        errno,
        Errno::EPERM | Errno::ESRCH | Errno::ENOMEM | Errno::ENOBUFS
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_selection_is_what_the_request_says() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let selection = Selection {
            local_port: Some(0x1234),
            inodes: vec![5, 1 << 32],
            ..Scope::Process(file.as_fd()).into()
        };
        let number = file.as_raw_fd().cast_unsigned();
        let attrs = [
            RawAttr::u32(23, number),
            RawAttr::new(28, [0x12, 0x34]),
            RawAttr::u32(71, 5),
            RawAttr::new(71, (1u64 << 32).to_ne_bytes()),
        ];
        assert_eq!(selection.to_attrs(), attrs);
        assert_eq!(Selection::from(Scope::Namespace).to_attrs(), []);
    }

    #[test]
    fn a_socket_is_found_again_only_if_it_is_known_which_one_it_was() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let socket = State {
            inode: Some(77),
            cookie: Some(5),
            sock_fd: Some(3),
            ..State::default()
        };
        let attrs = |scope: Scope<'_>, socket: &State| {
            let target = scope.find(socket)?;
            Some(target.to_attrs().iter().map(RawAttr::number).collect())
        };
        let process = Scope::Process(file.as_fd());
        assert_eq!(attrs(Scope::Namespace, &socket), Some(vec![1, 24]));
        assert_eq!(attrs(process, &socket), Some(vec![4, 23, 24]));
        // As one of another namespace.
        let socket = State {
            cookie: None,
            ..socket
        };
        assert_eq!(attrs(Scope::Namespace, &socket), None);
        assert_eq!(attrs(process, &socket), None);
    }

    #[test]
    fn what_is_about_one_socket_does_not_fail_the_others() {
        let socket = State {
            inode: Some(77),
            sock_type: Some(2),
            sockopt_broadcast: Some(true),
            ..State::default()
        };
        let refused = |errno: Errno| {
            let error = KernelError::new("queue", errno as i32);
            or_refused::<()>(&socket, Err(error.into()))
        };
        for errno in [Errno::ENOENT, Errno::ESTALE, Errno::EBADF, Errno::EBUSY] {
            let Ok(Record::Refused(refused)) = refused(errno) else {
                panic!("{errno} is not about the socket");
            };
            assert_eq!(refused.error.errno, errno as i32);
            // What it is, and nothing of its state.
            assert_eq!(refused.socket, socket.which());
            assert_eq!(refused.socket.sock_type, Some(2));
            assert_eq!(refused.socket.sockopt_broadcast, None);
        }
        for errno in [Errno::EPERM, Errno::ESRCH, Errno::ENOMEM] {
            let error = refused(errno).unwrap_err();
            assert_eq!(error.errno(), Some(errno as i32));
        }
        let error = Error::Incomplete {
            command: "dump",
            what: "state",
        };
        assert!(or_refused::<()>(&socket, Err(error)).is_err());
    }
}
