//! Athena's SQL on DataFusion: what means the same is passed on, what means
//! something else is rewritten, and the rest is refused by name.
//!
//! - [`statement`] tells statements apart and parses them;
//! - [`rewrite`] turns a query's syntax tree into one that DataFusion plans
//!   with Trino's meaning;
//! - [`operators`] plans operators by Trino's type rules ([`coercion`]);
//! - [`arithmetic`], [`functions`] and [`aggregates`] are what the plans call;
//! - [`check`] looks at the finished plan for what Trino would refuse.

mod aggregates;
mod arithmetic;
mod check;
mod coercion;
mod datetime;
mod functions;
mod operators;
mod output;
mod rewrite;
mod statement;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::SessionConfig;

pub(super) use check::check;
pub(super) use rewrite::{Query, TableRef, parameters};
pub(super) use statement::{Command, Property, Statement, TableName};

/// The one data catalog, as Trino spells it in messages.
pub(super) const CATALOG: &str = "awsdatacatalog";

/// A line and a column of the statement, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}:{}", self.line, self.column)
    }
}

impl From<datafusion::sql::sqlparser::tokenizer::Location> for Position {
    fn from(at: datafusion::sql::sqlparser::tokenizer::Location) -> Self {
        Self {
            line: at.line,
            column: at.column,
        }
    }
}

/// DataFusion's options, set to Trino's meanings.
pub(super) fn config(database: &str, partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::from(ConfigOptions::new())
        .with_target_partitions(partitions)
        .with_default_catalog_and_schema(CATALOG, database)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.time_zone = Some("UTC".to_owned());
    config
}

/// The functions, operators and types of Trino; nothing of DataFusion's own.
pub(super) fn with_trino(builder: SessionStateBuilder) -> SessionStateBuilder {
    let mut aggregate_functions: Vec<Arc<AggregateUDF>> =
        datafusion::functions_aggregate::all_default_aggregate_functions()
            .into_iter()
            .filter(|f| aggregates::KEPT.contains(&f.name()))
            .collect();
    aggregate_functions.extend(aggregates::all());
    builder
        .with_expr_planners(vec![
            Arc::new(operators::TrinoOperators),
            Arc::new(datafusion::functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion::functions_nested::planner::FieldAccessPlanner),
            Arc::new(datafusion::functions_aggregate::planner::AggregateFunctionPlanner),
            Arc::new(datafusion::functions_window::planner::WindowFunctionPlanner),
        ])
        .with_type_planner(Arc::new(operators::TrinoTypes))
        .with_scalar_functions(functions::all())
        .with_aggregate_functions(aggregate_functions)
        .with_window_functions(datafusion::functions_window::all_default_window_functions())
}
