//! What `up` shows while it runs: one calm line on a terminal, plain lines in a pipe.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use stockpipe_crds::worker_status::{RoleStatus, WorkerStatus};

/// The numbers of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Ticks given to Kafka and acknowledged by it.
    pub produced: u64,
    /// Ticks a second, now.
    pub rate: u64,
    /// Rows in published files.
    pub landed: u64,
    /// Published files.
    pub files: u64,
    /// Records in Kafka that no published claim covers.
    pub lag: u64,
    /// The pipeline's watermark: event time.
    pub watermark: Option<Timestamp>,
    /// Whether history is made, and ticks now come with the clock (or the replay is at its end).
    pub caught_up: bool,
}

impl Numbers {
    /// Adds up what the producer and the landers show.
    pub fn gather(all: impl Iterator<Item = WorkerStatus>) -> Self {
        let mut sum = Self::default();
        let mut watermarks = Vec::new();
        for status in all {
            match status.role {
                RoleStatus::Produce(producer) => {
                    sum.produced += producer.ticks_total;
                    sum.rate += producer.rate;
                    sum.caught_up = !producer.behind;
                }
                RoleStatus::Land(lander) => {
                    sum.landed += lander.rows_total;
                    sum.files += lander.files_total;
                    for partition in lander.partitions {
                        sum.lag += u64::try_from(partition.lag).unwrap_or(0);
                        watermarks.push(partition.watermark);
                    }
                }
                RoleStatus::Provision(_)
                | RoleStatus::Analyze(_)
                | RoleStatus::Report(_)
                | RoleStatus::Crawl(_)
                | RoleStatus::Teardown(_) => {}
            }
        }
        // A partition without a watermark holds the pipeline's back.
        sum.watermark = watermarks.into_iter().min().flatten();
        sum
    }

    /// What was landed, when all has stopped.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "Stopped: {} ticks made, {} rows landed in {} files{}.",
            HumanCount(self.produced),
            HumanCount(self.landed),
            HumanCount(self.files),
            if self.lag == 0 {
                String::new()
            } else {
                format!("; {} records wait in Kafka", HumanCount(self.lag))
            },
        )
    }

    fn line(&self) -> String {
        format!(
            "{} ticks made ({}/s) · {} landed in {} files · lag {} · watermark {}",
            HumanCount(self.produced),
            HumanCount(self.rate),
            HumanCount(self.landed),
            HumanCount(self.files),
            HumanCount(self.lag),
            self.watermark.map_or_else(
                || "none yet".to_owned(),
                |t| t.strftime("%F %TZ").to_string()
            ),
        )
    }
}

/// How often a pipe is told.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The live line.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    told: Option<Instant>,
    reached: Vec<&'static str>,
    history: Option<u64>,
    /// What the last report came to.
    report: Option<String>,
}

impl Progress {
    /// Starts with nothing shown; milestones are counted from `started`.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            started,
            told: None,
            reached: Vec::new(),
            history: None,
            report: None,
        }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    /// A sentence about a run: a line that stays, and a few words of it in the live one.
    pub fn reported(&mut self, line: &str) {
        self.say(line);
        self.report = Some(in_short(line));
    }

    /// A line that stays, with the seconds since the start; the second time it says nothing.
    pub fn milestone(&mut self, name: &'static str, detail: &str) {
        if !self.reached.contains(&name) {
            self.reached.push(name);
            self.say(&format!(
                "{name}{detail} after {:.1} s",
                self.started.elapsed().as_secs_f32()
            ));
        }
    }

    /// Shows the newest numbers, and each milestone once.
    pub fn show(&mut self, numbers: &Numbers) {
        if numbers.produced > 0 {
            self.milestone("First tick", "");
        }
        if numbers.files > 0 {
            self.milestone("First file", "");
        }
        if numbers.caught_up {
            self.milestone(
                "Caught up with the clock",
                &format!(": {} ticks", HumanCount(numbers.produced)),
            );
            // Live, a few records are always on their way: what counts is the history made before.
            if numbers.landed >= *self.history.get_or_insert(numbers.produced) {
                self.milestone(
                    "All of it landed",
                    &format!(": {} rows", HumanCount(numbers.landed)),
                );
            }
        }
        match &self.bar {
            Some(bar) => {
                let line = numbers.line();
                bar.set_message(match &self.report {
                    Some(report) => format!("{line} · {report}"),
                    None => line,
                });
            }
            None if self.told.is_none_or(|t| t.elapsed() >= PLAIN_EVERY) => {
                self.told = Some(Instant::now());
                println!("{}", numbers.line());
            }
            None => {}
        }
    }

    /// Takes the live line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The beginning of a sentence about a run, to its first comma.
fn in_short(line: &str) -> String {
    const MOST: usize = 60;
    let clause = line.split(',').next().unwrap_or_default();
    if clause.chars().count() <= MOST {
        return clause.to_owned();
    }
    let kept: String = clause.chars().take(MOST - 1).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpipe_crds::worker_status::{LandStatus, PartitionStatus, ProduceStatus, WorkerState};

    fn worker(role: RoleStatus) -> WorkerStatus {
        WorkerStatus {
            version: "0.1.0".into(),
            pipeline: "default/us".into(),
            instance: "host/1".into(),
            started_at: Timestamp::UNIX_EPOCH,
            state: WorkerState::Running,
            conditions: Vec::new(),
            role,
        }
    }

    fn lander(rows: u64, files: u64, partitions: &[(i64, Option<&str>)]) -> WorkerStatus {
        let partitions = partitions.iter().map(|(lag, watermark)| PartitionStatus {
            lag: *lag,
            watermark: watermark.map(|w| w.parse().unwrap()),
            ..PartitionStatus::default()
        });
        worker(RoleStatus::Land(LandStatus {
            rows_total: rows,
            files_total: files,
            partitions: partitions.collect(),
            ..LandStatus::default()
        }))
    }

    #[test]
    fn numbers_add_up_over_landers_and_the_least_watermark_counts() {
        let producer = worker(RoleStatus::Produce(ProduceStatus {
            ticks_total: 10,
            rate: 5,
            behind: false,
            ..ProduceStatus::default()
        }));
        let numbers = Numbers::gather(
            [
                producer,
                lander(3, 1, &[(2, Some("2026-11-20T20:59:00Z"))]),
                lander(4, 2, &[(1, Some("2026-11-20T20:58:00.5Z"))]),
            ]
            .into_iter(),
        );
        assert_eq!((numbers.produced, numbers.rate), (10, 5));
        assert_eq!((numbers.landed, numbers.files, numbers.lag), (7, 3, 3));
        assert_eq!(
            numbers.watermark,
            Some("2026-11-20T20:58:00.5Z".parse().unwrap())
        );
        assert!(numbers.caught_up);
    }

    #[test]
    fn a_partition_without_a_watermark_holds_it_back() {
        let partitions = [(0, None), (0, Some("2026-11-20T20:58:00Z"))];
        let numbers = Numbers::gather([lander(0, 0, &partitions)].into_iter());
        assert_eq!(numbers.watermark, None);
    }

    #[test]
    fn a_report_is_told_in_few_words() {
        for (line, short) in [
            (
                "Report daily-ohlcv 2026-11-24: 8 rows, 15537678 bytes scanned, $0.000072, s3://x",
                "Report daily-ohlcv 2026-11-24: 8 rows",
            ),
            (
                "Report daily-ohlcv 2026-11-24: COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved",
                "Report daily-ohlcv 2026-11-24: COLUMN_NOT_FOUND: line 1:8:…",
            ),
        ] {
            assert_eq!(in_short(line), short);
        }
    }

    #[test]
    fn nobody_has_caught_up_who_has_said_nothing() {
        assert!(!Numbers::gather(std::iter::empty()).caught_up);
    }
}
