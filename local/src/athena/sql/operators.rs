//! Operators and types, planned by Trino's rules.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::DFSchema;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr, TypePlanner,
};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Operator as DfOperator, WindowFunctionDefinition, cast,
};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, ExactNumberInfo, TimezoneInfo};

use super::super::fault::Fault;
use super::super::types::{TIMESTAMP, timestamp_utc, trino_name};
use super::arithmetic::{Arithmetic, Operator};
use super::coercion::{as_decimal, common, is_number, is_text, is_time};

/// Separates an operator's symbol from its position in the rewritten tree.
const AT: char = '@';

/// The operator `symbol` at a position, as the rewriting writes it.
pub(super) fn placed(symbol: &str, at: super::Position) -> BinaryOperator {
    BinaryOperator::Custom(format!("{symbol}{AT}{}:{}", at.line, at.column))
}

/// Plans operators.
#[derive(Debug)]
pub(super) struct TrinoOperators;

impl ExprPlanner for TrinoOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawBinaryExpr>> {
        let BinaryOperator::Custom(op) = &expr.op else {
            return Err(Fault::unsupported(format!("the operator {}", expr.op)).into());
        };
        let (symbol, at) = op.rsplit_once(AT).unwrap_or((op, "1:1"));
        let left_type = expr.left.get_type(schema)?;
        let right_type = expr.right.get_type(schema)?;
        let operation = Operation {
            symbol,
            at,
            left: expr.left,
            right: expr.right,
            left_type,
            right_type,
        };
        Ok(PlannerResult::Planned(operation.plan()?))
    }

    fn plan_aggregate(&self, expr: RawAggregateExpr) -> DfResult<PlannerResult<RawAggregateExpr>> {
        // DataFusion counts in unsigned numbers, Trino in bigint.
        if expr.func.name() == "approx_distinct" {
            let RawAggregateExpr {
                func,
                args,
                distinct,
                filter,
                order_by,
                null_treatment,
            } = expr;
            let call = Expr::AggregateFunction(
                datafusion::logical_expr::expr::AggregateFunction::new_udf(
                    func,
                    args,
                    distinct,
                    filter,
                    order_by,
                    null_treatment,
                ),
            );
            return Ok(PlannerResult::Planned(cast(call, DataType::Int64)));
        }
        Ok(PlannerResult::Original(expr))
    }

    fn plan_window(&self, expr: RawWindowExpr) -> DfResult<PlannerResult<RawWindowExpr>> {
        let ranks = matches!(&expr.func_def, WindowFunctionDefinition::WindowUDF(f)
            if matches!(f.name(), "row_number" | "rank" | "dense_rank" | "ntile"));
        if !ranks {
            return Ok(PlannerResult::Original(expr));
        }
        let RawWindowExpr {
            func_def,
            args,
            partition_by,
            order_by,
            window_frame,
            filter,
            null_treatment,
            distinct,
        } = expr;
        let call = Expr::WindowFunction(Box::new(datafusion::logical_expr::expr::WindowFunction {
            fun: func_def,
            params: datafusion::logical_expr::expr::WindowFunctionParams {
                args,
                partition_by,
                order_by,
                window_frame,
                filter,
                null_treatment,
                distinct,
            },
        }));
        Ok(PlannerResult::Planned(cast(call, DataType::Int64)))
    }
}

struct Operation<'a> {
    symbol: &'a str,
    at: &'a str,
    left: Expr,
    right: Expr,
    left_type: DataType,
    right_type: DataType,
}

/// `expr` as `to`, cast only if it is of another type.
fn as_type(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to {
        expr
    } else {
        cast(expr, to.clone())
    }
}

fn binary(left: Expr, op: DfOperator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

impl Operation<'_> {
    fn mismatch(&self) -> Fault {
        Fault::user(
            "TYPE_MISMATCH",
            format!(
                "line {}: Cannot apply operator: {} {} {}",
                self.at,
                trino_name(&self.left_type),
                self.symbol,
                trino_name(&self.right_type)
            ),
        )
    }

    fn plan(self) -> Result<Expr, Fault> {
        let comparison = match self.symbol {
            "=" => Some(DfOperator::Eq),
            "<>" => Some(DfOperator::NotEq),
            "<" => Some(DfOperator::Lt),
            "<=" => Some(DfOperator::LtEq),
            ">" => Some(DfOperator::Gt),
            ">=" => Some(DfOperator::GtEq),
            "IS DISTINCT FROM" => Some(DfOperator::IsDistinctFrom),
            "IS NOT DISTINCT FROM" => Some(DfOperator::IsNotDistinctFrom),
            _ => None,
        };
        if let Some(op) = comparison {
            let to = common(&self.left_type, &self.right_type).ok_or_else(|| self.mismatch())?;
            return Ok(binary(
                as_type(self.left, &self.left_type, &to),
                op,
                as_type(self.right, &self.right_type, &to),
            ));
        }
        match self.symbol {
            "AND" | "OR" => self.logical(),
            "||" => self.concatenation(),
            _ => self.arithmetic(),
        }
    }

    fn logical(self) -> Result<Expr, Fault> {
        for of in [&self.left_type, &self.right_type] {
            if !matches!(of, DataType::Boolean | DataType::Null) {
                return Err(Fault::user(
                    "TYPE_MISMATCH",
                    format!(
                        "line {}: Logical expression term must evaluate to a boolean (actual: {})",
                        self.at,
                        trino_name(of)
                    ),
                ));
            }
        }
        let op = if self.symbol == "AND" {
            DfOperator::And
        } else {
            DfOperator::Or
        };
        Ok(binary(self.left, op, self.right))
    }

    fn concatenation(self) -> Result<Expr, Fault> {
        let text = |of: &DataType| is_text(of) || *of == DataType::Null;
        if !text(&self.left_type) || !text(&self.right_type) {
            return Err(Fault::user(
                "TYPE_MISMATCH",
                format!(
                    "line {}: Cannot apply operator: {} || {}: only varchar values are concatenated",
                    self.at,
                    trino_name(&self.left_type),
                    trino_name(&self.right_type)
                ),
            ));
        }
        Ok(binary(
            as_type(self.left, &self.left_type, &DataType::Utf8),
            DfOperator::StringConcat,
            as_type(self.right, &self.right_type, &DataType::Utf8),
        ))
    }

    fn arithmetic(self) -> Result<Expr, Fault> {
        let Some(operator) = Operator::of(self.symbol) else {
            return Err(Fault::unsupported(format!("the operator {}", self.symbol)));
        };
        let (a, b) = (&self.left_type, &self.right_type);
        if is_time(a) || is_time(b) {
            return self.time(operator);
        }
        // NULL takes the type of the other side.
        let (a, b) = match (a, b) {
            (DataType::Null, DataType::Null) => (DataType::Int32, DataType::Int32),
            (DataType::Null, b) => (b.clone(), b.clone()),
            (a, DataType::Null) => (a.clone(), a.clone()),
            (a, b) => (a.clone(), b.clone()),
        };
        if !is_number(&a) || !is_number(&b) {
            return Err(self.mismatch());
        }
        let to = common(&a, &b).ok_or_else(|| self.mismatch())?;
        match &to {
            DataType::Float32 | DataType::Float64 => {
                let op = match operator {
                    Operator::Add => DfOperator::Plus,
                    Operator::Subtract => DfOperator::Minus,
                    Operator::Multiply => DfOperator::Multiply,
                    Operator::Divide => DfOperator::Divide,
                    Operator::Modulus => DfOperator::Modulo,
                };
                Ok(binary(
                    as_type(self.left, &self.left_type, &to),
                    op,
                    as_type(self.right, &self.right_type, &to),
                ))
            }
            DataType::Decimal128(..) => {
                // Each side keeps its own precision and scale.
                let own = |of: &DataType| match as_decimal(of) {
                    Some((p, s)) => DataType::Decimal128(p, s),
                    None => of.clone(),
                };
                let (a, b) = (own(&a), own(&b));
                if let (Some(a), Some(b)) = (as_decimal(&a), as_decimal(&b)) {
                    operator.decimal_type(a, b)?;
                }
                Ok(call(
                    operator,
                    as_type(self.left, &self.left_type, &a),
                    as_type(self.right, &self.right_type, &b),
                ))
            }
            _ => Ok(call(
                operator,
                as_type(self.left, &self.left_type, &to),
                as_type(self.right, &self.right_type, &to),
            )),
        }
    }

    /// Dates and timestamps, plus or minus an interval.
    fn time(self, operator: Operator) -> Result<Expr, Fault> {
        let interval = |of: &DataType| matches!(of, DataType::Interval(_));
        match operator {
            Operator::Add if is_time(&self.left_type) && interval(&self.right_type) => {
                Ok(binary(self.left, DfOperator::Plus, self.right))
            }
            Operator::Add if interval(&self.left_type) && is_time(&self.right_type) => {
                Ok(binary(self.right, DfOperator::Plus, self.left))
            }
            Operator::Subtract if is_time(&self.left_type) && interval(&self.right_type) => {
                Ok(binary(self.left, DfOperator::Minus, self.right))
            }
            Operator::Subtract if is_time(&self.left_type) && is_time(&self.right_type) => Err(
                Fault::unsupported("the difference of two times (use date_diff)"),
            ),
            _ => Err(self.mismatch()),
        }
    }
}

fn call(operator: Operator, left: Expr, right: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arithmetic::udf(operator),
        vec![left, right],
    ))
}

/// Plans the types of CAST and of typed literals.
#[derive(Debug)]
pub(super) struct TrinoTypes;

impl TypePlanner for TrinoTypes {
    fn plan_type_field(&self, of: &ast::DataType) -> DfResult<Option<FieldRef>> {
        Ok(Some(Arc::new(Field::new("", type_of(of)?, true))))
    }
}

/// The Arrow type of an SQL type.
///
/// # Errors
/// The type's name, when Athena or this engine does not have it.
pub(super) fn type_of(of: &ast::DataType) -> Result<DataType, Fault> {
    use ast::DataType as Sql;
    let refused = || Fault::unsupported(format!("the type {of}"));
    Ok(match of {
        Sql::Boolean => DataType::Boolean,
        Sql::TinyInt(None) => DataType::Int8,
        Sql::SmallInt(None) => DataType::Int16,
        Sql::Int(None) | Sql::Integer(None) => DataType::Int32,
        Sql::BigInt(None) => DataType::Int64,
        Sql::Real => DataType::Float32,
        Sql::Double(ExactNumberInfo::None) | Sql::DoublePrecision => DataType::Float64,
        Sql::Varchar(_) => DataType::Utf8,
        Sql::Varbinary(None) => DataType::Binary,
        Sql::Date => DataType::Date32,
        Sql::Timestamp(None | Some(3), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            TIMESTAMP
        }
        Sql::Timestamp(None | Some(3), TimezoneInfo::WithTimeZone) => timestamp_utc(),
        Sql::Decimal(info) | Sql::Dec(info) => match info {
            ExactNumberInfo::None => DataType::Decimal128(38, 0),
            ExactNumberInfo::Precision(p) => decimal(*p, 0).ok_or_else(refused)?,
            ExactNumberInfo::PrecisionAndScale(p, s) => decimal(*p, *s).ok_or_else(refused)?,
        },
        _ => return Err(refused()),
    })
}

fn decimal(precision: u64, scale: i64) -> Option<DataType> {
    let p = u8::try_from(precision)
        .ok()
        .filter(|p| (1..=38).contains(p))?;
    let s = i8::try_from(scale)
        .ok()
        .filter(|s| *s >= 0 && *s as u8 <= p)?;
    Some(DataType::Decimal128(p, s))
}

/// The type of an integer literal, as Trino reads it.
pub(super) fn integer_literal(digits: &str) -> Option<&'static str> {
    let value: i64 = digits.parse().ok()?;
    Some(if i32::try_from(value).is_ok() {
        "INTEGER"
    } else {
        "BIGINT"
    })
}
