//! The first rows of a file as text, with the names of its columns.

use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::DataType;
use csv::{ReaderBuilder, StringRecord};

use super::super::columnar;
use super::super::content::{self, Content};
use super::super::json_lines::{self, JsonLines};
use super::super::lines::Lines;
use super::super::number::{self, Quantity};
use super::super::place::{Access, Item};
use super::super::row::{Row, RowReader, Step, Unit};
use super::times;
use crate::produce::FeedError;
use stockpipe_crds::pipeline::Dialect;

/// Rows that are looked at.
const ROWS: usize = 1000;
/// Bytes of a CSV that are looked at.
const BYTES: u64 = 1 << 20;
/// JSON objects whose fields are gathered.
const OBJECTS: usize = 50;

/// The first rows of a file.
pub struct Sample {
    /// Names of the columns; their places where there is no header.
    pub names: Vec<String>,
    /// What the columns are to be called in a mapping: their names, or their places where two have one name.
    pub references: Vec<String>,
    /// Cells, by row and column.
    pub rows: Vec<Vec<String>>,
    /// Whether a column holds numbers of the file's own notation.
    pub typed: Vec<bool>,
    /// What a CSV is like.
    pub csv: Option<Csv>,
}

/// What a CSV is like.
pub struct Csv {
    /// Between its fields.
    pub delimiter: u8,
    /// Whether its first line names its columns.
    pub header: bool,
}

impl Sample {
    /// Reads the first rows of `item`.
    ///
    /// # Errors
    /// Where it cannot be read or holds no rows.
    pub fn read(item: &Item, access: &Access) -> Result<Self, FeedError> {
        let sample = match content::open(item, access)? {
            Content::Csv(text) => delimited(&item.name, text)?,
            Content::Json(text, unit) => {
                // Once for the names, once for the rows.
                let names = object_names(&item.name, text, unit)?;
                let Content::Json(text, unit) = content::open(item, access)? else {
                    return Err(FeedError(format!("{}: the file has changed", item.name)));
                };
                objects(&item.name, text, unit, names)?
            }
            Content::Parquet(blob) => {
                let mut reader = columnar::open(&item.name, blob, None)?;
                let broken = |e: arrow::error::ArrowError| {
                    FeedError(format!("cannot read {}: {e}", item.name))
                };
                let flat: Vec<_> = arrow::array::RecordBatchReader::schema(&reader)
                    .fields()
                    .iter()
                    .filter(|field| !field.data_type().is_nested())
                    .cloned()
                    .collect();
                let header: StringRecord = flat.iter().map(|f| f.name().as_str()).collect();
                let typed = flat.iter().map(|f| {
                    f.data_type().is_numeric() || matches!(f.data_type(), DataType::Boolean)
                });
                let typed = typed.collect();
                let mut rows = Vec::new();
                if let Some(batch) = reader.next() {
                    let (texts, _) =
                        columnar::texts(&batch.map_err(broken)?, &header).map_err(broken)?;
                    rows.extend(texts.iter().take(ROWS).map(texts_of));
                }
                Self {
                    names: header.iter().map(str::to_owned).collect(),
                    references: Vec::new(),
                    rows,
                    typed,
                    csv: None,
                }
            }
        };
        let mut sample = sample;
        sample.references = references(&sample.names);
        if sample.rows.is_empty() {
            return Err(FeedError(format!("{}: the file has no rows", item.name)));
        }
        Ok(sample)
    }

    /// The cells of a column that hold something.
    pub fn column(&self, index: usize) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .filter_map(move |row| row.get(index))
            .map(|cell| cell.trim())
            .filter(|cell| !cell.is_empty())
    }
}

fn references(names: &[String]) -> Vec<String> {
    let is_alone = |name: &String| names.iter().filter(|n| *n == name).count() == 1;
    names
        .iter()
        .enumerate()
        .map(|(at, name)| match is_alone(name) && !name.is_empty() {
            true => name.clone(),
            false => (at + 1).to_string(),
        })
        .collect()
}

fn texts_of(record: &csv::ByteRecord) -> Vec<String> {
    record
        .iter()
        .map(|cell| String::from_utf8_lossy(cell).into_owned())
        .collect()
}

fn object_names(
    name: &Arc<str>,
    text: Box<dyn Read>,
    unit: Unit,
) -> Result<Vec<String>, FeedError> {
    let mut lines = Lines::new(name, text, unit);
    let mut names: Vec<String> = Vec::new();
    for _ in 0..OBJECTS {
        let Some((_, line)) = lines.next()? else {
            break;
        };
        for found in json_lines::names(line) {
            if !names.contains(&found) {
                names.push(found);
            }
        }
    }
    Ok(names)
}

fn objects(
    name: &Arc<str>,
    text: Box<dyn Read>,
    unit: Unit,
    names: Vec<String>,
) -> Result<Sample, FeedError> {
    let mut reader = JsonLines::new(name, text, unit, &names);
    let mut row = Row::default();
    let mut rows = Vec::new();
    let mut typed = vec![true; names.len()];
    while rows.len() < ROWS {
        match reader.next(&mut row)? {
            Step::End => break,
            Step::Bad(_) => {}
            Step::Row => {
                for (at, typed) in typed.iter_mut().enumerate() {
                    *typed &= row.is_plain(at) || row.cells.get(at).is_none_or(<[u8]>::is_empty);
                }
                rows.push(texts_of(&row.cells));
            }
        }
    }
    Ok(Sample {
        names,
        references: Vec::new(),
        rows,
        typed,
        csv: None,
    })
}

fn delimited(name: &str, text: Box<dyn Read>) -> Result<Sample, FeedError> {
    let mut start = Vec::new();
    text.take(BYTES)
        .read_to_end(&mut start)
        .map_err(|e| FeedError(format!("cannot read {name}: {e}")))?;
    let is_cut = start.len() as u64 == BYTES;
    // Of equals the first: a comma may as well stand before decimals.
    let mut best: Option<(usize, u8, Vec<Vec<String>>)> = None;
    for delimiter in *b";\t|," {
        let mut rows = records(&start, delimiter);
        if is_cut {
            rows.pop();
        }
        let fields = rows.first().map_or(0, Vec::len);
        let alike = rows.iter().filter(|row| row.len() == fields).count();
        let score = if alike * 5 >= rows.len() * 4 {
            fields
        } else {
            1
        };
        if best.as_ref().is_none_or(|(most, ..)| score > *most) {
            best = Some((score, delimiter, rows));
        }
    }
    let Some((_, delimiter, mut rows)) = best.filter(|(.., rows)| !rows.is_empty()) else {
        return Err(FeedError(format!("{name}: the file is empty")));
    };
    let says = |row: &Vec<String>| row.iter().any(|cell| is_value(cell.trim()));
    let header = !says(&rows[0]) || rows.len() == 1;
    let names = if header {
        rows.remove(0).iter().map(|c| c.trim().to_owned()).collect()
    } else {
        (1..=rows[0].len())
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
    };
    Ok(Sample {
        typed: vec![false; names.len()],
        references: Vec::new(),
        names,
        rows,
        csv: Some(Csv { delimiter, header }),
    })
}

fn records(start: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(start);
    reader
        .into_byte_records()
        .take(ROWS + 1)
        .filter_map(Result::ok)
        .map(|record| texts_of(&record))
        .collect()
}

/// Whether a cell holds a number or a time: what no header is.
fn is_value(cell: &str) -> bool {
    let comma = Dialect {
        decimal: b',',
        ..Dialect::default()
    };
    !cell.is_empty()
        && (number::plain(cell, &Dialect::default(), Quantity::Price).is_ok()
            || number::plain(cell, &comma, Quantity::Price).is_ok()
            || times::is_time(cell))
}
