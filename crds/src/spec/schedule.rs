//! When something runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::names::{CronExpression, TimeZoneName};

/// A cron schedule in a time zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSpec {
    /// Five fields, for instance 30 16 * * 1-5: minute, hour, day of month,
    /// month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.
    pub cron: CronExpression,
    /// IANA time zone in which the fields are read.
    #[serde(default = "defaults::time_zone")]
    pub time_zone: TimeZoneName,
    /// Does not fire while set.
    #[serde(default)]
    pub suspend: bool,
}
