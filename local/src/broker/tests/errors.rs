//! Why a broker does not start, in one sentence each.

use std::fs;

use super::*;

#[tokio::test]
async fn a_taken_port_is_said_with_its_address() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let broker = start(directories[0].path()).await;
    let listen = broker.addr();
    let error = Broker::start(Config {
        listen,
        ..config(directories[1].path())
    })
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {listen} for Kafka clients: Address already in use (os error 98); stop what listens there, or choose another port (0 for any)"
        )
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Broker::start(config(&file.join("kafka")))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write the broker's data directory {}: Not a directory (os error 20)",
            file.join("kafka").display()
        )
    );
}

#[tokio::test]
async fn a_second_broker_on_a_data_directory_is_refused_until_the_first_stops() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let error = Broker::start(config(directory.path())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "another broker is using the data directory {}; stop it, or choose another directory",
            directory.path().display()
        )
    );
    broker.shutdown().await.unwrap();
    start(directory.path()).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_damaged_topic_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    create_topic(&broker, "ticks", 1, &[]).await;
    broker.shutdown().await.unwrap();
    let mut topics = fs::read_dir(directory.path().join("topics")).unwrap();
    let file = topics.next().unwrap().unwrap().path().join("topic.json");
    fs::write(&file, "{").unwrap();
    let error = Broker::start(config(directory.path())).await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!(
            "cannot start the broker: cannot read {}: ",
            file.display()
        )),
        "{error}"
    );
}

#[tokio::test]
async fn what_an_interrupted_creation_left_is_removed_but_never_records() {
    let directory = tempfile::tempdir().unwrap();
    let unfinished = directory.path().join("topics/0a/0");
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("00000000000000000000.log"), "").unwrap();
    start(directory.path()).await.shutdown().await.unwrap();
    assert!(!unfinished.exists());
    fs::create_dir_all(&unfinished).unwrap();
    fs::write(unfinished.join("00000000000000000000.log"), "records").unwrap();
    let error = Broker::start(config(directory.path())).await.unwrap_err();
    assert!(error.to_string().contains("no topic.json"), "{error}");
    assert!(unfinished.exists());
}

#[tokio::test]
async fn a_stopped_broker_closes_its_connections_even_those_that_wait() {
    use super::raw::{Fetching, NOW, Raw, fetch_request};
    let directory = tempfile::tempdir().unwrap();
    let broker = start(directory.path()).await;
    let mut raw = Raw::connect(&broker).await;
    raw.create_topic("ticks", 1, &[]).await;
    let patient = Fetching {
        wait_ms: 120_000,
        ..NOW
    };
    raw.send(12, &fetch_request("ticks", 0, patient)).await;
    tokio::time::timeout(PATIENCE, broker.shutdown())
        .await
        .expect("a prompt stop")
        .unwrap();
    assert_eq!(raw.receive_bytes().await, None);
}
