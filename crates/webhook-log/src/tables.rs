//! The tables, and the one way to write them.

use std::{cell::RefCell, collections::HashSet, sync::Arc};

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use webhook_model::{Attempt, Millis, SubscriptionId};

use crate::{
    journal::{Change, Redo},
    log::Memory,
    meta::Attachment,
    noted::Noted,
    record::{self, AttemptRow, EventRow},
    seal::SealingKey,
    subscriptions::SubscriptionSet,
};

/// Version of everything below, and of the journal. A file of a newer version is refused, one of an older is migrated:
/// 1 had no journal; the journal of 2 had no titles; neither had `key_check`, `gone`, and a count in its head. An
/// opening adds what is missing.
pub(crate) const FORMAT: u32 = 3;

/// Facts about the file as a whole: `format`, `log_id`, `head`, `bytes`, `attachment`, `epoch` (while it is open: see
/// [`crate::journal`]), `key_check`, `awaits_sync`, `forgotten_to` (ids of events before that time may be forgotten).
pub(crate) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Subscription id -> [`record::SubscriptionRow`].
pub(crate) const SUBSCRIPTIONS: TableDefinition<'static, u128, &[u8]> = TableDefinition::new("subscriptions");
/// Event id -> seq. Random keys stay out of every other table: appending is several times cheaper.
pub(crate) const IDS: TableDefinition<'static, u128, u64> = TableDefinition::new("ids");
/// Seq (order of acceptance) -> [`record::EventRow`]. Written once.
pub(crate) const EVENTS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("events");
/// (seq, number) -> [`record::AttemptRow`].
pub(crate) const ATTEMPTS: TableDefinition<'static, (u64, u32), &[u8]> = TableDefinition::new("attempts");
/// (subscription, seq) -> ([`Due`], attempt number, trigger): what is pending, in order of acceptance.
/// The subscription leads, so that a dead endpoint's backlog never stands before another's work.
pub(crate) const DUE: TableDefinition<'static, (u128, u64), (u64, u32, u8)> = TableDefinition::new("due");
/// (subscription, [`Due`], seq): the rows of `due` that have a time of their own, in order of time.
pub(crate) const RETRY_AT: TableDefinition<'static, (u128, u64, u64), ()> = TableDefinition::new("retry_at");
/// Change -> (seq, number): the feed that Odoo pulls.
pub(crate) const CHANGES: TableDefinition<'static, u64, (u64, u32)> = TableDefinition::new("changes");
/// (subscription, status, seq, number) of final attempts, for lists.
pub(crate) const OUTCOMES: TableDefinition<'static, (u128, u8, u64, u32), ()> =
    TableDefinition::new("outcomes");
/// In the place of a status in `outcomes`, with attempt 0: the event is read and never sent.
pub(crate) const KEPT: u8 = 0;
/// (closed in ms, seq) of deliveries that are over, for retention.
pub(crate) const CLOSED: TableDefinition<'static, (u64, u64), ()> = TableDefinition::new("closed");

/// Seq -> [`record::GoneRow`]: events that had to go before their time, whose ids are still remembered.
pub(crate) const GONE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("gone");

/// When a delivery is due. All but the first have a row in `retry_at`, where they stand in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// In order of acceptance.
    AtOnce,
    /// A test event: before everything else, and also while its subscription is paused.
    Test,
    /// A redelivery of one event, which somebody waits for: before what waits by itself.
    AskedFor,
    /// At a time of its own.
    At(Millis),
}

impl Due {
    /// As it is on disk: a time in ms, of which the first are words.
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::AtOnce => 0,
            Self::Test => 1,
            Self::AskedFor => 2,
            Self::At(at) => at.0.max(3),
        }
    }

    pub(crate) fn of_code(code: u64) -> Self {
        match code {
            0 => Self::AtOnce,
            1 => Self::Test,
            2 => Self::AskedFor,
            at => Self::At(Millis(at)),
        }
    }

    /// The time that is still to come.
    pub fn still_waits(self, now: Millis) -> Option<Millis> {
        match self {
            Self::At(at) if at > now => Some(at),
            _ => None,
        }
    }
}

/// The next free numbers. They never go back, so that neither a purge nor a restart can reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub seq: u64,
    pub change: u64,
    /// How often something was taken from outside: what a database remembers of this log.
    pub count: u64,
    /// When the newest event happened, by its own account, as far as our clock allows it.
    pub newest: Millis,
}

/// All tables of one write transaction, and what it changes in memory once it is committed.
pub(crate) struct Tx<'t> {
    pub meta: Noted<'t, &'static str, &'static [u8]>,
    pub subscriptions: Noted<'t, u128, &'static [u8]>,
    pub ids: Noted<'t, u128, u64>,
    pub events: Noted<'t, u64, &'static [u8]>,
    pub attempts: Noted<'t, (u64, u32), &'static [u8]>,
    pub due: Noted<'t, (u128, u64), (u64, u32, u8)>,
    pub retry_at: Noted<'t, (u128, u64, u64), ()>,
    pub changes: Noted<'t, u64, (u64, u32)>,
    pub outcomes: Noted<'t, (u128, u8, u64, u32), ()>,
    pub closed: Noted<'t, (u64, u64), ()>,
    pub gone: Noted<'t, u64, &'static [u8]>,
    pub head: Head,
    pub log_id: Arc<str>,
    pub set: SubscriptionSet,
    pub attachment: Option<Arc<Attachment>>,
    pub awaits_sync: bool,
    pub forgotten_to: Millis,
    /// Of all events and attempts: what retention by size looks at.
    bytes: u64,
    pub touched: HashSet<SubscriptionId>,
    pub key: &'t SealingKey,
    started: (Head, u64),
}

impl<'t> Tx<'t> {
    pub fn new(
        txn: &'t WriteTransaction,
        redo: &'t RefCell<Redo>,
        head: Head,
        memory: Memory,
        key: &'t SealingKey,
    ) -> Self {
        Self {
            meta: Noted::new(txn, META, 0, redo),
            subscriptions: Noted::new(txn, SUBSCRIPTIONS, 1, redo),
            ids: Noted::new(txn, IDS, 2, redo),
            events: Noted::new(txn, EVENTS, 3, redo),
            attempts: Noted::new(txn, ATTEMPTS, 4, redo),
            due: Noted::new(txn, DUE, 5, redo),
            retry_at: Noted::new(txn, RETRY_AT, 6, redo),
            changes: Noted::new(txn, CHANGES, 7, redo),
            outcomes: Noted::new(txn, OUTCOMES, 8, redo),
            closed: Noted::new(txn, CLOSED, 9, redo),
            gone: Noted::new(txn, GONE, 10, redo),
            head,
            log_id: memory.log_id,
            set: memory.set,
            attachment: memory.attachment,
            awaits_sync: memory.awaits_sync,
            forgotten_to: memory.forgotten_to,
            bytes: memory.bytes,
            touched: HashSet::new(),
            key,
            started: (head, memory.bytes),
        }
    }

    /// Makes every table that is not there.
    pub fn make_tables(&self) -> Result<(), redb::Error> {
        self.meta.read()?;
        self.subscriptions.read()?;
        self.ids.read()?;
        self.events.read()?;
        self.attempts.read()?;
        self.due.read()?;
        self.retry_at.read()?;
        self.changes.read()?;
        self.outcomes.read()?;
        self.closed.read()?;
        self.gone.read()?;
        Ok(())
    }

    /// Does again what a commit did, by the numbers that [`Tx::new`] gives to the tables.
    pub fn replay(&mut self, change: &Change<'_>) -> Result<(), redb::Error> {
        match change.table {
            0 => self.meta.replay(change),
            1 => self.subscriptions.replay(change),
            2 => self.ids.replay(change),
            3 => self.events.replay(change),
            4 => self.attempts.replay(change),
            5 => self.due.replay(change),
            6 => self.retry_at.replay(change),
            7 => self.changes.replay(change),
            8 => self.outcomes.replay(change),
            9 => self.closed.replay(change),
            10 => self.gone.replay(change),
            other => Err(redb::Error::Corrupted(format!("the journal speaks of table {other}"))),
        }
    }

    /// Writes the numbers back if they moved; what is left is for memory, once the commit is on disk.
    pub fn finish(mut self) -> Result<Committed, redb::Error> {
        if self.head != self.started.0 {
            self.meta.insert("head", record::encode_head(self.head).as_slice())?;
        }
        if self.bytes != self.started.1 {
            self.meta.insert("bytes", self.bytes.to_be_bytes().as_slice())?;
        }
        let Self { head, log_id, set, attachment, awaits_sync, forgotten_to, bytes, touched, .. } = self;
        Ok(Committed {
            head,
            memory: Memory { log_id, set, attachment, awaits_sync, bytes, forgotten_to },
            touched,
        })
    }

    /// Stores an event.
    pub fn put_event(&mut self, seq: u64, row: &[u8]) -> Result<(), redb::Error> {
        self.events.insert(seq, row)?;
        self.bytes += row.len() as u64;
        Ok(())
    }

    /// Forgets an event; answers its row.
    pub fn drop_event(&mut self, seq: u64) -> Result<Option<EventRow>, redb::Error> {
        let Some(row) = self.events.remove(seq)? else { return Ok(None) };
        self.bytes = self.bytes.saturating_sub(row.value().len() as u64);
        Ok(EventRow::decode(row.value()).ok())
    }

    /// Stores an attempt, or what became of it, at the next place in the feed, and frees the one it had.
    pub fn put_attempt(
        &mut self,
        seq: u64,
        attempt: &Attempt,
        payload_is_event_body: bool,
    ) -> Result<(), redb::Error> {
        let (change, number) = (self.head.change, attempt.number);
        self.head.change += 1;
        let row = AttemptRow::of(attempt, change, payload_is_event_body).encode();
        self.bytes += row.len() as u64;
        let before = self.attempts.insert((seq, number), row.as_slice())?;
        if let Some(before) = before {
            self.bytes = self.bytes.saturating_sub(before.value().len() as u64);
            if let Ok(before) = AttemptRow::decode(before.value()) {
                self.changes.remove(before.change)?;
            }
        }
        self.changes.insert(change, (seq, number))?;
        Ok(())
    }

    /// Forgets an attempt; answers its row.
    pub fn drop_attempt(&mut self, seq: u64, number: u32) -> Result<Option<AttemptRow>, redb::Error> {
        let Some(row) = self.attempts.remove((seq, number))? else { return Ok(None) };
        self.bytes = self.bytes.saturating_sub(row.value().len() as u64);
        Ok(AttemptRow::decode(row.value()).ok())
    }

    /// Makes a delivery due.
    pub fn make_due(
        &mut self,
        subscription: SubscriptionId,
        seq: u64,
        due: Due,
        number: u32,
        trigger: u8,
    ) -> Result<(), redb::Error> {
        self.due.insert((subscription.as_u128(), seq), (due.code(), number, trigger))?;
        if due != Due::AtOnce {
            self.retry_at.insert((subscription.as_u128(), due.code(), seq), ())?;
        }
        self.touched.insert(subscription);
        Ok(())
    }

    /// When the pending attempt is due, and its number, where there is one.
    pub fn due_of(&self, subscription: SubscriptionId, seq: u64) -> Result<Option<(Due, u32)>, redb::Error> {
        let row = self.due.read()?.get((subscription.as_u128(), seq))?;
        Ok(row.map(|row| (Due::of_code(row.value().0), row.value().1)))
    }

    /// Takes a delivery out of what is due, if this attempt of it is; answers whether it was.
    pub fn take_due(
        &mut self,
        subscription: SubscriptionId,
        seq: u64,
        number: u32,
    ) -> Result<bool, redb::Error> {
        let key = (subscription.as_u128(), seq);
        let Some(taken) = self.due.remove(key)?.map(|row| row.value()) else { return Ok(false) };
        let (at, due_number, _) = taken;
        if due_number != number {
            self.due.insert(key, taken)?;
            return Ok(false);
        }
        if Due::of_code(at) != Due::AtOnce {
            self.retry_at.remove((subscription.as_u128(), at, seq))?;
        }
        Ok(true)
    }
}

/// What a commit changes in memory.
pub(crate) struct Committed {
    pub head: Head,
    pub memory: Memory,
    pub touched: HashSet<SubscriptionId>,
}
