//! Numbers as people write them, in the plain notation that prices and sizes are read from.
//!
//! Text stays text: a mark is moved, never a digit.

use std::borrow::Cow;

use stockpipe_crds::pipeline::{Dialect, Thousands};

/// What a cell's number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A price: may have a sign of currency.
    Price,
    /// A size or volume: may end in K, M, B or T.
    Size,
}

/// Signs of currency that may stand at either end.
const CURRENCIES: [char; 4] = ['$', '€', '£', '¥'];
/// Cells that usually mean that there is no value.
pub const USUALLY_MISSING: [&str; 12] = [
    "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", ".", "\\n", "inf",
];

/// The number of `text` in plain notation.
///
/// # Errors
/// Where the text is no number of this dialect: the value, what is wrong, what to write.
pub fn plain<'t>(
    text: &'t str,
    dialect: &Dialect,
    quantity: Quantity,
) -> Result<Cow<'t, str>, String> {
    let is_plain = |b: u8| b.is_ascii_digit() || b == b'.' || b == b'-';
    if dialect.decimal == b'.' && dialect.thousands.is_none() && text.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(text));
    }
    rewritten(text, dialect, quantity)
        .map(Cow::Owned)
        .ok_or_else(|| refusal(text, dialect))
}

fn rewritten(text: &str, dialect: &Dialect, quantity: Quantity) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim();
    for (sign, plain) in [("-", "-"), ("\u{2212}", "-"), ("+", "")] {
        if let Some(unsigned) = rest.strip_prefix(sign) {
            out.push_str(plain);
            rest = unsigned;
            break;
        }
    }
    let mut exponent = Cow::Borrowed("");
    match quantity {
        Quantity::Price => {
            rest = rest.trim_start_matches(CURRENCIES).trim_start();
            rest = rest.trim_end_matches(CURRENCIES).trim_end();
        }
        Quantity::Size => {
            let power = match rest.chars().next_back() {
                Some('k' | 'K') => "3",
                Some('m' | 'M') => "6",
                Some('b' | 'B') => "9",
                Some('t' | 'T') => "12",
                _ => "",
            };
            if !power.is_empty() {
                rest = rest[..rest.len() - 1].trim_end();
                exponent = Cow::Borrowed(power);
            }
        }
    }
    if let Some((mantissa, power)) = rest.split_once(['e', 'E']) {
        if !exponent.is_empty() {
            return None;
        }
        rest = mantissa;
        exponent = Cow::Owned(power.to_owned());
    }
    let (whole, fraction) = match rest.split_once(char::from(dialect.decimal)) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    push_groups(whole, dialect.thousands, &mut out)?;
    if let Some(fraction) = fraction {
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if whole.is_empty() {
            out.push('0');
        }
        out.push('.');
        out.push_str(fraction);
    } else if whole.is_empty() {
        return None;
    }
    if !exponent.is_empty() {
        out.push('e');
        out.push_str(&exponent);
    }
    Some(out)
}

/// The digits without what groups them: threes, or as in India twos before the last three.
fn push_groups(whole: &str, mark: Option<Thousands>, out: &mut String) -> Option<()> {
    let is_mark = |c: char| match mark {
        None => false,
        Some(Thousands::Comma) => c == ',',
        Some(Thousands::Point) => c == '.',
        Some(Thousands::Space) => matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}'),
        Some(Thousands::Apostrophe) => matches!(c, '\'' | '\u{2019}'),
        Some(Thousands::Underscore) => c == '_',
    };
    let groups: Vec<&str> = whole.split(is_mark).collect();
    let last = groups.len() - 1;
    for (at, group) in groups.iter().enumerate() {
        let fits = match at {
            _ if last == 0 => true,
            0 => (1..=3).contains(&group.len()),
            _ if at == last => group.len() == 3,
            _ => (2..=3).contains(&group.len()),
        };
        if !fits || !group.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        out.push_str(group);
    }
    Some(())
}

fn refusal(text: &str, dialect: &Dialect) -> String {
    let clipped: String = text.chars().take(48).collect();
    let has_digit = text.bytes().any(|b| b.is_ascii_digit());
    let like = match (dialect.decimal, dialect.thousands) {
        (b',', None) => "12,34",
        (b',', Some(_)) => "1234,56, with or without its thousands mark",
        (_, None) => "12.34",
        (_, Some(_)) => "1234.56, with or without its thousands mark",
    };
    let remedy = if USUALLY_MISSING.contains(&text.to_ascii_lowercase().as_str()) {
        format!(
            "; where it means that there is no value, write source.replay.missing: ['{clipped}']"
        )
    } else if has_digit
        && dialect.decimal == b'.'
        && dialect.thousands.is_none()
        && text.contains(',')
    {
        "; what its comma is, say source.replay.thousands: Comma (1,234) or source.replay.decimal: Comma (1,5)"
            .to_owned()
    } else if has_digit
        && dialect.decimal == b','
        && dialect.thousands.is_none()
        && text.contains('.')
    {
        "; where its point groups thousands, write source.replay.thousands: Point".to_owned()
    } else if has_digit && dialect.thousands.is_none() && text.contains(['\'', '\u{2019}']) {
        "; where its apostrophe groups thousands, write source.replay.thousands: Apostrophe"
            .to_owned()
    } else if has_digit && dialect.thousands.is_none() && text.contains([' ', '\u{a0}', '\u{202f}'])
    {
        "; where its space groups thousands, write source.replay.thousands: Space".to_owned()
    } else {
        String::new()
    };
    format!("`{clipped}` is not a decimal number; write it like {like}{remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(decimal: u8, thousands: Option<Thousands>) -> Dialect {
        Dialect {
            decimal,
            thousands,
            ..Dialect::default()
        }
    }

    #[test]
    fn numbers_of_every_dialect_are_read_to_the_digit() {
        use Thousands::{Apostrophe, Comma, Point, Space, Underscore};
        for (text, decimal, thousands, expected) in [
            ("12.34", b'.', None, "12.34"),
            ("+12.34", b'.', None, "12.34"),
            ("1.25e3", b'.', None, "1.25e3"),
            ("$1,234,567.89", b'.', Some(Comma), "1234567.89"),
            ("-$5.5", b'.', Some(Comma), "-5.5"),
            ("12,34,567.5", b'.', Some(Comma), "1234567.5"),
            ("1.234,50 €", b',', Some(Point), "1234.50"),
            ("0,000000001", b',', None, "0.000000001"),
            (",5", b',', None, "0.5"),
            ("\u{2212}1\u{202f}234,5", b',', Some(Space), "-1234.5"),
            ("1\u{a0}234", b'.', Some(Space), "1234"),
            ("1'234.5", b'.', Some(Apostrophe), "1234.5"),
            ("1_000_000", b'.', Some(Underscore), "1000000"),
            ("1234", b'.', Some(Comma), "1234"),
        ] {
            let found = plain(text, &dialect(decimal, thousands), Quantity::Price);
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("35.21M", "35.21e6"),
            ("1.2 B", "1.2e9"),
            ("7k", "7e3"),
            ("12", "12"),
        ] {
            let found = plain(text, &dialect(b'.', None), Quantity::Size);
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_could_be_misread_is_refused_with_the_setting_that_reads_it() {
        for (text, decimal, thousands, says) in [
            (
                "1,234",
                b'.',
                None,
                "thousands: Comma (1,234) or source.replay.decimal: Comma",
            ),
            ("1.234,5", b',', None, "thousands: Point"),
            ("1'234", b'.', None, "thousands: Apostrophe"),
            ("1 234", b'.', None, "thousands: Space"),
            (
                "1,23",
                b'.',
                Some(Thousands::Comma),
                "`1,23` is not a decimal number",
            ),
            ("1,234,5", b'.', Some(Thousands::Comma), "1234.56"),
            (
                "1.5.2",
                b'.',
                Some(Thousands::Comma),
                "is not a decimal number",
            ),
            ("N/A", b'.', None, "source.replay.missing: ['N/A']"),
            (
                "12x",
                b'.',
                None,
                "`12x` is not a decimal number; write it like 12.34",
            ),
            ("12x", b',', None, "write it like 12,34"),
            ("35.21M", b'.', None, "is not a decimal number"),
            ("", b',', None, "is not a decimal number"),
        ] {
            let error = plain(text, &dialect(decimal, thousands), Quantity::Price).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
