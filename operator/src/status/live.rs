//! Numbers that change all the time, rounded so that they seldom do, and
//! written at most once a minute.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::status::StockPipelineStatus;

use crate::worker_reports::WorkerReports;

/// Time between two writes of live numbers alone.
const WRITE_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// What the workers' numbers come to; `None` where not every worker that
/// matters has said its part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveNumbers {
    /// Ticks a second, as 50k/s.
    pub rate: Option<String>,
    /// Records that have not landed.
    pub lag: Option<i64>,
    /// Event time up to which everything has landed, to the minute; to the hour
    /// while no tick is made, as where the market is closed.
    pub watermark: Option<String>,
    /// Delay from ingestion to landing, as 20s.
    pub freshness: Option<String>,
    /// Where the market is closed and no tick is made: records that may wait in
    /// spite of that, which are heartbeats.
    pub heartbeats: Option<i64>,
}

/// From closing a file to its being published, and the reports that tell of it.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(60);

impl LiveNumbers {
    /// The numbers of these reports, of a topic with so many partitions. Where
    /// the market is closed, `closed` is the age at which a file is closed.
    #[must_use]
    pub fn of(reports: &WorkerReports, partitions: i32, closed: Option<Duration>) -> Self {
        let mut producers = reports.producers().peekable();
        let rate = producers
            .peek()
            .is_some()
            .then(|| producers.map(|producer| producer.rate).sum());
        let known = reports.partitions();
        let complete =
            !known.is_empty() && known.len() >= usize::try_from(partitions).unwrap_or_default();
        let lag = complete.then(|| known.values().map(|partition| partition.lag.max(0)).sum());
        let watermark = complete
            .then(|| {
                known
                    .values()
                    .map(|partition| partition.watermark)
                    .collect::<Option<Vec<Timestamp>>>()?
                    .into_iter()
                    .min()
            })
            .flatten();
        let heartbeats = closed.filter(|_| rate == Some(0)).map(|roll_age| {
            let waiting = (roll_age + PUBLISHED_WITHIN).as_secs();
            i64::try_from(waiting.saturating_mul(known.len() as u64)).unwrap_or(i64::MAX)
        });
        let freshness = reports
            .landers()
            .filter_map(|lander| lander.freshness_ms)
            .max();
        Self {
            rate: rate.map(|rate| format!("{}/s", short(one_digit(rate)))),
            lag: lag
                .map(|lag: i64| i64::try_from(one_digit(lag.unsigned_abs())).unwrap_or(i64::MAX)),
            watermark: watermark.and_then(|at| {
                let unit = if heartbeats.is_some() { HOUR } else { MINUTE };
                whole(at, unit)
            }),
            freshness: freshness.map(|ms| format!("{}s", one_digit(ms.div_ceil(1_000)))),
            heartbeats,
        }
    }

    /// Puts them into a status; numbers that are not known stay as they were,
    /// and a suspended pipeline has none. That heartbeats come and land is no
    /// news while nothing else does.
    pub(super) fn write(self, status: &mut StockPipelineStatus, suspended: bool) {
        if let Some(producer) = &mut status.producer {
            producer.rate = if suspended {
                None
            } else {
                self.rate.or(producer.rate.take())
            };
        }
        if let Some(consumer) = &mut status.consumer {
            if suspended {
                // The lag of a stopped consumer is nobody's to tell.
                consumer.lag = None;
                consumer.freshness = None;
                return;
            }
            let of_heartbeats = |lag: Option<i64>| match (lag, self.heartbeats) {
                (Some(lag), Some(most)) => lag <= most,
                _ => false,
            };
            if !(of_heartbeats(self.lag) && of_heartbeats(consumer.lag)) {
                consumer.lag = self.lag.or(consumer.lag);
            }
            // The hour that began before the close is no step back. Both are RFC 3339 in UTC.
            if self.heartbeats.is_none() || self.watermark > consumer.watermark {
                consumer.watermark = self.watermark.or(consumer.watermark.take());
            }
            if self.heartbeats.is_none() || consumer.freshness.is_none() {
                consumer.freshness = self.freshness.or(consumer.freshness.take());
            }
        }
    }
}

/// `number` to one significant digit.
#[must_use]
pub fn one_digit(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    // 95 becomes 100, as 0.95 becomes 1.
    (number + unit / 2) / unit * unit
}

/// A rounded number with k, M or G.
fn short(number: u64) -> String {
    for (unit, letter) in [(1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')] {
        if number >= unit {
            return format!("{}{letter}", number / unit);
        }
    }
    number.to_string()
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

/// The last whole minute or hour, of so many seconds.
fn whole(at: Timestamp, unit: i64) -> Option<String> {
    let second = at.as_second();
    let whole = Timestamp::from_second(second - second.rem_euclid(unit)).ok()?;
    Some(whole.to_string())
}

/// What to do about a status.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It says so already.
    Same,
    /// Live numbers alone changed, too soon after they were last written: look
    /// again then.
    Later(Timestamp),
    /// Write it.
    Write(Box<StockPipelineStatus>),
}

/// What to do where `last` was written and `next` is so. A number that nobody
/// knew yet is written at once, as is all that is no number; a change of
/// numbers alone waits until `numbers_written` is a minute ago.
#[must_use]
pub fn settle(
    last: Option<&StockPipelineStatus>,
    next: StockPipelineStatus,
    numbers_written: Option<Timestamp>,
    now: Timestamp,
) -> Settled {
    let Some(last) = last else {
        return Settled::Write(Box::new(next));
    };
    if *last == next {
        return Settled::Same;
    }
    let mut same_numbers = next.clone();
    keep_numbers(last, &mut same_numbers);
    let due = numbers_written
        .and_then(|at| at.checked_add(WRITE_EVERY).ok())
        .filter(|due| *due > now);
    match due {
        Some(due) if same_numbers == *last && !has_first_number(last, &next) => Settled::Later(due),
        _ => Settled::Write(Box::new(next)),
    }
}

/// Whether live numbers changed from `last` to `next`.
#[must_use]
pub fn numbers_differ(last: Option<&StockPipelineStatus>, next: &StockPipelineStatus) -> bool {
    let Some(last) = last else { return false };
    let mut kept = next.clone();
    keep_numbers(last, &mut kept);
    kept != *next
}

/// Whether `next` has a number where `last` had none: that happens once for each.
fn has_first_number(last: &StockPipelineStatus, next: &StockPipelineStatus) -> bool {
    let known = |status: &StockPipelineStatus| {
        let producer = status.producer.as_ref();
        let consumer = status.consumer.as_ref();
        [
            producer.is_some_and(|producer| producer.rate.is_some()),
            consumer.is_some_and(|consumer| consumer.lag.is_some()),
            consumer.is_some_and(|consumer| consumer.watermark.is_some()),
            consumer.is_some_and(|consumer| consumer.freshness.is_some()),
        ]
    };
    known(last)
        .into_iter()
        .zip(known(next))
        .any(|(last, next)| next && !last)
}

fn keep_numbers(last: &StockPipelineStatus, next: &mut StockPipelineStatus) {
    // Advances with every schedule time; Jobs that are there say the same.
    for report in &mut next.reports {
        let known = last.reports.iter().find(|known| known.name == report.name);
        if let Some(known) = known.filter(|known| known.scheduled_through.is_some())
            && report.scheduled_through.is_some()
        {
            report
                .scheduled_through
                .clone_from(&known.scheduled_through);
        }
    }
    if let (Some(last), Some(next)) = (&last.producer, &mut next.producer) {
        next.rate.clone_from(&last.rate);
    }
    if let (Some(last), Some(next)) = (&last.consumer, &mut next.consumer) {
        next.lag = last.lag;
        next.watermark.clone_from(&last.watermark);
        next.freshness.clone_from(&last.freshness);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_reports::samples::{lander, producer, reports};
    use stockpipe_crds::status::{ConsumerStatus, Phase, ProducerStatus};
    use stockpipe_crds::worker_status::RoleStatus;

    #[test]
    fn one_significant_digit_is_left() {
        for (number, rounded) in [
            (0, 0),
            (7, 7),
            (9, 9),
            (94, 90),
            (95, 100),
            (51_234, 50_000),
            (999_999, 1_000_000),
        ] {
            assert_eq!(one_digit(number), rounded, "{number}");
        }
        for (number, text) in [
            (900, "900"),
            (50_000, "50k"),
            (2_000_000, "2M"),
            (3_000_000_000, "3G"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn numbers_are_known_when_every_partition_is() {
        let all = reports(vec![producer(51_234), lander(&[(0, 700, 1), (1, 123, 1)])]);
        assert_eq!(
            LiveNumbers::of(&all, 2, None),
            LiveNumbers {
                rate: Some("50k/s".into()),
                lag: Some(800),
                watermark: Some("2026-11-20T20:59:00Z".into()),
                freshness: Some("20s".into()),
                heartbeats: None,
            }
        );
        let partial = LiveNumbers::of(&all, 3, None);
        assert_eq!((partial.lag, partial.watermark), (None, None));
        assert_eq!(
            LiveNumbers::of(&WorkerReports::default(), 3, None),
            LiveNumbers::default()
        );
    }

    fn status(phase: Phase, lag: i64) -> StockPipelineStatus {
        StockPipelineStatus {
            phase: Some(phase),
            producer: Some(ProducerStatus::default()),
            consumer: Some(ConsumerStatus {
                lag: Some(lag),
                ..ConsumerStatus::default()
            }),
            ..StockPipelineStatus::default()
        }
    }

    #[test]
    fn a_closed_market_is_written_once_an_hour() {
        let roll_age = Duration::from_secs(300);
        let numbers = |rate, lag, watermark: &str, closed| {
            let mut lander = lander(&[(0, lag, 1), (1, lag, 1)]);
            if let RoleStatus::Land(land) = &mut lander.role {
                for partition in &mut land.partitions {
                    partition.watermark = Some(watermark.parse().unwrap());
                }
                land.freshness_ms = Some(u64::try_from(lag).unwrap() * 1_000);
            }
            LiveNumbers::of(&reports(vec![producer(rate), lander]), 2, closed)
        };
        let closed = |lag, watermark| numbers(0, lag, watermark, Some(roll_age));
        let mut written = status(Phase::Running, 5_000);
        let open = numbers(700, 4_000, "2026-11-20T21:04:30Z", None);
        open.write(&mut written, false);
        let watermark = |status: &StockPipelineStatus| {
            let consumer = status.consumer.clone().unwrap();
            consumer.watermark.unwrap()
        };
        // The last minute of the session is not taken back to its hour.
        closed(40, "2026-11-20T21:04:59Z").write(&mut written, false);
        assert_eq!(watermark(&written), "2026-11-20T21:04:00Z");
        assert_eq!(written.consumer.clone().unwrap().lag, Some(80));
        let first = written.clone();
        for (lag, at) in [(9, "2026-11-20T21:06:00Z"), (340, "2026-11-20T21:59:59Z")] {
            closed(lag, at).write(&mut written, false);
            assert_eq!(written, first, "{lag} at {at}");
        }
        closed(40, "2026-11-20T22:03:00Z").write(&mut written, false);
        assert_eq!(watermark(&written), "2026-11-20T22:00:00Z");
        // More than heartbeats waits, or ticks come where none should: that is news.
        for news in [
            closed(400, "2026-11-20T22:03:00Z"),
            numbers(3, 40, "2026-11-20T22:04:00Z", Some(roll_age)),
            // A quiet minute of an open market.
            numbers(0, 40, "2026-11-20T22:04:00Z", None),
        ] {
            let before = written.clone();
            news.write(&mut written, false);
            assert_ne!(written, before);
        }
        assert_eq!(watermark(&written), "2026-11-20T22:04:00Z");
    }

    #[test]
    fn numbers_alone_are_written_once_a_minute_and_anything_else_at_once() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let last = status(Phase::Running, 100);
        let with_rate = |lag| {
            let mut next = status(Phase::Running, lag);
            next.producer.as_mut().unwrap().rate = Some("50k/s".into());
            next
        };
        let writes = |next: &StockPipelineStatus| Settled::Write(Box::new(next.clone()));
        let running = |lag| status(Phase::Running, lag);
        let later = |_: &_| Settled::Later(at(160));
        type Expected<'a> = &'a dyn Fn(&StockPipelineStatus) -> Settled;
        for (what, next, written, now, expected) in [
            (
                "nothing",
                running(100),
                None,
                0,
                (&|_: &_| Settled::Same) as Expected<'_>,
            ),
            ("a number, never written", running(200), None, 0, &writes),
            ("a number, too soon", running(200), Some(100), 159, &later),
            ("a number, in time", running(200), Some(100), 160, &writes),
            (
                "the phase, soon",
                status(Phase::Degraded, 200),
                Some(100),
                101,
                &writes,
            ),
            (
                "a number that was not known",
                with_rate(100),
                Some(100),
                101,
                &writes,
            ),
        ] {
            let settled = settle(Some(&last), next.clone(), written.map(at), at(now));
            assert_eq!(settled, expected(&next), "{what}");
        }
        // What was known and is not any more is no news.
        let later = settle(
            Some(&with_rate(100)),
            with_rate(200),
            Some(at(100)),
            at(101),
        );
        assert_eq!(later, Settled::Later(at(160)));
        assert_eq!(settle(None, last.clone(), None, at(0)), writes(&last));
    }

    #[test]
    fn that_schedule_times_pass_waits_like_a_number_but_for_the_first() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let through = |time: Option<&str>| {
            let report = serde_json::json!({"name": "daily", "scheduledThrough": time});
            let mut status = status(Phase::Running, 100);
            status.reports = vec![serde_json::from_value(report).unwrap()];
            status
        };
        let (none, first, second) = (through(None), through(Some("a")), through(Some("b")));
        let settled = |last: &_, next: &StockPipelineStatus| {
            settle(Some(last), next.clone(), Some(at(100)), at(101))
        };
        assert_eq!(settled(&first, &second), Settled::Later(at(160)));
        assert_eq!(
            settled(&none, &first),
            Settled::Write(Box::new(first.clone()))
        );
        assert_eq!(
            settled(&first, &none),
            Settled::Write(Box::new(none.clone()))
        );
    }

    #[test]
    fn a_write_without_a_new_number_starts_no_minute() {
        let last = status(Phase::Pending, 100);
        assert!(!numbers_differ(Some(&last), &status(Phase::Running, 100)));
        assert!(numbers_differ(Some(&last), &status(Phase::Pending, 200)));
        assert!(!numbers_differ(None, &last));
    }
}
