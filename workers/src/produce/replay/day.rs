//! A landed day once more, as a replay into another topic.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use stockpipe_crds::pipeline::{
    BadRows, Dialect, DuplicateRows, Fold, PartitionBy, Pipeline, Replay, ReplayTime, Source,
    UnsortedRows,
};
use stockpipe_market::calendar::Calendar;

use crate::aws::Clients;
use crate::context::Context;
use crate::kafka::topics::{self, options};
use crate::service::ServiceError;
use crate::store::Store;

/// How a landed day is replayed.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Market seconds per wall second; 0: as fast as Kafka takes them.
    pub speed: u32,
    /// At which times ticks happen.
    pub time: ReplayTime,
    /// Longest stretch of market time without a tick.
    pub max_gap: Option<std::time::Duration>,
}

/// The pipeline that sends what `ctx`'s pipeline has landed of the trade date `day` into `topic`.
///
/// # Errors
/// Where the date has no session or nothing of it has landed; and where S3 does not answer.
pub async fn pipeline(
    ctx: &Context,
    day: Date,
    topic: &str,
    manner: Manner,
) -> Result<Pipeline, ServiceError> {
    let refused = |why: String| ServiceError::Refused(why);
    let mut pipeline = ctx.pipeline.as_ref().clone();
    if topic == pipeline.kafka.topic.name {
        return Err(refused(format!(
            "topic `{topic}` is the pipeline's own, which has the day already; name another"
        )));
    }
    let calendar = Calendar::parse(&pipeline.market.calendar)
        .map_err(|e| refused(format!("market.calendar: {e}")))?;
    let (start, end) = calendar
        .window(day)
        .ok_or_else(|| refused(format!("{day} is no session of {calendar}")))?;
    let lake = &pipeline.lake;
    let clients = Clients::connect(&pipeline.aws, &ctx.secrets)
        .await
        .map_err(|e| refused(e.to_string()))?;
    let store = Store::new(clients.s3, &lake.bucket);
    let mut uris = Vec::new();
    for folder in folders(lake.partition_by, start, end) {
        let prefix = format!("{}/{folder}", lake.prefix);
        let first = store.list(&prefix).next().await?;
        if first.is_some_and(|page| !page.is_empty()) {
            uris.push(format!("s3://{}/{prefix}", lake.bucket));
        }
    }
    if uris.is_empty() {
        return Err(refused(format!(
            "nothing of {day} has landed below s3://{}/{}",
            lake.bucket, lake.prefix
        )));
    }
    topic.clone_into(&mut pipeline.kafka.topic.name);
    pipeline.suspend = false;
    pipeline.source = Source::Replay(Box::new(Replay {
        uris,
        columns: None,
        speed: manner.speed,
        time: manner.time,
        max_gap: manner.max_gap,
        bad_rows: BadRows::Fail,
        unsorted_rows: UnsortedRows::Sort,
        duplicate_rows: DuplicateRows::Keep,
        dialect: Dialect::default(),
        time_zone: None,
        repeated_hour: Fold::Earlier,
        trade_date: Some(day),
    }));
    Ok(pipeline)
}

/// Makes the topic of `pipeline` unless it is there.
///
/// # Errors
/// Where Kafka refuses or is not reached.
pub async fn make_topic(pipeline: &Pipeline) -> Result<(), ServiceError> {
    let kafka = &pipeline.kafka;
    let topic = &kafka.topic;
    let action = format!("make topic `{}`", topic.name);
    let client = topics::client(kafka, &format!("stockpipe-replay/{}", pipeline.name))?;
    let replicas = TopicReplication::Fixed(i32::from(topic.replication_factor));
    let new = NewTopic::new(&topic.name, topic.partitions, replicas);
    let results = client
        .create_topics([&new], &options())
        .await
        .map_err(|e| ServiceError::kafka(&*action, &e))?;
    match results.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
        Some(Err((_, code))) => Err(ServiceError::kafka_refused(action, code, "")),
    }
}

/// The folders of a table that may hold ticks of the instants from `start` to `end`, which is not among them.
fn folders(by: PartitionBy, start: i64, end: i64) -> Vec<String> {
    let date = |ns: i64| {
        Timestamp::from_nanosecond(i128::from(ns))
            .unwrap_or(Timestamp::MAX)
            .to_zoned(TimeZone::UTC)
            .date()
    };
    let mut folders: Vec<String> = Vec::new();
    for day in date(start).series(jiff::Span::new().days(1)) {
        if day > date(end - 1) {
            break;
        }
        let folder = match by {
            PartitionBy::None => String::new(),
            PartitionBy::Year => format!("year={}/", day.strftime("%Y")),
            PartitionBy::Month => format!("month={}/", day.strftime("%Y-%m")),
            PartitionBy::Day | PartitionBy::Hour => format!("dt={}/", day.strftime("%Y-%m-%d")),
        };
        if folders.last() != Some(&folder) {
            folders.push(folder);
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lies_in_the_folders_of_its_utc_days() {
        // Monday's window begins with Saturday in New York.
        let monday = Calendar::Xnys
            .window(jiff::civil::date(2026, 11, 30))
            .unwrap();
        let days = [
            "dt=2026-11-28/",
            "dt=2026-11-29/",
            "dt=2026-11-30/",
            "dt=2026-12-01/",
        ];
        for (by, expected) in [
            (PartitionBy::Hour, &days[..]),
            (PartitionBy::Day, &days),
            (PartitionBy::Month, &["month=2026-11/", "month=2026-12/"]),
            (PartitionBy::Year, &["year=2026/"]),
            (PartitionBy::None, &[""]),
        ] {
            assert_eq!(folders(by, monday.0, monday.1), expected, "{by:?}");
        }
        let utc = Calendar::AlwaysOpen
            .window(jiff::civil::date(2026, 11, 30))
            .unwrap();
        assert_eq!(folders(PartitionBy::Hour, utc.0, utc.1), ["dt=2026-11-30/"]);
    }
}
