//! The loop. One task owns all lanes; nothing is shared.
//!
//! Take attempts that ended, and hand their outcomes to the writer without waiting for it; start what is due, as far
//! as the limits allow; wait for whatever comes first.
//!
//! Fairness: every lane may always hold one slot, so a hanging endpoint costs no other its turn. Second and further
//! slots come out of one pool of `max_in_flight`, handed out in turn.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use webhook_log::{DueRow, Hold, Log, Settlement, Snapshot, StoreError, Unavailable};
use webhook_model::{Attempt, Failure, Millis, SubscriptionId, decide, limits, pace};

use crate::{
    attempts::{Attempts, Done, Means, Work},
    cancel::{Cancelled, Canceller, Wish, Wishes},
    clock::{Clock, Start},
    held::{Budget, Held},
    lane::{Lane, Ready, Settings},
    lines::Together,
    observe::{self, Counters},
    prepared::{Prepared, failed},
    quiet::{self, Ask, Quiet},
    render::Renderer,
    transport::Transport,
};

/// How long a stop waits for attempts under way.
pub const DRAIN: Duration = Duration::from_secs(10);

/// How long it then waits for the store, which has nothing else to do.
const LAST: Duration = Duration::from_secs(2);

/// Attempts under way or unsettled that lanes in trouble leave to the others, so that no number of endpoints that
/// hang can take every place.
const RESERVE: usize = limits::UNSETTLED / 8;

/// Bodies that the network does not have yet take no more together; the last attempt to start may exceed it.
pub(crate) const BODIES_BYTES: usize = 16 << 20;

/// Payloads whose outcomes are not on disk take no more, or nothing new starts.
const OUTCOMES_BYTES: usize = 16 << 20;

/// Answers take no more from the network to the disk, or are cut off, but for the beginning of each.
const ANSWERS_BYTES: usize = 8 << 20;

/// Outcomes that are more than this are handed in one by one, for the writer to end a commit between them.
const BATCH_BYTES: usize = 1 << 20;

/// With so many outcomes that are not on disk, the next ones wait for no company: places run out.
const MANY_UNSETTLED: usize = limits::UNSETTLED / 2;

/// How long outcomes for which nobody waits lie ready to share a commit with something else.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Second and further slots of all lanes together.
    pub max_in_flight: usize,
}

type Settling = Pin<Box<dyn Future<Output = (Arc<[Settlement]>, Result<(), Unavailable>)> + Send>>;

/// The loop's state.
pub struct Dispatcher<T, C> {
    log: Log,
    clock: Arc<C>,
    start: Start,
    counters: Arc<Counters>,
    options: Options,
    lanes: HashMap<SubscriptionId, Lane>,
    ready: Ready,
    /// When lanes have something with a time of its own. May name a time that does not matter any more.
    timers: BTreeSet<(Millis, SubscriptionId)>,
    attempts: Attempts<T, C>,
    wishes: Wishes,
    quiet: (Quiet, Ask),
    /// Slots in use beyond the first of each lane.
    extra: usize,
    settling: FuturesUnordered<Settling>,
    unsettled: usize,
    bodies: Arc<Budget>,
    outcomes: Arc<Budget>,
    /// Outcomes that the store did not take; handed in again when it works.
    unrecorded: Vec<Settlement>,
    /// The room of the payloads and of the answers that the store does not have.
    unsettled_held: [Held; 2],
    /// What is under way need not be recorded whole any more.
    hurried: CancellationToken,
    /// Something waits for the outcomes to be on disk.
    is_urgent: bool,
    /// When those that lie ready have waited enough.
    patience: Option<Instant>,
}

impl<T, C> std::fmt::Debug for Dispatcher<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl<T: Transport, C: Clock> Dispatcher<T, C> {
    /// A loop over `log` that sends with `transport`.
    pub fn new(log: Log, transport: T, clock: Arc<C>, counters: Arc<Counters>, options: Options) -> Self {
        let [bodies, outcomes, answers] = [BODIES_BYTES, OUTCOMES_BYTES, ANSWERS_BYTES].map(Budget::new);
        let hurried = CancellationToken::new();
        let means = Means {
            log: log.clone(),
            transport,
            clock: Arc::clone(&clock),
            renderer: Renderer::new(),
            bodies: Arc::clone(&bodies),
            outcomes: Arc::clone(&outcomes),
            answers: Arc::clone(&answers),
            hurry: hurried.clone(),
        };
        Self {
            log,
            start: Start::now(&*clock),
            clock,
            counters,
            options,
            lanes: HashMap::new(),
            ready: Ready::default(),
            timers: BTreeSet::new(),
            attempts: Attempts::new(means),
            wishes: Wishes::new(),
            quiet: quiet::channel(),
            extra: 0,
            settling: FuturesUnordered::new(),
            unsettled: 0,
            unsettled_held: [&outcomes, &answers].map(|budget| budget.take(0)),
            hurried,
            bodies,
            outcomes,
            unrecorded: Vec::new(),
            is_urgent: false,
            patience: None,
        }
    }

    /// The time by which durations count; the wall clock is for the record alone.
    fn steady(&self) -> Millis {
        self.clock.steady(self.start)
    }

    /// By which others cancel what is pending.
    pub fn canceller(&self) -> Canceller {
        self.wishes.canceller()
    }

    /// By which others make it quiet.
    pub fn quiet(&self) -> Quiet {
        self.quiet.0.clone()
    }

    /// Runs until `stop`, then finishes what is under way for at most [`DRAIN`]. What did not finish stays due.
    pub async fn run(mut self, stop: CancellationToken) {
        let log = self.log.clone();
        let clock = Arc::clone(&self.clock);
        let (mut health, mut hold) = (log.health(), log.hold());
        let mut was_ready = true;
        loop {
            // Whatever is ready comes first, so that a turn costs once for many attempts.
            tokio::task::yield_now().await;
            self.collect();
            let is_ready = health.borrow_and_update().works();
            if is_ready {
                if !was_ready {
                    self.lanes.values_mut().for_each(Lane::start_over);
                }
                self.hand_in();
                // Asked before the lanes follow: what lets them go has told them of the settings first.
                let is_held = *hold.borrow_and_update() != Hold::Nothing;
                self.follow_moved_lanes();
                if !self.quiet.1.is_wanted() && !is_held {
                    self.start_due();
                }
            }
            was_ready = is_ready;
            self.quiet.1.tell(self.attempts.running() + self.unsettled == 0);
            let left = self.timers.first().map(|(at, _)| at.since(self.steady()));
            let timer = async {
                match left {
                    Some(left) => clock.sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            let patience = self.patience;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.attempts.next() => self.end(done),
                Some(settled) = self.settling.next(), if !self.settling.is_empty() => self.settled(settled),
                Some(wish) = self.wishes.next() => self.cancel(wish),
                () = log.lanes_moved() => {}
                changed = health.changed() => if changed.is_err() { break },
                changed = hold.changed() => if changed.is_err() { break },
                () = timer => self.wake_timed_lanes(),
                () = until(patience) => self.hurry(),
                () = self.bodies.woken() => {}
                () = self.quiet.1.changed() => {}
            }
        }
        self.drain().await;
    }

    /// Attempts under way end, for at most [`DRAIN`], and their outcomes go to disk.
    async fn drain(mut self) {
        let end = Instant::now() + DRAIN;
        self.hurried.cancel();
        while self.attempts.running() > 0 {
            let patience = self.patience;
            tokio::select! {
                // A stop does not wait for endpoints without end.
                () = tokio::time::sleep_until(end) => break,
                Some(done) = self.attempts.next() => self.end(done),
                Some(settled) = self.settling.next(), if !self.settling.is_empty() => self.settled(settled),
                () = until(patience) => self.hurry(),
            }
            self.collect();
            if self.log.health().borrow().works() {
                self.hand_in();
            }
        }
        self.collect();
        self.attempts.abort();
        self.hand_in();
        self.hurry();
        let last = async {
            let mut are_taken = true;
            while let Some((_, result)) = self.settling.next().await {
                are_taken &= result.is_ok();
            }
            are_taken
        };
        if tokio::time::timeout(LAST, last).await != Ok(true) {
            tracing::warn!(
                "the store did not take the last outcomes; these attempts are made again after the next start"
            );
        }
    }

    /// Everything that ended meanwhile, in one batch to the writer.
    fn collect(&mut self) {
        let _lines = Together::begin();
        while let Some(done) = self.attempts.try_next() {
            self.end(done);
        }
        while let Some(Some(settled)) = self.settling.next().now_or_never() {
            self.settled(settled);
        }
    }

    fn end(&mut self, done: Done) {
        self.free_slot(&done);
        self.mark_ready(done.lane);
        let Done { seq, attempt, finished, prepared, rooms, .. } = done;
        let rules = prepared.as_ref().map_or_else(|| 1.into(), |prepared| prepared.rules());
        let (attempt, mut next) = decide::settle(attempt, finished, rules, decide::Jitter(rand::random()));
        if let Some(due) = next.as_mut().and_then(|next| next.next_attempt_at.as_mut()) {
            *due = self.steady().plus(due.since(attempt.finished_at.unwrap_or_default()));
        }
        self.counters.count(&attempt);
        observe::log_attempt(&attempt, host(prepared.as_ref()), next.as_ref());
        let payload_is_event_body = prepared.is_some_and(|prepared| prepared.posts_event_body());
        self.record(Settlement { seq, attempt, next, payload_is_event_body });
        // Counted with the outcome from here on.
        drop(rooms);
    }

    /// An outcome that is to go to the writer.
    fn record(&mut self, settlement: Settlement) {
        self.unsettled += 1;
        for (held, bytes) in self.unsettled_held.iter_mut().zip(weights(&settlement)) {
            held.add(bytes);
        }
        self.unrecorded.push(settlement);
    }

    /// Ends a pending attempt that is not under way. Its outcome goes the way of all others.
    fn cancel(&mut self, wish: Wish) {
        let log = self.log.clone();
        if !log.health().borrow().works() {
            return; // whoever asked is told by the answer's end
        }
        let set = log.subscriptions();
        let new = || Lane::new(wish.lane, Settings::of(&set, wish.lane));
        let lane = self.lanes.entry(wish.lane).or_insert_with(new);
        if lane.is_settling(wish.seq) {
            return self.wishes.put_aside(wish);
        }
        if lane.is_running(wish.seq) {
            return drop(wish.answer.send(Cancelled::UnderWay));
        }
        let Ok(found) = log.read(|snapshot| snapshot.one(wish.lane, wish.seq)) else { return };
        let Some(row) = found.filter(|row| row.attempt.number == wish.number) else {
            return drop(wish.answer.send(Cancelled::Over));
        };
        lane.cancelled(wish.seq);
        let prepared = lane.prepared().cloned();
        let outcome = failed(Failure::Cancelled, wish.reason);
        let finished = decide::Finished { payload: None, outcome, duration: None, at: self.clock.now() };
        let (attempt, next) = decide::settle(row.attempt, finished, 1, decide::Jitter(0.0));
        self.counters.count(&attempt);
        observe::log_attempt(&attempt, host(prepared.as_ref()), None);
        self.record(Settlement { seq: wish.seq, attempt, next, payload_is_event_body: false });
        self.is_urgent = true;
        self.wishes.wait_for(wish.seq, wish.answer);
    }

    /// The slot is free again, and the lane knows how its endpoint is.
    fn free_slot(&mut self, done: &Done) {
        let Some(lane) = self.lanes.get_mut(&done.lane) else { return };
        let now = self.clock.steady(self.start);
        let condition = pace::condition(&done.finished.outcome, done.finished.duration, done.finished.at);
        let before = lane.pace();
        let paused = lane.finished(done.seq, condition.as_ref(), now, decide::Jitter(rand::random()));
        self.extra -= usize::from(lane.running() > 0);
        self.is_urgent |= lane.is_strict();
        self.timers.extend(paused.map(|until| (until, done.lane)));
        observe::log_pace(done.lane, host(done.prepared.as_ref()), before, lane.pace());
    }

    /// Hands outcomes to the writer.
    fn hand_in(&mut self) {
        if self.unrecorded.is_empty() {
            return;
        }
        let are_many = self.unsettled >= MANY_UNSETTLED || self.outcomes.taken() >= OUTCOMES_BYTES / 2;
        let is_urgent = std::mem::take(&mut self.is_urgent) || are_many;
        for batch in batches(std::mem::take(&mut self.unrecorded)) {
            let pending = match is_urgent {
                true => self.log.settle(Arc::clone(&batch)),
                false => {
                    self.patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                    self.log.settle_patiently(Arc::clone(&batch))
                }
            };
            self.settling.push(Box::pin(async move { (batch, pending.await) }));
        }
    }

    fn hurry(&mut self) {
        self.patience = None;
        self.log.hurry();
    }

    fn settled(&mut self, (batch, result): (Arc<[Settlement]>, Result<(), Unavailable>)) {
        // A commit takes whatever lies ready when it begins.
        self.patience = (!self.settling.is_empty()).then(|| Instant::now() + PATIENCE);
        let wishes: Vec<Wish> =
            batch.iter().flat_map(|settlement| self.wishes.settled(settlement, result.is_ok())).collect();
        if result.is_err() {
            // Unknown: what is on disk already will not be written twice.
            self.unrecorded.extend(batch.iter().cloned());
            return;
        }
        for settlement in batch.iter() {
            let lane_id = settlement.attempt.subscription_id;
            if let Some(lane) = self.lanes.get_mut(&lane_id) {
                lane.settled(settlement.seq);
            }
            self.mark_ready(lane_id);
        }
        self.unsettled -= batch.len();
        for settlement in batch.iter() {
            for (held, bytes) in self.unsettled_held.iter_mut().zip(weights(settlement)) {
                drop(held.split(bytes));
            }
        }
        wishes.into_iter().for_each(|wish| self.cancel(wish));
    }

    fn wake_timed_lanes(&mut self) {
        let now = self.steady();
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            self.mark_ready(id);
        }
    }

    fn follow_moved_lanes(&mut self) {
        let moved = self.log.take_moved_lanes();
        if moved.is_empty() {
            return;
        }
        let set = self.log.subscriptions();
        for id in moved {
            let settings = Settings::of(&set, id);
            match self.lanes.get_mut(&id) {
                Some(lane) => lane.follow(settings),
                None => drop(self.lanes.insert(id, Lane::new(id, settings))),
            }
            self.mark_ready(id);
        }
    }

    fn mark_ready(&mut self, id: SubscriptionId) {
        if self.lanes.contains_key(&id) {
            self.ready.put(id);
        }
    }

    /// Gives each lane in turn one slot, until nothing is due or the limits are reached.
    fn start_due(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let log = self.log.clone();
        let mut waiting = Vec::new();
        let looked = log.read(|snapshot| self.start_from(snapshot, &mut waiting));
        // Whatever happened, nobody is forgotten.
        self.ready.put_back(waiting);
        if looked.is_err() {
            // A lane that was half read begins anew; the pause keeps a broken store from being read in a circle.
            self.lanes.values_mut().for_each(Lane::start_over);
            let again = self.steady().plus(Duration::from_secs(1));
            self.timers.extend(self.lanes.keys().map(|id| (again, *id)));
        }
    }

    /// Lanes that have to wait for places are put aside into `waiting`.
    fn start_from(
        &mut self,
        snapshot: &Snapshot,
        waiting: &mut Vec<SubscriptionId>,
    ) -> Result<(), StoreError> {
        while let Some(id) = self.ready.take() {
            let places = limits::UNSETTLED.saturating_sub(self.attempts.running() + self.unsettled);
            let room = self.bodies.room_or_wake(false, BODIES_BYTES / 2);
            if places == 0 || room == 0 || self.outcomes.room(false) == 0 {
                waiting.push(id);
                break;
            }
            let now = self.steady();
            // More than one for an endpoint leaves half of the room to the others.
            let pool_is_empty = self.extra >= self.options.max_in_flight || room <= BODIES_BYTES / 2;
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            if !lane.may_start(now) {
                continue;
            }
            let wants_extra = lane.running() > 0 && pool_is_empty;
            let is_scarce = places <= RESERVE || self.bodies.room(true) == 0;
            if wants_extra || (lane.pace().is_troubled() && is_scarce) {
                waiting.push(id);
                continue;
            }
            let row = lane.next(snapshot, now)?;
            self.timers.extend(lane.next_timed.map(|at| (at, id)));
            match row {
                Some(row) => {
                    self.start(id, row, now);
                    self.mark_ready(id);
                }
                None if lane.is_over() => drop(self.lanes.remove(&id)),
                None => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, id: SubscriptionId, row: DueRow, now: Millis) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        self.extra += usize::from(lane.running() > 0);
        lane.started(row.seq, now);
        let is_troubled = lane.pace().is_troubled();
        let prepared = lane.prepared().cloned().filter(|_| !lane.is_inactive());
        let bytes = match (&row.body, &prepared) {
            (Some(body), Some(prepared)) => prepared.weight(body),
            _ => 0,
        };
        let held = self.bodies.take(bytes);
        self.attempts.start(Work { lane: id, row, prepared, held, is_troubled });
    }
}

/// What goes into one commit; what is written lies several times in memory until it is on disk.
fn batches(outcomes: Vec<Settlement>) -> Vec<Arc<[Settlement]>> {
    if outcomes.iter().map(weight).sum::<usize>() <= BATCH_BYTES {
        return vec![outcomes.into()];
    }
    outcomes.into_iter().map(|outcome| Arc::from([outcome])).collect()
}

/// Bytes that an outcome holds until it is on disk.
fn weight(settlement: &Settlement) -> usize {
    weights(settlement).iter().sum()
}

/// The payload's and the answer's.
fn weights(settlement: &Settlement) -> [usize; 2] {
    let Attempt { payload, response_body, .. } = &settlement.attempt;
    [payload, response_body].map(|text| text.as_ref().map_or(0, String::len))
}

async fn until(end: Option<Instant>) {
    match end {
        // Outcomes wait so long for company in a commit.
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Where an attempt went, as a log line names it.
fn host(prepared: Option<&Arc<Prepared>>) -> &str {
    prepared.map_or("", |prepared| &prepared.host)
}
