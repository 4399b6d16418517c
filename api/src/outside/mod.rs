//! Where requests may go: outside, and nowhere on this machine or in the networks around it, unless that is allowed.

mod address;
mod resolve;

pub(crate) use resolve::Refused;

use address::is_inner;
use reqwest::{Client, ClientBuilder, Url, redirect};
use resolve::Outside;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

/// A host that is written as an address is not looked up, so it is checked by itself.
pub(crate) fn check(url: &Url, allow_inner: bool) -> Result<(), Refused> {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) if is_inner(ip) && !allow_inner => Err(Refused { host: host.to_owned(), ip }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A client that goes only where it is sent: a redirect would carry secrets elsewhere, and so would a proxy of the system.
pub(crate) fn client(allow_inner: bool) -> ClientBuilder {
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none());
    if allow_inner { builder } else { builder.dns_resolver(Arc::new(Outside)) }
}

/// The refusal that a request came to nothing by, if it did.
pub(crate) fn refusal(error: &reqwest::Error) -> Option<&Refused> {
    std::iter::successors(error.source(), |&cause| cause.source()).find_map(|cause| cause.downcast_ref())
}
