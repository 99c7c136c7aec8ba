//! Fault tests: whatever breaks, every acknowledged event is delivered or stands in the log with its reason.
//!
//! [`history`] is what happened, [`judge`] decides whether the promise held.

pub mod history;
pub mod judge;
