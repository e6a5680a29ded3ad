//! What a statement reads ticks from.

use stockpipe_crds::pipeline::{Catalog, Format, PartitionBy};

use crate::provision::{glue_columns, partition_keys};

/// The table; or, where it has nothing but strings, a subquery over it in which every column has its type and what is
/// missing is null. Partitions are pruned through it.
pub fn ticks(catalog: &Catalog, format: Format, partition_by: PartitionBy) -> String {
    let table = format!(r#""{}"."{}""#, catalog.database, catalog.table);
    match format {
        Format::Parquet | Format::Json => table,
        Format::Csv => format!("({} FROM {table})", typed(partition_by)),
    }
}

/// `SELECT` of every column of a table of CSV, with its type.
fn typed(partition_by: PartitionBy) -> String {
    let columns = glue_columns().into_iter().map(|(name, kind)| {
        let kind = match kind.as_str() {
            "string" => return format!("NULLIF({name}, '') AS {name}"),
            "int" => "integer",
            kind => kind,
        };
        format!("CAST(NULLIF({name}, '') AS {kind}) AS {name}")
    });
    let keys = partition_keys(partition_by).iter().map(ToString::to_string);
    let columns: Vec<_> = columns.chain(keys).collect();
    format!("SELECT {}", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        Catalog {
            database: "market".into(),
            table: "ticks".into(),
            crawler: None,
        }
    }

    #[test]
    fn tables_with_types_are_read_as_they_are() {
        for format in [Format::Parquet, Format::Json] {
            let relation = ticks(&catalog(), format, PartitionBy::Hour);
            assert_eq!(relation, r#""market"."ticks""#);
        }
    }

    #[test]
    fn strings_get_the_types_of_ticks() {
        let relation = ticks(&catalog(), Format::Csv, PartitionBy::Hour);
        for part in [
            "(SELECT NULLIF(symbol, '') AS symbol, ",
            "CAST(NULLIF(ts_event, '') AS timestamp) AS ts_event, ",
            "CAST(NULLIF(trade_date, '') AS date) AS trade_date, ",
            "CAST(NULLIF(price, '') AS decimal(18,9)) AS price, ",
            r#"CAST(NULLIF(flags, '') AS integer) AS flags, dt, hour FROM "market"."ticks")"#,
        ] {
            assert!(relation.contains(part), "{part} in {relation}");
        }
    }

    #[test]
    fn the_guide_has_the_view() {
        let guide = include_str!("../../../docs/guides/formats.md");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let view = format!("{} FROM us_equities_ticks", typed(PartitionBy::Hour));
        assert!(
            words(guide).contains(&words(&view)),
            "docs/guides/formats.md lacks: {view}"
        );
    }
}
