//! IncrementalAlterConfigs, which librdkafka's safe API lacks.
//!
//! Its predecessor AlterConfigs sets every entry that it does not name back to
//! the default, so that a person's own settings would be lost.

use std::collections::BTreeMap;

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::protocol::StrBytes;

use crate::kafka::admin;
use crate::service::ServiceError;

const VERSION: i16 = 1;
const TOPIC: i8 = 2;
const SET: i8 = 0;

/// Sets `entries` of `topic`; every other entry stays.
pub(super) async fn alter(
    bootstrap: &str,
    topic: &str,
    entries: &BTreeMap<String, String>,
) -> Result<(), ServiceError> {
    let names: Vec<_> = entries.keys().map(String::as_str).collect();
    let action = format!("set {} of topic `{topic}`", names.join(", "));
    let answer = admin::call(bootstrap, VERSION, &request(topic, entries))
        .await
        .map_err(|e| ServiceError::admin(&*action, &e))?;
    match answer.responses.iter().find(|r| r.error_code != 0) {
        None => Ok(()),
        Some(refusal) => Err(ServiceError::Kafka {
            action,
            outage: false,
            why: refusal.error_message.as_ref().map_or_else(
                || format!("Kafka answered error {}", refusal.error_code),
                |message| message.to_string(),
            ),
        }),
    }
}

fn request(topic: &str, entries: &BTreeMap<String, String>) -> IncrementalAlterConfigsRequest {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let configs = entries
        .iter()
        .map(|(name, value)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(SET)
                .with_value(Some(text(value)))
        })
        .collect();
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(configs);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_entries_are_set() {
        let entries = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
        let request = request("t", &entries);
        let resource = &request.resources[0];
        assert_eq!(
            (resource.resource_type, &*resource.resource_name),
            (TOPIC, "t")
        );
        assert_eq!(resource.configs.len(), 1);
        let entry = &resource.configs[0];
        assert_eq!(
            (&*entry.name, entry.config_operation, entry.value.as_deref()),
            ("retention.ms", SET, Some("1000"))
        );
    }
}
