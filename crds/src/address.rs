//! Addresses: of services and files. None holds credentials.

use crate::text::{TextRule, text_types};

/// `user:password@` or `user@` before a host.
const CREDENTIALS: &str = "^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@";

/// What to do about it.
const NO_CREDENTIALS: &str =
    "holds credentials; leave user and password out of the URL and name a Secret instead";

text_types! {
    /// Kafka bootstrap servers: `host:port,host:port`.
    BootstrapServers, 2048, [
        TextRule::must_not("@", NO_CREDENTIALS),
        TextRule::must(
            "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}(,([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5})*$",
            "must be host:port, several separated by commas, for instance kafka-0:9092,kafka-1:9092",
        ),
    ];

    /// Where an AWS service is: an `http` or `https` URL, `aws`, or `embedded`.
    EndpointAddress, 512, [
        TextRule::must_not(CREDENTIALS, NO_CREDENTIALS),
        TextRule::must(
            "^(aws|embedded|https?://([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/?)$",
            "must be aws, embedded or a URL such as http://minio:9000",
        ),
    ];

    /// An `http` or `https` URL.
    HttpUrl, 2048, [
        TextRule::must_not(CREDENTIALS, NO_CREDENTIALS),
        TextRule::must(
            "^https?://[^ /?#]+([/?#][^ ]*)?$",
            "must be a URL such as http://otel-collector:4317",
        ),
    ];

    /// A `wss` or `ws` URL; `{{secret:KEY}}` stands for a key of the source's secret.
    WebsocketUrl, 1024, [
        TextRule::must_not(CREDENTIALS, NO_CREDENTIALS),
        TextRule::must(
            "^wss?://[^ /?#]+([/?][^ #]*)?$",
            "must be a URL such as wss://feed.example.com/v1",
        ),
    ];

    /// Files: `file:///path/to/day.csv`, `s3://bucket/prices/`, or a path relative
    /// to the pipeline's file.
    FileUri, 1024, [
        TextRule::must_not(CREDENTIALS, NO_CREDENTIALS),
        TextRule::must(
            "^(file:///[^ ]|s3://[a-z0-9][a-z0-9.-]+[a-z0-9]/|[^:/#]+$|[^:]*/)",
            "must be a file: file:///data/day.csv, s3://bucket/day.csv, or a path relative to the pipeline's file; other schemes are not supported in this version",
        ),
    ];

    /// Where a Glue script lies in S3.
    S3Uri, 1088, [TextRule::must(
        "^s3://[a-z0-9][a-z0-9.-]+[a-z0-9]/[^ ]+$",
        "must be an object such as s3://acme-scripts/bars.py",
    )];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_an_address_are_refused() {
        for refused in [
            EndpointAddress::new("http://me:secret@minio:9000").map(String::from),
            HttpUrl::new("https://me@otel:4317").map(String::from),
            BootstrapServers::new("me:secret@kafka:9092").map(String::from),
            FileUri::new("file://me:secret@host/day.csv").map(String::from),
            WebsocketUrl::new("wss://me:secret@host/v1").map(String::from),
        ] {
            let message = refused.unwrap_err().message;
            assert!(message.contains("name a Secret"), "{message}");
        }
    }

    #[test]
    fn bootstrap_servers_are_hosts_with_ports() {
        for good in ["kafka:9092", "10.0.0.1:9092", "a:1,b:2", "[::1]:9092"] {
            assert!(BootstrapServers::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "kafka",
            "kafka:",
            "http://kafka:9092",
            "a:1,",
            "a:1, b:2",
        ] {
            assert!(BootstrapServers::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_are_urls_or_words() {
        for good in [
            "aws",
            "embedded",
            "http://127.0.0.1:9000",
            "https://minio.example.com/",
            "http://[::1]:9000",
        ] {
            assert!(EndpointAddress::new(good).is_ok(), "{good}");
        }
        for bad in ["", "AWS", "minio:9000", "ftp://x", "http://x/path"] {
            assert!(EndpointAddress::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_paths_or_file_uris() {
        for good in [
            "file:///data/day.csv",
            "day.csv",
            "data/day.csv.gz",
            "../day.csv",
            "/abs/day.csv",
            "file:///data/my day.csv",
            "s3://bucket/day.csv",
            "s3://bucket/prices/",
            "day-?.csv",
            "prices/*.csv",
        ] {
            assert!(FileUri::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "s3://bucket",
            "https://example.com/day.csv",
            "file://host/x",
        ] {
            assert!(FileUri::new(bad).is_err(), "{bad}");
        }
    }
}
