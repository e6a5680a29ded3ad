//! CreatePartitions (37): topics grow, they never shrink.

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};

use super::{Call, blocking, code_and_message};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::partition::Refusal;
use crate::broker::node::Node;

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: CreatePartitionsRequest = call.decode()?;
    let response = blocking(call.node, move |node| respond(node, &request)).await?;
    call.answer(&response)
}

fn respond(node: &Node, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut named: HashMap<&TopicName, usize> = HashMap::new();
    for topic in &request.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    let results = request.topics.iter().map(|topic| {
        let grown = match named.get(&topic.name) {
            Some(1) => grow(node, topic, request.validate_only),
            _ => Err(Refusal {
                code: ResponseError::InvalidRequest,
                message: format!("the request names topic {} more than once", *topic.name),
            }),
        };
        let (code, message) = code_and_message(&grown);
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(code)
            .with_error_message(message)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(node: &Node, topic: &CreatePartitionsTopic, only_check: bool) -> Result<(), Refusal> {
    let current = node.topics.check_grow(&topic.name, topic.count)?;
    if let Some(assignments) = &topic.assignments {
        let more = topic.count - current.partition_count();
        if i32::try_from(assignments.len()) != Ok(more) {
            return Err(Refusal {
                code: ResponseError::InvalidReplicaAssignment,
                message: format!(
                    "{more} partitions are to be added, but {} are assigned",
                    assignments.len()
                ),
            });
        }
    }
    if only_check {
        return Ok(());
    }
    node.topics.grow(&topic.name, topic.count)
}
