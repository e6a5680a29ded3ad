//! The Glue crawler of the pipeline.

use aws_sdk_glue::Client;

use super::Notes;
use crate::context::Context;
use crate::provision::crawler::{Deleted, crawler_description, crawler_name, delete};
use crate::service::ServiceError;

/// Deletes the crawler that was made for this lake, whether the file still names one or not; a crawl that is under way
/// is stopped first.
pub(super) async fn tear_down(
    ctx: &Context,
    glue: &Client,
    lake_id: &str,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let name = crawler_name(&ctx.pipeline.name, lake_id);
    match delete(glue, &name, &crawler_description(&ctx.identity())).await? {
        Deleted::Now => notes.deleted(format!("Glue crawler {name}")),
        Deleted::Missing => {}
        Deleted::Anothers => notes.stays(format!(
            "Glue crawler {name}, which says that it is another's"
        )),
    }
    Ok(())
}
