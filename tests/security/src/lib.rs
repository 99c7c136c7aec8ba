//! A world of its own for the release binary: every address of the internet is on this machine, inside a network
//! namespace, with a listener behind it; and the names are ours.

#![allow(clippy::missing_panics_doc, reason = "a harness panics where a test fails")]

pub mod certificates;
pub mod endpoint;
pub mod mutate;
pub mod names;
pub mod namespace;
pub mod report;
pub mod sidecar;

use serde_json::{Value, json};

/// A subscription with a new id for this URL. `more` is laid over it.
pub fn subscription(url: &str, more: Value) -> Value {
    let id = uuid::Uuid::new_v4().to_string();
    let mut made = json!({"id": id, "name": "bed", "model": "res.partner", "event_type": "all", "url": url});
    for (key, value) in more.as_object().into_iter().flatten() {
        made[key] = value.clone();
    }
    made
}

/// An event with a new id for this subscription.
pub fn event(subscription: &Value) -> Value {
    let now = time::OffsetDateTime::now_utc();
    let timestamp = now.format(&time::format_description::well_known::Rfc3339).expect("a time");
    json!({"id": uuid::Uuid::new_v4().to_string(), "subscription_id": subscription["id"], "model": "res.partner",
        "event_type": "create", "record_ids": [1], "user_id": null, "timestamp": timestamp})
}
