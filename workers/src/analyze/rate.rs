//! Rates: ticks a second over a window, and a decaying rate of one symbol.

/// Seconds that the window shows.
pub const WINDOW_SECONDS: usize = 120;
/// Seconds over which the smoothed rate is the mean.
const SMOOTHED_SECONDS: usize = 10;
/// A second counts as whole this long after its end: records of its last moments may still be on their way.
const SETTLE_MS: i64 = 300;
/// Kept beyond the window: the current second, and the one that settles.
const SLOTS: usize = WINDOW_SECONDS + 2;

/// Counts of ticks by the wall-clock second in which they were written to Kafka.
#[derive(Clone, Debug)]
pub struct RateWindow {
    counts: [u64; SLOTS],
    /// The newest second that has a slot.
    newest: i64,
}

impl Default for RateWindow {
    fn default() -> Self {
        Self {
            counts: [0; SLOTS],
            newest: i64::MIN,
        }
    }
}

impl RateWindow {
    /// Counts one tick written at `at_ms`; later than `now_ms` (a clock ahead of ours) counts as now,
    /// older than the window is left out.
    pub fn count(&mut self, at_ms: i64, now_ms: i64) {
        let now = now_ms.div_euclid(1000);
        self.advance(now);
        let second = at_ms.div_euclid(1000).min(now);
        if second > self.newest - SLOTS as i64 {
            self.counts[slot(second)] += 1;
        }
    }

    fn advance(&mut self, second: i64) {
        if second <= self.newest {
            return;
        }
        let missed = (second.saturating_sub(self.newest)).min(SLOTS as i64);
        for passed in (second - missed + 1)..=second {
            self.counts[slot(passed)] = 0;
        }
        self.newest = second;
    }

    /// Counts of the last [`WINDOW_SECONDS`] whole seconds before `now_ms`, oldest first.
    #[must_use]
    pub fn history(&self, now_ms: i64) -> Vec<u64> {
        let last = (now_ms - SETTLE_MS).div_euclid(1000) - 1;
        let first = last - WINDOW_SECONDS as i64 + 1;
        (first..=last).map(|second| self.of(second)).collect()
    }

    /// The last whole second's count before `now_ms`, and the mean of the last ten.
    #[must_use]
    pub fn rate(&self, now_ms: i64) -> (u64, f64) {
        let last = (now_ms - SETTLE_MS).div_euclid(1000) - 1;
        let total: u64 = (0..SMOOTHED_SECONDS as i64)
            .map(|ago| self.of(last - ago))
            .sum();
        (self.of(last), total as f64 / SMOOTHED_SECONDS as f64)
    }

    fn of(&self, second: i64) -> u64 {
        if second > self.newest || second <= self.newest.saturating_sub(SLOTS as i64) {
            return 0;
        }
        self.counts[slot(second)]
    }
}

fn slot(second: i64) -> usize {
    second.rem_euclid(SLOTS as i64) as usize
}

/// Ticks a second of one symbol: each tick adds `1/τ`, which decays with time constant `τ`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecayingRate {
    value: f64,
    at_ms: i64,
}

impl DecayingRate {
    /// τ, seconds.
    const TAU: f64 = 10.0;

    /// Counts one tick at `at_ms`; one that is out of order counts as simultaneous with the newest.
    pub fn count(&mut self, at_ms: i64) {
        let at_ms = at_ms.max(self.at_ms);
        self.value = self.at(at_ms) + 1.0 / Self::TAU;
        self.at_ms = at_ms;
    }

    /// The rate at `now_ms`.
    #[must_use]
    pub fn at(&self, now_ms: i64) -> f64 {
        let seconds = (now_ms - self.at_ms).max(0) as f64 / 1000.0;
        self.value * (-seconds / Self::TAU).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_shows_its_rate_now_and_in_the_history() {
        let mut window = RateWindow::default();
        for ms in (0..20_000).step_by(100) {
            window.count(ms, ms);
        }
        assert_eq!(window.rate(20_000 + SETTLE_MS), (10, 10.0));
        let history = window.history(20_000 + SETTLE_MS);
        assert_eq!(history.len(), WINDOW_SECONDS);
        assert_eq!(&history[WINDOW_SECONDS - 20..], &[10; 20]);
        assert_eq!(history[..WINDOW_SECONDS - 20].iter().sum::<u64>(), 0);
    }

    #[test]
    fn a_second_is_not_shown_before_its_last_records_can_have_come() {
        let mut window = RateWindow::default();
        window.count(5_000, 5_900);
        assert_eq!(window.rate(6_000 + SETTLE_MS - 1).0, 0);
        assert_eq!(window.rate(6_000 + SETTLE_MS).0, 1);
    }

    #[test]
    fn silence_brings_the_rate_to_zero_and_old_slots_are_not_read_again() {
        let mut window = RateWindow::default();
        window.count(1_000, 1_000);
        assert_eq!(window.rate(1_000_000), (0, 0.0));
        window.count(1_000_000, 1_000_000);
        assert_eq!(window.history(1_001_500).iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_record_from_a_clock_ahead_counts_now_and_one_older_than_the_window_does_not_count() {
        let mut window = RateWindow::default();
        window.count(99_000, 10_000);
        assert_eq!(window.rate(11_500).0, 1);
        window.count(-200_000, 10_000);
        assert_eq!(window.history(11_500).iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_decaying_rate_approaches_the_true_rate_and_then_zero() {
        let mut rate = DecayingRate::default();
        for ms in (0..120_000).step_by(250) {
            rate.count(ms);
        }
        assert!((rate.at(120_000) - 4.0).abs() < 0.2, "{}", rate.at(120_000));
        assert!(rate.at(220_000) < 0.001);
    }
}
