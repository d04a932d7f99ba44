// SPDX-License-Identifier: GPL-2.0
//! Every state goes through messages and through JSON unchanged; what is not known is refused.

use std::net::IpAddr;

use inetcr::{
    BindLocks, DecodeError, DeviceName, FileFlags, Image, Linger, RawAttr, SockState, State, Time,
    Timestamp,
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

fn device() -> impl Strategy<Value = DeviceName> {
    proptest::collection::vec(1u8.., 0..=15)
        .prop_filter_map("a name", |bytes| DeviceName::from_bytes(&bytes))
}

fn linger() -> impl Strategy<Value = Linger> {
    (option::of(any::<bool>()), option::of(time())).prop_map(|(onoff, time)| Linger { onoff, time })
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
        base in switches(),
        numbers in proptest::collection::vec(option::of(any::<u32>()), 10),
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
            inode: wide[0],
            cookie: wide[1],
            ..base
        }
    }
}

prop_compose! {
    fn state()(
        base in numbers(),
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

proptest! {
    #[test]
    fn a_state_goes_through_a_message_unchanged(state in state()) {
        let bytes = RawAttr::encode_all(&state.to_attrs());
        let attrs = RawAttr::decode_all(&bytes).unwrap();
        prop_assert_eq!(State::from_attrs(&attrs).unwrap(), state);
    }

    #[test]
    fn a_state_goes_through_json_unchanged(state in state()) {
        let image = Image::new(vec![state]);
        let text = image.to_json().unwrap();
        prop_assert_eq!(Image::from_json(&text).unwrap(), image);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(attrs) = RawAttr::decode_all(&bytes)
            && let Ok(state) = State::from_attrs(&attrs)
        {
            // What was understood has lost nothing but padding and the width of integers.
            prop_assert_eq!(State::from_attrs(&state.to_attrs()).unwrap(), state);
        }
    }

    #[test]
    fn any_text_is_an_image_or_refused(text in "\\PC{0,64}") {
        prop_assert!(Image::from_json(&text).is_err());
    }

    #[test]
    fn any_name_of_a_device_survives_as_text(device in device()) {
        prop_assert_eq!(device.to_string().parse(), Ok(device));
    }
}

/// Where a decoding error is and what it says.
fn refusal(attr: RawAttr) -> String {
    State::from_attrs(&[attr]).unwrap_err().to_string()
}

#[test]
fn what_is_not_known_is_refused_by_number_and_name() {
    let text = "attribute 4000 is not carried by this version";
    assert_eq!(refusal(RawAttr::u32(4000, 1)), text);
    let text = "attribute 37 (sockopt-mark) is not carried by this version";
    assert_eq!(refusal(RawAttr::u32(37, 1)), text);
    let text = "attribute 2 (sock-state) is 3, which this version does not know";
    assert_eq!(refusal(RawAttr::u32(2, 3)), text);
    let text = "attribute 32 (bind-locks) has the bits 0x10, which this version does not know";
    assert_eq!(refusal(RawAttr::u32(32, 0x11)), text);
    let nest = RawAttr::nested(10, &[RawAttr::u32(3, 1)]);
    let text = "attribute 10 (sockopt-linger) holds something wrong: \
                attribute 3 is not carried by this version";
    assert_eq!(refusal(nest), text);
}

#[test]
fn what_is_malformed_is_refused() {
    let text = "attribute 6 (sockopt-broadcast) is 2, which is neither 0 nor 1";
    assert_eq!(refusal(RawAttr::u32(6, 2)), text);
    let text = "attribute 6 (sockopt-broadcast) has 2 bytes instead of 4";
    assert_eq!(refusal(RawAttr::new(6, [1, 0])), text);
    let text = "attribute 15 (sockopt-rcvtimeo) is -2, which is no time";
    assert_eq!(refusal(RawAttr::sint(15, -2)), text);
    let twice = [RawAttr::u32(6, 1), RawAttr::u32(6, 1)];
    let error = State::from_attrs(&twice).unwrap_err();
    assert!(matches!(error, DecodeError::Attribute { number: 6, .. }));
    assert!(error.to_string().ends_with("comes twice"));
}

#[test]
fn integers_may_have_four_or_eight_bytes() {
    let state = State::from_attrs(&[
        RawAttr::new(1, 5u64.to_ne_bytes()),
        RawAttr::new(15, (-1i64).to_ne_bytes()),
        RawAttr::new(16, (-1i32).to_ne_bytes()),
    ]);
    let state = state.unwrap();
    assert_eq!(state.inode, Some(5));
    assert_eq!(state.sockopt_rcvtimeo, Some(Time::INFINITE));
    assert_eq!(state.sockopt_sndtimeo, Some(Time::INFINITE));
}

/// The JSON is that of the kernel's own YNL client: names of the specification, booleans as
/// numbers, flags as lists, addresses as text.
#[test]
fn golden_json() {
    let state = State {
        sock_state: Some(SockState::Close),
        sockopt_bindtodevice: "eth0".parse().ok(),
        sockopt_broadcast: Some(true),
        sockopt_linger: Some(Linger {
            onoff: Some(false),
            time: Some(Time::INFINITE),
        }),
        local_addr: Some([127, 0, 0, 1].into()),
        bind_locks: Some(BindLocks::all()),
        file_flags: Some(FileFlags::empty()),
        sockopt_timestamp: Some(Timestamp::NsNew),
        ..State::default()
    };
    let golden = concat!(
        r#"{"sock-state":"close","sockopt-bindtodevice":"eth0","sockopt-broadcast":1,"#,
        r#""sockopt-linger":{"onoff":0,"time":-1},"sockopt-timestamp":"ns-new","#,
        r#""local-addr":"127.0.0.1","bind-locks":["addr","port"],"file-flags":[]}"#,
    );
    assert_eq!(serde_json::to_string(&state).unwrap(), golden);
    let edited = golden.replace("\"sockopt-broadcast\":1", "\"sockopt-broadcast\":true");
    assert_eq!(serde_json::from_str::<State>(&edited).unwrap(), state);
}
