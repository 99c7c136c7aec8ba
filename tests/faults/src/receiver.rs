//! Endpoints, all on one port: the path is the subscription's id. They log whole requests and answer as they are told.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::history::Hit;

/// The secret of every subscription.
pub const SECRET: &str = "fault-secret-0123456789";
const HEAD_BYTES: usize = 64 << 10;

/// How an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Always with this status.
    Answer(u16),
    /// One event in so many gets this status the first time (or, with `always`, every time), all else 200.
    Sometimes {
        /// One in so many, chosen by the event's id.
        one_in: u32,
        /// What it gets.
        status: u16,
        /// Every time.
        always: bool,
    },
    /// Never.
    Hang,
    /// A byte every 100 ms, without an end.
    Drip,
    /// 200, and a body without an end.
    Bomb,
    /// Not at all: it hangs up.
    HangUp,
    /// With this status, after so many milliseconds.
    Slow(u16, u64),
}

#[derive(Debug, Default)]
struct Book {
    hits: Vec<Hit>,
    epoch: u32,
    seen: HashSet<String>,
    behaviours: HashMap<String, Behaviour>,
}

/// The running endpoints.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Where they listen.
    pub address: SocketAddr,
    book: Arc<Mutex<Book>>,
    count: watch::Sender<usize>,
    open: watch::Sender<usize>,
}

impl Receiver {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let receiver = Self {
            address: listener.local_addr()?,
            book: Arc::default(),
            count: watch::Sender::new(0),
            open: watch::Sender::new(0),
        };
        let server = receiver.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                server.open.send_modify(|open| *open += 1);
                let server = server.clone();
                tokio::spawn(async move {
                    let _ = server.serve(stream).await;
                    server.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Ok(receiver)
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how the endpoint of a subscription answers; without it, 200.
    pub fn behave(&self, subscription: &str, behaviour: Behaviour) {
        self.book().behaviours.insert(subscription.to_owned(), behaviour);
    }

    /// What was received so far.
    pub fn hits(&self) -> Vec<Hit> {
        self.book().hits.clone()
    }

    /// Begins a new history for the same endpoints.
    pub fn forget(&self) {
        let mut book = self.book();
        *book = Book { behaviours: std::mem::take(&mut book.behaviours), ..Book::default() };
        drop(book);
        self.count.send_replace(0);
    }

    /// Whether an event arrived.
    pub fn has(&self, event_id: &str) -> bool {
        self.book().seen.contains(event_id)
    }

    /// The number of requests so far, whenever it grows.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Waits until every connection of a dead sidecar is read to its end, and begins the next epoch.
    pub async fn crashed(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        self.book().epoch += 1;
    }

    /// The number of crashes so far.
    pub fn crashes(&self) -> u32 {
        self.book().epoch
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        loop {
            let Some(request) = Request::read(&mut stream, &mut buffer).await? else { return Ok(()) };
            let behaviour = self.log(&request);
            // Not under the book's lock: who waits for this looks into the book.
            self.count.send_modify(|count| *count += 1);
            self.answer(&mut stream, behaviour).await?;
        }
    }

    /// Writes the hit down before it is answered, so that no row can speak of an answer that is not logged.
    fn log(&self, request: &Request) -> Behaviour {
        let mut book = self.book();
        let book = &mut *book;
        let told = book.behaviours.get(&request.path).copied().unwrap_or(Behaviour::Answer(200));
        let is_first = book.seen.insert(request.header("webhook-id").to_owned());
        let behaviour = match told {
            Behaviour::Sometimes { one_in, status, always } => {
                let chosen = request.header("webhook-id").bytes().map(u32::from).sum::<u32>() % one_in == 0;
                Behaviour::Answer(if chosen && (always || is_first) { status } else { 200 })
            }
            other => other,
        };
        let answer = match behaviour {
            Behaviour::Answer(status) | Behaviour::Slow(status, _) => Some(status),
            Behaviour::Bomb => Some(200),
            _ => None,
        };
        book.hits.push(Hit {
            event_id: request.header("webhook-id").to_owned(),
            subscription_id: request.path.clone(),
            body: hex(&Sha256::digest(&request.body)),
            signed: request.is_signed(),
            answer,
            epoch: book.epoch,
            at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_millis() as u64),
        });
        behaviour
    }

    async fn answer(&self, stream: &mut TcpStream, behaviour: Behaviour) -> io::Result<()> {
        match behaviour {
            Behaviour::Answer(status) => plain(stream, status).await,
            Behaviour::Slow(status, ms) => {
                // An endpoint that takes its time; nobody waits for this but the sidecar.
                tokio::time::sleep(Duration::from_millis(ms)).await;
                plain(stream, status).await
            }
            Behaviour::Hang => until_closed(stream).await,
            Behaviour::HangUp => Err(io::ErrorKind::ConnectionAborted.into()),
            Behaviour::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ").await?;
                let mut tick = tokio::time::interval(Duration::from_millis(100));
                loop {
                    tick.tick().await;
                    stream.write_all(b"x").await?;
                }
            }
            Behaviour::Bomb => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n").await?;
                let chunk = vec![b'x'; 256 << 10];
                loop {
                    stream.write_all(&chunk).await?;
                }
            }
            Behaviour::Sometimes { .. } => Ok(()),
        }
    }
}

async fn plain(stream: &mut TcpStream, status: u16) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status} Told\r\ncontent-length: 2\r\n\r\nok").as_bytes()).await
}

/// Reads until the other side is gone.
async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Err(io::ErrorKind::ConnectionAborted.into())
}

struct Request {
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// The next whole request, or none where the connection ended before.
    async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break end;
            }
            if buffer.len() > HEAD_BYTES || stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let path =
            lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("").trim_matches('/').to_owned();
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        while buffer.len() < end + 4 + length {
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
        let body = buffer[end + 4..end + 4 + length].to_vec();
        buffer.drain(..end + 4 + length);
        Ok(Some(Self { path, headers, body }))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Both signatures hold; see section 4 of the contract in the README.
    fn is_signed(&self) -> bool {
        let signed = [self.header("webhook-id"), ".", self.header("webhook-timestamp"), "."].concat();
        let standard = format!("v1,{}", STANDARD.encode(mac(&[signed.as_bytes(), &self.body])));
        let plain = format!("sha256={}", hex(&mac(&[&self.body])));
        self.header("webhook-signature") == standard && self.header("x-mcp-signature") == plain
    }
}

fn mac(parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
