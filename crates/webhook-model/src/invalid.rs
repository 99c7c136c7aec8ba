//! Why a value was refused, found when it was parsed, carrying the field that is at fault.

/// The class of a refusal. The server maps it to an error code and a `kind` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKind {
    /// Wrong type, missing or unknown field, out of range: JSON-RPC's own -32602.
    Params,
    /// The URL is not one this sender posts to.
    Url,
    /// The URL's literal address is not public and not opened by `allow_networks`.
    BlockedAddress,
    /// The payload template does not compile or breaks a limit.
    Template,
    /// The signing secret is too short, too long or not valid base64.
    Secret,
    /// A custom header's name or value is not allowed.
    Header,
    /// A count is over its limit.
    LimitExceeded,
    /// A text is over its limit in bytes.
    PayloadTooLarge,
}

/// One refused value. `message` says what was expected and never repeats a secret or more of a URL than its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The class, which decides the error code.
    pub kind: InvalidKind,
    /// The contract's name of the field at fault, for example `payload_template`.
    pub field: String,
    /// What is wrong and what to do, as one sentence.
    pub message: String,
    /// JSON pointer (RFC 6901) inside the field, where there is one.
    pub pointer: Option<String>,
}

impl Invalid {
    /// A refusal of `field`, without a position inside it.
    pub fn new(kind: InvalidKind, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, field: field.into(), message: message.into(), pointer: None }
    }

    /// A refusal that only concerns the shape of the parameters.
    pub fn params(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(InvalidKind::Params, field, message)
    }

    /// The same refusal with a JSON pointer inside the field.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }
}
