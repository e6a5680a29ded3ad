//! What goes wrong, at the rate that was asked for; and what happens to companies.

use std::collections::{HashMap, HashSet};

use super::tests::{market, settings};
use super::*;
use crate::calendar::Calendar;
use crate::tick::{self, Kind, Price, Size};

const OPEN: &str = "2026-11-20T14:30:00Z";
const END: &str = "2026-11-20T15:30:00Z";

fn ticks(disorder: Disorder) -> Vec<Tick> {
    let settings = Settings {
        disorder,
        ..settings(&["AAPL", "XOM"], Calendar::Xnys, 60, OPEN)
    };
    market(&settings, END)
}

#[test]
fn late_ticks_come_at_their_rate_after_ticks_that_happened_later() {
    let late = Disorder {
        late: 0.02,
        corrections: 0.0,
    };
    let ticks = ticks(late);
    let mut newest: HashMap<&Symbol, i64> = HashMap::new();
    let (mut behind, mut delayed, mut longest) = (0.0, 0.0, 0);
    let (mut next, mut source) = (HashMap::new(), HashMap::new());
    for tick in &ticks {
        let seq = next.entry(&tick.symbol).or_insert(0);
        assert_eq!((tick.seq, tick.source_seq), (*seq, Some(*seq)));
        *seq += 1;
        source.insert(&tick.symbol, tick.source_seq);
        let newest = newest.entry(&tick.symbol).or_insert(i64::MIN);
        let is_behind = tick.ts_event_ns < *newest;
        *newest = tick.ts_event_ns.max(*newest);
        let delay = tick.ts_recv_ns.unwrap_or(0) - tick.ts_event_ns;
        let is_late = delay > 10_000_000;
        behind += f64::from(u8::from(is_behind));
        delayed += f64::from(u8::from(delay > 400_000));
        longest = longest.max(delay);
        if tick.kind == Kind::Trade && is_late {
            let conditions = tick.conditions.as_deref().unwrap_or("");
            assert!(conditions.ends_with(tick::OUT_OF_SEQUENCE), "{tick:?}");
            assert_eq!(tick.flags, Some(tick::flags_of(conditions)));
        }
        assert!((0..MINUTE).contains(&delay), "{tick:?}");
    }
    let count = ticks.len() as f64;
    assert!(count > 200_000.0);
    assert!(
        (0.019..0.021).contains(&(delayed / count)),
        "{delayed} of {count}"
    );
    assert!(
        (0.015..0.021).contains(&(behind / count)),
        "{behind} of {count}"
    );
    assert!(longest > 10 * SECOND, "{longest}");
    // The same ticks, in another order.
    let usual = |ticks: &[Tick]| {
        let mut all: Vec<_> = ticks
            .iter()
            .map(|tick| {
                (
                    tick.symbol.clone(),
                    tick.ts_event_ns,
                    tick.price.map(Price::steps),
                )
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(usual(&ticks), usual(&self::ticks(Disorder::default())));
}

#[test]
fn odd_lots_are_told_apart_and_are_no_last_price() {
    let (mut odd, mut trades) = (0.0, 0.0);
    // A lot of Apple, at 225 dollars, is 100 shares; one of Eli Lilly, at 800, is 40.
    let settings = settings(&["AAPL", "LLY"], Calendar::Xnys, 60, OPEN);
    for tick in market(&settings, END) {
        let lot = if &*tick.symbol == "LLY" { 40.0 } else { 100.0 };
        let size = tick.size.map_or(0.0, Size::to_f64);
        if tick.kind == Kind::Trade && tick.side.is_some() {
            let is_odd = tick.conditions.as_deref() == Some(tick::ODD_LOT);
            assert_eq!(is_odd, size < lot, "{tick:?}");
            let flags = is_odd.then_some(tick::NOT_LAST | tick::NOT_HIGH_LOW);
            assert_eq!(tick.flags, flags, "{tick:?}");
            odd += f64::from(u8::from(is_odd));
            trades += 1.0;
        }
        if size >= lot && tick.kind == Kind::Trade {
            assert!((size / lot).fract().abs() < 1e-9, "{tick:?}");
        }
    }
    assert!((0.48..0.52).contains(&(odd / trades)), "{odd} of {trades}");
    // Where shares trade by one there is no odd lot, and coins trade in any part.
    for (symbol, calendar) in [("BARC", Calendar::Xlon), ("BTC-USD", Calendar::AlwaysOpen)] {
        let settings = self::settings(&[symbol], calendar, 20, OPEN);
        let ticks = market(&settings, END);
        let plain = |tick: &Tick| tick.side.is_none() || tick.conditions.is_none();
        assert!(ticks.len() > 10_000 && ticks.iter().all(plain));
    }
}

#[test]
fn corrections_name_a_trade_that_was_told_and_not_yet_corrected() {
    let corrections = Disorder {
        late: 0.01,
        corrections: 0.01,
    };
    let ticks = ticks(corrections);
    let mut live: HashMap<(&Symbol, &str), (Option<Price>, Option<Size>)> = HashMap::new();
    let (mut trades, mut cancels, mut corrects) = (0.0, 0.0, 0.0);
    let mut seen = HashSet::new();
    for tick in &ticks {
        let name = (&tick.symbol, tick.trade_id.as_deref().unwrap_or(""));
        match tick.kind {
            Kind::Trade => {
                trades += 1.0;
                assert!(seen.insert(name), "a trade's name is its own: {tick:?}");
                live.insert(name, (tick.price, tick.size));
            }
            Kind::Correction => {
                let (price, size) = live.remove(&name).expect("a live trade");
                assert_eq!(tick.size, size);
                if tick.status.as_deref() == Some(tick::CANCEL) {
                    cancels += 1.0;
                    assert_eq!(tick.price, price);
                } else {
                    corrects += 1.0;
                    assert_eq!(tick.status.as_deref(), Some(tick::CORRECT));
                    assert_ne!(tick.price, price);
                }
            }
            _ => {}
        }
    }
    let share = (cancels + corrects) / trades;
    assert!((0.0085..0.0115).contains(&share), "{share}");
    assert!((0.55..0.85).contains(&(cancels / (cancels + corrects))));
}

#[test]
fn shares_that_are_none_are_refused_with_a_sentence() {
    let settings = Settings {
        disorder: Disorder {
            late: 0.6,
            corrections: 0.0,
        },
        ..settings(&["A"], Calendar::Xnys, 20, OPEN)
    };
    assert_eq!(
        Simulator::new(settings)
            .err()
            .map(|e| e.to_string())
            .as_deref(),
        Some("the market's share of late ticks must be from 0 to 0.5")
    );
}

#[test]
fn dividends_come_before_the_open_and_the_price_opens_lower_by_them() {
    let names: Vec<String> = (0..40).map(|index| format!("S{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let settings = settings(&names, Calendar::Xnys, 4, "2026-03-02T00:00:00Z");
    let until = "2026-06-01T00:00:00Z";
    let plain = Settings {
        model: Model {
            corporate_actions: false,
            ..Model::default()
        },
        ..settings.clone()
    };
    let (with, without) = (market(&settings, until), market(&plain, until));
    let paid: Vec<_> = with
        .iter()
        .filter(|tick| tick.kind == Kind::CorporateAction)
        .collect();
    let dividends = paid
        .iter()
        .filter(|tick| tick.status.as_deref() == Some(tick::DIVIDEND));
    assert!((18..32).contains(&dividends.count()), "{}", paid.len());
    for tick in paid {
        let session = Calendar::Xnys.session(tick.trade_date).expect("a session");
        assert_eq!(tick.ts_event_ns, session.open_ns);
        // The opening print of that date, with and without: the first action of a symbol.
        let print = |ticks: &[Tick]| {
            let found = ticks.iter().find(|other| {
                other.symbol == tick.symbol
                    && other.trade_date == tick.trade_date
                    && other.conditions.as_deref() == Some(tick::OPENING_PRINT)
            });
            found
                .and_then(|print| print.price)
                .map_or(0.0, Price::to_f64)
        };
        if let Some(amount) = tick.price {
            let fall = print(&without) - print(&with);
            assert!((fall - amount.to_f64()).abs() < 0.03, "{fall} {tick:?}");
        }
    }
}
