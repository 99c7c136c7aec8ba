//! Ends deliveries before their turn. Only the dispatcher knows what is under way, and it alone ends attempts: whoever
//! wants one cancelled asks it.

use std::collections::HashMap;

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};
use webhook_log::{Settlement, Unavailable};
use webhook_model::{Attempt, SubscriptionId};

/// What became of the wish to cancel an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is on disk: the attempt with its end.
    Recorded(Box<Attempt>),
    /// The attempt is under way.
    UnderWay,
    /// It was over before.
    Over,
}

/// An attempt that somebody wants cancelled.
pub(crate) struct Wish {
    pub lane: SubscriptionId,
    pub seq: u64,
    /// Of the pending attempt.
    pub number: u32,
    pub reason: String,
    pub answer: oneshot::Sender<Cancelled>,
}

/// Asks a dispatcher to cancel attempts.
#[derive(Debug, Clone)]
pub struct Canceller(UnboundedSender<Wish>);

impl Canceller {
    /// Ends the pending attempt with this number, of the delivery `seq` of a lane, as cancelled, before it is made.
    ///
    /// # Errors
    /// The store failed: what became of it is unknown. Or the dispatcher has ended.
    pub async fn cancel(
        &self,
        lane: SubscriptionId,
        seq: u64,
        number: u32,
        reason: String,
    ) -> Result<Cancelled, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send(Wish { lane, seq, number, reason, answer });
        answered.await.map_err(|_| Unavailable)
    }
}

/// Wishes, and whom to tell once they are on disk.
pub(crate) struct Wishes {
    canceller: Canceller,
    inbox: UnboundedReceiver<Wish>,
    waiting: HashMap<u64, oneshot::Sender<Cancelled>>,
    /// Until the outcome of the attempt before is on disk.
    aside: HashMap<u64, Vec<Wish>>,
}

impl Wishes {
    pub fn new() -> Self {
        let (sender, inbox) = unbounded_channel();
        Self { canceller: Canceller(sender), inbox, waiting: HashMap::new(), aside: HashMap::new() }
    }

    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The next one; pends while there is none.
    pub async fn next(&mut self) -> Option<Wish> {
        self.inbox.recv().await
    }

    /// Remembers whom to tell what becomes of a settlement.
    pub fn wait_for(&mut self, seq: u64, answer: oneshot::Sender<Cancelled>) {
        self.waiting.insert(seq, answer);
    }

    /// Puts a wish aside until an outcome of its delivery is on disk.
    pub fn put_aside(&mut self, wish: Wish) {
        self.aside.entry(wish.seq).or_default().push(wish);
    }

    /// This outcome is on disk, or nobody knows; returns the wishes that waited for it.
    pub fn settled(&mut self, settlement: &Settlement, is_on_disk: bool) -> Vec<Wish> {
        if let Some(answer) = self.waiting.remove(&settlement.seq).filter(|_| is_on_disk) {
            let _ = answer.send(Cancelled::Recorded(Box::new(settlement.attempt.clone())));
        }
        self.aside.remove(&settlement.seq).unwrap_or_default()
    }
}
