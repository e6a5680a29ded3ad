//! Faults of the machine under a pipeline.

use std::path::{Path, PathBuf};
use std::process::Command;

use stockpipe_tests::python::text;

use crate::tier;
use crate::up::{stockpipe, up};

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

    disk.grow("1g");
    running.wait_for("all of it landed", |l| {
        l.starts_with("All of it landed").then_some(())
    });
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
