//! `spec.source`: where ticks come from.

use jiff::civil::Date;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::defaults;
use super::secret::SecretName;
use crate::address::FileUri;
use crate::names::{HeaderName, TimeFormat};
use crate::rules;

/// Where ticks come from: at most one kind; none is `simulated` with its
/// defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::refused("websocket"),
    validation = rules::at_most_one(&["simulated", "replay"], "must name one kind; write either simulated or replay")
)]
pub struct SourceSpec {
    /// A synthetic market.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedSpec>,
    /// A file of real prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplaySpec>,
    /// A live feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebsocketSpec>,
}

/// A synthetic market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedSpec {
    /// Seed: the same seed makes the same market.
    #[serde(default = "defaults::seed")]
    #[schemars(range(min = 0))]
    pub seed: i64,
    /// Mean ticks a second over all symbols while the market is open.
    #[serde(default = "defaults::ticks_per_second")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub ticks_per_second: i64,
    /// Market seconds per second on the clock.
    #[serde(default = "defaults::simulated_speed")]
    #[schemars(range(min = 1, max = 100_000))]
    pub speed: i32,
    /// First market date, as YYYY-MM-DD. Ticks up to now are made as fast as
    /// they land, later ones at `speed`. Without it the market starts now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Date>,
}

/// A file of real prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplaySpec {
    /// CSV file with a header line: file:///data/day.csv, or a path relative to
    /// the pipeline's file. A name that ends in .gz is decompressed.
    pub uri: FileUri,
    /// How the file's columns map to a tick.
    pub columns: ColumnsSpec,
    /// Market seconds per second on the clock; 0 is as fast as Kafka takes them.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub speed: i32,
}

/// How a file's columns map to a tick. A value is a column's header, or
/// `{const: X}` for the same value in every row. `symbol`, one of `time` and
/// `date`, and one of `price`, `close`, `bidPrice` and `askPrice` are needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnsSpec {
    /// Symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub symbol: Option<ColumnSpec>,
    /// Date or time of the row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub time: Option<ColumnSpec>,
    /// The same as `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub date: Option<ColumnSpec>,
    /// strptime format of `time`, for instance %m/%d/%Y; without it ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_format: Option<TimeFormat>,
    /// First price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub open: Option<ColumnSpec>,
    /// Highest price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub high: Option<ColumnSpec>,
    /// Lowest price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub low: Option<ColumnSpec>,
    /// Last price of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub close: Option<ColumnSpec>,
    /// Last price of a bar, adjusted for splits and dividends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub adj_close: Option<ColumnSpec>,
    /// Volume of a bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub volume: Option<ColumnSpec>,
    /// Price of a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub price: Option<ColumnSpec>,
    /// Size of a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub size: Option<ColumnSpec>,
    /// Best bid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub bid_price: Option<ColumnSpec>,
    /// Size at the best bid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub bid_size: Option<ColumnSpec>,
    /// Best ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub ask_price: Option<ColumnSpec>,
    /// Size at the best ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub ask_size: Option<ColumnSpec>,
    /// Currency, ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub currency: Option<ColumnSpec>,
    /// Venue, ISO 10383.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub venue: Option<ColumnSpec>,
    /// The feed's identifier of a trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "column_schema")]
    pub trade_id: Option<ColumnSpec>,
}

/// One mapped column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
pub enum ColumnSpec {
    /// A column of the file, by its header.
    Header(HeaderName),
    /// The same value in every row.
    Const(ConstColumn),
}

/// The same value in every row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConstColumn {
    /// The value.
    #[serde(rename = "const")]
    pub value: HeaderName,
}

impl TryFrom<Value> for ColumnSpec {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let text = |text: &str| HeaderName::new(text).map_err(|error| error.to_string());
        match &value {
            Value::String(header) => return text(header).map(ColumnSpec::Header),
            Value::Object(object) => {
                if let (1, Some(Value::String(constant))) = (object.len(), object.get("const")) {
                    return text(constant).map(|value| ColumnSpec::Const(ConstColumn { value }));
                }
            }
            _ => {}
        }
        Err("must be a column's header, or {const: X} for the same value in every row".to_owned())
    }
}

/// A header or a constant has two JSON types, which a structural schema cannot
/// say; `resolve` checks it.
fn column_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// A live feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebsocketSpec {
    /// The feed.
    pub preset: WebsocketPreset,
    /// Secret with the feed's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_secret_ref: Option<SecretName>,
}

/// A feed that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebsocketPreset {
    /// Coinbase Exchange.
    Coinbase,
}
