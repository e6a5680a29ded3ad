//! One Athena workgroup for each byte budget among the reports.

use std::collections::BTreeSet;

use aws_sdk_athena::Client;
use aws_sdk_athena::types::{
    ResultConfiguration, ResultConfigurationUpdates, WorkGroup, WorkGroupConfiguration,
    WorkGroupConfigurationUpdates,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Mode, Notes};
use crate::context::Context;
use crate::service::{Service, ServiceError};

/// Name of the workgroup for a budget of `bytes`. The lake's id keeps two
/// pipelines of one name in one account apart.
#[must_use]
pub fn workgroup_name(pipeline: &str, lake_id: &str, bytes: u64) -> String {
    format!("{}{bytes}", workgroup_prefix(pipeline, lake_id))
}

/// What the names of all workgroups of a pipeline begin with, whatever budgets its reports have had.
#[must_use]
pub fn workgroup_prefix(pipeline: &str, lake_id: &str) -> String {
    let lake = lake_id.get(..8).unwrap_or(lake_id);
    format!("stockpipe-{pipeline}-{lake}-")
}

/// What a workgroup says of itself, and is known by.
#[must_use]
pub fn workgroup_description(identity: &str) -> String {
    format!("Reports of stockpipe pipeline {identity}")
}

/// Where the workgroup's results go: `s3://…/_stockpipe/<lakeId>/athena/`.
#[must_use]
pub fn workgroup_output(bucket: &str, lake_id: &str) -> String {
    format!(
        "s3://{bucket}/{}/athena/",
        crate::ledger::lake_root(lake_id)
    )
}

pub(super) async fn provision(
    ctx: &Context,
    athena: &Client,
    lake_id: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let pipeline = &ctx.pipeline;
    let budgets: BTreeSet<u64> = pipeline
        .reports
        .iter()
        .map(|r| r.max_scanned_bytes)
        .collect();
    let output = workgroup_output(&pipeline.lake.bucket, lake_id);
    for bytes in budgets {
        let name = workgroup_name(&pipeline.name, lake_id, bytes);
        let cutoff = i64::try_from(bytes).unwrap_or(i64::MAX);
        match find(athena, &name).await? {
            None => {
                mode.may_change(|| format!("Athena workgroup `{name}` does not exist"))?;
                create(athena, &name, cutoff, &output, &ctx.identity()).await?;
                notes.changed(format!("made Athena workgroup {name}"));
            }
            Some(group) if !matches(&group, cutoff, &output) => {
                mode.may_change(|| {
                    format!("Athena workgroup `{name}` has another budget or output")
                })?;
                update(athena, &name, cutoff, &output).await?;
                notes.changed(format!("altered Athena workgroup {name}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn find(athena: &Client, name: &str) -> Result<Option<WorkGroup>, ServiceError> {
    match athena.get_work_group().work_group(name).send().await {
        Ok(output) => Ok(output.work_group),
        Err(e) => {
            let (code, message) = e
                .as_service_error()
                .map_or((None, None), |s| (s.code(), s.message()));
            if is_missing(code, message) {
                return Ok(None);
            }
            let action = format!("look at Athena workgroup `{name}`");
            Err(ServiceError::aws(Service::Athena, action, &e))
        }
    }
}

/// Whether Athena says that there is no such workgroup, for which it has no exception of its own.
pub(crate) fn is_missing(code: Option<&str>, message: Option<&str>) -> bool {
    code == Some("InvalidRequestException") && message.is_some_and(|m| m.contains("not found"))
}

async fn create(
    athena: &Client,
    name: &str,
    cutoff: i64,
    output: &str,
    identity: &str,
) -> Result<(), ServiceError> {
    let configuration = WorkGroupConfiguration::builder()
        .bytes_scanned_cutoff_per_query(cutoff)
        .enforce_work_group_configuration(true)
        .result_configuration(
            ResultConfiguration::builder()
                .output_location(output)
                .build(),
        )
        .build();
    athena
        .create_work_group()
        .name(name)
        .description(workgroup_description(identity))
        .configuration(configuration)
        .send()
        .await
        .map(|_| ())
        .map_err(|e| {
            ServiceError::aws(
                Service::Athena,
                format!("make Athena workgroup `{name}`"),
                &e,
            )
        })
}

async fn update(
    athena: &Client,
    name: &str,
    cutoff: i64,
    output: &str,
) -> Result<(), ServiceError> {
    let updates = WorkGroupConfigurationUpdates::builder()
        .bytes_scanned_cutoff_per_query(cutoff)
        .enforce_work_group_configuration(true)
        .result_configuration_updates(
            ResultConfigurationUpdates::builder()
                .output_location(output)
                .build(),
        )
        .build();
    athena
        .update_work_group()
        .work_group(name)
        .configuration_updates(updates)
        .send()
        .await
        .map(|_| ())
        .map_err(|e| {
            ServiceError::aws(
                Service::Athena,
                format!("alter Athena workgroup `{name}`"),
                &e,
            )
        })
}

fn matches(group: &WorkGroup, cutoff: i64, output: &str) -> bool {
    group.configuration.as_ref().is_some_and(|c| {
        c.bytes_scanned_cutoff_per_query == Some(cutoff)
            && c.enforce_work_group_configuration == Some(true)
            && c.result_configuration
                .as_ref()
                .and_then(|r| r.output_location.as_deref())
                == Some(output)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workgroup_names_pipeline_lake_and_budget() {
        let name = workgroup_name(
            "us-equities",
            "0b8b6a1e-1111-2222-3333-444455556666",
            1 << 30,
        );
        assert_eq!(name, "stockpipe-us-equities-0b8b6a1e-1073741824");
        assert!(workgroup_name(&"n".repeat(24), &"l".repeat(36), u64::MAX).len() <= 128);
        assert_eq!(
            workgroup_output("lake", "L1"),
            "s3://lake/_stockpipe/L1/athena/"
        );
    }
}
