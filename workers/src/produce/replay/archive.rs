//! The members of zip archives.

use super::place::{Access, Item, is_hidden};
use crate::produce::FeedError;

/// A member of a zip archive: its bytes in the archive, and how they are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// First byte in the archive.
    pub start: u64,
    /// Bytes in the archive.
    pub packed: u64,
    /// How it is packed.
    pub packing: Packing,
    /// CRC-32 of the member's bytes.
    pub crc: u32,
}

/// How a member of a zip archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Stored,
    /// Deflate.
    Deflated,
    /// Zstandard.
    Zstd,
}

/// The members of a zip archive in the order of their names; any other file as it is.
///
/// # Errors
/// Where the archive cannot be read, or a member is packed in a way that is not read here.
pub fn unzipped(item: Item, access: &Access) -> Result<Vec<Item>, FeedError> {
    const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
    let blob = item.open(access)?;
    let mut magic = [0; 4];
    let read = blob
        .read_full(0, &mut magic)
        .map_err(|e| FeedError(format!("cannot read {}: {e}", item.name)))?;
    if &magic[..read] != LOCAL_HEADER {
        return Ok(vec![item]);
    }
    let refused = |why: String| FeedError(format!("{}: {why}", item.name));
    let mut archive = zip::ZipArchive::new(blob.reader())
        .map_err(|e| refused(format!("the zip archive cannot be read: {e}")))?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let file = archive
            .by_index_raw(index)
            .map_err(|e| refused(format!("the zip archive cannot be read: {e}")))?;
        let name = file.name().to_owned();
        if name == "[Content_Types].xml" {
            return Err(refused("is an office document; save it as CSV".to_owned()));
        }
        if file.is_dir() || name.split('/').any(is_hidden) {
            continue;
        }
        if file.encrypted() {
            return Err(refused(format!(
                "{name} is encrypted; unpack the archive with its password"
            )));
        }
        let packing = match file.compression() {
            zip::CompressionMethod::Stored => Packing::Stored,
            zip::CompressionMethod::Deflated => Packing::Deflated,
            zip::CompressionMethod::ZSTD => Packing::Zstd,
            other => {
                return Err(refused(format!(
                    "{name} is packed with {other}, which is not read here; pack it with deflate"
                )));
            }
        };
        members.push(Item {
            name: format!("{}!{name}", item.name).into(),
            place: item.place.clone(),
            member: Some(Member {
                start: file.data_start(),
                packed: file.compressed_size(),
                packing,
                crc: file.crc32(),
            }),
        });
    }
    if members.is_empty() {
        return Err(refused("the zip archive holds no file".to_owned()));
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}
