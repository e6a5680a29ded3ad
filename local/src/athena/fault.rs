//! Why a statement failed, in Athena's words.

use datafusion::error::DataFusionError;

/// Athena's categories of errors (`AthenaError.ErrorCategory`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Something broke on our side; trying again may help.
    System,
    /// The statement or the data is wrong; trying again does not help.
    User,
}

/// A statement's failure: one sentence that begins with Athena's code, for
/// instance `COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    pub(super) category: Category,
    pub(super) message: String,
}

/// Code of a query that needs more memory than there is for all together.
const NO_MEMORY: &str = "EXCEEDED_LOCAL_MEMORY_LIMIT";

impl Fault {
    /// Whether memory was missing, which others may have had.
    pub(super) fn lacked_memory(&self) -> bool {
        self.message.starts_with(NO_MEMORY)
    }

    /// A failure that the statement's author can mend.
    pub(super) fn user(code: &str, message: impl std::fmt::Display) -> Self {
        Self {
            category: Category::User,
            message: format!("{code}: {message}"),
        }
    }

    /// A failure of the store, the catalog or this engine.
    pub(super) fn system(message: impl std::fmt::Display) -> Self {
        Self {
            category: Category::System,
            message: format!("GENERIC_INTERNAL_ERROR: {message}"),
        }
    }

    /// A disk that is full while a statement did `doing`. Trying again helps once there is room.
    pub(super) fn no_space(doing: &str) -> Self {
        Self::system(format!(
            "the disk that holds the data directory is full, so that the query could not {doing}: make room there, and \
             run it again"
        ))
    }

    /// A statement that Athena takes and this engine does not.
    pub(super) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self::user(
            "NOT_SUPPORTED",
            format!("{what} is not supported by the local Athena"),
        )
    }
}

/// Brackets around a message that DataFusion's planner quotes inside its own.
const BEGIN: char = '\u{2}';
const END: char = '\u{3}';

impl Fault {
    /// An error for places where the planner keeps only an error's text.
    pub(super) fn through_planning(self) -> DataFusionError {
        DataFusionError::Plan(format!("{BEGIN}{}{END}", self.message))
    }

    /// The fault that a planner's text quotes.
    fn quoted(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once(BEGIN)?;
        let (message, _) = rest.split_once(END)?;
        Some(Self {
            category: Category::User,
            message: message.to_owned(),
        })
    }
}

/// Carries a [`Fault`] through DataFusion's layers unchanged.
impl From<Fault> for DataFusionError {
    fn from(fault: Fault) -> Self {
        Self::External(Box::new(fault))
    }
}

/// What DataFusion found, in Athena's words and never with a dump of a plan.
impl From<DataFusionError> for Fault {
    fn from(error: DataFusionError) -> Self {
        if let Some(fault) = carried(&error) {
            return fault;
        }
        if let Some(fault) = Self::quoted(&error.to_string()) {
            return fault;
        }
        if is_full_disk(&error.to_string()) {
            return Self::no_space("put aside what does not fit into its memory");
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::user(
                NO_MEMORY,
                "Query exhausted resources at this scale factor: it needs more memory than the local Athena may use",
            ),
            DataFusionError::ArrowError(e, _) => arrow(e),
            DataFusionError::NotImplemented(what) => {
                let what = first_sentence(what);
                // Never show the planner's own structures.
                if what.contains('{') || what.contains("logical expression") {
                    Self::unsupported("this form of query or subquery")
                } else {
                    Self::unsupported(what)
                }
            }
            DataFusionError::Plan(what) if what.contains("requires a boolean") => {
                Self::user("TYPE_MISMATCH", first_sentence(what))
            }
            DataFusionError::Plan(what) | DataFusionError::Configuration(what) => {
                Self::user("SYNTAX_ERROR", first_sentence(what))
            }
            DataFusionError::SchemaError(what, _) => {
                Self::user("SYNTAX_ERROR", first_sentence(&what.to_string()))
            }
            DataFusionError::SQL(what, _) => {
                Self::user("SYNTAX_ERROR", first_sentence(&what.to_string()))
            }
            DataFusionError::Execution(what) => execution(what),
            DataFusionError::ParquetError(e) => Self::user(
                "HIVE_BAD_DATA",
                format!(
                    "A Parquet file could not be read: {}",
                    first_sentence(&e.to_string())
                ),
            ),
            DataFusionError::ObjectStore(e) => Self {
                category: Category::System,
                message: format!(
                    "HIVE_CURSOR_ERROR: An object of the table could not be read: {}",
                    first_sentence(&e.to_string())
                ),
            },
            other => Self::system(first_sentence(&other.message())),
        }
    }
}

/// Whether an error is of a disk without room (or of a user whose quota is used up): the layers between keep no more of
/// it than its text, which ends with the system's number.
fn is_full_disk(text: &str) -> bool {
    [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT]
        .iter()
        .any(|errno| text.contains(&format!("(os error {})", errno.raw_os_error())))
}

/// The [`Fault`] inside an error, however deep it was wrapped.
fn carried(error: &DataFusionError) -> Option<Fault> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = source {
        if let Some(fault) = e.downcast_ref::<Fault>() {
            return Some(fault.clone());
        }
        if let Some(DataFusionError::Shared(inner)) = e.downcast_ref::<DataFusionError>()
            && let Some(fault) = carried(inner)
        {
            return Some(fault);
        }
        if let Some(DataFusionError::ArrowError(arrow, _)) = e.downcast_ref::<DataFusionError>()
            && let arrow::error::ArrowError::ExternalError(inner) = arrow.as_ref()
        {
            if let Some(fault) = inner.downcast_ref::<Fault>() {
                return Some(fault.clone());
            }
            if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
                return carried(inner);
            }
        }
        if let Some(DataFusionError::External(inner)) = e.downcast_ref::<DataFusionError>() {
            if let Some(fault) = inner.downcast_ref::<Fault>() {
                return Some(fault.clone());
            }
            if let Some(inner) = inner.downcast_ref::<DataFusionError>() {
                return carried(inner);
            }
        }
        source = e.source();
    }
    None
}

fn arrow(error: &arrow::error::ArrowError) -> Fault {
    use arrow::error::ArrowError;
    match error {
        ArrowError::DivideByZero => Fault::user("DIVISION_BY_ZERO", "Division by zero"),
        ArrowError::ArithmeticOverflow(what) => {
            Fault::user("NUMERIC_VALUE_OUT_OF_RANGE", first_sentence(what))
        }
        ArrowError::CastError(what)
        | ArrowError::ParseError(what)
        | ArrowError::InvalidArgumentError(what) => cast(what),
        ArrowError::JsonError(what) => Fault::user(
            "HIVE_BAD_DATA",
            format!("Row is not a valid JSON Object: {}", first_sentence(what)),
        ),
        other => execution(&other.to_string()),
    }
}

/// A value that is not of the type it was cast to.
fn cast(what: &str) -> Fault {
    let sentence = first_sentence(what);
    if sentence.contains("too large to store") || sentence.contains("Can't cast value") {
        Fault::user("NUMERIC_VALUE_OUT_OF_RANGE", sentence)
    } else {
        Fault::user("INVALID_CAST_ARGUMENT", sentence)
    }
}

fn execution(what: &str) -> Fault {
    let lower = what.to_lowercase();
    if lower.contains("divide by zero") {
        Fault::user("DIVISION_BY_ZERO", "Division by zero")
    } else if lower.contains("overflow") {
        Fault::user("NUMERIC_VALUE_OUT_OF_RANGE", first_sentence(what))
    } else if lower.contains("correlated") || lower.contains("scalar subquery") {
        Fault::user("SUBQUERY_MULTIPLE_ROWS", first_sentence(what))
    } else if lower.contains("cast") || lower.contains("parsing") {
        cast(what)
    } else {
        Fault::user("GENERIC_USER_ERROR", first_sentence(what))
    }
}

/// The first line, without DataFusion's prefixes and without a backtrace.
fn first_sentence(text: &str) -> String {
    let mut line = text.lines().next().unwrap_or_default().trim();
    for prefix in [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Schema error: ",
        "Cast error: ",
        "Parser error: ",
        "External error: ",
        "Invalid argument error: ",
        "Arithmetic overflow: ",
        "sql parser error: ",
        "SQL error: ",
    ] {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    trino_types(line.trim_end_matches('.'))
}

/// Names of Arrow's types as Trino's.
fn trino_types(text: &str) -> String {
    const NAMES: [(&str, &str); 14] = [
        ("LargeUtf8", "varchar"),
        ("Utf8View", "varchar"),
        ("Utf8", "varchar"),
        ("Boolean", "boolean"),
        ("Int8", "tinyint"),
        ("Int16", "smallint"),
        ("Int32", "integer"),
        ("UInt64", "bigint"),
        ("Int64", "bigint"),
        ("Float32", "real"),
        ("Float64", "double"),
        ("Decimal128", "decimal"),
        ("Date32", "date"),
        ("Timestamp(ms)", "timestamp(3)"),
    ];
    NAMES.iter().fold(text.to_owned(), |text, (arrow, trino)| {
        text.replace(arrow, trino)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_comes_through_every_wrapping() {
        let fault = Fault::user("DIVISION_BY_ZERO", "Division by zero");
        let wrapped = DataFusionError::from(fault.clone())
            .context("while running")
            .context("at the end");
        assert_eq!(Fault::from(wrapped), fault);
        let arrow =
            arrow::error::ArrowError::ExternalError(Box::new(DataFusionError::from(fault.clone())));
        assert_eq!(Fault::from(DataFusionError::from(arrow)), fault);
        let planned = DataFusionError::Plan(format!(
            "{} No function matches",
            fault.clone().through_planning()
        ));
        assert_eq!(Fault::from(planned), fault);
    }

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let full = || std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let arrow = |e: std::io::Error| arrow::error::ArrowError::IoError(e.to_string(), e);
        for error in [
            DataFusionError::IoError(full()),
            DataFusionError::from(arrow(full())),
            DataFusionError::from(arrow(full())).context("while spilling"),
            DataFusionError::Execution(format!("cannot spill: {}", full())),
        ] {
            let fault = Fault::from(error);
            assert_eq!(fault.category, Category::System);
            assert_eq!(
                fault.message,
                "GENERIC_INTERNAL_ERROR: the disk that holds the data directory is full, so that the query could not \
                 put aside what does not fit into its memory: make room there, and run it again"
            );
        }
    }

    #[test]
    fn words_of_the_engine_are_not_shown() {
        for (error, message) in [
            (
                DataFusionError::Plan("no Utf8 here.\nbacktrace".into()),
                "SYNTAX_ERROR: no varchar here",
            ),
            (
                DataFusionError::NotImplemented("Exists(Exists { subquery })".into()),
                "NOT_SUPPORTED: this form of query or subquery is not supported by the local Athena",
            ),
            (
                DataFusionError::Execution("Divide by zero error".into()),
                "DIVISION_BY_ZERO: Division by zero",
            ),
        ] {
            assert_eq!(Fault::from(error).message, message);
        }
    }
}
