//! Disks that are full, or slow.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use stockpipe_tests::process::until;
use stockpipe_tests::python::text;

use super::{Fault, enabled};
use crate::tier;
use crate::up::{scalar, stockpipe, up};

/// A file system in memory, of limited size.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mounted(at: &Path, size: &str) -> Self {
        let disk = Self(at.to_owned());
        disk.mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        disk
    }

    /// Makes it larger.
    fn grow(&self, size: &str) {
        self.mount(&["-o", &format!("remount,size={size}")]);
    }

    fn mount(&self, args: &[&str]) {
        let output = Command::new("mount").args(args).arg(&self.0).output();
        let output = output.expect("mount starts");
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that the test is about to end may still have files there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_pipeline_and_with_room_it_goes_on_and_nothing_is_lost() {
    if !tier::is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mounted(home.path(), "50m");
    let mut running = up(home.path(), &[]);
    running.wait_for("word of S3", |l| {
        l.contains("writes to S3 are refused until there is room")
            .then_some(())
    });
    running.wait_for("word of Kafka", |l| {
        l.contains("No space left on device").then_some(())
    });
    // It stands still, and still answers.
    let status = stockpipe(home.path(), &["top", "--output", "json"]);
    assert!(status.status.success(), "{}", text(&status));
    // What needs room says so, and what to do.
    for command in [
        &["report", "daily-ohlcv", "--attempt", "7"][..],
        &[
            "query",
            "SELECT symbol, count(*) FROM quickstart_ticks GROUP BY symbol",
        ],
    ] {
        told_of_a_full_disk(&stockpipe(home.path(), command));
    }

    disk.grow("1g");
    running.wait_for("all of it landed", |l| {
        l.starts_with("All of it landed").then_some(())
    });
    until("a query again", || {
        scalar(home.path(), "SELECT count(*) FROM quickstart_ticks")
    });
    let report = stockpipe(home.path(), &["report", "daily-ohlcv", "--attempt", "7"]);
    assert!(report.status.success(), "{}", text(&report));
    let said = running.output();
    let faults = said.lines().filter(|l| l.contains("ERROR")).count();
    assert!(faults <= 8, "{faults} lines tell of one fault:\n{said}");
    running.stop();
    let verify = stockpipe(home.path(), &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
    assert!(
        text(&verify).contains("0 missing, 0 doubled"),
        "{}",
        text(&verify)
    );
}

fn told_of_a_full_disk(output: &Output) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let sentence = said.lines().find(|l| l.starts_with("stockpipe: "));
    let sentence = sentence.unwrap_or_else(|| panic!("{said}"));
    for part in [
        "disk that holds the data directory is full",
        "make room there",
    ] {
        assert!(sentence.contains(part), "`{part}` is not in: {sentence}");
    }
    for noise in ["Io error", "os error", "GENERIC_USER_ERROR", "redb"] {
        assert!(!said.contains(noise), "{said}");
    }
}

/// A disk of which a process may write so many bytes a second: a file system in a file, and a control group.
struct SlowDisk {
    mounted: PathBuf,
    group: PathBuf,
}

impl SlowDisk {
    /// `None`, loudly, where the kernel has no such control groups.
    fn mounted(at: &Path, image: &Path, bytes_a_second: u64) -> Option<Self> {
        let group = Path::new("/sys/fs/cgroup/blkio");
        if !group.join("blkio.throttle.write_bps_device").exists() {
            assert!(
                std::env::var_os("STOCKPIPE_ALL_TIERS").is_none(),
                "no control groups of block devices (v1), though every tier must run"
            );
            eprintln!("SKIPPED: a slow disk needs control groups of block devices (v1)");
            return None;
        }
        let image = image.to_str().unwrap();
        let at_text = at.to_str().unwrap();
        run("truncate", &["-s", "4G", image]);
        run("mkfs.ext4", &["-q", image]);
        run("mount", &["-o", "loop", image, at_text]);
        let disk = Self {
            mounted: at.to_owned(),
            group: group.join(format!("stockpipe-faults-{}", std::process::id())),
        };
        let device = rustix::fs::stat(at).unwrap().st_dev;
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        std::fs::create_dir(&disk.group).unwrap();
        std::fs::write(
            disk.group.join("blkio.throttle.write_bps_device"),
            format!("{major}:{minor} {bytes_a_second}"),
        )
        .unwrap();
        Some(disk)
    }

    /// Slows a process down.
    fn slow(&self, pid: u32) {
        std::fs::write(self.group.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.mounted).status();
        // Empty, now that the process has ended.
        let _ = std::fs::remove_dir(&self.group);
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}", text(&output));
}

/// Every write waits for a disk that takes a megabyte a second, a tenth of what the history would need.
#[test]
fn a_slow_disk_slows_the_pipeline_down_and_nothing_is_lost() {
    if !enabled() || !tier::is_root() {
        return;
    }
    let (image, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let image = image.path().join("disk");
    let Some(disk) = SlowDisk::mounted(place.path(), &image, 1 << 20) else {
        return;
    };
    let home = tempfile::tempdir_in(place.path()).unwrap();
    let spec = "  market: {calendar: 24x7, symbols: [AAPL, KO, MSFT]}
  source: {simulated: {seed: 7, ticksPerSecond: 1, start: YESTERDAY}}
  lake: {bucket: fault, roll: {maxAge: 2s}}
";
    let spec = spec.replace("YESTERDAY", &super::yesterday().to_string());
    let mut fault = Fault::start_in(home, "a slow disk", &spec, &["--fsync"], |_, _| {});
    disk.slow(fault.process.id());
    fault.wait_for_line("All of it landed", Duration::from_secs(600));
    let rows = fault.end();
    assert!(rows >= 86_400, "{rows} rows");
}
