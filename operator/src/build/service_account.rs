//! Who the workers are: one service account, or one for each role where
//! `aws.roles` gives each its own IAM role. None of them has a token mounted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceAccount;
use stockpipe_crds::spec::aws::{AwsSpec, RolesSpec};

use super::Blueprint;
use crate::labels::Role;

/// The annotation by which IAM roles for service accounts are chosen
/// (<https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html>).
const ROLE_ARN: &str = "eks.amazonaws.com/role-arn";

/// Roles that have an identity of their own; teardown uses provision's.
const IDENTITIES: [Role; 6] = [
    Role::Provision,
    Role::Produce,
    Role::Land,
    Role::Analyze,
    Role::Report,
    Role::Crawl,
];

/// The service accounts that a pipeline needs; none where it names one.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Vec<ServiceAccount> {
    let aws = &blueprint.resource.spec.aws;
    if aws.service_account_name.is_some() {
        return Vec::new();
    }
    if aws.roles.is_none() {
        return vec![account(blueprint, blueprint.name().to_owned(), None)];
    }
    let crawls = blueprint.pipeline.catalog.crawler.is_some();
    IDENTITIES
        .into_iter()
        .filter(|role| *role != Role::Crawl || crawls)
        .map(|role| account(blueprint, name(blueprint, role), Some(role)))
        .collect()
}

/// Name of the service account of `role`.
#[must_use]
pub fn name(blueprint: &Blueprint<'_>, role: Role) -> String {
    let aws = &blueprint.resource.spec.aws;
    match (&aws.service_account_name, &aws.roles) {
        (Some(name), _) => name.to_string(),
        (None, None) if role != Role::Teardown => blueprint.name().to_owned(),
        _ => format!("{}-{role}", blueprint.name()),
    }
}

/// The account of that name, with the IAM role that `role` has.
#[must_use]
pub fn account(blueprint: &Blueprint<'_>, name: String, role: Option<Role>) -> ServiceAccount {
    let mut metadata = blueprint.meta(name, role);
    metadata.annotations = arn(&blueprint.resource.spec.aws, role)
        .map(|arn| BTreeMap::from([(ROLE_ARN.to_owned(), arn)]));
    ServiceAccount {
        metadata,
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn arn(aws: &AwsSpec, role: Option<Role>) -> Option<String> {
    let of = |roles: &RolesSpec, role| match role {
        Role::Provision | Role::Teardown => roles.provision.clone(),
        Role::Produce => roles.produce.clone(),
        Role::Land => roles.land.clone(),
        Role::Analyze => roles.analyze.clone(),
        Role::Report => roles.report.clone(),
        Role::Crawl => roles.crawl.clone(),
    };
    match (&aws.roles, role) {
        (Some(roles), Some(role)) => of(roles, role),
        _ => aws.role_arn.clone(),
    }
    .map(|arn| arn.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    fn accounts(edit: impl Fn(&mut AwsSpec)) -> Vec<(String, Option<String>)> {
        let mut sample = Sample::full();
        sample.edit(|spec| edit(&mut spec.aws));
        build(&blueprint(&sample))
            .into_iter()
            .map(|account| {
                let arn = account
                    .metadata
                    .annotations
                    .and_then(|all| all.get(ROLE_ARN).cloned());
                (account.metadata.name.unwrap(), arn)
            })
            .collect()
    }

    #[test]
    fn each_role_has_an_identity_of_its_own_or_all_share_one() {
        let arn = "arn:aws:iam::123456789012:role/stockpipe";
        assert_eq!(
            accounts(|aws| {
                aws.roles = None;
                aws.role_arn = Some(arn.parse().unwrap());
            }),
            [("us-equities".to_owned(), Some(arn.to_owned()))]
        );
        assert_eq!(
            accounts(|aws| aws.roles = None),
            [("us-equities".to_owned(), None)]
        );
        assert_eq!(
            accounts(|aws| {
                aws.roles = None;
                aws.service_account_name = Some("mine".parse().unwrap());
            }),
            []
        );
        let each = accounts(|_| ());
        assert_eq!(each.len(), 6);
        assert_eq!(each[5].0, "us-equities-crawl");
        assert_eq!(each[0].0, "us-equities-provision");
        assert!(
            each[0]
                .1
                .as_ref()
                .unwrap()
                .ends_with("role/stockpipe-provision")
        );
        // No role of its own: no AWS identity, rather than another's.
        assert_eq!(each[1], ("us-equities-produce".to_owned(), None));
    }
}
