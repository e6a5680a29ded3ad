//! What the REST and SSE endpoints send. `dashboard/src/api.ts` is the same, field by field.
//!
//! Prices and sizes are decimal strings and never pass through a float.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use stockpipe_market::tick::{Price, Size, Symbol};

/// What does not change while the pipeline runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PipelineInfo {
    /// Name of the pipeline.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What kind of prices these are.
    pub badge: Badge,
    /// `XNYS` or `24x7`.
    pub calendar: String,
    /// Kafka topic.
    pub topic: String,
    /// `s3://bucket/prefix`.
    pub lake: String,
    /// `database.table`.
    pub table: String,
}

/// What kind of prices are shown, so that nobody takes them for a live market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Badge {
    /// Synthetic.
    Simulated,
    /// Recorded, played again.
    Replay,
    /// As they come from a feed.
    Live,
}

/// The market as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MarketInfo {
    /// Whether Kafka answers.
    pub connected: bool,
    /// Newest event time: of a tick, or of a heartbeat's promise.
    pub time: Option<Timestamp>,
    /// Event time of the first tick read: volumes and VWAPs of its trade date count from here.
    pub since: Option<Timestamp>,
    /// Symbols seen.
    pub symbols: usize,
    /// Ticks read since the worker started.
    pub ticks: u64,
    /// Ticks a second.
    pub rate: RateInfo,
    /// The exchange's hours.
    pub session: SessionInfo,
}

/// Ticks a second, by the time at which they were written to Kafka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RateInfo {
    /// In the last whole second.
    pub current: u32,
    /// Mean of the last ten whole seconds.
    pub smoothed: f64,
}

/// Whether the exchange is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Whether a session is on at market time.
    pub open: bool,
    /// When the next one begins, while none is on.
    pub next_open: Option<Timestamp>,
}

/// How far the lake is; each figure is absent until it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LakeInfo {
    /// Records in Kafka that no published claim covers.
    pub lag: Option<u64>,
    /// The lake is complete up to this market time.
    pub watermark: Option<Timestamp>,
    /// Market time less watermark, milliseconds.
    pub watermark_delay_ms: Option<i64>,
    /// Files landed.
    pub files: Option<u64>,
    /// Rows landed.
    pub rows: Option<u64>,
    /// Bytes of those files.
    pub bytes: Option<u64>,
    /// Records that did not decode.
    pub quarantined: Option<u64>,
    /// Why the figures are missing or old, in one sentence.
    pub problem: Option<String>,
}

/// State of a report's newest run, as the page names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ReportState {
    /// No run yet.
    NotRun,
    /// Waits for the watermark.
    Waiting,
    /// The query runs.
    Running,
    /// Has a result over complete data.
    Succeeded,
    /// Has a result, but its deadline passed before the watermark did.
    Partial,
    /// Has no result.
    Failed,
}

/// The newest run of one report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportInfo {
    /// Name of the report.
    pub name: String,
    /// State.
    pub state: ReportState,
    /// The date that it covers.
    pub data_date: Option<Date>,
    /// Rows of the result.
    pub rows: Option<u64>,
    /// Bytes scanned.
    pub scanned_bytes: Option<u64>,
    /// Cost, US dollars.
    pub cost_usd: Option<String>,
    /// `s3://` address of the result.
    pub output: Option<String>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it waits for, or why it failed.
    pub message: Option<String>,
    /// When the schedule fires next.
    pub next_run: Option<Timestamp>,
}

/// A change in percent, counted in hundredths; on the wire `"-1.25"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(i64);

impl Percent {
    /// The change from `open` to `last`, rounded half away from zero; `None` where `open` is not above zero.
    #[must_use]
    pub fn change(open: Price, last: Price) -> Option<Self> {
        let (open, last) = (i128::from(open.steps()), i128::from(last.steps()));
        if open <= 0 {
            return None;
        }
        let scaled = (last - open) * 10_000;
        let rounded = (scaled.abs() * 2 + open) / (open * 2);
        i64::try_from(rounded * scaled.signum()).ok().map(Self)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let all = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", all / 100, all % 100)
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One symbol's figures, without its sparkline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// ISO 4217 code of its prices.
    pub currency: Option<std::sync::Arc<str>>,
    /// Last trade's price, or the newest bar's close.
    pub last: Option<Price>,
    /// First price of the trade date.
    pub open: Option<Price>,
    /// From `open` to `last`.
    pub change: Option<Percent>,
    /// Best bid.
    pub bid: Option<Price>,
    /// Best ask.
    pub ask: Option<Price>,
    /// Volume-weighted average price of the trade date, rounded to 1e-9.
    pub vwap: Option<Price>,
    /// Units traded on the trade date.
    pub volume: Size,
    /// Ticks a second, mean of ten seconds.
    pub rate: f64,
}

/// One symbol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Symbol.
    pub symbol: Symbol,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// Prices over the trade date, evenly spaced, at most [`Trace::LIMIT`](super::trace::Trace::LIMIT).
    /// The last one is as of the time it was added; `last` is newer.
    pub spark: Vec<Price>,
}

/// The fields of a row that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowPatch {
    /// Symbol.
    pub symbol: Symbol,
    #[expect(missing_docs, reason = "each field is documented in `Figures`")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Option<std::sync::Arc<str>>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Option<Price>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<Option<Price>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Option<Percent>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bid: Option<Option<Price>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<Option<Price>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vwap: Option<Option<Price>>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Size>,
    #[expect(missing_docs, reason = "as above")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// New points of the sparkline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spark: Option<SparkPatch>,
}

impl RowPatch {
    /// What changed from `old` to `new`; `None` where nothing did.
    #[must_use]
    pub fn between(
        symbol: &Symbol,
        old: &Figures,
        new: &Figures,
        spark: Option<SparkPatch>,
    ) -> Option<Self> {
        if old == new && spark.is_none() {
            return None;
        }
        fn changed<T: PartialEq + Clone>(old: &T, new: &T) -> Option<T> {
            (old != new).then(|| new.clone())
        }
        Some(Self {
            symbol: symbol.clone(),
            currency: changed(&old.currency, &new.currency),
            last: changed(&old.last, &new.last),
            open: changed(&old.open, &new.open),
            change: changed(&old.change, &new.change),
            bid: changed(&old.bid, &new.bid),
            ask: changed(&old.ask, &new.ask),
            vwap: changed(&old.vwap, &new.vwap),
            volume: changed(&old.volume, &new.volume),
            rate: changed(&old.rate, &new.rate),
            spark,
        })
    }

    /// Every field of `row`, for a reader that does not have it.
    #[must_use]
    pub fn whole(row: Row) -> Self {
        let Row {
            symbol,
            figures,
            spark,
        } = row;
        Self {
            symbol,
            currency: Some(figures.currency),
            last: Some(figures.last),
            open: Some(figures.open),
            change: Some(figures.change),
            bid: Some(figures.bid),
            ask: Some(figures.ask),
            vwap: Some(figures.vwap),
            volume: Some(figures.volume),
            rate: Some(figures.rate),
            spark: Some(SparkPatch {
                from: 0,
                points: spark,
            }),
        }
    }
}

/// Points that replace a sparkline from `from` on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SparkPatch {
    /// How many points stay.
    pub from: usize,
    /// The points after them.
    pub points: Vec<Price>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Deltas with a greater number apply to it.
    pub seq: u64,
    /// The pipeline.
    pub pipeline: PipelineInfo,
    /// The market.
    pub market: MarketInfo,
    /// Ticks of each of the last seconds, oldest first.
    pub history: Vec<u32>,
    /// The lake.
    pub lake: LakeInfo,
    /// The reports, in the order of the file.
    pub reports: Vec<ReportInfo>,
    /// Symbols, the busiest first.
    pub rows: Vec<Row>,
}

/// What changed since the delta before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delta {
    /// One more than the delta's before.
    pub seq: u64,
    /// The market, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<MarketInfo>,
    /// The history, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<u32>>,
    /// The lake, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lake: Option<LakeInfo>,
    /// The reports, where one changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports: Option<Vec<ReportInfo>>,
    /// Rows that changed or came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowPatch>,
    /// Symbols that left the page's selection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Symbol>,
}

impl Delta {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.market.is_none()
            && self.history.is_none()
            && self.lake.is_none()
            && self.reports.is_none()
            && self.rows.is_empty()
            && self.gone.is_empty()
    }
}

/// One bar of a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BarInfo {
    /// Start, milliseconds since 1970 UTC.
    pub time: i64,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Units traded.
    pub volume: Size,
    /// Volume-weighted average price; absent where nothing with a size was traded.
    pub vwap: Option<Price>,
    /// Trades.
    pub ticks: u64,
}

/// Bars of a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BarsInfo {
    /// Symbol.
    pub symbol: Symbol,
    /// `1s` or `1m`.
    pub interval: &'static str,
    /// Oldest first; the last one may still grow.
    pub bars: Vec<BarInfo>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        text.parse().unwrap()
    }

    #[test]
    fn a_change_is_rounded_half_away_from_zero_and_written_with_two_decimals() {
        for (open, last, expected) in [
            ("100", "101.255", "1.26"),
            ("100", "98.745", "-1.26"),
            ("100", "100", "0.00"),
            ("3", "2", "-33.33"),
            ("0.000000001", "999999999", "99999999899999999900.00"),
        ] {
            let change = Percent::change(price(open), price(last));
            if expected.len() > 20 {
                assert_eq!(change, None, "a change that no i64 holds is not shown");
            } else {
                assert_eq!(change.unwrap().to_string(), expected, "{open} to {last}");
            }
        }
        assert_eq!(Percent::change(price("0"), price("1")), None);
        assert_eq!(Percent::change(price("-1"), price("1")), None);
    }

    #[test]
    fn a_patch_carries_only_what_changed_and_says_null_where_a_value_went_away() {
        let old = Figures {
            currency: None,
            last: Some(price("2.50")),
            open: None,
            change: None,
            bid: Some(price("2.4")),
            ask: None,
            vwap: None,
            volume: Size::whole(3),
            rate: 1.0,
        };
        let symbol = Symbol::new("AAPL").unwrap();
        assert_eq!(RowPatch::between(&symbol, &old, &old, None), None);
        let new = Figures {
            last: Some(price("2.6")),
            bid: None,
            ..old.clone()
        };
        let patch = RowPatch::between(&symbol, &old, &new, None).unwrap();
        assert_eq!(
            serde_json::to_string(&patch).unwrap(),
            r#"{"symbol":"AAPL","last":"2.6","bid":null}"#
        );
    }
}
