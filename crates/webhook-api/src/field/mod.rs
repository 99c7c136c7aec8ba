//! What the values of parameters and results are made of.

mod given;
mod json;
mod list;
mod nouns;
mod text;
mod wire;

pub use given::Given;
pub(crate) use given::MAY_BE_MISSING;
pub use json::Json;
pub use list::{EventIds, Headers, Object, RecordIds, Records};
pub use nouns::{
    Count, ListPlace, LogId, NextAttempt, NextSubscription, SubmissionStatus, Timestamp, UserId, Whole,
};
pub(crate) use nouns::{one_of, words};
pub use text::{
    CancelReason, Condition, DatabaseName, DatabaseUuid, EventsCursor, FeedCursor, FilePath, Instance,
    ModelName, Name, NewestCursor, SecretText, UrlText, WakeSecretText, WakeUrlText,
};
pub use wire::{OnWire, Wire};
pub(crate) use wire::{WHOLE, hand_over};
