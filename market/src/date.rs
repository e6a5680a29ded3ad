//! Dates as day numbers and as text, without a calendar library's detours.

use jiff::civil::Date;

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
///
/// Era arithmetic after H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013).
#[cfg(any(test, feature = "arrow"))]
pub(crate) fn epoch_days(date: Date) -> i32 {
    let month = i32::from(date.month());
    let year = i32::from(date.year()) - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i32::from(date.day()) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of a number of days since 1970-01-01; `None` outside the years −9999 to 9999.
#[cfg(any(test, feature = "arrow"))]
pub(crate) fn from_epoch_days(days: i32) -> Option<Date> {
    let days = days.checked_add(719_468)?;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i32::from(month <= 2);
    Date::new(i16::try_from(year).ok()?, month as i8, day as i8).ok()
}

/// The date that `YYYY-MM-DD` writes.
pub(crate) fn parse(text: &[u8]) -> Option<Date> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_i16, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + i16::from(byte - b'0'))
        })
    };
    let year = number(&[y1, y2, y3, y4])?;
    Date::new(year, number(&[m1, m2])? as i8, number(&[d1, d2])? as i8).ok()
}

/// Appends `YYYY-MM-DD`.
pub(crate) fn write(date: Date, out: &mut Vec<u8>) {
    let digit = |value: i16| b'0' + (value % 10) as u8;
    let (year, month, day) = (date.year(), i16::from(date.month()), i16::from(date.day()));
    if year < 0 {
        // Outside the documented range; readable, and refused by every decoder.
        out.extend_from_slice(date.to_string().as_bytes());
        return;
    }
    out.extend_from_slice(&[
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn known_days_have_their_numbers() {
        assert_eq!(epoch_days(date(1970, 1, 1)), 0);
        assert_eq!(epoch_days(date(1969, 12, 31)), -1);
        assert_eq!(epoch_days(date(2000, 2, 29)), 11_016);
        assert_eq!(epoch_days(date(2026, 11, 20)), 20_777);
        assert_eq!(epoch_days(date(0, 1, 1)), -719_528);
    }

    #[test]
    fn texts_that_are_no_dates_are_refused() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "20260101",
            "2026/01/01",
            "2026-01-0a",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn day_numbers_agree_with_jiff_and_read_back(days in -719_528_i32..2_932_896) {
            let date = from_epoch_days(days).expect("within the range");
            prop_assert_eq!(epoch_days(date), days);
            let since = date.since(jiff::civil::date(1970, 1, 1)).expect("a span of days");
            prop_assert_eq!(since.get_days(), days);
            let mut text = Vec::new();
            write(date, &mut text);
            prop_assert_eq!(parse(&text), Some(date));
        }
    }
}
