//! Secrets that come late and secrets that change, and what a worker tells of itself meanwhile.

use serde_json::{Value, json};
use stockpipe_tests::process::until;
use stockpipe_tests::stack::{Cloud, Pipeline, Worker};

/// The reason of the first condition.
fn reason(status: &Value) -> Option<&str> {
    status["conditions"][0]["reason"].as_str()
}

/// Rows that it landed, once there are any.
fn landed(lander: &Worker) -> Option<u64> {
    lander.status()?["rowsTotal"]
        .as_u64()
        .filter(|rows| *rows > 0)
}

#[test]
fn a_lander_waits_for_its_secret_and_ends_well_when_it_changes() {
    let data = tempfile::tempdir().unwrap();
    let mut cloud = Cloud::start(data.path());
    let spec = json!({
        "market": {"calendar": "24x7", "symbols": ["A"]},
        "source": {"simulated": {"seed": 7, "ticksPerSecond": 50}},
        "lake": {"roll": {"maxAge": "1s"}},
    });
    let pipeline = Pipeline::new("rotation", cloud.services(), &spec);
    pipeline.provision();
    let secret = pipeline.secrets().join("key");
    let away = pipeline.secrets().join("away");
    std::fs::rename(&secret, &away).unwrap();

    // The producer has no use for the secret, the lander says that it is missing.
    let producer = pipeline.start("produce");
    let mut lander = pipeline.start("land");
    let said = until("the missing secret on /status", || {
        lander
            .status()
            .filter(|s| reason(s) == Some("SecretMissing"))
    });
    assert_eq!(said["state"], "Waiting");
    let message = said["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("secret `key` has no key `AWS_ACCESS_KEY_ID`"),
        "{message}"
    );
    let metrics = lander.metrics().unwrap();
    assert!(
        metrics.contains(
            "stockpipe_worker_condition{pipeline=\"default/rotation\",role=\"land\",type=\"Landing\",reason=\"SecretMissing\"} 0.0"
        ),
        "{metrics}"
    );

    std::fs::rename(&away, &secret).unwrap();
    until("rows", || landed(&lander));
    let metrics = lander.metrics().unwrap();
    assert!(
        metrics
            .contains("stockpipe_land_lag_records{pipeline=\"default/rotation\",partition=\"0\"}"),
        "{metrics}"
    );

    // Another secret: it lands what it holds and ends; whoever runs it starts it again.
    let key = secret.join("AWS_SECRET_ACCESS_KEY");
    let value = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&key, format!("{value}-rotated")).unwrap();
    let ended = lander.process.wait();
    assert!(ended.success(), "{ended}: {}", lander.process.output());
    assert!(
        lander.process.output().contains("secret `key` has changed"),
        "{}",
        lander.process.output()
    );
    assert!(!lander.process.output().contains(value.trim()));

    std::fs::write(&key, value).unwrap();
    let again = pipeline.start("land");
    until("rows", || landed(&again));
    producer.process.stop();
    again.process.stop();
    pipeline.assert_verified();
    cloud.stop();
}
