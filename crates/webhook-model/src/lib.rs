//! The nouns of mcp-webhookd and the pure decisions about them.
//!
//! Nothing here reads a clock, does I/O or is async: time, jitter and configuration are arguments.
//! The wire shapes live in `webhook-api`, the disk shapes in `webhook-log`; both map by hand to these.
//!
//! Reading order: [`subscription`] (who wants what, and where to), [`event`] (one fact),
//! [`attempt`] (one try of a delivery and how it ended), [`decide`] (what follows from it),
//! [`pace`] (how fast the next ones may go).

pub mod address;
pub mod attempt;
pub mod decide;
pub mod endpoint_url;
pub mod event;
pub mod header;
pub mod id;
pub mod invalid;
pub mod json;
pub mod limits;
pub mod millis;
pub mod pace;
pub mod secret;
mod shape;
pub mod subscription;
pub mod success;

pub use attempt::{Attempt, AttemptError, AttemptStatus, Failure, Outcome, Trigger};
pub use endpoint_url::EndpointUrl;
pub use event::{Event, EventKind};
pub use header::CustomHeaders;
pub use id::{EventId, SubscriptionId};
pub use invalid::{Invalid, InvalidKind};
pub use millis::Millis;
pub use pace::Pace;
pub use secret::SigningSecret;
pub use shape::Shape;
pub use subscription::{Dialect, Endpoint, EventFilter, PreviousSecret, Subscription};
pub use success::Success;
