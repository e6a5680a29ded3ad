//! Periods of event time: the directories of the table.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stockpipe_crds::pipeline::PartitionBy;

/// One period of event time in UTC, half open. Orders by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    start_ns: i64,
    end_ns: i64,
    by: By,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum By {
    Year,
    Month,
    Day,
    Hour,
}

/// Text that is no period's directory.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a period: year=YYYY, month=YYYY-MM, dt=YYYY-MM-DD or dt=YYYY-MM-DD/hour=HH")]
pub struct PeriodError(String);

impl Period {
    /// The period of `by` that holds the instant `ts_ns`; `None` where the table has no periods.
    #[must_use]
    pub fn of(by: PartitionBy, ts_ns: i64) -> Option<Self> {
        let by = match by {
            PartitionBy::None => return None,
            PartitionBy::Year => By::Year,
            PartitionBy::Month => By::Month,
            PartitionBy::Day => By::Day,
            PartitionBy::Hour => By::Hour,
        };
        let at = civil(ts_ns);
        let day = at.date();
        let start = match by {
            By::Year => day.first_of_year().at(0, 0, 0, 0),
            By::Month => day.first_of_month().at(0, 0, 0, 0),
            By::Day => day.at(0, 0, 0, 0),
            By::Hour => day.at(at.hour(), 0, 0, 0),
        };
        Some(Self::starting(by, start))
    }

    fn starting(by: By, start: DateTime) -> Self {
        let span = match by {
            By::Year => jiff::Span::new().years(1),
            By::Month => jiff::Span::new().months(1),
            By::Day => jiff::Span::new().days(1),
            By::Hour => jiff::Span::new().hours(1),
        };
        Self {
            start_ns: nanoseconds(start),
            // Saturates at the end of jiff's years, far beyond nanoseconds in 64 bits.
            end_ns: nanoseconds(start.saturating_add(span)),
            by,
        }
    }

    /// First instant, ns since the epoch.
    #[must_use]
    pub fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// First instant after it, ns since the epoch.
    #[must_use]
    pub fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Whether it holds the instant `ts_ns`.
    #[must_use]
    pub fn contains(&self, ts_ns: i64) -> bool {
        (self.start_ns..self.end_ns).contains(&ts_ns)
    }

    /// The period after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self::starting(self.by, civil(self.end_ns))
    }

    /// The last whole period before `ts_ns`; `None` where the table has no periods.
    #[must_use]
    pub fn last_closed(by: PartitionBy, ts_ns: i64) -> Option<Self> {
        let current = Self::of(by, ts_ns)?;
        Self::of(by, current.start_ns.checked_sub(1)?)
    }

    /// The period whose directory holds the file at `key`; `None` where none does.
    #[must_use]
    pub fn of_key(by: PartitionBy, key: &str) -> Option<Self> {
        let depth = match by {
            PartitionBy::None => return None,
            PartitionBy::Hour => 2,
            PartitionBy::Year | PartitionBy::Month | PartitionBy::Day => 1,
        };
        let (folder, _file) = key.rsplit_once('/')?;
        let from = folder
            .rmatch_indices('/')
            .nth(depth - 1)
            .map_or(0, |(at, _)| at + 1);
        folder[from..].parse().ok()
    }

    /// Values of the Glue partition, in the order of the partition keys.
    #[must_use]
    pub fn partition_values(&self) -> Vec<String> {
        self.to_string()
            .split('/')
            .filter_map(|part| part.split_once('=').map(|(_, value)| value.to_owned()))
            .collect()
    }
}

fn civil(ts_ns: i64) -> DateTime {
    TimeZone::UTC.to_datetime(
        Timestamp::from_nanosecond(i128::from(ts_ns))
            .expect("64-bit nanoseconds are within jiff's years"),
    )
}

fn nanoseconds(at: DateTime) -> i64 {
    let instant = TimeZone::UTC.to_timestamp(at).unwrap_or(if at.year() < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    i64::try_from(instant.as_nanosecond()).unwrap_or(if at.year() < 1970 {
        i64::MIN
    } else {
        i64::MAX
    })
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The start of the first year that 64-bit nanoseconds touch lies before them.
        let at = civil(self.end_ns.saturating_sub(1));
        let (y, m, d) = (at.year(), at.month(), at.day());
        match self.by {
            By::Year => write!(f, "year={y:04}"),
            By::Month => write!(f, "month={y:04}-{m:02}"),
            By::Day => write!(f, "dt={y:04}-{m:02}-{d:02}"),
            By::Hour => write!(f, "dt={y:04}-{m:02}-{d:02}/hour={:02}", at.hour()),
        }
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let bad = || PeriodError(text.to_owned());
        let date = |text: &str| text.parse::<Date>().map_err(|_| bad());
        let start = |date: Date, hour: i8| date.at(hour, 0, 0, 0);
        if let Some(year) = text.strip_prefix("year=") {
            Ok(Self::starting(
                By::Year,
                start(date(&format!("{year}-01-01"))?, 0),
            ))
        } else if let Some(month) = text.strip_prefix("month=") {
            Ok(Self::starting(
                By::Month,
                start(date(&format!("{month}-01"))?, 0),
            ))
        } else {
            let rest = text.strip_prefix("dt=").ok_or_else(bad)?;
            match rest.split_once("/hour=") {
                None => Ok(Self::starting(By::Day, start(date(rest)?, 0))),
                Some((day, hour)) => {
                    let hour: i8 = hour.parse().map_err(|_| bad())?;
                    if !(0..24).contains(&hour) {
                        return Err(bad());
                    }
                    Ok(Self::starting(By::Hour, start(date(day)?, hour)))
                }
            }
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn directories_are_those_of_the_design() {
        let at = ns("2026-02-28T23:59:59.999999999Z");
        for (by, directory, next) in [
            (PartitionBy::Year, "year=2026", "year=2027"),
            (PartitionBy::Month, "month=2026-02", "month=2026-03"),
            (PartitionBy::Day, "dt=2026-02-28", "dt=2026-03-01"),
            (
                PartitionBy::Hour,
                "dt=2026-02-28/hour=23",
                "dt=2026-03-01/hour=00",
            ),
        ] {
            let period = Period::of(by, at).unwrap();
            assert_eq!(period.to_string(), directory);
            assert_eq!(period.next().to_string(), next);
            assert_eq!(directory.parse::<Period>().unwrap(), period);
            assert!(period.contains(at) && !period.contains(period.end_ns()));
            assert!(period < period.next());
        }
        assert_eq!(Period::of(PartitionBy::None, at), None);
    }

    #[test]
    fn the_last_closed_period_ends_at_or_before_the_instant() {
        let closed = |text| {
            Period::last_closed(PartitionBy::Hour, ns(text))
                .unwrap()
                .to_string()
        };
        assert_eq!(closed("2026-11-20T14:00:00Z"), "dt=2026-11-20/hour=13");
        assert_eq!(closed("2026-11-20T14:59:59Z"), "dt=2026-11-20/hour=13");
        assert_eq!(closed("2026-11-20T00:30:00Z"), "dt=2026-11-19/hour=23");
    }

    #[test]
    fn times_before_1970_and_at_the_ends_of_64_bits_have_periods() {
        assert_eq!(
            Period::of(PartitionBy::Day, -1).unwrap().to_string(),
            "dt=1969-12-31"
        );
        for ts in [i64::MIN, i64::MAX] {
            for by in [
                PartitionBy::Year,
                PartitionBy::Month,
                PartitionBy::Day,
                PartitionBy::Hour,
            ] {
                assert!(Period::of(by, ts).is_some());
            }
        }
    }

    #[test]
    fn the_period_of_a_file_is_its_directory() {
        let key = "us/ticks/dt=2026-11-20/hour=05/1b2c-0-0-9-0.parquet";
        let of = |by, key: &str| Period::of_key(by, key).map(|p| p.to_string());
        assert_eq!(
            of(PartitionBy::Hour, key).as_deref(),
            Some("dt=2026-11-20/hour=05")
        );
        assert_eq!(
            of(PartitionBy::Month, "month=2026-11/f").as_deref(),
            Some("month=2026-11")
        );
        assert_eq!(of(PartitionBy::None, key), None);
        assert_eq!(of(PartitionBy::Hour, "us/ticks/f"), None);
    }

    #[test]
    fn partition_values_follow_the_keys() {
        let period: Period = "dt=2026-11-20/hour=05".parse().unwrap();
        assert_eq!(period.partition_values(), ["2026-11-20", "05"]);
        for bad in [
            "",
            "dt=2026-13-01",
            "hour=03",
            "dt=2026-11-20/hour=24",
            "2026-11-20",
        ] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
