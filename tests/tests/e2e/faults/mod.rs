//! What goes wrong with a machine, and what is much: disks that are full or slow, clocks that step, large topics, many
//! partitions, many symbols, long histories. Each asserts that memory stays bounded, that what is said is clear, and
//! that `verify` finds every record exactly once.
//!
//! A full disk is tested with `make test`, the rest by `make test-faults`, which prints a line of figures for each.

mod clock;
mod disk;
mod load;
mod retention;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use stockpipe_tests::process::{Process, binary, until};
use stockpipe_tests::python::text;

use crate::tier;
use crate::up::{scalar, stockpipe};

/// Most memory that `up`, which is a whole pipeline with its Kafka, S3, Glue and Athena, may ever have held, MiB.
///
/// `consumer.memoryBudget` is 256 MiB, Athena's 512 MiB; the rest is the program, its caches and librdkafka's queues.
const MOST_MEMORY: u64 = 1024;

fn enabled() -> bool {
    tier::runs("STOCKPIPE_FAULTS", "make test-faults")
}

/// A number that `make test-faults` may be given, such as GB=10.
fn parameter(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// A pipeline that runs on this machine, whatever it takes.
struct Fault {
    name: &'static str,
    home: tempfile::TempDir,
    process: Process,
    began: Instant,
}

impl Fault {
    /// `stockpipe up` of a pipeline with this spec; `command` may be given more.
    fn start(name: &'static str, spec: &str, prepare: impl FnOnce(&Path, &mut Command)) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::start_in(home, name, spec, &[], prepare)
    }

    fn start_in(
        home: tempfile::TempDir,
        name: &'static str,
        spec: &str,
        args: &[&str],
        prepare: impl FnOnce(&Path, &mut Command),
    ) -> Self {
        let yaml = format!(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: fault}}\nspec:\n{spec}"
        );
        std::fs::write(home.path().join("p.yaml"), yaml).unwrap();
        let mut command = Command::new(binary("stockpipe"));
        let any = "127.0.0.1:0";
        command
            .current_dir(home.path())
            .args(["up", "p.yaml", "--listen", any, "--aws-listen", any])
            .args(["--kafka-listen", any])
            .args(args);
        prepare(home.path(), &mut command);
        Self {
            name,
            process: Process::start("stockpipe up", &mut command),
            home,
            began: Instant::now(),
        }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Polls `look` for as long as `limit`.
    fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let alive = self.process.is_alive();
            assert!(
                alive && Instant::now() < deadline,
                "{}: no {what} within {limit:?} (alive: {alive}):\n{}",
                self.name,
                self.process.output()
            );
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// A line that begins so.
    fn wait_for_line(&mut self, beginning: &str, limit: Duration) {
        self.wait(beginning, limit, |me| {
            let said = me.process.output();
            said.lines().any(|l| l.starts_with(beginning)).then_some(())
        });
    }

    fn rows(&self) -> Option<u64> {
        scalar(self.path(), "SELECT count(*) FROM fault_ticks")?
            .parse()
            .ok()
    }

    /// Rows that the lander has landed since it started.
    fn landed(&self) -> Option<u64> {
        let told = self.told();
        let workers = told["workers"].as_array()?;
        let lander = workers.iter().find(|w| w["role"] == "land")?;
        lander["rowsTotal"].as_u64()
    }

    /// What `top` tells.
    fn told(&self) -> Value {
        until("an answer to `top`", || {
            let top = stockpipe(self.path(), &["top", "--output", "json"]);
            serde_json::from_slice(&top.stdout).ok()
        })
    }

    /// Most memory that the process has held, MiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmHWM:"));
        let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.expect("Linux tells it") / 1024
    }

    /// Stops it, audits it, and prints what it took; the rows that are in the lake.
    fn end(self) -> u64 {
        let (name, peak) = (self.name, self.peak());
        let said = self.process.stop();
        let seconds = self.began.elapsed().as_secs();
        assert!(!said.contains("panicked"), "{said}");
        assert!(peak <= MOST_MEMORY, "{name}: {peak} MiB:\n{said}");
        let began = Instant::now();
        let (rows, files) = verified(self.home.path());
        println!(
            "{name}: {rows} rows in {files} files, {seconds} s, {peak} MiB at its peak; verified in {} s",
            began.elapsed().as_secs()
        );
        rows
    }
}

/// Asserts that every record is in the lake exactly once and nothing was lost; rows and files.
fn verified(home: &Path) -> (u64, u64) {
    let verify = stockpipe(home, &["verify", "--output", "json"]);
    assert!(verify.status.success(), "{}", text(&verify));
    let report: Value = serde_json::from_slice(&verify.stdout).expect("one JSON document");
    let partitions = report["partitions"].as_array().expect("a list");
    let sum = |field: &str| partitions.iter().filter_map(|p| p[field].as_u64()).sum();
    let lost = partitions
        .iter()
        .filter(|p| p["losses"].as_array().is_some_and(|l| !l.is_empty()));
    assert_eq!(lost.count(), 0, "{report:#}");
    assert_eq!(
        (
            &report["sequences"]["missing"],
            &report["sequences"]["doubled"]
        ),
        (&Value::from(0), &Value::from(0)),
        "{report:#}"
    );
    (sum("rows"), sum("files"))
}

/// Yesterday in UTC, from whose beginning on a simulated market makes a whole day of history and more.
fn yesterday() -> jiff::civil::Date {
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    today.date() - jiff::Span::new().days(1)
}

/// Bytes of the files in a folder and below.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
            Ok(meta) => meta.len(),
            // Deleted meanwhile.
            Err(_) => 0,
        })
        .sum()
}
