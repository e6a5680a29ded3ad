//! Trading days of the Tokyo Stock Exchange, 2000 to 2099.
//!
//! Sources: the Act on National Holidays (Act 178 of 1948) with its amendments in force since
//! 2000 and 2003 (Happy Mondays), 2007 (Greenery Day; days in lieu) and 2016 (Mountain Day), those
//! for the Olympic years 2020 and 2021, and the act for the accession of 2019; the exchange's own
//! days off from 31 December to 3 January; its news of trading hours.
//!
//! Orders from 08:00, trading 09:00–15:30 with lunch 11:30–12:30 and a closing auction from 15:25
//! since 5 November 2024; to 15:00 before, where orders for the close were crossed without a call. Until 18 November 2011 lunch began at 11:00, and until
//! January 2009 the first and the last session of a year had only the morning.

use jiff::civil::{Date, Weekday};

use super::feast::{is, is_weekend, nth};
use super::hours::{Hours, at};
use super::{next, previous};

/// Since when lunch is from 11:30.
const LONGER_MORNING: Date = Date::constant(2011, 11, 21);
/// Since when trading ends at 15:30.
const LONGER_AFTERNOON: Date = Date::constant(2024, 11, 5);
/// Since when the first and the last session of a year are whole.
const WHOLE_CEREMONIES: Date = Date::constant(2009, 12, 30);
/// The trading system failed for a day.
const OUTAGE: Date = Date::constant(2020, 10, 1);

const NOW: Hours = Hours::new(at(9, 0), at(15, 30))
    .orders_from(at(8, 0))
    .lunch(at(11, 30), at(12, 30))
    .closing_auction(at(15, 25), at(15, 30));

const TO_THREE: Hours = Hours::new(at(9, 0), at(15, 0))
    .orders_from(at(8, 0))
    .lunch(at(11, 30), at(12, 30))
    .closing_auction(at(15, 0), at(15, 0));

const LONG_LUNCH: Hours = Hours::new(at(9, 0), at(15, 0))
    .orders_from(at(8, 0))
    .lunch(at(11, 0), at(12, 30))
    .closing_auction(at(15, 0), at(15, 0));

const MORNING: Hours = Hours::new(at(9, 0), at(11, 0))
    .orders_from(at(8, 0))
    .closing_auction(at(11, 0), at(11, 0));

/// The hours of a date, Tokyo time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    if !is_open(date) {
        return None;
    }
    Some(if date >= LONGER_AFTERNOON {
        NOW
    } else if date >= LONGER_MORNING {
        TO_THREE
    } else if date < WHOLE_CEREMONIES && (is_first_of_year(date) || is_last_of_year(date)) {
        MORNING
    } else {
        LONG_LUNCH
    })
}

fn is_open(date: Date) -> bool {
    let year_turns = matches!((date.month(), date.day()), (12, 31) | (1, 1..=3));
    !is_weekend(date) && !year_turns && !is_day_off(date) && date != OUTAGE
}

/// Whether no day of January before this session is one.
fn is_first_of_year(date: Date) -> bool {
    date.month() == 1 && (1..date.day()).all(|day| !is_open(Date::constant(date.year(), 1, day)))
}

/// Whether no day of December after this session is one.
fn is_last_of_year(date: Date) -> bool {
    date.month() == 12
        && (date.day() + 1..=31).all(|day| !is_open(Date::constant(date.year(), 12, day)))
}

/// Whether a date is a national holiday, one in lieu, or one between two.
fn is_day_off(date: Date) -> bool {
    is_national_holiday(date)
        || is_in_lieu(date)
        || date.weekday() != Weekday::Sunday
            && is_national_holiday(previous(date))
            && is_national_holiday(next(date))
}

/// Whether a date makes up for a holiday on a Sunday: the Monday, and since 2007 the first date
/// after it that is no holiday (Article 3, paragraph 2).
fn is_in_lieu(date: Date) -> bool {
    let mut before = previous(date);
    if date.year() >= 2007 {
        while is_national_holiday(before) && before.weekday() != Weekday::Sunday {
            before = previous(before);
        }
    }
    before.weekday() == Weekday::Sunday && is_national_holiday(before)
}

fn is_national_holiday(date: Date) -> bool {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let monday = |n| nth(date, Weekday::Monday, n);
    match month {
        // New Year's Day and Coming of Age Day.
        1 => day == 1 || monday(2),
        // Foundation Day, and the Emperor's Birthday since 2020.
        2 => day == 11 || day == 23 && year >= 2020,
        3 => day == equinox(year, 20_843_100),
        // Greenery Day, since 2007 Showa Day.
        4 => day == 29,
        // Constitution Day, Greenery Day since 2007, Children's Day; accession of 2019.
        5 => matches!(day, 3 | 5) || day == 4 && year >= 2007 || is(date, 5, 1) && year == 2019,
        // Marine Day; with Sports Day moved to the opening of the Olympic Games.
        7 => match year {
            ..=2002 => day == 20,
            2020 => matches!(day, 23 | 24),
            2021 => matches!(day, 22 | 23),
            _ => monday(3),
        },
        // Mountain Day.
        8 => match year {
            ..=2015 => false,
            2020 => day == 10,
            2021 => day == 8,
            _ => day == 11,
        },
        // Respect for the Aged Day and the autumnal equinox.
        9 => (if year <= 2002 { day == 15 } else { monday(3) }) || day == equinox(year, 23_248_800),
        // Sports Day; enthronement of 2019.
        10 => monday(2) && !matches!(year, 2020 | 2021) || day == 22 && year == 2019,
        // Culture Day and Labour Thanksgiving Day.
        11 => matches!(day, 3 | 23),
        // The former Emperor's Birthday.
        12 => day == 23 && year <= 2018,
        _ => false,
    }
}

/// The day of the month of an equinox in Japan, 1980 to 2099, from its day in 1980 in millionths
/// (the customary approximation of the Ephemeris published by the Hydrographic Department).
fn equinox(year: i16, in_1980: i32) -> i8 {
    let years = i32::from(year) - 1980;
    ((in_1980 + 242_194 * years) / 1_000_000 - years / 4) as i8
}
