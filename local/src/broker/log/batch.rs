//! The record batch, format version 2 ("magic 2"), as it lies on the wire and in a segment.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>. Base offset and partition
//! leader epoch come before the checksum and are the broker's to assign; everything from the
//! attributes on is the producer's and covered by the CRC-32C.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

/// Bytes from a batch's start to its first record.
pub(crate) const HEADER_BYTES: usize = 61;

/// Bytes that the broker assigns: base offset, length, partition leader epoch.
pub(crate) const ASSIGNED_BYTES: usize = 16;

/// Bytes before the part that `batch length` counts.
const PREFIX_BYTES: usize = 12;

/// First byte that the checksum covers.
const CHECKED_FROM: usize = 21;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// The fields of a batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Offset of the first record.
    pub(crate) base_offset: i64,
    /// Size of the whole batch in bytes, header included.
    pub(crate) bytes: usize,
    /// CRC-32C as the producer computed it.
    pub(crate) crc: u32,
    /// Codec, timestamp type, transactional and control bits.
    pub(crate) attributes: i16,
    /// Offset of the last record less `base_offset`.
    pub(crate) last_offset_delta: i32,
    /// Timestamp of the first record, milliseconds since the epoch.
    pub(crate) base_timestamp: i64,
    /// Greatest timestamp of its records, milliseconds since the epoch.
    pub(crate) max_timestamp: i64,
    /// -1 for a producer that is not idempotent.
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Sequence number of the first record, -1 for a producer that is not idempotent.
    pub(crate) base_sequence: i32,
    pub(crate) records: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`BatchError`] for bytes that cannot be a batch of this format; the checksum is
    /// [`verify`]'s matter.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BatchError::Short)?;
        let magic = header[16];
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let length = i32::from_be_bytes(field(header, 8));
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length >= HEADER_BYTES - PREFIX_BYTES)
            .ok_or(BatchError::Length(length))?;
        let parsed = Self {
            base_offset: i64::from_be_bytes(field(header, 0)),
            bytes: length + PREFIX_BYTES,
            crc: u32::from_be_bytes(field(header, 17)),
            attributes: i16::from_be_bytes(field(header, 21)),
            last_offset_delta: i32::from_be_bytes(field(header, 23)),
            base_timestamp: i64::from_be_bytes(field(header, 27)),
            max_timestamp: i64::from_be_bytes(field(header, 35)),
            producer_id: i64::from_be_bytes(field(header, 43)),
            producer_epoch: i16::from_be_bytes(field(header, 51)),
            base_sequence: i32::from_be_bytes(field(header, 53)),
            records: i32::from_be_bytes(field(header, 57)),
        };
        if parsed.records < 1 || parsed.last_offset_delta != parsed.records - 1 {
            return Err(BatchError::Count);
        }
        Ok(parsed)
    }

    /// Offset of the last record.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    pub(crate) fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Sequence number of the last record; sequences wrap from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0)
    }

    /// Whether an idempotent producer sent it.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// How its records are compressed.
    pub(crate) fn codec(&self) -> Result<Codec, BatchError> {
        match self.attributes & CODEC_MASK {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            other => Err(BatchError::Codec(other)),
        }
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

/// Whether the batch in `bytes` (exactly one) has the checksum that its header names.
pub(crate) fn verify(bytes: &[u8], header: &BatchHeader) -> bool {
    bytes
        .get(CHECKED_FROM..header.bytes)
        .is_some_and(|checked| crc32c::crc32c(checked) == header.crc)
}

/// A batch that a producer sent and that may be appended.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Its header as sent; the base offset is not assigned yet.
    pub(crate) header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Checks the records of one partition in a produce request: exactly one batch, of this
    /// format, intact, and with nothing that this broker cannot keep.
    pub(crate) fn check(bytes: Bytes, max_bytes: usize) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        if bytes.len() < header.bytes {
            return Err(BatchError::Short);
        }
        if bytes.len() > header.bytes {
            return Err(BatchError::Several);
        }
        if header.bytes > max_bytes {
            return Err(BatchError::TooLarge {
                bytes: header.bytes,
                max: max_bytes,
            });
        }
        if !verify(&bytes, &header) {
            return Err(BatchError::Checksum);
        }
        if header.is_control() || header.attributes & TRANSACTIONAL != 0 {
            return Err(BatchError::Transactional);
        }
        if header.attributes & LOG_APPEND_TIME != 0 {
            return Err(BatchError::TimestampType);
        }
        if header.is_idempotent() && (header.producer_epoch < 0 || header.base_sequence < 0) {
            return Err(BatchError::Sequence);
        }
        header.codec()?;
        Ok(Self { header, bytes })
    }

    /// The first [`ASSIGNED_BYTES`] with the offset and leader epoch that the broker gives.
    pub(crate) fn assigned(&self, base_offset: i64, leader_epoch: i32) -> [u8; ASSIGNED_BYTES] {
        let mut head = [0; ASSIGNED_BYTES];
        head[0..8].copy_from_slice(&base_offset.to_be_bytes());
        head[8..12].copy_from_slice(&self.bytes[8..12]);
        head[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        head
    }

    /// What follows [`Batch::assigned`], as the producer sent it.
    pub(crate) fn unassigned(&self) -> &[u8] {
        &self.bytes[ASSIGNED_BYTES..]
    }
}

/// Why bytes are not a batch that the broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("the record batch is cut short")]
    Short,
    #[error("a produce request may have only one record batch per partition")]
    Several,
    #[error("message format {0} is not supported, only 2 is (Kafka 0.11 and later)")]
    Magic(u8),
    #[error("the record batch has the impossible length {0}")]
    Length(i32),
    #[error("the record batch's count does not fit its offsets")]
    Count,
    #[error("the record batch has {bytes} bytes, more than max.message.bytes = {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("the record batch does not match its CRC-32C")]
    Checksum,
    #[error("the compression codec {0} is unknown")]
    Codec(i16),
    #[error("the embedded broker has no transactions")]
    Transactional,
    #[error("a producer may only send timestamps of type CreateTime")]
    TimestampType,
    #[error("the record batch has a producer id but no epoch or sequence")]
    Sequence,
}

impl BatchError {
    /// The error code that Apache Kafka answers.
    pub(crate) fn code(self) -> ResponseError {
        match self {
            Self::Short | Self::Length(_) | Self::Checksum => ResponseError::CorruptMessage,
            Self::Several | Self::Count | Self::Sequence => ResponseError::InvalidRecord,
            Self::Magic(_) => ResponseError::UnsupportedForMessageFormat,
            Self::TooLarge { .. } => ResponseError::MessageTooLarge,
            Self::Codec(_) => ResponseError::UnsupportedCompressionType,
            Self::Transactional => ResponseError::InvalidTxnState,
            Self::TimestampType => ResponseError::InvalidTimestamp,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::records::{
        Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };

    use super::*;

    /// A batch of `count` records as a producer sends it; record `i` has the value `i` and
    /// the timestamp `timestamp + i`.
    pub(crate) fn sent(
        (producer_id, producer_epoch, base_sequence): (i64, i16, i32),
        count: usize,
        timestamp: i64,
        compression: Compression,
    ) -> Bytes {
        let records: Vec<Record> = (0..count)
            .map(|i| Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: -1,
                producer_id,
                producer_epoch,
                timestamp_type: TimestampType::Creation,
                offset: i as i64,
                // The encoder starts a new batch where sequences do not ascend.
                sequence: base_sequence.wrapping_add(i as i32),
                timestamp: timestamp + i as i64,
                key: None,
                value: Some(Bytes::from(i.to_string())),
                headers: Default::default(),
            })
            .collect();
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(
            &mut bytes,
            &records,
            &RecordEncodeOptions {
                version: 2,
                compression,
            },
        )
        .unwrap();
        bytes.freeze()
    }

    fn plain(count: usize) -> Bytes {
        sent((-1, -1, -1), count, 1_000, Compression::None)
    }

    #[test]
    fn a_header_reads_as_it_was_sent() {
        let bytes = sent((7, 2, 40), 3, 1_000, Compression::Zstd);
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(header.bytes, bytes.len());
        assert_eq!((header.producer_id, header.producer_epoch), (7, 2));
        assert_eq!((header.base_sequence, header.last_sequence()), (40, 42));
        assert_eq!(
            (header.base_timestamp, header.max_timestamp),
            (1_000, 1_002)
        );
        assert_eq!(header.records, 3);
        assert_eq!(header.codec(), Ok(Codec::Zstd));
        assert!(verify(&bytes, &header));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let header = BatchHeader {
            base_sequence: i32::MAX - 1,
            last_offset_delta: 2,
            ..BatchHeader::parse(&plain(3)).unwrap()
        };
        assert_eq!(header.last_sequence(), 0);
    }

    #[test]
    fn a_batch_with_any_flipped_bit_is_refused() {
        let intact = plain(2);
        for byte in 8..intact.len() {
            if (12..16).contains(&byte) {
                continue; // the leader epoch is the broker's
            }
            let mut flipped = intact.to_vec();
            flipped[byte] ^= 0x10;
            assert!(
                Batch::check(Bytes::from(flipped), 1 << 20).is_err(),
                "a flip in byte {byte} went unnoticed"
            );
        }
        assert!(Batch::check(intact, 1 << 20).is_ok());
    }

    #[test]
    fn a_batch_cut_anywhere_is_refused() {
        let intact = plain(2);
        for length in 0..intact.len() {
            assert!(Batch::check(intact.slice(..length), 1 << 20).is_err());
        }
    }

    #[test]
    fn two_batches_too_large_a_batch_and_an_old_format_have_kafkas_error_codes() {
        let mut two = plain(1).to_vec();
        two.extend_from_slice(&plain(1));
        let mut old = plain(1).to_vec();
        old[16] = 1;
        for (bytes, max, code) in [
            (two, 1 << 20, ResponseError::InvalidRecord),
            (plain(100).to_vec(), 80, ResponseError::MessageTooLarge),
            (old, 1 << 20, ResponseError::UnsupportedForMessageFormat),
        ] {
            let error = Batch::check(Bytes::from(bytes), max).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn assigning_an_offset_keeps_the_checksum() {
        let batch = Batch::check(plain(5), 1 << 20).unwrap();
        let mut stored = batch.assigned(1_234, 7).to_vec();
        stored.extend_from_slice(batch.unassigned());
        let header = BatchHeader::parse(&stored).unwrap();
        assert!(verify(&stored, &header));
        assert_eq!((header.base_offset, header.last_offset()), (1_234, 1_238));
    }
}
