//! When a report runs next, and which run that is: pure.

use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::pipeline::{Report, Schedule};
use stockpipe_crds::run_key::{DataInterval, RunKey, RunKind, Sessions};

/// One firing of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When the schedule fires.
    pub at: Timestamp,
    /// The run. Two firings may name the same run; the second finds its result.
    pub key: RunKey,
}

/// The first firing of `report` after `after`; `None` where it has no schedule, its schedule is suspended or
/// never fires again, or the calendar knows no such session.
#[must_use]
pub fn next_due(report: &Report, after: Timestamp, sessions: &dyn Sessions) -> Option<Due> {
    let schedule = report.schedule.as_ref().filter(|s| !s.suspend)?;
    let at = schedule.cron.next(after, &schedule.time_zone)?;
    Some(Due {
        at,
        key: key_at(report, at, sessions)?,
    })
}

/// The run of `report` that a schedule firing at `at` names.
#[must_use]
pub fn key_at(report: &Report, at: Timestamp, sessions: &dyn Sessions) -> Option<RunKey> {
    let interval = DataInterval::scheduled(at, report.interval, report.data_date, sessions)?;
    RunKey::new(RunKind::Report, &report.name, interval.key_start).ok()
}

/// The runs of `report` whose schedule fired in `after < t <= until`, oldest first, each key once, at most `limit`
/// of the newest.
#[must_use]
pub fn keys_due(
    report: &Report,
    after: Timestamp,
    until: Timestamp,
    limit: usize,
    sessions: &dyn Sessions,
) -> Vec<RunKey> {
    let mut keys: Vec<RunKey> = Vec::new();
    let mut from = after;
    let Some(schedule) = report.schedule.as_ref().filter(|s| !s.suspend) else {
        return keys;
    };
    while let Some(at) = schedule.cron.next(from, &schedule.time_zone) {
        if at > until {
            break;
        }
        if let Some(key) = key_at(report, at, sessions)
            && keys.last() != Some(&key)
        {
            keys.push(key);
            if keys.len() > limit {
                keys.remove(0);
            }
        }
        from = at;
    }
    keys
}

/// The run that a CronJob's Job named `job` is for; `None` where [`schedule_time_of_job`] is.
#[must_use]
pub fn key_of_job(report: &Report, job: &str, sessions: &dyn Sessions) -> Option<RunKey> {
    let at = schedule_time_of_job(report.schedule.as_ref()?, job)?;
    key_at(report, at, sessions)
}

/// When a CronJob's Job named `job` was due: Kubernetes ends the name with the schedule's time, in minutes since
/// 1970. `None` where the name has no such ending, or the schedule does not fire at that time: a Job that somebody
/// made by hand.
#[must_use]
pub fn schedule_time_of_job(schedule: &Schedule, job: &str) -> Option<Timestamp> {
    let (_, minutes) = job.rsplit_once('-')?;
    let minutes: i64 = minutes.parse().ok()?;
    let at = Timestamp::from_second(minutes.checked_mul(60)?).ok()?;
    let before = at.checked_sub(SignedDuration::from_secs(1)).ok()?;
    (schedule.cron.next(before, &schedule.time_zone) == Some(at)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::MarketSessions;
    use jiff::tz::TimeZone;
    use std::time::Duration;
    use stockpipe_crds::pipeline::{BuiltinReport, DataDate, Interval, ReportQuery};

    fn report(cron: &str) -> Report {
        Report {
            name: "daily".into(),
            query: ReportQuery::Builtin(BuiltinReport::DailyOhlcv),
            interval: Interval::Session,
            data_date: DataDate::Session,
            schedule: Some(Schedule {
                cron: cron.parse().unwrap(),
                time_zone: TimeZone::get("America/New_York").unwrap(),
                suspend: false,
            }),
            deadline: Duration::from_secs(1),
            max_scanned_bytes: 1,
            catch_up: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn half_an_hour_after_the_close_the_days_session_is_due() {
        let sessions = MarketSessions::parse("XNYS").unwrap();
        let due = next_due(
            &report("30 16 * * 1-5"),
            at("2026-11-20T20:00:00Z"),
            &sessions,
        )
        .unwrap();
        assert_eq!(due.at, at("2026-11-20T21:30:00Z"));
        assert_eq!(due.key.to_string(), "report/daily@2026-11-20");
    }

    #[test]
    fn a_holiday_fires_the_run_of_the_day_before_once_more_and_that_is_one_key() {
        let sessions = MarketSessions::parse("XNYS").unwrap();
        // Thanksgiving is 2026-11-26; the day after closes at 13:00.
        let keys = keys_due(
            &report("30 16 * * 1-5"),
            at("2026-11-24T00:00:00Z"),
            at("2026-11-28T00:00:00Z"),
            10,
            &sessions,
        );
        let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(
            keys,
            [
                "report/daily@2026-11-24",
                "report/daily@2026-11-25",
                "report/daily@2026-11-27"
            ]
        );
    }

    #[test]
    fn a_suspended_schedule_is_never_due() {
        let sessions = MarketSessions::parse("24x7").unwrap();
        let mut report = report("* * * * *");
        if let Some(schedule) = &mut report.schedule {
            schedule.suspend = true;
        }
        let now = at("2026-11-20T20:00:00Z");
        assert_eq!(next_due(&report, now, &sessions), None);
        assert!(keys_due(&report, now, at("2026-11-21T20:00:00Z"), 5, &sessions).is_empty());
    }

    #[test]
    fn a_job_tells_its_run_by_the_minutes_in_its_name() {
        let sessions = MarketSessions::of(&stockpipe_crds::pipeline::Market {
            calendar: "XNYS".into(),
            symbols: Vec::new(),
            universe: None,
        });
        let report = report("30 16 * * 1-5");
        // Friday, 20 November 2026, 16:30 in New York.
        let at: Timestamp = "2026-11-20T21:30:00Z".parse().unwrap();
        let minutes = at.as_second() / 60;
        let key = key_of_job(&report, &format!("us-report-daily-{minutes}"), &sessions);
        assert_eq!(key.unwrap().to_string(), "report/daily@2026-11-20");
        for by_hand in [
            "us-report-daily-manual",
            "us-report-daily-1",
            "us",
            &format!("us-report-daily-{}", minutes + 1),
        ] {
            assert_eq!(key_of_job(&report, by_hand, &sessions), None, "{by_hand}");
        }
    }
}
