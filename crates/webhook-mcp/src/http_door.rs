//! Streamable HTTP: who comes in, before the protocol. Both eras are at one address.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService,
    session::{SessionManager, local::LocalSessionManager},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    handler::Handler,
    odoo::{Odoo, Trouble},
    principal::{Key, Principal},
};

/// The one path.
const PATH: &str = "/mcp";
/// Sessions of the older era at a time.
const SESSIONS: usize = 2000;
/// Of one key; a further one ends its oldest.
const OF_ONE_KEY: usize = 20;
/// How long a session may be silent: whoever listens for rare events says nothing meanwhile.
const SILENT: Duration = Duration::from_secs(12 * 60 * 60);
/// How long Odoo's word for a key holds at this door; each call asks anew.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const SESSION: &str = "mcp-session-id";
const LOCAL_PAGES: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

/// What is answered.
pub type Body = BoxBody<Bytes, Infallible>;

/// The way in for clients that connect by HTTP.
pub struct Door {
    odoo: Arc<Odoo>,
    sessions: Arc<LocalSessionManager>,
    service: StreamableHttpService<Handler, LocalSessionManager>,
    /// Whose session each is: with another's key nobody may listen.
    owners: Mutex<HashMap<String, Owner>>,
    known: Mutex<HashMap<[u8; 32], Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    key: [u8; 32],
    since: Instant,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("odoo", &self.odoo).finish_non_exhaustive()
    }
}

impl Door {
    /// A door to this Odoo. Pages of `public_url` may call, and pages of this machine where `is_local`: whoever can put
    /// one there needs no page. Those of no other origin may.
    pub fn new(odoo: Odoo, public_url: Option<&Url>, is_local: bool, stop: CancellationToken) -> Self {
        let odoo = Arc::new(odoo);
        let own = public_url.map(|url| url.origin().ascii_serialization());
        let local = is_local.then_some(LOCAL_PAGES).into_iter().flatten().map(str::to_owned);
        let origins = own.into_iter().chain(local);
        let config = StreamableHttpServerConfig::default()
            // Whoever calls this has looked at the Host already.
            .disable_allowed_hosts()
            .with_allowed_origins(origins)
            .enforce_origin_validation()
            .with_json_response(true)
            .with_cancellation_token(stop);
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SILENT);
        let sessions = Arc::new(sessions);
        let shared = Arc::clone(&odoo);
        let make = move || Ok(Handler::new(Arc::clone(&shared)));
        let service = StreamableHttpService::new(make, Arc::clone(&sessions), config);
        Self { odoo, sessions, service, owners: Mutex::default(), known: Mutex::default() }
    }

    /// Answers one request with its whole body. `introduced` is told once Odoo knows the caller.
    pub async fn answer(&self, mut request: Request<Bytes>, introduced: impl FnOnce()) -> Response<Body> {
        if request.uri().path().trim_end_matches('/') != PATH {
            return plain(StatusCode::NOT_FOUND, "the MCP server is at /mcp\n");
        }
        let Some(key) = bearer(request.headers()) else {
            return unauthorized(
                "Bring an Odoo API key: Authorization: Bearer <key>. Users make one in Odoo under My Profile > Account Security.\n",
            );
        };
        let (digest, principal) = (key.digest(), Principal::Key(key));
        let session = request.headers().get(SESSION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(session) = &session
            && self.owners().get(session).is_some_and(|owner| owner.key != digest)
        {
            return plain(StatusCode::NOT_FOUND, "Not Found: Session not found");
        }
        match self.know(&principal, digest).await {
            Ok(()) => introduced(),
            Err(Trouble::UnknownKey) => return unauthorized("Odoo does not know this API key (any more).\n"),
            // Its own call will say what is in the way.
            Err(_) => {}
        }
        if session.is_none() && self.sessions.sessions.read().await.len() >= SESSIONS {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "too many sessions; try again in a few minutes\n");
        }
        let is_end = request.method() == Method::DELETE;
        request.headers_mut().remove(header::AUTHORIZATION);
        request.extensions_mut().insert(principal);
        let mut response = self.service.handle(request.map(Full::new)).await;
        match (session, is_end) {
            (Some(session), true) => {
                self.owners().remove(&session);
            }
            (None, _) => self.note_session(&response, digest).await,
            _ => {}
        }
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Odoo's word, at most a minute old.
    async fn know(&self, principal: &Principal, digest: [u8; 32]) -> Result<(), Trouble> {
        if self.known().get(&digest).is_some_and(|at| at.elapsed() < KNOWN_FOR) {
            return Ok(());
        }
        let told = self.odoo.knows(principal).await;
        let mut known = self.known();
        known.retain(|_, at| at.elapsed() < KNOWN_FOR);
        match told {
            Ok(()) => known.insert(digest, Instant::now()),
            Err(_) => known.remove(&digest),
        };
        told
    }

    /// Remembers whose session was opened, forgets those that are over, and ends one that is too many.
    async fn note_session(&self, response: &Response<Body>, key: [u8; 32]) {
        let Some(session) = response.headers().get(SESSION).and_then(|value| value.to_str().ok()) else {
            return;
        };
        let open: HashSet<String> =
            self.sessions.sessions.read().await.keys().map(|session| session.to_string()).collect();
        let surplus = {
            let mut owners = self.owners();
            owners.retain(|session, _| open.contains(session));
            owners.insert(session.to_owned(), Owner { key, since: Instant::now() });
            let of_key = owners.iter().filter(|(_, owner)| owner.key == key);
            let oldest =
                of_key.clone().min_by_key(|(_, owner)| owner.since).map(|(session, _)| session.clone());
            oldest.filter(|_| of_key.count() > OF_ONE_KEY)
        };
        if let Some(session) = surplus {
            let _ = self.sessions.close_session(&session.clone().into()).await;
            self.owners().remove(&session);
        }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one key of a request.
fn bearer(headers: &HeaderMap) -> Option<Key> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Key::new(token.trim()))?
}

fn unauthorized(text: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::UNAUTHORIZED, text);
    let challenge = HeaderValue::from_static("Bearer realm=\"odoo\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
