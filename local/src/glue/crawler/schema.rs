//! Columns as a crawler finds them: Hive types, and what two files have in common.

use std::fmt;

/// Least share of columns in which the folders of one table agree; the
/// threshold that Glue's documentation names
/// (<https://docs.aws.amazon.com/glue/latest/dg/crawler-s3-folder-table-partition.html>).
pub(super) const SIMILAR: f64 = 0.7;

/// A column's type, shown as Hive writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but nulls so far; shown as a string.
    Null,
    Boolean,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal(u8, i8),
    String,
    Binary,
    Date,
    Timestamp,
    Array(Box<Kind>),
    Map(Box<Kind>, Box<Kind>),
    Struct(Vec<(String, Kind)>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Null | Kind::String => f.write_str("string"),
            Kind::Boolean => f.write_str("boolean"),
            Kind::TinyInt => f.write_str("tinyint"),
            Kind::SmallInt => f.write_str("smallint"),
            Kind::Int => f.write_str("int"),
            Kind::BigInt => f.write_str("bigint"),
            Kind::Float => f.write_str("float"),
            Kind::Double => f.write_str("double"),
            Kind::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            Kind::Binary => f.write_str("binary"),
            Kind::Date => f.write_str("date"),
            Kind::Timestamp => f.write_str("timestamp"),
            Kind::Array(item) => write!(f, "array<{item}>"),
            Kind::Map(key, value) => write!(f, "map<{key},{value}>"),
            Kind::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, (name, kind)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{name}:{kind}")?;
                }
                f.write_str(">")
            }
        }
    }
}

impl Kind {
    /// The least type that holds the values of both; a string where there is no
    /// other.
    pub(super) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Null, kind) | (kind, Kind::Null) => kind,
            (Kind::Array(a), Kind::Array(b)) => Kind::Array(Box::new(a.merge(*b))),
            (Kind::Map(ak, av), Kind::Map(bk, bv)) => {
                Kind::Map(Box::new(ak.merge(*bk)), Box::new(av.merge(*bv)))
            }
            (Kind::Struct(a), Kind::Struct(b)) => Kind::Struct(merge_fields(a, b)),
            (a, b) => match (a.whole(), b.whole()) {
                (Some(a), Some(b)) => of_width(a.max(b)),
                _ if a.is_number() && b.is_number() => Kind::Double,
                _ => Kind::String,
            },
        }
    }

    /// Bytes of a whole number's type.
    fn whole(&self) -> Option<u8> {
        Some(match self {
            Kind::TinyInt => 1,
            Kind::SmallInt => 2,
            Kind::Int => 4,
            Kind::BigInt => 8,
            _ => return None,
        })
    }

    fn is_number(&self) -> bool {
        self.whole().is_some() || matches!(self, Kind::Float | Kind::Double | Kind::Decimal(..))
    }
}

fn of_width(bytes: u8) -> Kind {
    match bytes {
        1 => Kind::TinyInt,
        2 => Kind::SmallInt,
        4 => Kind::Int,
        _ => Kind::BigInt,
    }
}

fn merge_fields(mut into: Vec<(String, Kind)>, from: Vec<(String, Kind)>) -> Vec<(String, Kind)> {
    for (name, kind) in from {
        match into.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                let before = std::mem::replace(known, Kind::Null);
                *known = before.merge(kind);
            }
            None => into.push((name, kind)),
        }
    }
    into
}

/// The columns of a file, a folder or a table, in the order in which they were
/// first seen. Names are lower case, as the catalog keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schema(pub(super) Vec<(String, Kind)>);

impl Schema {
    /// These columns; of two of one name the second is `name_1`.
    pub(super) fn new(columns: impl IntoIterator<Item = (String, Kind)>) -> Self {
        let mut schema = Vec::<(String, Kind)>::new();
        for (name, kind) in columns {
            let name = name.to_lowercase();
            let taken = |name: &str| schema.iter().any(|(known, _)| known == name);
            let free = (1..)
                .map(|n| format!("{name}_{n}"))
                .find(|other| !taken(other))
                .filter(|_| taken(&name));
            schema.push((free.unwrap_or(name), kind));
        }
        Self(schema)
    }

    /// The columns of both.
    pub(super) fn merge(self, other: Self) -> Self {
        Self(merge_fields(self.0, other.0))
    }

    /// Whether both are of one table: [`SIMILAR`] of the columns of the wider
    /// one are in the other.
    pub(super) fn is_similar(&self, other: &Self) -> bool {
        let most = self.0.len().max(other.0.len());
        let common = self
            .0
            .iter()
            .filter(|(name, _)| other.0.iter().any(|(known, _)| known == name))
            .count();
        common as f64 >= SIMILAR * most as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_type_that_holds_both_is_taken() {
        use Kind::*;
        let list = |item| Array(Box::new(item));
        let of = |fields: &[(&str, Kind)]| {
            Struct(
                fields
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), kind.clone()))
                    .collect(),
            )
        };
        for (a, b, merged) in [
            (Int, Int, "int"),
            (Int, BigInt, "bigint"),
            (Null, Date, "date"),
            (Null, Null, "string"),
            (BigInt, Double, "double"),
            (Decimal(18, 9), Decimal(18, 9), "decimal(18,9)"),
            (Decimal(18, 9), Double, "double"),
            (Boolean, Int, "string"),
            (Timestamp, Date, "string"),
            (list(Null), list(Int), "array<int>"),
            (list(Int), Int, "string"),
            (
                of(&[("a", Int)]),
                of(&[("b", String), ("a", Double)]),
                "struct<a:double,b:string>",
            ),
        ] {
            assert_eq!(a.clone().merge(b.clone()).to_string(), merged, "{a} {b}");
            if !matches!(a, Struct(_)) {
                assert_eq!(b.merge(a).to_string(), merged);
            }
        }
    }

    fn schema(names: &str) -> Schema {
        Schema::new(
            names
                .split_whitespace()
                .map(|name| (name.to_owned(), Kind::Int)),
        )
    }

    #[test]
    fn seven_columns_of_ten_make_folders_similar() {
        let ten = schema("a b c d e f g h i j");
        assert!(ten.is_similar(&schema("a b c d e f g")));
        assert!(!ten.is_similar(&schema("a b c d e f")));
        assert!(!schema("a b").is_similar(&schema("a c")));
        assert!(schema("").is_similar(&schema("")));
    }

    #[test]
    fn names_are_lower_case_and_stand_once() {
        assert_eq!(
            schema("A b a a_1 a")
                .0
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>(),
            ["a", "b", "a_1", "a_1_1", "a_2"]
        );
    }
}
