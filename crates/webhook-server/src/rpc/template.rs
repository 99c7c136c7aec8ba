//! `template.preview`: what a template would make of an event, without sending anything.

use serde_json::json;
use webhook_dispatch::template::Template;
use webhook_model::{Dialect, EventKind, Failure, Invalid, InvalidKind};

use super::{
    Answer, Service,
    fields::Fields,
    wire::{self, Sample},
};

/// `template.preview`
pub async fn preview(service: &Service, params: Option<&str>) -> Answer {
    let mut fields = Fields::parse(params)?;
    let template = fields.required("payload_template", "a JSON value", |value| Some(value.clone()))?;
    let event = fields.take("event").unwrap_or_else(|| json!({}));
    let dialect = fields
        .optional("dialect", "auto, plain, slack, discord or teams", |value| Dialect::parse(value.as_str()?))?
        .unwrap_or(Dialect::Auto);
    fields.finish()?;
    let sample = Sample {
        id: service.new_id(),
        subscription_id: None,
        model: "res.partner".to_owned(),
        kind: EventKind::Write,
        now: service.now(),
    };
    let event = wire::event(event, Some(sample))?.event;
    let payload = if template.is_null() {
        String::from_utf8_lossy(&event.body()).into_owned()
    } else {
        let compiled = Template::compile(&template, dialect, None)?;
        compiled.render(&json!(event)).map_err(|error| {
            let kind = match error.failure {
                Failure::PayloadTooLarge => InvalidKind::PayloadTooLarge,
                _ => InvalidKind::Template,
            };
            Invalid::new(kind, "payload_template", error.to_string())
        })?
    };
    Ok(json!({"payload": payload}).into())
}
