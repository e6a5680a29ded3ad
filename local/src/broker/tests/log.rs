//! A log on its own: appending, reading, retention, and recovery after damage.

use bytes::Bytes;
use kafka_protocol::records::Compression;
use std::os::unix::fs::FileExt as _;

use super::super::batch::tests::sent;
use super::super::recovery::{self, Cut};
use super::*;

const SMALL: Limits = Limits {
    segment_bytes: 1_000,
};

fn batch(count: usize, timestamp: i64) -> Batch {
    let bytes = sent((-1, -1, -1), count, timestamp, Compression::None);
    Batch::check(bytes, 1 << 20).unwrap()
}

fn numbered(producer: i64, sequence: i32, count: usize) -> Batch {
    let bytes = sent((producer, 0, sequence), count, 0, Compression::None);
    Batch::check(bytes, 1 << 20).unwrap()
}

fn open(directory: &Path, flushed: i64) -> (Log, Option<Cut>) {
    recovery::open(directory, flushed).unwrap()
}

fn fresh(directory: &Path) -> Log {
    open(directory, 0).0
}

/// Base offsets of the batches from `offset` to the log's end.
fn read_on(log: &Log, mut offset: i64) -> Vec<i64> {
    let mut found = Vec::new();
    while offset < log.end() {
        let bytes = log.slice(offset).unwrap().read(200, true).unwrap();
        assert!(!bytes.is_empty());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest).unwrap();
            found.push(header.base_offset);
            offset = header.next_offset();
            rest = &rest[header.bytes..];
        }
    }
    found
}

fn newest_file(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap();
    files.map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn batches_are_read_back_in_order_from_any_offset_across_segments() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..100 {
        let appended = log.append(&batch(3, i), SMALL).unwrap();
        assert_eq!(appended.base_offset, i * 3);
    }
    assert!(log.sealed.len() > 5);
    let all: Vec<i64> = (0..100).map(|i| i * 3).collect();
    assert_eq!(read_on(&log, 0), all);
    for offset in 0..300 {
        let from = usize::try_from(offset / 3).unwrap();
        assert_eq!(read_on(&log, offset), all[from..], "from {offset}");
    }
    assert!(log.slice(300).unwrap().read(100, true).unwrap().is_empty());
    assert!(log.slice(301).is_none());
    assert!(log.slice(-1).is_none());
}

#[test]
fn a_read_gives_whole_batches_within_its_limit_or_one_that_exceeds_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for _ in 0..10 {
        log.append(
            &batch(1, 0),
            Limits {
                segment_bytes: 1 << 20,
            },
        )
        .unwrap();
    }
    let one = log.slice(0).unwrap().read(1, true).unwrap().len();
    assert!(one > 60);
    let slice = log.slice(0).unwrap();
    assert_eq!(slice.read(1, false).unwrap().len(), 0);
    assert_eq!(slice.read(3 * one - 1, false).unwrap().len(), 2 * one);
    assert_eq!(slice.read(3 * one, false).unwrap().len(), 3 * one);
    assert_eq!(slice.read(usize::MAX, false).unwrap().len(), 10 * one);
}

#[test]
fn a_reopened_log_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..50 {
        log.append(&batch(2, i), SMALL).unwrap();
    }
    let before = read_on(&log, 0);
    drop(log);
    let (mut log, cut) = open(directory.path(), 100);
    assert_eq!(cut, None);
    assert_eq!(read_on(&log, 0), before);
    assert_eq!(log.append(&batch(1, 0), SMALL).unwrap().base_offset, 100);
}

#[test]
fn a_torn_tail_of_any_length_is_cut_at_the_last_whole_batch() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    let limits = Limits {
        segment_bytes: 1 << 20,
    };
    log.append(&batch(2, 0), limits).unwrap();
    let first = log.bytes();
    log.append(&batch(2, 0), limits).unwrap();
    drop(log);
    let file = newest_file(directory.path());
    let whole = fs::read(&file).unwrap();
    for length in first..whole.len() as u64 {
        fs::write(&file, &whole[..usize::try_from(length).unwrap()]).unwrap();
        let (log, cut) = open(directory.path(), 2);
        assert_eq!(log.end(), 2, "with {length} bytes");
        assert_eq!(cut.map_or(0, |cut| cut.bytes), length - first);
        assert_eq!(fs::metadata(&file).unwrap().len(), first);
    }
}

#[test]
fn a_batch_that_does_not_match_its_checksum_is_cut_with_all_that_follows() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..40 {
        log.append(&batch(2, i), SMALL).unwrap();
    }
    let second = &log.sealed[1];
    let (path, base) = (second.path.clone(), second.base);
    drop(log);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"x", 70).unwrap();
    let (mut log, cut) = open(directory.path(), base);
    assert_eq!(log.end(), base);
    assert!(cut.unwrap().bytes > 0);
    assert_eq!(log.append(&batch(1, 0), SMALL).unwrap().base_offset, base);
    drop(log);
    assert_eq!(open(directory.path(), base).0.end(), base + 1);
}

#[test]
fn a_tail_of_zeros_as_a_loss_of_power_leaves_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    log.append(&batch(2, 0), SMALL).unwrap();
    let size = log.bytes();
    drop(log);
    let file = OpenOptions::new()
        .write(true)
        .open(newest_file(directory.path()))
        .unwrap();
    file.set_len(size + 4_096).unwrap();
    let (log, cut) = open(directory.path(), 2);
    assert_eq!((log.end(), cut.unwrap().bytes), (2, 4_096));
}

#[test]
fn damage_in_the_flushed_part_is_an_error_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..40 {
        log.append(&batch(2, i), SMALL).unwrap();
    }
    let path = log.sealed[1].path.clone();
    drop(log);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 4], 8).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let error = recovery::open(directory.path(), 80).unwrap_err();
    assert!(
        matches!(error, LogError::Damaged { position: 0, .. }),
        "{error}"
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), length);

    fs::remove_file(&path).unwrap();
    let error = recovery::open(directory.path(), 80).unwrap_err();
    assert!(matches!(error, LogError::Gap { .. }), "{error}");
}

#[test]
fn a_log_shorter_than_what_was_flushed_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    log.append(&batch(2, 0), SMALL).unwrap();
    drop(log);
    let error = recovery::open(directory.path(), 3).unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Shortened {
                end: 2,
                flushed: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn retention_by_bytes_deletes_whole_segments_from_the_oldest_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..100 {
        log.append(&batch(2, i), SMALL).unwrap();
    }
    let before = log.bytes();
    let limit = 2_500;
    let deleted = log
        .retain(
            Retention {
                bytes: Some(limit),
                milliseconds: None,
            },
            0,
        )
        .unwrap();
    assert_eq!(log.bytes(), before - deleted);
    assert!(log.bytes() >= limit && log.bytes() < limit + 1_000);
    assert!(log.start() > 0 && log.end() == 200);
    assert!(log.slice(log.start() - 1).is_none());
    let start = log.start();
    assert_eq!(read_on(&log, start)[0], start);
    drop(log);
    assert_eq!(open(directory.path(), 200).0.start(), start);
}

#[test]
fn retention_by_age_deletes_even_the_active_segment_and_keeps_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..20 {
        log.append(&batch(2, 1_000 + i), SMALL).unwrap();
    }
    let age = |ms| Retention {
        bytes: None,
        milliseconds: Some(ms),
    };
    assert_eq!(log.retain(age(500), 1_500).unwrap(), 0);
    assert!(log.retain(age(500), 1_520).unwrap() > 0);
    assert!(log.start() > 0);
    log.retain(age(500), 2_000).unwrap();
    assert_eq!((log.start(), log.end(), log.bytes()), (40, 40, 0));
    drop(log);
    let (mut log, _) = open(directory.path(), 40);
    assert_eq!(log.append(&batch(1, 0), SMALL).unwrap().base_offset, 40);
}

#[test]
fn a_slice_is_read_although_its_segment_was_deleted_meanwhile_or_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..100 {
        log.append(&batch(2, i), SMALL).unwrap();
    }
    let slice = log.slice(0).unwrap();
    log.retain(
        Retention {
            bytes: Some(0),
            milliseconds: None,
        },
        0,
    )
    .unwrap();
    assert!(slice.read(100, true).is_err());
}

#[test]
fn duplicates_get_their_first_offset_even_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    for i in 0..8 {
        log.append(&numbered(7, i * 2, 2), SMALL).unwrap();
        log.append(&batch(1, 0), SMALL).unwrap();
    }
    drop(log);
    let (mut log, _) = open(directory.path(), 0);
    for i in 3..8 {
        let appended = log.append(&numbered(7, i * 2, 2), SMALL).unwrap();
        assert_eq!(
            appended,
            Appended {
                base_offset: i64::from(i) * 3,
                duplicate: true
            }
        );
    }
    assert_eq!(log.end(), 24);
    assert!(log.append(&numbered(7, 18, 2), SMALL).is_err());
    assert_eq!(
        log.append(&numbered(7, 16, 2), SMALL).unwrap().base_offset,
        24
    );
}

#[test]
fn a_time_is_found_across_segments_and_within_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    // Batch i has the records i*10, i*10 + 1, i*10 + 2.
    for i in 0..100 {
        log.append(&batch(3, i * 10), SMALL).unwrap();
    }
    let find = |log: &Log, time| {
        log.slice_of_time(time)
            .map(|slice| slice.find_time(time).unwrap().unwrap())
            .map(|found| (found.offset, found.timestamp))
    };
    assert_eq!(find(&log, 0), Some((0, 0)));
    assert_eq!(find(&log, 501), Some((151, 501)));
    assert_eq!(find(&log, 503), Some((153, 510)));
    assert_eq!(find(&log, 992), Some((299, 992)));
    assert_eq!(find(&log, 993), None);
    assert_eq!(log.max_timestamp(), Some(992));
}

#[test]
fn only_what_is_not_flushed_is_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    assert!(log.flush_plan().is_none());
    for i in 0..50 {
        log.append(&batch(2, i), SMALL).unwrap();
    }
    let plan = log.flush_plan().unwrap();
    assert_eq!(plan.sealed.len(), log.sealed.len());
    plan.run().unwrap();
    log.mark_flushed(plan.end);
    assert!(log.flush_plan().is_none());
    log.append(&batch(2, 0), SMALL).unwrap();
    assert!(log.flush_plan().unwrap().sealed.len() <= 1);
}

#[test]
fn records_as_sent_are_records_as_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = fresh(directory.path());
    let sent = sent((-1, -1, -1), 10, 5, Compression::Lz4);
    let limits = Limits {
        segment_bytes: 1 << 20,
    };
    for _ in 0..2 {
        log.append(&Batch::check(Bytes::clone(&sent), 1 << 20).unwrap(), limits)
            .unwrap();
    }
    let read = log.slice(10).unwrap().read(1 << 20, true).unwrap();
    assert_eq!(read[ASSIGNED_BYTES..], sent[ASSIGNED_BYTES..]);
    assert_eq!(BatchHeader::parse(&read).unwrap().base_offset, 10);
}
