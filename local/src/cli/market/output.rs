//! Where ticks go, and how they are written.
//!
//! A file appears under its name when it is whole, and not before; whatever ends the command
//! earlier leaves what was there.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use parquet::arrow::ArrowWriter;
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use stockpipe_market::columns::TickColumns;
use stockpipe_market::tick::Tick;
use stockpipe_market::{csv, json};
use stockpipe_workers::land::encode;

use crate::cli::CliError;

/// How ticks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A header, and the table's columns.
    Csv,
    /// One object a line, as records of a topic have it.
    Json,
    /// The table's columns, with zstd.
    Parquet,
}

/// Rows that are gathered into columns at once, and those of a Parquet file's row group.
const BATCH_ROWS: usize = 16_384;
const GROUP_ROWS: usize = 262_144;
/// gzip's level: beyond it the file hardly shrinks.
const GZIP_LEVEL: u32 = 4;

/// Ticks on their way out.
pub(super) struct Output {
    destination: Destination,
    writer: Writer,
    line: Vec<u8>,
}

/// Where the bytes go.
enum Destination {
    Stdout,
    /// A device or a named pipe: it is there already, and written in place.
    Device(PathBuf),
    /// A file, written under another name until it is whole.
    File {
        path: PathBuf,
        partial: Partial,
    },
}

/// A file that is not whole yet: gone when dropped.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Renamed away where it was finished; else there is nobody left to tell.
        let _ = std::fs::remove_file(&self.0);
    }
}

enum Writer {
    Lines(Bytes, fn(&Tick, &mut Vec<u8>)),
    Parquet(Box<ArrowWriter<Bytes>>, Box<TickColumns>),
}

type Raw = BufWriter<Box<dyn Write + Send>>;

/// Bytes, compressed or not.
enum Bytes {
    Plain(Raw),
    Gzip(Box<GzEncoder<Raw>>),
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Bytes::Plain(raw) => raw.write(bytes),
            Bytes::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Bytes::Plain(raw) => raw.flush(),
            Bytes::Gzip(encoder) => encoder.flush(),
        }
    }
}

impl Bytes {
    fn finish(self) -> io::Result<()> {
        match self {
            Bytes::Plain(mut raw) => raw.flush(),
            Bytes::Gzip(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl Output {
    /// Opens `path`, `-` being standard output.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn open(path: &Path, format: Option<Format>) -> Result<Output, CliError> {
        let to_stdout = path == Path::new("-");
        let (format, gzip) = format_of(path, format, to_stdout)?;
        if format == Format::Parquet && to_stdout && io::stdout().is_terminal() {
            return Err("Parquet is no text for a terminal; name a file with -o".into());
        }
        let (destination, raw) = destination(path, to_stdout)
            .map_err(|error| format!("cannot write {}: {}", path.display(), reason(&error)))?;
        let raw = BufWriter::with_capacity(1 << 16, raw);
        let bytes = if gzip {
            let level = Compression::new(GZIP_LEVEL);
            Bytes::Gzip(Box::new(GzBuilder::new().mtime(0).write(raw, level)))
        } else {
            Bytes::Plain(raw)
        };
        let mut line = Vec::with_capacity(512);
        let writer = match format {
            Format::Csv => {
                csv::header(&mut line);
                Writer::Lines(bytes, csv::encode)
            }
            Format::Json => Writer::Lines(bytes, |tick, line| {
                json::encode(tick, line);
                line.push(b'\n');
            }),
            Format::Parquet => {
                let zstd = parquet::basic::Compression::ZSTD(ZstdLevel::try_new(1)?);
                let options = encode::parquet_options(
                    encode::parquet_properties(zstd).set_max_row_group_row_count(Some(GROUP_ROWS)),
                );
                let schema = stockpipe_market::columns::schema();
                let file = ArrowWriter::try_new_with_options(bytes, schema, options)?;
                Writer::Parquet(Box::new(file), Box::default())
            }
        };
        Ok(Output {
            destination,
            writer,
            line,
        })
    }

    /// Writes a tick.
    pub(super) fn write(&mut self, tick: &Tick) -> io::Result<()> {
        match &mut self.writer {
            Writer::Lines(bytes, encode) => {
                // The header is there before the first.
                encode(tick, &mut self.line);
                bytes.write_all(&self.line)?;
                self.line.clear();
                Ok(())
            }
            Writer::Parquet(file, columns) => {
                columns.push(tick);
                if columns.len() < BATCH_ROWS {
                    return Ok(());
                }
                file.write(&columns.finish()).map_err(io_error)
            }
        }
    }

    /// Writes what is left and gives a file its name; its bytes, where it is one.
    pub(super) fn finish(mut self) -> io::Result<Option<u64>> {
        match self.writer {
            Writer::Lines(mut bytes, _) => {
                bytes.write_all(&self.line)?;
                bytes.finish()?;
            }
            Writer::Parquet(mut file, ref mut columns) => {
                file.write(&columns.finish()).map_err(io_error)?;
                file.into_inner().map_err(io_error)?.finish()?;
            }
        }
        match &mut self.destination {
            Destination::Stdout | Destination::Device(_) => Ok(None),
            Destination::File { path, partial } => {
                let file = File::open(&partial.0)?;
                file.sync_all()?;
                let bytes = file.metadata()?.len();
                std::fs::rename(&partial.0, path)?;
                Ok(Some(bytes))
            }
        }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> String {
        match &self.destination {
            Destination::Stdout => "standard output".to_owned(),
            Destination::Device(path) | Destination::File { path, .. } => {
                path.display().to_string()
            }
        }
    }

    /// Whether a person reads the bytes.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.destination, Destination::Stdout) && io::stdout().is_terminal()
    }
}

fn destination(path: &Path, to_stdout: bool) -> io::Result<(Destination, Box<dyn Write + Send>)> {
    if to_stdout {
        return Ok((Destination::Stdout, Box::new(io::stdout())));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => {
            let device = File::options().write(true).open(path)?;
            return Ok((Destination::Device(path.to_owned()), Box::new(device)));
        }
        _ => {}
    }
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", std::process::id()));
    let partial = Partial(path.with_file_name(hidden));
    let file = File::create(&partial.0)?;
    let path = path.to_owned();
    Ok((Destination::File { path, partial }, Box::new(file)))
}

/// The format that is asked for, or that the file's name asks for; and whether it is gzipped.
fn format_of(
    path: &Path,
    format: Option<Format>,
    to_stdout: bool,
) -> Result<(Format, bool), String> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let (stem, gzip) = match name.strip_suffix(".gz") {
        Some(stem) => (stem, true),
        None => (name.as_str(), false),
    };
    let named = match stem.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv") => Some(Format::Csv),
        Some("json" | "jsonl" | "ndjson") => Some(Format::Json),
        Some("parquet") => Some(Format::Parquet),
        _ => None,
    };
    match format.or(named).or(to_stdout.then_some(Format::Csv)) {
        Some(Format::Parquet) if gzip => Err(format!(
            "{}: Parquet is compressed within; leave .gz away",
            path.display()
        )),
        Some(format) => Ok((format, gzip)),
        None => Err(format!(
            "{}: its name tells no format; end it with .csv, .json or .parquet, or give --format",
            path.display()
        )),
    }
}

/// What the operating system said, where the Parquet writer only passes it on.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other.to_string()),
        },
        other => io::Error::other(other),
    }
}

/// Why something cannot be written, in words.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "there is no space left; make some, or write fewer ticks or Parquet".to_owned()
        }
        ErrorKind::NotFound => "its directory does not exist; make it first".to_owned(),
        ErrorKind::PermissionDenied => "permission is denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory; name a file in it".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_format() {
        let of = |name: &str, format| format_of(Path::new(name), format, name == "-");
        assert_eq!(of("day.parquet", None), Ok((Format::Parquet, false)));
        assert_eq!(of("a.b/DAY.CSV", None), Ok((Format::Csv, false)));
        assert_eq!(of("day.jsonl.gz", None), Ok((Format::Json, true)));
        assert_eq!(of("day.txt", Some(Format::Csv)), Ok((Format::Csv, false)));
        assert_eq!(of("-", None), Ok((Format::Csv, false)));
        assert_eq!(of("-", Some(Format::Parquet)), Ok((Format::Parquet, false)));
        assert!(of("day", None).unwrap_err().contains("end it with .csv"));
        assert!(
            of("day.parquet.gz", None)
                .unwrap_err()
                .contains("leave .gz away")
        );
    }

    #[test]
    fn a_file_that_was_not_finished_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day.csv");
        std::fs::write(&path, "before").unwrap();
        drop(Output::open(&path, None).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let bytes = Output::open(&path, None).unwrap().finish().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(bytes, Some(text.len() as u64));
        assert!(text.starts_with("symbol,venue,"), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
