//! The records between the ticks: heartbeats, some of which carry a checkpoint.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of a heartbeat.
///
/// `producer` promises the record's partition no later tick with
/// `ts_event < until` (deliberately late ones excepted).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who promises: the pipeline's identity and the producer's shard, `<identity>/0`.
    pub producer: String,
    /// The promise, nanoseconds since 1970 of event time.
    pub until: i64,
    /// Run whose ticks follow.
    pub run: String,
    /// Where a restarted producer may begin again; only in some heartbeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

/// Where a restarted producer may begin again.
///
/// A partition that holds checkpoint `n` holds every tick of that partition
/// which was generated before it: the log keeps the order of sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Ordinal over all runs of this topic: the same checkpoint has the same
    /// number in every partition, a later one a greater number.
    pub n: u64,
    /// Fingerprint of the settings that the state belongs to.
    pub settings: String,
    /// State of the source, as the source wrote it.
    pub state: Value,
    /// Whether the producer ended in an orderly way right after it, so that
    /// nothing of it can still be on its way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_heartbeat_has_exactly_the_three_fields_of_the_wire() {
        let beat = Heartbeat {
            producer: "c/default/us/0".into(),
            until: 17,
            run: "7f3a91c2".into(),
            checkpoint: None,
        };
        let text = serde_json::to_string(&beat).unwrap();
        assert_eq!(
            text,
            r#"{"producer":"c/default/us/0","until":17,"run":"7f3a91c2"}"#
        );
        assert_eq!(serde_json::from_str::<Heartbeat>(&text).unwrap(), beat);
    }

    #[test]
    fn a_checkpoint_survives_the_wire() {
        let beat = Heartbeat {
            producer: "c/default/us/0".into(),
            until: -1,
            run: "r".into(),
            checkpoint: Some(Checkpoint {
                n: 3,
                settings: "ab".into(),
                state: serde_json::json!({"rows": 2}),
                closed: true,
            }),
        };
        let text = serde_json::to_string(&beat).unwrap();
        assert_eq!(serde_json::from_str::<Heartbeat>(&text).unwrap(), beat);
    }
}
