//! `spec.market`: which exchange's hours, which symbols.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::names::{CalendarName, Symbol};

/// The market: which exchange's hours, which symbols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarketSpec {
    /// Trading calendar: an ISO 10383 market identifier (XNYS), or 24x7 for a
    /// market that never closes.
    #[serde(default = "defaults::calendar")]
    pub calendar: CalendarName,
    /// Symbols of a simulated market, or those that a live feed is asked for as
    /// it writes them; at most 1000. A replay takes its symbols from its file.
    #[serde(default = "defaults::symbols")]
    #[schemars(length(min = 1, max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub symbols: Vec<Symbol>,
    /// A generated list of symbols instead of `symbols`, most active first: those
    /// of large US companies, then names that can be spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub universe: Option<Universe>,
}

/// A generated list of symbols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Universe {
    /// Number of symbols.
    #[schemars(range(min = 1, max = 10_000))]
    pub size: i32,
}
