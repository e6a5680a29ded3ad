//! Lines of text, of a bounded length.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use super::row::Unit;
use crate::produce::FeedError;

/// Longest line, and longest row of a CSV, in bytes.
pub const LONGEST: u64 = 16 << 20;

/// The lines of a text that are not blank.
pub struct Lines {
    name: Arc<str>,
    text: BufReader<Box<dyn Read>>,
    unit: Unit,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    /// The lines of `text`, which messages call `name`; `unit` is what a line is in its file.
    #[must_use]
    pub fn new(name: &Arc<str>, text: Box<dyn Read>, unit: Unit) -> Self {
        Self {
            name: Arc::clone(name),
            text: BufReader::with_capacity(64 << 10, text),
            unit,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line and its number, from 1.
    ///
    /// # Errors
    /// Where the text cannot be read, or a line is too long.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, FeedError> {
        loop {
            self.line.clear();
            let read = (&mut self.text)
                .take(LONGEST)
                .read_until(b'\n', &mut self.line)
                .map_err(|e| match self.unit {
                    Unit::Line => unreadable(&self.name, self.number, &e),
                    // Of an array the error says itself where it is.
                    Unit::Row | Unit::Message => unreadable(&self.name, 0, &e),
                })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read as u64 == LONGEST {
                return Err(FeedError(match self.unit {
                    Unit::Line => format!(
                        "{}:{}: the line is longer than 16 MiB; write one object a line",
                        self.name, self.number
                    ),
                    Unit::Row | Unit::Message => format!(
                        "{}: row {}: the object is longer than 16 MiB",
                        self.name, self.number
                    ),
                }));
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some((self.number, self.line.trim_ascii())))
    }
}

/// A text that cannot be read on after a line.
#[must_use]
pub fn unreadable(name: &str, after: u64, error: &std::io::Error) -> FeedError {
    let why = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            "it ends in the middle of its compressed data; copy it again".to_owned()
        }
        _ => error.to_string(),
    };
    FeedError(match after {
        0 => format!("cannot read {name}: {why}"),
        after => format!("cannot read {name} after line {after}: {why}"),
    })
}
