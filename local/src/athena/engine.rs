//! Plans and runs queries: one DataFusion session for each, with a budget of
//! memory that all share.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::{MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast;

use super::Backends;
use super::fault::Fault;
use super::objects::{Buckets, Meter, sentence};
use super::sql::{self, Query, TableRef};
use super::table::{GlueTable, Reader};
use super::types::ColumnInfo;

/// The database of a query that names none.
const DEFAULT_DATABASE: &str = "default";

/// Runs queries for the whole service.
#[derive(Debug)]
pub(super) struct Engine {
    backends: Backends,
    memory: Arc<dyn MemoryPool>,
    spill: PathBuf,
    partitions: usize,
}

/// A query with its physical plan.
pub(super) struct Planned {
    state: SessionState,
    plan: Arc<dyn ExecutionPlan>,
    /// The output columns, named as the statement wrote them.
    pub(super) columns: Vec<ColumnInfo>,
}

impl Planned {
    /// The output's schema, with internal names.
    pub(super) fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Starts the query.
    ///
    /// # Errors
    /// When an operator cannot start.
    pub(super) fn execute(&self) -> Result<SendableRecordBatchStream, Fault> {
        Ok(execute_stream(
            Arc::clone(&self.plan),
            self.state.task_ctx(),
        )?)
    }

    /// The plan for EXPLAIN, a line an operator.
    pub(super) fn explain(&self) -> String {
        displayable(self.plan.as_ref()).indent(false).to_string()
    }
}

impl Engine {
    /// An engine that uses at most `memory` bytes for all queries together
    /// and spills to `spill`.
    pub(super) fn new(backends: Backends, memory: usize, spill: PathBuf) -> Self {
        let partitions = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .min(8);
        Self {
            backends,
            memory: Arc::new(FairSpillPool::new(memory)),
            spill,
            partitions,
        }
    }

    /// Plans a query of the database `database`.
    ///
    /// # Errors
    /// What is wrong with it, in Athena's words.
    pub(super) async fn plan(
        &self,
        query: &Query,
        database: Option<&str>,
        meter: &Arc<Meter>,
    ) -> Result<Planned, Fault> {
        let database = database.unwrap_or(DEFAULT_DATABASE).to_lowercase();
        let buckets = Arc::new(Buckets::new(self.backends.s3.clone(), Arc::clone(meter)));
        let tables = self.tables(query, &database, &buckets).await?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&self.memory))
            .with_disk_manager_builder(
                DiskManagerBuilder::default()
                    .with_mode(DiskManagerMode::Directories(vec![self.spill.clone()])),
            )
            .with_object_store_registry(buckets)
            .build_arc()?;
        let builder = SessionStateBuilder::new()
            .with_config(sql::config(&database, self.partitions))
            .with_runtime_env(runtime);
        let state = sql::with_trino(builder).build();
        state
            .catalog_list()
            .register_catalog(sql::CATALOG.to_owned(), Arc::new(tables));
        let statement = DfStatement::Statement(Box::new(ast::Statement::Query(Box::new(
            query.tree.clone(),
        ))));
        let logical = state
            .statement_to_plan(statement)
            .await
            .map_err(|e| planning_fault(e, query))?;
        sql::check(&logical)?;
        let plan = state
            .create_physical_plan(&logical)
            .await
            .map_err(|e| planning_fault(e, query))?;
        let columns = plan
            .schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| ColumnInfo::new(&query.names.shown(i, f.name()), f.data_type()))
            .collect();
        Ok(Planned {
            state,
            plan,
            columns,
        })
    }

    /// The tables that the query mentions, as a catalog.
    async fn tables(
        &self,
        query: &Query,
        database: &str,
        buckets: &Arc<Buckets>,
    ) -> Result<MemoryCatalogProvider, Fault> {
        let reader = Reader {
            glue: self.backends.glue.clone(),
            s3: self.backends.s3.clone(),
            buckets: Arc::clone(buckets),
        };
        let mut schemas: BTreeMap<String, Arc<MemorySchemaProvider>> = BTreeMap::new();
        schemas.insert(database.to_owned(), Arc::default());
        let mut done = HashSet::new();
        for wanted in &query.tables {
            let of = wanted.database.as_deref().unwrap_or(database);
            if !done.insert((of.to_owned(), wanted.table.clone())) {
                continue;
            }
            let Some(table) = self.table(wanted, of).await? else {
                continue;
            };
            let table = GlueTable::new(&table, &reader)?;
            schemas
                .entry(of.to_owned())
                .or_default()
                .register_table(wanted.table.clone(), Arc::new(table))?;
        }
        let catalog = MemoryCatalogProvider::new();
        for (name, schema) in schemas {
            catalog.register_schema(&name, schema)?;
        }
        Ok(catalog)
    }

    /// The Glue table; `None` if it is missing and may be a common table
    /// expression.
    async fn table(
        &self,
        wanted: &TableRef,
        database: &str,
    ) -> Result<Option<aws_sdk_glue::types::Table>, Fault> {
        let found = self
            .backends
            .glue
            .get_table()
            .database_name(database)
            .name(&wanted.table)
            .send()
            .await;
        match found {
            Ok(found) => Ok(found.table),
            Err(e) => {
                let error: aws_sdk_glue::Error = e.into();
                let missing = matches!(error, aws_sdk_glue::Error::EntityNotFoundException(_));
                if missing && wanted.maybe_cte {
                    return Ok(None);
                }
                if !missing {
                    return Err(Fault::system(format!(
                        "Glue did not give the table {database}.{}: {}",
                        wanted.table,
                        sentence(&error)
                    )));
                }
                Err(self.missing_table(database, &wanted.table, wanted.at).await)
            }
        }
    }

    /// `TABLE_NOT_FOUND`, or `SCHEMA_NOT_FOUND` if there is not even that.
    pub(super) async fn missing_table(
        &self,
        database: &str,
        table: &str,
        at: sql::Position,
    ) -> Fault {
        let schema = self
            .backends
            .glue
            .get_database()
            .name(database)
            .send()
            .await;
        if let Err(e) = schema
            && matches!(
                aws_sdk_glue::Error::from(e),
                aws_sdk_glue::Error::EntityNotFoundException(_)
            )
        {
            return Fault::user(
                "SCHEMA_NOT_FOUND",
                format!("{at}: Schema '{database}' does not exist"),
            );
        }
        Fault::user(
            "TABLE_NOT_FOUND",
            format!(
                "{at}: Table '{}.{database}.{table}' does not exist",
                sql::CATALOG
            ),
        )
    }
}

/// What planning found, with the position of the column it is about.
fn planning_fault(error: DataFusionError, query: &Query) -> Fault {
    let place = |name: &str| {
        query
            .column_position(name)
            .map_or(String::new(), |at| format!("{at}: "))
    };
    if let DataFusionError::SchemaError(schema, _) = error.find_root() {
        match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                return Fault::user(
                    "COLUMN_NOT_FOUND",
                    format!(
                        "{}Column '{}' cannot be resolved",
                        place(field.name()),
                        field.flat_name()
                    ),
                );
            }
            SchemaError::AmbiguousReference { field } => {
                return Fault::user(
                    "AMBIGUOUS_NAME",
                    format!(
                        "{}Column '{}' is ambiguous",
                        place(field.name()),
                        field.name()
                    ),
                );
            }
            _ => {}
        }
    }
    if let DataFusionError::Plan(what) = error.find_root()
        && what.starts_with("Cannot create filter with non-boolean predicate")
    {
        return Fault::user("TYPE_MISMATCH", "WHERE clause must evaluate to a boolean");
    }
    if let DataFusionError::Plan(what) = error.find_root()
        && what.contains("GROUP BY")
    {
        let name = what.split('"').nth(1).unwrap_or_default();
        let column = name.rsplit('.').next().unwrap_or(name);
        if !column.is_empty() {
            return Fault::user(
                "EXPRESSION_NOT_AGGREGATE",
                format!(
                    "{}'{column}' must be an aggregate expression or appear in GROUP BY clause",
                    place(column)
                ),
            );
        }
    }
    Fault::from(error)
}
