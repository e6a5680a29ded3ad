//! Numbers that workers report reach the status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use stockpipe_crds::status::Phase;
use stockpipe_crds::worker_status::{
    LandStatus, PartitionStatus, ProduceStatus, RoleStatus, WorkerState, WorkerStatus,
};

use crate::bed::{Bed, bed, smallest, until};

/// A loopback address for a pod of this test, whose port is the workers' own:
/// nobody else on this machine has it, another run of these tests neither.
fn address(pod: u8) -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{pod}.{high}.{low}")
}

/// Serves what a worker says in that role, once `known`; until then it has
/// nothing to say.
async fn serve(address: &str, pipeline: &str, known: Arc<AtomicBool>, role: RoleStatus) {
    let status = WorkerStatus {
        version: "0.1.0".to_owned(),
        pipeline: pipeline.to_owned(),
        instance: "it/1".to_owned(),
        started_at: "2026-11-20T15:00:00Z".parse().unwrap(),
        state: WorkerState::Running,
        conditions: Vec::new(),
        role,
    };
    let address: SocketAddr = format!("{address}:9100").parse().unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let answer = move || {
        let (known, status) = (known.load(Ordering::Relaxed), status.clone());
        async move {
            if known {
                axum::Json(status).into_response()
            } else {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    };
    let router = Router::new().route("/status", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// Makes the pods of a role run, as a kubelet would say.
async fn run_pods(bed: &Bed, role: &str, address: Option<&str>) {
    let pods: Api<Pod> = bed.api();
    let of_role = ListParams::default().labels(&format!("app.kubernetes.io/component={role}"));
    let list = until("its pods are made", || async {
        let list = pods.list(&of_role).await.ok()?;
        (!list.items.is_empty()).then_some(list)
    })
    .await;
    let mut status = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{
            "name": "worker", "ready": true, "restartCount": 0, "image": "x", "imageID": "x",
            "state": {"running": {}},
        }],
    });
    if let Some(address) = address {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    let patch = Patch::Merge(json!({"status": status}));
    for pod in list {
        pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_numbers_are_in_the_status_at_once() {
    let mut bed = bed!("numbers");
    bed.start();
    let pipeline = format!("{}/demo", bed.namespace);
    let (producer, lander) = (&address(88), &address(89));
    let known = Arc::new(AtomicBool::new(false));
    let produces = RoleStatus::Produce(ProduceStatus {
        rate: 51_234,
        ..ProduceStatus::default()
    });
    let lands = RoleStatus::Land(LandStatus {
        partitions: vec![PartitionStatus {
            lag: 700,
            watermark: Some("2026-11-20T20:59:31Z".parse().unwrap()),
            ..PartitionStatus::default()
        }],
        ..LandStatus::default()
    });
    serve(producer, &pipeline, known.clone(), produces).await;
    serve(lander, &pipeline, known.clone(), lands).await;
    let mut spec = smallest("numbers");
    spec["kafka"]["topic"] = json!({"partitions": 1});
    bed.apply("demo", spec).await;
    bed.finish_pods("provision").await;
    run_pods(&bed, "produce", Some(producer)).await;
    run_pods(&bed, "land", Some(lander)).await;
    run_pods(&bed, "analyze", None).await;
    until("the pipeline runs", || async {
        let status = bed.pipelines().get("demo").await.ok()?.status?;
        (status.phase == Some(Phase::Running)).then_some(())
    })
    .await;
    // Its status has just been written. What workers say does not change from
    // now on: a status that waited would wait for the next look.
    known.store(true, Ordering::Relaxed);
    let status = until("rate, lag and watermark are there", || async {
        let status = bed.pipelines().get("demo").await.ok()?.status?;
        let consumer = status.consumer.as_ref()?;
        let known = status.producer.as_ref()?.rate.is_some()
            && consumer.lag.is_some()
            && consumer.watermark.is_some();
        known.then_some(status)
    })
    .await;
    assert_eq!(status.producer.unwrap().rate.as_deref(), Some("50k/s"));
    let consumer = status.consumer.unwrap();
    assert_eq!(consumer.lag, Some(700));
    assert_eq!(consumer.watermark.as_deref(), Some("2026-11-20T20:59:00Z"));
}
