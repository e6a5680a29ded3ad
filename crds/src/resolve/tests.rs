use std::collections::BTreeMap;

use super::*;
use crate::pipeline::{BuiltinReport, ColumnSource};
use std::time::Duration;

fn pipeline(spec: &str) -> StockPipeline {
    let text = format!(
        "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: us-equities}}\nspec:\n{spec}"
    );
    crate::yaml::load(&text, "p.yaml").unwrap_or_else(|error| panic!("{error}"))
}

fn refused(spec: &str) -> String {
    let violations = resolve(&pipeline(spec)).unwrap_err();
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].to_string()
}

#[test]
fn the_smallest_pipeline_gets_every_default() {
    let resolved = resolve(&pipeline("  lake: {bucket: acme}\n")).unwrap();
    assert_eq!(
        resolved,
        Pipeline {
            namespace: "default".into(),
            name: "us-equities".into(),
            uid: None,
            suspend: false,
            market: Market {
                calendar: "24x7".into(),
                symbols: [
                    "AAPL", "AMZN", "GOOGL", "JPM", "META", "MSFT", "NVDA", "TSLA"
                ]
                .map(String::from)
                .to_vec(),
                universe: None,
            },
            source: Source::Simulated {
                seed: 42,
                ticks_per_second: 100,
                top_ticks_per_second: None,
                speed: 1,
                start: None,
                clock: MarketClock::Wall,
                scenarios: Vec::new(),
                late: 0.0,
                corrections: 0.0,
            },
            kafka: Kafka {
                bootstrap_servers: None,
                group_protocol: GroupProtocol::Classic,
                topic: Topic {
                    name: "us-equities.ticks".into(),
                    partitions: 3,
                    replication_factor: 3,
                    config: BTreeMap::new(),
                    deletion_policy: DeletionPolicy::Retain,
                },
            },
            consumer: Consumer {
                replicas: 1,
                memory_budget: 256 << 20,
            },
            lake: Lake {
                bucket: "acme".into(),
                prefix: "us-equities/ticks".into(),
                format: Format::Parquet,
                compression: Compression::Zstd,
                partition_by: PartitionBy::Hour,
                roll: Roll {
                    max_age: Duration::from_secs(60),
                    max_rows: 1_000_000,
                    max_bytes: 128 << 20,
                    max_files_per_range: 64,
                },
                idle_timeout: Duration::from_secs(60),
                allowed_lateness: Duration::ZERO,
                abort_uploads_after: Duration::from_secs(7 * 86_400),
                deletion_policy: DeletionPolicy::Retain,
            },
            catalog: Catalog {
                database: "stockpipe".into(),
                table: "us_equities_ticks".into(),
                crawler: None,
            },
            reports: Vec::new(),
            monitoring: Monitoring { dashboard: true },
            provisioning: Provisioning::Manage,
            aws: Aws {
                region: "us-east-1".into(),
                credentials_secret: None,
                endpoints: Endpoints {
                    s3: Endpoint::Unset,
                    glue: Endpoint::Unset,
                    athena: Endpoint::Unset,
                },
                s3_path_style: false,
            },
        }
    );
}

#[test]
fn names_of_another_pipelines_things_can_be_given() {
    let resolved = resolve(&pipeline(
        "  lake: {bucket: acme, prefix: p, format: Json}
  kafka: {bootstrapServers: 'kafka:9092', topic: {name: t, config: {retention.ms: '1'}}}
  catalog: {database: market, table: x}
",
    ))
    .unwrap();
    assert_eq!(resolved.lake.prefix, "p");
    assert_eq!(resolved.lake.compression, Compression::Gzip);
    assert_eq!(
        resolved.kafka.bootstrap_servers.as_deref(),
        Some("kafka:9092")
    );
    assert_eq!(resolved.kafka.topic.config["retention.ms"], "1");
    assert_eq!(
        resolved.catalog,
        Catalog {
            database: "market".into(),
            table: "x".into(),
            crawler: None,
        }
    );
}

#[test]
fn a_crawler_looks_at_the_table_unless_told_to_make_its_own() {
    let crawler = |text: &str| {
        let spec = format!(
            "  lake: {{bucket: acme, prefix: us/All-Ticks}}\n  catalog: {{table: all_ticks, crawler: {text}}}\n"
        );
        resolve(&pipeline(&spec)).map(|resolved| resolved.catalog.crawler.unwrap())
    };
    let plain = crawler("{}").unwrap();
    assert_eq!(
        (plain.target, plain.schedule, plain.timeout),
        (CrawlTarget::Catalog, None, Duration::from_secs(3_600))
    );
    assert_eq!(
        crawler("{target: S3, recrawl: NewFolders}").unwrap().target,
        CrawlTarget::S3 {
            table: "crawled_all_ticks".into(),
            table_prefix: "crawled_".into(),
            new_folders_only: true,
        }
    );
    let refused = crawler("{target: S3, tablePrefix: all_}");
    assert!(refused.is_ok());
    let spec = "  lake: {bucket: acme, prefix: us/ticks}\n  catalog: {table: x_ticks, crawler: {target: S3, tablePrefix: x_}}\n";
    let refused = resolve(&pipeline(spec)).unwrap_err();
    assert_eq!(refused[0].path, "spec.catalog.crawler.tablePrefix");
}

#[test]
fn columns_of_a_replay_are_headers_or_constants() {
    let resolved = resolve(&pipeline(
        "  lake: {bucket: acme}
  source:
    replay:
      uri: prices.csv.gz
      speed: 0
      columns: {symbol: {const: GSPC}, date: Date, timeFormat: '%m/%d/%Y', close: Close, adjClose: Adj Close}
",
    ))
    .unwrap();
    let Source::Replay(replay) = resolved.source else {
        panic!("{:?}", resolved.source);
    };
    assert_eq!(
        (replay.uris[0].as_str(), replay.speed),
        ("prices.csv.gz", 0)
    );
    let columns = replay.columns.unwrap();
    assert_eq!(columns.symbol, ColumnSource::Const("GSPC".into()));
    assert_eq!(columns.time, ColumnSource::Header("Date".into()));
    assert_eq!(columns.time_formats, ["%m/%d/%Y"]);
    assert_eq!(
        columns.fields,
        BTreeMap::from([
            (
                "adj_close".to_owned(),
                ColumnSource::Header("Adj Close".into())
            ),
            ("close".to_owned(), ColumnSource::Header("Close".into())),
        ])
    );
}

#[test]
fn a_simulated_market_resolves_with_its_scenarios() {
    let resolved = resolve(&pipeline(
        "  lake: {bucket: acme}
  market: {calendar: XNYS, universe: {size: 500}}
  source:
    simulated:
      start: 2026-11-16
      clock: FromStart
      skipClosed: true
      disorder: {late: 0.1%, corrections: 0.01%}
      scenarios:
        - {kind: normal}
        - {kind: crisis, from: 2026-11-20T15:00:00Z}
        - {kind: halt, from: 2026-11-20T15:00:00Z, to: 2026-11-20T15:20:00Z, symbol: AAPL}
",
    ))
    .unwrap();
    assert_eq!(resolved.market.universe, Some(500));
    assert!(resolved.market.symbols.is_empty());
    let from_ns = 1_795_186_800_000_000_000;
    let crisis = Scenario {
        kind: "crisis".into(),
        from_ns,
        until_ns: i64::MAX,
        symbol: None,
    };
    let halt = Scenario {
        kind: "halt".into(),
        from_ns,
        until_ns: from_ns + 20 * 60 * 1_000_000_000,
        symbol: Some("AAPL".into()),
    };
    assert_eq!(
        resolved.source,
        Source::Simulated {
            seed: 42,
            ticks_per_second: 100,
            top_ticks_per_second: None,
            speed: 1,
            start: Some(jiff::civil::date(2026, 11, 16)),
            clock: MarketClock::FromStart { skip_closed: true },
            scenarios: vec![crisis, halt],
            late: 0.1 / 100.0,
            corrections: 0.01 / 100.0,
        }
    );
}

#[test]
fn a_replay_needs_a_symbol_a_time_and_a_price() {
    let with = |columns: &str| {
        refused(&format!(
            "  lake: {{bucket: acme}}\n  source: {{replay: {{uri: p.csv, columns: {{{columns}}}}}}}\n"
        ))
    };
    assert!(with("time: t, close: c").contains("columns.symbol is missing"));
    assert!(with("symbol: s, close: c").contains("columns.time is missing"));
    assert!(with("symbol: s, time: t, open: o").contains("maps no price"));
}

#[test]
fn reports_resolve_with_their_schedules() {
    let resolved = resolve(&pipeline(
        "  lake: {bucket: acme}
  market: {calendar: XNYS}
  reports:
    - {name: daily-ohlcv, builtin: daily-ohlcv, schedule: {cron: 30 16 * * 1-5, timeZone: America/New_York}}
    - {name: rates, sql: {query: SELECT 1}, interval: Hour, dataDate: Previous, deadline: 5m, maxScannedBytes: 10Mi}
",
    ))
    .unwrap();
    let [daily, rates] = resolved.reports.as_slice() else {
        panic!("{:?}", resolved.reports);
    };
    assert_eq!(daily.query, ReportQuery::Builtin(BuiltinReport::DailyOhlcv));
    assert_eq!(daily.interval, Interval::Session);
    assert_eq!(daily.deadline, Duration::from_secs(7_200));
    assert_eq!(daily.max_scanned_bytes, 1 << 30);
    let schedule = daily.schedule.as_ref().unwrap();
    assert_eq!(schedule.cron.as_str(), "30 16 * * 1-5");
    assert_eq!(schedule.time_zone.iana_name(), Some("America/New_York"));
    assert_eq!(rates.query, ReportQuery::Sql("SELECT 1".into()));
    assert_eq!(rates.max_scanned_bytes, 10 << 20);
    assert!(rates.schedule.is_none());
}

#[test]
fn schedules_that_cannot_fire_are_refused() {
    let with = |schedule: &str| {
        refused(&format!(
            "  lake: {{bucket: acme}}\n  reports: [{{name: r, builtin: daily-ohlcv, schedule: {{{schedule}}}}}]\n"
        ))
    };
    assert!(
        with("cron: 60 * * * *")
            .starts_with("spec.reports[0].schedule.cron has \"60\" as minute; write 0 to 59")
    );
    assert!(with("cron: 0 0 30 2 *").contains("never fires"));
    assert!(
        with("cron: '@daily', timeZone: America/Gotham")
            .contains("America/Gotham is not a time zone")
    );
}

#[test]
fn calendars_of_other_exchanges_are_refused_by_name() {
    assert_eq!(
        refused("  lake: {bucket: acme}\n  market: {calendar: XSHG}\n"),
        "spec.market.calendar XSHG is not supported in this version; write one of XNYS, XNAS, \
         XLON, XETR, XTKS, XPAR, XHKG, XASX, XTSE, XBOM, 24x7"
    );
}

#[test]
fn an_s3_address_means_path_style_unless_told_otherwise() {
    let style = |aws: &str| {
        resolve(&pipeline(&format!(
            "  lake: {{bucket: acme}}\n  aws: {aws}\n"
        )))
        .unwrap()
        .aws
    };
    let minio = style(
        "{endpoints: {s3: 'http://minio:9000/', glue: aws}, credentialsSecretRef: {name: keys}}",
    );
    assert!(minio.s3_path_style);
    assert_eq!(
        minio.endpoints.s3,
        Endpoint::Url("http://minio:9000".into())
    );
    assert_eq!(minio.endpoints.glue, Endpoint::Aws);
    assert_eq!(minio.credentials_secret.as_deref(), Some("keys"));
    assert!(!style("{endpoints: {s3: 'http://minio:9000'}, s3PathStyle: false}").s3_path_style);
    assert!(!style("{endpoints: {s3: aws}}").s3_path_style);
    assert!(style("{endpoints: {s3: embedded}}").s3_path_style);
}

#[test]
fn fields_that_only_a_cluster_uses_are_named() {
    let full = pipeline(
        "  lake: {bucket: acme}
  version: 0.1.0
  producer: {resources: {requests: {cpu: 500m, memory: 256Mi}}, template: {labels: {team: data}}}
  consumer: {autoscaling: {maxReplicas: 3}, template: {tolerations: [{key: x, operator: Exists}]}}
  monitoring: {prometheus: {podMonitor: true}}
  aws: {roleArn: 'arn:aws:iam::123456789012:role/x'}
",
    );
    assert_eq!(
        cluster_only_fields(&full),
        [
            "spec.version",
            "spec.producer.resources",
            "spec.producer.template",
            "spec.consumer.autoscaling",
            "spec.consumer.template",
            "spec.monitoring.prometheus",
            "spec.aws.roleArn"
        ]
    );
    assert!(resolve(&full).is_ok());
    assert_eq!(
        cluster_only_fields(&pipeline("  lake: {bucket: acme}\n")),
        Vec::<String>::new()
    );
}
