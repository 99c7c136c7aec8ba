//! Verifies the invariants of the log, both ways.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata};
use webhook_model::AttemptStatus;

use crate::{
    due::Snapshot,
    record::{AttemptRow, EventRow, GoneRow},
    settle,
    tables::{ATTEMPTS, CHANGES, CLOSED, DUE, Due, EVENTS, GONE, IDS, KEPT, OUTCOMES, RETRY_AT},
};

impl Snapshot {
    /// Everything that is wrong, one sentence each. Empty: the invariants of the crate's front page hold.
    ///
    /// # Errors
    /// The store failed.
    pub fn check(&self) -> Result<Vec<String>, redb::Error> {
        self.check_with(|_| {})
    }

    /// The same; `progress` hears how many events were looked at, out of [`Snapshot::size`].
    ///
    /// # Errors
    /// The store failed.
    pub fn check_with(&self, mut progress: impl FnMut(u64)) -> Result<Vec<String>, redb::Error> {
        let mut faults = Vec::new();
        let due = self.check_due(&mut faults)?;
        let mut finals = 0;
        for (looked_at, row) in self.txn.open_table(EVENTS)?.iter()?.enumerate() {
            self.go_on()?;
            progress(looked_at as u64);
            let (seq, value) = row?;
            match EventRow::decode(value.value()) {
                Ok(event) => finals += self.check_delivery(seq.value(), &event, &due, &mut faults)?,
                Err(_) => faults.push(format!("event {} cannot be read", seq.value())),
            }
        }
        self.check_counts(finals, &due, &mut faults)?;
        Ok(faults)
    }

    /// I1. Answers (subscription, attempt number) by delivery.
    fn check_due(&self, faults: &mut Vec<String>) -> Result<BTreeMap<u64, (u128, u32)>, redb::Error> {
        let retry_at = self.txn.open_table(RETRY_AT)?;
        let (mut due, mut timed) = (BTreeMap::new(), 0);
        for row in self.txn.open_table(DUE)?.iter()? {
            self.go_on()?;
            let (key, value) = row?;
            let ((owner, seq), (at, number, _)) = (key.value(), value.value());
            if Due::of_code(at) != Due::AtOnce {
                timed += 1;
                if retry_at.get((owner, at, seq))?.is_none() {
                    faults.push(format!("I1: delivery {seq} is due at {at} and has no retry_at row"));
                }
            }
            if due.insert(seq, (owner, number)).is_some() {
                faults.push(format!("I1: delivery {seq} is due twice"));
            }
        }
        if retry_at.len()? != timed {
            faults.push(format!("I1: {} retry_at rows for {timed} timed deliveries", retry_at.len()?));
        }
        Ok(due)
    }

    /// I2 to I5 of one delivery. Answers how many rows in `outcomes` it has.
    fn check_delivery(
        &self,
        seq: u64,
        event: &EventRow,
        due: &BTreeMap<u64, (u128, u32)>,
        faults: &mut Vec<String>,
    ) -> Result<u64, redb::Error> {
        let known = self.txn.open_table(IDS)?.get(event.event_id.as_u128())?.map(|row| row.value());
        if known != Some(seq) {
            faults.push(format!("I4: event {seq} is not under its id"));
        }
        let changes = self.txn.open_table(CHANGES)?;
        let outcomes = self.txn.open_table(OUTCOMES)?;
        let owner = event.subscription_id.as_u128();
        let (mut finals, mut count, mut last) = (0, 0, None);
        for row in self.txn.open_table(ATTEMPTS)?.range((seq, 0)..=(seq, u32::MAX))? {
            let (key, value) = row?;
            let number = key.value().1;
            count += 1;
            if number != count {
                faults.push(format!("I2: delivery {seq} has attempt {number} where {count} should be"));
            }
            let decoded = AttemptRow::decode(value.value());
            let Ok((change, attempt)) =
                decoded.and_then(|row| Ok((row.change, row.into_attempt(event, number)?)))
            else {
                faults.push(format!("attempt {number} of delivery {seq} cannot be read"));
                continue;
            };
            if changes.get(change)?.map(|row| row.value()) != Some((seq, number)) {
                faults.push(format!("I5: attempt {number} of delivery {seq} is not in the feed at {change}"));
            }
            let is_final = attempt.status != AttemptStatus::Pending;
            finals += u64::from(is_final);
            if outcomes.get((owner, attempt.status.code(), seq, number))?.is_some() != is_final {
                faults.push(format!("I5: attempt {number} of delivery {seq} and its outcomes row disagree"));
            }
            last = Some(attempt);
        }
        let pending = due.get(&seq).copied();
        let is_kept = outcomes.get((owner, KEPT, seq, 0))?.is_some();
        finals += u64::from(is_kept);
        let newest_pending =
            !is_kept && last.as_ref().is_none_or(|last| last.status == AttemptStatus::Pending);
        let expected = newest_pending.then(|| (owner, count.max(1)));
        if pending != expected {
            faults.push(format!("I2: delivery {seq} has due row {pending:?}, its attempts say {expected:?}"));
        }
        let closed = match &last {
            Some(last) => self.txn.open_table(CLOSED)?.get((settle::closed_at(last), seq))?.is_some(),
            None => is_kept && self.txn.open_table(CLOSED)?.get((event.accepted_at.0, seq))?.is_some(),
        };
        if closed == pending.is_some() {
            faults.push(format!("I3: delivery {seq} is pending: {}, closed: {closed}", pending.is_some()));
        }
        Ok(finals)
    }

    /// I4 of what went before its time. Answers how many ids are remembered for it.
    fn check_gone(&self, faults: &mut Vec<String>) -> Result<u64, redb::Error> {
        let ids = self.txn.open_table(IDS)?;
        let mut count = 0;
        for row in self.txn.open_table(GONE)?.iter()? {
            self.go_on()?;
            let (seq, value) = row?;
            let (seq, Ok(gone)) = (seq.value(), GoneRow::decode(value.value())) else {
                faults.push(format!("the remembered event {} cannot be read", seq.value()));
                continue;
            };
            count += 1;
            let known = ids.get(gone.event_id.as_u128())?.map(|row| row.value());
            if known != Some(seq) || self.event(seq)?.is_some() {
                faults.push(format!("I4: event {seq} is gone, and its id does not say so"));
            }
        }
        Ok(count)
    }

    /// The other way: no row without an event.
    fn check_counts(
        &self,
        finals: u64,
        due: &BTreeMap<u64, (u128, u32)>,
        faults: &mut Vec<String>,
    ) -> Result<(), redb::Error> {
        let (events, attempts) = self.size()?;
        let pending = due.len() as u64;
        let gone = self.check_gone(faults)?;
        let mut same = |what: &str, left: u64, right: u64| {
            if left != right {
                faults.push(format!("{what}: {left} rows where {right} should be"));
            }
        };
        same("I4: ids", self.txn.open_table(IDS)?.len()?, events + gone);
        same("I3: closed", self.txn.open_table(CLOSED)?.len()?, events.saturating_sub(pending));
        same("I5: changes", self.txn.open_table(CHANGES)?.len()?, attempts);
        same("I5: outcomes", self.txn.open_table(OUTCOMES)?.len()?, finals);
        let orphans = due.keys().filter(|seq| !matches!(self.event(**seq), Ok(Some(_)))).count();
        same("I4: due without an event", orphans as u64, 0);
        Ok(())
    }
}
