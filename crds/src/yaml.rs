//! Pipelines as YAML: reading with the line of everything that is wrong, and
//! writing.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::admission::{drop_nulls, validate_object};
use crate::pipeline::Pipeline;
use crate::resolve::resolve;
use crate::schema::{object_schema, prune_defaults};
use crate::spec::{GROUP, KIND, StockPipeline, VERSION};
use crate::violation::{LoadError, Violation};

/// Reads the one `StockPipeline` of a YAML file, under every rule that the API
/// server applies: fields, types, bounds, CEL.
///
/// What only workers can check (a calendar's name, a schedule) is left to
/// [`resolve`]; [`Pipeline::from_yaml`] does both.
///
/// # Errors
/// Every violation with its line, as `FILE:LINE: FIELD what to write`.
pub fn load(text: &str, file: &str) -> Result<StockPipeline, LoadError> {
    read(text)
        .map(|(pipeline, _)| pipeline)
        .map_err(|violations| LoadError {
            file: file.to_owned(),
            violations,
        })
}

/// Everything that is wrong with a pipeline's file, in the order of the file;
/// empty where workers can run it.
pub fn validate(text: &str) -> Vec<Violation> {
    match Pipeline::from_yaml(text, "") {
        Ok(_) => Vec::new(),
        Err(error) => error.violations,
    }
}

/// Writes a pipeline as YAML that [`load`] reads, without what is at its default: a field that a later version adds
/// then changes no file of a pipeline that does not use it, and an older worker reads it.
pub fn to_yaml(pipeline: &StockPipeline) -> String {
    let mut object = serde_json::to_value(pipeline).expect("a pipeline's fields are all JSON");
    prune_defaults(object_schema(), &mut object);
    serde_norway::to_string(&object).expect("a pipeline's fields are all YAML")
}

impl Pipeline {
    /// Reads a pipeline's file and fills every default in: [`load`], then
    /// [`resolve`].
    ///
    /// # Errors
    /// Every violation with its line, as `FILE:LINE: FIELD what to write`.
    pub fn from_yaml(text: &str, file: &str) -> Result<Pipeline, LoadError> {
        let error = |violations| LoadError {
            file: file.to_owned(),
            violations,
        };
        let (pipeline, document) = read(text).map_err(error)?;
        resolve(&pipeline).map_err(|violations| error(located(text, document, violations)))
    }
}

/// The one pipeline of a file, and which of the file's documents it is.
fn read(text: &str) -> Result<(StockPipeline, usize), Vec<Violation>> {
    let (document, mut object) = only_pipeline(text).map_err(|violation| vec![violation])?;
    let violations = validate_object(&object, None);
    if !violations.is_empty() {
        return Err(located(text, document, violations));
    }
    drop_nulls(&mut object);
    match serde_path_to_error::deserialize(&object) {
        Ok(pipeline) => Ok((pipeline, document)),
        Err(error) => {
            let path = error.path().to_string();
            let path = if path == "." { String::new() } else { path };
            let mut message = error.inner().to_string();
            let field = path.rsplit('.').next().unwrap_or_default();
            if let Some(rest) = message.strip_prefix(&format!("{field:?} ")) {
                // A field's own name is told by its path.
                message = rest.to_owned();
            }
            // Our own types say what to write; other errors need a verb.
            let message = match message.starts_with("must ") || message.starts_with('"') {
                true => message,
                false => format!("cannot be read: {message}"),
            };
            let violation = Violation::new(path, message);
            Err(located(text, document, vec![violation]))
        }
    }
}

/// The only document of a file, as JSON, and its number.
fn only_pipeline(text: &str) -> Result<(usize, Value), Violation> {
    let mut found: Option<(usize, Value)> = None;
    for (number, document) in serde_norway::Deserializer::from_str(text).enumerate() {
        let value = serde_norway::Value::deserialize(document).map_err(|error| syntax(&error))?;
        if value.is_null() {
            continue;
        }
        let value = to_json(value).map_err(|message| Violation::new("", message))?;
        let kind = value
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let version = value
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let wanted = format!("{GROUP}/{VERSION}");
        let message = if !value.is_object() {
            format!("holds no resource; start with apiVersion: {wanted} and kind: {KIND}")
        } else if kind != KIND {
            match kind {
                "" => format!("has no kind; write kind: {KIND}"),
                _ => format!(
                    "holds a {kind}; a pipeline's file holds one {KIND} and nothing else, keep the {kind} in a file of its own"
                ),
            }
        } else if version != wanted {
            match version {
                "" => format!("has no apiVersion; write apiVersion: {wanted}"),
                _ => format!("has apiVersion {version}, which is not known here; write {wanted}"),
            }
        } else if found.is_some() {
            format!("holds a second {KIND}; keep each in a file of its own")
        } else {
            found = Some((number, value));
            continue;
        };
        let mut violation = Violation::new("", message);
        let field = if kind == KIND { "apiVersion" } else { "kind" };
        violation.line = line_of(text, number, field).or_else(|| line_of(text, number, ""));
        return Err(violation);
    }
    found.ok_or_else(|| {
        Violation::new(
            "",
            format!("is empty; write a {KIND}, the smallest one names spec.lake.bucket"),
        )
    })
}

fn syntax(error: &serde_norway::Error) -> Violation {
    let text = error.to_string();
    // The position is told by the line of the violation.
    let text = text.split(" at line ").next().unwrap_or_default();
    let mut violation = Violation::new("", format!("is not valid YAML: {text}"));
    violation.line = error.location().map(|location| location.line());
    violation
}

fn to_json(value: serde_norway::Value) -> Result<Value, String> {
    serde_json::to_value(&value).map_err(|error| {
        format!(
            "holds YAML that no resource may hold: {error}; write plain mappings, lists and text"
        )
    })
}

/// Adds lines and sorts by them.
fn located(text: &str, document: usize, mut violations: Vec<Violation>) -> Vec<Violation> {
    for violation in &mut violations {
        let mut path = violation.path.as_str();
        violation.line = loop {
            match (line_of(text, document, path), parent(path)) {
                (Some(line), _) => break Some(line),
                (None, Some(shorter)) => path = shorter,
                (None, None) => break line_of(text, document, ""),
            }
        };
    }
    violations.sort_by_key(|violation| violation.line);
    violations
}

fn parent(path: &str) -> Option<&str> {
    path.rfind(['.', '[']).map(|at| &path[..at])
}

/// Line of the field at `path` within a document, counted from 1.
///
/// The YAML library tells positions only in errors, so that the search ends in
/// one: the first error's position is the field's.
fn line_of(text: &str, document: usize, path: &str) -> Option<usize> {
    let document = serde_norway::Deserializer::from_str(text).nth(document)?;
    let error = Find { rest: path }.deserialize(document).err()?;
    if !error.to_string().contains(FOUND) {
        return None;
    }
    error.location().map(|location| location.line())
}

const FOUND: &str = "stockpipe: the field is here";

/// Looks for the field at `rest` below a value, and fails there.
#[derive(Clone, Copy)]
struct Find<'a> {
    rest: &'a str,
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! visit_scalars {
    ($($visit:ident: $kind:ty),* $(,)?) => {$(
        fn $visit<E: serde::de::Error>(self, _: $kind) -> Result<(), E> {
            self.here()
        }
    )*};
}

impl Find<'_> {
    fn here<E: serde::de::Error>(self) -> Result<(), E> {
        if self.rest.is_empty() {
            Err(E::custom(FOUND))
        } else {
            Ok(())
        }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    visit_scalars!(
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_f64: f64,
        visit_str: &str,
    );

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.here()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.here()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.here()?;
        let rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
        while let Some(below) = map.next_key_seed(Key { rest })? {
            match below {
                Some(rest) => map.next_value_seed(Find { rest: &rest })?,
                None => map.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.here()?;
        let wanted = self
            .rest
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
        let mut index = 0;
        loop {
            let next = match wanted {
                Some((at, rest)) if at == index => items.next_element_seed(Find { rest })?,
                _ => items.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if next.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// Compares a key with the begin of `rest`: fails where it is the whole, gives
/// what follows where it is a part.
struct Key<'a> {
    rest: &'a str,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        match self.rest.strip_prefix(key) {
            Some("") => Err(E::custom(FOUND)),
            Some(rest) if rest.starts_with(['.', '[']) => Ok(Some(rest.to_owned())),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::schema::object_schema;

    const SMALLEST: &str = "apiVersion: stockpipe.dev/v1alpha1
kind: StockPipeline
metadata: {name: tiny}
spec: {lake: {bucket: acme}}
";

    fn only(text: &str) -> String {
        let error = Pipeline::from_yaml(text, "p.yaml").unwrap_err();
        assert_eq!(error.violations.len(), 1, "{error}");
        error.to_string()
    }

    #[test]
    fn the_smallest_pipeline_names_a_bucket_and_nothing_else() {
        let pipeline = Pipeline::from_yaml(SMALLEST, "p.yaml").unwrap();
        assert_eq!(pipeline.lake.bucket, "acme");
        assert_eq!(validate(SMALLEST), []);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pipeline = load(SMALLEST, "p.yaml").unwrap();
        let text = to_yaml(&pipeline);
        assert_eq!(load(&text, "q.yaml").unwrap(), pipeline, "{text}");
    }

    #[test]
    fn errors_name_file_line_field_and_remedy() {
        let text = SMALLEST.replace(
            "spec: {lake: {bucket: acme}}",
            "spec:\n  lake:\n    bucket: acme\n    roll:\n      maxAgee: 1s",
        );
        assert_eq!(
            only(&text),
            "p.yaml:8: spec.lake.roll.maxAgee is not a field; write maxAge"
        );
    }

    #[test]
    fn a_missing_field_points_at_its_parent() {
        let text = "# a comment\n\napiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: x}\nspec:\n  lake:\n    prefix: a\n";
        assert_eq!(
            only(text),
            "p.yaml:7: spec.lake.bucket is missing; add it (Bucket that the ticks land in)"
        );
    }

    #[test]
    fn keys_with_dots_and_list_entries_are_found() {
        let text = "a:\n  b.c: 1\n  d:\n    - x\n    - e: 2\n      f.g: 3\n";
        for (path, line) in [
            ("a", 1),
            ("a.b.c", 2),
            ("a.d", 3),
            ("a.d[0]", 4),
            ("a.d[1]", 5),
            ("a.d[1].e", 5),
            ("a.d[1].f.g", 6),
        ] {
            assert_eq!(line_of(text, 0, path), Some(line), "{path}");
        }
        assert_eq!(line_of(text, 0, "a.x"), None);
        assert_eq!(line_of(text, 0, "a.d[7]"), None);
    }

    #[test]
    fn other_kinds_and_second_pipelines_are_refused_with_their_line() {
        let with = |other: &str| only(&format!("{SMALLEST}---\n{other}"));
        assert_eq!(
            with("apiVersion: v1\nkind: Secret\n"),
            "p.yaml:7: holds a Secret; a pipeline's file holds one StockPipeline and nothing else, keep the Secret in a file of its own"
        );
        assert!(with(SMALLEST).contains("holds a second StockPipeline"));
        assert!(only("").contains("is empty; write a StockPipeline"));
        assert!(only("# nothing\n---\n").contains("is empty"));
        assert!(only("- a\n").contains("holds no resource"));
        assert!(
            only("kind: StockPipeline\napiVersion: stockpipe.dev/v1\n")
                .starts_with("p.yaml:2: has apiVersion stockpipe.dev/v1")
        );
        assert!(only("spec: {}\n").contains("has no kind; write kind: StockPipeline"));
    }

    #[test]
    fn an_empty_document_before_the_pipeline_does_no_harm() {
        assert!(Pipeline::from_yaml(&format!("---\n---\n{SMALLEST}"), "p").is_ok());
        let text = format!("---\n---\n{SMALLEST}").replace("bucket: acme", "bucket: A");
        assert!(
            only(&text).starts_with("p.yaml:6: spec.lake.bucket must be 3 to 63"),
            "{}",
            only(&text)
        );
    }

    #[test]
    fn broken_yaml_is_told_with_its_line() {
        assert!(only("a: b: c\n").starts_with("p.yaml:1: is not valid YAML:"));
        assert!(only("a: 1\na: 2\n").contains("duplicate"));
        assert!(only("spec: !secret x\nkind: StockPipeline\n").contains("p.yaml"));
    }

    #[test]
    fn all_violations_are_told_in_the_order_of_the_file() {
        let text = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: x}\nspec:\n  suspend: 3\n  lake:\n    bucket: 7\n  kafka: []\n";
        let error = load(text, "p.yaml").unwrap_err();
        let lines: Vec<_> = error.violations.iter().map(|v| v.line.unwrap()).collect();
        assert_eq!(lines, [5, 7, 8], "{error}");
        assert_eq!(error.to_string().lines().count(), 3);
    }

    #[test]
    fn a_null_is_unset() {
        let text = SMALLEST.replace("bucket: acme", "bucket: acme, prefix: , roll: ");
        let pipeline = Pipeline::from_yaml(&text, "p").unwrap();
        assert_eq!(pipeline.lake.prefix, "tiny/ticks");
        assert_eq!(pipeline.lake.roll.max_rows, 1_000_000);
    }

    #[test]
    fn the_schema_is_the_one_that_is_applied() {
        assert!(
            object_schema()
                .pointer("/properties/spec/properties/lake")
                .is_some()
        );
    }
}
