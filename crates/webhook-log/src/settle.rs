//! Settlement: the outcome of an attempt, and the attempt that follows, in one commit.

use std::sync::Arc;

use webhook_model::Attempt;

use crate::{
    log::{Log, Pending},
    tables::{Due, Tx},
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
    /// one of their own only if [`Log::hurry`] asks for it.
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
    if !tx.take_due(subscription, seq, attempt.number)? {
        return Ok(()); // settled before
    }
    tx.put_attempt(seq, attempt, *payload_is_event_body)?;
    tx.outcomes.insert((subscription.as_u128(), attempt.status.code(), seq, attempt.number), ())?;
    match next {
        Some(next) => {
            tx.put_attempt(seq, next, false)?;
            let due = next.next_attempt_at.map_or(Due::AtOnce, Due::At);
            tx.make_due(subscription, seq, due, next.number, next.trigger.code())?;
        }
        None => close(tx, seq, attempt)?,
    }
    Ok(())
}

fn close(tx: &mut Tx<'_>, seq: u64, last: &Attempt) -> Result<(), redb::Error> {
    tx.closed.insert((closed_at(last), seq), ())?;
    Ok(())
}

/// When a delivery whose newest attempt is `last` was closed.
pub(crate) fn closed_at(last: &Attempt) -> u64 {
    last.finished_at.unwrap_or(last.created_at).0
}
