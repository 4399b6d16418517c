//! From names to addresses outside. The addresses that are looked at are those that are connected to: a name cannot lead
//! elsewhere in between.

use super::address::is_inner;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// The name leads inside, or is an address there.
#[derive(Debug, Error)]
#[error("{host} leads to {ip}, which is no address outside; say allow_inner: true beside it if that is meant")]
pub(crate) struct Refused {
    pub(crate) host: String,
    pub(crate) ip: IpAddr,
}

/// Resolves names, and refuses one that leads inside by any of its addresses.
pub(crate) struct Outside;

impl Resolve for Outside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            // The port is put in by whoever asks.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            match found.iter().find(|found| is_inner(found.ip())) {
                Some(found) => Err(Refused { host: host.to_owned(), ip: found.ip() }.into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}
