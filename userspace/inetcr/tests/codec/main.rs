// SPDX-License-Identifier: GPL-2.0
//! Every state goes through messages and through JSON unchanged; what is not known is refused.

mod image;
mod strategies;

use inetcr::{
    BindLocks, DecodeError, FileFlags, Image, Ip, IpFlags, Linger, Membership, RawAttr, SockState,
    SockoptFlags, State, Time, Timestamp, Udp, UdpFlags,
};
use proptest::prelude::*;

use strategies::{device, snapshot, state};

proptest! {
    #[test]
    fn a_state_goes_through_a_message_unchanged(state in state()) {
        let bytes = RawAttr::encode_all(&state.to_attrs());
        let attrs = RawAttr::decode_all(&bytes).unwrap();
        prop_assert_eq!(State::from_attrs(&attrs).unwrap(), state);
    }

    #[test]
    fn a_snapshot_goes_through_json_unchanged(snapshot in snapshot()) {
        let image = Image::new([snapshot]);
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
    let text = "attribute 71 (filter-inode) is not carried by this version";
    assert_eq!(refusal(RawAttr::u32(71, 1)), text);
    let text = "attribute 2 (sock-state) is 3, which this version does not know";
    assert_eq!(refusal(RawAttr::u32(2, 3)), text);
    let text = "attribute 32 (bind-locks) has the bits 0x10, which this version does not know";
    assert_eq!(refusal(RawAttr::u32(32, 0x11)), text);
    let nest = RawAttr::nested(10, &[RawAttr::u32(3, 1)]);
    let text = "attribute 10 (sockopt-linger) holds something wrong: \
                attribute 3 is not carried by this version";
    assert_eq!(refusal(nest), text);
    let nest = RawAttr::nested(58, &[RawAttr::u32(1, 1 << 16)]);
    let text = "attribute 58 (ip) holds something wrong: attribute 1 (flags) has the bits \
                0x10000, which this version does not know";
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
    let nest = RawAttr::nested(59, &[RawAttr::u32(4, 1), RawAttr::u32(4, 1)]);
    let text = "attribute 59 (udp) holds something wrong: attribute 4 (segment) comes twice";
    assert_eq!(refusal(nest), text);
    let text = "attribute 39 (sockopt-peek-off) has 8 bytes instead of 4";
    assert_eq!(refusal(RawAttr::new(39, [0; 8])), text);
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

/// One attribute each, in their order, also if there are others between them.
#[test]
fn lists_keep_their_order() {
    let address = |number, last| RawAttr::new(number, [224, 1, 1, last]);
    let nest = |last| RawAttr::nested(60, &[address(5, last), address(1, last), address(5, 9)]);
    let attrs = [nest(2), RawAttr::u32(3, 2), nest(1), nest(2)];
    let state = State::from_attrs(&attrs).unwrap();
    let found: Vec<_> = state.membership.iter().map(|one| one.group).collect();
    let group = |last| Some([224, 1, 1, last].into());
    assert_eq!(found, [group(2), group(1), group(2)]);
    let sources: [std::net::IpAddr; 2] = [[224, 1, 1, 1].into(), [224, 1, 1, 9].into()];
    assert_eq!(state.membership[1].source, sources);
    let numbers: Vec<_> = state.to_attrs().iter().map(RawAttr::number).collect();
    assert_eq!(numbers, [3, 60, 60, 60]);
    // What is in each is no list.
    let nest = RawAttr::nested(60, &[address(1, 1), address(1, 1)]);
    let text = "attribute 60 (membership) holds something wrong: attribute 1 (group) comes twice";
    assert_eq!(refusal(nest), text);
}

/// The JSON is that of the kernel's own YNL client: names of the specification, booleans as
/// numbers, flags and what may come several times as lists, addresses as text, bytes as hexadecimal
/// digits.
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
        sockopt_flags: Some(SockoptFlags::NO_CHECK | SockoptFlags::RCVPRIORITY),
        sockopt_peek_off: Some(-1),
        sockopt_max_pacing_rate: Some(u64::MAX),
        ip: Some(Ip {
            flags: Some(IpFlags::RECVERR_RFC4884),
            ttl: Some(-1),
            options: Some(vec![1, 0x83]),
            multicast_ifname: "".parse().ok(),
            multicast_addr: Some([0; 4].into()),
            ..Ip::default()
        }),
        udp: Some(Udp {
            flags: Some(UdpFlags::NO_CHECK6_TX),
            ..Udp::default()
        }),
        membership: vec![
            Membership {
                group: Some([224, 1, 1, 1].into()),
                ifname: "lo".parse().ok(),
                address: Some([127, 0, 0, 1].into()),
                exclude: Some(false),
                source: vec![[10, 0, 0, 1].into()],
            },
            Membership {
                exclude: Some(true),
                ..Membership::default()
            },
        ],
        ..State::default()
    };
    let golden = concat!(
        r#"{"sock-state":"close","sockopt-bindtodevice":"eth0","sockopt-broadcast":1,"#,
        r#""sockopt-linger":{"onoff":0,"time":-1},"sockopt-timestamp":"ns-new","#,
        r#""local-addr":"127.0.0.1","bind-locks":["addr","port"],"file-flags":[],"#,
        r#""sockopt-flags":["no-check","rcvpriority"],"sockopt-peek-off":-1,"#,
        r#""sockopt-max-pacing-rate":18446744073709551615,"#,
        r#""ip":{"flags":["recverr-rfc4884"],"multicast-addr":"0.0.0.0","#,
        r#""multicast-ifname":"","options":"0183","ttl":-1},"#,
        r#""udp":{"flags":["no-check6-tx"]},"membership":[{"address":"127.0.0.1","exclude":0,"#,
        r#""group":"224.1.1.1","ifname":"lo","source":["10.0.0.1"]},"#,
        r#"{"exclude":1}]}"#,
    );
    assert_eq!(serde_json::to_string(&state).unwrap(), golden);
    let edited = golden.replace("\"sockopt-broadcast\":1", "\"sockopt-broadcast\":true");
    assert_eq!(serde_json::from_str::<State>(&edited).unwrap(), state);
    for wrong in ["018", "0x83", "01 8"] {
        let wrong = golden.replace("0183", wrong);
        assert!(serde_json::from_str::<State>(&wrong).is_err(), "{wrong}");
    }
    // A list is one, however short.
    let alone = golden.replace(r#"["10.0.0.1"]"#, r#""10.0.0.1""#);
    let error = serde_json::from_str::<State>(&alone).unwrap_err();
    assert!(error.to_string().contains("is not a list"), "{error}");
    let none: State = serde_json::from_str(r#"{"membership":[]}"#).unwrap();
    assert_eq!(none, State::default());
}
