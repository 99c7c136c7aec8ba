//! Who is connected. There is a place for each; when all are taken, whoever has sat longest without showing a token makes
//! room. So silent connections, however many, keep nobody out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Open connections.
const PLACES: usize = 512;

/// All of them.
#[derive(Debug)]
pub struct Guests {
    places: Arc<Semaphore>,
    strangers: Mutex<Strangers>,
}

/// Those without a token, by order of arrival, and how to send each away.
#[derive(Debug, Default)]
struct Strangers {
    arrived: u64,
    by_arrival: BTreeMap<u64, CancellationToken>,
}

/// One connection. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Guest {
    guests: Arc<Guests>,
    arrival: u64,
    leave: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Guests {
    /// An empty house.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { places: Arc::new(Semaphore::new(PLACES)), strangers: Mutex::default() })
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection. Waits only while every other one has shown a token.
    pub async fn admit(self: &Arc<Self>) -> Guest {
        if self.places.available_permits() == 0
            && let Some((_, leave)) = self.strangers().by_arrival.pop_first()
        {
            leave.cancel();
        }
        let place = Arc::clone(&self.places).acquire_owned().await.expect("it is never closed");
        let leave = CancellationToken::new();
        let mut strangers = self.strangers();
        strangers.arrived += 1;
        let arrival = strangers.arrived;
        strangers.by_arrival.insert(arrival, leave.clone());
        Guest { guests: Arc::clone(self), arrival, leave, _place: place }
    }
}

impl Guest {
    /// It has shown a token: from now on it is not sent away.
    pub fn introduce(&self) {
        self.guests.strangers().by_arrival.remove(&self.arrival);
    }

    /// Ends when its place is needed.
    pub async fn sent_away(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.introduce();
    }
}
