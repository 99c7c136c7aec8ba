//! A subscription made ready for sending: what does not change from attempt to attempt.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::Semaphore;
use webhook_model::{Attempt, Failure, Invalid, Millis, Outcome, Subscription, limits};

use crate::{
    sign,
    template::{Effort, RenderError, Template},
    transport::{Request, Secrets},
};

/// A subscription with its template compiled.
pub(crate) struct Prepared {
    pub subscription: Arc<Subscription>,
    template: Option<Result<Arc<Template>, Invalid>>,
    headers: HeaderMap,
    secrets: Secrets,
}

/// A request to make and its body as text, or why none can be made.
pub(crate) type Made = Result<(Request, String), Outcome>;

impl Prepared {
    pub fn new(subscription: Arc<Subscription>) -> Self {
        let template = subscription.payload_template.as_ref().map(|source| {
            Template::compile(source, subscription.dialect, Some(subscription.endpoint.url.host()))
                .map(Arc::new)
        });
        let mut headers = HeaderMap::new();
        for (name, value) in subscription.endpoint.headers.iter() {
            // Checked when the subscription was saved; what would not parse now is left out rather than sent bent.
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let secrets = Secrets::of(subscription.endpoint.secret.as_ref(), &subscription.endpoint.headers);
        Self { subscription, template, headers, secrets }
    }

    /// Whether the payload is the event's own body.
    pub fn posts_event_body(&self) -> bool {
        self.template.is_none()
    }

    /// Renders and signs one attempt. Payloads that are much work are made one at a time: whoever has `turn`.
    pub async fn make(&self, attempt: &Attempt, body: &Bytes, now: Millis, turn: &Semaphore) -> Made {
        let payload = match &self.template {
            None => body.clone(),
            Some(Err(invalid)) => return Err(failed(Failure::Render, invalid.to_string())),
            Some(Ok(template)) => Bytes::from(render(template, body, turn).await?),
        };
        let text = String::from_utf8_lossy(&payload).into_owned();
        if payload.len() > limits::PAYLOAD_BYTES {
            let message =
                format!("the payload has {} bytes, {} are allowed", payload.len(), limits::PAYLOAD_BYTES);
            return Err(failed(Failure::PayloadTooLarge, message));
        }
        let endpoint = &self.subscription.endpoint;
        let mut headers = self.headers.clone();
        sign::sign(&mut headers, endpoint.secret.as_ref(), attempt.event_id, now, &payload);
        let request = Request {
            url: endpoint.url.clone(),
            headers,
            body: payload,
            secrets: self.secrets.clone(),
            timeout: endpoint.timeout,
        };
        Ok((request, text))
    }
}

async fn render(template: &Arc<Template>, body: &[u8], turn: &Semaphore) -> Result<String, Outcome> {
    let event: serde_json::Value = serde_json::from_slice(body)
        .map_err(|_| failed(Failure::Internal, "the stored event could not be read".to_owned()))?;
    let outcome = |error: RenderError| failed(error.failure, error.to_string());
    match template.render(&event, Effort::Prompt) {
        Err(error) if error.is_unfinished => {}
        rendered => return rendered.map_err(outcome),
    }
    // Not on this thread, on which every other endpoint waits.
    let _turn = turn.acquire().await;
    let template = Arc::clone(template);
    let rendered = tokio::task::spawn_blocking(move || template.render(&event, Effort::Full)).await;
    rendered.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())).map_err(outcome)
}

pub(crate) fn failed(failure: Failure, message: String) -> Outcome {
    Outcome::Failed { failure, message }
}
