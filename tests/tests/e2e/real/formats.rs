//! Every format and compression that a lake can have, read back by the engines that people have.

use std::path::Path;

use serde_json::{Value, json};
use stockpipe_tests::process::until;
use stockpipe_tests::python;
use stockpipe_tests::stack::{Cloud, Pipeline, Services, Worker};

use super::enabled;
use crate::up::stockpipe;

/// Every pair that `spec.lake` takes.
const FORMATS: [(&str, &str); 7] = [
    ("Parquet", "Zstd"),
    ("Parquet", "Snappy"),
    ("Parquet", "None"),
    ("Json", "Gzip"),
    ("Json", "None"),
    ("Csv", "Gzip"),
    ("Csv", "None"),
];

/// Ticks of the simulator, at least.
const TICKS: u64 = 2_500;

struct Lake {
    pipeline: Pipeline,
    /// As `formats.py` wants it.
    argument: String,
}

impl Lake {
    /// The first minutes of a session in which everything happens.
    fn new(services: &Services, format: &str, compression: &str) -> Self {
        let name = format!("{format}-{compression}").to_lowercase();
        let pipeline = Pipeline::new(
            &name,
            services,
            &json!({
                "market": {"calendar": "XNYS", "symbols": ["AAPL", "KO", "MSFT"]},
                "source": {"simulated": {
                    "seed": 5, "ticksPerSecond": 4, "speed": 200,
                    "start": "2026-11-19", "clock": "FromStart", "skipClosed": true,
                    "disorder": {"late": "2%", "corrections": "3%"},
                    "scenarios": [
                        {"kind": "halt", "from": "2026-11-19T14:31:00Z", "to": "2026-11-19T14:32:00Z", "symbol": "AAPL"},
                    ],
                }},
                "kafka": {"topic": {"partitions": 2}},
                "lake": {"partitionBy": "Day", "format": format, "compression": compression, "roll": {"maxAge": "2s"}},
            }),
        );
        Self {
            pipeline,
            argument: format!("{name}:{format}:{compression}"),
        }
    }
}

/// `formats.py` on all of `lakes`.
fn formats(services: &Services, lakes: &[Lake], flags: &[&str]) -> String {
    let output = python::command("formats.py", &services.key)
        .args(["--bootstrap", &services.kafka, "--endpoint", &services.aws])
        .args(flags)
        .args(lakes.iter().map(|lake| &lake.argument))
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", python::text(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn ticks(producer: &Worker) -> Option<u64> {
    producer.status()?.get("ticksTotal")?.as_u64()
}

fn is_drained(lander: &Worker) -> Option<()> {
    let status = lander.status()?;
    let partitions = status.get("partitions")?.as_array()?.clone();
    (partitions.len() == 2 && partitions.iter().all(|p| p.get("lag") == Some(&json!(0))))
        .then_some(())
}

#[test]
fn every_format_reads_back_as_it_was_sent() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let services = cloud.services();
    let lakes: Vec<_> = FORMATS
        .iter()
        .map(|(format, compression)| Lake::new(services, format, compression))
        .collect();
    for lake in &lakes {
        lake.pipeline.provision();
    }
    let running: Vec<_> = lakes
        .iter()
        .map(|lake| (lake.pipeline.start("produce"), lake.pipeline.start("land")))
        .collect();
    let mut landers = Vec::new();
    for (producer, lander) in running {
        until("enough ticks", || ticks(&producer).filter(|n| *n >= TICKS));
        producer.process.stop();
        landers.push(lander);
    }
    formats(services, &lakes, &["--feed"]);
    for lander in landers {
        until("lag 0", || is_drained(&lander));
        lander.process.stop();
    }
    for lake in &lakes {
        lake.pipeline.assert_verified();
    }

    let kept = tempfile::tempdir().unwrap();
    let keep = kept.path().to_str().expect("a plain path");
    let told = formats(services, &lakes, &["--keep", keep]);
    let results: Vec<Value> = serde_json::from_str(&told).expect("one JSON line");
    for ((format, compression), result) in FORMATS.iter().zip(&results) {
        println!("{format} {compression}: {result}");
        // A text with a line break is the one that a line of CSV cannot hold.
        let rows = |name: &str| result[name].as_u64().unwrap();
        assert_eq!(
            rows("sent") - rows("rows"),
            u64::from(*format == "Csv"),
            "{result}"
        );
        assert!(rows("rows") > TICKS, "{result}");
        for kind in [
            "auction",
            "bar",
            "correction",
            "corporate_action",
            "gap",
            "quote",
            "status",
            "trade",
        ] {
            let kinds = result["kinds"].as_array().unwrap();
            assert!(kinds.contains(&json!(kind)), "no {kind}: {result}");
        }
    }
    for (lake, extension) in [
        ("csv-gzip", "csv.gz"),
        ("csv-none", "csv"),
        ("json-gzip", "json.gz"),
    ] {
        is_proposed_for_replay(kept.path(), &format!("{lake}.{extension}"));
    }
}

/// A landed file needs no mapping.
fn is_proposed_for_replay(folder: &Path, file: &str) {
    let output = stockpipe(folder, &["replay", "--infer", file, "--calendar", "XNYS"]);
    let said = python::text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("uri: {file}")), "{said}");
    assert!(!said.contains("columns:"), "{said}");
}
