//! Lists whose items are read and refused one by one.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use webhook_model::Invalid;

use crate::Error;

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
    ///
    /// # Panics
    /// `T` does not become JSON; none of this crate's types fails so.
    pub fn of(items: &[T]) -> Self {
        let list = serde_json::value::to_raw_value(items).expect("types of the wire become JSON");
        Self { list: Cow::Owned(list), of: PhantomData }
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
