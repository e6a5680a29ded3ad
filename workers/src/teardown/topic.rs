//! The topic, where `provision` made it.

use super::Notes;
use crate::context::Context;
use crate::kafka::topics;
use crate::ledger::TopicRecord;
use crate::service::ServiceError;
use crate::store::Store;

/// Deletes the topic if the lake remembers that it was made for this pipeline, and has the lake remember that it was
/// deleted: the next one of its name then follows it without a repair.
pub(super) async fn tear_down(
    ctx: &Context,
    store: &Store,
    lake_id: Option<&str>,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let kafka = &ctx.pipeline.kafka;
    let name = &kafka.topic.name;
    if kafka.bootstrap_servers.is_none() {
        // Without an address nothing can have been made.
        return Ok(());
    }
    let record = match lake_id {
        Some(lake_id) => TopicRecord::read(store, lake_id).await?,
        None => None,
    };
    if let Some(found) = topics::describe(kafka).await? {
        let client = topics::client(kafka, &format!("stockpipe-teardown/{}", ctx.pipeline.name))?;
        let ours = match record {
            None => false,
            Some(record @ TopicRecord::Making { .. }) => {
                let empty = topics::is_empty(&client, name, found.partitions).await?;
                record.is_ours(found.id, empty)
            }
            Some(record) => record.is_ours(found.id, false),
        };
        if !ours {
            notes.stays(format!(
                "topic {name}, which was not made for this pipeline"
            ));
            return Ok(());
        }
        topics::delete(&client, name).await?;
        notes.deleted(format!("topic {name}"));
    }
    if let (Some(lake_id), Some(TopicRecord::Made { .. } | TopicRecord::Making { .. })) =
        (lake_id, record)
    {
        TopicRecord::replace(store, lake_id, Some(TopicRecord::Deleted)).await?;
    }
    Ok(())
}
