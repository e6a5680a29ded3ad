//! From folders of files to tables and partitions: pure.
//!
//! The rules are those that Glue documents
//! (<https://docs.aws.amazon.com/glue/latest/dg/crawler-s3-folder-table-partition.html>):
//! where the folders below one are alike in format and schema, that one is a
//! table and they are its partitions; where not, each is looked at by itself.
//! A folder `key=value` names its partition key, any other is a value of
//! `partition_0`, `partition_1`, ….

use std::collections::BTreeMap;

use super::infer::{Format, Found};
use super::schema::Schema;

/// A file, and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct File {
    /// Name within its folder.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// `None`: it was not opened.
    pub(super) found: Option<Found>,
}

/// Files by the folder that they lie in, as its segments below the crawled path.
pub(super) type Folders = BTreeMap<Vec<String>, Vec<File>>;

/// A table that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// Its folder below the crawled path; of a table that is one file, with the
    /// file's name at the end.
    pub(super) path: Vec<String>,
    /// Whether it is one file.
    pub(super) is_file: bool,
    pub(super) found: Found,
    pub(super) keys: Vec<String>,
    pub(super) partitions: Vec<Partition>,
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// A partition that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Partition {
    pub(super) values: Vec<String>,
    /// Its folder below the crawled path.
    pub(super) path: Vec<String>,
    pub(super) schema: Schema,
    pub(super) files: usize,
    pub(super) bytes: u64,
}

/// The tables of these folders. With `combine`, schemas need not be similar.
pub(super) fn tables(folders: &Folders, combine: bool) -> Vec<Table> {
    let all: Vec<(&[String], &[File])> = folders
        .iter()
        .map(|(path, files)| (path.as_slice(), files.as_slice()))
        .filter(|(_, files)| files.iter().any(|file| file.found.is_some()))
        .collect();
    let mut tables = Vec::new();
    split(&[], &all, combine, &mut tables);
    tables
}

fn split(
    root: &[String],
    folders: &[(&[String], &[File])],
    combine: bool,
    tables: &mut Vec<Table>,
) {
    if folders.is_empty() {
        return;
    }
    if let Some(table) = as_one(root, folders, combine) {
        tables.push(table);
        return;
    }
    let depth = root.len();
    let mut below: BTreeMap<&str, Vec<(&[String], &[File])>> = BTreeMap::new();
    for (path, files) in folders {
        match path.get(depth) {
            Some(segment) => below.entry(segment).or_default().push((path, files)),
            // Files that are not alike, or lie beside folders: each is a table.
            None => tables.extend(files.iter().filter_map(|file| of_file(root, file))),
        }
    }
    for (segment, folders) in below {
        let mut root = root.to_vec();
        root.push(segment.to_owned());
        split(&root, &folders, combine, tables);
    }
}

/// All of these folders as one table at `root`, if they are alike.
fn as_one(root: &[String], folders: &[(&[String], &[File])], combine: bool) -> Option<Table> {
    let keys = keys(root.len(), folders.iter().map(|(path, _)| *path))?;
    let mut merged: Option<Found> = None;
    let mut partitions = Vec::new();
    let (mut files, mut bytes) = (0, 0);
    for (path, list) in folders {
        let mut here: Option<Schema> = None;
        for found in list.iter().filter_map(|file| file.found.as_ref()) {
            if let Some(merged) = &merged
                && !(alike(&merged.format, &found.format)
                    && (combine || merged.schema.is_similar(&found.schema)))
            {
                return None;
            }
            let schema = found.schema.clone();
            here = Some(match here {
                Some(here) => here.merge(schema.clone()),
                None => schema.clone(),
            });
            merged = Some(match merged {
                Some(merged) => Found {
                    schema: merged.schema.merge(schema),
                    ..merged
                },
                None => found.clone(),
            });
        }
        let (count, size) = (list.len(), list.iter().map(|file| file.bytes).sum::<u64>());
        files += count;
        bytes += size;
        if !keys.is_empty() {
            partitions.push(Partition {
                values: values(&path[root.len()..]),
                path: path.to_vec(),
                schema: here?,
                files: count,
                bytes: size,
            });
        }
    }
    Some(Table {
        path: root.to_vec(),
        is_file: false,
        found: merged?,
        keys,
        partitions,
        files,
        bytes,
    })
}

/// Whether files of both formats can be read by one table.
fn alike(a: &Format, b: &Format) -> bool {
    match (a, b) {
        (Format::Csv(a), Format::Csv(b)) => (a.delimiter, a.header) == (b.delimiter, b.header),
        _ => a == b,
    }
}

/// The partition keys of folders that all lie equally deep below `depth` and
/// name their keys alike.
fn keys<'a>(depth: usize, paths: impl Iterator<Item = &'a [String]>) -> Option<Vec<String>> {
    let mut keys: Option<Vec<String>> = None;
    for path in paths {
        let named: Vec<String> = path[depth..]
            .iter()
            .enumerate()
            .map(|(level, segment)| match segment.split_once('=') {
                Some((key, _)) if !key.is_empty() => column_name(key),
                _ => format!("partition_{level}"),
            })
            .collect();
        match &keys {
            Some(known) if *known != named => return None,
            Some(_) => {}
            None => keys = Some(named),
        }
    }
    keys
}

fn of_file(root: &[String], file: &File) -> Option<Table> {
    let mut path = root.to_vec();
    path.push(file.name.clone());
    Some(Table {
        path,
        is_file: true,
        found: file.found.clone()?,
        keys: Vec::new(),
        partitions: Vec::new(),
        files: 1,
        bytes: file.bytes,
    })
}

/// The values that folders name.
fn values(segments: &[String]) -> Vec<String> {
    segments
        .iter()
        .map(|segment| match segment.split_once('=') {
            Some((key, value)) if !key.is_empty() => unescape(value),
            _ => unescape(segment),
        })
        .collect()
}

/// The values that folders name for a table with these keys; `None` where they
/// lie not so deep, or name other keys. What lies deeper belongs to its
/// partition.
pub(super) fn values_of(path: &[String], keys: &[String]) -> Option<Vec<String>> {
    let folders = path.get(..keys.len())?;
    let named = folders.iter().zip(keys).all(|(segment, key)| {
        segment
            .split_once('=')
            .is_none_or(|(named, _)| named.is_empty() || named.eq_ignore_ascii_case(key))
    });
    named.then(|| values(folders))
}

/// A folder's name without Hive's escapes (`%3A` for a colon).
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

fn column_name(text: &str) -> String {
    unescape(text).to_lowercase()
}

/// Name of the table of a folder or file: lower case, with everything but
/// letters and digits as `_`.
pub(super) fn table_name(prefix: &str, folder: &str) -> String {
    let name: String = folder
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => plain,
            _ => '_',
        })
        .collect();
    format!("{prefix}{name}")
}

#[cfg(test)]
mod tests {
    use super::super::infer::Dialect;
    use super::super::schema::Kind;
    use super::*;

    fn found(format: &Format, columns: &str) -> Found {
        Found {
            format: format.clone(),
            compression: "none",
            schema: Schema::new(
                columns
                    .split(' ')
                    .map(|name| (name.to_owned(), Kind::String)),
            ),
        }
    }

    fn folders(list: &[(&str, &Format, &str)]) -> Folders {
        let mut folders = Folders::new();
        for (key, format, columns) in list {
            let mut path: Vec<String> = key.split('/').map(str::to_owned).collect();
            let name = path.pop().unwrap();
            folders.entry(path).or_default().push(File {
                name,
                bytes: 10,
                found: Some(found(format, columns)),
            });
        }
        folders
    }

    fn shown(list: &[(&str, &Format, &str)], combine: bool) -> Vec<String> {
        tables(&folders(list), combine)
            .iter()
            .map(|table| {
                let partitions: Vec<String> = table
                    .partitions
                    .iter()
                    .map(|partition| partition.values.join("/"))
                    .collect();
                let columns: Vec<&str> = table
                    .found
                    .schema
                    .0
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect();
                format!(
                    "/{} ({}) {} [{}]",
                    table.path.join("/"),
                    columns.join(" "),
                    table.keys.join(","),
                    partitions.join(" ")
                )
            })
            .collect()
    }

    const JSON: &Format = &Format::Json;
    const PARQUET: &Format = &Format::Parquet;

    #[test]
    fn like_folders_are_partitions_of_one_table() {
        for (what, list, expected) in [
            (
                "Hive's names",
                &[
                    ("dt=2026-11-20/hour=14/a", PARQUET, "x y"),
                    ("dt=2026-11-20/hour=15/b", PARQUET, "x y"),
                ][..],
                &["/ (x y) dt,hour [2026-11-20/14 2026-11-20/15]"][..],
            ),
            (
                "bare names, and a value that was escaped",
                &[
                    ("2026/at=10%3A00/a", JSON, "x"),
                    ("2027/at=11%3A00/b", JSON, "x"),
                ],
                &["/ (x) partition_0,at [2026/10:00 2027/11:00]"],
            ),
            (
                "files in the folder itself",
                &[("a", JSON, "x y z w"), ("b", JSON, "x y z w v")],
                &["/ (x y z w v)  []"],
            ),
            (
                "a column more",
                &[("dt=1/a", JSON, "a b c d"), ("dt=2/a", JSON, "a b c d e")],
                &["/ (a b c d e) dt [1 2]"],
            ),
        ] {
            assert_eq!(shown(list, false), expected, "{what}");
        }
    }

    #[test]
    fn unlike_folders_are_tables_of_their_own() {
        let comma = Format::Csv(Dialect {
            delimiter: b',',
            header: true,
            quoted: false,
        });
        let pipe = Format::Csv(Dialect {
            delimiter: b'|',
            header: true,
            quoted: false,
        });
        for (what, list, expected) in [
            (
                "other columns",
                &[
                    ("trades/dt=1/a", JSON, "price size"),
                    ("quotes/dt=1/a", JSON, "bid ask"),
                ][..],
                &["/quotes (bid ask) dt [1]", "/trades (price size) dt [1]"][..],
            ),
            (
                "other formats",
                &[("a/x", JSON, "p"), ("b/x", PARQUET, "p")],
                &["/a (p)  []", "/b (p)  []"],
            ),
            (
                "other delimiters",
                &[("a/x", &comma, "p"), ("b/x", &pipe, "p")],
                &["/a (p)  []", "/b (p)  []"],
            ),
            (
                "other depths",
                &[("a/x", JSON, "p"), ("b/c/x", JSON, "p")],
                &["/a (p)  []", "/b (p) partition_0 [c]"],
            ),
            (
                "other keys",
                &[("dt=1/x", JSON, "p"), ("day=1/x", JSON, "p")],
                &["/day=1 (p)  []", "/dt=1 (p)  []"],
            ),
            (
                "files of one folder that are not alike",
                &[("x.json", JSON, "p"), ("y.parquet", PARQUET, "p")],
                &["/x.json (p)  []", "/y.parquet (p)  []"],
            ),
        ] {
            assert_eq!(shown(list, false), expected, "{what}");
        }
        let unlike = [("dt=1/a", JSON, "price size"), ("dt=2/a", JSON, "bid ask")];
        assert_eq!(shown(&unlike, true), ["/ (price size bid ask) dt [1 2]"]);
    }

    #[test]
    fn a_tables_own_keys_tell_which_folder_is_which_partition() {
        let path = |text: &str| -> Vec<String> { text.split('/').map(str::to_owned).collect() };
        let keys = ["dt".to_owned(), "hour".to_owned()];
        for (folder, values) in [
            ("dt=2026-11-20/hour=14", Some("2026-11-20 14")),
            ("DT=2026-11-20/hour=14/deeper", Some("2026-11-20 14")),
            ("2026-11-20/14", Some("2026-11-20 14")),
            ("dt=2026-11-20", None),
            ("hour=14/dt=2026-11-20", None),
        ] {
            let found = values_of(&path(folder), &keys).map(|values| values.join(" "));
            assert_eq!(found.as_deref(), values, "{folder}");
        }
    }

    #[test]
    fn a_table_is_named_after_its_folder() {
        assert_eq!(table_name("crawled_", "US-Equities"), "crawled_us_equities");
        assert_eq!(table_name("", "dt=1"), "dt_1");
    }
}
