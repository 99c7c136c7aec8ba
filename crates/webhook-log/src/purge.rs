//! Retention: deliveries that are over are forgotten after a while. What is pending never is.

use redb::ReadableTable;
use webhook_model::Millis;

use crate::{
    log::{Log, Pending},
    record::{AttemptRow, EventRow},
    tables::Tx,
};

impl Log {
    /// Forgets up to `at_most` deliveries that were closed before `before`; answers how many.
    pub fn purge(&self, before: Millis, at_most: usize) -> Pending<usize> {
        self.run(move |tx| {
            let closed: Vec<(u64, u64)> = tx
                .closed
                .range(..(before.0, 0))?
                .take(at_most)
                .map(|row| row.map(|(key, _)| key.value()))
                .collect::<Result<_, _>>()?;
            closed.iter().try_for_each(|key| forget(tx, *key))?;
            Ok(closed.len())
        })
    }
}

fn forget(tx: &mut Tx<'_>, (closed_at, seq): (u64, u64)) -> Result<(), redb::Error> {
    tx.closed.remove((closed_at, seq))?;
    let event = tx.events.remove(seq)?.and_then(|row| EventRow::decode(row.value()).ok());
    let mut attempts = Vec::new();
    for row in tx.attempts.range((seq, 0)..=(seq, u32::MAX))? {
        let (key, value) = row?;
        attempts.push((key.value().1, AttemptRow::decode(value.value()).ok()));
    }
    for (number, row) in attempts {
        tx.attempts.remove((seq, number))?;
        let Some(row) = row else { continue };
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
