//! A newcomer runs a pipeline on one machine.

use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use stockpipe_tests::process::{Process, binary, until};
use stockpipe_tests::python::text;

/// `stockpipe ARGS` in `directory`.
pub(crate) fn stockpipe(directory: &Path, args: &[&str]) -> Output {
    Command::new(binary("stockpipe"))
        .current_dir(directory)
        .args(args)
        .output()
        .expect("stockpipe starts")
}

/// `stockpipe up ARGS` in `directory` on free ports.
pub(crate) fn up(directory: &Path, args: &[&str]) -> Process {
    Process::start(
        "stockpipe up",
        Command::new(binary("stockpipe"))
            .current_dir(directory)
            .arg("up")
            .args(args)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--aws-listen",
                "127.0.0.1:0",
                "--kafka-listen",
                "127.0.0.1:0",
            ]),
    )
}

/// The first value of the first row.
pub(crate) fn scalar(directory: &Path, sql: &str) -> Option<String> {
    let output = stockpipe(directory, &["query", sql, "--output", "csv"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| {
        text.lines()
            .nth(1)
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned()
    })
}

#[test]
fn a_newcomer_sees_a_market_land_and_asks_it_questions() {
    let home = tempfile::tempdir().unwrap();
    let mut up = up(home.path(), &[]);
    up.wait_for("first file", |l| l.starts_with("First file").then_some(()));
    let report = up.wait_for("a report", |l| {
        l.contains("Report daily-ohlcv").then(|| l.to_owned())
    });
    assert!(report.contains("8 rows"), "{report}");

    // Another terminal, the same directory.
    let rows: u64 = until("landed rows", || {
        scalar(home.path(), "SELECT count(*) FROM quickstart_ticks")
            .and_then(|v| v.parse().ok())
            .filter(|n| *n > 0)
    });
    let symbols = scalar(
        home.path(),
        "SELECT count(DISTINCT symbol) FROM quickstart_ticks",
    )
    .unwrap();
    assert_eq!(
        (symbols.as_str(), rows > 100_000),
        ("8", true),
        "{rows} rows"
    );

    let top = stockpipe(home.path(), &["top"]);
    let seen = text(&top);
    assert!(top.status.success(), "{seen}");
    for part in ["pipeline   quickstart", "report     Report daily-ohlcv"] {
        assert!(seen.contains(part), "`{part}` is not in\n{seen}");
    }
    let top = stockpipe(home.path(), &["top", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&top.stdout).expect("one JSON document");
    assert_eq!(told["workers"][0]["role"], "produce", "{told}");

    up.signal(Signal::INT);
    assert!(up.wait().success(), "{}", up.output());
    assert!(up.output().contains("rows landed in"), "{}", up.output());
    let top = stockpipe(home.path(), &["top"]);
    let seen = text(&top);
    assert!(
        !top.status.success() && seen.contains("start a pipeline with `stockpipe up`"),
        "{seen}"
    );

    // Stopped, the lake still answers, and the audit agrees.
    let verify = stockpipe(home.path(), &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
    let report = stockpipe(home.path(), &["report", "daily-ohlcv", "--output", "csv"]);
    assert!(report.status.success(), "{}", text(&report));
    assert_eq!(
        String::from_utf8_lossy(&report.stdout).lines().count(),
        9,
        "{}",
        text(&report)
    );
}

#[test]
fn killed_and_started_again_it_goes_on() {
    let home = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut up = up(home.path(), &[]);
        up.wait_for("first file", |l| l.starts_with("First file").then_some(()));
        up.kill();
    }
    let mut last = up(home.path(), &["--for", "15s"]);
    assert!(last.wait().success(), "{}", last.output());
    let verify = stockpipe(home.path(), &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
}
