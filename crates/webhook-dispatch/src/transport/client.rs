//! A client: the connections of one time limit, with buffers that stay small whatever an endpoint sends.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use super::{resolve::GuardedResolver, reuse};

/// The most of an answer's head, and of its body that waits to be read.
const BUFFER_BYTES: usize = 32 << 10;
/// A connection on which nothing comes is asked for a sign of life so often.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How many signs may be missing.
const KEEPALIVES: u32 = 3;
/// What was sent must be acknowledged within this time.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

pub(super) type Client = Pool<Connector, Full<Bytes>>;

/// What a client's connections have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// For making one. Among a name's addresses it is shared out, so that a dead one leaves some to the others.
    pub limit: Duration,
    /// After this time without a request one is closed.
    pub idle: Duration,
    /// Idle ones for one host.
    pub most_idle: usize,
    /// Also without TLS.
    pub allow_http: bool,
}

impl Settings {
    pub fn client(self, tls: rustls::ClientConfig, resolver: GuardedResolver) -> Client {
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(self.limit));
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE));
        http.set_keepalive_retries(Some(KEEPALIVES));
        http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let mut https = HttpsConnector::from((http, tls));
        if !self.allow_http {
            https.enforce_https();
        }
        Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle)
            .pool_max_idle_per_host(self.most_idle)
            .http1_max_buf_size(BUFFER_BYTES)
            // The final status line decides, whatever stands beside it.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .build(Connector { https, limit: self.limit })
    }
}

/// Makes connections, TLS included, within a time, and marks the request for which it does.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector<GuardedResolver>>,
    limit: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        reuse::mark();
        let connecting = timeout(self.limit, self.https.call(target));
        Box::pin(async move {
            connecting.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}
