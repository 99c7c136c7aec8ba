//! Instants as whole milliseconds since 1970 (UTC), and their RFC 3339 text.

use std::{fmt, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// Milliseconds since the Unix epoch, UTC. Ordered, cheap to store, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

/// 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can name with four digits of year.
const LAST: u64 = 253_402_300_799_999;

impl Millis {
    /// The instant `by` later, at most the last one RFC 3339 can name.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(by).min(LAST))
    }

    /// How much later `self` is than `earlier`; zero when it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the epoch, as `webhook-timestamp` carries them.
    pub fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Reads an RFC 3339 text with any offset. Instants before 1970 count as the epoch. `None` when it is not one.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = instant.unix_timestamp_nanos().div_euclid(1_000_000);
        Some(Self(u64::try_from(millis).unwrap_or(0).min(LAST)))
    }
}

impl fmt::Display for Millis {
    /// RFC 3339, UTC, milliseconds: `2026-11-23T10:15:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0.min(LAST)) * 1_000_000;
        let instant = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        let text = instant
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Millis::parse_rfc3339(text).map(|m| m.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn rfc_3339_in_any_offset_comes_out_in_utc_with_milliseconds() {
        check("2026-11-23T10:15:00Z", Some("2026-11-23T10:15:00.000Z"));
        check("2026-11-23T12:15:00.1239+02:00", Some("2026-11-23T10:15:00.123Z"));
        check("1969-12-31T00:00:00Z", Some("1970-01-01T00:00:00.000Z"));
        check("9999-12-31T23:59:59.999Z", Some("9999-12-31T23:59:59.999Z"));
        check("2026-11-23 10:15", None);
        check("", None);
    }

    #[test]
    fn adding_never_leaves_the_range_of_rfc_3339() {
        assert_eq!(Millis(u64::MAX).plus(Duration::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Millis(5).since(Millis(9)), Duration::ZERO);
    }
}
