//! The durable delivery log on redb.
//!
//! What the rest of the sidecar may rely on:
//! * [`Log::accept`] answers when the events are on disk; nothing is due before that.
//! * A delivery is pending exactly as long as its `due` row exists. There is no "in flight" on disk.
//! * After trouble with the store every call answers [`Unavailable`], and the log heals itself when the cause is gone.
//!
//! One writer thread owns the write transaction and groups whatever waits into one commit ([`writer`]), which is one
//! append to a [`journal`]; the store is synced when that is full, and [`opening`] brings both together.
//! Its jobs are the verbs: [`accept`], [`settle`], [`redeliver`], [`subscriptions`], [`meta`], [`purge`].
//! Readers look at snapshots ([`query`], [`due`], [`backlog`]) and [`check`] verifies the invariants:
//!
//! * I1 a `due` row with a time of its own has exactly one `retry_at` row, and no other row has one.
//! * I2 attempts are numbered 1..n without gaps; the newest is pending exactly if the delivery is due.
//! * I3 a `closed` row exists exactly if the delivery is not due.
//! * I4 every row belongs to an event, and every event has its id in `ids`; ids without an event are in `gone`.
//! * I5 each attempt is in `changes` at most once, at its newest state, and in `outcomes` exactly if it is final.

mod accept;
mod backlog;
mod calendar;
mod check;
mod copy;
mod due;
mod histogram;
mod journal;
mod log;
pub mod medium;
mod meta;
mod noted;
mod opening;
mod overlay;
mod purge;
mod query;
mod record;
mod recover;
mod redeliver;
mod seal;
mod settle;
mod subscriptions;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use accept::{Acceptance, Accepted, Rejection, Submission};
pub use backlog::{Backlog, Waiting};
pub use copy::{CopyError, restore};
pub use due::{DueRow, LaneHead, Snapshot};
pub use histogram::{Distribution, Histogram};
pub use log::{Health, Log, Pending, Unavailable};
pub use meta::{Attached, Attachment, Database, Fenced, Hold, WakeSecret, Witness};
pub use purge::Keep;
pub use query::{AttemptsPage, ChangesPage, CursorFault, ListPage, ListQuery};
pub use recover::{Left, Look, Plan, plan, recover};
/// What the store itself says when it fails.
pub use redb::Error as StoreError;
pub use redeliver::{Again, Redelivered, Redelivery, TestEvent};
pub use seal::SealingKey;
pub use settle::Settlement;
pub use subscriptions::SubscriptionSet;
pub use tables::Due;
