//! A client that says exactly what a test wants to say.

use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiKey, BrokerId, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::broker::Broker;

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(super) struct Raw {
    pub(super) stream: TcpStream,
    correlation_id: i32,
}

impl Raw {
    pub(super) async fn connect(broker: &Broker) -> Self {
        Self {
            stream: TcpStream::connect(broker.addr()).await.unwrap(),
            correlation_id: 0,
        }
    }

    /// Sends a request and does not wait for its answer.
    pub(super) async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let key = ApiKey::try_from(R::KEY).unwrap();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("raw")));
        let mut body = BytesMut::new();
        header
            .encode(&mut body, key.request_header_version(version))
            .unwrap();
        request.encode(&mut body, version).unwrap();
        self.send_bytes(&body).await;
    }

    /// Sends a frame of these bytes.
    pub(super) async fn send_bytes(&mut self, body: &[u8]) {
        let mut frame = BytesMut::with_capacity(body.len() + 4);
        frame.put_i32(body.len() as i32);
        frame.put_slice(body);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next frame, `None` if the broker closed the connection.
    pub(super) async fn receive_bytes(&mut self) -> Option<Bytes> {
        let length = self.stream.read_i32().await.ok()?;
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Bytes::from(body))
    }

    /// The answer to the last request; every byte of it is accounted for.
    pub(super) async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let mut body = self.receive_bytes().await.expect("the broker closed");
        let header =
            ResponseHeader::decode(&mut body, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let response = R::Response::decode(&mut body, version).unwrap();
        assert!(body.is_empty(), "{} bytes too many", body.len());
        response
    }

    pub(super) async fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        self.send(version, &request).await;
        self.receive::<R>(version).await
    }

    pub(super) async fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        // The records of these tests are as old as their small timestamps say.
        let configs = [("retention.ms", "-1")].iter().chain(configs);
        let configs = configs.map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(1_000);
        let response = self.call(7, request).await;
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics);
    }

    /// Produces one batch to partition 0.
    pub(super) async fn produce(&mut self, topic: &str, batch: Bytes) -> PartitionProduceResponse {
        let mut response = self.call(9, produce_request(topic, batch)).await;
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Fetches from partition 0.
    pub(super) async fn fetch(
        &mut self,
        topic: &str,
        offset: i64,
        fetch: Fetching,
    ) -> PartitionData {
        let mut response = self.call(12, fetch_request(topic, offset, fetch)).await;
        response.responses.remove(0).partitions.remove(0)
    }

    /// Offset and timestamp that partition 0 has for a time, and the error code.
    pub(super) async fn offset_at(&mut self, topic: &str, timestamp: i64) -> (i16, i64, i64) {
        let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        let response = self.call(7, request).await;
        let found = &response.topics[0].partitions[0];
        (found.error_code, found.offset, found.timestamp)
    }
}

/// What a fetch waits for and takes.
#[derive(Clone, Copy)]
pub(super) struct Fetching {
    pub(super) wait_ms: i32,
    pub(super) min_bytes: i32,
    pub(super) max_bytes: i32,
    pub(super) partition_max_bytes: i32,
}

/// Whatever is there, at once.
pub(super) const NOW: Fetching = Fetching {
    wait_ms: 0,
    min_bytes: 1,
    max_bytes: 1 << 20,
    partition_max_bytes: 1 << 20,
};

pub(super) fn produce_request(topic: &str, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(topic_name(topic))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![topic])
}

pub(super) fn fetch_request(topic: &str, offset: i64, fetch: Fetching) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(fetch.partition_max_bytes);
    let topic = FetchTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(fetch.wait_ms)
        .with_min_bytes(fetch.min_bytes)
        .with_max_bytes(fetch.max_bytes)
        .with_topics(vec![topic])
}
