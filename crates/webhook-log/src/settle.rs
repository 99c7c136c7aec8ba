//! Settlement: the outcome of an attempt, and the attempt that follows, in one commit.

use std::sync::Arc;

use webhook_model::Attempt;

use crate::{
    log::{Log, Pending},
    record::AttemptRow,
    tables::Tx,
};

/// An attempt that is over.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Which delivery, as [`crate::DueRow`] named it.
    pub seq: u64,
    /// The attempt with its outcome.
    pub attempt: Attempt,
    /// The attempt that follows it, where one does.
    pub next: Option<Attempt>,
    /// The payload is the event's own body, and need not be stored again.
    pub payload_is_event_body: bool,
}

impl Log {
    /// Records outcomes. An outcome that is on disk already changes nothing, so that after an unknown commit
    /// the same settlements can be handed in again.
    pub fn settle(&self, settlements: Arc<[Settlement]>) -> Pending<()> {
        self.run(move |tx| settle_all(tx, &settlements))
    }

    /// As [`Log::settle`], where nothing depends on these outcomes: they share the commit of what comes next, and have
    /// one of their own only if nothing comes soon.
    pub fn settle_patiently(&self, settlements: Arc<[Settlement]>) -> Pending<()> {
        self.run_patiently(move |tx| settle_all(tx, &settlements))
    }
}

fn settle_all(tx: &mut Tx<'_>, settlements: &[Settlement]) -> Result<(), redb::Error> {
    settlements.iter().try_for_each(|settlement| settle_one(tx, settlement))
}

fn settle_one(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<(), redb::Error> {
    let Settlement { seq, attempt, next, payload_is_event_body } = settlement;
    let (seq, subscription) = (*seq, attempt.subscription_id);
    if tx.due_number(subscription, seq)? != Some(attempt.number) {
        return Ok(()); // settled before
    }
    tx.take_due(subscription, seq)?;
    write(tx, seq, attempt, *payload_is_event_body)?;
    tx.outcomes.insert((subscription.as_u128(), attempt.status.code(), seq, attempt.number), ())?;
    match next {
        Some(next) => {
            write(tx, seq, next, false)?;
            tx.make_due(subscription, seq, next.next_attempt_at, next.number, next.trigger.code())?;
        }
        None => close(tx, seq, attempt)?,
    }
    Ok(())
}

/// Writes an attempt's row and moves it to the end of the feed.
pub(crate) fn write(
    tx: &mut Tx<'_>,
    seq: u64,
    attempt: &Attempt,
    payload_is_event_body: bool,
) -> Result<(), redb::Error> {
    let change = tx.move_change(seq, attempt.number)?;
    let row = AttemptRow::of(attempt, change, payload_is_event_body);
    tx.put_attempt(seq, attempt.number, &row.encode())
}

fn close(tx: &mut Tx<'_>, seq: u64, last: &Attempt) -> Result<(), redb::Error> {
    tx.closed.insert((closed_at(last), seq), ())?;
    Ok(())
}

/// When a delivery whose newest attempt is `last` was closed.
pub(crate) fn closed_at(last: &Attempt) -> u64 {
    last.finished_at.unwrap_or(last.created_at).0
}
