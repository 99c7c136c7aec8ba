//! `template.preview`: what a template would make of an event, without sending anything.

use serde_json::{Value, json};
use webhook_dispatch::{
    Clock, SystemClock,
    template::{Effort, Template},
};
use webhook_model::{Dialect, EventId, EventKind, Failure, Invalid, InvalidKind, limits};

use super::{
    Answer, Params, Service,
    error::RpcError,
    fields::Fields,
    wire::{self, Sample},
};

/// `template.preview`
pub async fn preview(service: &Service, params: Params<'_>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let template = fields.required("payload_template", "a JSON value", |value| Some(value.clone()))?;
    let event = fields.take("event").unwrap_or_else(|| json!({}));
    let dialect = fields
        .optional("dialect", &wire::dialects(), |value| Dialect::parse(value.as_str()?))?
        .unwrap_or(Dialect::Auto);
    fields.finish()?;
    // One at a time, and not on a thread on which others wait: a template may be much work.
    let _turn = service.preview_turn.acquire().await;
    let rendered = tokio::task::spawn_blocking(move || render(&template, event, dialect)).await;
    let rendered = rendered.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
    Ok(json!({"payload": rendered?}).into())
}

/// The payload that a template makes of an event; fields that the event leaves out get sample values.
///
/// # Errors
/// The template or the event is refused; see [`RpcError`].
pub fn render(template: &Value, event: Value, dialect: Dialect) -> Result<String, RpcError> {
    let sample = Sample {
        id: EventId::from_u128(uuid::Uuid::now_v7().as_u128()),
        subscription_id: None,
        model: "res.partner".to_owned(),
        kind: EventKind::Write,
        now: SystemClock.now(),
    };
    let event = wire::event(event, Some(sample))?.event;
    let body = event.body();
    if body.len() > limits::EVENT_BYTES {
        return Err(wire::too_large(body.len()).into());
    }
    if template.is_null() {
        return Ok(String::from_utf8_lossy(&body).into_owned());
    }
    let compiled = Template::compile(template, dialect, None)?;
    let rendered = compiled.render(&json!(event), Effort::Full).map_err(|error| {
        let kind = match error.failure {
            Failure::PayloadTooLarge => InvalidKind::PayloadTooLarge,
            _ => InvalidKind::Template,
        };
        Invalid::new(kind, "payload_template", error.message).at(&error.pointer)
    })?;
    Ok(rendered)
}
