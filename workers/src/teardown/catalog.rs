//! The Glue table with its partitions, and the database if nothing else is in it.

use aws_sdk_glue::Client;
use aws_sdk_glue::types::PartitionValueList;

use super::Notes;
use crate::context::Context;
use crate::provision::IDENTITY_PARAMETER;
use crate::provision::catalog::{MISSING, code, find_table};
use crate::service::{Service, ServiceError};

/// Partitions of one call, as many as Glue takes.
const BATCH: usize = 25;

/// Deletes the table if it is this pipeline's, then the database if it was made for it and is empty.
pub(super) async fn tear_down(
    ctx: &Context,
    glue: &Client,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let catalog = &ctx.pipeline.catalog;
    let (database, table) = (&catalog.database, &catalog.table);
    let identity = ctx.identity();
    if let Some(found) = find_table(glue, database, table).await? {
        let owner = found
            .parameters
            .as_ref()
            .and_then(|p| p.get(IDENTITY_PARAMETER));
        match owner {
            Some(owner) if *owner == identity => delete_table(glue, database, table, notes).await?,
            Some(owner) => notes.stays(format!(
                "Glue table {database}.{table}, which belongs to pipeline {owner}"
            )),
            None => notes.stays(format!(
                "Glue table {database}.{table}, which was not made by stockpipe"
            )),
        }
    }
    delete_database(glue, database, &identity, notes).await
}

/// Glue drops the partitions of a deleted table when it likes; here they go before it.
async fn delete_table(
    glue: &Client,
    database: &str,
    table: &str,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let action = || format!("delete the partitions of Glue table `{database}.{table}`");
    let mut partitions = 0;
    loop {
        // From the beginning each time: what was listed is gone.
        let page = glue
            .get_partitions()
            .database_name(database)
            .table_name(table)
            .exclude_column_schema(true)
            .send()
            .await;
        let page = match page {
            Ok(page) => page,
            Err(e) if code(&e) == Some(MISSING) => break,
            Err(e) => return Err(ServiceError::aws(Service::Glue, action(), &e)),
        };
        if page.partitions().is_empty() {
            break;
        }
        for batch in page.partitions().chunks(BATCH) {
            let values = batch
                .iter()
                .map(|partition| {
                    PartitionValueList::builder()
                        .set_values(partition.values.clone())
                        .build()
                })
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| ServiceError::Refused(e.to_string()))?;
            let answer = glue
                .batch_delete_partition()
                .database_name(database)
                .table_name(table)
                .set_partitions_to_delete(Some(values))
                .send()
                .await
                .map_err(|e| ServiceError::aws(Service::Glue, action(), &e))?;
            let mut refused = answer.errors().iter().filter_map(|e| e.error_detail());
            if let Some(refused) = refused.find(|detail| detail.error_code() != Some(MISSING)) {
                return Err(ServiceError::Aws {
                    action: action(),
                    why: refused.error_message().unwrap_or_default().to_owned(),
                    service: Service::Glue,
                    outage: false,
                });
            }
            partitions += batch.len();
        }
    }
    let deleted = glue
        .delete_table()
        .database_name(database)
        .name(table)
        .send()
        .await;
    match deleted {
        Ok(_) => notes.deleted(format!(
            "Glue table {database}.{table} with {partitions} partitions"
        )),
        Err(e) if code(&e) == Some(MISSING) => {}
        Err(e) => {
            let action = format!("delete Glue table `{database}.{table}`");
            return Err(ServiceError::aws(Service::Glue, action, &e));
        }
    }
    Ok(())
}

async fn delete_database(
    glue: &Client,
    database: &str,
    identity: &str,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let found = match glue.get_database().name(database).send().await {
        Ok(output) => output.database,
        Err(e) if code(&e) == Some(MISSING) => None,
        Err(e) => {
            let action = format!("look at Glue database `{database}`");
            return Err(ServiceError::aws(Service::Glue, action, &e));
        }
    };
    let Some(found) = found else {
        return Ok(());
    };
    let made_for = found
        .parameters
        .as_ref()
        .and_then(|p| p.get(IDENTITY_PARAMETER));
    if made_for.is_none_or(|made_for| made_for != identity) {
        notes.stays(format!(
            "Glue database {database}, which was not made for this pipeline"
        ));
        return Ok(());
    }
    let tables = glue
        .get_tables()
        .database_name(database)
        .max_results(1)
        .send()
        .await
        .map_err(|e| {
            let action = format!("list the tables of Glue database `{database}`");
            ServiceError::aws(Service::Glue, action, &e)
        })?;
    if !tables.table_list().is_empty() {
        notes.stays(format!("Glue database {database}, which has other tables"));
        return Ok(());
    }
    match glue.delete_database().name(database).send().await {
        Ok(_) => notes.deleted(format!("Glue database {database}")),
        Err(e) if code(&e) == Some(MISSING) => {}
        Err(e) => {
            let action = format!("delete Glue database `{database}`");
            return Err(ServiceError::aws(Service::Glue, action, &e));
        }
    }
    Ok(())
}
