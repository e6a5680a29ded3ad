//! One row of a CSV file as a tick, by the pipeline's column mapping.

use std::sync::Arc;

use csv::ByteRecord;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::{Timestamp, tz::TimeZone};
use stockpipe_crds::pipeline::{ColumnSource, Columns};
use stockpipe_market::calendar::Calendar;
use stockpipe_market::tick::{Kind, Price, REPLAY, Session, Size, Symbol, Tick};

/// Why the mapping does not fit the file's header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The header has no such column.
    #[error("the header has no column `{column}` for {field}: it has {header}")]
    NoColumn {
        /// The column.
        column: String,
        /// The field that it is for.
        field: String,
        /// What it has.
        header: String,
    },
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

/// Why a cell is no value of its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}")]
pub struct CellError {
    /// The column, by its header.
    pub column: String,
    /// The value and what to write.
    pub why: String,
}

/// Where a field's text comes from.
#[derive(Clone, Debug)]
enum Cell {
    Column { index: usize, header: String },
    Constant(String),
}

impl Cell {
    fn text<'r>(&'r self, row: &'r ByteRecord) -> Result<&'r str, CellError> {
        match self {
            Self::Constant(text) => Ok(text),
            Self::Column { index, .. } => std::str::from_utf8(row.get(*index).unwrap_or_default())
                .map(str::trim)
                .map_err(|_| self.error("is not UTF-8 text; save the file as UTF-8".to_owned())),
        }
    }

    fn error(&self, why: String) -> CellError {
        let column = match self {
            Self::Column { header, .. } => header.clone(),
            Self::Constant(_) => "of the mapping".to_owned(),
        };
        CellError { column, why }
    }
}

/// A field that holds a price, a size or a text.
type Set = fn(&mut Tick, &str) -> Result<(), String>;

fn price(text: &str) -> Result<Price, String> {
    Price::parse(text.as_bytes()).map_err(|e| e.to_string())
}

fn size(text: &str) -> Result<Size, String> {
    Size::parse(text.as_bytes()).map_err(|e| e.to_string())
}

macro_rules! set {
    ($field:ident, $parse:ident) => {
        |tick, text| {
            tick.$field = Some($parse(text)?);
            Ok(())
        }
    };
    ($field:ident) => {
        |tick, text| {
            tick.$field = Some(text.into());
            Ok(())
        }
    };
}

/// The fields that a column may be mapped to, by the tick's column names.
fn setter(field: &str) -> Option<Set> {
    Some(match field {
        "open" => set!(open, price),
        "high" => set!(high, price),
        "low" => set!(low, price),
        "close" => set!(close, price),
        "adj_close" => set!(adj_close, price),
        "volume" => set!(volume, size),
        "price" => set!(price, price),
        "size" => set!(size, size),
        "bid_price" => set!(bid_price, price),
        "bid_size" => set!(bid_size, size),
        "ask_price" => set!(ask_price, price),
        "ask_size" => set!(ask_size, size),
        "currency" => set!(currency),
        "venue" => set!(venue),
        "trade_id" => set!(trade_id),
        _ => return None,
    })
}

/// The mapping of one file.
pub struct Mapping {
    kind: Kind,
    symbol: Cell,
    /// The symbol of every row, where it is constant.
    one_symbol: Option<Symbol>,
    time: Cell,
    format: Option<String>,
    fields: Vec<(Cell, Set)>,
    calendar: Calendar,
    venue: Option<Arc<str>>,
    source: Arc<str>,
    run: Arc<str>,
}

impl Mapping {
    /// The mapping `columns` of a file with this header; its ticks are of `run`.
    ///
    /// # Errors
    /// Where the header lacks a mapped column, or the mapped fields make no tick.
    pub fn new(
        columns: &Columns,
        header: &csv::StringRecord,
        calendar: Calendar,
        run: &str,
    ) -> Result<Self, MappingError> {
        let cell = |field: &str, source: &ColumnSource| match source {
            ColumnSource::None => Ok(None),
            ColumnSource::Const(value) => Ok(Some(Cell::Constant(value.clone()))),
            ColumnSource::Header(name) => {
                let index = header.iter().position(|h| h.trim() == name.trim());
                match index {
                    Some(index) => Ok(Some(Cell::Column {
                        index,
                        header: name.clone(),
                    })),
                    None => Err(MappingError::NoColumn {
                        column: name.clone(),
                        field: field.to_owned(),
                        header: header.iter().collect::<Vec<_>>().join(", "),
                    }),
                }
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
        Ok(Self {
            kind: kind_of(columns)?,
            symbol,
            one_symbol,
            time: required("time", &columns.time)?,
            format: columns.time_format.clone(),
            fields,
            calendar,
            venue: calendar.mic().map(Arc::from),
            source: REPLAY.into(),
            run: run.into(),
        })
    }

    /// The tick of one row; its `seq` is left at 0. An empty cell is an absent value.
    ///
    /// # Errors
    /// The first cell that is no value of its field.
    pub fn tick(&self, row: &ByteRecord) -> Result<Tick, CellError> {
        let symbol = match &self.one_symbol {
            Some(symbol) => symbol.clone(),
            None => {
                let text = self.symbol.text(row)?;
                Symbol::new(text).map_err(|e| self.symbol.error(e.to_string()))?
            }
        };
        let text = self.time.text(row)?;
        let at = self
            .instant(text)
            .map_err(|why| self.time.error(format!("`{text}` {why}")))?;
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
            if !text.is_empty() {
                set(&mut tick, text).map_err(|why| cell.error(why))?;
            }
        }
        Ok(tick)
    }

    fn instant(&self, text: &str) -> Result<At, String> {
        match self.parse(text)? {
            When::Instant(at) => {
                let ns = i64::try_from(at.as_nanosecond())
                    .map_err(|_| "lies outside the years 1678 to 2261".to_owned())?;
                Ok(At {
                    ns,
                    date: self.calendar.trade_date_at(ns),
                    session: self.session_at(ns),
                })
            }
            When::Local(local) => {
                let ns = self.calendar.instant(local);
                Ok(At {
                    ns,
                    date: self.calendar.trade_date_at(ns),
                    session: self.session_at(ns),
                })
            }
            When::Date(date) => {
                let ns = self.calendar.daily_bar_at(date).ok_or_else(|| {
                    format!(
                        "is no session of {}; leave the row out, or write market.calendar: 24x7",
                        self.calendar
                    )
                })?;
                Ok(At {
                    ns,
                    date,
                    session: Some(Session::Regular),
                })
            }
        }
    }

    /// The part of the trading day: before the open, in the session, after the close.
    fn session_at(&self, ns: i64) -> Option<Session> {
        let session = self.calendar.session(self.calendar.local_date(ns))?;
        Some(if ns < session.open_ns {
            Session::Pre
        } else if ns < session.last_trade_ns {
            Session::Regular
        } else {
            Session::Post
        })
    }

    fn parse(&self, text: &str) -> Result<When, String> {
        let Some(format) = &self.format else {
            return iso(text).ok_or_else(|| {
                "is not ISO 8601: write 2026-11-20 or 2026-11-20T14:30:00Z, or give columns.timeFormat"
                    .to_owned()
            });
        };
        let wrong = || format!("is not of the form {format}, which columns.timeFormat gives");
        let parsed = strtime::parse(format, text).map_err(|_| wrong())?;
        if let Ok(at) = parsed.to_timestamp() {
            return Ok(When::Instant(at));
        }
        if parsed.hour().is_some() {
            return parsed.to_datetime().map(When::Local).map_err(|_| wrong());
        }
        parsed.to_date().map(When::Date).map_err(|_| wrong())
    }
}

struct At {
    ns: i64,
    date: Date,
    session: Option<Session>,
}

enum When {
    /// With its offset from UTC.
    Instant(Timestamp),
    /// By the exchange's clock.
    Local(DateTime),
    /// A whole session.
    Date(Date),
}

fn iso(text: &str) -> Option<When> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(When::Instant(at));
    }
    if text.len() <= "-009999-01-01".len() && !text.contains([':', 'T']) {
        return text.parse().ok().map(When::Date);
    }
    text.parse().ok().map(When::Local)
}

fn kind_of(columns: &Columns) -> Result<Kind, MappingError> {
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

/// The end of the UTC day of an instant.
pub fn end_of_day(ns: i64) -> i64 {
    const DAY: i64 = 86_400_000_000_000;
    let at = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::MAX);
    at.to_zoned(TimeZone::UTC)
        .date()
        .tomorrow()
        .ok()
        .and_then(|d| d.to_zoned(TimeZone::UTC).ok())
        .and_then(|z| i64::try_from(z.timestamp().as_nanosecond()).ok())
        .unwrap_or_else(|| ns.saturating_add(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::collections::BTreeMap;

    fn columns(time_format: Option<&str>, fields: &[(&str, &str)]) -> Columns {
        Columns {
            symbol: ColumnSource::Header("sym".into()),
            time: ColumnSource::Header("at".into()),
            time_format: time_format.map(str::to_owned),
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
        Mapping::new(columns, &csv::StringRecord::from(header), calendar, "r")
            .map_err(|e| e.to_string())?
            .tick(&ByteRecord::from(row.to_vec()))
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

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let ns =
            |text: &str| i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap();
        assert_eq!(
            end_of_day(ns("2018-12-31T21:00:00Z")),
            ns("2019-01-01T00:00:00Z")
        );
        assert_eq!(
            end_of_day(ns("2019-01-01T00:00:00Z")),
            ns("2019-01-02T00:00:00Z")
        );
    }
}
