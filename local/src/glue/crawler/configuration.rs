//! What a crawler's record asks for, parsed.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use crate::aws_json::AwsError;
use crate::glue::input::{invalid, text};

/// A place in S3.
#[derive(Clone, Debug)]
pub(super) struct S3Target {
    pub(super) bucket: String,
    /// Key prefix, empty or ending in a slash.
    pub(super) prefix: String,
    /// Keys below the prefix that are left out.
    exclusions: Vec<Regex>,
    /// Files of each folder that are opened; `None`: all.
    pub(super) sample: Option<usize>,
}

impl S3Target {
    /// The folder that the path names; the bucket, where it names none.
    pub(super) fn folder(&self) -> &str {
        let last = self.prefix.trim_end_matches('/').rsplit('/').next();
        last.filter(|last| !last.is_empty()).unwrap_or(&self.bucket)
    }

    /// Whether a key below the prefix is left out.
    pub(super) fn excludes(&self, below: &str) -> bool {
        self.exclusions.iter().any(|glob| glob.is_match(below))
    }
}

/// What is done about a table or partition that differs from the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpdateBehavior {
    /// It stays.
    Log,
    /// It becomes as the files are.
    Update,
}

/// What is done about a table or partition whose files are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeleteBehavior {
    /// It stays.
    Log,
    /// It is deleted.
    Delete,
    /// A table is marked; a partition stays.
    Deprecate,
}

/// Everything that a crawl follows from.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) database: String,
    pub(super) table_prefix: String,
    pub(super) s3: Vec<S3Target>,
    /// Databases and tables.
    pub(super) catalog: Vec<(String, String)>,
    pub(super) update: UpdateBehavior,
    pub(super) delete: DeleteBehavior,
    /// `CrawlerOutput.Tables.AddOrUpdateBehavior: MergeNewColumns`.
    pub(super) merge_new_columns: bool,
    /// `CrawlerOutput.Partitions.AddOrUpdateBehavior: InheritFromTable`.
    pub(super) inherit_from_table: bool,
    /// `Grouping.TableGroupingPolicy: CombineCompatibleSchemas`.
    pub(super) combine: bool,
    /// `CRAWL_NEW_FOLDERS_ONLY`.
    pub(super) new_folders_only: bool,
}

impl Definition {
    /// Parses a record, or the fields of a request.
    ///
    /// # Errors
    /// `InvalidInputException` with what is wrong.
    pub(super) fn parse(record: &Value) -> Result<Self, AwsError> {
        let name = text(record, "Name")?.to_owned();
        let targets = &record["Targets"];
        let list = |kind: &str| targets[kind].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(other) = targets.as_object().and_then(|targets| {
            targets
                .iter()
                .filter(|(kind, _)| !matches!(kind.as_str(), "S3Targets" | "CatalogTargets"))
                .find(|(_, given)| given.as_array().is_some_and(|given| !given.is_empty()))
        }) {
            return Err(invalid(format!(
                "{} are not crawled by the local cloud; it takes S3Targets and CatalogTargets.",
                other.0
            )));
        }
        let s3 = list("S3Targets")
            .iter()
            .map(s3_target)
            .collect::<Result<Vec<_>, _>>()?;
        let mut catalog = Vec::new();
        for target in list("CatalogTargets") {
            let database = text(target, "DatabaseName")?.to_lowercase();
            let tables = target["Tables"].as_array().map_or(&[][..], Vec::as_slice);
            if tables.is_empty() {
                return Err(invalid("A catalog target needs at least one table."));
            }
            for table in tables.iter().filter_map(Value::as_str) {
                catalog.push((database.clone(), table.to_lowercase()));
            }
        }
        match (s3.is_empty(), catalog.is_empty()) {
            (true, true) => return Err(invalid("At least one crawler target must be specified.")),
            (false, false) => {
                return Err(invalid(
                    "Catalog targets cannot be mixed with other targets in one crawler.",
                ));
            }
            _ => {}
        }
        let database = match record["DatabaseName"].as_str() {
            Some(database) if !database.is_empty() => database.to_lowercase(),
            _ if catalog.is_empty() => return Err(invalid("DatabaseName is required.")),
            _ => String::new(),
        };
        let definition = Self {
            name,
            database,
            table_prefix: record["TablePrefix"]
                .as_str()
                .unwrap_or_default()
                .to_lowercase(),
            s3,
            catalog,
            update: one_of(
                &record["SchemaChangePolicy"]["UpdateBehavior"],
                "UpdateBehavior",
                UpdateBehavior::Update,
                &[
                    ("LOG", UpdateBehavior::Log),
                    ("UPDATE_IN_DATABASE", UpdateBehavior::Update),
                ],
            )?,
            delete: one_of(
                &record["SchemaChangePolicy"]["DeleteBehavior"],
                "DeleteBehavior",
                DeleteBehavior::Deprecate,
                &[
                    ("LOG", DeleteBehavior::Log),
                    ("DELETE_FROM_DATABASE", DeleteBehavior::Delete),
                    ("DEPRECATE_IN_DATABASE", DeleteBehavior::Deprecate),
                ],
            )?,
            new_folders_only: one_of(
                &record["RecrawlPolicy"]["RecrawlBehavior"],
                "RecrawlBehavior",
                false,
                &[
                    ("CRAWL_EVERYTHING", false),
                    ("CRAWL_NEW_FOLDERS_ONLY", true),
                ],
            )?,
            ..Self::configured(record["Configuration"].as_str())?
        };
        definition.check()?;
        Ok(definition)
    }

    fn check(&self) -> Result<(), AwsError> {
        if !self.catalog.is_empty() && self.delete != DeleteBehavior::Log {
            return Err(invalid(
                "The SchemaChangePolicy for a catalog target can have only LOG DeleteBehavior value.",
            ));
        }
        if self.new_folders_only {
            if !self.catalog.is_empty() {
                return Err(invalid(
                    "The RecrawlPolicy CRAWL_NEW_FOLDERS_ONLY can be used with Amazon S3 targets only.",
                ));
            }
            if self.update != UpdateBehavior::Log || self.delete != DeleteBehavior::Log {
                return Err(invalid(
                    "The SchemaChangePolicy for \"Crawl new folders only\" Amazon S3 target can have only LOG DeleteBehavior value and LOG UpdateBehavior value.",
                ));
            }
        }
        Ok(())
    }

    /// The parts that the text of `Configuration` decides
    /// (<https://docs.aws.amazon.com/glue/latest/dg/crawler-configuration.html>).
    fn configured(text: Option<&str>) -> Result<Self, AwsError> {
        let configuration: Value = match text.filter(|text| !text.trim().is_empty()) {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| invalid(format!("Configuration is not valid JSON: {error}.")))?,
            None => Value::Null,
        };
        let output = &configuration["CrawlerOutput"];
        Ok(Self {
            name: String::new(),
            database: String::new(),
            table_prefix: String::new(),
            s3: Vec::new(),
            catalog: Vec::new(),
            update: UpdateBehavior::Update,
            delete: DeleteBehavior::Log,
            merge_new_columns: one_of(
                &output["Tables"]["AddOrUpdateBehavior"],
                "CrawlerOutput.Tables.AddOrUpdateBehavior",
                false,
                &[("MergeNewColumns", true)],
            )?,
            inherit_from_table: one_of(
                &output["Partitions"]["AddOrUpdateBehavior"],
                "CrawlerOutput.Partitions.AddOrUpdateBehavior",
                false,
                &[("InheritFromTable", true)],
            )?,
            combine: one_of(
                &configuration["Grouping"]["TableGroupingPolicy"],
                "Grouping.TableGroupingPolicy",
                false,
                &[("CombineCompatibleSchemas", true)],
            )?,
            new_folders_only: false,
        })
    }
}

fn one_of<T: Copy>(
    given: &Value,
    field: &str,
    unset: T,
    known: &[(&str, T)],
) -> Result<T, AwsError> {
    if given.is_null() {
        return Ok(unset);
    }
    let known_names = || {
        known
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    known
        .iter()
        .find(|(name, _)| given.as_str() == Some(name))
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            invalid(format!(
                "{field} {given} is not known to the local cloud; it takes {}.",
                known_names()
            ))
        })
}

fn s3_target(given: &Value) -> Result<S3Target, AwsError> {
    let path = text(given, "Path")?;
    let (bucket, prefix) = split(path).ok_or_else(|| {
        invalid(format!(
            "Path {path} is not of the form s3://bucket/prefix."
        ))
    })?;
    let exclusions = given["Exclusions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let sample = match given["SampleSize"].as_u64() {
        None => None,
        Some(files @ 1..=249) => usize::try_from(files).ok(),
        Some(_) => return Err(invalid("SampleSize must be from 1 to 249.")),
    };
    Ok(S3Target {
        bucket,
        prefix,
        exclusions: exclusions
            .iter()
            .filter_map(Value::as_str)
            .map(glob)
            .collect::<Result<_, _>>()?,
        sample,
    })
}

/// Bucket and prefix of an address; the prefix is empty or ends in a slash.
pub(super) fn split(address: &str) -> Option<(String, String)> {
    let rest = address
        .strip_prefix("s3://")
        .or_else(|| address.strip_prefix("s3a://"))?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    (!bucket.is_empty()).then(|| (bucket.to_owned(), format!("{prefix}{slash}")))
}

/// A glob as a crawler's exclusions have it: `*` and `?` stay within a folder,
/// `**` does not, `{a,b}` and `[abc]` choose.
fn glob(pattern: &str) -> Result<Regex, AwsError> {
    let mut source = String::from("^");
    let mut characters = pattern.chars().peekable();
    let mut in_braces = false;
    while let Some(character) = characters.next() {
        match character {
            '*' if characters.peek() == Some(&'*') => {
                characters.next();
                source.push_str(".*");
            }
            '*' => source.push_str("[^/]*"),
            '?' => source.push_str("[^/]"),
            '{' => {
                in_braces = true;
                source.push_str("(?:");
            }
            '}' if in_braces => {
                in_braces = false;
                source.push(')');
            }
            ',' if in_braces => source.push('|'),
            '[' => {
                source.push('[');
                if characters.peek() == Some(&'!') {
                    characters.next();
                    source.push('^');
                }
            }
            ']' => source.push(']'),
            '-' => source.push('-'),
            '\\' => {
                if let Some(next) = characters.next() {
                    source.push_str(&regex::escape(&next.to_string()));
                }
            }
            other => source.push_str(&regex::escape(&other.to_string())),
        }
    }
    source.push('$');
    Regex::new(&source).map_err(|_| invalid(format!("Exclusion {pattern} is not a glob pattern.")))
}

/// The fields of a target as an answer lists them: every kind, empty where none
/// was given.
pub(super) fn all_targets(given: &Value) -> Value {
    const KINDS: [&str; 8] = [
        "S3Targets",
        "JdbcTargets",
        "MongoDBTargets",
        "DynamoDBTargets",
        "CatalogTargets",
        "DeltaTargets",
        "IcebergTargets",
        "HudiTargets",
    ];
    let of = |kind: &str| given[kind].as_array().cloned().unwrap_or_default();
    let targets: HashMap<&str, Vec<Value>> = KINDS.iter().map(|kind| (*kind, of(kind))).collect();
    serde_json::json!(targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(change: Value) -> String {
        let mut record = json!({"Name": "c", "DatabaseName": "d", "Targets": {"S3Targets": [{"Path": "s3://b/x"}]}});
        for (key, value) in change.as_object().unwrap() {
            record[key] = value.clone();
        }
        Definition::parse(&record).unwrap_err().message
    }

    #[test]
    fn what_no_crawl_could_follow_is_refused_with_what_to_write() {
        let table = json!([{"DatabaseName": "d", "Tables": ["t"]}]);
        for (change, says) in [
            (json!({"Targets": {}}), "At least one crawler target"),
            (
                json!({"Targets": {"JdbcTargets": [{"Path": "x"}]}}),
                "JdbcTargets are not crawled",
            ),
            (
                json!({"Targets": {"S3Targets": [{"Path": "b/x"}]}}),
                "s3://bucket/prefix",
            ),
            (
                json!({"Targets": {"S3Targets": [{"Path": "s3://b/x", "SampleSize": 250}]}}),
                "from 1 to 249",
            ),
            (
                json!({"Targets": {"CatalogTargets": [{"DatabaseName": "d", "Tables": []}]}}),
                "at least one table",
            ),
            (
                json!({"Targets": {"CatalogTargets": table}}),
                "only LOG DeleteBehavior",
            ),
            (
                json!({"Targets": {"CatalogTargets": table, "S3Targets": [{"Path": "s3://b/x"}]}}),
                "cannot be mixed",
            ),
            (json!({"DatabaseName": null}), "DatabaseName is required"),
            (
                json!({"SchemaChangePolicy": {"UpdateBehavior": "MERGE"}}),
                "it takes LOG, UPDATE_IN_DATABASE",
            ),
            (
                json!({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVENT_MODE"}}),
                "it takes CRAWL_EVERYTHING",
            ),
            (
                json!({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"}}),
                "Crawl new folders only",
            ),
            (json!({"Configuration": "{"}), "not valid JSON"),
        ] {
            let said = refused(change.clone());
            assert!(said.contains(says), "{change}: {said}");
        }
    }

    #[test]
    fn exclusions_are_globs_below_the_path() {
        let excluded = |pattern: &str, key: &str| glob(pattern).unwrap().is_match(key);
        for (pattern, key, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "x/a.csv", false),
            ("**.csv", "x/a.csv", true),
            ("x/**", "x/y/z", true),
            ("*.{csv,json}", "a.json", true),
            ("a[0-9].csv", "a7.csv", true),
            ("a[!0-9].csv", "a7.csv", false),
            ("a?c", "abc", true),
        ] {
            assert_eq!(excluded(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn an_address_is_split_into_bucket_and_folder() {
        let split = |address| split(address).map(|(bucket, prefix)| format!("{bucket} {prefix}"));
        assert_eq!(split("s3://b").as_deref(), Some("b "));
        assert_eq!(split("s3://b/x/y/").as_deref(), Some("b x/y/"));
        assert_eq!(split("s3://b/x").as_deref(), Some("b x/"));
        assert_eq!(split("b/x"), None);
    }
}
