// SPDX-License-Identifier: GPL-2.0

//! Makes cases: from the grammar, and from others by changing something.

mod amend;
mod change;
#[cfg(test)]
mod tests;
mod values;

use anyhow::Result;

use crate::attrs::{self, Place};
use crate::case::{Case, MANY, ORDINARY, Request, SOCKETS, Step};
use crate::grammar::{Grammar, MESSAGE};
use crate::live;
use crate::rng::Rng;

/// Messages are not made longer than this, most of the time: time goes into copying.
const LONG: usize = 6000;

/// How many messages are sent together at most.
const TOGETHER: usize = 48;

/// What cases are made from.
#[derive(Debug, Default)]
pub struct Stock {
    /// Whole cases.
    pub cases: Vec<Case>,
    /// The attributes of sockets, as they were dumped.
    pub sockets: Vec<Vec<u8>>,
    /// The descriptors of those.
    pub numbers: Vec<u32>,
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
    source_addr: u16,
    peer: [u16; 2],
    device: u16,
    map: u16,
    lost: u16,
    allow_lost: u16,
    transaction: u16,
    datagram: u16,
    cork: u16,
    payload: u16,
    dump: u8,
    restore: u8,
    amend: u8,
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
            source_addr: number("source-addr")?,
            peer: [number("peer-addr")?, number("peer-port")?],
            device: number("sockopt-bindtodevice")?,
            map: number("map")?,
            lost: number("lost")?,
            allow_lost: number("allow-lost")?,
            transaction: number("transaction")?,
            datagram: number("datagram")?,
            cork: number("cork")?,
            payload: number("payload")?,
            dump: grammar.command("dump")?,
            restore: grammar.command("restore")?,
            amend: grammar.command("amend")?,
            queue: grammar.command("queue")?,
        })
    }

    /// A case.
    pub fn case(&self, rng: &mut Rng, stock: &[&Stock]) -> Case {
        let stock = rng.pick(stock);
        let mut case = match (rng.below(100), stock) {
            (0..12, _) | (_, None) => self.fresh(rng),
            (12..37, Some(stock)) => self.changed(rng, stock),
            (37..57, Some(stock)) => self.burst(rng, stock),
            (57..67, Some(stock)) => self.restored(rng, stock),
            (67..87, Some(stock)) => self.amended(rng, stock),
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
        } else if operation.number == self.amend && rng.chance(7, 8) {
            self.target(rng, None, &mut attrs);
            self.few(rng, attributes, &mut attrs);
        } else if rng.chance(3, 4) && !(many && rng.chance(1, 2)) {
            self.selector(rng, &mut attrs);
            // What else there is to ask for is reached only with a socket that is there.
            if rng.chance(1, 2)
                && let Some(number) = rng.pick(attributes)
            {
                self.add(rng, MESSAGE, number, &mut attrs);
            }
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
        if rng.chance(1, 6) {
            self.elsewhere(rng, &mut attrs);
        }
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
        requests.push(self.part(self.restore, &[], 3));
        let steps = requests.into_iter().map(|request| Step::new(vec![request]));
        Case(steps.collect())
    }

    /// What waits in a socket, for another one that is there.
    pub fn bring(&self, rng: &mut Rng, queue: &[Vec<u8>]) -> Case {
        let mut requests = self.parts_of_amend(rng, &[], queue);
        requests.push(self.part(self.amend, &[], 3));
        let steps = requests.into_iter().map(|request| Step::new(vec![request]));
        Case(steps.collect())
    }

    /// A part of a transaction.
    fn part(&self, command: u8, attrs: &[u8], part: u32) -> Request {
        let mut attrs = attrs.to_vec();
        attrs::put(&mut attrs, self.transaction, |out| {
            out.extend(part.to_ne_bytes());
        });
        Request::new(command, ORDINARY, attrs)
    }

    /// All parts of a transaction but the last.
    fn parts(&self, rng: &mut Rng, socket: &[u8], queue: &[Vec<u8>]) -> Vec<Request> {
        let mut socket = socket.to_vec();
        self.move_away(rng, &mut socket);
        let mut requests = vec![self.part(self.restore, &socket, 1)];
        requests.extend(queue.iter().map(|attrs| self.part(self.restore, attrs, 2)));
        requests
    }

    /// The same, about one of the sockets that are there.
    fn parts_of_amend(&self, rng: &mut Rng, state: &[u8], queue: &[Vec<u8>]) -> Vec<Request> {
        let mut begin = state.to_vec();
        self.add(rng, MESSAGE, self.fd, &mut begin);
        let mut requests = vec![self.part(self.amend, &begin, 1)];
        // What is corked is for no socket that is there.
        let queue = queue
            .iter()
            .filter(|attrs| attrs::get(attrs, self.cork).is_none());
        requests.extend(queue.map(|attrs| self.part(self.amend, attrs, 2)));
        requests
    }

    /// A restore or an amendment in several messages, mostly in their order.
    fn transaction(&self, rng: &mut Rng, stock: &Stock) -> Case {
        let nth = rng.below(stock.sockets.len());
        let Some(socket) = stock.sockets.get(nth) else {
            return self.fresh(rng);
        };
        let other = rng.below(stock.queues.len());
        let from = if rng.chance(2, 3) { nth } else { other };
        let queue = stock.queues.get(from).map_or([].as_slice(), Vec::as_slice);
        let (command, mut requests) = match rng.below(3) {
            0 => {
                // Most are at another place, so that the whole state is refused.
                let state = if rng.chance(1, 6) {
                    socket.as_slice()
                } else {
                    &[]
                };
                (self.amend, self.parts_of_amend(rng, state, queue))
            }
            _ => (self.restore, self.parts(rng, socket, queue)),
        };
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
            requests.push(self.part(command, &attrs, 2));
        }
        let last = if rng.chance(5, 6) { 3 } else { 4 };
        requests.push(self.part(command, &[], last));
        for _ in 0..rng.below(4) {
            let which = rng.below(requests.len());
            match rng.below(9) {
                0 if requests.len() > 1 => {
                    requests.remove(which);
                }
                // Of the other command.
                8 => {
                    let both = self.restore ^ self.amend;
                    requests[which].command ^= both;
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
            cases.push(Case::single(self.amend, ORDINARY, fd.clone()));
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
            cases.push(Case::single(self.dump, ORDINARY, attrs.clone()));
            cases.push(Case::single(self.amend, ORDINARY, attrs));
        }
        cases
    }
}
