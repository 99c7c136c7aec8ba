//! The submitter: hands in events as Odoo does, asks again until it is told what became of them, and writes down what
//! it was told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use webhook_api::{
    ErrorKind,
    event::{Submitted, SubmittedEvent},
    field::SubmissionStatus,
};
use webhook_dispatch::{Clock, SystemClock};

use crate::{
    daemon::Caller,
    history::{Answer, Submission},
    receiver::hex,
};

/// Between two tries while the sidecar does not answer.
const AGAIN: Duration = Duration::from_millis(10);

/// Small random numbers that a seed repeats (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// From 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}

/// What the submitter was told.
#[derive(Debug, Clone)]
pub struct Ledger {
    told: Arc<Mutex<Vec<Submission>>>,
    acknowledged: watch::Sender<usize>,
    unknown: watch::Sender<usize>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { told: Arc::default(), acknowledged: watch::Sender::new(0), unknown: watch::Sender::new(0) }
    }
}

impl Ledger {
    /// All of it.
    pub fn told(&self) -> Vec<Submission> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many events are acknowledged, whenever that grows.
    pub fn acknowledged(&self) -> watch::Receiver<usize> {
        self.acknowledged.subscribe()
    }

    /// How many calls ended without an answer, whenever that grows.
    pub fn unknown(&self) -> watch::Receiver<usize> {
        self.unknown.subscribe()
    }

    /// Writes down what was told about these events.
    pub fn write(&self, events: &[Event], answers: &[Answer]) {
        let lines = events.iter().zip(answers).map(|(event, answer)| Submission {
            event_id: event.id.clone(),
            subscription_id: event.subscription.clone(),
            answer: *answer,
            body: Some(event.body.clone()),
        });
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        let new = answers.iter().filter(|a| matches!(a, Answer::Accepted | Answer::Duplicate)).count();
        self.acknowledged.send_modify(|count| *count += new);
        if answers.contains(&Answer::Unknown) {
            self.unknown.send_modify(|count| *count += 1);
        }
    }
}

/// An event as submitted, and the hash of the body that its endpoint must get.
#[derive(Debug, Clone)]
pub struct Event {
    id: String,
    subscription: String,
    wire: Value,
    body: String,
}

impl Event {
    /// A new event for a subscription.
    pub fn new(subscription: &str, number: u64) -> Self {
        Self::sized(subscription, number, 1 + number as usize % 700)
    }

    /// The same with so many bytes of data.
    pub fn sized(subscription: &str, number: u64, size: usize) -> Self {
        let id = uuid::Uuid::now_v7().hyphenated().to_string();
        let now = SystemClock.now().to_string();
        let mut wire = json!({"event_id": id, "model": "sale.order", "event_type": "create", "record_ids": [number],
            "user_id": 2, "timestamp": now, "records": [{"id": number, "name": "S".repeat(size)}]});
        let body = hex(&Sha256::digest(wire.to_string()));
        if let Some(fields) = wire.as_object_mut() {
            fields.remove("event_id");
            fields.insert("id".to_owned(), json!(id));
            fields.insert("subscription_id".to_owned(), json!(subscription));
        }
        Self { id, subscription: subscription.to_owned(), wire, body }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Hands in `events` in calls of 1 to 16 and asks again until each is known. A few are given up after a call without
/// an answer, as by a submitter that died.
pub async fn submit(caller: Caller, ledger: Ledger, events: Vec<Event>, mut dice: Dice) {
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(rest.len().min(1 + dice.roll(16) as usize));
        rest = behind;
        loop {
            let answers = submit_once(&caller, batch).await;
            ledger.write(batch, &answers);
            if !answers.contains(&Answer::Unknown) || dice.roll(64) == 0 {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// One call.
pub async fn submit_once(caller: &Caller, events: &[Event]) -> Vec<Answer> {
    let wire: Vec<&Value> = events.iter().map(|event| &event.wire).collect();
    let Ok(Ok(answer)) = caller.call("event.submit", json!({"events": wire})).await else {
        return vec![Answer::Unknown; events.len()];
    };
    // What is no answer of the wire says nothing of what was taken.
    let Ok(answer) = serde_json::from_value::<Submitted>(answer) else {
        return vec![Answer::Unknown; events.len()];
    };
    let read = |result: &SubmittedEvent| match (result.status.0, &result.error.0) {
        (SubmissionStatus::Accepted, _) => Answer::Accepted,
        (SubmissionStatus::Duplicate, _) => Answer::Duplicate,
        (SubmissionStatus::Rejected, Some(error)) if error.data.kind.0 == ErrorKind::StoreUnavailable => {
            Answer::Unknown
        }
        (SubmissionStatus::Rejected, _) => Answer::Rejected,
    };
    answer.results.iter().map(read).collect()
}
