//! Ticks as Arrow columns: the table's schema, its builders, and back.
//!
//! A record's JSON goes straight into the builders; columns that a kind of tick leaves empty
//! cost nothing until the batch is finished.

mod builder;
mod reader;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use crate::field::Field;
use crate::tick::{Price, Size};

pub use builder::{RowMeta, TickColumns};
pub use reader::{BatchError, TickReader};

/// The Arrow type of a column. Event time is in milliseconds, as Athena has it; texts are
/// plain `Utf8` (a dictionary within the file is its writer's matter).
pub fn data_type(field: Field) -> DataType {
    match field {
        Field::Symbol
        | Field::Venue
        | Field::Source
        | Field::Kind
        | Field::Run
        | Field::Session
        | Field::Currency
        | Field::Side
        | Field::TradeId
        | Field::Status
        | Field::Conditions => DataType::Utf8,
        Field::Seq | Field::SourceSeq | Field::TsEventNs | Field::TsRecvNs | Field::TsIngestNs => {
            DataType::Int64
        }
        Field::TsEvent => DataType::Timestamp(TimeUnit::Millisecond, None),
        Field::TradeDate => DataType::Date32,
        Field::Price
        | Field::BidPrice
        | Field::AskPrice
        | Field::Open
        | Field::High
        | Field::Low
        | Field::Close
        | Field::AdjClose => DataType::Decimal128(Price::PRECISION, Price::SCALE as i8),
        Field::Size | Field::BidSize | Field::AskSize | Field::Volume => {
            DataType::Decimal128(Size::PRECISION, Size::SCALE as i8)
        }
        Field::Flags => DataType::Int32,
    }
}

/// The table's schema: every field of a tick, in the table's order, all nullable (so that an
/// older file and a newer one are read by one table).
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields: Vec<_> = Field::ALL
            .iter()
            .map(|&field| ArrowField::new(field.name(), data_type(field), true))
            .collect();
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_documented_one() {
        let columns: Vec<_> = schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        assert_eq!(
            columns.join("\n"),
            "\
symbol Utf8
venue Utf8
source Utf8
kind Utf8
run Utf8
seq Int64
source_seq Int64
ts_event Timestamp(ms)
ts_event_ns Int64
ts_recv_ns Int64
ts_ingest_ns Int64
trade_date Date32
session Utf8
currency Utf8
price Decimal128(18, 9)
size Decimal128(28, 10)
side Utf8
trade_id Utf8
bid_price Decimal128(18, 9)
bid_size Decimal128(28, 10)
ask_price Decimal128(18, 9)
ask_size Decimal128(28, 10)
open Decimal128(18, 9)
high Decimal128(18, 9)
low Decimal128(18, 9)
close Decimal128(18, 9)
adj_close Decimal128(18, 9)
volume Decimal128(28, 10)
status Utf8
conditions Utf8
flags Int32"
        );
    }
}
