//! Whether a request got a connection of its own or one that was used before.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll},
};

use tower::{Layer, Service};

tokio::task_local! {
    static CONNECTED: AtomicBool;
}

/// Runs one request; also returns whether a new connection was begun for it.
pub(super) async fn watched<T>(request: impl Future<Output = T>) -> (T, bool) {
    CONNECTED
        .scope(AtomicBool::new(false), async {
            let result = request.await;
            (result, CONNECTED.with(|connected| connected.load(Relaxed)))
        })
        .await
}

/// Marks the request for which a connection is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark;

#[derive(Debug, Clone)]
pub(super) struct Marking<S>(S);

impl<S> Layer<S> for Mark {
    type Service = Marking<S>;

    fn layer(&self, connector: S) -> Marking<S> {
        Marking(connector)
    }
}

impl<S: Service<R>, R> Service<R> for Marking<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: R) -> S::Future {
        // Outside of a request nobody asks.
        let _ = CONNECTED.try_with(|connected| connected.store(true, Relaxed));
        self.0.call(target)
    }
}
