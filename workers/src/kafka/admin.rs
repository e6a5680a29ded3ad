//! Admin calls that librdkafka's safe API lacks, over plain TCP.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, MetadataRequest, RequestHeader, ResponseHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// A broker that has not answered after this is passed over.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Metadata has carried topic ids since 10; 12 is in every supported broker.
const METADATA_VERSION: i16 = 12;
/// The longest answer that is read, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Why an admin call failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// None of the brokers could be asked.
    #[error("cannot ask Kafka at {bootstrap}: {why}")]
    Unreachable {
        /// The addresses.
        bootstrap: String,
        /// Why the last of them failed.
        why: String,
    },
    /// There is no such topic.
    #[error("Kafka at {bootstrap} has no topic `{topic}`; `provision` makes it")]
    NoTopic {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
    },
    /// Kafka refused.
    #[error("Kafka at {bootstrap} refused to describe topic `{topic}` (error {code})")]
    Refused {
        /// The addresses.
        bootstrap: String,
        /// The topic.
        topic: String,
        /// Kafka's error code.
        code: i16,
    },
}

/// What Kafka says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its id: another one after the topic was deleted and made again.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: i32,
}

/// Id and partitions of `topic`. `bootstrap` is `host:port,…`.
///
/// # Errors
/// Where no broker answers, there is no such topic, or Kafka refuses.
pub async fn describe_topic(bootstrap: &str, topic: &str) -> Result<TopicDescription, AdminError> {
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(vec![
            MetadataRequestTopic::default().with_name(Some(name)),
        ]));
    let answer = call(bootstrap, METADATA_VERSION, &request).await?;
    let found = answer.topics.first();
    match found.map(|t| (t.error_code, t)) {
        Some((0, found)) => Ok(TopicDescription {
            id: found.topic_id,
            partitions: i32::try_from(found.partitions.len()).unwrap_or(i32::MAX),
        }),
        None | Some((UNKNOWN_TOPIC_OR_PARTITION, _)) => Err(AdminError::NoTopic {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
        }),
        Some((code, _)) => Err(AdminError::Refused {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            code,
        }),
    }
}

/// Id of `topic`.
///
/// # Errors
/// As [`describe_topic`].
pub async fn topic_id(bootstrap: &str, topic: &str) -> Result<Uuid, AdminError> {
    describe_topic(bootstrap, topic).await.map(|t| t.id)
}

/// The answer of the first broker of `bootstrap` that gives one to `request`, in `version`.
///
/// # Errors
/// Where none does.
pub async fn call<R: Request>(
    bootstrap: &str,
    version: i16,
    request: &R,
) -> Result<R::Response, AdminError> {
    let mut why = "no address is given".to_owned();
    for address in bootstrap
        .split(',')
        .map(str::trim)
        .filter(|a| !a.is_empty())
    {
        match tokio::time::timeout(TIMEOUT, exchange(address, version, request)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => why = e.to_string(),
            Err(_) => why = "no answer in time".to_owned(),
        }
    }
    Err(AdminError::Unreachable {
        bootstrap: bootstrap.to_owned(),
        why,
    })
}

async fn exchange<R: Request>(
    address: &str,
    version: i16,
    request: &R,
) -> std::io::Result<R::Response> {
    let invalid = |e: &dyn std::fmt::Display| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string())
    };
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(1)
        .with_client_id(Some(StrBytes::from_static_str("stockpipe-admin")));
    let mut body = BytesMut::new();
    header
        .encode(&mut body, R::header_version(version))
        .and_then(|()| request.encode(&mut body, version))
        .map_err(|e| invalid(&e))?;
    let mut frame = BytesMut::with_capacity(4 + body.len());
    frame.put_u32(u32::try_from(body.len()).map_err(|e| invalid(&e))?);
    frame.put(body);

    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(&frame).await?;
    let length = socket.read_u32().await? as usize;
    if length > MAX_ANSWER {
        return Err(invalid(&format_args!("an answer of {length} bytes")));
    }
    let mut answer = vec![0; length];
    socket.read_exact(&mut answer).await?;
    let mut answer = Bytes::from(answer);
    let api = ApiKey::try_from(R::KEY).map_err(|()| invalid(&"an unknown API"))?;
    ResponseHeader::decode(&mut answer, api.response_header_version(version))
        .map_err(|e| invalid(&e))?;
    let decoded = R::Response::decode(&mut answer, version).map_err(|e| invalid(&e))?;
    if answer.has_remaining() {
        return Err(invalid(&"bytes are left after the answer"));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::MetadataResponse;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponsePartition, MetadataResponseTopic,
    };

    /// Answers one metadata request with `topic`; the address.
    async fn one_answer(topic: MetadataResponseTopic) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let length = socket.read_u32().await.unwrap() as usize;
            let mut request = vec![0; length];
            socket.read_exact(&mut request).await.unwrap();
            let mut request = Bytes::from(request);
            let header = RequestHeader::decode(&mut request, 2).unwrap();
            assert_eq!(
                (header.request_api_key, header.request_api_version),
                (3, 12)
            );
            let request = MetadataRequest::decode(&mut request, 12).unwrap();
            assert!(!request.allow_auto_topic_creation);
            let mut body = BytesMut::new();
            ResponseHeader::default()
                .with_correlation_id(header.correlation_id)
                .encode(&mut body, 1)
                .unwrap();
            let answer = MetadataResponse::default().with_topics(vec![topic]);
            answer.encode(&mut body, 12).unwrap();
            socket.write_u32(body.len() as u32).await.unwrap();
            socket.write_all(&body).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_topic_is_described_by_the_first_broker_that_answers() {
        let id = Uuid::from_u128(42);
        let topic = MetadataResponseTopic::default()
            .with_topic_id(id)
            .with_partitions(vec![MetadataResponsePartition::default(); 3]);
        let bootstrap = format!("127.0.0.1:1, {}", one_answer(topic).await);
        let found = describe_topic(&bootstrap, "t").await.unwrap();
        assert_eq!(found, TopicDescription { id, partitions: 3 });
    }

    #[tokio::test]
    async fn a_missing_topic_and_an_absent_broker_are_told_apart() {
        let missing = one_answer(MetadataResponseTopic::default().with_error_code(3)).await;
        let error = topic_id(&missing, "t").await.unwrap_err();
        assert!(matches!(error, AdminError::NoTopic { .. }), "{error}");
        let error = topic_id("127.0.0.1:1", "t").await.unwrap_err();
        assert!(matches!(error, AdminError::Unreachable { .. }), "{error}");
    }
}
