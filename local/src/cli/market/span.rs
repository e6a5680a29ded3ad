//! From when until when.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use stockpipe_market::calendar::Calendar;

/// A point in time as a command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// On the exchange's clock, of the day that is being made.
    Time(Time),
    /// A date of the exchange.
    Date(Date),
    /// On the exchange's clock.
    Local(DateTime),
    /// With its zone.
    Instant(Timestamp),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        // An instant names its zone.
        if let Ok(instant) = text.parse() {
            return Ok(Moment::Instant(instant));
        }
        let parsed = match (text.contains(['T', ' ']), text.contains(':')) {
            (true, _) => text.parse().ok().map(Moment::Local),
            (_, true) => text.parse().ok().map(Moment::Time),
            _ => text.parse().ok().map(Moment::Date),
        };
        parsed.ok_or_else(|| {
            "write a time such as 10:00, a date such as 2026-11-20, or both such as \
             2026-11-20T10:00"
                .to_owned()
        })
    }
}

/// Where a span begins, and what is made and written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The market begins here.
    pub(super) start_ns: i64,
    /// Ticks are written from here on.
    pub(super) from_ns: i64,
    /// And before this.
    pub(super) until_ns: i64,
    /// The only day of it, where it is one.
    pub(super) day: Option<Date>,
}

/// The instant that `moment` names; a time is one of `day`. A date's end is meant where `end`.
///
/// # Errors
/// A clause that says what to write.
pub(super) fn instant(
    calendar: Calendar,
    day: Option<Date>,
    moment: Moment,
    end: bool,
) -> Result<i64, String> {
    let midnight = |date: Date| calendar.instant(date.at(0, 0, 0, 0));
    match (moment, day) {
        (Moment::Time(time), Some(day)) => Ok(calendar.instant(day.to_datetime(time))),
        (Moment::Time(time), None) => Err(format!(
            "{time} is a time of which day? Give --day, or a date with it, such as \
             2026-11-20T{time}"
        )),
        (Moment::Date(date), _) if end => date
            .tomorrow()
            .map(midnight)
            .map_err(|_| format!("{date} has no end")),
        (Moment::Date(date), _) => Ok(midnight(date)),
        (Moment::Local(local), _) => Ok(calendar.instant(local)),
        (Moment::Instant(instant), _) => i64::try_from(instant.as_nanosecond())
            .map_err(|_| format!("{instant} is beyond the years 1678 to 2261")),
    }
}

/// What `--day`, `--from` and `--to` mean together.
///
/// # Errors
/// A sentence that says what to write.
pub(super) fn span(
    calendar: Calendar,
    day: Option<Date>,
    from: Option<Moment>,
    to: Option<Moment>,
) -> Result<Span, String> {
    let at = |flag: &str, moment, end| {
        instant(calendar, day, moment, end).map_err(|clause| format!("{flag}: {clause}"))
    };
    let span = if let Some(date) = day {
        let session = calendar
            .session(date)
            .ok_or_else(|| no_session(calendar, date))?;
        let end = calendar.complete_at(date).unwrap_or(session.close_ns);
        Span {
            start_ns: session.open_ns,
            from_ns: from.map_or(Ok(session.open_ns), |from| at("--from", from, false))?,
            until_ns: to.map_or(Ok(end), |to| at("--to", to, true))?,
            day,
        }
    } else {
        let from = from.ok_or(
            "which session? Give --day 2026-11-20, or several by --from 2026-11-16 --to 2026-11-20",
        )?;
        let from_ns = at("--from", from, false)?;
        let to = match (to, from) {
            (Some(to), _) => to,
            (None, Moment::Date(_)) => from,
            (None, _) => return Err("--to is missing: until when?".to_owned()),
        };
        let midnight = calendar.local_date(from_ns).at(0, 0, 0, 0);
        Span {
            start_ns: calendar.instant(midnight),
            from_ns,
            until_ns: at("--to", to, true)?,
            day: None,
        }
    };
    if span.until_ns <= span.from_ns {
        return Err("--to must be after --from".to_owned());
    }
    Ok(span)
}

fn no_session(calendar: Calendar, date: Date) -> String {
    let weekday = date.strftime("%A");
    match calendar.next_session(date) {
        Some(next) => format!(
            "{calendar} is closed on {date}, a {weekday}; its next session is {}",
            next.date
        ),
        None => format!(
            "{calendar} is known from {} to {}",
            calendar.first_date(),
            calendar.last_date()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn ns(text: &str) -> i64 {
        let instant: Timestamp = text.parse().unwrap();
        i64::try_from(instant.as_nanosecond()).unwrap()
    }

    fn moment(text: &str) -> Option<Moment> {
        (!text.is_empty()).then(|| text.parse().unwrap())
    }

    fn spanned(day: Option<Date>, from: &str, to: &str) -> Result<(i64, i64, i64), String> {
        span(Calendar::Xnys, day, moment(from), moment(to))
            .map(|span| (span.start_ns, span.from_ns, span.until_ns))
    }

    #[test]
    fn a_day_is_its_session_with_the_close() {
        let friday = Some(date(2026, 11, 20));
        let (open, close) = (ns("2026-11-20T14:30:00Z"), ns("2026-11-20T21:00:00Z"));
        assert_eq!(spanned(friday, "", ""), Ok((open, open, close + 1)));
        // A part of it is a part of the same market.
        let (ten, eleven) = (ns("2026-11-20T15:00:00Z"), ns("2026-11-20T16:00:00Z"));
        assert_eq!(spanned(friday, "10:00", "11:00"), Ok((open, ten, eleven)));
    }

    #[test]
    fn dates_are_meant_with_their_end_and_instants_as_they_are() {
        let (from, to) = (ns("2026-11-19T05:00:00Z"), ns("2026-11-21T05:00:00Z"));
        assert_eq!(
            spanned(None, "2026-11-19", "2026-11-20"),
            Ok((from, from, to))
        );
        let one = ns("2026-11-20T05:00:00Z");
        assert_eq!(spanned(None, "2026-11-19", ""), Ok((from, from, one)));
        let (ten, half) = (ns("2026-11-19T15:00:00Z"), ns("2026-11-19T15:30:00Z"));
        let local = spanned(None, "2026-11-19T10:00", "2026-11-19T15:30:00Z");
        assert_eq!(local, Ok((from, ten, half)));
    }

    #[test]
    fn what_makes_no_span_is_refused_with_a_sentence() {
        let friday = Some(date(2026, 11, 20));
        for (day, from, to, words) in [
            (None, "", "", "which session? Give --day"),
            (
                None,
                "10:00",
                "",
                "--from: 10:00:00 is a time of which day?",
            ),
            (None, "2026-11-19T10:00", "", "--to is missing"),
            (friday, "11:00", "10:00", "--to must be after --from"),
            (
                Some(date(2026, 11, 22)),
                "",
                "",
                "XNYS is closed on 2026-11-22, a Sunday; its next session is 2026-11-23",
            ),
            (Some(date(2300, 1, 1)), "", "", "XNYS is known from"),
        ] {
            let refusal = spanned(day, from, to).unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
        for text in ["", "ten", "10:99", "2026-13-01", "2026-11-20T", "20"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
