//! The one place that reads the time.

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use webhook_model::Millis;

/// Where the time comes from: the system, or a test that turns the hands itself.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Millis;

    /// Ends when the wall clock has reached `at`, or some time before: the caller looks again.
    fn sleep_until(&self, at: Millis) -> impl Future<Output = ()> + Send;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The wall clock may be set while we wait; nobody waits longer than this without looking at it again.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep_until(&self, at: Millis) {
        tokio::time::sleep(at.since(self.now()).min(LONGEST_SLEEP)).await;
    }
}
