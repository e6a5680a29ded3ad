//! The cron grammar: five fields, read as Kubernetes reads them (robfig/cron
//! v3, `ParseStandard`), so that a schedule means the same on a cluster and on
//! one machine.
//!
//! `minute hour day-of-month month day-of-week`, each a list of `*`, `?`, a
//! value, a range `a-b`, or one of these with a step `/n` (`a/n` is `a-max/n`).
//! Months and days of the week have English three-letter names. Sunday is 0; 7
//! is refused, as in Kubernetes. Where both day fields are restricted, a day
//! that matches either fires; `*` and `?` are no restriction, `*/2` is one.
//! `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` and `@yearly`
//! (`@annually`) stand for themselves. `@every` and `TZ=` are refused: a run
//! key needs instants that do not depend on when the process started, and the
//! zone has a field of its own.
//!
//! Instants are matched by local time. A local time that a zone skips does not
//! fire on that day; one that it repeats fires twice (the run key makes them
//! one run).

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// A parsed 5-field cron expression.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    minute: Field,
    hour: Field,
    day_of_month: Field,
    month: Field,
    day_of_week: Field,
}

/// A cron expression that is not in the grammar, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    /// What is wrong and what to write.
    message: String,
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CronError {}

/// The values that one field admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    /// Bit `n` is set where value `n` is admitted.
    values: u64,
    /// Whether the field is no restriction: `*`, `?` or `*/1`.
    any: bool,
}

impl Field {
    fn admits(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.values & (1 << value) != 0)
    }
}

/// What one field may hold.
struct Kind {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTE: Kind = Kind {
    name: "minute",
    least: 0,
    most: 59,
    names: &[],
};
const HOUR: Kind = Kind {
    name: "hour",
    least: 0,
    most: 23,
    names: &[],
};
const DAY_OF_MONTH: Kind = Kind {
    name: "day of month",
    least: 1,
    most: 31,
    names: &[],
};
const MONTH: Kind = Kind {
    name: "month",
    least: 1,
    most: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const DAY_OF_WEEK: Kind = Kind {
    name: "day of week",
    least: 0,
    most: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// How far ahead an instant is looked for; `30 2 30 2 *` has none.
const HORIZON_YEARS: i16 = 5;

impl Cron {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first instant after `after` at which the schedule fires in
    /// `time_zone`, or `None` where none comes within five years.
    pub fn next(&self, after: Timestamp, time_zone: &TimeZone) -> Option<Timestamp> {
        let local = after.to_zoned(time_zone.clone());
        let last_year = local.year() + HORIZON_YEARS;
        let mut now = next_whole_minute(&local)?;
        while now.year() <= last_year {
            now = if !self.month.admits(now.month()) {
                let first = now.date().first_of_month();
                start_of(first.checked_add(1.month()).ok()?.at(0, 0, 0, 0), time_zone)?
            } else if !self.fires_on(&now) {
                start_of(now.date().tomorrow().ok()?.at(0, 0, 0, 0), time_zone)?
            } else if !self.hour.admits(now.hour()) {
                now.checked_add(SignedDuration::from_mins(60 - i64::from(now.minute())))
                    .ok()?
            } else if !self.minute.admits(now.minute()) {
                now.checked_add(SignedDuration::from_mins(1)).ok()?
            } else {
                return Some(now.timestamp());
            };
        }
        None
    }

    fn fires_on(&self, now: &Zoned) -> bool {
        let in_month = self.day_of_month.admits(now.day());
        let in_week = self
            .day_of_week
            .admits(now.weekday().to_sunday_zero_offset());
        if self.day_of_month.any || self.day_of_week.any {
            in_month && in_week
        } else {
            in_month || in_week
        }
    }
}

fn next_whole_minute(now: &Zoned) -> Option<Zoned> {
    let seconds = now.timestamp().as_second();
    let next = (seconds - seconds.rem_euclid(60)).checked_add(60)?;
    Some(
        Timestamp::from_second(next)
            .ok()?
            .to_zoned(now.time_zone().clone()),
    )
}

/// A local time as an instant: the later one where the zone skips it, the first
/// one where the zone repeats it.
fn start_of(local: DateTime, time_zone: &TimeZone) -> Option<Zoned> {
    time_zone.to_zoned(local).ok()
}

impl PartialEq for Cron {
    /// Two expressions are equal where they fire alike.
    fn eq(&self, other: &Self) -> bool {
        (
            self.minute,
            self.hour,
            self.day_of_month,
            self.month,
            self.day_of_week,
        ) == (
            other.minute,
            other.hour,
            other.day_of_month,
            other.month,
            other.day_of_week,
        )
    }
}

impl Eq for Cron {}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let text = text.trim();
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => text,
        };
        if fields.starts_with("TZ=") || fields.starts_with("CRON_TZ=") {
            return refuse("holds a time zone; write it in timeZone instead");
        }
        if fields.starts_with('@') {
            return refuse(format!(
                "may not be {text}; write five fields or one of @hourly, @daily, @weekly, @monthly, @yearly"
            ));
        }
        let fields: Vec<_> = fields.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
            return refuse(format!(
                "has {} fields; write five: minute hour day-of-month month day-of-week, for instance 30 16 * * 1-5",
                fields.len()
            ));
        };
        Ok(Cron {
            text: text.to_owned(),
            minute: MINUTE.parse(minute)?,
            hour: HOUR.parse(hour)?,
            day_of_month: DAY_OF_MONTH.parse(day_of_month)?,
            month: MONTH.parse(month)?,
            day_of_week: DAY_OF_WEEK.parse(day_of_week)?,
        })
    }
}

fn refuse<T>(message: impl Into<String>) -> Result<T, CronError> {
    Err(CronError {
        message: message.into(),
    })
}

impl Kind {
    fn parse(&self, list: &str) -> Result<Field, CronError> {
        let mut field = Field {
            values: 0,
            any: false,
        };
        for item in list.split(',') {
            let part = self.parse_item(item)?;
            field.values |= part.values;
            field.any |= part.any;
        }
        Ok(field)
    }

    fn parse_item(&self, item: &str) -> Result<Field, CronError> {
        let malformed = || -> Result<Field, CronError> {
            refuse(format!(
                "has {item:?} as {}; write *, a value, a range a-b or a step a-b/n of {} to {}",
                self.name, self.least, self.most
            ))
        };
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => match step.parse::<u32>() {
                Ok(step) if step > 0 && !step_is_signed(item) => (range, Some(step)),
                _ => return malformed(),
            },
            None => (item, None),
        };
        let (first, last, any) = if range == "*" || range == "?" {
            (self.least, self.most, step.unwrap_or(1) == 1)
        } else {
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (self.value(first)?, self.value(last)?),
                None => {
                    let first = self.value(range)?;
                    (first, if step.is_some() { self.most } else { first })
                }
            };
            (first, last, false)
        };
        if first > last {
            return malformed();
        }
        let values = (first..=last)
            .step_by(step.unwrap_or(1) as usize)
            .fold(0, |values, value| values | (1_u64 << value));
        Ok(Field { values, any })
    }

    fn value(&self, text: &str) -> Result<u32, CronError> {
        let lower = text.to_ascii_lowercase();
        if let Some(index) = self.names.iter().position(|name| **name == lower) {
            return Ok(index as u32 + self.least);
        }
        match text.parse::<u32>() {
            Ok(value) if (self.least..=self.most).contains(&value) && !text.starts_with('+') => {
                Ok(value)
            }
            Ok(7) if self.names.first() == Some(&"sun") => {
                refuse("has 7 as day of week; write 0 for Sunday")
            }
            _ => refuse(format!(
                "has {text:?} as {}; write {} to {}{}",
                self.name,
                self.least,
                self.most,
                self.names
                    .first()
                    .map(|first| format!(", or a name such as {first}"))
                    .unwrap_or_default()
            )),
        }
    }
}

fn step_is_signed(item: &str) -> bool {
    item.contains("/+")
}

#[cfg(test)]
mod tests;
