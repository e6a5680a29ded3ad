//! DescribeCluster (60): the one node.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::Call;
use crate::broker::connection::{Answer, ConnectionError};
use crate::broker::node::NODE_ID;

/// Endpoints that a client may ask for.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: DescribeClusterRequest = call.decode()?;
    let response = DescribeClusterResponse::default()
        .with_cluster_id(StrBytes::from_string(call.node.cluster_id.clone()));
    let response = if call.version >= 1 && request.endpoint_type != BROKERS {
        let refused = match request.endpoint_type {
            CONTROLLERS => ResponseError::MismatchedEndpointType,
            _ => ResponseError::UnsupportedEndpointType,
        };
        let message = "the embedded broker has no controllers of its own; ask for brokers (1)";
        response
            .with_error_code(refused.code())
            .with_error_message(Some(StrBytes::from_static_str(message)))
            .with_endpoint_type(request.endpoint_type)
    } else {
        let node = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(NODE_ID))
            .with_host(StrBytes::from_string(call.peer.broker_host.clone()))
            .with_port(call.peer.broker_port)
            .with_rack(None);
        response
            .with_error_message(None)
            .with_controller_id(BrokerId(NODE_ID))
            .with_brokers(vec![node])
    };
    call.answer(&response)
}
