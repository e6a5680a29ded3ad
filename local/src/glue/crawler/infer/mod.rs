//! What a file holds: its format, compression and columns.
//!
//! The rules are those of Glue's built-in classifiers
//! (<https://docs.aws.amazon.com/glue/latest/dg/add-classifier.html>): Parquet by
//! its magic, JSON by its first character, delimited text by columns that all
//! rows have. Text may be plain or gzip; zstd text has no classifier there, and
//! none here.

mod delimited;
mod json;
mod parquet;

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::schema::Schema;

pub(super) use delimited::Dialect;
pub(super) use parquet::{Tail, tail};

/// Bytes at a file's start that are looked at.
pub(super) const HEAD: u64 = 1 << 20;
/// Bytes of unpacked text that are looked at.
const TEXT: u64 = 4 << 20;

/// A file's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Json,
    Csv(Dialect),
}

impl Format {
    /// The table parameter `classification`.
    pub(super) fn classification(&self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Json => "json",
            Format::Csv(_) => "csv",
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) format: Format,
    /// `none` or `gzip`, the table parameter `compressionType`; what is within
    /// Parquet is not told.
    pub(super) compression: &'static str,
    pub(super) schema: Schema,
}

/// Whether the file is Parquet, whose columns are told at its end.
pub(super) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// What a Parquet file holds, from its metadata.
pub(super) fn of_parquet(metadata: &[u8]) -> Option<Found> {
    Some(Found {
        format: Format::Parquet,
        compression: "none",
        schema: parquet::schema(metadata)?,
    })
}

/// What a text file holds, from its first bytes; `whole` where they are all of
/// it. `None` where no classifier knows it.
pub(super) fn of_text(head: &[u8], whole: bool) -> Option<Found> {
    let mut compression = "none";
    let mut unpacked = Vec::new();
    let mut whole = whole;
    let text = if head.starts_with(&[0x1f, 0x8b]) {
        compression = "gzip";
        let read = MultiGzDecoder::new(head)
            .take(TEXT)
            .read_to_end(&mut unpacked);
        // A file that is cut short ends in an error after what it holds.
        whole &= read.is_ok() && (unpacked.len() as u64) < TEXT;
        &unpacked[..]
    } else {
        head
    };
    let text = lines(text, whole)?;
    let (format, schema) = match text.trim_start().as_bytes().first()? {
        b'{' | b'[' => (Format::Json, json::schema(text)?),
        _ => {
            let (dialect, schema) = delimited::schema(text)?;
            (Format::Csv(dialect), schema)
        }
    };
    Some(Found {
        format,
        compression,
        schema,
    })
}

/// The whole lines of `bytes`, without a byte-order mark; `None` where they are
/// not UTF-8.
fn lines(bytes: &[u8], whole: bool) -> Option<&str> {
    let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) if !whole => last + 1,
        _ => bytes.len(),
    };
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(text: &str) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    fn shown(bytes: &[u8], whole: bool) -> Option<String> {
        let found = of_text(bytes, whole)?;
        let columns: Vec<String> = found
            .schema
            .0
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        Some(format!(
            "{} {}: {}",
            found.format.classification(),
            found.compression,
            columns.join(", ")
        ))
    }

    #[test]
    fn text_is_told_by_what_it_holds_and_not_by_its_name() {
        let json =
            "{\"symbol\": \"AAPL\", \"price\": 274.5}\n{\"symbol\": \"MSFT\", \"price\": 1}\n";
        let csv = "symbol,price\nAAPL,274.5\nMSFT,1\n";
        for (bytes, whole, expected) in [
            (
                json.as_bytes().to_vec(),
                true,
                Some("json none: symbol string, price double"),
            ),
            (
                gzip(json),
                true,
                Some("json gzip: symbol string, price double"),
            ),
            (
                csv.as_bytes().to_vec(),
                true,
                Some("csv none: symbol string, price double"),
            ),
            (
                gzip(csv),
                true,
                Some("csv gzip: symbol string, price double"),
            ),
            // Cut within the last line, and within the packed bytes.
            (
                csv.as_bytes()[..csv.len() - 4].to_vec(),
                false,
                Some("csv none: symbol string, price double"),
            ),
            (Vec::new(), true, None),
            (b"\xff\xfe\x00binary".to_vec(), true, None),
            (zstd::encode_all(json.as_bytes(), 0).unwrap(), true, None),
            (b"just words\nand more words\n".to_vec(), true, None),
        ] {
            assert_eq!(shown(&bytes, whole).as_deref(), expected);
        }
        let many = json.repeat(20_000);
        let packed = gzip(&many);
        assert!(
            shown(&packed[..packed.len() / 2], false)
                .unwrap()
                .starts_with("json gzip: symbol string")
        );
    }
}
