//! Literals, casts and patterns.

use datafusion::sql::sqlparser::ast::{
    self, CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, TimezoneInfo, Value,
    ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::super::super::fault::Fault;
use super::super::operators::{integer_literal, type_of};
use super::super::{Position, functions};
use super::KEPT;
use super::syntax::{call, cast, decimal_literal, double, null, text};

/// Trino's literal as a cast of its text, which says its type exactly.
pub(super) fn literal(value: &ValueWithSpan, at: Position) -> Result<Option<Expr>, Fault> {
    let span = value.span;
    match &value.value {
        Value::Number(digits, false) => {
            let of = if digits.contains(['e', 'E']) {
                double()
            } else if digits.contains('.') {
                let of = decimal_literal(digits);
                type_of(&of).map_err(|_| {
                    Fault::user(
                        "NUMERIC_VALUE_OUT_OF_RANGE",
                        format!("{at}: Invalid decimal literal: {digits}"),
                    )
                })?;
                of
            } else {
                match integer_literal(digits) {
                    Some("INTEGER") => DataType::Integer(None),
                    Some(_) => DataType::BigInt(None),
                    None => {
                        return Err(Fault::user(
                            "INVALID_LITERAL",
                            format!("{at}: Invalid numeric literal: {digits}"),
                        ));
                    }
                }
            };
            Ok(Some(cast(CastKind::Cast, text(digits.clone(), span), of)))
        }
        Value::SingleQuotedString(_) | Value::Boolean(_) | Value::Null => Ok(None),
        Value::Placeholder(kept) if kept.starts_with(KEPT) => Ok(None),
        Value::Placeholder(mark) => Err(Fault::user(
            "INVALID_PARAMETER_USAGE",
            format!("{at}: no value was given for the parameter {mark}"),
        )),
        other => Err(Fault::unsupported(format!("the literal {other}"))),
    }
}

/// Rounds and renders as Trino's casts do, where DataFusion's differ.
pub(super) fn rewrite_cast(kind: CastKind, inner: Expr, of: DataType) -> Result<Expr, Fault> {
    type_of(&of)?;
    Ok(match &of {
        DataType::TinyInt(_)
        | DataType::SmallInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_) => cast(kind, call(functions::ROUND_HALF_UP, vec![inner]), of),
        DataType::Varchar(length) => {
            let shown = call(functions::TO_VARCHAR, vec![inner]);
            match length {
                Some(CharacterLength::IntegerLength { length, .. }) => call(
                    "substr",
                    vec![
                        shown,
                        cast(
                            CastKind::Cast,
                            text("1", Span::empty()),
                            DataType::BigInt(None),
                        ),
                        cast(
                            CastKind::Cast,
                            text(length.to_string(), Span::empty()),
                            DataType::BigInt(None),
                        ),
                    ],
                ),
                _ => shown,
            }
        }
        DataType::Boolean => call(
            if kind == CastKind::TryCast {
                functions::TRY_TO_BOOLEAN
            } else {
                functions::TO_BOOLEAN
            },
            vec![inner],
        ),
        _ => cast(
            kind,
            call(functions::CASTABLE, vec![inner, null_of(&of)]),
            of,
        ),
    })
}

/// NULL of a type: tells a function the type.
pub(super) fn null_of(of: &DataType) -> Expr {
    cast(CastKind::Cast, null(), of.clone())
}

pub(super) fn typed_literal(typed: &ast::TypedString, at: Position) -> Result<Expr, Fault> {
    let Value::SingleQuotedString(value) = &typed.value.value else {
        return Err(Fault::unsupported("this kind of typed literal"));
    };
    let span = typed.value.span;
    let invalid = || {
        Fault::user(
            "INVALID_LITERAL",
            format!(
                "{at}: '{value}' is not a valid {} literal",
                typed.data_type.to_string().to_lowercase()
            ),
        )
    };
    let of = match &typed.data_type {
        DataType::Date => {
            value
                .trim()
                .parse::<jiff::civil::Date>()
                .map_err(|_| invalid())?;
            DataType::Date
        }
        DataType::Timestamp(None, TimezoneInfo::None) => {
            let (local, zoned) = match value.trim().strip_suffix(" UTC") {
                Some(local) => (local, true),
                None => (value.trim(), false),
            };
            if local.split_whitespace().count() > 2 {
                return Err(Fault::unsupported(format!(
                    "a timestamp literal in another zone than UTC ({value})"
                )));
            }
            if local
                .split_once('.')
                .is_some_and(|(_, fraction)| fraction.len() > 3)
            {
                return Err(Fault::unsupported(format!(
                    "a timestamp literal finer than milliseconds ({value})"
                )));
            }
            let parsed = local.parse::<jiff::civil::DateTime>().is_ok()
                || local.parse::<jiff::civil::Date>().is_ok();
            if !parsed || local.contains('T') {
                return Err(invalid());
            }
            let zone = if zoned {
                TimezoneInfo::WithTimeZone
            } else {
                TimezoneInfo::None
            };
            return Ok(cast(
                CastKind::Cast,
                text(local, span),
                DataType::Timestamp(None, zone),
            ));
        }
        DataType::Decimal(ExactNumberInfo::None) => {
            let digits = value.trim().trim_start_matches(['-', '+']);
            decimal_literal(digits)
        }
        other @ (DataType::TinyInt(_)
        | DataType::SmallInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_)
        | DataType::Real
        | DataType::Double(_)
        | DataType::Boolean
        | DataType::Varchar(_)) => {
            let other = other.clone();
            if matches!(other, DataType::Varchar(_)) {
                return Ok(text(value.clone(), span));
            }
            other
        }
        other => return Err(Fault::unsupported(format!("the literal {other} '{value}'"))),
    };
    type_of(&of)?;
    Ok(cast(CastKind::Cast, text(value.trim(), span), of))
}

pub(super) fn interval_literal(interval: &ast::Interval, at: Position) -> Result<(), Fault> {
    use ast::DateTimeField::{Day, Hour, Minute, Month, Second, Year};
    let unit = matches!(
        interval.leading_field,
        Some(Year | Month | Day | Hour | Minute | Second)
    );
    if !unit || interval.last_field.is_some() || interval.leading_precision.is_some() {
        return Err(Fault::unsupported("this form of INTERVAL"));
    }
    match interval.value.as_ref() {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(count)
                if count.trim().trim_start_matches('-').parse::<u32>().is_ok() =>
            {
                Ok(())
            }
            other => Err(Fault::user(
                "INVALID_LITERAL",
                format!("{at}: {other} is not a valid interval literal"),
            )),
        },
        _ => Err(Fault::user(
            "SYNTAX_ERROR",
            format!("{at}: an interval is a quoted number"),
        )),
    }
}

/// LIKE's pattern with `\` as the escape, which is DataFusion's.
pub(super) fn like_pattern(
    pattern: &mut Expr,
    escape: &mut Option<ValueWithSpan>,
    at: Position,
) -> Result<(), Fault> {
    let Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(given),
        ..
    }) = pattern
    else {
        return Err(Fault::unsupported(
            "LIKE with a pattern that is not a literal",
        ));
    };
    let escape_char = match escape.take().map(|e| e.value) {
        None => None,
        Some(Value::SingleQuotedString(e)) if e.chars().count() == 1 => e.chars().next(),
        Some(_) => {
            return Err(Fault::user(
                "INVALID_FUNCTION_ARGUMENT",
                format!("{at}: Escape string must be a single character"),
            ));
        }
    };
    let mut translated = String::with_capacity(given.len());
    let mut chars = given.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape_char {
            match chars.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape_char => {
                    if next == '%' || next == '_' || next == '\\' {
                        translated.push('\\');
                    }
                    translated.push(next);
                }
                _ => {
                    return Err(Fault::user(
                        "INVALID_FUNCTION_ARGUMENT",
                        "Escape character must be followed by '%', '_' or the escape character itself",
                    ));
                }
            }
        } else {
            if c == '\\' {
                translated.push('\\');
            }
            translated.push(c);
        }
    }
    *given = translated;
    Ok(())
}
