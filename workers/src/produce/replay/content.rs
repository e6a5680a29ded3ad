//! What a file is: its compression and its form are seen in its first bytes, not in its name.

use std::io::{BufReader, Cursor, Error, Read, Result as IoResult};

use flate2::read::{DeflateDecoder, MultiGzDecoder};

use super::archive::{Member, Packing};
use super::blob::Blob;
use super::json_array::ArrayElements;
use super::place::{Access, Item};
use super::row::Unit;
use super::utf16::{ByteOrder, Utf16};
use crate::produce::FeedError;

/// First bytes that are looked at.
const MAGIC: usize = 8;
/// Layers that are looked below: a `.gz` of UTF-16 within a zip archive.
const LAYERS: usize = 3;

/// An opened file.
pub enum Content {
    /// Text with one row a line: CSV.
    Csv(Box<dyn Read>),
    /// JSON objects, one a line, and how the file itself counts them.
    Json(Box<dyn Read>, Unit),
    /// Parquet.
    Parquet(Blob),
}

/// Opens a file, unpacks it, and says what it holds.
///
/// # Errors
/// Where it cannot be read, or is of a form that is not read here: one sentence with what to do.
pub fn open(item: &Item, access: &Access) -> Result<Content, FeedError> {
    let blob = item.open(access)?;
    let name = &item.name;
    let unreadable = |e: Error| FeedError(format!("cannot read {name}: {e}"));
    let refused = |why: &str| Err(FeedError(format!("{name}: {why}")));
    let mut text: Box<dyn Read> = match item.member {
        None => Box::new(blob.reader()),
        Some(member) => unpacked(&blob, member).map_err(unreadable)?,
    };
    let mut packed = item.member.is_some();
    for _ in 0..LAYERS {
        let mut magic = [0; MAGIC];
        let mut read = 0;
        while read < MAGIC {
            match text.read(&mut magic[read..]).map_err(unreadable)? {
                0 => break,
                more => read += more,
            }
        }
        let magic = &magic[..read];
        let whole = |skip: usize, rest: Box<dyn Read>| -> Box<dyn Read> {
            Box::new(Cursor::new(magic[skip..].to_vec()).chain(rest))
        };
        match magic {
            [0x1f, 0x8b, ..] => {
                text = Box::new(MultiGzDecoder::new(BufReader::new(whole(0, text))))
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = zstd::stream::read::Decoder::new(whole(0, text));
                text = Box::new(decoder.map_err(unreadable)?);
            }
            [b'P', b'A', b'R', b'1', ..] if packed => {
                return refused("is Parquet within a compressed file; unpack it first");
            }
            [b'P', b'A', b'R', b'1', ..] => return Ok(Content::Parquet(blob)),
            [0xef, 0xbb, 0xbf, rest @ ..] => return Ok(form(rest, whole(3, text))),
            [0xff, 0xfe, ..] => {
                text = Box::new(Utf16::new(whole(2, text), ByteOrder::Little));
            }
            [0xfe, 0xff, ..] => {
                text = Box::new(Utf16::new(whole(2, text), ByteOrder::Big));
            }
            [b'B', b'Z', b'h', ..] => {
                return refused(
                    "is packed with bzip2, which is not read here; pack it with gzip or zstd",
                );
            }
            [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                return refused(
                    "is packed with xz, which is not read here; pack it with gzip or zstd",
                );
            }
            [b'P', b'K', 3, 4, ..] => {
                return refused("is a zip archive within a compressed file; unpack it first");
            }
            [0xd0, 0xcf, 0x11, 0xe0, ..] => {
                return refused("is an office document; save it as CSV");
            }
            [b'O', b'R', b'C', ..] => {
                return refused("is ORC, which is not read here; write it as Parquet");
            }
            [b'O', b'b', b'j', 1, ..] => {
                return refused("is Avro, which is not read here; write it as Parquet");
            }
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => {
                return refused("is an Arrow file, which is not read here; write it as Parquet");
            }
            _ => return Ok(form(magic, whole(0, text))),
        }
        packed = true;
    }
    refused("is packed more than three times; unpack it first")
}

/// JSON lines begin with an object, a JSON array with its bracket; everything else is CSV.
fn form(first: &[u8], text: Box<dyn Read>) -> Content {
    match first.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{') => Content::Json(text, Unit::Line),
        Some(b'[') => Content::Json(Box::new(ArrayElements::new(text)), Unit::Row),
        _ => Content::Csv(text),
    }
}

fn unpacked(archive: &Blob, member: Member) -> IoResult<Box<dyn Read>> {
    use std::io::Seek;
    let mut reader = archive.reader();
    reader.seek(std::io::SeekFrom::Start(member.start))?;
    let packed = reader.take(member.packed);
    let bytes: Box<dyn Read> = match member.packing {
        Packing::Stored => Box::new(packed),
        Packing::Deflated => Box::new(DeflateDecoder::new(packed)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
    };
    Ok(Box::new(Checked {
        bytes,
        crc: flate2::Crc::new(),
        expected: member.crc,
    }))
}

/// Compares the checksum at the end.
struct Checked {
    bytes: Box<dyn Read>,
    crc: flate2::Crc,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> IoResult<usize> {
        let read = self.bytes.read(out)?;
        self.crc.update(&out[..read]);
        if read == 0 && !out.is_empty() && self.crc.sum() != self.expected {
            return Err(Error::other("its checksum is not that of the archive"));
        }
        Ok(read)
    }
}
