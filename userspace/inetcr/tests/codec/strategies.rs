// SPDX-License-Identifier: GPL-2.0
//! Any values of all types.

use std::net::IpAddr;

use inetcr::{
    BindLocks, Cork, CorkHeader, Datagram, DatagramHeader, DeviceName, ErrorOrigin, FileFlags, Ip,
    IpFlags, Linger, Membership, Shutdown, Snapshot, SockState, SockoptFlags, State, Time,
    Timestamp, Timestamping, Txtime, Udp, UdpFlags,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        Just(Time::INFINITE),
        Just(Time::ZERO),
        (0..=i64::MAX.unsigned_abs()).prop_filter_map("63 bits", Time::from_nanos),
    ]
}

/// Any name of a device.
pub fn device() -> impl Strategy<Value = DeviceName> {
    proptest::collection::vec(1u8.., 0..=15)
        .prop_filter_map("a name", |bytes| DeviceName::from_bytes(&bytes))
}

fn linger() -> impl Strategy<Value = Linger> {
    (option::of(any::<bool>()), option::of(time())).prop_map(|(onoff, time)| Linger { onoff, time })
}

fn flags<F: bitflags::Flags<Bits = u32> + std::fmt::Debug>() -> BoxedStrategy<Option<F>> {
    option::of((0..=F::all().bits()).prop_map(F::from_bits_truncate)).boxed()
}

prop_compose! {
    fn timestamping()(
        flags in option::of(any::<u32>()),
        bind_phc in option::of(any::<i32>()),
        new in option::of(any::<bool>()),
    ) -> Timestamping {
        Timestamping { flags, bind_phc, new }
    }
}

prop_compose! {
    fn txtime()(
        clockid in option::of(any::<i32>()),
        flags in option::of(any::<u32>()),
    ) -> Txtime {
        Txtime { clockid, flags }
    }
}

prop_compose! {
    fn ip()(
        (flags, flags_mask) in (flags::<IpFlags>(), flags::<IpFlags>()),
        ttl in option::of(any::<i32>()),
        numbers in proptest::array::uniform5(option::of(any::<u32>())),
        options in option::of(proptest::collection::vec(any::<u8>(), 0..=40)),
        devices in proptest::array::uniform2(option::of(device())),
        multicast_addr in option::of(any::<IpAddr>()),
    ) -> Ip {
        Ip {
            flags,
            flags_mask,
            tos: numbers[0],
            ttl,
            min_ttl: numbers[1],
            options,
            mtu_discover: numbers[2],
            multicast_ttl: numbers[3],
            multicast_ifname: devices[0],
            multicast_addr,
            unicast_ifname: devices[1],
            local_port_range: numbers[4],
        }
    }
}

prop_compose! {
    fn udp()(
        (flags, flags_mask) in (flags::<UdpFlags>(), flags::<UdpFlags>()),
        (encap, segment) in (option::of(any::<u32>()), option::of(any::<u32>())),
    ) -> Udp {
        Udp { flags, flags_mask, encap, segment }
    }
}

prop_compose! {
    fn membership()(
        (group, address) in (option::of(any::<IpAddr>()), option::of(any::<IpAddr>())),
        ifname in option::of(device()),
        exclude in option::of(any::<bool>()),
        source in proptest::collection::vec(any::<IpAddr>(), 0..4),
    ) -> Membership {
        Membership { group, ifname, address, exclude, source }
    }
}

prop_compose! {
    fn switches()(on in proptest::array::uniform8(option::of(any::<bool>()))) -> State {
        let [broadcast, debug, dontroute, keepalive, oobinline, sndbuf, rcvbuf, _] = on;
        State {
            sockopt_broadcast: broadcast,
            sockopt_debug: debug,
            sockopt_dontroute: dontroute,
            sockopt_keepalive: keepalive,
            sockopt_oobinline: oobinline,
            sockopt_sndbuf_ulock: sndbuf,
            sockopt_rcvbuf_ulock: rcvbuf,
            ..State::default()
        }
    }
}

prop_compose! {
    fn numbers()(
        base in switches().boxed(),
        numbers in proptest::collection::vec(option::of(any::<u32>()), 13),
        wide in proptest::array::uniform2(option::of(any::<u64>())),
    ) -> State {
        State {
            sock_type: numbers[0],
            sock_fd: numbers[1],
            sockopt_priority: numbers[2],
            sockopt_rcvlowat: numbers[3],
            sockopt_rcvbuf: numbers[4],
            sockopt_reuseaddr: numbers[5],
            sockopt_sndbuf: numbers[6],
            sock_family: numbers[7],
            sock_protocol: numbers[8],
            bound_ifindex: numbers[9],
            queue_len: numbers[10],
            error_queue_len: numbers[11],
            cork_len: numbers[12],
            inode: wide[0],
            cookie: wide[1],
            ..base
        }
    }
}

prop_compose! {
    fn options()(
        base in numbers().boxed(),
        (flags, flags_mask) in (flags::<SockoptFlags>(), flags::<SockoptFlags>()),
        shutdown in flags::<Shutdown>(),
        unsigned in proptest::array::uniform8(option::of(any::<u32>())),
        signed in proptest::array::uniform2(option::of(any::<i32>())),
        stamp in option::of(any::<i64>()),
        filter in option::of(proptest::collection::vec(any::<u8>(), 0..64)),
        rates in proptest::array::uniform2(option::of(any::<u64>())),
        (timestamping, txtime) in (option::of(timestamping()), option::of(txtime())).boxed(),
        (ip, udp) in (option::of(ip()), option::of(udp())).boxed(),
        membership in proptest::collection::vec(membership(), 0..4).boxed(),
    ) -> State {
        State {
            sockopt_flags: flags,
            sockopt_flags_mask: flags_mask,
            sockopt_mark: unsigned[0],
            sockopt_timestamping: timestamping,
            sockopt_peek_off: signed[0],
            sockopt_busy_poll: unsigned[1],
            sockopt_busy_poll_budget: unsigned[2],
            sockopt_max_pacing_rate: rates[0],
            sockopt_incoming_cpu: signed[1],
            sockopt_txtime: txtime,
            sockopt_filter: filter,
            shutdown,
            error: unsigned[3],
            soft_error: unsigned[4],
            stamp,
            tskey: unsigned[5],
            zckey: unsigned[6],
            drops: unsigned[7],
            ip,
            udp,
            membership,
            pacing_rate: rates[1],
            ..base
        }
    }
}

prop_compose! {
    /// Any state, every field there or not.
    pub fn state()(
        // In a box: all of it is too much for the stack of a test.
        base in options().boxed(),
        (sock_state, timestamp) in (
            option::of(select(SockState::ALL)),
            option::of(select(Timestamp::ALL)),
        ),
        device in option::of(device()),
        linger in option::of(linger()),
        times in proptest::array::uniform2(option::of(time())),
        addresses in proptest::array::uniform3(option::of(any::<IpAddr>())),
        ports in proptest::array::uniform2(option::of(any::<u16>())),
        bits in proptest::array::uniform2(option::of(0u32..4)),
    ) -> State {
        State {
            sock_state,
            sockopt_timestamp: timestamp,
            sockopt_bindtodevice: device,
            sockopt_linger: linger,
            sockopt_rcvtimeo: times[0],
            sockopt_sndtimeo: times[1],
            local_addr: addresses[0],
            peer_addr: addresses[1],
            source_addr: addresses[2],
            local_port: ports[0],
            peer_port: ports[1],
            bind_locks: bits[0].map(BindLocks::from_bits_retain),
            file_flags: bits[1].map(FileFlags::from_bits_retain),
            ..base
        }
    }
}

/// What makes a datagram an error.
fn error() -> impl Strategy<Value = DatagramHeader> {
    let header = (
        proptest::sample::select(ErrorOrigin::ALL),
        proptest::array::uniform8(option::of(any::<u32>())),
        option::of(any::<IpAddr>()),
        option::of(any::<u16>()),
    );
    header.prop_map(|(origin, numbers, error_addr, error_port)| DatagramHeader {
        error_origin: Some(origin),
        error_errno: numbers[0],
        error_type: numbers[1],
        error_code: numbers[2],
        error_info: numbers[3],
        error_data: numbers[4],
        error_rfc4884_len: numbers[5],
        error_rfc4884_flags: numbers[6],
        error_addr,
        error_port,
        ..DatagramHeader::default()
    })
}

prop_compose! {
    fn datagram()(
        addresses in proptest::array::uniform3(option::of(any::<IpAddr>())),
        ports in proptest::array::uniform2(option::of(any::<u16>())),
        pktinfo_ifname in option::of(device()),
        stamps in proptest::array::uniform2(option::of(any::<i64>())),
        numbers in proptest::array::uniform9(option::of(any::<u32>())),
        options in option::of(proptest::collection::vec(any::<u8>(), 0..=40)),
        peeked in option::of(any::<bool>()),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        error in option::of(error()).boxed(),
    ) -> Datagram {
        let header = DatagramHeader {
            len: u32::try_from(payload.len()).ok(),
            source_addr: addresses[0],
            source_port: ports[0],
            dest_addr: addresses[1],
            dest_port: ports[1],
            pktinfo_addr: addresses[2],
            pktinfo_ifname,
            pktinfo_ifindex: numbers[0],
            tstamp: stamps[0],
            hwtstamp: stamps[1],
            ttl: numbers[1],
            tos: numbers[2],
            options,
            frag_max_size: numbers[3],
            gso_size: numbers[4],
            mark: numbers[5],
            priority: numbers[6],
            dropcount: numbers[7],
            csum: numbers[8],
            peeked,
            ..error.unwrap_or_default()
        };
        Datagram { header, payload }
    }
}

prop_compose! {
    fn corked()(
        addresses in proptest::array::uniform2(option::of(any::<IpAddr>())),
        dest_port in option::of(any::<u16>()),
        ifname in option::of(device()),
        txtime in option::of(any::<u64>()),
        numbers in proptest::array::uniform8(option::of(any::<u32>())),
        options in option::of(proptest::collection::vec(any::<u8>(), 0..=40)),
        flags in proptest::array::uniform2(option::of(any::<bool>())),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) -> Cork {
        let header = CorkHeader {
            len: u32::try_from(payload.len()).ok(),
            dest_addr: addresses[0],
            dest_port,
            source_addr: addresses[1],
            ttl: numbers[0],
            tos: numbers[1],
            mark: numbers[2],
            priority: numbers[3],
            options,
            gso_size: numbers[4],
            txtime,
            timestamping: numbers[5],
            tskey: numbers[6],
            confirm: flags[0],
            ifname,
            gateway: flags[1],
            fragsize: numbers[7],
        };
        Cork { header, payload }
    }
}

prop_compose! {
    /// Any state with datagrams.
    pub fn snapshot()(
        state in state(),
        queue in proptest::collection::vec(datagram(), 0..4),
        corked in option::of(corked()),
    ) -> Snapshot {
        Snapshot::new(state, queue, corked)
    }
}
