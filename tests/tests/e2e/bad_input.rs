//! What goes wrong is told in one clear sentence, with a non-zero exit, and nothing is lost.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stockpipe_crds::worker_status::REFUSED_EXIT_CODE;
use stockpipe_tests::process::until;
use stockpipe_tests::python::text;
use stockpipe_tests::stack::{Cloud, Pipeline, Services};

use crate::up::{stockpipe, up};

/// Asserts that `output` is a failure told in one line that holds every one of `words`.
fn one_sentence(output: &Output, words: &[&str]) {
    one_sentence_and(1, output, words);
}

/// The same, with another exit code.
fn one_sentence_and(code: i32, output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let lines: Vec<_> = said
        .lines()
        .filter(|l| l.starts_with("stockpipe"))
        .collect();
    assert_eq!(lines.len(), 1, "one sentence was expected:\n{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    for noise in ["panicked", "RUST_BACKTRACE", "Error {", "Some("] {
        assert!(!said.contains(noise), "{said}");
    }
}

const FREE: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--aws-listen",
    "127.0.0.1:0",
    "--kafka-listen",
    "127.0.0.1:0",
];

/// `stockpipe up FILE` on free ports, which is expected to end by itself.
pub(crate) fn up_fails(home: &Path, args: &[&str]) -> Output {
    stockpipe(home, &[&["up"], args, &FREE, &["--for", "60s"]].concat())
}

fn file(home: &Path, yaml: &str) {
    std::fs::write(home.join("p.yaml"), yaml).unwrap();
}

const HEAD: &str = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\n";

#[test]
fn an_unwritable_data_directory() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("taken"), "").unwrap();
    one_sentence(
        &up_fails(home.path(), &["--data", "taken/data"]),
        &["taken/data", "--data"],
    );
}

#[test]
fn a_port_that_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--listen", "--aws-listen", "--kafka-listen"] {
        let mut args = vec!["up", "--for", "60s"];
        for pair in FREE.chunks(2) {
            args.extend(if pair[0] == flag {
                [pair[0], addr.as_str()]
            } else {
                [pair[0], pair[1]]
            });
        }
        let output = stockpipe(home.path(), &args);
        one_sentence(&output, &[&port]);
    }
}

#[test]
fn a_second_up_on_the_same_data_directory() {
    let home = tempfile::tempdir().unwrap();
    let mut first = up(home.path(), &[]);
    first.wait_for("first file", |l| l.starts_with("First file").then_some(()));
    let pid = first.id().to_string();
    one_sentence(&up_fails(home.path(), &[]), &["in use", &pid, "--data"]);
    first.stop();
}

#[test]
fn broken_yaml_names_its_line() {
    let home = tempfile::tempdir().unwrap();
    file(
        home.path(),
        &format!("{HEAD}spec:\n  lake: {{bucket: b-1\n  kafka: {{}}\n"),
    );
    one_sentence(&up_fails(home.path(), &["p.yaml"]), &["p.yaml:6:", "YAML"]);
}

#[test]
fn an_unknown_field_is_named_with_the_nearest_one() {
    let home = tempfile::tempdir().unwrap();
    file(
        home.path(),
        &format!("{HEAD}spec:\n  lake:\n    bucket: lake-1\n    fromat: Json\n"),
    );
    let output = stockpipe(home.path(), &["validate", "p.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = text(&output);
    assert!(
        said.contains("fromat") && said.contains("format") && said.contains('7'),
        "{said}"
    );
}

#[test]
fn a_field_without_behaviour_yet_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    file(
        home.path(),
        &format!(
            "{HEAD}spec:\n  lake: {{bucket: lake-1}}\n  monitoring: {{otlp: {{endpoint: 'http://c:4317'}}}}\n"
        ),
    );
    let said = text(&stockpipe(home.path(), &["validate", "p.yaml"]));
    assert!(
        said.contains("otlp") && said.contains("not supported in this version"),
        "{said}"
    );
}

#[test]
fn a_missing_secret_names_the_file_that_would_hold_it() {
    let home = tempfile::tempdir().unwrap();
    file(
        home.path(),
        &format!(
            "{HEAD}spec:\n  lake: {{bucket: lake-1}}\n  aws: {{credentialsSecretRef: {{name: minio}}, endpoints: {{s3: 'http://127.0.0.1:9'}}}}\n"
        ),
    );
    one_sentence(
        &up_fails(home.path(), &["p.yaml"]),
        &[
            "minio",
            "AWS_ACCESS_KEY_ID",
            "secrets/minio/AWS_ACCESS_KEY_ID",
        ],
    );
}

#[test]
fn kafka_away_at_the_start_ends_up_within_its_minute() {
    let home = tempfile::tempdir().unwrap();
    file(
        home.path(),
        &format!(
            "{HEAD}spec:\n  lake: {{bucket: lake-1}}\n  kafka: {{bootstrapServers: '127.0.0.1:9'}}\n"
        ),
    );
    let output = stockpipe(home.path(), &[&["up", "p.yaml"][..], &FREE].concat());
    one_sentence(&output, &["127.0.0.1:9"]);
}

#[test]
fn an_error_in_sql_is_told_in_athenas_words() {
    let home = tempfile::tempdir().unwrap();
    let mut running = up(home.path(), &[]);
    running.wait_for("first file", |l| l.starts_with("First file").then_some(()));
    for (sql, words) in [
        ("SELEC 1", &["line 1:1", "SELEC"][..]),
        ("SELECT colour FROM quickstart_ticks", &["colour"]),
        ("SELECT * FROM nowhere", &["nowhere"]),
        ("SELECT 1/0", &["Division by zero"]),
    ] {
        one_sentence(&stockpipe(home.path(), &["query", sql]), words);
    }
    running.stop();
}

#[test]
fn a_query_where_nothing_ever_ran() {
    let home = tempfile::tempdir().unwrap();
    one_sentence(
        &stockpipe(home.path(), &["query", "SELECT 1"]),
        &[".stockpipe", "stockpipe up"],
    );
    assert!(
        !home.path().join(".stockpipe").exists(),
        "asking makes no directory"
    );
}

#[test]
fn reset_deletes_only_what_is_ours_and_only_when_told() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("mine")).unwrap();
    std::fs::write(home.path().join("mine/thesis.txt"), "years of work").unwrap();
    one_sentence(
        &stockpipe(home.path(), &["reset", "--yes", "--data", "mine"]),
        &["mine", "nothing was deleted"],
    );
    assert!(home.path().join("mine/thesis.txt").exists());
}

fn slow_pipeline(name: &str, services: &Services) -> Pipeline {
    Pipeline::new(
        name,
        services,
        &json!({
            "market": {"calendar": "24x7", "symbols": ["AAPL", "KO", "MSFT"]},
            "source": {"simulated": {"seed": 7, "ticksPerSecond": 200}},
            "kafka": {"topic": {"partitions": 2}},
            "lake": {"roll": {"maxAge": "1s"}},
        }),
    )
}

fn landed(status: &Value) -> u64 {
    status["partitions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| p["rows"].as_u64())
        .sum()
}

/// Kills one of the two services under a running pipeline, and brings it back.
fn away_in_the_middle(kills_kafka: bool, lost: &str, back: &str) {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut kafka, mut aws) = (Cloud::start(homes[0].path()), Cloud::start(homes[1].path()));
    let services = Services {
        kafka: kafka.services().kafka.clone(),
        ..aws.services().clone()
    };
    let pipeline = slow_pipeline(
        if kills_kafka { "kafka-away" } else { "s3-away" },
        &services,
    );
    pipeline.provision();
    let producer = pipeline.start("produce");
    let mut lander = pipeline.start("land");
    until("landed rows", || {
        lander.status().map(|s| landed(&s)).filter(|n| *n > 0)
    });
    let cloud = if kills_kafka { &mut kafka } else { &mut aws };
    cloud.kill();
    lander
        .process
        .wait_for("its loss told", |l| l.contains(lost).then_some(()));
    cloud.revive();
    lander
        .process
        .wait_for("its return told", |l| l.contains(back).then_some(()));
    let before = lander.status().map_or(0, |s| landed(&s));
    until("more landed rows", || {
        lander.status().map(|s| landed(&s)).filter(|n| *n > before)
    });
    let times = lander
        .process
        .output()
        .lines()
        .filter(|l| l.contains(lost))
        .count();
    assert_eq!(times, 1, "said once:\n{}", lander.process.output());
    producer.process.stop();
    lander.process.stop();
    pipeline.assert_verified();
}

#[test]
fn kafka_away_in_the_middle_is_told_once_and_nothing_is_lost() {
    away_in_the_middle(true, "Kafka is not reachable", "Kafka is back");
}

#[test]
fn s3_away_in_the_middle_is_told_once_and_nothing_is_lost() {
    away_in_the_middle(false, "S3 is lost", "S3 is back");
}

#[test]
fn a_prefix_owned_by_another_pipeline_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    slow_pipeline("first", cloud.services()).provision();
    for prefix in ["first/ticks", "first", "first/ticks/deeper"] {
        let second = Pipeline::new(
            "second",
            cloud.services(),
            &json!({"lake": {"bucket": "lake-first", "prefix": prefix}}),
        );
        // An exit code of its own: a Job gives up at once, for the next try would be refused as well.
        one_sentence_and(
            i32::from(REFUSED_EXIT_CODE),
            &second.run("provision"),
            &["first/ticks", "tests/default/first"],
        );
    }
}

/// An object store that ignores conditions: it takes every write, and gives back what it took.
fn store_without_conditions(owner: (&str, &str)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let objects = HashMap::from([(owner.0.to_owned(), owner.1.as_bytes().to_vec())]);
    let objects = Arc::new(Mutex::new(objects));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let objects = Arc::clone(&objects);
            std::thread::spawn(move || answer_everything(stream, &objects));
        }
    });
    url
}

fn answer_everything(mut stream: TcpStream, objects: &Mutex<HashMap<String, Vec<u8>>>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        request.extend_from_slice(&chunk[..n]);
        let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let length = head
            .lines()
            .filter_map(|l| l.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .unwrap_or(0);
        if request.len() < end + 4 + length {
            continue;
        }
        let body = request[end + 4..end + 4 + length].to_vec();
        request.drain(..end + 4 + length);
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let path = target.split('?').next().unwrap().to_owned();
        let mut objects = objects.lock().unwrap();
        let (status, body) = match method {
            "PUT" => {
                objects.insert(path, body);
                ("200 OK", Vec::new())
            }
            "GET" if target.contains("list-type=2") => (
                "200 OK",
                b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".to_vec(),
            ),
            "GET" => match objects.get(&path) {
                Some(body) => ("200 OK", body.clone()),
                None => (
                    "404 Not Found",
                    b"<Error><Code>NoSuchKey</Code></Error>".to_vec(),
                ),
            },
            _ => ("200 OK", Vec::new()),
        };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nETag: \"0\"\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

#[test]
fn a_store_without_conditional_writes_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(home.path());
    let services = Services {
        aws: store_without_conditions((
            "/lake-unsafe/_stockpipe/owners/unsafe/ticks.json",
            r#"{"lakeId": "11111111-2222-4333-8444-555555555555", "identity": "tests/default/unsafe"}"#,
        )),
        ..cloud.services().clone()
    };
    let pipeline = slow_pipeline("unsafe", &services);
    for role in ["provision", "land"] {
        one_sentence(&pipeline.run(role), &["conditional"]);
    }
}
