//! `rpc.discover`: what can be called, as an OpenRPC document.

use serde_json::{Value, json};

use super::{
    Answer, Caller, Service,
    error::Kind,
    fields::Fields,
    schema::{self, SUBSCRIPTION_FIELDS},
};

/// Every method: name, what it does, parameters, result. Held against the table of methods by a test.
const METHODS: &[(&str, &str, &str, &str)] = &[
    (
        "subscription.create",
        "Stores a subscription. An existing id: equal answers the stored one, else conflict.",
        SUBSCRIPTION_FIELDS,
        "Subscription",
    ),
    ("subscription.get", "One subscription.", "{id: uuid}", "Subscription"),
    (
        "subscription.list",
        "Subscriptions by id.",
        "{after?: string|null, limit?: integer}",
        "{subscriptions: [Subscription], next: string|null}",
    ),
    (
        "subscription.update",
        "Replaces the given fields, each as a whole.",
        SUBSCRIPTION_FIELDS,
        "Subscription",
    ),
    (
        "subscription.delete",
        "Deletes a subscription; its pending deliveries fail as inactive.",
        "{id: uuid}",
        "{deleted: boolean}",
    ),
    (
        "subscription.sync",
        "Makes the given set the complete set.",
        "{subscriptions: [SubscriptionFields]}",
        "{created: integer, updated: integer, deleted: integer, errors: [Refused]}",
    ),
    (
        "event.submit",
        "Takes 1 to 1000 events; answers when they are on disk.",
        "{events: [Event]}",
        "{results: [Submitted]}",
    ),
    ("delivery.get", "All attempts of one delivery.", "{event_id: uuid}", "{attempts: [Attempt]}"),
    (
        "delivery.list",
        "Attempts, newest event first.",
        "{subscription_id?: uuid|null, status?: Status|null, after?: string|null, limit?: integer}",
        "{attempts: [Attempt], next: string|null}",
    ),
    (
        "delivery.changes",
        "The feed: each attempt once, at its latest state.",
        "{after: string, limit?: integer}",
        "{attempts: [Attempt], cursor: string, more: boolean, log_id: uuid}",
    ),
    ("delivery.redeliver", "Makes a delivery that is over due once more.", "{event_id: uuid}", "Attempt"),
    (
        "delivery.redeliver_many",
        "Redelivers the failed deliveries of a subscription since a time.",
        "{subscription_id: uuid, since: time, dry_run?: boolean}",
        "{count: integer}",
    ),
    ("delivery.test", "Sends a test event.", "{subscription_id: uuid, event?: object}", "Attempt"),
    (
        "template.preview",
        "Renders a template without sending anything.",
        "{payload_template: any, event?: object, dialect?: Dialect}",
        "{payload: string}",
    ),
    (
        "system.attach",
        "An Odoo database introduces itself.",
        "{database: string, database_name: string, wake_url?: string|null, take_over?: boolean}",
        "{log_id: uuid, version: string}",
    ),
    (
        "system.info",
        "Version, identity, backlog.",
        "{}",
        "{version: string, log_id: uuid, uptime_s: integer, pending: integer, retention_days: integer}",
    ),
    ("rpc.discover", "This document.", "{}", "object"),
    ("admin.status", "How the sidecar is: backlog, counts, what is in the way.", "{}", "object"),
    ("admin.reload", "Reads tokens, [network], certificate and log level again.", "{}", "{message: string}"),
    (
        "admin.rotate_token",
        "Makes a new token for the addon beside the old one; with finish, ends the old one instead.",
        "{finish?: boolean}",
        "{file: string}",
    ),
    (
        "admin.verify",
        "The whole check of the log.",
        "{}",
        "{faults: [string], events: integer, attempts: integer}",
    ),
    ("admin.backup", "A copy of the log in a new file.", "{file: string}", "{file: string, rows: integer}"),
    (
        "admin.compact",
        "Gives free pages back to the file system.",
        "{}",
        "{before_bytes: integer, after_bytes: integer}",
    ),
];

/// `rpc.discover`: what this caller may call.
pub async fn discover(service: &Service, caller: &Caller, params: Option<&str>) -> Answer {
    Fields::parse(params)?.finish()?;
    Ok(document(service.version, caller.is_admin).into())
}

fn document(version: &str, is_admin: bool) -> Value {
    let visible = METHODS.iter().filter(|(name, ..)| is_admin || !name.starts_with("admin."));
    let methods: Vec<Value> = visible.map(method).collect();
    json!({
        "openrpc": "1.3.2",
        "info": {"title": "mcp-webhookd", "version": version},
        "methods": methods,
        "components": {"schemas": schema::components()},
    })
}

fn method((name, summary, params, result): &(&str, &str, &str, &str)) -> Value {
    let param = |(name, required, kind): (&str, bool, &str)| json!({"name": name, "required": required, "schema": schema::schema(kind)});
    let params: Vec<Value> = schema::fields(params).map(param).collect();
    let errors: Vec<Value> =
        Kind::ALL.iter().map(|kind| json!({"code": kind.code(), "message": kind.as_str()})).collect();
    json!({
        "name": name,
        "summary": summary,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": schema::schema(result)},
        "errors": errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_every_method() {
        let described: Vec<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
        let served: Vec<&str> = super::super::METHODS.iter().map(|(name, _)| *name).collect();
        assert_eq!(described, served);
        assert_eq!(document("1", true)["methods"].as_array().unwrap().len(), served.len());
        let text = document("1", false).to_string();
        assert!(!text.contains("admin."), "the addon's token does not see the administration");
    }
}
