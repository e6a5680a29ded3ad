//! What a feed's messages mean: ticks, numbers, answers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;
use stockpipe_crds::live::{ConditionSpec, FeedSpec, FeedTime, MessageMeaning, MessageSpec};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{
    self, CANCEL, CORRECT, Kind, Price, Side, Size, Symbol, Tick, flags_of,
};

use super::json::{self, Message};
use crate::produce::pace::Nanos;
use crate::produce::replay::session_at;

/// An event that is further ahead of our clock is none.
const AHEAD: Nanos = 3600 * 1_000_000_000;

/// Something that a message says.
#[derive(Debug)]
pub enum Item {
    /// A tick; its `seq` is left at 0.
    Tick {
        /// The tick.
        tick: Box<Tick>,
        /// Whether it may be of before the subscription.
        past: bool,
    },
    /// The number of a symbol's last trade.
    Last {
        /// The symbol.
        symbol: Symbol,
        /// The number.
        number: u64,
    },
    /// An answer of the feed.
    Answer(Answer),
    /// What cannot be read: why, and the text. Both may hold what is secret.
    Bad(String, String),
    /// A message of no known meaning.
    Unknown,
}

/// An answer of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A sign of life.
    Heartbeat,
    /// The login is taken.
    LoggedIn,
    /// A subscription is taken.
    Subscribed,
    /// It will end the connection.
    Closing,
    /// Too much, too often, too many.
    Throttled(String),
    /// An error that passes.
    Failed(String),
    /// An error that stays.
    Refused(String),
}

/// Reads the messages of one feed.
pub struct Reader {
    feed: FeedSpec,
    source: Arc<str>,
    run: Arc<str>,
    calendar: Calendar,
    /// The symbols that were asked for, by their text in lower case.
    symbols: HashMap<String, Symbol>,
}

impl Reader {
    /// A reader of `feed`; ticks name `source` and are of `run`.
    pub fn new(
        feed: FeedSpec,
        symbols: &[Symbol],
        calendar: Calendar,
        source: &str,
        run: &str,
    ) -> Self {
        Self {
            feed,
            source: source.into(),
            run: run.into(),
            calendar,
            symbols: symbols
                .iter()
                .map(|symbol| (symbol.to_ascii_lowercase(), symbol.clone()))
                .collect(),
        }
    }

    /// What the text of one message says, received at `now`.
    pub fn read(&self, text: &str, now: Nanos) -> Vec<Item> {
        let bad = |why: &str| vec![Item::Bad(why.to_owned(), text.to_owned())];
        let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
            return bad("is not JSON");
        };
        match raw.get().as_bytes().first() {
            Some(b'{') => self.message(raw, now),
            Some(b'[') => match json::elements(raw) {
                Some(elements) => elements
                    .into_iter()
                    .flat_map(|element| self.message(element, now))
                    .collect(),
                None => bad("is not JSON"),
            },
            _ => bad("is neither a JSON object nor an array of them"),
        }
    }

    fn message(&self, raw: &RawValue, now: Nanos) -> Vec<Item> {
        let Some(message) = Message::new(raw) else {
            return vec![Item::Bad(
                "is no JSON object".to_owned(),
                raw.get().to_owned(),
            )];
        };
        let fits = |spec: &&MessageSpec| spec.when.iter().all(|when| holds(when, &message));
        let Some(spec) = self.feed.messages.iter().find(fits) else {
            return vec![Item::Unknown];
        };
        let said = || {
            let texts = spec.text.iter().filter_map(|at| message.text(at.as_str()));
            let said: Vec<_> = texts.collect();
            if said.is_empty() {
                raw.get().to_owned()
            } else {
                said.join(": ")
            }
        };
        let answer = match spec.is {
            MessageMeaning::Heartbeat => Answer::Heartbeat,
            MessageMeaning::LoggedIn => Answer::LoggedIn,
            MessageMeaning::Subscribed => Answer::Subscribed,
            MessageMeaning::Closing => Answer::Closing,
            MessageMeaning::Throttled => Answer::Throttled(said()),
            MessageMeaning::Failed => Answer::Failed(said()),
            MessageMeaning::Refused => Answer::Refused(said()),
            MessageMeaning::Trade
            | MessageMeaning::Quote
            | MessageMeaning::Cancel
            | MessageMeaning::Correction
            | MessageMeaning::LastTrade => return self.events(spec, &message, raw, now),
        };
        vec![Item::Answer(answer)]
    }

    /// The ticks or numbers of a message: one, or one for each element of its array.
    fn events(
        &self,
        spec: &MessageSpec,
        message: &Message<'_>,
        raw: &RawValue,
        now: Nanos,
    ) -> Vec<Item> {
        let read = |message: &Message<'_>, raw: &RawValue| {
            self.event(spec, message, now)
                .unwrap_or_else(|why| Item::Bad(why, raw.get().to_owned()))
        };
        let Some(each) = &spec.each else {
            return vec![read(message, raw)];
        };
        let Some(elements) = message.at(each.as_str()).and_then(json::elements) else {
            let why = format!("has no array at {each}");
            return vec![Item::Bad(why, raw.get().to_owned())];
        };
        let elements = elements.into_iter().map(|raw| match Message::new(raw) {
            Some(message) => read(&message, raw),
            None => Item::Bad(
                format!("has an element at {each} that is no object"),
                raw.get().to_owned(),
            ),
        });
        elements.collect()
    }

    fn event(&self, spec: &MessageSpec, message: &Message<'_>, now: Nanos) -> Result<Item, String> {
        let at = |pointer: &Option<_>| text_at(message, pointer.as_ref());
        let name = at(&spec.symbol).ok_or_else(|| "has no symbol".to_owned())?;
        let symbol = match self.symbols.get(&*name.to_ascii_lowercase()) {
            Some(symbol) => symbol.clone(),
            None => Symbol::new(&name).map_err(|e| e.to_string())?,
        };
        let number = match at(&spec.source_seq) {
            None => None,
            Some(text) => Some(
                text.parse::<u64>()
                    .ok()
                    .filter(|number| i64::try_from(*number).is_ok())
                    .ok_or_else(|| format!("has `{text}` for a number"))?,
            ),
        };
        if spec.is == MessageMeaning::LastTrade {
            let number = number.ok_or_else(|| "has no number".to_owned())?;
            return Ok(Item::Last { symbol, number });
        }
        let event = match at(&spec.time) {
            None => now,
            Some(text) => instant(&text, self.feed.time_format)
                .ok_or_else(|| format!("has `{text}` for a time"))?,
        };
        if event > now.saturating_add(AHEAD) {
            return Err(format!(
                "happened {} s ahead of this machine's clock; set the clock, or source.live.feed.timeFormat",
                (event - now) / 1_000_000_000
            ));
        }
        let kind = match spec.is {
            MessageMeaning::Quote => Kind::Quote,
            MessageMeaning::Cancel | MessageMeaning::Correction => Kind::Correction,
            _ => Kind::Trade,
        };
        let mut tick = Tick::new(
            symbol,
            Arc::clone(&self.source),
            kind,
            Arc::clone(&self.run),
            0,
            event,
            self.calendar.trade_date_at(event),
        );
        tick.ts_recv_ns = Some(now);
        tick.session = session_at(self.calendar, event);
        tick.source_seq = number;
        tick.price = price(at(&spec.price))?;
        tick.size = size(at(&spec.size))?;
        tick.bid_price = price(at(&spec.bid_price))?;
        tick.bid_size = size(at(&spec.bid_size))?;
        tick.ask_price = price(at(&spec.ask_price))?;
        tick.ask_size = size(at(&spec.ask_size))?;
        tick.venue = at(&spec.venue).map(|venue| Arc::from(&*venue));
        tick.trade_id = at(&spec.trade_id).map(|id| Arc::from(&*id));
        if let Some(side) = &spec.side
            && let Some(text) = text_at(message, Some(&side.path))
        {
            tick.side = match text {
                text if text == side.buy.as_str() => Some(Side::Buy),
                text if text == side.sell.as_str() => Some(Side::Sell),
                _ => None,
            };
        }
        if let Some(pointer) = &spec.conditions {
            tick.conditions = message.at(pointer.as_str()).and_then(conditions);
        }
        if self.feed.tape_conditions
            && kind == Kind::Trade
            && let Some(conditions) = &tick.conditions
        {
            tick.flags = Some(flags_of(conditions)).filter(|flags| *flags != 0);
        }
        tick.status = match spec.is {
            MessageMeaning::Cancel => Some(CANCEL.into()),
            MessageMeaning::Correction => Some(CORRECT.into()),
            _ => None,
        };
        complete(&tick)?;
        Ok(Item::Tick {
            tick: Box::new(tick),
            past: spec.past,
        })
    }
}

/// What its kind asks of a tick.
fn complete(tick: &Tick) -> Result<(), String> {
    let lacks = match tick.kind {
        Kind::Quote if tick.bid_price.is_none() && tick.ask_price.is_none() => "bid or ask",
        Kind::Trade if tick.price.is_none() => "price",
        Kind::Correction if tick.trade_id.is_none() => "trade id",
        _ => return Ok(()),
    };
    Err(format!("has no {lacks}"))
}

fn text_at<'a>(message: &Message<'a>, pointer: Option<&impl AsRef<str>>) -> Option<Cow<'a, str>> {
    message.text(pointer?.as_ref())
}

fn holds(when: &ConditionSpec, message: &Message<'_>) -> bool {
    let Some(value) = message.at(when.path.as_str()) else {
        return false;
    };
    if when.equals.is_empty() && when.contains.is_empty() {
        return true;
    }
    let Some(text) = json::text(value) else {
        return false;
    };
    let equal = when.equals.iter().any(|wanted| wanted.as_str() == text);
    let lower = text.to_lowercase();
    let mut contained = when.contains.iter();
    (when.equals.is_empty() || equal)
        && (when.contains.is_empty()
            || contained.any(|wanted| lower.contains(&wanted.as_str().to_lowercase())))
}

fn price(text: Option<Cow<'_, str>>) -> Result<Option<tick::Price>, String> {
    text.map(|text| Price::parse(text.as_bytes()).map_err(|e| e.to_string()))
        .transpose()
}

fn size(text: Option<Cow<'_, str>>) -> Result<Option<tick::Size>, String> {
    text.map(|text| Size::parse(text.as_bytes()).map_err(|e| e.to_string()))
        .transpose()
}

/// A text as it is; an array's elements with commas between.
fn conditions(raw: &RawValue) -> Option<Arc<str>> {
    let joined = match json::elements(raw) {
        Some(elements) => elements
            .into_iter()
            .filter_map(json::text)
            .collect::<Vec<_>>()
            .join(","),
        None => json::text(raw)?.into_owned(),
    };
    Some(joined.trim())
        .filter(|text| !text.is_empty())
        .map(Arc::from)
}

/// Nanoseconds since 1970, without a float between.
fn instant(text: &str, format: FeedTime) -> Option<Nanos> {
    let digits = match format {
        FeedTime::Rfc3339 => {
            let at: Timestamp = text.parse().ok()?;
            return i64::try_from(at.as_nanosecond()).ok();
        }
        FeedTime::Seconds => 9,
        FeedTime::Milliseconds => 6,
        FeedTime::Microseconds => 3,
        FeedTime::Nanoseconds => 0,
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty()
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let fraction: String = fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(digits)
        .collect();
    format!("{whole}{fraction}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_without_a_float() {
        for (text, format, expected) in [
            (
                "1700000000123",
                FeedTime::Milliseconds,
                Some(1_700_000_000_123_000_000),
            ),
            (
                "1700000000.123456789",
                FeedTime::Seconds,
                Some(1_700_000_000_123_456_789),
            ),
            (
                "1700000000",
                FeedTime::Seconds,
                Some(1_700_000_000_000_000_000),
            ),
            (
                "1700000000123456",
                FeedTime::Microseconds,
                Some(1_700_000_000_123_456_000),
            ),
            (
                "1700000000123456789",
                FeedTime::Nanoseconds,
                Some(1_700_000_000_123_456_789),
            ),
            (
                "2023-11-14T22:13:20.123456789Z",
                FeedTime::Rfc3339,
                Some(1_700_000_000_123_456_789),
            ),
            ("17e9", FeedTime::Seconds, None),
            ("", FeedTime::Milliseconds, None),
            ("-5", FeedTime::Milliseconds, None),
            ("yesterday", FeedTime::Rfc3339, None),
        ] {
            assert_eq!(instant(text, format), expected, "{text}");
        }
    }
}
