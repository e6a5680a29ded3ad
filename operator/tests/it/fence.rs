//! A leader whose lease is over writes nothing more.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::bed::{Bed, bed, smallest, until};
use crate::proxy::Proxy;

/// Time after its last renewal at which a leader ends.
const DEADLINE: Duration = Duration::from_secs(10);

/// An operator behind a proxy, which runs a pipeline.
async fn behind_a_proxy(bed: &mut Bed, place: &str) -> Proxy {
    let proxy = Proxy::start(bed.client.clone(), 0).await;
    proxy.heal();
    bed.call_through(proxy.address);
    bed.start();
    bed.apply("demo", smallest(place)).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    proxy
}

/// A change that the operator answers by writing children and a status.
async fn edit(bed: &Bed, number: u32) {
    let edit = json!({"spec": {"lake": {"roll": {"maxAge": format!("{}s", 30 + number)}}}});
    bed.pipelines()
        .patch("demo", &PatchParams::default(), &Patch::Merge(&edit))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_writes_until_the_deadline_and_not_after_it() {
    let mut bed = bed!("deadline");
    let proxy = behind_a_proxy(&mut bed, "deadline").await;
    proxy.renew_nothing();
    let deaf = Instant::now();
    // Work for it all the time, before and after.
    let mut number = 0;
    while deaf.elapsed() < DEADLINE + Duration::from_secs(4) {
        number += 1;
        edit(&bed, number).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let written = proxy.written();
    let (last, what) = written.last().unwrap();
    let after = last.saturating_duration_since(deaf);
    assert!(after > DEADLINE / 2, "{what} was the last after {after:?}");
    assert!(after <= DEADLINE, "{what} was written after {after:?}");
    let mut operator = bed.take(0);
    assert!(operator.has_ended());
    let log = operator.log();
    assert!(
        log.contains("the lease could not be renewed for 10 s"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_through_its_lease_writes_nothing_when_it_wakes() {
    let mut bed = bed!("asleep");
    let proxy = behind_a_proxy(&mut bed, "asleep").await;
    let mut sleeper = bed.take(0);
    sleeper.freeze(true);
    let before = proxy.written().len();
    bed.call_directly();
    let next = bed.operator("next-0", &bed.system);
    until("the next one leads", || async {
        next.log().contains("this process leads").then_some(())
    })
    .await;
    // It would have something to do.
    edit(&bed, 1).await;
    edit(&bed, 2).await;
    sleeper.freeze(false);
    let woken = Instant::now();
    while !sleeper.has_ended() {
        assert!(woken.elapsed() < DEADLINE, "{}", sleeper.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let written = proxy.written();
    assert_eq!(written.len(), before, "{:?}", &written[before..]);
}
