//! The bars of one symbol at one interval, a bounded number of them.

use std::collections::VecDeque;

use stockpipe_market::bars::{Interval, Turnover};
use stockpipe_market::tick::{Price, Size};
use stockpipe_market::view::TickView;

use super::wire::BarInfo;

/// Bars as a page shows them: the newest one grows in view, and none waits for the watermark. An interval without
/// a trade has no bar.
#[derive(Clone, Debug)]
pub struct BarSeries {
    interval: Interval,
    bars: VecDeque<Bar>,
}

#[derive(Clone, Debug)]
struct Bar {
    start_ns: i64,
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    turnover: Turnover,
    /// A bar of the feed itself does not tell at what prices its volume was traded.
    told: bool,
    ticks: u64,
}

impl BarSeries {
    /// No bars yet.
    #[must_use]
    pub fn new(interval: Interval) -> Self {
        Self {
            interval,
            bars: VecDeque::new(),
        }
    }

    /// A trade at `ts_ns`; keeps the newest `limit` bars. A trade from before the newest bar goes into the bar of
    /// its time, if that is still there.
    pub fn trade(&mut self, ts_ns: i64, price: Price, size: Option<Size>, limit: usize) {
        let Some(bar) = self.at(ts_ns, price, limit) else {
            return;
        };
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.close = price;
        bar.ticks += 1;
        if let Some(size) = size {
            bar.turnover.add(price, size);
        }
    }

    /// A bar of the feed itself, which closes at `close`.
    pub fn bar(&mut self, tick: &TickView<'_>, close: Price, limit: usize) {
        let Some(bar) = self.at(tick.ts_event_ns, tick.open.unwrap_or(close), limit) else {
            return;
        };
        for price in [tick.high, tick.low, Some(close)].into_iter().flatten() {
            bar.high = bar.high.max(price);
            bar.low = bar.low.min(price);
        }
        bar.close = close;
        bar.told = true;
        bar.ticks += 1;
        if let Some(volume) = tick.volume {
            bar.turnover.add(close, volume);
        }
    }

    /// The bar that holds `ts_ns`, begun at `open` where it is new; `None` for an interval that is gone.
    fn at(&mut self, ts_ns: i64, open: Price, limit: usize) -> Option<&mut Bar> {
        let start_ns = self.interval.start_of(ts_ns);
        if self
            .bars
            .back()
            .is_none_or(|newest| newest.start_ns < start_ns)
        {
            self.bars.push_back(Bar {
                start_ns,
                open,
                high: open,
                low: open,
                close: open,
                turnover: Turnover::default(),
                told: false,
                ticks: 0,
            });
            while self.bars.len() > limit {
                self.bars.pop_front();
            }
            return self.bars.back_mut();
        }
        let index = self
            .bars
            .binary_search_by_key(&start_ns, |bar| bar.start_ns);
        index.ok().and_then(|index| self.bars.get_mut(index))
    }

    /// The bars, oldest first; the last one may still grow.
    #[must_use]
    pub fn bars(&self) -> Vec<BarInfo> {
        let info = |bar: &Bar| BarInfo {
            time: bar.start_ns.div_euclid(1_000_000),
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: bar.turnover.volume(),
            vwap: if bar.told { None } else { bar.turnover.vwap() },
            ticks: bar.ticks,
        };
        self.bars.iter().map(info).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = Interval::SECOND.ns();

    fn series(trades: &[(i64, &str)], limit: usize) -> BarSeries {
        let mut series = BarSeries::new(Interval::MINUTE);
        for (second, price) in trades {
            series.trade(
                second * SECOND,
                price.parse().unwrap(),
                Some(Size::whole(1)),
                limit,
            );
        }
        series
    }

    fn text(series: &BarSeries) -> Vec<String> {
        let show = |b: BarInfo| {
            format!(
                "{} {} {} {} {} {}",
                b.time / 1000,
                b.open,
                b.high,
                b.low,
                b.close,
                b.ticks
            )
        };
        series.bars().into_iter().map(show).collect()
    }

    #[test]
    fn trades_of_a_minute_make_one_bar_and_an_empty_minute_makes_none() {
        let series = series(&[(0, "5"), (30, "7"), (59, "6"), (180, "8")], 10);
        assert_eq!(text(&series), ["0 5 7 5 6 3", "180 8 8 8 8 1"]);
        assert_eq!(series.bars()[0].vwap.unwrap().to_string(), "6");
    }

    #[test]
    fn only_the_newest_bars_are_kept() {
        let trades: Vec<(i64, &str)> = (0..100).map(|minute| (minute * 60, "1")).collect();
        let series = series(&trades, 3);
        assert_eq!(
            text(&series),
            ["5820 1 1 1 1 1", "5880 1 1 1 1 1", "5940 1 1 1 1 1"]
        );
    }

    #[test]
    fn a_late_trade_goes_into_the_bar_of_its_time_or_nowhere() {
        let series = series(&[(0, "5"), (120, "6"), (10, "9"), (60, "1")], 10);
        assert_eq!(text(&series), ["0 5 9 5 9 2", "120 6 6 6 6 1"]);
    }

    #[test]
    fn times_before_1970_are_aligned_downwards() {
        assert_eq!(text(&series(&[(-1, "5")], 1)), ["-60 5 5 5 5 1"]);
    }
}
