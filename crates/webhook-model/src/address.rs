//! Which addresses a webhook may be sent to: public ones, and what the operator opened.
//!
//! By the IANA special-purpose address registries (RFC 6890 and its updates). IPv6 is an allow-list: global unicast
//! (2000::/3) less its special blocks, so that a block assigned tomorrow is not reached by accident.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An address that the guard does not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {class}; if it is meant, the operator opens it with network.allow_networks")]
pub struct Blocked {
    /// The address, with an IPv4 address inside IPv6 unwrapped.
    pub address: IpAddr,
    /// What it is, to follow "is".
    pub class: &'static str,
}

/// What the operator opened. The default opens nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks that are let through although they are not public.
    pub allow: Vec<IpNet>,
}

/// A network that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    /// Not in the form of a CIDR.
    #[error("{0:?} is not a network; expected for example \"10.1.0.0/16\" or \"fd00:1::/64\"")]
    NotANetwork(String),
    /// So wide that it would switch the guard off.
    #[error("{0} is too wide; prefixes shorter than /8 (IPv4) or /32 (IPv6) are refused")]
    TooWide(IpNet),
}

/// Reads one entry of `allow_networks`. A bare address is a network of its own.
///
/// # Errors
/// See [`NetworkFault`].
pub fn parse_network(text: &str) -> Result<IpNet, NetworkFault> {
    let bare = || text.parse::<IpAddr>().map(IpNet::from);
    let network =
        text.parse::<IpNet>().or_else(|_| bare()).map_err(|_| NetworkFault::NotANetwork(text.to_owned()))?;
    let shortest = match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 32,
    };
    if network.prefix_len() < shortest { Err(NetworkFault::TooWide(network)) } else { Ok(network.trunc()) }
}

impl AddressPolicy {
    /// Whether a webhook may be sent to `address`.
    ///
    /// # Errors
    /// It is not public, and not opened.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        let address = inner(address.to_canonical());
        if self.allow.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        let class = match address {
            IpAddr::V4(address) => class_v4(address),
            IpAddr::V6(address) => class_v6(address),
        };
        class.map_or(Ok(()), |class| Err(Blocked { address, class }))
    }
}

/// The IPv4 address that a NAT64 gateway goes on to (`64:ff9b::/96`, RFC 6052): it alone says where the request ends.
fn inner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

const SPECIAL_V4: &[(&str, &str)] = &[
    ("0.0.0.0/8", "an address of this host (0.0.0.0/8)"),
    ("10.0.0.0/8", "a private address"),
    ("100.64.0.0/10", "a shared address (carrier NAT, cloud metadata)"),
    ("127.0.0.0/8", "a loopback address"),
    ("168.63.129.16/32", "a cloud platform's own address"),
    ("169.254.0.0/16", "a link-local address (cloud metadata)"),
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "an address for protocol assignments"),
    ("192.0.2.0/24", "a documentation address"),
    ("192.31.196.0/24", "an AS112 address"),
    ("192.52.193.0/24", "an AMT relay address"),
    ("192.88.99.0/24", "a 6to4 relay address"),
    ("192.168.0.0/16", "a private address"),
    ("192.175.48.0/24", "an AS112 address"),
    ("198.18.0.0/15", "a benchmarking address"),
    ("198.51.100.0/24", "a documentation address"),
    ("203.0.113.0/24", "a documentation address"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),
];

const SPECIAL_V6: &[(&str, &str)] = &[
    ("2001::/23", "an address for protocol assignments (Teredo and others)"),
    ("2001:db8::/32", "a documentation address"),
    ("2002::/16", "a 6to4 address"),
    ("2620:4f:8000::/48", "an AS112 address"),
    ("3fff::/20", "a documentation address"),
];

fn class_v4(address: Ipv4Addr) -> Option<&'static str> {
    class(SPECIAL_V4, address.into())
}

fn class_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.segments()[0] & 0xe000 != 0x2000 {
        return Some("not a public address (outside 2000::/3)");
    }
    class(SPECIAL_V6, address.into())
}

fn class(table: &[(&str, &'static str)], address: IpAddr) -> Option<&'static str> {
    // A row that does not parse would open a hole: the test below parses each of them.
    let inside = |row: &&(&str, &str)| row.0.parse::<IpNet>().is_ok_and(|network| network.contains(&address));
    table.iter().find(inside).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, allowed: bool) {
        let parsed: IpAddr = address.parse().unwrap();
        assert_eq!(AddressPolicy::default().check(parsed).is_ok(), allowed, "{address}");
    }

    #[test]
    fn every_row_of_the_tables_is_a_network() {
        for (network, _) in SPECIAL_V4.iter().chain(SPECIAL_V6) {
            assert!(network.parse::<IpNet>().is_ok(), "{network}");
        }
    }

    #[test]
    fn special_addresses_are_blocked_and_their_public_neighbours_are_not() {
        for blocked in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::ffff:0:7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a00:1",
            "64:ff9b:0:0:0:1:808:808",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "2620:4f:8000::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "4000::1",
        ] {
            check(blocked, false);
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.254",
            "100.128.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2003::1",
            "3ffe::1",
            "::ffff:1.1.1.1",
            "64:ff9b::808:808",
        ] {
            check(public, true);
        }
    }

    #[test]
    fn what_is_opened_is_open_and_its_neighbour_is_not() {
        let policy = AddressPolicy { allow: vec![parse_network("10.9.8.7").unwrap()] };
        assert!(policy.check("10.9.8.7".parse().unwrap()).is_ok());
        assert!(policy.check("::ffff:10.9.8.7".parse().unwrap()).is_ok());
        assert!(policy.check("10.9.8.8".parse().unwrap()).is_err());
    }

    #[test]
    fn a_gateway_network_that_is_opened_opens_nothing_behind_it() {
        let policy = AddressPolicy { allow: vec![parse_network("64:ff9b::/96").unwrap()] };
        for inside in ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1"] {
            assert!(policy.check(inside.parse().unwrap()).is_err(), "{inside}");
        }
        let inside = AddressPolicy { allow: vec![parse_network("10.0.0.0/8").unwrap()] };
        assert!(inside.check("64:ff9b::a00:1".parse().unwrap()).is_ok());
    }

    #[test]
    fn networks_that_would_switch_the_guard_off_are_refused() {
        for wide in ["0.0.0.0/0", "127.0.0.1/0", "128.0.0.0/7", "::/0", "2000::/3", "fd00::/31"] {
            assert!(matches!(parse_network(wide), Err(NetworkFault::TooWide(_))), "{wide}");
        }
        for wrong in ["*", "", "localhost", "10.0.0.0/33"] {
            assert!(matches!(parse_network(wrong), Err(NetworkFault::NotANetwork(_))), "{wrong}");
        }
        assert_eq!(parse_network("127.0.0.1/8").unwrap().to_string(), "127.0.0.0/8");
    }
}
