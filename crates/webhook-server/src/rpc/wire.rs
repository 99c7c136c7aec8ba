//! From the shapes of the wire to the model and back, by hand, so that renaming a field in one changes nothing in the other.

use webhook_api::{
    Wire, event,
    field::{Object, OnWire, Whole},
    subscription,
};
use webhook_log::Submission;
use webhook_model::{EndpointUrl, Event, Invalid, InvalidKind, Millis, Subscription, limits};

/// A subscription as it is told: without its secret and its headers' values.
pub fn subscription(subscription: &Subscription, now: Millis) -> subscription::Subscription {
    let endpoint = &subscription.endpoint;
    let previous = endpoint.previous_secret.as_ref().filter(|previous| now < previous.until);
    subscription::Subscription {
        id: Wire(subscription.id),
        name: subscription.name.clone(),
        model: subscription.model.clone(),
        event_type: Wire(subscription.event_type),
        url: endpoint.url.as_ref().map(|url| EndpointUrl::as_str(url).to_owned()),
        has_secret: endpoint.secret.is_some(),
        previous_secret_until: previous.map(|previous| Wire(previous.until)),
        header_names: endpoint.headers.iter().map(|(name, _)| name.to_owned()).collect(),
        payload_template: subscription.payload_template.clone().unwrap_or_default(),
        dialect: Wire(subscription.dialect),
        active: subscription.active,
        paused: subscription.paused,
        timeout_s: Wire(Whole(endpoint.timeout.as_secs())),
        max_in_flight: Wire(Whole(endpoint.max_in_flight.into())),
        max_attempts: Wire(Whole(subscription.max_attempts.into())),
        success: subscription.success.as_ref().and_then(|success| Object::read(success.to_value())).map(Wire),
    }
}

/// An event of the wire, as the model has it.
pub fn event(event: event::Event) -> Event {
    Event {
        id: event.id.0,
        subscription_id: event.subscription_id.0,
        model: event.model.0.0,
        kind: event.event_type.0,
        record_ids: event.record_ids.0.0,
        user_id: event.user_id.get().map(|id| id.0),
        timestamp: event.timestamp.0.text,
        records: event.records.get().map(|records| records.0),
        test: false,
    }
}

/// What the log takes of an event that happened `at`.
///
/// # Errors
/// It is over its limit.
pub fn submission(event: &Event, at: Millis) -> Result<Submission, Invalid> {
    let body = event.body();
    if body.len() > limits::EVENT_BYTES {
        return Err(too_large(body.len()));
    }
    Ok(Submission {
        event_id: event.id,
        subscription_id: event.subscription_id,
        timestamp: at,
        body: body.into(),
    })
}

/// An event over its limit.
pub fn too_large(bytes: usize) -> Invalid {
    let message =
        format!("the event has {bytes} bytes, {} are allowed; send fewer records", limits::EVENT_BYTES);
    Invalid::new(InvalidKind::PayloadTooLarge, "event", message)
}
