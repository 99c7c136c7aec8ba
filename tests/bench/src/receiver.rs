//! The endpoint: answers at once, and notes when each event arrived.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, RwLock, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::board::Board;

/// A receiver on loopback. It serves the newest board.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    board: Arc<RwLock<Arc<Board>>>,
}

impl Receiver {
    /// Listens on `address`.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let receiver = Self { address: listener.local_addr()?, board: Arc::new(RwLock::new(Board::new(0))) };
        let shared = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let receiver = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let receiver = receiver.clone();
                        async move { receiver.answer(request).await }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(receiver)
    }

    /// From now on events of this board are counted. What hangs on the old one is released.
    pub fn serve(&self, board: &Arc<Board>) {
        let old = std::mem::replace(&mut *self.board.write().unwrap(), Arc::clone(board));
        old.released.store(true, Relaxed);
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let hangs = request.uri().path().starts_with("/hang");
        let drips = request.uri().path().starts_with("/drip");
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let board = Arc::clone(&self.board.read().unwrap());
        board.arrived(&body);
        while hangs && !board.released.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Response::new(if drips {
            Answer::Drip(Some(Bytes::from_static(&[b'x'; DRIP])))
        } else {
            Answer::Empty
        }))
    }
}

/// How much of an answer comes before it hangs.
const DRIP: usize = 63 << 10;

enum Answer {
    Empty,
    /// Some of it comes, and then nothing any more.
    Drip(Option<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Drip(first) => {
                first.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Empty => hyper::body::SizeHint::with_exact(0),
            Self::Drip(_) => hyper::body::SizeHint::default(),
        }
    }
}
