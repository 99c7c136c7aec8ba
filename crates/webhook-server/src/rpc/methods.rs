//! The table of methods: who may call each, what it takes and what it answers, in the notation of [`schema`].
//!
//! It is the one place where these are written. `rpc.discover` is made from it, names are registered from it, and it is
//! held to at both doors wherever debug assertions are on, that is in every test: [`super::fields::Fields`] gives out no
//! field that is not written here, and no answer leaves that is not as written here.
//!
//! [`schema`]: super::schema

use super::schema::{CHANGED_SUBSCRIPTION, NEW_SUBSCRIPTION};

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
    summary: &'static str,
    params: &'static str,
    result: &'static str,
) -> Method {
    Method { name, access, summary, params, result }
}

/// Every method.
pub const METHODS: &[Method] = &[
    method(
        "subscription.create",
        Fenced,
        "Stores a subscription. An existing id: equal answers the stored one, else conflict.",
        NEW_SUBSCRIPTION,
        "Subscription",
    ),
    method("subscription.get", Open, "One subscription.", "{id: uuid}", "Subscription"),
    method(
        "subscription.list",
        Open,
        "Subscriptions by id.",
        "{after?: uuid|null, limit?: 1..}",
        "{subscriptions: [Subscription], next: uuid|null}",
    ),
    method(
        "subscription.update",
        Fenced,
        "Replaces the given fields, each as a whole.",
        CHANGED_SUBSCRIPTION,
        "Subscription",
    ),
    method(
        "subscription.delete",
        Fenced,
        "Deletes a subscription; its pending deliveries fail as inactive.",
        "{id: uuid}",
        "{deleted: boolean}",
    ),
    method(
        "subscription.sync",
        Fenced,
        "Makes the given set the complete set.",
        "{subscriptions: [NewSubscription]}",
        "{created: 0.., updated: 0.., deleted: 0.., errors: [Refused]}",
    ),
    method(
        "event.submit",
        Fenced,
        "Takes 1 to 1000 events; answers when they are on disk.",
        "{events: [Event]}",
        "{results: [Submitted]}",
    ),
    method(
        "delivery.get",
        Open,
        "All attempts of one delivery.",
        "{event_id: uuid}",
        "{attempts: [Attempt]}",
    ),
    method(
        "delivery.list",
        Open,
        "Attempts, newest event first.",
        "{subscription_id?: uuid|null, status?: Status|null, after?: string|null, limit?: 1..}",
        "{attempts: [Attempt], next: string|null}",
    ),
    method(
        "delivery.changes",
        Open,
        "The feed: each attempt once, at its latest state.",
        "{after: string, limit?: 1..}",
        "{attempts: [Attempt], cursor: string, more: boolean, log_id: uuid}",
    ),
    method(
        "delivery.redeliver",
        Fenced,
        "Makes a delivery that is over due once more.",
        "{event_id: uuid}",
        "Attempt",
    ),
    method(
        "delivery.redeliver_many",
        Fenced,
        "Redelivers the failed deliveries of a subscription since a time.",
        "{subscription_id: uuid, since: time, dry_run?: boolean}",
        "{count: 0..}",
    ),
    method(
        "delivery.test",
        Fenced,
        "Sends a test event; what is left out of it gets sample values.",
        "{subscription_id: uuid, event?: SampleEvent}",
        "Attempt",
    ),
    method(
        "template.preview",
        Open,
        "Renders a template without sending anything.",
        "{payload_template: any, event?: SampleEvent, dialect?: Dialect}",
        "{payload: string}",
    ),
    method(
        "system.attach",
        Open,
        "An Odoo database introduces itself.",
        "{database: string, database_name: string, wake_url?: string|null, take_over?: boolean}",
        "{log_id: uuid, version: string}",
    ),
    method(
        "system.info",
        Open,
        "Version, identity, backlog.",
        "{}",
        "{version: string, log_id: uuid, uptime_s: 0.., pending: 0.., retention_days: 0..}",
    ),
    method("rpc.discover", Open, "This document.", "{}", "object"),
    method(
        "admin.status",
        Admin,
        "How the sidecar is: backlog, counts, what is in the way.",
        "{}",
        "{version: string, log_id: uuid, uptime_s: 0.., reasons: [Reason], database: Database|null, \
         wake_url: string|null, last_pull_at: time|null, pull_lag: 0..|null, cursor: string, subscriptions: 0.., \
         backlog: object, events: object, attempts: object, store_bytes: 0..|null, commits: Commits}",
    ),
    method(
        "admin.reload",
        Admin,
        "Reads tokens, [network], certificate and log level again.",
        "{}",
        "{message: string}",
    ),
    method(
        "admin.rotate_token",
        Admin,
        "Makes a new token for the addon beside the old one; with finish, ends the old one instead.",
        "{finish?: boolean}",
        "{file: string}",
    ),
    method(
        "admin.verify",
        Admin,
        "The whole check of the log.",
        "{}",
        "{faults: [string], events: 0.., attempts: 0..}",
    ),
    method(
        "admin.backup",
        Admin,
        "A copy of the log in a new file.",
        "{file: string}",
        "{file: string, rows: 0..}",
    ),
    method(
        "admin.compact",
        Admin,
        "Gives free pages back to the file system.",
        "{}",
        "{before_bytes: 0..|null, after_bytes: 0..|null}",
    ),
];
