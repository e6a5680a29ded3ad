//! Reading ticks back from a batch.

use std::borrow::Cow;

use arrow::array::{
    Array, AsArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Int32Type, Int64Type};

use super::data_type;
use crate::date;
use crate::field::Field;
use crate::tick::{Kind, Price, Session, Side, Size, Symbol, Tick};
use crate::view::TickView;

/// A batch, or a row of one, that holds no ticks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A column is missing.
    #[error("the batch has no column `{field}`; a batch of ticks has every column of the table")]
    NoColumn {
        /// The column.
        field: Field,
    },
    /// A column has another type.
    #[error("column `{field}` has type {found}; a batch of ticks has {expected} there")]
    Type {
        /// The column.
        field: Field,
        /// The type it has.
        found: String,
        /// The type it should have.
        expected: String,
    },
    /// A value that no tick has in that column.
    #[error("row {row}, column `{field}`: {found} is no value of a tick")]
    Value {
        /// The row, from 0.
        row: usize,
        /// The column.
        field: Field,
        /// What is there.
        found: String,
    },
}

/// The ticks of a batch.
pub struct TickReader<'a> {
    columns: Vec<&'a dyn Array>,
    rows: usize,
}

impl<'a> TickReader<'a> {
    /// A reader of a batch that has every column of the table, in any order.
    ///
    /// # Errors
    /// Where a column is missing or has another type.
    pub fn new(batch: &'a RecordBatch) -> Result<TickReader<'a>, BatchError> {
        let mut columns: Vec<&dyn Array> = Vec::with_capacity(Field::ALL.len());
        for &field in Field::ALL {
            let column = batch
                .column_by_name(field.name())
                .ok_or(BatchError::NoColumn { field })?;
            let expected = data_type(field);
            if *column.data_type() != expected {
                return Err(BatchError::Type {
                    field,
                    found: column.data_type().to_string(),
                    expected: expected.to_string(),
                });
            }
            columns.push(column.as_ref());
        }
        Ok(TickReader {
            columns,
            rows: batch.num_rows(),
        })
    }

    /// Number of ticks.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The tick of a row, with texts of its own.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    pub fn tick(&self, row: usize) -> Result<Tick, BatchError> {
        self.view(row).map(|view| view.to_tick())
    }

    /// The tick of a row, borrowing its texts from the batch.
    ///
    /// # Errors
    /// Where a value is missing that every tick has, or is none that a tick can have.
    ///
    /// # Panics
    /// Where `row` is not below [`len`](Self::len).
    pub fn view(&self, row: usize) -> Result<TickView<'a>, BatchError> {
        assert!(row < self.rows, "row {row} of {} rows", self.rows);
        let cells = Cells {
            columns: &self.columns,
            row,
        };
        Ok(TickView {
            symbol: cells.checked(Field::Symbol, |text| Symbol::is_valid(text).then_some(()))?,
            venue: cells.text(Field::Venue),
            source: cells.checked(Field::Source, |_| Some(()))?,
            kind: cells.needed(Field::Kind, cells.word(Field::Kind, Kind::from_word)?)?,
            run: cells.checked(Field::Run, |_| Some(()))?,
            seq: cells.needed(Field::Seq, cells.sequence(Field::Seq)?)?,
            source_seq: cells.sequence(Field::SourceSeq)?,
            ts_event_ns: cells.needed(Field::TsEventNs, cells.long(Field::TsEventNs))?,
            ts_recv_ns: cells.long(Field::TsRecvNs),
            ts_ingest_ns: cells.long(Field::TsIngestNs),
            trade_date: cells.date(Field::TradeDate)?,
            session: cells.word(Field::Session, Session::from_word)?,
            currency: cells.text(Field::Currency),
            price: cells.price(Field::Price)?,
            size: cells.size(Field::Size)?,
            side: cells.word(Field::Side, Side::from_word)?,
            trade_id: cells.text(Field::TradeId),
            bid_price: cells.price(Field::BidPrice)?,
            bid_size: cells.size(Field::BidSize)?,
            ask_price: cells.price(Field::AskPrice)?,
            ask_size: cells.size(Field::AskSize)?,
            open: cells.price(Field::Open)?,
            high: cells.price(Field::High)?,
            low: cells.price(Field::Low)?,
            close: cells.price(Field::Close)?,
            adj_close: cells.price(Field::AdjClose)?,
            volume: cells.size(Field::Volume)?,
            status: cells.text(Field::Status),
            conditions: cells.text(Field::Conditions),
            flags: cells.flags(Field::Flags),
        })
    }
}

/// The cells of one row.
struct Cells<'c, 'a> {
    columns: &'c [&'a dyn Array],
    row: usize,
}

impl<'a> Cells<'_, 'a> {
    fn cell<T>(&self, field: Field, value: impl FnOnce(&'a dyn Array) -> T) -> Option<T> {
        let column = self.columns[field as usize];
        column.is_valid(self.row).then(|| value(column))
    }

    fn refused(&self, field: Field, found: impl ToString) -> BatchError {
        BatchError::Value {
            row: self.row,
            field,
            found: found.to_string(),
        }
    }

    fn needed<T>(&self, field: Field, value: Option<T>) -> Result<T, BatchError> {
        value.ok_or_else(|| self.refused(field, "null"))
    }

    fn str(&self, field: Field) -> Option<&'a str> {
        self.cell(field, |column| {
            let texts: &StringArray = column.as_string();
            texts.value(self.row)
        })
    }

    fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.str(field).map(Cow::Borrowed)
    }

    fn checked(
        &self,
        field: Field,
        check: fn(&str) -> Option<()>,
    ) -> Result<Cow<'a, str>, BatchError> {
        let text = self.needed(field, self.str(field))?;
        match check(text) {
            Some(()) => Ok(Cow::Borrowed(text)),
            None => Err(self.refused(field, format!("{text:?}"))),
        }
    }

    fn word<W>(
        &self,
        field: Field,
        from_word: fn(&str) -> Option<W>,
    ) -> Result<Option<W>, BatchError> {
        self.str(field)
            .map(|text| from_word(text).ok_or_else(|| self.refused(field, format!("{text:?}"))))
            .transpose()
    }

    fn long(&self, field: Field) -> Option<i64> {
        self.cell(field, |column| {
            let longs: &Int64Array = column.as_primitive::<Int64Type>();
            longs.value(self.row)
        })
    }

    fn sequence(&self, field: Field) -> Result<Option<u64>, BatchError> {
        self.long(field)
            .map(|value| u64::try_from(value).map_err(|_| self.refused(field, value)))
            .transpose()
    }

    fn flags(&self, field: Field) -> Option<i32> {
        self.cell(field, |column| {
            let flags: &Int32Array = column.as_primitive::<Int32Type>();
            flags.value(self.row)
        })
    }

    fn date(&self, field: Field) -> Result<jiff::civil::Date, BatchError> {
        let days = self.cell(field, |column| {
            let days: &Date32Array = column.as_primitive::<Date32Type>();
            days.value(self.row)
        });
        let days = self.needed(field, days)?;
        date::from_epoch_days(days).ok_or_else(|| self.refused(field, format!("day {days}")))
    }

    fn decimal(&self, field: Field) -> Option<i128> {
        self.cell(field, |column| {
            let decimals: &Decimal128Array = column.as_primitive::<Decimal128Type>();
            decimals.value(self.row)
        })
    }

    fn price(&self, field: Field) -> Result<Option<Price>, BatchError> {
        self.decimal(field)
            .map(|steps| {
                i64::try_from(steps)
                    .ok()
                    .and_then(Price::from_steps)
                    .ok_or_else(|| self.refused(field, format!("{steps} steps of 1e-9")))
            })
            .transpose()
    }

    fn size(&self, field: Field) -> Result<Option<Size>, BatchError> {
        self.decimal(field)
            .map(|steps| {
                Size::from_steps(steps)
                    .ok_or_else(|| self.refused(field, format!("{steps} steps of 1e-10")))
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{TickColumns, schema};
    use arrow::array::new_null_array;

    #[test]
    fn a_batch_without_a_column_is_refused_by_name() {
        let batch = TickColumns::new().finish();
        let cut = batch.project(&[0, 1, 2]).expect("a projection");
        let message = TickReader::new(&cut).err().expect("a refusal").to_string();
        assert_eq!(
            message,
            "the batch has no column `kind`; a batch of ticks has every column of the table"
        );
    }

    #[test]
    fn a_row_of_nulls_is_no_tick() {
        let columns = schema()
            .fields()
            .iter()
            .map(|field| new_null_array(field.data_type(), 1))
            .collect();
        let batch = RecordBatch::try_new(schema(), columns).expect("a batch");
        let reader = TickReader::new(&batch).expect("the columns of ticks");
        let message = reader.tick(0).expect_err("a refusal").to_string();
        assert_eq!(
            message,
            "row 0, column `symbol`: null is no value of a tick"
        );
    }
}
