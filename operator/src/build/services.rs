//! Addresses: the producers' names, and the page.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pod::{PAGE_PORT_NAME, STATUS_PORT, STATUS_PORT_NAME};
use super::{Blueprint, producer};
use crate::labels::{self, Role};

/// Port of the page's Service.
pub const PAGE_SERVICE_PORT: i32 = 80;

/// `NAME-produce`, without an address: gives each producer a name.
#[must_use]
pub fn producers(blueprint: &Blueprint<'_>) -> Service {
    let role = Role::Produce;
    Service {
        metadata: blueprint.meta(producer::name(blueprint.name()), Some(role)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(labels::selector(blueprint.name(), role)),
            ports: Some(vec![port(STATUS_PORT_NAME, STATUS_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// `NAME-page`: the live page.
#[must_use]
pub fn page(blueprint: &Blueprint<'_>) -> Service {
    let role = Role::Analyze;
    Service {
        metadata: blueprint.meta(page_name(blueprint.name()), Some(role)),
        spec: Some(ServiceSpec {
            selector: Some(labels::selector(blueprint.name(), role)),
            ports: Some(vec![port(PAGE_PORT_NAME, PAGE_SERVICE_PORT)]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Name of the page's Service.
#[must_use]
pub fn page_name(pipeline: &str) -> String {
    format!("{pipeline}-page")
}

fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}
