//! Rewrites a query's syntax tree so that DataFusion plans Trino's meaning.
//!
//! - literals get Trino's types: `1` is an integer, `1.50` a decimal(3,2),
//!   `1e0` a double;
//! - operators carry their position, so that type errors point at them;
//! - `BETWEEN`, simple `CASE`, `EXTRACT`, casts and functions become forms
//!   that mean the same in DataFusion;
//! - names are lower-cased, quoted ones too, since Athena's are
//!   case-insensitive; the output keeps them as written;
//! - what has no such form is refused by name.

mod allowed;
mod expression;
mod form;
mod literal;
mod syntax;

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, Ident, LimitClause, ObjectName, ObjectNamePart, OrderByExpr,
    OrderByKind, SelectItem, SetExpr, Spanned, TableFactor, Value, ValueWithSpan, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Span, TokenWithSpan};

use super::super::fault::Fault;
use super::Position;
use super::output::{OutputNames, UNNAMED};
use allowed::{allowed_query, allowed_select, join_columns};
use expression::{keep_function_numbers, operator};
use syntax::number;

/// A query, ready for DataFusion.
#[derive(Clone, Debug)]
pub(in super::super) struct Query {
    pub(in super::super) tree: ast::Query,
    /// Every table that the query may read, once.
    pub(in super::super) tables: Vec<TableRef>,
    /// How the result's columns are called.
    pub(in super::super) names: OutputNames,
    /// Where columns are mentioned: lower-cased name and position.
    columns: Vec<(String, Position)>,
}

/// A table that a query mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct TableRef {
    /// `None`: the database of the query's context.
    pub(in super::super) database: Option<String>,
    pub(in super::super) table: String,
    pub(in super::super) at: Position,
    /// Whether a common table expression has this name, too, so that the
    /// table need not be there.
    pub(in super::super) maybe_cte: bool,
}

/// Parses the values of `ExecutionParameters`, which stand for `?`.
///
/// # Errors
/// When one is not a literal expression.
pub(in super::super) fn parameters(texts: &[String]) -> Result<Vec<Expr>, Fault> {
    texts
        .iter()
        .map(|text| {
            datafusion::sql::sqlparser::parser::Parser::new(&super::statement::AthenaDialect)
                .with_recursion_limit(50)
                .try_with_sql(text)
                .and_then(|mut p| p.parse_expr())
                .map_err(|_| {
                    Fault::user(
                        "INVALID_PARAMETER_USAGE",
                        format!("{text} is not a literal"),
                    )
                })
        })
        .collect()
}

impl Query {
    /// Rewrites `tree`, with `parameters` in the place of `?`.
    ///
    /// # Errors
    /// What is not supported, by name and mostly with its position.
    pub(in super::super) fn new(
        mut tree: ast::Query,
        tokens: &[TokenWithSpan],
        parameters: Vec<Expr>,
    ) -> Result<Self, Fault> {
        let names = OutputNames::take(&mut tree);
        let given = parameters.len();
        let mut rewriter = Rewriter {
            tokens,
            parameters: parameters.into_iter(),
            used: 0,
            ctes: HashSet::new(),
            tables: Vec::new(),
            columns: Vec::new(),
            unnamed: 0,
            now: jiff::Timestamp::now().as_millisecond(),
        };
        if let ControlFlow::Break(fault) = tree.visit(&mut rewriter) {
            return Err(fault);
        }
        if rewriter.used != given {
            return Err(Fault::user(
                "INVALID_PARAMETER_USAGE",
                format!(
                    "Incorrect number of parameters: expected {} but found {given}",
                    rewriter.used
                ),
            ));
        }
        let Rewriter {
            ctes,
            mut tables,
            columns,
            ..
        } = rewriter;
        for table in &mut tables {
            table.maybe_cte = table.database.is_none() && ctes.contains(&table.table);
        }
        let _ = tree.visit(&mut Restore);
        Ok(Self {
            tree,
            tables,
            names,
            columns,
        })
    }

    /// Where the query mentions a column of this name first.
    pub(in super::super) fn column_position(&self, name: &str) -> Option<Position> {
        self.columns
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, at)| *at)
    }
}

/// Marks a number that must stay as it is: an ordinal, a LIMIT, a frame bound.
const KEPT: char = '#';

/// Puts the kept numbers back.
struct Restore;

impl VisitorMut for Restore {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(text) = &value.value
            && let Some(digits) = text.strip_prefix(KEPT)
        {
            value.value = Value::Number(digits.to_owned(), false);
        }
        ControlFlow::Continue(())
    }
}

fn keep(expr: &mut Expr) {
    if let Expr::Value(value) = expr
        && let Value::Number(digits, _) = &value.value
    {
        value.value = Value::Placeholder(format!("{KEPT}{digits}"));
    }
}

struct Rewriter<'t> {
    tokens: &'t [TokenWithSpan],
    parameters: std::vec::IntoIter<Expr>,
    used: usize,
    ctes: HashSet<String>,
    tables: Vec<TableRef>,
    columns: Vec<(String, Position)>,
    unnamed: usize,
    /// Epoch milliseconds of the query's start.
    now: i64,
}

type Flow = ControlFlow<Fault>;

/// Turns an error into a visitor's break.
macro_rules! stop {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(fault) => return ControlFlow::Break(fault),
        }
    };
}

fn lower(ident: &mut Ident) {
    ident.value = ident.value.to_lowercase();
    ident.quote_style = Some('"');
}

impl VisitorMut for Rewriter<'_> {
    type Break = Fault;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> Flow {
        stop!(allowed_query(query));
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                lower(&mut cte.alias.name);
                for column in &mut cte.alias.columns {
                    lower(&mut column.name);
                }
                self.ctes.insert(cte.alias.name.value.clone());
            }
        }
        if let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(exprs) = &mut order.kind
        {
            if let SetExpr::Select(select) = query.body.as_ref()
                && select.distinct.is_some()
            {
                exprs.iter_mut().for_each(|e| by_ordinal(e, select));
            }
            exprs.iter_mut().for_each(|e| keep(&mut e.expr));
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            if let Some(limit) = limit {
                keep(limit);
            }
            if let Some(offset) = offset {
                keep(&mut offset.value);
            }
        }
        // FETCH FIRST n ROWS ONLY is LIMIT n.
        if let Some(fetch) = query.fetch.take() {
            if fetch.with_ties || fetch.percent {
                return ControlFlow::Break(Fault::unsupported("FETCH … WITH TIES or PERCENT"));
            }
            let mut quantity = fetch.quantity.unwrap_or_else(|| number("1", Span::empty()));
            keep(&mut quantity);
            match &mut query.limit_clause {
                Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(quantity),
                _ => {
                    query.limit_clause = Some(LimitClause::LimitOffset {
                        limit: Some(quantity),
                        offset: None,
                        limit_by: Vec::new(),
                    });
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> Flow {
        stop!(allowed_select(select));
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => lower(alias),
                SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                | SelectItem::Wildcard(_)
                | SelectItem::QualifiedWildcard(..) => {}
                SelectItem::UnnamedExpr(expr) => {
                    let expr = expr.clone();
                    let alias = Ident::with_quote('"', format!("{UNNAMED}{}", self.unnamed));
                    self.unnamed += 1;
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
                SelectItem::ExprWithAliases { .. } => {
                    return ControlFlow::Break(Fault::unsupported("several aliases of a column"));
                }
            }
        }
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(keep);
        }
        for from in &mut select.from {
            for join in &mut from.joins {
                stop!(join_columns(&mut join.join_operator));
            }
        }
        for window in &mut select.named_window {
            lower(&mut window.0);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> Flow {
        let mut idents: Vec<Ident> = Vec::new();
        for part in &relation.0 {
            match part {
                ObjectNamePart::Identifier(ident) => idents.push(ident.clone()),
                ObjectNamePart::Function(_) => {
                    return ControlFlow::Break(Fault::unsupported("a function as a table name"));
                }
            }
        }
        let at: Position = idents
            .first()
            .map(|i| i.span.start.into())
            .unwrap_or_default();
        idents.iter_mut().for_each(lower);
        let names: Vec<&str> = idents.iter().map(|i| i.value.as_str()).collect();
        let (database, table) = match names.as_slice() {
            [table] => (None, *table),
            [database, table] => (Some(*database), *table),
            [super::CATALOG, database, table] => (Some(*database), *table),
            [catalog, ..] => {
                return ControlFlow::Break(Fault::user(
                    "CATALOG_NOT_FOUND",
                    format!("{at}: Catalog '{catalog}' not found"),
                ));
            }
            [] => return ControlFlow::Continue(()),
        };
        let found = TableRef {
            database: database.map(str::to_owned),
            table: table.to_owned(),
            at,
            maybe_cte: false,
        };
        if !self
            .tables
            .iter()
            .any(|t| t.database == found.database && t.table == found.table)
        {
            self.tables.push(found);
        }
        *relation = ObjectName(idents.into_iter().map(ObjectNamePart::Identifier).collect());
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        let alias = match factor {
            TableFactor::Table {
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
                ..
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => alias,
            TableFactor::Derived {
                alias,
                sample: None,
                ..
            }
            | TableFactor::NestedJoin { alias, .. } => alias,
            TableFactor::UNNEST { .. } => {
                return ControlFlow::Break(Fault::unsupported("UNNEST"));
            }
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => {
                return ControlFlow::Break(Fault::unsupported("TABLESAMPLE"));
            }
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => {
                return ControlFlow::Break(Fault::unsupported(format!(
                    "the table function {name}"
                )));
            }
            TableFactor::MatchRecognize { .. } => {
                return ControlFlow::Break(Fault::unsupported("MATCH_RECOGNIZE"));
            }
            _ => return ControlFlow::Break(Fault::unsupported("this kind of table in FROM")),
        };
        if let Some(alias) = alias {
            lower(&mut alias.name);
            for column in &mut alias.columns {
                lower(&mut column.name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        match expr {
            Expr::Value(ValueWithSpan {
                value: Value::Placeholder(text),
                ..
            }) if text == "?" => {
                self.used += 1;
                if let Some(value) = self.parameters.next() {
                    *expr = value;
                }
            }
            Expr::BinaryOp { left, op, .. } => {
                let symbol = op.to_string();
                let at = self.operator_position(left.span().end, &symbol);
                *op = stop!(operator(op, at));
            }
            Expr::Function(function) => stop!(keep_function_numbers(function)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        let rewritten = stop!(self.expression(expr));
        if let Some(rewritten) = rewritten {
            *expr = rewritten;
        }
        ControlFlow::Continue(())
    }
}

/// Orders by the output column that is the same expression: with DISTINCT,
/// DataFusion looks for it among the input's columns.
fn by_ordinal(order: &mut OrderByExpr, select: &ast::Select) {
    let wanted = order.expr.to_string();
    let same = select
        .projection
        .iter()
        .position(|item| matches!(item, SelectItem::UnnamedExpr(e) if e.to_string() == wanted));
    let wildcard = select.projection.iter().any(|item| {
        !matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    });
    if let (Some(index), false) = (same, wildcard) {
        order.expr = number(&(index + 1).to_string(), order.expr.span());
    }
}
