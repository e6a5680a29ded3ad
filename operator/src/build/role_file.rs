//! The file that a worker reads: the pipeline, without what its role does not
//! read, so that a change of one role's part rolls no other's pods.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use stockpipe_crds::spec::catalog::{CatalogSpec, CrawlerSpec};
use stockpipe_crds::spec::kafka::{KafkaSpec, TopicSpec};
use stockpipe_crds::spec::lake::{LakeSpec, RollSpec};
use stockpipe_crds::spec::replay::ReplaySpec;
use stockpipe_crds::spec::report::{BuiltinReport, ReportSpec};
use stockpipe_crds::spec::{ProvisioningMode, StockPipelineSpec};
use stockpipe_crds::{StockPipeline, to_yaml};

use crate::labels::{CLUSTER_ID, Role};

/// The file of `role`, as YAML; of a report, only `report` is in it.
#[must_use]
pub fn text(
    resource: &StockPipeline,
    cluster_id: &str,
    role: Role,
    report: Option<&str>,
) -> String {
    let metadata = ObjectMeta {
        name: resource.metadata.name.clone(),
        namespace: resource.metadata.namespace.clone(),
        uid: resource.metadata.uid.clone(),
        annotations: Some(BTreeMap::from([(
            CLUSTER_ID.to_owned(),
            cluster_id.to_owned(),
        )])),
        ..ObjectMeta::default()
    };
    to_yaml(&StockPipeline {
        metadata,
        spec: spec(&resource.spec, role, report),
        status: None,
    })
}

/// `full` as far as `role` reads it; the rest is left at its defaults.
fn spec(full: &StockPipelineSpec, role: Role, report: Option<&str>) -> StockPipelineSpec {
    let mut aws = full.aws.clone();
    // The identity of the pod, not of the file.
    aws.roles = None;
    aws.role_arn = None;
    aws.service_account_name = None;
    let mut spec = StockPipelineSpec {
        suspend: false,
        version: None,
        market: Default::default(),
        source: Default::default(),
        kafka: topic_only(&full.kafka),
        producer: Default::default(),
        consumer: Default::default(),
        lake: place_only(&full.lake),
        catalog: CatalogSpec {
            crawler: None,
            ..full.catalog.clone()
        },
        transforms: None,
        reports: Vec::new(),
        monitoring: Default::default(),
        provisioning: ProvisioningMode::Manage,
        aws,
    };
    match role {
        Role::Provision => {
            spec.kafka.topic = TopicSpec {
                deletion_policy: spec.kafka.topic.deletion_policy,
                ..full.kafka.topic.clone()
            };
            spec.lake.abort_uploads_after = full.lake.abort_uploads_after.clone();
            spec.provisioning = full.provisioning;
            spec.reports = full.reports.iter().map(budget_only).collect();
            spec.catalog.crawler = full.catalog.crawler.clone().map(unscheduled);
        }
        Role::Crawl => {
            spec.catalog.crawler = full.catalog.crawler.clone().map(|crawler| CrawlerSpec {
                catch_up: None,
                ..crawler
            });
        }
        Role::Teardown => {
            spec.kafka.topic = full.kafka.topic.clone();
            spec.lake.deletion_policy = full.lake.deletion_policy;
            spec.provisioning = full.provisioning;
            spec.reports = full.reports.iter().map(budget_only).collect();
        }
        Role::Produce => {
            spec.market = full.market.clone();
            spec.source = full.source.clone();
            spec.catalog = Default::default();
            // It speaks to Kafka alone: no secret, no endpoint of AWS is its business, unless it replays files in S3.
            let replay = full.source.replay.as_ref();
            if !replay.is_some_and(ReplaySpec::reads_s3) {
                spec.aws = Default::default();
            }
        }
        Role::Land => {
            spec.kafka.group_protocol = full.kafka.group_protocol;
            let unread = spec.lake;
            spec.lake = LakeSpec {
                abort_uploads_after: unread.abort_uploads_after,
                deletion_policy: unread.deletion_policy,
                ..full.lake.clone()
            };
            spec.consumer.memory_budget = full.consumer.memory_budget.clone();
        }
        Role::Analyze => {
            spec.market = full.market.clone();
            spec.source = full.source.clone();
            spec.reports = full.reports.clone();
        }
        Role::Report => {
            spec.market = full.market.clone();
            spec.source = full.source.clone();
            spec.reports = full
                .reports
                .iter()
                .filter(|known| report == Some(known.name.as_str()))
                .cloned()
                .map(|report| ReportSpec {
                    catch_up: None,
                    ..report
                })
                .collect();
        }
    }
    spec
}

/// Kafka without what provision or the landers alone read.
fn topic_only(full: &KafkaSpec) -> KafkaSpec {
    let mut kafka = full.clone();
    kafka.group_protocol = KafkaSpec::default().group_protocol;
    kafka.topic = Default::default();
    kafka.topic.name.clone_from(&full.topic.name);
    kafka
}

/// The lake's place and layout, without how files are packed and rolled.
fn place_only(full: &LakeSpec) -> LakeSpec {
    let mut lake: LakeSpec = serde_json::from_value(serde_json::json!({"bucket": full.bucket}))
        .expect("every other field has a default");
    lake.prefix.clone_from(&full.prefix);
    lake.format = full.format;
    lake.partition_by = full.partition_by;
    lake.roll = RollSpec::default();
    lake
}

/// A crawler as Glue has it, which no schedule changes.
fn unscheduled(full: CrawlerSpec) -> CrawlerSpec {
    let plain: CrawlerSpec = serde_json::from_value(serde_json::json!({}))
        .expect("every field has a default or may be left out");
    CrawlerSpec {
        target: full.target,
        recrawl: full.recrawl,
        table_prefix: full.table_prefix,
        role_arn: full.role_arn,
        ..plain
    }
}

/// A report's name and budget, which its workgroup follows from.
fn budget_only(full: &ReportSpec) -> ReportSpec {
    let mut report: ReportSpec = serde_json::from_value(serde_json::json!({
        "name": full.name, "builtin": BuiltinReport::DailyOhlcv
    }))
    .expect("every other field has a default");
    report.max_scanned_bytes = full.max_scanned_bytes.clone();
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpipe_crds::Pipeline;
    use stockpipe_crds::spec::DeletionPolicy;
    use stockpipe_crds::spec::kafka::GroupProtocol;
    use stockpipe_crds::spec::lake::CompressionCodec;

    const FULL: &str = include_str!("../../../crds/tests/everything.yaml");

    fn full() -> StockPipeline {
        stockpipe_crds::load(FULL, "everything.yaml").unwrap()
    }

    /// The files that change with `edit`.
    fn changed(edit: impl Fn(&mut StockPipelineSpec)) -> Vec<String> {
        let before = full();
        let mut after = full();
        edit(&mut after.spec);
        let files = |resource: &StockPipeline| -> Vec<(String, String)> {
            Role::ALL
                .into_iter()
                .filter(|role| *role != Role::Report)
                .map(|role| (role.to_string(), text(resource, "c1", role, None)))
                .chain(["daily-ohlcv", "rates"].map(|report| {
                    let file = text(resource, "c1", Role::Report, Some(report));
                    (format!("report {report}"), file)
                }))
                .collect()
        };
        files(&before)
            .into_iter()
            .zip(files(&after))
            .filter(|(before, after)| before.1 != after.1)
            .map(|(before, _)| before.0)
            .collect()
    }

    #[test]
    fn a_file_holds_what_the_user_wrote_and_no_default() {
        // Its hash names a ConfigMap: a change of these lines rolls every producer when the operator is upgraded.
        let resource = stockpipe_crds::load(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: us, namespace: market}\n\
             spec:\n  market: {symbols: [AAPL]}\n  source: {simulated: {seed: 7}}\n  lake: {bucket: acme}\n",
            "us.yaml",
        )
        .unwrap();
        assert_eq!(
            text(&resource, "c1", Role::Produce, None),
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata:\n  annotations:\n    \
             stockpipe.dev/cluster-id: c1\n  name: us\n  namespace: market\nspec:\n  lake:\n    bucket: acme\n  \
             market:\n    symbols:\n    - AAPL\n  source:\n    simulated:\n      seed: 7\n"
        );
    }

    #[test]
    fn each_edit_changes_only_the_files_of_the_roles_that_read_it() {
        let text = |value: &str| value.parse().unwrap();
        for (what, files, edit) in [
            (
                "a report's SQL",
                &["analyze", "report rates"][..],
                Box::new(|spec: &mut StockPipelineSpec| {
                    let sql = spec.reports[1].sql.as_mut().unwrap();
                    sql.query = Some("SELECT 2".parse().unwrap());
                }) as Box<dyn Fn(&mut StockPipelineSpec)>,
            ),
            (
                "a report's budget",
                &["provision", "analyze", "teardown", "report rates"],
                Box::new(move |spec| {
                    spec.reports[1].max_scanned_bytes = "20Mi".parse().unwrap();
                }),
            ),
            (
                "when files are rolled",
                &["land"],
                Box::new(|spec| spec.lake.roll.max_age = "30s".parse().unwrap()),
            ),
            (
                "the topic's configuration",
                &["provision", "teardown"],
                Box::new(|spec| spec.kafka.topic.config.clear()),
            ),
            (
                "the producer's rate",
                &["produce", "analyze", "report daily-ohlcv", "report rates"],
                Box::new(|spec| {
                    spec.source.simulated.as_mut().unwrap().ticks_per_second = 7;
                }),
            ),
            (
                "when it crawls, for how long, and what of crawls that were missed",
                &["crawl"],
                Box::new(|spec| {
                    let crawler = spec.catalog.crawler.as_mut().unwrap();
                    crawler.schedule = None;
                    crawler.timeout = "2h".parse().unwrap();
                    crawler.catch_up = None;
                }),
            ),
            (
                "what the crawler makes",
                &["provision", "crawl"],
                Box::new(|spec| {
                    let crawler = spec.catalog.crawler.as_mut().unwrap();
                    crawler.table_prefix = Some("raw_".parse().unwrap());
                }),
            ),
            (
                "whether the topic is kept",
                &["teardown"],
                Box::new(|spec| spec.kafka.topic.deletion_policy = DeletionPolicy::Delete),
            ),
            (
                "how files are packed",
                &["land"],
                Box::new(|spec| spec.lake.compression = Some(CompressionCodec::Snappy)),
            ),
            (
                "how landers share the topic",
                &["land"],
                Box::new(|spec| spec.kafka.group_protocol = GroupProtocol::Classic),
            ),
            (
                "when the store drops unfinished uploads",
                &["provision"],
                Box::new(|spec| spec.lake.abort_uploads_after = "3d".parse().unwrap()),
            ),
            (
                "the landers' memory",
                &["land"],
                Box::new(|spec| spec.consumer.memory_budget = "512Mi".parse().unwrap()),
            ),
            (
                "identity, replicas, template, version and suspension",
                &[],
                Box::new(move |spec| {
                    spec.aws.roles = None;
                    spec.consumer.replicas = 3;
                    spec.consumer.template = None;
                    spec.version = Some(text("9.9.9"));
                    spec.suspend = true;
                }),
            ),
        ] {
            assert_eq!(changed(edit), files, "{what}");
        }
    }

    #[test]
    fn every_file_is_a_pipeline_that_its_worker_reads() {
        let resource = full();
        let all = Pipeline::from_yaml(FULL, "everything.yaml").unwrap();
        for role in Role::ALL {
            let report = (role == Role::Report).then_some("rates");
            let text = text(&resource, "c1", role, report);
            let read = Pipeline::from_yaml(&text, role.as_str())
                .unwrap_or_else(|error| panic!("{role}: {error}\n{text}"));
            assert_eq!(read.lake.prefix, all.lake.prefix, "{role}");
            assert_eq!(
                read.kafka.bootstrap_servers, all.kafka.bootstrap_servers,
                "{role}"
            );
            assert_eq!(read.kafka.topic.name, all.kafka.topic.name, "{role}");
            assert!(text.contains("stockpipe.dev/cluster-id: c1"), "{text}");
        }
    }

    #[test]
    fn a_lander_and_a_report_read_what_they_do() {
        let resource = full();
        let all = Pipeline::from_yaml(FULL, "everything.yaml").unwrap();
        let read = |role, report| {
            Pipeline::from_yaml(&text(&resource, "c1", role, report), "file").unwrap()
        };
        let land = read(Role::Land, None);
        assert_eq!(
            (land.lake, land.catalog.table, land.catalog.crawler),
            (all.lake.clone(), all.catalog.table.clone(), None)
        );
        let crawl = read(Role::Crawl, None).catalog.crawler.unwrap();
        let crawler = all.catalog.crawler.clone().unwrap();
        assert_eq!(
            (crawl.target, crawl.schedule),
            (crawler.target, crawler.schedule)
        );
        assert_eq!(land.consumer.memory_budget, all.consumer.memory_budget);
        let report = read(Role::Report, Some("rates"));
        assert_eq!(report.reports, all.reports[1..]);
        assert_eq!(
            (report.market, report.source),
            (all.market.clone(), all.source.clone())
        );
        let produce = read(Role::Produce, None);
        assert_eq!((produce.market, produce.source), (all.market, all.source));
    }
}
