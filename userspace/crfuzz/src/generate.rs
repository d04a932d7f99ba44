// SPDX-License-Identifier: GPL-2.0

//! Makes cases: from the grammar, and from others by changing something.

use anyhow::Result;

use crate::attrs::{self, NESTED, Place};
use crate::case::{Case, MANY, ORDINARY, Request, SOCKETS, Step};
use crate::grammar::{Attribute, Grammar, Kind, MESSAGE, SetId};
use crate::live;
use crate::rng::Rng;

/// Messages are not made longer than this, most of the time: time goes into copying.
const LONG: usize = 6000;

/// How many messages are sent together at most.
const TOGETHER: usize = 48;

/// Numbers at which something changes in many programs.
const EDGES: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    31,
    32,
    40,
    41,
    63,
    64,
    127,
    128,
    255,
    256,
    511,
    512,
    1023,
    1024,
    1472,
    1500,
    2304,
    4096,
    4608,
    16384,
    32767,
    32768,
    65507,
    65508,
    65535,
    65536,
    212_992,
    425_984,
    0x00ff_ffff,
    0x7fff_fffe,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_fffe,
    0xffff_ffff,
];

/// Times and rates, likewise.
const LONG_EDGES: &[i64] = &[
    0,
    1,
    -1,
    -2,
    999,
    1000,
    999_999_999,
    1_000_000_000,
    -1_000_000_000,
    4_000_000,
    3_999_999,
    1_795_492_494_000_000_000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    9_223_372_036_000_000_000,
    9_223_372_036_854_775_806,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
];

/// Values that go far, where the specification has no more than a range. By set and attribute.
const USUAL: &[(&str, &str, &[u32])] = &[
    ("socket", "sock-family", &[2, 2, 2, 2, 2, 2, 2, 10, 1]),
    ("socket", "sock-type", &[2, 2, 2, 2, 2, 2, 2, 1, 3]),
    (
        "socket",
        "sock-protocol",
        &[17, 17, 17, 17, 17, 17, 17, 6, 0, 136],
    ),
    (
        "socket",
        "sockopt-rcvbuf",
        &[212_992, 2304, 4608, 65_536, 425_984],
    ),
    (
        "socket",
        "sockopt-sndbuf",
        &[212_992, 4608, 65_536, 425_984],
    ),
    ("socket", "error", &[0, 111, 101, 113, 90, 511, 512]),
    ("socket", "soft-error", &[0, 111, 101, 113, 511, 512]),
    ("socket", "bound-ifindex", &[1, 2, 99, 1_000_000]),
    ("socket", "queue-len", &[0, 1, 3]),
    ("socket", "error-queue-len", &[0, 1, 3]),
    ("socket", "cork-len", &[0, 1, 5, 1000]),
    ("socket", "sockopt-busy-poll", &[0, 50]),
    ("owner", "id", &[0, 1, 2, 3, 100, 0x7fff_ffff]),
    ("owner", "signum", &[0, 9, 10, 29, 64, 65]),
    (
        "timestamping",
        "flags",
        &[0, 0x1, 0x18, 0x7f, 0x80, 0x800, 0x7ff, 0x3ffff, 0x10000],
    ),
    ("txtime", "clockid", &[0, 1, 11, 7]),
    ("txtime", "flags", &[0, 1, 2, 3, 4]),
    (
        "ip",
        "local-port-range",
        &[0, 0x2000_1000, 0x1000_2000, 0xffff_0001, 0x1b58_1b58],
    ),
    ("udp", "encap", &[0, 1, 2, 3, 6, 7]),
    ("udp", "segment", &[0, 1, 500, 1472, 65535]),
    (
        "datagram",
        "len",
        &[0, 1, 4, 5, 28, 100, 1000, 16_384, 65_507, 65_508],
    ),
    ("datagram", "error-origin", &[1, 2, 4, 5]),
    ("datagram", "error-info", &[0, 1, 2, 1400]),
    (
        "cork",
        "len",
        &[0, 1, 4, 5, 100, 1000, 16_384, 65_507, 65_508],
    ),
    ("cork", "timestamping", &[0, 2, 0x3, 0x100, 0x200]),
    ("cork", "fragsize", &[0, 65_535, 65_536, 1500]),
];

/// Addresses.
const ADDRESSES: &[[u8; 4]] = &[
    [127, 0, 0, 1],
    [127, 0, 0, 1],
    [127, 0, 0, 1],
    [127, 0, 0, 2],
    [127, 1, 2, 3],
    [0, 0, 0, 0],
    [127, 255, 255, 255],
    [224, 0, 0, 1],
    [239, 1, 2, 3],
    [239, 1, 2, 4],
    [232, 1, 2, 3],
    [255, 255, 255, 255],
    [10, 0, 0, 1],
    [192, 0, 2, 7],
];

/// Names of devices.
const NAMES: &[&[u8]] = &[
    b"lo\0",
    b"lo\0",
    b"lo\0",
    b"\0",
    b"",
    b"lo",
    b"eth0\0",
    b"none-such\0",
    b"exactly15bytes!\0",
    b"exactly-16bytes!\0",
    b"l\0o\0",
    b"a/b\0",
    b"..\0",
    b"%d\0",
    b"\xff\xfe\0",
];

/// Classic programs: accept all, accept some, drop all, read, jump, and what is refused.
const PROGRAMS: &[&[u64]] = &[
    &[0xffff_ffff_0000_0006],
    &[0x0000_0000_0000_0006],
    &[0x0000_0010_0000_0006],
    &[
        0x0000_0000_0000_0030,
        0x0000_0061_0001_0015,
        0xffff_ffff_0000_0006,
        6,
    ],
    &[0xffff_f000_0000_0028, 0x0000_0000_0000_0016],
    &[
        0x0000_0000_0000_0030,
        0x0000_0000_0000_0007,
        0x0000_0000_0000_0087,
        0x16,
    ],
    &[0x0000_0000_0000_0002, 0x0000_0000_0000_0060, 0x16],
    &[0x0000_0000_0000_0060, 0x16],
    &[0x0000_0000_0000_0034, 0x16],
    &[0x0000_00ff_0000_0005, 6],
    &[0xffff_f024_0000_0020, 0x16],
];

/// What cases are made from.
#[derive(Debug, Default)]
pub struct Stock {
    /// Whole cases.
    pub cases: Vec<Case>,
    /// The attributes of sockets, as they were dumped.
    pub sockets: Vec<Vec<u8>>,
    /// The messages with what waits in a socket, for each of those.
    pub queues: Vec<Vec<Vec<u8>>>,
}

/// Makes cases.
#[derive(Debug)]
pub struct Generator<'g> {
    grammar: &'g Grammar,
    /// The numbers of attributes that have a part of their own here.
    inode: u16,
    cookie: u16,
    fd: u16,
    pidfd: u16,
    state: u16,
    family: u16,
    socktype: u16,
    protocol: u16,
    local_addr: u16,
    local_port: u16,
    transaction: u16,
    datagram: u16,
    cork: u16,
    payload: u16,
    dump: u8,
    restore: u8,
    queue: u8,
}

impl<'g> Generator<'g> {
    /// For a grammar.
    pub fn new(grammar: &'g Grammar) -> Result<Self> {
        let number = |name| grammar.number(MESSAGE, name);
        Ok(Self {
            grammar,
            inode: number("inode")?,
            cookie: number("cookie")?,
            fd: number("sock-fd")?,
            pidfd: number("pidfd")?,
            state: number("sock-state")?,
            family: number("sock-family")?,
            socktype: number("sock-type")?,
            protocol: number("sock-protocol")?,
            local_addr: number("local-addr")?,
            local_port: number("local-port")?,
            transaction: number("transaction")?,
            datagram: number("datagram")?,
            cork: number("cork")?,
            payload: number("payload")?,
            dump: grammar.command("dump")?,
            restore: grammar.command("restore")?,
            queue: grammar.command("queue")?,
        })
    }

    /// A case.
    pub fn case(&self, rng: &mut Rng, stock: &[&Stock]) -> Case {
        let stock = rng.pick(stock);
        let mut case = match (rng.below(100), stock) {
            (0..15, _) | (_, None) => self.fresh(rng),
            (15..45, Some(stock)) => self.changed(rng, stock),
            (45..75, Some(stock)) => self.burst(rng, stock),
            (75..84, Some(stock)) => self.restored(rng, stock),
            (_, Some(stock)) => self.transaction(rng, stock),
        };
        if rng.chance(1, 12) {
            Self::disturb(rng, &mut case);
        }
        case
    }

    /// One or a few messages from nothing but the grammar.
    fn fresh(&self, rng: &mut Rng) -> Case {
        let count = if rng.chance(3, 4) {
            1
        } else {
            1 + rng.below(TOGETHER)
        };
        let requests = (0..count).map(|_| self.request(rng)).collect();
        Case(vec![Step::new(requests)])
    }

    /// A message from the grammar.
    fn request(&self, rng: &mut Rng) -> Request {
        let nth = rng.below(self.grammar.operations.len());
        let Some(operation) = self.grammar.operations.get(nth) else {
            return Request::default();
        };
        let both = [&operation.single, &operation.many];
        let many = rng.below(2);
        let (many, attributes) = match (both[many], both[1 - many]) {
            (Some(attributes), _) => (many == 1, attributes.as_slice()),
            (None, Some(attributes)) => (many == 0, attributes.as_slice()),
            (None, None) => (false, [].as_slice()),
        };
        let mut attrs = Vec::new();
        if operation.number == self.restore {
            if rng.chance(9, 10) {
                self.kind_of_socket(rng, &mut attrs);
            }
            if rng.chance(1, 8) {
                let part = 1 + rng.word() % 4;
                attrs::put(&mut attrs, self.transaction, |out| {
                    out.extend(part.to_ne_bytes());
                });
            }
            for _ in 0..rng.below(12) {
                let Some(number) = rng.pick(attributes) else {
                    break;
                };
                // Those of other parts would have nearly all messages refused at once.
                let rare = [self.datagram, self.cork, self.payload, self.transaction];
                let there = attrs::get(&attrs, number).is_some();
                if !there && (!rare.contains(&number) || rng.chance(1, 20)) {
                    self.add(rng, MESSAGE, number, &mut attrs);
                }
            }
        } else if rng.chance(3, 4) && !(many && rng.chance(1, 2)) {
            self.selector(rng, &mut attrs);
        } else {
            for _ in 0..rng.below(4) {
                if let Some(number) = rng.pick(attributes) {
                    self.add(rng, MESSAGE, number, &mut attrs);
                }
            }
        }
        let flags = if many { ORDINARY | MANY } else { ORDINARY };
        Request::new(operation.number, flags, attrs)
    }

    /// What each socket has to have.
    fn kind_of_socket(&self, rng: &mut Rng, attrs: &mut Vec<u8>) {
        let close = if rng.chance(4, 5) { 7 } else { 1_u32 };
        for (number, value) in [
            (self.family, 2),
            (self.socktype, 2),
            (self.protocol, 17),
            (self.state, close),
        ] {
            attrs::put(attrs, number, |out| out.extend(value.to_ne_bytes()));
        }
    }

    /// What says which socket is meant.
    fn selector(&self, rng: &mut Rng, attrs: &mut Vec<u8>) {
        match rng.below(4) {
            0 => self.add(rng, MESSAGE, self.inode, attrs),
            1 | 2 => self.add(rng, MESSAGE, self.fd, attrs),
            _ => {
                self.add(rng, MESSAGE, self.pidfd, attrs);
                self.add(rng, MESSAGE, self.fd, attrs);
            }
        }
        if rng.chance(1, 6) {
            self.add(rng, MESSAGE, self.cookie, attrs);
        }
    }

    /// A case of the stock with something changed.
    fn changed(&self, rng: &mut Rng, stock: &Stock) -> Case {
        let Some(case) = stock.cases.get(rng.below(stock.cases.len())) else {
            return self.fresh(rng);
        };
        let mut case = case.clone();
        for _ in 0..=rng.below(3) {
            self.change_case(rng, &mut case, stock);
        }
        case
    }

    fn change_case(&self, rng: &mut Rng, case: &mut Case, stock: &Stock) {
        let steps = case.0.len();
        let nth = rng.below(steps);
        let Some(step) = case.0.get_mut(nth) else {
            return;
        };
        match rng.below(20) {
            0 => {
                let request = self.request(rng);
                let at = rng.below(step.requests.len() + 1);
                if step.requests.len() < TOGETHER {
                    step.requests.insert(at, request);
                }
            }
            1 if step.requests.len() > 1 => {
                step.requests.remove(rng.below(step.requests.len()));
            }
            2 if steps > 1 => {
                case.0.remove(nth);
            }
            3 if steps < 8 => {
                if let Some(other) = stock.cases.get(rng.below(stock.cases.len())) {
                    case.0.extend(other.0.iter().take(4).cloned());
                }
            }
            4 if steps > 1 => {
                let other = rng.below(steps);
                case.0.swap(nth, other);
            }
            5 if step.requests.len() < TOGETHER => {
                if let Some(request) = step.requests.get(rng.below(step.requests.len())) {
                    step.requests.push(request.clone());
                }
            }
            _ => {
                let which = rng.below(step.requests.len());
                if let Some(request) = step.requests.get_mut(which) {
                    self.change(rng, &mut request.attrs, stock);
                }
            }
        }
    }

    /// Many messages that differ a little.
    fn burst(&self, rng: &mut Rng, stock: &Stock) -> Case {
        let base = match stock.cases.get(rng.below(stock.cases.len())) {
            Some(case) => case.0.first().and_then(|step| step.requests.first()),
            None => None,
        };
        let Some(base) = base else {
            return self.fresh(rng);
        };
        let requests = (0..2 + rng.below(TOGETHER - 1)).map(|_| {
            let mut request = base.clone();
            for _ in 0..=rng.below(2) {
                self.change(rng, &mut request.attrs, stock);
            }
            request
        });
        Case(vec![Step::new(requests.collect())])
    }

    /// A socket like one of those that are there, at another place.
    fn restored(&self, rng: &mut Rng, stock: &Stock) -> Case {
        let Some(attrs) = stock.sockets.get(rng.below(stock.sockets.len())) else {
            return self.fresh(rng);
        };
        let mut attrs = attrs.clone();
        self.move_away(rng, &mut attrs);
        for _ in 0..rng.below(4) {
            self.change(rng, &mut attrs, stock);
        }
        Case::single(self.restore, ORDINARY, attrs)
    }

    /// Gives a socket a port that nobody has.
    fn move_away(&self, rng: &mut Rng, attrs: &mut Vec<u8>) {
        if let Some(found) = attrs::get(attrs, self.local_port) {
            let port = 20_000 + u16::try_from(rng.below(20_000)).unwrap_or_default();
            attrs::replace(attrs, &Place::top(found), &port.to_be_bytes());
        }
    }

    /// The same socket at another place, with all that waits in it.
    pub fn copy(&self, rng: &mut Rng, socket: &[u8], queue: &[Vec<u8>]) -> Case {
        if queue.is_empty() {
            let mut attrs = socket.to_vec();
            self.move_away(rng, &mut attrs);
            return Case::single(self.restore, ORDINARY, attrs);
        }
        let mut requests = self.parts(rng, socket, queue);
        requests.push(self.part(&[], 3));
        let steps = requests.into_iter().map(|request| Step::new(vec![request]));
        Case(steps.collect())
    }

    /// A part of a transaction.
    fn part(&self, attrs: &[u8], part: u32) -> Request {
        let mut attrs = attrs.to_vec();
        attrs::put(&mut attrs, self.transaction, |out| {
            out.extend(part.to_ne_bytes());
        });
        Request::new(self.restore, ORDINARY, attrs)
    }

    /// All parts of a transaction but the last.
    fn parts(&self, rng: &mut Rng, socket: &[u8], queue: &[Vec<u8>]) -> Vec<Request> {
        let mut socket = socket.to_vec();
        self.move_away(rng, &mut socket);
        let mut requests = vec![self.part(&socket, 1)];
        requests.extend(queue.iter().map(|attrs| self.part(attrs, 2)));
        requests
    }

    /// A restore in several messages, mostly in their order.
    fn transaction(&self, rng: &mut Rng, stock: &Stock) -> Case {
        let nth = rng.below(stock.sockets.len());
        let Some(socket) = stock.sockets.get(nth) else {
            return self.fresh(rng);
        };
        let other = rng.below(stock.queues.len());
        let from = if rng.chance(2, 3) { nth } else { other };
        let queue = stock.queues.get(from).map_or([].as_slice(), Vec::as_slice);
        let mut requests = self.parts(rng, socket, queue);
        if rng.chance(1, 3) {
            let mut attrs = Vec::new();
            for _ in 0..=rng.below(3) {
                let number = if rng.chance(4, 5) {
                    self.datagram
                } else {
                    self.cork
                };
                self.add(rng, MESSAGE, number, &mut attrs);
                if rng.chance(3, 4) {
                    self.add(rng, MESSAGE, self.payload, &mut attrs);
                }
            }
            requests.push(self.part(&attrs, 2));
        }
        requests.push(self.part(&[], if rng.chance(5, 6) { 3 } else { 4 }));
        for _ in 0..rng.below(4) {
            let which = rng.below(requests.len());
            match rng.below(8) {
                0 if requests.len() > 1 => {
                    requests.remove(which);
                }
                1 => {
                    let other = rng.below(requests.len());
                    requests.swap(which, other);
                }
                2 => requests.insert(which, requests[which].clone()),
                _ => self.change(rng, &mut requests[which].attrs, stock),
            }
        }
        let together = rng.chance(1, 8);
        let stray = rng.chance(1, 8);
        let mut steps: Vec<Step> = if together {
            vec![Step::new(requests)]
        } else {
            let steps = requests.into_iter().map(|request| Step::new(vec![request]));
            steps.collect()
        };
        if stray {
            // The other socket has a transaction of its own, or none.
            for step in &mut steps {
                step.via = rng.below(SOCKETS);
            }
        }
        Case(steps)
    }

    /// What is wrong outside of the attributes.
    fn disturb(rng: &mut Rng, case: &mut Case) {
        let nth = rng.below(case.0.len());
        let Some(step) = case.0.get_mut(nth) else {
            return;
        };
        let which = rng.below(step.requests.len());
        let request = step.requests.get_mut(which);
        match (rng.below(8), request) {
            (0, Some(request)) => {
                let bits = rng.word().to_le_bytes();
                request.flags = u16::from_le_bytes([bits[0], bits[1]]);
            }
            (1, Some(request)) => request.flags ^= MANY,
            (2, Some(request)) => {
                let number = rng.word().to_le_bytes()[0];
                request.command = if rng.chance(1, 2) { number % 6 } else { number };
            }
            (3, Some(request)) => {
                let near = i16::try_from(rng.between(-24, 24)).unwrap_or_default();
                request.lie = rng
                    .pick(&[near, near, i16::MAX, i16::MIN])
                    .unwrap_or_default();
            }
            (4, _) => {
                step.tail.resize(rng.below(40), 0);
                for byte in &mut step.tail {
                    *byte = rng.word().to_le_bytes()[0];
                }
            }
            (5, _) => step.parts = Some(rng.below(3)),
            (6, _) => step.via = rng.below(SOCKETS),
            (_, Some(request)) => {
                // Bytes, whatever they mean.
                for _ in 0..=rng.below(4) {
                    let at = rng.below(request.attrs.len());
                    if let Some(byte) = request.attrs.get_mut(at) {
                        *byte = rng.word().to_le_bytes()[0];
                    }
                }
                if rng.chance(1, 3) {
                    request.attrs.truncate(rng.below(request.attrs.len()));
                }
            }
            (_, None) => {}
        }
    }

    /// Changes one thing in the attributes of a message.
    // Each kind of change is a few lines.
    #[expect(clippy::too_many_lines)]
    fn change(&self, rng: &mut Rng, attrs: &mut Vec<u8>, stock: &Stock) {
        let (nth, down) = (rng.next(), rng.word());
        let mut depth = 0;
        let place = attrs::choose(
            self.grammar,
            attrs,
            |count| {
                let nth = usize::try_from(nth.rotate_left(depth * 20) >> 12).unwrap_or_default();
                depth += 1;
                nth % count.max(1)
            },
            || down % 8 != 0,
        );
        let Some(place) = place else {
            let nth = rng.below(1 << 16);
            if let Some(attribute) = self.grammar.nth(MESSAGE, nth) {
                self.add(rng, MESSAGE, attribute.number, attrs);
            }
            return;
        };
        let found = place.found;
        let known = place
            .set
            .and_then(|set| self.grammar.attribute(set, found.number()));
        match rng.below(32) {
            0..14 => {
                let mut payload = Vec::new();
                match (place.set, known) {
                    (Some(set), Some(attribute)) => {
                        self.value(rng, set, attribute, &mut payload);
                    }
                    _ => payload.extend(rng.word().to_ne_bytes()),
                }
                attrs::replace(attrs, &place, &payload);
            }
            14..16 => nudge(rng, attrs, &place),
            16..19 => attrs::remove(attrs, &place),
            19 => {
                let twice = attrs::whole(attrs, found).to_vec();
                attrs::insert(attrs, &place, &twice);
            }
            20..25 => {
                // One more, in the same set or in the nest itself.
                let nest = place.nest(self.grammar).filter(|_| rng.chance(2, 3));
                let nth = rng.below(1 << 16);
                let set = nest.or(place.set);
                let attribute = set.and_then(|set| Some((set, self.grammar.nth(set, nth)?)));
                let mut new = Vec::new();
                if let Some((set, attribute)) = attribute {
                    self.add(rng, set, attribute.number, &mut new);
                }
                if nest.is_some() {
                    attrs::append(attrs, &place, &new);
                } else {
                    attrs::insert(attrs, &place, &new);
                }
            }
            25 => {
                // Another number, or another flag.
                let kind = match rng.below(4) {
                    0 => found.kind ^ NESTED,
                    1 => found.kind ^ 0x4000,
                    2 => found.kind ^ (1 << rng.below(8)),
                    _ => u16::try_from(rng.below(1 << 16)).unwrap_or_default(),
                };
                attrs::set_kind(attrs, found, kind);
            }
            26 => {
                let len = u16::try_from(found.len + attrs::HEADER).unwrap_or(u16::MAX);
                let near = u16::try_from(rng.below(9)).unwrap_or_default();
                let lies = [
                    len.wrapping_add(near),
                    len.wrapping_sub(near),
                    near,
                    u16::MAX,
                ];
                attrs::set_len(attrs, found, rng.pick(&lies).unwrap_or_default());
            }
            27 => {
                // Shorter or longer than it should be.
                let payload = attrs.get(found.payload()..found.end()).unwrap_or_default();
                let mut payload = payload.to_vec();
                let len = match rng.below(3) {
                    0 => rng.below(payload.len() + 1),
                    1 => payload.len() + 1 + rng.below(5),
                    _ => rng.below(48),
                };
                payload.resize(len, 0);
                attrs::replace(attrs, &place, &payload);
            }
            28 => {
                // Into a nest, its own or any other.
                let inside = attrs::whole(attrs, found).to_vec();
                let mut new = Vec::new();
                let kind = if rng.chance(1, 2) {
                    found.kind | NESTED
                } else {
                    self.datagram | NESTED
                };
                attrs::put(&mut new, kind, |out| out.extend(inside));
                attrs::remove(attrs, &place);
                attrs.extend(new);
            }
            29 => {
                // Out of a nest.
                let payload = attrs.get(found.payload()..found.end()).unwrap_or_default();
                let payload = payload.to_vec();
                attrs::remove(attrs, &place);
                attrs.truncate(attrs.len() / 4 * 4);
                attrs.extend(payload);
            }
            30 => {
                // A part of another socket.
                let nth = rng.below(stock.sockets.len());
                if let Some(other) = stock.sockets.get(nth) {
                    let count = attrs::all(other).count();
                    if let Some(one) = attrs::all(other).nth(rng.below(count)) {
                        let new = attrs::whole(other, one);
                        match attrs::get(attrs, one.number()) {
                            Some(mine) if rng.chance(9, 10) => {
                                let payload = &other[one.payload()..one.end()];
                                attrs::replace(attrs, &Place::top(mine), payload);
                            }
                            _ => attrs.extend(new),
                        }
                    }
                }
            }
            _ => {
                self.move_away(rng, attrs);
                if rng.chance(1, 2)
                    && let Some(found) = attrs::get(attrs, self.local_addr)
                    && let Some(address) = rng.pick(ADDRESSES)
                {
                    attrs::replace(attrs, &Place::top(found), &address);
                }
            }
        }
        if attrs.len() > LONG && rng.chance(9, 10) {
            attrs.truncate(LONG);
        }
    }

    /// Appends an attribute with a value that is mostly good.
    pub fn add(&self, rng: &mut Rng, set: SetId, number: u16, out: &mut Vec<u8>) {
        let Some(attribute) = self.grammar.attribute(set, number) else {
            return;
        };
        let flag = match attribute.kind {
            Kind::Nest(_) => NESTED,
            _ => 0,
        };
        attrs::put(out, number | flag, |out| {
            self.value(rng, set, attribute, out);
        });
    }

    /// Writes a value of an attribute, mostly a good one.
    fn value(&self, rng: &mut Rng, set: SetId, attribute: &Attribute, out: &mut Vec<u8>) {
        if set == MESSAGE && rng.chance(7, 8) && self.live_value(rng, attribute.number, out) {
            return;
        }
        match &attribute.kind {
            Kind::Be16 => out.extend(port(rng).to_be_bytes()),
            Kind::Number { low, high } => {
                let set = self.grammar.set_name(set);
                let usual = USUAL
                    .iter()
                    .find(|row| (row.0, row.1) == (set, &attribute.name));
                let value = match usual {
                    Some((.., values)) if rng.chance(9, 10) => rng.pick(values).unwrap_or_default(),
                    _ => number(rng, *low, *high),
                };
                out.extend(value.to_ne_bytes());
            }
            Kind::Enum(values) => {
                let good = rng.pick(values).unwrap_or_default();
                let value = if rng.chance(9, 10) {
                    good
                } else {
                    number(rng, 0, 8)
                };
                out.extend(value.to_ne_bytes());
            }
            Kind::Flags(mask) => {
                let value = match rng.below(10) {
                    0 => rng.word(),
                    1 => *mask,
                    2 => 0,
                    3..6 => (1 << rng.below(32)) & mask,
                    _ => rng.word() & mask,
                };
                out.extend(value.to_ne_bytes());
            }
            Kind::Long { signed } => {
                let value = match rng.below(4) {
                    0 => rng.next().cast_signed() >> rng.below(64),
                    1 => rng.between(0, 20) * 1_000_000_000,
                    _ => rng.pick(LONG_EDGES).unwrap_or_default(),
                };
                // As short as it can be, as the kernel writes it, or not.
                let short = i32::try_from(value).map(i32::to_ne_bytes);
                let short = if *signed {
                    short.ok()
                } else {
                    u32::try_from(value).map(u32::to_ne_bytes).ok()
                };
                match short {
                    Some(short) if rng.chance(3, 4) => out.extend(short),
                    _ => out.extend(value.to_ne_bytes()),
                }
            }
            Kind::Text { .. } => out.extend_from_slice(rng.pick(NAMES).unwrap_or_default()),
            Kind::Bytes { max } => self.bytes(rng, *max, attribute.number, out),
            Kind::Address => match rng.below(16) {
                0 => out.resize(out.len() + 16, rng.word().to_le_bytes()[0]),
                1 => out.extend(rng.word().to_ne_bytes()),
                2 => out.resize(out.len() + rng.below(18), 127),
                _ => out.extend(rng.pick(ADDRESSES).unwrap_or_default()),
            },
            Kind::Nest(inside) => {
                let all = self.grammar.attributes(*inside).count();
                // Often all of it: many nests are only good when they are complete.
                let of = rng.pick(&[1, 1, 2, 4]).unwrap_or(1);
                let twice = rng.chance(1, 30);
                for nth in 0..all {
                    let Some(one) = self.grammar.nth(*inside, nth) else {
                        continue;
                    };
                    if rng.chance(1, of) {
                        let times = if one.list {
                            rng.below(4)
                        } else {
                            1 + usize::from(twice)
                        };
                        for _ in 0..times {
                            self.add(rng, *inside, one.number, out);
                        }
                    }
                }
            }
            Kind::Unused => {}
        }
    }

    /// Writes the number of something that is there.
    fn live_value(&self, rng: &mut Rng, number: u16, out: &mut Vec<u8>) -> bool {
        let socket = rng.word() % live::SOCKETS;
        let is_inode = |number| {
            let attribute = self.grammar.attribute(MESSAGE, number);
            attribute.is_some_and(|one| one.name == "filter-inode")
        };
        if number == self.inode || number == self.cookie || is_inode(number) {
            out.extend(live::holder(socket).to_ne_bytes());
        } else if number == self.fd {
            out.extend((live::FIRST_SOCKET + socket).to_ne_bytes());
        } else if number == self.pidfd {
            let pidfd = live::FIRST_PIDFD + rng.word() % live::PIDFDS;
            out.extend(pidfd.to_ne_bytes());
        } else {
            return false;
        }
        true
    }

    fn bytes(&self, rng: &mut Rng, max: usize, number: u16, out: &mut Vec<u8>) {
        if max >= 8192 && number != self.payload {
            // A program.
            let program = rng.pick(PROGRAMS).unwrap_or_default();
            let mut program = program.to_vec();
            if rng.chance(1, 4) {
                let at = rng.below(program.len());
                program[at] ^= 1 << rng.below(64);
            }
            out.extend(program.iter().flat_map(|one| one.to_ne_bytes()));
            return;
        }
        let edges = [
            0,
            1,
            3,
            4,
            5,
            8,
            20,
            28,
            39,
            40,
            41,
            100,
            1000,
            max,
            max + 1,
        ];
        let mut len = rng.pick(&edges).unwrap_or_default();
        if len > LONG && rng.chance(7, 8) {
            len = rng.below(64);
        }
        match rng.below(3) {
            // IP options: none of them, an end, a record of the route.
            0 if (8..=41).contains(&len) => {
                let begin = out.len();
                out.extend([7, 7, 4, 0, 0, 0, 0, 0]);
                out.resize(begin + len, 1);
            }
            _ => out.resize(out.len() + len, rng.word().to_le_bytes()[0]),
        }
    }

    /// Requests about each of the sockets that are there: what the stock begins with.
    pub fn about_all(&self) -> Vec<Case> {
        let mut cases = vec![Case::single(self.dump, ORDINARY | MANY, Vec::new())];
        let word = |number, value: u32| {
            let mut attrs = Vec::new();
            attrs::put(&mut attrs, number, |out| out.extend(value.to_ne_bytes()));
            attrs
        };
        for socket in 0..live::SOCKETS {
            let fd = word(self.fd, live::FIRST_SOCKET + socket);
            cases.push(Case::single(self.dump, ORDINARY, fd.clone()));
            cases.push(Case::single(self.queue, ORDINARY | MANY, fd));
            let mut inode = Vec::new();
            attrs::put(&mut inode, self.inode, |out| {
                out.extend(live::holder(socket).to_ne_bytes());
            });
            cases.push(Case::single(self.dump, ORDINARY, inode));
        }
        for pidfd in 0..live::PIDFDS {
            let mut attrs = word(self.pidfd, live::FIRST_PIDFD + pidfd);
            cases.push(Case::single(self.dump, ORDINARY | MANY, attrs.clone()));
            attrs.extend(word(self.fd, live::FIRST_SOCKET));
            cases.push(Case::single(self.dump, ORDINARY, attrs));
        }
        cases
    }
}

/// One more or less, or another bit.
fn nudge(rng: &mut Rng, attrs: &mut [u8], place: &Place) {
    let found = place.found;
    let Some(payload) = attrs.get_mut(found.payload()..found.end()) else {
        return;
    };
    let at = rng.below(payload.len());
    if let Some(byte) = payload.get_mut(at) {
        *byte = match rng.below(3) {
            0 => byte.wrapping_add(1),
            1 => byte.wrapping_sub(1),
            _ => *byte ^ (1 << rng.below(8)),
        };
    }
}

/// A number that is mostly in its range, and often at the edge of it.
fn number(rng: &mut Rng, low: i64, high: i64) -> u32 {
    let bits = |value: i64| {
        let bytes = value.to_le_bytes();
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    match rng.below(12) {
        0..4 => bits(rng.between(low, high.min(low.saturating_add(1 << 32)))),
        4 | 5 => bits(low),
        6 | 7 => bits(high),
        8 => bits(low - 1),
        9 => bits(high + 1),
        _ => rng.pick(EDGES).unwrap_or_default(),
    }
}

/// A port: of a socket that is there, of nobody, none.
fn port(rng: &mut Rng) -> u16 {
    let near = u16::try_from(rng.below(16)).unwrap_or_default();
    match rng.below(6) {
        0 => 0,
        1 | 2 => live::FIRST_PORT + near,
        3 => rng
            .pick(&[1, 53, 80, 1023, 1024, 32768, 60999, 65535])
            .unwrap_or_default(),
        _ => u16::try_from(rng.below(1 << 16)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Notes each attribute of a known set, and whether its length is one that the kernel takes.
    fn note(
        grammar: &Grammar,
        set: SetId,
        bytes: &[u8],
        seen: &mut BTreeSet<(String, String)>,
    ) -> bool {
        let mut good = true;
        let mut walk = attrs::all(bytes);
        for found in walk.by_ref() {
            let Some(one) = grammar.attribute(set, found.number()) else {
                continue;
            };
            seen.insert((grammar.set_name(set).to_owned(), one.name.clone()));
            good &= match &one.kind {
                Kind::Be16 => found.len == 2,
                Kind::Number { .. } | Kind::Enum(_) | Kind::Flags(_) => found.len == 4,
                Kind::Long { .. } => found.len == 4 || found.len == 8,
                Kind::Nest(inside) => {
                    let payload = &bytes[found.payload()..found.end()];
                    found.kind & NESTED != 0 && note(grammar, *inside, payload, seen)
                }
                Kind::Text { .. } | Kind::Bytes { .. } | Kind::Address | Kind::Unused => true,
            };
        }
        good && walk.place() >= bytes.len()
    }

    #[test]
    fn all_of_the_specification_is_made_and_well_formed() {
        let grammar = Grammar::load().unwrap();
        let generator = Generator::new(&grammar).unwrap();
        let mut rng = Rng::new(5);
        let mut seen = BTreeSet::new();
        for _ in 0..20_000 {
            let request = generator.request(&mut rng);
            assert!(note(&grammar, MESSAGE, &request.attrs, &mut seen));
            assert!(grammar.operation(request.command).is_some());
        }
        // All that a request can have, and all that is in a nest of it.
        let mut wanted = BTreeSet::new();
        let mut sets = vec![];
        for operation in &grammar.operations {
            let numbers = operation.single.iter().chain(&operation.many).flatten();
            for &number in numbers {
                let one = grammar.attribute(MESSAGE, number).unwrap();
                wanted.insert((grammar.set_name(MESSAGE).to_owned(), one.name.clone()));
                sets.extend(grammar.nested(MESSAGE, number));
            }
        }
        for set in sets {
            for one in grammar.attributes(set) {
                wanted.insert((grammar.set_name(set).to_owned(), one.name.clone()));
            }
        }
        let missing: Vec<_> = wanted.difference(&seen).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(wanted.len() > 120, "{}", wanted.len());
    }

    #[test]
    fn every_attribute_comes_by_a_change_too() {
        let grammar = Grammar::load().unwrap();
        let generator = Generator::new(&grammar).unwrap();
        let mut rng = Rng::new(6);
        let mut seen = BTreeSet::new();
        let stock = Stock::default();
        for _ in 0..20_000 {
            let mut request = generator.request(&mut rng);
            for _ in 0..3 {
                generator.change(&mut rng, &mut request.attrs, &stock);
            }
            note(&grammar, MESSAGE, &request.attrs, &mut seen);
        }
        for one in grammar.attributes(MESSAGE) {
            let key = ("socket".to_owned(), one.name.clone());
            assert!(seen.contains(&key), "{key:?}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_cases() {
        let grammar = Grammar::load().unwrap();
        let generator = Generator::new(&grammar).unwrap();
        let stock = Stock {
            cases: generator.about_all(),
            ..Stock::default()
        };
        let run = |seed| {
            let mut rng = Rng::new(seed);
            let cases = (0..500).map(|_| generator.case(&mut rng, &[&stock]));
            cases.collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
