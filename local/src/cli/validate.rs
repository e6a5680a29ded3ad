//! `stockpipe validate`: pipeline files, checked without running them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use stockpipe_crds::{Pipeline, Violation};

use super::{CliError, Output, print_json};

/// Flags of `stockpipe validate`.
#[derive(Args)]
pub(crate) struct ValidateArgs {
    /// StockPipeline files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How it is told; `json` is a list with an object for each file.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What was found in one file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    file: String,
    valid: bool,
    /// The pipeline's name, where the file is valid.
    pipeline: Option<String>,
    /// Fields that only a cluster uses.
    cluster_only: Vec<String>,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct Problem {
    line: Option<usize>,
    column: Option<usize>,
    field: String,
    message: String,
}

pub(crate) fn run(args: &ValidateArgs) -> Result<ExitCode, CliError> {
    let checked: Vec<_> = args
        .files
        .iter()
        .map(|path| {
            let name = path.display().to_string();
            match std::fs::read_to_string(path) {
                Ok(text) => check(name, &text),
                Err(error) => refused(name, vec![Problem::of_the_file(&error)]),
            }
        })
        .collect();
    match args.output {
        Output::Json => print_json(&checked)?,
        Output::Text => checked.iter().for_each(tell),
    }
    Ok(if checked.iter().all(|file| file.valid) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(file: String, text: &str) -> Checked {
    let loaded = stockpipe_crds::load(text, &file)
        .and_then(|resource| Pipeline::from_yaml(text, &file).map(|pipeline| (resource, pipeline)));
    match loaded {
        Ok((resource, pipeline)) => Checked {
            file,
            valid: true,
            pipeline: Some(pipeline.name),
            cluster_only: stockpipe_crds::cluster_only_fields(&resource),
            problems: Vec::new(),
        },
        Err(error) => {
            let problems = error.violations.iter().map(|v| Problem::new(v, text));
            refused(file, problems.collect())
        }
    }
}

fn refused(file: String, problems: Vec<Problem>) -> Checked {
    Checked {
        file,
        valid: false,
        pipeline: None,
        cluster_only: Vec::new(),
        problems,
    }
}

fn tell(checked: &Checked) {
    let file = &checked.file;
    if let Some(name) = &checked.pipeline {
        println!("{file}: pipeline {name} is valid");
        if !checked.cluster_only.is_empty() {
            println!(
                "{file}: only a cluster uses {}",
                checked.cluster_only.join(", ")
            );
        }
    }
    for problem in &checked.problems {
        eprintln!("{}", problem.told(file));
    }
}

impl Problem {
    fn new(violation: &Violation, text: &str) -> Self {
        let line = violation.line;
        let written = line.and_then(|line| text.lines().nth(line.saturating_sub(1)));
        Self {
            line,
            column: written.and_then(|written| column(written, &violation.path)),
            field: violation.path.clone(),
            message: violation.message.clone(),
        }
    }

    fn of_the_file(error: &std::io::Error) -> Self {
        Self {
            line: None,
            column: None,
            field: String::new(),
            message: format!("cannot be read: {error}"),
        }
    }

    /// `FILE:LINE:COLUMN: FIELD what to write`, as editors read it.
    fn told(&self, file: &str) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            (Some(line), None) => format!("{file}:{line}"),
            (None, _) => file.to_owned(),
        };
        match self.field.as_str() {
            "" => format!("{place}: {}", self.message),
            field => format!("{place}: {field} {}", self.message),
        }
    }
}

/// Where in `line` the last field of `path` that stands there begins, in characters from 1; `None` where none does.
///
/// Of a path, a line in block style has the last name alone; in flow style (`{a: {b: 1}}`) it has several, each after
/// the one around it.
fn column(line: &str, path: &str) -> Option<usize> {
    let mut from = 0;
    let mut found = None;
    for segment in path.split('.') {
        let name = segment.split('[').next().unwrap_or_default();
        if let Some(at) = key(&line[from..], name) {
            found = Some(from + at);
            from += at + name.len();
        }
    }
    found.map(|at| line[..at].chars().count() + 1)
}

/// Where `name` stands as a key: between what no name has, and before a colon.
fn key(text: &str, name: &str) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..].trim_start_matches(['"', '\'']);
        before.is_none_or(|c| c.is_whitespace() || "{,\"'".contains(c))
            && after.trim_start().starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_its_line() {
        for (line, path, expected) in [
            ("    fromat: Json", "spec.lake.fromat", Some(5)),
            (
                "  lake: {bucket: b-1, fromat: Json}",
                "spec.lake.fromat",
                Some(23),
            ),
            ("  lake: {bucket: b-1}", "spec.lake", Some(3)),
            (
                "    - {name: x, \"cron\": 5}",
                "spec.reports[0].schedule.cron",
                Some(18),
            ),
            (
                "  {cpu: {max: 1}, memory: {max: x}}",
                "spec.memory.max",
                Some(28),
            ),
            ("  ä: {name: x}", "metadata.name", Some(7)),
            ("    - AAPL", "spec.market.symbols[0]", None),
            ("kind: X", "", None),
        ] {
            assert_eq!(column(line, path), expected, "{line}");
        }
    }

    #[test]
    fn problems_are_told_as_editors_read_them() {
        let text = "apiVersion: stockpipe.dev/v1alpha1\nkind: StockPipeline\nmetadata: {name: p}\nspec:\n  lake: \
                    {bucket: lake-1, fromat: Json}\n";
        let checked = check("p.yaml".to_owned(), text);
        let told = checked.problems[0].told("p.yaml");
        assert!(told.starts_with("p.yaml:5:26: spec.lake.fromat "), "{told}");
        assert!(told.contains("format"), "{told}");
        let valid = check("p.yaml".to_owned(), &text.replace("fromat", "format"));
        assert_eq!((valid.valid, valid.pipeline.as_deref()), (true, Some("p")));
    }
}
