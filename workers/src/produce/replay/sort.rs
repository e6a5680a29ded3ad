//! Rows in order of time, whatever order they are read in, in bounded memory.
//!
//! Rows are gathered up to a budget and sorted; what does not fit goes to a temporary file, one for each budget's
//! worth, and these are merged. Of many files a few larger ones are made on the way, so that no more than a few dozen
//! are open, however much there is to sort. Rows of equal times keep the order in which they were read, so that reading
//! again gives the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stockpipe_market::json;

use super::row::{BadRow, Entries, Entry, Problem, Unit, What};
use crate::produce::FeedError;
use crate::produce::pace::Nanos;

/// Bytes of rows that are held while they are gathered.
pub const BUDGET: usize = 64 << 20;
/// zstd's fastest level that still packs text several times.
const LEVEL: i32 = 1;

/// zstd's window, as a power of two: each open file has one in memory.
const WINDOW: u32 = 17;
/// Temporary files of one size; as many are merged to one of the next.
const FAN_IN: usize = 32;

const TICK: u8 = 0;
const BAD: u8 = 1;

/// Rows in order of time.
pub struct Sorted {
    rows: Merged,
}

/// Chunks as one, by time; at equal times in the chunks' order.
struct Merged {
    chunks: Vec<Chunk>,
    /// The time and chunk of every chunk's next row.
    next: BinaryHeap<Reverse<(Nanos, usize)>>,
}

/// A row as it is held and written: its time, what it is, its bytes.
type Raw = (Nanos, u8, Vec<u8>);

/// Rows that are sorted: in memory or in a temporary file.
struct Chunk {
    rows: Packed,
    /// The next row.
    head: Option<Raw>,
}

enum Packed {
    Held {
        bytes: Vec<u8>,
        order: std::vec::IntoIter<Slot>,
    },
    Spilled(Box<zstd::stream::read::Decoder<'static, BufReader<File>>>),
}

/// Where a row lies among the gathered bytes.
#[derive(Clone, Copy)]
struct Slot {
    at: Nanos,
    start: usize,
    length: u32,
    tag: u8,
}

impl Sorted {
    /// Reads all of `rows`, holding `budget` bytes of them at most.
    ///
    /// # Errors
    /// Where they cannot be read, or the temporary files cannot be written.
    pub fn new(rows: &mut dyn Entries, budget: usize) -> Result<Self, FeedError> {
        // Chunks by size, the smallest first; those of one size in the order in which they were read.
        let mut levels: Vec<Vec<Chunk>> = Vec::new();
        let mut gathered = Gathered::default();
        while let Some(entry) = rows.next()? {
            gathered.push(&entry);
            if gathered.bytes.len() >= budget {
                let chunk = gathered.spill().map_err(|e| no_room(&e))?;
                add(&mut levels, chunk).map_err(|e| no_room(&e))?;
            }
        }
        // The larger, the earlier it was read.
        let mut chunks: Vec<Chunk> = levels.into_iter().rev().flatten().collect();
        if !gathered.order.is_empty() {
            chunks.push(gathered.hold());
        }
        let rows = Merged::new(chunks).map_err(|e| no_room(&e))?;
        Ok(Self { rows })
    }
}

impl Entries for Sorted {
    fn next(&mut self) -> Result<Option<Entry>, FeedError> {
        let Some((at, tag, bytes)) = self.rows.next().map_err(|e| no_room(&e))? else {
            return Ok(None);
        };
        let what = unpack(tag, &bytes)?;
        Ok(Some(Entry { at, what }))
    }
}

/// Adds a chunk to the smallest; of a full size one chunk of the next is made.
fn add(levels: &mut Vec<Vec<Chunk>>, chunk: Chunk) -> std::io::Result<()> {
    let mut chunk = chunk;
    for level in 0.. {
        if levels.len() == level {
            levels.push(Vec::new());
        }
        levels[level].push(chunk);
        if levels[level].len() < FAN_IN {
            break;
        }
        let mut rows = Merged::new(std::mem::take(&mut levels[level]))?;
        let mut out = Spill::new()?;
        while let Some((at, tag, bytes)) = rows.next()? {
            out.write(at, tag, &bytes)?;
        }
        chunk = out.finish()?;
    }
    Ok(())
}

impl Merged {
    fn new(mut chunks: Vec<Chunk>) -> std::io::Result<Self> {
        let mut next = BinaryHeap::new();
        for (index, chunk) in chunks.iter_mut().enumerate() {
            chunk.advance()?;
            if let Some((at, ..)) = &chunk.head {
                next.push(Reverse((*at, index)));
            }
        }
        Ok(Self { chunks, next })
    }

    fn next(&mut self) -> std::io::Result<Option<Raw>> {
        let Some(Reverse((_, index))) = self.next.pop() else {
            return Ok(None);
        };
        let chunk = &mut self.chunks[index];
        let row = chunk.head.take();
        chunk.advance()?;
        if let Some((at, ..)) = &chunk.head {
            self.next.push(Reverse((*at, index)));
        }
        Ok(row)
    }
}

/// A temporary file that is written. It has no name, and is gone with its last reader.
struct Spill(zstd::stream::write::Encoder<'static, BufWriter<File>>);

impl Spill {
    fn new() -> std::io::Result<Self> {
        use zstd::zstd_safe::CParameter;
        let out = BufWriter::new(tempfile::tempfile()?);
        let mut out = zstd::stream::write::Encoder::new(out, LEVEL)?;
        out.set_parameter(CParameter::WindowLog(WINDOW))?;
        Ok(Self(out))
    }

    fn write(&mut self, at: Nanos, tag: u8, row: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(row.len()).unwrap_or(u32::MAX);
        self.0.write_all(&at.to_le_bytes())?;
        self.0.write_all(&[tag])?;
        self.0.write_all(&length.to_le_bytes())?;
        self.0.write_all(row)
    }

    fn finish(self) -> std::io::Result<Chunk> {
        use std::io::Seek;
        let mut file = self.0.finish()?.into_inner().map_err(|e| e.into_error())?;
        file.rewind()?;
        let rows = zstd::stream::read::Decoder::with_buffer(BufReader::new(file))?;
        Ok(Chunk {
            rows: Packed::Spilled(Box::new(rows)),
            head: None,
        })
    }
}

fn no_room(error: &std::io::Error) -> FeedError {
    FeedError(format!(
        "rows cannot be sorted in {}: {error}; give it room, or sort the files by time",
        std::env::temp_dir().display()
    ))
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    order: Vec<Slot>,
}

impl Gathered {
    fn push(&mut self, entry: &Entry) {
        let start = self.bytes.len();
        let tag = match &entry.what {
            What::Tick(tick) => {
                json::encode(tick, &mut self.bytes);
                TICK
            }
            What::Bad(bad) => {
                serde_json::to_writer(&mut self.bytes, &PackedBad::of(bad))
                    .expect("a bad row has only string keys");
                BAD
            }
        };
        self.order.push(Slot {
            at: entry.at,
            start,
            length: u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX),
            tag,
        });
    }

    /// The order of time; rows of equal times stay as they are.
    fn sorted(&mut self) -> (Vec<u8>, Vec<Slot>) {
        self.order.sort_by_key(|slot| slot.at);
        (
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.order),
        )
    }

    fn hold(mut self) -> Chunk {
        let (bytes, order) = self.sorted();
        Chunk {
            rows: Packed::Held {
                bytes,
                order: order.into_iter(),
            },
            head: None,
        }
    }

    /// Writes the rows to a temporary file; the room is used again.
    fn spill(&mut self) -> std::io::Result<Chunk> {
        let (mut bytes, order) = self.sorted();
        let mut out = Spill::new()?;
        for slot in &order {
            let row = &bytes[slot.start..slot.start + slot.length as usize];
            out.write(slot.at, slot.tag, row)?;
        }
        bytes.clear();
        self.bytes = bytes;
        out.finish()
    }
}

impl Chunk {
    fn advance(&mut self) -> std::io::Result<()> {
        self.head = match &mut self.rows {
            Packed::Held { bytes, order } => order.next().map(|slot| {
                let row = &bytes[slot.start..slot.start + slot.length as usize];
                (slot.at, slot.tag, row.to_vec())
            }),
            Packed::Spilled(rows) => {
                let mut head = [0; 13];
                match rows.read_exact(&mut head) {
                    Ok(()) => {
                        let (at, rest) = head.split_at(8);
                        let (tag, length) = rest.split_at(1);
                        let at = Nanos::from_le_bytes(at.try_into().unwrap_or_default());
                        let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
                        let mut row = vec![0; length as usize];
                        rows.read_exact(&mut row)?;
                        Some((at, tag[0], row))
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => None,
                    Err(e) => return Err(e),
                }
            }
        };
        Ok(())
    }
}

/// A bad row as it lies in a temporary file.
#[derive(Serialize, Deserialize)]
struct PackedBad {
    file: String,
    is_line: bool,
    number: u64,
    column: Option<String>,
    value: Option<String>,
    why: String,
    cells: Vec<String>,
}

impl PackedBad {
    fn of(bad: &BadRow) -> Self {
        Self {
            file: bad.file.to_string(),
            is_line: bad.unit == Unit::Line,
            number: bad.number,
            column: bad.problem.column.clone(),
            value: bad.problem.value.clone(),
            why: bad.problem.why.clone(),
            cells: bad.cells.clone(),
        }
    }
}

fn unpack(tag: u8, bytes: &[u8]) -> Result<What, FeedError> {
    let damaged =
        |why: String| FeedError(format!("a temporary file of sorted rows is damaged: {why}"));
    if tag == TICK {
        let tick = json::decode(bytes).map_err(|e| damaged(e.to_string()))?;
        return Ok(What::Tick(Box::new(tick)));
    }
    let bad: PackedBad = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    Ok(What::Bad(Box::new(BadRow {
        file: Arc::from(bad.file),
        unit: if bad.is_line { Unit::Line } else { Unit::Row },
        number: bad.number,
        problem: Problem {
            column: bad.column,
            value: bad.value,
            why: bad.why,
        },
        cells: bad.cells,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use stockpipe_market::tick::{Kind, Symbol, Tick};

    struct Given(std::vec::IntoIter<Entry>);

    impl Entries for Given {
        fn next(&mut self) -> Result<Option<Entry>, FeedError> {
            Ok(self.0.next())
        }
    }

    fn rows(times: &[Nanos]) -> Given {
        let entries = times.iter().enumerate().map(|(n, at)| {
            let what = if n % 5 == 4 {
                let row = super::super::row::Row {
                    number: n as u64,
                    ..Default::default()
                };
                let bad = BadRow::new(&"f".into(), Unit::Line, &row, Problem::row("is bad"));
                What::Bad(Box::new(bad))
            } else {
                let symbol = Symbol::new(&format!("S{n}")).unwrap();
                let kind = Kind::Trade;
                let tick = Tick::new(
                    symbol,
                    "replay".into(),
                    kind,
                    "r".into(),
                    0,
                    *at,
                    date(2026, 1, 2),
                );
                What::Tick(Box::new(tick))
            };
            Entry { at: *at, what }
        });
        Given(entries.collect::<Vec<_>>().into_iter())
    }

    fn read(mut entries: impl Entries) -> Vec<(Nanos, String)> {
        let mut found = Vec::new();
        while let Some(entry) = entries.next().unwrap() {
            let name = match entry.what {
                What::Tick(tick) => tick.symbol.to_string(),
                What::Bad(bad) => format!("S{}", bad.number),
            };
            found.push((entry.at, name));
        }
        found
    }

    #[test]
    fn rows_are_sorted_stably_whatever_the_budget() {
        let times: Vec<Nanos> = (0..500).map(|n| (n * 7919) % 40).collect();
        let mut expected: Vec<_> = times
            .iter()
            .enumerate()
            .map(|(n, at)| (*at, format!("S{n}")))
            .collect();
        expected.sort_by_key(|(at, _)| *at);
        for budget in [1, 1000, 20_000, BUDGET] {
            let sorted = Sorted::new(&mut rows(&times), budget).unwrap();
            assert_eq!(read(sorted), expected, "{budget}");
        }
        assert_eq!(read(Sorted::new(&mut rows(&[]), BUDGET).unwrap()), []);
    }
}
