//! Bytes that attempts, their outcomes, and answers to callers hold in memory, of which there is an end.
//!
//! Room is asked for before something is made or read, and given back where the bytes are dropped, so that an endpoint
//! that takes its time holds only what it has not read yet.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use tokio::sync::Notify;

/// Bytes of one kind.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    taken: AtomicUsize,
    /// Wakes those that wait for more.
    freed: Notify,
    /// Wakes the loop, where it wants that.
    wake: Notify,
    is_wanted: AtomicBool,
}

impl Budget {
    /// So many at most.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: AtomicUsize::new(0),
            freed: Notify::new(),
            wake: Notify::new(),
            is_wanted: AtomicBool::new(false),
        })
    }

    /// What is left; lanes in trouble leave an eighth of everything to the others.
    pub fn room(&self, is_troubled: bool) -> usize {
        let reserve = if is_troubled { self.most / 8 } else { 0 };
        (self.most - reserve).saturating_sub(self.taken.load(SeqCst))
    }

    /// Takes so many bytes, whether there is room for them or not.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Held {
        self.taken.fetch_add(bytes, SeqCst);
        Held { budget: Arc::clone(self), bytes }
    }

    /// What is left. Where that is no more than `enough`, [`Self::woken`] ends when some is given back.
    pub fn room_or_wake(&self, is_troubled: bool, enough: usize) -> usize {
        if self.room(is_troubled) <= enough {
            self.is_wanted.store(true, SeqCst);
        }
        self.room(is_troubled)
    }

    /// See [`Self::room_or_wake`].
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// How much is taken.
    pub fn taken(&self) -> usize {
        self.taken.load(SeqCst)
    }

    fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.taken.fetch_sub(bytes, SeqCst);
        self.freed.notify_waiters();
        if self.is_wanted.swap(false, SeqCst) {
            self.wake.notify_one();
        }
    }
}

/// Part of a budget, until it is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// From now on it is so much, whether there is room or not.
    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes < before {
            self.budget.give_back(before - bytes);
        } else {
            self.budget.taken.fetch_add(bytes - before, SeqCst);
        }
    }

    /// From now on it is so much if there is room, which lanes in trouble leave an eighth of to the others.
    pub fn fits(&mut self, bytes: usize, is_troubled: bool) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes) else { return true };
        let reserve = if is_troubled { self.budget.most / 8 } else { 0 };
        let grown = |taken: usize| taken.checked_add(more).filter(|all| *all <= self.budget.most - reserve);
        let fits = more == 0 || self.budget.taken.fetch_update(SeqCst, SeqCst, grown).is_ok();
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    /// Waits until there is room for so many more, and takes them.
    pub async fn grow(&mut self, more: usize) {
        let budget = Arc::clone(&self.budget);
        loop {
            let mut freed = pin!(budget.freed.notified());
            // From here on nothing that is given back is missed.
            freed.as_mut().enable();
            if budget.room(false) >= more {
                return self.set(self.bytes + more);
            }
            freed.await;
        }
    }

    /// So many more, whether there is room or not.
    pub fn add(&mut self, more: usize) {
        self.set(self.bytes + more);
    }

    /// A part of its own.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }

    /// Bytes that give their part back when the last of their owners, the network among them, has dropped them.
    pub fn with(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        struct Owner<B>(B, #[expect(dead_code, reason = "given back with the bytes")] Held);
        impl<B: AsRef<[u8]>> AsRef<[u8]> for Owner<B> {
            fn as_ref(&self) -> &[u8] {
                self.0.as_ref()
            }
        }
        Bytes::from_owner(Owner(bytes, self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_needs_more_waits_until_it_is_given_back_and_nothing_stays_taken() {
        let budget = Budget::new(800);
        let (mut one, mut other) = (budget.take(500), budget.take(0));
        assert_eq!((budget.room(false), budget.room(true)), (300, 200), "an eighth is left to the others");
        assert!(other.grow(301).now_or_never().is_none());
        assert!(other.grow(250).now_or_never().is_some());
        drop(budget.take(700)); // whatever there is
        let part = one.split(200).with(vec![0; 200]);
        let copy = part.clone();
        drop(part);
        assert_eq!(budget.taken(), 750, "somebody still has the bytes");
        assert!(other.grow(150).now_or_never().is_none());
        drop(copy);
        assert!(other.grow(150).now_or_never().is_some());
        drop(other);
        one.add(1);
        one.set(10);
        assert_eq!(budget.taken(), 10);
        drop(one);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let budget = Budget::new(100);
        let first = budget.take(100);
        let mut second = budget.take(0);
        let waiting = tokio::spawn(async move { second.grow(60).await });
        tokio::task::yield_now().await;
        assert_eq!(budget.room_or_wake(false, 0), 0);
        drop(first);
        budget.woken().await;
        waiting.await.unwrap();
        assert_eq!(budget.taken(), 0);
    }
}
