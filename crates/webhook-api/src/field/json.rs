//! JSON that stays text.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

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
