//! DeleteTopics (20): topics go with their records, configurations and committed offsets.

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Call, blocking, code_and_message};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::partition::Refusal;
use crate::broker::node::Node;
use crate::broker::topics::Topic;

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: DeleteTopicsRequest = call.decode()?;
    let version = call.version;
    let response = blocking(call.node, move |node| respond(node, request, version)).await?;
    call.answer(&response)
}

fn respond(node: &Node, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let mut asked = request.topics;
    let by_name = |name| DeleteTopicState::default().with_name(Some(name));
    asked.extend(request.topic_names.into_iter().map(by_name));
    // A topic may be named by its name and by its id: what counts is the topic.
    let names: Vec<Result<TopicName, Refusal>> = asked.iter().map(|a| name(node, a)).collect();
    let mut named: HashMap<&str, usize> = HashMap::new();
    for name in names.iter().flatten() {
        *named.entry(name).or_default() += 1;
    }
    let responses = asked.iter().zip(&names).map(|(asked, name)| {
        let deleted = match name {
            Err(refusal) => Err(refusal.clone()),
            Ok(name) if named[&***name] > 1 => Err(Refusal {
                code: ResponseError::InvalidRequest,
                message: format!("the request names topic {} more than once", **name),
            }),
            Ok(name) => node.delete_topic(name),
        };
        result(asked, deleted.as_deref(), version)
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

/// The name of the topic that is asked for.
fn name(node: &Node, asked: &DeleteTopicState) -> Result<TopicName, Refusal> {
    match &asked.name {
        Some(_) if !asked.topic_id.is_nil() => Err(Refusal {
            code: ResponseError::InvalidRequest,
            message: "a topic is named by its name or by its id, not by both".to_owned(),
        }),
        Some(name) => Ok(name.clone()),
        None => match node.topics.by_id(asked.topic_id) {
            Some(topic) => Ok(TopicName(StrBytes::from_string(topic.name.clone()))),
            None => Err(Refusal {
                code: ResponseError::UnknownTopicId,
                message: format!("there is no topic with the id {}", asked.topic_id),
            }),
        },
    }
}

fn result(
    asked: &DeleteTopicState,
    deleted: Result<&Topic, &Refusal>,
    version: i16,
) -> DeletableTopicResult {
    let (code, message) = code_and_message(&deleted.map_err(Clone::clone));
    let name = match deleted {
        Ok(topic) => Some(TopicName(StrBytes::from_string(topic.name.clone()))),
        Err(_) => asked.name.clone(),
    };
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(match deleted {
            _ if version < 6 => Uuid::nil(),
            Ok(topic) => topic.id,
            Err(_) => asked.topic_id,
        })
        .with_error_code(code)
        .with_error_message(message.filter(|_| version >= 5))
}
