//! How the columns of a result are called.

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, SelectItem, SetExpr};

/// Begins the internal name of a column without one; the output calls it
/// `_col` and its index.
pub(super) const UNNAMED: &str = "$unnamed";

/// Begins the internal name of a column whose name another column has, too.
const DOUBLE: &str = "$double";

/// The names of a query's output, as the statement wrote them: DataFusion
/// plans with lower-cased and distinct ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct OutputNames {
    written: HashMap<String, String>,
    /// The query is a bare VALUES, whose columns have no names.
    values: bool,
}

impl OutputNames {
    /// Notes the output's names, and makes those that occur twice distinct.
    pub(super) fn take(query: &mut ast::Query) -> Self {
        let mut names = Self {
            values: matches!(query.body.as_ref(), SetExpr::Values(_)),
            ..Self::default()
        };
        if let Some(select) = first_select(&mut query.body) {
            names.select(select);
        }
        names
    }

    fn select(&mut self, select: &mut ast::Select) {
        let wildcard = select.projection.iter().any(|item| {
            matches!(
                item,
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
            )
        });
        for (i, item) in select.projection.iter_mut().enumerate() {
            let written = match item {
                SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident.value.clone(),
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                    parts.last().map(|p| p.value.clone()).unwrap_or_default()
                }
                _ => continue,
            };
            let lower = written.to_lowercase();
            // Beside a `*`, a plain column may well be one of it.
            let may_be_double = wildcard && matches!(item, SelectItem::UnnamedExpr(_));
            if !may_be_double && !self.written.contains_key(&lower) {
                self.written.insert(lower, written);
                continue;
            }
            let internal = format!("{DOUBLE}{i}");
            let alias = Ident::with_quote('"', internal.clone());
            self.written.insert(internal, written);
            match item {
                SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
                SelectItem::UnnamedExpr(expr) => {
                    let expr = expr.clone();
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
                _ => {}
            }
        }
    }

    /// The output name of the column at `index` that is planned as `field`.
    pub(in super::super) fn shown(&self, index: usize, field: &str) -> String {
        if self.values || field.starts_with(UNNAMED) {
            return format!("_col{index}");
        }
        self.written
            .get(field)
            .cloned()
            .unwrap_or_else(|| field.to_owned())
    }
}

/// The SELECT that names the output: the leftmost of a set operation.
fn first_select(body: &mut SetExpr) -> Option<&mut ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}
