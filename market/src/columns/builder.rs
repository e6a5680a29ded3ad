//! Building batches of ticks.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType,
};

use super::{data_type, schema};
use crate::date;
use crate::field::Field;
use crate::json::{self, DecodeError};
use crate::tick::{Kind, Price, Size, Tick};
use crate::view::TickView;

/// What a lander must know of a row that it has just appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowMeta {
    /// What the tick tells.
    pub kind: Kind,
    /// When it happened; names the period.
    pub ts_event_ns: i64,
    /// When the producer sent it; measures freshness.
    pub ts_ingest_ns: Option<i64>,
}

impl From<&TickView<'_>> for RowMeta {
    fn from(tick: &TickView<'_>) -> Self {
        RowMeta {
            kind: tick.kind,
            ts_event_ns: tick.ts_event_ns,
            ts_ingest_ns: tick.ts_ingest_ns,
        }
    }
}

/// A column of fixed-width values. Nulls are counted, and written only before the next value.
struct Values<T: ArrowPrimitiveType> {
    builder: PrimitiveBuilder<T>,
    nulls: usize,
}

impl<T: ArrowPrimitiveType> Values<T> {
    fn new(field: Field) -> Self {
        Self::of(data_type(field))
    }

    fn of(data_type: DataType) -> Self {
        let builder = PrimitiveBuilder::with_capacity(0).with_data_type(data_type);
        Values { builder, nulls: 0 }
    }

    #[inline]
    fn push(&mut self, value: Option<T::Native>) {
        match value {
            Some(value) => {
                if self.nulls > 0 {
                    self.builder.append_nulls(std::mem::take(&mut self.nulls));
                }
                self.builder.append_value(value);
            }
            None => self.nulls += 1,
        }
    }

    fn finish(&mut self) -> ArrayRef {
        self.builder.append_nulls(std::mem::take(&mut self.nulls));
        Arc::new(self.builder.finish())
    }
}

/// A column of texts. Nulls as in [`Values`].
struct Texts {
    builder: StringBuilder,
    nulls: usize,
}

impl Texts {
    fn new() -> Self {
        Texts {
            builder: StringBuilder::with_capacity(0, 0),
            nulls: 0,
        }
    }

    #[inline]
    fn push(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                if self.nulls > 0 {
                    self.builder.append_nulls(std::mem::take(&mut self.nulls));
                }
                self.builder.append_value(text);
            }
            None => self.nulls += 1,
        }
    }

    fn bytes(&self) -> usize {
        self.builder.values_slice().len()
    }

    fn finish(&mut self) -> ArrayRef {
        self.builder.append_nulls(std::mem::take(&mut self.nulls));
        Arc::new(self.builder.finish())
    }
}

/// Ticks being gathered into columns of [`schema`].
pub struct TickColumns {
    rows: usize,
    symbol: Texts,
    venue: Texts,
    source: Texts,
    kind: Texts,
    run: Texts,
    seq: Values<Int64Type>,
    source_seq: Values<Int64Type>,
    ts_event: Values<TimestampMillisecondType>,
    ts_event_ns: Values<Int64Type>,
    ts_recv_ns: Values<Int64Type>,
    ts_ingest_ns: Values<Int64Type>,
    trade_date: Values<Date32Type>,
    session: Texts,
    currency: Texts,
    price: Values<Decimal128Type>,
    size: Values<Decimal128Type>,
    side: Texts,
    trade_id: Texts,
    bid_price: Values<Decimal128Type>,
    bid_size: Values<Decimal128Type>,
    ask_price: Values<Decimal128Type>,
    ask_size: Values<Decimal128Type>,
    open: Values<Decimal128Type>,
    high: Values<Decimal128Type>,
    low: Values<Decimal128Type>,
    close: Values<Decimal128Type>,
    adj_close: Values<Decimal128Type>,
    volume: Values<Decimal128Type>,
    status: Texts,
    conditions: Texts,
    flags: Values<Int32Type>,
}

/// Bytes of a row in all fixed-width columns, text offsets and validity bitmaps.
const FIXED_BYTES: usize = {
    let wide = 6 * 8 + 2 * 4 + 12 * 16;
    let offsets = 11 * 4;
    let bitmaps = 31_usize.div_ceil(8);
    wide + offsets + bitmaps
};

impl TickColumns {
    /// No rows yet, and no memory but what the first rows need.
    pub fn new() -> TickColumns {
        TickColumns {
            rows: 0,
            symbol: Texts::new(),
            venue: Texts::new(),
            source: Texts::new(),
            kind: Texts::new(),
            run: Texts::new(),
            seq: Values::new(Field::Seq),
            source_seq: Values::new(Field::SourceSeq),
            ts_event: Values::new(Field::TsEvent),
            ts_event_ns: Values::new(Field::TsEventNs),
            ts_recv_ns: Values::new(Field::TsRecvNs),
            ts_ingest_ns: Values::new(Field::TsIngestNs),
            trade_date: Values::new(Field::TradeDate),
            session: Texts::new(),
            currency: Texts::new(),
            price: Values::new(Field::Price),
            size: Values::new(Field::Size),
            side: Texts::new(),
            trade_id: Texts::new(),
            bid_price: Values::new(Field::BidPrice),
            bid_size: Values::new(Field::BidSize),
            ask_price: Values::new(Field::AskPrice),
            ask_size: Values::new(Field::AskSize),
            open: Values::new(Field::Open),
            high: Values::new(Field::High),
            low: Values::new(Field::Low),
            close: Values::new(Field::Close),
            adj_close: Values::new(Field::AdjClose),
            volume: Values::new(Field::Volume),
            status: Texts::new(),
            conditions: Texts::new(),
            flags: Values::new(Field::Flags),
        }
    }

    /// Appends a tick.
    pub fn push(&mut self, tick: &Tick) -> RowMeta {
        self.push_view(&TickView::from(tick))
    }

    /// Appends the tick that a record's JSON writes.
    ///
    /// # Errors
    /// Where the record is no tick; nothing is appended then.
    pub fn push_json(&mut self, record: &[u8]) -> Result<RowMeta, DecodeError> {
        json::view(record).map(|tick| self.push_view(&tick))
    }

    /// Appends a tick that a decoder has read: for callers that look at it first.
    pub fn push_view(&mut self, tick: &TickView<'_>) -> RowMeta {
        let price = |price: Option<Price>| price.map(|price| i128::from(price.steps()));
        let size = |size: Option<Size>| size.map(Size::steps);
        self.rows += 1;
        self.symbol.push(Some(&tick.symbol));
        self.venue.push(tick.venue.as_deref());
        self.source.push(Some(&tick.source));
        self.kind.push(Some(tick.kind.as_str()));
        self.run.push(Some(&tick.run));
        self.seq.push(Some(tick.seq as i64));
        self.source_seq.push(tick.source_seq.map(|seq| seq as i64));
        self.ts_event
            .push(Some(tick.ts_event_ns.div_euclid(1_000_000)));
        self.ts_event_ns.push(Some(tick.ts_event_ns));
        self.ts_recv_ns.push(tick.ts_recv_ns);
        self.ts_ingest_ns.push(tick.ts_ingest_ns);
        self.trade_date
            .push(Some(date::epoch_days(tick.trade_date)));
        self.session
            .push(tick.session.map(|session| session.as_str()));
        self.currency.push(tick.currency.as_deref());
        self.price.push(price(tick.price));
        self.size.push(size(tick.size));
        self.side.push(tick.side.map(|side| side.as_str()));
        self.trade_id.push(tick.trade_id.as_deref());
        self.bid_price.push(price(tick.bid_price));
        self.bid_size.push(size(tick.bid_size));
        self.ask_price.push(price(tick.ask_price));
        self.ask_size.push(size(tick.ask_size));
        self.open.push(price(tick.open));
        self.high.push(price(tick.high));
        self.low.push(price(tick.low));
        self.close.push(price(tick.close));
        self.adj_close.push(price(tick.adj_close));
        self.volume.push(size(tick.volume));
        self.status.push(tick.status.as_deref());
        self.conditions.push(tick.conditions.as_deref());
        self.flags.push(tick.flags);
        RowMeta::from(tick)
    }

    /// Rows gathered.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of the batch that [`finish`](Self::finish) would make. While rows are gathered,
    /// buffers that have just grown may hold up to twice as much.
    pub fn approx_bytes(&self) -> usize {
        let texts = [
            &self.symbol,
            &self.venue,
            &self.source,
            &self.kind,
            &self.run,
            &self.session,
            &self.currency,
            &self.side,
            &self.trade_id,
            &self.status,
            &self.conditions,
        ];
        self.rows * FIXED_BYTES + texts.iter().map(|texts| texts.bytes()).sum::<usize>()
    }

    /// The rows as one batch of [`schema`], in the order they were appended; none are left.
    pub fn finish(&mut self) -> RecordBatch {
        self.rows = 0;
        let arrays = vec![
            self.symbol.finish(),
            self.venue.finish(),
            self.source.finish(),
            self.kind.finish(),
            self.run.finish(),
            self.seq.finish(),
            self.source_seq.finish(),
            self.ts_event.finish(),
            self.ts_event_ns.finish(),
            self.ts_recv_ns.finish(),
            self.ts_ingest_ns.finish(),
            self.trade_date.finish(),
            self.session.finish(),
            self.currency.finish(),
            self.price.finish(),
            self.size.finish(),
            self.side.finish(),
            self.trade_id.finish(),
            self.bid_price.finish(),
            self.bid_size.finish(),
            self.ask_price.finish(),
            self.ask_size.finish(),
            self.open.finish(),
            self.high.finish(),
            self.low.finish(),
            self.close.finish(),
            self.adj_close.finish(),
            self.volume.finish(),
            self.status.finish(),
            self.conditions.finish(),
            self.flags.finish(),
        ];
        RecordBatch::try_new(schema(), arrays)
            .expect("every push appends to every column, in the schema's types")
    }
}

impl Default for TickColumns {
    fn default() -> Self {
        TickColumns::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::TickReader;
    use crate::samples;
    use proptest::prelude::*;

    fn trade(seq: u64) -> Vec<u8> {
        format!(
            r#"{{"symbol":"AAPL","source":"simulated","kind":"trade","run":"r","seq":{seq},"ts_event_ns":-1,"trade_date":"2026-11-20","price":1.5}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_record_that_fails_leaves_the_columns_unchanged() {
        let mut columns = TickColumns::new();
        columns.push_json(&trade(0)).expect("a tick");
        let bytes = columns.approx_bytes();
        let mut bad = trade(1);
        bad.truncate(bad.len() - 1);
        assert!(columns.push_json(&bad).is_err());
        assert!(columns.push_json(b"{}").is_err());
        assert_eq!((columns.len(), columns.approx_bytes()), (1, bytes));
        columns.push_json(&trade(1)).expect("a tick");
        let batch = columns.finish();
        assert_eq!(batch.num_rows(), 2);
        let reader = TickReader::new(&batch).expect("a batch of ticks");
        let seqs: Vec<_> = (0..2)
            .map(|row| reader.tick(row).expect("a tick").seq)
            .collect();
        assert_eq!(seqs, [0, 1]);
    }

    #[test]
    fn milliseconds_are_the_floor_of_nanoseconds_before_1970_too() {
        let mut columns = TickColumns::new();
        let meta = columns.push_json(&trade(0)).expect("a tick");
        assert_eq!(meta.ts_event_ns, -1);
        let batch = columns.finish();
        let times = batch
            .column_by_name("ts_event")
            .and_then(|column| {
                column
                    .as_any()
                    .downcast_ref::<arrow::array::TimestampMillisecondArray>()
            })
            .expect("a column of times");
        assert_eq!(times.value(0), -1);
    }

    #[test]
    fn finish_leaves_empty_columns_that_go_on() {
        let mut columns = TickColumns::new();
        assert_eq!(columns.finish().num_rows(), 0);
        columns.push_json(&trade(0)).expect("a tick");
        assert_eq!(columns.finish().num_rows(), 1);
        assert_eq!((columns.len(), columns.approx_bytes()), (0, 0));
        columns.push_json(&trade(1)).expect("a tick");
        assert_eq!(columns.finish().num_rows(), 1);
    }

    #[test]
    fn the_estimate_is_close_to_the_finished_batch() {
        let mut columns = TickColumns::new();
        for seq in 0..10_000 {
            columns.push_json(&trade(seq)).expect("a tick");
        }
        let estimate = columns.approx_bytes();
        let real: usize = columns
            .finish()
            .columns()
            .iter()
            .map(|column| column.to_data().get_slice_memory_size().expect("a size"))
            .sum();
        assert!(
            estimate * 10 > real * 9 && estimate * 9 < real * 10,
            "{estimate} {real}"
        );
    }

    proptest! {
        #[test]
        fn ticks_come_back_from_a_batch(ticks in prop::collection::vec(samples::tick(), 0..20)) {
            let mut columns = TickColumns::new();
            for tick in &ticks {
                columns.push(tick);
            }
            prop_assert_eq!(columns.len(), ticks.len());
            let batch = columns.finish();
            let reader = TickReader::new(&batch).expect("a batch of ticks");
            let back: Result<Vec<_>, _> = (0..batch.num_rows()).map(|row| reader.tick(row)).collect();
            prop_assert_eq!(back.expect("ticks"), ticks);
        }

        #[test]
        fn json_into_columns_equals_ticks_into_columns(
            ticks in prop::collection::vec(samples::tick(), 0..20),
        ) {
            let (mut direct, mut by_json) = (TickColumns::new(), TickColumns::new());
            for tick in &ticks {
                let mut record = Vec::new();
                json::encode(tick, &mut record);
                prop_assert_eq!(by_json.push_json(&record), Ok(direct.push(tick)));
            }
            prop_assert_eq!(by_json.approx_bytes(), direct.approx_bytes());
            prop_assert_eq!(by_json.finish(), direct.finish());
        }
    }
}
