//! What can be read beside the tools: how templates are written, one shape for each receiver, and a prompt.

use rmcp::model::{
    GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Resource, ResourceContents, Role,
};
use serde_json::{Value, json};

/// How templates are written.
pub(crate) const TEMPLATES: &str = "webhook://templates";

const RULES: &str = "\
# Payload templates

A template is the JSON that the receiver wants. Every text in it may hold expressions in double braces; keys stay as \
they are. What can be used:

- `event_id`, `model`, `event_type`, `record_ids`, `user_id`, `timestamp` (when it happened), `test` (true in a test);
- `record`: the first record, `records`: all of them. They hold what `enrich_fields` names, nested by dotted path: \
`enrich_fields: [\"name\", \"partner_id.email\"]` gives `{{ record.name }}` and `{{ record.partner_id.email }}`. What \
is not in `enrich_fields` is empty.
- A text that is one expression ending in `| json` becomes that JSON value: `\"{{ record.amount_total | json }}\"` is \
a number.
- Loops: `{% for line in record.order_line %}{{ line.name }} {% endfor %}`; conditions: `{% if record.name %}…{% endif %}`.
- Values are escaped for the receiver by its address; nothing more is to be done.

Always try it with `preview_payload` before `subscribe_events`.

";

/// A receiver, what it wants, and a template for it.
fn shapes() -> [(&'static str, &'static str, Value); 5] {
    let summary = "{{ record.display_name }}: {{ model }} {{ event_type }}";
    [
        (
            "slack",
            "Slack incoming webhook: an object with `text`, or with `blocks`. Anything else is answered 400 (`no_text`, `invalid_payload`).",
            json!({"text": summary}),
        ),
        (
            "teams",
            "Microsoft Teams workflow: a message with an Adaptive Card.",
            json!({"type": "message", "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {"type": "AdaptiveCard", "version": "1.4", "body": [
                    {"type": "TextBlock", "text": summary, "wrap": true}]}}]}),
        ),
        (
            "discord",
            "Discord webhook: `content`, or `embeds`; without one of them it answers 400.",
            json!({"content": summary, "allowed_mentions": {"parse": []}}),
        ),
        ("google_chat", "Google Chat: an object with `text`.", json!({"text": summary})),
        (
            "generic",
            "Any program: what it needs under names of your own.",
            json!({"id": "{{ event_id }}", "model": "{{ model }}", "records": "{{ records | json }}"}),
        ),
    ]
}

fn shape_uri(name: &str) -> String {
    format!("{TEMPLATES}/{name}")
}

/// What `resources/list` tells.
pub(crate) fn resources() -> Vec<Resource> {
    let rules = Resource::new(TEMPLATES, "templates")
        .with_title("How payload templates are written")
        .with_mime_type("text/markdown");
    let shapes = shapes().into_iter().map(|(name, meaning, _)| {
        Resource::new(shape_uri(name), name).with_description(meaning).with_mime_type("application/json")
    });
    std::iter::once(rules).chain(shapes).collect()
}

/// A resource's text, if it is one of these.
pub(crate) fn read(uri: &str) -> Option<ResourceContents> {
    if uri == TEMPLATES {
        let mut text = RULES.to_owned();
        for (name, meaning, shape) in shapes() {
            text.push_str(&format!("## {name}\n\n{meaning}\n\n```json\n{shape:#}\n```\n\n"));
        }
        return Some(ResourceContents::text(text, uri).with_mime_type("text/markdown"));
    }
    let (_, _, shape) = shapes().into_iter().find(|(name, ..)| shape_uri(name) == uri)?;
    Some(ResourceContents::text(format!("{shape:#}"), uri).with_mime_type("application/json"))
}

/// The name of the one prompt.
pub(crate) const PROMPT: &str = "notify_me_when";

/// What `prompts/list` tells.
pub(crate) fn prompt() -> Prompt {
    let what = PromptArgument::new("what")
        .with_description("What happens in Odoo, e.g. an order above 1000 is confirmed")
        .with_required(true);
    let wherever = PromptArgument::new("where")
        .with_description("Where to tell it: a webhook address; empty: here, in this conversation")
        .with_required(false);
    Prompt::new(
        PROMPT,
        Some("Tell me, or a channel, when something happens in Odoo"),
        Some(vec![what, wherever]),
    )
    .with_title("Notify me when …")
}

/// The prompt with its arguments, or the name of the one that is missing.
pub(crate) fn filled(arguments: &JsonObject) -> Result<GetPromptResult, &'static str> {
    let text =
        |name: &str| arguments.get(name).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let what = text("what").ok_or("what")?;
    let goal = match text("where") {
        Some(address) => format!("it is POSTed to {address}"),
        None => "I am told here (a subscription with in_session, then wait_for_event)".to_owned(),
    };
    let steps = format!(
        "When this happens in Odoo: {what} — then {goal}.\n\n\
         1. Find the model (list_models) and its fields (describe_model); do not guess names.\n\
         2. Choose event_type, domain and fields so that only this fires. A state that is reached is a write with \
         fields [the state field] and a domain on its new value.\n\
         3. Write the template as the receiver wants it ({TEMPLATES}) and look at it with preview_payload.\n\
         4. subscribe_events. Tell me what it will send, where to, and whether it waits for approval.\n\
         5. send_test_event, then explain_delivery. If it failed, correct it with update_subscription and redeliver."
    );
    let mut result = GetPromptResult::new(vec![PromptMessage::new_text(Role::User, steps)]);
    result.description = Some("Make a subscription, try it, and say what it does".to_owned());
    Ok(result)
}
