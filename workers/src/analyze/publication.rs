//! What every reader of the stream has been told, and what to tell next.

use std::collections::HashMap;

use jiff::Timestamp;
use stockpipe_market::tick::Symbol;

use super::instrument::Instrument;
use super::state::Market;
use super::wire::{
    Delta, Figures, LakeInfo, MarketInfo, PipelineInfo, RateInfo, ReportInfo, Row, RowPatch,
    SessionInfo, Snapshot, SparkPatch,
};

/// Symbols that the stream carries: the busiest.
pub const STREAMED: usize = 200;
/// A streamed symbol stays until it falls below this rank, so that neighbours in rank do not take turns.
const KEPT: usize = 250;
/// How often the selection is looked at again.
const SELECT_EVERY_MS: i64 = 5_000;
/// How often a symbol's own rate is told anew: it changes with every second that passes.
const RATE_EVERY_MS: i64 = 1_000;

/// What the publication reads beside the market.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// Whether Kafka answers.
    pub connected: bool,
    /// The exchange's hours at market time.
    pub session: SessionInfo,
    /// The lake.
    pub lake: LakeInfo,
    /// The reports.
    pub reports: Vec<ReportInfo>,
}

/// The state that all readers share after the newest delta.
#[derive(Debug)]
pub struct Publication {
    seq: u64,
    pipeline: PipelineInfo,
    market: MarketInfo,
    history: Vec<u32>,
    lake: LakeInfo,
    reports: Vec<ReportInfo>,
    rows: HashMap<Symbol, Published>,
    /// Order of the rows in a snapshot.
    order: Vec<Symbol>,
    selected_at_ms: i64,
    rated_at_ms: i64,
}

#[derive(Debug)]
struct Published {
    figures: Figures,
    spark: Vec<stockpipe_market::tick::Price>,
    generation: u64,
}

impl Publication {
    /// Nothing told yet.
    #[must_use]
    pub fn new(pipeline: PipelineInfo, now: &Surroundings) -> Self {
        Self {
            seq: 0,
            pipeline,
            market: market_info(&Market::default(), now, 0),
            history: Market::default().window().history(0),
            lake: now.lake.clone(),
            reports: now.reports.clone(),
            rows: HashMap::new(),
            order: Vec::new(),
            selected_at_ms: i64::MIN,
            rated_at_ms: i64::MIN,
        }
    }

    /// Number of the newest delta.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The shared state as one message.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let rows = self.order.iter().filter_map(|symbol| {
            let published = self.rows.get(symbol)?;
            Some(Row {
                symbol: symbol.clone(),
                figures: published.figures.clone(),
                spark: published.spark.clone(),
            })
        });
        Snapshot {
            seq: self.seq,
            pipeline: self.pipeline.clone(),
            market: self.market.clone(),
            history: self.history.clone(),
            lake: self.lake.clone(),
            reports: self.reports.clone(),
            rows: rows.collect(),
        }
    }

    /// Rows of `market` itself, outside the stream: those that contain `search`, the busiest first.
    #[must_use]
    pub fn page(
        &self,
        market: &Market,
        search: &str,
        offset: usize,
        limit: usize,
        now_ms: i64,
    ) -> Snapshot {
        let found = market.busiest(search, now_ms);
        let rows = found.into_iter().skip(offset).take(limit);
        let rows = rows.filter_map(|symbol| {
            let instrument = market.instrument(symbol)?;
            Some(row(symbol, instrument, now_ms))
        });
        Snapshot {
            rows: rows.collect(),
            seq: self.seq,
            pipeline: self.pipeline.clone(),
            market: self.market.clone(),
            history: self.history.clone(),
            lake: self.lake.clone(),
            reports: self.reports.clone(),
        }
    }

    /// Takes the state at `now_ms` and says what changed; the delta is the next in number, also when empty.
    pub fn advance(&mut self, market: &Market, now: &Surroundings, now_ms: i64) -> Delta {
        self.seq += 1;
        let mut delta = Delta {
            seq: self.seq,
            gone: self.select(market, now_ms),
            ..Delta::default()
        };
        let rates = now_ms.saturating_sub(self.rated_at_ms) >= RATE_EVERY_MS;
        if rates {
            self.rated_at_ms = now_ms;
        }
        for symbol in &self.order {
            let Some(instrument) = market.instrument(symbol) else {
                continue;
            };
            match self.rows.get_mut(symbol) {
                Some(published) => {
                    delta
                        .rows
                        .extend(published.advance(symbol, instrument, now_ms, rates));
                }
                None => {
                    let row = row(symbol, instrument, now_ms);
                    self.rows.insert(
                        symbol.clone(),
                        Published {
                            figures: row.figures.clone(),
                            spark: row.spark.clone(),
                            generation: instrument.trace().generation(),
                        },
                    );
                    delta.rows.push(RowPatch::whole(row));
                }
            }
        }
        delta.market = renewed(&mut self.market, market_info(market, now, now_ms));
        delta.history = renewed(&mut self.history, market.window().history(now_ms));
        delta.lake = renewed(&mut self.lake, now.lake.clone());
        delta.reports = renewed(&mut self.reports, now.reports.clone());
        delta
    }

    /// Chooses the symbols to stream; those that left.
    fn select(&mut self, market: &Market, now_ms: i64) -> Vec<Symbol> {
        let complete = self.order.len() == market.symbols().min(STREAMED);
        if complete && now_ms.saturating_sub(self.selected_at_ms) < SELECT_EVERY_MS {
            return Vec::new();
        }
        self.selected_at_ms = now_ms;
        let ranked = market.busiest("", now_ms);
        let mut chosen: Vec<&Symbol> = ranked.iter().take(KEPT).copied().collect();
        if chosen.len() > STREAMED {
            // Whoever is streamed and still ranks well comes before whoever is not; the sort is stable.
            chosen.sort_by_key(|symbol| !self.rows.contains_key(*symbol));
            chosen.truncate(STREAMED);
        }
        let order: Vec<Symbol> = chosen.into_iter().cloned().collect();
        let gone: Vec<Symbol> = self
            .order
            .iter()
            .filter(|symbol| !order.contains(symbol))
            .cloned()
            .collect();
        for symbol in &gone {
            self.rows.remove(symbol);
        }
        self.order = order;
        gone
    }
}

impl Published {
    fn advance(
        &mut self,
        symbol: &Symbol,
        instrument: &Instrument,
        now_ms: i64,
        rates: bool,
    ) -> Option<RowPatch> {
        let mut figures = instrument.figures(now_ms);
        if !rates {
            figures.rate = self.figures.rate;
        }
        let spark = self.spark_patch(instrument);
        let patch = RowPatch::between(symbol, &self.figures, &figures, spark);
        self.figures = figures;
        patch
    }

    /// Points are sent when one is added: the one before it is then final.
    fn spark_patch(&mut self, instrument: &Instrument) -> Option<SparkPatch> {
        let (points, generation) = (instrument.trace().points(), instrument.trace().generation());
        if generation == self.generation && points.len() == self.spark.len() {
            return None;
        }
        let from = if generation == self.generation {
            self.spark.len().saturating_sub(1)
        } else {
            0
        };
        let patch = SparkPatch {
            from,
            points: points.get(from..).unwrap_or_default().to_vec(),
        };
        self.spark = points.to_vec();
        self.generation = generation;
        Some(patch)
    }
}

fn renewed<T: PartialEq + Clone>(old: &mut T, new: T) -> Option<T> {
    if *old == new {
        return None;
    }
    old.clone_from(&new);
    Some(new)
}

fn row(symbol: &Symbol, instrument: &Instrument, now_ms: i64) -> Row {
    Row {
        symbol: symbol.clone(),
        figures: instrument.figures(now_ms),
        spark: instrument.trace().points().to_vec(),
    }
}

fn market_info(market: &Market, now: &Surroundings, now_ms: i64) -> MarketInfo {
    let (current, smoothed) = market.window().rate(now_ms);
    MarketInfo {
        connected: now.connected,
        time: market.time_ns().and_then(instant),
        since: market.since_ns().and_then(instant),
        symbols: market.symbols(),
        ticks: market.ticks(),
        rate: RateInfo { current, smoothed },
        session: now.session,
    }
}

/// The instant of an event time, to the millisecond.
pub fn instant(ns: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ns.div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::{Value, json};
    use stockpipe_market::tick::{Kind, Tick};
    use stockpipe_market::view::TickView;

    use super::super::wire::Badge;
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn surroundings() -> Surroundings {
        Surroundings {
            connected: true,
            session: SessionInfo {
                open: true,
                next_open: None,
            },
            lake: LakeInfo::default(),
            reports: Vec::new(),
        }
    }

    fn publication() -> Publication {
        let pipeline = PipelineInfo {
            name: "demo".into(),
            namespace: "default".into(),
            badge: Badge::Simulated,
            calendar: "24x7".into(),
            topic: "demo.ticks".into(),
            lake: "s3://lake/demo".into(),
            table: "stockpipe.demo".into(),
        };
        Publication::new(pipeline, &surroundings())
    }

    fn trade(market: &mut Market, symbol: &str, second: i64, price: &str) {
        let mut tick = Tick::new(
            Symbol::new(symbol).unwrap(),
            "simulated".into(),
            Kind::Trade,
            "r".into(),
            0,
            second * SECOND,
            date(2026, 11, 20),
        );
        tick.price = Some(price.parse().unwrap());
        tick.size = Some("2".parse().unwrap());
        let ms = second * 1000;
        market.tick(&TickView::from(&tick), ms, ms);
    }

    /// What a page does with a delta, on JSON.
    fn apply(state: &mut Value, delta: &Delta) {
        let delta = serde_json::to_value(delta).unwrap();
        for section in ["seq", "market", "history", "lake", "reports"] {
            if let Some(value) = delta.get(section) {
                state[section] = value.clone();
            }
        }
        let rows = state["rows"].as_array_mut().unwrap();
        for gone in delta["gone"].as_array().into_iter().flatten() {
            rows.retain(|row| row["symbol"] != *gone);
        }
        for patch in delta["rows"].as_array().into_iter().flatten() {
            let at = rows.iter().position(|r| r["symbol"] == patch["symbol"]);
            let at = at.unwrap_or_else(|| {
                rows.push(json!({"spark": []}));
                rows.len() - 1
            });
            for (field, value) in patch.as_object().unwrap() {
                if field == "spark" {
                    let spark = rows[at]["spark"].as_array_mut().unwrap();
                    spark.truncate(value["from"].as_u64().unwrap() as usize);
                    spark.extend(value["points"].as_array().unwrap().iter().cloned());
                } else {
                    rows[at][field] = value.clone();
                }
            }
        }
    }

    fn sorted(mut snapshot: Value) -> Value {
        let rows = snapshot["rows"].as_array_mut().unwrap();
        rows.sort_by_key(|row| row["symbol"].to_string());
        snapshot
    }

    #[test]
    fn a_reader_that_applies_every_delta_has_exactly_what_a_snapshot_says() {
        let (mut market, mut publication) = (Market::default(), publication());
        let mut reader = serde_json::to_value(publication.snapshot()).unwrap();
        for second in 0..400 {
            trade(
                &mut market,
                "AAPL",
                second,
                &format!("{}.5", 100 + second % 7),
            );
            if second % 3 == 0 {
                trade(&mut market, "MSFT", second, &format!("{}", 50 + second % 5));
            }
            for quarter in 0..4 {
                let now_ms = second * 1000 + quarter * 250;
                apply(
                    &mut reader,
                    &publication.advance(&market, &surroundings(), now_ms),
                );
            }
        }
        let snapshot = serde_json::to_value(publication.snapshot()).unwrap();
        assert_eq!(sorted(reader), sorted(snapshot));
    }

    #[test]
    fn nothing_is_said_when_nothing_happened() {
        let (mut market, mut publication) = (Market::default(), publication());
        trade(&mut market, "AAPL", 1, "10");
        let first = publication.advance(&market, &surroundings(), 1_000_000);
        assert_eq!((first.seq, first.rows.len()), (1, 1));
        let second = publication.advance(&market, &surroundings(), 1_000_250);
        assert!(second.is_empty(), "{second:?}");
        assert_eq!(second.seq, 2);
    }

    #[test]
    fn beyond_two_hundred_symbols_the_busiest_are_streamed_and_a_page_reaches_the_others() {
        let (mut market, mut publication) = (Market::default(), publication());
        for n in 0..300 {
            let symbol = format!("S{n:03}");
            for _ in 0..=(n / 100) {
                trade(&mut market, &symbol, 1, "10");
            }
        }
        let delta = publication.advance(&market, &surroundings(), 2_500);
        assert_eq!(delta.rows.len(), STREAMED);
        assert!(delta.rows.iter().all(|row| &*row.symbol >= "S100"));
        let page = publication.page(&market, "s0", 0, 50, 2_500);
        assert_eq!(page.rows.len(), 50);
        assert!(page.rows.iter().all(|row| row.symbol.starts_with("S0")));
        assert_eq!(publication.page(&market, "", 290, 50, 2_500).rows.len(), 10);
    }

    #[test]
    fn a_symbol_that_falls_a_few_ranks_stays_and_one_that_falls_far_leaves() {
        let (mut market, mut publication) = (Market::default(), publication());
        for n in 0..200 {
            trade(&mut market, &format!("A{n:03}"), 1, "10");
        }
        publication.advance(&market, &surroundings(), 1_000);
        for n in 0..40 {
            trade(&mut market, &format!("B{n:03}"), 2, "10");
        }
        let delta = publication.advance(&market, &surroundings(), 10_000);
        assert!(
            delta.gone.is_empty(),
            "240 symbols: all of the old ones rank within 250"
        );
        for n in 0..200 {
            trade(&mut market, &format!("C{n:03}"), 30, "10");
        }
        let delta = publication.advance(&market, &surroundings(), 32_000);
        assert!(!delta.gone.is_empty());
        let gone: Vec<_> = delta.gone.iter().map(ToString::to_string).collect();
        assert!(
            gone.iter().all(|symbol| symbol.starts_with('A')),
            "{gone:?}"
        );
        assert_eq!(publication.snapshot().rows.len(), STREAMED);
    }
}
