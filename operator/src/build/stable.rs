//! What runs stays as it is when the operator is upgraded: the pods of a pipeline that nobody changed are those of
//! `operator/tests/golden/pods.yaml`.

use std::path::Path;

use super::samples::{Sample, blueprint};
use crate::child_kind::ChildKind;

/// With little, and with what a pod is made of.
const PIPELINES: [&str; 2] = [
    r"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: small, namespace: market}
spec:
  kafka: {bootstrapServers: 'kafka:9092'}
  lake: {bucket: acme}
",
    r"
apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: large, namespace: market}
spec:
  market: {calendar: XNYS, symbols: [AAPL, MSFT]}
  source:
    live: {preset: alpaca, credentialsSecretRef: {name: feed}}
  kafka: {bootstrapServers: 'kafka:9092', topic: {partitions: 6}}
  producer:
    resources: {limits: {memory: 256Mi}}
    template: {labels: {team: market}, env: [{name: A, value: b}]}
  consumer: {replicas: 2, memoryBudget: 128Mi}
  lake: {bucket: acme, format: Json, partitionBy: Hour}
  aws:
    credentialsSecretRef: {name: keys}
    endpoints: {s3: 'http://minio:9000', glue: 'http://glue:5000', athena: 'http://glue:5000'}
",
];

#[test]
fn an_upgrade_of_the_operator_changes_no_pod() {
    let mut pods = String::new();
    for text in PIPELINES {
        let sample = Sample::written(text);
        for object in super::build(&blueprint(&sample)).iter() {
            let runs = matches!(
                object.kind,
                ChildKind::StatefulSet | ChildKind::Deployment | ChildKind::Job
            );
            if let Some(template) = object.object.pointer("/spec/template").filter(|_| runs) {
                let template = serde_norway::to_string(template).unwrap();
                pods += &format!(
                    "# {} {}\n---\n{template}",
                    object.kind.as_str(),
                    object.name
                );
            }
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pods.yaml");
    if std::env::var_os("STOCKPIPE_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &pods).unwrap();
    }
    let known = std::fs::read_to_string(&golden).unwrap_or_default();
    let differs = known.lines().zip(pods.lines()).find(|(a, b)| a != b);
    assert!(
        known == pods,
        "every pipeline's workers would be restarted by an upgrade of the operator: {differs:?}. Where that cannot be \
         helped, say it in CHANGELOG.md, and run this test once with STOCKPIPE_WRITE_GOLDEN=1"
    );
}
