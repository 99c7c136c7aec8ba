//! The loop of mcp-webhookd: take what is due, render, sign, guard, send, judge, settle.
//!
//! [`dispatcher`] is the loop, [`lane`] what it knows of one subscription, [`attempts`] what is under way, [`prepared`]
//! one attempt's request, [`render`] its payload, [`held`] how much memory all take, [`quiet`] when nothing is sent,
//! [`lines`] the log's. [`template`] and [`sign`] are pure; [`transport`] is the only part that touches the network.

mod attempts;
mod cancel;
pub mod clock;
mod dispatcher;
mod held;
mod kept;
mod lane;
mod lines;
#[cfg(test)]
mod loop_tests;
pub mod observe;
mod prepared;
mod quiet;
mod render;
pub mod sign;
pub mod template;
pub mod transport;

pub use cancel::{Cancelled, Canceller};
pub use clock::{Clock, SystemClock};
pub use dispatcher::{DRAIN, Dispatcher, Options};
pub use held::{Budget, Held};
pub use lines::{Line, line};
pub use observe::Counters;
pub use quiet::{Quiet, Silence};
