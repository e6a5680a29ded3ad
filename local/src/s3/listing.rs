//! Pages of keys, as ListObjects gives them.
//!
//! Keys come in the order of their UTF-8 bytes. With a delimiter, the keys
//! that share what lies between the prefix and the delimiter's first place
//! after it are rolled up into one common prefix, which is skipped in one step
//! of the index, so that a page costs what it shows and not what it hides.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use redb::ReadableTable;
use s3s::{S3Result, s3_error};
use serde::de::DeserializeOwned;

use super::error;
use super::index::{Failure, after_prefix, as_slice, decode, prefix_range};

/// The most keys of a page, and the default.
pub(super) const MAX_KEYS: i32 = 1000;

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first key.
    #[default]
    Beginning,
    /// After a key; it need not be there.
    After(String),
    /// After all keys with a prefix.
    Past(String),
}

impl Start {
    /// What a client may send back to go on from here.
    pub(super) fn to_token(&self) -> Option<String> {
        let (kind, key) = match self {
            Self::Beginning => return None,
            Self::After(key) => ('k', key),
            Self::Past(prefix) => ('p', prefix),
        };
        Some(BASE64.encode(format!("{kind}{key}")))
    }

    /// Reads what [`Start::to_token`] wrote.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else.
    pub(super) fn from_token(token: &str) -> S3Result<Self> {
        let text = BASE64
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        match text.as_deref().map(|text| (text.get(..1), text.get(1..))) {
            Some((Some("k"), Some(key))) => Ok(Self::After(key.to_owned())),
            Some((Some("p"), Some(prefix))) => Ok(Self::Past(prefix.to_owned())),
            _ => Err(s3_error!(
                InvalidArgument,
                "The continuation token provided is incorrect."
            )),
        }
    }

    /// A marker, which is a key, or a common prefix of an earlier page.
    pub(super) fn from_marker(marker: String, query: &Query<'_>) -> Self {
        match query.rolled_up(&marker) {
            Some(prefix) if prefix == marker => Self::Past(marker),
            _ => Self::After(marker),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) bucket: &'a str,
    pub(super) prefix: &'a str,
    /// Empty: none.
    pub(super) delimiter: &'a str,
    /// Most keys and common prefixes.
    pub(super) max: usize,
}

impl Query<'_> {
    /// The common prefix that a key is rolled up into.
    fn rolled_up<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        // What follows a NUL is no part of the key: the id of an upload.
        let key = key.split('\0').next()?;
        let rest = key.strip_prefix(self.prefix)?;
        let at = rest.find(self.delimiter)?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }
}

/// One page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) entries: Vec<(String, T)>,
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins; none if this is the last.
    pub(super) next: Option<Start>,
}

/// Checks `max-keys` and its kin.
///
/// # Errors
/// `InvalidArgument` if it is negative.
pub(super) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    usize::try_from(asked.unwrap_or(MAX_KEYS).min(MAX_KEYS)).map_err(|_| {
        s3_error!(
            InvalidArgument,
            "The number of entries per page must be an integer between 0 and 2147483647."
        )
    })
}

/// Reads one page of a table whose keys are `<bucket> NUL <key>`.
pub(super) fn page<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    query: Query<'_>,
    start: &Start,
) -> Result<Page<T>, Failure> {
    let head = query.bucket.len() + 1;
    let full = |key: &str| [query.bucket.as_bytes(), b"\0", key.as_bytes()].concat();
    let (first, end) = prefix_range(&full(query.prefix));
    let begin = match start {
        Start::Beginning => first.clone(),
        Start::After(key) => Bound::Excluded(full(key)),
        Start::Past(prefix) => {
            after_prefix(&full(prefix)).map_or(Bound::Unbounded, Bound::Included)
        }
    };
    let mut page = Page {
        entries: Vec::new(),
        prefixes: Vec::new(),
        next: None,
    };
    let mut last = Start::Beginning;
    let mut from = later(first, begin);
    'seek: while query.max > 0 && is_before(&from, &end) {
        for entry in table.range::<&[u8]>((as_slice(&from), as_slice(&end)))? {
            let (key, value) = entry?;
            let key = std::str::from_utf8(&key.value()[head..])
                .map_err(|_| error::internal("a key of the index is not UTF-8".to_owned()))?
                .to_owned();
            if page.entries.len() + page.prefixes.len() == query.max {
                page.next = Some(last);
                return Ok(page);
            }
            match query.rolled_up(&key) {
                None => {
                    page.entries.push((key.clone(), decode(value.value())?));
                    last = Start::After(key);
                }
                Some(prefix) => {
                    page.prefixes.push(prefix.to_owned());
                    last = Start::Past(prefix.to_owned());
                    from = after_prefix(&full(prefix)).map_or(Bound::Unbounded, Bound::Included);
                    continue 'seek;
                }
            }
        }
        break;
    }
    Ok(page)
}

/// The later of two lower bounds.
fn later(a: Bound<Vec<u8>>, b: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match (&a, &b) {
        (Bound::Unbounded, _) => b,
        (_, Bound::Unbounded) => a,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            let b_is_later = y > x || (y == x && matches!(b, Bound::Excluded(_)));
            if b_is_later { b } else { a }
        }
    }
}

/// Whether a range of these bounds can hold anything (redb refuses others).
fn is_before(from: &Bound<Vec<u8>>, end: &Bound<Vec<u8>>) -> bool {
    match (from, end) {
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(end)) => from < end,
        _ => true,
    }
}

/// A key as the client asked for it: `encoding-type=url`, because XML cannot
/// hold every character of a key.
pub(super) fn encoded(text: &str, url: bool) -> String {
    use std::fmt::Write as _;
    if !url {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                out.push(char::from(byte))
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::{Database, ReadableDatabase as _, TableDefinition, backends::InMemoryBackend};
    use std::collections::BTreeSet;

    const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("t");

    type Table = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

    /// A table of these keys in three buckets, and the database that it needs.
    fn table(keys: &[&str]) -> (Database, Table) {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .unwrap();
        let txn = database.begin_write().unwrap();
        {
            let mut table = txn.open_table(TABLE).unwrap();
            for bucket in ["a", "bucket", "bucket2"] {
                for key in keys {
                    let full = super::super::index::object_key(bucket, key);
                    table.insert(full.as_slice(), b"0".as_slice()).unwrap();
                }
            }
        }
        txn.commit().unwrap();
        let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
        (database, table)
    }

    fn query<'a>(prefix: &'a str, delimiter: &'a str, max: usize) -> Query<'a> {
        Query {
            bucket: "bucket",
            prefix,
            delimiter,
            max,
        }
    }

    /// All pages of a query, keys and prefixes as they came.
    fn pages(keys: &[&str], query: Query<'_>) -> Vec<(Vec<String>, Vec<String>)> {
        let (_database, table) = table(keys);
        let mut start = Start::Beginning;
        let mut all = Vec::new();
        loop {
            let page = page::<u8>(&table, query, &start).unwrap_or_else(|_| panic!("page"));
            all.push((
                page.entries.into_iter().map(|(key, _)| key).collect(),
                page.prefixes,
            ));
            match page.next {
                None => return all,
                Some(next) => start = Start::from_token(&next.to_token().unwrap()).unwrap(),
            }
        }
    }

    #[test]
    fn keys_come_in_the_order_of_their_bytes() {
        let keys = ["b", "a/b", "a", "é", "a0", "A", "a//"];
        let (got, prefixes) = pages(&keys, query("", "", 1000)).remove(0);
        assert_eq!(got, ["A", "a", "a//", "a/b", "a0", "b", "é"]);
        assert!(prefixes.is_empty());
    }

    #[test]
    fn delimiter_rolls_keys_up() {
        let keys = ["a", "a/1", "a/2", "b/c/d", "b/e", "f"];
        assert_eq!(
            pages(&keys, query("", "/", 1000)),
            [(
                vec!["a".to_owned(), "f".to_owned()],
                vec!["a/".to_owned(), "b/".to_owned()]
            )]
        );
        assert_eq!(
            pages(&keys, query("b/", "/", 1000)),
            [(vec!["b/e".to_owned()], vec!["b/c/".to_owned()])]
        );
    }

    #[test]
    fn pages_of_any_size_give_each_entry_once() {
        let keys = [
            "a",
            "a/1",
            "a/2",
            "b/c/d",
            "b/c/e",
            "b/e",
            "f",
            "f//",
            "f/x",
            "g\u{10ffff}",
        ];
        for prefix in ["", "a", "b/", "f", "nothing"] {
            for delimiter in ["", "/", "//", "c/"] {
                let whole = pages(&keys, query(prefix, delimiter, 1000));
                assert_eq!(whole.len(), 1);
                for max in 1..6 {
                    let split = pages(&keys, query(prefix, delimiter, max));
                    let joined: (Vec<_>, Vec<_>) =
                        split
                            .iter()
                            .cloned()
                            .fold(Default::default(), |mut all, page| {
                                assert!(page.0.len() + page.1.len() <= max);
                                all.0.extend(page.0);
                                all.1.extend(page.1);
                                all
                            });
                    assert_eq!(
                        joined, whole[0],
                        "prefix {prefix:?} delimiter {delimiter:?} max {max}"
                    );
                    let unique: BTreeSet<_> = joined.0.iter().chain(&joined.1).collect();
                    assert_eq!(unique.len(), joined.0.len() + joined.1.len());
                }
            }
        }
    }

    #[test]
    fn last_page_that_is_full_says_that_it_is_the_last() {
        assert_eq!(pages(&["a", "b"], query("", "", 2)).len(), 1);
        assert_eq!(pages(&["a/1", "a/2"], query("", "/", 1)).len(), 1);
    }

    #[test]
    fn page_of_no_keys_is_not_truncated() {
        let (_database, table) = table(&["a"]);
        let page =
            page::<u8>(&table, query("", "", 0), &Start::Beginning).unwrap_or_else(|_| panic!());
        assert!(page.entries.is_empty() && page.next.is_none());
    }

    #[test]
    fn start_after_a_key_need_not_name_one() {
        let (_database, table) = table(&["a", "b/1", "b/2", "c"]);
        let keys = |query: Query<'_>, marker: &str| {
            let start = Start::from_marker(marker.to_owned(), &query);
            let page = page::<u8>(&table, query, &start).unwrap_or_else(|_| panic!());
            (
                page.entries
                    .into_iter()
                    .map(|(key, _)| key)
                    .collect::<Vec<_>>(),
                page.prefixes,
            )
        };
        assert_eq!(keys(query("", "", 9), "aa").0, ["b/1", "b/2", "c"]);
        // A common prefix as marker passes over all that it stands for.
        assert_eq!(
            keys(query("", "/", 9), "b/"),
            (vec!["c".to_owned()], vec![])
        );
        assert_eq!(keys(query("", "", 9), "b/").0, ["b/1", "b/2", "c"]);
        // Before and after the prefix.
        assert_eq!(keys(query("b/", "", 9), "a").0, ["b/1", "b/2"]);
        assert!(keys(query("b/", "", 9), "z").0.is_empty());
    }

    #[test]
    fn tokens_that_are_not_ours_are_refused() {
        for token in ["", "???", "eA", "AA"] {
            assert!(Start::from_token(token).is_err(), "{token}");
        }
    }

    #[test]
    fn keys_are_encoded_for_xml() {
        assert_eq!(encoded("a b/é+\u{1}", true), "a%20b/%C3%A9%2B%01");
        assert_eq!(encoded("a b", false), "a b");
    }
}
