//! What an expression can do: follow a path, loop, and a handful of filters. None of them can fail on a value; all of
//! them together can only do so much work for one payload.

use std::{collections::BTreeMap, fmt::Write};

use upon::{Engine, Value, fmt};
use webhook_model::Dialect;

use super::{
    dialect,
    work::{Spent, Work},
};

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

/// What a template may name: the event's fields, `records`, `record`, the first of them, and whether it is a test.
pub(super) const NAMES: &[&str] =
    &["event_id", "model", "event_type", "record_ids", "user_id", "timestamp", "records", "record", "test"];

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
    let is_test = event.get("test").and_then(serde_json::Value::as_bool).unwrap_or(false);
    map.insert("test".to_owned(), Value::Bool(is_test));
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
    add_endings(&mut engine, dialect, work);
    add_paths(&mut engine, work);
    add_texts(&mut engine, dialect, work);
    add_choices(&mut engine, work);
    add_comparisons(&mut engine, work);
    engine
}

/// What every emitted expression ends in.
fn add_endings(engine: &mut Engine<'_>, dialect: Dialect, work: &Work) {
    let mut add = |name: &'static str, show: fn(&Value, Dialect) -> String, dialect: Dialect| {
        let work = work.clone();
        engine.add_formatter(name, move |f: &mut fmt::Formatter<'_>, value: &Value| {
            work.look(&[value])?;
            Ok(f.write_str(&show(value, dialect))?)
        });
    };
    add("text", |value, dialect| dialect::escape(dialect, &text(value)), dialect);
    add("raw", |value, _| text(value), dialect);
    add("json", |value, dialect| json(value, dialect).to_string(), dialect);
    add(
        "json_text",
        |value, dialect| dialect::escape(dialect, &json(value, Dialect::Plain).to_string()),
        dialect,
    );
}

/// How expressions come to their values; the scan writes these calls. What `upon` does between two calls is bounded by
/// the template's length, so a loop costs its turns times the tags inside it.
fn add_paths(engine: &mut Engine<'_>, work: &Work) {
    let with = work.clone();
    engine.add_function("at", move |value: &Value, path: &str| with.copy(at(value, path)));
    let with = work.clone();
    engine.add_function("of", move |value: &Value, path: &str| {
        with.copied(value)?;
        with.copy(at(value, path))
    });
    let with = work.clone();
    engine.add_function("local", move |value: Value| with.copied(&value).map(|()| value));
    let with = work.clone();
    engine.add_function("item", move |value: &Value| with.copy(value));
    let with = work.clone();
    engine.add_function("each", move |value: &Value, tags: usize| match value {
        Value::List(items) => {
            with.charge(items.len().saturating_mul(tags))?;
            with.copy(value)
        }
        _ => Ok(Value::List(Vec::new())),
    });
    let with = work.clone();
    engine.add_function("entries", move |value: &Value, tags: usize| match value {
        Value::Map(map) => {
            with.charge(map.len().saturating_mul(tags))?;
            with.copy(value)
        }
        _ => Ok(Value::Map(BTreeMap::new())),
    });
}

/// Filters from text to text.
fn add_texts(engine: &mut Engine<'_>, dialect: Dialect, work: &Work) {
    let mut add = |name: &'static str, make: fn(String) -> String| {
        let work = work.clone();
        engine.add_function(name, move |value: &Value| work.look(&[value]).map(|()| make(text(value))));
    };
    add("upper", |text| text.to_uppercase());
    add("lower", |text| text.to_lowercase());
    add("trim", |text| text.trim().to_owned());
    add("date", |text| text.chars().take(10).collect());
    for (name, dialect) in [("truncate", dialect), ("cut", Dialect::Plain)] {
        let with = work.clone();
        engine.add_function(name, move |value: &Value, most: &Value| {
            with.look(&[value, most, value, value])?;
            Ok::<_, Spent>(truncate(&text(value), most, dialect))
        });
    }
    let with = work.clone();
    engine.add_function("round", move |value: &Value, digits: &Value| {
        with.look(&[value, digits])?;
        Ok::<_, Spent>(match (number(value), number(digits)) {
            (Some(value), Some(digits)) => format!("{value:.0$}", digits.clamp(0.0, 15.0) as usize),
            _ => text(value),
        })
    });
    let with = work.clone();
    engine.add_function("join", move |value: &Value, between: &Value| {
        with.look(&[value, between])?;
        let Value::List(items) = value else { return Ok(text(value)) };
        let between = text(between);
        with.text(items.len().saturating_mul(between.len()))?;
        Ok::<_, Spent>(items.iter().map(text).collect::<Vec<_>>().join(&between))
    });
    let with = work.clone();
    engine.add_function("replace", move |value: &Value, from: &Value, to: Value| {
        with.look(&[value, from, &to])?;
        let (text, from, to) = (text(value), text(from), text(&to));
        if from.is_empty() {
            return Ok(text);
        }
        with.text(text.matches(&from).count().saturating_mul(to.len()))?;
        Ok::<_, Spent>(text.replace(&from, &to))
    });
}

/// Filters that choose a value, or measure it.
fn add_choices(engine: &mut Engine<'_>, work: &Work) {
    let with = work.clone();
    engine.add_function("length", move |value: &Value| with.look(&[value]).map(|()| length(value)));
    let with = work.clone();
    engine.add_function("first", move |value: &Value| with.copy(end(value, <[Value]>::first)));
    let with = work.clone();
    engine.add_function("last", move |value: &Value| with.copy(end(value, <[Value]>::last)));
    let with = work.clone();
    engine.add_function("default", move |value: &Value, other: &Value| {
        let is_empty = match value {
            Value::None => true,
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        with.copy(if is_empty { other } else { value })
    });
}

fn add_comparisons(engine: &mut Engine<'_>, work: &Work) {
    let mut add = |name: &'static str, holds: fn(&Value, &Value) -> bool| {
        let work = work.clone();
        engine.add_function(name, move |a: &Value, b: &Value| work.look(&[a, b]).map(|()| holds(a, b)));
    };
    add("eq", same);
    add("ne", |a, b| !same(a, b));
    add("gt", |a, b| compare(a, b) == Some(std::cmp::Ordering::Greater));
    add("lt", |a, b| compare(a, b) == Some(std::cmp::Ordering::Less));
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

fn end(value: &Value, which: impl Fn(&[Value]) -> Option<&Value>) -> &Value {
    match value {
        Value::List(items) => which(items).unwrap_or(NOTHING),
        other => other,
    }
}

/// The longest beginning that has at most so many characters once it is escaped, with a mark where something is missing.
fn truncate(text: &str, most: &Value, dialect: Dialect) -> String {
    let most = number(most).map_or(0, |most| most.max(0.0) as usize);
    let fits = |text: &str| dialect::escape(dialect, text).chars().count() <= most;
    if most >= text.len().saturating_mul(dialect::LONGEST) || fits(text) {
        return text.to_owned();
    }
    let cut = |chars: usize| text.chars().take(chars).chain(['…']).collect::<String>();
    let (mut least, mut beyond) = (0, most.max(1));
    // More of a text is never shorter.
    while beyond - least > 1 {
        let middle = least.midpoint(beyond);
        if fits(&cut(middle)) { least = middle } else { beyond = middle }
    }
    if most == 0 { String::new() } else { cut(least) }
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
