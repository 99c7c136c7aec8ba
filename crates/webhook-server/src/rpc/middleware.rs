//! Around every call: notifications are refused loudly, a panic becomes an error, and a batch has as many answers as
//! calls.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use jsonrpsee::{
    BatchResponseBuilder, MethodResponse, ResponsePayload,
    core::middleware::{Batch, BatchEntry, Notification, RpcServiceT},
    types::{ErrorObject, ErrorObjectOwned, Id, Request},
};
use webhook_api::{Caller, ErrorKind};
use webhook_model::limits;

use super::{calls, error::RpcError, service::Service};

/// Marks an answer that goes out with HTTP 400.
#[derive(Debug, Clone, Copy)]
pub struct BadRequest;

/// Calls the methods of the table; `inner` knows none, and refuses all other names. Parameters stay where they were
/// received: jsonrpsee's own modules copy them.
#[derive(Debug, Clone)]
pub struct Methods<S> {
    /// jsonrpsee's own.
    pub inner: S,
    /// What methods work with.
    pub service: Arc<Service>,
}

/// Answers of a batch; beyond it its other calls are not carried out.
const BATCH_BYTES: usize = limits::REQUEST_BYTES / 2;

fn not_carried_out(request: Request<'_>) -> MethodResponse {
    let message =
        "the call was not carried out: the answers of the batch are too large; call it again by itself";
    let error: ErrorObjectOwned = RpcError::new(ErrorKind::LimitExceeded, message).into();
    MethodResponse::error(request.id().into_owned(), error)
}

/// JSON-RPC answers nothing to a notification, so a caller would never learn what became of it.
fn refuse_notification() -> MethodResponse {
    let message = "notifications are not accepted: give every call an id";
    let error = ErrorObject::owned(-32600, message, None::<()>);
    let mut extensions = http::Extensions::new();
    extensions.insert(BadRequest);
    MethodResponse::error(Id::Null, error).with_extensions(extensions)
}

impl<S> RpcServiceT for Methods<S>
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
        let (inner, service) = (self.inner.clone(), Arc::clone(&self.service));
        let answer = async move {
            let Some(method) = calls::method(request.method_name()) else { return inner.call(request).await };
            let nobody = Caller { is_admin: false, database: None };
            let caller = request.extensions().get::<Caller>().unwrap_or(&nobody);
            let text = request.params.as_ref().map_or("{}", |params| params.get());
            let payload = match calls::answer(&service, method, text, caller).await {
                Ok(answer) => ResponsePayload::success(answer),
                Err(error) => ResponsePayload::error(error),
            };
            MethodResponse::response(request.id(), payload, usize::MAX)
        };
        async move {
            AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("a method panicked; the call is answered with an internal error");
                let error: ErrorObjectOwned =
                    ErrorObject::owned(-32603, "internal error; please report it", None::<()>);
                MethodResponse::error(id, error)
            })
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let service = self.clone();
        async move {
            if batch.iter().any(|entry| matches!(entry, Ok(BatchEntry::Notification(_)))) {
                return refuse_notification();
            }
            let mut answers = BatchResponseBuilder::new_with_limit(usize::MAX);
            let mut bytes = 0;
            // They are not read before the last of them is made.
            let mut held = service.service.unread.hold(0);
            for entry in batch {
                let answer = match entry {
                    // One more answer may be as long as a list: nothing is carried out whose answer may not fit.
                    Ok(BatchEntry::Call(request)) if bytes > BATCH_BYTES => not_carried_out(request),
                    Ok(BatchEntry::Call(request)) => service.call(request).await,
                    Ok(BatchEntry::Notification(_)) => refuse_notification(),
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                bytes += answer.as_json().get().len();
                held.set(bytes);
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
            MethodResponse::from_batch(answers.finish())
        }
    }

    fn notification<'a>(&self, _: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        std::future::ready(refuse_notification())
    }
}
