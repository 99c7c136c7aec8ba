//! Whether a request got a connection of its own or one that was used before.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
pub(super) fn mark() {
    // Outside of a request nobody asks.
    let _ = CONNECTED.try_with(|connected| connected.store(true, Relaxed));
}
