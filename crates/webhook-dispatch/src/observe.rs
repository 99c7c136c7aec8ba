//! What is told about attempts: one wide log line each, and counters.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use webhook_log::{Distribution, Histogram};
use webhook_model::{Attempt, AttemptStatus, Failure, Pace, SubscriptionId};

/// Upper bounds of the buckets of the latency histogram, in milliseconds.
pub const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000, 15_000, 60_000];

/// Counts since the start. One instance belongs to one dispatcher.
#[derive(Debug)]
pub struct Counters {
    succeeded: AtomicU64,
    failed: [AtomicU64; Failure::ALL.len()],
    latency: Histogram<12>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: std::array::from_fn(|_| AtomicU64::new(0)),
            latency: Histogram::new(BUCKETS_MS),
        }
    }
}

impl Counters {
    pub(crate) fn count(&self, attempt: &Attempt) {
        match (&attempt.status, &attempt.error) {
            (AttemptStatus::Success, _) => drop(self.succeeded.fetch_add(1, Relaxed)),
            (_, Some(error)) => drop(self.failed[error.kind as usize].fetch_add(1, Relaxed)),
            _ => {}
        }
        if let Some(duration) = attempt.duration {
            self.latency.add(duration);
        }
    }

    /// Attempts that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    /// Attempts that failed in this way.
    pub fn failed(&self, kind: Failure) -> u64 {
        self.failed[kind as usize].load(Relaxed)
    }

    /// How long requests took.
    pub fn latency(&self) -> Distribution {
        self.latency.get()
    }
}

/// One line per attempt, with everything that may be told: ids, host, outcome, time. Never a body, path or secret.
pub(crate) fn log_attempt(attempt: &Attempt, host: &str, next: Option<&Attempt>) {
    let kind = attempt.error.as_ref().map_or("", |error| error.kind.as_str());
    let next_attempt_at = next.and_then(|next| next.next_attempt_at).map(|at| at.to_string());
    tracing::info!(
        event_id = %attempt.event_id,
        subscription_id = %attempt.subscription_id,
        host,
        attempt = attempt.number,
        trigger = attempt.trigger.as_str(),
        status = attempt.status.as_str(),
        response_code = attempt.response_code,
        error_kind = kind,
        duration_ms = attempt.duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        next_attempt_at,
        "delivery attempted"
    );
}

/// One line when an endpoint goes down, and one when it is back.
pub(crate) fn log_pace(subscription_id: SubscriptionId, host: &str, before: Pace, after: Pace) {
    match (before.is_outage(), after.is_outage()) {
        (false, true) => tracing::warn!(
            %subscription_id,
            host,
            "the endpoint is down; its deliveries wait behind one probe until it answers"
        ),
        (true, false) => tracing::info!(%subscription_id, host, "the endpoint is back; its deliveries go on"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_counter() {
        let counters = Counters::default();
        for kind in Failure::ALL {
            assert_eq!(counters.failed(*kind), 0, "{kind:?}");
        }
    }
}
