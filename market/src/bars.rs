//! Bars: open, high, low, close, volume and VWAP of a symbol's trades in an interval.
//!
//! A trade counts for what its flags leave it ([`Updates`]): one that is no last price is neither
//! open nor close, and so on. An interval without a last price has no bar. Corrections change no
//! bar: it says what was traded when it was told.
//!
//! A bar stays open until the watermark has passed its end, so that trades that arrive out of
//! order count where they belong: the open is the trade with the least (event time, `seq`), the
//! close the one with the greatest. The volume-weighted average price is Σ price·size / Σ size
//! (J. Berkowitz, D. Logue, E. Noser, "The Total Cost of Transactions on the NYSE", Journal of
//! Finance 43, 1988), kept as exact integers and rounded once, half away from zero, to 1e-9.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::i256;

use crate::tick::{Kind, Price, Size, Symbol, Tick, Updates};

/// The length of a bar. Bars are aligned to 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(i64);

impl Interval {
    /// One second.
    pub const SECOND: Interval = Interval(1_000_000_000);
    /// One minute.
    pub const MINUTE: Interval = Interval(60 * 1_000_000_000);

    /// An interval of that many nanoseconds; `None` unless there is at least one.
    pub const fn from_ns(ns: i64) -> Option<Interval> {
        if ns > 0 { Some(Interval(ns)) } else { None }
    }

    /// Nanoseconds.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// The beginning of the interval that holds an instant.
    pub const fn start_of(self, ns: i64) -> i64 {
        // The floor; saturated for the first interval of all, which begins before 64 bits do.
        ns.saturating_sub(ns.rem_euclid(self.0))
    }
}

/// The trades of one symbol in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// The symbol.
    pub symbol: Symbol,
    /// First instant of the interval, nanoseconds since 1970-01-01T00:00:00Z.
    pub start_ns: i64,
    /// Length of the interval.
    pub interval: Interval,
    /// Price of the first trade.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Price of the last trade.
    pub close: Price,
    /// Sum of sizes; [`Size::MAX`] if it is more.
    pub volume: Size,
    /// Volume-weighted average price; `None` where all sizes are zero.
    pub vwap: Option<Price>,
    /// Number of trades.
    pub trades: u64,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a trade, and counted.
    Counted,
    /// It is no trade, or one without a price.
    NotATrade,
    /// It is a trade of an interval whose bar has been closed; not counted.
    Late,
}

/// Units traded and what they were worth: volume and VWAP of any set of trades, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Σ size, in steps of 1e-10.
    volume: i128,
    /// Σ price·size, in steps of 1e-19.
    value: i256,
}

impl Turnover {
    /// Adds a trade.
    pub fn add(&mut self, price: Price, size: Size) {
        // A size has 94 bits and a product 154: the sums have room for 2^33 trades and more.
        self.volume = self.volume.saturating_add(size.steps());
        let value =
            i256::from_i128(i128::from(price.steps())).wrapping_mul(i256::from_i128(size.steps()));
        self.value = self.value.wrapping_add(value);
    }

    /// Sum of sizes; [`Size::MAX`] if it is more.
    pub fn volume(&self) -> Size {
        Size::from_steps(self.volume).unwrap_or(Size::MAX)
    }

    /// Volume-weighted average price; `None` where all sizes are zero.
    pub fn vwap(&self) -> Option<Price> {
        average(self.value, self.volume)
    }
}

/// A bar that trades are still added to.
#[derive(Clone, Debug)]
struct Open {
    /// The first and the last of the last prices, by event time and `seq`.
    ends: Option<[(i64, u64, Price); 2]>,
    /// The highest and the lowest price.
    range: Option<(Price, Price)>,
    turnover: Turnover,
    trades: u64,
}

impl Open {
    fn new() -> Open {
        Open {
            ends: None,
            range: None,
            turnover: Turnover::default(),
            trades: 0,
        }
    }

    fn add(&mut self, price: Price, size: Size, updates: Updates, at: (i64, u64)) {
        if updates.last {
            let this = (at.0, at.1, price);
            let [first, last] = self.ends.get_or_insert([this; 2]);
            if at < (first.0, first.1) {
                *first = this;
            }
            if at >= (last.0, last.1) {
                *last = this;
            }
        }
        if updates.high_low {
            let (high, low) = self.range.unwrap_or((price, price));
            self.range = Some((high.max(price), low.min(price)));
        }
        if updates.volume {
            self.turnover.add(price, size);
        }
        self.trades += 1;
    }

    fn bar(&self, symbol: &Symbol, start_ns: i64, interval: Interval) -> Option<Bar> {
        let [(.., open), (.., close)] = self.ends?;
        let (high, low) = self.range.unwrap_or((open.max(close), open.min(close)));
        Some(Bar {
            symbol: symbol.clone(),
            start_ns,
            interval,
            open,
            high,
            low,
            close,
            volume: self.turnover.volume(),
            vwap: self.turnover.vwap(),
            trades: self.trades,
        })
    }
}

/// `turnover / volume`, rounded half away from zero; `None` for no volume, and for a quotient
/// that is no price (sizes of both signs).
fn average(turnover: i256, volume: i128) -> Option<Price> {
    let volume = i256::from_i128(volume);
    let quotient = turnover.checked_div(volume)?;
    let remainder = turnover.checked_rem(volume)?;
    let twice = remainder.checked_mul(i256::from_i128(2))?.wrapping_abs();
    let away = if twice < volume.wrapping_abs() {
        i256::ZERO
    } else if turnover.is_negative() == volume.is_negative() {
        i256::ONE
    } else {
        i256::MINUS_ONE
    };
    let steps = quotient.checked_add(away)?.to_i128()?;
    Price::from_steps(i64::try_from(steps).ok()?)
}

/// Makes the bars of one interval's length, for any number of symbols.
pub struct BarBuilder {
    interval: Interval,
    /// Open bars by beginning, then by symbol.
    bars: BTreeMap<i64, BTreeMap<Symbol, Open>>,
    /// Bars that ended by then are closed.
    closed_ns: i64,
    late: u64,
}

impl fmt::Debug for BarBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarBuilder")
            .field("interval", &self.interval)
            .field("open_bars", &self.open_bars())
            .finish_non_exhaustive()
    }
}

impl BarBuilder {
    /// No bars yet.
    pub fn new(interval: Interval) -> BarBuilder {
        BarBuilder {
            interval,
            bars: BTreeMap::new(),
            closed_ns: i64::MIN,
            late: 0,
        }
    }

    /// The length of its bars.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// Counts a tick in its bar, if it is a trade. A trade without a size counts as one of size
    /// zero.
    pub fn push(&mut self, tick: &Tick) -> Outcome {
        let (Kind::Trade, Some(price)) = (tick.kind, tick.price) else {
            return Outcome::NotATrade;
        };
        let start_ns = self.interval.start_of(tick.ts_event_ns);
        if start_ns.saturating_add(self.interval.ns()) <= self.closed_ns {
            self.late += 1;
            return Outcome::Late;
        }
        let at = (tick.ts_event_ns, tick.seq);
        let bars = self.bars.entry(start_ns).or_default();
        if !bars.contains_key(&tick.symbol) {
            bars.insert(tick.symbol.clone(), Open::new());
        }
        if let Some(bar) = bars.get_mut(&tick.symbol) {
            let size = tick.size.unwrap_or_default();
            bar.add(price, size, Updates::of(tick.flags), at);
        }
        Outcome::Counted
    }

    /// Closes the bars whose interval has ended by the watermark, and returns them by beginning
    /// and symbol. Later trades for them are late.
    pub fn close_until(&mut self, watermark_ns: i64) -> Vec<Bar> {
        let mut closed = Vec::new();
        while let Some(entry) = self.bars.first_entry() {
            let start_ns = *entry.key();
            if start_ns.saturating_add(self.interval.ns()) > watermark_ns {
                break;
            }
            for (symbol, bar) in entry.remove() {
                closed.extend(bar.bar(&symbol, start_ns, self.interval));
            }
        }
        self.closed_ns = self.closed_ns.max(watermark_ns);
        closed
    }

    /// The open bars as they are now, by beginning and symbol.
    pub fn snapshot(&self) -> Vec<Bar> {
        self.bars
            .iter()
            .flat_map(|(&start_ns, bars)| {
                bars.iter()
                    .filter_map(move |(symbol, bar)| bar.bar(symbol, start_ns, self.interval))
            })
            .collect()
    }

    /// Number of open bars.
    pub fn open_bars(&self) -> usize {
        self.bars.values().map(BTreeMap::len).sum()
    }

    /// Trades that came too late.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trade(symbol: &str, seq: u64, ts_event_ns: i64, price: &str, size: &str) -> Tick {
        let symbol = Symbol::new(symbol).expect("a symbol");
        let date = jiff::civil::date(2026, 11, 20);
        let mut tick = Tick::new(
            symbol,
            "test".into(),
            Kind::Trade,
            "r".into(),
            seq,
            ts_event_ns,
            date,
        );
        tick.price = Some(price.parse().expect("a price"));
        tick.size = Some(size.parse().expect("a size"));
        tick
    }

    fn price(text: &str) -> Price {
        text.parse().expect("a price")
    }

    #[test]
    fn a_bar_tells_its_trades() {
        let mut bars = BarBuilder::new(Interval::SECOND);
        for (seq, at, price, size) in [
            (0, 5_000_000_001, "10", "100"),
            (1, 5_100_000_000, "10.5", "50"),
            (2, 5_200_000_000, "9.75", "0.5"),
            (3, 5_999_999_999, "10.25", "100"),
            (4, 6_000_000_000, "11", "1"),
        ] {
            assert_eq!(
                bars.push(&trade("A", seq, at, price, size)),
                Outcome::Counted
            );
        }
        assert_eq!(bars.close_until(5_999_999_999), []);
        let closed = bars.close_until(6_000_000_000);
        assert_eq!(
            closed,
            [Bar {
                symbol: Symbol::new("A").expect("a symbol"),
                start_ns: 5_000_000_000,
                interval: Interval::SECOND,
                open: price("10"),
                high: price("10.5"),
                low: price("9.75"),
                close: price("10.25"),
                volume: "250.5".parse().expect("a size"),
                // (1000 + 525 + 4.875 + 1025) / 250.5 = 10.19910179640…
                vwap: Some(price("10.199101796")),
                trades: 4,
            }]
        );
        assert_eq!(bars.snapshot().len(), 1);
    }

    #[test]
    fn only_trades_count() {
        let mut bars = BarBuilder::new(Interval::SECOND);
        for &kind in Kind::ALL.iter().filter(|&&kind| kind != Kind::Trade) {
            let tick = Tick {
                kind,
                ..trade("A", 0, 0, "1", "1")
            };
            assert_eq!(bars.push(&tick), Outcome::NotATrade);
        }
        let without_price = Tick {
            price: None,
            ..trade("A", 0, 0, "1", "1")
        };
        assert_eq!(bars.push(&without_price), Outcome::NotATrade);
        assert_eq!(bars.open_bars(), 0);
    }

    #[test]
    fn a_trade_counts_for_what_its_flags_leave_it() {
        use crate::tick::{NOT_HIGH_LOW, NOT_LAST, NOT_VOLUME};
        let flagged = |seq, price, flags| Tick {
            flags: Some(flags),
            ..trade("A", seq, seq as i64, price, "10")
        };
        let mut bars = BarBuilder::new(Interval::SECOND);
        // Nothing that could be a last price: no bar.
        bars.push(&flagged(0, "1", NOT_LAST | NOT_HIGH_LOW));
        assert_eq!(bars.snapshot(), []);
        for (seq, price, flags) in [
            (1, "10", 0),
            (2, "30", NOT_LAST),
            (3, "99", NOT_LAST | NOT_HIGH_LOW),
            (4, "12", NOT_VOLUME),
            (5, "5", NOT_LAST | NOT_HIGH_LOW | NOT_VOLUME),
        ] {
            assert_eq!(bars.push(&flagged(seq, price, flags)), Outcome::Counted);
        }
        let bar = &bars.snapshot()[0];
        let prices = [bar.open, bar.high, bar.low, bar.close];
        assert_eq!(prices, ["10", "30", "10", "12"].map(price));
        assert_eq!(bar.volume, Size::whole(40));
        // (1 + 10 + 30 + 99) / 4
        assert_eq!((bar.vwap, bar.trades), (Some(price("35")), 6));
    }

    #[test]
    fn a_trade_for_a_closed_bar_is_late() {
        let mut bars = BarBuilder::new(Interval::SECOND);
        bars.push(&trade("A", 0, 500, "1", "1"));
        assert_eq!(bars.close_until(1_000_000_000).len(), 1);
        assert_eq!(
            bars.push(&trade("A", 1, 999_999_999, "2", "1")),
            Outcome::Late
        );
        assert_eq!(
            bars.push(&trade("A", 2, 1_000_000_000, "2", "1")),
            Outcome::Counted
        );
        assert_eq!((bars.late(), bars.open_bars()), (1, 1));
    }

    #[test]
    fn averages_round_half_away_from_zero() {
        let step = |steps: i64| Price::from_steps(steps);
        let average = |turnover: i64, volume: i64| {
            super::average(i256::from_i128(turnover.into()), volume.into())
        };
        for (turnover, volume, steps) in [
            (5, 2, 3),
            (4, 3, 1),
            (-5, 2, -3),
            (5, -2, -3),
            (-5, -2, 3),
            (1, 3, 0),
            (-1, 2, -1),
        ] {
            assert_eq!(
                average(turnover, volume),
                step(steps),
                "{turnover} / {volume}"
            );
        }
        assert_eq!(average(5, 0), None);
    }

    #[test]
    fn the_largest_prices_and_sizes_do_not_overflow() {
        let mut bars = BarBuilder::new(Interval::MINUTE);
        let (largest, most) = (Price::MAX.to_string(), Size::MAX.to_string());
        for seq in 0..1000 {
            bars.push(&trade("A", seq, 0, &largest, &most));
        }
        let bar = &bars.snapshot()[0];
        assert_eq!((bar.vwap, bar.volume), (Some(Price::MAX), Size::MAX));
    }

    #[test]
    fn intervals_before_1970_are_floored() {
        assert_eq!(Interval::SECOND.start_of(-1), -1_000_000_000);
        assert_eq!(Interval::SECOND.start_of(i64::MIN), i64::MIN);
        assert_eq!(Interval::from_ns(0), None);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            trades in prop::collection::vec((0_i64..3, 0_i64..5, 1_i64..1000, 1_u32..1000), 1..40),
            keys in prop::collection::vec(any::<u32>(), 40),
        ) {
            let ticks: Vec<Tick> = trades.iter().enumerate().map(|(seq, &(second, ns, cents, size))| {
                let symbol = if size % 2 == 0 { "A" } else { "B" };
                let at = second * 1_000_000_000 + ns;
                let mut tick = trade(symbol, seq as u64, at, "1", "1");
                tick.price = Price::from_steps(cents * 10_000_000);
                tick.size = Some(Size::whole(size));
                tick
            }).collect();
            let bars = |ticks: &[Tick]| {
                let mut bars = BarBuilder::new(Interval::SECOND);
                for tick in ticks {
                    bars.push(tick);
                }
                let snapshot = bars.snapshot();
                assert_eq!(bars.close_until(i64::MAX), snapshot);
                snapshot
            };
            let mut shuffled: Vec<_> = ticks.iter().cloned().zip(keys).collect();
            shuffled.sort_by_key(|(_, key)| *key);
            let shuffled: Vec<_> = shuffled.into_iter().map(|(tick, _)| tick).collect();
            let expected = bars(&ticks);
            prop_assert_eq!(bars(&shuffled), expected.clone());
            for bar in expected {
                let of_bar = |tick: &&Tick| {
                    tick.symbol == bar.symbol
                        && Interval::SECOND.start_of(tick.ts_event_ns) == bar.start_ns
                };
                let volume: u64 = ticks.iter().filter(of_bar)
                    .map(|tick| tick.size.map_or(0, |size| size.to_f64() as u64)).sum();
                prop_assert_eq!(bar.volume.to_f64() as u64, volume);
                let turnover: i128 = ticks.iter().filter(of_bar)
                    .map(|tick| i128::from(tick.price.map_or(0, Price::steps))
                        * tick.size.map_or(0, |size| size.to_f64() as i128)).sum();
                let vwap = bar.vwap.expect("a volume");
                let twice = 2 * (turnover - i128::from(vwap.steps()) * i128::from(volume));
                prop_assert!(twice.unsigned_abs() <= u128::from(volume));
                prop_assert!(bar.low <= vwap && vwap <= bar.high);
            }
        }
    }
}
