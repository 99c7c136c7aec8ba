//! What an expression can do: follow a path, loop, and a handful of filters. None of them can fail on a value; all of
//! them together can only do so much work for one payload.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use upon::{Engine, Value, fmt};
use webhook_model::Dialect;

use super::dialect;

/// Filters and functions that a template may call, with the number of arguments besides the first.
pub(super) const CALLABLE: &[(&str, std::ops::RangeInclusive<usize>)] = &[
    ("upper", 0..=0),
    ("lower", 0..=0),
    ("trim", 0..=0),
    ("length", 0..=0),
    ("first", 0..=0),
    ("last", 0..=0),
    ("date", 0..=0),
    ("default", 1..=1),
    ("join", 1..=1),
    ("truncate", 1..=1),
    ("round", 1..=1),
    ("replace", 2..=2),
    ("eq", 1..=1),
    ("ne", 1..=1),
    ("gt", 1..=1),
    ("lt", 1..=1),
];

/// What a template may name: the event's fields, `records`, and `record`, the first of them.
pub(super) const NAMES: &[&str] =
    &["event_id", "model", "event_type", "record_ids", "user_id", "timestamp", "records", "record"];

/// How much a template may do for one payload: values looped over or copied.
const UNITS: usize = 1_000_000;

/// What is left of it.
#[derive(Debug, Clone)]
pub(super) struct Work(Arc<AtomicUsize>);

impl Work {
    pub fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(UNITS)))
    }

    fn charge(&self, units: usize) -> Result<(), String> {
        let left = self.0.load(Relaxed);
        match left.checked_sub(units.max(1)) {
            Some(rest) => {
                self.0.store(rest, Relaxed);
                Ok(())
            }
            None => Err("too much work".to_owned()),
        }
    }

    /// A copy, which costs its size.
    fn copy(&self, value: &Value) -> Result<Value, String> {
        self.charge(weight(value))?;
        Ok(value.clone())
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(map) => 1 + map.values().map(weight).sum::<usize>(),
        _ => 1,
    }
}

/// The names of an event, from its default body.
pub(super) fn context(event: &serde_json::Value) -> Value {
    let mut map: BTreeMap<String, Value> = NAMES
        .iter()
        .map(|name| ((*name).to_owned(), event.get(*name).map_or(Value::None, convert)))
        .collect();
    if !matches!(map.get("records"), Some(Value::List(_))) {
        map.insert("records".to_owned(), Value::List(Vec::new()));
    }
    let record = match map.get("records") {
        Some(Value::List(records)) => records.first().cloned(),
        _ => None,
    };
    map.insert("record".to_owned(), record.unwrap_or_else(|| Value::Map(BTreeMap::new())));
    Value::Map(map)
}

fn convert(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::None,
        Json::Bool(truth) => Value::Bool(*truth),
        // Beyond i64, as text: upon has no such number.
        Json::Number(number) => match (number.as_i64(), number.as_f64().filter(|_| number.is_f64())) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(float)) => Value::Float(float),
            (None, None) => Value::String(number.to_string()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(convert).collect()),
        Json::Object(map) => {
            Value::Map(map.iter().map(|(key, value)| (key.clone(), convert(value))).collect())
        }
    }
}

/// An engine for one payload: its functions share the work that is left.
pub(super) fn engine(dialect: Dialect, work: &Work) -> Engine<'static> {
    let mut engine = Engine::new();
    engine.set_max_include_depth(0);
    match dialect {
        Dialect::Slack => {
            engine.set_default_formatter(&|f: &mut fmt::Formatter<'_>, v: &Value| put(f, v, Dialect::Slack))
        }
        Dialect::Discord => {
            engine.set_default_formatter(&|f: &mut fmt::Formatter<'_>, v: &Value| put(f, v, Dialect::Discord))
        }
        Dialect::Teams => {
            engine.set_default_formatter(&|f: &mut fmt::Formatter<'_>, v: &Value| put(f, v, Dialect::Teams))
        }
        Dialect::Plain | Dialect::Auto => {
            engine.set_default_formatter(&|f: &mut fmt::Formatter<'_>, v: &Value| put(f, v, Dialect::Plain))
        }
    }
    engine.add_formatter("raw", |f: &mut fmt::Formatter<'_>, v: &Value| put(f, v, Dialect::Plain));
    engine.add_formatter("json", move |f: &mut fmt::Formatter<'_>, v: &Value| {
        Ok(f.write_str(&json(v, dialect).to_string())?)
    });
    add_paths(&mut engine, work);
    add_filters(&mut engine);
    engine
}

fn put(f: &mut fmt::Formatter<'_>, value: &Value, dialect: Dialect) -> fmt::Result {
    Ok(f.write_str(&dialect::escape(dialect, &text(value)))?)
}

fn add_paths(engine: &mut Engine<'_>, work: &Work) {
    let charge = work.clone();
    engine.add_function("at", move |value: &Value, path: &str| charge.copy(at(value, path)));
    let charge = work.clone();
    engine.add_function("each", move |value: &Value| match value {
        Value::List(_) => charge.copy(value),
        _ => Ok(Value::List(Vec::new())),
    });
    let charge = work.clone();
    engine.add_function("entries", move |value: &Value| match value {
        Value::Map(_) => charge.copy(value),
        _ => Ok(Value::Map(BTreeMap::new())),
    });
}

fn add_filters(engine: &mut Engine<'_>) {
    engine.add_function("upper", |value: &Value| text(value).to_uppercase());
    engine.add_function("lower", |value: &Value| text(value).to_lowercase());
    engine.add_function("trim", |value: &Value| text(value).trim().to_owned());
    engine.add_function("length", |value: &Value| length(value));
    engine.add_function("first", |value: &Value| end(value, <[Value]>::first));
    engine.add_function("last", |value: &Value| end(value, <[Value]>::last));
    engine.add_function("date", |value: &Value| text(value).chars().take(10).collect::<String>());
    engine.add_function("default", |value: &Value, other: &Value| {
        if matches!(value, Value::None) || text(value).is_empty() { other.clone() } else { value.clone() }
    });
    engine.add_function("join", |value: &Value, between: &Value| match value {
        Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(&text(between)),
        other => text(other),
    });
    engine.add_function("truncate", |value: &Value, most: &Value| truncate(&text(value), most));
    engine.add_function("round", |value: &Value, digits: &Value| match (number(value), number(digits)) {
        (Some(value), Some(digits)) => format!("{value:.0$}", digits.clamp(0.0, 15.0) as usize),
        _ => text(value),
    });
    engine.add_function("replace", |value: &Value, from: &Value, to: String| match text(from) {
        from if from.is_empty() => text(value),
        from => text(value).replace(&from, &to),
    });
    engine.add_function("eq", |a: &Value, b: &Value| same(a, b));
    engine.add_function("ne", |a: &Value, b: &Value| !same(a, b));
    engine.add_function("gt", |a: &Value, b: &Value| compare(a, b) == Some(std::cmp::Ordering::Greater));
    engine.add_function("lt", |a: &Value, b: &Value| compare(a, b) == Some(std::cmp::Ordering::Less));
}

const NOTHING: &Value = &Value::None;

/// Follows a dotted path. One that leads nowhere ends at nothing.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, step| match value {
        Value::Map(map) => map.get(step).unwrap_or(NOTHING),
        Value::List(items) => {
            step.parse::<usize>().ok().and_then(|index| items.get(index)).unwrap_or(NOTHING)
        }
        _ => NOTHING,
    })
}

/// A value as people read it. Lists and objects as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => float.to_string(),
        Value::String(text) => text.clone(),
        composed => json(composed, Dialect::Plain).to_string(),
    }
}

/// A value as JSON; its strings escaped for the receiver, for they end up where strings do.
fn json(value: &Value, dialect: Dialect) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::None => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Integer(integer) => (*integer).into(),
        Value::Float(float) => serde_json::Number::from_f64(*float).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(dialect::escape(dialect, text)),
        Value::List(items) => Json::Array(items.iter().map(|item| json(item, dialect)).collect()),
        Value::Map(map) => {
            Json::Object(map.iter().map(|(key, value)| (key.clone(), json(value, dialect))).collect())
        }
    }
}

fn length(value: &Value) -> i64 {
    let length = match value {
        Value::List(items) => items.len(),
        Value::Map(map) => map.len(),
        other => text(other).chars().count(),
    };
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn end(value: &Value, which: impl Fn(&[Value]) -> Option<&Value>) -> Value {
    match value {
        Value::List(items) => which(items).cloned().unwrap_or(Value::None),
        other => other.clone(),
    }
}

fn truncate(text: &str, most: &Value) -> String {
    let most = number(most).map_or(0, |most| most.max(0.0) as usize);
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(integer) => Some(*integer as f64),
        Value::Float(float) => Some(*float),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a == b
        || matches!((a, b), (Value::Integer(_), Value::Float(_)) | (Value::Float(_), Value::Integer(_)))
            && number(a) == number(b)
}

/// Numbers by size, texts (dates too) by their letters.
fn compare(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => number(a)?.partial_cmp(&number(b)?),
    }
}
