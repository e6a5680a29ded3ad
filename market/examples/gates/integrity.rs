//! The rules that every tick keeps, in a quiet market and in one where much goes wrong.

use std::collections::HashMap;
use std::io::Write;

use jiff::civil::{Date, date};
use stockpipe_market::calendar::{Calendar, Session};
use stockpipe_market::simulator::{
    Disorder, Model, Rate, Scenario, ScenarioKind, Settings, Simulator,
};
use stockpipe_market::tick::{self, Kind, Price, Symbol, Tick};

use crate::tape::{SYMBOLS, settings};

const MINUTE_NS: i64 = 60_000_000_000;
const CENT: i64 = 10_000_000;
/// Minutes before the close in which the closing auction is told of.
const TOLD_MINUTES: i64 = 10;

/// What the rules remember of one symbol.
#[derive(Default)]
pub(crate) struct Book {
    next_seq: u64,
    last_ns: i64,
    bid: i64,
    ask: i64,
    halted: bool,
    /// Trades of the day that no correction has named, with their size.
    live: HashMap<String, Option<tick::Size>>,
}

impl Book {
    /// Best bid and ask, in steps of 1e-9.
    pub(crate) fn quote(&self) -> (i64, i64) {
        (self.bid, self.ask)
    }

    /// Whether a tick, in the order in which it arrives, breaks a rule of numbers and of the feed.
    fn misnumbered(&mut self, tick: &Tick, skewed: bool) -> bool {
        let mut wrong = tick.seq != self.next_seq;
        wrong |= !skewed && tick.ts_recv_ns < Some(tick.ts_event_ns);
        self.next_seq = tick.seq + 1;
        let name = tick.trade_id.as_deref().unwrap_or("").to_owned();
        match tick.kind {
            Kind::Trade => wrong |= self.live.insert(name, tick.size).is_some(),
            Kind::Correction => wrong |= self.live.remove(&name) != Some(tick.size),
            Kind::Status if tick.status.as_deref() == Some(tick::OPEN) => self.live.clear(),
            _ => {}
        }
        wrong
    }

    /// Whether a tick, in the order in which it happened, breaks a rule of its market.
    fn misplaced(&mut self, tick: &Tick, session: &Session) -> bool {
        let at = tick.ts_event_ns;
        let steps = |price: Option<Price>| price.map_or(0, Price::steps);
        let on_grid = |price: i64| price > 0 && price % CENT == 0;
        let mut wrong = at < self.last_ns || tick.trade_date != session.date;
        self.last_ns = at;
        let trading = (session.open_ns..session.close_ns).contains(&at);
        match tick.kind {
            Kind::Quote => {
                (self.bid, self.ask) = (steps(tick.bid_price), steps(tick.ask_price));
                wrong |= self.halted || !trading || self.bid >= self.ask;
                wrong |= !on_grid(self.bid) || !on_grid(self.ask);
            }
            Kind::Trade => {
                let price = steps(tick.price);
                wrong |= self.halted || !on_grid(price);
                // An auction's print has no side and stands at its own price.
                wrong |= match tick.side {
                    Some(_) => !trading || !(self.bid..=self.ask).contains(&price),
                    None => at % MINUTE_NS != 0 || !(trading || at == session.close_ns),
                };
            }
            Kind::Auction if tick.flags == Some(tick::INDICATIVE) => {
                wrong |= self.halted || session.close_ns - at > TOLD_MINUTES * MINUTE_NS;
            }
            Kind::Auction | Kind::Correction => wrong |= !on_grid(steps(tick.price)),
            Kind::Status => match tick.status.as_deref() {
                Some(tick::HALT) => self.halted = true,
                Some(tick::RESUME) => self.halted = false,
                Some(tick::OPEN) => {
                    self.halted = false;
                    wrong |= at != session.open_ns;
                }
                _ => wrong |= at != session.close_ns,
            },
            _ => {}
        }
        wrong
    }

    /// Whether a tick of a market without disorder breaks any rule.
    pub(crate) fn violated(&mut self, tick: &Tick, session: &Session) -> bool {
        let misnumbered = self.misnumbered(tick, false);
        self.misplaced(tick, session) || misnumbered
    }
}

/// Sessions of the market in which much goes wrong: a crisis; halts of one symbol, of all, and of
/// all into the close; a flash crash; a receiver's slow clock.
const DAYS: usize = 5;

fn wrongs(sessions: &[Session]) -> Vec<Scenario> {
    let from = |day: usize, minute: i64| sessions[day].open_ns + minute * MINUTE_NS;
    let scenario = |kind, day, first, last, symbol: Option<&str>| Scenario {
        kind,
        from_ns: from(day, first),
        until_ns: from(day, last),
        symbol: symbol.map(|name| Symbol::new(name).expect("a symbol")),
    };
    vec![
        scenario(ScenarioKind::Crisis, 0, 0, 390, None),
        scenario(ScenarioKind::Halt, 1, 30, 50, Some(SYMBOLS[0])),
        scenario(ScenarioKind::Halt, 1, 100, 107, None),
        scenario(ScenarioKind::Halt, 1, 380, 400, None),
        scenario(ScenarioKind::FlashCrash, 2, 60, 61, None),
        scenario(ScenarioKind::ClockSkew, 3, 120, 240, None),
        scenario(ScenarioKind::HotSymbol, 4, 60, 120, Some(SYMBOLS[1])),
    ]
}

/// Violations in a market of late ticks, corrections and scenarios; `export` gets its ticks.
pub(crate) fn disturbed(
    model: &Model,
    seed: u64,
    mut export: Option<&mut dyn Write>,
) -> std::io::Result<u64> {
    let symbols: Vec<Symbol> = SYMBOLS
        .map(|name| Symbol::new(name).expect("a symbol"))
        .to_vec();
    let mut sessions = Vec::new();
    let mut day: Date = date(2026, 1, 4);
    while sessions.len() < DAYS {
        let session = Calendar::Xnys.next_session(day).expect("a session");
        day = session.date;
        sessions.push(session);
    }
    let settings = Settings {
        disorder: Disorder {
            late: 0.01,
            corrections: 0.01,
        },
        scenarios: wrongs(&sessions),
        ..settings(model, seed, symbols.clone(), Rate::Total(3))
    };
    let skewed = sessions[3].open_ns + 120 * MINUTE_NS..sessions[3].open_ns + 240 * MINUTE_NS;
    let lanes: HashMap<Symbol, usize> = symbols.iter().cloned().zip(0..).collect();
    let mut books: Vec<Book> = symbols.iter().map(|_| Book::default()).collect();
    let mut simulator = Simulator::new(settings).expect("a market");
    let mut violations = 0;
    if let Some(out) = &mut export {
        writeln!(
            out,
            "symbol,day,seq,event_ns,recv_ns,skewed,kind,price,size,side,bid,ask,status,conditions,flags,trade_id"
        )?;
    }
    for (number, session) in sessions.iter().enumerate() {
        let mut today = Vec::new();
        simulator.emit(session.close_ns + 1, &mut |tick| today.push(tick.clone()));
        for tick in &today {
            let arrived = tick.ts_recv_ns.unwrap_or_default();
            // The slow clock's stamps are 250 ms early.
            let skewed =
                skewed.contains(&tick.ts_event_ns) || skewed.contains(&(arrived + 250_000_000));
            let book = &mut books[lanes[&tick.symbol]];
            violations += u64::from(book.misnumbered(tick, skewed));
            if let Some(out) = &mut export {
                write(out, number, session, skewed, tick)?;
            }
        }
        // Late ticks come after others that happened later; a minute has all of its own.
        today.sort_by_key(|tick| tick.ts_event_ns);
        for tick in &today {
            violations += u64::from(books[lanes[&tick.symbol]].misplaced(tick, session));
        }
    }
    Ok(violations)
}

fn write(
    out: &mut dyn Write,
    day: usize,
    session: &Session,
    skewed: bool,
    tick: &Tick,
) -> std::io::Result<()> {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    writeln!(
        out,
        "{},{day},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
        tick.symbol,
        tick.seq,
        tick.ts_event_ns - session.open_ns,
        tick.ts_recv_ns.unwrap_or_default() - session.open_ns,
        u8::from(skewed),
        tick.kind,
        text(tick.price),
        text(tick.size),
        text(tick.side.map(tick::Side::as_str)),
        text(tick.bid_price),
        text(tick.ask_price),
        tick.status.as_deref().unwrap_or(""),
        // Codes are apart from one another by a blank here, columns by a comma.
        tick.conditions.as_deref().unwrap_or("").replace(',', " "),
        text(tick.flags),
        tick.trade_id.as_deref().unwrap_or(""),
    )
}
