//! Functions whose form differs from Trino's to DataFusion's.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, DuplicateTreatment, Expr, Function, FunctionArgumentClause,
    FunctionArguments, Ident, ObjectName, OrderByExpr, OrderByOptions, Value,
};

use super::super::super::fault::Fault;
use super::super::{Position, functions};
use super::syntax::{binary, call, case, cast, double, function, made_literal, null, text};

/// Aggregates whose names or rules differ.
pub(super) fn aggregate_form(
    name: &str,
    function: &mut Function,
    mut args: Vec<Expr>,
    at: Position,
) -> Result<Option<Expr>, Fault> {
    let distinct = matches!(&function.args, FunctionArguments::List(l)
        if l.duplicate_treatment == Some(DuplicateTreatment::Distinct));
    let windowed = function.over.is_some();
    let renamed = match name {
        "every" => "bool_and",
        "stddev_samp" => "stddev",
        "variance" | "var_samp" => "var",
        "count_if" => {
            // count(CASE WHEN x THEN true END)
            let condition = args.remove(0);
            let counted = case(
                vec![(
                    condition,
                    Expr::Value(Value::Boolean(true).with_empty_span()),
                )],
                None,
            );
            set_args(function, "count", vec![counted]);
            return Ok(None);
        }
        "arbitrary" | "any_value" => {
            if windowed || distinct {
                return Err(Fault::unsupported(format!("{name} with DISTINCT or OVER")));
            }
            // The first value that is not NULL.
            let value = args.remove(0);
            and_filter(function, Expr::IsNotNull(Box::new(value.clone())), at);
            set_args(function, "first_value", vec![value]);
            return Ok(None);
        }
        "max_by" | "min_by" => {
            if windowed || distinct {
                return Err(Fault::unsupported(format!("{name} with DISTINCT or OVER")));
            }
            let value = args.remove(0);
            let by = args.remove(0);
            and_filter(function, Expr::IsNotNull(Box::new(by.clone())), at);
            set_args(function, "first_value", vec![value]);
            if let FunctionArguments::List(list) = &mut function.args {
                list.clauses = vec![FunctionArgumentClause::OrderBy(vec![OrderByExpr {
                    expr: by,
                    options: OrderByOptions {
                        asc: Some(name == "min_by"),
                        nulls_first: Some(false),
                    },
                    with_fill: None,
                }])];
            }
            return Ok(None);
        }
        "approx_percentile" => {
            let share = args.remove(1);
            let share = match made_literal(&share) {
                Some((digits, _, span)) => cast(CastKind::Cast, text(digits, span), double()),
                None => {
                    return Err(Fault::unsupported(
                        "approx_percentile with a percentage that is not a literal",
                    ));
                }
            };
            set_args(
                function,
                "approx_percentile_cont",
                vec![
                    call(functions::PERCENTILE_INPUT, vec![args.remove(0)]),
                    share,
                ],
            );
            return Ok(None);
        }
        _ => {
            if let FunctionArguments::List(list) = &function.args
                && list
                    .clauses
                    .iter()
                    .any(|c| !matches!(c, FunctionArgumentClause::OrderBy(_)))
            {
                return Err(Fault::unsupported(format!("this clause of {name}")));
            }
            return Ok(None);
        }
    };
    function.name = ObjectName::from(vec![Ident::with_quote('"', renamed)]);
    Ok(None)
}

pub(super) fn set_args(call: &mut Function, name: &str, args: Vec<Expr>) {
    let made = function(name, args);
    call.name = made.name;
    call.args = made.args;
}

pub(super) fn and_filter(function: &mut Function, condition: Expr, at: Position) {
    let filter = match function.filter.take() {
        Some(given) => binary(
            Expr::Nested(given),
            "AND",
            Expr::Nested(Box::new(condition)),
            at,
        ),
        None => condition,
    };
    function.filter = Some(Box::new(filter));
}

/// Functions that are another form.
pub(super) fn scalar_form(
    name: &str,
    mut args: Vec<Expr>,
    at: Position,
) -> Result<Option<Expr>, Fault> {
    Ok(Some(match name {
        "if" => {
            let otherwise = (args.len() == 3).then(|| args.remove(2));
            let then = args.remove(1);
            case(vec![(args.remove(0), then)], otherwise)
        }
        "concat" => {
            let mut parts = args.into_iter();
            let Some(first) = parts.next() else {
                return Ok(None);
            };
            Expr::Nested(Box::new(
                parts.fold(first, |whole, part| binary(whole, "||", part, at)),
            ))
        }
        // NULL if any argument is, where DataFusion ignores NULL.
        "greatest" | "least" => {
            let any_null = args
                .iter()
                .map(|a| Expr::IsNull(Box::new(a.clone())))
                .reduce(|a, b| binary(a, "OR", b, at));
            let value = call(name, args);
            match any_null {
                Some(any_null) => case(vec![(any_null, null())], Some(value)),
                None => value,
            }
        }
        "date" => cast(CastKind::Cast, args.remove(0), DataType::Date),
        "mod" => {
            let divisor = args.remove(1);
            Expr::Nested(Box::new(binary(args.remove(0), "%", divisor, at)))
        }
        "pow" => call("power", args),
        "ceiling" => call("ceil", args),
        "substring" => call("substr", args),
        "dow" => call("day_of_week", args),
        "doy" => call("day_of_year", args),
        "yow" => call("year_of_week", args),
        "week_of_year" => call("week", args),
        "day_of_month" => call("day", args),
        _ => return Ok(None),
    }))
}
