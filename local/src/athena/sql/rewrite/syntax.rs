//! Syntax trees of expressions, made.

use datafusion::sql::sqlparser::ast::{
    self, CaseWhen, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Value,
    ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::super::Position;
use super::super::operators::placed;

/// `'text'`.
pub(super) fn text(text: impl Into<String>, span: Span) -> Expr {
    Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(text.into()),
        span,
    })
}

pub(super) fn number(digits: &str, span: Span) -> Expr {
    Expr::Value(ValueWithSpan {
        value: Value::Number(digits.to_owned(), false),
        span,
    })
}

pub(super) fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

pub(super) fn cast(kind: CastKind, expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

pub(super) fn double() -> DataType {
    DataType::Double(ExactNumberInfo::None)
}

/// `name(args)`.
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args))
}

pub(super) fn function(name: &str, args: Vec<Expr>) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::with_quote('"', name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args
                .into_iter()
                .map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a)))
                .collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

pub(super) fn case(conditions: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: conditions
            .into_iter()
            .map(|(condition, result)| CaseWhen { condition, result })
            .collect(),
        else_result: otherwise.map(Box::new),
    }
}

pub(super) fn binary(left: Expr, symbol: &str, right: Expr, at: Position) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: placed(symbol, at),
        right: Box::new(right),
    }
}

/// The literal that this rewriting made of a number: digits and type.
pub(super) fn made_literal(expr: &Expr) -> Option<(&str, &DataType, Span)> {
    match expr {
        Expr::Cast {
            expr, data_type, ..
        } => match expr.as_ref() {
            Expr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(digits),
                span,
            }) if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && !matches!(data_type, DataType::Date | DataType::Timestamp(..)) =>
            {
                Some((digits, data_type, *span))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Digits and places of a decimal literal, as Trino counts them.
pub(super) fn decimal_literal(digits: &str) -> DataType {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    let scale = fraction.len();
    let precision = (whole + scale).max(1);
    DataType::Decimal(ExactNumberInfo::PrecisionAndScale(
        precision as u64,
        scale as i64,
    ))
}
