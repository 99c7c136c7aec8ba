//! How fast a subscription's deliveries may go, from what its endpoint did last.
//!
//! Pure: time and jitter are arguments. Nothing of this is on disk; a start begins with full confidence.

use std::time::Duration;

use crate::{Failure, Millis, Outcome, decide};

/// An attempt that takes longer shows an endpoint that is slow.
const SLOW: Duration = Duration::from_secs(1);
/// So many troubles one after the other, without any answer between, and the endpoint is plainly down.
const OUTAGE: u32 = 5;
/// The pause before the first probe; it doubles with each that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two probes, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that an endpoint can ask for with `Retry-After`.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It answers promptly, whatever it says.
    Well,
    /// It answers, but takes its time.
    Slow,
    /// It says that it has too much to do, and perhaps for how long.
    Overloaded(Option<Duration>),
    /// It does not answer.
    Away,
}

/// What an outcome says about the endpoint; nothing, where the attempt did not get that far.
pub fn condition(outcome: &Outcome, duration: Option<Duration>, now: Millis) -> Option<Condition> {
    match outcome {
        Outcome::Response { status: 429 | 502 | 503 | 504, retry_after, .. } => {
            let asked = retry_after.as_deref().and_then(|value| decide::parse_retry_after(value, now));
            Some(Condition::Overloaded(asked))
        }
        Outcome::Response { .. } if duration.is_some_and(|d| d > SLOW) => Some(Condition::Slow),
        Outcome::Response { .. } => Some(Condition::Well),
        Outcome::Failed { failure, .. } => match failure {
            Failure::Timeout | Failure::Dns | Failure::Connect | Failure::Tls | Failure::Protocol => {
                Some(Condition::Away)
            }
            _ => None,
        },
    }
}

/// The state: how many attempts at once, and until when none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    slots: usize,
    troubles: u32,
    /// When the newest trouble was seen, and until when to pause because of it.
    pause: Option<(Millis, Millis)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { slots: usize::MAX, troubles: 0, pause: None }
    }
}

impl Pace {
    /// Attempts that may be under way at once, as far as the endpoint's health is concerned.
    ///
    /// One after any trouble; each prompt answer adds one, so that a backlog drains at a bounded pace.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The newest attempts brought no answer, or "too much to do".
    pub fn is_troubled(&self) -> bool {
        self.troubles > 0
    }

    /// The endpoint is plainly down: its backlog waits behind one probe.
    pub fn is_outage(&self) -> bool {
        self.troubles >= OUTAGE
    }

    /// Until when nothing is to be sent. A clock that was set back ends the pause rather than prolong it.
    pub fn paused_until(&self, now: Millis) -> Option<Millis> {
        self.pause.filter(|(since, until)| *since <= now && now < *until).map(|(_, until)| until)
    }

    /// Takes note of an attempt that began at `started` and ended at `now`.
    pub fn observe(&mut self, condition: &Condition, started: Millis, now: Millis, jitter: decide::Jitter) {
        match condition {
            Condition::Well => {
                *self = Self { slots: self.slots.saturating_add(1), ..Self::default() };
            }
            Condition::Slow => *self = Self { slots: 1, ..Self::default() },
            Condition::Overloaded(asked) => {
                self.trouble(started, now);
                let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
                self.pause_for(backoff(self.troubles, jitter).max(asked), now);
            }
            Condition::Away => {
                self.trouble(started, now);
                if self.is_outage() {
                    self.pause_for(backoff(self.troubles - OUTAGE + 1, jitter), now);
                }
            }
        }
    }

    /// Attempts that were under way together are one trouble, not many.
    fn trouble(&mut self, started: Millis, now: Millis) {
        self.slots = 1;
        let (seen, until) = self.pause.filter(|(seen, _)| *seen <= now).unwrap_or((Millis(0), now));
        if started >= seen {
            self.troubles = self.troubles.saturating_add(1);
            self.pause = Some((now, until.max(now)));
        }
    }

    fn pause_for(&mut self, time: Duration, now: Millis) {
        let (since, until) = self.pause.unwrap_or((now, now));
        self.pause = Some((since, until.max(now.plus(time))));
    }
}

fn backoff(nth: u32, jitter: decide::Jitter) -> Duration {
    let factor = 2_u32.saturating_pow(nth.saturating_sub(1));
    decide::jittered(FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE), jitter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::Jitter;

    const NOW: Millis = Millis(1_795_000_000_000);
    const MIDDLE: Jitter = Jitter(0.5);

    fn after(conditions: &[Condition]) -> Pace {
        let mut pace = Pace::default();
        for condition in conditions {
            pace.observe(condition, NOW, NOW, MIDDLE);
        }
        pace
    }

    fn pause(pace: &Pace) -> u64 {
        pace.paused_until(NOW).map_or(0, |until| until.since(NOW).as_secs())
    }

    #[test]
    fn a_trouble_costs_all_slots_but_one_and_each_prompt_answer_brings_one_back() {
        #[track_caller]
        fn check(conditions: &[Condition], slots: usize) {
            assert_eq!(after(conditions).slots(), slots, "{conditions:?}");
        }
        use Condition::{Away, Overloaded, Slow, Well};
        check(&[], usize::MAX);
        check(&[Well], usize::MAX);
        check(&[Away], 1);
        check(&[Slow], 1);
        check(&[Overloaded(None)], 1);
        check(&[Away, Well, Well], 3);
        check(&[Away, Well, Well, Slow], 1);
    }

    #[test]
    fn an_endpoint_that_is_away_five_times_is_down_and_probed_ever_more_rarely() {
        let expected = [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60];
        for (n, seconds) in expected.iter().enumerate() {
            let pace = after(&vec![Condition::Away; n + 1]);
            assert_eq!((pause(&pace), pace.is_outage()), (*seconds, n >= 4), "after {} troubles", n + 1);
        }
        let back = after(&[vec![Condition::Away; 9], vec![Condition::Well]].concat());
        assert_eq!((pause(&back), back.is_outage(), back.slots()), (0, false, 2));
    }

    #[test]
    fn too_much_to_do_pauses_at_once_and_for_as_long_as_was_asked_within_an_hour() {
        #[track_caller]
        fn check(asked: Option<u64>, times: usize, seconds: u64) {
            let condition = Condition::Overloaded(asked.map(Duration::from_secs));
            assert_eq!(pause(&after(&vec![condition; times])), seconds);
        }
        check(None, 1, 1);
        check(None, 3, 4);
        check(Some(30), 1, 30);
        check(Some(0), 1, 1);
        check(Some(u64::MAX), 1, 3600);
    }

    #[test]
    fn attempts_that_were_under_way_together_are_one_trouble() {
        let mut pace = Pace::default();
        for n in 0..64 {
            pace.observe(&Condition::Away, NOW, NOW.plus(Duration::from_millis(10 + n)), MIDDLE);
        }
        assert_eq!((pace.is_troubled(), pace.is_outage()), (true, false));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_pause() {
        let pace = after(&[Condition::Overloaded(None)]);
        assert!(pace.paused_until(NOW).is_some());
        assert_eq!(pace.paused_until(Millis(NOW.0 - 3_600_000)), None);
    }

    #[test]
    fn only_what_the_network_did_says_something_about_the_endpoint() {
        #[track_caller]
        fn check(outcome: Outcome, expected: Option<Condition>) {
            assert_eq!(condition(&outcome, Some(Duration::from_millis(3)), NOW), expected, "{outcome:?}");
        }
        let answer = |status, retry_after: Option<&str>| Outcome::Response {
            status,
            retry_after: retry_after.map(str::to_owned),
            body: String::new(),
            truncated: false,
            is_html: false,
        };
        for status in [200, 302, 404, 500] {
            check(answer(status, None), Some(Condition::Well));
        }
        for status in [429, 502, 503, 504] {
            check(answer(status, None), Some(Condition::Overloaded(None)));
        }
        check(answer(429, Some("7")), Some(Condition::Overloaded(Some(Duration::from_secs(7)))));
        check(answer(429, Some("1e300")), Some(Condition::Overloaded(None)));
        for failure in Failure::ALL {
            let away = matches!(failure.as_str(), "timeout" | "dns" | "connect" | "tls" | "protocol");
            let outcome = Outcome::Failed { failure: *failure, message: String::new() };
            check(outcome, away.then_some(Condition::Away));
        }
        let slow = condition(&answer(200, None), Some(Duration::from_millis(1001)), NOW);
        assert_eq!(slow, Some(Condition::Slow));
    }

    proptest! {
        #[test]
        fn no_history_pauses_longer_than_an_hour_and_a_quarter(
            asked in prop::collection::vec((0_u8..4, any::<u64>(), 0_u64..100_000), 1..50),
        ) {
            let (mut pace, mut now) = (Pace::default(), NOW);
            for (kind, seconds, step) in asked {
                let condition = match kind {
                    0 => Condition::Well,
                    1 => Condition::Slow,
                    2 => Condition::Overloaded(Some(Duration::from_secs(seconds))),
                    _ => Condition::Away,
                };
                let started = now;
                now = now.plus(Duration::from_millis(step));
                pace.observe(&condition, started, now, Jitter(0.9));
                prop_assert!(pace.slots() >= 1);
                let left = pace.paused_until(now).map_or(Duration::ZERO, |until| until.since(now));
                prop_assert!(left <= Duration::from_secs(3600 + 900));
            }
        }
    }
}
