//! The crawl: a schedule, runs by hand, and what came of the last one.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use stockpipe_crds::run_record::RunState;

use crate::bed::{Bed, bed, smallest, until};

const RUN: &str = "crawl/ticks@2026-11-20T1505Z#1";

async fn crawling(bed: &Bed) {
    let mut spec = smallest("crawls");
    spec["catalog"] = json!({"crawler": {
        "schedule": {"cron": "5 * * * *", "timeZone": "America/New_York"},
        "catchUp": {"policy": "Last"},
    }});
    bed.apply("demo", spec).await;
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Ready", "RollingOut").await;
}

/// Generations of the workloads.
async fn workloads(bed: &Bed) -> BTreeMap<String, Option<i64>> {
    let all = ListParams::default();
    let deployments: Api<Deployment> = bed.api();
    let stateful_sets: Api<StatefulSet> = bed.api();
    let mut found = BTreeMap::new();
    for item in deployments.list(&all).await.unwrap() {
        found.insert(item.name_any(), item.metadata.generation);
    }
    for item in stateful_sets.list(&all).await.unwrap() {
        found.insert(item.name_any(), item.metadata.generation);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_has_a_schedule_whose_changes_roll_no_worker() {
    let mut bed = bed!("crawl");
    bed.start();
    crawling(&bed).await;
    let cron_jobs: Api<CronJob> = bed.api();
    let spec = cron_jobs.get("demo-crawl").await.unwrap().spec;
    assert_eq!(spec.schedule, "5 * * * *");
    assert_eq!(spec.time_zone.as_deref(), Some("America/New_York"));
    let before = workloads(&bed).await;
    let edit = json!({"spec": {"catalog": {"crawler": {
        "schedule": {"cron": "35 * * * *", "suspend": true}, "timeout": "2h",
    }}}});
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &Patch::Merge(&edit))
        .await
        .unwrap();
    until("the schedule is the new one", || async {
        let spec = cron_jobs.get("demo-crawl").await.ok()?.spec;
        (spec.schedule == "35 * * * *" && spec.suspend == Some(true)).then_some(())
    })
    .await;
    assert_eq!(workloads(&bed).await, before);
    // A crawler that is no longer wanted has no schedule and no file.
    let none = json!({"spec": {"catalog": {"crawler": null}}});
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &Patch::Merge(&none))
        .await
        .unwrap();
    until("its schedule and file are gone", || async {
        let left = cron_jobs.get_opt("demo-crawl").await.ok()?;
        let files: Api<ConfigMap> = bed.api();
        let files = files.list(&ListParams::default()).await.ok()?;
        let file = files
            .iter()
            .any(|file| file.name_any().starts_with("demo-crawl-"));
        (left.is_none() && !file).then_some(())
    })
    .await;
    assert_eq!(workloads(&bed).await, before);
}

/// Ends the crawl's pod with these last words.
async fn end_the_crawl(bed: &Bed, code: i32, words: &Value) {
    let api: Api<Pod> = bed.api();
    let wanted = ListParams::default().labels("app.kubernetes.io/component=crawl");
    let name = until("a pod is made", || async {
        let pods = api.list(&wanted).await.ok()?;
        pods.items.into_iter().find_map(|pod| pod.metadata.name)
    })
    .await;
    let now = "2026-11-20T15:06:30Z";
    let patch = json!({"status": {
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{
            "name": "worker", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
            "state": {"terminated": {
                "exitCode": code, "startedAt": now, "finishedAt": now, "message": words.to_string(),
            }},
        }],
    }});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_by_hand_is_one_job_and_its_failure_is_told() {
    let mut bed = bed!("crawl-now");
    bed.start();
    crawling(&bed).await;
    bed.annotate("demo", "stockpipe.dev/run-now", RUN).await;
    let jobs: Api<Job> = bed.api();
    let wanted = ListParams::default().labels("app.kubernetes.io/component=crawl");
    let job = until("the Job is made", || async {
        jobs.list(&wanted).await.ok()?.items.into_iter().next()
    })
    .await;
    let spec = job.spec.unwrap();
    let args = spec.template.spec.unwrap().containers[0].args.clone();
    let args = args.unwrap();
    assert_eq!(args[0], "crawl");
    assert_eq!(args.last().map(String::as_str), Some(RUN));
    end_the_crawl(
        &bed,
        3,
        &json!({
            "runKey": "crawl/ticks@2026-11-20T1505Z", "attempt": 1, "state": "Failed", "owner": "host/1",
            "claimedAt": "2026-11-20T15:05:00Z", "finishedAt": "2026-11-20T15:06:30Z",
            "dataDate": "2026-11-20",
            "intervalStart": "2026-11-20T15:05:00Z", "intervalEnd": "2026-11-20T15:06:00Z",
            "crawl": {"crawler": "stockpipe-demo-1", "attached": true},
            "error": {"reason": "CrawlCancelled", "message": "crawler stockpipe-demo-1 was stopped before its end"},
        }),
    )
    .await;
    bed.until_reason("demo", "Cataloged", "CrawlFailed").await;
    let status = bed.pipelines().get("demo").await.unwrap().status.unwrap();
    let last = status.catalog.unwrap().last_crawl.unwrap();
    assert_eq!(last.state, RunState::Failed);
    assert_eq!(last.key.as_deref(), Some("crawl/ticks@2026-11-20T1505Z"));
    assert_eq!(last.time, "2026-11-20T15:06:30Z");
    let cataloged = status.conditions.iter().find(|c| c.type_ == "Cataloged");
    assert_eq!(
        cataloged.unwrap().message,
        "crawl/ticks@2026-11-20T1505Z failed: crawler stockpipe-demo-1 was stopped before its end"
    );
    assert_eq!(status.last_handled_run_now.as_deref(), Some(RUN));
}
