//! JSON lines: the wire's names, and `ts_event` as Athena reads a timestamp.

use std::io::{BufRead, Write};

use arrow::array::RecordBatch;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use stockpipe_crds::pipeline::Compression;
use stockpipe_market::columns::{TickColumns, TickReader};
use stockpipe_market::json;

use super::text::{self, TextFile};
use super::{EncodeError, READ_ROWS};

/// A file of JSON lines being written in memory.
pub struct JsonFile {
    file: TextFile,
}

impl JsonFile {
    pub(super) fn new(file: TextFile) -> Self {
        Self { file }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let reader = TickReader::new(batch)?;
        let mut line = Vec::with_capacity(512);
        for row in 0..reader.len() {
            let tick = reader.tick(row)?;
            line.clear();
            json::encode(&tick, &mut line);
            // The object's closing brace gives way to one more field.
            line.pop();
            write!(
                line,
                ",\"ts_event\":\"{}\"}}",
                athena_time(tick.ts_event_ns)
            )?;
            line.push(b'\n');
            self.file.write(&line)?;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.file.len()
    }

    pub(super) fn finish(self) -> Result<Bytes, EncodeError> {
        Ok(self.file.finish()?)
    }
}

/// `YYYY-MM-DD HH:MM:SS.mmm` in UTC, milliseconds cut off towards the past.
fn athena_time(ts_ns: i64) -> impl std::fmt::Display {
    let ms = ts_ns.div_euclid(1_000_000);
    let at = Timestamp::from_millisecond(ms).expect("64-bit nanoseconds are within jiff's years");
    TimeZone::UTC
        .to_datetime(at)
        .strftime("%Y-%m-%d %H:%M:%S.%3f")
}

pub(super) fn read(
    file: Bytes,
    codec: Compression,
) -> Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send> {
    let mut lines = text::open(file, codec);
    let mut line = Vec::new();
    let mut columns = TickColumns::new();
    Box::new(std::iter::from_fn(move || {
        while columns.len() < READ_ROWS {
            line.clear();
            match lines.read_until(b'\n', &mut line) {
                Err(e) => return Some(Err(e.to_string())),
                Ok(0) => break,
                Ok(_) => {}
            }
            if let Err(e) = columns.push_json(line.trim_ascii_end()) {
                return Some(Err(e.to_string()));
            }
        }
        (!columns.is_empty()).then(|| Ok(columns.finish()))
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::trade;
    use super::*;

    #[test]
    fn a_line_has_the_columns_names_and_a_time_that_athena_reads() {
        let mut columns = TickColumns::new();
        let ts = 1_763_650_800_123_956_789;
        columns.push_json(trade("AAPL", 7, ts).as_bytes()).unwrap();
        let mut file = JsonFile::new(TextFile::new(Compression::None).unwrap());
        file.write(&columns.finish()).unwrap();
        let text = String::from_utf8(file.finish().unwrap().to_vec()).unwrap();
        assert!(
            text.contains(r#""ts_event":"2025-11-20 15:00:00.123""#),
            "{text}"
        );
        assert!(text.contains(r#""price":181.2300001"#), "{text}");
        assert!(text.contains(r#""trade_date":"2026-11-20""#), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
        let _: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    }

    #[test]
    fn times_before_1970_are_cut_towards_the_past() {
        assert_eq!(athena_time(-1).to_string(), "1969-12-31 23:59:59.999");
    }
}
