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
    difference(expected, &found, name)
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
}
