//! The resolved pipeline: every default filled, every name checked.
//!
//! Workers and the command line read this view and never the raw spec, so that
//! a default is decided in one place (`resolve`).

use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::live::Live;
pub use crate::replay::{
    BadRows, ColumnSource, Columns, Dialect, DuplicateRows, Fold, Replay, ReplayTime, Thousands,
    UnsortedRows,
};
pub use crate::spec::report::BuiltinReport;

/// A `StockPipeline` with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Namespace of the resource; `default` where the file names none.
    pub namespace: String,
    /// Name of the resource (DNS-1035, at most 24 characters).
    pub name: String,
    /// UID of the resource, where a cluster gave it one.
    pub uid: Option<String>,
    /// Nothing runs while this is set.
    pub suspend: bool,
    /// The market whose ticks flow.
    pub market: Market,
    /// Where ticks come from.
    pub source: Source,
    /// Kafka and the topic.
    pub kafka: Kafka,
    /// Number of landers.
    pub consumer: Consumer,
    /// Where ticks land.
    pub lake: Lake,
    /// The table in Glue.
    pub catalog: Catalog,
    /// Scheduled reports.
    pub reports: Vec<Report>,
    /// Monitoring.
    pub monitoring: Monitoring,
    /// What `provision` may do.
    pub provisioning: Provisioning,
    /// Region, endpoints and credentials.
    pub aws: Aws,
}

/// The market: which exchange's hours, which symbols.
#[derive(Clone, Debug, PartialEq)]
pub struct Market {
    /// ISO 10383 MIC (`XNYS`) or `24x7`.
    pub calendar: String,
    /// Symbols, unique, in the order of the file; empty where they are a universe.
    pub symbols: Vec<String>,
    /// Number of generated symbols, instead of `symbols`.
    pub universe: Option<usize>,
}

/// Which clock a synthetic market follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketClock {
    /// The wall's: it catches up, and goes on with it.
    Wall,
    /// Its own, from its start on.
    FromStart {
        /// Whether closed hours take no time.
        skip_closed: bool,
    },
}

/// Something that happens in a synthetic market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name, as the file has it (`flash-crash`).
    pub kind: String,
    /// First instant, nanoseconds since 1970.
    pub from_ns: i64,
    /// The instant it ends.
    pub until_ns: i64,
    /// The symbol it happens to; `None`: all.
    pub symbol: Option<String>,
}

/// Where ticks come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A synthetic market.
    Simulated {
        /// Seed of the market: same seed, same market.
        seed: u64,
        /// Mean ticks a second while the market is open, over all symbols.
        ticks_per_second: u64,
        /// Instead of those, the first symbol's: the r-th has 1/r of them.
        top_ticks_per_second: Option<u64>,
        /// Market seconds per wall second.
        speed: u32,
        /// First market instant (midnight of this date in the calendar's zone); `None`: now.
        start: Option<jiff::civil::Date>,
        /// Which clock it follows.
        clock: MarketClock,
        /// What happens, and when.
        scenarios: Vec<Scenario>,
        /// Share of ticks that arrive late, 0 to 0.5.
        late: f64,
        /// Share of trades that are cancelled or corrected, 0 to 0.5.
        corrections: f64,
    },
    /// Files of real prices.
    Replay(Box<Replay>),
    /// A feed over a WebSocket.
    Live(Box<Live>),
}

/// Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    /// `host:port,…`; `None`: embedded (one machine only).
    pub bootstrap_servers: Option<String>,
    /// `group.protocol` of the landers: classic or consumer (KIP-848).
    pub group_protocol: GroupProtocol,
    /// Topic.
    pub topic: Topic,
}

/// `group.protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// Classic, cooperative-sticky.
    Classic,
    /// KIP-848.
    Consumer,
}

/// The topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each partition; the embedded broker takes any as 1.
    pub replication_factor: i16,
    /// Topic configuration (`retention.ms`, …).
    pub config: BTreeMap<String, String>,
    /// Whether teardown deletes it.
    pub deletion_policy: DeletionPolicy,
}

/// What happens to a thing we made when the pipeline is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Kept.
    Retain,
    /// Deleted, where it carries our ownership marker.
    Delete,
}

/// Landers.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    /// How many.
    pub replicas: i32,
    /// Bytes a lander may buffer, librdkafka's queue included.
    pub memory_budget: u64,
}

/// The lake.
#[derive(Clone, Debug, PartialEq)]
pub struct Lake {
    /// Bucket.
    pub bucket: String,
    /// Key prefix of the table's files, without slashes at the ends.
    pub prefix: String,
    /// File format.
    pub format: Format,
    /// Compression within `format`.
    pub compression: Compression,
    /// Directory per period of event time (UTC).
    pub partition_by: PartitionBy,
    /// When a range is closed.
    pub roll: Roll,
    /// After this, a silent foreign partition no longer holds the watermark.
    pub idle_timeout: Duration,
    /// How far behind the watermark a period stays open.
    pub allowed_lateness: Duration,
    /// Days after which the store aborts an incomplete multipart upload.
    pub abort_uploads_after: Duration,
    /// Whether teardown deletes the files.
    pub deletion_policy: DeletionPolicy,
}

/// File format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// JSON lines.
    Json,
    /// CSV with a header.
    Csv,
}

/// Compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    None,
    /// Snappy (Parquet).
    Snappy,
    /// Zstandard (Parquet).
    Zstd,
    /// gzip (JSON, CSV).
    Gzip,
}

/// Period of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionBy {
    /// No directories.
    None,
    /// `year=YYYY`.
    Year,
    /// `month=YYYY-MM`.
    Month,
    /// `dt=YYYY-MM-DD`.
    Day,
    /// `dt=YYYY-MM-DD/hour=HH`.
    Hour,
}

/// When a range is closed: whichever comes first.
#[derive(Clone, Debug, PartialEq)]
pub struct Roll {
    /// Wall-clock age of the oldest buffered record.
    pub max_age: Duration,
    /// Rows of one partition's range.
    pub max_rows: u64,
    /// Encoded-size estimate of one partition's range, bytes.
    pub max_bytes: u64,
    /// Directories one range may touch.
    pub max_files_per_range: u32,
}

/// The table.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// Glue database.
    pub database: String,
    /// Glue table.
    pub table: String,
    /// The crawler, where the pipeline has one.
    pub crawler: Option<Crawler>,
}

/// A Glue crawler over the lake.
#[derive(Clone, Debug, PartialEq)]
pub struct Crawler {
    /// What it looks at.
    pub target: CrawlTarget,
    /// Role under which Glue's crawler reads the lake.
    pub role_arn: Option<String>,
    /// When it runs; `None`: only by hand.
    pub schedule: Option<Schedule>,
    /// After this a crawl has failed.
    pub timeout: Duration,
    /// What happens to missed runs, where the spec says; never `All`.
    pub catch_up: Option<CatchUp>,
}

/// What a crawler looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrawlTarget {
    /// The pipeline's table: partitions that it lacks are added, columns stay.
    Catalog,
    /// The files, of which it makes a table of its own.
    S3 {
        /// Name of that table.
        table: String,
        /// How its name begins; the folder's name follows.
        table_prefix: String,
        /// Whether only folders that no crawl has seen are looked at.
        new_folders_only: bool,
    },
}

/// A scheduled report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Name, unique.
    pub name: String,
    /// What it asks.
    pub query: ReportQuery,
    /// Length of the data interval that a run covers.
    pub interval: Interval,
    /// Which interval a run covers, relative to its schedule time.
    pub data_date: DataDate,
    /// When it runs; `None`: only by hand.
    pub schedule: Option<Schedule>,
    /// After this it runs as partial, though the watermark has not passed.
    pub deadline: Duration,
    /// Bytes a run may scan; the workgroup's cutoff.
    pub max_scanned_bytes: u64,
    /// What happens to missed runs, where the spec says.
    pub catch_up: Option<CatchUp>,
}

/// What happens to missed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// They stay missed.
    None,
    /// The last one is made up for.
    Last,
    /// All are, oldest first, but for those before the newest `limit`.
    All {
        /// At least 1.
        limit: usize,
    },
}

/// What a report asks.
#[derive(Clone, Debug, PartialEq)]
pub enum ReportQuery {
    /// One that comes with stockpipe.
    Builtin(BuiltinReport),
    /// SQL, with the placeholders that the report's documentation names.
    Sql(String),
}

/// Length of a run's data interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataDate {
    /// The newest session that had closed (24x7: the previous full interval).
    Session,
    /// The interval that holds the schedule time.
    SameDay,
    /// The interval before that.
    Previous,
}

/// A cron schedule with its zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Parsed 5-field cron.
    pub cron: crate::cron::Cron,
    /// IANA zone.
    pub time_zone: jiff::tz::TimeZone,
    /// Not fired while set.
    pub suspend: bool,
}

/// Monitoring.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitoring {
    /// Whether the page runs.
    pub dashboard: bool,
}

/// What `provision` may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// Make what is missing.
    Manage,
    /// Only check.
    Verify,
    /// Nothing.
    None,
}

/// AWS.
#[derive(Clone, Debug, PartialEq)]
pub struct Aws {
    /// Region.
    pub region: String,
    /// Secret with keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (`AWS_SESSION_TOKEN` optional);
    /// `None`: the SDK's default chain.
    pub credentials_secret: Option<String>,
    /// Endpoints.
    pub endpoints: Endpoints,
    /// Path-style S3 addresses; default true where an S3 URL is given.
    pub s3_path_style: bool,
}

/// Where each service is.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoints {
    /// S3.
    pub s3: Endpoint,
    /// Glue.
    pub glue: Endpoint,
    /// Athena.
    pub athena: Endpoint,
}

/// Where one AWS service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The file says nothing: AWS on a cluster, embedded on one machine.
    Unset,
    /// AWS itself.
    Aws,
    /// Embedded (one machine).
    Embedded,
    /// This URL.
    Url(String),
}
