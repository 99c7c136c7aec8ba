//! Reads an object of parameters field by field, so that each refusal names its field and nothing is ignored.

use serde_json::{Map, Value};
use webhook_model::{Invalid, json};

use super::{error::RpcError, methods::Method, schema};

/// What a call hands in.
#[derive(Debug, Clone, Copy)]
pub struct Params<'a> {
    /// The parameters as JSON text; absent ones are an empty object.
    pub text: &'a str,
    /// The method that is called, as the table has it.
    pub method: &'static Method,
}

/// The fields of an object that were not read yet.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    prefix: &'static str,
    /// What may be read, as [`schema`] writes it.
    described: &'static str,
}

impl Fields {
    /// Parameters by name.
    pub fn parse(params: Params<'_>) -> Result<Self, RpcError> {
        match json::parse(params.text).map_err(|error| RpcError::malformed(&error))? {
            Value::Object(map) => Ok(Self { map, prefix: "", described: params.method.params }),
            _ => Err(super::by_name_only()),
        }
    }

    /// The fields of an object inside the parameters.
    pub fn of(value: Value, prefix: &'static str, described: &'static str) -> Result<Self, Invalid> {
        match value {
            Value::Object(map) => Ok(Self { map, prefix, described }),
            _ => Err(Invalid::params(prefix, "expected an object")),
        }
    }

    fn name(&self, field: &str) -> String {
        if self.prefix.is_empty() { field.to_owned() } else { format!("{}.{field}", self.prefix) }
    }

    /// A field as it is; `None` when it is absent.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        debug_assert!(
            schema::fields(self.described).any(|(name, ..)| name == field),
            "{field} is not described"
        );
        self.map.shift_remove(field)
    }

    /// Whether a field is there.
    pub fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// A field that `read` understands; `None` when it is absent. `expected` completes "expected ...".
    pub fn optional<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Invalid> {
        let Some(value) = self.take(field) else { return Ok(None) };
        read(&value)
            .map(Some)
            .ok_or_else(|| Invalid::params(self.name(field), format!("expected {expected}")))
    }

    /// A field that must be there.
    pub fn required<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Invalid> {
        let name = self.name(field);
        self.optional(field, expected, read)?
            .ok_or_else(|| Invalid::params(name, format!("is missing; expected {expected}")))
    }

    /// Everything was read; what is left is not known.
    pub fn finish(self) -> Result<(), Invalid> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(unknown) => {
                let short: String = unknown.chars().take(64).collect();
                Err(Invalid::params(self.name(&short), "is not a known field; check its spelling"))
            }
        }
    }
}

/// A string.
pub fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A UUID.
pub fn id<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// A whole number within bounds.
pub fn within(bounds: std::ops::RangeInclusive<u64>) -> impl Fn(&Value) -> Option<u8> {
    move |value| value.as_u64().filter(|n| bounds.contains(n)).and_then(|n| u8::try_from(n).ok())
}

/// What is expected of an id.
pub const ID: &str = "a UUID such as 0190c1de-7b5a-7c3e-9b0a-1f6d2c3b4a59";
