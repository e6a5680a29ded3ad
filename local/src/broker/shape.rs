//! The shape of every request, checked before it is decoded.
//!
//! The decoder reserves memory for as many array elements as a request claims to have, so a
//! few malformed bytes could ask for gigabytes. This walk over the raw bytes makes sure that
//! every length and count is backed by bytes that are really there.

use kafka_protocol::messages::ApiKey;

/// Most array elements in one request, all its arrays together.
const MAX_ELEMENTS: usize = 100_000;

/// What a field is on the wire.
#[derive(Clone, Copy)]
enum Kind {
    /// A number, boolean or UUID of this many bytes.
    Fixed(usize),
    /// A string, nullable or not.
    Text,
    /// A byte string, nullable or not.
    Blob,
    /// An array of numbers of this many bytes each.
    Numbers(usize),
    /// An array of strings.
    Texts,
    /// An array of structures.
    Structs(&'static [Field]),
}

/// A field and the first and last version that have it.
type Field = (Kind, i16, i16);

use Kind::{Blob, Fixed, Numbers, Structs, Text, Texts};

const LAST: i16 = i16::MAX;

const fn always(kind: Kind) -> Field {
    (kind, 0, LAST)
}

const fn since(kind: Kind, first: i16) -> Field {
    (kind, first, LAST)
}

const PRODUCE: &[Field] = &[
    since(Text, 3), // transactional id
    always(Fixed(2)),
    always(Fixed(4)),
    always(Structs(&[
        always(Text),
        always(Structs(&[always(Fixed(4)), always(Blob)])),
    ])),
];

const FETCH: &[Field] = &[
    always(Fixed(4)), // replica id
    always(Fixed(4)),
    always(Fixed(4)),
    always(Fixed(4)),
    always(Fixed(1)), // isolation level
    since(Fixed(8), 7),
    always(Structs(&[
        always(Text),
        always(Structs(&[
            always(Fixed(4)), // partition
            since(Fixed(4), 9),
            always(Fixed(8)),
            since(Fixed(4), 12),
            since(Fixed(8), 5),
            always(Fixed(4)),
        ])),
    ])),
    since(Structs(&[always(Text), always(Numbers(4))]), 7),
    since(Text, 11), // rack id
];

const LIST_OFFSETS: &[Field] = &[
    always(Fixed(4)),
    since(Fixed(1), 2),
    always(Structs(&[
        always(Text),
        always(Structs(&[
            always(Fixed(4)),
            since(Fixed(4), 4),
            always(Fixed(8)),
        ])),
    ])),
];

const METADATA: &[Field] = &[
    always(Structs(&[since(Fixed(16), 10), always(Text)])),
    since(Fixed(1), 4),
    (Fixed(1), 8, 10),
    since(Fixed(1), 8),
];

const OFFSET_COMMIT: &[Field] = &[
    always(Text),
    always(Fixed(4)),
    always(Text),
    since(Text, 7),
    (Fixed(8), 2, 4),
    always(Structs(&[
        always(Text),
        always(Structs(&[
            always(Fixed(4)),
            always(Fixed(8)),
            since(Fixed(4), 6),
            always(Text),
        ])),
    ])),
];

const OFFSET_FETCH: &[Field] = &[
    (Text, 0, 7),
    (Structs(&[always(Text), always(Numbers(4))]), 0, 7),
    since(
        Structs(&[
            always(Text),
            always(Structs(&[always(Text), always(Numbers(4))])),
        ]),
        8,
    ),
    since(Fixed(1), 7),
];

const FIND_COORDINATOR: &[Field] = &[(Text, 0, 3), since(Fixed(1), 1), since(Texts, 4)];

const JOIN_GROUP: &[Field] = &[
    always(Text),
    always(Fixed(4)),
    since(Fixed(4), 1),
    always(Text),
    since(Text, 5),
    always(Text),
    always(Structs(&[always(Text), always(Blob)])),
    since(Text, 8),
];

const HEARTBEAT: &[Field] = &[always(Text), always(Fixed(4)), always(Text), since(Text, 3)];

const LEAVE_GROUP: &[Field] = &[
    always(Text),
    (Text, 0, 2),
    since(Structs(&[always(Text), always(Text), since(Text, 5)]), 3),
];

const SYNC_GROUP: &[Field] = &[
    always(Text),
    always(Fixed(4)),
    always(Text),
    since(Text, 3),
    since(Text, 5),
    since(Text, 5),
    always(Structs(&[always(Text), always(Blob)])),
];

const API_VERSIONS: &[Field] = &[since(Text, 3), since(Text, 3)];

const CREATE_TOPICS: &[Field] = &[
    always(Structs(&[
        always(Text),
        always(Fixed(4)),
        always(Fixed(2)),
        always(Structs(&[always(Fixed(4)), always(Numbers(4))])),
        always(Structs(&[always(Text), always(Text)])),
    ])),
    always(Fixed(4)),
    always(Fixed(1)),
];

const DELETE_TOPICS: &[Field] = &[
    since(Structs(&[always(Text), always(Fixed(16))]), 6),
    (Texts, 0, 5),
    always(Fixed(4)),
];

const INIT_PRODUCER_ID: &[Field] = &[
    always(Text),
    always(Fixed(4)),
    since(Fixed(8), 3),
    since(Fixed(2), 3),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    always(Structs(&[always(Fixed(1)), always(Text), always(Texts)])),
    always(Fixed(1)),
    since(Fixed(1), 3),
];

const CREATE_PARTITIONS: &[Field] = &[
    always(Structs(&[
        always(Text),
        always(Fixed(4)),
        always(Structs(&[always(Numbers(4))])),
    ])),
    always(Fixed(4)),
    always(Fixed(1)),
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    always(Structs(&[
        always(Fixed(1)),
        always(Text),
        always(Structs(&[always(Text), always(Fixed(1)), always(Text)])),
    ])),
    always(Fixed(1)),
];

const LIST_GROUPS: &[Field] = &[since(Texts, 4), since(Texts, 5)];

const DESCRIBE_GROUPS: &[Field] = &[always(Texts), since(Fixed(1), 3)];

const DELETE_GROUPS: &[Field] = &[always(Texts)];

const DESCRIBE_CLUSTER: &[Field] = &[always(Fixed(1)), since(Fixed(1), 1), since(Fixed(1), 2)];

/// The fields of a request's body, or `None` for an API that the broker has not.
fn fields(key: ApiKey) -> Option<&'static [Field]> {
    Some(match key {
        ApiKey::Produce => PRODUCE,
        ApiKey::Fetch => FETCH,
        ApiKey::ListOffsets => LIST_OFFSETS,
        ApiKey::Metadata => METADATA,
        ApiKey::OffsetCommit => OFFSET_COMMIT,
        ApiKey::OffsetFetch => OFFSET_FETCH,
        ApiKey::FindCoordinator => FIND_COORDINATOR,
        ApiKey::JoinGroup => JOIN_GROUP,
        ApiKey::Heartbeat => HEARTBEAT,
        ApiKey::LeaveGroup => LEAVE_GROUP,
        ApiKey::SyncGroup => SYNC_GROUP,
        ApiKey::ListGroups => LIST_GROUPS,
        ApiKey::DescribeGroups => DESCRIBE_GROUPS,
        ApiKey::DeleteGroups => DELETE_GROUPS,
        ApiKey::DescribeCluster => DESCRIBE_CLUSTER,
        ApiKey::ApiVersions => API_VERSIONS,
        ApiKey::CreateTopics => CREATE_TOPICS,
        ApiKey::DeleteTopics => DELETE_TOPICS,
        ApiKey::InitProducerId => INIT_PRODUCER_ID,
        ApiKey::DescribeConfigs => DESCRIBE_CONFIGS,
        ApiKey::CreatePartitions => CREATE_PARTITIONS,
        ApiKey::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
        _ => return None,
    })
}

/// Why a request was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    /// A length or count points past the end.
    #[error("it ends in the middle of a field")]
    Short,
    /// A length below -1, or a number of more bytes than its type has.
    #[error("it has a malformed length")]
    Length,
    /// More array elements than [`MAX_ELEMENTS`].
    #[error("it has more than {MAX_ELEMENTS} array elements")]
    Elements,
    /// No such API.
    #[error("its API is not served")]
    Api,
}

/// Checks a request's body (what follows the request header) and returns how many of its
/// bytes the request takes.
pub(crate) fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<usize, ShapeError> {
    let fields = fields(key).ok_or(ShapeError::Api)?;
    let mut walk = Walk {
        rest: body,
        version,
        flexible: key.request_header_version(version) >= 2,
        elements: 0,
    };
    walk.structure(fields)?;
    Ok(body.len() - walk.rest.len())
}

/// A position in a request's body.
struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    /// Whether lengths are varints and structures end with tagged fields (KIP-482).
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), ShapeError> {
        self.rest = self.rest.get(bytes..).ok_or(ShapeError::Short)?;
        Ok(())
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(ShapeError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    fn varint(&mut self) -> Result<usize, ShapeError> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.number()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let value = u32::try_from(value).map_err(|_| ShapeError::Length)?;
                return Ok(value as usize);
            }
        }
        Err(ShapeError::Length)
    }

    /// A length or count; null counts as 0.
    fn length(&mut self, classic: i32) -> Result<usize, ShapeError> {
        if self.flexible {
            return Ok(self.varint()?.saturating_sub(1));
        }
        match classic {
            -1 => Ok(0),
            n => usize::try_from(n).map_err(|_| ShapeError::Length),
        }
    }

    fn text(&mut self) -> Result<(), ShapeError> {
        let classic = if self.flexible {
            0
        } else {
            i32::from(i16::from_be_bytes(self.number()?))
        };
        let length = self.length(classic)?;
        self.skip(length)
    }

    fn count(&mut self) -> Result<usize, ShapeError> {
        let classic = if self.flexible {
            0
        } else {
            i32::from_be_bytes(self.number()?)
        };
        self.length(classic)
    }

    /// The number of elements of an array, each of which takes at least one byte.
    fn elements(&mut self) -> Result<usize, ShapeError> {
        let count = self.count()?;
        if count > self.rest.len() {
            return Err(ShapeError::Short);
        }
        self.elements += count;
        if self.elements > MAX_ELEMENTS {
            return Err(ShapeError::Elements);
        }
        Ok(count)
    }

    fn field(&mut self, kind: Kind) -> Result<(), ShapeError> {
        match kind {
            Kind::Fixed(bytes) => self.skip(bytes),
            Kind::Text => self.text(),
            Kind::Blob => {
                let length = self.count()?;
                self.skip(length)
            }
            Kind::Numbers(bytes) => {
                let count = self.elements()?;
                self.skip(count.saturating_mul(bytes))
            }
            Kind::Texts => {
                for _ in 0..self.elements()? {
                    self.text()?;
                }
                Ok(())
            }
            Kind::Structs(fields) => {
                for _ in 0..self.elements()? {
                    self.structure(fields)?;
                }
                Ok(())
            }
        }
    }

    fn structure(&mut self, fields: &'static [Field]) -> Result<(), ShapeError> {
        for (kind, first, last) in fields {
            if (*first..=*last).contains(&self.version) {
                self.field(*kind)?;
            }
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.skip(length)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/shape.rs"]
mod tests;
