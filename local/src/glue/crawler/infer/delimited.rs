//! Columns of delimited text, by the rules of Glue's built-in CSV classifier
//! (<https://docs.aws.amazon.com/glue/latest/dg/add-classifier.html#classifier-builtin-rules>).

use super::super::schema::{Kind, Schema};

/// Delimiters that are known, tried in this order.
const DELIMITERS: [u8; 5] = [b',', b'|', b'\t', b';', 1];
/// Rows that are looked at.
const ROWS: usize = 10_000;
/// Longest name of a column but the last.
const LONGEST_NAME: usize = 150;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Dialect {
    pub(in super::super) delimiter: u8,
    /// Whether the first row holds names.
    pub(in super::super) header: bool,
    /// Whether a cell is in quotes.
    pub(in super::super) quoted: bool,
}

/// The dialect and columns of `text`: at least two rows of the same two columns
/// or more. Without a header, columns are `col0`, `col1`, ….
pub(super) fn schema(text: &str) -> Option<(Dialect, Schema)> {
    DELIMITERS
        .into_iter()
        .find_map(|delimiter| Some((delimiter, rows(text, delimiter)?)))
        .map(|(delimiter, rows)| {
            let header = has_header(&rows);
            let names: Vec<String> = if header {
                rows[0].clone()
            } else {
                (0..rows[0].len()).map(|n| format!("col{n}")).collect()
            };
            let mut kinds = vec![Kind::Null; names.len()];
            for row in &rows[usize::from(header)..] {
                for (kind, cell) in kinds.iter_mut().zip(row) {
                    let before = std::mem::replace(kind, Kind::Null);
                    *kind = before.merge(self::kind(cell));
                }
            }
            let dialect = Dialect {
                delimiter,
                header,
                quoted: text.contains('"'),
            };
            (dialect, Schema::new(names.into_iter().zip(kinds)))
        })
}

/// The rows, if all are of the same two columns or more.
fn rows(text: &str, delimiter: u8) -> Option<Vec<Vec<String>>> {
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .from_reader(text.as_bytes());
    // The reader itself refuses a row of another width.
    let rows: Result<Vec<_>, _> = reader
        .into_records()
        .take(ROWS)
        .map(|row| {
            row.map(|row| {
                row.iter()
                    .map(|cell| cell.trim().to_owned())
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    rows.ok()
        .filter(|rows| rows.len() >= 2 && rows[0].len() >= 2)
}

/// Whether the first row holds names: each is text, none is empty but the
/// last, none but the last is long, and some other row has a cell that is not
/// text.
fn has_header(rows: &[Vec<String>]) -> bool {
    let (names, data) = (&rows[0], &rows[1..]);
    let last = names.len() - 1;
    let is_name = |(index, name): (usize, &String)| {
        (kind(name) == Kind::String || (index == last && name.is_empty()))
            && (index == last || name.chars().count() < LONGEST_NAME)
    };
    names.iter().enumerate().all(is_name)
        && data
            .iter()
            .flatten()
            .any(|cell| !matches!(kind(cell), Kind::String | Kind::Null))
}

fn kind(cell: &str) -> Kind {
    if cell.is_empty() {
        return Kind::Null;
    }
    // Rust reads names of numbers, such as `nan`, too.
    let numeric = cell
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if numeric && cell.parse::<i64>().is_ok() {
        Kind::BigInt
    } else if numeric && cell.parse::<f64>().is_ok() {
        Kind::Double
    } else if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false") {
        Kind::Boolean
    } else {
        Kind::String
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let (dialect, schema) = schema(text)?;
        let columns: Vec<String> = schema
            .0
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        Some(format!(
            "{:?} {} {}",
            char::from(dialect.delimiter),
            dialect.header,
            columns.join(", ")
        ))
    }

    #[test]
    fn delimiter_header_and_types_follow_from_the_rows() {
        for (text, expected) in [
            (
                "Symbol,price,size,halted\nAAPL,274.5,100,false\nMSFT,1,,true\n",
                Some("',' true symbol string, price double, size bigint, halted boolean"),
            ),
            (
                "AAPL;1\nMSFT;2.5\n",
                // The first row has a number: no header.
                Some("';' false col0 string, col1 double"),
            ),
            // Nothing but text: the first row cannot be told from the others.
            ("a|b\nc|d\n", Some("'|' false col0 string, col1 string")),
            ("a\tb\n1\t2\n", Some("'\\t' true a bigint, b bigint")),
            (
                "a\u{1}b\n1\u{1}2\n",
                Some("'\\u{1}' true a bigint, b bigint"),
            ),
            // A comma within quotes is none.
            (
                "name,n\n\"a, b\",1\n",
                Some("',' true name string, n bigint"),
            ),
            (
                "date,close\n2026-11-20,1\n",
                Some("',' true date string, close bigint"),
            ),
            ("one\ntwo\n", None),
            ("a,b\n", None),
            ("a,b\n1,2,3\n", None),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text:?}");
        }
    }
}
