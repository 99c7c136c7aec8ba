//! The one way out: an HTTP POST through the address guard, with one deadline over everything.

mod classify;
mod own;
mod redact;
mod resolve;
mod reuse;
mod system_dns;
mod trust;

use std::{
    collections::HashMap,
    error::Error as _,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::Full;
use reqwest::{Body, Client, Response, redirect, retry};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::time::{Instant, timeout_at};
use webhook_model::{EndpointUrl, Failure, Outcome, address::AddressPolicy, limits};

pub use self::redact::Secrets;
use self::resolve::GuardedResolver;

/// Idle connections kept for one host: as many as attempts may be under way, for all subscriptions may share a host.
const IDLE_PER_HOST: usize = limits::UNSETTLED;
/// Idle connections are closed after this time, which is shorter than most servers' own.
const IDLE: Duration = Duration::from_secs(30);
/// Endpoints whose own idle time is remembered.
const ANNOUNCED: usize = 4096;
/// What is kept of a `Retry-After` header.
const RETRY_AFTER_BYTES: usize = 64;

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
}

impl From<Outcome> for Exchange {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, duration: Duration::ZERO, is_unanswered: false }
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
        let transport =
            Self { clients: Mutex::default(), announced: Mutex::default(), tls, resolver, policy };
        transport.clients(Duration::from_secs(10), IDLE).map_err(|error| {
            SetupError::Client(error.source().map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        Ok(transport)
    }

    /// The clients for attempts of this length. Among a name's addresses the time to connect is shared out, so that a dead
    /// one leaves some to the others; and it belongs to a client.
    fn clients(&self, limit: Duration, idle: Duration) -> reqwest::Result<Clients> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = clients.get(&(limit, idle)) {
            return Ok(found.clone());
        }
        let pooled = self.client(limit, idle, if idle.is_zero() { 0 } else { IDLE_PER_HOST })?;
        let made = Clients { pooled, fresh: self.client(limit, IDLE, 0)? };
        clients.insert((limit, idle), made.clone());
        Ok(made)
    }

    fn client(&self, limit: Duration, idle: Duration, connections: usize) -> reqwest::Result<Client> {
        Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .https_only(!self.policy.allow_http)
            .user_agent(concat!("mcp-webhookd/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(connections)
            .pool_idle_timeout(idle)
            .connect_timeout(limit)
            .connector_layer(reuse::Mark)
            .tcp_nodelay(true)
            // The final status line decides, whatever stands beside it.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(self.resolver.clone())
            .build()
    }

    /// How long a connection to this endpoint may be idle before it is used again.
    fn idle(&self, url: &EndpointUrl) -> Duration {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.get(&url.host_port()).copied().unwrap_or(IDLE)
    }

    /// Takes note of `Keep-Alive: timeout=N`, where that is shorter than what connections have anyway.
    fn hear(&self, url: &EndpointUrl, response: &Response) {
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
        // reqwest never asks a resolver about literal addresses.
        match url.literal_address().map(|address| self.resolver.check(address)) {
            Some(Err(blocked)) => failed(Failure::BlockedAddress, blocked.to_string()),
            _ => Ok(()),
        }
    }

    async fn exchange(&self, request: Request, deadline: Instant) -> Exchange {
        if let Err(outcome) = self.guard(&request.url) {
            return outcome.into();
        }
        let Ok(clients) = self.clients(request.timeout, self.idle(&request.url)) else {
            let message = "the HTTPS client could not be made".to_owned();
            return Outcome::Failed { failure: Failure::Internal, message }.into();
        };
        let Request { url, headers, body, secrets, timeout, again_after } = request;
        let mut post = reqwest::Request::new(Method::POST, url.url().clone());
        *post.headers_mut() = headers;
        // The network alone has it from here on, and lets go of what it has sent: bytes would be kept for a redirect.
        *post.body_mut() = Some(Body::wrap(Full::new(body)));
        let is_fresh = again_after.is_some();
        let client = if is_fresh { clients.fresh } else { clients.pooled };
        match timeout_at(deadline, reuse::watched(client.execute(post))).await {
            Ok((Ok(response), _)) => {
                self.hear(&url, &response);
                read_answer(response, deadline, &secrets).await.into()
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

fn text_of<'r>(response: &'r Response, name: &header::HeaderName) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// The status line has decided. The body is read as far as the deadline and the limit go.
async fn read_answer(mut response: Response, deadline: Instant, secrets: &Secrets) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = text_of(&response, &header::RETRY_AFTER)
        .filter(|text| text.len() <= RETRY_AFTER_BYTES)
        .map(str::to_owned);
    let is_html = text_of(&response, &header::CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase())
        .is_some_and(|kind| matches!(kind.as_str(), "text/html" | "application/xhtml+xml"));
    let (bytes, truncated) = read_body(&mut response, deadline).await;
    let (body, cut) = clean(&bytes, truncated);
    let truncated = truncated || cut;
    Outcome::Response { status, retry_after, body: secrets.redact(body, truncated), truncated, is_html }
}

/// What came of the answer's body, and whether that is not all.
async fn read_body(response: &mut Response, deadline: Instant) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        let chunk = match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return (bytes, false),
            Ok(Err(_)) | Err(_) => return (bytes, true),
        };
        let room = limits::RESPONSE_BYTES - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return (bytes, true);
        }
    }
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

/// Valid text without NUL, at most [`limits::RESPONSE_BYTES`]; and whether something was cut off for that.
fn clean(bytes: &[u8], truncated: bool) -> (String, bool) {
    let whole = match std::str::from_utf8(bytes) {
        // A character that the limit cut in two is dropped, not replaced.
        Err(error) if truncated && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    let mut text = String::from_utf8_lossy(whole).into_owned();
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    if text.len() <= limits::RESPONSE_BYTES {
        return (text, false);
    }
    text.truncate(text.floor_char_boundary(limits::RESPONSE_BYTES));
    (text, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_clean_text_within_the_limit() {
        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            assert_eq!(clean(bytes, false).0, expected);
        }
        check(b"ok", "ok");
        check(b"a\0b", "a\u{fffd}b");
        check(&[0xff, b'x'], "\u{fffd}x");
        check("späť".as_bytes(), "späť");
        let (text, cut) = clean(&vec![0xff; limits::RESPONSE_BYTES], false);
        assert!(cut && text.len() <= limits::RESPONSE_BYTES && text.ends_with('\u{fffd}'));
        let half = &"é".as_bytes()[..1];
        assert_eq!(clean(&[b"ab", half].concat(), true), ("ab".to_owned(), false));
    }
}
