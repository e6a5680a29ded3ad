//! A fault that lasts is told now and then, not with each request that meets it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(30);

/// One kind of fault.
#[derive(Debug)]
pub(crate) struct Seldom(Mutex<Told>);

#[derive(Debug)]
struct Told {
    at: Option<Instant>,
    kept: u64,
}

impl Seldom {
    /// A fault that was not told yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Told { at: None, kept: 0 }))
    }

    /// The fault is met; where it is to be told, how often it was met and not told since the last time.
    pub(crate) fn met(&self) -> Option<u64> {
        self.met_at(Instant::now())
    }

    fn met_at(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        if told.at.is_some_and(|at| now.duration_since(at) < EVERY) {
            told.kept += 1;
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_now_and_then() {
        let (fault, start) = (Seldom::new(), Instant::now());
        let met = |ms| fault.met_at(start + Duration::from_millis(ms));
        let told = [0, 1, 29_999, 30_000, 30_001, 90_000].map(met);
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
