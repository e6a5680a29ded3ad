//! Trading days of Xetra, the electronic market of the Frankfurt Stock Exchange, from 2000 on.
//!
//! Source: the exchange's yearly trading calendar. Opening auction 08:50–09:00, trading
//! 09:00–17:30, closing auction to 17:35; since 2010 the year's last session ends at 14:00.

use jiff::civil::{Date, Weekday};

use super::feast::{is, is_after_easter, is_easter_holiday, is_weekend};
use super::hours::{Hours, at};

const FULL: Hours = Hours::new(at(9, 0), at(17, 30))
    .orders_from(at(8, 0))
    .opening_call(at(8, 50))
    .closing_auction(at(17, 30), at(17, 35));

const HALF: Hours = Hours::new(at(9, 0), at(14, 0))
    .orders_from(at(8, 0))
    .opening_call(at(8, 50))
    .closing_auction(at(14, 0), at(14, 5));

/// The hours of a date, Berlin time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    if is_weekend(date) || is_holiday(date) {
        return None;
    }
    Some(if is_last_of_year(date) && date.year() >= 2010 {
        HALF
    } else {
        FULL
    })
}

fn is_holiday(date: Date) -> bool {
    let year = date.year();
    let fixed = match (date.month(), date.day()) {
        (1, 1) | (5, 1) | (12, 24 | 25 | 26 | 31) => true,
        // Day of German Unity.
        (10, 3) => (2014..=2021).contains(&year),
        // Five hundred years after the Reformation.
        (10, 31) => year == 2017,
        _ => false,
    };
    let whit_monday = year == 2007 || (2015..=2021).contains(&year);
    fixed || is_easter_holiday(date) || whit_monday && is_after_easter(date, 50)
}

/// Whether a session is the last one: the 31st is closed, and so the last weekday before it.
fn is_last_of_year(date: Date) -> bool {
    is(date, 12, 30)
        || date.month() == 12 && date.weekday() == Weekday::Friday && matches!(date.day(), 28 | 29)
}
