//! Every default that does not depend on the pipeline's name. Defaults never
//! change within an API version.

use super::catalog::CrawlTarget;
use super::kafka::GroupProtocol;
use super::lake::{FileFormat, PartitionPeriod};
use super::report::{DataDateRule, IntervalLength};
use super::source::MarketClock;
use super::{DeletionPolicy, ProvisioningMode};
use crate::amounts::{ByteText, DurationText};
use crate::names::{CalendarName, Region, Symbol, TimeZoneName};

/// Symbols of a market that names none.
const SYMBOLS: [&str; 8] = [
    "AAPL", "AMZN", "GOOGL", "JPM", "META", "MSFT", "NVDA", "TSLA",
];

/// Takes a default's text, which a test holds against its type's rules.
fn text<T: std::str::FromStr>(value: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    value
        .parse()
        .expect("defaults obey the rules of their types")
}

pub(super) fn calendar() -> CalendarName {
    text("24x7")
}

pub(super) fn symbols() -> Vec<Symbol> {
    SYMBOLS.iter().map(|symbol| text(symbol)).collect()
}

pub(super) fn seed() -> i64 {
    42
}

pub(super) fn ticks_per_second() -> i64 {
    100
}

pub(super) fn simulated_speed() -> i32 {
    1
}

pub(super) fn market_clock() -> MarketClock {
    MarketClock::Wall
}

pub(super) fn header() -> bool {
    true
}

pub(super) fn group_protocol() -> GroupProtocol {
    GroupProtocol::Classic
}

pub(super) fn partitions() -> i32 {
    3
}

pub(super) fn replication_factor() -> i16 {
    3
}

pub(super) fn deletion_policy() -> DeletionPolicy {
    DeletionPolicy::Retain
}

pub(super) fn one() -> i32 {
    1
}

pub(super) fn memory_budget() -> ByteText {
    text("256Mi")
}

pub(super) fn drain_target() -> DurationText {
    text("60s")
}

pub(super) fn wake_before() -> DurationText {
    text("10m")
}

pub(super) fn format() -> FileFormat {
    FileFormat::Parquet
}

pub(super) fn partition_by() -> PartitionPeriod {
    PartitionPeriod::Hour
}

pub(super) fn max_age() -> DurationText {
    text("60s")
}

pub(super) fn max_rows() -> i64 {
    1_000_000
}

pub(super) fn max_bytes() -> ByteText {
    text("128Mi")
}

pub(super) fn max_files_per_range() -> i32 {
    64
}

pub(super) fn idle_timeout() -> DurationText {
    text("60s")
}

pub(super) fn allowed_lateness() -> DurationText {
    text("0s")
}

pub(super) fn abort_uploads_after() -> DurationText {
    text("7d")
}

pub(super) fn time_zone() -> TimeZoneName {
    text("Etc/UTC")
}

pub(super) fn report_interval() -> IntervalLength {
    IntervalLength::Session
}

pub(super) fn data_date() -> DataDateRule {
    DataDateRule::Session
}

pub(super) fn deadline() -> DurationText {
    text("2h")
}

pub(super) fn max_scanned_bytes() -> ByteText {
    text("1Gi")
}

pub(super) fn crawl_target() -> CrawlTarget {
    CrawlTarget::Catalog
}

pub(super) fn crawl_timeout() -> DurationText {
    text("1h")
}

pub(super) fn enabled() -> bool {
    true
}

pub(super) fn provisioning() -> ProvisioningMode {
    ProvisioningMode::Manage
}

pub(super) fn region() -> Region {
    text("us-east-1")
}

/// Makes `Default` of a parent what an empty mapping in the file means, so that
/// each default is written once, at its field.
macro_rules! default_is_empty_mapping {
    ($($parent:ty),* $(,)?) => {$(
        impl Default for $parent {
            fn default() -> Self {
                serde_json::from_value(serde_json::Value::Object(serde_json::Map::new()))
                    .expect("every field has a default")
            }
        }
    )*};
}

default_is_empty_mapping!(
    super::market::MarketSpec,
    super::source::SimulatedSpec,
    super::kafka::KafkaSpec,
    super::kafka::TopicSpec,
    super::producer::ProducerSpec,
    super::consumer::ConsumerSpec,
    super::lake::RollSpec,
    super::monitoring::DashboardSpec,
    super::aws::AwsSpec,
);

#[cfg(test)]
mod tests {
    use super::super::*;

    #[test]
    fn every_parent_has_a_default_that_does_not_recurse() {
        let _ = (
            market::MarketSpec::default(),
            source::SourceSpec::default(),
            source::SimulatedSpec::default(),
            kafka::KafkaSpec::default(),
            producer::ProducerSpec::default(),
            consumer::ConsumerSpec::default(),
            lake::RollSpec::default(),
            catalog::CatalogSpec::default(),
            monitoring::MonitoringSpec::default(),
            aws::AwsSpec::default(),
        );
        assert_eq!(kafka::KafkaSpec::default().topic.partitions, 3);
    }
}
