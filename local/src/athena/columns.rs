//! Columns of Parquet files, found by name whatever its case and checked
//! against the type that the table declares.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

use super::fault::Fault;
use super::types::trino_name;

/// Adapts expressions to the files of one bucket.
#[derive(Clone, Debug)]
pub(super) struct CheckedColumns {
    pub(super) bucket: String,
}

impl PhysicalExprAdapterFactory for CheckedColumns {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> DfResult<Arc<dyn PhysicalExprAdapter>> {
        let lower = Arc::new(Schema::new(
            physical_file_schema
                .fields()
                .iter()
                .map(|f| Field::clone(f).with_name(f.name().to_lowercase()))
                .collect::<Vec<_>>(),
        ));
        let inner = DefaultPhysicalExprAdapterFactory
            .create(Arc::clone(&logical_file_schema), Arc::clone(&lower))?;
        Ok(Arc::new(Adapter {
            bucket: self.bucket.clone(),
            logical: logical_file_schema,
            lower,
            physical: physical_file_schema,
            inner,
        }))
    }
}

#[derive(Debug)]
struct Adapter {
    bucket: String,
    logical: SchemaRef,
    lower: SchemaRef,
    physical: SchemaRef,
    inner: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> DfResult<Arc<dyn PhysicalExpr>> {
        expr.apply(|node| {
            if let Some(column) = node.downcast_ref::<Column>() {
                self.check(column.name())?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let rewritten = self.inner.rewrite(expr)?;
        rewritten
            .transform(|node| {
                // The file is read by the names as it has them.
                if let Some(column) = node.downcast_ref::<Column>()
                    && let Some(field) = self.physical.fields().get(column.index())
                    && self.lower.field(column.index()).name() == column.name()
                    && field.name() != column.name()
                {
                    let column = Column::new(field.name(), column.index());
                    return Ok(Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>));
                }
                Ok(Transformed::no(node))
            })
            .data()
    }
}

impl Adapter {
    fn check(&self, name: &str) -> Result<(), Fault> {
        let (Ok(declared), Ok(found)) = (
            self.logical.field_with_name(name),
            self.lower.field_with_name(name),
        ) else {
            return Ok(());
        };
        if readable(found.data_type(), declared.data_type()) {
            Ok(())
        } else {
            Err(Fault::user(
                "HIVE_BAD_DATA",
                format!(
                    "Malformed Parquet file. Field {name}'s type {} in a parquet file of s3://{} is incompatible with type {} defined in table schema",
                    trino_name(found.data_type()),
                    self.bucket,
                    trino_name(declared.data_type())
                ),
            ))
        }
    }
}

/// Whether every value of a file's type is a value of the declared type.
fn readable(file: &DataType, declared: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Decimal128, Dictionary, Float32, Float64, Int8, Int16,
        Int32, Int64, LargeBinary, LargeUtf8, List, Map, Struct, Timestamp, UInt8, UInt16, UInt32,
        Utf8, Utf8View,
    };
    match (file, declared) {
        (Dictionary(_, values), declared) => readable(values, declared),
        (Boolean, Boolean)
        | (Date32, Date32)
        | (Int8, Int8 | Int16 | Int32 | Int64)
        | (UInt8 | Int16, Int16 | Int32 | Int64)
        | (UInt16 | Int32, Int32 | Int64)
        | (UInt32 | Int64, Int64)
        | (Float32, Float32 | Float64)
        | (Float64, Float64)
        | (Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView, Utf8)
        | (Binary | LargeBinary | BinaryView | Utf8 | LargeUtf8 | Utf8View, Binary)
        | (Timestamp(..), Timestamp(..)) => true,
        (Decimal128(p, s), Decimal128(to_p, to_s)) => {
            to_s >= s && i16::from(*to_p) - i16::from(*to_s) >= i16::from(*p) - i16::from(*s)
        }
        (List(a), List(b)) => readable(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => b.iter().all(|field| {
            a.iter()
                .find(|f| f.name() == field.name())
                .is_none_or(|f| readable(f.data_type(), field.data_type()))
        }),
        (Map(a, _), Map(b, _)) => readable(a.data_type(), b.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lossless_differences_of_type_are_read_and_others_refused() {
        use DataType::{Decimal128, Float32, Float64, Int32, Int64, Utf8};
        assert!(readable(&Int32, &Int64));
        assert!(readable(&Float32, &Float64));
        assert!(readable(&Decimal128(18, 9), &Decimal128(28, 10)));
        assert!(readable(
            &DataType::Dictionary(Box::new(Int32), Box::new(Utf8)),
            &Utf8
        ));
        assert!(!readable(&Int64, &Int32));
        assert!(!readable(&Utf8, &Float64));
        assert!(!readable(&Decimal128(28, 10), &Decimal128(18, 9)));
        assert!(!readable(&Float64, &Decimal128(18, 9)));
    }
}
