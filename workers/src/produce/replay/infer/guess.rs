//! What is thought of a file: its numbers, its columns, its times.

use std::collections::BTreeMap;

use serde_norway::{Mapping, Value};
use stockpipe_crds::pipeline::{Dialect, Thousands};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{Size, Symbol};

use super::super::number::{self, Quantity, USUALLY_MISSING};
use super::super::place::Item;
use super::sample::Sample;
use super::{roles, times};
use crate::produce::FeedError;

/// Columns that only ticks of stockpipe's own have all of.
const TICKS: [&str; 6] = ["symbol", "kind", "run", "seq", "ts_event_ns", "trade_date"];

/// What is thought of a file.
pub struct Guess {
    /// `source.replay.columns`.
    pub columns: Mapping,
    /// What else `source.replay` says.
    pub settings: Mapping,
    /// Whether rows are sorted.
    pub sort: bool,
    /// What the file does not tell.
    pub unsure: Vec<String>,
}

impl Guess {
    /// Looks at the first rows of `item`.
    ///
    /// # Errors
    /// Where no column is a time or a price.
    pub fn new(sample: &Sample, item: &Item, calendar: Calendar) -> Result<Self, FeedError> {
        let mut guess = Self {
            columns: Mapping::new(),
            settings: Mapping::new(),
            sort: false,
            unsure: Vec::new(),
        };
        if TICKS
            .iter()
            .all(|name| sample.names.iter().any(|n| n == name))
        {
            guess
                .unsure
                .push("these are ticks as stockpipe writes them, which need no columns".to_owned());
            return Ok(guess);
        }
        let (dialect, missing) = guess.numbers(sample);
        let mut fields = guess.fields(sample, &dialect, &missing);
        guess.symbol(&fields, sample, item);
        guess.times(&mut fields, sample, item, calendar)?;
        for (field, at) in &fields {
            if !["symbol", "date", "time"].contains(field) {
                guess
                    .columns
                    .insert((*field).into(), sample.references[*at].as_str().into());
            }
        }
        let priced = ["price", "close", "bidPrice", "askPrice"];
        if !priced.iter().any(|p| fields.contains_key(p)) {
            return Err(FeedError(format!(
                "{}: no column looks like a price: it has {}; name them yourself in source.replay.columns",
                item.name,
                sample.names.join(", ")
            )));
        }
        if let Some(csv) = &sample.csv {
            let word = match csv.delimiter {
                b';' => "Semicolon",
                b'\t' => "Tab",
                b'|' => "Pipe",
                _ => "Comma",
            };
            if !csv.header {
                guess.set("header", false);
                guess.set("delimiter", word);
                guess.unsure.push("the first line has values, so that there is no header: columns are named by their place".to_owned());
            } else if word != "Comma" {
                guess.set("delimiter", word);
            }
        }
        Ok(guess)
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.into(), value.into());
    }

    /// How numbers are written, and which cells hold none.
    fn numbers(&mut self, sample: &Sample) -> (Dialect, Vec<String>) {
        let mut missing: Vec<String> = Vec::new();
        let mut texts: Vec<Vec<&str>> = Vec::new();
        for at in (0..sample.names.len()).filter(|at| !sample.typed[*at]) {
            let is_missing =
                |cell: &&str| USUALLY_MISSING.contains(&cell.to_ascii_lowercase().as_str());
            let (none, some): (Vec<&str>, Vec<&str>) = sample.column(at).partition(is_missing);
            let looks_numeric = |cell: &&str| {
                cell.bytes().filter(u8::is_ascii_digit).count() * 2 >= cell.len()
                    && !times::is_time(cell)
            };
            if some.is_empty() || !some.iter().all(looks_numeric) {
                continue;
            }
            for cell in none {
                if !missing.iter().any(|m| m == cell) {
                    missing.push(cell.to_owned());
                }
            }
            texts.push(some);
        }
        const DIALECTS: [(u8, Option<Thousands>, &str); 7] = [
            (b'.', None, ""),
            (b'.', Some(Thousands::Comma), "Comma"),
            (b',', None, ""),
            (b',', Some(Thousands::Point), "Point"),
            (b',', Some(Thousands::Space), "Space"),
            (b'.', Some(Thousands::Space), "Space"),
            (b'.', Some(Thousands::Apostrophe), "Apostrophe"),
        ];
        let read = |decimal: u8, thousands| {
            let dialect = Dialect {
                decimal,
                thousands,
                ..Dialect::default()
            };
            let fits = |cell: &&str| is_number(cell, &dialect, Quantity::Size);
            texts.iter().flatten().filter(|cell| fits(cell)).count()
        };
        let mut best = (DIALECTS[0], read(b'.', None));
        let mut rival = None;
        for dialect in &DIALECTS[1..] {
            let count = read(dialect.0, dialect.1);
            if count > best.1 {
                best = (*dialect, count);
                rival = None;
            } else if count == best.1 && best.0.0 != dialect.0 && best.0.1.is_some() {
                rival = Some(dialect.0);
            }
        }
        let ((decimal, thousands, word), _) = best;
        if decimal == b',' {
            self.set("decimal", "Comma");
        }
        if thousands.is_some() {
            self.set("thousands", word);
        }
        if rival.is_some() {
            self.unsure.push(format!(
                "in numbers such as {} the mark is taken to group thousands; where it stands before decimals, write \
                 decimal: Comma and leave thousands out",
                texts.iter().flatten().find(|t| t.contains([',', '.'])).unwrap_or(&"1,234")
            ));
        }
        if !missing.is_empty() {
            self.set("missing", missing.clone());
            self.unsure.push(format!(
                "cells that say {} are taken to hold no value",
                missing.join(", ")
            ));
        }
        let dialect = Dialect {
            decimal,
            thousands,
            ..Dialect::default()
        };
        (dialect, missing)
    }

    /// Which column is which field.
    fn fields(
        &mut self,
        sample: &Sample,
        dialect: &Dialect,
        missing: &[String],
    ) -> BTreeMap<&'static str, usize> {
        let holds_numbers = |at: usize, quantity| {
            let mut cells = sample
                .column(at)
                .filter(|c| !missing.iter().any(|m| m == c))
                .peekable();
            cells.peek().is_some()
                && cells.all(|c| sample.typed[at] || is_number(c, dialect, quantity))
        };
        let mut fields = BTreeMap::new();
        if sample.csv.as_ref().is_some_and(|csv| !csv.header) {
            by_content(sample, &holds_numbers, &mut fields);
            self.unsure
                .push("which column is which is guessed from what they hold".to_owned());
        } else {
            for (at, name) in sample.names.iter().enumerate() {
                if let Some(field) = roles::field_of(name) {
                    fields.entry(field).or_insert(at);
                }
            }
        }
        // One kind of tick a file.
        let has = |fields: &BTreeMap<&str, usize>, names: &[&str]| {
            names.iter().any(|n| fields.contains_key(n))
        };
        let bars = ["open", "high", "low", "close", "adjClose"];
        let quotes = ["bidPrice", "bidSize", "askPrice", "askSize"];
        let trades = ["price", "size", "side", "tradeId", "conditions"];
        let (mut drop, mut kept) = (Vec::new(), "");
        if has(&fields, &["open", "high", "low"]) && has(&fields, &["close"]) {
            (drop, kept) = ([&quotes[..], &trades[..]].concat(), "bars");
        } else if has(&fields, &["price"]) {
            if !fields.contains_key("size")
                && let Some(volume) = fields.remove("volume")
            {
                fields.insert("size", volume);
            }
            (drop, kept) = ([&bars[..], &quotes[..], &["volume"]].concat(), "trades");
        } else if has(&fields, &["bidPrice", "askPrice"]) {
            (drop, kept) = ([&bars[..], &trades[..], &["volume"]].concat(), "quotes");
        }
        let other = drop.iter().any(|d| {
            ["price", "bidPrice", "askPrice", "close"].contains(d) && fields.contains_key(d)
        });
        if other {
            self.unsure.push(format!(
                "the rows hold more than one kind of tick; they are read as {kept}"
            ));
        }
        fields.retain(|field, _| !drop.contains(field));
        fields
    }

    fn symbol(&mut self, fields: &BTreeMap<&'static str, usize>, sample: &Sample, item: &Item) {
        let value: Value = if let Some(at) = fields.get("symbol") {
            sample.references[*at].as_str().into()
        } else {
            let stem = item.stem();
            let is_symbol = Symbol::is_valid(stem) && stem.len() <= 12 && !stem.contains(' ');
            let (key, word, said) = if is_symbol {
                (
                    "from",
                    "FileName",
                    format!("the file's name, {stem}, is taken for it"),
                )
            } else {
                ("const", "SYMBOL", "write it for SYMBOL".to_owned())
            };
            self.unsure
                .push(format!("no column looks like a symbol: {said}"));
            Value::Mapping([(key.into(), word.into())].into_iter().collect())
        };
        self.columns.insert("symbol".into(), value);
    }

    fn times(
        &mut self,
        fields: &mut BTreeMap<&'static str, usize>,
        sample: &Sample,
        item: &Item,
        calendar: Calendar,
    ) -> Result<(), FeedError> {
        if !fields.contains_key("time") && !fields.contains_key("date") {
            // Whatever it is called, it is what reads as a time.
            let at = (0..sample.names.len()).find(|at| {
                !fields.values().any(|used| used == at)
                    && times::find(&sample.column(*at).collect::<Vec<_>>())
                        .is_some_and(|_| sample.column(*at).all(times::is_time_or_epoch))
            });
            if let Some(at) = at {
                fields.insert("time", at);
                self.unsure
                    .push(format!("column {} is taken for the time", sample.names[at]));
            }
        }
        let (date, time) = (fields.get("date").copied(), fields.get("time").copied());
        let alone = |at: usize| {
            times::find(&sample.column(at).collect::<Vec<_>>()).map(|found| (found, vec![at]))
        };
        let both = |date: usize, time: usize| {
            let joined: Vec<String> = sample
                .rows
                .iter()
                .filter_map(|row| {
                    Some(format!(
                        "{} {}",
                        row.get(date)?.trim(),
                        row.get(time)?.trim()
                    ))
                })
                .map(|text| text.trim().to_owned())
                .collect();
            let texts: Vec<&str> = joined.iter().map(String::as_str).collect();
            times::find(&texts).map(|found| (found, vec![date, time]))
        };
        let found = match (date, time) {
            // A time column that says it all needs no date beside it.
            (Some(date), Some(time)) => alone(time)
                .filter(|(found, _)| !found.only_dates)
                .or_else(|| both(date, time)),
            (Some(at), None) | (None, Some(at)) => alone(at),
            (None, None) => None,
        };
        let Some((found, columns)) = found else {
            let told = match date.or(time) {
                Some(at) => format!(
                    "column {} is in no format that is known, such as `{}`; give columns.timeFormat yourself",
                    sample.names[at],
                    sample.column(at).next().unwrap_or_default()
                ),
                None => format!(
                    "no column looks like a time: it has {}; name it yourself in source.replay.columns",
                    sample.names.join(", ")
                ),
            };
            return Err(FeedError(format!("{}: {told}", item.name)));
        };
        match columns[..] {
            [date, time] => {
                self.columns
                    .insert("date".into(), sample.references[date].as_str().into());
                self.columns
                    .insert("time".into(), sample.references[time].as_str().into());
            }
            _ => {
                self.columns
                    .insert("time".into(), sample.references[columns[0]].as_str().into());
            }
        }
        match found.formats.as_slice() {
            [] => {}
            [one] => {
                self.columns
                    .insert("timeFormat".into(), one.as_str().into());
            }
            several => {
                self.columns
                    .insert("timeFormats".into(), several.to_vec().into());
                self.unsure
                    .push("times are written in several ways".to_owned());
            }
        }
        if let Some(rival) = found.rival {
            self.unsure.push(format!(
                "times fit timeFormat {rival} as well as {}: look at the dates below",
                found.formats[0]
            ));
        }
        if found.local {
            self.unsure.push(format!(
                "times name no zone and are read by the clock of market.calendar {calendar}; write timeZone where they \
                 are of another"
            ));
        }
        if found.only_dates {
            self.unsure.push(format!(
                "dates have no time: each row is a daily bar at its session's close in market.calendar {calendar}"
            ));
        }
        Ok(())
    }
}

/// Whether a text is a number of this dialect.
fn is_number(text: &str, dialect: &Dialect, quantity: Quantity) -> bool {
    number::plain(text, dialect, quantity).is_ok_and(|text| Size::parse(text.as_bytes()).is_ok())
}

/// Without a header: a time, perhaps a symbol, then open, high, low, close and volume, or a price and a size.
fn by_content(
    sample: &Sample,
    holds_numbers: &dyn Fn(usize, Quantity) -> bool,
    fields: &mut BTreeMap<&'static str, usize>,
) {
    let mut numbers = Vec::new();
    for at in 0..sample.names.len() {
        let cells: Vec<&str> = sample.column(at).collect();
        let time = times::find(&cells);
        let is_epoch = cells
            .iter()
            .all(|c| c.len() >= 9 && c.bytes().all(|b| b.is_ascii_digit()));
        if time.is_some()
            && (is_epoch || !holds_numbers(at, Quantity::Price))
            && !fields.contains_key("time")
        {
            fields.insert("time", at);
        } else if holds_numbers(at, Quantity::Size) {
            numbers.push(at);
        } else if cells.iter().all(|c| c.len() <= 16 && Symbol::is_valid(c)) {
            fields.entry("symbol").or_insert(at);
        }
    }
    let names: &[&'static str] = match numbers.len() {
        0 => &[],
        1 => &["price"],
        2 | 3 => &["price", "size"],
        4 => &["open", "high", "low", "close"],
        5 => &["open", "high", "low", "close", "volume"],
        _ => &["open", "high", "low", "close", "adjClose", "volume"],
    };
    for (name, at) in names.iter().zip(numbers) {
        fields.insert(*name, at);
    }
}
