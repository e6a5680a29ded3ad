//! From the spec as written to the pipeline as run: every default filled in,
//! and what CEL cannot see checked.

use std::collections::{BTreeMap, HashSet};

use crate::address::EndpointAddress;
use crate::amounts::{ByteText, DurationText};
use crate::names::{DatabaseName, KeyPrefix, PipelineName, TableName, TopicName};
use crate::pipeline::{
    Aws, Catalog, CatchUp, ColumnSource, Columns, Compression, Consumer, DataDate, DeletionPolicy,
    Endpoint, Endpoints, Format, GroupProtocol, Interval, Kafka, Lake, Market, Monitoring,
    PartitionBy, Pipeline, Provisioning, Report, ReportQuery, Roll, Schedule, Source, Topic,
};
use crate::spec::aws::AwsSpec;
use crate::spec::kafka::GroupProtocol as GroupProtocolSpec;
use crate::spec::lake::{CompressionCodec, FileFormat, LakeSpec, PartitionPeriod};
use crate::spec::report::{
    BuiltinReport, CatchUpPolicy, CatchUpSpec, DataDateRule, IntervalLength, ReportSpec,
};
use crate::spec::schedule::ScheduleSpec;
use crate::spec::source::{ColumnSpec, ColumnsSpec, ReplaySpec, SimulatedSpec};
use crate::spec::{DeletionPolicy as DeletionPolicySpec, ProvisioningMode, StockPipeline};
use crate::violation::Violation;

/// Calendars that this version knows.
pub const CALENDARS: [&str; 11] = [
    "XNYS", "XNAS", "XLON", "XETR", "XTKS", "XPAR", "XHKG", "XASX", "XTSE", "XBOM", "24x7",
];

/// Runs that `catchUp: {policy: All}` makes up for where it names no limit.
const CATCH_UP_LIMIT: usize = 7;

/// Database of a pipeline that names none.
const DATABASE: &str = "stockpipe";

/// Fills every default in and checks what the API server cannot: calendars,
/// schedules, time zones, column mappings.
///
/// The rules of the API server are taken to hold; [`load`](crate::yaml::load)
/// applies them to a file.
///
/// # Errors
/// Every violation, none with a line.
pub fn resolve(pipeline: &StockPipeline) -> Result<Pipeline, Vec<Violation>> {
    let mut found = Vec::new();
    let name = pipeline.metadata.name.clone().unwrap_or_default();
    if let Err(error) = PipelineName::new(name.as_str()) {
        found.push(Violation::new("metadata.name", error.message));
    }
    let spec = &pipeline.spec;
    let calendar = spec.market.calendar.to_string();
    if !CALENDARS.contains(&calendar.as_str()) {
        found.push(Violation::new(
            "spec.market.calendar",
            format!(
                "{calendar} is not supported in this version; write one of {}",
                CALENDARS.join(", ")
            ),
        ));
    }
    let source = source(pipeline, &mut found);
    let reports = reports(&spec.reports, &mut found);
    let resolved = Pipeline {
        namespace: pipeline
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        uid: pipeline.metadata.uid.clone(),
        suspend: spec.suspend,
        market: Market {
            calendar,
            symbols: spec
                .market
                .symbols
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        source,
        kafka: Kafka {
            bootstrap_servers: spec
                .kafka
                .bootstrap_servers
                .as_ref()
                .map(ToString::to_string),
            group_protocol: match spec.kafka.group_protocol {
                GroupProtocolSpec::Classic => GroupProtocol::Classic,
                GroupProtocolSpec::Consumer => GroupProtocol::Consumer,
            },
            topic: Topic {
                name: topic_name(&name, spec.kafka.topic.name.as_ref()),
                partitions: spec.kafka.topic.partitions,
                replication_factor: spec.kafka.topic.replication_factor,
                config: spec
                    .kafka
                    .topic
                    .config
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string()))
                    .collect(),
                deletion_policy: deletion_policy(spec.kafka.topic.deletion_policy),
            },
        },
        consumer: Consumer {
            replicas: spec.consumer.replicas,
            memory_budget: spec.consumer.memory_budget.bytes(),
        },
        lake: lake(&name, &spec.lake, &mut found),
        catalog: Catalog {
            database: database_name(spec.catalog.database.as_ref()),
            table: table_name(&name, spec.catalog.table.as_ref()),
        },
        reports,
        monitoring: Monitoring {
            dashboard: spec.monitoring.dashboard.enabled,
        },
        provisioning: match spec.provisioning {
            ProvisioningMode::Manage => Provisioning::Manage,
            ProvisioningMode::Verify => Provisioning::Verify,
            ProvisioningMode::None => Provisioning::None,
        },
        aws: aws(&spec.aws),
        name,
    };
    if found.is_empty() {
        Ok(resolved)
    } else {
        Err(found)
    }
}

/// Paths of the fields that `pipeline` sets and only a cluster uses, in the
/// order of the spec, for `up` to name.
pub fn cluster_only_fields(pipeline: &StockPipeline) -> Vec<String> {
    let spec = &pipeline.spec;
    let fields = [
        ("spec.version", spec.version.is_some()),
        ("spec.producer.resources", spec.producer.resources.is_some()),
        ("spec.producer.template", spec.producer.template.is_some()),
        (
            "spec.consumer.autoscaling",
            spec.consumer.autoscaling.is_some(),
        ),
        ("spec.consumer.resources", spec.consumer.resources.is_some()),
        ("spec.consumer.template", spec.consumer.template.is_some()),
        (
            "spec.monitoring.prometheus",
            spec.monitoring.prometheus.is_some(),
        ),
        ("spec.aws.roles", spec.aws.roles.is_some()),
        ("spec.aws.roleArn", spec.aws.role_arn.is_some()),
        (
            "spec.aws.serviceAccountName",
            spec.aws.service_account_name.is_some(),
        ),
    ];
    fields
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(path, _)| path.to_owned())
        .collect()
}

fn topic_name(pipeline: &str, topic: Option<&TopicName>) -> String {
    topic.map_or_else(|| format!("{pipeline}.ticks"), ToString::to_string)
}

fn prefix(pipeline: &str, prefix: Option<&KeyPrefix>) -> String {
    prefix.map_or_else(|| format!("{pipeline}/ticks"), ToString::to_string)
}

fn database_name(database: Option<&DatabaseName>) -> String {
    database.map_or_else(|| DATABASE.to_owned(), ToString::to_string)
}

fn table_name(pipeline: &str, table: Option<&TableName>) -> String {
    table.map_or_else(
        || format!("{}_ticks", pipeline.replace('-', "_")),
        ToString::to_string,
    )
}

fn deletion_policy(policy: DeletionPolicySpec) -> DeletionPolicy {
    match policy {
        DeletionPolicySpec::Retain => DeletionPolicy::Retain,
        DeletionPolicySpec::Delete => DeletionPolicy::Delete,
    }
}

fn source(pipeline: &StockPipeline, found: &mut Vec<Violation>) -> Source {
    let spec = &pipeline.spec.source;
    match (&spec.simulated, &spec.replay) {
        (Some(_), Some(replay)) => {
            found.push(Violation::new(
                "spec.source",
                "must name one kind; write either simulated or replay",
            ));
            self::replay(replay, found)
        }
        (None, Some(replay)) => self::replay(replay, found),
        (Some(simulated), None) => self::simulated(simulated),
        (None, None) => self::simulated(&SimulatedSpec::default()),
    }
}

fn simulated(spec: &SimulatedSpec) -> Source {
    Source::Simulated {
        seed: spec.seed.unsigned_abs(),
        ticks_per_second: spec.ticks_per_second.unsigned_abs(),
        speed: spec.speed.unsigned_abs(),
        start: spec.start,
    }
}

fn replay(spec: &ReplaySpec, found: &mut Vec<Violation>) -> Source {
    Source::Replay {
        uri: spec.uri.to_string(),
        columns: columns(&spec.columns, found),
        speed: spec.speed.unsigned_abs(),
    }
}

fn columns(spec: &ColumnsSpec, found: &mut Vec<Violation>) -> Columns {
    const PATH: &str = "spec.source.replay.columns";
    let mut refuse = |field: &str, message: &str| {
        found.push(Violation::new(format!("{PATH}{field}"), message));
    };
    let symbol = column(spec.symbol.as_ref());
    if symbol == ColumnSource::None {
        refuse(
            ".symbol",
            "is missing; name the column of symbols, or write {const: GSPC} for a file of one symbol",
        );
    }
    let time = match (&spec.time, &spec.date) {
        (Some(_), Some(_)) => {
            refuse(".date", "is the same as time; write one of them");
            ColumnSource::None
        }
        (None, None) => {
            refuse(
                ".time",
                "is missing; name the column of dates or times, with timeFormat where it is not ISO 8601",
            );
            ColumnSource::None
        }
        (time, date) => column(time.as_ref().or(date.as_ref())),
    };
    let fields: BTreeMap<String, ColumnSource> = [
        ("open", &spec.open),
        ("high", &spec.high),
        ("low", &spec.low),
        ("close", &spec.close),
        ("adj_close", &spec.adj_close),
        ("volume", &spec.volume),
        ("price", &spec.price),
        ("size", &spec.size),
        ("bid_price", &spec.bid_price),
        ("bid_size", &spec.bid_size),
        ("ask_price", &spec.ask_price),
        ("ask_size", &spec.ask_size),
        ("currency", &spec.currency),
        ("venue", &spec.venue),
        ("trade_id", &spec.trade_id),
    ]
    .into_iter()
    .filter_map(|(name, spec)| Some((name.to_owned(), column(Some(spec.as_ref()?)))))
    .collect();
    let priced = ["price", "close", "bid_price", "ask_price"];
    if !priced.iter().any(|name| fields.contains_key(*name)) {
        refuse("", "maps no price; name a column for close or price");
    }
    Columns {
        symbol,
        time,
        time_format: spec.time_format.as_ref().map(ToString::to_string),
        fields,
    }
}

fn column(spec: Option<&ColumnSpec>) -> ColumnSource {
    match spec {
        None => ColumnSource::None,
        Some(ColumnSpec::Header(header)) => ColumnSource::Header(header.to_string()),
        Some(ColumnSpec::Const(constant)) => ColumnSource::Const(constant.value.to_string()),
    }
}

fn lake(name: &str, spec: &LakeSpec, found: &mut Vec<Violation>) -> Lake {
    let format = match spec.format {
        FileFormat::Parquet => Format::Parquet,
        FileFormat::Json => Format::Json,
        FileFormat::Csv => Format::Csv,
    };
    if format == Format::Csv {
        found.push(Violation::new(
            "spec.lake.format",
            "Csv is not supported in this version; write Parquet or Json",
        ));
    }
    let compression = match spec.compression {
        Some(CompressionCodec::Zstd) => Compression::Zstd,
        Some(CompressionCodec::Snappy) => Compression::Snappy,
        Some(CompressionCodec::Gzip) => Compression::Gzip,
        Some(CompressionCodec::None) => Compression::None,
        None if format == Format::Parquet => Compression::Zstd,
        None => Compression::Gzip,
    };
    let duration = DurationText::to_duration;
    Lake {
        bucket: spec.bucket.to_string(),
        prefix: prefix(name, spec.prefix.as_ref()),
        format,
        compression,
        partition_by: match spec.partition_by {
            PartitionPeriod::None => PartitionBy::None,
            PartitionPeriod::Year => PartitionBy::Year,
            PartitionPeriod::Month => PartitionBy::Month,
            PartitionPeriod::Day => PartitionBy::Day,
            PartitionPeriod::Hour => PartitionBy::Hour,
        },
        roll: Roll {
            max_age: duration(&spec.roll.max_age),
            max_rows: spec.roll.max_rows.unsigned_abs(),
            max_bytes: ByteText::bytes(&spec.roll.max_bytes),
            max_files_per_range: spec.roll.max_files_per_range.unsigned_abs(),
        },
        idle_timeout: duration(&spec.idle_timeout),
        allowed_lateness: duration(&spec.allowed_lateness),
        abort_uploads_after: duration(&spec.abort_uploads_after),
        deletion_policy: deletion_policy(spec.deletion_policy),
    }
}

fn reports(specs: &[ReportSpec], found: &mut Vec<Violation>) -> Vec<Report> {
    let mut names = HashSet::new();
    let mut reports = Vec::with_capacity(specs.len());
    for (index, spec) in specs.iter().enumerate() {
        let path = format!("spec.reports[{index}]");
        if !names.insert(spec.name.as_str()) {
            found.push(Violation::new(
                format!("{path}.name"),
                format!("is {} a second time; each may stand once", spec.name),
            ));
        }
        let query = spec.sql.as_ref().and_then(|sql| sql.query.as_ref());
        let query = match (spec.builtin, query) {
            (Some(BuiltinReport::DailyOhlcv), None) => ReportQuery::DailyOhlcv,
            (None, Some(query)) => ReportQuery::Sql(query.to_string()),
            _ => {
                found.push(Violation::new(
                    path,
                    "must ask one thing; write either builtin: daily-ohlcv or sql: {query: …}",
                ));
                continue;
            }
        };
        let schedule = spec
            .schedule
            .as_ref()
            .and_then(|schedule| self::schedule(schedule, &format!("{path}.schedule"), found));
        reports.push(Report {
            name: spec.name.to_string(),
            query,
            interval: match spec.interval {
                IntervalLength::Minute => Interval::Minute,
                IntervalLength::Hour => Interval::Hour,
                IntervalLength::Day => Interval::Day,
                IntervalLength::Session => Interval::Session,
            },
            data_date: match spec.data_date {
                DataDateRule::Session => DataDate::Session,
                DataDateRule::SameDay => DataDate::SameDay,
                DataDateRule::Previous => DataDate::Previous,
            },
            schedule,
            deadline: spec.deadline.to_duration(),
            max_scanned_bytes: spec.max_scanned_bytes.bytes(),
            catch_up: spec.catch_up.as_ref().map(catch_up),
        });
    }
    reports
}

fn catch_up(spec: &CatchUpSpec) -> CatchUp {
    match spec.policy {
        CatchUpPolicy::None => CatchUp::None,
        CatchUpPolicy::Last => CatchUp::Last,
        CatchUpPolicy::All => CatchUp::All {
            limit: spec
                .limit
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(CATCH_UP_LIMIT),
        },
    }
}

fn schedule(spec: &ScheduleSpec, path: &str, found: &mut Vec<Violation>) -> Option<Schedule> {
    let cron: Option<crate::cron::Cron> = match spec.cron.as_str().parse() {
        Ok(cron) => Some(cron),
        Err(error) => {
            found.push(Violation::new(format!("{path}.cron"), error.to_string()));
            None
        }
    };
    let time_zone = match jiff::tz::TimeZone::get(spec.time_zone.as_str()) {
        Ok(time_zone) => Some(time_zone),
        Err(_) => {
            found.push(Violation::new(
                format!("{path}.timeZone"),
                format!(
                    "{} is not a time zone that is known here; write an IANA name such as America/New_York or Etc/UTC",
                    spec.time_zone
                ),
            ));
            None
        }
    };
    let (cron, time_zone) = (cron?, time_zone?);
    if cron.next(jiff::Timestamp::UNIX_EPOCH, &time_zone).is_none() {
        found.push(Violation::new(
            format!("{path}.cron"),
            format!("{cron} never fires: no month has such a day"),
        ));
        return None;
    }
    Some(Schedule {
        cron,
        time_zone,
        suspend: spec.suspend,
    })
}

fn aws(spec: &AwsSpec) -> Aws {
    let endpoints = Endpoints {
        s3: endpoint(spec.endpoints.s3.as_ref()),
        glue: endpoint(spec.endpoints.glue.as_ref()),
        athena: endpoint(spec.endpoints.athena.as_ref()),
    };
    Aws {
        region: spec.region.to_string(),
        credentials_secret: spec
            .credentials_secret_ref
            .as_ref()
            .map(|secret| secret.name.to_string()),
        s3_path_style: spec.s3_path_style.unwrap_or(matches!(
            endpoints.s3,
            Endpoint::Url(_) | Endpoint::Embedded
        )),
        endpoints,
    }
}

fn endpoint(address: Option<&EndpointAddress>) -> Endpoint {
    match address.map(EndpointAddress::as_str) {
        None => Endpoint::Unset,
        Some("aws") => Endpoint::Aws,
        Some("embedded") => Endpoint::Embedded,
        Some(url) => Endpoint::Url(url.trim_end_matches('/').to_owned()),
    }
}

#[cfg(test)]
mod tests;
