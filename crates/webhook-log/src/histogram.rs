//! Durations, counted in buckets without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A histogram with `N` upper bounds in milliseconds.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [u64; N],
    buckets: [AtomicU64; N],
    count: AtomicU64,
    micros: AtomicU64,
}

/// What a histogram holds at one moment, as Prometheus wants it.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// (upper bound in ms, durations up to it), ascending.
    pub buckets: Vec<(u64, u64)>,
    /// All durations.
    pub count: u64,
    /// Their seconds in all.
    pub seconds: f64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one; `bounds` ascend.
    pub fn new(bounds: [u64; N]) -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, buckets, count: AtomicU64::new(0), micros: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn add(&self, duration: Duration) {
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            if duration <= Duration::from_millis(*bound) {
                bucket.fetch_add(1, Relaxed);
            }
        }
        self.micros.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    /// What it holds now.
    pub fn get(&self) -> Distribution {
        let count = self.count.load(Relaxed);
        let buckets = self.bounds.iter().zip(&self.buckets).map(|(bound, n)| (*bound, n.load(Relaxed)));
        let seconds = Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64();
        Distribution { buckets: buckets.collect(), count, seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_every_bucket_that_it_fits() {
        let histogram = Histogram::new([1, 10, 100]);
        [1, 10, 11, 5000].iter().for_each(|ms| histogram.add(Duration::from_millis(*ms)));
        let expected = Distribution { buckets: vec![(1, 1), (10, 2), (100, 3)], count: 4, seconds: 5.022 };
        assert_eq!(histogram.get(), expected);
    }
}
