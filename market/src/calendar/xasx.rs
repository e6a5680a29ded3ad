//! Trading days of the Australian Securities Exchange from 2000 on.
//!
//! Source: the exchange's notices of trading days, which follow the national public holidays and
//! those of New South Wales that it observes. Orders from 07:00, trading 10:00–16:00, closing
//! single price auction at 16:10; since 2010 the last sessions before Christmas and of the year
//! end at 14:10.
//!
//! In the summer of Sydney a session opens at 23:00 UTC of the date before.

use jiff::civil::{Date, Weekday};

use super::feast::{
    december_or_friday_before, is, is_christmas, is_easter_holiday, is_weekend, nth, or_monday,
};
use super::hours::{Hours, at};

/// Closures that no rule foresees.
const SPECIAL_CLOSURES: [Date; 3] = [
    // Anzac Day on a Sunday, made up for in this year alone.
    Date::constant(2010, 4, 26),
    // Anzac Day on Easter Monday.
    Date::constant(2011, 4, 26),
    // Day of mourning for Queen Elizabeth II.
    Date::constant(2022, 9, 22),
];

const FULL: Hours = Hours::new(at(10, 0), at(16, 0))
    .orders_from(at(7, 0))
    .closing_auction(at(16, 0), at(16, 10));

const HALF: Hours = Hours::new(at(10, 0), at(14, 10))
    .orders_from(at(7, 0))
    .closing_auction(at(14, 10), at(14, 20));

/// The hours of a date, Sydney time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    if is_weekend(date) || is_holiday(date) || SPECIAL_CLOSURES.contains(&date) {
        return None;
    }
    let eve = december_or_friday_before(date, 24) || december_or_friday_before(date, 31);
    // In 2022 both eves were Saturdays and the Fridays before them had the usual hours.
    let half = eve && date.year() >= 2010 && date.year() != 2022;
    Some(if half { HALF } else { FULL })
}

fn is_holiday(date: Date) -> bool {
    let fixed = match date.month() {
        // New Year's Day and Australia Day.
        1 => or_monday(date, 1, 1) || or_monday(date, 1, 26),
        // Anzac Day.
        4 => is(date, 4, 25),
        // The sovereign's birthday.
        6 => nth(date, Weekday::Monday, 2),
        _ => is_christmas(date),
    };
    fixed || is_easter_holiday(date)
}
