//! The fields of a tick that a column may be mapped to.

use stockpipe_crds::pipeline::{ColumnSource, Columns};
use stockpipe_market::tick::{Kind, Price, Side, Size, Tick};

use super::mapping::MappingError;

/// What a mapped field is.
#[derive(Clone, Copy)]
pub enum Set {
    /// A price.
    Price(fn(&mut Tick, Price)),
    /// A size or volume.
    Size(fn(&mut Tick, Size)),
    /// Any other text.
    Text(fn(&mut Tick, &str) -> Result<(), String>),
}

macro_rules! price {
    ($field:ident) => {
        Set::Price(|tick, price| tick.$field = Some(price))
    };
}

macro_rules! size {
    ($field:ident) => {
        Set::Size(|tick, size| tick.$field = Some(size))
    };
}

macro_rules! text {
    ($field:ident) => {
        Set::Text(|tick, text| {
            tick.$field = Some(text.into());
            Ok(())
        })
    };
}

/// The fields that a column may be mapped to, by the tick's column names.
#[must_use]
pub fn setter(field: &str) -> Option<Set> {
    Some(match field {
        "open" => price!(open),
        "high" => price!(high),
        "low" => price!(low),
        "close" => price!(close),
        "adj_close" => price!(adj_close),
        "volume" => size!(volume),
        "price" => price!(price),
        "size" => size!(size),
        "bid_price" => price!(bid_price),
        "bid_size" => size!(bid_size),
        "ask_price" => price!(ask_price),
        "ask_size" => size!(ask_size),
        "currency" => text!(currency),
        "venue" => text!(venue),
        "trade_id" => text!(trade_id),
        "conditions" => text!(conditions),
        "side" => Set::Text(|tick, text| {
            tick.side = Some(match text.to_ascii_lowercase().as_str() {
                "buy" | "b" => Side::Buy,
                "sell" | "s" => Side::Sell,
                _ => return Err(format!("`{text}` is no side; write buy or sell")),
            });
            Ok(())
        }),
        "source_seq" => Set::Text(|tick, text| {
            let number = text
                .parse()
                .ok()
                .filter(|n: &u64| i64::try_from(*n).is_ok());
            tick.source_seq = Some(number.ok_or_else(|| {
                format!("`{text}` is no sequence number; write a whole number from 0")
            })?);
            Ok(())
        }),
        _ => return None,
    })
}

/// The headers that `columns` names.
#[must_use]
pub fn wanted(columns: &Columns) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    let all = [&columns.symbol, &columns.date, &columns.time];
    for source in all.into_iter().chain(columns.fields.values()) {
        if let ColumnSource::Header(header) = source
            && !headers.contains(header)
        {
            headers.push(header.clone());
        }
    }
    headers
}

/// The kind of tick that the mapped fields make.
///
/// # Errors
/// Where they make none, or more than one.
pub fn kind_of(columns: &Columns) -> Result<Kind, MappingError> {
    let mapped = |name: &str| {
        columns
            .fields
            .get(name)
            .is_some_and(|source| *source != ColumnSource::None)
    };
    let trade = mapped("price");
    let quote = mapped("bid_price") || mapped("ask_price");
    let bar = ["open", "high", "low", "close", "adj_close"]
        .into_iter()
        .any(mapped);
    match (trade, quote, bar) {
        (true, false, false) => Ok(Kind::Trade),
        (false, true, false) => Ok(Kind::Quote),
        (false, false, true) => Ok(Kind::Bar),
        (false, false, false) => Err(MappingError::Kind("no price".to_owned())),
        _ => Err(MappingError::Kind(
            "fields of more than one kind of tick".to_owned(),
        )),
    }
}

/// What a row of no price lacks.
#[must_use]
pub fn without_price(tick: &Tick) -> Option<&'static str> {
    match tick.kind {
        Kind::Trade if tick.price.is_none() => {
            Some("the row has no price, which a trade needs: leave it out")
        }
        Kind::Quote if tick.bid_price.is_none() && tick.ask_price.is_none() => {
            Some("the row has neither bid nor ask, one of which a quote needs: leave it out")
        }
        Kind::Bar
            if [tick.open, tick.high, tick.low, tick.close, tick.adj_close]
                .iter()
                .all(Option::is_none) =>
        {
            Some("the row has no price, of which a bar needs one: leave it out")
        }
        _ => None,
    }
}
