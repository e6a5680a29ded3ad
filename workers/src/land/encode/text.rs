//! Text files, plain or gzip: where lines are written, and where they are read.

use std::io::{BufRead, BufReader, Read, Result, Write};

use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression as Level, GzBuilder};
use stockpipe_crds::pipeline::Compression;

/// gzip's level: beyond it the file hardly shrinks and the lander slows.
const LEVEL: u32 = 4;

/// A text file being written in memory.
pub enum TextFile {
    /// As text.
    Plain(Vec<u8>),
    /// As one gzip member without a time, so that the same rows make the same bytes.
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl TextFile {
    /// An empty file; `None` where a table of text has no files of `codec`.
    pub(super) fn new(codec: Compression) -> Option<Self> {
        match codec {
            Compression::None => Some(Self::Plain(Vec::new())),
            Compression::Gzip => {
                let file = GzBuilder::new()
                    .mtime(0)
                    .write(Vec::new(), Level::new(LEVEL));
                Some(Self::Gzip(Box::new(file)))
            }
            Compression::Zstd | Compression::Snappy => None,
        }
    }

    pub(super) fn write(&mut self, text: &[u8]) -> Result<()> {
        match self {
            Self::Plain(file) => file.write_all(text),
            Self::Gzip(file) => file.write_all(text),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(file) => file.len(),
            Self::Gzip(file) => file.get_ref().len(),
        }
    }

    pub(super) fn finish(self) -> Result<Bytes> {
        match self {
            Self::Plain(file) => Ok(file.into()),
            Self::Gzip(file) => Ok(file.finish()?.into()),
        }
    }
}

/// The text of a finished file.
pub(super) fn open(file: Bytes, codec: Compression) -> impl BufRead + Send {
    let text: Box<dyn Read + Send> = match codec {
        Compression::Gzip => Box::new(MultiGzDecoder::new(file.reader())),
        _ => Box::new(file.reader()),
    };
    BufReader::with_capacity(1 << 16, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_one_member_without_a_time() {
        let mut file = TextFile::new(Compression::Gzip).unwrap();
        file.write(b"one\n").unwrap();
        file.write(b"two\n").unwrap();
        let bytes = file.finish().unwrap();
        assert_eq!(&bytes[..2], &[0x1f, 0x8b]);
        assert_eq!(&bytes[4..8], &[0; 4]);
        let mut one = flate2::read::GzDecoder::new(bytes.reader());
        let mut text = String::new();
        one.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn text_is_plain_or_gzip_and_nothing_else() {
        for (codec, taken) in [
            (Compression::None, true),
            (Compression::Gzip, true),
            (Compression::Zstd, false),
            (Compression::Snappy, false),
        ] {
            assert_eq!(TextFile::new(codec).is_some(), taken, "{codec:?}");
        }
    }
}
