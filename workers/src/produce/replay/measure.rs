//! How much memory a large file takes, and how long it: `cargo test … -- --ignored --nocapture replay::measure`.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use serde_norway::Value;

use super::fixtures::pipeline;
use super::{Access, Replay};
use crate::produce::feed::Source;
use crate::produce::pace::Nanos;

/// Bytes of the file.
const BYTES: u64 = 1 << 30;
/// Most memory that reading may add, in bytes.
const MOST: u64 = 200 << 20;

/// A field of `/proc/self/status`, in bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Trades of a hundred symbols, in order of time or each minute's backwards; how many.
fn write(path: &Path, in_order: bool) -> u64 {
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let (mut written, mut rows) = (0, 0_u64);
    out.write_all(b"symbol,time,price,size\n").unwrap();
    while written < BYTES {
        let minute = rows / 60_000 * 60_000;
        let within = rows % 60_000;
        let at = minute + if in_order { within } else { 59_999 - within };
        let line = format!(
            "SYM{},{},{}.{:02},{}\n",
            rows % 100,
            1_795_185_000_000 + at,
            100 + rows % 37,
            rows % 100,
            1 + rows % 900
        );
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        rows += 1;
    }
    out.flush().unwrap();
    rows
}

#[test]
#[ignore = "writes and reads two files of 1 GiB"]
fn a_file_of_a_gibibyte_is_read_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    for (more, in_order) in [("", true), ("unsortedRows: Sort,", false)] {
        let path = dir.path().join("trades.csv");
        let rows = write(&path, in_order);
        // The peak counts from here.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory("VmRSS");
        let began = Instant::now();
        let replay: Value = serde_norway::from_str(&format!(
            "{{{more} columns: {{symbol: symbol, time: time, price: price, size: size}}}}"
        ))
        .unwrap();
        let source = Replay::new(
            &pipeline("trades.csv", "24x7", &replay),
            Access::local(dir.path()),
        )
        .unwrap();
        let mut feed = source.begin("r", None).unwrap();
        let first = began.elapsed();
        let mut ticks = 0;
        while feed.end().is_none() {
            feed.emit(Nanos::MAX, 5000, &mut |_| {
                ticks += 1;
                true
            })
            .unwrap();
        }
        assert_eq!(ticks, rows);
        let (peak, took) = (memory("VmHWM"), began.elapsed());
        println!(
            "{more:20} {rows} rows of 1 GiB: first row after {first:.1?}, all after {took:.1?}, peak {} MiB over {} MiB",
            peak.saturating_sub(before) >> 20,
            before >> 20
        );
        assert!(peak.saturating_sub(before) < MOST, "{peak}");
    }
}
