//! Ticks that stockpipe itself has written: Parquet, JSON lines or CSV with the table's columns.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use csv::StringRecord;
use jiff::civil::Date;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use stockpipe_crds::pipeline::Dialect;
use stockpipe_market::columns::TickReader;
use stockpipe_market::field::Field;
use stockpipe_market::json;
use stockpipe_market::tick::{REPLAY, Tick};

use super::blob::Blob;
use super::columnar;
use super::delimited::Delimited;
use super::lines::Lines;
use super::row::{Problem, Row, RowReader, Step, Unit};
use crate::produce::FeedError;

/// What to do with a file that holds something else.
const REMEDY: &str = "write source.replay.columns, which `stockpipe replay --infer FILE` proposes";

/// The ticks of one file.
pub struct Landed {
    name: Arc<str>,
    form: Form,
    run: Arc<str>,
    source: Arc<str>,
    /// Only ticks of this date.
    trade_date: Option<Date>,
}

enum Form {
    Parquet {
        reader: Box<ParquetRecordBatchReader>,
        batch: VecDeque<Result<Tick, String>>,
        number: u64,
    },
    Json(Lines, Unit),
    Csv {
        reader: Box<Delimited>,
        fields: Vec<Field>,
        record: Vec<u8>,
    },
}

impl Landed {
    /// The ticks of a Parquet file, as ticks of `run`.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parquet(
        name: &Arc<str>,
        blob: Blob,
        run: &str,
        date: Option<Date>,
    ) -> Result<Self, FeedError> {
        let reader = columnar::open(name, blob, None)?;
        let form = Form::Parquet {
            reader: Box::new(reader),
            batch: VecDeque::new(),
            number: 0,
        };
        Ok(Self::new(name, form, run, date))
    }

    /// The ticks of JSON lines, which their file counts by `unit`, as ticks of `run`.
    #[must_use]
    pub fn json(
        name: &Arc<str>,
        text: Box<dyn Read>,
        unit: Unit,
        run: &str,
        date: Option<Date>,
    ) -> Self {
        let form = Form::Json(Lines::new(name, text, unit), unit);
        Self::new(name, form, run, date)
    }

    /// The ticks of a CSV with the table's columns, as ticks of `run`.
    ///
    /// # Errors
    /// Where its header is not that of ticks.
    pub fn csv(
        name: &Arc<str>,
        text: Box<dyn Read>,
        run: &str,
        date: Option<Date>,
    ) -> Result<Self, FeedError> {
        let wanted: Vec<String> = Field::ALL.iter().map(|f| f.name().to_owned()).collect();
        let reader = Box::new(Delimited::open(name, text, &Dialect::default(), &wanted)?);
        let fields = fields(reader.header()).ok_or_else(|| {
            FeedError(format!(
                "{name}: the columns are not those of ticks that stockpipe writes; {REMEDY}"
            ))
        })?;
        let form = Form::Csv {
            reader,
            fields,
            record: Vec::new(),
        };
        Ok(Self::new(name, form, run, date))
    }

    fn new(name: &Arc<str>, form: Form, run: &str, trade_date: Option<Date>) -> Self {
        Self {
            name: Arc::clone(name),
            form,
            run: run.into(),
            source: REPLAY.into(),
            trade_date,
        }
    }

    /// How its rows are counted.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self.form {
            Form::Parquet { .. } => Unit::Row,
            Form::Json(_, unit) => unit,
            Form::Csv { .. } => Unit::Line,
        }
    }

    /// The next tick; `row` tells which row it was.
    ///
    /// # Errors
    /// Where nothing more can be read.
    pub fn next(&mut self, row: &mut Row) -> Result<Option<Result<Tick, Problem>>, FeedError> {
        loop {
            let Some(tick) = self.form.next(&self.name, row)? else {
                return Ok(None);
            };
            let mut tick = match tick {
                Ok(tick) => tick,
                Err(why) => {
                    let why = format!("is no tick as stockpipe writes it ({why}); {REMEDY}");
                    return Ok(Some(Err(Problem::row(why))));
                }
            };
            if self.trade_date.is_some_and(|date| date != tick.trade_date) {
                continue;
            }
            tick.source = Arc::clone(&self.source);
            tick.run = Arc::clone(&self.run);
            tick.seq = 0;
            tick.ts_ingest_ns = None;
            return Ok(Some(Ok(tick)));
        }
    }
}

impl Form {
    fn next(
        &mut self,
        name: &str,
        row: &mut Row,
    ) -> Result<Option<Result<Tick, String>>, FeedError> {
        row.cells.clear();
        match self {
            Self::Parquet {
                reader,
                batch,
                number,
            } => {
                while batch.is_empty() {
                    let Some(next) = reader.next() else {
                        return Ok(None);
                    };
                    let next = next.map_err(|e| FeedError(format!("cannot read {name}: {e}")))?;
                    let ticks = TickReader::new(&next)
                        .map_err(|e| FeedError(format!("{name}: {e}; {REMEDY}")))?;
                    batch
                        .extend((0..ticks.len()).map(|n| ticks.tick(n).map_err(|e| e.to_string())));
                }
                *number += 1;
                row.number = *number;
                Ok(batch.pop_front())
            }
            Self::Json(lines, _) => Ok(lines.next()?.map(|(number, line)| {
                row.number = number;
                row.cells.push_field(line);
                json::decode(line).map_err(|e| e.to_string())
            })),
            Self::Csv {
                reader,
                fields,
                record,
            } => match reader.next(row)? {
                Step::End => Ok(None),
                Step::Bad(problem) => Ok(Some(Err(problem.why))),
                Step::Row => {
                    write_object(fields, row, record);
                    Ok(Some(json::decode(record).map_err(|e| e.to_string())))
                }
            },
        }
    }
}

/// The fields that a header names, if it names those that every tick has.
fn fields(header: &StringRecord) -> Option<Vec<Field>> {
    let fields: Option<Vec<Field>> = header.iter().map(|h| Field::from_name(h.trim())).collect();
    let needed = [
        Field::Symbol,
        Field::Kind,
        Field::TsEventNs,
        Field::TradeDate,
    ];
    fields.filter(|fields| needed.iter().all(|n| fields.contains(n)))
}

/// The row as the record that it would be on the wire.
fn write_object(fields: &[Field], row: &Row, out: &mut Vec<u8>) {
    out.clear();
    out.push(b'{');
    for (field, cell) in fields.iter().zip(&row.cells) {
        // In the table alone, and derived from ts_event_ns.
        if cell.is_empty() || *field == Field::TsEvent {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{}\":", field.name()).as_bytes());
        let is_text = matches!(
            field,
            Field::Symbol
                | Field::Venue
                | Field::Source
                | Field::Kind
                | Field::Run
                | Field::TradeDate
                | Field::Session
                | Field::Currency
                | Field::Side
                | Field::TradeId
                | Field::Status
                | Field::Conditions
        );
        if is_text {
            let text = String::from_utf8_lossy(cell);
            out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        } else {
            out.extend_from_slice(cell);
        }
    }
    out.push(b'}');
}
