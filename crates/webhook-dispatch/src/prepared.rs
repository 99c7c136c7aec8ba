//! A subscription made ready for sending: what does not change from attempt to attempt.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use webhook_model::{Attempt, EndpointUrl, Failure, Millis, Outcome, Subscription, Trigger, decide, limits};

use crate::{
    kept::Compiled,
    render::Templating,
    sign,
    transport::{Request, Room, Secrets},
};

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
}

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
        Self { subscription, template, url, host, headers, secrets }
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

    /// The template, where it has one.
    pub fn templating(&self) -> Option<Templating<'_>> {
        self.template.as_ref().map(|compiled| Templating { subscription: &self.subscription, compiled })
    }

    /// The most that the event's body and the payload take until it is made.
    pub fn weight(&self, body: &Bytes) -> usize {
        body.len() + if self.posts_event_body() { 0 } else { limits::PAYLOAD_BYTES }
    }

    /// Where it goes.
    ///
    /// # Errors
    /// Nowhere.
    pub fn url(&self) -> Result<&Arc<EndpointUrl>, Outcome> {
        let message = || "the subscription has no URL, so nothing was sent".to_owned();
        self.url.as_ref().ok_or_else(|| failed(Failure::Inactive, message()))
    }

    /// Signs one attempt.
    ///
    /// # Errors
    /// There is nowhere to send it, or it is too large.
    pub fn request(
        &self,
        attempt: &Attempt,
        payload: Bytes,
        now: Millis,
        room: Room,
    ) -> Result<Request, Outcome> {
        let url = self.url()?;
        if payload.len() > limits::PAYLOAD_BYTES {
            let message =
                format!("the payload has {} bytes, {} are allowed", payload.len(), limits::PAYLOAD_BYTES);
            return Err(failed(Failure::PayloadTooLarge, message));
        }
        let endpoint = &self.subscription.endpoint;
        let mut headers = HeaderMap::with_capacity(self.headers.len() + ADDED_HEADERS);
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
        }
        let mut secrets: Vec<_> = endpoint.signing_secrets(now).collect();
        if attempt.trigger == Trigger::Test {
            // Whether the receiver has the new secret shows only where the old one does not sign as well.
            secrets.truncate(1);
        }
        sign::sign(&mut headers, &secrets, attempt.event_id, now, &payload);
        Ok(Request {
            url: Arc::clone(url),
            headers,
            body: payload,
            secrets: self.secrets.clone(),
            timeout: endpoint.timeout,
            again_after: None,
            // A rule may ask for anything in it.
            room: Room { is_needed: self.subscription.success.is_some(), ..room },
        })
    }
}

pub(crate) fn failed(failure: Failure, message: String) -> Outcome {
    Outcome::Failed { failure, message }
}
