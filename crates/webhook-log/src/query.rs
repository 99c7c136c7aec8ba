//! What others may read of the log: one delivery, lists, and the feed of changes.

use std::{cmp::Reverse, collections::BinaryHeap, sync::atomic::Ordering::Relaxed};

use redb::ReadableTableMetadata;
use webhook_model::{Attempt, AttemptStatus, EventId, SubscriptionId};

use crate::{
    due::Snapshot,
    meta::Cursor,
    record::{AttemptRow, EventRow},
    tables::{ATTEMPTS, CHANGES, DUE, EVENTS, IDS, KEPT, OUTCOMES},
};

/// Which attempts to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListQuery {
    /// Of one subscription.
    pub subscription_id: Option<SubscriptionId>,
    /// In one state.
    pub status: Option<AttemptStatus>,
    /// Older than this place, as an answer before gave it.
    pub after: Option<(u64, u32)>,
    /// At most so many.
    pub limit: usize,
}

/// Where the attempts of a delivery go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptsPage {
    /// The number of the last attempt handed out, if there are more.
    pub next: Option<u32>,
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPage {
    /// The place of the last attempt handed out, if there is more.
    pub next: Option<(u64, u32)>,
}

/// Where the feed goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    /// The place behind the last attempt handed out.
    pub cursor: String,
    /// Whether there is more behind it.
    pub more: bool,
}

/// A cursor that is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorFault {
    /// Not one of this program's.
    Malformed,
    /// Of another log, or of a later state of this one.
    Stale,
}

type Place = (u64, u32);

impl Snapshot {
    /// All attempts of one delivery, ascending; the first one also while it waits. `None`: no such event.
    ///
    /// # Errors
    /// The store failed.
    pub fn attempts(&self, event_id: EventId) -> Result<Option<Vec<Attempt>>, redb::Error> {
        let mut all = Vec::new();
        let found = self.attempts_after(event_id, 0, |attempt| {
            all.push(attempt.clone());
            true
        })?;
        Ok(found.map(|_| all))
    }

    /// The attempts of one delivery behind number `after`. `take` as in [`Snapshot::changes`].
    ///
    /// # Errors
    /// The store failed.
    pub fn attempts_after(
        &self,
        event_id: EventId,
        after: u32,
        mut take: impl FnMut(&Attempt) -> bool,
    ) -> Result<Option<AttemptsPage>, redb::Error> {
        let Some(seq) = self.txn.open_table(IDS)?.get(event_id.as_u128())?.map(|row| row.value()) else {
            return Ok(None);
        };
        let Some(event) = self.event(seq)? else { return Ok(None) };
        let attempts = self.txn.open_table(ATTEMPTS)?;
        let (mut last, mut is_first) = (after, after == 0);
        for row in attempts.range((seq, after.saturating_add(1))..=(seq, u32::MAX))? {
            let (key, value) = row?;
            let number = key.value().1;
            let attempt = AttemptRow::decode(value.value()).and_then(|row| row.into_attempt(&event, number));
            // One that cannot be read is left out.
            if attempt.is_ok_and(|attempt| {
                is_first = false;
                !take(&attempt)
            }) {
                return Ok(Some(AttemptsPage { next: Some(last) }));
            }
            last = number;
        }
        if is_first && !self.is_kept(&event, seq)? {
            take(&event.first_attempt());
        }
        Ok(Some(AttemptsPage { next: None }))
    }

    fn is_kept(&self, event: &EventRow, seq: u64) -> Result<bool, redb::Error> {
        let key = (event.subscription_id.as_u128(), KEPT, seq, 0);
        Ok(self.txn.open_table(OUTCOMES)?.get(key)?.is_some())
    }

    /// The events of a subscription that are sent nowhere, behind `after` ("" = from the beginning), in order of
    /// acceptance, each as its default body. `take` as in [`Snapshot::changes`].
    ///
    /// # Errors
    /// The store failed; inside, the cursor is of no use.
    pub fn read_events(
        &self,
        subscription: SubscriptionId,
        after: &str,
        limit: usize,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<Result<ChangesPage, CursorFault>, redb::Error> {
        let mut last = match Cursor::parse(after) {
            None if after.is_empty() => 0,
            None => return Ok(Err(CursorFault::Malformed)),
            Some(cursor) if cursor.log_id != &*self.log_id => return Ok(Err(CursorFault::Stale)),
            Some(cursor) => cursor.change,
        };
        let (owner, mut taken, mut more) = (subscription.as_u128(), 0, false);
        let outcomes = self.txn.open_table(OUTCOMES)?;
        let first = (owner, KEPT, last.saturating_add(1), 0);
        for row in outcomes.range(first..=(owner, KEPT, u64::MAX, 0))? {
            let seq = row?.0.value().2;
            // An event that cannot be read is left out.
            let declined = self.event(seq)?.is_some_and(|event| taken == limit || !take(&event.body));
            if declined {
                more = true;
                break;
            }
            last = seq;
            taken += 1;
        }
        let cursor = Cursor { log_id: &self.log_id, change: last }.to_string();
        Ok(Ok(ChangesPage { cursor, more }))
    }

    /// The feed behind `after` ("" = from the beginning): each attempt once, at its latest state, in the order of
    /// change. `take` gets one attempt after the other until it declines one or `limit` are taken.
    ///
    /// # Errors
    /// The store failed; inside, the cursor is of no use.
    pub fn changes(
        &self,
        after: &str,
        limit: usize,
        mut take: impl FnMut(Attempt) -> bool,
    ) -> Result<Result<ChangesPage, CursorFault>, redb::Error> {
        let after = match self.read_cursor(after)? {
            Ok(after) => after,
            Err(fault) => return Ok(Err(fault)),
        };
        let changes = self.txn.open_table(CHANGES)?;
        let (mut last, mut taken, mut more) = (after, 0, false);
        for row in changes.range(after.saturating_add(1)..)? {
            let (key, value) = row?;
            if taken == limit {
                more = true;
                break;
            }
            let (seq, number) = value.value();
            let attempt = match self.event(seq)? {
                Some(event) => self.attempt(seq, number, &event)?,
                None => None,
            };
            // An attempt that cannot be read is left out, so that it cannot hold up the rest.
            if attempt.is_some_and(|attempt| !take(attempt)) {
                more = true;
                break;
            }
            last = key.value();
            taken += 1;
        }
        self.told_change.fetch_max(last, Relaxed);
        let cursor = Cursor { log_id: &self.log_id, change: last }.to_string();
        Ok(Ok(ChangesPage { cursor, more }))
    }

    fn read_cursor(&self, text: &str) -> Result<Result<u64, CursorFault>, redb::Error> {
        if text.is_empty() {
            return Ok(Ok(0));
        }
        let Some(Cursor { log_id, change }) = Cursor::parse(text) else {
            return Ok(Err(CursorFault::Malformed));
        };
        // Nobody was told of it: it is of a past that this log does not have.
        if log_id != &*self.log_id || change > self.told_change.load(Relaxed) {
            return Ok(Err(CursorFault::Stale));
        }
        Ok(Ok(change))
    }

    /// Attempts, newest event first. `take` as in [`Snapshot::changes`].
    ///
    /// # Errors
    /// The store failed.
    pub fn list(
        &self,
        query: ListQuery,
        mut take: impl FnMut(Attempt) -> bool,
    ) -> Result<ListPage, redb::Error> {
        let mut places = self.places(query)?;
        let (mut last, mut taken) = (None, 0);
        while let Some(place) = places.pop()? {
            if taken == query.limit {
                return Ok(ListPage { next: last });
            }
            let Some(attempt) = self.attempt_at(place)? else { continue };
            if !take(attempt) {
                return Ok(ListPage { next: last });
            }
            last = Some(place);
            taken += 1;
        }
        Ok(ListPage { next: None })
    }

    fn attempt_at(&self, (seq, number): Place) -> Result<Option<Attempt>, redb::Error> {
        let Some(event) = self.event(seq)? else { return Ok(None) };
        let stored = self.attempt(seq, number, &event)?;
        Ok(stored.or_else(|| (number == 1).then(|| event.first_attempt())))
    }

    /// One sorted source per (subscription, status) in question, to be merged.
    fn places(&self, query: ListQuery) -> Result<Merge<'_>, redb::Error> {
        let owners = match query.subscription_id {
            Some(id) => vec![id.as_u128()],
            None => self.owners()?,
        };
        let before = query.after.unwrap_or((u64::MAX, u32::MAX));
        let wanted = |status| query.status.is_none_or(|only| only == status);
        let mut merge = Merge { sources: Vec::new(), heads: BinaryHeap::new() };
        for owner in owners {
            if wanted(AttemptStatus::Pending) {
                let rows = self.txn.open_table(DUE)?.range((owner, 0)..=(owner, before.0))?;
                merge.add(Box::new(rows.rev().filter_map(move |row| match row {
                    Ok((key, value)) => {
                        Some((key.value().1, value.value().1)).filter(|at| *at < before).map(Ok)
                    }
                    Err(error) => Some(Err(error)),
                })))?;
            }
            for status in [AttemptStatus::Success, AttemptStatus::Failed].into_iter().filter(|s| wanted(*s)) {
                let code = status.code();
                let rows = self.txn.open_table(OUTCOMES)?;
                let rows = rows.range((owner, code, 0, 0)..(owner, code, before.0, before.1))?;
                merge.add(Box::new(
                    rows.rev().map(|row| row.map(|(key, _)| (key.value().2, key.value().3))),
                ))?;
            }
        }
        Ok(merge)
    }

    /// Every subscription that has rows, also one that is gone.
    fn owners(&self) -> Result<Vec<u128>, redb::Error> {
        let outcomes = self.txn.open_table(OUTCOMES)?;
        let mut owners: std::collections::BTreeSet<u128> =
            self.lanes()?.iter().map(|lane| lane.as_u128()).collect();
        let mut from = (0, 0, 0, 0);
        while let Some(row) = outcomes.range(from..)?.next() {
            let owner = row?.0.value().0;
            owners.insert(owner);
            let Some(next) = owner.checked_add(1) else { break };
            from = (next, 0, 0, 0);
        }
        Ok(owners.into_iter().collect())
    }

    /// The pending attempt of a delivery, and the delivery's number; `None` where nothing is pending.
    ///
    /// # Errors
    /// The store failed.
    pub fn pending_attempt(&self, event_id: EventId) -> Result<Option<(u64, Attempt)>, redb::Error> {
        let Some(seq) = self.txn.open_table(IDS)?.get(event_id.as_u128())?.map(|row| row.value()) else {
            return Ok(None);
        };
        let Some(event) = self.event(seq)? else { return Ok(None) };
        Ok(self.one(event.subscription_id, seq)?.map(|row| (seq, row.attempt)))
    }

    /// Rows of the log: events, attempts.
    ///
    /// # Errors
    /// The store failed.
    pub fn size(&self) -> Result<(u64, u64), redb::Error> {
        Ok((self.txn.open_table(EVENTS)?.len()?, self.txn.open_table(ATTEMPTS)?.len()?))
    }
}

type Source<'s> = Box<dyn Iterator<Item = Result<Place, redb::StorageError>> + 's>;

/// Merges sources that each descend into one that does.
struct Merge<'s> {
    sources: Vec<Source<'s>>,
    heads: BinaryHeap<(Place, Reverse<usize>)>,
}

impl<'s> Merge<'s> {
    fn add(&mut self, source: Source<'s>) -> Result<(), redb::Error> {
        self.sources.push(source);
        self.advance(self.sources.len() - 1)
    }

    fn advance(&mut self, index: usize) -> Result<(), redb::Error> {
        if let Some(place) = self.sources[index].next() {
            self.heads.push((place?, Reverse(index)));
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Option<Place>, redb::Error> {
        let Some((place, Reverse(index))) = self.heads.pop() else { return Ok(None) };
        self.advance(index)?;
        Ok(Some(place))
    }
}
