//! Redelivery and test events: attempts that somebody asked for.

use std::collections::BTreeSet;

use redb::ReadableTable;
use webhook_model::{Attempt, AttemptStatus, EventId, Millis, SubscriptionId, Trigger, decide};

use crate::{
    accept::{self, Submission},
    log::{Log, Pending},
    record::{AttemptRow, EventRow},
    settle,
    tables::{Due, Tx},
};

/// What became of the wish for another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// The new pending attempt.
    Started(Attempt),
    /// There is no such event.
    NotFound,
    /// An attempt is pending already.
    Conflict,
    /// The subscription is gone or not active.
    Inactive,
}

/// How a redelivery of many is made.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// When.
    pub now: Millis,
    /// Nothing is started; what would be is counted.
    pub is_dry_run: bool,
}

/// What became of a redelivery of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redelivered {
    /// New pending attempts.
    pub started: u64,
    /// Delivered since their failure.
    pub skipped: u64,
}

/// What became of the wish for a test event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestEvent {
    /// The new pending attempt.
    Started(Attempt),
    /// There is no such subscription.
    NotFound,
    /// An event with this id exists.
    Conflict,
    /// The subscription is not active.
    Inactive,
}

impl Log {
    /// Makes a delivery that is over due once more, under the same event id.
    pub fn redeliver(&self, event_id: EventId, now: Millis) -> Pending<Redelivery> {
        self.run(move |tx| {
            let Some(seq) = tx.ids.read()?.get(event_id.as_u128())?.map(|row| row.value()) else {
                return Ok(Redelivery::NotFound);
            };
            let Some(event) = stored_event(tx, seq)? else { return Ok(Redelivery::NotFound) };
            if tx.set.takes_events(event.subscription_id) != Some(true) {
                return Ok(Redelivery::Inactive);
            }
            match last_attempt(tx, seq, &event)? {
                Some(last) if tx.due_of(event.subscription_id, seq)?.is_none() => {
                    restart(tx, seq, &last, now, Due::AskedFor).map(Redelivery::Started)
                }
                None if tx.due_of(event.subscription_id, seq)?.is_none() => Ok(Redelivery::NotFound),
                _ => Ok(Redelivery::Conflict),
            }
        })
    }

    /// Redelivers failed deliveries of one subscription whose newest attempt ended at or after `since`: looks at up to
    /// `at_most` rows behind `after`; returns what it did, and where to go on, if there is more.
    pub fn redeliver_failed(
        &self,
        subscription: SubscriptionId,
        since: Millis,
        after: u64,
        at_most: usize,
        how: Again,
    ) -> Pending<(Redelivered, Option<u64>)> {
        self.run(move |tx| {
            let (seqs, next) = failed_seqs(tx.outcomes.read()?, subscription, after, at_most)?;
            let is_meant = |event: &EventRow, last: &Attempt| {
                event.trigger != Trigger::Test && settle::closed_at(last) >= since.0
            };
            Ok((redeliver_each(tx, subscription, seqs, how, is_meant)?, next))
        })
    }

    /// Redelivers those of these events of one subscription whose delivery is over, in order of acceptance. What was
    /// delivered since its failure is skipped; what is pending, or not known, is neither.
    pub fn redeliver_events(
        &self,
        subscription: SubscriptionId,
        events: Vec<EventId>,
        how: Again,
    ) -> Pending<Redelivered> {
        self.run(move |tx| {
            let mut seqs = BTreeSet::new();
            for event in events {
                seqs.extend(tx.ids.read()?.get(event.as_u128())?.map(|row| row.value()));
            }
            redeliver_each(tx, subscription, seqs, how, |_, _| true)
        })
    }

    /// Makes a pending delivery due now, before what waits by itself; the pending attempt, where there is one.
    pub fn retry_now(&self, event_id: EventId, now: Millis) -> Pending<Option<Attempt>> {
        self.run(move |tx| {
            let Some(seq) = tx.ids.read()?.get(event_id.as_u128())?.map(|row| row.value()) else {
                return Ok(None);
            };
            let Some(event) = stored_event(tx, seq)? else { return Ok(None) };
            let Some((due, number)) = tx.due_of(event.subscription_id, seq)? else { return Ok(None) };
            let stored = last_attempt(tx, seq, &event)?.filter(|last| last.number == number);
            let mut attempt = stored.clone().unwrap_or_else(|| event.first_attempt());
            if matches!(due, Due::AtOnce | Due::At(_)) {
                tx.take_due(event.subscription_id, seq, number)?;
                tx.make_due(event.subscription_id, seq, Due::AskedFor, number, attempt.trigger.code())?;
            }
            // Attempt 1 has no row, and no place in the feed, before it is over.
            if stored.is_some_and(|stored| stored.next_attempt_at.is_some_and(|at| at > now)) {
                attempt.next_attempt_at = Some(now);
                tx.put_attempt(seq, &attempt, false)?;
            }
            Ok(Some(attempt))
        })
    }

    /// Accepts a test event, which goes before everything else and also while its subscription is paused.
    pub fn test(&self, submission: Submission, now: Millis) -> Pending<TestEvent> {
        self.run(move |tx| {
            match tx.set.takes_events(submission.subscription_id) {
                None => return Ok(TestEvent::NotFound),
                Some(false) => return Ok(TestEvent::Inactive),
                Some(true) => {}
            }
            if tx.ids.read()?.get(submission.event_id.as_u128())?.is_some() {
                return Ok(TestEvent::Conflict);
            }
            accept::insert(tx, &submission, Trigger::Test, now)?;
            let attempt =
                Attempt::pending(submission.event_id, submission.subscription_id, Trigger::Test, now);
            Ok(TestEvent::Started(attempt))
        })
    }
}

/// Starts those that are over and meant, unless the newest attempt succeeded.
fn redeliver_each(
    tx: &mut Tx<'_>,
    subscription: SubscriptionId,
    seqs: impl IntoIterator<Item = u64>,
    how: Again,
    is_meant: impl Fn(&EventRow, &Attempt) -> bool,
) -> Result<Redelivered, redb::Error> {
    let mut done = Redelivered::default();
    for seq in seqs {
        let Some(event) = stored_event(tx, seq)?.filter(|event| event.subscription_id == subscription) else {
            continue;
        };
        let Some(last) = last_attempt(tx, seq, &event)? else { continue };
        if tx.due_of(subscription, seq)?.is_some() || !is_meant(&event, &last) {
            continue;
        }
        if last.status == AttemptStatus::Success {
            done.skipped += 1;
            continue;
        }
        done.started += 1;
        if !how.is_dry_run {
            restart(tx, seq, &last, how.now, Due::At(how.now))?;
        }
    }
    Ok(done)
}

/// Deliveries with a failed attempt, behind `after`, each once; and where to go on, if there may be more.
fn failed_seqs(
    outcomes: &impl ReadableTable<(u128, u8, u64, u32), ()>,
    subscription: SubscriptionId,
    after: u64,
    at_most: usize,
) -> Result<(Vec<u64>, Option<u64>), redb::Error> {
    let (owner, failed) = (subscription.as_u128(), AttemptStatus::Failed.code());
    let mut seqs: Vec<u64> = Vec::new();
    for row in outcomes.range((owner, failed, after + 1, 0)..=(owner, failed, u64::MAX, u32::MAX))? {
        let seq = row?.0.value().2;
        if seqs.last() == Some(&seq) {
            continue;
        }
        if seqs.len() == at_most {
            return Ok((seqs.clone(), seqs.last().copied()));
        }
        seqs.push(seq);
    }
    Ok((seqs, None))
}

fn stored_event(tx: &Tx<'_>, seq: u64) -> Result<Option<EventRow>, redb::Error> {
    Ok(tx.events.read()?.get(seq)?.and_then(|row| EventRow::decode(row.value()).ok()))
}

fn last_attempt(tx: &Tx<'_>, seq: u64, event: &EventRow) -> Result<Option<Attempt>, redb::Error> {
    let Some(row) = tx.attempts.read()?.range((seq, 0)..=(seq, u32::MAX))?.next_back() else {
        return Ok(None);
    };
    let (key, value) = row?;
    let number = key.value().1;
    Ok(AttemptRow::decode(value.value()).and_then(|row| row.into_attempt(event, number)).ok())
}

/// Another attempt, with the place `due` among those that have a time of their own.
fn restart(tx: &mut Tx<'_>, seq: u64, last: &Attempt, now: Millis, due: Due) -> Result<Attempt, redb::Error> {
    let attempt = decide::follow_up(last, Trigger::Manual, now, Some(now));
    tx.head.count += 1;
    tx.closed.remove((settle::closed_at(last), seq))?;
    tx.put_attempt(seq, &attempt, false)?;
    tx.make_due(attempt.subscription_id, seq, due, attempt.number, attempt.trigger.code())?;
    Ok(attempt)
}
