//! What systemd is told: ready, alive, stopping. Without systemd nothing happens.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Tells systemd one thing.
pub fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Says that all is well, three times in the unit's `WatchdogSec`, for as long as the runtime turns and the dispatcher
/// lives. A store in trouble is no reason for a restart: it heals by itself.
pub async fn watchdog(dispatcher_gone: Arc<AtomicBool>, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((limit / 3).max(std::time::Duration::from_millis(1)));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beat.tick() => if !dispatcher_gone.load(Relaxed) { tell(NotifyState::Watchdog) },
        }
    }
}
