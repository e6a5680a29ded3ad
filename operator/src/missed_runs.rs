//! Which missed runs are made up for: pure. CronJobs fire on time only; the
//! operator alone replays what was missed, one at a time and oldest first, with
//! the name that the CronJob would have used, so that of two who make it one
//! finds that it is there.

use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::pipeline::{CatchUp, DataDate, Interval, Schedule};
use stockpipe_crds::run_key::{DataInterval, IntervalStart, Sessions};

use crate::build::cron_job::STARTING_DEADLINE;

/// After this a schedule time that has no Job was missed: its CronJob does not
/// fire for it any more.
pub const GRACE: SignedDuration = SignedDuration::from_secs(STARTING_DEADLINE + 30);
/// Schedule times that are looked at in one step; the rest in the next.
const STEP: usize = 2_000;

/// Name of the Job that a CronJob makes at a schedule time
/// (`getJobName` of Kubernetes' CronJob controller).
#[must_use]
pub fn job_name(cron_job: &str, at: Timestamp) -> String {
    format!("{cron_job}-{}", at.as_second().div_euclid(60))
}

/// The schedule time that a Job's name says, where the CronJob made it, or the
/// operator in its stead.
#[must_use]
pub fn schedule_time(cron_job: &str, job: &str) -> Option<Timestamp> {
    let minutes = job.strip_prefix(cron_job)?.strip_prefix('-')?;
    let plain = !minutes.is_empty() && minutes.bytes().all(|byte| byte.is_ascii_digit());
    let minutes: i64 = minutes.parse().ok().filter(|_| plain)?;
    Timestamp::from_second(minutes.checked_mul(60)?).ok()
}

/// What is known of a report's runs, or of crawls.
pub struct Runs<'a> {
    /// When they are due.
    pub schedule: Option<&'a Schedule>,
    /// The data that each covers.
    pub interval: (Interval, DataDate),
    /// What happens to missed runs.
    pub catch_up: CatchUp,
    /// Schedule times up to this one are settled; `None` for what was not
    /// seen before.
    pub settled: Option<Timestamp>,
    /// Whether the schedule was suspended until now: its times are given up.
    pub was_suspended: bool,
    /// Schedule times that have a Job, in any state.
    pub jobs: &'a [Timestamp],
    /// Whether one of those Jobs still runs.
    pub busy: bool,
    /// Now.
    pub now: Timestamp,
}

/// What to do about missed runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The schedule time whose run is to be made up for now.
    pub replay: Option<Timestamp>,
    /// Schedule times up to this one are settled.
    pub settled: Option<Timestamp>,
    /// When to look again.
    pub again: Option<Timestamp>,
}

/// What to do about the missed runs.
#[must_use]
pub fn plan(runs: &Runs<'_>, sessions: &dyn Sessions) -> Plan {
    let Some(schedule) = runs.schedule else {
        return Plan::default();
    };
    let (Some(settled), false) = (runs.settled, runs.was_suspended) else {
        // From here on; what lies before was never promised.
        return Plan {
            settled: Some(runs.now),
            ..Plan::default()
        };
    };
    if schedule.suspend {
        return Plan {
            settled: Some(settled),
            ..Plan::default()
        };
    }
    let due = runs.now.checked_sub(GRACE).unwrap_or(runs.now);
    let mut times = Vec::new();
    let mut last = settled;
    while let Some(at) = schedule.cron.next(last, &schedule.time_zone) {
        if at > due {
            break;
        }
        times.push(at);
        last = at;
        if times.len() == STEP {
            break;
        }
    }
    let missed = missed(runs, &times, sessions);
    let again = schedule
        .cron
        .next(due, &schedule.time_zone)
        .and_then(|at| at.checked_add(GRACE).ok());
    match missed.first() {
        None => Plan {
            replay: None,
            settled: Some(last),
            again,
        },
        // One at a time: the next when this one has ended.
        Some(first) => Plan {
            replay: (!runs.busy).then_some(*first),
            settled: before(&times, *first).or(Some(settled)),
            again,
        },
    }
}

/// The schedule times among `times` that are to be made up for, oldest first:
/// one for each key, none whose key has a Job.
fn missed(runs: &Runs<'_>, times: &[Timestamp], sessions: &dyn Sessions) -> Vec<Timestamp> {
    let key = |at: &Timestamp| -> Option<IntervalStart> {
        let (length, rule) = runs.interval;
        DataInterval::scheduled(*at, length, rule, sessions).map(|interval| interval.key_start)
    };
    let mut seen: Vec<IntervalStart> = runs.jobs.iter().filter_map(key).collect();
    // The run that settled the last time before these, if it had their key.
    seen.extend(runs.settled.as_ref().and_then(key).filter(|_| {
        runs.schedule.is_some_and(|schedule| {
            let before = runs
                .settled
                .and_then(|at| at.checked_sub(SignedDuration::from_secs(1)).ok());
            before.and_then(|at| schedule.cron.next(at, &schedule.time_zone)) == runs.settled
        })
    }));
    let mut missed = Vec::new();
    for at in times {
        if runs.jobs.contains(at) {
            continue;
        }
        let Some(key) = key(at) else { continue };
        if !seen.contains(&key) {
            seen.push(key);
            missed.push(*at);
        }
    }
    let kept = match runs.catch_up {
        CatchUp::None => 0,
        CatchUp::Last => 1,
        CatchUp::All { limit } => limit,
    };
    missed.split_off(missed.len().saturating_sub(kept))
}

/// The schedule time before `at`.
fn before(times: &[Timestamp], at: Timestamp) -> Option<Timestamp> {
    times.iter().copied().rfind(|time| *time < at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::MarketSessions;
    use jiff::tz::TimeZone;

    fn schedule(cron: &str) -> Schedule {
        Schedule {
            cron: cron.parse().unwrap(),
            time_zone: TimeZone::UTC,
            suspend: false,
        }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-11-20T{text}Z").parse().unwrap()
    }

    const ALL: CatchUp = CatchUp::All { limit: 7 };

    /// Lets every replay end at once; the schedule times that were made up for.
    fn replayed(
        catch_up: CatchUp,
        jobs: &[Timestamp],
        settled: Timestamp,
        now: Timestamp,
    ) -> Vec<Timestamp> {
        let schedule = schedule("* * * * *");
        let sessions = MarketSessions::parse("24x7").unwrap();
        let (mut jobs, mut settled) = (jobs.to_vec(), settled);
        let mut replayed = Vec::new();
        for _ in 0..20 {
            let runs = Runs {
                schedule: Some(&schedule),
                interval: (Interval::Minute, DataDate::Session),
                catch_up,
                settled: Some(settled),
                was_suspended: false,
                jobs: &jobs,
                busy: false,
                now,
            };
            let plan = plan(&runs, &sessions);
            settled = plan.settled.unwrap();
            let Some(at) = plan.replay else {
                return replayed;
            };
            jobs.push(at);
            replayed.push(at);
        }
        panic!("it does not end: {replayed:?}")
    }

    #[test]
    fn exactly_the_times_without_a_job_are_made_up_for_oldest_first() {
        let jobs = [at("10:01:00"), at("10:05:00")];
        assert_eq!(
            replayed(ALL, &jobs, at("10:00:00"), at("10:09:00")),
            [at("10:02:00"), at("10:03:00"), at("10:04:00")]
        );
        for (catch_up, expected) in [
            (CatchUp::None, vec![]),
            (CatchUp::Last, vec![at("10:04:00")]),
            (
                CatchUp::All { limit: 2 },
                vec![at("10:03:00"), at("10:04:00")],
            ),
        ] {
            let found = replayed(catch_up, &jobs, at("10:00:00"), at("10:09:00"));
            assert_eq!(found, expected, "{catch_up:?}");
        }
    }

    #[test]
    fn a_time_that_its_cron_job_may_still_fire_for_is_left_to_it() {
        assert_eq!(replayed(ALL, &[], at("10:00:00"), at("10:04:00")), []);
        assert_eq!(
            replayed(ALL, &[], at("10:00:00"), at("10:05:00")),
            [at("10:01:00")]
        );
    }

    #[test]
    fn two_times_of_one_key_are_one_run() {
        let schedule = schedule("0,30 12 * * *");
        let sessions = MarketSessions::parse("24x7").unwrap();
        let plan_with = |jobs: &[Timestamp]| {
            let runs = Runs {
                schedule: Some(&schedule),
                interval: (Interval::Day, DataDate::Session),
                catch_up: ALL,
                settled: Some(at("11:00:00")),
                was_suspended: false,
                jobs,
                busy: false,
                now: at("13:00:00"),
            };
            plan(&runs, &sessions)
        };
        assert_eq!(plan_with(&[]).replay, Some(at("12:00:00")));
        let after = plan_with(&[at("12:00:00")]);
        assert_eq!((after.replay, after.settled), (None, Some(at("12:30:00"))));
    }

    #[test]
    fn what_was_missed_while_suspended_or_before_it_was_seen_is_given_up() {
        let schedule = schedule("* * * * *");
        let sessions = MarketSessions::parse("24x7").unwrap();
        for (settled, was_suspended) in [(None, false), (Some(at("09:00:00")), true)] {
            let runs = Runs {
                schedule: Some(&schedule),
                interval: (Interval::Minute, DataDate::Session),
                catch_up: ALL,
                settled,
                was_suspended,
                jobs: &[],
                busy: false,
                now: at("10:00:00"),
            };
            let plan = plan(&runs, &sessions);
            assert_eq!((plan.replay, plan.settled), (None, Some(at("10:00:00"))));
        }
    }

    #[test]
    fn one_runs_at_a_time() {
        let schedule = schedule("* * * * *");
        let sessions = MarketSessions::parse("24x7").unwrap();
        let runs = Runs {
            schedule: Some(&schedule),
            interval: (Interval::Minute, DataDate::Session),
            catch_up: ALL,
            settled: Some(at("10:00:00")),
            was_suspended: false,
            jobs: &[at("10:01:00")],
            busy: true,
            now: at("10:10:00"),
        };
        let plan = plan(&runs, &sessions);
        assert_eq!((plan.replay, plan.settled), (None, Some(at("10:01:00"))));
    }

    #[test]
    fn a_jobs_name_says_its_schedule_time_as_kubernetes_writes_it() {
        let time = at("16:30:00");
        assert_eq!(job_name("x-report-r", time), "x-report-r-29919870");
        assert_eq!(
            schedule_time("x-report-r", "x-report-r-29919870"),
            Some(time)
        );
        for other in [
            "x-report-r",
            "x-report-r-",
            "x-report-r-by-hand",
            "x-report-r--1",
            "y-29919870",
        ] {
            assert_eq!(schedule_time("x-report-r", other), None, "{other}");
        }
    }
}
