//! From `source.replay` as written to what is read, and how.

use std::collections::BTreeMap;

use crate::amounts::DurationText;
use crate::pipeline::{
    BadRows, ColumnSource, Columns, Dialect, DuplicateRows, Fold, Replay, ReplayTime, Source,
    Thousands, UnsortedRows,
};
use crate::spec::replay::{
    BadRowPolicy, ColumnSpec, ColumnsSpec, DecimalMark, DuplicateRowPolicy, FieldDelimiter,
    RepeatedHour, ReplaySpec, ReplayTimes, ThousandsMark, UnsortedRowPolicy,
};
use crate::violation::Violation;

pub(super) fn resolve(spec: &ReplaySpec, found: &mut Vec<Violation>) -> Source {
    let uris = spec.uri.iter().chain(spec.uris.iter().flatten());
    if let Some(zone) = &spec.time_zone
        && jiff::tz::TimeZone::get(zone.as_str()).is_err()
    {
        found.push(Violation::new(
            "spec.source.replay.timeZone",
            format!("{zone} is not a time zone that is known here; write an IANA name such as America/New_York or Etc/UTC"),
        ));
    }
    Source::Replay(Box::new(Replay {
        uris: uris.map(ToString::to_string).collect(),
        columns: spec.columns.as_ref().map(|spec| columns(spec, found)),
        speed: spec.speed.unsigned_abs(),
        time: match spec.time {
            ReplayTimes::Original => ReplayTime::Original,
            ReplayTimes::Rebase => ReplayTime::Rebase,
        },
        max_gap: spec.max_gap.as_ref().map(DurationText::to_duration),
        bad_rows: match spec.bad_rows {
            BadRowPolicy::Fail => BadRows::Fail,
            BadRowPolicy::Quarantine => BadRows::Quarantine,
        },
        unsorted_rows: match spec.unsorted_rows {
            UnsortedRowPolicy::Refuse => UnsortedRows::Refuse,
            UnsortedRowPolicy::Sort => UnsortedRows::Sort,
        },
        duplicate_rows: match spec.duplicate_rows {
            DuplicateRowPolicy::Keep => DuplicateRows::Keep,
            DuplicateRowPolicy::Drop => DuplicateRows::Drop,
        },
        dialect: dialect(spec),
        time_zone: spec.time_zone.as_ref().map(ToString::to_string),
        repeated_hour: match spec.repeated_hour {
            RepeatedHour::InOrder => Fold::InOrder,
            RepeatedHour::Earlier => Fold::Earlier,
            RepeatedHour::Later => Fold::Later,
            RepeatedHour::Refuse => Fold::Refuse,
        },
        trade_date: None,
    }))
}

fn dialect(spec: &ReplaySpec) -> Dialect {
    Dialect {
        header: spec.header,
        delimiter: spec.delimiter.map(|delimiter| match delimiter {
            FieldDelimiter::Comma => b',',
            FieldDelimiter::Semicolon => b';',
            FieldDelimiter::Tab => b'\t',
            FieldDelimiter::Pipe => b'|',
        }),
        decimal: match spec.decimal {
            DecimalMark::Point => b'.',
            DecimalMark::Comma => b',',
        },
        thousands: spec.thousands.map(|mark| match mark {
            ThousandsMark::Comma => Thousands::Comma,
            ThousandsMark::Point => Thousands::Point,
            ThousandsMark::Space => Thousands::Space,
            ThousandsMark::Apostrophe => Thousands::Apostrophe,
            ThousandsMark::Underscore => Thousands::Underscore,
        }),
        missing: spec
            .missing
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect(),
    }
}

fn columns(spec: &ColumnsSpec, found: &mut Vec<Violation>) -> Columns {
    const PATH: &str = "spec.source.replay.columns";
    let mut refuse = |field: &str, message: &str| {
        found.push(Violation::new(format!("{PATH}{field}"), message));
    };
    let symbol = column(spec.symbol.as_ref());
    if symbol == ColumnSource::None {
        refuse(
            ".symbol",
            "is missing; name the column of symbols, or write {const: GSPC} for a file of one symbol",
        );
    }
    // Alone, either is the column of both.
    let (date, time) = match (&spec.date, &spec.time) {
        (Some(date), Some(time)) => (column(Some(date)), column(Some(time))),
        (date, time) => (ColumnSource::None, column(time.as_ref().or(date.as_ref()))),
    };
    if time == ColumnSource::None {
        refuse(
            ".time",
            "is missing; name the column of dates or times, with timeFormat where it is not ISO 8601",
        );
    }
    let fields: BTreeMap<String, ColumnSource> = [
        ("open", &spec.open),
        ("high", &spec.high),
        ("low", &spec.low),
        ("close", &spec.close),
        ("adj_close", &spec.adj_close),
        ("volume", &spec.volume),
        ("price", &spec.price),
        ("size", &spec.size),
        ("bid_price", &spec.bid_price),
        ("bid_size", &spec.bid_size),
        ("ask_price", &spec.ask_price),
        ("ask_size", &spec.ask_size),
        ("currency", &spec.currency),
        ("venue", &spec.venue),
        ("trade_id", &spec.trade_id),
        ("side", &spec.side),
        ("conditions", &spec.conditions),
        ("source_seq", &spec.source_seq),
    ]
    .into_iter()
    .filter_map(|(name, spec)| Some((name.to_owned(), column(Some(spec.as_ref()?)))))
    .collect();
    let priced = ["price", "close", "bid_price", "ask_price"];
    if !priced.iter().any(|name| fields.contains_key(*name)) {
        refuse("", "maps no price; name a column for close or price");
    }
    Columns {
        symbol,
        date,
        time,
        time_formats: spec
            .time_format
            .iter()
            .chain(spec.time_formats.iter().flatten())
            .map(ToString::to_string)
            .collect(),
        fields,
    }
}

fn column(spec: Option<&ColumnSpec>) -> ColumnSource {
    match spec {
        None => ColumnSource::None,
        Some(ColumnSpec::Header(header)) => ColumnSource::Header(header.to_string()),
        Some(ColumnSpec::Const(constant)) => ColumnSource::Const(constant.value.to_string()),
        Some(ColumnSpec::From(_)) => ColumnSource::FileName,
    }
}
