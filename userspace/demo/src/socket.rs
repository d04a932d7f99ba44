// SPDX-License-Identifier: GPL-2.0
//! The socket that is shown, and what plain system calls say of it.

use anyhow::{
    Context,
    Result, //
};
use nix::{
    libc,
    sys::{
        socket::{
            SockaddrIn,
            getsockname,
            getsockopt,
            setsockopt,
            sockopt, //
        },
        time::{
            TimeVal,
            TimeValLike as _, //
        },
    },
};
use std::{
    ffi::OsString,
    net::UdpSocket,
    os::fd::{
        AsFd,
        AsRawFd, //
    },
};

const ADDRESS: &str = "127.0.0.1:7007";

/// A bound UDP socket of which hardly anything is as usual.
pub fn make() -> Result<UdpSocket> {
    let socket = UdpSocket::bind(ADDRESS).with_context(|| format!("cannot bind {ADDRESS}"))?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::Broadcast, &true)?;
    setsockopt(&socket, sockopt::KeepAlive, &true)?;
    setsockopt(&socket, sockopt::OobInline, &true)?;
    setsockopt(&socket, sockopt::ReceiveTimestamp, &true)?;
    setsockopt(&socket, sockopt::Priority, &5)?;
    setsockopt(&socket, sockopt::RcvBuf, &50_000)?;
    setsockopt(&socket, sockopt::SndBuf, &60_000)?;
    setsockopt(
        &socket,
        sockopt::ReceiveTimeout,
        &TimeVal::milliseconds(12_500),
    )?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(2_500))?;
    setsockopt(
        &socket,
        sockopt::Linger,
        &libc::linger {
            l_onoff: 1,
            l_linger: 7,
        },
    )?;
    setsockopt(&socket, sockopt::BindToDevice, &OsString::from("lo"))?;
    Ok(socket)
}

/// Names and values, in the order in which they are shown.
pub struct Observed(pub Vec<(String, String)>);

impl Observed {
    /// Asks the kernel by `getsockopt` and `getsockname`.
    pub fn of(socket: &(impl AsFd + AsRawFd)) -> Result<Self> {
        let linger = getsockopt(socket, sockopt::Linger)?;
        let device = getsockopt(socket, sockopt::BindToDevice)?;
        let values = [
            (
                "address",
                getsockname::<SockaddrIn>(socket.as_raw_fd())?.to_string(),
            ),
            (
                "type",
                format!("{:?}", getsockopt(socket, sockopt::SockType)?),
            ),
            (
                "SO_BINDTODEVICE",
                device.to_string_lossy().trim_end_matches('\0').to_owned(),
            ),
            (
                "SO_REUSEADDR",
                getsockopt(socket, sockopt::ReuseAddr)?.to_string(),
            ),
            (
                "SO_BROADCAST",
                getsockopt(socket, sockopt::Broadcast)?.to_string(),
            ),
            (
                "SO_KEEPALIVE",
                getsockopt(socket, sockopt::KeepAlive)?.to_string(),
            ),
            (
                "SO_OOBINLINE",
                getsockopt(socket, sockopt::OobInline)?.to_string(),
            ),
            (
                "SO_TIMESTAMP",
                getsockopt(socket, sockopt::ReceiveTimestamp)?.to_string(),
            ),
            (
                "SO_PRIORITY",
                getsockopt(socket, sockopt::Priority)?.to_string(),
            ),
            (
                "SO_RCVBUF",
                getsockopt(socket, sockopt::RcvBuf)?.to_string(),
            ),
            (
                "SO_SNDBUF",
                getsockopt(socket, sockopt::SndBuf)?.to_string(),
            ),
            (
                "SO_RCVTIMEO",
                time(getsockopt(socket, sockopt::ReceiveTimeout)?),
            ),
            (
                "SO_SNDTIMEO",
                time(getsockopt(socket, sockopt::SendTimeout)?),
            ),
            (
                "SO_LINGER",
                format!("on={} {} s", linger.l_onoff, linger.l_linger),
            ),
        ];
        Ok(Self(
            values.map(|(name, value)| (name.to_owned(), value)).into(),
        ))
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&String> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }
}

fn time(time: TimeVal) -> String {
    format!("{}.{:06} s", time.tv_sec(), time.tv_usec())
}
