//! What the page knows of the market: one instrument for each symbol, fed by ticks and heartbeats. Pure.

use std::collections::HashMap;

use stockpipe_market::tick::Symbol;
use stockpipe_market::view::TickView;

use super::instrument::{BarLimits, Instrument};
use super::rate::MarketRate;

/// Most symbols that are kept; ticks of further ones count in the rate alone.
pub const MAX_SYMBOLS: usize = 10_000;
/// Bars kept over all symbols, of each interval: bounds the memory at any number of symbols.
const BAR_BUDGET: usize = 400_000;

/// The market as the ticks so far tell it.
#[derive(Debug, Default)]
pub struct Market {
    instruments: HashMap<Symbol, Instrument>,
    window: MarketRate,
    ticks: u64,
    undecodable: u64,
    time_ns: Option<i64>,
    since_ns: Option<i64>,
}

impl Market {
    /// Takes one tick, written to Kafka at `written_ms` and read at `now_ms` (wall clock).
    pub fn tick(&mut self, tick: &TickView<'_>, written_ms: i64, now_ms: i64) {
        self.ticks += 1;
        self.window.count(written_ms, now_ms);
        self.time_ns = self.time_ns.max(Some(tick.ts_event_ns));
        self.since_ns.get_or_insert(tick.ts_event_ns);
        let limits = BarLimits::sharing(BAR_BUDGET, self.instruments.len());
        if let Some(instrument) = self.instruments.get_mut(&*tick.symbol) {
            instrument.tick(tick, written_ms, now_ms, limits);
            return;
        }
        if self.instruments.len() < MAX_SYMBOLS
            && let Ok(symbol) = Symbol::new(&tick.symbol)
        {
            let mut instrument = Instrument::new(tick.trade_date);
            instrument.tick(tick, written_ms, now_ms, limits);
            self.instruments.insert(symbol, instrument);
        }
    }

    /// Takes a heartbeat: its producer has told everything before `until_ns` (event time).
    pub fn heartbeat(&mut self, until_ns: i64) {
        self.time_ns = self.time_ns.max(Some(until_ns));
    }

    /// Counts a record that is neither tick nor heartbeat; the lander keeps it in quarantine.
    pub fn undecodable(&mut self) {
        self.undecodable += 1;
    }

    /// One symbol.
    #[must_use]
    pub fn instrument(&self, symbol: &str) -> Option<&Instrument> {
        self.instruments.get(symbol)
    }

    /// Symbols seen.
    #[must_use]
    pub fn symbols(&self) -> usize {
        self.instruments.len()
    }

    /// Ticks taken.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Records that were neither tick nor heartbeat.
    #[must_use]
    pub fn bad_records(&self) -> u64 {
        self.undecodable
    }

    /// Newest event time, ns.
    #[must_use]
    pub fn time_ns(&self) -> Option<i64> {
        self.time_ns
    }

    /// Event time of the first tick, ns.
    #[must_use]
    pub fn since_ns(&self) -> Option<i64> {
        self.since_ns
    }

    /// Ticks a second over all symbols.
    #[must_use]
    pub fn window(&self) -> &MarketRate {
        &self.window
    }

    /// Symbols that contain `search` (letter case aside), the busiest at `now_ms` first.
    #[must_use]
    pub fn busiest(&self, search: &str, now_ms: i64) -> Vec<&Symbol> {
        let search = search.trim().to_uppercase();
        let mut found: Vec<(&Symbol, f64)> = self
            .instruments
            .iter()
            .filter(|(symbol, _)| search.is_empty() || symbol.to_uppercase().contains(&search))
            .map(|(symbol, instrument)| (symbol, instrument.rate(now_ms)))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        found.into_iter().map(|(symbol, _)| symbol).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use stockpipe_market::tick::{Kind, Tick};

    use super::*;

    fn trade(symbol: &str, ts_event_ns: i64) -> Tick {
        let mut tick = Tick::new(
            Symbol::new(symbol).unwrap(),
            "simulated".into(),
            Kind::Trade,
            "r".into(),
            0,
            ts_event_ns,
            date(2026, 11, 20),
        );
        tick.price = Some("10".parse().unwrap());
        tick
    }

    #[test]
    fn market_time_is_the_newest_of_ticks_and_heartbeats() {
        let mut market = Market::default();
        market.tick(&TickView::from(&trade("A", 50)), 0, 0);
        market.tick(&TickView::from(&trade("A", 40)), 0, 0);
        assert_eq!((market.time_ns(), market.since_ns()), (Some(50), Some(50)));
        market.heartbeat(70);
        market.heartbeat(60);
        assert_eq!(market.time_ns(), Some(70));
        assert_eq!(market.ticks(), 2, "a heartbeat is no tick");
    }

    #[test]
    fn the_busiest_symbols_come_first_and_search_ignores_case() {
        let mut market = Market::default();
        for (symbol, ticks) in [("AAPL", 1), ("MSFT", 5), ("AA", 3)] {
            for _ in 0..ticks {
                market.tick(&TickView::from(&trade(symbol, 0)), 1_000, 1_000);
            }
        }
        let names = |search| -> Vec<String> {
            let found = market.busiest(search, 2_500);
            found.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(""), ["MSFT", "AA", "AAPL"]);
        assert_eq!(names(" aa"), ["AA", "AAPL"]);
        assert!(names("zz").is_empty());
    }

    #[test]
    fn symbols_are_bounded_and_those_beyond_still_count_in_the_rate() {
        let mut market = Market::default();
        for n in 0..MAX_SYMBOLS + 10 {
            market.tick(&TickView::from(&trade(&format!("S{n}"), 0)), 1_000, 1_000);
        }
        assert_eq!(market.symbols(), MAX_SYMBOLS);
        assert_eq!(market.window().rate(2_500).0, MAX_SYMBOLS as u32 + 10);
    }
}
