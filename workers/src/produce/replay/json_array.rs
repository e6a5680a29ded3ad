//! One JSON array of objects, read as if each stood in a line of its own.
//!
//! Nothing is parsed here but where an element begins and ends, in memory of one buffer: an array may be as large as
//! JSON lines may.

use std::io::{Error, Read, Result};

/// Bytes that are looked at at a time.
const BUFFER: usize = 64 << 10;

/// The elements of an array, one a line.
pub struct ArrayElements {
    text: Box<dyn Read>,
    buffer: Vec<u8>,
    place: Place,
    /// Elements that were begun.
    count: u64,
}

/// Where in the array the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before its `[`.
    Before,
    /// Where an element begins, or, of the first, the array ends.
    Between,
    /// Within an element that is in so many brackets.
    Within { depth: u64 },
    /// Within a string of such an element; whether the last byte was a backslash.
    Text { depth: u64, escaped: bool },
    /// After its `]`.
    After,
}

impl ArrayElements {
    /// The elements of the array that `text` holds.
    #[must_use]
    pub fn new(text: Box<dyn Read>) -> Self {
        Self {
            text,
            buffer: vec![0; BUFFER],
            place: Place::Before,
            count: 0,
        }
    }

    /// What stands for `byte` in the lines; `None` for nothing.
    fn next(&mut self, byte: u8) -> Result<Option<u8>> {
        let is_space = byte.is_ascii_whitespace();
        let (place, line) = match (self.place, byte) {
            (place, _)
                if is_space && !matches!(place, Place::Within { .. } | Place::Text { .. }) =>
            {
                return Ok(None);
            }
            (Place::Before, b'[') => (Place::Between, None),
            (Place::Before, _) => return Err(Error::other("its JSON array does not begin with [")),
            (Place::Between, b']') if self.count == 0 => (Place::After, None),
            (Place::Between, b',' | b']' | b'}') => {
                return Err(Error::other(format!(
                    "in its JSON array something is missing after element {}: write one object after the other, with \
                     one comma between",
                    self.count
                )));
            }
            (Place::Between, _) => {
                self.count += 1;
                (begun(byte), Some(byte))
            }
            (Place::Within { depth: 0 }, b',') => (Place::Between, Some(b'\n')),
            (Place::Within { depth: 0 }, b']') => (Place::After, Some(b'\n')),
            (Place::Within { depth }, b'{' | b'[') => {
                (Place::Within { depth: depth + 1 }, Some(byte))
            }
            (Place::Within { depth }, b'}' | b']') => (
                Place::Within {
                    depth: depth.saturating_sub(1),
                },
                Some(byte),
            ),
            (Place::Within { depth }, b'"') => (
                Place::Text {
                    depth,
                    escaped: false,
                },
                Some(byte),
            ),
            // Outside of strings a line end is a space.
            (place @ Place::Within { .. }, _) => (place, Some(if is_space { b' ' } else { byte })),
            (Place::Text { depth, escaped }, _) => {
                let place = match byte {
                    b'"' if !escaped => Place::Within { depth },
                    _ => Place::Text {
                        depth,
                        escaped: byte == b'\\' && !escaped,
                    },
                };
                // A line end within a string is no JSON; as a control character it is refused with the element.
                (place, Some(if byte == b'\n' { 0 } else { byte }))
            }
            (Place::After, _) => {
                return Err(Error::other(
                    "there is more after the end of its JSON array; write one array, or one object a line",
                ));
            }
        };
        self.place = place;
        Ok(line)
    }
}

/// The place after the first byte of an element.
fn begun(byte: u8) -> Place {
    match byte {
        b'{' | b'[' => Place::Within { depth: 1 },
        b'"' => Place::Text {
            depth: 0,
            escaped: false,
        },
        _ => Place::Within { depth: 0 },
    }
}

impl Read for ArrayElements {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        // Brackets and spaces give nothing; and nothing would be the end.
        while filled == 0 && !out.is_empty() {
            let most = out.len().min(self.buffer.len());
            let read = self.text.read(&mut self.buffer[..most])?;
            if read == 0 {
                return match self.place {
                    Place::After => Ok(0),
                    _ => Err(Error::other(
                        "its JSON array has no end; copy the file again",
                    )),
                };
            }
            for at in 0..read {
                if let Some(byte) = self.next(self.buffer[at])? {
                    out[filled] = byte;
                    filled += 1;
                }
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Gives at most `step` bytes at a time.
    struct Slowly {
        bytes: Vec<u8>,
        at: usize,
        step: usize,
    }

    impl Read for Slowly {
        fn read(&mut self, out: &mut [u8]) -> Result<usize> {
            let count = self.step.min(out.len()).min(self.bytes.len() - self.at);
            out[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
            self.at += count;
            Ok(count)
        }
    }

    fn lines(text: &str, step: usize) -> std::result::Result<String, String> {
        let bytes = text.as_bytes().to_vec();
        let mut elements = ArrayElements::new(Box::new(Slowly { bytes, at: 0, step }));
        let mut lines = String::new();
        elements
            .read_to_string(&mut lines)
            .map(|_| lines)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn each_element_is_a_line() {
        for (array, expected) in [
            ("[]", ""),
            (" [ ] \n", ""),
            ("[{\"a\": 1},\n {\"a\": 2}]", "{\"a\": 1}\n{\"a\": 2}\n"),
            ("[{\n\"a\": [1,\n2]\n}]\n", "{ \"a\": [1, 2] }\n"),
            (
                r#"[{"a": "],\"[{"}, "x,\\", 3, null]"#,
                "{\"a\": \"],\\\"[{\"}\n\"x,\\\\\"\n3\nnull\n",
            ),
        ] {
            for step in [1, 2, 7, 1000] {
                assert_eq!(lines(array, step).as_deref(), Ok(expected), "{array}");
            }
        }
    }

    #[test]
    fn what_is_no_array_is_told() {
        for (text, part) in [
            ("[{\"a\": 1}, {\"a\"", "has no end"),
            ("[{\"a\": 1}", "has no end"),
            ("[{\"a\": 1},]", "missing after element 1"),
            ("[{\"a\": 1},,{}]", "missing after element 1"),
            ("[,{}]", "missing after element 0"),
            ("[{}] {}", "more after the end"),
        ] {
            let error = lines(text, 3).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_array_reads_as_its_elements(
            texts in prop::collection::vec("[ -~\\n\\t\"\\\\{}\\[\\],ä]{0,8}", 0..8), pretty in any::<bool>(), step in 1_usize..9
        ) {
            let elements: Vec<Value> = texts
                .iter()
                .map(|text| json!({"a": text, "b": {"c": [text, 1, null]}}))
                .collect();
            let array = if pretty {
                serde_json::to_string_pretty(&elements)
            } else {
                serde_json::to_string(&elements)
            };
            let found = lines(&array.unwrap(), step).unwrap();
            let found: Vec<Value> =
                found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            prop_assert_eq!(found, elements);
        }
    }
}
