//! Functions of regular expressions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, StringBuilder};
use regex::Regex;

use super::super::super::fault::Fault;
use super::overload::Call;
use super::{longs, strings};

/// Patterns of Java that Rust's engine has, too; others are refused.
pub(super) fn pattern(text: &str) -> Result<Regex, Fault> {
    Regex::new(text).map_err(|_| {
        Fault::unsupported(format!(
            "the regular expression '{text}' (neither lookaround nor backreferences)"
        ))
    })
}

/// Compiles each pattern once as long as it stays the same.
#[derive(Default)]
pub(super) struct Patterns {
    last: Option<(String, Regex)>,
}

impl Patterns {
    fn get(&mut self, text: &str) -> Result<&Regex, Fault> {
        if self.last.as_ref().is_none_or(|(t, _)| t != text) {
            self.last = Some((text.to_owned(), pattern(text)?));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => Err(Fault::system("no pattern")),
        }
    }
}

pub(super) fn regexp_like(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut patterns = Patterns::default();
    let values = strings(call, 0)
        .iter()
        .zip(strings(call, 1))
        .map(|(s, p)| match (s, p) {
            (Some(s), Some(p)) => Ok(Some(patterns.get(p)?.is_match(s))),
            _ => Ok(None),
        })
        .collect::<Result<BooleanArray, Fault>>()?;
    Ok(Arc::new(values))
}

pub(super) fn regexp_extract(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut patterns = Patterns::default();
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let regex = patterns.get(strings(call, 1).value(row))?;
        let group = match call.args.get(2) {
            Some(_) => longs(call, 2).value(row),
            None => 0,
        };
        let group = usize::try_from(group)
            .ok()
            .filter(|g| *g < regex.captures_len())
            .ok_or_else(|| {
                Fault::user(
                    "INVALID_FUNCTION_ARGUMENT",
                    format!(
                        "Pattern has {} groups. Cannot access group {group}",
                        regex.captures_len() - 1
                    ),
                )
            })?;
        let found = regex
            .captures(strings(call, 0).value(row))
            .and_then(|c| c.get(group).map(|m| m.as_str().to_owned()));
        out.append_option(found);
    }
    Ok(Arc::new(out.finish()))
}

pub(super) fn regexp_replace(call: &Call<'_>) -> Result<ArrayRef, Fault> {
    let mut patterns = Patterns::default();
    let mut out = StringBuilder::new();
    for row in 0..call.rows {
        if call.args.iter().any(|a| a.is_null(row)) {
            out.append_null();
            continue;
        }
        let regex = patterns.get(strings(call, 1).value(row))?;
        let with = match call.args.get(2) {
            Some(_) => groups(strings(call, 2).value(row)),
            None => String::new(),
        };
        out.append_value(regex.replace_all(strings(call, 0).value(row), with.as_str()));
    }
    Ok(Arc::new(out.finish()))
}

/// Java's `$1x` is the group 1 and an x; Rust would look for a group `1x`.
pub(super) fn groups(replacement: &str) -> String {
    let mut out = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' => {
                let digits: String =
                    std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
                if digits.is_empty() {
                    out.push('$');
                } else {
                    out.push_str(&format!("${{{digits}}}"));
                }
            }
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(next) => out.push(next),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}
