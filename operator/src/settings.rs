//! The command line, each flag also an environment variable.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use clap::Parser;

/// Turns StockPipelines into workloads, jobs and a status.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "stockpipe-operator",
    version,
    after_help = "`stockpipe-operator check --operator URL` says whether an installation works."
)]
pub struct Args {
    /// Namespace whose pipelines are run; may be repeated. `*` is every
    /// namespace, and needs a ClusterRole.
    #[arg(
        long = "watch-namespace",
        env = "WATCH_NAMESPACES",
        value_name = "NS",
        value_delimiter = ',',
        required = true
    )]
    pub watch_namespaces: Vec<String>,
    /// Image of the workers, with its tag; `spec.version` replaces the tag.
    #[arg(long, env = "WORKERS_IMAGE", value_name = "REPO:TAG")]
    pub workers_image: String,
    /// When workers pull their image: Always, IfNotPresent or Never.
    #[arg(
        long,
        env = "IMAGE_PULL_POLICY",
        value_name = "POLICY",
        default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"]
    )]
    pub image_pull_policy: String,
    /// Secret of the pipeline's namespace that workers pull their image with;
    /// may be repeated. A template's own list replaces it.
    #[arg(
        long = "image-pull-secret",
        env = "IMAGE_PULL_SECRETS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub image_pull_secrets: Vec<String>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(
        long,
        env = "LISTEN",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8081"
    )]
    pub listen: SocketAddr,
    /// Labels of the namespaces whose pods may scrape the workers, as
    /// KEY=VALUE; may be repeated. Without it, none but the operator's.
    #[arg(
        long = "prometheus-peer",
        env = "PROMETHEUS_PEER",
        value_name = "KEY=VALUE",
        value_delimiter = ','
    )]
    pub prometheus_peer: Vec<String>,
    /// Labels of the namespaces whose pods may open the page, as KEY=VALUE; may
    /// be repeated. Without it, the pipeline's own namespace.
    #[arg(
        long = "page-peer",
        env = "PAGE_PEER",
        value_name = "KEY=VALUE",
        value_delimiter = ','
    )]
    pub page_peer: Vec<String>,
    /// Name of the operator's own pod, from the downward API.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: String,
    /// Namespace of the operator's own pod, from the downward API; the leader's
    /// Lease is there.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NS")]
    pub pod_namespace: String,
}

/// Which pipelines are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// Those of every namespace.
    Cluster,
    /// Those of these namespaces, each once.
    Namespaces(Vec<String>),
}

/// What the command line says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which pipelines are run.
    pub scope: WatchScope,
    /// What worker pods are made with.
    pub workers: WorkerDefaults,
    /// Where /healthz, /readyz and /metrics are served.
    pub listen: SocketAddr,
    /// The operator's own pod.
    pub pod_name: String,
    /// Its namespace.
    pub pod_namespace: String,
}

/// What worker pods are made with, whatever their pipeline says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerDefaults {
    /// Image, with its tag.
    pub image: String,
    /// When it is pulled.
    pub image_pull_policy: String,
    /// Secrets that it is pulled with.
    pub image_pull_secrets: Vec<String>,
    /// Labels of the namespaces whose pods may scrape; empty: none.
    pub prometheus_peer: BTreeMap<String, String>,
    /// Labels of the namespaces whose pods may open the page; empty: its own.
    pub page_peer: BTreeMap<String, String>,
    /// Namespace of the operator, which polls.
    pub operator_namespace: String,
}

/// A flag whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// `*` beside names.
    #[error("--watch-namespace: `*` is every namespace; write it alone, or the names alone")]
    ClusterAndNames,
    /// No name.
    #[error("--watch-namespace: names no namespace; write one, or `*`")]
    NoNamespace,
    /// No tag.
    #[error(
        "--workers-image: `{0}` has no tag; write REPOSITORY:TAG, because spec.version replaces the tag"
    )]
    NoTag(String),
    /// No pair.
    #[error("--{flag}: `{value}` is no label; write KEY=VALUE")]
    NoPair {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
    },
}

impl Args {
    /// Checks what the command line's grammar cannot.
    ///
    /// # Errors
    /// The first flag that cannot be used.
    pub fn into_settings(self) -> Result<Settings, SettingsError> {
        if split_tag(&self.workers_image).is_none() {
            return Err(SettingsError::NoTag(self.workers_image));
        }
        Ok(Settings {
            scope: scope(self.watch_namespaces)?,
            workers: WorkerDefaults {
                image: self.workers_image,
                image_pull_policy: self.image_pull_policy,
                image_pull_secrets: named(self.image_pull_secrets),
                prometheus_peer: pairs("prometheus-peer", self.prometheus_peer)?,
                page_peer: pairs("page-peer", self.page_peer)?,
                operator_namespace: self.pod_namespace.clone(),
            },
            listen: self.listen,
            pod_name: self.pod_name,
            pod_namespace: self.pod_namespace,
        })
    }
}

fn named(values: Vec<String>) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for value in values {
        let value = value.trim();
        if !value.is_empty() && !named.iter().any(|known| known == value) {
            named.push(value.to_owned());
        }
    }
    named
}

fn scope(values: Vec<String>) -> Result<WatchScope, SettingsError> {
    let names = named(values);
    match (names.iter().any(|name| name == "*"), names.len()) {
        (_, 0) => Err(SettingsError::NoNamespace),
        (true, 1) => Ok(WatchScope::Cluster),
        (true, _) => Err(SettingsError::ClusterAndNames),
        (false, _) => Ok(WatchScope::Namespaces(names)),
    }
}

fn pairs(
    flag: &'static str,
    values: Vec<String>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    named(values)
        .into_iter()
        .map(|value| match value.split_once('=') {
            Some((key, label)) if !key.is_empty() => Ok((key.to_owned(), label.to_owned())),
            _ => Err(SettingsError::NoPair { flag, value }),
        })
        .collect()
}

/// Repository and tag of an image; `None` where it has no tag. A colon before
/// the last slash is a registry's port.
#[must_use]
pub fn split_tag(image: &str) -> Option<(&str, &str)> {
    let (repository, tag) = image.rsplit_once(':')?;
    (!repository.is_empty() && !tag.is_empty() && !tag.contains('/')).then_some((repository, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(extra: &[&str]) -> Result<Settings, String> {
        let base = [
            "stockpipe-operator",
            "--workers-image=registry:5000/stockpipe:0.1.0",
            "--pod-name=operator-0",
            "--pod-namespace=stockpipe",
        ];
        Args::try_parse_from(base.iter().chain(extra))
            .map_err(|error| error.to_string())?
            .into_settings()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn namespaces_are_named_once_or_all_by_a_star() {
        let names = |names: &[&str]| {
            WatchScope::Namespaces(names.iter().map(ToString::to_string).collect())
        };
        for (flags, scope) in [
            (&["--watch-namespace=*"][..], WatchScope::Cluster),
            (&["--watch-namespace=a"], names(&["a"])),
            (
                &["--watch-namespace=a,b", "--watch-namespace=a"],
                names(&["a", "b"]),
            ),
        ] {
            assert_eq!(parse(flags).unwrap().scope, scope, "{flags:?}");
        }
        assert!(parse(&[]).unwrap_err().contains("--watch-namespace"));
        assert!(
            parse(&["--watch-namespace=*,a"])
                .unwrap_err()
                .contains("alone")
        );
        assert!(
            parse(&["--watch-namespace=,"])
                .unwrap_err()
                .contains("no namespace")
        );
    }

    #[test]
    fn peers_are_labels() {
        let settings = parse(&["--watch-namespace=a", "--prometheus-peer=team=obs,x=y"]).unwrap();
        assert_eq!(settings.workers.prometheus_peer.len(), 2);
        assert!(settings.workers.page_peer.is_empty());
        let error = parse(&["--watch-namespace=a", "--page-peer=team"]).unwrap_err();
        assert_eq!(error, "--page-peer: `team` is no label; write KEY=VALUE");
    }

    #[test]
    fn an_image_has_a_tag_and_a_port_is_none() {
        for (image, parts) in [
            ("stockpipe:0.1.0", Some(("stockpipe", "0.1.0"))),
            (
                "registry:5000/stockpipe:1",
                Some(("registry:5000/stockpipe", "1")),
            ),
            ("registry:5000/stockpipe", None),
            ("stockpipe", None),
            ("stockpipe:", None),
        ] {
            assert_eq!(split_tag(image), parts, "{image}");
        }
    }
}
