//! Under which names a listener may be called: a page of a stranger's that has its own name lead here is refused.

use std::net::IpAddr;

use http::{Request, header};

/// The names of one listener.
#[derive(Debug)]
pub struct OwnHosts {
    address: IpAddr,
    allowed: Vec<String>,
}

impl OwnHosts {
    /// Of a listener on `address`, and what the configuration allows.
    pub fn new(address: IpAddr, allowed: &[String]) -> Self {
        Self { address, allowed: allowed.iter().map(|host| host.to_lowercase()).collect() }
    }

    /// The listener's own address, loopback under any name of its own, or a name from the configuration.
    pub fn are_called_by<B>(&self, request: &Request<B>) -> bool {
        let given = request.headers().get_all(header::HOST);
        let mut hosts = given.iter().map(|value| value.to_str().unwrap_or("?"));
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
        let name = authority.host().to_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        is_loopback
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip == self.address)
            || self.allowed.iter().any(|allowed| *allowed == name || *allowed == host.to_lowercase())
    }
}
