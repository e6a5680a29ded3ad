//! Prices out of a CSV file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use jiff::civil::{Date, DateTime};
use stockpipe_market::calibration::{PriceBar, Prices};

use crate::cli::CliError;

/// Headers by which columns are known, in lower case and without spaces and underscores.
const TIMES: [&str; 5] = ["date", "time", "datetime", "timestamp", "day"];
const CLOSES: [&str; 4] = ["close", "price", "last", "adjclose"];
const ADJUSTED: [&str; 2] = ["adjclose", "adjustedclose"];
const SYMBOLS: [&str; 2] = ["symbol", "ticker"];

/// The prices of each symbol of a file.
///
/// # Errors
/// A sentence that names the file and the line.
pub(super) fn read(path: &Path, date_format: Option<&str>) -> Result<Vec<Prices>, CliError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    let text: Box<dyn Read> = if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    parse(text, &stem(path), date_format).map_err(|error| format!("{name}: {error}").into())
}

/// The file's name without what follows a dot: what a symbol is called that has no column.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn parse(text: impl Read, symbol: &str, date_format: Option<&str>) -> Result<Vec<Prices>, String> {
    let mut reader = csv::Reader::from_reader(text);
    let headers: Vec<String> = reader
        .headers()
        .map_err(|error| error.to_string())?
        .iter()
        .map(|header| header.to_lowercase().replace([' ', '_'], ""))
        .collect();
    let column = |names: &[&str]| {
        let mut found = names
            .iter()
            .map(|name| headers.iter().position(|h| h == name));
        found.find_map(|at| at)
    };
    let time = column(&TIMES).ok_or("it has no column for the date or time; name one Date")?;
    let close = column(&CLOSES).ok_or("it has no column for the close; name one Close")?;
    let (open, adjusted, named) = (column(&["open"]), column(&ADJUSTED), column(&SYMBOLS));
    let mut bars: BTreeMap<String, Vec<PriceBar>> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        let number = |at: usize| -> Result<f64, String> {
            field(at).parse().map_err(|_| {
                format!(
                    "line {line}: {:?} is no number; write one such as 181.25",
                    field(at)
                )
            })
        };
        let optional = |at: Option<usize>| match at.filter(|&at| !field(at).is_empty()) {
            Some(at) => number(at).map(Some),
            None => Ok(None),
        };
        let bar = PriceBar {
            at: moment(field(time), date_format).ok_or_else(|| {
                format!(
                    "line {line}: {:?} is no date or time that is understood; say how it is written by --date-format",
                    field(time)
                )
            })?,
            open: optional(open)?,
            close: number(close)?,
            adjusted: optional(adjusted)?,
        };
        let name = named.map_or(symbol, field);
        match bars.get_mut(name) {
            Some(bars) => bars.push(bar),
            None => {
                bars.insert(name.to_owned(), vec![bar]);
            }
        }
    }
    bars.into_iter()
        .map(|(name, bars)| Prices::new(name, bars).map_err(|error| error.to_string()))
        .collect()
}

fn moment(text: &str, format: Option<&str>) -> Option<DateTime> {
    if let Some(format) = format {
        let broken = jiff::fmt::strtime::parse(format, text).ok()?;
        let date = broken.to_date().ok()?;
        return Some(date.to_datetime(broken.to_time().unwrap_or_default()));
    }
    if let Ok(at) = text.trim_end_matches('Z').parse::<DateTime>() {
        return Some(at);
    }
    Date::strptime("%m/%d/%Y", text)
        .ok()
        .map(|date| date.at(0, 0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_headers() {
        let text = "Date,Open,High,Low,Close,Adj Close,Volume\n\
                    1/4/1999,9.5,11,9,10.5,5.25,100\n1/5/1999,,11,9,11,5.5,100\n";
        let found = parse(text.as_bytes(), "gspc", None).unwrap();
        assert_eq!(found[0].symbol, "gspc");
        let days = found[0].days();
        assert_eq!(days[0].date, jiff::civil::date(1999, 1, 4));
        assert_eq!(
            (days[0].open, days[0].close, days[0].raw_close),
            (Some(9.5), 5.25, 10.5)
        );
        assert_eq!(days[1].open, None);
        let text = "ticker,time,price\nB,2026-11-20T10:00:00,1\nA,2026-11-20T10:00:00,2\n";
        let found = parse(text.as_bytes(), "x", None).unwrap();
        let names: Vec<_> = found.iter().map(|prices| prices.symbol.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
    }

    #[test]
    fn dates_are_read_as_they_are_said_to_be_written() {
        let read = |text, format| moment(text, format).map(|at| at.date());
        let day = Some(jiff::civil::date(2026, 11, 20));
        assert_eq!(read("2026-11-20", None), day);
        assert_eq!(read("11/20/2026", None), day);
        assert_eq!(read("20.11.2026", Some("%d.%m.%Y")), day);
        assert_eq!(read("20.11.2026", None), None);
    }

    #[test]
    fn what_is_no_price_is_named_by_its_line() {
        let refusal = |text: &str| parse(text.as_bytes(), "x", None).unwrap_err();
        assert!(refusal("Close\n1\n").contains("no column for the date"));
        assert!(refusal("Date,Open\n").contains("no column for the close"));
        assert_eq!(
            refusal("Date,Close\n2026-11-20,1\n2026-11-21,n/a\n"),
            "line 3: \"n/a\" is no number; write one such as 181.25"
        );
        assert!(refusal("Date,Close\nFriday,1\n").starts_with("line 2: \"Friday\" is no date"));
        assert!(refusal("Date,Close\n2026-11-20,1\n2026-11-20,2\n").contains("two bars are of"));
    }
}
