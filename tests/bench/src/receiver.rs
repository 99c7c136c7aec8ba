//! The endpoint: answers at once, and notes when each event arrived.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, RwLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
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

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        let hangs = request.uri().path().starts_with("/hang");
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let board = Arc::clone(&self.board.read().unwrap());
        board.arrived(&body);
        while hangs && !board.released.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Response::new(Empty::new()))
    }
}
