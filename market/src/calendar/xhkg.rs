//! Trading days of the Stock Exchange of Hong Kong, 2000 to 2049.
//!
//! Sources: the General Holidays Ordinance (Cap. 149), with the substitution of Lunar New Year
//! since 2013; HKEX's news of trading hours (23 November 2010, 1 March 2012), of the closing
//! auction session (19 May 2008; 2016), and its notices of days that a typhoon took. Sessions that
//! a typhoon or rainstorm only shortened are not modelled.

use jiff::civil::{Date, Weekday};

use super::feast::{after_easter, is, is_easter_holiday, is_weekend, or_monday_after_sunday};
use super::hours::{Hours, at};
use super::xhkg_feasts::{FEASTS, FIRST_YEAR};
use super::{next, previous};

/// Closures that no rule foresees, sorted.
const SPECIAL_CLOSURES: [Date; 15] = [
    // Typhoons Utor, Yutu, Kammuri, Nuri.
    Date::constant(2001, 7, 6),
    Date::constant(2001, 7, 25),
    Date::constant(2008, 8, 6),
    Date::constant(2008, 8, 22),
    // Typhoon Nesat.
    Date::constant(2011, 9, 29),
    // Typhoon Utor.
    Date::constant(2013, 8, 14),
    // Seventy years after the victory over Japan.
    Date::constant(2015, 9, 3),
    // Typhoons Nida, Haima, Hato, Nangka, Kompasu.
    Date::constant(2016, 8, 2),
    Date::constant(2016, 10, 21),
    Date::constant(2017, 8, 23),
    Date::constant(2020, 10, 13),
    Date::constant(2021, 10, 13),
    // In lieu of the day after Mid-Autumn, a Sunday.
    Date::constant(2022, 9, 12),
    // Typhoons Talim and Yagi.
    Date::constant(2023, 7, 17),
    Date::constant(2024, 9, 6),
];

/// Since when the market opens at 09:30, and since when it lunches for an hour.
const EARLIER_OPEN: Date = Date::constant(2011, 3, 7);
const SHORT_LUNCH: Date = Date::constant(2012, 3, 5);

/// The hours of a date, Hong Kong time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    let year = usize::try_from(date.year() - FIRST_YEAR).ok()?;
    let feasts = Feasts(date, *FEASTS.get(year)?);
    let closed = is_weekend(date)
        || is_easter_holiday(date)
        || is_fixed_holiday(date)
        || feasts.are_holiday()
        || SPECIAL_CLOSURES.binary_search(&date).is_ok();
    if closed {
        return None;
    }
    let half = is(date, 12, 24) || is(date, 12, 31) || next(date) == feasts.new_year();
    Some(hours_of(date, half))
}

fn hours_of(date: Date, half: bool) -> Hours {
    let (call, open, noon) = if date < EARLIER_OPEN {
        (at(9, 30), at(10, 0), at(12, 30))
    } else {
        (at(9, 0), at(9, 30), at(12, 0))
    };
    let close = if half { noon } else { at(16, 0) };
    let mut hours = Hours::new(open, close).opening_call(call);
    if !half {
        let afternoon = if date < EARLIER_OPEN {
            at(14, 30)
        } else if date < SHORT_LUNCH {
            at(13, 30)
        } else {
            at(13, 0)
        };
        hours = hours.lunch(noon, afternoon);
    }
    if has_closing_auction(date) {
        hours = hours.closing_auction(close, at(close.hour(), close.minute() + 10));
    }
    hours
}

/// The first closing auction session lasted from May 2008 to March 2009.
fn has_closing_auction(date: Date) -> bool {
    date >= Date::constant(2016, 7, 25)
        || (Date::constant(2008, 5, 26)..Date::constant(2009, 3, 23)).contains(&date)
}

fn is_fixed_holiday(date: Date) -> bool {
    let on_a_date = [(1, 1), (5, 1), (7, 1), (10, 1)]
        .into_iter()
        .any(|(month, day)| or_monday_after_sunday(date, month, day));
    // Christmas Day and the first weekday after it.
    let christmas = date.month() == 12
        && (matches!(date.day(), 25 | 26)
            || date.day() == 27 && matches!(date.weekday(), Weekday::Monday | Weekday::Tuesday));
    on_a_date || christmas
}

/// A date beside the lunar feasts of its year.
struct Feasts(Date, [u16; 6]);

impl Feasts {
    fn date(&self, index: usize) -> Date {
        let day = self.1[index];
        Date::constant(self.0.year(), (day / 100) as i8, (day % 100) as i8)
    }

    /// First day of the Lunar New Year.
    fn new_year(&self) -> Date {
        self.date(0)
    }

    fn are_holiday(&self) -> bool {
        let date = self.0;
        // What falls on another holiday moves to the next day.
        let mut ching_ming = or_following_monday(self.date(1));
        if ching_ming == after_easter(date.year(), 1) {
            ching_ming = next(ching_ming);
        }
        let mut after_mid_autumn = next(self.date(4));
        if is(after_mid_autumn, 10, 1) {
            after_mid_autumn = next(after_mid_autumn);
        }
        // Buddha's Birthday, Tuen Ng and Chung Yeung.
        let on_their_day = [2, 3, 5].map(|index| or_following_monday(self.date(index)));
        date == ching_ming
            || date == after_mid_autumn
            || on_their_day.contains(&date)
            || self.is_new_year_holiday()
    }

    /// The first three days of the Lunar New Year; where one is a Sunday, the fourth too, and
    /// until 2012 the eve instead.
    fn is_new_year_holiday(&self) -> bool {
        let first = self.new_year();
        let (second, third) = (next(first), next(next(first)));
        let sunday = [first, second, third]
            .into_iter()
            .any(|day| day.weekday() == Weekday::Sunday);
        let lieu = if self.0.year() >= 2013 {
            next(third)
        } else {
            previous(first)
        };
        [first, second, third].contains(&self.0) || sunday && self.0 == lieu
    }
}

fn or_following_monday(date: Date) -> Date {
    if date.weekday() == Weekday::Sunday {
        next(date)
    } else {
        date
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feast_of_the_table_falls_in_its_season() {
        let seasons = [
            (121, 220),
            (404, 405),
            (428, 528),
            (527, 625),
            (907, 1006),
            (1001, 1030),
        ];
        for (year, feasts) in (FIRST_YEAR..).zip(FEASTS) {
            for (day, (first, last)) in feasts.into_iter().zip(seasons) {
                assert!((first..=last).contains(&day), "{year} {day}");
            }
        }
    }
}
