//! From a fault to the coded error that the caller reads. This is the one table of codes.

use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use webhook_log::{CursorFault, Rejection, Unavailable};
use webhook_model::{Invalid, InvalidKind};

/// The contract's kinds of application error, with their codes. Codes below zero are JSON-RPC's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// -32602: the parameters' shape.
    InvalidParams,
    /// There is no such thing.
    NotFound,
    /// Something of this identity exists, or is under way.
    Conflict,
    /// The URL is not one to post to.
    InvalidUrl,
    /// The URL's literal address is not public.
    BlockedAddress,
    /// The template does not compile.
    InvalidTemplate,
    /// The secret breaks its rules.
    InvalidSecret,
    /// A custom header breaks its rules.
    InvalidHeader,
    /// Too many of something.
    LimitExceeded,
    /// Too large.
    PayloadTooLarge,
    /// The subscription is not active.
    Inactive,
    /// The event is too old.
    Expired,
    /// The cursor is of another log.
    StaleCursor,
    /// Another database is attached.
    Fenced,
    /// The log does not work now.
    StoreUnavailable,
}

impl Kind {
    /// Every kind, for the documentation.
    pub const ALL: &'static [Self] = &[
        Self::InvalidParams,
        Self::NotFound,
        Self::Conflict,
        Self::InvalidUrl,
        Self::BlockedAddress,
        Self::InvalidTemplate,
        Self::InvalidSecret,
        Self::InvalidHeader,
        Self::LimitExceeded,
        Self::PayloadTooLarge,
        Self::Inactive,
        Self::Expired,
        Self::StaleCursor,
        Self::Fenced,
        Self::StoreUnavailable,
    ];

    /// The JSON-RPC error code.
    pub fn code(self) -> i32 {
        match self {
            Self::InvalidParams => -32602,
            Self::NotFound => 1001,
            Self::Conflict => 1002,
            Self::InvalidUrl => 1003,
            Self::BlockedAddress => 1004,
            Self::InvalidTemplate => 1005,
            Self::InvalidSecret => 1006,
            Self::InvalidHeader => 1007,
            Self::LimitExceeded => 1008,
            Self::PayloadTooLarge => 1009,
            Self::Inactive => 1010,
            Self::Expired => 1011,
            Self::StaleCursor => 1012,
            Self::Fenced => 1013,
            Self::StoreUnavailable => 1014,
        }
    }

    /// The contract's word, as `data.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParams => "invalid_params",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InvalidUrl => "invalid_url",
            Self::BlockedAddress => "blocked_address",
            Self::InvalidTemplate => "invalid_template",
            Self::InvalidSecret => "invalid_secret",
            Self::InvalidHeader => "invalid_header",
            Self::LimitExceeded => "limit_exceeded",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Inactive => "inactive",
            Self::Expired => "expired",
            Self::StaleCursor => "stale_cursor",
            Self::Fenced => "fenced",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

/// An error as it goes over the wire: `{code, message, data: {kind, field?, detail?, line?, column?, pointer?}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RpcError {
    /// The JSON-RPC code.
    pub code: i32,
    /// For people; names the field.
    pub message: String,
    /// For programs.
    pub data: Box<Data>,
}

/// What a program may decide on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Data {
    /// The contract's word.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The parameter at fault.
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The message without the field's name.
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Where in the parameters' text.
    pub line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Where in that line.
    pub column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// JSON pointer inside the field.
    pub pointer: Option<String>,
}

/// How much of what a parser says is told.
const MESSAGE_BYTES: usize = 300;

impl RpcError {
    /// An error without a field.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let data =
            Data { kind: kind.as_str(), field: None, detail: None, line: None, column: None, pointer: None };
        Self { code: kind.code(), message: message.into(), data: Box::new(data) }
    }

    /// There is no such thing.
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::new(Kind::NotFound, format!("{field}: there is no such {what}")).field(field)
    }

    /// A cursor is of no use.
    pub fn of_cursor(fault: CursorFault) -> Self {
        match fault {
            CursorFault::Malformed => {
                Invalid::params("after", "expected a cursor of this method, or \"\"").into()
            }
            CursorFault::Stale => Self::new(
                Kind::StaleCursor,
                "after: the cursor is of another log; call subscription.sync and begin again with \"\"",
            ),
        }
    }

    /// The parameters are not even JSON of the right shape.
    pub fn malformed(error: &serde_json::Error) -> Self {
        // It repeats keys, which can be as long as a call.
        let mut text = format!("the parameters could not be read: {error}");
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
        let mut refused = Self::new(Kind::InvalidParams, text);
        (refused.data.line, refused.data.column) = (Some(error.line()), Some(error.column()));
        refused
    }

    fn field(mut self, field: &str) -> Self {
        self.data.field = Some(field.to_owned());
        self
    }
}

impl From<Invalid> for RpcError {
    fn from(invalid: Invalid) -> Self {
        let kind = match invalid.kind {
            InvalidKind::Params => Kind::InvalidParams,
            InvalidKind::Url => Kind::InvalidUrl,
            InvalidKind::BlockedAddress => Kind::BlockedAddress,
            InvalidKind::Template => Kind::InvalidTemplate,
            InvalidKind::Secret => Kind::InvalidSecret,
            InvalidKind::Header => Kind::InvalidHeader,
            InvalidKind::LimitExceeded => Kind::LimitExceeded,
            InvalidKind::PayloadTooLarge => Kind::PayloadTooLarge,
        };
        let mut error = Self::new(kind, invalid.to_string()).field(&invalid.field);
        error.data.detail = Some(invalid.message);
        error.data.pointer = invalid.pointer;
        error
    }
}

impl From<Unavailable> for RpcError {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(Kind::StoreUnavailable, unavailable.to_string())
    }
}

impl From<Rejection> for RpcError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NotFound => Self::not_found("subscription_id", "subscription"),
            Rejection::Inactive => {
                Self::new(Kind::Inactive, "the subscription is not active").field("subscription_id")
            }
            Rejection::Conflict => {
                Self::new(Kind::Conflict, "id: another event was accepted under this id; make a new id")
                    .field("id")
            }
            Rejection::Expired => Self::new(
                Kind::Expired,
                "timestamp: the event is older than the time for which ids are remembered (retention.days)",
            )
            .field("timestamp"),
        }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        Self::owned(error.code, error.message, Some(error.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_application_codes_are_positive() {
        let mut codes: Vec<i32> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| kind.code() > 0 || *kind == Kind::InvalidParams));
    }
}
