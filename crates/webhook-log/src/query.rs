//! What others may read of the log: one delivery, lists, and the feed of changes.

use std::{cmp::Reverse, collections::BinaryHeap};

use redb::ReadableTableMetadata;
use webhook_model::{Attempt, AttemptStatus, EventId, Millis, SubscriptionId};

use crate::{
    due::Snapshot,
    record::{AttemptRow, EventRow},
    redeliver,
    tables::{ATTEMPTS, CHANGES, DUE, EVENTS, IDS, OUTCOMES},
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
        let Some(seq) = self.txn.open_table(IDS)?.get(event_id.as_u128())?.map(|row| row.value()) else {
            return Ok(None);
        };
        let Some(event) = self.event(seq)? else { return Ok(None) };
        let attempts = self.txn.open_table(ATTEMPTS)?;
        let mut found = Vec::new();
        for row in attempts.range((seq, 0)..=(seq, u32::MAX))? {
            let (key, value) = row?;
            found.extend(
                AttemptRow::decode(value.value()).and_then(|row| row.into_attempt(&event, key.value().1)),
            );
        }
        if found.is_empty() {
            found.push(event.first_attempt());
        }
        Ok(Some(found))
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
        Ok(Ok(ChangesPage { cursor: format!("{}:{last}", self.log_id), more }))
    }

    fn read_cursor(&self, text: &str) -> Result<Result<u64, CursorFault>, redb::Error> {
        if text.is_empty() {
            return Ok(Ok(0));
        }
        let Some((log_id, change)) = text.split_once(':') else { return Ok(Err(CursorFault::Malformed)) };
        let Ok(change) = change.parse::<u64>() else { return Ok(Err(CursorFault::Malformed)) };
        if log_id != &*self.log_id || change >= self.next_numbers()?.change {
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

    /// How many failed deliveries of one subscription a redelivery since `since` would take.
    ///
    /// # Errors
    /// The store failed.
    pub fn count_failed(&self, subscription: SubscriptionId, since: Millis) -> Result<u64, redb::Error> {
        let outcomes = self.txn.open_table(OUTCOMES)?;
        let due = self.txn.open_table(DUE)?;
        let (seqs, _) = redeliver::failed_seqs(&outcomes, subscription, 0, usize::MAX)?;
        let mut count = 0;
        for seq in seqs {
            if due.get((subscription.as_u128(), seq))?.is_some() {
                continue;
            }
            let Some(event) = self.event(seq)? else { continue };
            let last = self.last_attempt(seq, &event)?;
            count += u64::from(last.is_some_and(|last| redeliver::is_failed_since(&event, &last, since)));
        }
        Ok(count)
    }

    fn last_attempt(&self, seq: u64, event: &EventRow) -> Result<Option<Attempt>, redb::Error> {
        let attempts = self.txn.open_table(ATTEMPTS)?;
        let Some(row) = attempts.range((seq, 0)..=(seq, u32::MAX))?.next_back() else { return Ok(None) };
        let (key, value) = row?;
        Ok(AttemptRow::decode(value.value()).and_then(|row| row.into_attempt(event, key.value().1)).ok())
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
