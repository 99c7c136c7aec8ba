//! Calls the running sidecar, as its administration. Who took its port while it was down hears neither token nor call:
//! each connection begins with a challenge, and goes on when the answer shows that the token is known there.

use std::{io, path::Path, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use webhook_api::{Call, ErrorData, ErrorKind, Wire, field::OnWire};

use super::Trouble;
use crate::{
    config::Config,
    files::DataDir,
    tls,
    token::{self, Tokens},
};

/// A whole check of a big log takes its time.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// A connection and its proof must be there within this time.
const PROOF_TIME: Duration = Duration::from_secs(10);
/// A page of health is no longer, whoever made it.
const HEALTH_BYTES: usize = 64 << 10;

/// Calls one sidecar.
pub struct Client {
    way: Way,
    address: String,
    token: String,
    tokens: Tokens,
}

/// How one gets there.
enum Way {
    Socket(String),
    Port,
    Tls(TlsConnector),
}

/// What may go wrong between two ends.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    /// The sidecar of this data directory: `<data>/socket_path`, else `<data>/address`, and `<data>/admin_token`.
    pub fn new(config: &Config) -> Result<Self> {
        let data = DataDir::choose(config.data_dir.clone())?;
        let address = read(&data.address(), data.path())?;
        let token = read(&data.admin_token(), data.path())?;
        let socket = std::fs::read_to_string(data.socket_path()).unwrap_or_default();
        let way = match (socket.trim(), &config.tls_cert_file) {
            ("", None) => Way::Port,
            ("", Some(certificate)) => Way::Tls(tls::connector_of(certificate)?),
            (path, _) => Way::Socket(path.to_owned()),
        };
        Ok(Self { way, address, token, tokens: Tokens::read(&data.admin_token())? })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        match &self.way {
            Way::Socket(path) => format!("unix://{path}"),
            Way::Port => format!("http://{}/", self.address),
            Way::Tls(_) => format!("https://{}/", self.address),
        }
    }

    /// One call.
    pub async fn call<C: Call>(&self, params: &C) -> Result<C::Result> {
        let proven = tokio::time::timeout(PROOF_TIME, self.connect());
        let mut connection = proven.await.map_err(|_| self.unreachable("does not answer in time"))??;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": C::METHOD, "params": params}).to_string();
        let request = self
            .request(Method::POST, "/")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        let exchange = async {
            let answer = connection.send_request(request).await?;
            let (head, body) = answer.into_parts();
            Ok::<_, hyper::Error>((head.status, body.collect().await?.to_bytes()))
        };
        let answered = tokio::time::timeout(PATIENCE, exchange);
        let answered = answered.await.map_err(|_| self.unreachable("does not answer in time"))?;
        let (status, text) = answered.map_err(|_| self.unreachable("broke the connection off"))?;
        let refused = |what: String| Trouble::Refused(format!("the sidecar at {} {what}", self.url()));
        let Ok(reply) = serde_json::from_slice::<Reply<'_>>(&text) else {
            return Err(refused(format!("answered HTTP {status}")).into());
        };
        match (reply.result, reply.error) {
            (Some(result), _) => serde_json::from_str(result.get()).map_err(|_| {
                refused("is of another version than this command; restart it".to_owned()).into()
            }),
            (None, error) => Err(advised(C::METHOD, error.unwrap_or_default()).into()),
        }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let host = if matches!(self.way, Way::Socket(_)) { "localhost" } else { &self.address };
        Request::builder().method(method).uri(path).header(header::HOST, host)
    }

    /// A connection whose other end has proven itself.
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let mut connection = self.open().await.map_err(|_| self.unreachable("cannot be reached"))?;
        let challenge = token::random()?;
        let asked = self.request(Method::GET, "/healthz").header("x-mcp-challenge", &challenge);
        let answered = connection.send_request(asked.body(Full::default())?).await;
        if let Err(error) = &answered
            && !error.is_parse()
        {
            return Err(self.unreachable("broke the connection off").into());
        }
        if let Ok(answer) = answered
            && self.is_proof(&challenge, answer.headers())
        {
            let read = read_away(answer, &mut connection).await;
            return read
                .map(|()| connection)
                .map_err(|_| self.unreachable("broke the connection off").into());
        }
        let said = "does not know the admin token, so nothing was sent to it; is another sidecar, or another program, \
                    running there? End it, or give the sidecar's --data-dir DIR";
        Err(Trouble::Refused(format!("what answers at {} {said}", self.url())).into())
    }

    fn is_proof(&self, challenge: &str, headers: &HeaderMap) -> bool {
        let given = headers.get("x-mcp-proof").and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.tokens.proofs(challenge).any(|own| given.split(',').any(|proof| proof == own))
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        match &self.way {
            Way::Socket(path) => speak(UnixStream::connect(path).await?).await,
            Way::Port => speak(TcpStream::connect(&self.address).await?).await,
            Way::Tls(connector) => {
                let stream = TcpStream::connect(&self.address).await?;
                let name = stream.peer_addr()?.ip().into();
                speak(connector.connect(name, stream).await?).await
            }
        }
    }

    fn unreachable(&self, what: &str) -> Trouble {
        Trouble::Unreachable(format!(
            "the sidecar at {} {what}; is it running? Start it with: mcp-webhookd serve",
            self.url()
        ))
    }
}

/// Speaks HTTP on a connection, until whoever asked lets go.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Reads the rest of an answer, behind which the connection takes the next request.
async fn read_away(
    answer: Response<Incoming>,
    connection: &mut SendRequest<Full<Bytes>>,
) -> Result<(), Failure> {
    Limited::new(answer.into_body(), HEALTH_BYTES).collect().await?;
    Ok(connection.ready().await?)
}

/// What comes back.
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refusal>,
}

/// An error of the protocol, or of a method, which has data.
#[derive(Default, Deserialize)]
struct Refusal {
    message: Option<String>,
    /// As [`ErrorData`], unless the sidecar is newer.
    data: Option<Value>,
}

/// What the sidecar said, and what to do about it.
fn advised(method: &str, refusal: Refusal) -> Trouble {
    let message = refusal.message.unwrap_or_else(|| "the call was refused".to_owned());
    // Administration is for operators alone: its refusals say what to do themselves.
    if method.starts_with("admin.") {
        return Trouble::Refused(message);
    }
    let data = refusal.data.and_then(|data| serde_json::from_value::<ErrorData>(data).ok());
    let advice = match data.map(|data| data.kind.0) {
        Some(ErrorKind::NotFound) => "look for it with: mcp-webhookd deliveries list, or subscriptions list",
        Some(ErrorKind::Conflict) => "wait for it with: mcp-webhookd deliveries show",
        Some(ErrorKind::Inactive) => "activate the subscription in Odoo first",
        Some(ErrorKind::StoreUnavailable) => "see what is in the way with: mcp-webhookd status",
        _ => CORRECT,
    };
    Trouble::Refused(format!("{message}; {advice}"))
}

/// What to do about most refusals.
const CORRECT: &str = "correct that and try again";

/// An argument, as a parameter of this name has it.
pub fn parameter<T: OnWire>(name: &str, text: &str) -> Result<Wire<T>> {
    let read = webhook_api::read::from_value(text.into(), name);
    read.map_err(|refused| Trouble::Refused(format!("{refused}; {CORRECT}")).into())
}

fn read(path: &Path, folder: &Path) -> Result<String> {
    let folder = folder.display();
    let what = match std::fs::read_to_string(path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => format!(
            "{} may only be read by the sidecar's own user; run this command as that user (sudo -u USER)",
            path.display()
        ),
        Err(_) => format!(
            "no sidecar is running with the data directory {folder}; start it with `mcp-webhookd serve`, or name another \
             with --data-dir DIR"
        ),
    };
    Err(Trouble::Unreachable(what).into())
}
