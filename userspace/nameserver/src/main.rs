// SPDX-License-Identifier: GPL-2.0
//! A name server, of the crate `hickory-server`, on the UDP socket that is its standard input.
//!
//! It stands for the services that people move: it knows nothing of checkpoints. It answers for all
//! names in `example.` with one address.

#![forbid(unsafe_code)]

use std::{
    net::{
        Ipv4Addr,
        UdpSocket, //
    },
    os::fd::AsFd as _,
    sync::Arc,
};

use anyhow::{
    Context,
    Result,
    anyhow,
    ensure, //
};
use hickory_server::{
    Server,
    proto::rr::{
        LowerName,
        Name,
        RData,
        Record,
        rdata::SOA, //
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{
        AxfrPolicy,
        Catalog,
        ZoneType, //
    },
};

/// What every name has. The address is one for documentation.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn main() -> Result<()> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let socket = UdpSocket::from(socket);
    let address = socket
        .local_addr()
        .context("standard input has to be a UDP socket")?;
    ensure!(address.port() != 0, "the socket has to be bound");
    socket.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(socket))
}

async fn serve(socket: UdpSocket) -> Result<()> {
    let mut server = Server::new(catalog()?);
    server.register_socket(tokio::net::UdpSocket::from_std(socket)?);
    Ok(server.block_until_done().await?)
}

/// The zone `example.`.
fn catalog() -> Result<Catalog> {
    let origin = Name::from_ascii("example.")?;
    let any = Name::from_ascii("*.example.")?;
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 3600, 600, 86400, 60);
    let mut zone: InMemoryZoneHandler =
        InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    for (name, data) in [
        (origin.clone(), RData::SOA(soa)),
        (any, RData::A(ADDRESS.into())),
    ] {
        let record = Record::from_rdata(name, 60, data);
        zone.upsert_mut(record, 1)
            .then_some(())
            .ok_or_else(|| anyhow!("the zone does not take a record"))?;
    }
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&origin), vec![Arc::new(zone)]);
    Ok(catalog)
}
