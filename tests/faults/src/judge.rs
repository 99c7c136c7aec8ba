//! The one judge of all fault tests. It knows nothing of redb, HTTP or Odoo; it compares stories.
//!
//! * V1 every acknowledged event is delivered, or stands in the log with its reason.
//! * V2 nothing is received that was never submitted, nor what was rejected, nor at another's endpoint.
//! * V3 attempts are numbered 1..n, each once, no more than were asked for; no more hits than attempts, save that a
//!   crash or a stop repeats what was under way: at most 1,024, each once; and a kept connection that is cut lets one
//!   attempt send its request twice.
//! * V4 a row says what an endpoint really answered.
//! * V5 after a 2xx only a crash, a lost answer or a person makes another hit.
//! * V6 every hit is signed and carries the event's own body, the same each time.
//! * V7 the mirror has the same attempts, each once.
//! * V8 what has a cap stays below it.
//! * V9 when the trouble is over nothing stays behind, and a healthy endpoint hardly noticed.
//! * V10 no retry comes before its time.
//! * V11 where `max_in_flight` is 1, events arrive in the order of acceptance.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::history::{Answer, History, Hit, Row, Status, Submission, Subscription};

/// Attempts that one crash or stop may repeat.
pub const REPEATS: u64 = 1024;
/// The shortest planned delay before attempt 2, in milliseconds; each further one is four times as long.
const FIRST_DELAY: u64 = 4_000;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// V1 to V11.
    pub invariant: &'static str,
    /// The event, where it is about one.
    pub event_id: String,
    /// What was expected and what is there.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.invariant, self.event_id, self.what)
    }
}

/// The counts of a history, and what is wrong with it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// Events that the submitter was told are on disk.
    pub acknowledged: u64,
    /// Of these, delivered.
    pub delivered: u64,
    /// Of these, in the log as failed.
    pub failed: u64,
    /// Of these, still pending.
    pub pending: u64,
    /// Of these, neither.
    pub lost: u64,
    /// Hits beyond the attempts in the log.
    pub duplicated: u64,
    /// The first thing that is wrong.
    pub violation: Option<Violation>,
}

/// What is told about one event.
#[derive(Default)]
struct Story<'h> {
    submissions: Vec<&'h Submission>,
    hits: Vec<&'h Hit>,
    rows: Vec<&'h Row>,
}

impl Story<'_> {
    fn is_acknowledged(&self) -> bool {
        self.submissions.iter().any(|s| matches!(s.answer, Answer::Accepted | Answer::Duplicate))
    }

    fn manual(&self) -> usize {
        self.rows.iter().filter(|row| row.trigger == "manual").count()
    }
}

/// Something wrong, said about the event at hand.
type Fault = (&'static str, String);

fn hold(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err((invariant, what())) }
}

impl History {
    /// Counts, and the first violation in the order of the events' ids.
    pub fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let settings: HashMap<&str, &Subscription> =
            self.subscriptions.iter().map(|s| (s.id.as_str(), s)).collect();
        for (event_id, story) in self.stories() {
            count(&story, &mut verdict);
            let found = self.judge_event(&story, &settings);
            note(&mut verdict, event_id, found);
        }
        let twice = if self.cut { self.rows.len() as u64 } else { 0 };
        let found = hold(verdict.duplicated <= REPEATS * u64::from(self.crashes) + twice, "V3", || {
            format!("{} hits too many after {} crashes", verdict.duplicated, self.crashes)
        });
        note(&mut verdict, "", found);
        note(&mut verdict, "", self.judge_mirror());
        note(&mut verdict, "", self.judge_whole());
        let strict = self.subscriptions.iter().filter(|s| s.max_in_flight == 1);
        for subscription in strict {
            note(&mut verdict, "", self.judge_order(&subscription.id));
        }
        verdict
    }

    fn stories(&self) -> BTreeMap<&str, Story<'_>> {
        let mut stories: BTreeMap<&str, Story<'_>> = BTreeMap::new();
        for submission in &self.submissions {
            stories.entry(&submission.event_id).or_default().submissions.push(submission);
        }
        for hit in &self.hits {
            stories.entry(&hit.event_id).or_default().hits.push(hit);
        }
        for row in &self.rows {
            stories.entry(&row.event_id).or_default().rows.push(row);
        }
        stories.values_mut().for_each(|story| story.rows.sort_by_key(|row| row.attempt));
        stories
    }

    fn judge_event(&self, story: &Story<'_>, settings: &HashMap<&str, &Subscription>) -> Result<(), Fault> {
        let subscription = story.submissions.first().and_then(|s| settings.get(s.subscription_id.as_str()));
        self.present(story)?;
        submitted(story)?;
        self.numbered(story, subscription.map_or(u32::MAX, |s| s.max_attempts))?;
        answered(story)?;
        self.once(story)?;
        signed(story, subscription.is_some_and(|s| s.changed))?;
        if !self.clock_moved {
            in_time(story)?;
        }
        Ok(())
    }

    /// V1, and of V9 that nothing stays behind.
    fn present(&self, story: &Story<'_>) -> Result<(), Fault> {
        if !story.is_acknowledged() {
            return Ok(());
        }
        let Some(last) = story.rows.last() else {
            return Err(("V1", "was acknowledged and is not in the log".to_owned()));
        };
        hold(last.status != Status::Failed || last.error.is_some(), "V1", || {
            "failed without a reason".to_owned()
        })?;
        let stays = self.is_drained && last.status == Status::Pending;
        hold(!stays, "V9", || format!("attempt {} is pending after the trouble is over", last.attempt))
    }

    /// V3.
    fn numbered(&self, story: &Story<'_>, max_attempts: u32) -> Result<(), Fault> {
        for (place, row) in story.rows.iter().enumerate() {
            hold(row.attempt as usize == place + 1, "V3", || {
                format!("attempt {} stands where {} should", row.attempt, place + 1)
            })?;
            let is_over = place + 1 < story.rows.len();
            hold(!(is_over && row.status == Status::Pending), "V3", || {
                format!("attempt {} is pending though another follows", row.attempt)
            })?;
        }
        let automatic = story.rows.len() - story.manual();
        hold(automatic <= max_attempts as usize, "V3", || {
            format!("{automatic} attempts where {max_attempts} were asked for")
        })?;
        let mut epochs: HashMap<u32, usize> = HashMap::new();
        story.hits.iter().for_each(|hit| *epochs.entry(hit.epoch).or_default() += 1);
        // An event that is not in the log, for its log was lost or its submitter gave up, is judged by V2.
        let rows = story.rows.len().max(1) * if self.cut { 2 } else { 1 };
        for (epoch, hits) in &epochs {
            hold(*hits <= rows, "V3", || format!("{hits} hits after crash {epoch}, and {rows} attempts"))?;
        }
        let first = story.hits.first().map_or(0, |hit| hit.epoch);
        let repeats = (self.crashes.saturating_sub(first)) as usize;
        hold(story.hits.len() <= rows + repeats, "V3", || {
            format!("{} hits, {rows} attempts, {repeats} crashes since the first", story.hits.len())
        })
    }

    /// V5.
    fn once(&self, story: &Story<'_>) -> Result<(), Fault> {
        let success = |hit: &&&Hit| hit.answer.is_some_and(|code| (200..300).contains(&code));
        let Some(first) = story.hits.iter().find(success) else { return Ok(()) };
        let position = story.hits.iter().position(|hit| std::ptr::eq(*hit, *first)).unwrap_or(0);
        let after = story.hits.len() - position - 1;
        let lost =
            story.rows.iter().filter(|r| r.status == Status::Failed && r.response_code.is_none()).count();
        let crashes = self.crashes.saturating_sub(first.epoch) as usize;
        let twice = if self.cut { story.rows.len() } else { 0 };
        hold(after <= crashes + lost + twice + story.manual(), "V5", || {
            format!(
                "{after} hits after a 2xx; {crashes} crashes, {lost} lost answers, {} by hand",
                story.manual()
            )
        })
    }

    /// V7.
    fn judge_mirror(&self) -> Result<(), Fault> {
        let Some(mirror) = &self.mirror else { return Ok(()) };
        let mut store: HashMap<(&str, u32), &Row> =
            self.rows.iter().map(|row| ((row.event_id.as_str(), row.attempt), row)).collect();
        let mut seen = HashSet::new();
        for row in mirror {
            let key = (row.event_id.as_str(), row.attempt);
            let name = || format!("attempt {} of {}", row.attempt, row.event_id);
            hold(seen.insert(key), "V7", || format!("{} is in the mirror twice", name()))?;
            let Some(own) = store.remove(&key) else {
                return Err(("V7", format!("{} is in the mirror and not in the log", name())));
            };
            let same = (own.status, own.response_code) == (row.status, row.response_code);
            hold(same, "V7", || {
                format!("{}: {:?} in the mirror, {:?} in the log", name(), row.status, own.status)
            })?;
        }
        // The first attempt comes into the feed with its outcome.
        let missing = store.values().find(|row| row.status != Status::Pending || row.attempt > 1);
        hold(missing.is_none(), "V7", || {
            format!("not in the mirror: {:?}", missing.map(|r| (&r.event_id, r.attempt)))
        })
    }

    /// V8, and of V9 the healthy endpoint.
    fn judge_whole(&self) -> Result<(), Fault> {
        for peak in &self.peaks {
            hold(peak.seen <= peak.cap, "V8", || {
                format!("{}: {} where {} is the cap", peak.what, peak.seen, peak.cap)
            })?;
        }
        let Some(healthy) = &self.healthy else { return Ok(()) };
        hold(healthy.beside_ms <= healthy.noise_ms.max(2 * healthy.normal_ms), "V9", || {
            format!(
                "a healthy endpoint waited {} ms beside the fault, {} ms before",
                healthy.beside_ms, healthy.normal_ms
            )
        })
    }

    /// V11: first hits in the order of the log.
    fn judge_order(&self, subscription: &str) -> Result<(), Fault> {
        let mut places = HashMap::new();
        for row in self.rows.iter().filter(|row| row.subscription_id == subscription) {
            let next = places.len();
            places.entry(row.event_id.as_str()).or_insert(next);
        }
        let (mut seen, mut newest) = (HashSet::new(), 0);
        for hit in self.hits.iter().filter(|hit| hit.subscription_id == subscription) {
            let Some(place) = places.get(hit.event_id.as_str()).copied() else { continue };
            if seen.insert(&hit.event_id) {
                hold(place >= newest, "V11", || format!("{} came after a later one", hit.event_id))?;
                newest = place;
            }
        }
        Ok(())
    }
}

fn note(verdict: &mut Verdict, event_id: &str, found: Result<(), Fault>) {
    if let Err((invariant, what)) = found
        && verdict.violation.is_none()
    {
        verdict.violation = Some(Violation { invariant, event_id: event_id.to_owned(), what });
    }
}

fn count(story: &Story<'_>, verdict: &mut Verdict) {
    let posted = story.rows.len() as u64;
    verdict.duplicated += (story.hits.len() as u64).saturating_sub(posted.max(1));
    if !story.is_acknowledged() {
        return;
    }
    verdict.acknowledged += 1;
    let delivered = story.rows.iter().any(|row| row.status == Status::Success);
    let reasoned = story.rows.last().filter(|row| row.status != Status::Failed || row.error.is_some());
    match reasoned {
        _ if delivered => verdict.delivered += 1,
        Some(row) if row.status == Status::Failed => verdict.failed += 1,
        Some(_) => verdict.pending += 1,
        None => verdict.lost += 1,
    }
}

/// V2.
fn submitted(story: &Story<'_>) -> Result<(), Fault> {
    let Some(hit) = story.hits.first() else { return Ok(()) };
    hold(!story.submissions.is_empty(), "V2", || "was received and never submitted".to_owned())?;
    let rejected = story.submissions.iter().all(|s| s.answer == Answer::Rejected);
    hold(!rejected, "V2", || "was received though it was rejected".to_owned())?;
    let strange = story.hits.iter().find(|h| h.subscription_id != story.submissions[0].subscription_id);
    hold(strange.is_none(), "V2", || format!("was received at the endpoint of {}", hit.subscription_id))
}

/// V4.
fn answered(story: &Story<'_>) -> Result<(), Fault> {
    let mut answers: HashMap<u16, usize> = HashMap::new();
    story.hits.iter().filter_map(|hit| hit.answer).for_each(|code| *answers.entry(code).or_default() += 1);
    for row in &story.rows {
        let is_2xx = row.response_code.is_some_and(|code| (200..300).contains(&code));
        hold(is_2xx == (row.status == Status::Success), "V4", || {
            format!("attempt {} is {:?} with the answer {:?}", row.attempt, row.status, row.response_code)
        })?;
        let Some(code) = row.response_code else { continue };
        let left = answers.entry(code).or_default();
        hold(*left > 0, "V4", || {
            format!("attempt {} says {code}; the endpoint answered that less often", row.attempt)
        })?;
        *left -= 1;
    }
    Ok(())
}

/// V6.
fn signed(story: &Story<'_>, changed: bool) -> Result<(), Fault> {
    for hit in &story.hits {
        hold(hit.signed, "V6", || "a signature does not hold".to_owned())?;
        if changed {
            continue;
        }
        hold(hit.body == story.hits[0].body, "V6", || "the body changed between attempts".to_owned())?;
        let expected = story.submissions.iter().find_map(|s| s.body.as_ref());
        hold(expected.is_none_or(|body| *body == hit.body), "V6", || {
            "the body is not the event's".to_owned()
        })?;
    }
    Ok(())
}

/// V10.
fn in_time(story: &Story<'_>) -> Result<(), Fault> {
    for pair in story.rows.windows(2) {
        let [before, after] = pair else { continue };
        let (Some(ended), Some(next)) = (before.finished, after.finished) else { continue };
        let least =
            FIRST_DELAY.saturating_mul(4_u64.saturating_pow(before.attempt - 1)).min(6 * 3_600_000 * 4 / 5);
        let waited = next.saturating_sub(ended);
        hold(after.trigger != "retry" || waited >= least, "V10", || {
            format!(
                "attempt {} ended {waited} ms after the one before; {least} ms is the least wait",
                after.attempt
            )
        })?;
    }
    Ok(())
}
