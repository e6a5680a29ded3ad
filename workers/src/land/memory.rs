//! Bytes on their way to the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts what is being encoded or uploaded. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Draining {
    bytes: Arc<AtomicU64>,
    freed: Arc<Notify>,
}

impl Draining {
    /// Bytes at present.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts `bytes` until the load is dropped.
    #[must_use]
    pub fn load(&self, bytes: u64) -> Load {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Load {
            of: self.clone(),
            bytes,
        }
    }

    /// Waits until something was freed.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// Some bytes of [`Draining`].
#[derive(Debug)]
pub struct Load {
    of: Draining,
    bytes: u64,
}

impl Load {
    /// Counts `bytes` from now on instead.
    pub fn set(&mut self, bytes: u64) {
        self.of.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_counts_until_it_is_dropped() {
        let draining = Draining::default();
        let mut a = draining.load(10);
        let b = draining.load(5);
        a.set(2);
        assert_eq!(draining.bytes(), 7);
        drop((a, b));
        assert_eq!(draining.bytes(), 0);
    }
}
