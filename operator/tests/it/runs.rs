//! Runs that somebody asks for.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::bed::{Bed, bed, smallest, until};

async fn reporting(bed: &Bed) {
    let mut spec = smallest("runs");
    spec["reports"] = json!([{"name": "daily", "builtin": "daily-ohlcv"}]);
    bed.apply("demo", spec).await;
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Ready", "RollingOut").await;
}

async fn until_handled(bed: &Bed, text: &str) {
    until("the annotation is handled", || async {
        let status = bed.pipelines().get("demo").await.ok()?.status?;
        (status.last_handled_run_now? == text).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_for_is_one_job_and_is_echoed() {
    let mut bed = bed!("run-now");
    bed.start();
    reporting(&bed).await;
    let jobs: Api<Job> = bed.api();
    let runs = ListParams::default().labels("app.kubernetes.io/component=report");
    for (run, count) in [
        ("report/daily@2026-11-20#1", 1),
        ("report/daily@2026-11-20#2", 2),
        // Handled before: a second Job would be a second run.
        ("report/daily@2026-11-20#1", 2),
    ] {
        bed.annotate("demo", "stockpipe.dev/run-now", run).await;
        until_handled(&bed, run).await;
        let found = jobs.list(&runs).await.unwrap().items;
        assert_eq!(found.len(), count, "{run}");
    }
    let job = jobs.list(&runs).await.unwrap().items.remove(0);
    let template = job.spec.unwrap().template.spec.unwrap();
    let args = template.containers[0].args.clone().unwrap();
    assert!(
        args.iter()
            .any(|arg| arg.starts_with("report/daily@2026-11-20#")),
        "{args:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_is_refused_by_an_event_that_says_what_to_write() {
    let mut bed = bed!("refused");
    bed.start();
    reporting(&bed).await;
    bed.annotate(
        "demo",
        "stockpipe.dev/run-now",
        "report/weekly@2026-11-20#1",
    )
    .await;
    until_handled(&bed, "report/weekly@2026-11-20#1").await;
    let events: Api<Event> = bed.api();
    until("the event is there", || async {
        let events = events.list(&ListParams::default()).await.ok()?;
        let refused = events
            .iter()
            .find(|event| event.reason.as_deref() == Some("RunNowRefused"))?;
        refused
            .note
            .as_ref()?
            .contains("it has daily")
            .then_some(())
    })
    .await;
}
