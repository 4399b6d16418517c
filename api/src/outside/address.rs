//! Which addresses are inside: of this machine, of networks that are nobody else's, or with another address in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not outside: address and how many bits of it count.
const INNER: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by providers and their customers; a cloud has its metadata here.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // The metadata of most clouds is here.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // That of one is outside by its number.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, and behind it what is reserved and the broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Networks of IPv6 within 2000::/3 that are not outside. All that is beyond 2000::/3 is inside: loopback, link-local, unique
/// local, multicast, and those that have an IPv4 address in them, mapped or for NAT64.
const EXCEPT: [(Ipv6Addr, u32); 4] = [
    // Protocols, such as Teredo.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const OUTSIDE: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether nobody outside may have this address, or whether that cannot be told.
pub(super) fn is_inner(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => INNER.iter().any(|(net, bits)| (ip.to_bits() ^ net.to_bits()) >> (32 - bits) == 0),
        IpAddr::V6(ip) => !is_within(ip, OUTSIDE) || EXCEPT.iter().any(|net| is_within(ip, *net)),
    }
}

fn is_within(ip: Ipv6Addr, (net, bits): (Ipv6Addr, u32)) -> bool {
    (ip.to_bits() ^ net.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::is_inner;

    const INNER: &str = "
        0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.9.9.9
        168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1
        198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
        :: ::1 ::ffff:1.1.1.1 ::ffff:127.0.0.1 ::1.1.1.1 64:ff9b::1.1.1.1 64:ff9b:1::1 100::1 2001::1 2001:1ff::1
        2001:db8::1 2002:7f00:1:: 2002:101:101::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1";

    const OUTER: &str = "
        1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 168.63.129.17
        169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.1 192.167.1.1 192.169.0.1 198.17.255.255 198.20.0.0
        223.255.255.255 2001:200::1 2001:4860:4860::8888 2003::1 2606:4700::1111 2a00::1";

    #[test]
    fn what_is_inside_and_what_is_not() {
        for (ips, inner) in [(INNER, true), (OUTER, false)] {
            for ip in ips.split_whitespace() {
                assert_eq!(is_inner(ip.parse().unwrap()), inner, "{ip}");
            }
        }
    }
}
