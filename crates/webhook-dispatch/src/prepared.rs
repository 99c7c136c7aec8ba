//! A subscription made ready for sending: what does not change from attempt to attempt.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::Semaphore;
use webhook_model::{Attempt, EndpointUrl, Failure, Invalid, Millis, Outcome, Subscription, decide, limits};

use crate::{
    kept::{self, Compiled},
    sign,
    template::{Effort, Template},
    transport::{Request, Secrets},
};

/// A larger event takes milliseconds to be read alone.
const PROMPT_BYTES: usize = 32 << 10;
/// Headers of the signature and of HTTP itself.
const ADDED_HEADERS: usize = 8;

/// A subscription with what is made of it once.
pub(crate) struct Prepared {
    pub subscription: Arc<Subscription>,
    template: Option<Compiled>,
    url: Option<Arc<EndpointUrl>>,
    /// Host and port, as a log line names them.
    pub host: String,
    headers: HeaderMap,
    secrets: Secrets,
    /// The largest payload that its template has made.
    largest: AtomicUsize,
}

/// A request to make, and its body for the record, unless it is the event's own: the log has that. Or why none can be made.
pub(crate) type Made = Result<(Request, Option<Bytes>), Outcome>;

impl Prepared {
    pub fn new(subscription: Arc<Subscription>) -> Self {
        let template = Compiled::of(&subscription);
        let mut headers = HeaderMap::new();
        for (name, value) in subscription.endpoint.headers.iter() {
            // Checked when the subscription was saved; what would not parse now is left out rather than sent bent.
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let endpoint = &subscription.endpoint;
        let previous = endpoint.previous_secret.as_ref().map(|previous| &previous.secret);
        let secrets = Secrets::of(endpoint.secret.iter().chain(previous), &endpoint.headers);
        let url = endpoint.url.clone().map(Arc::new);
        let host = url.as_ref().map_or_else(String::new, |url| url.host_port());
        Self { subscription, template, url, host, headers, secrets, largest: AtomicUsize::new(0) }
    }

    /// What follows from the end of an attempt.
    pub fn rules(&self) -> decide::Rules<'_> {
        let subscription = &*self.subscription;
        decide::Rules { max_attempts: subscription.max_attempts, success: subscription.success.as_ref() }
    }

    /// Whether the payload is the event's own body.
    pub fn posts_event_body(&self) -> bool {
        self.template.is_none()
    }

    /// Bytes that an attempt with this event's body will hold: what a template makes of it is as large as before.
    pub fn weight(&self, body: &Bytes) -> usize {
        body.len() + self.largest.load(Relaxed)
    }

    /// Renders and signs one attempt. Payloads that are much work are made one at a time: whoever has `turn`.
    pub async fn make(&self, attempt: &Attempt, body: Bytes, now: Millis, turn: &Semaphore) -> Made {
        let Some(url) = &self.url else {
            let message = "the subscription has no URL, so nothing was sent".to_owned();
            return Err(failed(Failure::Inactive, message));
        };
        let payload = match &self.template {
            None => body,
            Some(Compiled::Kept(Err(invalid), _)) => return Err(unfit(invalid)),
            Some(Compiled::Kept(Ok(template), _)) => Bytes::from(render(template, body, turn).await?),
            Some(Compiled::Anew) => Bytes::from(render_anew(&self.subscription, body, turn).await?),
        };
        if payload.len() > limits::PAYLOAD_BYTES {
            let message =
                format!("the payload has {} bytes, {} are allowed", payload.len(), limits::PAYLOAD_BYTES);
            return Err(failed(Failure::PayloadTooLarge, message));
        }
        let kept = (!self.posts_event_body()).then(|| payload.clone());
        self.largest.fetch_max(kept.as_ref().map_or(0, Bytes::len), Relaxed);
        let endpoint = &self.subscription.endpoint;
        let mut headers = HeaderMap::with_capacity(self.headers.len() + ADDED_HEADERS);
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        let secrets: Vec<_> = endpoint.signing_secrets(now).collect();
        sign::sign(&mut headers, &secrets, attempt.event_id, now, &payload);
        let request = Request {
            url: Arc::clone(url),
            headers,
            body: payload,
            secrets: self.secrets.clone(),
            timeout: endpoint.timeout,
        };
        Ok((request, kept))
    }
}

async fn render(template: &Arc<Template>, body: Bytes, turn: &Semaphore) -> Result<String, Outcome> {
    if body.len() <= PROMPT_BYTES {
        match render_within(template, &body, Effort::Prompt) {
            Err(Unrendered { is_unfinished: true, .. }) => {}
            rendered => return rendered.map_err(|unrendered| unrendered.outcome),
        }
    }
    let template = Arc::clone(template);
    elsewhere(turn, move || render_fully(&template, &body)).await
}

/// With a template that is not kept.
async fn render_anew(
    subscription: &Arc<Subscription>,
    body: Bytes,
    turn: &Semaphore,
) -> Result<String, Outcome> {
    let subscription = Arc::clone(subscription);
    let work = move || {
        let template = kept::compile(&subscription).map_err(|invalid| unfit(&invalid))?;
        render_fully(&template, &body)
    };
    elsewhere(turn, work).await
}

/// Not on this thread, on which every other endpoint waits; one at a time, and until then nothing but the body is held.
async fn elsewhere(
    turn: &Semaphore,
    work: impl FnOnce() -> Result<String, Outcome> + Send + 'static,
) -> Result<String, Outcome> {
    let _turn = turn.acquire().await;
    let rendered = tokio::task::spawn_blocking(work).await;
    rendered.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

fn render_fully(template: &Template, body: &[u8]) -> Result<String, Outcome> {
    render_within(template, body, Effort::Full).map_err(|unrendered| unrendered.outcome)
}

fn unfit(invalid: &Invalid) -> Outcome {
    failed(Failure::Render, invalid.to_string())
}

struct Unrendered {
    outcome: Outcome,
    is_unfinished: bool,
}

fn render_within(template: &Template, body: &[u8], effort: Effort) -> Result<String, Unrendered> {
    let event = serde_json::from_slice(body).map_err(|_| Unrendered {
        outcome: failed(Failure::Internal, "the stored event could not be read".to_owned()),
        is_unfinished: false,
    })?;
    template.render(&event, effort).map_err(|error| Unrendered {
        is_unfinished: error.is_unfinished,
        outcome: failed(error.failure, error.to_string()),
    })
}

pub(crate) fn failed(failure: Failure, message: String) -> Outcome {
    Outcome::Failed { failure, message }
}
