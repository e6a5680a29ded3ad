//! What a session of each exchange is made of, and when.

use super::shape::Shape;
use super::tests::{market, settings};
use super::*;
use crate::calendar::Calendar;
use crate::tick::{self, Kind};

/// A time of the exchange's clock as `HH:MM`; with seconds where there are some.
fn clock(calendar: Calendar, ns: i64) -> String {
    let instant = jiff::Timestamp::from_nanosecond(ns.into()).expect("an instant");
    let time = calendar.time_zone().to_datetime(instant).time();
    let seconds = if time.second() == 0 { "" } else { ":%S" };
    time.strftime(&format!("%H:%M{seconds}")).to_string()
}

/// What happens, each with its time, but for quotes and trades: `open`, `opening`, `O`, …; of these
/// the first and the last.
fn story(calendar: Calendar, date: jiff::civil::Date) -> Vec<String> {
    let session = calendar.session(date).expect("a session");
    let start = jiff::Timestamp::from_nanosecond(i128::from(session.open_ns)).expect("a time");
    let settings = settings(&["XYZ"], calendar, 2, &start.to_string());
    let end = jiff::Timestamp::from_nanosecond(i128::from(session.last_trade_ns) + 1);
    let mut told = Vec::new();
    let (mut first, mut last) = (None, String::new());
    let mut indications = 0;
    for tick in market(&settings, &end.expect("a time").to_string()) {
        let at = clock(calendar, tick.ts_event_ns);
        match tick.kind {
            Kind::Quote => {
                first.get_or_insert(at[..5].to_owned());
                last = at[..5].to_owned();
                if let Some((from, to)) = session.lunch_ns {
                    assert!(!(from..to).contains(&tick.ts_event_ns), "{tick:?}");
                }
            }
            Kind::Trade if tick.side.is_some() => last = at[..5].to_owned(),
            Kind::Auction if tick.flags == Some(tick::INDICATIVE) => {
                assert_eq!(tick.status.as_deref(), Some(tick::CLOSING));
                indications += 1;
            }
            _ => {
                let word = tick.conditions.as_deref().or(tick.status.as_deref());
                told.push(format!("{} {at}", word.unwrap_or("?")));
            }
        }
    }
    told.insert(3, format!("{} to {last}", first.unwrap_or_default()));
    told.push(format!("{indications} told"));
    told
}

#[test]
fn each_exchange_has_its_own_phases() {
    let usual = jiff::civil::date(2026, 11, 20);
    let table: [(Calendar, jiff::civil::Date, &str); 16] = [
        (
            Calendar::Xnys,
            usual,
            "open 09:30, opening 09:30, O 09:30, 09:30 to 15:59, closing 16:00, 6 16:00, close 16:00, 10 told",
        ),
        (
            Calendar::Xnas,
            jiff::civil::date(2026, 11, 27),
            "open 09:30, opening 09:30, O 09:30, 09:30 to 12:59, closing 13:00, 6 13:00, close 13:00, 10 told",
        ),
        (
            Calendar::Xtse,
            usual,
            "open 09:30, opening 09:30, O 09:30, 09:30 to 15:59, closing 16:00, 6 16:00, close 16:00, 10 told",
        ),
        (
            Calendar::Xlon,
            usual,
            "open 08:00, opening 08:00, O 08:00, 08:00 to 16:29, closing 16:35, 6 16:35, close 16:35, 5 told",
        ),
        (
            Calendar::Xlon,
            jiff::civil::date(2026, 12, 24),
            "open 08:00, opening 08:00, O 08:00, 08:00 to 12:29, closing 12:35, 6 12:35, close 12:35, 5 told",
        ),
        (
            Calendar::Xetr,
            usual,
            "open 09:00, opening 09:00, O 09:00, 09:00 to 17:29, closing 17:35, 6 17:35, close 17:35, 5 told",
        ),
        (
            Calendar::Xetr,
            jiff::civil::date(2026, 12, 30),
            "open 09:00, opening 09:00, O 09:00, 09:00 to 13:59, closing 14:05, 6 14:05, close 14:05, 5 told",
        ),
        (
            Calendar::Xpar,
            usual,
            "open 09:00, opening 09:00, O 09:00, 09:00 to 17:29, closing 17:35, 6 17:35, close 17:35, 5 told",
        ),
        (
            Calendar::Xpar,
            jiff::civil::date(2026, 12, 24),
            "open 09:00, opening 09:00, O 09:00, 09:00 to 14:04, closing 14:10, 6 14:10, close 14:10, 5 told",
        ),
        (
            Calendar::Xtks,
            usual,
            "open 09:00, opening 09:00, O 09:00, 09:00 to 15:24, closing 15:30, 6 15:30, close 15:30, 5 told",
        ),
        // Before there was a call, orders for the close were crossed at it.
        (
            Calendar::Xtks,
            jiff::civil::date(2024, 11, 1),
            "open 09:00, opening 09:00, O 09:00, 09:00 to 14:59, closing 15:00, 6 15:00, close 15:00, 10 told",
        ),
        (
            Calendar::Xhkg,
            jiff::civil::date(2016, 7, 22),
            "open 09:30, opening 09:30, O 09:30, 09:30 to 15:59, close 16:00, 0 told",
        ),
        (
            Calendar::Xasx,
            usual,
            "open 10:00, opening 10:00, O 10:00, 10:00 to 15:59, closing 16:10, 6 16:10, close 16:10, 10 told",
        ),
        (
            Calendar::Xasx,
            jiff::civil::date(2026, 12, 24),
            "open 10:00, opening 10:00, O 10:00, 10:00 to 14:09, closing 14:20, 6 14:20, close 14:20, 10 told",
        ),
        (
            Calendar::Xbom,
            usual,
            "open 09:15, opening 09:15, O 09:15, 09:15 to 15:29, close 15:30, 0 told",
        ),
        (
            Calendar::Xnys,
            jiff::civil::date(2026, 11, 27),
            "open 09:30, opening 09:30, O 09:30, 09:30 to 12:59, closing 13:00, 6 13:00, close 13:00, 10 told",
        ),
    ];
    for (calendar, date, expected) in table {
        assert_eq!(
            story(calendar, date).join(", "),
            expected,
            "{calendar} {date}"
        );
    }
}

#[test]
fn hong_kongs_closing_auction_ends_at_random_within_its_last_two_minutes() {
    let mut ends = Vec::new();
    for (day, from, to) in [
        (jiff::civil::date(2026, 11, 18), "16:08", "16:10"),
        (jiff::civil::date(2026, 11, 19), "16:08", "16:10"),
        (jiff::civil::date(2026, 11, 20), "16:08", "16:10"),
        (jiff::civil::date(2026, 12, 24), "12:08", "12:10"),
    ] {
        let told = story(Calendar::Xhkg, day);
        let last = if to == "16:10" {
            "09:30 to 15:59"
        } else {
            "09:30 to 11:59"
        };
        assert_eq!(told[3], last);
        let print = told[5].trim_start_matches("6 ").to_owned();
        assert!(from <= print.as_str() && print.as_str() <= to, "{told:?}");
        assert_eq!(told[6], format!("close {print}"));
        let minutes = if &print[3..] > "09" { 10 } else { 9 };
        assert_eq!(told[7], format!("{minutes} told"), "{told:?}");
        ends.push(print);
    }
    ends.sort();
    ends.dedup();
    assert!(ends.len() > 2, "{ends:?}");
}

#[test]
fn the_mean_rate_and_variance_hold_whatever_the_phases() {
    for calendar in Calendar::ALL {
        let first = calendar
            .next_session(jiff::civil::date(2026, 11, 19))
            .expect("a session");
        let mut block = Block::ending_after(calendar, first.open_ns).expect("a block");
        let shape = Shape::new(
            Model::default().shape,
            block::minutes(&first),
            !has_status(calendar),
        );
        let (mut minutes, mut rate, mut square) = (0.0, 0.0, 0.0);
        while block.session == first && block.is_trading() {
            let (volatility, busy) = shape.at(block.trading_minute());
            minutes += 1.0;
            rate += busy;
            square += volatility * volatility;
            block = block.next(calendar).expect("a block");
        }
        assert!((minutes - block::usual_minutes(calendar) as f64).abs() < 0.5);
        assert!((rate / minutes - 1.0).abs() < 1e-9, "{calendar} {rate}");
        assert!((square / minutes - 1.0).abs() < 1e-9, "{calendar} {square}");
    }
}

#[test]
fn the_block_of_an_instant_is_the_one_that_a_walk_comes_to() {
    for calendar in Calendar::ALL {
        let first = calendar
            .next_session(jiff::civil::date(2026, 11, 19))
            .expect("a session");
        let mut block = Block::ending_after(calendar, first.open_ns).expect("a block");
        for _ in 0..1_500 {
            for ns in [block.start_ns, block.end_ns() - 1] {
                assert_eq!(Block::ending_after(calendar, ns), Some(block), "{calendar}");
            }
            let next = block.next(calendar).expect("a block");
            let between = Block::ending_after(calendar, block.end_ns());
            assert_eq!(between, Some(next), "{calendar} after {block:?}");
            block = next;
        }
    }
}
