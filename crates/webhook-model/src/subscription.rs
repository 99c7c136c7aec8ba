//! A subscription: who wants which events, and where to.

use std::time::Duration;

use serde_json::Value;

use crate::{CustomHeaders, EndpointUrl, Millis, SigningSecret, SubscriptionId, Success};

/// Which kinds of event a subscription asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFilter {
    /// Records are made.
    Create,
    /// Records are changed.
    Write,
    /// Records are deleted.
    Unlink,
    /// Any of these.
    All,
}

/// Which receiver's escaping rules apply to values inside a template's strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// By the URL's host, else plain.
    Auto,
    /// No escaping beyond JSON's own.
    Plain,
    /// Slack's mrkdwn.
    Slack,
    /// Discord's Markdown and mentions.
    Discord,
    /// Microsoft Teams' Markdown.
    Teams,
    /// Google Chat's text format.
    GoogleChat,
}

macro_rules! words {
    ($name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The contract's word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that `word` names.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }
    };
}

words!(EventFilter { Create => "create", Write => "write", Unlink => "unlink", All => "all" });
words!(Dialect {
    Auto => "auto",
    Plain => "plain",
    Slack => "slack",
    Discord => "discord",
    Teams => "teams",
    GoogleChat => "google_chat",
});

/// A secret that was replaced, and signs beside the new one so that receivers can follow in their own time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// What it is.
    pub secret: SigningSecret,
    /// Until when it signs.
    pub until: Millis,
}

/// The URL side of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where to post; none where events are only kept for reading.
    pub url: Option<EndpointUrl>,
    /// Signs each request, where there is one.
    pub secret: Option<SigningSecret>,
    /// The secret before, which signs as well for a while.
    pub previous_secret: Option<PreviousSecret>,
    /// Sent with each request.
    pub headers: CustomHeaders,
    /// One deadline over the whole attempt, 1 to 60 s.
    pub timeout: Duration,
    /// Attempts under way at once, 1 to 64; 1 means strictly in order of acceptance.
    pub max_in_flight: u8,
}

/// Who wants which events, and where to.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Made by Odoo.
    pub id: SubscriptionId,
    /// For people.
    pub name: String,
    /// Technical name of the Odoo model.
    pub model: String,
    /// Which kinds of event.
    pub event_type: EventFilter,
    /// Where to.
    pub endpoint: Endpoint,
    /// A JSON document whose strings are templates; none posts the default body.
    pub payload_template: Option<Value>,
    /// How values are escaped inside the template's strings.
    pub dialect: Dialect,
    /// Not active: new events are rejected and pending ones fail, both as `inactive`.
    pub active: bool,
    /// Paused: events are accepted and wait.
    pub paused: bool,
    /// Attempts of one delivery in all, 1 to 20.
    pub max_attempts: u8,
    /// What a 2xx answer must say besides to count as delivered.
    pub success: Option<Success>,
}

impl Endpoint {
    /// The secrets that sign at `now`: the present one first.
    pub fn signing_secrets(&self, now: Millis) -> impl Iterator<Item = &SigningSecret> {
        let previous = self.previous_secret.as_ref().filter(|previous| now < previous.until);
        self.secret.iter().chain(previous.filter(|_| self.secret.is_some()).map(|previous| &previous.secret))
    }

    /// The host of its URL.
    pub fn host(&self) -> Option<&str> {
        self.url.as_ref().map(EndpointUrl::host)
    }
}
