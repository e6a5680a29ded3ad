//! Strings with rules: one declaration gives the Rust newtype, the schema and
//! the CEL rule that the API server applies, so that the three cannot differ.

use std::fmt;

/// One rule that a string obeys, as a regular expression that both RE2 (the
/// API server) and the `regex` crate read alike.
#[derive(Clone, Copy, Debug)]
pub struct TextRule {
    /// The regular expression.
    pub pattern: &'static str,
    /// Whether a valid string matches `pattern`, or must not match it.
    pub matches: bool,
    /// What to write, as a clause that follows the field's path.
    pub message: &'static str,
}

impl TextRule {
    /// A valid string matches `pattern`.
    pub const fn must(pattern: &'static str, message: &'static str) -> Self {
        TextRule {
            pattern,
            matches: true,
            message,
        }
    }

    /// A valid string does not match `pattern`.
    pub const fn must_not(pattern: &'static str, message: &'static str) -> Self {
        TextRule {
            pattern,
            matches: false,
            message,
        }
    }

    /// The rule in CEL, over `self`.
    ///
    /// Patterns hold no quote (a test says so), so that a backslash is all that
    /// needs an escape in a CEL literal.
    pub fn cel(&self) -> String {
        let not = if self.matches { "" } else { "!" };
        let pattern = self.pattern.replace('\\', "\\\\");
        format!("{not}self.matches('{pattern}')")
    }
}

/// A string that breaks a rule of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// The string.
    pub value: String,
    /// What to write instead.
    pub message: String,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.value, self.message)
    }
}

impl std::error::Error for TextError {}

/// Checks `value` against a length in characters and compiled rules.
pub(crate) fn check(
    value: &str,
    max: usize,
    rules: &[TextRule],
    compiled: &[regex::Regex],
) -> Result<(), TextError> {
    let refuse = |message: String| {
        Err(TextError {
            value: value.to_owned(),
            message,
        })
    };
    if value.chars().count() > max {
        return refuse(format!("is too long; write at most {max} characters"));
    }
    for (rule, regex) in rules.iter().zip(compiled) {
        if regex.is_match(value) != rule.matches {
            return refuse(rule.message.to_owned());
        }
    }
    Ok(())
}

/// Compiles the patterns of `rules`.
pub(crate) fn compile(rules: &[TextRule]) -> Vec<regex::Regex> {
    rules
        .iter()
        .map(|rule| regex::Regex::new(rule.pattern).expect("patterns are constants under test"))
        .collect()
}

/// The schema of a string of at most `max` characters under `rules`.
pub(crate) fn schema(max: usize, rules: &[TextRule]) -> schemars::Schema {
    let mut schema = schemars::json_schema!({ "type": "string", "maxLength": max });
    if !rules.is_empty() {
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| serde_json::json!({ "rule": rule.cel(), "message": rule.message }))
            .collect();
        schema.insert("x-kubernetes-validations".to_owned(), rules.into());
    }
    schema
}

/// Declares string newtypes: a name, the longest length in characters, rules.
macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident, $max:literal, [$($rule:expr),* $(,)?];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest length, in characters.
            pub const MAX_LENGTH: usize = $max;
            /// The rules, in the order in which they are applied.
            pub const RULES: &'static [$crate::text::TextRule] = &[$($rule),*];

            /// Takes a string that obeys the rules.
            ///
            /// # Errors
            /// The message of the first rule that `value` breaks.
            pub fn new(value: impl Into<String>) -> Result<Self, $crate::text::TextError> {
                static COMPILED: std::sync::LazyLock<Vec<regex::Regex>> =
                    std::sync::LazyLock::new(|| $crate::text::compile($name::RULES));
                let value = value.into();
                $crate::text::check(&value, Self::MAX_LENGTH, Self::RULES, &COMPILED)?;
                Ok(Self(value))
            }

            /// The string.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::text::TextError;

            fn try_from(value: String) -> Result<Self, Self::Error> {
                Self::new(value)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text::TextError;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::new(value)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::text::schema(Self::MAX_LENGTH, Self::RULES)
            }
        }
    )*

    /// Every rule of this module, for tests over all of them.
    #[cfg(test)]
    pub(crate) fn all_rules() -> Vec<(&'static str, &'static [$crate::text::TextRule])> {
        vec![$((stringify!($name), $name::RULES)),*]
    }
    };
}
pub(crate) use text_types;

#[cfg(test)]
mod tests {
    use super::*;

    fn every_rule() -> Vec<(&'static str, &'static [TextRule])> {
        let mut rules = crate::names::all_rules();
        rules.extend(crate::address::all_rules());
        rules.extend(crate::amounts::all_rules());
        rules
    }

    #[test]
    fn patterns_compile_and_hold_no_quote() {
        for (name, rules) in every_rule() {
            compile(rules);
            for rule in rules {
                assert!(
                    !rule.pattern.contains(['\'', '"', '\n']),
                    "{name}: {}",
                    rule.pattern
                );
            }
        }
    }

    #[test]
    fn messages_follow_a_path_and_say_what_to_write() {
        for (name, rules) in every_rule() {
            for rule in rules {
                let starts = ["must ", "needs ", "is ", "may ", "holds "];
                assert!(
                    starts.iter().any(|s| rule.message.starts_with(s)),
                    "{name}: {}",
                    rule.message
                );
                assert!(!rule.message.ends_with('.'), "{name}: {}", rule.message);
            }
        }
    }

    #[test]
    fn a_string_over_its_length_is_refused_with_the_length() {
        let error = crate::names::Symbol::new("A".repeat(33)).unwrap_err();
        assert_eq!(error.message, "is too long; write at most 32 characters");
    }
}
