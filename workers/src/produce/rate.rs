//! Ticks a second over the last seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(3);

/// A counter's growth a second.
#[derive(Debug, Default)]
pub struct Rate {
    seen: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Takes the counter's value at `now`; its growth a second over the last few.
    pub fn observe(&mut self, now: Instant, count: u64) -> u64 {
        self.seen.push_back((now, count));
        while self.seen.len() > 2 && now.duration_since(self.seen[1].0) >= WINDOW {
            self.seen.pop_front();
        }
        let (first, before) = self.seen[0];
        let millis = u64::try_from(now.duration_since(first).as_millis()).unwrap_or(u64::MAX);
        (count.saturating_sub(before) * 1000)
            .checked_div(millis)
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_forgets_what_is_long_ago() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut rate = Rate::default();
        assert_eq!(rate.observe(at(0), 0), 0);
        assert_eq!(rate.observe(at(1), 1000), 1000);
        for s in 2..10 {
            rate.observe(at(s), 1000);
        }
        assert_eq!(rate.observe(at(10), 1000), 0);
        assert_eq!(rate.observe(at(12), 1600), 200);
    }
}
