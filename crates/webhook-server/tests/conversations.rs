//! The contract's conversations in `tests/fixtures/rpc`, played against the real binary. Python plays the same ones.

mod common;

use std::{
    fs,
    time::{Duration, Instant},
};

use common::{Operator, root};
use serde_json::{Value, json};
use webhook_dispatch::{Clock, SystemClock};
use webhook_model::Millis;

/// Why `found` is not as expected; none when it is.
fn difference(expected: &Value, found: &Value, path: &str) -> Option<String> {
    let is = |kind: &str, holds: bool| (!holds).then(|| format!("{path}: {found} is not {kind}"));
    match (expected, found) {
        (Value::String(word), _) if word == "<any>" => None,
        (Value::String(word), _) if word == "<text>" => is("a text", found.is_string()),
        (Value::String(word), _) if word == "<number>" => is("a number", found.is_number()),
        (Value::String(word), _) if word == "<uuid>" => {
            is("a uuid", found.as_str().is_some_and(|text| uuid::Uuid::try_parse(text).is_ok()))
        }
        (Value::String(word), _) if word == "<time>" => {
            is("a time", found.as_str().and_then(Millis::parse_rfc3339).is_some())
        }
        (Value::Object(wanted), Value::Object(given)) => {
            let optional = |name: &&String| wanted.get(*name) != Some(&json!("<any>"));
            let missing = wanted.keys().filter(optional).find(|name| !given.contains_key(*name));
            let unknown = given.keys().find(|name| !wanted.contains_key(*name));
            match (missing, unknown) {
                (Some(name), _) => Some(format!("{path}: {name} is missing")),
                (_, Some(name)) => Some(format!("{path}: {name} is new")),
                _ => given
                    .iter()
                    .find_map(|(name, value)| difference(&wanted[name], value, &format!("{path}/{name}"))),
            }
        }
        (Value::Array(wanted), Value::Array(given)) if wanted.len() == given.len() => {
            let mut pairs = wanted.iter().zip(given).enumerate();
            pairs.find_map(|(index, (wanted, given))| difference(wanted, given, &format!("{path}/{index}")))
        }
        _ => is(&expected.to_string(), expected == found),
    }
}

/// Why `found` is not what a schema of `rpc.discover` describes; none when it is.
fn violation(schema: &Value, found: &Value, document: &Value, path: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).expect("the reference leads somewhere");
        return violation(target, found, document, path);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().any(|choice| violation(choice, found, document, path).is_none());
        return (!fits).then(|| format!("{path}: {found} fits none of {choices:?}"));
    }
    if let Some(words) = schema["enum"].as_array() {
        return (!words.contains(found)).then(|| format!("{path}: {found} is none of {words:?}"));
    }
    let fits = match schema["type"].as_str() {
        None => true,
        Some("null") => found.is_null(),
        Some("string") => found.as_str().is_some_and(|text| match schema["format"].as_str() {
            Some("uuid") => uuid::Uuid::try_parse(text).is_ok(),
            Some("date-time") => Millis::parse_rfc3339(text).is_some(),
            _ => true,
        }),
        Some("integer") => found.is_i64() || found.is_u64(),
        Some("boolean") => found.is_boolean(),
        Some("array") => {
            let Some(items) = found.as_array() else { return Some(format!("{path}: {found} is no list")) };
            let each = items.iter().enumerate();
            return each
                .filter_map(|(i, item)| violation(&schema["items"], item, document, &format!("{path}/{i}")))
                .next();
        }
        Some(_) => {
            let Some(given) = found.as_object() else { return Some(format!("{path}: {found} is no object")) };
            let described = schema["properties"].as_object()?;
            let mut needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if let Some(missing) = needed.find(|name| !given.contains_key(*name)) {
                return Some(format!("{path}: {missing} is missing"));
            }
            return given.iter().find_map(|(name, value)| match described.get(name) {
                None => Some(format!("{path}: {name} is not described")),
                Some(schema) => violation(schema, value, document, &format!("{path}/{name}")),
            });
        }
    };
    (!fits).then(|| format!("{path}: {found} is not {schema}"))
}

/// The described schema of a method's result.
fn described<'d>(document: &'d Value, method: &str) -> &'d Value {
    let methods = document["methods"].as_array().unwrap();
    let found = methods.iter().find(|described| described["name"] == method);
    &found.unwrap_or_else(|| panic!("{method} is not described"))["result"]["schema"]
}

fn with_times(value: &Value, start: &str) -> Value {
    let now = SystemClock.now().to_string();
    let text = value
        .to_string()
        .replace("\"$now\"", &format!("{now:?}"))
        .replace("\"$start\"", &format!("{start:?}"));
    serde_json::from_str(&text).unwrap()
}

fn play(operator: &Operator, step: &Value, start: &str) -> Option<String> {
    let database = step["database"]
        .as_array()
        .map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    let call = || {
        let method = step["method"].as_str().unwrap();
        operator
            .call_of(
                &operator.token("token"),
                database.as_deref(),
                method,
                with_times(&step["params"], start),
            )
            .1
    };
    if !step["until"].is_null() {
        let end = Instant::now() + Duration::from_secs(20);
        while difference(&step["until"], &call(), "").is_some() {
            if Instant::now() > end {
                return difference(&step["until"], &call(), "result");
            }
        }
        return None;
    }
    let (name, expected) = match step.get("error") {
        Some(error) => ("error", error),
        None => ("result", &step["result"]),
    };
    let found = call();
    let is_result = step.get("error").is_none();
    difference(expected, &found, name).or_else(|| {
        let document = operator.call(&operator.token("token"), "rpc.discover", json!({})).1;
        let method = step["method"].as_str().unwrap();
        is_result.then(|| violation(described(&document, method), &found, &document, "described")).flatten()
    })
}

#[test]
fn every_conversation_goes_as_written() {
    let mut played = 0;
    for entry in fs::read_dir(root().join("tests/fixtures/rpc")).unwrap() {
        let path = entry.unwrap().path();
        let fixture: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let operator = Operator::with_sidecar();
        let start = SystemClock.now().to_string();
        for (index, step) in fixture["steps"].as_array().unwrap().iter().enumerate() {
            let wrong = play(&operator, step, &start);
            assert_eq!(wrong, None, "{} step {index}: {}", path.display(), step["method"]);
            played += 1;
        }
    }
    assert!(played > 40, "{played}");
}

#[test]
fn the_comparison_can_say_no() {
    let differs = |expected: Value, found: Value| difference(&expected, &found, "").is_some();
    assert!(differs(json!({"a": 1}), json!({"a": 1, "b": 2})) && differs(json!({"a": 1}), json!({})));
    assert!(
        differs(json!([1]), json!([1, 2]))
            && differs(json!("<uuid>"), json!("x"))
            && differs(json!(1), json!("1"))
    );
    assert!(!differs(json!({"a": "<any>", "b": "<number>"}), json!({"b": 2})));
    let document = json!({"n": {"enum": ["x"]}});
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/n"}}, "required": ["a"]});
    let violates = |found: Value| violation(&schema, &found, &document, "").is_some();
    assert!(violates(json!({})) && violates(json!({"a": "y"})) && violates(json!({"a": "x", "b": 1})));
    assert!(!violates(json!({"a": "x"})));
}
