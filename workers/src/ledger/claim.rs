//! What a claim says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stockpipe_crds::pipeline::{Compression, Format, PartitionBy};
use uuid::Uuid;

use super::period::Period;

/// `genesis.json`: where a partition's chain begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Genesis {
    /// First offset of the first claim.
    pub base: i64,
    /// Watermark (event time, ns) at which a partition joined that was added to a running topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
}

/// What a claim's range is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClaimKind {
    /// Its records are in its files.
    #[default]
    Data,
    /// Kafka had dropped its records (retention) before they were landed.
    Lost,
}

/// One claim: the offsets `start..=end` of a partition, and the files that hold their rows.
/// Immutable, never deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Minted before the first PUT, so that a lander recognises its own claim.
    pub claim_id: Uuid,
    /// Data, or lost to retention.
    #[serde(default)]
    pub kind: ClaimKind,
    /// Predecessor's, plus one on each assignment.
    pub epoch: u64,
    /// The lander that wrote it.
    pub owner: String,
    /// When it was written.
    pub claimed_at: Timestamp,
    /// First offset.
    pub start: i64,
    /// Last offset.
    pub end: i64,
    /// Kafka records read: `rows + quarantined + heartbeats`.
    pub records: u64,
    /// Rows in `files`.
    pub rows: u64,
    /// Records that did not decode; they are in `quarantine`.
    pub quarantined: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Offsets of the range without a record (transaction markers, compaction).
    pub skipped_offsets: u64,
    /// Rows whose period the predecessor had closed.
    #[serde(default)]
    pub late: u64,
    /// The last record, to recognise a log that was rewritten; `None` in a lost claim.
    pub last_record: Option<LastRecord>,
    /// Newest `until` (event time, ns) of each producer's heartbeats so far.
    #[serde(default)]
    pub producers: BTreeMap<String, i64>,
    /// The least of `producers`: no later tick has an earlier event time (ns).
    pub watermark: Option<i64>,
    /// Last whole period before the watermark less `lake.allowedLateness`.
    pub closed_through: Option<Period>,
    /// How the files are written.
    pub layout: Layout,
    /// The files, in order of period.
    pub files: Vec<FileRef>,
    /// The quarantine object, if any record did not decode.
    #[serde(default)]
    pub quarantine: Vec<FileRef>,
    /// W3C traceparent of the range, if it was traced.
    #[serde(default)]
    pub trace: Option<String>,
}

impl Claim {
    /// Every object that the claim makes visible.
    pub fn objects(&self) -> impl Iterator<Item = &FileRef> {
        self.files.iter().chain(&self.quarantine)
    }

    /// Offsets in the range.
    #[must_use]
    pub fn offsets(&self) -> u64 {
        u64::try_from(self.end - self.start + 1).unwrap_or(0)
    }
}

/// The last record of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRecord {
    /// Its offset.
    pub offset: i64,
    /// CRC-32C over its key, then its value.
    pub crc: u32,
}

impl LastRecord {
    /// The CRC of a record with this key and value; absent is as empty.
    #[must_use]
    pub fn crc_of(key: Option<&[u8]>, value: Option<&[u8]>) -> u32 {
        let crc = crc32c::crc32c(key.unwrap_or_default());
        crc32c::crc32c_append(crc, value.unwrap_or_default())
    }
}

/// How the files of a claim are written: enough to write them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// `parquet`, `json` or `csv`.
    #[serde(with = "names::format")]
    pub format: Format,
    /// `zstd`, `snappy`, `gzip` or `none`.
    #[serde(with = "names::codec")]
    pub codec: Compression,
    /// `none`, `year`, `month`, `day` or `hour`.
    #[serde(with = "names::partition_by")]
    pub partition_by: PartitionBy,
    /// Version of the columns.
    pub schema_id: u32,
    /// Version of the writer.
    pub writer_version: String,
}

/// One object of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRef {
    /// Key in the bucket.
    pub key: String,
    /// The multipart upload that becomes the object.
    pub upload_id: String,
    /// ETag of each part, in order.
    pub etags: Vec<String>,
    /// Rows (in a quarantine object: records).
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// CRC64NVME of the whole object, base64.
    pub crc64nvme: String,
    /// SHA-256 of the whole object, hex.
    pub sha256: String,
    /// Least `ts_event_ns`; `None` in a quarantine object.
    pub min_ts: Option<i64>,
    /// Greatest `ts_event_ns`; `None` in a quarantine object.
    pub max_ts: Option<i64>,
}

/// What became of a claim whose uploads the store had dropped before they were published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AmendmentKind {
    /// Written again from Kafka; `files` replace the claim's of the same key.
    Rebuilt,
    /// Kafka no longer had the range: `files` are missing for good.
    Lost,
}

/// `<start>.amend.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amendment {
    /// The claim that it amends.
    pub claim_id: Uuid,
    /// Rebuilt or lost.
    pub kind: AmendmentKind,
    /// The lander that wrote it.
    pub owner: String,
    /// When.
    pub at: Timestamp,
    /// The objects that were gone: as they are now, or as the claim had them.
    pub files: Vec<FileRef>,
}

/// The names of `Layout`'s enums in JSON.
mod names {
    macro_rules! named {
        ($module:ident, $type:ident, $($variant:ident = $name:literal),+) => {
            pub(super) mod $module {
                use serde::{Deserialize, Deserializer, Serializer, de::Error};
                use stockpipe_crds::pipeline::$type;

                pub(in super::super) fn serialize<S: Serializer>(value: &$type, s: S) -> Result<S::Ok, S::Error> {
                    s.serialize_str(match value { $($type::$variant => $name),+ })
                }

                pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                    match String::deserialize(d)?.as_str() {
                        $($name => Ok($type::$variant),)+
                        other => Err(D::Error::unknown_variant(other, &[$($name),+])),
                    }
                }
            }
        };
    }
    named!(
        format,
        Format,
        Parquet = "parquet",
        Json = "json",
        Csv = "csv"
    );
    named!(
        codec,
        Compression,
        None = "none",
        Snappy = "snappy",
        Zstd = "zstd",
        Gzip = "gzip"
    );
    named!(
        partition_by,
        PartitionBy,
        None = "none",
        Year = "year",
        Month = "month",
        Day = "day",
        Hour = "hour"
    );
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn file() -> FileRef {
        FileRef {
            key: "a/b".into(),
            upload_id: "u".into(),
            etags: vec!["\"e\"".into()],
            rows: 9,
            bytes: 100,
            crc64nvme: "x".into(),
            sha256: "y".into(),
            min_ts: Some(1),
            max_ts: Some(4),
        }
    }

    #[test]
    fn a_claim_reads_back_as_it_was_written_with_the_names_of_the_design() {
        let claim = Claim {
            claim_id: Uuid::from_u128(7),
            kind: ClaimKind::Data,
            epoch: 3,
            owner: "lander-1".into(),
            claimed_at: "2026-11-20T14:30:00Z".parse().unwrap(),
            start: 10,
            end: 19,
            records: 10,
            rows: 9,
            quarantined: 0,
            heartbeats: 1,
            skipped_offsets: 0,
            late: 0,
            last_record: Some(LastRecord {
                offset: 19,
                crc: 0xdead_beef,
            }),
            producers: [("p".to_owned(), 5)].into(),
            watermark: Some(5),
            closed_through: Some("dt=2026-11-20/hour=13".parse().unwrap()),
            layout: Layout {
                format: Format::Parquet,
                codec: Compression::Zstd,
                partition_by: PartitionBy::Hour,
                schema_id: 1,
                writer_version: "0.1.0".into(),
            },
            files: vec![file()],
            quarantine: vec![],
            trace: None,
        };
        let text = serde_json::to_string(&claim).unwrap();
        assert_eq!(serde_json::from_str::<Claim>(&text).unwrap(), claim);
        for name in [
            "\"claimId\"",
            "\"skippedOffsets\"",
            "\"lastRecord\"",
            "\"closedThrough\":\"dt=2026-11-20/hour=13\"",
            "\"partitionBy\":\"hour\"",
            "\"uploadId\"",
            "\"minTs\"",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }

    #[test]
    fn the_crc_of_a_record_covers_key_and_value() {
        let crc = LastRecord::crc_of(Some(b"AAPL"), Some(b"{}"));
        assert_ne!(crc, LastRecord::crc_of(Some(b"AAPM"), Some(b"{}")));
        assert_ne!(crc, LastRecord::crc_of(Some(b"AAPL"), Some(b"[]")));
        assert_eq!(LastRecord::crc_of(None, None), 0);
    }
}
