//! A symbol's ticks are the same whatever is made beside it, in whatever steps, after whatever
//! restart.

use proptest::prelude::*;

use super::corporate;
use super::draws::Key;
use super::tests::{settings, ticks_until};
use super::*;
use crate::calendar::Calendar;
use crate::tick::Kind;

const CALENDARS: [Calendar; 6] = [
    Calendar::Xnys,
    Calendar::Xlon,
    Calendar::Xtks,
    Calendar::Xhkg,
    Calendar::Xbom,
    Calendar::AlwaysOpen,
];

/// Three symbols, of which the first pays a dividend before the session that follows.
fn names(before: u64, day: u64) -> Vec<Symbol> {
    let pays =
        |name: &String| corporate::action(&Key::new(42, name), before, day, 100.0, 1.0).is_some();
    let names = (0..).map(|number| format!("S{number}"));
    let first = names.clone().find(pays).expect("one of them pays");
    let others = names.filter(|name| *name != first).take(2);
    std::iter::once(first.clone())
        .chain(others)
        .map(|name| Symbol::new(&name).expect("a symbol"))
        .collect()
}

/// A market from three minutes before trading ends to three minutes after the next session's open.
fn case(
    calendar: Calendar,
    rate: u64,
    seeds: &[(ScenarioKind, i64, i64, bool)],
) -> (Settings, i64) {
    let first = calendar
        .next_session(jiff::civil::date(2026, 11, 19))
        .expect("a session");
    let next = calendar.next_session(first.date).expect("a session");
    let day =
        |session: &crate::calendar::Session| session.open_ns.div_euclid(24 * 60 * MINUTE) as u64;
    let start_ns = first.trading_end_ns() - 3 * MINUTE + 10 * SECOND;
    let until_ns = next.open_ns + 3 * MINUTE;
    let symbols = names(day(&first), day(&next));
    // Before the end of the one, and after the open of the other.
    let scenarios = seeds.iter().map(|&(kind, from, until, of_one)| {
        let base = if from % 2 == 0 {
            start_ns
        } else {
            next.open_ns
        };
        Scenario {
            kind,
            from_ns: base + from * SECOND,
            until_ns: base + (from + until) * SECOND,
            symbol: of_one.then(|| symbols[1].clone()),
        }
    });
    let settings = Settings {
        scenarios: scenarios.collect(),
        symbols,
        start_ns,
        rate: Rate::Top(rate),
        disorder: Disorder {
            late: 0.02,
            corrections: 0.05,
        },
        ..settings(&["A"], calendar, 1, "2026-11-20T00:00:00Z")
    };
    (settings, until_ns)
}

fn of<'a>(ticks: &'a [Tick], symbol: &Symbol) -> Vec<&'a Tick> {
    ticks.iter().filter(|tick| tick.symbol == *symbol).collect()
}

/// The first of a symbol's ticks that two markets do not share.
fn differing(some: &[Tick], others: &[Tick], symbol: &Symbol) -> Option<String> {
    let (some, others) = (of(some, symbol), of(others, symbol));
    let count = some.len().max(others.len());
    let at = (0..count).find(|&at| some.get(at) != others.get(at))?;
    Some(format!("{:?} and {:?}", some.get(at), others.get(at)))
}

fn added(settings: &Settings, count: usize) -> Settings {
    let more = (0..count).map(|number| Symbol::new(&format!("ADDED{number}")).expect("a symbol"));
    Settings {
        symbols: settings.symbols.iter().cloned().chain(more).collect(),
        ..settings.clone()
    }
}

#[test]
fn the_case_has_a_dividend_a_halt_and_lost_ticks() {
    let scenarios = [
        (ScenarioKind::Halt, 0, 120, true),
        (ScenarioKind::FeedOutage, 11, 30, false),
    ];
    let (settings, until_ns) = case(Calendar::Xnys, 20, &scenarios);
    let ticks = ticks_until(&mut Simulator::new(settings).expect("a market"), until_ns);
    for kind in [Kind::CorporateAction, Kind::Gap, Kind::Correction] {
        assert!(ticks.iter().any(|tick| tick.kind == kind), "{kind}");
    }
    assert!(
        ticks
            .iter()
            .any(|tick| tick.status.as_deref() == Some("halt"))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_symbols_ticks_are_its_own(
        calendar in prop::sample::select(CALENDARS.to_vec()),
        rate in prop::sample::select(vec![1_u64, 8, 60]),
        scenarios in prop::collection::vec(
            (
                prop::sample::select(ScenarioKind::ALL.to_vec()),
                0_i64..170,
                1_i64..120,
                any::<bool>(),
            ),
            0..4,
        ),
        // One of the shards of a market of several producers.
        shard in 1_usize..8,
        more in 0_usize..3,
        mut stops in prop::collection::vec(0.0_f64..1.0, 0..10),
        restarts in any::<u16>(),
    ) {
        let (settings, end) = case(calendar, rate, &scenarios);
        let whole = ticks_until(&mut Simulator::new(settings.clone()).expect("a market"), end);

        let shard: Vec<Symbol> = settings
            .symbols
            .iter()
            .enumerate()
            .filter(|(at, _)| shard >> at & 1 == 1)
            .map(|(_, symbol)| symbol.clone())
            .collect();
        let larger = added(&settings, more);
        let sharded = Settings {
            universe: larger.symbols.clone(),
            symbols: shard.clone(),
            ..settings.clone()
        };
        // Half of the stops around the ends of the sessions, not in the night between them.
        let (start, night) = (settings.start_ns, end - 3 * MINUTE);
        stops.sort_by(f64::total_cmp);
        let mut simulator = Simulator::new(sharded.clone()).expect("a market");
        let mut ticks = Vec::new();
        for (index, stop) in stops.iter().enumerate() {
            let until = if index < stops.len() / 2 {
                start + (stop * 15.0 * MINUTE as f64) as i64
            } else {
                night + (stop * 3.0 * MINUTE as f64) as i64
            };
            ticks.extend(ticks_until(&mut simulator, until.min(end)));
            if restarts >> index & 1 == 1 {
                let json = serde_json::to_vec(&simulator.checkpoint()).expect("serializes");
                let checkpoint: Checkpoint = serde_json::from_slice(&json).expect("reads back");
                prop_assert!(checkpoint.continues(&sharded));
                simulator = Simulator::restore(sharded.clone(), checkpoint).expect("goes on");
            }
        }
        ticks.extend(ticks_until(&mut simulator, end));
        for symbol in &shard {
            prop_assert_eq!(differing(&ticks, &whole, symbol), None);
        }
    }

    #[test]
    fn a_symbol_that_is_added_to_a_running_market_changes_no_other(
        calendar in prop::sample::select(CALENDARS.to_vec()),
        stop in 0.0_f64..1.0,
    ) {
        let (settings, end) = case(calendar, 20, &[]);
        let whole = ticks_until(&mut Simulator::new(settings.clone()).expect("a market"), end);
        let stop = settings.start_ns + (stop * 4.0 * MINUTE as f64) as i64;
        let mut simulator = Simulator::new(settings.clone()).expect("a market");
        let mut ticks = ticks_until(&mut simulator, stop);
        let larger = added(&settings, 1);
        prop_assert!(simulator.checkpoint().continues(&larger));
        let mut simulator =
            Simulator::restore(larger.clone(), simulator.checkpoint()).expect("goes on");
        ticks.extend(ticks_until(&mut simulator, end));
        for symbol in &settings.symbols {
            prop_assert_eq!(differing(&ticks, &whole, symbol), None);
        }
        let new = of(&ticks, &larger.symbols[3]);
        prop_assert!(!new.is_empty());
        prop_assert!(new.iter().enumerate().all(|(at, tick)| tick.seq == at as u64));
    }
}

#[test]
fn a_list_in_another_order_or_at_another_rate_is_another_market() {
    let (settings, _) = case(Calendar::Xnys, 20, &[]);
    let checkpoint = Simulator::new(settings.clone())
        .expect("a market")
        .checkpoint();
    assert!(checkpoint.continues(&settings));
    assert!(checkpoint.continues(&added(&settings, 2)));
    let mut turned = settings.clone();
    turned.symbols.reverse();
    let fewer = Settings {
        symbols: settings.symbols[..2].to_vec(),
        ..settings.clone()
    };
    let faster = Settings {
        rate: Rate::Top(21),
        ..settings.clone()
    };
    for other in [turned, fewer, faster] {
        assert!(!checkpoint.continues(&other));
    }
    // Of a fixed whole, each symbol's share depends on how many there are.
    let total = |settings: &Settings| Settings {
        rate: Rate::Total(60),
        ..settings.clone()
    };
    let checkpoint = Simulator::new(total(&settings))
        .expect("a market")
        .checkpoint();
    assert!(checkpoint.continues(&total(&settings)));
    assert!(!checkpoint.continues(&total(&added(&settings, 1))));
}

#[test]
fn both_rates_describe_the_same_market() {
    let (settings, _) = case(Calendar::Xnys, 60, &[]);
    assert_eq!(settings.ticks_per_second(), 110);
    let total = Settings {
        rate: Rate::Total(110),
        ..settings.clone()
    };
    let (one, other) = (settings.rates(), total.rates());
    for (one, other) in one.expect("rates").iter().zip(other.expect("rates")) {
        assert!((one - other).abs() < 1e-9);
    }
}
