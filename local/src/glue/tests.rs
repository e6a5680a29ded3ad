use super::*;
use serde_json::json;

struct Catalog {
    glue: Glue,
    dir: tempfile::TempDir,
}

impl Catalog {
    async fn with_table() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let glue = Glue::open(dir.path()).unwrap();
        let catalog = Self { glue, dir };
        catalog
            .ok(
                "CreateDatabase",
                json!({"DatabaseInput": {"Name": "Market"}}),
            )
            .await;
        catalog
            .ok(
                "CreateTable",
                json!({"DatabaseName": "market", "TableInput": {
                    "Name": "Ticks",
                    "Description": null,
                    "StorageDescriptor": {
                        "Columns": [{"Name": "Symbol", "Type": "string"}],
                        "Location": "s3://lake/ticks/",
                    },
                    "PartitionKeys": [{"Name": "dt", "Type": "string"}, {"Name": "hour", "Type": "int"}],
                }}),
            )
            .await;
        catalog
    }

    async fn ok(&self, op: &str, body: Value) -> Value {
        self.glue.handle(op, body).await.unwrap()
    }

    async fn refused(&self, op: &str, body: Value) -> AwsError {
        self.glue.handle(op, body).await.unwrap_err()
    }

    async fn add_hours(&self, day: &str, hours: std::ops::Range<u32>) -> Value {
        let list: Vec<Value> = hours
            .map(|h| {
                json!({"Values": [day, h.to_string()], "StorageDescriptor": {
                    "Location": format!("s3://lake/ticks/dt={day}/hour={h}/"),
                    "Columns": [{"Name": "symbol", "Type": "string"}],
                }})
            })
            .collect();
        self.ok(
            "BatchCreatePartition",
            json!({"DatabaseName": "market", "TableName": "ticks", "PartitionInputList": list}),
        )
        .await
    }

    async fn partitions(&self, expression: &str) -> Vec<Value> {
        let answer = self
            .ok(
                "GetPartitions",
                json!({"DatabaseName": "market", "TableName": "ticks", "Expression": expression}),
            )
            .await;
        answer["Partitions"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn names_are_lower_cased_and_unset_fields_are_absent() {
    let catalog = Catalog::with_table().await;
    let table = catalog
        .ok(
            "GetTable",
            json!({"DatabaseName": "MARKET", "Name": "TICKS"}),
        )
        .await;
    let table = &table["Table"];
    assert_eq!(table["Name"], "ticks");
    assert_eq!(table["StorageDescriptor"]["Columns"][0]["Name"], "symbol");
    assert!(table.get("Description").is_none());
    assert!(table.get("Owner").is_none());
    assert_eq!(table["CatalogId"], CATALOG_ID);
    assert_eq!(table["VersionId"], "0");
    assert!(table["CreateTime"].as_f64().unwrap() > 1.7e9);
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let catalog = Catalog::with_table().await;
    catalog.add_hours("2026-11-20", 0..3).await;
    let Catalog { glue, dir } = catalog;
    drop(glue);
    let again = Catalog {
        glue: Glue::open(dir.path()).unwrap(),
        dir,
    };
    assert_eq!(again.partitions("").await.len(), 3);
}

#[tokio::test]
async fn missing_and_double_things_have_the_codes_of_glue() {
    let catalog = Catalog::with_table().await;
    for (op, body, code) in [
        (
            "GetDatabase",
            json!({"Name": "nope"}),
            "EntityNotFoundException",
        ),
        (
            "GetTable",
            json!({"DatabaseName": "nope", "Name": "t"}),
            "EntityNotFoundException",
        ),
        (
            "GetTable",
            json!({"DatabaseName": "market", "Name": "t"}),
            "EntityNotFoundException",
        ),
        (
            "GetTables",
            json!({"DatabaseName": "nope"}),
            "EntityNotFoundException",
        ),
        (
            "CreateDatabase",
            json!({"DatabaseInput": {"Name": "market"}}),
            "AlreadyExistsException",
        ),
        (
            "CreateTable",
            json!({"DatabaseName": "market", "TableInput": {"Name": "ticks"}}),
            "AlreadyExistsException",
        ),
        (
            "CreateTable",
            json!({"DatabaseName": "market"}),
            "InvalidInputException",
        ),
        (
            "GetPartitions",
            json!({"DatabaseName": "market", "TableName": "x"}),
            "EntityNotFoundException",
        ),
        (
            "StartCrawler",
            json!({"Name": "c"}),
            "UnknownOperationException",
        ),
        (
            "GetColumnStatisticsForTable",
            json!({}),
            "UnknownOperationException",
        ),
    ] {
        assert_eq!(
            catalog.refused(op, body.clone()).await.code,
            code,
            "{op} {body}"
        );
    }
}

#[tokio::test]
async fn update_table_counts_versions_and_refuses_a_stale_one() {
    let catalog = Catalog::with_table().await;
    let update = |version: Value, description: &str| {
        json!({"DatabaseName": "market", "VersionId": version, "TableInput": {
            "Name": "ticks", "Description": description,
        }})
    };
    catalog.ok("UpdateTable", update(json!("0"), "first")).await;
    let stale = catalog
        .refused("UpdateTable", update(json!("0"), "late"))
        .await;
    assert_eq!(stale.code, "ConcurrentModificationException");
    catalog
        .ok("UpdateTable", update(Value::Null, "second"))
        .await;
    let table = catalog
        .ok(
            "GetTable",
            json!({"DatabaseName": "market", "Name": "ticks"}),
        )
        .await;
    assert_eq!(table["Table"]["VersionId"], "2");
    assert_eq!(table["Table"]["Description"], "second");
    let versions = catalog
        .ok(
            "GetTableVersions",
            json!({"DatabaseName": "market", "TableName": "ticks"}),
        )
        .await;
    let ids: Vec<&str> = versions["TableVersions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["VersionId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["2", "1", "0"]);
}

#[tokio::test]
async fn batch_create_tells_which_partitions_were_there() {
    let catalog = Catalog::with_table().await;
    assert_eq!(
        catalog.add_hours("2026-11-20", 0..2).await["Errors"],
        json!([])
    );
    let again = catalog.add_hours("2026-11-20", 1..4).await;
    let errors = again["Errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["PartitionValues"], json!(["2026-11-20", "1"]));
    assert_eq!(
        errors[0]["ErrorDetail"]["ErrorCode"],
        "AlreadyExistsException"
    );
    assert_eq!(catalog.partitions("").await.len(), 4);
    let many: Vec<Value> = (0..101)
        .map(|h| json!({"Values": ["d", h.to_string()]}))
        .collect();
    let refused = catalog
        .refused(
            "BatchCreatePartition",
            json!({"DatabaseName": "market", "TableName": "ticks", "PartitionInputList": many}),
        )
        .await;
    assert_eq!(refused.code, "ValidationException");
}

#[tokio::test]
async fn get_partitions_filters_pages_and_segments() {
    let catalog = Catalog::with_table().await;
    for day in ["2026-11-19", "2026-11-20"] {
        catalog.add_hours(day, 0..24).await;
    }
    assert_eq!(
        catalog
            .partitions("dt = '2026-11-20' and hour between 9 and 11")
            .await
            .len(),
        3
    );
    let mut seen = Vec::new();
    let mut next = Value::Null;
    loop {
        let answer = catalog
            .ok(
                "GetPartitions",
                json!({"DatabaseName": "market", "TableName": "ticks", "MaxResults": 7,
                    "Expression": "hour <> 5", "NextToken": next, "ExcludeColumnSchema": true}),
            )
            .await;
        for partition in answer["Partitions"].as_array().unwrap() {
            assert!(partition["StorageDescriptor"].get("Columns").is_none());
            seen.push(partition["Values"].clone());
        }
        match answer.get("NextToken") {
            Some(token) => next = token.clone(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 46);
    let mut by_segment = 0;
    for number in 0..3 {
        let answer = catalog
            .ok(
                "GetPartitions",
                json!({"DatabaseName": "market", "TableName": "ticks",
                    "Segment": {"SegmentNumber": number, "TotalSegments": 3}}),
            )
            .await;
        by_segment += answer["Partitions"].as_array().unwrap().len();
    }
    assert_eq!(by_segment, 48);
}

#[tokio::test]
async fn a_partition_moves_and_is_deleted() {
    let catalog = Catalog::with_table().await;
    catalog.add_hours("2026-11-20", 0..2).await;
    let at = json!({"DatabaseName": "market", "TableName": "ticks"});
    let mut update = at.clone();
    update["PartitionValueList"] = json!(["2026-11-20", "0"]);
    update["PartitionInput"] = json!({"Values": ["2026-11-20", "0"],
        "StorageDescriptor": {"Location": "s3://lake/compacted/"}});
    catalog.ok("UpdatePartition", update).await;
    let mut get = at.clone();
    get["PartitionValues"] = json!(["2026-11-20", "0"]);
    let found = catalog.ok("GetPartition", get.clone()).await;
    assert_eq!(
        found["Partition"]["StorageDescriptor"]["Location"],
        "s3://lake/compacted/"
    );
    catalog.ok("DeletePartition", get.clone()).await;
    assert_eq!(
        catalog.refused("GetPartition", get.clone()).await.code,
        "EntityNotFoundException"
    );
    assert_eq!(
        catalog.refused("DeletePartition", get).await.code,
        "EntityNotFoundException"
    );
    assert_eq!(catalog.partitions("").await.len(), 1);
}

#[tokio::test]
async fn deleting_a_database_takes_its_tables_and_partitions_along() {
    let catalog = Catalog::with_table().await;
    catalog.add_hours("2026-11-20", 0..2).await;
    catalog
        .ok(
            "CreateDatabase",
            json!({"DatabaseInput": {"Name": "other"}}),
        )
        .await;
    catalog
        .ok(
            "CreateTable",
            json!({"DatabaseName": "other", "TableInput": {"Name": "kept"}}),
        )
        .await;
    catalog
        .ok("DeleteDatabase", json!({"Name": "market"}))
        .await;
    catalog
        .ok(
            "CreateDatabase",
            json!({"DatabaseInput": {"Name": "market"}}),
        )
        .await;
    let tables = catalog
        .ok("GetTables", json!({"DatabaseName": "market"}))
        .await;
    assert_eq!(tables["TableList"], json!([]));
    catalog
        .ok("GetTable", json!({"DatabaseName": "other", "Name": "kept"}))
        .await;
}

#[tokio::test]
async fn get_tables_takes_regular_expressions_and_globs() {
    let catalog = Catalog::with_table().await;
    catalog
        .ok(
            "CreateTable",
            json!({"DatabaseName": "market", "TableInput": {"Name": "bars_1m"}}),
        )
        .await;
    for (expression, count) in [
        ("ticks", 1),
        ("tick", 0),
        (".*s.*", 2),
        ("*s*", 2),
        ("bars_\\d+m", 1),
    ] {
        let found = catalog
            .ok(
                "GetTables",
                json!({"DatabaseName": "market", "Expression": expression}),
            )
            .await;
        assert_eq!(
            found["TableList"].as_array().unwrap().len(),
            count,
            "{expression}"
        );
    }
}
