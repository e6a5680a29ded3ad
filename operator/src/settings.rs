//! The command line, each flag also an environment variable.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use clap::Parser;

use crate::build::network_policy::NODE_METADATA;
use crate::install::Install;
use crate::network::Network;

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
    /// Network that workers may reach, as CIDR; may be repeated. With it, workers
    /// reach these and DNS alone; without it, everything but the nodes' metadata.
    #[arg(
        long = "worker-egress",
        env = "WORKER_EGRESS",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub worker_egress: Vec<String>,
    /// Labels by which Grafana's sidecar finds dashboards, as KEY=VALUE; may be
    /// repeated. With it, pipelines that ask for a PodMonitor have a dashboard.
    #[arg(
        long = "dashboard-label",
        env = "DASHBOARD_LABELS",
        value_name = "KEY=VALUE",
        value_delimiter = ','
    )]
    pub dashboard_labels: Vec<String>,
    /// Name of the operator's own pod, from the downward API.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: String,
    /// Namespace of the operator's own pod, from the downward API; the leader's
    /// Lease is there.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NS")]
    pub pod_namespace: String,
    /// Name of this install among those of its namespace; the leader's Lease is
    /// called NAME-operator. Without it, the only one there.
    #[arg(long, env = "INSTALL", value_name = "NAME")]
    pub install: Option<String>,
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
    /// Which install it is of.
    pub install: Install,
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
    /// Networks that they may reach beside DNS, as CIDR; empty: all.
    pub egress: Vec<String>,
    /// Labels of the pipelines' dashboards; empty: none is made.
    pub dashboard_labels: BTreeMap<String, String>,
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
    /// No network.
    #[error("--worker-egress: `{0}` is no network; write ADDRESS/LENGTH, as 10.0.0.0/8")]
    NoNetwork(String),
    /// An address within a network.
    #[error(
        "--worker-egress: `{wrong}` is an address within a network; write the network, {network}"
    )]
    HostBits {
        /// As written.
        wrong: String,
        /// The network that it is in.
        network: String,
    },
    /// The nodes' own credentials.
    #[error(
        "--worker-egress: `{0}` is the nodes' metadata service, which workers never reach; leave it out, and name an identity in spec.aws"
    )]
    NodeMetadata(String),
    /// No name.
    #[error(
        "--install: `{0}` is no name; write at most 40 lower-case letters, digits and dashes, as a release is called"
    )]
    NoInstall(String),
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
                egress: networks(self.worker_egress)?,
                dashboard_labels: pairs("dashboard-label", self.dashboard_labels)?,
                operator_namespace: self.pod_namespace.clone(),
            },
            listen: self.listen,
            pod_name: self.pod_name,
            install: Install {
                namespace: self.pod_namespace,
                name: install_name(self.install)?,
            },
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

fn install_name(value: Option<String>) -> Result<Option<String>, SettingsError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match value {
        Some(name) if name.is_empty() || name.len() > 40 || !name.chars().all(plain) => {
            Err(SettingsError::NoInstall(name))
        }
        value => Ok(value),
    }
}

fn networks(values: Vec<String>) -> Result<Vec<String>, SettingsError> {
    let networks = named(values);
    for value in &networks {
        let Some(network) = Network::parse(value) else {
            return Err(SettingsError::NoNetwork(value.clone()));
        };
        if network.has_host_bits() {
            return Err(SettingsError::HostBits {
                wrong: value.clone(),
                network: network.without_host_bits().to_string(),
            });
        }
        if NODE_METADATA.contains(&value.as_str()) {
            return Err(SettingsError::NodeMetadata(value.clone()));
        }
    }
    Ok(networks)
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
    fn networks_that_workers_may_reach_have_an_address_and_a_length() {
        let reach =
            |flag: &str| parse(&["--watch-namespace=a", flag]).map(|all| all.workers.egress);
        assert_eq!(
            reach("--worker-egress=10.0.0.0/8,fd00::/8").unwrap().len(),
            2
        );
        for (wrong, part) in [
            ("10.0.0.0", "write ADDRESS/LENGTH"),
            ("10.0.0.0/33", "write ADDRESS/LENGTH"),
            ("kafka/8", "write ADDRESS/LENGTH"),
            ("10.0.0.0/", "write ADDRESS/LENGTH"),
            ("10.1.2.3/8", "write the network, 10.0.0.0/8"),
            ("fd12::1/16", "write the network, fd12::/16"),
            ("169.254.169.254/32", "which workers never reach"),
            ("fd00:ec2::254/128", "which workers never reach"),
        ] {
            let error = reach(&format!("--worker-egress={wrong}")).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_install_has_a_name_that_its_lease_can_have() {
        let install = |flag: &[&str]| {
            let flags = [&["--watch-namespace=a"][..], flag].concat();
            parse(&flags).map(|all| all.install.identity())
        };
        assert_eq!(install(&[]).unwrap(), "stockpipe");
        assert_eq!(install(&["--install=two"]).unwrap(), "stockpipe/two");
        for wrong in ["", "a/b", "Two"] {
            let error = install(&[&format!("--install={wrong}")]).unwrap_err();
            assert!(error.contains("is no name"), "{error}");
        }
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
