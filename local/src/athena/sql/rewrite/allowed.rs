//! What of a query is passed on, and what is refused by name.

use datafusion::sql::sqlparser::ast::{
    self, GroupByExpr, JoinConstraint, JoinOperator, LimitClause, ObjectNamePart, OrderByKind,
    SelectFlavor, SetExpr,
};

use super::super::super::fault::Fault;
use super::lower;

pub(super) fn allowed_query(query: &ast::Query) -> Result<(), Fault> {
    let refused = if !query.locks.is_empty() {
        Some("FOR UPDATE")
    } else if query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty()
    {
        Some("this clause after the query")
    } else if query.with.as_ref().is_some_and(|w| w.recursive) {
        Some("WITH RECURSIVE")
    } else if matches!(
        &query.limit_clause,
        Some(LimitClause::OffsetCommaLimit { .. })
    ) || matches!(&query.limit_clause, Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty())
    {
        Some("this form of LIMIT")
    } else if query
        .order_by
        .as_ref()
        .is_some_and(|o| matches!(o.kind, OrderByKind::All(_)) || o.interpolate.is_some())
    {
        Some("ORDER BY ALL")
    } else {
        None
    };
    match refused {
        Some(what) => Err(Fault::unsupported(what)),
        None => body(&query.body),
    }
}

pub(super) fn body(body: &SetExpr) -> Result<(), Fault> {
    use ast::SetQuantifier;
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => Ok(()),
        SetExpr::SetOperation {
            set_quantifier,
            left,
            right,
            ..
        } => {
            if !matches!(
                set_quantifier,
                SetQuantifier::None | SetQuantifier::All | SetQuantifier::Distinct
            ) {
                return Err(Fault::unsupported("set operations BY NAME"));
            }
            self::body(left)?;
            self::body(right)
        }
        SetExpr::Table(_) => Err(Fault::unsupported(
            "the statement TABLE (use SELECT * FROM)",
        )),
        _ => Err(Fault::unsupported("a change of data inside a query")),
    }
}

pub(super) fn allowed_select(select: &ast::Select) -> Result<(), Fault> {
    let refused = [
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.into.is_some(), "SELECT INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (
            matches!(select.distinct, Some(ast::Distinct::On(_))),
            "DISTINCT ON",
        ),
        (
            select.flavor != SelectFlavor::Standard,
            "FROM before SELECT",
        ),
        (select.projection.is_empty(), "SELECT without columns"),
        (
            matches!(select.group_by, GroupByExpr::All(_)),
            "GROUP BY ALL",
        ),
    ];
    match refused.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(Fault::unsupported(what)),
        None => Ok(()),
    }
}

pub(super) fn join_columns(operator: &mut JoinOperator) -> Result<(), Fault> {
    let constraint = match operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c)
        | JoinOperator::Right(c)
        | JoinOperator::RightOuter(c)
        | JoinOperator::FullOuter(c)
        | JoinOperator::CrossJoin(c) => c,
        _ => return Err(Fault::unsupported("this kind of JOIN")),
    };
    match constraint {
        JoinConstraint::Using(columns) => {
            for column in columns {
                for part in &mut column.0 {
                    if let ObjectNamePart::Identifier(ident) = part {
                        lower(ident);
                    }
                }
            }
            Ok(())
        }
        JoinConstraint::Natural => Err(Fault::unsupported("NATURAL JOIN")),
        JoinConstraint::On(_) | JoinConstraint::None => Ok(()),
    }
}
