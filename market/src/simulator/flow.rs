//! Who trades, and how much: signs that persist, and sizes with a heavy tail.
//!
//! Large orders are worked in small pieces, so that signs have a long memory (F. Lillo, S. Mike,
//! J. D. Farmer, "Theory for long memory in supply and demand", Physical Review E 71, 2005).
//! Prices stay unpredictable because only the surprise in a sign moves them (F. Lillo, J. D.
//! Farmer, "The long memory of the efficient market", 2004; J.-P. Bouchaud et al., 2004).

use super::draws::Draws;
use super::model::Model;
use crate::tick::Side;

/// The longest order.
const LONGEST: f64 = 1e6;

/// The order that is being worked: trades left of it, negative if it sells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) order: i32,
    persistence: f64,
    exponent: f64,
}

impl Flow {
    pub(super) fn new(model: &Model, order: i32) -> Flow {
        Flow {
            order,
            persistence: model.persistence,
            exponent: model.run_exponent,
        }
    }

    /// The next trade's side, and its surprise: of mean 0 and variance 1 given all before.
    #[inline]
    pub(super) fn trade(&mut self, draws: &mut Draws) -> (Side, f64) {
        let follows = draws.uniform() < self.persistence;
        let expected = if self.order == 0 {
            let length = libm::pow(draws.uniform(), -1.0 / self.exponent).min(LONGEST) as i32;
            self.order = if draws.bits() & 1 == 0 {
                length
            } else {
                -length
            };
            0.0
        } else {
            (2.0 * self.persistence - 1.0) * f64::from(self.order.signum())
        };
        let sign = if follows {
            self.order.signum()
        } else {
            -self.order.signum()
        };
        self.order -= self.order.signum();
        let side = if sign > 0 { Side::Buy } else { Side::Sell };
        let sd = libm::sqrt(1.0 - expected * expected);
        (side, (f64::from(sign) - expected) / sd)
    }
}

/// Entries of the table of sizes.
const SIZES: usize = 1024;
/// Tail exponent of sizes (P. Gopikrishnan et al., "Statistical properties of share volume
/// traded in financial markets", Physical Review E 62, 2000).
const SIZE_EXPONENT: f64 = 1.6;

/// Round lots of a trade: quantiles of ⌊Pareto⌋.
#[derive(Clone, Debug)]
pub(super) struct Sizes(Vec<u16>);

impl Sizes {
    pub(super) fn new() -> Sizes {
        let quantile = |at: usize| {
            let share = (at as f64 + 0.5) / SIZES as f64;
            libm::pow(share, -1.0 / SIZE_EXPONENT) as u16
        };
        Sizes((0..SIZES).map(quantile).collect())
    }

    /// A trade's size from 18 random bits: one of two is an odd lot, where those trade.
    #[inline]
    pub(super) fn draw(&self, bits: u64, lot: u32, odd_lots: bool) -> u32 {
        if odd_lots && lot > 1 && bits & 1 == 0 {
            1 + (bits >> 1 & 0xffff) as u32 * (lot - 1) / 65_536
        } else {
            // A lot of 1 counts in hundreds, too, or half of the trades would be of one share.
            let units = if lot == 1 {
                1 + (bits >> 11 & 127) as u32
            } else {
                lot
            };
            units * u32::from(self.0[(bits >> 1) as usize % SIZES])
        }
    }

    /// The mean size, for auctions.
    pub(super) fn mean(&self, lot: u32, odd_lots: bool) -> f64 {
        let lots = self.0.iter().map(|&lots| f64::from(lots)).sum::<f64>() / SIZES as f64;
        match (lot, odd_lots) {
            (1, _) => 64.5 * lots,
            (_, true) => f64::from(lot) * (lots + 0.5) / 2.0,
            (_, false) => f64::from(lot) * lots,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::{Key, Purpose};
    use super::*;

    #[test]
    fn signs_persist_and_surprises_do_not() {
        let mut flow = Flow::new(&Model::default(), 0);
        let mut draws = Key::new(3, "A").draws(Purpose::Ticks, 0);
        let count = 200_000;
        let trades: Vec<(f64, f64)> = (0..count)
            .map(|_| {
                let (side, surprise) = flow.trade(&mut draws);
                (if side == Side::Buy { 1.0 } else { -1.0 }, surprise)
            })
            .collect();
        let product = |of: fn(&(f64, f64)) -> f64| {
            trades
                .windows(2)
                .map(|pair| of(&pair[0]) * of(&pair[1]))
                .sum::<f64>()
                / f64::from(count)
        };
        let (signs, surprises) = (product(|trade| trade.0), product(|trade| trade.1));
        assert!((0.22..0.35).contains(&signs), "{signs}");
        assert!(surprises.abs() < 0.02, "{surprises}");
        let variance = trades.iter().map(|trade| trade.1.powi(2)).sum::<f64>();
        assert!((variance / f64::from(count) - 1.0).abs() < 0.02);
    }

    #[test]
    fn sizes_have_their_mean_and_keep_lots() {
        let sizes = Sizes::new();
        let mut draws = Key::new(3, "A").draws(Purpose::Ticks, 1);
        for (lot, odd) in [(100, true), (100, false), (1, true)] {
            let drawn: Vec<u32> = (0..100_000)
                .map(|_| sizes.draw(draws.bits(), lot, odd))
                .collect();
            assert!(
                drawn
                    .iter()
                    .all(|&size| size > 0 && (odd || size % lot == 0))
            );
            let mean = drawn.iter().map(|&size| f64::from(size)).sum::<f64>() / 1e5;
            assert!((mean / sizes.mean(lot, odd) - 1.0).abs() < 0.1, "{mean}");
        }
    }
}
