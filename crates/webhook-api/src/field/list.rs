//! Lists and objects that are refused as a whole: what is wrong inside is told of the list.

use std::{borrow::Cow, fmt};

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use webhook_model::EventId;

use super::wire::OnWire;

macro_rules! lists {
    ($($(#[$about:meta])+ $noun:ident($of:ty): $expected:literal, $read:expr, $schema:tt;)+) => {
        $(
            $(#[$about])+
            #[derive(Clone, PartialEq)]
            pub struct $noun(pub $of);

            impl OnWire for $noun {
                fn expected() -> Cow<'static, str> {
                    $expected.into()
                }

                fn read(value: Value) -> Option<Self> {
                    let read: fn(Value) -> Option<$of> = $read;
                    read(value).map(Self)
                }

                fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    self.0.serialize(serializer)
                }

                fn schema() -> Schema {
                    json_schema!($schema)
                }
            }
        )+
    };
}

lists! {
    /// Odoo's ids of records.
    #[derive(Debug)]
    RecordIds(Vec<i64>): "a list of whole numbers",
        |value| value.as_array()?.iter().map(Value::as_i64).collect(),
        {"type": "array", "items": {"type": "integer"}};
    /// One object per record with the enriched fields.
    #[derive(Debug)]
    Records(Vec<Map<String, Value>>): "a list of objects, one per record",
        |value| items(value)?.into_iter().map(object).collect(),
        {"type": "array", "items": {"type": "object"}};
    /// Ids of events.
    #[derive(Debug)]
    EventIds(Vec<EventId>): "a list of 1 to 1000 ids of events",
        |value| items(value)?.into_iter().map(EventId::read).collect(),
        {"type": "array", "items": {"type": "string", "format": "uuid"}};
    /// An object that holds whatever it holds.
    #[derive(Debug)]
    Object(Map<String, Value>): "an object", object, {"type": "object"};
}

fn items(value: Value) -> Option<Vec<Value>> {
    if let Value::Array(items) = value { Some(items) } else { None }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    if let Value::Object(map) = value { Some(map) } else { None }
}

/// Custom headers, name and value: a value may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl OnWire for Headers {
    fn expected() -> Cow<'static, str> {
        "an object: header name to value, both texts".into()
    }

    fn read(value: Value) -> Option<Self> {
        let pair = |(name, value)| if let Value::String(value) = value { Some((name, value)) } else { None };
        object(value)?.into_iter().map(pair).collect::<Option<_>>().map(Self)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }

    fn schema() -> Schema {
        json_schema!({"type": "object"})
    }
}
