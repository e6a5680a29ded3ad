//! FindCoordinator (10): it is always this node.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Call, code_and_message};
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::log::partition::Refusal;
use crate::broker::node::NODE_ID;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: FindCoordinatorRequest = call.decode()?;
    let host = StrBytes::from_string(call.peer.broker_host.clone());
    let port = call.peer.broker_port;
    let response = if call.version >= 4 {
        let coordinators = request.coordinator_keys.into_iter().map(|key| {
            let served = check(request.key_type, &key);
            let (code, message) = code_and_message(&served);
            let coordinator = Coordinator::default()
                .with_key(key)
                .with_error_code(code)
                .with_error_message(message);
            match served {
                Ok(()) => coordinator
                    .with_node_id(BrokerId(NODE_ID))
                    .with_host(host.clone())
                    .with_port(port),
                Err(_) => coordinator.with_node_id(BrokerId(-1)).with_port(-1),
            }
        });
        FindCoordinatorResponse::default()
            .with_error_message(None)
            .with_coordinators(coordinators.collect())
    } else {
        let served = check(request.key_type, &request.key);
        let (code, message) = code_and_message(&served);
        let response = FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(message.filter(|_| call.version >= 1));
        match served {
            Ok(()) => response
                .with_node_id(BrokerId(NODE_ID))
                .with_host(host)
                .with_port(port),
            Err(_) => response.with_node_id(BrokerId(-1)).with_port(-1),
        }
    };
    call.answer(&response)
}

fn check(key_type: i8, key: &str) -> Result<(), Refusal> {
    match key_type {
        GROUP if key.is_empty() => Err(Refusal {
            code: ResponseError::InvalidGroupId,
            message: "a consumer group needs an id".to_owned(),
        }),
        GROUP => Ok(()),
        // An error that clients take as final, instead of asking again for ever.
        TRANSACTION => Err(Refusal {
            code: ResponseError::TransactionalIdAuthorizationFailed,
            message: "the embedded broker has no transactions; unset transactional.id".to_owned(),
        }),
        other => Err(Refusal {
            code: ResponseError::InvalidRequest,
            message: format!("the embedded broker coordinates groups (0), not key type {other}"),
        }),
    }
}
