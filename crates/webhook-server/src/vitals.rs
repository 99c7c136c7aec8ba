//! What the sidecar knows of its own state: what health, metrics, retention and the methods look at.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use webhook_api::field::SubmissionStatus;
use webhook_dispatch::{Clock, Counters, SystemClock};
use webhook_log::{Backlog, Keep, Log, Waiting};
use webhook_model::Millis;

use crate::{config::Config, files::DataDir};

/// The backlog by state, every state named.
pub type Backlogs = BTreeMap<Waiting, Backlog>;

/// The log, what it is kept for, and what has happened since the start.
#[derive(Debug)]
pub struct Vitals {
    /// The log.
    pub log: Log,
    /// The time.
    pub clock: Arc<SystemClock>,
    /// Where the files are.
    pub data: DataDir,
    /// This program's version.
    pub version: &'static str,
    /// When it started.
    pub started: Instant,
    /// For how long ids are remembered.
    pub retention: Duration,
    /// How much is kept; none: as much as there is.
    pub retention_bytes: Option<u64>,
    /// For how long outcomes are kept that Odoo has not pulled.
    pub unpulled: Duration,
    /// What the dispatcher counts.
    pub counters: Arc<Counters>,
    /// The dispatcher ended although nobody stopped it.
    pub dispatcher_gone: Arc<AtomicBool>,
    /// A large backlog by state, as it was last counted.
    pub backlog: Mutex<Option<Backlogs>>,
    /// Events submitted, by what became of them, in the order of [`SubmissionStatus::ALL`].
    submitted: [AtomicU64; SubmissionStatus::ALL.len()],
    /// When Odoo last pulled the feed, in ms; 0 = never.
    pulled_at: AtomicU64,
    /// The change of the feed up to which Odoo has pulled.
    pulled_to: AtomicU64,
}

impl Vitals {
    /// Of a sidecar that starts now.
    pub fn new(
        config: &Config,
        log: Log,
        data: DataDir,
        clock: Arc<SystemClock>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            log,
            clock,
            data,
            version: env!("CARGO_PKG_VERSION"),
            started: Instant::now(),
            retention: config.retention,
            retention_bytes: config.retention_bytes,
            unpulled: config.unpulled,
            counters,
            dispatcher_gone: Arc::default(),
            backlog: Mutex::default(),
            submitted: Default::default(),
            pulled_at: AtomicU64::default(),
            pulled_to: AtomicU64::default(),
        }
    }

    /// The wall clock.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Events that happened before this may have been forgotten.
    pub fn oldest_event(&self, now: Millis) -> Millis {
        before(self.log.calendar(now), self.retention)
    }

    /// What is kept at `now`.
    pub fn keep(&self, now: Millis) -> Keep {
        let now = self.log.calendar(now);
        let since = before(now, self.retention);
        Keep { since, unpulled_since: before(now, self.unpulled).min(since) }
    }

    /// How large the log's file is, in bytes.
    pub fn store_bytes(&self) -> Option<u64> {
        std::fs::metadata(self.data.store()).map(|found| found.len()).ok()
    }

    /// Events were submitted, and this became of them.
    pub fn count_submitted(&self, statuses: impl Iterator<Item = SubmissionStatus>) {
        for status in statuses {
            self.submitted[status as usize].fetch_add(1, Relaxed);
        }
    }

    /// Events submitted since the start, by what became of them.
    pub fn submitted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = SubmissionStatus::ALL.iter().zip(&self.submitted);
        counts.map(|(status, count)| (status.as_str(), count.load(Relaxed)))
    }

    /// Odoo keeps everything before `after`, and pulled the feed up to `cursor`.
    pub fn pulled(&self, after: &str, cursor: &str) {
        self.log.pulled_up_to(after);
        let change = cursor.rsplit(':').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        self.pulled_to.store(change, Relaxed);
        self.pulled_at.store(self.now().0, Relaxed);
    }

    /// When Odoo last pulled the feed; `None` when it has not since the start.
    pub fn last_pull(&self) -> Option<Millis> {
        Some(self.pulled_at.load(Relaxed)).filter(|at| *at > 0).map(Millis)
    }

    /// Changes of the feed that Odoo has not pulled; `None` when it has not pulled since the start.
    pub fn pull_lag(&self) -> Option<u64> {
        let missed = || self.log.feed().borrow().saturating_sub(self.pulled_to.load(Relaxed));
        self.last_pull().map(|_| missed())
    }
}

fn before(now: Millis, time: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}
