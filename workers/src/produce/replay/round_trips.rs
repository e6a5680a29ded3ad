//! Ticks that are written in any dialect, or as JSON or Parquet, read back equal.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampNanosecondArray};
use proptest::prelude::*;
use serde_norway::Value;
use stockpipe_market::tick::{Price, Size, Tick};

use super::fixtures::{drain, pipeline};
use super::{Access, Replay};
use crate::produce::feed::Source;

/// One trade as it is written.
#[derive(Clone, Debug)]
struct Trade {
    symbol: String,
    at: i64,
    price: i64,
    size: Option<i64>,
    note: String,
}

fn trades() -> impl Strategy<Value = Vec<Trade>> {
    let trade = (
        "[A-Z]{1,4}(\\.[A-Z])?",
        0_i64..3_000_000_000,
        -999_999_999_999_999_i64..999_999_999_999_999,
        prop::option::of(0_i64..1_000_000_000_000),
        "[ -~äö€]{0,12}",
    );
    prop::collection::vec(trade, 1..30).prop_map(|trades| {
        let mut at = 1_795_185_000_000_000_000;
        trades
            .into_iter()
            .map(|(symbol, step, price, size, note)| {
                at += step;
                Trade {
                    symbol,
                    at,
                    price,
                    size,
                    // A file that begins so, without a header, is JSON.
                    note: note
                        .trim_start_matches(|c: char| c.is_whitespace() || "{[".contains(c))
                        .trim_end()
                        .to_owned(),
                }
            })
            .collect()
    })
}

/// How a CSV is written.
#[derive(Clone, Debug)]
struct Dialect {
    delimiter: (char, &'static str),
    decimal: (char, &'static str),
    thousands: Option<(char, &'static str)>,
    line_end: &'static str,
    mark: bool,
    header: bool,
    packing: &'static str,
}

fn dialects() -> impl Strategy<Value = Dialect> {
    (
        prop::sample::select(vec![
            (',', "Comma"),
            (';', "Semicolon"),
            ('\t', "Tab"),
            ('|', "Pipe"),
        ]),
        any::<bool>(),
        prop::sample::select(vec![None, Some('m'), Some(' '), Some('\''), Some('_')]),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec!["csv", "csv.gz", "csv.zst"]),
    )
        .prop_map(
            |(delimiter, comma, thousands, line_end, mark, header, packing)| Dialect {
                delimiter,
                decimal: if comma {
                    (',', "Comma")
                } else {
                    ('.', "Point")
                },
                thousands: thousands.map(|mark| match mark {
                    'm' if comma => ('.', "Point"),
                    'm' => (',', "Comma"),
                    ' ' => ('\u{a0}', "Space"),
                    '\'' => ('\'', "Apostrophe"),
                    _ => ('_', "Underscore"),
                }),
                line_end,
                mark,
                header,
                packing,
            },
        )
}

/// The decimal of `steps / 10^scale`, as the dialect has it.
fn number(text: &str, dialect: &Dialect) -> String {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut out = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0
            && (whole.len() - at).is_multiple_of(3)
            && let Some((mark, _)) = dialect.thousands
        {
            out.push(mark);
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push(dialect.decimal.0);
        out.push_str(fraction);
    }
    out
}

fn price(trade: &Trade) -> Price {
    Price::from_steps(trade.price).unwrap()
}

fn size(trade: &Trade) -> Option<Size> {
    trade
        .size
        .map(|size| Size::from_steps(size.into()).unwrap())
}

fn write_csv(path: &Path, trades: &[Trade], dialect: &Dialect) {
    let mut out = Vec::new();
    let mut writer = csv::WriterBuilder::new()
        .delimiter(dialect.delimiter.0 as u8)
        .terminator(match dialect.line_end {
            "\r\n" => csv::Terminator::CRLF,
            end => csv::Terminator::Any(end.as_bytes()[0]),
        })
        .from_writer(&mut out);
    if dialect.header {
        writer
            .write_record(["note, free", "when", "what", "how much", "of it"])
            .unwrap();
    }
    for trade in trades {
        let size = size(trade).map_or_else(String::new, |s| number(&s.to_string(), dialect));
        let (at, price) = (
            trade.at.to_string(),
            number(&price(trade).to_string(), dialect),
        );
        writer
            .write_record([&trade.note, &at, &trade.symbol, &price, &size])
            .unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    if dialect.mark {
        out.splice(0..0, *b"\xef\xbb\xbf");
    }
    let packed = match dialect.packing {
        "csv.gz" => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut packer, &out).unwrap();
            packer.finish().unwrap()
        }
        "csv.zst" => zstd::encode_all(out.as_slice(), 1).unwrap(),
        _ => out,
    };
    std::fs::write(path, packed).unwrap();
}

fn read(dir: &Path, file: &str, replay: &str) -> Vec<Tick> {
    let replay: Value = serde_norway::from_str(replay).unwrap();
    let source = Replay::new(&pipeline(file, "XNYS", &replay), Access::local(dir)).unwrap();
    let mut ticks = Vec::new();
    let bad = drain(source.begin("r", None).unwrap().as_mut(), &mut ticks).unwrap();
    assert_eq!(bad, [""; 0]);
    ticks
}

fn assert_equal(ticks: &[Tick], trades: &[Trade]) -> Result<(), TestCaseError> {
    prop_assert_eq!(ticks.len(), trades.len());
    for (tick, trade) in ticks.iter().zip(trades) {
        prop_assert_eq!(
            (&*tick.symbol, tick.ts_event_ns, tick.price, tick.size),
            (
                trade.symbol.as_str(),
                trade.at,
                Some(price(trade)),
                size(trade)
            )
        );
        prop_assert_eq!(tick.conditions.as_deref().unwrap_or_default(), &trade.note);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_csv_of_any_dialect_reads_as_it_was_written(trades in trades(), dialect in dialects()) {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("t.{}", dialect.packing);
        write_csv(&dir.path().join(&file), &trades, &dialect);
        let columns = if dialect.header {
            "{symbol: what, time: when, price: how much, size: of it, conditions: 'note, free'}"
        } else {
            "{symbol: '3', time: '2', price: '4', size: '5', conditions: '1'}"
        };
        let mut replay = format!("{{decimal: {}, header: {}, ", dialect.decimal.1, dialect.header);
        if let Some((_, mark)) = dialect.thousands {
            write!(replay, "thousands: {mark}, ").unwrap();
        }
        if !dialect.header {
            write!(replay, "delimiter: {}, ", dialect.delimiter.1).unwrap();
        }
        let ticks = read(dir.path(), &file, &format!("{replay}columns: {columns}}}"));
        assert_equal(&ticks, &trades)?;
    }

    #[test]
    fn json_lines_read_as_they_were_written(trades in trades(), quoted in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for trade in &trades {
            let quote = if quoted { "\"" } else { "" };
            let size = size(trade).map_or_else(|| "null".to_owned(), |s| format!("{quote}{s}{quote}"));
            writeln!(
                text,
                "{{\"t\":{},\"x\":{{\"n\":{}}},\"p\":{quote}{}{quote},\"q\":{size},\"s\":{}}}",
                trade.at, serde_json::Value::from(trade.note.as_str()), price(trade),
                serde_json::Value::from(trade.symbol.as_str())
            ).unwrap();
        }
        std::fs::write(dir.path().join("t.jsonl"), text).unwrap();
        let replay = "{columns: {symbol: s, time: t, price: p, size: q, conditions: x.n}}";
        assert_equal(&read(dir.path(), "t.jsonl", replay), &trades)?;
    }

    #[test]
    fn parquet_reads_as_it_was_written(trades in trades(), in_utc in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let zone = if in_utc { "UTC" } else { "America/New_York" };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("s", Arc::new(trades.iter().map(|t| Some(t.symbol.as_str())).collect::<StringArray>())),
            ("t", Arc::new(TimestampNanosecondArray::from_iter_values(trades.iter().map(|t| t.at)).with_timezone(zone))),
            ("p", Arc::new(
                Decimal128Array::from_iter_values(trades.iter().map(|t| t.price.into())).with_precision_and_scale(18, 9).unwrap(),
            )),
            ("q", Arc::new(
                trades.iter().map(|t| t.size.map(i128::from)).collect::<Decimal128Array>().with_precision_and_scale(28, 10).unwrap(),
            )),
            ("n", Arc::new(trades.iter().map(|t| Some(t.note.as_str())).collect::<StringArray>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = std::fs::File::create(dir.path().join("t.parquet")).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let replay = "{columns: {symbol: s, time: t, price: p, size: q, conditions: n}}";
        assert_equal(&read(dir.path(), "t.parquet", replay), &trades)?;
    }

    #[test]
    fn landed_ticks_read_as_they_were_written(trades in trades()) {
        let dir = tempfile::tempdir().unwrap();
        let mut ticks = Vec::new();
        let mut json = Vec::new();
        let mut table = stockpipe_market::columns::TickColumns::new();
        for (n, trade) in trades.iter().enumerate() {
            let mut tick = Tick::new(
                stockpipe_market::tick::Symbol::new(&trade.symbol).unwrap(),
                "simulated".into(),
                stockpipe_market::tick::Kind::Trade,
                "old".into(),
                n as u64,
                trade.at,
                jiff::civil::date(2026, 11, 20),
            );
            tick.price = Some(price(trade));
            tick.size = size(trade);
            tick.source_seq = Some(1000 + n as u64);
            tick.conditions = (!trade.note.is_empty()).then(|| trade.note.as_str().into());
            stockpipe_market::json::encode(&tick, &mut json);
            json.push(b'\n');
            table.push(&tick);
            ticks.push(tick);
        }
        std::fs::write(dir.path().join("t.jsonl"), json).unwrap();
        let batch = table.finish();
        let file = std::fs::File::create(dir.path().join("t.parquet")).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        for file in ["t.jsonl", "t.parquet"] {
            let found = read(dir.path(), file, "{}");
            assert_equal(&found, &trades)?;
            for (found, tick) in found.iter().zip(&ticks) {
                prop_assert_eq!(found.source_seq, tick.source_seq);
                prop_assert_eq!(&*found.source, "replay");
            }
        }
    }
}
