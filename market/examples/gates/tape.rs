//! What the gates read: one-minute bars and the raw ticks of the first days, made from ticks.

use std::collections::HashMap;
use std::io::Write;

use jiff::civil::date;
use stockpipe_market::calendar::Calendar;
use stockpipe_market::simulator::{Disorder, Model, Rate, Settings, Simulator};
use stockpipe_market::tick::{Kind, Side, Symbol, Tick, Updates};

use crate::integrity::Book;

/// Three sectors of four symbols, most active first.
pub(crate) const SYMBOLS: [&str; 12] = [
    "NVDA", "JPM", "XOM", "AAPL", "BAC", "CVX", "MSFT", "V", "COP", "AMD", "GS", "SLB",
];
/// Ticks a second over all: about 11,000 trades a day for the first, 940 for the last.
const RATE: Rate = Rate::Total(5);
pub(crate) const MINUTES: usize = 390;
const MINUTE_NS: i64 = 60_000_000_000;
/// Days whose raw ticks are kept, of the first two symbols.
pub(crate) const RAW_DAYS: usize = 20;
pub(crate) const RAW_SYMBOLS: usize = 2;

/// One minute of a symbol.
#[derive(Clone, Copy, Default)]
pub(crate) struct Minute {
    /// Mid of the last quote, in steps of 5e-10; 0: none yet that day.
    pub(crate) mid: i64,
    /// First, highest, lowest and last trade, in steps of 1e-9; 0: none in this minute.
    pub(crate) prices: [i64; 4],
    /// Units traded, auctions apart.
    pub(crate) volume: i64,
    pub(crate) trades: u32,
    /// Sum of (ask − bid) / mid over its quotes, and their number.
    pub(crate) spread: (f64, u32),
}

/// One day of a symbol.
#[derive(Clone)]
pub(crate) struct Day {
    /// First mid of the day, in steps of 5e-10.
    pub(crate) open: i64,
    pub(crate) minutes: Vec<Minute>,
    /// Mid that a quote of the minute before left.
    mid: i64,
}

/// A trade as it was seen.
#[derive(Clone, Copy)]
pub(crate) struct Print {
    pub(crate) day: usize,
    /// Nanoseconds since the open.
    pub(crate) after_ns: i64,
    pub(crate) price: f64,
    pub(crate) sign: f64,
    /// Mid and half the spread of the quote before it.
    pub(crate) mid: f64,
    pub(crate) half_spread: f64,
}

/// Days of all symbols, and the prints of the first.
pub(crate) struct Tape {
    pub(crate) days: Vec<Vec<Day>>,
    pub(crate) prints: Vec<Vec<Print>>,
    pub(crate) violations: u64,
    pub(crate) ticks: u64,
}

pub(crate) fn settings(model: &Model, seed: u64, symbols: Vec<Symbol>, rate: Rate) -> Settings {
    Settings {
        symbols,
        universe: Vec::new(),
        calendar: Calendar::Xnys,
        seed,
        rate,
        start_ns: Calendar::Xnys.instant(date(2026, 1, 5).at(0, 0, 0, 0)),
        run: "gates".into(),
        model: model.clone(),
        scenarios: Vec::new(),
        disorder: Disorder::default(),
    }
}

/// Plays whole sessions; `export` gets the raw ticks that are kept.
pub(crate) fn play(
    model: &Model,
    seed: u64,
    days: usize,
    mut export: Option<&mut dyn Write>,
) -> std::io::Result<Tape> {
    let symbols = SYMBOLS
        .map(|name| Symbol::new(name).expect("a symbol"))
        .to_vec();
    let lanes: HashMap<Symbol, usize> = symbols.iter().cloned().zip(0..).collect();
    let mut simulator =
        Simulator::new(settings(model, seed, symbols.clone(), RATE)).expect("a market");
    let mut tape = Tape {
        days: vec![Vec::new(); SYMBOLS.len()],
        prints: vec![Vec::new(); RAW_SYMBOLS],
        violations: 0,
        ticks: 0,
    };
    let mut books = SYMBOLS.map(|_| Book::default());
    let mut date = date(2026, 1, 4);
    let mut failure = None;
    while tape.days[0].len() < days {
        let session = Calendar::Xnys.next_session(date).expect("a session");
        date = session.date;
        let whole = (session.close_ns - session.open_ns) == MINUTES as i64 * MINUTE_NS;
        let day = Day {
            open: 0,
            minutes: vec![Minute::default(); MINUTES],
            mid: 0,
        };
        let mut today = vec![day; SYMBOLS.len()];
        let number = tape.days[0].len();
        let mut prints: Vec<Vec<Print>> = vec![Vec::new(); RAW_SYMBOLS];
        let mut halted = false;
        simulator.emit(session.close_ns + 1, &mut |tick| {
            tape.ticks += 1;
            let lane = lanes[&tick.symbol];
            let book = &mut books[lane];
            tape.violations += u64::from(book.violated(tick, &session));
            halted |= tick.status.as_deref() == Some("halt");
            let after_ns = tick.ts_event_ns - session.open_ns;
            if whole && lane < RAW_SYMBOLS && number < RAW_DAYS {
                if let Some(out) = &mut export
                    && let Err(error) = write_tick(out, number, after_ns, tick)
                {
                    failure.get_or_insert(error);
                }
                if let (Some(price), Some(side)) = (tick.price, tick.side) {
                    let (bid, ask) = book.quote();
                    prints[lane].push(Print {
                        day: number,
                        after_ns,
                        price: price.to_f64(),
                        sign: if side == Side::Buy { 1.0 } else { -1.0 },
                        mid: (bid + ask) as f64 / 2e9,
                        half_spread: (ask - bid) as f64 / 2e9,
                    });
                }
            }
            today[lane].see(tick, (after_ns / MINUTE_NS) as usize);
        });
        // Half days and days with a halt have another shape.
        if whole && !halted {
            for (lane, mut day) in today.into_iter().enumerate() {
                day.fill();
                tape.days[lane].push(day);
            }
            for (all, today) in tape.prints.iter_mut().zip(prints) {
                all.extend(today);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(tape),
    }
}

impl Day {
    fn see(&mut self, tick: &Tick, minute: usize) {
        if minute >= MINUTES {
            return;
        }
        let bar = &mut self.minutes[minute];
        if let (Kind::Quote, Some(bid), Some(ask)) = (tick.kind, tick.bid_price, tick.ask_price) {
            let twice = bid.steps() + ask.steps();
            bar.mid = twice;
            if self.open == 0 {
                self.open = twice;
            }
            bar.spread.0 += (ask.steps() - bid.steps()) as f64 / (twice as f64 / 2.0);
            bar.spread.1 += 1;
        } else if let (Kind::Trade, Some(price), Some(size), Some(_)) =
            (tick.kind, tick.price, tick.size, tick.side)
        {
            // An odd lot counts for the volume, and for no price.
            if Updates::of(tick.flags).last {
                let price = price.steps();
                let [open, high, low, _] = bar.prices;
                bar.prices = if open == 0 {
                    [price; 4]
                } else {
                    [open, high.max(price), low.min(price), price]
                };
            }
            bar.volume += (size.steps() / 10_000_000_000) as i64;
            bar.trades += 1;
        }
    }

    /// A minute without a quote has the mid of the one before.
    fn fill(&mut self) {
        self.mid = self.open;
        for minute in &mut self.minutes {
            if minute.mid == 0 {
                minute.mid = self.mid;
            }
            self.mid = minute.mid;
        }
    }
}

fn write_tick(out: &mut dyn Write, day: usize, after_ns: i64, tick: &Tick) -> std::io::Result<()> {
    let text = |price: Option<stockpipe_market::tick::Price>| {
        price.map_or_else(String::new, |price| price.to_string())
    };
    writeln!(
        out,
        "{},{day},{after_ns},{},{},{},{},{},{},{}",
        tick.symbol,
        tick.kind,
        text(tick.price),
        tick.size.map_or_else(String::new, |size| size.to_string()),
        tick.side.map_or("", Side::as_str),
        text(tick.bid_price),
        text(tick.ask_price),
        tick.conditions.as_deref().unwrap_or(""),
    )
}

/// The bars, for a check that shares no code with this tool.
pub(crate) fn write_bars(out: &mut dyn Write, tape: &Tape) -> std::io::Result<()> {
    writeln!(
        out,
        "symbol,day,minute,twice_mid,open,high,low,close,volume,trades,spread_sum,quotes,open_mid"
    )?;
    for (name, days) in SYMBOLS.iter().zip(&tape.days) {
        for (day, bars) in days.iter().enumerate() {
            for (minute, bar) in bars.minutes.iter().enumerate() {
                let [open, high, low, close] = bar.prices;
                let (sum, quotes) = bar.spread;
                writeln!(
                    out,
                    "{name},{day},{minute},{},{open},{high},{low},{close},{},{},{sum},{quotes},{}",
                    bar.mid, bar.volume, bar.trades, bars.open
                )?;
            }
        }
    }
    Ok(())
}

/// Trades of each symbol of a universe of 500 over five days, most active first.
pub(crate) fn activity(model: &Model, seed: u64) -> Vec<f64> {
    let symbols = stockpipe_market::simulator::universe(500);
    let lanes: HashMap<Symbol, usize> = symbols.iter().cloned().zip(0..).collect();
    let mut simulator =
        Simulator::new(settings(model, seed, symbols, Rate::Total(50))).expect("a market");
    let mut counts = vec![0.0; 500];
    simulator.emit(
        Calendar::Xnys.instant(date(2026, 1, 10).at(0, 0, 0, 0)),
        &mut |tick| {
            if tick.kind == Kind::Trade {
                counts[lanes[&tick.symbol]] += 1.0;
            }
        },
    );
    counts
}

/// Sessions of the daily closes: as many as twenty years have.
const DAILY_SESSIONS: usize = 5_031;

/// Daily closes of many years, one column a symbol, without dividends and splits: what is compared
/// with real indices.
pub(crate) fn write_daily(out: &mut dyn Write, model: &Model, seed: u64) -> std::io::Result<()> {
    let symbols = SYMBOLS.map(|name| Symbol::new(name).expect("a symbol"));
    // Hardly a tick but the auctions': the last of very many symbols.
    let mut universe: Vec<Symbol> = (0..5_000)
        .map(|at| Symbol::new(&format!("F{at}")).expect("a symbol"))
        .collect();
    universe.extend(symbols.iter().cloned());
    let model = Model {
        corporate_actions: false,
        ..model.clone()
    };
    let settings = Settings {
        universe,
        ..settings(&model, seed, symbols.to_vec(), Rate::Total(1))
    };
    let lanes: HashMap<Symbol, usize> = symbols.iter().cloned().zip(0..).collect();
    let mut simulator = Simulator::new(settings).expect("a market");
    writeln!(out, "{}", SYMBOLS.join(","))?;
    let mut closes = [0.0; SYMBOLS.len()];
    let mut day = date(2026, 1, 4);
    for _ in 0..DAILY_SESSIONS {
        let session = Calendar::Xnys.next_session(day).expect("a session");
        day = session.date;
        simulator.emit(session.close_ns + 1, &mut |tick| {
            if let (Kind::Trade, None, Some(price)) = (tick.kind, tick.side, tick.price) {
                closes[lanes[&tick.symbol]] = price.to_f64();
            }
        });
        writeln!(out, "{}", closes.map(|close| close.to_string()).join(","))?;
    }
    Ok(())
}
