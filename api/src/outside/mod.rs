//! Where requests may go: outside, and nowhere on this machine or in the networks around it, unless that is allowed.

mod address;
mod resolve;

pub(crate) use resolve::{Outside, Refused};

use address::is_inner;
use std::net::IpAddr;

/// A host that is written as an address is not looked up, so it is checked by itself.
pub(crate) fn check(host: &str) -> Result<(), Refused> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) if is_inner(ip) => Err(Refused { host: host.to_owned(), ip }),
        Ok(_) | Err(_) => Ok(()),
    }
}
