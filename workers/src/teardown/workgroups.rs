//! The Athena workgroups of the pipeline's reports.

use aws_sdk_athena::Client;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Notes;
use crate::context::Context;
use crate::provision::workgroup::{is_missing, workgroup_description, workgroup_prefix};
use crate::service::{Service, ServiceError};

/// Deletes every workgroup that was ever made for this lake, with the history of its queries.
pub(super) async fn tear_down(
    ctx: &Context,
    athena: &Client,
    lake_id: &str,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let prefix = workgroup_prefix(&ctx.pipeline.name, lake_id);
    let description = workgroup_description(&ctx.identity());
    let mut names = Vec::new();
    let mut pages = athena.list_work_groups().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| ServiceError::aws(Service::Athena, "list Athena's workgroups", &e))?;
        for group in page.work_groups() {
            let Some(name) = group.name().filter(|name| name.starts_with(&prefix)) else {
                continue;
            };
            if group.description() == Some(&description) {
                names.push(name.to_owned());
            } else {
                notes.stays(format!(
                    "Athena workgroup {name}, which says that it is another's"
                ));
            }
        }
    }
    for name in names {
        delete(athena, &name).await?;
        notes.deleted(format!("Athena workgroup {name}"));
    }
    Ok(())
}

async fn delete(athena: &Client, name: &str) -> Result<(), ServiceError> {
    let deleted = athena
        .delete_work_group()
        .work_group(name)
        .recursive_delete_option(true)
        .send()
        .await;
    match deleted {
        Ok(_) => Ok(()),
        Err(e) => {
            let (code, message) = e
                .as_service_error()
                .map_or((None, None), |s| (s.code(), s.message()));
            if is_missing(code, message) {
                return Ok(());
            }
            let action = format!("delete Athena workgroup `{name}`");
            Err(ServiceError::aws(Service::Athena, action, &e))
        }
    }
}
