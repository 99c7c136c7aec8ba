//! `rpc.discover`: what can be called, as an OpenRPC document.

use serde_json::{Value, json};

use super::{Answer, Caller, Service, error::Kind, fields::Fields};

/// A parameter: its name (with `?` where it may be absent) and its JSON type.
type Param = (&'static str, &'static str);

/// Every method: name, what it does, parameters, result. Held against the table of methods by a test.
const METHODS: &[(&str, &str, &[Param], &str)] = &[
    (
        "subscription.create",
        "Stores a subscription. An existing id: equal answers the stored one, else conflict.",
        SUBSCRIPTION,
        "the subscription, as stored",
    ),
    ("subscription.get", "One subscription.", &[("id", "string")], "the subscription"),
    (
        "subscription.list",
        "Subscriptions by id.",
        &[("after?", "string"), ("limit?", "integer")],
        "{subscriptions, next}",
    ),
    ("subscription.update", "Replaces the given fields, each as a whole.", SUBSCRIPTION, "the subscription"),
    (
        "subscription.delete",
        "Deletes a subscription; its pending deliveries fail as inactive.",
        &[("id", "string")],
        "{deleted}",
    ),
    (
        "subscription.sync",
        "Makes the given set the complete set.",
        &[("subscriptions", "array")],
        "{created, updated, deleted, errors}",
    ),
    (
        "event.submit",
        "Takes 1 to 1000 events; answers when they are on disk.",
        &[("events", "array")],
        "{results: [{event_id, status, error?}]}",
    ),
    ("delivery.get", "All attempts of one delivery.", &[("event_id", "string")], "{attempts}"),
    (
        "delivery.list",
        "Attempts, newest event first.",
        &[("subscription_id?", "string"), ("status?", "string"), ("after?", "string"), ("limit?", "integer")],
        "{attempts, next}",
    ),
    (
        "delivery.changes",
        "The feed: each attempt once, at its latest state.",
        &[("after", "string"), ("limit?", "integer")],
        "{attempts, cursor, more, log_id}",
    ),
    (
        "delivery.redeliver",
        "Makes a delivery that is over due once more.",
        &[("event_id", "string")],
        "the new pending attempt",
    ),
    (
        "delivery.redeliver_many",
        "Redelivers the failed deliveries of a subscription since a time.",
        &[("subscription_id", "string"), ("since", "string"), ("dry_run?", "boolean")],
        "{count}",
    ),
    (
        "delivery.test",
        "Sends a test event.",
        &[("subscription_id", "string"), ("event?", "object")],
        "the new pending attempt",
    ),
    (
        "template.preview",
        "Renders a template without sending anything.",
        &[("payload_template", "any"), ("event?", "object"), ("dialect?", "string")],
        "{payload}",
    ),
    (
        "system.attach",
        "An Odoo database introduces itself.",
        &[
            ("database", "string"),
            ("database_name", "string"),
            ("wake_url?", "string"),
            ("take_over?", "boolean"),
        ],
        "{log_id, version}",
    ),
    ("system.info", "Version, identity, backlog.", &[], "{version, log_id, uptime_s, pending}"),
    ("rpc.discover", "This document.", &[], "an OpenRPC document"),
    (
        "admin.status",
        "How the sidecar is: backlog, counts, what is in the way.",
        &[],
        "{version, log_id, uptime_s, reasons, database, backlog, attempts, ...}",
    ),
    ("admin.reload", "Reads tokens, [network] and log level again.", &[], "{message}"),
    (
        "admin.rotate_token",
        "Makes a new token for the addon beside the old one; with finish, ends the old one instead.",
        &[("finish?", "boolean")],
        "{file}",
    ),
    ("admin.verify", "The whole check of the log.", &[], "{faults, events, attempts}"),
    ("admin.backup", "A copy of the log in a new file.", &[("file", "string")], "{file, rows}"),
    ("admin.compact", "Gives free pages back to the file system.", &[], "{before_bytes, after_bytes}"),
];

const SUBSCRIPTION: &[Param] = &[
    ("id", "string"),
    ("name?", "string"),
    ("model?", "string"),
    ("event_type?", "string"),
    ("url?", "string"),
    ("secret?", "string"),
    ("headers?", "object"),
    ("payload_template?", "any"),
    ("dialect?", "string"),
    ("active?", "boolean"),
    ("paused?", "boolean"),
    ("timeout_s?", "integer"),
    ("max_in_flight?", "integer"),
    ("max_attempts?", "integer"),
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
    })
}

fn method((name, summary, params, result): &(&str, &str, &[Param], &str)) -> Value {
    let params: Vec<Value> = params
        .iter()
        .map(|(name, kind)| {
            let schema = if *kind == "any" { json!({}) } else { json!({"type": kind}) };
            json!({"name": name.trim_end_matches('?'), "required": !name.ends_with('?'), "schema": schema})
        })
        .collect();
    let errors: Vec<Value> =
        Kind::ALL.iter().map(|kind| json!({"code": kind.code(), "message": kind.as_str()})).collect();
    json!({
        "name": name,
        "summary": summary,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "description": result, "schema": {}},
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
