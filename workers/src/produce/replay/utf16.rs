//! UTF-16 text, as spreadsheets save "Unicode text", read as UTF-8.

use std::io::{Error, Read, Result};

/// Bytes that are read at a time: whole units.
const BUFFER: usize = 32 << 10;

/// Order of the two bytes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant first.
    Little,
    /// Most significant first.
    Big,
}

/// A text without its byte order mark.
pub struct Utf16 {
    text: Box<dyn Read>,
    order: ByteOrder,
    bytes: Vec<u8>,
    units: Vec<u16>,
    /// UTF-8 that is not yet taken.
    decoded: Vec<u8>,
    taken: usize,
}

impl Utf16 {
    /// Reads `text`, which begins after its mark.
    #[must_use]
    pub fn new(text: Box<dyn Read>, order: ByteOrder) -> Self {
        Self {
            text,
            order,
            bytes: vec![0; BUFFER],
            units: Vec::new(),
            decoded: Vec::new(),
            taken: 0,
        }
    }

    /// Decodes the next units; whether there were any.
    fn decode(&mut self) -> Result<bool> {
        let mut read = 0;
        while read < self.bytes.len() {
            match self.text.read(&mut self.bytes[read..])? {
                0 => break,
                more => read += more,
            }
        }
        if read % 2 == 1 {
            return Err(Error::other(
                "its UTF-16 text ends within a character; copy the file again",
            ));
        }
        let order = self.order;
        self.units
            .extend(self.bytes[..read].chunks_exact(2).map(|unit| {
                let unit = [unit[0], unit[1]];
                match order {
                    ByteOrder::Little => u16::from_le_bytes(unit),
                    ByteOrder::Big => u16::from_be_bytes(unit),
                }
            }));
        // The second half of a pair may be in what is read next.
        let first_half = self.units.last().copied();
        let first_half = first_half.filter(|unit| read > 0 && (0xd800..0xdc00).contains(unit));
        if first_half.is_some() {
            self.units.pop();
        }
        self.decoded.clear();
        self.taken = 0;
        let mut utf8 = [0; 4];
        for decoded in char::decode_utf16(self.units.drain(..)) {
            let decoded = decoded.map_err(|_| {
                Error::other("its UTF-16 text has half a character; save the file as UTF-8")
            })?;
            self.decoded
                .extend_from_slice(decoded.encode_utf8(&mut utf8).as_bytes());
        }
        self.units.extend(first_half);
        Ok(read > 0)
    }
}

impl Read for Utf16 {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while self.taken == self.decoded.len() && !out.is_empty() {
            if !self.decode()? {
                return Ok(0);
            }
        }
        let rest = &self.decoded[self.taken..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn bytes(text: &str, order: ByteOrder) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| match order {
                ByteOrder::Little => unit.to_le_bytes(),
                ByteOrder::Big => unit.to_be_bytes(),
            })
            .collect()
    }

    fn decoded(bytes: Vec<u8>, order: ByteOrder) -> std::result::Result<String, String> {
        let mut text = String::new();
        Utf16::new(Box::new(Cursor::new(bytes)), order)
            .read_to_string(&mut text)
            .map(|_| text)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn text_of_either_order_reads_as_it_was_written() {
        // Long enough that a pair lies across the border of what is read at a time.
        let texts = ["", "Datum;Kurs\r\n", "€ 𝄞 ü"].map(str::to_owned);
        let long = ["", "x"].map(|first| format!("{first}{}", "𝄞".repeat(BUFFER)));
        for text in texts.into_iter().chain(long) {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                assert!(decoded(bytes(&text, order), order).as_ref() == Ok(&text));
            }
        }
    }

    #[test]
    fn half_a_character_is_told() {
        let half = |text: &str, cut: usize| {
            let mut bytes = bytes(text, ByteOrder::Little);
            bytes.truncate(bytes.len() - cut);
            decoded(bytes, ByteOrder::Little).unwrap_err()
        };
        assert!(half("ab", 1).contains("ends within a character"));
        assert!(half("a𝄞", 2).contains("half a character"));
        let swapped = [0xdd1e_u16, 0xd834, 0x61]
            .iter()
            .flat_map(|u| u.to_le_bytes());
        assert!(
            decoded(swapped.collect(), ByteOrder::Little)
                .unwrap_err()
                .contains("half a character")
        );
        let alone = [0xd834_u16, 0x61].iter().flat_map(|u| u.to_le_bytes());
        assert!(
            decoded(alone.collect(), ByteOrder::Little)
                .unwrap_err()
                .contains("half a character")
        );
    }
}
