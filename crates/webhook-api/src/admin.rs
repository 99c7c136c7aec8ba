//! `admin.*`: for the sidecar's own commands. To the addon's token these methods do not exist.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webhook_model::Millis;

use crate::{
    Given, Wire,
    field::{FilePath, LogId},
};

use crate::method::methods;

methods! {
    /// For the sidecar's own commands.
    #[allow(rustdoc::broken_intra_doc_links)] // [network] is a section of the configuration
    trait Administration {
        /// How the sidecar is: backlog, counts, what is in the way.
        "admin.status": Admin, WORDS, status(GetStatus) -> Status;
        /// Reads tokens, [network], certificate and log level again.
        "admin.reload": Admin, WORDS, reload(Reload) -> Reloaded;
        /// Makes a new token for the addon beside those before; with finish, ends all but the newest instead.
        "admin.rotate_token": Admin, WORDS, rotate_token(RotateToken) -> Rotated;
        /// The whole check of the log.
        "admin.verify": Admin, WORDS, verify(Verify) -> Verified;
        /// A copy of the log in a new file.
        "admin.backup": Admin, WORDS, backup(Backup) -> BackedUp;
        /// Gives free pages back to the file system.
        "admin.compact": Admin, WORDS, compact(Compact) -> Compacted;
    }
}

/// `admin.status`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetStatus {}

/// How the sidecar is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// The identity of its log.
    pub log_id: Wire<LogId>,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// What is in the way, worst first.
    pub reasons: Vec<Reason>,
    /// Which database is attached.
    pub database: Option<Database>,
    /// Where it is knocked at.
    pub wake_url: Option<String>,
    /// When Odoo last pulled the feed.
    pub last_pull_at: Option<Wire<Millis>>,
    /// Changes of the feed that Odoo has not pulled.
    pub pull_lag: Option<u64>,
    /// The end of the feed.
    pub cursor: String,
    /// How many there are.
    pub subscriptions: usize,
    /// Pending deliveries by what they wait for.
    pub backlog: BTreeMap<String, Backlog>,
    /// Events submitted since the start, by what became of them.
    pub events: BTreeMap<String, u64>,
    /// Attempts since the start, by outcome.
    pub attempts: BTreeMap<String, u64>,
    /// Size of the log's file.
    pub store_bytes: Option<u64>,
    /// Commits since the start.
    pub commits: Commits,
}

/// Something that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reason {
    /// A word for programs.
    pub kind: String,
    /// What it is and what to do.
    pub message: String,
    /// Whether nothing is accepted or sent because of it.
    pub stops_work: bool,
}

/// An Odoo database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Database {
    /// Odoo's `database.uuid`.
    pub uuid: String,
    /// Its name.
    pub name: String,
}

/// Pending deliveries of one state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Backlog {
    /// How many.
    pub count: u64,
    /// Since when the oldest is pending.
    pub oldest: Option<Wire<Millis>>,
}

/// Commits of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Commits {
    /// How many.
    pub count: u64,
    /// How long one took on average, in milliseconds.
    pub mean_ms: Option<f64>,
}

/// `admin.reload`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {}

/// What was reloaded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Reloaded {
    /// For people.
    pub message: String,
}

/// `admin.rotate_token`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateToken {
    /// End all tokens but the newest.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub finish: Given<bool>,
}

/// Where the tokens are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Rotated {
    /// The path.
    pub file: String,
}

/// `admin.verify`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {}

/// What the check found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Verified {
    /// What is not as it must be.
    pub faults: Vec<String>,
    /// How many events there are.
    pub events: u64,
    /// How many attempts there are.
    pub attempts: u64,
}

/// `admin.backup`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// A new file of the sidecar's machine.
    pub file: Wire<FilePath>,
}

/// What was copied.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct BackedUp {
    /// Where to.
    pub file: String,
    /// How many rows.
    pub rows: u64,
}

/// `admin.compact`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compact {}

/// What was given back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
pub struct Compacted {
    /// Size of the log's file before.
    pub before_bytes: Option<u64>,
    /// And after.
    pub after_bytes: Option<u64>,
}
