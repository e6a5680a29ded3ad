//! The records inside a batch, read only as far as a search by time needs.
//!
//! Decompression streams: a batch that unpacks to gigabytes takes time but no memory.

use std::io::{self, BufRead, BufReader, Read};

use super::batch::{BatchHeader, Codec};

/// A block of xerial's snappy framing that unpacks to more than this is not a producer's.
const MAX_SNAPPY_BLOCK: usize = 16 << 20;

/// Header of xerial's framing of snappy, which Java clients and librdkafka write.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
}

/// The first record of a batch at or after `timestamp`, where the batch has one (its
/// `max_timestamp` says so).
///
/// Where the records cannot be read (the broker checks a batch's checksum, not its
/// producer's sanity), the batch's first offset is the answer: no record is missed by it.
pub(crate) fn first_at_or_after(header: &BatchHeader, records: &[u8], timestamp: i64) -> Found {
    search(header, records, timestamp)
        .ok()
        .flatten()
        .unwrap_or(Found {
            offset: header.base_offset,
            timestamp: header.max_timestamp,
        })
}

fn search(header: &BatchHeader, records: &[u8], timestamp: i64) -> io::Result<Option<Found>> {
    let codec = header.codec().map_err(io::Error::other)?;
    let mut reader = BufReader::new(unpacked(codec, records)?);
    for _ in 0..header.records {
        let length = u64::try_from(varint(&mut reader)?).map_err(io::Error::other)?;
        let mut record = (&mut reader).take(length);
        let mut attributes = [0];
        record.read_exact(&mut attributes)?;
        let found = Found {
            timestamp: header.base_timestamp.saturating_add(varint(&mut record)?),
            offset: header.base_offset.saturating_add(varint(&mut record)?),
        };
        if found.timestamp >= timestamp {
            return Ok(Some(found));
        }
        io::copy(&mut record, &mut io::sink())?;
    }
    Ok(None)
}

fn unpacked<'a>(codec: Codec, records: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match codec {
        Codec::None => Box::new(records),
        Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(records)),
        Codec::Lz4 => Box::new(lz4::Decoder::new(records)?),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::new(records)?),
        Codec::Snappy => Box::new(Snappy::new(records)),
    })
}

/// A zigzag varint of at most 64 bits, as in protocol buffers.
fn varint(reader: &mut impl Read) -> io::Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            let magnitude = (value >> 1).cast_signed();
            return Ok(if value & 1 == 0 {
                magnitude
            } else {
                !magnitude
            });
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a number of more than 64 bits",
    ))
}

/// Snappy, framed by xerial or raw, block by block.
struct Snappy<'a> {
    framed: bool,
    rest: &'a [u8],
    block: io::Cursor<Vec<u8>>,
}

impl<'a> Snappy<'a> {
    fn new(packed: &'a [u8]) -> Self {
        // The magic is followed by two versions of four bytes each.
        let framed = packed.starts_with(XERIAL_MAGIC) && packed.len() >= 16;
        Self {
            framed,
            rest: if framed { &packed[16..] } else { packed },
            block: io::Cursor::new(Vec::new()),
        }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let packed = if self.framed {
            let (length, rest) = self
                .rest
                .split_first_chunk()
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (block, rest) = rest
                .split_at_checked(length)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            self.rest = rest;
            block
        } else {
            std::mem::take(&mut self.rest)
        };
        if snap::raw::decompress_len(packed)? > MAX_SNAPPY_BLOCK {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a snappy block of more than 16 MiB",
            ));
        }
        self.block = io::Cursor::new(snap::raw::Decoder::new().decompress_vec(packed)?);
        Ok(())
    }
}

impl Read for Snappy<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.block.fill_buf()?.is_empty() && !self.rest.is_empty() {
            self.next_block()?;
        }
        self.block.read(into)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::records::Compression;

    use super::super::batch::HEADER_BYTES;
    use super::super::batch::tests::sent;
    use super::*;

    #[test]
    fn a_record_is_found_by_its_time_under_every_codec() {
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let bytes = sent((-1, -1, -1), 20_000, 1_000, compression);
            let header = BatchHeader::parse(&bytes).unwrap();
            for (time, offset) in [(0, 0), (1_000, 0), (1_001, 1), (20_999, 19_999)] {
                assert_eq!(
                    search(&header, &bytes[HEADER_BYTES..], time).unwrap(),
                    Some(Found {
                        offset,
                        timestamp: 1_000 + offset
                    }),
                    "{compression:?}"
                );
            }
            assert_eq!(
                search(&header, &bytes[HEADER_BYTES..], 21_000).unwrap(),
                None
            );
        }
    }

    #[test]
    fn raw_snappy_is_read_too() {
        let plain = sent((-1, -1, -1), 3, 1_000, Compression::None);
        let packed = snap::raw::Encoder::new()
            .compress_vec(&plain[HEADER_BYTES..])
            .unwrap();
        let header = BatchHeader {
            attributes: 2,
            ..BatchHeader::parse(&plain).unwrap()
        };
        assert_eq!(search(&header, &packed, 1_002).unwrap().unwrap().offset, 2);
    }

    #[test]
    fn records_that_cannot_be_read_are_answered_with_the_first_offset() {
        for (attributes, records) in [(1, &b"no gzip"[..]), (0, &[0xff; 40]), (2, &[0xff; 40])] {
            let plain = sent((-1, -1, -1), 3, 1_000, Compression::None);
            let header = BatchHeader {
                attributes,
                base_offset: 70,
                ..BatchHeader::parse(&plain).unwrap()
            };
            assert_eq!(first_at_or_after(&header, records, 1_001).offset, 70);
        }
    }
}
