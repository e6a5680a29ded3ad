//! `spec.source`: where ticks come from.

use jiff::Timestamp;
use jiff::civil::Date;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use super::live::LiveSpec;
use super::replay::ReplaySpec;
use crate::amounts::PercentText;
use crate::names::Symbol;
use crate::rules;

/// Where ticks come from: at most one kind; none is `simulated` with its
/// defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::at_most_one(&["simulated", "replay", "live"], "must name one kind; write either simulated, replay or live")
)]
pub struct SourceSpec {
    /// A synthetic market.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedSpec>,
    /// Files of real prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplaySpec>,
    /// A live feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveSpec>,
}

/// A synthetic market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.clock != 'FromStart' || has(self.start)")
        .message("is missing: a clock of its own begins somewhere; write a date as YYYY-MM-DD")
        .field_path(".start"),
    validation = Rule::new("self.clock == 'FromStart' || !self.skipClosed")
        .message("needs a clock of its own, since the wall's knows no pause; write clock: FromStart with it")
        .field_path(".skipClosed"),
    validation = Rule::new("!has(self.topTicksPerSecond) || self.ticksPerSecond == 100")
        .message("cannot be beside topTicksPerSecond, which fixes each symbol's own; write one of the two")
        .field_path(".ticksPerSecond")
)]
pub struct SimulatedSpec {
    /// Seed: the same seed makes the same market.
    #[serde(default = "defaults::seed")]
    #[schemars(range(min = 0))]
    pub seed: i64,
    /// Mean ticks a second over all symbols while the market is open.
    #[serde(default = "defaults::ticks_per_second")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub ticks_per_second: i64,
    /// Instead of ticksPerSecond: mean ticks a second of the first symbol while the market is open;
    /// the r-th has 1/r of them. A symbol that is added at the end of the list then changes no
    /// other, and the producer's run goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub top_ticks_per_second: Option<i64>,
    /// Market seconds per second on the clock.
    #[serde(default = "defaults::simulated_speed")]
    #[schemars(range(min = 1, max = 100_000))]
    pub speed: i32,
    /// First market date, as YYYY-MM-DD. Ticks up to now are made as fast as
    /// they land, later ones at `speed`. Without it the market starts now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Date>,
    /// Wall: the market catches up with the clock on the wall and goes on with
    /// it. FromStart: its own clock, which begins at `start` and stands still
    /// while the producer is down.
    #[serde(default = "defaults::market_clock")]
    pub clock: MarketClock,
    /// Whether closed hours take no time, with `clock: FromStart`.
    #[serde(default)]
    pub skip_closed: bool,
    /// What happens, and when; where two overlap, both act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub scenarios: Option<Vec<ScenarioSpec>>,
    /// What goes wrong all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disorder: Option<DisorderSpec>,
}

/// Which clock a synthetic market follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MarketClock {
    /// The wall's.
    Wall,
    /// Its own, from `start` on.
    FromStart,
}

/// Something that happens in a synthetic market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind != 'flash-crash' || has(self.from)")
        .message("is missing: a flash crash begins somewhere; write an instant such as 2026-11-20T15:00:00Z")
        .field_path(".from")
)]
pub struct ScenarioSpec {
    /// What happens.
    pub kind: ScenarioName,
    /// First instant, such as 2026-11-20T15:00:00Z. Without it, always before
    /// `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The instant it ends. Without it, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The symbol it happens to. Without it, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<Symbol>,
}

/// What happens in a synthetic market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScenarioName {
    /// Nothing but the usual.
    Normal,
    /// Volatility × ½, ticks × 0.7.
    Calm,
    /// Volatility × 3, correlation + 0.2, ticks × 1.5.
    Crisis,
    /// −8 % within five minutes, a halt of five minutes, 70 % regained.
    FlashCrash,
    /// Ticks × 5 and volatility × 2 in a session's first ten minutes.
    OpeningBurst,
    /// No quotes and no trades.
    Halt,
    /// Volatility × 3 and ticks × 20.
    HotSymbol,
    /// Ticks are lost.
    FeedOutage,
    /// The receiver's clock is 250 ms slow.
    ClockSkew,
    /// Every tick comes twice.
    DuplicateFeed,
}

/// What goes wrong in a synthetic market all the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisorderSpec {
    /// Share of ticks that arrive seconds late and out of order, at most 50%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<PercentText>,
    /// Share of trades that are cancelled or corrected, at most 50%.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<PercentText>,
}
