//! Objects: put, get, head, copy, delete, and their conditions.

use std::collections::BTreeSet;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, Delete, MetadataDirective, ObjectIdentifier,
};
use futures::future::join_all;

use super::{Running, bytes, code};

#[tokio::test]
async fn object_comes_back_with_all_that_was_said_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(3_000_000);
    let put = s3
        .client
        .put_object()
        .bucket("bucket")
        .key("a/b.json")
        .body(ByteStream::from(data.clone()))
        .content_type("application/json")
        .content_encoding("gzip")
        .cache_control("no-store")
        .metadata("claim", "4711")
        .send()
        .await
        .unwrap();
    let md5 = {
        use s3s::crypto::Checksum as _;
        hex::encode(s3s::crypto::Md5::checksum(&data))
    };
    assert_eq!(put.e_tag(), Some(format!("\"{md5}\"").as_str()));
    let head = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("a/b.json")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(3_000_000));
    assert_eq!(head.content_type(), Some("application/json"));
    assert_eq!(head.content_encoding(), Some("gzip"));
    assert_eq!(head.cache_control(), Some("no-store"));
    assert_eq!(head.metadata().unwrap()["claim"], "4711");
    assert_eq!(head.e_tag(), put.e_tag());
    assert_eq!(head.checksum_type().unwrap().as_str(), "FULL_OBJECT");
    let got = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("a/b.json")
        .send()
        .await
        .unwrap();
    assert_eq!(got.e_tag(), put.e_tag());
    assert_eq!(got.body.collect().await.unwrap().to_vec(), data);
    s3.stop().await;
}

#[tokio::test]
async fn empty_object_is_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("empty", "").await;
    assert_eq!(s3.get("empty").await, b"");
    s3.wait_for_blobs(0).await;
    s3.stop().await;
}

#[tokio::test]
async fn every_checksum_algorithm_is_verified_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    for (algorithm, value) in [
        (ChecksumAlgorithm::Crc32, "y/Q5Jg=="),
        (ChecksumAlgorithm::Crc32C, "4waSgw=="),
        (ChecksumAlgorithm::Crc64Nvme, "rosUhgp5mIg="),
        (ChecksumAlgorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (
            ChecksumAlgorithm::Sha256,
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ),
    ] {
        let key = algorithm.as_str().to_owned();
        s3.client
            .put_object()
            .bucket("bucket")
            .key(&key)
            .checksum_algorithm(algorithm.clone())
            .body(ByteStream::from_static(b"123456789"))
            .send()
            .await
            .unwrap();
        // The SDK verifies what it gets against this header.
        let got = s3
            .client
            .get_object()
            .bucket("bucket")
            .key(&key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        let values = [
            got.checksum_crc32(),
            got.checksum_crc32_c(),
            got.checksum_crc64_nvme(),
            got.checksum_sha1(),
            got.checksum_sha256(),
        ];
        assert_eq!(
            values.into_iter().flatten().collect::<Vec<_>>(),
            [value],
            "{key}"
        );
        assert_eq!(got.body.collect().await.unwrap().to_vec(), b"123456789");
    }
    s3.stop().await;
}

#[tokio::test]
async fn wrong_checksum_is_refused_and_the_old_object_stands() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("k", "old").await;
    let put = || {
        s3.client
            .put_object()
            .bucket("bucket")
            .key("k")
            .body(ByteStream::from_static(b"new"))
    };
    for attempt in [
        put().checksum_crc64_nvme("AAAAAAAAAAA=").send().await,
        put()
            .checksum_sha256("FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=")
            .send()
            .await,
        put().content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").send().await,
    ] {
        assert_eq!(code(&attempt.unwrap_err()), "BadDigest");
    }
    assert_eq!(s3.get("k").await, b"old");
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

#[tokio::test]
async fn of_sixteen_racing_creations_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    for round in 0..8 {
        let key = format!("claim/{round}");
        let attempts = join_all((0..16).map(|i| {
            s3.client
                .put_object()
                .bucket("bucket")
                .key(&key)
                .if_none_match("*")
                .body(ByteStream::from(format!("writer {i}").into_bytes()))
                .send()
        }))
        .await;
        let winners: Vec<usize> = (0..16).filter(|i| attempts[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        for loser in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
            assert_eq!(code(loser), "PreconditionFailed");
            assert_eq!(loser.raw_response().unwrap().status().as_u16(), 412);
        }
        assert_eq!(
            s3.get(&key).await,
            format!("writer {}", winners[0]).into_bytes()
        );
    }
    // The losers left nothing behind.
    s3.wait_for_blobs(8).await;
    s3.stop().await;
}

#[tokio::test]
async fn of_sixteen_racing_replacements_of_one_version_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("counter", "0").await;
    for round in 1..=8 {
        let head = s3
            .client
            .head_object()
            .bucket("bucket")
            .key("counter")
            .send()
            .await
            .unwrap();
        let etag = head.e_tag().unwrap().to_owned();
        let attempts = join_all((0..16).map(|i| {
            s3.client
                .put_object()
                .bucket("bucket")
                .key("counter")
                .if_match(&etag)
                .body(ByteStream::from(format!("{round}/{i}").into_bytes()))
                .send()
        }))
        .await;
        assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
        assert!(
            s3.get("counter")
                .await
                .starts_with(format!("{round}/").as_bytes())
        );
    }
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

#[tokio::test]
async fn if_match_without_an_object_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let refused = s3
        .client
        .put_object()
        .bucket("bucket")
        .key("absent")
        .if_match("\"abc\"")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await;
    assert_eq!(code(&refused.unwrap_err()), "NoSuchKey");
    s3.stop().await;
}

#[tokio::test]
async fn any_key_that_s3_takes_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let long = "k".repeat(1024);
    let keys = [
        "a",
        "a/b",
        "a/b/c",
        "a/",
        "../../etc/passwd",
        "/leading",
        "double//slash",
        ".",
        "..",
        "sp ace+plus&amp",
        "é/日本/🦀",
        "100%",
        "a?b#c",
        "!-_.*'()",
        "tab\tnewline\n",
        long.as_str(),
    ];
    for key in keys {
        s3.put(key, key).await;
    }
    for key in keys {
        assert_eq!(s3.get(key).await, key.as_bytes(), "{key}");
    }
    let listed = s3
        .client
        .list_objects_v2()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    let listed: BTreeSet<String> = listed
        .contents()
        .iter()
        .map(|o| o.key().unwrap().to_owned())
        .collect();
    let encoded = s3
        .client
        .list_objects_v2()
        .bucket("bucket")
        .encoding_type(aws_sdk_s3::types::EncodingType::Url)
        .send()
        .await
        .unwrap();
    assert_eq!(encoded.key_count(), Some(keys.len() as i32));
    assert_eq!(listed.len(), keys.len());
    let too_long = s3
        .client
        .put_object()
        .bucket("bucket")
        .key("k".repeat(1025))
        .body(ByteStream::from_static(b"x"))
        .send()
        .await;
    assert_eq!(code(&too_long.unwrap_err()), "KeyTooLongError");
    s3.stop().await;
}

#[tokio::test]
async fn ranges_are_parts_of_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(1_000_000);
    s3.put("k", data.clone()).await;
    for (range, expected, header) in [
        ("bytes=0-0", &data[..1], "bytes 0-0/1000000"),
        ("bytes=10-19", &data[10..20], "bytes 10-19/1000000"),
        (
            "bytes=999990-",
            &data[999_990..],
            "bytes 999990-999999/1000000",
        ),
        ("bytes=-5", &data[999_995..], "bytes 999995-999999/1000000"),
        (
            "bytes=1-899999",
            &data[1..900_000],
            "bytes 1-899999/1000000",
        ),
        (
            "bytes=500000-2000000",
            &data[500_000..],
            "bytes 500000-999999/1000000",
        ),
    ] {
        let got = s3
            .client
            .get_object()
            .bucket("bucket")
            .key("k")
            .range(range)
            .send()
            .await
            .unwrap();
        assert_eq!(got.content_range(), Some(header));
        assert_eq!(got.content_length(), Some(expected.len() as i64));
        assert_eq!(
            got.body.collect().await.unwrap().to_vec(),
            expected,
            "{range}"
        );
    }
    let beyond = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("k")
        .range("bytes=1000000-")
        .send()
        .await;
    let error = beyond.unwrap_err();
    assert_eq!(code(&error), "InvalidRange");
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 416);
    s3.stop().await;
}

#[tokio::test]
async fn reads_may_have_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("k", "x").await;
    let etag = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap()
        .e_tag
        .unwrap();
    let get = || s3.client.get_object().bucket("bucket").key("k");
    get().if_match(&etag).send().await.unwrap();
    get().if_none_match("\"other\"").send().await.unwrap();
    assert_eq!(
        code(&get().if_match("\"other\"").send().await.unwrap_err()),
        "PreconditionFailed"
    );
    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
    let future = DateTime::from_secs(jiff::Timestamp::now().as_second() + 100);
    let unchanged = get().if_modified_since(future).send().await.unwrap_err();
    assert_eq!(unchanged.raw_response().unwrap().status().as_u16(), 304);
    s3.stop().await;
}

#[tokio::test]
async fn what_is_not_there_has_its_codes() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let get = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("absent")
        .send()
        .await;
    assert_eq!(code(&get.unwrap_err()), "NoSuchKey");
    let get = s3
        .client
        .get_object()
        .bucket("absent")
        .key("k")
        .send()
        .await;
    assert_eq!(code(&get.unwrap_err()), "NoSuchBucket");
    let head = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("absent")
        .send()
        .await;
    assert!(head.unwrap_err().into_service_error().is_not_found());
    let head = s3.client.head_bucket().bucket("absent").send().await;
    assert!(head.unwrap_err().into_service_error().is_not_found());
    // The whole body is sent before the answer is read.
    let put = s3
        .client
        .put_object()
        .bucket("absent")
        .key("k")
        .body(ByteStream::from(bytes(5_000_000)))
        .send()
        .await;
    assert_eq!(code(&put.unwrap_err()), "NoSuchBucket");
    s3.wait_for_blobs(0).await;
    s3.stop().await;
}

#[tokio::test]
async fn buckets_are_made_listed_and_removed_when_empty() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let again = s3
        .client
        .create_bucket()
        .bucket("bucket")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&again), "BucketAlreadyOwnedByYou");
    assert_eq!(again.raw_response().unwrap().status().as_u16(), 409);
    s3.client
        .create_bucket()
        .bucket("second")
        .send()
        .await
        .unwrap();
    let list = s3.client.list_buckets().send().await.unwrap();
    let names: Vec<&str> = list.buckets().iter().filter_map(|b| b.name()).collect();
    assert_eq!(names, ["bucket", "second"]);
    let location = s3
        .client
        .get_bucket_location()
        .bucket("second")
        .send()
        .await
        .unwrap();
    assert!(
        location
            .location_constraint()
            .is_none_or(|l| l.as_str().is_empty())
    );
    let region = s3
        .client
        .head_bucket()
        .bucket("second")
        .send()
        .await
        .unwrap();
    assert_eq!(region.bucket_region(), Some("us-east-1"));
    s3.put("k", "x").await;
    let full = s3.client.delete_bucket().bucket("bucket").send().await;
    assert_eq!(code(&full.unwrap_err()), "BucketNotEmpty");
    s3.client
        .delete_bucket()
        .bucket("second")
        .send()
        .await
        .unwrap();
    let gone = s3.client.delete_bucket().bucket("second").send().await;
    assert_eq!(code(&gone.unwrap_err()), "NoSuchBucket");
    s3.stop().await;
}

#[tokio::test]
async fn object_replaced_while_it_is_read_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let old = bytes(24_000_000);
    s3.put("k", old.clone()).await;
    let mut reading = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    let mut read = reading.body.try_next().await.unwrap().unwrap().to_vec();
    s3.put("k", "new").await;
    assert_eq!(s3.get("k").await, b"new");
    while let Some(chunk) = reading.body.try_next().await.unwrap() {
        read.extend_from_slice(&chunk);
    }
    assert!(read == old, "{} of {} bytes", read.len(), old.len());
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

#[tokio::test]
async fn readers_of_an_object_that_is_replaced_all_the_time_get_one_version_each() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.put("k", vec![0; 400_000]).await;
    let write = async {
        for version in 1..=60_u8 {
            s3.put("k", vec![version; 400_000]).await;
        }
    };
    let read = join_all((0..4).map(|_| async {
        for _ in 0..60 {
            let got = s3.get("k").await;
            assert_eq!(got.len(), 400_000);
            assert!(got.iter().all(|byte| *byte == got[0]));
        }
    }));
    tokio::join!(write, read);
    s3.wait_for_blobs(1).await;
    s3.stop().await;
}

#[tokio::test]
async fn objects_are_deleted_one_by_one_and_in_batches() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    for i in 0..5 {
        s3.put(&format!("k{i}"), "x").await;
    }
    s3.client
        .delete_object()
        .bucket("bucket")
        .key("k0")
        .send()
        .await
        .unwrap();
    s3.client
        .delete_object()
        .bucket("bucket")
        .key("k0")
        .send()
        .await
        .unwrap();
    let stale = s3
        .client
        .delete_object()
        .bucket("bucket")
        .key("k1")
        .if_match("\"other\"")
        .send()
        .await;
    assert_eq!(code(&stale.unwrap_err()), "PreconditionFailed");
    let ids =
        ["k1", "k2", "absent"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let deleted = s3
        .client
        .delete_objects()
        .bucket("bucket")
        .delete(
            Delete::builder()
                .set_objects(Some(ids.to_vec()))
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.deleted().len(), 3);
    assert!(deleted.errors().is_empty());
    let left = s3
        .client
        .list_objects_v2()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    let left: Vec<&str> = left.contents().iter().filter_map(|o| o.key()).collect();
    assert_eq!(left, ["k3", "k4"]);
    s3.wait_for_blobs(2).await;
    s3.stop().await;
}

#[tokio::test]
async fn copy_keeps_or_replaces_what_is_said_of_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(700_000);
    s3.client
        .put_object()
        .bucket("bucket")
        .key("from/é")
        .metadata("a", "1")
        .content_type("text/csv")
        .body(ByteStream::from(data.clone()))
        .send()
        .await
        .unwrap();
    let copy = |to: &str| {
        s3.client
            .copy_object()
            .bucket("bucket")
            .key(to)
            .copy_source("bucket/from/%C3%A9")
    };
    copy("kept").send().await.unwrap();
    copy("replaced")
        .metadata_directive(MetadataDirective::Replace)
        .metadata("b", "2")
        .send()
        .await
        .unwrap();
    let kept = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("kept")
        .send()
        .await
        .unwrap();
    assert_eq!(kept.metadata().unwrap()["a"], "1");
    assert_eq!(kept.content_type(), Some("text/csv"));
    let replaced = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("replaced")
        .send()
        .await
        .unwrap();
    assert_eq!(replaced.metadata().unwrap().get("a"), None);
    assert_eq!(replaced.metadata().unwrap()["b"], "2");
    assert_eq!(s3.get("kept").await, data);
    assert_eq!(
        code(&copy("from/é").send().await.unwrap_err()),
        "InvalidRequest"
    );
    let stale = copy("x").copy_source_if_match("\"other\"").send().await;
    assert_eq!(code(&stale.unwrap_err()), "PreconditionFailed");
    let absent = s3
        .client
        .copy_object()
        .bucket("bucket")
        .key("x")
        .copy_source("bucket/absent")
        .send()
        .await;
    assert_eq!(code(&absent.unwrap_err()), "NoSuchKey");
    s3.stop().await;
}

#[tokio::test]
async fn objects_and_buckets_have_tags() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    s3.client
        .put_object()
        .bucket("bucket")
        .key("k")
        .tagging("team=data&cost=a%20b")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    let tags = s3
        .client
        .get_object_tagging()
        .bucket("bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tag_set().len(), 2);
    assert_eq!(tags.tag_set()[1].value(), "a b");
    let none = s3.client.get_bucket_tagging().bucket("bucket").send().await;
    assert_eq!(code(&none.unwrap_err()), "NoSuchTagSet");
    s3.stop().await;
}
