//! Expressions, with the meaning that Trino gives them.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CastKind, CeilFloorKind, DataType, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Spanned,
    TimezoneInfo, UnaryOperator, Value, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::super::super::fault::Fault;
use super::super::operators::{placed, type_of};
use super::super::{Position, functions};
use super::form::{aggregate_form, scalar_form};
use super::literal::{interval_literal, like_pattern, literal, rewrite_cast, typed_literal};
use super::syntax::{binary, call, case, cast, made_literal, null, text};
use super::{Rewriter, keep, lower};

/// The operator with its position, if Trino has it.
pub(super) fn operator(op: &BinaryOperator, at: Position) -> Result<BinaryOperator, Fault> {
    let symbol = match op {
        BinaryOperator::Plus => "+",
        BinaryOperator::Minus => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::Modulo => "%",
        BinaryOperator::StringConcat => "||",
        BinaryOperator::Gt => ">",
        BinaryOperator::Lt => "<",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::And => "AND",
        BinaryOperator::Or => "OR",
        // Made by this rewriting.
        BinaryOperator::Custom(_) => return Ok(op.clone()),
        other => {
            return Err(Fault::user(
                "SYNTAX_ERROR",
                format!("{at}: the operator {other} is not one of Athena's"),
            ));
        }
    };
    Ok(placed(symbol, at))
}

/// Frame bounds, and numbers that a window function wants as they are.
pub(super) fn keep_function_numbers(function: &mut Function) -> Result<(), Fault> {
    let Some(over) = &mut function.over else {
        return Ok(());
    };
    if let FunctionArguments::List(list) = &mut function.args {
        let name = function.name.to_string().to_lowercase();
        let from = match name.as_str() {
            "lag" | "lead" | "nth_value" => 1,
            "ntile" => 0,
            _ => usize::MAX,
        };
        // The default of lag and lead is a value, not a count.
        for arg in list.args.iter_mut().skip(from).take(1) {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
                keep(expr);
            }
        }
    }
    match over {
        WindowType::NamedWindow(name) => lower(name),
        WindowType::WindowSpec(spec) => {
            if let Some(name) = &mut spec.window_name {
                lower(name);
            }
            if let Some(frame) = &mut spec.window_frame {
                use ast::WindowFrameBound::{Following, Preceding};
                if frame.units == ast::WindowFrameUnits::Groups {
                    return Err(Fault::unsupported("a window frame of GROUPS"));
                }
                for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()]
                    .into_iter()
                    .flatten()
                {
                    if let Preceding(Some(expr)) | Following(Some(expr)) = bound {
                        keep(expr);
                    }
                }
            }
        }
    }
    Ok(())
}

impl Rewriter<'_> {
    /// Where `symbol` stands, after `end`.
    pub(super) fn operator_position(&self, end: Location, symbol: &str) -> Position {
        let end: Position = end.into();
        self.tokens
            .iter()
            .find(|t| {
                Position::from(t.span.start) >= end
                    && t.token.to_string().eq_ignore_ascii_case(symbol)
            })
            .map_or(end, |t| t.span.start.into())
    }

    /// The form that replaces `expr`, if it needs one.
    pub(super) fn expression(&mut self, expr: &mut Expr) -> Result<Option<Expr>, Fault> {
        let at: Position = expr.span().start.into();
        let taken = |boxed: &mut Box<Expr>| std::mem::replace(boxed.as_mut(), null());
        Ok(Some(match expr {
            Expr::Identifier(ident) => {
                self.column(ident);
                return Ok(None);
            }
            Expr::CompoundIdentifier(idents) => {
                for ident in idents.iter_mut() {
                    lower(ident);
                }
                if let (Some(first), Some(last)) = (idents.first(), idents.last()) {
                    self.columns
                        .push((last.value.clone(), first.span.start.into()));
                }
                return Ok(None);
            }
            Expr::Value(value) => match literal(value, at)? {
                Some(rewritten) => rewritten,
                None => return Ok(None),
            },
            Expr::UnaryOp { op, expr: inner } => match op {
                UnaryOperator::Plus => Expr::Nested(Box::new(taken(inner))),
                UnaryOperator::Not => return Ok(None),
                UnaryOperator::Minus => match made_literal(inner) {
                    Some((digits, of, span)) => {
                        cast(CastKind::Cast, text(format!("-{digits}"), span), of.clone())
                    }
                    None => call(functions::NEGATE, vec![taken(inner)]),
                },
                other => return Err(Fault::unsupported(format!("the operator {other}"))),
            },
            Expr::Between {
                expr: value,
                negated,
                low,
                high,
            } => {
                let value = taken(value);
                let above = binary(value.clone(), ">=", taken(low), at);
                let below = binary(value, "<=", taken(high), at);
                let both = Expr::Nested(Box::new(binary(above, "AND", below, at)));
                if *negated {
                    Expr::UnaryOp {
                        op: UnaryOperator::Not,
                        expr: Box::new(both),
                    }
                } else {
                    both
                }
            }
            Expr::IsDistinctFrom(a, b) => binary(taken(a), "IS DISTINCT FROM", taken(b), at),
            Expr::IsNotDistinctFrom(a, b) => binary(taken(a), "IS NOT DISTINCT FROM", taken(b), at),
            Expr::Like {
                any: false,
                pattern,
                escape_char,
                ..
            } => {
                like_pattern(pattern, escape_char, at)?;
                return Ok(None);
            }
            Expr::Cast {
                kind,
                expr: inner,
                data_type,
                array: false,
                format: None,
            } => {
                if *kind == CastKind::DoubleColon {
                    return Err(Fault::user(
                        "SYNTAX_ERROR",
                        format!("{at}: mismatched input '::'. Expecting: CAST"),
                    ));
                }
                // Already of its final form: a literal.
                if made_literal(inner).is_none()
                    && matches!(inner.as_ref(), Expr::Value(v) if matches!(v.value, Value::Null))
                {
                    type_of(data_type)?;
                    return Ok(None);
                }
                rewrite_cast(kind.clone(), taken(inner), data_type.clone())?
            }
            Expr::TypedString(typed) => typed_literal(typed, at)?,
            Expr::Interval(interval) => {
                interval_literal(interval, at)?;
                return Ok(None);
            }
            Expr::Extract {
                field, expr: inner, ..
            } => {
                let name = match field.to_string().to_lowercase().as_str() {
                    "dow" | "dayofweek" | "day_of_week" => "day_of_week".to_owned(),
                    "doy" | "dayofyear" | "day_of_year" => "day_of_year".to_owned(),
                    "yow" | "year_of_week" => "year_of_week".to_owned(),
                    known @ ("year" | "quarter" | "month" | "week" | "day" | "hour" | "minute"
                    | "second") => known.to_owned(),
                    other => {
                        return Err(Fault::user(
                            "SYNTAX_ERROR",
                            format!("{at}: Invalid EXTRACT field: {other}"),
                        ));
                    }
                };
                call(&name, vec![taken(inner)])
            }
            Expr::Position { expr: part, r#in } => call("strpos", vec![taken(r#in), taken(part)]),
            Expr::Substring {
                expr: inner,
                substring_from,
                substring_for,
                ..
            } => {
                let mut args = vec![taken(inner)];
                args.extend(substring_from.as_mut().map(&taken));
                args.extend(substring_for.as_mut().map(&taken));
                call("substr", args)
            }
            Expr::Trim {
                expr: inner,
                trim_where,
                trim_what,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let mut args = vec![taken(inner)];
                args.extend(trim_what.as_mut().map(taken));
                args.extend(trim_characters.take().into_iter().flatten());
                call(name, args)
            }
            Expr::Ceil {
                expr: inner,
                field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => call("ceil", vec![taken(inner)]),
            Expr::Floor {
                expr: inner,
                field: CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime),
            } => call("floor", vec![taken(inner)]),
            Expr::Case {
                operand: Some(operand),
                conditions,
                else_result,
                ..
            } => {
                // CASE x WHEN a is CASE WHEN x = a, with Trino's types.
                let operand = taken(operand);
                let conditions = conditions
                    .drain(..)
                    .map(|when| {
                        let at = when.condition.span().start.into();
                        (
                            binary(operand.clone(), "=", when.condition, at),
                            when.result,
                        )
                    })
                    .collect();
                case(conditions, else_result.as_mut().map(taken))
            }
            Expr::Function(function) => return self.function(function, at),
            Expr::BinaryOp { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Nested(_)
            | Expr::Case { .. }
            | Expr::Exists { .. }
            | Expr::Subquery(_)
            | Expr::GroupingSets(_)
            | Expr::Cube(_)
            | Expr::Rollup(_)
            | Expr::Wildcard(_)
            | Expr::QualifiedWildcard(..) => return Ok(None),
            Expr::AtTimeZone { .. } => return Err(Fault::unsupported("AT TIME ZONE")),
            Expr::Array(_) => return Err(Fault::unsupported("the constructor ARRAY[…]")),
            Expr::Tuple(_) => return Err(Fault::unsupported("a row value")),
            Expr::CompoundFieldAccess { .. } => {
                return Err(Fault::unsupported("a subscript or field of an expression"));
            }
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                return Err(Fault::unsupported("a comparison with ANY, SOME or ALL"));
            }
            Expr::Lambda(_) => return Err(Fault::unsupported("a lambda expression")),
            other => return Err(Fault::unsupported(format!("the expression {other}"))),
        }))
    }

    pub(super) fn column(&mut self, ident: &mut Ident) {
        let at = ident.span.start.into();
        lower(ident);
        self.columns.push((ident.value.clone(), at));
    }

    fn function(&mut self, function: &mut Function, at: Position) -> Result<Option<Expr>, Fault> {
        let [ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else {
            return Err(Fault::user(
                "FUNCTION_NOT_FOUND",
                format!("{at}: Function '{}' not registered", function.name),
            ));
        };
        let name = ident.value.to_lowercase();
        if name.starts_with('$') {
            // Made by this rewriting.
            return Ok(None);
        }
        let aggregate = functions::is_aggregate(&name);
        let window = functions::is_window(&name);
        if !(aggregate || window || functions::is_scalar(&name)) {
            return Err(Fault::user(
                "FUNCTION_NOT_FOUND",
                format!("{at}: Function '{name}' not registered"),
            ));
        }
        if window && !aggregate && function.over.is_none() {
            return Err(Fault::user(
                "MISSING_OVER",
                format!("{at}: Window function {name} requires an OVER clause"),
            ));
        }
        if !aggregate && !window && (function.over.is_some() || function.filter.is_some()) {
            return Err(Fault::user(
                "FUNCTION_NOT_AGGREGATE",
                format!("{at}: {name} is not an aggregate function"),
            ));
        }
        if !function.within_group.is_empty()
            || !matches!(function.parameters, FunctionArguments::None)
        {
            return Err(Fault::unsupported(format!("WITHIN GROUP of {name}")));
        }
        function.name = ObjectName::from(vec![Ident::with_quote('"', name.clone())]);
        let args = match &mut function.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::Subquery(_) => {
                return Err(Fault::unsupported("a query as an argument"));
            }
            FunctionArguments::List(list) => {
                if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) && !aggregate {
                    return Err(Fault::user(
                        "FUNCTION_NOT_AGGREGATE",
                        format!("{at}: DISTINCT is not supported for non-aggregation functions"),
                    ));
                }
                let mut args = Vec::new();
                for arg in &list.args {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => args.push(e.clone()),
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {
                            return Ok(None);
                        }
                        _ => {
                            return Err(Fault::unsupported(format!(
                                "this kind of argument of {name}"
                            )));
                        }
                    }
                }
                args
            }
        };
        functions::arity(&name, args.len()).map_err(|wanted| {
            Fault::user(
                "FUNCTION_NOT_FOUND",
                format!(
                    "{at}: Unexpected parameters for function {name}: {} given. Expected: {wanted}",
                    args.len()
                ),
            )
        })?;
        if aggregate {
            return aggregate_form(&name, function, args, at);
        }
        if let Some(of) = match name.as_str() {
            "now" | "current_timestamp" => {
                Some(DataType::Timestamp(None, TimezoneInfo::WithTimeZone))
            }
            "localtimestamp" => Some(DataType::Timestamp(None, TimezoneInfo::None)),
            "current_date" => Some(DataType::Date),
            _ => None,
        } {
            // The same instant everywhere in the query.
            let mut instant = String::new();
            super::super::super::render::timestamp(self.now, &mut instant);
            if of == DataType::Date {
                instant.truncate(10);
            }
            return Ok(Some(cast(CastKind::Cast, text(instant, Span::empty()), of)));
        }
        scalar_form(&name, args, at)
    }
}
