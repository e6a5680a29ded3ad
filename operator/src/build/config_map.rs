//! The file of each role: an immutable ConfigMap, named after its content, so
//! that a pod never sees its file change and a new file means a new pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use stockpipe_crds::pipeline::Report;

use super::{Blueprint, role_file};
use crate::labels::{self, Role};
use crate::resources::hash_of_text;

/// Key of the file within its ConfigMap.
pub const KEY: &str = "pipeline.yaml";

/// The file of a role: `NAME-ROLE-HASH`.
#[must_use]
pub fn of_role(blueprint: &Blueprint<'_>, role: Role) -> ConfigMap {
    let text = role_file::text(blueprint.resource, blueprint.cluster_id, role, None);
    file(blueprint, role, role.as_str(), text)
}

/// The file of a report's runs: `NAME-report-REPORT-HASH`.
#[must_use]
pub fn of_report(blueprint: &Blueprint<'_>, report: &Report) -> ConfigMap {
    let role = Role::Report;
    let text = role_file::text(
        blueprint.resource,
        blueprint.cluster_id,
        role,
        Some(&report.name),
    );
    let mut file = file(blueprint, role, &format!("{role}-{}", report.name), text);
    if let Some(labels) = &mut file.metadata.labels {
        labels.insert(labels::REPORT.to_owned(), report.name.clone());
    }
    file
}

fn file(blueprint: &Blueprint<'_>, role: Role, stem: &str, text: String) -> ConfigMap {
    let name = format!("{}-{stem}-{}", blueprint.name(), hash_of_text(&text));
    ConfigMap {
        metadata: blueprint.meta(name, Some(role)),
        immutable: Some(true),
        data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// Name of a built ConfigMap.
#[must_use]
pub fn name(file: &ConfigMap) -> &str {
    file.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    #[test]
    fn a_name_follows_the_content_and_fits_a_label() {
        let mut sample = Sample::full();
        let before = of_role(&blueprint(&sample), Role::Land);
        assert!(name(&before).starts_with("us-equities-land-"));
        assert_eq!(before.immutable, Some(true));
        sample.edit(|spec| spec.consumer.memory_budget = "1Gi".parse().unwrap());
        assert_ne!(
            name(&of_role(&blueprint(&sample), Role::Land)),
            name(&before)
        );

        let mut sample = Sample::full();
        sample.rename("abcdefghijklmnopqrstuvwx");
        sample.edit(|spec| spec.reports[0].name = "abcdefghijklmnopqrst".parse().unwrap());
        let report = sample.pipeline.reports[0].clone();
        assert_eq!(name(&of_report(&blueprint(&sample), &report)).len(), 63);
    }
}
