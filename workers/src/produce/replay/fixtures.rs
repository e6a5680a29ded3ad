//! The files of `tests/replay`: each reads to its ticks, or fails with its sentence.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_norway::Value;
use stockpipe_crds::pipeline::Pipeline;
use stockpipe_market::json;
use stockpipe_market::tick::Tick;

use super::{Access, Replay};
use crate::produce::feed::{Feed, FeedError, Source};
use crate::produce::pace::Nanos;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    file: String,
    #[serde(default)]
    calendar: Option<String>,
    replay: Value,
    #[serde(default)]
    ticks: Vec<String>,
    #[serde(default)]
    bad: Vec<String>,
    #[serde(default)]
    duplicates: u64,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    ticks: Vec<String>,
    bad: Vec<String>,
    duplicates: u64,
    error: Option<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")
}

/// The pipeline that replays `uri` with the settings of `replay`.
pub(super) fn pipeline(uri: &str, calendar: &str, replay: &Value) -> Pipeline {
    let mut replay = replay.clone();
    if let Some(Value::Mapping(columns)) = replay.get_mut("columns") {
        let one: Value = serde_norway::from_str("{const: X}").unwrap();
        columns.entry("symbol".into()).or_insert(one);
    }
    if let Value::Mapping(replay) = &mut replay {
        replay.insert("uri".into(), uri.into());
    }
    let replay = serde_norway::to_string(&replay).unwrap();
    let indented: String = replay
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    let yaml = format!(
        "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: fixture}}\nspec:\n  \
         lake: {{bucket: fixture}}\n  market: {{calendar: {calendar}}}\n  source:\n    replay:\n{indented}"
    );
    Pipeline::from_yaml(&yaml, "fixture.yaml").unwrap_or_else(|e| panic!("{e}"))
}

/// The tick's values, but those that are the same for all.
fn told(tick: &Tick) -> String {
    let mut body = Vec::new();
    json::encode(tick, &mut body);
    let values: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let at = jiff::Timestamp::from_nanosecond(i128::from(tick.ts_event_ns)).unwrap();
    let mut text = format!("{} {at}", tick.symbol);
    let same = [
        "symbol",
        "venue",
        "source",
        "kind",
        "run",
        "seq",
        "ts_event_ns",
        "ts_recv_ns",
        "trade_date",
        "session",
    ];
    // In the order of the table, which the object of serde_json has lost.
    for field in stockpipe_market::field::Field::ALL {
        let Some(value) = values
            .get(field.name())
            .filter(|_| !same.contains(&field.name()))
        else {
            continue;
        };
        let value = match value {
            serde_json::Value::String(text) => text.clone(),
            _ => raw(&body, field.name()),
        };
        text.push_str(&format!(" {}={value}", field.name()));
    }
    text
}

/// A number as it was written.
fn raw(body: &[u8], field: &str) -> String {
    let text = std::str::from_utf8(body).unwrap();
    let from = text.find(&format!("\"{field}\":")).unwrap() + field.len() + 3;
    let rest = &text[from..];
    rest[..rest.find([',', '}']).unwrap()].to_owned()
}

/// Everything that a feed gives.
pub(super) fn drain(feed: &mut dyn Feed, ticks: &mut Vec<Tick>) -> Result<Vec<String>, FeedError> {
    let mut bad = Vec::new();
    loop {
        let result = feed.emit(Nanos::MAX, 3, &mut |tick| {
            ticks.push(tick.clone());
            true
        });
        bad.extend(feed.take_rejected().iter().map(|r| r.row.to_string()));
        result?;
        if feed.end().is_some() {
            return Ok(bad);
        }
    }
}

fn replayed(case: &Case, folder: &Path) -> Outcome {
    let calendar = case.calendar.as_deref().unwrap_or("XNYS");
    let pipeline = pipeline(&case.file, calendar, &case.replay);
    let mut ticks = Vec::new();
    let mut outcome = Outcome::default();
    let result = Replay::new(&pipeline, Access::local(folder))
        .and_then(|source| source.begin("r", None))
        .and_then(|mut feed| {
            let bad = drain(feed.as_mut(), &mut ticks)?;
            Ok((bad, feed.left_out()))
        });
    let base = format!("{}/", folder.display());
    match result {
        Ok((bad, (bad_rows, duplicates))) => {
            assert_eq!(bad.len() as u64, bad_rows);
            outcome.bad = bad.iter().map(|b| b.replace(&base, "")).collect();
            outcome.duplicates = duplicates;
        }
        Err(error) => outcome.error = Some(error.to_string().replace(&base, "")),
    }
    let mut seqs = std::collections::HashMap::new();
    for tick in &ticks {
        let seq = seqs.entry(tick.symbol.clone()).or_insert(0);
        assert_eq!((tick.seq, &*tick.source, &*tick.run), (*seq, "replay", "r"));
        *seq += 1;
    }
    outcome.ticks = ticks.iter().map(told).collect();
    outcome
}

#[test]
fn every_file_reads_to_its_ticks_or_fails_with_its_sentence() {
    let folder = folder();
    let table = std::fs::read_to_string(folder.join("table.yaml")).unwrap();
    let cases: Vec<Case> = serde_norway::from_str(&table).unwrap();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let expected = Outcome {
            ticks: case.ticks.clone(),
            bad: case.bad.clone(),
            duplicates: case.duplicates,
            error: case.error.clone(),
        };
        let found = replayed(case, &folder);
        if found != expected {
            wrong.push(format!(
                "{}:\n  found    {found:?}\n  expected {expected:?}",
                case.name
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_of_the_folder_is_read_by_a_case() {
    let table = std::fs::read_to_string(folder().join("table.yaml")).unwrap();
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let is_data = ![".gitattributes", "make.py", "table.yaml"].contains(&name.as_str());
        assert!(!is_data || table.contains(&name), "{name}");
    }
}
