//! Columns of JSON: one object after another, a line each or not.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::schema::{Kind, Schema};

/// Records that are looked at.
const RECORDS: usize = 10_000;

/// The columns of the records in `text`, whose last may be cut; `None` where
/// the first is no JSON, or neither object nor list.
pub(super) fn schema(text: &str) -> Option<Schema> {
    let mut found: Option<Schema> = None;
    let records = serde_json::Deserializer::from_str(text).into_iter::<Kind>();
    for record in records.take(RECORDS) {
        let columns = match record {
            Ok(Kind::Struct(fields)) => Schema::new(fields),
            // Glue's name of the column of a file that is one list.
            Ok(list @ Kind::Array(_)) => Schema::new([("array".to_owned(), list)]),
            // What follows is cut, or no JSON: what came before counts.
            _ => break,
        };
        found = Some(match found {
            Some(before) => before.merge(columns),
            None => columns,
        });
    }
    found
}

/// A value's type; the fields of objects in the order of the file, which
/// `serde_json`'s own values do not keep.
impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Boolean)
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Kind, E> {
        Ok(match i32::try_from(whole) {
            Ok(_) => Kind::Int,
            Err(_) => Kind::BigInt,
        })
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Kind, E> {
        Ok(match (i32::try_from(whole), i64::try_from(whole)) {
            (Ok(_), _) => Kind::Int,
            (_, Ok(_)) => Kind::BigInt,
            _ => Kind::Double,
        })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Kind, E> {
        Ok(Kind::Double)
    }

    fn visit_str<E>(self, _: &str) -> Result<Kind, E> {
        Ok(Kind::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut kind = Kind::Null;
        while let Some(item) = items.next_element::<Kind>()? {
            kind = kind.merge(item);
        }
        Ok(Kind::Array(Box::new(kind)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Kind, A::Error> {
        let mut found: Vec<(String, Kind)> = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            let name = name.to_lowercase();
            if found.iter().any(|(known, _)| *known == name) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                found.push((name, fields.next_value()?));
            }
        }
        Ok(Kind::Struct(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_widens_its_column() {
        let text = r#"{"Symbol": "AAPL", "n": 1, "at": null, "bid": {"price": 1}}
            {"symbol": "MSFT", "n": 3000000000, "at": "x", "tags": [], "bid": {"price": 1.5, "size": 2}}
            {"n": 2, "tags": [1, 2], "halted": false}
            {"n": "#;
        let shown: Vec<String> = schema(text)
            .unwrap()
            .0
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        assert_eq!(
            shown.join("; "),
            "symbol string; n bigint; at string; bid struct<price:double,size:int>; tags array<int>; halted boolean"
        );
        assert_eq!(schema("[1, 2"), None);
        assert_eq!(schema("[1, 2]").unwrap().0[0].1.to_string(), "array<int>");
        assert_eq!(schema("{broken"), None);
        assert_eq!(
            schema("{\"n\": 99999999999999999999}").unwrap().0[0].1,
            Kind::Double
        );
    }
}
