//! What tools take: each a type, from which its schema is made. A description is read by a model that has never seen
//! this system, so it says what to write, and shows it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A filter on records, as Odoo writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Domain(Vec<Value>);

/// What a receiver wants: as a rule an object; Odoo says what else it may be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Template(Value);

impl JsonSchema for Domain {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Domain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let scalars = [json!({"type": "string"}), json!({"type": "number"}), json!({"type": "boolean"})];
        let list = json!({"type": "array", "items": {"anyOf": scalars}});
        let values: Vec<_> = scalars.into_iter().chain([list]).collect();
        let condition = json!({"type": "array", "items": {"anyOf": values}});
        let operator = json!({"type": "string", "enum": ["&", "|", "!"]});
        json_schema!({"type": "array", "items": {"anyOf": [condition, operator]}})
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "additionalProperties": true})
    }
}

macro_rules! parameters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "is_null")] pub(crate) $field: $type),*
        }
    };
}

/// What is not given does not go to Odoo.
fn is_null<T: Serialize>(value: &T) -> bool {
    serde_json::to_value(value).is_ok_and(|value| value.is_null())
}

fn domain_example() -> Value {
    json!([["state", "=", "sale"], ["amount_total", ">", 1000]])
}

fn template_example() -> Value {
    json!({"text": "Order {{ record.name }} of {{ record.partner_id.display_name }} is confirmed"})
}

parameters!(SubscribeEvents {
    /// Technical name of the Odoo model whose records are watched; list_models finds it.
    #[schemars(example = &"sale.order")]
    model: String,
    /// Which changes: create, write, unlink (deletion) or all. A state that is reached later is a write.
    #[schemars(example = &"write")]
    event_type: Option<EventType>,
    /// Only records that match this Odoo domain fire, by their values at the end of the transaction: a list of [field, operator, value].
    #[schemars(example = domain_example())]
    domain: Option<Domain>,
    /// For event_type write: fire only when one of these fields gets another value. Give this, with a domain, for "when X becomes Y".
    #[schemars(example = ["state"])]
    fields: Option<Vec<String>>,
    /// Where to POST the events: an https address. Leave it out with in_session.
    #[schemars(example = &"https://hooks.slack.com/services/T0/B0/x")]
    webhook_url: Option<String>,
    /// The JSON to POST, as the receiver wants it; texts may hold {{ record.field }}. Every field that it uses must be in enrich_fields. See the resource webhook://templates. Without it a standard body is sent.
    #[schemars(example = template_example())]
    webhook_payload_template: Option<Template>,
    /// Fields whose values travel along, also of related records: dotted paths with at most 3 dots.
    #[schemars(example = ["name", "partner_id.email"])]
    enrich_fields: Option<Vec<String>>,
    /// True: no webhook_url; the events are kept, and read with wait_for_event or poll_events.
    #[schemars(example = true)]
    in_session: Option<bool>,
    /// True: requests are signed with a new secret, which only a webhook manager sees in Odoo.
    #[schemars(example = true)]
    generate_secret: Option<bool>,
    /// True: changes made with this same API key fire it as well. Leave it out, or you may answer yourself for ever.
    #[schemars(example = false)]
    include_own_changes: Option<bool>,
});

parameters!(UpdateSubscription {
    /// The id that subscribe_events or list_subscriptions gave.
    #[schemars(example = 7)]
    subscription_id: i64,
    /// Another model; filter and fields of the old one then go, unless new ones are given.
    #[schemars(example = &"sale.order")]
    model: Option<String>,
    /// create, write, unlink or all.
    #[schemars(example = &"write")]
    event_type: Option<EventType>,
    /// The whole new Odoo domain: a list of [field, operator, value].
    #[schemars(example = domain_example())]
    domain: Option<Domain>,
    /// The whole new list of watched fields.
    #[schemars(example = ["state"])]
    fields: Option<Vec<String>>,
    /// Another https address.
    #[schemars(example = &"https://hooks.slack.com/services/T0/B0/x")]
    webhook_url: Option<String>,
    /// The whole new template: JSON whose texts may hold {{ record.field }}.
    #[schemars(example = template_example())]
    webhook_payload_template: Option<Template>,
    /// The whole new list of fields to send.
    #[schemars(example = ["name", "partner_id.email"])]
    enrich_fields: Option<Vec<String>>,
    /// Without a webhook_url: keep the events to be read.
    #[schemars(example = true)]
    in_session: Option<bool>,
    /// True: replace the signing secret by a new one, which only a webhook manager sees in Odoo.
    #[schemars(example = true)]
    generate_secret: Option<bool>,
    /// Whether changes made with this same API key fire it as well.
    #[schemars(example = false)]
    include_own_changes: Option<bool>,
});

/// Which changes fire.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum EventType {
    Create,
    Write,
    Unlink,
    All,
}

/// How an attempt ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Status {
    Pending,
    Success,
    Failed,
}

/// How values are escaped.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Dialect {
    Auto,
    Plain,
    Slack,
    Discord,
    Teams,
    GoogleChat,
}

parameters!(OneSubscription {
    /// The id that subscribe_events or list_subscriptions gave.
    #[schemars(example = 7)]
    subscription_id: i64,
});

parameters!(ListSubscriptions {
    /// The `next` of the page before.
    #[schemars(example = 7)]
    after: Option<i64>,
    /// How many, 1 to 200.
    #[schemars(example = 50)]
    limit: Option<i64>,
});

parameters!(ListModels {
    /// A part of the technical name or of the name that users see.
    #[schemars(example = &"order")]
    search: Option<String>,
    /// How many, 1 to 200.
    #[schemars(example = 50)]
    limit: Option<i64>,
});

parameters!(DescribeModel {
    /// Technical name of the model; list_models finds it.
    #[schemars(example = &"sale.order")]
    model: String,
    /// A part of a field's name or label.
    #[schemars(example = &"amount")]
    search: Option<String>,
    /// How many fields, 1 to 200.
    #[schemars(example = 100)]
    limit: Option<i64>,
});

parameters!(PreviewPayload {
    /// Technical name of the model; not needed with subscription_id.
    #[schemars(example = &"sale.order")]
    model: Option<String>,
    /// create, write, unlink or all.
    #[schemars(example = &"write")]
    event_type: Option<EventType>,
    /// The filter by which the sample record is chosen.
    #[schemars(example = domain_example())]
    domain: Option<Domain>,
    /// The template to try.
    #[schemars(example = template_example())]
    webhook_payload_template: Option<Template>,
    /// The fields whose values the template uses.
    #[schemars(example = ["name", "partner_id.email"])]
    enrich_fields: Option<Vec<String>>,
    /// For which receiver values are escaped.
    #[schemars(example = &"slack")]
    dialect: Option<Dialect>,
    /// A record to show; without it the newest that would fire.
    #[schemars(example = 42)]
    record_id: Option<i64>,
    /// An existing subscription: what is not given is taken from it, and it is not changed.
    #[schemars(example = 7)]
    subscription_id: Option<i64>,
});

parameters!(ListDeliveries {
    /// Only of this subscription.
    #[schemars(example = 7)]
    subscription_id: Option<i64>,
    /// Only those that are pending, a success, or failed.
    #[schemars(example = &"failed")]
    status: Option<Status>,
    /// The `next` of the page before.
    #[schemars(example = 99)]
    after: Option<i64>,
    /// How many, 1 to 200.
    #[schemars(example = 20)]
    limit: Option<i64>,
});

parameters!(OneDelivery {
    /// The delivery_id that list_deliveries gave.
    #[schemars(example = 99)]
    delivery_id: i64,
});

parameters!(ExplainNoEvent {
    /// The id that subscribe_events or list_subscriptions gave.
    #[schemars(example = 7)]
    subscription_id: i64,
    /// The id of the record that changed and fired nothing.
    #[schemars(example = 42)]
    record_id: Option<i64>,
});

parameters!(GetRecentEvents {
    /// Only of this subscription.
    #[schemars(example = 7)]
    subscription_id: Option<i64>,
    /// How many, 1 to 100.
    #[schemars(example = 20)]
    limit: Option<i64>,
});

parameters!(PollEvents {
    /// The cursor of the answer before, as it was. Without it: from now on.
    #[schemars(example = &"OTAwOjkwMDo=")]
    cursor: Option<String>,
    /// Only of this subscription.
    #[schemars(example = 7)]
    subscription_id: Option<i64>,
    /// How many, 1 to 100.
    #[schemars(example = 20)]
    limit: Option<i64>,
});

parameters!(WaitForEvent {
    /// The cursor of the answer before, as it was. Without it: from now on.
    #[schemars(example = &"OTAwOjkwMDo=")]
    cursor: Option<String>,
    /// Only of this subscription.
    #[schemars(example = 7)]
    subscription_id: Option<i64>,
    /// How many, 1 to 100.
    #[schemars(example = 20)]
    limit: Option<i64>,
    /// How long to wait, 0 to 50 seconds; 45 if left out. With no event by then, call again with the new cursor.
    #[schemars(example = 45)]
    timeout_s: Option<u32>,
});
