//! Dates and times as files write them.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::pipeline::Fold;

use crate::produce::pace::Nanos;

/// How a file's times are read.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    zone_name: String,
    fold: Fold,
    formats: Vec<Format>,
}

/// How a time is written.
#[derive(Clone, Debug)]
enum Format {
    /// As strptime has it.
    Pattern(String),
    /// A count since 1970: its unit is `10^-n` seconds.
    Epoch(usize),
}

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// An instant.
    Instant(Nanos),
    /// A whole session.
    Date(Date),
}

/// As [`When`], before the zone is considered.
enum Written {
    Instant(Timestamp),
    Local(DateTime),
    Date(Date),
}

impl Clock {
    /// Times of `zone` where they name none, in the first of `formats` that fits; without formats as ISO 8601 or as an
    /// epoch whose unit its digits tell.
    #[must_use]
    pub fn new(zone: TimeZone, fold: Fold, formats: &[String]) -> Self {
        let formats = formats.iter().map(|format| match format.as_str() {
            "epoch-s" => Format::Epoch(0),
            "epoch-ms" => Format::Epoch(3),
            "epoch-us" => Format::Epoch(6),
            "epoch-ns" => Format::Epoch(9),
            _ => Format::Pattern(format.clone()),
        });
        Self {
            zone_name: zone.iana_name().unwrap_or("UTC").to_owned(),
            zone,
            fold,
            formats: formats.collect(),
        }
    }

    /// Reads a cell; `before` is the time of the row before it, which decides what a repeated hour means.
    ///
    /// # Errors
    /// What is wrong with it and what to write, as a clause that follows the value.
    pub fn read(&self, text: &str, before: Option<Nanos>) -> Result<When, String> {
        match self.parse(text)? {
            Written::Instant(at) => nanos(at).map(When::Instant),
            Written::Local(local) => self.instant(local, before).map(When::Instant),
            Written::Date(date) => Ok(When::Date(date)),
        }
    }

    fn instant(&self, local: DateTime, before: Option<Nanos>) -> Result<Nanos, String> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let outside = |e: jiff::Error| format!("is no instant: {e}");
        let at = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => ambiguous.unambiguous().map_err(outside)?,
            AmbiguousOffset::Gap { .. } => {
                return Err(format!(
                    "is no time in {}, where clocks were set forward over it; write source.replay.timeZone: Etc/UTC, or \
                     the zone in which the file was written",
                    self.zone_name
                ));
            }
            AmbiguousOffset::Fold { .. } => {
                let earlier = ambiguous.earlier().map_err(outside)?;
                let later = ambiguous.later().map_err(outside)?;
                match self.fold {
                    Fold::Earlier => earlier,
                    Fold::Later => later,
                    Fold::Refuse => {
                        return Err(format!(
                            "is two instants in {}, where clocks were set back; write times with their offset, or say \
                             which in source.replay.repeatedHour",
                            self.zone_name
                        ));
                    }
                    // The hour comes a second time when a row would lie before the one above it.
                    Fold::InOrder => match before {
                        Some(before) if nanos(earlier)? < before => later,
                        _ => earlier,
                    },
                }
            }
        };
        nanos(at)
    }

    fn parse(&self, text: &str) -> Result<Written, String> {
        if self.formats.is_empty() {
            return unformatted(text).ok_or_else(|| {
                "is no time that is known by itself: write 2026-11-20, 2026-11-20T14:30:00Z or an epoch such as \
                 1763649000, or give columns.timeFormat, for instance %m/%d/%Y"
                    .to_owned()
            });
        }
        self.formats
            .iter()
            .find_map(|format| match format {
                Format::Pattern(pattern) => patterned(pattern, text),
                Format::Epoch(digits) => epoch(text, *digits).map(Written::Instant),
            })
            .ok_or_else(|| {
                let formats: Vec<_> = self
                    .formats
                    .iter()
                    .map(|format| match format {
                        Format::Pattern(pattern) => pattern.as_str(),
                        Format::Epoch(0) => "epoch-s",
                        Format::Epoch(3) => "epoch-ms",
                        Format::Epoch(6) => "epoch-us",
                        Format::Epoch(_) => "epoch-ns",
                    })
                    .collect();
                format!(
                    "is not of the form {}, which columns.timeFormat gives",
                    formats.join(" or ")
                )
            })
    }
}

fn nanos(at: Timestamp) -> Result<Nanos, String> {
    i64::try_from(at.as_nanosecond()).map_err(|_| "lies outside the years 1678 to 2261".to_owned())
}

fn patterned(pattern: &str, text: &str) -> Option<Written> {
    let parsed = strtime::parse(pattern, text).ok()?;
    if let Ok(at) = parsed.to_timestamp() {
        return Some(Written::Instant(at));
    }
    if parsed.hour().is_some() {
        return parsed.to_datetime().ok().map(Written::Local);
    }
    parsed.to_date().ok().map(Written::Date)
}

/// A time that says by itself how it is written.
fn unformatted(text: &str) -> Option<Written> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let whole = digits.split('.').next().unwrap_or_default().len();
        let has_fraction = whole < digits.len();
        return match whole {
            // 20261120
            8 if !has_fraction => text.parse().ok().map(Written::Date),
            // 2026.11.20
            4 if has_fraction => dated(text),
            9..=11 => epoch(text, 0).map(Written::Instant),
            // 20261120143000; as milliseconds it would lie after the year 2286.
            14 if !has_fraction => patterned("%Y%m%d%H%M%S", text),
            12..=14 => epoch(text, 3).map(Written::Instant),
            15..=17 => epoch(text, 6).map(Written::Instant),
            18..=19 => epoch(text, 9).map(Written::Instant),
            _ => None,
        };
    }
    dated(text)
}

/// ISO 8601, also with / or . in its date, a space for its T, or UTC for its Z.
fn dated(text: &str) -> Option<Written> {
    let bytes = text.as_bytes();
    let spelled;
    let mut text = text;
    if bytes.len() >= 10 && bytes[4] == bytes[7] && matches!(bytes[4], b'/' | b'.') {
        spelled = format!("{}-{}-{}", &text[..4], &text[5..7], text.get(8..)?);
        text = &spelled;
    }
    let zulu;
    if let Some(local) = text
        .strip_suffix("UTC")
        .or_else(|| text.strip_suffix("GMT"))
    {
        zulu = format!("{}Z", local.trim_end());
        text = &zulu;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Written::Instant(at));
    }
    if text.len() <= "-009999-01-01".len() && !text.contains([':', 'T', ' ']) {
        return text.parse().ok().map(Written::Date);
    }
    text.parse().ok().map(Written::Local)
}

/// A count since 1970 of units of `10^-digits` seconds, to the nanosecond and no finer.
fn epoch(text: &str, digits: usize) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let places = 9 - digits;
    if whole.is_empty()
        || whole.len() > 19
        || fraction.len() > places
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let padded = format!("{whole}{fraction:0<places$}");
    let ns: i128 = padded.parse().ok()?;
    let ns = if negative { -ns } else { ns };
    Timestamp::from_nanosecond(ns).ok()
}

/// The end of the UTC day of an instant.
#[must_use]
pub fn end_of_day(ns: Nanos) -> Nanos {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let at = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::MAX);
    at.to_zoned(TimeZone::UTC)
        .date()
        .tomorrow()
        .ok()
        .and_then(|d| d.to_zoned(TimeZone::UTC).ok())
        .and_then(|z| i64::try_from(z.timestamp().as_nanosecond()).ok())
        .unwrap_or_else(|| ns.saturating_add(i64::try_from(DAY.as_nanos()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(zone: &str, fold: Fold, formats: &[&str]) -> Clock {
        let formats: Vec<String> = formats.iter().map(|f| (*f).to_owned()).collect();
        Clock::new(TimeZone::get(zone).unwrap(), fold, &formats)
    }

    fn ns(text: &str) -> Nanos {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn times_say_by_themselves_how_they_are_written() {
        let clock = clock("America/New_York", Fold::InOrder, &[]);
        for text in [
            "2026-11-20T14:30:00Z",
            "2026-11-20T09:30:00-05:00",
            "2026-11-20 09:30:00",
            "2026-11-20 09:30",
            "2026/11/20 09:30:00",
            "2026.11.20 09:30:00.000",
            "2026-11-20 14:30:00 UTC",
            "20261120T093000",
            "20261120093000",
            "1795185000",
            "1795185000.000",
            "1795185000000",
            "1795185000000000",
            "1795185000000000000",
        ] {
            let expected = When::Instant(ns("2026-11-20T14:30:00Z"));
            assert_eq!(clock.read(text, None), Ok(expected), "{text}");
        }
        for text in ["2026-11-20", "20261120", "2026/11/20", "2026.11.20"] {
            let expected = When::Date(jiff::civil::date(2026, 11, 20));
            assert_eq!(clock.read(text, None), Ok(expected), "{text}");
        }
        for text in ["20.11.2026", "11/20/2026", "soon", "", "2026", "2026-13-01"] {
            let error = clock.read(text, None).unwrap_err();
            assert!(error.contains("columns.timeFormat"), "{text}: {error}");
        }
    }

    #[test]
    fn formats_are_tried_in_order() {
        let clock = clock(
            "Europe/Berlin",
            Fold::InOrder,
            &["%d.%m.%Y %H:%M:%S%.f", "%d.%m.%y", "epoch-ms"],
        );
        for (text, expected) in [
            (
                "20.11.2026 15:30:00",
                When::Instant(ns("2026-11-20T14:30:00Z")),
            ),
            (
                "20.11.2026 15:30:00.000000001",
                When::Instant(ns("2026-11-20T14:30:00.000000001Z")),
            ),
            ("20.11.26", When::Date(jiff::civil::date(2026, 11, 20))),
            (
                "1795185000000.5",
                When::Instant(ns("2026-11-20T14:30:00.0005Z")),
            ),
            ("-1.000001", When::Instant(-1_000_001)),
        ] {
            assert_eq!(clock.read(text, None), Ok(expected), "{text}");
        }
        assert_eq!(
            clock.read("2026-11-20", None).unwrap_err(),
            "is not of the form %d.%m.%Y %H:%M:%S%.f or %d.%m.%y or epoch-ms, which columns.timeFormat gives"
        );
        assert_eq!(epoch("1.0000000001", 0), None, "finer than a nanosecond");
    }

    #[test]
    fn the_repeated_hour_is_what_the_order_of_rows_or_the_spec_says() {
        let at = "2026-11-01 01:30:00";
        let (first, second) = (ns("2026-11-01T05:30:00Z"), ns("2026-11-01T06:30:00Z"));
        let read = |fold, before| clock("America/New_York", fold, &[]).read(at, before);
        for (fold, before, expected) in [
            (Fold::InOrder, None, first),
            (Fold::InOrder, Some(first), first),
            (Fold::InOrder, Some(first + 1), second),
            (Fold::InOrder, Some(second + 1), second),
            (Fold::Earlier, Some(second), first),
            (Fold::Later, None, second),
        ] {
            assert_eq!(
                read(fold, before),
                Ok(When::Instant(expected)),
                "{fold:?} {before:?}"
            );
        }
        assert!(
            read(Fold::Refuse, None)
                .unwrap_err()
                .contains("repeatedHour")
        );
        let gap = clock("America/New_York", Fold::InOrder, &[]).read("2026-03-08 02:30:00", None);
        assert!(gap.unwrap_err().contains("set forward"));
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(
            end_of_day(ns("2018-12-31T21:00:00Z")),
            ns("2019-01-01T00:00:00Z")
        );
        assert_eq!(
            end_of_day(ns("2019-01-01T00:00:00Z")),
            ns("2019-01-02T00:00:00Z")
        );
    }
}
