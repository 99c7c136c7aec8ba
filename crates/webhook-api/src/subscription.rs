//! `subscription.*`: who wants which events, and where to.

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use webhook_model::{Dialect, EventFilter, Millis, SubscriptionId};

use crate::{
    Each, Error, Given, Json, Wire,
    field::{Condition, Headers, ModelName, Name, NextSubscription, Object, SecretText, UrlText, Whole},
};

use crate::method::methods;

methods! {
    /// Who wants which events, and where to.
    trait Subscriptions {
        /// Stores a subscription. An existing id: equal answers the stored one, else conflict.
        "subscription.create": Fenced, SUBSCRIPTION, create(CreateSubscription) -> Subscription;
        /// One subscription.
        "subscription.get": Open, WORDS, get(GetSubscription) -> Subscription;
        /// Subscriptions by id.
        "subscription.list": Open, WORDS, list(ListSubscriptions) -> SubscriptionPage;
        /// Replaces the given fields, each as a whole.
        "subscription.update": Fenced, SUBSCRIPTION, update(UpdateSubscription) -> Subscription;
        /// Deletes a subscription; its pending deliveries fail as inactive.
        "subscription.delete": Fenced, WORDS, delete(DeleteSubscription) -> Deleted;
        /// Makes the given set the complete set.
        "subscription.sync": Fenced, SET, sync(SyncSubscriptions<'_>) -> Synced;
        /// Whether create or update would take it; stores nothing.
        "subscription.check": Open, SUBSCRIPTION, check(CheckSubscription) -> Checked, feature;
    }
}

/// A subscription, as it is stored: without its secret and its headers' values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Subscription {
    /// Made by Odoo.
    pub id: Wire<SubscriptionId>,
    /// For people.
    pub name: String,
    /// Technical name of the Odoo model.
    pub model: String,
    /// Which kinds of event.
    pub event_type: Wire<EventFilter>,
    /// Where to; null where events are only kept for reading.
    pub url: Option<String>,
    /// Whether requests are signed.
    pub has_secret: bool,
    /// Until when the secret before signs as well.
    pub previous_secret_until: Option<Wire<Millis>>,
    /// Names of its custom headers.
    pub header_names: Vec<String>,
    /// A JSON document whose strings are templates; null posts the default body.
    pub payload_template: Value,
    /// How values are escaped inside the template's strings.
    pub dialect: Wire<Dialect>,
    /// Not active: new events are rejected and pending ones fail.
    pub active: bool,
    /// Paused: events are accepted and wait.
    pub paused: bool,
    /// One deadline over the whole attempt, in seconds.
    pub timeout_s: Wire<Whole<1, 60>>,
    /// Attempts under way at once.
    pub max_in_flight: Wire<Whole<1, 64>>,
    /// Attempts of one delivery in all.
    pub max_attempts: Wire<Whole<1, 20>>,
    /// What a 2xx answer must say besides to count as delivered.
    pub success: Option<Wire<Object>>,
}

/// The fields of a subscription that a call gives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct SubscriptionFields {
    /// Made by Odoo.
    pub id: Wire<SubscriptionId>,
    /// Technical name of the Odoo model.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub model: Given<Wire<ModelName>>,
    /// Where to; null where events are only kept for reading.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub url: Given<Option<Wire<UrlText>>>,
    /// For people.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub name: Given<Wire<Name>>,
    /// Which kinds of event.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub event_type: Given<Wire<EventFilter>>,
    /// Signs each request; null for none.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub secret: Given<Option<Wire<SecretText>>>,
    /// For so many seconds the secret before signs beside a new one.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub keep_previous_s: Given<Wire<Whole<0, 604_800>>>,
    /// Sent with each request; null for none.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub headers: Given<Option<Wire<Headers>>>,
    /// A JSON document whose strings are templates; null posts the default body.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub payload_template: Given<Wire<Value>>,
    /// How values are escaped inside the template's strings.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub dialect: Given<Wire<Dialect>>,
    /// Not active: new events are rejected and pending ones fail.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub active: Given<bool>,
    /// Paused: events are accepted and wait.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub paused: Given<bool>,
    /// One deadline over the whole attempt, in seconds.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub timeout_s: Given<Wire<Whole<1, 60>>>,
    /// Attempts under way at once.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub max_in_flight: Given<Wire<Whole<1, 64>>>,
    /// Attempts of one delivery in all.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub max_attempts: Given<Wire<Whole<1, 20>>>,
    /// What a 2xx answer must say besides to count as delivered; null for nothing.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub success: Given<Wire<Condition>>,
}

/// A subscription to be stored: its fields, `model` and `url` among them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transform = needs_model_and_url)]
pub struct NewSubscription(pub SubscriptionFields);

fn needs_model_and_url(schema: &mut Schema) {
    schema.insert("required".to_owned(), serde_json::json!(["id", "model", "url"]));
}

/// `subscription.create`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CreateSubscription(pub NewSubscription);

/// `subscription.update`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct UpdateSubscription(pub SubscriptionFields);

/// `subscription.check`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CheckSubscription(pub NewSubscription);

/// Nothing is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Checked {}

/// `subscription.get`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetSubscription {
    /// Which.
    pub id: Wire<SubscriptionId>,
}

/// `subscription.list`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSubscriptions {
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub after: Given<Option<Wire<NextSubscription>>>,
    /// How many.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub limit: Given<Wire<Whole<1>>>,
}

/// A page of subscriptions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct SubscriptionPage {
    /// By id.
    pub subscriptions: Vec<Json<Subscription>>,
    /// Behind which the next page begins; null at the end.
    pub next: Option<Wire<NextSubscription>>,
}

/// `subscription.delete`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteSubscription {
    /// Which.
    pub id: Wire<SubscriptionId>,
}

/// What a deletion found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Deleted {
    /// There was one.
    pub deleted: bool,
}

/// `subscription.sync`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncSubscriptions<'a> {
    /// The complete set.
    #[serde(borrow)]
    pub subscriptions: Each<'a, NewSubscription>,
}

/// What a complete set changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Synced {
    /// Subscriptions that are new.
    pub created: usize,
    /// Subscriptions that are not as they were.
    pub updated: usize,
    /// Subscriptions that are gone.
    pub deleted: usize,
    /// Entries that were refused.
    pub errors: Vec<Refused>,
}

/// An entry of the set that was refused: its stored version stays.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Refused {
    /// Its id, as far as it could be told.
    #[schemars(schema_with = "text_or_null")]
    pub id: Option<Wire<SubscriptionId>>,
    /// Why.
    pub error: Error,
}

fn text_or_null(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"type": "string"}, {"type": "null"}]})
}
