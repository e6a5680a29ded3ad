//! Every built-in report against numbers that others compute: of real prices, and of a day on which all goes wrong.

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use stockpipe_tests::process::Process;
use stockpipe_tests::python::{self, text};
use stockpipe_tests::stack::Cloud;

use crate::tier;
use crate::up::{scalar, stockpipe, up};

const REPORTS: [&str; 6] = [
    "daily-ohlcv",
    "vwap",
    "top-movers",
    "volatility",
    "data-quality",
    "reconciliation",
];

/// The reports as a pipeline's file lists them.
fn reports() -> String {
    REPORTS
        .map(|name| format!("    - {{name: {name}, builtin: {name}}}\n"))
        .concat()
}

/// `stockpipe report NAME --date DAY`, as CSV.
fn ask(home: &Path, name: &str, day: &str) -> String {
    let output = stockpipe(home, &["report", name, "--date", day, "--output", "csv"]);
    assert!(
        output.status.success(),
        "{name} of {day}: {}",
        text(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs every report of a day into a folder.
fn ask_all(home: &Path, day: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in REPORTS {
        let rows = ask(home, name, day);
        std::fs::write(folder.path().join(format!("{name}.csv")), rows).unwrap();
    }
    folder
}

fn compared(mode: &str, key: &(String, String), reports: &Path, arguments: &[(&str, &str)]) {
    let mut command = python::command("reports.py", key);
    command.arg(mode).arg("--reports").arg(reports);
    for (flag, value) in arguments {
        command.args([flag, value]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    println!("{}", text(&output).trim());
}

/// Both indices in one file, by date, with a row of the Nasdaq left out: 2008-10-09.
fn both_indices(folder: &Path, into: &Path) -> usize {
    let mut rows = Vec::new();
    for (name, symbol) in [("sp500", "GSPC"), ("nasdaq", "IXIC")] {
        let file = std::fs::File::open(folder.join(format!("{name}-daily.csv.gz"))).unwrap();
        let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
        for record in reader.records().map(Result::unwrap) {
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            let [month, day, year] = cells[0].split('/').collect::<Vec<_>>()[..] else {
                panic!("{cells:?}")
            };
            let date = format!("{year}-{month:0>2}-{day:0>2}");
            if (symbol, date.as_str()) != ("IXIC", "2008-10-09") {
                rows.push((date, symbol, cells.join(",")));
            }
        }
    }
    rows.sort();
    let mut file = std::fs::File::create(into).unwrap();
    writeln!(file, "Symbol,Date,Open,High,Low,Close,Adj Close,Volume").unwrap();
    for (_, symbol, cells) in &rows {
        writeln!(file, "{symbol},{cells}").unwrap();
    }
    rows.len()
}

#[test]
fn reports_of_real_prices_are_what_polars_computes_from_the_file() {
    if !tier::runs("STOCKPIPE_REAL", "make test-real") {
        return;
    }
    let Some(prices) = tier::prices() else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let count = both_indices(&prices, &home.join("both.csv"));
    let example = include_str!("../../../examples/daily-prices.yaml");
    let yaml = example
        .replace("uri: prices.csv.gz", "uri: both.csv")
        .replace("symbol: {const: GSPC}", "symbol: Symbol")
        .replace("symbols: [GSPC]", "symbols: [GSPC, IXIC]");
    std::fs::write(
        home.join("prices.yaml"),
        format!("{yaml}  reports:\n{}", reports()),
    )
    .unwrap();
    let mut running = up(home, &["prices.yaml"]);
    running.until("every row landed", |_| {
        let sql = "SELECT count(*) FROM daily_prices_ticks WHERE kind = 'bar'";
        (scalar(home, sql)? == count.to_string()).then_some(())
    });
    // The first day of all; the day after one that is missing; a half day; the flash crash.
    for (day, previous) in [
        ("1999-01-04", "1998-12-31"),
        ("2008-10-10", "2008-10-09"),
        ("2008-11-28", "2008-11-26"),
        ("2010-05-06", "2010-05-05"),
    ] {
        let folder = ask_all(home, day);
        let movers = std::fs::read_to_string(folder.path().join("top-movers.csv")).unwrap();
        assert_eq!(
            movers.contains("\"unknown\""),
            ["1999-01-04", "2008-10-10"].contains(&day),
            "{movers}"
        );
        compared(
            "bars",
            &(String::new(), String::new()),
            folder.path(),
            &[
                ("--prices", home.join("both.csv").to_str().unwrap()),
                ("--day", day),
                ("--previous", previous),
            ],
        );
    }
    running.stop();
}

const DISORDERLY: &str = "apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: disorder}
spec:
  market: {calendar: XNYS, symbols: [AAPL, KO, MSFT, NVDA]}
  source:
    simulated:
      seed: 11
      ticksPerSecond: 3
      speed: 2000
      start: 2026-11-25
      clock: FromStart
      skipClosed: true
      disorder: {late: 3%, corrections: 5%}
      scenarios:
        - {kind: halt, from: \"2026-11-27T15:00:00Z\", to: \"2026-11-27T15:20:00Z\", symbol: AAPL}
        - {kind: feed-outage, from: \"2026-11-27T16:00:00Z\", to: \"2026-11-27T16:05:00Z\"}
        - {kind: duplicate-feed, from: \"2026-11-27T16:30:00Z\", to: \"2026-11-27T16:40:00Z\"}
        - {kind: clock-skew, from: \"2026-11-27T17:00:00Z\", to: \"2026-11-27T17:10:00Z\"}
  lake: {bucket: disorder, roll: {maxAge: 1s}}
  reports:
";

fn ns(text: &str) -> String {
    text.parse::<Timestamp>()
        .unwrap()
        .as_nanosecond()
        .to_string()
}

/// The half day after Thanksgiving: ticks that come late, twice or not at all, trades that are taken back, a halt.
#[test]
fn reports_of_a_disorderly_half_day_are_what_python_computes_from_the_ticks() {
    if !tier::runs("STOCKPIPE_REAL", "make test-real") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let yaml = format!("{DISORDERLY}{}", reports());
    std::fs::write(home.join("disorder.yaml"), yaml).unwrap();
    let day = "2026-11-27";
    let mut running: Process = up(home, &["disorder.yaml"]);
    running.wait_for("first file", |l| l.starts_with("First file").then_some(()));
    // Waits until the watermark has passed the day.
    let early = ask(home, "daily-ohlcv", day);
    running.stop();

    let cloud = Cloud::start(&home.join(".stockpipe"));
    let folder = ask_all(home, day);
    let again = std::fs::read_to_string(folder.path().join("daily-ohlcv.csv")).unwrap();
    assert_eq!(early, again);
    let quality = std::fs::read_to_string(folder.path().join("data-quality.csv")).unwrap();
    assert_eq!(quality.matches("\"check\"").count(), 4, "{quality}");
    let services = cloud.services();
    compared(
        "ticks",
        &services.key,
        folder.path(),
        &[
            ("--endpoint", &services.aws),
            ("--bucket", "disorder"),
            ("--prefix", "disorder/ticks"),
            ("--listed", "AAPL,KO,MSFT,NVDA"),
            ("--day", day),
            ("--previous", "2026-11-25"),
            ("--end-ns", &ns("2026-11-27T18:00:00Z")),
            // The exchange's day in UTC, whose hours the rows of its trade date may lie in.
            ("--first-ns", &ns("2026-11-27T05:00:00Z")),
            ("--end-of-day-ns", &ns("2026-11-28T05:00:00Z")),
        ],
    );
}
