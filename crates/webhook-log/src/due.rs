//! What is due: read by the dispatcher, in pages, so that memory does not grow with the backlog.

use std::{
    cell::OnceCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use redb::{Key, ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableDefinition, Value};
use webhook_model::{Attempt, EventId, Millis, SubscriptionId, Trigger};

use crate::{
    record::{AttemptRow, EventRow},
    tables::{ATTEMPTS, DUE, Due, EVENTS, RETRY_AT},
};

/// The log as it was at one commit. Short-lived: as long as it lives, freed pages cannot be used again.
pub struct Snapshot {
    pub(crate) txn: ReadTransaction,
    pub(crate) log_id: Arc<str>,
    pub(crate) told_change: Arc<AtomicU64>,
    is_closing: Arc<AtomicBool>,
    opened: Opened,
}

type Table<K, V> = OnceCell<ReadOnlyTable<K, V>>;

/// Tables that are read row by row; opening one costs as much as reading several rows.
#[derive(Default)]
struct Opened {
    due: Table<(u128, u64), (u64, u32, u8)>,
    retry_at: Table<(u128, u64, u64), ()>,
    events: Table<u64, &'static [u8]>,
    attempts: Table<(u64, u32), &'static [u8]>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot(..)")
    }
}

/// A pending attempt, and the event to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRow {
    /// The delivery, in order of acceptance.
    pub seq: u64,
    /// The attempt, pending.
    pub attempt: Attempt,
    /// The event's default body; none when its row could not be read, so that the attempt can only fail.
    pub body: Option<Bytes>,
}

/// The oldest pending delivery of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneHead {
    /// The delivery.
    pub seq: u64,
    /// When it is due.
    pub due: Due,
}

impl LaneHead {
    /// Somebody waits for it: a test, or a redelivery of this one event.
    pub fn is_asked_for(&self) -> bool {
        matches!(self.due, Due::Test | Due::AskedFor)
    }
}

impl Snapshot {
    pub(crate) fn new(
        txn: ReadTransaction,
        log_id: Arc<str>,
        told_change: Arc<AtomicU64>,
        is_closing: Arc<AtomicBool>,
    ) -> Self {
        Self { txn, log_id, told_change, is_closing, opened: Opened::default() }
    }

    /// Breaks off what reads at length once the log is being closed: the close waits for every reader.
    pub(crate) fn go_on(&self) -> Result<(), redb::Error> {
        let interrupted = || redb::Error::Io(std::io::ErrorKind::Interrupted.into());
        if self.is_closing.load(Relaxed) { Err(interrupted()) } else { Ok(()) }
    }

    fn table<'s, K: Key + 'static, V: Value + 'static>(
        &'s self,
        cell: &'s Table<K, V>,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<&'s ReadOnlyTable<K, V>, redb::Error> {
        match cell.get() {
            Some(table) => Ok(table),
            None => {
                let table = self.txn.open_table(definition)?;
                Ok(cell.get_or_init(|| table))
            }
        }
    }

    /// The subscriptions that have anything pending. One look-up each, however long their backlogs.
    ///
    /// # Errors
    /// The store failed.
    pub fn lanes(&self) -> Result<Vec<SubscriptionId>, redb::Error> {
        let due = self.table(&self.opened.due, DUE)?;
        let mut lanes = Vec::new();
        let mut from = (0, 0);
        while let Some(row) = due.range(from..)?.next() {
            let owner = row?.0.value().0;
            lanes.push(SubscriptionId::from_u128(owner));
            let Some(next) = owner.checked_add(1) else { break };
            from = (next, 0);
        }
        Ok(lanes)
    }

    /// How many deliveries are pending.
    ///
    /// # Errors
    /// The store failed.
    pub fn pending(&self) -> Result<u64, redb::Error> {
        Ok(self.txn.open_table(DUE)?.len()?)
    }

    /// The oldest pending delivery of one subscription.
    ///
    /// # Errors
    /// The store failed.
    pub fn head(&self, lane: SubscriptionId) -> Result<Option<LaneHead>, redb::Error> {
        let due = self.table(&self.opened.due, DUE)?;
        let owner = lane.as_u128();
        let first = due.range((owner, 0)..=(owner, u64::MAX))?.next().transpose()?;
        Ok(first.map(|(key, value)| LaneHead { seq: key.value().1, due: Due::of_code(value.value().0) }))
    }

    /// Deliveries that wait for their first attempt, in order of acceptance, from behind `after`; at most `limit` of
    /// them. Also answers how far it looked: rows up to there need not be looked at again.
    ///
    /// # Errors
    /// The store failed.
    pub fn fresh(
        &self,
        lane: SubscriptionId,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<DueRow>, u64), redb::Error> {
        let due = self.table(&self.opened.due, DUE)?;
        let owner = lane.as_u128();
        let mut rows = Vec::new();
        let mut looked = after;
        for row in due.range((owner, after.saturating_add(1))..=(owner, u64::MAX))? {
            if rows.len() == limit {
                break;
            }
            let (key, value) = row?;
            let (seq, (at, number, trigger)) = (key.value().1, value.value());
            if Due::of_code(at) == Due::AtOnce {
                rows.push(self.load(lane, seq, number, trigger)?);
            }
            looked = seq;
        }
        Ok((rows, looked))
    }

    /// Deliveries with a time of their own that has come (retries, redeliveries), earliest first, without those that
    /// are `busy`; at most `limit`. Also answers when the next one comes.
    ///
    /// # Errors
    /// The store failed.
    pub fn timed(
        &self,
        lane: SubscriptionId,
        now: Millis,
        limit: usize,
        busy: impl Fn(u64) -> bool,
    ) -> Result<(Vec<DueRow>, Option<Millis>), redb::Error> {
        self.up_to(lane, Due::At(now), limit, busy)
    }

    fn up_to(
        &self,
        lane: SubscriptionId,
        last: Due,
        limit: usize,
        busy: impl Fn(u64) -> bool,
    ) -> Result<(Vec<DueRow>, Option<Millis>), redb::Error> {
        let retry_at = self.table(&self.opened.retry_at, RETRY_AT)?;
        let owner = lane.as_u128();
        let mut rows = Vec::new();
        for row in retry_at.range((owner, 0, 0)..=(owner, u64::MAX, u64::MAX))? {
            let (_, at, seq) = row?.0.value();
            if busy(seq) {
                continue;
            }
            if Due::of_code(at) > last || rows.len() == limit {
                return Ok((rows, Some(Millis(at))));
            }
            rows.extend(self.one(lane, seq)?);
        }
        Ok((rows, None))
    }

    /// Test events of one subscription, which wait for nothing.
    ///
    /// # Errors
    /// The store failed.
    pub fn tests(
        &self,
        lane: SubscriptionId,
        limit: usize,
        busy: impl Fn(u64) -> bool,
    ) -> Result<Vec<DueRow>, redb::Error> {
        Ok(self.up_to(lane, Due::Test, limit, busy)?.0)
    }

    /// Redeliveries of single events, which somebody waits for, and test events.
    ///
    /// # Errors
    /// The store failed.
    pub fn asked_for(
        &self,
        lane: SubscriptionId,
        limit: usize,
        busy: impl Fn(u64) -> bool,
    ) -> Result<Vec<DueRow>, redb::Error> {
        Ok(self.up_to(lane, Due::AskedFor, limit, busy)?.0)
    }

    /// The pending attempt of one delivery.
    ///
    /// # Errors
    /// The store failed.
    pub fn one(&self, lane: SubscriptionId, seq: u64) -> Result<Option<DueRow>, redb::Error> {
        let due = self.table(&self.opened.due, DUE)?;
        let Some(row) = due.get((lane.as_u128(), seq))? else { return Ok(None) };
        let (_, number, trigger) = row.value();
        self.load(lane, seq, number, trigger).map(Some)
    }

    fn load(&self, lane: SubscriptionId, seq: u64, number: u32, trigger: u8) -> Result<DueRow, redb::Error> {
        let event = self.event(seq)?.filter(|event| event.subscription_id == lane);
        let attempt = match (&event, number) {
            (Some(event), 1) => Some(event.first_attempt()),
            (Some(event), _) => self.attempt(seq, number, event)?,
            (None, _) => None,
        };
        let Some((attempt, event)) = attempt.zip(event) else {
            // Damaged. It must end as a failed attempt, not as a panic at every start.
            let trigger = Trigger::from_code(trigger).unwrap_or(Trigger::Event);
            let attempt = Attempt::pending(EventId::from_u128(0), lane, trigger, Millis(0));
            return Ok(DueRow { seq, attempt: Attempt { number, ..attempt }, body: None });
        };
        Ok(DueRow { seq, attempt, body: Some(event.body) })
    }

    pub(crate) fn event(&self, seq: u64) -> Result<Option<EventRow>, redb::Error> {
        let events = self.table(&self.opened.events, EVENTS)?;
        Ok(events.get(seq)?.and_then(|row| EventRow::decode(row.value()).ok()))
    }

    pub(crate) fn attempt(
        &self,
        seq: u64,
        number: u32,
        event: &EventRow,
    ) -> Result<Option<Attempt>, redb::Error> {
        let attempts = self.table(&self.opened.attempts, ATTEMPTS)?;
        let Some(row) = attempts.get((seq, number))? else { return Ok(None) };
        Ok(AttemptRow::decode(row.value()).and_then(|row| row.into_attempt(event, number)).ok())
    }
}
