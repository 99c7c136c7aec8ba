//! An endpoint's answer: as much of it as is kept, and no more of it in memory than there is room for.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use http_body_util::BodyExt;
use hyper::{Response, body::Incoming};
use tokio::time::{Instant, timeout_at};
use webhook_model::{Outcome, limits};

use super::{Exchange, Secrets};
use crate::held::{Budget, Held};

/// What is kept of a `Retry-After` header.
const RETRY_AFTER_BYTES: usize = 64;
/// What is kept of an answer whatever others hold.
const ALWAYS: usize = 4 << 10;

/// What may be held of an answer. Nobody waits for it: where there is none, the answer is cut off.
#[derive(Debug, Clone)]
pub struct Room {
    /// Of all answers.
    pub(crate) budget: Arc<Budget>,
    /// All of it decides, so it is read whether there is room or not.
    pub(crate) is_needed: bool,
    /// See [`Held::fits`].
    pub(crate) is_troubled: bool,
}

impl Room {
    /// For one answer at a time.
    pub fn alone() -> Self {
        Self { budget: Budget::new(limits::RESPONSE_BYTES), is_needed: true, is_troubled: false }
    }

    /// Whether so much of an answer may be held.
    fn gives(&self, held: &mut Held, bytes: usize) -> bool {
        let fits = bytes <= ALWAYS || held.fits(bytes, self.is_troubled);
        if !fits && self.is_needed {
            held.set(bytes);
        }
        fits || self.is_needed
    }
}

fn text_of<'r>(response: &'r Response<Incoming>, name: &header::HeaderName) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// The status line has decided. The body is read as far as the deadline, the limit and the room go.
pub(super) async fn read(
    mut response: Response<Incoming>,
    deadline: Instant,
    secrets: &Secrets,
    room: &Room,
) -> Exchange {
    let status = response.status().as_u16();
    let retry_after = text_of(&response, &header::RETRY_AFTER)
        .filter(|text| text.len() <= RETRY_AFTER_BYTES)
        .map(str::to_owned);
    let is_html = text_of(&response, &header::CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase())
        .is_some_and(|kind| matches!(kind.as_str(), "text/html" | "application/xhtml+xml"));
    let mut held = room.budget.take(0);
    let (bytes, truncated) = read_body(response.body_mut(), deadline, room, &mut held).await;
    let (body, cut) = clean(&bytes, truncated);
    drop(bytes);
    let truncated = truncated || cut;
    let body = secrets.redact(body, truncated);
    held.set(body.len());
    let outcome = Outcome::Response { status, retry_after, body, truncated, is_html };
    Exchange { held: Some(held), ..outcome.into() }
}

/// What came of the answer's body, and whether that is not all.
async fn read_body(body: &mut Incoming, deadline: Instant, room: &Room, held: &mut Held) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        let chunk = match timeout_at(deadline, body.frame()).await {
            // Trailers say nothing.
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(None) => return (bytes, false),
            Ok(Some(Err(_))) | Err(_) => return (bytes, true),
        };
        if !keep(&mut bytes, &chunk, room, held) {
            return (bytes, true);
        }
    }
}

/// Keeps what there is room for; false where that is not all.
fn keep(bytes: &mut Vec<u8>, chunk: &Bytes, room: &Room, held: &mut Held) -> bool {
    let all = bytes.len() + chunk.len();
    if all > bytes.capacity() {
        let more = all.max(bytes.capacity() * 2).clamp(ALWAYS, limits::RESPONSE_BYTES);
        let size = if room.gives(held, more) { more } else { bytes.capacity().max(ALWAYS) };
        bytes.reserve_exact(size - bytes.len());
    }
    let kept = chunk.len().min(bytes.capacity().min(limits::RESPONSE_BYTES) - bytes.len());
    bytes.extend_from_slice(&chunk[..kept]);
    kept == chunk.len()
}

/// Valid text without NUL, at most [`limits::RESPONSE_BYTES`]; and whether something was cut off for that.
fn clean(bytes: &[u8], truncated: bool) -> (String, bool) {
    let whole = match std::str::from_utf8(bytes) {
        // A character that the limit cut in two is dropped, not replaced.
        Err(error) if truncated && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    let mut text = String::from_utf8_lossy(whole).into_owned();
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    if text.len() <= limits::RESPONSE_BYTES {
        return (text, false);
    }
    text.truncate(text.floor_char_boundary(limits::RESPONSE_BYTES));
    (text, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many answers of whatever length: what fits is whole, the rest keeps its beginning, and what decides is
    /// whole in any case.
    #[test]
    fn what_is_held_of_all_answers_has_an_end_and_nobody_waits_for_it() {
        let budget = Budget::new(8 * limits::RESPONSE_BYTES);
        let room = |is_needed, is_troubled| Room { budget: Arc::clone(&budget), is_needed, is_troubled };
        for step in [1 << 10, 5000, limits::RESPONSE_BYTES, limits::RESPONSE_BYTES * 2] {
            let chunk = Bytes::from(vec![b'x'; step]);
            let read = |room: &Room| {
                let (mut bytes, mut held) = (Vec::new(), budget.take(0));
                while keep(&mut bytes, &chunk, room, &mut held) && bytes.len() < limits::RESPONSE_BYTES {}
                assert!(bytes.capacity() <= limits::RESPONSE_BYTES, "{}", bytes.capacity());
                (bytes, held)
            };
            let troubled: Vec<_> = (0..100).map(|_| read(&room(false, true))).collect();
            let whole = |(bytes, _): &&(Vec<u8>, Held)| bytes.len() == limits::RESPONSE_BYTES;
            assert_eq!(troubled.iter().filter(whole).count(), 7, "an eighth is left, in steps of {step}");
            assert!(troubled.iter().all(|(bytes, _)| bytes.len() >= ALWAYS), "the beginning is kept");
            assert_eq!(read(&room(false, false)).0.len(), limits::RESPONSE_BYTES, "and others have it");
            assert!(budget.taken() <= 8 * limits::RESPONSE_BYTES);
            assert_eq!(read(&room(true, true)).0.len(), limits::RESPONSE_BYTES, "what decides is read");
            drop(troubled);
            assert_eq!(budget.taken(), 0);
        }
    }

    #[test]
    fn answers_become_clean_text_within_the_limit() {
        #[track_caller]
        fn check(bytes: &[u8], expected: &str) {
            assert_eq!(clean(bytes, false).0, expected);
        }
        check(b"ok", "ok");
        check(b"a\0b", "a\u{fffd}b");
        check(&[0xff, b'x'], "\u{fffd}x");
        check("späť".as_bytes(), "späť");
        let (text, cut) = clean(&vec![0xff; limits::RESPONSE_BYTES], false);
        assert!(cut && text.len() <= limits::RESPONSE_BYTES && text.ends_with('\u{fffd}'));
        let half = &"é".as_bytes()[..1];
        assert_eq!(clean(&[b"ab", half].concat(), true), ("ab".to_owned(), false));
    }
}
