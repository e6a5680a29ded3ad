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

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CaseWhen, CastKind, CeilFloorKind, CharacterLength, DataType,
    DuplicateTreatment, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    JoinConstraint, JoinOperator, LimitClause, ObjectName, ObjectNamePart, OrderByExpr,
    OrderByKind, OrderByOptions, SelectFlavor, SelectItem, SetExpr, Spanned, TableFactor,
    TimezoneInfo, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, TokenWithSpan};

use super::super::fault::Fault;
use super::operators::{integer_literal, placed, type_of};
use super::output::{OutputNames, UNNAMED};
use super::{Position, functions};

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

fn allowed_query(query: &ast::Query) -> Result<(), Fault> {
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

fn body(body: &SetExpr) -> Result<(), Fault> {
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

fn allowed_select(select: &ast::Select) -> Result<(), Fault> {
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

fn join_columns(operator: &mut JoinOperator) -> Result<(), Fault> {
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

/// The operator with its position, if Trino has it.
fn operator(op: &BinaryOperator, at: Position) -> Result<BinaryOperator, Fault> {
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
fn keep_function_numbers(function: &mut Function) -> Result<(), Fault> {
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

/// `'text'`.
fn text(text: impl Into<String>, span: Span) -> Expr {
    Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(text.into()),
        span,
    })
}

fn number(digits: &str, span: Span) -> Expr {
    Expr::Value(ValueWithSpan {
        value: Value::Number(digits.to_owned(), false),
        span,
    })
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

fn cast(kind: CastKind, expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

fn double() -> DataType {
    DataType::Double(ExactNumberInfo::None)
}

/// `name(args)`.
fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args))
}

fn function(name: &str, args: Vec<Expr>) -> Function {
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

fn case(conditions: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
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

fn binary(left: Expr, symbol: &str, right: Expr, at: Position) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: placed(symbol, at),
        right: Box::new(right),
    }
}

/// The literal that this rewriting made of a number: digits and type.
fn made_literal(expr: &Expr) -> Option<(&str, &DataType, Span)> {
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
fn decimal_literal(digits: &str) -> DataType {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len();
    let scale = fraction.len();
    let precision = (whole + scale).max(1);
    DataType::Decimal(ExactNumberInfo::PrecisionAndScale(
        precision as u64,
        scale as i64,
    ))
}

impl Rewriter<'_> {
    /// Where `symbol` stands, after `end`.
    fn operator_position(&self, end: Location, symbol: &str) -> Position {
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
    fn expression(&mut self, expr: &mut Expr) -> Result<Option<Expr>, Fault> {
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

    fn column(&mut self, ident: &mut Ident) {
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
            super::super::render::timestamp(self.now, &mut instant);
            if of == DataType::Date {
                instant.truncate(10);
            }
            return Ok(Some(cast(CastKind::Cast, text(instant, Span::empty()), of)));
        }
        scalar_form(&name, args, at)
    }
}

/// Trino's literal as a cast of its text, which says its type exactly.
fn literal(value: &ValueWithSpan, at: Position) -> Result<Option<Expr>, Fault> {
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
fn rewrite_cast(kind: CastKind, inner: Expr, of: DataType) -> Result<Expr, Fault> {
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
fn null_of(of: &DataType) -> Expr {
    cast(CastKind::Cast, null(), of.clone())
}

fn typed_literal(typed: &ast::TypedString, at: Position) -> Result<Expr, Fault> {
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

fn interval_literal(interval: &ast::Interval, at: Position) -> Result<(), Fault> {
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
fn like_pattern(
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

/// Aggregates whose names or rules differ.
fn aggregate_form(
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

fn set_args(call: &mut Function, name: &str, args: Vec<Expr>) {
    let made = function(name, args);
    call.name = made.name;
    call.args = made.args;
}

fn and_filter(function: &mut Function, condition: Expr, at: Position) {
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
fn scalar_form(name: &str, mut args: Vec<Expr>, at: Position) -> Result<Option<Expr>, Fault> {
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
