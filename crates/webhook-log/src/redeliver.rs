//! Redelivery and test events: attempts that somebody asked for.

use redb::ReadableTable;
use webhook_model::{Attempt, AttemptStatus, EventId, Millis, SubscriptionId, Trigger, decide};

use crate::{
    accept::{self, Submission},
    log::{Log, Pending},
    record::{AttemptRow, EventRow},
    settle,
    tables::{ASKED_FOR, Tx},
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
            if !tx.set.get(event.subscription_id).is_some_and(|s| s.active) {
                return Ok(Redelivery::Inactive);
            }
            match last_attempt(tx, seq, &event)? {
                Some(last) if tx.due_number(event.subscription_id, seq)?.is_none() => {
                    restart(tx, seq, &last, now, ASKED_FOR).map(Redelivery::Started)
                }
                _ => Ok(Redelivery::Conflict),
            }
        })
    }

    /// Redelivers failed deliveries of one subscription whose newest attempt ended at or after `since`: looks at up to
    /// `at_most` rows behind `after`; answers how many it started, and where to go on, if there is more.
    pub fn redeliver_failed(
        &self,
        subscription: SubscriptionId,
        since: Millis,
        after: u64,
        at_most: usize,
        now: Millis,
    ) -> Pending<(u64, Option<u64>)> {
        self.run(move |tx| {
            let (seqs, next) = failed_seqs(tx.outcomes.read()?, subscription, after, at_most)?;
            let mut started = 0;
            for seq in seqs {
                let Some(event) = stored_event(tx, seq)? else { continue };
                let Some(last) = last_attempt(tx, seq, &event)? else { continue };
                let pending = tx.due_number(subscription, seq)?.is_some();
                if !pending && is_failed_since(&event, &last, since) {
                    restart(tx, seq, &last, now, now)?;
                    started += 1;
                }
            }
            Ok((started, next))
        })
    }

    /// Accepts a test event, which goes before everything else and also while its subscription is paused.
    pub fn test(&self, submission: Submission, now: Millis) -> Pending<TestEvent> {
        self.run(move |tx| {
            match tx.set.get(submission.subscription_id) {
                None => return Ok(TestEvent::NotFound),
                Some(subscription) if !subscription.active => return Ok(TestEvent::Inactive),
                Some(_) => {}
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

/// A failed delivery that is meant by "all failures since": not a test, and over since `since`.
pub(crate) fn is_failed_since(event: &EventRow, last: &Attempt, since: Millis) -> bool {
    event.trigger != Trigger::Test
        && last.status == AttemptStatus::Failed
        && settle::closed_at(last) >= since.0
}

/// Deliveries with a failed attempt, behind `after`, each once; and where to go on, if there may be more.
pub(crate) fn failed_seqs(
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
fn restart(
    tx: &mut Tx<'_>,
    seq: u64,
    last: &Attempt,
    now: Millis,
    due: Millis,
) -> Result<Attempt, redb::Error> {
    let attempt = decide::follow_up(last, Trigger::Manual, now, Some(now));
    tx.closed.remove((settle::closed_at(last), seq))?;
    tx.put_attempt(seq, &attempt, false)?;
    tx.make_due(attempt.subscription_id, seq, Some(due), attempt.number, attempt.trigger.code())?;
    Ok(attempt)
}
