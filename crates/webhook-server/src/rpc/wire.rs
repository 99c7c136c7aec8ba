//! The shapes of the wire: mapped by hand to and from the model.

use serde::Serialize;
use serde_json::{Map, Value, json};
use webhook_log::Submission;
use webhook_model::{
    Attempt, Dialect, EndpointUrl, Event, EventId, EventKind, Invalid, InvalidKind, Millis, Subscription,
    SubscriptionId, Success, limits,
};

use super::{
    fields::{self, Fields},
    schema,
};

/// An attempt, as the contract's section 3 has it.
#[derive(Debug, Serialize)]
pub struct WireAttempt<'a> {
    event_id: EventId,
    subscription_id: SubscriptionId,
    attempt: u32,
    trigger: &'static str,
    status: &'static str,
    response_code: Option<u16>,
    payload: Option<&'a str>,
    response_body: Option<&'a str>,
    response_truncated: bool,
    error: Option<Value>,
    created_at: String,
    finished_at: Option<String>,
    duration_ms: Option<u64>,
    next_attempt_at: Option<String>,
}

impl<'a> From<&'a Attempt> for WireAttempt<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            event_id: attempt.event_id,
            subscription_id: attempt.subscription_id,
            attempt: attempt.number,
            trigger: attempt.trigger.as_str(),
            status: attempt.status.as_str(),
            response_code: attempt.response_code,
            payload: attempt.payload.as_deref(),
            response_body: attempt.response_body.as_deref(),
            response_truncated: attempt.response_truncated,
            error: attempt.error.as_ref().map(|e| json!({"kind": e.kind.as_str(), "message": e.message})),
            created_at: attempt.created_at.to_string(),
            finished_at: attempt.finished_at.map(|at| at.to_string()),
            duration_ms: attempt
                .duration
                .map(|d| u64::try_from((d.as_micros() + 500) / 1000).unwrap_or(u64::MAX)),
            next_attempt_at: attempt.next_attempt_at.map(|at| at.to_string()),
        }
    }
}

/// A subscription as answered: without its secret and its headers' values.
pub fn subscription(subscription: &Subscription, now: Millis) -> Value {
    let endpoint = &subscription.endpoint;
    let names: Vec<&str> = endpoint.headers.iter().map(|(name, _)| name).collect();
    json!({
        "id": subscription.id,
        "name": subscription.name,
        "model": subscription.model,
        "event_type": subscription.event_type.as_str(),
        "url": endpoint.url.as_ref().map(EndpointUrl::as_str),
        "has_secret": endpoint.secret.is_some(),
        "previous_secret_until": endpoint.previous_secret.as_ref().filter(|previous| now < previous.until).map(|previous| previous.until.to_string()),
        "header_names": names,
        "payload_template": subscription.payload_template,
        "dialect": subscription.dialect.as_str(),
        "active": subscription.active,
        "paused": subscription.paused,
        "timeout_s": endpoint.timeout.as_secs(),
        "max_in_flight": endpoint.max_in_flight,
        "max_attempts": subscription.max_attempts,
        "success": subscription.success.as_ref().map(Success::to_value),
    })
}

/// An event and the instant that its timestamp names.
#[derive(Debug)]
pub struct ReadEvent {
    /// The event.
    pub event: Event,
    /// When it happened, by its own account.
    pub at: Millis,
}

impl ReadEvent {
    /// What the log takes.
    pub fn into_submission(self) -> Result<Submission, Invalid> {
        let body = self.event.body();
        if body.len() > limits::EVENT_BYTES {
            return Err(too_large(body.len()));
        }
        Ok(Submission {
            event_id: self.event.id,
            subscription_id: self.event.subscription_id,
            timestamp: self.at,
            body: body.into(),
        })
    }
}

/// An event over its limit.
pub fn too_large(bytes: usize) -> Invalid {
    let message =
        format!("the event has {bytes} bytes, {} are allowed; send fewer records", limits::EVENT_BYTES);
    Invalid::new(InvalidKind::PayloadTooLarge, "event", message)
}

/// What an event takes where the caller may leave a field out: a test or a preview.
#[derive(Debug, Clone)]
pub struct Sample {
    /// A new id.
    pub id: EventId,
    /// The subscription in question, where there is one.
    pub subscription_id: Option<SubscriptionId>,
    /// Its model.
    pub model: String,
    /// What is said to have happened.
    pub kind: EventKind,
    /// When.
    pub now: Millis,
}

impl Sample {
    fn owner(&self) -> SubscriptionId {
        self.subscription_id.unwrap_or(SubscriptionId::from_u128(0))
    }
}

/// Reads an event. With a sample, absent fields come from it; without one, only `user_id` and `records` may be absent.
pub fn event(value: Value, sample: Option<Sample>) -> Result<ReadEvent, Invalid> {
    let mut fields = Fields::of(value, "event", schema::EVENT)?;
    let or = |name: &str, found: Option<Value>, fallback: Option<Value>| {
        found.or(fallback).ok_or_else(|| Invalid::params(format!("event.{name}"), "is missing"))
    };
    let fallback = |read: fn(&Sample) -> Value| sample.as_ref().map(read);
    let mut take = |name: &'static str, instead: Option<Value>| or(name, fields.take(name), instead);
    let id = take("id", fallback(|s| json!(s.id)))?;
    let owner = take("subscription_id", fallback(|s| json!(s.owner())))?;
    let model = take("model", fallback(|s| json!(s.model)))?;
    let kind = take("event_type", fallback(|s| json!(s.kind.as_str())))?;
    let record_ids = take("record_ids", fallback(|_| json!([1])))?;
    let timestamp = take("timestamp", fallback(|s| json!(s.now.to_string())))?;
    let user_id = fields.take("user_id").unwrap_or(Value::Null);
    let records = fields.take("records");
    fields.finish()?;
    let timestamp = fields::string(&timestamp).unwrap_or_default();
    let at = Millis::parse_rfc3339(&timestamp)
        .ok_or_else(|| refused("timestamp", "expected an RFC 3339 time such as 2026-11-23T10:15:00Z"))?;
    let event = Event {
        id: fields::id(&id).ok_or_else(|| refused("id", &format!("expected {}", fields::ID)))?,
        subscription_id: fields::id(&owner)
            .ok_or_else(|| refused("subscription_id", &format!("expected {}", fields::ID)))?,
        model: text(&model).ok_or_else(|| refused("model", "expected a model's name such as sale.order"))?,
        kind: kind
            .as_str()
            .and_then(EventKind::parse)
            .ok_or_else(|| refused("event_type", "expected create, write or unlink"))?,
        record_ids: integers(&record_ids)
            .ok_or_else(|| refused("record_ids", "expected a list of whole numbers"))?,
        user_id: match user_id {
            Value::Null => None,
            value => {
                Some(value.as_i64().ok_or_else(|| refused("user_id", "expected a whole number or null"))?)
            }
        },
        timestamp,
        records: records.map(objects).transpose()?,
        test: false,
    };
    Ok(ReadEvent { event, at })
}

fn refused(field: &str, message: &str) -> Invalid {
    Invalid::params(format!("event.{field}"), message)
}

/// The dialects, as an error names them.
pub fn dialects() -> String {
    let words: Vec<&str> = Dialect::ALL.iter().map(|dialect| dialect.as_str()).collect();
    format!("one of {}", words.join(", "))
}

/// A name: not empty and not over its limit.
pub fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= limits::NAME_BYTES).map(str::to_owned)
}

fn integers(value: &Value) -> Option<Vec<i64>> {
    value.as_array()?.iter().map(Value::as_i64).collect()
}

fn objects(value: Value) -> Result<Vec<Map<String, Value>>, Invalid> {
    let wrong = || refused("records", "expected a list of objects, one per record");
    let Value::Array(items) = value else { return Err(wrong()) };
    let object = |item| match item {
        Value::Object(map) => Ok(map),
        _ => Err(wrong()),
    };
    items.into_iter().map(object).collect()
}
