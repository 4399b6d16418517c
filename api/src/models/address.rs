//! Which addresses an endpoint may have: none of the machine or the network around it, unless that is allowed.
//!
//! Names are looked up here, and the connection goes to what was found: a name cannot lead to one address when it is
//! checked and to another when it is used.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// A host leads to the inside.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{host} is an address of this machine or its network; allow inner addresses for the agent if that is meant")]
pub(super) struct Inner {
    pub(super) host: String,
}

/// Looks names up, and finds nothing that is inside.
pub(super) struct Outer;

impl Resolve for Outer {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let outer: Vec<SocketAddr> = found.iter().copied().filter(|found| !is_inner(found.ip())).collect();
            if outer.is_empty() && !found.is_empty() {
                return Err(Inner { host }.into());
            }
            Ok(Box::new(outer.into_iter()) as Addrs)
        })
    }
}

/// A host that is written as an address is not looked up, so it is checked by itself.
pub(super) fn check(host: &str) -> Result<(), Inner> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if is_inner(address) => Err(Inner { host: host.to_owned() }),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inner_v4(address),
        IpAddr::V6(address) => is_inner_v6(address),
    }
}

fn is_inner_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let protocols = first == 192 && second == 0 && third == 0;
    let benchmarks = first == 198 && (second == 18 || second == 19);
    let never = first == 0 || first >= 224;
    let known = address.is_loopback() || address.is_private() || address.is_link_local() || address.is_documentation();
    known || shared || protocols || benchmarks || never
}

fn is_inner_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, high, low] = address.segments();
    let embedded = |high: u16, low: u16| is_inner_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (first, second) {
        // One of the fourth version in another spelling, translated, or tunnelled.
        (0, 0) if (third, fourth, fifth) == (0, 0, 0) && (sixth == 0 || sixth == 0xffff) => embedded(high, low),
        (0x64, 0xff9b) if (third, fourth, fifth, sixth) == (0, 0, 0, 0) => embedded(high, low),
        (0x64, 0xff9b) => true,
        (0x2002, _) => embedded(second, third),
        (0x2001, 0xdb8) => true,
        // All that is given out to the world begins with these three bits.
        _ => first & 0xe000 != 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_told_from_outer_ones() {
        let inner = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[fe80::1]",
            "[fd00::1]",
            "[64:ff9b::a00:1]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[ff02::1]",
        ];
        for host in inner {
            assert!(check(host).is_err(), "{host}");
        }
        for host in ["1.1.1.1", "[2606:4700::1111]", "[64:ff9b::101:101]", "[::ffff:1.1.1.1]", "example.com"] {
            assert!(check(host).is_ok(), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        let found = Outer.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_err_and(|error| error.downcast_ref::<Inner>().is_some()));
    }
}
