//! The role `teardown`: deletes what `provision` made, where a `deletionPolicy` asks for it.
//!
//! Only what carries the pipeline's mark goes: the prefix by its owner's record, the topic by the record of its id,
//! table and database by a parameter, crawler and workgroups by name and description, the bucket by a tag. What has another mark
//! or none stays, and is told. The mark on the prefix goes after everything that is found by it, so that a teardown
//! that broke off anywhere is finished by the next one; what is gone already is fine.

mod bucket;
mod catalog;
mod crawler;
mod folder;
mod topic;
mod workgroups;

use stockpipe_crds::pipeline::{DeletionPolicy, Pipeline, Provisioning};
use stockpipe_crds::worker_status::{RoleStatus, TeardownStatus, WorkerState};

use crate::aws::Clients;
use crate::context::Context;
use crate::ledger::{Owner, lake_root};
use crate::provision::lifecycle;
use crate::service::{PATIENCE, ServiceError, patiently};
use crate::store::Store;

/// What was done so far, over all attempts.
#[derive(Debug, Default)]
struct Notes(TeardownStatus);

impl Notes {
    fn deleted(&mut self, what: String) {
        tracing::info!("deleted {what}");
        self.0.deleted.push(what);
    }

    fn stays(&mut self, what: String) {
        self.0.stayed.push(what);
    }
}

/// Deletes what the pipeline's policies say; waits up to a minute for a service that is away.
///
/// # Errors
/// One sentence: whose the prefix is, what is refused, or which address does not answer; or shutdown came first. In
/// each case the next run goes on.
pub async fn run(ctx: &Context) -> Result<TeardownStatus, ServiceError> {
    let nothing_yet = RoleStatus::Teardown(TeardownStatus::default());
    ctx.show(WorkerState::Running, Vec::new(), nothing_yet.clone());
    let mut notes = Notes::default();
    patiently(ctx, PATIENCE, &nothing_yet, async || {
        // What stays is found anew, what was deleted is not.
        notes.0.stayed.clear();
        tear_down(ctx, &mut notes).await
    })
    .await?;
    let status = notes.0;
    tracing::info!("{}", summary(&status));
    let shown = RoleStatus::Teardown(status.clone());
    ctx.show(WorkerState::Done, Vec::new(), shown);
    Ok(status)
}

/// One line: what was deleted, and what stays.
fn summary(status: &TeardownStatus) -> String {
    let list = |phrases: &[String]| match phrases {
        [] => "nothing".to_owned(),
        phrases => phrases.join(", "),
    };
    format!(
        "torn down: {}; stays: {}",
        list(&status.deleted),
        list(&status.stayed)
    )
}

async fn tear_down(ctx: &Context, notes: &mut Notes) -> Result<(), ServiceError> {
    let pipeline = &ctx.pipeline;
    if pipeline.provisioning != Provisioning::Manage {
        notes.stays("everything, for with this spec.provisioning nothing was made".to_owned());
        return Ok(());
    }
    let deletes = |policy| policy == DeletionPolicy::Delete;
    let (topic_goes, lake_goes) = (
        deletes(pipeline.kafka.topic.deletion_policy),
        deletes(pipeline.lake.deletion_policy),
    );
    if !topic_goes {
        notes.stays(format!("topic {}", pipeline.kafka.topic.name));
    }
    if !lake_goes {
        notes.stays(format!("{} and its table", place(pipeline)));
    }
    if !topic_goes && !lake_goes {
        return Ok(());
    }
    let clients = Clients::connect(&pipeline.aws, &ctx.secrets).await?;
    let store = Store::new(clients.s3.clone(), &pipeline.lake.bucket);
    let bucket_is_there = bucket::is_there(&clients.s3, &pipeline.lake.bucket).await?;
    let lake_id = if bucket_is_there {
        lake_id(ctx, &store).await?
    } else {
        None
    };
    if topic_goes {
        topic::tear_down(ctx, &store, lake_id.as_deref(), notes).await?;
    }
    if !lake_goes {
        return Ok(());
    }
    if let Some(lake_id) = &lake_id {
        workgroups::tear_down(ctx, &clients.athena, lake_id, notes).await?;
        crawler::tear_down(ctx, &clients.glue, lake_id, notes).await?;
    }
    catalog::tear_down(ctx, &clients.glue, notes).await?;
    if let Some(lake_id) = &lake_id {
        let bucket = &pipeline.lake.bucket;
        lifecycle::remove(&clients.s3, bucket, lake_id).await?;
        let prefix = format!("{}/", pipeline.lake.prefix);
        let files = folder::empty(&clients.s3, bucket, &prefix).await?;
        notes.deleted(format!("{files} of {}", place(pipeline)));
        let prefix = format!("{}/", lake_root(lake_id));
        let control = folder::empty(&clients.s3, bucket, &prefix).await?;
        notes.deleted(format!("{control} of its ledger and its reports"));
        // From here on nothing is known to be ours but, by its tag, the bucket.
        store.delete(&Owner::key(&pipeline.lake.prefix)).await?;
    }
    if bucket_is_there {
        bucket::tear_down(ctx, &clients.s3, notes).await?;
    }
    Ok(())
}

/// The lake that this pipeline owns; `None` where nobody owns its prefix.
async fn lake_id(ctx: &Context, store: &Store) -> Result<Option<String>, ServiceError> {
    let lake = &ctx.pipeline.lake;
    match Owner::read(store, &lake.prefix).await? {
        None => Ok(None),
        Some(owner) if owner.identity == ctx.identity() => Ok(Some(owner.lake_id)),
        Some(owner) => Err(ServiceError::Refused(format!(
            "prefix `{}` of bucket `{}` belongs to pipeline `{}`, this one is `{}`: nothing was deleted",
            lake.prefix,
            lake.bucket,
            owner.identity,
            ctx.identity()
        ))),
    }
}

fn place(pipeline: &Pipeline) -> String {
    format!("s3://{}/{}/", pipeline.lake.bucket, pipeline.lake.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_one_line_of_both() {
        let status = |deleted: &[&str], stayed: &[&str]| TeardownStatus {
            deleted: deleted.iter().map(ToString::to_string).collect(),
            stayed: stayed.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(
            summary(&status(
                &["topic us.ticks", "3 objects"],
                &["bucket lake: not empty"]
            )),
            "torn down: topic us.ticks, 3 objects; stays: bucket lake: not empty"
        );
        assert_eq!(
            summary(&status(&[], &[])),
            "torn down: nothing; stays: nothing"
        );
    }
}
