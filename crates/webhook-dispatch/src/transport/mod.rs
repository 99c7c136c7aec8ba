//! The one way out: an HTTP POST through the address guard, with one deadline over everything.

mod classify;
mod redact;
mod resolve;

use std::{
    error::Error as _,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use reqwest::{Certificate, Client, Response, redirect, retry};
use tokio::time::{Instant, timeout_at};
use webhook_model::{EndpointUrl, Failure, Outcome, address::AddressPolicy, limits};

pub use self::redact::Secrets;
use self::resolve::GuardedResolver;

/// Idle connections kept for one host: as many as attempts may be under way, for all subscriptions may share a host.
const IDLE_PER_HOST: usize = limits::UNSETTLED;
/// Idle connections are closed after this time, which is shorter than most servers' own.
const IDLE: Duration = Duration::from_secs(30);
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
}

/// What came of it, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Never an error: every failure is data.
    pub outcome: Outcome,
    /// From the start of the attempt to its end.
    pub duration: Duration,
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

/// The network. One client for all endpoints, so that connections are used again.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    policy: NetworkPolicy,
}

impl HttpTransport {
    /// A transport under this policy. It does not change while it lives, so a pooled connection cannot outlive it.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(policy: NetworkPolicy) -> Result<Self, SetupError> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .http1_only()
            .https_only(!policy.allow_http)
            .user_agent(concat!("mcp-webhookd/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(GuardedResolver::new(policy.addresses.clone())));
        if let Some(path) = &policy.extra_ca_file {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        let client = builder.build().map_err(|error| {
            SetupError::Client(error.source().map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        Ok(Self { client, policy })
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
        match url.literal_address().map(|address| self.policy.addresses.check(address)) {
            Some(Err(blocked)) => failed(Failure::BlockedAddress, blocked.to_string()),
            _ => Ok(()),
        }
    }

    async fn exchange(&self, request: Request, deadline: Instant) -> Outcome {
        if let Err(outcome) = self.guard(&request.url) {
            return outcome;
        }
        let mut post = reqwest::Request::new(Method::POST, request.url.url().clone());
        *post.headers_mut() = request.headers;
        *post.body_mut() = Some(request.body.into());
        match timeout_at(deadline, self.client.execute(post)).await {
            Ok(Ok(response)) => read_answer(response, deadline, &request.secrets).await,
            Ok(Err(error)) => classify::failed(&error, &request.url.host_port()),
            Err(_) => {
                let (host, timeout) = (request.url.host_port(), request.timeout.as_secs());
                let message = format!("{host} did not answer within {timeout} s");
                Outcome::Failed { failure: Failure::Timeout, message }
            }
        }
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Exchange {
        let started = Instant::now();
        let deadline = started + request.timeout;
        let outcome = self.exchange(request, deadline).await;
        Exchange { outcome, duration: started.elapsed() }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let fault = |message: String| SetupError::ExtraCa(path.to_path_buf(), message);
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        Err(fault("it holds no PEM certificate".to_owned()))
    } else {
        Ok(certificates)
    }
}

/// The status line has decided. The body is read as far as the deadline and the limit go.
async fn read_answer(mut response: Response, deadline: Instant, secrets: &Secrets) -> Outcome {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .filter(|text| text.len() <= RETRY_AFTER_BYTES)
        .map(str::to_owned);
    let mut bytes = Vec::new();
    let mut truncated = false;
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = limits::RESPONSE_BYTES - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    truncated = true;
                    break;
                }
            }
            Ok(Ok(None)) => break,
            Ok(Err(_)) | Err(_) => {
                truncated = true;
                break;
            }
        }
    }
    let (body, cut) = clean(&bytes, truncated);
    let truncated = truncated || cut;
    Outcome::Response { status, retry_after, body: secrets.redact(body, truncated), truncated }
}

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
