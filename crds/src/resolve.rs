//! From the spec as written to the pipeline as run: every default filled in,
//! and what CEL cannot see checked.

use std::collections::HashSet;

use crate::address::EndpointAddress;
use crate::amounts::{ByteText, DurationText, PercentText};
use crate::names::{DatabaseName, KeyPrefix, PipelineName, TableName, TopicName};
use crate::pipeline::{
    Aws, Catalog, CatchUp, Compression, Consumer, CrawlTarget, Crawler, DataDate, DeletionPolicy,
    Endpoint, Endpoints, Format, GroupProtocol, Interval, Kafka, Lake, Market, MarketClock,
    Monitoring, PartitionBy, Pipeline, Provisioning, Report, ReportQuery, Roll, Scenario, Schedule,
    Source, Topic,
};
use crate::spec::aws::AwsSpec;
use crate::spec::catalog::{CatalogSpec, CrawlTarget as CrawlTargetSpec, CrawlerSpec, Recrawl};
use crate::spec::kafka::GroupProtocol as GroupProtocolSpec;
use crate::spec::lake::{CompressionCodec, FileFormat, LakeSpec, PartitionPeriod};
use crate::spec::report::{CatchUpPolicy, CatchUpSpec, DataDateRule, IntervalLength, ReportSpec};
use crate::spec::schedule::ScheduleSpec;
use crate::spec::source::{
    MarketClock as MarketClockSpec, ScenarioName, ScenarioSpec, SimulatedSpec,
};
use crate::spec::{DeletionPolicy as DeletionPolicySpec, ProvisioningMode, StockPipeline};
use crate::violation::Violation;

mod live;
mod replay;

/// Calendars that this version knows.
pub const CALENDARS: [&str; 11] = [
    "XNYS", "XNAS", "XLON", "XETR", "XTKS", "XPAR", "XHKG", "XASX", "XTSE", "XBOM", "24x7",
];

/// Runs that `catchUp: {policy: All}` makes up for where it names no limit.
const CATCH_UP_LIMIT: usize = 7;

/// How the name of a crawler's table begins where nothing is said.
const TABLE_PREFIX: &str = "crawled_";

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
            symbols: match &spec.market.universe {
                Some(_) => Vec::new(),
                None => spec
                    .market
                    .symbols
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            },
            universe: spec
                .market
                .universe
                .as_ref()
                .and_then(|universe| usize::try_from(universe.size).ok()),
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
        lake: lake(&name, &spec.lake),
        catalog: catalog(&name, &spec.catalog, spec.lake.prefix.as_ref(), &mut found),
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
    let kinds = [
        spec.simulated.is_some(),
        spec.replay.is_some(),
        spec.live.is_some(),
    ];
    if kinds.into_iter().filter(|named| *named).count() > 1 {
        found.push(Violation::new(
            "spec.source",
            "must name one kind; write either simulated, replay or live",
        ));
    }
    if let Some(live) = spec
        .live
        .as_ref()
        .and_then(|live| live::resolve(live, found))
    {
        live
    } else if let Some(replay) = &spec.replay {
        replay::resolve(replay, found)
    } else {
        match &spec.simulated {
            Some(simulated) => self::simulated(simulated, found),
            None => self::simulated(&SimulatedSpec::default(), found),
        }
    }
}

fn simulated(spec: &SimulatedSpec, found: &mut Vec<Violation>) -> Source {
    let mut share = |field: &str, percent: Option<&PercentText>| {
        let share = percent.map_or(0.0, PercentText::share);
        if share > 0.5 {
            found.push(Violation::new(
                format!("spec.source.simulated.disorder.{field}"),
                "must be 50% at most",
            ));
        }
        share
    };
    let disorder = spec.disorder.as_ref();
    let late = share("late", disorder.and_then(|d| d.late.as_ref()));
    let corrections = share("corrections", disorder.and_then(|d| d.corrections.as_ref()));
    let scenarios = spec.scenarios.iter().flatten().enumerate();
    Source::Simulated {
        clock: match spec.clock {
            MarketClockSpec::Wall => MarketClock::Wall,
            MarketClockSpec::FromStart => MarketClock::FromStart {
                skip_closed: spec.skip_closed,
            },
        },
        scenarios: scenarios
            .filter_map(|(index, spec)| scenario(index, spec, found))
            .collect(),
        late,
        corrections,
        seed: spec.seed.unsigned_abs(),
        ticks_per_second: spec.ticks_per_second.unsigned_abs(),
        top_ticks_per_second: spec.top_ticks_per_second.map(i64::unsigned_abs),
        speed: spec.speed.unsigned_abs(),
        start: spec.start,
    }
}

fn scenario(index: usize, spec: &ScenarioSpec, found: &mut Vec<Violation>) -> Option<Scenario> {
    let path = |field: &str| format!("spec.source.simulated.scenarios[{index}].{field}");
    let kind = match spec.kind {
        ScenarioName::Normal => return None,
        ScenarioName::Calm => "calm",
        ScenarioName::Crisis => "crisis",
        ScenarioName::FlashCrash => "flash-crash",
        ScenarioName::OpeningBurst => "opening-burst",
        ScenarioName::Halt => "halt",
        ScenarioName::HotSymbol => "hot-symbol",
        ScenarioName::FeedOutage => "feed-outage",
        ScenarioName::ClockSkew => "clock-skew",
        ScenarioName::DuplicateFeed => "duplicate-feed",
    };
    let ns = |at: jiff::Timestamp, beyond| i64::try_from(at.as_nanosecond()).unwrap_or(beyond);
    let from_ns = spec.from.map_or(i64::MIN, |at| ns(at, i64::MIN));
    let until_ns = spec.to.map_or(i64::MAX, |at| ns(at, i64::MAX));
    if until_ns <= from_ns {
        found.push(Violation::new(path("to"), "must be after from"));
    }
    Some(Scenario {
        kind: kind.to_owned(),
        from_ns,
        until_ns,
        symbol: spec.symbol.as_ref().map(ToString::to_string),
    })
}

fn lake(name: &str, spec: &LakeSpec) -> Lake {
    let format = match spec.format {
        FileFormat::Parquet => Format::Parquet,
        FileFormat::Json => Format::Json,
        FileFormat::Csv => Format::Csv,
    };
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

fn catalog(
    name: &str,
    spec: &CatalogSpec,
    prefix: Option<&KeyPrefix>,
    found: &mut Vec<Violation>,
) -> Catalog {
    let table = table_name(name, spec.table.as_ref());
    let folder = self::prefix(name, prefix);
    Catalog {
        database: database_name(spec.database.as_ref()),
        crawler: spec
            .crawler
            .as_ref()
            .map(|spec| crawler(spec, &folder, &table, found)),
        table,
    }
}

fn crawler(
    spec: &CrawlerSpec,
    folder: &str,
    own_table: &str,
    found: &mut Vec<Violation>,
) -> Crawler {
    const PATH: &str = "spec.catalog.crawler";
    let target = match spec.target {
        CrawlTargetSpec::Catalog => CrawlTarget::Catalog,
        CrawlTargetSpec::S3 => {
            let table_prefix = spec
                .table_prefix
                .as_ref()
                .map_or_else(|| TABLE_PREFIX.to_owned(), ToString::to_string);
            let table = crawled_table(&table_prefix, folder);
            if table == own_table {
                found.push(Violation::new(
                    format!("{PATH}.tablePrefix"),
                    format!("would make the crawler write {table}, the pipeline's own table; write for instance crawled_"),
                ));
            }
            CrawlTarget::S3 {
                table,
                table_prefix,
                new_folders_only: spec.recrawl == Some(Recrawl::NewFolders),
            }
        }
    };
    Crawler {
        target,
        role_arn: spec.role_arn.as_ref().map(ToString::to_string),
        schedule: spec
            .schedule
            .as_ref()
            .and_then(|schedule| self::schedule(schedule, &format!("{PATH}.schedule"), found)),
        timeout: spec.timeout.to_duration(),
        catch_up: spec.catch_up.as_ref().map(catch_up),
    }
}

/// Name of the table that Glue makes of a folder: the folder's own, in lower
/// case, with everything but letters and digits as `_`.
fn crawled_table(prefix: &str, folder: &str) -> String {
    let last = folder.rsplit('/').next().unwrap_or(folder);
    let name: String = last
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => plain,
            _ => '_',
        })
        .collect();
    format!("{prefix}{name}")
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
            (Some(builtin), None) => ReportQuery::Builtin(builtin),
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
