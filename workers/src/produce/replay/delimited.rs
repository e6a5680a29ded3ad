//! CSV: any delimiter, with or without a header.

use std::cell::RefCell;
use std::io::{Cursor, Error, Read, Result as IoResult};
use std::rc::Rc;
use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder, StringRecord};
use stockpipe_crds::pipeline::Dialect;

use super::lines::{LONGEST, unreadable};
use super::row::{Problem, Row, RowReader, Step, Unit};
use crate::produce::FeedError;

/// Bytes of the text in which its first line is looked for.
const PROBE: usize = 64 << 10;
/// Delimiters, in the order in which they are preferred where they fit equally well.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// As above, where a comma stands before decimals.
const BESIDE_DECIMAL_COMMAS: [u8; 4] = [b';', b'\t', b'|', b','];

/// Rows of a CSV.
pub struct Delimited {
    name: Arc<str>,
    reader: csv::Reader<Guard>,
    raw: Rc<RefCell<Raw>>,
    header: StringRecord,
    /// The first row, where there is no header.
    first: Option<ByteRecord>,
    has_header: bool,
    line: u64,
}

impl Delimited {
    /// Reads the header, or counts the columns where there is none. `wanted` are the headers that are mapped.
    ///
    /// # Errors
    /// Where the text cannot be read or is empty.
    pub fn open(
        name: &Arc<str>,
        mut text: Box<dyn Read>,
        dialect: &Dialect,
        wanted: &[String],
    ) -> Result<Self, FeedError> {
        let mut start = Vec::new();
        (&mut text)
            .take(PROBE as u64)
            .read_to_end(&mut start)
            .map_err(|e| unreadable(name, 0, &e))?;
        let delimiter = dialect
            .delimiter
            .unwrap_or_else(|| likeliest(&start, dialect, wanted));
        let raw = Rc::new(RefCell::new(Raw::default()));
        let guard = Guard {
            text: Box::new(Cursor::new(start).chain(text)),
            raw: Rc::clone(&raw),
        };
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(64 << 10)
            .from_reader(guard);
        let mut first = ByteRecord::new();
        if !reader
            .read_byte_record(&mut first)
            .map_err(|e| fault(name, 0, &e))?
        {
            return Err(FeedError(format!("{name}: the file is empty")));
        }
        let line = raw.borrow_mut().line_of_row(reader.position().byte());
        let header = if dialect.header {
            StringRecord::from_byte_record(first.clone()).map_err(|_| {
                FeedError(format!(
                    "{name}:{line}: the header is not UTF-8 text; save the file as UTF-8"
                ))
            })?
        } else {
            (1..=first.len()).map(|n| n.to_string()).collect()
        };
        Ok(Self {
            name: Arc::clone(name),
            reader,
            raw,
            header,
            first: (!dialect.header).then_some(first),
            has_header: dialect.header,
            line,
        })
    }
}

impl RowReader for Delimited {
    fn header(&self) -> &StringRecord {
        &self.header
    }

    fn unit(&self) -> Unit {
        Unit::Line
    }

    fn next(&mut self, row: &mut Row) -> Result<Step, FeedError> {
        row.plain = 0;
        if let Some(first) = self.first.take() {
            row.cells = first;
        } else if self
            .reader
            .read_byte_record(&mut row.cells)
            .map_err(|e| fault(&self.name, self.line, &e))?
        {
            let end = self.reader.position().byte();
            self.line = self.raw.borrow_mut().line_of_row(end);
        } else {
            return Ok(Step::End);
        }
        row.number = self.line;
        let (columns, fields) = (self.header.len(), row.cells.len());
        // A delimiter at the end of each line makes no column.
        let blank_end = || row.cells.iter().skip(columns).all(<[u8]>::is_empty);
        if fields == columns || fields > columns && blank_end() {
            return Ok(Step::Row);
        }
        let of = if self.has_header {
            "the header"
        } else {
            "the first row"
        };
        let fields = match fields {
            1 => "1 field".to_owned(),
            n => format!("{n} fields"),
        };
        Ok(Step::Bad(Problem::row(format!(
            "the row has {fields} and {of} {columns}: write one value for each column"
        ))))
    }
}

fn fault(name: &str, after: u64, error: &csv::Error) -> FeedError {
    match error.kind() {
        csv::ErrorKind::Io(e) => unreadable(name, after, e),
        _ => FeedError(format!("{name}: {error}")),
    }
}

/// The delimiter with which the first line has most of the mapped headers, and then most fields.
fn likeliest(start: &[u8], dialect: &Dialect, wanted: &[String]) -> u8 {
    let preferred = if dialect.decimal == b',' {
        BESIDE_DECIMAL_COMMAS
    } else {
        DELIMITERS
    };
    let fit = |delimiter: u8| {
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .from_reader(start);
        let mut first = ByteRecord::new();
        // What cannot be read has no field.
        let _ = reader.read_byte_record(&mut first);
        let mapped = first.iter().filter(|cell| {
            let cell = String::from_utf8_lossy(cell);
            dialect.header && wanted.iter().any(|w| w == cell.trim())
        });
        (mapped.count(), first.len())
    };
    // Of equals, the last is the greatest.
    preferred
        .into_iter()
        .rev()
        .max_by_key(|d| fit(*d))
        .unwrap_or(b',')
}

/// The bytes that the CSV's reader has been given and that are of no row yet, and the lines before them.
///
/// The reader's own count of lines is one short where a line ends with a carriage return.
#[derive(Default)]
struct Raw {
    bytes: Vec<u8>,
    /// How many of them, and of all, are of rows already.
    done: usize,
    done_in_all: u64,
    ends: LineEnds,
}

impl Raw {
    /// The line in which the row begins that was just read, up to the byte `end` of the text. Empty lines before it, and
    /// the second byte of the line end before those, are not of it.
    fn line_of_row(&mut self, end: u64) -> u64 {
        let length = usize::try_from(end.saturating_sub(self.done_in_all)).unwrap_or(usize::MAX);
        let upto = self.done.saturating_add(length).min(self.bytes.len());
        let bytes = &self.bytes[self.done..upto];
        let is_end = |byte: &&u8| matches!(byte, b'\n' | b'\r');
        let (before, row) = bytes.split_at(bytes.iter().take_while(is_end).count());
        self.ends.count(before);
        let line = 1 + self.ends.lines;
        self.ends.count(row);
        self.done = upto;
        self.done_in_all = end;
        line
    }
}

/// Counts the ends of lines: `\n`, `\r` or both.
#[derive(Default)]
struct LineEnds {
    lines: u64,
    after_return: bool,
}

impl LineEnds {
    fn count(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.lines += u64::from(*byte == b'\r' || *byte == b'\n' && !self.after_return);
            self.after_return = *byte == b'\r';
        }
    }
}

/// Keeps what it reads until it is of a row, and ends a row that goes on and on: a quote that is not closed would take
/// in the rest of the file.
struct Guard {
    text: Box<dyn Read>,
    raw: Rc<RefCell<Raw>>,
}

impl Read for Guard {
    fn read(&mut self, out: &mut [u8]) -> IoResult<usize> {
        let read = self.text.read(out)?;
        let mut raw = self.raw.borrow_mut();
        let done = std::mem::take(&mut raw.done);
        raw.bytes.drain(..done);
        raw.bytes.extend_from_slice(&out[..read]);
        if raw.bytes.len() as u64 > LONGEST {
            return Err(Error::other(
                "the row after it is longer than 16 MiB: a quote is not closed",
            ));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_seen_in_the_first_line() {
        let wanted = ["Date".to_owned(), "Close".to_owned()];
        let comma = Dialect::default();
        let decimal_comma = Dialect {
            decimal: b',',
            header: false,
            ..Dialect::default()
        };
        for (first, dialect, expected) in [
            ("Date,Close\n", &comma, b','),
            ("Date;Close, adjusted;Close\n", &comma, b';'),
            ("Date\tClose\n", &comma, b'\t'),
            ("Date|Close\r\n", &comma, b'|'),
            ("\"a;b;c\",d\n", &comma, b','),
            ("20.11.2026;1,5;2,5\n", &decimal_comma, b';'),
            ("alone\n", &comma, b','),
            ("alone\n", &decimal_comma, b';'),
        ] {
            let found = likeliest(first.as_bytes(), dialect, &wanted);
            assert_eq!(found as char, expected as char, "{first}");
        }
    }

    #[test]
    fn rows_know_their_lines_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let lines = ["a,b", "1,2", "", "3,\"4", "5\"", "6,7", "", "8,9"];
            let text = lines.join(end).into_bytes();
            let text = Box::new(Cursor::new(text));
            let dialect = Dialect::default();
            let mut reader = Delimited::open(&"p.csv".into(), text, &dialect, &[]).unwrap();
            let mut row = Row::default();
            let mut numbers = Vec::new();
            while let Step::Row = reader.next(&mut row).unwrap() {
                numbers.push(row.number);
            }
            assert_eq!(numbers, [2, 4, 6, 8], "{end:?}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_take_in_the_whole_file() {
        let endless = Cursor::new(b"a,b\n1,\"2\n".to_vec()).chain(std::io::repeat(b'x'));
        let mut reader =
            Delimited::open(&"p.csv".into(), Box::new(endless), &Dialect::default(), &[]).unwrap();
        let error = reader.next(&mut Row::default()).err().unwrap().to_string();
        assert_eq!(
            error,
            "cannot read p.csv after line 1: the row after it is longer than 16 MiB: a quote is not closed"
        );
    }
}
