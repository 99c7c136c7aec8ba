//! Names, resolved for each connection, with the guard inside: the connection goes only to addresses that passed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;
use webhook_model::{
    address::{AddressPolicy, Blocked},
    endpoint_url::is_localhost,
};

use super::{own::Own, system_dns::SystemDns};

/// A name did not resolve to an address to send to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// It resolved, but not to a public address.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// It did not resolve.
    #[error("the name could not be resolved")]
    NoAnswer,
}

#[derive(Debug, Clone)]
pub(crate) struct GuardedResolver {
    policy: AddressPolicy,
    own: Arc<Own>,
    dns: Arc<SystemDns>,
}

impl GuardedResolver {
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy, own: Arc::default(), dns: Arc::default() }
    }

    /// Names from these files instead of the system's.
    #[cfg(test)]
    pub fn with_dns(self, dns: SystemDns) -> Self {
        Self { dns: Arc::new(dns), ..self }
    }

    /// Whether a request may go to this address.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        self.own.check(&self.policy, address)
    }

    /// Every answer must pass: an attacker who mixes a private address among public ones gains nothing.
    async fn resolve(self, name: String) -> Result<Vec<SocketAddr>, ResolveError> {
        if is_localhost(&name) {
            return self.loopback();
        }
        let addresses = self.dns.addresses(&name).await.ok_or(ResolveError::NoAnswer)?;
        addresses.iter().try_for_each(|address| self.check(*address))?;
        // Port 0: the connector then takes the URL's own.
        Ok(addresses.iter().map(|address| SocketAddr::new(*address, 0)).collect())
    }

    /// Whatever a resolver would say: the loopback addresses that the operator opened.
    fn loopback(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let open = both.into_iter().filter(|address| self.policy.check(*address).is_ok());
        let addresses: Vec<SocketAddr> = open.map(|address| SocketAddr::new(address, 0)).collect();
        if addresses.is_empty() {
            self.policy.check(both[0])?;
        }
        Ok(addresses)
    }
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move { Ok(resolver.resolve(name.as_str().to_owned()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_loopback_whatever_the_resolver_says() {
        for name in ["localhost", "LOCALHOST.", "foo.localhost"] {
            let resolver = GuardedResolver::new(AddressPolicy::default());
            let error = GuardedResolver::resolve(resolver, name.to_owned()).await.unwrap_err();
            assert!(matches!(error, ResolveError::Blocked(_)), "{name}: {error}");
        }
        let open = AddressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()] };
        let addresses =
            GuardedResolver::resolve(GuardedResolver::new(open), "localhost".to_owned()).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 0));
    }
}
