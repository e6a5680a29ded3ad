//! The same workers against parts that we did not write: Apache Kafka, and an
//! S3 and Glue of others. The audit shares no code with us.

mod formats;

use serde_json::{Value, json};
use stockpipe_tests::process::until;
use stockpipe_tests::python;
use stockpipe_tests::real_kafka::{OtherCloud, RealKafka};
use stockpipe_tests::stack::{Cloud, Pipeline, Services};

use crate::tier;

/// Of a day of history at four ticks a second. That is the mean of many days: a quiet one has a third of it.
const TICKS: u64 = 80_000;

pub(crate) fn enabled() -> bool {
    tier::runs("STOCKPIPE_REAL", "make test-real")
}

/// The audit that knows only Kafka's and S3's protocols.
fn audit(pipeline: &Pipeline, expect: u64) -> Value {
    let services = pipeline.services();
    let output = python::command("audit.py", &services.key)
        .args(["--bootstrap", &services.kafka, "--endpoint", &services.aws])
        .args([
            "--topic",
            &pipeline.topic(),
            "--bucket",
            &pipeline.bucket(),
            "--prefix",
            &pipeline.prefix(),
        ])
        .args(["--expect", &expect.to_string()])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", python::text(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON line")
}

/// Produces and lands at least [`TICKS`], then audits twice.
pub(crate) fn ticks_land_exactly_once(
    name: &str,
    services: &Services,
    format: &str,
    compression: &str,
    protocol: &str,
) -> Pipeline {
    let start = jiff::Zoned::now()
        .with_time_zone(jiff::tz::TimeZone::UTC)
        .date()
        - jiff::Span::new().days(1);
    let pipeline = Pipeline::new(
        name,
        services,
        &json!({
            "market": {"calendar": "24x7", "symbols": ["AAPL", "AMZN", "GOOG", "KO", "MSFT", "NVDA", "ORCL", "TSLA"]},
            // At least a whole day of history: 86,400 s × 4 = 345,600 ticks in the mean.
            "source": {"simulated": {"seed": 11, "ticksPerSecond": 4, "start": start.to_string()}},
            "kafka": {"topic": {"partitions": 3}, "groupProtocol": protocol},
            "lake": {"partitionBy": "Hour", "format": format, "compression": compression,
                     "roll": {"maxAge": "2s", "maxRows": 50000}},
        }),
    );
    pipeline.provision();
    // Provisioning again changes nothing and harms nothing.
    pipeline.provision();
    let lander = pipeline.start("land");
    let producer = pipeline.start("produce");
    until("the producer to catch up with the clock", || {
        (producer.status()?.get("behind") == Some(&Value::Bool(false))).then_some(())
    });
    producer.process.stop();
    until("lag 0", || {
        let status = lander.status()?;
        let partitions = status.get("partitions")?.as_array()?.clone();
        (partitions.len() == 3 && partitions.iter().all(|p| p.get("lag") == Some(&json!(0))))
            .then_some(())
    });
    lander.process.stop();
    let ours = pipeline.assert_verified();
    let theirs = audit(&pipeline, TICKS);
    println!("{name}: {theirs}\nverify: {ours:?}");
    pipeline
}

#[test]
fn real_kafka_and_the_s3_and_glue_of_others_get_every_tick_exactly_once() {
    if !enabled() {
        return;
    }
    let mut kafka = RealKafka::start();
    let other = OtherCloud::start();
    let services = Services {
        kafka: kafka.bootstrap(),
        aws: other.url().to_owned(),
        athena: other.url().to_owned(),
        key: ("test".to_owned(), "test".to_owned()),
    };
    ticks_land_exactly_once("real-parquet", &services, "Parquet", "Zstd", "classic");
    ticks_land_exactly_once("real-json", &services, "Json", "Gzip", "consumer");
    assert!(kafka.is_alive());
    let described = kafka.tool(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            &kafka.bootstrap(),
            "--describe",
            "--topic",
            "real-parquet.ticks",
        ],
    );
    assert!(described.contains("PartitionCount: 3"), "{described}");
}

#[test]
fn the_audit_of_others_agrees_on_the_local_cloud() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    ticks_land_exactly_once(
        "local-parquet",
        cloud.services(),
        "Parquet",
        "Zstd",
        "classic",
    );
}

#[test]
fn boto3_works_on_the_local_s3_glue_and_athena() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let services = cloud.services();
    let output = python::command("aws_clients.py", &services.key)
        .args(["--endpoint", &services.aws])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", python::text(&output));
    println!("{}", python::text(&output));
}
