//! Trading days of BSE, Bombay, 2000 to 2026.
//!
//! The exchange announces its holidays year by year, many by the moon: they are a table, and the
//! calendar ends with the last year announced. Pre-open call auction 09:00–09:15 since 18
//! October 2010, trading 09:15–15:30. The hour of Muhurat trading on Diwali is not modelled.
//!
//! The closing price is a mean of the last half hour. Since 3 August 2026 shares with derivatives
//! have a closing auction instead, from 15:15 (SEBI's circular of 16 January 2026), which is not
//! modelled: which shares those are is not known here.

use jiff::civil::Date;

use super::feast::is_weekend;
use super::hours::{Hours, at};
use super::xbom_holidays::{FIRST_YEAR, HOLIDAYS};

/// Saturdays on which the exchange opened: a test of its disaster recovery, and the Budget.
const SATURDAYS: [Date; 2] = [Date::constant(2024, 1, 20), Date::constant(2025, 2, 1)];

/// Since when there is a call auction before the open.
const CALL_AUCTION: Date = Date::constant(2010, 10, 18);

/// The hours of a date, Indian time; `None` where the exchange does not open.
pub(super) fn hours(date: Date) -> Option<Hours> {
    let year = usize::try_from(date.year() - FIRST_YEAR).ok()?;
    let holidays = HOLIDAYS.get(year)?;
    let day = u16::from(date.month().unsigned_abs()) * 100 + u16::from(date.day().unsigned_abs());
    if is_weekend(date) && !SATURDAYS.contains(&date) || holidays.binary_search(&day).is_ok() {
        return None;
    }
    let hours = Hours::new(at(9, 15), at(15, 30));
    Some(if date < CALL_AUCTION {
        hours
    } else {
        hours.opening_call(at(9, 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_sorted_dates_of_weekdays() {
        for (year, days) in (FIRST_YEAR..).zip(HOLIDAYS) {
            assert!(days.is_sorted(), "{year}");
            for day in days {
                let date = Date::new(year, (day / 100) as i8, (day % 100) as i8);
                assert!(date.is_ok_and(|date| !is_weekend(date)), "{year} {day}");
            }
        }
    }
}
