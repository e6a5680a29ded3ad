//! Trino's functions of dates and timestamps, all in UTC.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, StringBuilder,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Date32Type, Float64Type, TimestampMillisecondType};
use jiff::civil::{Date, DateTime};
use jiff::{Span, SpanRound, Unit};

use super::super::fault::Fault;
use super::super::render;
use super::functions::{Call, Kind, Overload, Returns, Run, longs, strings};

const DAY: i64 = 86_400_000;

pub(super) fn table() -> Vec<(&'static str, Vec<Overload>)> {
    use Kind::{Bigint, Date, Double, Timestamp, TimestampUtc, Varchar};
    let o = |params, returns, run| Overload {
        params,
        returns,
        run,
    };
    let mut table: Vec<(&'static str, Vec<Overload>)> = vec![
        (
            "date_trunc",
            vec![
                o(&[Varchar, Date], Returns::Date, date_trunc),
                o(&[Varchar, Timestamp], Returns::Timestamp, date_trunc),
                o(&[Varchar, TimestampUtc], Returns::TimestampUtc, date_trunc),
            ],
        ),
        (
            "date_add",
            vec![
                o(&[Varchar, Bigint, Date], Returns::Date, date_add),
                o(&[Varchar, Bigint, Timestamp], Returns::Timestamp, date_add),
                o(
                    &[Varchar, Bigint, TimestampUtc],
                    Returns::TimestampUtc,
                    date_add,
                ),
            ],
        ),
        (
            "date_diff",
            vec![
                o(&[Varchar, Date, Date], Returns::Bigint, date_diff),
                o(&[Varchar, Timestamp, Timestamp], Returns::Bigint, date_diff),
                o(
                    &[Varchar, TimestampUtc, TimestampUtc],
                    Returns::Bigint,
                    date_diff,
                ),
            ],
        ),
        (
            "last_day_of_month",
            vec![
                o(&[Date], Returns::Date, last_day_of_month),
                o(&[Timestamp], Returns::Date, last_day_of_month),
                o(&[TimestampUtc], Returns::Date, last_day_of_month),
            ],
        ),
        (
            "from_unixtime",
            vec![o(&[Double], Returns::TimestampUtc, from_unixtime)],
        ),
        (
            "to_unixtime",
            vec![
                o(&[Timestamp], Returns::Double, to_unixtime),
                o(&[TimestampUtc], Returns::Double, to_unixtime),
            ],
        ),
        (
            "date_format",
            vec![
                o(&[Timestamp, Varchar], Returns::Varchar, date_format),
                o(&[TimestampUtc, Varchar], Returns::Varchar, date_format),
            ],
        ),
        (
            "date_parse",
            vec![o(&[Varchar, Varchar], Returns::Timestamp, date_parse)],
        ),
        (
            "from_iso8601_date",
            vec![o(&[Varchar], Returns::Date, from_iso8601_date)],
        ),
        (
            "from_iso8601_timestamp",
            vec![o(&[Varchar], Returns::TimestampUtc, from_iso8601_timestamp)],
        ),
        (
            "to_iso8601",
            vec![
                o(&[Date], Returns::Varchar, |c| to_iso8601(c, "")),
                o(&[Timestamp], Returns::Varchar, |c| to_iso8601(c, "")),
                o(&[TimestampUtc], Returns::Varchar, |c| to_iso8601(c, "Z")),
            ],
        ),
    ];
    let parts: [(&'static str, Run); 8] = [
        ("year", |c| part(c, |d, _| i64::from(d.year()))),
        ("quarter", |c| {
            part(c, |d, _| i64::from((d.month() + 2) / 3))
        }),
        ("month", |c| part(c, |d, _| i64::from(d.month()))),
        ("week", |c| {
            part(c, |d, _| i64::from(d.iso_week_date().week()))
        }),
        ("year_of_week", |c| {
            part(c, |d, _| i64::from(d.iso_week_date().year()))
        }),
        ("day", |c| part(c, |d, _| i64::from(d.day()))),
        ("day_of_week", |c| {
            part(c, |d, _| i64::from(d.weekday().to_monday_one_offset()))
        }),
        ("day_of_year", |c| {
            part(c, |d, _| i64::from(d.day_of_year()))
        }),
    ];
    for (name, run) in parts {
        table.push((
            name,
            vec![
                o(&[Date], Returns::Bigint, run),
                o(&[Timestamp], Returns::Bigint, run),
                o(&[TimestampUtc], Returns::Bigint, run),
            ],
        ));
    }
    let times: [(&'static str, Run); 4] = [
        ("hour", |c| part(c, |_, ms| ms / 3_600_000)),
        ("minute", |c| part(c, |_, ms| ms / 60_000 % 60)),
        ("second", |c| part(c, |_, ms| ms / 1000 % 60)),
        ("millisecond", |c| part(c, |_, ms| ms % 1000)),
    ];
    for (name, run) in times {
        table.push((
            name,
            vec![
                o(&[Timestamp], Returns::Bigint, run),
                o(&[TimestampUtc], Returns::Bigint, run),
            ],
        ));
    }
    table
}

/// Epoch milliseconds of the argument's rows, dates at midnight.
fn millis(array: &ArrayRef) -> Vec<Option<i64>> {
    match array.data_type() {
        DataType::Date32 => array
            .as_primitive::<Date32Type>()
            .iter()
            .map(|d| d.map(|d| i64::from(d) * DAY))
            .collect(),
        _ => array
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect(),
    }
}

/// The rows as the call's result: dates or timestamps.
fn points(call: &Call<'_>, rows: Vec<Option<i64>>) -> ArrayRef {
    match call.returns {
        DataType::Date32 => Arc::new(
            rows.into_iter()
                .map(|ms| ms.map(|ms| ms.div_euclid(DAY) as i32))
                .collect::<Date32Array>(),
        ),
        DataType::Timestamp(_, zone) => {
            let array: TimestampMillisecondArray = rows.into_iter().collect();
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        _ => Arc::new(rows.into_iter().collect::<Int64Array>()),
    }
}

fn out_of_range() -> Fault {
    Fault::user("NUMERIC_VALUE_OUT_OF_RANGE", "the time is out of range")
}

/// The civil time of epoch milliseconds.
fn civil(ms: i64) -> Result<DateTime, Fault> {
    let (year, month, day) = render::civil(ms.div_euclid(DAY));
    let of_day = ms.rem_euclid(DAY);
    let year = i16::try_from(year).map_err(|_| out_of_range())?;
    DateTime::new(
        year,
        month as i8,
        day as i8,
        (of_day / 3_600_000) as i8,
        (of_day / 60_000 % 60) as i8,
        (of_day / 1000 % 60) as i8,
        (of_day % 1000 * 1_000_000) as i32,
    )
    .map_err(|_| out_of_range())
}

/// Epoch milliseconds of a civil time in UTC.
fn epoch(at: DateTime) -> Result<i64, Fault> {
    at.to_zoned(jiff::tz::TimeZone::UTC)
        .map(|z| z.timestamp().as_millisecond())
        .map_err(|_| out_of_range())
}

fn part(call: &Call<'_>, of: fn(Date, i64) -> i64) -> Result<ArrayRef, Fault> {
    let values = millis(&call.args[0])
        .into_iter()
        .map(|ms| match ms {
            None => Ok(None),
            Some(ms) => Ok(Some(of(civil(ms)?.date(), ms.rem_euclid(DAY)))),
        })
        .collect::<Result<Int64Array, Fault>>()?;
    Ok(Arc::new(values))
}

fn bad_unit(unit: &str, of: &DataType) -> Fault {
    let kind = if *of == DataType::Date32 {
        "DATE"
    } else {
        "TIMESTAMP"
    };
    Fault::user(
        "INVALID_FUNCTION_ARGUMENT",
        format!("'{unit}' is not a valid {kind} field"),
    )
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let units = strings(call, 0);
    let of = call.args[1].data_type();
    let rows = millis(&call.args[1])
        .into_iter()
        .enumerate()
        .map(|(row, ms)| match ms {
            Some(ms) if units.is_valid(row) => truncate(units.value(row), ms, of).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(points(call, rows))
}

fn truncate(unit: &str, ms: i64, of: &DataType) -> Result<i64, Fault> {
    let day = || ms.div_euclid(DAY);
    let start = |month: fn(i8) -> i8| {
        let date = civil(ms)?.date();
        let first = Date::new(date.year(), month(date.month()), 1).map_err(|_| out_of_range())?;
        epoch(first.to_datetime(jiff::civil::Time::midnight()))
    };
    let unit_lower = unit.to_lowercase();
    match unit_lower.as_str() {
        "day" => Ok(day() * DAY),
        // 1970-01-01 was a Thursday; weeks begin on Monday.
        "week" => Ok((day() - (day() + 3).rem_euclid(7)) * DAY),
        "month" => start(|m| m),
        "quarter" => start(|m| (m - 1) / 3 * 3 + 1),
        "year" => start(|_| 1),
        "millisecond" | "second" | "minute" | "hour" if *of != DataType::Date32 => {
            let step = match unit_lower.as_str() {
                "millisecond" => 1,
                "second" => 1000,
                "minute" => 60_000,
                _ => 3_600_000,
            };
            Ok(ms - ms.rem_euclid(step))
        }
        _ => Err(bad_unit(unit, of)),
    }
}

/// The span of `count` units.
fn span(unit: &str, count: i64, of: &DataType) -> Result<Span, Fault> {
    let span = Span::new();
    let time = *of != DataType::Date32;
    let made = match unit.to_lowercase().as_str() {
        "millisecond" if time => span.try_milliseconds(count),
        "second" if time => span.try_seconds(count),
        "minute" if time => span.try_minutes(count),
        "hour" if time => span.try_hours(count),
        "day" => span.try_days(count),
        "week" => span.try_weeks(count),
        "month" => span.try_months(count),
        "quarter" => count
            .checked_mul(3)
            .ok_or_else(out_of_range)
            .map(|months| span.try_months(months))?,
        "year" => span.try_years(count),
        _ => return Err(bad_unit(unit, of)),
    };
    made.map_err(|_| out_of_range())
}

fn date_add(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let units = strings(call, 0);
    let counts = longs(call, 1);
    let of = call.args[2].data_type();
    let rows = millis(&call.args[2])
        .into_iter()
        .enumerate()
        .map(|(row, ms)| match ms {
            Some(ms) if units.is_valid(row) && counts.is_valid(row) => {
                let span = span(units.value(row), counts.value(row), of)?;
                let moved = civil(ms)?.checked_add(span).map_err(|_| out_of_range())?;
                epoch(moved).map(Some)
            }
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(points(call, rows))
}

fn date_diff(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let units = strings(call, 0);
    let of = call.args[1].data_type();
    let rows = millis(&call.args[1])
        .into_iter()
        .zip(millis(&call.args[2]))
        .enumerate()
        .map(|(row, pair)| match pair {
            (Some(from), Some(to)) if units.is_valid(row) => {
                difference(units.value(row), from, to, of).map(Some)
            }
            _ => Ok(None),
        })
        .collect::<Result<Int64Array, Fault>>()?;
    Ok(Arc::new(rows))
}

/// Whole units from `from` to `to`, towards zero.
fn difference(unit: &str, from: i64, to: i64, of: &DataType) -> Result<i64, Fault> {
    let time = *of != DataType::Date32;
    let whole = |ms: i64| Ok((to - from) / ms);
    match unit.to_lowercase().as_str() {
        "millisecond" if time => whole(1),
        "second" if time => whole(1000),
        "minute" if time => whole(60_000),
        "hour" if time => whole(3_600_000),
        "day" => whole(DAY),
        "week" => whole(7 * DAY),
        "month" => months(from, to),
        "quarter" => Ok(months(from, to)? / 3),
        "year" => Ok(months(from, to)? / 12),
        _ => Err(bad_unit(unit, of)),
    }
}

fn months(from: i64, to: i64) -> Result<i64, Fault> {
    let span = civil(from)?
        .until((Unit::Month, civil(to)?))
        .map_err(|_| out_of_range())?;
    let whole = span
        .round(
            SpanRound::new()
                .largest(Unit::Month)
                .smallest(Unit::Month)
                .mode(jiff::RoundMode::Trunc)
                .relative(civil(from)?),
        )
        .map_err(|_| out_of_range())?;
    Ok(i64::from(whole.get_months()))
}

fn last_day_of_month(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let rows = millis(&call.args[0])
        .into_iter()
        .map(|ms| match ms {
            None => Ok(None),
            Some(ms) => {
                let last = civil(ms)?.date().last_of_month();
                epoch(last.to_datetime(jiff::civil::Time::midnight())).map(Some)
            }
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(points(call, rows))
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let rows = call.args[0]
        .as_primitive::<Float64Type>()
        .iter()
        .map(|seconds| seconds.map(|s| (s * 1000.0).round() as i64))
        .collect();
    Ok(points(call, rows))
}

fn to_unixtime(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    Ok(Arc::new(
        millis(&call.args[0])
            .into_iter()
            .map(|ms| ms.map(|ms| ms as f64 / 1000.0))
            .collect::<Float64Array>(),
    ))
}

fn from_iso8601_date(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let rows = strings(call, 0)
        .iter()
        .map(|s| match s {
            None => Ok(None),
            Some(s) => {
                let date: Date = s.parse().map_err(|_| invalid(s))?;
                epoch(date.to_datetime(jiff::civil::Time::midnight())).map(Some)
            }
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(points(call, rows))
}

fn invalid(text: &str) -> Fault {
    Fault::user(
        "INVALID_FUNCTION_ARGUMENT",
        format!("Invalid format: \"{text}\""),
    )
}

fn from_iso8601_timestamp(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let rows = strings(call, 0)
        .iter()
        .map(|s| match s {
            None => Ok(None),
            Some(s) => match s.parse::<jiff::Timestamp>() {
                Ok(at) => Ok(Some(at.as_millisecond())),
                // Without a zone it is the session's: UTC.
                Err(_) => epoch(s.parse::<DateTime>().map_err(|_| invalid(s))?).map(Some),
            },
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(points(call, rows))
}

fn to_iso8601(call: &Call<'_>, zone: &str) -> Result<ArrayRef, Fault> {
    let date = *call.args[0].data_type() == DataType::Date32;
    let mut out = StringBuilder::new();
    let mut shown = String::new();
    for ms in millis(&call.args[0]) {
        match ms {
            None => out.append_null(),
            Some(ms) => {
                shown.clear();
                render::timestamp(ms, &mut shown);
                if date {
                    shown.truncate(10);
                }
                let text = shown.replace(' ', "T");
                out.append_value(format!("{text}{zone}"));
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// MySQL's format, as Trino's `date_format` takes it.
fn date_format(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let formats = strings(call, 1);
    let mut out = StringBuilder::new();
    for (row, ms) in millis(&call.args[0]).into_iter().enumerate() {
        match ms {
            Some(ms) if formats.is_valid(row) => {
                out.append_value(format(civil(ms)?, formats.value(row))?);
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn format(at: DateTime, format: &str) -> Result<String, Fault> {
    use std::fmt::Write as _;
    let mut out = String::new();
    let mut chars = format.chars();
    let weekday = usize::from(at.weekday().to_monday_zero_offset().unsigned_abs());
    let month = usize::from(at.month().unsigned_abs()) - 1;
    let hour12 = match at.hour() % 12 {
        0 => 12,
        h => h,
    };
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let written = match chars.next() {
            Some('a') => write!(out, "{}", &WEEKDAYS[weekday][..3]),
            Some('b') => write!(out, "{}", &MONTHS[month][..3]),
            Some('c') => write!(out, "{}", at.month()),
            Some('d') => write!(out, "{:02}", at.day()),
            Some('e') => write!(out, "{}", at.day()),
            Some('f') => write!(out, "{:06}", at.subsec_nanosecond() / 1000),
            Some('H') => write!(out, "{:02}", at.hour()),
            Some('h' | 'I') => write!(out, "{hour12:02}"),
            Some('i') => write!(out, "{:02}", at.minute()),
            Some('j') => write!(out, "{:03}", at.day_of_year()),
            Some('k') => write!(out, "{}", at.hour()),
            Some('l') => write!(out, "{hour12}"),
            Some('M') => write!(out, "{}", MONTHS[month]),
            Some('m') => write!(out, "{:02}", at.month()),
            Some('p') => write!(out, "{}", if at.hour() < 12 { "AM" } else { "PM" }),
            Some('r') => write!(
                out,
                "{hour12:02}:{:02}:{:02} {}",
                at.minute(),
                at.second(),
                if at.hour() < 12 { "AM" } else { "PM" }
            ),
            Some('S' | 's') => write!(out, "{:02}", at.second()),
            Some('T') => write!(
                out,
                "{:02}:{:02}:{:02}",
                at.hour(),
                at.minute(),
                at.second()
            ),
            Some('v') => write!(out, "{:02}", at.date().iso_week_date().week()),
            Some('W') => write!(out, "{}", WEEKDAYS[weekday]),
            Some('Y') => write!(out, "{:04}", at.year()),
            Some('y') => write!(out, "{:02}", at.year().rem_euclid(100)),
            Some('x') => write!(out, "{:04}", at.date().iso_week_date().year()),
            Some('%') => write!(out, "%"),
            Some(other @ ('D' | 'U' | 'u' | 'V' | 'w' | 'X')) => {
                return Err(Fault::user(
                    "INVALID_FUNCTION_ARGUMENT",
                    format!("%{other} not supported in date format string"),
                ));
            }
            Some(other) => write!(out, "{other}"),
            None => Ok(()),
        };
        written.map_err(Fault::system)?;
    }
    Ok(out)
}

fn date_parse(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let rows = strings(call, 0)
        .iter()
        .zip(strings(call, 1))
        .map(|pair| match pair {
            (Some(text), Some(format)) => parse(text, format).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    Ok(points(call, rows))
}

/// Reads digits, at most `most` of them.
fn digits(text: &mut &str, most: usize) -> Option<i64> {
    let end = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    let (number, rest) = text.split_at(end);
    *text = rest;
    number.parse().ok()
}

fn parse(text: &str, format: &str) -> Result<i64, Fault> {
    let fail = || {
        Fault::user(
            "INVALID_FUNCTION_ARGUMENT",
            format!("Invalid format: \"{text}\" is not of the form {format}"),
        )
    };
    let mut rest = text;
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
    let mut afternoon = None;
    let expanded = format
        .replace("%T", "%H:%i:%s")
        .replace("%r", "%h:%i:%s %p");
    let mut chars = expanded.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            rest = rest.strip_prefix(c).ok_or_else(fail)?;
            continue;
        }
        match chars.next() {
            Some('Y') => year = digits(&mut rest, 4).ok_or_else(fail)?,
            Some('y') => {
                let two = digits(&mut rest, 2).ok_or_else(fail)?;
                year = if two < 70 { 2000 + two } else { 1900 + two };
            }
            Some('m' | 'c') => month = digits(&mut rest, 2).ok_or_else(fail)?,
            Some('d' | 'e') => day = digits(&mut rest, 2).ok_or_else(fail)?,
            Some('H' | 'k' | 'h' | 'I' | 'l') => hour = digits(&mut rest, 2).ok_or_else(fail)?,
            Some('i') => minute = digits(&mut rest, 2).ok_or_else(fail)?,
            Some('s' | 'S') => second = digits(&mut rest, 2).ok_or_else(fail)?,
            Some('f') => {
                let before = rest.len();
                let value = digits(&mut rest, 9).ok_or_else(fail)?;
                let places = (before - rest.len()) as u32;
                nanos = value * 10i64.pow(9 - places);
            }
            Some('p') => {
                let (half, after) = rest.split_at_checked(2).ok_or_else(fail)?;
                afternoon = Some(match half.to_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return Err(fail()),
                });
                rest = after;
            }
            Some(name @ ('b' | 'M')) => {
                let found = MONTHS.iter().position(|m| {
                    let wanted = if name == 'b' { &m[..3] } else { m };
                    rest.get(..wanted.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(wanted))
                });
                let index = found.ok_or_else(fail)?;
                let length = if name == 'b' { 3 } else { MONTHS[index].len() };
                rest = &rest[length..];
                month = index as i64 + 1;
            }
            Some('%') => rest = rest.strip_prefix('%').ok_or_else(fail)?,
            Some(other) => {
                return Err(Fault::user(
                    "INVALID_FUNCTION_ARGUMENT",
                    format!("%{other} not supported in date format string"),
                ));
            }
            None => return Err(fail()),
        }
    }
    if !rest.is_empty() {
        return Err(fail());
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let at = DateTime::new(
        i16::try_from(year).map_err(|_| fail())?,
        month as i8,
        day as i8,
        hour as i8,
        minute as i8,
        second as i8,
        nanos as i32,
    )
    .map_err(|_| fail())?;
    epoch(at)
}

#[cfg(test)]
mod tests {
    use super::super::super::types::TIMESTAMP;
    use super::*;

    fn at(text: &str) -> i64 {
        epoch(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn truncation_starts_weeks_on_monday() {
        let friday = at("2026-11-20T15:34:56.789");
        for (unit, start) in [
            ("second", "2026-11-20T15:34:56"),
            ("minute", "2026-11-20T15:34:00"),
            ("HOUR", "2026-11-20T15:00:00"),
            ("day", "2026-11-20T00:00:00"),
            ("week", "2026-11-16T00:00:00"),
            ("month", "2026-11-01T00:00:00"),
            ("quarter", "2026-10-01T00:00:00"),
            ("year", "2026-01-01T00:00:00"),
        ] {
            assert_eq!(
                truncate(unit, friday, &TIMESTAMP).unwrap(),
                at(start),
                "{unit}"
            );
        }
        assert_eq!(
            truncate("week", at("1969-12-29T00:00:00"), &TIMESTAMP).unwrap(),
            at("1969-12-29T00:00:00")
        );
        assert!(truncate("hour", friday, &DataType::Date32).is_err());
        assert!(truncate("fortnight", friday, &TIMESTAMP).is_err());
    }

    #[test]
    fn differences_are_whole_units_towards_zero() {
        let (a, b) = (at("2026-01-31T12:00:00"), at("2026-02-28T11:59:59"));
        for (unit, count) in [("day", 27), ("hour", 671), ("month", 0), ("week", 3)] {
            assert_eq!(difference(unit, a, b, &TIMESTAMP).unwrap(), count, "{unit}");
        }
        assert_eq!(
            difference(
                "month",
                at("2026-01-15T00:00:00"),
                at("2026-03-15T00:00:00"),
                &TIMESTAMP
            )
            .unwrap(),
            2
        );
        assert_eq!(
            difference(
                "year",
                at("2026-03-15T00:00:00"),
                at("2024-03-16T00:00:00"),
                &TIMESTAMP
            )
            .unwrap(),
            -1
        );
    }

    #[test]
    fn formats_are_mysqls_both_ways() {
        let time: DateTime = "2026-11-20T15:04:05.678".parse().unwrap();
        assert_eq!(
            format(time, "%Y-%m-%d %H:%i:%s.%f").unwrap(),
            "2026-11-20 15:04:05.678000"
        );
        assert_eq!(
            format(time, "%W, %e %M %y %r %a %b %j").unwrap(),
            "Friday, 20 November 26 03:04:05 PM Fri Nov 324"
        );
        assert!(format(time, "%U").is_err());
        assert_eq!(
            parse("11/20/2026 03:04 PM", "%m/%d/%Y %h:%i %p").unwrap(),
            at("2026-11-20T15:04:00")
        );
        assert_eq!(
            parse("2026-11-20 15:04:05.678", "%Y-%m-%d %T.%f").unwrap(),
            epoch(time).unwrap()
        );
        assert!(parse("2026-13-01", "%Y-%m-%d").is_err());
        assert!(parse("2026-11-20x", "%Y-%m-%d").is_err());
    }
}
