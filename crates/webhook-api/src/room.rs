//! How large the parameters of a call may be, by method: looked at before anything is read, so that no call costs more
//! than its method can need.

use std::ops::AddAssign;

use serde::Deserialize;
use webhook_model::{Invalid, InvalidKind, Shape, limits};

use crate::{Error, read};

/// What the parameters of a method may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    bytes: usize,
    values: usize,
    /// The list among the parameters, and how many items it may have.
    list: Option<(&'static str, usize)>,
    /// The items of that list are read one by one, each of them refused for itself.
    each_alone: bool,
}

/// Ids, words and numbers.
pub const WORDS: Room = Room { bytes: 64 << 10, values: 1000, list: None, each_alone: false };
/// A list of ids.
pub const IDS: Room = Room {
    bytes: 128 << 10,
    values: 4000,
    list: Some(("event_ids", limits::EVENTS_PER_CALL)),
    each_alone: false,
};
/// A subscription, whose template has at most 64 KiB when it is written without white space and escapes.
pub const SUBSCRIPTION: Room = Room { bytes: 1 << 20, values: 100_000, list: None, each_alone: false };
/// A template and an event.
pub const SAMPLE: Room = Room { bytes: 2 << 20, values: 300_000, list: None, each_alone: false };
/// Events, each of which has a limit of its own and is read alone.
pub const EVENTS: Room = Room {
    bytes: limits::REQUEST_BYTES,
    values: usize::MAX,
    list: Some(("events", limits::EVENTS_PER_CALL)),
    each_alone: true,
};
/// Subscriptions, each of which has the room of one.
pub const SET: Room = Room {
    bytes: limits::REQUEST_BYTES,
    values: usize::MAX,
    list: Some(("subscriptions", 5000)),
    each_alone: true,
};
/// Values of the payload templates of all subscriptions of a call together.
const SET_VALUES: usize = 100_000;
/// Values and keys that a subscription has without its template.
const OWN_VALUES: usize = 64;

impl Room {
    /// Refuses what is larger.
    ///
    /// # Errors
    /// It is; says what is, and how much would fit.
    pub fn hold(&self, text: &str, what: &str) -> Result<Shape, Invalid> {
        let too_much = |field: &str, found: usize, unit: &str, most: usize| {
            let message = format!("has {found} {unit}, at most {most} are taken");
            Err(Invalid::new(InvalidKind::LimitExceeded, field, message))
        };
        if text.len() > self.bytes {
            return too_much(what, text.len(), "bytes", self.bytes);
        }
        let shape = Shape::of(text.as_bytes());
        match self.list {
            Some((list, most)) if shape.members[1] > most => too_much(list, shape.members[1], "items", most),
            _ if shape.values > self.values => too_much(what, shape.values, "values", self.values),
            _ => Ok(shape),
        }
    }

    /// Reads parameters that fit: an object, given by name.
    ///
    /// # Errors
    /// They are too large, no such object, or not of that type.
    pub fn read<'de, T: Deserialize<'de>>(&self, text: &'de str) -> Result<T, Error> {
        // A list of parameters would be read as an object's fields in their order.
        if !text.trim_start().starts_with('{') {
            return Err(Invalid::params("params", "expected an object: parameters are given by name").into());
        }
        self.hold(text, "params")?;
        if self.each_alone {
            return serde_json::from_str(text).map_err(|error| Error::malformed(&error));
        }
        read::from_text(text, "")
    }
}

/// What the subscriptions of one call have together.
#[derive(Debug, Default)]
pub struct Together(usize);

impl Together {
    /// Takes one more in, or refuses it alone.
    ///
    /// # Errors
    /// It is too large, or they are together.
    pub fn hold(&mut self, text: &str) -> Result<(), Invalid> {
        let values = SUBSCRIPTION.hold(text, "subscription")?.values.saturating_sub(OWN_VALUES);
        if self.0 + values > SET_VALUES {
            let message = format!(
                "the templates of the set have more than {SET_VALUES} values in all; make them smaller"
            );
            return Err(Invalid::new(InvalidKind::LimitExceeded, "payload_template", message));
        }
        self.0.add_assign(values);
        Ok(())
    }
}
