//! `listen`: a receiver for development.

use std::{
    convert::Infallible,
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use webhook_dispatch::{Clock, SystemClock, sign};
use webhook_model::{Millis, SigningSecret, limits};

use super::output;
use crate::advice::Advise;

/// A timestamp may be so old, as Standard Webhooks advises.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Args)]
#[command(after_help = "A sidecar sends to loopback only if it is told to:\n  \
                        MCP_WEBHOOKD_NETWORK_ALLOW_HTTP=true MCP_WEBHOOKD_NETWORK_ALLOW_NETWORKS=127.0.0.0/8 mcp-webhookd serve\n\
                        Then use http://127.0.0.1:9000/ as the subscription's URL.")]
pub struct Options {
    /// Port on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// The subscription's secret; without it signatures are not verified
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// Answer with this HTTP status
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(100..600))]
    status: u16,
    /// Answer after this many milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delay: u64,
    /// End after so many requests
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

struct Receiver {
    secret: Option<SigningSecret>,
    status: u16,
    delay: Duration,
    count: Option<usize>,
    seen: AtomicUsize,
    enough: CancellationToken,
}

/// Receives until Ctrl-C.
pub async fn run(options: &Options) -> Result<()> {
    let secret = options.secret.as_deref().map(SigningSecret::parse).transpose();
    let secret = secret.advise("--secret", "give it as the subscription has it")?;
    let address = SocketAddr::from(([127, 0, 0, 1], options.port));
    let listener = TcpListener::bind(address)
        .await
        .advise(format!("{address} cannot be listened on"), "give another --port")?;
    let receiver = Arc::new(Receiver {
        secret,
        status: options.status,
        delay: Duration::from_millis(options.delay),
        count: options.count,
        seen: AtomicUsize::new(0),
        enough: CancellationToken::new(),
    });
    eprintln!("receiving at http://{}/; Ctrl-C ends this", listener.local_addr()?);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = receiver.enough.cancelled() => return Ok(()),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move {
            let answer = service_fn(|request| receiver.answer(request));
            // The end of a connection is no news here.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
            if receiver.count.is_some_and(|count| receiver.seen.load(Relaxed) >= count) {
                receiver.enough.cancel();
            }
        });
    }
}

impl Receiver {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, 4 * limits::PAYLOAD_BYTES).collect().await;
        let body = body.map(|collected| collected.to_bytes()).unwrap_or_default();
        let verdict = self.verdict(&parts.headers, &body);
        let shown = print(&format!("{} {}", parts.method, parts.uri), &parts.headers, &body, verdict);
        if shown.is_err() {
            self.enough.cancel();
        }
        // `--delay`: the slow endpoint that somebody wants to try.
        tokio::time::sleep(self.delay).await;
        self.seen.fetch_add(1, Relaxed);
        let mut response = Response::new(Full::new(Bytes::from_static(b"seen\n")));
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        if self.count.is_some() {
            response.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// A word for the table of colours, and why.
    fn verdict(&self, headers: &HeaderMap, body: &[u8]) -> (&'static str, &'static str) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let given = ["webhook-signature", "x-mcp-signature"].map(text);
        let Some(secret) = &self.secret else {
            return match given {
                [None, None] => ("absent", "unsigned: the subscription has no secret"),
                _ => ("unchecked", "give --secret to verify"),
            };
        };
        if given == [None, None] {
            return ("absent", "unsigned: the subscription has no secret");
        }
        let seconds = text("webhook-timestamp").and_then(|text| text.parse::<u64>().ok());
        let (Some(id), Some(seconds)) = (text("webhook-id").and_then(|id| id.parse().ok()), seconds) else {
            return ("INVALID", "webhook-id or webhook-timestamp is missing");
        };
        let sent = Millis(seconds.saturating_mul(1000));
        let mut expected = HeaderMap::new();
        sign::sign(&mut expected, &[secret], id, sent, body);
        // While a secret is replaced there are two, with a space between.
        let holds = |name: &str| {
            let wanted = expected.get(name).and_then(|value| value.to_str().ok());
            text(name).is_some_and(|given| given.split(' ').any(|one| Some(one) == wanted))
        };
        let now = SystemClock.now();
        match (holds("webhook-signature"), holds("x-mcp-signature")) {
            (true, true) if now.since(sent).max(sent.since(now)) > TOLERANCE => {
                ("INVALID", "signed, but more than 5 minutes ago: compare the clocks")
            }
            (true, true) => ("valid", "both signatures hold"),
            _ => ("INVALID", "not signed with this secret, or changed on the way"),
        }
    }
}

fn print(line: &str, headers: &HeaderMap, body: &[u8], (word, why): (&str, &str)) -> Result<()> {
    let mut out = output::stdout();
    writeln!(out, "{}", output::clean(line))?;
    for (name, value) in headers {
        let is_ours =
            name.as_str().starts_with("webhook-") || name == "x-mcp-signature" || name == "content-type";
        if is_ours {
            writeln!(out, "{name}: {}", output::clean(&String::from_utf8_lossy(value.as_bytes())))?;
        }
    }
    writeln!(out, "signature: {} ({why})", output::coloured(word, 0))?;
    let body = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => format!("{json:#}"),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    writeln!(out, "{}\n", output::clean(&body))?;
    Ok(out.flush()?)
}
