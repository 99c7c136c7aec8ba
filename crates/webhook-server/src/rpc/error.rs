//! From a fault to the coded error that the caller reads.

use jsonrpsee::types::ErrorObjectOwned;
use webhook_api::{Error, ErrorKind};
use webhook_log::{CursorFault, Rejection, Unavailable};
use webhook_model::Invalid;

/// Why a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError(pub Error);

impl RpcError {
    /// An error without a field.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Error::new(kind, message))
    }

    /// There is no such thing.
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("{field}: there is no such {what}")).field(field)
    }

    /// A cursor is of no use.
    pub fn of_cursor(fault: CursorFault) -> Self {
        match fault {
            CursorFault::Malformed => {
                Invalid::params("after", "expected a cursor of this method, or \"\"").into()
            }
            CursorFault::Stale => Self::new(
                ErrorKind::StaleCursor,
                "after: the cursor is of another log; call subscription.sync and begin again with \"\"",
            ),
        }
    }

    fn field(self, field: &str) -> Self {
        Self(self.0.field(field))
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<RpcError> for Error {
    fn from(error: RpcError) -> Self {
        error.0
    }
}

impl From<Invalid> for RpcError {
    fn from(invalid: Invalid) -> Self {
        Self(invalid.into())
    }
}

impl From<Unavailable> for RpcError {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(ErrorKind::StoreUnavailable, unavailable.to_string())
    }
}

impl From<Rejection> for RpcError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NotFound => Self::not_found("subscription_id", "subscription"),
            Rejection::Inactive => {
                Self::new(ErrorKind::Inactive, "the subscription is not active").field("subscription_id")
            }
            Rejection::Conflict => {
                Self::new(ErrorKind::Conflict, "id: another event was accepted under this id; make a new id")
                    .field("id")
            }
            Rejection::Expired => Self::new(
                ErrorKind::Expired,
                "timestamp: the event is older than the time for which ids are remembered (retention.days)",
            )
            .field("timestamp"),
        }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(RpcError(error): RpcError) -> Self {
        Self::owned(error.code, error.message, Some(error.data))
    }
}
