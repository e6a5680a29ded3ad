//! Children come, stay as they should be, and go.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;
use stockpipe_operator::child_kind::ChildKind;

use crate::bed::{Bed, bed, smallest, until};

/// Kinds of children that are written and never end.
const LASTING: [ChildKind; 8] = [
    ChildKind::ConfigMap,
    ChildKind::ServiceAccount,
    ChildKind::NetworkPolicy,
    ChildKind::Service,
    ChildKind::PodDisruptionBudget,
    ChildKind::StatefulSet,
    ChildKind::Deployment,
    ChildKind::CronJob,
];

fn of_kind(bed: &Bed, kind: ChildKind) -> Api<DynamicObject> {
    Api::namespaced_with(bed.client.clone(), &bed.namespace, &kind.resource())
}

async fn list(bed: &Bed, kind: ChildKind) -> Vec<DynamicObject> {
    let ours = ListParams::default().labels("stockpipe.dev/pipeline=demo");
    of_kind(bed, kind).list(&ours).await.unwrap().items
}

/// The version of every lasting child.
async fn versions(bed: &Bed) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for kind in LASTING {
        for child in list(bed, kind).await {
            let spec = child.data.get("spec").map(ToString::to_string);
            // A status may change: its version is not ours.
            let version = spec.unwrap_or_else(|| child.resource_version().unwrap_or_default());
            versions.insert(format!("{} {}", kind.as_str(), child.name_any()), version);
        }
    }
    versions
}

/// A pipeline with a report, whose provision has ended well.
async fn provisioned(bed: &Bed) {
    let mut spec = smallest("children");
    spec["reports"] = json!([
        {"name": "daily", "builtin": "daily-ohlcv", "schedule": {"cron": "30 16 * * 1-5"}}
    ]);
    bed.apply("demo", spec).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Provisioned", "Provisioned").await;
    bed.until_reason("demo", "Ready", "RollingOut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_wait_for_provision_and_every_child_is_owned() {
    let mut bed = bed!("children");
    bed.start();
    bed.apply("demo", smallest("waiting")).await;
    bed.until_reason("demo", "Landing", "WaitingForProvision")
        .await;
    assert!(list(&bed, ChildKind::Deployment).await.is_empty());
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Ready", "RollingOut").await;
    let names = |items: Vec<DynamicObject>| -> Vec<String> {
        items.iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(
        names(list(&bed, ChildKind::StatefulSet).await),
        ["demo-produce"]
    );
    assert_eq!(
        names(list(&bed, ChildKind::Deployment).await),
        ["demo-analyze", "demo-land"]
    );
    assert_eq!(
        names(list(&bed, ChildKind::Service).await),
        ["demo-page", "demo-produce"]
    );
    let uid = bed.pipelines().get("demo").await.unwrap().uid().unwrap();
    for kind in LASTING {
        for child in list(&bed, kind).await {
            let owner = &child.owner_references()[0];
            assert_eq!(
                (owner.uid.as_str(), owner.controller),
                (uid.as_str(), Some(true))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_or_deleted_by_hand_comes_back_and_what_is_someones_stays() {
    let mut bed = bed!("drift");
    bed.start();
    provisioned(&bed).await;
    let before = versions(&bed).await;
    for kind in LASTING {
        let api = of_kind(&bed, kind);
        for child in list(&bed, kind).await {
            let name = child.name_any();
            let edit = json!({"metadata": {"labels": {
                "app.kubernetes.io/instance": "wrong", "example.com/mine": "yes"
            }}});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&edit))
                .await
                .unwrap();
            until(
                &format!("{} {name} is as it was", kind.as_str()),
                || async {
                    let labels = api.get(&name).await.ok()?.metadata.labels?;
                    let restored = labels.get("app.kubernetes.io/instance")? == "demo";
                    let kept = labels.get("example.com/mine")? == "yes";
                    (restored && kept).then_some(())
                },
            )
            .await;
            api.delete(&name, &DeleteParams::background())
                .await
                .unwrap();
            until(&format!("{} {name} is back", kind.as_str()), || async {
                let found = api.get(&name).await.ok()?;
                (found.uid() != child.uid()).then_some(())
            })
            .await;
        }
    }
    let landers: Api<Deployment> = bed.api();
    let scaled = json!({"spec": {"replicas": 5}});
    landers
        .patch("demo-land", &PatchParams::default(), &Patch::Merge(&scaled))
        .await
        .unwrap();
    until("the landers are scaled back", || async {
        let spec = landers.get("demo-land").await.ok()?.spec?;
        (spec.replicas == Some(1)).then_some(())
    })
    .await;
    let after = versions(&bed).await;
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_when_nothing_changed_not_even_after_a_restart() {
    let mut bed = bed!("idle");
    bed.start();
    provisioned(&bed).await;
    until("its status tells of the pods that are there", || async {
        let status = bed.pipelines().get("demo").await.ok()?.status?;
        (status.consumer?.replicas == 1 && status.producer?.replicas == 1).then_some(())
    })
    .await;
    let before = versions(&bed).await;
    let status = bed
        .pipelines()
        .get("demo")
        .await
        .unwrap()
        .resource_version();
    bed.take(0).terminate();
    let restarted = bed.start();
    until("the new one has reconciled", || async {
        let count = bed
            .running(restarted)
            .count("stockpipe_operator_reconcile_seconds_count");
        (count >= 1.0).then_some(())
    })
    .await;
    // Asks for reconciles, each of which must be one without a write.
    for round in 0..5 {
        bed.annotate("demo", "example.com/round", &round.to_string())
            .await;
        let reached = f64::from(round) + 2.0;
        until("it is reconciled again", || async {
            let count = bed
                .running(restarted)
                .count("stockpipe_operator_reconcile_seconds_count");
            (count >= reached).then_some(())
        })
        .await;
    }
    let operator = bed.running(restarted);
    assert_eq!(
        operator.count("stockpipe_operator_writes_total"),
        0.0,
        "{}",
        operator.get("/metrics").1
    );
    assert_eq!(versions(&bed).await, before);
    assert_ne!(
        bed.pipelines()
            .get("demo")
            .await
            .unwrap()
            .resource_version(),
        status,
        "the annotations are there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_touches_only_the_children_that_read_it() {
    let mut bed = bed!("edits");
    bed.start();
    provisioned(&bed).await;
    let before = versions(&bed).await;
    let edit = json!({"spec": {"reports": [{
        "name": "daily", "builtin": "daily-ohlcv", "schedule": {"cron": "45 16 * * 1-5"}
    }]}});
    let patch = Patch::Merge(&edit);
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let cron_jobs: Api<CronJob> = bed.api();
    until("the schedule is the new one", || async {
        let spec = cron_jobs.get("demo-report-daily").await.ok()?.spec;
        (spec.schedule == "45 16 * * 1-5").then_some(())
    })
    .await;
    let changed: Vec<String> = versions(&bed)
        .await
        .into_iter()
        .filter(|(name, version)| before.get(name).is_some_and(|before| before != version))
        .map(|(name, _)| name)
        .collect();
    // The page shows schedules.
    assert_eq!(
        changed,
        ["CronJob demo-report-daily", "Deployment demo-analyze"]
    );
    // A report that is no longer wanted goes, with its file.
    let none = json!({"spec": {"reports": []}});
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &Patch::Merge(&none))
        .await
        .unwrap();
    until("its schedule and file are gone", || async {
        let left = cron_jobs
            .list(&ListParams::default())
            .await
            .ok()?
            .items
            .len();
        let files: Api<ConfigMap> = bed.api();
        let files = files.list(&ListParams::default()).await.ok()?;
        let file = files
            .iter()
            .any(|file| file.name_any().starts_with("demo-report-"));
        (left == 0 && !file).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_freezes_applying_and_suspending_stops_workers() {
    let mut bed = bed!("pause");
    bed.start();
    provisioned(&bed).await;
    bed.annotate("demo", "stockpipe.dev/pause-reconcile", "true")
        .await;
    bed.until_reason("demo", "Paused", "PausedByAnnotation")
        .await;
    let accounts: Api<ServiceAccount> = bed.api();
    accounts
        .delete("demo", &DeleteParams::default())
        .await
        .unwrap();
    let suspend =
        json!({"spec": {"suspend": true}, "metadata": {"annotations": {"example.com/x": "1"}}});
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &Patch::Merge(&suspend))
        .await
        .unwrap();
    until("the pause has seen the new spec", || async {
        let pipeline = bed.pipelines().get("demo").await.ok()?;
        let observed = pipeline.status?.observed_generation;
        (observed == pipeline.metadata.generation).then_some(())
    })
    .await;
    assert!(accounts.get_opt("demo").await.unwrap().is_none());
    bed.annotate("demo", "stockpipe.dev/pause-reconcile", "false")
        .await;
    let producers: Api<StatefulSet> = bed.api();
    until("producers are stopped", || async {
        let spec = producers.get("demo-produce").await.ok()?.spec?;
        (spec.replicas == Some(0)).then_some(())
    })
    .await;
    bed.until_reason("demo", "Ready", "Suspended").await;
    assert!(accounts.get_opt("demo").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pipeline_on_the_same_topic_is_told_whose_it_is() {
    let mut bed = bed!("taken");
    bed.start();
    bed.apply("older", smallest("taken")).await;
    bed.until_reason("older", "Provisioned", "Provisioning")
        .await;
    let made = bed
        .pipelines()
        .get("older")
        .await
        .unwrap()
        .creation_timestamp()
        .unwrap()
        .0;
    until(
        "the second is over: ages are told in whole ones",
        || async { (jiff::Timestamp::now().as_second() > made.as_second()).then_some(()) },
    )
    .await;
    let mut spec = smallest("taken");
    spec["kafka"]["topic"] = json!({"name": "older.ticks"});
    bed.apply("younger", spec).await;
    bed.until_reason("younger", "Ready", "AlreadyUsed").await;
    let services: Api<Service> = bed.api();
    let policies: Api<NetworkPolicy> = bed.api();
    let budgets: Api<PodDisruptionBudget> = bed.api();
    assert!(
        services
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        budgets
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(policies.get_opt("younger").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_needs_is_made_where_its_operator_is() {
    let mut bed = bed!("monitored");
    bed.define_monitoring().await;
    bed.start();
    let mut spec = smallest("monitored");
    spec["monitoring"] = json!({"prometheus": {"podMonitor": true, "rules": true}});
    bed.apply("demo", spec).await;
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Monitored", "Applied").await;
    for kind in ChildKind::OPTIONAL {
        until(&format!("the {} is there", kind.as_str()), || async {
            (list(&bed, kind).await.len() == 1).then_some(())
        })
        .await;
    }
    let nothing = json!({"spec": {"monitoring": {"prometheus": null}}});
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &Patch::Merge(&nothing))
        .await
        .unwrap();
    for kind in ChildKind::OPTIONAL {
        until(&format!("the {} is gone", kind.as_str()), || async {
            list(&bed, kind).await.is_empty().then_some(())
        })
        .await;
    }
}
