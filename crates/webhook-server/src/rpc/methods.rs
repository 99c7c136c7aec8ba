//! The table of methods: who may call each, what it takes and what it answers, in the notation of [`schema`].
//!
//! It is the one place where these are written. `rpc.discover` is made from it, names are registered from it, and it is
//! held to at both doors wherever debug assertions are on, that is in every test: [`super::fields::Fields`] gives out no
//! field that is not written here, and no answer leaves that is not as written here.
//!
//! [`schema`]: super::schema

use super::{
    room::{self, Room},
    schema::{CHANGED_SUBSCRIPTION, NEW_SUBSCRIPTION},
};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a token.
    Open,
    /// Those that speak for the attached database, and the administration.
    Fenced,
    /// The administration alone; to others the method does not exist.
    Admin,
}

use Access::{Admin, Fenced, Open};

/// A method, as it is offered.
#[derive(Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// How large its parameters may be.
    pub room: Room,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The object that it takes.
    pub params: &'static str,
    /// What it answers.
    pub result: &'static str,
}

const fn method(
    name: &'static str,
    access: Access,
    room: Room,
    summary: &'static str,
    params: &'static str,
    result: &'static str,
) -> Method {
    Method { name, access, room, summary, params, result }
}

/// Every method.
pub const METHODS: &[Method] = &[
    method(
        "subscription.create",
        Fenced,
        room::SUBSCRIPTION,
        "Stores a subscription. An existing id: equal answers the stored one, else conflict.",
        NEW_SUBSCRIPTION,
        "Subscription",
    ),
    method("subscription.get", Open, room::WORDS, "One subscription.", "{id: uuid}", "Subscription"),
    method(
        "subscription.list",
        Open,
        room::WORDS,
        "Subscriptions by id.",
        "{after?: uuid|null, limit?: 1..}",
        "{subscriptions: [Subscription], next: uuid|null}",
    ),
    method(
        "subscription.update",
        Fenced,
        room::SUBSCRIPTION,
        "Replaces the given fields, each as a whole.",
        CHANGED_SUBSCRIPTION,
        "Subscription",
    ),
    method(
        "subscription.delete",
        Fenced,
        room::WORDS,
        "Deletes a subscription; its pending deliveries fail as inactive.",
        "{id: uuid}",
        "{deleted: boolean}",
    ),
    method(
        "subscription.sync",
        Fenced,
        room::SET,
        "Makes the given set the complete set.",
        "{subscriptions: [NewSubscription]}",
        "{created: 0.., updated: 0.., deleted: 0.., errors: [Refused]}",
    ),
    method(
        "subscription.check",
        Open,
        room::SUBSCRIPTION,
        "Whether create or update would take it; stores nothing.",
        NEW_SUBSCRIPTION,
        "{}",
    ),
    method(
        "event.submit",
        Fenced,
        room::EVENTS,
        "Takes 1 to 1000 events; answers when they are on disk.",
        "{events: [Event]}",
        "{results: [Submitted], accepted_to: string}",
    ),
    method(
        "event.read",
        Open,
        room::WORDS,
        "The events of a subscription without a URL, in order of acceptance, until retention.",
        "{subscription_id: uuid, after?: string, limit?: 1..}",
        "{events: [object], cursor: string, more: boolean}",
    ),
    method(
        "delivery.get",
        Open,
        room::WORDS,
        "The attempts of one delivery, ascending.",
        "{event_id: uuid, after?: 0..|null, limit?: 1..}",
        "{attempts: [Attempt], next: 1..|null}",
    ),
    method(
        "delivery.list",
        Open,
        room::WORDS,
        "Attempts, newest event first.",
        "{subscription_id?: uuid|null, status?: Status|null, after?: string|null, limit?: 1..}",
        "{attempts: [Attempt], next: string|null}",
    ),
    method(
        "delivery.changes",
        Open,
        room::WORDS,
        "The feed: each attempt once, at its latest state.",
        "{after: string, limit?: 1..}",
        "{attempts: [Attempt], cursor: string, more: boolean, log_id: uuid}",
    ),
    method(
        "delivery.redeliver",
        Fenced,
        room::WORDS,
        "Makes a delivery that is over due once more.",
        "{event_id: uuid}",
        "Attempt",
    ),
    method(
        "delivery.redeliver_many",
        Fenced,
        room::IDS,
        "Redelivers the failed deliveries of a subscription: those since a time, or of 1 to 1000 events.",
        "{subscription_id: uuid, since?: time, event_ids?: [uuid], dry_run?: boolean}",
        "{count: 0.., skipped: 0..}",
    ),
    method(
        "delivery.retry_now",
        Fenced,
        room::WORDS,
        "Makes a pending delivery due now.",
        "{event_id: uuid}",
        "Attempt",
    ),
    method(
        "delivery.cancel",
        Fenced,
        room::WORDS,
        "Ends a pending delivery that is not under way.",
        "{event_id: uuid, reason?: string|null}",
        "Attempt",
    ),
    method(
        "delivery.test",
        Fenced,
        room::SAMPLE,
        "Sends a test event; what is left out of it gets sample values.",
        "{subscription_id: uuid, event?: SampleEvent}",
        "Attempt",
    ),
    method(
        "template.preview",
        Open,
        room::SAMPLE,
        "Renders a template without sending anything.",
        "{payload_template: any, event?: SampleEvent, dialect?: Dialect}",
        "{payload: string}",
    ),
    method(
        "system.attach",
        Open,
        room::WORDS,
        "An Odoo database introduces itself.",
        "{database: string, database_name: string, wake_url?: string|null, wake_secret?: string|null, instance?: string, take_over?: boolean, seen?: string, cursor?: string}",
        "{log_id: uuid, version: string, accepted_to: string}",
    ),
    method(
        "system.info",
        Open,
        room::WORDS,
        "Version, identity, backlog.",
        "{}",
        "{version: string, log_id: uuid, uptime_s: 0.., pending: 0.., retention_days: 0.., store: string, features: [string]}",
    ),
    method("rpc.discover", Open, room::WORDS, "This document.", "{}", "object"),
    method(
        "admin.status",
        Admin,
        room::WORDS,
        "How the sidecar is: backlog, counts, what is in the way.",
        "{}",
        "{version: string, log_id: uuid, uptime_s: 0.., reasons: [Reason], database: Database|null, \
         wake_url: string|null, last_pull_at: time|null, pull_lag: 0..|null, cursor: string, subscriptions: 0.., \
         backlog: object, events: object, attempts: object, store_bytes: 0..|null, commits: Commits}",
    ),
    method(
        "admin.reload",
        Admin,
        room::WORDS,
        "Reads tokens, [network], certificate and log level again.",
        "{}",
        "{message: string}",
    ),
    method(
        "admin.rotate_token",
        Admin,
        room::WORDS,
        "Makes a new token for the addon beside those before; with finish, ends all but the newest instead.",
        "{finish?: boolean}",
        "{file: string}",
    ),
    method(
        "admin.verify",
        Admin,
        room::WORDS,
        "The whole check of the log.",
        "{}",
        "{faults: [string], events: 0.., attempts: 0..}",
    ),
    method(
        "admin.backup",
        Admin,
        room::WORDS,
        "A copy of the log in a new file.",
        "{file: string}",
        "{file: string, rows: 0..}",
    ),
    method(
        "admin.compact",
        Admin,
        room::WORDS,
        "Gives free pages back to the file system.",
        "{}",
        "{before_bytes: 0..|null, after_bytes: 0..|null}",
    ),
];
