//! JSON lines: the wire's names, and `ts_event` as Athena reads a timestamp.

use std::io::{BufRead, BufReader, Read, Write};

use arrow::array::RecordBatch;
use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression as Level, GzBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use stockpipe_crds::pipeline::Compression;
use stockpipe_market::columns::{TickColumns, TickReader};
use stockpipe_market::json;

use super::EncodeError;

/// gzip's level: beyond it the file hardly shrinks and the lander slows.
const LEVEL: u32 = 4;

/// Rows of a batch read back.
const READ_ROWS: usize = 8_192;

/// A file of JSON lines being written in memory.
pub enum JsonFile {
    /// As text.
    Plain(Vec<u8>),
    /// As one gzip member without a time, so that the same rows make the same bytes.
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl JsonFile {
    pub(super) fn plain() -> Self {
        Self::Plain(Vec::new())
    }

    pub(super) fn gzip() -> Self {
        let file = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Level::new(LEVEL));
        Self::Gzip(Box::new(file))
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
            match self {
                Self::Plain(file) => file.write_all(&line)?,
                Self::Gzip(file) => file.write_all(&line)?,
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(file) => file.len(),
            Self::Gzip(file) => file.get_ref().len(),
        }
    }

    pub(super) fn finish(self) -> Result<Bytes, EncodeError> {
        match self {
            Self::Plain(file) => Ok(file.into()),
            Self::Gzip(file) => Ok(file.finish()?.into()),
        }
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
    let text: Box<dyn Read + Send> = match codec {
        Compression::Gzip => Box::new(MultiGzDecoder::new(file.reader())),
        _ => Box::new(file.reader()),
    };
    let mut lines = BufReader::with_capacity(1 << 16, text);
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
        let mut file = JsonFile::plain();
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

    #[test]
    fn gzip_is_one_member_without_a_time() {
        let mut columns = TickColumns::new();
        columns.push_json(trade("AAPL", 7, 0).as_bytes()).unwrap();
        let mut file = JsonFile::gzip();
        let batch = columns.finish();
        file.write(&batch).unwrap();
        file.write(&batch).unwrap();
        let bytes = file.finish().unwrap();
        assert_eq!(&bytes[..2], &[0x1f, 0x8b]);
        assert_eq!(&bytes[4..8], &[0; 4]);
        let mut one = flate2::read::GzDecoder::new(bytes.reader());
        let mut text = String::new();
        one.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
