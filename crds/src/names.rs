//! Names, each under the rules of the service that keeps it.

use crate::text::{TextRule, text_types};

/// DNS-1035 label: what Kubernetes asks of a Service's name.
const DNS_1035: &str = "^[a-z]([-a-z0-9]*[a-z0-9])?$";

/// Longest name of a pipeline: it prefixes every child's name.
pub const MAX_PIPELINE_NAME: usize = 24;

text_types! {
    /// Name of a `StockPipeline`: a DNS-1035 label of at most 24 characters,
    /// because it prefixes the name of every child.
    PipelineName, 24, [TextRule::must(
        DNS_1035,
        "must be lower-case letters, digits and '-', starting with a letter, for instance us-equities",
    )];

    /// Name of a report: a DNS-1035 label, part of job and workgroup names.
    ReportName, 20, [TextRule::must(
        DNS_1035,
        "must be lower-case letters, digits and '-', starting with a letter, for instance daily-ohlcv",
    )];

    /// Name of a transform: a DNS-1035 label of at most 16 characters.
    TransformName, 16, [TextRule::must(
        DNS_1035,
        "must be lower-case letters, digits and '-', starting with a letter, for instance minute-bars",
    )];

    /// Symbol of an instrument, as its source writes it: `AAPL`, `BRK.B`,
    /// `BTC-USD`, `^GSPC`.
    Symbol, 32, [TextRule::must(
        "^[A-Za-z0-9^][A-Za-z0-9._^=/:-]*$",
        "must be letters, digits and . _ ^ = / : -, for instance AAPL or BRK.B",
    )];

    /// Name of a trading calendar: an ISO 10383 market identifier or `24x7`.
    CalendarName, 8, [TextRule::must(
        "^([A-Z0-9]{4}|24x7)$",
        "must be an ISO 10383 market identifier such as XNYS, or 24x7",
    )];

    /// Kafka topic name (the broker's rule: letters, digits, `.`, `_`, `-`, at
    /// most 249, neither `.` nor `..`).
    TopicName, 249, [
        TextRule::must(
            "^[A-Za-z0-9._-]+$",
            "must be letters, digits and . _ -, for instance us-equities.ticks",
        ),
        TextRule::must_not("^[.][.]?$", "is not a topic name; write for instance us-equities.ticks"),
    ];

    /// Key of a Kafka topic's configuration: `retention.ms`.
    TopicConfigKey, 64, [TextRule::must(
        "^[a-z][a-z0-9.]*$",
        "must be a topic configuration key such as retention.ms",
    )];

    /// Value of a Kafka topic's configuration.
    TopicConfigValue, 1024, [];

    /// General-purpose S3 bucket name (S3's naming rules).
    BucketName, 63, [
        TextRule::must(
            "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            "must be 3 to 63 lower-case letters, digits, '.' and '-', starting and ending with a letter or digit, for instance acme-market-data",
        ),
        TextRule::must_not("[.][.]", "may not hold two dots in a row"),
        TextRule::must_not(
            "^[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}$",
            "may not look like an IP address; write for instance acme-market-data",
        ),
        TextRule::must_not(
            "^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|[.]mrap|--x-s3|--table-s3)$",
            "is reserved by S3: xn--, sthree- and amzn-s3-demo- may not start a bucket's name, -s3alias, --ol-s3, .mrap, --x-s3 and --table-s3 may not end it",
        ),
    ];

    /// Key prefix of a table's files, without slashes at the ends. S3's safe
    /// characters only, so that the prefix reads the same in a URL, in Glue and
    /// in a crawler; `_stockpipe` is where control objects live.
    KeyPrefix, 512, [
        TextRule::must(
            "^[A-Za-z0-9!_.*()-]+(/[A-Za-z0-9!_.*()-]+)*$",
            "must be folders of letters, digits and ! - _ . * ( ), separated by single '/' with none at the ends, for instance us-equities/ticks",
        ),
        TextRule::must_not("(^|/)[.][.]?(/|$)", "may not hold '.' or '..' as a folder"),
        TextRule::must_not("^_stockpipe(/|$)", "may not lie in _stockpipe, where the ledger is kept"),
    ];

    /// Glue database name, as Athena reads it.
    DatabaseName, 255, [TextRule::must(
        "^[a-z0-9_]+$",
        "must be lower-case letters, digits and '_', for instance market",
    )];

    /// Glue table name, as Athena reads it; 15 characters stay free for
    /// companions such as `<table>_late`.
    TableName, 240, [TextRule::must(
        "^[a-z0-9_]+$",
        "must be lower-case letters, digits and '_', for instance us_equities_ticks",
    )];

    /// How the name of a crawler's table begins.
    TablePrefix, 64, [TextRule::must(
        "^[a-z0-9_]+$",
        "must be lower-case letters, digits and '_', for instance crawled_",
    )];

    /// Name of a Kubernetes Secret, ConfigMap or ServiceAccount (DNS-1123
    /// subdomain).
    ObjectName, 253, [TextRule::must(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "must be an object's name: lower-case letters, digits, '-' and '.', for instance kafka-user",
    )];

    /// Key within a Secret or ConfigMap.
    DataKey, 253, [TextRule::must(
        "^[-._a-zA-Z0-9]+$",
        "must be a key of the object: letters, digits, '-', '_' and '.', for instance ca.crt",
    )];

    /// AWS region.
    Region, 32, [TextRule::must(
        "^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$",
        "must be an AWS region such as us-east-1",
    )];

    /// ARN of an IAM role.
    RoleArn, 2048, [TextRule::must(
        "^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$",
        "must be the ARN of a role, for instance arn:aws:iam::123456789012:role/stockpipe-land",
    )];

    /// Version of the workers' image: semantic versioning.
    WorkerVersion, 64, [TextRule::must(
        "^[0-9]+[.][0-9]+[.][0-9]+(-[0-9A-Za-z.-]+)?$",
        "must be a version such as 0.1.0",
    )];

    /// Five-field cron expression; its grammar is checked by
    /// [`Cron`](crate::cron::Cron).
    CronExpression, 128, [TextRule::must(
        "^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[^ ]+( +[^ ]+){4})$",
        "must be five fields (minute hour day-of-month month day-of-week) or @hourly, @daily, @weekly, @monthly, @yearly, for instance 30 16 * * 1-5",
    )];

    /// Name of an IANA time zone.
    TimeZoneName, 64, [TextRule::must(
        "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
        "must be an IANA time zone such as America/New_York or Etc/UTC",
    )];

    /// Header of a column in a file.
    HeaderName, 128, [TextRule::must("^[^ ](.*[^ ])?$", "must be a column's header as the file writes it, for instance Adj Close")];

    /// `strptime` format of a date or time: `%m/%d/%Y`; or a count since 1970: `epoch-ms`.
    TimeFormat, 64, [TextRule::must("%|^epoch-(s|ms|us|ns)$", "must be a strptime format such as %m/%d/%Y, or epoch-s, epoch-ms, epoch-us or epoch-ns")];

    /// Text of a cell.
    CellText, 32, [TextRule::must("^[^ ](.*[^ ])?$", "must be a cell's text without spaces at its ends, for instance NA")];

    /// A value within JSON, as RFC 6901 writes it: `/data/0/price`.
    JsonPointer, 128, [TextRule::must("^(/[^/ ]+)+$", "must be a JSON pointer such as /price or /data/0/price")];

    /// A value that a message is known by.
    MatchText, 64, [TextRule::must("^[^ ](.*[^ ])?$", "must be a text without spaces at its ends, for instance trade")];

    /// A text that is sent to a feed.
    WireText, 2048, [TextRule::must("[^ ]", "must be what the feed is sent, for instance {\"op\":\"subscribe\",\"symbols\":[{{symbols}}]}")];

    /// SQL of a report or transform.
    Sql, 16384, [TextRule::must("[^ ]", "must be a statement, for instance SELECT count(*) FROM market.us_equities_ticks")];

    /// User name at a Kafka cluster.
    UserName, 256, [TextRule::must("^[^ ]+$", "must be a user's name without spaces")];

    /// A label's, annotation's or node selector's key.
    LabelKey, 317, [TextRule::must(
        "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        "must be a label key such as team or example.com/team",
    )];

    /// A label's or node selector's value.
    LabelValue, 63, [TextRule::must(
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be a label value: letters, digits, '-', '_' and '.'",
    )];

    /// An annotation's value.
    AnnotationValue, 4096, [];

    /// Name of an environment variable.
    EnvName, 128, [TextRule::must(
        "^[A-Za-z_][A-Za-z0-9_]*$",
        "must be a variable's name: letters, digits and '_'",
    )];

    /// Literal value of an environment variable.
    EnvValue, 4096, [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules_of_s3() {
        for good in [
            "abc",
            "acme-market-data",
            "a.b.c",
            "1st-bucket",
            &"a".repeat(63),
        ] {
            assert!(BucketName::new(good).is_ok(), "{good}");
        }
        for (bad, says) in [
            ("ab", "3 to 63"),
            ("Acme", "lower-case"),
            ("-acme", "starting and ending"),
            ("acme_data", "lower-case letters"),
            ("acme..data", "two dots"),
            ("192.168.0.1", "IP address"),
            ("xn--acme", "reserved by S3"),
            ("acme--x-s3", "reserved by S3"),
        ] {
            let error = BucketName::new(bad).unwrap_err();
            assert!(error.message.contains(says), "{bad}: {error}");
        }
        assert!(BucketName::new("a".repeat(64)).is_err());
    }

    #[test]
    fn prefixes_have_no_slash_at_the_ends_and_stay_out_of_the_ledger() {
        for good in [
            "ticks",
            "us-equities/ticks",
            "_stockpipes/x",
            "a/_stockpipe",
        ] {
            assert!(KeyPrefix::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/ticks",
            "ticks/",
            "a//b",
            "a b",
            "a/../b",
            ".",
            "_stockpipe",
            "_stockpipe/x",
        ] {
            assert!(KeyPrefix::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn topic_names_follow_the_rules_of_the_broker() {
        for good in ["ticks", "us-equities.ticks", "A_b", "...", "__consumer"] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", &"t".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn symbols_of_shares_pairs_and_indices_are_names() {
        for good in [
            "AAPL",
            "BRK.B",
            "BTC-USD",
            "^GSPC",
            "EURUSD=X",
            "BINANCE:BTC/USDT",
        ] {
            assert!(Symbol::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A B", "A,B", "-A", "é"] {
            assert!(Symbol::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pipeline_name_is_a_dns_1035_label_of_24() {
        assert!(PipelineName::new("us-equities").is_ok());
        for bad in ["", "1st", "US", "a-", "a.b", &"a".repeat(25)] {
            assert!(PipelineName::new(bad).is_err(), "{bad}");
        }
        assert_eq!(PipelineName::MAX_LENGTH, MAX_PIPELINE_NAME);
    }
}
