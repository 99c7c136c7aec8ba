//! `event.*`: facts about records, handed in and read.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use webhook_model::{EventId, EventKind, SubscriptionId};

use crate::{
    Each, Error, Given, Json, Wire,
    field::{
        Count, EventsCursor, ModelName, Object, RecordIds, Records, SubmissionStatus, Timestamp, UserId,
        Whole,
    },
};

use crate::method::methods;

methods! {
    /// Facts about records, handed in and read.
    trait Events {
        /// Takes 1 to 1000 events; answers when they are on disk.
        "event.submit": Fenced, EVENTS, submit(SubmitEvents<'_>) -> Submitted;
        /// The events of a subscription without a URL, in order of acceptance, until retention.
        "event.read": Open, WORDS, read(ReadEvents) -> EventPage, feature;
    }
}

/// An event to be delivered.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Made by the submitter; the endpoint sees it as `webhook-id`.
    pub id: Wire<EventId>,
    /// Whose it is.
    pub subscription_id: Wire<SubscriptionId>,
    /// Technical name of the Odoo model.
    pub model: Wire<ModelName>,
    /// What happened.
    pub event_type: Wire<EventKind>,
    /// Odoo's ids of the records.
    pub record_ids: Wire<RecordIds>,
    /// When; echoed as given.
    pub timestamp: Wire<Timestamp>,
    /// Odoo's id of the user who made the first change.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub user_id: Given<Option<Wire<UserId>>>,
    /// One object per record with the enriched fields.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub records: Given<Wire<Records>>,
}

/// An event for a test or a preview: what is left out gets sample values.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleEvent {
    /// Made by the caller.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub id: Given<Wire<EventId>>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub subscription_id: Given<Wire<SubscriptionId>>,
    /// Technical name of the Odoo model.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub model: Given<Wire<ModelName>>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub event_type: Given<Wire<EventKind>>,
    /// Odoo's ids of the records.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub record_ids: Given<Wire<RecordIds>>,
    /// When.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub timestamp: Given<Wire<Timestamp>>,
    /// Odoo's id of the user who made the first change.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub user_id: Given<Option<Wire<UserId>>>,
    /// One object per record with the enriched fields.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub records: Given<Wire<Records>>,
}

/// What a sample is made of where the caller leaves a field out.
#[derive(Debug, Clone)]
pub struct Sample {
    /// A new id.
    pub id: EventId,
    /// The subscription in question.
    pub subscription_id: SubscriptionId,
    /// Its model.
    pub model: String,
    /// What is said to have happened.
    pub kind: EventKind,
    /// When.
    pub timestamp: Timestamp,
}

impl SampleEvent {
    /// The event, complete.
    pub fn or(self, sample: Sample) -> Event {
        Event {
            id: self.id.0.unwrap_or(Wire(sample.id)),
            subscription_id: self.subscription_id.0.unwrap_or(Wire(sample.subscription_id)),
            model: self.model.0.unwrap_or(Wire(ModelName(sample.model))),
            event_type: self.event_type.0.unwrap_or(Wire(sample.kind)),
            record_ids: self.record_ids.0.unwrap_or(Wire(RecordIds(vec![1]))),
            timestamp: self.timestamp.0.unwrap_or(Wire(sample.timestamp)),
            user_id: self.user_id,
            records: self.records,
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = SampleEvent::deserialize(deserializer)?;
        let missing = <D::Error as de::Error>::missing_field;
        Ok(Self {
            id: found.id.0.ok_or_else(|| missing("id"))?,
            subscription_id: found.subscription_id.0.ok_or_else(|| missing("subscription_id"))?,
            model: found.model.0.ok_or_else(|| missing("model"))?,
            event_type: found.event_type.0.ok_or_else(|| missing("event_type"))?,
            record_ids: found.record_ids.0.ok_or_else(|| missing("record_ids"))?,
            timestamp: found.timestamp.0.ok_or_else(|| missing("timestamp"))?,
            user_id: found.user_id,
            records: found.records,
        })
    }
}

/// `event.submit`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitEvents<'a> {
    /// 1 to 1000 of them.
    #[serde(borrow)]
    pub events: Each<'a, Event>,
}

/// What became of the events of a call.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Submitted {
    /// In the order of the call.
    pub results: Vec<SubmittedEvent>,
    /// How many events were accepted so far.
    pub accepted_to: Wire<Count>,
}

/// What became of an event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Submitted")]
pub struct SubmittedEvent {
    /// Its id, as far as it could be told.
    pub event_id: Option<String>,
    /// What became of it.
    pub status: Wire<SubmissionStatus>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub error: Given<Error>,
}

/// `event.read`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadEvents {
    /// Whose.
    pub subscription_id: Wire<SubscriptionId>,
    /// The `cursor` of the page before.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub after: Given<Wire<EventsCursor>>,
    /// How many.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub limit: Given<Wire<Whole<1>>>,
}

/// A page of events.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct EventPage {
    /// In order of acceptance, each as an endpoint would get it.
    pub events: Vec<Json<Wire<Object>>>,
    /// Behind which the next page begins.
    pub cursor: String,
    /// There are more.
    pub more: bool,
}
