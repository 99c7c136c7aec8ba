//! What follows from an attempt: is it over, and if not, when comes the next one.
//!
//! Pure: the time and the jitter are arguments, so every row of the tables below can be tested.

use std::time::{Duration, SystemTime};

use crate::{Attempt, AttemptError, AttemptStatus, Failure, Millis, Outcome, Success, Trigger, limits};

/// What an outcome means for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Success,
    /// Failed, and another try may help.
    Retry(Failure),
    /// Failed, and the same request would fail again.
    Final(Failure),
}

/// The final status line decides; without one, the failure does.
pub fn judge(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Response { status, .. } => match status {
            200..=299 => Verdict::Success,
            300..=399 => Verdict::Final(Failure::Redirect),
            408 | 425 | 429 | 500..=599 => Verdict::Retry(Failure::HttpStatus),
            _ => Verdict::Final(Failure::HttpStatus),
        },
        Outcome::Failed { failure, .. } => match failure {
            Failure::Timeout
            | Failure::Dns
            | Failure::Connect
            | Failure::Tls
            | Failure::Protocol
            | Failure::Internal => Verdict::Retry(*failure),
            Failure::BlockedAddress
            | Failure::Redirect
            | Failure::HttpStatus
            | Failure::Render
            | Failure::PayloadTooLarge
            | Failure::Inactive
            | Failure::Cancelled
            | Failure::Rejected
            | Failure::Loop => Verdict::Final(*failure),
        },
    }
}

/// A draw from 0 (inclusive) to 1 (exclusive), made by the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(pub f64);

/// When the attempt after the `failed`-th one is due: 5 s x 4^(n-1), at most 6 h, plus or minus 20 %;
/// the endpoint's `Retry-After` raises it, at most to 24 h.
pub fn next_attempt_at(failed: u32, retry_after: Option<&str>, now: Millis, jitter: Jitter) -> Millis {
    let factor = 4_u64.saturating_pow(failed.saturating_sub(1));
    let planned = Duration::from_secs(5_u64.saturating_mul(factor)).min(limits::RETRY_DELAY);
    let asked = retry_after.and_then(|value| parse_retry_after(value, now)).unwrap_or(Duration::ZERO);
    now.plus(jittered(planned, jitter).max(asked.min(limits::RETRY_AFTER)))
}

/// Plus or minus 20 %, so that what failed together does not come back together.
pub(crate) fn jittered(planned: Duration, jitter: Jitter) -> Duration {
    planned.mul_f64(0.8 + 0.4 * jitter.0.clamp(0.0, 1.0))
}

/// Reads `Retry-After` (RFC 9110 section 10.2.3): seconds or an HTTP date. Many send a fraction, which is
/// rounded up. Anything else is ignored.
pub(crate) fn parse_retry_after(value: &str, now: Millis) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are still "very long": the caller clamps.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    if let Some((whole, fraction)) = value.split_once('.')
        && [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    {
        let begun = u64::from(fraction.bytes().any(|b| b != b'0'));
        return Some(Duration::from_secs(whole.parse().unwrap_or(u64::MAX).saturating_add(begun)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since_epoch.saturating_sub(Duration::from_millis(now.0)))
}

/// What the dispatcher knows when an attempt is over.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exact body posted; none where nothing was posted.
    pub payload: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long the request alone took; none where there was none.
    pub duration: Option<Duration>,
    /// When the outcome was known.
    pub at: Millis,
}

/// What a subscription says about the end of its attempts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'s> {
    /// Attempts of one delivery in all.
    pub max_attempts: u8,
    /// What a 2xx answer must say besides.
    pub success: Option<&'s Success>,
}

impl From<u8> for Rules<'_> {
    fn from(max_attempts: u8) -> Self {
        Self { max_attempts, success: None }
    }
}

/// Why a 2xx answer does not count as delivered all the same.
fn objection(outcome: &Outcome, success: Option<&Success>) -> Option<String> {
    match outcome {
        Outcome::Response { status: 200..=299, body, truncated, is_html, .. } => {
            success?.objection(*is_html, body, *truncated)
        }
        _ => None,
    }
}

/// The attempt that was pending, with its outcome; and the attempt that follows, if the subscription asks for one.
///
/// A manual or test attempt is never followed by a retry.
pub fn settle<'s>(
    pending: Attempt,
    finished: Finished,
    rules: impl Into<Rules<'s>>,
    jitter: Jitter,
) -> (Attempt, Option<Attempt>) {
    let Rules { max_attempts, success } = rules.into();
    let objection = objection(&finished.outcome, success);
    let verdict = match &objection {
        Some(_) => Verdict::Final(Failure::Rejected),
        None => judge(&finished.outcome),
    };
    let mut attempt = Attempt { finished_at: Some(finished.at), next_attempt_at: None, ..pending };
    attempt.payload = finished.payload;
    attempt.duration = finished.duration;
    let mut retry_after = None;
    let mut message = String::new();
    match finished.outcome {
        Outcome::Response { status, retry_after: asked, body, truncated, .. } => {
            attempt.response_code = Some(status);
            attempt.response_body = Some(body);
            attempt.response_truncated = truncated;
            retry_after = asked;
            message = match objection {
                Some(objection) => format!("the endpoint answered {status}, but {objection}"),
                None => status_message(status),
            };
        }
        Outcome::Failed { message: text, .. } => message.push_str(&text),
    }
    let (status, failure) = match verdict {
        Verdict::Success => (AttemptStatus::Success, None),
        Verdict::Retry(failure) | Verdict::Final(failure) => (AttemptStatus::Failed, Some(failure)),
    };
    attempt.status = status;
    attempt.error = failure.map(|kind| AttemptError { kind, message });
    let automatic = matches!(attempt.trigger, Trigger::Event | Trigger::Retry);
    let again = matches!(verdict, Verdict::Retry(_)) && automatic && attempt.number < u32::from(max_attempts);
    let next = again.then(|| {
        let due = next_attempt_at(attempt.number, retry_after.as_deref(), finished.at, jitter);
        follow_up(&attempt, Trigger::Retry, finished.at, Some(due))
    });
    (attempt, next)
}

/// The attempt after `last`, pending.
pub fn follow_up(last: &Attempt, trigger: Trigger, now: Millis, due: Option<Millis>) -> Attempt {
    Attempt {
        number: last.number + 1,
        next_attempt_at: due,
        ..Attempt::pending(last.event_id, last.subscription_id, trigger, now)
    }
}

fn status_message(status: u16) -> String {
    match status {
        300..=399 => format!("the endpoint answered {status}, a redirect; redirects are never followed"),
        _ => format!("the endpoint answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{EventId, SubscriptionId};

    const NOW: Millis = Millis(1_795_000_000_000);

    fn response(status: u16) -> Outcome {
        Outcome::Response { status, retry_after: None, body: String::new(), truncated: false, is_html: false }
    }

    fn failed(failure: Failure) -> Outcome {
        Outcome::Failed { failure, message: "why".into() }
    }

    fn pending(number: u32, trigger: Trigger) -> Attempt {
        Attempt {
            number,
            ..Attempt::pending(EventId::from_u128(1), SubscriptionId::from_u128(2), trigger, NOW)
        }
    }

    fn finish(outcome: Outcome) -> Finished {
        Finished { payload: Some("{}".into()), outcome, duration: Some(Duration::from_millis(3)), at: NOW }
    }

    #[test]
    fn the_status_line_decides() {
        #[track_caller]
        fn check(status: u16, expected: Verdict) {
            assert_eq!(judge(&response(status)), expected, "{status}");
        }
        for status in [200, 204, 299] {
            check(status, Verdict::Success);
        }
        for status in [300, 301, 307, 399] {
            check(status, Verdict::Final(Failure::Redirect));
        }
        for status in [408, 425, 429, 500, 503, 599] {
            check(status, Verdict::Retry(Failure::HttpStatus));
        }
        for status in [400, 401, 404, 410, 422, 499, 600, 999] {
            check(status, Verdict::Final(Failure::HttpStatus));
        }
    }

    #[test]
    fn the_failures_worth_another_try_are_those_of_the_contract() {
        let worth: Vec<&str> = Failure::ALL
            .iter()
            .filter(|f| matches!(judge(&failed(**f)), Verdict::Retry(_)))
            .map(|f| f.as_str())
            .collect();
        assert_eq!(worth, ["timeout", "dns", "connect", "tls", "protocol", "internal"]);
    }

    #[test]
    fn the_delay_grows_by_four_up_to_six_hours() {
        #[track_caller]
        fn check(failed: u32, jitter: f64, seconds: f64) {
            let due = next_attempt_at(failed, None, NOW, Jitter(jitter));
            assert_eq!(due.since(NOW).as_secs_f64(), seconds, "after attempt {failed}");
        }
        check(1, 0.5, 5.0);
        check(2, 0.5, 20.0);
        check(3, 0.5, 80.0);
        check(1, 0.0, 4.0);
        check(1, 1.0, 6.0);
        check(19, 0.5, 21_600.0);
        check(u32::MAX, 1.0, 25_920.0);
    }

    #[test]
    fn retry_after_only_raises_and_never_panics() {
        #[track_caller]
        fn check(value: &str, seconds: u64) {
            let due = next_attempt_at(1, Some(value), NOW, Jitter(0.5));
            assert_eq!(due.since(NOW).as_secs(), seconds, "{value}");
        }
        check("120", 120);
        check("29.3", 30);
        check("30.000", 30);
        check("0.25", 5);
        check("99999999999999999999999999.5", 86_400);
        check("1", 5);
        check("0", 5);
        check("99999999999999999999999999", 86_400);
        check(
            &httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.unix_seconds() + 600)),
            600,
        );
        check("Fri, 31 Dec 9999 23:59:59 GMT", 86_400);
        check("Thu, 01 Jan 1970 00:00:00 GMT", 5);
        for junk in
            ["1e300", "inf", "nan", "-1", "30.", ".5", "3.0.0", "-30.5", "+30.5", "", "soon", "\u{0661}"]
        {
            check(junk, 5);
        }
    }

    #[test]
    fn retries_happen_only_where_asked_for_and_never_after_a_manual_attempt() {
        #[track_caller]
        fn check(number: u32, trigger: Trigger, outcome: Outcome, max_attempts: u8, next: Option<u32>) {
            let (attempt, following) =
                settle(pending(number, trigger), finish(outcome), max_attempts, Jitter(0.5));
            assert_ne!(attempt.status, AttemptStatus::Pending);
            assert_eq!(following.as_ref().map(|a| a.number), next);
            if let Some(following) = following {
                assert_eq!((following.status, following.trigger), (AttemptStatus::Pending, Trigger::Retry));
                assert!(following.next_attempt_at > Some(NOW));
            }
        }
        check(1, Trigger::Event, response(503), 1, None);
        check(1, Trigger::Event, response(503), 3, Some(2));
        check(2, Trigger::Retry, response(503), 3, Some(3));
        check(3, Trigger::Retry, response(503), 3, None);
        check(1, Trigger::Event, response(404), 3, None);
        check(1, Trigger::Event, response(200), 3, None);
        check(1, Trigger::Event, failed(Failure::Timeout), 2, Some(2));
        check(1, Trigger::Event, failed(Failure::Render), 2, None);
        check(2, Trigger::Manual, response(503), 20, None);
        check(1, Trigger::Test, failed(Failure::Connect), 20, None);
    }

    #[test]
    fn a_success_that_does_not_meet_the_condition_is_rejected_for_good() {
        #[track_caller]
        fn check(status: u16, body: &str, kind: Option<Failure>, again: bool) {
            let condition = Success::parse(&serde_json::json!({"pointer": "/ok", "equals": true})).unwrap();
            let rules = Rules { max_attempts: 3, success: condition.as_ref() };
            let body = body.to_owned();
            let outcome =
                Outcome::Response { status, retry_after: None, body, truncated: false, is_html: false };
            let (attempt, next) = settle(pending(1, Trigger::Event), finish(outcome), rules, Jitter(0.5));
            assert_eq!(attempt.error.as_ref().map(|error| error.kind), kind, "{status}");
            assert_eq!((next.is_some(), attempt.response_code), (again, Some(status)));
            if let Some(error) = attempt.error {
                assert!(
                    error.message.starts_with(&format!("the endpoint answered {status}")),
                    "{}",
                    error.message
                );
            }
        }
        check(200, r#"{"ok":true}"#, None, false);
        check(202, r#"{"ok":false}"#, Some(Failure::Rejected), false);
        check(204, "", Some(Failure::Rejected), false);
        check(302, r#"{"ok":true}"#, Some(Failure::Redirect), false);
        check(503, r#"{"ok":true}"#, Some(Failure::HttpStatus), true);
    }

    #[test]
    fn a_final_attempt_says_what_came_back() {
        let (attempt, _) = settle(pending(1, Trigger::Event), finish(response(302)), 1, Jitter(0.0));
        assert_eq!(attempt.response_code, Some(302));
        let error = attempt.error.unwrap();
        assert_eq!(error.kind, Failure::Redirect);
        assert_eq!(error.message, "the endpoint answered 302, a redirect; redirects are never followed");
        let (attempt, _) = settle(pending(1, Trigger::Event), finish(failed(Failure::Dns)), 1, Jitter(0.0));
        assert_eq!((attempt.response_code, attempt.response_body), (None, None));
    }

    proptest! {
        #[test]
        fn no_sequence_of_outcomes_breaks_the_numbering(statuses in prop::collection::vec(100_u16..1000, 1..40), max in 1_u8..=20) {
            let mut current = Some(pending(1, Trigger::Event));
            let mut made = 0;
            for status in statuses {
                let Some(attempt) = current.take() else { break };
                made += 1;
                prop_assert_eq!(attempt.number, made);
                let (done, next) = settle(attempt, finish(response(status)), max, Jitter(0.3));
                prop_assert_eq!(done.number, made);
                current = next;
            }
            prop_assert!(made <= u32::from(max));
        }

        #[test]
        fn any_retry_after_stays_within_a_day(value in ".*", failed in 1_u32..30) {
            let due = next_attempt_at(failed, Some(&value), NOW, Jitter(0.9));
            prop_assert!(due.since(NOW) <= Duration::from_secs(86_400));
        }
    }
}
