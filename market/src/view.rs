//! A tick that borrows its texts: what the codecs pass to one another without allocating.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::Date;

use crate::tick::{Kind, Price, Session, Side, Size, Symbol, Tick};

/// A [`Tick`] whose texts are borrowed from a record or a batch. The fields are the tick's.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "each field is documented where `Tick` defines it"
)]
pub struct TickView<'a> {
    pub symbol: Cow<'a, str>,
    pub venue: Option<Cow<'a, str>>,
    pub source: Cow<'a, str>,
    pub kind: Kind,
    pub run: Cow<'a, str>,
    pub seq: u64,
    pub source_seq: Option<u64>,
    pub ts_event_ns: i64,
    pub ts_recv_ns: Option<i64>,
    pub ts_ingest_ns: Option<i64>,
    pub trade_date: Date,
    pub session: Option<Session>,
    pub currency: Option<Cow<'a, str>>,
    pub price: Option<Price>,
    pub size: Option<Size>,
    pub side: Option<Side>,
    pub trade_id: Option<Cow<'a, str>>,
    pub bid_price: Option<Price>,
    pub bid_size: Option<Size>,
    pub ask_price: Option<Price>,
    pub ask_size: Option<Size>,
    pub open: Option<Price>,
    pub high: Option<Price>,
    pub low: Option<Price>,
    pub close: Option<Price>,
    pub adj_close: Option<Price>,
    pub volume: Option<Size>,
    pub status: Option<Cow<'a, str>>,
    pub conditions: Option<Cow<'a, str>>,
    pub flags: Option<i32>,
}

impl TickView<'_> {
    /// A view with nothing in it, for a decoder to fill.
    pub(crate) fn blank() -> Self {
        TickView {
            symbol: Cow::Borrowed(""),
            venue: None,
            source: Cow::Borrowed(""),
            kind: Kind::Status,
            run: Cow::Borrowed(""),
            seq: 0,
            source_seq: None,
            ts_event_ns: 0,
            ts_recv_ns: None,
            ts_ingest_ns: None,
            trade_date: Date::ZERO,
            session: None,
            currency: None,
            price: None,
            size: None,
            side: None,
            trade_id: None,
            bid_price: None,
            bid_size: None,
            ask_price: None,
            ask_size: None,
            open: None,
            high: None,
            low: None,
            close: None,
            adj_close: None,
            volume: None,
            status: None,
            conditions: None,
            flags: None,
        }
    }

    /// The tick, with texts of its own.
    pub fn to_tick(&self) -> Tick {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(Arc::from);
        Tick {
            symbol: Symbol::from_valid(&self.symbol),
            venue: owned(&self.venue),
            source: Arc::from(&*self.source),
            kind: self.kind,
            run: Arc::from(&*self.run),
            seq: self.seq,
            source_seq: self.source_seq,
            ts_event_ns: self.ts_event_ns,
            ts_recv_ns: self.ts_recv_ns,
            ts_ingest_ns: self.ts_ingest_ns,
            trade_date: self.trade_date,
            session: self.session,
            currency: owned(&self.currency),
            price: self.price,
            size: self.size,
            side: self.side,
            trade_id: owned(&self.trade_id),
            bid_price: self.bid_price,
            bid_size: self.bid_size,
            ask_price: self.ask_price,
            ask_size: self.ask_size,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            adj_close: self.adj_close,
            volume: self.volume,
            status: owned(&self.status),
            conditions: owned(&self.conditions),
            flags: self.flags,
        }
    }
}

impl<'a> From<&'a Tick> for TickView<'a> {
    fn from(tick: &'a Tick) -> Self {
        let borrowed = |text: &'a Option<Arc<str>>| text.as_deref().map(Cow::Borrowed);
        TickView {
            symbol: Cow::Borrowed(tick.symbol.as_str()),
            venue: borrowed(&tick.venue),
            source: Cow::Borrowed(&tick.source),
            kind: tick.kind,
            run: Cow::Borrowed(&tick.run),
            seq: tick.seq,
            source_seq: tick.source_seq,
            ts_event_ns: tick.ts_event_ns,
            ts_recv_ns: tick.ts_recv_ns,
            ts_ingest_ns: tick.ts_ingest_ns,
            trade_date: tick.trade_date,
            session: tick.session,
            currency: borrowed(&tick.currency),
            price: tick.price,
            size: tick.size,
            side: tick.side,
            trade_id: borrowed(&tick.trade_id),
            bid_price: tick.bid_price,
            bid_size: tick.bid_size,
            ask_price: tick.ask_price,
            ask_size: tick.ask_size,
            open: tick.open,
            high: tick.high,
            low: tick.low,
            close: tick.close,
            adj_close: tick.adj_close,
            volume: tick.volume,
            status: borrowed(&tick.status),
            conditions: borrowed(&tick.conditions),
            flags: tick.flags,
        }
    }
}
