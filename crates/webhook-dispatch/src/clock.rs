//! The one place that reads the time.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use webhook_model::Millis;

/// Where the time comes from: the system, or a test that turns the hands itself.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Millis;

    /// What durations are measured by: the wall clock as it was at the start, and the time that has passed since. Nobody
    /// can set it, so a wall clock that jumps neither hurries a retry nor holds one up.
    fn steady(&self, start: Start) -> Millis;

    /// Ends after `time`, or before: the caller looks again.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// When somebody began to measure.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    wall: Millis,
    at: Instant,
}

impl Start {
    /// Now.
    pub fn now(clock: &impl Clock) -> Self {
        Self { wall: clock.now(), at: Instant::now() }
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn steady(&self, start: Start) -> Millis {
        start.wall.plus(start.at.elapsed())
    }

    async fn sleep(&self, time: Duration) {
        // The real clock's way to wait; tests have one that they move by hand.
        tokio::time::sleep(time).await;
    }
}
