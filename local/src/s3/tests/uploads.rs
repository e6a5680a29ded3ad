//! Multipart uploads.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ChecksumAlgorithm, ChecksumMode,
    ChecksumType, CompletedMultipartUpload, CompletedPart, ExpirationStatus, LifecycleRule,
    LifecycleRuleFilter, ObjectAttributes,
};
use futures::future::join_all;

use super::{Running, bytes, code};

const MIB: usize = 1 << 20;

impl Running {
    /// Starts an upload as a lander does.
    async fn create_upload(&self, key: &str) -> String {
        self.client
            .create_multipart_upload()
            .bucket("bucket")
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .metadata("claim", "4711")
            .send()
            .await
            .unwrap()
            .upload_id
            .unwrap()
    }

    async fn upload_part(&self, key: &str, id: &str, number: i32, body: Vec<u8>) -> CompletedPart {
        let part = self
            .client
            .upload_part()
            .bucket("bucket")
            .key(key)
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .body(ByteStream::from(body))
            .send()
            .await
            .unwrap();
        CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag)
            .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
            .build()
    }

    fn complete(
        &self,
        key: &str,
        id: &str,
        parts: Vec<CompletedPart>,
    ) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder{
        self.client
            .complete_multipart_upload()
            .bucket("bucket")
            .key(key)
            .upload_id(id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            )
    }
}

#[tokio::test]
async fn upload_appears_whole_when_it_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(12 * MIB + 17);
    let id = s3.create_upload("k").await;
    let mut parts = Vec::new();
    for (i, part) in data.chunks(5 * MIB).enumerate() {
        parts.push(s3.upload_part("k", &id, i as i32 + 1, part.to_vec()).await);
    }
    let before = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("k")
        .send()
        .await;
    assert!(before.unwrap_err().into_service_error().is_not_found());
    let done = s3
        .complete("k", &id, parts.clone())
        .if_none_match("*")
        .send()
        .await
        .unwrap();
    assert!(done.e_tag().unwrap().ends_with("-3\""));
    let head = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("k")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(data.len() as i64));
    assert_eq!(head.metadata().unwrap()["claim"], "4711");
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    // The checksum of the whole, as a single request has it.
    s3.client
        .put_object()
        .bucket("bucket")
        .key("single")
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .body(ByteStream::from(data.clone()))
        .send()
        .await
        .unwrap();
    let single = s3
        .client
        .head_object()
        .bucket("bucket")
        .key("single")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert!(head.checksum_crc64_nvme().is_some());
    assert_eq!(head.checksum_crc64_nvme(), single.checksum_crc64_nvme());
    assert!(s3.get("k").await == data);
    let range = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("k")
        .range(format!("bytes={}-{}", 5 * MIB - 3, 10 * MIB + 3))
        .send()
        .await
        .unwrap();
    let range = range.body.collect().await.unwrap().to_vec();
    assert!(range == data[5 * MIB - 3..=10 * MIB + 3]);
    let attributes = s3
        .client
        .get_object_attributes()
        .bucket("bucket")
        .key("k")
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::ObjectParts)
        .send()
        .await
        .unwrap();
    assert_eq!(
        attributes.object_parts().unwrap().total_parts_count(),
        Some(3)
    );
    assert_eq!(attributes.object_size(), None);
    let second = s3
        .client
        .get_object()
        .bucket("bucket")
        .key("k")
        .part_number(2)
        .send()
        .await
        .unwrap();
    assert_eq!(second.parts_count(), Some(3));
    assert!(second.body.collect().await.unwrap().to_vec() == data[5 * MIB..10 * MIB]);
    let again = s3.complete("k", &id, parts).send().await;
    assert_eq!(code(&again.unwrap_err()), "NoSuchUpload");
    s3.stop().await;
}

#[tokio::test]
async fn of_sixteen_racing_completions_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    for round in 0..4 {
        let key = format!("file/{round}");
        let uploads = join_all((0..16_u8).map(|i| {
            let (s3, key) = (&s3, &key);
            async move {
                let id = s3.create_upload(key).await;
                let part = s3.upload_part(key, &id, 1, vec![i; 1000]).await;
                (id, part)
            }
        }))
        .await;
        let attempts = join_all(uploads.iter().map(|(id, part)| {
            s3.complete(&key, id, vec![part.clone()])
                .if_none_match("*")
                .send()
        }))
        .await;
        let winners: Vec<usize> = (0..16).filter(|i| attempts[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(s3.get(&key).await, vec![winners[0] as u8; 1000]);
        for (i, (id, _)) in uploads.iter().enumerate().filter(|(i, _)| *i != winners[0]) {
            assert_eq!(
                code(attempts[i].as_ref().unwrap_err()),
                "PreconditionFailed"
            );
            // A loser's upload is still there, for its owner to abort.
            s3.client
                .abort_multipart_upload()
                .bucket("bucket")
                .key(&key)
                .upload_id(id)
                .send()
                .await
                .unwrap();
        }
    }
    s3.wait_for_blobs(4).await;
    s3.stop().await;
}

#[tokio::test]
async fn one_upload_completed_by_many_at_once_is_completed_once() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let id = s3.create_upload("k").await;
    let part = s3.upload_part("k", &id, 1, bytes(1000)).await;
    let attempts = join_all((0..16).map(|_| {
        s3.complete("k", &id, vec![part.clone()])
            .if_none_match("*")
            .send()
    }))
    .await;
    assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
    for late in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
        assert_eq!(code(late), "NoSuchUpload");
    }
    assert_eq!(s3.get("k").await, bytes(1000));
    s3.stop().await;
}

#[tokio::test]
async fn composite_checksum_is_of_the_parts() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let id = s3
        .client
        .create_multipart_upload()
        .bucket("bucket")
        .key("k")
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await
        .unwrap()
        .upload_id
        .unwrap();
    let mut parts = Vec::new();
    for (number, body) in [(1, bytes(5 * MIB)), (2, bytes(10))] {
        let part = s3
            .client
            .upload_part()
            .bucket("bucket")
            .key("k")
            .upload_id(&id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(body))
            .send()
            .await
            .unwrap();
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_sha256(part.checksum_sha256)
                .build(),
        );
    }
    let done = s3.complete("k", &id, parts).send().await.unwrap();
    assert!(done.checksum_sha256().unwrap().ends_with("-2"));
    assert_eq!(done.checksum_type(), Some(&ChecksumType::Composite));
    s3.stop().await;
}

#[tokio::test]
async fn parts_and_uploads_are_listed_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let id = s3.create_upload("b/k").await;
    for number in [3, 1, 2] {
        s3.upload_part("b/k", &id, number, vec![number as u8; 10])
            .await;
    }
    // A part put again is replaced.
    s3.upload_part("b/k", &id, 2, vec![9; 20]).await;
    s3.wait_for_blobs(3).await;
    let list = |after: &str| {
        s3.client
            .list_parts()
            .bucket("bucket")
            .key("b/k")
            .upload_id(&id)
            .max_parts(2)
            .part_number_marker(after)
            .send()
    };
    let first = list("0").await.unwrap();
    let numbers = |parts: &[aws_sdk_s3::types::Part]| {
        parts
            .iter()
            .filter_map(|p| p.part_number())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(first.parts()), [1, 2]);
    assert_eq!(first.parts()[1].size(), Some(20));
    assert!(first.is_truncated().unwrap());
    let second = list(first.next_part_number_marker().unwrap())
        .await
        .unwrap();
    assert_eq!(numbers(second.parts()), [3]);
    assert!(!second.is_truncated().unwrap());

    for key in ["a", "a", "b/l", "c"] {
        s3.create_upload(key).await;
    }
    let mut seen = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = s3
            .client
            .list_multipart_uploads()
            .bucket("bucket")
            .max_uploads(2)
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker)
            .send()
            .await
            .unwrap();
        seen.extend(page.uploads().iter().map(|u| u.key().unwrap().to_owned()));
        if !page.is_truncated().unwrap() {
            break;
        }
        (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
    }
    assert_eq!(seen, ["a", "a", "b/k", "b/l", "c"]);
    let rolled = s3
        .client
        .list_multipart_uploads()
        .bucket("bucket")
        .delimiter("/")
        .send()
        .await
        .unwrap();
    assert_eq!(rolled.uploads().len(), 3);
    assert_eq!(rolled.common_prefixes()[0].prefix(), Some("b/"));
    s3.stop().await;
}

#[tokio::test]
async fn uploads_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let id = s3.create_upload("k").await;
    let small = s3.upload_part("k", &id, 1, bytes(100)).await;
    let last = s3.upload_part("k", &id, 2, bytes(100)).await;
    let refused = s3
        .complete("k", &id, vec![small.clone(), last.clone()])
        .send()
        .await;
    assert_eq!(code(&refused.unwrap_err()), "EntityTooSmall");
    let refused = s3
        .complete("k", &id, vec![last, small.clone()])
        .send()
        .await;
    assert_eq!(code(&refused.unwrap_err()), "InvalidPartOrder");
    let absent = CompletedPart::builder()
        .part_number(7)
        .e_tag("\"0\"")
        .build();
    let refused = s3.complete("k", &id, vec![absent]).send().await;
    assert_eq!(code(&refused.unwrap_err()), "InvalidPart");
    let refused = s3
        .client
        .upload_part()
        .bucket("bucket")
        .key("k")
        .upload_id(&id)
        .part_number(1)
        .checksum_algorithm(ChecksumAlgorithm::Sha1)
        .body(ByteStream::from_static(b"x"))
        .send()
        .await;
    assert_eq!(code(&refused.unwrap_err()), "InvalidRequest");
    for number in [0, 10_001] {
        let refused = s3
            .client
            .upload_part()
            .bucket("bucket")
            .key("k")
            .upload_id(&id)
            .part_number(number)
            .body(ByteStream::from_static(b"x"))
            .send()
            .await;
        assert_eq!(code(&refused.unwrap_err()), "InvalidArgument");
    }
    let unknown = s3
        .client
        .upload_part()
        .bucket("bucket")
        .key("k")
        .upload_id("unknown")
        .part_number(1)
        .body(ByteStream::from(bytes(2 * MIB)))
        .send()
        .await;
    assert_eq!(code(&unknown.unwrap_err()), "NoSuchUpload");
    s3.complete("k", &id, vec![small]).send().await.unwrap();
    s3.stop().await;
}

#[tokio::test]
async fn part_may_be_copied_from_a_range_of_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let data = bytes(6 * MIB);
    s3.put("from", data.clone()).await;
    let id = s3.create_upload("k").await;
    let copy = |number: i32, range: &str| {
        s3.client
            .upload_part_copy()
            .bucket("bucket")
            .key("k")
            .upload_id(&id)
            .part_number(number)
            .copy_source("bucket/from")
            .copy_source_range(range)
            .send()
    };
    let mut parts = Vec::new();
    for (number, range) in [(1, "bytes=0-5242879"), (2, "bytes=10-19")] {
        let result = copy(number, range).await.unwrap().copy_part_result.unwrap();
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(result.e_tag)
                .build(),
        );
    }
    assert_eq!(
        code(&copy(3, "bytes=0-6291456").await.unwrap_err()),
        "InvalidArgument"
    );
    s3.complete("k", &id, parts).send().await.unwrap();
    let expected = [&data[..5 * MIB], &data[10..20]].concat();
    assert!(s3.get("k").await == expected);
    s3.stop().await;
}

#[tokio::test]
async fn abandoned_uploads_are_aborted_by_lifecycle_rule() {
    let dir = tempfile::tempdir().unwrap();
    let s3 = Running::start(dir.path()).await;
    let none = s3
        .client
        .get_bucket_lifecycle_configuration()
        .bucket("bucket")
        .send()
        .await;
    assert_eq!(code(&none.unwrap_err()), "NoSuchLifecycleConfiguration");
    let rule = LifecycleRule::builder()
        .id("abort")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("ticks/").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder()
                .days_after_initiation(7)
                .build(),
        )
        .build()
        .unwrap();
    s3.client
        .put_bucket_lifecycle_configuration()
        .bucket("bucket")
        .lifecycle_configuration(
            BucketLifecycleConfiguration::builder()
                .rules(rule.clone())
                .build()
                .unwrap(),
        )
        .send()
        .await
        .unwrap();
    let stored = s3
        .client
        .get_bucket_lifecycle_configuration()
        .bucket("bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(stored.rules(), [rule]);
    let stale = s3.create_upload("ticks/1").await;
    s3.upload_part("ticks/1", &stale, 1, bytes(10)).await;
    let other = s3.create_upload("other").await;
    let part = s3.upload_part("other", &other, 1, bytes(10)).await;
    let day = 24 * 60 * 60 * 1000;
    let now = jiff::Timestamp::now().as_millisecond();
    assert_eq!(
        s3.store.abort_stale_uploads(now + 6 * day).await.unwrap(),
        0
    );
    assert_eq!(
        s3.store.abort_stale_uploads(now + 9 * day).await.unwrap(),
        1
    );
    s3.wait_for_blobs(1).await;
    s3.complete("other", &other, vec![part])
        .send()
        .await
        .unwrap();
    s3.stop().await;
}
