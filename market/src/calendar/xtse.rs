//! Trading days of the Toronto Stock Exchange from 2000 on.
//!
//! Sources: the Retail Business Holidays Act of Ontario and the exchange's yearly list of
//! holidays. Orders from 07:00, trading 09:30–16:00 with the closing auction at the close; since
//! 2010 Christmas Eve ends at 13:00.

use jiff::civil::{Date, Weekday};

use super::feast::{is, is_after_easter, is_christmas, is_weekend, nth, or_monday};
use super::hours::{Hours, at};

/// Attacks of 11 September 2001.
const SPECIAL_CLOSURES: [Date; 2] = [Date::constant(2001, 9, 11), Date::constant(2001, 9, 12)];

const FULL: Hours = Hours::new(at(9, 30), at(16, 0))
    .orders_from(at(7, 0))
    .closing_auction(at(16, 0), at(16, 0));

const HALF: Hours = Hours::new(at(9, 30), at(13, 0))
    .orders_from(at(7, 0))
    .closing_auction(at(13, 0), at(13, 0));

/// The hours of a date, Toronto time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    if is_weekend(date) || is_holiday(date) || SPECIAL_CLOSURES.contains(&date) {
        return None;
    }
    let half = is(date, 12, 24) && date.year() >= 2010;
    Some(if half { HALF } else { FULL })
}

fn is_holiday(date: Date) -> bool {
    let monday = |n| nth(date, Weekday::Monday, n);
    match date.month() {
        1 => or_monday(date, 1, 1),
        // Family Day.
        2 => monday(3) && date.year() >= 2008,
        3 | 4 => is_after_easter(date, -2),
        // Victoria Day: the Monday before 25 May.
        5 => date.weekday() == Weekday::Monday && (18..=24).contains(&date.day()),
        // Canada Day, Civic Holiday, Labour Day, Thanksgiving Day.
        7 => or_monday(date, 7, 1),
        8 | 9 => monday(1),
        10 => monday(2),
        _ => is_christmas(date),
    }
}
