//! Figures, printed: `cargo test -p stockpipe --lib s3::tests::throughput -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use futures::stream::{self, StreamExt as _};

use super::listings::fill;
use super::{Running, bytes};
use crate::s3::{Durability, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn puts_gets_and_pages_a_second() {
    for durability in [Durability::Kill, Durability::PowerLoss] {
        let dir = tempfile::tempdir().unwrap();
        let s3 = Running::start_as(dir.path(), durability).await;
        let large = bytes::Bytes::from(bytes(8 << 20));
        for (name, body, count, at_once) in [
            ("8 MiB, one at a time", &large, 24, 1),
            ("8 MiB, four at once", &large, 24, 4),
            ("1 KiB, one at a time", &large.slice(..1024), 400, 1),
            ("1 KiB, sixteen at once", &large.slice(..1024), 3000, 16),
        ] {
            let started = Instant::now();
            stream::iter(0..count)
                .for_each_concurrent(at_once, |i| {
                    let put = s3
                        .client
                        .put_object()
                        .bucket("bucket")
                        .key(format!("k/{i}"));
                    async move {
                        drop(
                            put.body(ByteStream::from(body.clone()))
                                .send()
                                .await
                                .unwrap(),
                        )
                    }
                })
                .await;
            report(
                &format!("{durability:?}: PUT {name}"),
                started,
                count,
                body.len(),
            );
        }
        s3.stop().await;
    }
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    // Without an SDK on the other side, which costs more than the server.
    let http = reqwest::Client::new();
    let lasting = PresigningConfig::expires_in(Duration::from_secs(600)).unwrap();
    let large = bytes::Bytes::from(bytes(8 << 20));
    for (name, body, count, at_once) in [
        ("8 MiB, one at a time", &large, 48, 1),
        ("1 KiB, sixteen at once", &large.slice(..1024), 8000, 16),
    ] {
        let put = s3.client.put_object().bucket("bucket").key("raw");
        let url = put
            .presigned(lasting.clone())
            .await
            .unwrap()
            .uri()
            .to_owned();
        let started = Instant::now();
        stream::iter(0..count)
            .for_each_concurrent(at_once, |_| {
                let request = http.put(&url).body(body.clone()).send();
                async move { assert_eq!(request.await.unwrap().status(), 200) }
            })
            .await;
        report(&format!("presigned PUT {name}"), started, count, body.len());
        let get = s3.client.get_object().bucket("bucket").key("raw");
        let url = get
            .presigned(lasting.clone())
            .await
            .unwrap()
            .uri()
            .to_owned();
        let started = Instant::now();
        stream::iter(0..count)
            .for_each_concurrent(at_once, |_| {
                let request = http.get(&url).send();
                async move {
                    assert_eq!(
                        request.await.unwrap().bytes().await.unwrap().len(),
                        body.len()
                    )
                }
            })
            .await;
        report(&format!("presigned GET {name}"), started, count, body.len());
    }
    fill(
        &s3,
        (0..100_000).map(|i| format!("ticks/dt={:03}/{i:06}.parquet", i / 1000)),
    )
    .await;
    let mut slowest = Duration::ZERO;
    let pages = 50;
    let started = Instant::now();
    for i in 0..pages {
        let asked = Instant::now();
        let after = format!("ticks/dt={i:03}/{:06}.parquet", i * 1000);
        let query = format!("list-type=2&start-after={after}");
        let expires = jiff::Timestamp::now().as_second() + 60;
        let url = super::access::presigned_v2(&s3, "/bucket", &query, expires);
        let body = http.get(url).send().await.unwrap().bytes().await.unwrap();
        assert!(body.len() > 100_000);
        slowest = slowest.max(asked.elapsed());
    }
    report("page of 1,000 keys of 100,000", started, pages, 0);
    println!("slowest of them: {slowest:?}");
    // What a start after kill -9 finds: the files as they are now.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(
        dir.path().join("s3/index.redb"),
        copy.path().join("index.redb"),
    )
    .unwrap();
    std::fs::write(copy.path().join("open"), "").unwrap();
    let started = Instant::now();
    drop(Store::open(copy.path(), Durability::Kill).unwrap());
    println!(
        "open with 100,000 objects after a crash: {:?}",
        started.elapsed()
    );
    s3.stop().await;
}

fn report(what: &str, started: Instant, count: usize, size: usize) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{what}: {:.0}/s, {:.0} MiB/s",
        count as f64 / seconds,
        (count * size) as f64 / seconds / f64::from(1 << 20)
    );
}
