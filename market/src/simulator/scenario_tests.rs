//! What each scenario does to a market, in one number.

use std::collections::HashMap;

use super::*;
use crate::calendar::Calendar;
use crate::tick::Kind;

fn ns(text: &str) -> i64 {
    let instant: jiff::Timestamp = text.parse().expect("an instant");
    i64::try_from(instant.as_nanosecond()).expect("within 64 bits")
}

const NAMES: [&str; 8] = ["NVDA", "AAPL", "XOM", "CVX", "JPM", "BAC", "JNJ", "PFE"];
const OPEN: &str = "2026-11-20T14:30:00Z";
const NOON: &str = "2026-11-20T17:00:00Z";

fn scenario(kind: ScenarioKind, from: &str, until: &str) -> Scenario {
    Scenario {
        kind,
        from_ns: ns(from),
        until_ns: ns(until),
        symbol: None,
    }
}

fn ticks(seed: u64, scenarios: &[Scenario], until: &str) -> Vec<Tick> {
    let settings = Settings {
        symbols: NAMES
            .map(|name| Symbol::new(name).expect("a symbol"))
            .to_vec(),
        universe: Vec::new(),
        calendar: Calendar::Xnys,
        seed,
        rate: Rate::Total(40),
        start_ns: ns(OPEN),
        run: "r".into(),
        model: Model::default(),
        scenarios: scenarios.to_vec(),
        disorder: Disorder::default(),
    };
    let mut ticks = Vec::new();
    Simulator::new(settings)
        .expect("a market")
        .emit(ns(until), &mut |tick| ticks.push(tick.clone()));
    ticks
}

/// Log mids of each symbol at the end of each minute.
fn mids(ticks: &[Tick]) -> HashMap<&Symbol, Vec<f64>> {
    let mut mids: HashMap<&Symbol, Vec<f64>> = HashMap::new();
    for tick in ticks {
        if let (Some(bid), Some(ask)) = (tick.bid_price, tick.ask_price) {
            let minute = ((tick.ts_event_ns - ns(OPEN)) / MINUTE) as usize;
            let mids = mids.entry(&tick.symbol).or_default();
            let mid = ((bid.to_f64() + ask.to_f64()) / 2.0).ln();
            mids.resize(minute + 1, mid);
            mids[minute] = mid;
        }
    }
    mids
}

/// Root mean square of one-minute returns over all symbols, and their mean product over pairs
/// relative to it: volatility and correlation.
fn moments(ticks: &[Tick]) -> (f64, f64) {
    let returns: Vec<Vec<f64>> = mids(ticks)
        .into_values()
        .map(|mids| {
            mids.windows(6)
                .step_by(5)
                .map(|window| window[5] - window[0])
                .collect()
        })
        .collect();
    let norm = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let square: f64 = returns.iter().map(|a| norm(a, a)).sum::<f64>() / returns.len() as f64;
    let mut pairs = Vec::new();
    for (at, a) in returns.iter().enumerate() {
        pairs.extend(
            returns[..at]
                .iter()
                .map(|b| norm(a, b) / (norm(a, a) * norm(b, b)).sqrt()),
        );
    }
    let correlation = pairs.iter().sum::<f64>() / pairs.len() as f64;
    ((square / returns[0].len() as f64).sqrt(), correlation)
}

#[test]
fn a_crisis_has_three_times_the_volatility_and_more_correlation() {
    let end = "2026-11-20T18:30:00Z";
    let (mut ratio, mut gain) = (0.0, 0.0);
    for seed in 0..12 {
        let (usual, together) = moments(&ticks(seed, &[], end));
        let crisis = scenario(ScenarioKind::Crisis, OPEN, end);
        let (wild, closer) = moments(&ticks(seed, &[crisis], end));
        ratio += wild / usual / 12.0;
        gain += (closer - together) / 12.0;
    }
    assert!((2.6..3.4).contains(&ratio), "{ratio}");
    assert!((0.12..0.28).contains(&gain), "{gain}");
}

#[test]
fn a_calm_market_has_half_the_volatility_and_fewer_ticks() {
    let calm = scenario(ScenarioKind::Calm, OPEN, NOON);
    let (usual, quiet) = (ticks(3, &[], NOON), ticks(3, &[calm], NOON));
    let ratio = moments(&quiet).0 / moments(&usual).0;
    assert!((0.4..0.6).contains(&ratio), "{ratio}");
    let fewer = quiet.len() as f64 / usual.len() as f64;
    assert!((0.6..0.8).contains(&fewer), "{fewer}");
}

#[test]
fn a_flash_crash_falls_eight_per_cent_halts_once_and_regains_half() {
    let crash = scenario(ScenarioKind::FlashCrash, "2026-11-20T16:00:00Z", NOON);
    let (mut fall, mut regained) = (0.0, 0.0);
    for seed in 0..8 {
        let ticks = ticks(seed, std::slice::from_ref(&crash), NOON);
        let mids = mids(&ticks);
        for mids in mids.values() {
            fall += (mids[94] - mids[89]) / 64.0;
            regained += (mids[114] - mids[94]) / 64.0;
        }
        let halts = ticks
            .iter()
            .filter(|tick| tick.status.as_deref() == Some("halt"));
        assert_eq!(halts.count(), NAMES.len());
    }
    assert!((-0.095..-0.07).contains(&fall), "{fall}");
    assert!(regained > 0.5 * -fall, "{regained} of {fall}");
}

#[test]
fn nothing_trades_in_a_halt_and_a_print_ends_it() {
    let (from, until) = ("2026-11-20T15:00:00Z", "2026-11-20T15:20:00Z");
    let halt = Scenario {
        symbol: Some(Symbol::new("AAPL").expect("a symbol")),
        ..scenario(ScenarioKind::Halt, from, until)
    };
    let ticks = ticks(1, &[halt], NOON);
    let within = |tick: &&Tick| (ns(from)..=ns(until)).contains(&tick.ts_event_ns);
    let (apple, others): (Vec<&Tick>, Vec<&Tick>) = ticks
        .iter()
        .filter(within)
        .partition(|tick| &*tick.symbol == "AAPL");
    let story: Vec<_> = apple
        .iter()
        .map(|tick| (tick.status.as_deref(), tick.conditions.as_deref()))
        .collect();
    assert_eq!(
        story,
        [
            (Some("halt"), None),
            (Some("resume"), None),
            (Some("reopening"), None),
            (None, Some("5"))
        ]
    );
    assert!(others.len() > 10_000, "{}", others.len());
    let next = ticks
        .iter()
        .find(|tick| &*tick.symbol == "AAPL" && tick.ts_event_ns > ns(until));
    assert_eq!(next.map(|tick| tick.kind), Some(Kind::Quote));
}

#[test]
fn wild_symbols_pause_by_their_tier_for_five_minutes_or_to_the_close() {
    let close = "2026-11-20T21:00:00Z";
    let (mut known, mut others, mut to_the_close) = (0, 0, 0);
    for seed in 0..6 {
        let settings = Settings {
            symbols: ["NVDA", "S1", "AAPL", "S2"]
                .map(|name| Symbol::new(name).expect("a symbol"))
                .to_vec(),
            rate: Rate::Total(4),
            // Five minutes move such a share by four per cent in the mean.
            model: Model {
                volatility: (0.35, 0.35),
                ..Model::default()
            },
            seed,
            ..super::tests::settings(&["A"], Calendar::Xnys, 4, OPEN)
        };
        let mut halts: HashMap<Symbol, i64> = HashMap::new();
        let mut simulator = Simulator::new(settings).expect("a market");
        for tick in super::tests::ticks_until(&mut simulator, ns(close) + 1) {
            let at = tick.ts_event_ns;
            match (tick.kind, tick.status.as_deref()) {
                (Kind::Status, Some("halt")) => {
                    assert_eq!(halts.insert(tick.symbol.clone(), at), None, "{tick:?}");
                    if tick.symbol.starts_with('S') {
                        others += 1;
                    } else {
                        known += 1;
                    }
                }
                (Kind::Status, Some("resume")) => {
                    let since = halts.remove(&tick.symbol).expect("a halt");
                    let lasted = at - since == 5 * MINUTE;
                    assert!(lasted || at == ns(close) && at - since < 5 * MINUTE);
                    to_the_close += u32::from(at == ns(close));
                }
                (Kind::Quote | Kind::Trade | Kind::Auction, _) => {
                    assert!(!halts.contains_key(&tick.symbol), "{tick:?}");
                }
                _ => {}
            }
        }
        assert!(halts.is_empty(), "the close ends every pause: {halts:?}");
    }
    assert!(known > 2 * others && others > 10, "{known} {others}");
    assert!(to_the_close > 0);
}

#[test]
fn an_opening_burst_has_five_times_the_ticks_for_ten_minutes() {
    let burst = scenario(ScenarioKind::OpeningBurst, OPEN, NOON);
    let (usual, more) = (ticks(2, &[], NOON), ticks(2, &[burst], NOON));
    let count = |ticks: &[Tick], from: i64, until: i64| {
        let range = ns(OPEN) + from * MINUTE..ns(OPEN) + until * MINUTE;
        ticks
            .iter()
            .filter(|tick| range.contains(&tick.ts_event_ns))
            .count() as f64
    };
    let ratio = count(&more, 0, 10) / count(&usual, 0, 10);
    assert!((4.0..6.0).contains(&ratio), "{ratio}");
    let after = count(&more, 30, 60) / count(&usual, 30, 60);
    assert!((0.9..1.1).contains(&after), "{after}");
}

#[test]
fn a_hot_symbol_has_twenty_times_its_ticks_and_the_others_keep_theirs() {
    let hot = Scenario {
        symbol: Some(Symbol::new("PFE").expect("a symbol")),
        ..scenario(ScenarioKind::HotSymbol, OPEN, NOON)
    };
    let (usual, heated) = (ticks(2, &[], NOON), ticks(2, &[hot], NOON));
    let of = |ticks: &[Tick], hot: bool| -> Vec<Tick> {
        let chosen = ticks.iter().filter(|tick| (&*tick.symbol == "PFE") == hot);
        chosen.cloned().collect()
    };
    let ratio = of(&heated, true).len() as f64 / of(&usual, true).len() as f64;
    assert!((16.0..24.0).contains(&ratio), "{ratio}");
    assert_eq!(of(&heated, false), of(&usual, false));
}

#[test]
fn a_feed_outage_leaves_a_hole_in_the_feeds_numbers_and_none_in_ours() {
    let (from, until) = ("2026-11-20T15:00:00Z", "2026-11-20T15:10:00Z");
    let outage = scenario(ScenarioKind::FeedOutage, from, until);
    let whole = ticks(4, &[], NOON);
    let ticks = ticks(4, &[outage], NOON);
    let lost = whole
        .iter()
        .filter(|tick| (ns(from)..ns(until)).contains(&tick.ts_event_ns));
    // One record of a symbol says what was lost.
    assert_eq!(ticks.len() + lost.count(), whole.len() + NAMES.len());
    for name in NAMES {
        let of: Vec<&Tick> = ticks.iter().filter(|tick| &*tick.symbol == name).collect();
        assert!(
            of.iter()
                .enumerate()
                .all(|(at, tick)| tick.seq == at as u64)
        );
        let holes: Vec<_> = of
            .iter()
            .filter(|tick| tick.kind != Kind::Gap)
            .zip(of.iter().filter(|tick| tick.kind != Kind::Gap).skip(1))
            .filter(|(one, next)| next.source_seq > one.source_seq.map(|seq| seq + 1))
            .map(|(one, next)| {
                let first = one.source_seq.map_or(0, |seq| seq + 1);
                (first, next.source_seq.unwrap_or(0) - first)
            })
            .collect();
        let gaps: Vec<_> = of
            .iter()
            .filter(|tick| tick.kind == Kind::Gap)
            .map(|tick| {
                let size = tick.size.map_or(0, |size| size.to_f64() as u64);
                (tick.source_seq.unwrap_or(0), size)
            })
            .collect();
        assert_eq!(holes.len(), 1, "{name}");
        assert_eq!(gaps, holes, "{name}");
    }
}

#[test]
fn a_duplicate_feed_gives_every_tick_twice_with_one_number() {
    let twice = scenario(ScenarioKind::DuplicateFeed, OPEN, NOON);
    let (whole, ticks) = (ticks(4, &[], NOON), ticks(4, &[twice], NOON));
    assert_eq!(ticks.len(), 2 * whole.len());
    let pairs = ticks.chunks(2).map(|pair| (&pair[0], &pair[1]));
    for (first, second) in pairs {
        assert_eq!(second.seq, first.seq + 1);
        assert!(second.ts_recv_ns > first.ts_recv_ns);
        let same = Tick {
            seq: first.seq,
            ts_recv_ns: first.ts_recv_ns,
            ..second.clone()
        };
        assert_eq!(same, *first);
    }
}

#[test]
fn a_slow_clock_receives_before_the_event() {
    let skew = scenario(ScenarioKind::ClockSkew, "2026-11-20T15:00:00Z", NOON);
    let early = ticks(4, &[skew], NOON)
        .iter()
        .filter(|tick| tick.ts_recv_ns < Some(tick.ts_event_ns))
        .map(|tick| tick.ts_event_ns >= ns("2026-11-20T15:00:00Z"))
        .fold((0, 0), |(right, wrong), good| {
            if good {
                (right + 1, wrong)
            } else {
                (right, wrong + 1)
            }
        });
    assert!(early.0 > 100_000 && early.1 == 0, "{early:?}");
}

#[test]
fn scenarios_go_on_after_a_restart() {
    let scenarios = vec![
        scenario(
            ScenarioKind::FeedOutage,
            "2026-11-20T14:31:20Z",
            "2026-11-20T14:31:40Z",
        ),
        scenario(
            ScenarioKind::DuplicateFeed,
            "2026-11-20T14:32:10Z",
            "2026-11-20T14:32:50Z",
        ),
        scenario(
            ScenarioKind::Halt,
            "2026-11-20T14:33:00Z",
            "2026-11-20T14:35:00Z",
        ),
    ];
    let end = "2026-11-20T14:37:00Z";
    let whole = ticks(9, &scenarios, end);
    let settings = Settings {
        symbols: NAMES
            .map(|name| Symbol::new(name).expect("a symbol"))
            .to_vec(),
        universe: Vec::new(),
        calendar: Calendar::Xnys,
        seed: 9,
        rate: Rate::Total(40),
        start_ns: ns(OPEN),
        run: "r".into(),
        model: Model::default(),
        scenarios,
        disorder: Disorder::default(),
    };
    let mut parts = Vec::new();
    let mut simulator = Simulator::new(settings.clone()).expect("a market");
    let mut until = ns(OPEN);
    while until < ns(end) {
        until = (until + 7_300_000_000).min(ns(end));
        simulator.emit(until, &mut |tick| parts.push(tick.clone()));
        simulator = Simulator::restore(settings.clone(), simulator.checkpoint()).expect("goes on");
    }
    assert_eq!(parts, whole);
}
