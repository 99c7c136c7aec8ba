//! Why a call fails, as its caller reads it. This is the one table of kinds and codes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webhook_model::{Invalid, InvalidKind};

use crate::field::{Given, Wire, one_of, words};

macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $kind:ident = $code:literal => $word:literal,)+) => {
        /// The contract's kinds of application error, with their codes. Codes below zero are JSON-RPC's own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorKind {
            $($(#[doc = $about])+ $kind,)+
        }

        impl ErrorKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The JSON-RPC error code.
            pub fn code(self) -> i32 {
                match self { $(Self::$kind => $code),+ }
            }

            /// The contract's word, as `data.kind`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word),+ }
            }

            /// The kind that `word` names.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
            }
        }
    };
}

kinds! {
    /// The parameters' shape.
    InvalidParams = -32602 => "invalid_params",
    /// There is no such thing.
    NotFound = 1001 => "not_found",
    /// Something of this identity exists, or is under way.
    Conflict = 1002 => "conflict",
    /// The URL is not one to post to.
    InvalidUrl = 1003 => "invalid_url",
    /// The URL's literal address is not public.
    BlockedAddress = 1004 => "blocked_address",
    /// The template does not compile.
    InvalidTemplate = 1005 => "invalid_template",
    /// The secret breaks its rules.
    InvalidSecret = 1006 => "invalid_secret",
    /// A custom header breaks its rules.
    InvalidHeader = 1007 => "invalid_header",
    /// Too many of something.
    LimitExceeded = 1008 => "limit_exceeded",
    /// Too large.
    PayloadTooLarge = 1009 => "payload_too_large",
    /// The subscription is not active.
    Inactive = 1010 => "inactive",
    /// The event is too old.
    Expired = 1011 => "expired",
    /// The cursor is of another log.
    StaleCursor = 1012 => "stale_cursor",
    /// Another database is attached.
    Fenced = 1013 => "fenced",
    /// The log does not work now.
    StoreUnavailable = 1014 => "store_unavailable",
}

words! {
    ErrorKind as "ErrorKind": one_of;
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Error {
    /// The JSON-RPC code.
    pub code: i32,
    /// For people; names the field.
    pub message: String,
    /// For programs.
    pub data: Box<ErrorData>,
}

/// What a program may decide on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ErrorData {
    /// The contract's word.
    pub kind: Wire<ErrorKind>,
    /// The parameter at fault.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub field: Given<String>,
    /// The message without the field's name.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub detail: Given<String>,
    /// Where in the parameters' text.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub line: Given<usize>,
    /// Where in that line.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub column: Given<usize>,
    /// JSON pointer inside the field.
    #[serde(default, skip_serializing_if = "Given::is_absent")]
    pub pointer: Given<String>,
}

/// How much of what a parser says is told.
const MESSAGE_BYTES: usize = 300;

impl Error {
    /// An error without a field.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let data = ErrorData {
            kind: Wire(kind),
            field: Given::default(),
            detail: Given::default(),
            line: Given::default(),
            column: Given::default(),
            pointer: Given::default(),
        };
        Self { code: kind.code(), message: message.into(), data: Box::new(data) }
    }

    /// The parameters are not even JSON of the right shape.
    pub fn malformed(error: &serde_json::Error) -> Self {
        // It repeats keys, which can be as long as a call.
        let mut text = format!("the parameters could not be read: {error}");
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
        let mut refused = Self::new(ErrorKind::InvalidParams, text);
        (refused.data.line, refused.data.column) = (error.line().into(), error.column().into());
        refused
    }

    /// Names the parameter at fault.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        self.data.field = field.to_owned().into();
        self
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        let kind = match invalid.kind {
            InvalidKind::Params => ErrorKind::InvalidParams,
            InvalidKind::Url => ErrorKind::InvalidUrl,
            InvalidKind::BlockedAddress => ErrorKind::BlockedAddress,
            InvalidKind::Template => ErrorKind::InvalidTemplate,
            InvalidKind::Secret => ErrorKind::InvalidSecret,
            InvalidKind::Header => ErrorKind::InvalidHeader,
            InvalidKind::LimitExceeded => ErrorKind::LimitExceeded,
            InvalidKind::PayloadTooLarge => ErrorKind::PayloadTooLarge,
        };
        let mut error = Self::new(kind, invalid.to_string()).field(&invalid.field);
        error.data.detail = invalid.message.into();
        error.data.pointer = Given(invalid.pointer);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_application_codes_are_positive() {
        let mut codes: Vec<i32> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(ErrorKind::ALL.iter().all(|kind| kind.code() > 0 || *kind == ErrorKind::InvalidParams));
    }
}
