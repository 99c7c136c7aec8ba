//! A subscription made ready for sending: what does not change from attempt to attempt.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use webhook_model::{Attempt, Failure, Invalid, Millis, Outcome, Subscription, limits};

use crate::{sign, template::Template, transport::Request};

/// A subscription with its template compiled.
pub(crate) struct Prepared {
    pub subscription: Arc<Subscription>,
    template: Option<Result<Template, Invalid>>,
    headers: HeaderMap,
}

/// A request to make, or why none can be made.
pub(crate) enum Made {
    Request(Request, String),
    Failed(Outcome),
}

impl Prepared {
    pub fn new(subscription: Arc<Subscription>) -> Self {
        let template = subscription.payload_template.as_ref().map(|source| {
            Template::compile(source, subscription.dialect, Some(subscription.endpoint.url.host()))
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
        Self { subscription, template, headers }
    }

    /// Whether the payload is the event's own body.
    pub fn posts_event_body(&self) -> bool {
        self.template.is_none()
    }

    /// Renders and signs one attempt.
    pub fn make(&self, attempt: &Attempt, body: &Bytes, now: Millis) -> Made {
        let payload = match &self.template {
            None => body.clone(),
            Some(Err(invalid)) => return Made::Failed(failed(Failure::Render, invalid.to_string())),
            Some(Ok(template)) => match render(template, body) {
                Ok(text) => Bytes::from(text),
                Err(outcome) => return Made::Failed(outcome),
            },
        };
        let text = String::from_utf8_lossy(&payload).into_owned();
        if payload.len() > limits::PAYLOAD_BYTES {
            let message =
                format!("the payload has {} bytes, {} are allowed", payload.len(), limits::PAYLOAD_BYTES);
            return Made::Failed(failed(Failure::PayloadTooLarge, message));
        }
        let endpoint = &self.subscription.endpoint;
        let mut headers = self.headers.clone();
        sign::sign(&mut headers, endpoint.secret.as_ref(), attempt.event_id, now, &payload);
        let request =
            Request { url: endpoint.url.clone(), headers, body: payload, timeout: endpoint.timeout };
        Made::Request(request, text)
    }
}

fn render(template: &Template, body: &[u8]) -> Result<String, Outcome> {
    let event = serde_json::from_slice(body)
        .map_err(|_| failed(Failure::Internal, "the stored event could not be read".to_owned()))?;
    template.render(&event).map_err(|error| failed(error.failure, error.to_string()))
}

pub(crate) fn failed(failure: Failure, message: String) -> Outcome {
    Outcome::Failed { failure, message }
}
