//! Around every call: notifications are refused loudly, and a panic becomes an error.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use jsonrpsee::{
    MethodResponse,
    core::middleware::{Batch, BatchEntry, Notification, RpcServiceT},
    types::{ErrorObject, ErrorObjectOwned, Id, Request},
};

/// Marks an answer that goes out with HTTP 400.
#[derive(Debug, Clone, Copy)]
pub struct BadRequest;

/// The layer's service.
#[derive(Debug, Clone)]
pub struct Guarded<S>(pub S);

/// JSON-RPC answers nothing to a notification, so a caller would never learn what became of it.
fn refuse_notification() -> MethodResponse {
    let message = "notifications are not accepted: give every call an id";
    let error = ErrorObject::owned(-32600, message, None::<()>);
    let mut extensions = http::Extensions::new();
    extensions.insert(BadRequest);
    MethodResponse::error(Id::Null, error).with_extensions(extensions)
}

impl<S> RpcServiceT for Guarded<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Send
        + Sync
        + Clone
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let id = request.id().into_owned();
        let answer = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        async move {
            answer.await.unwrap_or_else(|_| {
                tracing::error!("a method panicked; the call is answered with an internal error");
                let error: ErrorObjectOwned =
                    ErrorObject::owned(-32603, "internal error; please report it", None::<()>);
                MethodResponse::error(id, error)
            })
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.0.clone();
        async move {
            let has_notification = batch.iter().any(|entry| matches!(entry, Ok(BatchEntry::Notification(_))));
            if has_notification { refuse_notification() } else { service.batch(batch).await }
        }
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(refuse_notification())
    }
}
