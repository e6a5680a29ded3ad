//! One writes at a time.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::bed::{Bed, bed, smallest, until};

async fn leader(bed: &Bed) -> Option<String> {
    let api: Api<Lease> = Api::namespaced(bed.client.clone(), &bed.system);
    let holder = api
        .get_opt("stockpipe-operator")
        .await
        .ok()??
        .spec?
        .holder_identity?;
    (!holder.is_empty()).then_some(holder)
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
    api.patch(
        "stockpipe-operator",
        &PatchParams::default(),
        &Patch::Merge(&theirs),
    )
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
    assert_eq!(second.count("stockpipe_operator_writes_total"), 0.0);
    assert_eq!(bed.running(first).get("/readyz").0, 200);
}
