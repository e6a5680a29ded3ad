use std::collections::HashMap;

use super::*;
use crate::calendar::Calendar;
use crate::tick::{self, Kind, Price, Side, Size};

const RUN: &str = "r1";

pub(super) fn ns(text: &str) -> i64 {
    let instant: jiff::Timestamp = text.parse().expect("an instant");
    i64::try_from(instant.as_nanosecond()).expect("within 64 bits")
}

pub(super) fn settings(symbols: &[&str], calendar: Calendar, rate: u64, start: &str) -> Settings {
    Settings {
        symbols: symbols
            .iter()
            .map(|text| Symbol::new(text).expect("a symbol"))
            .collect(),
        calendar,
        seed: 42,
        rate: Rate::Total(rate),
        start_ns: ns(start),
        run: RUN.into(),
        universe: Vec::new(),
        model: Model::default(),
        scenarios: Vec::new(),
        disorder: Disorder::default(),
    }
}

pub(super) fn ticks_until(simulator: &mut Simulator, until_ns: i64) -> Vec<Tick> {
    let mut ticks = Vec::new();
    simulator.emit(until_ns, &mut |tick| ticks.push(tick.clone()));
    ticks
}

pub(super) fn market(settings: &Settings, until: &str) -> Vec<Tick> {
    let mut simulator = Simulator::new(settings.clone()).expect("a market");
    ticks_until(&mut simulator, ns(until))
}

/// What the rules remember of a symbol.
struct Last {
    seq: u64,
    ts_event_ns: i64,
    quote: Option<(Price, Price)>,
}

fn keep(last: &mut HashMap<Symbol, Last>, tick: &Tick, quote: Option<(Price, Price)>) {
    let now = Last {
        seq: tick.seq,
        ts_event_ns: tick.ts_event_ns,
        quote,
    };
    last.insert(tick.symbol.clone(), now);
}

/// Every rule that one tick, or one symbol's ticks in their order, must keep.
pub(super) fn assert_integrity(ticks: &[Tick]) {
    let cent = 10_000_000;
    let first_minute = ticks.first().map(|tick| tick.ts_event_ns / MINUTE);
    let mut last: HashMap<Symbol, Last> = HashMap::new();
    assert!(ticks.is_sorted_by_key(|tick| tick.ts_event_ns));
    for tick in ticks {
        let before = last.get(&tick.symbol);
        assert_eq!(
            tick.seq,
            before.map_or(0, |before| before.seq + 1),
            "{tick:?}"
        );
        assert!(
            before.is_none_or(|before| before.ts_event_ns <= tick.ts_event_ns),
            "{tick:?}"
        );
        assert!(
            tick.ts_recv_ns.is_some_and(|recv| recv >= tick.ts_event_ns),
            "{tick:?}"
        );
        assert_eq!(tick.ts_ingest_ns, None);
        assert_eq!((&*tick.source, &*tick.run), (tick::SIMULATED, RUN));
        let mut quote = before.and_then(|before| before.quote);
        let on_grid = |price: Price| price.steps() > 0 && price.steps() % cent == 0;
        match tick.kind {
            Kind::Quote => {
                let (bid, ask) = (
                    tick.bid_price.expect("a bid"),
                    tick.ask_price.expect("an ask"),
                );
                assert!(bid < ask && on_grid(bid) && on_grid(ask), "{tick:?}");
                assert!(tick.bid_size > Some(Size::ZERO) && tick.ask_size > Some(Size::ZERO));
                quote = Some((bid, ask));
            }
            Kind::Trade => {
                let price = tick.price.expect("a price");
                if tick.side.is_none() {
                    assert!(on_grid(price) && tick.size > Some(Size::ZERO), "{tick:?}");
                    keep(&mut last, tick, quote);
                    continue;
                }
                // A market that begins within a minute may begin with a trade.
                let first = first_minute == Some(tick.ts_event_ns / MINUTE);
                assert!(quote.is_some() || first, "{tick:?}");
                let (bid, ask) = quote.unwrap_or((Price::ZERO, Price::MAX));
                assert!(bid <= price && price <= ask && on_grid(price), "{tick:?}");
                assert!(tick.size > Some(Size::ZERO) && tick.trade_id.is_some());
                match tick.side.expect("a side") {
                    Side::Buy => assert!(price > bid, "{tick:?}"),
                    Side::Sell => assert!(price < ask, "{tick:?}"),
                }
            }
            Kind::Auction => {
                assert!(tick.price.is_some_and(on_grid), "{tick:?}");
                assert!(tick.size > Some(Size::ZERO) && tick.status.is_some());
            }
            _ => assert!(
                matches!(tick.kind, Kind::Status | Kind::CorporateAction) && tick.status.is_some(),
                "{tick:?}"
            ),
        }
        keep(&mut last, tick, quote);
    }
}

#[test]
fn a_session_opens_trades_closes_and_is_silent_until_the_next() {
    let settings = settings(
        &["AAPL", "MSFT"],
        Calendar::Xnys,
        20,
        "2026-11-25T00:00:00Z",
    );
    let ticks = market(&settings, "2026-11-28T00:00:00Z");
    assert_integrity(&ticks);
    // Wednesday whole, Thanksgiving not at all, Friday until 13:00.
    let sessions = [
        (
            "2026-11-25",
            ns("2026-11-25T14:30:00Z"),
            ns("2026-11-25T21:00:00Z"),
        ),
        (
            "2026-11-27",
            ns("2026-11-27T14:30:00Z"),
            ns("2026-11-27T18:00:00Z"),
        ),
    ];
    let mut rest = ticks.as_slice();
    for (date, open_ns, close_ns) in sessions {
        let date: jiff::civil::Date = date.parse().expect("a date");
        let count = rest
            .iter()
            .take_while(|tick| tick.trade_date == date)
            .count();
        let (session, later) = rest.split_at(count);
        rest = later;
        let status = |tick: &Tick| {
            (
                tick.kind,
                tick.ts_event_ns,
                tick.status.as_deref() == Some("open"),
            )
        };
        // Per symbol the state, the auction and its print, in this order at the open, and at the
        // close the auction first.
        let print = |tick: &Tick, ns, code| {
            (tick.kind, tick.ts_event_ns, tick.conditions.as_deref())
                == (Kind::Trade, ns, Some(code))
        };
        let auction = |tick: &Tick, ns, word| {
            (
                tick.kind,
                tick.ts_event_ns,
                tick.status.as_deref(),
                tick.flags,
            ) == (Kind::Auction, ns, Some(word), None)
        };
        for all in session[..6].chunks(3) {
            assert_eq!(status(&all[0]), (Kind::Status, open_ns, true));
            assert!(auction(&all[1], open_ns, "opening"), "{:?}", all[1]);
            assert!(print(&all[2], open_ns, "O"), "{:?}", all[2]);
            assert_eq!((all[1].price, all[1].size), (all[2].price, all[2].size));
        }
        let (body, closes) = session[6..].split_at(count - 12);
        for all in closes.chunks(3) {
            assert!(auction(&all[0], close_ns, "closing"), "{:?}", all[0]);
            assert!(print(&all[1], close_ns, "6"), "{:?}", all[1]);
            assert_eq!(status(&all[2]), (Kind::Status, close_ns, false));
        }
        // In the last ten minutes, each minute what the closing auction would be.
        let (indicated, body): (Vec<&Tick>, Vec<&Tick>) =
            body.iter().partition(|tick| tick.kind == Kind::Auction);
        assert_eq!(indicated.len(), 20);
        assert!(indicated.iter().all(|tick| {
            tick.flags == Some(tick::INDICATIVE) && close_ns - tick.ts_event_ns <= 10 * MINUTE
        }));
        let sizes: Vec<_> = indicated.iter().step_by(2).map(|tick| tick.size).collect();
        assert!(sizes.is_sorted(), "{sizes:?}");
        assert!(body.iter().all(|tick| {
            tick.kind != Kind::Status && open_ns < tick.ts_event_ns && tick.ts_event_ns < close_ns
        }));
    }
    assert!(rest.is_empty());
}

#[test]
fn nothing_trades_over_lunch() {
    let settings = settings(&["A", "B"], Calendar::Xtks, 5, "2026-11-19T15:00:00Z");
    let ticks = market(&settings, "2026-11-20T15:00:00Z");
    // 11:30 and 12:30 in Tokyo.
    let (from, to) = (ns("2026-11-20T02:30:00Z"), ns("2026-11-20T03:30:00Z"));
    assert!(ticks.iter().any(|tick| tick.ts_event_ns < from));
    assert!(ticks.iter().any(|tick| tick.ts_event_ns >= to));
    assert!(
        ticks
            .iter()
            .all(|tick| !(from..to).contains(&tick.ts_event_ns))
    );

    // One that begins over lunch begins after it, with the same ticks.
    let mut late = settings.clone();
    late.start_ns = ns("2026-11-20T03:00:00Z");
    let first = market(&late, "2026-11-20T15:00:00Z");
    assert!(first.iter().all(|tick| tick.ts_event_ns >= to));
    assert!(!first.is_empty());
}

#[test]
fn the_rate_that_is_asked_for_is_the_mean_over_sessions() {
    // Seeds, not one long market: volatility takes a month to forget itself.
    let mut count = 0;
    for seed in 0..60 {
        let settings = Settings {
            seed,
            ..settings(&["AAPL", "XOM"], Calendar::Xnys, 5, "2026-11-20T00:00:00Z")
        };
        count += market(&settings, "2026-11-21T00:00:00Z").len();
    }
    let rate = count as f64 / 60.0 / 23_400.0;
    assert!((rate - 5.0).abs() < 0.6, "{rate} ticks a second");
}

#[test]
fn the_first_symbols_are_the_most_active() {
    let settings = settings(
        &["A", "B", "C", "D"],
        Calendar::AlwaysOpen,
        40,
        "2026-11-22T12:00:00Z",
    );
    let mut counts = [0.0_f64; 4];
    for seed in 0..40 {
        let settings = Settings {
            seed,
            ..settings.clone()
        };
        for tick in market(&settings, "2026-11-22T12:10:00Z") {
            counts[usize::from(tick.symbol.as_bytes()[0] - b'A')] += 1.0;
        }
    }
    for (rank, count) in counts.iter().enumerate() {
        let share = count / counts[0] * (rank + 1) as f64;
        assert!((0.75..1.3).contains(&share), "{counts:?}");
    }
}

#[test]
fn a_market_that_never_closes_has_no_status_and_no_pause() {
    let settings = settings(
        &["BTC-USD"],
        Calendar::AlwaysOpen,
        10,
        "2026-11-21T23:00:00Z",
    );
    let ticks = market(&settings, "2026-11-22T01:00:00Z");
    assert_integrity(&ticks);
    assert!(ticks.iter().all(|tick| tick.kind != Kind::Status));
    let gap = ticks
        .windows(2)
        .map(|pair| pair[1].ts_event_ns - pair[0].ts_event_ns)
        .max();
    assert!(gap.is_some_and(|gap| gap < 10 * SECOND), "{gap:?}");
    let dates: Vec<_> = ticks
        .chunk_by(|a, b| a.trade_date == b.trade_date)
        .collect();
    assert_eq!(dates.len(), 2);
}

#[test]
fn three_of_ten_ticks_are_trades() {
    let settings = settings(
        &["A", "B", "C"],
        Calendar::AlwaysOpen,
        100,
        "2026-11-22T00:00:00Z",
    );
    let ticks = market(&settings, "2026-11-22T00:10:00Z");
    let trades = ticks.iter().filter(|tick| tick.kind == Kind::Trade).count();
    let share = trades as f64 / ticks.len() as f64;
    assert!((share - 0.3).abs() < 0.01, "{share}");
}

#[test]
fn volatility_is_plausible() {
    let symbols: Vec<String> = (0..50).map(|index| format!("S{index}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let settings = settings(&symbols, Calendar::AlwaysOpen, 50, "2026-11-22T00:00:00Z");
    let ticks = market(&settings, "2026-11-22T06:00:00Z");
    let mut mids: HashMap<&Symbol, Vec<f64>> = HashMap::new();
    for tick in ticks.iter().filter(|tick| tick.kind == Kind::Quote) {
        let (bid, ask) = (
            tick.bid_price.expect("a bid"),
            tick.ask_price.expect("an ask"),
        );
        mids.entry(&tick.symbol)
            .or_default()
            .push((bid.to_f64() + ask.to_f64()) / 2.0);
    }
    // Root mean square of a quarter day's log return: √(E σ² / 4), σ uniform on 1.1 %–2.1 %; all
    // of them together are calmer or wilder than that, by e^H.
    let squares = mids
        .values()
        .map(|mids| (mids[mids.len() - 1] / mids[0]).ln().powi(2));
    let rms = (squares.sum::<f64>() / 50.0).sqrt();
    assert!((0.002..0.03).contains(&rms), "{rms}");
}

#[test]
fn another_symbol_changes_no_tick() {
    let universe = settings(
        &["MSFT", "AAPL", "NVDA", "XOM"],
        Calendar::Xnys,
        60,
        "2026-11-20T20:50:00Z",
    );
    let apple = |symbols: &[&str]| {
        let settings = Settings {
            symbols: symbols
                .iter()
                .map(|text| Symbol::new(text).expect("a symbol"))
                .collect(),
            universe: universe.symbols.clone(),
            ..universe.clone()
        };
        let mut ticks = market(&settings, "2026-11-23T14:40:00Z");
        ticks.retain(|tick| &*tick.symbol == "AAPL");
        ticks
    };
    let alone = apple(&["AAPL"]);
    assert!(alone.len() > 5_000, "{}", alone.len());
    assert_eq!(alone, apple(&["NVDA", "AAPL"]));
    assert_eq!(alone, apple(&["MSFT", "AAPL", "NVDA", "XOM"]));
}

#[test]
fn the_rate_changes_no_grid() {
    // Ticks differ with the rate; the mids that they quote must agree.
    let mids = |rate| {
        let settings = settings(&["AAPL"], Calendar::Xnys, rate, "2026-11-20T14:30:00Z");
        let mut simulator = Simulator::new(settings).expect("a market");
        simulator.emit(ns("2026-11-20T18:00:00Z"), &mut |_| ());
        simulator.lanes[0].state().log_mid
    };
    assert_eq!(mids(1), mids(50));
}

#[test]
fn prices_that_cross_the_ladders_bands_stay_on_it() {
    let names: Vec<String> = (0..12).map(|index| format!("S{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let settings = Settings {
        // A share that doubles or halves every day, so that some are soon below a dollar.
        model: Model {
            volatility: (1.0, 1.0),
            ..Model::default()
        },
        ..settings(&names, Calendar::Xnys, 5, "2026-11-02T14:30:00Z")
    };
    let ladder = ladder::Ladder::of(Some("XNYS"));
    let (mut below, mut above, mut crossing) = (0, 0, 0);
    for tick in market(&settings, "2026-11-17T00:00:00Z") {
        let prices = [tick.price, tick.bid_price, tick.ask_price];
        for price in prices.into_iter().flatten().map(Price::steps) {
            assert!(price > 0 && price % ladder.band(price).2 == 0, "{tick:?}");
        }
        if let (Some(bid), Some(ask)) = (tick.bid_price, tick.ask_price) {
            assert!(bid < ask, "{tick:?}");
            let dollar = Price::from_steps(1_000_000_000).expect("a price");
            below += u32::from(ask < dollar);
            above += u32::from(bid >= dollar);
            crossing += u32::from(bid < dollar && ask >= dollar);
        }
    }
    assert!(
        below > 300 && above > 1_000 && crossing > 10,
        "{below} {above} {crossing}"
    );
}

#[test]
fn other_seeds_make_other_markets() {
    let one = settings(&["A"], Calendar::AlwaysOpen, 10, "2026-11-22T00:00:00Z");
    let other = Settings {
        seed: 43,
        ..one.clone()
    };
    let until = "2026-11-22T00:01:00Z";
    assert_ne!(market(&one, until), market(&other, until));
}

#[test]
fn the_market_is_the_same_on_every_machine_and_in_every_build() {
    let settings = settings(&["AAPL", "XYZ"], Calendar::Xnys, 50, "2026-11-20T20:50:00Z");
    let mut text = Vec::new();
    for tick in market(&settings, "2026-11-23T14:40:00Z") {
        crate::json::encode(&tick, &mut text);
        text.push(b'\n');
    }
    // FNV-1a, 64 bits, of the ticks' JSON lines. It changes only with the model's version.
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    assert_eq!(hash, 0x402e_e4c0_59dc_85b2, "{hash:#x}");
}

#[test]
fn starting_within_a_minute_gives_what_comes_after() {
    let whole = settings(
        &["A", "B"],
        Calendar::AlwaysOpen,
        20,
        "2026-11-22T00:00:00Z",
    );
    let late = Settings {
        start_ns: ns("2026-11-22T00:00:30.5Z"),
        ..whole.clone()
    };
    let until = "2026-11-22T00:02:00Z";
    let mut expected = market(&whole, until);
    expected.retain(|tick| tick.ts_event_ns >= late.start_ns);
    let ticks = market(&late, until);
    assert_eq!(ticks.len(), expected.len());
    for (tick, expected) in ticks.iter().zip(&expected) {
        assert_eq!(
            (tick.ts_event_ns, tick.price),
            (expected.ts_event_ns, expected.price)
        );
    }
    assert_eq!(
        ticks
            .iter()
            .find(|tick| &*tick.symbol == "A")
            .map(|tick| tick.seq),
        Some(0)
    );
}
