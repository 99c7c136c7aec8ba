//! Acceptance: events become deliveries, in one commit, before anybody is told.

use bytes::Bytes;
use redb::ReadableTable;
use webhook_model::{EventId, Millis, SubscriptionId, Trigger, json};

use crate::{
    log::{Health, Log, Pending},
    record::EventRow,
    tables::Tx,
};

/// An event that was read and found well-formed.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its id.
    pub event_id: EventId,
    /// Whose it is.
    pub subscription_id: SubscriptionId,
    /// When it happened, by its own account.
    pub timestamp: Millis,
    /// Its default body: compact JSON.
    pub body: Bytes,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It is on disk and due.
    Accepted,
    /// The same event was accepted before; nothing changed.
    Duplicate,
    /// It was not taken.
    Rejected(Rejection),
}

/// Why a well-formed event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// There is no such subscription.
    NotFound,
    /// The subscription is not active.
    Inactive,
    /// Another event with this id was accepted before.
    Conflict,
    /// It happened before the time for which ids are remembered.
    Expired,
}

impl Log {
    /// Takes events. Each stands alone; the answers have the order of `submissions` and come when all is on disk.
    ///
    /// `oldest`: events that happened before it are rejected, because their ids may have been forgotten.
    pub fn accept(
        &self,
        submissions: Vec<Submission>,
        now: Millis,
        oldest: Millis,
    ) -> Pending<Vec<Acceptance>> {
        if matches!(*self.health().borrow(), Health::Full { .. }) {
            return Pending::unavailable();
        }
        self.run(move |tx| submissions.into_iter().map(|s| accept_one(tx, s, now, oldest)).collect())
    }
}

fn accept_one(
    tx: &mut Tx<'_>,
    submission: Submission,
    now: Millis,
    oldest: Millis,
) -> Result<Acceptance, redb::Error> {
    if let Some(seq) = tx.ids.read()?.get(submission.event_id.as_u128())?.map(|row| row.value()) {
        return Ok(if is_same(tx, seq, &submission)? {
            Acceptance::Duplicate
        } else {
            Acceptance::Rejected(Rejection::Conflict)
        });
    }
    if submission.timestamp < oldest {
        return Ok(Acceptance::Rejected(Rejection::Expired));
    }
    match tx.set.get(submission.subscription_id) {
        None => return Ok(Acceptance::Rejected(Rejection::NotFound)),
        Some(subscription) if !subscription.active => return Ok(Acceptance::Rejected(Rejection::Inactive)),
        Some(_) => {}
    }
    insert(tx, &submission, Trigger::Event, now)?;
    Ok(Acceptance::Accepted)
}

/// Writes a new event and makes it due.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    submission: &Submission,
    trigger: Trigger,
    now: Millis,
) -> Result<u64, redb::Error> {
    let seq = tx.head.seq;
    tx.head.seq += 1;
    let row = EventRow {
        event_id: submission.event_id,
        subscription_id: submission.subscription_id,
        accepted_at: now,
        trigger,
        body: submission.body.clone(),
    };
    tx.ids.insert(submission.event_id.as_u128(), seq)?;
    tx.put_event(seq, &row.encode())?;
    let at = (trigger == Trigger::Test).then_some(crate::tables::BEFORE_ALL);
    tx.make_due(submission.subscription_id, seq, at, 1, trigger.code())?;
    Ok(seq)
}

/// Equal as JSON values, and for the same subscription. What cannot be read any more is not the same.
fn is_same(tx: &Tx<'_>, seq: u64, submission: &Submission) -> Result<bool, redb::Error> {
    let Some(stored) = tx.events.read()?.get(seq)? else { return Ok(false) };
    let Ok(stored) = EventRow::decode(stored.value()) else { return Ok(false) };
    if stored.subscription_id != submission.subscription_id || stored.trigger == Trigger::Test {
        return Ok(false);
    }
    if stored.body == submission.body {
        return Ok(true);
    }
    let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).ok();
    Ok(match (read(&stored.body), read(&submission.body)) {
        (Some(a), Some(b)) => json::same(&a, &b),
        _ => false,
    })
}
