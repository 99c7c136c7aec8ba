//! Fault tests: whatever breaks, every acknowledged event is delivered or stands in the log with its reason.
//!
//! [`history`] is what happened, [`judge`] decides whether the promise held. [`scenarios`] break things: the release
//! binary ([`daemon`], [`strace`]) under [`load`] against endpoints ([`receiver`]), wired up in [`world`];
//! and the log alone on disks as power cuts leave them ([`power`]).

pub mod daemon;
pub mod history;
pub mod judge;
pub mod load;
pub mod past;
pub mod power;
pub mod receiver;
pub mod report;
pub mod scenarios;
pub mod strace;
pub mod world;
