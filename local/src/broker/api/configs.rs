//! DescribeConfigs (32) and IncrementalAlterConfigs (44): configurations of topics, and the
//! fixed ones of the node.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Call, blocking, code_and_message};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::partition::Refusal;
use crate::broker::node::{NODE_ID, Node};
use crate::broker::topic_config::{DEFINITIONS, InvalidConfig, ListEdit, TopicConfig, ValueType};
use crate::broker::topics::unknown_topic;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// Where a topic's value comes from, on the wire.
pub(super) fn source(set: bool) -> i8 {
    if set { SOURCE_TOPIC } else { SOURCE_DEFAULT }
}

pub(super) fn describe(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: DescribeConfigsRequest = call.decode()?;
    let version = call.version;
    let results = request.resources.iter().map(|resource| {
        let configs = configs_of(call.node, resource);
        let (code, message) = code_and_message(&configs);
        let asked = |name: &StrBytes| {
            let keys = resource.configuration_keys.as_ref();
            // No list asks for all; the Java client sends an empty one for that as well.
            keys.is_none_or(|keys| keys.is_empty() || keys.contains(name))
        };
        let configs = configs
            .unwrap_or_default()
            .into_iter()
            .filter(|config| asked(&config.name))
            .map(|config| trim(config, &request, version));
        DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(code)
            .with_error_message(message)
            .with_configs(configs.collect())
    });
    call.answer(&DescribeConfigsResponse::default().with_results(results.collect()))
}

/// Leaves out what the request did not ask for, or its version does not have.
fn trim(
    mut config: DescribeConfigsResourceResult,
    request: &DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResourceResult {
    if !request.include_synonyms {
        config.synonyms.clear();
    }
    if version < 3 {
        config.config_type = 0;
    }
    if version < 3 || !request.include_documentation {
        config.documentation = None;
    }
    config
}

fn configs_of(
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = &resource.resource_name;
    match resource.resource_type {
        TOPIC => {
            let topic = node.topics.get(name).ok_or_else(|| unknown_topic(name))?;
            Ok(topic_configs(&topic.config()))
        }
        BROKER if name.is_empty() => Ok(Vec::new()),
        BROKER => {
            check_node(name)?;
            Ok(node_configs(node))
        }
        other => Err(unsupported_resource(other)),
    }
}

fn topic_configs(config: &TopicConfig) -> Vec<DescribeConfigsResourceResult> {
    let describe = |definition| {
        let (value, set) = config.value(definition);
        let name = StrBytes::from_static_str(definition.name);
        let synonym = |value: &str, source| {
            DescribeConfigsSynonym::default()
                .with_name(name.clone())
                .with_value(Some(StrBytes::from_string(value.to_owned())))
                .with_source(source)
        };
        let mut synonyms = vec![synonym(definition.default, SOURCE_DEFAULT)];
        if set {
            synonyms.insert(0, synonym(value, SOURCE_TOPIC));
        }
        DescribeConfigsResourceResult::default()
            .with_name(name.clone())
            .with_value(Some(StrBytes::from_string(value.to_owned())))
            .with_config_source(source(set))
            .with_synonyms(synonyms)
            .with_config_type(definition.value_type as i8)
            .with_documentation(Some(StrBytes::from_static_str(definition.documentation)))
    };
    DEFINITIONS.iter().map(describe).collect()
}

/// What the node is set to, for those who want to look; nothing of it can be altered.
fn node_configs(node: &Node) -> Vec<DescribeConfigsResourceResult> {
    let boolean = ValueType::Boolean;
    let settings = [
        ("auto.create.topics.enable", "false".to_owned(), boolean),
        ("default.replication.factor", "1".to_owned(), ValueType::Int),
        (
            "group.initial.rebalance.delay.ms",
            node.config.initial_rebalance_delay.as_millis().to_string(),
            ValueType::Int,
        ),
        (
            "group.min.session.timeout.ms",
            node.config.min_session_timeout.as_millis().to_string(),
            ValueType::Int,
        ),
        (
            "log.flush.interval.ms",
            node.config.flush_interval.as_millis().to_string(),
            ValueType::Long,
        ),
        (
            "max.connections",
            node.config.max_connections.to_string(),
            ValueType::Int,
        ),
        ("num.partitions", "1".to_owned(), ValueType::Int),
        (
            "socket.request.max.bytes",
            node.config.max_request_bytes.to_string(),
            ValueType::Int,
        ),
    ];
    let describe = |(name, value, value_type): (&'static str, String, ValueType)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_read_only(true)
            .with_config_source(SOURCE_STATIC_BROKER)
            .with_config_type(value_type as i8)
            .with_documentation(None)
    };
    settings.into_iter().map(describe).collect()
}

fn check_node(name: &str) -> Result<(), Refusal> {
    if name == NODE_ID.to_string() {
        return Ok(());
    }
    Err(Refusal {
        code: ResponseError::InvalidRequest,
        message: format!("there is no broker {name}, only broker {NODE_ID}"),
    })
}

fn unsupported_resource(resource_type: i8) -> Refusal {
    Refusal {
        code: ResponseError::InvalidRequest,
        message: format!(
            "the embedded broker has configurations of topics (2) and of itself (4), not of resource type {resource_type}"
        ),
    }
}

pub(super) async fn alter(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: IncrementalAlterConfigsRequest = call.decode()?;
    let response = blocking(call.node, move |node| {
        let responses = request.resources.iter().map(|resource| {
            let altered = alter_one(node, resource, request.validate_only);
            let (code, message) = code_and_message(&altered);
            AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(code)
                .with_error_message(message)
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    })
    .await?;
    call.answer(&response)
}

fn alter_one(
    node: &Node,
    resource: &AlterConfigsResource,
    only_check: bool,
) -> Result<(), Refusal> {
    let name = &resource.resource_name;
    match resource.resource_type {
        TOPIC => node.topics.configure(name, only_check, |config| {
            for change in &resource.configs {
                edit(config, change).map_err(|error| Refusal {
                    code: ResponseError::InvalidConfig,
                    message: error.to_string(),
                })?;
            }
            Ok(())
        }),
        BROKER => Err(Refusal {
            code: ResponseError::InvalidConfig,
            message: "the embedded broker's own configurations cannot be altered".to_owned(),
        }),
        other => Err(unsupported_resource(other)),
    }
}

fn edit(config: &mut TopicConfig, change: &AlterableConfig) -> Result<(), InvalidConfig> {
    let name = &*change.name;
    let value = || {
        change
            .value
            .as_deref()
            .ok_or_else(|| InvalidConfig(format!("{name} is set to no value; delete it instead")))
    };
    match change.config_operation {
        0 => config.set(name, Some(value()?)),
        1 => config.set(name, None),
        2 => config.check_list_edit(name, value()?, ListEdit::Append),
        3 => config.check_list_edit(name, value()?, ListEdit::Subtract),
        other => Err(InvalidConfig(format!(
            "{name} has the unknown operation {other}"
        ))),
    }
}
