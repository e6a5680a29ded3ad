//! One partition's range of offsets while it is gathered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rdkafka::message::{Headers, Message};
use serde::{Deserialize, Serialize};
use stockpipe_market::columns::TickColumns;
use stockpipe_market::json;
use stockpipe_market::view::TickView;
use uuid::Uuid;

use super::encode;
use super::encoders::{Encoders, Encoding};
use super::memory::Load;
use super::roll::Gathered;
use crate::kafka::{HEARTBEAT, KIND_HEADER};
use crate::ledger::{LastRecord, Layout, Period};

/// What is the same for every range of a partition.
pub struct Scope {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// How files are written.
    pub layout: Arc<Layout>,
    /// How far behind the watermark a period stays open.
    pub allowed_lateness: Duration,
    /// Directories that one range may touch.
    pub max_files: usize,
    /// Bytes of rows at which they become a row group.
    pub seal_bytes: u64,
    /// Where batches are encoded.
    pub encoders: Encoders,
}

/// What a range takes over from its predecessor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carry {
    /// Newest promise of each producer (event time, ns).
    pub producers: BTreeMap<String, i64>,
    /// Last closed period.
    pub closed_through: Option<Period>,
}

/// Whether a record found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in.
    Taken,
    /// It would touch one directory too many: close the range, then push it again.
    Full,
}

/// A range being gathered.
pub struct Buffer {
    scope: Arc<Scope>,
    start: i64,
    next: i64,
    opened: Option<Instant>,
    files: Vec<OpenFile>,
    current: usize,
    tally: Tally,
    quarantine: Vec<u8>,
    last: Option<LastRecord>,
    ingested_ns: Option<i64>,
    carry: Carry,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    records: u64,
    rows: u64,
    quarantined: u64,
    heartbeats: u64,
    skipped_offsets: u64,
    late: u64,
}

struct OpenFile {
    period: Option<Period>,
    late: bool,
    rows: u64,
    sealed_rows: u64,
    min_ts: i64,
    max_ts: i64,
    columns: TickColumns,
    encoding: Option<Encoding>,
}

/// A closed range, its files being encoded.
pub struct Range {
    /// Minted here, before anything of it is written.
    pub claim_id: Uuid,
    /// First offset.
    pub start: i64,
    /// Last offset.
    pub end: i64,
    /// Kafka records.
    pub records: u64,
    /// Rows.
    pub rows: u64,
    /// Undecodable records.
    pub quarantined: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Offsets without a record.
    pub skipped_offsets: u64,
    /// Rows of periods that the predecessor had closed.
    pub late: u64,
    /// Last record.
    pub last: Option<LastRecord>,
    /// When its first row entered Kafka, ns.
    pub ingested_ns: Option<i64>,
    /// What the next range takes over.
    pub carry: Carry,
    /// Least promise of the producers (event time, ns).
    pub watermark: Option<i64>,
    /// Files by period.
    pub files: Vec<RangeFile>,
    /// JSON lines of the undecodable records.
    pub quarantine: Vec<u8>,
    /// The bytes above, as long as they are held.
    pub load: Load,
}

/// One file of a closed range.
pub struct RangeFile {
    /// Its directory.
    pub period: Option<Period>,
    /// Rows.
    pub rows: u64,
    /// Least event time, ns.
    pub min_ts: i64,
    /// Greatest event time, ns.
    pub max_ts: i64,
    /// Its bytes, soon.
    pub encoding: Encoding,
}

#[derive(Deserialize)]
struct Promise {
    producer: String,
    until: i64,
}

/// A line of a quarantine object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Quarantined<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    error: &'a str,
    headers: Vec<(String, Option<String>)>,
    key_base64: Option<String>,
    value_base64: Option<String>,
}

impl Buffer {
    /// An empty range that begins at offset `start`.
    #[must_use]
    pub fn new(scope: Arc<Scope>, start: i64, carry: Carry) -> Self {
        Self {
            scope,
            start,
            next: start,
            opened: None,
            files: Vec::new(),
            current: 0,
            tally: Tally::default(),
            quarantine: Vec::new(),
            last: None,
            ingested_ns: None,
            carry,
        }
    }

    /// First offset.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The offset that comes next.
    #[must_use]
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Rows gathered.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }

    /// Kafka records gathered.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.tally.records
    }

    /// What it holds, for [`roll`](super::roll::roll).
    #[must_use]
    pub fn gathered(&self, now: Instant) -> Gathered {
        Gathered {
            records: self.tally.records,
            rows: self.tally.rows,
            bytes: self
                .files
                .iter()
                .map(|file| file.estimated_bytes(&self.scope.layout))
                .sum(),
            age: self
                .opened
                .map_or(Duration::ZERO, |at| now.saturating_duration_since(at)),
        }
    }

    /// Bytes that it holds in memory, besides what is being encoded.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let files = self.files.iter().map(|f| {
            // Columns that have just grown hold up to twice their rows.
            2 * f.columns.approx_bytes() as u64 + f.encoding.as_ref().map_or(0, Encoding::written)
        });
        files.sum::<u64>() + self.quarantine.capacity() as u64
    }

    /// Takes the record at an offset that is not below [`next`](Self::next).
    pub fn push<M: Message>(&mut self, message: &M, now: Instant) -> Pushed {
        let value = message.payload();
        let taken = match (kind_of(message), value) {
            (Kind::Tick, Some(json)) => match json::view(json) {
                Ok(tick) => match encode::unwritable(&self.scope.layout, &tick) {
                    Some(why) => Err(why),
                    None => match self.push_tick(&tick) {
                        Pushed::Taken => Ok(()),
                        Pushed::Full => return Pushed::Full,
                    },
                },
                Err(e) => Err(e.to_string()),
            },
            (Kind::Tick, None) => Err("the record has no value".to_owned()),
            (Kind::Heartbeat, value) => self.push_heartbeat(value.unwrap_or_default()),
            (Kind::Unknown, _) => Err(format!(
                "the header `{KIND_HEADER}` names no kind that this version knows"
            )),
        };
        if let Err(error) = taken {
            self.push_undecodable(message, &error);
        }
        let offset = message.offset();
        self.tally.records += 1;
        self.tally.skipped_offsets += u64::try_from(offset - self.next).unwrap_or(0);
        self.next = offset + 1;
        self.last = Some(LastRecord {
            offset,
            crc: LastRecord::crc_of(message.key(), value),
        });
        self.opened.get_or_insert(now);
        Pushed::Taken
    }

    fn push_tick(&mut self, tick: &TickView<'_>) -> Pushed {
        let ts = tick.ts_event_ns;
        let fits = self.files.get(self.current).is_some_and(|f| f.holds(ts));
        if !fits && !self.open(ts) {
            return Pushed::Full;
        }
        let file = &mut self.files[self.current];
        file.columns.push_view(tick);
        file.rows += 1;
        file.min_ts = file.min_ts.min(ts);
        file.max_ts = file.max_ts.max(ts);
        self.tally.rows += 1;
        self.ingested_ns = self.ingested_ns.or(tick.ts_ingest_ns);
        self.tally.late += u64::from(file.late);
        // Looked at now and then: adding up the columns costs more than pushing a row.
        if file.rows.is_multiple_of(1_024)
            && file.columns.approx_bytes() as u64 >= self.scope.seal_bytes
        {
            file.seal(&self.scope);
        }
        Pushed::Taken
    }

    /// Turns to the file of the period of `ts`; `false` where that would be one too many.
    fn open(&mut self, ts: i64) -> bool {
        if let Some(at) = self.files.iter().position(|f| f.holds(ts)) {
            self.current = at;
            return true;
        }
        if self.files.len() >= self.scope.max_files {
            return false;
        }
        let period = Period::of(self.scope.layout.partition_by, ts);
        self.current = self.files.len();
        self.files.push(OpenFile {
            period,
            late: period.is_some() && period <= self.carry.closed_through,
            rows: 0,
            sealed_rows: 0,
            min_ts: i64::MAX,
            max_ts: i64::MIN,
            columns: TickColumns::new(),
            encoding: None,
        });
        true
    }

    fn push_heartbeat(&mut self, body: &[u8]) -> Result<(), String> {
        let promise: Promise =
            serde_json::from_slice(body).map_err(|e| format!("not a heartbeat: {e}"))?;
        let until = self
            .carry
            .producers
            .entry(promise.producer)
            .or_insert(promise.until);
        *until = promise.until.max(*until);
        self.tally.heartbeats += 1;
        Ok(())
    }

    fn push_undecodable<M: Message>(&mut self, message: &M, error: &str) {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|h| (h.key.to_owned(), h.value.map(|v| BASE64.encode(v))))
                .collect()
        });
        let line = Quarantined {
            topic: &self.scope.topic,
            partition: self.scope.partition,
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            error,
            headers,
            key_base64: message.key().map(|k| BASE64.encode(k)),
            value_base64: message.payload().map(|v| BASE64.encode(v)),
        };
        serde_json::to_writer(&mut self.quarantine, &line)
            .expect("texts and numbers serialise into memory");
        self.quarantine.push(b'\n');
        self.tally.quarantined += 1;
    }

    /// Closes the range up to the last record; the buffer goes on after it. `None` where there is no record.
    pub fn close(&mut self) -> Option<Range> {
        if self.tally.records == 0 {
            return None;
        }
        let tally = std::mem::take(&mut self.tally);
        let mut files = std::mem::take(&mut self.files);
        files.sort_by_key(|f| f.period);
        for file in &mut files {
            file.seal(&self.scope);
        }
        let by = self.scope.layout.partition_by;
        let watermark = self.carry.producers.values().copied().min();
        let lateness = i64::try_from(self.scope.allowed_lateness.as_nanos()).unwrap_or(i64::MAX);
        let closed = watermark.and_then(|w| Period::last_closed(by, w.saturating_sub(lateness)));
        self.carry.closed_through = self.carry.closed_through.max(closed);
        let quarantine = std::mem::take(&mut self.quarantine);
        let written = files
            .iter()
            .filter_map(|f| f.encoding.as_ref())
            .map(Encoding::written);
        let held = written.sum::<u64>() + quarantine.len() as u64;
        let range = Range {
            claim_id: Uuid::new_v4(),
            start: self.start,
            end: self.next - 1,
            records: tally.records,
            rows: tally.rows,
            quarantined: tally.quarantined,
            heartbeats: tally.heartbeats,
            skipped_offsets: tally.skipped_offsets,
            late: tally.late,
            last: self.last.take(),
            ingested_ns: self.ingested_ns.take(),
            carry: self.carry.clone(),
            watermark,
            files: files.into_iter().filter_map(OpenFile::closed).collect(),
            quarantine,
            load: self.scope.encoders.draining().load(held),
        };
        self.start = self.next;
        self.opened = None;
        self.current = 0;
        Some(range)
    }
}

impl OpenFile {
    fn holds(&self, ts: i64) -> bool {
        self.period.is_none_or(|p| p.contains(ts))
    }

    fn estimated_bytes(&self, layout: &Layout) -> u64 {
        let written = self.encoding.as_ref().map_or(0, Encoding::written);
        let row = match (written, self.sealed_rows) {
            (0, _) | (_, 0) => encode::guessed_row_bytes(layout),
            (written, rows) => written.div_ceil(rows),
        };
        written + row * self.columns.len() as u64
    }

    /// Sends the rows gathered so far to be encoded.
    fn seal(&mut self, scope: &Scope) {
        if self.columns.is_empty() {
            return;
        }
        let bytes = self.columns.approx_bytes() as u64;
        self.sealed_rows += self.columns.len() as u64;
        let batch = self.columns.finish();
        let encoding = self.encoding.take();
        self.encoding = Some(scope.encoders.append(encoding, &scope.layout, batch, bytes));
    }

    fn closed(self) -> Option<RangeFile> {
        Some(RangeFile {
            period: self.period,
            rows: self.rows,
            min_ts: self.min_ts,
            max_ts: self.max_ts,
            encoding: self.encoding?,
        })
    }
}

enum Kind {
    Tick,
    Heartbeat,
    Unknown,
}

fn kind_of<M: Message>(message: &M) -> Kind {
    let Some(headers) = message.headers() else {
        return Kind::Tick;
    };
    match headers.iter().find(|h| h.key == KIND_HEADER) {
        None => Kind::Tick,
        Some(header) if header.value == Some(HEARTBEAT) => Kind::Heartbeat,
        Some(_) => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::tests::{layout, trade};
    use super::super::memory::Draining;
    use super::*;
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
    use stockpipe_crds::pipeline::{Compression, Format};

    const HOUR: i64 = 3_600_000_000_000;

    fn buffer(max_files: usize) -> Buffer {
        buffer_of(layout(Format::Parquet, Compression::Zstd), max_files)
    }

    fn buffer_of(layout: Layout, max_files: usize) -> Buffer {
        let encoders = Encoders::new(tokio::runtime::Handle::current(), 1, Draining::default());
        let scope = Scope {
            topic: "t".into(),
            partition: 3,
            layout: Arc::new(layout),
            allowed_lateness: Duration::ZERO,
            max_files,
            seal_bytes: 1 << 20,
            encoders,
        };
        Buffer::new(Arc::new(scope), 0, Carry::default())
    }

    fn record(offset: i64, value: &str, kind: Option<&str>) -> OwnedMessage {
        let headers = kind.map(|kind| {
            OwnedHeaders::new().insert(Header {
                key: KIND_HEADER,
                value: Some(kind),
            })
        });
        let value = Some(value.as_bytes().to_vec());
        OwnedMessage::new(
            value,
            Some(b"k".to_vec()),
            "t".into(),
            Timestamp::NotAvailable,
            3,
            offset,
            headers,
        )
    }

    fn tick(offset: i64, ts: i64) -> OwnedMessage {
        record(offset, &trade("AAPL", offset as u64, ts), None)
    }

    fn beat(offset: i64, producer: &str, until: i64) -> OwnedMessage {
        let body = format!(r#"{{"producer":"{producer}","until":{until},"run":"r"}}"#);
        record(offset, &body, Some("heartbeat"))
    }

    #[tokio::test]
    async fn a_range_counts_what_it_holds_and_fills_its_offsets() {
        let mut buffer = buffer(64);
        let now = Instant::now();
        for message in [
            tick(0, 0),
            beat(1, "p", 5),
            record(4, "{", None),
            record(5, "{}", Some("?")),
        ] {
            assert_eq!(buffer.push(&message, now), Pushed::Taken);
        }
        let range = buffer.close().unwrap();
        assert_eq!(
            (range.start, range.end, range.records, range.rows),
            (0, 5, 4, 1)
        );
        assert_eq!(
            (range.heartbeats, range.quarantined, range.skipped_offsets),
            (1, 2, 2)
        );
        assert_eq!(
            range.records,
            range.rows + range.quarantined + range.heartbeats
        );
        assert_eq!(range.last.unwrap().offset, 5);
        let lines = String::from_utf8(range.quarantine).unwrap();
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["offset"], &first["valueBase64"]),
            (&4.into(), &"ew==".into())
        );
        assert_eq!((buffer.start(), buffer.records()), (6, 0));
        assert!(buffer.close().is_none());
    }

    #[tokio::test]
    async fn a_text_that_no_line_can_hold_goes_to_quarantine_from_csv_alone() {
        let broken = trade("AAPL", 1, 0).replace("\"kind\"", "\"status\":\"a\\nb\",\"kind\"");
        for (format, codec, quarantined) in [
            (Format::Csv, Compression::None, 1),
            (Format::Json, Compression::None, 0),
            (Format::Parquet, Compression::Zstd, 0),
        ] {
            let mut buffer = buffer_of(layout(format, codec), 64);
            let now = Instant::now();
            assert_eq!(buffer.push(&tick(0, 0), now), Pushed::Taken);
            assert_eq!(buffer.push(&record(1, &broken, None), now), Pushed::Taken);
            let range = buffer.close().unwrap();
            assert_eq!(
                (range.records, range.quarantined),
                (2, quarantined),
                "{format:?}"
            );
            let line = String::from_utf8(range.quarantine).unwrap();
            assert_eq!(
                line.contains("field `status` holds a line break"),
                quarantined == 1,
                "{line}"
            );
        }
    }

    #[tokio::test]
    async fn a_range_of_text_is_rolled_by_what_text_takes() {
        let bytes = |format, codec| {
            let mut buffer = buffer_of(layout(format, codec), 64);
            buffer.push(&tick(0, 0), Instant::now());
            buffer.gathered(Instant::now()).bytes
        };
        assert!(bytes(Format::Csv, Compression::None) > bytes(Format::Csv, Compression::Gzip));
        assert!(bytes(Format::Json, Compression::None) > bytes(Format::Csv, Compression::None));
    }

    #[tokio::test]
    async fn rows_go_to_the_file_of_their_hour_and_one_directory_too_many_ends_the_range() {
        let mut buffer = buffer(2);
        let now = Instant::now();
        for message in [tick(0, HOUR), tick(1, 0), tick(2, HOUR + 1)] {
            assert_eq!(buffer.push(&message, now), Pushed::Taken);
        }
        assert_eq!(buffer.push(&tick(3, 2 * HOUR), now), Pushed::Full);
        let range = buffer.close().unwrap();
        assert_eq!(range.end, 2);
        let files: Vec<_> = range
            .files
            .iter()
            .map(|f| (f.period.unwrap().to_string(), f.rows))
            .collect();
        assert_eq!(
            files,
            [
                ("dt=1970-01-01/hour=00".to_owned(), 1),
                ("dt=1970-01-01/hour=01".to_owned(), 2)
            ]
        );
        assert_eq!(
            (range.files[1].min_ts, range.files[1].max_ts),
            (HOUR, HOUR + 1)
        );
        assert_eq!(buffer.push(&tick(3, 2 * HOUR), now), Pushed::Taken);
    }

    #[tokio::test]
    async fn the_watermark_is_the_least_promise_and_late_rows_are_those_of_closed_periods() {
        let mut buffer = buffer(64);
        let now = Instant::now();
        for message in [
            beat(0, "a", 3 * HOUR),
            beat(1, "b", 2 * HOUR + 5),
            beat(2, "a", HOUR),
        ] {
            buffer.push(&message, now);
        }
        let range = buffer.close().unwrap();
        assert_eq!(range.watermark, Some(2 * HOUR + 5));
        let closed = range.carry.closed_through.unwrap();
        assert_eq!(closed.to_string(), "dt=1970-01-01/hour=01");
        for message in [tick(3, HOUR + 7), tick(4, 2 * HOUR)] {
            buffer.push(&message, now);
        }
        let range = buffer.close().unwrap();
        assert_eq!((range.rows, range.late), (2, 1));
    }

    #[tokio::test]
    async fn full_row_groups_are_encoded_while_the_range_is_gathered() {
        let mut buffer = buffer(64);
        let now = Instant::now();
        for offset in 0..20_000 {
            buffer.push(&tick(offset, offset), now);
        }
        assert!(buffer.files[0].sealed_rows > 0);
        let range = buffer.close().unwrap();
        let file = range
            .files
            .into_iter()
            .next()
            .unwrap()
            .encoding
            .finish()
            .await
            .unwrap();
        let rows: usize = super::super::encode::read(&buffer.scope.layout, file)
            .unwrap()
            .map(|b| b.unwrap().num_rows())
            .sum();
        assert_eq!(rows, 20_000);
        assert_eq!(buffer.scope.encoders.draining().bytes(), 0);
    }
}
