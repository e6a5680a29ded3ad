//! What the rules of the resource definition cannot see: an address that only a
//! cluster needs, an unknown calendar, another pipeline on the same topic.

use std::collections::BTreeSet;

use kube::ResourceExt;
use stockpipe_crds::StockPipeline;
use stockpipe_crds::pipeline::{Endpoint, Pipeline};
use stockpipe_crds::resolve;

use crate::pipeline_ref::PipelineRef;

/// A pipeline that cannot be run as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A rule of the spec.
    #[error("{0}")]
    Spec(String),
    /// No brokers.
    #[error(
        "spec.kafka.bootstrapServers is missing: on a cluster no broker is embedded; write host:port of yours"
    )]
    NoBrokers,
    /// An endpoint that only one machine has.
    #[error(
        "spec.aws.endpoints.{0} is embedded, which a cluster has not; write aws, or the URL of an emulator"
    )]
    Embedded(&'static str),
    /// Somebody else is there.
    #[error("{what} is already used by pipeline {by}; {remedy}")]
    Taken {
        /// Topic, prefix or table.
        what: String,
        /// By whom.
        by: PipelineRef,
        /// What to do.
        remedy: &'static str,
    },
}

impl Invalid {
    /// One word for the kind of fault, as the reason of a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Spec(_) => "SpecInvalid",
            Self::NoBrokers => "KafkaAddressMissing",
            Self::Embedded(_) => "EndpointNotOnCluster",
            Self::Taken { .. } => "AlreadyUsed",
        }
    }
}

/// Fills every default in and checks what can be checked without the cluster.
///
/// # Errors
/// The first fault.
pub fn resolved(resource: &StockPipeline) -> Result<Pipeline, Invalid> {
    let pipeline = resolve(resource).map_err(|violations| {
        let sentences: Vec<String> = violations.iter().map(ToString::to_string).collect();
        Invalid::Spec(sentences.join("; "))
    })?;
    if pipeline.kafka.bootstrap_servers.is_none() {
        return Err(Invalid::NoBrokers);
    }
    let endpoints = &pipeline.aws.endpoints;
    for (name, endpoint) in [
        ("s3", &endpoints.s3),
        ("glue", &endpoints.glue),
        ("athena", &endpoints.athena),
    ] {
        if *endpoint == Endpoint::Embedded {
            return Err(Invalid::Embedded(name));
        }
    }
    Ok(pipeline)
}

/// What a pipeline writes to, and may write to alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Whose they are.
    pub pipeline: PipelineRef,
    /// The older of two keeps them; of two of one age, that with the lesser UID.
    age: (Option<jiff::Timestamp>, Option<String>),
    /// Any of them leads to the same cluster.
    brokers: BTreeSet<String>,
    topic: String,
    store: Option<String>,
    bucket: String,
    prefix: String,
    glue: Endpoint,
    region: String,
    table: String,
}

impl Places {
    /// What `resource`, resolved as `pipeline`, writes to.
    #[must_use]
    pub fn of(resource: &StockPipeline, pipeline: &Pipeline) -> Self {
        let namespace = resource.namespace().unwrap_or_default();
        let brokers: BTreeSet<String> = pipeline
            .kafka
            .bootstrap_servers
            .iter()
            .flat_map(|servers| servers.split(','))
            .map(|server| qualified(server.trim(), &namespace))
            .collect();
        Self {
            pipeline: PipelineRef::of(resource),
            age: (
                resource.creation_timestamp().map(|time| time.0),
                resource.uid(),
            ),
            brokers,
            topic: pipeline.kafka.topic.name.clone(),
            // Buckets of AWS are unique, those of emulators only within it.
            store: match &pipeline.aws.endpoints.s3 {
                Endpoint::Url(url) => Some(qualified_url(url, &namespace)),
                _ => None,
            },
            bucket: pipeline.lake.bucket.clone(),
            prefix: pipeline.lake.prefix.clone(),
            glue: match &pipeline.aws.endpoints.glue {
                Endpoint::Unset => Endpoint::Aws,
                Endpoint::Url(url) => Endpoint::Url(qualified_url(url, &namespace)),
                other => other.clone(),
            },
            region: pipeline.aws.region.clone(),
            table: format!("{}.{}", pipeline.catalog.database, pipeline.catalog.table),
        }
    }

    /// What of `older` is also mine, and what to do.
    fn shared_with(&self, older: &Self) -> Option<(String, &'static str)> {
        if self.topic == older.topic && !self.brokers.is_disjoint(&older.brokers) {
            let what = format!("topic {}", self.topic);
            return Some((what, "make this one anew with another kafka.topic.name"));
        }
        if self.store == older.store
            && self.bucket == older.bucket
            && nested(&self.prefix, &older.prefix)
        {
            let what = format!("s3://{}/{}", self.bucket, self.prefix);
            return Some((what, "make this one anew with another lake.prefix"));
        }
        if self.glue == older.glue && self.region == older.region && self.table == older.table {
            let what = format!("table {}", self.table);
            return Some((what, "make this one anew with another catalog.table"));
        }
        None
    }
}

/// Whether an older one of `others` has the topic, the prefix or the table of
/// `mine`.
///
/// # Errors
/// What is taken, and by whom.
pub fn not_taken<'a>(
    mine: &Places,
    others: impl IntoIterator<Item = &'a Places>,
) -> Result<(), Invalid> {
    let taken = others
        .into_iter()
        .filter(|other| other.age < mine.age)
        .filter_map(|other| Some((other, mine.shared_with(other)?)))
        .min_by(|(a, _), (b, _)| a.age.cmp(&b.age));
    match taken {
        Some((other, (what, remedy))) => Err(Invalid::Taken {
            what,
            by: other.pipeline.clone(),
            remedy,
        }),
        None => Ok(()),
    }
}

/// `host:port` as every namespace reads it: a name without a dot is a Service of
/// the pipeline's own, and the cluster's suffix says nothing.
fn qualified(address: &str, namespace: &str) -> String {
    let address = address.to_ascii_lowercase();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, format!(":{port}")),
        None => (address.as_str(), String::new()),
    };
    let host = host.trim_end_matches('.');
    let host = host.strip_suffix(".cluster.local").unwrap_or(host);
    let host = host.strip_suffix(".svc").unwrap_or(host);
    if host.contains(['.', '[']) || host == "localhost" {
        format!("{host}{port}")
    } else {
        format!("{host}.{namespace}{port}")
    }
}

fn qualified_url(url: &str, namespace: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = qualified(address, namespace);
    format!("{scheme}://{address}/{path}")
}

/// Whether one prefix is, or lies within, the other.
fn nested(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    long == short || long.starts_with(&format!("{short}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(name: &str, created: &str, spec: &str) -> StockPipeline {
        let text = format!(
            "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {{name: {name}, namespace: market, uid: {name}, creationTimestamp: {created}}}\nspec: {spec}\n"
        );
        serde_norway::from_str(&text).unwrap()
    }

    #[test]
    fn what_only_a_cluster_needs_is_asked_for() {
        let reason = |spec: &str| {
            resolved(&pipeline("a", "2026-11-20T10:00:00Z", spec))
                .map_err(|invalid| (invalid.reason(), invalid.to_string()))
        };
        assert!(reason("{lake: {bucket: acme}, kafka: {bootstrapServers: 'kafka:9092'}}").is_ok());
        for (spec, reason_, says) in [
            (
                "{lake: {bucket: acme}}",
                "KafkaAddressMissing",
                "write host:port",
            ),
            (
                "{lake: {bucket: acme}, kafka: {bootstrapServers: 'k:1'}, aws: {endpoints: {glue: embedded}}}",
                "EndpointNotOnCluster",
                "endpoints.glue",
            ),
            (
                "{lake: {bucket: acme}, kafka: {bootstrapServers: 'k:1'}, market: {calendar: XSHG}}",
                "SpecInvalid",
                "XSHG is not supported",
            ),
        ] {
            let (found, message) = reason(spec).unwrap_err();
            assert_eq!(found, reason_, "{spec}");
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_name_without_a_dot_is_a_service_of_the_pipelines_namespace() {
        for (address, namespace, qualified_) in [
            ("Kafka:9092", "a", "kafka.a:9092"),
            ("kafka.b:9092", "a", "kafka.b:9092"),
            ("kafka.b.svc:9092", "a", "kafka.b:9092"),
            ("kafka.b.svc.cluster.local.:9092", "a", "kafka.b:9092"),
            ("broker.example.com:9092", "a", "broker.example.com:9092"),
            ("[fd00::1]:9092", "a", "[fd00::1]:9092"),
            ("minio", "a", "minio.a"),
        ] {
            assert_eq!(qualified(address, namespace), qualified_);
        }
        let url = |url| qualified_url(url, "a");
        assert_eq!(url("http://minio:9000"), "http://minio.a:9000/");
        assert_eq!(url("https://s3.example.com/x"), "https://s3.example.com/x");
    }

    #[test]
    fn the_older_pipeline_keeps_topic_prefix_and_table() {
        let older = pipeline(
            "older",
            "2026-11-20T10:00:00Z",
            "{kafka: {bootstrapServers: 'k:1,l:1', topic: {name: t}}, lake: {bucket: acme, prefix: p}, catalog: {table: x}}",
        );
        for (spec, what) in [
            (
                "{kafka: {bootstrapServers: 'l:1,k:1', topic: {name: t}}, lake: {bucket: other}}",
                Some("topic t"),
            ),
            (
                "{kafka: {bootstrapServers: 'K:1', topic: {name: t}}, lake: {bucket: other}}",
                Some("topic t"),
            ),
            (
                "{kafka: {bootstrapServers: 'm:1', topic: {name: t}}, lake: {bucket: other}}",
                None,
            ),
            (
                "{kafka: {bootstrapServers: 'k:1'}, lake: {bucket: acme, prefix: p/q}}",
                Some("s3://acme/p/q"),
            ),
            (
                "{kafka: {bootstrapServers: 'k:1'}, lake: {bucket: acme, prefix: pq}}",
                None,
            ),
            (
                "{kafka: {bootstrapServers: 'k:1'}, lake: {bucket: acme, prefix: p}, aws: {endpoints: {s3: 'http://emulator:9000'}}}",
                None,
            ),
            (
                "{kafka: {bootstrapServers: 'k:1'}, lake: {bucket: other}, catalog: {table: x}}",
                Some("table stockpipe.x"),
            ),
        ] {
            let younger = pipeline("younger", "2026-11-20T11:00:00Z", spec);
            let places =
                |resource: &StockPipeline| Places::of(resource, &resolved(resource).unwrap());
            let found = not_taken(&places(&younger), &[places(&older), places(&younger)]);
            match (found, what) {
                (Ok(()), None) => {}
                (
                    Err(Invalid::Taken {
                        what: found, by, ..
                    }),
                    Some(what),
                ) => {
                    assert_eq!(found, what);
                    assert_eq!(by.to_string(), "market/older");
                }
                (found, what) => panic!("{spec}: {found:?}, not {what:?}"),
            }
            // The older one is not disturbed.
            assert_eq!(not_taken(&places(&older), &[places(&younger)]), Ok(()));
        }
    }
}
