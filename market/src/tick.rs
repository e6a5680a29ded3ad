//! The tick: one event of a market, as it travels and as it is kept.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::decimal::{DecimalError, Price, Size};

/// An instrument's name at its venue: 1 to 64 bytes without control characters, and without
/// white space at its ends. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Arc<str>);

/// A text that is no symbol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no symbol; a symbol has 1 to 64 bytes, no control characters and no white space \
     at its ends"
)]
pub struct SymbolError(String);

impl Symbol {
    /// Most bytes a symbol has.
    pub const MAX_BYTES: usize = 64;

    /// A symbol, if `text` is one.
    ///
    /// # Errors
    /// Where `text` is empty, too long, has control characters or white space at its ends.
    pub fn new(text: &str) -> Result<Symbol, SymbolError> {
        if Symbol::is_valid(text) {
            Ok(Symbol(Arc::from(text)))
        } else {
            Err(SymbolError(text.chars().take(80).collect()))
        }
    }

    /// Whether `text` is a symbol.
    pub fn is_valid(text: &str) -> bool {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > Symbol::MAX_BYTES {
            return false;
        }
        bytes.iter().all(u8::is_ascii_graphic)
            || (text.trim() == text && !text.chars().any(char::is_control))
    }

    /// The symbol's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For a text that a decoder has already judged.
    pub(crate) fn from_valid(text: &str) -> Symbol {
        debug_assert!(Symbol::is_valid(text));
        Symbol(Arc::from(text))
    }
}

impl Deref for Symbol {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Symbol {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, SymbolError> {
        Symbol::new(text)
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Symbol::new(&text).map_err(serde::de::Error::custom)
    }
}

/// A closed set of words, the same on the wire, in the lake and here.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident, $what:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// What a decoder expects, for its messages.
            pub(crate) const EXPECTED: &'static str = $what;

            /// The word for it on the wire and in the lake.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// The value that `word` stands for.
            pub fn from_word(word: &str) -> Option<$name> {
                match word {
                    $($word => Some($name::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::from_word(&word).ok_or_else(|| {
                    serde::de::Error::custom(format!("expected {}, found `{word}`", $what))
                })
            }
        }
    };
}

words! {
    /// What a tick tells.
    pub enum Kind, "one of trade, quote, bar, status, auction, correction, corporate_action, gap" {
        /// A trade: `price`, `size`, often `side` and `trade_id`.
        Trade = "trade",
        /// A top of book: `bid_price`, `bid_size`, `ask_price`, `ask_size`.
        Quote = "quote",
        /// A bar: `open`, `high`, `low`, `close`, `adj_close`, `volume`.
        Bar = "bar",
        /// A change of the market's state: `status`.
        Status = "status",
        /// An auction, or with [`INDICATIVE`] what it would be now: `status` says which, `price`
        /// and `size` what trades, `bid_size` or `ask_size` what is left over. What has traded is a
        /// trade of its own.
        Auction = "auction",
        /// A trade that is taken back or told anew: `trade_id` is that trade's, `status` is
        /// [`CANCEL`] or [`CORRECT`], `price` and `size` are what was cancelled, or what holds now.
        Correction = "correction",
        /// An event of the company: `status` is [`DIVIDEND`] with `price` a share, or [`SPLIT`]
        /// with `size` new shares for one old. `trade_date` is the first date without the right.
        CorporateAction = "corporate_action",
        /// Numbers of the feed that did not come: `source_seq` is the first of them, `size` how
        /// many, where that is known. Without a number anything may be missing.
        Gap = "gap",
    }
}

words! {
    /// Who started a trade.
    pub enum Side, "buy or sell" {
        /// The buyer took the ask.
        Buy = "buy",
        /// The seller took the bid.
        Sell = "sell",
    }
}

words! {
    /// The part of the trading day a tick belongs to.
    pub enum Session, "one of pre, regular, post" {
        /// Before the regular session opens.
        Pre = "pre",
        /// The regular session; all day in a 24x7 market.
        Regular = "regular",
        /// After the regular session closed.
        Post = "post",
    }
}

/// `source` of ticks that the simulator made.
pub const SIMULATED: &str = "simulated";
/// `source` of ticks replayed from a file.
pub const REPLAY: &str = "replay";
/// `status` of a status tick when a session opens.
pub const OPEN: &str = "open";
/// `status` of a status tick when a session closes.
pub const CLOSE: &str = "close";
/// `status` of a status tick when trading in a symbol halts.
pub const HALT: &str = "halt";
/// `status` of a status tick when trading in a symbol goes on after a halt.
pub const RESUME: &str = "resume";
/// `status` of an auction's record.
pub const OPENING: &str = "opening";
/// `status` of an auction's record.
pub const CLOSING: &str = "closing";
/// `status` of the record of the auction that ends a halt.
pub const REOPENING: &str = "reopening";
/// `status` of a correction that takes a trade back.
pub const CANCEL: &str = "cancel";
/// `status` of a correction that tells a trade anew.
pub const CORRECT: &str = "correct";
/// `status` of a corporate action that pays money.
pub const DIVIDEND: &str = "dividend";
/// `status` of a corporate action that changes the number of shares.
pub const SPLIT: &str = "split";
/// `conditions` of a simulated trade that is the opening auction's print: the code of the US
/// consolidated tape (CTA plan, sale conditions).
pub const OPENING_PRINT: &str = "O";
/// `conditions` of the closing auction's print.
pub const CLOSING_PRINT: &str = "6";
/// `conditions` of the print that ends a halt.
pub const REOPENING_PRINT: &str = "5";

/// `conditions` of a trade that is told late, out of its order.
pub const OUT_OF_SEQUENCE: &str = "Z";

/// `conditions` of a trade of less than a round lot, where the venue tells those apart.
pub const ODD_LOT: &str = "I";

/// Bit of `flags`: the trade is no last price.
pub const NOT_LAST: i32 = 1;
/// Bit of `flags`: the trade is neither a high nor a low.
pub const NOT_HIGH_LOW: i32 = 2;
/// Bit of `flags`: the trade's size is in no volume.
pub const NOT_VOLUME: i32 = 4;
/// Bit of `flags`: the auction has not traded yet.
pub const INDICATIVE: i32 = 8;

/// What of a bar a trade counts for. Bars and reports obey it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updates {
    /// Open and close.
    pub last: bool,
    /// High and low.
    pub high_low: bool,
    /// Volume and VWAP.
    pub volume: bool,
}

impl Updates {
    /// What `flags` say; without flags a trade counts for everything.
    pub const fn of(flags: Option<i32>) -> Updates {
        let flags = match flags {
            Some(flags) => flags,
            None => 0,
        };
        Updates {
            last: flags & NOT_LAST == 0,
            high_low: flags & NOT_HIGH_LOW == 0,
            volume: flags & NOT_VOLUME == 0,
        }
    }
}

/// The flags of a trade with these comma-separated sale conditions of the US consolidated tape; an
/// unknown code says nothing.
///
/// After the tables "sale conditions" and "consolidated processing" of the Consolidated Tape
/// System's and the UTP plan's specifications. Codes that count for the last price only where
/// nothing else has traded (4, P, Z) do not.
pub fn flags_of(conditions: &str) -> i32 {
    let of = |code: &str| match code.trim() {
        "4" | "P" | "Z" => NOT_LAST,
        "7" | "B" | "C" | "H" | "I" | "N" | "R" | "T" | "U" | "V" | "W" => NOT_LAST | NOT_HIGH_LOW,
        "9" => NOT_VOLUME,
        "M" | "Q" => NOT_LAST | NOT_HIGH_LOW | NOT_VOLUME,
        _ => 0,
    };
    conditions
        .split(',')
        .map(of)
        .fold(0, |all, flags| all | flags)
}

/// One event of a market. Which of the optional fields are present depends on `kind`. Times are nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The instrument; the Kafka key.
    pub symbol: Symbol,
    /// The venue's MIC (ISO 10383).
    pub venue: Option<Arc<str>>,
    /// What produced the tick: [`SIMULATED`], [`REPLAY`], or a feed's name.
    pub source: Arc<str>,
    /// What the tick tells.
    pub kind: Kind,
    /// The producer's run, within which `seq` counts.
    pub run: Arc<str>,
    /// Ours: contiguous per (`run`, `symbol`) from 0; at most `i64::MAX`.
    pub seq: u64,
    /// The feed's own sequence number, as it came; at most `i64::MAX`.
    pub source_seq: Option<u64>,
    /// When it happened at the venue.
    pub ts_event_ns: i64,
    /// When the feed's receiver had it.
    pub ts_recv_ns: Option<i64>,
    /// When the producer sent it to Kafka (wall clock).
    pub ts_ingest_ns: Option<i64>,
    /// The exchange's date that it counts for (years 0 to 9999).
    pub trade_date: Date,
    /// The part of the trading day.
    pub session: Option<Session>,
    /// ISO 4217 code of the prices' currency.
    pub currency: Option<Arc<str>>,
    /// Price of a trade.
    pub price: Option<Price>,
    /// Size of a trade.
    pub size: Option<Size>,
    /// Who started the trade.
    pub side: Option<Side>,
    /// The venue's name for the trade.
    pub trade_id: Option<Arc<str>>,
    /// Best bid.
    pub bid_price: Option<Price>,
    /// Size at the best bid.
    pub bid_size: Option<Size>,
    /// Best ask.
    pub ask_price: Option<Price>,
    /// Size at the best ask.
    pub ask_size: Option<Size>,
    /// First price of a bar.
    pub open: Option<Price>,
    /// Highest price of a bar.
    pub high: Option<Price>,
    /// Lowest price of a bar.
    pub low: Option<Price>,
    /// Last price of a bar.
    pub close: Option<Price>,
    /// Last price of a bar, adjusted for splits and dividends.
    pub adj_close: Option<Price>,
    /// Units traded within a bar.
    pub volume: Option<Size>,
    /// The market's new state: [`OPEN`], [`CLOSE`], [`HALT`], [`RESUME`], or a feed's word.
    pub status: Option<Arc<str>>,
    /// The venue's condition codes, comma-separated, as they came.
    pub conditions: Option<Arc<str>>,
    /// Bits: [`NOT_LAST`], [`NOT_HIGH_LOW`], [`NOT_VOLUME`], [`INDICATIVE`]; none is as 0.
    pub flags: Option<i32>,
}

impl Tick {
    /// A tick with what every tick has, and nothing else.
    pub fn new(
        symbol: Symbol,
        source: Arc<str>,
        kind: Kind,
        run: Arc<str>,
        seq: u64,
        ts_event_ns: i64,
        trade_date: Date,
    ) -> Tick {
        Tick {
            symbol,
            venue: None,
            source,
            kind,
            run,
            seq,
            source_seq: None,
            ts_event_ns,
            ts_recv_ns: None,
            ts_ingest_ns: None,
            trade_date,
            session: None,
            currency: None,
            price: None,
            size: None,
            side: None,
            trade_id: None,
            bid_price: None,
            bid_size: None,
            ask_price: None,
            ask_size: None,
            open: None,
            high: None,
            low: None,
            close: None,
            adj_close: None,
            volume: None,
            status: None,
            conditions: None,
            flags: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_real_venues_are_symbols() {
        for text in ["AAPL", "BRK.B", "BTC-USD", "^GSPC", "ES=F", "BF B", "日本"] {
            assert!(Symbol::new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn blank_padded_long_and_control_texts_are_no_symbols() {
        for text in ["", " ", "A ", "\tA", "A\nB", &"A".repeat(65)] {
            assert!(Symbol::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn flags_follow_from_the_tapes_sale_conditions() {
        for (conditions, last, high_low, volume) in [
            ("", true, true, true),
            ("@", true, true, true),
            ("O", true, true, true),
            ("6", true, true, true),
            ("Z", false, true, true),
            ("F, I", false, false, true),
            ("T,I", false, false, true),
            ("M", false, false, false),
            ("9", true, true, false),
        ] {
            let updates = Updates {
                last,
                high_low,
                volume,
            };
            let flags = flags_of(conditions);
            assert_eq!(Updates::of(Some(flags)), updates, "{conditions}");
        }
        assert_eq!(Updates::of(None), Updates::of(Some(0)));
    }

    #[test]
    fn every_word_reads_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.as_str()), Some(*kind));
        }
        for side in Side::ALL {
            assert_eq!(Side::from_word(side.as_str()), Some(*side));
        }
        for session in Session::ALL {
            assert_eq!(Session::from_word(session.as_str()), Some(*session));
        }
    }
}
