//! Fixed-point decimals, parsed from text exactly or refused: never through a float.
//!
//! A [`Price`] counts in steps of 1e-9 (`DECIMAL(18,9)`, the scale of Databento's DBN), a
//! [`Size`] in steps of 1e-10 (`DECIMAL(28,10)`, so that fractional shares and coins fit).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no exact value of a decimal type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not a decimal number at all.
    #[error("`{text}` is not a decimal number; write it like 12.34")]
    NotANumber {
        /// What was read, clipped.
        text: String,
    },
    /// More decimal places than the type keeps.
    #[error(
        "`{text}` is finer than {scale} decimal places, the finest a {of} is kept in; \
         it is refused, not rounded"
    )]
    TooFine {
        /// What was read, clipped.
        text: String,
        /// `price` or `size`.
        of: &'static str,
        /// Decimal places of the type.
        scale: u32,
    },
    /// More digits before the point than the type keeps.
    #[error("`{text}` has more than {digits} digits before the point, the most a {of} has")]
    TooLarge {
        /// What was read, clipped.
        text: String,
        /// `price` or `size`.
        of: &'static str,
        /// Digits before the point.
        digits: u32,
    },
}

/// Why digits are no value of a `DECIMAL(precision, scale)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotANumber,
    TooFine,
    TooLarge,
}

/// The integer `text × 10^scale`, if `text` is a decimal number that `DECIMAL(precision, scale)`
/// holds exactly. Plain (`-12.5`, `.5`, `5.`) and exponent (`1.25e1`) notation.
fn parse_scaled(text: &[u8], precision: u32, scale: u32) -> Result<i128, Refusal> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = match parse_short(digits, scale) {
        Some(short) => i128::from(short),
        None => parse_long(digits, precision, scale)?,
    };
    if magnitude >= 10_i128.pow(precision) {
        return Err(Refusal::TooLarge);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// The common case: plain notation, no more than `scale` decimal places, fits 63 bits.
/// `None` says nothing about the text but that [`parse_long`] must judge it.
fn parse_short(digits: &[u8], scale: u32) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && digits.len() > 1 => point = Some(at),
            _ => return None,
        }
    }
    let places = point.map_or(0, |at| digits.len() - at - 1) as u32;
    if places > scale {
        return None;
    }
    value.checked_mul(10_u64.pow(scale - places))
}

/// Any notation, any length.
fn parse_long(digits: &[u8], precision: u32, scale: u32) -> Result<i128, Refusal> {
    let (mantissa, exponent) = match digits.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&digits[..at], parse_exponent(&digits[at + 1..])?),
        None => (digits, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&b| b == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let all = || whole.iter().chain(fraction);
    let count = whole.len() + fraction.len();
    if count == 0 || !all().all(u8::is_ascii_digit) {
        return Err(Refusal::NotANumber);
    }
    let leading = all().take_while(|&&b| b == b'0').count();
    if leading == count {
        return Ok(0);
    }
    let trailing = all().rev().take_while(|&&b| b == b'0').count();
    let significant = count - leading - trailing;
    // The value is the significant digits × 10^power steps.
    let power = exponent - fraction.len() as i64 + trailing as i64 + i64::from(scale);
    if power < 0 {
        return Err(Refusal::TooFine);
    }
    if significant as i64 + power > i64::from(precision) {
        return Err(Refusal::TooLarge);
    }
    let value = all()
        .skip(leading)
        .take(significant)
        .fold(0_i128, |value, byte| value * 10 + i128::from(byte - b'0'));
    Ok(value * 10_i128.pow(power as u32))
}

/// The digits after `e`; clamped far beyond what any precision holds.
fn parse_exponent(text: &[u8]) -> Result<i64, Refusal> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::NotANumber);
    }
    let value = digits.iter().fold(0_i64, |value, byte| {
        (value * 10 + i64::from(byte - b'0')).min(1_000_000_000)
    });
    Ok(if negative { -value } else { value })
}

/// Appends `steps × 10^-scale` in plain notation without trailing zeros.
fn write_scaled(steps: i128, scale: usize, out: &mut Vec<u8>) {
    if steps < 0 {
        out.push(b'-');
    }
    let magnitude = steps.unsigned_abs();
    let unit = 10_u128.pow(scale as u32);
    let mut buffer = itoa::Buffer::new();
    let (whole, mut fraction) = match u64::try_from(magnitude) {
        // 64-bit division is several times faster, and prices always take this arm.
        Ok(small) => {
            let unit = unit as u64;
            out.extend_from_slice(buffer.format(small / unit).as_bytes());
            (None, small % unit)
        }
        Err(_) => (Some(magnitude / unit), (magnitude % unit) as u64),
    };
    if let Some(whole) = whole {
        out.extend_from_slice(buffer.format(whole).as_bytes());
    }
    if fraction == 0 {
        return;
    }
    let mut places = scale;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        places -= 1;
    }
    out.push(b'.');
    let digits = buffer.format(fraction).as_bytes();
    out.extend(std::iter::repeat_n(b'0', places - digits.len()));
    out.extend_from_slice(digits);
}

/// The text for an error message: at most 48 characters of it.
fn clipped(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

macro_rules! decimal {
    ($name:ident, $steps:ty, $of:literal, $precision:literal, $scale:literal) => {
        impl $name {
            /// Digits in all, before and after the point.
            pub const PRECISION: u8 = $precision;
            /// Decimal places.
            pub const SCALE: u8 = $scale;
            /// Steps in one whole unit.
            pub const ONE: $name = $name((10 as $steps).pow($scale));
            /// Nothing.
            pub const ZERO: $name = $name(0);
            /// The largest value.
            pub const MAX: $name = $name((10 as $steps).pow($precision) - 1);

            #[doc = concat!("From a count of 1e-", stringify!($scale), " steps; `None` where its magnitude exceeds [`Self::MAX`].")]
            pub const fn from_steps(steps: $steps) -> Option<Self> {
                if steps > Self::MAX.0 || steps < -Self::MAX.0 {
                    None
                } else {
                    Some(Self(steps))
                }
            }

            #[doc = concat!("The value as a count of 1e-", stringify!($scale), " steps.")]
            pub const fn steps(self) -> $steps {
                self.0
            }

            /// Reads a decimal number in plain or exponent notation, exactly.
            ///
            /// # Errors
            /// Where the text is no decimal number, or one that is finer or larger than the type.
            pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
                parse_scaled(text, $precision, $scale)
                    .map(|steps| Self(steps as $steps))
                    .map_err(|refusal| {
                        let text = clipped(text);
                        match refusal {
                            Refusal::NotANumber => DecimalError::NotANumber { text },
                            Refusal::TooFine => {
                                DecimalError::TooFine { text, of: $of, scale: $scale }
                            }
                            Refusal::TooLarge => DecimalError::TooLarge {
                                text,
                                of: $of,
                                digits: $precision - $scale,
                            },
                        }
                    })
            }

            /// Appends the value in plain notation without trailing zeros.
            pub fn write(self, out: &mut Vec<u8>) {
                write_scaled(i128::from(self.0), $scale, out);
            }

            /// The nearest float: for charts and statistics, never for keeping.
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / Self::ONE.0 as f64
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = Vec::with_capacity(32);
                self.write(&mut text);
                f.pad(&String::from_utf8_lossy(&text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = DecimalError;

            fn from_str(text: &str) -> Result<Self, DecimalError> {
                Self::parse(text.as_bytes())
            }
        }

        /// As a string, so that no reader takes it through a float.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        /// From a string.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A price, per unit of the instrument, in the tick's currency: a whole number of 1e-9 steps,
/// at most nine digits before the point (`DECIMAL(18,9)`). May be negative, as spreads and
/// some futures are.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

decimal!(Price, i64, "price", 18, 9);

/// A number of shares, contracts or coins: a whole number of 1e-10 steps, at most eighteen
/// digits before the point (`DECIMAL(28,10)`).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(i128);

decimal!(Size, i128, "size", 28, 10);

impl Size {
    /// A whole number of shares.
    pub const fn whole(shares: u32) -> Size {
        Size(shares as i128 * Size::ONE.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(text: &str) -> Result<i64, DecimalError> {
        text.parse::<Price>().map(Price::steps)
    }

    #[test]
    fn plain_and_exponent_notation_are_read_exactly() {
        for (text, steps) in [
            ("0", 0),
            ("-0", 0),
            ("0.000000001", 1),
            ("-0.000000001", -1),
            ("1229.22998", 1_229_229_980_000),
            ("+2.5", 2_500_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("1e-9", 1),
            ("1.25e1", 12_500_000_000),
            ("12500E-3", 12_500_000_000),
            ("0.0000000010000000000000000000000", 1),
            ("00000000000000000000000000000012", 12_000_000_000),
            ("0e999999999999999999999", 0),
            ("999999999.999999999", 999_999_999_999_999_999),
            ("-999999999.999999999", -999_999_999_999_999_999),
        ] {
            assert_eq!(price(text), Ok(steps), "{text}");
        }
    }

    #[test]
    fn finer_larger_and_other_texts_are_refused_with_a_sentence() {
        for (text, sentence) in [
            (
                "0.1234567891",
                "`0.1234567891` is finer than 9 decimal places, the finest a price is kept in; \
                 it is refused, not rounded",
            ),
            (
                "1e-10",
                "`1e-10` is finer than 9 decimal places, the finest a price is kept in; \
                 it is refused, not rounded",
            ),
            (
                "1000000000",
                "`1000000000` has more than 9 digits before the point, the most a price has",
            ),
            (
                "1e9",
                "`1e9` has more than 9 digits before the point, the most a price has",
            ),
            ("", "`` is not a decimal number; write it like 12.34"),
            (".", "`.` is not a decimal number; write it like 12.34"),
            ("-", "`-` is not a decimal number; write it like 12.34"),
            (
                "1,229.5",
                "`1,229.5` is not a decimal number; write it like 12.34",
            ),
            (
                "1.2.3",
                "`1.2.3` is not a decimal number; write it like 12.34",
            ),
            ("1e", "`1e` is not a decimal number; write it like 12.34"),
            ("NaN", "`NaN` is not a decimal number; write it like 12.34"),
            (
                "0x10",
                "`0x10` is not a decimal number; write it like 12.34",
            ),
            ("--1", "`--1` is not a decimal number; write it like 12.34"),
        ] {
            assert_eq!(
                price(text).map_err(|e| e.to_string()),
                Err(sentence.to_owned())
            );
        }
        let long = "9".repeat(200);
        let message = price(&long)
            .map_err(|e| e.to_string())
            .expect_err("too large");
        assert!(message.len() < 150, "{message}");
    }

    #[test]
    fn sizes_keep_ten_places_and_eighteen_digits() {
        let largest = "999999999999999999.9999999999";
        assert_eq!(largest.parse::<Size>(), Ok(Size::MAX));
        assert_eq!(Size::MAX.to_string(), largest);
        assert_eq!("936660000".parse::<Size>(), Ok(Size::whole(936_660_000)));
        assert!("1e18".parse::<Size>().is_err());
        assert!("0.00000000001".parse::<Size>().is_err());
        assert_eq!(Size::from_steps(Size::MAX.steps() + 1), None);
    }

    #[test]
    fn display_is_plain_and_without_trailing_zeros() {
        for (steps, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (-1, "-0.000000001"),
            (1_500_000_000, "1.5"),
            (-10_000_000_000, "-10"),
            (1_010_000_000, "1.01"),
        ] {
            assert_eq!(Price(steps).to_string(), text);
        }
    }

    #[test]
    fn json_carries_them_as_strings() {
        let price: Price = "101.25".parse().expect("a price");
        let json = serde_json::to_string(&price).expect("serializes");
        assert_eq!(json, r#""101.25""#);
        assert_eq!(
            serde_json::from_str::<Price>(&json).expect("reads back"),
            price
        );
    }

    proptest! {
        #[test]
        fn every_price_reads_back_from_its_text(steps in -Price::MAX.0..=Price::MAX.0) {
            prop_assert_eq!(Price(steps).to_string().parse::<Price>(), Ok(Price(steps)));
        }

        #[test]
        fn every_size_reads_back_from_its_text(steps in -Size::MAX.0..=Size::MAX.0) {
            prop_assert_eq!(Size(steps).to_string().parse::<Size>(), Ok(Size(steps)));
        }

        #[test]
        fn short_and_long_parsers_agree(text in "[0-9]{0,12}\\.?[0-9]{0,12}") {
            let short = parse_short(text.as_bytes(), 9).map(i128::from);
            let long = parse_long(text.as_bytes(), 38, 9);
            if let Some(short) = short {
                prop_assert_eq!(long, Ok(short));
            }
        }

        #[test]
        fn exponents_only_shift_the_point(digits in 0_i64..1_000_000, shift in 0_i32..6) {
            let shifted = format!("{digits}e-{shift}");
            let plain = digits * 10_i64.pow(9 - shift as u32);
            prop_assert_eq!(price(&shifted), Ok(plain));
        }
    }
}
