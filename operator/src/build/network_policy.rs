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

/// The node's metadata service, which hands out the node's own credentials.
/// 169.254.170.23, EKS Pod Identity, stays open.
const NODE_METADATA: [(&str, &str); 2] = [
    ("0.0.0.0/0", "169.254.169.254/32"),
    ("::/0", "fd00:ec2::254/128"),
];
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
            egress: Some(vec![NetworkPolicyEgressRule {
                to: Some(
                    NODE_METADATA
                        .into_iter()
                        .map(|(all, but)| NetworkPolicyPeer {
                            ip_block: Some(IPBlock {
                                cidr: all.to_owned(),
                                except: Some(vec![but.to_owned()]),
                            }),
                            ..NetworkPolicyPeer::default()
                        })
                        .collect(),
                ),
                ports: None,
            }]),
        }),
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
}
