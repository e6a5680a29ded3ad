use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::calendar::Calendar;
use crate::tick::{Price, Side, Size};

const RUN: &str = "r1";

fn ns(text: &str) -> i64 {
    let instant: jiff::Timestamp = text.parse().expect("an instant");
    i64::try_from(instant.as_nanosecond()).expect("within 64 bits")
}

fn settings(symbols: &[&str], calendar: Calendar, rate: u64, start: &str) -> Settings {
    Settings {
        symbols: symbols
            .iter()
            .map(|text| Symbol::new(text).expect("a symbol"))
            .collect(),
        calendar,
        seed: 42,
        ticks_per_second: rate,
        start_ns: ns(start),
        run: RUN.into(),
        universe: Vec::new(),
        model: Model::default(),
        scenarios: Vec::new(),
    }
}

fn ticks_until(simulator: &mut Simulator, until_ns: i64) -> Vec<Tick> {
    let mut ticks = Vec::new();
    simulator.emit(until_ns, &mut |tick| ticks.push(tick.clone()));
    ticks
}

fn market(settings: &Settings, until: &str) -> Vec<Tick> {
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
fn assert_integrity(ticks: &[Tick]) {
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
                if tick.conditions.is_some() {
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
            _ => assert!(
                tick.kind == Kind::Status && tick.status.is_some(),
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
        // Per symbol the state and the auction's print, in this order at the open, and at the
        // close the other way round.
        let print = |tick: &Tick, ns, code| {
            (tick.kind, tick.ts_event_ns, tick.conditions.as_deref())
                == (Kind::Trade, ns, Some(code))
        };
        for pair in session[..4].chunks(2) {
            assert_eq!(status(&pair[0]), (Kind::Status, open_ns, true));
            assert!(print(&pair[1], open_ns, "O"), "{:?}", pair[1]);
        }
        let (body, closes) = session[4..].split_at(count - 8);
        for pair in closes.chunks(2) {
            assert!(print(&pair[0], close_ns, "6"), "{:?}", pair[0]);
            assert_eq!(status(&pair[1]), (Kind::Status, close_ns, false));
        }
        assert!(body.iter().all(|tick| {
            tick.kind != Kind::Status && open_ns < tick.ts_event_ns && tick.ts_event_ns < close_ns
        }));
    }
    assert!(rest.is_empty());
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
    assert_eq!(hash, 0x17c9_e27b_a740_1a95, "{hash:#x}");
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

#[test]
fn a_checkpoint_is_small_and_survives_json() {
    let symbols: Vec<String> = (0..1000).map(|index| format!("SYM{index}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let settings = settings(
        &symbols,
        Calendar::AlwaysOpen,
        10_000,
        "2026-11-22T00:00:00Z",
    );
    let mut simulator = Simulator::new(settings).expect("a market");
    ticks_until(&mut simulator, ns("2026-11-22T00:01:30Z"));
    let checkpoint = simulator.checkpoint();
    let json = serde_json::to_string(&checkpoint).expect("serializes");
    assert!(json.len() < 90_000, "{} bytes", json.len());
    assert_eq!(
        serde_json::from_str::<Checkpoint>(&json).expect("reads back"),
        checkpoint
    );
}

#[test]
fn a_symbol_that_comes_and_goes_keeps_its_seq() {
    let both = settings(
        &["A", "B"],
        Calendar::AlwaysOpen,
        20,
        "2026-11-22T00:00:00Z",
    );
    let alone = Settings {
        symbols: both.symbols[..1].to_vec(),
        ..both.clone()
    };
    let mut all = market(&both, "2026-11-22T00:01:30Z");
    let mut simulator = Simulator::new(both.clone()).expect("a market");
    ticks_until(&mut simulator, ns("2026-11-22T00:01:30Z"));
    for (settings, until) in [
        (&alone, "2026-11-22T00:02:10Z"),
        (&both, "2026-11-22T00:03:00Z"),
    ] {
        let checkpoint = simulator.checkpoint();
        simulator = Simulator::restore(settings.clone(), checkpoint).expect("goes on");
        all.extend(ticks_until(&mut simulator, ns(until)));
    }
    let mut next: HashMap<&str, u64> = HashMap::new();
    for tick in &all {
        let next = next.entry(&tick.symbol).or_default();
        assert_eq!(tick.seq, *next);
        *next += 1;
    }
    assert_eq!(simulator.checkpoint().next_seq("A"), next["A"]);
}

#[test]
fn settings_and_checkpoints_that_cannot_be_are_refused_with_a_sentence() {
    let good = settings(&["A", "B"], Calendar::Xnys, 20, "2026-11-20T14:30:00Z");
    let refusal = |settings: Settings| Simulator::new(settings).err().map(|e| e.to_string());
    assert_eq!(
        refusal(Settings {
            symbols: Vec::new(),
            ..good.clone()
        })
        .as_deref(),
        Some("a simulated market has 1 to 100000 symbols, not 0")
    );
    assert_eq!(
        refusal(Settings {
            ticks_per_second: 0,
            ..good.clone()
        })
        .as_deref(),
        Some("a simulated market has 1 to 100000000 ticks a second, not 0")
    );
    let twice = vec![good.symbols[0].clone(), good.symbols[0].clone()];
    assert_eq!(
        refusal(Settings {
            symbols: twice,
            ..good.clone()
        })
        .as_deref(),
        Some("symbol `A` appears twice; every symbol of a market is listed once")
    );
    let other = Symbol::new("C").expect("a symbol");
    assert_eq!(
        refusal(Settings {
            universe: vec![good.symbols[0].clone(), other.clone()],
            ..good.clone()
        })
        .as_deref(),
        Some("symbol `B` is not in the universe; list it there, or leave the universe empty")
    );
    let halt = |from_ns, until_ns, symbol| {
        refusal(Settings {
            scenarios: vec![Scenario {
                kind: ScenarioKind::Halt,
                from_ns,
                until_ns,
                symbol,
            }],
            ..good.clone()
        })
    };
    assert_eq!(
        halt(2, 1, None).as_deref(),
        Some("scenario halt ends before it begins; write an end after its beginning")
    );
    assert_eq!(
        halt(1, 2, Some(other)).as_deref(),
        Some(
            "scenario halt is about `C`, which is not in the market; list it, or leave the symbol \
             out"
        )
    );
    assert_eq!(
        refusal(Settings {
            model: Model {
                leverage: -2.0,
                ..Model::default()
            },
            ..good.clone()
        })
        .as_deref(),
        Some("the model's leverage must be from -1 to 1")
    );
    let checkpoint = Simulator::new(good.clone()).expect("a market").checkpoint();
    let refusal = |settings: Settings| {
        Simulator::restore(settings, checkpoint.clone())
            .err()
            .map(|e| e.to_string())
    };
    assert_eq!(
        refusal(Settings {
            seed: 1,
            ..good.clone()
        })
        .as_deref(),
        Some("the checkpoint is of seed 42 and the settings have 1; begin a new run")
    );
    assert_eq!(
        refusal(Settings {
            run: "r2".into(),
            ..good.clone()
        })
        .as_deref(),
        Some("the checkpoint is of run `r1` and the settings have `r2`")
    );
    assert_eq!(
        refusal(Settings {
            calendar: Calendar::AlwaysOpen,
            ..good.clone()
        })
        .as_deref(),
        Some("the checkpoint is of calendar XNYS and the settings have 24x7; begin a new run")
    );
    let json = serde_json::to_string(&checkpoint).expect("serializes");
    let (from, to) = (ns("2026-11-20T14:30:00Z"), ns("2026-11-21T12:00:00Z"));
    let from = format!("\"block_ns\":{from}");
    assert!(json.contains(&from));
    let damaged = json.replace(&from, &format!("\"block_ns\":{to}"));
    let damaged = serde_json::from_str(&damaged).expect("a checkpoint");
    assert_eq!(
        Simulator::restore(good, damaged)
            .err()
            .map(|e| e.to_string())
            .as_deref(),
        Some("the checkpoint is damaged: no minute of XNYS begins at 1795262400000000000 ns")
    );
}

#[test]
fn a_calendar_comes_to_its_end_quietly() {
    let settings = settings(&["A"], Calendar::AlwaysOpen, 1, "2199-12-31T23:59:00Z");
    let mut simulator = Simulator::new(settings.clone()).expect("a market");
    let ticks = ticks_until(&mut simulator, i64::MAX);
    assert!(
        ticks
            .iter()
            .all(|tick| tick.ts_event_ns < ns("2200-01-01T00:00:00Z"))
    );
    let mut again = Simulator::restore(settings, simulator.checkpoint()).expect("goes on");
    assert!(ticks_until(&mut again, i64::MAX).is_empty());
}

/// Instants from an hour before Friday's close to ten minutes after Monday's open.
fn instants() -> impl Strategy<Value = Vec<i64>> {
    let (start, close) = (ns("2026-11-20T20:57:00Z"), ns("2026-11-20T21:00:00Z"));
    let open = ns("2026-11-23T14:30:00Z");
    let instant = prop_oneof![
        4 => start..close,
        1 => Just(close),
        1 => Just(close + 1),
        1 => close..open,
        1 => Just(open),
        1 => Just(open + 1),
        4 => open..open + 3 * MINUTE,
        2 => (0_i64..3).prop_map(move |minute| open + minute * MINUTE),
    ];
    prop::collection::vec(instant, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn neither_steps_nor_restarts_change_the_market(
        mut stops in instants(),
        restarts in any::<u16>(),
        calendar in prop::sample::select(vec![Calendar::Xnys, Calendar::AlwaysOpen]),
        rate in prop::sample::select(vec![1_u64, 40, 600]),
    ) {
        let (start, end) = ("2026-11-20T20:57:10Z", ns("2026-11-23T14:33:00Z"));
        // The round-the-clock market is cut short, or it would be three days long.
        let end = if calendar == Calendar::Xnys { end } else { ns("2026-11-20T21:02:00Z") };
        let settings = settings(&["A", "B", "C"], calendar, rate, start);
        let mut whole = Simulator::new(settings.clone()).expect("a market");
        let expected = ticks_until(&mut whole, end);
        assert_integrity(&expected);

        stops.retain(|&stop| stop < end);
        stops.push(end);
        let mut simulator = Simulator::new(settings.clone()).expect("a market");
        let mut ticks = Vec::new();
        let mut last = settings.start_ns;
        for (index, &stop) in stops.iter().enumerate() {
            let part = ticks_until(&mut simulator, stop);
            let range = last..stop.max(last);
            prop_assert!(part.iter().all(|tick| range.contains(&tick.ts_event_ns)));
            last = last.max(stop);
            prop_assert_eq!(simulator.until_ns(), last);
            ticks.extend(part);
            if restarts >> (index % 16) & 1 == 1 {
                let json = serde_json::to_vec(&simulator.checkpoint()).expect("serializes");
                let checkpoint = serde_json::from_slice(&json).expect("reads back");
                simulator = Simulator::restore(settings.clone(), checkpoint).expect("goes on");
            }
        }
        prop_assert_eq!(ticks.len(), expected.len());
        prop_assert_eq!(ticks, expected);
        prop_assert_eq!(simulator.checkpoint(), whole.checkpoint());
    }
}
