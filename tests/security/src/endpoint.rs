//! Listeners behind every address, which count who comes and behave as badly as told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// How a connection to a port begins.
#[derive(Clone)]
pub enum Greeting {
    /// HTTP at once.
    Plain,
    /// HTTP behind a handshake.
    Tls(TlsAcceptor),
    /// Whoever comes gets these bytes, unasked, and the connection is closed.
    Says(&'static [u8]),
    /// The connection is taken, and nothing is ever said.
    Silence,
}

impl std::fmt::Debug for Greeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(_) => "Tls",
            Self::Says(_) => "Says",
            Self::Silence => "Silence",
        })
    }
}

/// What an endpoint does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Reads the request, writes these bytes, and closes.
    Answers(Vec<u8>),
    /// Reads the request, writes the first bytes, then the second ones again and again, with a pause before each.
    Repeats(Vec<u8>, Vec<u8>, Duration),
    /// Writes these bytes before it has read the body, and closes.
    AnswersEarly(Vec<u8>),
    /// Reads the request and never answers.
    Hangs,
    /// Reads the head and never the body, nor answers.
    NeverReads,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The address and port that was dialled.
    pub to: SocketAddr,
    /// Request line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: Vec<SocketAddr>,
    requests: Vec<Received>,
    behaviours: HashMap<String, Behaviour>,
}

/// All of them together.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(Arc<Mutex<Seen>>);

/// A plain success.
pub const SUCCESS: &[u8] = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

impl Endpoints {
    /// Listens on this port of every address, IPv4 and IPv6, until the runtime ends.
    pub async fn listen(&self, port: u16, greeting: Greeting) {
        let listener = TcpListener::bind(("::", port)).await.expect("a free port in a new namespace");
        let endpoints = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Ok(dialled) = stream.local_addr() else { continue };
                let dialled = SocketAddr::new(dialled.ip().to_canonical(), dialled.port());
                endpoints.seen().connections.push(dialled);
                let (endpoints, greeting) = (endpoints.clone(), greeting.clone());
                tokio::spawn(async move {
                    match greeting {
                        Greeting::Plain => endpoints.serve(stream, dialled).await,
                        Greeting::Tls(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => endpoints.serve(stream, dialled).await,
                            Err(_) => None,
                        },
                        Greeting::Says(bytes) => stream.write_all(bytes).await.ok(),
                        Greeting::Silence => {
                            let _open = stream;
                            std::future::pending().await
                        }
                    }
                });
            }
        });
    }

    /// From now on this path behaves so. Others answer [`SUCCESS`].
    pub fn put(&self, path: &str, behaviour: Behaviour) {
        self.seen().behaviours.insert(path.to_owned(), behaviour);
    }

    /// Every connection so far: what was dialled.
    pub fn connections(&self) -> Vec<SocketAddr> {
        self.seen().connections.clone()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Received> {
        self.seen().requests.clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request, one answer, the end.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, to: SocketAddr) -> Option<()> {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
        let path = head.split(' ').nth(1)?.split('?').next()?.to_owned();
        let behaviour = self.seen().behaviours.get(&path).cloned();
        let behaviour = behaviour.unwrap_or_else(|| Behaviour::Answers(SUCCESS.to_vec()));
        let mut body = bytes.split_off(head_end);
        if matches!(behaviour, Behaviour::NeverReads) {
            self.seen().requests.push(Received { to, head, body });
            return std::future::pending().await;
        }
        if let Behaviour::AnswersEarly(answer) = behaviour {
            self.seen().requests.push(Received { to, head, body });
            stream.write_all(&answer).await.ok()?;
            return stream.shutdown().await.ok();
        }
        let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while body.len() < length {
            if stream.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        self.seen().requests.push(Received { to, head, body });
        match behaviour {
            Behaviour::Answers(answer) => {
                stream.write_all(&answer).await.ok()?;
                stream.shutdown().await.ok()
            }
            Behaviour::Repeats(first, again, pause) => {
                stream.write_all(&first).await.ok()?;
                loop {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    stream.write_all(&again).await.ok()?;
                    stream.flush().await.ok()?;
                }
            }
            _ => std::future::pending().await,
        }
    }
}

/// A header's value in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}
