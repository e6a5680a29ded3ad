//! How many landers there should be, from the lag: pure.
//!
//! Landers are added when what has not landed would not drain within
//! `drainTarget`, and taken away one by one when nothing has been behind for a
//! whole stabilisation window. A report that is missing freezes the decision;
//! it never counts as lag 0. Zero comes from the calendar alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stockpipe_crds::run_key::Sessions;
use stockpipe_crds::spec::consumer::AutoscalingSpec;
use stockpipe_crds::status::ScaleStatus;

use crate::sessions::MarketSessions;
use crate::worker_reports::WorkerReports;

/// Between two changes of direction, at least.
pub const STABILISATION: SignedDuration = SignedDuration::from_mins(5);
/// Samples are kept for so long.
const KEPT: SignedDuration = SignedDuration::from_mins(10);
/// Time from closing a file to its being published, at most.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(15);
/// Heartbeats a second in each partition: records as ticks are, which wait and land as they do.
const HEARTBEATS: f64 = 1.0;
/// Headroom that must be left after a lander is taken away.
const HEADROOM: f64 = 1.2;

/// What the autoscaler remembers of a pipeline; a new leader begins without it.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// Ticks a second that one lander carried while it was behind.
    capacity: Option<f64>,
}

/// What the workers said at one moment.
#[derive(Clone, Debug)]
struct Sample {
    at: Timestamp,
    /// Rows that each lander has landed, by UID of its pod.
    landed: BTreeMap<String, u64>,
    /// Partitions that were reported.
    partitions: usize,
    /// Ticks a second that were made.
    rate: f64,
    /// Whether more had not landed than waits for files to be closed.
    behind: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    fn between(from: i32, to: i32) -> Option<Self> {
        match to.cmp(&from) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Self::Up),
            std::cmp::Ordering::Less => Some(Self::Down),
        }
    }
}

impl History {
    /// The workers have reported.
    pub fn saw(&mut self, reports: &WorkerReports, at: Timestamp) {
        self.samples.push_back(Sample {
            at,
            landed: reports
                .landers_by_pod()
                .map(|(uid, lander)| (uid.to_owned(), lander.rows_total))
                .collect(),
            partitions: reports.partitions().len(),
            rate: rate(reports),
            behind: None,
        });
        while self
            .samples
            .front()
            .is_some_and(|oldest| at.duration_since(oldest.at) > KEPT)
        {
            self.samples.pop_front();
        }
    }

    /// Rows a second that one lander lands, over at least `span`; `None` while
    /// no lander has been seen for so long.
    fn landing_rate(&self, span: SignedDuration) -> Option<f64> {
        let newest = self.samples.back()?;
        let oldest = self
            .samples
            .iter()
            .rev()
            .find(|sample| newest.at.duration_since(sample.at) >= span)?;
        let seconds = newest.at.duration_since(oldest.at).as_secs_f64();
        let rates: Vec<f64> = newest
            .landed
            .iter()
            .filter_map(|(uid, rows)| {
                let before = oldest.landed.get(uid)?;
                Some(rows.checked_sub(*before)? as f64 / seconds)
            })
            .collect();
        (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
    }

    /// The most partitions that were reported of late: a topic only grows.
    fn partitions(&self) -> usize {
        let partitions = self.samples.iter().map(|sample| sample.partitions);
        partitions.max().unwrap_or_default()
    }

    /// The highest rate since `since`.
    fn highest_rate_since(&self, since: Timestamp) -> f64 {
        self.samples
            .iter()
            .filter(|sample| sample.at >= since)
            .map(|sample| sample.rate)
            .fold(0.0, f64::max)
    }

    /// Whether nothing was behind since `since`, as far back as that.
    fn was_never_behind_since(&self, since: Timestamp) -> bool {
        let reaches = self
            .samples
            .front()
            .is_some_and(|oldest| oldest.at <= since);
        reaches
            && self
                .samples
                .iter()
                .filter(|sample| sample.at >= since)
                .all(|sample| sample.behind == Some(false))
    }
}

/// What a decision follows from.
pub struct Signals<'a> {
    /// What the spec says.
    pub spec: &'a AutoscalingSpec,
    /// The market's sessions.
    pub sessions: &'a MarketSessions,
    /// Landers that are wanted now.
    pub current: i32,
    /// The last change, as the status says it: whoever made it.
    pub last_scale: Option<&'a ScaleStatus>,
    /// Landers that are ready.
    pub ready: i32,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Age at which a file is closed: records so old have not landed, and are
    /// not behind.
    pub roll_age: Duration,
    /// What the workers last said.
    pub reports: &'a WorkerReports,
    /// Now.
    pub now: Timestamp,
}

/// A decision, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Landers.
    pub replicas: i32,
    /// Whether the calendar decided.
    pub outside_session: bool,
    /// The change, where it is for the lag's sake: the next one waits for it.
    pub scale: Option<ScaleStatus>,
    /// Why, for the log.
    pub why: &'static str,
}

/// How many landers there should be. Notes in `history` what was found.
#[must_use]
pub fn decide(signals: &Signals<'_>, history: &mut History) -> Decision {
    let spec = signals.spec;
    let decision = |replicas, why| Decision {
        replicas,
        outside_session: false,
        scale: None,
        why,
    };
    if let Some(outside) = &spec.outside_session {
        let wake = outside.wake_before.to_duration();
        if !is_active(signals.sessions, signals.now, wake) {
            let done = signals.current <= outside.replicas || session_has_landed(signals);
            return Decision {
                replicas: if done {
                    outside.replicas
                } else {
                    signals.current
                },
                outside_session: done && outside.replicas == 0,
                scale: None,
                why: "the market is closed",
            };
        }
    }
    // Somebody may have added partitions; that some are not reported takes none away.
    let reported = i32::try_from(signals.reports.partitions().len()).unwrap_or(i32::MAX);
    let most = spec
        .max_replicas
        .min(signals.partitions.max(reported).max(1));
    let least = spec.min_replicas.min(most);
    let load = load(signals, history);
    // A partition that nobody reports may have been added by hand: it takes no lander away.
    let bound = if load.is_some() {
        most
    } else {
        spec.max_replicas
    };
    if signals.current < least || signals.current > bound {
        // Of the calendar or the spec; no lag is needed to see it.
        return decision(
            signals.current.clamp(least, bound),
            "the bounds of the spec",
        );
    }
    let Some(load) = load else {
        return decision(signals.current, "frozen: not every worker has reported");
    };
    let roll = SignedDuration::try_from(signals.roll_age).unwrap_or(KEPT);
    let span = (roll * 2).max(SignedDuration::from_secs(60)).min(KEPT / 2);
    let behind = load.excess > 0.0;
    if let Some(newest) = history.samples.back_mut() {
        newest.behind = Some(behind);
    }
    let measured = history.landing_rate(span);
    let wanted = if behind {
        if let Some(rate) = measured.filter(|rate| *rate > 0.0) {
            history.capacity = Some(history.capacity.map_or(rate, |known| known.max(rate)));
        }
        match history.capacity {
            Some(capacity) => {
                let target = spec.drain_target.to_duration().as_secs_f64();
                let needed = (load.rate + load.excess / target) / capacity;
                (needed.ceil() as i32).clamp(signals.current, most)
            }
            None => {
                return decision(
                    signals.current,
                    "frozen: the landers' speed is not known yet",
                );
            }
        }
    } else {
        let window = signals.now.checked_sub(STABILISATION);
        let calm = window.is_ok_and(|since| history.was_never_behind_since(since));
        let fewer = signals.current - 1;
        let enough = history
            .capacity
            .is_none_or(|capacity| f64::from(fewer) * capacity >= load.rate * HEADROOM);
        if calm && enough && fewer >= least {
            fewer
        } else {
            signals.current
        }
    };
    let Some(direction) = Direction::between(signals.current, wanted) else {
        return decision(signals.current, "as many as are needed");
    };
    if let Some((at, last)) = signals.last_scale.and_then(change) {
        let wait = if last == direction && direction == Direction::Up {
            // Long enough to see what the last change did.
            span
        } else {
            STABILISATION
        };
        if signals.now.duration_since(at) < wait {
            return decision(signals.current, "the last change is too recent");
        }
    }
    let why = match direction {
        Direction::Up => "what has not landed would not drain in time",
        Direction::Down => "nothing has been behind for a whole window",
    };
    Decision {
        scale: Some(ScaleStatus {
            time: format!("{:.0}", signals.now),
            from: signals.current,
            to: wanted,
        }),
        ..decision(wanted, why)
    }
}

/// When a change was made, and which way; `None` of one that cannot be read.
fn change(scale: &ScaleStatus) -> Option<(Timestamp, Direction)> {
    let direction = Direction::between(scale.from, scale.to)?;
    Some((scale.time.parse().ok()?, direction))
}

/// What the landers have to carry.
struct Load {
    /// Ticks a second.
    rate: f64,
    /// Records that are behind.
    excess: f64,
}

/// Ticks a second that the producers make.
fn rate(reports: &WorkerReports) -> f64 {
    reports
        .producers()
        .map(|producer| producer.rate)
        .sum::<u64>() as f64
}

/// The load; `None` where any worker that matters has not reported.
fn load(signals: &Signals<'_>, history: &History) -> Option<Load> {
    let reports = signals.reports;
    let partitions = reports.partitions();
    let expected = usize::try_from(signals.partitions).ok()?;
    let complete = partitions.len() >= expected.max(history.partitions())
        && reports.landers().count() >= usize::try_from(signals.current).ok()?
        && signals.ready >= signals.current
        && reports.silent().next().is_none()
        && reports.producers().next().is_some();
    if !complete {
        return None;
    }
    let lag: i64 = partitions
        .values()
        .map(|partition| partition.lag.max(0))
        .sum();
    let rate = rate(reports);
    // A file is closed within its age, and published a little later: what waits for it came at the rate of then.
    let wait = signals.roll_age + PUBLISHED_WITHIN;
    let earlier = SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| signals.now.checked_sub(wait).ok())
        .map_or(rate, |since| history.highest_rate_since(since));
    let records = rate.max(earlier) + f64::from(signals.partitions) * HEARTBEATS;
    let waiting = records * wait.as_secs_f64();
    Some(Load {
        rate,
        excess: (lag as f64 - waiting).max(0.0),
    })
}

/// Whether landers should run at `now`: a session is open, or opens within
/// `wake`.
fn is_active(sessions: &MarketSessions, now: Timestamp, wake: Duration) -> bool {
    let Ok(wake) = SignedDuration::try_from(wake) else {
        return true;
    };
    // A session opens within a day, if any does.
    sessions.is_open(now)
        || now.checked_add(wake).is_ok_and(|later| {
            sessions.is_open(later)
                || [now, later].into_iter().any(|at| {
                    sessions
                        .containing(at)
                        .and_then(|date| sessions.trading(date))
                        .is_some_and(|(open, _)| now < open && open <= later)
                })
        })
}

/// Whether everything of the newest session has landed, so that no lander is
/// needed before the next.
fn session_has_landed(signals: &Signals<'_>) -> bool {
    let complete = signals
        .sessions
        .newest_closed(signals.now)
        .and_then(|date| signals.sessions.trading(date))
        .map(|(_, complete)| complete);
    let Some(complete) = complete else {
        return false;
    };
    let partitions = signals.reports.partitions();
    partitions.len() >= usize::try_from(signals.partitions).unwrap_or(usize::MAX)
        && partitions.values().all(|partition| {
            partition
                .watermark
                .is_some_and(|watermark| watermark >= complete)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_reports::samples::{lander, producer, reports};
    use stockpipe_crds::worker_status::{RoleStatus, WorkerStatus};

    const START: i64 = 1_763_650_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(START + second).unwrap()
    }

    fn spec(json: serde_json::Value) -> AutoscalingSpec {
        serde_json::from_value(json).unwrap()
    }

    /// A market with one lander's speed, simulated round by round.
    struct Bench {
        spec: AutoscalingSpec,
        history: History,
        current: i32,
        last_scale: Option<ScaleStatus>,
        lag: f64,
        landed: f64,
        changes: Vec<(i64, i32)>,
        second: i64,
    }

    impl Bench {
        fn new(current: i32) -> Self {
            Self {
                spec: spec(
                    serde_json::json!({"minReplicas": 1, "maxReplicas": 6, "drainTarget": "60s"}),
                ),
                history: History::default(),
                current,
                last_scale: None,
                lag: 0.0,
                landed: 0.0,
                changes: Vec::new(),
                second: 0,
            }
        }

        /// `seconds` of `rate` ticks a second; each lander lands 1,000.
        fn run(&mut self, rate: u64, seconds: i64) {
            for _ in 0..seconds / 15 {
                self.second += 15;
                let can = f64::from(self.current) * 1_000.0 * 15.0;
                let come = rate as f64 * 15.0;
                let done = (self.lag + come).min(can);
                self.lag += come - done;
                self.landed += done / f64::from(self.current);
                let reports = self.reports(rate);
                self.history.saw(&reports, at(self.second));
                self.step(&reports);
            }
        }

        fn reports(&self, rate: u64) -> WorkerReports {
            let landers = (0..self.current).map(|index| {
                let partitions: Vec<_> = (0..6)
                    .filter(|partition| partition % self.current == index)
                    .map(|partition| (partition, (self.lag / 6.0) as i64, 1))
                    .collect();
                let mut status: WorkerStatus = lander(&partitions);
                if let RoleStatus::Land(land) = &mut status.role {
                    land.rows_total = self.landed as u64;
                }
                status
            });
            reports(landers.chain([producer(rate)]).collect())
        }

        fn step(&mut self, reports: &WorkerReports) {
            let sessions = MarketSessions::parse("24x7").unwrap();
            let signals = Signals {
                spec: &self.spec,
                sessions: &sessions,
                current: self.current,
                last_scale: self.last_scale.as_ref(),
                ready: self.current,
                partitions: 6,
                roll_age: Duration::from_secs(10),
                reports,
                now: at(self.second),
            };
            let Decision {
                replicas, scale, ..
            } = decide(&signals, &mut self.history);
            self.last_scale = scale.or(self.last_scale.take());
            if replicas != self.current {
                self.changes.push((self.second, replicas - self.current));
                self.current = replicas;
            }
        }
    }

    #[test]
    fn a_new_leader_turns_no_sooner_than_the_old_one_would_have() {
        for fails_over in [false, true] {
            let mut bench = Bench::new(2);
            bench.run(500, 330);
            let (turn, change) = bench.changes[0];
            assert_eq!((change, bench.current), (-1, 1), "{:?}", bench.changes);
            if fails_over {
                // The status stays, and all else is gone.
                bench.history = History::default();
            }
            bench.run(3_500, 600);
            let up = bench.changes.get(1).copied();
            let (turned, up) = up.expect("the burst brings landers");
            assert!(up > 0, "{:?}", bench.changes);
            let window = turn + STABILISATION.as_secs();
            assert!(turned >= window, "{fails_over}: {:?}", bench.changes);
            assert!(turned < window + 30, "{fails_over}: {:?}", bench.changes);
        }
    }

    #[test]
    fn a_burst_brings_landers_and_calm_takes_them_away_without_flapping() {
        let mut bench = Bench::new(1);
        bench.run(500, 600);
        assert_eq!(bench.current, 1);
        bench.run(3_500, 900);
        assert!(bench.current >= 4, "{:?}", bench.changes);
        assert!(bench.lag < 3_500.0 * 25.0, "{}", bench.lag);
        bench.run(500, 3_600);
        assert_eq!(bench.current, 1, "{:?}", bench.changes);
        for pair in bench.changes.windows(2) {
            let turned = pair[0].1.signum() != pair[1].1.signum();
            let apart = pair[1].0 - pair[0].0;
            assert!(
                !turned || apart >= STABILISATION.as_secs(),
                "{:?}",
                bench.changes
            );
        }
        let turns = bench
            .changes
            .windows(2)
            .filter(|pair| pair[0].1.signum() != pair[1].1.signum())
            .count();
        assert_eq!(turns, 1, "{:?}", bench.changes);
    }

    #[test]
    fn what_waits_for_its_file_when_a_burst_ends_is_not_behind() {
        let mut bench = Bench::new(1);
        bench.spec.drain_target = "5s".parse().unwrap();
        bench.run(900, 600);
        // Ten seconds of the burst are in a file that is not closed yet, and what the producer made last is little.
        bench.lag = 9_000.0;
        bench.second += 15;
        let reports = bench.reports(10);
        bench.history.saw(&reports, at(bench.second));
        bench.step(&reports);
        assert!(bench.changes.is_empty(), "{:?}", bench.changes);
        // A minute later it is, however much landed meanwhile.
        bench.second += 60;
        bench.landed += 36_000.0;
        let reports = bench.reports(10);
        bench.history.saw(&reports, at(bench.second));
        bench.step(&reports);
        assert_eq!(bench.current, 3, "{:?}", bench.changes);
    }

    #[test]
    fn a_missing_or_partial_report_freezes_and_never_counts_as_no_lag() {
        let mut bench = Bench::new(3);
        bench.run(500, 900);
        let before = bench.current;
        bench.second += 600;
        for reports in [
            WorkerReports::default(),
            reports(vec![lander(&[(0, 0, 1)]), producer(1)]),
        ] {
            bench.history.saw(&reports, at(bench.second));
            bench.step(&reports);
        }
        assert_eq!(bench.current, before);
    }

    #[test]
    fn more_landers_than_partitions_are_never_wanted() {
        let mut bench = Bench::new(1);
        bench.spec.max_replicas = 100;
        bench.run(50_000, 3_600);
        assert_eq!(bench.current, 6);
    }

    fn in_new_york(now: &str, current: i32, reports: &WorkerReports) -> Decision {
        in_new_york_after(now, current, reports, &mut History::default())
    }

    fn in_new_york_after(
        now: &str,
        current: i32,
        reports: &WorkerReports,
        history: &mut History,
    ) -> Decision {
        let spec = spec(serde_json::json!({
            "minReplicas": 2, "maxReplicas": 3,
            "outsideSession": {"replicas": 0, "wakeBefore": "10m"}
        }));
        let sessions = MarketSessions::parse("XNYS").unwrap();
        let signals = Signals {
            spec: &spec,
            sessions: &sessions,
            current,
            last_scale: None,
            ready: current,
            partitions: 2,
            roll_age: Duration::from_secs(60),
            reports,
            now: now.parse().unwrap(),
        };
        decide(&signals, history)
    }

    #[test]
    fn partitions_that_were_added_by_hand_count_once_they_are_reported() {
        let reported = reports(vec![lander(&[(0, 0, 1), (1, 0, 1), (2, 0, 1)])]);
        let open = "2026-11-20T20:00:00Z";
        assert_eq!(in_new_york(open, 3, &reported).replicas, 3);
        // That nobody tells of them is no reason to change anything, but for what the spec bounds.
        let silent = WorkerReports::default();
        assert_eq!(in_new_york(open, 3, &silent).replicas, 3);
        assert_eq!(in_new_york(open, 9, &silent).replicas, 3);
        assert_eq!(in_new_york(open, 1, &silent).replicas, 2);
        // Nor is it that some are not told of, as while they change hands.
        let mut history = History::default();
        history.saw(&reported, open.parse().unwrap());
        let some = reports(vec![lander(&[(0, 0, 1), (1, 0, 1)]), producer(1)]);
        history.saw(&some, open.parse().unwrap());
        assert_eq!(in_new_york_after(open, 3, &some, &mut history).replicas, 3);
    }

    #[test]
    fn the_calendar_alone_brings_zero_once_the_session_has_landed() {
        let silent = WorkerReports::default();
        // The sample's watermark is 20:59:31, before the close.
        let not_yet = reports(vec![lander(&[(0, 0, 1), (1, 0, 1)])]);
        let landed = {
            let mut status = lander(&[(0, 0, 1), (1, 0, 1)]);
            if let RoleStatus::Land(land) = &mut status.role {
                for partition in &mut land.partitions {
                    partition.watermark = Some("2026-11-20T21:00:01Z".parse().unwrap());
                }
            }
            reports(vec![status])
        };
        for (what, now, current, reports, replicas) in [
            ("within the session", "2026-11-20T20:00:00Z", 2, &silent, 2),
            ("closed, not landed", "2026-11-20T21:30:00Z", 2, &not_yet, 2),
            (
                "closed, nobody reports",
                "2026-11-20T21:30:00Z",
                2,
                &silent,
                2,
            ),
            ("closed and landed", "2026-11-20T21:30:00Z", 2, &landed, 0),
            ("on a weekend", "2026-11-22T12:00:00Z", 0, &silent, 0),
            ("too early to wake", "2026-11-23T14:19:59Z", 0, &silent, 0),
            (
                "ten minutes before the open",
                "2026-11-23T14:20:00Z",
                0,
                &silent,
                2,
            ),
        ] {
            assert_eq!(
                in_new_york(now, current, reports).replicas,
                replicas,
                "{what}"
            );
        }
        assert!(in_new_york("2026-11-22T12:00:00Z", 0, &silent).outside_session);
    }
}
