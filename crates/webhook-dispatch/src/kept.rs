//! Compiled templates: they are up to sixty times as large as their text, so not all of them are kept.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use webhook_model::{Invalid, Subscription, limits};

use crate::template::Template;

/// All that are kept take no more, by their texts' sizes.
const ROOM: usize = 32 << 20;
/// What a compiled template takes of each byte of its text; the worst that was found is 60.
const TIMES: usize = 64;
/// A longer text is compiled for each payload, which takes no longer than rendering it.
const LONGEST: usize = limits::TEMPLATE_BYTES / 8;

/// What is kept, all subscriptions together.
static KEPT: Taken = Taken(AtomicUsize::new(0));

struct Taken(AtomicUsize);

/// A subscription's template.
pub(crate) enum Compiled {
    /// Ready, or known not to be one.
    Kept(Result<Arc<Template>, Invalid>, #[expect(dead_code, reason = "held")] Place),
    /// To be compiled for each payload.
    Anew,
}

/// Part of the room, until it is dropped.
pub(crate) struct Place(&'static Taken, usize);

impl Compiled {
    /// The template of a subscription; none where it has none.
    pub fn of(subscription: &Subscription) -> Option<Self> {
        let length = subscription.payload_template.as_ref()?.to_string().len();
        let place = (length <= LONGEST).then(|| KEPT.place(length * TIMES)).flatten();
        Some(place.map_or(Self::Anew, |place| Self::Kept(compile(subscription).map(Arc::new), place)))
    }
}

/// Compiles it.
///
/// # Errors
/// It is none.
pub(crate) fn compile(subscription: &Subscription) -> Result<Template, Invalid> {
    let source = subscription.payload_template.as_ref().unwrap_or(&serde_json::Value::Null);
    Template::compile(source, subscription.dialect, subscription.endpoint.host())
}

impl Taken {
    fn place(&'static self, bytes: usize) -> Option<Place> {
        let more = |taken| Some(taken + bytes).filter(|taken| *taken <= ROOM);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Place(self, bytes))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever number of subscriptions and however large their templates, what is kept has an end, and goes with them.
    #[test]
    fn what_is_kept_has_an_end_and_goes_with_its_subscription() {
        static ROOMS: Taken = Taken(AtomicUsize::new(0));
        let (one, all) = (TIMES << 10, ROOM / (TIMES << 10));
        let places: Vec<_> = (0..2 * all).map(|_| ROOMS.place(one)).collect();
        assert_eq!(places.iter().flatten().count(), all);
        drop(places);
        assert_eq!(ROOMS.0.load(Relaxed), 0);
        assert!(ROOMS.place(ROOM + 1).is_none());
        assert!(ROOMS.place(ROOM).is_some());
    }
}
