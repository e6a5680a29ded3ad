//! CSV: a header and a line a tick, in the one dialect that Hive's OpenCSVSerde, DuckDB, pyarrow and polars read alike.

use std::io::BufRead;

use arrow::array::RecordBatch;
use bytes::Bytes;
use stockpipe_crds::pipeline::Compression;
use stockpipe_market::columns::{TickColumns, TickReader};
use stockpipe_market::csv;
use stockpipe_market::view::TickView;

use super::text::{self, TextFile};
use super::{EncodeError, READ_ROWS};

/// Bytes of lines that are handed to the compressor at once.
const CHUNK: usize = 32 << 10;

/// A CSV file being written in memory.
pub struct CsvFile {
    file: TextFile,
}

impl CsvFile {
    /// A file with its header.
    pub(super) fn new(mut file: TextFile) -> Result<Self, EncodeError> {
        let mut line = Vec::with_capacity(512);
        csv::header(&mut line);
        file.write(&line)?;
        Ok(Self { file })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let reader = TickReader::new(batch)?;
        let mut lines = Vec::with_capacity(CHUNK + 1024);
        for row in 0..reader.len() {
            csv::encode_view(&reader.view(row)?, &mut lines);
            if lines.len() >= CHUNK {
                self.file.write(&lines)?;
                lines.clear();
            }
        }
        self.file.write(&lines)?;
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.file.len()
    }

    pub(super) fn finish(self) -> Result<Bytes, EncodeError> {
        Ok(self.file.finish()?)
    }
}

/// Why `tick` cannot be a line of CSV; a sentence.
///
/// A line break in quotes is RFC 4180's, but Hive and Athena cut a file into lines before they look at quotes.
pub(super) fn unwritable(tick: &TickView<'_>) -> Option<String> {
    let field = csv::beyond_lines(tick)?;
    Some(format!(
        "field `{field}` holds a line break or another control character, which no line of a CSV file can: send it \
         without, or land Parquet or Json"
    ))
}

pub(super) fn read(
    file: Bytes,
    codec: Compression,
) -> Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send> {
    let mut lines = text::open(file, codec);
    let mut number = 0_u64;
    let mut line = String::new();
    let mut columns = TickColumns::new();
    Box::new(std::iter::from_fn(move || {
        while columns.len() < READ_ROWS {
            line.clear();
            match lines.read_line(&mut line) {
                Err(e) => return Some(Err(e.to_string())),
                Ok(0) => break,
                Ok(_) => number += 1,
            }
            let record = line.strip_suffix('\n').unwrap_or(&line);
            if number == 1 {
                match is_header(record) {
                    true => continue,
                    false => return Some(Err("line 1 is not the header of ticks".to_owned())),
                }
            }
            match csv::view(record) {
                Ok(tick) => columns.push_view(&tick),
                Err(e) => return Some(Err(format!("line {number}: {e}"))),
            };
        }
        (!columns.is_empty()).then(|| Ok(columns.finish()))
    }))
}

fn is_header(line: &str) -> bool {
    let mut header = Vec::with_capacity(512);
    csv::header(&mut header);
    header.strip_suffix(b"\n") == Some(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{arbitrary_trade, trade};
    use super::*;
    use proptest::prelude::*;
    use stockpipe_market::json;

    fn file(batches: &[RecordBatch], codec: Compression) -> Bytes {
        let mut file = CsvFile::new(TextFile::new(codec).unwrap()).unwrap();
        for batch in batches {
            file.write(batch).unwrap();
        }
        file.finish().unwrap()
    }

    fn ticks(batch: &RecordBatch) -> Vec<stockpipe_market::tick::Tick> {
        let reader = TickReader::new(batch).unwrap();
        (0..reader.len())
            .map(|row| reader.tick(row).unwrap())
            .collect()
    }

    fn batch(records: &[String]) -> RecordBatch {
        let mut columns = TickColumns::new();
        for record in records {
            columns.push_json(record.as_bytes()).unwrap();
        }
        columns.finish()
    }

    #[test]
    fn a_file_has_one_header_whatever_it_is_written_in() {
        let part = batch(&[trade("AAPL", 7, 1_763_650_800_123_956_789)]);
        let bytes = file(&[part.clone(), part], Compression::None);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("symbol,venue,source,kind,run,seq,source_seq,ts_event,"));
        assert_eq!(
            lines[1],
            "AAPL,,simulated,trade,r,7,,2025-11-20 15:00:00.123,1763650800123956789,,,2026-11-20,,,181.2300001,100.5,\
             ,,,,,,,,,,,,,,"
        );
        assert_eq!(lines[1], lines[2]);
    }

    #[test]
    fn what_is_no_file_of_ours_is_refused_with_its_line() {
        let good = file(&[batch(&[trade("AAPL", 1, 0)])], Compression::None);
        let good = String::from_utf8(good.to_vec()).unwrap();
        for (text, says) in [
            (
                good.replace("symbol,", "sym,"),
                "line 1 is not the header of ticks",
            ),
            (
                good.replace("181.23", "x"),
                "line 2: field `price`: `x00001` is not a decimal number",
            ),
            (format!("{good}\n"), "line 3: field `symbol` is empty"),
        ] {
            let mut batches = read(text.clone().into(), Compression::None);
            let said = batches.next().unwrap().unwrap_err();
            assert!(said.starts_with(says), "{said}");
        }
    }

    #[test]
    fn a_record_with_a_line_break_is_told_so() {
        let record = trade("AAPL", 1, 0).replace("\"kind\"", "\"status\":\"a\\nb\",\"kind\"");
        let tick = json::view(record.as_bytes()).unwrap();
        let said = unwritable(&tick).unwrap();
        assert!(
            said.starts_with("field `status` holds a line break"),
            "{said}"
        );
        let plain = trade("AAPL", 1, 0);
        assert_eq!(unwritable(&json::view(plain.as_bytes()).unwrap()), None);
    }

    proptest! {
        #[test]
        fn ticks_come_back_from_a_file(
            records in prop::collection::vec(arbitrary_trade(), 1..40),
            gzip in any::<bool>(),
        ) {
            let codec = if gzip { Compression::Gzip } else { Compression::None };
            let written = batch(&records);
            let bytes = file(std::slice::from_ref(&written), codec);
            let back: Vec<_> = read(bytes, codec).flat_map(|batch| ticks(&batch.unwrap())).collect();
            prop_assert_eq!(back, ticks(&written));
        }

        /// Another's reader, which knows RFC 4180 alone.
        #[test]
        fn another_reader_of_csv_sees_the_same_cells(records in prop::collection::vec(arbitrary_trade(), 1..20)) {
            let written = batch(&records);
            let bytes = file(std::slice::from_ref(&written), Compression::None);
            let mut reader = ::csv::Reader::from_reader(&bytes[..]);
            let column = |name: &str| stockpipe_market::field::Field::from_name(name).unwrap() as usize;
            let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(rows.len(), records.len());
            for (row, tick) in rows.iter().zip(ticks(&written)) {
                prop_assert_eq!(row.len(), 31);
                prop_assert_eq!(&row[column("symbol")], &*tick.symbol);
                prop_assert_eq!(&row[column("conditions")], tick.conditions.as_deref().unwrap_or_default());
                prop_assert_eq!(&row[column("venue")], tick.venue.as_deref().unwrap_or_default());
                prop_assert_eq!(&row[column("ts_event_ns")], &tick.ts_event_ns.to_string());
                let price = tick.price.map(|price| price.to_string()).unwrap_or_default();
                prop_assert_eq!(&row[column("price")], &price);
            }
        }
    }
}
