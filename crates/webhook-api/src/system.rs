//! `system.*` and `rpc.*`: who is talking to whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Given, Wire,
    field::{
        Count, DatabaseName, DatabaseUuid, Instance, LogId, NewestCursor, Object, WakeSecretText, WakeUrlText,
    },
};

use crate::method::methods;

methods! {
    /// Who is talking to whom.
    trait System {
        /// An Odoo database introduces itself.
        "system.attach": Open, WORDS, attach(Attach) -> Attached;
        /// Version, identity, backlog.
        "system.info": Open, WORDS, info(GetInfo) -> Info;
        /// This document.
        "rpc.discover": Open, WORDS, discover(Discover) -> Wire<Object>;
    }
}

/// `system.attach`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// Odoo's `database.uuid`.
    pub database: Wire<DatabaseUuid>,
    /// The database's name.
    pub database_name: Wire<DatabaseName>,
    /// Where to knock when the feed moves.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub wake_url: Given<Option<Wire<WakeUrlText>>>,
    /// What signs the knock.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub wake_secret: Given<Option<Wire<WakeSecretText>>>,
    /// Where the database lives.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub instance: Given<Wire<Instance>>,
    /// From another database, which is then fenced.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub take_over: Given<bool>,
    /// The highest `accepted_to` that the database has seen.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub seen: Given<Wire<Count>>,
    /// Up to where it has read the feed.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub cursor: Given<Wire<NewestCursor>>,
}

/// The log that the database is attached to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Attached {
    /// Its identity.
    pub log_id: Wire<LogId>,
    /// The sidecar's version.
    pub version: String,
    /// How many events it accepted so far.
    pub accepted_to: Wire<Count>,
}

/// `system.info`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetInfo {}

/// What the sidecar is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Info {
    /// Its version.
    pub version: String,
    /// The identity of its log.
    pub log_id: Wire<LogId>,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Deliveries that are pending.
    pub pending: u64,
    /// For how many days ids are remembered.
    pub retention_days: u64,
    /// What holds the log.
    pub store: String,
    /// What it takes beyond the first version of the interface.
    pub features: Vec<String>,
}

/// `rpc.discover`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discover {}
