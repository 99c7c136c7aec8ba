//! What a reload replaces while everything else goes on: tokens, the networks that are open, the listener's certificate.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::Result;
use webhook_dispatch::transport::{Exchange, HttpTransport, NetworkPolicy, Request, Transport};
use webhook_model::{address::AddressPolicy, endpoint_url::UrlPolicy};

use crate::{
    config::Config,
    files::DataDir,
    tls::Greeter,
    token::{self, Callers, Rotation},
};

/// Where the configuration comes from, and who else follows it.
pub trait Source: Send + Sync {
    /// Reads it anew, and changes nothing.
    ///
    /// # Errors
    /// All its faults.
    fn read(&self) -> Result<Config>;

    /// Logs at the level of a configuration that holds from now on.
    ///
    /// # Errors
    /// There is no logging any more.
    fn set_level(&self, config: &Config) -> Result<()>;
}

/// A configuration that stays as it is.
impl Source for Config {
    fn read(&self) -> Result<Config> {
        Ok(self.clone())
    }

    fn set_level(&self, _: &Config) -> Result<()> {
        Ok(())
    }
}

/// A value that is replaced as a whole; whoever holds the old one goes on with it.
#[derive(Debug)]
struct Swap<T>(RwLock<Arc<T>>);

impl<T> Swap<T> {
    fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// The replaceable parts of a running sidecar.
pub struct Live {
    started_with: Config,
    data: DataDir,
    own_port: u16,
    source: Box<dyn Source>,
    callers: Swap<Callers>,
    url_policy: Swap<UrlPolicy>,
    transport: Swap<HttpTransport>,
    greeter: Swap<Greeter>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("callers", &self.callers).finish_non_exhaustive()
    }
}

impl Live {
    /// What `config` says, until a reload.
    ///
    /// # Errors
    /// The HTTPS client could not be made.
    pub fn new(
        config: Config,
        data: DataDir,
        callers: Callers,
        greeter: Greeter,
        own_port: u16,
        source: Box<dyn Source>,
    ) -> Result<Self> {
        Ok(Self {
            callers: Swap::new(callers),
            greeter: Swap::new(greeter),
            url_policy: Swap::new(url_policy(&config, own_port)),
            transport: Swap::new(HttpTransport::new(network_policy(&config, own_port))?),
            started_with: config,
            data,
            own_port,
            source,
        })
    }

    /// Who may call.
    pub fn callers(&self) -> Arc<Callers> {
        self.callers.get()
    }

    /// Which URLs are allowed.
    pub fn url_policy(&self) -> Arc<UrlPolicy> {
        self.url_policy.get()
    }

    /// How callers are greeted.
    pub fn greeter(&self) -> Arc<Greeter> {
        self.greeter.get()
    }

    /// Reads configuration, tokens and certificate again. All of it holds from now on, or, on an error, nothing does.
    /// Answers a sentence for the operator.
    ///
    /// # Errors
    /// What is wrong with the new configuration, the token files or the certificate.
    pub fn reload(&self) -> Result<&'static str> {
        let config = self.source.read()?;
        let callers = self.data.callers(config.token_file.as_deref())?;
        let transport = HttpTransport::new(network_policy(&config, self.own_port))?;
        let url_policy = url_policy(&config, self.own_port);
        let greeter = Greeter::new(&config)?;
        // All is judged. This can fail only together with logging itself; what follows cannot.
        self.source.set_level(&config)?;
        if greeter.is_tls() == self.greeter().is_tls() {
            self.greeter.put(greeter);
        }
        self.transport.put(transport);
        self.url_policy.put(url_policy);
        // Last: whoever comes in with a new token finds everything else as new.
        self.callers.put(callers);
        let reloadable = |config: Config| Config {
            token_file: None,
            allow_http: false,
            allow_networks: Vec::new(),
            extra_ca_file: None,
            // Another file is; TLS that comes or goes is not.
            tls_cert_file: config.tls_cert_file.map(|_| PathBuf::new()),
            tls_key_file: config.tls_key_file.map(|_| PathBuf::new()),
            log_level: String::new(),
            ..config
        };
        if reloadable(config) == reloadable(self.started_with.clone()) {
            Ok("tokens, [network], certificate and log level are those of the files now")
        } else {
            Ok(
                "tokens, [network], certificate and log level are those of the files now; other changed keys need a restart",
            )
        }
    }

    /// Makes one step of a rotation of the addon's token, which holds from now on. Answers the file.
    ///
    /// # Errors
    /// The file could not be read or written.
    pub fn rotate_token(&self, step: Rotation) -> Result<PathBuf> {
        let config = self.source.read()?;
        let file = self.data.token_file(config.token_file.as_deref());
        token::rotate(&file, step)?;
        self.callers.put(self.data.callers(config.token_file.as_deref())?);
        Ok(file)
    }
}

fn addresses(config: &Config) -> AddressPolicy {
    AddressPolicy { allow: config.allow_networks.clone() }
}

/// Which URLs are allowed.
pub fn url_policy(config: &Config, own_port: u16) -> UrlPolicy {
    UrlPolicy { allow_http: config.allow_http, addresses: addresses(config), own_port }
}

/// What attempts go through.
pub fn network_policy(config: &Config, own_port: u16) -> NetworkPolicy {
    NetworkPolicy {
        allow_http: config.allow_http,
        addresses: addresses(config),
        own_port,
        extra_ca_file: config.extra_ca_file.clone(),
    }
}

/// The transport of the newest configuration. An attempt under way ends with the one it began with.
#[derive(Debug, Clone)]
pub struct LiveTransport(pub Arc<Live>);

impl Transport for LiveTransport {
    async fn send(&self, request: Request) -> Exchange {
        let transport = self.0.transport.get();
        transport.send(request).await
    }
}
