//! One row as a tick, by the pipeline's column mapping.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use stockpipe_crds::pipeline::{ColumnSource, Columns, Dialect, Fold, Replay, UnsortedRows};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{Kind, Price, REPLAY, Session, Size, Symbol, Tick};

use super::fields::{Set, kind_of, setter, without_price};
use super::instant::{Clock, When};
use super::number::{self, Quantity};
use super::row::{Problem, Row};
use crate::produce::pace::Nanos;

/// Why the mapping does not fit the file's header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The header has no such column.
    #[error("the header has no column `{column}` for {field}: it has {header}{hint}")]
    NoColumn {
        /// The column.
        column: String,
        /// The field that it is for.
        field: String,
        /// What it has.
        header: String,
        /// What else may be the case.
        hint: &'static str,
    },
    /// The header has it more than once.
    #[error(
        "the header has the column `{column}` more than once: name it by its place, counted from 1, as \"{place}\""
    )]
    Twice {
        /// The column.
        column: String,
        /// Place of the first.
        place: usize,
    },
    /// No such time zone.
    #[error("source.replay.timeZone: {0}")]
    Zone(String),
    /// Neither a trade, nor a quote, nor a bar, or more than one of them.
    #[error(
        "source.replay.columns maps {0}: map either price (trades), bid_price and ask_price (quotes), or open, high, \
         low and close (bars)"
    )]
    Kind(String),
    /// A constant is no value of its field.
    #[error("source.replay.columns.{field}: {why}")]
    Constant {
        /// The field.
        field: String,
        /// Why.
        why: String,
    },
}

/// Where a field's text comes from.
#[derive(Clone, Debug)]
enum Cell {
    Column { index: usize, header: String },
    Constant(String),
}

impl Cell {
    fn text<'r>(&'r self, row: &'r Row) -> Result<&'r str, Problem> {
        match self {
            Self::Constant(text) => Ok(text),
            Self::Column { index, .. } => {
                let bytes = row.cells.get(*index).unwrap_or_default();
                std::str::from_utf8(bytes).map(str::trim).map_err(|_| {
                    let text = String::from_utf8_lossy(bytes);
                    let why = format!("`{text}` is not UTF-8 text; save the file as UTF-8");
                    self.problem(&text, why)
                })
            }
        }
    }

    fn is_plain(&self, row: &Row) -> bool {
        matches!(self, Self::Column { index, .. } if row.is_plain(*index))
    }

    fn problem(&self, value: &str, why: String) -> Problem {
        let column = match self {
            Self::Column { header, .. } => header.clone(),
            Self::Constant(_) => "of the mapping".to_owned(),
        };
        Problem {
            column: Some(column),
            value: Some(value.to_owned()),
            why,
        }
    }
}

/// The mapping of one file.
pub struct Mapping {
    kind: Kind,
    symbol: Cell,
    /// The symbol of every row, where it is constant.
    one_symbol: Option<Symbol>,
    date: Option<Cell>,
    time: Cell,
    clock: Clock,
    fields: Vec<(Cell, Set)>,
    dialect: Dialect,
    calendar: Calendar,
    venue: Option<Arc<str>>,
    source: Arc<str>,
    run: Arc<str>,
}

impl Mapping {
    /// The mapping `columns` of a file with this header, named after `stem`; its ticks are of `run`.
    ///
    /// # Errors
    /// Where the header lacks a mapped column, or the mapped fields make no tick.
    pub fn new(
        columns: &Columns,
        settings: &Replay,
        header: &csv::StringRecord,
        stem: &str,
        calendar: Calendar,
        run: &str,
    ) -> Result<Self, MappingError> {
        let cell = |field: &str, source: &ColumnSource| match source {
            ColumnSource::None => Ok(None),
            ColumnSource::Const(value) => Ok(Some(Cell::Constant(value.clone()))),
            ColumnSource::FileName => Ok(Some(Cell::Constant(stem.to_owned()))),
            ColumnSource::Header(name) => {
                let index = place(header, name, field)?;
                Ok(Some(Cell::Column {
                    index,
                    header: name.clone(),
                }))
            }
        };
        let required = |field: &str, source: &ColumnSource| {
            cell(field, source)?.ok_or_else(|| MappingError::Constant {
                field: field.to_owned(),
                why: "is missing; name a column, or write {const: …}".to_owned(),
            })
        };
        let symbol = required("symbol", &columns.symbol)?;
        let one_symbol = match &symbol {
            Cell::Constant(text) => {
                Some(Symbol::new(text).map_err(|e| MappingError::Constant {
                    field: "symbol".to_owned(),
                    why: e.to_string(),
                })?)
            }
            Cell::Column { .. } => None,
        };
        let mut fields = Vec::new();
        for (name, source) in &columns.fields {
            let set = setter(name).ok_or_else(|| MappingError::Constant {
                field: name.clone(),
                why: "is no field of a tick that a column may be mapped to".to_owned(),
            })?;
            if let Some(cell) = cell(name, source)? {
                fields.push((cell, set));
            }
        }
        let zone = match &settings.time_zone {
            Some(name) => TimeZone::get(name).map_err(|e| MappingError::Zone(e.to_string()))?,
            None => calendar.time_zone(),
        };
        // What is sorted afterwards has no order that could tell.
        let fold = match (settings.repeated_hour, settings.unsorted_rows) {
            (Fold::InOrder, UnsortedRows::Sort) => Fold::Earlier,
            (fold, _) => fold,
        };
        Ok(Self {
            kind: kind_of(columns)?,
            symbol,
            one_symbol,
            date: cell("date", &columns.date)?,
            time: required("time", &columns.time)?,
            clock: Clock::new(zone, fold, &columns.time_formats),
            fields,
            dialect: settings.dialect.clone(),
            calendar,
            venue: calendar.mic().map(Arc::from),
            source: REPLAY.into(),
            run: run.into(),
        })
    }

    /// The tick of one row; its `seq` is left at 0. A missing cell is an absent value. `before` is the time of the row
    /// before it.
    ///
    /// # Errors
    /// The first cell that is no value of its field.
    pub fn tick(&self, row: &Row, before: Option<Nanos>) -> Result<Tick, Problem> {
        let symbol = match &self.one_symbol {
            Some(symbol) => symbol.clone(),
            None => {
                let text = self.symbol.text(row)?;
                Symbol::new(text).map_err(|e| self.symbol.problem(text, e.to_string()))?
            }
        };
        let at = self.instant(row, before)?;
        let mut tick = Tick::new(
            symbol,
            Arc::clone(&self.source),
            self.kind,
            Arc::clone(&self.run),
            0,
            at.ns,
            at.date,
        );
        tick.venue.clone_from(&self.venue);
        tick.session = at.session;
        for (cell, set) in &self.fields {
            let text = cell.text(row)?;
            if !self.is_missing(text) {
                self.set(&mut tick, *set, text, cell.is_plain(row))
                    .map_err(|why| cell.problem(text, why))?;
            }
        }
        match without_price(&tick) {
            Some(why) => Err(Problem::row(why)),
            None => Ok(tick),
        }
    }

    fn is_missing(&self, text: &str) -> bool {
        text.is_empty() || self.dialect.missing.iter().any(|missing| missing == text)
    }

    fn set(&self, tick: &mut Tick, set: Set, text: &str, is_plain: bool) -> Result<(), String> {
        let number = |quantity| {
            if is_plain {
                Ok(Cow::Borrowed(text))
            } else {
                number::plain(text, &self.dialect, quantity)
            }
        };
        match set {
            Set::Price(set) => {
                let text = number(Quantity::Price)?;
                set(
                    tick,
                    Price::parse(text.as_bytes()).map_err(|e| e.to_string())?,
                );
            }
            Set::Size(set) => {
                let text = number(Quantity::Size)?;
                set(
                    tick,
                    Size::parse(text.as_bytes()).map_err(|e| e.to_string())?,
                );
            }
            Set::Text(set) => set(tick, text)?,
        }
        Ok(())
    }

    fn instant(&self, row: &Row, before: Option<Nanos>) -> Result<At, Problem> {
        let time = self.time.text(row)?;
        let text = match &self.date {
            None => Cow::Borrowed(time),
            Some(cell) => {
                let date = cell.text(row)?;
                Cow::Owned(format!("{date} {time}").trim().to_owned())
            }
        };
        let problem = |why: String| self.time.problem(&text, format!("`{text}` {why}"));
        match self.clock.read(&text, before).map_err(problem)? {
            When::Instant(ns) => Ok(self.at(ns)),
            When::Date(date) => {
                let ns = self.calendar.daily_bar_at(date).ok_or_else(|| {
                    problem(format!(
                        "is no session of {}; leave the row out, or write market.calendar: 24x7",
                        self.calendar
                    ))
                })?;
                Ok(At {
                    ns,
                    date,
                    session: Some(Session::Regular),
                })
            }
        }
    }

    fn at(&self, ns: Nanos) -> At {
        At {
            ns,
            date: self.calendar.trade_date_at(ns),
            session: session_at(self.calendar, ns),
        }
    }
}

/// The part of the trading day: before the open, in the session, after the close.
#[must_use]
pub fn session_at(calendar: Calendar, ns: Nanos) -> Option<Session> {
    let session = calendar.session(calendar.local_date(ns))?;
    Some(if ns < session.open_ns {
        Session::Pre
    } else if ns < session.last_trade_ns {
        Session::Regular
    } else {
        Session::Post
    })
}

/// Where the column `name` is: by its header, or else by its place.
fn place(header: &csv::StringRecord, name: &str, field: &str) -> Result<usize, MappingError> {
    let name = name.trim();
    let mut places = header
        .iter()
        .enumerate()
        .filter(|(_, h)| h.trim() == name)
        .map(|(at, _)| at);
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        (Some(at), Some(_)) => Err(MappingError::Twice {
            column: name.to_owned(),
            place: at + 1,
        }),
        (None, _) => match name.parse::<usize>() {
            Ok(place) if (1..=header.len()).contains(&place) => Ok(place - 1),
            _ => Err(MappingError::NoColumn {
                column: name.to_owned(),
                field: field.to_owned(),
                header: header.iter().collect::<Vec<_>>().join(", "),
                hint: if header.iter().any(|h| h.trim().parse::<f64>().is_ok()) {
                    "; where that is a row already, write source.replay.header: false and name columns by their \
                     place, as \"1\""
                } else {
                    ""
                },
            }),
        },
    }
}

struct At {
    ns: Nanos,
    date: Date,
    session: Option<Session>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use jiff::civil::date;
    use std::collections::BTreeMap;

    fn columns(time_format: Option<&str>, fields: &[(&str, &str)]) -> Columns {
        Columns {
            symbol: ColumnSource::Header("sym".into()),
            time: ColumnSource::Header("at".into()),
            date: ColumnSource::None,
            time_formats: time_format.map(str::to_owned).into_iter().collect(),
            fields: fields
                .iter()
                .map(|(f, h)| ((*f).to_owned(), ColumnSource::Header((*h).to_owned())))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    fn map(
        calendar: Calendar,
        columns: &Columns,
        header: &[&str],
        row: &[&str],
    ) -> Result<Tick, String> {
        let settings = super::super::test_settings(columns.clone());
        let header = csv::StringRecord::from(header);
        let row = Row {
            cells: row.to_vec().into(),
            ..Row::default()
        };
        Mapping::new(columns, &settings, &header, "FILE", calendar, "r")
            .map_err(|e| e.to_string())?
            .tick(&row, None)
            .map_err(|e| e.to_string())
    }

    const TRADE: &[(&str, &str)] = &[("price", "p"), ("size", "s")];

    #[test]
    fn a_date_is_a_daily_bar_at_the_sessions_close() {
        let columns = columns(Some("%m/%d/%Y"), &[("close", "c"), ("volume", "v")]);
        let tick = map(
            Calendar::Xnys,
            &columns,
            &["at", "sym", "c", "v"],
            &["11/27/2026", "AAPL", "272.5", ""],
        )
        .unwrap();
        // The day after Thanksgiving closes at 13:00 in New York.
        assert_eq!(
            i128::from(tick.ts_event_ns),
            "2026-11-27T18:00:00Z"
                .parse::<Timestamp>()
                .unwrap()
                .as_nanosecond()
        );
        assert_eq!(
            (tick.kind, tick.trade_date),
            (Kind::Bar, date(2026, 11, 27))
        );
        assert_eq!(tick.close.unwrap().to_string(), "272.5");
        assert_eq!(tick.volume, None, "an empty cell is an absent value");
        assert_eq!(tick.venue.as_deref(), Some("XNYS"));
    }

    #[test]
    fn times_are_instants_or_the_exchanges_clock() {
        let expected = "2026-11-20T14:30:00Z".parse::<Timestamp>().unwrap();
        for (format, text) in [
            (None, "2026-11-20T14:30:00Z"),
            (None, "2026-11-20T09:30:00-05:00"),
            (None, "2026-11-20 09:30:00"),
            (Some("%Y%m%d %H:%M:%S"), "20261120 09:30:00"),
            (Some("%Y%m%d %H:%M:%S %z"), "20261120 14:30:00 +0000"),
        ] {
            let columns = columns(format, TRADE);
            let header = ["at", "sym", "p", "s"];
            let tick = map(Calendar::Xnys, &columns, &header, &[text, "A", "1", "2"]).unwrap();
            assert_eq!(
                i128::from(tick.ts_event_ns),
                expected.as_nanosecond(),
                "{text}"
            );
            assert_eq!(tick.session, Some(Session::Regular));
            assert_eq!(tick.kind, Kind::Trade);
        }
    }

    #[test]
    fn a_bad_cell_is_told_with_column_value_and_remedy() {
        let columns = columns(None, TRADE);
        for (row, parts) in [
            (
                ["2026-11-20T14:30:00Z", "A", "x", "2"],
                ["column p", "`x`", "12.34"],
            ),
            (
                ["2026-11-20T14:30:00Z", "", "1", "2"],
                ["column sym", "\"\"", "symbol"],
            ),
            (
                ["20.11.2026", "A", "1", "2"],
                ["column at", "`20.11.2026`", "timeFormat"],
            ),
            (
                ["2026-11-22", "A", "1", "2"],
                ["column at", "2026-11-22", "no session of XNYS"],
            ),
            (
                ["2026-11-20T14:30:00Z", "A", "0.0000000001", "2"],
                ["column p", "0.0000000001", "finer"],
            ),
        ] {
            let error = map(Calendar::Xnys, &columns, &["at", "sym", "p", "s"], &row).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{part} in {error}");
            }
        }
    }

    #[test]
    fn a_mapping_that_does_not_fit_is_refused() {
        let header = ["at", "sym", "p", "s"];
        let row = ["2026-11-20", "A", "1", "2"];
        let refusal = |fields: &[(&str, &str)]| {
            map(Calendar::Xnys, &columns(None, fields), &header, &row).unwrap_err()
        };
        assert_eq!(
            refusal(&[("price", "Price")]),
            "the header has no column `Price` for price: it has at, sym, p, s"
        );
        assert!(refusal(&[("size", "s")]).contains("maps no price"));
        assert!(refusal(&[("price", "p"), ("close", "p")]).contains("more than one kind"));
    }
}
