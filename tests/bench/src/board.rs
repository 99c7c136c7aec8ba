//! When each event was submitted, and when it first arrived.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use uuid::Uuid;

/// One measurement's events, by number. The number is part of the event's id, so that the receiver needs no table of
/// ids; the rest of it begins with the time, as the addon's ids do (UUIDv7).
pub struct Board {
    mark: u16,
    base: Instant,
    sent: Vec<AtomicU64>,
    arrived: Vec<AtomicU64>,
    count: AtomicU64,
    last: AtomicU64,
    /// Endpoints whose path begins with `/hang` answer only once this is set.
    pub released: AtomicBool,
}

impl Board {
    /// A board for at most `events` events.
    pub fn new(events: usize) -> Arc<Self> {
        let zeros = || (0..events).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            mark: Uuid::new_v4().as_u128() as u16,
            base: Instant::now(),
            sent: zeros(),
            arrived: zeros(),
            count: AtomicU64::new(0),
            last: AtomicU64::new(0),
            released: AtomicBool::new(false),
        })
    }

    /// How many events it has room for.
    pub fn room(&self) -> usize {
        self.sent.len()
    }

    /// The id of an event: a UUIDv7, but for the board's mark and the number in its last six bytes.
    pub fn id(&self, number: usize) -> Uuid {
        let head = Uuid::now_v7().as_u128() & !0xffff_ffff_ffff;
        Uuid::from_u128(head | u128::from(self.mark) << 32 | number as u128)
    }

    /// An event is about to be submitted.
    pub fn sent(&self, number: usize) {
        self.sent[number].store(self.now(), Relaxed);
    }

    /// A request arrived whose body holds `"event_id":"<uuid>"`. Events of other boards do not count.
    pub fn arrived(&self, body: &[u8]) {
        let Some(id) = event_id(body).filter(|id| (id >> 32) as u16 == self.mark) else { return };
        let Some(slot) = self.arrived.get(id as u32 as usize) else { return };
        let now = self.now();
        if slot.compare_exchange(0, now, Relaxed, Relaxed).is_ok() {
            self.count.fetch_add(1, Relaxed);
            self.last.fetch_max(now, Relaxed);
        }
    }

    fn now(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }

    /// How many different events arrived.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// From the board's beginning to the last arrival.
    pub fn last_arrival(&self) -> Duration {
        Duration::from_nanos(self.last.load(Relaxed))
    }

    /// From submission to arrival, of the events that `of` picks; sorted.
    pub fn latencies(&self, of: impl Fn(usize) -> bool) -> Latencies {
        let pairs = self.sent.iter().zip(&self.arrived).enumerate().filter(|(number, _)| of(*number));
        let mut times: Vec<u64> = pairs
            .map(|(_, (sent, arrived))| (sent.load(Relaxed), arrived.load(Relaxed)))
            .filter(|(sent, arrived)| *sent > 0 && *arrived > 0)
            .map(|(sent, arrived)| arrived.saturating_sub(sent))
            .collect();
        Latencies::of(&mut times)
    }
}

/// The number behind `"event_id":"` in a body, where there is one.
fn event_id(body: &[u8]) -> Option<u128> {
    const KEY: &[u8] = b"\"event_id\":\"";
    let at = body.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let text = std::str::from_utf8(body.get(at..at + 36)?).ok()?;
    Uuid::try_parse(text).ok().map(|id| id.as_u128())
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Latencies {
    pub samples: usize,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

impl Latencies {
    /// The percentiles of these nanoseconds.
    pub fn of(nanos: &mut [u64]) -> Self {
        nanos.sort_unstable();
        let at = |part: f64| match nanos.len() {
            0 => f64::NAN,
            n => nanos[((n as f64 * part) as usize).min(n - 1)] as f64 / 1e6,
        };
        Self { samples: nanos.len(), p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) }
    }
}

/// The middle one of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_and_only_on_its_own_board() {
        let (board, other) = (Board::new(2), Board::new(2));
        let body = |board: &Board, n| format!(r#"{{"event_id":"{}","x":1}}"#, board.id(n)).into_bytes();
        board.sent(1);
        let first = body(&board, 1);
        board.arrived(&first);
        board.arrived(&first);
        if other.mark != board.mark {
            board.arrived(&body(&other, 0));
        }
        board.arrived(b"{}");
        assert_eq!(board.count(), 1);
        assert_eq!(board.latencies(|_| true).samples, 1);
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let found = Latencies::of(&mut (1..=100).rev().map(|ms| ms * 1_000_000).collect::<Vec<_>>());
        assert_eq!((found.p50_ms, found.p95_ms, found.p99_ms), (51.0, 96.0, 100.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
