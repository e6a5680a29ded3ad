//! Who may reach the workers, and where they may go.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Blueprint;
use super::pod::{PAGE_PORT_NAME, STATUS_PORT_NAME};
use crate::labels;
use crate::network::Network;

/// The node's metadata service, which hands out the node's own credentials.
pub const NODE_METADATA: [&str; 2] = ["169.254.169.254/32", "fd00:ec2::254/128"];
/// Every address.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// The agent on each node that hands out a pod's own credentials
/// (<https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>).
const POD_IDENTITY: [&str; 2] = ["169.254.170.23/32", "fd00:ec2::23/128"];
/// Port of that agent.
const POD_IDENTITY_PORT: i32 = 80;
/// Label that every namespace has, with its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// `NAME`: the status port from the operator and Prometheus, the page from its
/// peer, out to everywhere but the node's metadata.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> NetworkPolicy {
    let defaults = blueprint.defaults;
    let mut status = vec![NetworkPolicyPeer {
        namespace_selector: Some(matching(&BTreeMap::from([(
            NAMESPACE_NAME.to_owned(),
            defaults.operator_namespace.clone(),
        )]))),
        pod_selector: Some(matching(&BTreeMap::from([(
            labels::NAME.to_owned(),
            labels::MANAGER.to_owned(),
        )]))),
        ip_block: None,
    }];
    if !defaults.prometheus_peer.is_empty() {
        status.push(namespaces(&defaults.prometheus_peer));
    }
    let page = if defaults.page_peer.is_empty() {
        NetworkPolicyPeer {
            pod_selector: Some(LabelSelector::default()),
            ..NetworkPolicyPeer::default()
        }
    } else {
        namespaces(&defaults.page_peer)
    };
    NetworkPolicy {
        metadata: blueprint.meta(blueprint.name(), None),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(matching(&BTreeMap::from([
                (labels::NAME.to_owned(), labels::APP.to_owned()),
                (labels::INSTANCE.to_owned(), blueprint.name().to_owned()),
            ]))),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                ingress(status, STATUS_PORT_NAME),
                ingress(vec![page], PAGE_PORT_NAME),
            ]),
            egress: Some(egress(&defaults.egress, may_use_pod_identity(blueprint))),
        }),
    }
}

/// Whether a worker may have its credentials from EKS Pod Identity: any that has
/// neither keys in a Secret nor an IAM role by annotation, which STS answers.
fn may_use_pod_identity(blueprint: &Blueprint<'_>) -> bool {
    let aws = &blueprint.resource.spec.aws;
    aws.credentials_secret_ref.is_none() && aws.role_arn.is_none()
}

/// Out to everywhere but the node's metadata; or to `networks`, DNS and what
/// hands out credentials alone.
fn egress(networks: &[String], pod_identity: bool) -> Vec<NetworkPolicyEgressRule> {
    if networks.is_empty() {
        return vec![NetworkPolicyEgressRule {
            to: Some(EVERYWHERE.map(block).into()),
            ports: None,
        }];
    }
    let ports = |port: i32, protocols: &[&str]| {
        let port = |protocol: &&str| NetworkPolicyPort {
            port: Some(IntOrString::Int(port)),
            protocol: Some((*protocol).to_owned()),
            end_port: None,
        };
        Some(protocols.iter().map(port).collect())
    };
    let mut rules = vec![
        NetworkPolicyEgressRule {
            to: Some(networks.iter().map(|network| block(network)).collect()),
            ports: None,
        },
        NetworkPolicyEgressRule {
            to: None,
            ports: ports(53, &["UDP", "TCP"]),
        },
    ];
    if pod_identity {
        rules.push(NetworkPolicyEgressRule {
            to: Some(POD_IDENTITY.map(block).into()),
            ports: ports(POD_IDENTITY_PORT, &["TCP"]),
        });
    }
    rules
}

/// A network, but for the node's metadata where that is within it.
fn block(network: &str) -> NetworkPolicyPeer {
    let within = |part: &&str| {
        let (whole, part) = (Network::parse(network), Network::parse(part));
        whole
            .zip(part)
            .is_some_and(|(whole, part)| whole.contains(part))
    };
    let but = NODE_METADATA.into_iter().find(within);
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: network.to_owned(),
            except: but.map(|but| vec![but.to_owned()]),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn matching(labels: &BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels.clone()),
        match_expressions: None,
    }
}

fn namespaces(labels: &BTreeMap<String, String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(matching(labels)),
        ..NetworkPolicyPeer::default()
    }
}

fn ingress(from: Vec<NetworkPolicyPeer>, port: &str) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(from),
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(port.to_owned())),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, blueprint};
    use super::*;
    use serde_json::{Value, json};
    use stockpipe_crds::spec::aws::AwsSpec;

    fn with_identity(identity: Value) -> AwsSpec {
        serde_json::from_value(identity).unwrap()
    }

    fn blocks(rule: &NetworkPolicyEgressRule) -> Vec<(String, Option<Vec<String>>)> {
        rule.to
            .iter()
            .flatten()
            .filter_map(|peer| peer.ip_block.clone())
            .map(|block| (block.cidr, block.except))
            .collect()
    }

    #[test]
    fn prometheus_comes_in_only_where_it_is_named_and_the_page_has_its_peer() {
        let mut sample = Sample::full();
        let spec = build(&blueprint(&sample)).spec.unwrap();
        let ingress = spec.ingress.unwrap();
        assert_eq!(ingress[0].from.as_ref().unwrap().len(), 1);
        // The pipeline's own namespace.
        let page = &ingress[1].from.as_ref().unwrap()[0];
        assert!(page.namespace_selector.is_none() && page.pod_selector.is_some());

        let label = BTreeMap::from([("team".to_owned(), "obs".to_owned())]);
        sample.defaults.prometheus_peer = label.clone();
        sample.defaults.page_peer = label;
        let ingress = build(&blueprint(&sample)).spec.unwrap().ingress.unwrap();
        assert_eq!(ingress[0].from.as_ref().unwrap().len(), 2);
        assert!(
            ingress[1].from.as_ref().unwrap()[0]
                .namespace_selector
                .is_some()
        );
    }

    #[test]
    fn the_nodes_credentials_are_out_of_reach_and_pod_identity_is_not() {
        let egress = build(&blueprint(&Sample::full()))
            .spec
            .unwrap()
            .egress
            .unwrap();
        let text = serde_json::to_string(&egress).unwrap();
        assert!(text.contains("169.254.169.254/32"));
        assert!(!text.contains("169.254.170.23"));
    }

    #[test]
    fn strict_egress_is_what_is_named_and_dns_and_never_the_nodes_credentials() {
        let mut sample = Sample::full();
        sample.defaults.egress = vec!["10.0.0.0/8".into(), "169.254.0.0/16".into()];
        sample
            .edit(|spec| spec.aws = with_identity(json!({"credentialsSecretRef": {"name": "k"}})));
        let egress = build(&blueprint(&sample)).spec.unwrap().egress.unwrap();
        assert_eq!(
            blocks(&egress[0]),
            [
                ("10.0.0.0/8".to_owned(), None),
                (
                    "169.254.0.0/16".to_owned(),
                    Some(vec!["169.254.169.254/32".to_owned()])
                ),
            ]
        );
        assert_eq!(egress.len(), 2);
        assert_eq!(egress[1].ports.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn strict_egress_reaches_what_hands_out_the_credentials_that_the_spec_names() {
        let mut sample = Sample::full();
        sample.defaults.egress = vec!["10.0.0.0/8".into()];
        let role = "arn:aws:iam::123456789012:role/lander";
        for (identity, pod_identity) in [
            (json!({}), true),
            (json!({"serviceAccountName": "lander"}), true),
            // Those without a role of their own may have a Pod Identity.
            (json!({"roles": {"land": role}}), true),
            (json!({"roleArn": role}), false),
            (json!({"credentialsSecretRef": {"name": "k"}}), false),
        ] {
            sample.edit(|spec| spec.aws = with_identity(identity.clone()));
            let egress = build(&blueprint(&sample)).spec.unwrap().egress.unwrap();
            assert_eq!(egress.len() == 3, pod_identity, "{identity}");
            if let Some(agent) = egress.get(2) {
                let addresses: Vec<_> = blocks(agent).into_iter().map(|(cidr, _)| cidr).collect();
                assert_eq!(addresses, POD_IDENTITY);
                let ports = agent.ports.as_ref().unwrap();
                assert_eq!(ports[0].port, Some(IntOrString::Int(80)));
            }
        }
    }
}
