//! Provisioning: made once, left alone the second time, refused where it is another's.

use stockpipe_crds::worker_status::{ProvisionStatus, RoleStatus, WorkerState};
use stockpipe_workers::context::Context;
use stockpipe_workers::provision;

use crate::cloud::Cloud;

const REPORTS: &str = "
  reports:
    - {name: daily-ohlcv, builtin: daily-ohlcv, interval: Session, maxScannedBytes: 1Gi}
    - {name: again, sql: {query: 'SELECT 1'}, interval: Session, maxScannedBytes: 1Gi}
    - {name: small, sql: {query: 'SELECT 1'}, interval: Session, maxScannedBytes: 10Mi}
";

fn pipeline(name: &str, prefix: &str, more: &str) -> String {
    format!(
        "
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {{name: {name}}}
spec:
  lake: {{bucket: it-lake, prefix: {prefix}}}{more}"
    )
}

async fn provisioned(context: &Context) -> (String, Vec<String>) {
    provision::run(context).await.unwrap();
    let status = told(context);
    (status.lake_id.unwrap(), status.changes)
}

fn told(context: &Context) -> ProvisionStatus {
    let status = context.status.snapshot().unwrap();
    assert_eq!(status.state, WorkerState::Done);
    match status.role {
        RoleStatus::Provision(status) => status,
        other => panic!("{other:?}"),
    }
}

async fn refusal(context: &Context) -> String {
    provision::run(context).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_time_everything_is_made_and_the_second_time_nothing() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "us/ticks", REPORTS);
    let (lake_id, made) = provisioned(&cloud.context(&yaml, "provision")).await;
    for (what, count) in [
        ("bucket it-lake", 1),
        ("s3://it-lake/us/ticks/ for this pipeline", 1),
        ("topic us.ticks", 1),
        ("Glue database stockpipe", 1),
        ("Glue table stockpipe.us_ticks", 1),
        ("Athena workgroup", 2),
    ] {
        let found = made.iter().filter(|m| m.contains(what)).count();
        assert_eq!(found, count, "{what} in {made:?}");
    }
    assert_eq!(
        provisioned(&cloud.context(&yaml, "provision")).await,
        (lake_id.clone(), vec![])
    );

    let clients = cloud.clients().await;
    let table = clients
        .glue
        .get_table()
        .database_name("stockpipe")
        .name("us_ticks")
        .send()
        .await
        .unwrap()
        .table
        .unwrap();
    let storage = table.storage_descriptor.unwrap();
    assert_eq!(storage.location.as_deref(), Some("s3://it-lake/us/ticks/"));
    assert_eq!(storage.columns.unwrap().len(), 31);
    let keys: Vec<_> = table
        .partition_keys
        .unwrap()
        .into_iter()
        .map(|k| k.name)
        .collect();
    assert_eq!(keys, ["dt", "hour"]);
    let group = clients
        .athena
        .get_work_group()
        .work_group(provision::workgroup_name("us", &lake_id, 10 << 20))
        .send()
        .await
        .unwrap();
    let configuration = group.work_group.unwrap().configuration.unwrap();
    assert_eq!(configuration.bytes_scanned_cutoff_per_query, Some(10 << 20));
    assert_eq!(
        configuration.result_configuration.unwrap().output_location,
        Some(format!("s3://it-lake/_stockpipe/{lake_id}/athena/"))
    );
    // The probe of conditional writes leaves nothing behind.
    let left = clients
        .s3
        .list_objects_v2()
        .bucket("it-lake")
        .send()
        .await
        .unwrap();
    let left: Vec<_> = left.contents().iter().filter_map(|o| o.key()).collect();
    let topic = format!("_stockpipe/{lake_id}/topic.json");
    assert_eq!(left, [topic.as_str(), "_stockpipe/owners/us/ticks.json"]);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_another_pipeline_or_nested_with_one_is_refused_naming_both() {
    let cloud = Cloud::start().await;
    provisioned(&cloud.context(&pipeline("first", "us/ticks", ""), "provision")).await;
    for (prefix, part) in [
        ("us/ticks", "belongs to pipeline `it/default/first`"),
        ("us", "contains `us/ticks`"),
        ("us/ticks/fast", "lies within `us/ticks`"),
    ] {
        let error = refusal(&cloud.context(&pipeline("second", prefix, ""), "provision")).await;
        for part in [part, "it/default/first", "it/default/second", "choose"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
    provisioned(&cloud.context(&pipeline("third", "us/ticks2", ""), "provision")).await;
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_grows_and_its_configuration_is_altered_but_it_never_shrinks() {
    let cloud = Cloud::start().await;
    let with = |topic: &str| {
        let yaml = pipeline("us", "us", &format!("\n  kafka: {{topic: {topic}}}\n"));
        cloud.context(&yaml, "provision")
    };
    provisioned(&with("{partitions: 2}")).await;
    let (_, changes) = provisioned(&with(
        "{partitions: 3, config: {retention.ms: \"86400000\"}}",
    ))
    .await;
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes[0].contains("grew from 2 to 3"), "{changes:?}");
    assert!(changes[1].contains("retention.ms"), "{changes:?}");
    let (_, changes) = provisioned(&with(
        "{partitions: 3, config: {retention.ms: \"86400000\"}}",
    ))
    .await;
    assert_eq!(changes, Vec::<String>::new());
    let error = refusal(&with("{partitions: 1}")).await;
    assert!(
        error.contains("a topic only grows; write topic.partitions: 3"),
        "{error}"
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_pipeline_is_refused() {
    let cloud = Cloud::start().await;
    let catalog = "\n  catalog: {database: market, table: ticks}\n";
    provisioned(&cloud.context(&pipeline("first", "one", catalog), "provision")).await;
    let error = refusal(&cloud.context(&pipeline("second", "two", catalog), "provision")).await;
    assert!(
        error.starts_with("Glue table `market.ticks` belongs to pipeline `it/default/first`"),
        "{error}"
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_makes_nothing_and_says_what_is_missing() {
    let cloud = Cloud::start().await;
    let yaml = pipeline("us", "us", "\n  provisioning: Verify\n");
    let error = refusal(&cloud.context(&yaml, "provision")).await;
    assert_eq!(
        error,
        "bucket `it-lake` does not exist and provisioning is Verify: make it, or write `provisioning: Manage`"
    );
    let buckets = cloud
        .clients()
        .await
        .s3
        .list_buckets()
        .send()
        .await
        .unwrap();
    assert!(buckets.buckets().is_empty());
    provisioned(&cloud.context(&pipeline("us", "us", ""), "provision")).await;
    let (_, changes) = provisioned(&cloud.context(&yaml, "provision")).await;
    assert!(changes.is_empty());
    let none = cloud.context(&yaml.replace("Verify", "None"), "provision");
    provision::run(&none).await.unwrap();
    assert_eq!(told(&none).lake_id, None);
    cloud.stop().await;
}
