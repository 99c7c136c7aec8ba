//! `delivery.*`: what became of events, and another try.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webhook_model::{AttemptStatus, EventId, Failure, Millis, SubscriptionId, Trigger};

use crate::{
    Given, Json, Wire,
    event::SampleEvent,
    field::{CancelReason, EventIds, FeedCursor, ListPlace, LogId, NextAttempt, Whole},
};

use crate::method::methods;

methods! {
    /// What became of events, and another try.
    trait Deliveries {
        /// The attempts of one delivery, ascending.
        "delivery.get": Open, WORDS, get(GetDelivery) -> DeliveryPage;
        /// Attempts, newest event first.
        "delivery.list": Open, WORDS, list(ListDeliveries) -> AttemptPage;
        /// The feed: each attempt once, at its latest state.
        "delivery.changes": Open, WORDS, changes(DeliveryChanges) -> ChangePage;
        /// Makes a delivery that is over due once more.
        "delivery.redeliver": Fenced, WORDS, redeliver(Redeliver) -> Attempt;
        /// Redelivers the failed deliveries of a subscription: those since a time, or of 1 to 1000 events.
        "delivery.redeliver_many": Fenced, IDS, redeliver_many(RedeliverMany) -> Redelivered;
        /// Makes a pending delivery due now.
        "delivery.retry_now": Fenced, WORDS, retry_now(RetryNow) -> Attempt, feature;
        /// Ends a pending delivery that is not under way.
        "delivery.cancel": Fenced, WORDS, cancel(CancelDelivery) -> Attempt, feature;
        /// Sends a test event; what is left out of it gets sample values.
        "delivery.test": Fenced, SAMPLE, test(SendTest) -> Attempt;
    }
}

/// One try of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Attempt {
    /// Which delivery.
    pub event_id: Wire<EventId>,
    /// Whose.
    pub subscription_id: Wire<SubscriptionId>,
    /// Numbered from 1 without gaps.
    pub attempt: Wire<Whole<1>>,
    /// Why it was made.
    pub trigger: Wire<Trigger>,
    /// Where it stands.
    pub status: Wire<AttemptStatus>,
    /// The status line's code; null where no answer came.
    pub response_code: Option<u16>,
    /// The exact body posted.
    pub payload: Option<String>,
    /// What the endpoint answered, cleaned and cut.
    pub response_body: Option<String>,
    /// The answer was cut, broke off, or overran the deadline.
    pub response_truncated: bool,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// When it came into being.
    pub created_at: Wire<Millis>,
    /// When its outcome was known.
    pub finished_at: Option<Wire<Millis>>,
    /// How long the request alone took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// When it is due, while it waits for a time of its own.
    pub next_attempt_at: Option<Wire<Millis>>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Failure")]
pub struct AttemptError {
    /// The class.
    pub kind: Wire<Failure>,
    /// For people.
    pub message: String,
}

impl From<webhook_model::Attempt> for Attempt {
    fn from(attempt: webhook_model::Attempt) -> Self {
        let milliseconds = |duration: std::time::Duration| (duration.as_micros() + 500) / 1000;
        Self {
            event_id: Wire(attempt.event_id),
            subscription_id: Wire(attempt.subscription_id),
            attempt: Wire(Whole(attempt.number.into())),
            trigger: Wire(attempt.trigger),
            status: Wire(attempt.status),
            response_code: attempt.response_code,
            payload: attempt.payload,
            response_body: attempt.response_body,
            response_truncated: attempt.response_truncated,
            error: attempt.error.map(|error| AttemptError { kind: Wire(error.kind), message: error.message }),
            created_at: Wire(attempt.created_at),
            finished_at: attempt.finished_at.map(Wire),
            duration_ms: attempt.duration.map(|took| u64::try_from(milliseconds(took)).unwrap_or(u64::MAX)),
            next_attempt_at: attempt.next_attempt_at.map(Wire),
        }
    }
}

/// `delivery.get`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetDelivery {
    /// Which.
    pub event_id: Wire<EventId>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub after: Given<Option<Wire<NextAttempt>>>,
    /// How many.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub limit: Given<Wire<Whole<1>>>,
}

/// A page of the attempts of one delivery.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct DeliveryPage {
    /// Ascending.
    pub attempts: Vec<Json<Attempt>>,
    /// Behind which the next page begins; null at the end.
    pub next: Option<Wire<Whole<1>>>,
}

/// `delivery.list`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDeliveries {
    /// Only of this subscription.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub subscription_id: Given<Option<Wire<SubscriptionId>>>,
    /// Only in this state.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub status: Given<Option<Wire<AttemptStatus>>>,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub after: Given<Option<Wire<ListPlace>>>,
    /// How many.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub limit: Given<Wire<Whole<1>>>,
}

/// A page of attempts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct AttemptPage {
    /// Newest event first.
    pub attempts: Vec<Json<Attempt>>,
    /// Behind which the next page begins; null at the end.
    pub next: Option<Wire<ListPlace>>,
}

/// `delivery.changes`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryChanges {
    /// The `cursor` of the page before.
    pub after: Wire<FeedCursor>,
    /// How many.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub limit: Given<Wire<Whole<1>>>,
}

/// A page of the feed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct ChangePage {
    /// In the order of change.
    pub attempts: Vec<Json<Attempt>>,
    /// Behind which the next page begins.
    pub cursor: String,
    /// There are more.
    pub more: bool,
    /// The log whose feed it is.
    pub log_id: Wire<LogId>,
}

/// `delivery.redeliver`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redeliver {
    /// Which.
    pub event_id: Wire<EventId>,
}

/// `delivery.redeliver_many`: those since a time, or of these events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeliverMany {
    /// Whose.
    pub subscription_id: Wire<SubscriptionId>,
    /// Those that failed since then.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub since: Given<Wire<Millis>>,
    /// Those of these events.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub event_ids: Given<Wire<EventIds>>,
    /// Only say how many there are.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub dry_run: Given<bool>,
}

/// What was redelivered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Redelivered {
    /// Deliveries that are due once more.
    pub count: u64,
    /// Deliveries that were left as they are.
    pub skipped: u64,
}

/// `delivery.retry_now`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryNow {
    /// Which.
    pub event_id: Wire<EventId>,
}

/// `delivery.cancel`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelDelivery {
    /// Which.
    pub event_id: Wire<EventId>,
    /// Why.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub reason: Given<Option<Wire<CancelReason>>>,
}

/// `delivery.test`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendTest {
    /// Whose endpoint.
    pub subscription_id: Wire<SubscriptionId>,
    /// What to send.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub event: Given<SampleEvent>,
}
