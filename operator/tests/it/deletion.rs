//! How pipelines go.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::bed::{Bed, bed, smallest, until};

fn deleting(place: &str) -> Value {
    let mut spec = smallest(place);
    spec["lake"]["deletionPolicy"] = json!("Delete");
    spec
}

async fn until_gone(bed: &Bed, name: &str) {
    until("the pipeline is gone", || async {
        bed.pipelines()
            .get_opt(name)
            .await
            .ok()?
            .is_none()
            .then_some(())
    })
    .await;
}

async fn running(bed: &Bed, spec: Value) {
    bed.apply("demo", spec).await;
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Ready", "RollingOut").await;
    // A deletion before the controllers have made the workers' pods has nothing to stop.
    let pods: Api<Pod> = bed.api();
    for role in ["produce", "land", "analyze"] {
        let of_role = ListParams::default().labels(&format!("app.kubernetes.io/component={role}"));
        until("each worker has a pod", || async {
            let list = pods.list(&of_role).await.ok()?;
            (!list.items.is_empty()).then_some(())
        })
        .await;
    }
}

/// Keeps the workers' pods as a kubelet does while they drain: a pod that no
/// node has would be gone the moment it is deleted.
async fn hold_pods(bed: &Bed) {
    let pods: Api<Pod> = bed.api();
    let held = Patch::Merge(json!({"metadata": {"finalizers": ["tests.stockpipe.dev/drains"]}}));
    for pod in pods.list(&ListParams::default()).await.unwrap().items {
        pods.patch(&pod.name_any(), &PatchParams::default(), &held)
            .await
            .unwrap();
    }
}

/// Pods are ended by hand: there is no kubelet.
async fn remove_pods(bed: &Bed) {
    let pods: Api<Pod> = bed.api();
    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    until("the workers' pods are gone", || async {
        let list = pods.list(&ListParams::default()).await.ok()?;
        let mut left = false;
        for pod in list.items {
            if pod
                .labels()
                .get("app.kubernetes.io/component")
                .map(String::as_str)
                != Some("teardown")
            {
                left = true;
                let _ = pods
                    .patch(&pod.name_any(), &PatchParams::default(), &released)
                    .await;
                let _ = pods.delete(&pod.name_any(), &at_once).await;
            }
        }
        (!left).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_keeps_its_data_has_no_finalizer_and_goes_at_once() {
    let mut bed = bed!("retain");
    bed.start();
    running(&bed, smallest("retain")).await;
    assert!(
        bed.pipelines()
            .get("demo")
            .await
            .unwrap()
            .finalizers()
            .is_empty()
    );
    bed.pipelines()
        .delete("demo", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&bed, "demo").await;
    until("its children are gone", || async {
        let accounts: Api<ServiceAccount> = bed.api();
        accounts.get_opt("demo").await.ok()?.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_before_the_teardown_and_the_teardown_before_the_pipeline() {
    for (foreground, parameters) in [
        (false, DeleteParams::background()),
        (true, DeleteParams::foreground()),
    ] {
        let mut bed = bed!("teardown");
        bed.start();
        running(&bed, deleting(&format!("teardown-{foreground}"))).await;
        assert_eq!(
            bed.pipelines().get("demo").await.unwrap().finalizers(),
            ["stockpipe.dev/teardown"]
        );
        hold_pods(&bed).await;
        bed.pipelines().delete("demo", &parameters).await.unwrap();
        bed.until_reason("demo", "Ready", "Stopping").await;
        let jobs: Api<Job> = bed.api();
        let teardown = ListParams::default().labels("app.kubernetes.io/component=teardown");
        assert!(jobs.list(&teardown).await.unwrap().items.is_empty());
        remove_pods(&bed).await;
        bed.until_reason("demo", "Ready", "TearingDown").await;
        let job = jobs.list(&teardown).await.unwrap().items.remove(0);
        assert!(job.owner_references().is_empty());
        bed.finish_pods("teardown").await;
        until_gone(&bed, "demo").await;
        let files: Api<ConfigMap> = bed.api();
        until("nothing of the teardown is left", || async {
            let jobs = jobs.list(&teardown).await.ok()?.items.len();
            let files = files.list(&teardown).await.ok()?.items.len();
            let accounts: Api<ServiceAccount> = bed.api();
            let accounts = accounts.list(&teardown).await.ok()?.items.len();
            (jobs + files + accounts == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_deadline_a_pipeline_is_released_and_what_stays_is_named() {
    let mut bed = bed!("deadline");
    let operator = bed.start();
    running(&bed, deleting("deadline")).await;
    bed.annotate("demo", "stockpipe.dev/teardown-deadline", "1s")
        .await;
    bed.pipelines()
        .delete("demo", &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&bed, "demo").await;
    let log = bed.running(operator).log();
    assert!(
        log.contains("may stay behind: s3://bucket-deadline/demo/ticks"),
        "{log}"
    );
    assert_eq!(
        bed.running(operator)
            .count("stockpipe_operator_teardowns_given_up_total"),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_holds_no_pipeline_back() {
    let mut bed = bed!("leaving");
    let operator = bed.start();
    running(&bed, deleting("leaving")).await;
    let namespaces: Api<Namespace> = Api::all(bed.client.clone());
    namespaces
        .delete(&bed.namespace, &DeleteParams::default())
        .await
        .unwrap();
    until_gone(&bed, "demo").await;
    let log = bed.running(operator).log();
    assert!(log.contains("its namespace is being deleted"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalizer_follows_the_policy() {
    let mut bed = bed!("policy");
    bed.start();
    bed.apply("demo", smallest("policy")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    for (policy, count) in [("Delete", 1), ("Retain", 0)] {
        let patch = json!({"spec": {"kafka": {"topic": {"deletionPolicy": policy}}}});
        bed.pipelines()
            .patch("demo", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
        until("the finalizer follows", || async {
            let pipeline = bed.pipelines().get("demo").await.ok()?;
            (pipeline.finalizers().len() == count).then_some(())
        })
        .await;
    }
}
