//! Trading days of the New York Stock Exchange from 1990 on.
//!
//! Sources: NYSE Rule 7.2 (holidays and how they are observed), the exchange's yearly notices
//! of holidays and early closings, and its list of special closings. The regular session is
//! 09:30–16:00. Openings that were delayed by minutes or hours, and halts within a session,
//! are not closures and not modelled.

use jiff::civil::{Date, Time, Weekday};

use super::feast::{is_after_easter, is_weekend, nth};

/// The first year whose sessions are known here.
pub(super) const FIRST_YEAR: i16 = 1990;

/// Whole days on which the exchange stayed shut for what no rule foresees, sorted.
const SPECIAL_CLOSURES: [Date; 11] = [
    // Funeral of President Nixon.
    Date::constant(1994, 4, 27),
    // Attacks of 11 September.
    Date::constant(2001, 9, 11),
    Date::constant(2001, 9, 12),
    Date::constant(2001, 9, 13),
    Date::constant(2001, 9, 14),
    // Days of mourning for Presidents Reagan and Ford.
    Date::constant(2004, 6, 11),
    Date::constant(2007, 1, 2),
    // Hurricane Sandy.
    Date::constant(2012, 10, 29),
    Date::constant(2012, 10, 30),
    // Days of mourning for Presidents G. H. W. Bush and Carter.
    Date::constant(2018, 12, 5),
    Date::constant(2025, 1, 9),
];

/// Early closings at 13:00 that no rule foresees.
const SPECIAL_EARLY_CLOSES: [Date; 3] = [
    Date::constant(1997, 12, 26),
    Date::constant(1999, 12, 31),
    Date::constant(2003, 12, 26),
];

/// When the exchange closes on a date, New York time; `None` where it does not open.
pub(super) fn close(date: Date) -> Option<Time> {
    if is_weekend(date) || is_holiday(date) || SPECIAL_CLOSURES.binary_search(&date).is_ok() {
        return None;
    }
    Some(Time::constant(
        if is_early_close(date) {
            early_close_hour(date)
        } else {
            16
        },
        0,
        0,
        0,
    ))
}

/// Until 1992 the exchange closed early at 14:00, since then at 13:00.
fn early_close_hour(date: Date) -> i8 {
    if date.year() < 1993 { 14 } else { 13 }
}

/// Whether a weekday is a regular holiday.
fn is_holiday(date: Date) -> bool {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let weekday = date.weekday();
    match month {
        // New Year's Day; on a Saturday it is not observed, as Friday closes the year's books.
        1 => {
            observed_on_monday(date, 1)
                || day == 1
                // Martin Luther King Jr. Day, since 1998.
                || year >= 1998 && nth(date, Weekday::Monday, 3)
        }
        // Washington's Birthday.
        2 => nth(date, Weekday::Monday, 3),
        3 | 4 => is_after_easter(date, -2),
        // Memorial Day: the last Monday.
        5 => weekday == Weekday::Monday && day > 24,
        // Juneteenth, since 2022.
        6 => year >= 2022 && observed(date, 19),
        // Independence Day.
        7 => observed(date, 4),
        // Labor Day.
        9 => nth(date, Weekday::Monday, 1),
        // Thanksgiving Day.
        11 => nth(date, Weekday::Thursday, 4),
        // Christmas Day.
        12 => observed(date, 25),
        _ => false,
    }
}

/// Whether a weekday is one on which the exchange closes early.
fn is_early_close(date: Date) -> bool {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let weekday = date.weekday();
    let by_rule = match month {
        // Before Independence Day, since 1995: 3 July where that is a Monday, Tuesday or
        // Thursday. Where it is a Wednesday: Friday 5 July until 2012, and itself since 2013.
        7 if year >= 1995 => match (day, weekday) {
            (3, Weekday::Wednesday) => year >= 2013,
            (3, Weekday::Monday | Weekday::Tuesday | Weekday::Thursday) => true,
            (5, Weekday::Friday) => year < 2013,
            _ => false,
        },
        // The day after Thanksgiving, since 1992.
        11 => year >= 1992 && weekday == Weekday::Friday && (23..=29).contains(&day),
        // Christmas Eve; where it is a Friday, Christmas is observed on it.
        12 => day == 24,
        _ => false,
    };
    by_rule || SPECIAL_EARLY_CLOSES.contains(&date)
}

/// Whether a holiday on that day of the month is observed on this weekday: on the day itself,
/// on Friday for a Saturday, on Monday for a Sunday.
fn observed(date: Date, day: i8) -> bool {
    date.day() == day
        || observed_on_monday(date, day)
        || (date.weekday() == Weekday::Friday && date.day() == day - 1)
}

/// Whether this is the Monday on which a Sunday's holiday is observed.
fn observed_on_monday(date: Date, day: i8) -> bool {
    date.weekday() == Weekday::Monday && date.day() == day + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Calendar;
    use jiff::civil::date;

    #[test]
    fn known_closures_have_no_session() {
        for (year, month, day) in [
            (1994, 4, 27),
            (1999, 12, 24),
            (2001, 9, 14),
            (2004, 6, 11),
            (2007, 1, 2),
            (2012, 10, 29),
            (2018, 12, 5),
            (2020, 7, 3),
            (2021, 12, 24),
            (2022, 6, 20),
            (2023, 1, 2),
            (2024, 3, 29),
            (2025, 1, 9),
            (2026, 11, 26),
            (2027, 6, 18),
        ] {
            assert_eq!(close(date(year, month, day)), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn days_that_look_like_holidays_but_are_not_have_sessions() {
        for (year, month, day) in [
            // Columbus Day and Veterans Day.
            (2026, 10, 12),
            (2026, 11, 11),
            // New Year's Day on a Saturday.
            (2010, 12, 31),
            (2021, 12, 31),
            // Before Juneteenth and Martin Luther King Jr. Day were holidays.
            (2020, 6, 19),
            (1997, 1, 20),
        ] {
            let close = close(date(year, month, day));
            assert_eq!(
                close,
                Some(Time::constant(16, 0, 0, 0)),
                "{year}-{month}-{day}"
            );
        }
    }

    #[test]
    fn early_closes_are_at_one_and_until_1992_at_two() {
        for (year, month, day, hour) in [
            (1990, 12, 24, 14),
            (1991, 11, 29, 16),
            (1992, 11, 27, 14),
            (1993, 11, 26, 13),
            (1996, 7, 5, 13),
            (1999, 12, 31, 13),
            (2012, 7, 3, 13),
            (2013, 7, 3, 13),
            (2013, 7, 5, 16),
            (2014, 12, 26, 16),
            (2026, 12, 24, 13),
        ] {
            let close = close(date(year, month, day));
            assert_eq!(
                close,
                Some(Time::constant(hour, 0, 0, 0)),
                "{year}-{month}-{day}"
            );
        }
    }

    /// Every session from 1990 to 2035, by a checksum that was computed from the schedule of
    /// exchange-calendars 4.13.2 (PyPI), its lines `date open_ns close_ns`.
    #[test]
    fn every_session_is_the_one_that_exchange_calendars_has() {
        let mut sessions = 0;
        let mut checksum = 0xcbf2_9ce4_8422_2325_u64;
        let mut day = date(1989, 12, 31);
        while let Some(session) = Calendar::Xnys.next_session(day) {
            day = session.date;
            if day.year() > 2035 {
                break;
            }
            sessions += 1;
            let line = format!("{} {} {}\n", day, session.open_ns, session.close_ns);
            for byte in line.bytes() {
                // FNV-1a, 64 bits.
                checksum = (checksum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        assert_eq!((sessions, checksum), (11_577, 0x92c3_c5d9_c4e3_4be9));
    }
}
