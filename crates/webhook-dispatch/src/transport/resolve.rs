//! Names, resolved once per connection, with the guard inside: the connection goes only to addresses that passed.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use webhook_model::{
    address::{AddressPolicy, Blocked},
    endpoint_url::is_localhost,
};

/// Look-ups at once. Each may hold a thread for as long as the system's resolver hangs, so they are few; a name that
/// waits here waits within its own attempt's deadline.
const LOOK_UPS: usize = 32;

/// A name did not resolve to an address to send to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// It resolved, but not to a public address.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// It did not resolve.
    #[error("the name could not be resolved")]
    NoAnswer(#[source] Option<std::io::Error>),
}

#[derive(Debug, Clone)]
pub(crate) struct GuardedResolver {
    policy: AddressPolicy,
    room: Arc<Semaphore>,
}

impl GuardedResolver {
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy, room: Arc::new(Semaphore::new(LOOK_UPS)) }
    }

    /// Every answer must pass: an attacker who mixes a private address among public ones gains nothing.
    async fn resolve(self, name: String) -> Result<Vec<SocketAddr>, ResolveError> {
        if is_localhost(&name) {
            self.policy.check(IpAddr::from([127, 0, 0, 1]))?;
        }
        let Ok(_room) = self.room.acquire().await else { return Err(ResolveError::NoAnswer(None)) };
        // Port 0: reqwest then takes the URL's own.
        let answers =
            tokio::net::lookup_host((name, 0)).await.map_err(|error| ResolveError::NoAnswer(Some(error)))?;
        let addresses: Vec<SocketAddr> = answers.collect();
        addresses.iter().try_for_each(|address| self.policy.check(address.ip()))?;
        if addresses.is_empty() { Err(ResolveError::NoAnswer(None)) } else { Ok(addresses) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = Self::resolve(resolver, name.as_str().to_owned()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
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
