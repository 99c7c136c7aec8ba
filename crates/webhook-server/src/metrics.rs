//! `/metrics`, in Prometheus' text format 0.0.4. Labels are bounded: words of the contract, never a host or an id.

use std::{
    fmt::{Display, Write},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use webhook_dispatch::Counters;
use webhook_log::{Distribution, Snapshot, Waiting};
use webhook_model::Failure;

use crate::{
    space::Space,
    vitals::{Backlogs, Vitals},
};

/// A page in the making.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP mcp_webhookd_{name} {help}\n# TYPE mcp_webhookd_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "mcp_webhookd_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, found: &Distribution) {
        self.head(name, "histogram", help);
        for (bound, count) in &found.buckets {
            self.sample(name, &format!("_bucket{{le=\"{}\"}}", *bound as f64 / 1000.0), count);
        }
        self.sample(name, "_bucket{le=\"+Inf\"}", found.count);
        self.sample(name, "_sum", found.seconds);
        self.sample(name, "_count", found.count);
    }
}

/// The page. Looks at the log, so it may take a while; not for a thread that must not block.
pub fn render(vitals: &Vitals) -> String {
    let mut page = Page::default();
    page.head("build_info", "gauge", "Always 1; the label is the version.");
    page.sample("build_info", &format!("{{version=\"{}\"}}", vitals.version), 1);
    page.gauge("uptime_seconds", "Since the start.", vitals.started.elapsed().as_secs());
    page.head("events_submitted_total", "counter", "Events submitted, by what became of them.");
    for (status, count) in vitals.submitted() {
        page.sample("events_submitted_total", &format!("{{status=\"{status}\"}}"), count);
    }
    page.head("attempts_total", "counter", "Attempts that ended, by outcome: success, or the kind of error.");
    for (outcome, count) in outcomes(&vitals.counters) {
        page.sample("attempts_total", &format!("{{outcome=\"{outcome}\"}}"), count);
    }
    page.histogram("request_seconds", "How long requests to endpoints took.", &vitals.counters.latency());
    page.histogram("commit_seconds", "How long commits took, fsync included.", &vitals.log.commits());
    let ready = u8::from(vitals.log.health().borrow().works());
    page.gauge("store_ready", "1 while the delivery log works.", ready);
    if let Some(bytes) = vitals.store_bytes() {
        page.gauge("store_bytes", "Size of the delivery log's file.", bytes);
    }
    if let Ok(space) = Space::of(vitals.data.path()) {
        page.gauge("disk_free_bytes", "Free space where the delivery log is.", space.free);
    }
    backlog(&mut page, vitals);
    let pulled = vitals.last_pull().map_or(0.0, |at| at.0 as f64 / 1000.0);
    page.gauge(
        "last_pull_timestamp_seconds",
        "When Odoo last pulled the feed; 0 = not since the start.",
        pulled,
    );
    if let Some(lag) = vitals.pull_lag() {
        page.gauge("pull_lag_changes", "Changes of the feed that Odoo has not pulled yet.", lag);
    }
    page.0
}

/// Attempts by outcome, every outcome named.
pub fn outcomes(counters: &Counters) -> impl Iterator<Item = (&'static str, u64)> {
    let failed = Failure::ALL.iter().map(|kind| (kind.as_str(), counters.failed(*kind)));
    std::iter::once(("success", counters.succeeded())).chain(failed)
}

/// With more pending deliveries than these nobody who asks has them counted by state.
const COUNTED_AT_ONCE: u64 = 10_000;

/// The backlog by state: counted now where it is small, else as [`watch_backlog`] last found it; none before it has.
pub fn backlog_by_state(vitals: &Vitals) -> Option<Backlogs> {
    if is_large(vitals)? {
        return vitals.backlog.lock().unwrap_or_else(PoisonError::into_inner).clone();
    }
    count_backlog(vitals)
}

fn is_large(vitals: &Vitals) -> Option<bool> {
    Some(vitals.log.read(Snapshot::pending).ok()? > COUNTED_AT_ONCE)
}

/// Counts a large backlog every now and then, with a small part of a processor, so that it costs the same to ask for it
/// as for a small one.
pub async fn watch_backlog(vitals: Arc<Vitals>, stop: CancellationToken) {
    const LEAST: Duration = Duration::from_secs(5);
    const PART: u32 = 20;
    loop {
        let started = Instant::now();
        let counting = Arc::clone(&vitals);
        let counted = tokio::task::spawn_blocking(move || {
            let found = if is_large(&counting)? { count_backlog(&counting) } else { None };
            *counting.backlog.lock().unwrap_or_else(PoisonError::into_inner) = found;
            Some(())
        });
        let _ = counted.await;
        tokio::select! {
            () = stop.cancelled() => return,
            // Counting reads the log: it takes a small part of the time, however long the backlog.
            () = tokio::time::sleep(LEAST.max(started.elapsed() * PART)) => {}
        }
    }
}

fn count_backlog(vitals: &Vitals) -> Option<Backlogs> {
    let set = vitals.log.subscriptions();
    let is_paused = |id| set.get(id).is_some_and(|subscription| subscription.paused);
    let mut found = vitals.log.read(|snapshot| snapshot.backlog(vitals.now(), is_paused)).ok()?;
    for state in Waiting::ALL {
        found.entry(state).or_default();
    }
    Some(found)
}

fn backlog(page: &mut Page, vitals: &Vitals) {
    let Ok(pending) = vitals.log.read(Snapshot::pending) else { return };
    page.gauge("pending", "Deliveries that are pending.", pending);
    let Some(states) = backlog_by_state(vitals) else { return };
    page.head("backlog", "gauge", "Pending deliveries by what they wait for: due, retry, paused.");
    for (state, found) in &states {
        page.sample("backlog", &format!("{{state=\"{}\"}}", state.as_str()), found.count);
    }
    page.head("backlog_oldest_seconds", "gauge", "Age of the oldest pending delivery; 0 = there is none.");
    let now = vitals.now();
    for (state, found) in &states {
        let age = found.oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
        page.sample("backlog_oldest_seconds", &format!("{{state=\"{}\"}}", state.as_str()), age);
    }
}
