//! Why no answer came. Decided by types in the chain of causes, never by their text; the text is for people and names
//! host and port only.

use std::{error::Error, io};

use hyper_util::client::legacy;
use webhook_model::{Failure, Outcome};

use super::resolve::ResolveError;

/// What is kept of the reason why there is no TLS session, in characters.
const REASON: usize = 300;

/// The outcome of a request that got no final status line.
pub(super) fn failed(error: &legacy::Error, host: &str) -> Outcome {
    let (failure, message) = explain(error, host);
    Outcome::Failed { failure, message }
}

/// Whether the connection ended while nothing of an answer had come.
pub(super) fn was_not_answered(error: &legacy::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let closed = find::<hyper::Error>(error)
        .is_some_and(|cause| cause.is_incomplete_message() || cause.is_closed() || cause.is_canceled());
    let lost = find::<io::Error>(error).is_some_and(|cause| {
        matches!(
            cause.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
        )
    });
    !error.is_connect() && (closed || lost)
}

fn explain(error: &legacy::Error, host: &str) -> (Failure, String) {
    if let Some(resolve) = find::<ResolveError>(error) {
        return match resolve {
            ResolveError::Blocked(blocked) => (Failure::BlockedAddress, format!("{host}: {blocked}")),
            ResolveError::NoAnswer => (Failure::Dns, format!("the name of {host} could not be resolved")),
        };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        // A certificate may bring thousands of names, and the error repeats them.
        let reason: String = tls.to_string().chars().take(REASON).collect();
        return (Failure::Tls, format!("no TLS session with {host}: {reason}"));
    }
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if find::<io::Error>(error).is_some_and(is_late) {
        return (Failure::Timeout, format!("{host} did not answer in time"));
    }
    if error.is_connect() {
        let cause = find::<io::Error>(error).map_or_else(String::new, |io| format!(": {}", reason(io)));
        return (Failure::Connect, format!("no connection to {host}{cause}"));
    }
    (Failure::Protocol, format!("{host} closed the connection, or its answer was not HTTP/1.1"))
}

/// An I/O error's class in words. Its own text may hold anything.
fn reason(error: &io::Error) -> String {
    error.kind().to_string()
}

/// The first cause of this type, also inside an I/O error that wraps another error.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(inner) = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        cause = current.source();
    }
    None
}
