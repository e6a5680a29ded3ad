//! Walking over JSON text (RFC 8259), byte by byte, borrowing what can be borrowed.

use std::borrow::Cow;

/// What a scanner could not read: where, and what should have been there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unexpected {
    pub(super) at: usize,
    pub(super) expected: &'static str,
}

/// Arrays and objects within ignored fields may nest this deep.
const DEEPEST: usize = 64;

/// A position within JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0 }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn unexpected<T>(&self, expected: &'static str) -> Result<T, Unexpected> {
        Err(Unexpected {
            at: self.at,
            expected,
        })
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), Unexpected> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.unexpected(expected)
        }
    }

    /// The `{` that begins a record.
    pub(super) fn begin_object(&mut self) -> Result<(), Unexpected> {
        self.skip_space();
        self.take(b'{', "`{`")
    }

    /// The next field's name and colon, or `None` at the `}`. `first` says that no field came
    /// before.
    #[inline]
    pub(super) fn next_name(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, Unexpected> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return self.unexpected("`,` or `}`"),
        }
        if self.peek() != Some(b'"') {
            return self.unexpected("a field's name in quotes");
        }
        let name = self.string()?;
        self.skip_space();
        self.take(b':', "`:`")?;
        self.skip_space();
        Ok(Some(name))
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Unexpected> {
        self.skip_space();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.unexpected("nothing after the object")
        }
    }

    /// Whether the value here is `null`; takes it if so.
    #[inline]
    pub(super) fn null(&mut self) -> bool {
        let is_null = self.text[self.at..].starts_with(b"null");
        if is_null {
            self.at += 4;
        }
        is_null
    }

    /// The string here, without its quotes; borrowed unless it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Unexpected> {
        self.take(b'"', "a string")?;
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let text = self.utf8(start)?;
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                b'\\' => return self.string_with_escapes(start).map(Cow::Owned),
                0..0x20 => return self.unexpected("no control character in a string"),
                _ => self.at += 1,
            }
        }
        self.unexpected("`\"` at the end of a string")
    }

    /// The text from `start` to here.
    fn utf8(&self, start: usize) -> Result<&'a str, Unexpected> {
        std::str::from_utf8(&self.text[start..self.at]).map_err(|error| Unexpected {
            at: start + error.valid_up_to(),
            expected: "UTF-8",
        })
    }

    /// The rest of a string that began at `start` and has its first escape here.
    #[cold]
    fn string_with_escapes(&mut self, start: usize) -> Result<String, Unexpected> {
        let mut string = self.utf8(start)?.to_owned();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            string.push_str(self.utf8(plain)?);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => {
                    self.at += 1;
                    string.push(self.escape()?);
                }
                Some(_) => return self.unexpected("no control character in a string"),
                None => return self.unexpected("`\"` at the end of a string"),
            }
        }
    }

    /// The character that the escape after a backslash stands for.
    fn escape(&mut self) -> Result<char, Unexpected> {
        const EXPECTED: &str = "an escape of JSON after `\\`";
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let start = self.at;
                self.at += 1;
                let mut code = self.four_hex_digits()?;
                if (0xD800..0xDC00).contains(&code) && self.text[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.four_hex_digits()?;
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                    }
                }
                return char::from_u32(code).ok_or(Unexpected {
                    at: start,
                    expected: "a pair of surrogates",
                });
            }
            _ => return self.unexpected(EXPECTED),
        };
        self.at += 1;
        Ok(character)
    }

    fn four_hex_digits(&mut self) -> Result<u32, Unexpected> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            match digit {
                Some(digit) => code = code * 16 + digit,
                None => return self.unexpected("four hexadecimal digits after `\\u`"),
            }
            self.at += 1;
        }
        Ok(code)
    }

    /// The text of the number here.
    #[inline]
    pub(super) fn number(&mut self) -> Result<&'a [u8], Unexpected> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => {
                self.at += 1;
                if let Some(b'0'..=b'9') = self.peek() {
                    return self.unexpected("no digit after a leading zero");
                }
            }
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return self.unexpected("a number"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    #[inline]
    fn skip_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Unexpected> {
        let start = self.at;
        self.skip_digits();
        if self.at == start {
            self.unexpected("a digit")
        } else {
            Ok(())
        }
    }

    /// Steps over the value here, whatever it is.
    pub(super) fn skip_value(&mut self) -> Result<(), Unexpected> {
        // The closing bracket of each open array or object.
        let mut open = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(b'-' | b'0'..=b'9') => drop(self.number()?),
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(bracket @ (b'[' | b'{')) => {
                    if open.len() == DEEPEST {
                        return self.unexpected("at most 64 nested arrays and objects");
                    }
                    self.at += 1;
                    self.skip_space();
                    let close = if bracket == b'[' { b']' } else { b'}' };
                    if self.peek() != Some(close) {
                        if close == b'}' {
                            self.skip_name()?;
                        }
                        open.push(close);
                        continue;
                    }
                    self.at += 1;
                }
                _ => return self.unexpected("a value"),
            }
            // A value is complete; close what it completes, up to the next one's begin.
            loop {
                let Some(&close) = open.last() else {
                    return Ok(());
                };
                self.skip_space();
                if self.peek() == Some(close) {
                    self.at += 1;
                    open.pop();
                    continue;
                }
                self.take(b',', "`,` or a closing bracket")?;
                if close == b'}' {
                    self.skip_space();
                    self.skip_name()?;
                }
                break;
            }
        }
    }

    fn skip_name(&mut self) -> Result<(), Unexpected> {
        self.string()?;
        self.skip_space();
        self.take(b':', "`:`")
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), Unexpected> {
        if self.text[self.at..].starts_with(literal) {
            self.at += literal.len();
            Ok(())
        } else {
            self.unexpected("a value")
        }
    }

    /// What stands here, in words or clipped, for an error message.
    pub(super) fn found(&self) -> String {
        let rest = &self.text[self.at.min(self.text.len())..];
        let mut ahead = self.clone();
        match rest.first() {
            None => "the end of the record".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(_) if ahead.skip_value().is_ok() => clipped(&rest[..ahead.at - self.at]),
            Some(_) => clipped(&rest[..rest.len().min(8)]),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn go_back(&mut self, at: usize) {
        self.at = at;
    }
}

/// At most 48 characters of the text, in backquotes.
fn clipped(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
