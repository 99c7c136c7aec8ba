//! `template.preview`: what a template would make of an event, without sending anything.

use serde_json::{Value, json};
use webhook_api::{
    Caller,
    event::{Sample, SampleEvent},
    template::{Preview, PreviewTemplate, Templates},
};
use webhook_dispatch::{
    Clock, SystemClock,
    template::{Effort, Template},
};
use webhook_model::{Dialect, EventId, EventKind, Failure, Invalid, InvalidKind, SubscriptionId, limits};

use super::{error::RpcError, service::Service, wire};

impl Templates for Service {
    async fn preview(&self, _: &Caller, wish: PreviewTemplate) -> Result<Preview, RpcError> {
        let dialect = wish.dialect.get().unwrap_or(Dialect::Auto);
        let (template, event) = (wish.payload_template.0, wish.event.0.unwrap_or_default());
        // One at a time, and not on a thread on which others wait: a template may be much work.
        let _turn = self.preview_turn.acquire().await;
        let rendered = tokio::task::spawn_blocking(move || render(&template, event, dialect)).await;
        let rendered = rendered.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()));
        Ok(Preview { payload: rendered? })
    }
}

/// The payload that a template makes of an event; fields that the event leaves out get sample values.
///
/// # Errors
/// The template or the event is refused.
pub fn render(template: &Value, event: SampleEvent, dialect: Dialect) -> Result<String, Invalid> {
    let sample = Sample {
        id: EventId::from_u128(uuid::Uuid::now_v7().as_u128()),
        subscription_id: SubscriptionId::from_u128(0),
        model: "res.partner".to_owned(),
        kind: EventKind::Write,
        timestamp: SystemClock.now().into(),
    };
    let event = wire::event(event.or(sample));
    let body = event.body();
    if body.len() > limits::EVENT_BYTES {
        return Err(wire::too_large(body.len()));
    }
    if template.is_null() {
        return Ok(String::from_utf8_lossy(&body).into_owned());
    }
    let compiled = Template::compile(template, dialect, None)?;
    compiled.render(&json!(event), Effort::Full).map_err(|error| {
        let kind = match error.failure {
            Failure::PayloadTooLarge => InvalidKind::PayloadTooLarge,
            _ => InvalidKind::Template,
        };
        Invalid::new(kind, "payload_template", error.message).at(&error.pointer)
    })
}
