//! Price steps and round lots of exchanges: on which prices orders may stand, in what sizes.
//!
//! US: Regulation NMS rule 612 (0.01 from a dollar on, 0.0001 below). London, Frankfurt, Paris:
//! Commission Delegated Regulation (EU) 2017/588 (RTS 11), the column of the most liquid shares.
//! Tokyo: the exchange's table for shares outside the TOPIX 500. Hong Kong: the spread table of
//! the rules' second schedule, as it stood in 2024. Sydney, Toronto, Mumbai: the exchanges'
//! rules. Elsewhere as in the US.
//!
//! Round lots. US: 100, and since 3 November 2025 by price (Regulation NMS rule 600(b)(93); UTP
//! Vendor Alert 2025-10). Toronto: board lots by price. Tokyo: 100 for all shares since October
//! 2018. Hong Kong: each issuer's own board lot, worth 2,000 dollars or more (HKEX, "Guide on
//! Trading Arrangements"). Elsewhere shares trade by one.

use jiff::civil::Date;

/// Steps of 1e-9 in a unit of currency.
const UNIT: i64 = 1_000_000_000;

/// From the first price (in 1e-9) on, prices are whole multiples of the second.
type Band = (i64, i64);

/// Units of a round lot: of which sizes are usual, and quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lots {
    /// The same for all.
    Of(u32),
    /// Those of the row with the last price (in 1e-9) that is not above the share's; before a date,
    /// the first row's.
    ByPrice(&'static [(i64, u32)], Option<Date>),
    /// Each issuer's own.
    ByIssuer,
}

/// Since when US lots depend on the price.
const US_TIERS: Date = Date::constant(2025, 11, 3);
static US_LOTS: [(i64, u32); 4] = [
    (0, 100),
    (250 * UNIT + 1, 40),
    (1_000 * UNIT + 1, 10),
    (10_000 * UNIT + 1, 1),
];
static TORONTO_LOTS: [(i64, u32); 3] = [(0, 1_000), (UNIT / 10, 500), (UNIT, 100)];
/// Board lots that are usual in Hong Kong, and the least that one should be worth.
static BOARD_LOTS: [u32; 8] = [100, 200, 400, 500, 1_000, 2_000, 5_000, 10_000];
const BOARD_LOT_VALUE: i64 = 2_000 * UNIT;

/// An exchange's price steps, lots and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ladder {
    bands: &'static [Band],
    lots: Lots,
    /// Whether sizes below a lot trade.
    pub(super) odd_lots: bool,
    /// Whether those that do are told apart, and are no last price.
    pub(super) tells_odd_lots: bool,
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
            lots: Lots::ByPrice(&US_LOTS, Some(US_TIERS)),
            odd_lots: true,
            tells_odd_lots: true,
            size_step: 10_000_000_000,
            currency: "USD",
            price_level: 1,
        };
        let whole = |bands: &'static [Band], currency| Ladder {
            bands,
            lots: Lots::Of(1),
            currency,
            ..us
        };
        match mic {
            Some("XLON") => whole(&EU, "GBP"),
            Some("XETR" | "XPAR") => whole(&EU, "EUR"),
            Some("XASX") => whole(&SYDNEY, "AUD"),
            Some("XTSE") => Ladder {
                lots: Lots::ByPrice(&TORONTO_LOTS, None),
                ..whole(&TORONTO, "CAD")
            },
            Some("XBOM") => Ladder {
                price_level: 8,
                ..whole(&MUMBAI, "INR")
            },
            Some("XTKS") => Ladder {
                lots: Lots::Of(100),
                odd_lots: false,
                price_level: 25,
                ..whole(&TOKYO, "JPY")
            },
            Some("XHKG") => Ladder {
                lots: Lots::ByIssuer,
                odd_lots: false,
                ..whole(&HONG_KONG, "HKD")
            },
            Some(_) => us,
            // Hundredths of a coin.
            None => Ladder {
                lots: Lots::Of(100),
                tells_odd_lots: false,
                size_step: 100_000_000,
                ..us
            },
        }
    }

    /// Units of a symbol's round lot at its first price (in 1e-9); an issuer's choice among the
    /// usual ones is from `luck`.
    pub(super) fn first_lot(&self, price: i64, date: Date, luck: u64) -> u32 {
        if self.lots != Lots::ByIssuer {
            return self.lot(price, date, 1);
        }
        let worth = |lot: u32| i64::from(lot) * (price / 1_000) >= BOARD_LOT_VALUE / 1_000;
        let least = BOARD_LOTS.partition_point(|&lot| !worth(lot));
        let at = least + (luck % 3) as usize;
        BOARD_LOTS[at.min(BOARD_LOTS.len() - 1)]
    }

    /// Units of a symbol's round lot in the session of a date, from the price (in 1e-9) before it
    /// and the lot that it had.
    pub(super) fn lot(&self, price: i64, date: Date, had: u32) -> u32 {
        match self.lots {
            Lots::Of(lot) => lot,
            Lots::ByPrice(rows, since) if since.is_none_or(|since| since <= date) => {
                let at = rows.partition_point(|&(from, _)| from <= price);
                rows[at.saturating_sub(1)].1
            }
            Lots::ByPrice(rows, _) => rows[0].1,
            Lots::ByIssuer => had,
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
    fn lots_follow_exchange_price_and_date() {
        let (old, new) = (Date::constant(2025, 10, 31), Date::constant(2025, 11, 3));
        for (mic, at, date, lot) in [
            ("XNYS", 250.0, new, 100),
            ("XNAS", 250.01, new, 40),
            ("XNYS", 1_000.0, new, 40),
            ("XNYS", 1_000.01, new, 10),
            ("XNYS", 10_000.0, new, 10),
            ("XNYS", 10_000.01, new, 1),
            ("XNYS", 5_000.0, old, 100),
            ("XTSE", 0.05, old, 1_000),
            ("XTSE", 0.5, new, 500),
            ("XTSE", 1.0, new, 100),
            ("XTKS", 3_000.0, new, 100),
            ("XLON", 3.0, new, 1),
            ("XETR", 300.0, new, 1),
            ("XBOM", 900.0, new, 1),
        ] {
            let ladder = Ladder::of(Some(mic));
            assert_eq!(ladder.lot(price(at), date, 7), lot, "{mic} at {at}");
            assert_eq!(ladder.first_lot(price(at), date, 7), lot, "{mic} at {at}");
        }
        assert_eq!(Ladder::of(None).lot(price(95_000.0), new, 7), 100);
    }

    #[test]
    fn issuers_in_hong_kong_have_board_lots_of_their_own() {
        let (ladder, date) = (Ladder::of(Some("XHKG")), Date::constant(2026, 1, 5));
        for at in [0.05, 0.8, 3.0, 15.0, 60.0, 350.0] {
            let lots: Vec<u32> = (0..3)
                .map(|luck| ladder.first_lot(price(at), date, luck))
                .collect();
            let worth = f64::from(lots[0]) * at;
            assert!(worth >= 2_000.0 || lots[0] == 10_000, "{lots:?} at {at}");
            assert!(lots.is_sorted());
        }
        assert_eq!(ladder.lot(price(60.0), date, 400), 400);
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
