//! Trading days of Euronext Paris from 2000 on.
//!
//! Source: the exchange's calendars and hours. Orders from 07:15, trading 09:00–17:30, closing
//! auction to 17:35; on Christmas Eve and New Year's Eve trading ends at 14:05.

use jiff::civil::Date;

use super::feast::{is, is_after_easter, is_easter_holiday, is_weekend};
use super::hours::{Hours, at};

const FULL: Hours = Hours::new(at(9, 0), at(17, 30))
    .orders_from(at(7, 15))
    .closing_auction(at(17, 30), at(17, 35));

const HALF: Hours = Hours::new(at(9, 0), at(14, 5))
    .orders_from(at(7, 15))
    .closing_auction(at(14, 5), at(14, 10));

/// The hours of a date, Paris time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    if is_weekend(date) || is_holiday(date) {
        return None;
    }
    let half = is(date, 12, 24) || is(date, 12, 31);
    Some(if half { HALF } else { FULL })
}

fn is_holiday(date: Date) -> bool {
    // Until 2001, before the markets of Euronext shared one calendar.
    let french = date.year() <= 2001;
    let fixed = match (date.month(), date.day()) {
        (1, 1) | (5, 1) | (12, 25 | 26) => true,
        (7, 14) | (12, 31) => french,
        _ => false,
    };
    fixed || is_easter_holiday(date) || french && is_after_easter(date, 50)
}
