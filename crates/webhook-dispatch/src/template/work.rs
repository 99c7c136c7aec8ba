//! What a template may cost. `upon` has no budget of its own, so everything that an expression does is charged here,
//! before it is done: time and memory of one payload are bounded, whatever a template and a record hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use upon::Value;

/// Bytes of text that are read or made for one unit.
const TEXT: usize = 16;
/// What an object takes besides what it holds, in units: its map has room for eleven entries from the start.
const OBJECT: usize = 8;
/// A local value is copied by `upon` at each mention; so many values of it cost one unit.
const COPIED: usize = 4;

/// How much work one payload may be. A unit is about one call, or one value or 16 bytes copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A few milliseconds at most: nearly every template.
    Prompt,
    /// All that is allowed, about a tenth of a second. Not for a thread on which others wait.
    Full,
}

impl Effort {
    fn units(self) -> usize {
        match self {
            Self::Prompt => 20_000,
            Self::Full => 500_000,
        }
    }
}

/// What is left of it.
#[derive(Debug, Clone)]
pub(super) struct Work(Arc<AtomicUsize>);

/// The budget is spent.
pub(super) type Spent = String;

impl Work {
    pub fn new(effort: Effort) -> Self {
        Self(Arc::new(AtomicUsize::new(effort.units())))
    }

    /// Whether something did not fit.
    pub fn is_spent(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    pub fn charge(&self, units: usize) -> Result<(), Spent> {
        let rest = self.0.load(Relaxed).saturating_sub(units.max(1));
        self.0.store(rest, Relaxed);
        if rest == 0 { Err("too much work".to_owned()) } else { Ok(()) }
    }

    /// Text that is read or made.
    pub fn text(&self, bytes: usize) -> Result<(), Spent> {
        self.charge(1 + bytes / TEXT)
    }

    /// Values that are looked at, or written as text.
    pub fn look(&self, values: &[&Value]) -> Result<(), Spent> {
        self.charge(values.iter().map(|value| weight(value)).sum())
    }

    /// A value that `upon` has just copied.
    pub fn copied(&self, value: &Value) -> Result<(), Spent> {
        self.charge(1 + weight(value) / COPIED)
    }

    /// A copy.
    pub fn copy(&self, value: &Value) -> Result<Value, Spent> {
        self.look(&[value])?;
        Ok(value.clone())
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / TEXT,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(map) => {
            OBJECT + map.iter().map(|(key, value)| 1 + key.len() / TEXT + weight(value)).sum::<usize>()
        }
        _ => 1,
    }
}
