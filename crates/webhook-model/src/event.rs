//! An event: one fact about records of one model, for one subscription, immutable.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use crate::{EventId, SubscriptionId};

/// What happened to the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Records were made.
    Create,
    /// Records were changed.
    Write,
    /// Records were deleted.
    Unlink,
}

impl EventKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Create, Self::Write, Self::Unlink];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Unlink => "unlink",
        }
    }

    /// The kind that `word` names; `all` is a subscription's filter, not something that happens.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

/// One fact, as Odoo submitted it. Serialised, it is the default body, keys in the order of the contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Made by the submitter; also the delivery's id and the `webhook-id` header.
    pub id: EventId,
    /// Whose event it is. Not part of the body: an endpoint has no use for it.
    pub subscription_id: SubscriptionId,
    /// Technical name of the Odoo model, for example `sale.order`.
    pub model: String,
    /// What happened.
    pub kind: EventKind,
    /// Odoo's ids of the records.
    pub record_ids: Vec<i64>,
    /// Odoo's id of the user who made the first change.
    pub user_id: Option<i64>,
    /// RFC 3339, echoed as given.
    pub timestamp: String,
    /// One object per record with the enriched fields, nested by dotted path.
    pub records: Option<Vec<Map<String, Value>>>,
    /// A test event says so in its body.
    pub test: bool,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event_id", &self.id)?;
        map.serialize_entry("model", &self.model)?;
        map.serialize_entry("event_type", self.kind.as_str())?;
        map.serialize_entry("record_ids", &self.record_ids)?;
        map.serialize_entry("user_id", &self.user_id)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        if let Some(records) = &self.records {
            map.serialize_entry("records", records)?;
        }
        if self.test {
            map.serialize_entry("test", &true)?;
        }
        map.end()
    }
}

impl Event {
    /// The default body: compact JSON. It is also the form in which the log keeps the event.
    pub fn body(&self) -> Vec<u8> {
        // Strings, integers and JSON values always serialise.
        let mut body = serde_json::to_vec(self).unwrap_or_default();
        body.shrink_to_fit(); // it grew by doubling, and many are held at once
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Event {
        Event {
            id: EventId::from_u128(7),
            subscription_id: SubscriptionId::from_u128(1),
            model: "sale.order".into(),
            kind: EventKind::Write,
            record_ids: vec![4, 9],
            user_id: None,
            timestamp: "2026-11-23T10:15:00Z".into(),
            records: None,
            test: false,
        }
    }

    #[test]
    fn the_default_body_keeps_the_order_of_the_contract() {
        let plain = r#"{"event_id":"00000000-0000-0000-0000-000000000007","model":"sale.order","event_type":"write","record_ids":[4,9],"user_id":null,"timestamp":"2026-11-23T10:15:00Z"}"#;
        assert_eq!(String::from_utf8(event().body()).unwrap(), plain);
        let record = json!({"id": 4, "amount": 12.5}).as_object().unwrap().clone();
        let full = Event { records: Some(vec![record]), test: true, ..event() };
        let expected =
            plain.replace("00Z\"}", "00Z\",\"records\":[{\"id\":4,\"amount\":12.5}],\"test\":true}");
        assert_eq!(String::from_utf8(full.body()).unwrap(), expected);
    }
}
