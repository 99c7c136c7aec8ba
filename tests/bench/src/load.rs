//! The load: submitters with a connection each, against the sidecar or another sender.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use uuid::Uuid;
use webhook_model::Millis;

use crate::board::Board;

/// The default body of an event has this many bytes.
pub const EVENT_BYTES: usize = 400;

/// Someone who takes events over HTTP and delivers them to the receiver: the sidecar, or what it is compared with.
pub trait Sender: Send + Sync + 'static {
    /// Where to connect: `host:port`.
    fn address(&self) -> &str;
    /// The request that submits these events.
    fn request(&self, events: &[(usize, Uuid)]) -> Result<Request<Full<Bytes>>>;
    /// How many events this answer accepted.
    fn accepted(&self, status: u16, body: &[u8]) -> usize;
}

/// The sidecar's `event.submit`, round robin over these subscriptions.
#[derive(Clone)]
pub struct Submit {
    pub address: String,
    pub token: String,
    pub subscriptions: Vec<Uuid>,
}

impl Sender for Submit {
    fn address(&self) -> &str {
        &self.address
    }

    fn request(&self, events: &[(usize, Uuid)]) -> Result<Request<Full<Bytes>>> {
        let mut body = String::with_capacity(events.len() * (EVENT_BYTES + 60) + 100);
        body.push_str(r#"{"jsonrpc":"2.0","id":1,"method":"event.submit","params":{"events":["#);
        let (time, _) = time_now();
        for (index, (number, id)) in events.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            let owner = self.subscriptions[number % self.subscriptions.len()];
            push_event(&mut body, *number, *id, &format!(r#""subscription_id":"{owner}","#), "id", &time);
        }
        body.push_str("]}}");
        Ok(Request::post("/")
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(body.into()))?)
    }

    fn accepted(&self, _status: u16, body: &[u8]) -> usize {
        std::str::from_utf8(body).map_or(0, |text| text.matches(r#""accepted""#).count())
    }
}

/// Any other sender that takes one event a POST. `{event}` in the body stands for the event, `{id}` for its id.
pub struct Other {
    pub address: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Other {
    /// A sender at `http://HOST:PORT/PATH`; headers are `Name: value`.
    pub fn new(url: &str, headers: &[String], body: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").context("the other sender's URL begins with http://")?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let header = |text: &String| {
            let (name, value) = text.split_once(':').context("a header is `Name: value`")?;
            anyhow::Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        Ok(Self {
            address: address.to_owned(),
            path: format!("/{path}"),
            headers: headers.iter().map(header).collect::<Result<_>>()?,
            body: body.to_owned(),
        })
    }
}

impl Sender for Other {
    fn address(&self) -> &str {
        &self.address
    }

    fn request(&self, events: &[(usize, Uuid)]) -> Result<Request<Full<Bytes>>> {
        let [(number, id)] = events else { bail!("one event a request") };
        let mut event = String::new();
        push_event(&mut event, *number, *id, "", "event_id", &time_now().0);
        let body = self.body.replace("{event}", &event).replace("{id}", &id.to_string());
        let mut request = Request::post(&self.path).header("host", &self.address);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.header("content-type", "application/json").body(Full::new(body.into()))?)
    }

    fn accepted(&self, status: u16, _body: &[u8]) -> usize {
        usize::from((200..300).contains(&status))
    }
}

/// Appends an event as JSON; `owner` stands behind its id, which has the key `id_key`.
pub fn push_event(out: &mut String, number: usize, id: Uuid, owner: &str, id_key: &str, time: &str) {
    use std::fmt::Write;
    let head = format!(
        r#""model":"sale.order","event_type":"write","record_ids":[{number}],"user_id":2,"timestamp":"{time}","records":[{{"id":{number},"name":"S{number:05}","state":"sale","amount_total":129.5,"note":""#
    );
    // {"event_id":"<36>", is what stands before the head in the body that is posted.
    let pad = EVENT_BYTES.saturating_sub(head.len() + 51 + 4);
    let _ = write!(out, r#"{{"{id_key}":"{id}",{owner}{head}{:x<pad$}"}}]}}"#, "");
}

/// The time, as RFC 3339 and as the log has it: events must not be too old.
pub fn time_now() -> (String, Millis) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Millis(since.as_millis() as u64);
    (now.to_string(), now)
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub accepted: u64,
    /// From the first submission to the last answer.
    pub took: Duration,
}

/// Submitters that send the next request when they have the answer to the last, until `time` is over or the board is
/// full.
pub async fn closed(
    sender: &Arc<impl Sender>,
    board: &Arc<Board>,
    submitters: usize,
    batch: usize,
    time: Duration,
) -> Result<Load> {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..submitters {
        let (sender, board, next) = (Arc::clone(sender), Arc::clone(board), Arc::clone(&next));
        tasks.spawn(async move {
            let mut connection = Connection::open(&*sender).await?;
            let mut accepted = 0;
            while start.elapsed() < time {
                let from = next.fetch_add(batch, Relaxed);
                if from + batch > board.room() {
                    break;
                }
                accepted += connection.submit(&*sender, &board, from..from + batch).await?;
            }
            anyhow::Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(done) = tasks.join_next().await {
        accepted += done.context("a submitter")?? as u64;
    }
    Ok(Load { accepted, took: start.elapsed() })
}

/// One event a request at a steady rate, whatever the answers do; `numbers` names the events.
pub async fn steady(
    sender: &Arc<impl Sender>,
    board: &Arc<Board>,
    per_second: f64,
    numbers: std::ops::Range<usize>,
) -> Result<Load> {
    let (queue, work) = mpsc::unbounded_channel::<usize>();
    let work = Arc::new(tokio::sync::Mutex::new(work));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (sender, board, work) = (Arc::clone(sender), Arc::clone(board), Arc::clone(&work));
        let mut connection = Connection::open(&*sender).await?;
        tasks.spawn(async move {
            let mut accepted = 0;
            loop {
                let Some(number) = work.lock().await.recv().await else { return anyhow::Ok(accepted) };
                accepted += connection.send(&*sender, &board, number..number + 1).await?;
            }
        });
    }
    let start = Instant::now();
    for (index, number) in numbers.enumerate() {
        let at = start + Duration::from_secs_f64(index as f64 / per_second);
        if at > Instant::now() {
            tokio::time::sleep_until(at.into()).await;
        }
        // The clock runs from here, also while the event waits for a free connection.
        board.sent(number);
        queue.send(number)?;
    }
    drop(queue);
    let mut accepted = 0;
    while let Some(done) = tasks.join_next().await {
        accepted += done.context("a submitter")?? as u64;
    }
    Ok(Load { accepted, took: start.elapsed() })
}

/// Connections of a steady load; fewer would make it wait for answers.
const CONNECTIONS: usize = 64;

struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn open(sender: &impl Sender) -> Result<Self> {
        let stream = TcpStream::connect(sender.address()).await?;
        stream.set_nodelay(true)?;
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(send))
    }

    async fn submit(
        &mut self,
        sender: &impl Sender,
        board: &Board,
        numbers: std::ops::Range<usize>,
    ) -> Result<usize> {
        numbers.clone().for_each(|number| board.sent(number));
        self.send(sender, board, numbers).await
    }

    async fn send(
        &mut self,
        sender: &impl Sender,
        board: &Board,
        numbers: std::ops::Range<usize>,
    ) -> Result<usize> {
        let events: Vec<(usize, Uuid)> = numbers.map(|number| (number, board.id(number))).collect();
        self.0.ready().await?;
        let answer = self.0.send_request(sender.request(&events)?).await?;
        let status = answer.status().as_u16();
        let body = whole(answer).await?;
        let accepted = sender.accepted(status, &body);
        ensure!(accepted == events.len(), "HTTP {status}: {}", String::from_utf8_lossy(&body));
        Ok(accepted)
    }
}

async fn whole(answer: hyper::Response<Incoming>) -> Result<Bytes> {
    Ok(answer.into_body().collect().await?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_the_report_names() {
        for number in [0, 7, 1_234_567] {
            let mut event = String::new();
            push_event(&mut event, number, Uuid::nil(), "", "event_id", "2026-11-23T10:15:00.000Z");
            assert_eq!(event.len(), EVENT_BYTES);
            assert!(serde_json::from_str::<serde_json::Value>(&event).is_ok(), "{event}");
        }
    }
}
