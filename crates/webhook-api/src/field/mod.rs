//! What the values of parameters and results are made of.

mod list;
mod nouns;
mod text;

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use webhook_model::Invalid;

use crate::{Error, read::MAY_BE_MISSING};

pub use list::{EventIds, Headers, Object, RecordIds, Records};
pub use nouns::{
    Count, ListPlace, LogId, NextAttempt, NextSubscription, SubmissionStatus, Timestamp, UserId, Whole,
};
pub use text::{
    CancelReason, Condition, DatabaseName, DatabaseUuid, EventsCursor, FeedCursor, FilePath, Instance,
    ModelName, Name, NewestCursor, SecretText, UrlText, WakeSecretText, WakeUrlText,
};

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
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
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

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Self::take(Value::Null)
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

/// A field that may be left out; an `Option` is one that may be null. Where both mean something it is a `Given<Option<_>>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<T>(pub Option<T>);

impl<T> Given<T> {
    /// It was left out: such a field is not written.
    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl<T> Given<Wire<T>> {
    /// The noun, where it was given.
    pub fn get(self) -> Option<T> {
        self.0.map(|wire| wire.0)
    }
}

impl<T> Given<Option<Wire<T>>> {
    /// The noun, where absence and null mean the same.
    pub fn get(self) -> Option<T> {
        self.0.flatten().map(|wire| wire.0)
    }
}

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<T> for Given<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Serialize> Serialize for Given<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(MAY_BE_MISSING, Present(PhantomData)).map(Self)
    }
}

struct Present<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Present<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or none")
    }

    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::deserialize(deserializer).map(Some)
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The JSON text of a `T`: written once, and read only by whoever looks inside.
pub struct Json<T> {
    text: Box<RawValue>,
    of: PhantomData<fn() -> T>,
}

impl<T> Json<T> {
    /// Its text.
    pub fn get(&self) -> &str {
        self.text.get()
    }

    /// The same text, as that of something else.
    pub(crate) fn cast<U>(self) -> Json<U> {
        Json { text: self.text, of: PhantomData }
    }
}

impl<T: Serialize> Json<T> {
    /// Writes it.
    ///
    /// # Panics
    /// `T` does not become JSON; none of this crate's types fails so.
    pub fn of(value: &T) -> Self {
        let text = serde_json::value::to_raw_value(value).expect("types of the wire become JSON");
        Self { text, of: PhantomData }
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// Reads it.
    ///
    /// # Errors
    /// It came from a sidecar of another version, and is something else.
    pub fn read(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), of: PhantomData }
    }
}

impl<T> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::deserialize(deserializer).map(|text| Self { text, of: PhantomData })
    }
}

impl<T: JsonSchema> JsonSchema for Json<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list whose items are read one by one, so that each is refused alone.
#[derive(Debug, Clone)]
pub struct Each<'a, T> {
    list: Cow<'a, RawValue>,
    of: PhantomData<fn() -> T>,
}

impl<T> Each<'_, T> {
    /// The text of each item; `name` is that of the list. What is no list is not repeated: it may be long, or a secret.
    ///
    /// # Errors
    /// It is no list.
    pub fn items(&self, name: &str) -> Result<Vec<&RawValue>, Error> {
        if !self.list.get().starts_with('[') {
            return Err(Invalid::params(name, "expected a list").into());
        }
        serde_json::from_str(self.list.get()).map_err(|error| Error::malformed(&error))
    }
}

impl<T: Serialize> Each<'_, T> {
    /// A list of these.
    pub fn of(items: &[T]) -> Self {
        Self { list: Cow::Owned(Json::of(&items).text), of: PhantomData }
    }
}

impl<T> Serialize for Each<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl<'de: 'a, 'a, T> Deserialize<'de> for Each<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = <&'a RawValue>::deserialize(deserializer)?;
        Ok(Self { list: Cow::Borrowed(list), of: PhantomData })
    }
}

impl<T: JsonSchema> JsonSchema for Each<'_, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Vec::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}
