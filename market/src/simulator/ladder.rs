//! Price steps and round lots of exchanges: on which prices orders may stand, in what sizes.
//!
//! US: Regulation NMS rule 612 (0.01 from a dollar on, 0.0001 below). London, Frankfurt, Paris:
//! Commission Delegated Regulation (EU) 2017/588 (RTS 11), the column of the most liquid shares.
//! Tokyo: the exchange's table for shares outside the TOPIX 500. Hong Kong: the spread table of
//! the rules' second schedule, as it stood in 2024. Sydney, Toronto, Mumbai: the exchanges'
//! rules. Elsewhere as in the US.

/// Steps of 1e-9 in a unit of currency.
const UNIT: i64 = 1_000_000_000;

/// From the first price (in 1e-9) on, prices are whole multiples of the second.
type Band = (i64, i64);

/// An exchange's price steps, lots and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ladder {
    bands: &'static [Band],
    /// Shares of a round lot.
    pub(super) lot: u32,
    /// Whether sizes below a lot trade.
    pub(super) odd_lots: bool,
    /// Sizes are whole multiples of this, in steps of 1e-10.
    pub(super) size_step: i64,
    /// ISO 4217 code of its prices.
    pub(super) currency: &'static str,
    /// What a share of 1 US dollar costs here, roughly: for plausible first prices.
    pub(super) price_level: u32,
}

/// `1e-9 · n` from a decimal with four places, as an integer of 1e-4.
const fn bands<const N: usize>(table: [(i64, i64); N]) -> [Band; N] {
    let mut bands = table;
    let mut at = 0;
    while at < N {
        bands[at] = (table[at].0 * (UNIT / 10_000), table[at].1 * (UNIT / 10_000));
        at += 1;
    }
    bands
}

static US: [Band; 2] = bands([(0, 1), (10_000, 100)]);
static EU: [Band; 13] = bands([
    (0, 1),
    (10_000, 2),
    (20_000, 5),
    (50_000, 10),
    (100_000, 20),
    (200_000, 50),
    (500_000, 100),
    (1_000_000, 200),
    (2_000_000, 500),
    (5_000_000, 1_000),
    (10_000_000, 2_000),
    (20_000_000, 5_000),
    (50_000_000, 10_000),
]);
static TOKYO: [Band; 9] = bands([
    (0, 10_000),
    (30_000_000, 50_000),
    (50_000_000, 100_000),
    (300_000_000, 500_000),
    (500_000_000, 1_000_000),
    (3_000_000_000, 5_000_000),
    (5_000_000_000, 10_000_000),
    (30_000_000_000, 50_000_000),
    (50_000_000_000, 100_000_000),
]);
static HONG_KONG: [Band; 11] = bands([
    (0, 10),
    (2_500, 50),
    (5_000, 100),
    (100_000, 200),
    (200_000, 500),
    (1_000_000, 1_000),
    (2_000_000, 2_000),
    (5_000_000, 5_000),
    (10_000_000, 10_000),
    (20_000_000, 20_000),
    (50_000_000, 50_000),
]);
static SYDNEY: [Band; 3] = bands([(0, 10), (1_000, 50), (20_000, 100)]);
static TORONTO: [Band; 2] = bands([(0, 50), (5_000, 100)]);
static MUMBAI: [Band; 2] = bands([(0, 100), (2_500_000, 500)]);

impl Ladder {
    /// The ladder of an exchange by its MIC; without one, of a market of coins.
    pub(super) fn of(mic: Option<&str>) -> Ladder {
        let us = Ladder {
            bands: &US,
            lot: 100,
            odd_lots: true,
            size_step: 10_000_000_000,
            currency: "USD",
            price_level: 1,
        };
        let whole = |bands: &'static [Band], currency| Ladder {
            bands,
            lot: 1,
            currency,
            ..us
        };
        match mic {
            Some("XLON") => whole(&EU, "GBP"),
            Some("XETR" | "XPAR") => whole(&EU, "EUR"),
            Some("XASX") => whole(&SYDNEY, "AUD"),
            Some("XTSE") => Ladder {
                lot: 100,
                ..whole(&TORONTO, "CAD")
            },
            Some("XBOM") => Ladder {
                price_level: 8,
                ..whole(&MUMBAI, "INR")
            },
            Some("XTKS") => Ladder {
                lot: 100,
                odd_lots: false,
                price_level: 25,
                ..whole(&TOKYO, "JPY")
            },
            Some("XHKG") => Ladder {
                lot: 100,
                odd_lots: false,
                ..whole(&HONG_KONG, "HKD")
            },
            Some(_) => us,
            // Hundredths of a coin.
            None => Ladder {
                lot: 100,
                size_step: 100_000_000,
                ..us
            },
        }
    }

    /// The band of a price (in 1e-9): its least price, the first beyond it, and its step.
    pub(super) fn band(&self, price: i64) -> (i64, i64, i64) {
        let at = self.bands.partition_point(|&(from, _)| from <= price);
        let (from, step) = self.bands[at.saturating_sub(1)];
        let until = self.bands.get(at).map_or(i64::MAX, |&(from, _)| from);
        (from, until, step)
    }

    /// The greatest price of the ladder up to a price, and at least its first step.
    pub(super) fn at_or_below(&self, price: i64) -> i64 {
        let (_, _, step) = self.band(price);
        (price.div_euclid(step) * step).max(self.bands[0].1)
    }

    /// The least price of the ladder above a price of the ladder.
    pub(super) fn above(&self, price: i64) -> i64 {
        price + self.band(price).2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(units: f64) -> i64 {
        (units * 1e9).round() as i64
    }

    #[test]
    fn steps_follow_the_price() {
        for (mic, at, step) in [
            ("XNYS", 225.0, 0.01),
            ("XNYS", 0.5, 0.0001),
            ("XETR", 0.3, 0.0001),
            ("XETR", 1.5, 0.0002),
            ("XETR", 30.0, 0.005),
            ("XPAR", 700.0, 0.1),
            ("XTKS", 2_999.0, 1.0),
            ("XTKS", 3_500.0, 5.0),
            ("XHKG", 350.0, 0.2),
            ("XASX", 1.0, 0.005),
            ("XTSE", 0.4, 0.005),
            ("XBOM", 1_200.0, 0.05),
        ] {
            let (_, _, found) = Ladder::of(Some(mic)).band(price(at));
            assert_eq!(found, price(step), "{mic} at {at}");
        }
    }

    #[test]
    fn a_bands_first_price_is_a_multiple_of_both_steps() {
        for mic in ["XNYS", "XLON", "XTKS", "XHKG", "XASX", "XTSE", "XBOM"] {
            for pair in Ladder::of(Some(mic)).bands.windows(2) {
                assert_eq!(pair[1].0 % pair[0].1, 0, "{mic} {pair:?}");
                assert_eq!(pair[1].0 % pair[1].1, 0, "{mic} {pair:?}");
            }
        }
    }

    #[test]
    fn neighbours_on_the_ladder_cross_bands() {
        let us = Ladder::of(Some("XNYS"));
        assert_eq!(us.at_or_below(price(1.005)), price(1.0));
        assert_eq!(us.above(price(0.9999)), price(1.0));
        assert_eq!(us.above(price(1.0)), price(1.01));
        assert_eq!(us.at_or_below(3), price(0.0001));
    }
}
