//! Retention: deliveries that are over are forgotten after a while, or when there are too many of them. What is
//! pending never is, and neither is what an attached database has not pulled, except beyond a time of its own. Without
//! a database nobody pulls, so age and size alone decide.

use std::sync::atomic::Ordering::Relaxed;

use redb::ReadableTable;
use webhook_model::{Millis, Trigger};

use crate::{
    accept,
    log::{Log, Pending},
    record::{AttemptRow, GoneRow},
    tables::{KEPT, Tx},
};

/// How long what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Deliveries that were closed before this go, and their ids with them.
    pub since: Millis,
    /// The same for those whose outcome was not pulled.
    pub unpulled_since: Millis,
}

impl Log {
    /// Forgets up to `at_most` deliveries that were closed too long ago, oldest first; answers how many.
    pub fn purge(&self, keep: Keep, at_most: usize) -> Pending<usize> {
        let (pulled, shared) = (self.pulled(), std::sync::Arc::clone(self.shared()));
        self.run(move |tx| {
            let (mut forgotten, mut waits) = (0, 0);
            for key in oldest(tx, keep.since, at_most)? {
                if key.0 >= keep.unpulled_since.0 && is_unpulled(tx, key.1, pulled)? {
                    waits = key.0;
                    break;
                }
                forget(tx, key)?;
                forgotten += 1;
            }
            forgotten += forget_gone(tx, keep.since, at_most)?;
            if forgotten > 0 && keep.since > tx.forgotten_to {
                tx.forgotten_to = keep.since;
                tx.meta.insert("forgotten_to", keep.since.0.to_be_bytes().as_slice())?;
            }
            shared.overdue.store(waits, Relaxed);
            Ok(forgotten)
        })
    }

    /// Forgets up to `at_most` of the oldest deliveries that are over, for want of room, and remembers their ids;
    /// answers how many. What was closed after `unpulled_since` goes only if its outcome was pulled.
    pub fn purge_surplus(&self, unpulled_since: Millis, at_most: usize) -> Pending<usize> {
        let pulled = self.pulled();
        self.run(move |tx| {
            let mut forgotten = 0;
            for key in oldest(tx, Millis(u64::MAX), at_most)? {
                if key.0 >= unpulled_since.0 && is_unpulled(tx, key.1, pulled)? {
                    break;
                }
                remember(tx, key)?;
                forget(tx, key)?;
                forgotten += 1;
            }
            Ok(forgotten)
        })
    }

    /// When the oldest delivery was closed that is kept only because its outcome was not pulled.
    pub fn overdue(&self) -> Option<Millis> {
        Some(Millis(self.shared().overdue.load(Relaxed))).filter(|at| at.0 > 0)
    }
}

/// Whether the database that is attached has yet to pull what became of a delivery.
fn is_unpulled(tx: &Tx<'_>, seq: u64, pulled: u64) -> Result<bool, redb::Error> {
    Ok(tx.attachment.is_some() && newest_change(tx, seq)? > pulled)
}

/// Keeps the id of an event that goes before its time. Nobody submits a test event twice.
fn remember(tx: &mut Tx<'_>, (closed_at, seq): (u64, u64)) -> Result<(), redb::Error> {
    let event = tx.events.read()?.get(seq)?.and_then(|row| crate::record::EventRow::decode(row.value()).ok());
    let Some(event) = event.filter(|event| event.trigger != Trigger::Test) else { return Ok(()) };
    let row = GoneRow {
        event_id: event.event_id,
        subscription_id: event.subscription_id,
        digest: accept::digest(&event.body),
        trigger: event.trigger,
        closed_at: Millis(closed_at),
    };
    tx.gone.insert(seq, row.encode().as_slice())?;
    Ok(())
}

/// Forgets ids whose time has come; answers how many.
fn forget_gone(tx: &mut Tx<'_>, before: Millis, at_most: usize) -> Result<usize, redb::Error> {
    let mut over = Vec::new();
    for row in tx.gone.read()?.iter()?.take(at_most) {
        let (seq, value) = row?;
        let gone = GoneRow::decode(value.value()).ok();
        if gone.as_ref().is_some_and(|gone| gone.closed_at >= before) {
            break;
        }
        over.push((seq.value(), gone.map(|gone| gone.event_id)));
    }
    for (seq, id) in &over {
        tx.gone.remove(*seq)?;
        if let Some(id) = id {
            tx.ids.remove(id.as_u128())?;
        }
    }
    Ok(over.len())
}

fn oldest(tx: &Tx<'_>, before: Millis, at_most: usize) -> Result<Vec<(u64, u64)>, redb::Error> {
    let closed = tx.closed.read()?.range(..(before.0, 0))?.take(at_most);
    closed.map(|row| Ok(row?.0.value())).collect()
}

fn newest_change(tx: &Tx<'_>, seq: u64) -> Result<u64, redb::Error> {
    let mut newest = 0;
    for row in tx.attempts.read()?.range((seq, 0)..=(seq, u32::MAX))? {
        let change = AttemptRow::decode(row?.1.value()).map_or(0, |row| row.change);
        newest = newest.max(change);
    }
    Ok(newest)
}

fn forget(tx: &mut Tx<'_>, (closed_at, seq): (u64, u64)) -> Result<(), redb::Error> {
    tx.closed.remove((closed_at, seq))?;
    let is_remembered = tx.gone.read()?.get(seq)?.is_some();
    let event = tx.drop_event(seq)?;
    let mut numbers = Vec::new();
    for row in tx.attempts.read()?.range((seq, 0)..=(seq, u32::MAX))? {
        numbers.push(row?.0.value().1);
    }
    for number in numbers {
        let Some(row) = tx.drop_attempt(seq, number)? else { continue };
        tx.changes.remove(row.change)?;
        if let Some(event) = &event {
            tx.outcomes.remove((event.subscription_id.as_u128(), row.status, seq, number))?;
        }
    }
    if let Some(event) = &event {
        tx.outcomes.remove((event.subscription_id.as_u128(), KEPT, seq, 0))?;
    }
    if let Some(event) = event.filter(|_| !is_remembered) {
        tx.ids.remove(event.event_id.as_u128())?;
    }
    Ok(())
}
