//! Acceptance: events become deliveries, in one commit, before anybody is told.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use redb::ReadableTable;
use sha2::{Digest, Sha256};
use webhook_model::{EventId, Millis, SubscriptionId, Trigger, json};

use crate::{
    log::{Health, Log, Pending},
    record::{EventRow, GoneRow},
    tables::{Due, KEPT, Tx},
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

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Of each submission, in their order.
    pub each: Vec<Acceptance>,
    /// The log's count, as [`crate::Attached::accepted_to`]. Until the database has attached anew behind a start it is
    /// the count of the start: the database is to ask about that one.
    pub accepted_to: u64,
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
    pub fn accept(&self, submissions: Vec<Submission>, now: Millis, oldest: Millis) -> Pending<Accepted> {
        if matches!(*self.health().borrow(), Health::Full { .. }) {
            return Pending::unavailable();
        }
        let shared = Arc::clone(self.shared());
        self.run(move |tx| {
            let each =
                submissions.into_iter().map(|s| accept_one(tx, s, now, oldest)).collect::<Result<_, _>>()?;
            let unconfirmed = *shared.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Accepted { each, accepted_to: unconfirmed.unwrap_or(tx.head.count) })
        })
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
    if submission.timestamp < oldest.max(tx.forgotten_to) {
        return Ok(Acceptance::Rejected(Rejection::Expired));
    }
    match tx.set.takes_events(submission.subscription_id) {
        None => return Ok(Acceptance::Rejected(Rejection::NotFound)),
        Some(false) => return Ok(Acceptance::Rejected(Rejection::Inactive)),
        Some(true) => {}
    }
    let is_only_read =
        tx.set.get(submission.subscription_id).is_some_and(|known| known.endpoint.url.is_none());
    match is_only_read {
        true => keep(tx, &submission, now)?,
        false => drop(insert(tx, &submission, Trigger::Event, now)?),
    }
    Ok(Acceptance::Accepted)
}

/// Writes a new event and makes it due.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    submission: &Submission,
    trigger: Trigger,
    now: Millis,
) -> Result<u64, redb::Error> {
    let seq = write(tx, submission, trigger, now)?;
    let due = if trigger == Trigger::Test { Due::Test } else { Due::AtOnce };
    tx.make_due(submission.subscription_id, seq, due, 1, trigger.code())?;
    Ok(seq)
}

/// Writes a new event that is sent nowhere, and read until retention.
fn keep(tx: &mut Tx<'_>, submission: &Submission, now: Millis) -> Result<(), redb::Error> {
    let seq = write(tx, submission, Trigger::Event, now)?;
    tx.outcomes.insert((submission.subscription_id.as_u128(), KEPT, seq, 0), ())?;
    tx.closed.insert((now.0, seq), ())?;
    Ok(())
}

fn write(
    tx: &mut Tx<'_>,
    submission: &Submission,
    trigger: Trigger,
    now: Millis,
) -> Result<u64, redb::Error> {
    let seq = tx.head.seq;
    tx.head.seq += 1;
    tx.head.count += 1;
    // Their clock, unless ours says that this has not come yet.
    tx.head.newest = tx.head.newest.max(submission.timestamp.min(now));
    let row = EventRow {
        event_id: submission.event_id,
        subscription_id: submission.subscription_id,
        accepted_at: now,
        trigger,
        body: submission.body.clone(),
    };
    tx.ids.insert(submission.event_id.as_u128(), seq)?;
    tx.put_event(seq, &row.encode())?;
    Ok(seq)
}

/// Equal as JSON values, and for the same subscription. What cannot be read any more is not the same.
fn is_same(tx: &Tx<'_>, seq: u64, submission: &Submission) -> Result<bool, redb::Error> {
    let Some(stored) = tx.events.read()?.get(seq)? else { return is_same_gone(tx, seq, submission) };
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

/// The same, where only the digest is left of the event.
fn is_same_gone(tx: &Tx<'_>, seq: u64, submission: &Submission) -> Result<bool, redb::Error> {
    let Some(row) = tx.gone.read()?.get(seq)? else { return Ok(false) };
    let Ok(gone) = GoneRow::decode(row.value()) else { return Ok(false) };
    Ok(gone.subscription_id == submission.subscription_id
        && gone.trigger != Trigger::Test
        && gone.digest == digest(&submission.body))
}

/// Of a body, as a JSON value: what [`json::same`] takes for the same has the same digest.
pub(crate) fn digest(body: &[u8]) -> u128 {
    let value = serde_json::from_slice::<serde_json::Value>(body).ok();
    let canonical = value.map_or_else(|| body.to_vec(), |value| json::canonical(&value).into_bytes());
    let hash = Sha256::digest(canonical);
    u128::from_be_bytes(std::array::from_fn(|at| hash[at]))
}
