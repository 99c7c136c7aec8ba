//! Fields that may be left out.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use super::wire::Wire;

/// The name by which [`Given`] asks a deserializer for a field that may be missing.
pub(crate) const MAY_BE_MISSING: &str = "webhook_api::Given";

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
