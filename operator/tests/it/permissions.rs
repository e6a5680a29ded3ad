//! The operator does what its Role allows and nothing else, and names what is
//! missing.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use stockpipe_operator::preflight::PERMISSIONS;

use crate::bed::{Bed, bed, smallest, until};

const USER: &str = "system:serviceaccount:stockpipe:stockpipe-operator";

async fn grant(bed: &Bed, namespace: &str, rules: Vec<Value>) {
    let roles: Api<Role> = Api::namespaced(bed.client.clone(), namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(bed.client.clone(), namespace);
    let role = json!({"metadata": {"name": "operator"}, "rules": rules});
    let binding = json!({
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    });
    let parameters = PostParams::default();
    roles
        .create(&parameters, &serde_json::from_value(role).unwrap())
        .await
        .unwrap();
    bindings
        .create(&parameters, &serde_json::from_value(binding).unwrap())
        .await
        .unwrap();
}

fn rules(but: &str) -> Vec<Value> {
    PERMISSIONS
        .iter()
        .filter(|permission| permission.resource != but)
        .map(|permission| {
            let mut rule = json!({
                "apiGroups": [permission.group], "resources": [permission.resource], "verbs": permission.verbs,
            });
            if let Some(name) = permission.name {
                rule["resourceNames"] = json!([name]);
            }
            rule
        })
        .collect()
}

async fn may_lead(bed: &Bed) {
    let leases = json!({
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]
    });
    let events = json!({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]});
    grant(bed, &bed.system, vec![leases, events]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_role_alone_it_makes_every_child_and_is_refused_nothing() {
    let mut bed = bed!("role");
    grant(&bed, &bed.namespace, rules("")).await;
    may_lead(&bed).await;
    bed.act_as(USER);
    let operator = bed.start();
    let mut spec = smallest("role");
    spec["lake"]["deletionPolicy"] = json!("Delete");
    spec["reports"] =
        json!([{"name": "daily", "builtin": "daily-ohlcv", "schedule": {"cron": "@daily"}}]);
    bed.apply("demo", spec).await;
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Ready", "RollingOut").await;
    bed.annotate("demo", "stockpipe.dev/teardown-deadline", "1s")
        .await;
    bed.pipelines()
        .delete("demo", &Default::default())
        .await
        .unwrap();
    until("the pipeline is gone", || async {
        bed.pipelines()
            .get_opt("demo")
            .await
            .ok()?
            .is_none()
            .then_some(())
    })
    .await;
    let log = bed.running(operator).log();
    assert!(!log.contains("forbidden"), "{log}");
    assert_eq!(
        bed.running(operator)
            .count("stockpipe_operator_reconcile_errors_total{reason=\"Forbidden\""),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_and_nothing_is_tried() {
    let mut bed = bed!("missing");
    grant(&bed, &bed.namespace, rules("statefulsets")).await;
    may_lead(&bed).await;
    bed.act_as(USER);
    let operator = bed.start();
    bed.apply("demo", smallest("missing")).await;
    let text = until("it says what is missing", || async {
        let (code, text) = bed.running(operator).get("/readyz");
        (code == 503 && text.contains("create statefulsets.apps")).then_some(text)
    })
    .await;
    assert!(text.contains("install the chart's Role there"), "{text}");
    assert!(!text.contains("deployments"), "{text}");
    assert!(bed.pipelines().get("demo").await.unwrap().status.is_none());
    let writes = bed
        .running(operator)
        .count("stockpipe_operator_writes_total");
    assert_eq!(writes, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_not_lead_says_so() {
    let mut bed = bed!("follower");
    grant(&bed, &bed.namespace, rules("")).await;
    bed.act_as(USER);
    let operator = bed.start();
    until("it says what is missing", || async {
        let (code, text) = bed.running(operator).get("/readyz");
        let place = format!("permission in {} to ", bed.system);
        let named = text.contains(&place) && text.contains("update leases.coordination.k8s.io");
        (code == 503 && named).then_some(())
    })
    .await;
    may_lead(&bed).await;
    until("it is ready once it may", || async {
        (bed.running(operator).get("/readyz").0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_taken_away_is_named_and_is_used_again_once_it_is_back() {
    let mut bed = bed!("taken");
    grant(&bed, &bed.namespace, rules("")).await;
    may_lead(&bed).await;
    bed.act_as(USER);
    let operator = bed.start();
    until("it is ready", || async {
        (bed.running(operator).get("/readyz").0 == 200).then_some(())
    })
    .await;
    let roles: Api<Role> = Api::namespaced(bed.client.clone(), &bed.namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(bed.client.clone(), &bed.namespace);
    let parameters = DeleteParams::default();
    bindings.delete("operator", &parameters).await.unwrap();
    roles.delete("operator", &parameters).await.unwrap();
    bed.apply("demo", smallest("taken")).await;
    // A watch goes on with the rights that it began with; the claim is renewed within 40 seconds, and refused.
    until("it says what is missing", || async {
        let (code, text) = bed.running(operator).get("/readyz");
        (code == 503 && text.contains("install the chart's Role there")).then_some(())
    })
    .await;
    grant(&bed, &bed.namespace, rules("")).await;
    bed.until_reason("demo", "Provisioned", "Provisioning")
        .await;
    let log = bed.running(operator).log();
    let told = log.matches("missing permission").count();
    assert!((1..=2).contains(&told), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_with_the_role_holds_no_pipeline_without_pods_back() {
    let mut bed = bed!("role-goes");
    grant(&bed, &bed.namespace, rules("")).await;
    may_lead(&bed).await;
    bed.act_as(USER);
    let operator = bed.start();
    let mut spec = smallest("role-goes");
    spec["lake"]["deletionPolicy"] = json!("Delete");
    spec["suspend"] = json!(true);
    bed.apply("demo", spec).await;
    // A pod that has ended goes at once: none is seen to be ending.
    bed.finish_pods("provision").await;
    bed.until_reason("demo", "Provisioned", "Provisioned").await;
    bed.until_reason("demo", "Ready", "Suspended").await;
    let finalizers = bed
        .pipelines()
        .get("demo")
        .await
        .unwrap()
        .metadata
        .finalizers;
    assert_eq!(finalizers.unwrap(), ["stockpipe.dev/teardown"]);
    let namespaces: Api<Namespace> = Api::all(bed.client.clone());
    namespaces
        .delete(&bed.namespace, &DeleteParams::default())
        .await
        .unwrap();
    until("the namespace is gone", || async {
        let there = namespaces.get_opt(&bed.namespace).await.ok()?;
        there.is_none().then_some(())
    })
    .await;
    let log = bed.running(operator).log();
    assert!(log.contains("its namespace is being deleted"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_it_may_not_write_is_told_from_one_that_is_missing() {
    let mut bed = bed!("monitoring");
    bed.define_monitoring().await;
    grant(&bed, &bed.namespace, rules("")).await;
    may_lead(&bed).await;
    bed.act_as(USER);
    bed.start();
    let mut spec = smallest("monitoring");
    spec["monitoring"] = json!({"prometheus": {"podMonitor": true}});
    bed.apply("demo", spec).await;
    bed.until_reason("demo", "Monitored", "Forbidden").await;
}
