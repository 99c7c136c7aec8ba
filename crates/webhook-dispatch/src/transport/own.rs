//! The addresses of this machine's own interfaces, public ones among them: what listens there may trust whoever comes
//! from there.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use webhook_model::address::{AddressPolicy, Blocked};

/// Interfaces come and go; that is looked at so often.
const FRESH: Duration = Duration::from_secs(5);

/// Those addresses, as they were a moment ago.
#[derive(Debug, Default)]
pub(super) struct Own(Mutex<Option<(Instant, Arc<[IpAddr]>)>>);

impl Own {
    /// Whether a webhook may be sent to `address`, by the policy and because it is not this machine's.
    pub fn check(&self, policy: &AddressPolicy, address: IpAddr) -> Result<(), Blocked> {
        policy.check(address)?;
        let address = address.to_canonical();
        let is_meant = policy.allow.iter().any(|network| network.contains(&address));
        if is_meant || !self.addresses().contains(&address) {
            return Ok(());
        }
        Err(Blocked { address, class: "an address of this machine" })
    }

    fn addresses(&self) -> Arc<[IpAddr]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, addresses)) = known.as_ref().filter(|(read, _)| read.elapsed() < FRESH) {
            return Arc::clone(addresses);
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let addresses: Arc<[IpAddr]> =
            v4(&read("/proc/net/fib_trie")).chain(v6(&read("/proc/net/if_inet6"))).collect();
        *known = Some((Instant::now(), Arc::clone(&addresses)));
        addresses
    }
}

/// Of the kernel's routing trie: a line with an address, and behind it `/32 host LOCAL` where it is this machine's.
fn v4(trie: &str) -> impl Iterator<Item = IpAddr> {
    let mut last = None;
    trie.lines().filter_map(move |line| {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
            return None;
        }
        last.filter(|_| line.trim() == "/32 host LOCAL").map(IpAddr::from)
    })
}

/// One line an address, which begins with its 32 hexadecimal digits.
fn v6(table: &str) -> impl Iterator<Item = IpAddr> {
    let read = |line: &str| u128::from_str_radix(line.get(..32)?, 16).ok();
    table.lines().filter_map(read).map(|bits| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_addresses_of_the_interfaces_are_read_as_the_kernel_writes_them() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 203.0.113.7\n        /32 host LOCAL\n     |-- 203.0.113.255\n        /32 link BROADCAST\n";
        assert_eq!(v4(trie).collect::<Vec<_>>(), [IpAddr::from([203, 0, 113, 7])]);
        let table = "20010db8000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(v6(table).collect::<Vec<_>>(), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_public_address_of_this_machine_is_blocked_unless_it_was_opened() {
        let public: IpAddr = "1.1.1.1".parse().unwrap();
        let own = Own(Mutex::new(Some((Instant::now() + Duration::from_secs(3600), [public].into()))));
        let blocked = own.check(&AddressPolicy::default(), public).unwrap_err();
        assert_eq!(blocked.class, "an address of this machine");
        assert!(own.check(&AddressPolicy::default(), "::ffff:1.1.1.1".parse().unwrap()).is_err());
        assert!(own.check(&AddressPolicy::default(), "1.1.1.2".parse().unwrap()).is_ok());
        let opened = AddressPolicy { allow: vec!["1.1.1.1/32".parse().unwrap()] };
        assert!(own.check(&opened, public).is_ok());
    }

    #[test]
    fn what_the_kernel_binds_as_its_own_is_known() {
        let own = Own::default().addresses();
        assert!(own.contains(&IpAddr::from([127, 0, 0, 1])), "{own:?}");
        assert!(own.iter().filter(|a| a.is_ipv4()).all(|a| UdpSocket::bind((*a, 0)).is_ok()), "{own:?}");
    }
}
