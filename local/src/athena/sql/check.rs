//! Looks at a plan for what Trino refuses and DataFusion would coerce in
//! silence: branches of a CASE, items of an IN list, sides of a UNION of
//! types that have nothing in common, and conditions that are no booleans.

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use super::super::fault::Fault;
use super::super::types::trino_name;
use super::coercion::{common, is_text};

/// Checks every expression of a plan.
///
/// # Errors
/// `TYPE_MISMATCH` with the types, as Trino says it.
pub(in super::super) fn check(plan: &LogicalPlan) -> DfResult<()> {
    plan.apply_with_subqueries(|node| {
        let schema = input_schema(node)?;
        for expr in node.expressions() {
            expr.apply(|e| {
                expression(e, &schema)?;
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        match node {
            LogicalPlan::Filter(filter) => boolean(&filter.predicate, &schema, "WHERE")?,
            LogicalPlan::Join(join) => {
                if let Some(filter) = &join.filter {
                    boolean(filter, &schema, "JOIN ON")?;
                }
                for (left, right) in &join.on {
                    let (l, r) = (left.get_type(&schema)?, right.get_type(&schema)?);
                    if common(&l, &r).is_none() {
                        return Err(mismatch(format!(
                            "Cannot apply operator: {} = {}",
                            trino_name(&l),
                            trino_name(&r)
                        )));
                    }
                }
            }
            LogicalPlan::Union(union) => sides(union.inputs.iter().map(|i| i.schema()))?,
            LogicalPlan::Values(values) => {
                let empty = DFSchema::empty();
                for row in &values.values {
                    for (first, value) in values.values[0].iter().zip(row) {
                        let (a, b) = (first.get_type(&empty)?, value.get_type(&empty)?);
                        if common(&a, &b).is_none() {
                            return Err(mismatch(format!(
                                "Values rows have mismatched types: {} vs {}",
                                trino_name(&a),
                                trino_name(&b)
                            )));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn mismatch(what: String) -> datafusion::error::DataFusionError {
    Fault::user("TYPE_MISMATCH", what).into()
}

/// What a node's expressions refer to.
fn input_schema(node: &LogicalPlan) -> DfResult<DFSchema> {
    let mut schema = DFSchema::empty();
    for input in node.inputs() {
        schema.merge(input.schema());
    }
    if let LogicalPlan::TableScan(scan) = node {
        schema = DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &Schema::clone(&scan.source.schema()),
        )?;
    }
    Ok(schema)
}

fn boolean(expr: &Expr, schema: &DFSchema, clause: &str) -> DfResult<()> {
    match type_of(expr, schema) {
        Some(DataType::Boolean | DataType::Null) | None => Ok(()),
        Some(other) => Err(mismatch(format!(
            "{clause} clause must evaluate to a boolean: actual type {}",
            trino_name(&other)
        ))),
    }
}

fn sides<'a>(mut schemas: impl Iterator<Item = &'a DFSchemaRef>) -> DfResult<()> {
    let Some(first) = schemas.next() else {
        return Ok(());
    };
    for other in schemas {
        for (i, (a, b)) in first.fields().iter().zip(other.fields()).enumerate() {
            if common(a.data_type(), b.data_type()).is_none() {
                return Err(mismatch(format!(
                    "column {} in UNION query has incompatible types: {}, {}",
                    i + 1,
                    trino_name(a.data_type()),
                    trino_name(b.data_type())
                )));
            }
        }
    }
    Ok(())
}

/// The type, unless the expression refers outside of what is in sight.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    expr.get_type(schema).ok()
}

fn expression(expr: &Expr, schema: &DFSchema) -> DfResult<()> {
    match expr {
        Expr::BinaryExpr(binary) => {
            let comparison = matches!(
                binary.op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            );
            if comparison
                && let (Some(a), Some(b)) = (
                    type_of(&binary.left, schema),
                    type_of(&binary.right, schema),
                )
                && common(&a, &b).is_none()
            {
                return Err(mismatch(format!(
                    "Cannot apply operator: {} {} {}",
                    trino_name(&a),
                    binary.op,
                    trino_name(&b)
                )));
            }
        }
        Expr::InList(list) => {
            if let Some(value) = type_of(&list.expr, schema) {
                for item in &list.list {
                    if let Some(item) = type_of(item, schema)
                        && common(&value, &item).is_none()
                    {
                        return Err(mismatch(format!(
                            "IN value and list items must be the same type or coercible to a common type: {} and {}",
                            trino_name(&value),
                            trino_name(&item)
                        )));
                    }
                }
            }
        }
        Expr::InSubquery(query) => {
            let column = query.subquery.subquery.schema().fields().first().cloned();
            if let (Some(value), Some(column)) = (type_of(&query.expr, schema), column)
                && common(&value, column.data_type()).is_none()
            {
                return Err(mismatch(format!(
                    "value and result of subquery must be of the same type for IN expression: {} vs {}",
                    trino_name(&value),
                    trino_name(column.data_type())
                )));
            }
        }
        Expr::Like(like) => {
            for side in [&like.expr, &like.pattern] {
                if let Some(of) = type_of(side, schema)
                    && !is_text(&of)
                    && of != DataType::Null
                {
                    return Err(mismatch(format!(
                        "Left side of LIKE expression must evaluate to a varchar (actual: {})",
                        trino_name(&of)
                    )));
                }
            }
        }
        Expr::Not(inner) => boolean(inner, schema, "NOT")?,
        Expr::Case(case) => {
            let mut result: Option<DataType> = None;
            for (condition, then) in &case.when_then_expr {
                if case.expr.is_none() {
                    boolean(condition, schema, "CASE WHEN")?;
                }
                result = branch(result, type_of(then, schema))?;
            }
            if let Some(otherwise) = &case.else_expr {
                branch(result, type_of(otherwise, schema))?;
            }
        }
        Expr::ScalarFunction(call)
            if matches!(
                call.func.name(),
                "coalesce" | "nullif" | "greatest" | "least"
            ) =>
        {
            let mut result: Option<DataType> = None;
            for arg in &call.args {
                result = branch(result, type_of(arg, schema))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn branch(so_far: Option<DataType>, next: Option<DataType>) -> DfResult<Option<DataType>> {
    match (so_far, next) {
        (Some(a), Some(b)) => match common(&a, &b) {
            Some(both) => Ok(Some(both)),
            None => Err(mismatch(format!(
                "All results must be the same type or coercible to a common type. Cannot find common type between {} and {}",
                trino_name(&a),
                trino_name(&b)
            ))),
        },
        (a, b) => Ok(a.or(b)),
    }
}
