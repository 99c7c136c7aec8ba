//! Reads a JSON text into a type so that each refusal names its field, and nothing is ignored or repeated.
//!
//! First the text becomes a value, by the strict rules of [`json::parse`]; then the value becomes the type, by serde with
//! the deserializer of this file. It hands a type its fields in the order in which the type declares them, and those that
//! are missing as well: so a refusal can say what was expected there.

use std::{borrow::Cow, fmt, slice};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};
use webhook_model::{Invalid, json};

use crate::{
    Error,
    field::{MAY_BE_MISSING, WHOLE, hand_over},
};

/// Reads a text; a refusal names its field below `prefix`.
///
/// # Errors
/// It is no JSON, or not what `T` takes.
pub fn from_text<'de, T: Deserialize<'de>>(text: &str, prefix: &str) -> Result<T, Error> {
    let value = json::parse(text).map_err(|error| Error::malformed(&error))?;
    Ok(from_value(value, prefix)?)
}

/// Reads a value; a refusal names its field below `prefix`.
///
/// # Errors
/// It is not what `T` takes.
pub fn from_value<'de, T: Deserialize<'de>>(value: Value, prefix: &str) -> Result<T, Invalid> {
    T::deserialize(Place(Some(value))).map_err(|fault| fault.below(prefix).0)
}

/// A refusal under way to the top.
#[derive(Debug)]
struct Fault(Invalid);

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self(Invalid::params("", message))
    }

    fn expected(what: &dyn Expected) -> Self {
        Self::new(format!("expected {what}"))
    }

    fn below(mut self, field: &str) -> Self {
        let inner = &self.0.field;
        self.0.field = match (field, inner.as_str()) {
            ("", _) => return self,
            (_, "") => field.to_owned(),
            _ => format!("{field}.{inner}"),
        };
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    // What was found instead is not repeated: it may be long, or a secret.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        let short: String = field.chars().take(64).collect();
        Self::new("is not a known field; check its spelling").below(&short)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").below(field)
    }
}

/// Where a value should be.
struct Place(Option<Value>);

impl Place {
    fn found(self, expected: &dyn Expected) -> Result<Value, Fault> {
        self.0.ok_or_else(|| Fault::new(format!("is missing; expected {expected}")))
    }
}

impl<'de> Deserializer<'de> for Place {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.found(&visitor)? {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Object(map) => visitor.visit_map(Members::new(&[], map)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.found(&visitor)? {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(Self(Some(value))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            None if name == MAY_BE_MISSING => visitor.visit_none(),
            Some(value) if name == WHOLE => hand_over(value, visitor),
            found => visitor.visit_newtype_struct(Self(found)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let expected = "true or false";
        self.found(&expected)?
            .as_bool()
            .map_or_else(|| Err(Fault::expected(&expected)), |b| visitor.visit_bool(b))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let expected = "an object";
        match self.found(&expected)? {
            Value::Object(map) => visitor.visit_map(Members::new(fields, map)),
            _ => Err(Fault::expected(&expected)),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|value| seed.deserialize(Place(Some(value)))).transpose()
    }
}

/// A member's name, and its value where there is one.
type Member = (Cow<'static, str>, Option<Value>);

/// The members of an object: first those that its type declares, there or not, then those that nobody asked for.
struct Members {
    declared: slice::Iter<'static, &'static str>,
    map: Map<String, Value>,
    rest: Option<serde_json::map::IntoIter>,
    next: Option<Member>,
}

impl Members {
    fn new(declared: &'static [&'static str], map: Map<String, Value>) -> Self {
        Self { declared: declared.iter(), map, rest: None, next: None }
    }

    fn take(&mut self) -> Option<Member> {
        if let Some(name) = self.declared.next() {
            return Some((Cow::Borrowed(*name), self.map.shift_remove(*name)));
        }
        let map = &mut self.map;
        let rest = self.rest.get_or_insert_with(|| std::mem::take(map).into_iter());
        rest.next().map(|(name, value)| (Cow::Owned(name), Some(value)))
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.next = self.take();
        let Some((name, _)) = &self.next else { return Ok(None) };
        seed.deserialize(name.as_ref().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, value) = self.next.take().unwrap_or_default();
        seed.deserialize(Place(value)).map_err(|fault| fault.below(&name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        delivery::{CancelDelivery, SendTest},
        event::{Event, ReadEvents},
        subscription::SubscriptionFields,
    };

    const ID: &str = "0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59";

    #[track_caller]
    fn refused<'de, T: Deserialize<'de>>(value: Value, prefix: &str, says: &str) {
        let refused = from_value::<T>(value, prefix).err().map(|invalid| invalid.to_string());
        assert_eq!(refused.as_deref(), Some(says));
    }

    #[test]
    fn a_refusal_names_its_field_and_what_was_expected() {
        let uuid = format!("a UUID such as {ID}");
        refused::<ReadEvents>(json!({}), "", &format!("subscription_id: is missing; expected {uuid}"));
        refused::<ReadEvents>(
            json!({"subscription_id": 1}),
            "",
            &format!("subscription_id: expected {uuid}"),
        );
        let with = |name: &str, value: Value| json!({"subscription_id": ID, name: value});
        refused::<ReadEvents>(with("limit", json!(0)), "", "limit: expected a whole number of 1 or more");
        refused::<ReadEvents>(with("limit", json!(null)), "", "limit: expected a whole number of 1 or more");
        refused::<ReadEvents>(
            with("nonsense", json!(1)),
            "",
            "nonsense: is not a known field; check its spelling",
        );
        refused::<SendTest>(with("event", json!([])), "", "event: expected an object");
        refused::<SendTest>(
            with("event", json!({"record_ids": [1, "2"]})),
            "",
            "event.record_ids: expected a list of whole numbers",
        );
        refused::<SendTest>(
            with("event", json!({"event_type": "all"})),
            "",
            "event.event_type: expected create, write or unlink",
        );
        refused::<Event>(json!({"id": ID}), "event", "event.subscription_id: is missing");
        refused::<Event>(json!(7), "event", "event: expected an object");
        refused::<SubscriptionFields>(
            json!({"id": ID, "timeout_s": 61}),
            "",
            "timeout_s: expected a whole number from 1 to 60",
        );
        refused::<SubscriptionFields>(json!({"id": ID, "active": 1}), "", "active: expected true or false");
    }

    #[test]
    fn a_refusal_repeats_no_value() {
        for value in [json!("top secret"), json!({"top secret": "top secret"}), json!(["top secret"])] {
            for name in ["id", "url", "secret", "headers", "active", "timeout_s", "success"] {
                let given = json!({"id": ID, name: value});
                if let Err(refused) = from_value::<SubscriptionFields>(given, "") {
                    assert!(!refused.to_string().contains("top secret"), "{refused}");
                }
            }
        }
    }

    #[test]
    fn absent_and_null_are_two_things() {
        let read = |value: Value| from_value::<SubscriptionFields>(value, "").unwrap();
        let (absent, null) =
            (read(json!({"id": ID})), read(json!({"id": ID, "url": null, "payload_template": null})));
        assert_eq!((absent.url.0, null.url.0), (None, Some(None)));
        assert_eq!((absent.payload_template.get(), null.payload_template.get()), (None, Some(Value::Null)));
        let none = |value: Value| from_value::<CancelDelivery>(value, "").unwrap().reason.get();
        assert_eq!(
            (none(json!({"event_id": ID})), none(json!({"event_id": ID, "reason": null}))),
            (None, None)
        );
    }

    #[test]
    fn what_a_client_writes_is_what_it_meant() {
        for text in [
            json!({"id": ID}),
            json!({"id": ID, "url": null, "secret": null, "headers": {"a": "b"}, "payload_template": null}),
            json!({"id": ID, "active": false, "timeout_s": 5, "success": {"not_html": true}}),
        ] {
            let read = from_value::<SubscriptionFields>(text.clone(), "").unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), text);
            // Any other reader understands it as well.
            let other: SubscriptionFields = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(serde_json::to_value(&other).unwrap(), text);
        }
    }
}
