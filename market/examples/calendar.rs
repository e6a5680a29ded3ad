//! Prints the sessions of a calendar, and their phases, as CSV.
//!
//!     cargo run -p stockpipe-market --example calendar -- XLON 2000-01-01 2030-12-31
//!
//! Columns: date, open, break_start, break_end, close, last_trade (UTC), phases. Dates that the
//! calendar does not reach are left out.

use std::error::Error;
use std::io::{BufWriter, Write};

use jiff::Timestamp;
use jiff::civil::Date;
use stockpipe_market::calendar::Calendar;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, first, last] = arguments.as_slice() else {
        return Err(
            "write a calendar, its first and its last date: XLON 2000-01-01 2030-12-31".into(),
        );
    };
    let calendar = Calendar::parse(name)?;
    let (first, last): (Date, Date) = (first.parse()?, last.parse()?);
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(
        out,
        "date,open,break_start,break_end,close,last_trade,phases"
    )?;
    let mut before = first.yesterday()?;
    while let Some(session) = calendar.next_session(before) {
        before = session.date;
        if before > last {
            break;
        }
        let (from, to) = session.lunch_ns.unzip();
        let phases: Vec<String> = calendar
            .phases(before)
            .iter()
            .map(|span| format!("{:?}@{}", span.phase, instant(Some(span.start_ns))))
            .collect();
        writeln!(
            out,
            "{before},{},{},{},{},{},{}",
            instant(Some(session.open_ns)),
            instant(from),
            instant(to),
            instant(Some(session.close_ns)),
            instant(Some(session.last_trade_ns)),
            phases.join(" ")
        )?;
    }
    Ok(())
}

/// An instant to the second, as `2026-11-20T14:30:00Z`; nothing for none.
fn instant(ns: Option<i64>) -> String {
    ns.and_then(|ns| Timestamp::from_second(ns.div_euclid(1_000_000_000)).ok())
        .map_or_else(String::new, |instant| instant.to_string())
}
