//! The arithmetic of holidays: weekdays of a month, Easter, and the days that stand in for
//! holidays on weekends.

use jiff::Span;
use jiff::civil::{Date, Weekday};

/// Whether a date is a Saturday or a Sunday.
pub(super) fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Whether a date is this day of this month.
pub(super) fn is(date: Date, month: i8, day: i8) -> bool {
    date.month() == month && date.day() == day
}

/// Whether a date is the `n`th such weekday of its month.
pub(super) fn nth(date: Date, weekday: Weekday, n: i8) -> bool {
    date.weekday() == weekday && (date.day() - 1) / 7 == n - 1
}

/// Whether a date is the last such weekday of its month.
pub(super) fn last(date: Date, weekday: Weekday) -> bool {
    date.weekday() == weekday && date.day() + 7 > date.days_in_month()
}

/// Whether a holiday on that day of the month is observed on a date: on the day itself, or on the
/// Monday after a weekend. The day must not be one of the month's last two.
pub(super) fn or_monday(date: Date, month: i8, day: i8) -> bool {
    is(date, month, day)
        || date.month() == month
            && date.weekday() == Weekday::Monday
            && matches!(date.day() - day, 1 | 2)
}

/// The same for a holiday that is made up for only where it falls on a Sunday.
pub(super) fn or_monday_after_sunday(date: Date, month: i8, day: i8) -> bool {
    is(date, month, day) || is(date, month, day + 1) && date.weekday() == Weekday::Monday
}

/// Whether a date is that day of December, or the Friday before where it falls on a weekend.
pub(super) fn december_or_friday_before(date: Date, day: i8) -> bool {
    is(date, 12, day)
        || date.month() == 12
            && date.weekday() == Weekday::Friday
            && matches!(day - date.day(), 1 | 2)
}

/// Whether a date is Christmas Day, Boxing Day, or a weekday in lieu of either: where one falls
/// on a weekend, 27 or 28 December.
pub(super) fn is_christmas(date: Date) -> bool {
    date.month() == 12
        && (matches!(date.day(), 25 | 26)
            || matches!(date.day(), 27 | 28)
                && matches!(date.weekday(), Weekday::Monday | Weekday::Tuesday))
}

/// Whether a date lies that many days after Easter Sunday: −2 is Good Friday, 1 Easter Monday,
/// 50 Whit Monday.
pub(super) fn is_after_easter(date: Date, days: i32) -> bool {
    matches!(date.month(), 3..=6) && date == after_easter(date.year(), days)
}

/// Whether a date is Good Friday or Easter Monday.
pub(super) fn is_easter_holiday(date: Date) -> bool {
    is_after_easter(date, -2) || is_after_easter(date, 1)
}

/// The date that many days after Easter Sunday, which the anonymous Gregorian algorithm finds
/// (J. Meeus, "Astronomical Algorithms", 1991, chapter 8).
pub(super) fn after_easter(year: i16, days: i32) -> Date {
    let year = i32::from(year);
    let a = year % 19;
    let (b, c) = (year / 100, year % 100);
    let (d, e) = (b / 4, b % 4);
    let f = (b + 8) / 25;
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    let easter = Date::constant(year as i16, (n / 31) as i8, (n % 31 + 1) as i8);
    easter.saturating_add(Span::new().days(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn easter_is_where_the_church_has_it() {
        for easter in [
            date(2000, 4, 23),
            date(2008, 3, 23),
            date(2011, 4, 24),
            date(2026, 4, 5),
            date(2038, 4, 25),
        ] {
            assert_eq!(after_easter(easter.year(), 0), easter);
        }
        assert!(is_after_easter(date(2026, 4, 3), -2));
        assert!(is_after_easter(date(2011, 6, 13), 50));
    }

    #[test]
    fn weekdays_are_counted_from_both_ends_of_a_month() {
        assert!(nth(date(2026, 11, 26), Weekday::Thursday, 4));
        assert!(!nth(date(2026, 11, 27), Weekday::Thursday, 4));
        assert!(last(date(2026, 8, 31), Weekday::Monday));
        assert!(!last(date(2026, 8, 24), Weekday::Monday));
    }

    #[test]
    fn weekends_are_made_up_for_after_or_before() {
        assert!(or_monday(date(2022, 1, 3), 1, 1));
        assert!(or_monday(date(2023, 1, 2), 1, 1));
        assert!(!or_monday(date(2024, 1, 2), 1, 1));
        assert!(or_monday_after_sunday(date(2023, 1, 2), 1, 1));
        assert!(!or_monday_after_sunday(date(2022, 1, 3), 1, 1));
        assert!(december_or_friday_before(date(2022, 12, 23), 24));
        assert!(!december_or_friday_before(date(2021, 12, 23), 24));
        assert!(is_christmas(date(2022, 12, 27)));
        assert!(!is_christmas(date(2023, 12, 27)));
    }
}
