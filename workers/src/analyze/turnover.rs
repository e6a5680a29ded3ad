//! Volume, and the volume-weighted average price, in integers.

use stockpipe_market::tick::{Price, Size};

/// Units traded and their value.
#[derive(Clone, Copy, Debug)]
pub struct Turnover {
    volume: Size,
    /// Σ price × size in steps of 1e-19; `None` once a price is not known or the sum left 128 bits.
    value: Option<i128>,
}

impl Default for Turnover {
    fn default() -> Self {
        Self {
            volume: Size::ZERO,
            value: Some(0),
        }
    }
}

impl Turnover {
    /// A trade of `size` at `price`.
    pub fn add(&mut self, price: Price, size: Size) {
        self.value = i128::from(price.steps())
            .checked_mul(size.steps())
            .zip(self.value)
            .and_then(|(value, before)| before.checked_add(value));
        self.enlarge(size);
    }

    /// Volume whose prices are not known one by one, as a bar's.
    pub fn add_unpriced(&mut self, size: Size) {
        self.value = None;
        self.enlarge(size);
    }

    fn enlarge(&mut self, size: Size) {
        let sum = self.volume.steps().saturating_add(size.steps());
        self.volume = Size::from_steps(sum).unwrap_or(Size::MAX);
    }

    /// Units traded; stands still at the most that a [`Size`] holds.
    #[must_use]
    pub fn volume(&self) -> Size {
        self.volume
    }

    /// Value over volume, rounded half away from zero to a price's steps; `None` while nothing was traded, or
    /// where a price is not known.
    #[must_use]
    pub fn vwap(&self) -> Option<Price> {
        let (value, volume) = (self.value?, self.volume.steps());
        if volume <= 0 {
            return None;
        }
        let rounded = value.abs().checked_add(volume / 2)? / volume * value.signum();
        i64::try_from(rounded).ok().and_then(Price::from_steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trades: &[(&str, &str)]) -> Turnover {
        let mut turnover = Turnover::default();
        for (price, size) in trades {
            turnover.add(price.parse().unwrap(), size.parse().unwrap());
        }
        turnover
    }

    fn vwap(turnover: &Turnover) -> Option<String> {
        turnover.vwap().map(|price| price.to_string())
    }

    #[test]
    fn the_average_is_weighted_and_rounded_half_away_from_zero() {
        assert_eq!(
            vwap(&of(&[("1", "1"), ("2", "2")])).as_deref(),
            Some("1.666666667")
        );
        assert_eq!(
            vwap(&of(&[("-1", "1"), ("-2", "2")])).as_deref(),
            Some("-1.666666667")
        );
        assert_eq!(
            vwap(&of(&[("0.000000001", "1"), ("0.000000002", "1")])).as_deref(),
            Some("0.000000002")
        );
    }

    #[test]
    fn nothing_traded_has_no_average() {
        assert_eq!(vwap(&of(&[])), None);
        assert_eq!(vwap(&of(&[("5", "0")])), None);
    }

    #[test]
    fn volume_without_prices_ends_the_average_and_still_counts() {
        let mut turnover = of(&[("5", "1")]);
        turnover.add_unpriced(Size::whole(9));
        assert_eq!(
            (vwap(&turnover), turnover.volume()),
            (None, Size::whole(10))
        );
    }
}
