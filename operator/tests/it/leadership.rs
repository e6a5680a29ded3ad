//! One writes at a time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::bed::{Bed, bed, smallest, until};

const LEASE: &str = "stockpipe-operator";
const CLAIM: &str = "stockpipe-pipelines";

async fn holder(bed: &Bed, namespace: &str, lease: &str) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(bed.client.clone(), namespace);
    let holder = api.get_opt(lease).await.ok()??.spec?.holder_identity?;
    (!holder.is_empty()).then_some(holder)
}

async fn leader(bed: &Bed) -> Option<String> {
    holder(bed, &bed.system, LEASE).await
}

async fn until_holder(bed: &Bed, namespace: &str, lease: &str, wanted: &str) {
    until(&format!("{wanted} holds {lease}"), || async {
        (holder(bed, namespace, lease).await? == wanted).then_some(())
    })
    .await;
}

/// An edit of the pipeline is carried out.
async fn is_run(bed: &Bed, name: &str) {
    static EDITS: AtomicU32 = AtomicU32::new(0);
    let age = format!("{}s", 41 + EDITS.fetch_add(1, Ordering::Relaxed));
    let edit = Patch::Merge(json!({"spec": {"lake": {"roll": {"maxAge": age}}}}));
    let parameters = PatchParams::default();
    let edited = bed.pipelines().patch(name, &parameters, &edit).await;
    let generation = edited.unwrap().metadata.generation;
    until("the edit is carried out", || async {
        let status = bed.pipelines().get(name).await.ok()?.status?;
        (status.observed_generation == generation).then_some(())
    })
    .await;
}

async fn until_leader(bed: &Bed, name: &str) {
    until(&format!("{name} leads"), || async {
        (leader(bed).await? == name).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_is_ready_and_takes_over_at_once_when_the_leader_ends_well() {
    let mut bed = bed!("failover");
    bed.start();
    until_leader(&bed, "operator-0").await;
    bed.start();
    until("the standby is ready", || async {
        (bed.running(1).get("/readyz").0 == 200).then_some(())
    })
    .await;
    assert_eq!(leader(&bed).await.as_deref(), Some("operator-0"));
    let took = bed.take(0).terminate();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let start = Instant::now();
    until_leader(&bed, "operator-1").await;
    // Its next look comes within two seconds; the machine may be busy.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    bed.apply("demo", smallest("failover")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_replaced_when_its_lease_has_run_out() {
    let mut bed = bed!("killed");
    bed.start();
    until_leader(&bed, "operator-0").await;
    bed.start();
    until("the standby is ready", || async {
        (bed.running(1).get("/readyz").0 == 200).then_some(())
    })
    .await;
    let start = Instant::now();
    drop(bed.take(0));
    until_leader(&bed, "operator-1").await;
    let took = start.elapsed();
    assert!(
        took > Duration::from_secs(10),
        "the lease was not respected: {took:?}"
    );
    assert!(took < Duration::from_secs(25), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_taken_ends() {
    let mut bed = bed!("taken-over");
    let operator = bed.start();
    until_leader(&bed, "operator-0").await;
    let api: Api<Lease> = Api::namespaced(bed.client.clone(), &bed.system);
    let theirs = json!({"spec": {"holderIdentity": "somebody-else"}});
    api.patch(LEASE, &PatchParams::default(), &Patch::Merge(&theirs))
        .await
        .unwrap();
    until("the old leader says so and ends", || async {
        let gone = bed.running(operator).get("/healthz").0 == 0;
        let told = bed
            .running(operator)
            .log()
            .contains("another process leads: somebody-else");
        (gone && told).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_install_on_a_namespace_is_not_ready_and_names_the_first() {
    let mut bed = bed!("installs");
    let first = bed.start();
    bed.apply("demo", smallest("installs")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    let elsewhere = format!("{}-2", bed.system);
    bed.make_namespace(&elsewhere).await;
    let second = bed.operator("other-0", &elsewhere);
    until("the second is not ready", || async {
        let (code, text) = second.get("/readyz");
        (code == 503 && text.contains(&format!("the install in namespace {} runs", bed.system)))
            .then_some(())
    })
    .await;
    let standby = bed.operator("other-1", &elsewhere);
    until("its standby is not ready either", || async {
        let (code, text) = standby.get("/readyz");
        (code == 503 && text.contains(&format!("the install in namespace {} runs", bed.system)))
            .then_some(())
    })
    .await;
    until_holder(&bed, &elsewhere, LEASE, "other-0").await;
    for other in [second, standby] {
        assert_eq!(other.count("stockpipe_operator_writes_total"), 0.0);
    }
    bed.start();
    for pod in [first, 1] {
        until("both of the first are ready", || async {
            (bed.running(pod).get("/readyz").0 == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_installs_in_one_namespace_the_second_is_not_ready_and_names_the_first() {
    let bed = bed!("together");
    let first = bed.operator_of("one", "one-0");
    bed.apply("demo", smallest("together")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    let second = bed.operator_of("two", "two-0");
    let named = format!("the install one in namespace {} runs", bed.system);
    until("the second is not ready", || async {
        let (code, text) = second.get("/readyz");
        (code == 503 && text.contains(&named)).then_some(())
    })
    .await;
    // Each elects its own leader.
    until_holder(&bed, &bed.system, "one-operator", "one-0").await;
    until_holder(&bed, &bed.system, "two-operator", "two-0").await;
    let claim = format!("{}/one", bed.system);
    until_holder(&bed, &bed.namespace, CLAIM, &claim).await;
    is_run(&bed, "demo").await;
    assert_eq!(second.count("stockpipe_operator_writes_total"), 0.0);
    until("the first is ready", || async {
        (first.get("/readyz").0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_names_the_install_takes_its_namespaces_over_at_once() {
    let mut bed = bed!("named");
    bed.start();
    bed.apply("demo", smallest("named")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    let upgraded = bed.operator_of("stockpipe", "upgraded-0");
    until("the new one is ready", || async {
        (upgraded.get("/readyz").0 == 200).then_some(())
    })
    .await;
    // It stands by: the old one leads.
    assert_eq!(leader(&bed).await.as_deref(), Some("operator-0"));
    let start = Instant::now();
    bed.take(0).terminate();
    let claim = format!("{}/stockpipe", bed.system);
    until_holder(&bed, &bed.namespace, CLAIM, &claim).await;
    is_run(&bed, "demo").await;
    // A claim runs out after two minutes.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(upgraded.get("/readyz").0, 200);
    drop(upgraded);
    // And back again, as a rollback does.
    let start = Instant::now();
    bed.start();
    until_holder(&bed, &bed.namespace, CLAIM, &bed.system).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_of_an_install_of_another_name_waits_for_the_old_ones_claim() {
    let mut bed = bed!("renamed");
    bed.start();
    bed.apply("demo", smallest("renamed")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    let upgraded = bed.operator_of("two", "two-0");
    until_holder(&bed, &bed.system, "two-operator", "two-0").await;
    until("it stands by", || async {
        upgraded.log().contains("stands by: ").then_some(())
    })
    .await;
    // Or the old one would stay for ever. It may still list what it watches.
    until("it is ready", || async {
        (upgraded.get("/readyz").0 == 200).then_some(())
    })
    .await;
    is_run(&bed, "demo").await;
    assert_eq!(upgraded.count("stockpipe_operator_writes_total"), 0.0);
    bed.take(0).terminate();
    assert_eq!(upgraded.count("stockpipe_operator_writes_total"), 0.0);
    // Two minutes have passed.
    let api: Api<Lease> = bed.api();
    let over = Patch::Merge(json!({"spec": {"holderIdentity": ""}}));
    api.patch(CLAIM, &PatchParams::default(), &over)
        .await
        .unwrap();
    let claim = format!("{}/two", bed.system);
    until_holder(&bed, &bed.namespace, CLAIM, &claim).await;
    is_run(&bed, "demo").await;
}
