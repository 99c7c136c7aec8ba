//! Nouns, as they go over the wire.

use std::{borrow::Cow, cell::Cell, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// A noun that has a form in JSON: what is refused says which form was expected.
pub trait OnWire: Sized {
    /// The name of its schema; none where the schema stands in each place.
    const NAME: Option<&'static str> = None;

    /// What it is, to follow "expected".
    fn expected() -> Cow<'static, str>;

    /// Reads it; none when it is something else.
    fn read(value: Value) -> Option<Self>;

    /// Writes it.
    ///
    /// # Errors
    /// Those of the serializer.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// What its JSON looks like.
    fn schema() -> Schema;
}

/// A noun, as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wire<T>(pub T);

impl<T: OnWire> Serialize for Wire<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: OnWire> Deserialize<'de> for Wire<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WHOLE, Reader(PhantomData)).map(Self)
    }
}

impl<T: OnWire> JsonSchema for Wire<T> {
    fn inline_schema() -> bool {
        T::NAME.is_none()
    }

    fn schema_name() -> Cow<'static, str> {
        T::NAME.unwrap_or("value").into()
    }

    fn schema_id() -> Cow<'static, str> {
        std::any::type_name::<T>().into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

/// The name by which a [`Wire`] asks a deserializer for a whole value.
pub(crate) const WHOLE: &str = "webhook_api::Wire";

thread_local! {
    static HANDED_OVER: Cell<Option<Value>> = const { Cell::new(None) };
}

/// Hands a value to the [`Wire`] that asked for it. serde has no word for a value that is there already: it would be taken
/// apart and built anew, which for a large template costs as much as reading it. So it lies here for the one call.
pub(crate) fn hand_over<'de, V: Visitor<'de>, E: de::Error>(value: Value, visitor: V) -> Result<V::Value, E> {
    HANDED_OVER.set(Some(value));
    visitor.visit_unit()
}

struct Reader<T>(PhantomData<T>);

impl<T: OnWire> Reader<T> {
    fn take<E: de::Error>(value: Value) -> Result<T, E> {
        T::read(value).ok_or_else(|| E::custom(format_args!("expected {}", T::expected())))
    }
}

impl<'de, T: OnWire> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::expected())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Self::take(HANDED_OVER.take().unwrap_or_default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        Self::take(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        Self::take(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        Self::take(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        Self::take(value.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Self::take(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<T, E> {
        Self::take(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Self::take(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<T, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = members.next_entry()? {
            map.insert(name, value);
        }
        Self::take(Value::Object(map))
    }
}
