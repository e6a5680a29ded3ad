//! What a crawl does to the catalog, and what a crawler's record goes through.

use super::folders::{File, Folders};
use super::infer::{Format, Found};
use super::schema::{Kind, Schema};
use super::*;
use crate::glue::{databases, partitions};

struct Catalog {
    store: Arc<Store>,
    _directory: tempfile::TempDir,
}

impl Catalog {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(directory.path()).unwrap());
        databases::create(&store, &json!({"DatabaseInput": {"Name": "market"}})).unwrap();
        Self {
            store,
            _directory: directory,
        }
    }

    /// A table of one's own: two columns, a parameter, partitions by day.
    fn with_table() -> Self {
        let catalog = Self::new();
        let storage = json!({
            "Columns": [{"Name": "symbol", "Type": "string"}, {"Name": "price", "Type": "decimal(18,9)"}],
            "Location": "s3://lake/us/ticks/",
            "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
        });
        let input = json!({
            "Name": "ticks", "StorageDescriptor": storage,
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "Parameters": {"stockpipe.identity": "c/n/us", "classification": "json"},
        });
        let create = json!({"DatabaseName": "market", "TableInput": input});
        tables::create(&catalog.store, &create).unwrap();
        catalog
    }

    fn write(&self, definition: &Definition, write: impl FnOnce(&mut Writer<'_>)) -> Counts {
        let mut writer = Writer::new(&self.store, definition);
        write(&mut writer);
        writer.counts
    }

    fn table(&self, name: &str) -> Value {
        let get = json!({"DatabaseName": "market", "Name": name});
        tables::get(&self.store, &get).unwrap()["Table"].take()
    }

    fn columns(&self, name: &str) -> Vec<String> {
        let table = self.table(name);
        let columns = table["StorageDescriptor"]["Columns"].as_array().unwrap();
        columns
            .iter()
            .map(|c| {
                format!(
                    "{} {}",
                    c["Name"].as_str().unwrap(),
                    c["Type"].as_str().unwrap()
                )
            })
            .collect()
    }

    fn partitions(&self, name: &str) -> Vec<String> {
        let list = json!({"DatabaseName": "market", "TableName": name});
        let found = partitions::list(&self.store, &list).unwrap();
        let found = found["Partitions"].as_array().unwrap().iter();
        found
            .map(|p| {
                format!(
                    "{} at {} with {}",
                    p["Values"][0].as_str().unwrap(),
                    p["StorageDescriptor"]["Location"].as_str().unwrap(),
                    p["StorageDescriptor"]["Columns"].as_array().unwrap().len()
                )
            })
            .collect()
    }
}

fn definition(change: Value) -> Definition {
    let mut record = json!({
        "Name": "c", "DatabaseName": "market", "TablePrefix": "crawled_",
        "Targets": {"S3Targets": [{"Path": "s3://lake/us/ticks"}]},
    });
    for (key, value) in change.as_object().unwrap() {
        record[key] = value.clone();
    }
    Definition::parse(&record).unwrap()
}

fn of_table(change: Value) -> Definition {
    let mut all = json!({
        "Targets": {"CatalogTargets": [{"DatabaseName": "market", "Tables": ["ticks"]}]},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    });
    for (key, value) in change.as_object().unwrap() {
        all[key] = value.clone();
    }
    definition(all)
}

fn file(columns: &[(&str, Kind)]) -> File {
    File {
        name: "a.json".into(),
        bytes: 10,
        found: Some(Found {
            format: Format::Json,
            compression: "gzip",
            schema: Schema::new(
                columns
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), kind.clone())),
            ),
        }),
    }
}

fn days(days: &[(&str, File)]) -> Folders {
    days.iter()
        .map(|(day, file)| (vec![format!("dt={day}")], vec![file.clone()]))
        .collect()
}

fn tick() -> File {
    file(&[
        ("symbol", Kind::String),
        ("price", Kind::Double),
        ("size", Kind::Int),
    ])
}

const INHERIT: &str = r#"{"Version": 1.0, "CrawlerOutput": {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}}}"#;
const MERGE: &str =
    r#"{"Version": 1.0, "CrawlerOutput": {"Tables": {"AddOrUpdateBehavior": "MergeNewColumns"}}}"#;

#[test]
fn a_tables_own_crawler_adds_partitions_and_leaves_its_columns() {
    let catalog = Catalog::with_table();
    let before = catalog.table("ticks");
    let definition = of_table(json!({"Configuration": INHERIT}));
    let found = days(&[("1", tick()), ("2", tick())]);
    let crawl = || {
        catalog.write(&definition, |writer| {
            writer.existing("market", "ticks", &found).unwrap()
        })
    };
    assert_eq!(
        crawl(),
        Counts {
            partitions_created: 2,
            ..Counts::default()
        }
    );
    assert_eq!(catalog.table("ticks"), before);
    assert_eq!(
        catalog.partitions("ticks"),
        [
            "1 at s3://lake/us/ticks/dt=1/ with 2",
            "2 at s3://lake/us/ticks/dt=2/ with 2"
        ]
    );
    assert_eq!(crawl(), Counts::default());

    // A partition that was moved is not judged by the folder that it left.
    let moved = json!({
        "DatabaseName": "market", "TableName": "ticks", "PartitionValueList": ["1"],
        "PartitionInput": {"Values": ["1"], "StorageDescriptor": {
            "Columns": before["StorageDescriptor"]["Columns"],
            "SerdeInfo": before["StorageDescriptor"]["SerdeInfo"],
            "Location": "s3://lake/us/compacted/dt=1/",
        }},
    });
    partitions::update(&catalog.store, &moved).unwrap();
    assert_eq!(crawl(), Counts::default());
    assert_eq!(
        catalog.partitions("ticks")[0],
        "1 at s3://lake/us/compacted/dt=1/ with 2"
    );
}

#[test]
fn columns_change_only_as_the_policy_says_and_foreign_parameters_stay() {
    let update = json!({"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"});
    for (what, change, columns, updated) in [
        (
            "log",
            json!({}),
            &["symbol string", "price decimal(18,9)"][..],
            0,
        ),
        (
            "only new columns",
            json!({"SchemaChangePolicy": update, "Configuration": MERGE}),
            &["symbol string", "price decimal(18,9)", "size int"],
            1,
        ),
        (
            "as the files are",
            json!({"SchemaChangePolicy": update}),
            &["symbol string", "price double", "size int"],
            1,
        ),
    ] {
        let catalog = Catalog::with_table();
        let definition = of_table(change);
        let found = days(&[("1", tick())]);
        let counts = catalog.write(&definition, |writer| {
            writer.existing("market", "ticks", &found).unwrap();
        });
        assert_eq!(catalog.columns("ticks"), columns, "{what}");
        assert_eq!(counts.tables_updated, updated, "{what}");
        let parameters = &catalog.table("ticks")["Parameters"];
        assert_eq!(parameters["stockpipe.identity"], "c/n/us", "{what}");
        assert_eq!(counts.partitions_created, 1, "{what}");
    }
}

#[test]
fn a_folder_becomes_a_table_with_partitions_and_grows() {
    let catalog = Catalog::new();
    let definition = definition(json!({}));
    let crawl = |found: &Folders| {
        catalog.write(&definition, |writer| {
            writer
                .target(&definition.s3[0], &folders::tables(found, false))
                .unwrap();
        })
    };
    let counts = crawl(&days(&[("1", tick())]));
    assert_eq!((counts.tables_created, counts.partitions_created), (1, 1));
    let table = catalog.table("crawled_ticks");
    assert_eq!(
        table["PartitionKeys"],
        json!([{"Name": "dt", "Type": "string"}])
    );
    assert_eq!(
        table["StorageDescriptor"]["Location"],
        "s3://lake/us/ticks/"
    );
    for (parameter, value) in [
        ("classification", "json"),
        ("compressionType", "gzip"),
        ("UPDATED_BY_CRAWLER", "c"),
        ("objectCount", "1"),
        ("sizeKey", "10"),
    ] {
        assert_eq!(table["Parameters"][parameter], value, "{parameter}");
    }
    let wider = file(&[
        ("symbol", Kind::String),
        ("price", Kind::Double),
        ("size", Kind::BigInt),
        ("venue", Kind::String),
    ]);
    let counts = crawl(&days(&[("1", tick()), ("2", wider)]));
    assert_eq!(
        (
            counts.tables_created,
            counts.tables_updated,
            counts.partitions_created
        ),
        (0, 1, 1)
    );
    assert_eq!(
        catalog.columns("crawled_ticks"),
        [
            "symbol string",
            "price double",
            "size bigint",
            "venue string"
        ]
    );
    assert_eq!(
        catalog.table("crawled_ticks")["Parameters"]["objectCount"],
        "2"
    );
}

#[test]
fn what_is_gone_is_kept_deleted_or_marked_as_the_policy_says() {
    for (behavior, partitions, tables, marked) in [
        ("LOG", 2, true, false),
        ("DELETE_FROM_DATABASE", 1, false, false),
        ("DEPRECATE_IN_DATABASE", 2, true, true),
    ] {
        let catalog = Catalog::new();
        let definition = definition(json!({
            "SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": behavior},
        }));
        let crawl = |found: &Folders| {
            catalog.write(&definition, |writer| {
                writer
                    .target(&definition.s3[0], &folders::tables(found, false))
                    .unwrap();
            })
        };
        crawl(&days(&[("1", tick()), ("2", tick())]));
        crawl(&days(&[("2", tick())]));
        assert_eq!(
            catalog.partitions("crawled_ticks").len(),
            partitions,
            "{behavior}"
        );
        crawl(&Folders::new());
        let list = tables::list(&catalog.store, &json!({"DatabaseName": "market"})).unwrap();
        assert_eq!(
            !list["TableList"].as_array().unwrap().is_empty(),
            tables,
            "{behavior}"
        );
        if tables {
            let parameters = &catalog.table("crawled_ticks")["Parameters"];
            assert_eq!(
                parameters["DEPRECATED_BY_CRAWLER"].is_string(),
                marked,
                "{behavior}"
            );
        }
    }
}

#[test]
fn a_name_that_a_table_of_another_place_has_gets_a_hash() {
    let catalog = Catalog::with_table();
    let definition = definition(json!({
        "TablePrefix": "", "Targets": {"S3Targets": [{"Path": "s3://other/ticks"}]},
    }));
    let before = catalog.table("ticks");
    catalog.write(&definition, |writer| {
        let found = folders::tables(&days(&[("1", tick())]), false);
        writer.target(&definition.s3[0], &found).unwrap();
    });
    assert_eq!(catalog.table("ticks"), before);
    let list = tables::list(&catalog.store, &json!({"DatabaseName": "market"})).unwrap();
    let names: Vec<&str> = list["TableList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["Name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 2);
    assert!(
        names[1].starts_with("ticks_") && names[1].len() == 38,
        "{names:?}"
    );
}

/// Crawlers whose S3 is at an address where nothing listens.
fn crawlers(store: &Arc<Store>) -> Arc<Crawlers> {
    // Ignored: another test of this process may have installed the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            "a", "b", None, None, "test",
        ))
        .endpoint_url("http://127.0.0.1:9")
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .build();
    Crawlers::open(Arc::clone(store), Client::from_conf(config)).unwrap()
}

fn ask(crawlers: &Arc<Crawlers>, op: &str, body: Value) -> Result<Value, AwsError> {
    Crawlers::operation(op).unwrap()(crawlers, &body, &Handle::current())
}

fn new_crawler() -> Value {
    json!({
        "Name": "C", "Role": "arn:aws:iam::000000000000:role/r", "DatabaseName": "market",
        "Targets": {"S3Targets": [{"Path": "s3://lake/us"}]}, "Tags": {"team": "data"},
    })
}

#[tokio::test]
async fn a_crawler_is_made_changed_told_and_deleted_in_the_words_of_glue() {
    let catalog = Catalog::new();
    let crawlers = crawlers(&catalog.store);
    ask(&crawlers, "CreateCrawler", new_crawler()).unwrap();
    for (op, body, code, says) in [
        (
            "CreateCrawler",
            new_crawler(),
            "AlreadyExistsException",
            "already exists",
        ),
        (
            "CreateCrawler",
            json!({"Name": "x", "Targets": {}}),
            "InvalidInputException",
            "Role is required",
        ),
        (
            "GetCrawler",
            json!({"Name": "c"}),
            "EntityNotFoundException",
            "Crawler entry with name c does not exist",
        ),
        (
            "StartCrawler",
            json!({"Name": "c"}),
            "EntityNotFoundException",
            "Crawler with name c does not exist",
        ),
        (
            "StopCrawler",
            json!({"Name": "C"}),
            "CrawlerNotRunningException",
            "is not running",
        ),
        (
            "StartCrawlerSchedule",
            json!({"CrawlerName": "C"}),
            "NoScheduleException",
            "no schedule",
        ),
        (
            "UpdateCrawler",
            json!({"Name": "C", "Schedule": "hourly"}),
            "InvalidInputException",
            "cron(",
        ),
    ] {
        let error = ask(&crawlers, op, body).unwrap_err();
        assert_eq!(error.code, code, "{op}: {error}");
        assert!(error.message.contains(says), "{op}: {error}");
    }
    ask(
        &crawlers,
        "UpdateCrawler",
        json!({"Name": "C", "Description": "d", "Schedule": "cron(0 8 * * ? *)"}),
    )
    .unwrap();
    ask(
        &crawlers,
        "StopCrawlerSchedule",
        json!({"CrawlerName": "C"}),
    )
    .unwrap();
    let told = ask(&crawlers, "GetCrawler", json!({"Name": "C"})).unwrap();
    let told = &told["Crawler"];
    for (field, value) in [
        ("State", json!("READY")),
        ("Version", json!(2)),
        ("Description", json!("d")),
        (
            "Schedule",
            json!({"ScheduleExpression": "cron(0 8 * * ? *)", "State": "NOT_SCHEDULED"}),
        ),
        (
            "SchemaChangePolicy",
            json!({"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"}),
        ),
        (
            "RecrawlPolicy",
            json!({"RecrawlBehavior": "CRAWL_EVERYTHING"}),
        ),
        ("CrawlElapsedTime", json!(0)),
        ("Tags", Value::Null),
        ("LastCrawl", Value::Null),
    ] {
        assert_eq!(told[field], value, "{field}");
    }
    assert_eq!(told["Targets"]["CatalogTargets"], json!([]));
    let arn = "arn:aws:glue:us-east-1:000000000000:crawler/C";
    ask(
        &crawlers,
        "TagResource",
        json!({"ResourceArn": arn, "TagsToAdd": {"stage": "dev"}}),
    )
    .unwrap();
    let tags = ask(&crawlers, "GetTags", json!({"ResourceArn": arn})).unwrap();
    assert_eq!(tags["Tags"], json!({"team": "data", "stage": "dev"}));
    for (wanted, names) in [(json!({"stage": "dev"}), 1), (json!({"stage": "prod"}), 0)] {
        let list = ask(&crawlers, "ListCrawlers", json!({"Tags": wanted})).unwrap();
        assert_eq!(list["CrawlerNames"].as_array().unwrap().len(), names);
    }
    let batch = ask(
        &crawlers,
        "BatchGetCrawlers",
        json!({"CrawlerNames": ["C", "D"]}),
    )
    .unwrap();
    assert_eq!(batch["CrawlersNotFound"], json!(["D"]));
    ask(&crawlers, "DeleteCrawler", json!({"Name": "C"})).unwrap();
    let all = ask(&crawlers, "GetCrawlers", json!({})).unwrap();
    assert_eq!(all["Crawlers"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_cannot_read_has_failed_and_one_that_was_broken_off_too() {
    let catalog = Catalog::new();
    let first = crawlers(&catalog.store);
    ask(&first, "CreateCrawler", new_crawler()).unwrap();
    ask(&first, "StartCrawler", json!({"Name": "C"})).unwrap();
    let ended = loop {
        let told = ask(&first, "GetCrawler", json!({"Name": "C"})).unwrap();
        if told["Crawler"]["State"] == "READY" {
            break told;
        }
        tokio::task::yield_now().await;
    };
    let last = &ended["Crawler"]["LastCrawl"];
    assert_eq!(last["Status"], "FAILED");
    let why = last["ErrorMessage"].as_str().unwrap();
    assert!(
        why.starts_with("s3://lake/us/ could not be listed"),
        "{why}"
    );
    let crawls = ask(&first, "ListCrawls", json!({"CrawlerName": "C"})).unwrap();
    assert_eq!(crawls["Crawls"][0]["State"], "FAILED");
    assert_eq!(crawls["Crawls"][0]["CrawlId"], last["MessagePrefix"]);
    let metrics = ask(
        &first,
        "GetCrawlerMetrics",
        json!({"CrawlerNameList": ["C"]}),
    )
    .unwrap();
    assert_eq!(metrics["CrawlerMetricsList"][0]["TablesCreated"], 0);

    // As `kill -9` would leave it.
    first
        .change("C", |record| {
            record.insert(UNDER_WAY.into(), now());
            Ok(())
        })
        .unwrap();
    let second = crawlers(&catalog.store);
    let told = ask(&second, "GetCrawler", json!({"Name": "C"})).unwrap();
    assert_eq!(told["Crawler"]["State"], "READY");
    let why = told["Crawler"]["LastCrawl"]["ErrorMessage"]
        .as_str()
        .unwrap();
    assert!(why.contains("ended during the crawl"), "{why}");
}
