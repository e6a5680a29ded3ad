//! Reading a tick from JSON.

use std::borrow::Cow;

use jiff::civil::Date;

use super::scanner::{Scanner, Unexpected};
use crate::date;
use crate::field::Field;
use crate::tick::{DecimalError, Kind, Price, Session, Side, Size, Symbol, Tick};
use crate::view::TickView;

/// A record that is no tick.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a JSON object.
    #[error("not a JSON object: expected {expected} at byte {at}, found {found}")]
    Syntax {
        /// Byte of the record, from 0.
        at: usize,
        /// What should have been there.
        expected: &'static str,
        /// What is there, clipped.
        found: String,
    },
    /// A field has a value of another kind.
    #[error("field `{field}`: expected {expected}, found {found}")]
    Value {
        /// The field.
        field: Field,
        /// What it holds.
        expected: &'static str,
        /// What is there, clipped.
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
    /// A field that every tick has is absent or null.
    #[error(
        "field `{field}` is missing; every tick has symbol, source, kind, run, seq, ts_event_ns \
         and trade_date"
    )]
    Missing {
        /// The field.
        field: Field,
    },
    /// A field appears twice, so that nobody can say which value holds.
    #[error("field `{field}` appears twice")]
    Twice {
        /// The field.
        field: Field,
    },
}

/// The fields that every tick has.
const REQUIRED: [Field; 7] = [
    Field::Symbol,
    Field::Source,
    Field::Kind,
    Field::Run,
    Field::Seq,
    Field::TsEventNs,
    Field::TradeDate,
];

/// Reads one tick.
///
/// # Errors
/// Where the record is no JSON object with the fields of a tick; names the field and what was
/// expected.
pub fn decode(record: &[u8]) -> Result<Tick, DecodeError> {
    view(record).map(|view| view.to_tick())
}

/// Reads one tick, borrowing its texts from the record.
///
/// # Errors
/// As [`decode`].
pub fn view(record: &[u8]) -> Result<TickView<'_>, DecodeError> {
    let scanner = match Scanner::new(record) {
        Ok(scanner) => scanner,
        Err(Unexpected { at, expected }) => {
            let found = format!("byte {:#04x}", record[at]);
            return Err(DecodeError::Syntax {
                at,
                expected,
                found,
            });
        }
    };
    let mut reader = Reader {
        scanner,
        field: Field::Symbol,
    };
    let mut tick = TickView::blank();
    reader
        .scanner
        .begin_object()
        .map_err(|e| reader.syntax(e))?;
    let mut seen = 0_u64;
    // Most records have their fields in the table's order, so that the next one is guessed
    // before it is looked up.
    let mut guess = Field::Symbol;
    let mut first = true;
    while reader
        .scanner
        .next_field(first)
        .map_err(|e| reader.syntax(e))?
    {
        first = false;
        let field = if reader.scanner.take_name(guess.json_name()) {
            guess
        } else {
            let name = reader.scanner.name().map_err(|e| reader.syntax(e))?;
            // `ts_event` is the table's alone: on the wire it is a field like any unknown one.
            match Field::from_name(&name) {
                Some(field) if field != Field::TsEvent => field,
                _ => {
                    reader.scanner.skip_value().map_err(|e| reader.syntax(e))?;
                    continue;
                }
            }
        };
        guess = field.next_on_wire();
        if seen & field.bit() != 0 {
            return Err(DecodeError::Twice { field });
        }
        if reader.scanner.null() {
            continue;
        }
        seen |= field.bit();
        reader.field = field;
        reader.read(&mut tick)?;
    }
    reader.scanner.end().map_err(|e| reader.syntax(e))?;
    match REQUIRED.iter().find(|field| seen & field.bit() == 0) {
        Some(&field) => Err(DecodeError::Missing { field }),
        None => Ok(tick),
    }
}

/// Reads the values of one record.
struct Reader<'a> {
    scanner: Scanner<'a>,
    field: Field,
}

impl<'a> Reader<'a> {
    /// Reads the value here into the field it belongs to.
    #[inline]
    fn read(&mut self, tick: &mut TickView<'a>) -> Result<(), DecodeError> {
        match self.field {
            Field::Symbol => tick.symbol = self.symbol()?,
            Field::Venue => tick.venue = Some(self.text()?),
            Field::Source => tick.source = self.text()?,
            Field::Kind => tick.kind = self.word(Kind::from_word, Kind::EXPECTED)?,
            Field::Run => tick.run = self.text()?,
            Field::Seq => tick.seq = self.sequence()?,
            Field::SourceSeq => tick.source_seq = Some(self.sequence()?),
            Field::TsEvent => {}
            Field::TsEventNs => tick.ts_event_ns = self.time()?,
            Field::TsRecvNs => tick.ts_recv_ns = Some(self.time()?),
            Field::TsIngestNs => tick.ts_ingest_ns = Some(self.time()?),
            Field::TradeDate => tick.trade_date = self.date()?,
            Field::Session => {
                tick.session = Some(self.word(Session::from_word, Session::EXPECTED)?);
            }
            Field::Currency => tick.currency = Some(self.text()?),
            Field::Price => tick.price = Some(self.decimal(Price::parse)?),
            Field::Size => tick.size = Some(self.decimal(Size::parse)?),
            Field::Side => tick.side = Some(self.word(Side::from_word, Side::EXPECTED)?),
            Field::TradeId => tick.trade_id = Some(self.text()?),
            Field::BidPrice => tick.bid_price = Some(self.decimal(Price::parse)?),
            Field::BidSize => tick.bid_size = Some(self.decimal(Size::parse)?),
            Field::AskPrice => tick.ask_price = Some(self.decimal(Price::parse)?),
            Field::AskSize => tick.ask_size = Some(self.decimal(Size::parse)?),
            Field::Open => tick.open = Some(self.decimal(Price::parse)?),
            Field::High => tick.high = Some(self.decimal(Price::parse)?),
            Field::Low => tick.low = Some(self.decimal(Price::parse)?),
            Field::Close => tick.close = Some(self.decimal(Price::parse)?),
            Field::AdjClose => tick.adj_close = Some(self.decimal(Price::parse)?),
            Field::Volume => tick.volume = Some(self.decimal(Size::parse)?),
            Field::Status => tick.status = Some(self.text()?),
            Field::Conditions => tick.conditions = Some(self.text()?),
            Field::Flags => tick.flags = Some(self.flags()?),
        }
        Ok(())
    }

    #[cold]
    fn syntax(&self, unexpected: Unexpected) -> DecodeError {
        let mut there = self.scanner.clone();
        there.go_back(unexpected.at);
        DecodeError::Syntax {
            at: unexpected.at,
            expected: unexpected.expected,
            found: there.found(),
        }
    }

    /// The value that begins at `start` is not what the field holds.
    #[cold]
    fn other(&self, start: usize, expected: &'static str) -> DecodeError {
        let mut there = self.scanner.clone();
        there.go_back(start);
        DecodeError::Value {
            field: self.field,
            expected,
            found: there.found(),
        }
    }

    fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, DecodeError> {
        let start = self.scanner.at();
        match self.scanner.string() {
            Ok(text) => Ok(text),
            Err(unexpected) if unexpected.at == start => Err(self.other(start, expected)),
            Err(unexpected) => Err(self.syntax(unexpected)),
        }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.string("a string")
    }

    fn symbol(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        const EXPECTED: &str = "a string of 1 to 64 bytes without control characters and without \
                                white space at its ends";
        let start = self.scanner.at();
        let text = self.string(EXPECTED)?;
        if Symbol::is_valid(&text) {
            Ok(text)
        } else {
            Err(self.other(start, EXPECTED))
        }
    }

    fn word<W>(
        &mut self,
        from_word: fn(&str) -> Option<W>,
        expected: &'static str,
    ) -> Result<W, DecodeError> {
        let start = self.scanner.at();
        let text = self.string(expected)?;
        from_word(&text).ok_or_else(|| self.other(start, expected))
    }

    fn date(&mut self) -> Result<Date, DecodeError> {
        const EXPECTED: &str = "a date as \"YYYY-MM-DD\"";
        let start = self.scanner.at();
        let text = self.string(EXPECTED)?;
        date::parse(text.as_bytes()).ok_or_else(|| self.other(start, EXPECTED))
    }

    fn number(&mut self, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let start = self.scanner.at();
        match self.scanner.number() {
            Ok(digits) => Ok(digits),
            Err(unexpected) if unexpected.at == start => Err(self.other(start, expected)),
            Err(unexpected) => Err(self.syntax(unexpected)),
        }
    }

    fn decimal<D>(
        &mut self,
        parse: fn(&[u8]) -> Result<D, DecimalError>,
    ) -> Result<D, DecodeError> {
        let digits = self.number("a number")?;
        parse(digits).map_err(|problem| DecodeError::Decimal {
            field: self.field,
            problem,
        })
    }

    fn integer(&mut self, expected: &'static str) -> Result<i64, DecodeError> {
        if let Some(value) = self.scanner.plain_integer() {
            return Ok(value);
        }
        let start = self.scanner.at();
        let text = self.number(expected)?;
        parse_integer(text).ok_or_else(|| self.other(start, expected))
    }

    fn sequence(&mut self) -> Result<u64, DecodeError> {
        const EXPECTED: &str = "a whole number from 0 to 9223372036854775807";
        let start = self.scanner.at();
        let value = self.integer(EXPECTED)?;
        u64::try_from(value).map_err(|_| self.other(start, EXPECTED))
    }

    fn time(&mut self) -> Result<i64, DecodeError> {
        self.integer("whole nanoseconds since 1970-01-01T00:00:00Z")
    }

    fn flags(&mut self) -> Result<i32, DecodeError> {
        const EXPECTED: &str = "a whole number of 32 bits";
        let start = self.scanner.at();
        let value = self.integer(EXPECTED)?;
        i32::try_from(value).map_err(|_| self.other(start, EXPECTED))
    }
}

/// The integer that the text of a JSON number writes without point or exponent.
fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    if digits.len() > 19 {
        return None;
    }
    let mut magnitude = 0_u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(byte - b'0');
    }
    if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::encode;
    use crate::samples;
    use proptest::prelude::*;

    const TRADE: &str = concat!(
        r#"{"symbol":"AAPL","venue":"XNYS","source":"simulated","kind":"trade","run":"r1","#,
        r#""seq":7,"ts_event_ns":1795185000000000001,"trade_date":"2026-11-20","#,
        r#""session":"regular","currency":"USD","price":190.25,"size":100,"side":"buy","#,
        r#""trade_id":"7"}"#
    );

    fn refusal(record: &str) -> String {
        decode(record.as_bytes())
            .expect_err("a refusal")
            .to_string()
    }

    #[test]
    fn a_trade_reads_back_as_it_was_written() {
        let tick = decode(TRADE.as_bytes()).expect("a tick");
        assert_eq!(tick.price, Some("190.25".parse().expect("a price")));
        assert_eq!(tick.size, Some(Size::whole(100)));
        let mut written = Vec::new();
        encode(&tick, &mut written);
        assert_eq!(String::from_utf8_lossy(&written), TRADE);
    }

    #[test]
    fn order_white_space_nulls_unknown_fields_and_escapes_do_not_matter() {
        let other = concat!(
            " {\n \"trade_id\" : \"\\u0037\", \"x\": [1, {\"y\": [], \"z\": {}}, \"]\"],\t",
            r#""side":"buy","size":1e2,"price":190.250000000000,"currency":"U\u0053D","#,
            r#""open":null,"ts_event":"2026-11-20 14:30:00","session":"regular","#,
            r#""trade_date":"2026-11-20","ts_event_ns":1795185000000000001,"seq":7,"#,
            r#""run":"r1","kind":"trade","source":"simulated","venue":"XNYS","#,
            "\"symbol\":\"AAPL\"}\r\n",
        );
        assert_eq!(decode(other.as_bytes()), decode(TRADE.as_bytes()));
    }

    #[test]
    fn errors_name_the_field_and_what_was_expected() {
        for (from, to, sentence) in [
            (
                "190.25",
                "190.2500000001",
                "field `price`: `190.2500000001` is finer than 9 decimal places, the finest a \
                 price is kept in; it is refused, not rounded",
            ),
            (
                "190.25",
                "\"190.25\"",
                "field `price`: expected a number, found `\"190.25\"`",
            ),
            (
                "190.25",
                "{}",
                "field `price`: expected a number, found an object",
            ),
            (
                "\"trade\"",
                "\"auctions\"",
                "field `kind`: expected one of trade, quote, bar, status, auction, correction, corporate_action, gap, found `\"auctions\"`",
            ),
            (
                ":7,",
                ":-7,",
                "field `seq`: expected a whole number from 0 to 9223372036854775807, found `-7`",
            ),
            (
                ":7,",
                ":7.0,",
                "field `seq`: expected a whole number from 0 to 9223372036854775807, found `7.0`",
            ),
            (
                "1795185000000000001",
                "9223372036854775808",
                "field `ts_event_ns`: expected whole nanoseconds since 1970-01-01T00:00:00Z, \
                 found `9223372036854775808`",
            ),
            (
                "2026-11-20",
                "2026-11-31",
                "field `trade_date`: expected a date as \"YYYY-MM-DD\", found `\"2026-11-31\"`",
            ),
            (
                "\"AAPL\"",
                "\" AAPL\"",
                "field `symbol`: expected a string of 1 to 64 bytes without control characters \
                 and without white space at its ends, found `\" AAPL\"`",
            ),
            (
                "\"run\":\"r1\"",
                "\"run\":null",
                "field `run` is missing; every tick has symbol, source, kind, run, seq, \
                 ts_event_ns and trade_date",
            ),
            ("\"venue\"", "\"symbol\"", "field `symbol` appears twice"),
            (
                "\"venue\":",
                "\"venue\"",
                "not a JSON object: expected `:` at byte 24, found `\"XNYS\"`",
            ),
            (
                ",\"price\"",
                " \"price\"",
                "not a JSON object: expected `,` or `}` at byte 184, found `\"price\"`",
            ),
            (
                "190.25",
                "0190.25",
                "not a JSON object: expected no digit after a leading zero at byte 193, found \
                 `190.25`",
            ),
        ] {
            assert_ne!(TRADE.replacen(from, to, 1), TRADE);
            assert_eq!(refusal(&TRADE.replacen(from, to, 1)), sentence);
        }
        assert!(refusal(&TRADE.replacen(":7,", ":07,", 1)).contains("after a leading zero"));
        assert_eq!(
            refusal(""),
            "not a JSON object: expected `{` at byte 0, found the end of the record"
        );
        assert_eq!(
            refusal("[1]"),
            "not a JSON object: expected `{` at byte 0, found an array"
        );
        assert_eq!(
            refusal(&format!("{TRADE}{TRADE}")),
            format!(
                "not a JSON object: expected nothing after the object at byte {}, found an object",
                TRADE.len()
            )
        );
    }

    #[test]
    fn every_cut_of_a_record_is_refused() {
        for end in 0..TRADE.len() {
            assert!(
                decode(&TRADE.as_bytes()[..end]).is_err(),
                "{}",
                &TRADE[..end]
            );
        }
    }

    #[test]
    fn broken_utf8_and_lone_surrogates_are_refused() {
        let mut record = TRADE.as_bytes().to_vec();
        record[12] = 0xff;
        let message = decode(&record).expect_err("not UTF-8").to_string();
        assert!(message.contains("expected UTF-8 at byte 12"), "{message}");
        assert!(refusal(&TRADE.replacen("r1", r"\ud800", 1)).contains("a pair of surrogates"));
        let pair = TRADE.replacen("r1", r"\ud83d\ude00", 1);
        assert_eq!(&*decode(pair.as_bytes()).expect("a tick").run, "😀");
    }

    #[test]
    fn deep_nesting_in_an_ignored_field_is_refused_without_recursion() {
        let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
        assert!(refusal(&deep).contains("at most 64 nested"));
    }

    proptest! {
        #[test]
        fn every_tick_reads_back(tick in samples::tick()) {
            let mut record = Vec::new();
            encode(&tick, &mut record);
            prop_assert_eq!(decode(&record), Ok(tick));
        }

        #[test]
        fn what_we_write_is_json_to_another_parser(tick in samples::tick()) {
            let mut record = Vec::new();
            encode(&tick, &mut record);
            let value: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
            prop_assert_eq!(value["symbol"].as_str(), Some(tick.symbol.as_str()));
            prop_assert_eq!(value["run"].as_str(), Some(&*tick.run));
            prop_assert_eq!(value["seq"].as_u64(), Some(tick.seq));
            prop_assert_eq!(value["ts_event_ns"].as_i64(), Some(tick.ts_event_ns));
            prop_assert_eq!(value["conditions"].as_str(), tick.conditions.as_deref());
        }

        #[test]
        fn any_bytes_are_answered_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_edit_of_a_record_is_answered_and_never_panics(
            at in 0..TRADE.len(), byte in any::<u8>(),
        ) {
            let mut record = TRADE.as_bytes().to_vec();
            record[at] = byte;
            let _ = decode(&record);
        }
    }
}
