//! JSON as it is read from outside: stricter than serde_json, and compared as JSON values.
//!
//! Refused: a duplicate key (parsers differ in which one wins), NUL in any string (PostgreSQL cannot store it),
//! nesting deeper than [`limits::JSON_DEPTH`], and integers that would lose digits.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits;

/// Reads one JSON text.
///
/// # Errors
/// What is wrong and where, as serde_json says it; it repeats keys but no values.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    if let Some(digits) = integer_too_long(text) {
        return Err(de::Error::custom(format!(
            "an integer of {digits} digits would lose some; send it as a string"
        )));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Whether two values are the same as JSON: key order does not count, and neither does 1 against 1.0.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// One text for all values that are [`same`], and no other.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // 1.0 is 1. Beyond 2^53 one float is several integers; such a pair is not worth an exception.
            Some(float) if float.fract() == 0.0 && float.abs() < 9.1e15 => {
                text.push_str(&format!("{}", float as i64));
            }
            _ => text.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                write_canonical(&Value::String(key.clone()), text);
                text.push(':');
                write_canonical(&map[key], text);
                text.push(',');
            }
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
}

/// The length of the first integer literal outside strings that fits neither i64 nor u64.
fn integer_too_long(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let is_number = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(|b| is_number(b)).count();
                let literal = &text[at..at + length];
                let integer = !literal.contains(['.', 'e', 'E']);
                if integer
                    && length > 18
                    && literal.parse::<i64>().is_err()
                    && literal.parse::<u64>().is_err()
                {
                    return Some(length);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

pub(crate) fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<Self, E> {
        if self.depth == limits::JSON_DEPTH {
            return Err(E::custom(format!("nested deeper than {} levels", limits::JSON_DEPTH)));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn without_nul<E: de::Error>(text: &str) -> Result<&str, E> {
    if text.contains('\0') { Err(E::custom("a string holds the character NUL")) } else { Ok(text) }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        without_nul(value).map(|text| Value::String(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        without_nul::<E>(&value)?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            without_nul(&key)?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate field `{key}`")));
            }
            let value = access.next_value_seed(self.deeper()?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// A [`Value`] read by the rules of [`parse`], for use inside other types.
#[derive(Debug, Clone, PartialEq)]
pub struct StrictValue(pub Value);

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Strict { depth: 0 }.deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn refused(text: &str, because: &str) {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(because), "{text}: {error}");
    }

    #[test]
    fn what_other_parsers_disagree_on_is_refused() {
        refused(r#"{"a":1,"a":1}"#, "duplicate field `a`");
        refused(r#"{"a":{"b":1,"b":2}}"#, "duplicate field `b`");
        refused(r#""a\u0000b""#, "NUL");
        refused(r#"{"a\u0000":1}"#, "NUL");
        refused(&format!("{}{}", "[".repeat(33), "]".repeat(33)), "nested deeper than 32");
        refused("123456789012345678901234567890", "30 digits");
        refused("[-9223372036854775809]", "digits");
        refused("1e999", "out of range");
        refused(r#""\ud800""#, "");
        refused("{}x", "trailing");
    }

    #[test]
    fn ordinary_json_is_kept_as_it_is() {
        for text in [
            r#"{"z":1,"a":[null,true,-5,12.5,"\u00e9"]}"#,
            "18446744073709551615",
            "-9223372036854775808",
            "1e20",
            "\"123456789012345678901234567890\"",
        ] {
            assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        assert!(parse(&format!("{}{}", "[".repeat(32), "]".repeat(32))).is_ok());
    }

    #[test]
    fn equality_is_that_of_json_values() {
        #[track_caller]
        fn check(left: &str, right: &str, expected: bool) {
            assert_eq!(same(&parse(left).unwrap(), &parse(right).unwrap()), expected, "{left} {right}");
        }
        check(r#"{"a":1,"b":[2.0]}"#, r#"{"b":[2],"a":1.0}"#, true);
        check(r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false);
        check("[1,2]", "[2,1]", false);
        check("9007199254740993", "9007199254740992", false);
        check("1", "true", false);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
