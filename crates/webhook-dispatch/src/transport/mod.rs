//! The one way out: an HTTP POST through the address guard, with one deadline over everything.

mod answer;
mod classify;
mod client;
mod own;
mod redact;
mod resolve;
mod reuse;
mod system_dns;
mod trust;

use std::{
    collections::HashMap,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::Full;
use hyper::{Response, body::Incoming};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::time::{Instant, timeout_at};
use webhook_model::{EndpointUrl, Failure, Outcome, address::AddressPolicy, limits};

pub use self::{answer::Room, redact::Secrets};
use self::{client::Client, resolve::GuardedResolver};
use crate::held::Held;

/// Idle connections kept for one host: as many as attempts may be under way, for all subscriptions may share a host.
const IDLE_PER_HOST: usize = limits::UNSETTLED;
/// Idle connections are closed after this time, which is shorter than most servers' own.
const IDLE: Duration = Duration::from_secs(30);
/// Endpoints whose own idle time is remembered.
const ANNOUNCED: usize = 4096;
/// Who asks, where the subscription says nothing else.
const USER_AGENT: &str = concat!("mcp-webhookd/", env!("CARGO_PKG_VERSION"));

/// One POST.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub url: Arc<EndpointUrl>,
    /// All headers but those of HTTP itself.
    pub headers: HeaderMap,
    /// The exact body.
    pub body: Bytes,
    /// What an answer must not bring into the log.
    pub secrets: Secrets,
    /// One deadline over the whole attempt: name, connection, request, answer.
    pub timeout: Duration,
    /// How long the same attempt took so far on a connection that was used before and ended without an answer. It
    /// gets one of its own now.
    pub again_after: Option<Duration>,
    /// What may be held of the answer.
    pub room: Room,
}

/// What came of it, and how long it took.
#[derive(Debug)]
pub struct Exchange {
    /// Never an error: every failure is data.
    pub outcome: Outcome,
    /// From the start of the attempt to its end.
    pub duration: Duration,
    /// The connection was used before, and the endpoint closed it before it saw the request. To be sent once more, see
    /// [`Request::again_after`].
    pub is_unanswered: bool,
    /// The room that the answer takes.
    pub held: Option<Held>,
}

impl From<Outcome> for Exchange {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, duration: Duration::ZERO, is_unanswered: false, held: None }
    }
}

/// What makes requests: the network, or a script in tests.
pub trait Transport: Send + Sync + 'static {
    /// Makes one request.
    fn send(&self, request: Request) -> impl Future<Output = Exchange> + Send;
}

/// What the operator allows.
#[derive(Debug, Clone, Default)]
pub struct NetworkPolicy {
    /// `http://` endpoints.
    pub allow_http: bool,
    /// Addresses that are let through besides public ones.
    pub addresses: AddressPolicy,
    /// The sidecar's own port, to which nothing is ever sent; 0 = none.
    pub own_port: u16,
    /// Certificates to trust besides the system's, PEM.
    pub extra_ca_file: Option<PathBuf>,
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of `extra_ca_file`.
    #[error("network.extra_ca_file {0} cannot be used: {1}")]
    ExtraCa(PathBuf, String),
    /// The TLS side of the client.
    #[error(
        "the HTTPS client could not be made: {0}; are the system's CA certificates installed (package ca-certificates)?"
    )]
    Client(String),
}

/// The network. Connections are used again by all endpoints that have the same time limit.
#[derive(Debug)]
pub struct HttpTransport {
    /// By the time limit of an attempt and the time that a connection may be idle.
    clients: Mutex<HashMap<(Duration, Duration), Clients>>,
    /// Endpoints, as host and port, that said how long they keep idle connections.
    announced: Mutex<HashMap<String, Duration>>,
    tls: rustls::ClientConfig,
    resolver: Arc<GuardedResolver>,
    policy: NetworkPolicy,
}

/// One client that keeps its connections, and one that makes a new one for each request.
#[derive(Debug, Clone)]
struct Clients {
    pooled: Client,
    fresh: Client,
}

impl HttpTransport {
    /// A transport under this policy. It does not change while it lives, so a pooled connection cannot outlive it.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(policy: NetworkPolicy) -> Result<Self, SetupError> {
        let listed = policy.extra_ca_file.as_deref().map_or_else(|| Ok(Vec::new()), read_certificates)?;
        let fault = |error: rustls::Error| match &policy.extra_ca_file {
            Some(path) => SetupError::ExtraCa(path.clone(), error.to_string()),
            None => SetupError::Client(error.to_string()),
        };
        let tls = trust::client_config(listed).map_err(fault)?;
        let resolver = Arc::new(GuardedResolver::new(policy.addresses.clone()));
        Ok(Self { clients: Mutex::default(), announced: Mutex::default(), tls, resolver, policy })
    }

    /// The clients for attempts of this length: the time to connect belongs to a client.
    fn clients(&self, limit: Duration, idle: Duration) -> Clients {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let made = clients.entry((limit, idle)).or_insert_with(|| Clients {
            pooled: self.client(limit, idle, if idle.is_zero() { 0 } else { IDLE_PER_HOST }),
            fresh: self.client(limit, IDLE, 0),
        });
        made.clone()
    }

    fn client(&self, limit: Duration, idle: Duration, most_idle: usize) -> Client {
        let settings = client::Settings { limit, idle, most_idle, allow_http: self.policy.allow_http };
        settings.client(self.tls.clone(), self.resolver.as_ref().clone())
    }

    /// How long a connection to this endpoint may be idle before it is used again.
    fn idle(&self, url: &EndpointUrl) -> Duration {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.get(&url.host_port()).copied().unwrap_or(IDLE)
    }

    /// Takes note of `Keep-Alive: timeout=N`, where that is shorter than what connections have anyway.
    fn hear(&self, url: &EndpointUrl, response: &Response<Incoming>) {
        let said = response.headers().get("keep-alive").and_then(|value| value.to_str().ok());
        let Some(idle) = said.and_then(announced_idle).filter(|idle| *idle < IDLE) else { return };
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.len() >= ANNOUNCED {
            announced.clear();
        }
        announced.insert(url.host_port(), idle);
    }

    /// Judged again at each attempt: the policy may be stricter than when the subscription was saved.
    fn guard(&self, url: &EndpointUrl) -> Result<(), Outcome> {
        let failed = |failure, message| Err(Outcome::Failed { failure, message });
        if url.is_plaintext() && !self.policy.allow_http {
            let message = "the URL begins with http://, which network.allow_http does not open".to_owned();
            return failed(Failure::BlockedAddress, message);
        }
        if self.policy.own_port != 0 && url.port() == self.policy.own_port {
            return failed(Failure::BlockedAddress, format!("port {} is the sidecar's own", url.port()));
        }
        // No resolver is asked about literal addresses.
        match url.literal_address().map(|address| self.resolver.check(address)) {
            Some(Err(blocked)) => failed(Failure::BlockedAddress, blocked.to_string()),
            _ => Ok(()),
        }
    }

    async fn exchange(&self, request: Request, deadline: Instant) -> Exchange {
        if let Err(outcome) = self.guard(&request.url) {
            return outcome.into();
        }
        let clients = self.clients(request.timeout, self.idle(&request.url));
        let Request { url, headers, body, secrets, timeout, again_after, room } = request;
        let Ok(post) = post(&url, headers, body) else {
            let message = format!("the request to {} could not be made", url.host_port());
            return Outcome::Failed { failure: Failure::Internal, message }.into();
        };
        let is_fresh = again_after.is_some();
        let client = if is_fresh { clients.fresh } else { clients.pooled };
        match timeout_at(deadline, reuse::watched(client.request(post))).await {
            Ok((Ok(response), _)) => {
                self.hear(&url, &response);
                answer::read(response, deadline, &secrets, &room).await
            }
            Ok((Err(error), has_own_connection)) => Exchange {
                is_unanswered: !is_fresh && !has_own_connection && classify::was_not_answered(&error),
                ..classify::failed(&error, &url.host_port()).into()
            },
            Err(_) => {
                let (host, timeout) = (url.host_port(), timeout.as_secs());
                let message = format!("{host} did not answer within {timeout} s");
                Outcome::Failed { failure: Failure::Timeout, message }.into()
            }
        }
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Exchange {
        let before = request.again_after.unwrap_or_default();
        let started = Instant::now();
        let deadline = started + request.timeout.saturating_sub(before);
        let exchange = self.exchange(request, deadline).await;
        Exchange { duration: before + started.elapsed(), ..exchange }
    }
}

fn post(url: &EndpointUrl, mut headers: HeaderMap, body: Bytes) -> http::Result<http::Request<Full<Bytes>>> {
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    // The network alone has the body from here on, and lets go of what it has sent.
    let mut post = http::Request::post(url.url().as_str()).body(Full::new(body))?;
    *post.headers_mut() = headers;
    Ok(post)
}

/// What is left of the announced time when the way to the endpoint is allowed for; few different values, for each has
/// clients of its own.
fn announced_idle(keep_alive: &str) -> Option<Duration> {
    let timeout = keep_alive.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("timeout")
            .then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
    })?;
    let left = timeout.saturating_sub(1);
    Some(Duration::from_secs(left.checked_ilog2().map_or(0, |power| 1 << power)))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let fault = |message: String| SetupError::ExtraCa(path.to_path_buf(), message);
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        Err(fault("it holds no PEM certificate".to_owned()))
    } else {
        Ok(certificates)
    }
}

#[cfg(test)]
mod sockets;
