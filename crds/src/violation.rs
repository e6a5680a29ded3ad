//! What is wrong with a pipeline's file, in words.

use std::fmt;

/// One thing that is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as `spec.reports[0].schedule.cron`; empty for the whole file.
    pub path: String,
    /// What is wrong and what to write, as a clause that follows the path.
    pub message: String,
    /// Line of the file, counted from 1, where a file is known.
    pub line: Option<usize>,
}

impl Violation {
    /// A violation at `path`, in no file yet.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Violation {
            path: path.into(),
            message: message.into(),
            line: None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{} {}", self.path, self.message)
        }
    }
}

/// A file that holds no usable pipeline: every violation, each on a line of its
/// own as `FILE:LINE: FIELD what to write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// At least one violation, in the order of the file.
    pub violations: Vec<Violation>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.violations.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match violation.line {
                Some(line) => write!(f, "{}:{line}: {violation}", self.file)?,
                None => write!(f, "{}: {violation}", self.file)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}
