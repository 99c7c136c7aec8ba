//! What a JSON text would cost to hold, found in one pass that holds nothing: limits come before parsing.

use crate::json::end_of_string;

/// The measures of a text. What is not JSON has some as well: the parser will refuse it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its length.
    pub bytes: usize,
    /// Values and keys, at least as many as a parser would make.
    pub values: usize,
    /// The most members of one list or object of the outermost level, and of the one below.
    pub members: [usize; 2],
}

impl Shape {
    /// Measures a text.
    pub fn of(text: &[u8]) -> Self {
        let mut shape = Self { bytes: text.len(), values: 1, ..Self::default() };
        let (mut depth, mut members, mut at) = (0_usize, [0_usize; 2], 0);
        while let Some(byte) = text.get(at) {
            match byte {
                b'"' => {
                    at = end_of_string(text, at);
                    continue;
                }
                b'[' | b'{' => {
                    if let Some(count) = members.get_mut(depth) {
                        *count = 1;
                    }
                    depth += 1;
                    // Itself and its first member.
                    shape.values += 2;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b':' => shape.values += 1,
                b',' => {
                    shape.values += 1;
                    if let Some(count) = depth.checked_sub(1).and_then(|level| members.get_mut(level)) {
                        *count += 1;
                    }
                }
                _ => {}
            }
            for (most, count) in shape.members.iter_mut().zip(members) {
                *most = count.max(*most);
            }
            at += 1;
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn values(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
            Value::Object(map) => 1 + map.values().map(|value| 1 + values(value)).sum::<usize>(),
            _ => 1,
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{},:\"\\\\a]*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[{,:a]*", inner), 0..6)
                    .prop_map(|pairs| json!(serde_json::Map::from_iter(pairs))),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_never_finds_less_than_a_parser_would_hold(document in documents()) {
            let members = |value: &Value| value.as_array().map(Vec::len).or(value.as_object().map(|map| map.len())).unwrap_or(0);
            let below = match &document {
                Value::Array(items) => items.iter().map(members).max(),
                Value::Object(map) => map.values().map(members).max(),
                _ => None,
            };
            for text in [document.to_string(), format!("{document:#}")] {
                let shape = Shape::of(text.as_bytes());
                prop_assert!(shape.values >= values(&document) && shape.values <= 3 * values(&document));
                prop_assert!(shape.members[0] >= members(&document) && shape.members[0] <= members(&document) + 1);
                prop_assert!(shape.members[1] >= below.unwrap_or(0));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            prop_assert_eq!(Shape::of(text.as_bytes()).bytes, text.len());
        }
    }
}
