//! Opening a log: its index and producers are rebuilt from batch headers, and a torn tail is
//! cut off.
//!
//! Up to the offset that the last flush reached, the log must be whole. What was written
//! later may have been lost in part by a loss of power: its checksums are verified, and the
//! log ends before the first batch that is not intact.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::batch::{self, BatchError};
use super::producers::Producers;
use super::segment::Segment;
use super::segments::{Log, LogError};
use super::walk::{Walk, WalkError};

/// A tail that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Where the log ends now.
    pub(crate) end: i64,
    /// Bytes that are gone.
    pub(crate) bytes: u64,
    /// What was wrong with them.
    pub(crate) reason: String,
}

/// Opens the log in `directory`, which exists; `flushed` is the offset up to which it is known
/// to have been flushed.
///
/// # Errors
/// [`LogError`] where the flushed part is not whole; nothing is changed then.
pub(crate) fn open(directory: &Path, flushed: i64) -> Result<(Log, Option<Cut>), LogError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |error| LogError::Io { path, error }
    };
    let files = segment_files(directory).map_err(io_error(directory))?;
    let mut reader = Reader {
        flushed,
        producers: Producers::default(),
        scratch: Vec::new(),
    };
    let mut segments: VecDeque<Segment> = VecDeque::with_capacity(files.len());
    let mut cut = None;
    for (number, (base, path)) in files.iter().enumerate() {
        let expected = segments.back().map_or(*base, |before| before.end);
        let fault = if *base == expected {
            let mut segment = Segment::new(directory, *base);
            let fault = reader.read(&mut segment)?;
            segments.push_back(segment);
            fault
        } else if expected >= flushed {
            Some(Fault {
                position: 0,
                reason: format!("a segment starts at offset {base} instead of {expected}"),
            })
        } else {
            return Err(LogError::Gap {
                path: path.clone(),
                expected,
                found: *base,
            });
        };
        if let Some(fault) = fault {
            let mut bytes = if *base == expected {
                truncate(path, fault.position).map_err(io_error(path))?
            } else {
                remove(path).map_err(io_error(path))?
            };
            for (_, later) in &files[number + 1..] {
                bytes += remove(later).map_err(io_error(later))?;
            }
            cut = Some(Cut {
                end: segments.back().map_or(expected, |last| last.end),
                bytes,
                reason: fault.reason,
            });
            break;
        }
    }
    let end = segments.back().map_or(0, |last| last.end);
    if end < flushed {
        return Err(LogError::Shortened {
            directory: directory.to_owned(),
            end,
            flushed,
        });
    }
    let log = Log::assemble(directory.to_owned(), segments, reader.producers, flushed)
        .map_err(io_error(directory))?;
    Ok((log, cut))
}

/// The segment files of a directory with their base offsets, in order.
fn segment_files(directory: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(base) = Segment::base_of(&path) {
            files.push((base, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn truncate(path: &Path, position: u64) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).open(path)?;
    let cut = file.metadata()?.len() - position;
    file.set_len(position)?;
    file.sync_all()?;
    Ok(cut)
}

fn remove(path: &Path) -> io::Result<u64> {
    let bytes = fs::metadata(path)?.len();
    fs::remove_file(path)?;
    Ok(bytes)
}

/// The first byte of a torn tail, and what is wrong with it.
struct Fault {
    position: u64,
    reason: String,
}

struct Reader {
    flushed: i64,
    producers: Producers,
    scratch: Vec<u8>,
}

impl Reader {
    /// Reads a segment's headers into `segment` up to its end or the torn tail.
    fn read(&mut self, segment: &mut Segment) -> Result<Option<Fault>, LogError> {
        let io_error = |error| LogError::Io {
            path: segment.path.clone(),
            error,
        };
        let path = segment.path.clone();
        let file = File::open(&path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let mut walk = Walk::new(&file, 0, length);
        loop {
            let position = walk.position();
            let fault = match walk.step() {
                Ok(None) => return Ok(None),
                Ok(Some((_, header))) => {
                    let intact = header.base_offset == segment.end
                        && (header.next_offset() <= self.flushed
                            || self.is_intact(&file, position, &header).map_err(|error| {
                                LogError::Io {
                                    path: path.clone(),
                                    error,
                                }
                            })?);
                    if intact {
                        segment.note(&header);
                        self.producers.note(&header);
                        continue;
                    }
                    BatchError::Checksum
                }
                Err(WalkError::Batch { error, .. }) => error,
                Err(WalkError::Io(error)) => return Err(LogError::Io { path, error }),
            };
            if segment.end < self.flushed {
                return Err(LogError::Damaged {
                    path,
                    position,
                    error: fault,
                });
            }
            return Ok(Some(Fault {
                position,
                reason: fault.to_string(),
            }));
        }
    }

    fn is_intact(
        &mut self,
        file: &File,
        position: u64,
        header: &batch::BatchHeader,
    ) -> io::Result<bool> {
        self.scratch.resize(header.bytes, 0);
        file.read_exact_at(&mut self.scratch, position)?;
        Ok(batch::verify(&self.scratch, header))
    }
}
