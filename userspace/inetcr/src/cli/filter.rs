// SPDX-License-Identifier: GPL-2.0
//! Which of many sockets are wanted, in the spirit of ss(8).

use std::path::Path;

use clap::ValueEnum;
use inetcr::{DeviceName, Endpoint, Filter, Image, Snapshot, SockState};

use super::files;

#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct FilterArgs {
    /// Of many sockets, only those in this state.
    #[arg(long, value_name = "STATE", conflicts_with = "one")]
    state: Option<StateName>,

    /// Of many sockets, only those bound here: ADDRESS, ADDRESS/LENGTH, either with :PORT, or
    /// :PORT.
    #[arg(long, value_name = "WHERE", conflicts_with = "one")]
    local: Option<Endpoint>,

    /// Of many sockets, only those connected to this, written as --local.
    #[arg(long, value_name = "WHERE", conflicts_with = "one")]
    peer: Option<Endpoint>,

    /// Of many sockets, only those on this local port.
    #[arg(long, value_name = "PORT", conflicts_with = "one")]
    port: Option<u16>,

    /// Of many sockets, only those that are bound to this device (SO_BINDTODEVICE).
    #[arg(long, value_name = "DEVICE", conflicts_with = "one")]
    device: Option<DeviceName>,
}

/// The states of UDP sockets, by the names that ss(8) has.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateName {
    #[value(alias = "estab")]
    Established,
    #[value(alias = "unconn")]
    Unconnected,
}

impl FilterArgs {
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    /// All of it but the port.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            state: self.state.map(|state| match state {
                StateName::Established => SockState::Established,
                StateName::Unconnected => SockState::Close,
            }),
            local: self.local,
            peer: self.peer,
            device: self.device,
        }
    }

    /// Whether any socket is left out.
    pub(super) fn is_any(&self) -> bool {
        self.port.is_some() || self.filter() != Filter::default()
    }

    /// Reads an image, with the sockets that are wanted.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<Image> {
        let mut image = files::read(path)?;
        image.sockets.retain(|socket| self.matches(socket));
        Ok(image)
    }

    /// Whether a socket of an image is wanted.
    pub(super) fn matches(&self, socket: &Snapshot) -> bool {
        let port = Filter {
            local: self.port.map(Endpoint::of_port),
            ..Filter::default()
        };
        port.matches(socket) && self.filter().matches(socket)
    }
}
