//! Retention: deliveries that are over are forgotten after a while, or when there are too many of them. What is
//! pending never is.

use redb::ReadableTable;
use webhook_model::Millis;

use crate::{
    log::{Log, Pending},
    record::AttemptRow,
    tables::Tx,
};

impl Log {
    /// Forgets up to `at_most` deliveries that were closed before `before`, oldest first; answers how many.
    pub fn purge(&self, before: Millis, at_most: usize) -> Pending<usize> {
        self.run(move |tx| {
            let oldest = oldest(tx, before, at_most)?;
            oldest.iter().try_for_each(|key| forget(tx, *key))?;
            Ok(oldest.len())
        })
    }

    /// Forgets up to `at_most` of the oldest deliveries that are over and whose outcome was pulled already
    /// ([`Log::pulled_up_to`]); answers how many. For retention by size: it must not take an outcome from Odoo.
    pub fn purge_pulled(&self, at_most: usize) -> Pending<usize> {
        let pulled = self.pulled();
        self.run(move |tx| {
            let mut forgotten = 0;
            for key in oldest(tx, Millis(u64::MAX), at_most)? {
                if newest_change(tx, key.1)? > pulled {
                    break;
                }
                forget(tx, key)?;
                forgotten += 1;
            }
            Ok(forgotten)
        })
    }
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
    if let Some(event) = event {
        tx.ids.remove(event.event_id.as_u128())?;
    }
    Ok(())
}
