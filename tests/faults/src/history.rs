//! What happened, as everybody who was there tells it: the submitter, the endpoints, the sidecar's log, Odoo.

use serde::{Deserialize, Serialize};

/// Everything that [`History::judge`](crate::judge) needs. As JSON it is also the input of `faults check FILE`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// The subscriptions, as far as their settings matter.
    pub subscriptions: Vec<Subscription>,
    /// What the submitter sent and was told, in its order. The same event may stand here several times.
    pub submissions: Vec<Submission>,
    /// What endpoints received, in their order.
    pub hits: Vec<Hit>,
    /// The sidecar's attempts, in order of acceptance and number.
    pub rows: Vec<Row>,
    /// The feed as pulled, or Odoo's rows; absent where nobody mirrored.
    pub mirror: Option<Vec<Row>>,
    /// Crashes and stops, each of which may repeat what was under way.
    pub crashes: u32,
    /// The driver waited until nothing was pending any more; so nothing may be.
    pub is_drained: bool,
    /// The clock was moved, so times between rows say nothing.
    pub clock_moved: bool,
    /// Kept connections were cut: one attempt may have sent its request twice.
    pub cut: bool,
    /// The most that was used of something that has a cap.
    pub peaks: Vec<Peak>,
    /// How a healthy endpoint fared beside the fault, where that was measured.
    pub healthy: Option<Healthy>,
}

/// A subscription's settings that bear on the promise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// 1: strictly in order of acceptance.
    pub max_in_flight: u32,
    /// 1: at most one attempt, save after a crash.
    pub max_attempts: u32,
    /// It was changed while events were under way, so bodies may differ.
    pub changed: bool,
}

/// What the submitter was told about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is on disk.
    Accepted,
    /// It was on disk before.
    Duplicate,
    /// It was not taken.
    Rejected,
    /// No answer came, or `store_unavailable`: it may be there or not.
    Unknown,
}

/// One event in one call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Which event.
    pub event_id: String,
    /// Whose.
    pub subscription_id: String,
    /// The answer.
    pub answer: Answer,
    /// SHA-256 of the body that an endpoint must get, in hex; absent where a template makes it.
    #[serde(default)]
    pub body: Option<String>,
}

/// One whole request at an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hit {
    /// The header `webhook-id`.
    pub event_id: String,
    /// Whose endpoint it was.
    pub subscription_id: String,
    /// SHA-256 of the body, in hex.
    pub body: String,
    /// Both signatures hold.
    pub signed: bool,
    /// The status that was answered; none: the endpoint hung or hung up.
    pub answer: Option<u16>,
    /// How many crashes there had been.
    pub epoch: u32,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub at: u64,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waiting or under way.
    Pending,
    /// 2xx.
    Success,
    /// Everything else.
    Failed,
}

/// One attempt in the sidecar's log, in the feed, or in Odoo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Which event.
    pub event_id: String,
    /// Whose.
    pub subscription_id: String,
    /// From 1.
    pub attempt: u32,
    /// `event`, `retry`, `manual`, `test`.
    pub trigger: String,
    /// Where it stands.
    pub status: Status,
    /// What the endpoint answered.
    pub response_code: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// SHA-256 of what was posted, in hex; none where nothing was.
    #[serde(default)]
    pub payload: Option<String>,
    /// When its outcome was known, milliseconds since the Unix epoch.
    #[serde(default)]
    pub finished: Option<u64>,
}

/// The most that was used of something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peak {
    /// Of what, with its unit.
    pub what: String,
    /// The most that was seen.
    pub seen: u64,
    /// The most that is allowed.
    pub cap: u64,
}

/// How long deliveries to a healthy endpoint took, from acknowledgement to hit, 99th percentile in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthy {
    /// Without the fault.
    pub normal_ms: u64,
    /// With it.
    pub beside_ms: u64,
    /// Below this nothing is held against it: the noise of the machine.
    pub noise_ms: u64,
}
