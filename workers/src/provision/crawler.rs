//! The pipeline's Glue crawler.
//!
//! It has no schedule of its own: a CronJob, or `stockpipe up`, starts it, so that each crawl has a run key and a
//! record. A crawler that nobody starts costs nothing.
//!
//! Of the pipeline's table it may add partitions and nothing else: `UpdateBehavior` LOG keeps the columns, which are
//! stockpipe's own, and partitions inherit them. What it makes of the files themselves is a table beside that one.

use std::time::{Duration, Instant};

use aws_sdk_glue::Client;
use aws_sdk_glue::types::{
    CatalogTarget, Crawler as Found, CrawlerState, CrawlerTargets, DeleteBehavior, RecrawlBehavior,
    RecrawlPolicy, S3Target, SchemaChangePolicy, UpdateBehavior,
};
use stockpipe_crds::pipeline::{CrawlTarget, Endpoint, Pipeline};

use super::catalog::{IDENTITY_PARAMETER, MISSING, code};
use super::{Mode, Notes};
use crate::context::Context;
use crate::service::{PATIENCE, Service, ServiceError};

/// What stands for a role where Glue assumes none.
const NO_ROLE: &str = "arn:aws:iam::000000000000:role/stockpipe-crawler";
/// Partitions are read as their table is.
const INHERIT: &str =
    r#"{"Version":1.0,"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"}}}"#;
/// As above, and all folders are one table, whatever columns an older file lacks.
const INHERIT_AND_COMBINE: &str = r#"{"Version":1.0,"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"}},"Grouping":{"TableGroupingPolicy":"CombineCompatibleSchemas"}}"#;

/// Name of a pipeline's crawler. The lake's id keeps two pipelines of one name in one account apart.
#[must_use]
pub fn crawler_name(pipeline: &str, lake_id: &str) -> String {
    let lake = lake_id.get(..8).unwrap_or(lake_id);
    format!("stockpipe-{pipeline}-{lake}")
}

/// What a crawler says of itself, and is known by.
#[must_use]
pub fn crawler_description(identity: &str) -> String {
    format!("Crawler of stockpipe pipeline {identity}")
}

/// A crawler as the pipeline's file wants it.
#[derive(Debug)]
struct Wanted {
    name: String,
    description: String,
    role: String,
    /// `None` for a crawler of the table, which is in a database already.
    database: Option<String>,
    table_prefix: Option<String>,
    targets: CrawlerTargets,
    schema_changes: SchemaChangePolicy,
    recrawl: RecrawlPolicy,
    configuration: &'static str,
}

/// Makes the crawler that the file wants, or alters it; without one in the file, takes away the one that an earlier
/// file had made.
pub(super) async fn provision(
    ctx: &Context,
    glue: &Client,
    lake_id: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    let Some(wanted) = wanted(&ctx.pipeline, &ctx.identity(), lake_id)? else {
        return unwanted(ctx, glue, lake_id, mode, notes).await;
    };
    let name = &wanted.name;
    match find(glue, name).await? {
        None => {
            mode.may_change(|| format!("Glue crawler `{name}` does not exist"))?;
            create(glue, &wanted, &ctx.identity()).await?;
            notes.changed(format!("made Glue crawler {name}"));
        }
        Some(found) if found.description.as_deref() != Some(&wanted.description) => {
            return Err(ServiceError::Refused(format!(
                "Glue crawler `{name}` exists and says that it is another's: delete it, or name the pipeline otherwise"
            )));
        }
        Some(found) if !matches(&found, &wanted) => {
            mode.may_change(|| format!("Glue crawler `{name}` is not as catalog.crawler says"))?;
            update(glue, &wanted).await?;
            notes.changed(format!("altered Glue crawler {name}"));
        }
        Some(_) => {}
    }
    Ok(())
}

/// Deletes the crawler that an earlier file had made.
async fn unwanted(
    ctx: &Context,
    glue: &Client,
    lake_id: &str,
    mode: Mode,
    notes: &mut Notes,
) -> Result<(), ServiceError> {
    if mode == Mode::Verify {
        // What it verifies is not its own to delete.
        return Ok(());
    }
    let name = crawler_name(&ctx.pipeline.name, lake_id);
    match delete(glue, &name, &crawler_description(&ctx.identity())).await {
        Ok(Deleted::Now) => notes.changed(format!(
            "deleted Glue crawler {name}, which catalog.crawler no longer asks for"
        )),
        Ok(Deleted::Missing | Deleted::Anothers) => {}
        Err(error) if error.outage().is_some() => return Err(error),
        // Who never had a crawler need not be allowed to look for one.
        Err(error) => {
            tracing::info!("a crawler that is no longer asked for would stay: {error}");
        }
    }
    Ok(())
}

/// What became of a crawler that is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It is gone.
    Now,
    /// There was none.
    Missing,
    /// It says that it is another's, and stays.
    Anothers,
}

/// Deletes the crawler `name` if it says of itself `description`; a crawl that is under way is stopped first.
pub(crate) async fn delete(
    glue: &Client,
    name: &str,
    description: &str,
) -> Result<Deleted, ServiceError> {
    let began = Instant::now();
    loop {
        let Some(found) = find(glue, name).await? else {
            return Ok(Deleted::Missing);
        };
        if found.description() != Some(description) {
            return Ok(Deleted::Anothers);
        }
        match found.state() {
            Some(CrawlerState::Running) => {
                if let Err(error) = glue.stop_crawler().name(name).send().await {
                    tracing::debug!(
                        "crawler {name} was not stopped: {}",
                        crate::aws::explain(&error)
                    );
                }
            }
            Some(CrawlerState::Stopping) => {}
            _ => {
                let deleted = glue.delete_crawler().name(name).send().await;
                return match deleted {
                    Ok(_) => Ok(Deleted::Now),
                    Err(e) if code(&e) == Some(MISSING) => Ok(Deleted::Missing),
                    Err(e) => {
                        let action = format!("delete Glue crawler `{name}`");
                        Err(ServiceError::aws(Service::Glue, action, &e))
                    }
                };
            }
        }
        if began.elapsed() >= PATIENCE {
            return Err(ServiceError::Aws {
                action: format!("delete Glue crawler `{name}`"),
                why: format!("it has not stopped within {} s", PATIENCE.as_secs()),
                service: Service::Glue,
                // The next try may find it stopped.
                outage: true,
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn wanted(
    pipeline: &Pipeline,
    identity: &str,
    lake_id: &str,
) -> Result<Option<Wanted>, ServiceError> {
    let Some(crawler) = &pipeline.catalog.crawler else {
        return Ok(None);
    };
    let role = match (&crawler.role_arn, &pipeline.aws.endpoints.glue) {
        (Some(role), _) => role.clone(),
        (None, Endpoint::Url(_) | Endpoint::Embedded) => NO_ROLE.to_owned(),
        (None, Endpoint::Unset | Endpoint::Aws) => {
            return Err(ServiceError::Refused(
                "catalog.crawler.roleArn is missing: Glue's crawler reads the lake under a role of its own; write its \
                 ARN, for instance arn:aws:iam::123456789012:role/stockpipe-crawler"
                    .to_owned(),
            ));
        }
    };
    let refused = |e: aws_sdk_glue::error::BuildError| ServiceError::Refused(e.to_string());
    let catalog = &pipeline.catalog;
    let policy = |update, delete| {
        SchemaChangePolicy::builder()
            .update_behavior(update)
            .delete_behavior(delete)
            .build()
    };
    let recrawl = |behavior| RecrawlPolicy::builder().recrawl_behavior(behavior).build();
    let wanted = Wanted {
        name: crawler_name(&pipeline.name, lake_id),
        description: crawler_description(identity),
        role,
        database: None,
        table_prefix: None,
        targets: CrawlerTargets::builder().build(),
        schema_changes: policy(UpdateBehavior::Log, DeleteBehavior::Log),
        recrawl: recrawl(RecrawlBehavior::CrawlEverything),
        configuration: INHERIT,
    };
    Ok(Some(match &crawler.target {
        CrawlTarget::Catalog => {
            let table = CatalogTarget::builder()
                .database_name(&catalog.database)
                .tables(&catalog.table)
                .build()
                .map_err(refused)?;
            Wanted {
                targets: CrawlerTargets::builder().catalog_targets(table).build(),
                ..wanted
            }
        }
        CrawlTarget::S3 {
            table_prefix,
            new_folders_only,
            ..
        } => {
            let lake = &pipeline.lake;
            let folder = S3Target::builder()
                .path(format!("s3://{}/{}/", lake.bucket, lake.prefix))
                .build();
            Wanted {
                database: Some(catalog.database.clone()),
                table_prefix: Some(table_prefix.clone()),
                targets: CrawlerTargets::builder().s3_targets(folder).build(),
                // Glue takes no other policy with new folders only.
                schema_changes: if *new_folders_only {
                    policy(UpdateBehavior::Log, DeleteBehavior::Log)
                } else {
                    policy(
                        UpdateBehavior::UpdateInDatabase,
                        DeleteBehavior::DeprecateInDatabase,
                    )
                },
                recrawl: recrawl(if *new_folders_only {
                    RecrawlBehavior::CrawlNewFoldersOnly
                } else {
                    RecrawlBehavior::CrawlEverything
                }),
                configuration: INHERIT_AND_COMBINE,
                ..wanted
            }
        }
    }))
}

pub(crate) async fn find(glue: &Client, name: &str) -> Result<Option<Found>, ServiceError> {
    match glue.get_crawler().name(name).send().await {
        Ok(output) => Ok(output.crawler),
        Err(e) if code(&e) == Some(MISSING) => Ok(None),
        Err(e) => {
            let action = format!("look at Glue crawler `{name}`");
            Err(ServiceError::aws(Service::Glue, action, &e))
        }
    }
}

/// Whether a crawler is as wanted, as far as a pipeline's file decides it.
fn matches(found: &Found, wanted: &Wanted) -> bool {
    let unset = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let targets = |targets: Option<&CrawlerTargets>| {
        let s3: Vec<_> = targets
            .map(CrawlerTargets::s3_targets)
            .unwrap_or_default()
            .iter()
            .map(|target| {
                target
                    .path()
                    .unwrap_or_default()
                    .trim_end_matches('/')
                    .to_owned()
            })
            .collect();
        let catalog: Vec<_> = targets
            .map(CrawlerTargets::catalog_targets)
            .unwrap_or_default()
            .iter()
            .map(|target| (target.database_name().to_owned(), target.tables().to_vec()))
            .collect();
        (s3, catalog)
    };
    // Glue tells a role by its path and name, whatever it was given as.
    let role = |role: &str| {
        let name = role.rsplit_once(":role/").map_or(role, |(_, name)| name);
        name.rsplit('/').next().unwrap_or(name).to_owned()
    };
    role(found.role().unwrap_or_default()) == role(&wanted.role)
        && targets(found.targets()) == targets(Some(&wanted.targets))
        && found.schema_change_policy() == Some(&wanted.schema_changes)
        && found.recrawl_policy() == Some(&wanted.recrawl)
        && unset(found.table_prefix.as_ref()) == wanted.table_prefix
        && (wanted.database.is_none() || unset(found.database_name.as_ref()) == wanted.database)
        && found.configuration() == Some(wanted.configuration)
}

async fn create(glue: &Client, wanted: &Wanted, identity: &str) -> Result<(), ServiceError> {
    let made = glue
        .create_crawler()
        .name(&wanted.name)
        .description(&wanted.description)
        .role(&wanted.role)
        .set_database_name(wanted.database.clone())
        .set_table_prefix(wanted.table_prefix.clone())
        .targets(wanted.targets.clone())
        .schema_change_policy(wanted.schema_changes.clone())
        .recrawl_policy(wanted.recrawl.clone())
        .configuration(wanted.configuration)
        .tags(IDENTITY_PARAMETER, identity)
        .send()
        .await;
    match made {
        Ok(_) => Ok(()),
        Err(e) => {
            let action = format!("make Glue crawler `{}`", wanted.name);
            Err(ServiceError::aws(Service::Glue, action, &e))
        }
    }
}

/// Alters the crawler, which cannot be done while it runs: a crawl is waited for up to a minute.
async fn update(glue: &Client, wanted: &Wanted) -> Result<(), ServiceError> {
    let began = Instant::now();
    loop {
        let updated = glue
            .update_crawler()
            .name(&wanted.name)
            .description(&wanted.description)
            .role(&wanted.role)
            .set_database_name(wanted.database.clone())
            // Empty, because a field that is left out stays.
            .table_prefix(wanted.table_prefix.clone().unwrap_or_default())
            .targets(wanted.targets.clone())
            .schema_change_policy(wanted.schema_changes.clone())
            .recrawl_policy(wanted.recrawl.clone())
            .configuration(wanted.configuration)
            .send()
            .await;
        match updated {
            Ok(_) => return Ok(()),
            Err(e) if code(&e) == Some("CrawlerRunningException") && began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(e) => {
                let action = format!("alter Glue crawler `{}`", wanted.name);
                return Err(ServiceError::aws(Service::Glue, action, &e));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(crawler: &str, glue: &str) -> Pipeline {
        let yaml = format!(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: us}}\nspec:\n  \
             lake: {{bucket: lake, prefix: us/ticks}}\n  catalog: {{database: market, table: ticks, crawler: {crawler}}}\n  \
             aws: {{endpoints: {{glue: {glue}}}}}\n"
        );
        Pipeline::from_yaml(&yaml, "us.yaml").unwrap()
    }

    fn wanted_of(crawler: &str) -> Wanted {
        wanted(
            &pipeline(crawler, "'http://127.0.0.1:1'"),
            "c/default/us",
            "0123456789",
        )
        .unwrap()
        .unwrap()
    }

    fn found(wanted: &Wanted, role: &str) -> Found {
        Found::builder()
            .name(&wanted.name)
            .role(role)
            .targets(wanted.targets.clone())
            .schema_change_policy(wanted.schema_changes.clone())
            .recrawl_policy(wanted.recrawl.clone())
            .set_table_prefix(wanted.table_prefix.clone())
            .set_database_name(wanted.database.clone())
            .configuration(wanted.configuration)
            .build()
    }

    #[test]
    fn a_crawler_of_the_table_can_change_none_of_its_columns() {
        let wanted = wanted_of("{}");
        assert_eq!(wanted.name, "stockpipe-us-01234567");
        assert_eq!(
            wanted.schema_changes.update_behavior(),
            Some(&UpdateBehavior::Log)
        );
        assert_eq!(
            wanted.schema_changes.delete_behavior(),
            Some(&DeleteBehavior::Log)
        );
        assert_eq!(wanted.targets.catalog_targets()[0].tables(), ["ticks"]);
        assert!(wanted.targets.s3_targets().is_empty());
    }

    #[test]
    fn a_crawler_of_files_makes_a_table_of_its_own() {
        let everything = wanted_of("{target: S3}");
        assert_eq!(
            everything.targets.s3_targets()[0].path(),
            Some("s3://lake/us/ticks/")
        );
        assert_eq!(everything.table_prefix.as_deref(), Some("crawled_"));
        let new = wanted_of("{target: S3, recrawl: NewFolders, tablePrefix: raw_}");
        assert_eq!(
            new.schema_changes.update_behavior(),
            Some(&UpdateBehavior::Log)
        );
        assert!(matches(&found(&everything, NO_ROLE), &everything));
        for other in [wanted_of("{}"), new] {
            assert!(!matches(&found(&other, NO_ROLE), &everything), "{other:?}");
        }
    }

    #[test]
    fn a_role_is_the_same_by_its_name_and_by_its_arn() {
        let wanted = wanted_of("{roleArn: 'arn:aws:iam::123456789012:role/service-role/glue'}");
        for (role, same) in [
            ("arn:aws:iam::123456789012:role/service-role/glue", true),
            ("service-role/glue", true),
            ("glue", true),
            ("other", false),
        ] {
            assert_eq!(matches(&found(&wanted, role), &wanted), same, "{role}");
        }
    }

    #[test]
    fn aws_needs_a_role_for_it() {
        let refused = wanted(&pipeline("{}", "aws"), "c/default/us", "L").unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("catalog.crawler.roleArn is missing"),
            "{refused}"
        );
    }
}
