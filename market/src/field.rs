//! The names of a tick's fields, in the order of the table's columns.

use std::fmt;

macro_rules! fields {
    ($( $variant:ident = $name:literal, $doc:literal; )+) => {
        /// A field of a tick, which is also a column of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $( #[doc = $doc] $variant, )+
        }

        impl Field {
            /// Every field, in the order of the table's columns.
            pub const ALL: &'static [Field] = &[$(Field::$variant),+];

            /// The name on the wire and in the table.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Field::$variant => $name,)+
                }
            }

            /// How a JSON object writes the name: in quotes, with the colon.
            pub(crate) const fn json_name(self) -> &'static str {
                match self {
                    $(Field::$variant => concat!("\"", $name, "\":"),)+
                }
            }

            /// The field of that name.
            pub fn from_name(name: &str) -> Option<Field> {
                match name {
                    $($name => Some(Field::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Symbol = "symbol", "The instrument.";
    Venue = "venue", "The venue's MIC.";
    Source = "source", "What produced the tick.";
    Kind = "kind", "What the tick tells.";
    Run = "run", "The producer's run.";
    Seq = "seq", "Our number within (run, symbol).";
    SourceSeq = "source_seq", "The feed's number.";
    TsEvent = "ts_event", "Event time in milliseconds; only in the table, derived from `ts_event_ns`.";
    TsEventNs = "ts_event_ns", "Event time in nanoseconds.";
    TsRecvNs = "ts_recv_ns", "Receive time in nanoseconds.";
    TsIngestNs = "ts_ingest_ns", "Send time in nanoseconds.";
    TradeDate = "trade_date", "The exchange's date.";
    Session = "session", "The part of the trading day.";
    Currency = "currency", "The prices' currency.";
    Price = "price", "Price of a trade.";
    Size = "size", "Size of a trade.";
    Side = "side", "Who started the trade.";
    TradeId = "trade_id", "The venue's name for the trade.";
    BidPrice = "bid_price", "Best bid.";
    BidSize = "bid_size", "Size at the best bid.";
    AskPrice = "ask_price", "Best ask.";
    AskSize = "ask_size", "Size at the best ask.";
    Open = "open", "First price of a bar.";
    High = "high", "Highest price of a bar.";
    Low = "low", "Lowest price of a bar.";
    Close = "close", "Last price of a bar.";
    AdjClose = "adj_close", "Adjusted last price of a bar.";
    Volume = "volume", "Units traded within a bar.";
    Status = "status", "The market's new state.";
    Conditions = "conditions", "Condition codes.";
    Flags = "flags", "Bits that say what of a bar a trade counts for.";
}

impl Field {
    /// The bit of this field in a set of fields.
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// The field that follows on the wire, where none is left out; the last follows itself.
    pub(crate) fn next_on_wire(self) -> Field {
        match self {
            // `ts_event` is the table's alone.
            Field::SourceSeq => Field::TsEventNs,
            _ => *Field::ALL.get(self as usize + 1).unwrap_or(&self),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_no_other() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(*field));
            assert_eq!(Field::from_name(&field.name().to_uppercase()), None);
        }
        assert_eq!(Field::from_name(""), None);
    }
}
