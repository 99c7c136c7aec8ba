//! Answers that callers have not read, of which there is an end in memory and in time.
//!
//! Nobody waits for another's reading: with less room the pages of lists are shorter, with none lists are refused, and
//! what takes events in or settles them goes on. Who does not read loses the connection, and with it the room.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use jsonrpsee::server::{HttpBody, HttpResponse};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, Sleep, sleep_until},
};
use webhook_dispatch::{Budget, Held};
use webhook_model::limits;

/// Answers beyond it make lists wait for their readers.
const MOST: usize = 16 << 20;
/// The shortest page that is still worth a call.
const LEAST: usize = MOST / 64;
/// Lists that are made at once: each lies in memory several times until it is one text.
const MADE: usize = 2;
/// A caller reads [`STEP`] bytes, or whatever there is, within this time.
const TIME: Duration = Duration::from_secs(10);
/// See [`TIME`].
const STEP: usize = 64 << 10;

/// All of them.
#[derive(Debug)]
pub struct Unread {
    bytes: Arc<Budget>,
    turns: Semaphore,
}

impl Unread {
    /// None.
    pub fn new() -> Self {
        Self { bytes: Budget::new(MOST), turns: Semaphore::new(MADE) }
    }

    /// The turn to make a list. It depends on no caller: nothing is sent while it is held.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("it is never closed")
    }

    /// How long a page may become: a part of what is left, so that some is left whoever does not read. None where that
    /// is nothing.
    pub fn room(&self) -> Option<usize> {
        let part = self.bytes.room(false) / 4;
        (part >= LEAST).then(|| part.min(limits::LIST_ANSWER_BYTES))
    }

    /// So much of an answer is made.
    pub fn hold(&self, bytes: usize) -> Held {
        self.bytes.take(bytes)
    }

    /// Counts the answer until the network has the last of it.
    pub async fn until_read(&self, response: HttpResponse) -> HttpResponse {
        let (parts, body) = response.into_parts();
        // jsonrpsee's answers are there as a whole, so nothing is waited for or copied.
        let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let held = self.hold(whole.len());
        HttpResponse::from_parts(parts, HttpBody::new(Full::new(held.with(whole))))
    }
}

/// How long the other side has kept something from being sent.
#[derive(Debug, Default)]
struct Patience {
    since: Option<Instant>,
    /// What was sent since then.
    sent: usize,
}

impl Patience {
    fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= STEP {
            self.since = None;
        }
    }

    fn all_sent(&mut self) {
        self.since = None;
    }

    /// Nothing can be sent at `now`; returns when that has been borne long enough.
    fn blocked(&mut self, now: Instant) -> Instant {
        if self.since.is_none() {
            (self.since, self.sent) = (Some(now), 0);
        }
        self.since.unwrap_or(now) + TIME
    }
}

/// A connection that ends when its other side does not read.
#[derive(Debug)]
pub struct Impatient<S> {
    stream: S,
    patience: Patience,
    /// Wakes the connection at the end of patience.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    /// From now on.
    pub fn new(stream: S) -> Self {
        Self { stream, patience: Patience::default(), timer: None }
    }

    /// What a stream says that cannot take more now.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let end = self.patience.blocked(Instant::now());
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            written => {
                self.patience.sent(written_bytes(&written));
                written
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Pending => self.wait(context),
            written => {
                self.patience.sent(written_bytes(&written));
                written
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.wait(context),
            // Everything that there was is out.
            flushed => {
                self.patience.all_sent();
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.wait(context),
            shut => shut,
        }
    }
}

fn written_bytes(written: &Poll<io::Result<usize>>) -> usize {
    match written {
        Poll::Ready(Ok(bytes)) => *bytes,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_read_leaves_room_to_the_others_until_there_is_none() {
        let unread = Unread::new();
        let mut held = Vec::new();
        let mut before = usize::MAX;
        while let Some(room) = unread.room() {
            assert!(room <= before && room <= limits::LIST_ANSWER_BYTES, "pages only get shorter");
            before = room;
            held.push(unread.hold(room));
        }
        assert!(held.len() > 8, "{} readers", held.len());
        assert!(unread.bytes.taken() <= MOST);
        held.pop();
        assert!(unread.room().is_some(), "what is read makes room");
    }

    /// Whether a caller that takes so many bytes each time, so far apart, stays.
    fn stays(bytes: usize, every: Duration) -> bool {
        let (mut patience, start) = (Patience::default(), Instant::now());
        (1..1000).all(|turn| {
            // A timer that has run out is seen before what comes later.
            let is_over = patience.blocked(start + every * (turn - 1)) <= start + every * turn;
            patience.sent(bytes);
            !is_over
        })
    }

    #[test]
    fn who_does_not_read_or_hardly_reads_loses_the_connection() {
        let second = Duration::from_secs(1);
        for (bytes, every, expected) in [
            (STEP, second * 9, true),
            (STEP / 8, second, true),
            (1 << 10, second / 10, true),
            (STEP, TIME, false),
            (1, second, false),
            (STEP / 11, second, false),
            (STEP - 1, second * 9, false),
        ] {
            assert_eq!(stays(bytes, every), expected, "{bytes} bytes every {every:?}");
        }
    }

    #[test]
    fn who_has_read_everything_may_be_silent() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        patience.blocked(start);
        patience.sent(1);
        patience.all_sent();
        assert_eq!(patience.blocked(start + TIME * 9), start + TIME * 10);
    }
}
