//! `stockpipe market`: a day of ticks without Kafka, the same bytes each time.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stockpipe_tests::process::binary;

fn market(home: &Path, args: &[&str]) -> Output {
    Command::new(binary("stockpipe"))
        .arg("market")
        .args(args)
        .current_dir(home)
        .output()
        .unwrap()
}

/// Ten minutes of three symbols.
const TEN_MINUTES: [&str; 8] = [
    "--symbols",
    "AAPL,MSFT,NVDA",
    "--day",
    "2026-11-20",
    "--to",
    "09:40",
    "--ticks-per-second",
    "50",
];

fn ten_minutes(home: &Path, args: &[&str]) -> Output {
    market(home, &[&TEN_MINUTES, args].concat())
}

fn names(home: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_day_is_the_same_in_every_format_and_every_time() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for file in [
        "a.csv",
        "b.csv",
        "a.json",
        "a.parquet",
        "b.parquet",
        "a.csv.gz",
    ] {
        let made = ten_minutes(home, &["-o", file]);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        // In a pipe one line, at the end.
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&format!(" ticks in {file} (")), "{said}");
        assert!(made.stdout.is_empty());
    }
    let bytes = |name: &str| std::fs::read(home.join(name)).unwrap();
    assert_eq!(bytes("a.csv"), bytes("b.csv"));
    assert_eq!(bytes("a.parquet"), bytes("b.parquet"));
    assert_eq!(bytes("a.csv"), ten_minutes(home, &[]).stdout);
    let csv = String::from_utf8(bytes("a.csv")).unwrap();
    let rows = csv.lines().count() - 1;
    assert!(rows > 20_000, "{rows}");
    let json = String::from_utf8(bytes("a.json")).unwrap();
    assert_eq!(json.lines().count(), rows);
    for (line, row) in json.lines().zip(csv.lines().skip(1)) {
        let tick: serde_json::Value = serde_json::from_str(line).unwrap();
        let row: Vec<_> = row.split(',').collect();
        assert_eq!(tick["symbol"], row[0]);
        assert_eq!(tick["ts_event_ns"].to_string(), row[8]);
    }
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&bytes("a.csv.gz")[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, csv);
    let file = bytes::Bytes::from(bytes("a.parquet"));
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 4096).unwrap();
    let found: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(found, rows);
    assert_eq!(
        names(home),
        [
            "a.csv",
            "a.csv.gz",
            "a.json",
            "a.parquet",
            "b.csv",
            "b.parquet"
        ]
    );
}

#[test]
fn a_part_of_a_day_is_that_part_of_the_day() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let whole = String::from_utf8(ten_minutes(home, &["--kinds", "trade"]).stdout).unwrap();
    let part = ten_minutes(home, &["--kinds", "trade", "--from", "09:35"]).stdout;
    let part = String::from_utf8(part).unwrap();
    let expected: Vec<_> = whole
        .lines()
        .filter(|line| {
            line.starts_with("symbol") || line.split(',').nth(7) >= Some("2026-11-20 14:35")
        })
        .collect();
    assert_eq!(part.lines().collect::<Vec<_>>(), expected);
    assert!(expected.len() > 1000);
    assert!(part.lines().skip(1).all(|line| line.contains(",trade,")));
}

#[test]
fn what_cannot_be_made_or_written_is_told_in_one_sentence_and_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (args, words) in [
        (
            &["-o", "/dev/full", "--format", "csv"][..],
            "cannot write /dev/full: there is no space left",
        ),
        (
            &["-o", "/dev/full", "--format", "parquet"],
            "cannot write /dev/full: there is no space left",
        ),
        (
            &["-o", "none/day.csv"],
            "cannot write none/day.csv: its directory does not exist",
        ),
        (
            &["-o", "day"],
            "day: its name tells no format; end it with .csv",
        ),
        (
            &["--scenario", "halt,symbol=XYZ"],
            "scenario halt is about `XYZ`, which is not in the market",
        ),
        (&["--from", "09:50"], "--to must be after --from"),
    ] {
        let output = ten_minutes(home, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(words), "{said}");
    }
    let sunday = market(home, &["--day", "2026-11-22"]);
    let said = String::from_utf8_lossy(&sunday.stderr);
    assert!(said.contains("its next session is 2026-11-23"), "{said}");
    assert_eq!(names(home), Vec::<String>::new());
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(binary("stockpipe"))
        .args([
            "market",
            "--day",
            "2026-11-20",
            "--ticks-per-second",
            "1000",
        ])
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_pipelines_file_names_the_market() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let yaml = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\nspec:\n  \
                market: {calendar: XTKS, symbols: [A, B]}\n  source: {simulated: {seed: 7, ticksPerSecond: 5}}\n  \
                lake: {bucket: acme}\n";
    std::fs::write(home.join("p.yaml"), yaml).unwrap();
    let ticks = |args: &[&str]| {
        let day = ["--day", "2026-11-20", "--to", "09:10"];
        let made = market(home, &[&day, args].concat());
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        String::from_utf8(made.stdout).unwrap()
    };
    let of_file = ticks(&["-f", "p.yaml"]);
    let flags = [
        "--calendar",
        "XTKS",
        "--symbols",
        "A,B",
        "--seed",
        "7",
        "--ticks-per-second",
        "5",
    ];
    assert_eq!(of_file, ticks(&flags));
    assert_ne!(of_file, ticks(&["-f", "p.yaml", "--seed", "8"]));
    assert!(of_file.contains(",XTKS,"));
}

#[test]
fn a_model_of_real_indices_is_fitted_and_makes_a_market() {
    let Some(folder) = crate::tier::prices() else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (name, kurtosis) in [("sp500", 4.0..14.0), ("nasdaq", 3.0..14.0)] {
        let fitted = Command::new(binary("stockpipe"))
            .arg("calibrate")
            .arg(folder.join(format!("{name}-daily.csv.gz")))
            .args(["-o", "model.json"])
            .current_dir(home)
            .output()
            .unwrap();
        let said = String::from_utf8(fitted.stdout).unwrap();
        assert!(
            fitted.status.success(),
            "{}",
            String::from_utf8_lossy(&fitted.stderr)
        );
        let facts = said.lines().find(|line| line.contains("5030")).unwrap();
        let words: Vec<_> = facts.split_whitespace().collect();
        let found: f64 = words[4].parse().unwrap();
        assert!(kurtosis.contains(&found), "{facts}");
        for told in ["volatility", "common[0]", "leverage"] {
            let line = said.lines().find(|line| line.contains(told)).unwrap();
            assert!(!line.contains("default:"), "{line}");
        }
        for default in ["tail", "market", "shape"] {
            let line = said
                .lines()
                .find(|line| line.trim_start().starts_with(default))
                .unwrap();
            assert!(line.contains("default:"), "{line}");
        }
        let text = std::fs::read_to_string(home.join("model.json")).unwrap();
        let model: serde_json::Value = serde_json::from_str(&text).unwrap();
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        assert!(
            (0.005..0.025).contains(&number(&model["volatility"][0])),
            "{text}"
        );
        assert!(
            (0.2..0.9).contains(&number(&model["common"][0]["sd"])),
            "{text}"
        );
        assert!(
            (-0.99..-0.2).contains(&number(&model["leverage"])),
            "{text}"
        );
        let ticks = ten_minutes(home, &["--model", "model.json"]);
        assert!(
            ticks.status.success(),
            "{}",
            String::from_utf8_lossy(&ticks.stderr)
        );
        assert_ne!(ticks.stdout, ten_minutes(home, &[]).stdout);
    }
}
