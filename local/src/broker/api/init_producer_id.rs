//! InitProducerId (22): ids for idempotent producers.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Call, blocking};
use crate::broker::connection::{Answer, ConnectionError};

pub(super) async fn handle(mut call: Call<'_>) -> Result<Answer, ConnectionError> {
    let request: InitProducerIdRequest = call.decode()?;
    let refused = InitProducerIdResponse::default()
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    if let Some(id) = &request.transactional_id {
        tracing::warn!(
            "refused the transactional.id {:?}: the embedded broker has no transactions",
            **id
        );
        let code = ResponseError::TransactionalIdAuthorizationFailed.code();
        return call.answer(&refused.with_error_code(code));
    }
    // A producer that lost track of its sequences gets a new id rather than a new epoch, as
    // from Apache Kafka when it is not transactional.
    let response = match blocking(call.node, |node| node.producer_ids.next()).await? {
        Ok(id) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0),
        Err(error) => {
            tracing::error!("cannot reserve producer ids: {error}");
            refused.with_error_code(ResponseError::CoordinatorNotAvailable.code())
        }
    };
    call.answer(&response)
}
