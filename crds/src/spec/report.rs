//! `spec.reports`: scheduled questions to Athena.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::schedule::ScheduleSpec;
use super::secret::{KeyRef, SecretName};
use crate::amounts::{ByteText, DurationText};
use crate::names::{ReportName, Sql};
use crate::rules;

/// A scheduled question to Athena.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::exactly_one(&["builtin", "sql"], "must ask one thing; write either builtin: daily-ohlcv or sql: {query: …}"),
    validation = rules::refused_list("destinations")
)]
pub struct ReportSpec {
    /// Name, unique within the pipeline.
    pub name: ReportName,
    /// A report that comes with stockpipe: daily-ohlcv (open, high, low, close
    /// and volume), vwap, top-movers, volatility, data-quality or reconciliation
    /// (rows of the ledger against rows of the lake).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builtin: Option<BuiltinReport>,
    /// A report of your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlSpec>,
    /// Length of the data that a run covers: Minute, Hour, Day (UTC) or Session
    /// of market.calendar.
    #[serde(default = "defaults::report_interval")]
    pub interval: IntervalLength,
    /// Which interval a run covers: Session (the newest that had closed),
    /// SameDay (the one that holds the schedule time) or Previous (the one
    /// before that).
    #[serde(default = "defaults::data_date")]
    pub data_date: DataDateRule,
    /// When it runs; without it only by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleSpec>,
    /// How long a run waits for its data to be complete; then it runs as
    /// partial.
    #[serde(default = "defaults::deadline")]
    #[x_kube(validation = rules::duration_between("1s", "7d"))]
    pub deadline: DurationText,
    /// Bytes that a run may scan; Athena stops it there.
    #[serde(default = "defaults::max_scanned_bytes")]
    #[x_kube(validation = rules::bytes_between("10Mi", "100Ti"))]
    pub max_scanned_bytes: ByteText,
    /// What happens to runs that were missed; without it they stay missed on a
    /// cluster, and `stockpipe up` runs the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUpSpec>,
    /// Where results are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub destinations: Option<Vec<DestinationSpec>>,
}

/// A report that comes with stockpipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinReport {
    /// Open, high, low, close, volume and VWAP of each symbol.
    DailyOhlcv,
    /// Volume-weighted average price, turnover and auctions of each symbol.
    Vwap,
    /// The symbols that rose and fell most since the interval before.
    TopMovers,
    /// Realized volatility of each symbol, and what its range says.
    Volatility,
    /// Counts, gaps, lateness, delays and odd records of each symbol.
    DataQuality,
    /// Ticks that were sent, rows that were claimed, rows that the lake has.
    Reconciliation,
}

impl BuiltinReport {
    /// Every report that comes with stockpipe.
    pub const ALL: [Self; 6] = [
        Self::DailyOhlcv,
        Self::Vwap,
        Self::TopMovers,
        Self::Volatility,
        Self::DataQuality,
        Self::Reconciliation,
    ];
}

/// SQL of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::refused("configMapKeyRef"),
    validation = Rule::new("has(self.query) || has(self.configMapKeyRef)")
        .message("needs a query; write sql: {query: \"SELECT …\"}")
)]
pub struct SqlSpec {
    /// The statement, in Athena's SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Sql>,
    /// A ConfigMap's key that holds the statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// Length of a run's data interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IntervalLength {
    /// One minute, UTC.
    Minute,
    /// One hour, UTC.
    Hour,
    /// One UTC day.
    Day,
    /// One session of `market.calendar`.
    Session,
}

/// Which interval a scheduled run covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DataDateRule {
    /// The newest session that had closed (24x7: the previous full interval).
    Session,
    /// The interval that holds the schedule time.
    SameDay,
    /// The interval before that.
    Previous,
}

/// What happens to runs that were missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.limit) || self.policy == 'All'")
        .message("has a limit that only policy All reads; leave limit out or write policy: All")
)]
pub struct CatchUpSpec {
    /// Which of them are run.
    pub policy: CatchUpPolicy,
    /// With All: at most so many, the newest; 7 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub limit: Option<i32>,
}

/// Which missed runs are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CatchUpPolicy {
    /// None.
    None,
    /// The last.
    Last,
    /// All.
    All,
}

/// Where results are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationSpec {
    /// A URL that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookSpec>,
}

/// A URL that is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookSpec {
    /// Secret that holds the URL.
    pub url_secret_ref: SecretName,
}
