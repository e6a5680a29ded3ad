//! The sparkline of a symbol: its whole trade date in a bounded number of points.

use stockpipe_market::tick::Price;

/// Evenly spaced prices from the first tick on; when the limit is reached, the spacing doubles.
#[derive(Clone, Debug)]
pub struct Trace {
    points: Vec<Price>,
    start_ns: i64,
    step_ns: i64,
    /// Counts the times that earlier points changed: a reader with another number reads all.
    generation: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            start_ns: 0,
            step_ns: Self::FIRST_STEP_NS,
            generation: 0,
        }
    }
}

impl Trace {
    /// Most points.
    pub const LIMIT: usize = 96;
    /// First spacing: one second of market time.
    const FIRST_STEP_NS: i64 = 1_000_000_000;

    /// The price at `ts_ns`; times before the newest point move that point.
    pub fn at(&mut self, ts_ns: i64, price: Price) {
        let Some(&last) = self.points.last() else {
            self.start_ns = ts_ns;
            self.points.push(price);
            return;
        };
        let since = ts_ns.saturating_sub(self.start_ns).max(0);
        while since / self.step_ns >= Self::LIMIT as i64 {
            self.halve();
        }
        let index = (since / self.step_ns) as usize;
        // Nothing was traded in between: the price stood still.
        while self.points.len() <= index {
            self.points.push(last);
        }
        if let Some(newest) = self.points.last_mut() {
            *newest = price;
        }
    }

    /// The next of a row of bars, whatever the time between them: a window that slides.
    pub fn next(&mut self, price: Price) {
        if self.points.len() == Self::LIMIT {
            self.points.remove(0);
            self.generation += 1;
        }
        self.points.push(price);
    }

    /// Forgets everything: a new trade date.
    pub fn clear(&mut self) {
        if !self.points.is_empty() {
            *self = Self {
                generation: self.generation + 1,
                ..Self::default()
            };
        }
    }

    /// The points, oldest first.
    #[must_use]
    pub fn points(&self) -> &[Price] {
        &self.points
    }

    /// See the field.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn halve(&mut self) {
        // Of each pair the later price stays; an odd last point stays as it is.
        self.points = self
            .points
            .chunks(2)
            .filter_map(|pair| pair.last().copied())
            .collect();
        self.step_ns *= 2;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn price(units: i64) -> Price {
        units.to_string().parse().unwrap()
    }

    fn values(trace: &Trace) -> Vec<String> {
        trace.points().iter().map(Price::to_string).collect()
    }

    #[test]
    fn ticks_within_a_second_move_one_point_and_a_gap_holds_the_price() {
        let mut trace = Trace::default();
        trace.at(0, price(1));
        trace.at(SECOND / 2, price(2));
        trace.at(3 * SECOND, price(5));
        assert_eq!(values(&trace), ["2", "2", "2", "5"]);
    }

    #[test]
    fn a_whole_day_fits_with_its_first_and_last_price() {
        let mut trace = Trace::default();
        for second in 0..86_400 {
            trace.at(second * SECOND, price(second));
        }
        assert!(
            (Trace::LIMIT / 2..=Trace::LIMIT).contains(&trace.points().len()),
            "{}",
            trace.points().len()
        );
        assert_eq!(values(&trace).last().unwrap(), "86399");
        assert!(trace.points().windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn a_jump_of_years_is_bounded_too() {
        let mut trace = Trace::default();
        trace.at(0, price(1));
        trace.at(i64::MAX, price(2));
        assert!(trace.points().len() <= Trace::LIMIT);
        assert_eq!(values(&trace).last().unwrap(), "2");
    }

    #[test]
    fn a_tick_from_the_past_moves_only_the_newest_point() {
        let mut trace = Trace::default();
        trace.at(10 * SECOND, price(1));
        trace.at(12 * SECOND, price(2));
        trace.at(5 * SECOND, price(9));
        assert_eq!(values(&trace), ["1", "1", "9"]);
    }

    #[test]
    fn every_change_of_earlier_points_is_a_new_generation() {
        let mut trace = Trace::default();
        trace.at(0, price(1));
        trace.at(SECOND, price(1));
        let before = trace.generation();
        trace.at(200 * SECOND, price(1));
        assert!(trace.generation() > before);
        let before = trace.generation();
        trace.clear();
        assert!(trace.points().is_empty() && trace.generation() > before);
        for bar in 0..100 {
            trace.next(price(bar));
        }
        assert_eq!(trace.points().len(), Trace::LIMIT);
        assert_eq!(values(&trace)[0], "4");
    }
}
