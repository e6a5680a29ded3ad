//! Replay from S3, bad rows on their way into quarantine, and a landed day once more.

use std::time::Duration;

use base64::Engine as _;
use stockpipe_crds::pipeline::ReplayTime;
use stockpipe_crds::worker_status::RoleStatus;
use stockpipe_workers::context::Context;
use stockpipe_workers::ledger::Owner;
use stockpipe_workers::produce::replay::day;
use stockpipe_workers::store::Store;
use stockpipe_workers::{audit, land, produce, provision, report};
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::topic::{create, read, until};

const BUCKET: &str = "it-lake";

const PIPELINE: &str = r#"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: us}
spec:
  market: {calendar: XNYS}
  source:
    replay:
      uri: s3://prices/2026/*.csv
      badRows: Quarantine
      decimal: Comma
      columns: {symbol: Symbol, time: Time, price: Price, sourceSeq: "No"}
  kafka: {topic: {partitions: 2}}
  lake: {bucket: it-lake, prefix: us, partitionBy: Hour, roll: {maxAge: 1s}}
"#;

/// Two files in S3, of which two rows are bad and one is of the next session.
async fn upload(cloud: &Cloud) {
    let s3 = cloud.clients().await.s3;
    s3.create_bucket().bucket("prices").send().await.unwrap();
    for (key, text) in [
        (
            "2026/a.csv",
            "Symbol;Time;Price;No\nAAPL;2026-11-20 09:30:00;272,5;7\nAAPL;2026-11-20 09:30:02;none;8\nAAPL;2026-11-20 09:30:04;272,75;9\n",
        ),
        (
            "2026/b.csv",
            "Symbol;Time;Price;No\nMSFT;2026-11-20 09:30:01;400;1\nMSFT;2026-11-20 09:30:03;401;x\nMSFT;2026-11-23 09:30:00;402;3\n",
        ),
        ("2026/_notes.csv", "nothing to see"),
        ("2025/a.csv", "nothing to see"),
    ] {
        let body = text.as_bytes().to_vec().into();
        let put = s3.put_object().bucket("prices").key(key).body(body);
        put.send().await.unwrap();
    }
}

/// Runs producer and lander until all has landed.
async fn landed(cloud: &Cloud) -> Context {
    provision::run(&cloud.context(PIPELINE, "provision"))
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let role = |name: &str| Context {
        shutdown: stop.clone(),
        ..cloud.context(PIPELINE, name)
    };
    let context = role("produce");
    let producer = tokio::spawn({
        let context = context.clone();
        async move { produce::run(&context).await }
    });
    let lander = tokio::spawn({
        let context = role("land");
        async move { land::run(&context).await }
    });
    let expected: jiff::Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    let reader = role("report");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while report::watermark(&reader)
        .await
        .unwrap()
        .is_none_or(|w| w < expected)
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the watermark stays behind"
        );
        assert!(!lander.is_finished());
        if producer.is_finished() {
            panic!("{:?}", producer.await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    producer.await.unwrap().unwrap();
    lander.await.unwrap().unwrap();
    context
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_of_files_in_s3_lie_in_quarantine_once_and_the_others_land() {
    let cloud = Cloud::start().await;
    upload(&cloud).await;
    let context = landed(&cloud).await;
    let Some(RoleStatus::Produce(status)) = context.status.snapshot().map(|s| s.role) else {
        panic!("the producer says nothing");
    };
    assert_eq!((status.bad_rows, status.finished), (2, true));
    // Another life sends nothing again.
    landed(&cloud).await;
    let audit = audit::verify(&cloud.context(PIPELINE, "verify"))
        .await
        .unwrap();
    assert!(audit.is_sound(), "{:?}", audit.findings);
    assert_eq!(
        (audit.total(|p| p.rows), audit.total(|p| p.quarantined)),
        (4, 2)
    );
    let store = Store::new(cloud.clients().await.s3, BUCKET);
    let owner = Owner::read(&store, "us").await.unwrap().unwrap();
    let mut pages = store.list(&format!("_stockpipe/{}/quarantine/", owner.lake_id));
    let mut sentences = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        for object in page {
            let lines = store.get(&object.key).await.unwrap().unwrap();
            for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let line: serde_json::Value = serde_json::from_slice(line).unwrap();
                let value = line
                    .as_object()
                    .unwrap()
                    .iter()
                    .find(|(k, _)| k.contains("value"));
                let body = base64::engine::general_purpose::STANDARD
                    .decode(value.unwrap().1.as_str().unwrap())
                    .unwrap();
                let row: serde_json::Value = serde_json::from_slice(&body).unwrap();
                sentences.push(row["problem"].as_str().unwrap().to_owned());
            }
        }
    }
    sentences.sort();
    assert_eq!(
        sentences,
        [
            "s3://prices/2026/a.csv:3: column Price: `none` is not a decimal number; write it like 12,34; where it means \
             that there is no value, write source.replay.missing: ['none']",
            "s3://prices/2026/b.csv:3: column No: `x` is no sequence number; write a whole number from 0",
        ]
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landed_day_goes_into_another_topic_with_its_own_numbers() {
    let cloud = Cloud::start().await;
    upload(&cloud).await;
    landed(&cloud).await;
    let context = cloud.context(PIPELINE, "replay");
    let manner = day::Manner {
        speed: 0,
        time: ReplayTime::Original,
        max_gap: None,
    };
    let friday = jiff::civil::date(2026, 11, 20);
    for (date, topic, says) in [
        (friday, "us.ticks", "the pipeline's own"),
        (
            jiff::civil::date(2026, 11, 22),
            "again",
            "is no session of XNYS",
        ),
        (
            jiff::civil::date(2026, 11, 18),
            "again",
            "nothing of 2026-11-18 has landed",
        ),
    ] {
        let error = day::pipeline(&context, date, topic, manner)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let pipeline = day::pipeline(&context, friday, "again", manner)
        .await
        .unwrap();
    create(&cloud.bootstrap(), "again", 1).await;
    // Made already: that is fine.
    day::make_topic(&pipeline).await.unwrap();
    let context = Context {
        pipeline: pipeline.into(),
        ..context
    };
    let role = tokio::spawn({
        let context = context.clone();
        async move { produce::run(&context).await }
    });
    until("the day is sent", || {
        role.is_finished()
            || context
                .status
                .snapshot()
                .is_some_and(|s| matches!(s.role, RoleStatus::Produce(status) if status.finished))
    })
    .await;
    context.shutdown.cancel();
    role.await.unwrap().unwrap();
    let contents = read(&cloud.bootstrap(), "again");
    contents.assert_contiguous();
    let ticks: Vec<_> = contents
        .ticks
        .iter()
        .map(|(_, t)| {
            (
                t.symbol.to_string(),
                t.seq,
                t.source_seq,
                &*t.source,
                t.trade_date,
            )
        })
        .collect();
    let tick = |symbol: &str, seq, source_seq| {
        (symbol.to_owned(), seq, Some(source_seq), "replay", friday)
    };
    assert_eq!(
        ticks,
        [tick("AAPL", 0, 7), tick("MSFT", 0, 1), tick("AAPL", 1, 9)]
    );
    cloud.stop().await;
}
