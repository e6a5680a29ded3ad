//! What survives: a restart, kill -9, a client that goes away.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Running, bytes, client};
use crate::credentials::Credentials;
use crate::s3::{Durability, OpenError, Store};

#[tokio::test]
async fn restart_keeps_objects_and_uploads() {
    let dir = tempfile::tempdir().unwrap();
    for durability in [Durability::Kill, Durability::PowerLoss] {
        let s3 = Running::start_as(dir.path(), durability).await;
        s3.put("k", bytes(2_000_000)).await;
        let created = s3
            .client
            .create_multipart_upload()
            .bucket("bucket")
            .key("u")
            .send()
            .await
            .unwrap();
        let id = created.upload_id.unwrap();
        let upload_part = |client: Client, number: i32| {
            client
                .upload_part()
                .bucket("bucket")
                .key("u")
                .upload_id(&id)
                .part_number(number)
                .body(ByteStream::from(bytes(5 << 20)))
                .send()
        };
        let first = upload_part(s3.client.clone(), 1).await.unwrap();
        s3.stop().await;

        let s3 = Running::start_as(dir.path(), durability).await;
        assert!(s3.get("k").await == bytes(2_000_000));
        let second = upload_part(s3.client.clone(), 2).await.unwrap();
        let parts = [first.e_tag, second.e_tag]
            .into_iter()
            .zip(1..)
            .map(|(etag, number)| {
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(etag)
                    .build()
            });
        let list = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        s3.client
            .complete_multipart_upload()
            .bucket("bucket")
            .key("u")
            .upload_id(&id)
            .multipart_upload(list)
            .send()
            .await
            .unwrap();
        assert!(s3.get("u").await == [bytes(5 << 20), bytes(5 << 20)].concat());
        s3.stop().await;
    }
}

#[tokio::test]
async fn client_that_goes_away_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("k", "old").await;
    // A presigned request, sent by hand and broken off in the middle.
    let presigned = s3
        .client
        .put_object()
        .bucket("bucket")
        .key("k")
        .presigned(
            aws_sdk_s3::presigning::PresigningConfig::expires_in(std::time::Duration::from_secs(
                60,
            ))
            .unwrap(),
        )
        .await
        .unwrap();
    let address = s3.server.addr().to_string();
    let path = presigned.uri().split_once(&address).unwrap().1.to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 5000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes(4_000_000)).await.unwrap();
    // The store has begun to write.
    s3.wait_for_blobs(2).await;
    drop(stream);
    s3.wait_for_blobs(1).await;
    assert_eq!(s3.get("k").await, b"old");
    s3.stop().await;
}

#[tokio::test]
async fn body_shorter_than_declared_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let presigned = s3
        .client
        .put_object()
        .bucket("bucket")
        .key("k")
        .presigned(
            aws_sdk_s3::presigning::PresigningConfig::expires_in(std::time::Duration::from_secs(
                60,
            ))
            .unwrap(),
        )
        .await
        .unwrap();
    let address = s3.server.addr().to_string();
    let path = presigned.uri().split_once(&address).unwrap().1.to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head =
        format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100\r\n\r\nshort");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    let listed = s3
        .client
        .list_objects_v2()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(listed.key_count(), Some(0));
    s3.wait_for_blobs(0).await;
    s3.stop().await;
}

#[tokio::test]
async fn second_process_on_the_same_store_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let second = Store::open(&dir.path().join("s3"), Durability::Kill);
    let Err(error @ OpenError::InUse { .. }) = second else {
        panic!("{second:?}");
    };
    assert!(error.to_string().ends_with("is in use by another process"));
    s3.stop().await;
}

#[test]
fn unusable_directory_is_named_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("s3"), Durability::Kill)
        .unwrap_err()
        .to_string();
    assert!(error.contains("file/s3"), "{error}");
}

const CHILD_DIR: &str = "STOCKPIPE_TEST_S3_DIR";

/// Not a test: the server that [`acknowledged_writes_survive_kill_9`] kills,
/// in a process of its own.
#[test]
#[ignore = "started by acknowledged_writes_survive_kill_9"]
fn server_to_be_killed() {
    let dir = std::env::var(CHILD_DIR).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let s3 = Running::start(Path::new(&dir)).await;
        println!("listening on {}", s3.server.addr());
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    });
}

/// Ends the process with the test, whatever happens.
struct Server(Child);

impl Server {
    fn start(dir: &Path) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "s3::tests::durability::server_to_be_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("listening on ")
                    .map(|(_, address)| address.to_owned())
            })
            .expect("the server says where it listens");
        (Self(child), address)
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::default();
    for round in 0..4 {
        let (server, address) = Server::start(dir.path());
        let credentials = Credentials::load_or_generate(dir.path()).unwrap();
        let client = client(&address, &credentials);
        // Everything that was acknowledged before is there, whole.
        let before = acknowledged.lock().unwrap().clone();
        for (key, body) in before {
            let got = client
                .get_object()
                .bucket("bucket")
                .key(&key)
                .send()
                .await
                .unwrap();
            assert!(got.body.collect().await.unwrap().to_vec() == body, "{key}");
        }
        // Eight writers, until the process is gone.
        let writers = join_all((0..8).map(|writer| {
            let (client, acknowledged) = (client.clone(), &acknowledged);
            async move {
                for i in 0.. {
                    let key = format!("{round}/{writer}/{i}");
                    let body = vec![writer as u8 + 1; 1 + i * 7919 % 300_000];
                    let put = client
                        .put_object()
                        .bucket("bucket")
                        .key(&key)
                        .if_none_match("*")
                        .body(ByteStream::from(body.clone()))
                        .send()
                        .await;
                    if put.is_err() {
                        return;
                    }
                    acknowledged.lock().unwrap().insert(key, body);
                }
            }
        }));
        let enough = async {
            let goal = (round + 1) * 100;
            while acknowledged.lock().unwrap().len() < goal {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            server.kill();
        };
        tokio::join!(writers, enough);
    }
    // What a crash left half-written is swept, and nothing else.
    let s3 = Running::start(dir.path()).await;
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut present = BTreeMap::new();
    let mut pages = s3
        .client
        .list_objects_v2()
        .bucket("bucket")
        .into_paginator()
        .send();
    while let Some(page) = pages.next().await {
        for object in page.unwrap().contents() {
            present.insert(object.key().unwrap().to_owned(), object.size().unwrap());
        }
    }
    for (key, body) in &acknowledged {
        assert_eq!(
            present.get(key),
            Some(&(body.len() as i64)),
            "{key} was acknowledged"
        );
    }
    // A write whose answer was lost may be there, if it is whole.
    for key in present
        .keys()
        .filter(|key| !acknowledged.contains_key(*key))
    {
        let got = s3.get(key).await;
        assert!(got.iter().all(|byte| *byte == got[0]), "{key}");
    }
    s3.wait_for_blobs(present.len()).await;
    s3.stop().await;
}
