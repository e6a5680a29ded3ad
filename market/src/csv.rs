//! Ticks as CSV: a header and one line a tick, with the table's columns in their order.
//!
//! As RFC 4180 has it, but for the line end, which is a line feed alone. A field that a tick does
//! not have is empty, and an empty text is `""`. `ts_event` is in UTC to the millisecond, as Athena
//! reads a timestamp. A text with a line break is one field, in quotes, over two lines: for files
//! that are read line by line, ask [`beyond_lines`] first.

use std::borrow::Cow;

use jiff::civil::Date;

use crate::date;
use crate::field::Field;
use crate::tick::{DecimalError, Kind, Price, Session, Side, Size, Symbol, Tick};
use crate::view::TickView;

/// A record that is no tick.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Another number of fields.
    #[error("expected 31 fields, found {found}")]
    Fields {
        /// How many there are, at least.
        found: usize,
    },
    /// Quotes that do not hold exactly one field.
    #[error("field `{field}`: a quote stands neither around the field nor beside another quote")]
    Quotes {
        /// The field.
        field: Field,
    },
    /// A value that the field cannot have.
    #[error("field `{field}`: expected {expected}, found {found:?}")]
    Value {
        /// The field.
        field: Field,
        /// What it holds.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A number that the field cannot hold exactly.
    #[error("field `{field}`: {problem}")]
    Decimal {
        /// The field.
        field: Field,
        /// Why not.
        problem: DecimalError,
    },
    /// A field that every tick has is empty.
    #[error("field `{field}` is empty; every tick has it")]
    Missing {
        /// The field.
        field: Field,
    },
}

/// Appends the header's line.
pub fn header(out: &mut Vec<u8>) {
    for (index, field) in Field::ALL.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(field.name().as_bytes());
    }
    out.push(b'\n');
}

/// Appends the tick's line. Allocates nothing but what `out` grows by.
pub fn encode(tick: &Tick, out: &mut Vec<u8>) {
    encode_view(&TickView::from(tick), out);
}

/// As [`encode`], of a tick that borrows its texts.
pub fn encode_view(tick: &TickView<'_>, out: &mut Vec<u8>) {
    let mut line = Line { out };
    // A comma follows every field but the last.
    line.text(Some(&tick.symbol));
    line.text(tick.venue.as_deref());
    line.text(Some(&tick.source));
    line.text(Some(tick.kind.as_str()));
    line.text(Some(&tick.run));
    line.integer(Some(tick.seq));
    line.integer(tick.source_seq);
    line.time(tick.ts_event_ns);
    line.integer(Some(tick.ts_event_ns));
    line.integer(tick.ts_recv_ns);
    line.integer(tick.ts_ingest_ns);
    line.date(tick.trade_date);
    line.text(tick.session.map(|session| session.as_str()));
    line.text(tick.currency.as_deref());
    line.price(tick.price);
    line.size(tick.size);
    line.text(tick.side.map(|side| side.as_str()));
    line.text(tick.trade_id.as_deref());
    line.price(tick.bid_price);
    line.size(tick.bid_size);
    line.price(tick.ask_price);
    line.size(tick.ask_size);
    line.price(tick.open);
    line.price(tick.high);
    line.price(tick.low);
    line.price(tick.close);
    line.price(tick.adj_close);
    line.size(tick.volume);
    line.text(tick.status.as_deref());
    line.text(tick.conditions.as_deref());
    if let Some(flags) = tick.flags {
        let mut buffer = itoa::Buffer::new();
        line.out.extend_from_slice(buffer.format(flags).as_bytes());
    }
    out.push(b'\n');
}

/// The first text of the tick that holds a line break or another control character: what reads a file line by line, as
/// Hive and Athena do, cannot read it back, quoted or not.
pub fn beyond_lines(tick: &TickView<'_>) -> Option<Field> {
    let texts = [
        (Field::Symbol, Some(&tick.symbol)),
        (Field::Venue, tick.venue.as_ref()),
        (Field::Source, Some(&tick.source)),
        (Field::Run, Some(&tick.run)),
        (Field::Currency, tick.currency.as_ref()),
        (Field::TradeId, tick.trade_id.as_ref()),
        (Field::Status, tick.status.as_ref()),
        (Field::Conditions, tick.conditions.as_ref()),
    ];
    texts
        .into_iter()
        .find(|(_, text)| text.is_some_and(|text| text.bytes().any(|byte| byte.is_ascii_control())))
        .map(|(field, _)| field)
}

/// Reads the tick that one record writes, without its line end and with the columns in the table's order. `ts_event`,
/// which follows from `ts_event_ns`, is passed over.
///
/// # Errors
/// Where the record is no tick; names the field and what was expected.
pub fn view(record: &str) -> Result<TickView<'_>, RecordError> {
    let mut cells = Cells {
        rest: Some(record),
        field: Field::Symbol,
        seen: 0,
    };
    let tick = TickView {
        symbol: {
            let text = cells.next_needed()?;
            match Symbol::is_valid(&text) {
                true => text,
                false => return Err(cells.other(&text, "a symbol")),
            }
        },
        venue: cells.next()?,
        source: cells.next_needed()?,
        kind: {
            let text = cells.next_needed()?;
            Kind::from_word(&text).ok_or_else(|| cells.other(&text, Kind::EXPECTED))?
        },
        run: cells.next_needed()?,
        seq: cells.next_sequence()?.ok_or_else(|| cells.missing())?,
        source_seq: cells.next_sequence()?,
        ts_event_ns: {
            cells.next()?;
            cells.next_time()?.ok_or_else(|| cells.missing())?
        },
        ts_recv_ns: cells.next_time()?,
        ts_ingest_ns: cells.next_time()?,
        trade_date: {
            let text = cells.next_needed()?;
            let date = date::parse(text.as_bytes());
            date.ok_or_else(|| cells.other(&text, "a date as YYYY-MM-DD"))?
        },
        session: cells.next_of(Session::from_word, Session::EXPECTED)?,
        currency: cells.next()?,
        price: cells.next_decimal(Price::parse)?,
        size: cells.next_decimal(Size::parse)?,
        side: cells.next_of(Side::from_word, Side::EXPECTED)?,
        trade_id: cells.next()?,
        bid_price: cells.next_decimal(Price::parse)?,
        bid_size: cells.next_decimal(Size::parse)?,
        ask_price: cells.next_decimal(Price::parse)?,
        ask_size: cells.next_decimal(Size::parse)?,
        open: cells.next_decimal(Price::parse)?,
        high: cells.next_decimal(Price::parse)?,
        low: cells.next_decimal(Price::parse)?,
        close: cells.next_decimal(Price::parse)?,
        adj_close: cells.next_decimal(Price::parse)?,
        volume: cells.next_decimal(Size::parse)?,
        status: cells.next()?,
        conditions: cells.next()?,
        flags: cells.next_of(|text| text.parse().ok(), "a whole number of 32 bits")?,
    };
    match cells.rest {
        None => Ok(tick),
        Some(_) => Err(RecordError::Fields {
            found: Field::ALL.len() + 1,
        }),
    }
}

/// The cells of a record, one after another.
struct Cells<'a> {
    /// What follows; `None` after the last.
    rest: Option<&'a str>,
    /// The field that was read last.
    field: Field,
    seen: usize,
}

impl<'a> Cells<'a> {
    /// The next field's text; `None` where it is empty and not in quotes.
    fn next(&mut self) -> Result<Option<Cow<'a, str>>, RecordError> {
        let rest = self.rest.ok_or(RecordError::Fields { found: self.seen })?;
        self.field = Field::ALL[self.seen];
        self.seen += 1;
        if let Some(quoted) = rest.strip_prefix('"') {
            return self.quoted(quoted).map(Some);
        }
        let (text, rest) = match rest.split_once(',') {
            Some((text, rest)) => (text, Some(rest)),
            None => (rest, None),
        };
        if text.contains('"') {
            return Err(RecordError::Quotes { field: self.field });
        }
        self.rest = rest;
        Ok((!text.is_empty()).then_some(Cow::Borrowed(text)))
    }

    /// The text whose opening quote was just passed.
    fn quoted(&mut self, text: &'a str) -> Result<Cow<'a, str>, RecordError> {
        let mut from = 0;
        let mut doubled = false;
        let end = loop {
            let quote = text[from..]
                .find('"')
                .ok_or(RecordError::Quotes { field: self.field })?;
            let at = from + quote;
            if !text[at + 1..].starts_with('"') {
                break at;
            }
            doubled = true;
            from = at + 2;
        };
        let (text, after) = (&text[..end], &text[end + 1..]);
        self.rest = match after.strip_prefix(',') {
            None if after.is_empty() => None,
            None => return Err(RecordError::Quotes { field: self.field }),
            rest => rest,
        };
        Ok(match doubled {
            true => Cow::Owned(text.replace("\"\"", "\"")),
            false => Cow::Borrowed(text),
        })
    }

    fn next_needed(&mut self) -> Result<Cow<'a, str>, RecordError> {
        self.next()?.ok_or_else(|| self.missing())
    }

    fn next_of<T>(
        &mut self,
        read: impl Fn(&str) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>, RecordError> {
        self.next()?
            .map(|text| read(&text).ok_or_else(|| self.other(&text, expected)))
            .transpose()
    }

    fn next_sequence(&mut self) -> Result<Option<u64>, RecordError> {
        const EXPECTED: &str = "a whole number from 0 to 9223372036854775807";
        let read = |text: &str| u64::try_from(text.parse::<i64>().ok()?).ok();
        self.next_of(read, EXPECTED)
    }

    fn next_time(&mut self) -> Result<Option<i64>, RecordError> {
        const EXPECTED: &str = "whole nanoseconds since 1970-01-01T00:00:00Z";
        self.next_of(|text| text.parse().ok(), EXPECTED)
    }

    fn next_decimal<D>(
        &mut self,
        parse: fn(&[u8]) -> Result<D, DecimalError>,
    ) -> Result<Option<D>, RecordError> {
        self.next()?
            .map(|text| parse(text.as_bytes()))
            .transpose()
            .map_err(|problem| RecordError::Decimal {
                field: self.field,
                problem,
            })
    }

    fn missing(&self) -> RecordError {
        RecordError::Missing { field: self.field }
    }

    fn other(&self, text: &str, expected: &'static str) -> RecordError {
        RecordError::Value {
            field: self.field,
            expected,
            found: text.chars().take(48).collect(),
        }
    }
}

/// A line being written.
struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    fn end(&mut self) {
        self.out.push(b',');
    }

    fn text(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            write_text(text, self.out);
        }
        self.end();
    }

    fn integer<I: itoa::Integer>(&mut self, value: Option<I>) {
        if let Some(value) = value {
            let mut buffer = itoa::Buffer::new();
            self.out.extend_from_slice(buffer.format(value).as_bytes());
        }
        self.end();
    }

    fn date(&mut self, date: Date) {
        date::write(date, self.out);
        self.end();
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm` in UTC, cut off towards the past.
    fn time(&mut self, ts_ns: i64) {
        const DAY_MS: i64 = 86_400_000;
        let ms = ts_ns.div_euclid(1_000_000);
        let days = i32::try_from(ms.div_euclid(DAY_MS)).ok();
        if let Some(date) = days.and_then(date::from_epoch_days) {
            date::write(date, self.out);
            let of_day = ms.rem_euclid(DAY_MS);
            let parts = [
                (b' ', of_day / 3_600_000, 2),
                (b':', of_day / 60_000 % 60, 2),
                (b':', of_day / 1000 % 60, 2),
                (b'.', of_day % 1000, 3),
            ];
            for (mark, value, digits) in parts {
                self.out.push(mark);
                for place in (0..digits).rev() {
                    let digit = value / 10_i64.pow(place) % 10;
                    self.out.push(b'0' + digit as u8);
                }
            }
        }
        self.end();
    }

    fn price(&mut self, price: Option<Price>) {
        if let Some(price) = price {
            price.write(self.out);
        }
        self.end();
    }

    fn size(&mut self, size: Option<Size>) {
        if let Some(size) = size {
            size.write(self.out);
        }
        self.end();
    }
}

/// A text, in quotes where it would not be one field without them.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    // An empty text is in quotes, as nothing at all is not.
    let quoted = bytes.is_empty()
        || bytes
            .iter()
            .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !quoted {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for &byte in bytes {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use proptest::prelude::*;

    fn line(tick: &Tick) -> String {
        let mut out = Vec::new();
        encode(tick, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn trade() -> Tick {
        let symbol = Symbol::new("AAPL").expect("a symbol");
        let date = jiff::civil::date(2026, 11, 20);
        let ts = 1_763_650_800_123_956_789;
        let mut tick = Tick::new(
            symbol,
            "simulated".into(),
            Kind::Trade,
            "r".into(),
            7,
            ts,
            date,
        );
        tick.price = Some("181.23".parse().expect("a price"));
        tick.size = Some("100.5".parse().expect("a size"));
        tick.flags = Some(1);
        tick
    }

    #[test]
    fn a_line_has_the_headers_columns_in_their_order() {
        let mut out = Vec::new();
        header(&mut out);
        let header = String::from_utf8(out).expect("text");
        assert!(header.starts_with("symbol,venue,source,kind,run,seq,source_seq,ts_event,"));
        assert!(header.ends_with(",status,conditions,flags\n"));
        assert_eq!(
            line(&trade()),
            "AAPL,,simulated,trade,r,7,,2025-11-20 15:00:00.123,1763650800123956789,,,2026-11-20,\
             ,,181.23,100.5,,,,,,,,,,,,,,,1\n"
        );
        let commas = |text: &str| text.matches(',').count();
        assert_eq!(commas(&header), commas(&line(&trade())));
    }

    #[test]
    fn texts_that_hold_commas_quotes_or_line_ends_are_quoted() {
        let tick = Tick {
            conditions: Some("O,\"x\"\n".into()),
            ..trade()
        };
        assert!(
            line(&tick).ends_with(",\"O,\"\"x\"\"\n\",1\n"),
            "{}",
            line(&tick)
        );
    }

    #[test]
    fn an_empty_text_is_in_quotes_and_no_text_is_not() {
        let tick = Tick {
            venue: Some("".into()),
            ..trade()
        };
        assert!(line(&tick).starts_with("AAPL,\"\",simulated,"));
        let text = line(&tick);
        let back = view(text.trim_end()).expect("a tick");
        assert_eq!((back.venue.as_deref(), back.status), (Some(""), None));
    }

    #[test]
    fn control_characters_are_found_by_field() {
        let of = |conditions: &str| {
            let tick = Tick {
                conditions: Some(conditions.into()),
                ..trade()
            };
            beyond_lines(&TickView::from(&tick))
        };
        assert_eq!(of("O,\"I\" \u{e9}\\"), None);
        for text in ["a\nb", "\r", "\u{1}", "\0"] {
            assert_eq!(of(text), Some(Field::Conditions), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_tick_is_refused_with_its_field() {
        let text = line(&trade());
        let good = text.trim_end();
        for (bad, says) in [
            (String::new(), "field `symbol` is empty; every tick has it"),
            ("AAPL,XNYS".to_owned(), "expected 31 fields, found 2"),
            (format!("{good},"), "expected 31 fields, found 32"),
            (
                good.replace("trade", "deal"),
                "field `kind`: expected one of trade, quote, bar, status, auction, correction, \
                 corporate_action, gap, found \"deal\"",
            ),
            (
                good.replace(",7,", ",-7,"),
                "field `seq`: expected a whole number from 0 to 9223372036854775807, found \"-7\"",
            ),
            (
                good.replace("2026-11-20", "20.11.2026"),
                "field `trade_date`: expected a date as YYYY-MM-DD, found \"20.11.2026\"",
            ),
            (
                good.replace("181.23", "181.2300000001"),
                "field `price`: `181.2300000001` is finer than 9 decimal places",
            ),
            (
                good.replace("AAPL", "\"AAPL"),
                "field `symbol`: a quote stands neither around the field nor beside another quote",
            ),
            (good.replace("AAPL", "\"AA\"PL"), "field `symbol`: a quote"),
            (good.replace("AAPL", "AA\"PL"), "field `symbol`: a quote"),
        ] {
            let said = view(&bad).expect_err("a refusal").to_string();
            assert!(said.starts_with(says), "{bad}: {said}");
        }
    }

    proptest! {
        #[test]
        fn ticks_come_back_from_their_lines(tick in samples::tick()) {
            let text = line(&tick);
            let record = text.strip_suffix('\n').expect("a line end");
            prop_assert_eq!(view(record).expect("a tick").to_tick(), tick);
        }
    }

    #[test]
    fn times_before_1970_are_cut_towards_the_past() {
        let tick = Tick {
            ts_event_ns: -1,
            ..trade()
        };
        assert!(line(&tick).contains(",1969-12-31 23:59:59.999,-1,"));
    }
}
