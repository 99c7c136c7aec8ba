//! What day it is, for what must not be forgotten early.
//!
//! A clock that jumps ahead would make outcomes and ids vanish, and events that are right look expired. The time by
//! which retention counts therefore goes forward only as fast as time has passed since the start, or as far as an
//! event from Odoo, whose clock is another one, says that it has. It is never later than our own clock.

use std::time::Duration;

use webhook_model::Millis;

/// The time by which retention counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calendar {
    since: Millis,
    started: Duration,
}

impl Calendar {
    /// At a start. `newest`: when the newest event happened; nothing else tells how long the log was closed.
    pub fn new(clock: Millis, newest: Millis, uptime: Duration) -> Self {
        let since = if newest == Millis(0) { clock } else { clock.min(newest) };
        Self { since, started: uptime }
    }

    /// The time that can be relied on. `uptime` comes from a clock that nobody sets.
    pub fn now(&mut self, clock: Millis, newest: Millis, uptime: Duration) -> Millis {
        let passed = self.since.plus(uptime.saturating_sub(self.started));
        if newest > passed {
            (self.since, self.started) = (newest, uptime);
        }
        passed.max(newest).min(clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn it_follows_what_has_passed_and_what_odoo_says_and_never_a_jump() {
        let day = |n: u32| Millis(0).plus(DAY * n);
        let mut calendar = Calendar::new(day(100), Millis(0), DAY);
        let mut at = |clock, newest, uptime| calendar.now(day(clock), day(newest), DAY * uptime);
        assert_eq!(at(100, 0, 1), day(100));
        assert_eq!(at(101, 0, 2), day(101));
        assert_eq!(at(900, 101, 2), day(101), "our clock jumped");
        assert_eq!(at(901, 101, 3), day(102), "time goes on");
        assert_eq!(at(901, 900, 3), day(900), "it was right: Odoo says so");
        assert_eq!(at(950, 900, 4), day(901));
        assert_eq!(at(50, 900, 4), day(50), "never later than our own clock");
        assert_eq!(at(902, 900, 5), day(902));
        // Behind a start the log knows of no time but its newest event's.
        assert_eq!(Calendar::new(day(500), day(100), DAY).now(day(501), day(100), DAY * 2), day(101));
        assert_eq!(Calendar::new(day(50), day(100), DAY).now(day(50), day(100), DAY), day(50));
    }
}
