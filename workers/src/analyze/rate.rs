//! Ticks a second, by the second in which they were written to Kafka.

/// Seconds over which the smoothed rate is the mean.
const SMOOTHED_SECONDS: i64 = 10;
/// A second counts as whole this long after its end: records of its last moments may still be on their way.
const SETTLE_MS: i64 = 300;

/// Counts of ticks by wall-clock second. Of its `SLOTS` two are for the present second and the one that settles;
/// the others are [whole seconds](Self::WINDOW), at least ten.
#[derive(Clone, Debug)]
pub struct RateWindow<const SLOTS: usize> {
    counts: [u32; SLOTS],
    /// The newest second that has a slot.
    newest: i64,
}

/// Two minutes.
pub type MarketRate = RateWindow<122>;
/// Ten seconds.
pub type SymbolRate = RateWindow<12>;

impl<const SLOTS: usize> Default for RateWindow<SLOTS> {
    fn default() -> Self {
        Self {
            counts: [0; SLOTS],
            newest: i64::MIN,
        }
    }
}

impl<const SLOTS: usize> RateWindow<SLOTS> {
    /// Whole seconds that are remembered.
    pub const WINDOW: usize = SLOTS - 2;

    /// Counts one tick written at `at_ms`; later than `now_ms` (a clock ahead of ours) counts as now,
    /// older than the window is left out.
    pub fn count(&mut self, at_ms: i64, now_ms: i64) {
        let now = now_ms.div_euclid(1000);
        self.advance(now);
        let second = at_ms.div_euclid(1000).min(now);
        if second > self.newest - SLOTS as i64 {
            let count = &mut self.counts[Self::slot(second)];
            *count = count.saturating_add(1);
        }
    }

    fn advance(&mut self, second: i64) {
        if second <= self.newest {
            return;
        }
        let missed = (second.saturating_sub(self.newest)).min(SLOTS as i64);
        for passed in (second - missed + 1)..=second {
            self.counts[Self::slot(passed)] = 0;
        }
        self.newest = second;
    }

    /// Counts of the last [`WINDOW`](Self::WINDOW) whole seconds before `now_ms`, oldest first.
    #[must_use]
    pub fn history(&self, now_ms: i64) -> Vec<u32> {
        let last = last_whole(now_ms);
        let first = last - Self::WINDOW as i64 + 1;
        (first..=last).map(|second| self.of(second)).collect()
    }

    /// The last whole second's count before `now_ms`, and the mean of the last ten.
    #[must_use]
    pub fn rate(&self, now_ms: i64) -> (u32, f64) {
        let last = last_whole(now_ms);
        let total: u64 = (0..SMOOTHED_SECONDS)
            .map(|ago| u64::from(self.of(last - ago)))
            .sum();
        (self.of(last), total as f64 / SMOOTHED_SECONDS as f64)
    }

    fn of(&self, second: i64) -> u32 {
        if second > self.newest || second <= self.newest.saturating_sub(SLOTS as i64) {
            return 0;
        }
        self.counts[Self::slot(second)]
    }

    fn slot(second: i64) -> usize {
        second.rem_euclid(SLOTS as i64) as usize
    }
}

/// The last second that is whole and settled at `now_ms`.
fn last_whole(now_ms: i64) -> i64 {
    (now_ms - SETTLE_MS).div_euclid(1000) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_shows_its_rate_now_and_in_the_history() {
        let mut window = MarketRate::default();
        for ms in (0..20_000).step_by(100) {
            window.count(ms, ms);
        }
        assert_eq!(window.rate(20_000 + SETTLE_MS), (10, 10.0));
        let history = window.history(20_000 + SETTLE_MS);
        assert_eq!(history.len(), MarketRate::WINDOW);
        assert_eq!(&history[MarketRate::WINDOW - 20..], &[10; 20]);
        assert_eq!(history[..MarketRate::WINDOW - 20].iter().sum::<u32>(), 0);
    }

    #[test]
    fn a_second_is_not_shown_before_its_last_records_can_have_come() {
        let mut window = MarketRate::default();
        window.count(5_000, 5_900);
        assert_eq!(window.rate(6_000 + SETTLE_MS - 1).0, 0);
        assert_eq!(window.rate(6_000 + SETTLE_MS).0, 1);
    }

    #[test]
    fn silence_brings_the_rate_to_zero_and_old_slots_are_not_read_again() {
        let mut window = MarketRate::default();
        window.count(1_000, 1_000);
        assert_eq!(window.rate(1_000_000), (0, 0.0));
        window.count(1_000_000, 1_000_000);
        assert_eq!(window.history(1_001_500).iter().sum::<u32>(), 1);
    }

    #[test]
    fn a_record_from_a_clock_ahead_counts_now_and_one_older_than_the_window_does_not_count() {
        let mut window = MarketRate::default();
        window.count(99_000, 10_000);
        assert_eq!(window.rate(11_500).0, 1);
        window.count(-200_000, 10_000);
        assert_eq!(window.history(11_500).iter().sum::<u32>(), 1);
    }

    #[test]
    fn a_burst_is_forgotten_after_ten_seconds() {
        let mut rate = SymbolRate::default();
        for _ in 0..1000 {
            rate.count(5_000, 5_000);
        }
        assert_eq!(rate.rate(6_500), (1000, 100.0));
        assert_eq!(rate.rate(16_500), (0, 0.0));
    }
}
