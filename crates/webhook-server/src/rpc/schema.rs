//! JSON Schemas of what goes over the wire, written down in a short notation.
//!
//! `string`, `integer`, `boolean`, `object`, `any`, `uuid`, `time`; `[X]` a list; `X|null`; a name of [`NOUNS`] or
//! [`words`]; `{a: X, b?: Y}` an object with a field that may be absent. Conversations hold it against real answers.

use serde_json::{Map, Value, json};
use webhook_model::{AttemptStatus, Dialect, EventFilter, EventKind, Failure, Trigger};

/// The nouns: name and fields.
const NOUNS: &[(&str, &str)] = &[
    (
        "Subscription",
        "{id: uuid, name: string, model: string, event_type: EventFilter, url: string, has_secret: boolean, \
         header_names: [string], payload_template: any, dialect: Dialect, active: boolean, paused: boolean, \
         timeout_s: integer, max_in_flight: integer, max_attempts: integer}",
    ),
    ("SubscriptionFields", SUBSCRIPTION_FIELDS),
    (
        "Event",
        "{id: uuid, subscription_id: uuid, model: string, event_type: EventType, record_ids: [integer], \
         user_id?: integer|null, timestamp: time, records?: [object]}",
    ),
    (
        "Attempt",
        "{event_id: uuid, subscription_id: uuid, attempt: integer, trigger: Trigger, status: Status, \
         response_code: integer|null, payload: string|null, response_body: string|null, response_truncated: boolean, \
         error: Failure|null, created_at: time, finished_at: time|null, duration_ms: integer|null, \
         next_attempt_at: time|null}",
    ),
    ("Failure", "{kind: FailureKind, message: string}"),
    ("Error", "{code: integer, message: string, data?: object}"),
    ("Submitted", "{event_id: string|null, status: Submission, error?: Error}"),
    ("Refused", "{id: string|null, error: Error}"),
];

/// What a subscription takes; all but the id may be absent in an update.
pub const SUBSCRIPTION_FIELDS: &str = "{id: uuid, name?: string, model?: string, event_type?: EventFilter, url?: string, \
     secret?: string|null, headers?: object, payload_template?: any, dialect?: Dialect, active?: boolean, \
     paused?: boolean, timeout_s?: integer, max_in_flight?: integer, max_attempts?: integer}";

/// The words of the contract, from the types that know them.
fn words() -> [(&'static str, Vec<&'static str>); 7] {
    let submission = crate::metrics::SUBMITTED.to_vec();
    [
        ("EventFilter", EventFilter::ALL.iter().map(|word| word.as_str()).collect()),
        ("EventType", EventKind::ALL.iter().map(|word| word.as_str()).collect()),
        ("Dialect", Dialect::ALL.iter().map(|word| word.as_str()).collect()),
        ("Trigger", Trigger::ALL.iter().map(|word| word.as_str()).collect()),
        ("Status", AttemptStatus::ALL.iter().map(|word| word.as_str()).collect()),
        ("FailureKind", Failure::ALL.iter().map(|word| word.as_str()).collect()),
        ("Submission", submission),
    ]
}

/// Every noun and every set of words, for `components/schemas`.
pub fn components() -> Value {
    let words = words().map(|(name, words)| (name.to_owned(), json!({"type": "string", "enum": words})));
    let nouns = NOUNS.iter().map(|(name, fields)| ((*name).to_owned(), schema(fields)));
    Value::Object(nouns.chain(words).collect())
}

/// The schema that a text in this module's notation means.
pub fn schema(text: &str) -> Value {
    if let Some(inner) = text.strip_suffix("|null") {
        return json!({"anyOf": [schema(inner), {"type": "null"}]});
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return json!({"type": "array", "items": schema(inner)});
    }
    match text {
        "any" => json!({}),
        "uuid" => json!({"type": "string", "format": "uuid"}),
        "time" => json!({"type": "string", "format": "date-time"}),
        "string" | "integer" | "boolean" | "object" => json!({"type": text}),
        _ if text.starts_with('{') => object(text),
        noun => json!({"$ref": format!("#/components/schemas/{noun}")}),
    }
}

fn object(text: &str) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, is_needed, field) in fields(text) {
        properties.insert(name.to_owned(), schema(field));
        required.extend(is_needed.then_some(name));
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// The fields of an object in this module's notation: name, whether it must be there, type.
pub fn fields(text: &str) -> impl Iterator<Item = (&str, bool, &str)> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    inner.split(", ").filter(|field| !field.is_empty()).map(|field| {
        let (name, kind) = field.trim().split_once(": ").unwrap_or((field, "any"));
        (name.trim_end_matches('?'), !name.ends_with('?'), kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_means_what_it_says() {
        let expected = json!({"type": "object", "properties": {
            "a": {"type": "array", "items": {"type": "string", "format": "uuid"}},
            "b": {"anyOf": [{"$ref": "#/components/schemas/Event"}, {"type": "null"}]},
        }, "required": ["a"], "additionalProperties": false});
        assert_eq!(schema("{a: [uuid], b?: Event|null}"), expected);
    }

    #[test]
    fn every_reference_leads_to_a_component() {
        let components = components();
        let text = components.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(components.get(name).is_some(), "{name}");
        }
    }
}
