//! What waits, for those who watch: how much, since when, and for what.

use std::collections::BTreeMap;

use webhook_model::{Millis, SubscriptionId};

use crate::{
    due::Snapshot,
    tables::{DUE, Due},
};

/// What a pending delivery waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// Its turn: it could be sent now.
    Turn,
    /// The time of its next attempt.
    Retry,
    /// Somebody to resume its subscription.
    Resume,
}

impl Waiting {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Turn, Self::Retry, Self::Resume];

    /// The word for labels and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "due",
            Self::Retry => "retry",
            Self::Resume => "paused",
        }
    }
}

/// Deliveries in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many.
    pub count: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Millis>,
}

impl Snapshot {
    /// The backlog by state; a state without deliveries is absent. Reads every `due` row once.
    ///
    /// # Errors
    /// The store failed.
    pub fn backlog(
        &self,
        now: Millis,
        is_paused: impl Fn(SubscriptionId) -> bool,
    ) -> Result<BTreeMap<Waiting, Backlog>, redb::Error> {
        let mut states: BTreeMap<Waiting, (u64, u64)> = BTreeMap::new();
        for row in self.txn.open_table(DUE)?.range::<(u128, u64)>(..)? {
            self.go_on()?;
            let (key, value) = row?;
            let ((owner, seq), (at, ..)) = (key.value(), value.value());
            let state = if is_paused(SubscriptionId::from_u128(owner)) {
                Waiting::Resume
            } else if Due::of_code(at).still_waits(now).is_some() {
                Waiting::Retry
            } else {
                Waiting::Turn
            };
            let (count, oldest) = states.entry(state).or_insert((0, seq));
            *count += 1;
            *oldest = seq.min(*oldest);
        }
        let age = |(state, (count, seq)): (Waiting, (u64, u64))| {
            let oldest = self.event(seq)?.map(|event| event.accepted_at);
            Ok((state, Backlog { count, oldest }))
        };
        states.into_iter().map(age).collect()
    }
}
