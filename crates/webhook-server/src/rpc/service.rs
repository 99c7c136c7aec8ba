//! What the methods work with, and what lists have in common.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use webhook_api::{ErrorKind, Given, Json, Serve, Wire, field::Whole};
use webhook_dispatch::{Canceller, Quiet};
use webhook_log::Log;
use webhook_model::limits;

use super::error::RpcError;
use crate::{live::Live, unread::Unread, vitals::Vitals};

/// What methods work with.
#[derive(Debug)]
pub struct Service {
    /// The log.
    pub log: Log,
    /// What the sidecar knows of its own state.
    pub vitals: Arc<Vitals>,
    /// What a reload replaces.
    pub live: Arc<Live>,
    /// By which pending deliveries are cancelled.
    pub canceller: Canceller,
    /// By which nothing is sent for a time.
    pub quiet: Quiet,
    /// Held by the preview that is being rendered.
    pub preview_turn: Semaphore,
    /// Answers that callers have not read.
    pub unread: Arc<Unread>,
}

impl Serve for Service {
    type Error = RpcError;
}

/// The parameter `limit` of lists: 1 to 1000, larger is clamped.
pub fn limit(wish: Given<Wire<Whole<1>>>) -> usize {
    let clamp = |wish: Whole<1>| usize::try_from(wish.0).unwrap_or(usize::MAX).min(limits::LIST_MOST);
    wish.get().map_or(limits::LIST_DEFAULT, clamp)
}

/// The items of a list, up to the size of an answer.
#[derive(Debug)]
pub struct Page<'a, T> {
    /// Them.
    pub items: Vec<Json<T>>,
    bytes: usize,
    most: usize,
    _turn: SemaphorePermit<'a>,
}

impl Service {
    /// An empty page, to be made now.
    ///
    /// # Errors
    /// What callers have not read takes all the room.
    pub async fn page<T>(&self) -> Result<Page<'_, T>, RpcError> {
        let turn = self.unread.turn().await;
        let most = self.unread.room().ok_or_else(|| {
            let message = "answers that callers do not read take all the room for lists; read them or close their \
                           connections, and call again";
            RpcError::new(ErrorKind::StoreUnavailable, message)
        })?;
        Ok(Page { items: Vec::new(), bytes: 0, most, _turn: turn })
    }
}

impl<T> Page<'_, T> {
    /// Takes one more; false where it does not fit. The first one always does.
    pub fn take(&mut self, item: Json<T>) -> bool {
        self.bytes += item.get().len() + 1;
        let fits = self.bytes <= self.most || self.items.is_empty();
        self.items.extend(fits.then_some(item));
        fits
    }
}
