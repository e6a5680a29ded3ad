//! The pod of a worker: restricted, without a token of the API, its file and
//! secrets as one read-only volume.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, LocalObjectReference, ObjectFieldSelector,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource,
    ResourceRequirements, SeccompProfile, SecretProjection, SecurityContext,
    TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use stockpipe_crds::pipeline::Source;
use stockpipe_crds::spec::template::{PodTemplate, ResourceAmounts, Resources};

use super::{Blueprint, config_map, service_account};
use crate::children::CONTAINER;
use crate::labels::{self, Role};

/// Port of `/status`, `/healthz` and `/metrics`.
pub const STATUS_PORT: i32 = 9100;
/// Port of the page.
pub const PAGE_PORT: i32 = 8080;
/// Name of [`STATUS_PORT`].
pub const STATUS_PORT_NAME: &str = "status";
/// Name of [`PAGE_PORT`].
pub const PAGE_PORT_NAME: &str = "page";
/// User and group that workers run as.
const USER: i64 = 65_532;
/// Where a worker's files are.
const DIRECTORY: &str = "/etc/stockpipe";
/// Name of the Job that a pod belongs to, for a run to read its schedule time
/// from.
const JOB_NAME: &str = "STOCKPIPE_JOB_NAME";
/// Keys of the secret that `aws.credentialsSecretRef` names.
const AWS_KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// What differs between the pods of the roles.
pub struct Worker<'a> {
    /// The role.
    pub role: Role,
    /// Name of the ConfigMap with its file.
    pub file: &'a str,
    /// The run that it makes, where it is told one.
    pub run: Option<&'a str>,
    /// The report that it runs.
    pub report: Option<&'a str>,
    /// What its pods carry besides.
    pub template: Option<&'a PodTemplate>,
    /// What `spec` says of CPU and memory.
    pub resources: Option<&'a Resources>,
    /// Memory that it needs, in bytes, where `spec` says nothing.
    pub memory: u64,
    /// Seconds that it may take to finish what it holds.
    pub grace: i64,
    /// Whether it runs until it is stopped.
    pub long_running: bool,
}

/// The pod template of a worker.
#[must_use]
pub fn template(blueprint: &Blueprint<'_>, worker: &Worker<'_>) -> PodTemplateSpec {
    let user = worker.template.cloned().unwrap_or_default();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels(blueprint, worker, &user)),
            annotations: texts(user.annotations.as_ref()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container(blueprint, worker, &user)],
            volumes: Some(volumes(blueprint, worker)),
            restart_policy: Some(
                if worker.long_running {
                    "Always"
                } else {
                    "Never"
                }
                .to_owned(),
            ),
            service_account_name: Some(service_account::name(blueprint, worker.role)),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(worker.grace),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            image_pull_secrets: pull_secrets(blueprint, &user),
            node_selector: texts(user.node_selector.as_ref()),
            tolerations: user.tolerations,
            affinity: user.affinity,
            topology_spread_constraints: Some(
                user.topology_spread
                    .unwrap_or_else(|| vec![spread(blueprint, worker.role)]),
            ),
            priority_class_name: user.priority_class_name.map(|name| name.to_string()),
            runtime_class_name: user.runtime_class_name.map(|name| name.to_string()),
            ..PodSpec::default()
        }),
    }
}

/// Labels of a worker's pods: the user's, then ours, which win.
fn pod_labels(
    blueprint: &Blueprint<'_>,
    worker: &Worker<'_>,
    user: &PodTemplate,
) -> BTreeMap<String, String> {
    let mut labels = texts(user.labels.as_ref()).unwrap_or_default();
    labels.extend(self::labels(blueprint, worker));
    labels
}

/// Our labels of a worker's pods, and of the Job that makes them.
#[must_use]
pub fn labels(blueprint: &Blueprint<'_>, worker: &Worker<'_>) -> BTreeMap<String, String> {
    let mut labels = labels::of(blueprint.name(), Some(worker.role));
    labels.insert(labels::CONFIG.to_owned(), worker.file.to_owned());
    if let Some(report) = worker.report {
        labels.insert(labels::REPORT.to_owned(), report.to_owned());
    }
    labels
}

fn texts<K: ToString, V: ToString>(
    map: Option<&BTreeMap<K, V>>,
) -> Option<BTreeMap<String, String>> {
    map.map(|map| {
        map.iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    })
}

fn container(blueprint: &Blueprint<'_>, worker: &Worker<'_>, user: &PodTemplate) -> Container {
    let mut args = vec![
        worker.role.to_string(),
        "--pipeline".to_owned(),
        format!("{DIRECTORY}/{}", config_map::KEY),
        "--secrets".to_owned(),
        format!("{DIRECTORY}/secrets"),
        "--listen".to_owned(),
        format!("0.0.0.0:{STATUS_PORT}"),
    ];
    let mut ports = vec![port(STATUS_PORT_NAME, STATUS_PORT)];
    if worker.role == Role::Analyze {
        args.extend(["--page".to_owned(), format!("0.0.0.0:{PAGE_PORT}")]);
        ports.push(port(PAGE_PORT_NAME, PAGE_PORT));
    }
    if let Some(run) = worker.run {
        args.extend(["--run".to_owned(), run.to_owned()]);
    }
    Container {
        name: CONTAINER.to_owned(),
        image: Some(blueprint.image.to_owned()),
        image_pull_policy: Some(blueprint.defaults.image_pull_policy.clone()),
        command: Some(vec!["/usr/bin/stockpipe-worker".to_owned()]),
        args: Some(args),
        ports: Some(ports),
        env: environment(worker, user),
        resources: Some(resources(worker)),
        volume_mounts: Some(vec![
            mount("files", DIRECTORY, Some(true)),
            mount("tmp", "/tmp", None),
        ]),
        liveness_probe: worker.long_running.then(|| probe(10, 6)),
        readiness_probe: worker.long_running.then(|| probe(5, 3)),
        // A worker that fails before it has a record says why on its log.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn mount(name: &str, path: &str, read_only: Option<bool>) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    }
}

fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/healthz".to_owned()),
            port: IntOrString::String(STATUS_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

/// The user's variables, then ours, which win.
fn environment(worker: &Worker<'_>, user: &PodTemplate) -> Option<Vec<EnvVar>> {
    let ours = matches!(worker.role, Role::Report | Role::Crawl).then(|| EnvVar {
        name: JOB_NAME.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.labels['batch.kubernetes.io/job-name']".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    });
    let users = user.env.iter().flatten().map(|variable| EnvVar {
        name: variable.name.to_string(),
        value: Some(variable.value.to_string()),
        value_from: None,
    });
    let all: Vec<EnvVar> = users
        .filter(|variable| ours.as_ref().is_none_or(|ours| ours.name != variable.name))
        .chain(ours.clone())
        .collect();
    (!all.is_empty()).then_some(all)
}

/// What `spec` says of CPU and memory, or what the role needs.
fn resources(worker: &Worker<'_>) -> ResourceRequirements {
    match worker.resources {
        Some(resources) => ResourceRequirements {
            requests: resources.requests.as_ref().map(amounts),
            limits: resources.limits.as_ref().map(amounts),
            claims: None,
        },
        None => {
            let mebibytes = |bytes: u64| Quantity(format!("{}Mi", bytes.div_ceil(1 << 20)));
            ResourceRequirements {
                requests: Some(BTreeMap::from([
                    ("cpu".to_owned(), Quantity("100m".to_owned())),
                    ("memory".to_owned(), mebibytes(worker.memory)),
                ])),
                // No limit of CPU: throttling would show as lag.
                limits: Some(BTreeMap::from([(
                    "memory".to_owned(),
                    mebibytes(worker.memory + worker.memory / 2),
                )])),
                claims: None,
            }
        }
    }
}

fn amounts(amounts: &ResourceAmounts) -> BTreeMap<String, Quantity> {
    [
        ("cpu", &amounts.cpu),
        ("memory", &amounts.memory),
        ("ephemeral-storage", &amounts.ephemeral_storage),
    ]
    .into_iter()
    .filter_map(|(name, amount)| Some((name.to_owned(), amount.clone()?)))
    .collect()
}

/// The worker's file and its secrets as one tree, and a scratch directory. A
/// secret that is missing keeps no pod from starting: the worker says which.
fn volumes(blueprint: &Blueprint<'_>, worker: &Worker<'_>) -> Vec<Volume> {
    let file = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: worker.file.to_owned(),
            items: Some(vec![item(config_map::KEY, config_map::KEY)]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    // The producer speaks to Kafka alone, unless it replays files in S3.
    let reads_s3 =
        matches!(&blueprint.pipeline.source, Source::Replay(replay) if replay.reads_s3());
    let secret = match worker.role {
        Role::Produce if !reads_s3 => None,
        _ => blueprint.pipeline.aws.credentials_secret.as_ref(),
    };
    let credentials = secret.map(|secret| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.clone(),
            items: Some(
                AWS_KEYS
                    .into_iter()
                    .map(|key| item(key, &format!("secrets/{secret}/{key}")))
                    .collect(),
            ),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    });
    let feed = match (&blueprint.pipeline.source, worker.role) {
        (Source::Live(live), Role::Produce) => live.credentials_secret.as_ref().map(|secret| {
            let keys = live.secret_keys();
            let items = keys
                .iter()
                .map(|key| item(key, &format!("secrets/{secret}/{key}")));
            VolumeProjection {
                secret: Some(SecretProjection {
                    name: secret.clone(),
                    items: Some(items.collect()),
                    optional: Some(true),
                }),
                ..VolumeProjection::default()
            }
        }),
        _ => None,
    };
    let sources = [file].into_iter().chain(credentials).chain(feed);
    vec![
        Volume {
            name: "files".to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(sources.collect()),
                default_mode: Some(0o440),
            }),
            ..Volume::default()
        },
        Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity("1Gi".to_owned())),
                medium: None,
            }),
            ..Volume::default()
        },
    ]
}

fn item(key: &str, path: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: path.to_owned(),
        mode: None,
    }
}

/// The template's secrets, or the operator's.
fn pull_secrets(
    blueprint: &Blueprint<'_>,
    user: &PodTemplate,
) -> Option<Vec<LocalObjectReference>> {
    let names: Vec<String> = match &user.image_pull_secrets {
        Some(secrets) => secrets
            .iter()
            .map(|secret| secret.name.to_string())
            .collect(),
        None => blueprint.defaults.image_pull_secrets.clone(),
    };
    let secrets: Vec<_> = names
        .into_iter()
        .map(|name| LocalObjectReference { name })
        .collect();
    (!secrets.is_empty()).then_some(secrets)
}

fn spread(blueprint: &Blueprint<'_>, role: Role) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(labels::label_selector(blueprint.name(), role)),
        ..TopologySpreadConstraint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;

    fn worker<'a>(role: Role, sample: &'a Sample) -> Worker<'a> {
        Worker {
            role,
            file: "us-equities-land-0",
            run: None,
            report: None,
            template: sample.resource.spec.consumer.template.as_ref(),
            resources: None,
            memory: 100 << 20,
            grace: 30,
            long_running: true,
        }
    }

    #[test]
    fn a_pod_is_restricted_and_has_no_token() {
        let sample = Sample::full();
        let pod = template(&blueprint(&sample), &worker(Role::Land, &sample))
            .spec
            .unwrap();
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.host_network, None);
        let security = pod.security_context.unwrap();
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
        let container = pod.containers[0].security_context.clone().unwrap();
        assert_eq!(container.allow_privilege_escalation, Some(false));
        assert_eq!(container.read_only_root_filesystem, Some(true));
        assert_eq!(container.capabilities.unwrap().drop.unwrap(), ["ALL"]);
    }

    #[test]
    fn the_template_adds_and_our_own_keys_win() {
        let mut sample = Sample::full();
        sample.edit(|spec| {
            let template = spec.consumer.template.as_mut().unwrap();
            template.labels = Some(BTreeMap::from([
                ("team".parse().unwrap(), "data".parse().unwrap()),
                (labels::PIPELINE.parse().unwrap(), "other".parse().unwrap()),
            ]));
        });
        let template = template(&blueprint(&sample), &worker(Role::Land, &sample));
        let labels = template.metadata.unwrap().labels.unwrap();
        assert_eq!(labels["team"], "data");
        assert_eq!(labels[labels::PIPELINE], "us-equities");
        let pod = template.spec.unwrap();
        assert_eq!(pod.node_selector.unwrap()["disk"], "ssd");
        assert_eq!(pod.image_pull_secrets.unwrap()[0].name, "registry");
        assert_eq!(
            pod.topology_spread_constraints.unwrap()[0].topology_key,
            "topology.kubernetes.io/zone"
        );
    }

    #[test]
    fn secrets_are_optional_files_and_only_the_keys_that_are_read() {
        let mut sample = Sample::full();
        sample.edit(|spec| {
            spec.aws.roles = None;
            spec.aws.credentials_secret_ref =
                serde_json::from_value(serde_json::json!({"name": "aws"})).unwrap();
        });
        let pod = template(&blueprint(&sample), &worker(Role::Land, &sample))
            .spec
            .unwrap();
        assert!(
            pod.containers[0]
                .env
                .iter()
                .flatten()
                .all(|env| env.value_from.is_none())
        );
        let files = pod.volumes.unwrap()[0]
            .projected
            .clone()
            .unwrap()
            .sources
            .unwrap();
        let secret = files[1].secret.clone().unwrap();
        assert_eq!((secret.name.as_str(), secret.optional), ("aws", Some(true)));
        assert_eq!(
            secret.items.unwrap()[0].path,
            "secrets/aws/AWS_ACCESS_KEY_ID"
        );
        let producer = template(&blueprint(&sample), &worker(Role::Produce, &sample));
        let files = producer.spec.unwrap().volumes.unwrap()[0].projected.clone();
        assert_eq!(files.unwrap().sources.unwrap().len(), 1);
    }

    #[test]
    fn the_key_of_a_live_feed_is_the_producers_alone() {
        let mut sample = Sample::full();
        sample.edit(|spec| {
            let live = serde_json::json!({"live": {"preset": "alpaca", "credentialsSecretRef": {"name": "mine"}}});
            spec.source = serde_json::from_value(live).unwrap();
        });
        let paths = |role| {
            let pod = template(&blueprint(&sample), &worker(role, &sample));
            let files = pod.spec.unwrap().volumes.unwrap()[0].projected.clone();
            let secrets = files
                .unwrap()
                .sources
                .unwrap()
                .into_iter()
                .filter_map(|s| s.secret);
            let items = secrets.flat_map(|secret| secret.items.unwrap());
            items.map(|item| item.path).collect::<Vec<_>>()
        };
        assert_eq!(
            paths(Role::Produce),
            ["secrets/mine/key", "secrets/mine/secret"]
        );
        for role in [Role::Land, Role::Analyze] {
            assert!(paths(role).iter().all(|path| !path.contains("mine")));
        }
    }

    #[test]
    fn only_the_page_opens_a_second_port() {
        let sample = Sample::full();
        for (role, ports) in [(Role::Land, 1), (Role::Analyze, 2)] {
            let pod = template(&blueprint(&sample), &worker(role, &sample))
                .spec
                .unwrap();
            assert_eq!(
                pod.containers[0].ports.as_ref().unwrap().len(),
                ports,
                "{role}"
            );
        }
    }

    #[test]
    fn a_run_learns_its_job_by_the_downward_api() {
        let sample = Sample::full();
        let pod = template(&blueprint(&sample), &worker(Role::Report, &sample))
            .spec
            .unwrap();
        let env = pod.containers[0].env.clone().unwrap();
        let ours = env.iter().find(|env| env.name == JOB_NAME).unwrap();
        let field = ours
            .value_from
            .clone()
            .unwrap()
            .field_ref
            .unwrap()
            .field_path;
        assert_eq!(field, "metadata.labels['batch.kubernetes.io/job-name']");
    }
}
