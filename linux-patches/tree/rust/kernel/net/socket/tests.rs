// SPDX-License-Identifier: GPL-2.0

//! Tests of sockets, mostly UDP ones.

use super::*;

use crate::{
    bindings,
    fs::file::flags,
    net::{
        sock::EncapHandler,
        Net, //
    },
    prelude::*,
    sync::aref::ARef,
    transmute::AsBytes, //
};

use core::net::{
    Ipv4Addr,
    SocketAddr,
    SocketAddrV4, //
};

#[cfg(CONFIG_NET_NS)]
use crate::error::{
    from_err_ptr,
    to_result, //
};

#[cfg(CONFIG_NET_NS)]
use core::ptr::{
    self,
    NonNull, //
};

const AF_INET: i32 = consts::AF_INET as i32;
const DGRAM: i32 = consts::SOCK_DGRAM as i32;
const STREAM: i32 = consts::SOCK_STREAM as i32;
const UDP: i32 = consts::IPPROTO_UDP as i32;
const TCP_CLOSE: u8 = bindings::TCP_CLOSE as u8;
const SOL_SOCKET: i32 = bindings::SOL_SOCKET as i32;
const SOL_IP: i32 = bindings::SOL_IP as i32;
const SOL_UDP: i32 = bindings::SOL_UDP as i32;

/// Makes a UDP socket.
fn udp_socket() -> Result<Socket> {
    Socket::create(Net::init_net(), AF_INET, DGRAM, UDP)
}

/// An address that is there without any device, and a port that is free.
const ANYWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Makes a network namespace whose loopback device is up, which it is not in the initial one when
/// the tests run.
#[cfg(CONFIG_NET_NS)]
fn new_net() -> Result<ARef<Net>> {
    // SAFETY: The user namespace and the network namespace are never freed.
    let net = from_err_ptr(unsafe {
        bindings::copy_net_ns(
            u64::from(bindings::CLONE_NEWNET),
            &raw mut bindings::init_user_ns,
            &raw mut bindings::init_net,
        )
    })?;
    let net = NonNull::new(net).ok_or(ENOMEM)?;
    // SAFETY: The function has returned a valid namespace with a reference to it. The cast is fine
    // because of `repr(transparent)`.
    let net: ARef<Net> = unsafe { ARef::from_raw(net.cast()) };

    // SAFETY: FFI call, the lock is not held.
    unsafe { bindings::rtnl_lock() };
    // SAFETY: The lock is held, and the namespace has a loopback device as long as it lives.
    let ret = unsafe { bindings::dev_open((*net.as_ptr()).loopback_dev, ptr::null_mut()) };
    // SAFETY: The lock was taken above.
    unsafe { bindings::rtnl_unlock() };

    to_result(ret)?;
    Ok(net)
}

#[macros::kunit_tests(rust_socket)]
mod cases {
    use super::*;

    #[test]
    fn test_new_socket() -> Result {
        let socket = udp_socket()?;

        assert_eq!(socket.family(), consts::AF_INET);
        assert_eq!(socket.type_(), consts::SOCK_DGRAM);
        assert_eq!(socket.protocol(), consts::IPPROTO_UDP);
        assert_eq!(socket.state(), TCP_CLOSE);
        assert!(!socket.is_kernel());
        assert!(!socket.is_dead());
        assert!(socket.is_in_net(Net::init_net()));
        assert!(socket.net().is_some());
        assert!(socket.ino() != 0);
        assert!(socket.cookie() != 0);
        assert_eq!(socket.cookie(), socket.cookie());
        assert_eq!(socket.bound_dev_if(), 0);
        assert_eq!(socket.rcvtimeo(), Timeout::INFINITE);
        assert_eq!(socket.lingertime(), Timeout::from_jiffies(0));
        assert_eq!(socket.peek_off(), -1);
        assert_eq!(socket.stamp(), -1_000_000_000);
        assert_eq!(socket.err(), 0);
        assert_eq!(socket.drops(), 0);
        assert!(!socket.has_write_queue());
        assert!(!socket.has_user_data());
        assert!(!socket.has_xfrm_policy());

        let udp = socket.udp().ok_or(EINVAL)?;
        assert!(udp.is_plain());
        assert_eq!(udp.encap_rcv(), EncapHandler::None);
        assert_eq!(udp.gro_receive(), EncapHandler::None);
        assert!(!udp.has_foreign_encap());
        assert_eq!(udp.queue_len(), 0);
        assert!(udp.inet_flag(InetFlag::MC_LOOP));
        assert_eq!(udp.ttl(), -1);
        assert_eq!(udp.num(), 0);
        assert_eq!(udp.dport(), 0);
        Ok(())
    }

    #[test]
    fn test_wrong_families_and_types() {
        let net = Net::init_net();
        let packet = bindings::sock_type_SOCK_PACKET as i32;

        assert!(Socket::create(net, AF_INET, packet, 0).is_err());
        assert!(Socket::create(net, -1, DGRAM, UDP).is_err());
        assert!(Socket::create(net, AF_INET, i32::MAX, UDP).is_err());
        assert!(Socket::create(net, AF_INET, STREAM, UDP).is_err());
    }

    #[test]
    fn test_other_protocol_is_not_udp() -> Result {
        let mut socket = Socket::create(Net::init_net(), AF_INET, STREAM, 0)?;

        assert!(socket.inet().is_some());
        assert!(socket.udp().is_none());
        assert!(socket.is_tcp());
        assert_eq!(socket.reject_all(), Err(EOPNOTSUPP));
        assert!(!udp_socket()?.is_tcp());
        Ok(())
    }

    #[test]
    fn test_options() -> Result {
        let mut socket = udp_socket()?;

        socket.setsockopt_int(SOL_SOCKET, bindings::SO_BROADCAST as i32, 1)?;
        socket.setsockopt_int(SOL_SOCKET, bindings::SO_PRIORITY as i32, 3)?;
        socket.setsockopt_int(SOL_SOCKET, bindings::SO_RCVBUF as i32, 5000)?;
        socket.setsockopt_int(SOL_IP, bindings::IP_TTL as i32, 9)?;
        socket.setsockopt_int(SOL_UDP, bindings::UDP_SEGMENT as i32, 1200)?;
        assert!(socket.flag(SockFlag::BROADCAST));
        assert!(!socket.flag(SockFlag::KEEPOPEN));
        assert_eq!(socket.priority(), 3);
        assert_eq!(socket.rcvbuf(), 10000);
        assert_eq!(socket.userlocks(), bindings::SOCK_RCVBUF_LOCK as u8);

        // Too short.
        assert_eq!(
            socket.setsockopt(SOL_SOCKET, bindings::SO_PRIORITY as i32, &[1]),
            Err(EINVAL)
        );

        // A second, and as long as it takes.
        let second = [1i64, 0].map(i64::to_ne_bytes);
        let name = bindings::SO_RCVTIMEO_NEW as i32;
        socket.setsockopt(SOL_SOCKET, name, second.as_flattened())?;
        assert_eq!(socket.rcvtimeo().as_nanos(), 1_000_000_000);
        socket.setsockopt(SOL_SOCKET, name, &[0; 16])?;
        assert_eq!(socket.rcvtimeo(), Timeout::INFINITE);

        let locked = socket.lock();
        assert_eq!(
            locked.security_getsockopt(SOL_SOCKET, bindings::SO_PRIORITY as i32),
            Ok(())
        );
        Ok(())
    }

    #[test]
    fn test_bind() -> Result {
        let socket = udp_socket()?;
        let inet = socket.inet().ok_or(EINVAL)?;

        socket.bind(&ANYWHERE)?;
        let port = inet.num();
        assert!(port != 0);
        assert_eq!(inet.sport(), port);
        assert_eq!(inet.rcv_saddr(), Ipv4Addr::UNSPECIFIED);
        assert_eq!(inet.dport(), 0);
        assert_eq!(socket.state(), TCP_CLOSE);

        // Twice is too often, the port is taken, and the family is another one.
        let taken = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into();
        assert_eq!(socket.bind(&ANYWHERE), Err(EINVAL));
        assert_eq!(udp_socket()?.bind(&taken), Err(EADDRINUSE));
        assert!(udp_socket()?
            .bind(&SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1)))
            .is_err());
        Ok(())
    }

    #[cfg(CONFIG_NET_NS)]
    #[test]
    fn test_connect() -> Result {
        let net = new_net()?;
        let anything = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into();

        let peer = Socket::create(&net, AF_INET, DGRAM, UDP)?;
        peer.bind(&anything)?;
        let peer_address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, peer.inet().ok_or(EINVAL)?.num());
        assert!(peer.is_in_net(&net));
        assert!(!peer.is_in_net(Net::init_net()));

        // The route decides on the address, and the kernel on the port.
        let socket = Socket::create(&net, AF_INET, DGRAM, UDP)?;
        let inet = socket.inet().ok_or(EINVAL)?;
        socket.connect(&peer_address.into())?;
        assert_eq!(socket.state(), bindings::TCP_ESTABLISHED as u8);
        assert_eq!(SocketAddrV4::new(inet.daddr(), inet.dport()), peer_address);
        assert_eq!(inet.rcv_saddr(), Ipv4Addr::LOCALHOST);
        assert_eq!(inet.saddr(), Ipv4Addr::LOCALHOST);
        assert!(inet.num() != 0);
        assert_eq!(socket.userlocks() & bindings::SOCK_BINDPORT_LOCK as u8, 0);

        socket.disconnect()?;
        assert_eq!(socket.state(), TCP_CLOSE);
        assert_eq!(inet.dport(), 0);
        assert_eq!(inet.num(), 0);
        Ok(())
    }

    #[test]
    fn test_ip_options() -> Result {
        let socket = udp_socket()?;
        let inet = socket.inet().ok_or(EINVAL)?;
        // Two of no operation, and an end.
        let options = IpOptions::from_bytes(&[1, 1, 0]).ok_or(EINVAL)?;

        let name = bindings::IP_OPTIONS as i32;
        socket.setsockopt(SOL_IP, name, options.as_bytes())?;
        // The header has them in words of four bytes.
        assert_eq!(inet.ip_options()?.as_bytes(), [1, 1, 0, 0]);

        assert!(IpOptions::from_bytes(&[0; IpOptions::MAX]).is_some());
        assert!(IpOptions::from_bytes(&[0; IpOptions::MAX + 1]).is_none());
        Ok(())
    }

    #[cfg(CONFIG_NET_NS)]
    #[test]
    fn test_cork() -> Result {
        let net = new_net()?;
        let mut socket = Socket::create(&net, AF_INET, DGRAM, UDP)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
        let to = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 7);
        assert!(socket.lock().cork()?.is_none());

        let mut control = ControlData::new();
        let options = [1, 1, 1, 0];
        control.push(SOL_IP, bindings::IP_TTL as i32, &9_i32.to_ne_bytes())?;
        control.push(SOL_IP, bindings::IP_RETOPTS as i32, &options)?;
        let sent = socket.sendmsg(Some(&to.into()), control, b"one", bindings::MSG_MORE)?;
        assert_eq!(sent, 3);
        // What is added goes where the first part goes.
        let none = ControlData::new();
        assert_eq!(
            socket.sendmsg(None, none, b"two", bindings::MSG_MORE),
            Ok(3)
        );

        let locked = socket.lock();
        let cork = locked.cork()?.ok_or(EINVAL)?;
        assert_eq!(cork.len, 6);
        assert_eq!(cork.dest, to);
        assert_eq!(cork.source, Ipv4Addr::LOCALHOST);
        assert_eq!((cork.ttl, cork.tos), (9, 0));
        assert_eq!(cork.options.as_bytes(), options);
        assert!(!cork.gateway && !cork.xfrm && !cork.zerocopy && !cork.confirm);
        let mut payload = KVVec::new();
        payload.push(b'>', GFP_KERNEL)?;
        locked.append_cork_to(&mut payload, GFP_KERNEL)?;
        assert_eq!(&payload[..], b">onetwo");
        drop(locked);

        // It goes out.
        assert_eq!(socket.sendmsg(None, ControlData::new(), b"", 0), Ok(0));
        assert!(socket.lock().cork()?.is_none());
        Ok(())
    }

    #[test]
    fn test_possible_errors() {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let plain = |origin, errno| ErrorInfo {
            origin,
            errno,
            type_: 0,
            code: 0,
            info: 0,
            data: 0,
            rfc4884_len: 0,
            rfc4884_flags: 0,
            dest: nowhere,
        };
        let none = DatagramInfo::NOTHING;
        let with_payload = DatagramInfo { len: 1, ..none };
        let stamped = DatagramInfo { tstamp: 1, ..none };
        let too_long = DatagramInfo {
            len: NewError::MAX_LEN + 1,
            ..none
        };
        let local = plain(ErrorOrigin::Local, bindings::EMSGSIZE);
        let icmp = plain(ErrorOrigin::Icmp, bindings::ECONNREFUSED);
        let stamp = plain(ErrorOrigin::Timestamping, bindings::ENOMSG);
        let zerocopy = plain(ErrorOrigin::Zerocopy, 0);
        let elsewhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);

        for (error, datagram, possible) in [
            (local, none, true),
            (local, with_payload, false),
            (local, stamped, false),
            (ErrorInfo { type_: 1, ..local }, none, false),
            (ErrorInfo { data: 1, ..local }, none, false),
            (icmp, none, true),
            (icmp, with_payload, true),
            (icmp, stamped, true),
            (icmp, too_long, false),
            (
                ErrorInfo {
                    type_: 255,
                    code: 255,
                    info: 9,
                    ..icmp
                },
                none,
                true,
            ),
            (ErrorInfo { data: 1, ..icmp }, none, false),
            (
                ErrorInfo {
                    errno: ErrorInfo::MAX_ERRNO,
                    ..icmp
                },
                none,
                true,
            ),
            (
                ErrorInfo {
                    errno: ErrorInfo::MAX_ERRNO + 1,
                    ..icmp
                },
                none,
                false,
            ),
            (stamp, stamped, true),
            (ErrorInfo { data: 7, ..stamp }, with_payload, true),
            (ErrorInfo { errno: 1, ..stamp }, stamped, false),
            (
                ErrorInfo {
                    dest: elsewhere,
                    ..stamp
                },
                stamped,
                false,
            ),
            (
                ErrorInfo {
                    rfc4884_len: 1,
                    ..stamp
                },
                stamped,
                false,
            ),
            (zerocopy, none, true),
            (
                ErrorInfo {
                    code: 1,
                    info: 1,
                    data: 2,
                    ..zerocopy
                },
                none,
                true,
            ),
            (
                ErrorInfo {
                    code: 2,
                    ..zerocopy
                },
                none,
                false,
            ),
            (
                ErrorInfo {
                    errno: 1,
                    ..zerocopy
                },
                none,
                false,
            ),
            (zerocopy, with_payload, false),
        ] {
            assert_eq!(error.is_possible(&datagram), possible);
        }
    }

    #[cfg(CONFIG_NET_NS)]
    #[test]
    fn test_errors() -> Result {
        let net = new_net()?;
        let mut socket = Socket::create(&net, AF_INET, DGRAM, UDP)?;
        socket.setsockopt_int(SOL_IP, bindings::IP_RECVERR as i32, 1)?;
        assert!(socket.lock().errors()?.is_empty());

        // With options, it is longer than a packet can be.
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7);
        let payload = KVec::from_elem(0, 65_507, GFP_KERNEL)?;
        let mut control = ControlData::new();
        control.push(SOL_IP, bindings::IP_RETOPTS as i32, &[1; 4])?;
        let sent = socket.sendmsg(Some(&to.into()), control, &payload, 0);
        assert_eq!(sent, Err(EMSGSIZE));

        let locked = socket.lock();
        let errors = locked.errors()?;
        assert_eq!(errors.len(), 1);
        assert!(!errors.awaits_zerocopy());
        let Some(Ok((datagram, error))) = errors.first().map(QueuedError::info) else {
            return Err(EINVAL);
        };
        assert!(error.origin == ErrorOrigin::Local);
        assert_eq!(error.errno, bindings::EMSGSIZE);
        assert_eq!(error.dest.ip(), to.ip());
        assert!(error.is_possible(&datagram));
        Ok(())
    }

    #[test]
    fn test_new_datagram_is_whole() -> Result {
        let info = DatagramInfo {
            len: 3,
            ..DatagramInfo::NOTHING
        };
        let mut datagram = NewDatagram::new(Net::init_net(), &info, GFP_KERNEL)?;

        datagram.fill(b"ab")?;
        assert_eq!(datagram.fill(b"cd"), Err(EMSGSIZE));
        assert!(!datagram.is_complete());
        // Nobody gets what was there before.
        assert_eq!(datagram.into_raw().err(), Some(EINVAL));

        let mut datagram = NewDatagram::new(Net::init_net(), &info, GFP_KERNEL)?;
        datagram.fill(b"abc")?;
        assert!(datagram.is_complete());
        Ok(())
    }

    #[test]
    fn test_sendmsg_keeps_nothing() -> Result {
        let socket = udp_socket()?;

        for flags in [
            bindings::MSG_ZEROCOPY,
            bindings::MSG_SPLICE_PAGES,
            bindings::MSG_OOB,
        ] {
            let none = ControlData::new();
            assert_eq!(socket.sendmsg(None, none, b"x", flags), Err(EINVAL));
        }
        let none = ControlData::new();
        assert_eq!(socket.sendmsg(None, none, b"x", 0), Err(EDESTADDRREQ));
        Ok(())
    }

    #[cfg(CONFIG_NET_NS)]
    #[test]
    fn test_memberships() -> Result {
        let net = new_net()?;
        let mut socket = Socket::create(&net, AF_INET, DGRAM, UDP)?;
        let groups = [Ipv4Addr::new(224, 9, 8, 7), Ipv4Addr::new(239, 1, 1, 1)];
        let loopback = Ipv4Addr::LOCALHOST;
        let index = 1u32;

        for group in groups {
            // `struct ip_mreqn`
            let mreqn = [group.octets(), loopback.octets(), index.to_ne_bytes()];
            let name = bindings::IP_ADD_MEMBERSHIP as i32;
            socket.setsockopt(SOL_IP, name, mreqn.as_flattened())?;
        }
        let sources = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
        socket.set_source_filter(groups[0], index, false, &sources)?;
        let many = [loopback; 100];
        assert_eq!(
            socket.set_source_filter(groups[0], index, false, &many),
            Err(ENOBUFS)
        );
        let other = Ipv4Addr::new(239, 9, 9, 9);
        assert_eq!(
            socket.set_source_filter(other, index, true, &sources),
            Err(EINVAL)
        );

        // Nobody is heard, which is not the same as not to be a member.
        socket.set_source_filter(groups[1], index, false, &[])?;
        assert!(socket
            .lock()
            .memberships()
            .any(|it| it.group() == groups[1] && !it.is_exclude() && it.sources().len() == 0));
        socket.set_source_filter(groups[1], index, true, &[])?;

        let locked = socket.lock();
        let mut memberships = locked.memberships();
        // The last one comes first.
        let second = memberships.next().ok_or(EINVAL)?;
        let first = memberships.next().ok_or(EINVAL)?;
        assert!(memberships.next().is_none());
        assert_eq!(second.group(), groups[1]);
        assert!(second.is_exclude());
        assert_eq!(second.sources().len(), 0);
        assert_eq!(first.group(), groups[0]);
        assert_eq!(first.address(), loopback);
        assert_eq!(first.ifindex(), index);
        assert!(!first.is_exclude());
        assert!(first.sources().eq(sources));
        Ok(())
    }

    #[test]
    fn test_open_socket() -> Result {
        let file = SocketFile::from_file(udp_socket()?.into_file(0)?)?;

        file.security_setsockopt(SOL_SOCKET, bindings::SO_PRIORITY as i32)?;
        file.setsockopt(
            SOL_SOCKET,
            bindings::SO_PRIORITY as i32,
            &3i32.to_ne_bytes(),
        )?;
        assert_eq!(file.priority(), 3);
        assert_eq!(
            file.setsockopt(SOL_SOCKET, bindings::SO_PRIORITY as i32, &[1]),
            Err(EINVAL)
        );
        assert_eq!(
            file.set_source_filter(Ipv4Addr::new(224, 9, 8, 7), 1, true, &[]),
            Err(EINVAL)
        );

        file.security_fcntl(bindings::F_SETFL)?;
        for on in [true, true, false, false] {
            let expected = match on {
                true => flags::O_NONBLOCK | flags::O_ASYNC,
                false => 0,
            };
            file.set_nonblock(on);
            file.set_async(3, on)?;
            assert_eq!(
                file.file_flags() & (flags::O_NONBLOCK | flags::O_ASYNC),
                expected
            );
        }

        let mut locked = file.try_lock()?;
        locked.attach_filter(&[FilterInsn::ret(1)])?;
        locked.attach_filter(&[FilterInsn::ret(2)])?;
        let same = locked
            .filter()?
            .is_some_and(|back| back.as_bytes() == [FilterInsn::ret(2)].as_bytes());
        assert!(same);
        // It does not share its port.
        assert_eq!(
            locked.attach_reuseport_filter(&[FilterInsn::ret(0)]),
            Err(EINVAL)
        );
        drop(locked);

        // It is not connected, but this is done.
        assert_eq!(file.shutdown(1), Err(ENOTCONN));
        // `SEND_SHUTDOWN`
        assert_eq!(file.sock().shutdown(), 2);
        Ok(())
    }

    #[test]
    fn test_filter() -> Result {
        let mut socket = udp_socket()?;

        assert_eq!(socket.detach_filter(), Err(ENOENT));
        assert_eq!(socket.attach_filter(&[]), Err(EINVAL));
        // It does not end in a return.
        assert_eq!(
            socket.attach_filter(&[FilterInsn::new(0, 0, 0, 0)]),
            Err(EINVAL)
        );
        assert!(socket.lock().filter()?.is_none());

        socket.reject_all()?;
        assert!(socket.lock().filter()?.is_some());
        let insns = [
            // What is longer than 100 bytes gets in.
            FilterInsn::new(0x80, 0, 0, 0),
            FilterInsn::new(0x25, 1, 0, 100),
            FilterInsn::ret(0),
            FilterInsn::ret(u32::MAX),
        ];
        socket.attach_filter(&insns)?;
        // It comes back as it was given.
        let same = socket
            .lock()
            .filter()?
            .is_some_and(|back| back.as_bytes() == insns.as_bytes());
        assert!(same);
        for insn in insns {
            let (bytes, _) = insn.as_bytes().split_first_chunk().ok_or(EINVAL)?;
            let again = FilterInsn::from_ne_bytes(*bytes);
            assert_eq!(again.as_bytes(), bytes);
        }
        socket.detach_filter()?;
        assert!(socket.lock().filter()?.is_none());

        socket.reject_all()?;
        socket.setsockopt_int(SOL_SOCKET, bindings::SO_LOCK_FILTER as i32, 1)?;
        assert!(socket.flag(SockFlag::FILTER_LOCKED));
        assert_eq!(socket.reject_all(), Err(EPERM));
        assert_eq!(socket.detach_filter(), Err(EPERM));
        Ok(())
    }

    #[test]
    fn test_file() -> Result {
        let file = udp_socket()?.into_file(flags::O_NONBLOCK | flags::O_CLOEXEC)?;
        let socket = SocketFile::from_file(file)?;

        assert_eq!(
            socket.file_flags() & (flags::O_NONBLOCK | flags::O_CLOEXEC | flags::O_ACCMODE),
            flags::O_NONBLOCK | flags::O_RDWR
        );
        let current = current!();
        assert_eq!(socket.owner(current.active_pid_ns().ok_or(ESRCH)?), None);
        assert!(socket.udp().is_some());

        let blocking = SocketFile::from_file(udp_socket()?.into_file(0)?)?;
        assert_eq!(blocking.file_flags() & flags::O_NONBLOCK, 0);
        assert!(*blocking != *socket);
        Ok(())
    }

    #[test]
    fn test_owner() -> Result {
        let socket = SocketFile::from_file(udp_socket()?.into_file(0)?)?;
        let new = |type_, id, signum| NewOwner::find(type_, id, signum);
        let current = current!();
        let namespace = current.active_pid_ns().ok_or(ESRCH)?;

        socket.set_owner(&new(OwnerType::Process, 1, 10)?)?;
        assert_eq!(
            socket.owner(namespace),
            Some(Owner {
                type_: OwnerType::Process,
                id: OwnerId::Number(1),
                signum: 10,
            })
        );
        socket.set_owner(&new(OwnerType::Thread, 0, 0)?)?;
        assert_eq!(
            socket.owner(namespace),
            Some(Owner {
                type_: OwnerType::Thread,
                id: OwnerId::None,
                signum: 0,
            })
        );

        assert_eq!(new(OwnerType::Process, u32::MAX, 0).err(), Some(ESRCH));
        assert_eq!(new(OwnerType::Process, 1, u32::MAX).err(), Some(EINVAL));
        Ok(())
    }

    #[test]
    fn test_lock_is_exclusive() -> Result {
        let socket = SocketFile::from_file(udp_socket()?.into_file(0)?)?;
        let locked = socket.try_lock()?;

        assert_eq!(socket.try_lock().err(), Some(EBUSY));
        assert!(!locked.is_dead());
        drop(locked);

        assert!(socket.try_lock().is_ok());
        assert!(socket.try_lock().is_ok());
        Ok(())
    }

    #[test]
    fn test_sock_outlives_file() -> Result {
        let socket = udp_socket()?;
        let sock: ARef<Sock> = socket.sock().into();
        let cookie = sock.cookie();
        assert!(sock.ino() != 0);

        drop(socket);
        assert!(sock.is_dead());
        assert_eq!(sock.ino(), 0);
        assert_eq!(sock.cookie(), cookie);
        Ok(())
    }

    #[test]
    fn test_find_by_inode() -> Result {
        let net = Net::init_net();
        let socket = udp_socket()?;
        let ino = socket.ino();

        // Not in the hash table, and not in a file table.
        assert_eq!(SocketFile::find_ino(net, ino).err(), Some(ENOENT));
        // In the hash table, but not an open file.
        socket.bind(&ANYWHERE)?;
        assert_eq!(SocketFile::find_ino(net, ino).err(), Some(ENOENT));

        let socket = SocketFile::from_file(socket.into_file(0)?)?;
        let found = SocketFile::find_ino(net, ino)?;
        assert!(*found == *socket);
        assert_eq!(found.as_ptr(), socket.as_ptr());

        // The namespace is another one.
        #[cfg(CONFIG_NET_NS)]
        {
            let other = new_net()?;
            assert_eq!(SocketFile::find_ino(&other, ino).err(), Some(ENOENT));
        }

        assert_eq!(SocketFile::find_ino(net, 0).err(), Some(ENOENT));
        assert_eq!(SocketFile::find_ino(net, u64::MAX).err(), Some(ENOENT));
        Ok(())
    }

    /// Where the tests of walks have sockets.
    #[cfg(CONFIG_NET_NS)]
    const PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 7007));

    /// Binds a socket which shares its port.
    #[cfg(CONFIG_NET_NS)]
    fn bound(net: &Net, address: &SocketAddr) -> Result<Socket> {
        let socket = Socket::create(net, AF_INET, DGRAM, UDP)?;

        socket.setsockopt_int(SOL_SOCKET, bindings::SO_REUSEADDR as i32, 1)?;
        socket.bind(address)?;
        Ok(socket)
    }

    /// The cookies of the sockets that a walk meets from a place on, which stops after each and
    /// goes on from there.
    #[cfg(CONFIG_NET_NS)]
    fn met(net: &Net, filter: BoundFilter<'_>, mut place: BoundPlace) -> Result<KVec<u64>> {
        let mut cookies = KVec::new();
        let mut whole = BoundSockets::walk(net, filter, place);

        while let Some((sock, behind)) = BoundSockets::walk(net, filter, place).next_sock()? {
            // One that does not stop meets the same.
            assert!(whole.next_sock()?.is_some_and(|(other, _)| *other == *sock));
            cookies.push(sock.cookie(), GFP_KERNEL)?;
            place = behind;
        }

        assert!(whole.next_sock()?.is_none());
        Ok(cookies)
    }

    /// The cookies of some sockets, in ascending order.
    #[cfg(CONFIG_NET_NS)]
    fn cookies_of(sockets: &[Socket]) -> Result<KVec<u64>> {
        let mut cookies = KVec::new();

        for socket in sockets {
            cookies.push(socket.cookie(), GFP_KERNEL)?;
        }
        cookies.sort_unstable();
        Ok(cookies)
    }

    #[test]
    #[cfg(CONFIG_NET_NS)]
    fn test_walk_meets_each_bound_socket_once() -> Result {
        let net = new_net()?;
        let mut sockets = KVec::new();
        let _unbound = Socket::create(&net, AF_INET, DGRAM, UDP)?;
        assert!(met(&net, BoundFilter::default(), BoundPlace::start())?.is_empty());

        // More than are taken at once.
        for _ in 0..40 {
            sockets.push(bound(&net, &PORT)?, GFP_KERNEL)?;
        }
        // They are in the order of the cookies, and the new ones are in front of the chain.
        let all = BoundFilter::default();
        let on_port = BoundFilter {
            port: PORT.port(),
            ..all
        };
        assert_eq!(met(&net, all, BoundPlace::start())?, cookies_of(&sockets)?);
        assert_eq!(
            met(&net, on_port, BoundPlace::start())?,
            cookies_of(&sockets)?
        );
        let mut some = [3, 7, 39].map(|index: usize| sockets.get(index).map_or(0, |it| it.ino()));
        some.sort_unstable();
        let by_ino = BoundFilter { inos: &some, ..all };
        assert_eq!(met(&net, by_ino, BoundPlace::start())?.len(), some.len());
        let ipv6 = BoundFilter {
            family: consts::AF_INET6,
            ..all
        };
        assert!(met(&net, ipv6, BoundPlace::start())?.is_empty());

        for _ in 0..20 {
            sockets.push(bound(&net, &ANYWHERE)?, GFP_KERNEL)?;
        }
        let mut found = met(&net, all, BoundPlace::start())?;
        found.sort_unstable();
        assert_eq!(found, cookies_of(&sockets)?);

        // Another namespace uses the same table, perhaps.
        assert!(met(&*new_net()?, all, BoundPlace::start())?.is_empty());
        Ok(())
    }

    #[test]
    #[cfg(CONFIG_NET_NS)]
    fn test_walk_goes_on_when_its_place_is_gone() -> Result {
        let net = new_net()?;
        let mut sockets = KVec::new();
        for _ in 0..40 {
            sockets.push(bound(&net, &PORT)?, GFP_KERNEL)?;
        }
        let cookies = cookies_of(&sockets)?;

        let all = BoundFilter::default();
        let mut walk = BoundSockets::walk(&net, all, BoundPlace::start());
        let (mut last, mut place) = walk.next_sock()?.ok_or(ENOENT)?;
        for _ in 1..20 {
            (last, place) = walk.next_sock()?.ok_or(ENOENT)?;
        }
        drop(walk);
        assert_eq!(Some(&last.cookie()), cookies.get(19));

        // The one that it has stopped at, and those around it, are closed, and others come.
        let mut left = KVec::new();
        for socket in sockets {
            if socket.cookie().abs_diff(last.cookie()) > 3 {
                left.push(socket, GFP_KERNEL)?;
            }
        }
        assert!(last.is_dead());
        let _new = bound(&net, &PORT)?;

        let rest = met(&net, all, place)?;
        for socket in &left {
            let times = rest.iter().filter(|cookie| **cookie == socket.cookie());
            let is_behind = socket.cookie() > last.cookie();
            assert_eq!(times.count(), is_behind.into());
        }
        Ok(())
    }

    #[test]
    fn test_descriptors_that_are_not_open() {
        assert_eq!(ProcessSockets::from_pidfd(u32::MAX).err(), Some(EBADF));
        assert_eq!(SocketFile::from_fd(u32::MAX).err(), Some(EBADF));
        assert!(!is_pidfd(u32::MAX));
        assert_eq!(SocketFile::from_pidfd(u32::MAX, 0).err(), Some(EBADF));
        assert_eq!(SocketFile::from_pidfd(0, u32::MAX).err(), Some(EBADF));
    }

    #[test]
    fn test_timeout_round_trip() {
        for number in 0..2002 {
            // The small ones, and some that are seconds and more.
            let jiffies = if number < 1002 { number } else { number << 20 };
            let timeout = Timeout::from_jiffies(jiffies);
            assert_eq!(Timeout::from_nanos(timeout.as_nanos()), Some(timeout));
        }

        assert_eq!(Timeout::from_nanos(0), Some(Timeout::from_jiffies(0)));
        assert_eq!(Timeout::from_nanos(1), Some(Timeout::from_jiffies(1)));
        assert_eq!(Timeout::from_nanos(-1), Some(Timeout::INFINITE));
        assert_eq!(Timeout::from_nanos(-2), None);
        assert_eq!(Timeout::from_nanos(i64::MIN), None);
        assert_eq!(Timeout::INFINITE.as_nanos(), -1);
        assert_eq!(Timeout::from_jiffies(-1).as_nanos(), 0);
    }
}
