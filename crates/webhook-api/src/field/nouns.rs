//! The nouns of the model, and numbers, words and places of the wire alone.

use std::borrow::Cow;

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};
use serde_json::Value;
use webhook_model::{
    AttemptStatus, Dialect, EventFilter, EventId, EventKind, Failure, Millis, SubscriptionId, Trigger,
};

use super::wire::OnWire;

/// What is expected of an id.
const ID: &str = "a UUID such as 0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59";

macro_rules! ids {
    ($($noun:ident: $expected:expr, $make:expr;)+) => {
        $(impl OnWire for $noun {
            fn expected() -> Cow<'static, str> {
                $expected.into()
            }

            fn read(value: Value) -> Option<Self> {
                value.as_str()?.parse().ok().map($make)
            }

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }

            fn schema() -> Schema {
                json_schema!({"type": "string", "format": "uuid"})
            }
        })+
    };
}

ids! {
    EventId: ID, |id| id;
    SubscriptionId: ID, |id| id;
    NextSubscription: "the `next` of a page", NextSubscription;
}

/// Behind which subscription a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextSubscription(pub SubscriptionId);

impl std::fmt::Display for NextSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Words of the contract, of a type with `ALL`, `as_str` and `parse`.
macro_rules! words {
    ($($noun:ident as $name:literal: $expected:expr;)+) => {
        $(impl $crate::field::OnWire for $noun {
            const NAME: Option<&'static str> = Some($name);

            fn expected() -> std::borrow::Cow<'static, str> {
                let expected: fn(&[&str]) -> String = $expected;
                let words: Vec<&str> = Self::ALL.iter().map(|word| word.as_str()).collect();
                expected(&words).into()
            }

            fn read(value: serde_json::Value) -> Option<Self> {
                Self::parse(value.as_str()?)
            }

            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }

            fn schema() -> schemars::Schema {
                let words: Vec<&str> = Self::ALL.iter().map(|word| word.as_str()).collect();
                schemars::json_schema!({"type": "string", "enum": words})
            }
        })+
    };
}

pub(crate) use words;

words! {
    EventFilter as "EventFilter": one_or_other;
    EventKind as "EventType": one_or_other;
    Dialect as "Dialect": one_of;
    Trigger as "Trigger": one_of;
    AttemptStatus as "Status": one_or_other;
    Failure as "FailureKind": one_of;
    SubmissionStatus as "Submission": one_or_other;
}

fn one_or_other(words: &[&str]) -> String {
    match words {
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    }
}

pub(crate) fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}

/// What became of a submitted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionStatus {
    /// It is on disk, and will be delivered.
    Accepted,
    /// It was there already, with the same content.
    Duplicate,
    /// It was refused.
    Rejected,
}

impl SubmissionStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Accepted, Self::Duplicate, Self::Rejected];

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
        }
    }

    /// The status that `word` names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == word)
    }
}

impl OnWire for Millis {
    fn expected() -> Cow<'static, str> {
        "an RFC 3339 time such as 2026-11-23T10:15:00Z".into()
    }

    fn read(value: Value) -> Option<Self> {
        Self::parse_rfc3339(value.as_str()?)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }

    fn schema() -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// An instant, and the text that named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// RFC 3339, echoed as given.
    pub text: String,
    /// The instant.
    pub at: Millis,
}

impl From<Millis> for Timestamp {
    fn from(at: Millis) -> Self {
        Self { text: at.to_string(), at }
    }
}

impl OnWire for Timestamp {
    fn expected() -> Cow<'static, str> {
        Millis::expected()
    }

    fn read(value: Value) -> Option<Self> {
        let Value::String(text) = value else { return None };
        let at = Millis::parse_rfc3339(&text)?;
        Some(Self { text, at })
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }

    fn schema() -> Schema {
        Millis::schema()
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const LEAST: u64, const MOST: u64 = { u64::MAX }>(pub u64);

impl<const LEAST: u64, const MOST: u64> OnWire for Whole<LEAST, MOST> {
    fn expected() -> Cow<'static, str> {
        match MOST {
            u64::MAX => format!("a whole number of {LEAST} or more"),
            _ => format!("a whole number from {LEAST} to {MOST}"),
        }
        .into()
    }

    fn read(value: Value) -> Option<Self> {
        value.as_u64().filter(|number| (LEAST..=MOST).contains(number)).map(Self)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }

    fn schema() -> Schema {
        let mut schema = json_schema!({"type": "integer", "minimum": LEAST});
        if MOST != u64::MAX {
            schema.insert("maximum".to_owned(), MOST.into());
        }
        schema
    }
}

/// Behind which attempt a page of one delivery begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextAttempt(pub u64);

impl OnWire for NextAttempt {
    fn expected() -> Cow<'static, str> {
        "an attempt's number: the `next` of a page".into()
    }

    fn read(value: Value) -> Option<Self> {
        value.as_u64().map(Self)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }

    fn schema() -> Schema {
        json_schema!({"type": "integer", "minimum": 0})
    }
}

/// Odoo's id of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserId(pub i64);

impl OnWire for UserId {
    fn expected() -> Cow<'static, str> {
        "a whole number or null".into()
    }

    fn read(value: Value) -> Option<Self> {
        value.as_i64().map(Self)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }

    fn schema() -> Schema {
        json_schema!({"type": "integer"})
    }
}

/// How many events were accepted so far, as `accepted_to` has it: a number in a string; `""` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl OnWire for Count {
    fn expected() -> Cow<'static, str> {
        "the highest accepted_to, a number in a string".into()
    }

    fn read(value: Value) -> Option<Self> {
        match value.as_str()? {
            "" => Some(Self(0)),
            text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().map(Self),
            _ => None,
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }

    fn schema() -> Schema {
        json_schema!({"type": "string"})
    }
}

/// The identity of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogId(pub String);

impl OnWire for LogId {
    fn expected() -> Cow<'static, str> {
        ID.into()
    }

    fn read(value: Value) -> Option<Self> {
        if let Value::String(text) = value { Some(Self(text)) } else { None }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }

    fn schema() -> Schema {
        EventId::schema()
    }
}

/// Any JSON that must be there.
impl OnWire for Value {
    fn expected() -> Cow<'static, str> {
        "a JSON value".into()
    }

    fn read(value: Value) -> Option<Self> {
        Some(value)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn schema() -> Schema {
        json_schema!({})
    }
}

/// Behind which attempt a page of the list begins: an event's place in the order of acceptance, and an attempt's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPlace(pub u64, pub u32);

impl OnWire for ListPlace {
    fn expected() -> Cow<'static, str> {
        "the `next` of a page".into()
    }

    fn read(value: Value) -> Option<Self> {
        let (seq, number) = value.as_str()?.split_once('.')?;
        Some(Self(seq.parse().ok()?, number.parse().ok()?))
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.0, self.1))
    }

    fn schema() -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Wire, field::*};

    /// Reads `good`, writes it again, and holds it against the schema; refuses every `bad`.
    #[track_caller]
    fn check<T: OnWire>(good: &[Value], bad: &[Value]) {
        let schema = T::schema().to_value();
        for value in good {
            let read = T::read(value.clone()).unwrap_or_else(|| panic!("{value} is {}", T::expected()));
            assert_eq!(serde_json::to_value(Wire(read)).unwrap(), *value);
            assert!(fits(&schema, value), "{value} is not as described: {schema}");
        }
        for value in bad {
            assert!(T::read(value.clone()).is_none(), "{value} is not {}", T::expected());
        }
    }

    fn fits(schema: &Value, value: &Value) -> bool {
        let bound = |name: &str| schema[name].as_u64();
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let choices = schema["anyOf"].as_array();
        choices.is_some_and(|choices| choices.iter().any(|choice| fits(choice, value)))
            || (schema["type"] == kind
                && schema["enum"].as_array().is_none_or(|words| words.contains(value))
                && bound("minimum").is_none_or(|least| value.as_u64() >= Some(least))
                && bound("maximum").is_none_or(|most| value.as_u64() <= Some(most)))
    }

    #[test]
    fn nouns_are_written_as_they_are_read_and_described() {
        let id = [json!("0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59")];
        let others = [json!(null), json!(1.5), json!("?"), json!([1.5]), json!({"a": 1})];
        check::<EventId>(&id, &others);
        check::<SubscriptionId>(&id, &others);
        check::<NextSubscription>(&id, &others);
        check::<EventIds>(&[json!([]), json!(id)], &others);
        check::<EventFilter>(&[json!("all")], &others);
        check::<EventKind>(&[json!("write")], &[json!("all"), json!(null)]);
        check::<Dialect>(&[json!("google_chat")], &others);
        check::<Trigger>(&[json!("manual")], &others);
        check::<AttemptStatus>(&[json!("pending")], &others);
        check::<Failure>(&[json!("http_status")], &others);
        check::<SubmissionStatus>(&[json!("duplicate")], &others);
        check::<Millis>(&[json!("2026-11-23T10:15:00.000Z")], &others);
        check::<Timestamp>(&[json!("2026-11-23T10:15:00Z")], &others);
        check::<Whole<1, 60>>(&[json!(1), json!(60)], &[json!(0), json!(61), json!(1.0), json!("1")]);
        check::<Whole<1>>(&[json!(1), json!(u64::MAX)], &[json!(0), json!(-1)]);
        check::<NextAttempt>(&[json!(0)], &others);
        check::<UserId>(&[json!(7)], &others);
        check::<Count>(&[json!("17")], &[json!(17), json!("-1"), json!("x")]);
        check::<ListPlace>(&[json!("7.1")], &[json!("7"), json!(7.1), json!("a.b")]);
        check::<RecordIds>(&[json!([1, 2])], &others);
        check::<Records>(&[json!([{"id": 1}])], &others);
        check::<Headers>(&[json!({"a": "b"})], &others);
        check::<Object>(&[json!({})], &others[..4]);
        check::<Condition>(&[json!(null), json!({"pointer": "/ok"})], &others[1..4]);
        check::<Name>(&[json!("x")], &[json!(""), json!("x".repeat(257)), json!(1)]);
        check::<WakeSecretText>(&[json!("0123456789abcdef")], &[json!("short"), json!("0123456789 abcdef")]);
        assert_eq!(Count::read(json!("")), Some(Count(0)));
    }
}
