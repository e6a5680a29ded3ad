//! An API server that fails does no harm but delay.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use stockpipe_operator::child_kind::ChildKind;

use crate::bed::{Bed, bed, smallest, until};
use crate::proxy::Proxy;

/// Decides what fails.
const SEED: u64 = 20_261_120;
const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

fn spec(name: &str) -> Value {
    let mut spec = smallest(name);
    spec["reports"] = json!([
        {"name": "daily", "builtin": "daily-ohlcv", "schedule": {"cron": "0 0 1 1 *"}}
    ]);
    spec
}

/// Lets the provision pods of every pipeline end well, again and again: a Job
/// may be made late.
async fn finish_provision(bed: &Bed) {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = bed.api();
    let of_role = ListParams::default().labels("app.kubernetes.io/component=provision");
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    until("every pipeline's provision has ended", || async {
        let list = pods.list(&of_role).await.ok()?;
        for pod in &list.items {
            pods.patch_status(&pod.name_any(), &PatchParams::default(), &ended)
                .await
                .ok()?;
        }
        (list.items.len() >= NAMES.len()).then_some(())
    })
    .await;
}

/// Every child of a kind that is written, as `Kind name`; hashes are left out,
/// because they follow UIDs.
async fn children(bed: &Bed) -> BTreeSet<String> {
    let mut children = BTreeSet::new();
    for kind in ChildKind::WRITTEN {
        if ChildKind::OPTIONAL.contains(&kind) {
            continue;
        }
        let api: Api<DynamicObject> =
            Api::namespaced_with(bed.client.clone(), &bed.namespace, &kind.resource());
        let ours = ListParams::default().labels("stockpipe.dev/pipeline");
        for child in api.list(&ours).await.unwrap() {
            let name = child.name_any();
            let plain = match name.rsplit_once('-') {
                Some((plain, hash))
                    if matches!(kind, ChildKind::ConfigMap | ChildKind::Job)
                        && hash.len() == 10 =>
                {
                    plain
                }
                _ => &name,
            };
            let new = children.insert(format!("{} {plain}", kind.as_str()));
            // A file of the last rollout stays as long as its ReplicaSet.
            assert!(
                new || kind == ChildKind::ConfigMap,
                "{} {name} is there twice",
                kind.as_str()
            );
        }
    }
    children
}

async fn until_observed(bed: &Bed, name: &str) {
    until(&format!("{name} is reconciled"), || async {
        let pipeline = bed.pipelines().get(name).await.ok()?;
        let status = pipeline.status?;
        let ready = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Ready")?;
        let settled = status.observed_generation == pipeline.metadata.generation
            && matches!(ready.reason.as_str(), "RollingOut" | "Suspended");
        settled.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_api_server_delays_what_is_wanted_and_doubles_nothing() {
    let mut bed = bed!("faults");
    let proxy = Proxy::start(bed.client.clone(), SEED).await;
    bed.call_through(proxy.address);
    let operator = bed.start_kept_alive();
    for name in NAMES {
        bed.apply(name, spec(name)).await;
    }
    finish_provision(&bed).await;
    for name in NAMES {
        until_observed(&bed, name).await;
    }

    // While it fails: a run by hand, an edit, a suspension, and a deletion.
    bed.annotate(
        "first",
        "stockpipe.dev/run-now",
        "report/daily@2026-11-20#1",
    )
    .await;
    let sooner = Patch::Merge(json!({"spec": {"lake": {"roll": {"maxAge": "30s"}}}}));
    let suspended = Patch::Merge(json!({"spec": {"suspend": true}}));
    let parameters = PatchParams::default();
    let pipelines = bed.pipelines();
    pipelines
        .patch("second", &parameters, &sooner)
        .await
        .unwrap();
    pipelines
        .patch("third", &parameters, &suspended)
        .await
        .unwrap();
    pipelines
        .delete("fourth", &DeleteParams::background())
        .await
        .unwrap();
    let landers: Api<Deployment> = bed.api();
    landers
        .delete("first-land", &DeleteParams::background())
        .await
        .unwrap();
    until("the run by hand is handled", || async {
        let status = pipelines.get("first").await.ok()?.status?;
        (status.last_handled_run_now? == "report/daily@2026-11-20#1").then_some(())
    })
    .await;
    until("the lander is back", || async {
        let lander = landers.get("first-land").await.ok()?;
        lander.metadata.deletion_timestamp.is_none().then_some(())
    })
    .await;
    until_observed(&bed, "second").await;

    proxy.heal();
    for name in &NAMES[..3] {
        until_observed(&bed, name).await;
    }
    let faults = proxy.faults();
    for fault in [
        "refused 409",
        "refused 429",
        "refused 500",
        "refused 503",
        "lost 500",
        "lost 503",
        "watch cut",
    ] {
        assert!(
            faults.contains_key(fault),
            "nothing was {fault}: {faults:?}"
        );
    }

    // Nothing twice: neither by name, nor one after the other. But of the pipeline that is deleted: while a cut watch
    // has yet to tell of its deletion, a Job that the garbage collector has taken may be made once more.
    let twice: Vec<_> = proxy
        .made()
        .into_iter()
        .filter(|(made, times)| made.starts_with("jobs/") && *times > 1)
        .filter(|(made, _)| !made.starts_with("jobs/fourth-"))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
    let expected: BTreeSet<String> = ["first", "second", "third"]
        .into_iter()
        .flat_map(due)
        .chain(["Job first-run".to_owned()])
        .collect();
    until("all of it is as it would be without faults", || async {
        let found = children(&bed).await;
        // Of the pipeline that was deleted, the garbage collector takes the rest.
        (found == expected).then_some(())
    })
    .await;
    let jobs: Api<Job> = bed.api();
    let runs = ListParams::default().labels("app.kubernetes.io/component=report");
    assert_eq!(jobs.list(&runs).await.unwrap().items.len(), 1);

    // An operator that saw none of the faults has nothing to write.
    drop(operator);
    bed.call_directly();
    let fresh = bed.start();
    until("the new one has reconciled", || async {
        let operator = bed.running(fresh);
        (operator.count("stockpipe_operator_reconcile_seconds_count") >= 3.0).then_some(())
    })
    .await;
    let fresh = bed.running(fresh);
    // A status follows its pods, which controllers may still be at.
    let writes = fresh.count("stockpipe_operator_writes_total")
        - fresh.count("stockpipe_operator_writes_total{kind=\"StockPipeline\"");
    assert_eq!(writes, 0.0, "{}", fresh.get("/metrics").1);
}

/// Every child that a pipeline has once it is provisioned.
fn due(name: &str) -> Vec<String> {
    [
        "ServiceAccount {}",
        "NetworkPolicy {}",
        "ConfigMap {}-provision",
        "ConfigMap {}-produce",
        "ConfigMap {}-land",
        "ConfigMap {}-analyze",
        "ConfigMap {}-report-daily",
        "Service {}-produce",
        "Service {}-page",
        "PodDisruptionBudget {}-produce",
        "PodDisruptionBudget {}-land",
        "Job {}-provision",
        "StatefulSet {}-produce",
        "Deployment {}-land",
        "Deployment {}-analyze",
        "CronJob {}-report-daily",
    ]
    .iter()
    .map(|text| text.replace("{}", name))
    .collect()
}
