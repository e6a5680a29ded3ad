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
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of the text, which must be UTF-8.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Unexpected> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Scanner { text, bytes, at: 0 }),
            Err(error) => Err(Unexpected {
                at: error.valid_up_to(),
                expected: "UTF-8",
            }),
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// What is left; nothing beyond the end.
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
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

    /// Goes to the next field's name; false at the `}`, which it takes. `first` says that no
    /// field came before.
    #[inline]
    pub(super) fn next_field(&mut self, first: bool) -> Result<bool, Unexpected> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return self.unexpected("`,` or `}`"),
        }
        match self.peek() {
            Some(b'"') => Ok(true),
            _ => self.unexpected("a field's name in quotes"),
        }
    }

    /// Takes the name and colon, if exactly they stand here.
    #[inline]
    pub(super) fn take_name(&mut self, name_and_colon: &str) -> bool {
        let is_it = self.rest().starts_with(name_and_colon.as_bytes());
        if is_it {
            self.at += name_and_colon.len();
            self.skip_space();
        }
        is_it
    }

    /// The name here; takes its colon, too.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, Unexpected> {
        let name = self.string()?;
        self.skip_space();
        self.take(b':', "`:`")?;
        self.skip_space();
        Ok(name)
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Unexpected> {
        self.skip_space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.unexpected("nothing after the object")
        }
    }

    /// Whether the value here is `null`; takes it if so.
    #[inline]
    pub(super) fn null(&mut self) -> bool {
        let is_null = self.rest().starts_with(b"null");
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
        let rest = self.rest();
        let plain = rest
            .iter()
            .position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.at += plain.unwrap_or(rest.len());
        match self.peek() {
            Some(b'"') => {
                let text = &self.text[start..self.at];
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => self.string_with_escapes(start).map(Cow::Owned),
            Some(_) => self.unexpected("no control character in a string"),
            None => self.unexpected("`\"` at the end of a string"),
        }
    }

    /// The rest of a string that began at `start` and has its first escape here.
    #[cold]
    fn string_with_escapes(&mut self, start: usize) -> Result<String, Unexpected> {
        let mut string = self.text[start..self.at].to_owned();
        loop {
            let plain = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            string.push_str(&self.text[plain..self.at]);
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
                if (0xD800..0xDC00).contains(&code) && self.rest().starts_with(b"\\u") {
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

    /// The integer here, if it is written plainly and fits; else nothing is taken, and
    /// [`number`](Self::number) has to judge what stands here.
    #[inline]
    pub(super) fn plain_integer(&mut self) -> Option<i64> {
        let rest = self.rest();
        let (negative, digits) = match rest {
            [b'-', digits @ ..] => (true, digits),
            _ => (false, rest),
        };
        let mut value = 0_u64;
        let mut count = 0;
        while let Some(eight) = digits.get(count..).and_then(|digits| digits.first_chunk())
            && count < 16
            && let Some(part) = eight_digits(*eight)
        {
            value = value * 100_000_000 + part;
            count += 8;
        }
        while let Some(digit @ b'0'..=b'9') = digits.get(count)
            && count < 19
        {
            value = value * 10 + u64::from(digit - b'0');
            count += 1;
        }
        let zero_leads = count > 1 && digits[0] == b'0';
        let ends = matches!(
            digits.get(count),
            Some(b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t')
        );
        if count == 0 || zero_leads || !ends {
            return None;
        }
        let value = if negative {
            0_i64.checked_sub_unsigned(value)?
        } else {
            i64::try_from(value).ok()?
        };
        self.at += usize::from(negative) + count;
        Some(value)
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
        Ok(&self.bytes[start..self.at])
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
        if self.rest().starts_with(literal) {
            self.at += literal.len();
            Ok(())
        } else {
            self.unexpected("a value")
        }
    }

    /// What stands here, in words or clipped, for an error message.
    pub(super) fn found(&self) -> String {
        let rest = self.rest();
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

/// The number that eight decimal digits write, if all are digits.
///
/// Neighbours are joined three times, 8 × 1 to 4 × 2 to 2 × 4 to 1 × 8 digits, within one word
/// (J. Johnson, "Faster Integer Parsing", 2020).
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const SIX: u64 = 0x0606_0606_0606_0606;
    let word = u64::from_le_bytes(text);
    if word & HIGH != ZEROS || word.wrapping_add(SIX) & HIGH != ZEROS {
        return None;
    }
    let word = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 * 256 + 1) >> 8;
    let word = (word & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 * 65_536 + 1) >> 16;
    Some((word & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 * 4_294_967_296 + 1) >> 32)
}

/// At most 48 characters of the text, in backquotes.
fn clipped(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
