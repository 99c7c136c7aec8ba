//! One try of a delivery, and how it ended.

use std::time::Duration;

use crate::{EventId, Millis, SubscriptionId};

/// Why an attempt was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The event was accepted.
    Event,
    /// The attempt before failed and the subscription asks for more.
    Retry,
    /// Somebody asked for a redelivery.
    Manual,
    /// Somebody asked for a test event.
    Test,
    /// Somebody asked for events of records that existed already.
    Backfill,
    /// A server action in Odoo made the event.
    Action,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttemptStatus {
    /// Waiting, or under way: the log knows no difference, for after a crash there is none.
    Pending,
    /// The final status line was 2xx.
    Success,
    /// Everything else.
    Failed,
}

/// Why an attempt failed. Decisions look at this and never at a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The deadline over the whole attempt passed before a status line came.
    Timeout,
    /// The name did not resolve.
    Dns,
    /// No TCP connection.
    Connect,
    /// No TLS session: certificate, name or protocol.
    Tls,
    /// The address is not public and not opened by `allow_networks`.
    BlockedAddress,
    /// 3xx; redirects are never followed.
    Redirect,
    /// Any other status line that is not 2xx.
    HttpStatus,
    /// The answer was not HTTP, or broke off before its status line.
    Protocol,
    /// The payload template could not be rendered.
    Render,
    /// The rendered payload is over its limit.
    PayloadTooLarge,
    /// The subscription was switched off or deleted.
    Inactive,
    /// A fault of this side.
    Internal,
    /// Somebody cancelled the delivery.
    Cancelled,
    /// A 2xx answer that does not meet the subscription's own condition of success.
    Rejected,
    /// The event was caused by its own delivery.
    Loop,
}

macro_rules! words {
    ($name:ident { $($variant:ident = $code:literal => $word:literal),+ $(,)? }) => {
        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The contract's word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that `word` names.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }

            /// A number that never changes its meaning: what the log stores.
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value behind a stored number.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.code() == code)
            }
        }
    };
}

words!(Trigger {
    Event = 1 => "event",
    Retry = 2 => "retry",
    Manual = 3 => "manual",
    Test = 4 => "test",
    Backfill = 5 => "backfill",
    Action = 6 => "action",
});
words!(AttemptStatus { Pending = 1 => "pending", Success = 2 => "success", Failed = 3 => "failed" });
words!(Failure {
    Timeout = 1 => "timeout",
    Dns = 2 => "dns",
    Connect = 3 => "connect",
    Tls = 4 => "tls",
    BlockedAddress = 5 => "blocked_address",
    Redirect = 6 => "redirect",
    HttpStatus = 7 => "http_status",
    Protocol = 8 => "protocol",
    Render = 9 => "render",
    PayloadTooLarge = 10 => "payload_too_large",
    Inactive = 11 => "inactive",
    Internal = 12 => "internal",
    Cancelled = 13 => "cancelled",
    Rejected = 14 => "rejected",
    Loop = 15 => "loop",
});

/// What came of one request, or of the try to make one. Data, never an `Err`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A final status line came.
    Response {
        /// 200 to 999.
        status: u16,
        /// The `Retry-After` header as received, where there was one (at most 64 bytes).
        retry_after: Option<String>,
        /// Cleaned text: valid UTF-8 without NUL, at most [`crate::limits::RESPONSE_BYTES`].
        body: String,
        /// The body was cut, broke off, or overran the deadline.
        truncated: bool,
        /// It calls itself HTML.
        is_html: bool,
    },
    /// None came.
    Failed {
        /// The class, which steers the decision.
        failure: Failure,
        /// For people: what happened and to which host; no path, no secret.
        message: String,
    },
}

/// Why an attempt failed, as the log keeps it and people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The class.
    pub kind: Failure,
    /// One sentence.
    pub message: String,
}

/// One try of a delivery: the row that the log keeps, the feed carries and Odoo mirrors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which delivery.
    pub event_id: EventId,
    /// Whose.
    pub subscription_id: SubscriptionId,
    /// Numbered from 1 without gaps.
    pub number: u32,
    /// Why it was made.
    pub trigger: Trigger,
    /// Where it stands.
    pub status: AttemptStatus,
    /// The status line's code; none where no answer came.
    pub response_code: Option<u16>,
    /// The exact body posted; none until then, and where nothing was posted.
    pub payload: Option<String>,
    /// What the endpoint answered, cleaned and cut.
    pub response_body: Option<String>,
    /// The answer was cut, broke off, or overran the deadline.
    pub response_truncated: bool,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// When the attempt came into being (attempt 1: when its event was accepted).
    pub created_at: Millis,
    /// When its outcome was known.
    pub finished_at: Option<Millis>,
    /// How long the request alone took.
    pub duration: Option<Duration>,
    /// When it is due, while it is pending and waits for a time of its own.
    pub next_attempt_at: Option<Millis>,
}

impl Attempt {
    /// Attempt 1 of a delivery, before anything was tried.
    pub fn pending(
        event_id: EventId,
        subscription_id: SubscriptionId,
        trigger: Trigger,
        now: Millis,
    ) -> Self {
        Self {
            event_id,
            subscription_id,
            number: 1,
            trigger,
            status: AttemptStatus::Pending,
            response_code: None,
            payload: None,
            response_body: None,
            response_truncated: false,
            error: None,
            created_at: now,
            finished_at: None,
            duration: None,
            next_attempt_at: None,
        }
    }
}
