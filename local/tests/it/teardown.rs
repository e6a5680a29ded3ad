//! Teardown: what provision made goes where the policy says so, and nothing else.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use aws_sdk_glue::types::{PartitionInput, StorageDescriptor};
use aws_sdk_s3::primitives::ByteStream;
use stockpipe_crds::worker_status::{RoleStatus, TeardownStatus, WorkerState};
use stockpipe_workers::aws::Clients;
use stockpipe_workers::context::Context;
use stockpipe_workers::kafka::admin;
use stockpipe_workers::ledger::{Ledger, Owner, TopicRecord};
use stockpipe_workers::provision;
use stockpipe_workers::service::ServiceError;
use stockpipe_workers::store::Store;
use stockpipe_workers::teardown;

use crate::cloud::Cloud;
use crate::topic;

const BUCKET: &str = "it-lake";

/// A pipeline with these policies for topic and lake, and two reports.
fn pipeline(name: &str, topic: &str, lake: &str) -> String {
    format!(
        "
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {{name: {name}}}
spec:
  lake: {{bucket: {BUCKET}, deletionPolicy: {lake}}}
  kafka: {{topic: {{partitions: 2, deletionPolicy: {topic}}}}}
  reports:
    - {{name: small, sql: {{query: 'SELECT 1'}}, interval: Session, maxScannedBytes: 10Mi}}
    - {{name: large, sql: {{query: 'SELECT 1'}}, interval: Session, maxScannedBytes: 1Gi}}
"
    )
}

/// Provisions, and leaves behind what a pipeline that ran does; the lake's id.
async fn made(cloud: &Cloud, yaml: &str) -> String {
    let context = cloud.context(yaml, "provision");
    provision::run(&context).await.unwrap();
    let RoleStatus::Provision(status) = context.status.snapshot().unwrap().role else {
        panic!("provision says what it did");
    };
    let lake_id = status.lake_id.unwrap();
    let clients = cloud.clients().await;
    let prefix = &context.pipeline.lake.prefix;
    for key in [
        format!("{prefix}/dt=2026-11-20/hour=15/a.parquet"),
        format!("{prefix}/dt=2026-11-20/hour=16/b.parquet"),
        format!("_stockpipe/{lake_id}/ledger/t/0/genesis.json"),
        format!("_stockpipe/{lake_id}/runs/report/small@2026-11-20/0.json"),
        format!("_stockpipe/{lake_id}/athena/1.csv"),
    ] {
        put(&clients, &key).await;
    }
    let upload = clients.s3.create_multipart_upload().bucket(BUCKET);
    upload
        .key(format!("{prefix}/dt=2026-11-20/hour=17/c.parquet"))
        .send()
        .await
        .unwrap();
    for hour in 0..30 {
        let partition = PartitionInput::builder()
            .values("2026-11-20")
            .values(format!("{hour:02}"))
            .storage_descriptor(StorageDescriptor::builder().build())
            .build();
        let call = clients.glue.create_partition().database_name("stockpipe");
        call.table_name(&context.pipeline.catalog.table)
            .partition_input(partition)
            .send()
            .await
            .unwrap();
    }
    lake_id
}

async fn put(clients: &Clients, key: &str) {
    let call = clients.s3.put_object().bucket(BUCKET).key(key);
    call.body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
}

async fn torn_down(context: &Context) -> TeardownStatus {
    let status = teardown::run(context).await.unwrap();
    let shown = context.status.snapshot().unwrap();
    assert_eq!(shown.state, WorkerState::Done);
    assert_eq!(shown.role, RoleStatus::Teardown(status.clone()));
    status
}

/// Keys of the bucket, and uploads to it; `None` where there is no bucket.
async fn keys(clients: &Clients) -> Option<Vec<String>> {
    let listed = clients.s3.list_objects_v2().bucket(BUCKET).send().await;
    let objects = listed.ok()?;
    let uploads = clients.s3.list_multipart_uploads().bucket(BUCKET);
    let uploads = uploads.send().await.unwrap();
    let objects = objects.contents().iter().filter_map(|o| o.key());
    let uploads = uploads.uploads().iter().filter_map(|u| u.key());
    Some(objects.chain(uploads).map(ToOwned::to_owned).collect())
}

async fn tables(clients: &Clients) -> Option<Vec<String>> {
    let call = clients.glue.get_tables().database_name("stockpipe");
    let found = call.send().await.ok()?;
    let names = found.table_list().iter().map(|t| t.name().to_owned());
    Some(names.collect())
}

async fn workgroups(clients: &Clients) -> Vec<String> {
    let found = clients.athena.list_work_groups().send().await.unwrap();
    let names = found.work_groups().iter().filter_map(|g| g.name());
    names
        .filter(|name| name.starts_with("stockpipe-"))
        .map(ToOwned::to_owned)
        .collect()
}

async fn topic_is_there(cloud: &Cloud, topic: &str) -> bool {
    match admin::topic_id(&cloud.bootstrap(), topic).await {
        Ok(_) => true,
        Err(admin::AdminError::NoTopic { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn assert_all_gone(cloud: &Cloud) {
    let clients = cloud.clients().await;
    assert_eq!(keys(&clients).await, None);
    assert_eq!(tables(&clients).await, None);
    assert!(workgroups(&clients).await.is_empty());
    assert!(!topic_is_there(cloud, "us.ticks").await);
}

/// Whether `told` has exactly these phrases, each known by its beginning.
fn assert_told(told: &[String], beginnings: &[&str]) {
    assert_eq!(told.len(), beginnings.len(), "{told:?}");
    for (phrase, beginning) in told.iter().zip(beginnings) {
        assert!(phrase.starts_with(beginning), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_made_goes_and_the_pipeline_can_be_made_again() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "Delete", "Delete");
    let first = made(&cloud, &yaml).await;
    let context = cloud.context(&yaml, "teardown");
    let status = torn_down(&context).await;
    assert_told(&status.stayed, &[]);
    assert_told(
        &status.deleted,
        &[
            "topic us.ticks",
            "Athena workgroup stockpipe-us-",
            "Athena workgroup stockpipe-us-",
            "Glue table stockpipe.us_ticks with 30 partitions",
            "Glue database stockpipe",
            "2 objects and 1 unfinished uploads of s3://it-lake/us/ticks/",
            "4 objects of its ledger and its reports",
            "bucket it-lake",
        ],
    );
    assert_all_gone(&cloud).await;
    assert_eq!(torn_down(&context).await, TeardownStatus::default());

    let second = made(&cloud, &yaml).await;
    assert_ne!(first, second);
    torn_down(&context).await;
    assert_all_gone(&cloud).await;
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_pipeline_has_stays_and_is_told() {
    let cloud = Cloud::start().await;
    let other = made(&cloud, &pipeline("eu", "Retain", "Retain")).await;
    let yaml = pipeline("us", "Delete", "Delete");
    made(&cloud, &yaml).await;
    let clients = cloud.clients().await;
    let mut before = keys(&clients).await.unwrap();
    before.retain(|key| {
        key.starts_with("eu/") || key.contains(&other) || key.ends_with("eu/ticks.json")
    });

    let status = torn_down(&cloud.context(&yaml, "teardown")).await;
    assert_told(
        &status.stayed,
        &[
            "Glue database stockpipe, which was not made for this pipeline",
            "bucket it-lake, which was not made for this pipeline",
        ],
    );
    assert_eq!(keys(&clients).await.unwrap(), before);
    assert_eq!(tables(&clients).await.unwrap(), ["eu_ticks"]);
    assert_eq!(workgroups(&clients).await.len(), 2);
    assert!(topic_is_there(&cloud, "eu.ticks").await);
    assert!(!topic_is_there(&cloud, "us.ticks").await);

    // Whoever made bucket and database leaves them, too, while another uses them.
    made(&cloud, &yaml).await;
    let status = torn_down(&cloud.context(&pipeline("eu", "Delete", "Delete"), "teardown")).await;
    assert_told(
        &status.stayed,
        &[
            "Glue database stockpipe, which has other tables",
            "bucket it-lake, which has other objects",
        ],
    );
    assert_eq!(tables(&clients).await.unwrap(), ["us_ticks"]);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_another_is_refused_and_nothing_is_deleted() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "Delete", "Delete");
    made(&cloud, &yaml).await;
    let clients = cloud.clients().await;
    let before = keys(&clients).await;
    let mut context = cloud.context(&yaml, "teardown");
    context.cluster_id = "elsewhere".to_owned();
    let error = teardown::run(&context).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "prefix `us/ticks` of bucket `it-lake` belongs to pipeline `it/default/us`, this one is \
         `elsewhere/default/us`: nothing was deleted"
    );
    assert!(matches!(error, ServiceError::Refused(_)));
    assert_eq!(keys(&clients).await, before);
    assert_eq!(tables(&clients).await.unwrap(), ["us_ticks"]);
    assert_eq!(workgroups(&clients).await.len(), 2);
    assert!(topic_is_there(&cloud, "us.ticks").await);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_stays() {
    let cloud = Cloud::start().await;
    let clients = cloud.clients().await;
    clients
        .s3
        .create_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    topic::create(&cloud.bootstrap(), "us.ticks", 2).await;
    let yaml = pipeline("us", "Delete", "Delete");
    made(&cloud, &yaml).await;
    let status = torn_down(&cloud.context(&yaml, "teardown")).await;
    assert_told(
        &status.stayed,
        &[
            "topic us.ticks, which was not made for this pipeline",
            "bucket it-lake, which was not made for this pipeline",
        ],
    );
    assert!(topic_is_there(&cloud, "us.ticks").await);
    assert_eq!(keys(&clients).await, Some(Vec::new()));
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_retain_or_without_management_nothing_is_deleted() {
    let cloud = Cloud::start().await;
    let retained = pipeline("us", "Retain", "Retain");
    made(&cloud, &retained).await;
    let verified = format!(
        "{}  provisioning: Verify\n",
        pipeline("us", "Delete", "Delete")
    );
    let before = keys(&cloud.clients().await).await;
    for (yaml, stays) in [
        (
            retained,
            vec!["topic us.ticks", "s3://it-lake/us/ticks/ and its table"],
        ),
        (verified, vec!["everything"]),
    ] {
        let status = torn_down(&cloud.context(&yaml, "teardown")).await;
        assert_told(&status.deleted, &[]);
        assert_told(&status.stayed, &stays);
    }
    assert_eq!(keys(&cloud.clients().await).await, before);
    assert!(topic_is_there(&cloud, "us.ticks").await);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_teardown_deleted_is_followed_by_the_next_without_a_repair() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "Delete", "Retain");
    let lake_id = made(&cloud, &yaml).await;
    let ledger = Ledger::open(Store::new(cloud.clients().await.s3, BUCKET), &lake_id);
    let bootstrap = cloud.bootstrap();
    let landed = admin::topic_id(&bootstrap, "us.ticks").await.unwrap();
    ledger.accept_topic(landed, 2).await.unwrap();

    let status = torn_down(&cloud.context(&yaml, "teardown")).await;
    assert_told(&status.deleted, &["topic us.ticks"]);
    assert_told(&status.stayed, &["s3://it-lake/us/ticks/ and its table"]);
    provision::run(&cloud.context(&yaml, "provision"))
        .await
        .unwrap();
    let next = admin::topic_id(&bootstrap, "us.ticks").await.unwrap();
    assert_ne!(landed, next);
    assert_eq!(ledger.first_partitions(next).await.unwrap(), Some(2));

    // Whoever deletes a topic by hand decides that by hand, too.
    topic::delete(&bootstrap, "us.ticks").await;
    provision::run(&cloud.context(&yaml, "provision"))
        .await
        .unwrap();
    let third = admin::topic_id(&bootstrap, "us.ticks").await.unwrap();
    assert_eq!(ledger.first_partitions(third).await.unwrap(), None);
    assert_eq!(
        TopicRecord::read(ledger.store(), &lake_id).await.unwrap(),
        Some(TopicRecord::Made { topic_id: third })
    );

    // Somebody's own topic in its place follows, and is not ours.
    torn_down(&cloud.context(&yaml, "teardown")).await;
    topic::create(&bootstrap, "us.ticks", 2).await;
    provision::run(&cloud.context(&yaml, "provision"))
        .await
        .unwrap();
    let own = admin::topic_id(&bootstrap, "us.ticks").await.unwrap();
    assert_eq!(ledger.first_partitions(own).await.unwrap(), Some(2));
    let status = torn_down(&cloud.context(&yaml, "teardown")).await;
    assert_told(&status.deleted, &[]);
    assert!(topic_is_there(&cloud, "us.ticks").await);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provisioning_that_broke_off_after_it_made_the_topic_knows_it_again() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "Delete", "Delete");
    let lake_id = made(&cloud, &yaml).await;
    let store = Store::new(cloud.clients().await.s3, BUCKET);
    let making = TopicRecord::Making { follows: false };
    TopicRecord::replace(&store, &lake_id, Some(making))
        .await
        .unwrap();
    provision::run(&cloud.context(&yaml, "provision"))
        .await
        .unwrap();
    let topic_id = admin::topic_id(&cloud.bootstrap(), "us.ticks")
        .await
        .unwrap();
    assert_eq!(
        TopicRecord::read(&store, &lake_id).await.unwrap(),
        Some(TopicRecord::Made { topic_id })
    );
    // A teardown of that moment knows it, too.
    TopicRecord::replace(&store, &lake_id, Some(making))
        .await
        .unwrap();
    torn_down(&cloud.context(&yaml, "teardown")).await;
    assert_all_gone(&cloud).await;
    cloud.stop().await;
}

/// `future`, dropped when it was polled so often without an end, as a kill would end it.
async fn broken_off<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_anywhere_it_is_finished_by_the_next() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "Delete", "Delete");
    made(&cloud, &yaml).await;
    let context = cloud.context(&yaml, "teardown");
    let mut polls = 1;
    let mut tries = 0;
    while broken_off(teardown::run(&context), polls).await.is_none() {
        tries += 1;
        polls += 1;
        // The prefix stays owned until nothing is found by it any more.
        let clients = cloud.clients().await;
        if let Some(keys) = keys(&clients).await {
            let owned = keys.iter().any(|key| *key == Owner::key("us/ticks"));
            assert!(owned || keys.is_empty(), "after {tries} tries: {keys:?}");
        }
    }
    assert!(tries > 10, "{tries} tries");
    assert_all_gone(&cloud).await;
    cloud.stop().await;
}
