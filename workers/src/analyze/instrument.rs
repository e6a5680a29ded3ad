//! One symbol: last price, top of book, the trade date's figures, bars and sparkline.

use std::sync::Arc;

use jiff::civil::Date;
use stockpipe_market::bars::{Interval, Turnover};
use stockpipe_market::tick::{Kind, Price, Updates};
use stockpipe_market::view::TickView;

use super::rate::SymbolRate;
use super::series::BarSeries;
use super::trace::Trace;
use super::wire::{Figures, Percent};

/// How many bars of each interval a symbol keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarLimits {
    /// One-second bars.
    pub seconds: usize,
    /// One-minute bars.
    pub minutes: usize,
}

impl BarLimits {
    /// An equal share of `budget` for each of `symbols`: at most a whole session of minutes
    /// and five minutes of seconds, at least one hour and one minute.
    #[must_use]
    pub fn sharing(budget: usize, symbols: usize) -> Self {
        let share = budget / symbols.max(1);
        Self {
            seconds: share.clamp(60, 300),
            minutes: share.clamp(60, 390),
        }
    }
}

/// One symbol.
#[derive(Debug)]
pub struct Instrument {
    currency: Option<Arc<str>>,
    trade_date: Date,
    last: Option<Price>,
    open: Option<Price>,
    bid: Option<Price>,
    ask: Option<Price>,
    turnover: Turnover,
    /// Whether bars of the feed are in the turnover: they do not tell at what prices their volume was traded.
    told: bool,
    seconds: BarSeries,
    minutes: BarSeries,
    trace: Trace,
    rate: SymbolRate,
}

impl Instrument {
    /// A symbol first seen on `trade_date`.
    #[must_use]
    pub fn new(trade_date: Date) -> Self {
        Self {
            currency: None,
            trade_date,
            last: None,
            open: None,
            bid: None,
            ask: None,
            turnover: Turnover::default(),
            told: false,
            seconds: BarSeries::new(Interval::SECOND),
            minutes: BarSeries::new(Interval::MINUTE),
            trace: Trace::default(),
            rate: SymbolRate::default(),
        }
    }

    /// Takes one tick, written to Kafka at `written_ms` and read at `now_ms` (wall clock). One of an earlier trade
    /// date counts in the rate alone.
    pub fn tick(&mut self, tick: &TickView<'_>, written_ms: i64, now_ms: i64, limits: BarLimits) {
        self.rate.count(written_ms, now_ms);
        if tick.trade_date < self.trade_date {
            return;
        }
        if tick.trade_date > self.trade_date {
            self.begin(tick.trade_date, tick.kind);
        }
        if tick.currency.as_deref() != self.currency.as_deref() && tick.currency.is_some() {
            self.currency = tick.currency.as_deref().map(Arc::from);
        }
        match tick.kind {
            Kind::Trade => self.trade(tick, limits),
            Kind::Quote => {
                self.bid = tick.bid_price;
                self.ask = tick.ask_price;
            }
            Kind::Bar => self.bar(tick, limits),
            // States, auctions, corrections, corporate actions and gaps tell nothing that the page
            // shows of a symbol.
            _ => {}
        }
    }

    fn begin(&mut self, trade_date: Date, kind: Kind) {
        self.trade_date = trade_date;
        self.open = None;
        self.turnover = Turnover::default();
        self.told = false;
        // Of daily bars each is a date of its own: their line goes on.
        if kind != Kind::Bar {
            self.trace.clear();
        }
    }

    fn trade(&mut self, tick: &TickView<'_>, limits: BarLimits) {
        let Some(price) = tick.price else {
            return;
        };
        let updates = Updates::of(tick.flags);
        let size = tick.size.filter(|_| updates.volume);
        if let Some(size) = size {
            self.turnover.add(price, size);
        }
        // What is no last price is in no bar of the page, and no point of its line.
        if !updates.last {
            return;
        }
        self.last = Some(price);
        self.open.get_or_insert(price);
        self.trace.at(tick.ts_event_ns, price);
        self.seconds
            .trade(tick.ts_event_ns, price, size, limits.seconds);
        self.minutes
            .trade(tick.ts_event_ns, price, size, limits.minutes);
    }

    fn bar(&mut self, tick: &TickView<'_>, limits: BarLimits) {
        let Some(close) = tick.close else {
            return;
        };
        self.last = Some(close);
        self.open.get_or_insert(tick.open.unwrap_or(close));
        self.trace.next(close);
        if let Some(volume) = tick.volume {
            self.turnover.add(close, volume);
            self.told = true;
        }
        self.minutes.bar(tick, close, limits.minutes);
        self.seconds.bar(tick, close, limits.seconds);
    }

    /// The figures at `now_ms` (wall clock, for the rate).
    #[must_use]
    pub fn figures(&self, now_ms: i64) -> Figures {
        Figures {
            currency: self.currency.clone(),
            last: self.last,
            open: self.open,
            change: self
                .open
                .zip(self.last)
                .and_then(|(open, last)| Percent::change(open, last)),
            bid: self.bid,
            ask: self.ask,
            vwap: if self.told {
                None
            } else {
                self.turnover.vwap()
            },
            volume: self.turnover.volume(),
            rate: self.rate(now_ms),
        }
    }

    /// Ticks a second before `now_ms`, mean of ten seconds.
    #[must_use]
    pub fn rate(&self, now_ms: i64) -> f64 {
        self.rate.rate(now_ms).1
    }

    /// The sparkline.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// One-second bars.
    #[must_use]
    pub fn seconds(&self) -> &BarSeries {
        &self.seconds
    }

    /// One-minute bars.
    #[must_use]
    pub fn minutes(&self) -> &BarSeries {
        &self.minutes
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use stockpipe_market::tick::{Size, Symbol, Tick};

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const LIMITS: BarLimits = BarLimits {
        seconds: 60,
        minutes: 60,
    };

    #[test]
    fn a_trade_that_is_no_last_price_counts_in_the_volume_alone() {
        let mut instrument = Instrument::new(date(2026, 11, 20));
        let trade = |second, price: &str, flags| {
            let mut tick = tick(Kind::Trade, 20, second);
            tick.price = Some(price.parse().unwrap());
            tick.size = Some(Size::whole(10));
            tick.flags = flags;
            tick
        };
        let odd = Some(stockpipe_market::tick::flags_of("I"));
        for tick in [trade(1, "10", None), trade(2, "99", odd)] {
            instrument.tick(&TickView::from(&tick), 0, 0, LIMITS);
        }
        let figures = instrument.figures(0);
        assert_eq!(figures.last, Some("10".parse().unwrap()));
        assert_eq!(figures.volume, Size::whole(20));
        assert_eq!(instrument.seconds().bars().len(), 1);
    }

    fn tick(kind: Kind, day: i8, second: i64) -> Tick {
        Tick::new(
            Symbol::new("AAPL").unwrap(),
            "simulated".into(),
            kind,
            "r".into(),
            0,
            second * SECOND,
            date(2026, 11, day),
        )
    }

    fn trade(day: i8, second: i64, price: &str, size: &str) -> Tick {
        let mut tick = tick(Kind::Trade, day, second);
        tick.price = Some(price.parse().unwrap());
        tick.size = Some(size.parse().unwrap());
        tick
    }

    fn after(ticks: &[Tick]) -> Instrument {
        let mut instrument = Instrument::new(ticks[0].trade_date);
        for tick in ticks {
            instrument.tick(&TickView::from(tick), 0, 0, LIMITS);
        }
        instrument
    }

    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "none".to_owned(), |v| v.to_string())
    }

    #[test]
    fn trades_make_last_change_volume_and_vwap_exactly() {
        let figures = after(&[
            trade(20, 1, "100", "1"),
            trade(20, 2, "101", "2"),
            trade(20, 3, "102", "0.5"),
        ])
        .figures(0);
        assert_eq!(text(figures.last), "102");
        assert_eq!(text(figures.open), "100");
        assert_eq!(text(figures.change), "2.00");
        assert_eq!(figures.volume.to_string(), "3.5");
        // (100 + 202 + 51) / 3.5
        assert_eq!(text(figures.vwap), "100.857142857");
    }

    #[test]
    fn a_new_trade_date_begins_again_and_a_tick_of_the_old_one_does_not_disturb_it() {
        let instrument = after(&[
            trade(20, 1, "100", "7"),
            trade(21, 86_400, "110", "1"),
            trade(20, 2, "90", "7"),
            trade(21, 86_401, "121", "1"),
        ]);
        let figures = instrument.figures(0);
        assert_eq!(text(figures.open), "110");
        assert_eq!(text(figures.change), "10.00");
        assert_eq!(figures.volume.to_string(), "2");
        assert_eq!(instrument.trace().points().len(), 2);
    }

    #[test]
    fn a_quote_moves_bid_and_ask_alone_and_an_empty_side_is_shown_as_empty() {
        let mut quote = tick(Kind::Quote, 20, 2);
        quote.bid_price = Some("99.98".parse().unwrap());
        quote.ask_price = Some("100.02".parse().unwrap());
        let mut one_sided = tick(Kind::Quote, 20, 3);
        one_sided.bid_price = Some("99.97".parse().unwrap());
        let mut instrument = after(&[trade(20, 1, "100", "1"), quote]);
        let figures = instrument.figures(0);
        assert_eq!(
            (text(figures.bid), text(figures.ask), text(figures.last)),
            ("99.98".into(), "100.02".into(), "100".into())
        );
        instrument.tick(&TickView::from(&one_sided), 0, 0, LIMITS);
        assert_eq!(text(instrument.figures(0).ask), "none");
    }

    #[test]
    fn daily_bars_show_their_close_and_their_line_runs_over_the_days() {
        let bar = |day: i8, open: &str, close: &str| {
            let mut bar = tick(Kind::Bar, day, i64::from(day) * 86_400);
            bar.open = Some(open.parse().unwrap());
            bar.high = Some("200".parse().unwrap());
            bar.low = Some("1".parse().unwrap());
            bar.close = Some(close.parse().unwrap());
            bar.volume = Some("936660000".parse().unwrap());
            bar
        };
        let instrument = after(&[bar(19, "90", "99"), bar(20, "100", "95")]);
        let figures = instrument.figures(0);
        assert_eq!(text(figures.last), "95");
        assert_eq!(text(figures.change), "-5.00");
        assert_eq!(figures.volume.to_string(), "936660000");
        assert_eq!(text(figures.vwap), "none", "a bar does not tell it");
        assert_eq!(instrument.trace().points().len(), 2);
        let bars = instrument.minutes().bars();
        assert_eq!(bars.len(), 2);
        assert_eq!(
            (bars[1].high.to_string(), bars[1].low.to_string()),
            ("200".into(), "1".into())
        );
    }

    #[test]
    fn the_largest_trades_do_not_overflow() {
        let huge = trade(20, 1, "999999999", "999999999999999999");
        let mut instrument = after(std::slice::from_ref(&huge));
        instrument.tick(&TickView::from(&huge), 0, 0, LIMITS);
        let figures = instrument.figures(0);
        assert_eq!(text(figures.vwap), "999999999");
        assert_eq!(figures.volume, Size::MAX);
    }

    #[test]
    fn ten_thousand_symbols_share_the_bars_and_keep_an_hour_each() {
        assert_eq!(
            BarLimits::sharing(400_000, 10_000),
            BarLimits {
                seconds: 60,
                minutes: 60
            }
        );
        assert_eq!(
            BarLimits::sharing(400_000, 12),
            BarLimits {
                seconds: 300,
                minutes: 390
            }
        );
    }
}
