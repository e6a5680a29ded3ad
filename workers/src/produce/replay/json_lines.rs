//! JSON lines: one object a row. Numbers are taken as they are written, never through a float.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use csv::StringRecord;
use serde_json::value::RawValue;

use super::lines::Lines;
use super::row::{Problem, Row, RowReader, Step, Unit};
use crate::produce::FeedError;

/// Rows of JSON lines: of each object the wanted fields.
pub struct JsonLines {
    lines: Lines,
    unit: Unit,
    header: StringRecord,
}

impl JsonLines {
    /// The objects of `text`, which its file counts by `unit` and of which the fields `wanted` are taken: names, or
    /// `outer.inner`.
    #[must_use]
    pub fn new(name: &Arc<str>, text: Box<dyn Read>, unit: Unit, wanted: &[String]) -> Self {
        Self {
            lines: Lines::new(name, text, unit),
            unit,
            header: wanted.iter().map(String::as_str).collect(),
        }
    }
}

type Object<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

impl RowReader for JsonLines {
    fn header(&self) -> &StringRecord {
        &self.header
    }

    fn unit(&self) -> Unit {
        self.unit
    }

    fn next(&mut self, row: &mut Row) -> Result<Step, FeedError> {
        row.cells.clear();
        row.plain = 0;
        let Some((number, line)) = self.lines.next()? else {
            return Ok(Step::End);
        };
        row.number = number;
        let object: Object<'_> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(error) => {
                row.cells.push_field(line);
                let why = match self.unit {
                    Unit::Line => format!(
                        "the line is no JSON object (at its byte {}): write one object a line",
                        error.column()
                    ),
                    Unit::Row | Unit::Message => {
                        "the row is no JSON object: write {\"name\": value, …} for each".to_owned()
                    }
                };
                return Ok(Step::Bad(Problem::row(why)));
            }
        };
        for (index, name) in self.header.iter().enumerate() {
            let Some(raw) = field(&object, name) else {
                row.cells.push_field(b"");
                continue;
            };
            match raw.as_bytes().first() {
                Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(raw) {
                    Ok(text) => row.cells.push_field(text.as_bytes()),
                    Err(_) => row.cells.push_field(raw.as_bytes()),
                },
                Some(b'n') => row.cells.push_field(b""),
                Some(b'{' | b'[') => {
                    let problem = Problem {
                        column: Some(name.to_owned()),
                        value: Some(raw.chars().take(64).collect()),
                        why: "is an object or a list; name a field within it, as outer.inner"
                            .to_owned(),
                    };
                    return Ok(Step::Bad(problem));
                }
                _ => {
                    row.plain |= 1_u64.checked_shl(index as u32).unwrap_or(0);
                    row.cells.push_field(raw.as_bytes());
                }
            }
        }
        Ok(Step::Row)
    }
}

/// The text of a field, by its name or by the names on the way to it.
fn field<'a>(object: &Object<'a>, name: &str) -> Option<&'a str> {
    if let Some(raw) = object.get(name) {
        return Some(raw.get());
    }
    let (outer, inner) = name.split_once('.')?;
    let within: Object<'a> = serde_json::from_str(object.get(outer)?.get()).ok()?;
    field(&within, inner)
}

/// The names of an object's fields, those of objects within it as `outer.inner`, in their order.
#[must_use]
pub fn names(line: &[u8]) -> Vec<String> {
    fn collect(value: &serde_json::Value, before: &str, names: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            return;
        };
        for (name, value) in object {
            let name = format!("{before}{name}");
            if value.is_object() {
                collect(value, &format!("{name}."), names);
            } else {
                names.push(name);
            }
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice(line) {
        collect(&value, "", &mut found);
    }
    found
}
