//! Arbitrary ticks, for property tests.

use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;

use crate::date;
use crate::tick::{Kind, Price, Session, Side, Size, Symbol, Tick};

fn text() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,12}|[\\x00-\\x7f]{0,12}|[A-Z0-9]{1,40}".prop_map(Arc::from)
}

fn price() -> impl Strategy<Value = Price> {
    prop_oneof![
        (-Price::MAX.steps()..=Price::MAX.steps()),
        (0_i64..100_000_000).prop_map(|cents| cents * 10_000_000),
    ]
    .prop_map(|steps| Price::from_steps(steps).expect("within the range"))
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        (-Size::MAX.steps()..=Size::MAX.steps()),
        (0_i128..10_000).prop_map(|shares| shares * Size::ONE.steps()),
    ]
    .prop_map(|steps| Size::from_steps(steps).expect("within the range"))
}

/// Any tick at all, whatever its kind would have.
pub(crate) fn tick() -> impl Strategy<Value = Tick> {
    let head = (
        "[A-Z]{1,5}|[A-Z.^=-]{1,64}|é[a-z]日本",
        option::of(text()),
        text(),
        prop::sample::select(Kind::ALL),
        text(),
        0..=i64::MAX as u64,
        option::of(0..=i64::MAX as u64),
    );
    let times = (
        any::<i64>(),
        option::of(any::<i64>()),
        option::of(any::<i64>()),
        -719_528_i32..2_932_896,
        option::of(prop::sample::select(Session::ALL)),
        option::of(text()),
    );
    let trade = (
        option::of(price()),
        option::of(size()),
        option::of(prop::sample::select(Side::ALL)),
        option::of(text()),
    );
    let quote = (
        option::of(price()),
        option::of(size()),
        option::of(price()),
        option::of(size()),
    );
    let bar = (
        option::of(price()),
        option::of(price()),
        option::of(price()),
        option::of(price()),
        option::of(price()),
        option::of(size()),
    );
    let rest = (
        option::of(text()),
        option::of(text()),
        option::of(any::<i32>()),
    );
    (head, times, trade, quote, bar, rest).prop_map(|(head, times, trade, quote, bar, rest)| Tick {
        symbol: Symbol::new(&head.0).expect("a symbol"),
        venue: head.1,
        source: head.2,
        kind: head.3,
        run: head.4,
        seq: head.5,
        source_seq: head.6,
        ts_event_ns: times.0,
        ts_recv_ns: times.1,
        ts_ingest_ns: times.2,
        trade_date: date::from_epoch_days(times.3).expect("within the range"),
        session: times.4,
        currency: times.5,
        price: trade.0,
        size: trade.1,
        side: trade.2,
        trade_id: trade.3,
        bid_price: quote.0,
        bid_size: quote.1,
        ask_price: quote.2,
        ask_size: quote.3,
        open: bar.0,
        high: bar.1,
        low: bar.2,
        close: bar.3,
        adj_close: bar.4,
        volume: bar.5,
        status: rest.0,
        conditions: rest.1,
        flags: rest.2,
    })
}
