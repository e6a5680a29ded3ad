//! How OpenCSVSerde takes a line apart, as Trino does for Athena: quirks included, so that a file which reads here
//! reads there.
//!
//! - A line ends where the file has a line end, also within quotes.
//! - A quote within quotes is doubled or escaped; an escape before anything else vanishes.
//! - A quote in the middle of a field stays, and turns quoting on or off.
//! - An escape that is declared as `"` is a backslash.
//! - Nothing is null but what the line does not have; an empty line has nothing.

use std::borrow::Cow;

/// Characters that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenCsv {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: u8,
}

impl OpenCsv {
    /// The first `most` fields of `line`.
    pub(super) fn split<'a>(&self, line: &'a str, most: usize) -> Vec<Cow<'a, str>> {
        if line.is_empty() {
            return Vec::new();
        }
        let special = |byte: &u8| *byte == self.quote || *byte == self.escape;
        if line.as_bytes().iter().any(special) {
            self.split_quoted(line, most)
        } else {
            line.split(char::from(self.delimiter))
                .take(most)
                .map(Cow::Borrowed)
                .collect()
        }
    }

    fn split_quoted<'a>(&self, line: &'a str, most: usize) -> Vec<Cow<'a, str>> {
        let bytes = line.as_bytes();
        let mut fields = Vec::new();
        let mut field = Vec::new();
        let (mut in_quotes, mut in_field) = (false, false);
        let mut at = 0;
        while at < bytes.len() && fields.len() < most {
            let (byte, next) = (bytes[at], bytes.get(at + 1).copied());
            let inside = in_quotes || in_field;
            if byte == self.escape {
                let escaped = next.filter(|n| inside && (*n == self.quote || *n == self.escape));
                if let Some(escaped) = escaped {
                    field.push(escaped);
                    at += 1;
                }
            } else if byte == self.quote {
                if inside && next == Some(self.quote) {
                    field.push(byte);
                    at += 1;
                } else {
                    if self.in_the_middle(line, at) {
                        // After nothing but white space it opens the field, and the space goes.
                        if !field.is_empty() && String::from_utf8_lossy(&field).trim().is_empty() {
                            field.clear();
                        } else {
                            field.push(byte);
                        }
                    }
                    in_quotes = !in_quotes;
                }
                in_field = !in_field;
            } else if byte == self.delimiter && !in_quotes {
                fields.push(text(std::mem::take(&mut field)));
                in_field = false;
            } else {
                field.push(byte);
                in_field = true;
            }
            at += 1;
        }
        // Quotes that do not end leave nothing.
        if fields.len() < most && !in_quotes {
            fields.push(text(field));
        }
        fields
    }

    /// Whether the quote at `at` is neither among the line's first three characters nor beside a delimiter or the end.
    fn in_the_middle(&self, line: &str, at: usize) -> bool {
        let bytes = line.as_bytes();
        line[..at].chars().take(3).count() > 2
            && bytes[at - 1] != self.delimiter
            && bytes
                .get(at + 1)
                .is_some_and(|next| *next != self.delimiter)
    }
}

/// The bytes of a text of which only ASCII characters were left out.
fn text(bytes: Vec<u8>) -> Cow<'static, str> {
    Cow::Owned(
        String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: OpenCsv = OpenCsv {
        delimiter: b',',
        quote: b'"',
        escape: b'\\',
    };

    #[test]
    fn lines_come_apart_as_in_athena() {
        for (line, fields) in [
            ("a,b", &["a", "b"][..]),
            ("a,,", &["a", "", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"\",\"\"", &["", ""]),
            ("\"say \"\"hi\"\"\",c", &["say \"hi\"", "c"]),
            ("\"\"\"a\"\"\",\"\"\"\"", &["\"a\"", "\""]),
            // An escape counts before a quote or itself, within a field; else it vanishes.
            ("\"a\\\"b\\\\c\",d", &["a\"b\\c", "d"]),
            ("a\\b,c", &["ab", "c"]),
            ("C\\,D", &["C", "D"]),
            // A quote in the middle stays.
            ("abc,d\"e\"f,g", &["abc", "d\"e\"f", "g"]),
            ("abc,  \"d\",e", &["abc", "d", "e"]),
            // Quotes that do not end.
            ("abc,\"d,e", &["abc"]),
            ("é,\"日本, \"\"x\"\"\"", &["é", "日本, \"x\""]),
        ] {
            assert_eq!(DEFAULT.split(line, 9), fields, "{line}");
        }
        assert_eq!(DEFAULT.split("", 9), Vec::<&str>::new());
        assert_eq!(DEFAULT.split("a,\"b\",c", 2), ["a", "b"]);
        assert_eq!(DEFAULT.split("a,b,c", 2), ["a", "b"]);
    }

    proptest! {
        /// What stockpipe lands: RFC 4180, and an escape that no text has.
        #[test]
        fn lines_of_a_landed_file_come_apart_exactly(cells in prop::collection::vec("[ -~é日]{0,6}|[\",\\\\ ]{0,4}", 1..9)) {
            // The first column of ticks, the symbol, is never empty.
            let mut cells = cells;
            cells[0].insert(0, 'A');
            let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
            writer.write_record(&cells).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let dialect = OpenCsv { escape: 1, ..DEFAULT };
            prop_assert_eq!(dialect.split(line.trim_end_matches('\n'), 9), cells);
        }
    }
}
