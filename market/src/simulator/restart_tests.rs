//! Checkpoints and restarts.

use std::collections::HashMap;

use proptest::prelude::*;

use super::tests::{assert_integrity, market, ns, settings, ticks_until};
use super::*;
use crate::calendar::Calendar;

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
fn a_checkpoint_of_the_largest_universe_fits_into_a_record() {
    let settings = Settings {
        symbols: universe(10_000),
        ..settings(&["A"], Calendar::Xtks, 50_000, "2026-11-20T00:00:00Z")
    };
    let mut simulator = Simulator::new(settings).expect("a market");
    simulator.emit(ns("2026-11-20T00:01:30Z"), &mut |_| ());
    let json = serde_json::to_string(&simulator.checkpoint()).expect("serializes");
    // A million bytes, less what numbers of ticks grow by in years.
    assert!(json.len() < 920_000, "{} bytes", json.len());
}

/// Bytes that a market holds of its symbols, and of ticks that are to be given out.
fn bytes(simulator: &Simulator) -> (usize, usize) {
    let lanes: usize = simulator.lanes.iter().map(lane::Lane::bytes).sum();
    let numbers = simulator.numbers.capacity() * size_of::<Numbers>();
    let events = simulator.slot.capacity() + simulator.held.capacity();
    (lanes + numbers, events * size_of::<Event>())
}

#[test]
fn a_market_needs_no_more_memory_the_longer_it_runs() {
    let settings = Settings {
        symbols: universe(500),
        disorder: Disorder {
            late: 0.01,
            corrections: 0.01,
        },
        ..settings(&["A"], Calendar::Xnys, 50, "2026-11-02T00:00:00Z")
    };
    let mut simulator = Simulator::new(settings).expect("a market");
    let mut after = |until: &str| {
        simulator.emit(ns(until), &mut |_| ());
        let json = serde_json::to_string(&simulator.checkpoint()).expect("serializes");
        (bytes(&simulator), json.len())
    };
    // After a session, and after a month of them.
    let (early, late) = (after("2026-11-03T00:00:00Z"), after("2026-12-01T00:00:00Z"));
    let ((lanes, events), json) = late;
    assert!(lanes < 500 * 1_500, "{early:?} {late:?}");
    // Room for the busiest minute yet, of 3,000 ticks in the mean.
    assert!(
        events < 30 * 3_000 * size_of::<Event>(),
        "{early:?} {late:?}"
    );
    assert!(events < 4 * early.0.1, "{early:?} {late:?}");
    // A checkpoint grows by digits of numbers alone.
    assert!(
        json < 500 * 100 && json < early.1 + 500 * 8,
        "{early:?} {late:?}"
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
            rate: Rate::Total(0),
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
        disordered in any::<bool>(),
    ) {
        let (start, end) = ("2026-11-20T20:57:10Z", ns("2026-11-23T14:33:00Z"));
        // The round-the-clock market is cut short, or it would be three days long.
        let end = if calendar == Calendar::Xnys { end } else { ns("2026-11-20T21:02:00Z") };
        let mut settings = settings(&["A", "B", "C"], calendar, rate, start);
        if disordered {
            settings.disorder = Disorder { late: 0.1, corrections: 0.1 };
        }
        let mut whole = Simulator::new(settings.clone()).expect("a market");
        let expected = ticks_until(&mut whole, end);
        if !disordered {
            assert_integrity(&expected);
        }

        stops.retain(|&stop| stop < end);
        stops.push(end);
        let mut simulator = Simulator::new(settings.clone()).expect("a market");
        let mut ticks = Vec::new();
        let mut last = settings.start_ns;
        for (index, &stop) in stops.iter().enumerate() {
            let part = ticks_until(&mut simulator, stop);
            let range = last..stop.max(last);
            let within = part.iter().all(|tick| range.contains(&tick.ts_event_ns));
            prop_assert!(within || disordered);
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
