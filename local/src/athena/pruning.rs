//! Which partitions a statement needs: first by a Glue expression, then
//! exactly.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNode as _;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::fault::Fault;
#[cfg(test)]
use crate::glue::KeyType;

/// What Hive writes for NULL in a partition's values.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// Whether a filter reads partition keys alone, so that pruning decides it.
pub(super) fn decides(filter: &Expr, keys: &Schema) -> bool {
    let subquery = filter.exists(|e| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
        ))
    });
    let columns = filter.column_refs();
    matches!(subquery, Ok(false))
        && !filter.is_volatile()
        && !columns.is_empty()
        && columns
            .iter()
            .all(|c| keys.field_with_name(c.name()).is_ok())
}

/// The part of the filters that Glue's expression language can say. It may
/// keep too many partitions, never too few.
pub(super) fn glue_expression(filters: &[Expr], keys: &Schema) -> Option<String> {
    let terms: Vec<String> = filters
        .iter()
        .flat_map(split_conjunction)
        .filter_map(|term| glue_term(term, keys))
        .collect();
    // Glue takes at most 2,048 characters.
    let mut expression = String::new();
    for term in terms {
        let and = if expression.is_empty() { "" } else { " AND " };
        if expression.len() + and.len() + term.len() <= 2048 {
            expression.push_str(and);
            expression.push_str(&term);
        }
    }
    (!expression.is_empty()).then_some(expression)
}

fn glue_term(term: &Expr, keys: &Schema) -> Option<String> {
    match term {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, literal, op) = match (left.as_ref(), right.as_ref()) {
                (Expr::Column(c), Expr::Literal(v, _)) => (c, v, *op),
                (Expr::Literal(v, _), Expr::Column(c)) => (c, v, op.swap()?),
                (a, b) if *op == Operator::Or => {
                    return Some(format!(
                        "({} OR {})",
                        glue_term(a, keys)?,
                        glue_term(b, keys)?
                    ));
                }
                (a, b) if *op == Operator::And => {
                    return Some(format!(
                        "({} AND {})",
                        glue_term(a, keys)?,
                        glue_term(b, keys)?
                    ));
                }
                _ => return None,
            };
            let symbol = match op {
                Operator::Eq => "=",
                Operator::NotEq => "<>",
                Operator::Lt => "<",
                Operator::LtEq => "<=",
                Operator::Gt => ">",
                Operator::GtEq => ">=",
                _ => return None,
            };
            let literal = glue_literal(column.name(), literal, keys)?;
            Some(format!("{} {symbol} {literal}", column.name()))
        }
        Expr::InList(list) => {
            let Expr::Column(column) = list.expr.as_ref() else {
                return None;
            };
            let items = list
                .list
                .iter()
                .map(|item| match item {
                    Expr::Literal(v, _) => glue_literal(column.name(), v, keys),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()?;
            let not = if list.negated { "NOT " } else { "" };
            Some(format!("{} {not}IN ({})", column.name(), items.join(", ")))
        }
        _ => None,
    }
}

/// The literal in Glue's notation, if it has the key's own type.
fn glue_literal(column: &str, literal: &ScalarValue, keys: &Schema) -> Option<String> {
    let field = keys.field_with_name(column).ok()?;
    if literal.is_null() || literal.data_type() != *field.data_type() {
        return None;
    }
    match literal {
        ScalarValue::Utf8(Some(text)) => Some(format!("'{}'", text.replace('\'', "''"))),
        ScalarValue::Int8(_)
        | ScalarValue::Int16(_)
        | ScalarValue::Int32(_)
        | ScalarValue::Int64(_) => Some(literal.to_string()),
        ScalarValue::Date32(Some(days)) => {
            let mut text = String::new();
            super::render::date(*days, &mut text);
            Some(format!("'{text}'"))
        }
        _ => None,
    }
}

/// The values of partitions as typed columns, one row each.
///
/// # Errors
/// `HIVE_INVALID_PARTITION_VALUE` when a value is not of its key's type.
pub(super) fn typed(values: &[Vec<String>], keys: &SchemaRef) -> Result<RecordBatch, Fault> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns = keys
        .fields()
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let texts: StringArray = values
                .iter()
                .map(|v| {
                    v.get(i)
                        .map(String::as_str)
                        .filter(|v| *v != NULL_PARTITION)
                })
                .collect();
            let texts: ArrayRef = Arc::new(texts);
            if *key.data_type() == DataType::Utf8 {
                return Ok(texts);
            }
            cast_with_options(&texts, key.data_type(), &options).map_err(|_| {
                let bad = values
                    .iter()
                    .filter_map(|v| v.get(i))
                    .find(|v| !of_type(v, key.data_type()))
                    .map_or("", String::as_str);
                Fault::user(
                    "HIVE_INVALID_PARTITION_VALUE",
                    format!(
                        "Invalid partition value '{bad}' for {} partition key: {}",
                        super::types::trino_name(key.data_type()).to_uppercase(),
                        key.name()
                    ),
                )
            })
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    RecordBatch::try_new_with_options(
        Arc::clone(keys),
        columns,
        &RecordBatchOptions::new().with_row_count(Some(values.len())),
    )
    .map_err(|e| Fault::system(format!("partition values: {e}")))
}

fn of_type(value: &str, of: &DataType) -> bool {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    value == NULL_PARTITION || cast_with_options(&text, of, &options).is_ok()
}

/// Which rows of `partitions` fulfil every filter.
///
/// # Errors
/// When a filter cannot be evaluated, for instance a failing cast.
pub(super) fn fulfilled(
    partitions: &RecordBatch,
    filters: &[Expr],
    session: &dyn Session,
) -> DfResult<Vec<bool>> {
    let unqualified = filters
        .iter()
        .map(|f| datafusion::logical_expr::expr_rewriter::unnormalize_col(f.clone()));
    let Some(filter) = conjunction(unqualified) else {
        return Ok(vec![true; partitions.num_rows()]);
    };
    let schema = DFSchema::try_from(partitions.schema())?;
    let physical = session.create_physical_expr(filter, &schema)?;
    let mask = physical
        .evaluate(partitions)?
        .into_array(partitions.num_rows())?;
    let mask = mask.as_boolean();
    Ok((0..mask.len())
        .map(|i| mask.is_valid(i) && mask.value(i))
        .collect())
}

/// Whether Glue compares values of this key as the engine does.
#[cfg(test)]
fn compares_alike(glue_type: &str) -> bool {
    matches!(
        KeyType::of(glue_type),
        KeyType::Text | KeyType::Integer | KeyType::Date
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{col, lit};

    fn keys() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("dt", DataType::Utf8, true),
            Field::new("hour", DataType::Int32, true),
            Field::new("day", DataType::Date32, true),
        ]))
    }

    #[test]
    fn simple_comparisons_become_a_glue_expression() {
        let day = lit(ScalarValue::Date32(Some(20_777)));
        for (filter, expression) in [
            (col("dt").eq(lit("2026-11-20")), Some("dt = '2026-11-20'")),
            (lit(9i32).lt(col("hour")), Some("hour > 9")),
            (col("day").gt_eq(day), Some("day >= '2026-11-20'")),
            (
                col("dt").in_list(vec![lit("a"), lit("b'c")], false),
                Some("dt IN ('a', 'b''c')"),
            ),
            (
                col("dt").eq(lit("a")).or(col("hour").eq(lit(1i32))),
                Some("(dt = 'a' OR hour = 1)"),
            ),
            (col("dt").like(lit("2026%")), None),
            (col("hour").eq(lit(9i64)), None),
        ] {
            assert_eq!(
                glue_expression(std::slice::from_ref(&filter), &keys()).as_deref(),
                expression,
                "{filter}"
            );
        }
        assert!(compares_alike("string") && compares_alike("int") && compares_alike("date"));
    }

    #[test]
    fn what_glue_cannot_say_is_left_out_of_a_conjunction_only() {
        let filters = [
            col("dt").eq(lit("a")).and(col("dt").like(lit("%"))),
            col("hour").eq(lit(1i32)),
        ];
        assert_eq!(
            glue_expression(&filters, &keys()).unwrap(),
            "dt = 'a' AND hour = 1"
        );
        let or = [col("dt").eq(lit("a")).or(col("dt").like(lit("%")))];
        assert_eq!(glue_expression(&or, &keys()), None);
    }

    #[test]
    fn filters_on_other_columns_do_not_decide() {
        assert!(decides(&col("dt").eq(lit("a")), &keys()));
        assert!(!decides(&col("dt").eq(col("symbol")), &keys()));
        assert!(!decides(&lit(true), &keys()));
    }

    #[test]
    fn values_are_typed_and_null_is_hives() {
        let values = vec![
            vec!["a".into(), "7".into(), "2026-11-20".into()],
            vec![NULL_PARTITION.into(), "8".into(), NULL_PARTITION.into()],
        ];
        let batch = typed(&values, &keys()).unwrap();
        assert!(batch.column(0).is_null(1) && batch.column(2).is_null(1));
        let session = datafusion::prelude::SessionContext::new();
        let filter = col("hour").gt(lit(7i32));
        assert_eq!(
            fulfilled(&batch, &[filter], &session.state()).unwrap(),
            [false, true]
        );
        let bad = vec![vec!["a".into(), "x".into(), "2026-11-20".into()]];
        assert_eq!(
            typed(&bad, &keys()).unwrap_err().message,
            "HIVE_INVALID_PARTITION_VALUE: Invalid partition value 'x' for INTEGER partition key: hour"
        );
    }
}
