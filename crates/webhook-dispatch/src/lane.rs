//! A lane: the deliveries of one subscription that are due, and how many of them may be under way.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use webhook_log::{DueRow, Snapshot, StoreError, SubscriptionSet};
use webhook_model::{Millis, Pace, Subscription, SubscriptionId, decide::Jitter, pace::Condition};

use crate::prepared::Prepared;

/// While an attempt is older than this its lane gets no second slot.
const STUCK: Duration = Duration::from_secs(1);
/// How many rows a lane reads ahead, so that a busy lane does not look at the store for each of them.
const PAGE: usize = 16;
/// Rows read ahead are dropped from memory beyond this size, so that a thousand lanes hold 8 MiB.
const PAGE_BYTES: usize = 8 << 10;

/// How a lane takes its rows, which its subscription decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Up to so many at once.
    Parallel(usize),
    /// One after the other, in order of acceptance.
    Strict,
    /// Only test events go out.
    Paused,
    /// Everything fails as inactive, at once.
    Inactive,
    /// Nobody knows its settings: everything waits.
    Unknown,
}

/// What a lane is told of its subscription.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settings<'s> {
    Known(&'s Arc<Subscription>),
    /// There is one, and its row cannot be read.
    Unreadable,
    /// There is none.
    Gone,
}

impl<'s> Settings<'s> {
    pub fn of(set: &'s SubscriptionSet, id: SubscriptionId) -> Self {
        match set.get(id) {
            Some(subscription) => Self::Known(subscription),
            None if set.unreadable().contains(&id) => Self::Unreadable,
            None => Self::Gone,
        }
    }
}

/// Lanes that may have something to start, each at most once, in turn.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    order: VecDeque<SubscriptionId>,
    queued: HashSet<SubscriptionId>,
}

impl Ready {
    /// Puts a lane behind the others, unless it waits already.
    pub fn put(&mut self, id: SubscriptionId) {
        if self.queued.insert(id) {
            self.order.push_back(id);
        }
    }

    /// Puts lanes before the others, in their order.
    pub fn put_back(&mut self, ids: Vec<SubscriptionId>) {
        for id in ids.into_iter().rev() {
            if self.queued.insert(id) {
                self.order.push_front(id);
            }
        }
    }

    /// The lane whose turn it is.
    pub fn take(&mut self) -> Option<SubscriptionId> {
        let id = self.order.pop_front()?;
        self.queued.remove(&id);
        Some(id)
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

pub(crate) struct Lane {
    id: SubscriptionId,
    mode: Mode,
    prepared: Option<Arc<Prepared>>,
    /// First attempts up to here were looked at.
    cursor: u64,
    page: VecDeque<DueRow>,
    running: HashMap<u64, Millis>,
    unsettled: HashSet<u64>,
    /// When the next delivery with a time of its own comes.
    pub next_timed: Option<Millis>,
    pace: Pace,
}

impl Lane {
    pub fn new(id: SubscriptionId, settings: Settings<'_>) -> Self {
        let mut lane = Self {
            id,
            mode: Mode::Inactive,
            prepared: None,
            cursor: 0,
            page: VecDeque::new(),
            running: HashMap::new(),
            unsettled: HashSet::new(),
            next_timed: None,
            pace: Pace::default(),
        };
        lane.follow(settings);
        lane
    }

    /// Takes the subscription as it is now.
    pub fn follow(&mut self, settings: Settings<'_>) {
        let (mode, subscription) = match settings {
            Settings::Gone => (Mode::Inactive, None),
            Settings::Unreadable => (Mode::Unknown, None),
            Settings::Known(s) if !s.active => (Mode::Inactive, Some(s)),
            Settings::Known(s) if s.paused => (Mode::Paused, Some(s)),
            Settings::Known(s) if s.endpoint.max_in_flight == 1 => (Mode::Strict, Some(s)),
            Settings::Known(s) => (Mode::Parallel(s.endpoint.max_in_flight.into()), Some(s)),
        };
        if !matches!((mode, self.mode), (Mode::Parallel(_), Mode::Parallel(_))) {
            self.start_over();
        }
        self.mode = mode;
        let unchanged = match (&self.prepared, subscription) {
            (Some(old), Some(new)) => Arc::ptr_eq(&old.subscription, new),
            (None, None) => true,
            _ => false,
        };
        if !unchanged {
            // Whoever changed it may have put right what was wrong.
            self.pace = Pace::default();
            self.prepared = subscription.map(|s| Arc::new(Prepared::new(Arc::clone(s))));
        }
    }

    /// Forgets what was read ahead: the store may have changed behind it.
    pub fn start_over(&mut self) {
        self.cursor = 0;
        self.page.clear();
        self.next_timed = None;
    }

    pub fn prepared(&self) -> Option<&Arc<Prepared>> {
        self.prepared.as_ref()
    }

    pub fn is_inactive(&self) -> bool {
        self.mode == Mode::Inactive
    }

    /// Whether the next attempt waits until the outcome of the one before is on disk.
    pub fn is_strict(&self) -> bool {
        self.mode == Mode::Strict
    }

    /// Attempts under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether it can be forgotten: its subscription is gone, and so is all its work.
    pub fn is_over(&self) -> bool {
        self.mode == Mode::Inactive
            && self.prepared.is_none()
            && self.running.is_empty()
            && self.unsettled.is_empty()
    }

    /// Whether it may start an attempt as far as it alone is concerned. A first slot is always granted, a second one
    /// only while the endpoint answers promptly.
    pub fn may_start(&self, now: Millis) -> bool {
        match self.mode {
            Mode::Inactive => true,
            Mode::Unknown => false,
            Mode::Strict => self.running.is_empty() && self.unsettled.is_empty(),
            Mode::Paused => self.running.is_empty(),
            Mode::Parallel(limit) => {
                let limit = limit.min(self.pace.slots());
                let stuck = || self.running.values().any(|since| now.since(*since) > STUCK);
                self.running.is_empty() || (self.running.len() < limit && !stuck())
            }
        }
    }

    /// The next row to attempt, where one is due and the endpoint's health allows it.
    pub fn next(&mut self, snapshot: &Snapshot, now: Millis) -> Result<Option<DueRow>, StoreError> {
        if let Some(until) = self.pace.paused_until(now).filter(|_| !self.is_inactive()) {
            self.start_over();
            self.next_timed = Some(until);
            return self.next_asked_for(snapshot);
        }
        match self.mode {
            Mode::Paused => {
                self.next_timed = None;
                Ok(snapshot.tests(self.id, 1, |seq| self.is_busy(seq))?.pop())
            }
            Mode::Strict => self.next_in_order(snapshot, now),
            Mode::Parallel(_) => self.next_in_page(snapshot, now),
            Mode::Inactive => self.next_in_page(snapshot, Millis(u64::MAX)),
            Mode::Unknown => Ok(None),
        }
    }

    fn next_in_order(&mut self, snapshot: &Snapshot, now: Millis) -> Result<Option<DueRow>, StoreError> {
        self.next_timed = None;
        if let Some(test) = snapshot.tests(self.id, 1, |seq| self.is_busy(seq))?.pop() {
            return Ok(Some(test));
        }
        let Some(head) = snapshot.head(self.id)? else { return Ok(None) };
        if let Some(at) = head.due.still_waits(now) {
            self.next_timed = Some(at);
            return Ok(None);
        }
        snapshot.one(self.id, head.seq)
    }

    /// Tests, and redeliveries that somebody waits for, go out while the rest pauses: they are probes as well.
    fn next_asked_for(&self, snapshot: &Snapshot) -> Result<Option<DueRow>, StoreError> {
        if let Some(test) = snapshot.tests(self.id, 1, |seq| self.is_busy(seq))?.pop() {
            return Ok(Some(test));
        }
        match self.mode {
            Mode::Paused | Mode::Inactive | Mode::Unknown => Ok(None),
            Mode::Parallel(_) => Ok(snapshot.asked_for(self.id, 1, |seq| self.is_busy(seq))?.pop()),
            Mode::Strict => match snapshot.head(self.id)?.filter(|head| head.is_asked_for()) {
                Some(head) => snapshot.one(self.id, head.seq),
                None => Ok(None),
            },
        }
    }

    /// What has a time of its own comes first, for it is older; then first attempts in order of acceptance.
    fn next_in_page(&mut self, snapshot: &Snapshot, now: Millis) -> Result<Option<DueRow>, StoreError> {
        if self.page.is_empty() {
            let (timed, next) = snapshot.timed(self.id, now, PAGE, |seq| self.is_busy(seq))?;
            self.next_timed = next;
            // What is dropped is still due, and read again.
            self.page.extend(timed);
            self.keep_page_small();
        }
        while self.page.is_empty() {
            let (fresh, looked) = snapshot.fresh(self.id, self.cursor, PAGE)?;
            if looked == self.cursor {
                break;
            }
            self.cursor = looked;
            let rows: Vec<DueRow> = fresh.into_iter().filter(|row| !self.is_busy(row.seq)).collect();
            self.page.extend(rows);
            if self.keep_page_small() {
                self.cursor = self.page.back().map_or(self.cursor, |row| row.seq);
            }
        }
        Ok(self.page.pop_front())
    }

    /// Returns whether rows were dropped. The next one to start always stays.
    fn keep_page_small(&mut self) -> bool {
        let mut bytes = 0;
        let mut kept = 0;
        for row in &self.page {
            bytes += row.body.as_ref().map_or(0, bytes::Bytes::len);
            if bytes > PAGE_BYTES {
                break;
            }
            kept += 1;
        }
        let is_over = kept.max(1) < self.page.len();
        self.page.truncate(kept.max(1));
        is_over
    }

    fn is_busy(&self, seq: u64) -> bool {
        self.is_running(seq) || self.is_settling(seq)
    }

    pub fn is_running(&self, seq: u64) -> bool {
        self.running.contains_key(&seq)
    }

    /// Whether an attempt ended whose outcome is not on disk yet.
    pub fn is_settling(&self, seq: u64) -> bool {
        self.unsettled.contains(&seq)
    }

    /// The next attempt of a delivery ended before it was made; its outcome goes to the writer.
    pub fn cancelled(&mut self, seq: u64) {
        self.page.retain(|row| row.seq != seq);
        self.unsettled.insert(seq);
    }

    /// An attempt begins.
    pub fn started(&mut self, seq: u64, now: Millis) {
        self.running.insert(seq, now);
    }

    /// An attempt ended; its outcome goes to the writer. Answers until when the lane pauses, if it does.
    pub fn finished(
        &mut self,
        seq: u64,
        condition: Option<&Condition>,
        now: Millis,
        jitter: Jitter,
    ) -> Option<Millis> {
        let since = self.running.remove(&seq)?;
        self.unsettled.insert(seq);
        self.pace.observe(condition?, since, now, jitter);
        self.pace.paused_until(now)
    }

    /// What its endpoint's health allows.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Its outcome is on disk.
    pub fn settled(&mut self, seq: u64) {
        self.unsettled.remove(&seq);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is put, taken and put back, each lane waits once, in order, and none is forgotten.
        #[test]
        fn no_lane_is_forgotten(steps in prop::collection::vec((0..3_u8, 0..6_u128), 0..60)) {
            let (mut ready, mut model, mut aside) = (Ready::default(), Vec::new(), Vec::new());
            for (what, lane) in steps {
                let id = SubscriptionId::from_u128(lane);
                match what {
                    0 if !model.contains(&id) => {
                        model.push(id);
                        ready.put(id);
                    }
                    0 => ready.put(id),
                    1 => {
                        let taken = ready.take();
                        prop_assert_eq!(taken, (!model.is_empty()).then(|| model.remove(0)));
                        aside.extend(taken);
                    }
                    _ => {
                        aside.dedup();
                        let back: Vec<_> = std::mem::take(&mut aside);
                        for id in back.iter().rev() {
                            if !model.contains(id) {
                                model.insert(0, *id);
                            }
                        }
                        ready.put_back(back);
                    }
                }
                prop_assert_eq!(ready.is_empty(), model.is_empty());
            }
            let left: Vec<_> = std::iter::from_fn(|| ready.take()).collect();
            prop_assert_eq!(left, model);
        }
    }
}
