//! Columns of a Parquet file, from its metadata.

use arrow::datatypes::DataType;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaDataReader;

use super::super::schema::{Kind, Schema};

/// Bytes at the end of a file: the length of its metadata, and the magic.
const FOOTER: usize = 8;

/// What the last bytes of a file say about where its metadata are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Tail {
    /// They are within these bytes, from here to the footer.
    Within(usize, usize),
    /// So many bytes at the file's end are needed.
    Needs(u64),
    /// This is no Parquet.
    Broken,
}

/// Where the metadata are, by a file's last bytes.
pub(in super::super) fn tail(last: &[u8]) -> Tail {
    let Some(footer) = last.len().checked_sub(FOOTER) else {
        return Tail::Broken;
    };
    let (length, magic) = last[footer..].split_at(4);
    let Ok(length) = <[u8; 4]>::try_from(length) else {
        return Tail::Broken;
    };
    let length = u32::from_le_bytes(length);
    if magic != b"PAR1" {
        return Tail::Broken;
    }
    match footer.checked_sub(length as usize) {
        Some(start) => Tail::Within(start, footer),
        None => Tail::Needs(u64::from(length) + FOOTER as u64),
    }
}

/// The columns that the metadata tell; `None` where they cannot be read.
///
/// Only Parquet's own types count: what a writer noted about Arrow is not known
/// to Glue.
pub(super) fn schema(metadata: &[u8]) -> Option<Schema> {
    let metadata = ParquetMetaDataReader::decode_metadata(metadata).ok()?;
    let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None).ok()?;
    Some(Schema::new(schema.fields().iter().map(|field| {
        (field.name().clone(), kind(field.data_type()))
    })))
}

fn kind(arrow: &DataType) -> Kind {
    match arrow {
        DataType::Null => Kind::Null,
        DataType::Boolean => Kind::Boolean,
        DataType::Int8 => Kind::TinyInt,
        DataType::Int16 | DataType::UInt8 => Kind::SmallInt,
        DataType::Int32 | DataType::UInt16 => Kind::Int,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Kind::BigInt,
        DataType::Float16 | DataType::Float32 => Kind::Float,
        DataType::Float64 => Kind::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Kind::Decimal(*precision, *scale),
        DataType::Date32 | DataType::Date64 => Kind::Date,
        DataType::Timestamp(..) => Kind::Timestamp,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Kind::Binary,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Kind::Array(Box::new(kind(item.data_type())))
        }
        DataType::Struct(fields) => Kind::Struct(
            fields
                .iter()
                .map(|field| (field.name().to_lowercase(), kind(field.data_type())))
                .collect(),
        ),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Kind::Map(
                Box::new(kind(fields[0].data_type())),
                Box::new(kind(fields[1].data_type())),
            ),
            _ => Kind::String,
        },
        DataType::Dictionary(_, value) => kind(value),
        _ => Kind::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::RecordBatch;
    use parquet::arrow::ArrowWriter;

    #[test]
    fn the_ticks_own_columns_are_found_as_the_table_has_them() {
        let schema = stockpipe_market::columns::schema();
        let mut bytes = Vec::new();
        let batch = RecordBatch::new_empty(schema.clone());
        let mut writer = ArrowWriter::try_new(&mut bytes, schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let Tail::Within(start, end) = tail(&bytes) else {
            panic!("{:?}", tail(&bytes));
        };
        let found = super::schema(&bytes[start..end]).unwrap();
        let found: Vec<(String, String)> = found
            .0
            .into_iter()
            .map(|(name, kind)| (name, kind.to_string()))
            .collect();
        assert_eq!(found, stockpipe_workers::provision::glue_columns());

        let short = &bytes[bytes.len() - 100..];
        assert_eq!(tail(short), Tail::Needs((end - start + 8) as u64));
        assert_eq!(tail(&bytes[..100]), Tail::Broken);
        assert_eq!(tail(b"PAR1"), Tail::Broken);
    }
}
