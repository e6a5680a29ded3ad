//! `spec.lake`: where and how ticks land.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeletionPolicy, defaults};
use crate::amounts::{ByteText, DurationText};
use crate::names::{BucketName, KeyPrefix};
use crate::rules;

/// Where and how ticks land.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.compression) || self.format != 'Parquet' || self.compression in ['Zstd', 'Snappy', 'None']")
        .message("does not go with format Parquet; write Zstd, Snappy or None")
        .field_path(".compression"),
    validation = Rule::new("!has(self.compression) || self.format != 'Json' || self.compression in ['Gzip', 'None']")
        .message("does not go with format Json; write Gzip or None")
        .field_path(".compression"),
    validation = Rule::new("!has(self.compression) || self.format != 'Csv' || self.compression in ['Gzip', 'None']")
        .message("does not go with format Csv; write Gzip or None")
        .field_path(".compression")
)]
pub struct LakeSpec {
    /// Bucket that the ticks land in. Immutable.
    pub bucket: BucketName,
    /// Key prefix of the table's files; default NAME/ticks, after the pipeline.
    /// Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<KeyPrefix>,
    /// File format: Parquet, Json (lines) or Csv (with a header; all columns of
    /// its table are strings). Immutable.
    #[serde(default = "defaults::format")]
    pub format: FileFormat,
    /// Compression: Zstd (default), Snappy or None for Parquet; Gzip (default)
    /// or None for Json and Csv.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionCodec>,
    /// A directory per period of event time, in UTC: None, Year, Month, Day or
    /// Hour. Immutable.
    #[serde(default = "defaults::partition_by")]
    pub partition_by: PartitionPeriod,
    /// When a file is closed: whichever limit is met first.
    #[serde(default)]
    pub roll: RollSpec,
    /// How long a silent partition of a foreign topic holds the watermark.
    #[serde(default = "defaults::idle_timeout")]
    #[x_kube(validation = rules::duration_between("1s", "1d"))]
    pub idle_timeout: DurationText,
    /// How far behind the watermark a period stays open.
    #[serde(default = "defaults::allowed_lateness")]
    #[x_kube(validation = rules::duration_between("0s", "7d"))]
    pub allowed_lateness: DurationText,
    /// Age at which the store aborts an incomplete upload; longer than any
    /// expected outage. Whole days.
    #[serde(default = "defaults::abort_uploads_after")]
    #[x_kube(
        validation = rules::duration_between("1d", "365d"),
        validation = rules::whole_days()
    )]
    pub abort_uploads_after: DurationText,
    /// Whether deleting the pipeline deletes the files.
    #[serde(default = "defaults::deletion_policy")]
    pub deletion_policy: DeletionPolicy,
}

/// File format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FileFormat {
    /// Apache Parquet.
    Parquet,
    /// JSON lines.
    Json,
    /// CSV with a header.
    Csv,
}

/// Compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CompressionCodec {
    /// Zstandard (Parquet).
    Zstd,
    /// Snappy (Parquet).
    Snappy,
    /// gzip (Json, Csv).
    Gzip,
    /// None.
    None,
}

/// Period of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PartitionPeriod {
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

/// When a file is closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollSpec {
    /// Age on the clock of the oldest buffered record.
    #[serde(default = "defaults::max_age")]
    #[x_kube(validation = rules::duration_between("1s", "1d"))]
    pub max_age: DurationText,
    /// Rows of one partition's range.
    #[serde(default = "defaults::max_rows")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_rows: i64,
    /// Bytes of one partition's range, estimated as encoded.
    #[serde(default = "defaults::max_bytes")]
    #[x_kube(validation = rules::bytes_between("64Ki", "4Gi"))]
    pub max_bytes: ByteText,
    /// Directories that one range may touch.
    #[serde(default = "defaults::max_files_per_range")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_files_per_range: i32,
}
