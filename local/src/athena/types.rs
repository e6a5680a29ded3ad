//! Types: as Glue declares them, as Arrow holds them, as Athena names them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::fault::Fault;

/// Athena's `timestamp`: milliseconds, no zone.
pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Athena's `timestamp with time zone`, always UTC here.
pub(super) fn timestamp_utc() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The Arrow type of a Glue (Hive) type such as `decimal(18,9)` or
/// `array<struct<a:int>>`.
///
/// # Errors
/// When Athena would take the type and this engine does not, or when nobody
/// knows it.
pub(super) fn from_glue(declared: &str) -> Result<DataType, Fault> {
    let text = declared.trim().to_lowercase();
    let (base, inside) = match text.find(['(', '<']) {
        Some(at) => {
            let close = if text.as_bytes()[at] == b'(' {
                ')'
            } else {
                '>'
            };
            let Some(inside) = text[at + 1..].trim_end().strip_suffix(close) else {
                return Err(unknown(declared));
            };
            (text[..at].trim(), Some(inside))
        }
        None => (text.as_str(), None),
    };
    Ok(match (base, inside) {
        ("boolean", None) => DataType::Boolean,
        ("tinyint", None) => DataType::Int8,
        ("smallint", None) => DataType::Int16,
        ("int" | "integer", None) => DataType::Int32,
        ("bigint", None) => DataType::Int64,
        ("float" | "real", None) => DataType::Float32,
        ("double", None) => DataType::Float64,
        ("string", None) | ("varchar", _) => DataType::Utf8,
        ("binary", None) => DataType::Binary,
        ("date", None) => DataType::Date32,
        ("timestamp", None) => TIMESTAMP,
        ("decimal", None) => DataType::Decimal128(10, 0),
        ("decimal", Some(args)) => {
            let (precision, scale) = args.split_once(',').unwrap_or((args, "0"));
            match (precision.trim().parse::<u8>(), scale.trim().parse::<i8>()) {
                (Ok(p @ 1..=38), Ok(s)) if s >= 0 && s as u8 <= p => DataType::Decimal128(p, s),
                _ => return Err(unknown(declared)),
            }
        }
        ("array", Some(item)) => {
            DataType::List(Arc::new(Field::new("item", from_glue(item)?, true)))
        }
        ("struct", Some(fields)) => DataType::Struct(
            split(fields)
                .into_iter()
                .map(|field| {
                    let (name, of) = field.split_once(':').ok_or_else(|| unknown(declared))?;
                    Ok(Field::new(name.trim(), from_glue(of)?, true))
                })
                .collect::<Result<Fields, Fault>>()?,
        ),
        ("map", Some(args)) => {
            let parts = split(args);
            let [key, value] = parts.as_slice() else {
                return Err(unknown(declared));
            };
            DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(Fields::from(vec![
                        Field::new("key", from_glue(key)?, false),
                        Field::new("value", from_glue(value)?, true),
                    ])),
                    false,
                )),
                false,
            )
        }
        ("char", _) => return Err(Fault::unsupported(format!("the column type {declared}"))),
        _ => return Err(unknown(declared)),
    })
}

fn unknown(declared: &str) -> Fault {
    Fault::user(
        "HIVE_INVALID_METADATA",
        format!("The column type {declared} is not one of Hive's"),
    )
}

/// Splits at commas that are not inside brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (i, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The Glue type for a column of a CTAS table.
///
/// # Errors
/// When Hive has no such type, for instance `timestamp with time zone`.
pub(super) fn to_glue(of: &DataType) -> Result<String, Fault> {
    Ok(match of {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Decimal128(p, s) => format!("decimal({p},{s})"),
        DataType::List(item) => format!("array<{}>", to_glue(item.data_type())?),
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|f| Ok(format!("{}:{}", f.name(), to_glue(f.data_type())?)))
                .collect::<Result<Vec<_>, Fault>>()?;
            format!("struct<{}>", fields.join(","))
        }
        other => {
            return Err(Fault::user(
                "NOT_SUPPORTED",
                format!("Unsupported Hive type: {}", trino_name(other)),
            ));
        }
    })
}

/// Trino's name of a type, as messages, `typeof` and `DESCRIBE` show it.
pub(super) fn trino_name(of: &DataType) -> String {
    match of {
        DataType::Null => "unknown".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 | DataType::UInt64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "varchar".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "varbinary".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, None) => "timestamp(3)".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp(3) with time zone".into(),
        DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
            "interval year to month".into()
        }
        DataType::Interval(_) => "interval day to second".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::List(item) => format!("array({})", trino_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), trino_name(f.data_type())))
                .collect();
            format!("row({})", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => format!(
                "map({}, {})",
                trino_name(kv[0].data_type()),
                trino_name(kv[1].data_type())
            ),
            _ => "map".into(),
        },
        other => other.to_string().to_lowercase(),
    }
}

/// A result column as `ResultSetMetadata.ColumnInfo` describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct ColumnInfo {
    /// The column's name, as the statement wrote it.
    pub(super) name: String,
    /// Athena's type name, for instance `decimal`.
    pub(super) of: String,
    /// Digits, or what Athena gives in their place.
    pub(super) precision: u32,
    /// Digits after the point.
    pub(super) scale: u32,
    /// True for text.
    pub(super) case_sensitive: bool,
}

impl ColumnInfo {
    /// Describes a column of this Arrow type.
    pub(super) fn new(name: &str, of: &DataType) -> Self {
        let (of, precision, scale) = match of {
            DataType::Boolean => ("boolean", 0, 0),
            DataType::Int8 => ("tinyint", 3, 0),
            DataType::Int16 => ("smallint", 5, 0),
            DataType::Int32 => ("integer", 10, 0),
            DataType::Int64 | DataType::UInt64 => ("bigint", 19, 0),
            DataType::Float32 => ("float", 17, 0),
            DataType::Float64 => ("double", 17, 0),
            DataType::Date32 => ("date", 0, 0),
            DataType::Timestamp(_, None) => ("timestamp", 3, 0),
            DataType::Timestamp(_, Some(_)) => ("timestamp with time zone", 3, 0),
            DataType::Decimal128(p, s) => ("decimal", u32::from(*p), s.unsigned_abs().into()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                ("varbinary", 1_073_741_824, 0)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                ("varchar", 2_147_483_647, 0)
            }
            DataType::List(_) => ("array", 0, 0),
            DataType::Map(..) => ("map", 0, 0),
            DataType::Struct(_) => ("row", 0, 0),
            DataType::Null => ("unknown", 0, 0),
            DataType::Interval(_) => ("interval day to second", 0, 0),
            _ => ("varchar", 2_147_483_647, 0),
        };
        Self::named(name, of, precision, scale)
    }

    /// A column of DDL output, which Athena calls `string`.
    pub(super) fn string(name: &str) -> Self {
        Self::named(name, "string", 0, 0)
    }

    fn named(name: &str, of: &str, precision: u32, scale: u32) -> Self {
        Self {
            name: name.to_owned(),
            of: of.to_owned(),
            precision,
            scale,
            case_sensitive: of == "varchar",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glue_types_are_read_with_their_arguments() {
        assert_eq!(
            from_glue("DECIMAL(18, 9)").unwrap(),
            DataType::Decimal128(18, 9)
        );
        assert_eq!(from_glue("varchar(20)").unwrap(), DataType::Utf8);
        assert_eq!(from_glue("timestamp").unwrap(), TIMESTAMP);
        let nested = from_glue("array<struct<a:int,b:map<string,decimal(3,1)>>>").unwrap();
        assert_eq!(
            trino_name(&nested),
            "array(row(a integer, b map(varchar, decimal(3,1))))"
        );
        for bad in [
            "decimal(39,0)",
            "decimal(3,4)",
            "array<int",
            "frob",
            "char(3)",
        ] {
            assert!(from_glue(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn glue_types_survive_the_way_to_arrow_and_back() {
        for declared in [
            "boolean",
            "tinyint",
            "smallint",
            "int",
            "bigint",
            "float",
            "double",
            "string",
            "binary",
            "date",
            "timestamp",
            "decimal(28,10)",
            "array<int>",
            "struct<a:string,b:date>",
        ] {
            assert_eq!(to_glue(&from_glue(declared).unwrap()).unwrap(), declared);
        }
    }

    #[test]
    fn column_info_has_the_precision_that_athena_gives() {
        let info = ColumnInfo::new("price", &DataType::Decimal128(18, 9));
        assert_eq!(
            (info.of.as_str(), info.precision, info.scale),
            ("decimal", 18, 9)
        );
        let info = ColumnInfo::new("symbol", &DataType::Utf8);
        assert!(info.case_sensitive);
        assert_eq!(info.precision, 2_147_483_647);
    }
}
