//! The HTTP side, before JSON-RPC: who may come in, how much and how slowly, and the two plain pages.

use std::{convert::Infallible, net::SocketAddr, ops::RangeInclusive, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tokio::sync::Semaphore;
use webhook_api::Caller;
use webhook_model::{Shape, limits};

use crate::{
    guests::Guest, health, hosts::OwnHosts, live::Live, metrics, rpc::middleware::BadRequest, unread::Unread,
    vitals::Vitals,
};

/// A request's body must be there within this time.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Requests taken in at once; more wait their turn.
const CONCURRENT: usize = 256;
/// Bodies held at once, in KiB, besides small ones; what is more is not read until there is room.
const HELD: u32 = (limits::REQUEST_BYTES >> 10) as u32;
/// A smaller body waits for no room: all that may come at once take no more than one large one.
const SMALL: usize = limits::REQUEST_BYTES / CONCURRENT;
/// Bodies worked on at once, in KiB; a larger one has its turn alone. Reading, parsing and storing one takes several
/// times its size.
const WORKED_ON: u32 = 2 << 10;
/// How long a challenge may be.
const CHALLENGE: RangeInclusive<usize> = 32..=128;

/// What stands in front of the methods.
#[derive(Debug)]
pub struct Front {
    live: Arc<Live>,
    vitals: Arc<Vitals>,
    unread: Arc<Unread>,
    hosts: OwnHosts,
    room: Semaphore,
    held: Semaphore,
    work: Semaphore,
}

impl Front {
    /// A front for a listener on `address`.
    pub fn new(
        live: Arc<Live>,
        vitals: Arc<Vitals>,
        unread: Arc<Unread>,
        address: SocketAddr,
        allowed_hosts: &[String],
    ) -> Self {
        let hosts = OwnHosts::new(address.ip(), allowed_hosts);
        let [room, held, work] = [CONCURRENT, HELD as usize, WORKED_ON as usize].map(Semaphore::new);
        Self { live, vitals, unread, hosts, room, held, work }
    }

    /// Answers one request; `rpc` gets those that may call methods, with their whole body.
    ///
    /// # Errors
    /// Never.
    pub async fn answer<S>(
        &self,
        request: Request<Incoming>,
        guest: &Guest,
        mut rpc: S,
    ) -> Result<HttpResponse, Infallible>
    where
        S: tower::Service<HttpRequest, Response = HttpResponse>,
        S::Error: std::fmt::Display,
    {
        let headers = request.headers();
        if headers.contains_key(header::ORIGIN) || !self.hosts.are_called_by(&request) {
            return Ok(plain(StatusCode::FORBIDDEN, "this address is not for browsers, nor for this Host\n"));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => return Ok(self.prove(headers, self.health())),
            (&Method::GET, "/metrics") => return Ok(self.metrics().await),
            (&Method::POST, "/") => {}
            (_, "/" | "/healthz" | "/metrics") => return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "")),
            _ => return Ok(plain(StatusCode::NOT_FOUND, "")),
        }
        let Some(caller) = self.caller(headers) else {
            return Ok(plain(StatusCode::UNAUTHORIZED, ""));
        };
        guest.introduce();
        let Ok(_room) = self.room.acquire().await else {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, ""));
        };
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(header::AUTHORIZATION);
        parts.extensions.insert(caller);
        let Ok(_held) = self.held.acquire_many(held(&body)).await else {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, ""));
        };
        let bytes = match take_in(body).await {
            Ok(bytes) => bytes,
            Err(answer) => return Ok(answer),
        };
        let weight = u32::try_from(bytes.len() >> 10).unwrap_or(WORKED_ON);
        let Ok(_turn) = self.work.acquire_many((weight + 1).min(WORKED_ON)).await else {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, ""));
        };
        if bytes.trim_ascii_start().starts_with(b"[")
            && Shape::of(&bytes).members[0] > limits::BATCH_CALLS as usize
        {
            return Ok(too_many_calls());
        }
        let answer =
            rpc.call(Request::from_parts(parts, HttpBody::new(http_body_util::Full::new(bytes)))).await;
        Ok(match answer {
            Ok(mut response) => {
                if response.extensions().get::<BadRequest>().is_some() {
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                }
                self.unread.until_read(response).await
            }
            Err(error) => {
                tracing::error!(%error, "a request could not be answered");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        })
    }

    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return None };
        let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
        // Both are looked at, whatever the first says: the time tells nothing.
        let callers = self.live.callers();
        let (is_addon, is_admin) = (callers.addon.contains(token), callers.admin.contains(token));
        let database =
            headers.get("x-odoo-database").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        (is_addon || is_admin).then_some(Caller { is_admin, database })
    }

    /// 200 while it can work, also with reasons to look after it; 503 when it cannot.
    fn health(&self) -> HttpResponse {
        let reasons = health::reasons(&self.vitals);
        let (status, word) = match reasons.first() {
            None => (StatusCode::OK, "ok"),
            Some(worst) if worst.stops_work => (StatusCode::SERVICE_UNAVAILABLE, worst.kind.as_str()),
            Some(_) => (StatusCode::OK, "degraded"),
        };
        let body = serde_json::json!({"status": word, "reasons": reasons});
        typed(status, "application/json", body.to_string())
    }

    /// Adds the proof that this process knows the tokens, where one is asked for: whoever took the port while it was
    /// down cannot give it.
    fn prove(&self, headers: &HeaderMap, mut answer: HttpResponse) -> HttpResponse {
        let challenge = headers.get("x-mcp-challenge").and_then(|value| value.to_str().ok());
        let is_one =
            |text: &&str| CHALLENGE.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if let Some(challenge) = challenge.filter(is_one) {
            let callers = self.live.callers();
            let proofs: Vec<_> =
                callers.addon.proofs(challenge).chain(callers.admin.proofs(challenge)).collect();
            if let Ok(value) = HeaderValue::try_from(proofs.join(",")) {
                answer.headers_mut().insert("x-mcp-proof", value);
            }
        }
        answer
    }

    async fn metrics(&self) -> HttpResponse {
        let vitals = Arc::clone(&self.vitals);
        // It reads the log, which may have to wait for the disk.
        let rendered = tokio::task::spawn_blocking(move || metrics::render(&vitals)).await;
        match rendered {
            Ok(text) => typed(StatusCode::OK, "text/plain; version=0.0.4", text),
            Err(_) => {
                plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be made; see the log\n")
            }
        }
    }
}

/// Reads what is still coming of a body that is refused, as much again as may come at most: who is still writing when
/// the connection closes never sees the answer.
async fn read_away(incoming: &mut Incoming) {
    let mut left = limits::REQUEST_BYTES;
    let reading = async {
        while left > 0
            && let Some(Ok(frame)) = incoming.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    let _ = tokio::time::timeout(BODY_TIME, reading).await;
}

/// The room that a body needs, in KiB; one that does not say how long it is needs a quarter of it, for it is seldom long
/// and may be slow.
fn held(incoming: &Incoming) -> u32 {
    let most = incoming.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    match most {
        Some(bytes) if bytes <= SMALL => 0,
        Some(bytes) => u32::try_from(bytes >> 10).map_or(HELD, |room| (room + 1).min(HELD)),
        None => HELD / 4,
    }
}

/// A request's whole body, or the answer to one that is too large or too slow.
async fn take_in(mut incoming: Incoming) -> Result<Bytes, HttpResponse> {
    // One buffer from the start: collected parts would be copied beside themselves.
    let length = usize::try_from(incoming.size_hint().lower()).unwrap_or(0).min(limits::REQUEST_BYTES);
    let mut body = Limited::new(&mut incoming, limits::REQUEST_BYTES);
    let body = async {
        let mut whole = Vec::with_capacity(length);
        while let Some(frame) = body.frame().await.transpose()? {
            whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Bytes::from(whole))
    };
    match tokio::time::timeout(BODY_TIME, body).await {
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let limit = u32::try_from(limits::REQUEST_BYTES).unwrap_or(u32::MAX);
            read_away(&mut incoming).await;
            Err(jsonrpsee::server::http::response::too_large(limit))
        }
        Ok(Err(_)) => Err(plain(StatusCode::BAD_REQUEST, "")),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "")),
    }
}

/// A batch over its limit, before each of its calls is held.
fn too_many_calls() -> HttpResponse {
    let error = jsonrpsee::types::error::reject_too_big_batch_request(limits::BATCH_CALLS as usize);
    let response = jsonrpsee::MethodResponse::error(jsonrpsee::types::Id::Null, error);
    typed(StatusCode::OK, "application/json; charset=utf-8", response.into_json().get().to_owned())
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

fn typed(status: StatusCode, content_type: &'static str, text: String) -> HttpResponse {
    let mut response = Response::new(HttpBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
