//! One session under each scenario, minute by minute, as CSV: what `make market-plots` draws.
//!
//! `cargo run -p stockpipe-market --example scenarios > scenarios.csv`

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use jiff::civil::date;
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::{
    Disorder, Model, Rate, Scenario, ScenarioKind, Settings, Simulator,
};
use stockpipe_market::tick::{Kind, Symbol, Tick};

const MINUTE_NS: i64 = 60_000_000_000;
/// The symbol that is drawn, and that is hot.
const DRAWN: &str = "NVDA";
/// The scenario acts from 11:00 to 12:00; an opening burst, from the open.
const FROM: i64 = 90;
const UNTIL: i64 = 150;

/// A minute of one symbol.
#[derive(Default)]
struct Minute {
    mid: Option<f64>,
    ticks: u32,
    /// Ticks of the other symbols.
    others: u32,
    /// Numbers of the feed that are missing or came before.
    holes: u64,
    repeats: u32,
    /// Sum of receipt less event, milliseconds.
    delay: f64,
}

fn main() -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(
        out,
        "scenario,minute,mid,ticks,others,holes,repeats,delay_ms"
    )?;
    play(&mut out, "normal", None)?;
    for kind in ScenarioKind::ALL {
        play(&mut out, kind.name(), Some(kind))?;
    }
    out.flush()
}

fn play(out: &mut impl Write, name: &str, kind: Option<ScenarioKind>) -> std::io::Result<()> {
    let session = Calendar::Xnys
        .session(date(2026, 11, 20))
        .expect("a session");
    let at = |minute: i64| session.open_ns + minute * MINUTE_NS;
    let from = if kind == Some(ScenarioKind::OpeningBurst) {
        0
    } else {
        FROM
    };
    let symbols = ["NVDA", "JPM", "XOM", "AAPL", "BAC", "CVX", "MSFT", "V"];
    let settings = Settings {
        symbols: symbols
            .map(|name| Symbol::new(name).expect("a symbol"))
            .to_vec(),
        universe: Vec::new(),
        calendar: Calendar::Xnys,
        seed: 4,
        rate: Rate::Total(20),
        start_ns: session.open_ns,
        run: "scenarios".into(),
        model: Model::default(),
        scenarios: kind
            .map(|kind| Scenario {
                kind,
                from_ns: at(from),
                until_ns: at(UNTIL),
                symbol: (kind == ScenarioKind::HotSymbol)
                    .then(|| Symbol::new(DRAWN).expect("a symbol")),
            })
            .into_iter()
            .collect(),
        disorder: Disorder::default(),
    };
    let mut minutes: BTreeMap<i64, Minute> = BTreeMap::new();
    let mut next = 0;
    Simulator::new(settings)
        .expect("a market")
        .emit(session.close_ns, &mut |tick| {
            let minute = (tick.ts_event_ns - session.open_ns) / MINUTE_NS;
            let minute = minutes.entry(minute).or_default();
            if &*tick.symbol == DRAWN {
                see(minute, tick, &mut next);
            } else {
                minute.others += 1;
            }
        });
    for minute in 0..390 {
        let found = minutes.remove(&minute).unwrap_or_default();
        // Without a quote there is no mid.
        let mid = found.mid.unwrap_or(f64::NAN);
        let delay = found.delay / f64::from(found.ticks.max(1));
        writeln!(
            out,
            "{name},{minute},{mid},{},{},{},{},{delay}",
            found.ticks, found.others, found.holes, found.repeats
        )?;
    }
    Ok(())
}

fn see(minute: &mut Minute, tick: &Tick, next: &mut u64) {
    minute.ticks += 1;
    minute.delay += (tick.ts_recv_ns.unwrap_or(tick.ts_event_ns) - tick.ts_event_ns) as f64 / 1e6;
    if let (Kind::Quote, Some(bid), Some(ask)) = (tick.kind, tick.bid_price, tick.ask_price) {
        minute.mid = Some(f64::midpoint(bid.to_f64(), ask.to_f64()));
    }
    if let (true, Some(number)) = (tick.kind != Kind::Gap, tick.source_seq) {
        minute.holes += number.saturating_sub(*next);
        minute.repeats += u32::from(number < *next);
        *next = number + 1;
    }
}
