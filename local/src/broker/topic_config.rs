//! Topic configurations: which the broker has, what they mean, and their defaults.

use std::collections::BTreeMap;

use crate::broker::log::{Limits, Retention};

/// Types of configuration values on the wire (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    List = 7,
}

/// One configuration that a topic may have.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) value_type: ValueType,
    pub(crate) documentation: &'static str,
    accepts: Accepts,
}

#[derive(Clone, Copy, Debug)]
enum Accepts {
    /// A whole number in this range.
    Number(i64, i64),
    /// This word alone; the second says why.
    Only(&'static str, &'static str),
}

/// Every topic configuration of the broker, by name.
pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "cleanup.policy",
        default: "delete",
        value_type: ValueType::List,
        documentation: "Old segments are deleted; the embedded broker does not compact.",
        accepts: Accepts::Only("delete", "the embedded broker does not compact"),
    },
    Definition {
        name: "compression.type",
        default: "producer",
        value_type: ValueType::Text,
        documentation: "Batches are kept as the producer compressed them.",
        accepts: Accepts::Only(
            "producer",
            "the embedded broker keeps batches as producers compressed them",
        ),
    },
    Definition {
        name: "max.message.bytes",
        default: "1048588",
        value_type: ValueType::Int,
        documentation: "Largest record batch, in bytes, after compression.",
        accepts: Accepts::Number(0, i32::MAX as i64),
    },
    Definition {
        name: "message.timestamp.type",
        default: "CreateTime",
        value_type: ValueType::Text,
        documentation: "Records keep the timestamps of their producer.",
        accepts: Accepts::Only(
            "CreateTime",
            "the embedded broker keeps the timestamps of producers",
        ),
    },
    Definition {
        name: "min.insync.replicas",
        default: "1",
        value_type: ValueType::Int,
        documentation: "Kept for the cluster that the topic is meant for; with one broker the only replica is always in sync.",
        accepts: Accepts::Number(1, i32::MAX as i64),
    },
    Definition {
        name: "retention.bytes",
        default: "-1",
        value_type: ValueType::Long,
        documentation: "Bytes of a partition beyond which its oldest segments are deleted; -1 for no limit.",
        accepts: Accepts::Number(-1, i64::MAX),
    },
    Definition {
        name: "retention.ms",
        default: "604800000",
        value_type: ValueType::Long,
        documentation: "Age in milliseconds of a segment's newest record beyond which it is deleted; -1 for no limit.",
        accepts: Accepts::Number(-1, i64::MAX),
    },
    Definition {
        name: "segment.bytes",
        default: "134217728",
        value_type: ValueType::Int,
        documentation: "Bytes of a segment file; retention deletes whole segments.",
        accepts: Accepts::Number(1 << 14, i32::MAX as i64),
    },
];

/// A configuration that a topic cannot have; the message says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidConfig(pub(crate) String);

impl Definition {
    fn find(name: &str) -> Result<&'static Self, InvalidConfig> {
        DEFINITIONS
            .iter()
            .find(|definition| definition.name == name)
            .ok_or_else(|| {
                InvalidConfig(format!(
                    "the embedded broker has no topic configuration {name}"
                ))
            })
    }

    fn check(&self, value: &str) -> Result<(), InvalidConfig> {
        let name = self.name;
        match self.accepts {
            Accepts::Only(word, why) if value != word => Err(InvalidConfig(format!(
                "{name} can only be {word}, not {value}: {why}"
            ))),
            Accepts::Only(..) => Ok(()),
            Accepts::Number(least, most) => match value.parse::<i64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(InvalidConfig(format!(
                    "{name} must be a whole number from {least} to {most}, not {value}"
                ))),
            },
        }
    }
}

/// The configurations of one topic that were set; the others have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicConfig {
    set: BTreeMap<String, String>,
}

impl TopicConfig {
    /// Takes what a topic file or a request says, if all of it is valid.
    pub(crate) fn new(
        pairs: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Result<Self, InvalidConfig> {
        let mut config = Self::default();
        for (name, value) in pairs {
            config.set(&name, value.as_deref())?;
        }
        Ok(config)
    }

    /// Sets `name`; no value sets the default.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), InvalidConfig> {
        let definition = Definition::find(name)?;
        match value {
            None => {
                self.set.remove(name);
            }
            Some(value) => {
                definition.check(value)?;
                self.set.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// Checks an addition to or a removal from a list. The broker has one list,
    /// `cleanup.policy`, and that has one value, so there is nothing to change.
    pub(crate) fn check_list_edit(
        &self,
        name: &str,
        value: &str,
        edit: ListEdit,
    ) -> Result<(), InvalidConfig> {
        let definition = Definition::find(name)?;
        if definition.value_type != ValueType::List {
            return Err(InvalidConfig(format!(
                "{name} is no list: set it instead of appending to it or subtracting from it"
            )));
        }
        match edit {
            ListEdit::Append => definition.check(value),
            ListEdit::Subtract if value == definition.default => Err(InvalidConfig(format!(
                "{name} cannot be empty, so {value} cannot be taken from it"
            ))),
            ListEdit::Subtract => Ok(()),
        }
    }

    /// The value of a definition, and whether it was set.
    pub(crate) fn value<'a>(&'a self, definition: &'a Definition) -> (&'a str, bool) {
        match self.set.get(definition.name) {
            Some(value) => (value, true),
            None => (definition.default, false),
        }
    }

    /// What was set, for the topic file.
    pub(crate) fn as_map(&self) -> &BTreeMap<String, String> {
        &self.set
    }

    fn number(&self, name: &str) -> i64 {
        let value = DEFINITIONS
            .iter()
            .find(|definition| definition.name == name)
            .map_or("", |definition| self.value(definition).0);
        value.parse().unwrap_or(i64::MAX)
    }

    /// Largest batch in bytes.
    pub(crate) fn max_batch_bytes(&self) -> usize {
        usize::try_from(self.number("max.message.bytes")).unwrap_or(0)
    }

    /// What bounds a segment.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            segment_bytes: u64::try_from(self.number("segment.bytes")).unwrap_or(u64::MAX),
        }
    }

    /// What is kept.
    pub(crate) fn retention(&self) -> Retention {
        let age = self.number("retention.ms");
        Retention {
            bytes: u64::try_from(self.number("retention.bytes")).ok(),
            milliseconds: (age >= 0).then_some(age),
        }
    }
}

/// What `IncrementalAlterConfigs` does to a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListEdit {
    Append,
    Subtract,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid_and_names_ascend() {
        for definition in DEFINITIONS {
            assert_eq!(definition.check(definition.default), Ok(()));
        }
        assert!(DEFINITIONS.is_sorted_by_key(|definition| definition.name));
    }

    #[test]
    fn refusals_name_the_configuration_and_what_to_write() {
        let mut config = TopicConfig::default();
        for (name, value, message) in [
            (
                "retention.hours",
                "1",
                "the embedded broker has no topic configuration retention.hours",
            ),
            (
                "cleanup.policy",
                "compact",
                "cleanup.policy can only be delete, not compact: the embedded broker does not compact",
            ),
            (
                "retention.ms",
                "a week",
                "retention.ms must be a whole number from -1 to 9223372036854775807, not a week",
            ),
            (
                "segment.bytes",
                "100",
                "segment.bytes must be a whole number from 16384 to 2147483647, not 100",
            ),
        ] {
            let error = config.set(name, Some(value)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(config, TopicConfig::default());
    }

    #[test]
    fn minus_one_means_no_limit() {
        let mut config = TopicConfig::default();
        assert_eq!(config.retention().milliseconds, Some(604_800_000));
        assert_eq!(config.retention().bytes, None);
        config.set("retention.ms", Some("-1")).unwrap();
        config.set("retention.bytes", Some("1000")).unwrap();
        assert_eq!(config.retention().milliseconds, None);
        assert_eq!(config.retention().bytes, Some(1_000));
        config.set("retention.bytes", None).unwrap();
        assert_eq!(config.retention().bytes, None);
    }

    #[test]
    fn only_lists_are_appended_to() {
        let config = TopicConfig::default();
        assert!(
            config
                .check_list_edit("retention.ms", "1", ListEdit::Append)
                .is_err()
        );
        assert!(
            config
                .check_list_edit("cleanup.policy", "delete", ListEdit::Append)
                .is_ok()
        );
        assert!(
            config
                .check_list_edit("cleanup.policy", "compact", ListEdit::Append)
                .is_err()
        );
        assert!(
            config
                .check_list_edit("cleanup.policy", "delete", ListEdit::Subtract)
                .is_err()
        );
    }
}
