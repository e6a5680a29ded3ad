//! Trading days of the London Stock Exchange from 2000 on.
//!
//! Sources: the Banking and Financial Dealings Act 1971 (bank holidays of England and Wales) and
//! the royal proclamations that moved or added some; the exchange's calendar of business days.
//! SETS: opening auction 07:50–08:00, trading 08:00–16:30, closing auction to 16:35; on the last
//! business days before Christmas and the New Year trading ends at 12:30.

use jiff::civil::{Date, Weekday};

use super::feast::{
    december_or_friday_before, is_christmas, is_easter_holiday, is_weekend, last, nth, or_monday,
};
use super::hours::{Hours, at};

/// Bank holidays that no rule foresees, sorted.
const PROCLAIMED: [Date; 10] = [
    // Golden Jubilee, with the spring holiday moved to its eve.
    Date::constant(2002, 6, 3),
    Date::constant(2002, 6, 4),
    // Wedding of Prince William.
    Date::constant(2011, 4, 29),
    // Diamond Jubilee.
    Date::constant(2012, 6, 4),
    Date::constant(2012, 6, 5),
    // 75 years after the victory in Europe: the early May holiday, moved.
    Date::constant(2020, 5, 8),
    // Platinum Jubilee.
    Date::constant(2022, 6, 2),
    Date::constant(2022, 6, 3),
    // Funeral of Queen Elizabeth II.
    Date::constant(2022, 9, 19),
    // Coronation of King Charles III.
    Date::constant(2023, 5, 8),
];

const FULL: Hours = Hours::new(at(8, 0), at(16, 30))
    .orders_from(at(7, 0))
    .opening_call(at(7, 50))
    .closing_auction(at(16, 30), at(16, 35));

const HALF: Hours = Hours::new(at(8, 0), at(12, 30))
    .orders_from(at(7, 0))
    .opening_call(at(7, 50))
    .closing_auction(at(12, 30), at(12, 35));

/// The hours of a date, London time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    if is_weekend(date) || is_bank_holiday(date) {
        return None;
    }
    let half = december_or_friday_before(date, 24) || december_or_friday_before(date, 31);
    Some(if half { HALF } else { FULL })
}

fn is_bank_holiday(date: Date) -> bool {
    let by_rule = match date.month() {
        1 => or_monday(date, 1, 1),
        // Early May and spring holidays; moved in the years of the list.
        5 => {
            nth(date, Weekday::Monday, 1) && date.year() != 2020
                || last(date, Weekday::Monday) && !matches!(date.year(), 2002 | 2012 | 2022)
        }
        8 => last(date, Weekday::Monday),
        _ => is_christmas(date),
    };
    by_rule || is_easter_holiday(date) || PROCLAIMED.binary_search(&date).is_ok()
}
