//! Attempts under way, each on a task that is used again: what a task needs for an attempt is 3 KiB, and making that
//! anew each time costs more than the signatures.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
    },
    task::JoinSet,
};
use webhook_log::DueRow;
use webhook_model::{Attempt, Failure, SubscriptionId, decide};

use crate::{
    clock::Clock,
    prepared::{Prepared, failed},
    transport::Transport,
};

/// An attempt to make.
pub(crate) struct Work {
    pub lane: SubscriptionId,
    pub row: DueRow,
    /// What it is made with; none where the subscription is not active.
    pub prepared: Option<Arc<Prepared>>,
    /// Bytes that it holds.
    pub bytes: usize,
}

/// An attempt that ended.
pub(crate) struct Done {
    pub lane: SubscriptionId,
    pub seq: u64,
    pub attempt: Attempt,
    pub finished: decide::Finished,
    pub prepared: Option<Arc<Prepared>>,
    /// As its [`Work`] had them.
    pub bytes: usize,
}

/// What attempts need of the world.
pub(crate) struct Means<T, C> {
    pub transport: T,
    pub clock: Arc<C>,
    /// Held by the one payload that is being rendered with much work.
    pub render_turn: Semaphore,
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
    pub fn new(transport: T, clock: Arc<C>) -> Self {
        let (outbox, ended) = mpsc::unbounded_channel();
        let means = Arc::new(Means { transport, clock, render_turn: Semaphore::new(1) });
        Self { means, tasks: JoinSet::new(), inboxes: Vec::new(), idle: Vec::new(), outbox, ended }
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
    let Work { lane, row: DueRow { seq, attempt, body }, prepared, bytes } = *work;
    let made = AssertUnwindSafe(attempt_once(means, prepared.as_deref(), &attempt, body));
    let finished = made.catch_unwind().await.unwrap_or_else(|_| decide::Finished {
        payload: None,
        outcome: failed(Failure::Internal, "the attempt panicked; please report it".to_owned()),
        duration: None,
        at: means.clock.now(),
    });
    Done { lane, seq, attempt, finished, prepared, bytes }
}

async fn attempt_once<T: Transport, C: Clock>(
    means: &Means<T, C>,
    prepared: Option<&Prepared>,
    attempt: &Attempt,
    body: Option<Bytes>,
) -> decide::Finished {
    let clock = &*means.clock;
    let ended = |payload, outcome, duration| decide::Finished { payload, outcome, duration, at: clock.now() };
    let Some(prepared) = prepared else {
        let message = "the subscription is not active or was deleted, so nothing was sent".to_owned();
        return ended(None, failed(Failure::Inactive, message), None);
    };
    let Some(body) = body else {
        let message = "the stored event could not be read; run `mcp-webhookd verify`".to_owned();
        return ended(None, failed(Failure::Internal, message), None);
    };
    match prepared.make(attempt, body, clock.now(), &means.render_turn).await {
        Err(outcome) => ended(None, outcome, None),
        Ok((request, payload)) => {
            // Until the end there is one copy of it, which the request shares.
            let exchange = means.transport.send(request).await;
            let text = payload.map_or_else(String::new, |bytes| String::from_utf8_lossy(&bytes).into_owned());
            ended(Some(text), exchange.outcome, Some(exchange.duration))
        }
    }
}
