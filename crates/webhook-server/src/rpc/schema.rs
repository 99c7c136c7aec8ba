//! JSON Schemas of what goes over the wire, written down in a short notation.
//!
//! `string`, `integer`, `1..60` or `1..` (an integer within bounds), `boolean`, `object`, `any`, `uuid`, `time`; `[X]` a
//! list; `X|null`; a name of [`NOUNS`] or [`words`]; `{a: X, b?: Y}` an object with a field that may be absent.

use serde_json::{Map, Value, json};
use webhook_model::{AttemptStatus, Dialect, EventFilter, EventKind, Failure, Trigger};

use super::error::Kind;

/// What a subscription takes. `$optional` is `"?"` where all but the id may be left out.
macro_rules! subscription_fields {
    ($optional:literal) => {
        concat!(
            "{id: uuid, model",
            $optional,
            ": string, url",
            $optional,
            ": string|null, name?: string, event_type?: EventFilter, secret?: string|null, keep_previous_s?: 0..604800, headers?: object|null, \
             payload_template?: any, dialect?: Dialect, active?: boolean, paused?: boolean, timeout_s?: 1..60, \
             max_in_flight?: 1..64, max_attempts?: 1..20, success?: object|null}"
        )
    };
}

/// What an event takes. `$optional` is `"?"` where what is left out gets sample values.
macro_rules! event_fields {
    ($optional:literal) => {
        concat!(
            "{id",
            $optional,
            ": uuid, subscription_id",
            $optional,
            ": uuid, model",
            $optional,
            ": string, event_type",
            $optional,
            ": EventType, record_ids",
            $optional,
            ": [integer], timestamp",
            $optional,
            ": time, user_id?: integer|null, records?: [object]}"
        )
    };
}

/// A subscription to be stored.
pub const NEW_SUBSCRIPTION: &str = subscription_fields!("");
/// Changes to one.
pub const CHANGED_SUBSCRIPTION: &str = subscription_fields!("?");
/// An event to be delivered.
pub const EVENT: &str = event_fields!("");
/// An event for a test or a preview.
pub const SAMPLE_EVENT: &str = event_fields!("?");

/// The nouns: name and fields.
const NOUNS: &[(&str, &str)] = &[
    (
        "Subscription",
        "{id: uuid, name: string, model: string, event_type: EventFilter, url: string|null, has_secret: boolean, previous_secret_until: time|null, \
         header_names: [string], payload_template: any, dialect: Dialect, active: boolean, paused: boolean, \
         timeout_s: 1..60, max_in_flight: 1..64, max_attempts: 1..20, success: object|null}",
    ),
    ("NewSubscription", NEW_SUBSCRIPTION),
    ("Event", EVENT),
    ("SampleEvent", SAMPLE_EVENT),
    (
        "Attempt",
        "{event_id: uuid, subscription_id: uuid, attempt: 1.., trigger: Trigger, status: Status, \
         response_code: integer|null, payload: string|null, response_body: string|null, response_truncated: boolean, \
         error: Failure|null, created_at: time, finished_at: time|null, duration_ms: 0..|null, \
         next_attempt_at: time|null}",
    ),
    ("Failure", "{kind: FailureKind, message: string}"),
    ("Error", "{code: integer, message: string, data: ErrorData}"),
    (
        "ErrorData",
        "{kind: ErrorKind, field?: string, detail?: string, line?: 0.., column?: 0.., pointer?: string}",
    ),
    ("Submitted", "{event_id: string|null, status: Submission, error?: Error}"),
    ("Refused", "{id: string|null, error: Error}"),
    ("Database", "{uuid: string, name: string}"),
    ("Reason", "{kind: string, message: string, stops_work: boolean}"),
    ("Commits", "{count: 0.., mean_ms: any}"),
];

/// The words of the contract, from the types that know them.
fn words() -> [(&'static str, Vec<&'static str>); 8] {
    let submission = crate::metrics::SUBMITTED.to_vec();
    [
        ("EventFilter", EventFilter::ALL.iter().map(|word| word.as_str()).collect()),
        ("EventType", EventKind::ALL.iter().map(|word| word.as_str()).collect()),
        ("Dialect", Dialect::ALL.iter().map(|word| word.as_str()).collect()),
        ("Trigger", Trigger::ALL.iter().map(|word| word.as_str()).collect()),
        ("Status", AttemptStatus::ALL.iter().map(|word| word.as_str()).collect()),
        ("FailureKind", Failure::ALL.iter().map(|word| word.as_str()).collect()),
        ("ErrorKind", Kind::ALL.iter().map(|word| word.as_str()).collect()),
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
        _ if text.contains("..") => integer(text),
        noun => json!({"$ref": format!("#/components/schemas/{noun}")}),
    }
}

fn integer(bounds: &str) -> Value {
    let mut schema = json!({"type": "integer"});
    for (name, bound) in ["minimum", "maximum"].iter().zip(bounds.split("..")) {
        if let Ok(bound) = bound.parse::<u64>() {
            schema[*name] = json!(bound);
        }
    }
    schema
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

/// Why `found` is not what a schema describes, and where; none when it is. For tests, which run with debug assertions.
#[cfg(debug_assertions)]
pub fn violation(schema: &Value, found: &Value, components: &Value, path: &str) -> Option<String> {
    let is = |fits: bool, what: &str| (!fits).then(|| format!("{path}: {found} is not {what}"));
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return violation(&components[name], found, components, path);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice| violation(choice, found, components, path).is_none();
        return is(choices.iter().any(fits), &schema.to_string());
    }
    if let Some(words) = schema["enum"].as_array() {
        return is(words.contains(found), &schema.to_string());
    }
    let text = found.as_str().unwrap_or_default();
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (None, _) => None,
        (_, Some("uuid")) => is(uuid::Uuid::try_parse(text).is_ok(), "a UUID"),
        (_, Some(_)) => is(webhook_model::Millis::parse_rfc3339(text).is_some(), "a time"),
        (Some("integer"), _) => {
            let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
            let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
            is(found.as_i64().is_some_and(|n| (least..=most).contains(&n)), &schema.to_string())
        }
        (Some("array"), _) => {
            let Some(items) = found.as_array() else { return is(false, "a list") };
            let mut items = items.iter().enumerate();
            items.find_map(|(i, item)| violation(&schema["items"], item, components, &format!("{path}/{i}")))
        }
        (Some("object"), _) => misshapen(schema, found, components, path),
        (Some(kind), _) => is(
            match kind {
                "null" => found.is_null(),
                "boolean" => found.is_boolean(),
                _ => found.is_string(),
            },
            kind,
        ),
    }
}

#[cfg(debug_assertions)]
fn misshapen(schema: &Value, found: &Value, components: &Value, path: &str) -> Option<String> {
    let Some(given) = found.as_object() else { return Some(format!("{path}: {found} is no object")) };
    // A bare `object` holds whatever it holds.
    let described = schema["properties"].as_object()?;
    let mut needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = needed.find(|name| !given.contains_key(*name)) {
        return Some(format!("{path}: {missing} is missing"));
    }
    given.iter().find_map(|(name, value)| match described.get(name) {
        None => Some(format!("{path}: {name} is not described")),
        Some(schema) => violation(schema, value, components, &format!("{path}/{name}")),
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
            "c": {"type": "integer", "minimum": 1, "maximum": 60},
            "d": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
        }, "required": ["a", "c"], "additionalProperties": false});
        assert_eq!(schema("{a: [uuid], b?: Event|null, c: 1..60, d?: 0..|null}"), expected);
    }

    #[test]
    fn a_violation_is_found() {
        let components = components();
        let violates = |notation: &str, found: Value| violation(&schema(notation), &found, &components, "");
        let shape = "{a: Status, b?: [1..3|null]}";
        for good in [json!({"a": "failed"}), json!({"a": "pending", "b": [1, null, 3]})] {
            assert_eq!(violates(shape, good), None);
        }
        for bad in
            [json!({}), json!({"a": "x"}), json!({"a": "failed", "c": 1}), json!({"a": null}), json!([])]
        {
            assert!(violates(shape, bad.clone()).is_some(), "{bad}");
        }
        for bad in [
            json!({"a": "failed", "b": [0]}),
            json!({"a": "failed", "b": [4]}),
            json!({"a": "failed", "b": 1}),
        ] {
            assert!(violates(shape, bad.clone()).is_some(), "{bad}");
        }
        for (kind, bad) in
            [("uuid", "x"), ("time", "today"), ("boolean", "true"), ("integer", "1"), ("object", "")]
        {
            assert!(violates(kind, json!(bad)).is_some(), "{kind}");
        }
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
