//! Attempts under way, each on a task that is used again: what a task needs for an attempt is 3 KiB, and making that
//! anew each time costs more than the signatures.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use webhook_log::{DueRow, Log};
use webhook_model::{Attempt, Failure, Outcome, SubscriptionId, decide};

use crate::{
    clock::Clock,
    held::{Budget, Held},
    prepared::{Prepared, failed},
    render::{Renderer, Source, unread},
    transport::{Exchange, Request, Room, Transport},
};

/// A payload up to this size is kept until its outcome is known. A larger one is let go when the network has it, and
/// made again for the record: an endpoint that hangs holds no memory.
const KEPT_BYTES: usize = 16 << 10;

/// An attempt to make.
pub(crate) struct Work {
    pub lane: SubscriptionId,
    pub row: DueRow,
    /// What it is made with; none where the subscription is not active.
    pub prepared: Option<Arc<Prepared>>,
    /// The room that it takes.
    pub held: Held,
    /// Its endpoint has failed, so the others come first.
    pub is_troubled: bool,
}

/// An attempt that ended.
pub(crate) struct Done {
    pub lane: SubscriptionId,
    pub seq: u64,
    pub attempt: Attempt,
    pub finished: decide::Finished,
    pub prepared: Option<Arc<Prepared>>,
    pub rooms: Rooms,
}

type Ended = (decide::Finished, Rooms);

/// The room that an outcome's payload and answer take.
pub(crate) type Rooms = [Option<Held>; 2];

/// What attempts need of the world.
pub(crate) struct Means<T, C> {
    pub log: Log,
    pub transport: T,
    pub clock: Arc<C>,
    pub renderer: Renderer,
    /// What of the bodies is in memory.
    pub bodies: Arc<Budget>,
    /// Outcomes that are not on disk. A payload that is made again for the record waits for room among them.
    pub outcomes: Arc<Budget>,
    /// Answers, from the network to the disk.
    pub answers: Arc<Budget>,
    /// A stop has begun: what would take long to be made for the record is left out of it.
    pub hurry: CancellationToken,
}

/// The tasks, as many as attempts were ever under way at once.
pub(crate) struct Attempts<T, C> {
    means: Arc<Means<T, C>>,
    tasks: JoinSet<()>,
    inboxes: Vec<UnboundedSender<Box<Work>>>,
    idle: Vec<usize>,
    outbox: UnboundedSender<(usize, Done)>,
    ended: UnboundedReceiver<(usize, Done)>,
}

impl<T: Transport, C: Clock> Attempts<T, C> {
    pub fn new(means: Means<T, C>) -> Self {
        let (outbox, ended) = mpsc::unbounded_channel();
        Self {
            means: Arc::new(means),
            tasks: JoinSet::new(),
            inboxes: Vec::new(),
            idle: Vec::new(),
            outbox,
            ended,
        }
    }

    /// How many are under way.
    pub fn running(&self) -> usize {
        self.inboxes.len() - self.idle.len()
    }

    /// Begins one.
    pub fn start(&mut self, work: Work) {
        let task = self.idle.pop().unwrap_or_else(|| self.add_task());
        let _ = self.inboxes[task].send(Box::new(work)); // it lives as long as the inbox
    }

    fn add_task(&mut self) -> usize {
        let (inbox, mut work) = mpsc::unbounded_channel();
        let (number, means, outbox) = (self.inboxes.len(), Arc::clone(&self.means), self.outbox.clone());
        self.tasks.spawn(async move {
            while let Some(work) = work.recv().await {
                if outbox.send((number, make(&means, work).await)).is_err() {
                    break;
                }
            }
        });
        self.inboxes.push(inbox);
        number
    }

    /// The next that ends; pends while none is under way.
    pub async fn next(&mut self) -> Option<Done> {
        let ended = self.ended.recv().await;
        ended.map(|(task, done)| self.free(task, done))
    }

    /// One that has ended.
    pub fn try_next(&mut self) -> Option<Done> {
        let ended = self.ended.try_recv().ok();
        ended.map(|(task, done)| self.free(task, done))
    }

    fn free(&mut self, task: usize, done: Done) -> Done {
        self.idle.push(task);
        done
    }

    /// Breaks off whatever is under way.
    pub fn abort(&mut self) {
        self.tasks.abort_all();
    }
}

/// One attempt, from the row to its outcome. Never an error: whatever goes wrong is an outcome.
async fn make<T: Transport, C: Clock>(means: &Means<T, C>, work: Box<Work>) -> Done {
    let Work { lane, row: DueRow { seq, attempt, body }, prepared, held, is_troubled } = *work;
    let source = Source { log: &means.log, clock: &*means.clock, lane, seq };
    let once = Once { means, source, attempt: &attempt, is_troubled };
    let made = AssertUnwindSafe(once.make(prepared.as_deref(), body, held)).catch_unwind().await;
    let (finished, rooms) = made.unwrap_or_else(|_| {
        let message = "the attempt panicked; please report it".to_owned();
        once.nothing_sent(failed(Failure::Internal, message))
    });
    Done { lane, seq, attempt, finished, prepared, rooms }
}

/// An attempt that is being made.
struct Once<'a, T, C> {
    means: &'a Means<T, C>,
    source: Source<'a, C>,
    attempt: &'a Attempt,
    is_troubled: bool,
}

/// A request, and what is kept of its payload for the record.
type Made = Result<(Request, Kept), Outcome>;

enum Kept {
    /// It is small.
    Whole(Bytes, Held),
    /// Nothing: the log has what it was made of.
    Source,
}

impl<T: Transport, C: Clock> Once<'_, T, C> {
    async fn make(&self, prepared: Option<&Prepared>, body: Option<Bytes>, held: Held) -> Ended {
        let Some(prepared) = prepared else {
            let message = "the subscription is not active or was deleted, so nothing was sent".to_owned();
            return self.nothing_sent(failed(Failure::Inactive, message));
        };
        let Some(body) = body else {
            return self.nothing_sent(unread());
        };
        let mut made = self.request(prepared, body, held).await;
        loop {
            let (request, kept) = match made {
                Ok(made) => made,
                Err(outcome) => return self.nothing_sent(outcome),
            };
            let exchange = self.means.transport.send(request).await;
            if exchange.is_unanswered
                && let Some(body) = self.source.body().await
            {
                let held = self.means.bodies.take(prepared.weight(&body));
                made = self.request(prepared, body, held).await;
                let again_after = Some(exchange.duration);
                made = made.map(|(request, kept)| (Request { again_after, ..request }, kept));
                continue;
            }
            return self.ended(prepared, exchange, kept).await;
        }
    }

    async fn request(&self, prepared: &Prepared, body: Bytes, held: Held) -> Made {
        prepared.url()?;
        let (payload, held) = match prepared.templating() {
            None => (body, held),
            Some(template) => {
                let (text, held) = self.means.renderer.payload(template, body, held, &self.source).await?;
                (Bytes::from(text), held)
            }
        };
        let (payload, kept) = match payload.len() > KEPT_BYTES {
            true => (held.with(payload), Kept::Source),
            false => (payload.clone(), Kept::Whole(payload, held)),
        };
        let budget = Arc::clone(&self.means.answers);
        let room = Room { budget, is_needed: false, is_troubled: self.is_troubled };
        Ok((prepared.request(self.attempt, payload, self.means.clock.now(), room)?, kept))
    }

    async fn ended(&self, prepared: &Prepared, exchange: Exchange, kept: Kept) -> Ended {
        let at = self.means.clock.now();
        let Exchange { outcome, duration, held: answer, .. } = exchange;
        let (payload, held) = match (kept, prepared.templating()) {
            // The log has it.
            (_, None) => (Some(String::new()), None),
            (Kept::Whole(payload, held), _) => {
                (Some(String::from_utf8_lossy(&payload).into_owned()), Some(held))
            }
            // The same comes of the same event.
            (Kept::Source, Some(template)) => {
                let held = self.means.outcomes.take(0);
                let again = self.means.renderer.again(template, held, &self.source);
                // That the answer came is worth more than the text of what was sent.
                let made = tokio::select! {
                    biased;
                    made = again => made.ok(),
                    () = self.means.hurry.cancelled() => None,
                };
                made.map_or((None, None), |(text, held)| (Some(text), Some(held)))
            }
        };
        let finished = decide::Finished { payload, outcome, duration: Some(duration), at };
        (finished, [held, answer])
    }

    fn nothing_sent(&self, outcome: Outcome) -> Ended {
        let at = self.means.clock.now();
        (decide::Finished { payload: None, outcome, duration: None, at }, Rooms::default())
    }
}
