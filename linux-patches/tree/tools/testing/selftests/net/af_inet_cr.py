#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0

"""
Tests for the af-inet-cr netlink family, which dumps and restores sockets.
"""

import ctypes
import errno
import os
import socket
from contextlib import contextmanager

from lib.py import (
    KsftSkipEx,
    NetNS,
    NetNSEnter,
    NlError,
    YnlFamily,
    defer,
    ip,
    ksft_eq,
    ksft_exit,
    ksft_ge,
    ksft_in,
    ksft_ne,
    ksft_raises,
    ksft_run,
)
from lib.py.ynl import SPEC_PATH

ADDR = "127.0.0.1"

# From linux/capability.h
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)

# Python does not name these.
SO_TIMESTAMPNS = 35
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DO = 2
UDP_SEGMENT = 103

# Options with a value that is not the default.
OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_BROADCAST, 1),
    (socket.SOL_SOCKET, socket.SO_PRIORITY, 5),
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 50001),
    (socket.SOL_SOCKET, socket.SO_MARK, 0x1234),
    (socket.SOL_SOCKET, SO_TIMESTAMPNS, 1),
    (socket.IPPROTO_IP, socket.IP_TTL, 9),
    (socket.IPPROTO_IP, socket.IP_TOS, 0x10),
    (socket.IPPROTO_IP, IP_PKTINFO, 1),
    (socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO),
    (socket.IPPROTO_UDP, UDP_SEGMENT, 1200),
]


def _netns():
    """Make a network namespace that lives as long as the test case."""
    ns = NetNS()
    defer(ns.__del__)
    ip("link set dev lo up", ns=str(ns))
    return ns


def _family():
    """
    Open a netlink socket, which belongs to the network namespace and has the
    rights of this moment.
    """
    spec = (SPEC_PATH / "af_inet_cr.yaml").as_posix()
    try:
        # schema='' skips jsonschema validation, it is slow
        family = YnlFamily(spec, schema='')
    except Exception as exc:
        if "not supported by the kernel" in str(exc):
            raise KsftSkipEx("kernel without CONFIG_AF_INET_CR") from exc
        raise
    defer(family.close)
    return family


def _udp(port=None):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    defer(sock.close)
    if port is not None:
        sock.bind((ADDR, port))
    return sock


def _inode(sock):
    return os.fstat(sock.fileno()).st_ino


def _adopt(reply):
    """Make a socket object of the descriptor that a restore has returned."""
    sock = socket.socket(fileno=reply['sock-fd'])
    defer(sock.close)
    return sock


def _options(sock):
    return [sock.getsockopt(level, name) for level, name, _ in OPTIONS]


def _nameless(state):
    """Leave out what differs between original and copy."""
    return {key: value for key, value in state.items()
            if key not in ('inode', 'cookie')}


def _refused(family, operation, attrs, code, words=None):
    """Expect that a request is refused, in words."""
    with ksft_raises(NlError) as cm:
        family.do(operation, attrs)
    if not isinstance(cm.exception, NlError):
        return None
    msg = cm.exception.nl_msg
    ksft_eq(-msg.error, code, comment=f"{operation} {attrs}")
    extack = msg.extack or {}
    if words is not None:
        ksft_in(words, extack.get('msg', ''))
    return extack


def options() -> None:
    """A socket moves, with its options, into another network namespace."""
    with NetNSEnter(str(_netns())):
        family = _family()
        original = _udp(7007)
        for level, name, value in OPTIONS:
            original.setsockopt(level, name, value)
        original.connect((ADDR, 53))

        expected = _options(original)
        state = family.do('dump', {'sock-fd': original.fileno()})
        ksft_eq(state['inode'], _inode(original))
        ksft_eq(state['local-port'], 7007)
        ksft_eq(state['peer-port'], 53)
        ksft_eq(state['ip']['ttl'], 9)
        # The same socket by its number, and with its cookie confirmed.
        selector = {'inode': state['inode'], 'cookie': state['cookie']}
        ksft_eq(family.do('dump', selector), state)
        original.close()

    with NetNSEnter(str(_netns())):
        family = _family()
        reply = family.do('restore', state)
        copy = _adopt(reply)
        ksft_eq(reply['inode'], _inode(copy))
        ksft_ne(reply['cookie'], state['cookie'])
        ksft_eq(copy.getsockname(), (ADDR, 7007))
        ksft_eq(copy.getpeername(), (ADDR, 53))
        ksft_eq(_options(copy), expected)
        again = family.do('dump', {'sock-fd': copy.fileno()})
        ksft_eq(_nameless(again), _nameless(state))


def queue() -> None:
    """Queued datagrams come back in order, in front of anything new."""
    with NetNSEnter(str(_netns())):
        family = _family()
        original = _udp(7007)
        peer = _udp(7008)
        payloads = [b"first", b"", b"x" * 20000]
        for payload in payloads:
            peer.sendto(payload, original.getsockname())

        selector = {'sock-fd': original.fileno()}
        state = family.do('dump', selector)
        ksft_eq(state['queue-len'], len(payloads))
        waiting = family.dump('queue', selector)
        # Nothing was taken away.
        ksft_eq(family.do('dump', selector), state)

        # A queue must not get lost by mistake.
        original.close()
        _refused(family, 'restore', state, errno.EINVAL)

        family.do('restore', {**state, 'transaction': 'begin'})
        # The address is taken, and drops what comes too early.
        peer.sendto(b"early", (ADDR, 7007))
        for part in waiting:
            family.do('restore', {**part, 'transaction': 'queue'})
        copy = _adopt(family.do('restore', {'transaction': 'commit'}))
        peer.sendto(b"new", copy.getsockname())

        copy.settimeout(5)
        for payload in payloads + [b"new"]:
            ksft_eq(copy.recvfrom(65536), (payload, peer.getsockname()))
        copy.setblocking(False)
        with ksft_raises(BlockingIOError):
            copy.recv(1)


def amend() -> None:
    """A state is applied to a socket that exists."""
    with NetNSEnter(str(_netns())):
        family = _family()
        target = _udp(7007)
        before = family.do('dump', {'sock-fd': target.fileno()})
        reply = family.do('amend', {'sock-fd': target.fileno(),
                                    'sockopt-priority': 3,
                                    'ip': {'ttl': 17}})
        ksft_eq(reply.get('report'), None)
        ksft_eq(target.getsockopt(socket.IPPROTO_IP, socket.IP_TTL), 17)
        ksft_eq(target.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY), 3)
        # All else is what it was.
        after = family.do('dump', {'sock-fd': target.fileno()})
        before['sockopt-priority'] = 3
        before['ip']['ttl'] = 17
        ksft_eq(after, before)


def refusals() -> None:
    """What cannot be dumped or restored whole is refused by name."""
    with NetNSEnter(str(_netns())):
        family = _family()
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        defer(tcp.close)
        _refused(family, 'dump', {'sock-fd': tcp.fileno()},
                 errno.EOPNOTSUPP, 'TCP')

        udp = _udp(7007)
        extack = _refused(family, 'dump', {}, errno.EINVAL)
        ksft_ge(len((extack or {}).get('msg', '')), 1)
        _refused(family, 'dump', {'inode': _inode(udp) + 100000},
                 errno.ENOENT)
        _refused(family, 'dump', {'inode': _inode(udp), 'cookie': 1},
                 errno.ESTALE, 'cookie')

        # Nothing is left behind by a restore that fails: the port is free.
        state = family.do('dump', {'sock-fd': udp.fileno()})
        udp.close()
        state['sockopt-bindtodevice'] = 'gone'
        fds = os.listdir('/proc/self/fd')
        extack = _refused(family, 'restore', state, errno.ENODEV)
        ksft_eq((extack or {}).get('bad-attr'), '.sockopt-bindtodevice')
        ksft_eq(os.listdir('/proc/self/fd'), fds)
        _udp(7007)


def namespace_dump() -> None:
    """A dump has the bound sockets of its network namespace and no others."""
    here, there = _netns(), _netns()
    with NetNSEnter(str(there)):
        stranger = _udp(7000)
    with NetNSEnter(str(here)):
        family = _family()
        socks = [_udp(port) for port in range(7000, 7050)]
        expected = sorted(_inode(sock) for sock in socks)
        states = family.dump('dump', {})
        ksft_eq(sorted(state['inode'] for state in states), expected)
        # Each is what a dump of the socket by itself says.
        one = states[0]
        ksft_eq(family.do('dump', {'inode': one['inode']}), one)

        found = family.dump('dump', {'local-port': 7001})
        ksft_eq([state['inode'] for state in found], [_inode(socks[1])])
        _refused(family, 'dump', {'inode': _inode(stranger)}, errno.ENOENT)

        # One that is refused is named, and does not end the dump.
        os.setxattr(socks[1].fileno(), 'user.test', b'value')
        states = family.dump('dump', {})
        ksft_eq(sorted(state['inode'] for state in states), expected)
        reports = [state['report'][0] for state in states if 'report' in state]
        ksft_eq([report['errno'] for report in reports], [errno.EOPNOTSUPP])
        ksft_in('attribute', reports[0]['msg'])


@contextmanager
def _without(capability):
    """Take a capability out of the effective ones."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable ones, of 32 each.
    before = (ctypes.c_uint32 * 6)()
    after = (ctypes.c_uint32 * 6)()

    def call(function, caps):
        if function(header, caps):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    call(libc.capget, before)
    call(libc.capget, after)
    after[0] &= ~(1 << capability)
    call(libc.capset, after)
    try:
        yield
    finally:
        call(libc.capset, before)


def permission() -> None:
    """Nothing is answered to who lacks a capability."""
    with NetNSEnter(str(_netns())):
        sock = _udp(7007)
        privileged = _family()
        selector = {'sock-fd': sock.fileno()}
        state = privileged.do('dump', selector)

        with _without(CAP_NET_ADMIN):
            unprivileged = _family()
            # Neither by a socket of one's own, nor by one that root opened.
            for family in (unprivileged, privileged):
                _refused(family, 'dump', selector, errno.EPERM)
                _refused(family, 'restore', state, errno.EPERM)
                _refused(family, 'amend', selector, errno.EPERM)
                for operation in ('dump', 'queue'):
                    with ksft_raises(NlError) as cm:
                        family.dump(operation, {})
                    ksft_eq(-cm.exception.nl_msg.error, errno.EPERM)
        # Nor does root answer for a socket that somebody else opened.
        _refused(unprivileged, 'dump', selector, errno.EPERM)

        # Datagrams take one more.
        with _without(CAP_NET_RAW):
            ksft_eq(privileged.do('dump', selector), state)
            with ksft_raises(NlError) as cm:
                privileged.dump('queue', selector)
            ksft_eq(-cm.exception.nl_msg.error, errno.EPERM)
        ksft_eq(privileged.dump('queue', selector), [])


def main() -> None:
    """Run the test cases."""
    ksft_run([options, queue, amend, refusals, namespace_dump, permission])
    ksft_exit()


if __name__ == "__main__":
    main()
