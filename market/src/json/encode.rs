//! Writing a tick as JSON, straight into the buffer.

use jiff::civil::Date;

use crate::date;
use crate::field::Field;
use crate::tick::{Price, Size, Tick};

/// Appends the tick as one JSON object, without a line end. Allocates nothing but what `out`
/// grows by.
pub fn encode(tick: &Tick, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut object = Object { out };
    object.text(Field::Symbol, Some(&tick.symbol));
    object.text(Field::Venue, tick.venue.as_deref());
    object.text(Field::Source, Some(&tick.source));
    object.word(Field::Kind, Some(tick.kind.as_str()));
    object.text(Field::Run, Some(&tick.run));
    object.integer(Field::Seq, Some(tick.seq));
    object.integer(Field::SourceSeq, tick.source_seq);
    object.integer(Field::TsEventNs, Some(tick.ts_event_ns));
    object.integer(Field::TsRecvNs, tick.ts_recv_ns);
    object.integer(Field::TsIngestNs, tick.ts_ingest_ns);
    object.date(Field::TradeDate, tick.trade_date);
    object.word(Field::Session, tick.session.map(|session| session.as_str()));
    object.text(Field::Currency, tick.currency.as_deref());
    object.price(Field::Price, tick.price);
    object.size(Field::Size, tick.size);
    object.word(Field::Side, tick.side.map(|side| side.as_str()));
    object.text(Field::TradeId, tick.trade_id.as_deref());
    object.price(Field::BidPrice, tick.bid_price);
    object.size(Field::BidSize, tick.bid_size);
    object.price(Field::AskPrice, tick.ask_price);
    object.size(Field::AskSize, tick.ask_size);
    object.price(Field::Open, tick.open);
    object.price(Field::High, tick.high);
    object.price(Field::Low, tick.low);
    object.price(Field::Close, tick.close);
    object.price(Field::AdjClose, tick.adj_close);
    object.size(Field::Volume, tick.volume);
    object.text(Field::Status, tick.status.as_deref());
    object.text(Field::Conditions, tick.conditions.as_deref());
    object.integer(Field::Flags, tick.flags);
    out.push(b'}');
}

/// An object being written; its opening brace is there already.
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl Object<'_> {
    #[inline]
    fn name(&mut self, field: Field) {
        if field != Field::Symbol {
            self.out.push(b',');
        }
        self.out.extend_from_slice(field.json_name().as_bytes());
    }

    #[inline]
    fn text(&mut self, field: Field, text: Option<&str>) {
        if let Some(text) = text {
            self.name(field);
            write_string(text, self.out);
        }
    }

    /// A text that needs no escapes.
    #[inline]
    fn word(&mut self, field: Field, word: Option<&'static str>) {
        if let Some(word) = word {
            self.name(field);
            self.out.push(b'"');
            self.out.extend_from_slice(word.as_bytes());
            self.out.push(b'"');
        }
    }

    #[inline]
    fn integer<I: itoa::Integer>(&mut self, field: Field, value: Option<I>) {
        if let Some(value) = value {
            self.name(field);
            self.out
                .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }

    #[inline]
    fn date(&mut self, field: Field, date: Date) {
        self.name(field);
        self.out.push(b'"');
        date::write(date, self.out);
        self.out.push(b'"');
    }

    #[inline]
    fn price(&mut self, field: Field, price: Option<Price>) {
        if let Some(price) = price {
            self.name(field);
            price.write(self.out);
        }
    }

    #[inline]
    fn size(&mut self, field: Field, size: Option<Size>) {
        if let Some(size) = size {
            self.name(field);
            size.write(self.out);
        }
    }
}

/// Appends a JSON string. Escapes what RFC 8259 section 7 requires and nothing else.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}
